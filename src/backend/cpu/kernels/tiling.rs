//! How a nest with reductions is cut into tiles: which level varies fastest, how many points a block holds,
//! where threads divide the work. All of it follows from the step alone, never from the number of threads, so that
//! the same step gives the same bits everywhere.

use smallvec::SmallVec;

use crate::ir::program::{Access, Dims, Instr, Program, ReduceOp};

/// Values of a block. Reductions keep few of them at a time, and larger blocks cost less for each value. (Fewer in unit
/// tests, whose sizes need not be so large then to take several.)
const BLOCK: usize = if cfg!(test) { 4096 } else { 16 * 1024 };

/// Rows (or columns) up to this many values are evaluated as a whole, with their values kept between stages.
const KEEP: usize = 8192;

/// Inner positions up to which whole columns are kept.
const KEEP_COLUMN: usize = 128;

/// Values from which few outer points are worth dividing along the inner space.
const WIDE: usize = 1 << 17;

/// Values that one partial result stands for, at least.
const CHUNK: usize = 1 << 15;

/// Rows whose sum is one partial result of each column: enough for the partial results not to be work of their own.
const ROWS: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) struct Tiling {
    /// Outer points vary fastest in a block ("column"), else inner positions ("row").
    pub(in crate::backend::cpu) column: bool,
    /// A block holds all inner positions of its lanes, and its registers live through all stages.
    pub(in crate::backend::cpu) keep: bool,
    /// Threads divide the inner space; otherwise the outer one.
    pub(in crate::backend::cpu) wide: bool,
    /// Outer points in a tile.
    pub(in crate::backend::cpu) lanes: usize,
    /// Inner positions in a block.
    pub(in crate::backend::cpu) step: usize,
    /// Inner positions of one partial result where `wide`.
    pub(in crate::backend::cpu) chunk: usize,
}

impl Tiling {
    /// For `m` outer and `n` inner points; `passes` is how often the inner space is walked.
    pub(in crate::backend::cpu) fn new(column: bool, m: usize, n: usize, passes: usize) -> Self {
        let large = m * n >= WIDE;
        if !column {
            let keep = n <= KEEP;
            let lanes = if keep { (BLOCK / n.max(1)).clamp(1, m.max(1)) } else { 1 };
            let step = if keep { n.max(1) } else { BLOCK };
            let chunk = CHUNK.max(n.div_ceil(256)).next_multiple_of(BLOCK);
            return Tiling { column, keep, wide: !keep && m < 16 && large, lanes, step, chunk };
        }
        if passes > 1 && n <= KEEP_COLUMN {
            let lanes = (KEEP / n.max(1)).min(m).max(1);
            return Tiling { column, keep: true, wide: false, lanes, step: n.max(1), chunk: n };
        }
        // Tiles of equal width, as wide as a block.
        let tiles = m.div_ceil(BLOCK).max(1);
        let lanes = m.div_ceil(tiles).max(1);
        let step = if tiles == 1 { (BLOCK / lanes).max(1) } else { 1 };
        let chunk = (CHUNK / m.max(1)).max(n.div_ceil(64)).max(n.div_ceil(8).min(ROWS)).next_multiple_of(step);
        Tiling { column, keep: false, wide: tiles < 8 && large && n > chunk, lanes, step, chunk }
    }
}

/// Orders the inner dimensions as the first large input has them in memory. Only positions matter to `ArgMax` and `ArgMin`,
/// so programs with those stay as they are.
pub(in crate::backend::cpu) fn order_inner(inner: &mut Dims<usize>, program: &mut Program, outer: usize) {
    let args = |i: &Instr| matches!(i, Instr::Reduce(ReduceOp::ArgMax | ReduceOp::ArgMin, _));
    if inner.len() < 2 || program.lines.iter().any(|l| args(&l.instr)) {
        return;
    }
    let full = |at: &Access| at.strides.len() > outer && at.strides[outer..].iter().all(|&s| s != 0);
    let lead = program.lines.iter().filter(|l| l.inner && matches!(l.instr, Instr::Load { .. }));
    let Some(lead) = lead.filter_map(|l| l.instr.access()).find(|at| full(at)).cloned() else { return };
    let mut order: SmallVec<[usize; 6]> = (0..inner.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(lead.strides[outer + d].abs()));
    *inner = order.iter().map(|&d| inner[d]).collect();
    let turn = |at: &mut Access| {
        if at.strides.len() > outer {
            let tail: Dims<i64> = order.iter().map(|&d| at.strides[outer + d]).collect();
            at.strides[outer..].copy_from_slice(&tail);
        }
    };
    program.lines.iter_mut().filter_map(|l| l.instr.access_mut()).for_each(turn);
    program.stores.iter_mut().for_each(|s| turn(&mut s.at));
}

/// Whether blocks should run along the outer dimensions: most inner accesses have their smaller stride there.
pub(in crate::backend::cpu) fn prefers_columns(
    outer: &[usize],
    inner: &[usize],
    program: &Program,
    inner_level: &[bool],
) -> bool {
    let last = |dims: &[usize]| dims.iter().rposition(|&e| e > 1);
    let (Some(o), Some(i)) = (last(outer), last(inner)) else { return false };
    let i = i + outer.len();
    let loads =
        program.lines.iter().zip(inner_level).filter(|(l, inner)| **inner && matches!(l.instr, Instr::Load { .. }));
    let loads = loads.filter_map(|(l, _)| l.instr.access());
    let stores = program.stores.iter().filter(|s| s.inner).map(|s| &s.at);
    let mut votes = 0i32;
    for at in loads.chain(stores).filter(|at| at.strides.len() > i) {
        let (so, si) = (at.strides[o].abs(), at.strides[i].abs());
        votes += match (so, si) {
            (0, 0) => 0,
            (0, _) => -1,
            (_, 0) => 1,
            _ if so < si => 4,
            _ => -4,
        };
    }
    votes > 0
}
