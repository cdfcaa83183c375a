//! Matrix products and convolutions.

use super::*;
use crate::ir::gemm::Gemm;
use crate::ir::program::Dims;
use crate::ir::window::Geometry;

/// Where an operand's element is, by the definitions of [`Loader`]; `None` for padding.
pub(super) fn element(load: &Loader, batch: &[usize], row: usize, col: usize) -> Option<usize> {
    let back = |at: usize, pad: usize, tap: usize, dilation: usize, stride: usize, extent: usize| {
        let moved = (at + pad).checked_sub(tap * dilation)?;
        (moved % stride == 0 && moved / stride < extent).then_some(moved / stride)
    };
    match load {
        Loader::Strided { offset, batch: strides, row: r, col: c } => {
            let b: i64 = batch.iter().zip(strides).map(|(&i, s)| i as i64 * s).sum();
            Some((offset + b + row as i64 * r + col as i64 * c) as usize)
        }
        Loader::Patches { conv: g, transposed } => {
            let (row, col) = if *transposed { (col, row) } else { (row, col) };
            let (n, oh, ow) = (row / (g.oh * g.ow), row / g.ow % g.oh, row % g.ow);
            let (kh, kw, c) = (col / (g.kw * g.c), col / g.c % g.kw, col % g.c);
            let h = (oh * g.stride_h + kh * g.dilation_h).checked_sub(g.pad_h).filter(|&h| h < g.h)?;
            let w = (ow * g.stride_w + kw * g.dilation_w).checked_sub(g.pad_w).filter(|&w| w < g.w)?;
            Some(((n * g.h + h) * g.w + w) * g.c + c)
        }
        Loader::Spread { conv: g } => {
            let (n, h, w) = (row / (g.h * g.w), row / g.w % g.h, row % g.w);
            let (kh, kw, f) = (col / (g.kw * g.f), col / g.f % g.kw, col % g.f);
            let oh = back(h, g.pad_h, kh, g.dilation_h, g.stride_h, g.oh)?;
            let ow = back(w, g.pad_w, kw, g.dilation_w, g.stride_w, g.ow)?;
            Some(((n * g.oh + oh) * g.ow + ow) * g.f + f)
        }
        Loader::Kernel { conv: g } => {
            let (kh, kw, f) = (row / (g.kw * g.f), row / g.f % g.kw, row % g.f);
            Some(((kh * g.kw + kw) * g.c + col) * g.f + f)
        }
    }
}

fn values(dtype: DType, n: usize, seed: u64) -> Values {
    Values::new(dtype, numbers(n, seed))
}

fn strided(batch: &[i64], row: i64, col: i64) -> Loader {
    Loader::Strided { offset: 0, batch: batch.iter().copied().collect(), row, col }
}

/// `acc + bias`, clipped from below at 0, where `bias`.
fn epilogue(dtype: DType, dims: &[usize], bias: bool) -> Program {
    let mut b = Build::default();
    let acc = b.acc(dtype);
    let mut out = acc;
    if bias {
        let mut strides = vec![0; dims.len()];
        *strides.last_mut().unwrap() = 1;
        let bias = b.load(2, at(0, &strides), dtype, false);
        let sum = b.binary(&ADD, acc, bias);
        let zero = b.binary(&SUB, bias, bias);
        let low = b.binary(&LESS, sum, zero);
        out = b.select(low, zero, sum);
    }
    b.store(out, if bias { 3 } else { 2 }, flat(dims), false);
    b.program
}

#[test]
fn products_of_all_layouts() {
    let mut seed = 0;
    let small = [(1, 1, 1), (3, 5, 7), (17, 1, 9), (1, 33, 40), (64, 65, 63), (5, 4, 0), (0, 3, 2)];
    // Divided among threads, and as few rows of long sums.
    let large = [(130, 70, 90), (64, 100, 300), (97, 30, 520)];
    for &(m, n, k) in small.iter().chain(&large) {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            for (dtype, bias) in [(DType::F32, false), (DType::F32, true), (DType::F64, true)] {
                seed += 1;
                let a = if ta { strided(&[], 1, m as i64) } else { strided(&[], k as i64, 1) };
                let b = if tb { strided(&[], 1, k as i64) } else { strided(&[], n as i64, 1) };
                let mut leaves = vec![values(dtype, m * k, seed), values(dtype, k * n, seed + 1000)];
                if bias {
                    leaves.push(values(dtype, n, seed + 2000));
                }
                let gemm = Gemm { dtype, batch: Dims::new(), m, n, k, a, b };
                let step = Step::new(Family::Gemm(gemm), &[0, 1], epilogue(dtype, &[m, n], bias));
                check(step, &leaves, &[(dtype, m * n)], &[]);
            }
        }
    }
}

#[test]
fn batches_broadcast_and_negative_strides() {
    let dtype = DType::F32;
    // (2, 3, 4, 5) x (3, 5, 6), the second broadcast over the first dimension; (7, 4, 5) x (5, 6); rows of `a` reversed.
    let reversed = Loader::Strided { offset: 15, batch: Dims::from_slice(&[20]), row: -5, col: 1 };
    let cases: Vec<(Vec<usize>, Loader, usize, Loader, usize)> = vec![
        (vec![2, 3], strided(&[60, 20], 5, 1), 120, strided(&[0, 30], 6, 1), 90),
        (vec![7], strided(&[20], 5, 1), 140, strided(&[0], 6, 1), 30),
        (vec![7], reversed, 140, strided(&[0], 6, 1), 30),
        (vec![300], strided(&[20], 5, 1), 6000, strided(&[30], 6, 1), 9000),
        (vec![0], strided(&[20], 5, 1), 0, strided(&[30], 6, 1), 0),
    ];
    for (i, (batch, a, al, b, bl)) in cases.into_iter().enumerate() {
        let dims: Vec<usize> = batch.iter().copied().chain([4, 6]).collect();
        let leaves = [values(dtype, al, i as u64), values(dtype, bl, 50 + i as u64), values(dtype, 6, 9)];
        for bias in [false, true] {
            let gemm =
                Gemm { dtype, batch: batch.iter().copied().collect(), m: 4, n: 6, k: 5, a: a.clone(), b: b.clone() };
            let step = Step::new(Family::Gemm(gemm), &[0, 1], epilogue(dtype, &dims, bias));
            let leaves = if bias { &leaves[..] } else { &leaves[..2] };
            check(step, leaves, &[(dtype, dims.iter().product())], &[]);
        }
    }
}

#[test]
fn epilogues_may_turn_the_result_and_overwrite_what_they_read() {
    let (m, n, k) = (37, 41, 11);
    let leaves = [values(DType::F32, m * k, 1), values(DType::F32, k * n, 2), values(DType::F32, m * n, 3)];
    let gemm = |epilogue| {
        let gemm = Gemm {
            dtype: DType::F32,
            batch: Dims::new(),
            m,
            n,
            k,
            a: strided(&[], k as i64, 1),
            b: strided(&[], n as i64, 1),
        };
        Step::new(Family::Gemm(gemm), &[0, 1], epilogue)
    };
    // Transposed and as whole numbers, each to a buffer of its own.
    let mut b = Build::default();
    let acc = b.acc(DType::F32);
    let whole = b.cast(acc, DType::I32);
    b.store(acc, 3, at(0, &[1, m as i64]), false);
    b.store(whole, 4, flat(&[m, n]), false);
    check(gemm(b.program), &leaves, &[(DType::F32, m * n), (DType::I32, m * n)], &[]);
    // w -= product, in place.
    let mut b = Build::default();
    let (acc, w) = (b.acc(DType::F32), b.load(2, flat(&[m, n]), DType::F32, false));
    let new = b.binary(&SUB, w, acc);
    b.store(new, 2, flat(&[m, n]), false);
    check(gemm(b.program), &leaves, &[], &[]);
    // Two results side by side in one buffer, and one alone: what threads compute is divided by rows.
    let (m, n, k) = (100, 130, 50);
    let mut b = Build::default();
    let acc = b.acc(DType::F32);
    let neg = b.unary(&NEG, acc);
    b.store(acc, 2, at(0, &[2 * n as i64, 1]), false);
    b.store(neg, 2, at(n as i64, &[2 * n as i64, 1]), false);
    b.store(neg, 3, flat(&[m, n]), false);
    let (a, of_b) = (strided(&[], k as i64, 1), strided(&[], n as i64, 1));
    let wide = Gemm { dtype: DType::F32, batch: Dims::new(), m, n, k, a, b: of_b };
    let leaves = [values(DType::F32, m * k, 1), values(DType::F32, k * n, 2)];
    let outputs = [(DType::F32, 2 * m * n), (DType::F32, m * n)];
    check(Step::new(Family::Gemm(wide), &[0, 1], b.program), &leaves, &outputs, &[]);
    // The left operand is overwritten by something computed from the result (k == n is not needed: only its first rows).
    let (m, n, k) = (37, 41, 11);
    let leaves = [values(DType::F32, m * k, 1), values(DType::F32, k * n, 2), values(DType::F32, m * n, 3)];
    let mut b = Build::default();
    let acc = b.acc(DType::F32);
    b.store(acc, 0, at(0, &[0, 0]), false);
    b.program.stores[0].at = at(0, &[k as i64, 0]);
    let small = Gemm {
        dtype: DType::F32,
        batch: Dims::new(),
        m,
        n: 1,
        k,
        a: strided(&[], k as i64, 1),
        b: strided(&[], n as i64, 1),
    };
    check(Step::new(Family::Gemm(small), &[0, 1], b.program), &leaves, &[], &[]);
}

fn geometries() -> Vec<Geometry> {
    let base = Geometry {
        batch: 2,
        h: 9,
        w: 7,
        c: 3,
        kh: 3,
        kw: 2,
        f: 4,
        oh: 0,
        ow: 0,
        stride_h: 1,
        stride_w: 1,
        dilation_h: 1,
        dilation_w: 1,
        pad_h: 0,
        pad_w: 0,
    };
    let out = |mut g: Geometry, after: (usize, usize)| {
        g.oh = Geometry::out_extent(g.h + after.0, g.kh, g.stride_h, g.dilation_h, g.pad_h).unwrap();
        g.ow = Geometry::out_extent(g.w + after.1, g.kw, g.stride_w, g.dilation_w, g.pad_w).unwrap();
        g
    };
    vec![
        out(base, (0, 0)),
        out(Geometry { pad_h: 1, pad_w: 1, kw: 3, ..base }, (1, 1)),
        out(Geometry { stride_h: 2, stride_w: 3, pad_h: 1, ..base }, (1, 0)),
        out(Geometry { dilation_h: 2, dilation_w: 3, pad_w: 2, ..base }, (0, 2)),
        out(Geometry { stride_h: 2, dilation_w: 2, pad_h: 2, pad_w: 1, c: 5, f: 2, ..base }, (2, 1)),
        out(Geometry { kh: 1, kw: 1, ..base }, (0, 0)),
        out(Geometry { kh: 1, kw: 1, stride_h: 2, stride_w: 2, ..base }, (0, 0)),
        out(Geometry { c: 0, ..base }, (0, 0)),
        out(Geometry { f: 0, ..base }, (0, 0)),
        out(Geometry { batch: 0, ..base }, (0, 0)),
        out(Geometry { batch: 1, h: 33, w: 35, c: 6, f: 9, kw: 3, pad_h: 1, pad_w: 1, ..base }, (1, 1)),
        // Lines shared by the patches: as padded, several images to a part, more lines than are laid out at once, a kernel mostly
        // over the padding, and one that moves by two along them.
        out(Geometry { c: 5, f: 6, kw: 3, pad_h: 1, pad_w: 1, ..base }, (1, 1)),
        out(Geometry { batch: 40, h: 6, w: 5, c: 9, f: 8, kw: 3, pad_h: 2, pad_w: 2, ..base }, (0, 0)),
        out(
            Geometry { batch: 3, h: 70, w: 66, c: 16, f: 3, kw: 3, dilation_h: 3, dilation_w: 2, pad_h: 4, ..base },
            (2, 0),
        ),
        out(Geometry { h: 2, w: 3, c: 6, f: 7, kh: 5, kw: 4, pad_h: 4, pad_w: 2, ..base }, (1, 3)),
        out(Geometry { batch: 20, c: 7, f: 6, kw: 3, stride_w: 2, pad_w: 1, ..base }, (0, 1)),
        // More padding than the kernel is large, where a convolution back would cut the edges off.
        out(Geometry { c: 8, f: 9, pad_h: 3, pad_w: 4, ..base }, (3, 2)),
    ]
}

#[test]
fn convolutions_forward_and_back() {
    let dtype = DType::F32;
    for (i, g) in geometries().into_iter().enumerate() {
        let (rows, taps) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
        let x = values(dtype, g.batch * g.h * g.w * g.c, i as u64);
        let kernel = values(dtype, taps * g.f, 100 + i as u64);
        let dy = values(dtype, rows * g.f, 200 + i as u64);
        let step = |m: usize, n: usize, k: usize, a: Loader, b: Loader| {
            let gemm = Gemm { dtype, batch: Dims::new(), m, n, k, a, b };
            Step::new(Family::Gemm(gemm), &[0, 1], epilogue(dtype, &[m, n], false))
        };
        let f = g.f as i64;
        let forward = step(rows, g.f, taps, Loader::Patches { conv: g, transposed: false }, strided(&[], f, 1));
        check(forward, &[x.clone(), kernel.clone()], &[(dtype, rows * g.f)], &[]);
        let weights = step(taps, g.f, rows, Loader::Patches { conv: g, transposed: true }, strided(&[], f, 1));
        check(weights, &[x.clone(), dy.clone()], &[(dtype, taps * g.f)], &[]);
        let m = g.batch * g.h * g.w;
        let inputs = step(m, g.c, g.kh * g.kw * g.f, Loader::Spread { conv: g }, Loader::Kernel { conv: g });
        check(inputs, &[dy, kernel], &[(dtype, m * g.c)], &[]);
    }
}
