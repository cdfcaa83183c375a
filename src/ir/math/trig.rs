//! Circular and hyperbolic functions of `f32` and their inverses: no branches, so that loops over them vectorise.
//!
//! The polynomials are minimax fits (Remez, relative error) made for this crate; each states its interval and error.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

use super::exp::{exp_scaled, expm1_near, log1p, poly};

/// `1.5 * 2^52`; see `exp.rs`.
const SHIFT: f64 = 6_755_399_441_055_744.0;
/// `pi / 2` in two parts, the first of 33 bits (the constants of fdlibm's `__ieee754_rem_pio2`).
const PIO2_HI: f64 = 1.570_796_326_734_125_6;
const PIO2_LO: f64 = 6.077_100_506_506_192e-11;
/// What `f32` loses of `pi / 2`.
const PIO2_TAIL: f32 = -4.371_139e-8;
/// 64 zero bits and then the first 256 bits of `2 / pi` after the point.
const TWO_OVER_PI: [u64; 5] =
    [0, 0xa2f9_836e_4e44_1529, 0xfc27_57d1_f534_ddc0, 0xdb62_9599_3c43_9041, 0xfe51_63ab_debb_c561];
/// `(sin x - x) / x^3` in `x^2` for `|x| <= pi/4`: `sin x` to 2^-28.
const SIN: [f32; 3] = [-0.16666655, 0.00833216, -0.00019515218];
/// `(cos x - 1 + x^2 / 2) / x^4` in `x^2` for `|x| <= pi/4`: `cos x` to 2^-33.
const COS: [f32; 3] = [0.041666646, -0.0013887315, 2.4433082e-05];
/// `(asin x - x) / x^3` in `x^2` for `|x| <= 1/2`: to 2^-28.
const ASIN: [f32; 5] = [0.16666752, 0.074952975, 0.045470376, 0.024179516, 0.042166304];
/// `(atan x - x) / x^3` in `x^2` for `|x| <= tan(pi/8)`: to 2^-30.
const ATAN: [f32; 5] = [-0.33333316, 0.1999847, -0.14243512, 0.105936415, -0.060777627];
/// `(sinh x - x) / x^3` in `x^2` for `|x| <= 1`: to 2^-34.
const SINH: [f32; 4] = [0.16666667, 0.00833335, 0.0001983616, 2.816951e-06];
/// `tan(pi / 8)`.
const TAN_PI_8: f32 = 0.414_213_57;

/// Whether `x` is too large (or not a number) for [`reduce`].
#[inline(always)]
pub(crate) fn far(x: f32) -> bool {
    (x.abs() >= 1e6) | x.is_nan()
}

/// `(r, q)` with `x = q pi/2 + r`, `|r| <= pi/4`, and `q` modulo 4 in its low bits, for `x` that is not [`far`].
#[inline(always)]
fn reduce(x: f32) -> (f32, u32) {
    let x = f64::from(x);
    let t = x * std::f64::consts::FRAC_2_PI + SHIFT;
    let k = t - SHIFT;
    ((x - k * PIO2_HI - k * PIO2_LO) as f32, t.to_bits() as u32)
}

/// The same for every finite `x` with `|x| >= 1` (Payne and Hanek): the product of the 24-bit significand with the bits of
/// `2 / pi` that matter modulo 4, in fixed point with 126 bits after the point.
fn reduce_far(x: f32) -> (f32, u32) {
    let bits = x.abs().to_bits();
    let significand = u128::from(bits & 0x007f_ffff | 0x0080_0000);
    // |x| = significand * 2^(exponent - 150); the window starts two bits before the product's point.
    let start = 64 + (bits >> 23) as usize - 150 - 2;
    let (word, shift) = (start / 64, start % 64);
    let [a, b, c] = [0, 1, 2].map(|i| u128::from(TWO_OVER_PI[word + i]));
    let window = (a << 64 | b) << shift | c << shift >> 64;
    let turns = significand.wrapping_mul(window);
    let q = turns.wrapping_add(1 << 125) >> 126;
    let rest = turns.wrapping_sub(q << 126) as i128;
    let r = (rest as f64 * (-126f64).exp2() * std::f64::consts::FRAC_PI_2) as f32;
    if x < 0.0 { (-r, (q as u32).wrapping_neg()) } else { (r, q as u32) }
}

/// `sin r` and `cos r` for `|r| <= pi/4`.
#[inline(always)]
fn sin_cos(r: f32) -> (f32, f32) {
    let z = r * r;
    (r + r * z * poly(z, SIN), 1.0 - (0.5 * z - z * z * poly(z, COS)))
}

/// `sin(q pi/2 + r)`.
#[inline(always)]
fn sin_at((r, q): (f32, u32)) -> f32 {
    let (s, c) = sin_cos(r);
    let y = if q & 1 == 0 { s } else { c };
    f32::from_bits(y.to_bits() ^ (q & 2) << 30)
}

/// `tan(q pi/2 + r)`.
#[inline(always)]
fn tan_at((r, q): (f32, u32)) -> f32 {
    let (s, c) = sin_cos(r);
    if q & 1 == 0 { s / c } else { -c / s }
}

/// The sine of an `x` that is not [`far`].
#[inline(always)]
pub(crate) fn sin_near(x: f32) -> f32 {
    let y = sin_at(reduce(x));
    if x == 0.0 { x } else { y }
}

/// The cosine of an `x` that is not [`far`].
#[inline(always)]
pub(crate) fn cos_near(x: f32) -> f32 {
    let (r, q) = reduce(x);
    sin_at((r, q.wrapping_add(1)))
}

/// The tangent of an `x` that is not [`far`].
#[inline(always)]
pub(crate) fn tan_near(x: f32) -> f32 {
    let y = tan_at(reduce(x));
    if x == 0.0 { x } else { y }
}

/// The sine of a [`far`] `x`; NaN of infinities and NaN.
pub(crate) fn sin_far(x: f32) -> f32 {
    if x.is_finite() { sin_at(reduce_far(x)) } else { f32::NAN }
}

/// The cosine of a [`far`] `x`.
pub(crate) fn cos_far(x: f32) -> f32 {
    let turn = |(r, q): (f32, u32)| (r, q.wrapping_add(1));
    if x.is_finite() { sin_at(turn(reduce_far(x))) } else { f32::NAN }
}

/// The tangent of a [`far`] `x`.
pub(crate) fn tan_far(x: f32) -> f32 {
    if x.is_finite() { tan_at(reduce_far(x)) } else { f32::NAN }
}

/// `s = sqrt(z)` given, `asin s` for `0 <= z <= 1/4`.
#[inline(always)]
fn asin_core(s: f32, z: f32) -> f32 {
    s + s * z * poly(z, ASIN)
}

/// Arc sine; above 1/2 through `asin a = pi/2 - 2 asin sqrt((1 - a) / 2)`.
#[inline(always)]
pub(crate) fn asin(x: f32) -> f32 {
    let a = x.abs();
    let small = a <= 0.5;
    let z = if small { a * a } else { 0.5 * (1.0 - a) };
    let p = asin_core(if small { a } else { z.sqrt() }, z);
    let y = if small { p } else { FRAC_PI_2 - 2.0 * p + PIO2_TAIL };
    y.copysign(x)
}

/// Arc cosine, by the same formulas.
#[inline(always)]
pub(crate) fn acos(x: f32) -> f32 {
    let a = x.abs();
    let small = a <= 0.5;
    let z = if small { a * a } else { 0.5 * (1.0 - a) };
    let p = asin_core(if small { a } else { z.sqrt() }, z);
    let inner = FRAC_PI_2 - (p.copysign(x) - PIO2_TAIL);
    let outer = if x > 0.0 { 2.0 * p } else { PI - 2.0 * (p - PIO2_TAIL) };
    if small { inner } else { outer }
}

/// `atan(num / den) + base`, where the quotient is at most `tan(pi/8)` and `base` is a multiple of `pi/4`.
#[inline(always)]
fn atan_core(num: f32, den: f32, base: f32) -> f32 {
    let t = num / den;
    let z = t * t;
    let tail = base * (PIO2_TAIL / FRAC_PI_2);
    t * z * poly(z, ATAN) + tail + t + base
}

/// Arc tangent, after reduction by multiples of `pi/4`.
#[inline(always)]
pub(crate) fn atan(x: f32) -> f32 {
    let a = x.abs();
    let (near, far) = (a <= TAN_PI_8, a > 1.0 / TAN_PI_8);
    let num = if near { a } else { a - 1.0 };
    let den = if near { 1.0 } else { a + 1.0 };
    let base = if near { 0.0 } else { FRAC_PI_4 };
    let num = if far { -1.0 } else { num };
    let den = if far { a } else { den };
    let base = if far { FRAC_PI_2 } else { base };
    atan_core(num, den, base).copysign(x)
}

/// The angle of the point `(x, y)`, in `-pi..=pi`; zeros and infinities as in C.
#[inline(always)]
pub(crate) fn atan2(y: f32, x: f32) -> f32 {
    let (ax, ay) = (x.abs(), y.abs());
    let swap = ay > ax;
    // Halved so that the sum below does not overflow; doubled subnormals lose nothing.
    let down = if (ax > 1e30) | (ay > 1e30) { 0.25 } else { 1.0 };
    let most = if swap { ay } else { ax } * down;
    let least = if swap { ax } else { ay } * down;
    let near = least <= TAN_PI_8 * most;
    let same = least == most;
    let num = if near { least } else { least - most };
    let num = if same { 0.0 } else { num };
    let den = if near { most } else { least + most };
    let den = if most == 0.0 { 1.0 } else { den };
    let base = if near & (!same | (most == 0.0)) { 0.0 } else { FRAC_PI_4 };
    let t = atan_core(num, den, base);
    let t = if swap { FRAC_PI_2 - (t - PIO2_TAIL) } else { t };
    let t = if x.is_sign_negative() { PI - (t - 2.0 * PIO2_TAIL) } else { t };
    let t = if x.is_nan() | y.is_nan() { f32::NAN } else { t };
    t.copysign(y)
}

/// `tanh |x| = t / (t + 2)` with `t = e^(2|x|) - 1`, of which the greater the value the less need be right.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let a = if a > 10.0 { 10.0 } else { a };
    let t = expm1_near(a + a);
    (t / (t + 2.0)).copysign(x)
}

/// Hyperbolic sine.
#[inline(always)]
pub(crate) fn sinh(x: f32) -> f32 {
    let a = x.abs();
    let z = if a < 1.0 { x * x } else { 1.0 };
    let half = exp_scaled(a, -1);
    let large = (half - 0.25 / half).copysign(x);
    if a < 1.0 { x + x * z * poly(z, SINH) } else { large }
}

/// Hyperbolic cosine.
#[inline(always)]
pub(crate) fn cosh(x: f32) -> f32 {
    let half = exp_scaled(x.abs(), -1);
    half + 0.25 / half
}

/// `asinh a = ln(1 + a + a^2 / (1 + sqrt(a^2 + 1)))`; for large `a` it is `ln 2a`.
#[inline(always)]
pub(crate) fn asinh(x: f32) -> f32 {
    let a = x.abs();
    let large = a > 67_108_864.0;
    let z = a * a;
    let y = log1p(if large { a } else { a + z / (1.0 + (z + 1.0).sqrt()) });
    (if large { y + LN_2 } else { y }).copysign(x)
}

/// `acosh x = ln(1 + t + sqrt(2t + t^2))` with `t = x - 1`; for large `x` it is `ln 2x`; NaN below 1.
#[inline(always)]
pub(crate) fn acosh(x: f32) -> f32 {
    let large = x > 67_108_864.0;
    let t = x - 1.0;
    let y = log1p(if large { x } else { t + (2.0 * t + t * t).sqrt() });
    let y = if large { y + LN_2 } else { y };
    if x < 1.0 { f32::NAN } else { y }
}

/// `atanh a = ln(1 + 2a / (1 - a)) / 2`; NaN beyond 1.
#[inline(always)]
pub(crate) fn atanh(x: f32) -> f32 {
    let a = x.abs();
    (0.5 * log1p(2.0 * a / (1.0 - a))).copysign(x)
}
