//! Sums by index.

use crate::dtype::DType;

/// `out[o, v, i] = base[o, v, i] + sum over j with index[j] == v of src[o, j, i]`, in an order that the indices alone
/// decide: deterministic. Negative indices count from the end; an index still outside `0..extent` adds nothing. Operands:
/// base, index (`i32` or `u32`), src, all contiguous. Over the flat space of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scatter {
    pub(crate) dtype: DType,
    pub(crate) outer: usize,
    /// Extent of the indexed axis of `out`.
    pub(crate) extent: usize,
    pub(crate) inner: usize,
    /// How many indices; `src` has shape `(outer, count, inner)`.
    pub(crate) count: usize,
}

impl Scatter {
    /// Elements of the result.
    pub(crate) fn numel(&self) -> usize {
        self.outer * self.extent * self.inner
    }
}
