//! Operations that are made of others, against plain loops; their gradients stand with the others.

use wgtensor::{ConvOptions, DType, PadMode, Padding, PoolOptions, Result, Tensor};

use super::close::{assert_close, assert_within, bound};
use super::devices::for_each_device;
use super::naive::Nd;

#[test]
fn triangles() {
    for_each_device(|device| {
        for shape in [[1usize, 4, 5], [2, 5, 3], [1, 1, 1], [2, 0, 3], [1, 33, 70]] {
            let x = Nd::random(&shape, 1, -1.0, 1.0);
            for k in [-40isize, -2, -1, 0, 1, 3, 200] {
                let low = |c: &[usize]| c[2] as isize <= c[1] as isize + k;
                let want = Nd::build(&shape, |c| if low(c) { x.at(c) } else { 0.0 });
                assert_close("tril", &x.f32(device)?.tril(k)?, &shape, &want.data);
                let high = |c: &[usize]| c[2] as isize >= c[1] as isize + k;
                let want = Nd::build(&shape, |c| if high(c) { x.at(c) } else { 0.0 });
                assert_close("triu", &x.f32(device)?.triu(k)?, &shape, &want.data);
            }
        }
        let all = Tensor::ones([3, 3], DType::Bool, device)?;
        assert_eq!(all.triu(1)?.cast(DType::I32)?.to_vec::<i32>()?, [0, 1, 1, 0, 0, 1, 0, 0, 0]);
        let text = all.take(0, 0)?.tril(0).unwrap_err().to_string();
        assert!(text.contains("Received: shape (3,)") && text.contains("composites.rs"), "{text}");
        Ok(())
    });
}

#[test]
fn cross_products() {
    for_each_device(|device| {
        let (a, b) = (Nd::random(&[4, 3, 2], 1, -1.0, 1.0), Nd::random(&[3, 2], 2, -1.0, 1.0));
        let next = |i: usize| (i + 1) % 3;
        let want = Nd::build(&[4, 3, 2], |c| {
            let of = |i: usize, j: usize| a.at(&[c[0], i, c[2]]) * b.at(&[j, c[2]]);
            let (i, j) = (next(c[1]), next(next(c[1])));
            of(i, j) - of(j, i)
        });
        let got = a.f32(device)?.cross(&b.f32(device)?, -2)?;
        assert_close("cross", &got, &want.shape, &want.data);
        let x = Tensor::new([[1, 2], [3, 4]], device)?;
        assert_eq!(x.cross(&Tensor::new([[5, 6], [7, 8]], device)?, 1)?.to_vec::<i32>()?, [-4, -4]);
        let flat = x.cross(&Tensor::new([[5, 6, 7], [8, 9, 10]], device)?, 1)?;
        assert_eq!(flat.to_vec::<i32>()?, [14, -7, -4, 40, -30, -5]);
        assert!(x.cross(&Tensor::new([[1], [2]], device)?, 1).unwrap_err().is_shape_mismatch());
        Ok(())
    });
}

#[test]
fn closeness() {
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, 1.0, 100.0, 0.0, f32::INFINITY, f32::INFINITY, 1.0, f32::NAN], device)?;
        let y = [1.000001f32, 1.001, 100.0005, 1e-9, f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
        let y = Tensor::new(y, device)?;
        let want = [true, false, true, true, true, false, false, false];
        assert_eq!(x.isclose(&y, 1e-5, 1e-8, false)?.to_vec::<bool>()?, want);
        assert!(x.isclose(&y, 1e-5, 1e-8, true)?.to_vec::<bool>()?[7]);
        // The bound is relative to the second operand.
        let (a, b) = (Tensor::new([10.0f32], device)?, Tensor::new([9.0f32], device)?);
        assert_eq!(a.isclose(&b, 0.105, 0.0, false)?.to_vec::<bool>()?, [false]);
        assert_eq!(b.isclose(&a, 0.105, 0.0, false)?.to_vec::<bool>()?, [true]);
        assert!(a.allclose(10.0, 0.0, 0.0)?.item::<bool>()?);
        assert!(x.cast(DType::I32)?.isclose(1, 0.0, 0.0, false).unwrap_err().is_dtype_mismatch());
        Ok(())
    });
}

#[test]
fn pads_of_its_own_elements_and_rolls() {
    for_each_device(|device| {
        let x = Nd::random(&[4, 5], 1, -1.0, 1.0);
        let t = x.f32(device)?;
        // Where a position before the start, or behind the end, of an axis of `n` reads.
        type From = fn(i64, i64) -> i64;
        let modes: [(PadMode, From); 4] = [
            (PadMode::Reflect, |i, n| {
                if i < 0 {
                    -i
                } else if i >= n {
                    2 * (n - 1) - i
                } else {
                    i
                }
            }),
            (PadMode::Symmetric, |i, n| {
                if i < 0 {
                    -1 - i
                } else if i >= n {
                    2 * n - 1 - i
                } else {
                    i
                }
            }),
            (PadMode::Edge, |i, n| i.clamp(0, n - 1)),
            (PadMode::Wrap, |i, n| i.rem_euclid(n)),
        ];
        for (mode, from) in modes {
            for pads in [[(1usize, 2usize), (3, 1)], [(0, 0), (0, 4)], [(3, 3), (0, 0)], [(3, 0), (4, 4)]] {
                let shape = [4 + pads[0].0 + pads[0].1, 5 + pads[1].0 + pads[1].1];
                let at = |c: &[usize], d: usize, n: i64| from(c[d] as i64 - pads[d].0 as i64, n) as usize;
                let want = Nd::build(&shape, |c| x.at(&[at(c, 0, 4), at(c, 1, 5)]));
                assert_close(&format!("{mode:?} {pads:?}"), &t.pad(&pads, mode)?, &shape, &want.data);
            }
            let none = t.narrow(0, 0, 0)?;
            assert!(none.pad(&[(1, 0), (0, 0)], mode).unwrap_err().is_invalid_argument());
            assert_eq!(none.pad(&[(0, 0), (1, 1)], mode)?.dims(), [0, 7]);
        }
        assert!(t.pad(&[(4, 0), (0, 0)], PadMode::Reflect).unwrap_err().to_string().contains("composites.rs"));
        assert!(t.pad(&[(0, 0), (0, 6)], PadMode::Symmetric).is_err());
        for shift in [-13isize, -5, -1, 0, 2, 5, 7] {
            let want = Nd::build(&[4, 5], |c| x.at(&[c[0], (c[1] as isize - shift).rem_euclid(5) as usize]));
            assert_close("roll", &t.roll(shift, 1)?, &[4, 5], &want.data);
        }
        assert_eq!(t.narrow(0, 0, 0)?.roll(3, 0)?.dims(), [0, 5]);
        Ok(())
    });
}

#[test]
fn scatters_by_several_indices() {
    for_each_device(|device| {
        let base = Nd::random(&[4, 3, 5], 1, -1.0, 1.0);
        let rows = [[0i32, 1], [3, -1], [-4, 1], [2, 2], [3, 2], [0, 1]];
        let updates = Nd::random(&[2, 3, 5], 2, -1.0, 1.0);
        let indices = Tensor::new(rows, device)?.reshape([2, 3, 2])?;
        let (mut sum, mut last, mut alone) = (base.clone(), base.clone(), base.map(|_| 0.0));
        for (r, [i, j]) in rows.iter().enumerate() {
            let start = (i.rem_euclid(4) as usize * 3 + j.rem_euclid(3) as usize) * 5;
            for k in 0..5 {
                let u = updates.data[r * 5 + k];
                sum.data[start + k] += u;
                alone.data[start + k] += u;
                last.data[start + k] = u;
            }
        }
        let (x, u) = (base.f32(device)?, updates.f32(device)?);
        assert_close("scatter_add", &x.scatter_add(&indices, &u)?, &base.shape, &sum.data);
        assert_close("scatter_update", &x.scatter_update(&indices, &u)?, &base.shape, &last.data);
        assert_close("scatter", &Tensor::scatter(&indices, &u, [4, 3, 5])?, &base.shape, &alone.data);
        // Indices from the device are not known: those outside write nothing, not even elsewhere.
        let strangers = Tensor::new([[0i32, 3], [-1, -4], [4, 0], [1, 1]], device)?.add(0)?;
        let ones = Tensor::ones([4, 5], DType::F32, device)?;
        let got = Tensor::scatter(&strangers, &ones, [4, 3, 5])?;
        assert_eq!(got.sum(())?.item::<f32>()?, 5.0);
        assert_eq!(x.scatter_update(&strangers, &ones)?.ne(&x)?.cast(DType::I32)?.sum(())?.item::<i32>()?, 5);
        let known = Tensor::new([[4i32, 0]], device)?;
        assert!(Tensor::scatter(&known, &ones.narrow(0, 0, 1)?, [4, 3, 5]).unwrap_err().is_out_of_range());
        let text = x.scatter_update(&indices, &ones).unwrap_err().to_string();
        assert!(text.contains("scatter_update") && text.contains("composites.rs"), "{text}");
        // All of one place, one place alone, and none.
        let same = Tensor::zeros([3, 1], DType::I32, device)?;
        let y = Tensor::zeros([2], DType::I32, device)?;
        assert_eq!(y.scatter_update(&same, &Tensor::new([7, 8, 9], device)?)?.to_vec::<i32>()?, [9, 0]);
        assert_eq!(y.scatter_update(&same.narrow(0, 0, 1)?, &Tensor::new([7], device)?)?.to_vec::<i32>()?, [7, 0]);
        let none = Tensor::zeros([0], DType::I32, device)?;
        assert_eq!(y.scatter_update(&same.narrow(0, 0, 0)?, &none)?.to_vec::<i32>()?, [0, 0]);
        let block = Tensor::new([[1.0f32, 2.0]], device)?;
        let got = Tensor::zeros([3, 4], DType::F32, device)?.slice_update(&[1, 2], &block)?;
        assert_eq!(got.to_vec::<f32>()?, [0., 0., 0., 0., 0., 0., 1., 2., 0., 0., 0., 0.]);
        assert!(got.slice_update(&[1, 3], &block).unwrap_err().is_out_of_range());
        Ok(())
    });
}

#[test]
fn places_among_bounds() {
    for_each_device(|device| {
        let bins = Tensor::new([-1.0f32, 0.0, 0.0, 2.5], device)?;
        let x = Tensor::new([[-2.0f32, -1.0, -0.5], [0.0, 2.5, f32::NAN]], device)?;
        assert_eq!(x.digitize(&bins)?.to_vec::<i32>()?, [0, 1, 1, 3, 4, 4]);
        assert_eq!(bins.searchsorted(&x, false)?.to_vec::<i32>()?, [0, 0, 1, 1, 3, 4]);
        assert_eq!(bins.searchsorted(&x, true)?.dims(), [2, 3]);
        let whole = Tensor::new([1, 3, 5], device)?;
        assert_eq!(Tensor::new([0, 3, 9], device)?.digitize(&whole)?.to_vec::<i32>()?, [0, 2, 3]);
        assert!(x.digitize(&x).unwrap_err().is_shape_mismatch());
        Ok(())
    });
}

#[test]
fn medians_and_quantiles() {
    for_each_device(|device| {
        for shape in [[3usize, 7, 2], [2, 6, 3], [1, 1, 1], [2, 1500, 1]] {
            let x = Nd::random(&shape, 5, -1.0, 1.0);
            let t = x.f32(device)?;
            for (q, axes) in
                [(0.5, vec![1]), (0.5, vec![0, 2]), (0.25, vec![2, 1]), (0.9, vec![0, 1, 2]), (1.0, vec![1])]
            {
                let sorted: Vec<usize> = axes.iter().map(|&d: &isize| d as usize).collect();
                let want = x.reduce(&sorted, |group| {
                    let mut group = group.to_vec();
                    group.sort_by(f64::total_cmp);
                    let at = q * (group.len() - 1) as f64;
                    group[at.floor() as usize] * (1.0 - at.fract()) + group[at.ceil() as usize] * at.fract()
                });
                let got = t.quantile_keepdims(q, &axes)?;
                assert_close(&format!("quantile {q} {axes:?} of {shape:?}"), &got, &want.shape, &want.data);
                if q == 0.5 {
                    assert_eq!(t.median_keepdims(&axes)?.to_vec::<f32>()?, got.to_vec::<f32>()?);
                    assert_eq!(t.median(&axes)?.rank(), 3 - axes.len());
                }
            }
        }
        let odd = Tensor::new([[1.0f32, f32::NAN, 3.0], [f32::NEG_INFINITY, 2.0, f32::INFINITY]], device)?;
        let medians = odd.median(1)?.to_vec::<f32>()?;
        assert!(medians[0].is_nan() && medians[1] == 2.0, "{medians:?}");
        assert!(odd.quantile(1.5, ()).unwrap_err().is_invalid_argument());
        assert!(odd.narrow(0, 0, 0)?.median(0).unwrap_err().is_shape_mismatch());
        assert_eq!(odd.narrow(0, 0, 0)?.median(1)?.dims(), [0]);
        Ok(())
    });
}

#[test]
fn sparse_distributions() {
    for_each_device(|device| {
        for (shape, axis) in [([4usize, 6, 3], 1usize), ([2, 3, 500], 2), ([5, 1, 1], 0)] {
            let x = Nd::random(&shape, 7, -2.0, 2.0);
            // By bisection: the elements' sum falls as the threshold rises.
            let t = x.reduce(&[axis], |group| {
                let (mut low, mut high) = (-4.0, 4.0);
                for _ in 0..100 {
                    let middle: f64 = (low + high) / 2.0;
                    let sum: f64 = group.iter().map(|v| (v - middle).max(0.0)).sum();
                    if sum > 1.0 { low = middle } else { high = middle }
                }
                low
            });
            let want = x.zip(&t, |v, t| (v - t).max(0.0));
            let got = x.f32(device)?.sparsemax(axis as isize)?;
            assert_close("sparsemax", &got, &shape, &want.data);
            let far = x.f32(device)?.add(1000.0)?.sparsemax(axis as isize)?;
            // Near 1000 the elements themselves are known to 3e-5.
            let wide = super::close::Tolerance { rtol: 0.0, atol: 2e-4 };
            assert_within("sparsemax of large numbers", &far, &shape, &want.data, wide);
        }
        Ok(())
    });
}

#[test]
fn normalisations() {
    for_each_device(|device| {
        let x = Nd::random(&[3, 4, 5], 1, -1.0, 1.0);
        let t = x.f32(device)?;
        for order in 1..4u32 {
            let p = f64::from(order);
            let norm = x.reduce(&[1], |group| group.iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p));
            let want = x.zip(&norm, |v, n| v / n);
            assert_close("normalize", &t.normalize(1, order)?, &x.shape, &want.data);
        }
        let zeros = Tensor::zeros([2, 3], DType::F32, device)?.requires_grad();
        let unit = zeros.normalize(-1, 2)?;
        assert_eq!(unit.to_vec::<f32>()?, [0.0; 6]);
        assert!(wgtensor::grad(&unit.sum(())?, &[&zeros])?[0].to_vec::<f32>()?.iter().all(|v| v.is_finite()));
        assert!(t.normalize(1, 0).unwrap_err().is_invalid_argument());

        let (gamma, beta) = (Nd::random(&[3, 5], 2, 0.5, 1.5), Nd::random(&[3, 5], 3, -1.0, 1.0));
        let mean = x.reduce(&[0, 2], |g| g.iter().sum::<f64>() / g.len() as f64);
        let of = |x: &Nd| x.reduce(&[0, 2], |g| (g.iter().map(|v| v * v).sum::<f64>() / g.len() as f64 + 1e-3).sqrt());
        let centred = x.zip(&mean, |v, m| v - m);
        let learnt =
            |x: &Nd, root: &Nd| Nd::build(&x.shape, |c| x.at(c) / root.broadcast_at(c) * gamma.at(&[c[0], c[2]]));
        let want = learnt(&centred, &of(&centred));
        let want = Nd::build(&x.shape, |c| want.at(c) + beta.at(&[c[0], c[2]]));
        let (g, b) = (gamma.f32(device)?, beta.f32(device)?);
        let got = t.layer_normalization(Some(&g), Some(&b), [2, 0], 1e-3)?;
        assert_close("layer_normalization", &got, &x.shape, &want.data);
        let got = t.rms_normalization(Some(&g), [0, -1], 1e-3)?;
        assert_close("rms_normalization", &got, &x.shape, &learnt(&x, &of(&x)).data);

        let (mean, variance) = (Nd::random(&[4], 4, -1.0, 1.0), Nd::random(&[4], 5, 0.5, 2.0));
        let want = Nd::build(&x.shape, |c| {
            (x.at(c) - mean.data[c[1]]) / (variance.data[c[1]] + 0.01).sqrt() * variance.data[c[1]] + mean.data[c[1]]
        });
        let (m, v) = (mean.f32(device)?, variance.f32(device)?);
        let got = t.batch_normalization(&m, &v, 1, Some(&m), Some(&v), 0.01)?;
        assert_within("batch_normalization", &got, &x.shape, &want.data, bound(device, DType::F32));
        assert!(t.batch_normalization(&m, &v, 2, None, None, 0.01).unwrap_err().is_shape_mismatch());
        assert!(t.layer_normalization(Some(&m), None, -1, 0.1).unwrap_err().to_string().contains("composites.rs"));
        let half = t.cast(DType::F16)?.layer_normalization(None, None, -1, 1e-3)?;
        assert_eq!(half.dtype(), DType::F16);
        Ok(())
    });
}

/// Whatever a kernel keeps in between, it and what is merged into it must fit the buffers that a device binds.
#[test]
fn results_of_every_kind_meet_many_operands() {
    for_each_device(|device| {
        let x = Nd::random(&[64, 40], 1, -1.0, 1.0).f32(device)?;
        let others =
            (0..12).map(|i| Nd::random(&[64, 40], 10 + i, 0.5, 1.5).f32(device)).collect::<Result<Vec<_>>>()?;
        let rows: Vec<i32> = (0..64).map(|i| i * 7 % 40).collect();
        let rows = Tensor::from_slice(&rows, [64], device)?;
        let (square, image) = (Nd::random(&[40, 40], 2, -1.0, 1.0).f32(device)?, x.reshape([1, 64, 40, 1])?);
        let kernel = Nd::random(&[3, 3, 1, 1], 3, -1.0, 1.0).f32(device)?;
        let window = ConvOptions { padding: Padding::Same, ..Default::default() };
        let pool = PoolOptions { size: (3, 3), strides: (1, 1), padding: Padding::Same };
        let kinds: [(&str, Result<Tensor>); 9] = [
            ("pointwise", x.exp()),
            ("rows", x.softmax(-1)),
            ("sum", x.mul(1.0)?.sum(0)?.broadcast_to([64, 40])),
            ("scan", x.cumsum(0)),
            ("sort", x.sort(0)),
            ("scatter", x.index_add(0, &rows, &x.mul(0.5)?)),
            ("product", x.matmul(&square)),
            ("convolution", image.conv2d(&kernel, &window)?.reshape([64, 40])),
            ("pool", image.max_pool2d(&pool)?.reshape([64, 40])),
        ];
        for (name, result) in kinds {
            let result = result?;
            let chain = |start: &Tensor, stops: bool| {
                others.iter().try_fold(start.clone(), |y, other| {
                    let y = y.mul(other)?.add(0.25)?;
                    if stops {
                        y.realize()?;
                    }
                    Ok::<Tensor, wgtensor::Error>(y)
                })
            };
            let merged = chain(&result, false)?.to_vec::<f32>()?;
            let apart = chain(&result, true)?;
            let want: Vec<f64> = apart.to_f64_vec()?;
            assert_close(name, &Tensor::from_slice(&merged, [64, 40], device)?, &[64, 40], &want);
        }
        Ok(())
    });
}
