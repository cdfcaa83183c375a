//! Weights in files.

mod safetensors;

use std::collections::BTreeMap;

use self::safetensors::{Entry, parse, render};
use crate::error::{Error, Kind, Result, entry};
use crate::nn::model::Model;
use crate::{DType, Device, Tensor, Var};

impl Model {
    /// All weights as the bytes of a safetensors file, each under its layer's name and its own: `dense/kernel`.
    ///
    /// # Errors
    /// The weights do not exist yet, or those of the device.
    #[track_caller]
    pub fn weights_to_bytes(&self) -> Result<Vec<u8>> {
        entry(|| {
            if !self.is_built() {
                return Err(self.not_built("weights_to_bytes"));
            }
            let weights = self.weights();
            let values = weights.iter().map(|var| written(&var.value().detach())).collect::<Result<Vec<_>>>()?;
            let entries = names(&weights).into_iter().zip(&weights).zip(&values);
            render(entries.map(|((name, var), data)| {
                Ok((name, Entry { dtype: dtype_name(var.dtype())?, shape: var.shape().to_vec(), data }))
            }))
        })
    }

    /// Sets all weights from the bytes of a safetensors file, as [`weights_to_bytes`](Self::weights_to_bytes) gives them.
    ///
    /// # Errors
    /// Bytes that are no such file, or weights of other names, types or shapes than the model's; nothing is set then.
    #[track_caller]
    pub fn weights_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        entry(|| {
            self.build_known("weights_from_bytes")?;
            let weights = self.weights();
            let values = matched(&names(&weights), &weights, &parse(bytes)?)?;
            self.set_weights(&values)
        })
    }

    /// Writes all weights to a safetensors file. A file of that name is replaced once the new one is whole.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    ///
    /// let model = || Sequential::named("m").add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let (mut trained, mut fresh) = (model(), model());
    /// trained.build([4])?;
    /// fresh.build([4])?;
    /// # let path = std::env::temp_dir().join(format!("wgtensor-{}.safetensors", std::process::id()));
    /// trained.save_weights(&path)?;
    /// fresh.load_weights(&path)?;
    /// # std::fs::remove_file(&path).ok();
    /// assert_eq!(fresh.weights_to_bytes()?, trained.weights_to_bytes()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`weights_to_bytes`](Self::weights_to_bytes), or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn save_weights(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        entry(|| {
            let (path, bytes) = (path.as_ref(), self.weights_to_bytes()?);
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            name.push(format!(".{}.part", std::process::id()));
            let part = path.with_file_name(name);
            let done = std::fs::write(&part, &bytes).and_then(|()| std::fs::rename(&part, path));
            done.map_err(|why| {
                // Whatever was written of it is of no use.
                std::fs::remove_file(&part).ok();
                io("written", path, &why)
            })
        })
    }

    /// Sets all weights from a safetensors file.
    ///
    /// # Errors
    /// Those of [`weights_from_bytes`](Self::weights_from_bytes), or the file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn load_weights(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        entry(|| {
            let path = path.as_ref();
            let bytes = std::fs::read(path).map_err(|why| io("read", path, &why))?;
            self.weights_from_bytes(&bytes)
        })
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn io(done: &str, path: &std::path::Path, why: &std::io::Error) -> Error {
    Error::parts(
        Kind::Io,
        &format!("Weights could not be {done}"),
        &format!("{}: {why}", path.display()),
        &format!("a file that can be {done}"),
        "Check the path and its permissions",
    )
}

/// A name for each weight: its own, with a number where others before have it too.
fn names(weights: &[Var]) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let name = |var| {
        let name = Var::name(var);
        let count = seen.entry(name).or_insert(0);
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}_{}", *count - 1) }
    };
    weights.iter().map(name).collect()
}

/// The values of the weights, from a file's entries.
fn matched(names: &[String], weights: &[Var], entries: &BTreeMap<String, Entry<'_>>) -> Result<Vec<Tensor>> {
    let refuse = |happened: &str, received: String, expected: String| {
        let fix = "Load a file that was saved from this model, or give the layers the names that they have in the file";
        Error::parts(Kind::Argument, happened, &received, &expected, fix)
    };
    let list = |names: Vec<&str>| names.into_iter().take(8).collect::<Vec<_>>().join(", ");
    if let Some(name) = entries.keys().find(|name| !names.contains(name)) {
        let known = list(names.iter().map(String::as_str).collect());
        return Err(refuse("A weight file has a weight that the model has not", format!("`{name}`"), known));
    }
    let value = |(name, var): (&String, &Var)| {
        let Some(found) = entries.get(name) else {
            let known = list(entries.keys().map(String::as_str).collect());
            return Err(refuse("A weight file lacks a weight of the model", known, format!("`{name}`")));
        };
        let (dtype, shape) = (dtype_name(var.dtype())?, var.shape().to_vec());
        if found.dtype != dtype || found.shape != shape {
            let received = format!("{} {:?} for `{name}`", found.dtype, found.shape);
            return Err(refuse("A weight in a file is of another kind", received, format!("{dtype} {shape:?}")));
        }
        read(found, var.dtype(), var.device())
    };
    names.iter().zip(weights).map(value).collect()
}

/// The types of weights: the crate's, the file's, and Rust's.
macro_rules! types {
    ($($dtype:ident $name:literal $ty:ty;)*) => {
        /// A type's name in the file.
        fn dtype_name(dtype: DType) -> Result<&'static str> {
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
        fn written(tensor: &Tensor) -> Result<Vec<u8>> {
            match tensor.dtype() {
                $(DType::$dtype => Ok(tensor.to_vec::<$ty>()?.into_iter().flat_map(<$ty>::to_le_bytes).collect()),)*
                other => dtype_name(other).map(|_| Vec::new()),
            }
        }

        /// The tensor of an entry.
        fn read(entry: &Entry<'_>, dtype: DType, device: &Device) -> Result<Tensor> {
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

types! {
    F32 "F32" f32;
    F64 "F64" f64;
    I32 "I32" i32;
    U32 "U32" u32;
}

#[cfg(all(test, feature = "cpu"))]
mod tests;
