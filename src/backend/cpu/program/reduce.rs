//! Accumulators of reductions: along rows of a block (segments) or down its columns, merged in a fixed order.

use std::hint::black_box;

use crate::dtype::DType;
use crate::ir::math::vectorize;
use crate::ir::program::ReduceOp;

/// The running values of one reduction for a number of outer points ("lanes").
/// Sums and products of `f32` are kept in `f64` between blocks: short vectorised runs add in `f32`, their results in `f64`.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Acc {
    op: ReduceOp,
    dtype: DType,
    values: Values,
    /// Positions for `ArgMax` and `ArgMin`; -1 before the first value.
    index: Vec<i32>,
}

#[derive(Clone, Debug)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    U32(Vec<u32>),
}

/// How the values of a block belong to lanes.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Tile {
    /// Lanes vary fastest (column layout); otherwise each lane is a segment of `inner` values.
    pub(in crate::backend::cpu) column: bool,
    /// The first lane of the block, in the accumulators.
    pub(in crate::backend::cpu) lane: usize,
    pub(in crate::backend::cpu) lanes: usize,
    /// The first inner position of the block.
    pub(in crate::backend::cpu) at: usize,
    /// Inner positions in the block.
    pub(in crate::backend::cpu) inner: usize,
}

/// A block of operand values.
pub(in crate::backend::cpu) enum Operand<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I32(&'a [i32]),
    U32(&'a [u32]),
}

trait Number: Copy + PartialOrd + Send + Sync + 'static {
    const LOWEST: Self;
    const HIGHEST: Self;
}
macro_rules! number {
    ($($t:ty: $low:expr, $high:expr;)*) => {$(
        impl Number for $t {
            const LOWEST: Self = $low;
            const HIGHEST: Self = $high;
        }
    )*};
}
number! {
    f32: f32::NEG_INFINITY, f32::INFINITY;
    f64: f64::NEG_INFINITY, f64::INFINITY;
    i32: i32::MIN, i32::MAX;
    u32: u32::MIN, u32::MAX;
}

/// The greater of two, or the NaN among them. (`a != a` is the NaN test that serves integers too.)
#[inline(always)]
#[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
fn greater<T: Number>(a: T, b: T) -> T {
    if (b > a) | (b != b) { b } else { a }
}

#[inline(always)]
#[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
fn lesser<T: Number>(a: T, b: T) -> T {
    if (b < a) | (b != b) { b } else { a }
}

/// Whether `new` takes the place of `old` in `ArgMax` (`ArgMin` where `MIN`).
#[inline(always)]
#[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
fn beats<T: Number, const MIN: bool>(new: T, old: T) -> bool {
    let better = if MIN { new < old } else { new > old };
    better | ((new != new) & (old == old))
}

/// `f` of each two values. (The compiler keeps arrays in registers that are only used as a whole.)
#[inline(always)]
fn both<T: Copy, const L: usize>(a: &[T; L], b: &[T; L], f: impl Fn(T, T) -> T) -> [T; L] {
    let mut out = *a;
    for i in 0..L {
        out[i] = f(a[i], b[i]);
    }
    out
}

/// The first half of the values with the second.
#[inline(always)]
fn halved<T: Copy, const L: usize, const H: usize>(a: [T; L], f: impl Fn(T, T) -> T) -> [T; H] {
    let mut out = [a[0]; H];
    for i in 0..H {
        out[i] = f(a[i], a[i + H]);
    }
    out
}

/// Folds with many independent accumulators, then these in halves.
#[inline(always)]
fn fold<T: Copy>(x: &[T], id: T, f: impl Fn(T, T) -> T + Copy) -> T {
    #[inline(always)]
    fn lanes<T: Copy, const L: usize>(x: &[T], id: T, f: impl Fn(T, T) -> T + Copy, all: impl Fn([T; L]) -> T) -> T {
        let (chunks, rest) = x.as_chunks::<L>();
        let mut sums = [id; L];
        for chunk in chunks {
            sums = both(&sums, chunk, f);
        }
        if rest.is_empty() {
            return all(sums);
        }
        // A copy, so that only this one has to lie in memory.
        let mut acc = sums;
        for (a, &v) in acc.iter_mut().zip(rest) {
            *a = f(*a, v);
        }
        all(acc)
    }
    #[inline(always)]
    fn of_16<T: Copy>(a: [T; 16], f: impl Fn(T, T) -> T + Copy) -> T {
        let a: [T; 4] = halved(halved::<T, 16, 8>(a, f), f);
        f(f(a[0], a[2]), f(a[1], a[3]))
    }
    match x.len() {
        0..16 => x.iter().fold(id, |a, &v| f(a, v)),
        16..128 => lanes::<T, 16>(
            x,
            id,
            f,
            #[inline(always)]
            |a| of_16(a, f),
        ),
        _ => lanes::<T, 64>(
            x,
            id,
            f,
            #[inline(always)]
            |a| of_16(halved(halved::<T, 64, 32>(a, f), f), f),
        ),
    }
}

/// Values folded in `f32` before their result joins an `f64`.
pub(super) const RUN: usize = 1024;

/// Folds each segment, then joins it to its lane: `T` within runs, `A` between them.
#[inline(always)]
fn segments<T: Copy + Send, A: Copy>(
    acc: &mut [A],
    x: &[T],
    inner: usize,
    id: T,
    f: impl Fn(T, T) -> T + Copy,
    join: impl Fn(A, T) -> A + Copy,
) {
    if inner == 0 {
        return;
    }
    vectorize(
        #[inline(always)]
        || {
            for (a, segment) in acc.iter_mut().zip(x.chunks_exact(inner)) {
                for run in segment.chunks(RUN) {
                    *a = join(*a, fold(run, id, f));
                }
            }
        },
    );
}

/// Joins every row of lanes to the accumulators.
#[inline(always)]
fn columns<T: Copy + Send, A: Copy>(
    acc: &mut [A],
    x: &[T],
    id: T,
    f: impl Fn(T, T) -> T + Copy,
    join: impl Fn(A, T) -> A + Copy,
) {
    const GROUP: usize = 64;
    let lanes = acc.len();
    if lanes == 0 {
        return;
    }
    vectorize(
        #[inline(always)]
        || {
            if x.len() < 4 * lanes {
                for row in x.chunks_exact(lanes) {
                    for (a, &v) in acc.iter_mut().zip(row) {
                        *a = join(*a, v);
                    }
                }
                return;
            }
            if lanes <= GROUP / 2 {
                // Few lanes: several rows side by side fill the vectors.
                let times = GROUP / lanes;
                let (wide, mut sums) = (times * lanes, [id; GROUP]);
                let mut rows = x.chunks_exact(wide);
                for row in &mut rows {
                    for (s, &v) in sums[..wide].iter_mut().zip(row) {
                        *s = f(*s, v);
                    }
                }
                for (s, &v) in sums.iter_mut().zip(rows.remainder()) {
                    *s = f(*s, v);
                }
                for row in sums[..wide].chunks_exact(lanes) {
                    for (a, &s) in acc.iter_mut().zip(row) {
                        *a = join(*a, s);
                    }
                }
                return;
            }
            for (g, group) in acc.chunks_mut(GROUP).enumerate() {
                let rows = || x.chunks_exact(lanes).map(|row| &row[g * GROUP..]);
                if group.len() == GROUP {
                    let mut sums = [id; GROUP];
                    for row in rows().filter_map(|row| row.first_chunk::<GROUP>()) {
                        sums = both(&sums, row, f);
                    }
                    for (a, &s) in group.iter_mut().zip(&sums) {
                        *a = join(*a, s);
                    }
                } else {
                    let mut sums = [id; GROUP];
                    for row in rows() {
                        for (s, &v) in sums.iter_mut().zip(row) {
                            *s = f(*s, v);
                        }
                    }
                    for (a, &s) in group.iter_mut().zip(&sums) {
                        *a = join(*a, s);
                    }
                }
            }
        },
    );
}

/// Both layouts of a reduction whose accumulator may be wider than its values.
#[inline(always)]
fn reduce<T: Copy + Send, A: Copy>(
    acc: &mut [A],
    x: &[T],
    tile: Tile,
    id: T,
    f: impl Fn(T, T) -> T + Copy,
    join: impl Fn(A, T) -> A + Copy,
) {
    let acc = &mut acc[tile.lane..][..tile.lanes];
    if tile.column { columns(acc, x, id, f, join) } else { segments(acc, x, tile.inner, id, f, join) }
}

#[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
fn locate<T: Number, const MIN: bool>(acc: &mut [T], index: &mut [i32], x: &[T], tile: Tile) {
    let acc = &mut acc[tile.lane..][..tile.lanes];
    let index = &mut index[tile.lane..][..tile.lanes];
    if tile.column {
        vectorize(
            #[inline(always)]
            || {
                for (j, row) in x.chunks_exact(tile.lanes).enumerate() {
                    let at = (tile.at + j) as i32;
                    for ((a, i), &v) in acc.iter_mut().zip(index.iter_mut()).zip(row) {
                        let take = (*i < 0) | beats::<T, MIN>(v, *a);
                        *a = if take { v } else { *a };
                        *i = if take { at } else { *i };
                    }
                }
            },
        );
        return;
    }
    for ((a, i), segment) in acc.iter_mut().zip(index).zip(x.chunks_exact(tile.inner)) {
        let best = vectorize(
            #[inline(always)]
            || if MIN { fold(segment, T::HIGHEST, lesser) } else { fold(segment, T::LOWEST, greater) },
        );
        if *i < 0 || beats::<T, MIN>(best, *a) {
            let first = segment.iter().position(|&v| v == best || (v != v && best != best));
            *a = best;
            *i = (tile.at + first.unwrap_or(0)) as i32;
        }
    }
}

impl Acc {
    pub(in crate::backend::cpu) fn new(op: ReduceOp, dtype: DType, lanes: usize) -> Self {
        let float = matches!(op, ReduceOp::Sum | ReduceOp::Prod);
        let values = match dtype {
            DType::F32 if float => Values::F64(vec![0.0; lanes]),
            DType::F32 => Values::F32(vec![0.0; lanes]),
            DType::F64 => Values::F64(vec![0.0; lanes]),
            DType::I32 => Values::I32(vec![0; lanes]),
            _ => Values::U32(vec![0; lanes]),
        };
        let arg = matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
        let mut acc = Acc { op, dtype, values, index: vec![-1; if arg { lanes } else { 0 }] };
        acc.reset();
        acc
    }

    /// Back to the identities.
    pub(in crate::backend::cpu) fn reset(&mut self) {
        fn id<T: Number>(op: ReduceOp, zero: T, one: T) -> T {
            match op {
                ReduceOp::Sum => zero,
                ReduceOp::Prod => one,
                ReduceOp::Max | ReduceOp::ArgMax => T::LOWEST,
                ReduceOp::Min | ReduceOp::ArgMin => T::HIGHEST,
            }
        }
        match &mut self.values {
            Values::F32(v) => v.fill(id(self.op, 0.0, 1.0)),
            // (A call to clear so few bytes was a tenth of summing rows of 1024.)
            Values::F64(v) => v.fill(black_box(id(self.op, 0.0, 1.0))),
            Values::I32(v) => v.fill(id(self.op, 0, 1)),
            Values::U32(v) => {
                v.fill(if self.dtype == DType::Bool { id(self.op, 0, 1).min(1) } else { id(self.op, 0, 1) })
            }
        }
        if !self.index.is_empty() {
            self.index.fill(-1);
        }
    }

    /// Takes in a block of values.
    pub(in crate::backend::cpu) fn add(&mut self, x: &Operand<'_>, tile: Tile) {
        use ReduceOp as R;
        let index = &mut self.index;
        match (&mut self.values, x, self.op) {
            (Values::F64(a), Operand::F32(x), R::Sum) => reduce(a, x, tile, 0.0, |a, b| a + b, |a, v| a + f64::from(v)),
            (Values::F64(a), Operand::F32(x), R::Prod) => {
                reduce(a, x, tile, 1.0, |a, b| a * b, |a, v| a * f64::from(v))
            }
            (Values::F64(a), Operand::F64(x), R::Sum) => reduce(a, x, tile, 0.0, |a, b| a + b, |a, v| a + v),
            (Values::F64(a), Operand::F64(x), R::Prod) => reduce(a, x, tile, 1.0, |a, b| a * b, |a, v| a * v),
            (Values::I32(a), Operand::I32(x), R::Sum) => reduce(a, x, tile, 0, i32::wrapping_add, i32::wrapping_add),
            (Values::I32(a), Operand::I32(x), R::Prod) => reduce(a, x, tile, 1, i32::wrapping_mul, i32::wrapping_mul),
            (Values::U32(a), Operand::U32(x), R::Sum) => reduce(a, x, tile, 0, u32::wrapping_add, u32::wrapping_add),
            (Values::U32(a), Operand::U32(x), R::Prod) => reduce(a, x, tile, 1, u32::wrapping_mul, u32::wrapping_mul),
            (Values::F32(a), Operand::F32(x), R::Max) => reduce(a, x, tile, f32::LOWEST, greater, greater),
            (Values::F32(a), Operand::F32(x), R::Min) => reduce(a, x, tile, f32::HIGHEST, lesser, lesser),
            (Values::F64(a), Operand::F64(x), R::Max) => reduce(a, x, tile, f64::LOWEST, greater, greater),
            (Values::F64(a), Operand::F64(x), R::Min) => reduce(a, x, tile, f64::HIGHEST, lesser, lesser),
            (Values::I32(a), Operand::I32(x), R::Max) => reduce(a, x, tile, i32::LOWEST, greater, greater),
            (Values::I32(a), Operand::I32(x), R::Min) => reduce(a, x, tile, i32::HIGHEST, lesser, lesser),
            (Values::U32(a), Operand::U32(x), R::Max) => reduce(a, x, tile, u32::LOWEST, greater, greater),
            (Values::U32(a), Operand::U32(x), R::Min) => reduce(a, x, tile, u32::HIGHEST, lesser, lesser),
            (Values::F32(a), Operand::F32(x), R::ArgMax) => locate::<_, false>(a, index, x, tile),
            (Values::F32(a), Operand::F32(x), R::ArgMin) => locate::<_, true>(a, index, x, tile),
            (Values::F64(a), Operand::F64(x), R::ArgMax) => locate::<_, false>(a, index, x, tile),
            (Values::F64(a), Operand::F64(x), R::ArgMin) => locate::<_, true>(a, index, x, tile),
            (Values::I32(a), Operand::I32(x), R::ArgMax) => locate::<_, false>(a, index, x, tile),
            (Values::I32(a), Operand::I32(x), R::ArgMin) => locate::<_, true>(a, index, x, tile),
            (Values::U32(a), Operand::U32(x), R::ArgMax) => locate::<_, false>(a, index, x, tile),
            (Values::U32(a), Operand::U32(x), R::ArgMin) => locate::<_, true>(a, index, x, tile),
            _ => debug_assert!(false, "an accumulator is made for its operand's type"),
        }
    }

    /// The sums of the lanes of a tile, of values in `f32`.
    pub(super) fn sums(&mut self, tile: Tile) -> &mut [f64] {
        match &mut self.values {
            Values::F64(v) => &mut v[tile.lane..][..tile.lanes],
            _ => &mut [],
        }
    }

    /// Takes in the values of a later part of the inner space.
    pub(in crate::backend::cpu) fn merge(&mut self, later: &Acc) {
        fn join<T: Number>(a: &mut [T], b: &[T], op: ReduceOp, add: fn(T, T) -> T, mul: fn(T, T) -> T) {
            let f = match op {
                ReduceOp::Sum => add,
                ReduceOp::Prod => mul,
                ReduceOp::Max => greater,
                _ => lesser,
            };
            a.iter_mut().zip(b).for_each(|(a, &b)| *a = f(*a, b));
        }
        fn pick<T: Number>(a: &mut [T], i: &mut [i32], b: &[T], j: &[i32], min: bool) {
            let beats = if min { beats::<T, true> } else { beats::<T, false> };
            for (((a, i), &b), &j) in a.iter_mut().zip(i).zip(b).zip(j) {
                if j >= 0 && (*i < 0 || beats(b, *a)) {
                    (*a, *i) = (b, j);
                }
            }
        }
        let op = self.op;
        let arg = matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
        macro_rules! with {
            ($a:expr, $b:expr, $add:expr, $mul:expr) => {
                match arg {
                    true => pick($a, &mut self.index, $b, &later.index, op == ReduceOp::ArgMin),
                    false => join($a, $b, op, $add, $mul),
                }
            };
        }
        match (&mut self.values, &later.values) {
            (Values::F32(a), Values::F32(b)) => with!(a, b, |x, y| x + y, |x, y| x * y),
            (Values::F64(a), Values::F64(b)) => with!(a, b, |x, y| x + y, |x, y| x * y),
            (Values::I32(a), Values::I32(b)) => with!(a, b, i32::wrapping_add, i32::wrapping_mul),
            (Values::U32(a), Values::U32(b)) => with!(a, b, u32::wrapping_add, u32::wrapping_mul),
            _ => debug_assert!(false, "partial results of one reduction have one type"),
        }
    }

    /// Writes the results of the first `lanes` lanes as elements of the reduction's type.
    pub(in crate::backend::cpu) fn finish(&self, lanes: usize, out: &mut [u64]) {
        if !self.index.is_empty() {
            let out: &mut [i32] = bytemuck::cast_slice_mut(out);
            return out.iter_mut().zip(&self.index[..lanes]).for_each(|(o, &i)| *o = i.max(0));
        }
        match &self.values {
            Values::F64(v) if self.dtype == DType::F32 => {
                let out: &mut [f32] = bytemuck::cast_slice_mut(out);
                out.iter_mut().zip(&v[..lanes]).for_each(|(o, &v)| *o = v as f32);
            }
            Values::F32(v) => bytemuck::cast_slice_mut(out)[..lanes].copy_from_slice(&v[..lanes]),
            Values::F64(v) => bytemuck::cast_slice_mut(out)[..lanes].copy_from_slice(&v[..lanes]),
            Values::I32(v) => bytemuck::cast_slice_mut(out)[..lanes].copy_from_slice(&v[..lanes]),
            Values::U32(v) => bytemuck::cast_slice_mut(out)[..lanes].copy_from_slice(&v[..lanes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(x: &[f32]) -> f32 {
        let mut acc = Acc::new(ReduceOp::Sum, DType::F32, 1);
        for (b, block) in x.chunks(1024).enumerate() {
            let tile = Tile { column: false, lane: 0, lanes: 1, at: 1024 * b, inner: block.len() };
            acc.add(&Operand::F32(block), tile);
        }
        let mut out = [0u64];
        acc.finish(1, &mut out);
        f32::from_bits(out[0] as u32)
    }

    #[test]
    fn a_million_floats_sum_accurately() {
        let x: Vec<f32> = (0..1_000_003).map(|i| 0.1 + (i % 7) as f32 * 0.013).collect();
        let exact: f64 = x.iter().map(|&v| f64::from(v)).sum();
        assert!((f64::from(sum(&x)) / exact - 1.0).abs() < 3e-7);
    }

    #[test]
    fn columns_agree_with_rows() {
        for lanes in [1, 3, 64, 70] {
            for inner in [1, 3, 4, 37] {
                let x: Vec<f32> = (0..lanes * inner).map(|i| ((i * 37) % 101) as f32).collect();
                let turned: Vec<f32> = (0..lanes * inner).map(|i| x[i % inner * lanes + i / inner]).collect();
                for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::ArgMin, ReduceOp::ArgMax] {
                    let run = |x: &[f32], column| {
                        let mut acc = Acc::new(op, DType::F32, lanes);
                        acc.add(&Operand::F32(x), Tile { column, lane: 0, lanes, at: 0, inner });
                        let mut out = vec![0u64; lanes];
                        acc.finish(lanes, &mut out);
                        out
                    };
                    assert_eq!(run(&x, true), run(&turned, false), "{op:?} {lanes} {inner}");
                }
            }
        }
    }

    #[test]
    fn nan_wins_and_the_first_of_equals_is_found() {
        let tile = |n| Tile { column: false, lane: 0, lanes: 1, at: 0, inner: n };
        let arg = |op, x: &[f32]| {
            let mut acc = Acc::new(op, DType::F32, 1);
            acc.add(&Operand::F32(x), tile(x.len()));
            acc.index[0]
        };
        assert_eq!(arg(ReduceOp::ArgMax, &[1.0, 3.0, 3.0]), 1);
        assert_eq!(arg(ReduceOp::ArgMin, &[1.0, f32::NAN, 0.0, f32::NAN]), 1);
        assert_eq!(arg(ReduceOp::ArgMax, &[f32::NEG_INFINITY; 3]), 0);
    }
}
