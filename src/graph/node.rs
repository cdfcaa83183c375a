//! Nodes and the handle to them.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use smallvec::SmallVec;

use super::capture;
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
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device)?;
/// let y = x.matmul(&x)?.add(1.0)?.relu()?; // recorded
/// assert_eq!(y.to_vec::<f32>()?, [8.0, 11.0, 16.0, 23.0]); // computed, in one kernel
/// # Ok::<(), wgtensor::Error>(())
/// ```
//
// A handle counts itself at its node; an edge of the graph is the node alone. So whether anybody can still ask for a
// value is a number.
pub struct Tensor(pub(crate) Arc<Node>);

impl AsRef<Tensor> for Tensor {
    fn as_ref(&self) -> &Tensor {
        self
    }
}

impl Tensor {
    /// A handle to a node.
    pub(crate) fn of(node: &Arc<Node>) -> Tensor {
        node.handles.fetch_add(1, Relaxed);
        Tensor(node.clone())
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Tensor::of(&self.0)
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.0.handles.fetch_sub(1, Relaxed);
    }
}

/// What a node reads, and after that what only its gradient does.
pub(crate) type Edges = SmallVec<[Arc<Node>; 2]>;

/// Handles to a node's edges.
pub(crate) type Inputs = SmallVec<[Tensor; 2]>;

/// A gradient for each input; `None` where there is none.
pub(crate) type InputGrads = SmallVec<[Option<Tensor>; 2]>;

/// The gradients for the inputs, of the output, the inputs (then what was saved) and the gradient for the output.
pub(crate) type NodeVjp = fn(&Tensor, &[Tensor], &Tensor) -> Result<InputGrads>;

/// What the gradient of a node with several results is given.
pub(crate) struct Results<'a> {
    pub(crate) outputs: &'a [Tensor],
    /// What it reads, then what was saved for the gradient.
    pub(crate) inputs: &'a [Tensor],
    /// `None` for results that the loss does not depend on.
    pub(crate) grads: &'a [Option<Tensor>],
}

/// How a node passes a gradient on to its inputs.
#[derive(Clone)]
pub(crate) enum Vjp {
    /// Not differentiable.
    None,
    /// Of one result.
    Node(NodeVjp),
    /// Any function, of one result or several.
    Function(Arc<dyn Fn(&Results<'_>) -> Result<InputGrads> + Send + Sync>),
    /// One of several results: the gradient waits at the node until those of the others are known.
    Part,
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
    pub(crate) inputs: Edges,
    pub(crate) storage: Storage,
    /// Of a node with several results: those that its gradient will need, once they are here. (The node itself has no
    /// storage: its parts have.)
    pub(crate) kept: Vec<Option<Buffer>>,
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
    /// How many of the inputs the operation reads; the others were saved for its gradient.
    pub(crate) reads: u32,
    /// A backward pass went through it: its value need not be kept for another.
    pub(crate) spent: AtomicBool,
    /// How many [`Tensor`]s there are to it.
    handles: AtomicU32,
    /// Position in the flush under way, tagged with the flush's number.
    pub(crate) mark: AtomicU64,
    pub(crate) at: &'static Location<'static>,
    /// The variable whose value this is.
    pub(crate) var: Option<Arc<VarShared>>,
    /// Of a node with several results: their shapes and types.
    results: Option<Box<[(Shape, DType)]>>,
    /// Least and greatest element, of integers that came from the host or were gathered from such.
    pub(crate) bounds: OnceLock<(i64, i64)>,
    state: Mutex<State>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static TRACKING: Cell<bool> = const { Cell::new(true) };
    static ORIGIN: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// While nodes of a gradient are recorded: the line of the operation they are the gradient of. Gives what was set before.
pub(crate) fn set_origin(at: Option<&'static Location<'static>>) -> Option<&'static Location<'static>> {
    ORIGIN.replace(at)
}

/// Runs `f`, whose nodes are all recorded at this line: the operation is made of them. Those of a gradient stay where its
/// operation is, and those of a part where the whole is.
pub(crate) fn recorded_at<R>(at: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<&'static Location<'static>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ORIGIN.set(self.0);
        }
    }
    let restore = Restore(ORIGIN.get());
    ORIGIN.set(restore.0.or(Some(at)));
    f()
}

/// An id that all nodes recorded from now on have reached.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.load(Relaxed)
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

    /// Whether somebody outside of the graph can ask for its value. It may come to be so again only through the gradient
    /// of something that is held.
    pub(crate) fn is_held(&self) -> bool {
        self.handles.load(Relaxed) > 0
    }

    /// Whether it is the start of differentiation, or nothing passes through it.
    pub(crate) fn is_source(&self) -> bool {
        matches!(self.vjp, Vjp::None)
    }

    /// Whether a backward pass is to come that reads its value.
    pub(crate) fn is_on_tape(&self) -> bool {
        self.tracked && !self.spent.load(Relaxed)
    }

    /// Of a node with several results: how many.
    pub(crate) fn results(&self) -> usize {
        self.results.as_ref().map_or(1, |all| all.len())
    }

    /// Stores the value, and lets go of the inputs unless a gradient may be asked for.
    pub(crate) fn realise(&self, buffer: Buffer) {
        let inputs = {
            let mut state = self.state();
            state.storage = Storage::Ready(buffer);
            let tape = self.tracked && !self.is_source();
            if tape { Edges::new() } else { std::mem::take(&mut state.inputs) }
        };
        release(inputs);
    }

    /// Of a node with several results: result `i`, if it was kept for the gradient.
    pub(crate) fn kept(&self, i: usize) -> Option<Buffer> {
        self.state().kept.get(i).cloned().flatten()
    }

    /// Of a node with several results: keeps result `i` for the gradient.
    pub(crate) fn keep(&self, i: usize, buffer: Buffer) {
        let mut state = self.state();
        state.kept.resize(self.results(), None);
        state.kept[i] = Some(buffer);
    }
}

/// Drops edges without recursing into long chains.
fn release(inputs: Edges) {
    let mut stack = inputs;
    while let Some(node) = stack.pop() {
        if let Some(node) = Arc::into_inner(node) {
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

/// What a new node is made of besides its operation, shape, type and inputs.
pub(crate) struct Make<'a> {
    device: &'a Device,
    vjp: Vjp,
    /// What the gradient needs besides the inputs.
    saved: &'a [&'a Tensor],
    at: &'static Location<'static>,
}

impl<'a> Make<'a> {
    /// On this device, with this gradient, at the caller's line.
    #[track_caller]
    pub(crate) fn new(device: &'a Device, vjp: Vjp) -> Self {
        Make { device, vjp, saved: &[], at: Location::caller() }
    }

    /// With more for the gradient than the inputs: handles to these follow them.
    pub(crate) fn saving(self, saved: &'a [&'a Tensor]) -> Self {
        Make { saved, ..self }
    }

    /// A constant's, or that of something not differentiable.
    #[track_caller]
    pub(crate) fn constant(device: &'a Device) -> Self {
        Make::new(device, Vjp::None)
    }
}

/// What a node is that is more than an operation on its inputs.
#[derive(Default)]
struct Extra {
    /// Its value, if it is here.
    value: Option<Buffer>,
    tracked: bool,
    var: Option<Arc<VarShared>>,
    results: Option<Box<[(Shape, DType)]>>,
    /// No flush will be asked for it.
    unlisted: bool,
}

impl Tensor {
    /// Records a node. Inputs are on one device and of fitting shapes: the caller has checked.
    pub(crate) fn record(op: Op, shape: Shape, dtype: DType, inputs: &[&Tensor], make: Make<'_>) -> Tensor {
        let tracked = is_tracked(inputs, &make);
        Self::node(op, shape, dtype, inputs, make, Extra { tracked, ..Extra::default() })
    }

    /// Records a node with several results, of these shapes and types, and gives a handle to each.
    pub(crate) fn record_results(
        op: Op,
        results: &[(Shape, DType)],
        inputs: &[&Tensor],
        make: Make<'_>,
    ) -> SmallVec<[Tensor; 2]> {
        let tracked = is_tracked(inputs, &make);
        let (shape, dtype) = results[0];
        let extra = Extra { tracked, results: Some(results.into()), ..Extra::default() };
        let node = Self::node(op, shape, dtype, inputs, make, extra);
        (0..results.len()).map(|i| node.part(i)).collect()
    }

    /// Result `i` of a node with several.
    pub(crate) fn part(&self, i: usize) -> Tensor {
        self.make_part(i, true)
    }

    /// The same for a flush under way, which no other flush need think of.
    pub(crate) fn unlisted_part(&self, i: usize) -> Arc<Node> {
        self.make_part(i, false).0.clone()
    }

    fn make_part(&self, i: usize, listed: bool) -> Tensor {
        let node = &*self.0;
        let (shape, dtype) = node.results.as_ref().map_or((node.shape, node.dtype), |all| all[i]);
        let tracked = node.tracked && dtype.is_float();
        let vjp = if tracked { Vjp::Part } else { Vjp::None };
        let make = Make { device: &node.device, vjp, saved: &[], at: node.at };
        let extra = Extra { value: node.kept(i), tracked, unlisted: !listed, ..Extra::default() };
        Self::node(Op::Part(i as u8), shape, dtype, &[self], make, extra)
    }

    /// The same operation on other inputs: those that it reads, then those that were saved for its gradient.
    pub(crate) fn again(&self, inputs: &[Tensor]) -> Tensor {
        let node = &*self.0;
        if let (Op::Part(i), Some(whole)) = (&node.op, inputs.first()) {
            return whole.part(usize::from(*i));
        }
        let inputs: SmallVec<[&Tensor; 4]> = inputs.iter().collect();
        let (read, saved) = inputs.split_at(inputs.len().min(node.reads as usize));
        let make = Make { device: &node.device, vjp: node.vjp.clone(), saved, at: node.at };
        // (What starts a differentiation is one by itself.)
        let tracked = is_tracked(read, &make) || node.tracked && node.is_source();
        let extra = Extra { tracked, results: node.results.clone(), ..Extra::default() };
        let copy = Self::node(node.op.clone(), node.shape, node.dtype, read, make, extra);
        capture::noted_again(node.id, copy.0.id);
        node.bounds.get().map(|bounds| copy.0.bounds.set(*bounds));
        copy
    }

    /// A node whose value exists.
    pub(crate) fn leaf(
        buffer: Buffer,
        shape: Shape,
        dtype: DType,
        bounds: Option<(i64, i64)>,
        make: Make<'_>,
    ) -> Tensor {
        let extra = Extra { value: Some(buffer), ..Extra::default() };
        Self::node(Op::Leaf, shape, dtype, &[], make, extra).bounded(bounds)
    }

    /// The value of a variable once this one has been written to it. A gradient stops there.
    #[track_caller]
    pub(crate) fn of_variable(&self, var: Arc<VarShared>) -> Tensor {
        let extra = Extra { tracked: true, var: Some(var), ..Extra::default() };
        Self::node(Op::Var, *self.shape(), self.dtype(), &[self], Make::constant(self.device()), extra)
    }

    /// This tensor, its elements known to lie within these bounds.
    pub(crate) fn bounded(self, bounds: Option<(i64, i64)>) -> Tensor {
        if let Some(bounds) = bounds {
            let _ = self.0.bounds.set(bounds);
        }
        self
    }

    fn node(op: Op, shape: Shape, dtype: DType, inputs: &[&Tensor], make: Make<'_>, extra: Extra) -> Tensor {
        let Extra { value, tracked, var, results, unlisted } = extra;
        let saved = if tracked { make.saved } else { &[] };
        // (A number reads nothing that could be overwritten, and costs next to nothing once it is asked for.)
        let pending = value.is_none() && !unlisted && !matches!(op, Op::Scalar(_));
        let mut edges = Edges::new();
        inputs.iter().chain(saved).for_each(|t| edges.push(t.0.clone()));
        let state = State { inputs: edges, storage: value.map_or(Storage::Pending, Storage::Ready), kept: Vec::new() };
        let tensor = Tensor(Arc::new(Node {
            id: NEXT_ID.fetch_add(1, Relaxed),
            op,
            shape,
            dtype,
            device: make.device.clone(),
            vjp: make.vjp,
            tracked,
            reads: inputs.len() as u32,
            spent: AtomicBool::new(false),
            handles: AtomicU32::new(1),
            mark: AtomicU64::new(0),
            at: ORIGIN.get().unwrap_or(make.at),
            var,
            results,
            bounds: OnceLock::new(),
            state: Mutex::new(state),
        }));
        // The caller still has a handle to each input: a flush that does not see this node keeps them.
        if pending && make.device.graph().note(&tensor) {
            make.device.relieve();
        }
        capture::noted(tensor.0.id);
        tensor
    }

    /// Handles to the inputs and to what was saved (none for what has been realised and is not tracked).
    pub(crate) fn inputs(&self) -> Inputs {
        self.0.state().inputs.iter().map(Tensor::of).collect()
    }

    /// Least and greatest element, where they are known without reading: of integers from the host.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        let mut base = self.0.clone();
        while base.bounds.get().is_none() && matches!(base.op, Op::Reshape | Op::Expand | Op::Permute(_)) {
            let below = base.state().inputs.first().cloned();
            base = below?;
        }
        base.bounds.get().copied()
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

    /// The same value as a constant: no gradient flows through it. What is carried from one step of a loop to the next
    /// (a total of losses, a state) wants this: otherwise each step's value holds on to all steps before it.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([3.0f32], &device)?.requires_grad();
    /// let y = x.detach().mul(&x)?.sum(())?; // the first factor is a constant
    /// assert_eq!(y.backward()?.wrt(&x).unwrap().to_vec::<f32>()?, [3.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        if !self.0.tracked {
            return self.clone();
        }
        Tensor::record(Op::Reshape, *self.shape(), self.dtype(), &[self], Make::constant(self.device()))
    }

    /// The same value as the start of differentiation: [`Grads::wrt`](crate::Grads::wrt) and [`grad`](crate::grad())
    /// give the gradient with respect to the returned tensor.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([3.0f32], &device)?.requires_grad();
    /// assert_eq!(x.square()?.sum(())?.backward()?.wrt(&x).unwrap().to_vec::<f32>()?, [6.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn requires_grad(&self) -> Tensor {
        let extra = Extra { tracked: true, ..Extra::default() };
        Self::node(Op::Reshape, *self.shape(), self.dtype(), &[self], Make::constant(self.device()), extra)
    }
}

/// Whether a gradient may be asked for.
fn is_tracked(inputs: &[&Tensor], make: &Make<'_>) -> bool {
    !matches!(make.vjp, Vjp::None) && TRACKING.get() && inputs.iter().any(|t| t.0.tracked)
}
