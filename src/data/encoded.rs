//! Elements as files have them: more types than tensors have, in either order of bytes.

use std::io::Read;

use super::array::Array;
use super::damage::damaged;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::ops::Number;
use crate::shape::Shape;

/// How elements stand in a file.
#[cfg_attr(not(feature = "npy"), expect(dead_code, reason = "IDX has fewer types than NPY"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As tensors have them.
    As(DType),
    /// One byte each.
    Bool,
    I16,
    U16,
    I64,
    U64,
}

impl Encoding {
    fn size(self) -> usize {
        match self {
            Encoding::As(dtype) => dtype.size(),
            Encoding::Bool => 1,
            Encoding::I16 | Encoding::U16 => 2,
            Encoding::I64 | Encoding::U64 => 8,
        }
    }

    /// Reads an array. No more memory is taken than there are bytes to fill it.
    pub(super) fn read(self, what: &str, source: &mut dyn Read, dims: &[usize], big_endian: bool) -> Result<Array> {
        let shape = Shape::new(dims)?;
        let (expected, mut bytes) = (shape.numel() * self.size(), Vec::new());
        let found = source.take(expected as u64).read_to_end(&mut bytes);
        let cut = |received: String| damaged(what, received, &format!("{expected} bytes for shape {shape}"));
        found.map_err(|why| cut(why.to_string()))?;
        if bytes.len() != expected {
            return Err(cut(format!("{} bytes of data", bytes.len())));
        }
        if big_endian != cfg!(target_endian = "big") {
            bytes.chunks_exact_mut(self.size()).for_each(<[u8]>::reverse);
        }
        /// As the type of tensors that holds them.
        fn held<const SIZE: usize, N: Number>(bytes: &[u8], shape: Shape, from: fn([u8; SIZE]) -> N) -> Result<Array> {
            let values: Vec<N> = bytes.as_chunks::<SIZE>().0.iter().map(|bytes| from(*bytes)).collect();
            Array::from_slice(&N::elements(&values)?, shape)
        }
        match self {
            Encoding::As(dtype) => Ok(Array::of(dtype, shape, bytes)),
            Encoding::Bool => held(&bytes, shape, |[byte]| byte != 0),
            Encoding::I16 => held(&bytes, shape, i16::from_ne_bytes),
            Encoding::U16 => held(&bytes, shape, u16::from_ne_bytes),
            Encoding::I64 => held(&bytes, shape, i64::from_ne_bytes),
            Encoding::U64 => held(&bytes, shape, u64::from_ne_bytes),
        }
    }
}

/// The first `N` bytes of what is left.
pub(super) fn header<const N: usize>(what: &str, source: &mut dyn Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = source.read_exact(&mut bytes);
    read.map_err(|why| damaged(what, why.to_string(), &format!("{N} more bytes of a header")))?;
    Ok(bytes)
}

/// The elements of an array as little-endian bytes, truth values as one byte each.
#[cfg_attr(not(feature = "npy"), expect(dead_code, reason = "for what is written"))]
pub(super) fn to_little_endian(array: &Array) -> Vec<u8> {
    if array.dtype() == DType::Bool {
        return bool::from_bytes(array.bytes()).into_iter().map(u8::from).collect();
    }
    let mut bytes = array.bytes().to_vec();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(array.dtype().size()).for_each(<[u8]>::reverse);
    }
    bytes
}
