//! The device handle: an engine, what is pending on it, and its plans.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::cache::PlanCache;
use super::node::{Node, Tensor};
use crate::backend::profile::Span;
use crate::backend::{Backend, CounterSnapshot, DeviceInfo, DeviceKind, MemoryStats, PlanCheck};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::plan::Limits;

/// A place to compute: the native CPU engine or one GPU adapter. A cheap handle.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// let device = Device::cpu(); // or Device::best(), Device::gpu()?, Device::from_env()?
/// let x = Tensor::new([1.0f32, 2.0], &device)?;
/// assert_eq!((x.device(), device.is_gpu()), (&device, false));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) limits: Limits,
    /// Set if each new plan is to be checked for other devices.
    pub(crate) check: Option<Box<dyn PlanCheck>>,
    pub(crate) graph: Mutex<Graph>,
    /// Serialises flushes. Held while a plan is made and submitted, not while it runs on a GPU.
    pub(crate) flushing: Mutex<()>,
    pub(crate) epoch: AtomicU64,
}

/// What is pending on a device, and its plans.
pub(crate) struct Graph {
    pub(crate) pending: Vec<Weak<Node>>,
    /// How far the list has been looked through for nodes that are gone.
    hand: usize,
    /// Flush when this many nodes are pending.
    bound: usize,
    pub(crate) plans: PlanCache,
    /// An error of a flush that nobody could be told about.
    pub(crate) failed: Option<crate::Error>,
}

/// More nodes than this that are still needed are flushed without being asked.
const MAX_PENDING: usize = 8 * 1024;

impl Graph {
    /// Remembers a recorded node for the next full flush; whether there are too many. For each that is added two others
    /// are looked at and forgotten if they are gone: those that are gone stay fewer than the others, and their memory
    /// goes to new nodes while it is in the cache.
    pub(crate) fn note(&mut self, tensor: &Tensor) -> bool {
        for _ in 0..2 {
            match self.pending.get(self.hand).map(Weak::strong_count) {
                Some(0) => drop(self.pending.swap_remove(self.hand)),
                Some(_) => self.hand += 1,
                None => self.hand = 0,
            }
        }
        self.pending.push(Arc::downgrade(&tensor.0));
        self.pending.len() > self.bound
    }

    /// Forgets what is gone or computed; whether there are too many still.
    pub(crate) fn tidy(&mut self) -> bool {
        self.pending.retain(|n| n.strong_count() > 0);
        if self.pending.len() > MAX_PENDING {
            self.pending.retain(|n| n.upgrade().is_some_and(|n| !n.is_ready()));
        }
        self.bound = MAX_PENDING.max(2 * self.pending.len());
        self.pending.len() > MAX_PENDING
    }
}

impl Device {
    pub(crate) fn with_backend(backend: Box<dyn Backend>, limits: Limits, check: Option<Box<dyn PlanCheck>>) -> Device {
        let graph =
            Graph { pending: Vec::new(), hand: 0, bound: MAX_PENDING, plans: PlanCache::default(), failed: None };
        Device(Arc::new(Inner {
            backend,
            limits,
            check,
            graph: Mutex::new(graph),
            flushing: Mutex::new(()),
            epoch: AtomicU64::new(0),
        }))
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0.backend
    }

    /// Notes what the host does while it lives, if the device is profiled.
    pub(crate) fn span(&self, name: &'static str) -> Option<Span> {
        self.backend().spans().span(name)
    }

    /// Notes what the host does in `work`, if the device is profiled.
    pub(crate) fn spanned<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let _span = self.span(name);
        work()
    }

    /// A number that no other device has while this one is open.
    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn graph(&self) -> MutexGuard<'_, Graph> {
        self.0.graph.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether the engine has this element type.
    ///
    /// # Errors
    /// It has not; with the caller's line.
    #[track_caller]
    pub(crate) fn check_dtype(&self, dtype: DType) -> Result<()> {
        entry(|| self.backend().check_dtype(dtype))
    }

    /// The error for something on `other` that should be on this device.
    #[track_caller]
    pub(crate) fn differs(&self, other: &Device, happened: &str) -> Error {
        let (here, there) = (&self.info().id, &other.info().id);
        let (apart, fix) = match here == there {
            true => (
                ", opened apart",
                "Open it once and share it: `Device::cpu`, `gpu`, `best`, `open` and `from_env` give the same device at \
                 every call, `open_with` and `from_wgpu` a new one; or copy with `to_device`",
            ),
            false => ("", "Copy one of them with `to_device`"),
        };
        Error::parts(Kind::Device, happened, &format!("{here} and {there}{apart}"), "one device", fix)
    }

    /// What the device is.
    ///
    /// ```
    /// # use wgtensor::Device;
    /// # let device = Device::cpu();
    /// println!("{} on {}", device.info().name, device.info().api);
    /// assert_eq!(device.info().id, "cpu");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn info(&self) -> &DeviceInfo {
        self.backend().info()
    }

    /// Whether it is a GPU adapter (a software one included).
    pub fn is_gpu(&self) -> bool {
        self.info().kind != DeviceKind::Cpu
    }

    /// Memory in use, peak, and taken from the system.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let before = device.memory();
    /// let x = Tensor::zeros([1 << 20], DType::F32, &device)?;
    /// x.realize()?;
    /// assert!(before.in_use <= before.reserved && device.memory().peak >= 4 << 20);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn memory(&self) -> MemoryStats {
        self.backend().memory()
    }

    /// Gives unused pooled memory back to the system, and forgets plans.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// drop(Tensor::uniform([1 << 20], 0.0, 1.0, 1, &device)?.to_vec::<f32>()?);
    /// device.trim();
    /// assert!(device.memory().reserved >= device.memory().in_use);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn trim(&self) {
        let plans = std::mem::take(&mut self.graph().plans);
        drop(plans);
        self.backend().trim();
    }

    /// Running totals of submissions, transfers, allocations and more.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::open_with("cpu", &Default::default())?; // its own, on which no other example runs
    /// let x = Tensor::uniform([1000], 0.0, 1.0, 1, &device)?;
    /// let before = device.counters();
    /// x.exp()?.sum(())?.item::<f32>()?;
    /// let did = device.counters() - before;
    /// assert_eq!((did.readbacks, did.plan_misses), (1, 1));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn counters(&self) -> CounterSnapshot {
        self.backend().counters().snapshot()
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}: {})", self.info().id, self.info().name)
    }
}
