//! Models in files while they are trained.

use std::path::Path;

use super::format::{Number, Template};
use super::frequency::Frequency;
use super::monitor::{Monitor, watching};
use crate::error::{Error, Kind, Result};
use crate::files::make_folder;
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};
use crate::nn::progress::{print, warn};

/// Saves the model, or its weights, after each epoch or every so many batches.
///
/// The path may have fields of Python's `str.format`: `{epoch:02d}` (from 1), `{batch}` where it is saved after batches, and
/// the figures of the epoch, as in `{val_loss:.2f}`. Folders that do not exist are made. A model ends in `.keras`, weights
/// alone in `.weights.h5` or `.safetensors`.
///
/// The best figure is remembered across calls of `fit`.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// # let folder = std::env::temp_dir().join(format!("wgtensor-checkpoint-{}", std::process::id()));
/// # let path = folder.join("best.safetensors").display().to_string();
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// // path: say, "checkpoints/{epoch:02d}-{val_loss:.2f}.safetensors"
/// let best = ModelCheckpoint::new(&path).save_weights_only(true).save_best_only(true);
/// model.fit(&x, &y, Fit::new().epochs(3).validation_split(0.5).callbacks(best).verbose(0))?;
/// model.load_weights(&path)?;
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct ModelCheckpoint {
    path: String,
    watched: Monitor,
    verbose: bool,
    save_best_only: bool,
    save_weights_only: bool,
    save_freq: Frequency,
    /// The path, read.
    template: Option<Template>,
    epoch: usize,
    /// Batches since the model was last saved.
    batches: usize,
}

impl ModelCheckpoint {
    /// Saves to this path after each epoch.
    pub fn new(filepath: impl AsRef<Path>) -> Self {
        ModelCheckpoint {
            path: filepath.as_ref().display().to_string(),
            watched: Monitor::new(0.0),
            verbose: false,
            save_best_only: false,
            save_weights_only: false,
            save_freq: Frequency::Epoch,
            template: None,
            epoch: 0,
            batches: 0,
        }
    }

    watching!();

    /// Whether to save only where the figure is better than ever before. Default: `false`.
    pub fn save_best_only(mut self, yes: bool) -> Self {
        self.save_best_only = yes;
        self
    }

    /// Whether to leave out all but the weights. Default: `false`.
    pub fn save_weights_only(mut self, yes: bool) -> Self {
        self.save_weights_only = yes;
        self
    }

    /// When to save: [`Frequency::Epoch`], the default, or a number of batches. Between the epochs' ends the figures are those
    /// of the batches since the epoch's beginning, without `val_`.
    pub fn save_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.save_freq = frequency.into();
        self
    }

    /// What the figure must be better than for the first model to be saved.
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.watched.best = Some(value);
        self
    }

    /// Whether to save now; says why.
    fn decide(&mut self, logs: &Logs, model: &Model, path: &str) -> Result<bool> {
        let number = self.epoch + 1;
        if !self.save_best_only {
            self.say(&format!("\nEpoch {number}: saving model to {path}\n"));
            return Ok(true);
        }
        let name = &self.watched.name;
        let Some(current) = logs.get(name) else {
            if !std::mem::replace(&mut self.watched.warned, true) {
                warn(&format!("Can save best model only with {name} available."));
            }
            return Ok(true);
        };
        self.watched.resolve("ModelCheckpoint", model)?;
        let (name, best) = (&self.watched.name, self.watched.best);
        let before = best.map_or("None".into(), |best| format!("{best:.5}"));
        if !self.watched.improves(current, best) {
            self.say(&format!("\nEpoch {number}: {name} did not improve from {before}\n"));
            return Ok(false);
        }
        self.say(&format!("\nEpoch {number}: {name} improved from {before} to {current:.5}, saving model to {path}\n"));
        self.watched.best = Some(current);
        Ok(true)
    }

    fn say(&self, text: &str) {
        if self.verbose {
            print(text);
        }
    }

    fn save(&mut self, batch: Option<usize>, logs: &Logs, model: &mut Model) -> Result<()> {
        let Some(template) = &self.template else { return Err(Error::internal("a path that was not read")) };
        let counts = [("epoch", Some(self.epoch)), ("batch", batch)];
        let counts = counts.into_iter().filter_map(|(name, count)| Some((name, Number::Int(count? + 1))));
        let figures = logs.iter().map(|(name, value)| (name, Number::Float(value)));
        let path = template.format(&counts.chain(figures).collect::<Vec<_>>())?;
        if !self.decide(logs, model, &path)? {
            return Ok(());
        }
        writable(Path::new(&path))?;
        match self.save_weights_only {
            true => model.save_weights(&path)?,
            false => save_whole(model, &path)?,
        }
        self.say(&format!("\nEpoch {}: finished saving model to {path}\n", self.epoch + 1));
        Ok(())
    }
}

/// Makes the folder of a file, and refuses a folder in its place.
fn writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::parts(
            Kind::Io,
            "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory",
            &path.display().to_string(),
            "the path of a file",
            "Give the file a name",
        ));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| make_folder(folder, "checkpoint"))
}

/// Saves all of a model: layers, weights, and what `compile` set.
fn save_whole(model: &mut Model, path: &str) -> Result<()> {
    #[cfg(feature = "keras")]
    return model.save(path);
    #[cfg(not(feature = "keras"))]
    {
        let _ = model;
        Err(crate::nn::saving::without_keras(path))
    }
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.save_freq.check("ModelCheckpoint", "save_freq")?;
        let (endings, what): (&[&str], _) = match self.save_weights_only {
            true => (&[".weights.h5", ".safetensors"], "When using `save_weights_only=True` in `ModelCheckpoint`, the"),
            false => (&[".keras"], "The"),
        };
        if !endings.iter().any(|ending| self.path.ends_with(ending)) {
            return Err(Error::parts(
                Kind::Argument,
                &format!("{what} filepath provided must end in `{}`", endings.join("` or `")),
                &format!("filepath={}", self.path),
                "a path of that ending",
                "Rename the file",
            ));
        }
        self.template = Some(Template::new(&self.path)?);
        self.batches = 0;
        Ok(())
    }

    fn on_epoch_begin(&mut self, epoch: usize, _: &mut Model) -> Result<()> {
        self.epoch = epoch;
        Ok(())
    }

    fn on_train_batch_end(&mut self, batch: usize, model: &mut Model) -> Result<()> {
        self.batches += 1;
        if !self.save_freq.is_due(self.batches) {
            return Ok(());
        }
        let logs = model.running_logs()?;
        self.save(Some(batch), &logs, model)
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        match self.save_freq {
            Frequency::Epoch => self.save(None, logs, model),
            Frequency::Batches(_) => Ok(()),
        }
    }
}
