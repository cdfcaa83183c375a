//! `plot_model`: a model as a picture of its layers.

use std::any::Any;

use super::Model;
use super::entry::SharedLayer;
use super::graph::{Graph, Member, Value};
use super::nested::Nested;
use crate::diagram::{Color, Diagram, GroupId, Node, NodeId, RankDir};
use crate::dtype::DType;
use crate::nn::layers::Layer;
use crate::nn::names::with_batch;
use crate::shape::Shape;

/// What [`plot_model`] shows; the settings of Keras's function of this name. Of each layer it is the class alone at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlotModel {
    show_shapes: bool,
    show_dtype: bool,
    show_layer_names: bool,
    show_layer_activations: bool,
    show_trainable: bool,
    expand_nested: bool,
    rankdir: RankDir,
}

impl PlotModel {
    /// Keras's defaults.
    pub fn new() -> Self {
        PlotModel::default()
    }

    /// The shapes of each layer's inputs and outputs.
    pub fn show_shapes(self, show_shapes: bool) -> Self {
        PlotModel { show_shapes, ..self }
    }

    /// The type that each layer computes in, and those of the inputs.
    pub fn show_dtype(self, show_dtype: bool) -> Self {
        PlotModel { show_dtype, ..self }
    }

    /// The layers' names before their classes.
    pub fn show_layer_names(self, show_layer_names: bool) -> Self {
        PlotModel { show_layer_names, ..self }
    }

    /// The activations of layers that have one.
    pub fn show_layer_activations(self, show_layer_activations: bool) -> Self {
        PlotModel { show_layer_activations, ..self }
    }

    /// Whether layers that have weights may be trained: green if so, red if not.
    pub fn show_trainable(self, show_trainable: bool) -> Self {
        PlotModel { show_trainable, ..self }
    }

    /// Models within the model as frames with their layers, instead of boxes.
    pub fn expand_nested(self, expand_nested: bool) -> Self {
        PlotModel { expand_nested, ..self }
    }

    /// Where the model leads, from top to bottom by default.
    pub fn rankdir(self, rankdir: RankDir) -> Self {
        PlotModel { rankdir, ..self }
    }
}

/// A picture of a model's layers and how they are connected: Keras's `keras.utils.plot_model`.
/// [`save`](Diagram::save) writes it as SVG, for Graphviz, or with the feature `plot` as PNG.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::{PlotModel, plot_model};
///
/// let mut model = Sequential::new().add(Input::new([8])).add(Dense::new(4).activation(Relu)).add(Dense::new(1));
/// let picture = plot_model(&mut model, PlotModel::new().show_shapes(true).show_layer_names(true));
/// assert!(picture.to_dot().contains("Output shape: (None, 4)"));
/// # let path = std::env::temp_dir().join(format!("wgtensor-model-{}.svg", std::process::id()));
/// # let path = path.as_path();
/// picture.save(path)?; // "model.svg"
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub fn plot_model(model: &mut Model, options: PlotModel) -> Diagram {
    // An input that does not fit shows as unknown shapes here, and as an error when it is used.
    let _ = model.build_known("plot_model");
    let diagram = Diagram::new(model.name()).rankdir(options.rankdir);
    let mut plot = Plot { options, compute: model.dtype_policy().compute_dtype(), diagram };
    plot.graph(&model.graph, None);
    plot.diagram
}

struct Plot {
    options: PlotModel,
    compute: DType,
    diagram: Diagram,
}

/// What has been drawn of a layer or a model.
struct Drawn {
    /// The boxes that each of its inputs leads to; one for all of a layer's.
    starts: Vec<Vec<NodeId>>,
    /// The boxes that its outputs come from; one for all of a layer's.
    ends: Vec<NodeId>,
}

impl Drawn {
    /// One for each, or one for all.
    fn at<T>(all: &[T], i: usize) -> Option<&T> {
        all.get(i).or(all.first())
    }
}

impl Plot {
    fn graph(&mut self, graph: &Graph, group: Option<GroupId>) -> Drawn {
        // Keras shows no input of a row of layers, as long as there are layers.
        let shows_inputs = graph.class != "Sequential" || graph.calls.is_empty();
        let mut inputs: Vec<Option<NodeId>> = vec![None; graph.inputs.len()];
        let mut layers: Vec<Option<Drawn>> = graph.entries.iter().map(|_| None).collect();
        let listed = (0..graph.inputs.len()).map(Member::Input).filter(|input| !graph.order.contains(input));
        let members: Vec<Member> = graph.order.iter().copied().chain(listed).collect();
        for member in members {
            match member {
                Member::Input(i) if shows_inputs => inputs[i] = Some(self.input(graph, i, group)),
                Member::Input(_) => {}
                Member::Layer(i) => layers[i] = Some(self.layer(graph, i, group)),
            }
        }
        let mut starts: Vec<Vec<NodeId>> = inputs.iter().map(|input| input.iter().copied().collect()).collect();
        let end = |layers: &[Option<Drawn>], value: Value| match value {
            Value::Input(i) => inputs[i],
            Value::Output(call, k) => Drawn::at(&layers[graph.calls[call].entry].as_ref()?.ends, k).copied(),
        };
        for call in &graph.calls {
            for (place, &value) in call.inputs.iter().enumerate() {
                let Some(drawn) = &layers[call.entry] else { continue };
                let to = Drawn::at(&drawn.starts, place).cloned().unwrap_or_default();
                match (end(&layers, value), value) {
                    (Some(from), _) => to.iter().for_each(|&to| self.diagram.connect(from, to, "")),
                    (None, Value::Input(i)) => starts[i].extend(to),
                    (None, _) => {}
                }
            }
        }
        let ends = graph.outputs.iter().filter_map(|&value| end(&layers, value)).collect();
        Drawn { starts, ends }
    }

    fn input(&mut self, graph: &Graph, index: usize, group: Option<GroupId>) -> NodeId {
        let source = &graph.inputs[index];
        let shape = source.shape.map_or("?".into(), |shape| with_batch(&shape));
        let dtype = source.dtype.unwrap_or(DType::F32);
        let mut cells = Vec::new();
        if self.options.show_shapes {
            cells.push(format!("Output shape: {shape}"));
        }
        if self.options.show_dtype {
            cells.push(format!("dtype: {dtype}"));
        }
        let node = Node::new(self.title(&source.name, "InputLayer")).cells(cells).within(group);
        self.diagram.add(node)
    }

    fn title(&self, name: &str, class: &str) -> String {
        if self.options.show_layer_names { format!("{name} ({class})") } else { class.into() }
    }

    fn layer(&mut self, graph: &Graph, index: usize, group: Option<GroupId>) -> Drawn {
        let layer = SharedLayer(graph.entries[index].clone());
        if self.options.expand_nested {
            let inner = layer.with(|layer| (layer as &dyn Any).downcast_ref::<Nested>().map(|nested| nested.0.clone()));
            if let Some(inner) = inner {
                let frame = self.diagram.group(layer.name(), group);
                return self.graph(&inner, Some(frame));
            }
        }
        let mut node = Node::new(self.title(layer.name(), layer.class_name())).within(group);
        if self.options.show_layer_activations
            && let Some(activation) = layer.with(activation)
        {
            node = node.row(format!("Activation: {activation}"));
        }
        let mut cells = Vec::new();
        if self.options.show_shapes {
            let calls = graph.calls.iter().enumerate().filter(|(_, call)| call.entry == index);
            let shapes = calls.map(|(i, call)| {
                let inputs = call.inputs.iter().map(|&value| graph.shape(value)).collect::<Option<Vec<Shape>>>();
                (inputs, graph.shapes.get(i).cloned())
            });
            let (inputs, outputs): (Vec<_>, Vec<_>) = shapes.unzip();
            cells.push(format!("Input shape: {}", agreed(&inputs)));
            cells.push(format!("Output shape: {}", agreed(&outputs)));
        }
        if self.options.show_dtype {
            let wide = layer.with(|layer| layer.computes_wide());
            cells.push(format!("dtype: {}", if wide { DType::F32 } else { self.compute }));
        }
        if self.options.show_trainable && !layer.weights().is_empty() {
            let (color, word) = match layer.is_trainable() {
                true => (Color::Green, "Trainable"),
                false => (Color::Red, "Non-trainable"),
            };
            cells.push(word.into());
            node = node.color(color);
        }
        let node = self.diagram.add(node.cells(cells));
        Drawn { starts: vec![vec![node]], ends: vec![node] }
    }
}

/// The shapes of one call, if all calls have the same.
fn agreed(calls: &[Option<Vec<Shape>>]) -> String {
    match calls {
        [Some(first), rest @ ..] if rest.iter().all(|other| other.as_ref() == Some(first)) => match &first[..] {
            [one] => with_batch(one),
            many => format!("[{}]", many.iter().map(|shape| with_batch(shape)).collect::<Vec<_>>().join(", ")),
        },
        [Some(_), ..] => "multiple".into(),
        _ => "?".into(),
    }
}

/// The name of a layer's activation, if it has one.
fn activation(layer: &dyn Layer) -> Option<String> {
    let config = layer.config().ok()?;
    let activation = config.get("activation")?;
    let name = activation.as_str().or_else(|| activation.get("class_name")?.as_str());
    name.map(str::to_owned)
}
