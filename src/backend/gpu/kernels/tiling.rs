//! How a nest's threads are laid over its space.

use super::threads;
use crate::backend::gpu::dispatch::Caps;
use crate::ir::program::Instr;
use crate::ir::step::Step;

/// Work-groups that fill a large GPU; fewer are worth splitting the inner space for.
const ENOUGH_GROUPS: usize = 512;

/// Threads that keep a processor's vectors busy on all of its cores.
const ENOUGH_THREADS: usize = 256;

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
        if caps.software {
            // A processor's threads come in few vectors; teams, and waiting for them, are worth it only to have enough.
            let team =
                (ENOUGH_THREADS / outer.max(1)).next_power_of_two().min(64).min(inner.max(1).next_power_of_two());
            let team = team.min(caps.max_workgroup_size as usize) as u32;
            return Layout { team, rows: (64 / team).max(1), column: column && team > 1 }.fit(bytes, caps);
        }
        if column && inner > 16 {
            // Wide enough for whole memory sectors, and tall where that leaves too few work-groups.
            let team = if outer < 1024 && inner >= 1024 { 32 } else { 8 };
            return Layout { team, rows: (most / team).max(1), column }.fit(bytes, caps);
        }
        let team = [1024, 256, 64, 16, 4].into_iter().find(|&t| {
            let allowed = t <= most || (t <= caps.max_workgroup_size && inner >= 8 * t as usize && outer < 256);
            // Two steps and more for each thread, or one where threads are few.
            let busy = if outer * t as usize > 1 << 16 { 2 * t as usize <= inner } else { t as usize <= inner };
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

impl Layout {
    /// The same teams in work-groups of as many threads as is asked for, if that is several of them.
    fn grouped(self, bytes: usize, caps: &Caps) -> Self {
        match caps.group {
            Some(group) if !caps.software && self.team <= 64 && self.team <= group => {
                Layout { rows: group / self.team, ..self }.fit(bytes, caps)
            }
            _ => self,
        }
    }
}

/// How many values of a team are left for the last level of its combining; its size, where one level does.
pub(super) fn fan(team: u32) -> u32 {
    match team {
        team @ ..=16 => team,
        team => 1 << (team.ilog2() / 2),
    }
}

impl Layout {
    /// How a team brings together what its threads reduced.
    pub(super) fn combines(self, subgroups: bool) -> &'static str {
        match (self.team, subgroups) {
            (1, _) => "alone",
            (_, true) => "by subgroups",
            (team, _) if fan(team) == team => "at once",
            _ => "in two levels",
        }
    }

    /// Whether a team combines through subgroups. The widest have 128 threads; a smaller work-group would leave some of
    /// them empty.
    pub(super) fn shuffles(self, caps: &Caps) -> bool {
        caps.subgroups && self.rows == 1 && self.team >= 128
    }

    pub(super) fn form(self, subgroups: bool, part: &str) -> String {
        let Layout { team, rows, column } = self;
        let (column, subgroups) =
            (if column { " by columns" } else { "" }, if subgroups { " with subgroups" } else { "" });
        format!("{rows} teams of {team}{column}{subgroups}, {part}")
    }
}

/// What is chosen for a nest with reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) layout: Layout,
    /// Whether a thread's steps are written out one after the other, so that their loads go out together and what they
    /// compute stays in registers from sweep to sweep; otherwise each sweep walks them in a loop.
    pub(super) written: bool,
    pub(super) split: Option<Split>,
}

/// Several work-groups share an outer point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// How many.
    pub(super) parts: usize,
    /// The layout of the kernel that combines their results, and whether its steps are written out.
    pub(super) second: Layout,
    pub(super) written: bool,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    /// In what a thread takes at a time, as are the steps of the inner space.
    pub(super) outer: usize,
    pub(super) steps: usize,
    pub(super) column: bool,
    /// Values that a thread accumulates.
    pub(super) accs: usize,
    /// Whether there is one sweep and nothing is stored in it.
    pub(super) simple: bool,
    /// Statements of a step, and values that a later sweep needs again.
    pub(super) cost: usize,
    pub(super) kept: usize,
}

/// Steps that are written out at most; the statements of all together, and the registers that they may hold between sweeps.
const MOST_STEPS: usize = 8;
const MOST_STATEMENTS: usize = 512;
const MOST_KEPT: usize = 96;

/// How many of `steps` a work-group takes where `parts` share them: as much for each thread of a team.
pub(super) fn chunk(steps: usize, parts: usize, team: u32) -> usize {
    steps.div_ceil(parts).next_multiple_of(team as usize)
}

impl Choice {
    pub(super) fn by_rule(extents: Extents, caps: &Caps) -> Self {
        let Extents { outer, steps, column, accs, simple, cost, kept } = extents;
        let layout = Layout::choose(outer, steps, column, 8 * accs, caps);
        let tiles = outer.div_ceil(layout.rows as usize);
        // Few outer points and a long inner space: several work-groups share a point, and a second kernel combines them.
        let groups = if caps.software { ENOUGH_THREADS / 32 } else { ENOUGH_GROUPS };
        let parts = (groups / tiles).min(steps.div_ceil(layout.team as usize * MOST_STEPS));
        let written = |steps: usize, cost: usize, kept: usize| {
            let fits = steps * cost <= MOST_STATEMENTS && steps * kept <= MOST_KEPT;
            !caps.software && (1..=MOST_STEPS).contains(&steps) && fits
        };
        let split = (simple && parts >= 4).then(|| {
            let (team, rows) = if outer == 1 { (64, 1) } else { (8, threads(caps) / 8) };
            let second = Layout { team, rows, column: outer > 1 }.fit(8 * accs, caps);
            Split { parts, second, written: written(parts.div_ceil(second.team as usize), accs, 0) }
        });
        let each = split.map_or(steps, |s| chunk(steps, s.parts, layout.team)).div_ceil(layout.team as usize);
        let split = split.map(|split| Split { second: split.second.grouped(8 * accs, caps), ..split });
        Choice { layout: layout.grouped(8 * accs, caps), written: written(each, cost, kept), split }
    }

    /// Every choice that the rule makes for some extents and up to `accs` reductions; of the numbers of parts one.
    #[cfg(test)]
    pub(super) fn all(caps: &Caps, accs: usize) -> Vec<Self> {
        let sizes: Vec<usize> = (0..=20).flat_map(|bit| [1 << bit, (1 << bit) + 1, 3 << bit]).collect();
        let mut out: Vec<Choice> = Vec::new();
        for (&outer, &steps) in sizes.iter().flat_map(|o| sizes.iter().map(move |s| (o, s))) {
            for (accs, cost) in (1..=accs).flat_map(|accs| [(accs, 1), (accs, MOST_STATEMENTS)]) {
                for (column, simple) in [(false, false), (false, true), (true, false), (true, true)] {
                    let extents = Extents { outer, steps, column, accs, simple, cost, kept: 0 };
                    for group in [None, Some(64), Some(256)] {
                        let mut choice = Self::by_rule(extents, &Caps { group, ..*caps });
                        choice.split = choice.split.map(|split| Split { parts: 4, ..split });
                        if !out.contains(&choice) {
                            out.push(choice);
                        }
                    }
                }
            }
        }
        out
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
