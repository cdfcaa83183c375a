//! What a node of the graph computes, as the planner sees it.

use smallvec::SmallVec;

use super::program::ReduceOp;
use super::scalar::{BinaryFn, UnaryFn};
use super::step::{Conv, WindowOp};
use crate::shape::{MAX_RANK, Shape};

/// Per-axis numbers of a view.
pub(crate) type Axes<T> = SmallVec<[T; MAX_RANK]>;

/// The operation of a node. Shapes and types stand at the node. Inputs of pointwise operations have the node's shape
/// or are scalars (rank 0).
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Values that exist.
    Leaf,
    /// The value of a variable: its input (if pending) or its storage.
    Var,
    /// A scalar of rank 0 whose value is a run-time parameter.
    Scalar(f64),
    /// `0, 1, ..` as `i32`, one dimension.
    Arange,
    /// Philox bits of the flat index, `u32`; the key is a pair of run-time parameters.
    Random {
        key: [u32; 2],
        stream: u32,
    },
    Unary(&'static UnaryFn),
    Binary(&'static BinaryFn),
    /// Inputs: condition, if true, if false.
    Select,
    /// To the node's type.
    Cast,
    /// Same elements in row-major order, another shape.
    Reshape,
    /// Output dimension `d` is input dimension `axes[d]`.
    Permute(Axes<u8>),
    /// Extents of 1 repeated; same rank.
    Expand,
    /// Output coordinate `i` is input coordinate `start + i * step` (steps may be negative).
    Slice {
        start: Axes<i64>,
        step: Axes<i64>,
    },
    /// Inputs: x, indices of the output's shape. `x[.., index, ..]` at `axis`; x's dimension `d != axis` follows the
    /// output dimension `map[d]`. A third input, if any, is for the gradient only.
    Gather {
        axis: u8,
        map: Axes<u8>,
    },
    /// Over the axes in the mask; they stay as extents of 1.
    Reduce {
        op: ReduceOp,
        axes: u32,
    },
    /// Inputs placed at `starts[i]`; with `fill`, the last input is a scalar for everything else.
    Assemble {
        starts: Vec<Axes<usize>>,
        fill: bool,
    },
    /// `(batch.., m, k) x (batch.., k, n)`, equal batch extents.
    MatMul,
    /// Inputs: x, kernel.
    Conv(Conv),
    /// Inputs: dy, kernel.
    ConvInputGrad(Conv),
    /// Inputs: x, dy.
    ConvKernelGrad(Conv),
    /// Inputs as in [`WindowOp`].
    Window(WindowOp, Conv),
    /// Inputs: base, index (1-D), src `(outer, count, inner)`; the output is `(outer, extent, inner)`.
    Scatter,
}

impl Op {
    /// The name in plans and errors.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Leaf => "leaf",
            Op::Var => "variable",
            Op::Scalar(_) => "scalar",
            Op::Arange => "arange",
            Op::Random { .. } => "random",
            Op::Unary(f) => f.name,
            Op::Binary(f) => f.name,
            Op::Select => "select",
            Op::Cast => "cast",
            Op::Reshape => "reshape",
            Op::Permute(_) => "permute",
            Op::Expand => "expand",
            Op::Slice { .. } => "slice",
            Op::Gather { .. } => "gather",
            Op::Reduce { op, .. } => match op {
                ReduceOp::Sum => "sum",
                ReduceOp::Prod => "prod",
                ReduceOp::Max => "max",
                ReduceOp::Min => "min",
                ReduceOp::ArgMax => "argmax",
                ReduceOp::ArgMin => "argmin",
            },
            Op::Assemble { fill: true, .. } => "pad",
            Op::Assemble { .. } => "concat",
            Op::MatMul => "matmul",
            Op::Conv(_) => "conv2d",
            Op::ConvInputGrad(_) => "conv2d input-gradient",
            Op::ConvKernelGrad(_) => "conv2d kernel-gradient",
            Op::Window(w, _) => match w {
                WindowOp::Max => "max-pool",
                WindowOp::MaxGrad => "max-pool gradient",
                WindowOp::MaxPick => "max-pool pick",
                WindowOp::Sum => "sum-pool",
                WindowOp::SumGrad => "sum-pool gradient",
            },
            Op::Scatter => "scatter-add",
        }
    }

    /// Whether it only renames indices of its input.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self, Op::Reshape | Op::Permute(_) | Op::Expand | Op::Slice { .. })
    }

    /// Whether each element of the output is a function of one element of each input (and of its index).
    pub(crate) fn is_pointwise(&self) -> bool {
        matches!(
            self,
            Op::Scalar(_)
                | Op::Arange
                | Op::Random { .. }
                | Op::Unary(_)
                | Op::Binary(_)
                | Op::Select
                | Op::Cast
                | Op::Gather { .. }
                | Op::Var
        )
    }

    /// Whether computing it again would cost a pass over much data: the tape keeps such results.
    pub(crate) fn is_expensive(&self) -> bool {
        !self.is_view() && !self.is_pointwise() && !matches!(self, Op::Leaf)
    }

    /// Whether it needs no input: the value is computed again wherever it is wanted, and never kept.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self, Op::Scalar(_) | Op::Arange | Op::Random { .. })
    }

    /// How many run-time scalars the node brings.
    pub(crate) fn params(&self) -> usize {
        match self {
            Op::Scalar(_) => 1,
            Op::Random { .. } => 2,
            _ => 0,
        }
    }

    /// Appends the run-time scalars.
    pub(crate) fn push_params(&self, out: &mut Vec<f64>) {
        match self {
            Op::Scalar(v) => out.push(*v),
            Op::Random { key, .. } => out.extend(key.map(f64::from)),
            _ => {}
        }
    }

    /// Appends everything structural: equal words mean an equal plan.
    pub(crate) fn signature(&self, out: &mut Vec<u64>) {
        fn pack(it: impl Iterator<Item = u64>, out: &mut Vec<u64>) {
            out.extend(it);
        }
        let conv = |g: &Conv, out: &mut Vec<u64>| {
            let words = [
                g.batch,
                g.h,
                g.w,
                g.c,
                g.kh,
                g.kw,
                g.f,
                g.oh,
                g.ow,
                g.stride_h,
                g.stride_w,
                g.dilation_h,
                g.dilation_w,
                g.pad_h,
                g.pad_w,
            ];
            out.extend(words.map(|w| w as u64));
        };
        let tag: u64 = match self {
            Op::Leaf => 0,
            Op::Var => 1,
            Op::Scalar(_) => 2,
            Op::Arange => 3,
            Op::Random { stream, .. } => 4 | u64::from(*stream) << 32,
            Op::Unary(f) => {
                out.push(std::ptr::from_ref::<UnaryFn>(f) as usize as u64);
                5
            }
            Op::Binary(f) => {
                out.push(std::ptr::from_ref::<BinaryFn>(f) as usize as u64);
                6
            }
            Op::Select => 7,
            Op::Cast => 8,
            Op::Reshape => 9,
            Op::Permute(axes) => {
                pack(axes.iter().map(|&a| u64::from(a)), out);
                10
            }
            Op::Expand => 11,
            Op::Slice { start, step } => {
                pack(start.iter().chain(step).map(|&v| v as u64), out);
                12
            }
            Op::Gather { axis, map } => {
                pack(map.iter().map(|&a| u64::from(a)), out);
                13 | u64::from(*axis) << 8
            }
            Op::Reduce { op, axes } => 14 | (*op as u64) << 8 | u64::from(*axes) << 16,
            Op::Assemble { starts, fill } => {
                out.push(starts.len() as u64);
                pack(starts.iter().flatten().map(|&v| v as u64), out);
                15 | u64::from(*fill) << 8
            }
            Op::MatMul => 16,
            Op::Conv(g) => {
                conv(g, out);
                17
            }
            Op::ConvInputGrad(g) => {
                conv(g, out);
                18
            }
            Op::ConvKernelGrad(g) => {
                conv(g, out);
                19
            }
            Op::Window(w, g) => {
                conv(g, out);
                20 | (*w as u64) << 8
            }
            Op::Scatter => 21,
        };
        out.push(tag);
    }
}

/// Where a node's value has to be after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nowhere.
    No,
    /// In a buffer of its own, `outputs[..]` of the run in node order.
    Output,
    /// In the storage of a variable: leaf number so and so, overwritten in place.
    InPlace(u32),
}

/// A node as the planner sees it.
#[derive(Clone, Debug)]
pub(crate) struct PlanNode {
    pub(crate) op: Op,
    /// Positions of the inputs; all smaller than the node's own.
    pub(crate) inputs: SmallVec<[u32; 3]>,
    pub(crate) shape: Shape,
    pub(crate) dtype: crate::dtype::DType,
    pub(crate) keep: Keep,
    /// The node's value exists already: it is `leaves[i]`.
    pub(crate) leaf: Option<u32>,
    /// The caller's line.
    pub(crate) at: &'static std::panic::Location<'static>,
}
