//! The pointwise functions of one argument, a row each: documentation, meaning on the CPU, WGSL expression, gradient.
//!
//! A row begins with the example of its documentation, and gives the meaning for floats (`float`, one element; or `float_block`, a whole block; or `test`, with a boolean
//! result), and where there is one for `i32`, `u32` and `bool`. `wgsl` is an expression of `x`, `wgsl_int` the one for
//! integers and booleans where it differs, `wgsl_bool` that for booleans alone; the functions `wgt_*` stand in `shaders/math.wgsl`. `grad` is given the argument,
//! the result and the result's gradient. A row without `grad` has the gradient zero.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LOG2_E, LOG10_E};

use super::pointwise::{self, UnaryRow};
use crate::error::Result;
use crate::graph::Tensor;
use crate::ir::math::{self, Real};
use crate::ir::scalar::{Basic1, Unary1, UnaryFn};

macro_rules! unary {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            example: $input:tt => $output:literal,
            $(float: |$x:ident| $float:expr,)?
            $(basic: $basic:ident,)?
            $(float_block: $block:path,)?
            $(test: |$tx:ident| $test:expr,)?
            $(i32: |$ix:ident| $i32:expr,)?
            $(u32: |$ux:ident| $u32:expr,)?
            $(bool: |$bx:ident| $bool:expr,)?
            wgsl: $wgsl:literal,
            $(wgsl_int: $wgsl_int:literal,)?
            $(wgsl_bool: $wgsl_bool:literal,)?
            $(grad: |$gx:ident, $gy:ident, $gg:ident| $grad:expr,)?
        }
    )*) => {
        #[allow(non_upper_case_globals, reason = "a row is named as its method")]
        mod rows {
            use super::*;
            $(
                pub(super) static $name: UnaryRow = UnaryRow {
                    f: &UnaryFn {
                        name: stringify!($name),
                        cpu: Unary1 {
                            $(
                                f32: Some(|x, y| math::map(x, y, #[inline(always)] |$x: f32| float::$name($x))),
                                f64: Some(|x, y| math::map(x, y, #[inline(always)] |$x: f64| float::$name($x))),
                            )?
                            $(basic: Some(Basic1::$basic),)?
                            $(f32: Some($block), f64: Some($block),)?
                            $(
                                test_f32: Some(|x, y| math::map(x, y, #[inline(always)] |$tx: f32| u32::from($test))),
                                test_f64: Some(|x, y| math::map(x, y, #[inline(always)] |$tx: f64| u32::from($test))),
                            )?
                            $(i32: Some(|x, y| math::map(x, y, #[inline(always)] |$ix: i32| $i32)),)?
                            $(u32: Some(|x, y| math::map(x, y, #[inline(always)] |$ux: u32| $u32)),)?
                            $(bool: Some(|x, y| math::map(x, y, #[inline(always)] |$bx: u32| $bool)),)?
                            ..Unary1::NONE
                        },
                        wgsl: $wgsl,
                        wgsl_int: concat!($($wgsl_int)?),
                        wgsl_bool: concat!($($wgsl_bool)?),
                    },
                    grad: unary!(@grad $(|$gx, $gy, $gg| $grad)?),
                };
            )*
        }

        /// The meanings for floats, written once for both types.
        mod float {
            use super::*;
            $($(
                #[inline(always)]
                pub(super) fn $name<R: Real>($x: R) -> R {
                    $float
                }
            )?)*
        }

        /// Every unary function.
        #[cfg(test)]
        pub(crate) static UNARY: &[&UnaryRow] = &[$(&rows::$name),*];

        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// ```
                /// # use wgtensor::{Device, Tensor};
                #[doc = concat!("let x = Tensor::new(", stringify!($input), ", &Device::cpu())?;")]
                #[doc = concat!("assert_eq!(format!(\"{:.3}\", x.", stringify!($name), "()?), \"", $output, "\");")]
                /// # Ok::<(), wgtensor::Error>(())
                /// ```
                ///
                /// # Errors
                /// The function does not take this element type.
                #[track_caller]
                pub fn $name(&self) -> Result<Tensor> {
                    pointwise::unary(self, &rows::$name)
                }
            )*
        }
    };
    (@grad) => { None };
    (@grad |$x:ident, $y:ident, $g:ident| $grad:expr) => {
        Some(|$y: &Tensor, inputs: &[Tensor], $g: &Tensor| {
            let $x = &inputs[0];
            let grad: Result<Tensor> = $grad;
            pointwise::shrink_all([grad?], inputs)
        })
    };
}

/// `1 - x^2`, which keeps its digits near 1.
fn one_minus_square(x: &Tensor) -> Result<Tensor> {
    x.neg()?.add(1.0)?.mul(x.add(1.0)?)
}

unary! {
    /// The negative `-x`. Integers wrap.
    neg {
        example: [1.0f32, -2.5] => "[-1.000  2.500]",
        float: |x| -x,
        basic: Neg,
        i32: |x| x.wrapping_neg(),
        u32: |x| x.wrapping_neg(),
        wgsl: "-x",
        wgsl_int: "(~x + 1)",
        grad: |_x, _y, g| g.neg(),
    }
    /// The absolute value `|x|`; of the least `i32` it is that number itself. The gradient at 0 is 0.
    abs {
        example: [-1.5f32, 2.0] => "[1.500 2.000]",
        float: |x| x.abs(),
        basic: Abs,
        i32: |x| x.wrapping_abs(),
        u32: |x| x,
        wgsl: "abs(x)",
        grad: |x, _y, g| g.mul(x.sign()?),
    }
    /// -1, 0 or 1 by the sign of `x`; NaN stays.
    sign {
        example: [-3.0f32, 0.0, 2.0] => "[-1.000  0.000  1.000]",
        float: |x| math::sign(x),
        i32: |x| x.signum(),
        u32: |x| x.min(1),
        wgsl: "wgt_sign(x)",
        wgsl_int: "((x >> 31u) | min(x, 1))",
    }
    /// The square `x^2`. Integers wrap.
    square {
        example: [3.0f32, -0.5] => "[9.000 0.250]",
        float: |x| x * x,
        basic: Square,
        i32: |x| x.wrapping_mul(x),
        u32: |x| x.wrapping_mul(x),
        wgsl: "(x * x)",
        grad: |x, _y, g| g.mul(x)?.mul(2.0),
    }
    /// The square root; NaN below 0.
    sqrt {
        example: [4.0f32, 2.0] => "[2.000 1.414]",
        float: |x| x.sqrt(),
        basic: Sqrt,
        wgsl: "wgt_sqrt(x)",
        grad: |_x, y, g| g.mul(0.5)?.div(y),
    }
    /// The cube root, of negative numbers too.
    cbrt {
        example: [-8.0f32, 3.0] => "[-2.000  1.442]",
        float: |x| x.cbrt(),
        wgsl: "wgt_cbrt(x)",
        grad: |_x, y, g| g.div(y.square()?.mul(3.0)?),
    }
    /// The reciprocal of the square root, `1 / sqrt(x)`; infinite at 0, NaN below.
    rsqrt {
        example: [4.0f32, 0.25] => "[0.500 2.000]",
        float: |x| R::from(1.0) / x.sqrt(),
        basic: Rsqrt,
        wgsl: "wgt_rsqrt(x)",
        grad: |_x, y, g| g.mul(-0.5)?.mul(y)?.mul(y.square()?),
    }
    /// The reciprocal `1 / x`.
    reciprocal {
        example: [4.0f32, -0.5] => "[ 0.250 -2.000]",
        float: |x| R::from(1.0) / x,
        basic: Reciprocal,
        wgsl: "(1.0 / x)",
        grad: |_x, y, g| g.mul(y.square()?)?.neg(),
    }
    /// The exponential function `e^x`.
    exp {
        example: [0.0f32, 1.0] => "[1.000 2.718]",
        float: |x| x.exp(),
        wgsl: "wgt_exp(x)",
        grad: |_x, y, g| g.mul(y),
    }
    /// The power of two `2^x`.
    exp2 {
        example: [3.0f32, -1.0] => "[8.000 0.500]",
        float: |x| x.exp2(),
        wgsl: "wgt_exp2(x)",
        grad: |_x, y, g| g.mul(y)?.mul(LN_2),
    }
    /// `e^x - 1`, exact near 0.
    expm1 {
        example: [0.0f32, 1.0] => "[0.000 1.718]",
        float: |x| x.expm1(),
        wgsl: "wgt_expm1(x)",
        grad: |_x, y, g| g.mul(y.add(1.0)?),
    }
    /// The natural logarithm; `-inf` at 0, NaN below.
    log {
        example: [1.0f32, 10.0] => "[0.000 2.303]",
        float: |x| x.ln(),
        wgsl: "wgt_ln(x)",
        grad: |x, _y, g| g.div(x),
    }
    /// The logarithm to base 2; `-inf` at 0, NaN below.
    log2 {
        example: [8.0f32, 0.5] => "[ 3.000 -1.000]",
        float: |x| x.log2(),
        wgsl: "wgt_log2(x)",
        grad: |x, _y, g| g.mul(LOG2_E)?.div(x),
    }
    /// The logarithm to base 10; `-inf` at 0, NaN below.
    log10 {
        example: [100.0f32, 0.1] => "[ 2.000 -1.000]",
        float: |x| x.log10(),
        wgsl: "wgt_log10(x)",
        grad: |x, _y, g| g.mul(LOG10_E)?.div(x),
    }
    /// `ln(1 + x)`, exact near 0; `-inf` at -1, NaN below.
    log1p {
        example: [0.0f32, 1.0] => "[0.000 0.693]",
        float: |x| x.log1p(),
        wgsl: "wgt_log1p(x)",
        grad: |x, _y, g| g.div(x.add(1.0)?),
    }
    /// The sine of an angle in radians, accurate for large angles too; NaN of infinities.
    sin {
        example: [0.0f32, 1.0] => "[0.000 0.841]",
        float_block: math::sin,
        wgsl: "wgt_sin(x)",
        grad: |x, _y, g| g.mul(x.cos()?),
    }
    /// The cosine of an angle in radians, accurate for large angles too; NaN of infinities.
    cos {
        example: [0.0f32, 1.0] => "[1.000 0.540]",
        float_block: math::cos,
        wgsl: "wgt_cos(x)",
        grad: |x, _y, g| g.mul(x.sin()?)?.neg(),
    }
    /// The tangent of an angle in radians, accurate for large angles too; NaN of infinities.
    tan {
        example: [0.0f32, 1.0] => "[0.000 1.557]",
        float_block: math::tan,
        wgsl: "wgt_tan(x)",
        grad: |_x, y, g| g.mul(y.square()?.add(1.0)?),
    }
    /// The arc sine, in `-pi/2..=pi/2`; NaN outside `-1..=1`.
    asin {
        example: [0.5f32, 1.0] => "[0.524 1.571]",
        float: |x| x.asin(),
        wgsl: "wgt_asin(x)",
        grad: |x, _y, g| g.mul(one_minus_square(x)?.rsqrt()?),
    }
    /// The arc cosine, in `0..=pi`; NaN outside `-1..=1`.
    acos {
        example: [0.5f32, 0.0] => "[1.047 1.571]",
        float: |x| x.acos(),
        wgsl: "wgt_acos(x)",
        grad: |x, _y, g| g.mul(one_minus_square(x)?.rsqrt()?)?.neg(),
    }
    /// The arc tangent, in `-pi/2..=pi/2`.
    atan {
        example: [1.0f32, -1.0] => "[ 0.785 -0.785]",
        float: |x| x.atan(),
        wgsl: "wgt_atan(x)",
        grad: |x, _y, g| g.div(x.square()?.add(1.0)?),
    }
    /// The hyperbolic sine.
    sinh {
        example: [0.0f32, 1.0] => "[0.000 1.175]",
        float: |x| x.sinh(),
        wgsl: "wgt_sinh(x)",
        grad: |x, _y, g| g.mul(x.cosh()?),
    }
    /// The hyperbolic cosine.
    cosh {
        example: [0.0f32, 1.0] => "[1.000 1.543]",
        float: |x| x.cosh(),
        wgsl: "wgt_cosh(x)",
        grad: |x, _y, g| g.mul(x.sinh()?),
    }
    /// The hyperbolic tangent.
    tanh {
        example: [0.0f32, 1.0] => "[0.000 0.762]",
        float: |x| x.tanh(),
        wgsl: "wgt_tanh(x)",
        grad: |_x, y, g| g.mul(one_minus_square(y)?),
    }
    /// The inverse hyperbolic sine.
    asinh {
        example: [0.0f32, 1.0] => "[0.000 0.881]",
        float: |x| x.asinh(),
        wgsl: "wgt_asinh(x)",
        grad: |x, _y, g| g.div(x.hypot(1.0)?),
    }
    /// The inverse hyperbolic cosine; NaN below 1.
    acosh {
        example: [1.0f32, 2.0] => "[0.000 1.317]",
        float: |x| x.acosh(),
        wgsl: "wgt_acosh(x)",
        grad: |x, _y, g| g.mul(x.sub(1.0)?.rsqrt()?)?.mul(x.add(1.0)?.rsqrt()?),
    }
    /// The inverse hyperbolic tangent; infinite at 1 and -1, NaN beyond.
    atanh {
        example: [0.0f32, 0.5] => "[0.000 0.549]",
        float: |x| x.atanh(),
        wgsl: "wgt_atanh(x)",
        grad: |x, _y, g| g.div(one_minus_square(x)?),
    }
    /// The error function `2 / sqrt(pi) * integral of e^(-t^2) from 0 to x`.
    erf {
        example: [0.0f32, 1.0] => "[0.000 0.843]",
        float: |x| x.erf(),
        wgsl: "wgt_erf(x)",
        grad: |x, _y, g| g.mul(x.square()?.neg()?.exp()?)?.mul(FRAC_2_SQRT_PI),
    }
    /// The inverse of [`erf`](Tensor::erf); infinite at 1 and -1, NaN beyond.
    erfinv {
        example: [0.0f32, 0.5] => "[0.000 0.477]",
        float: |x| x.erfinv(),
        wgsl: "wgt_erfinv(x)",
        grad: |_x, y, g| g.mul(y.square()?.exp()?)?.mul(1.0 / FRAC_2_SQRT_PI),
    }
    /// The greatest whole number that is not above `x`.
    floor {
        example: [1.5f32, -1.5] => "[ 1.000 -2.000]",
        float: |x| x.floor(),
        wgsl: "floor(x)",
    }
    /// The least whole number that is not below `x`.
    ceil {
        example: [1.5f32, -1.5] => "[ 2.000 -1.000]",
        float: |x| x.ceil(),
        wgsl: "ceil(x)",
    }
    /// The nearest whole number; halves go to the even one.
    round {
        example: [0.5f32, 1.5, -1.7] => "[ 0.000  2.000 -2.000]",
        float: |x| x.round_ties_even(),
        wgsl: "round(x)",
    }
    /// The whole part of `x`, towards 0.
    trunc {
        example: [1.7f32, -1.7] => "[ 1.000 -1.000]",
        float: |x| x.trunc(),
        wgsl: "trunc(x)",
    }
    /// The rectifier `max(x, 0)`; NaN stays. The gradient at 0 is 0.
    relu {
        example: [-1.0f32, 2.0] => "[0.000 2.000]",
        float: |x| if x <= R::from(0.0) { R::from(0.0) } else { x },
        basic: Relu,
        i32: |x| x.max(0),
        u32: |x| x,
        wgsl: "wgt_relu(x)",
        wgsl_int: "max(x, 0)",
        grad: |_x, y, g| y.gt(0.0)?.where_(g, 0.0),
    }
    /// The logistic function `1 / (1 + e^-x)`.
    sigmoid {
        example: [0.0f32, 2.0] => "[0.500 0.881]",
        float: |x| x.sigmoid(),
        wgsl: "wgt_sigmoid(x)",
        grad: |_x, y, g| g.mul(y)?.mul(y.neg()?.add(1.0)?),
    }
    /// `ln(1 + e^x)`, without overflow.
    softplus {
        example: [0.0f32, 2.0] => "[0.693 2.127]",
        float: |x| x.softplus(),
        wgsl: "wgt_softplus(x)",
        grad: |x, _y, g| g.mul(x.sigmoid()?),
    }
    /// `ln(sigmoid(x)) = -ln(1 + e^-x)`, without overflow.
    log_sigmoid {
        example: [0.0f32, 2.0] => "[-0.693 -0.127]",
        float: |x| -(-x).softplus(),
        wgsl: "(-wgt_softplus(-x))",
        grad: |x, _y, g| g.mul(x.neg()?.sigmoid()?),
    }
    /// Whether `x` is NaN, as a boolean.
    isnan {
        example: [1.0f32, f32::NAN] => "[False  True]",
        test: |x| x.is_nan(),
        wgsl: "wgt_is_nan(x)",
    }
    /// Whether `x` is infinite, as a boolean.
    isinf {
        example: [1.0f32, f32::INFINITY] => "[False  True]",
        test: |x| x.is_infinite(),
        wgsl: "wgt_is_inf(x)",
    }
    /// Whether `x` is neither infinite nor NaN, as a boolean.
    isfinite {
        example: [1.0f32, f32::NAN] => "[ True False]",
        test: |x| x.is_finite(),
        wgsl: "wgt_is_finite(x)",
    }
    /// The negation of a boolean.
    logical_not {
        example: [true, false] => "[False  True]",
        bool: |x| x ^ 1,
        wgsl: "(!x)",
    }
    /// An integer with every bit turned; of booleans the negation.
    bitwise_not {
        example: [5, -1] => "[-6  0]",
        i32: |x| !x,
        u32: |x| !x,
        bool: |x| x ^ 1,
        wgsl: "(~x)",
        wgsl_bool: "(!x)",
    }
}
