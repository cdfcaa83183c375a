//! Keras's model files: an archive with the configuration, as JSON, and the weights, in HDF5.

use std::io::{Cursor, Read, Write};

use serde_json::{Value as Json, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::h5::{Groups, render};
use super::tree::{set_state, state};
use crate::error::{Error, Result, entry};
use crate::files;
use crate::nn::config::Config;
use crate::nn::layers::Layer;
use crate::nn::model::{Classes, Model};
use crate::sys::{date, wall_time};

/// The parts of the archive.
const METADATA: &str = "metadata.json";
const CONFIG: &str = "config.json";
pub(in crate::nn) const WEIGHTS: &str = "model.weights.h5";

/// The version of Keras whose form the files have.
const KERAS: &str = "3.15.1";

/// Of an archive, how many times its size a part may unpack to, and what it may in any case.
const MOST_UNPACKED: (u64, u64) = (100, 1 << 24);

impl Model {
    /// The whole model as the bytes of a `.keras` file: layers, weights and, where it is compiled, losses, metrics and the
    /// optimizer with its state.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let mut again = Model::from_bytes(&model.to_bytes()?)?;
    /// assert_eq!(again.count_params()?, 15);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model does not know its input yet; a layer, loss or metric of your own without a configuration; or those of the device.
    #[track_caller]
    pub fn to_bytes(&mut self) -> Result<Vec<u8>> {
        entry(|| {
            self.build_known("save")?;
            let mut config = self.config()?.to_json();
            if let Some(compile) = self.compile_config()? {
                config["compile_config"] = compile;
            }
            let [year, month, day, hour, minute, second] = date(wall_time() as u64);
            let metadata = json!({
                "keras_version": KERAS,
                "wgtensor_version": env!("CARGO_PKG_VERSION"),
                "date_saved": format!("{year:04}-{month:02}-{day:02}@{hour:02}:{minute:02}:{second:02}"),
            });
            let parts = [
                (METADATA, metadata.to_string().into_bytes()),
                (CONFIG, config.to_string().into_bytes()),
                (WEIGHTS, weights(self)?),
            ];
            archive(&parts)
        })
    }

    /// The model of the bytes of a `.keras` file, Keras's or the crate's.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let bytes = model.to_bytes()?; // those of a .keras file
    /// let again = Model::from_bytes(&bytes)?;
    /// assert_eq!(again.get_weights()?[0].to_vec::<f32>()?, model.get_weights()?[0].to_vec::<f32>()?);
    /// assert!(Model::from_bytes(&bytes[..100]).is_err());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`load_model`].
    #[track_caller]
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        entry(|| LoadModel::new().read(bytes))
    }

    /// Writes the whole model to a `.keras` file, which [`load_model`], or Keras's function of this name, reads: layers,
    /// weights and, where it is compiled, losses, metrics and the optimizer with its state. A file of that name is replaced
    /// once the new one is whole.
    ///
    /// ```
    /// use wgtensor::nn::load_model;
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    ///
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).activation(Softmax));
    /// model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    /// # let (dir, x) = (std::env::temp_dir().join("wgtensor-doc-save"), Tensor::uniform([6, 4], 0.0, 1.0, 1, &Device::cpu())?);
    /// # std::fs::create_dir_all(&dir).unwrap();
    /// # let path = dir.join(format!("{}.keras", std::process::id()));
    /// model.save(&path)?;
    /// let mut again = load_model(&path)?;
    /// assert_eq!(again.predict(&x, ())?.to_vec::<f32>()?, model.predict(&x, ())?.to_vec::<f32>()?);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`to_bytes`](Self::to_bytes), a path that does not end in `.keras`, or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn save(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        entry(|| {
            let path = path.as_ref();
            if path.extension().is_none_or(|end| end != "keras") {
                return Err(Error::parts(
                    crate::error::Kind::Argument,
                    "Invalid filepath extension for saving. Please add a `.keras` extension for the native Keras format",
                    &format!("filepath={}", path.display()),
                    "a path that ends in `.keras`",
                    "Rename it, or use `save_weights` to keep the weights alone",
                ));
            }
            files::replace(path, &self.to_bytes()?)
        })
    }
}

/// The model of a `.keras` file, written by [`Model::save`] or by Keras 3: with its weights, and compiled as it was, its
/// optimizer's state included.
///
/// Its weights are on the CPU until it sees data on another device.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::load_model;
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// # let path = std::env::temp_dir().join(format!("wgtensor-load-{}.keras", std::process::id()));
/// model.save(&path)?; // or keras.Model.save(path)
/// let mut again = load_model(&path)?;
/// assert_eq!(again.count_params()?, 15);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// A file that cannot be read, is damaged or is no such file, or layers and settings that there are not here.
#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
pub fn load_model(path: impl AsRef<std::path::Path>) -> Result<Model> {
    load_model_with(path, LoadModel::new())
}

/// [`load_model`] with everything that can be set.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::{LoadModel, load_model_with};
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// model.compile("adam", "mse", ())?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-with-{}.keras", std::process::id()));
/// model.save(&path)?;
/// let mut plain = load_model_with(&path, LoadModel::new().compile(false))?;
/// assert!(plain.iterations().unwrap_err().is_invalid_state()); // not compiled
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of `load_model`.
#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
pub fn load_model_with(path: impl AsRef<std::path::Path>, how: LoadModel) -> Result<Model> {
    entry(|| {
        let path = path.as_ref();
        files::in_file(path, how.read(&files::read(path)?))
    })
}

/// How to load a model.
///
/// ```
/// use wgtensor::nn::config::Config;
/// use wgtensor::nn::layers::{CallCtx, Layer};
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::LoadModel;
/// use wgtensor::{Result, Tensor};
///
/// struct Double;
/// impl Layer for Double {
///     fn class_name(&self) -> &'static str {
///         "Double"
///     }
///     fn config(&self) -> Result<Config> {
///         Ok(Config::new("Double"))
///     }
///     fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
///         x.mul(2.0)
///     }
/// }
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Double).add(Dense::new(3));
/// let again = LoadModel::new().layer("Double", |_| Ok(Box::new(Double))).read(&model.to_bytes()?)?;
/// assert_eq!(again.config()?, model.config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Default)]
pub struct LoadModel {
    classes: Classes,
    leave_uncompiled: bool,
}

impl LoadModel {
    /// The defaults: compiled, if the model was, and made of standard layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to compile the model as it was compiled; it is by default.
    pub fn compile(mut self, yes: bool) -> Self {
        self.leave_uncompiled = !yes;
        self
    }

    /// How to make layers of a class of your own from their configuration: Keras's `custom_objects`. The example of
    /// [`LoadModel`] has one.
    pub fn layer(
        mut self,
        class: impl Into<String>,
        make: impl Fn(&Config) -> Result<Box<dyn Layer>> + 'static,
    ) -> Self {
        self.classes.add(class.into(), Box::new(make));
        self
    }

    /// The model of the bytes of a `.keras` file.
    ///
    /// # Errors
    /// Those of [`load_model`].
    #[track_caller]
    pub fn read(self, bytes: &[u8]) -> Result<Model> {
        entry(|| {
            let json: Json = serde_json::from_slice(&part(bytes, CONFIG)?)
                .map_err(|why| damaged(&format!("a configuration that says: {why}"), "JSON"))?;
            let mut model = self.classes.model(&Config::from_json(&json)?)?;
            if model.input_shape().is_none()
                && let Some(sample) = sample(&json)
            {
                model.build(sample)?;
            }
            model.build_known("load_model")?;
            if let Some(compile) = json.get("compile_config").filter(|json| json.get("optimizer").is_some())
                && !self.leave_uncompiled
            {
                model.compile_from_config(compile)?;
            }
            set_state(&mut model, &Groups::parse(part(bytes, WEIGHTS)?)?)?;
            Ok(model)
        })
    }
}

/// The shape of a sample that a model without an `InputLayer` was built for.
fn sample(json: &Json) -> Option<Vec<usize>> {
    let shape = json.pointer("/build_config/input_shape").or(json.pointer("/config/build_input_shape"))?;
    shape.as_array()?.get(1..)?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect()
}

/// The state of a model as a `.weights.h5` file.
pub(in crate::nn) fn weights(model: &Model) -> Result<Vec<u8>> {
    render(&state(model)?)
}

/// Sets the state of a model from a `.weights.h5` or a `.keras` file.
pub(in crate::nn) fn read_weights(model: &mut Model, bytes: &[u8]) -> Result<()> {
    let weights = if bytes.starts_with(b"PK") { part(bytes, WEIGHTS)? } else { bytes.to_vec() };
    set_state(model, &Groups::parse(weights)?)
}

/// An archive of these parts, as Keras writes it: not compressed.
pub(in crate::nn) fn archive(parts: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    zipped(parts).map_err(|why| Error::internal(format!("an archive that could not be written: {why}")))
}

fn zipped(parts: &[(&str, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        let large = u32::try_from(bytes.len()).is_err();
        zip.start_file(
            *name,
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large),
        )?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// A part of an archive.
pub(in crate::nn) fn part(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|why| damaged(&why.to_string(), "an archive"))?;
    let mut file = zip.by_name(name).map_err(|why| damaged(&why.to_string(), &format!("a part `{name}`")))?;
    let most = (bytes.len() as u64).saturating_mul(MOST_UNPACKED.0).max(MOST_UNPACKED.1);
    if file.size() > most {
        let received = format!("a part `{name}` of {} bytes in an archive of {}", file.size(), bytes.len());
        return Err(damaged(&received, &format!("at most {most} bytes")));
    }
    let mut unpacked = Vec::new();
    let read = Read::by_ref(&mut file).take(most + 1).read_to_end(&mut unpacked);
    read.map_err(|why| damaged(&format!("a part `{name}`: {why}"), "bytes that can be unpacked"))?;
    if unpacked.len() as u64 > most {
        return Err(damaged(&format!("a part `{name}` of more than {most} bytes"), "the size that it says it has"));
    }
    Ok(unpacked)
}

pub(in crate::nn) fn damaged(received: &str, expected: &str) -> Error {
    files::damaged("model", received, expected, "was written by Keras 3 or by `save`")
}
