//! Weights in and out of a model, and from device to device.

#[cfg(feature = "keras")]
use std::collections::HashSet;

use super::Model;
use crate::error::{Error, Kind, Result, entry};
#[cfg(feature = "keras")]
use crate::nn::layers::WeightGroup;
use crate::nn::model::SharedLayer;
use crate::nn::optimizers::AnyOptimizer;
use crate::{Device, Tensor, Var};

impl Model {
    /// Copies of all weights, layer by layer, unaffected by later training. They stay on the device.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.build([4])?;
    /// let weights = model.get_weights()?;
    /// assert_eq!((weights[0].dims(), weights[1].dims()), (&[4, 3][..], &[3][..]));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    #[track_caller]
    pub fn get_weights(&self) -> Result<Vec<Tensor>> {
        entry(|| {
            // A product is a tensor of its own; the value alone would be lost with the next assignment.
            let copy = |var: &Var| var.value().detach().mul(1.0);
            let copies = self.weights().iter().map(copy).collect::<Result<Vec<Tensor>>>()?;
            self.device().map_or(Ok(()), |device| device.flush())?;
            Ok(copies)
        })
    }

    /// Sets all weights, in the order of [`get_weights`](Self::get_weights); the tensors may be on any device.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.build([4])?;
    /// let (kernel, bias) = (Tensor::ones([4, 3], DType::F32, &Device::cpu())?, Tensor::zeros([3], DType::F32, &Device::cpu())?);
    /// model.set_weights(&[kernel, bias])?;
    /// let y = model.call(&Tensor::ones([1, 4], DType::F32, &Device::cpu())?, false)?;
    /// assert_eq!(y.to_vec::<f32>()?, [4.0, 4.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
        self.device().map_or(Ok(()), |device| device.flush())
    }

    /// The weights as Keras's files have them, each once.
    #[cfg(feature = "keras")]
    pub(in crate::nn) fn weight_groups(&self) -> Vec<WeightGroup> {
        let (mut groups, mut seen) = (self.graph.weight_groups(&self.name), HashSet::new());
        // A layer that is in two models is where it was met first.
        groups.retain(|group| group.weights.is_empty() || group.weights.iter().any(|var| seen.insert(var.id())));
        groups
    }

    /// The optimizer, once the model is compiled.
    pub fn optimizer(&self) -> Option<&dyn AnyOptimizer> {
        self.compiled.as_ref().map(|compiled| compiled.optimizer.as_ref())
    }

    /// The optimizer, to change it.
    pub fn optimizer_mut(&mut self) -> Option<&mut (dyn AnyOptimizer + 'static)> {
        self.compiled.as_mut().map(|compiled| compiled.optimizer.as_mut())
    }

    /// The name of the layer that has this weight.
    fn layer_of(&self, var: &Var) -> String {
        let owns = |layer: &SharedLayer| layer.weights().iter().any(|w| w.id() == var.id());
        self.layers().find(owns).map_or(self.name.clone(), |layer| layer.name().to_owned())
    }

    /// Moves the weights and the optimizer's accumulators to a device; the metrics start again there. `fit`,
    /// `evaluate` and `predict` do it by themselves where the data is elsewhere.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// use wgtensor::Device;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.build([4])?;
    /// let other = Device::open_with("cpu", &Default::default())?;
    /// model.to_device(&other)?;
    /// assert_eq!(model.device().as_ref(), Some(&other));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of either device.
    #[track_caller]
    pub fn to_device(&mut self, device: &Device) -> Result<()> {
        entry(|| match self.is_built() && self.graph.is_on(device) {
            true => Ok(()),
            false => self.build_on(device),
        })
    }
}
