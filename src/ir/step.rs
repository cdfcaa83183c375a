//! Plans and their steps. A step is a family, its operands, a space and a program; it is one and the same thing from the
//! moment the planner lowers a node to it until an engine runs it.

use std::panic::Location;

use smallvec::SmallVec;

use super::custom::Custom;
use super::gemm::Gemm;
use super::program::{Dims, Instr, Program, stages};
use super::scan::Scan;
use super::scatter::Scatter;
use super::sort::Sort;
use super::window::Window;
use crate::dtype::DType;

/// Index into [`Plan::buffers`].
pub(crate) type BufId = u16;

/// Where a buffer of a plan comes from at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// `leaves[i]` of the run: values that exist before it; the run may also overwrite it (a variable).
    Leaf(u32),
    /// `outputs[i]` of the run: allocated by the caller, written by the run, kept after it.
    Output(u32),
    /// Lives within the run. Temporaries of one `slot` are never alive together.
    Temp { slot: u32 },
}

/// A buffer of a plan.
#[derive(Clone, Debug)]
pub(crate) struct BufferInfo {
    pub(crate) role: Role,
    pub(crate) dtype: DType,
    /// Elements; row-major and contiguous.
    pub(crate) len: usize,
}

impl BufferInfo {
    /// Whether its value exists before the run.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.role, Role::Leaf(_))
    }
}

/// One unit of work: on the GPU one dispatch, or a few that share scratch memory.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) family: Family,
    /// The buffers that the family reads in its own way; what the program loads is not among them.
    pub(crate) operands: SmallVec<[u16; 4]>,
    /// Extents of the space that the program runs over, and which dimensions are inner (bit `d` of the mask): reduced
    /// over by a nest; other families have none. In a plan the outer ones come first, and neighbours are merged where
    /// every address allows it.
    pub(crate) space: Dims<usize>,
    pub(crate) mask: u32,
    /// `Acc(i)` is the family's `i`-th result.
    pub(crate) program: Program,
    /// The buffers that operands, loads and stores index. Empty during planning: they are numbers of the plan's buffers then.
    pub(crate) bufs: Vec<BufId>,
    /// The operations fused into it, in order.
    pub(crate) ops: Vec<&'static str>,
    /// The caller's line of the operation that opened it.
    pub(crate) at: &'static Location<'static>,
}

/// What a step computes before, or besides, its program. A family knows neither buffers nor programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// A loop nest over the step's space: pointwise work (no inner dimensions), reductions, and rows in which several
    /// reductions and pointwise stages follow each other (softmax, norms, cross-entropy).
    Nest,
    Gemm(Gemm),
    Window(Window),
    Scatter(Scatter),
    Scan(Scan),
    Sort(Sort),
    Custom(Custom),
}

impl Family {
    /// How many buffers besides the step's own its kernels may bind for what they keep in between.
    pub(crate) fn scratch(&self) -> usize {
        match self {
            // Where the runs of equal indices begin, and the sums of long ones.
            Family::Scatter(_) => 2,
            // The totals of blocks; the places in order.
            Family::Scan(_) | Family::Sort(_) => 1,
            // These bind what is in between instead of what it was computed from.
            _ => 0,
        }
    }

    /// The name in printed plans and statistics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Family::Nest => "nest",
            Family::Gemm(g) => g.name(),
            Family::Window(w) => w.op.name(),
            Family::Scatter(_) => "scatter-add",
            Family::Scan(s) => s.name(),
            Family::Sort(_) => "sort",
            Family::Custom(c) => c.of.name,
        }
    }

    /// How many results it has, each over its space.
    pub(crate) fn results(&self) -> usize {
        match self {
            Family::Scan(s) => s.results().len(),
            Family::Sort(s) => s.results().len(),
            _ => 1,
        }
    }

    /// Whether its results can be read by a program before they are stored.
    pub(crate) fn fuses(&self) -> bool {
        !matches!(self, Family::Custom(_))
    }

    /// The extents over which its results lie, row-major. A nest's are the step's own.
    pub(crate) fn space(&self) -> Dims<usize> {
        match self {
            Family::Nest => Dims::new(),
            Family::Gemm(g) => g.space(),
            Family::Window(w) => Dims::from_slice(&[w.op.numel(&w.geometry)]),
            Family::Scatter(s) => Dims::from_slice(&[s.numel()]),
            Family::Scan(s) => s.space(),
            Family::Sort(s) => s.space(),
            Family::Custom(c) => Dims::from_slice(&[c.output.0.numel()]),
        }
    }
}

impl Step {
    /// A step of a family, whose operands are the given buffers; the program runs over the family's results.
    #[track_caller]
    pub(crate) fn new(family: Family, operands: &[u16], program: Program) -> Self {
        let space = family.space();
        Step {
            family,
            operands: SmallVec::from_slice(operands),
            space,
            mask: 0,
            program,
            bufs: Vec::new(),
            ops: Vec::new(),
            at: Location::caller(),
        }
    }

    /// A loop nest.
    #[track_caller]
    pub(crate) fn nest(outer: &[usize], inner: &[usize], program: Program) -> Self {
        let space = outer.iter().chain(inner).copied().collect();
        let mask = ((1 << inner.len()) - 1) << outer.len();
        Step { space, mask, ..Step::new(Family::Nest, &[], program) }
    }

    /// Extents outside the mask.
    pub(crate) fn outer(&self) -> Dims<usize> {
        self.dims(false)
    }

    /// Extents inside the mask.
    pub(crate) fn inner(&self) -> Dims<usize> {
        self.dims(true)
    }

    fn dims(&self, inner: bool) -> Dims<usize> {
        self.space.iter().enumerate().filter(|(d, _)| (self.mask >> d & 1 == 1) == inner).map(|(_, &e)| e).collect()
    }

    /// The buffers that its operands and loads read, with repetitions.
    pub(crate) fn reads(&self) -> impl Iterator<Item = u16> + '_ {
        let loads = self.program.lines.iter().filter_map(|l| match l.instr {
            Instr::Load { buf, .. } => Some(buf),
            _ => None,
        });
        self.operands.iter().copied().chain(loads)
    }

    /// The buffers that it writes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = u16> + '_ {
        self.program.stores.iter().map(|s| s.buf)
    }

    /// The form of a nest, or the family's name, in printed plans and statistics.
    pub(crate) fn name(&self) -> &'static str {
        let Program { lines, stores } = &self.program;
        match self.family {
            Family::Nest if self.mask == 0 => "elementwise",
            Family::Nest if stores.iter().any(|s| s.inner) => "row",
            Family::Nest if stages(lines).into_iter().max() > Some(1) => "row",
            Family::Nest => "reduce",
            _ => self.family.name(),
        }
    }
}

/// A compiled flush: a list of steps in order, and the buffers they use.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) buffers: Vec<BufferInfo>,
    pub(crate) steps: Vec<Step>,
    /// How many run-time scalars a run takes.
    pub(crate) params: usize,
    /// Bytes of each temporary slot (the largest of the temporaries that share it).
    pub(crate) slots: Vec<usize>,
}
