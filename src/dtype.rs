//! Element types.

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// Truth values; one 32-bit word each on the device, 0 or 1.
    Bool,
    /// 32-bit signed integers.
    I32,
    /// 32-bit unsigned integers.
    U32,
    /// 32-bit IEEE floats, the default.
    F32,
    /// 64-bit IEEE floats; on the CPU engine only (references, gradient checks).
    F64,
}

impl DType {
    /// Bytes an element takes on the device.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            _ => 4,
        }
    }

    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether this is an integer type (booleans are not).
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I32 | DType::U32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can be made from and read back as: `f32`, `f64`, `i32`, `u32`, `bool`.
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
element!(f32 => F32, f64 => F64, i32 => I32, u32 => U32);

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
