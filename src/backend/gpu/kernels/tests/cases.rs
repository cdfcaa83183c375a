//! Steps of every kind and shape, made by hand.

use super::draft::{Case, Draft, access, product, row_major};
use crate::dtype::DType;
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::program::{Dims, Gather, Instr, ReduceOp};
use crate::ir::scalar::{Binary1, BinaryFn, Unary1, UnaryFn};
use crate::ir::scatter::Scatter;
use crate::ir::step::Family;
use crate::ir::window::{Geometry, Window, WindowOp};

use DType::{Bool, F32, I32, U32};

const fn unary(name: &'static str, wgsl: &'static str) -> UnaryFn {
    UnaryFn { name, cpu: Unary1::NONE, wgsl, wgsl_int: "", wgsl_bool: "" }
}
const fn binary(name: &'static str, wgsl: &'static str, compares: bool) -> BinaryFn {
    BinaryFn { name, cpu: Binary1::NONE, wgsl, wgsl_i32: "", wgsl_u32: "", wgsl_bool: "", compares }
}
static NEG: UnaryFn = unary("neg", "-x");
static EXP: UnaryFn = unary("exp", "exp(x)");
static IS_NAN: UnaryFn = unary("is_nan", "k_is_nan(x)");
static ADD: BinaryFn = binary("add", "a + b", false);
static SUB: BinaryFn = binary("sub", "a - b", false);
static MUL: BinaryFn = binary("mul", "a * b", false);
static DIV: BinaryFn = binary("div", "a / b", false);
static LT: BinaryFn = binary("lt", "a < b", true);

/// `(x + y) * c - bias[last]` in two outputs.
pub(super) fn chain(extents: &[usize]) -> Case {
    let mut d = Draft::new(format!("chain {extents:?}"));
    let strides = row_major(extents);
    let (x, y) = (d.input(F32, product(extents)), d.input(F32, product(extents)));
    let bias = d.input(F32, *extents.last().unwrap_or(&1));
    let mut last = vec![0; extents.len()];
    last.iter_mut().next_back().into_iter().for_each(|s| *s = 1);
    let (x, y, bias) = (d.load(x, 0, &strides, false), d.load(y, 0, &strides, false), d.load(bias, 0, &last, false));
    let c = d.param(1.5, F32);
    let sum = d.binary(&ADD, x, y);
    let scaled = d.binary(&MUL, sum, c);
    let shifted = d.binary(&SUB, scaled, bias);
    d.keep(shifted, extents, false);
    d.keep(sum, extents, false);
    d.nest(extents, &[])
}

/// Transposed and reversed reads.
fn views(rows: usize, cols: usize) -> Case {
    let mut d = Draft::new(format!("views {rows}x{cols}"));
    let x = d.input(F32, rows * cols);
    let t = d.load(x, 0, &[1, rows as i64], false);
    let r = d.load(x, (rows * cols) as i64 - 1, &[-(cols as i64), -1], false);
    let sum = d.binary(&ADD, t, r);
    d.keep(sum, &[rows, cols], false);
    d.nest(&[rows, cols], &[])
}

/// A result of (a, m, c, n) from an operand of its own shape and `turned` ones that lie along m: (a, n, c, m), (n, a, c, m) one
/// further, and like the first one of booleans, two further.
pub(super) fn turned(extents: [usize; 4], turned: usize) -> Case {
    let mut d = Draft::new(format!("turned {extents:?} {turned}"));
    let [a, m, c, n] = extents.map(|e| e as i64);
    let plain = d.input(F32, product(&extents));
    let mut sum = d.load(plain, 0, &row_major(&extents), false);
    let ways = [[m * c * n, 1, m, m * c], [c * m, 1, m, a * c * m], [m * c * n, 1, m, m * c]];
    for (i, strides) in ways.iter().enumerate().take(turned) {
        let x = d.input(if i == 2 { Bool } else { F32 }, product(&extents) + i);
        let x = d.load(x, i as i64, strides, false);
        let x = d.cast(x, F32);
        sum = d.binary(&SUB, sum, x);
    }
    d.keep(sum, &extents, false);
    d.nest(&extents, &[])
}

/// All types, casts, comparison and selection; special floats.
fn types(n: usize) -> Case {
    let mut d = Draft::new(format!("types {n}"));
    let special =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 3e9, -3e9, 2.7, -2.7, 5e9, 2147483648.0, 1e-40, 0.0];
    let values: Vec<f32> = (0..n).map(|i| special[i % special.len()]).collect();
    let x = d.floats(&values);
    let (i, u, b) = (d.input(I32, n), d.input(U32, n), d.input(Bool, n));
    let x = d.load(x, 0, &[1], false);
    let (i, u, b) = (d.load(i, 0, &[1], false), d.load(u, 0, &[1], false), d.load(b, 0, &[1], false));
    for (reg, dtype) in
        [(x, I32), (x, U32), (x, Bool), (i, F32), (i, U32), (i, Bool), (u, F32), (u, I32), (b, F32), (b, I32), (b, U32)]
    {
        let c = d.cast(reg, dtype);
        d.keep(c, &[n], false);
    }
    d.nest(&[n], &[])
}

fn select(n: usize) -> Case {
    let mut d = Draft::new(format!("select {n}"));
    let values: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { f32::NAN } else { i as f32 }).collect();
    let (x, b) = (d.floats(&values), d.input(Bool, n));
    let (x, b) = (d.load(x, 0, &[1], false), d.load(b, 0, &[1], false));
    let (inf, four) = (d.param(f64::INFINITY, F32), d.param(4.0, F32));
    let nan = d.unary(&IS_NAN, x);
    let less = d.binary(&LT, x, four);
    let y = d.line(Instr::Select(nan, inf, x), F32, false);
    let z = d.line(Instr::Select(b, y, four), F32, false);
    let z = d.unary(&NEG, z);
    for reg in [z, nan, less] {
        d.keep(reg, &[n], false);
    }
    d.nest(&[n], &[])
}

/// Coordinates and random bits.
fn counters(rows: usize, cols: usize) -> Case {
    let mut d = Draft::new(format!("counters {rows}x{cols}"));
    d.params = vec![123456789.0, 987654321.0];
    for (stream, at) in [(5, access(7, &[cols as i64, 1])), (0, access(8, &[cols as i64, 1])), (1, access(3, &[1, 3]))]
    {
        let r = d.line(Instr::Random { at, key: 0, stream }, U32, false);
        d.keep(r, &[rows, cols], false);
    }
    let col = d.line(Instr::Index { at: access(-3, &[0, 2]) }, I32, false);
    d.keep(col, &[rows, cols], false);
    d.nest(&[rows, cols], &[])
}

/// `table[idx[i], c]`, and `x[i, idx[i, c]]`, some indices negative or outside.
fn gathers(rows: usize, cols: usize, index: DType) -> Case {
    let mut d = Draft::new(format!("gather {rows}x{cols} by {index}"));
    let (extent, table) = (20, d.input(F32, 20 * cols));
    let (idx, each) = (d.input(index, rows), d.input(index, rows * cols));
    let idx = d.load(idx, 0, &[1, 0], false);
    let row = d.gather(table, 0, &[0, 1], false, &[Gather { index: idx, extent, stride: cols as i64 }]);
    d.keep(row, &[rows, cols], false);
    let each = d.load(each, 0, &[cols as i64, 1], false);
    let ints = d.input(I32, rows * cols);
    let item = d.gather(ints, 0, &[cols as i64, 0], false, &[Gather { index: each, extent: cols, stride: 1 }]);
    d.keep(item, &[rows, cols], false);
    d.nest(&[rows, cols], &[])
}

const OPS: [ReduceOp; 6] =
    [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min, ReduceOp::ArgMax, ReduceOp::ArgMin];

/// Reductions over the last dimensions (`rows`), or over the first ones, with pointwise work on both sides.
pub(super) fn reduce(ops: &[ReduceOp], dtype: DType, outer: &[usize], inner: &[usize], leading: bool) -> Case {
    let way = if leading { "leading" } else { "trailing" };
    let mut d = Draft::new(format!("reduce {ops:?} {dtype} {outer:?} {inner:?} {way}"));
    let x = d.input(dtype, product(outer) * product(inner));
    if dtype == F32 && product(inner) > 5 {
        let at = d.data[x as usize].len() - 3;
        d.data[x as usize][at] = f32::NAN.to_bits();
    }
    let strides = match leading {
        true => {
            let all = row_major(&[inner, outer].concat());
            [&all[inner.len()..], &all[..inner.len()]].concat()
        }
        false => row_major(&[outer, inner].concat()),
    };
    let x = d.load(x, 0, &strides, true);
    for &op in ops {
        // Products of many values overflow, so they are of ones and signs.
        let operand = match (op, dtype) {
            (ReduceOp::Prod, F32 | I32) => {
                let zero = d.line(Instr::Index { at: access(0, &vec![0; strides.len()]) }, I32, true);
                let zero = d.cast(zero, dtype);
                let negative = d.binary(&LT, x, zero);
                let ones = d.cast(negative, dtype);
                let one = d.line(Instr::Index { at: access(1, &vec![0; strides.len()]) }, I32, true);
                let one = d.cast(one, dtype);
                let twice = d.binary(&ADD, ones, ones);
                d.binary(&SUB, one, twice)
            }
            (ReduceOp::Prod, U32) => {
                let one = d.line(Instr::Index { at: access(1, &vec![0; strides.len()]) }, I32, true);
                let one = d.cast(one, U32);
                let none = d.binary(&LT, x, one);
                let twice = d.cast(none, U32);
                d.binary(&ADD, one, twice)
            }
            _ => x,
        };
        let r = d.reduce(op, operand);
        d.keep(r, outer, false);
        if d.dtype(r) == F32 {
            let r = d.unary(&NEG, r);
            d.keep(r, outer, false);
        }
    }
    d.nest(outer, inner)
}

/// Softmax over the inner space: three sweeps.
pub(super) fn softmax(outer: &[usize], inner: &[usize], leading: bool) -> Case {
    let mut d = Draft::new(format!("softmax {outer:?} {inner:?} {leading}"));
    let all = [outer, inner].concat();
    let strides = match leading {
        true => {
            let all = row_major(&[inner, outer].concat());
            [&all[inner.len()..], &all[..inner.len()]].concat()
        }
        false => row_major(&all),
    };
    let x = d.input(F32, product(&all));
    let x = d.load(x, 0, &strides, true);
    let max = d.reduce(ReduceOp::Max, x);
    let shifted = d.binary(&SUB, x, max);
    let e = d.unary(&EXP, shifted);
    let sum = d.reduce(ReduceOp::Sum, e);
    let y = d.binary(&DIV, e, sum);
    let out = d.output(F32, product(&all));
    d.store(y, out, 0, &strides, true);
    d.keep(sum, outer, false);
    d.nest(outer, inner)
}

/// The sum of values that take long to compute, which are kept too or not.
pub(super) fn costly(outer: usize, inner: usize, kept: bool) -> Case {
    let mut d = Draft::new(format!("costly {outer} {inner} {kept}"));
    let x = d.input(F32, outer * inner);
    let x = d.load(x, 0, &[inner as i64, 1], true);
    let y = (0..10).fold(x, |y, _| {
        let less = d.binary(&SUB, x, y);
        d.unary(&EXP, less)
    });
    let sum = d.reduce(ReduceOp::Sum, y);
    d.keep(sum, &[outer], false);
    if kept {
        d.keep(y, &[outer, inner], true);
    }
    d.nest(&[outer], &[inner])
}

/// A running mean updated in place while its row is centred in place.
pub(super) fn in_place(rows: usize, cols: usize) -> Case {
    let mut d = Draft::new(format!("in place {rows}x{cols}"));
    let (x, mean) = (d.input(F32, rows * cols), d.input(F32, rows));
    let (v, old) = (d.load(x, 0, &[cols as i64, 1], true), d.load(mean, 0, &[1], false));
    let sum = d.reduce(ReduceOp::Sum, v);
    let rate = d.param(1.0 / 64.0, F32);
    let part = d.binary(&MUL, sum, rate);
    let new = d.binary(&ADD, old, part);
    let centred = d.binary(&SUB, v, new);
    let squares = d.binary(&MUL, centred, centred);
    let spread = d.reduce(ReduceOp::Sum, squares);
    d.store(centred, x, 0, &[cols as i64, 1], true);
    d.store(new, mean, 0, &[1], false);
    d.keep(spread, &[rows], false);
    d.nest(&[rows], &[cols])
}

/// `relu`-like epilogue with a bias over n: `max(acc + bias, ...)` as a selection, and the raw product.
fn finish(d: &mut Draft, outer: &[usize]) {
    let n = outer[outer.len() - 1];
    let bias = d.input(F32, n);
    let acc = d.line(Instr::Acc(0), F32, false);
    let mut strides = vec![0; outer.len()];
    *strides.last_mut().expect("n") = 1;
    let bias = d.load(bias, 0, &strides, false);
    let sum = d.binary(&ADD, acc, bias);
    let zero = d.param(0.0, F32);
    let less = d.binary(&LT, sum, zero);
    let y = d.line(Instr::Select(less, zero, sum), F32, false);
    d.keep(y, outer, false);
    d.keep(acc, outer, false);
}

/// A batched product; `t` transposes the operands in memory, `shift` is their offset.
pub(super) fn gemm(batch: &[usize], mnk: [usize; 3], t: [bool; 2], shift: i64) -> Case {
    shifted_gemm(batch, mnk, t, [shift, shift])
}

/// The same with an offset for each operand.
pub(super) fn shifted_gemm(batch: &[usize], mnk: [usize; 3], t: [bool; 2], shift: [i64; 2]) -> Case {
    typed_gemm(batch, mnk, t, shift, [F32, F32])
}

/// The same, of operands of these types.
pub(super) fn typed_gemm(
    batch: &[usize],
    [m, n, k]: [usize; 3],
    t: [bool; 2],
    shift: [i64; 2],
    types: [DType; 2],
) -> Case {
    let mut d = Draft::new(format!("gemm {batch:?} {m}x{n}x{k} {t:?} +{shift:?} {types:?}"));
    let z = product(batch);
    let a = d.input(types[0], z * m * k + shift[0] as usize);
    let b = d.input(types[1], k * n + shift[1] as usize);
    let outer: Dims<usize> = batch.iter().copied().chain([m, n]).collect();
    finish(&mut d, &outer);
    let strides = |rows: usize, cols: usize, t: bool| if t { (1, rows as i64) } else { (cols as i64, 1) };
    let ((ar, ac), (br, bc)) = (strides(m, k, t[0]), strides(k, n, t[1]));
    let steps: Dims<i64> = row_major(batch).iter().map(|s| s * (m * k) as i64).collect();
    let none = Dims::from_elem(0, batch.len());
    let batch = Dims::from_slice(batch);
    let bufs = [a, b];
    let a = Loader::Strided { offset: shift[0], batch: steps, row: ar, col: ac };
    let b = Loader::Strided { offset: shift[1], batch: none, row: br, col: bc };
    d.step(Family::Gemm(Gemm { dtype: F32, batch, m, n, k, a, b }), &bufs)
}

/// A product whose epilogue adds one of its operands, `[n, n]` both: as it lies in memory, or turned, which it reads element
/// by element.
pub(super) fn residual(n: usize, turned: bool, dtype: DType) -> Case {
    let mut d = Draft::new(format!("residual {n} {turned} {dtype}"));
    let (a, b) = (d.input(dtype, n * n), d.input(dtype, n * n));
    let acc = d.line(Instr::Acc(0), F32, false);
    let x = d.load(a, 0, &if turned { [1, n as i64] } else { [n as i64, 1] }, false);
    let y = d.binary(&ADD, acc, x);
    d.keep(y, &[n, n], false);
    let strided = || Loader::Strided { offset: 0, batch: Dims::new(), row: n as i64, col: 1 };
    let gemm = Gemm { dtype: F32, batch: Dims::new(), m: n, n, k: n, a: strided(), b: strided() };
    d.step(Family::Gemm(gemm), &[a, b])
}

fn geometry(c: usize, f: usize, stride: usize, dilation: usize, pad: usize) -> Geometry {
    placed([2, 7, 6], c, f, stride, dilation, pad)
}

/// Windows of 3x2 over `[batch, h, w]`.
pub(super) fn placed(
    [batch, h, w]: [usize; 3],
    c: usize,
    f: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
) -> Geometry {
    let (kh, kw) = (3, 2);
    let out = |n: usize, k: usize| (n + 2 * pad - (k - 1) * dilation - 1) / stride + 1;
    Geometry {
        batch,
        h,
        w,
        c,
        kh,
        kw,
        f,
        oh: out(h, kh),
        ow: out(w, kw),
        stride_h: stride,
        stride_w: stride,
        dilation_h: dilation,
        dilation_w: dilation,
        pad_h: pad,
        pad_w: pad,
    }
}

/// A convolution and its two gradients as products.
pub(super) fn conv(v: Geometry, which: usize) -> Case {
    typed_conv(v, which, F32)
}

/// The same, of operands of that type.
pub(super) fn typed_conv(v: Geometry, which: usize, dtype: DType) -> Case {
    let mut d = Draft::new(format!("conv {which} {v:?} {dtype}"));
    let (x, y, taps) = (v.batch * v.h * v.w, v.batch * v.oh * v.ow, v.kh * v.kw);
    let strided = |row: i64, col: i64| Loader::Strided { offset: 0, batch: Dims::new(), row, col };
    let (m, n, k, a, b) = match which {
        0 => {
            let (a, b) = (d.input(dtype, x * v.c), d.input(dtype, taps * v.c * v.f));
            let patches = Loader::Patches { conv: v, transposed: false };
            (y, v.f, taps * v.c, (a, patches), (b, strided(v.f as i64, 1)))
        }
        1 => {
            let (a, b) = (d.input(dtype, x * v.c), d.input(dtype, y * v.f));
            let patches = Loader::Patches { conv: v, transposed: true };
            (taps * v.c, v.f, y, (a, patches), (b, strided(v.f as i64, 1)))
        }
        _ => {
            let (a, b) = (d.input(dtype, y * v.f), d.input(dtype, taps * v.c * v.f));
            (x, v.c, taps * v.f, (a, Loader::Spread { conv: v }), (b, Loader::Kernel { conv: v }))
        }
    };
    finish(&mut d, &[m, n]);
    let gemm = Gemm { dtype: F32, batch: Dims::new(), m, n, k, a: a.1, b: b.1 };
    d.step(Family::Gemm(gemm), &[a.0, b.0])
}

pub(super) fn window(op: WindowOp, dtype: DType, v: Geometry, nan: bool) -> Case {
    let mut d = Draft::new(format!("window {op:?} {dtype} {v:?}"));
    let (x, y) = (v.batch * v.h * v.w * v.c, v.batch * v.oh * v.ow * v.c);
    let inputs = match op {
        WindowOp::Max | WindowOp::Sum => vec![d.input(dtype, x)],
        WindowOp::MaxGrad => vec![d.input(dtype, x), d.input(dtype, y)],
        WindowOp::MaxPick => vec![d.input(dtype, x), d.input(dtype, x)],
        WindowOp::SumGrad => vec![d.input(dtype, y)],
    };
    if nan {
        d.data[0][x / 2] = f32::NAN.to_bits();
    }
    let acc = d.line(Instr::Acc(0), dtype, false);
    let twice = d.binary(&ADD, acc, acc);
    d.keep(twice, &[op.numel(&v)], false);
    d.step(Family::Window(Window { op, geometry: v, dtype }), &inputs)
}

pub(super) fn scatter(dtype: DType, index: DType, [outer, extent, inner, count]: [usize; 4]) -> Case {
    let mut d = Draft::new(format!("scatter {dtype} {index} {outer} {extent} {inner} {count}"));
    let len = outer * extent * inner;
    let base = d.input(dtype, len);
    // Half of the indices are one, in runs; the rest are everywhere and, a few, outside.
    let places: Vec<u32> = (0..count as u32)
        .map(|j| match j.wrapping_mul(0x9e37_79b1) >> 8 {
            _ if j / 3 % 2 == 0 => extent as u32 / 3,
            x if index == I32 => (x % (2 * extent as u32 + 4)).wrapping_sub(extent as u32 + 2),
            x => x % (extent as u32 + 2),
        })
        .collect();
    let (index, src) = (d.given(index, places), d.input(dtype, outer * count * inner));
    let acc = d.line(Instr::Acc(0), dtype, false);
    let out = d.output(dtype, len);
    d.store(acc, out, 0, &[1], false);
    d.step(Family::Scatter(Scatter { dtype, outer, extent, inner, count }), &[base, index, src])
}

/// The whole family. Sizes straddle vectors, teams and tiles.
pub(super) fn all() -> Vec<Case> {
    let mut out = Vec::new();
    for extents in [&[][..], &[1], &[3], &[4], &[1000], &[5, 7], &[6, 8], &[3, 1, 4], &[2, 3, 5], &[0, 4], &[300, 300]]
    {
        out.push(chain(extents));
    }
    out.extend([views(5, 7), views(8, 8), types(11), types(12), types(24), select(7), select(64)]);
    out.extend([counters(3, 5), counters(4, 8), gathers(9, 6, I32), gathers(9, 8, I32), gathers(5, 8, U32)]);
    for op in OPS {
        for dtype in [F32, I32, U32].into_iter().filter(|&t| op != ReduceOp::Prod || t != U32) {
            out.push(reduce(&[op], dtype, &[3], &[37], false));
        }
        out.push(reduce(&[op], F32, &[4], &[0], false));
        out.push(reduce(&[op], F32, &[70], &[130], true));
    }
    let shapes: [(&[usize], &[usize]); 12] = [
        (&[], &[0]),
        (&[], &[1]),
        (&[], &[70_001]),
        (&[], &[80_000]),
        (&[5], &[3]),
        (&[7], &[64]),
        (&[70], &[130]),
        (&[2, 35], &[13, 10]),
        (&[3, 5], &[4, 12]),
        (&[300], &[20]),
        (&[40], &[3000]),
        (&[9, 1], &[1, 1, 33]),
    ];
    for (i, (outer, inner)) in shapes.into_iter().enumerate() {
        out.push(reduce(&[OPS[i % 6]], F32, outer, inner, false));
        out.push(reduce(&[OPS[(i + 1) % 6]], F32, outer, inner, true));
    }
    out.push(reduce(&[ReduceOp::Max, ReduceOp::Min], Bool, &[5], &[40], false));
    out.push(reduce(&OPS, F32, &[6], &[257], false));
    out.push(reduce(&OPS, F32, &[], &[100_000], false));
    out.push(reduce(&OPS, I32, &[33], &[5000], true));
    for (outer, inner) in [(&[1][..], &[5][..]), (&[3], &[1024]), (&[300], &[10]), (&[4, 3], &[5, 8]), (&[2], &[9000])]
    {
        out.extend([softmax(outer, inner, false), softmax(outer, inner, true)]);
    }
    out.extend([in_place(5, 64), in_place(40, 7), in_place(3, 2048)]);
    let ways = [[false, false], [true, false], [false, true], [true, true]];
    for t in ways {
        out.push(gemm(&[], [65, 64, 40], t, 0));
        out.push(gemm(&[], [50, 1, 70], t, 0));
        out.push(gemm(&[3], [33, 35, 18], t, 3));
    }
    for dtype in [DType::F16, DType::BF16] {
        out.push(typed_gemm(&[2], [130, 132, 100], ways[3], [0, 0], [dtype, F32]));
        out.push(typed_gemm(&[], [160, 133, 300], ways[1], [1, 3], [F32, dtype]));
        out.push(typed_gemm(&[], [3, 133, 300], ways[0], [0, 1], [dtype, dtype]));
        out.push(typed_gemm(&[9], [256, 260, 20], ways[2], [0, 0], [dtype, dtype]));
        out.push(typed_conv(geometry(4, 8, 1, 2, 2), 2, dtype));
    }
    let others: [(&[usize], [usize; 3], i64); 16] = [
        (&[], [31, 33, 17], 0),
        (&[], [32, 32, 16], 0),
        (&[], [1, 50, 70], 0),
        (&[], [40, 40, 3], 0),
        (&[], [20, 24, 0], 0),
        (&[], [130, 140, 36], 0),
        (&[2, 3], [33, 20, 24], 0),
        (&[3], [36, 40, 20], 3),
        (&[], [40, 36, 2100], 0),
        (&[], [33, 35, 4099], 0),
        (&[70], [64, 64, 16], 4),
        (&[9], [256, 260, 20], 0),
        (&[33], [258, 31, 20], 0),
        (&[33], [31, 258, 20], 0),
        (&[16], [250, 252, 20], 0),
        (&[64], [31, 250, 20], 0),
    ];
    for (i, (batch, mnk, shift)) in others.into_iter().enumerate() {
        out.push(gemm(batch, mnk, ways[i % 4], shift));
    }
    for v in [geometry(3, 5, 2, 1, 1), geometry(4, 8, 1, 2, 2)] {
        (0..3).for_each(|which| out.push(conv(v, which)));
    }
    for op in [WindowOp::Max, WindowOp::MaxGrad, WindowOp::MaxPick, WindowOp::Sum, WindowOp::SumGrad] {
        for v in [geometry(3, 3, 1, 1, 1), geometry(4, 4, 2, 1, 0), geometry(1, 1, 1, 2, 2)] {
            out.push(window(op, F32, v, false));
            out.push(window(op, I32, v, false));
            if matches!(op, WindowOp::Max | WindowOp::MaxGrad | WindowOp::MaxPick) {
                out.push(window(op, F32, v, true));
            }
        }
    }
    for sizes in [[1, 40, 5, 30], [2, 20, 1, 7], [3, 10, 4, 0], [3, 10, 4, 50], [1, 64, 64, 100], [2, 300, 3, 1500]] {
        out.push(scatter(F32, I32, sizes));
        out.push(scatter(F32, U32, sizes));
        out.push(scatter(I32, I32, sizes));
    }
    out
}
