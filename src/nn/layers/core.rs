//! Layers without weights: reshaping, masking, dropout.

use super::{BuildCtx, CallCtx, Layer};
use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::nn::config::{declare, declared, share};
use crate::shape::Shape;

declare! {
    /// All dimensions after the batch merged into one.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &device)?;
    /// assert_eq!(Sequential::new().add(Flatten::new()).call(&x, false)?.dims(), [1, 48]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Flatten {}
    fixed { data_format: "channels_last" }
}

impl Layer for Flatten {
    declared!("keras.layers");

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

declare! {
    /// Each sample given another shape of as many elements.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &device)?;
    /// assert_eq!(Sequential::new().add(Reshape::new([-1, 3])).call(&x, false)?.dims(), [1, 16, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Reshape(
        /// The shape of a sample, of which one extent may be -1: whatever is left.
        target_shape: Vec<isize>,
    ) {}
}

impl Layer for Reshape {
    declared!("keras.layers");

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
        let known: usize = self.target_shape.iter().filter(|&&d| d >= 0).map(|&d| d as usize).product();
        let unknown = self.target_shape.iter().filter(|&&d| d < 0).count();
        let left = input.numel().checked_div(known).unwrap_or(0);
        let fits = match unknown {
            0 => known == input.numel(),
            1 => known * left == input.numel() && known > 0,
            _ => false,
        };
        if !fits || self.target_shape.iter().any(|&d| d < -1) {
            return Err(Error::parts(
                Kind::Shape,
                "The total size of the tensor must be unchanged by a `Reshape` layer",
                &format!("input_shape={input}, target_shape={:?}", self.target_shape),
                &format!("a target of {} elements, with at most one -1", input.numel()),
                "Change the target shape",
            ));
        }
        let dims: Vec<usize> = self.target_shape.iter().map(|&d| if d < 0 { left } else { d as usize }).collect();
        Shape::new(&dims)
    }
}

declare! {
    /// Sets a random share of the values to zero while training, and scales the others by `1 / (1 - rate)`.
    ///
    /// The mask follows from a seed of each step and is computed where it is used, forward and backward: never stored.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(Dropout::new(0.5));
    /// let x = Tensor::ones([1, 1000], DType::F32, &device)?;
    /// assert_eq!(model.call(&x, false)?.min(())?.item::<f32>()?, 1.0); // not while predicting
    /// let y = model.call(&x, true)?;
    /// assert_eq!((y.min(())?.item::<f32>()?, y.max(())?.item::<f32>()?), (0.0, 2.0));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Dropout(
        /// The probability with which a value is dropped.
        rate: f64 where share,
    ) {
        /// Mixes a seed of your own into the layer's.
        seed: Option<u64> = None,
    }
}

impl Layer for Dropout {
    declared!("keras.layers");

    fn passes_mask(&self) -> bool {
        true
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

declare! {
    /// Masks the steps of a sequence `(batch, steps, features)` whose features all are `mask_value`: the layers after leave
    /// them out, and their features become 0.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// // Two steps of two features each; the second is padding, which the mean of the loss leaves out.
    /// let x = Tensor::new([[[1.0f32, 2.0], [0.0, 0.0]]], &device)?;
    /// let mut model = Sequential::new().add(Masking::new()).add(Dense::new(1));
    /// assert_eq!(model.call(&x, false)?.dims(), [1, 2, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Masking {
        /// The value that stands for padding.
        mask_value: f64 = 0.0,
    }
}

impl Layer for Masking {
    declared!("keras.layers");

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        let mask = x.ne(self.mask_value)?.any(-1)?;
        let counted = mask.expand_dims(-1)?.cast(x.dtype())?;
        ctx.set_mask(0, mask);
        x.mul(counted)
    }
}
