//! Shapes: up to eight dimensions, held inline.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::error::{Error, Kind, Result};

/// The most dimensions a tensor may have.
pub const MAX_RANK: usize = 8;

/// The extents of a tensor, outermost first. Dereferences to `[usize]`.
///
/// ```
/// # use wgtensor::{Device, Shape, Tensor};
/// let x = Tensor::new([[1.0f32, 2.0, 3.0]], &Device::cpu())?;
/// assert_eq!((x.shape().dims(), x.shape()[1], x.shape().to_string()), (&[1, 3][..], 3, "(1, 3)".to_string()));
/// assert_eq!(*x.shape(), Shape::new(&[1, 3])?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
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
    /// ```
    /// # use wgtensor::Shape;
    /// let shape = Shape::new(&[2, 3])?;
    /// assert_eq!((shape.rank(), shape.numel(), shape.to_string()), (2, 6, "(2, 3)".to_string()));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
            return Err(too_many(&format!("{dims:?}")));
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

    /// Refuses another number of elements to make `what` of.
    #[track_caller]
    pub(crate) fn filled(&self, what: &str, elements: usize) -> Result<()> {
        if self.numel() == elements {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Shape,
            &format!("{what} was to be made of data that does not fill its shape"),
            &format!("{elements} elements for shape {self}"),
            &format!("{} elements", self.numel()),
            "Check the shape",
        ))
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

    /// This shape with more dimensions after its own.
    ///
    /// # Errors
    /// Those of [`Shape::new`].
    #[track_caller]
    pub(crate) fn followed_by<const N: usize>(&self, more: [usize; N]) -> Result<Self> {
        let mut dims: SmallVec<[usize; 2 * MAX_RANK]> = SmallVec::from_slice(self);
        dims.extend_from_slice(&more);
        Shape::new(&dims)
    }

    /// A copy with dimension `axis` set to `extent`.
    pub(crate) fn with(&self, axis: usize, extent: usize) -> Self {
        let mut out = *self;
        out.dims[axis] = extent;
        out
    }
}

#[track_caller]
fn too_many(dims: &str) -> Error {
    Error::parts(
        Kind::Shape,
        "A tensor of too many elements was asked for",
        &format!("shape {dims}"),
        "fewer than 2^40 elements",
        "Split the work into smaller tensors",
    )
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

/// A whole number: an extent, an axis or a position, signed or not.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// let x = Tensor::ones([2, 3], DType::F32, &Device::cpu())?;
/// let last: usize = x.rank() - 1;
/// assert_eq!(x.argmax(last)?.dims(), x.argmax(-1i64)?.dims());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no whole number that can stand for an extent, an axis or a position"
)]
pub trait Index: Copy + fmt::Display {
    /// As a signed number; `None` beyond `isize`.
    #[doc(hidden)]
    fn signed(self) -> Option<isize>;
}

macro_rules! index {
    ($($t:ty),*) => {$(
        impl Index for $t {
            fn signed(self) -> Option<isize> {
                isize::try_from(self).ok()
            }
        }
        impl IntoShape for $t {
            #[track_caller]
            fn into_extents(self) -> Result<Extents> {
                extents(&[self])
            }
        }
    )*};
}
index!(i32, i64, isize, u32, usize);

/// A position or an axis as a signed number.
#[track_caller]
pub(crate) fn signed(op: &str, value: impl Index) -> Result<isize> {
    match value.signed() {
        Some(n) => Ok(n),
        None => Err(Error::parts(
            Kind::Index,
            &format!("`{op}` was given a number beyond what this machine addresses"),
            &value.to_string(),
            &format!("at most {}", isize::MAX),
            "Give a number within the tensor",
        )),
    }
}

/// A NumPy axis (negative counts from the end) as an index below `rank`.
#[track_caller]
pub(crate) fn axis_index(op: &str, axis: impl Index, rank: usize) -> Result<usize> {
    let axis = signed(op, axis)?;
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

/// Several axes as indices below `rank`, each once, in the order given; `None` where all are meant.
#[track_caller]
pub(crate) fn axes_list(op: &str, axes: impl Axes, rank: usize) -> Result<Option<SmallVec<[usize; 8]>>> {
    let Some(axes) = axes.axes(op)? else { return Ok(None) };
    let mut out = SmallVec::with_capacity(axes.len());
    for &axis in &axes {
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
    Ok(Some(out))
}

/// Several axes, ascending; `()` is all of them.
#[track_caller]
pub(crate) fn axes_set(op: &str, axes: impl Axes, rank: usize) -> Result<SmallVec<[usize; 8]>> {
    let mut out = axes_list(op, axes, rank)?.unwrap_or_else(|| (0..rank).collect());
    out.sort_unstable();
    Ok(out)
}

/// Axes: one number, an array, slice or vector of numbers, or `()` (or `None`) for all; negative ones count from the end.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// let x = Tensor::ones([2, 3, 4], DType::F32, &Device::cpu())?;
/// assert_eq!(x.sum(-1)?.dims(), [2, 3]);
/// assert_eq!(x.sum([0, 2])?.dims(), [3]);
/// assert_eq!(x.sum(vec![1])?.dims(), [2, 4]);
/// assert_eq!(x.sum(())?.rank(), 0); // all
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no axis, list of axes, or `()` for all of them")]
pub trait Axes {
    /// The axes as given to the operation of this name; `None` for all.
    ///
    /// # Errors
    /// A number beyond `isize`.
    #[doc(hidden)]
    #[track_caller]
    fn axes(self, op: &str) -> Result<Option<Extents>>;
}

/// Axes or extents as they were given.
pub(crate) type Extents = SmallVec<[isize; MAX_RANK]>;

/// What can be given as a shape: arrays, slices and vectors of extents, one extent, `()` for a scalar, a [`Shape`].
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// let device = Device::cpu();
/// let dims: Vec<usize> = vec![2, 3];
/// let x = Tensor::zeros(&dims, DType::F32, &device)?;
/// assert_eq!(Tensor::ones(x.shape(), DType::F32, &device)?.dims(), Tensor::ones([2, 3], DType::F32, &device)?.dims());
/// assert_eq!(Tensor::zeros((), DType::F32, &device)?.rank(), 0); // a scalar
/// assert_eq!(x.reshape([3, -1])?.dims(), [3, 2]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no shape: give an array, a slice or a vector of whole numbers")]
pub trait IntoShape: Sized {
    /// The extents as given, among which there may be the -1 of [`Tensor::reshape`](crate::Tensor::reshape).
    ///
    /// # Errors
    /// An extent beyond `isize`.
    #[doc(hidden)]
    #[track_caller]
    fn into_extents(self) -> Result<Extents>;

    /// The shape.
    ///
    /// # Errors
    /// Those of [`Shape::new`]; negative extents.
    #[track_caller]
    fn into_shape(self) -> Result<Shape> {
        let extents = self.into_extents()?;
        if extents.iter().any(|&n| n < 0) {
            return Err(Error::parts(
                Kind::Shape,
                "A shape was given a negative extent",
                &format!("{:?}", &extents[..]),
                "extents of 0 or more",
                "Name every extent; `reshape` alone works out one -1",
            ));
        }
        Shape::new(&extents.iter().map(|&n| n as usize).collect::<SmallVec<[usize; MAX_RANK]>>())
    }
}

#[track_caller]
fn extents<T: Index>(list: &[T]) -> Result<Extents> {
    let mut out = Extents::new();
    for n in list {
        let Some(n) = n.signed() else {
            let given: Vec<String> = list.iter().map(T::to_string).collect();
            return Err(too_many(&format!("[{}]", given.join(", "))));
        };
        out.push(n);
    }
    Ok(out)
}

#[track_caller]
fn axes<T: Index>(list: &[T], op: &str) -> Result<Option<Extents>> {
    let mut out = Extents::new();
    for &axis in list {
        out.push(signed(op, axis)?);
    }
    Ok(Some(out))
}

impl Axes for () {
    fn axes(self, _: &str) -> Result<Option<Extents>> {
        Ok(None)
    }
}

impl<T: Index> Axes for T {
    #[track_caller]
    fn axes(self, op: &str) -> Result<Option<Extents>> {
        axes(&[self], op)
    }
}

impl<A: Axes> Axes for Option<A> {
    #[track_caller]
    fn axes(self, op: &str) -> Result<Option<Extents>> {
        match self {
            Some(axes) => axes.axes(op),
            None => Ok(None),
        }
    }
}

impl IntoShape for () {
    fn into_extents(self) -> Result<Extents> {
        Ok(Extents::new())
    }
}

macro_rules! shapes {
    ($($t:ty),*) => {$(
        impl IntoShape for $t {
            fn into_extents(self) -> Result<Extents> {
                Ok(self.iter().map(|&n| n as isize).collect())
            }
            #[track_caller]
            fn into_shape(self) -> Result<Shape> {
                Shape::new(&self)
            }
        }
    )*};
}
shapes!(Shape, &Shape);

macro_rules! lists {
    ($([$($n:ident)?] $t:ty),*) => {$(
        impl<T: Index $(, const $n: usize)?> Axes for $t {
            #[track_caller]
            fn axes(self, op: &str) -> Result<Option<Extents>> {
                axes(&self[..], op)
            }
        }
        impl<T: Index $(, const $n: usize)?> IntoShape for $t {
            #[track_caller]
            fn into_extents(self) -> Result<Extents> {
                extents(&self[..])
            }
        }
    )*};
}
lists!([N] [T; N], [N] &[T; N], [] &[T], [] Vec<T>, [] &Vec<T>);
