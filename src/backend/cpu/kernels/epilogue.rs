//! What follows the kernels of products, windows and sums by index: a program over all that they computed.

use std::sync::OnceLock;

use bytemuck::Pod;
use rayon::prelude::*;
use smallvec::SmallVec;

use super::pointwise::Pointwise;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::{Outs, fork};
use crate::backend::cpu::threads::forks;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, Instr, Program};

/// What a kernel computes before its epilogue, and where that is put until then.
pub(in crate::backend::cpu) struct Epilogue {
    /// The output that holds it, when there is one of the right type and order; otherwise it is scratch memory.
    target: Option<u16>,
    offset: usize,
    /// There is nothing more to do.
    direct: bool,
    point: Pointwise,
    numel: usize,
    dtype: DType,
}

impl Epilogue {
    pub(in crate::backend::cpu) fn new(
        program: &Program,
        dims: &[usize],
        dtype: DType,
        bufs: &mut Bindings,
    ) -> Result<Self> {
        let flat = flat(dims);
        let same =
            |at: &Access| dims.iter().zip(at.strides.iter().zip(&flat.strides)).all(|(&e, (a, b))| e == 1 || a == b);
        let shared = |k: Option<u16>| program.stores.iter().filter(|s| bufs.out(s.buf) == k).count() > 1;
        let loaded = |k: Option<u16>| {
            program.lines.iter().any(|l| matches!(&l.instr, Instr::Load { buf, .. } if bufs.out(*buf) == k))
        };
        let fits = |s: &&crate::ir::program::Store| {
            let k = bufs.out(s.buf);
            same(&s.at) && program.lines[s.reg as usize].dtype.size() == dtype.size() && !shared(k) && !loaded(k)
        };
        let numel = dims.iter().product();
        let target = program.stores.iter().find(fits);
        let direct = target
            .is_some_and(|s| program.stores.len() == 1 && matches!(program.lines[s.reg as usize].instr, Instr::Acc));
        let (place, offset) = (target.and_then(|s| bufs.out(s.buf)), target.map_or(0, |s| s.at.offset as usize));
        let rewritten = match target {
            Some(s) => super::pointwise::with_acc(program, s.buf, &s.at),
            None => super::pointwise::with_acc(program, bufs.len() as u16, &flat),
        };
        let levels = vec![false; rewritten.lines.len()];
        let wiring = bufs.wire(&rewritten, &levels, true);
        let point = Pointwise::new(dims, &rewritten, &wiring, bufs.outputs())?;
        Ok(Epilogue { target: place, offset, direct, point, numel, dtype })
    }

    /// Its work in picoseconds.
    pub(in crate::backend::cpu) fn work(&self) -> usize {
        if self.direct { 0 } else { self.point.work() }
    }

    /// The scratch memory it needs, in words.
    pub(in crate::backend::cpu) fn scratch(&self) -> usize {
        if self.target.is_some() { 0 } else { (self.numel * self.dtype.size()).div_ceil(8) }
    }

    /// Where the kernel puts its values, and the rest of the scratch memory.
    pub(in crate::backend::cpu) fn sink<'s, 'o>(
        &'s self,
        scratch: &'s mut [u64],
        ctx: Ctx<'s>,
        outs: Outs<'o>,
    ) -> (Sink<'s, 'o>, &'s mut [u64]) {
        let (values, rest) = scratch.split_at_mut(self.scratch());
        (Sink { epilogue: self, ctx, outs, values }, rest)
    }
}

/// Takes what a kernel computes; the epilogue follows.
pub(in crate::backend::cpu) struct Sink<'s, 'o> {
    epilogue: &'s Epilogue,
    ctx: Ctx<'s>,
    outs: Outs<'o>,
    values: &'s mut [u64],
}

impl Sink<'_, '_> {
    /// Lets `produce` compute all values at once.
    pub(in crate::backend::cpu) fn whole<T: Pod>(mut self, produce: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        let e = self.epilogue;
        let Some(k) = e.target else {
            produce(&mut bytemuck::cast_slice_mut(self.values)[..e.numel])?;
            let ins: SmallVec<[&[u64]; 8]> = self.ctx.ins.iter().copied().chain([&*self.values]).collect();
            e.point.run(Ctx { ins: &ins, params: self.ctx.params }, self.outs);
            return Ok(());
        };
        produce(&mut self.outs[k as usize].pieces[0].words_mut(e.offset as i64)[..e.numel])?;
        if !e.direct {
            e.point.run(self.ctx, self.outs);
        }
        Ok(())
    }

    /// Lets `produce` compute the values from a position on, `part` of them at a time, on several threads if
    /// `picoseconds` are worth it. The epilogue follows each part, while that is in the caches.
    pub(in crate::backend::cpu) fn parts<T: Pod + Send>(
        self,
        part: usize,
        picoseconds: usize,
        produce: impl Fn(usize, &mut [T]) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let e = self.epilogue;
        if e.numel == 0 {
            return Ok(());
        }
        let parallel = forks(picoseconds);
        let Some(k) = e.target.filter(|_| e.point.divides(part)) else {
            return self.whole(|out| match parallel {
                true => out.par_chunks_mut(part).enumerate().try_for_each(|(i, out)| produce(i * part, out)),
                false => out.chunks_mut(part).enumerate().try_for_each(|(i, out)| produce(i * part, out)),
            });
        };
        let Sink { ctx, outs, .. } = self;
        let count = e.numel.div_ceil(part);
        let failed = OnceLock::new();
        let cut = |outs, at| e.point.cut(outs, at * part);
        fork(0..count, if parallel { 1 } else { count }, outs, &cut, &|range, mut outs| {
            for i in range {
                let at = i * part..(i * part + part).min(e.numel);
                let values = outs[k as usize].pieces[0].words_mut((e.offset + at.start) as i64);
                match produce(at.start, &mut values[..at.len()]) {
                    Ok(()) if e.direct => {}
                    Ok(()) => e.point.range(ctx, at, &mut outs),
                    // The first error is as good as any other.
                    Err(error) => drop(failed.set(error)),
                }
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }
}

/// The row-major address over `dims`.
fn flat(dims: &[usize]) -> Access {
    let mut step = 1i64;
    let mut strides: crate::ir::program::Dims<i64> = dims
        .iter()
        .rev()
        .map(|&e| {
            let stride = step;
            step *= e as i64;
            stride
        })
        .collect();
    strides.reverse();
    Access { offset: 0, strides }
}
