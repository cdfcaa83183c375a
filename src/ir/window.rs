//! Pooling and its relatives, and the geometry that they share with convolutions.

use crate::dtype::DType;
use crate::error::{Error, Result};

/// Pooling and its relatives, channels last, over the flat space of the result. Operands as in [`WindowOp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) op: WindowOp,
    pub(crate) geometry: Geometry,
    pub(crate) dtype: DType,
}

/// The geometry of a two-dimensional convolution or pooling, channels last:
/// `x (batch, h, w, c)`, `kernel (kh, kw, c, f)`, `y (batch, oh, ow, f)`. `pad_*` is the padding before; what lies
/// outside on either side reads as nothing. For pooling `f == c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) f: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) stride_h: usize,
    pub(crate) stride_w: usize,
    pub(crate) dilation_h: usize,
    pub(crate) dilation_w: usize,
    pub(crate) pad_h: usize,
    pub(crate) pad_w: usize,
}

listed! {
    /// What a window kernel computes. "First greatest" is in row-major order within the window; NaN counts as greatest.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub(crate) enum WindowOp {
        /// `y[n, oh, ow, c] = max of x's window` (inputs: x). Padding never wins.
        Max,
        /// `dx[n, h, w, c] = sum of dy over the windows whose first greatest element is (h, w)` (inputs: x, dy).
        MaxGrad,
        /// `y[n, oh, ow, c] = g at the window's first greatest element of x` (inputs: x, g; g has x's shape).
        MaxPick,
        /// `y[n, oh, ow, c] = sum of x's window` (inputs: x).
        Sum,
        /// `dx[n, h, w, c] = sum of dy over the windows that contain (h, w)` (inputs: dy).
        SumGrad,
    }
}

impl WindowOp {
    /// The operation's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WindowOp::Max => "max-pool",
            WindowOp::MaxGrad => "max-pool gradient",
            WindowOp::MaxPick => "max-pool pick",
            WindowOp::Sum => "sum-pool",
            WindowOp::SumGrad => "sum-pool gradient",
        }
    }

    /// Elements of the result.
    pub(crate) fn numel(self, g: &Geometry) -> usize {
        match self {
            WindowOp::Max | WindowOp::MaxPick | WindowOp::Sum => g.batch * g.oh * g.ow * g.c,
            WindowOp::MaxGrad | WindowOp::SumGrad => g.batch * g.h * g.w * g.c,
        }
    }
}

impl Geometry {
    /// Output extent along one axis; `None` when the window does not fit.
    pub(crate) fn out_extent(n: usize, k: usize, stride: usize, dilation: usize, pad: usize) -> Result<usize> {
        let span = (k - 1) * dilation + 1;
        (n + pad).checked_sub(span).map(|room| room / stride + 1).ok_or_else(|| {
            Error::shape(format!(
                "Computed output size would be zero or negative. Received: extent {n} with padding {pad}, kernel {k}, dilation {dilation}. \
                 Expected: a window of {span} that fits. Use padding \"same\" or a smaller kernel."
            ))
        })
    }
}
