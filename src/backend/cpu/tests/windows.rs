//! Pooling, its gradients, and sums by index.

use super::*;
use crate::ir::scatter::Scatter;
use crate::ir::window::{Geometry, Window, WindowOp};

/// The definitions of [`WindowOp`].
pub(super) fn window(op: WindowOp, g: &Geometry, inputs: &[&[f64]], dtype: DType) -> Vec<f64> {
    let mut out = vec![0.0; op.numel(g)];
    for p in points(&[g.batch, g.oh, g.ow, g.c]) {
        let (n, oh, ow, c) = (p[0], p[1], p[2], p[3]);
        let y = ((n * g.oh + oh) * g.ow + ow) * g.c + c;
        let mut inside = Vec::new();
        for kh in 0..g.kh {
            for kw in 0..g.kw {
                let h = (oh * g.stride_h + kh * g.dilation_h).checked_sub(g.pad_h).filter(|&h| h < g.h);
                let w = (ow * g.stride_w + kw * g.dilation_w).checked_sub(g.pad_w).filter(|&w| w < g.w);
                if let (Some(h), Some(w)) = (h, w) {
                    inside.push(((n * g.h + h) * g.w + w) * g.c + c);
                }
            }
        }
        if op == WindowOp::SumGrad {
            inside.iter().for_each(|&i| out[i] += inputs[0][y]);
            continue;
        }
        let x = inputs[0];
        let Some(&(mut best)) = inside.first() else {
            if op == WindowOp::Max {
                out[y] = if dtype.is_float() { f64::NEG_INFINITY } else { f64::from(i32::MIN) };
            }
            continue;
        };
        for &i in &inside {
            if x[i] > x[best] || (x[i].is_nan() && !x[best].is_nan()) {
                best = i;
            }
        }
        match op {
            WindowOp::Max => out[y] = x[best],
            WindowOp::Sum => out[y] = inside.iter().map(|&i| x[i]).sum(),
            WindowOp::MaxPick => out[y] = inputs[1][best],
            WindowOp::MaxGrad => out[best] += inputs[1][y],
            WindowOp::SumGrad => {}
        }
    }
    out
}

#[test]
fn windows_of_all_kinds() {
    let base = Geometry {
        batch: 3,
        h: 8,
        w: 9,
        c: 5,
        kh: 2,
        kw: 2,
        f: 5,
        oh: 0,
        ow: 0,
        stride_h: 2,
        stride_w: 2,
        dilation_h: 1,
        dilation_w: 1,
        pad_h: 0,
        pad_w: 0,
    };
    let geometries = [
        base,
        Geometry { kh: 3, kw: 3, pad_h: 1, pad_w: 1, stride_h: 1, ..base },
        Geometry { kh: 3, stride_w: 3, dilation_h: 2, c: 1, f: 1, ..base },
        Geometry { batch: 2, h: 40, w: 41, c: 33, f: 33, kh: 3, kw: 3, pad_h: 1, ..base },
        // Windows wholly in the padding.
        Geometry { pad_h: 3, pad_w: 2, ..base },
    ];
    for (i, mut g) in geometries.into_iter().enumerate() {
        g.oh = Geometry::out_extent(g.h, g.kh, g.stride_h, g.dilation_h, g.pad_h).unwrap();
        g.ow = Geometry::out_extent(g.w, g.kw, g.stride_w, g.dilation_w, g.pad_w).unwrap();
        let (before, after) = (g.batch * g.h * g.w * g.c, g.batch * g.oh * g.ow * g.c);
        for dtype in [DType::F32, DType::F64, DType::I32] {
            let mut x = Values::new(dtype, numbers(before, i as u64));
            if dtype.is_float() {
                x.data[before / 2] = f64::NAN;
            }
            let pick = Values::new(dtype, numbers(before, 7 + i as u64));
            let dy = Values::new(dtype, numbers(after, 30 + i as u64));
            for (op, leaves) in [
                (WindowOp::Max, vec![x.clone()]),
                (WindowOp::Sum, vec![x.clone()]),
                (WindowOp::MaxPick, vec![x.clone(), pick]),
                (WindowOp::MaxGrad, vec![x.clone(), dy.clone()]),
                (WindowOp::SumGrad, vec![dy.clone()]),
            ] {
                let mut b = Build::default();
                let acc = b.acc(dtype);
                // Twice, except that twice the least integer does not exist.
                let out = if op == WindowOp::Max { acc } else { b.binary(&ADD, acc, acc) };
                let numel = op.numel(&g);
                b.store(out, leaves.len() as u16, at(0, &[1]), false);
                let inputs: Vec<u16> = (0..leaves.len() as u16).collect();
                let step = Step::new(Family::Window(Window { op, geometry: g, dtype }), &inputs, b.program);
                check(step, &leaves, &[(dtype, numel)], &[]);
            }
        }
    }
}

#[test]
fn scatters_add_in_order() {
    for (i, &(outer, extent, inner, count)) in
        [(1, 5, 3, 7), (2, 4, 1, 0), (3, 1, 4, 9), (1, 700, 64, 900), (2, 300, 100, 40), (1, 0, 3, 4)]
            .iter()
            .enumerate()
    {
        let seed = i as u64;
        for (dtype, signed) in [(DType::F32, true), (DType::F64, false), (DType::I32, true)] {
            let span = extent as f64 + 2.0;
            let index = numbers(count, seed)
                .into_iter()
                .map(|v| (v * 37.0).rem_euclid(2.0 * span) - if signed { span } else { 0.0 });
            let index = Values::new(if signed { DType::I32 } else { DType::U32 }, index.collect());
            let src = Values::new(dtype, numbers(outer * count * inner, seed + 5));
            let base = Values::new(dtype, numbers(outer * extent * inner, seed + 9));
            let mut b = Build::default();
            let acc = b.acc(dtype);
            b.store(acc, 3, at(0, &[1]), false);
            let scatter = Family::Scatter(Scatter { dtype, outer, extent, inner, count });
            let step = Step::new(scatter, &[2, 0, 1], b.program);
            let leaves = [index, src, base];
            check(step, &leaves, &[(dtype, outer * extent * inner)], &[]);
        }
    }
}
