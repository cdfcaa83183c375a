//! The graph of a model: which layer is called on which values, in which order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::entry::{Entry, Masked};
use super::node::Node;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::nn::layers::{CallCtx, WeightGroup};
use crate::nn::names::{snake_case, with_batch};
use crate::nn::seeds::SeedStream;
use crate::shape::Shape;
use crate::{Device, Var};

/// Layers and how they are connected. Clones have the same layers.
#[derive(Clone)]
pub(super) struct Graph {
    pub(super) class: &'static str,
    pub(super) inputs: Vec<Source>,
    /// The layers, in Keras's order: from the inputs to the outputs by depth.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Their calls, each after those whose values it takes.
    pub(super) calls: Vec<Call>,
    pub(super) outputs: Vec<Value>,
    /// Inputs and layers as `summary` lists them.
    pub(super) order: Vec<Member>,
    /// The shapes of the outputs of each call, as far as they are known.
    pub(super) shapes: Vec<Vec<Shape>>,
    /// The nodes of the inputs, and the first output of each call, from which other models can be made.
    pub(super) nodes: (Vec<Node>, Vec<Node>),
}

/// An input of a model.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) name: String,
    /// The shape of one sample, once known.
    pub(super) shape: Option<Shape>,
    /// Whether the shape was asked for, and was not only that of the first data.
    pub(super) exact: bool,
    pub(super) dtype: Option<DType>,
}

/// A value in a run of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Input(usize),
    /// An output of a call.
    Output(usize, usize),
}

/// A call of a layer.
#[derive(Clone)]
pub(super) struct Call {
    /// Which of the entries.
    pub(super) entry: usize,
    pub(super) inputs: Vec<Value>,
    /// Which call of this layer it is, as Keras counts.
    pub(super) number: usize,
}

/// A row of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Member {
    Input(usize),
    Layer(usize),
}

impl Graph {
    /// A graph without layers, to which [`push`](Self::push) adds in a row.
    pub(super) fn chain(class: &'static str) -> Self {
        let source = Source { name: "input".into(), shape: None, exact: false, dtype: None };
        Graph {
            class,
            inputs: vec![source],
            entries: Vec::new(),
            calls: Vec::new(),
            outputs: vec![Value::Input(0)],
            order: Vec::new(),
            shapes: Vec::new(),
            nodes: Default::default(),
        }
    }

    /// One more layer, called on the output so far.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        let call = Call { entry: self.entries.len(), inputs: self.outputs.clone(), number: 0 };
        self.outputs = vec![Value::Output(self.calls.len(), 0)];
        self.order.push(Member::Layer(self.entries.len()));
        self.entries.push(entry);
        self.calls.push(call);
        self.nodes = Default::default();
    }

    /// Makes nodes of a row of layers whose shapes are known.
    pub(super) fn make_nodes(&mut self) -> Result<()> {
        if !self.nodes.0.is_empty() {
            return Ok(());
        }
        let mut inputs = Vec::new();
        for source in &self.inputs {
            let Some(shape) = source.shape else { return Err(self.unshaped()) };
            let input = super::Input { shape: Ok(shape), dtype: source.dtype, name: Some(source.name.clone()) };
            inputs.push(input.try_node()?);
        }
        let mut firsts: Vec<Node> = Vec::new();
        for call in &self.calls {
            let given = call.inputs.iter().map(|&value| match value {
                Value::Input(i) => Ok(inputs[i].clone()),
                Value::Output(c, k) => firsts[c].sibling(k).ok_or_else(|| Error::internal("an output is missing")),
            });
            let given = given.collect::<Result<Vec<Node>>>()?;
            firsts.push(Node::call(&self.entries[call.entry], given)?.swap_remove(0));
        }
        self.nodes = (inputs, firsts);
        Ok(())
    }

    fn unshaped(&self) -> Error {
        Error::parts(
            Kind::State,
            "The model does not know the shape of its input yet",
            "a model that has seen no data and has no `Input`",
            "a model that knows its input",
            "Add an `Input` first, call `build`, or fit the model",
        )
    }

    /// The shape of a value, once known.
    pub(super) fn shape(&self, value: Value) -> Option<Shape> {
        match value {
            Value::Input(i) => self.inputs[i].shape,
            Value::Output(call, index) => self.shapes.get(call)?.get(index).copied(),
        }
    }

    /// Makes the weights of the layers that have none, and moves those that are elsewhere; the old and the new weights
    /// of the latter. The shapes of the inputs must be known. On an error no layer is built that was not.
    pub(super) fn build_on(&mut self, device: &Device, seeds: &SeedStream) -> Result<Vec<(Var, Var)>> {
        let mut built = Vec::new();
        let mut shapes = Vec::new();
        let mut moved = Vec::new();
        for call in &self.calls {
            let entry = &self.entries[call.entry];
            let mut one = || {
                let given = call.inputs.iter().map(|&value| match value {
                    Value::Input(i) => self.inputs[i].shape.ok_or_else(|| self.unshaped()),
                    Value::Output(c, k) => Ok(output(&shapes, entry, c, k)?),
                });
                let given = given.collect::<Result<Vec<Shape>>>()?;
                if entry.build(&given, device, || seeds.child(call.entry as u64))? {
                    built.push(entry);
                }
                moved.extend(entry.move_to(device)?);
                entry.output_shapes(&given)
            };
            match one() {
                Ok(outputs) => shapes.push(outputs),
                Err(error) => {
                    built.iter().for_each(|entry| entry.unbuild());
                    return Err(error);
                }
            }
        }
        self.shapes = shapes;
        Ok(moved)
    }

    /// Whether all weights exist and all shapes are known.
    pub(super) fn is_built(&self) -> bool {
        self.shapes.len() == self.calls.len()
            && self.inputs.iter().all(|input| input.shape.is_some())
            && self.entries.iter().all(|entry| entry.is_built())
    }

    /// Whether all weights exist on this device.
    pub(super) fn is_on(&self, device: &Device) -> bool {
        self.entries.iter().all(|entry| entry.is_on(device))
    }

    /// Where the weights are: those of the first layer that has any.
    pub(super) fn device(&self) -> Option<Device> {
        self.entries.iter().find_map(|entry| entry.device())
    }

    /// All weights, layer by layer, each once.
    pub(super) fn weights(&self) -> Vec<Var> {
        let mut seen = HashSet::new();
        let all = self.entries.iter().flat_map(|entry| entry.weights());
        all.filter(|var| seen.insert(var.id())).collect()
    }

    /// The weights as Keras's files have them: those of each layer under its class, the second of a class as `dense_1`.
    pub(super) fn weight_groups(&self, name: &str) -> Vec<WeightGroup> {
        let mut groups = vec![WeightGroup { path: String::new(), name: name.into(), weights: Vec::new() }];
        let mut used: HashMap<String, usize> = HashMap::new();
        for entry in &self.entries {
            let class = snake_case(entry.class_name());
            let count = used.entry(class.clone()).or_insert(0);
            let own = if *count == 0 { format!("layers/{class}") } else { format!("layers/{class}_{count}") };
            *count += 1;
            groups.extend(entry.weight_groups().into_iter().map(|mut group| {
                group.path = if group.path.is_empty() { own.clone() } else { format!("{own}/{}", group.path) };
                group
            }));
        }
        groups
    }

    /// Whether an input is looked up in a table.
    pub(super) fn takes_indices(&self, input: usize) -> bool {
        self.calls.iter().any(|call| {
            let places = call.inputs.iter().enumerate().filter(|(_, value)| **value == Value::Input(input));
            places.into_iter().any(|(place, _)| self.entries[call.entry].takes_indices(place))
        })
    }

    /// Runs all calls on a batch.
    pub(super) fn run(&self, inputs: Vec<Masked>, ctx: &CallCtx) -> Result<Vec<Masked>> {
        // How often each value is still wanted: nothing is held longer than that.
        let mut wanted: HashMap<Value, usize> = HashMap::new();
        for &value in self.calls.iter().flat_map(|call| &call.inputs).chain(&self.outputs) {
            *wanted.entry(value).or_default() += 1;
        }
        let mut values: HashMap<Value, Masked> = HashMap::new();
        values.extend(inputs.into_iter().enumerate().map(|(i, value)| (Value::Input(i), value)));
        let mut take = |values: &mut HashMap<Value, Masked>, value: Value| {
            let left = wanted.entry(value).or_insert(1);
            *left -= 1;
            let found = if *left == 0 { values.remove(&value) } else { values.get(&value).cloned() };
            found.ok_or_else(|| Error::internal(format!("a layer gave no {value:?}")))
        };
        for (index, call) in self.calls.iter().enumerate() {
            let given = call.inputs.iter().map(|&value| take(&mut values, value)).collect::<Result<Vec<Masked>>>()?;
            let outputs = self.entries[call.entry].call(given, ctx)?;
            values.extend(outputs.into_iter().enumerate().map(|(k, value)| (Value::Output(index, k), value)));
        }
        self.outputs.iter().map(|&value| take(&mut values, value)).collect()
    }

    /// The names of the outputs: those of their layers, numbered where a name occurs twice.
    pub(super) fn output_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for value in &self.outputs {
            let name = match *value {
                Value::Input(i) => &self.inputs[i].name,
                Value::Output(call, _) => &self.entries[self.calls[call].entry].name,
            };
            let free = |name: &String| !names.contains(name);
            let numbered = (1..).map(|i| format!("{name}_{i}"));
            let name = std::iter::once(name.clone()).chain(numbered).find(free);
            names.extend(name);
        }
        names
    }

    /// Refuses shapes of one sample that are not those of the inputs; learns them where none are known.
    pub(super) fn fit_shapes(&mut self, given: &[Shape]) -> Result<()> {
        for (source, shape) in self.inputs.iter_mut().zip(given) {
            match source.shape {
                Some(known) if known != *shape && source.exact => {
                    return Err(Error::parts(
                        Kind::Shape,
                        &format!("The input '{}' of a model was called with samples of another shape", source.name),
                        &format!("shape {}", with_batch(shape)),
                        &format!("shape {}", with_batch(&known)),
                        "Call the model on nodes or data of the shape that it was made for",
                    ));
                }
                Some(_) => {}
                None => source.shape = Some(*shape),
            }
        }
        Ok(())
    }
}

pub(super) fn output(shapes: &[Vec<Shape>], entry: &Entry, call: usize, index: usize) -> Result<Shape> {
    shapes.get(call).and_then(|outputs| outputs.get(index)).copied().ok_or_else(|| {
        Error::internal(format!("layer '{}' was given output {index} of a layer that has fewer", entry.name))
    })
}
