//! Iteration spaces, the addresses in them, and the outputs cut along them for threads.

use std::ops::Range;

use smallvec::SmallVec;

use crate::backend::cpu::threads::each;
use crate::ir::program::{Access, Dims};

/// Coordinates of a point.
pub(in crate::backend::cpu) type Coords = SmallVec<[usize; 6]>;

/// Extents, outermost first, without extents of 1 and with neighbours merged where every address allows it.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Space {
    pub(in crate::backend::cpu) dims: Dims<usize>,
    pub(in crate::backend::cpu) numel: usize,
}

/// A part of a space that is evaluated at once: `rows` runs of `len` points, `pitch` apart, in row-major order.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Block {
    pub(in crate::backend::cpu) start: usize,
    pub(in crate::backend::cpu) rows: usize,
    pub(in crate::backend::cpu) len: usize,
    pub(in crate::backend::cpu) pitch: usize,
    /// The dimension along which the runs follow each other, if it is one, and each run lies within the innermost.
    pub(in crate::backend::cpu) turn: Option<usize>,
}

impl Block {
    pub(in crate::backend::cpu) fn flat(range: Range<usize>) -> Self {
        Block { start: range.start, rows: 1, len: range.len(), pitch: 0, turn: None }
    }

    pub(in crate::backend::cpu) fn total(&self) -> usize {
        self.rows * self.len
    }
}

impl Space {
    /// The space of `dims`, rewriting the addresses to it.
    pub(in crate::backend::cpu) fn merge<'a>(dims: &[usize], accesses: impl Iterator<Item = &'a mut Access>) -> Self {
        let mut accesses: SmallVec<[&mut Access; 8]> = accesses.collect();
        let numel = dims.iter().product();
        let mut out: Dims<usize> = SmallVec::new();
        // For each new dimension the old one whose strides it takes.
        let mut takes: SmallVec<[usize; 6]> = SmallVec::new();
        for (d, &extent) in dims.iter().enumerate().filter(|(_, e)| **e != 1) {
            let joins =
                takes.last().is_some_and(|&p| accesses.iter().all(|at| at.strides[p] == at.strides[d] * extent as i64));
            match (joins, out.last_mut(), takes.last_mut()) {
                (true, Some(last), Some(take)) => {
                    *last *= extent;
                    *take = d;
                }
                _ => {
                    out.push(extent);
                    takes.push(d);
                }
            }
        }
        for at in &mut accesses {
            at.strides = takes.iter().map(|&d| at.strides[d]).collect();
        }
        Space { dims: out, numel }
    }

    pub(in crate::backend::cpu) fn coords(&self, mut flat: usize) -> Coords {
        if let [_] = self.dims[..] {
            return SmallVec::from_slice(&[flat]);
        }
        let mut out: Coords = SmallVec::from_elem(0, self.dims.len());
        for (c, &extent) in out.iter_mut().zip(&self.dims).rev() {
            (flat, *c) = (flat / extent, flat % extent);
        }
        out
    }

    /// The address at a flat position; one past the end is allowed and lies past every address of an increasing access.
    pub(in crate::backend::cpu) fn address(&self, at: &Access, flat: usize) -> i64 {
        if flat >= self.numel {
            return i64::MAX;
        }
        if self.is_flat(at) {
            return at.offset + flat as i64;
        }
        dot(at, &self.coords(flat))
    }

    /// Whether consecutive points have consecutive addresses.
    pub(in crate::backend::cpu) fn is_flat(&self, at: &Access) -> bool {
        let mut step = 1i64;
        self.dims.iter().zip(&at.strides).rev().all(|(&extent, &stride)| {
            let fits = stride == step;
            step *= extent as i64;
            fits
        })
    }

    /// Whether later points always have greater addresses, so that cutting the space cuts the buffer.
    pub(in crate::backend::cpu) fn is_increasing(&self, at: &Access) -> bool {
        let mut reach = 0i64;
        self.dims.iter().zip(&at.strides).rev().all(|(&extent, &stride)| {
            let fits = stride > reach;
            reach += stride * (extent as i64 - 1);
            fits
        })
    }

    /// Calls `f(row, position in the block, address, length)` for every run along the innermost dimension.
    #[inline]
    pub(in crate::backend::cpu) fn runs(
        &self,
        at: &Access,
        block: &Block,
        mut f: impl FnMut(usize, usize, i64, usize),
    ) {
        let Some(last) = self.dims.len().checked_sub(1) else {
            return f(0, 0, at.offset, 1);
        };
        if let Some(turn) = block.turn {
            let first = dot(at, &self.coords(block.start));
            return (0..block.rows).for_each(|r| f(r, r * block.len, first + r as i64 * at.strides[turn], block.len));
        }
        for row in 0..block.rows {
            let mut coords = self.coords(block.start + row * block.pitch);
            let mut address = dot(at, &coords);
            let (mut done, mut room) = (0, self.dims[last] - coords[last]);
            let mut back = coords[last] as i64 * at.strides[last];
            loop {
                let n = room.min(block.len - done);
                f(row, row * block.len + done, address, n);
                done += n;
                if done == block.len {
                    break;
                }
                // To the start of the next run: the innermost coordinate back to 0, a carry into the others.
                address -= back;
                back = 0;
                room = self.dims[last];
                for d in (0..last).rev() {
                    coords[d] += 1;
                    address += at.strides[d];
                    if coords[d] < self.dims[d] {
                        break;
                    }
                    address -= at.strides[d] * self.dims[d] as i64;
                    coords[d] = 0;
                }
            }
        }
    }
}

/// The least and the greatest address over `dims`; `None` where they are empty.
pub(in crate::backend::cpu) fn bounds(dims: &[usize], at: &Access) -> Option<(i64, i64)> {
    let (mut low, mut high) = (at.offset, at.offset);
    for (&extent, &stride) in dims.iter().zip(&at.strides) {
        let reach = stride * (extent.checked_sub(1)? as i64);
        low += reach.min(0);
        high += reach.max(0);
    }
    Some((low, high))
}

pub(in crate::backend::cpu) fn dot(at: &Access, coords: &[usize]) -> i64 {
    at.offset + coords.iter().zip(&at.strides).map(|(&c, &s)| c as i64 * s).sum::<i64>()
}

/// Part of an output buffer, as words of its element size.
#[derive(Debug)]
pub(in crate::backend::cpu) enum Words<'a> {
    One(&'a mut [u8]),
    Two(&'a mut [u16]),
    Four(&'a mut [u32]),
    Eight(&'a mut [u64]),
}

impl Default for Words<'_> {
    fn default() -> Self {
        Words::Four(&mut [])
    }
}

impl<'a> Words<'a> {
    /// The first `len` elements of `size` bytes of a buffer.
    pub(in crate::backend::cpu) fn of(words: &'a mut [u64], len: usize, size: usize) -> Words<'a> {
        match size {
            1 => Words::One(&mut bytemuck::cast_slice_mut(words)[..len]),
            2 => Words::Two(&mut bytemuck::cast_slice_mut(words)[..len]),
            4 => Words::Four(&mut bytemuck::cast_slice_mut(words)[..len]),
            _ => Words::Eight(&mut words[..len]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Words::One(w) => w.len(),
            Words::Two(w) => w.len(),
            Words::Four(w) => w.len(),
            Words::Eight(w) => w.len(),
        }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            Words::One(w) => {
                let (l, r) = w.split_at_mut(at);
                (Words::One(l), Words::One(r))
            }
            Words::Two(w) => {
                let (l, r) = w.split_at_mut(at);
                (Words::Two(l), Words::Two(r))
            }
            Words::Four(w) => {
                let (l, r) = w.split_at_mut(at);
                (Words::Four(l), Words::Four(r))
            }
            Words::Eight(w) => {
                let (l, r) = w.split_at_mut(at);
                (Words::Eight(l), Words::Eight(r))
            }
        }
    }

    /// As elements of that size.
    pub(in crate::backend::cpu) fn cast_mut<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        match self {
            Words::One(w) => bytemuck::cast_slice_mut(w),
            Words::Two(w) => bytemuck::cast_slice_mut(w),
            Words::Four(w) => bytemuck::cast_slice_mut(w),
            Words::Eight(w) => bytemuck::cast_slice_mut(w),
        }
    }

    /// `len` elements from `at` on.
    pub(in crate::backend::cpu) fn part(self, at: usize, len: usize) -> Words<'a> {
        match self {
            Words::One(w) => Words::One(&mut w[at..][..len]),
            Words::Two(w) => Words::Two(&mut w[at..][..len]),
            Words::Four(w) => Words::Four(&mut w[at..][..len]),
            Words::Eight(w) => Words::Eight(&mut w[at..][..len]),
        }
    }
}

/// A run of an output buffer, beginning at address `base`.
#[derive(Debug, Default)]
pub(in crate::backend::cpu) struct Piece<'a> {
    pub(in crate::backend::cpu) base: i64,
    pub(in crate::backend::cpu) words: Words<'a>,
}

impl<'a> Piece<'a> {
    fn split(self, address: i64) -> (Self, Self) {
        let at = (address.saturating_sub(self.base)).clamp(0, self.words.len() as i64) as usize;
        let right = self.base + at as i64;
        let (l, r) = self.words.split_at(at);
        (Piece { base: self.base, words: l }, Piece { base: right, words: r })
    }

    pub(in crate::backend::cpu) fn reborrow(&mut self) -> Piece<'_> {
        let words = match &mut self.words {
            Words::One(w) => Words::One(w),
            Words::Two(w) => Words::Two(w),
            Words::Four(w) => Words::Four(w),
            Words::Eight(w) => Words::Eight(w),
        };
        Piece { base: self.base, words }
    }

    /// The part from `address` on, as elements.
    pub(in crate::backend::cpu) fn from<T: bytemuck::Pod>(&self, address: i64) -> &[T] {
        let at = (address - self.base) as usize;
        match &self.words {
            Words::One(w) => bytemuck::cast_slice(&w[at..]),
            Words::Two(w) => bytemuck::cast_slice(&w[at..]),
            Words::Four(w) => bytemuck::cast_slice(&w[at..]),
            Words::Eight(w) => bytemuck::cast_slice(&w[at..]),
        }
    }

    /// The same, to be written.
    pub(in crate::backend::cpu) fn words_mut<T: bytemuck::Pod>(&mut self, address: i64) -> &mut [T] {
        let at = (address - self.base) as usize;
        &mut self.words.cast_mut()[at..]
    }
}

/// What one task may write of one buffer: a single run, or one run for each row of the space.
#[derive(Debug, Default)]
pub(in crate::backend::cpu) struct Out<'a> {
    pub(in crate::backend::cpu) pieces: SmallVec<[Piece<'a>; 1]>,
}

/// What one task may write of all buffers.
pub(in crate::backend::cpu) type Outs<'a> = SmallVec<[Out<'a>; 3]>;

impl<'a> Out<'a> {
    pub(in crate::backend::cpu) fn whole(words: Words<'a>) -> Self {
        Out { pieces: SmallVec::from_buf([Piece { base: 0, words }]) }
    }

    /// Cuts piece `p` at `address(p)`.
    pub(in crate::backend::cpu) fn split(self, address: impl Fn(usize) -> i64) -> (Self, Self) {
        let (mut left, mut right) = (SmallVec::new(), SmallVec::new());
        for (p, piece) in self.pieces.into_iter().enumerate() {
            let (l, r) = piece.split(address(p));
            left.push(l);
            right.push(r);
        }
        (Out { pieces: left }, Out { pieces: right })
    }

    /// One piece for each of `rows` rows, row `p` beginning at `address(p)`.
    pub(in crate::backend::cpu) fn into_rows(self, rows: usize, address: impl Fn(usize) -> i64) -> Self {
        let mut pieces = SmallVec::with_capacity(rows);
        let mut rest = self.pieces.into_iter().next().unwrap_or_default();
        for p in 1..rows {
            let (row, tail) = rest.split(address(p));
            pieces.push(row);
            rest = tail;
        }
        pieces.push(rest);
        Out { pieces }
    }

    pub(in crate::backend::cpu) fn reborrow(&mut self) -> Out<'_> {
        Out { pieces: self.pieces.iter_mut().map(Piece::reborrow).collect() }
    }

    /// The piece that row `row` of the space is written to.
    #[inline]
    pub(in crate::backend::cpu) fn piece(&self, row: usize) -> &Piece<'a> {
        &self.pieces[if self.pieces.len() > 1 { row } else { 0 }]
    }

    #[inline]
    pub(in crate::backend::cpu) fn piece_mut(&mut self, row: usize) -> &mut Piece<'a> {
        let row = if self.pieces.len() > 1 { row } else { 0 };
        &mut self.pieces[row]
    }
}

/// Runs `leaf` over `range` in parts of `grain`, on several threads, each with its part of the outputs; `cut(outs, at)`
/// parts the outputs at a position of the range.
pub(in crate::backend::cpu) fn fork<'a, C, L>(range: Range<usize>, grain: usize, outs: Outs<'a>, cut: &C, leaf: &L)
where
    C: Fn(Outs<'a>, usize) -> (Outs<'a>, Outs<'a>) + Sync,
    L: Fn(Range<usize>, Outs<'a>) + Sync,
{
    let grain = grain.max(1);
    if range.len() <= grain {
        return leaf(range, outs);
    }
    let (count, mut rest) = (range.len().div_ceil(grain), (range.start, Some(outs)));
    let parts = std::iter::from_fn(move || {
        let (start, outs) = (rest.0, rest.1.take()?);
        let end = start.saturating_add(grain);
        if end >= range.end {
            return Some((start..range.end, outs));
        }
        let (mine, others) = cut(outs, end);
        rest = (end, Some(others));
        Some((start..end, mine))
    });
    each(true, parts.take(count), |_, (range, outs)| leaf(range, outs));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(offset: i64, strides: &[i64]) -> Access {
        Access { offset, strides: SmallVec::from_slice(strides) }
    }

    #[test]
    fn neighbours_merge_only_when_every_address_allows_it() {
        let (mut a, mut b) = (access(0, &[12, 4, 4, 1]), access(0, &[12, 4, 9, 1]));
        let space = Space::merge(&[5, 3, 1, 4], [&mut a, &mut b].into_iter());
        assert_eq!(space.dims.as_slice(), &[60]);
        assert_eq!(a.strides.as_slice(), &[1]);
        let (mut a, mut b) = (access(0, &[4, 1]), access(0, &[0, 1]));
        let space = Space::merge(&[5, 4], [&mut a, &mut b].into_iter());
        assert_eq!(space.dims.as_slice(), &[5, 4]);
    }

    #[test]
    fn runs_visit_every_point_in_order() {
        let mut at = access(7, &[-1, 10, 3]);
        let space = Space::merge(&[2, 3, 4], [&mut at].into_iter());
        for (start, len) in [(0, 24), (5, 13), (3, 1), (23, 1)] {
            let mut seen = vec![];
            space.runs(&at, &Block::flat(start..start + len), |_, dst, address, n| {
                assert_eq!(dst, seen.len());
                seen.extend((0..n as i64).map(|i| address + i * 3));
            });
            let expected: Vec<i64> = (start..start + len).map(|f| dot(&at, &space.coords(f))).collect();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn increasing_accesses_are_recognised() {
        let space = Space { dims: SmallVec::from_slice(&[3, 4]), numel: 12 };
        assert!(space.is_increasing(&access(2, &[10, 2])));
        assert!(!space.is_increasing(&access(0, &[1, 3])));
        assert!(!space.is_increasing(&access(0, &[3, 1])));
        assert!(!space.is_increasing(&access(0, &[0, 1])));
        assert!(space.is_flat(&access(5, &[4, 1])));
    }
}
