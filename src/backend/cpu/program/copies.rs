//! The inner loops that are not operations of their own: strided copies, conversions, selection, repetition.

use std::ops::{BitAnd, BitOr, Not};

use bytemuck::Pod;

use crate::ir::math::vectorize;

/// Reads `out.len()` elements from `address` on, `stride` apart.
#[inline]
pub(in crate::backend::cpu) fn read<T: Pod>(out: &mut [T], from: &[T], address: i64, stride: i64) {
    let n = out.len();
    if n == 0 {
        return;
    }
    match stride {
        1 => out.copy_from_slice(&from[address as usize..][..n]),
        0 => out.fill(from[address as usize]),
        s if s > 0 => {
            let from = &from[address as usize..];
            out.iter_mut().zip(from.iter().step_by(s as usize)).for_each(|(o, &v)| *o = v);
        }
        s => {
            let from = &from[..=address as usize];
            out.iter_mut().zip(from.iter().rev().step_by(s.unsigned_abs() as usize)).for_each(|(o, &v)| *o = v);
        }
    }
}

/// Fills rows of `len` values column by column: `column` apart from each other, their values `along` apart.
pub(in crate::backend::cpu) fn read_turned<T: Pod>(
    out: &mut [T],
    from: &[T],
    len: usize,
    address: i64,
    along: i64,
    column: i64,
) {
    let rows = out.len() / len;
    for c in 0..len {
        let address = address + c as i64 * column;
        match along {
            1 => {
                let column = &from[address as usize..][..rows];
                out[c..].iter_mut().step_by(len).zip(column).for_each(|(o, &v)| *o = v);
            }
            _ => {
                let at = |r: usize| (address + r as i64 * along) as usize;
                out[c..].iter_mut().step_by(len).enumerate().for_each(|(r, o)| *o = from[at(r)]);
            }
        }
    }
}

/// Writes elements from the start of `to` on, `stride` apart.
#[inline]
pub(in crate::backend::cpu) fn write<T: Pod>(to: &mut [T], values: &[T], stride: i64) {
    match stride {
        1 => to[..values.len()].copy_from_slice(values),
        s if s > 0 => to.iter_mut().step_by(s as usize).zip(values).for_each(|(o, &v)| *o = v),
        _ => {
            // A repeated store keeps its last value.
            if let Some(&last) = values.last() {
                to[0] = last;
            }
        }
    }
}

/// The matrix `from` of rows of `columns` values, as rows of its columns; tile by tile, so that both sides stay in the
/// first cache.
pub(in crate::backend::cpu) fn transpose<T: Pod>(from: &[T], columns: usize, to: &mut [T]) {
    const TILE: usize = 16;
    let rows = from.len() / columns.max(1);
    for r in (0..rows).step_by(TILE) {
        let tall = TILE.min(rows - r);
        for c in (0..columns).step_by(TILE) {
            for c in c..(c + TILE).min(columns) {
                let to = &mut to[c * rows + r..][..tall];
                let from = from[r * columns + c..].iter().step_by(columns);
                to.iter_mut().zip(from).for_each(|(o, &v)| *o = v);
            }
        }
    }
}

/// `address + i * stride` as `i32`.
pub(in crate::backend::cpu) fn iota(out: &mut [i32], address: i64, stride: i64) {
    let (start, stride) = (address as i32, stride as i32);
    vectorize(
        #[inline(always)]
        || {
            for (i, o) in out.iter_mut().enumerate() {
                *o = start.wrapping_add((i as i32).wrapping_mul(stride));
            }
        },
    );
}

/// Words that are chosen by their bits: from two branches the compiler makes jumps, and misses most of them.
pub(in crate::backend::cpu) trait Bits:
    Pod + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    /// All ones, or all zeros for 0.
    fn mask(condition: u32) -> Self;
}

impl Bits for u32 {
    #[inline(always)]
    fn mask(condition: u32) -> Self {
        u32::from(condition != 0).wrapping_neg()
    }
}

impl Bits for u64 {
    #[inline(always)]
    fn mask(condition: u32) -> Self {
        u64::from(condition != 0).wrapping_neg()
    }
}

/// `if condition { a } else { b }` by element.
pub(in crate::backend::cpu) fn select<T: Bits>(condition: &[u32], a: &[T], b: &[T], out: &mut [T]) {
    vectorize(
        #[inline(always)]
        || {
            for (((o, &c), &a), &b) in out.iter_mut().zip(condition).zip(a).zip(b) {
                let mask = T::mask(c);
                *o = (a & mask) | (b & !mask);
            }
        },
    );
}

/// Every value of `from` repeated, by element or as a whole, until `out` is full.
pub(in crate::backend::cpu) fn repeat<T: Pod>(from: &[T], out: &mut [T], each: bool) {
    let times = out.len() / from.len().max(1);
    vectorize(
        #[inline(always)]
        || match from {
            [] => {}
            [one] => out.fill(*one),
            _ if each && times > 1 => out.chunks_exact_mut(times).zip(from).for_each(|(o, &v)| o.fill(v)),
            _ => out.chunks_exact_mut(from.len()).for_each(|o| o.copy_from_slice(from)),
        },
    );
}

/// A function of every element.
#[inline(always)]
pub(in crate::backend::cpu) fn map<T: Pod, U: Pod>(x: &[T], out: &mut [U], f: impl Fn(T) -> U) {
    vectorize(
        #[inline(always)]
        || {
            for (o, &v) in out.iter_mut().zip(x) {
                *o = f(v);
            }
        },
    );
}
