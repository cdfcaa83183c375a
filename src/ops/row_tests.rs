//! Every row on every device against its own meaning on the host, and every gradient against differences in `f64`.

use super::binary::BINARY;
use super::pointwise;
use super::unary::UNARY;
use crate::graph::{Device, Tensor};
use crate::tensor::grad;

/// The CPU, and the GPU where there is one.
fn devices() -> Vec<Device> {
    let gpu = Device::gpu();
    assert!(gpu.is_ok() || std::env::var_os("WGTENSOR_REQUIRE_GPU").is_none(), "no GPU");
    [Device::cpu()].into_iter().chain(gpu).collect()
}

/// The special values, whole and halved numbers, numbers of every scale, and a dense ordinary range.
fn values() -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 88.7, -103.0];
    let halves = (-20..20).map(|i| i as f32 * 0.5);
    let scales = (-37..38).flat_map(|e| [1.7 * 10f32.powi(e), -2.3 * 10f32.powi(e)]);
    let ordinary = (-700..700).flat_map(|i| [i as f32 * 0.013 + 0.0007, i as f32 * 0.137 + 0.01]);
    special.into_iter().chain(halves).chain(scales).chain(ordinary).collect()
}

fn pairs<T: Copy>(side: &[T]) -> (Vec<T>, Vec<T>) {
    side.iter().flat_map(|&a| side.iter().map(move |&b| (a, b))).unzip()
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// Relative to `scale`, but subnormal results may have been flushed; NaN and infinities must be the same.
fn close(got: f32, want: f64, bound: f64, scale: f64) -> bool {
    let near = want as f32;
    got == near
        || (got.is_nan() && near.is_nan())
        || (got.is_finite() && near.is_finite() && (f64::from(got) - want).abs() <= bound * scale + 1.2e-38)
}

#[test]
fn unary_rows_agree_with_f64() {
    let xs = values();
    for device in devices() {
        // WGSL's division and square root may be 2.5 units off.
        let bound = if device.is_gpu() { 1.2e-6 } else { 4e-7 };
        let x = Tensor::new(&xs[..], &device).unwrap();
        for row in UNARY {
            let got = |x| pointwise::unary(x, row).unwrap();
            if let Some(reference) = row.f.cpu.f64 {
                let mut want = vec![0.0; xs.len()];
                reference(&widen(&xs), &mut want);
                for ((&x, &want), got) in xs.iter().zip(&want).zip(got(&x).to_vec::<f32>().unwrap()) {
                    let name = row.f.name;
                    assert!(close(got, want, bound, want.abs()), "{device:?} {name}({x:e}): {got:e}, not {want:e}");
                }
            }
            if let Some(reference) = row.f.cpu.test_f32 {
                let mut want = vec![0; xs.len()];
                reference(&xs, &mut want);
                let got: Vec<u32> = got(&x).to_vec::<bool>().unwrap().into_iter().map(u32::from).collect();
                assert_eq!(got, want, "{device:?} {}", row.f.name);
            }
        }
    }
}

#[test]
fn binary_rows_agree_with_f64() {
    let side: Vec<f32> =
        values().into_iter().enumerate().filter(|(i, _)| *i < 30 || i % 37 == 0).map(|p| p.1).collect();
    let (a, b) = pairs(&side);
    for device in devices() {
        let (x, y) = (Tensor::new(&a[..], &device).unwrap(), Tensor::new(&b[..], &device).unwrap());
        for row in BINARY {
            let name = row.f.name;
            // A power's relative error grows with its logarithm, which WGSL has in f32 only.
            let bound = match (device.is_gpu(), name) {
                (true, "pow") => 8e-6,
                (true, _) => 1.2e-6,
                (false, _) => 4e-7,
            };
            if let Some(reference) = row.f.cpu.f64 {
                let mut want = vec![0.0; a.len()];
                reference(&widen(&a), &widen(&b), &mut want);
                let got = pointwise::binary(&x, &y, row).unwrap().to_vec::<f32>().unwrap();
                for i in 0..a.len() {
                    // A logarithm crosses zero, where its error is that of its terms.
                    let terms = if name == "logaddexp" { a[i].abs().min(b[i].abs()).min(2.0) } else { 0.0 };
                    let ok = close(got[i], want[i], bound, want[i].abs() + f64::from(terms));
                    assert!(ok, "{device:?} {name}({:e}, {:e}): {:e}, not {:e}", a[i], b[i], got[i], want[i]);
                }
            }
            if let Some(reference) = row.f.cpu.cmp_f32 {
                let mut want = vec![0; a.len()];
                reference(&a, &b, &mut want);
                let got = pointwise::binary(&x, &y, row).unwrap().to_vec::<bool>().unwrap();
                assert_eq!(got, want.iter().map(|&w| w != 0).collect::<Vec<_>>(), "{device:?} {name}");
            }
        }
    }
}

const WHOLE: [i32; 16] = [0, 1, -1, 2, -2, 3, 5, -7, 12, 31, 32, 40, -33, 123_456_789, i32::MIN, i32::MAX];

#[test]
fn rows_agree_on_whole_numbers_and_booleans() {
    let (a, b) = pairs(&WHOLE);
    let (ua, ub): (Vec<u32>, Vec<u32>) = (a.iter().map(|&v| v as u32).collect(), b.iter().map(|&v| v as u32).collect());
    let (ba, bb): (Vec<bool>, Vec<bool>) = (a.iter().map(|&v| v > 0).collect(), b.iter().map(|&v| v > 2).collect());
    let words = |v: &[bool]| v.iter().map(|&b| u32::from(b)).collect::<Vec<_>>();
    for device in devices() {
        let tensors = |i: &[i32], u: &[u32], b: &[bool]| {
            [Tensor::new(i, &device), Tensor::new(u, &device), Tensor::new(b, &device)].map(Result::unwrap)
        };
        let ([ix, ux, bx], [iy, uy, by]) = (tensors(&a, &ua, &ba), tensors(&b, &ub, &bb));
        macro_rules! same {
            ($reference:expr, ($($input:expr),*), $got:expr, $t:ty) => {
                if let Some(reference) = $reference {
                    let mut want = vec![0; a.len()];
                    reference($($input,)* &mut want);
                    let result = $got.unwrap();
                    let got = result.to_vec::<$t>().unwrap();
                    for i in 0..a.len() {
                        assert!(got[i] as i64 == want[i] as i64, "{:?} {result:?}: {} {} gives {} not {}",
                            device, a[i], b[i], got[i], want[i]);
                    }
                }
            };
        }
        for row in UNARY {
            let (c, f) = (&row.f.cpu, |x| pointwise::unary(x, row));
            same!(c.i32, (&a), f(&ix), i32);
            same!(c.u32, (&ua), f(&ux), u32);
            same!(c.bool, (&words(&ba)), f(&bx), bool);
        }
        for row in BINARY {
            let (c, f) = (&row.f.cpu, |x, y| pointwise::binary(x, y, row));
            same!(c.i32, (&a, &b), f(&ix, &iy), i32);
            same!(c.u32, (&ua, &ub), f(&ux, &uy), u32);
            same!(c.bool, (&words(&ba), &words(&bb)), f(&bx, &by), bool);
            same!(c.cmp_i32, (&a, &b), f(&ix, &iy), bool);
            same!(c.cmp_u32, (&ua, &ub), f(&ux, &uy), bool);
            same!(c.cmp_u32, (&words(&ba), &words(&bb)), f(&bx, &by), bool);
        }
    }
}

#[test]
fn whole_numbers_divide_as_documented() {
    let device = Device::cpu();
    let a = Tensor::new([7, -7, 7, -7, 5, i32::MIN, 0], &device).unwrap();
    let b = Tensor::new([2, 2, -2, -2, 0, -1, 0], &device).unwrap();
    let of = |t: crate::Result<Tensor>| t.unwrap().to_vec::<i32>().unwrap();
    assert_eq!(of(a.div(&b)), [3, -3, -3, 3, 0, i32::MIN, 0]);
    assert_eq!(of(a.floor_divide(&b)), [3, -4, -4, 3, 0, i32::MIN, 0]);
    assert_eq!(of(a.rem(&b)), [1, 1, -1, -1, 0, 0, 0]);
    assert_eq!(of(a.fmod(&b)), [1, -1, 1, -1, 0, 0, 0]);
    assert_eq!(of(a.pow(&b)), [49, 49, 0, 0, 1, 0, 1]);
    assert_eq!(of(b.left_shift(33)), [0; 7]);
    assert_eq!(of(b.right_shift(33)), [0, 0, -1, -1, 0, -1, 0]);
}

/// The slope of `f` at each `x`, by Richardson's extrapolation of central differences: to about 1e-10. NaN at kinks and
/// where `f` is not defined.
fn slope(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64]) -> Vec<f64> {
    let central = |h: f64| -> Vec<f64> {
        let at = |s: f64| f(&x.iter().map(|v| v + s * h).collect::<Vec<_>>());
        at(1.0).iter().zip(at(-1.0)).map(|(p, m)| (p - m) / (2.0 * h)).collect()
    };
    let smooth = |one: f64, two: f64| (one - two).abs() < 1e-3 * (1.0 + one.abs());
    let pairs = central(1e-4).into_iter().zip(central(2e-4));
    pairs.map(|(one, two)| if smooth(one, two) { (4.0 * one - two) / 3.0 } else { f64::NAN }).collect()
}

#[track_caller]
fn check_slopes(device: &Device, name: &str, got: &Tensor, want: &[f64]) {
    let bound = if device.is_gpu() { 2e-5 } else { 5e-6 };
    for (i, (got, want)) in got.to_f64_vec().unwrap().into_iter().zip(want).enumerate() {
        let ok = want.is_nan() || (got - want).abs() <= bound * (want.abs() + 1.0);
        assert!(ok, "{device:?} {name}' [{i}]: {got}, not {want}");
    }
}

/// The gradient of `sum(w f(x))` divided by `w`.
fn gradient(x: &Tensor, y: &Tensor, w: &Tensor) -> Tensor {
    grad(&y.mul(w).unwrap().sum(()).unwrap(), &[x]).unwrap()[0].div(w).unwrap()
}

#[test]
fn unary_gradients_agree_with_differences() {
    let xs: Vec<f32> = (-60..60).map(|i| i as f32 * 0.0623 + 0.017).collect();
    let ws: Vec<f32> = (0..120).map(|i| 0.3 + (i % 7) as f32).collect();
    for device in devices() {
        let x = Tensor::new(&xs[..], &device).unwrap().requires_grad();
        let w = Tensor::new(&ws[..], &device).unwrap();
        for row in UNARY.iter().filter(|r| r.grad.is_some()) {
            let of = |x: &[f64]| {
                let mut y = vec![0.0; x.len()];
                row.f.cpu.f64.unwrap()(x, &mut y);
                y
            };
            let y = pointwise::unary(&x, row).unwrap();
            check_slopes(&device, row.f.name, &gradient(&x, &y, &w), &slope(of, &widen(&xs)));
        }
    }
}

#[test]
fn binary_gradients_agree_with_differences() {
    let side: Vec<f32> = (-9..9).map(|i| i as f32 * 0.317 + 0.021).collect();
    let (mut a, mut b) = pairs(&side);
    // Off the diagonal, where `maximum` has its kink.
    a.iter_mut().for_each(|v| *v += 0.0137);
    b.iter_mut().for_each(|v| *v *= 1.019);
    for device in devices() {
        for row in BINARY.iter().filter(|r| r.grad.is_some()) {
            let f = row.f;
            let of = |a: &[f64], b: &[f64]| {
                let mut y = vec![0.0; a.len()];
                f.cpu.f64.unwrap()(a, b, &mut y);
                y
            };
            // Powers of negative bases have no slope; theirs is tested below.
            let a: Vec<f32> = a.iter().map(|&v| if f.name == "pow" { v.abs() } else { v }).collect();
            let (wide_a, wide_b) = (widen(&a), widen(&b));
            let x = Tensor::new(&a[..], &device).unwrap().requires_grad();
            let y = Tensor::new(&b[..], &device).unwrap().requires_grad();
            let w = Tensor::full([a.len()], 1.5, crate::DType::F32, &device).unwrap();
            let out = pointwise::binary(&x, &y, row).unwrap();
            check_slopes(&device, f.name, &gradient(&x, &out, &w), &slope(|a| of(a, &wide_b), &wide_a));
            check_slopes(&device, f.name, &gradient(&y, &out, &w), &slope(|b| of(&wide_a, b), &wide_b));
        }
    }
}

#[test]
fn gradients_at_kinks_and_edges() {
    for device in devices() {
        let of = |v: &[f32]| Tensor::new(v, &device).unwrap().requires_grad();
        let d = |y: crate::Result<Tensor>, x: &Tensor| {
            grad(&y.unwrap().sum(()).unwrap(), &[x]).unwrap()[0].to_vec::<f32>().unwrap()
        };
        let x = of(&[-1.0, 0.0, -0.0, 2.0]);
        assert_eq!(d(x.relu(), &x), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(d(x.abs(), &x), [-1.0, 0.0, 0.0, 1.0]);
        assert_eq!(d(x.maximum(0.0), &x), [0.0, 0.5, 0.5, 1.0]);
        assert_eq!(d(x.minimum(0.0), &x), [1.0, 0.5, 0.5, 0.0]);
        assert_eq!(d(x.pow(2.0), &x), [-2.0, 0.0, 0.0, 4.0]);
        assert_eq!(d(x.pow(0.0), &x), [0.0; 4]);
        let exponent = of(&[2.0, 3.0, 1.0, 3.0]);
        let got = d(x.pow(&exponent), &exponent);
        assert_eq!(got[..3], [0.0; 3]);
        assert!((got[3] - 8.0 * std::f32::consts::LN_2).abs() < 1e-5);
        assert_eq!(d(x.floor().and_then(|y| y.add(&x)), &x), [1.0; 4]);
    }
}
