//! The two engines behind one small trait: allocate, write, read, prepare a plan, run it.

#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "the CPU engine keeps nothing"))]
mod cache;
#[cfg(feature = "cpu")]
pub(crate) mod cpu;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
pub(crate) mod profile;
mod trace;
pub(crate) mod worker;
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
mod xspace;

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::future::BoxFuture;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::step::Plan;
pub use cache::KernelCache;
pub use profile::{HostSpan, KernelTime, Profile};

/// Memory of one engine. Cloning shares it; dropping the last clone gives it back to the pool.
///
/// Only the engine knows what is inside, so the compiler of a program that shares a device or a tensor between threads
/// need not look through all of `wgpu` to see that it may.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<dyn Any + Send + Sync>);

impl Buffer {
    pub(crate) fn new<T: Any + Send + Sync>(memory: Arc<T>) -> Self {
        Buffer(memory)
    }

    /// The memory, if it is that of an engine whose memory is a `T`.
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// Whether the two are the same memory.
    pub(crate) fn same(&self, other: &Buffer) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

/// Takes what is read, on a thread of the engine's choice.
pub(crate) type Take = Box<dyn FnOnce(&[u8]) + Send>;

/// What an engine can do; all of it.
pub(crate) trait Backend: Send + Sync {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;
    /// The error of every call from the loss of the device on; `None` while it is well.
    fn lost(&self) -> Option<Error>;
    /// Whether the engine has this element type; the error says why not and what to do.
    fn check_dtype(&self, dtype: DType) -> Result<()>;
    /// Memory of at least `bytes` (0 is allowed), its content undefined.
    fn alloc(&self, bytes: usize) -> Result<Buffer>;
    /// Puts `bytes` at the start of `buffer`, which nothing submitted so far uses.
    fn write(&self, buffer: &Buffer, bytes: &[u8]) -> Result<()>;
    /// Gives `take` the first `bytes` bytes of `buffer` as they are after everything submitted so far: the copy is
    /// ordered by this call, not by the first poll.
    fn read(&self, buffer: &Buffer, bytes: usize, take: Take) -> BoxFuture<'static, Result<()>>;
    /// [`read`](Backend::read) into a vector.
    #[cfg(test)]
    fn read_all(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        use futures::FutureExt;
        let (sender, all) = futures::channel::oneshot::channel();
        let read = self.read(buffer, bytes, Box::new(move |bytes| drop(sender.send(bytes.to_vec()))));
        async move { read.await.map(|()| all.now_or_never().expect("taken").expect("sent")) }.boxed()
    }
    /// Everything a plan needs to run many times: pipelines, scratch, parameter layout.
    fn prepare(&self, plan: Arc<Plan>) -> Result<Box<dyn Executable>>;
    /// The same for a plan that is run again and again, if more than [`prepare`](Backend::prepare) does is worth it then.
    fn prepare_often(&self, _plan: Arc<Plan>) -> Result<Option<Box<dyn Executable>>> {
        Ok(None)
    }
    /// Resolves when everything submitted so far has run.
    fn sync(&self) -> BoxFuture<'static, Result<()>>;
    /// Memory statistics.
    fn memory(&self) -> MemoryStats;
    /// Gives unused pooled memory back to the system.
    fn trim(&self);
    /// Notes what each kernel takes, from now until the recording goes.
    ///
    /// # Errors
    /// The device has no clock for it.
    fn record(&self) -> Result<Box<dyn profile::Recording>>;
    /// What the host does for the device, while somebody asks.
    fn spans(&self) -> &Arc<profile::Spans>;
    /// What has been counted since the device was opened.
    fn counters(&self) -> &Counters;
}

/// A plan made ready by an engine.
pub(crate) trait Executable: Send + Sync {
    /// Submits the plan once and does not wait: the GPU engine never, the CPU engine where [`sys::may_defer`] says so
    /// (elsewhere it is done in the call). `params` are the run-time scalars.
    ///
    /// [`sys::may_defer`]: crate::sys::may_defer
    fn run(&self, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()>;
    /// Text of each step's kernel (WGSL on the GPU), for people.
    fn sources(&self) -> Vec<String>;
}

/// Checks what other devices than the one at hand would run.
pub(crate) trait PlanCheck: Send + Sync {
    /// Whether these devices have the type.
    fn takes(&self, dtype: DType) -> bool;
    /// For each kind of device: how many buffers a step may bind there.
    fn max_buffers(&self) -> Vec<usize>;
    /// Checks a plan for one of the kinds; how many kernels were new.
    fn check(&self, kind: usize, plan: &Plan) -> Result<u64>;
}

/// What kind of hardware a device is.
///
/// ```
/// # use wgtensor::{Device, DeviceKind};
/// let real = Device::list().into_iter().find(|info| !matches!(info.kind, DeviceKind::Cpu | DeviceKind::Software));
/// println!("{}", real.map_or("no GPU".into(), |info| info.name));
/// assert_eq!(Device::cpu().info().kind, DeviceKind::Cpu);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The native CPU engine.
    Cpu,
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU sharing the processor's memory.
    Integrated,
    /// A virtualised GPU.
    Virtual,
    /// A GPU driver that computes on the processor (lavapipe, SwiftShader, WARP).
    Software,
    /// A GPU of unknown kind.
    Other,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Cpu => "CPU engine",
            DeviceKind::Discrete => "discrete GPU",
            DeviceKind::Integrated => "integrated GPU",
            DeviceKind::Virtual => "virtual GPU",
            DeviceKind::Software => "software GPU",
            DeviceKind::Other => "GPU of unknown kind",
        })
    }
}

/// The environment variable that switches [`DeviceOptions::tune`] on.
const TUNE: &str = "WGTENSOR_TUNE";
/// The environment variable that switches [`DeviceOptions::cooperative_matrices`] on.
const COOPERATIVE: &str = "WGTENSOR_COOPERATIVE";
/// The environment variable that [`Kernels::Auto`] asks: `auto`, `hardware` or `software`.
const KERNELS: &str = "WGTENSOR_KERNELS";

/// Which kernels a GPU device gets. All compute the same; they differ in what they are fast on.
///
/// ```
/// # use wgtensor::Kernels;
/// assert_eq!("software".parse::<Kernels>()?, Kernels::Software);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kernels {
    /// What `WGTENSOR_KERNELS` says (`auto`, `hardware` or `software`); where it says nothing or `auto`, those that suit
    /// the adapter.
    #[default]
    Auto,
    /// Those of real GPUs: tiles in work-group memory, large teams. A software adapter runs them too, slowly: for tests
    /// and for comparing results.
    Hardware,
    /// Those of drivers that compute on the processor: straight from memory, few barriers. For finding out whether a
    /// wrong number on some GPU is the kernels' fault.
    Software,
}

impl Kernels {
    /// `Hardware` or `Software`, for an adapter of this kind.
    ///
    /// # Errors
    /// The environment is asked and says something else.
    pub(crate) fn on(self, kind: DeviceKind) -> Result<Kernels> {
        let choice = if self == Kernels::Auto { Self::from_env()? } else { self };
        Ok(match choice {
            Kernels::Auto if kind == DeviceKind::Software => Kernels::Software,
            Kernels::Auto => Kernels::Hardware,
            chosen => chosen,
        })
    }

    fn from_env() -> Result<Kernels> {
        let text = std::env::var(KERNELS).unwrap_or_default();
        if text.trim().is_empty() { Ok(Kernels::Auto) } else { text.parse().map_err(|e: Error| e.context(KERNELS)) }
    }
}

impl FromStr for Kernels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Kernels> {
        let known = [Kernels::Auto, Kernels::Hardware, Kernels::Software];
        let found = known.into_iter().find(|k| k.to_string() == text.trim().to_lowercase());
        found.ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                "No such choice of GPU kernels",
                &format!("\"{text}\""),
                "auto, hardware or software",
                "Correct the name; auto takes what suits the adapter",
            )
        })
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernels::Auto => "auto",
            Kernels::Hardware => "hardware",
            Kernels::Software => "software",
        })
    }
}

/// What is known of a device.
///
/// ```
/// # use wgtensor::Device;
/// let device = Device::cpu();
/// let info = device.info();
/// println!("{}: {}, {} by {} ({})", info.id, info.name, info.kind, info.api, info.features.join(", "));
/// assert_eq!((&info.id[..], &info.api[..]), ("cpu", "native"));
/// # if false { return Err(wgtensor::Device::open("").unwrap_err()); }
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// The short name used to choose it: `cpu`, `gpu:0`, `gpu:1`, ...
    pub id: String,
    /// The adapter's or processor's name.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// `native`, `Vulkan`, `Metal`, `Dx12`, ...
    pub api: String,
    /// The driver's name and version.
    pub driver: String,
    /// Optional abilities present that the crate uses, such as `subgroups` or `avx2`.
    pub features: Vec<&'static str>,
    /// Which kernels the device uses, [`Kernels::Auto`] where that is not decided: it was only listed, or it is the CPU engine.
    pub kernels: Kernels,
    /// Named limits that matter to the crate, in the units of their names.
    pub limits: Vec<(&'static str, u64)>,
}

/// How a device uses memory, which of its abilities are used, and where its compiled kernels are kept.
///
/// ```
/// # use wgtensor::{Device, DeviceOptions};
/// let options = DeviceOptions { cap: Some(2 << 30), threads: 2, ..DeviceOptions::default() };
/// let device = Device::open_with("cpu", &options)?;
/// # drop(device);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Bytes to take when the device is opened; 0 (the default) grows on demand.
    pub reserve: u64,
    /// The most bytes to take; `None` (the default) sets no bound.
    pub cap: Option<u64>,
    /// How many threads the CPU engine computes on; with 0 (the default) as many as `WGTENSOR_THREADS` says or else as the
    /// machine has. One of them is the thread that asks for a result.
    pub threads: usize,
    /// Ask the adapter for plain WebGPU default limits and no optional features, as in a browser.
    pub webgpu_defaults: bool,
    /// Which kernels a GPU gets.
    pub kernels: Kernels,
    /// Where a GPU's compiled kernels are kept for the next process. The driver trusts in what it finds there: see
    /// [`KernelCache`].
    pub cache: KernelCache,
    /// Measure which tile is fastest for each matrix product and convolution, where the device meets it first; also where
    /// `WGTENSOR_TUNE` is set to something other than `0`. A plan of new products then takes its time. A candidate
    /// counts only if its results are those of the kernels that are taken otherwise. What is found is kept beside the compiled
    /// kernels ([`cache`](Self::cache)) for each adapter and version of its driver; the log has it under `wgtensor::tune`. It is
    /// for real GPUs; the CPU engine and web pages do without.
    pub tune: bool,
    /// Compute products and convolutions of `f16` with the adapter's cooperative matrices (tensor cores, matrix cores), where it
    /// has them for `f16` with sums in `f32`; also where `WGTENSOR_COOPERATIVE` is set to something other than `0`. The driver
    /// orders the sums as it likes. They are experimental in `wgpu`: a driver's fault may do more harm than a wrong number. For
    /// Vulkan and Metal; a host program's own device is left as it is.
    pub cooperative_matrices: bool,
    /// Check each new plan's shaders for the GPUs that are not here: the kernels for plain WebGPU, for a large GPU and
    /// for a software adapter are validated and translated to SPIR-V, MSL and HLSL. Works on the CPU engine too; a
    /// shader that fails is an error of the flush. Needs the crate's feature `gpu`. Plans with f64 in them, which no GPU runs, are passed over.
    pub check_shaders: bool,
}

impl DeviceOptions {
    /// Whether products are to be measured.
    pub(crate) fn tunes(&self) -> bool {
        self.tune || Self::switched_on(TUNE)
    }

    /// Whether cooperative matrices are to be used.
    #[cfg(feature = "gpu")]
    pub(crate) fn cooperates(&self) -> bool {
        self.cooperative_matrices || Self::switched_on(COOPERATIVE)
    }

    fn switched_on(variable: &str) -> bool {
        std::env::var_os(variable).is_some_and(|word| !word.is_empty() && word != "0")
    }
}

/// The error for `bytes` that a device has no room for, `rounded` to what its pool takes at once.
pub(crate) fn out_of_memory(device: &str, bytes: u64, rounded: u64, stats: MemoryStats, cap: Option<u64>) -> Error {
    let rounding = match rounded > bytes {
        true => format!(" ({} in the pool's size classes)", human(rounded)),
        false => String::new(),
    };
    let expected = match cap {
        Some(cap) => format!("room within the cap of {}", human(cap)),
        None => "room in the device's memory".into(),
    };
    Error::parts(
        Kind::OutOfMemory,
        &format!("The device {device} is out of memory"),
        &format!(
            "a request of {}{rounding} with {} in use and {} pooled",
            human(bytes),
            human(stats.in_use),
            human(stats.reserved - stats.in_use)
        ),
        &expected,
        "Drop tensors that are no longer needed, use smaller batches, or raise the cap; everything computed so far stays valid",
    )
}

/// A number of bytes for people.
pub(crate) fn human(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Memory of a device, in bytes: tensors, variables, and what plans compute with. Plans' parameters and the staging
/// memory of transfers, small beside these, are not counted.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::zeros([1 << 18], DType::F32, &device)?;
/// x.realize()?;
/// let memory = device.memory();
/// println!("{:.1} MiB in use, {:.1} at most", memory.in_use as f64 / 1048576.0, memory.peak as f64 / 1048576.0);
/// assert!(memory.peak >= 1 << 20);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Held by live tensors, variables and plans.
    pub in_use: u64,
    /// The most that `in_use` has been.
    pub peak: u64,
    /// Taken from the system, in use or pooled.
    pub reserved: u64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Running totals of a device, for tests and profiling. Read with [`snapshot`](Counters::snapshot).
        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64),* }

        /// A copy of a device's running totals.
        ///
        /// ```
        /// # use wgtensor::{Device, DeviceOptions, Tensor};
        /// # let device = Device::open_with("cpu", &DeviceOptions::default())?; // its own, on which no other example runs
        /// let before = device.counters();
        /// let x = Tensor::new([1.0f32, 2.0], &device)?;
        /// x.exp()?.item::<f32>().unwrap_err(); // two elements
        /// x.sum(())?.item::<f32>()?;
        /// let did = device.counters() - before;
        /// assert_eq!((did.uploads, did.readbacks), (1, 1));
        /// # Ok::<(), wgtensor::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CounterSnapshot { $($(#[$doc])* pub $name: u64),* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CounterSnapshot {
                CounterSnapshot { $($name: self.$name.load(Relaxed)),* }
            }
        }

        impl std::ops::Sub for CounterSnapshot {
            type Output = CounterSnapshot;
            fn sub(self, before: Self) -> Self {
                CounterSnapshot { $($name: self.$name - before.$name),* }
            }
        }
    };
}

counters! {
    /// Command buffers submitted.
    submits,
    /// Kernels dispatched (steps run, on the CPU engine).
    dispatches,
    /// Host-to-device transfers.
    uploads,
    /// Bytes in them.
    upload_bytes,
    /// Device-to-host transfers.
    readbacks,
    /// Buffers taken from the system (not from the pool).
    allocations,
    /// Pipelines created.
    pipelines,
    /// Bind groups created.
    bind_groups,
    /// Plans built because the structure was new.
    plan_misses,
    /// Plans that were there already.
    plan_hits,
    /// Those of them that ran without being recorded again: calls of [captured](crate::Captured) steps.
    replays,
    /// Distinct shaders checked for other GPUs, if the device was opened with
    /// [`check_shaders`](DeviceOptions::check_shaders).
    shaders_checked,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name_or_by_the_adapter() {
        assert_eq!(" Hardware".parse::<Kernels>().unwrap(), Kernels::Hardware);
        let error = "fast".parse::<Kernels>().unwrap_err().to_string();
        assert!(error.contains("\"fast\"") && error.contains("auto, hardware or software"), "{error}");
        for kernels in [Kernels::Hardware, Kernels::Software] {
            assert_eq!(kernels.on(DeviceKind::Software).unwrap(), kernels);
            assert_eq!(kernels.on(DeviceKind::Discrete).unwrap(), kernels);
        }
    }
}
