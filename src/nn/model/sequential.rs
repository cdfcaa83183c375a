//! The model itself: its layers, how it is built and called.

use super::batches::single;
use super::compile::Compiled;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::layers::{Added, BuildCtx, CallCtx, IntoLayer, Layer};
use crate::nn::names::{self, with_batch};
use crate::nn::seeds::{self, SeedStream};
use crate::shape::Shape;
use crate::{Device, Tensor, Var};

/// Layers in a row.
///
/// It is built (its weights are made) when it first sees data, on the device of the data, or earlier where an
/// [`Input`](crate::nn::Input) tells the shape. Data on another device moves the weights there.
///
/// ```
/// # use wgtensor::nn::*;
/// let mut model = Sequential::new()
///     .add(Input::new([8, 8, 1]))
///     .add(Conv2D::new(32, 3).activation(Relu))
///     .add(MaxPooling2D::new(2))
///     .add(Flatten::new())
///     .add(Dense::new(10).activation(Softmax));
/// model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
/// assert_eq!(model.count_params()?, 320 + 2890);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Sequential {
    pub(super) name: String,
    pub(super) layers: Vec<Entry>,
    pub(super) input: Option<Result<Shape>>,
    /// What was wrong with something added, told when the model is compiled or built.
    pub(super) misfit: Option<Error>,
    pub(super) seeds: Option<SeedStream>,
    pub(super) device: Option<Device>,
    pub(super) compiled: Option<Compiled>,
    /// Set by a callback to end training after the epoch.
    pub stop_training: bool,
}

/// A layer in its model.
pub(super) struct Entry {
    pub(super) layer: Box<dyn Layer>,
    pub(super) name: String,
    /// The shape of one output sample, once the layer is built.
    pub(super) output: Option<Shape>,
    /// The weights that freezing made untrainable; `None` where the layer is not frozen.
    pub(super) frozen: Option<Vec<u64>>,
}

impl Default for Sequential {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequential {
    /// A model without layers.
    pub fn new() -> Self {
        Self::named(names::auto("Sequential"))
    }

    /// A model of this name, without layers.
    pub fn named(name: impl Into<String>) -> Self {
        Sequential {
            name: name.into(),
            layers: Vec::new(),
            input: None,
            misfit: None,
            seeds: None,
            device: None,
            compiled: None,
            stop_training: false,
        }
    }

    /// Adds a layer at the end; an [`Input`](crate::nn::Input), first of all, tells the shape of the samples instead,
    /// and an [`Activation`](crate::nn::Activation) is made a layer.
    ///
    /// What the model has learnt stays: the new layer alone gets its weights when the model is next used. A name that
    /// another layer has, or an `Input` that is not the first, is an error when the model is compiled or built.
    #[expect(clippy::should_implement_trait, reason = "Keras's name; nothing is summed")]
    #[track_caller]
    pub fn add(mut self, layer: impl IntoLayer) -> Self {
        match layer.into_layer() {
            Added::Input(shape) if self.layers.is_empty() && self.input.is_none() => self.input = Some(shape),
            Added::Input(_) => {
                self.misfit.get_or_insert(Error::parts(
                    Kind::Argument,
                    "An `Input` was added to a model that has layers or an input already",
                    &format!("an `Input` after {} layers", self.layers.len()),
                    "one `Input`, before all layers",
                    "Add the `Input` first, or leave it out",
                ));
            }
            Added::Layer(layer) => {
                let taken = |name: &String| self.layers.iter().any(|entry| entry.name == *name);
                let name = match layer.name() {
                    Some(name) => name.to_owned(),
                    None => loop {
                        let name = names::auto(layer.class_name());
                        if !taken(&name) {
                            break name;
                        }
                    },
                };
                if taken(&name) {
                    self.misfit.get_or_insert(Error::parts(
                        Kind::Argument,
                        "All layers added to a Sequential model should have unique names",
                        &format!("a second layer named '{name}'"),
                        "a name of its own for each layer",
                        "Update the `name` of one of them",
                    ));
                }
                self.layers.push(Entry { layer, name, output: None, frozen: None });
            }
        }
        self
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layers, in order, with their names.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|entry| (entry.name.as_str(), entry.layer.as_ref()))
    }

    /// The layer of this name.
    pub fn get_layer(&self, name: &str) -> Option<&dyn Layer> {
        self.layers.iter().find(|entry| entry.name == name).map(|entry| entry.layer.as_ref())
    }

    /// The shape of one input sample, once known.
    pub fn input_shape(&self) -> Option<Shape> {
        self.input.as_ref()?.as_ref().ok().copied()
    }

    /// The shape of one output sample, once the model is built.
    pub fn output_shape(&self) -> Option<Shape> {
        self.layers.last().map_or(self.input_shape(), |entry| entry.output)
    }

    /// Whether the weights of all layers exist.
    pub fn is_built(&self) -> bool {
        self.device.is_some() && self.misfit.is_none() && self.layers.iter().all(|entry| entry.output.is_some())
    }

    /// Where the weights are, once they exist.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Makes the weights for samples of this shape (without the batch dimension), on the CPU until data on another
    /// device comes. Layers that have weights keep them.
    ///
    /// # Errors
    /// A shape that a layer cannot take, or another one than the model was made for.
    #[track_caller]
    pub fn build(&mut self, sample: impl AsRef<[usize]>) -> Result<()> {
        entry(|| {
            let sample = Shape::new(sample.as_ref())?;
            match self.input_shape() {
                Some(known) if known != sample => Err(Error::parts(
                    Kind::Shape,
                    &format!("Sequential model '{}' has already been configured to use another input shape", self.name),
                    &format!("samples of shape {}", with_batch(&sample)),
                    &format!("samples of shape {}", with_batch(&known)),
                    "Build it with that shape, or make a new model",
                )),
                _ => self.build_for(sample, &self.device.clone().unwrap_or_else(Device::cpu)),
            }
        })
    }

    /// Builds for samples of this shape where none was known. A shape that does not fit is not kept.
    fn build_for(&mut self, sample: Shape, device: &Device) -> Result<()> {
        let known = self.input.is_some();
        self.input.get_or_insert(Ok(sample));
        let built = self.build_on(device);
        if built.is_err() && !known {
            self.input = None;
        }
        built
    }

    /// Builds a model that knows its input, where `method` needs the weights.
    pub(super) fn build_known(&mut self, method: &str) -> Result<()> {
        match self.input {
            _ if self.is_built() => Ok(()),
            None => Err(self.not_built(method)),
            Some(_) => self.build_on(&self.device.clone().unwrap_or_else(Device::cpu)),
        }
    }

    /// Makes the weights of the layers that have none, on a device; the input shape must be known. On an error no layer
    /// is built that was not.
    pub(super) fn build_on(&mut self, device: &Device) -> Result<()> {
        self.misfit.clone().map_or(Ok(()), Err)?;
        let mut shape = match &self.input {
            Some(shape) => shape.clone()?,
            None => return Err(self.not_built("build")),
        };
        // One stream for all builds of this model: built again elsewhere, it starts from the same weights.
        let seeds = self.seeds.get_or_insert_with(|| SeedStream::new(seeds::next_global())).clone();
        let done = self.layers.iter().take_while(|entry| entry.output.is_some()).count();
        if let Some(output) = self.layers[..done].last().and_then(|entry| entry.output) {
            shape = output;
        }
        for index in done..self.layers.len() {
            match self.layers[index].build(&shape, device, seeds.child(index as u64)) {
                Ok(output) => shape = output,
                Err(error) => {
                    self.layers[done..].iter_mut().for_each(|entry| entry.output = None);
                    return Err(error);
                }
            }
        }
        self.device = Some(device.clone());
        if let Some(compiled) = &mut self.compiled {
            compiled.forget();
        }
        Ok(())
    }

    /// Builds the model for this batch, or moves it to the batch's device, where needed.
    pub(super) fn ready_for(&mut self, x: &Tensor) -> Result<()> {
        if let Some(sample) = self.input_shape() {
            fits_input(&self.name, &sample, x)?;
        }
        match &self.device {
            Some(device) if device != x.device() => self.to_device(x.device()),
            _ if self.is_built() => Ok(()),
            _ => self.build_for(Shape::new(x.dims().get(1..).unwrap_or_default())?, x.device()),
        }
    }

    /// The model applied to a batch.
    ///
    /// # Errors
    /// A batch of the wrong shape.
    #[track_caller]
    pub fn call(&mut self, x: &Tensor, training: bool) -> Result<Tensor> {
        entry(|| {
            self.ready_for(x)?;
            let ctx = if training { CallCtx::training(seeds::next_global()) } else { CallCtx::inference() };
            self.forward(&single(x)?, ctx)
        })
    }

    pub(super) fn forward(&self, x: &Tensor, mut ctx: CallCtx) -> Result<Tensor> {
        let mut y = x.clone();
        for entry in &self.layers {
            if !y.dtype().is_float() && !entry.layer.keeps_integers() {
                y = y.cast(DType::F32)?;
            }
            ctx.set_frozen(entry.frozen.is_some());
            y = entry.layer.call(&y, &ctx)?;
        }
        Ok(y)
    }

    /// All weights, layer by layer.
    pub fn weights(&self) -> Vec<Var> {
        self.layers.iter().flat_map(|entry| entry.layer.weights()).collect()
    }

    /// The weights that training moves.
    pub fn trainable_weights(&self) -> Vec<Var> {
        self.weights().into_iter().filter(Var::is_trainable).collect()
    }

    /// How many numbers the weights have.
    ///
    /// # Errors
    /// The model is not built and does not know its input.
    #[track_caller]
    pub fn count_params(&mut self) -> Result<usize> {
        entry(|| {
            self.build_known("count_params")?;
            Ok(self.weights().iter().map(|var| var.shape().numel()).sum())
        })
    }

    /// Freezes a layer (`false`) or lets it train again (`true`).
    ///
    /// # Errors
    /// There is no layer of this name.
    #[track_caller]
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        let names: Vec<&str> = self.layers.iter().map(|entry| entry.name.as_str()).collect();
        let known = names.join(", ");
        let Some(entry) = self.layers.iter_mut().find(|entry| entry.name == layer) else {
            return Err(Error::parts(
                Kind::Argument,
                &format!("No such layer: {layer}"),
                &format!("\"{layer}\""),
                &format!("one of: {known}"),
                "Use a name that `summary()` shows",
            ));
        };
        match trainable {
            true => entry.thaw(),
            false => entry.freeze(),
        }
        Ok(())
    }

    pub(super) fn not_built(&self, method: &str) -> Error {
        Error::parts(
            Kind::State,
            &format!(
                "You tried to call `{method}` on layer '{}', but the layer isn't built. \
                 You can build it manually via: `layer.build(input_shape)`",
                self.name
            ),
            "a model that has seen no data and has no `Input`",
            "a built model",
            "Add an `Input` first, call `build`, or fit the model",
        )
    }
}

/// Refuses a batch that is not one of samples of this shape, in Keras's words.
fn fits_input(model: &str, sample: &Shape, x: &Tensor) -> Result<()> {
    if x.rank() > 0 && x.dims()[1..] == *sample.dims() {
        return Ok(());
    }
    let expected = with_batch(sample);
    let happened = match x.rank() == sample.rank() + 1 {
        true => format!(
            "Input 0 of model '{model}' is incompatible with the model: expected shape={expected}, found shape={}",
            x.shape()
        ),
        false => format!(
            "Invalid input shape for the input of model '{model}': expected shape {expected}, but the input has the \
             incompatible shape {}",
            x.shape()
        ),
    };
    Err(Error::parts(
        Kind::Shape,
        &happened,
        &format!("x of shape {}", x.shape()),
        &format!("shape {expected}: the batch first, then one sample"),
        "Reshape the data, with a first dimension of 1 for a single sample, or make the model for this shape",
    ))
}

impl Entry {
    /// Makes the weights for samples of this shape, and gives that of its output.
    fn build(&mut self, sample: &Shape, device: &Device, mut seeds: SeedStream) -> Result<Shape> {
        self.layer.build(sample, &mut BuildCtx::new(device, &self.name, &mut seeds))?;
        let output = self.layer.output_shape(sample)?;
        self.output = Some(output);
        if self.frozen.take().is_some() {
            self.freeze();
        }
        Ok(output)
    }

    fn freeze(&mut self) {
        if self.frozen.is_none() {
            let vars = self.layer.weights().into_iter().filter(Var::is_trainable);
            self.frozen = Some(vars.inspect(|var| var.set_trainable(false)).map(|var| var.id()).collect());
        }
    }

    fn thaw(&mut self) {
        if let Some(ids) = self.frozen.take() {
            self.layer.weights().iter().filter(|var| ids.contains(&var.id())).for_each(|var| var.set_trainable(true));
        }
    }
}
