//! Products of matrices in memory, by the real parts of the `gemm` crate (`gemm` itself brings complex numbers too).

use std::ops::Range;

use gemm_common::Parallelism;

use crate::backend::cpu::threads::{each, threads};
use crate::error::{Error, Result};

/// Picoseconds that a multiplication and its addition take on one thread.
pub(in crate::backend::cpu) const MULTIPLY: usize = 50;

/// Elements that matrices can be made of.
pub(in crate::backend::cpu) trait Float:
    bytemuck::Pod + Send + Sync + std::ops::AddAssign + std::ops::Mul<Output = Self> + 'static
{
    const ZERO: Self;
    const ONE: Self;
    /// The product for this processor.
    fn kernel() -> Multiply<Self>;
}

/// `dst = alpha * dst + beta * lhs * rhs`: sizes `m, n, k`; each matrix with its steps between columns and between rows,
/// the former not negative for `dst` and `lhs`; whether `dst` is read; `alpha`, `beta`; conjugations; threads.
#[rustfmt::skip]
type Multiply<T> = unsafe fn(
    usize, usize, usize, *mut T, isize, isize, bool, *const T, isize, isize, *const T, isize, isize,
    T, T, bool, bool, bool, Parallelism,
);

macro_rules! float {
    ($t:ty, $kernel:path) => {
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn kernel() -> Multiply<Self> {
                $kernel()
            }
        }
    };
}
float!(f32, gemm_f32::gemm::f32::get_gemm_fn);
float!(f64, gemm_f64::gemm::f64::get_gemm_fn);

/// A matrix inside a slice: where its first element is, and the steps between rows and columns.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct View {
    pub(in crate::backend::cpu) offset: i64,
    pub(in crate::backend::cpu) row: i64,
    pub(in crate::backend::cpu) col: i64,
}

impl View {
    /// Row-major with `cols` columns, from `offset` on.
    pub(in crate::backend::cpu) fn rows(offset: usize, cols: usize) -> Self {
        View { offset: offset as i64, row: cols as i64, col: 1 }
    }

    /// The least and greatest index of a matrix of this size (neither dimension 0).
    fn reach(&self, rows: usize, cols: usize) -> (i64, i64) {
        let (r, c) = (self.row * (rows as i64 - 1), self.col * (cols as i64 - 1));
        (self.offset + r.min(0) + c.min(0), self.offset + r.max(0) + c.max(0))
    }
}

/// Up to so many multiplications a product is computed in place: a kernel of the `gemm` crate costs more than that before
/// it begins, for it clears the memory that it packs into.
const TINY: usize = 512;

/// The kernels sum over as much of `k` at once, at least, before they add it to the destination.
const PIECE: usize = 512;

/// Rows that are computed side by side where they stand in for columns: two vectors of the widest. With more of them the
/// kernels take several times as long for each.
const SIDE_BY_SIDE: usize = 32;

/// How many of `rows` go side by side: about equal groups, so that none is of few rows, whose sums are others.
fn group(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(SIDE_BY_SIDE))
}

/// A place that threads write different elements of.
struct Shared<T>(*mut T);

#[allow(unsafe_code, reason = "each thread writes elements of its own; see where that is made sure")]
// SAFETY: it is no more than an address. Whoever writes there makes sure that nobody else does.
unsafe impl<T: Send> Sync for Shared<T> {}

/// [`product`] of a few elements, of matrices that lie within their slices.
fn tiny<T: Float>((m, n, k): (usize, usize, usize), dst: &mut [T], add: bool, a: &[T], av: View, b: &[T], bv: View) {
    let at = |v: View, row: usize, col: usize| (v.offset + row as i64 * v.row + col as i64 * v.col) as usize;
    if !add {
        dst.fill(T::ZERO);
    }
    for (i, row) in dst.chunks_exact_mut(n).enumerate().take(m) {
        for l in 0..k {
            let x = a[at(av, i, l)];
            match bv.col {
                1 => {
                    let first = at(bv, l, 0);
                    row.iter_mut().zip(&b[first..first + n]).for_each(|(to, &y)| *to += x * y);
                }
                _ => row.iter_mut().enumerate().for_each(|(j, to)| *to += x * b[at(bv, l, j)]),
            }
        }
    }
}

/// The rows and columns that the kernels compute at a time.
const UNIT: (usize, usize) = (6, 64);

/// The fewest rows that the kernels compute with the same sums as all of them; see [`parts`].
fn least_rows(n: usize, k: usize) -> usize {
    (257 / n.max(1) + 1).max(if k > PIECE && n <= 64 { 72 } else { 12 })
}

/// Into how many parts the rows and the columns of a product of `m x n` elements are divided for threads, where the
/// kernels' vectors run along the columns. Every part is one that they compute with the same sums as the whole, so that the
/// bits do not depend on the number of threads: they sum over a long `k` in other pieces where neither side has more than
/// 64, and in other ways for single rows and columns and for up to 256 elements.
fn parts((m, n, k): (usize, usize, usize), threads: usize) -> (usize, usize) {
    let least_rows = least_rows(n, k);
    let least_cols = (257 / m.max(1) + 1).max(if k > PIECE { 128 } else { 64 });
    let most = |len: usize, unit: usize, least: usize| (len / unit / least.div_ceil(unit)).max(1);
    let (most_down, most_across) = (most(m, UNIT.0, least_rows), most(n, UNIT.1, least_cols));
    let divided = |down: usize| (down.min(most_down), (threads / down).min(most_across));
    // What is packed once for each part, as against what is multiplied by it.
    let cost = |&(down, across): &(usize, usize)| {
        let (rows, cols) = (m.div_ceil(down), n.div_ceil(across));
        rows * cols + 32 * (rows + cols)
    };
    (1..=threads).filter(|down| threads.is_multiple_of(*down)).map(divided).min_by_key(cost).unwrap_or((1, 1))
}

/// Whether few rows are computed as they are, side by side in vectors, and scattered to their places: `b` runs along `k`, and
/// would have to be turned for another order.
fn is_direct((m, k): (usize, usize), a: View, b: View) -> bool {
    b.row == 1 && b.col != 1 && a.col >= 0 && 4 * m <= k.min(PIECE)
}

/// The rows of each part of a product that is divided by its rows only, into a part for each of so many threads; `None` where
/// that are too few rows, or other sums, or where rows in whole units leave a quarter of the threads without any.
pub(in crate::backend::cpu) fn row_parts(
    (m, n, k): (usize, usize, usize),
    a: View,
    b: View,
    threads: usize,
) -> Option<usize> {
    let direct = is_direct((m, k), a, b);
    let rows = m.div_ceil(threads).next_multiple_of(if direct { SIDE_BY_SIDE / 2 } else { UNIT.0 });
    let last = m - (m - 1) / rows * rows;
    // (A group of the direct ones, of the whole or of a part that is not too small, has 12 rows or more.)
    let alike = |rows: usize| is_direct((rows, k), a, b) == direct && (!direct || 12 * n > 256);
    let busy = rows < m && 4 * m.div_ceil(rows) >= 3 * threads;
    (busy && last >= least_rows(n, k) && alike(rows) && alike(last)).then_some(rows)
}

/// Where part `i` of `count` is in `len`: in whole units but for the end.
fn part(len: usize, unit: usize, count: usize, i: usize) -> Range<usize> {
    let at = |i: usize| if i == count { len } else { len / unit * i / count * unit };
    at(i)..at(i + 1)
}

/// `dst = a * b`, or `dst += a * b` where `add`; `dst` is `m x n`, row-major and contiguous. All threads compute it if it is
/// to be `divided`.
#[allow(clippy::too_many_arguments, reason = "the arguments of a matrix product")]
#[allow(unsafe_code, reason = "the gemm crate takes raw pointers; all bounds are checked first")]
pub(in crate::backend::cpu) fn product<T: Float>(
    (m, n, k): (usize, usize, usize),
    dst: &mut [T],
    add: bool,
    a: &[T],
    av: View,
    b: &[T],
    bv: View,
    divided: bool,
) -> Result<()> {
    let dst = dst.get_mut(..m * n).ok_or_else(|| Error::internal("a product larger than its place"))?;
    if dst.is_empty() {
        return Ok(());
    }
    if k == 0 {
        if !add {
            dst.fill(T::ZERO);
        }
        return Ok(());
    }
    for (len, (low, high)) in [(a.len(), av.reach(m, k)), (b.len(), bv.reach(k, n))] {
        if low < 0 || high >= len as i64 {
            return Err(Error::internal(format!("a matrix reaches {low}..={high} of {len} elements")));
        }
    }
    if m.saturating_mul(n).saturating_mul(k) <= TINY {
        tiny((m, n, k), dst, add, a, av, b, bv);
        return Ok(());
    }
    // The kernels want a destination whose columns are contiguous, so this computes its transpose from the operands'
    // transposes, if not few rows are better computed as they are; and they walk the left one's columns, here the rows of `b`,
    // upwards.
    let (mut av, mut bv) = (av, bv);
    let direct = is_direct((m, k), av, bv);
    if bv.row < 0 {
        let last = k as i64 - 1;
        (bv.offset, av.offset) = (bv.offset + last * bv.row, av.offset + last * av.col);
        (bv.row, av.col) = (-bv.row, -av.col);
    }
    let (down, across) = match (divided, direct) {
        (false, _) => (1, 1),
        (true, false) => parts((m, n, k), threads()),
        (true, true) => {
            // The rows of the smallest group decide how few columns have the same sums.
            let some = group(m);
            (1, parts((n, m - (m - 1) / some * some, k), threads()).0)
        }
    };
    let (high, wide) = if direct { (UNIT.1, UNIT.0) } else { UNIT };
    let all = (0..down * across).map(|i| (part(m, high, down, i / across), part(n, wide, across, i % across)));
    let to = Shared(dst.as_mut_ptr());
    each(down * across > 1, all, |_, (rows, cols)| {
        let to = &to;
        let (a_at, b_at) = (av.offset + rows.start as i64 * av.row, bv.offset + cols.start as i64 * bv.col);
        // SAFETY: `dst` holds m * n elements and is borrowed mutably, so it overlaps neither operand; its strides (n, 1)
        // stay within them, and the parts `rows` by `cols` of it do not overlap each other. The pointers to `a`
        // and `b` point at elements of the slices, as every `offset + i * row + j * col` of the m x k and k x n matrices lies
        // between the bounds of `reach`, which were found to be within the slices above; turning the direction of `k` keeps
        // the set of elements.
        unsafe {
            let to = to.0.add(rows.start * n + cols.start);
            let (rows, cols) = (rows.len(), cols.len());
            let (a, b) = (a.as_ptr().offset(a_at as isize), b.as_ptr().offset(b_at as isize));
            let [ar, ac, br, bc] = [av.row, av.col, bv.row, bv.col].map(|step| step as isize);
            let (one, alone) = (T::ONE, Parallelism::None);
            let (kernel, n) = (T::kernel(), n as isize);
            if !direct {
                kernel(cols, rows, k, to, n, 1, add, b, br, bc, a, ar, ac, one, one, false, false, false, alone);
                return;
            }
            let some = group(rows);
            for row in (0..rows).step_by(some) {
                let (rows, to) = (some.min(rows - row), to.offset(row as isize * n));
                let a = a.offset(row as isize * ar);
                kernel(rows, cols, k, to, 1, n, add, a, ac, ar, b, bc, br, one, one, false, false, false, alone);
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::threads::Pool;

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let numbers = |n: usize| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.37).sin() * 1.7).collect() };
        let pools = [1, 2, 3, 4, 8, 12].map(Pool::new);
        let sizes = [1, 2, 5, 12, 13, 33, 64, 65, 128, 200];
        let more = [(300, 7), (7, 900), (64, 784), (33, 36), (65, 36), (96, 10), (96, 21), (96, 40), (48, 300)];
        let more = more.into_iter().chain([(33, 24), (40, 100), (97, 10), (74, 10), (128, 10)]);
        let mut divided = 0;
        for (m, n) in sizes.iter().flat_map(|&m| sizes.map(|n| (m, n))).chain(more) {
            for k in [3, 64, 130, 300, 400, 513, 784] {
                let (a, b) = (numbers(m * k), numbers(k * n));
                for (a_turned, b_turned) in [(false, false), (false, true), (true, false), (true, true)] {
                    let view = |turned, rows: usize, cols: usize| match turned {
                        true => View { offset: 0, row: 1, col: rows as i64 },
                        false => View::rows(0, cols),
                    };
                    let (av, bv) = (view(a_turned, m, k), view(b_turned, k, n));
                    let on = |pool: &Pool| {
                        let mut dst = vec![f32::NAN; m * n];
                        pool.run(|| product((m, n, k), &mut dst, false, &a, av, &b, bv, true)).unwrap();
                        dst.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
                    };
                    let alone = on(&pools[0]);
                    let same = pools[1..].iter().all(|pool| on(pool) == alone);
                    // By rows, as where something follows.
                    let by_rows = |threads: usize| {
                        let rows = row_parts((m, n, k), av, bv, threads)?;
                        let mut dst = vec![f32::NAN; m * n];
                        for (i, part) in dst.chunks_mut(rows * n).enumerate() {
                            let av = View { offset: av.offset + (i * rows) as i64 * av.row, ..av };
                            product((part.len() / n, n, k), part, false, &a, av, &b, bv, false).unwrap();
                        }
                        Some(dst.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
                    };
                    let parts = [2, 3, 4, 8, 12].map(by_rows);
                    divided += parts.iter().flatten().count();
                    let same = same && parts.iter().flatten().all(|bits| *bits == alone);
                    assert!(same, "{m} x {n} x {k}, turned {a_turned} {b_turned}");
                }
            }
        }
        assert!(divided > 500, "{divided}");
    }
}
