//! Numbers of the host's: what tensors are made of, and what operations take beside tensors.

use std::borrow::Cow;

use half::{bf16, f16};

use crate::dtype::Element;
use crate::error::{Error, Kind, Result};
use crate::graph::{Device, Tensor};

/// What a tensor is made of: [`HostData`], or another tensor (which is copied where it is on another device).
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// fn total(data: impl wgtensor::IntoTensor, device: &Device) -> wgtensor::Result<f64> {
///     Ok(data.into_tensor(device)?.to_f64_vec()?.iter().sum())
/// }
/// assert_eq!(total([[1.0f32, 2.0]], &device)?, 3.0);
/// assert_eq!(total(&Tensor::new([1, 2], &device)?, &device)?, 3.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoTensor: Sized {
    /// Puts the data on a device.
    ///
    /// # Errors
    /// Out of memory, an element type the device does not have, or what is wrong with the data.
    #[track_caller]
    fn into_tensor(self, device: &Device) -> Result<Tensor>;

    /// As an operand beside tensors of a device: host data is put there, a tensor stays where it is.
    #[doc(hidden)]
    #[track_caller]
    fn beside(self, device: &Device) -> Result<Tensor> {
        self.into_tensor(device)
    }

    /// The whole number that it is, if it is one from the host.
    #[doc(hidden)]
    fn position(&self) -> Option<isize> {
        None
    }
}

/// A number of the host's, as it becomes an element: `f32`, `f64`, `i32`, `u32`, `bool`, `u8`, `i8`, `f16` and `bf16` as they
/// are; `i16`, `u16`, `i64`, `u64`, `isize` and `usize` as `i32`, if they fit.
///
/// ```
/// # use wgtensor::{Device, DType, Tensor};
/// use wgtensor::Number;
///
/// fn counts<N: Number>(values: &[N]) -> wgtensor::Result<Tensor> {
///     Tensor::new(values, &Device::cpu())
/// }
/// assert_eq!(counts(&[1.5f32])?.dtype(), DType::F32);
/// assert_eq!(counts(&[3usize])?.dtype(), DType::I32);
/// assert!(counts(&[1i64 << 40]).is_err()); // does not fit
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Number: Copy + HostData<Number = Self> {
    /// What they become.
    #[doc(hidden)]
    type Element: Element;
    /// These numbers as elements, copied only where they are something else.
    #[doc(hidden)]
    #[track_caller]
    fn elements(values: &[Self]) -> Result<Cow<'_, [Self::Element]>>;
    /// As a position, if it is a whole number.
    #[doc(hidden)]
    fn whole(self) -> Option<isize>;
}

/// Numbers, and arrays, slices and vectors of them, nested as one likes.
///
/// ```
/// # use wgtensor::{Device, DType, Tensor};
/// # let device = Device::cpu();
/// let rows: Vec<Vec<f32>> = "1,2,3\n4,5,6".lines().map(|l| l.split(',').map(|n| n.parse().unwrap()).collect()).collect();
/// assert_eq!(Tensor::new(&rows, &device)?.dims(), [2, 3]);
/// let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
/// assert_eq!(Tensor::new(lengths, &device)?.dtype(), DType::I32);
/// let ragged = [vec![1.0f32, 2.0], vec![3.0]];
/// assert!(Tensor::new(&ragged, &device).unwrap_err().is_shape_mismatch());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is neither a tensor nor numbers of the host's, nested or not")]
pub trait HostData {
    /// The type of the numbers.
    type Number: Number;
    /// Whether all values of this type have one shape.
    #[doc(hidden)]
    const REGULAR: bool;
    /// The extents of a value (the first of those that should be alike), outermost first.
    #[doc(hidden)]
    fn extents(first: Option<&Self>, out: &mut Vec<usize>);
    /// Whether this value and all parts of it have these extents; the shape of one that has not.
    #[doc(hidden)]
    fn differs(&self, extents: &[usize]) -> Option<Vec<usize>>;
    /// Puts all numbers at the end, row-major.
    #[doc(hidden)]
    fn flatten(&self, out: &mut Vec<Self::Number>);
    /// The numbers of several values, where they stand in a row in memory.
    #[doc(hidden)]
    fn in_a_row(values: &[Self]) -> Option<&[Self::Number]>
    where
        Self: Sized,
    {
        let _ = values;
        None
    }
    /// The number that this is.
    #[doc(hidden)]
    fn alone(&self) -> Option<Self::Number> {
        None
    }
    /// The numbers, copied only where they do not stand in a row.
    #[doc(hidden)]
    fn numbers(&self) -> Cow<'_, [Self::Number]> {
        let mut out = Vec::new();
        self.flatten(&mut out);
        Cow::Owned(out)
    }
}

/// Numbers that become `i32`.
#[track_caller]
fn as_i32<T: Copy + TryInto<i32> + ToString>(values: &[T]) -> Result<Vec<i32>> {
    let mut out = Vec::with_capacity(values.len());
    for &n in values {
        let Ok(narrow) = n.try_into() else { return Err(too_wide(&n.to_string())) };
        out.push(narrow);
    }
    Ok(out)
}

/// A number as a position.
fn position<T: TryInto<isize>>(n: T) -> Option<isize> {
    n.try_into().ok()
}

macro_rules! numbers {
    ($($t:ty as $element:ty),*; $values:ident => $elements:expr, $n:ident => $whole:expr) => {$(
        impl Number for $t {
            type Element = $element;
            #[track_caller]
            fn elements($values: &[Self]) -> Result<Cow<'_, [$element]>> {
                Ok($elements)
            }
            fn whole(self) -> Option<isize> {
                let $n = self;
                $whole
            }
        }
        impl HostData for $t {
            type Number = $t;
            const REGULAR: bool = true;
            fn extents(_: Option<&Self>, _: &mut Vec<usize>) {}
            fn differs(&self, _: &[usize]) -> Option<Vec<usize>> {
                None
            }
            fn flatten(&self, out: &mut Vec<$t>) {
                out.push(*self);
            }
            fn in_a_row(values: &[Self]) -> Option<&[$t]> {
                Some(values)
            }
            fn alone(&self) -> Option<$t> {
                Some(*self)
            }
        }
    )*};
}
numbers!(f32 as f32, f64 as f64, bool as bool, f16 as f16, bf16 as bf16; values => Cow::Borrowed(values), _n => None);
numbers!(i32 as i32, u32 as u32, i8 as i8, u8 as u8; values => Cow::Borrowed(values), n => position(n));
numbers!(i16 as i32, u16 as i32, i64 as i32, u64 as i32, isize as i32, usize as i32; values => {
    Cow::Owned(as_i32(values)?)
}, n => position(n));

#[track_caller]
fn too_wide(n: &str) -> Error {
    Error::parts(
        Kind::DType,
        "A tensor was to be made of a whole number that its type does not hold",
        n,
        "64-bit whole numbers become i32: -2147483648 to 2147483647",
        "Give such numbers as f32 or f64, or as u32 where they are below 2^32",
    )
}

macro_rules! lists {
    ($([$($n:ident)?] $t:ty, $regular:expr, $len:expr;)*) => {$(
        impl<N: HostData $(, const $n: usize)?> HostData for $t {
            type Number = N::Number;
            const REGULAR: bool = $regular;
            fn extents(first: Option<&Self>, out: &mut Vec<usize>) {
                let len: fn(Option<&Self>) -> usize = $len;
                out.push(len(first));
                N::extents(first.and_then(|list| list.first()), out);
            }
            fn differs(&self, extents: &[usize]) -> Option<Vec<usize>> {
                if self.len() != extents[0] {
                    let mut own = Vec::new();
                    Self::extents(Some(self), &mut own);
                    return Some(own);
                }
                if N::REGULAR { None } else { self.iter().find_map(|part| part.differs(&extents[1..])) }
            }
            fn flatten(&self, out: &mut Vec<N::Number>) {
                match N::in_a_row(&self[..]) {
                    Some(numbers) => out.extend_from_slice(numbers),
                    None => self.iter().for_each(|part| part.flatten(out)),
                }
            }
            fn numbers(&self) -> Cow<'_, [N::Number]> {
                N::in_a_row(&self[..]).map_or_else(
                    || {
                        let mut out = Vec::new();
                        self.flatten(&mut out);
                        Cow::Owned(out)
                    },
                    Cow::Borrowed,
                )
            }
            $(
                fn in_a_row(values: &[[N; $n]]) -> Option<&[N::Number]> {
                    N::in_a_row(values.as_flattened())
                }
            )?
        }
    )*};
}
lists! {
    [K] [N; K], N::REGULAR, |_| K;
    [] [N], false, |list| list.map_or(0, <[N]>::len);
    [] Vec<N>, false, |list| list.map_or(0, Vec::len);
}

impl<N: HostData + ?Sized> HostData for &N {
    type Number = N::Number;
    const REGULAR: bool = N::REGULAR;
    fn extents(first: Option<&Self>, out: &mut Vec<usize>) {
        N::extents(first.map(|list| &**list), out);
    }
    fn differs(&self, extents: &[usize]) -> Option<Vec<usize>> {
        (**self).differs(extents)
    }
    fn flatten(&self, out: &mut Vec<N::Number>) {
        (**self).flatten(out);
    }
    fn alone(&self) -> Option<N::Number> {
        (**self).alone()
    }
    fn numbers(&self) -> Cow<'_, [N::Number]> {
        (**self).numbers()
    }
}

/// The extents of nested numbers, which must be alike at every level.
#[track_caller]
pub(crate) fn extents<N: HostData + ?Sized>(data: &N) -> Result<Vec<usize>> {
    let mut extents = Vec::new();
    N::extents(Some(data), &mut extents);
    let Some(other) = data.differs(&extents) else { return Ok(extents) };
    let like = &extents[extents.len() - other.len()..];
    Err(Error::parts(
        Kind::Shape,
        "A tensor was to be made of rows of different lengths",
        &format!("a row of shape {other:?} beside one of shape {like:?}"),
        "rows of one length at every level",
        "Pad the short rows, or cut the long ones",
    ))
}

impl<N: HostData> IntoTensor for N {
    #[track_caller]
    fn into_tensor(self, device: &Device) -> Result<Tensor> {
        let extents = extents(&self)?;
        Tensor::from_slice(&N::Number::elements(&self.numbers())?, &extents, device)
    }
    fn position(&self) -> Option<isize> {
        self.alone()?.whole()
    }
}

impl IntoTensor for &Tensor {
    #[track_caller]
    fn into_tensor(self, device: &Device) -> Result<Tensor> {
        self.to_device(device)
    }
    fn beside(self, _: &Device) -> Result<Tensor> {
        Ok(self.clone())
    }
}
impl IntoTensor for Tensor {
    #[track_caller]
    fn into_tensor(self, device: &Device) -> Result<Tensor> {
        self.to_device(device)
    }
    fn beside(self, _: &Device) -> Result<Tensor> {
        Ok(self)
    }
}
