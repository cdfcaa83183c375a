//! Layers: the trait, and Keras's standard ones.

mod activation;
mod conv;
mod core;
mod dense;
mod embedding;
mod normalization;
mod pooling;

use std::cell::RefCell;

pub use activation::{ActivationLayer, LeakyReLU};
pub use conv::{Conv2D, IntoPadding, Pair};
pub use core::{Dropout, Flatten, Input, Rescaling, Reshape};
pub use dense::Dense;
pub use embedding::Embedding;
pub use normalization::{BatchNormalization, LayerNormalization};
pub use pooling::{AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D};

use crate::error::{Error, Kind, Result};
use crate::nn::activations::Activation;
use crate::nn::initializers::Initializer;
use crate::nn::names::with_batch;
use crate::nn::seeds::SeedStream;
use crate::shape::Shape;
use crate::{Device, Tensor, Var};

/// One step of a model: weights, and a function from a batch to a batch.
///
/// Implement it to make a layer of your own; only [`call`](Layer::call) and
/// [`class_name`](Layer::class_name) are required. Shapes given to `build` and `output_shape` are those of one sample:
/// the batch dimension comes first in the tensors of `call` and is left out here.
///
/// ```
/// use wgtensor::nn::*;
/// use wgtensor::{Result, Shape, Tensor, Var};
///
/// /// Multiplies each feature by a weight.
/// struct Scale(Option<Var>);
///
/// impl Layer for Scale {
///     fn class_name(&self) -> &'static str {
///         "Scale"
///     }
///     fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
///         self.0 = Some(ctx.weight("factor", &input[input.rank() - 1..], &Initializer::Ones)?);
///         Ok(())
///     }
///     fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
///         x.mul(self.0.as_ref().expect("built").value())
///     }
///     fn weights(&self) -> Vec<Var> {
///         self.0.iter().cloned().collect()
///     }
/// }
///
/// let mut model = Sequential::new().add(Input::new([3])).add(Scale(None)).add(Dense::new(1));
/// assert_eq!(model.count_params()?, 3 + 4);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Layer: Send + Sync {
    /// The name of the layer's type, as shown by `summary()`.
    fn class_name(&self) -> &'static str;

    /// The name given by the user; without one, the model makes one from the class name.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Creates the weights for samples of shape `input`. Called once, before the first `call`; once more when the
    /// model moves to another device.
    ///
    /// # Errors
    /// An input that the layer cannot take, or a setting that makes no sense.
    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let _ = (input, ctx);
        Ok(())
    }

    /// Whether integers are left as they are; without it the model gives this layer floats.
    fn keeps_integers(&self) -> bool {
        false
    }

    /// Whether the input is numbers of rows in a table. `fit`, `evaluate` and `predict` then find out their range before
    /// the first step, where the numbers were computed on the device, and [`call`](Layer::call) can refuse it.
    fn takes_indices(&self) -> bool {
        false
    }

    /// The layer applied to a batch.
    ///
    /// # Errors
    /// A batch of another shape than the layer was built for.
    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor>;

    /// The shape of one output sample, for input samples of shape `input`.
    ///
    /// # Errors
    /// An input that the layer cannot take.
    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    /// All weights in Keras's order: the trainable ones, then the others.
    fn weights(&self) -> Vec<Var> {
        Vec::new()
    }
}

/// What a layer needs to create its weights.
pub struct BuildCtx<'a> {
    device: &'a Device,
    name: &'a str,
    seeds: &'a mut SeedStream,
}

impl<'a> BuildCtx<'a> {
    /// For a layer called `name` on `device`, its initial weights drawn from `seeds`.
    pub fn new(device: &'a Device, name: &'a str, seeds: &'a mut SeedStream) -> Self {
        BuildCtx { device, name, seeds }
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The layer's name in its model.
    pub fn name(&self) -> &str {
        self.name
    }

    /// A trainable weight of this shape, called `layer/name`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn weight(&mut self, name: &str, shape: &[usize], initializer: &Initializer) -> Result<Var> {
        let values = initializer.sample(&Shape::new(shape)?, self.seeds.draw(), self.device)?;
        Var::named(format!("{}/{name}", self.name), &values)
    }

    /// A weight that the optimizer leaves alone, such as a running mean.
    ///
    /// # Errors
    /// Those of the device.
    pub fn state(&mut self, name: &str, shape: &[usize], initializer: &Initializer) -> Result<Var> {
        let var = self.weight(name, shape, initializer)?;
        var.set_trainable(false);
        Ok(var)
    }
}

/// How a layer is being called.
pub struct CallCtx {
    training: bool,
    frozen: bool,
    seeds: RefCell<SeedStream>,
}

impl CallCtx {
    /// A call for inference: no dropout, stored statistics.
    pub fn inference() -> Self {
        CallCtx { training: false, frozen: false, seeds: RefCell::new(SeedStream::new(0)) }
    }

    /// A call for training; whatever is random follows from `seed`.
    pub fn training(seed: u64) -> Self {
        CallCtx { training: true, frozen: false, seeds: RefCell::new(SeedStream::new(seed)) }
    }

    /// The same call for a layer whose weights are frozen or not.
    pub(crate) fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Whether the model is being trained.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// Whether the layer's weights are frozen; batch normalisation then uses its stored statistics in training too.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// A fresh seed for a random operation of this call.
    pub fn seed(&self) -> u64 {
        self.seeds.borrow_mut().draw()
    }
}

/// The weight, or the error of a layer called before it was built.
pub(crate) fn built<T>(part: &Option<T>) -> Result<&T> {
    part.as_ref().ok_or_else(|| {
        Error::parts(
            Kind::State,
            "A layer was called before it was built",
            "a layer without weights",
            "a built layer",
            "Add it to a model, or call its `build` first",
        )
    })
}

/// Refuses an input of another rank than the layer takes; `rank` counts the batch dimension.
pub(crate) fn check_rank(layer: &str, rank: usize, sample: &[usize]) -> Result<()> {
    if sample.len() + 1 == rank {
        return Ok(());
    }
    let (found, full) = (sample.len() + 1, with_batch(sample));
    Err(Error::parts(
        Kind::Shape,
        &format!(
            "Input 0 with name 'None' of layer '{layer}' is incompatible with the layer: \
             expected ndim={rank}, found ndim={found}. Full shape received: {full}"
        ),
        &format!("shape {full}"),
        &format!("{rank} dimensions, the batch first"),
        "Reshape the data, or add a layer such as `Flatten` or `Reshape` before",
    ))
}

/// Refuses an input whose last dimension is not the one the layer was built for.
pub(crate) fn check_last(layer: &str, expected: usize, shape: &Shape) -> Result<()> {
    if shape.last() == Some(&expected) {
        return Ok(());
    }
    Err(Error::parts(
        Kind::Shape,
        &format!(
            "Input 0 with name 'None' of layer '{layer}' is incompatible with the layer: expected axis -1 of input \
             shape to have value {expected}, but received input with shape {shape}"
        ),
        &format!("shape {shape}"),
        &format!("{expected} as the last dimension"),
        "Give data of the width that the layer was built for, or build a new model",
    ))
}

/// What [`Sequential::add`](crate::nn::Sequential::add) takes: a layer, an [`Input`], or an [`Activation`].
pub trait IntoLayer {
    /// The layer, or the shape of the input.
    fn into_layer(self) -> Added;
}

/// What was added to a model.
pub enum Added {
    /// A layer.
    Layer(Box<dyn Layer>),
    /// The shape of one input sample.
    Input(Result<Shape>),
}

impl<L: Layer + 'static> IntoLayer for L {
    fn into_layer(self) -> Added {
        Added::Layer(Box::new(self))
    }
}

impl IntoLayer for Box<dyn Layer> {
    fn into_layer(self) -> Added {
        Added::Layer(self)
    }
}

impl IntoLayer for Activation {
    fn into_layer(self) -> Added {
        Added::Layer(Box::new(ActivationLayer::shorthand(self)))
    }
}

/// Settings that every layer has, as builder methods.
macro_rules! named {
    () => {
        /// A name of your own; without it the model makes one from the class name.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.name = Some(name.into());
            self
        }
    };
}
pub(crate) use named;

#[cfg(test)]
mod tests;
