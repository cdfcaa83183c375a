//! Weights in and out of a model, and from device to device.

use super::Sequential;
use crate::error::{Error, Kind, Result, entry};
use crate::{Device, Tensor, Var};

impl Sequential {
    /// Copies of all weights, layer by layer, unaffected by later training. They stay on the device.
    ///
    /// # Errors
    /// Those of the device.
    #[track_caller]
    pub fn get_weights(&self) -> Result<Vec<Tensor>> {
        entry(|| {
            // A product is a tensor of its own; the value alone would be lost with the next assignment.
            let copy = |var: &Var| var.value().detach().mul(1.0);
            let copies = self.weights().iter().map(copy).collect::<Result<Vec<Tensor>>>()?;
            self.device.as_ref().map_or(Ok(()), Device::flush)?;
            Ok(copies)
        })
    }

    /// Sets all weights, in the order of [`get_weights`](Self::get_weights); the tensors may be on any device.
    ///
    /// # Errors
    /// Another number of tensors than of weights, or a tensor of another shape; nothing is set then.
    #[track_caller]
    pub fn set_weights(&mut self, values: &[Tensor]) -> Result<()> {
        entry(|| self.assign_weights(values))
    }

    fn assign_weights(&mut self, values: &[Tensor]) -> Result<()> {
        self.build_known("set_weights")?;
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
        self.device.as_ref().map_or(Ok(()), Device::flush)
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
    #[track_caller]
    pub fn to_device(&mut self, device: &Device) -> Result<()> {
        entry(|| match self.device.clone() {
            Some(old) if old != *device => {
                self.build_on(&old)?;
                self.move_to(device)
            }
            _ if self.is_built() => Ok(()),
            _ => self.build_on(device),
        })
    }

    fn move_to(&mut self, device: &Device) -> Result<()> {
        let (old, values) = (self.weights(), self.get_weights()?);
        self.layers.iter_mut().for_each(|entry| entry.output = None);
        self.build_on(device)?;
        let new = self.weights();
        if let Some(compiled) = &mut self.compiled {
            compiled.optimizer.transfer(&old, &new)?;
        }
        self.assign_weights(&values)
    }
}
