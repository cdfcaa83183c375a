//! What is recorded behind a tensor, as a picture.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::node::{Node, Storage, Tensor};
use crate::diagram::{self, Color, Diagram, NodeId};
use crate::ir::op::{Op, Runtime};
use crate::ir::picture::short;

impl Tensor {
    /// What has been recorded to compute this tensor and has not run yet: a box for each operation, with its shape, type and the
    /// line of your program that recorded it, down to the values that are here. Nothing is computed by it.
    ///
    /// ```
    /// use wgtensor::{Device, Tensor, Var};
    ///
    /// let device = Device::best();
    /// let x = Tensor::new([[1.0f32, 2.0]], &device)?;
    /// let w = Var::named("w", &Tensor::new([[0.5f32], [0.25]], &device)?);
    /// let y = x.matmul(&w.value())?.add(1.0)?.relu()?;
    /// let graph = y.diagram();
    /// assert_eq!(graph.len(), 6); // two leaves (x, what w starts from), w, and three operations
    /// # let path = std::env::temp_dir().join(format!("wgtensor-graph-{}.svg", std::process::id()));
    /// # let path = path.as_path();
    /// graph.save(path)?; // "graph.svg"
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn diagram(&self) -> Diagram {
        let mut diagram = Diagram::new("what is recorded");
        let mut known: FxHashMap<u64, NodeId> = FxHashMap::default();
        // Inputs first, without recursion: graphs are deep.
        let mut stack = vec![(self.0.clone(), false)];
        while let Some((node, inputs_done)) = stack.pop() {
            if known.contains_key(&node.id) {
                continue;
            }
            let inputs = pending_inputs(&node);
            if !inputs_done {
                stack.push((node, true));
                stack.extend(inputs.into_iter().rev().map(|input| (input, false)));
                continue;
            }
            let id = diagram.add(describe(&node));
            known.insert(node.id, id);
            for input in &inputs {
                known.get(&input.id).into_iter().for_each(|&from| diagram.connect(from, id, ""));
            }
        }
        diagram
    }
}

/// What a node reads of others; numbers stand in its own box.
fn pending_inputs(node: &Node) -> Vec<Arc<Node>> {
    let state = node.state();
    match state.storage {
        Storage::Pending => {
            let reads = state.inputs.iter().take(node.reads as usize);
            reads.filter(|input| !matches!(input.op, Op::Scalar(_))).cloned().collect()
        }
        Storage::Ready(_) | Storage::Overwritten => Vec::new(),
    }
}

fn describe(node: &Node) -> diagram::Node {
    let state = node.state();
    let title = match (&node.op, node.var.as_ref().and_then(|var| var.owner())) {
        (_, Some(var)) => format!("variable {}", var.name()),
        (Op::Leaf, None) => "values".into(),
        (op, None) => op.name().into(),
    };
    let (color, note) = match &state.storage {
        Storage::Overwritten => (Color::Red, "overwritten"),
        _ if node.var.is_some() => (Color::Purple, ""),
        Storage::Ready(_) if matches!(node.op, Op::Leaf) => (Color::Gray, ""),
        Storage::Ready(_) => (Color::Gray, "computed"),
        Storage::Pending => (color(&node.op), ""),
    };
    let mut out = diagram::Node::new(title).color(color).row(format!("{} {}", node.dtype, node.shape));
    let operands: Vec<String> = state.inputs.iter().take(node.reads as usize).map(|input| number(input)).collect();
    if operands.iter().any(|text| text != "·") {
        out = out.row(format!("({})", operands.join(", ")));
    }
    for text in [detail(&node.op), note.into()].into_iter().filter(|text| !text.is_empty()) {
        out = out.row(text);
    }
    out.row(format!("{}:{}", short(node.at.file()), node.at.line()))
}

/// An operand: the number that it is, or a dot for what an arrow leads from.
fn number(input: &Node) -> String {
    match input.op {
        Op::Scalar(Runtime(value)) => value.to_string(),
        _ => "·".into(),
    }
}

/// What an operation is told besides its inputs.
fn detail(op: &Op) -> String {
    match op {
        Op::Scalar(Runtime(value)) => value.to_string(),
        Op::Reduce { axes, .. } => {
            let axes: Vec<String> = (0..32).filter(|d| axes >> d & 1 == 1).map(|d| d.to_string()).collect();
            format!("axes {}", axes.join(", "))
        }
        Op::Permute(axes) => {
            let axes: Vec<String> = axes.iter().map(u8::to_string).collect();
            format!("axes {}", axes.join(", "))
        }
        Op::Gather { axis, .. } => format!("axis {axis}"),
        Op::Part(i) => format!("result {i}"),
        _ => String::new(),
    }
}

fn color(op: &Op) -> Color {
    match op {
        Op::Leaf => Color::Gray,
        op if op.is_view() => Color::Gray,
        Op::Reduce { .. } => Color::Orange,
        Op::MatMul | Op::Conv(_) | Op::ConvInputGrad(_) | Op::ConvKernelGrad(_) => Color::Green,
        Op::Family(_) | Op::Part(_) | Op::Assemble { .. } => Color::Teal,
        _ => Color::Blue,
    }
}
