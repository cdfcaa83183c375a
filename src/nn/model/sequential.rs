//! The model itself: its layers, how it is built and called.

use super::compile::Compiled;
use crate::error::{Error, Kind, Result};
use crate::nn::layers::{Added, BuildCtx, CallCtx, IntoLayer, Layer};
use crate::nn::names;
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
            seeds: None,
            device: None,
            compiled: None,
            stop_training: false,
        }
    }

    /// Adds a layer at the end; an [`Input`](crate::nn::Input) tells the shape of the samples instead, and an
    /// [`Activation`](crate::nn::Activation) is made a layer.
    #[expect(clippy::should_implement_trait, reason = "Keras's name; nothing is summed")]
    pub fn add(mut self, layer: impl IntoLayer) -> Self {
        match layer.into_layer() {
            Added::Input(shape) => self.input = Some(shape),
            Added::Layer(layer) => {
                let name = layer.name().map_or_else(|| names::auto(layer.class_name()), str::to_owned);
                self.layers.push(Entry { layer, name, output: None, frozen: None });
            }
        }
        // A model that has grown is built again when it is next used.
        self.device = None;
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

    /// Whether the weights exist.
    pub fn is_built(&self) -> bool {
        self.device.is_some()
    }

    /// Where the weights are, once they exist.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Makes the weights for samples of this shape (without the batch dimension), on the CPU until data on another
    /// device comes.
    ///
    /// # Errors
    /// A shape that a layer cannot take.
    pub fn build(&mut self, sample: impl AsRef<[usize]>) -> Result<()> {
        self.input = Some(Shape::new(sample.as_ref()));
        self.build_on(&Device::cpu())
    }

    /// Makes the weights on a device; the input shape must be known.
    pub(super) fn build_on(&mut self, device: &Device) -> Result<()> {
        let mut shape = match &self.input {
            Some(shape) => shape.clone()?,
            None => return Err(self.not_built("build")),
        };
        // One stream for all builds of this model: built again elsewhere, it starts from the same weights.
        let seeds = self.seeds.get_or_insert_with(|| SeedStream::new(seeds::next_global())).clone();
        for (index, entry) in self.layers.iter_mut().enumerate() {
            let mut seeds = seeds.child(index as u64);
            entry.layer.build(&shape, &mut BuildCtx::new(device, &entry.name, &mut seeds))?;
            shape = entry.layer.output_shape(&shape)?;
            entry.output = Some(shape);
            if entry.frozen.take().is_some() {
                entry.freeze();
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
        if self.device.as_ref() == Some(x.device()) {
            return Ok(());
        }
        if self.is_built() {
            return self.to_device(x.device());
        }
        if self.input.is_none() {
            let sample = x.dims().get(1..).unwrap_or_default();
            self.input = Some(Shape::new(sample));
        }
        self.build_on(x.device())
    }

    /// The model applied to a batch.
    ///
    /// # Errors
    /// A batch of the wrong shape.
    pub fn call(&mut self, x: &Tensor, training: bool) -> Result<Tensor> {
        self.ready_for(x)?;
        let ctx = if training { CallCtx::training(seeds::next_global()) } else { CallCtx::inference() };
        self.forward(x, ctx)
    }

    pub(super) fn forward(&self, x: &Tensor, mut ctx: CallCtx) -> Result<Tensor> {
        let mut y = x.clone();
        for entry in &self.layers {
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
    pub fn count_params(&mut self) -> Result<usize> {
        if !self.is_built() {
            if self.input.is_none() {
                return Err(self.not_built("count_params"));
            }
            self.build_on(&Device::cpu())?;
        }
        Ok(self.weights().iter().map(|var| var.shape().numel()).sum())
    }

    /// Freezes a layer (`false`) or lets it train again (`true`).
    ///
    /// # Errors
    /// There is no layer of this name.
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

impl Entry {
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
