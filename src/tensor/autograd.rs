//! Reverse-mode differentiation over the recorded nodes. Gradients are recorded like any operation.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::{FxHashMap, FxHashSet};

use super::arrived::{Arrived, Assembled};
use crate::error::{Error, Kind, Result};
use crate::graph::node::{InputGrads, Results, Vjp, set_origin, with_tracking};
use crate::graph::var::VarShared;
use crate::graph::{Tensor, Var};
use crate::ir::op::Op;

/// The gradients of one backward pass, by variable and by tracked tensor.
///
/// ```
/// # use wgtensor::{Device, Tensor, Var};
/// # let device = Device::cpu();
/// let (w, b) = (Var::named("w", &Tensor::new([2.0f32], &device)?), Var::named("b", &Tensor::new([0.5f32], &device)?));
/// let grads = w.value().mul(3.0)?.add(b.value())?.sum(())?.backward()?;
/// for (var, grad) in grads.iter() {
///     println!("{}: {grad}", var.name());
/// }
/// assert_eq!(grads.get(&w).unwrap().item::<f32>()?, 3.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Grads {
    vars: FxHashMap<u64, Tensor>,
    /// The variables in the order the pass met them.
    met: Vec<Arc<VarShared>>,
    nodes: FxHashMap<u64, Tensor>,
}

impl Grads {
    /// The gradient for a variable; `None` where the loss does not depend on it, or it is not trainable.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([1.0f32, 2.0], &device)?);
    /// let grads = w.value().square()?.sum(())?.backward()?;
    /// assert_eq!(grads.get(&w).unwrap().to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn get(&self, var: &Var) -> Option<&Tensor> {
        self.vars.get(&var.id())
    }

    /// The trainable variables that the loss depends on, in the order of their creation, with their gradients.
    pub fn iter(&self) -> impl Iterator<Item = (Var, &Tensor)> {
        let mut vars: Vec<Var> = self.met.iter().filter_map(|shared| shared.owner()).collect();
        vars.sort_unstable_by_key(Var::id);
        vars.dedup_by_key(|var| var.id());
        vars.into_iter().filter_map(|var| self.vars.get(&var.id()).map(|grad| (var, grad)))
    }

    /// The gradient for the node of this id, where the pass stopped at it.
    pub(super) fn at(&self, id: u64) -> Option<&Tensor> {
        self.nodes.get(&id)
    }

    /// The gradient for a tensor made by [`Tensor::requires_grad`]. For tensors between it and the loss use [`grad`].
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1.0f32, 2.0], &device)?.requires_grad();
    /// let grads = x.square()?.sum(())?.backward()?;
    /// assert_eq!(grads.wrt(&x).unwrap().to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn wrt(&self, tensor: &Tensor) -> Option<&Tensor> {
        match &tensor.0.var {
            Some(var) => self.vars.get(&var.id),
            None => self.nodes.get(&tensor.0.id),
        }
    }
}

/// Runs `f` without recording gradients on this thread: results are constants.
///
/// ```
/// # use wgtensor::{Device, Tensor, Var, no_grad};
/// # let device = Device::cpu();
/// let w = Var::new(&Tensor::new([1.0f32, 2.0], &device)?);
/// let norm = no_grad(|| w.value().square()?.sum(()))?;
/// assert!(norm.backward().unwrap_err().is_invalid_state());
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_tracking(false, f)
}

/// The gradients of a scalar with respect to tensors, themselves differentiable. Where the scalar does not depend on
/// a tensor its gradient is zero.
///
/// ```
/// # use wgtensor::{Device, Tensor, grad};
/// # let device = Device::cpu();
/// let x = Tensor::new([2.0f32], &device)?.requires_grad();
/// let slope = grad(&x.pow(3)?.sum(())?, [&x])?.remove(0);
/// assert_eq!(slope.to_vec::<f32>()?, [12.0]);
/// assert_eq!(grad(&slope.sum(())?, [&x])?[0].to_vec::<f32>()?, [12.0]); // of the gradient
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// `loss` is not a scalar or depends on nothing tracked; an input is a constant.
#[track_caller]
pub fn grad(loss: &Tensor, inputs: impl IntoIterator<Item: AsRef<Tensor>>) -> Result<Vec<Tensor>> {
    with_respect_to(inputs, loss, one(loss)?)
}

/// The product of a vector and a Jacobian: the gradients of `(output * vector).sum()` with respect to tensors, themselves
/// differentiable, without that product being computed. `vector` has the shape and dtype of `output`: it is the gradient of
/// something for `output`, and what is returned is the gradient of the same for the inputs. Where `output` does not depend
/// on a tensor its gradient is zero.
///
/// Known as `vjp` in JAX, and in TensorFlow as `tape.gradient` with `output_gradients`.
///
/// ```
/// # use wgtensor::{Device, Tensor, vjp};
/// # let device = Device::cpu();
/// let x = Tensor::new([2.0f32, 3.0], &device)?.requires_grad();
/// let of_square = Tensor::new([1.0f32, -10.0], &device)?;
/// assert_eq!(vjp(&x.square()?, &of_square, [&x])?[0].to_vec::<f32>()?, [4.0, -60.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// `output` depends on nothing tracked; `vector` has another shape, dtype or device; an input is a constant.
#[track_caller]
pub fn vjp(output: &Tensor, vector: &Tensor, inputs: impl IntoIterator<Item: AsRef<Tensor>>) -> Result<Vec<Tensor>> {
    with_respect_to(inputs, output, given(output, vector)?)
}

#[track_caller]
fn with_respect_to(
    inputs: impl IntoIterator<Item: AsRef<Tensor>>,
    output: &Tensor,
    of_output: Tensor,
) -> Result<Vec<Tensor>> {
    let held: Vec<_> = inputs.into_iter().collect();
    let inputs: Vec<&Tensor> = held.iter().map(AsRef::as_ref).collect();
    if let Some(at) = inputs.iter().position(|x| !x.0.tracked) {
        return Err(Error::parts(
            Kind::State,
            "A gradient was asked for with respect to a constant",
            &format!("input {at}: an untracked tensor of shape {}", inputs[at].shape()),
            "the value of a variable, a result of `requires_grad`, or what was computed from such",
            "Call `requires_grad` on it first and compute the loss from the result",
        ));
    }
    let wanted = inputs.iter().map(|x| x.0.id).collect();
    let grads = walk(output, of_output, &wanted, &FxHashSet::default())?;
    inputs
        .iter()
        .map(|x| match grads.wrt(x) {
            Some(g) => Ok(g.clone()),
            None => x.zeros_like(),
        })
        .collect()
}

impl Tensor {
    /// The gradients of this scalar with respect to every trainable variable and tracked tensor it was computed from.
    /// They are constants; for gradients of gradients use [`grad`].
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([3.0f32, -1.0], &device)?);
    /// let loss = w.value().square()?.mean(())?;
    /// let grads = loss.backward()?;
    /// assert_eq!(grads.get(&w).unwrap().to_vec::<f32>()?, [3.0, -1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// This tensor is not a scalar, or depends on nothing tracked.
    #[track_caller]
    pub fn backward(&self) -> Result<Grads> {
        self.back(one(self)?)
    }

    /// As [`Tensor::backward`], for a tensor of any shape, given the gradient of something for it. This is how a backward pass
    /// goes on that another program began: the gradients are those of that something. Known in PyTorch as
    /// `backward(gradient)`.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor, Var};
    /// # let device = Device::cpu();
    /// let w = Var::new(&Tensor::new([3.0f32, -1.0], &device)?);
    /// let grads = w.value().square()?.backward_from(&Tensor::new([1.0f32, 10.0], &device)?)?;
    /// assert_eq!(grads.get(&w).unwrap().to_vec::<f32>()?, [6.0, -20.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// This tensor depends on nothing tracked; `gradient` has another shape, dtype or device.
    #[track_caller]
    pub fn backward_from(&self, gradient: &Tensor) -> Result<Grads> {
        self.back(given(self, gradient)?)
    }

    fn back(&self, gradient: Tensor) -> Result<Grads> {
        with_tracking(false, || {
            let mut grads = walk(self, gradient, &FxHashSet::default(), &FxHashSet::default())?;
            let Grads { met, vars, .. } = &mut grads;
            // Those of frozen variables would be computed for nothing.
            met.retain(|var| {
                let trainable = var.owner().is_none_or(|v| v.is_trainable());
                if !trainable {
                    vars.remove(&var.id);
                }
                trainable
            });
            Ok(grads)
        })
    }
}

/// The gradient of a scalar for itself.
#[track_caller]
fn one(loss: &Tensor) -> Result<Tensor> {
    if loss.numel() != 1 || !loss.dtype().is_float() {
        return Err(Error::parts(
            Kind::Shape,
            "`backward` was called on something other than a scalar loss",
            &format!("{} {}", loss.dtype(), loss.shape()),
            "one floating-point element",
            "Reduce it first, say with `mean(())`, or give the gradient for it: `vjp`, `Tensor::backward_from`",
        ));
    }
    is_tracked(loss)?;
    loss.ones_like()
}

/// The gradient for `output` that was given, if it can be that.
#[track_caller]
fn given(output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (shape, dtype) = (output.shape(), output.dtype());
    let shaped = shape == gradient.shape();
    if !shaped || dtype != gradient.dtype() || !dtype.is_float() {
        return Err(Error::parts(
            if shaped { Kind::DType } else { Kind::Shape },
            "The gradient given for a tensor is not of its kind",
            &format!("{} {} for {dtype} {shape}", gradient.dtype(), gradient.shape()),
            "floating-point numbers, one for each element",
            "Use `broadcast_to` or `cast` where they are meant to fit",
        ));
    }
    if output.device() != gradient.device() {
        return Err(output.device().differs(gradient.device(), "A gradient is on another device than its tensor"));
    }
    is_tracked(output)?;
    Ok(gradient.clone())
}

#[track_caller]
fn is_tracked(output: &Tensor) -> Result<()> {
    if output.0.tracked {
        return Ok(());
    }
    Err(Error::parts(
        Kind::State,
        "`backward` was called on a tensor that depends on no variable",
        "an untracked tensor",
        "a tensor computed from `Var::value` or `Tensor::requires_grad` outside of `no_grad`",
        "Compute the loss from a variable",
    ))
}

/// The gradients of the tensors that differentiation starts from, and of those `wanted`, given the one for `loss`. The others
/// are let go of as soon as they have been passed on: whoever holds a gradient keeps it in memory. Nothing passes through
/// those where it is to `stop`.
pub(super) fn walk(loss: &Tensor, of_loss: Tensor, wanted: &FxHashSet<u64>, stop: &FxHashSet<u64>) -> Result<Grads> {
    struct Reset(Option<&'static Location<'static>>);
    impl Drop for Reset {
        fn drop(&mut self) {
            set_origin(self.0);
        }
    }
    // Within the gradient of an operation that is differentiated in its turn.
    let _reset = Reset(set_origin(None));
    let mut grads = Grads { vars: FxHashMap::default(), met: Vec::new(), nodes: FxHashMap::default() };
    let mut arrived: FxHashMap<u64, Arrived> = FxHashMap::default();
    arrived.entry(loss.0.id).or_default().add(of_loss);
    let mut assembled = Assembled::default();
    for tensor in tracked(loss, stop) {
        let node = &tensor.0;
        let Some(mut here) = arrived.remove(&node.id) else { continue };
        set_origin(Some(node.at));
        let results = std::mem::take(&mut here.results);
        let total = here.total(&tensor, &mut assembled)?;
        if stop.contains(&node.id) {
            total.into_iter().for_each(|grad| drop(grads.nodes.insert(node.id, grad)));
            continue;
        }
        if let Some(var) = &node.var {
            if let Some(grad) = total {
                grads.met.push(var.clone());
                accumulate(&mut grads.vars, var.id, grad)?;
            }
            continue;
        }
        if let Some(grad) = &total
            && (node.is_source() || wanted.contains(&node.id))
        {
            grads.nodes.insert(node.id, grad.clone());
        }
        if node.is_source() {
            continue;
        }
        node.spent.store(true, Relaxed);
        let inputs = tensor.inputs();
        if let (Vjp::Part, Op::Part(i)) = (&node.vjp, &node.op) {
            let whole = arrived.entry(inputs[0].0.id).or_default();
            whole.results.resize(inputs[0].0.results(), None);
            // There may be several parts that read one result.
            let here = &mut whole.results[usize::from(*i)];
            *here = match (here.take(), total) {
                (Some(a), Some(b)) => Some(a.add(&b)?),
                (a, b) => a.or(b),
            };
            continue;
        }
        for (input, grad) in inputs.iter().zip(shares(&tensor, &inputs, total, results)?) {
            if let Some(grad) = grad
                && input.0.tracked
            {
                arrived.entry(input.0.id).or_default().add(grad);
            }
        }
    }
    Ok(grads)
}

/// The tracked ancestors: ids grow with recording, so descending ids are a reverse topological order.
fn tracked(loss: &Tensor, stop: &FxHashSet<u64>) -> Vec<Tensor> {
    let mut order: Vec<Tensor> = Vec::new();
    let mut seen: FxHashSet<u64> = FxHashSet::default();
    let mut stack = vec![loss.clone()];
    while let Some(tensor) = stack.pop() {
        if !tensor.0.tracked || !seen.insert(tensor.0.id) {
            continue;
        }
        if !tensor.0.is_source() && !stop.contains(&tensor.0.id) {
            stack.extend(tensor.inputs());
        }
        order.push(tensor);
    }
    order.sort_unstable_by_key(|t| std::cmp::Reverse(t.0.id));
    order
}

/// What a node passes on to its inputs, given the gradient for its value, or those for its results.
fn shares(
    tensor: &Tensor,
    inputs: &[Tensor],
    total: Option<Tensor>,
    results: Vec<Option<Tensor>>,
) -> Result<InputGrads> {
    match (&tensor.0.vjp, total) {
        (Vjp::Node(f), Some(grad)) => f(tensor, inputs, &grad),
        (Vjp::Function(f), Some(grad)) => {
            f(&Results { outputs: std::slice::from_ref(tensor), inputs, grads: &[Some(grad)] })
        }
        (Vjp::Function(f), None) => {
            let outputs: Vec<Tensor> = (0..results.len()).map(|i| tensor.part(i)).collect();
            f(&Results { outputs: &outputs, inputs, grads: &results })
        }
        _ => Ok(InputGrads::new()),
    }
}

fn accumulate(map: &mut FxHashMap<u64, Tensor>, id: u64, grad: Tensor) -> Result<()> {
    let sum = match map.get(&id) {
        Some(before) => before.add(&grad)?,
        None => grad,
    };
    map.insert(id, sum);
    Ok(())
}
