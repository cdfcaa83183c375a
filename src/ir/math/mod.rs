//! Scalar mathematics of the CPU engine: [`Real`] for `f32` and `f64`, and the loops that apply it to blocks.
//!
//! The `f32` side is written without branches, so that [`vectorize`] turns the loops into vector code: within 2 units in
//! the last place for the common functions, and the same bits on every machine. The `f64` side serves references and
//! gradient checks: the standard library, and what that lacks.

#![allow(clippy::approx_constant, clippy::excessive_precision, reason = "coefficients stand as they were fitted")]

mod exp;
mod special;
#[cfg(test)]
mod tests;
mod trig;

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

/// Runs `f` compiled for the best vector instructions of this machine. Everything in `f` must be inlined into it: write
/// `vectorize(#[inline(always)] || ...)`.
#[inline(always)]
#[cfg(feature = "cpu")]
pub(crate) fn vectorize<R>(mut f: impl FnMut() -> R) -> R {
    // Called by reference: what calls a closure by value is a function of its own, which is not inlined where the
    // closure is large, and then is compiled for any machine.
    struct ByReference<'f, F>(&'f mut F);
    impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for ByReference<'_, F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(ByReference(&mut f))
}

/// Without the CPU engine single values are all that is computed here.
#[inline(always)]
#[cfg(not(feature = "cpu"))]
pub(crate) fn vectorize<R>(mut f: impl FnMut() -> R) -> R {
    f()
}

/// `y[i] = f(x[i])`.
#[inline(always)]
pub(crate) fn map<T: Copy, O>(x: &[T], y: &mut [O], f: impl Fn(T) -> O) {
    vectorize(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f(x);
            }
        },
    )
}

/// `y[i] = f(a[i], b[i])`.
#[inline(always)]
pub(crate) fn map2<T: Copy, O>(a: &[T], b: &[T], y: &mut [O], f: impl Fn(T, T) -> O) {
    vectorize(
        #[inline(always)]
        || {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = f(a, b);
            }
        },
    )
}

macro_rules! real {
    (
        unary { $($unary:ident: $u32:path, $u64:path;)* }
        binary { $($binary:ident: $b32:path, $b64:path;)* }
        test { $($test:ident: $t32:path, $t64:path;)* }
    ) => {
        /// A floating-point type with its functions; special values as in NumPy.
        pub(crate) trait Real:
            Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
            + Neg<Output = Self> + From<f32> + 'static
        {
            $(fn $unary(self) -> Self;)*
            $(fn $binary(self, other: Self) -> Self;)*
            $(fn $test(self) -> bool;)*
            /// Whether `rem_near` does not serve these.
            fn rem_far(self, divisor: Self) -> bool;
        }
        impl Real for f32 {
            $(#[inline(always)] fn $unary(self) -> f32 { $u32(self) })*
            $(#[inline(always)] fn $binary(self, other: f32) -> f32 { $b32(self, other) })*
            $(#[inline(always)] fn $test(self) -> bool { $t32(self) })*
            #[inline(always)]
            fn rem_far(self, divisor: f32) -> bool {
                // Up to here the quotient's floor and its product with the divisor are exact in `f64`.
                let q = (f64::from(self) / f64::from(divisor)).abs();
                (q >= 268_435_456.0) | q.is_nan() | (divisor.abs() == f32::INFINITY)
            }
        }
        impl Real for f64 {
            $(#[inline(always)] fn $unary(self) -> f64 { $u64(self) })*
            $(#[inline(always)] fn $binary(self, other: f64) -> f64 { $b64(self, other) })*
            $(#[inline(always)] fn $test(self) -> bool { $t64(self) })*
            #[inline(always)]
            fn rem_far(self, _: f64) -> bool {
                false
            }
        }
    };
}

real! {
    unary {
        abs: f32::abs, f64::abs;
        sqrt: f32::sqrt, f64::sqrt;
        cbrt: exp::cbrt, f64::cbrt;
        floor: f32::floor, f64::floor;
        ceil: f32::ceil, f64::ceil;
        trunc: f32::trunc, f64::trunc;
        round_ties_even: f32::round_ties_even, f64::round_ties_even;
        exp: exp::exp, f64::exp;
        exp2: exp::exp2, f64::exp2;
        expm1: exp::expm1, f64::exp_m1;
        ln: exp::ln, f64::ln;
        log2: exp::log2, f64::log2;
        log10: exp::log10, f64::log10;
        log1p: exp::log1p, f64::ln_1p;
        sigmoid: exp::sigmoid, sigmoid64;
        softplus: exp::softplus, softplus64;
        sin_near: trig::sin_near, f64::sin;
        cos_near: trig::cos_near, f64::cos;
        tan_near: trig::tan_near, f64::tan;
        sin_far: trig::sin_far, f64::sin;
        cos_far: trig::cos_far, f64::cos;
        tan_far: trig::tan_far, f64::tan;
        asin: trig::asin, f64::asin;
        acos: trig::acos, f64::acos;
        atan: trig::atan, f64::atan;
        sinh: trig::sinh, f64::sinh;
        cosh: trig::cosh, f64::cosh;
        tanh: trig::tanh, f64::tanh;
        asinh: trig::asinh, f64::asinh;
        acosh: trig::acosh, f64::acosh;
        atanh: trig::atanh, f64::atanh;
        erf: special::erf, special::erf64;
        erfinv: special::erfinv, special::erfinv64;
    }
    binary {
        copysign: f32::copysign, f64::copysign;
        pow: exp::pow, f64::powf;
        atan2: trig::atan2, f64::atan2;
        hypot: hypot32, f64::hypot;
        rem_near: rem_near32, rem64;
        floor_div: floor_div32, floor_div64;
        rem: rem32, rem64;
        trunc_rem: Rem::rem, Rem::rem;
    }
    test {
        is_nan: f32::is_nan, f64::is_nan;
        far: trig::far, never;
    }
}

fn never(_: f64) -> bool {
    false
}

fn sigmoid64(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn softplus64(x: f64) -> f64 {
    let tail = (-x.abs()).exp().ln_1p();
    if x > 0.0 { x + tail } else { tail }
}

#[inline(always)]
fn hypot32(a: f32, b: f32) -> f32 {
    let (x, y) = (f64::from(a), f64::from(b));
    let r = (x * x + y * y).sqrt() as f32;
    if (a.abs() == f32::INFINITY) | (b.abs() == f32::INFINITY) { f32::INFINITY } else { r }
}

macro_rules! rem {
    ($name:ident, $t:ty) => {
        /// Python's `a % b`: exact, with the sign of `b`.
        fn $name(a: $t, b: $t) -> $t {
            let r = a % b;
            if r == 0.0 {
                r.copysign(b)
            } else if (r < 0.0) != (b < 0.0) {
                r + b
            } else {
                r
            }
        }
    };
}
rem!(rem32, f32);
rem!(rem64, f64);

/// [`rem32`] where the quotient is small enough for `f64`.
#[inline(always)]
fn rem_near32(a: f32, b: f32) -> f32 {
    let (x, y) = (f64::from(a), f64::from(b));
    let r = (x - (x / y).floor() * y) as f32;
    if r == 0.0 { r.copysign(b) } else { r }
}

/// Python's `a // b`. The `f64` quotient of two `f32` has the right floor wherever `f32` can tell.
#[inline(always)]
fn floor_div32(a: f32, b: f32) -> f32 {
    let q = (f64::from(a) / f64::from(b)).floor() as f32;
    let q = if (b.abs() == f32::INFINITY) & (((a < 0.0) & (b > 0.0)) | ((a > 0.0) & (b < 0.0))) { -1.0 } else { q };
    if (a.abs() == f32::INFINITY) & (b != 0.0) { f32::NAN } else { q }
}

/// Python's `a // b`, as NumPy computes it.
fn floor_div64(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        return a / b;
    }
    let r = a % b;
    let q = (a - r) / b - f64::from(u8::from(r != 0.0 && (r < 0.0) != (b < 0.0)));
    if q == 0.0 { q.copysign(a / b) } else { q.round() }
}

/// The greater; NaN if either is.
#[inline(always)]
pub(crate) fn maximum<R: Real>(a: R, b: R) -> R {
    if (a > b) | a.is_nan() { a } else { b }
}

/// The lesser; NaN if either is.
#[inline(always)]
pub(crate) fn minimum<R: Real>(a: R, b: R) -> R {
    if (a < b) | a.is_nan() { a } else { b }
}

/// -1, 0 or 1; zeros and NaN as they are.
#[inline(always)]
pub(crate) fn sign<R: Real>(x: R) -> R {
    let one = R::from(1.0).copysign(x);
    if (x == R::from(0.0)) | x.is_nan() { x } else { one }
}

/// `ln(e^a + e^b)`, through the greater of the two.
#[inline(always)]
pub(crate) fn logaddexp<R: Real>(a: R, b: R) -> R {
    let tail = (-(a - b).abs()).exp().log1p();
    // Equal infinities have no difference.
    let tail = if a == b { R::from(1.0).log1p() } else { tail };
    maximum(a, b) + tail
}

/// `near` everywhere in one vectorised pass, then `exact` for the few values that are `far`.
#[inline(always)]
fn repair<R: Real>(x: &[R], y: &mut [R], near: impl Fn(R) -> R, exact: impl Fn(R) -> R) {
    map(x, y, near);
    if any(x, R::far) {
        for (y, &x) in y.iter_mut().zip(x).filter(|(_, x)| x.far()) {
            *y = exact(x);
        }
    }
}

#[inline(always)]
fn any<T: Copy>(x: &[T], test: impl Fn(T) -> bool) -> bool {
    vectorize(
        #[inline(always)]
        || x.iter().fold(false, |found, &x| found | test(x)),
    )
}

/// Sines of a block.
pub(crate) fn sin<R: Real>(x: &[R], y: &mut [R]) {
    repair(x, y, R::sin_near, R::sin_far);
}

/// Cosines of a block.
pub(crate) fn cos<R: Real>(x: &[R], y: &mut [R]) {
    repair(x, y, R::cos_near, R::cos_far);
}

/// Tangents of a block.
pub(crate) fn tan<R: Real>(x: &[R], y: &mut [R]) {
    repair(x, y, R::tan_near, R::tan_far);
}

/// Python's `a % b` of two blocks.
pub(crate) fn rem<R: Real>(a: &[R], b: &[R], y: &mut [R]) {
    map2(a, b, y, R::rem_near);
    let far = vectorize(
        #[inline(always)]
        || a.iter().zip(b).fold(false, |found, (&a, &b)| found | a.rem_far(b)),
    );
    if far {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b).filter(|((_, a), b)| a.rem_far(**b)) {
            *y = a.rem(b);
        }
    }
}
