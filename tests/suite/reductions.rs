//! Reductions, rows and matrix products against the naive reference.

use wgtensor::{DType, Result, Tensor};

use super::close::{Tolerance, assert_all, assert_close, bound, check};
use super::devices::for_each_device;
use super::naive::Nd;

type Reduction = (&'static str, fn(&Tensor, &[isize]) -> Result<Tensor>, fn(&[f64]) -> f64);

fn mean(g: &[f64]) -> f64 {
    g.iter().sum::<f64>() / g.len() as f64
}

fn var(g: &[f64]) -> f64 {
    mean(&g.iter().map(|v| (v - mean(g)).powi(2)).collect::<Vec<_>>())
}

#[test]
fn every_axis_set() {
    let ops: &[Reduction] = &[
        ("sum", |x, a| x.sum_keepdims(a), |g| g.iter().sum()),
        ("mean", |x, a| x.mean_keepdims(a), mean),
        ("max", |x, a| x.max_keepdims(a), |g| g.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ("min", |x, a| x.min_keepdims(a), |g| g.iter().copied().fold(f64::INFINITY, f64::min)),
        ("prod", |x, a| x.prod_keepdims(a), |g| g.iter().product()),
        ("var", |x, a| x.var_keepdims(a), var),
        ("std", |x, a| x.std_keepdims(a), |g| var(g).sqrt()),
        ("logsumexp", |x, a| x.logsumexp_keepdims(a), |g| g.iter().map(|v| v.exp()).sum::<f64>().ln()),
    ];
    for_each_device(|device| {
        let x = Nd::random(&[3, 4, 5], 5, 0.5, 1.5);
        let t = x.f32(device)?;
        let turned = x.f32(device)?.transpose([2, 0, 1])?.transpose([1, 2, 0])?;
        let mut failures = Vec::new();
        for set in 1u32..8 {
            let axes: Vec<usize> = (0..3).filter(|d| set >> d & 1 == 1).collect();
            let named: Vec<isize> = axes.iter().map(|&d| if d == 2 { -1 } else { d as isize }).collect();
            for (name, op, reference) in ops {
                let want = x.reduce(&axes, reference);
                for t in [&t, &turned] {
                    let verdict = check(&op(t, &named)?, &want.shape, &want.data, bound(device, DType::F32));
                    failures.extend(verdict.err().map(|e| format!("{name} over {named:?}: {e}")));
                }
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn extents_that_straddle_blocks() {
    for_each_device(|device| {
        let mut failures = Vec::new();
        for n in [1, 2, 31, 32, 33, 255, 256, 257, 1023, 1025, 4097, 70_001] {
            for shape in [[n, 1], [1, n], [n, 3], [3, n]] {
                let x = Nd::random(&shape, n as u32, -1.0, 1.0);
                let t = x.f32(device)?;
                for axis in [0, 1] {
                    let want = x.reduce(&[axis], |g| g.iter().sum());
                    // Rounding errors of a sum of n numbers of magnitude 1 grow with their partial sums.
                    let loose = Tolerance { rtol: 1e-5, atol: 1e-6 * (n as f64).sqrt().max(10.0) };
                    let got = t.sum_keepdims(axis)?;
                    failures.extend(
                        check(&got, &want.shape, &want.data, loose)
                            .err()
                            .map(|e| format!("sum of {shape:?} over {axis}: {e}")),
                    );
                    let want = x.reduce(&[axis], |g| g.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                    let got = t.max_keepdims(axis)?;
                    failures.extend(
                        check(&got, &want.shape, &want.data, Tolerance::EXACT)
                            .err()
                            .map(|e| format!("max of {shape:?} over {axis}: {e}")),
                    );
                }
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn empty_axes_have_the_neutral_element() {
    for_each_device(|device| {
        let t = Tensor::zeros([3, 0], DType::F32, device)?;
        assert_eq!(t.sum(1)?.to_vec::<f32>()?, [0.0; 3]);
        assert_eq!(t.prod(1)?.to_vec::<f32>()?, [1.0; 3]);
        assert_eq!(t.sum(0)?.to_vec::<f32>()?, [0.0; 0]);
        assert_eq!(t.sum(())?.item::<f32>()?, 0.0);
        Ok(())
    });
}

#[test]
fn integers_and_booleans() {
    for_each_device(|device| {
        let t = Tensor::from_slice(&[3, -1, 4, 1, -5, 9], [2, 3], device)?;
        assert_eq!(t.sum(1)?.to_vec::<i32>()?, [6, 5]);
        assert_eq!(t.max(0)?.to_vec::<i32>()?, [3, -1, 9]);
        assert_eq!(t.min(())?.item::<i32>()?, -5);
        assert_eq!(t.prod(0)?.to_vec::<i32>()?, [3, 5, 36]);
        let b = t.gt(0)?;
        assert_eq!(b.all(0)?.to_vec::<bool>()?, [true, false, true]);
        assert_eq!(b.any(1)?.to_vec::<bool>()?, [true, true]);
        Ok(())
    });
}

#[test]
fn argmax_takes_the_first_of_equals() {
    for_each_device(|device| {
        let t = Tensor::from_slice(&[1.0f32, 7.0, 7.0, 2.0, -1.0, -1.0, -3.0, -3.0], [2, 4], device)?;
        assert_eq!(t.argmax(1)?.to_vec::<i32>()?, [1, 0]);
        assert_eq!(t.argmin(-1)?.to_vec::<i32>()?, [0, 2]);
        assert_eq!(t.argmax(0)?.to_vec::<i32>()?, [0, 0, 0, 0]);
        let long = Nd::random(&[1, 5000], 3, -1.0, 1.0);
        let best = (0..5000).rev().max_by(|&a, &b| long.data[a].total_cmp(&long.data[b])).unwrap();
        assert_eq!(long.f32(device)?.argmax(1)?.to_vec::<i32>()?, [best as i32]);
        Ok(())
    });
}

#[test]
fn softmax_of_huge_and_ordinary_rows() {
    for_each_device(|device| {
        for shape in [[1usize, 1], [3, 7], [5, 1000], [2, 1025]] {
            let x = Nd::random(&shape, 6, -4.0, 4.0);
            for shift in [0.0, 3000.0] {
                let moved = x.map(|v| f64::from((v + shift) as f32));
                let total = moved.reduce(&[1], |g| g.iter().map(|v| (v - shift).exp()).sum());
                let want = moved.zip(&total, |v, s| (v - shift).exp() / s);
                assert_close("softmax", &moved.f32(device)?.softmax(-1)?, &shape, &want.data);
                let got = moved.f32(device)?.log_softmax(1)?;
                assert_close("log_softmax", &got, &shape, &want.map(f64::ln).data);
            }
        }
        Ok(())
    });
}

fn product(a: &Nd, b: &Nd) -> Nd {
    Nd::build(&[a.shape[0], b.shape[1]], |c| (0..a.shape[1]).map(|k| a.at(&[c[0], k]) * b.at(&[k, c[1]])).sum())
}

#[test]
fn matrix_products_that_straddle_tiles() {
    let sizes = [0, 1, 3, 16, 17, 33, 65];
    for_each_device(|device| {
        let mut failures = Vec::new();
        for m in sizes {
            for n in sizes {
                for k in [0, 1, 5, 16, 31, 129] {
                    let (a, b) = (Nd::random(&[m, k], 1, -1.0, 1.0), Nd::random(&[k, n], 2, -1.0, 1.0));
                    let want = product(&a, &b);
                    // Transposed storage must give the same: the operands are views then.
                    let at = Nd::build(&[k, m], |c| a.at(&[c[1], c[0]])).f32(device)?.t()?;
                    let bt = Nd::build(&[n, k], |c| b.at(&[c[1], c[0]])).f32(device)?.t()?;
                    let (a, b) = (a.f32(device)?, b.f32(device)?);
                    for (how, x, y) in [("nn", &a, &b), ("tn", &at, &b), ("nt", &a, &bt), ("tt", &at, &bt)] {
                        let verdict = check(&x.matmul(y)?, &[m, n], &want.data, bound(device, DType::F32));
                        failures.extend(verdict.err().map(|e| format!("{m}x{k}x{n} {how}: {e}")));
                    }
                }
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn vectors_and_batches_multiply_like_numpy() {
    for_each_device(|device| {
        let shapes: &[(&[usize], &[usize], &[usize])] = &[
            (&[4], &[4], &[]),
            (&[4], &[4, 3], &[3]),
            (&[2, 4], &[4], &[2]),
            (&[5, 2, 4], &[4, 3], &[5, 2, 3]),
            (&[2, 4], &[5, 4, 3], &[5, 2, 3]),
            (&[6, 1, 2, 4], &[5, 4, 3], &[6, 5, 2, 3]),
            (&[3, 2, 4], &[4], &[3, 2]),
            (&[0, 2, 4], &[4, 3], &[0, 2, 3]),
        ];
        for (left, right, out) in shapes {
            let (a, b) = (Nd::random(left, 1, -1.0, 1.0), Nd::random(right, 2, -1.0, 1.0));
            let full = |s: &[usize], row: bool| match (s, row) {
                ([k], true) => vec![1, *k],
                ([k], false) => vec![*k, 1],
                _ => s.to_vec(),
            };
            let (a2, b2) = (Nd::new(&full(left, true), a.data.clone()), Nd::new(&full(right, false), b.data.clone()));
            let (ra, rb) = (a2.shape.len(), b2.shape.len());
            let (m, k, n) = (a2.shape[ra - 2], a2.shape[ra - 1], b2.shape[rb - 1]);
            let batch: Vec<usize> = {
                let rank = ra.max(rb) - 2;
                let at = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
                let (x, y) = (&a2.shape[..ra - 2], &b2.shape[..rb - 2]);
                (0..rank).map(|d| if at(x, d) == 1 { at(y, d) } else { at(x, d) }).collect()
            };
            let want = Nd::build(&[&batch[..], &[m, n]].concat(), |c| {
                let (head, tail) = c.split_at(batch.len());
                let value = |t: &Nd, i, j| {
                    let own: Vec<usize> = {
                        let skip = head.len() - (t.shape.len() - 2);
                        head[skip..].iter().zip(&t.shape).map(|(&c, &n)| if n == 1 { 0 } else { c }).collect()
                    };
                    t.at(&[&own[..], &[i, j]].concat())
                };
                (0..k).map(|i| value(&a2, tail[0], i) * value(&b2, i, tail[1])).sum()
            });
            let got = a.f32(device)?.matmul(&b.f32(device)?)?;
            assert_close(&format!("{left:?} x {right:?}"), &got, out, &want.data);
        }
        Ok(())
    });
}

/// NumPy refuses an extreme of nothing, and gives none where none is asked for.
#[test]
fn extremes_of_nothing_are_refused() {
    for_each_device(|device| {
        let x = Tensor::zeros([3, 0], DType::F32, device)?;
        for result in [x.max(()), x.min(1), x.max([0, 1]), x.argmax(1)] {
            assert!(result.unwrap_err().is_shape_mismatch());
        }
        assert_eq!(x.max(0)?.dims(), [0]);
        assert_eq!(x.softmax(-1)?.dims(), [3, 0]);
        assert_eq!(x.logsumexp(1)?.to_vec::<f32>()?, [f32::NEG_INFINITY; 3]);
        Ok(())
    });
}
