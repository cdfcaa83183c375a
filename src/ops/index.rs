//! Reading and adding by index.

use smallvec::SmallVec;

use super::data::IntoTensor;
use super::pointwise::{expect_dtype, same_device, same_dtype};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp};
use crate::ir::op::{Axes, Op};
use crate::ir::scatter::Scatter;
use crate::ir::step::Family;
use crate::shape::{Index, Shape, axis_index};

/// Rejects indices known (because they came from the host) to be outside an axis of `extent` elements.
#[track_caller]
pub(super) fn check_bounds(op: &str, index: &Tensor, axis: usize, extent: usize) -> Result<()> {
    expect_dtype(op, index, index.dtype().is_int(), "integers for indices")?;
    let Some((low, high)) = index.bounds() else { return Ok(()) };
    let n = extent as i64;
    if low >= -n && high < n {
        return Ok(());
    }
    Err(Error::parts(
        Kind::Index,
        &format!("`{op}` was given an index outside the tensor"),
        &format!("index {} along axis {axis} with {extent} elements", if high >= n { high } else { low }),
        &format!("-{extent} <= index < {extent}"),
        "Check the indices",
    ))
}

impl Tensor {
    /// The slices at `index` along an axis (NumPy's `take`): the axis is replaced by the dimensions of `index` (a tensor of
    /// integers of any type, or numbers of the host's). Negative indices count from the end. Indices computed on the device
    /// are not checked: one outside reads NaN (floats) or 0.
    ///
    /// A single number from the host is a view, as a range is: part of a plan, where other indices are data.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::cpu())?;
    /// assert_eq!(x.take(-1, 0)?.to_vec::<f32>()?, [4.0, 5.0, 6.0]);
    /// assert_eq!(x.take([2, 0], 1)?.to_vec::<f32>()?, [3.0, 1.0, 6.0, 4.0]);
    /// let last = x.dims()[1] - 1;
    /// assert_eq!(x.take(last, 1)?.take(vec![last - 1], 0)?.item::<f32>()?, 6.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist, indices of another type, or indices from the host that are outside.
    #[track_caller]
    pub fn take(&self, index: impl IntoTensor, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("take", axis, self.rank())?;
        if let Some(at) = index.position() {
            return self.position(axis, at);
        }
        let index = &index.beside(self.device())?;
        same_device("take", self, index)?;
        check_bounds("take", index, axis, self.dims()[axis])?;
        let dims: Vec<usize> = [&self.dims()[..axis], index.dims(), &self.dims()[axis + 1..]].concat();
        let shape = Shape::new(&dims)?;
        // The index at every position of the result.
        let mut wide: SmallVec<[usize; 8]> = SmallVec::from_elem(1, axis);
        wide.extend_from_slice(index.dims());
        wide.extend((axis + 1..self.rank()).map(|_| 1));
        let at = index.reshape(&wide[..])?.broadcast_to(shape)?;
        let map: Axes<u8> = (0..self.rank()).map(|d| if d <= axis { d } else { d - 1 + index.rank() } as u8).collect();
        let make = Make::new(self.device(), Vjp::Node(take_grad));
        let op = Op::Gather { axis: axis as u8, map };
        Ok(Tensor::record(op, shape, self.dtype(), &[self, &at], make.saving(&[index])))
    }

    /// Along an axis the element that `index` (same rank; its other extents broadcast with the tensor's) names, as
    /// NumPy's `take_along_axis`.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// let best = x.argmax(1)?.expand_dims(-1)?;
    /// assert_eq!(x.take_along_axis(&best, 1)?.to_vec::<f32>()?, [3.0, 6.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`take`](Tensor::take), and ranks or extents that do not fit.
    #[track_caller]
    pub fn take_along_axis(&self, index: impl IntoTensor, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index("take_along_axis", axis, self.rank())?;
        let index = &index.beside(self.device())?;
        same_device("take_along_axis", self, index)?;
        check_bounds("take_along_axis", index, axis, self.dims()[axis])?;
        let beside = |t: &Tensor| t.shape().with(axis, 1);
        let fit = index.rank() == self.rank();
        let Some(shape) = fit.then(|| crate::shape::broadcast(&beside(self), &beside(index))).flatten() else {
            return Err(Error::parts(
                Kind::Shape,
                "`take_along_axis` was given indices that do not fit",
                &format!("indices {} for a tensor of shape {}", index.shape(), self.shape()),
                "equal ranks, and extents that broadcast beside the axis",
                "Reshape or expand the indices",
            ));
        };
        let x = self.broadcast_to(shape.with(axis, self.dims()[axis]))?;
        let shape = shape.with(axis, index.dims()[axis]);
        let at = index.broadcast_to(shape)?;
        let map: Axes<u8> = (0..self.rank() as u8).collect();
        let make = Make::new(self.device(), Vjp::Node(along_grad));
        let op = Op::Gather { axis: axis as u8, map };
        Ok(Tensor::record(op, shape, self.dtype(), &[&x, &at], make))
    }

    /// This tensor with the slices of `src` added at `index` (one-dimensional) along an axis; slices with equal
    /// indices add up, always in the same order. Indices computed on the device that are outside add nothing.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([0.0f32, 0.0, 0.0], &device)?;
    /// let src = Tensor::new([1.0f32, 2.0, 4.0], &device)?;
    /// assert_eq!(x.index_add(0, [2, 0, 2], &src)?.to_vec::<f32>()?, [2.0, 0.0, 5.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, indices of another type, or indices from the host that are outside.
    #[track_caller]
    pub fn index_add(&self, axis: impl Index, index: impl IntoTensor, src: &Tensor) -> Result<Tensor> {
        let axis = axis_index("index_add", axis, self.rank())?;
        let index = &index.beside(self.device())?;
        same_device("index_add", self, index)?;
        same_device("index_add", self, src)?;
        same_dtype("index_add", self, src)?;
        expect_dtype("index_add", self, self.dtype() != DType::Bool, "a number")?;
        check_bounds("index_add", index, axis, self.dims()[axis])?;
        if index.rank() != 1 || *src.shape() != self.shape().with(axis, index.numel()) {
            return Err(Error::parts(
                Kind::Shape,
                "`index_add` was given a source that does not fit",
                &format!("indices {}, source {} for a tensor of shape {}", index.shape(), src.shape(), self.shape()),
                "one-dimensional indices, and a source with one slice for each",
                "Reshape the source",
            ));
        }
        let outer: usize = self.dims()[..axis].iter().product();
        let inner: usize = self.dims()[axis + 1..].iter().product();
        let (n, m) = (self.dims()[axis], index.numel());
        if m == 0 || self.numel() == 0 {
            return Ok(self.clone());
        }
        let (base, src) = (self.reshape([outer, n, inner])?, src.reshape([outer, m, inner])?);
        let make = Make::new(self.device(), Vjp::Node(scatter_grad));
        let op =
            Op::family(Family::Scatter(Scatter { dtype: self.dtype().register(), outer, extent: n, inner, count: m }));
        Tensor::record(op, Shape::of(&[outer, n, inner]), self.dtype(), &[&base, index, &src], make)
            .reshape(self.shape())
    }

    /// How many of the `bins` (one-dimensional, ascending) are not above each element, as NumPy's `digitize`: `i32`, from 0
    /// to the number of bins.
    ///
    /// # Errors
    /// Bins of another rank; mixed types or devices.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let device = Device::cpu();
    /// let bins = Tensor::new([0.0f32, 1.0], &device)?;
    /// let x = Tensor::new([-0.5f32, 0.0, 0.5, 3.0], &device)?;
    /// assert_eq!(x.digitize(&bins)?.to_vec::<i32>()?, [0, 1, 1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn digitize(&self, bins: &Tensor) -> Result<Tensor> {
        places_in("digitize", bins, self, true)
    }

    /// Where each of the `values` would be inserted into this tensor (one-dimensional, ascending) to keep the order, as
    /// NumPy's `searchsorted`: before elements equal to it, or, at the `right` side, behind them. NaN goes to the end.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let sorted = Tensor::new([1.0f32, 2.0, 2.0, 3.0], &device)?;
    /// let values = Tensor::new([2.0f32, 9.0], &device)?;
    /// assert_eq!(sorted.searchsorted(&values, false)?.to_vec::<i32>()?, [1, 4]);
    /// assert_eq!(sorted.searchsorted(&values, true)?.to_vec::<i32>()?, [3, 4]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// This tensor is not one-dimensional; mixed types or devices.
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Result<Tensor> {
        places_in("searchsorted", self, values, right)
    }

    /// A new dimension of `classes` elements at `axis` of the result (-1: the last): 1 at the position the index names, 0
    /// elsewhere (and everywhere for an index outside).
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let classes = Tensor::new([0, 2], &device)?;
    /// assert_eq!(classes.one_hot(3, -1, DType::F32)?.to_vec::<f32>()?, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Indices that are not integers; an axis that the result does not have.
    #[track_caller]
    pub fn one_hot(&self, classes: usize, axis: impl Index, dtype: DType) -> Result<Tensor> {
        expect_dtype("one_hot", self, self.dtype().is_int(), "integers for indices")?;
        let axis = axis_index("one_hot", axis, self.rank() + 1)?;
        entry(|| {
            let mut shape = vec![1; self.rank() + 1];
            shape[axis] = classes;
            let index = self.cast(self.dtype().register())?;
            let ids = Tensor::arange(0.0, classes as f64, 1.0, index.dtype(), self.device())?;
            index.expand_dims(axis)?.eq(&ids.reshape(shape)?)?.cast(dtype)
        })
    }
}

/// How many elements of `sorted` come before each value.
#[track_caller]
fn places_in(op: &str, sorted: &Tensor, values: &Tensor, right: bool) -> Result<Tensor> {
    same_device(op, sorted, values)?;
    same_dtype(op, sorted, values)?;
    if sorted.rank() != 1 {
        return Err(Error::parts(
            Kind::Shape,
            &format!("`{op}` was given bounds of another rank"),
            &format!("shape {}", sorted.shape()),
            "one dimension, in ascending order",
            "Reshape the bounds",
        ));
    }
    entry(|| {
        let value = values.reshape([values.numel(), 1])?;
        // Of what is not behind the value, so that NaN has all before it.
        let behind = if right { value.lt(sorted)? } else { value.le(sorted)? };
        behind.logical_not()?.cast(DType::I32)?.sum(1)?.reshape(values.shape())
    })
}

/// The gradient of what is read; indices have none.
fn of_source(grad: Tensor) -> Result<InputGrads> {
    Ok([Some(grad), None].into_iter().collect())
}

fn take_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Gather { axis, .. } = y.0.op else { unreachable!("a take's gradient") };
    let (x, index, axis) = (&inputs[0], &inputs[2], usize::from(axis));
    let src = grad.reshape(x.shape().with(axis, index.numel()))?;
    let zeros = x.zeros_like()?;
    of_source(zeros.index_add(axis, &index.reshape(index.numel())?, &src)?)
}

/// Each element gets the sum over the indices that name it.
fn along_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Gather { axis, .. } = y.0.op else { unreachable!("a gradient of take_along_axis") };
    let (x, at, axis) = (&inputs[0], &inputs[1], usize::from(axis));
    let n = x.dims()[axis];
    let at = at.cast(at.dtype().register())?;
    let at = at.lt(0.0)?.where_(&at.add(n)?, at)?;
    let ids = Tensor::arange(0.0, n as f64, 1.0, at.dtype(), x.device())?;
    // (.., n, m, ..) with the extent of x before the positions of the result.
    let mut shape = vec![1; x.rank() + 1];
    shape[axis] = n;
    let hit = at.expand_dims(axis)?.eq(&ids.reshape(shape)?)?;
    of_source(hit.where_(&grad.expand_dims(axis)?, 0.0)?.sum(axis + 1)?)
}

fn scatter_grad(_: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let (base, index, src) = (&inputs[0], &inputs[1], &inputs[2]);
    let src = if src.0.tracked {
        let taken = grad.take(index, 1)?;
        // What an index from the device adds to nothing has no gradient.
        let n = base.dims()[1];
        let index = index.cast(index.dtype().register())?;
        let mut inside = index.lt(n)?;
        if index.dtype() == DType::I32 {
            inside = inside.logical_and(&index.ge(-(n as f64))?)?;
        }
        let known = index.bounds().is_some();
        Some(if known { taken } else { inside.reshape([index.numel(), 1])?.where_(&taken, 0.0)? })
    } else {
        None
    };
    Ok([Some(grad.clone()), None, src].into_iter().collect())
}
