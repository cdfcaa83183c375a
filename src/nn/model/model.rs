//! The model itself: how it is made, built and called.

use std::sync::OnceLock;

use super::arrays::Arrays;
use super::batches::{Data, find_range, single};
use super::compile::Compiled;
use super::entry::{Masked, SharedLayer};
use super::graph::{Graph, Source, Value};
use super::nested::Nested;
use super::node::{IntoLayer, Node, Nodes};
use crate::data::Parts;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::history::Position;
use crate::nn::layers::CallCtx;
use crate::nn::names::{self, with_batch};
use crate::nn::policy::{IntoPolicy, Policy, dtype_policy};
use crate::nn::seeds::{self, SeedStream};
use crate::shape::Shape;
use crate::{Device, Tensor, Var};

/// Layers, how they are connected, and what training needs: Keras's `Model`.
///
/// Made of the nodes that it starts and ends with, it may have several inputs and outputs, layers that are called in
/// several places and other models as layers. [`Sequential`](crate::nn::Sequential) makes one of layers in a row.
///
/// It is built (its weights are made) on the CPU, or on the device of the first data that it sees. Data on another device
/// moves the weights there. A model made of a part of another one has the same layers: what the one learns the other knows.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let x = Input::new([8]).node();
/// let code = Dense::new(2).activation(Relu).name("code").on(&x)?;
/// let y = Dense::new(8).on(&code)?;
/// let mut autoencoder = Model::new(&x, &y)?;
/// let mut encoder = Model::new(&x, &code)?;
/// autoencoder.compile("adam", "mse", ())?;
/// assert_eq!((autoencoder.count_params()?, encoder.count_params()?), (18 + 24, 18));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Model {
    pub(super) name: String,
    pub(super) graph: Graph,
    /// What was wrong with something added, told when the model is compiled or built.
    pub(super) misfit: Option<Error>,
    pub(super) seeds: Option<SeedStream>,
    pub(super) compiled: Option<Compiled>,
    pub(super) policy: Policy,
    /// The model as a layer of others: one, wherever it is called.
    layer: OnceLock<SharedLayer>,
    /// Set by a callback to end training: after the step in hand, where it is set between steps, and its epoch.
    pub stop_training: bool,
    /// Where `fit` stands, or stood last: set before each hook of training. A callback that sets it in `on_train_begin` has
    /// training go on there: see [`Position`].
    pub position: Option<Position>,
    pub(super) interrupted: bool,
}

impl Model {
    /// The model that leads from some nodes to others.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let x = Input::new([8]).node();
    /// let h = Dense::new(8).activation(Relu).on(&x)?;
    /// let model = Model::new(&x, [Dense::new(1).on(&h)?, Dense::new(2).on(&add([&x, &h])?)?])?;
    /// assert_eq!(model.output_names().len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// No nodes, outputs that depend on something beside the inputs, or two layers of one name.
    #[track_caller]
    pub fn new(inputs: impl Into<Nodes>, outputs: impl Into<Nodes>) -> Result<Self> {
        entry(|| Self::between(None, inputs.into(), outputs.into()))
    }

    /// [`new`](Self::new), with a name for the model.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let x = Input::new([8]).node();
    /// let y = Dense::new(1).on(&x)?;
    /// assert_eq!(Model::named("critic", &x, &y)?.name(), "critic");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `new`.
    #[track_caller]
    pub fn named(name: impl Into<String>, inputs: impl Into<Nodes>, outputs: impl Into<Nodes>) -> Result<Self> {
        entry(|| Self::between(Some(name.into()), inputs.into(), outputs.into()))
    }

    fn between(name: Option<String>, inputs: Nodes, outputs: Nodes) -> Result<Self> {
        let graph = Graph::between(&inputs.0, &outputs.0)?;
        Ok(Self::of(name.unwrap_or_else(|| names::auto("Functional")), graph))
    }

    pub(super) fn of(name: String, graph: Graph) -> Self {
        let layer = OnceLock::new();
        let policy = dtype_policy();
        Model {
            name,
            graph,
            misfit: None,
            seeds: None,
            compiled: None,
            policy,
            layer,
            stop_training: false,
            position: None,
            interrupted: false,
        }
    }

    /// The graph, to add to. The model as a layer is made anew.
    pub(super) fn graph_mut(&mut self) -> &mut Graph {
        self.layer = OnceLock::new();
        &mut self.graph
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layers, in Keras's order: from the inputs to the outputs.
    pub fn layers(&self) -> impl Iterator<Item = SharedLayer> {
        self.graph.entries.iter().map(|entry| SharedLayer(entry.clone()))
    }

    /// The layer of this name.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// assert_eq!(model.get_layer("top").unwrap().class_name(), "Dense");
    /// # let _ = model.count_params()?;
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn get_layer(&self, name: &str) -> Option<SharedLayer> {
        self.layers().find(|layer| layer.name() == name)
    }

    /// The nodes that the model starts with, to make another one that has its layers.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let mut twice = Model::new(model.inputs()?, model.outputs()?)?; // the same layers
    /// assert_eq!(twice.count_params()?, model.count_params()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A [`Sequential`](crate::nn::Sequential) that does not know the shape of its input yet.
    #[track_caller]
    pub fn inputs(&mut self) -> Result<Vec<Node>> {
        entry(|| {
            self.graph.make_nodes()?;
            Ok(self.graph.nodes.0.clone())
        })
    }

    /// The nodes that the model ends with.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let deeper = Dense::new(1).on(&model.outputs()?[0])?;
    /// let mut model = Model::new(model.inputs()?, &deeper)?;
    /// assert_eq!(model.count_params()?, 15 + 4);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`inputs`](Self::inputs).
    #[track_caller]
    pub fn outputs(&mut self) -> Result<Vec<Node>> {
        entry(|| {
            self.graph.make_nodes()?;
            let (inputs, calls) = &self.graph.nodes;
            let node = |value: &Value| match *value {
                Value::Input(i) => Ok(inputs[i].clone()),
                Value::Output(call, k) => calls[call].sibling(k).ok_or_else(|| Error::internal("an output is missing")),
            };
            self.graph.outputs.iter().map(node).collect()
        })
    }

    /// The (first) output of a layer, or of its last call where it is called several times: a place to cut the model.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut trained = Sequential::new().add(Input::new([8])).add(Dense::new(2).name("code")).add(Dense::new(8));
    /// let mut encoder = Model::new(trained.inputs()?, trained.output_of("code")?)?;
    /// assert_eq!(encoder.count_params()?, 8 * 2 + 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no layer of this name, or those of [`inputs`](Self::inputs).
    #[track_caller]
    pub fn output_of(&mut self, layer: &str) -> Result<Node> {
        entry(|| {
            self.graph.make_nodes()?;
            let entry = self.entry_of(layer)?;
            let call = self.graph.calls.iter().rposition(|call| call.entry == entry);
            call.map(|call| self.graph.nodes.1[call].clone()).ok_or_else(|| Error::internal("a layer without calls"))
        })
    }

    /// [`get_layer`](Self::get_layer), or an error that says which ones there are.
    pub(in crate::nn) fn layer_named(&self, layer: &str) -> Result<SharedLayer> {
        Ok(SharedLayer(self.graph.entries[self.entry_of(layer)?].clone()))
    }

    fn entry_of(&self, layer: &str) -> Result<usize> {
        self.graph.entries.iter().position(|entry| entry.name == layer).ok_or_else(|| {
            let names: Vec<&str> = self.graph.entries.iter().map(|entry| entry.name.as_str()).collect();
            Error::parts(
                Kind::Argument,
                &format!("No such layer: {layer}"),
                &format!("\"{layer}\""),
                &format!("one of: {}", names.join(", ")),
                "Use a name that `summary()` shows",
            )
        })
    }

    /// Whether the last `fit` was ended by [`interrupt`](crate::nn::interrupt()), say by Ctrl-C.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The names of the inputs, in order.
    pub fn input_names(&self) -> Vec<String> {
        self.graph.inputs.iter().map(|input| input.name.clone()).collect()
    }

    /// The names of the outputs, in order: those of the layers that they come from.
    pub fn output_names(&self) -> Vec<String> {
        self.graph.output_names()
    }

    /// The shape of one sample of the first input, once known.
    pub fn input_shape(&self) -> Option<Shape> {
        self.graph.inputs[0].shape
    }

    /// The shape of one sample of the first output, once known.
    pub fn output_shape(&self) -> Option<Shape> {
        self.graph.shape(self.graph.outputs[0])
    }

    /// Whether the weights of all layers exist.
    pub fn is_built(&self) -> bool {
        self.misfit.is_none() && self.graph.is_built()
    }

    /// Where the weights are, once there are any.
    pub fn device(&self) -> Option<Device> {
        self.graph.device()
    }

    /// Makes the weights for samples of this shape (without the batch dimension) of a model of one input, on the CPU until
    /// data on another device comes. Layers that have weights keep them.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Dense::new(3));
    /// model.build([4])?;
    /// assert_eq!(model.weights().len(), 2); // kernel and bias
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
                    &format!("Model '{}' has already been configured to use another input shape", self.name),
                    &format!("samples of shape {}", with_batch(&sample)),
                    &format!("samples of shape {}", with_batch(&known)),
                    "Build it with that shape, or make a new model",
                )),
                _ => {
                    self.build_for(&[sample], &self.device().map_or_else(Device::preset, Ok)?)?;
                    self.graph.inputs[0].exact = true;
                    Ok(())
                }
            }
        })
    }

    /// Builds for samples of these shapes where none were known. Shapes that do not fit are not kept.
    fn build_for(&mut self, samples: &[Shape], device: &Device) -> Result<()> {
        let known = self.graph.inputs.clone();
        for (input, sample) in self.graph.inputs.iter_mut().zip(samples) {
            input.shape.get_or_insert(*sample);
        }
        let built = self.build_on(device);
        if built.is_err() {
            self.graph.inputs = known;
        }
        built
    }

    /// Builds a model that knows its input, where `method` needs the weights.
    pub(in crate::nn) fn build_known(&mut self, method: &str) -> Result<()> {
        match self.is_built() {
            true => Ok(()),
            false if self.graph.inputs.iter().any(|input| input.shape.is_none()) && self.misfit.is_none() => {
                Err(self.not_built(method))
            }
            false => self.build_on(&self.device().map_or_else(Device::preset, Ok)?),
        }
    }

    /// Makes the weights of the layers that have none, on a device, and moves the others there; the shapes of the inputs
    /// must be known. On an error no layer is built that was not.
    pub(super) fn build_on(&mut self, device: &Device) -> Result<()> {
        self.misfit.clone().map_or(Ok(()), Err)?;
        // One stream for all builds of this model: built again elsewhere, it starts from the same weights.
        let seeds = self.seeds.get_or_insert_with(|| SeedStream::new(seeds::next_global())).clone();
        let (old, new): (Vec<Var>, Vec<Var>) = self.graph.build_on(device, &seeds)?.into_iter().unzip();
        match &mut self.compiled {
            Some(compiled) if !old.is_empty() => {
                compiled.forget();
                compiled.optimizer.transfer(&old, &new)?;
                device.flush()
            }
            _ if old.is_empty() => Ok(()),
            _ => device.flush(),
        }
    }

    /// Builds the model for such a batch, or moves it to the batch's device, where needed.
    pub(super) fn ready_for(&mut self, x: &[Tensor]) -> Result<()> {
        let device = x[0].device();
        match self.is_built() {
            true if self.graph.is_on(device) => Ok(()),
            true => self.build_on(device),
            false => {
                let samples = x.iter().map(|x| Shape::new(x.dims().get(1..).unwrap_or_default()));
                self.build_for(&samples.collect::<Result<Vec<_>>>()?, device)
            }
        }
    }

    /// The arrays of a call, fitted to the model's inputs and outputs.
    pub(super) fn data(&self, x: Arrays, y: Arrays, weight: Arrays) -> Result<Data> {
        let x = x.inputs()?.every("x", &self.input_names())?;
        let y = self.for_outputs("y", y.tensors("y")?)?;
        let weight = self.for_outputs("sample_weight", weight.tensors("sample_weight")?)?;
        self.checked(x, y, weight)
    }

    /// One array for each output, where there is one.
    pub(super) fn for_outputs<T: Clone>(&self, what: &str, parts: Option<Parts<T>>) -> Result<Vec<Option<T>>> {
        let names = self.output_names();
        parts.map_or_else(|| Ok(vec![None; names.len()]), |parts| parts.by_name(what, &names, what == "sample_weight"))
    }

    /// The arrays of each input and output, fitted to the model.
    pub(super) fn checked(&self, x: Vec<Tensor>, y: Vec<Option<Tensor>>, weight: Vec<Option<Tensor>>) -> Result<Data> {
        let data = Data::new(self.fitted(x)?, y, weight)?;
        for (source, x) in self.graph.inputs.iter().zip(&data.x) {
            self.fits(source, x)?;
        }
        Ok(data)
    }

    /// The data of each input, in its type, and with the dimension of 1 that Keras adds or takes away.
    fn fitted(&self, x: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let fit = |(source, x): (&Source, Tensor)| {
            let x = match source.dtype {
                Some(dtype) => x.cast(dtype)?.bounded(x.bounds()),
                None => single(&x)?,
            };
            match source.shape.as_deref() {
                Some(sample) if x.rank() == sample.len() && sample.last() == Some(&1) => x.expand_dims(-1),
                Some(sample) if x.rank() == sample.len() + 2 && x.dims().last() == Some(&1) => x.squeeze(-1),
                _ => Ok(x),
            }
        };
        self.graph.inputs.iter().zip(x).map(fit).collect()
    }

    /// Refuses a batch that is not one of samples of this shape, in Keras's words. Where the shape is only that of the first
    /// data, other extents are left to the layers to judge.
    pub(super) fn fits(&self, source: &Source, x: &Tensor) -> Result<()> {
        let Some(sample) = source.shape else { return Ok(()) };
        let ranks = x.rank() == sample.rank() + 1;
        if ranks && (!source.exact || x.dims()[1..] == *sample.dims()) {
            return Ok(());
        }
        let (model, expected) = (&self.name, with_batch(&sample));
        let happened = match ranks {
            true => format!(
                "Input '{}' of model '{model}' is incompatible with the model: expected shape={expected}, found shape={}",
                source.name,
                x.shape()
            ),
            false => format!(
                "Invalid input shape for input '{}' of model '{model}': expected shape {expected}, but the input has the \
                 incompatible shape {}",
                source.name,
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

    /// Finds out the range of labels and indices, where the host does not know it.
    pub(super) async fn find_ranges(&self, data: &Data) -> Result<()> {
        for (i, x) in data.x.iter().enumerate() {
            if self.graph.takes_indices(i) {
                find_range("x", x).await?;
            }
        }
        let Some(compiled) = &self.compiled else { return Ok(()) };
        for (i, y) in data.y.iter().enumerate() {
            if let Some(y) = y.as_ref().filter(|_| compiled.takes_classes(i)) {
                find_range("y", y).await?;
            }
        }
        Ok(())
    }

    /// The model applied to a batch: its only output.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let y = model.call(&Tensor::ones([2, 4], DType::F32, &Device::cpu())?, false)?;
    /// assert_eq!(y.dims(), [2, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A batch of the wrong shape, or a model of several outputs.
    #[track_caller]
    pub fn call(&mut self, x: impl Into<Arrays>, training: bool) -> Result<Tensor> {
        entry(|| {
            self.one_output("call")?;
            Ok(self.apply(x.into(), training)?.swap_remove(0))
        })
    }

    /// The model applied to a batch: all of its outputs.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Input::new([4]).node();
    /// let mut model = Model::new(&x, [Dense::new(1).on(&x)?, Dense::new(2).on(&x)?])?;
    /// assert_eq!(model.call_all(&Tensor::ones([8, 4], DType::F32, &Device::cpu())?, false)?.len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A batch of the wrong shape.
    #[track_caller]
    pub fn call_all(&mut self, x: impl Into<Arrays>, training: bool) -> Result<Vec<Tensor>> {
        entry(|| self.apply(x.into(), training))
    }

    pub(super) fn apply(&mut self, x: Arrays, training: bool) -> Result<Vec<Tensor>> {
        let x = self.fitted(x.inputs()?.every("x", &self.input_names())?)?;
        self.graph.inputs.iter().zip(&x).try_for_each(|(source, x)| self.fits(source, x))?;
        self.ready_for(&x)?;
        let ctx = if training { CallCtx::training(seeds::next_global()) } else { CallCtx::inference() };
        Ok(self.forward(&x, &ctx)?.into_iter().map(|(tensor, _)| tensor).collect())
    }

    /// The outputs of the model for a batch, each with its mask where it has one.
    pub(super) fn forward(&self, x: &[Tensor], ctx: &CallCtx) -> Result<Vec<Masked>> {
        let x = x.iter().map(|x| (x.clone(), None)).collect();
        if self.policy == Policy::Float32 {
            return self.graph.run(x, ctx);
        }
        let outputs = self.graph.run(x, &ctx.computing_in(self.policy.compute_dtype()))?;
        let wide = |(output, mask): Masked| {
            let float = output.dtype().is_float();
            Ok((if float { output.cast(DType::F32)? } else { output }, mask))
        };
        outputs.into_iter().map(wide).collect()
    }

    /// In which types the model computes.
    pub fn dtype_policy(&self) -> Policy {
        self.policy
    }

    /// Sets in which types the model computes, before it is compiled: a [`Policy`] or its Keras name. Models that it is a
    /// layer of compute it in theirs.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.set_dtype_policy("mixed_bfloat16")?;
    /// let y = model.call(&Tensor::ones([2, 4], DType::F32, &Device::cpu())?, false)?;
    /// assert_eq!((model.weights()[0].dtype(), y.dtype()), (DType::F32, DType::F32)); // 16 bits in between
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is not known.
    #[track_caller]
    pub fn set_dtype_policy(&mut self, policy: impl IntoPolicy) -> Result<()> {
        entry(|| {
            self.policy = policy.into_policy()?;
            Ok(())
        })
    }

    pub(super) fn one_output(&self, method: &str) -> Result<()> {
        match self.graph.outputs.len() {
            1 => Ok(()),
            count => Err(Error::parts(
                Kind::Argument,
                &format!("`{method}` gives one output, and the model '{}' has several", self.name),
                &format!("{count} outputs"),
                "a model of one output",
                &format!("Use `{method}_all`"),
            )),
        }
    }

    /// All weights, layer by layer.
    pub fn weights(&self) -> Vec<Var> {
        self.graph.weights()
    }

    /// The weights that training moves.
    pub fn trainable_weights(&self) -> Vec<Var> {
        self.weights().into_iter().filter(Var::is_trainable).collect()
    }

    /// How many numbers the weights have.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// assert_eq!(model.count_params()?, 4 * 3 + 3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.build([4])?;
    /// model.set_trainable("top", false)?;
    /// assert_eq!((model.weights().len(), model.trainable_weights().len()), (2, 0));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no layer of this name.
    #[track_caller]
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        entry(|| {
            self.layer_named(layer)?.set_trainable(trainable);
            Ok(())
        })
    }

    pub(in crate::nn) fn not_built(&self, method: &str) -> Error {
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

/// A model called as a layer shares its layers, and so its weights, with every other place that has it.
impl IntoLayer for &Model {
    fn into_shared(self, name: Option<String>) -> SharedLayer {
        let nested = |name: String| SharedLayer::new(Box::new(Nested(self.graph.clone())), Some(name));
        match name {
            Some(name) => nested(name),
            None => self.layer.get_or_init(|| nested(self.name.clone())).clone(),
        }
    }
}
