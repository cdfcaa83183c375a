//! Weights in and out of a model, and from device to device.

use super::Sequential;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::{Device, Tensor, Var};

/// A copy of a tensor's values on a device, through the host.
pub(crate) fn copy_to(tensor: &Tensor, device: &Device) -> Result<Tensor> {
    let shape = tensor.shape();
    match tensor.dtype() {
        DType::Bool => Tensor::from_slice(&tensor.to_vec::<bool>()?, shape, device),
        DType::I32 => Tensor::from_slice(&tensor.to_vec::<i32>()?, shape, device),
        DType::U32 => Tensor::from_slice(&tensor.to_vec::<u32>()?, shape, device),
        DType::F32 => Tensor::from_slice(&tensor.to_vec::<f32>()?, shape, device),
        DType::F64 => Tensor::from_slice(&tensor.to_vec::<f64>()?, shape, device),
    }
}

impl Sequential {
    /// Copies of all weights, layer by layer, unaffected by later training.
    ///
    /// # Errors
    /// Those of the device.
    pub fn get_weights(&self) -> Result<Vec<Tensor>> {
        self.weights().iter().map(|var| copy_to(&var.value(), var.device())).collect()
    }

    /// Sets all weights, in the order of [`get_weights`](Self::get_weights); the tensors may be on any device.
    ///
    /// # Errors
    /// Another number of tensors than of weights, or a tensor of another shape; nothing is set then.
    pub fn set_weights(&mut self, values: &[Tensor]) -> Result<()> {
        if !self.is_built() {
            if self.input.is_none() {
                return Err(self.not_built("set_weights"));
            }
            self.build_on(&Device::cpu())?;
        }
        let vars = self.weights();
        if vars.len() != values.len() {
            return Err(Error::parts(
                Kind::Argument,
                &format!(
                    "You called `set_weights(weights)` on layer '{}' with a weight list of length {}, \
                     but the layer was expecting {} weights",
                    self.name,
                    values.len(),
                    vars.len()
                ),
                &format!("{} tensors", values.len()),
                &format!("{} tensors", vars.len()),
                "Give one tensor for each weight, as `get_weights` does",
            ));
        }
        for (var, value) in vars.iter().zip(values) {
            if var.shape() != value.shape() {
                return Err(Error::parts(
                    Kind::Shape,
                    &format!(
                        "Layer {} weight shape {} is not compatible with provided weight shape {}",
                        self.layer_of(var),
                        var.shape(),
                        value.shape()
                    ),
                    &format!("shape {}", value.shape()),
                    &format!("shape {} for `{}`", var.shape(), var.name()),
                    "Give the weights in the order and the shapes of `get_weights`",
                ));
            }
        }
        for (var, value) in vars.iter().zip(values) {
            var.assign(&value.detach().to_device(var.device())?)?;
        }
        match &self.device {
            Some(device) => device.flush(),
            None => Ok(()),
        }
    }

    /// The name of the layer that has this weight.
    fn layer_of(&self, var: &Var) -> &str {
        let owns = |entry: &&super::sequential::Entry| entry.layer.weights().iter().any(|w| w.id() == var.id());
        self.layers.iter().find(owns).map_or(self.name.as_str(), |entry| entry.name.as_str())
    }

    /// Moves the weights and the optimizer's accumulators to a device; the metrics start again there. `fit`,
    /// `evaluate` and `predict` do it by themselves where the data is elsewhere.
    ///
    /// # Errors
    /// Those of either device.
    pub fn to_device(&mut self, device: &Device) -> Result<()> {
        if self.device.as_ref() == Some(device) {
            return Ok(());
        }
        if !self.is_built() {
            return self.build_on(device);
        }
        let (old, values) = (self.weights(), self.get_weights()?);
        self.build_on(device)?;
        let new = self.weights();
        if let Some(compiled) = &mut self.compiled {
            compiled.optimizer.transfer(&old, &new)?;
        }
        self.set_weights(&values)
    }
}
