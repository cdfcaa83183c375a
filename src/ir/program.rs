//! Programs: short straight-line lists of scalar instructions, fused from graph nodes. One program is rendered to
//! WGSL for the GPU and run block by block on the CPU.

use smallvec::SmallVec;

use super::scalar::{BinaryFn, UnaryFn};
use crate::dtype::DType;

/// A register: the index of the line that computed it. Every line is assigned once (SSA).
pub(crate) type Reg = u16;

/// Extents or strides of an iteration space.
pub(crate) type Dims<T> = SmallVec<[T; 4]>;

/// An affine address, in elements: `offset + sum(strides[d] * coordinate[d])` over the dimensions of the space.
/// An outer line has strides for the outer dimensions only, an inner line for the outer ones and then the inner ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Access {
    pub(crate) offset: i64,
    pub(crate) strides: Dims<i64>,
}

/// A run-time addend to an address: `clamp(wrap(register), 0, extent - 1) * stride`, where `wrap` adds `extent` to
/// negative indices. A load with an index still outside gives NaN (floats) or 0 (others).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gather {
    /// An `i32` or `u32` register.
    pub(crate) index: Reg,
    /// The extent of the indexed axis.
    pub(crate) extent: usize,
    /// The stride of that axis in the buffer.
    pub(crate) stride: i64,
}

listed! {
    /// How a reduction combines values.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum ReduceOp {
        Sum,
        Prod,
        /// Propagates NaN; of an empty row: minus infinity, or the least integer.
        Max,
        /// Propagates NaN; of an empty row: infinity, or the greatest integer.
        Min,
        /// Flat inner index (`i32`) of the first greatest value; a NaN counts as greatest.
        ArgMax,
        /// Flat inner index (`i32`) of the first least value; a NaN counts as least.
        ArgMin,
    }
}

/// One scalar instruction. Equal ones compute equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Instr {
    /// An element of `bufs[buf]` of the step, in its register type.
    Load {
        buf: u16,
        at: Access,
        gather: SmallVec<[Gather; 1]>,
    },
    /// The address itself, as `i32`: coordinates, `arange`, one-hot classes.
    Index {
        at: Access,
    },
    /// Run-time scalar `params[slot]` of the flush, converted to the line's type.
    Param {
        slot: u16,
    },
    /// Word `at % 4` of Philox4x32-10 with counter `(at / 4, stream, 0, 0)` and key `(params[key], params[key + 1])`, `u32`.
    Random {
        at: Access,
        key: u16,
        stream: u32,
    },
    /// The family's result of that number for this point (not in nests).
    Acc(u8),
    Unary(&'static UnaryFn, Reg),
    Binary(&'static BinaryFn, Reg, Reg),
    /// `if r0 (bool) then r1 else r2`.
    Select(Reg, Reg, Reg),
    /// Conversion to the line's type. Float to integer truncates and saturates (NaN gives 0); to bool is `!= 0`.
    Cast(Reg),
    /// An outer register at the inner level: the same value at every inner point.
    Repeat(Reg),
    /// Over the inner space, of an inner register; the line itself is outer.
    Reduce(ReduceOp, Reg),
}

/// An instruction with its result's type and level.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) instr: Instr,
    /// A register type: narrow types stand at buffers alone, and loads and stores convert.
    pub(crate) dtype: DType,
    /// Computed for every point of `outer x inner`; otherwise once per point of `outer`.
    pub(crate) inner: bool,
}

/// A stored result: register `reg` goes to `bufs[buf]` at `at`. Its level is the register's: for an inner store `at` has
/// strides for outer and inner dimensions. An outer register may be stored at inner level (`inner`), then it is repeated.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) reg: Reg,
    pub(crate) buf: u16,
    pub(crate) at: Access,
    pub(crate) inner: bool,
}

/// Lines in an order in which every operand precedes its use, and what is kept of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) lines: Vec<Line>,
    pub(crate) stores: Vec<Store>,
}

impl Line {
    /// What it costs a GPU's compiler, in statements of WGSL.
    pub(crate) fn cost(&self) -> usize {
        match &self.instr {
            Instr::Unary(f, _) => f.cost(),
            Instr::Binary(f, ..) => f.cost(),
            // Ten rounds, in a loop.
            Instr::Random { .. } => 16,
            _ => 1,
        }
    }
}

impl Instr {
    /// The registers it reads.
    pub(crate) fn operands(&self) -> SmallVec<[Reg; 3]> {
        match self {
            Instr::Load { gather, .. } => gather.iter().map(|g| g.index).collect(),
            Instr::Index { .. } | Instr::Param { .. } | Instr::Random { .. } | Instr::Acc(_) => SmallVec::new(),
            Instr::Unary(_, a) | Instr::Cast(a) | Instr::Repeat(a) | Instr::Reduce(_, a) => SmallVec::from_slice(&[*a]),
            Instr::Binary(_, a, b) => SmallVec::from_slice(&[*a, *b]),
            Instr::Select(c, a, b) => SmallVec::from_slice(&[*c, *a, *b]),
        }
    }

    /// Renames the registers it reads.
    pub(crate) fn map_operands(&mut self, f: impl Fn(Reg) -> Reg) {
        match self {
            Instr::Load { gather, .. } => gather.iter_mut().for_each(|g| g.index = f(g.index)),
            Instr::Index { .. } | Instr::Param { .. } | Instr::Random { .. } | Instr::Acc(_) => {}
            Instr::Unary(_, a) | Instr::Cast(a) | Instr::Repeat(a) | Instr::Reduce(_, a) => *a = f(*a),
            Instr::Binary(_, a, b) => {
                *a = f(*a);
                *b = f(*b);
            }
            Instr::Select(c, a, b) => {
                *c = f(*c);
                *a = f(*a);
                *b = f(*b);
            }
        }
    }

    /// The address it carries, if any.
    pub(crate) fn access(&self) -> Option<&Access> {
        match self {
            Instr::Load { at, .. } | Instr::Index { at } | Instr::Random { at, .. } => Some(at),
            _ => None,
        }
    }

    pub(crate) fn access_mut(&mut self) -> Option<&mut Access> {
        match self {
            Instr::Load { at, .. } | Instr::Index { at } | Instr::Random { at, .. } => Some(at),
            _ => None,
        }
    }
}

/// For each line its stage: how many rounds of reductions must be over before it can be computed.
/// Lines of stage 0 need none; a `Reduce` closes its operand's stage, so it is one later than the operand.
pub(crate) fn stages(lines: &[Line]) -> Vec<u16> {
    let mut out: Vec<u16> = Vec::with_capacity(lines.len());
    for line in lines {
        let need = line.instr.operands().iter().map(|&r| out[r as usize]).max().unwrap_or(0);
        out.push(need + u16::from(matches!(line.instr, Instr::Reduce(..))));
    }
    out
}

impl Program {
    /// What it costs a GPU's compiler, in statements of WGSL.
    pub(crate) fn cost(&self) -> usize {
        self.lines.iter().map(Line::cost).sum()
    }

    /// The stage of each line.
    pub(crate) fn stages(&self) -> Vec<u16> {
        stages(&self.lines)
    }
}
