//! The families of steps on the CPU, a file each, and what they share.

mod conv;
mod custom;
mod draft;
mod epilogue;
mod gemm;
mod matrix;
mod nest;
mod pointwise;
mod scan;
mod scatter;
mod sort;
mod tiling;
mod window;

use self::custom::Call;
use self::draft::Draft;
use self::gemm::Product;
use self::pointwise::Pointwise;
use self::scan::Running;
use self::scatter::ScatterAdd;
use self::sort::Sorter;
use self::window::Pool;
use super::bindings::Bindings;
use super::program::compile::without_copies;
use super::program::interp::Ctx;
use super::program::space::Outs;
use crate::error::Result;
use crate::ir::step::{Family, Step};

/// A step ready to run.
pub(super) trait Kernel: Send + Sync {
    /// Its work in picoseconds, as far as threads can divide it.
    fn work(&self) -> usize;

    /// The scratch memory it needs, in words of 8 bytes.
    fn scratch(&self) -> usize {
        0
    }

    /// Runs it: `ctx` has what it reads, `outs` what it writes.
    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()>;
}

/// Makes a step ready.
pub(super) fn prepare(step: &Step, bufs: &mut Bindings) -> Result<Box<dyn Kernel>> {
    bufs.check(&step.program, &step.outer(), &step.inner())?;
    Ok(match &step.family {
        Family::Nest if step.mask == 0 => {
            let program = without_copies(&step.program);
            let levels = vec![false; program.lines.len()];
            let wiring = bufs.wire(&program, &levels, true);
            Box::new(Pointwise::new(&step.space, &program, &wiring, bufs.outputs())?)
        }
        Family::Nest => {
            let draft = Draft::new(step);
            let wiring = bufs.wire(draft.program(), &draft.levels, draft.may_overwrite());
            Box::new(draft.compile(&wiring, bufs.outputs())?)
        }
        Family::Gemm(g) => Box::new(Product::new(g, step, bufs)?),
        Family::Window(w) => Box::new(Pool::new(w, step, bufs)?),
        Family::Scatter(s) => Box::new(ScatterAdd::new(s, step, bufs)?),
        Family::Scan(s) => Box::new(Running::new(s, step, bufs)?),
        Family::Sort(s) => Box::new(Sorter::new(s, step, bufs)?),
        Family::Custom(c) => Box::new(Call::new(c, step, bufs)?),
    })
}
