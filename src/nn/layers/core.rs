//! Layers without weights: reshaping, masking, dropout, rescaling.

use super::{BuildCtx, CallCtx, Layer};
use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::shape::Shape;

/// All dimensions after the batch merged into one.
#[derive(Default)]
pub struct Flatten {}

impl Flatten {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer for Flatten {
    fn class_name(&self) -> &'static str {
        "Flatten"
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let (&batch, sample) = x.dims().split_first().unwrap_or((&1, &[]));
        x.reshape([batch, sample.iter().product()])
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        Shape::new(&[input.numel()])
    }
}

/// Each sample given another shape of as many elements.
pub struct Reshape {
    target: Vec<isize>,
}

impl Reshape {
    /// Samples of shape `target`, of which one extent may be -1: whatever is left.
    pub fn new(target: impl AsRef<[isize]>) -> Self {
        Reshape { target: target.as_ref().to_vec() }
    }
}

impl Layer for Reshape {
    fn class_name(&self) -> &'static str {
        "Reshape"
    }

    fn build(&mut self, input: &Shape, _: &mut BuildCtx<'_>) -> Result<()> {
        self.output_shape(input).map(|_| ())
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let (&batch, sample) = x.dims().split_first().unwrap_or((&1, &[]));
        let target = self.output_shape(&Shape::new(sample)?)?;
        x.reshape([&[batch], target.dims()].concat())
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        let known: usize = self.target.iter().filter(|&&d| d >= 0).map(|&d| d as usize).product();
        let unknown = self.target.iter().filter(|&&d| d < 0).count();
        let left = input.numel().checked_div(known).unwrap_or(0);
        let fits = match unknown {
            0 => known == input.numel(),
            1 => known * left == input.numel() && known > 0,
            _ => false,
        };
        if !fits || self.target.iter().any(|&d| d < -1) {
            return Err(Error::parts(
                Kind::Shape,
                "The total size of the tensor must be unchanged by a `Reshape` layer",
                &format!("input_shape={input}, target_shape={:?}", self.target),
                &format!("a target of {} elements, with at most one -1", input.numel()),
                "Change the target shape",
            ));
        }
        let dims: Vec<usize> = self.target.iter().map(|&d| if d < 0 { left } else { d as usize }).collect();
        Shape::new(&dims)
    }
}

/// Sets a random share of the values to zero while training, and scales the others by `1 / (1 - rate)`.
///
/// The mask follows from a seed of each step and is computed where it is used, forward and backward: never stored.
pub struct Dropout {
    rate: f64,
    seed: Option<u64>,
}

impl Dropout {
    /// Drops each value with probability `rate`, in 0..=1.
    pub fn new(rate: f64) -> Self {
        Dropout { rate, seed: None }
    }

    /// Mixes a seed of your own into the layer's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Layer for Dropout {
    fn class_name(&self) -> &'static str {
        "Dropout"
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, _: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Argument,
            "Invalid value received for argument `rate`. Expected a float value between 0 and 1",
            &format!("rate={} in layer '{}'", self.rate, ctx.name()),
            "0 <= rate <= 1",
            "Give the share of values to drop",
        ))
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        if !ctx.is_training() || self.rate <= 0.0 {
            return Ok(x.clone());
        }
        let keep = 1.0 - self.rate;
        if keep <= 0.0 {
            return x.mul(0.0);
        }
        let seed = ctx.seed() ^ self.seed.unwrap_or(0);
        Tensor::bernoulli(x.shape(), keep, seed, x.device())?.where_(x.mul(1.0 / keep)?, 0.0)
    }
}

/// `x * scale + offset`.
pub struct Rescaling {
    scale: f64,
    offset: f64,
}

impl Rescaling {
    /// Multiplies by `scale`.
    pub fn new(scale: f64) -> Self {
        Rescaling { scale, offset: 0.0 }
    }

    /// Added after scaling; 0 by default.
    pub fn offset(mut self, offset: f64) -> Self {
        self.offset = offset;
        self
    }
}

impl Layer for Rescaling {
    fn class_name(&self) -> &'static str {
        "Rescaling"
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        x.mul(self.scale)?.add(self.offset)
    }
}

/// Masks the steps of a sequence `(batch, steps, features)` whose features all are `mask_value`: the layers after leave
/// them out, and their features become 0.
pub struct Masking {
    mask_value: f64,
}

impl Default for Masking {
    fn default() -> Self {
        Masking { mask_value: 0.0 }
    }
}

impl Masking {
    /// Masks steps of zeros.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value that stands for padding; 0 by default.
    pub fn mask_value(mut self, value: f64) -> Self {
        self.mask_value = value;
        self
    }
}

impl Layer for Masking {
    fn class_name(&self) -> &'static str {
        "Masking"
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        let mask = x.ne(self.mask_value)?.any(-1)?;
        let counted = mask.expand_dims(-1)?.cast(x.dtype())?;
        ctx.set_mask(0, mask);
        x.mul(counted)
    }
}
