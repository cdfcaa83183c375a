//! The native CPU engine. Programs run block by block through an interpreter whose loops the compiler vectorises,
//! matrix products go to the `gemm` crate, threads of the engine's own help the one that runs a step. Everything runs inside the
//! call that asks for it, so reads and waits are ready at once. The same step gives the same bits on any number of threads.
//!
//! `memory` hands out buffers, `run` makes plans ready and runs them step by step, `bindings` says which buffers a step
//! reads and writes and what has to be copied before it is overwritten, `threads` is who helps, `later` does on a thread of
//! its own what asynchronous methods ask for. `kernels` has a file for each family of steps, named as on the GPU
//! (products stand in `gemm`, convolutions among them in `conv`; a nest is made ready in `draft`, one without reductions is
//! `pointwise`), and what they share: how the points of a nest are tiled (`tiling`), what runs behind a product
//! (`epilogue`). `program` runs programs: `compile` turns lines into instructions on blocks of values, `interp` runs
//! these, `reduce` accumulates, `copies` moves elements between buffers and blocks, `space` walks the points, `philox`
//! draws bits.

mod bindings;
mod kernels;
mod later;
mod memory;
mod program;
mod run;
#[cfg(test)]
mod tests;
mod threads;

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use self::later::Later;
use self::memory::{Memory, words_of, words_of_mut};
use self::run::CpuPlan;
use self::threads::Pool;
use super::profile::{Log, Recording, Spans};
use super::{
    Backend, Buffer, Counters, DeviceInfo, DeviceKind, DeviceOptions, Executable, KernelTime, Kernels, MemoryStats,
    Take, count,
};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::step::Plan;
use crate::sys::Instant;

pub(crate) use self::memory::CpuBuffer;

/// The CPU engine behind a device.
pub(crate) struct CpuBackend {
    info: DeviceInfo,
    shared: Arc<Shared>,
}

/// Temporaries by rank of size.
type Table = Vec<Option<Arc<CpuBuffer>>>;

/// What plans share with their device.
struct Shared {
    memory: Arc<Memory>,
    pool: Arc<Pool>,
    /// What asynchronous methods have asked for.
    later: Later,
    /// Tables of temporaries not in use: one, unless several threads run plans at once.
    tables: Mutex<Vec<Table>>,
    /// What steps take, and when they began, while somebody asks.
    times: Log<Vec<(Instant, KernelTime)>>,
    spans: Arc<Spans>,
}

impl Shared {
    fn borrow_table(&self) -> Table {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn return_table(&self, table: Table) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).push(table);
    }
}

impl CpuBackend {
    /// Opens the engine. It always exists.
    pub(crate) fn open(options: &DeviceOptions) -> CpuBackend {
        let pool = if options.threads == 0 { Pool::shared() } else { Pool::new(options.threads) };
        Self::with_pool(options, pool)
    }

    fn with_pool(options: &DeviceOptions, pool: Arc<Pool>) -> CpuBackend {
        let memory = Memory::new(options.reserve, options.cap);
        CpuBackend {
            info: info(&pool),
            shared: Arc::new(Shared {
                memory,
                later: Later::new(&pool),
                pool,
                tables: Mutex::default(),
                times: Log::default(),
                spans: Arc::default(),
            }),
        }
    }
}

/// A copy of more bytes than this is not made on a thread that has other things to do.
const LARGE: usize = 1 << 20;

/// What is known of the processor.
fn info(pool: &Pool) -> DeviceInfo {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(':'));
    let name = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_string();
    let threads = pool.threads();
    DeviceInfo {
        id: "cpu".into(),
        name,
        kind: DeviceKind::Cpu,
        api: "native".into(),
        driver: format!("wgtensor {}, {threads} threads", env!("CARGO_PKG_VERSION")),
        features: features(),
        kernels: Kernels::Auto,
        limits: vec![("threads", threads as u64)],
    }
}

/// The vector instructions present that matter to the engine.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut out = Vec::new();
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            out.push("avx2");
        }
        if std::is_x86_feature_detected!("avx512f") {
            out.push("avx512f");
        }
        out
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

fn host(buffer: &Buffer) -> Result<&CpuBuffer> {
    buffer.get().ok_or_else(foreign)
}

fn foreign() -> Error {
    Error::internal("a GPU buffer was given to the CPU engine")
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn lost(&self) -> Option<Error> {
        None
    }

    fn check_dtype(&self, _: DType) -> Result<()> {
        Ok(())
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer> {
        self.shared.memory.buffer(bytes).map(Buffer::new)
    }

    fn write(&self, buffer: &Buffer, bytes: &[u8]) -> Result<()> {
        let mut data = host(buffer)?.data.write().unwrap_or_else(PoisonError::into_inner);
        let to = bytemuck::cast_slice_mut::<u64, u8>(words_of_mut(&mut data));
        let room = to.len();
        let to = to
            .get_mut(..bytes.len())
            .ok_or_else(|| Error::internal(format!("{} bytes were written to a buffer of {room}", bytes.len())))?;
        to.copy_from_slice(bytes);
        count(&self.counters().uploads, 1);
        count(&self.counters().upload_bytes, bytes.len() as u64);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, bytes: usize, take: Take) -> BoxFuture<'static, Result<()>> {
        count(&self.counters().readbacks, 1);
        let buffer = buffer.clone();
        let copy = move || {
            let data = host(&buffer)?.data.read().unwrap_or_else(PoisonError::into_inner);
            let from = bytemuck::cast_slice::<u64, u8>(words_of(&data));
            let from = from
                .get(..bytes)
                .ok_or_else(|| Error::internal(format!("{bytes} bytes were read from a buffer of {}", from.len())))?;
            take(from);
            Ok(())
        };
        self.shared.later.after(bytes > LARGE, copy)
    }

    fn prepare(&self, plan: Arc<Plan>) -> Result<Box<dyn Executable>> {
        Ok(Box::new(CpuPlan::new(self.shared.clone(), plan)?))
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        self.shared.later.after(false, || Ok(()))
    }

    fn memory(&self) -> MemoryStats {
        self.shared.memory.stats()
    }

    fn trim(&self) {
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.memory.trim();
    }

    fn record(&self) -> Result<Box<dyn Recording>> {
        let from = self.shared.times.begin(Vec::len);
        Ok(Box::new(CpuRecording { shared: Arc::clone(&self.shared), from }))
    }

    fn spans(&self) -> &Arc<Spans> {
        &self.shared.spans
    }

    fn counters(&self) -> &Counters {
        &self.shared.memory.counters
    }
}

/// Somebody who profiles.
struct CpuRecording {
    shared: Arc<Shared>,
    from: usize,
}

impl Recording for CpuRecording {
    fn finish(self: Box<Self>, begin: Instant) -> BoxFuture<'static, Result<Vec<KernelTime>>> {
        let timed = |(at, kernel): &(Instant, KernelTime)| KernelTime {
            begin: at.saturating_duration_since(begin).as_secs_f64(),
            ..kernel.clone()
        };
        let noted = self.shared.times.lock()[self.from..].iter().map(timed).collect();
        futures::future::ready(Ok(noted)).boxed()
    }
}

impl Drop for CpuRecording {
    fn drop(&mut self) {
        self.shared.times.end();
    }
}
