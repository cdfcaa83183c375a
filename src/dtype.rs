//! Element types.

use std::fmt;

use half::{bf16, f16};

/// The type of a tensor's elements. Narrow types ([`F16`](DType::F16), [`BF16`](DType::BF16), [`U8`](DType::U8),
/// [`I8`](DType::I8)) are encodings in memory: kernels compute in the type that [`register`](DType::register) names. An
/// operation's result is rounded to its type where it is stored; between operations that share a kernel, 16-bit floats may
/// stay wider (a `cast` always rounds), while integers wrap after each operation.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::new([1.0f32, 2.5], &device)?;
/// assert_eq!((x.dtype(), x.dtype().size()), (DType::F32, 4));
/// let half = x.cast(DType::F16)?;
/// assert_eq!((half.dtype().is_narrow(), half.dtype().register()), (true, DType::F32));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// Truth values; one 32-bit word each on the device, 0 or 1.
    Bool,
    /// 8-bit signed integers.
    I8,
    /// 32-bit signed integers.
    I32,
    /// 8-bit unsigned integers.
    U8,
    /// 32-bit unsigned integers.
    U32,
    /// 16-bit IEEE floats: 11 significant bits, magnitudes up to 65,504.
    F16,
    /// 16-bit floats with the exponents of [`F32`](DType::F32) and 8 significant bits.
    BF16,
    /// 32-bit IEEE floats, the default.
    F32,
    /// 64-bit IEEE floats; on the CPU engine only (references, gradient checks).
    F64,
}

impl DType {
    /// What reads elements of this type from the device's bytes as `f64`, exact for all types.
    pub(crate) fn reader(self) -> fn(&[u8]) -> Vec<f64> {
        fn read<T: Element>(bytes: &[u8]) -> Vec<f64> {
            T::from_bytes(bytes).into_iter().map(Element::to_f64).collect()
        }
        match self {
            DType::F32 => read::<f32>,
            DType::F64 => read::<f64>,
            DType::I32 => read::<i32>,
            DType::U32 => read::<u32>,
            DType::Bool => read::<bool>,
            DType::I8 => read::<i8>,
            DType::U8 => read::<u8>,
            DType::F16 => read::<f16>,
            DType::BF16 => read::<bf16>,
        }
    }

    /// Bytes an element takes on the device.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::Bool | DType::I32 | DType::U32 | DType::F32 => 4,
            DType::F64 => 8,
        }
    }

    /// Bytes that so many elements take on the device: whole 32-bit words.
    pub const fn bytes(self, elements: usize) -> usize {
        (elements * self.size()).next_multiple_of(4)
    }

    /// The type that values of this type are computed in.
    pub const fn register(self) -> DType {
        match self {
            DType::F16 | DType::BF16 => DType::F32,
            DType::U8 => DType::U32,
            DType::I8 => DType::I32,
            other => other,
        }
    }

    /// Whether it is an encoding in memory alone: narrower than what it is computed in.
    pub const fn is_narrow(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::U8 | DType::I8)
    }

    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// Whether this is an integer type (booleans are not).
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I8 | DType::I32 | DType::U8 | DType::U32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::I8 => "i8",
            DType::I32 => "i32",
            DType::U8 => "u8",
            DType::U32 => "u32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can be made from and read back as: `f32`, `f64`, `i8`, `i32`, `u8`, `u32`, `bool`, and
/// `f16` and `bf16` of the `half` crate.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// fn ramp<T: wgtensor::Element + From<u8>>(n: u8, device: &Device) -> wgtensor::Result<Tensor> {
///     let values: Vec<T> = (0..n).map(T::from).collect();
///     Tensor::from_slice(&values, [values.len()], device)
/// }
/// assert_eq!(ramp::<f32>(3, &device)?.to_vec::<f32>()?, [0.0, 1.0, 2.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Element: sealed::Sealed + Copy + Send + Sync + fmt::Debug + 'static {
    /// The matching data type.
    const DTYPE: DType;
    /// Appends the elements as the device stores them.
    #[doc(hidden)]
    fn to_bytes(values: &[Self]) -> Vec<u8>;
    /// Reads elements from the device's bytes.
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
    /// The value as `f64`, exact for all of these types.
    #[doc(hidden)]
    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($($t:ty => $d:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                bytemuck::cast_slice(values).to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytemuck::pod_collect_to_vec(bytes)
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
element!(f32 => F32, f64 => F64, i8 => I8, i32 => I32, u8 => U8, u32 => U32);

macro_rules! half_element {
    ($($t:ty => $d:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|v| v.to_ne_bytes()).collect()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytes.chunks_exact(2).map(|b| <$t>::from_ne_bytes([b[0], b[1]])).collect()
            }
            fn to_f64(self) -> f64 {
                <$t>::to_f64(self)
            }
        }
    )*};
}
half_element!(f16 => F16, bf16 => BF16);

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn to_bytes(values: &[Self]) -> Vec<u8> {
        let words: Vec<u32> = values.iter().map(|&b| u32::from(b)).collect();
        u32::to_bytes(&words)
    }
    fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        u32::from_bytes(bytes).into_iter().map(|w| w != 0).collect()
    }
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}
