//! Loop nests with reductions, tile by tile: a tile is some outer points ("lanes") with all their inner positions.
//! Stage by stage the outer lines of a tile are evaluated, then its inner space is walked to feed that stage's reductions.

use std::ops::Range;
use std::sync::OnceLock;

use super::Kernel;
use super::tiling::Tiling;
use crate::backend::cpu::memory::{Line, words_of_mut};
use crate::backend::cpu::program::interp::{Ctx, Env, Inst, NO_TILE, Place, Regs};
use crate::backend::cpu::program::reduce::{Acc, Tile};
use crate::backend::cpu::program::space::{Block, Out, Outs, Space, fork};
use crate::backend::cpu::threads::grain;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, ReduceOp};

pub(in crate::backend::cpu) struct Nest {
    pub(super) shape: Tiling,
    /// Outer points and inner positions.
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) outer: Space,
    pub(super) full: Space,
    pub(super) outer_places: Vec<Place>,
    pub(super) places: Vec<Place>,
    pub(super) stages: Vec<Stage>,
    /// Stores of outer values.
    pub(super) stores: Vec<Inst>,
    pub(super) regs: usize,
    pub(super) words: usize,
    pub(super) outer_regs: usize,
    /// For each output its address: over the outer space, or (`true`) over the full one.
    pub(super) cuts: Vec<Option<(bool, Access)>>,
    pub(super) splits: bool,
    pub(super) cost: usize,
}

/// One round: outer lines, then a walk through the inner space.
pub(super) struct Stage {
    pub(super) outer: Vec<Inst>,
    /// Done once for each walk: outer values repeated over a block.
    pub(super) once: Vec<Inst>,
    pub(super) body: Vec<Inst>,
    /// The reductions it feeds, and the outer registers of their results.
    pub(super) reduces: Vec<(ReduceOp, DType, u16)>,
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
                acc.finish(r.len(), words_of_mut(&mut outer.files[reg as usize]));
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
        outer: &[Vec<Line>],
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
                    acc.finish(width, words_of_mut(&mut outer.files[reg as usize]));
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
