//! A program's own shaders: they keep all of wgpu's run-time checks.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use super::Build;
use crate::backend::gpu::dispatch::{Dispatch, Grid, Shader};
use crate::error::{Error, Result};
use crate::ir::custom::{Custom, Source};
use crate::ir::program::Instr;
use crate::ir::step::{Plan, Step};

/// A shader that came with the program.
struct Own {
    name: &'static str,
    source: Source,
}

impl Shader for Own {
    fn body(&self) -> Result<String> {
        Ok(self.source.text.to_string())
    }

    /// As it came: it calls no helpers of the crate's.
    fn source(&self) -> Result<String> {
        self.body()
    }

    fn name(&self) -> &'static str {
        self.name
    }

    /// None: what it does is not the crate's to list.
    fn variants(&self) -> Vec<String> {
        Vec::new()
    }

    fn entry(&self) -> &str {
        &self.source.entry
    }

    fn trusted(&self) -> bool {
        false
    }

    fn same(&self, other: &dyn Shader) -> bool {
        other.as_any().downcast_ref::<Own>().is_some_and(|o| o.name == self.name && o.source == self.source)
    }

    fn digest(&self, mut state: &mut dyn Hasher) {
        self.source.text.hash(&mut state);
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

pub(super) fn build(plan: &Plan, step: &Step, custom: &Custom) -> Result<Vec<Dispatch>> {
    let name = custom.of.name;
    let Some(source) = &custom.of.wgsl else {
        return Err(Error::internal(format!("`{name}` has no shader")));
    };
    let [store] = &step.program.stores[..] else { return Err(Error::internal("a custom step of several stores")) };
    if step.program.lines.len() != 1 || step.program.lines[0].instr != Instr::Acc(0) || store.at.offset != 0 {
        return Err(Error::internal("a custom step with a program behind it"));
    }
    let mut cx = Build::new(plan, step);
    for &buf in &step.operands {
        cx.bind(buf, false);
    }
    cx.bind(store.buf, true);
    cx.words.clone_from(&custom.params);
    let shader = Own { name, source: source.clone() };
    let mut dispatch = cx.kernel(shader, 1);
    dispatch.groups = Grid::Given(custom.groups);
    // The pool's buffers are longer than what is in them; `arrayLength` shall speak of that (in whole vectors of four).
    let sizes = custom.inputs.iter().chain([&custom.output]);
    for (binding, (shape, dtype)) in dispatch.bindings.iter_mut().zip(sizes) {
        binding.bytes = NonZeroU64::new(((shape.numel() * dtype.size()) as u64).next_multiple_of(16));
    }
    Ok(vec![dispatch])
}
