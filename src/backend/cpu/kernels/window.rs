//! Pooling and its gradients, channels last: every loop runs over the channels, which are neighbours in memory.

use std::ops::Range;

use bytemuck::Pod;
use smallvec::SmallVec;

use super::Kernel;
use super::epilogue::{Epilogue, Sink};
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::Outs;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::math::vectorize;
use crate::ir::step::Step;
use crate::ir::window::{Geometry, Window, WindowOp};

pub(in crate::backend::cpu) struct Pool {
    op: WindowOp,
    geometry: Geometry,
    dtype: DType,
    inputs: SmallVec<[u16; 4]>,
    epilogue: Epilogue,
}

/// Bytes of the result that are computed at a time: they fit in a second-level cache with what they are made of.
const PART_BYTES: usize = 1 << 17;

/// Elements that can be pooled.
pub(in crate::backend::cpu) trait Value: Pod + PartialOrd + Send + Sync {
    const ZERO: Self;
    /// What every other value is at least as great as: the greatest of no values.
    const LOWEST: Self;
    /// Integers wrap.
    fn plus(self, other: Self) -> Self;
}

macro_rules! value {
    ($($t:ty: $zero:expr, $lowest:expr, $plus:expr;)*) => {$(
        impl Value for $t {
            const ZERO: Self = $zero;
            const LOWEST: Self = $lowest;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }
        }
    )*};
}
value! {
    f32: 0.0, f32::NEG_INFINITY, |a, b| a + b;
    f64: 0.0, f64::NEG_INFINITY, |a, b| a + b;
    i32: 0, i32::MIN, i32::wrapping_add;
    u32: 0, u32::MIN, u32::wrapping_add;
}

/// Whether `new` comes before `best` as the greatest: greater, or the first NaN.
#[inline(always)]
#[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
pub(in crate::backend::cpu) fn beats<T: Value>(new: T, best: T) -> bool {
    (new > best) | ((new != new) & (best == best))
}

impl Pool {
    pub(in crate::backend::cpu) fn new(w: &Window, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        let g = &w.geometry;
        let (x, y) = (g.batch * g.h * g.w * g.c, g.batch * g.oh * g.ow * g.c);
        let lengths: &[usize] = match w.op {
            WindowOp::Max | WindowOp::Sum => &[x],
            WindowOp::MaxGrad => &[x, y],
            WindowOp::MaxPick => &[x, x],
            WindowOp::SumGrad => &[y],
        };
        if step.operands.len() != lengths.len() {
            return Err(Error::internal(format!("{:?} of {} inputs", w.op, step.operands.len())));
        }
        for (&input, &len) in step.operands.iter().zip(lengths) {
            bufs.operand(input, w.dtype, len)?;
        }
        let epilogue = Epilogue::new(step, &[w.dtype], bufs)?;
        Ok(Pool { op: w.op, geometry: w.geometry, dtype: w.dtype, inputs: step.operands.clone(), epilogue })
    }

    /// Lines of the result, and the picoseconds that each takes.
    fn lines(&self) -> (usize, usize) {
        let g = &self.geometry;
        let (height, width) = match self.op {
            WindowOp::MaxGrad | WindowOp::SumGrad => (g.h, g.w),
            _ => (g.oh, g.ow),
        };
        (g.batch * height, width * g.c * g.kh * g.kw * 300)
    }
}

impl Kernel for Pool {
    fn work(&self) -> usize {
        let (lines, each) = self.lines();
        (lines * each).max(self.epilogue.work())
    }

    fn scratch(&self) -> usize {
        self.epilogue.scratch()
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, _) = self.epilogue.sink(scratch, ctx, outs);
        match self.dtype {
            DType::F32 => self.compute::<f32>(ctx, sink),
            DType::F64 => self.compute::<f64>(ctx, sink),
            DType::I32 => self.compute::<i32>(ctx, sink),
            _ => self.compute::<u32>(ctx, sink),
        }
    }
}

impl Pool {
    fn compute<T: Value>(&self, ctx: Ctx<'_>, sink: Sink<'_, '_>) -> Result<()> {
        let g = &self.geometry;
        let input = |i: usize| -> &[T] { bytemuck::cast_slice(ctx.ins[self.inputs[i] as usize]) };
        let (height, width) = match self.op {
            WindowOp::MaxGrad | WindowOp::SumGrad => (g.h, g.w),
            _ => (g.oh, g.ow),
        };
        let line = width * g.c;
        // Whole images where they are small: windows at their edges belong to one part then.
        let fitting = PART_BYTES / (line * size_of::<T>()).max(1);
        let lines = if fitting >= height { fitting / height.max(1) * height } else { fitting }.max(1);
        let (all, each) = self.lines();
        sink.parts(lines * line, all * each, |at, out| {
            let (mut at, mut rest) = (at / line, out);
            while !rest.is_empty() {
                let (n, first) = (at / height, at % height);
                let count = (height - first).min(rest.len() / line);
                let (part, tail) = rest.split_at_mut(count * line);
                self.image(n, first..first + count, input(0), input(self.inputs.len() - 1), part);
                (at, rest) = (at + count, tail);
            }
            Ok(())
        })
    }

    /// Lines `lines` of image `n` of the result.
    fn image<T: Value>(&self, n: usize, lines: Range<usize>, x: &[T], y: &[T], out: &mut [T]) {
        let g = &self.geometry;
        let (before, after) = (g.h * g.w * g.c, g.oh * g.ow * g.c);
        let (xi, yi) = (n * before, n * after);
        vectorize(
            #[inline(always)]
            || match self.op {
                WindowOp::Max => max(g, lines.clone(), &x[xi..][..before], out),
                WindowOp::Sum => sum(g, lines.clone(), &x[xi..][..before], out),
                WindowOp::MaxPick => max_pick(g, lines.clone(), &x[xi..][..before], &y[xi..][..before], out),
                WindowOp::MaxGrad => max_grad(g, lines.clone(), &x[xi..][..before], &y[yi..][..after], out),
                WindowOp::SumGrad => sum_grad(g, lines.clone(), &x[yi..][..after], out),
            },
        );
    }
}

/// Calls `f(tap, offset)` for the taps of the window at `(oh, ow)` that lie inside, in row-major order.
#[inline(always)]
fn inside(g: &Geometry, oh: usize, ow: usize, mut f: impl FnMut(u32, usize, usize)) {
    for kh in 0..g.kh {
        let Some(ih) = (oh * g.stride_h + kh * g.dilation_h).checked_sub(g.pad_h).filter(|&i| i < g.h) else {
            continue;
        };
        for kw in 0..g.kw {
            let Some(iw) = (ow * g.stride_w + kw * g.dilation_w).checked_sub(g.pad_w).filter(|&i| i < g.w) else {
                continue;
            };
            f((kh * g.kw + kw) as u32, ih, (ih * g.w + iw) * g.c);
        }
    }
}

#[inline(always)]
fn max<T: Value>(g: &Geometry, lines: Range<usize>, x: &[T], out: &mut [T]) {
    for (point, out) in out.chunks_exact_mut(g.c).enumerate() {
        let mut first = true;
        inside(g, lines.start + point / g.ow, point % g.ow, |_, _, at| {
            let x = &x[at..][..g.c];
            if std::mem::take(&mut first) {
                out.copy_from_slice(x);
            } else {
                out.iter_mut().zip(x).for_each(|(o, &v)| *o = if beats(v, *o) { v } else { *o });
            }
        });
        if first {
            // The window lies wholly in the padding.
            out.fill(T::LOWEST);
        }
    }
}

#[inline(always)]
fn sum<T: Value>(g: &Geometry, lines: Range<usize>, x: &[T], out: &mut [T]) {
    for (point, out) in out.chunks_exact_mut(g.c).enumerate() {
        out.fill(T::ZERO);
        inside(g, lines.start + point / g.ow, point % g.ow, |_, _, at| {
            out.iter_mut().zip(&x[at..][..g.c]).for_each(|(o, &v)| *o = o.plus(v));
        });
    }
}

/// The tap of the first greatest value of each channel's window; `best` is scratch.
#[inline(always)]
fn first_greatest<T: Value>(g: &Geometry, oh: usize, ow: usize, x: &[T], best: &mut [T], taps: &mut [u32]) {
    let mut first = true;
    inside(g, oh, ow, |tap, _, at| {
        let x = &x[at..][..g.c];
        if std::mem::take(&mut first) {
            best.copy_from_slice(x);
            taps.fill(tap);
        } else {
            for ((b, t), &v) in best.iter_mut().zip(taps.iter_mut()).zip(x) {
                let take = beats(v, *b);
                *b = if take { v } else { *b };
                *t = if take { tap } else { *t };
            }
        }
    });
}

#[inline(always)]
fn max_pick<T: Value>(g: &Geometry, lines: Range<usize>, x: &[T], y: &[T], out: &mut [T]) {
    let (mut best, mut taps) = (vec![T::ZERO; g.c], vec![0; g.c]);
    for (point, out) in out.chunks_exact_mut(g.c).enumerate() {
        let (oh, ow) = (lines.start + point / g.ow, point % g.ow);
        first_greatest(g, oh, ow, x, &mut best, &mut taps);
        // Stays where the window lies wholly in the padding.
        out.fill(T::ZERO);
        inside(g, oh, ow, |tap, _, at| {
            for ((o, &t), &v) in out.iter_mut().zip(&taps).zip(&y[at..][..g.c]) {
                *o = if t == tap { v } else { *o };
            }
        });
    }
}

#[inline(always)]
fn max_grad<T: Value>(g: &Geometry, lines: Range<usize>, x: &[T], dy: &[T], out: &mut [T]) {
    out.fill(T::ZERO);
    let (mut best, mut taps) = (vec![T::ZERO; g.c], vec![0; g.c]);
    let from = lines.start * g.w * g.c;
    for oh in 0..g.oh {
        // Only windows that reach these lines.
        let (top, bottom) = (oh * g.stride_h, oh * g.stride_h + (g.kh - 1) * g.dilation_h);
        if bottom < lines.start + g.pad_h || top >= lines.end + g.pad_h {
            continue;
        }
        for ow in 0..g.ow {
            first_greatest(g, oh, ow, x, &mut best, &mut taps);
            let dy = &dy[(oh * g.ow + ow) * g.c..][..g.c];
            inside(g, oh, ow, |tap, ih, at| {
                if lines.contains(&ih) {
                    let out = &mut out[at - from..][..g.c];
                    for ((o, &t), &v) in out.iter_mut().zip(&taps).zip(dy) {
                        *o = o.plus(if t == tap { v } else { T::ZERO });
                    }
                }
            });
        }
    }
}

#[inline(always)]
fn sum_grad<T: Value>(g: &Geometry, lines: Range<usize>, dy: &[T], out: &mut [T]) {
    out.fill(T::ZERO);
    let from = lines.start * g.w * g.c;
    for oh in 0..g.oh {
        let (top, bottom) = (oh * g.stride_h, oh * g.stride_h + (g.kh - 1) * g.dilation_h);
        if bottom < lines.start + g.pad_h || top >= lines.end + g.pad_h {
            continue;
        }
        for ow in 0..g.ow {
            let dy = &dy[(oh * g.ow + ow) * g.c..][..g.c];
            inside(g, oh, ow, |_, ih, at| {
                if lines.contains(&ih) {
                    out[at - from..][..g.c].iter_mut().zip(dy).for_each(|(o, &v)| *o = o.plus(v));
                }
            });
        }
    }
}
