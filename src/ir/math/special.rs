//! The error function and its inverse.

use super::exp::{exp, ln, poly, poly64};

/// `erf(x) / x - 1` in `x^2` for `|x| <= 0.85`: `erf x` to 2^-27. Minimax fits (Remez) made for this crate, as below.
const NEAR: [f32; 6] = [0.12837917, -0.37612572, 0.112827174, -0.026802547, 0.005051095, -0.00063151296];
/// `-ln(1 - erf x)` for `0.85 <= x <= 4`: `erf x` to 2^-29.
const FAR: [f32; 7] = [0.000104526065, 1.128061, 0.63651896, 0.10452592, -0.022519048, 0.0031178524, -0.00020367652];
/// `erf(x) / x` in `x^2` for `|x| <= 0.8`: to 2^-64.
const NEAR_F64: [f64; 12] = [
    1.1283791670955126,
    -0.3761263890318375,
    0.11283791670954983,
    -0.026866170645089848,
    0.005223977624821711,
    -0.0008548326968484187,
    0.00012055329888389282,
    -1.4925535460055971e-05,
    1.6459257081831415e-06,
    -1.6318638700548207e-07,
    1.430711781364019e-08,
    -9.165662919093416e-10,
];
/// Chebyshev coefficients of `ln(erfc(x) e^(x^2) / t)` for `t = 2 / (2 + x)` from 1/15 to 5/7, that is `0.8 <= x <= 28`.
const ERFC_F64: [f64; 21] = [
    -0.8018371803168722,
    0.41139586792040606,
    0.014222618995467914,
    -0.0022021070253578122,
    -0.00032900063332057955,
    2.73199468838065e-05,
    8.359930427266207e-06,
    -5.348401274737669e-07,
    -2.3662782460989955e-07,
    1.6317122548530836e-08,
    7.073971387439482e-09,
    -6.742758425037897e-10,
    -2.0869478382164968e-10,
    3.0666600962051e-11,
    5.4626037436908304e-12,
    -1.3451292125473423e-12,
    -9.459373624629529e-14,
    5.2394511350729136e-14,
    -1.2599686699003737e-15,
    -1.6327616706416273e-15,
    2.1413897435641257e-16,
];
/// `erfinv(x) / x` in `w - 2.5` for `w = -ln(1 - x^2) < 5` (M. Giles, "Approximating the erfinv function", 2010).
const INVERSE_NEAR: [f32; 9] = [
    1.50140941,
    0.246640727,
    -0.00417768164,
    -0.00125372503,
    0.00021858087,
    -4.39150654e-06,
    -3.5233877e-06,
    3.43273939e-07,
    2.81022636e-08,
];
/// The same in `sqrt(w) - 3` for larger `w`.
const INVERSE_FAR: [f32; 9] = [
    2.83297682,
    1.00167406,
    0.00943887047,
    -0.0076224613,
    0.00573950773,
    -0.00367342844,
    0.00134934322,
    0.000100950558,
    -0.000200214257,
];

/// The error function.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let near = x + x * poly(x * x, NEAR);
    let t = if a > 4.0 { 4.0 } else { a };
    let far = (1.0 - exp(-poly(t, FAR))).copysign(x);
    if a < 0.85 { near } else { far }
}

/// The inverse of the error function: infinite at 1 and -1, NaN beyond.
#[inline(always)]
pub(crate) fn erfinv(x: f32) -> f32 {
    let w = -ln((1.0 - x) * (1.0 + x));
    let root = w.sqrt();
    let p = if w < 5.0 { poly(w - 2.5, INVERSE_NEAR) } else { poly(root - 3.0, INVERSE_FAR) };
    let y = p * x;
    if x.abs() == 1.0 { f32::INFINITY.copysign(x) } else { y }
}

/// `1 - erf(x)` for `x >= 0.8`.
fn erfc64(x: f64) -> f64 {
    const LO: f64 = 1.0 / 15.0;
    const HI: f64 = 5.0 / 7.0;
    let x = x.min(28.0);
    let t = 2.0 / (2.0 + x);
    let u = (2.0 * t - (LO + HI)) / (HI - LO);
    // Clenshaw's recurrence.
    let (b1, b2) = ERFC_F64[1..].iter().rev().fold((0.0, 0.0), |(b1, b2), c| (2.0 * u * b1 - b2 + c, b1));
    t * (u * b1 - b2 + ERFC_F64[0] - x * x).exp()
}

/// The error function in `f64`.
pub(crate) fn erf64(x: f64) -> f64 {
    if x.abs() <= 0.8 {
        x * poly64(x * x, NEAR_F64)
    } else if x.is_nan() {
        x
    } else {
        (1.0 - erfc64(x.abs())).copysign(x)
    }
}

/// The inverse of the error function in `f64`: Winitzki's estimate (2008), then Halley steps, on `erfc` where that is exact.
pub(crate) fn erfinv64(x: f64) -> f64 {
    let a = x.abs();
    if a >= 1.0 || a.is_nan() {
        return if a == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    const A: f64 = 0.147;
    let log = ((1.0 - a) * (1.0 + a)).ln();
    let half = 2.0 / (std::f64::consts::PI * A) + 0.5 * log;
    let mut y = ((half * half - log / A).sqrt() - half).sqrt();
    if a < 1e-3 {
        y = a * 0.886_226_925_452_758;
    }
    for _ in 0..3 {
        let miss = if y > 0.8 { (1.0 - a) - erfc64(y) } else { erf64(y) - a };
        let newton = miss * (y * y).exp() * 0.886_226_925_452_758;
        y -= newton / (1.0 + y * newton);
    }
    y.copysign(x)
}
