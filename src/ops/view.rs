//! Views: new names for the same elements. They cost nothing; consumers fold them into their addresses.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo};

use smallvec::SmallVec;

use super::pointwise::one;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, NodeVjp, Vjp};
use crate::ir::op::{Axes, Op};
use crate::shape::{IntoShape, Shape, axis_index};

/// A range along an axis; negative ends count from the end, ends outside are cut as in NumPy.
pub trait SliceRange {
    /// Start and stop; `None` for an open end.
    fn ends(self) -> (Option<isize>, Option<isize>);
}
impl SliceRange for Range<isize> {
    fn ends(self) -> (Option<isize>, Option<isize>) {
        (Some(self.start), Some(self.end))
    }
}
impl SliceRange for RangeInclusive<isize> {
    fn ends(self) -> (Option<isize>, Option<isize>) {
        (Some(*self.start()), if *self.end() == -1 { None } else { Some(self.end() + 1) })
    }
}
impl SliceRange for RangeFrom<isize> {
    fn ends(self) -> (Option<isize>, Option<isize>) {
        (Some(self.start), None)
    }
}
impl SliceRange for RangeTo<isize> {
    fn ends(self) -> (Option<isize>, Option<isize>) {
        (None, Some(self.end))
    }
}
impl SliceRange for RangeFull {
    fn ends(self) -> (Option<isize>, Option<isize>) {
        (None, None)
    }
}

#[track_caller]
fn view(x: &Tensor, op: Op, shape: Shape, vjp: NodeVjp) -> Tensor {
    Tensor::record(op, shape, x.dtype(), &[x], Make::new(x.device(), Vjp::Node(vjp)))
}

impl Tensor {
    /// The same elements in row-major order under another shape.
    ///
    /// # Errors
    /// The shape has another number of elements.
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        if shape.numel() != self.numel() {
            return Err(Error::parts(
                Kind::Shape,
                "`reshape` was given a shape of another size",
                &format!("{} for a tensor of shape {}", shape, self.shape()),
                &format!("{} elements", self.numel()),
                "Give extents whose product is that number, or use `reshape_infer` with one -1",
            ));
        }
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        Ok(view(self, Op::Reshape, shape, |_, inputs, g| one(g.reshape(inputs[0].shape())?)))
    }

    /// [`reshape`](Tensor::reshape) in which one extent may be -1: it is computed from the others.
    ///
    /// # Errors
    /// More than one -1, or no extent fits.
    #[track_caller]
    pub fn reshape_infer(&self, shape: &[isize]) -> Result<Tensor> {
        let known = shape.iter().filter(|&&d| d != -1).fold(1isize, |n, &d| n.saturating_mul(d));
        let open = shape.iter().filter(|&&d| d == -1).count();
        let fits = open == 0 || open == 1 && known > 0 && self.numel().is_multiple_of(known as usize);
        if !fits || shape.iter().any(|&d| d < -1) {
            return Err(Error::parts(
                Kind::Shape,
                "`reshape_infer` could not work out the missing extent",
                &format!("{shape:?} for a tensor of shape {}", self.shape()),
                &format!("at most one -1, the others dividing {}", self.numel()),
                "Check the extents",
            ));
        }
        let dims: SmallVec<[usize; 8]> =
            shape.iter().map(|&d| if d == -1 { self.numel() / known as usize } else { d as usize }).collect();
        self.reshape(Shape::new(&dims)?)
    }

    /// Merges `axis` and all later dimensions into one.
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn flatten_from(&self, axis: isize) -> Result<Tensor> {
        let axis = axis_index("flatten_from", axis, self.rank())?;
        let mut dims = self.dims()[..axis].to_vec();
        dims.push(self.dims()[axis..].iter().product());
        self.reshape(dims)
    }

    /// Reorders dimensions: output dimension `d` is this tensor's dimension `axes[d]`.
    ///
    /// # Errors
    /// `axes` is not a permutation of the dimensions.
    #[track_caller]
    pub fn transpose(&self, axes: &[isize]) -> Result<Tensor> {
        let mut order: Axes<u8> = SmallVec::new();
        for &axis in axes {
            order.push(axis_index("transpose", axis, self.rank())? as u8);
        }
        let distinct = (0..self.rank() as u8).all(|d| order.contains(&d));
        if order.len() != self.rank() || !distinct {
            return Err(Error::parts(
                Kind::Argument,
                "`transpose` was given axes that are not a permutation",
                &format!("{axes:?} for a tensor of {} dimensions", self.rank()),
                "each axis once",
                "Name every axis exactly once",
            ));
        }
        let dims: SmallVec<[usize; 8]> = order.iter().map(|&a| self.dims()[a as usize]).collect();
        if order.iter().enumerate().all(|(d, &a)| d == a as usize) {
            return Ok(self.clone());
        }
        Ok(view(self, Op::Permute(order), Shape::of(&dims), |y, _, g| {
            let Op::Permute(order) = &y.0.op else { unreachable!("a permute's gradient") };
            let inverse: SmallVec<[isize; 8]> = (0..order.len())
                .map(|d| order.iter().position(|&a| a as usize == d).expect("a permutation") as isize)
                .collect();
            one(g.transpose(&inverse)?)
        }))
    }

    /// Exchanges two dimensions.
    ///
    /// # Errors
    /// An axis does not exist.
    #[track_caller]
    pub fn swapaxes(&self, a: isize, b: isize) -> Result<Tensor> {
        let (a, b) = (axis_index("swapaxes", a, self.rank())?, axis_index("swapaxes", b, self.rank())?);
        let mut axes: SmallVec<[isize; 8]> = (0..self.rank() as isize).collect();
        axes.swap(a, b);
        self.transpose(&axes)
    }

    /// Exchanges the last two dimensions.
    ///
    /// # Errors
    /// Fewer than two dimensions.
    #[track_caller]
    pub fn t(&self) -> Result<Tensor> {
        self.swapaxes(-2, -1)
    }

    /// Repeats extents of 1, and puts dimensions in front, to reach `shape` (NumPy's `broadcast_to`).
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
            let axes: SmallVec<[isize; 8]> =
                (0..y.rank()).filter(|&d| inputs[0].dims()[d] == 1 && y.dims()[d] != 1).map(|d| d as isize).collect();
            one(g.sum_keepdims(&axes[..])?)
        }))
    }

    /// Drops a dimension of extent 1.
    ///
    /// # Errors
    /// The axis does not exist or its extent is not 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let axis = axis_index("squeeze", axis, self.rank())?;
        if self.dims()[axis] != 1 {
            return Err(Error::parts(
                Kind::Shape,
                "`squeeze` was given an axis whose extent is not 1",
                &format!("axis {axis} of shape {}", self.shape()),
                "an extent of 1",
                "Name another axis, or reduce over this one",
            ));
        }
        let mut dims = self.dims().to_vec();
        dims.remove(axis);
        self.reshape(dims)
    }

    /// Inserts a dimension of extent 1 before `axis` (-1: at the end).
    ///
    /// # Errors
    /// The axis is out of range.
    #[track_caller]
    pub fn expand_dims(&self, axis: isize) -> Result<Tensor> {
        let axis = axis_index("expand_dims", axis, self.rank() + 1)?;
        let mut dims = self.dims().to_vec();
        dims.insert(axis, 1);
        self.reshape(dims)
    }

    /// The elements of a range along an axis, as in NumPy: negative ends count from the end, ends outside are cut.
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: impl SliceRange) -> Result<Tensor> {
        let (start, stop) = range.ends();
        self.slice_step(axis, start, stop, 1)
    }

    /// NumPy's `x[start:stop:step]` along an axis.
    ///
    /// # Errors
    /// The axis does not exist, or `step` is 0.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, start: Option<isize>, stop: Option<isize>, step: isize) -> Result<Tensor> {
        let axis = axis_index("slice", axis, self.rank())?;
        if step == 0 {
            return Err(Error::parts(
                Kind::Argument,
                "`slice` was given a step of zero",
                "step 0",
                "a positive or negative step",
                "Use `select_index` for a single element",
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
        let mut starts: Axes<i64> = SmallVec::from_elem(0, self.rank());
        let mut steps: Axes<i64> = SmallVec::from_elem(1, self.rank());
        if count > 0 {
            starts[axis] = start;
        }
        steps[axis] = step;
        view(self, Op::Slice { start: starts, step: steps }, self.shape().with(axis, count), slice_grad)
    }

    /// Reverses the order along the axes.
    ///
    /// # Errors
    /// An axis does not exist.
    #[track_caller]
    pub fn flip(&self, axes: &[isize]) -> Result<Tensor> {
        let mut out = self.clone();
        for axis in crate::shape::axes_set("flip", axes, self.rank())? {
            let n = self.dims()[axis];
            if n > 1 {
                out = out.strided(axis, n as i64 - 1, -1, n);
            }
        }
        Ok(out)
    }

    /// `len` elements from `start` along an axis.
    ///
    /// A range is part of a plan, so a loop over many ranges (the batches of an epoch, say) plans each anew; with
    /// [`take`](Tensor::take) the indices are data, and one plan serves them all.
    ///
    /// # Errors
    /// The range leaves the tensor.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Result<Tensor> {
        let axis = axis_index("narrow", axis, self.rank())?;
        if start.checked_add(len).is_none_or(|end| end > self.dims()[axis]) {
            return Err(Error::parts(
                Kind::Index,
                "`narrow` was given a range outside the tensor",
                &format!("{len} elements from {start} along axis {axis} of shape {}", self.shape()),
                &format!("a range within 0..{}", self.dims()[axis]),
                "Shorten the range",
            ));
        }
        Ok(self.strided(axis, start as i64, 1, len))
    }

    /// One position along an axis; the axis is dropped. Negative counts from the end.
    ///
    /// # Errors
    /// The position is outside the tensor.
    #[track_caller]
    pub fn select_index(&self, axis: isize, index: isize) -> Result<Tensor> {
        let d = axis_index("select_index", axis, self.rank())?;
        let n = self.dims()[d] as isize;
        let at = if index < 0 { index + n } else { index };
        if at < 0 || at >= n {
            return Err(Error::parts(
                Kind::Index,
                "`select_index` was given an index outside the tensor",
                &format!("index {index} along axis {d} of shape {}", self.shape()),
                &format!("-{n} <= index < {n}"),
                "Check the index",
            ));
        }
        self.strided(d, at as i64, 1, 1).squeeze(d as isize)
    }
}

/// The gradient goes back to where the elements came from; steps of more than one leave gaps.
fn slice_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Slice { start, step } = &y.0.op else { unreachable!("a slice's gradient") };
    let x = &inputs[0];
    let mut g = grad.clone();
    for d in 0..y.rank() {
        let (n, m) = (x.dims()[d], y.dims()[d]);
        if m == 0 {
            return one(Tensor::zeros(*x.shape(), x.dtype(), x.device())?);
        }
        if step[d] == 1 && m == n {
            continue;
        }
        let (mut first, stride) = (start[d], step[d].unsigned_abs() as usize);
        if step[d] < 0 {
            g = g.flip(&[d as isize])?;
            first += (m as i64 - 1) * step[d];
        }
        if stride > 1 {
            // Zeros between the elements: each becomes a block of `stride`, then the last block is cut.
            let axis = d as isize + 1;
            let mut pads = vec![(0, 0); g.rank() + 1];
            pads[d + 1] = (0, stride - 1);
            let wide = g.expand_dims(axis)?.pad(&pads, 0.0)?;
            let mut dims = g.dims().to_vec();
            dims[d] = m * stride;
            g = wide.reshape(dims)?.narrow(d as isize, 0, (m - 1) * stride + 1)?;
        }
        let mut pads = vec![(0, 0); g.rank()];
        pads[d] = (first as usize, n - first as usize - g.dims()[d]);
        g = g.pad(&pads, 0.0)?;
    }
    one(g)
}
