//! Scans along an axis: what stands beside the axis in memory goes along in one loop, which the compiler vectorises.

use bytemuck::Pod;

use super::Kernel;
use super::epilogue::Epilogue;
use super::window::{Value, beats};
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::{Outs, Words};
use crate::backend::cpu::threads::{each, grain};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::scan::{Scan, ScanOp};
use crate::ir::step::Step;

/// Picoseconds for an element.
const EACH: usize = 800;

pub(in crate::backend::cpu) struct Running {
    of: Scan,
    operands: [u16; 2],
    epilogue: Epilogue,
}

impl Running {
    pub(in crate::backend::cpu) fn new(s: &Scan, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        let operands = match (s.op, &step.operands[..]) {
            (ScanOp::Linear, &[a, b]) => [a, b],
            (ScanOp::Linear, _) | (_, []) => return Err(Error::internal("a scan without its operands")),
            (_, &[x, ..]) => [x, x],
        };
        for buf in operands {
            bufs.operand(buf, s.dtype, s.outer * s.extent * s.inner)?;
        }
        Ok(Running { of: *s, operands, epilogue: Epilogue::new(step, &s.results(), bufs)? })
    }

    /// Calls `one(position, offset of its first element, offset of the elements before it)` along the axis.
    fn walk(&self, mut one: impl FnMut(usize, usize, Option<usize>)) {
        let Scan { extent, inner, backwards, .. } = self.of;
        let mut before = None;
        for i in 0..extent {
            let at = if backwards { extent - 1 - i } else { i };
            one(at, at * inner, before);
            before = Some(at * inner);
        }
    }

    /// Lets `one` fill the result for each outer point, on several threads where that is worth it.
    fn outer<T: Pod + Send>(&self, out: &mut [T], one: impl Fn(usize, &mut [T]) + Sync) {
        let part = self.of.extent * self.of.inner;
        if part == 0 {
            return;
        }
        let some = part * grain(out.len() / part, part * EACH);
        each(some < out.len(), out.chunks_mut(some), |i, out| {
            out.chunks_mut(part).enumerate().for_each(|(o, out)| one(i * some + o * part, out));
        });
    }

    fn fold<T: Value>(&self, x: &[T], out: &mut [T], f: impl Fn(T, T) -> T + Sync) {
        let inner = self.of.inner;
        self.outer(out, |base, out| {
            self.walk(|_, at, before| {
                let x = &x[base + at..][..inner];
                match before {
                    None => out[at..][..inner].copy_from_slice(x),
                    Some(before) => {
                        let (low, high) = out.split_at_mut(at.max(before));
                        let (y, last) = if before < at {
                            (&mut high[..inner], &low[before..][..inner])
                        } else {
                            (&mut low[at..][..inner], &high[..inner])
                        };
                        y.iter_mut().zip(last).zip(x).for_each(|((y, &last), &x)| *y = f(last, x));
                    }
                }
            });
        });
    }

    /// Where the extreme so far stands; then its values.
    fn extremes<T: Value>(&self, x: &[T], values: &mut [T], places: &mut [i32], beats: impl Fn(T, T) -> bool + Sync) {
        let inner = self.of.inner;
        self.outer(places, |base, places| {
            self.walk(|i, at, before| {
                for k in 0..inner {
                    let value = |place: i32| x[base + place as usize * inner + k];
                    let best = before.map(|before| places[before + k]);
                    places[at + k] = match best {
                        Some(best) if !beats(value(i as i32), value(best)) => best,
                        _ => i as i32,
                    };
                }
            });
        });
        let part = self.of.extent * inner;
        for (i, (value, &place)) in values.iter_mut().zip(&*places).enumerate() {
            *value = x[i / part * part + place as usize * inner + i % inner];
        }
    }

    fn linear<T: Value + std::ops::Mul<Output = T>>(&self, a: &[T], b: &[T], out: &mut [T]) {
        let inner = self.of.inner;
        self.outer(out, |base, out| {
            self.walk(|_, at, before| {
                for k in 0..inner {
                    let last = before.map(|before| out[before + k]);
                    let b = b[base + at + k];
                    out[at + k] = last.map_or(b, |last| (a[base + at + k] * last).plus(b));
                }
            });
        });
    }

    fn compute<T: Value>(
        &self,
        ctx: Ctx<'_>,
        results: &mut [Words<'_>],
        times: impl Fn(T, T) -> T + Sync,
    ) -> Result<()> {
        let x: &[T] = bytemuck::cast_slice(ctx.ins[self.operands[0] as usize]);
        match (self.of.op, results) {
            (ScanOp::Sum, [y]) => self.fold(x, y.cast_mut(), T::plus),
            (ScanOp::Prod, [y]) => self.fold(x, y.cast_mut(), times),
            (ScanOp::Max, [y, places]) => self.extremes(x, y.cast_mut(), places.cast_mut(), beats::<T>),
            #[allow(clippy::eq_op, reason = "false only for NaN, in generic code")]
            (ScanOp::Min, [y, places]) => self.extremes(x, y.cast_mut(), places.cast_mut(), |new: T, best: T| {
                (new < best) | ((new != new) & (best == best))
            }),
            _ => return Err(Error::internal("a scan of another type")),
        }
        Ok(())
    }
}

impl Kernel for Running {
    fn work(&self) -> usize {
        (self.of.outer * self.of.extent * self.of.inner * EACH).max(self.epilogue.work())
    }

    fn scratch(&self) -> usize {
        self.epilogue.scratch()
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, _) = self.epilogue.sink(scratch, ctx, outs);
        let operand = |i: usize| ctx.ins[self.operands[i] as usize];
        sink.all(|results| match (self.of.op, self.of.dtype, &mut *results) {
            (ScanOp::Linear, DType::F32, [y]) => {
                self.linear::<f32>(bytemuck::cast_slice(operand(0)), bytemuck::cast_slice(operand(1)), y.cast_mut());
                Ok(())
            }
            (ScanOp::Linear, DType::F64, [y]) => {
                self.linear::<f64>(bytemuck::cast_slice(operand(0)), bytemuck::cast_slice(operand(1)), y.cast_mut());
                Ok(())
            }
            (_, DType::F32, _) => self.compute::<f32>(ctx, results, |a, b| a * b),
            (_, DType::F64, _) => self.compute::<f64>(ctx, results, |a, b| a * b),
            (_, DType::I32, _) => self.compute::<i32>(ctx, results, i32::wrapping_mul),
            _ => self.compute::<u32>(ctx, results, u32::wrapping_mul),
        })
    }
}
