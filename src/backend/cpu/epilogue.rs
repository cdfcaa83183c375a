//! What follows the kernels of products, windows and sums by index: a program over all that they computed.

use smallvec::SmallVec;

use super::bufs::Bufs;
use super::interp::Ctx;
use super::pointwise::Pointwise;
use super::space::{Outs, Words};
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::program::{Access, Instr, Program};

/// What a kernel computes before its epilogue, and where that is put until then.
pub(super) struct Epilogue {
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
    pub(super) fn new(program: &Program, dims: &[usize], dtype: DType, bufs: &mut Bufs) -> Result<Self> {
        let flat = flat(dims);
        let same =
            |at: &Access| dims.iter().zip(at.strides.iter().zip(&flat.strides)).all(|(&e, (a, b))| e == 1 || a == b);
        let shared = |k: Option<u16>| program.stores.iter().filter(|s| bufs.out(s.buf) == k).count() > 1;
        let loaded = |k: Option<u16>| {
            program.lines.iter().any(|l| matches!(&l.instr, Instr::Load { buf, .. } if bufs.out(*buf) == k))
        };
        let fits = |s: &&crate::plan::program::Store| {
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
    pub(super) fn work(&self) -> usize {
        if self.direct { 0 } else { self.point.work() }
    }

    /// The scratch memory it needs, in words.
    pub(super) fn scratch(&self) -> usize {
        if self.target.is_some() { 0 } else { (self.numel * self.dtype.size()).div_ceil(8) }
    }

    /// Calls `produce` with the place for all values and the rest of the scratch memory, then computes the epilogue.
    pub(super) fn run(
        &self,
        scratch: &mut [u64],
        ctx: Ctx<'_>,
        mut outs: Outs<'_>,
        produce: impl FnOnce(Words<'_>, &mut [u64]) -> Result<()>,
    ) -> Result<()> {
        match self.target {
            Some(k) => {
                let piece = &mut outs[k as usize].pieces[0];
                let words = match self.dtype.size() {
                    8 => Words::Eight(&mut piece.words_mut(self.offset as i64)[..self.numel]),
                    _ => Words::Four(&mut piece.words_mut(self.offset as i64)[..self.numel]),
                };
                produce(words, scratch)?;
                if !self.direct {
                    self.point.run(ctx, outs);
                }
            }
            None => {
                let (values, rest) = scratch.split_at_mut(self.scratch());
                let words = match self.dtype.size() {
                    8 => Words::Eight(&mut values[..self.numel]),
                    _ => Words::Four(&mut bytemuck::cast_slice_mut(values)[..self.numel]),
                };
                produce(words, rest)?;
                let ins: SmallVec<[&[u64]; 8]> = ctx.ins.iter().copied().chain([&*values]).collect();
                self.point.run(Ctx { ins: &ins, params: ctx.params }, outs);
            }
        }
        Ok(())
    }
}

/// The row-major address over `dims`.
fn flat(dims: &[usize]) -> Access {
    let mut step = 1i64;
    let mut strides: crate::plan::program::Dims<i64> = dims
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
