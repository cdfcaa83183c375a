//! Compiled shaders, one per distinct template and layout on a device.

use std::hash::Hasher;
use std::sync::{Arc, Mutex};

use rustc_hash::{FxHashMap, FxHasher};

use super::device::{Core, lock};
use super::dispatch::{Binding, Shader};
use super::dump;
use super::trusted;
use crate::backend::count;
use crate::error::{Error, Result};
use crate::sys::Instant;

/// How the storage bindings of a kernel are declared: bit `i` of `writes` stands for the i-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Access {
    count: u32,
    writes: u64,
}

impl Access {
    pub(super) fn of(bindings: &[Binding]) -> Self {
        let writes = bindings.iter().enumerate().fold(0, |bits, (i, b)| bits | u64::from(b.write) << i);
        Access { count: bindings.len() as u32, writes }
    }
}

/// A compiled shader.
pub(super) struct Pipeline {
    pub(super) shader: Box<dyn Shader>,
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    access: Access,
}

/// All pipelines of a device. They are shape-generic and few, so none is ever thrown away.
pub(super) struct Pipelines {
    core: Arc<Core>,
    /// By the shader's digest; equality decides within a list.
    compiled: Mutex<FxHashMap<u64, Vec<Arc<Pipeline>>>>,
    layouts: Mutex<FxHashMap<Access, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
}

/// A shader that has to be compiled.
struct Missing {
    digest: u64,
    shader: Box<dyn Shader>,
    access: Access,
}

/// Where a kernel's pipeline is to be found.
enum Slot {
    Known(Arc<Pipeline>),
    Missing(usize),
}

impl Pipelines {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Pipelines { core, compiled: Mutex::default(), layouts: Mutex::default() }
    }

    /// The pipelines of these kernels, in order; what is new is compiled, on all of the processor's cores.
    pub(super) fn get(&self, kernels: Vec<(Box<dyn Shader>, Access)>) -> Result<Vec<Arc<Pipeline>>> {
        let mut missing: Vec<Missing> = Vec::new();
        let mut slots = Vec::with_capacity(kernels.len());
        for (shader, access) in kernels {
            let digest = digest(&*shader);
            if let Some(known) = self.find(digest, &*shader, access) {
                slots.push(Slot::Known(known));
                continue;
            }
            let same = |m: &Missing| m.digest == digest && m.access == access && m.shader.same(&*shader);
            let at = missing.iter().position(same).unwrap_or(missing.len());
            if at == missing.len() {
                missing.push(Missing { digest, shader, access });
            }
            slots.push(Slot::Missing(at));
        }
        let fresh = if missing.is_empty() { Vec::new() } else { self.compile_all(missing)? };
        Ok(slots
            .into_iter()
            .map(|slot| match slot {
                Slot::Known(pipeline) => pipeline,
                Slot::Missing(at) => Arc::clone(&fresh[at]),
            })
            .collect())
    }

    fn find(&self, digest: u64, shader: &dyn Shader, access: Access) -> Option<Arc<Pipeline>> {
        let compiled = lock(&self.compiled);
        compiled.get(&digest)?.iter().find(|p| p.access == access && p.shader.same(shader)).cloned()
    }

    /// Compiles in parallel with plain threads: a work-stealing pool could run a caller's job that waits for a lock
    /// which this very call's caller holds. The cache is not locked meanwhile.
    fn compile_all(&self, missing: Vec<Missing>) -> Result<Vec<Arc<Pipeline>>> {
        let start = Instant::now();
        let total = missing.len();
        let threads = match total {
            1 => 1,
            _ if cfg!(target_arch = "wasm32") => 1,
            many => crate::sys::threads().min(many),
        };
        let work = Mutex::new(missing.into_iter().enumerate());
        let done = Mutex::new(Vec::with_capacity(total));
        let compile = || {
            loop {
                let Some((at, m)) = lock(&work).next() else { break };
                let pipeline = self.compile(m);
                lock(&done).push((at, pipeline));
            }
        };
        std::thread::scope(|scope| {
            // This thread is one of them. Those that the system does not grant are done without.
            for _ in 1..threads {
                let _ = std::thread::Builder::new().spawn_scoped(scope, compile);
            }
            compile();
        });
        if let Some(cache) = &self.core.cache {
            cache.grew(start.elapsed());
        }
        let mut done = std::mem::take(&mut *lock(&done));
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, pipeline)| pipeline).collect()
    }

    fn compile(&self, Missing { digest, shader, access }: Missing) -> Result<Arc<Pipeline>> {
        let start = Instant::now();
        let source = shader.source()?;
        let name = shader.name();
        dump::keep(name, &source);
        let (bind_group, layout) = self.layout(access).map_err(|e| e.context(format!("shader `{name}`")))?;
        let cache = self.core.cache.as_ref().map(|c| &c.raw);
        let (raw, error) = self.core.scoped(|| match shader.trusted() {
            true => trusted::pipeline(&self.core.device, name, source, &layout, cache),
            false => checked(&self.core.device, &*shader, source, &layout, cache),
        });
        if let Some(e) = error {
            self.core.check()?;
            if !shader.trusted() {
                return Err(Error::argument(format!("The shader of `{name}` does not suit this device: {e}")));
            }
            return Err(Error::internal(format!("shader `{name}` does not compile: {e}")));
        }
        count(&self.core.counters.pipelines, 1);
        let took = start.elapsed().as_secs_f64() * 1e3;
        log::debug!("compiled shader `{name}` in {took:.1} ms: {}", shader.variants().join(", "));
        let pipeline = Arc::new(Pipeline { shader, raw, layout: bind_group, access });
        let mut compiled = lock(&self.compiled);
        let same = compiled.entry(digest).or_default();
        // Another thread may have been faster; then its pipeline is the one to keep.
        if let Some(known) = same.iter().find(|p| p.access == access && p.shader.same(&*pipeline.shader)) {
            return Ok(Arc::clone(known));
        }
        same.push(Arc::clone(&pipeline));
        Ok(pipeline)
    }

    fn layout(&self, access: Access) -> Result<(wgpu::BindGroupLayout, wgpu::PipelineLayout)> {
        if let Some(known) = lock(&self.layouts).get(&access) {
            return Ok(known.clone());
        }
        if access.count > self.core.caps.max_storage_bindings.min(u64::BITS) {
            return Err(Error::internal(format!(
                "{} storage bindings, of at most {}",
                access.count, self.core.caps.max_storage_bindings
            )));
        }
        let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: buffer(ty),
            count: None,
        };
        let storage = (0..access.count)
            .map(|i| entry(i + 1, wgpu::BufferBindingType::Storage { read_only: access.writes >> i & 1 == 0 }));
        let entries: Vec<_> = std::iter::once(entry(0, wgpu::BufferBindingType::Uniform)).chain(storage).collect();
        let (made, error) = self.core.scoped(|| {
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
            let bind_group = self.core.device.create_bind_group_layout(&descriptor);
            let pipeline = self.core.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&bind_group)],
                immediate_size: 0,
            });
            (bind_group, pipeline)
        });
        if let Some(e) = error {
            self.core.check()?;
            return Err(Error::internal(format!("bind group layout: {e}")));
        }
        Ok(lock(&self.layouts).entry(access).or_insert(made).clone())
    }
}

/// The pipeline of a shader that came with the program, with all of wgpu's checks.
fn checked(
    device: &wgpu::Device,
    shader: &dyn Shader,
    source: String,
    layout: &wgpu::PipelineLayout,
    cache: Option<&wgpu::PipelineCache>,
) -> wgpu::ComputePipeline {
    let (label, source) = (Some(shader.name()), wgpu::ShaderSource::Wgsl(source.into()));
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(layout),
        module: &module,
        entry_point: Some(shader.entry()),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache,
    })
}

fn digest(shader: &dyn Shader) -> u64 {
    let mut state = FxHasher::default();
    shader.digest(&mut state);
    state.finish()
}
