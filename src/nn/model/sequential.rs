//! `Sequential`: a model made by adding layers in a row.

use std::ops::{Deref, DerefMut};

use super::Model;
use super::entry::{Entry, SharedLayer};
use super::graph::Graph;
use super::node::{Input, IntoLayer};
use crate::error::{Error, Kind};
use crate::nn::names;

/// Layers in a row: the simplest way to make a [`Model`], which it stands for wherever one is wanted.
///
/// It is built (its weights are made) when it first sees data, on the device of the data, or earlier where an
/// [`Input`] tells the shape. Data on another device moves the weights there.
///
/// ```
/// # use wgtensor::nn::prelude::*;
/// let mut model = Sequential::new()
///     .add(Input::new([8, 8, 1]))
///     .add(Conv2D::new(32, 3).activation(Relu))
///     .add(MaxPooling2D::new(2))
///     .add(Flatten::new());
/// for _ in 0..2 {
///     model.push(Dense::new(16).activation(Relu));
/// }
/// model.push(Dense::new(10).activation(Softmax));
/// model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
/// assert_eq!(model.count_params()?, 320 + 288 * 16 + 16 + 16 * 16 + 16 + 170);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Sequential(Model);

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
        Sequential(Model::of(name.into(), Graph::chain("Sequential")))
    }

    /// [`push`](Self::push) in a chain of calls.
    #[expect(clippy::should_implement_trait, reason = "Keras's name; nothing is summed")]
    #[track_caller]
    pub fn add(mut self, layer: impl IntoStep) -> Self {
        self.push(layer);
        self
    }

    /// Adds a layer at the end; an [`Input`], first of all, tells the shape of the samples instead. An
    /// [`Activation`](crate::nn::activations::Activation) is made a layer, and so is a model.
    ///
    /// What the model has learnt stays: the new layer alone gets its weights when the model is next used. A name that
    /// another layer has, or an `Input` that is not the first, is an error when the model is compiled or built.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new();
    /// for units in [64, 32, 16] {
    ///     model.push(Dense::new(units).activation(Relu));
    /// }
    /// model.build([8])?;
    /// assert_eq!(model.layers().count(), 3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn push(&mut self, layer: impl IntoStep) -> &mut Self {
        match layer.into_step() {
            Step::Input(input) => self.begin(input),
            Step::Layer(layer) => self.append(layer),
        }
        self
    }

    #[track_caller]
    fn begin(&mut self, input: Input) {
        let graph = self.0.graph_mut();
        let (first, source) = (graph.entries.is_empty(), &mut graph.inputs[0]);
        if first && !source.exact {
            (source.exact, source.dtype) = (true, input.dtype);
            source.name = input.name.unwrap_or_else(|| names::auto("InputLayer"));
            match input.shape {
                Ok(shape) => source.shape = Some(shape),
                Err(error) => self.0.misfit = self.0.misfit.take().or(Some(error)),
            }
            return;
        }
        let layers = self.0.graph.entries.len();
        self.0.misfit.get_or_insert(Error::parts(
            Kind::Argument,
            "An `Input` was added to a model that has layers or an input already",
            &format!("an `Input` after {layers} layers"),
            "one `Input`, before all layers",
            "Add the `Input` first, or leave it out",
        ));
    }

    #[track_caller]
    fn append(&mut self, SharedLayer(mut entry): SharedLayer) {
        let graph = self.0.graph_mut();
        let free = |name: &str| graph.entries.iter().all(|entry| entry.name != name);
        Entry::rename_until(&mut entry, free);
        if !free(&entry.name) {
            let error = Error::parts(
                Kind::Argument,
                "All layers added to a Sequential model should have unique names",
                &format!("a second layer named '{}'", entry.name),
                "a name of its own for each layer",
                "Update the `name` of one of them",
            );
            self.0.misfit.get_or_insert(error);
        }
        self.0.graph.push(entry);
    }
}

impl Deref for Sequential {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.0
    }
}

impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.0
    }
}

impl From<Sequential> for Model {
    fn from(sequential: Sequential) -> Model {
        sequential.0
    }
}

/// What [`Sequential::add`] takes: a layer, or an [`Input`].
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let inner = Sequential::new().add(Dense::new(4));
/// let mut model = Sequential::new().add(Input::new([8])).add(Dense::new(8)).add(Relu).add(inner);
/// assert_eq!(model.count_params()?, 72 + 36);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoStep {
    /// The layer, or the input.
    fn into_step(self) -> Step;
}

/// What was added to a [`Sequential`].
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::{IntoStep, Step};
///
/// /// Something of yours that stands for a layer.
/// struct Hidden(usize);
/// impl IntoStep for Hidden {
///     fn into_step(self) -> Step {
///         Step::Layer(Dense::new(self.0).activation(Relu).shared())
///     }
/// }
/// let mut model = Sequential::new().add(Input::new([4])).add(Hidden(8)).add(Dense::new(1));
/// assert_eq!(model.count_params()?, 40 + 9);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub enum Step {
    /// A layer.
    Layer(SharedLayer),
    /// The shape of one input sample.
    Input(Input),
}

impl<L: IntoLayer> IntoStep for L {
    fn into_step(self) -> Step {
        Step::Layer(self.shared())
    }
}

impl IntoStep for SharedLayer {
    fn into_step(self) -> Step {
        Step::Layer(self)
    }
}

impl IntoStep for Input {
    fn into_step(self) -> Step {
        Step::Input(self)
    }
}

impl IntoStep for Sequential {
    fn into_step(self) -> Step {
        Step::Layer(self.0.shared())
    }
}

impl IntoStep for Model {
    fn into_step(self) -> Step {
        Step::Layer((&self).shared())
    }
}
