//! A layer in a model: its name, its weights, and whether they may move. Models that share a layer share its entry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::autocast;
use crate::graph::node::next_id;
use crate::nn::layers::{AdaptData, BuildCtx, CallCtx, Layer, WeightGroup};
use crate::nn::names;
use crate::nn::seeds::SeedStream;
use crate::shape::Shape;
use crate::tensor::remat::recomputed;
use crate::{Device, Tensor, Var};

/// A layer with its name, as models hold it. Clones are the same layer: called in several places, or in several models,
/// it has one set of weights.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::DType;
///
/// let (a, b) = (Input::new([10]).dtype(DType::I32).node(), Input::new([10]).dtype(DType::I32).node());
/// let embed = Embedding::new(1000, 8).name("embed");
/// let (left, right) = (embed.on(&a)?, embed.on(&b)?);
/// let near = layers::Dot::new(2).normalize(true).on([&left, &right])?;
/// let mut model = Model::new([&a, &b], [&near])?;
/// assert_eq!(model.count_params()?, 8000);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedLayer(pub(super) Arc<Entry>);

/// What a [`SharedLayer`] points to.
pub(super) struct Entry {
    pub(super) name: String,
    /// Whether the model may change the name.
    automatic: bool,
    /// How often the layer was called on nodes: its calls are numbered as Keras numbers them.
    calls: AtomicUsize,
    state: RwLock<State>,
}

struct State {
    layer: Box<dyn Layer>,
    /// The seeds of its initial weights, drawn when it is first built.
    seeds: Option<SeedStream>,
    /// The shapes of one sample of each input that the weights were made for, once they are.
    inputs: Option<Vec<Shape>>,
    /// The weights that freezing made untrainable; `None` where the layer is not frozen.
    frozen: Option<Vec<u64>>,
    /// Whether what it computes in between is computed again for the gradient.
    remat: bool,
}

/// Tensors that leave a layer, each with its mask where it has one.
pub(super) type Masked = (Tensor, Option<Tensor>);

impl SharedLayer {
    /// A layer under a name of its own, or under the next free one of its class.
    pub(super) fn new(layer: Box<dyn Layer>, name: Option<String>) -> Self {
        let automatic = name.is_none();
        let name = name.unwrap_or_else(|| names::auto(layer.class_name()));
        let state = State { layer, seeds: None, inputs: None, frozen: None, remat: false };
        SharedLayer(Arc::new(Entry { name, automatic, calls: AtomicUsize::new(0), state: RwLock::new(state) }))
    }

    /// The layer's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The name of the layer's type, such as `Dense`.
    pub fn class_name(&self) -> &'static str {
        self.0.class_name()
    }

    /// The layer itself, lent to `look`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let layer = Dense::new(3).shared();
    /// assert_eq!(layer.with(|layer| layer.config())?.get("units").unwrap(), 3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn with<T>(&self, look: impl FnOnce(&dyn Layer) -> T) -> T {
        look(self.0.read().layer.as_ref())
    }

    /// Its weights, once they exist: the trainable ones, then the others.
    pub fn weights(&self) -> Vec<Var> {
        self.0.weights()
    }

    /// How many numbers its weights have; 0 until they exist.
    pub fn count_params(&self) -> usize {
        self.weights().iter().map(|var| var.shape().numel()).sum()
    }

    /// Whether its weights exist.
    pub fn is_built(&self) -> bool {
        self.0.is_built()
    }

    /// Whether it may be trained: it may, unless it was frozen.
    pub fn is_trainable(&self) -> bool {
        self.0.read().frozen.is_none()
    }

    /// Whether what the layer computes on the way to its outputs is computed again for the gradient, instead of being kept
    /// in memory from forward to backward: see [`remat`](crate::remat()).
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let block = Sequential::new().add(Dense::new(64).activation(Gelu)).add(Dense::new(8)).shared();
    /// block.set_remat(true);
    /// let mut model = Sequential::new().add(Input::new([8])).add(&block);
    /// assert_eq!(model.count_params()?, 8 * 64 + 64 + 64 * 8 + 8);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn set_remat(&self, yes: bool) {
        self.0.write().remat = yes;
    }

    /// Lets a preprocessing layer find out what it has to know of the data: see [`Layer::adapt`].
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// let layer = Normalization::new().shared();
    /// let mut model = Sequential::new().add(&layer);
    /// layer.adapt(&Tensor::new([[1.0f32], [3.0]], &Device::cpu())?)?;
    /// let y = model.call(&Tensor::new([[1.0f32], [2.0], [3.0]], &Device::cpu())?, false)?;
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layer that has nothing to find out, or data that it cannot take.
    #[track_caller]
    pub fn adapt(&self, data: impl AdaptData) -> Result<()> {
        entry(|| self.0.write().layer.adapt(data.into_batches()?))
    }

    /// Freezes the layer (`false`) or lets it train again (`true`), in every model that has it.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let layer = Dense::new(3).shared();
    /// let mut model = Sequential::new().add(Input::new([4])).add(&layer);
    /// model.build([4])?;
    /// layer.set_trainable(false);
    /// assert!(model.trainable_weights().is_empty());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn set_trainable(&self, trainable: bool) {
        let mut state = self.0.write();
        if trainable { state.thaw() } else { state.freeze() }
    }
}

impl Entry {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives a layer that nobody else has yet another automatic name, until `free` agrees to one.
    pub(super) fn rename_until(entry: &mut Arc<Entry>, free: impl Fn(&str) -> bool) {
        while entry.automatic && !free(&entry.name) {
            let name = names::auto(entry.read().layer.class_name());
            match Arc::get_mut(entry) {
                Some(own) => own.name = name,
                None => return,
            }
        }
    }

    /// The number of one more call of the layer on nodes.
    pub(super) fn number_call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// The shapes of the outputs for samples of these shapes.
    pub(super) fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let state = self.read();
        state.layer.check()?;
        self.check_count(state.layer.as_ref(), inputs.len())?;
        state.layer.output_shapes(inputs)
    }

    fn check_count(&self, layer: &dyn Layer, given: usize) -> Result<()> {
        let takes = layer.inputs();
        if takes.contains(&given) {
            return Ok(());
        }
        let (least, most) = (*takes.start(), *takes.end());
        let expected = match most {
            most if most == least => format!("{least}"),
            usize::MAX => format!("at least {least}"),
            most => format!("{least} to {most}"),
        };
        Err(Error::parts(
            Kind::Argument,
            &format!(
                "Layer '{}' ({}) was called on another number of inputs than it takes",
                self.name,
                layer.class_name()
            ),
            &format!("{given} inputs"),
            &expected,
            "Give all of its inputs in one call, as a list",
        ))
    }

    /// Makes the weights on a device where there are none; returns whether it did.
    pub(super) fn build(&self, inputs: &[Shape], device: &Device, seeds: impl FnOnce() -> SeedStream) -> Result<bool> {
        let mut state = self.write();
        if state.inputs.is_some() {
            return Ok(false);
        }
        state.layer.check()?;
        self.check_count(state.layer.as_ref(), inputs.len())?;
        // Built again elsewhere, a layer starts from the same weights.
        let mut seeds = state.seeds.get_or_insert_with(seeds).clone();
        state.layer.build_all(inputs, &mut BuildCtx::new(device, &self.name, &mut seeds))?;
        state.layer.output_shapes(inputs)?;
        state.inputs = Some(inputs.to_vec());
        state.freeze_again();
        Ok(true)
    }

    /// Takes a [`build`](Self::build) back.
    pub(super) fn unbuild(&self) {
        self.write().inputs = None;
    }

    /// Whether the weights exist.
    pub(super) fn is_built(&self) -> bool {
        self.read().inputs.is_some()
    }

    /// All weights of the layer.
    pub(super) fn weights(&self) -> Vec<Var> {
        self.read().layer.weights()
    }

    /// The name of the layer's type.
    pub(super) fn class_name(&self) -> &'static str {
        self.read().layer.class_name()
    }

    /// All weights of the layer, as files have them.
    pub(super) fn weight_groups(&self) -> Vec<WeightGroup> {
        self.read().layer.weight_groups(&self.name)
    }

    /// Whether the weights exist on this device.
    pub(super) fn is_on(&self, device: &Device) -> bool {
        let state = self.read();
        state.inputs.is_some() && state.layer.weights().iter().all(|var| var.device() == device)
    }

    /// Where the weights are, if there are any.
    pub(super) fn device(&self) -> Option<Device> {
        self.read().layer.weights().first().map(|var| var.device().clone())
    }

    /// Moves the weights to a device; returns the old ones and the new.
    pub(super) fn move_to(&self, device: &Device) -> Result<Vec<(Var, Var)>> {
        let mut state = self.write();
        let old = state.layer.weights();
        let (Some(inputs), Some(seeds)) = (state.inputs.clone(), state.seeds.clone()) else { return Ok(Vec::new()) };
        if old.iter().all(|var| var.device() == device) {
            return Ok(Vec::new());
        }
        let values = old.iter().map(|var| var.value().detach().to_device(device)).collect::<Result<Vec<Tensor>>>()?;
        state.layer.build_all(&inputs, &mut BuildCtx::new(device, &self.name, &mut seeds.clone()))?;
        let new = state.layer.weights();
        for (var, value) in new.iter().zip(&values) {
            var.assign(value)?;
        }
        state.freeze_again();
        Ok(old.into_iter().zip(new).collect())
    }

    /// The layer applied to a batch.
    pub(super) fn call(&self, inputs: Vec<Masked>, ctx: &CallCtx) -> Result<Vec<Masked>> {
        let state = self.read();
        let layer = state.layer.as_ref();
        let (tensors, masks): (Vec<Tensor>, Vec<Option<Tensor>>) = inputs.into_iter().unzip();
        let float = |t: Tensor| if t.dtype().is_float() { Ok(t) } else { t.cast(DType::F32) };
        let tensors = match layer.keeps_integers() {
            true => tensors,
            false => tensors.into_iter().map(float).collect::<Result<_>>()?,
        };
        let ctx = ctx.enter(state.frozen.is_some(), masks);
        let first = next_id();
        let mut outputs = match ctx.compute_dtype() {
            DType::F32 => layer.call_all(&tensors, &ctx)?,
            narrow => {
                let inside = if layer.computes_wide() { DType::F32 } else { narrow };
                let to = |t: &Tensor, dtype| if t.dtype().is_float() { t.cast(dtype) } else { Ok(t.clone()) };
                let tensors = tensors.iter().map(|t| to(t, inside)).collect::<Result<Vec<_>>>()?;
                let outputs = autocast(inside, || layer.call_all(&tensors, &ctx))?;
                outputs.iter().map(|t| to(t, narrow)).collect::<Result<_>>()?
            }
        };
        if state.remat && ctx.is_training() {
            outputs = outputs.iter().map(|output| recomputed(output, first)).collect::<Result<_>>()?;
        }
        let masks = ctx.leave(outputs.len(), layer.passes_mask());
        Ok(outputs.into_iter().zip(masks).collect())
    }

    /// Whether an input is looked up in a table.
    pub(super) fn takes_indices(&self, input: usize) -> bool {
        self.read().layer.takes_indices(input)
    }
}

impl State {
    fn freeze(&mut self) {
        if self.frozen.is_none() {
            let vars = self.layer.weights().into_iter().filter(Var::is_trainable);
            self.frozen = Some(vars.inspect(|var| var.set_trainable(false)).map(|var| var.id()).collect());
        }
    }

    /// After weights were made anew.
    fn freeze_again(&mut self) {
        if self.frozen.take().is_some() {
            self.freeze();
        }
    }

    fn thaw(&mut self) {
        if let Some(ids) = self.frozen.take() {
            self.layer.weights().iter().filter(|var| ids.contains(&var.id())).for_each(|var| var.set_trainable(true));
        }
    }
}
