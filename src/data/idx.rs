//! IDX files, in which MNIST and its relatives are.
//!
//! With feature `gzip`, compressed ones are read as they are.
//!
//! ```
//! use wgtensor::data::idx;
//!
//! let bytes = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9];
//! assert_eq!(idx::parse(&bytes)?.dims(), [1, 3]);
//! # Ok::<(), wgtensor::Error>(())
//! ```

use std::io::{BufReader, Read};
use std::path::Path;

use super::array::Array;
use super::damage::damaged;
use super::encoded::{Encoding, header};
use crate::dtype::DType;
use crate::error::{Result, entry};
use crate::files::{in_file, open};

const WHAT: &str = "an IDX file";

/// The array of a file.
///
/// ```
/// use wgtensor::data::idx;
///
/// # let path = std::env::temp_dir().join(format!("wgtensor-labels-idx1-ubyte-{}", std::process::id()));
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]).unwrap();
/// assert_eq!(idx::read(&path)?.dims(), [3]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The file cannot be read, is cut or is no IDX file, or it is compressed and the feature `gzip` is off.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    entry(|| in_file(path, array(&mut BufReader::new(open(path)?))))
}

/// The array of a file's bytes.
///
/// ```
/// use wgtensor::data::idx;
///
/// let bytes = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]; // bytes, one dimension of three
/// assert_eq!(idx::parse(&bytes)?.to_vec::<u8>()?, [7, 8, 9]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of [`read`], but for the file.
#[track_caller]
pub fn parse(bytes: &[u8]) -> Result<Array> {
    entry(|| array(&mut &*bytes))
}

fn array(source: &mut dyn Read) -> Result<Array> {
    let start = header::<2>(WHAT, source)?;
    match start {
        [0, 0] => plain(source),
        [0x1f, 0x8b] => unpacked(&mut start.chain(source)),
        _ => Err(damaged(WHAT, format!("a file that begins with the bytes {start:?}"), "two zero bytes")),
    }
}

#[cfg(feature = "gzip")]
fn unpacked(source: &mut dyn Read) -> Result<Array> {
    let mut inner = flate2::read::MultiGzDecoder::new(source);
    match header::<2>("gzip", &mut inner)? {
        [0, 0] => plain(&mut inner),
        start => Err(damaged(WHAT, format!("a file that begins with the bytes {start:?}"), "two zero bytes")),
    }
}

#[cfg(not(feature = "gzip"))]
fn unpacked(_: &mut dyn Read) -> Result<Array> {
    use crate::error::{Error, Kind};
    Err(Error::parts(
        Kind::Unsupported,
        "A data file is compressed",
        "a gzip file",
        "a plain file",
        "Enable the crate's feature `gzip`, or unpack the file",
    ))
}

/// What follows the first two bytes.
fn plain(source: &mut dyn Read) -> Result<Array> {
    let [code, rank] = header(WHAT, source)?;
    let encoding = match code {
        0x08 => Encoding::As(DType::U8),
        0x09 => Encoding::As(DType::I8),
        0x0b => Encoding::I16,
        0x0c => Encoding::As(DType::I32),
        0x0d => Encoding::As(DType::F32),
        0x0e => Encoding::As(DType::F64),
        other => return Err(damaged(WHAT, format!("type code {other:#04x}"), "8, 9, 11, 12, 13 or 14")),
    };
    let dims = (0..rank).map(|_| header(WHAT, source).map(|bytes| u32::from_be_bytes(bytes) as usize));
    let dims = dims.collect::<Result<Vec<_>>>()?;
    let array = encoding.read(WHAT, source, &dims, true)?;
    // The end of compressed data has their checksum.
    match source.read(&mut [0]) {
        Ok(0) => Ok(array),
        Ok(_) => Err(damaged(WHAT, "more bytes than its shape has", &format!("data of shape {}", array.shape()))),
        Err(why) => Err(damaged(WHAT, why.to_string(), "a whole file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_shapes_and_cut_files() {
        let file = |code: u8, dims: &[u32], data: &[u8]| -> Vec<u8> {
            let dims: Vec<u8> = dims.iter().flat_map(|d| d.to_be_bytes()).collect();
            [&[0, 0, code, dims.len() as u8 / 4], &dims[..], data].concat()
        };
        let images = file(8, &[2, 1, 2], &[0, 255, 7, 9]);
        let array = parse(&images).unwrap();
        assert_eq!((array.dims(), array.to_vec::<u8>().unwrap()), (&[2, 1, 2][..], vec![0, 255, 7, 9]));
        for cut in 0..images.len() {
            assert!(parse(&images[..cut]).unwrap_err().is_invalid_argument(), "cut at {cut}");
        }
        assert!(parse(&[&images[..], &[1]].concat()).is_err());
        assert_eq!(parse(&file(11, &[2], &[255, 254, 1, 0])).unwrap().to_vec::<i32>().unwrap(), [-2, 256]);
        assert_eq!(parse(&file(12, &[1], &[0, 0, 1, 2])).unwrap().to_vec::<i32>().unwrap(), [258]);
        assert_eq!(parse(&file(13, &[1], &1.5f32.to_be_bytes())).unwrap().to_vec::<f32>().unwrap(), [1.5]);
        assert_eq!(parse(&file(14, &[1], &0.1f64.to_be_bytes())).unwrap().to_vec::<f64>().unwrap(), [0.1]);
        assert_eq!(parse(&file(9, &[0, 5], &[])).unwrap().dims(), [0, 5]);
        // Sizes that nothing stands behind.
        for dims in [vec![u32::MAX], vec![u32::MAX; 2], vec![u32::MAX; 8], vec![1; 9], vec![1 << 30, 1]] {
            assert!(parse(&file(8, &dims, &[1, 2, 3])).is_err(), "{dims:?}");
        }
        assert!(parse(&file(10, &[1], &[0])).unwrap_err().to_string().contains("0x0a"));
        assert!(parse(b"PK\x03\x04").is_err());
        let missing = std::env::temp_dir().join("wgtensor-no-such-file.idx");
        assert!(read(&missing).unwrap_err().is_io());
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn compressed_files() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(parse(&packed).unwrap().to_vec::<u8>().unwrap(), [1, 2, 3]);
        for cut in 0..packed.len() {
            assert!(parse(&packed[..cut]).is_err(), "cut at {cut}");
        }
        let mut wrong = packed.clone();
        let checksum = wrong.len() - 6;
        wrong[checksum] ^= 1;
        assert!(parse(&wrong).is_err());
    }
}
