//! Groups of variables in HDF5, as Keras's `H5IOStore` has them: group `path/vars` with datasets `0`, `1`, ...

use std::cell::Cell;
use std::collections::BTreeMap;

use hdf5_pure::{AttrValue, DType as Stored, Dataset, File, FileBuilder, GroupBuilder, Layout};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::{DType, Device, Tensor};

/// Variables that stand together.
pub(super) struct Group {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) values: Vec<Tensor>,
}

/// How many times its size a file may unpack to.
const MOST_UNPACKED: u64 = 100;

/// A group with all that is in it.
#[derive(Default)]
struct Branch<'a> {
    branches: BTreeMap<&'a str, Branch<'a>>,
    group: Option<&'a Group>,
}

/// A file with these groups.
pub(super) fn render(groups: &[Group]) -> Result<Vec<u8>> {
    let mut root = Branch::default();
    for group in groups {
        let parts = group.path.split('/').filter(|part| !part.is_empty()).chain(["vars"]);
        parts.fold(&mut root, |branch, part| branch.branches.entry(part).or_default()).group = Some(group);
    }
    let mut file = FileBuilder::new();
    for (name, branch) in &root.branches {
        let mut made = file.create_group(name);
        branch.fill(&mut made)?;
        file.add_group(made.finish());
    }
    file.finish().map_err(|why| Error::internal(format!("a file of weights that could not be written: {why}")))
}

impl Branch<'_> {
    fn fill(&self, into: &mut GroupBuilder) -> Result<()> {
        for (name, branch) in &self.branches {
            let mut made = into.create_group(name);
            branch.fill(&mut made)?;
            into.add_group(made.finish());
        }
        let Some(group) = self.group else { return Ok(()) };
        // As h5py writes a text.
        into.set_attr("name", AttrValue::VarLenString(group.name.clone()));
        group.values.iter().enumerate().try_for_each(|(i, value)| put(into, &i.to_string(), value))
    }
}

/// A file, parsed.
pub(super) struct Groups {
    file: File,
    /// Its size, and how many bytes may be read of it yet: many names may stand for one variable.
    bytes: u64,
    left: Cell<u64>,
}

impl Groups {
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let size = bytes.len() as u64;
        let file = File::from_bytes(bytes).map_err(|why| damaged(&why, "an HDF5 file"))?;
        Ok(Groups { file, bytes: size, left: Cell::new(size.saturating_mul(MOST_UNPACKED)) })
    }

    /// How many variables there are under this path.
    pub(super) fn count(&self, path: &str) -> usize {
        self.file.group(&vars(path)).and_then(|group| group.datasets()).map_or(0, |names| names.len())
    }

    fn dataset(&self, path: &str, number: usize) -> Result<Dataset> {
        let path = format!("{}/{number}", vars(path));
        self.file.dataset(&path).map_err(|why| damaged(&why, &format!("a variable `{path}`")))
    }

    /// The shape of a variable.
    pub(super) fn shape(&self, path: &str, number: usize) -> Result<Vec<usize>> {
        extents(&self.dataset(path, number)?)
    }

    /// A variable of whatever type it has: floats in single precision, integers in 32 bits.
    pub(super) fn any(&self, path: &str, number: usize, device: &Device) -> Result<Tensor> {
        let stored = self.dataset(path, number)?.dtype().map_err(|why| damaged(&why, "a type of numbers"))?;
        let dtype = match stored {
            Stored::F32 | Stored::F64 => DType::F32,
            Stored::I8 | Stored::I16 | Stored::I32 | Stored::I64 | Stored::U8 | Stored::U16 => DType::I32,
            other => return Err(damaged(&other, "floats of 32 or 64 bits, or integers")),
        };
        self.value(path, number, dtype, device)
    }

    /// A variable as a tensor of this type.
    pub(super) fn value(&self, path: &str, number: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let dataset = self.dataset(path, number)?;
        let shape = extents(&dataset)?;
        let named = |error: Error| error.context(format!("`{}/{number}`", vars(path)));
        // What the file says of its size is believed as far as the file is large.
        let size = dataset.element_size().map_err(|why| damaged(&why, "a type of numbers"))?;
        let layout = dataset.layout().map_err(|why| damaged(&why, "data in one piece"))?;
        let most = match layout {
            Layout::Compact { .. } | Layout::Contiguous { .. } => self.bytes,
            _ => self.bytes.saturating_mul(MOST_UNPACKED),
        };
        let bytes = shape.iter().try_fold(size, |bytes, &n| bytes.checked_mul(n as u64));
        let Some(left) = bytes.filter(|&bytes| bytes <= most).and_then(|bytes| self.left.get().checked_sub(bytes))
        else {
            let received = format!("shape {shape:?} in a file of {} bytes", self.bytes);
            return Err(named(damaged(&received, "data that is in the file")));
        };
        self.left.set(left);
        read(&dataset, &shape, dtype, device).map_err(named)
    }
}

/// The shape of a dataset.
fn extents(dataset: &Dataset) -> Result<Vec<usize>> {
    let shape = dataset.shape().map_err(|why| damaged(&why, "the shape of a variable"))?;
    let extent = |&n: &u64| usize::try_from(n).map_err(|_| damaged(&n, "an extent that fits the memory"));
    shape.iter().map(extent).collect()
}

/// The group with the variables of a path.
fn vars(path: &str) -> String {
    if path.is_empty() { "vars".into() } else { format!("{path}/vars") }
}

fn damaged(received: &dyn std::fmt::Display, expected: &str) -> Error {
    files::damaged("weight", &received.to_string(), expected, "was written by Keras 3 or by `save_weights`")
}

/// The types of variables: the crate's, the file's, and Rust's.
macro_rules! types {
    ($($dtype:ident $ty:ty, $with:ident, $read:ident;)*) => {
        /// Adds a tensor to a group.
        fn put(into: &mut GroupBuilder, name: &str, value: &Tensor) -> Result<()> {
            let shape: Vec<u64> = value.dims().iter().map(|&n| n as u64).collect();
            match value.dtype() {
                $(DType::$dtype => {
                    into.create_dataset(name).$with(&value.to_vec::<$ty>()?).with_shape(&shape);
                    Ok(())
                })*
                other => Err(unsupported(other)),
            }
        }

        /// The numbers of a dataset as a tensor.
        fn read(dataset: &Dataset, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
            match dtype {
                $(DType::$dtype => {
                    let values = dataset.$read().map_err(|why| damaged(&why, "numbers"))?;
                    Tensor::from_slice(&values, shape, device)
                })*
                other => Err(unsupported(other)),
            }
        }
    };
}

types! {
    F32 f32, with_f32_data, read_f32;
    F64 f64, with_f64_data, read_f64;
    I32 i32, with_i32_data, read_i32;
    U32 u32, with_u32_data, read_u32;
}

fn unsupported(dtype: DType) -> Error {
    Error::parts(
        Kind::DType,
        "Weights of this type cannot be kept in HDF5",
        &dtype.to_string(),
        "one of f32, f64, i32, u32",
        "Cast the weight to another type",
    )
}
