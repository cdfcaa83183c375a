//! Moving averages of the weights in place of the weights.

use crate::error::{Error, Kind, Result};
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};
use crate::nn::progress::warn;
use crate::{Tensor, Var};

/// Evaluates and predicts with the moving averages of the weights that an optimizer with `use_ema` keeps, and trains on with
/// the weights themselves.
///
/// While the averages are in the model the weights are kept beside them: an evaluation costs one more copy of the trainable
/// weights.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile(SGD::new(0.1).use_ema(true), "mse", ())?;
/// let how = Fit::new().epochs(2).validation_split(0.5).verbose(0);
/// model.fit(&x, &y, how.callbacks(SwapEMAWeights::new()))?; // `val_loss` is that of the averages
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Default)]
pub struct SwapEMAWeights {
    swap_on_epoch: bool,
    /// The weights, while their averages are in the model.
    kept: Vec<(Var, Tensor)>,
}

impl SwapEMAWeights {
    /// Swaps around evaluations and predictions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the averages are in the model from the end of an epoch to the beginning of the next too, for callbacks that
    /// come after this one, such as [`ModelCheckpoint`](super::ModelCheckpoint). Default: `false`.
    pub fn swap_on_epoch(mut self, yes: bool) -> Self {
        self.swap_on_epoch = yes;
        self
    }

    /// Puts the averages into the model.
    fn swap(&mut self, model: &mut Model) -> Result<()> {
        if !self.kept.is_empty() {
            return Ok(());
        }
        let averages = model.averages()?;
        if averages.is_empty() {
            return Err(Error::parts(
                Kind::State,
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer",
                "an optimizer that keeps no averages, or a model that was never trained",
                "an optimizer with `use_ema(true)`",
                "Compile the model with such an optimizer, or leave the callback out",
            ));
        }
        for (var, average) in averages {
            // A product is a tensor of its own; the value alone would be lost with the assignment.
            let value = var.value().detach().mul(1.0)?;
            var.assign(&average.value().detach())?;
            self.kept.push((var, value));
        }
        self.flush()
    }

    /// Puts the weights back.
    fn swap_back(&mut self) -> Result<()> {
        self.kept.iter().try_for_each(|(var, value)| var.assign(value))?;
        self.flush()?;
        self.kept.clear();
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.kept.first().map_or(Ok(()), |(var, _)| var.device().flush())
    }
}

/// An evaluation that ended with an error leaves the averages in the model: the weights are put back.
impl Drop for SwapEMAWeights {
    fn drop(&mut self) {
        if let Err(why) = self.swap_back() {
            warn(&format!("The weights could not be put back after their averages: {why}"));
        }
    }
}

impl Callback for SwapEMAWeights {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        // An earlier run may have ended in between.
        self.swap_back()
    }

    fn on_epoch_begin(&mut self, _: usize, _: &mut Model) -> Result<()> {
        self.swap_back()
    }

    fn on_epoch_end(&mut self, _: usize, _: &mut Logs, model: &mut Model) -> Result<()> {
        if self.swap_on_epoch { self.swap(model) } else { Ok(()) }
    }

    fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
        // What is in the model now stays there.
        self.kept.clear();
        Ok(())
    }

    fn on_test_begin(&mut self, model: &mut Model) -> Result<()> {
        self.swap(model)
    }

    fn on_test_end(&mut self, _: &Logs, _: &mut Model) -> Result<()> {
        self.swap_back()
    }

    fn on_predict_begin(&mut self, model: &mut Model) -> Result<()> {
        self.swap(model)
    }

    fn on_predict_end(&mut self, _: &mut Model) -> Result<()> {
        self.swap_back()
    }
}
