//! Reverse-mode differentiation over the recorded nodes. Gradients are recorded like any operation.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::{FxHashMap, FxHashSet};

use super::node::{Tensor, Vjp, set_origin, with_tracking};
use super::var::{Var, VarShared};
use crate::error::{Error, Kind, Result};

/// The gradients of one backward pass, by variable and by tracked tensor.
#[derive(Debug)]
pub struct Grads {
    vars: FxHashMap<u64, Tensor>,
    /// The variables in the order the pass met them.
    met: Vec<Arc<VarShared>>,
    nodes: FxHashMap<u64, Tensor>,
}

impl Grads {
    /// The gradient for a variable; `None` where the loss does not depend on it, or it is not trainable.
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

    /// The gradient for a tensor made by [`Tensor::requires_grad`]. For tensors between it and the loss use [`grad`].
    pub fn wrt(&self, tensor: &Tensor) -> Option<&Tensor> {
        match &tensor.0.var {
            Some(var) => self.vars.get(&var.id),
            None => self.nodes.get(&tensor.0.id),
        }
    }
}

/// Runs `f` without recording gradients on this thread: results are constants.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_tracking(false, f)
}

/// The gradients of a scalar with respect to tensors, themselves differentiable. Where the scalar does not depend on
/// a tensor its gradient is zero.
///
/// # Errors
/// `loss` is not a scalar or depends on nothing tracked; an input is a constant.
#[track_caller]
pub fn grad(loss: &Tensor, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    check(loss)?;
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
    let grads = walk(loss, &wanted)?;
    inputs
        .iter()
        .map(|x| match grads.wrt(x) {
            Some(g) => Ok(g.clone()),
            None => Tensor::zeros(*x.shape(), x.dtype(), x.device()),
        })
        .collect()
}

impl Tensor {
    /// The gradients of this scalar with respect to every trainable variable and tracked tensor it was computed from.
    /// They are constants; for gradients of gradients use [`grad`].
    ///
    /// # Errors
    /// This tensor is not a scalar, or depends on nothing tracked.
    #[track_caller]
    pub fn backward(&self) -> Result<Grads> {
        check(self)?;
        with_tracking(false, || {
            let mut grads = walk(self, &FxHashSet::default())?;
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

/// A scalar that depends on something tracked, or an error.
#[track_caller]
fn check(loss: &Tensor) -> Result<()> {
    if loss.numel() != 1 || !loss.dtype().is_float() {
        return Err(Error::parts(
            Kind::Shape,
            "`backward` was called on something other than a scalar loss",
            &format!("{} {}", loss.dtype(), loss.shape()),
            "one floating-point element",
            "Reduce it first, say with `mean(())`",
        ));
    }
    if !loss.0.tracked {
        return Err(Error::parts(
            Kind::State,
            "`backward` was called on a tensor that depends on no variable",
            "an untracked tensor",
            "a tensor computed from `Var::value` or `Tensor::requires_grad` outside of `no_grad`",
            "Compute the loss from a variable",
        ));
    }
    Ok(())
}

/// The gradients of the tensors that differentiation starts from, and of those `wanted`. The others are let go of as
/// soon as they have been passed on: whoever holds a gradient keeps it in memory.
fn walk(loss: &Tensor, wanted: &FxHashSet<u64>) -> Result<Grads> {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            set_origin(None);
        }
    }
    let _reset = Reset;
    // Tracked ancestors; ids grow with recording, so descending ids are a reverse topological order.
    let mut order: Vec<Tensor> = Vec::new();
    let mut seen: FxHashSet<u64> = FxHashSet::default();
    let mut stack = vec![loss.clone()];
    while let Some(tensor) = stack.pop() {
        if !tensor.0.tracked || !seen.insert(tensor.0.id) {
            continue;
        }
        if !matches!(tensor.0.vjp, Vjp::None) {
            stack.extend(tensor.inputs());
        }
        order.push(tensor);
    }
    order.sort_unstable_by_key(|t| std::cmp::Reverse(t.0.id));
    let mut grads = Grads { vars: FxHashMap::default(), met: Vec::new(), nodes: FxHashMap::default() };
    grads.nodes.insert(loss.0.id, Tensor::ones(*loss.shape(), loss.dtype(), loss.device())?);
    for tensor in order {
        let node = &tensor.0;
        let Some(grad) = grads.nodes.remove(&node.id) else { continue };
        if let Some(var) = &node.var {
            grads.met.push(var.clone());
            accumulate(&mut grads.vars, var.id, grad)?;
            continue;
        }
        node.spent.store(true, Relaxed);
        set_origin(Some(node.at));
        let inputs = tensor.inputs();
        let given = match node.vjp {
            Vjp::None => {
                grads.nodes.insert(node.id, grad);
                continue;
            }
            Vjp::Unary(f) => [Some(f(&inputs[0], &tensor, &grad)?)].into_iter().collect(),
            Vjp::Binary(f) => crate::ops::pointwise::binary_grad(f, &inputs, &tensor, &grad)?,
            Vjp::Node(f) => f(&tensor, &inputs, &grad)?,
        };
        for (input, grad) in inputs.iter().zip(given) {
            if let Some(grad) = grad
                && input.0.tracked
            {
                accumulate(&mut grads.nodes, input.0.id, grad)?;
            }
        }
        if wanted.contains(&node.id) {
            grads.nodes.insert(node.id, grad);
        }
    }
    Ok(grads)
}

fn accumulate(map: &mut FxHashMap<u64, Tensor>, id: u64, grad: Tensor) -> Result<()> {
    let sum = match map.get(&id) {
        Some(before) => before.add(&grad)?,
        None => grad,
    };
    map.insert(id, sum);
    Ok(())
}
