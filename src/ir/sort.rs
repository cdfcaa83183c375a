//! Sorting.

use smallvec::SmallVec;

use super::program::Dims;
use crate::dtype::DType;

/// Sorts each row of `(rows, extent)` and gives the first `keep` elements, and (i32) where in the row they stood.
/// Stable: equal elements keep their order, whichever the direction; NaN comes last in both. One operand, contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    pub(crate) dtype: DType,
    pub(crate) rows: usize,
    pub(crate) extent: usize,
    pub(crate) keep: usize,
    pub(crate) descending: bool,
}

impl Sort {
    /// The types of its results.
    pub(crate) fn results(&self) -> SmallVec<[DType; 2]> {
        SmallVec::from_slice(&[self.dtype, DType::I32])
    }

    /// What is kept of all rows.
    pub(crate) fn space(&self) -> Dims<usize> {
        Dims::from_slice(&[self.rows * self.keep])
    }
}
