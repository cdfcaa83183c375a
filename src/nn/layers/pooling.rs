//! Pooling over images `(batch, height, width, channels)`.

use super::conv::{padding_name, window_extents};
use super::{BuildCtx, CallCtx, Layer, check_rank};
use crate::error::{Error, Kind, Result};
use crate::nn::config::{Pair, declare, declared, positive};
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{Padding, PoolOptions, Tensor};

/// The shape of a pooled sample.
fn pooled(layer: &str, input: &Shape, size: Pair, strides: Pair, padding: Padding) -> Result<Shape> {
    check_rank(layer, 4, input)?;
    if let Some((height, width)) = window_extents(input, size, strides, Pair(1, 1), padding) {
        return Shape::new(&[height, width, input[2]]);
    }
    let text = format!(
        "Computed output size would be zero or negative. Received: `inputs.shape={}`, `pool_size=[{} {}]`, \
         `strides=[{} {}]`, `padding={}`",
        with_batch(input),
        size.0,
        size.1,
        strides.0,
        strides.1,
        padding_name(padding),
    );
    Err(Error::parts(
        Kind::Shape,
        &text,
        &format!("images of {}x{}", input[0], input[1]),
        &format!("at least {}x{}", size.0, size.1),
        "Use a smaller window, `\"same\"` padding, or larger images",
    ))
}

macro_rules! windowed {
    ($(#[$meta:meta])* $layer:ident, $op:ident) => {
        declare! {
            $(#[$meta])*
            pub struct $layer(
                /// Height and width of the windows; one number stands for both, and 2 is Keras's default.
                pool_size: Pair where positive = Pair(2, 2),
            ) {
                /// Steps between windows; the window's size where they are not set.
                strides: Option<Pair> where positive = None,
                /// `"valid"` or `"same"`, or a [`Padding`].
                padding: Padding = Padding::Valid,
            }
            fixed { data_format: "channels_last" }
        }

        impl Default for $layer {
            fn default() -> Self {
                $layer::initial()
            }
        }

        impl Layer for $layer {
            declared!("keras.layers");

            fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
                let strides = self.strides.unwrap_or(self.pool_size);
                pooled(ctx.name(), input, self.pool_size, strides, self.padding).map(|_| ())
            }

            fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                let strides = self.strides.unwrap_or(self.pool_size);
                let (size, strides) = (self.pool_size.tuple(), strides.tuple());
                x.$op(&PoolOptions { size, strides, padding: self.padding })
            }

            fn output_shape(&self, input: &Shape) -> Result<Shape> {
                let strides = self.strides.unwrap_or(self.pool_size);
                pooled(stringify!($layer), input, self.pool_size, strides, self.padding)
            }
        }
    };
}

windowed! {
    /// The largest value of each window.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &Device::cpu())?;
    /// assert_eq!(Sequential::new().add(MaxPooling2D::new(2)).call(&x, false)?.dims(), [1, 2, 2, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MaxPooling2D, max_pool2d
}
windowed! {
    /// The mean of each window; padding does not count in the mean.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &Device::cpu())?;
    /// assert_eq!(Sequential::new().add(AveragePooling2D::new(2)).call(&x, false)?.dims(), [1, 2, 2, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    AveragePooling2D, avg_pool2d
}

macro_rules! global {
    ($(#[$meta:meta])* $layer:ident, $reduce:ident, $keep:ident) => {
        declare! {
            $(#[$meta])*
            pub struct $layer {
                /// Whether height and width stay, as dimensions of 1.
                keepdims: bool = false,
            }
            fixed { data_format: "channels_last" }
        }

        impl Layer for $layer {
            declared!("keras.layers");

            fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
                check_rank(ctx.name(), 4, input)
            }

            fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                if self.keepdims { x.$keep([1, 2]) } else { x.$reduce([1, 2]) }
            }

            fn output_shape(&self, input: &Shape) -> Result<Shape> {
                check_rank(stringify!($layer), 4, input)?;
                if self.keepdims { Shape::new(&[1, 1, input[2]]) } else { Shape::new(&[input[2]]) }
            }
        }
    };
}

global! {
    /// The mean over height and width of each channel.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &Device::cpu())?;
    /// assert_eq!(Sequential::new().add(GlobalAveragePooling2D::new()).call(&x, false)?.dims(), [1, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    GlobalAveragePooling2D, mean, mean_keepdims
}
global! {
    /// The largest value over height and width of each channel.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &Device::cpu())?;
    /// assert_eq!(Sequential::new().add(GlobalMaxPooling2D::new()).call(&x, false)?.dims(), [1, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    GlobalMaxPooling2D, max, max_keepdims
}
