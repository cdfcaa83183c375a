//! From graph to steps: programs, the step kinds, and the planner.

mod access;
mod emit;
mod fuse;
mod inline;
mod kernel;
mod lower;
pub(crate) mod op;
mod print;
pub(crate) mod program;
pub(crate) mod scalar;
pub(crate) mod step;
#[cfg(test)]
mod tests;

use crate::error::Result;

/// What the planner has to respect and may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Distinct buffers a step may bind.
    pub(crate) max_buffers: usize,
    /// Whether operations may share a kernel.
    pub(crate) fusion: bool,
}

/// Plans a graph: nodes in dependency order.
pub(crate) fn plan(nodes: &[op::PlanNode], limits: Limits) -> Result<step::Plan> {
    let params = nodes.iter().map(|n| n.op.params()).sum();
    let lowered = lower::lower(nodes, limits)?;
    let (kernels, buffers) = fuse::fuse(lowered, limits.max_buffers, limits.fusion);
    Ok(emit::emit(kernels, buffers, params))
}
