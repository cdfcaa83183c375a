//! How two accumulated values become one, in WGSL: what reductions and scans share.

use super::storage_type;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::ReduceOp;

/// The WGSL of combining.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Combining {
    op: ReduceOp,
    /// Of the values; accumulators may be of another type.
    dtype: DType,
}

impl Combining {
    pub(super) fn new(op: ReduceOp, dtype: DType) -> Result<Self> {
        storage_type(dtype, false)?;
        Ok(Combining { op, dtype })
    }

    /// What it is, for the list of kernels' variants.
    pub(super) fn form(self) -> String {
        format!("{:?} of {}", self.op, self.dtype)
    }

    /// Whether accumulators are values with their places.
    pub(super) fn best(self) -> bool {
        matches!(self.op, ReduceOp::ArgMax | ReduceOp::ArgMin)
    }

    /// The accumulator's type; booleans accumulate as 0 and 1.
    pub(super) fn ty(self) -> &'static str {
        match (self.dtype, self.best()) {
            (DType::F32 | DType::F64, false) => "f32",
            (DType::I32, false) => "i32",
            (_, false) => "u32",
            (DType::F32 | DType::F64, true) => "Best_f32",
            (DType::I32, true) => "Best_i32",
            (_, true) => "Best_u32",
        }
    }

    /// What changes nothing that it is combined with.
    pub(super) fn identity(self) -> &'static str {
        match (self.op, self.ty()) {
            (_, "Best_f32") => "Best_f32(0.0, 0xffffffffu)",
            (_, "Best_i32") => "Best_i32(0, 0xffffffffu)",
            (_, "Best_u32") => "Best_u32(0u, 0xffffffffu)",
            (ReduceOp::Sum, "f32") => "0.0",
            (ReduceOp::Sum, _) => "0",
            (ReduceOp::Prod, "f32") => "1.0",
            (ReduceOp::Prod, _) => "1",
            (ReduceOp::Max, "f32") => "k_float(0xff800000u)",
            (ReduceOp::Max, "i32") => "i32(-2147483648)",
            (ReduceOp::Max, _) => "0u",
            (_, "f32") => "k_float(0x7f800000u)",
            (_, "i32") => "2147483647",
            _ if self.dtype == DType::Bool => "1u",
            _ => "0xffffffffu",
        }
    }

    /// A value of the operand's type as an accumulator.
    pub(super) fn lift(self, value: &str, index: &str) -> String {
        let value = if self.dtype == DType::Bool { format!("u32({value})") } else { value.to_string() };
        if self.best() { format!("{}({value}, {index})", self.ty()) } else { value }
    }

    /// `a` and, after it, `b`.
    pub(super) fn combine(self, a: &str, b: &str) -> String {
        let float = self.dtype.is_float();
        match self.op {
            ReduceOp::Sum if self.dtype == DType::Bool => format!("max({a}, {b})"),
            ReduceOp::Sum => format!("{a} + {b}"),
            ReduceOp::Prod => format!("{a} * {b}"),
            ReduceOp::Max if float => format!("k_max({a}, {b})"),
            ReduceOp::Min if float => format!("k_min({a}, {b})"),
            ReduceOp::Max => format!("max({a}, {b})"),
            ReduceOp::Min => format!("min({a}, {b})"),
            ReduceOp::ArgMax => format!("k_argmax_{}({a}, {b})", &self.ty()[5..]),
            ReduceOp::ArgMin => format!("k_argmin_{}({a}, {b})", &self.ty()[5..]),
        }
    }

    /// An accumulator as words of scratch, and back.
    pub(super) fn pack(self, acc: &str) -> Vec<String> {
        match self.best() {
            true => vec![format!("bitcast<u32>({acc}.value)"), format!("{acc}.index")],
            false => vec![format!("bitcast<u32>({acc})")],
        }
    }

    pub(super) fn unpack(self, words: &[String]) -> String {
        match self.best() {
            true => format!("{0}(bitcast<{1}>({2}), {3})", self.ty(), &self.ty()[5..], words[0], words[1]),
            false => format!("bitcast<{}>({})", self.ty(), words[0]),
        }
    }

    /// The words of one.
    pub(super) fn words(self) -> usize {
        1 + usize::from(self.best())
    }
}
