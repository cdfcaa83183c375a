//! Sizes at which real GPUs' kernels differ, through the public API: products, convolutions with both gradients, rows and
//! columns agree with the CPU engine; and long programs stay within what a driver's compiler digests.

use std::collections::BTreeSet;

use wgtensor::{ConvOptions, DType, Device, DeviceOptions, Kernels, Padding, PoolOptions, Result, Tensor, Var, grad};

use super::close::{Tolerance, assert_close, check};
use super::devices::{for_each_device_alone, for_each_gpu};
use super::naive::Nd;

/// Multiples of 1/8 below 4 in size: sums of thousands of their products are exact, whatever their order.
fn eighths(shape: &[usize], seed: u32) -> Nd {
    Nd::random(shape, seed, -32.0, 33.0).map(|v| v.floor() / 8.0)
}

fn pair(shape: &[usize], seed: u32, device: &Device) -> Result<[Tensor; 2]> {
    let values = eighths(shape, seed);
    Ok([values.f32(device)?, values.f32(&Device::cpu())?])
}

/// Fails unless the two are equal, bit for bit.
#[track_caller]
fn assert_equal(what: &str, [got, want]: [&Tensor; 2]) -> Result<()> {
    let off = check(got, want.dims(), &want.to_f64_vec()?, Tolerance::EXACT);
    off.unwrap_or_else(|e| panic!("{what}: {e}"));
    Ok(())
}

/// The tiles that the device's last kernels speak of, and whether they cut `k`.
fn tiles(device: &Device) -> impl Iterator<Item = String> {
    let kernels = device.last_kernels().into_iter();
    kernels.filter_map(|source| {
        let tile = source.lines().find_map(|l| l.split_once("a tile of ")?.1.split_once(" elements"))?.0;
        let cut = if source.contains("one part of k") { " cut" } else { "" };
        Some(format!("{tile}{cut}"))
    })
}

#[test]
fn products_at_sizes_for_every_tile() {
    for_each_gpu(|device| {
        let mut seen = BTreeSet::new();
        // Batch, rows, columns, inner extent: for tiles of 128x128, 128x64, 128x32, 64x64, 32x32, and the last ones cut;
        // and for few elements, which are sums of teams.
        let sizes = [
            [1, 1500, 1400, 20],
            [1, 1501, 1401, 21],
            [1, 1020, 1000, 40],
            [1, 1021, 1001, 37],
            [1, 8190, 31, 40],
            [1, 31, 8190, 37],
            [1, 16380, 32, 40],
            [1, 16381, 31, 37],
            [16, 190, 190, 40],
            [8, 190, 190, 40],
            [1, 380, 380, 2200],
            [1, 100, 100, 52],
            [1, 100, 100, 1052],
            [1, 100, 99, 4100],
            [1, 64, 10, 515],
            [1, 31, 400, 10],
        ];
        for ([z, m, n, k], turned) in
            sizes.iter().zip([[false, false], [true, false], [false, true], [true, true]].iter().cycle())
        {
            let shape = |rows: &usize, columns: &usize, turned: bool| {
                if turned { [*z, *columns, *rows] } else { [*z, *rows, *columns] }
            };
            let (a, b) = (pair(&shape(m, k, turned[0]), 1, device)?, pair(&shape(k, n, turned[1]), 2, device)?);
            let turn = |x: &Tensor, turned: bool| if turned { x.transpose([0, 2, 1]) } else { Ok(x.clone()) };
            let product = |i: usize| turn(&a[i], turned[0])?.matmul(&turn(&b[i], turned[1])?);
            let (got, want) = (product(0)?, product(1)?);
            got.realize()?;
            seen.extend(tiles(device));
            assert_equal(&format!("{z} of {m}x{n}x{k}, turned {turned:?}"), [&got, &want])?;
        }
        let hardware = ["128 x 128", "128 x 64", "128 x 32", "64 x 64", "32 x 32"];
        let missing: Vec<_> = hardware.iter().filter(|t| !seen.contains(**t)).collect();
        let software = device.info().kernels == Kernels::Software;
        assert!(
            software || missing.is_empty() && seen.iter().any(|t| t.ends_with("cut")),
            "{missing:?} not among {seen:?}"
        );
        Ok(())
    });
}

#[test]
fn convolutions_with_both_gradients_at_sizes_for_large_tiles() {
    for_each_gpu(|device| {
        for (image, kernel, strides) in [
            ([4, 31, 30, 8], [3, 3, 8, 36], (1, 1)),
            ([3, 40, 41, 5], [3, 2, 5, 33], (2, 1)),
            ([2, 46, 46, 32], [1, 1, 32, 64], (1, 1)),
            // Nothing to sum: no channels, no filters, no images.
            ([2, 46, 46, 0], [3, 3, 0, 64], (1, 1)),
            ([2, 9, 9, 4], [3, 3, 4, 0], (1, 1)),
            ([0, 9, 9, 4], [3, 3, 4, 5], (1, 1)),
        ] {
            let options = ConvOptions { strides, padding: Padding::Same, ..ConvOptions::default() };
            let (x, w) = (pair(&image, 3, device)?, pair(&kernel, 4, device)?);
            let mut results = Vec::new();
            for (x, w) in x.iter().zip(&w) {
                let (x, w) = (x.requires_grad(), w.requires_grad());
                let y = x.conv2d(&w, &options)?;
                // Each output weighs in with its own sign and size: 1, 0, -1 in turn.
                let weights = eighths(y.dims(), 5).map(f64::signum).f32(x.device())?;
                let grads = grad(&y.mul(&weights)?.sum(())?, &[&x, &w])?;
                results.push([y, grads[0].clone(), grads[1].clone()]);
            }
            for (i, what) in ["the output", "the input's gradient", "the kernel's gradient"].into_iter().enumerate() {
                assert_equal(&format!("{what} of {image:?} by {kernel:?}"), [&results[0][i], &results[1][i]])?;
            }
        }
        Ok(())
    });
}

/// On adapters that have none the option changes nothing. Sizes that tiles are chosen for, and remainders.
#[test]
fn products_with_cooperative_matrices_are_those_of_the_cpu_engine() {
    let work = |device: &Device| -> Result<Vec<f32>> {
        let random = |shape: &[usize], seed: u64| Tensor::uniform(shape, -1.0, 1.0, seed, device)?.cast(DType::F16);
        let w = Var::new(&random(&[500, 530], 1)?);
        let kernel = Var::new(&random(&[3, 3, 24, 65], 2)?);
        let y = random(&[517, 500], 3)?.matmul(&w.value())?.relu()?.cast(DType::F32)?.square()?.mean(())?;
        let image = random(&[16, 13, 14, 24], 4)?.conv2d(&kernel.value(), &ConvOptions::default())?;
        let loss = y.add(&image.cast(DType::F32)?.square()?.mean(())?)?;
        let gradients = loss.backward()?;
        let mut all = loss.cast(DType::F32)?.to_vec::<f32>()?;
        for var in [&w, &kernel] {
            all.extend(gradients.get(var).expect("a gradient").cast(DType::F32)?.mul(1000.0)?.to_vec::<f32>()?);
        }
        Ok(all)
    };
    for_each_gpu(|device| {
        let options = DeviceOptions { cooperative_matrices: true, kernels: Kernels::Hardware, ..Default::default() };
        let device = Device::open_with(&device.info().id, &options)?;
        let (got, expected) = (work(&device)?, work(&Device::cpu())?);
        // Values are rounded to 11 bits between the kernels; one of them may fall to the other side.
        let wrong = got.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 2e-3 + 2e-3 * b.abs()).count();
        assert_eq!((wrong, got.len()), (0, expected.len()), "{:?}", device.info());
        Ok(())
    });
}

/// Numbers that are written into a shader may be zero: no channels, no images.
#[test]
fn windows_of_nothing() {
    for_each_gpu(|device| {
        let options = PoolOptions::default();
        for shape in [[2, 4, 4, 0], [0, 4, 4, 3]] {
            let x = Tensor::ones(shape, DType::F32, device)?.requires_grad();
            for y in [x.max_pool2d(&options)?, x.avg_pool2d(&options)?] {
                assert_eq!(y.numel(), 0);
                assert!(y.to_vec::<f32>()?.is_empty());
                let g = &grad(&y.sum(())?, &[&x])?[0];
                assert_eq!(g.to_vec::<f32>()?, vec![0.0; x.numel()], "{shape:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn rows_and_columns_at_sizes_for_every_layout() {
    for_each_gpu(|device| {
        for shape in [[3, 9001], [1, 70_004], [300, 40], [2000, 5], [5000, 64], [70, 2050], [1100, 33]] {
            let x = pair(&shape, 6, device)?;
            for axis in [0, 1] {
                let what = |name: &str| format!("{name} of {shape:?} over axis {axis}");
                let both = |f: &dyn Fn(&Tensor) -> Result<Tensor>| Ok::<_, wgtensor::Error>([f(&x[0])?, f(&x[1])?]);
                let exact: [(&str, &dyn Fn(&Tensor) -> Result<Tensor>); 4] = [
                    ("sum", &|x| x.sum(axis)),
                    ("max", &|x| x.max(axis)),
                    ("argmin", &|x| x.argmin(axis)),
                    ("sum of distances to the max", &|x| x.sub(x.max_keepdims(axis)?)?.sum(axis)),
                ];
                for (name, f) in exact {
                    let [got, want] = both(f)?;
                    assert_equal(&what(name), [&got, &want])?;
                }
                let [got, want] = both(&|x| x.softmax(axis))?;
                assert_close(&what("softmax"), &got, &shape, &want.to_f64_vec()?);
            }
        }
        Ok(())
    });
}

/// A chain of 250 links and its gradient becomes kernels of bounded length, few of them different, on every device.
#[test]
fn long_chains_are_cut_into_pieces_that_compilers_digest() {
    for_each_device_alone(|device| {
        let first = Nd::random(&[40], 7, -1.0, 1.0).f32(device)?.requires_grad();
        let before = device.counters();
        let mut x = first.clone();
        for _ in 0..250 {
            x = x.mul(1.005)?.sin()?;
        }
        let gradient = grad(&x.sum(())?, &[&first])?.swap_remove(0);
        let values: Vec<f64> = gradient.to_f64_vec()?;
        let mut expected = Nd::random(&[40], 7, -1.0, 1.0).data;
        for value in &mut expected {
            let (mut x, mut slope) = (*value, 1.0);
            for _ in 0..250 {
                slope *= 1.005 * (1.005 * x).cos();
                x = (1.005 * x).sin();
            }
            *value = slope;
        }
        // Two hundred and fifty factors pass their errors on.
        let loose = Tolerance { rtol: 5e-4, atol: 1e-6 };
        assert!(values.iter().zip(&expected).all(|(&got, &want)| loose.accepts(got, want)), "{values:?}\n{expected:?}");
        if device.is_gpu() {
            let used = device.counters() - before;
            let kernels = device.last_kernels();
            let longest = kernels.iter().map(|k| k.lines().count()).max().unwrap_or(0);
            assert!(longest <= 600, "a kernel of {longest} lines");
            assert!(used.dispatches <= 400, "{} dispatches", used.dispatches);
            assert!(used.pipelines <= 16, "{} pipelines for {} dispatches", used.pipelines, used.dispatches);
        }
        Ok(())
    });
}
