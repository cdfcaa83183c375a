//! Activations as layers of their own.

use super::{BuildCtx, CallCtx, Layer};
use crate::Tensor;
use crate::error::Result;
use crate::nn::activations::{Activation, IntoActivation};
use crate::shape::Shape;

/// An activation as a layer: Keras's `Activation("relu")`.
///
/// `model.add(Softmax)` is a shorthand that makes Keras's `Softmax`, `ReLU` and `ELU` layers, and this one of the rest.
pub struct ActivationLayer {
    activation: Result<Activation>,
    class: &'static str,
}

impl ActivationLayer {
    /// The function: an [`Activation`] or its name.
    pub fn new(activation: impl IntoActivation) -> Self {
        ActivationLayer { activation: activation.into_activation(), class: "Activation" }
    }

    /// The layer that Keras has under the activation's own name, where it has one with the same formula.
    pub fn shorthand(activation: Activation) -> Self {
        let class = match activation {
            Activation::Relu => "ReLU",
            Activation::Softmax => "Softmax",
            Activation::Elu => "ELU",
            _ => "Activation",
        };
        ActivationLayer { activation: Ok(activation), class }
    }
}

impl Layer for ActivationLayer {
    fn class_name(&self) -> &'static str {
        self.class
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, _: &Shape, _: &mut BuildCtx<'_>) -> Result<()> {
        self.activation.clone().map(|_| ())
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        let activation = self.activation.clone()?;
        match ctx.mask() {
            // Keras's way to leave elements out of a softmax.
            Some(mask) if self.class == "Softmax" && mask.rank() == x.rank() => {
                activation.apply(&x.add(mask.logical_not()?.cast(x.dtype())?.mul(-1e9)?)?)
            }
            _ => activation.apply(x),
        }
    }
}

/// `x` where positive, else `negative_slope * x`; the slope is 0.3 by default, as of Keras's layer (its activation
/// function of the same name has 0.2).
pub struct LeakyReLU {
    negative_slope: f64,
}

impl LeakyReLU {
    /// The layer with Keras's default slope of 0.3.
    pub fn new() -> Self {
        Self::default()
    }

    /// The factor of negative values.
    pub fn negative_slope(mut self, slope: f64) -> Self {
        self.negative_slope = slope;
        self
    }
}

impl Default for LeakyReLU {
    fn default() -> Self {
        LeakyReLU { negative_slope: 0.3 }
    }
}

impl Layer for LeakyReLU {
    fn class_name(&self) -> &'static str {
        "LeakyReLU"
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        x.leaky_relu(self.negative_slope)
    }
}
