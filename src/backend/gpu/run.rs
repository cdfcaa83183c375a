//! A plan made ready for the GPU, and its submission: one upload at most, one compute pass (or, to be timed, one for each
//! kernel), one submit.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;

use super::device::{Core, lock};
use super::dispatch::{Dispatch, Grid, Kernel};
use super::pipeline::{Access, Pipeline};
use super::timing::{Chunk, PER_SET, Times};
use super::{GpuBackend, GpuBuffer};
use crate::backend::profile::Log;
use crate::backend::{Buffer, Executable, count};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::step::{Plan, Role};

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
pub(super) enum Source {
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

impl GpuBackend {
    /// Lays out the kernels' parameters, those of kernels that follow run-time scalars first.
    fn parameters(&self, plan: &Plan, kernels: &[Kernel<Source>]) -> Result<Parameters> {
        let align = self.core.limits.min_uniform_buffer_offset_alignment as usize / size_of::<u32>();
        let mut words: Vec<u32> = Vec::new();
        let mut places = vec![0; kernels.len()];
        let mut dynamic = Vec::new();
        let mut dynamic_words = 0;
        for changes in [true, false] {
            let kernels = kernels.iter().map(|k| &k.dispatch);
            let chosen = places.iter_mut().zip(kernels).filter(|(_, k)| k.dynamic.is_empty() != changes);
            for (place, kernel) in chosen {
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

    /// The plan as these kernels, one after the other. Uploads nothing yet: makes room for the parameters and fetches the
    /// pipelines.
    pub(super) fn assemble(
        &self,
        plan: &Plan,
        kernels: Vec<Kernel<Source>>,
        owned: Vec<Arc<GpuBuffer>>,
    ) -> Result<GpuExecutable> {
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
        for (Kernel { dispatch: kernel, sources, name }, place) in kernels.into_iter().zip(places) {
            let groups = match kernel.groups {
                Grid::Given(groups) => groups,
                Grid::Row(groups) => fold(groups, self.core.limits.max_compute_workgroups_per_dimension)
                    .map_err(|e| e.context(format!("shader `{}`", kernel.shader.name())))?,
            };
            let parts = kernel.bindings.iter().map(|b| b.bytes).collect();
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
