//! A plan made ready for the GPU, and its submission: one upload at most, one compute pass (or, to be timed, one for each
//! kernel), one submit.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::device::{Core, lock};
use super::dispatch::{Caps, Dispatch, Grid, Target};
use super::pipeline::{Access, Pipeline};
use super::timing::{Chunk, PER_SET, Times};
use super::{GpuBackend, GpuBuffer};
use crate::backend::profile::{self, Log};
use crate::backend::{Buffer, Executable, count};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::step::{Plan, Role, Step};

/// How many bind groups a kernel remembers. A training step alternates between a few sets of buffers.
const REMEMBERED: usize = 8;

/// A plan made ready by the GPU engine.
pub(super) struct GpuExecutable {
    core: Arc<Core>,
    times: Arc<Log<Times>>,
    kernels: Vec<Ready>,
    /// Temporaries and scratch.
    owned: Vec<Arc<GpuBuffer>>,
    /// Least bytes of each leaf and each output: the shaders trust in them.
    leaves: Vec<u64>,
    outputs: Vec<u64>,
    params: usize,
    /// All kernels' parameters; those that runs change come first, so that one short write reaches them all.
    slab: Option<wgpu::Buffer>,
    dynamic: Vec<Dynamic>,
    /// How many words at the start of the slab runs may change.
    dynamic_words: usize,
    state: Mutex<State>,
}

/// A kernel that lacks nothing but the buffers of the run.
struct Ready {
    /// What it is called in a profile.
    name: Arc<str>,
    pipeline: Arc<Pipeline>,
    sources: SmallVec<[Source; 8]>,
    /// How much of each is bound; `None` for all of it.
    parts: SmallVec<[Option<NonZeroU64>; 8]>,
    /// Its parameters in the slab, in bytes.
    offset: u64,
    size: NonZeroU64,
    groups: [u32; 3],
}

/// Where a binding's buffer is found at run time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Leaf(usize),
    Output(usize),
    Owned(usize),
}

/// The slab of a plan: its words, where each kernel's begin, and what runs change of them.
struct Parameters {
    words: Vec<u32>,
    places: Vec<usize>,
    dynamic: Vec<Dynamic>,
    dynamic_words: usize,
}

/// A word of the slab that follows a run-time scalar.
struct Dynamic {
    word: usize,
    slot: usize,
    dtype: DType,
}

/// What changes from run to run. The lock is held while a run is encoded and submitted, so that the parameters of one
/// run and its kernels stay together.
struct State {
    words: Vec<u32>,
    uploaded: bool,
    bound: Vec<Bound>,
}

/// A kernel's bind groups by the buffers in them, the last used first.
type Bound = SmallVec<[(Ids, wgpu::BindGroup); 1]>;
type Ids = SmallVec<[u64; 8]>;

/// A kernel, what its bindings are made of, and the operations of its step.
type Built<'a> = (Dispatch, SmallVec<[Source; 8]>, &'a [&'static str]);

impl GpuBackend {
    /// Makes `plan` ready with the kernels that `build` gives for each step.
    pub(super) fn prepare_with(
        &self,
        plan: &Plan,
        build: impl Fn(&Plan, &Step, &Caps) -> Result<Vec<Dispatch>>,
    ) -> Result<GpuExecutable> {
        self.core.check()?;
        let mut arena = Arena { backend: self, owned: Vec::new(), taken: BTreeMap::new() };
        let slots = plan.slots.iter().map(|&bytes| arena.take(bytes as u64)).collect::<Result<Vec<_>>>()?;
        let in_slots = arena.taken.clone();

        let mut kernels = Vec::new();
        for step in &plan.steps {
            let context = |e: Error| e.context(format!("step `{}`", step.name()));
            let built = build(plan, step, &self.core.caps).map_err(context)?;
            // Scratch lives within its step: the next step may have the same.
            arena.taken.clone_from(&in_slots);
            let scratch = arena.scratch(&built)?;
            for kernel in built.into_iter().filter(|k| k.groups != Grid::Row(0)) {
                let source = |target| match target {
                    Target::Scratch { id, .. } => Source::Owned(scratch[&id]),
                    Target::Step(i) => match plan.buffers[step.bufs[usize::from(i)] as usize].role {
                        Role::Leaf(i) => Source::Leaf(i as usize),
                        Role::Output(i) => Source::Output(i as usize),
                        Role::Temp { slot } => Source::Owned(slots[slot as usize]),
                    },
                };
                let sources = kernel.bindings.iter().map(|b| source(b.target)).collect();
                kernels.push((kernel, sources, &step.ops[..]));
            }
        }
        self.assemble(plan, side_by_side(kernels), arena.owned)
    }

    /// Lays out the kernels' parameters, those of kernels that follow run-time scalars first.
    fn parameters(&self, plan: &Plan, kernels: &[Built<'_>]) -> Result<Parameters> {
        let align = self.core.limits.min_uniform_buffer_offset_alignment as usize / size_of::<u32>();
        let mut words: Vec<u32> = Vec::new();
        let mut places = vec![0; kernels.len()];
        let mut dynamic = Vec::new();
        let mut dynamic_words = 0;
        for changes in [true, false] {
            let chosen = places.iter_mut().zip(kernels).filter(|(_, (k, ..))| k.dynamic.is_empty() != changes);
            for (place, (kernel, ..)) in chosen {
                *place = words.len();
                words.extend(&kernel.params);
                words.resize(*place + padded(kernel), 0);
                if changes {
                    dynamic_words = words.len();
                }
                words.resize(words.len().next_multiple_of(align), 0);
                for &(word, slot, dtype) in &kernel.dynamic {
                    let slot = usize::from(slot);
                    if word >= kernel.params.len() || slot >= plan.params || dtype == DType::F64 {
                        return Err(Error::internal(format!(
                            "shader `{}`: parameter word {word} of type {dtype} from slot {slot}",
                            kernel.shader.name()
                        )));
                    }
                    dynamic.push(Dynamic { word: *place + word, slot, dtype });
                }
            }
        }
        Ok(Parameters { words, places, dynamic, dynamic_words })
    }

    /// Uploads nothing yet: makes room for the parameters and fetches the pipelines.
    fn assemble(&self, plan: &Plan, kernels: Vec<Built<'_>>, owned: Vec<Arc<GpuBuffer>>) -> Result<GpuExecutable> {
        let Parameters { words, places, dynamic, dynamic_words } = self.parameters(plan, &kernels)?;
        let slab = match words.len() {
            0 => None,
            len => {
                let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
                let bytes = len as u64 * 4;
                Some(self.pool.insist(bytes, bytes, || self.core.create_buffer(bytes, usage))?)
            }
        };

        let mut shaders = Vec::with_capacity(kernels.len());
        let mut rest = Vec::with_capacity(kernels.len());
        for ((kernel, sources, ops), place) in kernels.into_iter().zip(places) {
            let groups = match kernel.groups {
                Grid::Given(groups) => groups,
                Grid::Row(groups) => fold(groups, self.core.limits.max_compute_workgroups_per_dimension)
                    .map_err(|e| e.context(format!("shader `{}`", kernel.shader.name())))?,
            };
            let parts = kernel.bindings.iter().map(|b| b.bytes).collect();
            let variant = kernel.shader.variants().into_iter().next();
            let name = profile::name(variant.as_deref().unwrap_or(kernel.shader.name()), ops);
            rest.push((Arc::from(name), sources, parts, place as u64 * 4, padded(&kernel) as u64 * 4, groups));
            shaders.push((kernel.shader, Access::of(&kernel.bindings)));
        }
        let pipelines = self.pipelines.get(shaders)?;
        let ready = pipelines.into_iter().zip(rest).map(|(pipeline, (name, sources, parts, offset, size, groups))| {
            let size = NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN);
            Ready { name, pipeline, sources, parts, offset, size, groups }
        });
        let kernels: Vec<_> = ready.collect();
        Ok(GpuExecutable {
            core: Arc::clone(&self.core),
            times: Arc::clone(&self.times),
            leaves: least_bytes(plan, |r| if let Role::Leaf(i) = r { Some(i) } else { None }),
            outputs: least_bytes(plan, |r| if let Role::Output(i) = r { Some(i) } else { None }),
            params: plan.params,
            owned,
            slab,
            dynamic,
            dynamic_words,
            state: Mutex::new(State { words, uploaded: false, bound: vec![Bound::new(); kernels.len()] }),
            kernels,
        })
    }
}

/// Kernels in waves: those of one wait for nothing that others of it do, and a GPU may run them side by side. The drivers
/// put a barrier before each that touches what was written, or writes what was read, since the last barrier; so the fewer
/// waves, the fewer barriers.
fn side_by_side(kernels: Vec<Built<'_>>) -> Vec<Built<'_>> {
    let accesses = kernels.iter().map(|(kernel, sources, _)| {
        sources.iter().zip(&kernel.bindings).map(|(&source, binding)| (source, binding.write))
    });
    let waves = waves(accesses);
    let mut ordered: Vec<_> = waves.into_iter().zip(kernels).collect();
    ordered.sort_by_key(|(wave, _)| *wave);
    ordered.into_iter().map(|(_, kernel)| kernel).collect()
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

/// For each leaf, or each output, the least bytes that the plan needs of it.
fn least_bytes(plan: &Plan, role: fn(Role) -> Option<u32>) -> Vec<u64> {
    let mut least = Vec::new();
    for info in &plan.buffers {
        if let Some(i) = role(info.role) {
            let (i, bytes) = (i as usize, info.dtype.bytes(info.len) as u64);
            least.resize(least.len().max(i + 1), 0);
            least[i] = bytes.max(least[i]);
        }
    }
    least
}

impl Executable for GpuExecutable {
    fn run(&self, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        self.core.check()?;
        self.verify(leaves, &self.leaves, "leaf")?;
        self.verify(outputs, &self.outputs, "output")?;
        if params.len() < self.params {
            return Err(Error::internal(format!("{} run-time scalars, of {}", params.len(), self.params)));
        }
        let Some(slab) = &self.slab else {
            return Ok(());
        };
        let mut state = lock(&self.state);
        let State { words, uploaded, bound } = &mut *state;
        // Held until the run is submitted, so that whoever reads the times finds them written.
        let mut times = self.times.wanted();
        let before = times.as_ref().map_or(0, |times| times.len());
        let chunks = times.as_mut().map(|times| self.room(times)).transpose()?;
        let ran = self.core.attempt(|| {
            let encoding = self.core.spans.span("encode");
            self.upload(slab, words, uploaded, params);
            let mut encoder = self.core.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let find = |&source: &Source| self.resolve(source, leaves, outputs);
            match &chunks {
                None => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                    let mut current: Option<&Arc<Pipeline>> = None;
                    for (kernel, bound) in self.kernels.iter().zip(bound) {
                        let changes = !current.is_some_and(|p| Arc::ptr_eq(p, &kernel.pipeline));
                        current = Some(&kernel.pipeline);
                        self.dispatch(&mut pass, kernel, changes, self.bind_group(kernel, slab, bound, find));
                    }
                }
                Some(chunks) => {
                    let pieces = self.kernels.chunks(PER_SET).zip(bound.chunks_mut(PER_SET));
                    for ((kernels, bound), chunk) in pieces.zip(chunks) {
                        for (i, (kernel, bound)) in kernels.iter().zip(bound).enumerate() {
                            let timestamp_writes = Some(chunk.writes(i));
                            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                            let mut pass = encoder.begin_compute_pass(&descriptor);
                            self.dispatch(&mut pass, kernel, true, self.bind_group(kernel, slab, bound, find));
                        }
                        chunk.resolve(&mut encoder, kernels.len());
                    }
                }
            }
            count(&self.core.counters.dispatches, self.kernels.len() as u64);
            let commands = encoder.finish();
            drop(encoding);
            times.as_mut().into_iter().for_each(|times| times.submitted(before));
            let _span = self.core.spans.span("submit");
            self.core.submit(commands);
        });
        ran.inspect_err(|_| {
            // Nothing ran, and who knows what was uploaded.
            *uploaded = false;
            if let Some(times) = &mut times {
                times.forget(before);
            }
        })
    }

    fn sources(&self) -> Vec<String> {
        let source = |k: &Ready| k.pipeline.shader.source().unwrap_or_else(|e| e.to_string());
        self.kernels.iter().map(source).collect()
    }
}

impl GpuExecutable {
    /// Where the times of this run go.
    fn room(&self, times: &mut Times) -> Result<Vec<Chunk>> {
        let before = times.len();
        let room = times.room(&self.core, self.kernels.iter().map(|k| (&k.name, k.groups)));
        room.inspect_err(|_| times.forget(before))
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, kernel: &Ready, changes: bool, group: &wgpu::BindGroup) {
        if changes {
            pass.set_pipeline(&kernel.pipeline.raw);
        }
        pass.set_bind_group(0, group, &[]);
        let [x, y, z] = kernel.groups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// The shaders run unchecked, so what they rely on is checked here.
    fn verify(&self, given: &[Buffer], least: &[u64], what: &str) -> Result<()> {
        if given.len() < least.len() {
            return Err(Error::internal(format!("{} buffers of kind {what}, of {}", given.len(), least.len())));
        }
        for (i, (buffer, &least)) in given.iter().zip(least).enumerate() {
            let own = buffer.get::<GpuBuffer>().filter(|b| b.is_of(&self.core)).ok_or_else(|| self.core.foreign())?;
            let has = own.raw.size();
            if has < least {
                return Err(Error::internal(format!("{what} {i} has {has} bytes, and the plan needs {least}")));
            }
        }
        Ok(())
    }

    fn resolve<'a>(&'a self, source: Source, leaves: &'a [Buffer], outputs: &'a [Buffer]) -> &'a GpuBuffer {
        let given = match source {
            Source::Owned(i) => return &self.owned[i],
            Source::Leaf(i) => &leaves[i],
            Source::Output(i) => &outputs[i],
        };
        given.get().expect("verified before")
    }

    /// Sets the run's scalars and sends what changed: all of the slab at first, then at most its head.
    fn upload(&self, slab: &wgpu::Buffer, words: &mut [u32], uploaded: &mut bool, params: &[f64]) {
        let mut changed = false;
        for d in &self.dynamic {
            let new = word(params[d.slot], d.dtype);
            changed |= words[d.word] != new;
            words[d.word] = new;
        }
        let end = match (*uploaded, changed) {
            (true, false) => return,
            (true, true) => self.dynamic_words,
            (false, _) => words.len(),
        };
        let bytes: &[u8] = bytemuck::cast_slice(&words[..end]);
        self.core.queue.write_buffer(slab, 0, bytes);
        count(&self.core.counters.uploads, 1);
        count(&self.core.counters.upload_bytes, bytes.len() as u64);
        *uploaded = true;
    }

    /// The bind group of a kernel for the buffers at hand: the one used last, an older one, or a new one.
    fn bind_group<'a, 'b>(
        &self,
        kernel: &'a Ready,
        slab: &wgpu::Buffer,
        bound: &'b mut Bound,
        find: impl Fn(&Source) -> &'a GpuBuffer,
    ) -> &'b wgpu::BindGroup {
        let is_it = |(ids, _): &(Ids, _)| kernel.sources.iter().zip(ids).all(|(s, &id)| find(s).id == id);
        match bound.iter().position(is_it) {
            Some(0) => {}
            Some(at) => bound[..=at].rotate_right(1),
            None => {
                let uniform = wgpu::BufferBinding { buffer: slab, offset: kernel.offset, size: Some(kernel.size) };
                let uniform = wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) };
                let storage = kernel.sources.iter().zip(&kernel.parts).zip(1..).map(|((source, &size), binding)| {
                    let buffer = wgpu::BufferBinding { buffer: &find(source).raw, offset: 0, size };
                    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) }
                });
                let entries: SmallVec<[_; 9]> = std::iter::once(uniform).chain(storage).collect();
                let group = self.core.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &kernel.pipeline.layout,
                    entries: &entries,
                });
                count(&self.core.counters.bind_groups, 1);
                bound.truncate(REMEMBERED - 1);
                bound.insert(0, (kernel.sources.iter().map(|s| find(s).id).collect(), group));
            }
        }
        &bound[0].1
    }
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

/// Words of a kernel's uniform: whole `vec4`s, at least one.
fn padded(kernel: &Dispatch) -> usize {
    kernel.params.len().max(1).next_multiple_of(4)
}

/// A run-time scalar as the shader sees it. Integers saturate, as `Cast` does.
pub(super) fn word(value: f64, dtype: DType) -> u32 {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => (value as f32).to_bits(),
        DType::I8 | DType::I32 => (value as i32).cast_unsigned(),
        DType::U8 | DType::U32 => value as u32,
        DType::Bool => u32::from(value != 0.0),
    }
}

/// Work-groups in three dimensions of at most `most` each, with as few too many as comes easily.
pub(super) fn fold(groups: u64, most: u32) -> Result<[u32; 3]> {
    let max = u64::from(most);
    let planes = groups.div_ceil(max * max);
    let rows = groups.div_ceil(planes * max);
    let columns = groups.div_ceil(planes * rows);
    // The shader counts the groups, the few too many included, in 32 bits.
    if planes * rows * columns > u64::from(u32::MAX) {
        return Err(Error::new(
            Kind::Unsupported,
            format!("{groups} work-groups exceed the {} that one dispatch can number. Split the tensor.", u32::MAX),
        ));
    }
    Ok([columns, rows, planes].map(|n| n as u32))
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
