//! NPZ files: several arrays of NumPy's by their names.
//!
//! ```
//! use wgtensor::data::{Array, Dataset, npz};
//!
//! let (x, y) = (Array::new([[1.0f32], [2.0]])?, Array::new([0, 1])?);
//! # let path = std::env::temp_dir().join(format!("wgtensor-doc-{}.npz", std::process::id()));
//! npz::write(&path, [("x_train", &x), ("y_train", &y)])?; // numpy.load(path)["x_train"]
//! let arrays = npz::read(&path)?;
//! let train = Dataset::from_tensor_slices((arrays.get("x_train")?, arrays.get("y_train")?))?;
//! assert_eq!((train.len(), arrays.names().collect::<Vec<_>>()), (Some(2), vec!["x_train", "y_train"]));
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), wgtensor::Error>(())
//! ```

use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::array::{Array, IntoArray};
use super::damage::damaged;
use super::npy;
use crate::error::{Error, Kind, Result, entry};
use crate::files::{in_file, open, replace};

const WHAT: &str = "an NPZ file";

/// The arrays of a file, in its order.
///
/// ```
/// use wgtensor::data::{Array, npz};
///
/// let file = npz::to_bytes([("x", Array::new([1, 2])?), ("y", Array::new([3, 4])?)])?;
/// for (name, array) in npz::parse(&file)?.iter() {
///     println!("{name}: {} {}", array.dtype(), array.shape());
/// }
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Npz(Vec<(String, Array)>);

impl Npz {
    /// The array of this name.
    ///
    /// ```
    /// use wgtensor::data::{Array, npz};
    ///
    /// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
    /// let arrays = npz::parse(&npz::to_bytes([("x", &array)])?)?;
    /// assert_eq!(arrays.get("x")?.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// assert!(arrays.get("y").is_err());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is none.
    #[track_caller]
    pub fn get(&self, name: &str) -> Result<&Array> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, array)| array);
        found.ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                &format!("The file has no array '{name}'"),
                &format!("'{name}'"),
                &format!("one of: {}", self.names().collect::<Vec<_>>().join(", ")),
                "Use a name that the file has",
            )
        })
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.0.iter().map(|(name, array)| (name.as_str(), array))
    }
}

/// The arrays of a file, compressed or not.
///
/// ```
/// use wgtensor::data::{Array, npz};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-read.npz-{}", std::process::id()));
/// npz::write(&path, [("x", &array)])?;
/// assert_eq!(npz::read(&path)?.get("x")?.dims(), [2, 2]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The file cannot be read, is damaged or is no NPZ file, or those of [`npy::read`] for an array, which is named.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> Result<Npz> {
    let path = path.as_ref();
    entry(|| in_file(path, arrays(BufReader::new(open(path)?))))
}

/// The arrays of a file's bytes.
///
/// ```
/// use wgtensor::data::{Array, npz};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// let arrays = npz::parse(&npz::to_bytes([("x", &array)])?)?;
/// assert_eq!(arrays.names().collect::<Vec<_>>(), ["x"]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of [`read`], but for the file.
#[track_caller]
pub fn parse(bytes: &[u8]) -> Result<Npz> {
    entry(|| arrays(Cursor::new(bytes)))
}

/// Writes arrays, tensors or host data, uncompressed as `numpy.savez` does. A file of that name is replaced once the new one
/// is whole.
///
/// ```
/// use wgtensor::data::{Array, npz};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-write.npz-{}", std::process::id()));
/// npz::write(&path, [("x", &array), ("again", &array)])?; // numpy.load(path)["x"]
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The file cannot be written, those of [`to_bytes`].
#[track_caller]
pub fn write<A: IntoArray>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (impl AsRef<str>, A)>,
) -> Result<()> {
    entry(|| replace(path.as_ref(), &to_bytes(arrays)?))
}

/// The bytes of a file of arrays, tensors or host data.
///
/// ```
/// use wgtensor::data::{Array, npz};
///
/// let array = Array::new([[1.0f32, 2.0], [3.0, 4.0]])?;
/// assert!(npz::to_bytes([("x", &array)])?.starts_with(b"PK"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// A name that comes twice, or those of [`npy::to_bytes`] for an array.
#[track_caller]
pub fn to_bytes<A: IntoArray>(arrays: impl IntoIterator<Item = (impl AsRef<str>, A)>) -> Result<Vec<u8>> {
    let mut file = ZipWriter::new(Cursor::new(Vec::new()));
    let failed = |name: &str, why: &dyn std::fmt::Display| {
        Error::parts(
            Kind::Argument,
            "An array could not be put into an NPZ file",
            &format!("'{name}': {why}"),
            "a name of its own for each array",
            "Check the names",
        )
    };
    for (name, array) in arrays {
        let (name, bytes) = (name.as_ref(), npy::to_bytes(array)?);
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let large = stored.large_file(bytes.len() > u32::MAX as usize / 2);
        file.start_file(format!("{name}.npy"), large).map_err(|why| failed(name, &why))?;
        file.write_all(&bytes).map_err(|why| failed(name, &why))?;
    }
    Ok(file.finish().map_err(|why| failed("", &why))?.into_inner())
}

fn arrays(source: impl Read + Seek) -> Result<Npz> {
    let bad = |why: &dyn std::fmt::Display| damaged(WHAT, why.to_string(), "a ZIP archive of NPY files");
    let mut file = ZipArchive::new(source).map_err(|why| bad(&why))?;
    if file.has_overlapping_files().map_err(|why| bad(&why))? {
        return Err(bad(&"members that share their bytes"));
    }
    let mut all = Vec::new();
    for i in 0..file.len() {
        let mut member = file.by_index(i).map_err(|why| bad(&why))?;
        let name = member.name().map_err(|why| bad(&why))?.strip_suffix(".npy").map(str::to_owned);
        let Some(name) = name else { continue };
        let array = npy::array(&mut member).map_err(|error| error.context(format!("array '{name}'")))?;
        // The end of the member has its checksum.
        member.read(&mut [0]).map_err(|why| bad(&format!("array '{name}': {why}")))?;
        all.push((name, array));
    }
    Ok(Npz(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_damage_is_seen() {
        let (x, y) = (Array::new([[1.0f32, 2.0], [3.0, 4.0]]).unwrap(), Array::new([1u8, 2]).unwrap());
        let bytes = to_bytes([("x", &x), ("folder/y", &y)]).unwrap();
        let arrays = parse(&bytes).unwrap();
        assert_eq!(arrays.names().collect::<Vec<_>>(), ["x", "folder/y"]);
        assert_eq!(arrays.get("x").unwrap().bytes(), x.bytes());
        assert_eq!(arrays.iter().nth(1).unwrap().1.to_vec::<u8>().unwrap(), [1, 2]);
        assert!(arrays.get("z").unwrap_err().to_string().contains("one of: x, folder/y"));
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).unwrap_err().is_invalid_argument(), "cut at {cut}");
        }
        let data = bytes.windows(16).position(|window| window == x.bytes()).unwrap();
        let mut wrong = bytes.clone();
        wrong[data] ^= 1;
        assert!(parse(&wrong).is_err(), "the checksum is wrong");
        assert!(to_bytes([("x", &x), ("x", &x)]).unwrap_err().is_invalid_argument());
        let none = to_bytes([("x", &x); 0]).unwrap();
        assert_eq!(parse(&none).unwrap().names().count(), 0);
        // Every byte turned around: an error or some arrays, and never a panic.
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0xff;
            drop(parse(&wrong));
        }
    }
}
