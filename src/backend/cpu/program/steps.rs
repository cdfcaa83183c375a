//! The steps of chains: what each does to vectors of values, and what it takes.

use pulp::Simd;

use crate::ir::scalar::{Basic1, Basic2};

/// What is done to the value that goes through the chain, `x`; `a` is the other operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Do {
    Neg,
    Abs,
    Square,
    Sqrt,
    Rsqrt,
    Reciprocal,
    Relu,
    Add,
    Mul,
    /// `x - a`, and `a - x`.
    Sub,
    SubFrom,
    /// `x / a`, and `a / x`.
    Div,
    DivInto,
    /// The greater of `x` and `a`, and of `a` and `x` (which of two zeros it is depends on that).
    Maximum,
    MaximumOf,
    Minimum,
    MinimumOf,
}

/// An operand while a block is computed.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Values<'v> {
    pub(super) from: &'v [f32],
    /// How far apart the rows are.
    pub(super) row: usize,
    /// Whether there is a value for each position of a row, or one for all of them.
    pub(super) each: bool,
    /// Whether it is what the results overwrite.
    pub(super) own: bool,
}

impl<'v> Values<'v> {
    pub(in crate::backend::cpu) const OWN: Values<'static> = Values { from: &[], row: 0, each: true, own: true };

    /// One for each position; rows begin `row` apart.
    pub(in crate::backend::cpu) fn each(from: &'v [f32], row: usize) -> Self {
        Values { from, row, each: true, own: false }
    }

    /// One for all positions of a row, those of the rows `row` apart.
    pub(in crate::backend::cpu) fn all(from: &'v [f32], row: usize) -> Self {
        Values { from, row, each: false, own: false }
    }

    /// From row `r` on.
    #[inline(always)]
    pub(super) fn row(&self, r: usize) -> &'v [f32] {
        &self.from[r * self.row..]
    }
}

impl Do {
    pub(super) fn unary(op: Basic1) -> Do {
        match op {
            Basic1::Neg => Do::Neg,
            Basic1::Abs => Do::Abs,
            Basic1::Square => Do::Square,
            Basic1::Sqrt => Do::Sqrt,
            Basic1::Rsqrt => Do::Rsqrt,
            Basic1::Reciprocal => Do::Reciprocal,
            Basic1::Relu => Do::Relu,
        }
    }

    /// `op` of the value and the other operand, or of the two in the `turned` order.
    pub(super) fn binary(op: Basic2, turned: bool) -> Do {
        match (op, turned) {
            (Basic2::Add, _) => Do::Add,
            (Basic2::Mul, _) => Do::Mul,
            (Basic2::Sub, false) => Do::Sub,
            (Basic2::Sub, true) => Do::SubFrom,
            (Basic2::Div, false) => Do::Div,
            (Basic2::Div, true) => Do::DivInto,
            (Basic2::Maximum, false) => Do::Maximum,
            (Basic2::Maximum, true) => Do::MaximumOf,
            (Basic2::Minimum, false) => Do::Minimum,
            (Basic2::Minimum, true) => Do::MinimumOf,
        }
    }
}

/// What a step does to vectors of values (`x`) and of the other operand (`a`). The kind of that operand, which the table of
/// known chains names behind it, makes no difference.
macro_rules! step {
    ($simd:ident, Neg, $x:ident) => {
        $simd.neg_f32s($x)
    };
    ($simd:ident, Abs, $x:ident) => {
        $simd.abs_f32s($x)
    };
    ($simd:ident, Square, $x:ident) => {
        $simd.mul_f32s($x, $x)
    };
    ($simd:ident, Sqrt, $x:ident) => {
        $simd.sqrt_f32s($x)
    };
    ($simd:ident, Rsqrt, $x:ident) => {
        $simd.div_f32s($simd.splat_f32s(1.0), $simd.sqrt_f32s($x))
    };
    ($simd:ident, Reciprocal, $x:ident) => {
        $simd.div_f32s($simd.splat_f32s(1.0), $x)
    };
    ($simd:ident, Relu, $x:ident) => {{
        let zero = $simd.splat_f32s(0.0);
        $simd.select_f32s($simd.less_than_or_equal_f32s($x, zero), zero, $x)
    }};
    ($simd:ident, Add, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.add_f32s($x, $a)
    };
    ($simd:ident, Mul, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.mul_f32s($x, $a)
    };
    ($simd:ident, Sub, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.sub_f32s($x, $a)
    };
    ($simd:ident, SubFrom, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.sub_f32s($a, $x)
    };
    ($simd:ident, Div, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.div_f32s($x, $a)
    };
    ($simd:ident, DivInto, $x:ident, $a:ident $(, $kind:ident)?) => {
        $simd.div_f32s($a, $x)
    };
    ($simd:ident, Maximum, $x:ident, $a:ident $(, $kind:ident)?) => {
        greater($simd, $x, $a)
    };
    ($simd:ident, MaximumOf, $x:ident, $a:ident $(, $kind:ident)?) => {
        greater($simd, $a, $x)
    };
    ($simd:ident, Minimum, $x:ident, $a:ident $(, $kind:ident)?) => {
        lesser($simd, $x, $a)
    };
    ($simd:ident, MinimumOf, $x:ident, $a:ident $(, $kind:ident)?) => {
        lesser($simd, $a, $x)
    };
}
pub(super) use step;

/// [`maximum`](crate::ir::math::maximum), to the bit: a NaN is passed on.
#[inline(always)]
pub(super) fn greater<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    let or_nan = simd.select_f32s(simd.equal_f32s(a, a), b, a);
    simd.select_f32s(simd.greater_than_f32s(a, b), a, or_nan)
}

/// [`minimum`](crate::ir::math::minimum), likewise.
#[inline(always)]
pub(super) fn lesser<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    let or_nan = simd.select_f32s(simd.equal_f32s(a, a), b, a);
    simd.select_f32s(simd.less_than_f32s(a, b), a, or_nan)
}
