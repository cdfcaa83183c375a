//! Pointwise operations against the naive reference: broadcasting, sizes that straddle blocks, dtypes.

use wgtensor::{DType, Result, Tensor};

use super::close::{assert_all, assert_close, bound, check};
use super::devices::{for_each_device, for_each_gpu};
use super::naive::Nd;

/// Shapes that broadcast, the empty and the odd ones included.
const PAIRS: &[(&[usize], &[usize])] = &[
    (&[], &[]),
    (&[1], &[]),
    (&[5], &[5]),
    (&[3, 4], &[]),
    (&[], &[2, 3]),
    (&[3, 4], &[4]),
    (&[4, 1], &[1, 5]),
    (&[2, 1, 4, 1], &[3, 1, 5]),
    (&[1, 1, 1], &[2, 3]),
    (&[0, 3], &[3]),
    (&[0, 1], &[1, 4]),
    (&[2, 0, 3], &[1, 1]),
    (&[255], &[255]),
    (&[257], &[1]),
    (&[63, 65], &[65]),
    (&[2, 1, 2, 1, 2, 1, 2, 1], &[1, 3, 1, 2, 1, 2, 1, 2]),
];

type Binary = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>, fn(f64, f64) -> f64);

#[test]
fn binary_operations_broadcast_like_numpy() {
    let ops: &[Binary] = &[
        ("add", |a, b| a.add(b), |a, b| a + b),
        ("sub", |a, b| a.sub(b), |a, b| a - b),
        ("mul", |a, b| a.mul(b), |a, b| a * b),
        ("div", |a, b| a.div(b), |a, b| a / b),
        ("pow", |a, b| a.pow(b), f64::powf),
        ("maximum", |a, b| a.maximum(b), f64::max),
        ("minimum", |a, b| a.minimum(b), f64::min),
        ("atan2", |a, b| a.atan2(b), f64::atan2),
        ("hypot", |a, b| a.hypot(b), f64::hypot),
        ("logaddexp", |a, b| a.logaddexp(b), |a, b| (a.exp() + b.exp()).ln()),
    ];
    for_each_device(|device| {
        let mut failures = Vec::new();
        for (i, (left, right)) in PAIRS.iter().enumerate() {
            let (a, b) = (Nd::random(left, i as u32, 0.5, 2.0), Nd::random(right, 100 + i as u32, 0.5, 2.0));
            let (x, y) = (a.f32(device)?, b.f32(device)?);
            for (name, op, reference) in ops {
                let want = a.zip(&b, reference);
                let got = op(&x, &y)?;
                let verdict = check(&got, &want.shape, &want.data, bound(device, DType::F32));
                failures.extend(verdict.err().map(|e| format!("{name} of {left:?} and {right:?}: {e}")));
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn comparisons_give_booleans() {
    let ops: &[Binary] = &[
        ("eq", |a, b| a.eq(b), |a, b| f64::from(a == b)),
        ("ne", |a, b| a.ne(b), |a, b| f64::from(a != b)),
        ("lt", |a, b| a.lt(b), |a, b| f64::from(a < b)),
        ("le", |a, b| a.le(b), |a, b| f64::from(a <= b)),
        ("gt", |a, b| a.gt(b), |a, b| f64::from(a > b)),
        ("ge", |a, b| a.ge(b), |a, b| f64::from(a >= b)),
    ];
    for_each_device(|device| {
        let a = Nd::random(&[7, 5], 1, -3.0, 3.0).map(f64::round);
        let b = Nd::random(&[5], 2, -3.0, 3.0).map(f64::round);
        let mut failures = Vec::new();
        for (name, op, reference) in ops {
            let want = a.zip(&b, reference);
            for (x, y) in [(a.f32(device)?, b.f32(device)?), (a.i32(device)?, b.i32(device)?)] {
                let got = op(&x, &y)?;
                assert_eq!(got.dtype(), DType::Bool);
                let verdict = check(&got, &want.shape, &want.data, bound(device, DType::Bool));
                failures.extend(verdict.err().map(|e| format!("{name} of {}: {e}", x.dtype())));
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn integer_division_rounds_down_and_rem_takes_the_divisors_sign() {
    for_each_device(|device| {
        let a = Tensor::from_slice(&[7, -7, 7, -7, 0, 6], [6], device)?;
        let b = Tensor::from_slice(&[3, 3, -3, -3, 5, -3], [6], device)?;
        assert_eq!(a.floor_divide(&b)?.to_vec::<i32>()?, [2, -3, -3, 2, 0, -2]);
        assert_eq!(a.rem(&b)?.to_vec::<i32>()?, [1, 2, -2, -1, 0, 0]);
        let (x, y) = (a.cast(DType::F32)?, b.cast(DType::F32)?);
        assert_eq!(x.floor_divide(&y)?.to_vec::<f32>()?, [2.0, -3.0, -3.0, 2.0, 0.0, -2.0]);
        assert_eq!(x.rem(&y)?.to_vec::<f32>()?, [1.0, 2.0, -2.0, -1.0, 0.0, 0.0]);
        Ok(())
    });
}

#[test]
fn integer_arithmetic_wraps() {
    for_each_device(|device| {
        let max = Tensor::from_slice(&[i32::MAX, i32::MIN, 1 << 20], [3], device)?;
        assert_eq!(max.add(1)?.to_vec::<i32>()?, [i32::MIN, i32::MIN + 1, (1 << 20) + 1]);
        assert_eq!(max.mul(&max)?.to_vec::<i32>()?, [1, 0, 0]);
        let bits = Tensor::from_slice(&[0xF0F0_F0F0u32, 3], [2], device)?;
        assert_eq!(bits.bitwise_and(0xFFu32)?.to_vec::<u32>()?, [0xF0, 3]);
        assert_eq!(bits.left_shift(4u32)?.to_vec::<u32>()?, [0x0F0F_0F00, 48]);
        assert_eq!(bits.right_shift(28u32)?.to_vec::<u32>()?, [0xF, 0]);
        Ok(())
    });
}

type Unary = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64, f64, f64);

#[test]
fn unary_functions_over_block_edges() {
    let ops: &[Unary] = &[
        ("neg", |x| x.neg(), |v| -v, -2.0, 2.0),
        ("abs", |x| x.abs(), f64::abs, -2.0, 2.0),
        ("square", |x| x.square(), |v| v * v, -2.0, 2.0),
        ("sqrt", |x| x.sqrt(), f64::sqrt, 0.1, 4.0),
        ("cbrt", |x| x.cbrt(), f64::cbrt, -4.0, 4.0),
        ("rsqrt", |x| x.rsqrt(), |v| 1.0 / v.sqrt(), 0.1, 4.0),
        ("reciprocal", |x| x.reciprocal(), f64::recip, 0.2, 3.0),
        ("exp", |x| x.exp(), f64::exp, -3.0, 3.0),
        ("exp2", |x| x.exp2(), f64::exp2, -3.0, 3.0),
        ("expm1", |x| x.expm1(), f64::exp_m1, -1.0, 1.0),
        ("log", |x| x.log(), f64::ln, 0.1, 5.0),
        ("log2", |x| x.log2(), f64::log2, 0.1, 5.0),
        ("log10", |x| x.log10(), f64::log10, 0.1, 5.0),
        ("log1p", |x| x.log1p(), f64::ln_1p, -0.5, 2.0),
        ("sin", |x| x.sin(), f64::sin, -3.0, 3.0),
        ("cos", |x| x.cos(), f64::cos, -3.0, 3.0),
        ("tan", |x| x.tan(), f64::tan, -1.2, 1.2),
        ("asin", |x| x.asin(), f64::asin, -0.9, 0.9),
        ("acos", |x| x.acos(), f64::acos, -0.9, 0.9),
        ("atan", |x| x.atan(), f64::atan, -3.0, 3.0),
        ("sinh", |x| x.sinh(), f64::sinh, -2.0, 2.0),
        ("cosh", |x| x.cosh(), f64::cosh, -2.0, 2.0),
        ("tanh", |x| x.tanh(), f64::tanh, -4.0, 4.0),
        ("asinh", |x| x.asinh(), f64::asinh, -3.0, 3.0),
        ("acosh", |x| x.acosh(), f64::acosh, 1.1, 4.0),
        ("atanh", |x| x.atanh(), f64::atanh, -0.9, 0.9),
        ("relu", |x| x.relu(), |v| v.max(0.0), -2.0, 2.0),
        ("sigmoid", |x| x.sigmoid(), |v| 1.0 / (1.0 + (-v).exp()), -6.0, 6.0),
        ("softplus", |x| x.softplus(), |v| v.exp().ln_1p(), -6.0, 6.0),
        ("floor", |x| x.floor(), f64::floor, -3.0, 3.0),
        ("ceil", |x| x.ceil(), f64::ceil, -3.0, 3.0),
        ("trunc", |x| x.trunc(), f64::trunc, -3.0, 3.0),
        ("round", |x| x.round(), f64::round_ties_even, -3.0, 3.0),
        ("clamp", |x| x.clip(-0.5, 1.0), |v| v.clamp(-0.5, 1.0), -2.0, 2.0),
    ];
    for_each_device(|device| {
        let mut failures = Vec::new();
        for n in [0, 1, 63, 64, 65, 1023, 1025] {
            for (name, op, reference, low, high) in ops {
                let x = Nd::random(&[n], n as u32, *low, *high);
                let got = op(&x.f32(device)?)?;
                let verdict = check(&got, &[n], &x.map(reference).data, bound(device, DType::F32));
                failures.extend(verdict.err().map(|e| format!("{name} of {n} elements: {e}")));
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn round_goes_to_the_even_neighbour() {
    for_each_device(|device| {
        let x = Tensor::from_slice(&[0.5f32, 1.5, 2.5, -0.5, -1.5, 2.4], [6], device)?;
        assert_eq!(x.round()?.to_vec::<f32>()?, [0.0, 2.0, 2.0, 0.0, -2.0, 2.0]);
        Ok(())
    });
}

#[test]
fn select_takes_scalars_and_broadcasts() {
    for_each_device(|device| {
        let x = Nd::random(&[4, 1], 3, -1.0, 1.0);
        let y = Nd::random(&[3], 4, -1.0, 1.0);
        let want = x.zip(&y, |a, b| if a > 0.0 { b } else { -7.0 });
        let got = x.f32(device)?.gt(0.0)?.where_(&y.f32(device)?, -7.0)?;
        assert_close("where", &got, &want.shape, &want.data);
        Ok(())
    });
}

#[test]
fn operators_and_scalars_on_either_side() {
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, 2.0, 4.0], device)?;
        let y = &x * 2.0 + 1.0 - &x / 2.0;
        assert_close("tensor first", &y, &[3], &[2.5, 4.0, 7.0]);
        assert_close("scalar first", &(8.0 / &x - 1.0), &[3], &[7.0, 3.0, 1.0]);
        assert_close("negation", &-(&x + &x), &[3], &[-2.0, -4.0, -8.0]);
        Ok(())
    });
}

#[test]
fn casts_between_all_types() {
    for_each_device(|device| {
        let x = Tensor::from_slice(&[-1.7f32, 0.0, 2.9, 300.5], [4], device)?;
        assert_eq!(x.cast(DType::I32)?.to_vec::<i32>()?, [-1, 0, 2, 300]);
        assert_eq!(x.cast(DType::Bool)?.to_vec::<bool>()?, [true, false, true, true]);
        assert_eq!(x.abs()?.cast(DType::U32)?.to_vec::<u32>()?, [1, 0, 2, 300]);
        let b = x.gt(0.0)?;
        assert_eq!(b.cast(DType::F32)?.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(b.cast(DType::I32)?.to_vec::<i32>()?, [0, 0, 1, 1]);
        Ok(())
    });
}

#[test]
fn random_numbers_repeat_by_seed_and_agree_between_devices() {
    let first = wgtensor::Device::open("auto").unwrap();
    let bits = Tensor::random_bits([1000], 42, &first).unwrap().to_vec::<u32>().unwrap();
    for_each_device(|device| {
        assert_eq!(Tensor::random_bits([1000], 42, device)?.to_vec::<u32>()?, bits);
        assert_ne!(Tensor::random_bits([1000], 43, device)?.to_vec::<u32>()?, bits);
        let u = Tensor::uniform([20_000], -1.0, 3.0, 7, device)?.to_vec::<f32>()?;
        assert!(u.iter().all(|v| (-1.0..3.0).contains(v)));
        let mean = u.iter().sum::<f32>() / u.len() as f32;
        assert!((mean - 1.0).abs() < 0.05, "mean of uniform numbers: {mean}");
        let n = Tensor::normal([20_000], 2.0, 0.5, 8, device)?;
        let (mean, std) = (n.mean(())?.item::<f32>()?, n.std(())?.item::<f32>()?);
        assert!((mean - 2.0).abs() < 0.02 && (std - 0.5).abs() < 0.02, "normal numbers: mean {mean}, deviation {std}");
        let mut p = Tensor::permutation(257, 9, device)?.to_vec::<i32>()?;
        p.sort_unstable();
        assert!(p.iter().copied().eq(0..257));
        Ok(())
    });
}

/// More operands than any kernel binds at once.
#[test]
fn a_sum_of_a_hundred_tensors() {
    for_each_device(|device| {
        let parts: Vec<Tensor> = (0..100).map(|i| Tensor::new([i as f32, 1.0], device)).collect::<Result<_>>()?;
        let mut sum = parts[0].clone();
        for part in &parts[1..] {
            sum = sum.add(part)?;
        }
        assert_eq!(sum.to_vec::<f32>()?, [4950.0, 100.0]);
        Ok(())
    });
}

#[test]
fn a_repeated_sum_is_kept_beside_what_is_computed_from_it() {
    for_each_device(|device| {
        let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], device)?;
        let r = x.sum_keepdims(1)?;
        let (p, b) = {
            let a = x.mul(&r)?;
            let p = r.broadcast_to([2, 2])?.mul(3.0)?;
            let b = a.sin()?.add(&a)?.add(&p)?;
            (p, b)
        };
        b.realize()?;
        assert_close("p", &p, &[2, 2], &[9.0, 9.0, 21.0, 21.0]);
        let want: Vec<f64> = [(3.0, 9.0), (6.0, 9.0), (21.0, 21.0), (28.0, 21.0)]
            .iter()
            .map(|(a, p): &(f64, f64)| a.sin() + a + p)
            .collect();
        assert_close("b", &b, &[2, 2], &want);
        Ok(())
    });
}

/// What is right alone can be wrong in a chain: a compiler sees through functions that follow one another.
#[test]
#[cfg(all(feature = "cpu", feature = "gpu"))]
fn functions_in_chains_are_what_they_are_alone() {
    type Function = fn(&Tensor) -> wgtensor::Result<Tensor>;
    // Bounded ones first, so that no argument of the others grows out of its range.
    let bounded: [Function; 6] = [|x| x.tanh(), |x| x.erf(), |x| x.sin(), |x| x.atan(), |x| x.sigmoid(), |x| x.cos()];
    let others: [Function; 8] = [
        |x| x.expm1(),
        |x| x.asinh(),
        |x| x.sinh(),
        |x| x.tan(),
        |x| x.exp(),
        |x| x.softplus(),
        |x| x.abs()?.log1p(),
        |x| x.abs()?.sqrt(),
    ];
    let cpu = wgtensor::Device::cpu();
    let x = Tensor::linspace(-2.0, 2.0, 33, DType::F32, &cpu).unwrap();
    for_each_gpu(|device| {
        let here = x.to_device(device)?;
        for (i, f) in bounded.iter().enumerate() {
            for (j, g) in others.iter().enumerate() {
                let chain = |x: &Tensor| g(&f(&f(x)?)?)?.add(&g(&f(&g(&f(x)?)?)?)?);
                let (got, want) = (chain(&here)?.to_vec::<f32>()?, chain(&x)?.to_vec::<f32>()?);
                for (got, want) in got.iter().zip(&want) {
                    assert!((got - want).abs() <= 1e-4 * (1.0 + want.abs()), "{i} then {j}: {got}, on the CPU {want}");
                }
            }
        }
        Ok(())
    });
}
