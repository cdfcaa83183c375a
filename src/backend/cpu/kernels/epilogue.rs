//! What follows the kernels of products, windows and sums by index: a program over all that they computed.

use std::ops::Range;
use std::sync::OnceLock;

use bytemuck::Pod;
use smallvec::SmallVec;

use super::pointwise::Pointwise;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::{Out, Outs, Words, fork};
use crate::backend::cpu::threads::{forks, try_each};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::{Access, Instr, Store};
use crate::ir::step::Step;

/// What a kernel computes before its epilogue, and where that is put until then.
pub(in crate::backend::cpu) struct Epilogue {
    results: SmallVec<[Place; 1]>,
    /// There is nothing more to do.
    direct: bool,
    point: Pointwise,
    numel: usize,
}

/// Where a result is put.
struct Place {
    dtype: DType,
    /// The output that holds it, when there is one of the right type and order, and where it begins there.
    target: Option<(u16, usize)>,
    /// Otherwise its part of the scratch memory, in words.
    scratch: Range<usize>,
}

impl Epilogue {
    /// `dtypes`: those of the family's results.
    pub(in crate::backend::cpu) fn new(step: &Step, dtypes: &[DType], bufs: &mut Bindings) -> Result<Self> {
        let (program, dims) = (&step.program, &step.space[..]);
        let flat = Access::contiguous(dims);
        let numel: usize = dims.iter().product();
        let mut results: SmallVec<[Place; 1]> = SmallVec::new();
        let mut reads: SmallVec<[(u16, Access); 1]> = SmallVec::new();
        let mut direct = program.stores.len() == dtypes.len();
        let mut words = 0;
        for (i, &dtype) in dtypes.iter().enumerate() {
            let of = |s: &Store| program.lines[s.reg as usize].instr == Instr::Acc(i as u8);
            let fits = |s: &&Store| {
                let k = bufs.out(s.buf);
                let taken = results.iter().any(|r| r.target.map(|t| t.0) == k);
                !taken
                    && s.at.same_strides(&flat, dims)
                    && bufs.dtype(s.buf).size() == dtype.size()
                    && program.stores.iter().filter(|s| bufs.out(s.buf) == k).count() == 1
                    && !program.lines.iter().any(|l| matches!(&l.instr, Instr::Load { buf, .. } if bufs.out(*buf) == k))
            };
            // Its own place, or else any in which nothing else has to lie meanwhile.
            let own = program.stores.iter().filter(|s| of(s)).find(fits);
            let spare = || program.stores.iter().filter(|s| dtypes.len() == 1 || of(s)).find(fits);
            let store = own.or_else(spare);
            direct &= store.is_some_and(of);
            let target = store.and_then(|s| Some((bufs.out(s.buf)?, s.at.offset as usize)));
            let end = words + if target.is_some() { 0 } else { (numel * dtype.size()).div_ceil(8) };
            // Scratch parts follow the step's buffers.
            let spill = results.iter().filter(|r| r.target.is_none()).count();
            reads.push(store.map_or(((bufs.len() + spill) as u16, flat.clone()), |s| (s.buf, s.at.clone())));
            results.push(Place { dtype, target, scratch: words..end });
            words = end;
        }
        let rewritten = super::pointwise::with_acc(program, &reads);
        let levels = vec![false; rewritten.lines.len()];
        let wiring = bufs.wire(&rewritten, &levels, true);
        let point = Pointwise::new(dims, &rewritten, &wiring, bufs.outputs())?;
        Ok(Epilogue { results, direct, point, numel })
    }

    /// Its work in picoseconds.
    pub(in crate::backend::cpu) fn work(&self) -> usize {
        if self.direct { 0 } else { self.point.work() }
    }

    /// The scratch memory it needs, in words.
    pub(in crate::backend::cpu) fn scratch(&self) -> usize {
        self.results.last().map_or(0, |r| r.scratch.end)
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
    /// Whether nothing is done with the values.
    pub(in crate::backend::cpu) fn is_direct(&self) -> bool {
        self.epilogue.direct
    }

    /// Lets `produce` compute all values of the one result at once.
    pub(in crate::backend::cpu) fn whole<T: Pod>(self, produce: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
        self.all(|results| match &mut results[..] {
            [Words::Four(words)] if size_of::<T>() == 4 => produce(bytemuck::cast_slice_mut(words)),
            [Words::Eight(words)] if size_of::<T>() == 8 => produce(bytemuck::cast_slice_mut(words)),
            _ => Err(Error::internal("a result of another size")),
        })
    }

    /// Lets `produce` compute all values of all results at once.
    pub(in crate::backend::cpu) fn all(mut self, produce: impl FnOnce(&mut [Words<'_>]) -> Result<()>) -> Result<()> {
        let e = self.epilogue;
        {
            let mut spare = &mut *self.values;
            let mut outs: SmallVec<[Option<&mut Out<'_>>; 3]> = self.outs.iter_mut().map(Some).collect();
            let mut results: SmallVec<[Words<'_>; 1]> = SmallVec::new();
            for place in &e.results {
                let words = match place.target {
                    Some((k, at)) => {
                        let out = outs[k as usize].take().ok_or_else(|| Error::internal("two results in one place"))?;
                        out.pieces[0].reborrow().words.part(at, e.numel)
                    }
                    None => {
                        let (mine, rest) = std::mem::take(&mut spare).split_at_mut(place.scratch.len());
                        spare = rest;
                        Words::of(mine, e.numel, place.dtype.size())
                    }
                };
                results.push(words);
            }
            produce(&mut results)?;
        }
        if e.direct {
            return Ok(());
        }
        let spilled = e.results.iter().filter(|r| r.target.is_none()).map(|r| &self.values[r.scratch.clone()]);
        let ins: SmallVec<[&[u64]; 8]> = self.ctx.ins.iter().copied().chain(spilled).collect();
        e.point.run(Ctx { ins: &ins, params: self.ctx.params }, self.outs);
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
        let Some((k, offset)) = e.results[0].target.filter(|_| e.results.len() == 1 && e.point.divides(part)) else {
            return self.whole(|out| try_each(parallel, out.chunks_mut(part), |i, out| produce(i * part, out)));
        };
        let Sink { ctx, outs, .. } = self;
        let count = e.numel.div_ceil(part);
        let failed = OnceLock::new();
        let cut = |outs, at| e.point.cut(outs, at * part);
        fork(0..count, if parallel { 1 } else { count }, outs, &cut, &|range, mut outs| {
            for i in range {
                let at = i * part..(i * part + part).min(e.numel);
                let values = outs[k as usize].pieces[0].words_mut((offset + at.start) as i64);
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
