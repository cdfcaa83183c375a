//! How nodes become a graph: what leads to the outputs of a model, in Keras's order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::entry::Entry;
use super::graph::{Call, Graph, Member, Source, Value};
use super::node::{Node, Origin};
use crate::error::{Error, Kind, Result};

impl Graph {
    /// What leads from some nodes to others.
    pub(super) fn between(inputs: &[Node], outputs: &[Node]) -> Result<Self> {
        Walk::new(inputs).graph(outputs)
    }
}

/// The walk from the outputs of a model back to its inputs, in the order of Keras's `map_graph`.
pub(super) struct Walk<'a> {
    inputs: &'a [Node],
    /// The calls met, each after those that it depends on.
    finished: Vec<Node>,
    /// The place of each in `finished`.
    place: HashMap<usize, usize>,
    /// When each input or layer was met first.
    met: HashMap<usize, usize>,
}

/// An input or a layer: what stands in one row of the summary.
fn operation(node: &Node) -> usize {
    match node.origin() {
        Origin::Input(source) => Arc::as_ptr(source) as usize,
        Origin::Call(call) => Arc::as_ptr(&call.entry) as usize,
    }
}

impl<'a> Walk<'a> {
    fn new(inputs: &'a [Node]) -> Self {
        Walk { inputs, finished: Vec::new(), place: HashMap::new(), met: HashMap::new() }
    }

    fn input(&self, node: &Node) -> Option<usize> {
        self.inputs.iter().position(|input| input.key() == node.key() && input.index() == node.index())
    }

    /// The nodes that a call was made on; none where the model starts.
    fn parents<'n>(&self, node: &'n Node) -> &'n [Node] {
        match node.origin() {
            Origin::Call(call) if self.input(node).is_none() => &call.inputs,
            _ => &[],
        }
    }

    /// Visits all that lead to the outputs, depth first, without recursion.
    fn visit(&mut self, output: &Node) -> Result<()> {
        let mut stack = vec![(output.clone(), 0)];
        while let Some((node, next)) = stack.pop() {
            if self.place.contains_key(&node.key()) {
                continue;
            }
            if next == 0 {
                let met = self.met.len();
                self.met.entry(operation(&node)).or_insert(met);
            }
            match self.parents(&node).get(next).cloned() {
                Some(parent) => {
                    stack.push((node, next + 1));
                    stack.push((parent, 0));
                }
                None => {
                    if let (Origin::Input(source), None) = (node.origin(), self.input(&node)) {
                        return Err(disconnected(&source.name));
                    }
                    self.place.insert(node.key(), self.finished.len());
                    self.finished.push(node);
                }
            }
        }
        Ok(())
    }

    /// The graph that leads to these outputs.
    pub(super) fn graph(mut self, outputs: &[Node]) -> Result<Graph> {
        if self.inputs.is_empty() || outputs.is_empty() {
            return Err(Error::parts(
                Kind::Argument,
                "A model was made without inputs or without outputs",
                &format!("{} inputs and {} outputs", self.inputs.len(), outputs.len()),
                "at least one of each",
                "Give `Model::new` the nodes that the model starts and ends with",
            ));
        }
        outputs.iter().try_for_each(|output| self.visit(output))?;
        let rows = self.by_depth();
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        let mut order = Vec::new();
        for &at in &rows {
            match at {
                Row::Input(i) => order.push(Member::Input(i)),
                Row::Call(place) => {
                    let Origin::Call(call) = self.finished[place].origin() else { continue };
                    order.push(Member::Layer(entries.len()));
                    entries.push(call.entry.clone());
                }
            }
        }
        unique_names(self.inputs, &entries)?;
        self.assemble(outputs, entries, order)
    }

    /// Inputs and layers, the deepest (furthest from the outputs) first, those of a depth in the order they were met.
    fn by_depth(&self) -> Vec<Row> {
        let (mut depths, mut rows): (HashMap<usize, usize>, HashMap<usize, (usize, Row)>) = Default::default();
        for (place, node) in self.finished.iter().enumerate().rev() {
            let own = depths.get(&node.key()).copied().unwrap_or(0);
            let row = self.input(node).map_or(Row::Call(place), Row::Input);
            let met = rows.entry(operation(node)).or_insert((0, row));
            let depth = own.max(met.0);
            met.0 = depth;
            depths.insert(node.key(), depth);
            for parent in self.parents(node) {
                let deeper = depths.entry(parent.key()).or_insert(0);
                *deeper = (*deeper).max(depth + 1);
            }
        }
        // An input that nothing depends on stands among the outputs.
        for (i, input) in self.inputs.iter().enumerate() {
            rows.entry(operation(input)).or_insert((0, Row::Input(i)));
        }
        let mut rows: Vec<(usize, (usize, Row))> = rows.into_iter().collect();
        rows.sort_by_key(|(operation, (depth, row))| {
            let met = self.met.get(operation).map_or(-1, |&met| met as isize);
            (std::cmp::Reverse(*depth), met, row.number())
        });
        rows.into_iter().map(|(_, (_, row))| row).collect()
    }

    fn assemble(self, outputs: &[Node], entries: Vec<Arc<Entry>>, order: Vec<Member>) -> Result<Graph> {
        let number: HashMap<usize, usize> =
            entries.iter().enumerate().map(|(i, entry)| (Arc::as_ptr(entry) as usize, i)).collect();
        // The calls alone, without the nodes that the model starts with.
        let mut call_of: HashMap<usize, usize> = HashMap::new();
        let (mut calls, mut shapes, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        let value = |call_of: &HashMap<usize, usize>, node: &Node| match self.input(node) {
            Some(i) => Ok(Value::Input(i)),
            None => {
                let call = call_of.get(&node.key()).ok_or_else(|| disconnected(node.name()))?;
                Ok(Value::Output(*call, node.index()))
            }
        };
        for node in &self.finished {
            let (Origin::Call(called), None) = (node.origin(), self.input(node)) else { continue };
            let inputs = called.inputs.iter().map(|node| value(&call_of, node)).collect::<Result<_>>()?;
            call_of.insert(node.key(), calls.len());
            let entry = number[&(Arc::as_ptr(&called.entry) as usize)];
            calls.push(Call { entry, inputs, number: called.number });
            shapes.push(called.outputs.clone());
            firsts.push(node.sibling(0).unwrap_or_else(|| node.clone()));
        }
        let outputs = outputs.iter().map(|node| value(&call_of, node)).collect::<Result<_>>()?;
        let source = |node: &Node| {
            let dtype = if let Origin::Input(source) = node.origin() { source.dtype } else { None };
            Source { name: node.name().to_owned(), shape: Some(node.shape()), exact: true, dtype }
        };
        let inputs = self.inputs.iter().map(source).collect();
        let nodes = (self.inputs.to_vec(), firsts);
        Ok(Graph { class: "Functional", inputs, entries, calls, outputs, order, shapes, nodes })
    }
}

/// Where a row of the summary comes from: an input, or the first call met of a layer.
#[derive(Clone, Copy)]
enum Row {
    Input(usize),
    Call(usize),
}

impl Row {
    fn number(self) -> usize {
        match self {
            Row::Input(i) | Row::Call(i) => i,
        }
    }
}

fn disconnected(name: &str) -> Error {
    Error::parts(
        Kind::Argument,
        "The outputs of a model depend on something that is not among its inputs",
        &format!("outputs that depend on '{name}'"),
        "outputs that are computed from the inputs alone",
        "Add that node to the inputs, or leave out what depends on it",
    )
}

fn unique_names(inputs: &[Node], entries: &[Arc<Entry>]) -> Result<()> {
    let mut seen = HashSet::new();
    let names = inputs.iter().map(Node::name).chain(entries.iter().map(|entry| entry.name.as_str()));
    match names.into_iter().find(|name| !seen.insert(name.to_string())) {
        Some(name) => Err(Error::parts(
            Kind::Argument,
            "All layers and inputs of a model should have unique names",
            &format!("'{name}' twice"),
            "a name of its own for each",
            "Update the `name` of one of them",
        )),
        None => Ok(()),
    }
}
