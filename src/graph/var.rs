//! Variables: parameters with storage of their own, assigned in place.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use super::device::Device;
use super::node::{Node, Tensor};
use crate::backend::Buffer;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::shape::Shape;

/// A parameter: a value on a device that training changes.
///
/// [`value`](Var::value) gives the present value as a tensor from which gradients flow back;
/// [`assign`](Var::assign) sets a new one. Assignment is recorded like any operation and done in place at the next
/// flush, after everything recorded before it has read the old value.
///
/// ```
/// # use wgtensor::{Device, Tensor, Var};
/// # let device = Device::cpu();
/// let w = Var::new(&Tensor::new([2.0f32], &device)?);
/// let before = w.value().mul(10)?; // of the value at this point
/// w.assign(&Tensor::new([3.0f32], &device)?)?;
/// assert_eq!((before.item::<f32>()?, w.value().item::<f32>()?), (20.0, 3.0));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Var(Arc<Inner>);

struct Inner {
    shared: Arc<VarShared>,
    name: String,
    shape: Shape,
    dtype: DType,
    device: Device,
    trainable: AtomicBool,
    current: Mutex<Tensor>,
}

/// What the nodes of a variable share.
pub(crate) struct VarShared {
    pub(crate) id: u64,
    /// Id of the node that holds the newest value; only that one is written to the storage.
    pub(crate) latest: AtomicU64,
    storage: Mutex<VarStorage>,
    /// The variable itself, for those who come from a node.
    owner: OnceLock<Weak<Inner>>,
}

/// A variable's memory and the node whose value it holds now.
#[derive(Default)]
pub(crate) struct VarStorage {
    pub(crate) buffer: Option<Buffer>,
    pub(crate) node: Weak<Node>,
}

static NEXT_VAR: AtomicU64 = AtomicU64::new(1);

impl VarShared {
    /// Where the value lives.
    pub(crate) fn storage(&self) -> MutexGuard<'_, VarStorage> {
        self.storage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The variable, if somebody still holds it.
    pub(crate) fn owner(&self) -> Option<Var> {
        self.owner.get()?.upgrade().map(Var)
    }
}

thread_local! {
    /// The type that `f32` values of variables are read in.
    static AUTOCAST: Cell<Option<DType>> = const { Cell::new(None) };
}

/// Runs `f` with the `f32` values of variables read as `dtype` on this thread.
pub(crate) fn autocast<R>(dtype: DType, f: impl FnOnce() -> R) -> R {
    struct Reset(Option<DType>);
    impl Drop for Reset {
        fn drop(&mut self) {
            AUTOCAST.set(self.0);
        }
    }
    let _reset = Reset(AUTOCAST.replace(Some(dtype)));
    f()
}

impl Var {
    /// A variable with this first value (copied), on the value's device.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([1.0f32, 2.0], &device)?);
    /// assert_eq!(w.value().to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn new(value: &Tensor) -> Var {
        Self::named("variable", value)
    }

    /// A variable with a name for summaries and error messages.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::named("kernel", &Tensor::new([1.0f32], &device)?);
    /// assert_eq!(format!("{w:?}"), "Var(kernel f32 (1,))");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn named(name: impl Into<String>, value: &Tensor) -> Var {
        let id = NEXT_VAR.fetch_add(1, Relaxed);
        let shared =
            Arc::new(VarShared { id, latest: AtomicU64::new(0), storage: Mutex::default(), owner: OnceLock::new() });
        let current = Mutex::new(value.of_variable(shared.clone()));
        let trainable = AtomicBool::new(true);
        let (shape, dtype, device) = (*value.shape(), value.dtype(), value.device().clone());
        let var = Var(Arc::new(Inner { shared, name: name.into(), shape, dtype, device, trainable, current }));
        var.0.shared.latest.store(var.current().0.id, Relaxed);
        let _ = var.0.shared.owner.set(Arc::downgrade(&var.0));
        var
    }

    /// The present value. Gradients are collected for it. Within the layers of a model of mixed precision it comes in the
    /// type that the model computes in.
    pub fn value(&self) -> Tensor {
        let value = self.current().clone();
        match AUTOCAST.get() {
            // Every device has the narrow types.
            Some(dtype) if self.dtype() == DType::F32 => value.cast(dtype).unwrap_or(value),
            _ => value,
        }
    }

    /// Sets the value: same shape, type and device.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([1.0f32, 2.0], &device)?);
    /// let before = w.value();
    /// w.assign(&w.value().mul(10)?)?;
    /// assert_eq!(w.value().to_vec::<f32>()?, [10.0, 20.0]);
    /// assert!(w.assign(&Tensor::new([1.0f32], &device)?).unwrap_err().is_shape_mismatch());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A value of another shape, type or device.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) -> Result<()> {
        let mut current = self.current();
        if value.shape() != current.shape() || value.dtype() != current.dtype() {
            return Err(Error::parts(
                if value.shape() != current.shape() { Kind::Shape } else { Kind::DType },
                &format!("Variable `{}` was assigned a value that does not fit", self.0.name),
                &format!("{} {}", value.dtype(), value.shape()),
                &format!("{} {}", current.dtype(), current.shape()),
                "Reshape or cast the value first",
            ));
        }
        if value.device() != current.device() {
            let happened = format!("Variable `{}` was assigned a value from another device", self.0.name);
            return Err(current.device().differs(value.device(), &happened));
        }
        let node = value.of_variable(self.0.shared.clone());
        self.0.shared.latest.store(node.0.id, Relaxed);
        *current = node;
        Ok(())
    }

    /// The name given at creation.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A number unique to the variable.
    pub fn id(&self) -> u64 {
        self.0.shared.id
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether optimizers change it.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Relaxed)
    }

    /// Sets whether optimizers change it.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let (w, b) = (Var::new(&Tensor::new([1.0f32], &device)?), Var::new(&Tensor::new([1.0f32], &device)?));
    /// b.set_trainable(false);
    /// let grads = w.value().mul(b.value())?.sum(())?.backward()?;
    /// assert!(grads.get(&w).is_some() && grads.get(&b).is_none());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Relaxed);
    }

    fn current(&self) -> MutexGuard<'_, Tensor> {
        self.0.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for VarShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "variable {}", self.id)
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Var({} {} {})", self.0.name, self.dtype(), self.shape())
    }
}
