//! Sorting along an axis.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Results, Vjp};
use crate::ir::op::Op;
use crate::ir::sort::Sort;
use crate::ir::step::Family;
use crate::shape::{Index, Shape, axis_index};

impl Tensor {
    /// The elements in ascending order along an axis, as NumPy's `sort`: stable, NaN last.
    ///
    /// # Errors
    /// The axis does not exist.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([3.0f32, 1.0, 2.0], &Device::cpu())?;
    /// assert_eq!(x.sort(0)?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// assert_eq!(x.argsort(0)?.to_vec::<i32>()?, [1, 2, 0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: impl Index) -> Result<Tensor> {
        Ok(sorted("sort", self, axis, None)?.0)
    }

    /// Where the elements of [`sort`](Tensor::sort) stood along the axis, as `i32`; equal elements keep their order.
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn argsort(&self, axis: impl Index) -> Result<Tensor> {
        Ok(sorted("argsort", self, axis, None)?.1)
    }

    /// The `k` greatest elements along an axis in descending order, and where they stood (`i32`); of equal elements the
    /// first come first, NaN last.
    ///
    /// # Errors
    /// The axis does not exist or is shorter than `k`.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([3.0f32, 1.0, 2.0], &Device::cpu())?;
    /// let (values, places) = x.top_k(2, 0)?;
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 2.0]);
    /// assert_eq!(places.to_vec::<i32>()?, [0, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn top_k(&self, k: usize, axis: impl Index) -> Result<(Tensor, Tensor)> {
        sorted("top_k", self, axis, Some(k))
    }
}

/// All in ascending order, or the `greatest` so many in descending order.
#[track_caller]
fn sorted(name: &str, x: &Tensor, axis: impl Index, greatest: Option<usize>) -> Result<(Tensor, Tensor)> {
    let axis = axis_index(name, axis, x.rank())?;
    let extent = x.dims()[axis];
    let keep = greatest.unwrap_or(extent);
    if keep > extent || i32::try_from(extent).is_err() {
        return Err(Error::parts(
            Kind::Shape,
            &format!("`{name}` was asked for more elements than there are, or along too long an axis"),
            &format!("{keep} elements along axis {axis} of a tensor of shape {}", x.shape()),
            "at most the axis's extent, and an extent below 2^31",
            "Ask for fewer",
        ));
    }
    if x.dtype().is_narrow() {
        let (values, places) = sorted(name, &x.cast(x.dtype().register())?, axis, greatest)?;
        return Ok((values.cast(x.dtype())?, places));
    }
    // The axis comes last, and back afterwards.
    let last = x.rank() - 1;
    let mut order: Vec<usize> = (0..x.rank()).filter(|&d| d != axis).collect();
    order.push(axis);
    let rows = x.transpose(&order)?;
    let mut dims = rows.dims().to_vec();
    let rows = rows.reshape([dims[..last].iter().product(), extent])?;
    dims[last] = keep;
    let sort = Sort { dtype: x.dtype(), rows: rows.dims()[0], extent, keep, descending: greatest.is_some() };
    let shape = Shape::of(&[sort.rows, keep]);
    let results: SmallVec<[_; 2]> = sort.results().into_iter().map(|dtype| (shape, dtype)).collect();
    let make = Make::new(x.device(), Vjp::Function(Arc::new(sort_grad)));
    let op = Op::Family(Family::Sort(sort));
    let mut results = Tensor::record_results(op, &results, &[&rows], make);
    let (places, values) = (results.swap_remove(1), results.swap_remove(0));
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    let back = |t: Tensor| t.reshape(&dims[..])?.transpose(&back);
    Ok((back(values)?, back(places)?))
}

/// Each element kept hands its gradient to where it stood.
fn sort_grad(r: &Results<'_>) -> Result<InputGrads> {
    let (x, places) = (&r.inputs[0], &r.outputs[1]);
    let Some(grad) = &r.grads[0] else { return Ok(InputGrads::new()) };
    let (rows, extent) = (x.dims()[0], x.dims()[1]);
    let starts = Tensor::arange(0.0, rows as f64, 1.0, DType::I32, x.device())?.mul(extent)?.reshape([rows, 1])?;
    let flat = places.add(&starts)?.reshape([grad.numel()])?;
    let zeros = Tensor::zeros([rows * extent], grad.dtype(), x.device())?;
    let x = zeros.index_add(0, &flat, &grad.reshape([grad.numel()])?)?.reshape([rows, extent])?;
    Ok([Some(x)].into_iter().collect())
}
