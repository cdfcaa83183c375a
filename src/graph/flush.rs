//! Realising nodes: the unrealised cone below what is asked for is looked up by its structure and replayed, or planned.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::device::Device;
use super::node::{Storage, Tensor};
use super::var::VarShared;
use crate::backend::{Buffer, Executable, count};
use crate::error::{Error, Kind, Result, entry};
use crate::ir::op::{Keep, Op, PlanNode};
use crate::ir::step::Plan;

/// Plans by structure, least recently used out first.
#[derive(Default)]
pub(crate) struct PlanCache {
    plans: FxHashMap<Box<[u64]>, Cached>,
    clock: u64,
}

struct Cached {
    plan: Arc<Plan>,
    executable: Arc<dyn Executable>,
    used: u64,
}

/// How many plans a device remembers.
const MAX_PLANS: usize = 256;

impl PlanCache {
    fn get(&mut self, key: &[u64]) -> Option<Arc<dyn Executable>> {
        self.clock += 1;
        let hit = self.plans.get_mut(key)?;
        hit.used = self.clock;
        Some(hit.executable.clone())
    }

    fn insert(&mut self, key: Box<[u64]>, plan: Arc<Plan>, executable: Arc<dyn Executable>) {
        if self.plans.len() >= MAX_PLANS
            && let Some(oldest) = self.plans.iter().min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone())
        {
            self.plans.remove(&oldest);
        }
        self.plans.insert(key, Cached { plan, executable, used: self.clock });
    }

    /// The plan used last, and its kernels' sources.
    pub(crate) fn last(&self) -> Option<(Arc<Plan>, Arc<dyn Executable>)> {
        let newest = self.plans.values().max_by_key(|c| c.used)?;
        Some((newest.plan.clone(), newest.executable.clone()))
    }
}

/// A node of the cone under way.
struct Entry {
    tensor: Tensor,
    inputs: SmallVec<[u32; 3]>,
    /// Its number among the leaves, if it is realised.
    leaf: Option<u32>,
    root: bool,
    keep: Keep,
}

/// Realises one tensor and gives its buffer to `f`, before another thread's flush can overwrite it.
#[track_caller]
pub(crate) fn realise<T>(tensor: &Tensor, f: impl FnOnce(&Buffer) -> T) -> Result<T> {
    entry(|| realise_here(tensor, f))
}

fn realise_here<T>(tensor: &Tensor, f: impl FnOnce(&Buffer) -> T) -> Result<T> {
    let device = tensor.device();
    let _flushing = device.0.flushing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = device.backend().lost().or_else(|| device.graph().failed.take()) {
        return Err(error);
    }
    if !tensor.0.is_ready() {
        let mut flush = Flush::new(device);
        flush.visit(tensor, true)?;
        if flush.assigns() {
            // Assigning overwrites what other pending work may still want to read: that goes along.
            flush.visit_pending()?;
        }
        flush.run()?;
    }
    match &tensor.0.state().storage {
        Storage::Ready(buffer) => Ok(f(buffer)),
        _ => Err(Error::internal("a flush did not realise what it was asked for")),
    }
}

/// Realises everything pending that somebody can still ask for.
#[track_caller]
pub(crate) fn flush_all(device: &Device) -> Result<()> {
    entry(|| flush_all_here(device))
}

fn flush_all_here(device: &Device) -> Result<()> {
    let _flushing = device.0.flushing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = device.backend().lost().or_else(|| device.graph().failed.take()) {
        return Err(error);
    }
    let mut flush = Flush::new(device);
    flush.visit_pending()?;
    flush.run()
}

struct Flush<'a> {
    device: &'a Device,
    epoch: u64,
    order: Vec<Entry>,
    leaves: Vec<Buffer>,
    /// Of a full flush: what was pending with a handle outside the graph when it began, by the nodes' ids, and the
    /// variables whose present value had one. Other threads go on recording meanwhile: what they will need, they had a
    /// handle of then.
    live: FxHashMap<u64, Tensor>,
    held: FxHashSet<u64>,
    all: bool,
}

impl<'a> Flush<'a> {
    fn new(device: &'a Device) -> Self {
        let epoch = device.0.epoch.fetch_add(1, Relaxed) + 1;
        Flush {
            device,
            epoch,
            order: Vec::new(),
            leaves: Vec::new(),
            live: FxHashMap::default(),
            held: FxHashSet::default(),
            all: false,
        }
    }

    fn position(&self, tensor: &Tensor) -> Option<u32> {
        let mark = tensor.0.mark.load(Relaxed);
        (mark >> 32 == self.epoch & 0xffff_ffff).then_some(mark as u32)
    }

    /// Adds the unrealised cone of a tensor, inputs first.
    fn visit(&mut self, tensor: &Tensor, root: bool) -> Result<u32> {
        if let Some(at) = self.position(tensor) {
            self.order[at as usize].root |= root;
            return Ok(at);
        }
        // (node, its inputs, how many of these are done)
        let mut stack: Vec<(Tensor, SmallVec<[Tensor; 2]>, usize)> = Vec::new();
        let open = |t: &Tensor| -> Result<(Tensor, SmallVec<[Tensor; 2]>, usize)> {
            let state = t.0.state();
            let inputs = match &state.storage {
                Storage::Ready(_) => SmallVec::new(),
                Storage::Overwritten => return Err(overwritten(t)),
                Storage::Pending => {
                    let wanted = t.0.op.reads().unwrap_or(state.inputs.len());
                    state.inputs[..wanted].iter().cloned().collect()
                }
            };
            Ok((t.clone(), inputs, 0))
        };
        stack.push(open(tensor)?);
        while let Some((_, inputs, done)) = stack.last_mut() {
            if *done < inputs.len() {
                let next = inputs[*done].clone();
                *done += 1;
                if self.position(&next).is_none() {
                    stack.push(open(&next)?);
                }
                continue;
            }
            let Some((t, inputs, _)) = stack.pop() else { break };
            if self.position(&t).is_some() {
                continue;
            }
            let inputs = inputs.iter().filter_map(|i| self.position(i)).collect();
            let leaf = match &t.0.state().storage {
                Storage::Ready(buffer) => {
                    self.leaves.push(buffer.clone());
                    Some(self.leaves.len() as u32 - 1)
                }
                _ => None,
            };
            t.0.mark.store((self.epoch & 0xffff_ffff) << 32 | self.order.len() as u64, Relaxed);
            self.order.push(Entry { tensor: t, inputs, leaf, root: false, keep: Keep::No });
        }
        let at = self.position(tensor).expect("just visited");
        self.order[at as usize].root |= root;
        Ok(at)
    }

    /// Adds the cones of everything pending that has a handle outside the graph.
    fn visit_pending(&mut self) -> Result<()> {
        self.all = true;
        let (live, held) = {
            let graph = self.device.graph();
            let own = |t: &Tensor| 1 + usize::from(self.position(t).is_some());
            let pending = graph.pending.iter().filter_map(Weak::upgrade).map(Tensor);
            let live = pending.filter(|t| !t.0.is_ready() && t.handles(own(t)) > 0 && !settled(t)).collect::<Vec<_>>();
            let is_held = |var: &&Arc<VarShared>| {
                let old = var.storage().node.upgrade().map(Tensor);
                old.is_some_and(|old| old.handles(own(&old)) > 0)
            };
            let held = live.iter().filter_map(|t| t.0.var.as_ref()).filter(is_held).map(|var| var.id).collect();
            (live, held)
        };
        self.held = held;
        for tensor in live {
            match self.visit(&tensor, false) {
                Ok(_) => {
                    self.live.insert(tensor.0.id, tensor);
                }
                // It can be computed no more; whoever asks for it is told.
                Err(error) if error.is_overwritten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the cone sets a variable that has a value already.
    fn assigns(&self) -> bool {
        self.order.iter().any(|e| {
            e.leaf.is_none()
                && e.tensor
                    .0
                    .var
                    .as_ref()
                    .is_some_and(|v| v.latest.load(Relaxed) == e.tensor.0.id && v.storage().buffer.is_some())
        })
    }

    /// Decides what is kept, finds or makes the plan, and submits it.
    fn run(mut self) -> Result<()> {
        self.aliases();
        self.choose();
        if self.order.iter().all(|e| e.leaf.is_some() || e.keep == Keep::No) {
            self.finish(Vec::new());
            return Ok(());
        }
        // Out of memory: other plans' memory goes, and there is one more try. Nothing has run yet.
        let (executable, outputs) = match self.prepare() {
            Err(error) if error.is_out_of_memory() => {
                self.device.trim();
                self.prepare()
            }
            prepared => prepared,
        }?;
        let mut params = Vec::new();
        for entry in self.order.iter().filter(|e| e.leaf.is_none()) {
            entry.tensor.0.op.push_params(&mut params);
        }
        executable.run(&self.leaves, &outputs, &params)?;
        self.finish(outputs);
        Ok(())
    }

    /// The plan, found or made, and memory for what it gives.
    fn prepare(&self) -> Result<(Arc<dyn Executable>, Vec<Buffer>)> {
        let backend = self.device.backend();
        let key = self.signature();
        let hit = self.device.graph().plans.get(&key);
        let executable = match hit {
            Some(executable) => {
                count(&backend.counters().plan_hits, 1);
                executable
            }
            None => {
                count(&backend.counters().plan_misses, 1);
                let nodes: Vec<PlanNode> = self.order.iter().map(Entry::plan_node).collect();
                let plan = Arc::new(crate::plan::plan(&nodes, self.device.0.limits)?);
                log::debug!(target: "wgtensor::plan", "{}\n{plan}", self.device.info().id);
                if let Some(check) = &self.device.0.check {
                    count(&backend.counters().shaders_checked, check.plans(&nodes, self.device.0.limits)?);
                }
                let executable: Arc<dyn Executable> = Arc::from(backend.prepare(plan.clone())?);
                self.device.graph().plans.insert(key.into_boxed_slice(), plan, executable.clone());
                executable
            }
        };
        let outputs = self.order.iter().filter(|e| e.leaf.is_none() && e.keep == Keep::Output);
        let outputs = outputs.map(|e| backend.alloc(e.tensor.dtype().bytes(e.tensor.numel())));
        let outputs = outputs.collect::<Result<_>>()?;
        Ok((executable, outputs))
    }

    /// A root that only renames the indices of a value in memory order shares its memory.
    fn aliases(&mut self) {
        for i in 0..self.order.len() {
            if !self.order[i].root || self.order[i].leaf.is_some() {
                continue;
            }
            let n = self.reshaped(i);
            // A variable's memory changes, so its readers copy.
            if n != i && self.order[n].tensor.0.var.is_none() && !self.order[n].tensor.0.op.is_view() {
                self.order[n].root = true;
            }
        }
    }

    fn choose(&mut self) {
        let mut bases: Vec<usize> = Vec::with_capacity(self.order.len());
        for (i, entry) in self.order.iter().enumerate() {
            let view = entry.leaf.is_none() && entry.tensor.0.op.is_view();
            bases.push(if view { bases[entry.inputs[0] as usize] } else { i });
        }
        for i in 0..self.order.len() {
            if self.order[i].leaf.is_some() {
                continue;
            }
            let (node, root) = (self.order[i].tensor.0.clone(), self.order[i].root);
            let external = match self.all {
                true => self.live.contains_key(&node.id),
                // One handle here, one in the order.
                false => self.order[i].tensor.handles(2) > 0,
            };
            let keep = if let Some(var) = &node.var {
                let mut storage = var.storage();
                let latest = var.latest.load(Relaxed) == node.id;
                let held = !self.all || self.held.contains(&var.id);
                match (&mut storage.buffer, latest && external) {
                    (Some(buffer), true) if !held => {
                        let base = storage_leaf(&self.leaves, buffer).unwrap_or_else(|| {
                            self.leaves.push(buffer.clone());
                            self.leaves.len() as u32 - 1
                        });
                        Keep::InPlace(base)
                    }
                    _ if external || root => Keep::Output,
                    _ => Keep::No,
                }
            } else if node.op.is_view() {
                let base = bases[i];
                let of_var = self.order[base].leaf.is_some() && self.order[base].tensor.0.var.is_some();
                if root {
                    // Either it shares its base's memory (then the base is a root too), or it is copied.
                    if self.shares(i) { Keep::No } else { Keep::Output }
                } else if external && self.all && of_var {
                    Keep::Output
                } else {
                    if external {
                        self.keep_base(base);
                    }
                    Keep::No
                }
            } else {
                let tape = node.tracked && !node.spent.load(Relaxed) && node.op.is_expensive();
                if root || external && !node.op.is_pure() || tape { Keep::Output } else { Keep::No }
            };
            if self.order[i].keep == Keep::No {
                self.order[i].keep = keep;
            }
        }
    }

    /// What a chain of reshapes looks at.
    fn reshaped(&self, mut n: usize) -> usize {
        while self.order[n].leaf.is_none() && matches!(self.order[n].tensor.0.op, Op::Reshape) {
            n = self.order[n].inputs[0] as usize;
        }
        n
    }

    /// Whether a view is a reshape of something whose memory it can share.
    fn shares(&self, n: usize) -> bool {
        let n = self.reshaped(n);
        self.order[n].tensor.0.var.is_none() && (self.order[n].leaf.is_some() || !self.order[n].tensor.0.op.is_view())
    }

    fn keep_base(&mut self, base: usize) {
        let entry = &mut self.order[base];
        if entry.leaf.is_none() && !entry.tensor.0.op.is_pure() && entry.keep == Keep::No {
            entry.keep = Keep::Output;
        }
    }

    /// The structure in words: equal words, equal plan. Every list is preceded by its length.
    fn signature(&self) -> Vec<u64> {
        let mut out = Vec::with_capacity(self.order.len() * 8);
        for entry in &self.order {
            let node = &*entry.tensor.0;
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

    /// Records the results of a submitted run.
    fn finish(self, outputs: Vec<Buffer>) {
        let mut outputs = outputs.into_iter();
        for entry in &self.order {
            if entry.leaf.is_some() {
                continue;
            }
            let node = &entry.tensor.0;
            let buffer = match entry.keep {
                Keep::No => continue,
                Keep::Output => match outputs.next() {
                    Some(buffer) => buffer,
                    None => continue,
                },
                Keep::InPlace(leaf) => self.leaves[leaf as usize].clone(),
            };
            // What was written in place is the variable's value now, even if it has been assigned to again meanwhile.
            let in_place = matches!(entry.keep, Keep::InPlace(_));
            if let Some(var) = &node.var
                && (in_place || var.latest.load(Relaxed) == node.id)
            {
                let mut storage = var.storage();
                if in_place && let Some(old) = storage.node.upgrade() {
                    old.state().storage = Storage::Overwritten;
                }
                storage.buffer = Some(buffer.clone());
                storage.node = Arc::downgrade(node);
            }
            node.realise(buffer);
        }
        // Views that share their base's memory: they let go of what it was computed from.
        for (i, entry) in self.order.iter().enumerate() {
            if matches!(entry.tensor.0.op, Op::Reshape)
                && entry.leaf.is_none()
                && entry.keep == Keep::No
                && self.shares(i)
            {
                let n = entry.inputs[0] as usize;
                let buffer = match &self.order[n].tensor.0.state().storage {
                    Storage::Ready(buffer) => Some(buffer.clone()),
                    _ => None,
                };
                if let Some(buffer) = buffer {
                    // Found through its inputs until now.
                    let _ = entry.tensor.bounds().map(|bounds| entry.tensor.0.bounds.set(bounds));
                    entry.tensor.0.realise(buffer);
                }
            }
        }
        if self.all {
            let mut graph = self.device.graph();
            let views = self.live.values().filter(|v| v.0.op.is_view() && !v.0.is_ready() && !settled(v));
            let views = views.map(|v| Arc::downgrade(&v.0)).collect();
            // Recorded meanwhile by other threads: still pending, and not part of this flush.
            let old = std::mem::take(&mut graph.pending);
            graph.pending = views;
            let epoch = self.epoch & 0xffff_ffff;
            graph.pending.extend(old.into_iter().filter(|w| {
                w.upgrade().map(Tensor).is_some_and(|t| {
                    t.0.mark.load(Relaxed) >> 32 != epoch && !t.0.is_ready() && t.handles(1) > 0 && !settled(&t)
                })
            }));
        }
    }
}

/// Whether a tensor is a view of a value that is here and stays as it is: no flush need think of it.
fn settled(tensor: &Tensor) -> bool {
    let mut tensor = tensor.clone();
    while tensor.0.op.is_view() {
        let below = match tensor.0.state().inputs.first() {
            Some(below) => below.clone(),
            None => return false,
        };
        if below.0.is_ready() {
            return below.0.var.is_none();
        }
        tensor = below;
    }
    false
}

impl Entry {
    fn plan_node(&self) -> PlanNode {
        let node = &*self.tensor.0;
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

/// The leaf that is this very memory.
fn storage_leaf(leaves: &[Buffer], buffer: &Buffer) -> Option<u32> {
    leaves.iter().position(|l| l.same(buffer)).map(|i| i as u32)
}

#[track_caller]
fn overwritten(tensor: &Tensor) -> Error {
    Error::parts(
        Kind::Overwritten,
        "A value was needed again after its variable had been assigned to",
        &format!(
            "the old value of a variable of shape {}, read at {}:{}",
            tensor.shape(),
            tensor.0.at.file(),
            tensor.0.at.line()
        ),
        "reads and gradients of the old value before the assignment",
        "Call `backward` (once) before the optimizer's step, or hold the value with `detach` and read it first",
    )
}
