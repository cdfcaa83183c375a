//! Two-dimensional convolution.

use super::dense::positive;
use super::{BuildCtx, CallCtx, Layer, built, check_last, check_rank};
use crate::error::{Error, Kind, Result};
use crate::nn::activations::{Activation, IntoActivation};
use crate::nn::config::unknown;
use crate::nn::initializers::{Initializer, IntoInitializer};
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{Conv2d, Padding, Tensor, Var};

/// A height and a width: one number stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub usize, pub usize);

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Pair(both, both)
    }
}

impl From<(usize, usize)> for Pair {
    fn from((height, width): (usize, usize)) -> Self {
        Pair(height, width)
    }
}

impl Pair {
    pub(crate) fn tuple(self) -> (usize, usize) {
        (self.0, self.1)
    }
}

/// What can be given as a padding: [`Padding`], or `"valid"` or `"same"`.
pub trait IntoPadding {
    /// The padding, if the name is known.
    fn into_padding(self) -> Result<Padding>;
}

impl IntoPadding for Padding {
    fn into_padding(self) -> Result<Padding> {
        Ok(self)
    }
}

impl IntoPadding for &str {
    fn into_padding(self) -> Result<Padding> {
        match self {
            "valid" => Ok(Padding::Valid),
            "same" => Ok(Padding::Same),
            _ => Err(unknown("padding", self, ["valid", "same"].into_iter())),
        }
    }
}

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
pub(crate) fn padding_name(padding: &Result<Padding>) -> &'static str {
    match padding {
        Ok(Padding::Valid) => "valid",
        Ok(Padding::Same) => "same",
        _ => "explicit",
    }
}

/// `activation(conv(x, kernel) + bias)` on images `(batch, height, width, channels)`; kernel
/// `(height, width, channels / groups, filters)`, bias `(filters,)`.
///
/// Defaults: stride 1, `valid` padding, no dilation, one group, linear activation, bias,
/// `glorot_uniform` kernel, zero bias.
pub struct Conv2D {
    filters: usize,
    kernel_size: Pair,
    strides: Pair,
    padding: Result<Padding>,
    dilation: Pair,
    groups: usize,
    activation: Result<Activation>,
    use_bias: bool,
    kernel_initializer: Result<Initializer>,
    bias_initializer: Result<Initializer>,
    built: Option<Built>,
}

struct Built {
    layer: String,
    channels: usize,
    kernel: Var,
    bias: Option<Var>,
}

impl Conv2D {
    /// A layer of `filters` output channels and windows of `kernel_size`.
    pub fn new(filters: usize, kernel_size: impl Into<Pair>) -> Self {
        Conv2D {
            filters,
            kernel_size: kernel_size.into(),
            strides: Pair(1, 1),
            padding: Ok(Padding::Valid),
            dilation: Pair(1, 1),
            groups: 1,
            activation: Ok(Activation::Linear),
            use_bias: true,
            kernel_initializer: Ok(Initializer::GLOROT_UNIFORM),
            bias_initializer: Ok(Initializer::Zeros),
            built: None,
        }
    }

    /// Steps between windows.
    pub fn strides(mut self, strides: impl Into<Pair>) -> Self {
        self.strides = strides.into();
        self
    }

    /// `"valid"` (the default) or `"same"`, or a [`Padding`].
    pub fn padding(mut self, padding: impl IntoPadding) -> Self {
        self.padding = padding.into_padding();
        self
    }

    /// Distance between the elements of a window.
    pub fn dilation_rate(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Groups of channels convolved apart; must divide the channels and the filters.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
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

    /// Refuses settings that contradict each other or the channels of the input.
    fn check(&self, layer: &str, input: &Shape) -> Result<usize> {
        check_rank(layer, 4, input)?;
        let channels = input[2];
        let sizes = [
            ("filters", self.filters),
            ("groups", self.groups),
            ("kernel_size", self.kernel_size.0.min(self.kernel_size.1)),
            ("strides", self.strides.0.min(self.strides.1)),
            ("dilation_rate", self.dilation.0.min(self.dilation.1)),
        ];
        if let Some(&(what, value)) = sizes.iter().find(|(_, value)| *value == 0) {
            return Err(positive(layer, what, value));
        }
        if !channels.is_multiple_of(self.groups) || !self.filters.is_multiple_of(self.groups) {
            return Err(Error::parts(
                Kind::Argument,
                &format!(
                    "The number of input channels and of filters must be evenly divisible by the number of groups in layer '{layer}'"
                ),
                &format!("groups={}, input channels={channels}, filters={}", self.groups, self.filters),
                "a number of groups that divides both",
                "Change `groups` or `filters`",
            ));
        }
        if self.strides != Pair(1, 1) && self.dilation != Pair(1, 1) {
            return Err(Error::parts(
                Kind::Argument,
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`",
                &format!("strides={:?} and dilation_rate={:?}", self.strides.tuple(), self.dilation.tuple()),
                "one of them (1, 1)",
                "Use two layers, or leave one setting out",
            ));
        }
        Ok(channels)
    }
}

impl Layer for Conv2D {
    fn class_name(&self) -> &'static str {
        "Conv2D"
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        self.activation.clone()?;
        let channels = self.check(ctx.name(), input)?;
        self.output_shape(input)?;
        let Pair(height, width) = self.kernel_size;
        let shape = [height, width, channels / self.groups, self.filters];
        let kernel = ctx.weight("kernel", &shape, &self.kernel_initializer.clone()?)?;
        let bias = match self.use_bias {
            true => Some(ctx.weight("bias", &[self.filters], &self.bias_initializer.clone()?)?),
            false => None,
        };
        self.built = Some(Built { layer: ctx.name().to_owned(), channels, kernel, bias });
        Ok(())
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let built = built(&self.built)?;
        check_rank(&built.layer, 4, x.dims().get(1..).unwrap_or_default())?;
        check_last(&built.layer, built.channels, x.shape())?;
        let how = Conv2d {
            strides: self.strides.tuple(),
            padding: self.padding.clone()?,
            dilation: self.dilation.tuple(),
            groups: self.groups,
        };
        let mut y = x.conv2d(&built.kernel.value(), &how)?;
        if let Some(bias) = &built.bias {
            y = y.add(bias.value())?;
        }
        self.activation.clone()?.apply(&y)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        let channels = self.check("conv2d", input)?;
        let (k, s, d) = (self.kernel_size, self.strides, self.dilation);
        if let Some((height, width)) = window_extents(input, k, s, d, self.padding.clone()?) {
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
            padding_name(&self.padding),
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
        let built = self.built.iter();
        built.flat_map(|b| std::iter::once(b.kernel.clone()).chain(b.bias.clone())).collect()
    }
}
