//! Sorting along an axis.

use std::panic::Location;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Inputs, Make, Vjp};
use crate::ir::op::Op;
use crate::ir::sort::Sort;
use crate::ir::step::Family;
use crate::shape::{Shape, axis_index};

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
    pub fn sort(&self, axis: isize) -> Result<Tensor> {
        Ok(sorted("sort", self, axis, None)?.0)
    }

    /// Where the elements of [`sort`](Tensor::sort) stood along the axis, as `i32`; equal elements keep their order.
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn argsort(&self, axis: isize) -> Result<Tensor> {
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
    pub fn top_k(&self, k: usize, axis: isize) -> Result<(Tensor, Tensor)> {
        sorted("top_k", self, axis, Some(k))
    }
}

/// All in ascending order, or the `greatest` so many in descending order.
#[track_caller]
fn sorted(name: &str, x: &Tensor, axis: isize, greatest: Option<usize>) -> Result<(Tensor, Tensor)> {
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
        let (values, places) = sorted(name, &x.cast(x.dtype().register())?, axis as isize, greatest)?;
        return Ok((values.cast(x.dtype())?, places));
    }
    // The axis comes last, and back afterwards.
    let last = x.rank() - 1;
    let mut order: Vec<isize> = (0..x.rank() as isize).filter(|&d| d != axis as isize).collect();
    order.push(axis as isize);
    let rows = x.transpose(&order)?;
    let mut dims = rows.dims().to_vec();
    let rows = rows.reshape([dims[..last].iter().product(), extent])?;
    dims[last] = keep;
    let sort = Sort { dtype: x.dtype(), rows: rows.dims()[0], extent, keep, descending: greatest.is_some() };
    let shape = Shape::of(&[sort.rows, keep]);
    let make = Make { device: x.device(), vjp: Vjp::Node(sort_grad), at: Location::caller() };
    let op = Op::Family(Family::Sort(sort));
    let [values, places] = parts(op, shape, sort.results(), [rows].into_iter().collect(), make);
    let mut back = vec![0isize; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| back[from as usize] = to as isize);
    let back = |t: Tensor| t.reshape(&dims[..])?.transpose(&back);
    Ok((back(values)?, back(places)?))
}

/// Records a node of two results of one shape, of which the first is differentiable: the gradient function sees as inputs
/// the node, its input and the second result.
pub(super) fn parts(op: Op, shape: Shape, types: SmallVec<[DType; 2]>, inputs: Inputs, make: Make<'_>) -> [Tensor; 2] {
    let plain = || Make { device: make.device, vjp: Vjp::None, at: make.at };
    let x = inputs[0].clone();
    let whole = Tensor::record(op, shape, types[0], inputs, plain());
    let second = Tensor::record(Op::Part(1), shape, types[1], [whole.clone()].into_iter().collect(), plain());
    let first = [whole, x, second.clone()].into_iter().collect();
    [Tensor::record(Op::Part(0), shape, types[0], first, make), second]
}

/// Each element kept hands its gradient to where it stood.
fn sort_grad(_: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let (x, places) = (&inputs[1], &inputs[2]);
    let (rows, extent) = (x.dims()[0], x.dims()[1]);
    let starts = Tensor::arange(0.0, rows as f64, 1.0, DType::I32, x.device())?.mul(extent)?.reshape([rows, 1])?;
    let flat = places.add(&starts)?.reshape([grad.numel()])?;
    let zeros = Tensor::zeros([rows * extent], grad.dtype(), x.device())?;
    let x = zeros.index_add(0, &flat, &grad.reshape([grad.numel()])?)?.reshape([rows, extent])?;
    Ok([None, Some(x), None].into_iter().collect())
}
