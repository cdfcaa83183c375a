//! Two-dimensional convolution.

use super::affine::{Affine, affine};
use super::{BuildCtx, CallCtx, Layer, check_last, check_rank};
use crate::error::{Error, Kind, Result};
use crate::nn::activations::Activation;
use crate::nn::config::{Pair, declared, positive};
use crate::nn::initializers::Initializer;
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{ConvOptions, Padding, Tensor, Var};

/// Height and width of the output of windows over images of this height and width; `None` where none fits.
pub(crate) fn window_extents(
    input: &[usize],
    size: Pair,
    strides: Pair,
    dilation: Pair,
    padding: Padding,
) -> Option<(usize, usize)> {
    let height = padding.extent(0, input[0], size.0, strides.0, dilation.0).ok()?;
    let width = padding.extent(1, input[1], size.1, strides.1, dilation.1).ok()?;
    (height > 0 && width > 0).then_some((height, width))
}

/// Keras's words for a padding.
pub(crate) fn padding_name(padding: Padding) -> &'static str {
    match padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        Padding::Explicit { .. } => "explicit",
    }
}

affine! {
    /// `activation(conv(x, kernel) + bias)` on images `(batch, height, width, channels)`; kernel
    /// `(height, width, channels / groups, filters)`, bias `(filters,)`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::ones([1, 4, 4, 3], DType::F32, &device)?;
    /// let mut model = Sequential::new().add(Conv2D::new(8, 3).padding("same").strides(2).activation(Relu));
    /// assert_eq!(model.call(&x, false)?.dims(), [1, 2, 2, 8]);
    /// assert_eq!(model.count_params()?, 3 * 3 * 3 * 8 + 8);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Conv2D(
        /// How many output channels there are.
        filters: usize where positive,
        /// Height and width of the windows; one number stands for both.
        kernel_size: Pair where positive,
    ) {
        /// Steps between windows.
        strides: Pair where positive = Pair(1, 1),
        /// `"valid"` or `"same"`, or a [`Padding`].
        padding: Padding = Padding::Valid,
        /// Distance between the elements of a window.
        dilation_rate: Pair where positive = Pair(1, 1),
        /// Groups of channels convolved apart; must divide the channels and the filters.
        groups: usize where positive = 1,
    }
    fixed { data_format: "channels_last" }
    check not_both
}

impl Conv2D {
    /// Refuses strides together with dilation, as Keras does.
    fn not_both(&self) -> Result<()> {
        if self.strides == Pair(1, 1) || self.dilation_rate == Pair(1, 1) {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Argument,
            "`strides > 1` not supported in conjunction with `dilation_rate > 1`",
            &format!("strides={:?} and dilation_rate={:?}", self.strides.tuple(), self.dilation_rate.tuple()),
            "one of them (1, 1)",
            "Use two layers, or leave one setting out",
        ))
    }

    /// The channels of the input, if the groups divide them.
    fn channels(&self, layer: &str, input: &Shape) -> Result<usize> {
        check_rank(layer, 4, input)?;
        let channels = input[2];
        let divides = |n: usize| self.groups > 0 && n.is_multiple_of(self.groups);
        if divides(channels) && divides(self.filters) {
            return Ok(channels);
        }
        Err(Error::parts(
            Kind::Argument,
            &format!(
                "The number of input channels and of filters must be evenly divisible by the number of groups in layer '{layer}'"
            ),
            &format!("groups={}, input channels={channels}, filters={}", self.groups, self.filters),
            "a number of groups that divides both",
            "Change `groups` or `filters`",
        ))
    }
}

impl Layer for Conv2D {
    declared!("keras.layers");

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let channels = self.channels(ctx.name(), input)?;
        self.output_shape(input)?;
        let Pair(height, width) = self.kernel_size;
        self.build_affine(ctx, channels, &[height, width, channels / self.groups, self.filters])
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let affine = Affine::of(&self.affine)?;
        check_rank(&affine.layer, 4, x.dims().get(1..).unwrap_or_default())?;
        check_last(&affine.layer, affine.inputs, x.shape())?;
        let how = ConvOptions {
            strides: self.strides.tuple(),
            padding: self.padding,
            dilation: self.dilation_rate.tuple(),
            groups: self.groups,
        };
        affine.finish(x.conv2d(&affine.kernel.value(), &how)?, self.activation)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        let channels = self.channels("conv2d", input)?;
        let (k, s, d) = (self.kernel_size, self.strides, self.dilation_rate);
        if let Some((height, width)) = window_extents(input, k, s, d, self.padding) {
            return Shape::new(&[height, width, self.filters]);
        }
        let text = format!(
            "Computed output size would be zero or negative. Received `inputs shape={}`, `kernel shape=({}, {}, {}, {})`, \
             `dilation_rate=[{} {}]`, `strides=[{} {}]`, `padding={}`",
            with_batch(input),
            k.0,
            k.1,
            channels / self.groups,
            self.filters,
            d.0,
            d.1,
            s.0,
            s.1,
            padding_name(self.padding),
        );
        Err(Error::parts(
            Kind::Shape,
            &text,
            &format!("images of {}x{}", input[0], input[1]),
            &format!("at least {}x{}", d.0 * (k.0 - 1) + 1, d.1 * (k.1 - 1) + 1),
            "Use a smaller kernel, `\"same\"` padding, or larger images",
        ))
    }

    fn weights(&self) -> Vec<Var> {
        Affine::weights(&self.affine)
    }
}
