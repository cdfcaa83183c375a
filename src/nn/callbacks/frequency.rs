//! How often a callback acts.

use crate::error::{Error, Result};

/// How often a callback acts: at the end of each epoch, or after every so many batches. A number stands for batches.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let every_100_batches = ModelCheckpoint::new("last.safetensors").save_weights_only(true).save_freq(100);
/// let every_epoch = ModelCheckpoint::new("last.safetensors").save_freq(callbacks::Frequency::Epoch);
/// # drop((every_100_batches, every_epoch));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frequency {
    /// At the end of each epoch.
    #[default]
    Epoch,
    /// After every so many batches of training, counted across epochs.
    Batches(usize),
}

impl From<usize> for Frequency {
    fn from(batches: usize) -> Self {
        Frequency::Batches(batches)
    }
}

impl Frequency {
    /// Refuses every 0 batches.
    pub(super) fn check(self, class: &str, setting: &str) -> Result<()> {
        match self {
            Frequency::Batches(0) => Err(Error::setting(class, setting, 0, "`Frequency::Epoch` or a positive integer")),
            _ => Ok(()),
        }
    }

    /// Whether it is time after this many batches.
    pub(super) fn is_due(self, batches: usize) -> bool {
        matches!(self, Frequency::Batches(every) if batches.is_multiple_of(every))
    }
}
