//! A step that is recorded once: its plan is run again with other inputs, numbers and seeds, and nothing is recorded.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use super::cache::Cached;
use super::capture::{self, Place, Recording, Source, Words};
use super::cone::{Cone, Entry};
use super::device::Device;
use super::flush::{begin, flush_pending, or_trim, realise, run};
use super::node::{Make, Node, Storage, Tensor};
use super::var::VarShared;
use crate::backend::{Buffer, count};
use crate::dtype::DType;
use crate::error::{Error, Result, entry};
use crate::ir::op::{Keep, Op, Runtime};
use crate::shape::Shape;

/// A function of tensors that is recorded when it is called, and from then on replayed: what `tf.function` is to
/// TensorFlow and `jit` to JAX. [`Device::capture`] makes one.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let mut step = device.capture(|[x, y]: [Tensor; 2]| Ok([x.mul(&y)?.sum(())?]));
/// let [sum] = step.call([&Tensor::new([1.0f32, 2.0], &device)?, &Tensor::new([3.0f32, 4.0], &device)?])?;
/// assert_eq!(sum.item::<f32>()?, 11.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Captured<F> {
    device: Device,
    f: F,
    recordings: Recordings,
}

impl Device {
    /// Makes a step of `f` that costs the host little: `f` is called to record what it does, its gradients and its updates
    /// of variables included, and later calls run the same plan with new inputs, without calling `f`.
    ///
    /// It is recorded again for inputs of other shapes or types, and as often as something new is made on the way, such as
    /// an optimizer's accumulators: usually at the first call and the second. What the host does in `f` happens while it
    /// records and never else, so that `f` should only compute. Of the host's numbers these are new at every call: scalars
    /// among the inputs ([`Tensor::full`] with shape `()`), rates and counts of the crate's optimizers, and seeds that come
    /// from [`CallCtx::seed`](crate::nn::layers::CallCtx::seed). All others are what they were, as in `tf.function`.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Adam;
    /// use wgtensor::{DType, Device, Tensor, Var};
    ///
    /// let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([0.0f32, 0.0], &device)?);
    /// let mut optimizer = Adam::new(0.1);
    /// let mut step = device.capture(|[x, y]| {
    ///     let loss = x.mul(w.value())?.sub(&y)?.square()?.mean(())?;
    ///     optimizer.apply(&loss.backward()?)?;
    ///     Ok([loss])
    /// });
    /// let (x, y) = (Tensor::new([1.0f32, 2.0], &device)?, Tensor::new([3.0f32, -4.0], &device)?);
    /// for _ in 0..200 {
    ///     let [loss] = step.call([&x, &y])?;
    /// }
    /// # drop(step);
    /// let w = w.value().to_vec::<f32>()?;
    /// assert!((w[0] - 3.0).abs() < 0.1 && (w[1] + 2.0).abs() < 0.1);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn capture<F, const INPUTS: usize, const OUTPUTS: usize>(&self, f: F) -> Captured<F>
    where
        F: FnMut([Tensor; INPUTS]) -> Result<[Tensor; OUTPUTS]>,
    {
        Captured { device: self.clone(), f, recordings: Recordings::default() }
    }
}

impl<F> Captured<F> {
    /// The function's results for these inputs. No gradient flows through them.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut step = device.capture(|[x, factor]| Ok([x.mul(&factor)?.sum(())?]));
    /// let x = Tensor::new([1.0f32, 2.0], &device)?;
    /// for factor in 0..5 {
    ///     let [sum] = step.call([&x, &Tensor::full((), f64::from(factor), DType::F32, &device)?])?;
    ///     assert_eq!(sum.item::<f32>()?, 3.0 * factor as f32);
    /// }
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the function; an input on another device; a function that reads a value back or waits for the device.
    #[track_caller]
    pub fn call<const INPUTS: usize, const OUTPUTS: usize>(
        &mut self,
        inputs: [&Tensor; INPUTS],
    ) -> Result<[Tensor; OUTPUTS]>
    where
        F: FnMut([Tensor; INPUTS]) -> Result<[Tensor; OUTPUTS]>,
    {
        let Captured { device, f, recordings } = self;
        let wrong = |_| Error::internal("a captured step of another number of inputs or results");
        let results = recordings.call(device, 0, &inputs, &mut |inputs| {
            let inputs = <[Tensor; INPUTS]>::try_from(inputs).map_err(wrong)?;
            Ok(Vec::from(f(inputs)?))
        })?;
        results.try_into().map_err(wrong)
    }

    /// How many recordings there are: one for each combination of shapes and types that it was called with.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut step = device.capture(|[x]: [Tensor; 1]| Ok([x.exp()?]));
    /// step.call([&Tensor::new([1.0f32], &device)?])?;
    /// step.call([&Tensor::new([1.0f32, 2.0], &device)?])?; // another shape
    /// assert_eq!(step.recordings(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn recordings(&self) -> usize {
        self.recordings.all.len()
    }
}

/// What records a step: tensors in, tensors out.
pub(crate) type Step<'a> = dyn FnMut(Vec<Tensor>) -> Result<Vec<Tensor>> + 'a;

/// How many recordings a step keeps.
const MAX_RECORDINGS: usize = 64;

/// The recordings of a step.
#[derive(Default)]
pub(crate) struct Recordings {
    all: Vec<Recorded>,
}

/// What a step is given at a call.
struct Given {
    spec: Spec,
    value: Value,
}

enum Value {
    Here(Buffer),
    /// A scalar that is no more than a parameter.
    Scalar(f64),
}

/// What recordings tell inputs apart by.
#[derive(Clone, Copy, PartialEq)]
struct Spec {
    shape: Shape,
    dtype: DType,
    scalar: bool,
    /// Least and greatest element, where they are known: what was recorded was checked for these.
    bounds: Option<(i64, i64)>,
}

/// A step that has been recorded.
struct Recorded {
    key: u64,
    inputs: Vec<Spec>,
    sources: Vec<(u64, Box<dyn Source>)>,
    plan: Weak<Cached>,
    leaves: Vec<Leaf>,
    /// The variables that the step writes, in place.
    written: Vec<Arc<VarShared>>,
    params: Vec<Param>,
    /// Bytes of each output of the plan.
    outputs: Vec<usize>,
    results: Vec<(Shape, DType, From)>,
}

/// Where a leaf of the plan is found at a replay.
enum Leaf {
    Input(usize),
    Variable(Arc<VarShared>),
    Constant(Buffer),
}

/// Where a run-time scalar of the plan is found at a replay.
enum Param {
    Fixed(f64),
    Input(usize),
    Number(Place),
    /// The lower half of a key, or the upper.
    Key(Place, u64, bool),
}

/// Where a result of the step is found.
enum From {
    Output(usize),
    Input(usize),
    Constant(Buffer),
}

impl Given {
    #[track_caller]
    fn of(tensor: &Tensor, device: &Device) -> Result<Given> {
        if tensor.device() != device {
            return Err(device.differs(tensor.device(), "A captured step was given a tensor of another device"));
        }
        let (shape, dtype, bounds) = (*tensor.shape(), tensor.dtype(), tensor.bounds());
        if let Op::Scalar(Runtime(value)) = tensor.0.op {
            return Ok(Given { spec: Spec { shape, dtype, scalar: true, bounds }, value: Value::Scalar(value) });
        }
        // A variable's memory changes: what is given is its value now.
        let value = if tensor.0.var.is_some() { tensor.detach() } else { tensor.clone() };
        let buffer = realise(&value, Buffer::clone)?;
        Ok(Given { spec: Spec { shape, dtype, scalar: false, bounds }, value: Value::Here(buffer) })
    }

    /// The input as the recording sees it.
    #[track_caller]
    fn placeholder(&self, device: &Device, bounds: Option<(i64, i64)>) -> Tensor {
        let Spec { shape, dtype, .. } = self.spec;
        let make = Make::constant(device);
        match &self.value {
            Value::Here(buffer) => Tensor::leaf(buffer.clone(), shape, dtype, bounds, make),
            Value::Scalar(value) => {
                Tensor::record(Op::Scalar(Runtime(*value)), shape, dtype, &[], make).bounded(bounds)
            }
        }
    }
}

impl Spec {
    /// Whether what was recorded for these inputs is right for `other`, as far as bounds go.
    fn covers(&self, other: &Spec) -> bool {
        match (self.bounds, other.bounds) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(all), Some(some)) => all.0 <= some.0 && some.1 <= all.1,
        }
    }

    /// The bounds of both.
    fn joined(&self, other: Option<&Spec>) -> Option<(i64, i64)> {
        let Some(other) = other else { return self.bounds };
        let (a, b) = (self.bounds?, other.bounds?);
        Some((a.0.min(b.0), a.1.max(b.1)))
    }
}

impl Recordings {
    /// What `f` makes of the inputs; `key` is what it depends on besides them.
    #[track_caller]
    pub(crate) fn call(
        &mut self,
        device: &Device,
        key: u64,
        inputs: &[&Tensor],
        f: &mut Step<'_>,
    ) -> Result<Vec<Tensor>> {
        if capture::is_recording() {
            return f(inputs.iter().map(|&t| t.clone()).collect());
        }
        let given = inputs.iter().map(|t| Given::of(t, device)).collect::<Result<Vec<_>>>()?;
        let known = self.all.iter().position(|r| r.suits(key, &given));
        if let Some(known) = known.map(|i| &mut self.all[i]).filter(|known| known.covers(&given))
            && let Some(results) = entry(|| known.replay(device, &given))?
        {
            return Ok(results);
        }
        let before = known.map(|i| &self.all[i]);
        let bounds = |i: usize| given[i].spec.joined(before.map(|known| &known.inputs[i]));
        let placeholders: Vec<Tensor> = given.iter().zip(0..).map(|(g, i)| g.placeholder(device, bounds(i))).collect();
        let (results, recorded) = Recorded::record(device, key, &placeholders, f)?;
        if let Some(recorded) = recorded {
            match known {
                Some(known) => self.all[known] = recorded,
                None => {
                    if self.all.len() >= MAX_RECORDINGS {
                        self.all.remove(0);
                    }
                    self.all.push(recorded);
                }
            }
        }
        Ok(results)
    }
}

impl Recorded {
    /// Whether it is the recording for such inputs.
    fn suits(&self, key: u64, given: &[Given]) -> bool {
        let same = |(spec, given): (&Spec, &Given)| Spec { bounds: spec.bounds, ..given.spec } == *spec;
        self.key == key
            && self.inputs.len() == given.len()
            && self.inputs.iter().zip(given).all(same)
            && self.sources.iter().all(|(phase, source)| *phase == source.phase())
    }

    fn covers(&self, given: &[Given]) -> bool {
        self.inputs.iter().zip(given).all(|(spec, given)| spec.covers(&given.spec))
    }

    /// Runs the plan again; `None` where it must be recorded anew.
    fn replay(&mut self, device: &Device, given: &[Given]) -> Result<Option<Vec<Tensor>>> {
        let Some(cached) = self.plan.upgrade() else { return Ok(None) };
        let _flushing = begin(device)?;
        let _span = device.span("replay");
        // What was recorded since then may read what is overwritten now.
        if !device.graph().pending.is_empty() {
            flush_pending(device)?;
        }
        if self.written.iter().any(|var| !var.is_free()) {
            return Ok(None);
        }
        let leaf = |leaf: &Leaf| match leaf {
            Leaf::Input(i) => given[*i].value.buffer(),
            Leaf::Variable(var) => var.settled(),
            Leaf::Constant(buffer) => Some(buffer.clone()),
        };
        let Some(leaves) = self.leaves.iter().map(leaf).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let backend = device.backend();
        let alloc = || self.outputs.iter().map(|&bytes| backend.alloc(bytes)).collect::<Result<Vec<_>>>();
        let outputs = or_trim(device, alloc)?;
        // From here on the step happens: optimizers count it.
        let words: Vec<Words> = self.sources.iter_mut().map(|(_, source)| source.draw()).collect();
        let word = |place: &Place| words[place.source][place.word];
        let param = |param: &Param| match param {
            Param::Fixed(value) => *value,
            Param::Input(i) => given[*i].value.scalar(),
            Param::Number(place) => f64::from_bits(word(place)),
            Param::Key(place, mask, upper) => f64::from(((word(place) ^ mask) >> (32 * u32::from(*upper))) as u32),
        };
        let params: Vec<f64> = self.params.iter().map(param).collect();
        device.spanned("run", || cached.often(backend).run(&leaves, &outputs, &params))?;
        device.graph().plans.use_again(&cached);
        count(&backend.counters().plan_hits, 1);
        count(&backend.counters().replays, 1);
        let result = |(shape, dtype, from): &(Shape, DType, From)| {
            let buffer = match from {
                From::Output(i) => outputs[*i].clone(),
                From::Input(i) => given[*i].value.buffer()?,
                From::Constant(buffer) => buffer.clone(),
            };
            Some(Tensor::leaf(buffer, *shape, *dtype, None, Make::constant(device)))
        };
        Ok(self.results.iter().map(result).collect())
    }

    /// Records the step and runs it; with its recording if it can be replayed.
    #[track_caller]
    fn record(
        device: &Device,
        key: u64,
        inputs: &[Tensor],
        f: &mut Step<'_>,
    ) -> Result<(Vec<Tensor>, Option<Recorded>)> {
        device.flush()?;
        let step = || -> Result<Vec<Tensor>> { Ok(f(inputs.to_vec())?.iter().map(Tensor::detach).collect()) };
        let Some((results, recording)) = device.spanned("record", || capture::record(device.id(), step)) else {
            return Err(Error::internal("a recording within a recording"));
        };
        let results = results?;
        entry(|| {
            let _flushing = begin(device)?;
            let mut cone = Cone::new(device);
            for result in results.iter().filter(|t| !t.0.is_ready()) {
                cone.visit(&result.0, true)?;
            }
            cone.visit_pending()?;
            // No gradient flows through a step: nothing is kept for one.
            let own = |e: &&Entry| e.leaf.is_none() && recording.nodes.contains(&e.node.id);
            cone.order.iter().filter(own).for_each(|e| e.node.spent.store(true, Relaxed));
            let bases: Vec<Arc<Node>> = results.iter().map(|t| base(&t.0)).collect();
            let cached = device.spanned("flush", || run(&mut cone))?;
            let results_of = results.iter().zip(bases);
            let recorded = cached.and_then(|cached| describe(&cone, &cached, key, inputs, recording, results_of));
            let result = |t: &Tensor| match &t.0.state().storage {
                Storage::Ready(buffer) => {
                    Ok(Tensor::leaf(buffer.clone(), *t.shape(), t.dtype(), None, Make::constant(device)))
                }
                _ => Err(Error::internal("a flush did not realise what it was asked for")),
            };
            Ok((results.iter().map(result).collect::<Result<_>>()?, recorded))
        })
    }
}

/// What a replay needs to know of a step that has just run; `None` if another run would differ from this one.
fn describe<'a>(
    cone: &Cone<'_>,
    cached: &Arc<Cached>,
    key: u64,
    inputs: &[Tensor],
    recording: Recording,
    results: impl Iterator<Item = (&'a Tensor, Arc<Node>)>,
) -> Option<Recorded> {
    let input = |id: u64| inputs.iter().position(|t| t.0.id == id);
    let mut leaves: Vec<Option<Leaf>> = cone.leaves.iter().map(|_| None).collect();
    let (mut written, mut params, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for Entry { node, leaf, keep, .. } in &cone.order {
        let own = recording.nodes.contains(&node.id);
        if let Some(leaf) = leaf {
            let buffer = &cone.leaves[*leaf as usize];
            let holds = |var: &&Arc<VarShared>| var.storage().buffer.as_ref().is_some_and(|b| b.same(buffer));
            leaves[*leaf as usize] = Some(match (input(node.id), node.var.as_ref().filter(holds)) {
                (Some(i), _) => Leaf::Input(i),
                (_, Some(var)) => Leaf::Variable(var.clone()),
                // Another thread has computed a part of the step meanwhile.
                (None, None) if own && !matches!(node.op, Op::Leaf) => return None,
                (None, None) => Leaf::Constant(buffer.clone()),
            });
            continue;
        }
        match (keep, &node.var) {
            (Keep::No, _) => {}
            (Keep::Output, None) => outputs.push(node.dtype.bytes(node.shape.numel())),
            (Keep::InPlace(leaf), Some(var)) if own => {
                leaves[*leaf as usize] = Some(Leaf::Variable(var.clone()));
                written.push(var.clone());
            }
            // The first value of a variable, one that does not replace the one before, or another thread's.
            _ => return None,
        }
        let live = recording.live.get(&node.id);
        match (&node.op, live, input(node.id)) {
            (Op::Scalar(_), _, Some(i)) => params.push(Param::Input(i)),
            (Op::Scalar(_), Some((place, _)), _) => params.push(Param::Number(*place)),
            (Op::Random { .. }, Some((place, mask)), _) => {
                params.extend([false, true].map(|upper| Param::Key(*place, *mask, upper)));
            }
            (op, ..) => {
                let mut fixed = Vec::new();
                op.push_params(&mut fixed);
                params.extend(fixed.into_iter().map(Param::Fixed));
            }
        }
    }
    // Each output is a result, or somebody else keeps it.
    let kept = cone.order.iter().filter(|e| e.leaf.is_none() && e.keep == Keep::Output);
    let buffer = |node: &Node| match &node.state().storage {
        Storage::Ready(buffer) => Some(buffer.clone()),
        _ => None,
    };
    let kept = kept.map(|e| buffer(&e.node)).collect::<Option<Vec<_>>>()?;
    let found = results.map(|(t, base)| {
        let buffer = buffer(&t.0)?;
        let output = kept.iter().position(|k| k.same(&buffer)).map(From::Output);
        let from = match output.or_else(|| input(base.id).map(From::Input)) {
            Some(from) => from,
            // Another thread has computed it meanwhile.
            None if recording.nodes.contains(&base.id) && !matches!(base.op, Op::Leaf) => return None,
            None => From::Constant(buffer),
        };
        Some((*t.shape(), t.dtype(), from))
    });
    let found = found.collect::<Option<Vec<_>>>()?;
    let is_result = |i: usize| found.iter().any(|(.., from)| matches!(from, From::Output(k) if k == &i));
    if !(0..kept.len()).all(is_result) {
        return None;
    }
    let spec = |t: &Tensor| {
        let scalar = matches!(t.0.op, Op::Scalar(_));
        Spec { shape: *t.shape(), dtype: t.dtype(), scalar, bounds: t.bounds() }
    };
    Some(Recorded {
        key,
        inputs: inputs.iter().map(spec).collect(),
        sources: recording.sources,
        plan: Arc::downgrade(cached),
        leaves: leaves.into_iter().collect::<Option<_>>()?,
        written,
        params,
        outputs,
        results: found,
    })
}

/// What a chain of reshapes looks at.
fn base(node: &Arc<Node>) -> Arc<Node> {
    let mut node = node.clone();
    while matches!(node.op, Op::Reshape) && !node.is_ready() {
        let below = node.state().inputs.first().cloned();
        match below {
            Some(below) => node = below,
            None => break,
        }
    }
    node
}

impl Value {
    fn buffer(&self) -> Option<Buffer> {
        match self {
            Value::Here(buffer) => Some(buffer.clone()),
            Value::Scalar(_) => None,
        }
    }

    fn scalar(&self) -> f64 {
        match self {
            Value::Here(_) => f64::NAN,
            Value::Scalar(value) => *value,
        }
    }
}

impl VarShared {
    /// The memory of the value, if that is here and no other is to come.
    fn settled(&self) -> Option<Buffer> {
        let storage = self.storage();
        let node = storage.node.upgrade()?;
        if self.latest.load(Relaxed) == node.id { storage.buffer.clone() } else { None }
    }

    /// Whether nobody but the variable itself has its value, so that it can be written over unnoticed.
    fn is_free(&self) -> bool {
        // One reference is the variable's, one is this function's.
        self.storage().node.upgrade().is_some_and(|node| Arc::strong_count(&node) == 2)
    }
}
