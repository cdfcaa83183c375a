//! Nests made ready: from a step to the instructions of its passes. The outer lines of a stage are one pass, the walk
//! through the inner space that feeds its reductions another.

use super::nest::{Nest, Stage};
use super::tiling::{Tiling, order_inner, prefers_columns};
use crate::backend::cpu::program::compile::{Compiler, Item, Layout, Wiring, cost, without_copies};
use crate::backend::cpu::program::interp::{Inst, Place, Src};
use crate::backend::cpu::program::space::Space;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, Instr, Program, ReduceOp, Reg};
use crate::ir::step::Step;

/// Rows shorter than this are better computed together than one by one.
const SHORT_ROW: usize = 32;

/// Levels of lines: inner only where the value really depends on the inner position.
pub(in crate::backend::cpu) fn levels(program: &Program, outer: usize, inner: &[usize]) -> Vec<bool> {
    let mut out: Vec<bool> = Vec::with_capacity(program.lines.len());
    for line in &program.lines {
        let tail = line.instr.access().map_or(&[][..], |at| at.strides.get(outer..).unwrap_or(&[]));
        let varies = tail.iter().zip(inner).any(|(&s, &e)| s != 0 && e > 1);
        let below = !matches!(line.instr, Instr::Reduce(..)) && line.instr.operands().iter().any(|&r| out[r as usize]);
        out.push(varies || below);
    }
    out
}

/// A nest before it is compiled, for decisions that others must know first.
pub(in crate::backend::cpu) struct Draft {
    program: Program,
    outer: Vec<usize>,
    inner: Vec<usize>,
    pub(in crate::backend::cpu) levels: Vec<bool>,
    shape: Tiling,
    /// For each line the stage that computes it, and how many rounds of reductions there are.
    stage_of: Vec<u16>,
    rounds: usize,
}

/// The two spaces of a nest, and where the lines and stores that live in each read and write.
struct Spaces {
    outer: Space,
    full: Space,
    outer_at: Vec<Option<Access>>,
    outer_store_at: Vec<Option<Access>>,
    at: Vec<Option<Access>>,
    store_at: Vec<Option<Access>>,
}

/// The compiled outer level.
struct OuterPass {
    /// Instructions of each stage, then the stores of outer values.
    stages: Vec<Vec<Inst>>,
    stores: Vec<Inst>,
    /// For each line its register.
    slots: Vec<u16>,
    places: Vec<Place>,
    regs: usize,
}

/// The compiled walks through the inner space, one a stage: what is done once for each walk, and for each block.
struct InnerPass {
    walks: Vec<(Vec<Inst>, Vec<Inst>)>,
    places: Vec<Place>,
    regs: usize,
}

impl Draft {
    pub(in crate::backend::cpu) fn new(step: &Step) -> Self {
        let (outer, mut inner, mut program) = (step.outer(), step.inner(), without_copies(&step.program));
        order_inner(&mut inner, &mut program, outer.len());
        let levels = levels(&program, outer.len(), &inner);
        let (m, n) = (outer.iter().product(), inner.iter().product());
        let stage_of = program.stages();
        let rounds = stage_of.iter().max().copied().unwrap_or(0) as usize;
        let walks = 1 + usize::from(rounds > 1 || program.stores.iter().any(|s| s.inner));
        let column = prefers_columns(&outer, &inner, &program, &levels);
        let shape = Tiling::new(column, m, n, walks);
        Draft { program, outer: outer.to_vec(), inner: inner.to_vec(), levels, shape, stage_of, rounds }
    }

    pub(in crate::backend::cpu) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether a buffer may be read while it is overwritten (where threads divide the inner space, stages read others' parts).
    pub(in crate::backend::cpu) fn may_overwrite(&self) -> bool {
        !self.shape.wide
    }

    /// How many outer points there are, and how many inner positions.
    fn extents(&self) -> (usize, usize) {
        (self.outer.iter().product(), self.inner.iter().product())
    }

    pub(in crate::backend::cpu) fn compile(self, wiring: &Wiring, outputs: usize) -> Result<Nest> {
        let mut spaces = self.spaces();
        let (cuts, splits) = self.cuts(&spaces, wiring, outputs);
        let outer = self.outer_pass(&mut spaces, wiring)?;
        let reduces = self.reductions(&outer.slots);
        let inner = self.inner_pass(&mut spaces, wiring, &outer.slots)?;
        let parts = inner.walks.into_iter().zip(outer.stages).zip(reduces);
        let stages: Vec<Stage> =
            parts.map(|(((once, body), outer), reduces)| Stage { outer, once, body, reduces }).collect();
        let (m, n) = self.extents();
        let wide = self.program.lines.iter().any(|l| l.dtype == DType::F64);
        let block = self.shape.lanes * self.shape.step;
        Ok(Nest {
            words: if wide { block } else { block.div_ceil(2) },
            cost: stages.iter().map(|s| cost(s.body.iter())).sum(),
            shape: self.shape,
            m,
            n,
            outer: spaces.outer,
            full: spaces.full,
            outer_places: outer.places,
            places: inner.places,
            stages,
            stores: outer.stores,
            regs: inner.regs,
            outer_regs: outer.regs,
            cuts,
            splits,
        })
    }

    /// Addresses of the two levels; those of the full space with the faster level last.
    fn spaces(&self) -> Spaces {
        let (rank, column) = (self.outer.len(), self.shape.column);
        let full_dims: Vec<usize> = match column {
            true => self.inner.iter().chain(&self.outer).copied().collect(),
            false => self.outer.iter().chain(&self.inner).copied().collect(),
        };
        let over_full = |at: &Access| {
            let mut at = at.clone();
            at.strides.resize(rank + self.inner.len(), 0);
            if column {
                at.strides.rotate_left(rank);
            }
            at
        };
        let over_outer = |at: &Access| {
            let mut at = at.clone();
            at.strides.truncate(rank);
            at
        };
        let place = |access: Option<&Access>, inner: bool| {
            (access.filter(|_| inner).map(over_full), access.filter(|_| !inner).map(over_outer))
        };
        let lines = self.program.lines.iter().zip(&self.levels);
        let (mut at, mut outer_at): (Vec<_>, Vec<_>) = lines.map(|(l, &inner)| place(l.instr.access(), inner)).unzip();
        let stores = self.program.stores.iter();
        let (mut store_at, mut outer_store_at): (Vec<_>, Vec<_>) = stores.map(|s| place(Some(&s.at), s.inner)).unzip();
        Spaces {
            outer: Space::merge(&self.outer, outer_at.iter_mut().chain(&mut outer_store_at).flatten()),
            full: Space::merge(&full_dims, at.iter_mut().chain(&mut store_at).flatten()),
            outer_at,
            outer_store_at,
            at,
            store_at,
        }
    }

    /// For each output its address, as [`Nest`] keeps it; and whether all outputs can be cut.
    fn cuts(&self, spaces: &Spaces, wiring: &Wiring, outputs: usize) -> (Vec<Option<(bool, Access)>>, bool) {
        let mut cuts: Vec<Option<(bool, Access)>> = vec![None; outputs];
        let mut splits = true;
        for (s, &k) in wiring.out_of_store.iter().enumerate() {
            let inner = self.program.stores[s].inner;
            let (space, access) = match inner {
                true => (&spaces.full, &spaces.store_at[s]),
                false => (&spaces.outer, &spaces.outer_store_at[s]),
            };
            let Some(access) = access else { continue };
            splits &= cuts[k as usize].is_none() && space.is_increasing(access);
            cuts[k as usize] = Some((inner, access.clone()));
        }
        (cuts, splits)
    }

    fn is_reduction(&self, line: usize) -> bool {
        matches!(self.program.lines[line].instr, Instr::Reduce(..))
    }

    /// The reductions that the walk of stage `s` feeds.
    fn fed_by(&self, s: usize) -> Vec<usize> {
        let closes = |l: &usize| self.is_reduction(*l) && self.stage_of[*l] as usize == s + 1;
        (0..self.program.lines.len()).filter(closes).collect()
    }

    /// The reductions of each stage, and the outer registers of their results.
    fn reductions(&self, slots: &[u16]) -> Vec<Vec<(ReduceOp, DType, u16)>> {
        let of = |l: usize| match self.program.lines[l].instr {
            Instr::Reduce(op, a) => Some((op, self.program.lines[a as usize].dtype, slots[l])),
            _ => None,
        };
        (0..=self.rounds).map(|s| self.fed_by(s).into_iter().filter_map(of).collect()).collect()
    }

    /// The outer level: every line keeps its register.
    fn outer_pass(&self, spaces: &mut Spaces, wiring: &Wiring) -> Result<OuterPass> {
        let program = &self.program;
        let (mut items, mut marks) = (Vec::new(), Vec::new());
        for s in 0..=self.rounds {
            for l in (0..program.lines.len()).filter(|&l| !self.levels[l] && self.stage_of[l] as usize == s) {
                items.push(if self.is_reduction(l) { Item::Given(l as Reg) } else { Item::Line(l as Reg) });
            }
            marks.push(items.len());
        }
        let pinned = items.len();
        items.extend((0..program.stores.len()).filter(|&s| !program.stores[s].inner).map(|s| Item::Store(s as u16)));
        marks.push(items.len());
        let mut compiler = Compiler {
            at: std::mem::take(&mut spaces.outer_at),
            store_at: std::mem::take(&mut spaces.outer_store_at),
            varies: vec![true; program.lines.len()],
            ..Compiler::new(program, wiring, &spaces.outer, Layout::Flat)
        };
        let mut stages = compiler.compile(&items, pinned, &marks)?;
        let stores = stages.pop().unwrap_or_default();
        let slot = |loc: &Option<Src>| if let Some(Src::Reg(r)) = loc { *r } else { 0 };
        let slots = compiler.loc.iter().map(slot).collect();
        Ok(OuterPass { stages, stores, slots, places: compiler.places, regs: compiler.regs })
    }

    /// The inner level: `Expand` reads outer registers, `Reduce` feeds the accumulators of its stage.
    fn inner_pass(&self, spaces: &mut Spaces, wiring: &Wiring, slots: &[u16]) -> Result<InnerPass> {
        let (program, shape) = (&self.program, &self.shape);
        let mut accs = vec![0; program.lines.len()];
        for s in 0..=self.rounds {
            self.fed_by(s).into_iter().enumerate().for_each(|(i, l)| accs[l] = i as u16);
        }
        let at = std::mem::take(&mut spaces.at);
        let mut compiler = Compiler {
            varies: self.varies(&at, &spaces.full),
            at,
            store_at: std::mem::take(&mut spaces.store_at),
            outer: slots.to_vec(),
            row: Some(self.extents().1).filter(|&n| !shape.column && n >= SHORT_ROW),
            accs,
            ..Compiler::new(program, wiring, &spaces.full, self.layout(&spaces.full))
        };
        let mut walker = Walker { program, levels: &self.levels, wiring, done: vec![false; program.lines.len()] };
        let overwrites = wiring.in_place.iter().any(Option::is_some);
        let mut walks: Vec<(Vec<Inst>, Vec<Inst>)> = Vec::new();
        let mut regs = 0;
        let mut kept: Vec<Item> = Vec::new();
        let mut cuts_of_kept = Vec::new();
        for s in 0..=self.rounds {
            // A store goes with the stage that computes it, unless a later walk still reads what it overwrites.
            let due = |k: &usize| {
                let store = &program.stores[*k];
                let stage = self.stage_of[store.reg as usize] as usize;
                store.inner && s == if overwrites && !shape.keep { self.rounds } else { stage }
            };
            let stores: Vec<usize> = (0..program.stores.len()).filter(due).collect();
            let roots = self.fed_by(s);
            if shape.keep {
                let (expands, body) = walker.walk(&roots, &stores, s == 0);
                kept.extend(expands.into_iter().chain(body));
                cuts_of_kept.push(kept.len());
            } else {
                walker.done.fill(false);
                let (mut items, body) = walker.walk(&roots, &stores, false);
                let once = items.len();
                items.extend(body);
                compiler.regs = 0;
                let mut code = compiler.compile(&items, once, &[once, items.len()])?;
                regs = regs.max(compiler.regs);
                let body = code.pop().unwrap_or_default();
                // A walk of nothing but repetition has its instructions all in `once`, cut there.
                walks.push((code.pop().unwrap_or_default(), body));
            }
        }
        if shape.keep {
            let code = compiler.compile(&kept, 0, &cuts_of_kept)?;
            regs = compiler.regs;
            walks.extend(code.into_iter().map(|body| (Vec::new(), body)));
        }
        Ok(InnerPass { walks, places: compiler.places, regs })
    }

    /// How the blocks of a walk lie in the full space.
    fn layout(&self, full: &Space) -> Layout {
        let (m, n) = self.extents();
        let last = full.dims.last().copied().unwrap_or(1);
        match self.shape {
            shape if full.dims.len() < 2 && (shape.lanes == m || !shape.column) => Layout::InRow,
            Tiling { column: true, keep: true, lanes, .. } if lanes < m => Layout::Pitched,
            Tiling { column: true, lanes, .. } if lanes < m && last.is_multiple_of(m) => Layout::InRow,
            Tiling { column: false, lanes: 1, .. } if n > 0 && last.is_multiple_of(n) => Layout::InRow,
            _ => Layout::Flat,
        }
    }

    /// Which lines change along the innermost dimension of the full space.
    fn varies(&self, at: &[Option<Access>], full: &Space) -> Vec<bool> {
        let (_, n) = self.extents();
        let last = full.dims.last().copied().unwrap_or(1);
        let mut varies = vec![false; self.program.lines.len()];
        for (l, line) in self.program.lines.iter().enumerate() {
            varies[l] = match self.levels[l] {
                true => {
                    at[l].as_ref().is_some_and(|a| a.strides.last().is_some_and(|&s| s != 0))
                        || line.instr.operands().iter().any(|&r| varies[r as usize])
                }
                // Outer values change within a run where the run crosses outer points.
                false => self.shape.column || n == 0 || !n.is_multiple_of(last),
            };
        }
        varies
    }
}

/// Collects what a walk needs.
struct Walker<'p> {
    program: &'p Program,
    levels: &'p [bool],
    wiring: &'p Wiring,
    /// Lines that are in registers already.
    done: Vec<bool>,
}

impl Walker<'_> {
    /// Items for reductions `roots` and for `stores`: repetitions of outer values, then the rest in order.
    /// With `all_in_place` every line that reads what is overwritten comes now.
    fn walk(&mut self, roots: &[usize], stores: &[usize], all_in_place: bool) -> (Vec<Item>, Vec<Item>) {
        let lines = &self.program.lines;
        let in_place = |l: usize| self.wiring.in_place.get(l).is_some_and(Option::is_some) && self.levels[l];
        let mut need = vec![false; lines.len()];
        for &r in roots {
            lines[r].instr.operands().iter().for_each(|&a| need[a as usize] = true);
        }
        for &s in stores {
            need[self.program.stores[s].reg as usize] = true;
        }
        for l in (0..lines.len()).rev() {
            need[l] |= all_in_place && in_place(l);
            if need[l] && self.levels[l] && !self.done[l] {
                lines[l].instr.operands().iter().for_each(|&a| need[a as usize] = true);
            }
        }
        let mut expands = Vec::new();
        let mut first = Vec::new();
        let mut rest = Vec::new();
        let users = |l: usize, items: &mut Vec<Item>| {
            let feeds = |r: &&usize| lines[**r].instr.operands()[0] as usize == l;
            items.extend(
                stores.iter().filter(|&&s| self.program.stores[s].reg as usize == l).map(|&s| Item::Store(s as u16)),
            );
            items.extend(roots.iter().filter(feeds).map(|&r| Item::Reduce(r as Reg)));
        };
        for l in (0..lines.len()).filter(|&l| need[l]) {
            let fresh = !std::mem::replace(&mut self.done[l], true);
            match (self.levels[l], in_place(l)) {
                _ if !fresh => {}
                (false, _) => expands.push(Item::Expand(l as Reg)),
                (true, true) => first.push(Item::Line(l as Reg)),
                (true, false) => rest.push(Item::Line(l as Reg)),
            }
            users(l, &mut rest);
        }
        first.extend(rest);
        (expands, first)
    }
}
