//! Vectors for integers.

use super::{BuildCtx, CallCtx, Layer, built};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::nn::config::{declare, declared, positive};
use crate::nn::initializers::Initializer;
use crate::shape::Shape;
use crate::{Tensor, Var};

/// Uniform within 0.05 of zero.
const UNIFORM: Initializer = Initializer::RandomUniform { low: -0.05, high: 0.05 };

declare! {
    /// Looks up a vector of `output_dim` for each integer below `input_dim`; table `(input_dim, output_dim)`.
    ///
    /// The table starts uniform within 0.05 of zero. An integer outside is an error in data given to `fit`, `evaluate` and
    /// `predict`. Where the integers are computed within the model, or the layer is called by hand with integers computed on
    /// the device, the vector of one outside is NaN (a negative one counts from the end of the table).
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(Embedding::new(100, 4));
    /// let words = Tensor::new([[7, 3, 7]], &device)?;
    /// let vectors = model.call(&words, false)?;
    /// assert_eq!(vectors.dims(), [1, 3, 4]);
    /// assert_eq!(vectors.take(0, 1)?.to_vec::<f32>()?, vectors.take(2, 1)?.to_vec::<f32>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Embedding(
        /// How many vectors there are.
        input_dim: usize where positive,
        /// How long a vector is.
        output_dim: usize where positive,
    ) {
        /// Whether 0 stands for padding, which the layers after leave out.
        mask_zero: bool = false,
        /// How the table starts: an [`Initializer`] or its name.
        embeddings_initializer: Initializer = UNIFORM,
    }
    state { table: Option<Var> }
}

impl Layer for Embedding {
    declared!("keras.layers");

    fn build(&mut self, _: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        self.table =
            Some(ctx.weight("embeddings", &[self.input_dim, self.output_dim], &self.embeddings_initializer)?);
        Ok(())
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn takes_indices(&self, _: usize) -> bool {
        true
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        if let Some((low, high)) = x.bounds()
            && !(low >= 0 && high < self.input_dim as i64)
        {
            return Err(Error::parts(
                Kind::Index,
                "An `Embedding` was given an integer outside its table",
                &format!("{} for input_dim={}", if low < 0 { low } else { high }, self.input_dim),
                &format!("integers from 0 to {}", self.input_dim - 1),
                "Give `Embedding` a larger `input_dim`, or check the data",
            ));
        }
        if self.mask_zero {
            ctx.set_mask(0, x.ne(0)?);
        }
        let table = built(&self.table)?.value();
        match x.dtype() {
            DType::I32 | DType::U32 => table.take(x, 0),
            _ => table.take(&x.cast(DType::I32)?, 0),
        }
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        Shape::new(&[input.dims(), &[self.output_dim]].concat())
    }

    fn weights(&self) -> Vec<Var> {
        self.table.iter().cloned().collect()
    }
}
