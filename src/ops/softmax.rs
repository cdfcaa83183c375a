//! Softmax and its logarithm, as composites: the planner makes one row kernel of each.

use super::pointwise::expect_dtype;
use super::reduce::{greatest, in_register};
use crate::error::{Result, entry};
use crate::graph::Tensor;
use crate::shape::{Index, axis_index};

impl Tensor {
    /// `exp(x) / sum(exp(x))` along an axis, the maximum taken out first so that nothing overflows.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 1.0], [0.0, 1000.0]], &device)?;
    /// assert_eq!(x.softmax(-1)?.to_vec::<f32>()?, [0.5, 0.5, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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

    /// The distribution along an axis that is nearest to `x` (Martins and Astudillo, 2016): `max(x - t, 0)` with the `t` for
    /// which the elements add up to 1. Small ones become 0.
    ///
    /// # Errors
    /// The axis does not exist; the tensor is not floating-point.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 0.5, -1.0], &Device::cpu())?;
    /// assert_eq!(x.sparsemax(-1)?.to_vec::<f32>()?, [0.75, 0.25, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn sparsemax(&self, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("sparsemax", axis, self.rank())?;
        expect_dtype("sparsemax", self, self.dtype().is_float(), "a floating-point type")?;
        entry(|| {
            in_register(self, |x| {
                let x = x.sub(greatest(&x.detach(), &[axis]))?;
                let n = x.dims()[axis];
                let (sorted, _) = x.top_k(n, axis)?;
                let mut shape = vec![1; x.rank()];
                shape[axis] = n;
                let rank = Tensor::arange(1.0, n as f64 + 1.0, 1.0, x.dtype(), x.device())?.reshape(shape)?;
                // The elements that stay are the greatest `k` for which `1 + k x[k]` is more than their sum.
                let stays = sorted.mul(rank)?.add(1.0)?.gt(sorted.cumsum(axis)?)?;
                let count = stays.cast(x.dtype())?.sum_keepdims(axis)?;
                let t = stays.where_(&sorted, 0.0)?.sum_keepdims(axis)?.sub(1.0)?.div(count)?;
                x.sub(t)?.relu()
            })
        })
    }

    /// `x - ln(sum(exp(x)))` along an axis, without overflow.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([0.0f32, 1000.0], &device)?;
    /// assert_eq!(x.log_softmax(-1)?.to_vec::<f32>()?, [-1000.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
