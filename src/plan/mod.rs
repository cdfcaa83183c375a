//! From graph to steps.
//!
//! Read in this order: `widen` puts conversions before families that get narrow operands and cannot read them; `lower` decides which values
//! are written out (`written` holds which) and makes one kernel for each, its lines written by `expression`, or a step of
//! a family (`product` for matrices and convolutions); `rewrite` is what is done to a step; `fuse` merges steps; `in_place`
//! does without copies of variables; `turn` turns weights around that many products read; `place` numbers buffers and gives temporaries slots.

mod expression;
mod fuse;
mod in_place;
mod lower;
mod place;
mod product;
mod rewrite;
#[cfg(test)]
mod tests;
mod turn;
mod widen;
mod written;

use crate::error::Result;
use crate::ir::{op, step};

/// What the planner has to respect and may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Distinct buffers a step may bind.
    pub(crate) max_buffers: usize,
    /// Whether operations may share a kernel.
    pub(crate) fusion: bool,
    /// Whether products read `f16` and `bf16` from memory as they are.
    pub(crate) half_products: bool,
    /// Whether what many small products read across its rows is to be turned around once.
    pub(crate) turned_weights: bool,
}

/// Plans a graph: nodes in dependency order.
pub(crate) fn plan(nodes: &[op::PlanNode], limits: Limits) -> Result<step::Plan> {
    let params = nodes.iter().map(|n| n.op.params()).sum();
    let lowered = lower::lower(&widen::widen(nodes, limits.half_products), limits)?;
    let (mut kernels, mut buffers) = fuse::fuse(lowered, limits.max_buffers, limits.fusion)?;
    in_place::read_in_place(&mut kernels, &buffers);
    if limits.turned_weights {
        turn::turn_weights(&mut kernels, &mut buffers);
    }
    Ok(place::place(kernels, buffers, params))
}
