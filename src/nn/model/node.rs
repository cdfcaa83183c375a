//! Nodes: tensors of a model that are not computed yet, and how layers are called on them.

use std::sync::Arc;

use super::entry::{Entry, SharedLayer};
use crate::dtype::DType;
use crate::error::{Result, entry};
use crate::nn::activations::Activation;
use crate::nn::layers::{Layer, layer_of};
use crate::nn::names::{self, with_batch};
use crate::shape::Shape;

/// The shape of one input sample, without the batch dimension.
///
/// Added first to a [`Sequential`](crate::nn::Sequential), it lets the model be built (and summarised) before it sees
/// data; [`node`](Self::node) makes the start of a functional model of it.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let mut row = Sequential::new().add(Input::new([28, 28, 1])).add(Flatten::new()).add(Dense::new(10));
/// assert_eq!(row.count_params()?, 784 * 10 + 10);
/// let x = Input::new([784]).name("pixels").node();
/// assert_eq!((x.name(), x.shape().dims()), ("pixels", &[784][..]));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Input {
    pub(super) shape: Result<Shape>,
    pub(super) dtype: Option<DType>,
    pub(super) name: Option<String>,
}

impl Input {
    /// Samples of this shape.
    #[track_caller]
    pub fn new(sample: impl AsRef<[usize]>) -> Self {
        Input { shape: entry(|| Shape::new(sample.as_ref())), dtype: None, name: None }
    }

    /// The type that data is converted to; without it, data stays as it is, and layers that need floats get floats.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// A name of your own; without it the input is called `input_layer`, `input_layer_1`, ...
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A node that stands for the data, to call layers on.
    ///
    /// # Panics
    /// A shape of more dimensions than a tensor may have; [`try_node`](Self::try_node) gives an error.
    #[track_caller]
    pub fn node(self) -> Node {
        match self.try_node() {
            Ok(node) => node,
            Err(error) => panic!("{error}"),
        }
    }

    /// [`node`](Self::node), for shapes that are not known to be good.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// assert!(Input::new([1; 9]).try_node().is_err());
    /// assert_eq!(Input::new([3]).try_node()?.shape().dims(), [3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape of more dimensions than a tensor may have.
    pub fn try_node(self) -> Result<Node> {
        let shape = self.shape?;
        let name = self.name.unwrap_or_else(|| names::auto("InputLayer"));
        let origin = Origin::Input(Arc::new(Source { name, dtype: self.dtype }));
        Ok(Node(Arc::new(Inner { origin, index: 0, shape })))
    }
}

/// A tensor of a model that is not computed yet: an [`Input`], or an output of a layer called on nodes.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let x = Input::new([8]).node();
/// let y = Dense::new(3).on(&x)?;
/// assert_eq!(y.shape().dims(), [3]); // of one sample
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    origin: Origin,
    /// Which output of the layer.
    index: usize,
    /// The shape of one sample.
    shape: Shape,
}

/// Where a node comes from.
pub(super) enum Origin {
    Input(Arc<Source>),
    Call(Arc<Called>),
}

/// An input's name and type.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) dtype: Option<DType>,
}

/// One call of a layer on nodes.
pub(super) struct Called {
    pub(super) entry: Arc<Entry>,
    pub(super) inputs: Vec<Node>,
    /// Which call of the layer this is.
    pub(super) number: usize,
    /// The shapes of all outputs.
    pub(super) outputs: Vec<Shape>,
}

impl Node {
    /// The shape of one sample.
    pub fn shape(&self) -> Shape {
        self.0.shape
    }

    /// The name of the layer (or of the input) that it comes from.
    pub fn name(&self) -> &str {
        match &self.0.origin {
            Origin::Input(source) => &source.name,
            Origin::Call(call) => &call.entry.name,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Which output of its layer it is.
    pub(super) fn index(&self) -> usize {
        self.0.index
    }

    /// Another output of the same call.
    pub(super) fn sibling(&self, index: usize) -> Option<Node> {
        let Origin::Call(call) = &self.0.origin else { return (index == 0).then(|| self.clone()) };
        let shape = *call.outputs.get(index)?;
        Some(Node(Arc::new(Inner { origin: Origin::Call(call.clone()), index, shape })))
    }

    /// Distinguishes calls and inputs; the outputs of a call share it.
    pub(super) fn key(&self) -> usize {
        match &self.0.origin {
            Origin::Input(source) => Arc::as_ptr(source) as usize,
            Origin::Call(call) => Arc::as_ptr(call) as usize,
        }
    }

    /// The outputs of a layer called on nodes.
    pub(super) fn call(entry: &Arc<Entry>, inputs: Vec<Node>) -> Result<Vec<Node>> {
        let shapes: Vec<Shape> = inputs.iter().map(Node::shape).collect();
        let outputs = entry.output_shapes(&shapes)?;
        let call = Called { entry: entry.clone(), inputs, number: entry.number_call(), outputs: outputs.clone() };
        let call = Arc::new(call);
        let node = |(index, shape)| Node(Arc::new(Inner { origin: Origin::Call(call.clone()), index, shape }));
        Ok(outputs.into_iter().enumerate().map(node).collect())
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({}[{}], {})", self.name(), self.index(), with_batch(&self.shape()))
    }
}

impl Drop for Called {
    /// Takes a long chain apart link by link, not by recursion.
    fn drop(&mut self) {
        let mut loose = std::mem::take(&mut self.inputs);
        while let Some(Node(node)) = loose.pop() {
            if let Some(Inner { origin: Origin::Call(call), .. }) = Arc::into_inner(node)
                && let Some(mut call) = Arc::into_inner(call)
            {
                loose.append(&mut call.inputs);
            }
        }
    }
}

/// What a layer may be called on, and what a model may start and end with: one node, or a list of them.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let (a, b) = (Input::new([4]).node(), Input::new([4]).node());
/// let one = Model::new(&a, Dense::new(1).on(&a)?)?; // a node
/// let two = Model::new([&a, &b], [add([&a, &b])?])?; // lists of them
/// assert_eq!((one.input_names().len(), two.input_names().len()), (1, 2));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Nodes(pub(super) Vec<Node>);

impl From<Node> for Nodes {
    fn from(node: Node) -> Self {
        Nodes(vec![node])
    }
}

impl From<&Node> for Nodes {
    fn from(node: &Node) -> Self {
        Nodes(vec![node.clone()])
    }
}

impl From<Vec<Node>> for Nodes {
    fn from(nodes: Vec<Node>) -> Self {
        Nodes(nodes)
    }
}

impl From<&Vec<Node>> for Nodes {
    fn from(nodes: &Vec<Node>) -> Self {
        Nodes(nodes.clone())
    }
}

impl From<&[Node]> for Nodes {
    fn from(nodes: &[Node]) -> Self {
        Nodes(nodes.to_vec())
    }
}

impl From<&[&Node]> for Nodes {
    fn from(nodes: &[&Node]) -> Self {
        Nodes(nodes.iter().map(|&node| node.clone()).collect())
    }
}

impl<const N: usize> From<[Node; N]> for Nodes {
    fn from(nodes: [Node; N]) -> Self {
        Nodes(nodes.into())
    }
}

impl<const N: usize> From<[&Node; N]> for Nodes {
    fn from(nodes: [&Node; N]) -> Self {
        Nodes(nodes.map(Node::clone).into())
    }
}

/// Anything that can be a layer of a model: a [`Layer`], an [`Activation`], a [`SharedLayer`], or a model.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let x = Input::new([8]).node();
/// let twice = Dense::new(8).activation(Relu).name("twice").on(&x)?; // a layer ...
/// let shared = Dense::new(8).shared(); // ... one that is called in several places
/// let y = shared.on(&shared.on(&twice)?)?;
/// let block = Sequential::new().add(Dense::new(4)).on(&y)?; // ... and a model
/// assert_eq!(Model::new(&x, &block)?.count_params()?, 72 + 72 + 36);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoLayer: Sized {
    /// The layer, under this name or an automatic one.
    fn into_shared(self, name: Option<String>) -> SharedLayer;

    /// The layer under a name of your own. Comes last, after the layer's settings.
    fn name(self, name: impl Into<String>) -> SharedLayer {
        self.into_shared(Some(name.into()))
    }

    /// The layer as one that can be called in several places and share its weights.
    fn shared(self) -> SharedLayer {
        self.into_shared(None)
    }

    /// The layer as one that keeps nothing in memory for the gradient but its inputs, and computes the rest again; a whole
    /// block where it is a model. See [`SharedLayer::set_remat`].
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    ///
    /// let block = || Sequential::new().add(Dense::new(64).activation(Gelu)).add(Dense::new(64).activation(Gelu));
    /// let model = Sequential::new().add(block().remat()).add(block().remat()).add(Dense::new(1));
    /// # let _ = model;
    /// ```
    fn remat(self) -> SharedLayer {
        let layer = self.shared();
        layer.set_remat(true);
        layer
    }

    /// Calls the layer on one node or on several; its first output.
    ///
    /// # Errors
    /// Another number of inputs than the layer takes, or shapes that it cannot take.
    #[track_caller]
    fn on(self, inputs: impl Into<Nodes>) -> Result<Node> {
        entry(|| Ok(Node::call(&self.shared().0, inputs.into().0)?.swap_remove(0)))
    }

    /// Calls the layer on one node or on several; all of its outputs.
    ///
    /// # Errors
    /// Another number of inputs than the layer takes, or shapes that it cannot take.
    #[track_caller]
    fn on_all(self, inputs: impl Into<Nodes>) -> Result<Vec<Node>> {
        entry(|| Node::call(&self.shared().0, inputs.into().0))
    }
}

impl<L: Layer + 'static> IntoLayer for L {
    fn into_shared(self, name: Option<String>) -> SharedLayer {
        SharedLayer::new(Box::new(self), name)
    }
}

impl IntoLayer for Box<dyn Layer> {
    fn into_shared(self, name: Option<String>) -> SharedLayer {
        SharedLayer::new(self, name)
    }
}

impl IntoLayer for Activation {
    fn into_shared(self, name: Option<String>) -> SharedLayer {
        SharedLayer::new(layer_of(self), name)
    }
}

/// A shared layer has its name already. By reference, so that calling it leaves it to be called again.
impl IntoLayer for &SharedLayer {
    fn into_shared(self, _: Option<String>) -> SharedLayer {
        self.clone()
    }
}
