//! The pointwise functions of two arguments, a row each: documentation, meaning on the CPU, WGSL expression, gradient.
//!
//! A row begins with the example of its documentation, and gives the meaning for floats (`float`, one element; or `float_block`, whole blocks), for every type at once with
//! a boolean result (`compare`), and where there is one for `i32`, `u32` and `bool`. `wgsl` is an expression of `a` and
//! `b` for floats, the others stand in where it does not serve. `grad` is given the arguments, the result and the result's
//! gradient, all of one shape. A row without `grad` has the gradient zero.

use super::pointwise::{self, BinaryRow, Operand};
use crate::error::Result;
use crate::graph::Tensor;
use crate::ir::math::{self, Real};
use crate::ir::scalar::{Basic2, Binary1, BinaryFn};

macro_rules! binary {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            example: $left:tt, $right:tt => $output:literal,
            $(float: |$a:ident, $b:ident| $float:expr,)?
            $(basic: $basic:ident,)?
            $(float_block: $block:path,)?
            $(compare: |$ca:ident, $cb:ident| $compare:expr,)?
            $(i32: |$ia:ident, $ib:ident| $i32:expr,)?
            $(u32: |$ua:ident, $ub:ident| $u32:expr,)?
            $(bool: |$ba:ident, $bb:ident| $bool:expr,)?
            wgsl: $wgsl:literal,
            $(wgsl_i32: $wgsl_i32:literal,)?
            $(wgsl_u32: $wgsl_u32:literal,)?
            $(wgsl_bool: $wgsl_bool:literal,)?
            $(grad: |$ga:ident, $gb:ident, $gy:ident, $gg:ident| $grad:expr,)?
        }
    )*) => {
        #[allow(non_upper_case_globals, reason = "a row is named as its method")]
        mod rows {
            use super::*;
            $(
                pub(super) static $name: BinaryRow = BinaryRow {
                    f: &BinaryFn {
                        name: stringify!($name),
                        cpu: Binary1 {
                            $(
                                f32: Some(|a, b, y| {
                                    math::map2(a, b, y, #[inline(always)] |$a: f32, $b: f32| float::$name($a, $b))
                                }),
                                f64: Some(|a, b, y| {
                                    math::map2(a, b, y, #[inline(always)] |$a: f64, $b: f64| float::$name($a, $b))
                                }),
                            )?
                            $(basic: Some(Basic2::$basic),)?
                            $(f32: Some($block), f64: Some($block),)?
                            $(
                                cmp_f32: binary!(@compare f32, $ca, $cb, $compare),
                                cmp_f64: binary!(@compare f64, $ca, $cb, $compare),
                                cmp_i32: binary!(@compare i32, $ca, $cb, $compare),
                                cmp_u32: binary!(@compare u32, $ca, $cb, $compare),
                            )?
                            $(i32: Some(|a, b, y| math::map2(a, b, y, #[inline(always)] |$ia: i32, $ib: i32| $i32)),)?
                            $(u32: Some(|a, b, y| math::map2(a, b, y, #[inline(always)] |$ua: u32, $ub: u32| $u32)),)?
                            $(bool: Some(|a, b, y| math::map2(a, b, y, #[inline(always)] |$ba: u32, $bb: u32| $bool)),)?
                            ..Binary1::NONE
                        },
                        wgsl: $wgsl,
                        wgsl_i32: concat!($($wgsl_i32)?),
                        wgsl_u32: concat!($($wgsl_u32)?),
                        wgsl_bool: concat!($($wgsl_bool)?),
                        compares: binary!(@given $($ca)?),
                    },
                    grad: binary!(@grad $(|$ga, $gb, $gy, $gg| $grad)?),
                };
            )*
        }

        /// The meanings for floats, written once for both types.
        mod float {
            use super::*;
            $($(
                #[inline(always)]
                pub(super) fn $name<R: Real>($a: R, $b: R) -> R {
                    $float
                }
            )?)*
        }

        /// Every binary function.
        #[cfg(test)]
        pub(crate) static BINARY: &[&BinaryRow] = &[$(&rows::$name),*];

        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// The operands broadcast by NumPy's rule; a number takes this tensor's type.
                ///
                /// ```
                /// # use wgtensor::{Device, Tensor};
                #[doc = concat!("let a = Tensor::new(", stringify!($left), ", &Device::cpu())?;")]
                #[doc = concat!("let b = Tensor::new(", stringify!($right), ", &Device::cpu())?;")]
                #[doc = concat!("assert_eq!(format!(\"{:.3}\", a.", stringify!($name), "(&b)?), \"", $output, "\");")]
                /// # Ok::<(), wgtensor::Error>(())
                /// ```
                ///
                /// # Errors
                /// The function does not take this element type; the operands differ in type or device; their shapes do not
                /// broadcast.
                #[track_caller]
                pub fn $name(&self, rhs: impl Operand) -> Result<Tensor> {
                    pointwise::binary(self, rhs, &rows::$name)
                }
            )*
        }
    };
    (@compare $t:ty, $a:ident, $b:ident, $compare:expr) => {
        Some(|a, b, y| math::map2(a, b, y, #[inline(always)] |$a: $t, $b: $t| u32::from($compare)))
    };
    (@given) => { false };
    (@given $a:ident) => { true };
    (@grad) => { None };
    (@grad |$a:ident, $b:ident, $y:ident, $g:ident| $grad:expr) => {
        Some(|$y: &Tensor, inputs: &[Tensor], $g: &Tensor| {
            let ($a, $b) = (&inputs[0], &inputs[1]);
            let (da, db) = $grad;
            pointwise::shrink_all([da, db], inputs)
        })
    };
}

/// The gradient where `chosen`; half of it where the arguments are equal.
fn share(chosen: &Tensor, equal: &Tensor, g: &Tensor) -> Result<Tensor> {
    chosen.where_(g, equal.where_(g.mul(0.5)?, 0.0)?)
}

/// The gradient of `a^b` for `b`: `g y ln a`, and 0 where the base has no logarithm.
fn pow_exponent_grad(a: &Tensor, y: &Tensor, g: &Tensor) -> Result<Tensor> {
    g.mul(y)?.mul(a.gt(0.0)?.where_(a, 1.0)?.log()?)
}

/// The gradient of `a^b` for `a`: `g b a^(b - 1)`, which is 0 for `b = 0` even where the power is infinite.
fn pow_base_grad(a: &Tensor, b: &Tensor, g: &Tensor) -> Result<Tensor> {
    g.mul(b)?.mul(a.pow(b.eq(0.0)?.where_(1.0, b.sub(1.0)?)?)?)
}

/// Python's `a // b`; 0 where `b` is 0.
#[inline(always)]
fn int_floor_div(a: i32, b: i32) -> i32 {
    int_trunc_div(a, b).wrapping_sub(i32::from(int_trunc_rem(a, b) != 0 && (a < 0) != (b < 0)))
}

/// Python's `a % b`; 0 where `b` is 0.
#[inline(always)]
fn int_floor_rem(a: i32, b: i32) -> i32 {
    let r = int_trunc_rem(a, b);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

#[inline(always)]
fn int_trunc_div(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { a.wrapping_div(b) }
}

#[inline(always)]
fn int_trunc_rem(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { a.wrapping_rem(b) }
}

/// `a^b`, wrapping; a negative exponent gives the truncated quotient.
#[inline(always)]
fn int_pow(a: i32, b: i32) -> i32 {
    match (a, u32::try_from(b)) {
        (_, Ok(b)) => a.wrapping_pow(b),
        (1, _) => 1,
        (-1, _) => 1 - 2 * (b & 1),
        _ => 0,
    }
}

binary! {
    /// The sum. Integers wrap.
    add {
        example: [1.0f32, 2.0], [0.5f32, -3.0] => "[ 1.500 -1.000]",
        float: |a, b| a + b,
        basic: Add,
        i32: |a, b| a.wrapping_add(b),
        u32: |a, b| a.wrapping_add(b),
        wgsl: "(a + b)",
        grad: |_a, _b, _y, g| (g.clone(), g.clone()),
    }
    /// The difference. Integers wrap.
    sub {
        example: [1.0f32, 2.0], [0.5f32, -3.0] => "[0.500 5.000]",
        float: |a, b| a - b,
        basic: Sub,
        i32: |a, b| a.wrapping_sub(b),
        u32: |a, b| a.wrapping_sub(b),
        wgsl: "(a - b)",
        grad: |_a, _b, _y, g| (g.clone(), g.neg()?),
    }
    /// The product. Integers wrap.
    mul {
        example: [1.0f32, 2.0], [0.5f32, -3.0] => "[ 0.500 -6.000]",
        float: |a, b| a * b,
        basic: Mul,
        i32: |a, b| a.wrapping_mul(b),
        u32: |a, b| a.wrapping_mul(b),
        wgsl: "(a * b)",
        grad: |a, b, _y, g| (g.mul(b)?, g.mul(a)?),
    }
    /// The quotient. Of integers it is truncated towards 0, and 0 where the divisor is 0.
    div {
        example: [1.0f32, 2.0], [0.5f32, -4.0] => "[ 2.000 -0.500]",
        float: |a, b| a / b,
        basic: Div,
        i32: |a, b| int_trunc_div(a, b),
        u32: |a, b| a.checked_div(b).unwrap_or(0),
        wgsl: "(a / b)",
        wgsl_i32: "wgt_div_i32(a, b)",
        wgsl_u32: "wgt_div_u32(a, b)",
        grad: |_a, b, y, g| {
            let da = g.div(b)?;
            let db = da.mul(y)?.neg()?;
            (da, db)
        },
    }
    /// The power `a^b`. A negative base takes whole exponents only, otherwise the result is NaN; `a^0` is 1 always.
    /// Integers wrap, and a negative exponent gives the truncated quotient.
    pow {
        example: [3.0f32, 4.0], [2.0f32, 0.5] => "[9.000 2.000]",
        float: |a, b| a.pow(b),
        i32: |a, b| int_pow(a, b),
        u32: |a, b| a.wrapping_pow(b),
        wgsl: "wgt_pow(a, b)",
        wgsl_i32: "wgt_pow_i32(a, b)",
        wgsl_u32: "wgt_pow_u32(a, b)",
        grad: |a, b, y, g| (pow_base_grad(a, b, g)?, pow_exponent_grad(a, y, g)?),
    }
    /// The greater of the two; NaN if either is. Where they are equal each has half of the gradient.
    maximum {
        example: [1.0f32, 2.0], [0.5f32, 3.0] => "[1.000 3.000]",
        float: |a, b| math::maximum(a, b),
        basic: Maximum,
        i32: |a, b| a.max(b),
        u32: |a, b| a.max(b),
        wgsl: "wgt_max(a, b)",
        wgsl_i32: "max(a, b)",
        grad: |a, b, _y, g| {
            let equal = a.eq(b)?;
            (share(&a.gt(b)?, &equal, g)?, share(&a.lt(b)?, &equal, g)?)
        },
    }
    /// The lesser of the two; NaN if either is. Where they are equal each has half of the gradient.
    minimum {
        example: [1.0f32, 2.0], [0.5f32, 3.0] => "[0.500 2.000]",
        float: |a, b| math::minimum(a, b),
        basic: Minimum,
        i32: |a, b| a.min(b),
        u32: |a, b| a.min(b),
        wgsl: "wgt_min(a, b)",
        wgsl_i32: "min(a, b)",
        grad: |a, b, _y, g| {
            let equal = a.eq(b)?;
            (share(&a.lt(b)?, &equal, g)?, share(&a.gt(b)?, &equal, g)?)
        },
    }
    /// The quotient rounded down, as Python's `//`. Of integers it is 0 where the divisor is 0.
    floor_divide {
        example: [7.0f32, -7.0], [2.0f32, 2.0] => "[ 3.000 -4.000]",
        float: |a, b| a.floor_div(b),
        i32: |a, b| int_floor_div(a, b),
        u32: |a, b| a.checked_div(b).unwrap_or(0),
        wgsl: "wgt_floor_div(a, b)",
        wgsl_i32: "wgt_floor_div_i32(a, b)",
        wgsl_u32: "wgt_div_u32(a, b)",
    }
    /// The remainder with the sign of the divisor, as Python's `%`. Of integers it is 0 where the divisor is 0.
    rem {
        example: [7.0f32, -7.0], [2.0f32, 2.0] => "[1.000 1.000]",
        float_block: math::rem,
        i32: |a, b| int_floor_rem(a, b),
        u32: |a, b| a.checked_rem(b).unwrap_or(0),
        wgsl: "wgt_rem(a, b)",
        wgsl_i32: "wgt_rem_i32(a, b)",
        wgsl_u32: "wgt_rem_u32(a, b)",
        grad: |a, b, _y, g| (g.clone(), g.mul(a.floor_divide(b)?)?.neg()?),
    }
    /// The remainder with the sign of the dividend, as C's `fmod`. Of integers it is 0 where the divisor is 0.
    fmod {
        example: [7.0f32, -7.0], [2.0f32, 2.0] => "[ 1.000 -1.000]",
        float: |a, b| a.trunc_rem(b),
        i32: |a, b| int_trunc_rem(a, b),
        u32: |a, b| a.checked_rem(b).unwrap_or(0),
        wgsl: "wgt_trunc_rem(a, b)",
        wgsl_i32: "wgt_trunc_rem_i32(a, b)",
        wgsl_u32: "wgt_rem_u32(a, b)",
        grad: |a, b, _y, g| (g.clone(), g.mul(a.div(b)?.trunc()?)?.neg()?),
    }
    /// The angle of the point with the ordinate `a` and the abscissa `b`, in `-pi..=pi`.
    atan2 {
        example: [1.0f32, -1.0], [1.0f32, 0.0] => "[ 0.785 -1.571]",
        float: |a, b| a.atan2(b),
        wgsl: "wgt_atan2(a, b)",
        grad: |a, b, _y, g| {
            // By the hypotenuse twice: its square may overflow, or be 0.
            let r = a.hypot(b)?;
            let scaled = g.div(&r)?;
            (scaled.mul(b.div(&r)?)?, scaled.mul(a.div(&r)?)?.neg()?)
        },
    }
    /// `sqrt(a^2 + b^2)`, without overflow.
    hypot {
        example: [3.0f32, 5.0], [4.0f32, 12.0] => "[ 5.000 13.000]",
        float: |a, b| a.hypot(b),
        wgsl: "wgt_hypot(a, b)",
        grad: |a, b, y, g| (g.mul(a.div(y)?)?, g.mul(b.div(y)?)?),
    }
    /// `ln(e^a + e^b)`, without overflow.
    logaddexp {
        example: [0.0f32, 1.0], [0.0f32, 2.0] => "[0.693 2.313]",
        float: |a, b| math::logaddexp(a, b),
        wgsl: "wgt_logaddexp(a, b)",
        grad: |a, b, _y, g| {
            let d = a.sub(b)?;
            (g.mul(d.sigmoid()?)?, g.mul(d.neg()?.sigmoid()?)?)
        },
    }
    /// The bits that are set in both; of booleans the conjunction.
    bitwise_and {
        example: [12, 5], [10, 3] => "[8 1]",
        i32: |a, b| a & b,
        u32: |a, b| a & b,
        bool: |a, b| a & b,
        wgsl: "(a & b)",
        wgsl_bool: "(a && b)",
    }
    /// The bits that are set in either; of booleans the disjunction.
    bitwise_or {
        example: [12, 5], [10, 3] => "[14  7]",
        i32: |a, b| a | b,
        u32: |a, b| a | b,
        bool: |a, b| a | b,
        wgsl: "(a | b)",
        wgsl_bool: "(a || b)",
    }
    /// The bits that differ; of booleans whether they differ.
    bitwise_xor {
        example: [12, 5], [10, 3] => "[6 6]",
        i32: |a, b| a ^ b,
        u32: |a, b| a ^ b,
        bool: |a, b| a ^ b,
        wgsl: "(a ^ b)",
        wgsl_bool: "(a != b)",
    }
    /// `a` shifted left by `b` bits; 0 where `b` is negative or above 31.
    left_shift {
        example: [1, 5], [4, 1] => "[16 10]",
        i32: |a, b| a.checked_shl(b as u32).unwrap_or(0),
        u32: |a, b| a.checked_shl(b).unwrap_or(0),
        wgsl: "wgt_shl(a, b)",
        wgsl_i32: "bitcast<i32>(wgt_shl(bitcast<u32>(a), bitcast<u32>(b)))",
        wgsl_u32: "wgt_shl(a, b)",
    }
    /// `a` shifted right by `b` bits, with copies of the sign for `i32`; nothing but the sign is left where `b` is negative or
    /// above 31.
    right_shift {
        example: [16, -5], [4, 1] => "[ 1 -3]",
        i32: |a, b| a >> (b as u32).min(31),
        u32: |a, b| a.checked_shr(b).unwrap_or(0),
        wgsl: "wgt_shr_u32(a, b)",
        wgsl_i32: "wgt_shr_i32(a, b)",
        wgsl_u32: "wgt_shr_u32(a, b)",
    }
    /// Whether the two are equal, as a boolean; NaN equals nothing.
    eq {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[False  True False]",
        compare: |a, b| a == b,
        wgsl: "wgt_eq(a, b)",
        wgsl_i32: "(a == b)",
        wgsl_bool: "(a == b)",
    }
    /// Whether the two differ, as a boolean; NaN differs from everything.
    ne {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[ True False  True]",
        compare: |a, b| a != b,
        wgsl: "wgt_ne(a, b)",
        wgsl_i32: "(a != b)",
        wgsl_bool: "(a != b)",
    }
    /// Whether `a < b`, as a boolean; false beside NaN.
    lt {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[ True False False]",
        compare: |a, b| a < b,
        wgsl: "wgt_lt(a, b)",
        wgsl_i32: "(a < b)",
        wgsl_bool: "(!a && b)",
    }
    /// Whether `a <= b`, as a boolean; false beside NaN.
    le {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[ True  True False]",
        compare: |a, b| a <= b,
        wgsl: "wgt_le(a, b)",
        wgsl_i32: "(a <= b)",
        wgsl_bool: "(!a || b)",
    }
    /// Whether `a > b`, as a boolean; false beside NaN.
    gt {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[False False  True]",
        compare: |a, b| a > b,
        wgsl: "wgt_lt(b, a)",
        wgsl_i32: "(a > b)",
        wgsl_bool: "(a && !b)",
    }
    /// Whether `a >= b`, as a boolean; false beside NaN.
    ge {
        example: [1.0f32, 2.0, 3.0], [2.0f32, 2.0, 2.0] => "[False  True  True]",
        compare: |a, b| a >= b,
        wgsl: "wgt_le(b, a)",
        wgsl_i32: "(a >= b)",
        wgsl_bool: "(a || !b)",
    }
    /// Whether both booleans are true.
    logical_and {
        example: [true, true, false], [true, false, false] => "[ True False False]",
        bool: |a, b| a & b,
        wgsl: "(a && b)",
    }
    /// Whether at least one of the booleans is true.
    logical_or {
        example: [true, true, false], [true, false, false] => "[ True  True False]",
        bool: |a, b| a | b,
        wgsl: "(a || b)",
    }
    /// Whether exactly one of the booleans is true.
    logical_xor {
        example: [true, true, false], [true, false, false] => "[False  True False]",
        bool: |a, b| a ^ b,
        wgsl: "(a != b)",
    }
}
