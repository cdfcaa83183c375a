//! Sums by index: every result adds its own sources in their order, so threads never meet and the bits never change.

use super::Kernel;
use super::epilogue::Epilogue;
use super::window::Value;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::Outs;
use crate::backend::cpu::threads::{each, grain};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::scatter::Scatter;
use crate::ir::step::Step;

pub(in crate::backend::cpu) struct ScatterAdd {
    of: Scatter,
    base: u16,
    index: u16,
    src: u16,
    signed: bool,
    epilogue: Epilogue,
}

impl ScatterAdd {
    pub(in crate::backend::cpu) fn new(s: &Scatter, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        let [base, index, src] = step.operands[..] else {
            return Err(Error::internal("a scatter of other than three"));
        };
        bufs.operand(base, s.dtype, s.numel())?;
        bufs.operand(index, DType::I32, s.count)?;
        bufs.operand(src, s.dtype, s.outer * s.count * s.inner)?;
        let signed = bufs.dtype(index) == DType::I32;
        Ok(ScatterAdd { of: *s, base, index, src, signed, epilogue: Epilogue::new(step, &[s.dtype], bufs)? })
    }

    /// Rows of the result, and the picoseconds that each takes.
    fn rows(&self) -> (usize, usize) {
        let Scatter { outer, extent, inner, count, .. } = self.of;
        let rows = outer * extent;
        (rows, inner * 300 + outer * count * inner * 500 / rows.max(1))
    }

    fn compute<T: Value>(&self, scratch: &mut [u64], ctx: Ctx<'_>, out: &mut [T]) -> Result<()> {
        let (Scatter { outer, extent, inner, count, .. }, signed) = (self.of, self.signed);
        if out.is_empty() {
            return Ok(());
        }
        let base: &[T] = bytemuck::cast_slice(ctx.ins[self.base as usize]);
        let src: &[T] = bytemuck::cast_slice(ctx.ins[self.src as usize]);
        let index: &[u32] = &bytemuck::cast_slice(ctx.ins[self.index as usize])[..count];
        let target = |word: u32| -> Option<usize> {
            let v = if signed { i64::from(word as i32) } else { i64::from(word) };
            let v = if v < 0 { v + extent as i64 } else { v };
            (0..extent as i64).contains(&v).then_some(v as usize)
        };
        let begin = |out: &mut [T], at: usize| out.copy_from_slice(&base[at..][..out.len()]);
        let add = |out: &mut [T], o: usize, j: usize| {
            let src = &src[(o * count + j) * inner..][..inner];
            out.iter_mut().zip(src).for_each(|(o, &v)| *o = o.plus(v));
        };
        let (rows, cost) = self.rows();
        let part = grain(rows, cost);
        if part >= rows {
            begin(out, 0);
            for o in 0..outer {
                for (j, &word) in index.iter().enumerate() {
                    if let Some(v) = target(word) {
                        add(&mut out[(o * extent + v) * inner..][..inner], o, j);
                    }
                }
            }
            return Ok(());
        }
        // The sources of each target, in order: a counting sort. `starts[v + 1]` first counts, then runs through v's sources.
        let (starts, order) = bytemuck::cast_slice_mut::<u64, u32>(scratch).split_at_mut(extent + 2);
        starts.fill(0);
        for v in index.iter().filter_map(|&w| target(w)) {
            starts[v + 2] += 1;
        }
        for v in 1..starts.len() {
            starts[v] += starts[v - 1];
        }
        for (j, v) in index.iter().enumerate().filter_map(|(j, &w)| Some((j, target(w)?))) {
            order[starts[v + 1] as usize] = j as u32;
            starts[v + 1] += 1;
        }
        let (starts, order) = (&*starts, &*order);
        each(true, out.chunks_mut(part * inner), |p, out| {
            begin(out, p * part * inner);
            for (i, out) in out.chunks_exact_mut(inner).enumerate() {
                let (o, v) = ((p * part + i) / extent, (p * part + i) % extent);
                for &j in &order[starts[v] as usize..starts[v + 1] as usize] {
                    add(out, o, j as usize);
                }
            }
        });
        Ok(())
    }
}

impl Kernel for ScatterAdd {
    fn work(&self) -> usize {
        let (rows, each) = self.rows();
        (rows * each).max(self.epilogue.work())
    }

    fn scratch(&self) -> usize {
        self.epilogue.scratch() + (self.of.extent + 2 + self.of.count).div_ceil(2)
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, scratch) = self.epilogue.sink(scratch, ctx, outs);
        match self.of.dtype {
            DType::F32 => sink.whole(|out| self.compute::<f32>(scratch, ctx, out)),
            DType::F64 => sink.whole(|out| self.compute::<f64>(scratch, ctx, out)),
            _ => sink.whole(|out| self.compute::<u32>(scratch, ctx, out)),
        }
    }
}
