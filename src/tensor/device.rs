//! Finding, choosing and opening devices.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::backend::{Backend, DeviceInfo, DeviceKind, DeviceOptions, PlanCheck, cpu, gpu};
use crate::error::{Error, Kind, Result, entry_async};
use crate::graph::Device;
use crate::plan::Limits;

/// The environment variable that chooses a device: `auto`, `cpu`, `gpu`, `gpu:1`, or part of an adapter's name.
const CHOICE: &str = "WGTENSOR_DEVICE";
/// Set to `off`, every operation gets a kernel of its own: for finding faults.
const FUSION: &str = "WGTENSOR_FUSION";

impl Device {
    /// The native CPU engine: the same device at every call. ([`Device::open_with`] gives one of its own.)
    pub fn cpu() -> Device {
        static SHARED: OnceLock<Device> = OnceLock::new();
        SHARED.get_or_init(|| Self::cpu_with(&DeviceOptions::default())).clone()
    }

    /// The first GPU adapter in the order of [`Device::list`]: real GPUs before software ones. The same device at every
    /// call, as with [`Device::open`].
    ///
    /// # Errors
    /// There is no adapter, or it cannot be opened.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        Self::open("gpu")
    }

    /// The best hardware there is: a real GPU if it can be opened, else the CPU engine (which is preferred to a
    /// software adapter). The log says what was taken and why. The same device at every call.
    pub fn best() -> Device {
        pollster::block_on(Self::best_async(None))
    }

    /// The device that `WGTENSOR_DEVICE` names: `auto` (the default, [`Device::best`]), `cpu`, `gpu`, `gpu:1`, or part
    /// of an adapter's name.
    ///
    /// # Errors
    /// No such device, or it cannot be opened.
    #[track_caller]
    pub fn from_env() -> Result<Device> {
        let choice = std::env::var(CHOICE).unwrap_or_default();
        Self::open(if choice.trim().is_empty() { "auto" } else { choice.trim() })
            .map_err(|e| if choice.trim().is_empty() { e } else { e.context(format!("{CHOICE}={}", choice.trim())) })
    }

    /// The device of this name, as `WGTENSOR_DEVICE` writes it. An adapter is opened at the first call and stays open
    /// while the program runs ([`trim`](Device::trim) gives its unused memory back): every call gives the same device,
    /// so that tensors made in different places work together. After the device was lost, the next call opens it anew.
    ///
    /// # Errors
    /// No such device, or it cannot be opened.
    #[track_caller]
    pub fn open(selector: &str) -> Result<Device> {
        pollster::block_on(Self::open_async(selector, None))
    }

    /// [`Device::open`] with options, and always a device of its own: tensors of two devices do not mix.
    ///
    /// # Errors
    /// No such device, or it cannot be opened with these options.
    #[track_caller]
    pub fn open_with(selector: &str, options: &DeviceOptions) -> Result<Device> {
        pollster::block_on(Self::open_async(selector, Some(options)))
    }

    /// [`Device::open`] (no options) or [`Device::open_with`] without blocking.
    ///
    /// # Errors
    /// Those of [`Device::open_with`].
    #[track_caller]
    pub fn open_async(selector: &str, options: Option<&DeviceOptions>) -> impl Future<Output = Result<Device>> {
        entry_async(Ok(Self::find(selector, options)))
    }

    async fn find(selector: &str, options: Option<&DeviceOptions>) -> Result<Device> {
        let wanted = selector.trim().to_lowercase();
        match wanted.as_str() {
            "auto" | "best" => return Ok(Self::best_async(options).await),
            "cpu" => return Ok(options.map_or_else(Self::cpu, Self::cpu_with)),
            _ => {}
        }
        let adapters = gpu::adapter::list();
        let index = match wanted.as_str() {
            "gpu" => (!adapters.is_empty()).then_some(0),
            id => adapters
                .iter()
                .position(|a| a.id == id)
                .or_else(|| adapters.iter().position(|a| a.name.to_lowercase().contains(id))),
        };
        let Some(index) = index else {
            let known: Vec<String> = adapters.iter().map(|a| format!("{} ({})", a.id, a.name)).collect();
            let known = if known.is_empty() { "no GPU adapters at all".into() } else { known.join(", ") };
            return Err(Error::new(
                Kind::NoAdapter,
                format!(
                    "No such device. Received: \"{selector}\"; this machine has cpu and {known}. Expected: auto, cpu, gpu, \
                     gpu:N, or part of an adapter's name. Install a Vulkan driver (on Debian: mesa-vulkan-drivers) for a \
                     software adapter, or use \"cpu\"."
                ),
            ));
        };
        Self::gpu_at(index, options).await
    }

    /// Everything [`Device::open`] can open: the CPU engine, then the adapters, real GPUs first.
    pub fn list() -> Vec<DeviceInfo> {
        let mut out = vec![Device::cpu().info().clone()];
        out.extend(gpu::adapter::list());
        out
    }

    fn cpu_with(options: &DeviceOptions) -> Device {
        Self::of(Box::new(cpu::CpuBackend::open(options)), usize::MAX, options)
    }

    async fn gpu_at(index: usize, options: Option<&DeviceOptions>) -> Result<Device> {
        static SHARED: SharedGpus = SharedGpus(Mutex::new(BTreeMap::new()));
        match options {
            Some(options) => gpu::adapter::open(index, options).await.map(|backend| Self::of_gpu(backend, options)),
            None => SHARED.get(index).await,
        }
    }

    pub(crate) fn of_gpu(backend: gpu::GpuBackend, options: &DeviceOptions) -> Device {
        let bindings = backend.max_storage_bindings();
        Self::of(Box::new(backend), bindings, options)
    }

    fn of(backend: Box<dyn Backend>, max_buffers: usize, options: &DeviceOptions) -> Device {
        let fusion = std::env::var(FUSION).map_or(true, |v| v != "off");
        let check = options.check_shaders.then(|| Box::<gpu::check::ShaderCheck>::default() as Box<dyn PlanCheck>);
        Self::with_backend(backend, Limits { max_buffers, fusion }, check)
    }

    async fn best_async(options: Option<&DeviceOptions>) -> Device {
        let adapters = gpu::adapter::list();
        for (index, info) in adapters.iter().enumerate() {
            if info.kind == DeviceKind::Software {
                log::info!("{} ({}) computes on the processor: the CPU engine is preferred", info.id, info.name);
                continue;
            }
            match Self::gpu_at(index, options).await {
                Ok(device) => {
                    log::info!("using {} ({}, {}): the first real GPU", info.id, info.name, info.kind);
                    return device;
                }
                Err(error) => log::warn!("{} ({}) cannot be opened: {error}", info.id, info.name),
            }
        }
        let device = options.map_or_else(Self::cpu, Self::cpu_with);
        let why = if adapters.is_empty() { "no GPU adapter found" } else { "no real GPU found" };
        log::info!("using the CPU engine ({}): {why}", device.info().name);
        device
    }
}

/// The devices that all calls without options share, by the adapters' numbers.
#[derive(Default)]
pub(crate) struct SharedGpus(Mutex<BTreeMap<usize, Device>>);

impl SharedGpus {
    /// The device of an adapter, opened if it is not, or if it was lost.
    pub(crate) async fn get(&self, index: usize) -> Result<Device> {
        let well = |open: &BTreeMap<usize, Device>| open.get(&index).filter(|d| d.backend().lost().is_none()).cloned();
        if let Some(device) = well(&self.lock()) {
            return Ok(device);
        }
        let options = DeviceOptions::default();
        let fresh = gpu::adapter::open(index, &options).await.map(|backend| Device::of_gpu(backend, &options))?;
        // Nothing was locked while it opened: another thread may have been faster.
        let mut open = self.lock();
        Ok(well(&open).unwrap_or_else(|| {
            open.insert(index, fresh.clone());
            fresh
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
