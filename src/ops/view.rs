//! Views: new names for the same elements. They cost nothing; consumers fold them into their addresses.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use smallvec::SmallVec;

use super::pointwise::one;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, NodeVjp, Vjp};
use crate::ir::op::Op;
use crate::shape::{Axes, Index, IntoShape, Shape, axes_list, axes_set, axis_index, signed};

/// A range along an axis; negative ends count from the end, ends outside are cut as in NumPy.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::new([1, 2, 3, 4], &device)?;
/// assert_eq!(x.slice(0, 1..3)?.to_vec::<i32>()?, [2, 3]);
/// assert_eq!(x.slice(0, ..-1)?.to_vec::<i32>()?, [1, 2, 3]);
/// assert_eq!(x.slice(0, 2..=2)?.to_vec::<i32>()?, [3]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no range of whole numbers")]
pub trait SliceRange {
    /// Start and stop; `None` for an open end.
    ///
    /// # Errors
    /// An end beyond `isize`.
    #[doc(hidden)]
    #[track_caller]
    fn ends(self) -> Result<(Option<isize>, Option<isize>)>;
}

macro_rules! ranges {
    ($($range:ident, |$r:ident| $start:expr, $stop:expr;)*) => {$(
        impl<T: Index> SliceRange for $range<T> {
            #[track_caller]
            fn ends(self) -> Result<(Option<isize>, Option<isize>)> {
                let $r = self;
                Ok(($start, $stop))
            }
        }
    )*};
}
ranges! {
    Range, |r| end(r.start)?, end(r.end)?;
    RangeInclusive, |r| end(*r.start())?, after(*r.end())?;
    RangeFrom, |r| end(r.start)?, None;
    RangeTo, |r| None, end(r.end)?;
    RangeToInclusive, |r| None, after(r.end)?;
}
impl SliceRange for RangeFull {
    fn ends(self) -> Result<(Option<isize>, Option<isize>)> {
        Ok((None, None))
    }
}

#[track_caller]
fn end(at: impl Index) -> Result<Option<isize>> {
    Ok(Some(signed("slice", at)?))
}

/// The end of a range that includes this position.
#[track_caller]
fn after(last: impl Index) -> Result<Option<isize>> {
    Ok(if signed("slice", last)? == -1 { None } else { end(last)?.map(|n| n.saturating_add(1)) })
}

#[track_caller]
fn view(x: &Tensor, op: Op, shape: Shape, vjp: NodeVjp) -> Tensor {
    Tensor::record(op, shape, x.dtype(), &[x], Make::new(x.device(), Vjp::Node(vjp)))
}

impl Tensor {
    /// The same elements in row-major order under another shape. One extent may be -1: it is worked out from the others.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::cpu())?;
    /// let n = x.numel();
    /// assert_eq!(x.reshape([-1, 2])?.dims(), [3, 2]);
    /// assert_eq!(x.reshape([n / 2, 2])?.dims(), [3, 2]);
    /// assert_eq!(x.reshape(-1)?.dims(), [6]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape has another number of elements, more than one -1, or one that nothing fits.
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Tensor> {
        let mut extents = shape.into_extents()?;
        if let Some(at) = extents.iter().position(|&n| n == -1) {
            extents[at] = 1;
            let known = extents.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
            let Some(known) = known.filter(|&n| n > 0 && self.numel().is_multiple_of(n)) else {
                extents[at] = -1;
                return Err(Error::parts(
                    Kind::Shape,
                    "`reshape` could not work out the extent given as -1",
                    &format!("{:?} for a tensor of shape {}", &extents[..], self.shape()),
                    &format!("at most one -1, and the others dividing {}", self.numel()),
                    "Name all extents but one",
                ));
            };
            extents[at] = (self.numel() / known) as isize;
        }
        let shape = extents[..].into_shape()?;
        if shape.numel() != self.numel() {
            return Err(Error::parts(
                Kind::Shape,
                "`reshape` was given a shape of another size",
                &format!("{} for a tensor of shape {}", shape, self.shape()),
                &format!("{} elements", self.numel()),
                "Give extents whose product is that number, or -1 for one of them",
            ));
        }
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        Ok(view(self, Op::Reshape, shape, |_, inputs, g| one(g.reshape(inputs[0].shape())?)))
    }

    /// Merges `axis` and all later dimensions into one.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([2, 3, 4], DType::F32, &device)?;
    /// assert_eq!(x.flatten_from(1)?.dims(), [2, 12]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn flatten_from(&self, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("flatten_from", axis, self.rank())?;
        let mut dims = self.dims()[..axis].to_vec();
        dims.push(self.dims()[axis..].iter().product());
        self.reshape(dims)
    }

    /// Reorders dimensions: output dimension `d` is this tensor's dimension `axes[d]`; `()` reverses their order.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([2, 3, 4], DType::F32, &device)?;
    /// assert_eq!(x.transpose([2, 0, 1])?.dims(), [4, 2, 3]);
    /// assert_eq!(x.transpose(())?.dims(), [4, 3, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `axes` is not a permutation of the dimensions.
    #[track_caller]
    pub fn transpose(&self, axes: impl Axes) -> Result<Tensor> {
        let order = axes_list("transpose", axes, self.rank())?.unwrap_or_else(|| (0..self.rank()).rev().collect());
        if order.len() != self.rank() {
            return Err(Error::parts(
                Kind::Argument,
                "`transpose` was given axes that are not a permutation",
                &format!("{order:?} for a tensor of {} dimensions", self.rank()),
                "each axis once",
                "Name every axis exactly once",
            ));
        }
        let dims: SmallVec<[usize; 8]> = order.iter().map(|&a| self.dims()[a]).collect();
        if order.is_sorted() {
            return Ok(self.clone());
        }
        let order = order.into_iter().map(|a| a as u8).collect();
        Ok(view(self, Op::Permute(order), Shape::of(&dims), |y, _, g| {
            let Op::Permute(order) = &y.0.op else { unreachable!("a permute's gradient") };
            let mut inverse: SmallVec<[usize; 8]> = SmallVec::from_elem(0, order.len());
            order.iter().enumerate().for_each(|(to, &from)| inverse[usize::from(from)] = to);
            one(g.transpose(&inverse[..])?)
        }))
    }

    /// Exchanges two dimensions.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([2, 3, 4], DType::F32, &device)?;
    /// assert_eq!(x.swapaxes(0, -1)?.dims(), [4, 3, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An axis does not exist.
    #[track_caller]
    pub fn swapaxes(&self, a: impl Index, b: impl Index) -> Result<Tensor> {
        let (a, b) = (axis_index("swapaxes", a, self.rank())?, axis_index("swapaxes", b, self.rank())?);
        let mut axes: SmallVec<[usize; 8]> = (0..self.rank()).collect();
        axes.swap(a, b);
        self.transpose(&axes[..])
    }

    /// Exchanges the last two dimensions.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.t()?.to_vec::<f32>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than two dimensions.
    #[track_caller]
    pub fn t(&self) -> Result<Tensor> {
        self.swapaxes(-2, -1)
    }

    /// Repeats extents of 1, and puts dimensions in front, to reach `shape` (NumPy's `broadcast_to`).
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1, 2], &device)?;
    /// assert_eq!(x.broadcast_to([2, 2])?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The tensor does not broadcast to the shape.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        if crate::shape::broadcast(self.shape(), &shape) != Some(shape) {
            return Err(Error::parts(
                Kind::Shape,
                "`broadcast_to` cannot reach the shape",
                &format!("{} from a tensor of shape {}", shape, self.shape()),
                "extents equal to the tensor's, or the tensor's being 1",
                "Reshape the tensor, or insert dimensions with `expand_dims`",
            ));
        }
        let mut dims: SmallVec<[usize; 8]> = SmallVec::from_elem(1, shape.rank() - self.rank());
        dims.extend_from_slice(self.dims());
        let source = self.reshape(Shape::of(&dims))?;
        if source.shape() == &shape {
            return Ok(source);
        }
        Ok(view(&source, Op::Expand, shape, |y, inputs, g| {
            let axes: SmallVec<[usize; 8]> =
                (0..y.rank()).filter(|&d| inputs[0].dims()[d] == 1 && y.dims()[d] != 1).collect();
            one(g.sum_keepdims(&axes[..])?)
        }))
    }

    /// Drops dimensions of extent 1: those named, or with `()` all there are.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([1, 2, 1], DType::F32, &device)?;
    /// assert_eq!(x.squeeze(())?.dims(), [2]);
    /// assert_eq!(x.squeeze(-1)?.dims(), [1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An axis does not exist, is named twice, or its extent is not 1.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Axes) -> Result<Tensor> {
        let ones = || (0..self.rank()).filter(|&d| self.dims()[d] == 1).collect();
        let axes = axes_list("squeeze", axes, self.rank())?.unwrap_or_else(ones);
        if let Some(axis) = axes.iter().find(|&&axis| self.dims()[axis] != 1) {
            return Err(Error::parts(
                Kind::Shape,
                "`squeeze` was given an axis whose extent is not 1",
                &format!("axis {axis} of shape {}", self.shape()),
                "an extent of 1",
                "Name another axis, or reduce over this one",
            ));
        }
        let kept = (0..self.rank()).filter(|d| !axes.contains(d)).map(|d| self.dims()[d]);
        self.reshape(&kept.collect::<SmallVec<[usize; 8]>>()[..])
    }

    /// Inserts dimensions of extent 1, which have these places in the result (-1: the last).
    ///
    /// ```
    /// # use wgtensor::{Device, DType, Tensor};
    /// let x = Tensor::zeros([2, 3], DType::F32, &Device::cpu())?;
    /// assert_eq!(x.expand_dims(-1)?.dims(), [2, 3, 1]);
    /// assert_eq!(x.expand_dims([0, 2])?.dims(), [1, 2, 1, 3]);
    /// assert_eq!(x.expand_dims([0, 2])?.squeeze(())?.dims(), [2, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An axis is out of range or named twice, or none is named.
    #[track_caller]
    pub fn expand_dims(&self, axes: impl Axes) -> Result<Tensor> {
        let Some(given) = axes.axes("expand_dims")? else {
            return Err(Error::parts(
                Kind::Argument,
                "`expand_dims` was given no axis",
                "()",
                "the places of the new dimensions in the result",
                "Name one, say -1 for the last",
            ));
        };
        let rank = self.rank() + given.len();
        let new = axes_set("expand_dims", &given[..], rank)?;
        let mut kept = self.dims().iter().copied();
        let dims =
            (0..rank).map(|d| if new.contains(&d) { 1 } else { kept.next().expect("as many as this tensor has") });
        self.reshape(&dims.collect::<SmallVec<[usize; 8]>>()[..])
    }

    /// The elements of a range along an axis, as in NumPy: negative ends count from the end, ends outside are cut.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 2.0, 3.0, 4.0], &Device::cpu())?;
    /// let n = x.dims()[0];
    /// assert_eq!(x.slice(0, 1..n)?.to_vec::<f32>()?, [2.0, 3.0, 4.0]);
    /// assert_eq!(x.slice(0, -2..)?.to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn slice(&self, axis: impl Index, range: impl SliceRange) -> Result<Tensor> {
        let (start, stop) = range.ends()?;
        self.slice_step(axis, start, stop, 1)
    }

    /// NumPy's `x[start:stop:step]` along an axis.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1, 2, 3, 4, 5], &device)?;
    /// assert_eq!(x.slice_step(0, None, None, 2)?.to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(x.slice_step(0, Some(-1), Some(1), -1)?.to_vec::<i32>()?, [5, 4, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist, or `step` is 0.
    #[track_caller]
    pub fn slice_step(
        &self,
        axis: impl Index,
        start: Option<isize>,
        stop: Option<isize>,
        step: isize,
    ) -> Result<Tensor> {
        let axis = axis_index("slice", axis, self.rank())?;
        if step == 0 {
            return Err(Error::parts(
                Kind::Argument,
                "`slice` was given a step of zero",
                "step 0",
                "a positive or negative step",
                "Use `take` for a single element",
            ));
        }
        let n = self.dims()[axis] as isize;
        let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let end = |v: Option<isize>, default: isize| match v {
            None => default,
            Some(v) => (if v < 0 { v + n } else { v }).clamp(low, high),
        };
        let (first, last) = if step > 0 { (0, n) } else { (n - 1, -1) };
        let (start, stop) = (end(start, first), end(stop, last));
        let span = if step > 0 { stop - start } else { start - stop };
        let count = if span <= 0 { 0 } else { (span as usize - 1) / step.unsigned_abs() + 1 };
        // A step that is not taken may be as large as it likes.
        let step = if count > 1 { step as i64 } else { 1 };
        Ok(self.strided(axis, start as i64, step, count))
    }

    #[track_caller]
    fn strided(&self, axis: usize, start: i64, step: i64, count: usize) -> Tensor {
        if start == 0 && step == 1 && count == self.dims()[axis] {
            return self.clone();
        }
        let mut bounds = vec![(0, 1); self.rank()];
        bounds[axis] = (if count > 0 { start } else { 0 }, step);
        view(self, Op::Slice(bounds.into()), self.shape().with(axis, count), slice_grad)
    }

    /// Reverses the order along the axes; `()` for all.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.flip(1)?.to_vec::<f32>()?, [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An axis does not exist or is named twice.
    #[track_caller]
    pub fn flip(&self, axes: impl Axes) -> Result<Tensor> {
        let mut out = self.clone();
        for axis in axes_set("flip", axes, self.rank())? {
            let n = self.dims()[axis];
            if n > 1 {
                out = out.strided(axis, n as i64 - 1, -1, n);
            }
        }
        Ok(out)
    }

    /// `len` elements from `start` along an axis; a negative `start` counts from the end.
    ///
    /// A range is part of a plan, so a loop over many ranges (the batches of an epoch, say) plans each anew; with
    /// [`take`](Tensor::take) the indices are data, and one plan serves them all.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.narrow(1, 1, 2)?.to_vec::<f32>()?, [2.0, 3.0, 5.0, 6.0]);
    /// assert!(x.narrow(1, 2, 2).unwrap_err().is_out_of_range());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The range leaves the tensor.
    #[track_caller]
    pub fn narrow(&self, axis: impl Index, start: impl Index, len: usize) -> Result<Tensor> {
        let axis = axis_index("narrow", axis, self.rank())?;
        let start = signed("narrow", start)?;
        let n = self.dims()[axis];
        let from = if start < 0 { start.checked_add_unsigned(n) } else { Some(start) };
        let from = from.and_then(|from| usize::try_from(from).ok());
        match from.filter(|from| from.checked_add(len).is_some_and(|end| end <= n)) {
            Some(from) => Ok(self.strided(axis, from as i64, 1, len)),
            None => Err(Error::parts(
                Kind::Index,
                "`narrow` was given a range outside the tensor",
                &format!("{len} elements from {start} along axis {axis} of shape {}", self.shape()),
                &format!("a range within 0..{n}"),
                "Shorten the range",
            )),
        }
    }

    /// The slice at one position of an axis, which is dropped; negative counts from the end.
    #[track_caller]
    pub(super) fn position(&self, axis: usize, index: isize) -> Result<Tensor> {
        let n = self.dims()[axis] as isize;
        let at = if index < 0 { index + n } else { index };
        if at < 0 || at >= n {
            return Err(Error::parts(
                Kind::Index,
                "`take` was given an index outside the tensor",
                &format!("index {index} along axis {axis} with {n} elements"),
                &format!("-{n} <= index < {n}"),
                "Count positions from 0, or from -1 at the end",
            ));
        }
        self.strided(axis, at as i64, 1, 1).squeeze(axis)
    }
}

/// The gradient goes back to where the elements came from; steps of more than one leave gaps.
fn slice_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Slice(bounds) = &y.0.op else { unreachable!("a slice's gradient") };
    let x = &inputs[0];
    let mut g = grad.clone();
    for (d, &(start, step)) in bounds.iter().enumerate() {
        let (n, m) = (x.dims()[d], y.dims()[d]);
        if m == 0 {
            return one(x.zeros_like()?);
        }
        if step == 1 && m == n {
            continue;
        }
        let (mut first, stride) = (start, step.unsigned_abs() as usize);
        if step < 0 {
            g = g.flip(d)?;
            first += (m as i64 - 1) * step;
        }
        if stride > 1 {
            // Zeros between the elements: each becomes a block of `stride`, then the last block is cut.
            let axis = d + 1;
            let mut pads = vec![(0, 0); g.rank() + 1];
            pads[d + 1] = (0, stride - 1);
            let wide = g.expand_dims(axis)?.pad(&pads, 0.0)?;
            let mut dims = g.dims().to_vec();
            dims[d] = m * stride;
            g = wide.reshape(dims)?.narrow(d, 0, (m - 1) * stride + 1)?;
        }
        let mut pads = vec![(0, 0); g.rank()];
        pads[d] = (first as usize, n - first as usize - g.dims()[d]);
        g = g.pad(&pads, 0.0)?;
    }
    one(g)
}
