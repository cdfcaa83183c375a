//! Activations as layers of their own.

use super::{CallCtx, Layer};
use crate::Tensor;
use crate::error::Result;
use crate::nn::activations::Activation;
use crate::nn::config::{declare, declared, nonnegative};

/// A layer that applies a function to every element, and passes masks on.
macro_rules! elementwise {
    ($name:ident, |$this:ident, $x:ident| $apply:expr) => {
        impl Layer for $name {
            declared!("keras.layers");

            fn passes_mask(&self) -> bool {
                true
            }

            fn call(&$this, $x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                $apply
            }
        }
    };
}

declare! {
    /// An activation as a layer: Keras's `Activation("relu")`.
    ///
    /// `model.add(Softmax)` is a shorthand that makes Keras's `Softmax`, `ReLU` and `ELU` layers, and this one of the rest.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[0.0f32, 1.0]], &device)?;
    /// let y = Sequential::new().add(layers::ActivationLayer::new("tanh")).call(&x, false)?;
    /// assert_eq!(format!("{y:.3}"), "[[0.000 0.762]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct ActivationLayer as "Activation" (
        /// The function: an [`Activation`] or its name.
        activation: Activation,
    ) {}
}

elementwise!(ActivationLayer, |self, x| self.activation.apply(x));

/// The layer that Keras has under the activation's own name, where it has one with the same formula.
pub(crate) fn layer_of(activation: Activation) -> Box<dyn Layer> {
    match activation {
        Activation::Relu => Box::new(ReLU::new()),
        Activation::Softmax => Box::new(SoftmaxLayer::new()),
        Activation::Elu => Box::new(ELU::new()),
        other => Box::new(ActivationLayer::new(other)),
    }
}

declare! {
    /// `max(x, 0)`; more generally `x` from `threshold` up to `max_value`, and `negative_slope * (x - threshold)` below.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[-1.0f32, 1.0, 3.0]], &device)?;
    /// let y = Sequential::new().add(ReLU::new().max_value(2.0)).call(&x, false)?;
    /// assert_eq!(format!("{y:.3}"), "[[0.000 1.000 2.000]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct ReLU {
        /// The largest output; unlimited where it is not set.
        max_value: Option<f64> where nonnegative = None,
        /// The factor of values below the threshold.
        negative_slope: f64 where nonnegative = 0.0,
        /// Where values start to pass.
        threshold: f64 where nonnegative = 0.0,
    }
}

elementwise!(ReLU, |self, x| {
    let y = match (self.negative_slope, self.threshold) {
        (0.0, 0.0) => x.relu()?,
        (slope, 0.0) => x.leaky_relu(slope)?,
        (slope, threshold) => x.gt(threshold)?.where_(x, x.sub(threshold)?.mul(slope)?)?,
    };
    match self.max_value {
        Some(most) => y.minimum(most),
        None => Ok(y),
    }
});

declare! {
    /// `x` where positive, else `alpha (exp(x) - 1)`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[-1.0f32, 1.0]], &device)?;
    /// let y = Sequential::new().add(ELU::new()).call(&x, false)?;
    /// assert_eq!(format!("{y:.3}"), "[[-0.632  1.000]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct ELU {
        /// The size of the limit for negative values.
        alpha: f64 = 1.0,
    }
}

elementwise!(ELU, |self, x| x.elu(self.alpha));

declare! {
    /// `exp(x)` normalised along an axis; what a mask of the input's own shape leaves out counts nothing.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 1.0]], &device)?;
    /// let y = Sequential::new().add(layers::SoftmaxLayer::new()).call(&x, false)?;
    /// assert_eq!(format!("{y:.3}"), "[[0.500 0.500]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct SoftmaxLayer as "Softmax" {
        /// The axis that sums to 1.
        axis: isize = -1,
    }
}

impl Layer for SoftmaxLayer {
    declared!("keras.layers");

    fn passes_mask(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        match ctx.mask() {
            // Keras's way to leave elements out of a softmax.
            Some(mask) if mask.rank() == x.rank() => {
                x.add(mask.logical_not()?.cast(x.dtype())?.mul(-1e9)?)?.softmax(self.axis)
            }
            _ => x.softmax(self.axis),
        }
    }
}

declare! {
    /// `x` where positive, else `negative_slope * x`; the default slope is that of Keras's layer (its activation function of
    /// the same name has 0.2).
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[-1.0f32, 1.0]], &device)?;
    /// let y = Sequential::new().add(LeakyReLU::new()).call(&x, false)?;
    /// assert_eq!(format!("{y:.3}"), "[[-0.300  1.000]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct LeakyReLU {
        /// The factor of negative values.
        negative_slope: f64 where nonnegative = 0.3,
    }
}

elementwise!(LeakyReLU, |self, x| x.leaky_relu(self.negative_slope));
