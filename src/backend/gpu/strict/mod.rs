//! A GPU that forgives nothing, in place of those that are not here: it runs a kernel's WGSL as naga reads it, and fails where
//! an invocation leaves an array or a buffer, where two meet at a word with no barrier between them, where one reads what
//! nobody wrote, and where not all come to a barrier. Software adapters compute the invocations of a work-group in an order
//! in which much of this goes well.

mod machine;
mod memory;
mod tests;
mod values;

use std::collections::BTreeMap;

use naga::valid::{Capabilities, ValidationFlags, Validator};

use self::machine::{Bindings, Machine};
use self::memory::Memory;
use super::dispatch::{Dispatch, Grid, Target};
use super::run::{fold, word};
use crate::ir::step::{Plan, Role};

/// Work-groups in a row: so few that grids are folded, with some too many.
const MOST_GROUPS: u32 = 7;

/// Runs the kernels of each of a plan's steps, given the words of its leaves; gives the words of all its buffers. Subgroups
/// have so many invocations.
pub(crate) fn run(
    plan: &Plan,
    leaf: impl Fn(usize) -> Vec<u32>,
    params: &[f64],
    kernels: Vec<Vec<Dispatch>>,
    subgroup: usize,
) -> Result<Vec<Vec<u32>>, String> {
    let buffer = |i: usize| {
        let info = &plan.buffers[i];
        let name = format!("{:?}", info.role);
        match info.role {
            Role::Leaf(_) => Memory::of(name, &leaf(i)),
            _ => Memory::unknown(name, info.dtype.bytes(info.len).div_ceil(4)),
        }
    };
    let mut memory: Vec<Memory> = (0..plan.buffers.len()).map(buffer).collect();
    for (step, kernels) in plan.steps.iter().zip(kernels) {
        let mut scratch: BTreeMap<u16, u64> = BTreeMap::new();
        for binding in kernels.iter().flat_map(|k| &k.bindings) {
            if let Target::Scratch { id, bytes } = binding.target {
                let most = scratch.entry(id).or_default();
                *most = bytes.max(*most);
            }
        }
        let scratch: BTreeMap<u16, usize> = scratch
            .into_iter()
            .map(|(id, bytes)| {
                memory.push(Memory::unknown(format!("scratch {id}"), bytes.div_ceil(4) as usize));
                (id, memory.len() - 1)
            })
            .collect();
        for kernel in kernels {
            let groups = match kernel.groups {
                Grid::Row(0) => continue,
                Grid::Row(groups) => fold(groups, MOST_GROUPS).map_err(|e| e.to_string())?,
                Grid::Given(groups) => groups,
            };
            let mut words = kernel.params.clone();
            kernel.dynamic.iter().for_each(|&(at, slot, dtype)| words[at] = word(params[usize::from(slot)], dtype));
            words.resize(words.len().max(1).next_multiple_of(4), 0);
            memory.push(Memory::of("p", &words));
            let mut bindings = Bindings::from_iter([(0, (memory.len() - 1, words.len()))]);
            for (binding, at) in kernel.bindings.iter().zip(1..) {
                let target = match binding.target {
                    Target::Step(i) => usize::from(step.bufs[usize::from(i)]),
                    Target::Scratch { id, .. } => scratch[&id],
                };
                let len = binding.bytes.map_or(memory[target].len(), |b| (b.get() as usize).div_ceil(4));
                bindings.insert(at, (target, len));
            }
            let source = kernel.shader.source().map_err(|e| e.to_string())?;
            execute(&source, &mut memory, bindings, groups, subgroup)
                .map_err(|e| format!("step `{}`, {}: {e}", step.name(), kernel.shader.variants().join(", ")))?;
            memory.pop();
        }
        memory.truncate(plan.buffers.len());
    }
    for (i, info) in plan.buffers.iter().enumerate() {
        let is_stored = plan.steps.iter().any(|step| step.writes().any(|buf| usize::from(buf) == i));
        if let (Role::Output(_), true, Some(at)) = (info.role, is_stored, memory[i].gap()) {
            return Err(format!("nobody wrote `{:?}` at word {at}", info.role));
        }
    }
    Ok(memory.iter().map(Memory::values).collect())
}

fn execute(
    source: &str,
    memory: &mut [Memory],
    bindings: Bindings,
    groups: [u32; 3],
    subgroup: usize,
) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    memory.iter_mut().for_each(Memory::settle);
    let again = memory.to_vec();
    Machine::new((&module, &info, source), memory, bindings.clone(), subgroup).run(groups)?;
    let Some(race) = memory.iter().find_map(Memory::race) else { return Ok(()) };
    // Invocations past the end of a row read what is there, and make nothing of it. Those who read what others write must
    // not care what they get.
    for instead in [0x7fc0_dead, 0x8000_0001] {
        let mut again = again.clone();
        again.iter_mut().zip(&*memory).for_each(|(again, after)| again.make_hostile(after, instead));
        Machine::new((&module, &info, source), &mut again, bindings.clone(), subgroup).run(groups)?;
        if memory.iter().zip(&again).any(|(a, b)| a.values() != b.values()) {
            return Err(race.to_string());
        }
    }
    Ok(())
}
