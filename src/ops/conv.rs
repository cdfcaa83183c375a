//! Two-dimensional convolution, channels last, with both gradients as operations of their own.

use super::pointwise::{expect_dtype, same_device, same_dtype};
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, NodeVjp, Vjp};
use crate::ir::op::Op;
use crate::ir::window::Geometry;
use crate::shape::Shape;

/// What surrounds an image.
///
/// ```
/// # use wgtensor::{DType, Device, Padding, PoolOptions, Tensor};
/// let x = Tensor::ones([1, 5, 5, 1], DType::F32, &Device::cpu())?;
/// let extents = |padding| Ok::<_, wgtensor::Error>(x.max_pool2d(&PoolOptions { padding, ..PoolOptions::default() })?.dims()[1]);
/// assert_eq!((extents(Padding::Valid)?, extents(Padding::Same)?), (2, 3));
/// assert_eq!(extents(Padding::Explicit { top: 1, bottom: 2, left: 1, right: 2 })?, 4);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Padding {
    /// Nothing: windows lie within the image.
    #[default]
    Valid,
    /// TensorFlow's: the output's extent is `ceil(n / stride)`; of an odd amount the larger half goes behind.
    Same,
    /// So many rows and columns.
    Explicit {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
}

impl Padding {
    /// Before and after, for one axis (0: rows, 1: columns).
    pub(crate) fn amounts(self, axis: usize, n: usize, k: usize, stride: usize, dilation: usize) -> (usize, usize) {
        match self {
            Padding::Valid => (0, 0),
            Padding::Same => {
                let total = ((n.div_ceil(stride).max(1) - 1) * stride + (k - 1) * dilation + 1).saturating_sub(n);
                (total / 2, total - total / 2)
            }
            Padding::Explicit { top, bottom, .. } if axis == 0 => (top, bottom),
            Padding::Explicit { left, right, .. } => (left, right),
        }
    }

    /// The extent of the output along one axis (0: rows, 1: columns): the one place that knows, for operations and
    /// layers alike.
    pub(crate) fn extent(self, axis: usize, n: usize, k: usize, stride: usize, dilation: usize) -> Result<usize> {
        if n == 0 && self == Padding::Same {
            return Ok(0);
        }
        let (before, after) = self.amounts(axis, n, k, stride, dilation);
        Geometry::out_extent(n, k, stride, dilation, before + after)
    }
}

/// How a convolution moves; the defaults are Keras's (stride 1, no padding, no dilation, one group).
///
/// ```
/// # use wgtensor::{ConvOptions, DType, Device, Padding, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::ones([1, 8, 8, 4], DType::F32, &device)?;
/// let kernel = Tensor::ones([3, 3, 2, 6], DType::F32, &device)?; // two groups see two channels each
/// let options = ConvOptions { padding: Padding::Same, groups: 2, ..ConvOptions::default() };
/// assert_eq!(x.conv2d(&kernel, &options)?.dims(), [1, 8, 8, 6]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Steps between windows, rows then columns.
    pub strides: (usize, usize),
    /// What surrounds the image.
    pub padding: Padding,
    /// Steps between taps of the kernel.
    pub dilation: (usize, usize),
    /// Channel groups that do not see each other.
    pub groups: usize,
}

impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions { strides: (1, 1), padding: Padding::Valid, dilation: (1, 1), groups: 1 }
    }
}

/// Geometry from shapes and options, for convolution and pooling.
#[allow(clippy::too_many_arguments, reason = "one geometry, all of its numbers")]
#[track_caller]
pub(crate) fn geometry(
    op: &str,
    x: &Tensor,
    kernel: (usize, usize),
    f: usize,
    strides: (usize, usize),
    dilation: (usize, usize),
    padding: Padding,
) -> Result<Geometry> {
    if x.rank() != 4 {
        return Err(Error::parts(
            Kind::Shape,
            &format!("`{op}` was given an input of {} dimensions", x.rank()),
            &format!("shape {}", x.shape()),
            "4 dimensions: (batch, height, width, channels)",
            "Add the missing dimensions with `expand_dims`",
        ));
    }
    let positive = [kernel.0, kernel.1, strides.0, strides.1, dilation.0, dilation.1];
    if positive.contains(&0) {
        return Err(Error::parts(
            Kind::Argument,
            &format!("`{op}` was given a zero among its sizes"),
            &format!("kernel {kernel:?}, strides {strides:?}, dilation {dilation:?}"),
            "positive numbers",
            "Use at least 1",
        ));
    }
    let (h, w) = (x.dims()[1], x.dims()[2]);
    let (pad_h, _) = padding.amounts(0, h, kernel.0, strides.0, dilation.0);
    let (pad_w, _) = padding.amounts(1, w, kernel.1, strides.1, dilation.1);
    let out = |axis: usize, n: usize, k: usize, s: usize, d: usize| {
        let extent = padding.extent(axis, n, k, s, d);
        extent.map_err(|e| e.context(format!("`{op}` of shape {}", x.shape())))
    };
    Ok(Geometry {
        batch: x.dims()[0],
        h,
        w,
        c: x.dims()[3],
        kh: kernel.0,
        kw: kernel.1,
        f,
        oh: out(0, h, kernel.0, strides.0, dilation.0)?,
        ow: out(1, w, kernel.1, strides.1, dilation.1)?,
        stride_h: strides.0,
        stride_w: strides.1,
        dilation_h: dilation.0,
        dilation_w: dilation.1,
        pad_h,
        pad_w,
    })
}

fn shapes(g: &Geometry) -> (Shape, Shape, Shape) {
    (Shape::of(&[g.batch, g.h, g.w, g.c]), Shape::of(&[g.kh, g.kw, g.c, g.f]), Shape::of(&[g.batch, g.oh, g.ow, g.f]))
}

impl Tensor {
    /// Cross-correlation of images `(n, h, w, c)` with a kernel `(kh, kw, c / groups, f)`: `(n, oh, ow, f)`.
    ///
    /// ```
    /// # use wgtensor::{ConvOptions, DType, Device, Padding, Tensor};
    /// # let device = Device::cpu();
    /// let image = Tensor::ones([1, 4, 4, 1], DType::F32, &device)?;
    /// let kernel = Tensor::ones([3, 3, 1, 2], DType::F32, &device)?;
    /// let inside = image.conv2d(&kernel, &ConvOptions::default())?;
    /// assert_eq!((inside.dims(), inside.max(())?.item::<f32>()?), (&[1, 2, 2, 2][..], 9.0));
    /// let same = ConvOptions { padding: Padding::Same, strides: (2, 2), ..ConvOptions::default() };
    /// assert_eq!(image.conv2d(&kernel, &same)?.dims(), [1, 2, 2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Ranks, channels or groups that do not fit; a window larger than the padded image; mixed types or devices.
    #[track_caller]
    pub fn conv2d(&self, kernel: &Tensor, options: &ConvOptions) -> Result<Tensor> {
        same_device("conv2d", self, kernel)?;
        same_dtype("conv2d", self, kernel)?;
        expect_dtype("conv2d", self, self.dtype().is_float(), "a floating-point type")?;
        let groups = options.groups;
        let fits = kernel.rank() == 4
            && self.rank() == 4
            && groups > 0
            && kernel.dims()[2] * groups == self.dims()[3]
            && kernel.dims()[3].is_multiple_of(groups);
        if !fits {
            return Err(Error::parts(
                Kind::Shape,
                "`conv2d` was given a kernel that does not fit the input",
                &format!("input {}, kernel {}, {groups} groups", self.shape(), kernel.shape()),
                "input (batch, height, width, channels), kernel (rows, columns, channels / groups, filters), filters divisible by groups",
                "Check the channels",
            ));
        }
        if groups > 1 {
            let (c, f) = (kernel.dims()[2], kernel.dims()[3] / groups);
            let parts = (0..groups)
                .map(|g| {
                    let (x, k) = (self.narrow(3, g * c, c)?, kernel.narrow(3, g * f, f)?);
                    x.conv2d(&k, &ConvOptions { groups: 1, ..*options })
                })
                .collect::<Result<Vec<_>>>()?;
            return Tensor::concat(parts, 3);
        }
        let size = (kernel.dims()[0], kernel.dims()[1]);
        let g = geometry("conv2d", self, size, kernel.dims()[3], options.strides, options.dilation, options.padding)?;
        Ok(record(Op::Conv(g.into()), shapes(&g).2, self, kernel, conv_grad))
    }
}

#[track_caller]
fn record(op: Op, shape: Shape, a: &Tensor, b: &Tensor, vjp: NodeVjp) -> Tensor {
    let make = Make::new(a.device(), Vjp::Node(vjp));
    Tensor::record(op, shape, a.dtype(), &[a, b], make)
}

fn input_grad(g: Geometry, dy: &Tensor, kernel: &Tensor) -> Tensor {
    record(Op::ConvInputGrad(g.into()), shapes(&g).0, dy, kernel, input_grad_grad)
}

fn kernel_grad(g: Geometry, x: &Tensor, dy: &Tensor) -> Tensor {
    record(Op::ConvKernelGrad(g.into()), shapes(&g).1, x, dy, kernel_grad_grad)
}

fn forward(g: Geometry, x: &Tensor, kernel: &Tensor) -> Tensor {
    record(Op::Conv(g.into()), shapes(&g).2, x, kernel, conv_grad)
}

/// The three are each other's gradients: the convolution is linear in each operand.
fn pair(inputs: &[Tensor], a: impl FnOnce() -> Tensor, b: impl FnOnce() -> Tensor) -> Result<InputGrads> {
    Ok([inputs[0].0.tracked.then(a), inputs[1].0.tracked.then(b)].into_iter().collect())
}

fn conv_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Conv(ref g) = y.0.op else { unreachable!("a convolution's gradient") };
    let g = **g;
    pair(inputs, || input_grad(g, grad, &inputs[1]), || kernel_grad(g, &inputs[0], grad))
}

fn input_grad_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::ConvInputGrad(ref g) = y.0.op else { unreachable!("an input-gradient's gradient") };
    let g = **g;
    pair(inputs, || forward(g, grad, &inputs[1]), || kernel_grad(g, grad, &inputs[0]))
}

fn kernel_grad_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::ConvKernelGrad(ref g) = y.0.op else { unreachable!("a kernel-gradient's gradient") };
    let g = **g;
    pair(inputs, || input_grad(g, &inputs[1], grad), || forward(g, &inputs[0], grad))
}
