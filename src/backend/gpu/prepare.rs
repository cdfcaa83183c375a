//! What runs for a plan: the kernels of its steps, in waves, and those of a wave together.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::dispatch::{Caps, Dispatch, Grid, Kernel, Target};
use super::join::{Part, join};
use super::run::{GpuExecutable, Source};
use super::{GpuBackend, GpuBuffer};
use crate::backend::profile;
use crate::error::{Error, Result};
use crate::ir::step::{Plan, Role, Step};

impl GpuBackend {
    /// Makes `plan` ready with the kernels that `build` gives for each step.
    pub(super) fn prepare_with(
        &self,
        plan: &Plan,
        build: impl Fn(&Plan, &Step, &Caps) -> Result<Vec<Dispatch>>,
    ) -> Result<GpuExecutable> {
        self.core.check()?;
        let (kernels, owned) = self.kernels(plan, |_, step| build(plan, step, &self.core.caps))?;
        self.assemble(plan, kernels.into_iter().map(|k| k.kernel).collect(), owned)
    }

    /// The same for a plan that runs so often that it is worth pipelines of its own: small kernels of a wave become one.
    /// `None` where none does, and on a processor, which gains nothing from it.
    pub(super) fn prepare_joined(
        &self,
        plan: &Plan,
        build: impl Fn(&Plan, &Step, &Caps) -> Result<Vec<Dispatch>>,
    ) -> Result<Option<GpuExecutable>> {
        self.core.check()?;
        let caps = self.core.caps;
        if caps.software {
            return Ok(None);
        }
        let (mut kernels, mut owned) = self.kernels(plan, |_, step| build(plan, step, &caps))?;
        let apart = kernels.len();
        let groups = one_size(plan, &kernels);
        if groups.iter().any(Option::is_some) {
            (kernels, owned) = self.kernels(plan, |i, step| build(plan, step, &Caps { group: groups[i], ..caps }))?;
        }
        let mut joined = Vec::with_capacity(kernels.len());
        let mut kernels = kernels.into_iter().peekable();
        while let Some(wave) = kernels.peek().map(|k| k.wave) {
            let same = std::iter::from_fn(|| kernels.next_if(|k| k.wave == wave));
            joined.extend(join(same.map(|k| k.kernel), &caps)?);
        }
        if joined.len() == apart { Ok(None) } else { self.assemble(plan, joined, owned).map(Some) }
    }

    /// The kernels of all steps, wave by wave, and the memory that is theirs.
    fn kernels(
        &self,
        plan: &Plan,
        build: impl Fn(usize, &Step) -> Result<Vec<Dispatch>>,
    ) -> Result<(Vec<InWave>, Vec<Arc<GpuBuffer>>)> {
        let mut arena = Arena { backend: self, owned: Vec::new(), taken: BTreeMap::new() };
        let slots = plan.slots.iter().map(|&bytes| arena.take(bytes as u64)).collect::<Result<Vec<_>>>()?;
        let in_slots = arena.taken.clone();

        let mut kernels = Vec::new();
        for (i, step) in plan.steps.iter().enumerate() {
            let context = |e: Error| e.context(format!("step `{}`", step.name()));
            let built = build(i, step).map_err(context)?;
            // Scratch lives within its step: the next step may have the same.
            arena.taken.clone_from(&in_slots);
            let scratch = arena.scratch(&built)?;
            for dispatch in built.into_iter().filter(|k| k.groups != Grid::Row(0)) {
                let source = |target| match target {
                    Target::Scratch { id, .. } => Source::Owned(scratch[&id]),
                    Target::Step(i) => match plan.buffers[step.bufs[usize::from(i)] as usize].role {
                        Role::Leaf(i) => Source::Leaf(i as usize),
                        Role::Output(i) => Source::Output(i as usize),
                        Role::Temp { slot } => Source::Owned(slots[slot as usize]),
                    },
                };
                let sources = dispatch.bindings.iter().map(|b| source(b.target)).collect();
                let variant = dispatch.shader.variants().into_iter().next();
                let name = profile::name(variant.as_deref().unwrap_or(dispatch.shader.name()), &step.ops);
                kernels.push(InWave { wave: 0, step: i, kernel: Kernel { dispatch, sources, name } });
            }
        }
        side_by_side(&mut kernels);
        Ok((kernels, arena.owned))
    }
}

/// A kernel of a step, and the wave it runs in.
struct InWave {
    wave: usize,
    step: usize,
    kernel: Kernel<Source>,
}

/// Sorts kernels into waves: those of one wait for nothing that others of it do, and a GPU may run them side by side. The
/// drivers put a barrier before each that touches what was written, or writes what was read, since the last barrier; so the
/// fewer waves, the fewer barriers.
fn side_by_side(kernels: &mut [InWave]) {
    let accesses = kernels.iter().map(|k| {
        let Kernel { dispatch, sources, .. } = &k.kernel;
        sources.iter().zip(&dispatch.bindings).map(|(&source, binding)| (source, binding.write))
    });
    let waves = waves(accesses);
    kernels.iter_mut().zip(waves).for_each(|(kernel, wave)| kernel.wave = wave);
    kernels.sort_by_key(|k| k.wave);
}

/// For each kernel the earliest wave in which it may run, by what it accesses and whether it writes there.
fn waves<A: Iterator<Item = (Source, bool)> + Clone>(kernels: impl Iterator<Item = A>) -> Vec<usize> {
    // For each buffer the first waves after its last writer, and after that one's readers.
    let mut free: FxHashMap<Source, (usize, usize)> = FxHashMap::default();
    let wave = |accesses: A| {
        let after = |(source, write)| {
            let &(written, read) = free.get(&source).unwrap_or(&(0, 0));
            if write { written.max(read) } else { written }
        };
        let wave = accesses.clone().map(after).max().unwrap_or(0);
        for (source, write) in accesses {
            let (written, read) = free.entry(source).or_default();
            if write {
                *written = wave + 1;
            }
            *read = (*read).max(wave + 1);
        }
        wave
    };
    kernels.map(wave).collect()
}

/// For each step the size of work-groups with which its nests can be joined to the kernels beside them: that of a product there,
/// or else the largest; none where they have it.
fn one_size(plan: &Plan, kernels: &[InWave]) -> Vec<Option<u32>> {
    let mut groups = vec![None; plan.steps.len()];
    for wave in kernels.chunk_by(|a, b| a.wave == b.wave).filter(|wave| wave.len() > 1) {
        let parts = wave.iter().filter_map(|k| Some((k, Part::of(&k.kernel.dispatch).filter(|part| part.meets)?)));
        let (nests, others): (Vec<_>, Vec<_>) =
            parts.map(|(k, part)| (k, part.threads)).partition(|(k, _)| k.kernel.dispatch.shader.name() == "nest");
        let size = others.iter().map(|(_, threads)| *threads).min();
        let size = size.or_else(|| nests.iter().map(|(_, threads)| *threads).max());
        for (k, _) in nests.iter().filter(|(_, threads)| Some(*threads) != size) {
            // (Other sizes are those of kernels that are large alone.)
            groups[k.step] = groups[k.step].or(size.filter(|size| [64, 256].contains(size)));
        }
    }
    groups
}

/// Hands out the device's transient buffers to one plan: the n-th request for a size class gets its n-th buffer.
struct Arena<'a> {
    backend: &'a GpuBackend,
    owned: Vec<Arc<GpuBuffer>>,
    /// How many of each size class are taken.
    taken: BTreeMap<u64, usize>,
}

impl Arena<'_> {
    /// Takes a buffer; its index in `owned`.
    fn take(&mut self, bytes: u64) -> Result<usize> {
        let pool = &self.backend.pool;
        let taken = self.taken.entry(pool.size_class(bytes)?).or_default();
        let buffer = pool.transient(bytes, *taken)?;
        *taken += 1;
        let known = self.owned.iter().position(|b| b.id == buffer.id);
        Ok(known.unwrap_or_else(|| {
            self.owned.push(buffer);
            self.owned.len() - 1
        }))
    }

    /// Takes the scratch of one step's kernels: a buffer for each id.
    fn scratch(&mut self, kernels: &[Dispatch]) -> Result<BTreeMap<u16, usize>> {
        let mut wanted: BTreeMap<u16, u64> = BTreeMap::new();
        for binding in kernels.iter().flat_map(|k| &k.bindings) {
            if let Target::Scratch { id, bytes } = binding.target {
                let most = wanted.entry(id).or_default();
                *most = bytes.max(*most);
            }
        }
        wanted.into_iter().map(|(id, bytes)| Ok((id, self.take(bytes)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_run_as_soon_as_what_they_need_is_there() {
        use Source::{Leaf, Output, Owned};
        let kernels: [&[(Source, bool)]; 8] = [
            &[(Leaf(0), false), (Owned(0), true)],
            // Waits for the first; as does the next, which reads the same.
            &[(Owned(0), false), (Output(0), true)],
            &[(Owned(0), false), (Output(1), true)],
            // Overwrites what both read, and what nobody did.
            &[(Owned(0), true)],
            &[(Leaf(1), true)],
            // After the one that overwrites, not only after the one before it.
            &[(Owned(0), false), (Leaf(1), false), (Output(2), true)],
            // A leaf that is only read keeps nobody waiting, an output of the same number is another buffer.
            &[(Leaf(0), false), (Output(3), true)],
            // Twice in one kernel.
            &[(Output(3), false), (Output(3), true)],
        ];
        assert_eq!(waves(kernels.iter().map(|k| k.iter().copied())), [0, 1, 1, 2, 0, 3, 0, 1]);
    }
}
