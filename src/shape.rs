//! Shapes: up to eight dimensions, held inline.

use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Kind, Result};

/// The most dimensions a tensor may have.
pub const MAX_RANK: usize = 8;

/// The extents of a tensor, outermost first. Dereferences to `[usize]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// The shape of a scalar.
    pub const SCALAR: Shape = Shape { rank: 0, dims: [0; MAX_RANK] };

    /// A shape of these extents.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] dimensions, or extents (but for zeros) whose product is not below 2^40.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::parts(
                Kind::Shape,
                "A tensor of too many dimensions was asked for",
                &format!("{} dimensions", dims.len()),
                &format!("at most {MAX_RANK}"),
                "Merge dimensions with `reshape`",
            ));
        }
        // Zeros aside, so that no product of some of the extents overflows either.
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n < 1 << 40));
        if count.is_none() {
            return Err(Error::parts(
                Kind::Shape,
                "A tensor of too many elements was asked for",
                &format!("shape {dims:?}"),
                "fewer than 2^40 elements",
                "Split the work into smaller tensors",
            ));
        }
        Ok(Self::of(dims))
    }

    /// A shape known to be small enough: panics past the rank, so for internal use.
    pub(crate) fn of(extents: &[usize]) -> Self {
        let mut dims = [0; MAX_RANK];
        dims[..extents.len()].copy_from_slice(extents);
        Shape { rank: extents.len() as u8, dims }
    }

    /// The extents as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// How many elements; 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.dims().iter().product()
    }

    /// Row-major strides, in elements.
    pub(crate) fn strides(&self) -> [i64; MAX_RANK] {
        let mut out = [0; MAX_RANK];
        let mut step = 1i64;
        for d in (0..self.rank()).rev() {
            out[d] = step;
            step *= self.dims[d] as i64;
        }
        out
    }

    /// A copy with dimension `axis` set to `extent`.
    pub(crate) fn with(&self, axis: usize, extent: usize) -> Self {
        let mut out = *self;
        out.dims[axis] = extent;
        out
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

/// Keras writes shapes as tuples: `(2, 3)`, `(5,)`, `()`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.iter().map(|d| d.to_string()).collect();
        match parts.len() {
            1 => write!(f, "({},)", parts[0]),
            _ => write!(f, "({})", parts.join(", ")),
        }
    }
}

/// The shape two operands broadcast to by NumPy's rule, if they do.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let mut dims = [0; MAX_RANK];
    for (i, out) in dims[..rank].iter_mut().enumerate() {
        let at = |s: &[usize]| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
        *out = match (at(a), at(b)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return None,
        };
    }
    Some(Shape::of(&dims[..rank]))
}

/// A NumPy axis (negative counts from the end) as an index below `rank`.
#[track_caller]
pub(crate) fn axis_index(op: &str, axis: isize, rank: usize) -> Result<usize> {
    let index = if axis < 0 { axis + rank as isize } else { axis };
    if index < 0 || index >= rank as isize {
        return Err(Error::parts(
            Kind::Index,
            &format!("`{op}` was given an axis that the tensor does not have"),
            &format!("axis {axis} for a tensor of {rank} dimensions"),
            &format!("-{rank} <= axis < {rank}"),
            "Count axes from 0, or from -1 at the end",
        ));
    }
    Ok(index as usize)
}

/// Several axes, sorted and distinct; all of them where none is named.
#[track_caller]
pub(crate) fn axes_set(op: &str, axes: &[isize], rank: usize) -> Result<Vec<usize>> {
    if axes.is_empty() {
        return Ok((0..rank).collect());
    }
    let mut out = Vec::with_capacity(axes.len());
    for &axis in axes {
        let index = axis_index(op, axis, rank)?;
        if out.contains(&index) {
            return Err(Error::parts(
                Kind::Argument,
                &format!("`{op}` was given the same axis twice"),
                &format!("axes {axes:?}"),
                "distinct axes",
                "Name each axis once",
            ));
        }
        out.push(index);
    }
    out.sort_unstable();
    Ok(out)
}

/// What can be given as a shape: arrays, slices and vectors of extents, one extent, `()` for a scalar, a [`Shape`].
pub trait IntoShape {
    /// The shape.
    ///
    /// # Errors
    /// Those of [`Shape::new`].
    #[track_caller]
    fn into_shape(self) -> Result<Shape>;
}

impl IntoShape for Shape {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(&self)
    }
}
impl IntoShape for &Shape {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}
impl IntoShape for () {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Ok(Shape::SCALAR)
    }
}
impl IntoShape for usize {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(&[self])
    }
}
impl IntoShape for &[usize] {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}
impl IntoShape for Vec<usize> {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(&self)
    }
}
impl IntoShape for &Vec<usize> {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}
impl<const N: usize> IntoShape for [usize; N] {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(&self)
    }
}
impl<const N: usize> IntoShape for &[usize; N] {
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}
