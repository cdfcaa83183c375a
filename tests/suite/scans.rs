//! Scans and sorts against plain loops: short and long lines, whole and in parts, alone and fused, and their gradients.

use wgtensor::{DType, Device, Result, Tensor, grad};

use super::close::{Tolerance, assert_all, assert_close, assert_within, bound, check};
use super::devices::for_each_device;
use super::naive::Nd;

/// Lines within a thread, within a work-group's step (1,024 elements), of several steps, and cut into parts; one, few and
/// many beside each other.
const SHAPES: [[usize; 3]; 11] = [
    [1, 1, 1],
    [2, 5, 3],
    [3, 130, 1],
    [1, 1025, 1],
    [2, 3000, 2],
    [1, 20_001, 1],
    [3, 4100, 2],
    [5, 200, 40],
    [2, 300, 2100],
    [0, 4, 2],
    [2, 0, 3],
];

/// `f(before, x)` along the middle axis.
fn scanned(x: &Nd, f: impl Fn(f64, f64) -> f64) -> Nd {
    let mut out = x.clone();
    let [_, extent, inner] = x.shape[..] else { unreachable!("three dimensions") };
    for i in 0..out.data.len() {
        if i / inner % extent > 0 {
            out.data[i] = f(out.data[i - inner], x.data[i]);
        }
    }
    out
}

#[test]
fn running_sums_products_and_extremes() {
    for_each_device(|device| {
        let mut failures = Vec::new();
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            let seed = seed as u32;
            let x = Nd::random(&shape, seed, -1.0, 1.0);
            // Products of numbers near 1 neither vanish nor overflow.
            let near = Nd::random(&shape, seed, 0.999, 1.001);
            let whole = x.map(|v| (v * 9.0).floor());
            let max = |a: f64, b: f64| if b > a { b } else { a };
            let min = |a: f64, b: f64| if b < a { b } else { a };
            // The rounding of as many sums as an element has before it, each of a number of about its root.
            let steps = shape[1] as f64;
            let wide = Tolerance { atol: bound(device, DType::F32).atol + 6e-8 * steps, ..bound(device, DType::F32) };
            let cases = [
                ("cumsum", x.f32(device)?.cumsum(1)?, scanned(&x, |a, b| a + b)),
                ("cumprod", near.f32(device)?.cumprod(1)?, scanned(&near, |a, b| a * b)),
                ("cummax", x.f32(device)?.cummax(1)?, scanned(&x, max)),
                ("cummin", x.f32(device)?.cummin(1)?, scanned(&x, min)),
                ("cumsum of i32", whole.i32(device)?.cumsum(-2)?, scanned(&whole, |a, b| a + b)),
                ("cummax of i32", whole.i32(device)?.cummax(1)?, scanned(&whole, max)),
                ("cummin of i32", whole.i32(device)?.cummin(1)?, scanned(&whole, min)),
            ];
            for (name, got, want) in cases {
                let tolerance = if got.dtype() == DType::F32 { wide } else { Tolerance::EXACT };
                failures
                    .extend(check(&got, &shape, &want.data, tolerance).err().map(|e| format!("{name} {shape:?}: {e}")));
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn a_recurrence_and_what_stands_before_and_behind_it() {
    for_each_device(|device| {
        for shape in SHAPES {
            let (x, decay) = (Nd::random(&shape, 3, -1.0, 1.0), Nd::random(&shape, 4, 0.2, 0.9));
            let mut want = x.clone();
            let [_, extent, inner] = shape;
            for i in 0..want.data.len() {
                if i / inner % extent > 0 {
                    want.data[i] = decay.data[i] * want.data[i - inner] + x.data[i] * 2.0;
                } else {
                    want.data[i] = x.data[i] * 2.0;
                }
            }
            let y = x.f32(device)?.mul(2.0)?.linear_recurrence(&decay.f32(device)?, 1)?.exp()?;
            assert_close("recurrence", &y, &shape, &want.map(f64::exp).data);
        }
        Ok(())
    });
}

#[test]
fn a_nan_stays_in_what_follows_it() {
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, f32::NAN, 3.0, 0.0], device)?;
        for y in [x.cumsum(0)?, x.cummax(0)?, x.cummin(0)?, x.cumprod(0)?] {
            let y = y.to_vec::<f32>()?;
            assert!(y[0] == 1.0 && y[1..].iter().all(|v| v.is_nan()), "{y:?}");
        }
        Ok(())
    });
}

/// Gradients of a weighted sum of `f`, in `f64` on the CPU engine by differences, and elsewhere as there.
#[cfg(feature = "cpu")]
fn gradients(name: &str, x: &Nd, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let loss = |x: &Tensor| -> Result<Tensor> {
        let y = f(x)?;
        y.mul(&Nd::random(y.dims(), 8, -1.0, 1.0).float(y.dtype(), y.device())?)?.sum(())
    };
    let want = || -> Result<Vec<f64>> {
        let cpu = Device::cpu();
        let t = x.float(DType::F64, &cpu)?.requires_grad();
        let got = grad(&loss(&t)?, &[&t])?[0].to_f64_vec()?;
        let step = 1e-6;
        for i in 0..got.len() {
            let at = |delta: f64| {
                let mut x = x.clone();
                x.data[i] += delta;
                loss(&x.float(DType::F64, &cpu)?)?.item::<f64>()
            };
            let slope = (at(step)? - at(-step)?) / (2.0 * step);
            assert!((got[i] - slope).abs() <= 1e-6 * (1.0 + slope.abs()), "{name}: {i}: {} not {slope}", got[i]);
        }
        Ok(got)
    };
    let want = want().unwrap();
    for_each_device(|device| {
        let t = x.f32(device)?.requires_grad();
        let got = &grad(&loss(&t)?, &[&t])?[0];
        // Sums of up to a few dozen numbers near 1.
        let tolerance = Tolerance { rtol: 1e-4, atol: 1e-4 };
        assert_within(name, got, &x.shape, &want, tolerance);
        Ok(())
    });
}

#[test]
#[cfg(feature = "cpu")]
fn gradients_of_scans() {
    let x = Nd::random(&[2, 7, 3], 5, 0.5, 1.5);
    gradients("cumsum", &x, |x| x.cumsum(1));
    gradients("cumprod", &x, |x| x.cumprod(1));
    gradients("cummax", &x, |x| x.cummax(1));
    gradients("cummin", &x, |x| x.cummin(0));
    gradients("twice", &x, |x| x.cumsum(0)?.square()?.cumsum(1));
    gradients("decay", &x, |x| x.square()?.linear_recurrence(&x.mul(0.5)?, 1));
    // A product over a zero.
    let mut zero = x.clone();
    zero.data[7] = 0.0;
    gradients("cumprod with a zero", &zero, |x| x.cumprod(1));
}

#[test]
fn gradients_of_gradients_of_scans() {
    for_each_device(|device| {
        let x = Tensor::new([0.5f32, 2.0, -1.5], device)?.requires_grad();
        // The sum of x0, x0 x1, x0 x1 x2.
        let first = &grad(&x.cumprod(0)?.sum(())?, &[&x])?[0];
        let second = &grad(&first.mul(first)?.sum(())?, &[&x])?[0];
        let f = |x: [f64; 3]| {
            let g = [1.0 + x[1] + x[1] * x[2], x[0] + x[0] * x[2], x[0] * x[1]];
            g.iter().map(|v| v * v).sum::<f64>()
        };
        let at = [0.5, 2.0, -1.5];
        let slope = |i: usize| {
            let moved = |d: f64| f(std::array::from_fn(|k| at[k] + if k == i { d } else { 0.0 }));
            (moved(1e-5) - moved(-1e-5)) / 2e-5
        };
        assert_within("second", second, &[3], &[slope(0), slope(1), slope(2)], Tolerance { rtol: 1e-3, atol: 1e-3 });
        Ok(())
    });
}

/// Numbers with many equal among them, and everything that floats have.
fn mixed(n: usize, seed: u32) -> Vec<f32> {
    let odd = [f32::NAN, -0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, f32::MAX];
    let noise = Nd::random(&[n], seed, -20.0, 20.0).data;
    noise.iter().enumerate().map(|(i, &v)| if i % 5 == 3 { odd[i / 5 % 7] } else { (v as f32).round() }).collect()
}

/// Where the elements of a row go: stable, NaN last.
fn order(row: &[f64], descending: bool) -> Vec<usize> {
    let mut at: Vec<usize> = (0..row.len()).collect();
    at.sort_by(|&a, &b| {
        let (a, b) = (row[a], row[b]);
        let plain = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        if descending && !a.is_nan() && !b.is_nan() { plain.reverse() } else { plain }
    });
    at
}

#[test]
fn sorts_are_stable_and_put_nan_last() {
    for_each_device(|device| {
        // Below, at and above what a work-group sorts at once (1,024), and several rounds above it.
        for (rows, extent) in [
            (1, 1),
            (3, 2),
            (40, 7),
            (5, 64),
            (3, 65),
            (2, 1000),
            (2, 1024),
            (2, 1025),
            (1, 3000),
            (2, 9000),
            (0, 3),
            (2, 0),
        ] {
            let x = mixed(rows * extent, extent as u32);
            let t = Tensor::from_slice(&x, [rows, extent], device)?;
            let k = extent.div_ceil(3);
            let (sorted, places, (top, at)) = (t.sort(1)?, t.argsort(-1)?, t.top_k(k, 1)?);
            let (sorted, places) = (sorted.to_vec::<f32>()?, places.to_vec::<i32>()?);
            let (top, at) = (top.to_vec::<f32>()?, at.to_vec::<i32>()?);
            for row in 0..rows {
                let line: Vec<f64> = x[row * extent..][..extent].iter().map(|&v| v.into()).collect();
                let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                let from = |order: &[usize]| order.iter().map(|&i| x[row * extent + i]).collect::<Vec<_>>();
                let up = order(&line, false);
                assert_eq!(places[row * extent..][..extent], up.iter().map(|&i| i as i32).collect::<Vec<_>>());
                assert_eq!(bits(&sorted[row * extent..][..extent]), bits(&from(&up)));
                let down = &order(&line, true)[..k];
                assert_eq!(at[row * k..][..k], down.iter().map(|&i| i as i32).collect::<Vec<_>>());
                assert_eq!(bits(&top[row * k..][..k]), bits(&from(down)));
            }
        }
        Ok(())
    });
}

#[test]
fn sorts_of_other_types_and_axes() {
    for_each_device(|device| {
        let x = Nd::random(&[3, 50, 4], 6, -9.0, 9.0).map(f64::floor);
        let mut want = x.clone();
        for (i, k) in (0..3).flat_map(|i| (0..4).map(move |k| (i, k))) {
            let mut line: Vec<f64> = (0..50).map(|j| x.at(&[i, j, k])).collect();
            line.sort_by(f64::total_cmp);
            (0..50).for_each(|j| want.data[(i * 50 + j) * 4 + k] = line[j]);
        }
        let t = x.i32(device)?;
        assert_close("i32", &t.sort(1)?, &[3, 50, 4], &want.data);
        assert_close("u32", &t.add(9)?.cast(DType::U32)?.sort(-2)?, &[3, 50, 4], &want.map(|v| v + 9.0).data);
        let sorted = t.gt(0)?.sort(1)?;
        assert_eq!(sorted.dtype(), DType::Bool);
        let flags = sorted.cast(DType::I32)?;
        let rising = flags.narrow(1, 1, 49)?.sub(&flags.narrow(1, 0, 49)?)?.ge(0)?;
        assert!(rising.cast(DType::I32)?.min(())?.item::<i32>()? == 1);
        // What stands before and behind becomes part of it or not; the values are the same.
        let fused = x.f32(device)?.neg()?.sort(1)?.neg()?.flip([1])?;
        assert_close("fused", &fused, &[3, 50, 4], &want.data);
        Ok(())
    });
}

#[test]
#[cfg(feature = "cpu")]
fn gradients_of_sorts() {
    let x = Nd::random(&[3, 17], 9, -1.0, 1.0);
    gradients("sort", &x, |x| x.sort(1));
    gradients("sort along 0", &x, |x| x.sort(0)?.square());
    gradients("top_k", &x, |x| Ok(x.top_k(4, 1)?.0));
}

#[test]
fn scans_and_sorts_refuse_what_they_cannot_do() {
    for_each_device(|device| {
        let x = Tensor::new([[1.0f32, 2.0]], device)?;
        let bools = x.gt(0.0)?;
        for error in [
            x.cumsum(2).err(),
            x.sum(())?.cumsum(0).err(),
            bools.cumprod(0).err(),
            x.sort(-3).err(),
            x.top_k(3, 1).err(),
            x.linear_recurrence(&x.sum(1)?, 1).err(),
        ] {
            let text = error.expect("refused").to_string();
            assert!(text.contains("Received") && text.contains("scans.rs"), "{text}");
        }
        Ok(())
    });
}
