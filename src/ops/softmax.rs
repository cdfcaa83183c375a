//! Softmax and its logarithm, as composites: the planner makes one row kernel of each.

use super::pointwise::expect_dtype;
use super::reduce::in_register;
use crate::error::Result;
use crate::graph::Tensor;
use crate::shape::axis_index;

impl Tensor {
    /// `exp(x) / sum(exp(x))` along an axis, the maximum taken out first so that nothing overflows.
    ///
    /// # Errors
    /// The axis does not exist; the tensor is not floating-point.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Result<Tensor> {
        let axis = axis_index("softmax", axis, self.rank())? as isize;
        expect_dtype("softmax", self, self.dtype().is_float(), "a floating-point type")?;
        in_register(self, |x| {
            let max = x.detach().max_keepdims(axis)?;
            let e = x.sub(&max)?.exp()?;
            e.div(&e.sum_keepdims(axis)?)
        })
    }

    /// `x - ln(sum(exp(x)))` along an axis, without overflow.
    ///
    /// # Errors
    /// The axis does not exist; the tensor is not floating-point.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Result<Tensor> {
        let axis = axis_index("log_softmax", axis, self.rank())? as isize;
        expect_dtype("log_softmax", self, self.dtype().is_float(), "a floating-point type")?;
        in_register(self, |x| {
            let max = x.detach().max_keepdims(axis)?;
            let shifted = x.sub(&max)?;
            shifted.sub(&shifted.exp()?.sum_keepdims(axis)?.log()?)
        })
    }
}
