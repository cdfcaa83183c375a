//! One kernel's lines: expressions with everything inlined that is not written out.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::written::{Stop, Stuck, Written};
use crate::ir::access::{Blocked, Space, project, pull_back};
use crate::ir::encoding::{rounding, wrapping};
use crate::ir::op::{Op, PlanNode};
use crate::ir::program::{Access, Gather, Instr, Line, Program, Reg, Store};
use crate::ir::step::{BufId, Family, Step};

impl Blocked {
    /// What to do where the address stops at node `n`.
    fn stop(self, n: usize) -> Stop {
        match self {
            Blocked::Split { dim, inner } => Stop::Split { dim, inner },
            Blocked::Never => Stop::Force(n),
        }
    }
}

/// Writes one kernel's lines.
pub(super) struct Builder<'a> {
    graph: &'a Written<'a>,
    pub(super) space: Space,
    pub(super) mask: u32,
    pub(super) lines: Vec<Line>,
    memo: FxHashMap<(usize, Access), Reg>,
    ops: Vec<&'static str>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(graph: &'a Written<'a>, space: Space, mask: u32) -> Self {
        Builder { graph, space, mask, lines: Vec::new(), memo: FxHashMap::default(), ops: Vec::new() }
    }

    pub(super) fn push(&mut self, line: Line) -> Reg {
        self.lines.push(line);
        (self.lines.len() - 1) as Reg
    }

    /// The register of node `n`'s element at `at` (flat in the node): loaded if it is written out, else computed.
    pub(super) fn value(&mut self, mut n: usize, mut at: Access) -> std::result::Result<Reg, Stop> {
        // Chains of views may be long: no recursion.
        while self.graph.buffer[n].is_none() && self.graph.nodes[n].op.is_view() {
            (n, at) = self.below(n, &at)?;
        }
        if let Some(&reg) = self.memo.get(&(n, at.clone())) {
            return Ok(reg);
        }
        let node = &self.graph.nodes[n];
        let key = (n, at.clone());
        let reg = match self.graph.buffer[n] {
            Some(buf) => {
                let instr = Instr::Load { buf, at, gather: SmallVec::new() };
                self.push(Line { instr, dtype: node.dtype.register(), inner: false })
            }
            None => self.compute(n, at)?,
        };
        self.memo.insert(key, reg);
        Ok(reg)
    }

    /// What a view looks at, and where.
    fn below(&self, n: usize, at: &Access) -> std::result::Result<(usize, Access), Stop> {
        let node = &self.graph.nodes[n];
        let below = node.inputs[0] as usize;
        let from = &self.graph.nodes[below].shape;
        let at = pull_back(&node.op, &node.shape, from, at, &self.space).map_err(|b| b.stop(n))?;
        Ok((below, at))
    }

    /// Computes node `n`'s element at `at` from its inputs.
    pub(super) fn compute(&mut self, n: usize, at: Access) -> std::result::Result<Reg, Stop> {
        let graph = self.graph;
        let node = &graph.nodes[n];
        if node.op.is_view() {
            let (below, at) = self.below(n, &at)?;
            return self.value(below, at);
        }
        let rank = self.space.len();
        // Pointwise operands have the node's shape, or are scalars.
        let operand = |b: &mut Self, i: usize| {
            let input = node.inputs[i] as usize;
            let scalar = graph.nodes[input].shape.rank() == 0 && node.shape.rank() != 0;
            b.value(input, if scalar { Access::constant(rank) } else { at.clone() })
        };
        let instr = match &node.op {
            Op::Var => return operand(self, 0),
            Op::Scalar(_) => Instr::Param { slot: graph.slots[n] },
            Op::Arange => Instr::Index { at: at.clone() },
            Op::Random { stream, .. } => Instr::Random { at: at.clone(), key: graph.slots[n], stream: *stream },
            Op::Unary(f) => Instr::Unary(f, operand(self, 0)?),
            Op::Binary(f) => Instr::Binary(f, operand(self, 0)?, operand(self, 1)?),
            Op::Select => Instr::Select(operand(self, 0)?, operand(self, 1)?, operand(self, 2)?),
            Op::Cast => Instr::Cast(operand(self, 0)?),
            Op::Gather { axis, map } => {
                let index = operand(self, 1)?;
                let x = node.inputs[0] as usize;
                let buf = graph.dense(x).map_err(|Stuck(n)| Stop::Force(n))?;
                let shape = &graph.nodes[x].shape;
                let strides = shape.strides();
                let axis = *axis as usize;
                let mut moves = [0; 8];
                for d in (0..shape.rank()).filter(|&d| d != axis) {
                    moves[map[d] as usize] = strides[d];
                }
                let at = project(&node.shape, &at, &self.space, &moves).map_err(|b| b.stop(n))?;
                let gather = Gather { index, extent: shape[axis], stride: strides[axis] };
                Instr::Load { buf, at, gather: SmallVec::from_elem(gather, 1) }
            }
            op => unreachable!("{} is written out", op.name()),
        };
        if !matches!(node.op, Op::Scalar(_)) {
            self.ops.push(node.op.name());
        }
        let dtype = node.dtype.register();
        let reg = self.push(Line { instr, dtype, inner: false });
        let fit = match &node.op {
            Op::Cast => rounding(graph.nodes[node.inputs[0] as usize].dtype, node.dtype),
            Op::Unary(_) | Op::Binary(_) => wrapping(node.dtype),
            _ => None,
        };
        Ok(fit.map_or(reg, |f| self.push(Line { instr: Instr::Unary(f, reg), dtype, inner: false })))
    }

    pub(super) fn finish(self, node: &PlanNode, reg: Reg, buf: BufId, at: Access) -> Step {
        let mut ops = self.ops;
        let name = node.op.name();
        if !node.op.is_pointwise() && ops.last() != Some(&name) {
            ops.push(name);
        }
        let stores = vec![Store { reg, buf, at, inner: false }];
        let program = Program { lines: self.lines, stores };
        Step { space: self.space, mask: self.mask, ops, at: node.at, ..Step::new(Family::Nest, &[], program) }
    }
}
