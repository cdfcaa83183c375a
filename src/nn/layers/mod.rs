//! Layers: the trait, and Keras's standard ones.

mod activation;
mod adapting;
mod affine;
mod categories;
mod conv;
mod core;
mod dense;
mod embedding;
mod images;
mod merging;
mod normalization;
mod pooling;
mod preprocessing;

use std::any::Any;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use activation::layer_of;
pub use activation::{ActivationLayer, ELU, LeakyReLU, ReLU, SoftmaxLayer};
pub use adapting::{AdaptData, Batches};
pub use categories::{CategoryEncoding, Discretization, OutputMode};
pub use conv::Conv2D;
pub use core::{Dropout, Flatten, Masking, Reshape};
pub use dense::Dense;
pub use embedding::Embedding;
pub use images::{CenterCrop, FlipMode, Interpolation, RandomFlip, Resizing};
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use normalization::{BatchNormalization, LayerNormalization};
pub use pooling::{AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D};
pub use preprocessing::{KeptAxes, Normalization, Rescaling};

use crate::error::{Error, Kind, Result};
use crate::graph::live::{self, Source, Words};
use crate::nn::config::{Class, Config, classes, from_config, unwritten};
use crate::nn::initializers::Initializer;
use crate::nn::names::with_batch;
use crate::nn::seeds::SeedStream;
use crate::shape::Shape;
use crate::{DType, Device, Seed, Tensor, Var};

/// One step of a model: weights, and a function from a batch to a batch.
///
/// Implement it to make a layer of your own; only [`call`](Layer::call) and [`class_name`](Layer::class_name) are required.
/// The methods that end in `_all` are for layers of several inputs or outputs. A layer does not know its name: the model
/// does, and [`IntoLayer::name`](crate::nn::IntoLayer::name) sets it. Shapes are those of one sample: the batch dimension
/// comes first in the tensors of `call` and is left out in them.
///
/// ```
/// use wgtensor::nn::layers::{BuildCtx, CallCtx, Layer};
/// use wgtensor::nn::prelude::*;
/// use wgtensor::{Result, Shape, Tensor, Var};
///
/// /// Multiplies each feature by a weight.
/// struct Scale(Option<Var>);
///
/// impl Layer for Scale {
///     fn class_name(&self) -> &'static str {
///         "Scale"
///     }
///     fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
///         self.0 = Some(ctx.weight("factor", &input[input.rank() - 1..], &Initializer::Ones)?);
///         Ok(())
///     }
///     fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
///         x.mul(self.0.as_ref().expect("built").value())
///     }
///     fn weights(&self) -> Vec<Var> {
///         self.0.iter().cloned().collect()
///     }
/// }
///
/// let mut model = Sequential::new().add(Input::new([3])).add(Scale(None)).add(Dense::new(1));
/// assert_eq!(model.count_params()?, 3 + 4);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Layer: Any + Send + Sync {
    /// The name of the layer's type, as shown by `summary()`.
    fn class_name(&self) -> &'static str;

    /// Its class and settings, from which [`from_config`](trait.Layer.html#method.from_config) makes it again, without
    /// weights.
    ///
    /// # Errors
    /// Settings that make no sense, or a layer that does not implement this.
    fn config(&self) -> Result<Config> {
        Err(unwritten(&format!("The layer `{}`", self.class_name())))
    }

    /// Refuses settings that make no sense; called before the layer is built or its output's shape is asked for.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Finds out what the layer has to know of the data before training, such as its mean: Keras's `adapt` of preprocessing
    /// layers.
    ///
    /// # Errors
    /// A layer that has nothing to find out, or data that it cannot take.
    fn adapt(&mut self, data: Batches) -> Result<()> {
        let _ = data;
        Err(Error::parts(
            Kind::Unsupported,
            &format!("The layer `{}` has nothing to adapt to data", self.class_name()),
            "a call of `adapt`",
            "a preprocessing layer such as `Normalization`",
            "Leave the call out",
        ))
    }

    /// Creates the weights for samples of shape `input`. Called once, before the first `call`; once more when the
    /// model moves to another device.
    ///
    /// # Errors
    /// An input that the layer cannot take, or a setting that makes no sense.
    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let _ = (input, ctx);
        Ok(())
    }

    /// Whether integers are left as they are; without it the model gives this layer floats.
    fn keeps_integers(&self) -> bool {
        false
    }

    /// Whether it computes in `f32` under a mixed [`Policy`](crate::nn::Policy) too. Without it the layer gets its inputs,
    /// and the values of its weights, in the policy's type.
    fn computes_wide(&self) -> bool {
        false
    }

    /// Whether an input (the first is 0) is numbers of rows in a table. `fit`, `evaluate` and `predict` then find out their range before
    /// the first step, where the numbers were computed on the device, and [`call`](Layer::call) can refuse it.
    fn takes_indices(&self, input: usize) -> bool {
        let _ = input;
        false
    }

    /// Whether the outputs have the mask of the first input, where the call sets no other
    /// ([`CallCtx::set_mask`]). Without it a mask ends here.
    fn passes_mask(&self) -> bool {
        false
    }

    /// The layer applied to a batch.
    ///
    /// `fit`, `evaluate` and `predict` call it to record a step, and then replay that: what it does besides computing with
    /// tensors happens then only, and it must read no values, unless the model is compiled with
    /// [`run_eagerly`](crate::nn::Compile::run_eagerly).
    ///
    /// # Errors
    /// A batch of another shape than the layer was built for.
    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor>;

    /// The shape of one output sample, for input samples of shape `input`.
    ///
    /// # Errors
    /// An input that the layer cannot take.
    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    /// All weights in Keras's order: the trainable ones, then the others.
    fn weights(&self) -> Vec<Var> {
        Vec::new()
    }

    /// The weights of a layer called `name`, in the groups in which Keras's files have them: one, unless the layer is made of
    /// others.
    fn weight_groups(&self, name: &str) -> Vec<WeightGroup> {
        vec![WeightGroup { path: String::new(), name: name.into(), weights: self.weights() }]
    }

    /// How many inputs the layer takes in one call; one, unless it says otherwise. The methods below get that many.
    fn inputs(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// [`build`](Layer::build) of a layer of several inputs.
    ///
    /// # Errors
    /// Inputs that the layer cannot take, or a setting that makes no sense.
    fn build_all(&mut self, inputs: &[Shape], ctx: &mut BuildCtx<'_>) -> Result<()> {
        self.build(&inputs[0], ctx)
    }

    /// [`call`](Layer::call) of a layer of several inputs or outputs.
    ///
    /// # Errors
    /// Batches of other shapes than the layer was built for.
    fn call_all(&self, inputs: &[Tensor], ctx: &CallCtx) -> Result<Vec<Tensor>> {
        Ok(vec![self.call(&inputs[0], ctx)?])
    }

    /// [`output_shape`](Layer::output_shape) of a layer of several inputs or outputs.
    ///
    /// # Errors
    /// Inputs that the layer cannot take.
    fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![self.output_shape(&inputs[0])?])
    }
}

/// Weights that stand together in a file.
///
/// ```
/// use wgtensor::nn::layers::{CallCtx, Layer, WeightGroup};
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{Result, Tensor};
///
/// /// Made of two layers, each of which has a group of its own.
/// struct Gated {
///     value: Dense,
///     gate: Dense,
/// }
///
/// impl Layer for Gated {
///     fn class_name(&self) -> &'static str {
///         "Gated"
///     }
///     fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
///         self.value.call(x, ctx)?.mul(self.gate.call(x, ctx)?)
///     }
///     fn weight_groups(&self, _: &str) -> Vec<WeightGroup> {
///         let group = |name: &str, layer: &Dense| WeightGroup { path: name.into(), name: name.into(), weights: layer.weights() };
///         vec![group("value", &self.value), group("gate", &self.gate)]
///     }
/// }
///
/// let groups = Gated { value: Dense::new(2), gate: Dense::new(2) }.weight_groups("gated");
/// assert_eq!(groups[1].path, "gate");
/// ```
#[derive(Clone, Debug)]
pub struct WeightGroup {
    /// Where, from what has them: empty, or such as `layers/dense`.
    pub path: String,
    /// The name of what they belong to.
    pub name: String,
    /// The weights, in order.
    pub weights: Vec<Var>,
}

impl dyn Layer {
    /// The layer of a configuration, to be built. Its name is with the model.
    ///
    /// # Errors
    /// A class that is no standard layer, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Layer>> {
        from_config(CLASSES, "layer", config)
    }
}

/// The standard layers.
const CLASSES: &[Class<dyn Layer>] = classes! { dyn Layer:
    ActivationLayer as "Activation",
    Add,
    Average,
    AveragePooling2D,
    BatchNormalization,
    CategoryEncoding,
    CenterCrop,
    Concatenate,
    Conv2D,
    Dense,
    Discretization,
    Dot,
    Dropout,
    ELU,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LayerNormalization,
    LeakyReLU,
    Masking,
    MaxPooling2D,
    Maximum,
    Minimum,
    Multiply,
    Normalization,
    RandomFlip,
    ReLU,
    Rescaling,
    Reshape,
    Resizing,
    SoftmaxLayer as "Softmax",
    Subtract,
};

/// What a layer needs to create its weights.
///
/// ```
/// use wgtensor::nn::SeedStream;
/// use wgtensor::nn::layers::{BuildCtx, CallCtx, Layer};
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Shape, Tensor};
///
/// let device = Device::cpu();
/// let mut seeds = SeedStream::new(7);
/// let mut layer = Dense::new(3); // a layer by hand, without a model
/// layer.build(&Shape::new(&[4])?, &mut BuildCtx::new(&device, "top", &mut seeds))?;
/// let y = layer.call(&Tensor::ones([2, 4], DType::F32, &device)?, &CallCtx::inference())?;
/// assert_eq!((y.dims(), layer.weights()[0].name()), (&[2, 3][..], "top/kernel"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct BuildCtx<'a> {
    device: &'a Device,
    name: &'a str,
    seeds: &'a mut SeedStream,
}

impl<'a> BuildCtx<'a> {
    /// For a layer called `name` on `device`, its initial weights drawn from `seeds`.
    pub fn new(device: &'a Device, name: &'a str, seeds: &'a mut SeedStream) -> Self {
        BuildCtx { device, name, seeds }
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The layer's name in its model.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The seeds that the initial weights are drawn from.
    pub(crate) fn seeds(&self) -> SeedStream {
        self.seeds.clone()
    }

    /// A trainable weight of this shape, called `layer/name`.
    ///
    /// ```
    /// use wgtensor::nn::SeedStream;
    /// use wgtensor::nn::layers::BuildCtx;
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::Device;
    ///
    /// let (device, mut seeds) = (Device::cpu(), SeedStream::new(7));
    /// let kernel = BuildCtx::new(&device, "top", &mut seeds).weight("kernel", &[4, 3], &Initializer::HE_NORMAL)?;
    /// assert_eq!((kernel.name(), kernel.is_trainable()), ("top/kernel", true));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    pub fn weight(&mut self, name: &str, shape: &[usize], initializer: &Initializer) -> Result<Var> {
        let values = initializer.sample(&Shape::new(shape)?, self.seeds.draw(), self.device)?;
        Ok(Var::named(format!("{}/{name}", self.name), &values))
    }

    /// A weight that the optimizer leaves alone, such as a running mean.
    ///
    /// ```
    /// use wgtensor::nn::SeedStream;
    /// use wgtensor::nn::layers::BuildCtx;
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::Device;
    ///
    /// let (device, mut seeds) = (Device::cpu(), SeedStream::new(7));
    /// let mean = BuildCtx::new(&device, "norm", &mut seeds).state("moving_mean", &[3], &Initializer::Zeros)?;
    /// assert!(!mean.is_trainable());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    pub fn state(&mut self, name: &str, shape: &[usize], initializer: &Initializer) -> Result<Var> {
        let var = self.weight(name, shape, initializer)?;
        var.set_trainable(false);
        Ok(var)
    }
}

/// How a layer is being called: whether to train, and which positions of its inputs count.
///
/// A mask is a tensor of booleans with the first dimensions of the input that it belongs to, say `(batch, steps)`; true
/// where a position counts. It travels with the call: a layer finds those of its inputs here, and sets those of its
/// outputs.
///
/// ```
/// use wgtensor::nn::layers::{CallCtx, Layer};
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
///
/// let (dropout, x) = (Dropout::new(0.5), Tensor::ones([1000], DType::F32, &Device::cpu())?);
/// let kept = |ctx: &CallCtx| dropout.call(&x, ctx)?.gt(0.0)?.all(())?.item::<bool>();
/// assert!(kept(&CallCtx::inference())? && !kept(&CallCtx::training(7))?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct CallCtx {
    training: bool,
    frozen: bool,
    seeds: Arc<Mutex<SeedStream>>,
    /// The masks of the inputs.
    masks: Vec<Option<Tensor>>,
    /// The type that the policy has layers compute in.
    compute: DType,
    /// The masks of the outputs, as far as the layer sets them.
    set: RefCell<Vec<Option<Tensor>>>,
}

impl CallCtx {
    fn new(training: bool, seeds: Arc<Mutex<SeedStream>>) -> Self {
        CallCtx { training, frozen: false, seeds, masks: Vec::new(), compute: DType::F32, set: RefCell::default() }
    }

    /// A call for inference: no dropout, stored statistics.
    ///
    /// ```
    /// use wgtensor::nn::layers::{CallCtx, Layer};
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    ///
    /// let x = Tensor::ones([100], DType::F32, &Device::cpu())?;
    /// let y = Dropout::new(0.5).call(&x, &CallCtx::inference())?;
    /// assert_eq!(y.to_vec::<f32>()?, x.to_vec::<f32>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn inference() -> Self {
        Self::new(false, Arc::new(Mutex::new(SeedStream::new(0))))
    }

    /// A call for training; whatever is random follows from `seed`.
    ///
    /// ```
    /// use wgtensor::nn::layers::{CallCtx, Layer};
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    ///
    /// let x = Tensor::ones([100], DType::F32, &Device::cpu())?;
    /// let dropped = |seed| Dropout::new(0.5).call(&x, &CallCtx::training(seed))?.to_vec::<f32>();
    /// assert_eq!(dropped(7)?, dropped(7)?);
    /// assert_ne!(dropped(7)?, dropped(8)?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn training(seed: u64) -> Self {
        Self::drawing(Arc::new(Mutex::new(SeedStream::new(seed))))
    }

    /// A call for training whose seeds come from this stream.
    pub(crate) fn drawing(seeds: Arc<Mutex<SeedStream>>) -> Self {
        Self::new(true, seeds)
    }

    /// The same call, with a mask for each input that has one.
    pub fn with_masks(mut self, masks: Vec<Option<Tensor>>) -> Self {
        self.masks = masks;
        self
    }

    /// The call of a layer within this one, frozen if this one is.
    pub(crate) fn enter(&self, frozen: bool, masks: Vec<Option<Tensor>>) -> Self {
        let (frozen, seeds) = (frozen || self.frozen, self.seeds.clone());
        CallCtx { training: self.training, frozen, seeds, masks, compute: self.compute, set: RefCell::default() }
    }

    /// The same call, with layers that compute in `dtype`.
    pub(crate) fn computing_in(&self, dtype: DType) -> Self {
        CallCtx { compute: dtype, ..self.enter(false, Vec::new()) }
    }

    /// The type that the model's [`Policy`](crate::nn::Policy) has layers compute in.
    pub fn compute_dtype(&self) -> DType {
        self.compute
    }

    /// The masks of this many outputs, after the call: those that the layer set, else that of the first input if it
    /// passes masks on.
    pub(crate) fn leave(self, outputs: usize, passes: bool) -> Vec<Option<Tensor>> {
        let mut masks = self.set.into_inner();
        masks.resize(outputs, None);
        if let Some(Some(first)) = self.masks.first().filter(|_| passes) {
            masks.iter_mut().for_each(|mask| *mask = mask.take().or_else(|| Some(first.clone())));
        }
        masks
    }

    /// Whether the model is being trained.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// Whether the layer's weights are frozen; batch normalisation then uses its stored statistics in training too.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The mask of the first input, if it has one.
    pub fn mask(&self) -> Option<&Tensor> {
        self.masks.first()?.as_ref()
    }

    /// The masks of the inputs; those of the last ones may be left out where they have none.
    pub fn masks(&self) -> &[Option<Tensor>] {
        &self.masks
    }

    /// Sets the mask of an output.
    ///
    /// ```
    /// use wgtensor::nn::layers::{CallCtx, Layer};
    /// # use wgtensor::{Device, Result, Tensor};
    ///
    /// /// Leaves steps without features out.
    /// struct Skip;
    /// impl Layer for Skip {
    ///     fn class_name(&self) -> &'static str {
    ///         "Skip"
    ///     }
    ///     fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
    ///         ctx.set_mask(0, x.ne(0.0)?.any(-1)?);
    ///         Ok(x.clone())
    ///     }
    /// }
    /// # let x = Tensor::new([[[1.0f32], [0.0]]], &Device::cpu())?;
    /// # assert_eq!(Skip.call(&x, &CallCtx::inference())?.dims(), [1, 2, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn set_mask(&self, output: usize, mask: Tensor) {
        let mut set = self.set.borrow_mut();
        if set.len() <= output {
            set.resize(output + 1, None);
        }
        set[output] = Some(mask);
    }

    /// A fresh seed for a random operation of this call; where the call is replayed, a fresh one at each replay.
    pub fn seed(&self) -> Seed {
        let drawn = live::seed(Draws(self.seeds.clone()));
        // (One word is drawn, always.)
        drawn.unwrap_or_else(|| Seed::from(0u64))
    }
}

/// The seeds of a call, one by one.
struct Draws(Arc<Mutex<SeedStream>>);

impl Source for Draws {
    fn draw(&mut self) -> Words {
        Words::from_slice(&[self.0.lock().unwrap_or_else(PoisonError::into_inner).draw()])
    }
}

/// The weight, or the error of a layer called before it was built.
pub(crate) fn built<T>(part: &Option<T>) -> Result<&T> {
    part.as_ref().ok_or_else(|| {
        Error::parts(
            Kind::State,
            "A layer was called before it was built",
            "a layer without weights",
            "a built layer",
            "Add it to a model, or call its `build` first",
        )
    })
}

/// Refuses an input of another rank than the layer takes; `rank` counts the batch dimension.
pub(crate) fn check_rank(layer: &str, rank: usize, sample: &[usize]) -> Result<()> {
    if sample.len() + 1 == rank {
        return Ok(());
    }
    let (found, full) = (sample.len() + 1, with_batch(sample));
    Err(Error::parts(
        Kind::Shape,
        &format!(
            "Input 0 of layer '{layer}' is incompatible with the layer: \
             expected ndim={rank}, found ndim={found}. Full shape received: {full}"
        ),
        &format!("shape {full}"),
        &format!("{rank} dimensions, the batch first"),
        "Reshape the data, or add a layer such as `Flatten` or `Reshape` before",
    ))
}

/// Refuses an input whose last dimension is not the one the layer was built for.
pub(crate) fn check_last(layer: &str, expected: usize, shape: &Shape) -> Result<()> {
    if shape.last() == Some(&expected) {
        return Ok(());
    }
    Err(Error::parts(
        Kind::Shape,
        &format!(
            "Input 0 of layer '{layer}' is incompatible with the layer: expected axis -1 of input \
             shape to have value {expected}, but received input with shape {shape}"
        ),
        &format!("shape {shape}"),
        &format!("{expected} as the last dimension"),
        "Give data of the width that the layer was built for, or build a new model",
    ))
}

#[cfg(all(test, feature = "cpu"))]
mod tests;
