//! Callbacks that change the learning rate.

use super::monitor::{Monitor, monitored};
use crate::error::{Error, Result};
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};
use crate::nn::progress::print;

/// Lowers the learning rate when a figure no longer improves.
///
/// Defaults: monitors `val_loss`, factor 0.1, patience 10, min_delta 1e-4. Adds `learning_rate` to the history.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let plateau = ReduceLROnPlateau::new().monitor("loss").min_delta(100.0).patience(1).factor(0.5);
/// let history = model.fit(&x, &y, Fit::new().epochs(3).callbacks(plateau).verbose(0))?;
/// assert_eq!(history["learning_rate"].len(), 3);
/// assert_eq!(model.learning_rate()?, 0.01 * 0.5 * 0.5);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct ReduceLROnPlateau {
    watched: Monitor,
    patience: usize,
    verbose: bool,
    factor: f64,
    cooldown: usize,
    min_lr: f64,
    wait: usize,
    cooling: usize,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        ReduceLROnPlateau {
            watched: Monitor::new(1e-4),
            patience: 10,
            verbose: false,
            factor: 0.1,
            cooldown: 0,
            min_lr: 0.0,
            wait: 0,
            cooling: 0,
        }
    }
}

impl ReduceLROnPlateau {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rate is multiplied by this, which must be below 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs to rest after a change.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The rate does not go below this.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    monitored!();
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::setting("ReduceLROnPlateau", "factor", self.factor, "a number from 0 to below 1"));
        }
        (self.watched.best, self.wait, self.cooling) = (None, 0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let rate = model.learning_rate()?;
        logs.set("learning_rate", rate);
        let Some(current) = self.watched.current(logs, "Learning rate reduction is") else { return Ok(()) };
        self.watched.resolve("ReduceLROnPlateau", model)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if self.watched.improves(current, self.watched.best) {
            self.watched.best = Some(current);
            self.wait = 0;
        } else if self.cooling == 0 {
            self.wait += 1;
            if self.wait >= self.patience && rate > self.min_lr {
                let lower = (rate * self.factor).max(self.min_lr);
                model.set_learning_rate(lower)?;
                if self.verbose {
                    print(&format!("\nEpoch {}: ReduceLROnPlateau reducing learning rate to {lower:?}.\n", epoch + 1));
                }
                (self.cooling, self.wait) = (self.cooldown, 0);
            }
        }
        Ok(())
    }
}

/// Sets the learning rate of each epoch from a function of the epoch and the rate so far.
/// Adds `learning_rate` to the history.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let halved = LearningRateScheduler::new(|epoch, rate| if epoch == 0 { rate } else { rate / 2.0 });
/// let history = model.fit(&x, &y, Fit::new().epochs(3).callbacks(halved).verbose(0))?;
/// assert_eq!(history["learning_rate"], [0.01, 0.005, 0.0025]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct LearningRateScheduler<F> {
    schedule: F,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// `schedule(epoch, rate)` is the new rate; epochs count from 0.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler { schedule }
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        let rate = (self.schedule)(epoch, model.learning_rate()?);
        model.set_learning_rate(rate)
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        logs.set("learning_rate", model.learning_rate()?);
        Ok(())
    }
}
