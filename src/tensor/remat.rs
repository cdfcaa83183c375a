//! Recomputing instead of keeping: what a gradient needs of a block is recorded a second time when it is asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::{FxHashMap, FxHashSet};

use super::autograd::walk;
use crate::Tensor;
use crate::error::{Error, Result};
use crate::graph::node::{InputGrads, Make, Results, Vjp, next_id, with_tracking};
use crate::ir::op::Op;

/// What `f` computes, none of it kept in memory for the gradient: what is in between is computed a second time when the
/// gradient needs it, from what `f` read. More time for less memory (Chen et al., 2016, "Training deep nets with sublinear
/// memory cost"), as with `keras.remat`, `torch.utils.checkpoint` and `jax.checkpoint`.
///
/// The values are the same, random ones included, and `f` itself is called once.
///
/// ```
/// use wgtensor::{Device, Tensor, Var, remat};
///
/// let device = Device::cpu();
/// let w = Var::new(&Tensor::new([[0.5f32, -1.0], [2.0, 0.25]], &device)?);
/// let x = Tensor::new([[1.0f32, 2.0]], &device)?;
/// let y = remat(|| x.matmul(&w.value())?.tanh()?.matmul(&w.value()))?;
/// let grads = y.sum(())?.backward()?;
/// assert!(grads.get(&w).is_some());
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of `f`.
#[track_caller]
pub fn remat(f: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
    let first = next_id();
    let output = f()?;
    recomputed(&output, first)
}

/// A tensor, with whatever was recorded for it since `first` to be recomputed for its gradient.
#[track_caller]
pub(crate) fn recomputed(output: &Tensor, first: u64) -> Result<Tensor> {
    if !output.0.tracked || output.0.id < first {
        return Ok(output.clone());
    }
    let Block { inside, around } = Block::of(output, first);
    if inside.iter().all(|t| t.0.is_source()) {
        return Ok(output.clone());
    }
    for inner in &inside {
        // The tape keeps nothing of it. (The result may be what the next block is computed from.)
        if inner.0.id != output.0.id {
            inner.0.spent.store(true, Relaxed);
        }
    }
    let vjp = Vjp::Function(Arc::new(move |results: &Results<'_>| gradient(results, first)));
    let around: Vec<&Tensor> = around.iter().collect();
    let make = Make::new(output.device(), vjp).saving(&around);
    Ok(Tensor::record(Op::Reshape, *output.shape(), output.dtype(), &[output], make))
}

/// What a block consists of, and what it reads.
struct Block {
    /// In the order of recording.
    inside: Vec<Tensor>,
    /// The tracked tensors from before the block, and variables.
    around: Vec<Tensor>,
}

impl Block {
    fn of(output: &Tensor, first: u64) -> Block {
        let (mut inside, mut around) = (Vec::new(), Vec::new());
        let mut seen = FxHashSet::default();
        let mut stack = vec![output.clone()];
        while let Some(tensor) = stack.pop() {
            let node = &tensor.0;
            if !seen.insert(node.id) {
                continue;
            }
            let before = node.id < first || node.var.is_some();
            if node.tracked && before {
                around.push(tensor);
            } else if !before && (node.tracked || !node.is_ready()) {
                stack.extend(tensor.inputs());
                inside.push(tensor);
            }
        }
        inside.sort_unstable_by_key(|t| t.0.id);
        around.sort_unstable_by_key(|t| t.0.id);
        Block { inside, around }
    }
}

/// Records the block again, and its gradients: those for what it reads, in the order in which it was saved.
fn gradient(results: &Results<'_>, first: u64) -> Result<InputGrads> {
    let [output, around @ ..] = results.inputs else { return Err(Error::internal("a block without a result")) };
    let [Some(grad)] = results.grads else { return Ok(InputGrads::new()) };
    let again = with_tracking(true, || {
        let mut copies: FxHashMap<u64, Tensor> = FxHashMap::default();
        for inner in Block::of(output, first).inside {
            let copy = |t: &Tensor| copies.get(&t.0.id).unwrap_or(t).clone();
            let inputs: Vec<Tensor> = inner.inputs().iter().map(copy).collect();
            copies.insert(inner.0.id, inner.again(&inputs));
        }
        copies.remove(&output.0.id).ok_or_else(|| Error::internal("a block without its result"))
    })?;
    let stop: FxHashSet<u64> = around.iter().map(|t| t.0.id).collect();
    let grads = walk(&again, grad.clone(), &FxHashSet::default(), &stop)?;
    let each = around.iter().map(|t| grads.at(t.0.id).cloned());
    Ok(std::iter::once(None).chain(each).collect())
}
