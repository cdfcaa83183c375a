//! Training that goes on where it was cut off.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::frequency::Frequency;
use crate::error::Result;
use crate::files::{in_file, make_folder, read, replace};
use crate::nn::history::{Logs, Position};
use crate::nn::model::{Callback, Model};
use crate::nn::saving::keras::{WEIGHTS, archive, damaged, part, read_weights, weights};

/// Backs training up, so that a program that is started again after it was killed goes on where it was.
///
/// The backup is one file in a folder: weights, the optimizer's state, the epoch and the batch, and the seed of shuffling and
/// dropout. `fit` with the same model, data and settings goes on from it, and comes to the same weights, bit for bit, as it would
/// have without the interruption. (Give it as the last callback, so that what the others change is part of it, and validation data
/// that is not a shuffled data set of the training's.) The figures of an epoch that was cut off are those of its rest. The backup is written under another name first: whenever the program ends, there is a whole one. At the
/// end of training it is deleted. What other callbacks remember (how long nothing improved, say) is not part of it.
///
/// Needs the feature `keras`.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// # let folder = std::env::temp_dir().join(format!("wgtensor-backup-{}", std::process::id()));
/// # let mut model = Sequential::new().add(Dense::new(1));
/// # model.compile("sgd", "mse", ())?;
/// // folder: say, "backup"
/// model.fit(&x, &y, Fit::new().epochs(3).callbacks(BackupAndRestore::new(&folder)).verbose(0))?;
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct BackupAndRestore {
    folder: PathBuf,
    save_freq: Frequency,
    delete_checkpoint: bool,
    /// Batches since the last backup.
    batches: usize,
}

/// The file in the folder.
const FILE: &str = "latest.zip";
/// The parts in the file.
const METADATA: &str = "training_metadata.json";

impl BackupAndRestore {
    /// Backs up to this folder after each epoch. It is made where it does not exist; each training needs one of its own.
    pub fn new(backup_dir: impl AsRef<Path>) -> Self {
        let folder = backup_dir.as_ref().to_owned();
        BackupAndRestore { folder, save_freq: Frequency::Epoch, delete_checkpoint: true, batches: 0 }
    }

    /// When to back up: [`Frequency::Epoch`], the default, or a number of batches.
    pub fn save_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.save_freq = frequency.into();
        self
    }

    /// Whether to delete the backup when training ends by itself. Default: `true`.
    pub fn delete_checkpoint(mut self, yes: bool) -> Self {
        self.delete_checkpoint = yes;
        self
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Removes what programs that were killed while they wrote have left.
    fn clear(&self) {
        let left = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let begun = |path: &PathBuf| path.file_name().is_some_and(|name| is_part(&name.to_string_lossy()));
        left.filter(begun).for_each(|path| drop(std::fs::remove_file(path)));
    }

    fn back_up(&self, model: &mut Model) -> Result<()> {
        let Some(Position { epoch, batch, seed }) = model.position else { return Ok(()) };
        // The optimizer's own variable has single precision.
        let rate = model.learning_rate()?;
        // (A text keeps all 64 bits for every reader of JSON.)
        let metadata = json!({"epoch": epoch, "batch": batch, "seed": seed.to_string(), "learning_rate": rate});
        let parts = [(METADATA, metadata.to_string().into_bytes()), (WEIGHTS, weights(model)?)];
        replace(&self.file(), &archive(&parts)?)
    }

    fn restore(&self, model: &mut Model) -> Result<()> {
        let bytes = read(&self.file())?;
        let metadata = part(&bytes, METADATA)?;
        let metadata: Json = serde_json::from_slice(&metadata).unwrap_or_default();
        let number = |key: &str| metadata[key].as_u64().and_then(|n| usize::try_from(n).ok());
        let seed = metadata["seed"].as_str().and_then(|seed| seed.parse().ok());
        let (Some(epoch), Some(batch), Some(seed)) = (number("epoch"), number("batch"), seed) else {
            return Err(damaged(&metadata.to_string(), "the epoch, the batch and the seed of a backup"));
        };
        read_weights(model, &part(&bytes, WEIGHTS)?)?;
        if let Some(rate) = metadata["learning_rate"].as_f64() {
            // (A schedule's rate follows from the step.)
            model.set_learning_rate(rate).ok();
        }
        model.position = Some(Position { epoch, batch, seed });
        Ok(())
    }
}

/// Whether this is the name of a backup that is being written.
fn is_part(name: &str) -> bool {
    name.strip_prefix(FILE).is_some_and(|rest| rest.ends_with(".part"))
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        self.save_freq.check("BackupAndRestore", "save_freq")?;
        self.batches = 0;
        make_folder(&self.folder, "backup")?;
        self.clear();
        match self.file().exists() {
            true => in_file(&self.file(), self.restore(model)),
            false => Ok(()),
        }
    }

    fn on_train_batch_end(&mut self, _: usize, model: &mut Model) -> Result<()> {
        self.batches += 1;
        if self.save_freq.is_due(self.batches) { self.back_up(model) } else { Ok(()) }
    }

    fn on_epoch_end(&mut self, _: usize, _: &mut Logs, model: &mut Model) -> Result<()> {
        if self.save_freq == Frequency::Epoch { self.back_up(model) } else { Ok(()) }
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        // Who interrupted it may want to go on.
        if self.delete_checkpoint && !model.is_interrupted() {
            std::fs::remove_file(self.file()).ok();
        }
        Ok(())
    }
}
