//! Gathers, scatters, convolutions and pooling against the naive reference.

use wgtensor::{ConvOptions, DType, Padding, PoolOptions, Tensor};

use super::close::{assert_all, assert_close, bound, check};
use super::devices::for_each_device;
use super::naive::Nd;

#[test]
fn take_and_its_negative_indices() {
    for_each_device(|device| {
        let x = Nd::random(&[4, 5, 3], 1, -1.0, 1.0);
        let t = x.f32(device)?;
        let picks = [[0i32, -1, 2], [3, 3, -4]];
        let index = Tensor::new(picks, device)?;
        let of = |p: i32, n: usize| p.rem_euclid(n as i32) as usize;
        let want = Nd::build(&[4, 2, 3, 3], |c| x.at(&[c[0], of(picks[c[1]][c[2]], 5), c[3]]));
        assert_close("take along 1", &t.take(&index, 1)?, &want.shape, &want.data);
        let want = Nd::build(&[2, 3, 5, 3], |c| x.at(&[of(picks[c[0]][c[1]], 4), c[2], c[3]]));
        assert_close("take along 0", &t.take(&index, 0)?, &want.shape, &want.data);
        let none = Tensor::from_slice::<i32>(&[], [0], device)?;
        assert_eq!(t.take(&none, -1)?.dims(), [4, 5, 0]);
        let along = Nd::random(&[4, 2, 3], 2, 0.0, 5.0).map(f64::floor);
        let want = Nd::build(&[4, 2, 3], |c| x.at(&[c[0], along.at(c) as usize, c[2]]));
        assert_close("take_along_axis", &t.take_along_axis(&along.i32(device)?, 1)?, &want.shape, &want.data);
        Ok(())
    });
}

#[test]
fn index_add_sums_duplicates_in_a_fixed_order() {
    for_each_device(|device| {
        let base = Nd::random(&[6, 4], 3, -1.0, 1.0);
        let source = Nd::random(&[1000, 4], 4, -1.0, 1.0);
        let index = Nd::random(&[1000], 5, 0.0, 6.0).map(f64::floor);
        let mut want = base.clone();
        for (j, row) in index.data.iter().enumerate() {
            for k in 0..4 {
                want.data[*row as usize * 4 + k] += source.at(&[j, k]);
            }
        }
        let add = || base.f32(device)?.index_add(0, &index.i32(device)?, &source.f32(device)?);
        let first = add()?;
        assert_close("index_add", &first, &want.shape, &want.data);
        assert_eq!(first.to_vec::<f32>()?, add()?.to_vec::<f32>()?, "the same program must give the same bits");
        Ok(())
    });
}

#[test]
fn one_hot_leaves_strangers_out() {
    for_each_device(|device| {
        let index = Tensor::from_slice(&[0i32, 2, -1, 3, 1], [5], device)?;
        let want = Nd::build(&[5, 3], |c| f64::from(u8::from([0, 2, 9, 9, 1][c[0]] == c[1])));
        assert_close("one_hot", &index.one_hot(3, -1, DType::F32)?, &want.shape, &want.data);
        Ok(())
    });
}

/// Output extent and front padding of one axis.
fn window(n: usize, k: usize, stride: usize, dilation: usize, same: bool) -> (usize, usize) {
    let span = (k - 1) * dilation + 1;
    if same {
        let out = n.div_ceil(stride);
        (out, ((out - 1) * stride + span).saturating_sub(n) / 2)
    } else {
        ((n - span) / stride + 1, 0)
    }
}

fn naive_conv(x: &Nd, w: &Nd, s: (usize, usize), d: (usize, usize), same: bool, groups: usize) -> Nd {
    let ([n, h, wd, _], [kh, kw, cg, f]) = (x.shape[..].try_into().unwrap(), w.shape[..].try_into().unwrap());
    let ((oh, ph), (ow, pw)) = (window(h, kh, s.0, d.0, same), window(wd, kw, s.1, d.1, same));
    Nd::build(&[n, oh, ow, f], |o| {
        let first = o[3] / (f / groups) * cg;
        let mut sum = 0.0;
        for i in 0..kh {
            for j in 0..kw {
                let (y, z) = ((o[1] * s.0 + i * d.0).wrapping_sub(ph), (o[2] * s.1 + j * d.1).wrapping_sub(pw));
                if y < h && z < wd {
                    sum += (0..cg).map(|c| x.at(&[o[0], y, z, first + c]) * w.at(&[i, j, c, o[3]])).sum::<f64>();
                }
            }
        }
        sum
    })
}

#[test]
fn convolutions() {
    // Image, kernel, strides, dilation, groups.
    type Entry = ([usize; 4], [usize; 4], (usize, usize), (usize, usize), usize);
    let table: &[Entry] = &[
        ([1, 1, 1, 1], [1, 1, 1, 1], (1, 1), (1, 1), 1),
        ([2, 6, 7, 3], [3, 3, 3, 4], (1, 1), (1, 1), 1),
        ([2, 5, 4, 6], [1, 1, 6, 9], (1, 1), (1, 1), 1),
        ([2, 5, 4, 6], [1, 1, 6, 9], (2, 2), (1, 1), 1),
        ([2, 7, 9, 2], [3, 3, 2, 3], (2, 2), (1, 1), 1),
        ([1, 8, 6, 2], [3, 2, 2, 3], (2, 1), (1, 1), 1),
        ([1, 7, 8, 2], [3, 3, 2, 3], (1, 1), (2, 2), 1),
        ([1, 6, 6, 2], [2, 4, 2, 3], (1, 1), (1, 1), 1),
        ([2, 6, 6, 4], [3, 3, 2, 6], (1, 1), (1, 1), 2),
        ([1, 5, 5, 3], [3, 3, 1, 6], (1, 1), (1, 1), 3),
        ([3, 17, 5, 16], [5, 5, 16, 33], (1, 1), (1, 1), 1),
        ([1, 4, 5, 3], [4, 5, 3, 2], (3, 3), (1, 1), 1),
    ];
    for_each_device(|device| {
        let mut failures = Vec::new();
        for (image, kernel, strides, dilation, groups) in table {
            let (x, w) = (Nd::random(image, 1, -1.0, 1.0), Nd::random(kernel, 2, -1.0, 1.0));
            for (same, padding) in [(false, Padding::Valid), (true, Padding::Same)] {
                let want = naive_conv(&x, &w, *strides, *dilation, same, *groups);
                let options = ConvOptions { strides: *strides, padding, dilation: *dilation, groups: *groups };
                let got = x.f32(device)?.conv2d(&w.f32(device)?, &options)?;
                let verdict = check(&got, &want.shape, &want.data, bound(device, DType::F32));
                failures.extend(verdict.err().map(|e| format!("{image:?} * {kernel:?} {options:?}: {e}")));
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn pooling() {
    type Entry = ([usize; 4], (usize, usize), (usize, usize));
    let table: &[Entry] = &[
        ([1, 1, 1, 1], (1, 1), (1, 1)),
        ([2, 6, 6, 3], (2, 2), (2, 2)),
        ([1, 7, 5, 2], (2, 2), (2, 2)),
        ([1, 8, 8, 2], (3, 3), (2, 2)),
        ([1, 7, 6, 2], (3, 2), (2, 1)),
        ([2, 9, 5, 65], (3, 3), (1, 1)),
    ];
    for_each_device(|device| {
        let mut failures = Vec::new();
        for (image, size, strides) in table {
            // All negative: a padding of zeros would win a maximum.
            let x = Nd::random(image, 1, -2.0, -1.0);
            for (same, padding) in [(false, Padding::Valid), (true, Padding::Same)] {
                let ((oh, ph), (ow, pw)) =
                    (window(image[1], size.0, strides.0, 1, same), window(image[2], size.1, strides.1, 1, same));
                let values = |o: &[usize]| -> Vec<f64> {
                    let rows = (0..size.0).map(|i| (o[1] * strides.0 + i).wrapping_sub(ph)).filter(|&y| y < image[1]);
                    let columns =
                        |_| (0..size.1).map(|j| (o[2] * strides.1 + j).wrapping_sub(pw)).filter(|&z| z < image[2]);
                    rows.flat_map(|y| columns(y).map(move |z| (y, z))).map(|(y, z)| x.at(&[o[0], y, z, o[3]])).collect()
                };
                let out = [image[0], oh, ow, image[3]];
                let options = PoolOptions { size: *size, strides: *strides, padding };
                let t = x.f32(device)?;
                let max = Nd::build(&out, |o| values(o).into_iter().fold(f64::NEG_INFINITY, f64::max));
                let avg = Nd::build(&out, |o| values(o).iter().sum::<f64>() / values(o).len() as f64);
                for (name, got, want) in [("max", t.max_pool2d(&options)?, max), ("avg", t.avg_pool2d(&options)?, avg)]
                {
                    let verdict = check(&got, &out, &want.data, bound(device, DType::F32));
                    failures.extend(verdict.err().map(|e| format!("{name} {image:?} {options:?}: {e}")));
                }
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn one_hot_along_any_axis() {
    for_each_device(|device| {
        let index = Tensor::new([[0i32, 2, 5], [1, 1, -1]], device)?;
        let last = index.one_hot(4, -1, DType::F32)?;
        let first = index.one_hot(4, 0, DType::F32)?;
        assert_eq!((first.dims(), last.dims()), (&[4, 2, 3][..], &[2, 3, 4][..]));
        assert_eq!(first.transpose([1, 2, 0])?.to_vec::<f32>()?, last.to_vec::<f32>()?);
        assert_eq!(index.one_hot(4, 1, DType::I32)?.swapaxes(1, 2)?.to_f64_vec()?, last.to_f64_vec()?);
        assert!(index.one_hot(4, 3, DType::F32).unwrap_err().is_out_of_range());
        Ok(())
    });
}

/// Sizes beside the tiles of the float kernels; sums that leave 32 bits.
#[test]
fn products_of_integers_wrap_and_of_booleans_test() {
    for_each_device(|device| {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (65, 33, 17), (4, 0, 3)] {
            let a: Vec<i32> = (0..m * k).map(|i| (i as i32).wrapping_mul(0x3d4d_51cb)).collect();
            let b: Vec<i32> = (0..k * n).map(|i| (i as i32).wrapping_mul(0x2545_f491).wrapping_sub(7)).collect();
            let mut want = vec![0i32; m * n];
            for (i, j, l) in (0..m).flat_map(|i| (0..n).flat_map(move |j| (0..k).map(move |l| (i, j, l)))) {
                want[i * n + j] = want[i * n + j].wrapping_add(a[i * k + l].wrapping_mul(b[l * n + j]));
            }
            let (x, y) = (Tensor::from_slice(&a, [m, k], device)?, Tensor::from_slice(&b, [k, n], device)?);
            assert_eq!(x.matmul(&y)?.to_vec::<i32>()?, want, "{m} {k} {n}");
            let unsigned = x.cast(DType::U32)?.matmul(&y.cast(DType::U32)?)?.to_vec::<u32>()?;
            assert_eq!(unsigned, want.iter().map(|&v| v as u32).collect::<Vec<_>>());
            let tested = x.ne(0)?.matmul(&y.ne(0)?)?;
            assert_eq!(tested.dims(), [m, n]);
            assert_eq!(tested.any(())?.item::<bool>()?, k > 0 && (m, k, n) != (1, 1, 1));
            if k > 0 {
                // Batches broadcast; a vector loses its dimension.
                let batch = Tensor::stack([&x, &x.neg()?], 0)?.matmul(&y)?;
                assert_eq!(
                    batch.narrow(0, 1, 1)?.to_vec::<i32>()?,
                    want.iter().map(|v| v.wrapping_neg()).collect::<Vec<_>>()
                );
                let column = x.matmul(&y.narrow(1, 0, 1)?.reshape([k])?)?;
                assert_eq!((column.dims(), column.to_vec::<i32>()?[0]), (&[m][..], want[0]));
            }
        }
        Ok(())
    });
}

/// Few indices, more than a work-group orders at once, one place that gets half of them, and places of few and of many bits.
#[test]
fn index_add_sums_each_place_whatever_the_indices() {
    for_each_device(|device| {
        for (count, extent, inner) in
            [(1, 1, 1), (33, 5, 4), (1025, 300, 1), (5000, 7, 3), (9001, 70_001, 4), (40_000, 2, 1), (2500, 255, 8)]
        {
            let draw = |i: usize| (i as u32).wrapping_mul(0x9e37_79b1) >> 9;
            let place = |j: usize| if draw(j).is_multiple_of(2) { extent / 2 } else { draw(j) as usize / 2 % extent };
            let index: Vec<i32> =
                (0..count).map(|j| place(j) as i32 - if j % 3 == 0 { extent as i32 } else { 0 }).collect();
            let whole: Vec<i32> = (0..count * inner).map(|i| draw(i).cast_signed() << 9).collect();
            let mut want: Vec<i32> = (0..extent * inner).map(|i| i as i32).collect();
            for (i, x) in whole.iter().enumerate() {
                let to = &mut want[place(i / inner) * inner + i % inner];
                *to = to.wrapping_add(*x);
            }
            let at = Tensor::from_slice(&index, [count], device)?;
            let base =
                Tensor::arange(0.0, (extent * inner) as f64, 1.0, DType::I32, device)?.reshape([extent, inner])?;
            let src = Tensor::from_slice(&whole, [count, inner], device)?;
            let got = base.index_add(0, &at, &src)?;
            assert_eq!(got.to_vec::<i32>()?, want, "{count} to {extent} of {inner}");
            // Floats, each time the same bits, and along the last axis.
            let (base, src) = (base.cast(DType::F32)?, src.cast(DType::F32)?.mul(1e-3)?);
            let sums = || base.index_add(0, &at, &src)?.to_vec::<f32>();
            let first = sums()?;
            assert_eq!(
                first.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                sums()?.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            );
            let turned = base.t()?.index_add(1, &at, &src.t()?)?.t()?;
            assert_close("turned", &turned, &[extent, inner], &first.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        }
        Ok(())
    });
}
