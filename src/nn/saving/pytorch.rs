//! Weights under the names and in the layouts of PyTorch's modules, in safetensors files.

use std::collections::BTreeMap;

use super::safetensors::{Entry, found, parse, render};
use super::values::{floats, written};
use crate::error::{Error, Kind, Result, entry};
#[cfg(not(target_arch = "wasm32"))]
use crate::files;
use crate::nn::model::Model;
use crate::{Tensor, Var};

/// A weight's name in a layer, its name in a module, and for ranks with another order of dimensions there, which of ours each
/// of theirs is.
const NAMES: [(&str, &str, &[&[usize]]); 7] = [
    // From `(in, out)` to `(out, in)`, and from `(height, width, in, out)` to `(out, in, height, width)`.
    ("kernel", "weight", &[&[1, 0], &[3, 2, 0, 1]]),
    ("bias", "bias", &[]),
    ("gamma", "weight", &[]),
    ("beta", "bias", &[]),
    ("moving_mean", "running_mean", &[]),
    ("moving_variance", "running_var", &[]),
    ("embeddings", "weight", &[]),
];

/// A weight with its name in a file, and the order of its dimensions there.
struct Renamed {
    var: Var,
    name: String,
    order: Vec<usize>,
}

impl Model {
    /// Sets the weights of some layers from the bytes of a safetensors file with PyTorch's names and layouts, as
    /// `safetensors.torch.save_file(model.state_dict(), ...)` writes it. `modules` says which module each layer is:
    /// `[("dense", "classifier.0"), ...]`; other layers, and other tensors of the file, are left alone. Floats of 16 and 64 bits
    /// become those of the weight.
    ///
    /// `Linear` and `Conv2d` (kernels are transposed), `BatchNorm`, `LayerNorm` and `Embedding` fit the layers here. What no
    /// weight says must be set by hand: PyTorch's `eps` of 1e-5 (`BatchNormalization::new().epsilon(1e-5)`), its symmetric padding
    /// of convolutions with strides, and the order of the numbers that its `Flatten` makes of images, channels first.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    ///
    /// let model = |name| Sequential::named("m").add(Input::new([4])).add(Dense::new(3).name(name));
    /// let (mut from, mut to) = (model("dense"), model("top"));
    /// let bytes = from.pytorch_weights_to_bytes([("dense", "classifier.0")])?;
    /// to.pytorch_weights_from_bytes(&bytes, [("top", "classifier.0")])?;
    /// assert_eq!(to.get_weights()?[0].to_vec::<f32>()?, from.get_weights()?[0].to_vec::<f32>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Bytes that are no such file, a layer that the model does not have, or one that does not fit its module; nothing is set
    /// then.
    #[track_caller]
    pub fn pytorch_weights_from_bytes<'a>(
        &mut self,
        bytes: &[u8],
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        entry(|| {
            let modules: Vec<(&str, &str)> = modules.into_iter().collect();
            let renamed = self.renamed("pytorch_weights_from_bytes", modules.iter().copied())?;
            let entries = parse(bytes)?;
            let values = renamed.iter().map(|weight| weight.read(&entries)).collect::<Result<Vec<Tensor>>>()?;
            for (layer, module) in modules {
                let theirs = NAMES.map(|(_, name, _)| named(module, name));
                let left =
                    theirs.iter().find(|name| entries.contains_key(*name) && !renamed.iter().any(|r| r.name == **name));
                if let Some(left) = left {
                    return Err(refuse(
                        "A module has a weight that the layer lacks",
                        &format!("`{left}`"),
                        &format!("only what layer '{layer}' has"),
                    ));
                }
            }
            renamed.iter().zip(values).try_for_each(|(weight, value)| weight.var.assign(&value))?;
            self.device().map_or(Ok(()), |device| device.flush())
        })
    }

    /// The weights of some layers as the bytes of a safetensors file that PyTorch's `load_state_dict` takes: the opposite of
    /// [`pytorch_weights_from_bytes`](Self::pytorch_weights_from_bytes).
    ///
    /// # Errors
    /// A layer that the model does not have, or one that no module of PyTorch's is like; those of the device.
    #[track_caller]
    pub fn pytorch_weights_to_bytes<'a>(
        &mut self,
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<u8>> {
        entry(|| {
            let renamed = self.renamed("pytorch_weights_to_bytes", modules)?;
            let value = |weight: &Renamed| {
                let value = weight.var.value().detach().transpose(&weight.order[..])?.cast(crate::DType::F32)?;
                Ok((value.shape().to_vec(), written(&value)?))
            };
            let values = renamed.iter().map(value).collect::<Result<Vec<_>>>()?;
            render(renamed.iter().zip(&values).map(|(weight, (shape, data))| {
                Ok((weight.name.clone(), Entry { dtype: "F32", shape: shape.clone(), data }))
            }))
        })
    }

    /// [`pytorch_weights_from_bytes`](Self::pytorch_weights_from_bytes) of a file.
    ///
    /// # Errors
    /// Those of that method, or the file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn load_pytorch_weights<'a>(
        &mut self,
        path: impl AsRef<std::path::Path>,
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        entry(|| {
            let path = path.as_ref();
            let bytes = files::read(path)?;
            files::in_file(path, self.pytorch_weights_from_bytes(&bytes, modules))
        })
    }

    /// [`pytorch_weights_to_bytes`](Self::pytorch_weights_to_bytes) into a file, which is replaced once the new one is whole.
    ///
    /// # Errors
    /// Those of that method, or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn save_pytorch_weights<'a>(
        &mut self,
        path: impl AsRef<std::path::Path>,
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        entry(|| {
            let bytes = self.pytorch_weights_to_bytes(modules)?;
            files::replace(path.as_ref(), &bytes)
        })
    }

    /// The weights of these layers with their names in the file.
    fn renamed<'a>(&mut self, of: &str, modules: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<Renamed>> {
        self.build_known(of)?;
        let mut renamed: Vec<Renamed> = Vec::new();
        for (layer, module) in modules {
            for var in self.layer_named(layer)?.weights() {
                let own = var.name().rsplit('/').next().unwrap_or_default();
                let Some((_, name, orders)) = NAMES.iter().find(|(known, ..)| *known == own) else {
                    return Err(Error::parts(
                        Kind::Unsupported,
                        "A weight has no name in PyTorch",
                        &format!("`{}`", var.name()),
                        &format!("one of: {}", NAMES.map(|(known, ..)| known).join(", ")),
                        "Leave the layer out",
                    ));
                };
                let rank = var.shape().rank();
                let order = orders.iter().find(|order| order.len() == rank);
                let order = order.map_or_else(|| (0..rank).collect(), |order| order.to_vec());
                let name = named(module, name);
                if renamed.iter().any(|other| other.name == name) {
                    return Err(Error::parts(
                        Kind::Argument,
                        "Two weights have one name in PyTorch",
                        &format!("`{name}` twice"),
                        "a module of its own for each layer, and no model within the model",
                        "Name each layer once; of a model within the model, call this method on that model",
                    ));
                }
                renamed.push(Renamed { var, name, order });
            }
        }
        Ok(renamed)
    }
}

/// The name of a module's weight.
fn named(module: &str, weight: &str) -> String {
    if module.is_empty() { weight.to_owned() } else { format!("{module}.{weight}") }
}

/// A file that does not fit the layers.
fn refuse(happened: &str, received: &str, expected: &str) -> Error {
    Error::parts(Kind::Argument, happened, received, expected, "Check which module the layer is, and its settings")
}

impl Renamed {
    /// The weight's value in a file.
    fn read(&self, entries: &BTreeMap<String, Entry<'_>>) -> Result<Tensor> {
        let found = found(entries, &self.name, refuse)?;
        let theirs: Vec<usize> = self.order.iter().map(|&axis| self.var.shape()[axis]).collect();
        let values = match floats(found) {
            Some(values) if found.shape == theirs => values,
            _ => {
                let received = format!("{} {:?} for `{}`", found.dtype, found.shape, self.name);
                let expected = format!("floats of shape {theirs:?} for `{}`", self.var.name());
                return Err(refuse("A weight in a file is of another kind", &received, &expected));
            }
        };
        // Where each of ours is among theirs.
        let mut back = vec![0; theirs.len()];
        self.order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
        let value = Tensor::from_slice(&values, &theirs[..], self.var.device())?;
        value.transpose(&back[..])?.cast(self.var.dtype())
    }
}
