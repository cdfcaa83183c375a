//! Running sums, products and extremes, and first-order linear recurrences.

use smallvec::SmallVec;

use super::program::Dims;
use crate::dtype::DType;

listed! {
    /// What a scan carries from one element of the axis to the next.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum ScanOp {
        /// Operands: x. `y[i] = y[i - 1] + x[i]`. Integers wrap.
        Sum,
        /// Operands: x. `y[i] = y[i - 1] * x[i]`. Integers wrap.
        Prod,
        /// Operands: x. Two results: the greatest so far and (i32) where it stands on the axis, the first of equals; a NaN
        /// counts as greatest.
        Max,
        /// The same with the least; a NaN counts as least.
        Min,
        /// Operands: a, b, both of a floating-point type. `y[i] = a[i] * y[i - 1] + b[i]`, with `y[-1] = 0`.
        Linear,
    }
}

/// A scan along the middle axis of `(outer, extent, inner)`; operands and results have that shape and are contiguous.
/// Backwards it runs from the end of the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scan {
    pub(crate) op: ScanOp,
    pub(crate) dtype: DType,
    pub(crate) outer: usize,
    pub(crate) extent: usize,
    pub(crate) inner: usize,
    pub(crate) backwards: bool,
}

impl Scan {
    /// The types of its results.
    pub(crate) fn results(&self) -> SmallVec<[DType; 2]> {
        match self.op {
            ScanOp::Max | ScanOp::Min => SmallVec::from_slice(&[self.dtype, DType::I32]),
            _ => SmallVec::from_slice(&[self.dtype]),
        }
    }

    /// All elements.
    pub(crate) fn space(&self) -> Dims<usize> {
        Dims::from_slice(&[self.outer * self.extent * self.inner])
    }

    /// The name in printed plans.
    pub(crate) fn name(&self) -> &'static str {
        match self.op {
            ScanOp::Sum => "cumsum",
            ScanOp::Prod => "cumprod",
            ScanOp::Max => "cummax",
            ScanOp::Min => "cummin",
            ScanOp::Linear => "linear recurrence",
        }
    }
}
