//! The cone below what is asked for: every node that is not realised, inputs first, and the realised ones it reads.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::device::Device;
use super::node::{Edges, Node, Storage, Tensor};
use super::var::VarShared;
use crate::backend::Buffer;
use crate::error::{Error, Kind, Result};
use crate::ir::op::{Keep, Op, PlanNode};

/// A node of the cone.
pub(super) struct Entry {
    pub(super) node: Arc<Node>,
    /// Positions of what it reads.
    pub(super) inputs: SmallVec<[u32; 3]>,
    /// Its number among the leaves, if it is realised.
    pub(super) leaf: Option<u32>,
    /// It was asked for by name.
    pub(super) root: bool,
    pub(super) keep: Keep,
}

pub(super) struct Cone<'a> {
    pub(super) device: &'a Device,
    epoch: u64,
    pub(super) order: Vec<Entry>,
    pub(super) leaves: Vec<Buffer>,
    /// Of a full flush: what was pending and held when it began, by the nodes' ids, and the variables whose present
    /// value was. Other threads go on recording meanwhile: what they will need, they held then.
    pub(super) live: FxHashMap<u64, Arc<Node>>,
    pub(super) held: FxHashSet<u64>,
    pub(super) all: bool,
}

/// A node being visited, what it reads, and how many of these are done.
type Open = (Arc<Node>, Edges, usize);

impl<'a> Cone<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        let epoch = device.0.epoch.fetch_add(1, Relaxed) + 1;
        Cone {
            device,
            epoch: epoch & 0xffff_ffff,
            order: Vec::new(),
            leaves: Vec::new(),
            live: FxHashMap::default(),
            held: FxHashSet::default(),
            all: false,
        }
    }

    /// Where a node stands in the cone.
    pub(super) fn position(&self, node: &Node) -> Option<u32> {
        let mark = node.mark.load(Relaxed);
        (mark >> 32 == self.epoch).then_some(mark as u32)
    }

    fn push(&mut self, node: Arc<Node>, inputs: SmallVec<[u32; 3]>) -> u32 {
        let leaf = match &node.state().storage {
            Storage::Ready(buffer) => {
                self.leaves.push(buffer.clone());
                Some(self.leaves.len() as u32 - 1)
            }
            _ => None,
        };
        let at = self.order.len() as u32;
        node.mark.store(self.epoch << 32 | u64::from(at), Relaxed);
        self.order.push(Entry { node, inputs, leaf, root: false, keep: Keep::No });
        at
    }

    /// Adds the unrealised cone of a node, inputs first.
    pub(super) fn visit(&mut self, node: &Arc<Node>, root: bool) -> Result<()> {
        let mut stack: Vec<Open> = Vec::new();
        if self.position(node).is_none() {
            stack.push(open(node)?);
        }
        while let Some((_, inputs, done)) = stack.last_mut() {
            if *done < inputs.len() {
                let next = inputs[*done].clone();
                *done += 1;
                if self.position(&next).is_none() {
                    stack.push(open(&next)?);
                }
                continue;
            }
            let Some((node, inputs, _)) = stack.pop() else { break };
            if self.position(&node).is_none() {
                let inputs = inputs.iter().filter_map(|i| self.position(i)).collect();
                self.push(node, inputs);
            }
        }
        let at = self.position(node).ok_or_else(|| Error::internal("a visit did not reach its goal"))?;
        self.order[at as usize].root |= root;
        Ok(())
    }

    /// Adds the cones of everything pending that is held.
    pub(super) fn visit_pending(&mut self) -> Result<()> {
        self.all = true;
        let live: Vec<Arc<Node>> = {
            let graph = self.device.graph();
            let pending = graph.pending.iter().filter_map(Weak::upgrade);
            let mut live: Vec<_> = pending.filter(|n| n.is_held() && !n.is_ready() && !settled(n)).collect();
            live.sort_unstable_by_key(|n| n.id);
            let is_held = |var: &&Arc<VarShared>| var.storage().node.upgrade().is_some_and(|old| old.is_held());
            self.held = live.iter().filter_map(|n| n.var.as_ref()).filter(is_held).map(|var| var.id).collect();
            live
        };
        for node in live {
            match self.visit(&node, false) {
                Ok(()) => {
                    self.live.insert(node.id, node);
                }
                // It can be computed no more; whoever asks for it is told.
                Err(error) if error.is_overwritten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds the results that gradients will need and nobody has asked for; all of these are kept.
    pub(super) fn visit_results(&mut self) {
        // For each node with several results that the tape will read: which are in the cone.
        let mut wanted: Vec<(u32, u64)> = Vec::new();
        for (n, entry) in self.order.iter_mut().enumerate() {
            if entry.node.results() > 1 && entry.node.is_on_tape() {
                wanted.push((n as u32, 0));
            } else if let (Op::Part(i), Some(whole)) = (&entry.node.op, entry.inputs.first())
                && let Ok(at) = wanted.binary_search_by_key(whole, |w| w.0)
            {
                wanted[at].1 |= 1 << i;
                entry.keep = Keep::Output;
            }
        }
        for (n, there) in wanted {
            let node = Tensor::of(&self.order[n as usize].node);
            for i in (0..node.0.results()).filter(|i| there >> i & 1 == 0) {
                let at = self.push(node.unlisted_part(i), SmallVec::from_slice(&[n]));
                self.order[at as usize].keep = Keep::Output;
            }
        }
    }

    /// Whether the cone sets a variable that has a value already.
    pub(super) fn assigns(&self) -> bool {
        let sets = |node: &Node| {
            let latest = |v: &&Arc<VarShared>| v.latest.load(Relaxed) == node.id;
            node.var.as_ref().filter(latest).is_some_and(|v| v.storage().buffer.is_some())
        };
        self.order.iter().any(|e| e.leaf.is_none() && sets(&e.node))
    }

    /// Whether a node is for a later flush: it was recorded meanwhile, or is no part of this one, and is wanted.
    pub(super) fn is_left(&self, node: &Arc<Node>) -> bool {
        self.position(node).is_none() && node.is_held() && !node.is_ready() && !settled(node)
    }

    /// The structure in words: equal words, equal plan. Every list is preceded by its length.
    pub(super) fn signature(&self) -> Vec<u64> {
        let mut out = Vec::with_capacity(self.order.len() * 8);
        for entry in &self.order {
            let node = &*entry.node;
            let head = out.len();
            out.push(0);
            if let Some(leaf) = entry.leaf {
                out.push(1 << 40 | u64::from(leaf));
            } else {
                node.op.signature(&mut out);
            }
            let words = (out.len() - head) as u64;
            out[head] = node.dtype as u64 | (node.shape.rank() as u64) << 8 | words << 32;
            out.push(match entry.keep {
                Keep::No => 0,
                Keep::Output => 1,
                Keep::InPlace(leaf) => 2 + u64::from(leaf),
            });
            out.push(entry.inputs.len() as u64);
            out.extend(node.shape.iter().map(|&d| d as u64));
            out.extend(entry.inputs.iter().map(|&i| u64::from(i)));
        }
        out
    }
}

impl Entry {
    pub(super) fn plan_node(&self) -> PlanNode {
        let node = &*self.node;
        PlanNode {
            op: if self.leaf.is_some() { Op::Leaf } else { node.op.clone() },
            inputs: self.inputs.clone(),
            shape: node.shape,
            dtype: node.dtype,
            keep: self.keep,
            leaf: self.leaf,
            at: node.at,
        }
    }
}

/// A node to be visited, with what it reads.
fn open(node: &Arc<Node>) -> Result<Open> {
    // A result that was kept for a gradient is here. (The lock is let go of before the node is asked again.)
    if let Op::Part(i) = node.op {
        let whole = node.state().inputs.first().cloned();
        let kept = whole.and_then(|whole| whole.kept(usize::from(i)));
        if let Some(kept) = kept.filter(|_| !node.is_ready()) {
            node.realise(kept);
        }
    }
    let state = node.state();
    let inputs = match &state.storage {
        Storage::Ready(_) => Edges::new(),
        Storage::Overwritten => return Err(overwritten(node)),
        Storage::Pending => state.inputs[..node.reads as usize].iter().cloned().collect(),
    };
    Ok((node.clone(), inputs, 0))
}

/// Whether a node is a view of a value that is here and stays as it is: no flush need think of it.
pub(super) fn settled(node: &Arc<Node>) -> bool {
    let mut node = node.clone();
    while node.op.is_view() {
        let Some(below) = node.state().inputs.first().cloned() else { return false };
        if below.is_ready() {
            return below.var.is_none();
        }
        node = below;
    }
    false
}

fn overwritten(node: &Node) -> Error {
    Error::parts(
        Kind::Overwritten,
        "A value was needed again after its variable had been assigned to",
        &format!("the old value of a variable of shape {}, read at {}:{}", node.shape, node.at.file(), node.at.line()),
        "reads and gradients of the old value before the assignment",
        "Call `backward` (once) before the optimizer's step, or hold the value with `detach` and read it first",
    )
}
