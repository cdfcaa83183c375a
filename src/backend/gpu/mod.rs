//! The GPU engine: the only folder that names `wgpu`.
//!
//! `adapter` finds and opens devices, `info` describes them, `device` holds what all parts share and notices loss and
//! faults, `memory` pools buffers, `kernels` writes shaders and hands them over as `dispatch` says (a file for each
//! family, named as on the CPU), `pipeline` holds compiled shaders and `cache` keeps them for the next process, `prepare`
//! puts a plan's kernels in order and `join` makes one of several, `run` submits plans, `readback` brings results to the
//! host, `poller` waits for them on a thread while futures are pending, `check` validates shaders for GPUs that are not here (and `scope` that no name in them hides another), `timing` has
//! the device tell how long each kernel took, `tuner` asks it which tile is fastest, `dump` writes sources down, `reflect`
//! reads what a program's own shader declares, and `trusted` is the one place that switches wgpu's run-time checks off.

pub(crate) mod adapter;
mod cache;
pub(crate) mod check;
mod device;
pub(crate) mod dispatch;
mod dump;
mod info;
pub(crate) mod join;
pub(crate) mod kernels;
mod memory;
mod pipeline;
mod poller;
mod prepare;
mod readback;
pub(crate) mod reflect;
mod run;
mod scope;
#[cfg(test)]
pub(crate) mod strict;
mod timing;
mod trusted;
mod tuner;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::profile::{Log, Recording, Spans};
use super::{Backend, Buffer, Counters, DeviceInfo, DeviceOptions, Executable, MemoryStats, Take};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::step::{Plan, Step};
use device::Core;
use dispatch::{Caps, Dispatch};
pub(crate) use memory::GpuBuffer;
use memory::Pool;
use pipeline::Pipelines;
use readback::Staging;
use timing::{GpuRecording, Times};
use tuner::Tuner;

/// A GPU that was opened, or that a host program lent.
pub(crate) struct GpuBackend {
    core: Arc<Core>,
    pool: Arc<Pool>,
    pipelines: Pipelines,
    staging: Arc<Staging>,
    /// What kernels take, while somebody asks.
    times: Arc<Log<Times>>,
    tuner: Option<Tuner>,
}

impl GpuBackend {
    fn new(core: Core, options: &DeviceOptions) -> Result<Self> {
        let core = Arc::new(core);
        let pool = Pool::new(Arc::clone(&core), options)?;
        // (A page cannot wait for what is measured.)
        let tuned = (options.tunes() && cfg!(not(target_arch = "wasm32"))).then(|| Tuner::of(&core, options));
        Ok(GpuBackend {
            pipelines: Pipelines::new(Arc::clone(&core)),
            staging: Arc::new(Staging::new(Arc::clone(&core), Arc::clone(&pool))),
            pool,
            core,
            times: Arc::default(),
            tuner: tuned,
        })
    }

    /// The engine on a host program's own device. The crate is a guest there: it installs no error handler and no
    /// loss callback; it looks at every call whether the device still answers.
    pub(crate) fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue, options: &DeviceOptions) -> Result<Self> {
        Self::new(Core::new("gpu:host".into(), device, queue, None, true, options)?, options)
    }

    /// Distinct buffers that one kernel may bind.
    pub(crate) fn max_storage_bindings(&self) -> usize {
        self.core.caps.max_storage_bindings as usize
    }

    /// Whether products read halves from memory as they are. On a processor they would decode an element for every tile that
    /// it is in, which is slower than converting it once.
    pub(crate) fn half_products(&self) -> bool {
        !self.core.caps.software
    }

    /// What kernels must know of the device.
    #[cfg(test)]
    pub(crate) fn caps(&self) -> dispatch::Caps {
        self.core.caps
    }

    /// The kernels of a step, as the rules or what was measured say.
    fn build(&self, plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
        match &self.tuner {
            None => kernels::build(plan, step, caps),
            Some(tuner) => kernels::build_by(plan, step, caps, tuner.method(self, plan, step)),
        }
    }

    /// The memory of a buffer that must be this device's.
    fn own<'a>(&self, buffer: &'a Buffer) -> Result<&'a GpuBuffer> {
        buffer.get::<GpuBuffer>().filter(|b| b.is_of(&self.core)).ok_or_else(|| self.core.foreign())
    }
}

impl Backend for GpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.core.info
    }

    fn lost(&self) -> Option<Error> {
        self.core.lost()
    }

    fn check_dtype(&self, dtype: DType) -> Result<()> {
        if dtype != DType::F64 {
            return Ok(());
        }
        Err(Error::parts(
            Kind::DType,
            "The GPU engine has no 64-bit floats",
            &format!("dtype f64 on {} ({})", self.core.info.id, self.core.info.name),
            "f32, i32, u32 or bool",
            "Use `Device::cpu()` or cast to f32",
        ))
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer> {
        self.pool.alloc(bytes as u64).map(Buffer::new)
    }

    fn write(&self, buffer: &Buffer, bytes: &[u8]) -> Result<()> {
        self.core.check()?;
        self.pool.upload(self.own(buffer)?, bytes)
    }

    fn read(&self, buffer: &Buffer, bytes: usize, take: Take) -> BoxFuture<'static, Result<()>> {
        let copy = self.own(buffer).and_then(|b| self.staging.copy(&b.raw, bytes as u64));
        match copy {
            Ok(pending) => pending.finish(take).boxed(),
            Err(e) => futures::future::ready(Err(e)).boxed(),
        }
    }

    fn prepare(&self, plan: Arc<Plan>) -> Result<Box<dyn Executable>> {
        Ok(Box::new(self.prepare_with(&plan, |plan, step, caps| self.build(plan, step, caps))?))
    }

    fn prepare_often(&self, plan: Arc<Plan>) -> Result<Option<Box<dyn Executable>>> {
        let joined = self.prepare_joined(&plan, |plan, step, caps| self.build(plan, step, caps))?;
        Ok(joined.map(|executable| Box::new(executable) as Box<dyn Executable>))
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        readback::sync(Arc::clone(&self.core)).boxed()
    }

    fn memory(&self) -> MemoryStats {
        self.pool.stats()
    }

    fn trim(&self) {
        self.pool.trim();
        self.staging.trim();
    }

    fn record(&self) -> Result<Box<dyn Recording>> {
        Ok(Box::new(GpuRecording::begin(&self.core, &self.staging, &self.times)?))
    }

    fn spans(&self) -> &Arc<Spans> {
        &self.core.spans
    }

    fn counters(&self) -> &Counters {
        &self.core.counters
    }
}
