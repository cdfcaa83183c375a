//! Functions as callbacks.

use crate::error::Result;
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};

/// A function called after each epoch.
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
