//! Figures, weights, the model's graph and profiles for TensorBoard.

mod events;
mod histogram;

use std::path::{Path, PathBuf};

use self::events::{Summary, Writer};
use self::histogram::histogram;
use super::frequency::Frequency;
use crate::error::{Error, Result};
use crate::graph::Profiling;
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};
use crate::nn::progress::warn;
use crate::sys::{Instant, block_on};

/// Writes event files that TensorBoard shows: `tensorboard --logdir logs`. Behind the feature `tensorboard`.
///
/// After each epoch: `epoch_loss` and the other figures of the epoch, those of training under `train/`, those of the
/// validation under `validation/`, and `epoch_learning_rate`. After each evaluation: `evaluation_loss_vs_iterations` and so
/// on. Every [`update_freq`](Self::update_freq) batches: `batch_loss` and so on. At the start: the model's graph of layers.
/// Of the batches asked for ([`profile_batch`](Self::profile_batch)): what host and device did.
///
/// Every `fit` writes new files; give each its own folder below one `log_dir` to compare them.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// # let logs = std::env::temp_dir().join(format!("wgtensor-logs-{}", std::process::id()));
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let board = TensorBoard::new(&logs).histogram_freq(1);
/// model.fit(&x, &y, Fit::new().epochs(3).validation_split(0.5).callbacks(board).verbose(0))?;
/// assert_eq!(std::fs::read_dir(logs.join("validation")).unwrap().count(), 1);
/// # std::fs::remove_dir_all(logs).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct TensorBoard {
    log_dir: PathBuf,
    histogram_freq: usize,
    write_graph: bool,
    write_steps_per_second: bool,
    update_freq: Frequency,
    profile_batch: ProfileBatch,
    profiling: Option<Profiling>,
    train: Option<Writer>,
    validation: Option<Writer>,
    /// Steps since training began.
    batches: usize,
    batch_start: Instant,
    /// When the epoch began, and after how many steps of the optimizer.
    epoch_start: (Instant, u64),
}

impl Default for TensorBoard {
    fn default() -> Self {
        Self::new("logs")
    }
}

impl TensorBoard {
    /// Writes below this folder, which is made where there is none; `default` writes to `logs`.
    pub fn new(log_dir: impl AsRef<Path>) -> Self {
        let now = Instant::now();
        TensorBoard {
            log_dir: log_dir.as_ref().to_path_buf(),
            histogram_freq: 0,
            write_graph: true,
            write_steps_per_second: false,
            update_freq: Frequency::Epoch,
            profile_batch: ProfileBatch::default(),
            profiling: None,
            train: None,
            validation: None,
            batches: 0,
            batch_start: now,
            epoch_start: (now, 0),
        }
    }

    /// After how many epochs each to write a histogram of every weight; 0, the default, for never. The weights are read back
    /// for it. Values that are not finite are left out.
    pub fn histogram_freq(mut self, epochs: usize) -> Self {
        self.histogram_freq = epochs;
        self
    }

    /// Whether to write the model's graph of layers. Default: `true`.
    pub fn write_graph(mut self, yes: bool) -> Self {
        self.write_graph = yes;
        self
    }

    /// Whether to write the training steps per second, of epochs and of the batches that are written. Default: `false`.
    pub fn write_steps_per_second(mut self, yes: bool) -> Self {
        self.write_steps_per_second = yes;
        self
    }

    /// When to write figures of batches: never for [`Frequency::Epoch`], the default; else after every so many batches (1 is
    /// Keras's `"batch"`). They are read back for it, so that a small number makes small steps slower.
    pub fn update_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.update_freq = frequency.into();
        self
    }

    /// Which batches to profile, counted from 1 across epochs: one, or the first and the last of several; 0, the default, for
    /// none. The profile begins and ends with the device at rest. TensorBoard shows it, with its plugin
    /// `tensorboard-plugin-profile`, as [`Profile::save_tensorboard`](crate::Profile::save_tensorboard) says. A GPU that keeps no
    /// times is trained on without one, and a line says so.
    pub fn profile_batch(mut self, batches: impl Into<ProfileBatch>) -> Self {
        self.profile_batch = batches.into();
        self
    }

    fn begin_profile(&mut self, model: &Model) -> Result<()> {
        let Some(weight) = model.weights().into_iter().next() else { return Ok(()) };
        match block_on(Profiling::begin(weight.device())) {
            Ok(profiling) => self.profiling = Some(profiling),
            Err(why) if why.is_unsupported() => warn(&format!("No profile for TensorBoard: {why}")),
            Err(why) => return Err(why),
        }
        Ok(())
    }

    fn end_profile(&mut self) -> Result<()> {
        let Some(profiling) = self.profiling.take() else { return Ok(()) };
        block_on(profiling.finish())?.save_tensorboard(&self.log_dir)?;
        Ok(())
    }

    fn train(&mut self) -> Result<&mut Writer> {
        opened(&mut self.train, &self.log_dir, "train")
    }

    fn validation(&mut self) -> Result<&mut Writer> {
        opened(&mut self.validation, &self.log_dir, "validation")
    }

    fn write_weights(&mut self, epoch: u64, model: &Model) -> Result<()> {
        for weight in model.weights() {
            let rows = histogram(&weight.value().detach().to_f64_vec()?);
            self.train()?.write(&format!("{}/histogram", weight.name()), epoch, Summary::Histogram(&rows))?;
        }
        Ok(())
    }
}

/// The batches that [`TensorBoard`] profiles: the first and the last, counted from 1 across epochs. A number stands for one
/// batch, 0 for none.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let of_the_tenth = TensorBoard::new("logs").profile_batch(10);
/// let of_some = TensorBoard::new("logs").profile_batch((10, 20));
/// # drop((of_the_tenth, of_some));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileBatch(usize, usize);

impl From<usize> for ProfileBatch {
    fn from(batch: usize) -> Self {
        ProfileBatch(batch, batch)
    }
}

impl From<(usize, usize)> for ProfileBatch {
    fn from((first, last): (usize, usize)) -> Self {
        ProfileBatch(first, last)
    }
}

impl ProfileBatch {
    fn check(self) -> Result<()> {
        match self {
            ProfileBatch(0, 0) => Ok(()),
            ProfileBatch(first, last) if 0 < first && first <= last => Ok(()),
            ProfileBatch(first, last) => {
                let expected = "0, a positive integer, or two of them in order";
                Err(Error::setting("TensorBoard", "profile_batch", format!("({first}, {last})"), expected))
            }
        }
    }
}

/// The file of this part, begun where there is none.
fn opened<'a>(slot: &'a mut Option<Writer>, log_dir: &Path, part: &str) -> Result<&'a mut Writer> {
    Ok(match slot {
        Some(writer) => writer,
        None => slot.insert(Writer::create(&log_dir.join(part))?),
    })
}

impl Callback for TensorBoard {
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        self.update_freq.check("TensorBoard", "update_freq")?;
        self.profile_batch.check()?;
        (self.train, self.validation, self.batches, self.profiling) = (None, None, 0, None);
        self.train()?;
        if self.write_graph {
            match model.config() {
                Ok(config) => self.train()?.write("keras", 0, Summary::Model(&config.to_string()))?,
                Err(why) => warn(&format!("Model failed to serialize as JSON. Ignoring... {why}")),
            }
        }
        Ok(())
    }

    fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
        self.end_profile()?;
        (self.train, self.validation) = (None, None);
        Ok(())
    }

    fn on_epoch_begin(&mut self, _: usize, model: &mut Model) -> Result<()> {
        self.epoch_start = (Instant::now(), model.iterations()?);
        Ok(())
    }

    fn on_train_batch_begin(&mut self, _: usize, model: &mut Model) -> Result<()> {
        if self.batches + 1 == self.profile_batch.0 {
            self.begin_profile(model)?;
        }
        self.batch_start = Instant::now();
        Ok(())
    }

    fn on_train_batch_end(&mut self, _: usize, model: &mut Model) -> Result<()> {
        self.batches += 1;
        if self.batches >= self.profile_batch.1 {
            self.end_profile()?;
        }
        if !self.update_freq.is_due(self.batches) {
            return Ok(());
        }
        let (step, logs) = (self.batches as u64, model.running_logs()?);
        if self.write_steps_per_second {
            let rate = self.batch_start.elapsed().as_secs_f64().recip();
            self.train()?.write("batch_steps_per_second", step, Summary::Scalar(rate))?;
        }
        for (name, value) in logs.iter() {
            self.train()?.write(&format!("batch_{name}"), step, Summary::Scalar(value))?;
        }
        Ok(())
    }

    fn on_test_end(&mut self, logs: &Logs, model: &mut Model) -> Result<()> {
        let step = model.iterations()?;
        for (name, value) in logs.iter() {
            self.validation()?.write(&format!("evaluation_{name}_vs_iterations"), step, Summary::Scalar(value))?;
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let step = epoch as u64;
        let mut figures = logs.clone();
        figures.set("learning_rate", model.learning_rate()?);
        if self.write_steps_per_second {
            let (start, before) = self.epoch_start;
            let rate = (model.iterations()? - before) as f64 / start.elapsed().as_secs_f64();
            figures.set("steps_per_second", rate);
        }
        for (name, value) in figures.iter() {
            let (writer, name) = match name.strip_prefix("val_") {
                Some(name) => (self.validation()?, name),
                None => (self.train()?, name),
            };
            writer.write(&format!("epoch_{name}"), step, Summary::Scalar(value))?;
        }
        if self.histogram_freq > 0 && epoch.is_multiple_of(self.histogram_freq) {
            self.write_weights(step, model)?;
        }
        Ok(())
    }
}
