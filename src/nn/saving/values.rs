//! Tensors as the bytes of files.

use super::safetensors::Entry;
use crate::error::{Error, Kind, Result};
use crate::{DType, Device, Tensor};

/// The types of weights: the crate's, the file's, and Rust's.
macro_rules! types {
    ($($dtype:ident $name:literal $ty:ty;)*) => {
        /// A type's name in the file.
        pub(super) fn dtype_name(dtype: DType) -> Result<&'static str> {
            match dtype {
                $(DType::$dtype => Ok($name),)*
                other => Err(Error::parts(
                    Kind::DType,
                    "Weights of this type cannot be saved",
                    &format!("{other}"),
                    concat!("one of", $(" ", $name),*),
                    "Cast the weight to another type",
                )),
            }
        }

        /// A tensor's elements as the file has them: row-major, little-endian.
        pub(super) fn written(tensor: &Tensor) -> Result<Vec<u8>> {
            match tensor.dtype() {
                $(DType::$dtype => Ok(tensor.to_vec::<$ty>()?.into_iter().flat_map(<$ty>::to_le_bytes).collect()),)*
                other => dtype_name(other).map(|_| Vec::new()),
            }
        }

        /// The tensor of an entry.
        pub(super) fn read(entry: &Entry<'_>, dtype: DType, device: &Device) -> Result<Tensor> {
            match dtype {
                $(DType::$dtype => {
                    let (words, _) = entry.data.as_chunks();
                    let values: Vec<$ty> = words.iter().map(|word| <$ty>::from_le_bytes(*word)).collect();
                    Tensor::from_slice(&values, &entry.shape[..], device)
                })*
                other => Err(dtype_name(other).err().unwrap_or_else(|| Error::internal("a type without a reader"))),
            }
        }
    };
}

/// The elements of an entry of floats, in single precision.
pub(super) fn floats(entry: &Entry<'_>) -> Option<Vec<f32>> {
    fn each<const N: usize>(data: &[u8], float: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        data.as_chunks().0.iter().map(|word| float(*word)).collect()
    }
    match entry.dtype {
        "F32" => Some(each(entry.data, f32::from_le_bytes)),
        "F64" => Some(each(entry.data, |word| f64::from_le_bytes(word) as f32)),
        "F16" => Some(each(entry.data, |word| half::f16::from_le_bytes(word).to_f32())),
        "BF16" => Some(each(entry.data, |word| half::bf16::from_le_bytes(word).to_f32())),
        _ => None,
    }
}

types! {
    F32 "F32" f32;
    F64 "F64" f64;
    I32 "I32" i32;
    U32 "U32" u32;
}
