//! The fully connected layer.

use super::{BuildCtx, CallCtx, Layer, built, check_last};
use crate::error::{Error, Result};
use crate::nn::activations::{Activation, IntoActivation};
use crate::nn::initializers::{Initializer, IntoInitializer};
use crate::shape::Shape;
use crate::{Tensor, Var};

/// `activation(x @ kernel + bias)` on the last axis; kernel `(inputs, units)`, bias `(units,)`.
///
/// Defaults: linear activation, bias, `glorot_uniform` kernel, zero bias.
pub struct Dense {
    units: usize,
    activation: Result<Activation>,
    use_bias: bool,
    kernel_initializer: Result<Initializer>,
    bias_initializer: Result<Initializer>,
    built: Option<Built>,
}

struct Built {
    layer: String,
    kernel: Var,
    bias: Option<Var>,
}

impl Dense {
    /// A layer of `units` outputs.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Ok(Activation::Linear),
            use_bias: true,
            kernel_initializer: Ok(Initializer::GLOROT_UNIFORM),
            bias_initializer: Ok(Initializer::Zeros),
            built: None,
        }
    }

    /// The function applied at the end: an [`Activation`] or its name.
    pub fn activation(mut self, activation: impl IntoActivation) -> Self {
        self.activation = activation.into_activation();
        self
    }

    /// Whether to add a bias; it does by default.
    pub fn use_bias(mut self, yes: bool) -> Self {
        self.use_bias = yes;
        self
    }

    /// How the kernel starts: an [`Initializer`] or its name.
    pub fn kernel_initializer(mut self, initializer: impl IntoInitializer) -> Self {
        self.kernel_initializer = initializer.into_initializer();
        self
    }

    /// How the bias starts: an [`Initializer`] or its name.
    pub fn bias_initializer(mut self, initializer: impl IntoInitializer) -> Self {
        self.bias_initializer = initializer.into_initializer();
        self
    }
}

impl Layer for Dense {
    fn class_name(&self) -> &'static str {
        "Dense"
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        self.activation.clone()?;
        let Some(&inputs) = input.last() else {
            return Err(super::check_rank(ctx.name(), 2, input).unwrap_err());
        };
        if self.units == 0 {
            return Err(positive(ctx.name(), "units", self.units));
        }
        let kernel = ctx.weight("kernel", &[inputs, self.units], &self.kernel_initializer.clone()?)?;
        let bias = match self.use_bias {
            true => Some(ctx.weight("bias", &[self.units], &self.bias_initializer.clone()?)?),
            false => None,
        };
        self.built = Some(Built { layer: ctx.name().to_owned(), kernel, bias });
        Ok(())
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let built = built(&self.built)?;
        let inputs = built.kernel.shape()[0];
        check_last(&built.layer, inputs, x.shape())?;
        // One matrix product over all leading dimensions.
        let rows = x.numel() / inputs.max(1);
        let flat = if x.rank() == 2 { x.clone() } else { x.reshape([rows, inputs])? };
        let mut y = flat.matmul(&built.kernel.value())?;
        if let Some(bias) = &built.bias {
            y = y.add(bias.value())?;
        }
        if x.rank() != 2 {
            y = y.reshape(x.shape().with(x.rank() - 1, self.units))?;
        }
        self.activation.clone()?.apply(&y)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        super::check_rank("dense", input.rank().max(1) + 1, input)?;
        Ok(input.with(input.rank() - 1, self.units))
    }

    fn weights(&self) -> Vec<Var> {
        let built = self.built.iter();
        built.flat_map(|b| std::iter::once(b.kernel.clone()).chain(b.bias.clone())).collect()
    }
}

/// The error of a size that must be positive and is not.
pub(crate) fn positive(layer: &str, what: &str, received: usize) -> Error {
    Error::setting(&format!("Layer '{layer}'"), what, received, "a positive integer")
}
