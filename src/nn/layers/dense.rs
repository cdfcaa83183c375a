//! The fully connected layer.

use super::affine::{Affine, affine};
use super::{BuildCtx, CallCtx, Layer, check_last, check_rank};
use crate::error::Result;
use crate::nn::activations::Activation;
use crate::nn::config::{declared, positive};
use crate::nn::initializers::Initializer;
use crate::shape::Shape;
use crate::{Tensor, Var};

affine! {
    /// `activation(x @ kernel + bias)` on the last axis; kernel `(inputs, units)`, bias `(units,)`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(Dense::new(3).activation(Relu).kernel_initializer("ones"));
    /// let x = Tensor::new([[1.0f32, 2.0]], &device)?;
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [3.0, 3.0, 3.0]);
    /// assert_eq!(model.count_params()?, 2 * 3 + 3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Dense(
        /// How many outputs there are.
        units: usize where positive,
    ) {}
}

impl Layer for Dense {
    declared!("keras.layers");

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let Some(&inputs) = input.last() else { return check_rank(ctx.name(), 2, input) };
        self.build_affine(ctx, inputs, &[inputs, self.units])
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let affine = Affine::of(&self.affine)?;
        check_last(&affine.layer, affine.inputs, x.shape())?;
        affine.finish(x.matmul(&affine.kernel.value())?, self.activation)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        check_rank("dense", input.rank().max(1) + 1, input)?;
        Ok(input.with(input.rank() - 1, self.units))
    }

    fn weights(&self) -> Vec<Var> {
        Affine::weights(&self.affine)
    }
}
