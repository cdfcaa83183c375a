//! What of a graph is written out, and where.

use crate::ir::access::pull_back;
use crate::ir::op::PlanNode;
use crate::ir::program::Access;
use crate::ir::step::{BufId, BufferInfo};

/// Why a kernel could not be built as asked.
pub(super) enum Stop {
    /// The space needs a finer dimension.
    Split { dim: usize, inner: usize },
    /// The result of this view (or gather) has to be written out.
    Force(usize),
}

/// The node whose result has to be written out before the kernel can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stuck(pub(super) usize);

/// A kernel or a part of one, or what stands in its way.
pub(super) type Built<T> = std::result::Result<T, Stuck>;

/// A graph, and the values of it that are written out.
pub(super) struct Written<'a> {
    pub(super) nodes: &'a [PlanNode],
    /// First run-time scalar of each node.
    pub(super) slots: Vec<u16>,
    /// Whether a value is written out, and where.
    pub(super) buffer: Vec<Option<BufId>>,
    pub(super) buffers: Vec<BufferInfo>,
}

impl Written<'_> {
    /// The buffer behind an operand and its address over the operand's own dimensions.
    pub(super) fn strided(&self, n: usize) -> Built<(BufId, Access)> {
        let shape = self.nodes[n].shape;
        let mut at = Access::contiguous(&shape);
        let mut n = n;
        loop {
            let node = &self.nodes[n];
            if let Some(buf) = self.buffer[n] {
                return Ok((buf, at));
            }
            let below = node.inputs[0] as usize;
            if node.op.is_view() {
                at = pull_back(&node.op, &node.shape, &self.nodes[below].shape, &at, &shape).map_err(|_| Stuck(n))?;
            }
            n = below;
        }
    }

    /// The buffer of an operand that has to be contiguous, or the node to write out.
    pub(super) fn dense(&self, n: usize) -> Built<BufId> {
        let (buf, at) = self.strided(n)?;
        let shape = &self.nodes[n].shape;
        let whole = self.buffers[buf as usize].len == shape.numel();
        if whole && at.same(&Access::contiguous(shape), shape) { Ok(buf) } else { Err(Stuck(n)) }
    }
}
