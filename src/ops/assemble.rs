//! Putting tensors together: pad, concat, stack, split, repeat.

use smallvec::SmallVec;

use super::pointwise::{number, same_device, same_dtype, scalar};
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp};
use crate::ir::op::{Axes, Op};
use crate::shape::{Index, IntoShape, Shape, axis_index, signed};

/// What [`Tensor::pad`] puts around a tensor, shown for `a b c`.
///
/// ```
/// # use wgtensor::{Device, PadMode, Tensor};
/// let x = Tensor::new([1, 2, 3], &Device::cpu())?;
/// assert_eq!(x.pad(&[(2, 2)], PadMode::Edge)?.to_vec::<i32>()?, [1, 1, 1, 2, 3, 3, 3]);
/// assert_eq!(x.pad(&[(2, 2)], PadMode::Wrap)?.to_vec::<i32>()?, [2, 3, 1, 2, 3, 1, 2]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number everywhere; a number alone means the same.
    Constant(f64),
    /// The elements mirrored at the edge, which is not repeated: `c b [a b c] b a`.
    Reflect,
    /// The elements mirrored with the edge: `b a [a b c] c b`.
    Symmetric,
    /// The edge repeated: `a a [a b c] c c`.
    Edge,
    /// The elements from the other end: `b c [a b c] a b`.
    Wrap,
}

impl From<f64> for PadMode {
    fn from(value: f64) -> Self {
        PadMode::Constant(value)
    }
}

impl Tensor {
    /// Surrounds the tensor: `pads[d]` gives how many elements go before and after along dimension `d`. They are all
    /// the same number where one is given, else what the [`PadMode`] says.
    ///
    /// # Errors
    /// `pads` does not name every dimension; a value that the type does not hold; more elements than the mode finds in
    /// the tensor; a result too large.
    ///
    /// ```
    /// # use wgtensor::{Device, PadMode, Tensor};
    /// let x = Tensor::new([1, 2, 3], &Device::cpu())?;
    /// assert_eq!(x.pad(&[(1, 2)], 0.0)?.to_vec::<i32>()?, [0, 1, 2, 3, 0, 0]);
    /// assert_eq!(x.pad(&[(1, 2)], PadMode::Reflect)?.to_vec::<i32>()?, [2, 1, 2, 3, 2, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, pads: &[(usize, usize)], mode: impl Into<PadMode>) -> Result<Tensor> {
        if pads.len() != self.rank() {
            return Err(Error::parts(
                Kind::Argument,
                "`pad` was given widths for another number of dimensions",
                &format!("{} pairs for a tensor of shape {}", pads.len(), self.shape()),
                &format!("{} pairs (before, after)", self.rank()),
                "Give (0, 0) for dimensions that stay",
            ));
        }
        if pads.iter().all(|&p| p == (0, 0)) {
            return Ok(self.clone());
        }
        match mode.into() {
            PadMode::Constant(value) => self.surround(pads, value),
            own => entry(|| (0..self.rank()).try_fold(self.clone(), |x, d| x.extend(d, pads[d], own))),
        }
    }

    #[track_caller]
    fn surround(&self, pads: &[(usize, usize)], value: f64) -> Result<Tensor> {
        let dims: SmallVec<[usize; 8]> =
            self.dims().iter().zip(pads).map(|(&n, p)| n.saturating_add(p.0).saturating_add(p.1)).collect();
        let shape = Shape::new(&dims)?;
        let starts: Axes<usize> = pads.iter().map(|p| p.0).collect();
        let fill = number(value, self.dtype(), self.device())?;
        let make = Make::new(self.device(), Vjp::Node(assemble_grad));
        let op = Op::Assemble { starts: vec![starts], fill: true };
        Ok(Tensor::record(op, shape, self.dtype(), &[self, &fill], make))
    }

    /// Longer along dimension `d` by elements of its own.
    fn extend(&self, d: usize, (before, after): (usize, usize), mode: PadMode) -> Result<Tensor> {
        let (n, axis) = (self.dims()[d], d as isize);
        let most = match mode {
            PadMode::Reflect => n.saturating_sub(1),
            PadMode::Edge if n > 0 => usize::MAX,
            _ => n,
        };
        if before.max(after) > most {
            return Err(Error::parts(
                Kind::Argument,
                &format!("`pad` was asked for more elements than mode {mode:?} finds"),
                &format!("{before} before and {after} behind, along axis {d} of shape {}", self.shape()),
                &format!("at most {most} at either end"),
                "Pad by less, or in several steps",
            ));
        }
        let (front, back) = match mode {
            _ if (before, after) == (0, 0) => return Ok(self.clone()),
            PadMode::Edge => {
                (self.narrow(axis, 0, 1)?.repeat(before, axis)?, self.narrow(axis, n - 1, 1)?.repeat(after, axis)?)
            }
            PadMode::Wrap => (self.narrow(axis, n - before, before)?, self.narrow(axis, 0, after)?),
            // Mirrored: the edge itself, or what stands next to it.
            _ => {
                let edge = usize::from(mode == PadMode::Reflect);
                let (front, back) = (self.narrow(axis, edge, before)?, self.narrow(axis, n - edge - after, after)?);
                (front.flip(axis)?, back.flip(axis)?)
            }
        };
        Tensor::concat([&front, self, &back], axis)
    }

    /// Moved on by so many positions along an axis; what leaves at the end enters at the start (NumPy's `roll`).
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([3.0f32, 1.0, 2.0], &device)?;
    /// assert_eq!(x.roll(1, 0)?.to_vec::<f32>()?, [2.0, 3.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn roll(&self, shift: impl Index, axis: impl Index) -> Result<Tensor> {
        let n = self.dims()[axis_index("roll", axis, self.rank())?];
        let shift = signed("roll", shift)?.checked_rem_euclid(n as isize).unwrap_or(0) as usize;
        if shift == 0 {
            return Ok(self.clone());
        }
        Tensor::concat([self.narrow(axis, n - shift, shift)?, self.narrow(axis, 0, n - shift)?], axis)
    }

    /// Joins tensors along an axis: those of an array, a slice, a vector or an iterator, borrowed or not.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::new([1.0f32, 2.0], &device)?, Tensor::new([3.0f32], &device)?);
    /// assert_eq!(Tensor::concat([&a, &b], 0)?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// let rows: Vec<Tensor> = vec![a.clone(), a.exp()?];
    /// assert_eq!(Tensor::concat(&rows, -1)?.dims(), [4]);
    /// assert_eq!(Tensor::stack(rows, 0)?.dims(), [2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// No tensor; different devices, types or ranks; extents that differ beside the axis.
    #[track_caller]
    pub fn concat(tensors: impl IntoIterator<Item: AsRef<Tensor>>, axis: impl Index) -> Result<Tensor> {
        let held: SmallVec<[_; 4]> = tensors.into_iter().collect();
        let tensors: SmallVec<[&Tensor; 8]> = held.iter().map(AsRef::as_ref).collect();
        let Some(&first) = tensors.first() else {
            return Err(nothing("concat"));
        };
        let axis = axis_index("concat", axis, first.rank())?;
        let mut starts = Vec::with_capacity(tensors.len());
        let mut extent = 0;
        for &t in &tensors {
            same_device("concat", first, t)?;
            same_dtype("concat", first, t)?;
            if t.rank() != first.rank() || (0..t.rank()).any(|d| d != axis && t.dims()[d] != first.dims()[d]) {
                let shapes: Vec<String> = tensors.iter().map(|t| t.shape().to_string()).collect();
                return Err(Error::parts(
                    Kind::Shape,
                    "`concat` requires inputs with matching shapes except for the concatenation axis",
                    &format!("shapes {} along axis {axis}", shapes.join(", ")),
                    "equal extents beside the axis",
                    "Reshape or pad the tensors first",
                ));
            }
            let mut start: Axes<usize> = SmallVec::from_elem(0, t.rank());
            start[axis] = extent;
            starts.push(start);
            extent += t.dims()[axis];
        }
        if tensors.len() == 1 {
            return Ok(first.clone());
        }
        let shape = Shape::new(&first.shape().with(axis, extent))?;
        let make = Make::new(first.device(), Vjp::Node(assemble_grad));
        Ok(Tensor::record(Op::Assemble { starts, fill: false }, shape, first.dtype(), &tensors, make))
    }

    /// Joins tensors of one shape along a new axis.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let (a, b) = (Tensor::new([1, 2], &device)?, Tensor::new([3, 4], &device)?);
    /// assert_eq!(Tensor::stack([&a, &b], 0)?.to_vec::<i32>()?, [1, 2, 3, 4]);
    /// assert_eq!(Tensor::stack([&a, &b], 1)?.to_vec::<i32>()?, [1, 3, 2, 4]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`concat`](Tensor::concat).
    #[track_caller]
    pub fn stack(tensors: impl IntoIterator<Item: AsRef<Tensor>>, axis: impl Index) -> Result<Tensor> {
        let held: SmallVec<[_; 4]> = tensors.into_iter().collect();
        let tensors: SmallVec<[&Tensor; 8]> = held.iter().map(AsRef::as_ref).collect();
        if tensors.is_empty() {
            return Err(nothing("stack"));
        }
        if let Some(other) = tensors.iter().find(|t| t.shape() != tensors[0].shape()) {
            return Err(Error::parts(
                Kind::Shape,
                "`stack` was given tensors of different shapes",
                &format!("{} and {}", tensors[0].shape(), other.shape()),
                "one shape",
                "Reshape or pad them first, or join them with `concat`",
            ));
        }
        entry(|| {
            let wide = tensors.iter().map(|t| t.expand_dims(axis)).collect::<Result<Vec<_>>>()?;
            Tensor::concat(wide, axis)
        })
    }

    /// Cuts the tensor along an axis into pieces of these extents.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// let parts = x.split(1, &[1, 2])?;
    /// assert_eq!(parts[0].to_vec::<f32>()?, [1.0, 4.0]);
    /// assert_eq!(parts[1].dims(), [2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The extents do not add up to the axis's.
    #[track_caller]
    pub fn split(&self, axis: impl Index, sizes: &[usize]) -> Result<Vec<Tensor>> {
        let index = axis_index("split", axis, self.rank())?;
        if sizes.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) != Some(self.dims()[index]) {
            return Err(Error::parts(
                Kind::Shape,
                "`split` was given sizes that do not add up",
                &format!("{sizes:?} along axis {index} of shape {}", self.shape()),
                &format!("sizes whose sum is {}", self.dims()[index]),
                "Check the sizes",
            ));
        }
        let mut at = 0;
        sizes
            .iter()
            .map(|&n| {
                let piece = self.narrow(axis, at, n);
                at += n;
                piece
            })
            .collect()
    }

    /// The whole tensor repeated `times[d]` times along each dimension (NumPy's `tile`).
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::new([1, 2], &device)?.tile([2])?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `times` does not name every dimension.
    #[track_caller]
    pub fn tile(&self, times: impl IntoShape) -> Result<Tensor> {
        let times = times.into_shape()?;
        if times.rank() != self.rank() {
            return Err(Error::parts(
                Kind::Argument,
                "`tile` was given counts for another number of dimensions",
                &format!("{} counts for a tensor of shape {}", times.rank(), self.shape()),
                &format!("{} counts", self.rank()),
                "Give 1 for dimensions that stay",
            ));
        }
        let mut out = self.clone();
        for d in 0..self.rank() {
            if times[d] != 1 {
                let mut wide = out.dims().to_vec();
                wide.insert(d, times[d]);
                let mut dims = out.dims().to_vec();
                dims[d] = dims[d].saturating_mul(times[d]);
                out = out.expand_dims(d)?.broadcast_to(wide)?.reshape(dims)?;
            }
        }
        Ok(out)
    }

    /// Each element repeated `times` times in a row along an axis (NumPy's `repeat`).
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::new([1, 2], &device)?.repeat(2, 0)?.to_vec::<i32>()?, [1, 1, 2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist.
    #[track_caller]
    pub fn repeat(&self, times: usize, axis: impl Index) -> Result<Tensor> {
        let d = axis_index("repeat", axis, self.rank())?;
        let mut wide = self.dims().to_vec();
        wide.insert(d + 1, times);
        let mut dims = self.dims().to_vec();
        dims[d] = dims[d].saturating_mul(times);
        self.expand_dims(d + 1)?.broadcast_to(wide)?.reshape(dims)
    }
}

/// A tensor of this shape that is zero but for these parts (at least one), which have no element in common.
pub(crate) fn place(parts: &[(Tensor, Axes<usize>)], shape: Shape) -> Result<Tensor> {
    let first = &parts[0].0;
    if parts.len() == 1 && *first.shape() == shape {
        return Ok(first.clone());
    }
    let fill = parts.iter().map(|(part, _)| part.numel()).sum::<usize>() < shape.numel();
    let zero = scalar(0.0, first.dtype(), first.device());
    let mut inputs: SmallVec<[&Tensor; 8]> = parts.iter().map(|(part, _)| part).collect();
    if fill {
        inputs.push(&zero);
    }
    let op = Op::Assemble { starts: parts.iter().map(|(_, start)| start.clone()).collect(), fill };
    let make = Make::new(first.device(), Vjp::Node(assemble_grad));
    Ok(Tensor::record(op, shape, first.dtype(), &inputs, make))
}

#[track_caller]
fn nothing(op: &str) -> Error {
    let what = format!("`{op}` was given nothing");
    Error::parts(Kind::Argument, &what, "no tensors", "at least one", "Put a tensor on the list")
}

/// Each part gets its slice of the gradient.
fn assemble_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Assemble { starts, .. } = &y.0.op else { unreachable!("an assembly's gradient") };
    let mut out = InputGrads::new();
    for (x, start) in inputs.iter().zip(starts) {
        let mut g = grad.clone();
        for (d, &s) in start.iter().enumerate() {
            g = g.narrow(d, s, x.dims()[d])?;
        }
        out.push(Some(g));
    }
    Ok(out)
}
