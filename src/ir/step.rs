//! The step kinds a plan is made of, and the plan itself.

use std::panic::Location;

use super::program::{Dims, Program};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Index into [`Plan::buffers`].
pub(crate) type BufId = u32;

/// Where a buffer of a plan comes from at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One unit of work: on the GPU one dispatch (two for a large reduction).
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// The buffers that `Load`, `Store` and operands index.
    pub(crate) bufs: Vec<BufId>,
    /// The operations fused into it, in order.
    pub(crate) ops: Vec<&'static str>,
    /// The caller's line of the operation that opened it.
    pub(crate) at: &'static Location<'static>,
}

/// What a step does. Every kind carries one program.
#[derive(Debug)]
pub(crate) enum StepKind {
    Nest(Nest),
    Gemm(Gemm),
    Window(Window),
    Scatter(Scatter),
}

/// A loop nest over `outer x inner`: pointwise work (no inner dimensions), reductions, and rows in which several
/// reductions and pointwise stages follow each other (softmax, norms, cross-entropy). Adjacent dimensions are already
/// merged where every access allows it. `program` may hold `Reduce` lines; without them `inner` is empty.
#[derive(Debug)]
pub(crate) struct Nest {
    pub(crate) outer: Dims<usize>,
    pub(crate) inner: Dims<usize>,
    pub(crate) program: Program,
}

/// A matrix product with an epilogue: for every batch index, `m` and `n`:
/// `acc = sum over k of a[batch, m, k] * b[batch, k, n]`, then `epilogue` over the outer space `[batch.., m, n]`
/// (no inner level, no reductions; `Acc` is `acc`). `k` may be 0: then `acc` is 0.
#[derive(Debug)]
pub(crate) struct Gemm {
    /// F32, or F64 on the CPU.
    pub(crate) dtype: DType,
    pub(crate) batch: Dims<usize>,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Operand,
    pub(crate) b: Operand,
    pub(crate) epilogue: Program,
}

/// One side of a [`Gemm`]: `buf` indexes the step's `bufs`.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) buf: u16,
    pub(crate) load: Loader,
}

/// How an operand's element is found. "Row" is `m` for a and `k` for b; "col" is `k` for a and `n` for b.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loader {
    /// `offset + batch . batch_strides + row * row_stride + col * col_stride` (strides may be 0 or negative).
    Strided { offset: i64, batch: Dims<i64>, row: i64, col: i64 },
    /// Convolution forward, operand a: row = output position `(n, oh, ow)`, col = tap `(kh, kw, c)`:
    /// `x[n, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw, c]`, 0 outside. With `transposed`, row and col are exchanged (kernel gradient).
    Patches { conv: Conv, transposed: bool },
    /// Convolution input-gradient, operand a: row = input position `(n, h, w)`, col = `(kh, kw, f)`:
    /// `dy[n, (h + ph - kh*dh)/sh, (w + pw - kw*dw)/sw, f]` where both divide and are in range, else 0.
    Spread { conv: Conv },
    /// Convolution input-gradient, operand b: row = `(kh, kw, f)`, col = `c`: `kernel[kh, kw, c, f]`.
    Kernel { conv: Conv },
}

/// The geometry of a two-dimensional convolution or pooling, channels last:
/// `x (batch, h, w, c)`, `kernel (kh, kw, c, f)`, `y (batch, oh, ow, f)`. `pad_*` is the padding before; what lies
/// outside on either side reads as nothing. For pooling `f == c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conv {
    pub(crate) batch: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) f: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) stride_h: usize,
    pub(crate) stride_w: usize,
    pub(crate) dilation_h: usize,
    pub(crate) dilation_w: usize,
    pub(crate) pad_h: usize,
    pub(crate) pad_w: usize,
}

/// Pooling and its relatives, channels last; the epilogue runs over the flat output space `[numel]`.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) op: WindowOp,
    pub(crate) conv: Conv,
    pub(crate) dtype: DType,
    /// Inputs of the kind, as indices into the step's `bufs`.
    pub(crate) inputs: Vec<u16>,
    pub(crate) epilogue: Program,
}

/// What a window kernel computes. "First greatest" is in row-major order within the window; NaN counts as greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WindowOp {
    /// `y[n, oh, ow, c] = max of x's window` (inputs: x). Padding never wins.
    Max,
    /// `dx[n, h, w, c] = sum of dy over the windows whose first greatest element is (h, w)` (inputs: x, dy).
    MaxGrad,
    /// `y[n, oh, ow, c] = g at the window's first greatest element of x` (inputs: x, g; g has x's shape).
    MaxPick,
    /// `y[n, oh, ow, c] = sum of x's window` (inputs: x).
    Sum,
    /// `dx[n, h, w, c] = sum of dy over the windows that contain (h, w)` (inputs: dy).
    SumGrad,
}

/// `out[o, v, i] = base[o, v, i] + sum over j with index[j] == v of src[o, j, i]`, in the order of `j`: deterministic.
/// Negative indices count from the end; an index still outside `0..extent` adds nothing.
#[derive(Debug)]
pub(crate) struct Scatter {
    pub(crate) dtype: DType,
    pub(crate) outer: usize,
    /// Extent of the indexed axis of `out`.
    pub(crate) extent: usize,
    pub(crate) inner: usize,
    /// How many indices; `src` has shape `(outer, count, inner)`.
    pub(crate) count: usize,
    /// Indices into the step's `bufs`: base (if any), index (`i32` or `u32`), src, all contiguous; the result is the epilogue's `Acc`.
    pub(crate) base: Option<u16>,
    pub(crate) index: u16,
    pub(crate) src: u16,
    /// Over the flat output space `[outer * extent * inner]`.
    pub(crate) epilogue: Program,
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

impl StepKind {
    /// The kind's name in printed plans and statistics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            StepKind::Nest(n) if n.program.lines.iter().all(|l| !l.inner) && n.inner.is_empty() => "elementwise",
            StepKind::Nest(n) if n.program.stores.iter().any(|s| s.inner) => "row",
            StepKind::Nest(n) if n.program.stages().iter().max() > Some(&1) => "row",
            StepKind::Nest(_) => "reduce",
            StepKind::Gemm(g) => match g.a.load {
                Loader::Strided { .. } => "gemm",
                Loader::Patches { transposed: false, .. } => "conv",
                Loader::Patches { transposed: true, .. } => "conv kernel-gradient",
                _ => "conv input-gradient",
            },
            StepKind::Window(_) => "window",
            StepKind::Scatter(_) => "scatter",
        }
    }

    /// The program every kind carries.
    pub(crate) fn program(&self) -> &Program {
        match self {
            StepKind::Nest(n) => &n.program,
            StepKind::Gemm(g) => &g.epilogue,
            StepKind::Window(w) => &w.epilogue,
            StepKind::Scatter(s) => &s.epilogue,
        }
    }

    /// The extents of the space its program runs over.
    pub(crate) fn outer(&self) -> Dims<usize> {
        match self {
            StepKind::Nest(n) => n.outer.clone(),
            StepKind::Gemm(g) => g.batch.iter().copied().chain([g.m, g.n]).collect(),
            StepKind::Window(w) => Dims::from_slice(&[w.op.numel(&w.conv)]),
            StepKind::Scatter(s) => Dims::from_slice(&[s.outer * s.extent * s.inner]),
        }
    }
}

impl WindowOp {
    /// Elements of the result.
    pub(crate) fn numel(self, g: &Conv) -> usize {
        match self {
            WindowOp::Max | WindowOp::MaxPick | WindowOp::Sum => g.batch * g.oh * g.ow * g.c,
            WindowOp::MaxGrad | WindowOp::SumGrad => g.batch * g.h * g.w * g.c,
        }
    }
}

impl Conv {
    /// Output extent along one axis; `None` when the window does not fit.
    pub(crate) fn out_extent(n: usize, k: usize, stride: usize, dilation: usize, pad: usize) -> Result<usize> {
        let span = (k - 1) * dilation + 1;
        (n + pad).checked_sub(span).map(|room| room / stride + 1).ok_or_else(|| {
            Error::shape(format!(
                "Computed output size would be zero or negative. Received: extent {n} with padding {pad}, kernel {k}, dilation {dilation}. \
                 Expected: a window of {span} that fits. Use padding \"same\" or a smaller kernel."
            ))
        })
    }
}
