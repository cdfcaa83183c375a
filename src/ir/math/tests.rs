use super::*;

/// How many representable values apart; signed zeros are equal, NaN equals NaN.
fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    if got.is_nan() || near.is_nan() {
        return if got.is_nan() && near.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == near {
        return 0.0;
    }
    if got.is_infinite() || near.is_infinite() {
        return f64::INFINITY;
    }
    let unit = f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs());
    (f64::from(got) - want).abs() / unit
}

/// Every exponent and sign densely, and all the special values.
fn samples(step: u32) -> Vec<f32> {
    let special =
        [0.0, 1.0, 0.5, 2.0, 88.72, 88.73, 104.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NAN];
    let all = (0..f32::INFINITY.to_bits()).step_by(step as usize).map(f32::from_bits).chain(special);
    all.flat_map(|x| [x, -x]).collect()
}

/// Values where the functions have their shape.
fn moderate() -> Vec<f32> {
    (-60_000..60_000).map(|i| i as f32 * 2.1e-3 + 1e-5).collect()
}

fn check(name: &str, bound: f64, f: impl Fn(&[f32], &mut [f32]), reference: impl Fn(f64) -> f64) {
    let mut xs = samples(20_011);
    xs.extend(moderate());
    let mut ys = vec![0.0; xs.len()];
    f(&xs, &mut ys);
    let worst = xs
        .iter()
        .zip(&ys)
        .map(|(&x, &y)| (ulps(y, reference(f64::from(x))), x, y))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap();
    println!("{name}: {:.3} at {:e}, got {:e}, want {:e}", worst.0, worst.1, worst.2, reference(f64::from(worst.1)));
    assert!(worst.0 <= bound, "{name}: {} units at {:e}", worst.0, worst.1);
}

#[test]
fn unary_functions_are_accurate() {
    let each = |f: fn(f32) -> f32| move |x: &[f32], y: &mut [f32]| map(x, y, f);
    check("exp", 1.0, each(f32_::exp), f64::exp);
    check("exp2", 1.5, each(f32_::exp2), f64::exp2);
    check("expm1", 1.5, each(f32_::expm1), f64::exp_m1);
    check("ln", 1.0, each(f32_::ln), f64::ln);
    check("log2", 2.0, each(f32_::log2), f64::log2);
    check("log10", 2.0, each(f32_::log10), f64::log10);
    check("log1p", 1.5, each(f32_::log1p), f64::ln_1p);
    check("sigmoid", 2.5, each(f32_::sigmoid), sigmoid64);
    check("softplus", 2.0, each(f32_::softplus), softplus64);
    check("sin", 2.0, sin, f64::sin);
    check("cos", 2.0, cos, f64::cos);
    check("tan", 3.5, tan, f64::tan);
    check("asin", 2.0, each(f32_::asin), f64::asin);
    check("acos", 2.0, each(f32_::acos), f64::acos);
    check("atan", 2.0, each(f32_::atan), f64::atan);
    check("sinh", 2.0, each(f32_::sinh), f64::sinh);
    check("cosh", 2.0, each(f32_::cosh), f64::cosh);
    check("tanh", 2.5, each(f32_::tanh), f64::tanh);
    check("asinh", 2.5, each(f32_::asinh), f64::asinh);
    check("cbrt", 2.0, each(f32_::cbrt), f64::cbrt);
    // The standard library's `acosh` cancels near 1.
    let acosh64 = |x: f64| if x < 1.0 { f64::NAN } else { (x - 1.0 + ((x - 1.0) * (x + 1.0)).sqrt()).ln_1p() };
    check("acosh", 2.5, each(f32_::acosh), acosh64);
    check("atanh", 2.5, each(f32_::atanh), f64::atanh);
    check("erf", 1.5, each(f32_::erf), special::erf64);
    check("erfinv", 4.0, each(f32_::erfinv), special::erfinv64);
}

#[test]
fn binary_functions_are_accurate() {
    let mut xs = samples(40_000_003);
    xs.extend((-9..9).flat_map(|i| [i as f32, i as f32 + 0.5, i as f32 * 1.37]));
    let check = |name: &str, bound: f64, f: fn(f32, f32) -> f32, reference: fn(f64, f64) -> f64| {
        for &a in &xs {
            for &b in &xs {
                let (got, want) = (f(a, b), reference(f64::from(a), f64::from(b)));
                assert!(ulps(got, want) <= bound, "{name}({a:e}, {b:e}): got {got:e}, want {want:e}");
            }
        }
    };
    check("pow", 0.51, Real::pow, f64::powf);
    check("atan2", 2.0, Real::atan2, f64::atan2);
    check("hypot", 0.51, Real::hypot, f64::hypot);
    check("rem", 0.51, |a, b| block2(rem, a, b), |a, b| f64::from(rem32(a as f32, b as f32)));
    check("trunc_rem", 0.0, Real::trunc_rem, |a, b| a % b);
}

#[test]
fn sums_of_exponentials() {
    let inf = f32::INFINITY;
    for (a, b, want) in [
        (0.0, 0.0, std::f32::consts::LN_2),
        (1000.0, 1000.0, 1_000.693_15),
        (-1000.0, -1001.0, -999.686_74),
        (2.0, -200.0, 2.0),
        (inf, inf, inf),
        (-inf, -inf, -inf),
        (-inf, 3.0, 3.0),
        (inf, -inf, inf),
    ] {
        assert_eq!(logaddexp(a, b), want, "{a} {b}");
        assert_eq!(logaddexp(b, a), want, "{b} {a}");
    }
    assert!(logaddexp(f32::NAN, 1.0).is_nan());
}

fn block2(f: fn(&[f32], &[f32], &mut [f32]), a: f32, b: f32) -> f32 {
    let mut y = [0.0];
    f(&[a], &[b], &mut y);
    y[0]
}

#[test]
fn division_is_pythons() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for (a, b, q, r) in [
        (5.5, 2.0, 2.0, 1.5),
        (-5.5, 2.0, -3.0, 0.5),
        (5.5, -2.0, -3.0, -0.5),
        (-5.5, -2.0, 2.0, -1.5),
        (7.0, 3.5, 2.0, 0.0),
        (1e30, 7.0, 1e30 / 7.0, 1.0),
        (3.0, inf, 0.0, 3.0),
        (-3.0, inf, -1.0, inf),
        (1.0, 0.0, inf, nan),
        (0.0, 0.0, nan, nan),
        (inf, 2.0, nan, nan),
        (nan, 2.0, nan, nan),
    ] {
        let same = |x: f32, y: f32| x == y || x.is_nan() && y.is_nan();
        let got = Real::floor_div(a, b);
        assert!(same(got, q), "{a} // {b} = {got}");
        let got = block2(rem, a, b);
        assert!(same(got, r), "{a} % {b} = {got}");
        if a.abs() < 1e9 {
            assert!(same(floor_div64(a.into(), b.into()) as f32, q), "{a} // {b} in f64");
            assert!(same(rem64(a.into(), b.into()) as f32, r), "{a} % {b} in f64");
        }
    }
}

#[test]
fn powers_have_their_special_values() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for (x, y, want) in [
        (nan, 0.0, 1.0),
        (1.0, nan, 1.0),
        (-1.0, inf, 1.0),
        (-8.0, 1.0 / 3.0, nan),
        (-2.0, 3.0, -8.0),
        (-2.0, 4.0, 16.0),
        (-0.0, -1.0, -inf),
        (-0.0, 0.5, 0.0),
        (-inf, 0.5, inf),
        (0.0, -2.0, inf),
        (0.5, inf, 0.0),
        (2.0, -inf, 0.0),
        (9.0, -0.5, 1.0 / 3.0),
        (1.0, 1e10, 1.0),
        (-2.0, nan, nan),
    ] {
        let got = Real::pow(x, y);
        assert!(got == want || got.is_nan() && want.is_nan(), "{x}^{y} = {got}, want {want}");
    }
}

#[test]
fn the_error_function_in_f64() {
    // From mpmath with 40 digits.
    for (x, y) in [
        (0.1, 0.1124629160182849),
        (0.5, 0.5204998778130465),
        (0.8, 0.7421009647076605),
        (1.0, 0.8427007929497149),
        (2.0, 0.9953222650189527),
        (3.0, 0.9999779095030014),
        (9.0, 1.0),
    ] {
        assert!((special::erf64(x) - y).abs() <= 2.3e-16, "erf({x}) = {}", special::erf64(x));
        assert_eq!(special::erf64(-x), -special::erf64(x));
    }
    for x in [1e-300, 1e-9, 5e-4, 0.02, 0.3, 0.7421, 0.75, 0.95, 1.0 - 1e-6] {
        let back = special::erf64(special::erfinv64(x));
        assert!((back - x).abs() <= 4e-16 * x, "erf(erfinv({x})) = {back}");
    }
    assert!((special::erfinv64(0.999_999_999_999) - 5.042_031_898_572_696).abs() < 1e-9);
    assert_eq!(special::erfinv64(-1.0), f64::NEG_INFINITY);
    assert!(special::erfinv64(1.5).is_nan());
}

#[test]
fn simple_functions_keep_nan_and_zeros() {
    assert!(maximum(f32::NAN, 1.0).is_nan() && maximum(1.0, f32::NAN).is_nan());
    assert!(minimum(f32::NAN, 1.0).is_nan() && minimum(1.0, f32::NAN).is_nan());
    assert_eq!([sign(-3.0), sign(0.0), sign(f64::INFINITY)], [-1.0, 0.0, 1.0]);
    assert!(sign(f32::NAN).is_nan());
    for f in [Real::sinh, Real::tanh, Real::expm1, Real::log1p, Real::asin, Real::atan, Real::erf, Real::asinh] {
        let f: fn(f32) -> f32 = f;
        assert_eq!(f(-0.0).to_bits(), (-0.0f32).to_bits());
        assert!(f(1e-40) > 0.9e-40 && f(1e-40) < 1.2e-40);
    }
}

/// The functions under test, away from the inherent ones of the same names.
mod f32_ {
    use super::Real;
    macro_rules! names {
        ($($name:ident)*) => { $(#[inline(always)] pub(super) fn $name(x: f32) -> f32 { Real::$name(x) })* };
    }
    names!(exp exp2 expm1 ln log2 log10 log1p sigmoid softplus asin acos atan sinh cosh tanh asinh acosh atanh erf erfinv cbrt);
}
