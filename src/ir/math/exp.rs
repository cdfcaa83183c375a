//! Exponentials, logarithms and powers of `f32`: no branches, so that loops over them vectorise.
//!
//! The polynomials are minimax fits (Remez, relative error) made for this crate; each states its interval and error.
//! Products and sums stay separate, so every machine gives the same bits with or without fused multiply-add.

use std::f32::consts::{LN_2, LOG2_E};

/// `1.5 * 2^23`: adding it rounds to an integer, ties to even, and leaves that integer in the low bits.
const SHIFT: f32 = 12_582_912.0;
const SHIFT_F64: f64 = 6_755_399_441_055_744.0;
/// `ln 2` in two parts, the first of 9 bits, so that its product with an exponent is exact (Cody and Waite).
const LN2_HI: f32 = 0.693_359_375;
const LN2_LO: f32 = -2.121_944_4e-4;
/// `(e^r - 1 - r) / r^2` for `|r| <= 0.347`: `e^r` to 2^-28.
const EXP: [f32; 5] = [0.49999994, 0.1666652, 0.041668396, 0.008368797, 0.0013814435];
/// The same where `e^r - 1` itself must be right: to 2^-32.
const EXPM1: [f32; 6] = [0.5, 0.16666666, 0.04166636, 0.00833339, 0.0013940744, 0.00019845889];
/// `(2^r - 1) / r` for `|r| <= 1/2`: `2^r` to 2^-29.
const EXP2: [f32; 6] = [0.6931472, 0.24022648, 0.05550332, 0.00961844, 0.0013399132, 0.00015353151];
/// `(ln(1 + f) - f + f^2 / 2) / f^3` for `|f| <= 1/3`: `ln(1 + f)` to 2^-28.
const LOG: [f32; 8] =
    [0.33333215, -0.24999797, 0.20010406, -0.16680487, 0.1400587, -0.12184263, 0.13984431, -0.12891677];
/// `log2((1 + s) / (1 - s)) / s` in `s^2` for `|s| <= 0.1716`: to 2^-45.
const LOG2_F64: [f64; 6] = [
    2.88539008177785,
    0.9617966941136102,
    0.5770779422809079,
    0.4122092614570535,
    0.3199053012794581,
    0.2829061272698338,
];
/// `2^r` for `|r| <= 1/2`: to 2^-34.
const EXP2_F64: [f64; 8] = [
    0.9999999999616217,
    0.6931471807287167,
    0.24022651198752057,
    0.055504103528338136,
    0.009618027173068193,
    0.0013333922855576072,
    0.00015469317216576257,
    1.520190078150851e-05,
];

/// Horner's rule; `c[0]` is the constant term.
#[inline(always)]
pub(super) fn poly<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum * x + c[i];
    }
    sum
}

/// Horner's rule in `f64`.
#[inline(always)]
pub(super) fn poly64<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut sum = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum * x + c[i];
    }
    sum
}

/// `2^n` for `-126 <= n <= 127`; anything for other `n` (they come from NaN only).
#[inline(always)]
fn pow2(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `y * 2^n` for `|n| <= 252`, rounded once where the result is subnormal.
#[inline(always)]
fn scale(y: f32, n: i32) -> f32 {
    let half = n >> 1;
    y * pow2(half) * pow2(n.wrapping_sub(half))
}

/// `x` within `lo..=hi`; NaN stays.
#[inline(always)]
fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x < lo { lo } else { x };
    if x > hi { hi } else { x }
}

/// `(r, n)` with `x = n ln 2 + r` and `|r| <= ln(2) / 2`, for `|x| < 2^14`.
#[inline(always)]
fn reduce(x: f32) -> (f32, i32) {
    let t = x * LOG2_E + SHIFT;
    let n = t - SHIFT;
    (x - n * LN2_HI - n * LN2_LO, t.to_bits().wrapping_sub(SHIFT.to_bits()) as i32)
}

/// `e^x * 2^k`, without overflow before the last product.
#[inline(always)]
pub(super) fn exp_scaled(x: f32, k: i32) -> f32 {
    let (r, n) = reduce(clamp(x, -105.0, 91.0));
    scale(r * r * poly(r, EXP) + r + 1.0, n.wrapping_add(k))
}

/// `e^x`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    exp_scaled(x, 0)
}

/// `2^x`.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    let x = clamp(x, -151.0, 129.0);
    let t = x + SHIFT;
    let r = x - (t - SHIFT);
    scale(r * poly(r, EXP2) + 1.0, t.to_bits().wrapping_sub(SHIFT.to_bits()) as i32)
}

/// `e^x - 1` without cancellation: with `e^x = 2^n (1 + p)` it is `2^n p + (2^n - 1)`, halved on the way so that `2^128`
/// does not overflow.
#[inline(always)]
pub(crate) fn expm1(x: f32) -> f32 {
    let (r, n) = reduce(clamp(x, -20.0, 89.0));
    let p = r * r * poly(r, EXPM1) + r;
    let s = pow2(n.wrapping_sub(1));
    ((s * p + (s - 0.5)) * 2.0).copysign(x)
}

/// The same for `0 <= x <= 20`, right to `2^-24 x e^x`: near 0 as the other, and further on one constant for `ln 2` does.
#[inline(always)]
pub(super) fn expm1_near(x: f32) -> f32 {
    let t = x * LOG2_E + SHIFT;
    let r = x - (t - SHIFT) * LN_2;
    let p = r * r * poly(r, EXPM1) + r;
    let s = pow2(t.to_bits().wrapping_sub(SHIFT.to_bits()) as i32);
    s * p + (s - 1.0)
}

/// `(f, e)` with `x = (1 + f) 2^e` and `-1/3 <= f < 1/3`, for finite `x > 0`.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * 8_388_608.0 } else { x }).to_bits();
    let e = (bits.wrapping_sub(0x3f2a_aaab) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e << 23) as u32));
    (m - 1.0, e as f32 - if tiny { 23.0 } else { 0.0 })
}

/// `ln(1 + f) - f` for `|f| <= 1/3`.
#[inline(always)]
fn log_tail(f: f32) -> f32 {
    let z = f * f;
    z * f * poly(f, LOG) - 0.5 * z
}

/// The logarithm's values where the formula has none: NaN below 0, `-inf` at 0, infinity and NaN as they are.
#[inline(always)]
fn log_edges(x: f32, y: f32) -> f32 {
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x > 0.0 { y } else { f32::NAN };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let (f, e) = split(x);
    log_edges(x, e * LN2_LO + log_tail(f) + f + e * LN2_HI)
}

/// The logarithm to base 2; `log2(e) = 1 + 0.44...`, whose one costs no rounding.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    const L: f32 = 0.442_695_04;
    let (f, e) = split(x);
    let t = log_tail(f);
    log_edges(x, t * L + f * L + t + f + e)
}

/// The logarithm to base 10, with `log10(e)` and `log10(2)` in two parts each.
#[inline(always)]
pub(crate) fn log10(x: f32) -> f32 {
    const E_HI: f32 = 0.433_593_75;
    const E_LO: f32 = 7.007_319_3e-4;
    const TWO_HI: f32 = 0.300_781_25;
    const TWO_LO: f32 = 2.487_456_7e-4;
    let (f, e) = split(x);
    let t = log_tail(f);
    log_edges(x, (t + f) * E_LO + e * TWO_LO + t * E_HI + f * E_HI + e * TWO_HI)
}

/// `ln(1 + x)`: the logarithm of the rounded sum, plus what the rounding lost.
#[inline(always)]
pub(crate) fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let (m, e) = split(u);
    let lost = if u > 2.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let f = if e == 0.0 { x } else { m };
    let c = if e == 0.0 { 0.0 } else { lost / u };
    let y = log_edges(u, e * LN2_LO + c + log_tail(f) + f + e * LN2_HI);
    if x == 0.0 { x } else { y }
}

/// `log2 x` to 2^-45 for finite `x > 0`; any finite value for others.
#[inline(always)]
fn log2_wide(x: f32) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = f64::from(x).to_bits();
    // A bias of 1024 keeps the shift logical: vector units lack the other for 64 bits.
    let biased = bits.wrapping_sub(SQRT_HALF).wrapping_add(1024 << 52) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(biased.wrapping_sub(1024) << 52));
    // The exponent through the same trick as `SHIFT`: an integer below 2^52 in the low bits of a float.
    let e = f64::from_bits(biased | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1024.0);
    let s = (m - 1.0) / (m + 1.0);
    s * poly64(s * s, LOG2_F64) + e
}

/// `2^t` rounded to `f32`.
#[inline(always)]
fn exp2_wide(t: f64) -> f32 {
    let t = if t < -200.0 { -200.0 } else { t };
    let t = if t > 200.0 { 200.0 } else { t };
    let shifted = t + SHIFT_F64;
    let p = poly64(t - (shifted - SHIFT_F64), EXP2_F64);
    f64::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 52)) as f32
}

/// `x^y` as `2^(y log2 |x|)` in `f64`, with the special values of IEEE 754 and C: `x^0 = 1^y = 1` even for NaN, a negative
/// base takes integer exponents only and the sign of odd ones.
#[inline(always)]
pub(crate) fn pow(x: f32, y: f32) -> f32 {
    let a = x.abs();
    let log = log2_wide(a);
    let log = if a == 0.0 { f64::NEG_INFINITY } else { log };
    let log = if a < f32::INFINITY { log } else { f64::from(a) };
    let r = exp2_wide(f64::from(y) * log);
    let half = 0.5 * y;
    let whole = y.trunc() == y;
    let odd = whole & (half.trunc() != half);
    let r = if odd { r.copysign(x) } else { r };
    let r = if (x < 0.0) & (x > f32::NEG_INFINITY) & !whole { f32::NAN } else { r };
    let r = if (x == -1.0) & (y.abs() == f32::INFINITY) { 1.0 } else { r };
    if (x == 1.0) | (y == 0.0) { 1.0 } else { r }
}

/// The logistic function `1 / (1 + e^-x)`; from `e^-|x|`, which cannot overflow.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let num = if x < 0.0 { e } else { 1.0 };
    num / (1.0 + e)
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let tail = log1p(exp(-x.abs()));
    if x > 0.0 { x + tail } else { tail }
}

/// The cube root: `2^(log2(a) / 3)` and one step of Newton's method.
#[inline(always)]
pub(crate) fn cbrt(x: f32) -> f32 {
    let a = x.abs();
    let near = exp2(log2(a) * (1.0 / 3.0));
    let y = near - (near - a / (near * near)) * (1.0 / 3.0);
    // 0, infinity and NaN are their own.
    (if (a > 0.0) & (a < f32::INFINITY) { y } else { a }).copysign(x)
}
