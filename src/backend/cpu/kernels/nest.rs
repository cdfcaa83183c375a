//! Loop nests with reductions, tile by tile: a tile is some outer points ("lanes") with all their inner positions.
//! Stage by stage the outer lines of a tile are evaluated, then its inner space is walked to feed that stage's reductions.

use std::ops::Range;
use std::sync::OnceLock;

use super::Kernel;
use super::tiling::{Tiling, order_inner, prefers_columns};
use crate::backend::cpu::program::compile::{Compiler, Item, Layout, Wiring, cost, without_copies};
use crate::backend::cpu::program::interp::{Ctx, Env, Inst, NO_TILE, Place, Regs, Src};
use crate::backend::cpu::program::reduce::{Acc, Tile};
use crate::backend::cpu::program::space::{Block, Out, Outs, Space, fork};
use crate::backend::cpu::threads::grain;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, Instr, Program, ReduceOp, Reg};
use crate::ir::step::Step;

pub(in crate::backend::cpu) struct Nest {
    shape: Tiling,
    /// Outer points and inner positions.
    m: usize,
    n: usize,
    outer: Space,
    full: Space,
    outer_places: Vec<Place>,
    places: Vec<Place>,
    stages: Vec<Stage>,
    /// Stores of outer values.
    stores: Vec<Inst>,
    regs: usize,
    words: usize,
    outer_regs: usize,
    /// For each output its address: over the outer space, or (`true`) over the full one.
    cuts: Vec<Option<(bool, Access)>>,
    splits: bool,
    cost: usize,
}

/// One round: outer lines, then a walk through the inner space.
struct Stage {
    outer: Vec<Inst>,
    /// Done once for each walk: outer values repeated over a block.
    once: Vec<Inst>,
    body: Vec<Inst>,
    /// The reductions it feeds, and the outer registers of their results.
    reduces: Vec<(ReduceOp, DType, u16)>,
}

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
}

impl Draft {
    pub(in crate::backend::cpu) fn new(step: &Step) -> Self {
        let (outer, mut inner, mut program) = (step.outer(), step.inner(), without_copies(&step.program));
        order_inner(&mut inner, &mut program, outer.len());
        let levels = levels(&program, outer.len(), &inner);
        let (m, n) = (outer.iter().product(), inner.iter().product());
        let walks = 1 + usize::from(program.stages().iter().max() > Some(&1) || program.stores.iter().any(|s| s.inner));
        let column = prefers_columns(&outer, &inner, &program, &levels);
        let shape = Tiling::new(column, m, n, walks);
        Draft { program, outer: outer.to_vec(), inner: inner.to_vec(), levels, shape }
    }

    pub(in crate::backend::cpu) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether a buffer may be read while it is overwritten (where threads divide the inner space, stages read others' parts).
    pub(in crate::backend::cpu) fn may_overwrite(&self) -> bool {
        !self.shape.wide
    }

    pub(in crate::backend::cpu) fn compile(self, wiring: &Wiring, outputs: usize) -> Result<Nest> {
        let Draft { program, outer: outer_dims, inner: inner_dims, levels, shape } = self;
        let program = &program;
        let rank = outer_dims.len();
        let (m, n): (usize, usize) = (outer_dims.iter().product(), inner_dims.iter().product());

        // Addresses of the two levels; those of the full space with the faster level last.
        let full_dims: Vec<usize> = match shape.column {
            true => inner_dims.iter().chain(&outer_dims).copied().collect(),
            false => outer_dims.iter().chain(&inner_dims).copied().collect(),
        };
        let over_full = |at: &Access| {
            let mut at = at.clone();
            at.strides.resize(rank + inner_dims.len(), 0);
            if shape.column {
                at.strides.rotate_left(rank);
            }
            at
        };
        let over_outer = |at: &Access| {
            let mut at = at.clone();
            at.strides.truncate(rank);
            at
        };
        let lines = program.lines.iter().zip(&levels);
        let (mut at, mut outer_at): (Vec<Option<Access>>, Vec<Option<Access>>) = lines
            .map(|(line, &inner)| {
                let access = line.instr.access();
                (access.filter(|_| inner).map(over_full), access.filter(|_| !inner).map(over_outer))
            })
            .unzip();
        let (mut store_at, mut outer_store_at): (Vec<Option<Access>>, Vec<Option<Access>>) = program
            .stores
            .iter()
            .map(|s| (Some(&s.at).filter(|_| s.inner).map(over_full), Some(&s.at).filter(|_| !s.inner).map(over_outer)))
            .unzip();
        let outer = Space::merge(&outer_dims, outer_at.iter_mut().chain(&mut outer_store_at).flatten());
        let full = Space::merge(&full_dims, at.iter_mut().chain(&mut store_at).flatten());

        let mut cuts: Vec<Option<(bool, Access)>> = vec![None; outputs];
        let mut splits = true;
        for (s, &k) in wiring.out_of_store.iter().enumerate() {
            let inner = program.stores[s].inner;
            let (space, access) = if inner { (&full, &store_at[s]) } else { (&outer, &outer_store_at[s]) };
            let Some(access) = access else { continue };
            splits &= cuts[k as usize].is_none() && space.is_increasing(access);
            cuts[k as usize] = Some((inner, access.clone()));
        }

        let stage_of = program.stages();
        let rounds = stage_of.iter().max().copied().unwrap_or(0) as usize;
        let reduces = |s: usize| -> Vec<usize> {
            let closes =
                |l: &usize| matches!(program.lines[*l].instr, Instr::Reduce(..)) && stage_of[*l] as usize == s + 1;
            (0..program.lines.len()).filter(closes).collect()
        };

        // Outer level: every line keeps its register.
        let mut outer_compiler = Compiler {
            program,
            wiring,
            space: &outer,
            layout: Layout::Flat,
            varies: vec![true; program.lines.len()],
            at: outer_at,
            store_at: outer_store_at,
            outer: Vec::new(),
            accs: Vec::new(),
            places: Vec::new(),
            regs: 0,
            loc: Vec::new(),
        };
        let (mut items, mut marks) = (Vec::new(), Vec::new());
        for s in 0..=rounds {
            for l in (0..program.lines.len()).filter(|&l| !levels[l] && stage_of[l] as usize == s) {
                let reduce = matches!(program.lines[l].instr, Instr::Reduce(..));
                items.push(if reduce { Item::Given(l as Reg) } else { Item::Line(l as Reg) });
            }
            marks.push(items.len());
        }
        let pinned = items.len();
        items.extend((0..program.stores.len()).filter(|&s| !program.stores[s].inner).map(|s| Item::Store(s as u16)));
        marks.push(items.len());
        let mut outer_code = outer_compiler.compile(&items, pinned, &marks)?;
        let stores = outer_code.pop().unwrap_or_default();
        let mut slots: Vec<u16> = vec![0; program.lines.len()];
        for (slot, loc) in slots.iter_mut().zip(&outer_compiler.loc) {
            if let Some(Src::Reg(r)) = loc {
                *slot = *r;
            }
        }
        let (outer_regs, outer_places) = (outer_compiler.regs, outer_compiler.places);

        // Inner level: `Expand` reads outer registers, `Reduce` feeds the accumulators of its stage.
        let mut reduce_lists = Vec::new();
        let mut accs = vec![0; program.lines.len()];
        for s in 0..=rounds {
            let mut list = Vec::new();
            for l in reduces(s) {
                let Instr::Reduce(op, a) = program.lines[l].instr else { continue };
                accs[l] = list.len() as u16;
                list.push((op, program.lines[a as usize].dtype, slots[l]));
            }
            reduce_lists.push(list);
        }
        let last = full.dims.last().copied().unwrap_or(1);
        let layout = match shape {
            _ if full.dims.len() < 2 && (shape.lanes == m || !shape.column) => Layout::InRow,
            Tiling { column: true, keep: true, lanes, .. } if lanes < m => Layout::Pitched,
            Tiling { column: true, lanes, .. } if lanes < m && last.is_multiple_of(m) => Layout::InRow,
            Tiling { column: false, lanes: 1, .. } if n > 0 && last.is_multiple_of(n) => Layout::InRow,
            _ => Layout::Flat,
        };
        let mut varies = vec![false; program.lines.len()];
        for (l, line) in program.lines.iter().enumerate() {
            varies[l] = match levels[l] {
                true => {
                    at[l].as_ref().is_some_and(|a| a.strides.last().is_some_and(|&s| s != 0))
                        || line.instr.operands().iter().any(|&r| varies[r as usize])
                }
                // Outer values change within a run where the run crosses outer points.
                false => shape.column || n == 0 || !n.is_multiple_of(last),
            };
        }
        let mut compiler = Compiler {
            program,
            wiring,
            space: &full,
            layout,
            at,
            store_at,
            varies,
            outer: slots,
            accs,
            places: Vec::new(),
            regs: 0,
            loc: Vec::new(),
        };
        let mut walker = Walker { program, levels: &levels, wiring, done: vec![false; program.lines.len()] };
        let overwrites = wiring.in_place.iter().any(Option::is_some);
        let mut walks: Vec<(Vec<Inst>, Vec<Inst>)> = Vec::new();
        let mut regs = 0;
        let mut kept: Vec<Item> = Vec::new();
        let mut cuts_of_kept = Vec::new();
        for s in 0..=rounds {
            // A store goes with the stage that computes it, unless a later walk still reads what it overwrites.
            let due = |k: &usize| {
                let store = &program.stores[*k];
                let stage = stage_of[store.reg as usize] as usize;
                store.inner && s == if overwrites && !shape.keep { rounds } else { stage }
            };
            let stores: Vec<usize> = (0..program.stores.len()).filter(due).collect();
            let roots = reduces(s);
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
        let places = compiler.places;
        let stages: Vec<Stage> = walks
            .into_iter()
            .zip(outer_code)
            .zip(reduce_lists)
            .map(|(((once, body), outer), reduces)| Stage { outer, once, body, reduces })
            .collect();
        let wide = program.lines.iter().any(|l| l.dtype == DType::F64);
        let block = shape.lanes * shape.step;
        Ok(Nest {
            words: if wide { block } else { block.div_ceil(2) },
            cost: stages.iter().map(|s| cost(s.body.iter())).sum(),
            shape,
            m,
            n,
            outer,
            full,
            outer_places,
            places,
            stages,
            stores,
            regs,
            outer_regs,
            cuts,
            splits,
        })
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
            if !self.levels[l] {
                if fresh {
                    expands.push(Item::Expand(l as Reg));
                }
                users(l, &mut rest);
            } else if in_place(l) {
                if fresh {
                    first.push(Item::Line(l as Reg));
                }
                users(l, &mut rest);
            } else {
                if fresh {
                    rest.push(Item::Line(l as Reg));
                }
                users(l, &mut rest);
            }
        }
        first.extend(rest);
        (expands, first)
    }
}

/// What one task works with.
struct Work {
    regs: Regs,
    outer: Regs,
    accs: Vec<Vec<Acc>>,
}

impl Nest {
    /// Its work in picoseconds, as far as threads can divide it.
    pub(in crate::backend::cpu) fn work(&self) -> usize {
        if self.splits { (self.m * self.n.max(1)).saturating_mul(self.cost) } else { 0 }
    }

    pub(in crate::backend::cpu) fn run(&self, ctx: Ctx<'_>, outs: Outs<'_>) {
        if self.m == 0 {
            return;
        }
        if self.shape.wide {
            return self.run_wide(ctx, outs);
        }
        let lanes = self.shape.lanes;
        let tiles = self.m.div_ceil(lanes);
        let grain = if self.splits { grain(tiles, lanes * self.n.max(1) * self.cost) } else { tiles };
        let outs = match self.shape.column && grain < tiles {
            true => self.rows(outs),
            false => outs,
        };
        fork(0..tiles, grain, outs, &|outs, tile| self.cut(outs, tile * lanes), &|tiles, mut outs| {
            let mut work = self.room(lanes);
            for tile in tiles {
                self.tile(ctx, tile * lanes..((tile + 1) * lanes).min(self.m), &mut outs, &mut work);
            }
        });
    }

    fn room(&self, lanes: usize) -> Work {
        let accs = |s: &Stage| s.reduces.iter().map(|&(op, dtype, _)| Acc::new(op, dtype, lanes)).collect();
        Work {
            regs: Regs::take(self.regs, self.words),
            outer: Regs::take(self.outer_regs, lanes),
            accs: self.stages.iter().map(accs).collect(),
        }
    }

    /// One piece for each inner position of outputs of the full space.
    fn rows<'a>(&self, outs: Outs<'a>) -> Outs<'a> {
        let rows = |(out, cut): (Out<'a>, &Option<(bool, Access)>)| match cut {
            Some((true, at)) => out.into_rows(self.n, |p| self.full.address(at, p * self.m)),
            _ => out,
        };
        outs.into_iter().zip(&self.cuts).map(rows).collect()
    }

    /// Parts the outputs at outer point `r`.
    fn cut<'a>(&self, outs: Outs<'a>, r: usize) -> (Outs<'a>, Outs<'a>) {
        let parts = outs.into_iter().zip(&self.cuts).map(|(out, cut)| {
            out.split(|p| match cut {
                Some((false, at)) => self.outer.address(at, r),
                Some((true, at)) if self.shape.column => self.full.address(at, p * self.m + r),
                Some((true, at)) => self.full.address(at, r * self.n),
                None => i64::MAX,
            })
        });
        parts.unzip()
    }

    /// Evaluates outer instructions for the points `r`.
    fn outer(&self, ctx: Ctx<'_>, code: &[Inst], r: Range<usize>, outs: &mut Outs<'_>, regs: &mut Regs) {
        if code.is_empty() {
            return;
        }
        let mut env = Env {
            space: &self.outer,
            places: &self.outer_places,
            ctx,
            outs,
            regs: &mut regs.files,
            block: Block::flat(0..0),
            coords: Default::default(),
            tile: NO_TILE,
            outer: &[],
            accs: &mut [],
        };
        env.enter(Block::flat(r), NO_TILE);
        env.run(code);
    }

    /// All stages for the points `r`.
    fn tile(&self, ctx: Ctx<'_>, r: Range<usize>, outs: &mut Outs<'_>, work: &mut Work) {
        for (s, stage) in self.stages.iter().enumerate() {
            self.outer(ctx, &stage.outer, r.clone(), outs, &mut work.outer);
            let Work { regs, outer, accs } = work;
            accs[s].iter_mut().for_each(Acc::reset);
            self.walk(ctx, stage, r.clone(), 0, 0..self.n, outs, regs, &outer.files, &mut accs[s]);
            for (acc, &(_, _, reg)) in accs[s].iter().zip(&stage.reduces) {
                acc.finish(r.len(), &mut outer.files[reg as usize]);
            }
        }
        self.outer(ctx, &self.stores, r, outs, &mut work.outer);
    }

    /// Walks the inner positions `inner` of the points `r`, which are the lanes from `lane` on of the outer registers.
    #[allow(clippy::too_many_arguments, reason = "the parts of `Work` are borrowed in different ways")]
    fn walk(
        &self,
        ctx: Ctx<'_>,
        stage: &Stage,
        r: Range<usize>,
        lane: usize,
        inner: Range<usize>,
        outs: &mut Outs<'_>,
        regs: &mut Regs,
        outer: &[Vec<u64>],
        accs: &mut [Acc],
    ) {
        if stage.body.is_empty() || inner.is_empty() {
            return;
        }
        let Tiling { column, step, .. } = self.shape;
        let lanes = r.len();
        let mut env = Env {
            space: &self.full,
            places: &self.places,
            ctx,
            outs,
            regs: &mut regs.files,
            block: Block::flat(0..0),
            coords: Default::default(),
            tile: NO_TILE,
            outer,
            accs,
        };
        let mut first = true;
        for at in inner.clone().step_by(step) {
            let count = step.min(inner.end - at);
            let tile = Tile { column, lane, lanes, at, inner: count };
            let block = match column {
                true if lanes == self.m => Block::flat(at * self.m..(at + count) * self.m),
                true => Block { start: at * self.m + r.start, rows: count, len: lanes, pitch: self.m, turn: None },
                false => Block::flat(r.start * self.n + at..r.start * self.n + at + lanes * count),
            };
            env.enter(block, tile);
            if first {
                env.run(&stage.once);
                first = false;
            }
            env.run(&stage.body);
        }
    }

    /// Few outer points, many inner positions: threads walk parts of the inner space, and their partial results are
    /// merged in order.
    fn run_wide(&self, ctx: Ctx<'_>, mut outs: Outs<'_>) {
        let Tiling { column, lanes, chunk, .. } = self.shape;
        let (bands, width) = if column { (1, self.m) } else { (self.m, 1) };
        let chunks = self.n.div_ceil(chunk);
        let mut outer = Regs::take(self.outer_regs, width);
        for band in 0..bands {
            let r = band * width..(band + 1) * width;
            for stage in &self.stages {
                self.outer(ctx, &stage.outer, r.clone(), &mut outs, &mut outer);
                if stage.body.is_empty() {
                    continue;
                }
                let parts: Vec<OnceLock<Vec<Acc>>> = vec![OnceLock::new(); chunks];
                let start = |c: usize| if column { c * chunk * self.m } else { band * self.n + c * chunk };
                let mine = match band {
                    0 => outs.iter_mut().map(Out::reborrow).collect(),
                    _ => self.cut_full(outs.iter_mut().map(Out::reborrow).collect(), start(0)).1,
                };
                let files = &outer.files;
                let grain = if self.splits { grain(chunks, chunk * width * self.cost) } else { chunks };
                fork(0..chunks, grain, mine, &|outs, c| self.cut_full(outs, start(c)), &|range, mut outs| {
                    let mut regs = Regs::take(self.regs, self.words);
                    for c in range {
                        let new = |&(op, dtype, _): &(ReduceOp, DType, u16)| Acc::new(op, dtype, width);
                        let mut accs: Vec<Acc> = stage.reduces.iter().map(new).collect();
                        let inner = c * chunk..((c + 1) * chunk).min(self.n);
                        for lane in (0..width).step_by(lanes) {
                            let points = r.start + lane..r.start + (lane + lanes).min(width);
                            self.walk(ctx, stage, points, lane, inner.clone(), &mut outs, &mut regs, files, &mut accs);
                        }
                        // Each part is set once, by the task that owns it.
                        let _ = parts[c].set(accs);
                    }
                });
                let mut parts = parts.into_iter().filter_map(OnceLock::into_inner);
                let Some(mut total) = parts.next() else { continue };
                for part in parts {
                    total.iter_mut().zip(&part).for_each(|(t, p)| t.merge(p));
                }
                for (acc, &(_, _, reg)) in total.iter().zip(&stage.reduces) {
                    acc.finish(width, &mut outer.files[reg as usize]);
                }
            }
            self.outer(ctx, &self.stores, r, &mut outs, &mut outer);
        }
    }

    /// Parts the outputs of the full space at a flat position.
    fn cut_full<'a>(&self, outs: Outs<'a>, at: usize) -> (Outs<'a>, Outs<'a>) {
        let parts = outs.into_iter().zip(&self.cuts).map(|(out, cut)| {
            out.split(|_| match cut {
                Some((true, access)) => self.full.address(access, at),
                _ => i64::MAX,
            })
        });
        parts.unzip()
    }
}

impl Kernel for Nest {
    fn work(&self) -> usize {
        Nest::work(self)
    }

    fn run(&self, _: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        Nest::run(self, ctx, outs);
        Ok(())
    }
}
