//! Convolutions as products: patches are laid out as rows of a matrix, some at a time.

use std::ops::Range;

use super::epilogue::Sink;
use super::matrix::{Float, MULTIPLY, View, product};
use crate::backend::cpu::program::copies;
use crate::backend::cpu::program::interp::Regs;
use crate::backend::cpu::threads::{each, forks, try_each};
use crate::error::Result;
use crate::ir::math::vectorize;
use crate::ir::window::Geometry;

/// Bytes of patches laid out at a time: about half of a second-level cache.
const PATCH_BYTES: usize = 1 << 18;

/// Picoseconds that laying out an element takes.
const LAY_OUT: usize = 300;

/// A convolution's work in picoseconds, in every direction.
pub(in crate::backend::cpu) fn work(g: &Geometry) -> usize {
    (g.batch * g.oh * g.ow * g.kh * g.kw * g.c).saturating_mul(g.f * MULTIPLY + LAY_OUT)
}

/// Rows of `width` values that are laid out at a time.
fn fitting<T>(width: usize) -> usize {
    (PATCH_BYTES / (width * size_of::<T>()).max(1)).max(64)
}

/// The same out of `rows`, so that there are several parts. Depends on the sizes only, so that results do not depend on
/// the number of threads.
fn chunk<T>(rows: usize, width: usize) -> usize {
    fitting::<T>(width).min(2048).min(rows.div_ceil(16).max(32))
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

/// Whether patches are laid out tap by tap, because the channels are too few for runs of their own.
fn by_tap(g: &Geometry) -> bool {
    g.c <= 4
}

/// Lays out the patches of output positions `rows`, zeros outside, and says how their matrix, one patch to a row and
/// each as `(kh, kw, c)`, lies in `out`.
fn patches<T: Float>(g: &Geometry, x: &[T], rows: Range<usize>, out: &mut [T]) -> View {
    let count = rows.len();
    if by_tap(g) {
        for (tap, out) in out.chunks_exact_mut(count).enumerate() {
            one_tap(g, x, rows.clone(), tap, out);
        }
        return View { offset: 0, row: 1, col: count as i64 };
    }
    whole_patches(g, x, rows, out);
    View::rows(0, g.kh * g.kw * g.c)
}

/// One tap of all patches: runs along the lines of the image.
fn one_tap<T: Float>(g: &Geometry, x: &[T], rows: Range<usize>, tap: usize, mut out: &mut [T]) {
    let (kh, kw, c) = (tap / (g.kw * g.c), tap / g.c % g.kw, tap % g.c);
    let shift = kw * g.dilation_w;
    // The positions along a line whose source lies inside.
    let low = g.pad_w.saturating_sub(shift).div_ceil(g.stride_w).min(g.ow);
    let high = (g.w + g.pad_w).saturating_sub(shift).div_ceil(g.stride_w).clamp(low, g.ow);
    let mut at = rows.start;
    while at < rows.end {
        let (ow, oh, n) = (at % g.ow, at / g.ow % g.oh, at / (g.ow * g.oh));
        let len = (g.ow - ow).min(rows.end - at);
        let (line, rest) = std::mem::take(&mut out).split_at_mut(len);
        let inside = low.clamp(ow, ow + len) - ow..high.clamp(ow, ow + len) - ow;
        match source(oh, g.stride_h, kh, g.dilation_h, g.pad_h, g.h) {
            Some(ih) if !inside.is_empty() => {
                line[..inside.start].fill(T::ZERO);
                line[inside.end..].fill(T::ZERO);
                let iw = (ow + inside.start) * g.stride_w + shift - g.pad_w;
                let from = ((n * g.h + ih) * g.w + iw) * g.c + c;
                copies::read(&mut line[inside], x, from as i64, (g.stride_w * g.c) as i64);
            }
            _ => line.fill(T::ZERO),
        }
        (out, at) = (rest, at + len);
    }
}

/// Patches one after the other: runs of neighbouring taps.
fn whole_patches<T: Float>(g: &Geometry, x: &[T], rows: Range<usize>, out: &mut [T]) {
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
fn spread<T: Float>(g: &Geometry, dy: &[T], rows: Range<usize>, out: &mut [T]) {
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
pub(in crate::backend::cpu) fn forward<T: Float>(
    g: &Geometry,
    sink: Sink<'_, '_>,
    x: &[T],
    kernel: &[T],
    kv: View,
) -> Result<()> {
    let (rows, width) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
    let chunk = chunk::<T>(rows, width);
    sink.parts(chunk * g.f, work(g), |at, out| {
        let rows = at / g.f..(at + out.len()) / g.f;
        with_scratch(rows.len() * width, |patch: &mut [T]| {
            let pv = patches(g, x, rows.clone(), patch);
            product((rows.len(), g.f, width), out, false, patch, pv, kernel, kv, false)
        })
    })
}

/// Bytes for partial sums of a kernel gradient.
const PARTIAL_BYTES: usize = 1 << 24;

/// How many sums a kernel gradient is made of, each of how many chunks at most, of how many output positions.
fn groups(g: &Geometry, size: usize) -> (usize, usize, usize) {
    let (rows, width) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
    let chunk = if size == 8 { chunk::<f64>(rows, width) } else { chunk::<f32>(rows, width) };
    let chunks = rows.div_ceil(chunk);
    ((PARTIAL_BYTES / (width * g.f * size).max(1)).clamp(1, 16).min(chunks), chunks, chunk)
}

/// Elements of scratch memory for the sums of a kernel gradient, but for the first, which is its result.
pub(in crate::backend::cpu) fn partial_sums(g: &Geometry, size: usize) -> usize {
    groups(g, size).0.saturating_sub(1) * g.kh * g.kw * g.c * g.f
}

/// `dk = patches(x)^T * dy`: the output positions are divided into groups, each summed on its own, then added in order.
pub(in crate::backend::cpu) fn kernel_gradient<T: Float>(
    g: &Geometry,
    scratch: &mut [T],
    out: &mut [T],
    x: &[T],
    dy: &[T],
    dv: View,
) -> Result<()> {
    let (rows, width) = (g.batch * g.oh * g.ow, g.kh * g.kw * g.c);
    let (groups, chunks, chunk) = groups(g, size_of::<T>());
    let parallel = forks(work(g));
    // One group: its products are large enough to be divided themselves.
    let divided = parallel && groups == 1;
    let sum = |group: usize, total: &mut [T]| {
        let mine = group * chunks / groups..(group + 1) * chunks / groups;
        with_scratch(chunk * width, |patch: &mut [T]| {
            for (i, c) in mine.enumerate() {
                let rows = c * chunk..(c * chunk + chunk).min(rows);
                let pv = patches(g, x, rows.clone(), &mut patch[..rows.len() * width]);
                let turned = View { row: pv.col, col: pv.row, ..pv };
                let dv = View { offset: dv.offset + dv.row * rows.start as i64, ..dv };
                product((width, g.f, rows.len()), total, i > 0, patch, turned, dy, dv, divided)?;
            }
            Ok(())
        })
    };
    if groups == 1 {
        return sum(0, out);
    }
    let size = width * g.f;
    let parts = &mut scratch[..(groups - 1) * size];
    try_each(parallel, out.chunks_mut(size).chain(parts.chunks_mut(size)), sum)?;
    let parts = &*parts;
    let piece = 1 << 12;
    let merge = |i: usize, out: &mut [T]| parts.chunks(size).for_each(|part| add(out, &part[i * piece..]));
    each(forks((groups * size).saturating_mul(LAY_OUT)), out.chunks_mut(piece), merge);
    Ok(())
}

/// `to += from`, as far as `to` goes.
fn add<T: Float>(to: &mut [T], from: &[T]) {
    vectorize(
        #[inline(always)]
        || to.iter_mut().zip(from).for_each(|(o, &v)| *o += v),
    );
}

/// `dx`: either every input position gathers what reached it, or every image's gradient is multiplied back to patches
/// which are then added up. `scratch` holds a kernel.
pub(in crate::backend::cpu) fn input_gradient<T: Float>(
    g: &Geometry,
    scratch: &mut [T],
    sink: Sink<'_, '_>,
    dy: &[T],
    kernel: &[T],
) -> Result<()> {
    let size = g.kh * g.kw * g.c * g.f;
    let (turned, kernel) = (&mut scratch[..size], &kernel[..size]);
    if g.stride_h * g.stride_w > 1 || g.c <= g.f {
        // The kernel as f x (kh, kw, c).
        copies::transpose(kernel, g.f, turned);
        fold(g, sink, dy, turned)
    } else {
        // The kernel as (kh, kw, f) x c.
        let taps = kernel.chunks_exact(g.c * g.f).zip(turned.chunks_exact_mut(g.c * g.f));
        taps.for_each(|(from, to)| copies::transpose(from, g.f, to));
        gather(g, sink, dy, turned)
    }
}

fn gather<T: Float>(g: &Geometry, sink: Sink<'_, '_>, dy: &[T], turned: &[T]) -> Result<()> {
    let (rows, width) = (g.batch * g.h * g.w, g.kh * g.kw * g.f);
    let chunk = chunk::<T>(rows, width);
    sink.parts(chunk * g.c, work(g), |at, out| {
        let rows = at / g.c..(at + out.len()) / g.c;
        with_scratch(rows.len() * width, |patch: &mut [T]| {
            spread(g, dy, rows.clone(), patch);
            let size = (rows.len(), g.c, width);
            product(size, out, false, patch, View::rows(0, width), turned, View::rows(0, g.c), false)
        })
    })
}

fn fold<T: Float>(g: &Geometry, sink: Sink<'_, '_>, dy: &[T], turned: &[T]) -> Result<()> {
    let (width, rows) = (g.kh * g.kw * g.c, g.oh * g.ow);
    let lines = (fitting::<T>(width) / g.ow.max(1)).clamp(1, g.oh.max(1));
    let divided = g.batch < 2 && forks(work(g));
    sink.parts(g.h * g.w * g.c, work(g), |at, image| {
        let n = at / (g.h * g.w * g.c);
        image.fill(T::ZERO);
        with_scratch(lines * g.ow * width, |patch: &mut [T]| {
            for first in (0..g.oh).step_by(lines) {
                let count = lines.min(g.oh - first) * g.ow;
                let dv = View::rows((n * rows + first * g.ow) * g.f, g.f);
                product((count, width, g.f), patch, false, dy, dv, turned, View::rows(0, width), divided)?;
                vectorize(
                    #[inline(always)]
                    || {
                        for (i, row) in patch.chunks_exact(width).take(count).enumerate() {
                            add_patch(g, row, first + i / g.ow, i % g.ow, image);
                        }
                    },
                );
            }
            Ok(())
        })
    })
}

/// Adds a patch to the image it was taken from.
#[inline(always)]
fn add_patch<T: Float>(g: &Geometry, row: &[T], oh: usize, ow: usize, image: &mut [T]) {
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
