//! Scans: running sums, products and extremes along an axis, and linear recurrences.

use std::sync::Arc;

use super::pointwise::{expect_dtype, one, same_device, same_dtype};
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Inputs, Make, Results, Vjp};
use crate::ir::op::Op;
use crate::ir::scan::{Scan, ScanOp};
use crate::ir::step::Family;
use crate::shape::{Index, axis_index};

impl Tensor {
    /// The running sum along an axis, as NumPy's `cumsum`. Integers wrap.
    ///
    /// # Errors
    /// The axis does not exist; booleans.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::cpu())?;
    /// assert_eq!(x.cumsum(1)?.to_vec::<f32>()?, [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: impl Index) -> Result<Tensor> {
        scan("cumsum", ScanOp::Sum, &[self], axis, false)
    }

    /// The running product along an axis, as NumPy's `cumprod`. Integers wrap.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1, 2, 3, 4], &device)?;
    /// assert_eq!(x.cumprod(0)?.to_vec::<i32>()?, [1, 2, 6, 24]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist; booleans.
    #[track_caller]
    pub fn cumprod(&self, axis: impl Index) -> Result<Tensor> {
        scan("cumprod", ScanOp::Prod, &[self], axis, false)
    }

    /// The greatest element so far along an axis, as NumPy's `maximum.accumulate`; from a NaN on it is NaN. The gradient
    /// goes to the element, the first of equals.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([2, 1, 3, 0], &device)?;
    /// assert_eq!(x.cummax(0)?.to_vec::<i32>()?, [2, 2, 3, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist; booleans.
    #[track_caller]
    pub fn cummax(&self, axis: impl Index) -> Result<Tensor> {
        scan("cummax", ScanOp::Max, &[self], axis, false)
    }

    /// The least element so far along an axis, as NumPy's `minimum.accumulate`; from a NaN on it is NaN. The gradient
    /// goes to the element, the first of equals.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([2, 1, 3, 0], &device)?;
    /// assert_eq!(x.cummin(0)?.to_vec::<i32>()?, [2, 1, 1, 0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist; booleans.
    #[track_caller]
    pub fn cummin(&self, axis: impl Index) -> Result<Tensor> {
        scan("cummin", ScanOp::Min, &[self], axis, false)
    }

    /// The first-order linear recurrence `y[i] = decay[i] * y[i - 1] + self[i]` along an axis, with `y[-1] = 0`: moving
    /// averages, discounted sums, linear state spaces. Both have one shape and a floating-point type.
    ///
    /// # Errors
    /// Shapes or types that differ; the axis does not exist; integers.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 1.0, 1.0], &Device::cpu())?;
    /// let decay = Tensor::full([3], 0.5, x.dtype(), x.device())?;
    /// assert_eq!(x.linear_recurrence(&decay, 0)?.to_vec::<f32>()?, [1.0, 1.5, 1.75]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn linear_recurrence(&self, decay: &Tensor, axis: impl Index) -> Result<Tensor> {
        scan("linear_recurrence", ScanOp::Linear, &[decay, self], axis, false)
    }
}

#[track_caller]
fn scan(name: &str, op: ScanOp, operands: &[&Tensor], axis: impl Index, backwards: bool) -> Result<Tensor> {
    let x = operands[0];
    let axis = axis_index(name, axis, x.rank())?;
    expect_dtype(name, x, x.dtype() != DType::Bool, "a number")?;
    if let [a, b] = operands {
        expect_dtype(name, a, a.dtype().is_float(), "a floating-point type")?;
        same_device(name, b, a)?;
        same_dtype(name, b, a)?;
        if a.shape() != b.shape() {
            return Err(Error::parts(
                Kind::Shape,
                &format!("`{name}` was given tensors of different shapes"),
                &format!("{} and {}", b.shape(), a.shape()),
                "equal shapes",
                "Expand one of them",
            ));
        }
    }
    if x.dtype().is_narrow() {
        // In registers, rounded once an element.
        let wide: Vec<Tensor> = operands.iter().map(|t| t.cast(t.dtype().register())).collect::<Result<_>>()?;
        return scan(name, op, &wide.iter().collect::<Vec<_>>(), axis, backwards)?.cast(x.dtype());
    }
    let of = Scan {
        op,
        dtype: x.dtype(),
        outer: x.dims()[..axis].iter().product(),
        extent: x.dims()[axis],
        inner: x.dims()[axis + 1..].iter().product(),
        backwards,
    };
    let inputs: Inputs = operands.iter().map(|&t| t.reshape([of.outer, of.extent, of.inner])).collect::<Result<_>>()?;
    let shape = *inputs[0].shape();
    let inputs: SmallVec<[&Tensor; 2]> = inputs.iter().collect();
    let op = Op::family(Family::Scan(of));
    let record = |vjp| Tensor::record(op.clone(), shape, x.dtype(), &inputs, Make::new(x.device(), vjp));
    let y = match of.op {
        ScanOp::Sum => record(Vjp::Node(sum_grad)),
        ScanOp::Prod => record(Vjp::Node(prod_grad)),
        ScanOp::Linear => record(Vjp::Node(linear_grad)),
        ScanOp::Max | ScanOp::Min => {
            let results: SmallVec<[_; 2]> = of.results().into_iter().map(|dtype| (shape, dtype)).collect();
            let make = Make::new(x.device(), Vjp::Function(Arc::new(extreme_grad)));
            Tensor::record_results(op, &results, &inputs, make).swap_remove(0)
        }
    };
    y.reshape(x.shape())
}

/// The scan behind a node of shape `(outer, extent, inner)`, or behind the first of its parts.
fn of(y: &Tensor) -> Result<Scan> {
    let whole = match y.0.op {
        Op::Part(_) => y.inputs()[0].clone(),
        _ => y.clone(),
    };
    match whole.0.op.as_family() {
        Some(&Family::Scan(scan)) => Ok(scan),
        _ => Err(Error::internal("a scan's gradient of something else")),
    }
}

/// The middle axis moved on by one against the direction of `s`: position `i` has what `i + 1` had, the last one `fill`.
fn next(x: &Tensor, s: Scan, fill: f64) -> Result<Tensor> {
    let n = s.extent;
    let edge = Tensor::full([s.outer, 1, s.inner], fill, x.dtype(), x.device())?;
    match s.backwards {
        false => Tensor::concat([&x.narrow(1, 1, n - 1)?, &edge], 1),
        true => Tensor::concat([&edge, &x.narrow(1, 0, n - 1)?], 1),
    }
}

/// `r[i] = g[i] + a[i + 1] r[i + 1]`, against the direction of `s`: what reaches `i` through a recurrence.
fn returned(a: &Tensor, g: &Tensor, s: Scan) -> Result<Tensor> {
    scan("linear_recurrence", ScanOp::Linear, &[&next(a, s, 0.0)?, g], 1, !s.backwards)
}

fn sum_grad(y: &Tensor, _: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let s = of(y)?;
    one(scan("cumsum", ScanOp::Sum, &[grad], 1, !s.backwards)?)
}

/// `y[k] = before[i] x[i] (x[i + 1] .. x[k])`: so `dx[i] = before[i] r[i]`, which divides by nothing.
fn prod_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let s = of(y)?;
    let before = next(y, Scan { backwards: !s.backwards, ..s }, 1.0)?;
    one(before.mul(&returned(&inputs[0], grad, s)?)?)
}

fn linear_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let s = of(y)?;
    let b = returned(&inputs[0], grad, s)?;
    let a =
        if inputs[0].0.tracked { Some(next(y, Scan { backwards: !s.backwards, ..s }, 0.0)?.mul(&b)?) } else { None };
    Ok([a, Some(b)].into_iter().collect())
}

/// The gradients of the places that an element stands for follow each other: a recurrence that goes on while the place
/// is the same, taken where it began.
fn extreme_grad(r: &Results<'_>) -> Result<InputGrads> {
    let [y, places] = r.outputs else { return Err(Error::internal("a running extreme without its places")) };
    let Some(grad) = &r.grads[0] else { return Ok(InputGrads::new()) };
    let s = of(y)?;
    let same = next(places, s, -1.0)?.eq(places)?;
    let sums = {
        let on = same.cast(grad.dtype())?;
        scan("linear_recurrence", ScanOp::Linear, &[&on, grad], 1, !s.backwards)?
    };
    let here = Tensor::arange(0.0, s.extent as f64, 1.0, DType::I32, y.device())?.reshape([1, s.extent, 1])?;
    one(here.eq(places)?.where_(&sums, 0.0)?)
}
