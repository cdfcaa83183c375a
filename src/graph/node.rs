//! Nodes and the handle to them.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use smallvec::SmallVec;

use super::device::Device;
use super::var::VarShared;
use crate::backend::Buffer;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::op::Op;
use crate::shape::Shape;

/// An n-dimensional array on a device: a cheap handle, cloned by reference count.
///
/// Operations record what to compute; the work happens when a value is read, at [`Device::sync`], at an optimizer's
/// step, or when very many operations are pending. Elements are row-major.
#[derive(Clone)]
pub struct Tensor(pub(crate) Arc<Node>);

/// The inputs of a node.
pub(crate) type Inputs = SmallVec<[Tensor; 2]>;

/// A gradient for each input; `None` where there is none.
pub(crate) type InputGrads = SmallVec<[Option<Tensor>; 2]>;

/// How a node passes a gradient on to its inputs.
#[derive(Clone, Copy)]
pub(crate) enum Vjp {
    /// Not differentiable.
    None,
    /// Of a pointwise function: input, output, gradient.
    Unary(fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>),
    /// Of a pointwise function: inputs, output, gradient.
    Binary(fn(&Tensor, &Tensor, &Tensor, &Tensor) -> Result<(Tensor, Tensor)>),
    /// Of anything: output, inputs, gradient.
    Node(fn(&Tensor, &[Tensor], &Tensor) -> Result<InputGrads>),
}

/// What a node knows of its value.
pub(crate) enum Storage {
    /// Not computed, or computed inside a kernel and not kept.
    Pending,
    /// Here.
    Ready(Buffer),
    /// It was a variable's value and the variable has been assigned to.
    Overwritten,
}

/// What changes about a node.
pub(crate) struct State {
    pub(crate) inputs: Inputs,
    pub(crate) storage: Storage,
}

/// A recorded operation.
pub(crate) struct Node {
    /// Grows with recording order: inputs have smaller ids than their users.
    pub(crate) id: u64,
    pub(crate) op: Op,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
    pub(crate) vjp: Vjp,
    /// A gradient may be asked for: the node keeps its inputs after it has been realised.
    pub(crate) tracked: bool,
    /// A backward pass went through it: its value need not be kept for another.
    pub(crate) spent: AtomicBool,
    /// How many live nodes have it as an input.
    pub(crate) uses: AtomicU32,
    /// Position in the flush under way, tagged with the flush's number.
    pub(crate) mark: AtomicU64,
    pub(crate) at: &'static Location<'static>,
    /// The variable whose value this is.
    pub(crate) var: Option<Arc<VarShared>>,
    /// Least and greatest element, of integers that came from the host or were gathered from such.
    pub(crate) bounds: OnceLock<(i64, i64)>,
    state: Mutex<State>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static TRACKING: Cell<bool> = const { Cell::new(true) };
    static ORIGIN: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// While nodes of a gradient are recorded: the line of the operation they are the gradient of.
pub(crate) fn set_origin(at: Option<&'static Location<'static>>) {
    ORIGIN.set(at);
}

/// Runs `f` with recording of gradients switched on or off on this thread.
pub(crate) fn with_tracking<R>(on: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRACKING.set(self.0);
        }
    }
    let _restore = Restore(TRACKING.replace(on));
    f()
}

impl Node {
    /// The mutable part. Held for moments only, never across a wait.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether its value is here.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state().storage, Storage::Ready(_))
    }

    /// Stores the value, and lets go of the inputs unless a gradient may be asked for.
    pub(crate) fn realise(&self, buffer: Buffer) {
        let inputs = {
            let mut state = self.state();
            state.storage = Storage::Ready(buffer);
            let tape = self.tracked && !matches!(self.vjp, Vjp::None);
            if tape { Inputs::new() } else { std::mem::take(&mut state.inputs) }
        };
        release(inputs);
    }
}

/// Drops references to inputs without recursing into long chains.
fn release(inputs: Inputs) {
    let mut stack = inputs;
    while let Some(tensor) = stack.pop() {
        tensor.0.uses.fetch_sub(1, SeqCst);
        if let Some(node) = Arc::into_inner(tensor.0) {
            stack.extend(std::mem::take(&mut node.state().inputs));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let inputs = std::mem::take(&mut self.state().inputs);
        if !inputs.is_empty() {
            release(inputs);
        }
    }
}

/// What a new node is made of besides its operation, shape and type.
pub(crate) struct Make<'a> {
    pub(crate) device: &'a Device,
    pub(crate) vjp: Vjp,
    pub(crate) at: &'static Location<'static>,
}

impl Tensor {
    /// Records a node. Inputs are on one device and of fitting shapes: the caller has checked.
    pub(crate) fn record(op: Op, shape: Shape, dtype: DType, inputs: Inputs, make: Make<'_>) -> Tensor {
        let tracked = !matches!(make.vjp, Vjp::None) && TRACKING.get() && inputs.iter().any(|t| t.0.tracked);
        Self::node(op, shape, dtype, inputs, Storage::Pending, tracked, None, make)
    }

    /// A node whose value exists.
    pub(crate) fn leaf(
        buffer: Buffer,
        shape: Shape,
        dtype: DType,
        bounds: Option<(i64, i64)>,
        make: Make<'_>,
    ) -> Tensor {
        Self::node(Op::Leaf, shape, dtype, Inputs::new(), Storage::Ready(buffer), false, None, make).bounded(bounds)
    }

    /// This tensor, its elements known to lie within these bounds.
    pub(crate) fn bounded(self, bounds: Option<(i64, i64)>) -> Tensor {
        if let Some(bounds) = bounds {
            let _ = self.0.bounds.set(bounds);
        }
        self
    }

    #[allow(clippy::too_many_arguments, reason = "the one constructor, all fields")]
    pub(crate) fn node(
        op: Op,
        shape: Shape,
        dtype: DType,
        inputs: Inputs,
        storage: Storage,
        tracked: bool,
        var: Option<Arc<VarShared>>,
        make: Make<'_>,
    ) -> Tensor {
        let pending = matches!(storage, Storage::Pending);
        // A flush sees a node together with its use of the inputs, or neither.
        let mut graph = pending.then(|| make.device.graph());
        for input in &inputs {
            input.0.uses.fetch_add(1, SeqCst);
        }
        let tensor = Tensor(Arc::new(Node {
            id: NEXT_ID.fetch_add(1, Relaxed),
            op,
            shape,
            dtype,
            device: make.device.clone(),
            vjp: make.vjp,
            tracked,
            spent: AtomicBool::new(false),
            uses: AtomicU32::new(0),
            mark: AtomicU64::new(0),
            at: ORIGIN.get().unwrap_or(make.at),
            var,
            bounds: OnceLock::new(),
            state: Mutex::new(State { inputs, storage }),
        }));
        let full = graph.as_mut().is_some_and(|graph| graph.note(&tensor));
        drop(graph);
        if full {
            make.device.relieve();
        }
        tensor
    }

    /// The inputs (none for what has been realised and is not tracked).
    pub(crate) fn inputs(&self) -> Inputs {
        self.0.state().inputs.clone()
    }

    /// Handles that are not inputs of other nodes, besides `own` ones. Never too few while the device's graph is locked:
    /// then users can go (they leave `uses` before they let go of the handle) and none can come.
    pub(crate) fn handles(&self, own: usize) -> usize {
        let count = Arc::strong_count(&self.0);
        fence(SeqCst);
        count.saturating_sub(self.0.uses.load(SeqCst) as usize + own)
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The extents as a slice.
    pub fn dims(&self) -> &[usize] {
        self.0.shape.dims()
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.0.shape.rank()
    }

    /// How many elements.
    pub fn numel(&self) -> usize {
        self.0.shape.numel()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// The same value as a constant: no gradient flows through it.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        if !self.0.tracked {
            return self.clone();
        }
        let make = Make { device: self.device(), vjp: Vjp::None, at: Location::caller() };
        let inputs = Inputs::from_slice_clone(std::slice::from_ref(self));
        Tensor::record(Op::Reshape, *self.shape(), self.dtype(), inputs, make)
    }

    /// The same value as the start of differentiation: [`Grads::wrt`](super::Grads::wrt) and [`grad`](super::grad())
    /// give the gradient with respect to the returned tensor.
    #[track_caller]
    pub fn requires_grad(&self) -> Tensor {
        let make = Make { device: self.device(), vjp: Vjp::None, at: Location::caller() };
        let inputs = Inputs::from_slice_clone(std::slice::from_ref(self));
        Self::node(Op::Reshape, *self.shape(), self.dtype(), inputs, Storage::Pending, true, None, make)
    }
}

/// `SmallVec::from_slice` for clonable handles.
pub(crate) trait FromSliceClone {
    fn from_slice_clone(tensors: &[Tensor]) -> Self;
}

impl FromSliceClone for Inputs {
    fn from_slice_clone(tensors: &[Tensor]) -> Self {
        tensors.iter().cloned().collect()
    }
}
