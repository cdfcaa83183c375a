//! Functions as callbacks.

use crate::error::Result;
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};

/// A function called after each epoch.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::Logs;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let mut seen = Vec::new();
/// let note = LambdaCallback::new(|epoch, logs: &mut Logs, _: &mut Model| {
///     seen.push((epoch, logs["loss"]));
///     Ok(())
/// });
/// model.fit(&x, &y, Fit::new().epochs(3).callbacks(note).verbose(0))?;
/// assert_eq!(seen.len(), 3);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct LambdaCallback<F> {
    on_epoch_end: F,
}

impl<F: FnMut(usize, &mut Logs, &mut Model) -> Result<()>> LambdaCallback<F> {
    /// Calls `on_epoch_end(epoch, logs, model)`.
    pub fn new(on_epoch_end: F) -> Self {
        LambdaCallback { on_epoch_end }
    }
}

impl<F: FnMut(usize, &mut Logs, &mut Model) -> Result<()>> Callback for LambdaCallback<F> {
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        (self.on_epoch_end)(epoch, logs, model)
    }
}
