//! A program's own operations.

use smallvec::SmallVec;

use super::Kernel;
use super::epilogue::Epilogue;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::Outs;
use crate::error::{Error, Result};
use crate::ir::custom::Custom;
use crate::ir::step::Step;

pub(in crate::backend::cpu) struct Call {
    of: Custom,
    operands: SmallVec<[u16; 4]>,
    epilogue: Epilogue,
}

impl Call {
    pub(in crate::backend::cpu) fn new(c: &Custom, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        for (&buf, (shape, dtype)) in step.operands.iter().zip(&c.inputs) {
            bufs.operand(buf, *dtype, shape.numel())?;
        }
        let epilogue = Epilogue::new(step, &[c.output.1], bufs)?;
        Ok(Call { of: c.clone(), operands: step.operands.clone(), epilogue })
    }
}

impl Kernel for Call {
    // How long it takes nobody knows, and it is not divided among threads.
    fn work(&self) -> usize {
        self.epilogue.work()
    }

    fn scratch(&self) -> usize {
        self.epilogue.scratch()
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let Some(f) = &self.of.of.cpu else {
            return Err(Error::internal(format!("`{}` has no function for the CPU engine", self.of.of.name)));
        };
        let inputs = self.operands.iter().zip(&self.of.inputs);
        let inputs: Vec<&[u8]> = inputs
            .map(|(&buf, (shape, dtype))| &bytemuck::cast_slice(ctx.ins[buf as usize])[..shape.numel() * dtype.size()])
            .collect();
        let (sink, _) = self.epilogue.sink(scratch, ctx, outs);
        sink.all(|results| {
            results.iter_mut().for_each(|out| f(&inputs, &self.of.params, out.cast_mut()));
            Ok(())
        })
    }
}
