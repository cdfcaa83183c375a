//! Programs without reductions over one space: elementwise steps and the epilogues of the other kinds.

use std::ops::Range;

use super::Kernel;
use crate::backend::cpu::program::compile::{Compiler, Item, Layout, Wiring, cost};
use crate::backend::cpu::program::interp::{Ctx, Env, Inst, NO_TILE, Place, Regs};
use crate::backend::cpu::program::space::{Block, Outs, Space, fork};
use crate::backend::cpu::threads::grain;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, Instr, Program};

/// Values a block holds: few enough for several blocks in the second cache, many enough to hide the interpreter. (Fewer in
/// unit tests, whose sizes need not be so large then to take several.)
pub(in crate::backend::cpu) const BLOCK: usize = if cfg!(test) { 1024 } else { 4096 };

/// Rows at least this long are cut into blocks of their own; several shorter ones are one block, for what is decided once a
/// block takes as long as an operation on some hundred values.
const LONG_ROW: usize = if cfg!(test) { 128 } else { 1024 };

/// Positions that parts for threads have at least.
const LINE: usize = 64;

/// Sides of the blocks of a space over which something is read across its rows: what one row brings to the cache serves
/// the next ones.
const TILE: usize = 32;

/// Positions from which reading across rows leaves the first caches.
const SPREAD: usize = 1 << 13;

pub(in crate::backend::cpu) struct Pointwise {
    space: Space,
    places: Vec<Place>,
    /// Lines whose values are the same in every block, evaluated once for each task ...
    once: Vec<Inst>,
    /// ... and the others, for each block.
    body: Vec<Inst>,
    regs: usize,
    words: usize,
    layout: Layout,
    block: usize,
    /// Parts for threads begin at multiples of this.
    period: usize,
    /// Positions are in the order of the dimensions given.
    natural: bool,
    /// The dimension whose positions are the rows of square blocks.
    turn: Option<usize>,
    /// Where each output is written, for cutting it; `None` where it cannot be cut.
    cuts: Vec<Option<Access>>,
    /// Whether all outputs can be cut.
    splits: bool,
    cost: usize,
}

impl Pointwise {
    /// Compiles `program` over `dims`.
    pub(in crate::backend::cpu) fn new(
        dims: &[usize],
        program: &Program,
        wiring: &Wiring,
        outputs: usize,
    ) -> Result<Self> {
        let mut at: Vec<Option<Access>> = program.lines.iter().map(|l| l.instr.access().cloned()).collect();
        let mut store_at: Vec<Access> = program.stores.iter().map(|s| s.at.clone()).collect();
        let mut dims: Vec<usize> = dims.to_vec();
        let space = Space { dims: dims.iter().copied().collect(), numel: dims.iter().product() };
        let natural = store_at.iter().all(|s| increasing(&space, s));
        if !natural {
            turn(&mut dims, at.iter_mut().flatten().collect(), &mut store_at);
        }
        let space = Space::merge(&dims, at.iter_mut().flatten().chain(&mut store_at));
        let cuts = Cuts::of(&space, &store_at, wiring, outputs);
        let turn = turned(&space, program, &at);
        let Blocks { layout, block, period, grouped } = Blocks::of(&space, turn.is_some());
        let (varies, uniform) = changes(program, wiring, &at, grouped);
        let (items, once) = order(program, wiring, &uniform);
        let mut compiler = Compiler {
            at,
            store_at: store_at.into_iter().map(Some).collect(),
            varies,
            ..Compiler::new(program, wiring, &space, layout)
        };
        let mut code = compiler.compile(&items, once, &[once, items.len()])?;
        let (places, regs) = (compiler.places, compiler.regs);
        let (body, once) = (code.pop().unwrap_or_default(), code.pop().unwrap_or_default());
        let wide = program.lines.iter().any(|l| l.dtype == DType::F64);
        Ok(Pointwise {
            words: if wide { block } else { block.div_ceil(2) },
            cost: cost(body.iter()),
            splits: cuts.all,
            space,
            places,
            once,
            body,
            regs,
            layout,
            block,
            // (Both are the positions of some last dimensions.)
            period: cuts.period.max(if layout == Layout::Flat { period } else { 1 }),
            natural,
            turn,
            cuts: cuts.at,
        })
    }

    /// Its work in picoseconds, as far as threads can divide it.
    pub(in crate::backend::cpu) fn work(&self) -> usize {
        if self.splits { self.space.numel.saturating_mul(self.cost) } else { 0 }
    }

    /// Whether it may be run over `part` positions at a time, each time with their part of the outputs.
    pub(in crate::backend::cpu) fn divides(&self, part: usize) -> bool {
        self.splits && self.natural && self.turn.is_none() && part.is_multiple_of(self.period)
    }

    /// Parts the outputs at a flat position.
    pub(in crate::backend::cpu) fn cut<'a>(&self, outs: Outs<'a>, at: usize) -> (Outs<'a>, Outs<'a>) {
        let parts = outs.into_iter().zip(&self.cuts).map(|(out, access)| {
            let address = access.as_ref().map_or(i64::MAX, |a| self.space.address(a, at));
            out.split(|_| address)
        });
        parts.unzip()
    }

    /// Runs over the whole space, on several threads where that pays.
    pub(in crate::backend::cpu) fn run(&self, ctx: Ctx<'_>, outs: Outs<'_>) {
        let numel = self.space.numel;
        if numel == 0 {
            return;
        }
        // Threads get whole rows where it depends on these, or whole bands of square blocks.
        let bands = self.bands();
        let (units, each) = bands.map_or((numel, self.cost), |b| (b.count, numel / b.count * self.cost));
        let whole = bands.map_or(LINE.next_multiple_of(self.period), |b| b.within(self.period));
        let grain = if self.splits { grain(units, each) } else { units };
        let grain = if grain < units { grain.next_multiple_of(whole) } else { grain };
        let start = |unit: usize| bands.map_or(unit, |b| b.start(unit));
        fork(0..units, grain, outs, &|outs, at| self.cut(outs, start(at)), &|range, mut outs| {
            self.task(ctx, &mut outs, |body| match bands {
                Some(bands) => range.clone().for_each(|band| bands.blocks(band, body)),
                None => self.blocks(range.clone(), body),
            });
        });
    }

    /// Runs over a part of the flat space, if it [`divides`](Self::divides) into such parts.
    pub(in crate::backend::cpu) fn range(&self, ctx: Ctx<'_>, range: Range<usize>, outs: &mut Outs<'_>) {
        self.task(ctx, outs, |body| self.blocks(range, body));
    }

    /// Evaluates the blocks that `walk` names.
    fn task(&self, ctx: Ctx<'_>, outs: &mut Outs<'_>, walk: impl FnOnce(&mut dyn FnMut(Block))) {
        let mut regs = Regs::take(self.regs, self.words);
        let mut env = Env {
            space: &self.space,
            places: &self.places,
            ctx,
            outs,
            regs: &mut regs.files,
            block: Block::flat(0..0),
            coords: Default::default(),
            tile: NO_TILE,
            outer: &[],
            accs: &mut [],
        };
        if !self.once.is_empty() {
            env.enter(Block::flat(0..self.block), NO_TILE);
            env.run(&self.once);
        }
        walk(&mut |block| {
            env.enter(block, NO_TILE);
            env.run(&self.body);
        });
    }

    /// The blocks of a part of the flat space.
    fn blocks(&self, range: Range<usize>, body: &mut dyn FnMut(Block)) {
        let row = match self.layout {
            Layout::InRow if self.space.dims.len() > 1 => self.space.dims[self.space.dims.len() - 1],
            _ => usize::MAX,
        };
        let mut at = range.start;
        while at < range.end {
            let room = if row == usize::MAX { usize::MAX } else { row - at % row };
            let len = self.block.min(room).min(range.end - at);
            body(Block::flat(at..at + len));
            at += len;
        }
    }

    fn bands(&self) -> Option<Bands> {
        let turn = self.turn?;
        let (rows, pitch) = (self.space.dims[turn], self.space.dims[turn + 1..].iter().product());
        let (last, tall) = (self.space.dims[self.space.dims.len() - 1], rows.div_ceil(TILE));
        Some(Bands { turn, rows, pitch, last, tall, count: self.space.numel / (rows * pitch) * tall })
    }
}

/// How a space is cut into blocks.
struct Blocks {
    layout: Layout,
    /// Positions in a block, and in a group of short rows.
    block: usize,
    period: usize,
    /// The dimensions before this one number the groups.
    grouped: usize,
}

impl Blocks {
    /// Square ones where the space is `turned`, parts of long rows, or groups of short ones.
    fn of(space: &Space, turned: bool) -> Blocks {
        let last = space.dims.last().copied().unwrap_or(1);
        let layout = match turned {
            true => Layout::Pitched,
            false if space.dims.len() < 2 || last >= LONG_ROW => Layout::InRow,
            false => Layout::Flat,
        };
        // Blocks of short rows hold whole groups of them; what depends on the place in its group only is the same in each.
        let mut period = 1;
        let mut grouped = space.dims.len();
        while layout == Layout::Flat && grouped > 0 && period * space.dims[grouped - 1] <= BLOCK {
            grouped -= 1;
            period *= space.dims[grouped];
        }
        // All of it is one block: nothing is there to be repeated.
        if grouped == 0 {
            (grouped, period) = (space.dims.len(), 1);
        }
        let block = match layout {
            Layout::Pitched => TILE * TILE,
            Layout::InRow if space.dims.len() > 1 => last.div_ceil(last.div_ceil(BLOCK).max(1)).max(1),
            Layout::InRow => BLOCK.min(space.numel).max(1),
            Layout::Flat => (BLOCK / period.max(1) * period).clamp(1, space.numel.max(1)),
        };
        Blocks { layout, block, period, grouped }
    }
}

/// Where the outputs are cut for threads.
struct Cuts {
    /// For each output where it is written, if it can be cut.
    at: Vec<Option<Access>>,
    /// Whether all can.
    all: bool,
    /// They can at multiples of so many positions.
    period: usize,
}

impl Cuts {
    fn of(space: &Space, store_at: &[Access], wiring: &Wiring, outputs: usize) -> Cuts {
        let mut cuts = Cuts { at: vec![None; outputs], all: true, period: 1 };
        for k in 0..outputs {
            let stores =
                || store_at.iter().zip(&wiring.out_of_store).filter(|(_, o)| usize::from(**o) == k).map(|s| s.0);
            let Some(first) = stores().min_by_key(|at| at.offset) else { continue };
            let spread = stores().map(|at| at.offset - first.offset).max().unwrap_or(0);
            let alike = stores().all(|at| at.strides == first.strides) && space.is_increasing(first);
            match positions_apart(space, first, spread).filter(|_| alike) {
                Some(apart) => {
                    cuts.period = cuts.period.max(apart);
                    cuts.at[k] = Some(first.clone());
                }
                None => cuts.all = false,
            }
        }
        cuts
    }
}

/// How many positions are between those, at least, from which on all addresses are greater than those before them by more
/// than `spread`: several stores of rows that lie side by side do not reach into each other's next row. `None` if there are
/// none.
fn positions_apart(space: &Space, at: &Access, spread: i64) -> Option<usize> {
    let (mut inner, mut reach, mut apart) = (1, spread, (spread == 0).then_some(1));
    for (&extent, &stride) in space.dims.iter().zip(&at.strides).rev() {
        apart = if stride > reach { apart.or(Some(inner)) } else { None };
        inner *= extent;
        reach += stride * (extent as i64 - 1);
    }
    apart
}

/// Which lines change along the innermost dimension, and which have the same values in every block: they depend on no
/// dimension before `grouped`, nor on what is overwritten.
fn changes(program: &Program, wiring: &Wiring, at: &[Option<Access>], grouped: usize) -> (Vec<bool>, Vec<bool>) {
    let mut varies = vec![false; program.lines.len()];
    let mut uniform = vec![true; program.lines.len()];
    for (l, line) in program.lines.iter().enumerate() {
        let operands = line.instr.operands();
        let strides = at[l].as_ref().map_or(&[][..], |a| &a.strides);
        varies[l] = strides.last().is_some_and(|&s| s != 0) || operands.iter().any(|&r| varies[r as usize]);
        let constant = strides.iter().take(grouped).all(|&s| s == 0) && operands.iter().all(|&r| uniform[r as usize]);
        uniform[l] = constant && !is_in_place(wiring, l);
    }
    (varies, uniform)
}

fn is_in_place(wiring: &Wiring, line: usize) -> bool {
    wiring.in_place.get(line).is_some_and(Option::is_some)
}

/// Lines and stores in the order of their computation, and how many of them are done once for all blocks.
fn order(program: &Program, wiring: &Wiring, uniform: &[bool]) -> (Vec<Item>, usize) {
    let in_place = |l: usize| is_in_place(wiring, l);
    let lines = || 0..program.lines.len();
    let mut items: Vec<Item> = lines().filter(|&l| uniform[l]).map(|l| Item::Line(l as u16)).collect();
    let once = items.len();
    let stores = |l: usize, items: &mut Vec<Item>| {
        let of = program.stores.iter().enumerate().filter(|(_, s)| s.reg as usize == l);
        items.extend(of.map(|(s, _)| Item::Store(s as u16)));
    };
    // What is overwritten is read before anything is written.
    items.extend(lines().filter(|&l| in_place(l)).map(|l| Item::Line(l as u16)));
    lines().filter(|&l| in_place(l) || uniform[l]).for_each(|l| stores(l, &mut items));
    for l in lines().filter(|&l| !uniform[l] && !in_place(l)) {
        items.push(Item::Line(l as u16));
        stores(l, &mut items);
    }
    (items, once)
}

/// A space cut into bands of `TILE` positions along one dimension, and these into square blocks.
#[derive(Clone, Copy)]
struct Bands {
    turn: usize,
    /// The extent along the dimension, and how far apart its positions are.
    rows: usize,
    pitch: usize,
    /// The extent of the innermost dimension.
    last: usize,
    /// Bands that `rows` positions are cut into, and bands in all.
    tall: usize,
    count: usize,
}

impl Bands {
    /// The flat position at which a band begins, or the last one ends.
    fn start(&self, band: usize) -> usize {
        (band / self.tall * self.rows + band % self.tall * TILE) * self.pitch
    }

    /// How many bands parts for threads are multiples of, to begin at multiples of `period`, the positions of some last
    /// dimensions: any number if a position of the dimension has as many, or else all bands of some of them.
    fn within(&self, period: usize) -> usize {
        if period <= self.pitch { 1 } else { self.tall * (period / (self.rows * self.pitch)) }
    }

    fn blocks(&self, band: usize, body: &mut dyn FnMut(Block)) {
        let (start, rows) = (self.start(band), TILE.min(self.rows - band % self.tall * TILE));
        for run in (0..self.pitch).step_by(self.last) {
            for at in (0..self.last).step_by(TILE) {
                let len = TILE.min(self.last - at);
                body(Block { start: start + run + at, rows, len, pitch: self.pitch, turn: Some(self.turn) });
            }
        }
    }
}

/// The dimension along which neighbours in memory lie for a load that jumps along the innermost one.
fn turned(space: &Space, program: &Program, at: &[Option<Access>]) -> Option<usize> {
    let last = space.dims.len().checked_sub(1)?;
    if space.numel < SPREAD || space.dims[last] < TILE / 4 {
        return None;
    }
    let loads = program.lines.iter().zip(at).filter(|(l, _)| matches!(l.instr, Instr::Load { .. }));
    loads.filter_map(|(_, at)| at.as_ref()).find_map(|at| {
        let jump = at.strides[last].abs();
        (0..last).rfind(|&d| (1..jump).contains(&at.strides[d].abs()) && space.dims[d] >= TILE / 4 && jump >= 8)
    })
}

/// Whether later points are stored at greater addresses; extents of 1 do not count.
fn increasing(space: &Space, at: &Access) -> bool {
    let mut reach = 0i64;
    space.dims.iter().zip(&at.strides).rev().filter(|(e, _)| **e != 1).all(|(&extent, &stride)| {
        let fits = stride > reach;
        reach += stride * (extent as i64 - 1);
        fits
    })
}

/// Reorders the dimensions so that the first store runs upwards through its buffer.
fn turn(dims: &mut Vec<usize>, at: Vec<&mut Access>, stores: &mut [Access]) {
    let Some(lead) = stores.first().cloned() else { return };
    let mut order: Vec<usize> = (0..dims.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(lead.strides[d].abs()));
    for access in at.into_iter().chain(stores) {
        for d in (0..dims.len()).filter(|&d| lead.strides[d] < 0) {
            access.offset += access.strides[d] * (dims[d] as i64 - 1);
            access.strides[d] = -access.strides[d];
        }
        access.strides = order.iter().map(|&d| access.strides[d]).collect();
    }
    *dims = order.iter().map(|&d| dims[d]).collect();
}

/// The program with each `Acc(i)` read from `reads[i]`, a buffer at an address.
pub(in crate::backend::cpu) fn with_acc(program: &Program, reads: &[(u16, Access)]) -> Program {
    let mut out = program.clone();
    for line in &mut out.lines {
        if let Instr::Acc(i) = line.instr {
            let (buf, at) = reads[usize::from(i)].clone();
            line.instr = Instr::Load { buf, at, gather: Default::default() };
        }
    }
    out
}

impl Kernel for Pointwise {
    fn work(&self) -> usize {
        Pointwise::work(self)
    }

    fn run(&self, _: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        Pointwise::run(self, ctx, outs);
        Ok(())
    }
}
