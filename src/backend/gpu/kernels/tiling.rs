//! How a nest's threads are laid over its space.

use super::threads;
use crate::backend::gpu::dispatch::Caps;
use crate::ir::program::Instr;
use crate::ir::step::Step;

/// How threads are laid over the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) team: u32,
    pub(super) rows: u32,
    pub(super) column: bool,
}

impl Layout {
    pub(super) fn threads(self) -> u32 {
        self.team * self.rows
    }

    /// `inner` counts a thread's steps (vectors of four, where they are used).
    pub(super) fn choose(outer: usize, inner: usize, column: bool, bytes: usize, caps: &Caps) -> Self {
        let most = threads(caps);
        if column && inner > 16 {
            // Wide enough for whole memory sectors, and tall where that leaves too few work-groups.
            let team = if outer < 1024 && inner >= 1024 { 32 } else { 8 };
            return Layout { team, rows: (most / team).max(1), column }.fit(bytes, caps);
        }
        let team = [1024, 256, 64, 16, 4].into_iter().find(|&t| {
            let allowed = t <= most || (t <= caps.max_workgroup_size && inner >= 8 * t as usize && outer < 256);
            // A few steps for each thread, or one where threads are few.
            let busy = if outer * t as usize > 1 << 16 { 4 * t as usize <= inner } else { t as usize <= inner };
            !column && allowed && busy
        });
        let team = team.unwrap_or(1);
        let group = if outer * team as usize >= 1 << 16 { most } else { most.min(64) };
        Layout { team, rows: (group / team).max(1), column: false }.fit(bytes, caps)
    }

    /// Shrinks until `bytes` a thread of work-group memory fit.
    pub(super) fn fit(mut self, bytes: usize, caps: &Caps) -> Self {
        while self.team > 1 && self.threads() as usize * bytes > caps.max_workgroup_memory as usize {
            match self.rows {
                1 => self.team /= 2,
                _ => self.rows /= 2,
            }
        }
        self
    }
}

/// Whether memory is walked faster along the outer space than along the inner one, by a vote of the inner accesses,
/// each with the number of elements it reaches.
pub(super) fn column_major(step: &Step) -> bool {
    let (outer_dims, inner_dims, program) = (step.outer(), step.inner(), &step.program);
    let last = |extents: &[usize]| extents.iter().rposition(|&e| e != 1);
    let (Some(o), Some(i)) = (last(&outer_dims), last(&inner_dims)) else { return false };
    let loads = program.lines.iter().filter(|l| l.inner && matches!(l.instr, Instr::Load { .. }));
    let stores = program.stores.iter().filter(|s| s.inner).map(|s| &s.at);
    let votes = loads.filter_map(|l| l.instr.access()).chain(stores).map(|at| {
        let (outer, inner) = (at.strides[o].unsigned_abs(), at.strides[outer_dims.len() + i].unsigned_abs());
        let along = match (outer, inner) {
            (0, 0) => 0,
            (0, _) => -1,
            (_, 0) => 1,
            _ => i64::from(inner > outer) - i64::from(inner < outer),
        };
        let extents = step.space.iter().zip(&at.strides);
        along * extents.map(|(&extent, &stride)| if stride == 0 { 1 } else { extent as i64 }).product::<i64>()
    });
    votes.sum::<i64>() > 0
}
