//! Weights and models in files.

mod flat;
#[cfg(feature = "keras")]
mod h5;
#[cfg(feature = "keras")]
pub(in crate::nn) mod keras;
mod pytorch;
mod safetensors;
#[cfg(feature = "keras")]
mod tree;
mod values;

#[cfg(feature = "keras")]
pub use self::keras::LoadModel;
#[cfg(all(feature = "keras", not(target_arch = "wasm32")))]
pub use self::keras::{load_model, load_model_with};
#[cfg(not(feature = "keras"))]
use crate::error::{Error, Kind};
use crate::error::{Result, entry};
#[cfg(not(target_arch = "wasm32"))]
use crate::files;
use crate::nn::model::Model;

/// What files of Keras's begin with: archives, and HDF5.
const OF_KERAS: [&[u8]; 2] = [b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"];

impl Model {
    /// All weights as the bytes of a safetensors file, each under its layer's name and its own: `dense/kernel`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let made = || Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let (mut trained, mut fresh) = (made(), made());
    /// fresh.weights_from_bytes(&trained.weights_to_bytes()?)?;
    /// assert_eq!(fresh.get_weights()?[0].to_vec::<f32>()?, trained.get_weights()?[0].to_vec::<f32>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model does not know its input yet, or those of the device.
    #[track_caller]
    pub fn weights_to_bytes(&mut self) -> Result<Vec<u8>> {
        entry(|| {
            self.build_known("weights_to_bytes")?;
            flat::to_bytes(self)
        })
    }

    /// Sets all weights from the bytes of a file: a safetensors file such as [`weights_to_bytes`](Self::weights_to_bytes)
    /// gives or, with the feature `keras`, a `.weights.h5` or a `.keras` file. Of the latter two the optimizer's state is read
    /// too, where the model is compiled.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let made = || Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let (mut trained, mut fresh) = (made(), made());
    /// fresh.weights_from_bytes(&trained.weights_to_bytes()?)?;
    /// assert!(fresh.weights_from_bytes(b"no file").is_err()); // and nothing is set
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Bytes that are no such file, or weights of other names, types or shapes than the model's; nothing is set then.
    #[track_caller]
    pub fn weights_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        entry(|| {
            self.build_known("weights_from_bytes")?;
            match OF_KERAS.iter().any(|begin| bytes.starts_with(begin)) {
                false => flat::from_bytes(self, bytes),
                #[cfg(feature = "keras")]
                true => keras::read_weights(self, bytes),
                #[cfg(not(feature = "keras"))]
                true => Err(without_keras("a file of Keras's")),
            }
        })
    }

    /// Writes all weights to a file: to a `.weights.h5` file of Keras's (feature `keras`), with the optimizer's state where
    /// there is one, if the path ends in `.h5`; else to a safetensors file. A file of that name is replaced once the new one is
    /// whole.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    ///
    /// let model = || Sequential::named("m").add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let (mut trained, mut fresh) = (model(), model());
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
    pub fn save_weights(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        entry(|| {
            let path = path.as_ref();
            self.build_known("save_weights")?;
            let bytes = match path.extension().is_some_and(|end| end.eq_ignore_ascii_case("h5")) {
                false => flat::to_bytes(self),
                #[cfg(feature = "keras")]
                true => keras::weights(self),
                #[cfg(not(feature = "keras"))]
                true => Err(without_keras(&path.display().to_string())),
            };
            files::replace(path, &bytes?)
        })
    }

    /// Sets all weights from a file, as [`weights_from_bytes`](Self::weights_from_bytes) does.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let made = || Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let (mut trained, mut fresh) = (made(), made());
    /// # let path = std::env::temp_dir().join(format!("wgtensor-load-{}.safetensors", std::process::id()));
    /// trained.save_weights(&path)?;
    /// fresh.load_weights(&path)?;
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`weights_from_bytes`](Self::weights_from_bytes), or the file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn load_weights(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        entry(|| {
            let path = path.as_ref();
            let bytes = files::read(path)?;
            files::in_file(path, self.weights_from_bytes(&bytes))
        })
    }
}

#[cfg(not(feature = "keras"))]
pub(crate) fn without_keras(received: &str) -> Error {
    Error::parts(
        Kind::Unsupported,
        "Files of Keras's are read and written with the feature `keras`",
        received,
        "a safetensors file",
        "Enable the feature: `cargo add wgtensor --features keras`",
    )
}

#[cfg(all(test, feature = "cpu"))]
mod tests;
