//! Convolutions as products: patches are laid out as rows of a matrix, some at a time.

use std::ops::Range;

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::gemm::{Float, View, product};
use super::interp::Regs;
use super::memory::Memory;
use crate::error::Result;
use crate::plan::step::Conv;

/// Bytes of patches laid out at a time: about half of a second-level cache.
const PATCH_BYTES: usize = 1 << 19;

/// Rows of `width` values to lay out at a time, out of `rows`. Depends on the sizes only, so that results do not
/// depend on the number of threads.
fn chunk<T>(rows: usize, width: usize) -> usize {
    let fitting = PATCH_BYTES / (width * size_of::<T>()).max(1);
    fitting.clamp(64, 2048).min(rows.div_ceil(16).max(32)).max(1)
}

/// Lends `len` elements of undefined content.
fn with_scratch<T: Float, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let mut regs = Regs::take(1, (len * size_of::<T>()).div_ceil(8));
    f(&mut bytemuck::cast_slice_mut(&mut regs.files[0])[..len])
}

/// `tap * dilation + position * stride - pad`, where it lies in `0..extent`.
#[inline]
fn source(position: usize, stride: usize, tap: usize, dilation: usize, pad: usize, extent: usize) -> Option<usize> {
    (position * stride + tap * dilation).checked_sub(pad).filter(|&i| i < extent)
}

/// The taps along one axis whose source lies inside, for the output position `at`.
#[inline]
fn taps(at: usize, stride: usize, dilation: usize, pad: usize, extent: usize, kernel: usize) -> Range<usize> {
    let base = at * stride;
    let first = pad.saturating_sub(base).div_ceil(dilation).min(kernel);
    let end = (extent + pad).saturating_sub(base).div_ceil(dilation).min(kernel);
    first..end.max(first)
}

/// Lays out the patches of output positions `rows`, each as `(kh, kw, c)`; zeros outside.
fn patches<T: Float>(g: &Conv, x: &[T], rows: Range<usize>, out: &mut [T]) {
    let (width, line) = (g.kh * g.kw * g.c, g.kw * g.c);
    let (mut ow, mut oh, mut n) = (rows.start % g.ow, rows.start / g.ow % g.oh, rows.start / (g.ow * g.oh));
    for row in out.chunks_exact_mut(width).take(rows.len()) {
        let across = taps(ow, g.stride_w, g.dilation_w, g.pad_w, g.w, g.kw);
        for (kh, line) in row.chunks_exact_mut(line).enumerate() {
            let Some(ih) = source(oh, g.stride_h, kh, g.dilation_h, g.pad_h, g.h) else {
                line.fill(T::ZERO);
                continue;
            };
            let base = (n * g.h + ih) * g.w;
            let (inside, c) = (across.clone(), g.c);
            line[..inside.start * c].fill(T::ZERO);
            line[inside.end * c..].fill(T::ZERO);
            if inside.is_empty() {
                continue;
            }
            let iw = |kw: usize| ow * g.stride_w + kw * g.dilation_w - g.pad_w;
            if g.dilation_w == 1 {
                let len = inside.len() * c;
                line[inside.start * c..][..len].copy_from_slice(&x[(base + iw(inside.start)) * c..][..len]);
            } else {
                for kw in inside {
                    line[kw * c..][..c].copy_from_slice(&x[(base + iw(kw)) * c..][..c]);
                }
            }
        }
        ow += 1;
        if ow == g.ow {
            (ow, oh) = (0, oh + 1);
            if oh == g.oh {
                (oh, n) = (0, n + 1);
            }
        }
    }
}

/// Lays out for input positions `rows` what reached them, as `(kh, kw, f)`: the gradient's patches.
fn spread<T: Float>(g: &Conv, dy: &[T], rows: Range<usize>, out: &mut [T]) {
    let width = g.kh * g.kw * g.f;
    let target = |at: usize, tap: usize, dilation: usize, stride: usize, pad: usize, extent: usize| {
        let moved = (at + pad).checked_sub(tap * dilation)?;
        (moved % stride == 0 && moved / stride < extent).then_some(moved / stride)
    };
    for (row, position) in out.chunks_exact_mut(width).zip(rows) {
        let (w, h, n) = (position % g.w, position / g.w % g.h, position / (g.w * g.h));
        for (kh, line) in row.chunks_exact_mut(g.kw * g.f).enumerate() {
            let Some(oh) = target(h, kh, g.dilation_h, g.stride_h, g.pad_h, g.oh) else {
                line.fill(T::ZERO);
                continue;
            };
            for (kw, tap) in line.chunks_exact_mut(g.f).enumerate() {
                match target(w, kw, g.dilation_w, g.stride_w, g.pad_w, g.ow) {
                    Some(ow) => tap.copy_from_slice(&dy[((n * g.oh + oh) * g.ow + ow) * g.f..][..g.f]),
                    None => tap.fill(T::ZERO),
                }
            }
        }
    }
}

/// `y = patches(x) * kernel`: threads take runs of output positions.
pub(super) fn forward<T: Float>(g: &Conv, n: usize, out: &mut [T], x: &[T], kernel: &[T], kv: View) -> Result<()> {
    let (rows, width) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
    let chunk = chunk::<T>(rows, width);
    let one = |(i, out): (usize, &mut [T])| {
        let rows = i * chunk..(i * chunk + chunk).min(rows);
        with_scratch(rows.len() * width, |patch: &mut [T]| {
            patches(g, x, rows.clone(), patch);
            product((rows.len(), n, width), out, false, patch, View::rows(0, width), kernel, kv, Parallelism::None)
        })
    };
    each(out, chunk * n, rows * width * n, one)
}

/// Runs `f` over parts of `out`, on several threads when `work` multiplications are worth it.
fn each<T: Float>(
    out: &mut [T],
    part: usize,
    work: usize,
    f: impl Fn((usize, &mut [T])) -> Result<()> + Send + Sync,
) -> Result<()> {
    match work < 1 << 17 {
        true => out.chunks_mut(part).enumerate().try_for_each(f),
        false => out.par_chunks_mut(part).enumerate().try_for_each(f),
    }
}

/// Bytes for partial sums of a kernel gradient.
const PARTIAL_BYTES: usize = 1 << 24;

/// `dk = patches(x)^T * dy`: the output positions are divided into groups, each summed on its own, then added in order.
pub(super) fn kernel_gradient<T: Float>(
    g: &Conv,
    n: usize,
    memory: &Memory,
    out: &mut [T],
    x: &[T],
    dy: &[T],
    dv: View,
) -> Result<()> {
    let (rows, width) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
    if rows == 0 {
        out.fill(T::ZERO);
        return Ok(());
    }
    let chunk = chunk::<T>(rows, width);
    let chunks = rows.div_ceil(chunk);
    let size = width * n;
    let groups = (PARTIAL_BYTES / (size * size_of::<T>()).max(1)).clamp(1, 16).min(chunks);
    // One group: its products are large enough to be divided themselves.
    let threads = if groups == 1 { Parallelism::Rayon(0) } else { Parallelism::None };
    let sum = |group: usize, total: &mut [T]| {
        let mine = group * chunks / groups..(group + 1) * chunks / groups;
        with_scratch(chunk * width, |patch: &mut [T]| {
            for (i, c) in mine.enumerate() {
                let rows = c * chunk..(c * chunk + chunk).min(rows);
                patches(g, x, rows.clone(), patch);
                let turned = View { offset: 0, row: 1, col: width as i64 };
                let dv = View { offset: dv.offset + dv.row * rows.start as i64, ..dv };
                product((width, n, rows.len()), total, i > 0, patch, turned, dy, dv, threads)?;
            }
            Ok(())
        })
    };
    if groups == 1 {
        return sum(0, out);
    }
    let mut scratch = memory.scratch((groups - 1) * size * size_of::<T>())?;
    let parts: &mut [T] = &mut bytemuck::cast_slice_mut(&mut scratch.words)[..(groups - 1) * size];
    let all = |(i, total): (usize, &mut [T])| sum(i, total);
    match rows * size < 1 << 17 {
        true => std::iter::once(&mut *out).chain(parts.chunks_mut(size)).enumerate().try_for_each(all)?,
        false => {
            let (first, others) = rayon::join(
                || sum(0, out),
                || parts.par_chunks_mut(size).enumerate().try_for_each(|(i, t)| sum(i + 1, t)),
            );
            first.and(others)?;
        }
    }
    for part in parts.chunks(size) {
        out.iter_mut().zip(part).for_each(|(o, &p)| *o += p);
    }
    Ok(())
}

/// `dx`: either every input position gathers what reached it, or every image's gradient is multiplied back to patches
/// which are then added up.
pub(super) fn input_gradient<T: Float>(g: &Conv, memory: &Memory, out: &mut [T], dy: &[T], kernel: &[T]) -> Result<()> {
    if g.stride_h * g.stride_w > 1 || g.c <= g.f {
        fold(g, out, dy, kernel)
    } else {
        gather(g, memory, out, dy, kernel)
    }
}

fn gather<T: Float>(g: &Conv, memory: &Memory, out: &mut [T], dy: &[T], kernel: &[T]) -> Result<()> {
    let (rows, width) = (g.batch * g.h * g.w, g.kh * g.kw * g.f);
    // The kernel as (kh, kw, f) x c.
    let mut scratch = memory.scratch(width * g.c * size_of::<T>())?;
    let turned: &mut [T] = &mut bytemuck::cast_slice_mut(&mut scratch.words)[..width * g.c];
    for (from, to) in kernel.chunks_exact(g.c * g.f).zip(turned.chunks_exact_mut(g.c * g.f)) {
        for (f, to) in to.chunks_exact_mut(g.c).enumerate() {
            to.iter_mut().zip(from[f..].iter().step_by(g.f)).for_each(|(o, &v)| *o = v);
        }
    }
    let turned = &*turned;
    let chunk = chunk::<T>(rows, width);
    let one = |(i, out): (usize, &mut [T])| {
        let rows = i * chunk..(i * chunk + chunk).min(rows);
        with_scratch(rows.len() * width, |patch: &mut [T]| {
            spread(g, dy, rows.clone(), patch);
            let size = (rows.len(), g.c, width);
            product(size, out, false, patch, View::rows(0, width), turned, View::rows(0, g.c), Parallelism::None)
        })
    };
    each(out, chunk * g.c, rows * width * g.c, one)
}

fn fold<T: Float>(g: &Conv, out: &mut [T], dy: &[T], kernel: &[T]) -> Result<()> {
    let (width, rows) = (g.kh * g.kw * g.c, g.oh * g.ow);
    let lines = (chunk::<T>(rows, width) / g.ow).max(1);
    // The kernel as f x (kh, kw, c).
    let turned = View { offset: 0, row: 1, col: g.f as i64 };
    let threads = if g.batch < 2 { Parallelism::Rayon(0) } else { Parallelism::None };
    let one = |(n, image): (usize, &mut [T])| {
        image.fill(T::ZERO);
        with_scratch(lines * g.ow * width, |patch: &mut [T]| {
            for first in (0..g.oh).step_by(lines) {
                let count = lines.min(g.oh - first);
                let dv = View::rows((n * rows + first * g.ow) * g.f, g.f);
                product((count * g.ow, width, g.f), patch, false, dy, dv, kernel, turned, threads)?;
                for (i, row) in patch.chunks_exact(width).take(count * g.ow).enumerate() {
                    add_patch(g, row, first + i / g.ow, i % g.ow, image);
                }
            }
            Ok(())
        })
    };
    each(out, g.h * g.w * g.c, g.batch * rows * width * g.f, one)
}

/// Adds a patch to the image it was taken from.
fn add_patch<T: Float>(g: &Conv, row: &[T], oh: usize, ow: usize, image: &mut [T]) {
    let c = g.c;
    let across = taps(ow, g.stride_w, g.dilation_w, g.pad_w, g.w, g.kw);
    if across.is_empty() {
        return;
    }
    for (kh, line) in row.chunks_exact(g.kw * c).enumerate() {
        let Some(ih) = source(oh, g.stride_h, kh, g.dilation_h, g.pad_h, g.h) else { continue };
        let iw = |kw: usize| ow * g.stride_w + kw * g.dilation_w - g.pad_w;
        let mut add = |kw: usize, len: usize| {
            let to = &mut image[(ih * g.w + iw(kw)) * c..][..len];
            to.iter_mut().zip(&line[kw * c..]).for_each(|(o, &v)| *o += v);
        };
        match g.dilation_w {
            1 => add(across.start, across.len() * c),
            _ => across.clone().for_each(|kw| add(kw, c)),
        }
    }
}
