//! Views and copies against the naive reference.

use wgtensor::{DType, Result, Tensor};

use super::close::{assert_all, assert_close, bound, check};
use super::devices::for_each_device;
use super::naive::Nd;

/// What NumPy's `range(start, stop, step)` on an axis of `n` selects.
fn picks(n: isize, start: Option<isize>, stop: Option<isize>, step: isize) -> Vec<usize> {
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let fix = |v: isize| (if v < 0 { v + n } else { v }).clamp(low, high);
    let mut at = start.map_or(if step > 0 { 0 } else { n - 1 }, fix);
    let end = stop.map_or(if step > 0 { n } else { -1 }, fix);
    let mut out = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        out.push(at as usize);
        at += step;
    }
    out
}

#[test]
fn slices_with_steps_and_negative_bounds() {
    let bounds = [None, Some(0), Some(2), Some(5), Some(7), Some(-1), Some(-3), Some(-7)];
    for_each_device(|device| {
        let x = Nd::random(&[3, 7], 1, -1.0, 1.0);
        let t = x.f32(device)?;
        let mut failures = Vec::new();
        for step in [1, 2, 3, -1, -2, 7] {
            for start in bounds {
                for stop in bounds {
                    let columns = picks(7, start, stop, step);
                    let want = Nd::build(&[3, columns.len()], |c| x.at(&[c[0], columns[c[1]]]));
                    let got = t.slice_step(1, start, stop, step)?;
                    let verdict = check(&got, &want.shape, &want.data, bound(device, DType::F32));
                    failures.extend(verdict.err().map(|e| format!("[:, {start:?}:{stop:?}:{step}]: {e}")));
                }
            }
        }
        assert_all(failures);
        Ok(())
    });
}

#[test]
fn slices_by_range() {
    for_each_device(|device| {
        let t = Tensor::arange(0.0, 6.0, 1.0, DType::I32, device)?;
        assert_eq!(t.slice(0, 1..4)?.to_vec::<i32>()?, [1, 2, 3]);
        assert_eq!(t.slice(0, -2..)?.to_vec::<i32>()?, [4, 5]);
        assert_eq!(t.slice(0, ..-4)?.to_vec::<i32>()?, [0, 1]);
        assert_eq!(t.slice(0, ..)?.to_vec::<i32>()?, [0, 1, 2, 3, 4, 5]);
        assert_eq!(t.slice(-1, 3..3)?.to_vec::<i32>()?, [0; 0]);
        assert_eq!(t.narrow(0, 2, 2)?.to_vec::<i32>()?, [2, 3]);
        assert_eq!(t.take(-1, 0)?.item::<i32>()?, 5);
        Ok(())
    });
}

#[test]
fn chains_of_views_without_a_copy() {
    for_each_device(|device| {
        let x = Nd::random(&[4, 5, 6], 2, -1.0, 1.0);
        let t = x.f32(device)?.transpose([2, 0, 1])?.flip([1])?.slice_step(0, None, None, -2)?.swapaxes(1, 2)?;
        let want = Nd::build(&[3, 5, 4], |c| x.at(&[3 - c[2], c[1], 5 - 2 * c[0]]));
        assert_close("permute, flip, slice, transpose", &t, &want.shape, &want.data);
        assert_close("then arithmetic", &t.mul(2.0)?, &want.shape, &want.map(|v| 2.0 * v).data);
        let flat = t.reshape([15, 4])?;
        assert_close("then a reshape", &flat, &[15, 4], &want.data);
        let sums = Nd::new(&[15, 4], want.data.clone()).reduce(&[1], |g| g.iter().sum());
        assert_close("then a sum", &flat.sum(1)?, &[15], &sums.data);
        Ok(())
    });
}

#[test]
fn reshapes_of_empty_and_scalar_tensors() {
    for_each_device(|device| {
        let empty = Tensor::zeros([0, 3], DType::F32, device)?;
        assert_eq!(empty.reshape([3, 0, 2])?.dims(), [3, 0, 2]);
        assert_eq!(empty.t()?.dims(), [3, 0]);
        assert_eq!(empty.to_vec::<f32>()?, [0.0; 0]);
        let one = Tensor::new(2.5f32, device)?;
        assert_eq!(one.dims(), [0usize; 0]);
        assert_eq!(one.reshape([1, 1])?.squeeze(0)?.expand_dims(-1)?.dims(), [1, 1]);
        assert_eq!(one.broadcast_to([2, 3])?.to_vec::<f32>()?, [2.5; 6]);
        let t = Tensor::arange(0.0, 24.0, 1.0, DType::F32, device)?;
        assert_eq!(t.reshape([2, -1, 4])?.dims(), [2, 3, 4]);
        assert_eq!(t.reshape([2, 3, 4])?.flatten_from(1)?.dims(), [2, 12]);
        Ok(())
    });
}

#[test]
fn concatenation_stacking_splitting_and_padding() {
    for_each_device(|device| {
        let parts: Vec<Nd> = [3, 0, 1].iter().map(|&n| Nd::random(&[2, n, 2], n as u32, -1.0, 1.0)).collect();
        let tensors = parts.iter().map(|p| p.f32(device)).collect::<Result<Vec<_>, _>>()?;
        let joined = Tensor::concat(&tensors, 1)?;
        let want = Nd::build(&[2, 4, 2], |c| if c[1] < 3 { parts[0].at(c) } else { parts[2].at(&[c[0], 0, c[2]]) });
        assert_close("concat", &joined, &want.shape, &want.data);
        let back = joined.split(1, &[3, 0, 1])?;
        for (part, tensor) in parts.iter().zip(&back) {
            assert_close("split", tensor, &part.shape, &part.data);
        }
        let stacked = Tensor::stack([&back[0], &back[0].neg()?], -1)?;
        let want = Nd::build(&[2, 3, 2, 2], |c| parts[0].at(&c[..3]) * if c[3] == 0 { 1.0 } else { -1.0 });
        assert_close("stack", &stacked, &want.shape, &want.data);
        let padded = back[0].pad(&[(0, 1), (2, 0), (1, 1)], -3.0)?;
        let want = Nd::build(&[3, 5, 4], |c| {
            let inside = c[0] < 2 && c[1] >= 2 && (1..3).contains(&c[2]);
            if inside { parts[0].at(&[c[0], c[1] - 2, c[2] - 1]) } else { -3.0 }
        });
        assert_close("pad", &padded, &want.shape, &want.data);
        Ok(())
    });
}

#[test]
fn creation() {
    for_each_device(|device| {
        assert_eq!(Tensor::new([[1i32, 2], [3, 4]], device)?.dims(), [2, 2]);
        assert_eq!(Tensor::full([2, 2], 7.0, DType::I32, device)?.to_vec::<i32>()?, [7; 4]);
        assert_eq!(Tensor::eye(2, 3, DType::F32, device)?.to_vec::<f32>()?, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_close(
            "linspace",
            &Tensor::linspace(0.0, 1.0, 5, DType::F32, device)?,
            &[5],
            &[0.0, 0.25, 0.5, 0.75, 1.0],
        );
        assert_eq!(Tensor::arange(5.0, 0.0, -2.0, DType::I32, device)?.to_vec::<i32>()?, [5, 3, 1]);
        assert!(Tensor::ones((), DType::Bool, device)?.item::<bool>()?);
        Ok(())
    });
}

#[test]
fn taking_rows_and_reshaping_them_across_the_index() {
    for_each_device(|device| {
        let x = Tensor::new([0.0f32, 1.0, 2.0, 3.0], device)?;
        let ids: Vec<i32> = (0..24).map(|i| i * 7 % 4).collect();
        let index = Tensor::from_slice(&ids, [4, 6], device)?;
        index.realize()?;
        let got = x.take(&index, 0)?.reshape([3, 8])?.add(0.5)?;
        let want: Vec<f64> = ids.iter().map(|&i| f64::from(i) + 0.5).collect();
        assert_close("take, reshape", &got, &[3, 8], &want);

        let table = Nd::random(&[5, 4], 3, -1.0, 1.0);
        let index = Tensor::new([[4i32, 0, 2], [1, 1, 3]], device)?;
        let got = table.f32(device)?.take(&index, 0)?.reshape([4, 6])?.neg()?;
        let ids = [4, 0, 2, 1, 1, 3];
        let want = Nd::build(&[4, 6], |c| {
            let flat = c[0] * 6 + c[1];
            -table.at(&[ids[flat / 4], flat % 4])
        });
        assert_close("embed, reshape", &got, &want.shape, &want.data);
        Ok(())
    });
}

#[test]
fn a_long_chain_of_views_needs_no_deep_stack() {
    for_each_device(|device| {
        let mut t = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], device)?;
        for _ in 0..10_001 {
            t = t.flip([0])?;
        }
        assert_eq!(t.to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0]);
        Ok(())
    });
}

/// A plan for a value that is kept is not the plan for one that is not, however many inputs there are.
#[test]
fn joining_hundreds_of_tensors_kept_and_not() {
    for_each_device(|device| {
        for n in [255usize, 256, 300] {
            let parts: Vec<Tensor> = (0..n).map(|i| Tensor::new([i as f32], device)).collect::<Result<_>>()?;
            let parts: Vec<&Tensor> = parts.iter().collect();
            let want = (n * (n - 1) / 2) as f32;
            let alone = Tensor::concat(&parts, 0)?.sum(())?;
            assert_eq!(alone.item::<f32>()?, want);
            let joined = Tensor::concat(&parts, 0)?;
            assert_eq!(joined.sum(())?.item::<f32>()?, want);
            assert_eq!(joined.to_vec::<f32>()?, (0..n).map(|i| i as f32).collect::<Vec<_>>());
        }
        Ok(())
    });
}

/// What is a part of a part is written into all of them at once, each with its own distances, while these are few.
#[test]
fn joining_what_was_joined() {
    /// All of `parts` beside each other along one of two axes.
    fn join(parts: &[&Nd], axis: usize) -> Nd {
        let mut shape = parts[0].shape.clone();
        shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
        Nd::build(&shape, |at| {
            let mut at = at.to_vec();
            for part in parts {
                if at[axis] < part.shape[axis] {
                    return part.at(&at);
                }
                at[axis] -= part.shape[axis];
            }
            unreachable!("the parts are as long as all of them")
        })
    }
    for_each_device(|device| {
        let numbers = Nd::random(&[2, 3], 1, -1.0, 1.0);
        for (turn, depth) in [(0, 3), (1, 3), (0, 4), (1, 4), (0, 8)] {
            let (mut want, mut got) = (numbers.map(|v| v * v), numbers.f32(device)?.square()?);
            let mut levels = Vec::new();
            for level in 0..depth {
                // Of the same twice, with something else in between; then along one axis again and again.
                let axis = if level < 4 { (level + turn) % 2 } else { 0 };
                let (sines, wanted) = (got.sin()?, want.map(f64::sin));
                got = Tensor::concat(&[got.clone(), sines, got][if level < 4 { 0 } else { 1 }..], axis as isize)?;
                want = join(&[&want, &wanted, &want][if level < 4 { 0 } else { 1 }..], axis);
                levels.push((got.clone(), want.clone()));
            }
            for (level, (got, want)) in levels.iter().enumerate().rev() {
                assert_close(&format!("{depth} deep from axis {turn}, level {level}"), got, &want.shape, &want.data);
            }
        }
        Ok(())
    });
}

#[test]
#[cfg(feature = "cpu")]
fn numbers_print_as_numpys() {
    let cpu = wgtensor::Device::cpu();
    let text = |x: &[f32]| Tensor::new(x, &cpu).unwrap().to_string();
    assert_eq!(text(&[1.23456, 1e-8, 1e9]), "[1.23456e+00 1.00000e-08 1.00000e+09]");
    assert_eq!(text(&[1e9, 2e9]), "[1.e+09 2.e+09]");
    assert_eq!(text(&[1.5, 2.0]), "[1.5 2. ]");
    let x = Tensor::new([1.0f32, 2.345], &cpu).unwrap();
    assert_eq!(format!("{x:.2}"), "[1.00 2.35]");
    assert_eq!(format!("{:.2}", Tensor::new([1e9f64, 1.0], &cpu).unwrap()), "[1.00e+09 1.00e+00]");
}
