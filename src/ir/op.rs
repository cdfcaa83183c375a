//! What a node of the graph computes, as the planner sees it.

use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use super::program::ReduceOp;
use super::scalar::{BinaryFn, UnaryFn};
use super::step::Family;
use super::window::Geometry;
use crate::shape::{MAX_RANK, Shape};

/// Per-axis numbers of a view.
pub(crate) type Axes<T> = SmallVec<[T; MAX_RANK]>;

/// A number that a run brings along: plans that differ in it alone are one plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runtime<T>(pub(crate) T);

impl<T> Hash for Runtime<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The operation of a node, small, because recording moves it about: what is large is boxed. Shapes and types stand at
/// the node. Inputs of pointwise operations have the node's shape or are scalars (rank 0).
#[derive(Clone, Debug, Hash)]
pub(crate) enum Op {
    /// Values that exist.
    Leaf,
    /// The value of a variable: its input (if pending) or its storage.
    Var,
    /// A scalar of rank 0 whose value is a run-time parameter.
    Scalar(Runtime<f64>),
    /// `0, 1, ..` as `i32`, one dimension.
    Arange,
    /// Philox bits of the flat index, `u32`; the key is a pair of run-time parameters.
    Random {
        key: Runtime<[u32; 2]>,
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
    /// For each dimension `(start, step)`: output coordinate `i` is input coordinate `start + i * step` (steps may be
    /// negative).
    Slice(Box<[(i64, i64)]>),
    /// Inputs: x, indices of the output's shape. `x[.., index, ..]` at `axis`; x's dimension `d != axis` follows the
    /// output dimension `map[d]`.
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
    Conv(Box<Geometry>),
    /// Inputs: dy, kernel.
    ConvInputGrad(Box<Geometry>),
    /// Inputs: x, dy.
    ConvKernelGrad(Box<Geometry>),
    /// What a family computes of its operands, all of them contiguous, in row-major order of the family's space.
    Family(Box<Family>),
    /// One of several results of its input.
    Part(u8),
}

impl Op {
    pub(crate) fn family(family: Family) -> Self {
        Op::Family(Box::new(family))
    }

    /// The family that computes it, where it is one of the general kind.
    pub(crate) fn as_family(&self) -> Option<&Family> {
        match self {
            Op::Family(family) => Some(family),
            _ => None,
        }
    }

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
            Op::Slice(_) => "slice",
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
            Op::Family(family) => family.name(),
            Op::Part(_) => "part",
        }
    }

    /// Whether it only renames indices of its input.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self, Op::Reshape | Op::Permute(_) | Op::Expand | Op::Slice(_))
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

    /// Whether a family computes it from operands that it reads in its own way, and in register types.
    pub(crate) fn is_opaque(&self) -> bool {
        self.is_product() || matches!(self, Op::Family(_))
    }

    /// Whether it is a product of matrices, or a convolution.
    pub(crate) fn is_product(&self) -> bool {
        matches!(self, Op::MatMul | Op::Conv(_) | Op::ConvInputGrad(_) | Op::ConvKernelGrad(_))
    }

    /// Whether computing it again would cost a pass over much data: the tape keeps such results.
    pub(crate) fn is_expensive(&self) -> bool {
        !self.is_view() && !self.is_pointwise() && !matches!(self, Op::Leaf)
    }

    /// What a pointwise operation costs a GPU's compiler, in statements of WGSL.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Op::Unary(f) => f.cost(),
            Op::Binary(f) => f.cost(),
            _ => 1,
        }
    }

    /// Whether it needs no input: the value is computed again wherever it is wanted, and never kept.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self, Op::Scalar(_) | Op::Arange | Op::Random { .. })
    }

    /// How many results it has; those of a node with several are read by `Part` nodes.
    pub(crate) fn results(&self) -> usize {
        match self {
            Op::Family(family) => family.results(),
            _ => 1,
        }
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
            Op::Scalar(v) => out.push(v.0),
            Op::Random { key, .. } => out.extend(key.0.map(f64::from)),
            _ => {}
        }
    }

    /// Appends everything structural: equal words mean an equal plan.
    pub(crate) fn signature(&self, out: &mut Vec<u64>) {
        self.hash(&mut Words(out));
    }
}

/// Collects what is hashed, word for word, instead of digesting it. Lists come with their lengths.
struct Words<'a>(&'a mut Vec<u64>);

macro_rules! words {
    ($($write:ident: $t:ty),*) => { $(fn $write(&mut self, v: $t) { self.0.push(v as u64); })* };
}

impl Hasher for Words<'_> {
    fn finish(&self) -> u64 {
        unreachable!("the words themselves are wanted")
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_le_bytes(word));
        }
    }

    words!(write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_usize: usize);
    words!(write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64, write_isize: isize);
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

/// Recording moves operations about several times each.
const _: () = assert!(size_of::<Op>() <= 40);
