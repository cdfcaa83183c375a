//! Softmax and its logarithm, as composites: the planner makes one row kernel of each.

use super::pointwise::expect_dtype;
use super::reduce::{greatest, in_register};
use crate::error::Result;
use crate::graph::Tensor;
use crate::shape::{Index, axis_index};

impl Tensor {
    /// `exp(x) / sum(exp(x))` along an axis, the maximum taken out first so that nothing overflows.
    ///
    /// # Errors
    /// The axis does not exist; the tensor is not floating-point.
    #[track_caller]
    pub fn softmax(&self, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("softmax", axis, self.rank())?;
        expect_dtype("softmax", self, self.dtype().is_float(), "a floating-point type")?;
        in_register(self, |x| {
            let e = x.sub(greatest(&x.detach(), &[axis]))?.exp()?;
            e.div(&e.sum_keepdims(axis)?)
        })
    }

    /// `x - ln(sum(exp(x)))` along an axis, without overflow.
    ///
    /// # Errors
    /// The axis does not exist; the tensor is not floating-point.
    #[track_caller]
    pub fn log_softmax(&self, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("log_softmax", axis, self.rank())?;
        expect_dtype("log_softmax", self, self.dtype().is_float(), "a floating-point type")?;
        in_register(self, |x| {
            let shifted = x.sub(greatest(&x.detach(), &[axis]))?;
            shifted.sub(&shifted.exp()?.sum_keepdims(axis)?.log()?)
        })
    }
}
