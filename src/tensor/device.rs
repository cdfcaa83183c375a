//! Finding, choosing and opening devices.

#[cfg(feature = "gpu")]
use std::collections::BTreeMap;
#[cfg(feature = "cpu")]
use std::sync::OnceLock;
#[cfg(feature = "gpu")]
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "gpu")]
use crate::backend::gpu;
use crate::backend::{Backend, DeviceInfo, DeviceKind, DeviceOptions, PlanCheck};
use crate::error::{Error, Kind, Result, entry_async};
use crate::graph::Device;
use crate::plan::Limits;
use crate::sys::block_on;

/// The environment variable that chooses a device: `auto`, `cpu`, `gpu`, `gpu:1`, or part of an adapter's name.
const CHOICE: &str = "WGTENSOR_DEVICE";
/// Set to `off`, every operation gets a kernel of its own: for finding faults.
const FUSION: &str = "WGTENSOR_FUSION";

impl Device {
    /// The native CPU engine: the same device at every call. ([`Device::open_with`] gives one of its own.)
    ///
    /// ```
    /// # use wgtensor::Device;
    /// assert_eq!(Device::cpu(), Device::cpu());
    /// assert!(!Device::cpu().is_gpu());
    /// ```
    #[cfg(feature = "cpu")]
    pub fn cpu() -> Device {
        static SHARED: OnceLock<Device> = OnceLock::new();
        let open = || Self::engine(Some(&DeviceOptions::default())).expect("without options nothing can be refused");
        SHARED.get_or_init(open).clone()
    }

    /// The first GPU adapter in the order of [`Device::list`]: real GPUs before software ones. The same device at every
    /// call, as with [`Device::open`].
    ///
    /// ```
    /// # use wgtensor::Device;
    /// match Device::gpu() {
    ///     Ok(gpu) => println!("{}", gpu.info().name),
    ///     Err(error) => assert!(error.is_no_adapter(), "{error}"),
    /// }
    /// ```
    ///
    /// # Errors
    /// There is no adapter, or it cannot be opened.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        Self::open("gpu")
    }

    /// The best hardware there is: a real GPU if it can be opened, else the CPU engine (which is preferred to a
    /// software adapter). The log says what was taken and why. The same device at every call.
    ///
    /// ```
    /// # use wgtensor::Device;
    /// let device = Device::best();
    /// println!("{}", device.info().name);
    /// ```
    #[cfg(feature = "cpu")]
    pub fn best() -> Device {
        block_on(Self::best_async(None)).unwrap_or_else(|_| Self::cpu())
    }

    /// The device that `WGTENSOR_DEVICE` names: `auto` (the default, [`Device::best`]), `cpu`, `gpu`, `gpu:1`, or part
    /// of an adapter's name.
    ///
    /// ```
    /// # use wgtensor::Device;
    /// let device = Device::from_env()?;
    /// println!("{}", device.info().name);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
    /// ```
    /// # use wgtensor::Device;
    /// assert_eq!(Device::open("cpu")?, Device::cpu());
    /// assert!(Device::open("abacus").unwrap_err().is_no_adapter());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such device, or it cannot be opened.
    #[track_caller]
    pub fn open(selector: &str) -> Result<Device> {
        block_on(Self::open_async(selector, None))
    }

    /// [`Device::open`] with options, and always a device of its own: tensors of two devices do not mix.
    ///
    /// ```
    /// # use wgtensor::{Device, DeviceOptions};
    /// let options = DeviceOptions { threads: 1, cap: Some(1 << 30), ..DeviceOptions::default() };
    /// let device = Device::open_with("cpu", &options)?;
    /// assert_ne!(device, Device::cpu());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such device, or it cannot be opened with these options.
    #[track_caller]
    pub fn open_with(selector: &str, options: &DeviceOptions) -> Result<Device> {
        block_on(Self::open_async(selector, Some(options)))
    }

    /// [`Device::open`] (no options) or [`Device::open_with`] without blocking.
    ///
    /// ```
    /// # use wgtensor::Device;
    /// let device = pollster::block_on(Device::open_async("cpu", None))?;
    /// assert_eq!(device, Device::cpu());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
            "auto" | "best" => return Self::best_async(options).await,
            "cpu" => return Self::engine(options),
            _ => {}
        }
        let adapters = adapters().await;
        let index = match wanted.as_str() {
            "gpu" => (!adapters.is_empty()).then_some(0),
            id => adapters
                .iter()
                .position(|a| a.id == id)
                .or_else(|| adapters.iter().position(|a| a.name.to_lowercase().contains(id))),
        };
        let Some(index) = index else {
            let known: Vec<String> = adapters.iter().map(|a| format!("{} ({})", a.id, a.name)).collect();
            let known = match known.is_empty() {
                true if cfg!(not(feature = "gpu")) => {
                    "no GPU engine (the crate was built without its feature `gpu`)".into()
                }
                true => "no GPU adapters at all".into(),
                false => known.join(", "),
            };
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
    ///
    /// ```
    /// # use wgtensor::Device;
    /// for info in Device::list() {
    ///     println!("{}: {} ({})", info.id, info.name, info.kind);
    /// }
    /// assert_eq!(Device::list()[0].id, "cpu");
    /// ```
    pub fn list() -> Vec<DeviceInfo> {
        block_on(async { Ok(Self::list_async().await) }).unwrap_or_default()
    }

    /// [`Device::list`] without blocking.
    ///
    /// ```
    /// # use wgtensor::Device;
    /// let all = pollster::block_on(Device::list_async());
    /// assert_eq!(all[0].id, "cpu");
    /// ```
    pub async fn list_async() -> Vec<DeviceInfo> {
        let mut out = Vec::new();
        #[cfg(feature = "cpu")]
        out.push(Device::cpu().info().clone());
        out.extend(adapters().await);
        out
    }

    /// Where something is made for which nobody named a device: the CPU engine, or without it what `auto` gives.
    pub(crate) fn preset() -> Result<Device> {
        #[cfg(feature = "cpu")]
        return Ok(Self::cpu());
        #[cfg(not(feature = "cpu"))]
        return Self::open("auto");
    }

    /// The CPU engine, shared (no options) or one of its own.
    #[cfg(feature = "cpu")]
    fn engine(options: Option<&DeviceOptions>) -> Result<Device> {
        match options {
            None => Ok(Self::cpu()),
            Some(options) => {
                let limits =
                    Limits { max_buffers: usize::MAX, half_products: false, turned_weights: true, fusion: true };
                Self::of(Box::new(crate::backend::cpu::CpuBackend::open(options)), limits, options)
            }
        }
    }

    #[cfg(not(feature = "cpu"))]
    fn engine(_: Option<&DeviceOptions>) -> Result<Device> {
        Err(Error::parts(
            Kind::NoAdapter,
            "There is no CPU engine",
            "a build without the crate's feature `cpu`",
            "the name of a GPU",
            "Enable the feature, or open \"gpu\"",
        ))
    }

    #[cfg(feature = "gpu")]
    async fn gpu_at(index: usize, options: Option<&DeviceOptions>) -> Result<Device> {
        static SHARED: SharedGpus = SharedGpus(Mutex::new(BTreeMap::new()));
        match options {
            Some(options) => Self::of_gpu(gpu::adapter::open(index, options).await?, options),
            None => SHARED.get(index).await,
        }
    }

    #[cfg(not(feature = "gpu"))]
    async fn gpu_at(_: usize, _: Option<&DeviceOptions>) -> Result<Device> {
        Err(Error::internal("an adapter was found without the GPU engine"))
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn of_gpu(backend: gpu::GpuBackend, options: &DeviceOptions) -> Result<Device> {
        let limits = Limits {
            max_buffers: backend.max_storage_bindings(),
            half_products: backend.half_products(),
            turned_weights: false,
            fusion: true,
        };
        Self::of(Box::new(backend), limits, options)
    }

    #[track_caller]
    fn of(backend: Box<dyn Backend>, limits: Limits, options: &DeviceOptions) -> Result<Device> {
        let fusion = std::env::var(FUSION).map_or(true, |v| v != "off");
        #[cfg(feature = "gpu")]
        let check = options.check_shaders.then(|| Box::<gpu::check::ShaderCheck>::default() as Box<dyn PlanCheck>);
        #[cfg(not(feature = "gpu"))]
        let check = match options.check_shaders {
            false => None::<Box<dyn PlanCheck>>,
            true => {
                return Err(Error::parts(
                    Kind::Unsupported,
                    "Shaders cannot be checked",
                    "check_shaders in a build without the crate's feature `gpu`",
                    "the GPU engine, which writes the shaders",
                    "Enable the feature",
                ));
            }
        };
        Ok(Self::with_backend(backend, Limits { fusion, ..limits }, check))
    }

    async fn best_async(options: Option<&DeviceOptions>) -> Result<Device> {
        let adapters = adapters().await;
        for (index, info) in adapters.iter().enumerate() {
            if info.kind == DeviceKind::Software && cfg!(feature = "cpu") {
                log::info!("{} ({}) computes on the processor: the CPU engine is preferred", info.id, info.name);
                continue;
            }
            match Self::gpu_at(index, options).await {
                Ok(device) => {
                    log::info!("using {} ({}, {}): the first that opens", info.id, info.name, info.kind);
                    return Ok(device);
                }
                Err(error) => log::warn!("{} ({}) cannot be opened: {error}", info.id, info.name),
            }
        }
        let device = Self::engine(options)?;
        let why = if adapters.is_empty() { "no GPU adapter found" } else { "no real GPU found" };
        log::info!("using the CPU engine ({}): {why}", device.info().name);
        Ok(device)
    }
}

/// The machine's adapters, real GPUs first.
async fn adapters() -> Vec<DeviceInfo> {
    #[cfg(feature = "gpu")]
    return gpu::adapter::list().await;
    #[cfg(not(feature = "gpu"))]
    return Vec::new();
}

/// The devices that all calls without options share, by the adapters' numbers.
#[cfg(feature = "gpu")]
#[derive(Default)]
pub(crate) struct SharedGpus(Mutex<BTreeMap<usize, Device>>);

#[cfg(feature = "gpu")]
impl SharedGpus {
    /// The device of an adapter, opened if it is not, or if it was lost.
    pub(crate) async fn get(&self, index: usize) -> Result<Device> {
        let well = |open: &BTreeMap<usize, Device>| open.get(&index).filter(|d| d.backend().lost().is_none()).cloned();
        if let Some(device) = well(&self.lock()) {
            return Ok(device);
        }
        let options = DeviceOptions::default();
        let fresh = Device::of_gpu(gpu::adapter::open(index, &options).await?, &options)?;
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
