//! Convolutions as products: patches are laid out as rows of a matrix, some at a time. Where the kernel moves down line by
//! line, only their parts along each line are: those of the lines below are the rows further down in the same matrix.

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

/// Bytes of lines laid out at a time. Most of a product's time they are read, in order.
const LINE_BYTES: usize = 1 << 19;

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
fn chunk<T>(g: &Geometry) -> usize {
    let rows = g.batch * g.oh * g.ow;
    let part = rows.div_ceil(16).max(32);
    if by_line::<T>(g) {
        return (part / g.ow.max(1)).clamp(1, lines::<T>(g)) * g.ow;
    }
    fitting::<T>(g.kh * g.kw * g.c).min(2048).min(part)
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
            let image = &x[(n * g.h + ih) * g.w * g.c..][..g.w * g.c];
            along_line(g, image, across.clone(), ow, line);
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

/// Whether patches share their lines. That takes kernels of several lines, and lines short enough for some to be laid out.
fn by_line<T>(g: &Geometry) -> bool {
    let line = (g.ow * g.kw * g.c).saturating_mul(size_of::<T>());
    g.stride_h == 1 && g.kh > 1 && !by_tap(g) && line.saturating_mul(2 * halo(g)) <= LINE_BYTES
}

/// How many lines of the image the patches of one line of output reach below its own.
fn halo(g: &Geometry) -> usize {
    (g.kh - 1) * g.dilation_h
}

/// Lines of output that are computed from one matrix: as many as fit, of which the halo is a small part.
fn lines<T>(g: &Geometry) -> usize {
    let line = (g.ow * g.kw * g.c * size_of::<T>()).max(1);
    (LINE_BYTES / line).saturating_sub(halo(g)).clamp(1, g.oh.max(1))
}

/// Lays out the parts along their lines of the patches of output lines `rows` of image `n`, each as `(kw, c)`, and of the lines
/// that they reach below, zeros outside.
fn lay_lines<T: Float>(g: &Geometry, x: &[T], n: usize, rows: Range<usize>, out: &mut [T]) {
    let (width, c) = (g.kw * g.c, g.c);
    for (line, i) in out.chunks_exact_mut(g.ow * width).zip(rows.start..rows.end + halo(g)) {
        let Some(ih) = i.checked_sub(g.pad_h).filter(|&ih| ih < g.h) else {
            line.fill(T::ZERO);
            continue;
        };
        let image = &x[(n * g.h + ih) * g.w * c..][..g.w * c];
        for (ow, patch) in line.chunks_exact_mut(width).enumerate() {
            along_line(g, image, taps(ow, g.stride_w, g.dilation_w, g.pad_w, g.w, g.kw), ow, patch);
        }
    }
}

/// The values below the taps `inside` of the kernel at `ow`, along one line of the image; zeros for the others.
#[inline]
fn along_line<T: Float>(g: &Geometry, image: &[T], inside: Range<usize>, ow: usize, out: &mut [T]) {
    let c = g.c;
    out[..inside.start * c].fill(T::ZERO);
    out[inside.end * c..].fill(T::ZERO);
    if inside.is_empty() {
        return;
    }
    let iw = |kw: usize| ow * g.stride_w + kw * g.dilation_w - g.pad_w;
    if g.dilation_w == 1 {
        let len = inside.len() * c;
        out[inside.start * c..][..len].copy_from_slice(&image[iw(inside.start) * c..][..len]);
    } else {
        for kw in inside {
            out[kw * c..][..c].copy_from_slice(&image[iw(kw) * c..][..c]);
        }
    }
}

/// Calls `f` for the output positions `rows`, whole lines, image by image and as many at a time as are laid out together:
/// with the positions, the matrix of their patches along the lines, and for each line of the kernel where in it theirs begin.
fn each_lines<T: Float>(
    g: &Geometry,
    x: &[T],
    rows: Range<usize>,
    mut f: impl FnMut(Range<usize>, &[T], &dyn Fn(usize) -> View) -> Result<()>,
) -> Result<()> {
    let (most, width) = (lines::<T>(g), g.kw * g.c);
    let (mut at, end) = (rows.start / g.ow, rows.end / g.ow);
    let room = most.min(end - at) + halo(g);
    with_scratch(room * g.ow * width, |matrix: &mut [T]| {
        while at < end {
            let (n, oh) = (at / g.oh, at % g.oh);
            let count = most.min(g.oh - oh).min(end - at);
            lay_lines(g, x, n, oh..oh + count, matrix);
            let view = |kh: usize| View::rows(kh * g.dilation_h * g.ow * width, width);
            f(at * g.ow..(at + count) * g.ow, matrix, &view)?;
            at += count;
        }
        Ok(())
    })
}

/// `y = patches(x) * kernel`: threads take runs of output positions.
pub(in crate::backend::cpu) fn forward<T: Float>(
    g: &Geometry,
    sink: Sink<'_, '_>,
    x: &[T],
    kernel: &[T],
    kv: View,
) -> Result<()> {
    let (width, part) = (g.kh * g.kw * g.c, chunk::<T>(g));
    sink.parts(part * g.f, work(g), |at, out| {
        let rows = at / g.f..(at + out.len()) / g.f;
        if by_line::<T>(g) {
            let first = rows.start;
            return each_lines(g, x, rows, |rows, matrix, view| {
                let out = &mut out[(rows.start - first) * g.f..];
                (0..g.kh).try_for_each(|kh| {
                    let kv = View { offset: kv.offset + kv.row * (kh * g.kw * g.c) as i64, ..kv };
                    product((rows.len(), g.f, g.kw * g.c), out, kh > 0, matrix, view(kh), kernel, kv, false)
                })
            });
        }
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
    let chunk = if size == 8 { chunk::<f64>(g) } else { chunk::<f32>(g) };
    let chunks = rows.div_ceil(chunk.max(1));
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
        if by_line::<T>(g) {
            let (all, size) = (mine.start * chunk..(mine.end * chunk).min(rows), g.kw * g.c * g.f);
            let first = all.start;
            return each_lines(g, x, all, |rows, matrix, view| {
                let dv = View { offset: dv.offset + dv.row * rows.start as i64, ..dv };
                total.chunks_exact_mut(size).enumerate().try_for_each(|(kh, total)| {
                    let pv = view(kh);
                    let turned = View { row: pv.col, col: pv.row, ..pv };
                    let add = rows.start > first;
                    product((g.kw * g.c, g.f, rows.len()), total, add, matrix, turned, dy, dv, divided)
                })
            });
        }
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

/// `dx`. Where the kernel moved by one it may be a convolution of `dy` with the kernel turned around; otherwise every image's
/// gradient is multiplied back to patches, which are then added up. `scratch` holds a kernel.
pub(in crate::backend::cpu) fn input_gradient<T: Float>(
    g: &Geometry,
    scratch: &mut [T],
    sink: Sink<'_, '_>,
    dy: &[T],
    kernel: &[T],
) -> Result<()> {
    let size = g.kh * g.kw * g.c * g.f;
    let (turned, kernel) = (&mut scratch[..size], &kernel[..size]);
    match back(g).filter(|back| g.c > g.f || by_line::<T>(back) && at_no_cost(g)) {
        Some(back) => {
            // The kernel as (kh, kw, f) x c, its lines and columns from the last to the first.
            let taps = kernel.chunks_exact(g.c * g.f).zip(turned.chunks_exact_mut(g.c * g.f).rev());
            taps.for_each(|(from, to)| copies::transpose(from, g.f, to));
            forward(&back, sink, dy, turned, View::rows(0, g.c))
        }
        None => {
            // The kernel as f x (kh, kw, c).
            copies::transpose(kernel, g.f, turned);
            fold(g, sink, dy, turned)
        }
    }
}

/// Whether the input has hardly more positions than the output: a convolution back computes each of them.
fn at_no_cost(g: &Geometry) -> bool {
    16 * g.h * g.w <= 17 * g.oh * g.ow
}

/// The convolution that leads back from the output to the input, if one does.
fn back(g: &Geometry) -> Option<Geometry> {
    let pad = |kernel: usize, dilation: usize, pad: usize| ((kernel - 1) * dilation).checked_sub(pad);
    (g.stride_h * g.stride_w == 1).then_some(())?;
    Some(Geometry {
        h: g.oh,
        w: g.ow,
        c: g.f,
        f: g.c,
        oh: g.h,
        ow: g.w,
        pad_h: pad(g.kh, g.dilation_h, g.pad_h)?,
        pad_w: pad(g.kw, g.dilation_w, g.pad_w)?,
        ..*g
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
