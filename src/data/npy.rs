//! NPY files: one array of NumPy's each.
//!
//! ```
//! use wgtensor::data::{Array, npy};
//!
//! let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
//! # let path = std::env::temp_dir().join(format!("wgtensor-doc-{}.npy", std::process::id()));
//! npy::write(&path, &array)?; // numpy.load(path)
//! assert_eq!(npy::read(&path)?.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), wgtensor::Error>(())
//! ```

use std::io::{BufReader, Read};
use std::path::Path;

use super::array::{Array, IntoArray};
use super::damage::damaged;
use super::encoded::{Encoding, header, to_little_endian};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::files::{in_file, open, replace};

const WHAT: &str = "an NPY file";
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The array of a file. 16-bit and 64-bit integers become `i32`, if they fit.
///
/// ```
/// use wgtensor::data::{Array, npy};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-read.npy-{}", std::process::id()));
/// npy::write(&path, &array)?;
/// assert_eq!(npy::read(&path)?.dims(), [2, 2]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The file cannot be read, is cut or is no NPY file, or has elements that tensors do not have.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    entry(|| in_file(path, array(&mut BufReader::new(open(path)?))))
}

/// The array of a file's bytes.
///
/// ```
/// use wgtensor::data::{Array, npy};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// assert_eq!(npy::parse(&npy::to_bytes(&array)?)?.dims(), [2, 2]);
/// assert!(npy::parse(b"no array").is_err());
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of [`read`], but for the file.
#[track_caller]
pub fn parse(bytes: &[u8]) -> Result<Array> {
    entry(|| array(&mut &*bytes))
}

/// Writes an array, a tensor or host data. A file of that name is replaced once the new one is whole.
///
/// ```
/// use wgtensor::data::{Array, npy};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-write.npy-{}", std::process::id()));
/// npy::write(&path, &array)?; // numpy.load(path)
/// assert_eq!(npy::read(&path)?.to_vec::<f32>()?[3], 4.0);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The file cannot be written, those of [`to_bytes`].
#[track_caller]
pub fn write(path: impl AsRef<Path>, data: impl IntoArray) -> Result<()> {
    entry(|| replace(path.as_ref(), &to_bytes(data)?))
}

/// The bytes of a file of an array, a tensor or host data.
///
/// ```
/// use wgtensor::data::{Array, npy};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// assert!(npy::to_bytes(&array)?.starts_with(b"\x93NUMPY"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// What is wrong with the data; elements of type `bf16`, which NumPy does not have.
#[track_caller]
pub fn to_bytes(data: impl IntoArray) -> Result<Vec<u8>> {
    let array = data.into_array()?;
    let descr = match array.dtype() {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::U8 => "|u1",
        DType::I32 => "<i4",
        DType::U32 => "<u4",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => {
            return Err(Error::parts(
                Kind::DType,
                "An array was to be written for NumPy, which does not have its type",
                "bf16",
                "another type",
                "Cast it to f32",
            ));
        }
    };
    let shape = array.shape();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // The data begins at a multiple of 64 bytes; a line end comes last.
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text += &" ".repeat(padded - text.len() - 1);
    text.push('\n');
    let mut bytes = [&MAGIC[..], &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    bytes.extend(to_little_endian(&array));
    Ok(bytes)
}

/// The array that a source begins with.
pub(super) fn array(source: &mut dyn Read) -> Result<Array> {
    let magic = header::<6>(WHAT, source)?;
    if magic != *MAGIC {
        return Err(damaged(WHAT, format!("a file that begins with the bytes {magic:?}"), "\\x93NUMPY"));
    }
    let length = match header(WHAT, source)? {
        [1, _] => u64::from(u16::from_le_bytes(header(WHAT, source)?)),
        [2 | 3, _] => u64::from(u32::from_le_bytes(header(WHAT, source)?)),
        [major, minor] => return Err(damaged(WHAT, format!("version {major}.{minor}"), "version 1.0, 2.0 or 3.0")),
    };
    let mut text = Vec::new();
    let read = source.take(length).read_to_end(&mut text);
    if read.ok() != Some(length as usize) {
        return Err(damaged(WHAT, format!("{} bytes of a header", text.len()), &format!("{length} bytes")));
    }
    let text = String::from_utf8_lossy(&text);
    let Header { descr, fortran, shape } = Header::parse(&text)
        .ok_or_else(|| damaged(WHAT, text.trim_end(), "a header with 'descr', 'fortran_order' and 'shape'"))?;
    let big_endian = match descr.chars().next() {
        Some('>') => true,
        Some('=') => cfg!(target_endian = "big"),
        _ => false,
    };
    let encoding = match descr.trim_start_matches(['<', '>', '=', '|']) {
        "b1" | "?" => Encoding::Bool,
        "i1" => Encoding::As(DType::I8),
        "u1" => Encoding::As(DType::U8),
        "i2" => Encoding::I16,
        "u2" => Encoding::U16,
        "i4" => Encoding::As(DType::I32),
        "u4" => Encoding::As(DType::U32),
        "i8" => Encoding::I64,
        "u8" => Encoding::U64,
        "f2" => Encoding::As(DType::F16),
        "f4" => Encoding::As(DType::F32),
        "f8" => Encoding::As(DType::F64),
        _ => {
            return Err(Error::parts(
                Kind::Unsupported,
                "A file has elements of a type that tensors do not have",
                &descr,
                "booleans, integers, or floats of 16, 32 or 64 bits",
                "Convert the array with `astype` before it is saved",
            ));
        }
    };
    if !fortran {
        return encoding.read(WHAT, source, &shape, big_endian);
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    encoding.read(WHAT, source, &reversed, big_endian)?.transposed()
}

/// What the header says: a literal of a Python dictionary.
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Header> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, value) = quoted(rest)?;
            let value = value.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    // A list is a structure of several types.
                    let (value, rest) = quoted(value).or_else(|| value.split_at_checked(value.rfind(']')? + 1))?;
                    descr = Some(value.to_owned());
                    rest
                }
                "fortran_order" => {
                    fortran = Some(value.starts_with("True"));
                    value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?
                }
                "shape" => {
                    let (dims, rest) = value.strip_prefix('(')?.split_once(')')?;
                    let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty());
                    shape = Some(dims.map(|dim| dim.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?);
                    rest
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Header { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

/// A text in quotes, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let length = header.len() as u32;
        let length = if version == 1 { (length as u16).to_le_bytes().to_vec() } else { length.to_le_bytes().to_vec() };
        [&MAGIC[..], &[version, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let arrays = [
            Array::new([[1.5f32, -2.0], [f32::NAN, 0.0]]).unwrap(),
            Array::new([0.1f64]).unwrap(),
            Array::new([[[1u8], [255]]]).unwrap(),
            Array::new([-1i8]).unwrap(),
            Array::new([i32::MIN, 7]).unwrap(),
            Array::new([u32::MAX]).unwrap(),
            Array::new([true, false, true]).unwrap(),
            Array::new([f16::from_f32(0.5)]).unwrap(),
            Array::new(3.0f32).unwrap(),
            Array::from_slice::<f32>(&[], [0, 4]).unwrap(),
        ];
        for array in arrays {
            let bytes = to_bytes(&array).unwrap();
            let again = parse(&bytes).unwrap();
            assert_eq!((again.dtype(), again.dims(), again.bytes()), (array.dtype(), array.dims(), array.bytes()));
            let data = bytes.len() - array.bytes().len();
            assert!(data % 64 == 0 || array.dtype() == DType::Bool);
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).unwrap_err().is_invalid_argument(), "{array:?} cut at {cut}");
            }
        }
        let narrow = Array::new([half::bf16::ONE]).unwrap();
        assert!(to_bytes(&narrow).unwrap_err().is_dtype_mismatch());
    }

    #[test]
    fn orders_and_types_of_other_machines() {
        let read = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
            let header = format!("{{\"shape\": {shape}, 'fortran_order': {fortran}, 'descr': '{descr}'}}\n");
            parse(&file(2, &header, data))
        };
        let big = read(">f4", "False", "(2,)", &[1.0f32.to_be_bytes(), 2.0f32.to_be_bytes()].concat()).unwrap();
        assert_eq!(big.to_vec::<f32>().unwrap(), [1.0, 2.0]);
        let columns = read("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!((columns.dims(), columns.to_vec::<u8>().unwrap()), (&[2, 3][..], vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(read("<i2", "True", "(1L,)", &[255, 255]).unwrap().to_vec::<i32>().unwrap(), [-1]);
        assert_eq!(read("<u2", "False", "()", &[255, 255]).unwrap().to_vec::<i32>().unwrap(), [65535]);
        assert_eq!(read("<i8", "False", "(1,)", &(-5i64).to_le_bytes()).unwrap().to_vec::<i32>().unwrap(), [-5]);
        assert!(read("<i8", "False", "(1,)", &i64::MAX.to_le_bytes()).unwrap_err().is_dtype_mismatch());
        assert!(read("<u8", "False", "(1,)", &u64::MAX.to_le_bytes()).unwrap_err().is_dtype_mismatch());
        for descr in ["<c8", "|O", "<U5", "|V2", "<M8[ns]", "f16"] {
            assert!(read(descr, "False", "(1,)", &[0; 64]).unwrap_err().is_unsupported(), "{descr}");
        }
        let records =
            file(1, "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }", &[0; 8]);
        assert!(parse(&records).unwrap_err().is_unsupported());
    }

    #[test]
    fn headers_that_lie() {
        let shape = |shape: &str| {
            parse(&file(1, &format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), &[0; 16]))
        };
        assert_eq!(shape("(4,)").unwrap().dims(), [4]);
        for wrong in [
            "(5,)",
            "(1000000000,)",
            "(1099511627775,)",
            "(18446744073709551615,)",
            "(4294967296, 4294967296)",
            "(-1,)",
            "(1,1,1,1,1,1,1,1,1)",
            "(a,)",
            "4",
            "(99999999999999999999,)",
            "(18446744073709551615, 0)",
        ] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
        for header in
            ["", "{}", "{'descr': '<f4'}", "{'descr'", "{'descr': '<f4, 'shape': (1,)}", "{'x': 1}", "é", "{'é"]
        {
            assert!(parse(&file(1, header, &[0; 16])).unwrap_err().is_invalid_argument(), "{header}");
        }
        assert!(parse(&[&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes(), b"{"].concat()).is_err());
        assert!(parse(&[&MAGIC[..], &[9, 0, 0, 0]].concat()).unwrap_err().to_string().contains("version 9.0"));
    }
}
