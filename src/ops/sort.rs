//! Sorting along an axis.

use std::sync::Arc;

use smallvec::SmallVec;

use super::pointwise::{expect_dtype, one};
use super::reduce::{in_register, reduced, some};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Results, Vjp};
use crate::ir::op::Op;
use crate::ir::sort::Sort;
use crate::ir::step::Family;
use crate::shape::{Axes, Index, Shape, axes_set, axis_index};

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
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([3.0f32, 1.0, 2.0], &device)?;
    /// let order = x.argsort(0)?;
    /// assert_eq!(order.to_vec::<i32>()?, [1, 2, 0]);
    /// assert_eq!(x.take(&order, 0)?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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

impl Tensor {
    /// The middle of the elements over the axes in their order, or the mean of the two in the middle; NaN if there is one.
    ///
    /// # Errors
    /// Those of [`quantile`](Tensor::quantile).
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[3.0f32, 1.0, 7.0], [4.0, 0.0, 5.0]], &Device::cpu())?;
    /// assert_eq!(x.median(1)?.to_vec::<f32>()?, [3.0, 4.0]);
    /// assert_eq!(x.median(())?.item::<f32>()?, 3.5);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn median(&self, axes: impl Axes) -> Result<Tensor> {
        quantile("median", self, 0.5, axes, false)
    }

    /// [`median`](Tensor::median) with the axes kept as extents of 1.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.sub(x.median_keepdims(1)?)?.to_vec::<f32>()?, [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`quantile`](Tensor::quantile).
    #[track_caller]
    pub fn median_keepdims(&self, axes: impl Axes) -> Result<Tensor> {
        quantile("median", self, 0.5, axes, true)
    }

    /// The element below which the share `q` of the elements over the axes lies, between two of them in proportion (NumPy's
    /// `quantile` with the method `linear`); NaN if there is one.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.quantile(0.25, 1)?.to_vec::<f32>()?, [1.5, 4.5]);
    /// assert_eq!(x.quantile(1.0, ())?.item::<f32>()?, 6.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An axis does not exist or is named twice; `q` outside 0..=1; no elements; the tensor is not floating-point.
    #[track_caller]
    pub fn quantile(&self, q: f64, axes: impl Axes) -> Result<Tensor> {
        quantile("quantile", self, q, axes, false)
    }

    /// [`quantile`](Tensor::quantile) with the axes kept as extents of 1.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.quantile_keepdims(0.5, 1)?.dims(), [2, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`quantile`](Tensor::quantile).
    #[track_caller]
    pub fn quantile_keepdims(&self, q: f64, axes: impl Axes) -> Result<Tensor> {
        quantile("quantile", self, q, axes, true)
    }
}

#[track_caller]
fn quantile(op: &str, x: &Tensor, q: f64, axes: impl Axes, keep: bool) -> Result<Tensor> {
    expect_dtype(op, x, x.dtype().is_float(), "a floating-point type")?;
    let axes = axes_set(op, axes, x.rank())?;
    some(op, x, &axes)?;
    if !(0.0..=1.0).contains(&q) {
        return Err(Error::setting(&format!("`{op}`"), "q", q, "0 <= q <= 1"));
    }
    let shape = reduced(x.shape(), &axes, keep);
    if shape.numel() == 0 {
        return Tensor::zeros(shape, x.dtype(), x.device());
    }
    entry(|| {
        in_register(x, |x| {
            // The axes come last, as one.
            let (rest, last): (Vec<usize>, Vec<usize>) = (0..x.rank()).partition(|d| !axes.contains(d));
            let order: Vec<isize> = rest.iter().chain(&last).map(|&d| d as isize).collect();
            let n = x.numel() / shape.numel();
            let rows = x.transpose(&order)?.reshape([shape.numel(), n])?.sort(1)?;
            let pick = |i: f64| rows.take(i as isize, 1);
            let at = q * (n - 1) as f64;
            let value = match at.fract() {
                0.0 => pick(at)?,
                share => pick(at.floor())?.mul(1.0 - share)?.add(pick(at.ceil())?.mul(share)?)?,
            };
            let nan = pick((n - 1) as f64)?.isnan()?;
            nan.where_(f64::NAN, value)?.reshape(shape)
        })
    })
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
    let op = Op::family(Family::Sort(sort));
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
    one(zeros.index_add(0, &flat, &grad.reshape([grad.numel()])?)?.reshape([rows, extent])?)
}
