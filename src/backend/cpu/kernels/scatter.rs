//! Sums by index: every result adds its own sources in their order, so threads never meet and the bits never change.

use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::window::Value;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::Outs;
use crate::backend::cpu::threads::grain;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::Dims;
use crate::ir::step;

pub(in crate::backend::cpu) struct Scatter {
    dtype: DType,
    outer: usize,
    extent: usize,
    inner: usize,
    count: usize,
    base: Option<u16>,
    index: u16,
    signed: bool,
    src: u16,
    epilogue: Epilogue,
}

impl Scatter {
    pub(in crate::backend::cpu) fn new(s: &step::Scatter, bufs: &mut Bindings) -> Result<Self> {
        let numel = s.outer * s.extent * s.inner;
        if let Some(base) = s.base {
            bufs.operand(base, s.dtype, numel)?;
        }
        bufs.operand(s.index, DType::I32, s.count)?;
        bufs.operand(s.src, s.dtype, s.outer * s.count * s.inner)?;
        let dims: Dims<usize> = Dims::from_slice(&[numel]);
        Ok(Scatter {
            dtype: s.dtype,
            outer: s.outer,
            extent: s.extent,
            inner: s.inner,
            count: s.count,
            base: s.base,
            index: s.index,
            signed: bufs.dtype(s.index) == DType::I32,
            src: s.src,
            epilogue: Epilogue::new(&s.epilogue, &dims, s.dtype, bufs)?,
        })
    }

    /// Rows of the result, and the picoseconds that each takes.
    fn rows(&self) -> (usize, usize) {
        let rows = self.outer * self.extent;
        (rows, self.inner * 300 + self.outer * self.count * self.inner * 500 / rows.max(1))
    }

    pub(in crate::backend::cpu) fn work(&self) -> usize {
        let (rows, each) = self.rows();
        (rows * each).max(self.epilogue.work())
    }

    pub(in crate::backend::cpu) fn scratch(&self) -> usize {
        self.epilogue.scratch() + (self.extent + 2 + self.count).div_ceil(2)
    }

    pub(in crate::backend::cpu) fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, scratch) = self.epilogue.sink(scratch, ctx, outs);
        match self.dtype {
            DType::F32 => sink.whole(|out| self.compute::<f32>(scratch, ctx, out)),
            DType::F64 => sink.whole(|out| self.compute::<f64>(scratch, ctx, out)),
            _ => sink.whole(|out| self.compute::<u32>(scratch, ctx, out)),
        }
    }

    fn compute<T: Value>(&self, scratch: &mut [u64], ctx: Ctx<'_>, out: &mut [T]) -> Result<()> {
        let Scatter { outer, extent, inner, count, signed, .. } = *self;
        if out.is_empty() {
            return Ok(());
        }
        let base: Option<&[T]> = self.base.map(|b| bytemuck::cast_slice(ctx.ins[b as usize]));
        let src: &[T] = bytemuck::cast_slice(ctx.ins[self.src as usize]);
        let index: &[u32] = &bytemuck::cast_slice(ctx.ins[self.index as usize])[..count];
        let target = |word: u32| -> Option<usize> {
            let v = if signed { i64::from(word as i32) } else { i64::from(word) };
            let v = if v < 0 { v + extent as i64 } else { v };
            (0..extent as i64).contains(&v).then_some(v as usize)
        };
        let begin = |out: &mut [T], at: usize| match base {
            Some(base) => out.copy_from_slice(&base[at..][..out.len()]),
            None => out.fill(T::ZERO),
        };
        let add = |out: &mut [T], o: usize, j: usize| {
            let src = &src[(o * count + j) * inner..][..inner];
            out.iter_mut().zip(src).for_each(|(o, &v)| *o = o.plus(v));
        };
        let (rows, each) = self.rows();
        let part = grain(rows, each);
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
        out.par_chunks_mut(part * inner).enumerate().for_each(|(p, out)| {
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
