//! Compiled programs and their interpreter: a block of values for each instruction, so that the compiler vectorises
//! every loop, and few blocks alive at once, so that they stay in the first caches.

use std::cell::RefCell;

use bytemuck::{Pod, Zeroable};
use smallvec::SmallVec;

use super::chain::Chain;
use super::copies;
use super::known::{Kind, Sums};
use super::philox;
use super::reduce::{Acc, Operand, Tile};
use super::space::{Block, Coords, Out, Outs, Space, dot};
use super::steps::Values;
use crate::backend::cpu::memory::Line;
use crate::dtype::DType;
use crate::ir::encoding;
use crate::ir::program::Access;
use crate::ir::scalar::{Block1, Block2};

/// Where a block of values is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Src {
    /// A register.
    Reg(u16),
    /// An input buffer itself, where the block lies in it contiguously (index of a [`Place`]).
    Buf(u16),
    /// An output buffer, written by an instruction before (index of a [`Place`]).
    Out(u16),
}

/// Where an operand of a chain is.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) enum Arg {
    /// A value for each position of the block.
    Each(Src),
    /// A block of equal values.
    Equal(Src),
    /// An outer register, with a value for each lane of a block of rows.
    Lane(u16),
    /// What the results overwrite.
    Own,
    /// The same row of an input for each lane of a block of rows (index of a `Place`).
    Row(u16),
}

impl Arg {
    pub(super) fn kind(self) -> Kind {
        match self {
            Arg::Each(_) | Arg::Row(_) => Kind::Each,
            Arg::Equal(_) | Arg::Lane(_) => Kind::All,
            Arg::Own => Kind::Own,
        }
    }

    /// Whether it asks for the rows of a block one by one.
    pub(in crate::backend::cpu) fn is_by_row(&self) -> bool {
        matches!(self, Arg::Lane(_) | Arg::Row(_))
    }
}

/// Where an instruction's values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Dst {
    /// Nowhere: stores and reductions.
    None,
    Reg(u16),
    /// Straight into an output (index of a [`Place`]).
    Out(u16),
}

/// An access to a buffer.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Place {
    /// Index of the input (a step's buffer) or of the output.
    pub(in crate::backend::cpu) index: u16,
    pub(in crate::backend::cpu) at: Access,
    /// The address is `offset + position`.
    pub(in crate::backend::cpu) flat: bool,
    /// Of the elements in the buffer.
    pub(in crate::backend::cpu) dtype: DType,
}

/// An index of a gather.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Pick {
    pub(in crate::backend::cpu) index: Src,
    pub(in crate::backend::cpu) signed: bool,
    pub(in crate::backend::cpu) extent: i64,
    pub(in crate::backend::cpu) stride: i64,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) enum Fn1 {
    F32(Block1<f32>),
    F64(Block1<f64>),
    I32(Block1<i32>),
    U32(Block1<u32>),
    Test32(Block1<f32, u32>),
    Test64(Block1<f64, u32>),
}

#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) enum Fn2 {
    F32(Block2<f32>),
    F64(Block2<f64>),
    I32(Block2<i32>),
    U32(Block2<u32>),
    Cmp32(Block2<f32, u32>),
    Cmp64(Block2<f64, u32>),
    CmpI32(Block2<i32, u32>),
}

/// How elements are read.
#[derive(Clone, Copy)]
enum Fetch<'i> {
    Load,
    LoadOut,
    Gather(&'i [Pick], bool),
}

#[derive(Clone, Debug)]
pub(in crate::backend::cpu) enum Op {
    /// Copies from an input.
    Load(u16),
    /// Copies from an output that the program also writes.
    LoadOut(u16),
    Gather {
        place: u16,
        picks: SmallVec<[Pick; 1]>,
        /// The indices are constant along each run.
        uniform: bool,
    },
    Index(Access),
    Random {
        at: Access,
        key: u16,
        stream: u32,
    },
    Param(u16),
    Unary(Fn1, Src),
    Binary(Fn2, Src, Src),
    /// Basic operations on `f32`, one after the other.
    Chain(Chain<Arg>),
    Select(Src, Src, Src),
    Cast(DType, Src),
    /// An outer value for every inner position.
    Expand(u16),
    Reduce(u16, Src),
    /// Adds up what a chain gives.
    Sum(u16, Chain<Arg>, Sums),
    Store(u16, Src),
}

#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Inst {
    pub(in crate::backend::cpu) op: Op,
    pub(in crate::backend::cpu) dst: Dst,
    /// The type of the values produced, stored or reduced.
    pub(in crate::backend::cpu) dtype: DType,
}

/// What the steps of one run share.
#[derive(Clone, Copy)]
pub(in crate::backend::cpu) struct Ctx<'a> {
    /// The step's buffers as words; empty for those only written.
    pub(in crate::backend::cpu) ins: &'a [&'a [u64]],
    pub(in crate::backend::cpu) params: &'a [f64],
}

/// Registers of one task.
#[derive(Default)]
pub(in crate::backend::cpu) struct Regs {
    pub(in crate::backend::cpu) files: Vec<Vec<Line>>,
}

/// Narrow values of a block that need no memory of their own.
const NARROW: usize = 4096;

/// Lines of a set of registers that is kept for later work.
const KEPT: usize = 1 << 16;

thread_local! {
    /// Register files not in use, so that steady work allocates nothing.
    static FREE: RefCell<Vec<Vec<Vec<Line>>>> = const { RefCell::new(Vec::new()) };
}

impl Regs {
    /// `count` registers of at least `words` words, with undefined content.
    pub(in crate::backend::cpu) fn take(count: usize, words: usize) -> Self {
        let mut files = FREE.with(|f| f.borrow_mut().pop()).unwrap_or_default();
        if files.len() < count {
            files.resize_with(count, Vec::new);
        }
        let lines = words.div_ceil(size_of::<Line>() / 8);
        for file in files[..count].iter_mut().filter(|f| f.len() < lines) {
            file.resize(lines, Line::zeroed());
        }
        Regs { files }
    }
}

impl Drop for Regs {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if files.iter().map(Vec::len).sum::<usize>() > KEPT {
            return;
        }
        // At the end of a thread the list may be gone already; then the memory is simply freed.
        let _ = FREE.try_with(|f| f.borrow_mut().push(files));
    }
}

/// Everything instructions act on while one block is evaluated.
pub(in crate::backend::cpu) struct Env<'r, 'a> {
    pub(in crate::backend::cpu) space: &'r Space,
    pub(in crate::backend::cpu) places: &'r [Place],
    pub(in crate::backend::cpu) ctx: Ctx<'r>,
    pub(in crate::backend::cpu) outs: &'r mut Outs<'a>,
    pub(in crate::backend::cpu) regs: &'r mut [Vec<Line>],
    pub(in crate::backend::cpu) block: Block,
    pub(in crate::backend::cpu) coords: Coords,
    pub(in crate::backend::cpu) tile: Tile,
    /// Registers of the outer level, for `Expand`.
    pub(in crate::backend::cpu) outer: &'r [Vec<Line>],
    pub(in crate::backend::cpu) accs: &'r mut [Acc],
}

/// No reductions: all positions are one segment of no lane.
pub(in crate::backend::cpu) const NO_TILE: Tile = Tile { column: false, lane: 0, lanes: 0, at: 0, inner: 0 };

impl<'r> Env<'r, '_> {
    /// Moves on to another block.
    pub(in crate::backend::cpu) fn enter(&mut self, block: Block, tile: Tile) {
        self.block = block;
        self.tile = tile;
        // Flat spaces never ask for coordinates.
        if self.space.dims.len() > 1 {
            self.coords = self.space.coords(block.start);
        }
    }

    fn address(&self, place: &Place) -> i64 {
        match place.flat {
            true => place.at.offset + self.block.start as i64,
            false if self.space.dims.len() == 1 => place.at.offset + place.at.strides[0] * self.block.start as i64,
            false => dot(&place.at, &self.coords),
        }
    }

    /// The values of an operand.
    #[inline]
    fn get<T: Pod>(&self, src: Src) -> &[T] {
        let n = self.block.total();
        match src {
            Src::Reg(r) => &bytemuck::cast_slice(&self.regs[r as usize])[..n],
            Src::Buf(p) => {
                let place = &self.places[p as usize];
                let from: &[T] = bytemuck::cast_slice(self.ctx.ins[place.index as usize]);
                &from[self.address(place) as usize..][..n]
            }
            Src::Out(p) => {
                let place = &self.places[p as usize];
                &self.outs[place.index as usize].piece(self.tile.at).from(self.address(place))[..n]
            }
        }
    }

    /// Lets `f` fill the destination.
    #[inline]
    fn put<T: Pod>(&mut self, dst: Dst, f: impl FnOnce(&Self, &mut [T])) {
        let n = self.block.total();
        match dst {
            Dst::None => {}
            Dst::Reg(r) => {
                let mut file = std::mem::take(&mut self.regs[r as usize]);
                f(self, &mut bytemuck::cast_slice_mut(&mut file)[..n]);
                self.regs[r as usize] = file;
            }
            Dst::Out(p) => {
                let place = &self.places[p as usize];
                let (index, address) = (place.index as usize, self.address(place));
                let row = self.tile.at;
                let mut piece = std::mem::take(self.outs[index].piece_mut(row));
                f(self, &mut piece.words_mut(address)[..n]);
                *self.outs[index].piece_mut(row) = piece;
            }
        }
    }

    /// Runs instructions over the block.
    pub(in crate::backend::cpu) fn run(&mut self, code: &'r [Inst]) {
        for inst in code {
            self.step(inst);
        }
    }

    fn step(&mut self, inst: &'r Inst) {
        let dst = inst.dst;
        let wide = inst.dtype == DType::F64;
        match &inst.op {
            Op::Unary(f, a) => match *f {
                Fn1::F32(f) => self.put(dst, |e, out| f(e.get(*a), out)),
                Fn1::F64(f) => self.put(dst, |e, out| f(e.get(*a), out)),
                Fn1::I32(f) => self.put(dst, |e, out| f(e.get(*a), out)),
                Fn1::U32(f) => self.put(dst, |e, out| f(e.get(*a), out)),
                Fn1::Test32(f) => self.put(dst, |e, out| f(e.get(*a), out)),
                Fn1::Test64(f) => self.put(dst, |e, out| f(e.get(*a), out)),
            },
            Op::Binary(f, a, b) => match *f {
                Fn2::F32(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::F64(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::I32(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::U32(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::Cmp32(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::Cmp64(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
                Fn2::CmpI32(f) => self.put(dst, |e, out| f(e.get(*a), e.get(*b), out)),
            },
            Op::Chain(chain) => self.put(dst, |e, out| e.chain(chain, out)),
            Op::Select(c, a, b) if wide => {
                self.put(dst, |e, out| copies::select::<u64>(e.get(*c), e.get(*a), e.get(*b), out))
            }
            Op::Select(c, a, b) => self.put(dst, |e, out| copies::select::<u32>(e.get(*c), e.get(*a), e.get(*b), out)),
            Op::Cast(from, a) => self.cast(dst, *from, inst.dtype, *a),
            Op::Load(p) => self.fetch(dst, *p, Fetch::Load),
            Op::LoadOut(p) => self.fetch(dst, *p, Fetch::LoadOut),
            Op::Gather { place, picks, uniform } => self.fetch(dst, *place, Fetch::Gather(picks, *uniform)),
            Op::Index(at) => {
                let stride = at.strides.last().copied().unwrap_or(0);
                self.put(dst, |e, out| {
                    e.space.runs(at, &e.block, |_, d, address, n| copies::iota(&mut out[d..d + n], address, stride));
                });
            }
            Op::Random { at, key, stream } => {
                let key = [*key as usize, *key as usize + 1].map(|k| self.ctx.params[k] as u32);
                let stride = at.strides.last().copied().unwrap_or(0);
                self.put(dst, |e, out: &mut [u32]| {
                    e.space.runs(at, &e.block, |_, d, address, n| {
                        philox::fill(&mut out[d..d + n], address, stride, *stream, key);
                    });
                });
            }
            Op::Param(slot) => {
                let value = self.ctx.params[*slot as usize];
                match inst.dtype {
                    DType::F16 | DType::BF16 | DType::F32 => self.put(dst, |_, out| out.fill(value as f32)),
                    DType::F64 => self.put(dst, |_, out| out.fill(value)),
                    DType::I8 | DType::I32 => self.put(dst, |_, out| out.fill(value as i32)),
                    DType::U8 | DType::U32 => self.put(dst, |_, out| out.fill(value as u32)),
                    DType::Bool => self.put(dst, |_, out| out.fill(u32::from(value != 0.0))),
                }
            }
            Op::Expand(r) if wide => self.put(dst, |e, out| e.expand::<u64>(*r, out)),
            Op::Expand(r) => self.put(dst, |e, out| e.expand::<u32>(*r, out)),
            Op::Reduce(acc, a) => {
                let accs = std::mem::take(&mut self.accs);
                let operand = match inst.dtype {
                    DType::F16 | DType::BF16 | DType::F32 => Operand::F32(self.get(*a)),
                    DType::F64 => Operand::F64(self.get(*a)),
                    DType::I8 | DType::I32 => Operand::I32(self.get(*a)),
                    DType::U8 | DType::U32 | DType::Bool => Operand::U32(self.get(*a)),
                };
                accs[*acc as usize].add(&operand, self.tile);
                self.accs = accs;
            }
            Op::Sum(acc, chain, sums) => {
                let accs = std::mem::take(&mut self.accs);
                let row = self.tile.inner;
                sums(&chain.bound(|arg| self.values(arg, row)), row, accs[*acc as usize].sums(self.tile));
                self.accs = accs;
            }
            Op::Store(p, a) => match self.places[*p as usize].dtype {
                DType::F64 => self.store::<u64>(*p, *a),
                DType::F32 | DType::I32 | DType::U32 | DType::Bool => self.store::<u32>(*p, *a),
                DType::F16 => self.encode(*p, *a, encoding::f32_to_f16),
                DType::BF16 => self.encode(*p, *a, encoding::f32_to_bf16),
                DType::U8 | DType::I8 => self.encode(*p, *a, |v: u32| v as u8),
            },
        }
    }

    /// All of the block as one row, or rows where an operand is by row.
    fn chain(&self, chain: &Chain<Arg>, out: &mut [f32]) {
        let row = if chain.operands().iter().any(Arg::is_by_row) { self.tile.inner } else { out.len() };
        chain.run(|arg| self.values(arg, row), row, out);
    }

    /// An operand of a chain that walks in rows of `row` values.
    fn values(&self, arg: Arg, row: usize) -> Values<'_> {
        match arg {
            Arg::Own => Values::OWN,
            Arg::Each(src) => Values::each(self.get(src), row),
            Arg::Equal(src) => Values::all(self.get(src), 0),
            Arg::Lane(r) => {
                let lanes: &[f32] = bytemuck::cast_slice(&self.outer[r as usize]);
                Values::all(&lanes[self.tile.lane..], 1)
            }
            Arg::Row(p) => {
                let place = &self.places[p as usize];
                let from: &[f32] = bytemuck::cast_slice(self.ctx.ins[place.index as usize]);
                Values::each(&from[self.address(place) as usize..], 0)
            }
        }
    }

    /// Reads elements as they are in their buffer, and decodes narrow ones.
    fn fetch(&mut self, dst: Dst, p: u16, how: Fetch<'_>) {
        match self.places[p as usize].dtype {
            DType::F64 => self.put(dst, |e, out| e.raw(p, how, f64::NAN, out)),
            DType::F32 => self.put(dst, |e, out| e.raw(p, how, f32::NAN, out)),
            DType::I32 | DType::U32 | DType::Bool => self.put(dst, |e, out| e.raw(p, how, 0u32, out)),
            DType::F16 => self.decode(dst, p, how, 0x7e00, encoding::f16_to_f32),
            DType::BF16 => self.decode(dst, p, how, 0x7fc0, encoding::bf16_to_f32),
            DType::U8 => self.decode(dst, p, how, 0, |v: u8| u32::from(v)),
            DType::I8 => self.decode(dst, p, how, 0, |v: i8| i32::from(v)),
        }
    }

    fn raw<T: Pod>(&self, p: u16, how: Fetch<'_>, missing: T, out: &mut [T]) {
        match how {
            Fetch::Load => self.load(p, out),
            Fetch::LoadOut => self.load_out(p, out),
            Fetch::Gather(picks, uniform) => self.gather(p, picks, uniform, missing, out),
        }
    }

    fn decode<S: Pod, T: Pod>(&mut self, dst: Dst, p: u16, how: Fetch<'_>, missing: S, value: impl Fn(S) -> T) {
        self.put(dst, |e, out| {
            let mut raw: SmallVec<[S; NARROW]> = SmallVec::from_elem(missing, out.len());
            e.raw(p, how, missing, &mut raw);
            copies::map(&raw, out, value);
        });
    }

    fn encode<T: Pod, S: Pod>(&mut self, p: u16, src: Src, bits: impl Fn(T) -> S) {
        let values: &[T] = self.get(src);
        let mut raw: SmallVec<[S; NARROW]> = SmallVec::from_elem(S::zeroed(), values.len());
        copies::map(values, &mut raw, bits);
        let mut to = std::mem::take(&mut self.outs[self.places[p as usize].index as usize]);
        self.write(p, &raw, &mut to);
        self.outs[self.places[p as usize].index as usize] = to;
    }

    fn load<T: Pod>(&self, p: u16, out: &mut [T]) {
        let place = &self.places[p as usize];
        let from: &[T] = bytemuck::cast_slice(self.ctx.ins[place.index as usize]);
        let stride = place.at.strides.last().copied().unwrap_or(0);
        let block = &self.block;
        if let Some(along) = block.turn.map(|d| place.at.strides[d])
            && along.abs() < stride.abs()
        {
            // What is turned is read along its own rows.
            let first = dot(&place.at, &self.coords);
            return copies::read_turned(out, from, block.len, first, along, stride);
        }
        self.space
            .runs(&place.at, &self.block, |_, d, address, n| copies::read(&mut out[d..d + n], from, address, stride));
    }

    fn load_out<T: Pod>(&self, p: u16, out: &mut [T]) {
        let place = &self.places[p as usize];
        let from = &self.outs[place.index as usize];
        let stride = place.at.strides.last().copied().unwrap_or(0);
        self.space.runs(&place.at, &self.block, |row, d, address, n| {
            let piece = from.piece(self.tile.at + row);
            copies::read(&mut out[d..d + n], piece.from(piece.base), address - piece.base, stride);
        });
    }

    fn store<T: Pod>(&mut self, p: u16, src: Src) {
        let index = self.places[p as usize].index as usize;
        let mut to = std::mem::take(&mut self.outs[index]);
        self.write::<T>(p, self.get(src), &mut to);
        self.outs[index] = to;
    }

    fn write<T: Pod>(&self, p: u16, values: &[T], to: &mut Out<'_>) {
        let place = &self.places[p as usize];
        let stride = place.at.strides.last().copied().unwrap_or(0);
        self.space.runs(&place.at, &self.block, |row, d, address, n| {
            // With a negative stride the run begins at its last element.
            let (low, values) = (address.min(address + stride * (n as i64 - 1)), &values[d..d + n]);
            let to = to.piece_mut(self.tile.at + row).words_mut(low);
            match stride < 0 {
                true => {
                    for (i, &v) in values.iter().enumerate() {
                        to[(n - 1 - i) * stride.unsigned_abs() as usize] = v;
                    }
                }
                false => copies::write(to, values, stride),
            }
        });
    }

    fn gather<T: Pod>(&self, p: u16, picks: &[Pick], uniform: bool, missing: T, out: &mut [T]) {
        let place = &self.places[p as usize];
        let from: &[T] = bytemuck::cast_slice(self.ctx.ins[place.index as usize]);
        let stride = place.at.strides.last().copied().unwrap_or(0);
        // The words of an index are the same whether it is signed or not.
        let indices: SmallVec<[&[u32]; 2]> = picks.iter().map(|pick| self.get(pick.index)).collect();
        let picked = |i: usize| {
            let mut address = 0i64;
            for (pick, index) in picks.iter().zip(&indices) {
                let mut v = if pick.signed { i64::from(index[i] as i32) } else { i64::from(index[i]) };
                v += if v < 0 { pick.extent } else { 0 };
                if v < 0 || v >= pick.extent {
                    return None;
                }
                address += v * pick.stride;
            }
            Some(address)
        };
        self.space.runs(&place.at, &self.block, |_, d, address, n| {
            let out = &mut out[d..d + n];
            if uniform {
                match picked(d) {
                    Some(a) => copies::read(out, from, address + a, stride),
                    None => out.fill(missing),
                }
                return;
            }
            for (i, o) in out.iter_mut().enumerate() {
                *o = picked(d + i).map_or(missing, |a| from[(address + a + i as i64 * stride) as usize]);
            }
        });
    }

    fn expand<T: Pod>(&self, r: u16, out: &mut [T]) {
        let from: &[T] = bytemuck::cast_slice(&self.outer[r as usize]);
        copies::repeat(&from[self.tile.lane..][..self.tile.lanes], out, !self.tile.column);
    }

    fn cast(&mut self, dst: Dst, from: DType, to: DType, a: Src) {
        use DType::*;
        macro_rules! map {
            ($from:ty, $f:expr) => {
                self.put(dst, |e, out| copies::map::<$from, _>(e.get(a), out, $f))
            };
        }
        match (from, to) {
            (F32, F64) => map!(f32, f64::from),
            (F32, I32) => map!(f32, |v| v as i32),
            (F32, U32) => map!(f32, |v| v as u32),
            (F32, Bool) => map!(f32, |v| u32::from(v != 0.0)),
            (F64, F32) => map!(f64, |v| v as f32),
            (F64, I32) => map!(f64, |v| v as i32),
            (F64, U32) => map!(f64, |v| v as u32),
            (F64, Bool) => map!(f64, |v| u32::from(v != 0.0)),
            (I32, F32) => map!(i32, |v| v as f32),
            (I32, F64) => map!(i32, f64::from),
            (U32 | Bool, F32) => map!(u32, |v| v as f32),
            (U32 | Bool, F64) => map!(u32, f64::from),
            (I32 | U32, Bool) => map!(u32, |v| u32::from(v != 0)),
            // The same bits: between equal types, integers, and from booleans to integers.
            (F64, F64) => map!(u64, |v| v),
            (_, _) => map!(u32, |v| v),
        }
    }
}
