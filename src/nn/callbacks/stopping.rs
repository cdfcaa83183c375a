//! Callbacks that end training.

use super::monitor::{Monitor, monitored};
use crate::Tensor;
use crate::error::Result;
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};
use crate::nn::progress::print;

/// Ends training when a figure no longer improves.
///
/// Defaults: monitors `val_loss`, patience 0, keeps the last weights.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let mut stop = EarlyStopping::new().monitor("loss").min_delta(100.0).patience(2).restore_best_weights(true);
/// let history = model.fit(&x, &y, Fit::new().epochs(50).callbacks(&mut stop).verbose(0))?;
/// assert_eq!((stop.stopped_epoch(), history["loss"].len()), (Some(2), 3)); // the first, and two that were no better
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct EarlyStopping {
    watched: Monitor,
    patience: usize,
    verbose: bool,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    wait: usize,
    stopped: Option<usize>,
    best_epoch: usize,
    best_weights: Option<Vec<Tensor>>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            watched: Monitor::new(0.0),
            patience: 0,
            verbose: false,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            wait: 0,
            stopped: None,
            best_epoch: 0,
            best_weights: None,
        }
    }
}

impl EarlyStopping {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that must be beaten for the patience to start again.
    pub fn baseline(mut self, value: f64) -> Self {
        self.baseline = Some(value);
        self
    }

    /// Whether to go back to the weights of the best epoch at the end.
    pub fn restore_best_weights(mut self, yes: bool) -> Self {
        self.restore_best_weights = yes;
        self
    }

    /// Epochs at the start that are not watched.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// The epoch, from 0, after which training was ended; `None` where it was not.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped
    }

    monitored!();
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        (self.wait, self.stopped, self.best_epoch) = (0, None, 0);
        (self.watched.best, self.best_weights) = (None, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let current = self.watched.current(logs, "Early stopping");
        let Some(current) = current.filter(|_| epoch >= self.start_from_epoch) else { return Ok(()) };
        self.watched.resolve("EarlyStopping", model)?;
        if self.restore_best_weights && self.best_weights.is_none() {
            self.best_weights = Some(model.get_weights()?);
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if self.watched.improves(current, self.watched.best) {
            self.watched.best = Some(current);
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights = Some(model.get_weights()?);
            }
            if self.watched.improves(current, self.baseline) {
                self.wait = 0;
            }
        } else if self.wait >= self.patience && epoch > 0 {
            self.stopped = Some(epoch);
            model.stop_training = true;
        }
        Ok(())
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        if let Some(epoch) = self.stopped.filter(|_| self.verbose) {
            print(&format!("Epoch {}: early stopping\n", epoch + 1));
        }
        let Some(weights) = self.best_weights.take() else { return Ok(()) };
        if self.verbose {
            let best = self.best_epoch + 1;
            print(&format!("Restoring model weights from the end of the best epoch: {best}.\n"));
        }
        model.set_weights(&weights)
    }
}

/// Ends training when the loss is NaN or infinite. Reads the loss back at every step, which makes small steps slower.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let broken = y.mul(f64::NAN)?;
/// let history = model.fit(&x, &broken, Fit::new().epochs(50).callbacks(TerminateOnNaN).verbose(0))?;
/// assert_eq!(history["loss"].len(), 1);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN;

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(&mut self, batch: usize, model: &mut Model) -> Result<()> {
        if !model.running_logs()?["loss"].is_finite() {
            print(&format!("Batch {batch}: Invalid loss, terminating training\n"));
            model.stop_training = true;
        }
        Ok(())
    }
}
