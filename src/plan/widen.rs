//! Operands of families in their register types: a narrow one that the family cannot read as it is is converted by a kernel
//! of its own, or by the one that computes it.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ir::op::{Keep, Op, PlanNode};

/// The graph with every narrow operand of a family converted; with `half_products` but for those of products.
pub(crate) fn widen(nodes: &[PlanNode], half_products: bool) -> Cow<'_, [PlanNode]> {
    let converts = |n: &PlanNode| n.leaf.is_none() && n.op.is_opaque() && !(half_products && n.op.is_product());
    let narrow = |n: &PlanNode| n.inputs.iter().any(|&i| nodes[i as usize].dtype.is_narrow());
    if !nodes.iter().any(|n| converts(n) && narrow(n)) {
        return Cow::Borrowed(nodes);
    }
    let mut out = Widened { nodes: Vec::with_capacity(nodes.len() + 8), wide: FxHashMap::default() };
    // For each node its new position.
    let mut now: Vec<u32> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut node = node.clone();
        node.inputs.iter_mut().for_each(|i| *i = now[*i as usize]);
        if converts(&node) {
            node.inputs.iter_mut().for_each(|i| *i = out.wide(*i));
        }
        now.push(out.push(node));
    }
    Cow::Owned(out.nodes)
}

struct Widened {
    nodes: Vec<PlanNode>,
    /// For each narrow operand its conversion.
    wide: FxHashMap<u32, u32>,
}

impl Widened {
    fn push(&mut self, node: PlanNode) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// The node's values in their register type. Views are taken of the converted values, so that what a family folds
    /// into its addresses it folds still.
    fn wide(&mut self, n: u32) -> u32 {
        if let Some(&known) = self.wide.get(&n) {
            return known;
        }
        let node = &self.nodes[n as usize];
        if !node.dtype.is_narrow() {
            return n;
        }
        let dtype = node.dtype.register();
        let mut wide = PlanNode { dtype, keep: Keep::No, ..node.clone() };
        if node.leaf.is_none() && node.op.is_view() {
            wide.inputs = SmallVec::from_slice(&[self.wide(wide.inputs[0])]);
        } else {
            wide = PlanNode { op: Op::Cast, inputs: SmallVec::from_slice(&[n]), leaf: None, ..wide };
        }
        let at = self.push(wide);
        self.wide.insert(n, at);
        at
    }
}
