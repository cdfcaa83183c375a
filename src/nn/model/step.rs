//! Steps over batches of data, each one submission: recorded for the first batches of a size, then replayed.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::Model;
use super::batches::Batch;
use super::feed::Fed;
use crate::Tensor;
use crate::error::Result;
use crate::graph::replay::Recordings;

/// The steps of one call of `fit`, `evaluate` or `predict` over the same data.
pub(super) struct Steps {
    recordings: Recordings,
    /// Records each step.
    eager: bool,
}

impl Steps {
    pub(super) fn new(eager: bool) -> Self {
        Steps { recordings: Recordings::default(), eager }
    }

    /// Submits what `record` makes of a batch; `key` is what it depends on besides that.
    pub(super) async fn submit(
        &mut self,
        fed: &Fed,
        key: u64,
        mut record: impl FnMut(Batch) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let (device, there) = (fed.device().clone(), fed.inputs());
        let mut results = Vec::new();
        device
            .submit_async(|| {
                if self.eager {
                    results = record(fed.batch(there.into_iter().cloned().collect())?)?;
                    return device.flush();
                }
                let step = &mut |inputs: Vec<Tensor>| record(fed.batch(inputs)?);
                results = self.recordings.call(&device, key, &there, step)?;
                Ok(())
            })
            .await?;
        Ok(results)
    }
}

impl Model {
    /// What a step depends on that a callback can change: equal numbers, equal steps.
    pub(super) fn structure(&self) -> u64 {
        let mut hasher = FxHasher::default();
        self.compiled.as_ref().map(|compiled| compiled.id).hash(&mut hasher);
        (self.policy as u8).hash(&mut hasher);
        for layer in self.layers() {
            layer.is_trainable().hash(&mut hasher);
            layer.weights().iter().for_each(|var| (var.id(), var.is_trainable()).hash(&mut hasher));
        }
        hasher.finish()
    }
}
