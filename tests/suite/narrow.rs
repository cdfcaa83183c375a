//! Types that are narrow in memory: every pattern, every operation against the same one on wide values, at odd sizes, at
//! offsets inside of words, through views.

use half::{bf16, f16};
use wgtensor::{ConvOptions, DType, Device, Padding, PoolOptions, Result, Tensor, Var};

use super::devices::for_each_device;
use super::naive::Nd;

const FLOATS: [DType; 2] = [DType::F16, DType::BF16];
const INTS: [DType; 2] = [DType::U8, DType::I8];

/// The nearest value of a narrow type, by the reference.
fn nearest(v: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::from_f32(v as f32).to_f64(),
        DType::BF16 => bf16::from_f32(v as f32).to_f64(),
        DType::U8 => f64::from(v as i64 as u8),
        DType::I8 => f64::from(v as i64 as i8),
        _ => v,
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b && a.is_sign_negative() == b.is_sign_negative() || a.is_nan() && b.is_nan()
}

/// Numbers of a narrow type on a device, and the same ones in its register type.
fn both(shape: &[usize], seed: u32, dtype: DType, device: &Device) -> Result<(Tensor, Tensor)> {
    let (low, high) = match dtype {
        DType::U8 => (0.0, 256.0),
        DType::I8 => (-128.0, 128.0),
        _ => (-3.0, 3.0),
    };
    let values = Nd::random(shape, seed, low, high).map(|v| if dtype.is_float() { v } else { v.floor() });
    let narrow = match dtype {
        DType::F16 => {
            Tensor::from_slice(&values.data.iter().map(|&v| f16::from_f64(v)).collect::<Vec<_>>(), shape, device)
        }
        DType::BF16 => {
            Tensor::from_slice(&values.data.iter().map(|&v| bf16::from_f64(v)).collect::<Vec<_>>(), shape, device)
        }
        DType::U8 => Tensor::from_slice(&values.data.iter().map(|&v| v as u8).collect::<Vec<_>>(), shape, device),
        _ => Tensor::from_slice(&values.data.iter().map(|&v| v as i8).collect::<Vec<_>>(), shape, device),
    }?;
    let held = narrow.to_f64_vec()?;
    let wide = match dtype.register() {
        DType::F32 => Tensor::from_slice(&held.iter().map(|&v| v as f32).collect::<Vec<_>>(), shape, device),
        DType::U32 => Tensor::from_slice(&held.iter().map(|&v| v as u32).collect::<Vec<_>>(), shape, device),
        _ => Tensor::from_slice(&held.iter().map(|&v| v as i32).collect::<Vec<_>>(), shape, device),
    }?;
    Ok((narrow, wide))
}

/// The narrow result is the wide one, rounded where its type is narrow too.
#[track_caller]
fn agree(name: &str, device: &Device, narrow: &Tensor, wide: &Tensor) -> Result<()> {
    assert_eq!(narrow.dims(), wide.dims(), "{name}");
    let dtype = narrow.dtype();
    assert!(dtype == wide.dtype() || dtype.register() == wide.dtype(), "{name}: {dtype} for {}", wide.dtype());
    let (got, want) = (narrow.to_f64_vec()?, wide.to_f64_vec()?);
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let w = nearest(w, dtype);
        assert!(same(g, w), "{name} of {dtype} on {device:?}, element {i}: {g} for {w}");
    }
    Ok(())
}

type Function<'f> = (&'f str, &'f dyn Fn(&Tensor, &Tensor) -> Result<Tensor>);

/// Compares functions of two tensors of one shape.
fn compare(functions: &[Function<'_>], types: &[DType], shapes: &[&[usize]]) {
    for_each_device(|device| {
        for &dtype in types {
            for (i, shape) in shapes.iter().enumerate() {
                let (a, x) = both(shape, 7 + i as u32, dtype, device)?;
                let (b, y) = both(shape, 70 + i as u32, dtype, device)?;
                for (name, f) in functions {
                    agree(&format!("{name} {shape:?}"), device, &f(&a, &b)?, &f(&x, &y)?)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn every_pattern_of_16_bits_is_read_and_written_as_it_is() {
    for_each_device(|device| {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let halves: Vec<f16> = all.iter().map(|&b| f16::from_bits(b)).collect();
        let brains: Vec<bf16> = all.iter().map(|&b| bf16::from_bits(b)).collect();
        let (h, b) = (Tensor::from_slice(&halves, [1 << 16], device)?, Tensor::from_slice(&brains, [1 << 16], device)?);
        for (i, (got, want)) in h.cast(DType::F32)?.to_f64_vec()?.iter().zip(&halves).enumerate() {
            assert!(same(*got, want.to_f64()), "f16 {i:#06x} on {device:?}: {got} for {want}");
        }
        for (i, (got, want)) in b.cast(DType::F32)?.to_f64_vec()?.iter().zip(&brains).enumerate() {
            assert!(same(*got, want.to_f64()), "bf16 {i:#06x} on {device:?}: {got} for {want}");
        }
        // Through registers and back, in order and shifted by one element.
        let turned = |t: &Tensor| Tensor::concat([&t.narrow(0, 1, 65_535)?, &t.narrow(0, 0, 1)?], 0);
        for (i, got) in turned(&h)?.to_vec::<f16>()?.iter().enumerate() {
            let want = halves[(i + 1) % 65_536];
            assert!(same(got.to_f64(), want.to_f64()), "f16 {i} on {device:?}: {got} for {want}");
        }
        for (i, got) in turned(&b)?.to_vec::<bf16>()?.iter().enumerate() {
            let want = brains[(i + 1) % 65_536];
            assert!(same(got.to_f64(), want.to_f64()), "bf16 {i} on {device:?}: {got} for {want}");
        }
        Ok(())
    });
}

#[test]
fn floats_are_rounded_to_the_nearest_and_ties_to_even() {
    for_each_device(|device| {
        // All halves of the range, the ties between them, and their neighbours.
        let known = (0..=u16::MAX).map(|b| f16::from_bits(b).to_f32());
        let ties = (0..u16::MAX).map(|b| (f16::from_bits(b).to_f32() + f16::from_bits(b + 1).to_f32()) / 2.0);
        let near = |x: f32| [x, f32::from_bits(x.to_bits() + 1), f32::from_bits(x.to_bits().saturating_sub(1))];
        // Devices may take subnormal numbers of 32 bits for 0.
        let normal = |x: &f32| x.is_nan() || x.abs() >= f32::MIN_POSITIVE || *x == 0.0;
        let mut numbers: Vec<f32> = known.chain(ties).filter(|x| !x.is_nan()).flat_map(near).filter(normal).collect();
        numbers.extend((0..0xffffu32).map(|b| f32::from_bits(b << 16 | 0x8000)).filter(normal));
        let x = Tensor::from_slice(&numbers, [numbers.len()], device)?;
        for (got, &v) in x.cast(DType::F16)?.to_vec::<f16>()?.iter().zip(&numbers) {
            assert!(same(got.to_f64(), f16::from_f32(v).to_f64()), "f16 of {v:e} on {device:?}: {got:?}");
        }
        for (got, &v) in x.cast(DType::BF16)?.to_vec::<bf16>()?.iter().zip(&numbers) {
            assert!(same(got.to_f64(), bf16::from_f32(v).to_f64()), "bf16 of {v:e} on {device:?}: {got:?}");
        }
        // A cast rounds inside of a kernel too.
        let fused = x.cast(DType::F16)?.cast(DType::F32)?.mul(2.0)?.to_vec::<f32>()?;
        for (got, &v) in fused.iter().zip(&numbers) {
            assert!(same(f64::from(*got), 2.0 * f16::from_f32(v).to_f64()), "{v:e} on {device:?}: {got}");
        }
        Ok(())
    });
}

#[test]
fn integers_saturate_from_floats_and_wrap_from_integers() {
    for_each_device(|device| {
        let floats = Tensor::new([-1e9f32, -200.7, -1.9, 0.5, 127.9, 128.0, 255.9, 256.0, f32::NAN, 1e9], device)?;
        assert_eq!(floats.cast(DType::U8)?.to_vec::<u8>()?, [0, 0, 0, 0, 127, 128, 255, 255, 0, 255]);
        assert_eq!(floats.cast(DType::I8)?.to_vec::<i8>()?, [-128, -128, -1, 0, 127, 127, 127, 127, 0, 127]);
        let whole = Tensor::new([-129i32, -1, 0, 127, 128, 255, 256, 1000], device)?;
        assert_eq!(whole.cast(DType::U8)?.to_vec::<u8>()?, [127, 255, 0, 127, 128, 255, 0, 232]);
        assert_eq!(whole.cast(DType::I8)?.to_vec::<i8>()?, [127, -1, 0, 127, -128, -1, 0, -24]);
        // In one kernel as in several.
        let x = Tensor::new([200u8, 100, 3], device)?;
        assert_eq!(x.add(&x)?.div(2)?.to_vec::<u8>()?, [72, 100, 3]);
        assert_eq!(x.add(&x)?.cast(DType::I32)?.to_vec::<i32>()?, [144, 200, 6]);
        let y = Tensor::new([-128i8, 127, -1], device)?;
        assert_eq!(y.abs()?.cast(DType::I32)?.to_vec::<i32>()?, [-128, 127, 1]);
        assert_eq!(y.cast(DType::U8)?.to_vec::<u8>()?, [128, 127, 255]);
        Ok(())
    });
}

const ODD: &[&[usize]] = &[&[3], &[5, 7], &[8, 12], &[1023]];

#[test]
fn pointwise_operations_compute_in_the_wide_type_and_round_once() {
    compare(
        &[
            ("add", &|a, b| a.add(b)),
            ("sub", &|a, b| a.sub(b)),
            ("mul", &|a, b| a.mul(b)),
            ("div", &|a, b| a.div(b)),
            ("maximum", &|a, b| a.maximum(b)),
            ("lt", &|a, b| a.lt(b)),
            ("eq", &|a, b| a.eq(b)),
            ("select", &|a, b| a.gt(b)?.where_(a, b)),
            ("neg", &|a, _| if a.dtype().register() == DType::U32 { Ok(a.clone()) } else { a.neg() }),
            ("add 1", &|a, _| a.add(1)),
            ("full", &|a, _| a.mul(&Tensor::full(a.dims(), 2.0, a.dtype(), a.device())?)),
        ],
        &[FLOATS, INTS].concat(),
        ODD,
    );
    compare(
        &[
            ("exp", &|a, _| a.exp()),
            ("tanh", &|a, _| a.tanh()),
            ("sqrt", &|a, _| a.sqrt()),
            ("relu", &|a, _| a.relu()),
            ("isfinite", &|a, _| a.isfinite()),
            ("softmax", &|a, _| a.softmax(-1)),
            ("log_softmax", &|a, _| a.log_softmax(-1)),
        ],
        &FLOATS,
        ODD,
    );
}

#[test]
fn views_and_assemblies_move_elements_that_share_words() {
    compare(
        &[
            ("transpose", &|a, _| a.t()?.add(0)),
            ("row slice", &|a, _| a.narrow(1, 1, a.dims()[1] - 1)?.add(0)),
            ("odd start", &|a, _| a.narrow(0, 1, a.dims()[0] - 1)?.add(1)),
            ("flip", &|a, _| a.flip([0, 1])?.add(0)),
            ("concat 0", &|a, b| Tensor::concat([a, b, a], 0)),
            ("concat 1", &|a, b| Tensor::concat([&a.narrow(1, 0, 1)?, b, a], 1)),
            ("stack", &|a, b| Tensor::stack([a, b], -1)),
            ("pad", &|a, _| a.pad(&[(1, 2), (3, 0)], 2.0)),
            ("reshape", &|a, _| a.t()?.reshape([a.numel()])),
            ("broadcast", &|a, b| a.add(&b.narrow(0, 0, 1)?)),
            ("take", &|a, _| a.take(&Tensor::new([1i32, -1, 0], a.device())?, 1)),
            ("take rows", &|a, _| a.take(&Tensor::new([1u8, 0, 1, 1], a.device())?, 0)),
            ("along", &|a, b| a.take_along_axis(&b.cast(DType::F32)?.mul(0.0)?.cast(DType::I32)?.narrow(1, 0, 1)?, 1)),
            ("index_add", &|a, b| a.index_add(0, &Tensor::new([1i32, 0], a.device())?, &b.narrow(0, 0, 2)?)),
        ],
        &[FLOATS, INTS].concat(),
        &[&[2, 3], &[5, 7], &[4, 8]],
    );
}

#[test]
fn reductions_accumulate_in_the_wide_type() {
    compare(
        &[
            ("sum", &|a, _| a.sum(())),
            ("sum 0", &|a, _| a.sum(0)),
            ("sum 1", &|a, _| a.sum(1)),
            ("prod 1", &|a, _| a.narrow(1, 0, 2)?.prod(1)),
            ("max", &|a, _| a.max(1)),
            ("min", &|a, _| a.min(0)),
            ("argmax", &|a, _| a.argmax(1)),
            ("cumsum", &|a, _| a.cumsum(1)),
            ("cummax", &|a, _| a.cummax(0)),
            ("sort", &|a, _| a.sort(1)),
            ("argsort", &|a, _| a.argsort(0)),
        ],
        &[FLOATS, INTS].concat(),
        &[&[3, 5], &[257, 33], &[2, 5000]],
    );
    compare(
        &[("mean", &|a, _| a.mean(1)), ("var", &|a, _| a.var(0)), ("logsumexp", &|a, _| a.logsumexp(1))],
        &FLOATS,
        &[&[3, 5], &[257, 33]],
    );
    for_each_device(|device| {
        // A sum that no half holds has a mean that it holds; and of nothing there is no extreme.
        let x = Tensor::full([4096], 100.0, DType::F16, device)?;
        assert_eq!(x.mean(())?.item::<f16>()?, f16::from_f32(100.0));
        assert_eq!(x.sum(())?.item::<f16>()?, f16::INFINITY);
        let none = Tensor::zeros([2, 0], DType::I8, device)?;
        assert!(none.max(1).is_err() && none.min(1).is_err());
        Ok(())
    });
}

#[test]
fn products_and_windows_take_narrow_operands() {
    for_each_device(|device| {
        for dtype in FLOATS {
            for (m, k, n) in [(3, 5, 7), (33, 65, 31), (64, 128, 64)] {
                let ((a, x), (b, y)) = (both(&[m, k], 1, dtype, device)?, both(&[k, n], 2, dtype, device)?);
                agree(&format!("matmul {m} {k} {n}"), device, &a.matmul(&b)?, &x.matmul(&y)?)?;
                let ((c, z), (r, w)) = (both(&[n, k], 3, dtype, device)?, both(&[n], 4, dtype, device)?);
                let narrow = a.matmul(&c.t()?)?.cast(DType::F32)?.add(&r.cast(DType::F32)?)?.cast(dtype)?;
                // The product itself is rounded or not: the sum is within two steps.
                let wide = x.matmul(&z.t()?)?.add(&w)?;
                let step = if dtype == DType::F16 { 2e-3 } else { 1.6e-2 };
                for (got, want) in narrow.to_f64_vec()?.iter().zip(wide.to_f64_vec()?) {
                    assert!((got - want).abs() <= step * want.abs().max(8.0), "{dtype} {m} {k} {n}: {got} for {want}");
                }
            }
            let ((a, x), (b, y)) = (both(&[2, 7, 5, 3], 5, dtype, device)?, both(&[3, 3, 3, 5], 6, dtype, device)?);
            let options = ConvOptions { padding: Padding::Same, ..ConvOptions::default() };
            agree("conv2d", device, &a.conv2d(&b, &options)?, &x.conv2d(&y, &options)?)?;
            let pool = PoolOptions { padding: Padding::Same, ..PoolOptions::default() };
            agree("max_pool2d", device, &a.max_pool2d(&pool)?, &x.max_pool2d(&pool)?)?;
            agree("avg_pool2d", device, &a.avg_pool2d(&pool)?, &x.avg_pool2d(&pool)?)?;
        }
        Ok(())
    });
}

#[test]
fn gradients_flow_through_narrow_types() {
    for_each_device(|device| {
        for dtype in FLOATS {
            let (x, _) = both(&[6, 5], 1, dtype, device)?;
            let w = Var::new(&both(&[5, 3], 2, dtype, device)?.1);
            let loss = |dtype: DType| -> Result<Vec<f64>> {
                let y = x.cast(dtype)?.matmul(&w.value().cast(dtype)?)?.tanh()?;
                let grads = y.cast(DType::F32)?.square()?.sum(())?.backward()?;
                let of_w = grads.get(&w).expect("the product's operand");
                assert_eq!(of_w.dtype(), DType::F32);
                of_w.to_f64_vec()
            };
            for (got, want) in loss(dtype)?.iter().zip(loss(DType::F32)?) {
                assert!((got - want).abs() < 0.1, "{dtype}: {got} for {want}");
            }
            // A variable may be narrow itself.
            let v = Var::new(&x);
            v.assign(&v.value().add(1)?)?;
            v.assign(&v.value().mul(2)?)?;
            let want = x.add(1)?.mul(2)?.to_f64_vec()?;
            let step = if dtype == DType::F16 { 1e-2 } else { 6e-2 };
            assert!(v.value().to_f64_vec()?.iter().zip(want).all(|(a, b)| (a - b).abs() <= step));
        }
        Ok(())
    });
}

#[test]
fn host_data_of_narrow_types_and_its_errors() {
    for_each_device(|device| {
        let x = Tensor::new([f16::from_f32(0.1), f16::from_f32(2.5)], device)?;
        assert_eq!(x.to_string(), "[0.1 2.5]");
        assert_eq!(format!("{:?}", x.dtype()), "F16");
        assert_eq!(x.dtype().to_string(), "f16");
        assert_eq!(Tensor::new([bf16::from_f32(0.1)], device)?.to_string(), "[0.1]");
        assert_eq!(Tensor::new([[1u8, 2, 3]], device)?.to_string(), "[[1 2 3]]");
        assert_eq!(Tensor::arange(250.0, 244.0, -2.0, DType::U8, device)?.to_vec::<u8>()?, [250, 248, 246]);
        assert_eq!(Tensor::arange(0.0, 1.0, 0.25, DType::F16, device)?.to_f64_vec()?, [0.0, 0.25, 0.5, 0.75]);
        let error = x.add(&x.cast(DType::F32)?).unwrap_err();
        assert!(error.is_dtype_mismatch() && error.to_string().contains("f16 and f32"), "{error}");
        assert!(x.to_vec::<f32>().unwrap_err().is_dtype_mismatch());
        let bytes = Tensor::new([1u8, 2], device)?;
        for (error, number) in [(bytes.add(256).unwrap_err(), "256"), (bytes.sub(-1).unwrap_err(), "-1")] {
            assert!(error.is_dtype_mismatch() && error.to_string().contains(number), "{error}");
        }
        assert!(bytes.exp().unwrap_err().to_string().contains("u8"));
        assert!(bytes.matmul(&bytes).is_err() && bytes.softmax(0).is_err());
        Ok(())
    });
}
