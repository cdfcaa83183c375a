//! Pointwise programs, reductions, rows.

use super::*;

const F: DType = DType::F32;

pub(super) fn nest(outer: &[usize], inner: &[usize], b: Build) -> Step {
    Step::nest(outer, inner, b.program)
}

fn values(dtype: DType, n: usize, seed: u64) -> Values {
    Values::new(dtype, numbers(n, seed))
}

#[test]
fn chains_with_broadcast_and_views() {
    for (n, m) in [(1, 1), (3, 5), (40, 33), (7, 300), (300, 7), (130, 1500), (0, 4)] {
        // out = (x + row) * column - x[reversed], selected by a comparison.
        let mut b = Build::default();
        let (rows, cols) = (n as i64, m as i64);
        let x = b.load(0, at(0, &[cols, 1]), F, false);
        let row = b.load(1, at(0, &[0, 1]), F, false);
        let column = b.load(2, at(0, &[1, 0]), F, false);
        let back = b.load(0, at((rows * cols - 1).max(0), &[-cols, -1]), F, false);
        let turned = b.load(3, at(0, &[1, rows]), F, false);
        let two = b.param(1, F);
        let sum = b.binary(&ADD, x, row);
        let product = b.binary(&MUL, sum, column);
        let scaled = b.binary(&MUL, back, two);
        let less = b.binary(&LESS, scaled, turned);
        let out = b.select(less, product, scaled);
        b.store(out, 4, at(0, &[cols, 1]), false);
        let whole = b.cast(less, DType::I32);
        b.store(whole, 5, at(0, &[1, rows]), false);
        let leaves = [values(F, n * m, 1), values(F, m, 2), values(F, n, 3), values(F, n * m, 4)];
        check(nest(&[n, m], &[], b), &leaves, &[(F, n * m), (DType::I32, n * m)], &[0.0, 2.5]);
    }
}

#[test]
fn stores_into_parts_of_a_buffer() {
    // A middle part of every row, as concatenation and padding write; then one turned around.
    for (n, m) in [(3, 4), (200, 90), (1, 6)] {
        let (cols, wide) = (m as i64, m as i64 + 7);
        let mut b = Build::default();
        let x = b.load(0, at(0, &[cols, 1]), F, false);
        let y = b.unary(&NEG, x);
        b.store(y, 1, at(3, &[wide, 1]), false);
        check(nest(&[n, m], &[], b), &[values(F, n * m, 1)], &[(F, n * (m + 7))], &[]);
        let mut b = Build::default();
        let x = b.load(0, at(0, &[cols, 1]), F, false);
        let y = b.unary(&NEG, x);
        b.store(y, 1, at(n as i64 - 1, &[-1, n as i64]), false);
        check(nest(&[n, m], &[], b), &[values(F, n * m, 1)], &[(F, n * m)], &[]);
    }
}

#[test]
fn several_stores_share_a_buffer() {
    // Parts of one buffer beside each other along each axis, as concatenation writes; rows may be cut between for threads
    // only where the parts of one come before those of the next. What is read is in any order, so that some go in square
    // blocks.
    for dims in [[40, 3, 130], [7, 60, 50], [3, 5, 7], [1, 90, 200], [60, 1, 1], [4, 64, 64], [6, 130, 33]] {
        let numel: usize = dims.iter().product();
        let (p, q, r) = (dims[0] as i64, dims[1] as i64, dims[2] as i64);
        let orders = [[q * r, r, 1], [q * r, 1, q], [r, r * p, 1], [1, p, p * q]];
        for (axis, order) in (0..3).flat_map(|axis| orders.map(|order| (axis, order))) {
            let mut wide = dims;
            wide[axis] *= 2;
            let mut b = Build::default();
            let x = b.load(0, at(0, &order), F, false);
            let (y, z) = (b.unary(&NEG, x), b.unary(&EXP, x));
            let shift = (flat(&wide).strides[axis] * dims[axis] as i64) as usize;
            for (part, offset) in [(z, shift), (y, 0)] {
                b.store(part, 1, Access { offset: offset as i64, ..flat(&wide) }, false);
            }
            b.store(z, 2, flat(&dims), false);
            check(nest(&dims, &[], b), &[values(F, numel, 1)], &[(F, 2 * numel), (F, numel)], &[]);
        }
    }
    // Rows that reach into the next one's, and values between each other's.
    for (dims, strides, apart) in [([400, 2], [7, 6], 5), ([90, 50], [100, 2], 1)] {
        let mut b = Build::default();
        let x = b.load(0, flat(&dims), F, false);
        let (y, z) = (b.unary(&NEG, x), b.unary(&EXP, x));
        b.store(y, 1, at(0, &strides), false);
        b.store(z, 1, at(apart, &strides), false);
        let len = dims.iter().zip(strides).map(|(&e, s)| (e - 1) * s as usize).sum::<usize>() + apart as usize + 1;
        check(nest(&dims, &[], b), &[values(F, dims.iter().product(), 1)], &[(F, len)], &[]);
    }
}

#[test]
fn three_dimensions_in_any_order() {
    let dims = [6, 5, 130];
    for strides in [[650i64, 130, 1], [130, 780, 1], [1, 6, 30], [5, 1, 30], [-1, 6, 30]] {
        let mut b = Build::default();
        let offset = if strides[0] < 0 { 5 } else { 0 };
        let x = b.load(0, at(offset, &strides), F, false);
        let i = b.index(at(3, &[1000, -7, 2]), false);
        let i = b.cast(i, F);
        let y = b.binary(&ADD, x, i);
        b.store(y, 1, flat(&dims), false);
        check(nest(&dims, &[], b), &[values(F, 3900, 8)], &[(F, 3900)], &[]);
    }
}

#[test]
fn a_store_belongs_to_its_own_register() {
    // Rows: sum r, a = x * r, p = r * 3 over the whole row, b = neg a + a + p; p is put next to a line of its neighbours.
    for (n, m) in [(2, 2), (5, 300), (3, 20_000)] {
        let full = [m as i64, 1];
        let mut b = Build::default();
        let x = b.load(0, at(0, &full), F, true);
        let r = b.reduce(ReduceOp::Sum, x);
        let a = b.binary(&MUL, x, r);
        let three = b.param(0, F);
        let p = b.binary(&MUL, r, three);
        let minus = b.unary(&NEG, a);
        let sum = b.binary(&ADD, minus, a);
        let out = b.binary(&ADD, sum, p);
        b.store(p, 1, at(0, &full), true);
        b.store(out, 2, at(0, &full), true);
        check(nest(&[n], &[m], b), &[values(F, n * m, 1)], &[(F, n * m), (F, n * m)], &[3.0]);
    }
    // Two values read where they are overwritten, their results stored one after the other.
    let n = 3000;
    let mut b = Build::default();
    let (v, w) = (b.load(0, at(0, &[1]), F, false), b.load(1, at(0, &[1]), F, false));
    b.store(v, 1, at(0, &[1]), false);
    b.store(w, 0, at(0, &[1]), false);
    check(nest(&[n], &[], b), &[values(F, n, 1), values(F, n, 2)], &[], &[]);
}

#[test]
fn what_is_read_across_its_rows_goes_in_square_blocks() {
    // Dimensions, the strides of what is read, and a bias along the last but one.
    for (dims, strides) in [
        ([1, 130, 90], [0i64, 1, 130]),
        ([3, 65, 70], [65 * 70, 1, 65]),
        ([40, 5, 64], [1, 40 * 64, 40]),
        ([33, 33, 33], [1, 33, 33 * 33]),
        ([70, 9, 33], [-9, 1, 630]),
    ] {
        let numel = dims.iter().product();
        let mut b = Build::default();
        let offset = if strides[0] < 0 { 69 * 9 } else { 0 };
        let x = b.load(0, at(offset, &strides), F, false);
        let y = b.load(1, flat(&dims), F, false);
        let bias = b.load(2, at(0, &[0, 1, 0]), F, false);
        let two = b.param(0, F);
        let sum = b.binary(&MUL, x, two);
        let sum = b.binary(&ADD, sum, bias);
        let i = b.index(at(1, &[7, 1, -3]), false);
        let i = b.cast(i, F);
        let sum = b.binary(&ADD, sum, i);
        let out = b.binary(&SUB, sum, y);
        b.store(out, 1, flat(&dims), false);
        b.store(sum, 3, flat(&dims), false);
        let leaves = [values(F, numel, 1), values(F, numel, 2), values(F, dims[1], 3)];
        check(nest(&dims, &[], b), &leaves, &[(F, numel)], &[2.0]);
    }
}

#[test]
fn short_rows_repeat_their_broadcasts() {
    for dims in [[300, 7, 5], [1000, 1, 64], [11, 9, 127], [2, 3, 4], [3, 20, 60]] {
        let numel = dims.iter().product();
        let mut b = Build::default();
        let x = b.load(0, flat(&dims), F, false);
        let group = b.load(1, at(0, &[0, dims[2] as i64, 1]), F, false);
        let bias = b.load(2, at(0, &[0, 0, 1]), F, false);
        let row = b.load(3, at(0, &[1, 0, 0]), F, false);
        let both = b.binary(&MUL, group, bias);
        let sum = b.binary(&ADD, x, both);
        let sum = b.cast(sum, F);
        let out = b.binary(&SUB, sum, row);
        b.store(out, 0, flat(&dims), false);
        b.store(both, 4, flat(&dims), false);
        let group = values(F, dims[1] * dims[2], 2);
        let leaves = [values(F, numel, 1), group, values(F, dims[2], 3), values(F, dims[0], 4)];
        check(nest(&dims, &[], b), &leaves, &[(F, numel)], &[]);
    }
}

#[test]
fn gathers_wrap_and_mark_what_is_outside() {
    for (rows, width) in [(5, 3), (50, 200)] {
        for (index, dtype) in [(DType::I32, F), (DType::U32, DType::I32), (DType::I32, DType::F64)] {
            // out[i, j] = table[index[i], j] and out2[i, j] = table[i % rows.., index[j]]
            let picks = if index == DType::I32 {
                vec![0.0, -1.0, 4.0, 7.0, -9.0, 2.0]
            } else {
                vec![0.0, 1.0, 4.0, 7.0, 4e9, 2.0]
            };
            let mut b = Build::default();
            let i = b.load(1, at(0, &[1, 0]), index, false);
            let x = b.gather(0, at(0, &[0, 1]), &[(i, 5, width)], dtype, false);
            b.store(x, 2, at(0, &[width, 1]), false);
            let y = b.gather(0, at(0, &[0, 0]), &[(i, 5, width), (i, 3, 1)], dtype, false);
            b.store(y, 3, at(0, &[width, 1]), false);
            let leaves = [values(dtype, rows * width as usize, 4), Values::new(index, picks)];
            let n = 6 * width as usize;
            check(nest(&[6, width as usize], &[], b), &leaves, &[(dtype, n), (dtype, n)], &[]);
        }
    }
}

#[test]
fn in_place_and_overlapping_updates() {
    for n in [5, 3000, 200_000] {
        // v = v * 2 + g; p = p - v: both in place.
        let mut b = Build::default();
        let (v, p, g) =
            (b.load(0, at(0, &[1]), F, false), b.load(1, at(0, &[1]), F, false), b.load(2, at(0, &[1]), F, false));
        let two = b.param(0, F);
        let v = b.binary(&MUL, v, two);
        let v = b.binary(&ADD, v, g);
        let p = b.binary(&SUB, p, v);
        b.store(v, 0, at(0, &[1]), false);
        b.store(p, 1, at(0, &[1]), false);
        check(nest(&[n], &[], b), &[values(F, n, 1), values(F, n, 2), values(F, n, 3)], &[], &[2.0]);
        // x reversed onto itself: the reader must see the old values.
        let mut b = Build::default();
        let x = b.load(0, at(n as i64 - 1, &[-1]), F, false);
        let y = b.load(0, at(0, &[1]), F, false);
        let z = b.binary(&SUB, x, y);
        b.store(z, 0, at(0, &[1]), false);
        check(nest(&[n], &[], b), &[values(F, n, 1)], &[], &[]);
    }
}

#[test]
fn one_buffer_bound_twice_is_seen_at_run_time() {
    let n = 1000;
    let mut b = Build::default();
    let x = b.load(0, at(n as i64 - 1, &[-1]), F, false);
    b.store(x, 1, at(0, &[1]), false);
    let x = values(F, n, 3);
    let plan = Plan {
        buffers: (0..2).map(|i| BufferInfo { role: Role::Leaf(i), dtype: F, len: n }).collect(),
        ..single(nest(&[n], &[], b), &[&x, &x], &[], 0)
    };
    let cpu = CpuBackend::open(&DeviceOptions::default());
    let buffer = cpu.alloc(4 * n).unwrap();
    cpu.write(&buffer, &x.bytes()).unwrap();
    let ready = cpu.prepare(Arc::new(plan)).unwrap();
    ready.run(&[buffer.clone(), buffer.clone()], &[], &[]).unwrap();
    let got = Values::of_bytes(F, &pollster::block_on(cpu.read_all(&buffer, 4 * n)).unwrap());
    assert!(got.data.iter().eq(x.data.iter().rev()));
}

#[test]
fn sums_of_what_is_computed_for_them() {
    // Means, then sums of squares of what is off them, of products with a row, and of a product that is stored as well.
    for (m, n) in [(1, 128), (3, 129), (7, 200), (40, 1030), (9, 5000), (2, 20_001), (2, 150_003), (200, 127), (5, 0)] {
        let full = [n as i64, 1];
        let mut b = Build::default();
        let x = b.load(0, at(0, &full), F, true);
        let row = b.load(1, at(0, &[0, 1]), F, true);
        let each = b.param(0, F);
        let sum = b.reduce(ReduceOp::Sum, x);
        let mean = b.binary(&MUL, sum, each);
        let off = b.binary(&SUB, x, mean);
        let squares = b.unary(&SQUARE, off);
        let variance = b.reduce(ReduceOp::Sum, squares);
        let product = b.binary(&MUL, x, row);
        let weighted = b.reduce(ReduceOp::Sum, product);
        let kept = b.binary(&MUL, row, x);
        let kept = b.binary(&MUL, kept, x);
        let total = b.reduce(ReduceOp::Sum, kept);
        let most = b.reduce(ReduceOp::Max, kept);
        for (r, buf) in [(variance, 2), (weighted, 3), (total, 4), (most, 5)] {
            b.store(r, buf, at(0, &[1]), false);
        }
        b.store(kept, 6, at(0, &full), true);
        let outs = [(F, m), (F, m), (F, m), (F, m), (F, m * n)];
        check(nest(&[m], &[n], b), &[values(F, m * n, 1), values(F, n, 2)], &outs, &[1.0 / n.max(1) as f64]);
    }
}

const OPS: [ReduceOp; 6] =
    [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min, ReduceOp::ArgMax, ReduceOp::ArgMin];

#[test]
fn reductions_of_rows_and_columns() {
    for (m, n) in [
        (1, 0),
        (3, 0),
        (1, 1),
        (4, 1),
        (5, 7),
        (70, 33),
        (1, 5000),
        (3, 20_000),
        (2, 150_000),
        (1500, 3),
        (100, 1300),
        (2000, 70),
    ] {
        for column in [false, true] {
            for op in OPS {
                for dtype in [F, DType::I32, DType::F64] {
                    if m * n > 50_000 && (dtype != F || op == ReduceOp::Prod) {
                        continue;
                    }
                    let mut data = numbers(m * n, (m * 31 + n) as u64);
                    if op == ReduceOp::Prod {
                        data.iter_mut().for_each(|v| *v = if *v > 7.0 { -1.0 } else { 1.0 });
                    }
                    let strides = if column { [1, m as i64] } else { [n as i64, 1] };
                    let mut b = Build::default();
                    let x = b.load(0, at(0, &strides), dtype, true);
                    let r = b.reduce(op, x);
                    let out = b.program.lines[r as usize].dtype;
                    b.store(r, 1, at(0, &[1]), false);
                    check(nest(&[m], &[n], b), &[Values::new(dtype, data)], &[(out, m)], &[]);
                }
            }
        }
    }
}

#[test]
fn reductions_propagate_nan_and_serve_booleans() {
    for column in [false, true] {
        let (m, n) = (3, 700);
        for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::ArgMax, ReduceOp::ArgMin, ReduceOp::Sum] {
            let mut data = numbers(m * n, 5);
            data[n + 3] = f64::NAN;
            data[n + 9] = f64::NAN;
            let mut b = Build::default();
            let x = b.load(0, at(0, &if column { [1, m as i64] } else { [n as i64, 1] }), F, true);
            let r = b.reduce(op, x);
            let out = b.program.lines[r as usize].dtype;
            b.store(r, 1, at(0, &[1]), false);
            check(nest(&[m], &[n], b), &[Values::new(F, data)], &[(out, m)], &[]);
        }
        // any and all of x < 7
        let mut b = Build::default();
        let x = b.load(0, at(0, &if column { [1, m as i64] } else { [n as i64, 1] }), F, true);
        let seven = b.param(0, F);
        let less = b.binary(&LESS, x, seven);
        let (any, all) = (b.reduce(ReduceOp::Max, less), b.reduce(ReduceOp::Min, less));
        let nan = b.unary(&IS_NAN, x);
        let count = b.cast(nan, DType::I32);
        let count = b.reduce(ReduceOp::Sum, count);
        b.store(any, 1, at(0, &[1]), false);
        b.store(all, 2, at(0, &[1]), false);
        b.store(count, 3, at(0, &[1]), false);
        let outputs = [(DType::Bool, m), (DType::Bool, m), (DType::I32, m)];
        check(nest(&[m], &[n], b), &[values(F, m * n, 6)], &outputs, &[7.0]);
    }
}

/// exp(x - max) / sum, stored with the sum; `strides` of x and of the result.
fn softmax(x_strides: [i64; 2], y_strides: [i64; 2], in_place: bool) -> Build {
    let mut b = Build::default();
    let x = b.load(0, at(0, &x_strides), F, true);
    let max = b.reduce(ReduceOp::Max, x);
    let shifted = b.binary(&SUB, x, max);
    let e = b.unary(&EXP, shifted);
    let sum = b.reduce(ReduceOp::Sum, e);
    let y = b.binary(&DIV, e, sum);
    b.store(y, if in_place { 0 } else { 1 }, at(0, &y_strides), true);
    b.store(sum, if in_place { 1 } else { 2 }, at(0, &[1]), false);
    b
}

#[test]
fn softmax_of_rows_and_columns() {
    for (m, n) in [
        (1, 1),
        (9, 10),
        (200, 10),
        (30, 1000),
        (3, 9000),
        (1, 140_000),
        (600, 50),
        (2000, 9),
        (50, 3000),
        (300, 200),
        (1100, 130),
    ] {
        let (rows, cols) = ([n as i64, 1], [1, m as i64]);
        for (x, y) in [(rows, rows), (cols, cols), (rows, cols), (cols, rows)] {
            let leaves = [values(F, m * n, (m + n) as u64)];
            check(nest(&[m], &[n], softmax(x, y, false)), &leaves, &[(F, m * n), (F, m)], &[]);
            if x == y {
                check(nest(&[m], &[n], softmax(x, y, true)), &leaves, &[(F, m)], &[]);
            }
        }
    }
}

#[test]
fn rows_take_gains_and_what_they_overwrite() {
    // x = (x - sum(x) * c) * gain - x / scale[row] + c, over rows of two dimensions; the gain is one for all rows.
    for (m, inner) in
        [(1, [5, 1]), (7, [3, 11]), (40, [8, 5]), (9, [1, 1024]), (300, [4, 25]), (3, [2, 4500]), (2, [90_000, 1])]
    {
        for gain_at in [[inner[1] as i64, 1], [0, 1], [1, 0]] {
            let n = inner[0] * inner[1];
            let strides = [n as i64, inner[1] as i64, 1];
            let mut b = Build::default();
            let x = b.load(0, at(0, &strides), F, true);
            let gain = b.load(1, at(0, &[0, gain_at[0], gain_at[1]]), F, true);
            let (scale, c) = (b.load(2, at(0, &[1]), F, false), b.param(0, F));
            let sum = b.reduce(ReduceOp::Sum, x);
            let mean = b.binary(&MUL, sum, c);
            let y = b.binary(&SUB, x, mean);
            let y = b.binary(&MUL, y, gain);
            let part = b.binary(&DIV, x, scale);
            let y = b.binary(&SUB, y, part);
            let c = b.line(Instr::Repeat(c), F, true);
            let y = b.binary(&ADD, y, c);
            b.store(y, 0, at(0, &strides), true);
            let leaves = [values(F, m * n, 3), values(F, n, 4), values(F, m, 5)];
            check(nest(&[m], &inner, b), &leaves, &[], &[0.01]);
        }
    }
}

#[test]
fn softmax_of_many_long_columns() {
    let (m, n) = (7200, 130);
    let cols = [1, m as i64];
    check(nest(&[m], &[n], softmax(cols, cols, false)), &[values(F, m * n, 5)], &[(F, m * n), (F, m)], &[]);
}

#[test]
fn normalisation_over_several_axes_with_a_running_mean() {
    // x (b, s, c), statistics over b and s for each channel; y = (x - mean) * gain[c]; running = running * 0.5 + mean.
    for (batch, s, c) in [(2, 3, 4), (16, 100, 8), (8, 400, 64), (4, 3, 2000)] {
        let (n, inner) = (batch * s, [batch, s]);
        let strides = [1, (s * c) as i64, c as i64];
        let mut b = Build::default();
        let x = b.load(0, at(0, &strides), F, true);
        let gain = b.load(1, at(0, &[1]), F, false);
        let running = b.load(2, at(0, &[1]), F, false);
        let (half, count) = (b.param(0, F), b.param(1, F));
        let sum = b.reduce(ReduceOp::Sum, x);
        let mean = b.binary(&DIV, sum, count);
        let centred = b.binary(&SUB, x, mean);
        let square = b.binary(&MUL, centred, centred);
        let total = b.reduce(ReduceOp::Sum, square);
        let scaled = b.binary(&MUL, centred, gain);
        let scaled = b.binary(&ADD, scaled, total);
        b.store(scaled, 3, at(0, &strides), true);
        let kept = b.binary(&MUL, running, half);
        let kept = b.binary(&ADD, kept, mean);
        b.store(kept, 2, at(0, &[1]), false);
        let leaves = [values(F, n * c, 1), values(F, c, 2), values(F, c, 3)];
        check(nest(&[c], &inner, b), &leaves, &[(F, n * c)], &[0.5, n as f64]);
    }
}

#[test]
fn middle_axes_and_broadcast_inputs() {
    // Sum over the middle axis of x * w[c], and over the outer ones at once.
    for (a, n, c) in [(3, 4, 5), (5, 100, 40), (40, 7, 300), (2, 3000, 2)] {
        let mut b = Build::default();
        let x = b.load(0, at(0, &[(n * c) as i64, 1, c as i64]), F, true);
        let w = b.load(1, at(0, &[0, 1]), F, false);
        let i = b.index(at(0, &[0, 0, 1]), true);
        let i = b.cast(i, F);
        let y = b.binary(&MUL, x, w);
        let y = b.binary(&ADD, y, i);
        let r = b.reduce(ReduceOp::Sum, y);
        let top = b.reduce(ReduceOp::ArgMax, x);
        b.store(r, 2, flat(&[a, c]), false);
        b.store(top, 3, flat(&[a, c]), false);
        let leaves = [values(F, a * n * c, 3), values(F, c, 4)];
        check(nest(&[a, c], &[n], b), &leaves, &[(F, a * c), (DType::I32, a * c)], &[]);
        let mut b = Build::default();
        let x = b.load(0, at(0, &[c as i64, (n * c) as i64, 1]), F, true);
        let r = b.reduce(ReduceOp::Sum, x);
        b.store(r, 2, at(0, &[1]), false);
        check(nest(&[n], &[a, c], b), &leaves, &[(F, n)], &[]);
    }
}

#[test]
fn cross_entropy_with_a_gathered_label() {
    // -(x[label] - max - sum(exp)) with the label read for each row; the pick depends on the outer point only.
    for (m, n) in [(4, 3), (64, 10), (40, 900)] {
        let mut b = Build::default();
        let label = b.load(1, at(0, &[1]), DType::I32, false);
        let picked = b.gather(0, at(0, &[n as i64]), &[(label, n, 1)], F, false);
        let x = b.load(0, at(0, &[n as i64, 1]), F, true);
        let max = b.reduce(ReduceOp::Max, x);
        let shifted = b.binary(&SUB, x, max);
        let e = b.unary(&EXP, shifted);
        let sum = b.reduce(ReduceOp::Sum, e);
        let loss = b.binary(&SUB, max, picked);
        let loss = b.binary(&ADD, loss, sum);
        b.store(loss, 2, at(0, &[1]), false);
        let labels = numbers(m, 3).iter().map(|v| v.rem_euclid(n as f64)).collect();
        let leaves = [values(F, m * n, 2), Values::new(DType::I32, labels)];
        check(nest(&[m], &[n], b), &leaves, &[(F, m)], &[]);
    }
}

#[test]
fn conversions_saturate() {
    let x = Values::new(DType::F64, vec![-3.9, 2.5, 1e20, -1e20, f64::NAN, 0.0, 4e9, -0.0]);
    for to in [DType::F32, DType::I32, DType::U32, DType::Bool] {
        let mut b = Build::default();
        let v = b.load(0, at(0, &[1]), DType::F64, false);
        let y = b.cast(v, to);
        b.store(y, 1, at(0, &[1]), false);
        check(nest(&[8], &[], b), std::slice::from_ref(&x), &[(to, 8)], &[]);
    }
    let i = Values::new(DType::I32, vec![-3.0, 0.0, 2147483647.0]);
    for to in [DType::F32, DType::F64, DType::Bool] {
        let mut b = Build::default();
        let v = b.load(0, at(0, &[1]), DType::I32, false);
        let y = b.cast(v, to);
        b.store(y, 1, at(0, &[1]), false);
        check(nest(&[3], &[], b), std::slice::from_ref(&i), &[(to, 3)], &[]);
    }
}

#[test]
fn wrong_plans_are_errors() {
    let mut b = Build::default();
    let x = b.load(0, at(1, &[1]), F, false);
    b.store(x, 1, at(0, &[1]), false);
    let leaf = values(F, 10, 1);
    let plan = single(nest(&[10], &[], b), &[&leaf], &[(F, 10)], 0);
    let cpu = CpuBackend::open(&DeviceOptions::default());
    let error = cpu.prepare(Arc::new(plan)).err().expect("reads past the end");
    assert!(error.to_string().contains("1..=10"), "{error}");
}
