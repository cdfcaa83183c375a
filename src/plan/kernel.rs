//! Kernels during planning: a loop nest or an opaque product with a program whose addresses run over one logical space.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::ir::access::Space;
use crate::ir::program::{Access, Instr, Line, Reg, Store};
use crate::ir::scalar::{BinaryFn, UnaryFn};
use crate::ir::step::{BufId, Conv, Loader, WindowOp};

/// The part of a kernel that is not a program.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Nest,
    Gemm {
        dtype: DType,
        batch: Space,
        m: usize,
        n: usize,
        k: usize,
        a: (BufId, Loader),
        b: (BufId, Loader),
    },
    Window {
        op: WindowOp,
        conv: Conv,
        dtype: DType,
        inputs: Vec<BufId>,
    },
    Scatter {
        dtype: DType,
        outer: usize,
        extent: usize,
        inner: usize,
        count: usize,
        base: BufId,
        index: BufId,
        src: BufId,
    },
}

/// A kernel. `Load.buf` and `Store.buf` are numbers of plan buffers here; addresses have one stride per dimension of
/// `space`, and lines that do not depend on the inner dimensions have stride 0 there.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) body: Body,
    pub(crate) space: Space,
    /// Bit `d`: dimension `d` of the space is inner (reduced over).
    pub(crate) mask: u32,
    pub(crate) lines: Vec<Line>,
    pub(crate) stores: Vec<Store>,
    pub(crate) ops: Vec<&'static str>,
    pub(crate) at: &'static std::panic::Location<'static>,
}

/// Kernels longer than this are not merged.
pub(crate) const MAX_LINES: usize = 320;

impl Kernel {
    /// Buffers read by loads and operands, with repetitions.
    pub(crate) fn reads(&self) -> impl Iterator<Item = BufId> + '_ {
        let operands: SmallVec<[BufId; 3]> = match &self.body {
            Body::Nest => SmallVec::new(),
            Body::Gemm { a, b, .. } => SmallVec::from_slice(&[a.0, b.0]),
            Body::Window { inputs, .. } => SmallVec::from_slice(inputs),
            Body::Scatter { base, index, src, .. } => SmallVec::from_slice(&[*base, *index, *src]),
        };
        let loads = self.lines.iter().filter_map(|l| match &l.instr {
            Instr::Load { buf, .. } => Some(BufId::from(*buf)),
            _ => None,
        });
        operands.into_iter().chain(loads)
    }

    /// Buffers written.
    pub(crate) fn writes(&self) -> impl Iterator<Item = BufId> + '_ {
        self.stores.iter().map(|s| BufId::from(s.buf))
    }

    /// Whether an operand of the body (not a load of the program) is this buffer.
    pub(crate) fn has_operand(&self, buf: BufId) -> bool {
        match &self.body {
            Body::Nest => false,
            Body::Gemm { a, b, .. } => a.0 == buf || b.0 == buf,
            Body::Window { inputs, .. } => inputs.contains(&buf),
            Body::Scatter { base, index, src, .. } => [*base, *index, *src].contains(&buf),
        }
    }

    /// Distinct buffers it binds.
    pub(crate) fn buffers(&self) -> Vec<BufId> {
        let mut out: Vec<BufId> = Vec::new();
        for b in self.reads().chain(self.writes()) {
            if !out.contains(&b) {
                out.push(b);
            }
        }
        out
    }

    /// Extents outside the mask.
    pub(crate) fn outer(&self) -> Space {
        self.dims(false)
    }

    /// Extents inside the mask.
    pub(crate) fn inner(&self) -> Space {
        self.dims(true)
    }

    fn dims(&self, inner: bool) -> Space {
        self.space.iter().enumerate().filter(|(d, _)| (self.mask >> d & 1 == 1) == inner).map(|(_, &e)| e).collect()
    }

    /// Rewrites every address.
    pub(crate) fn map_accesses(&mut self, f: impl Fn(&Access) -> Access) {
        for line in &mut self.lines {
            if let Some(at) = line.instr.access_mut() {
                *at = f(at);
            }
        }
        for store in &mut self.stores {
            store.at = f(&store.at);
        }
    }

    /// Sets every line's level from its operands and addresses, drops repeated and unused lines.
    pub(crate) fn tidy(&mut self) {
        let inner_dims: SmallVec<[usize; 4]> = (0..self.space.len()).filter(|d| self.mask >> d & 1 == 1).collect();
        let varies = |at: &Access| inner_dims.iter().any(|&d| at.strides[d] != 0 && self.space[d] > 1);
        // Repetitions.
        let mut seen: FxHashMap<SmallVec<[u64; 12]>, Reg> = FxHashMap::default();
        let mut map: Vec<Reg> = Vec::with_capacity(self.lines.len());
        let mut lines: Vec<Line> = Vec::with_capacity(self.lines.len());
        for line in self.lines.drain(..) {
            let mut instr = line.instr;
            instr.map_operands(|r| map[r as usize]);
            // A line that is inner only because a reduction needs it so stays that way.
            let forced = matches!(instr, Instr::Cast(a) if lines[a as usize].dtype == line.dtype);
            let inner = match &instr {
                Instr::Reduce(..) => false,
                _ if forced => line.inner,
                i => i.operands().iter().any(|&r| lines[r as usize].inner) || i.access().is_some_and(varies),
            };
            let key = instr.key(line.dtype, inner);
            let reg = *seen.entry(key).or_insert_with(|| {
                lines.push(Line { instr, dtype: line.dtype, inner });
                (lines.len() - 1) as Reg
            });
            map.push(reg);
        }
        for store in &mut self.stores {
            store.reg = map[store.reg as usize];
        }
        // Dead lines.
        let mut live = vec![false; lines.len()];
        for store in &self.stores {
            live[store.reg as usize] = true;
        }
        for i in (0..lines.len()).rev() {
            if live[i] {
                lines[i].instr.operands().iter().for_each(|&r| live[r as usize] = true);
            }
        }
        let mut map = vec![0; lines.len()];
        for (i, mut line) in lines.into_iter().enumerate() {
            if live[i] {
                line.instr.map_operands(|r| map[r as usize]);
                map[i] = self.lines.len() as Reg;
                self.lines.push(line);
            }
        }
        for store in &mut self.stores {
            store.reg = map[store.reg as usize];
            store.inner = inner_dims.iter().any(|&d| store.at.strides[d] != 0 && self.space[d] > 1);
        }
    }
}

impl Instr {
    /// Renames the registers it reads.
    pub(crate) fn map_operands(&mut self, f: impl Fn(Reg) -> Reg) {
        match self {
            Instr::Load { gather, .. } => gather.iter_mut().for_each(|g| g.index = f(g.index)),
            Instr::Index { .. } | Instr::Param { .. } | Instr::Random { .. } | Instr::Acc => {}
            Instr::Unary(_, a) | Instr::Cast(a) | Instr::Reduce(_, a) => *a = f(*a),
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

    /// Equal keys compute equal values.
    fn key(&self, dtype: DType, inner: bool) -> SmallVec<[u64; 12]> {
        let mut out: SmallVec<[u64; 12]> = SmallVec::new();
        let access = |at: &Access, out: &mut SmallVec<[u64; 12]>| {
            out.push(at.offset as u64);
            out.extend(at.strides.iter().map(|&s| s as u64));
        };
        out.push(dtype as u64 | u64::from(inner) << 8);
        match self {
            Instr::Load { buf, at, gather } => {
                out.extend([0, u64::from(*buf)]);
                access(at, &mut out);
                for g in gather {
                    out.extend([u64::from(g.index), g.extent as u64, g.stride as u64]);
                }
            }
            Instr::Index { at } => {
                out.push(1);
                access(at, &mut out);
            }
            Instr::Param { slot } => out.extend([2, u64::from(*slot)]),
            Instr::Random { at, key, stream } => {
                out.extend([3, u64::from(*key), u64::from(*stream)]);
                access(at, &mut out);
            }
            Instr::Acc => out.push(4),
            Instr::Unary(f, a) => out.extend([5, std::ptr::from_ref::<UnaryFn>(f) as usize as u64, u64::from(*a)]),
            Instr::Binary(f, a, b) => {
                out.extend([6, std::ptr::from_ref::<BinaryFn>(f) as usize as u64, u64::from(*a), u64::from(*b)]);
            }
            Instr::Select(c, a, b) => out.extend([7, u64::from(*c), u64::from(*a), u64::from(*b)]),
            Instr::Cast(a) => out.extend([8, u64::from(*a)]),
            Instr::Reduce(op, a) => out.extend([9, *op as u64, u64::from(*a)]),
        }
        out
    }
}
