//! Pooling over images `(batch, height, width, channels)`.

use super::conv::{IntoPadding, Pair, padding_name, window_extents};
use super::dense::positive;
use super::{BuildCtx, CallCtx, Layer, check_rank};
use crate::error::{Error, Kind, Result};
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{Padding, Pool2d, Tensor};

/// Settings common to the windowed poolings.
struct Window {
    size: Pair,
    strides: Option<Pair>,
    padding: Result<Padding>,
}

impl Window {
    fn new(size: Pair) -> Self {
        Window { size, strides: None, padding: Ok(Padding::Valid) }
    }

    fn strides(&self) -> Pair {
        self.strides.unwrap_or(self.size)
    }

    fn op(&self) -> Result<Pool2d> {
        Ok(Pool2d { size: self.size.tuple(), strides: self.strides().tuple(), padding: self.padding.clone()? })
    }

    fn output_shape(&self, layer: &str, input: &Shape) -> Result<Shape> {
        check_rank(layer, 4, input)?;
        let (size, strides) = (self.size, self.strides());
        for (what, pair) in [("pool_size", size), ("strides", strides)] {
            if pair.0.min(pair.1) == 0 {
                return Err(positive(layer, what, 0));
            }
        }
        if let Some((height, width)) = window_extents(input, size, strides, Pair(1, 1), self.padding.clone()?) {
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
            padding_name(&self.padding),
        );
        Err(Error::parts(
            Kind::Shape,
            &text,
            &format!("images of {}x{}", input[0], input[1]),
            &format!("at least {}x{}", size.0, size.1),
            "Use a smaller window, `\"same\"` padding, or larger images",
        ))
    }
}

macro_rules! windowed {
    ($layer:ident, $class:literal, $op:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// Defaults: strides equal to the window, `valid` padding.
        pub struct $layer {
            window: Window,
        }

        impl $layer {
            /// Windows of `pool_size`; `2` is Keras's default.
            pub fn new(pool_size: impl Into<Pair>) -> Self {
                $layer { window: Window::new(pool_size.into()) }
            }

            /// Steps between windows; the window's size by default.
            pub fn strides(mut self, strides: impl Into<Pair>) -> Self {
                self.window.strides = Some(strides.into());
                self
            }

            /// `"valid"` (the default) or `"same"`, or a [`Padding`].
            pub fn padding(mut self, padding: impl IntoPadding) -> Self {
                self.window.padding = padding.into_padding();
                self
            }
        }

        impl Default for $layer {
            fn default() -> Self {
                $layer::new(2)
            }
        }

        impl Layer for $layer {
            fn class_name(&self) -> &'static str {
                $class
            }

            fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
                self.window.output_shape(ctx.name(), input).map(|_| ())
            }

            fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                x.$op(&self.window.op()?)
            }

            fn output_shape(&self, input: &Shape) -> Result<Shape> {
                self.window.output_shape($class, input)
            }
        }
    };
}

windowed!(MaxPooling2D, "MaxPooling2D", max_pool2d, "The largest value of each window.");
windowed!(
    AveragePooling2D,
    "AveragePooling2D",
    avg_pool2d,
    "The mean of each window; padding does not count in the mean."
);

macro_rules! global {
    ($layer:ident, $class:literal, $reduce:ident, $keep:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Default)]
        pub struct $layer {
            keepdims: bool,
        }

        impl $layer {
            /// The layer with Keras's defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// Whether height and width stay, as dimensions of 1; they go by default.
            pub fn keepdims(mut self, yes: bool) -> Self {
                self.keepdims = yes;
                self
            }
        }

        impl Layer for $layer {
            fn class_name(&self) -> &'static str {
                $class
            }

            fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
                check_rank(ctx.name(), 4, input)
            }

            fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                if self.keepdims { x.$keep([1, 2]) } else { x.$reduce([1, 2]) }
            }

            fn output_shape(&self, input: &Shape) -> Result<Shape> {
                check_rank($class, 4, input)?;
                if self.keepdims { Shape::new(&[1, 1, input[2]]) } else { Shape::new(&[input[2]]) }
            }
        }
    };
}

global!(
    GlobalAveragePooling2D,
    "GlobalAveragePooling2D",
    mean,
    mean_keepdims,
    "The mean over height and width of each channel."
);
global!(
    GlobalMaxPooling2D,
    "GlobalMaxPooling2D",
    max,
    max_keepdims,
    "The largest value over height and width of each channel."
);
