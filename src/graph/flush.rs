//! Realising nodes: the unrealised cone below what is asked for is looked up by its structure and replayed, or planned.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::cache::Cached;
use super::capture;
use super::cone::{Cone, Entry, settled};
use super::device::Device;
use super::node::{Storage, Tensor};
use crate::backend::{Buffer, PlanCheck, count};
use crate::diagram::Diagram;
use crate::error::{Error, Result, entry, entry_async};
use crate::ir::op::{Keep, Op, PlanNode};
use crate::plan::{Limits, plan};
use crate::sys::{block_on, deferring, may_block, yielded};

/// Realises one tensor and gives its buffer to `f`, before another thread's flush can overwrite it.
#[track_caller]
pub(crate) fn realise<T>(tensor: &Tensor, f: impl FnOnce(&Buffer) -> T) -> Result<T> {
    entry(|| {
        let device = tensor.device();
        capture::refuse(device.id(), "reads a value")?;
        let _flushing = begin(device)?;
        if !tensor.0.is_ready() {
            let _span = device.span("flush");
            let mut cone = Cone::new(device);
            cone.visit(&tensor.0, true)?;
            if cone.assigns() {
                // Assigning overwrites what other pending work may still want to read: that goes along.
                cone.visit_pending()?;
            }
            run(&mut cone)?;
        }
        match &tensor.0.state().storage {
            Storage::Ready(buffer) => Ok(f(buffer)),
            _ => Err(Error::internal("a flush did not realise what it was asked for")),
        }
    })
}

impl Device {
    /// Submits everything that is pending and can still be asked for. Does not wait. Within a [captured](crate::Captured)
    /// step it does nothing: that is submitted as a whole.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::uniform([1000], 0.0, 1.0, 1, &device)?;
    /// let y = x.exp()?.sum(())?;
    /// device.flush()?; // at work, while this thread goes on
    /// assert!(y.item::<f32>()? > 1000.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory, a lost device.
    #[track_caller]
    pub fn flush(&self) -> Result<()> {
        entry(|| {
            if capture::records(self.id()) {
                return Ok(());
            }
            let _flushing = begin(self)?;
            flush_pending(self)
        })
    }

    /// Submits work by `submit` within a future. Whoever polls it has the thread back in between, and on the CPU engine
    /// does not compute; in a blocking call it is `submit`.
    pub(crate) async fn submit_async(&self, submit: impl FnOnce() -> Result<()>) -> Result<()> {
        if may_block() {
            return submit();
        }
        if self.is_gpu() {
            submit()?;
            yielded().await;
            return Ok(());
        }
        let done = deferring(|| submit().map(|()| self.backend().sync()))?;
        done.await
    }

    /// Submits everything pending and waits until the device is done.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y = Tensor::uniform([1000], 0.0, 1.0, 1, &device)?.exp()?;
    /// let start = std::time::Instant::now();
    /// device.sync()?; // submits and waits
    /// println!("{:?}", start.elapsed());
    /// # drop(y);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory, a lost device.
    #[track_caller]
    pub fn sync(&self) -> Result<()> {
        entry(|| block_on(async { self.sync_async().await }))
    }

    /// Submits everything pending; the returned future resolves when the device is done with it. Planning, and on a
    /// GPU compiling new kernels, happen in this call; the future never blocks who polls it.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y = Tensor::uniform([1000], 0.0, 1.0, 1, &device)?.exp()?;
    /// let done = device.sync_async(); // submitted
    /// pollster::block_on(done)?;
    /// # drop(y);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory, a lost device.
    #[track_caller]
    pub fn sync_async(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        entry_async(entry(|| {
            capture::refuse(self.id(), "waits for the device")?;
            let done = deferring(|| {
                self.flush()?;
                Ok(self.backend().sync())
            })?;
            let device = self.clone();
            Ok(async move {
                let _span = device.span("wait");
                done.await
            })
        }))
    }

    /// Forgets nodes that nobody needs any more, and flushes if there are very many others.
    pub(crate) fn relieve(&self) {
        let full = self.graph().tidy();
        // A step is submitted as a whole.
        if full && !capture::records(self.id()) {
            if let Err(error) = self.flush() {
                self.graph().failed.get_or_insert(error);
            }
            self.graph().tidy();
        }
    }

    /// The plan that ran last, as text: each step with its kind, extents, fused operations, buffers and the caller's
    /// source line. `None` before the first.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::open_with("cpu", &Default::default())?; // its own, on which no other example runs
    /// Tensor::uniform([1000], 0.0, 1.0, 1, &device)?.exp()?.sum(())?.item::<f32>()?;
    /// println!("{}", device.last_plan().unwrap());
    /// assert!(device.last_plan().unwrap().starts_with("plan: 1 steps"));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn last_plan(&self) -> Option<String> {
        self.graph().plans.last().map(|cached| cached.plan.to_string())
    }

    /// The plan that ran last, as a picture: each step with its extents, the operations fused into it, the memory that it
    /// reads and writes and the caller's source line; arrows are values that live within the run. `None` before the first.
    pub fn last_plan_diagram(&self) -> Option<Diagram> {
        // (Nobody waits while it is drawn.)
        let plan = self.graph().plans.last().map(|cached| cached.plan.clone());
        plan.map(|plan| plan.diagram())
    }

    /// The kernels of the plan that ran last: WGSL on a GPU, programs on the CPU engine.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::open_with("cpu", &Default::default())?; // its own, on which no other example runs
    /// Tensor::uniform([1000], 0.0, 1.0, 1, &device)?.exp()?.realize()?;
    /// assert_eq!(device.last_kernels().len(), 1); // its text
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn last_kernels(&self) -> Vec<String> {
        let last = self.graph().plans.last();
        last.map_or_else(Vec::new, |cached| cached.sources())
    }
}

/// One flush at a time; none on a device that is lost or has failed since.
pub(super) fn begin(device: &Device) -> Result<MutexGuard<'_, ()>> {
    let flushing = device.0.flushing.lock().unwrap_or_else(PoisonError::into_inner);
    match device.backend().lost().or_else(|| device.graph().failed.take()) {
        Some(error) => Err(error),
        None => Ok(flushing),
    }
}

/// Flushes everything pending, within a flush that has begun.
pub(super) fn flush_pending(device: &Device) -> Result<()> {
    let _span = device.span("flush");
    let mut cone = Cone::new(device);
    cone.visit_pending()?;
    run(&mut cone).map(drop)
}

/// Decides what is kept, finds or makes the plan, and submits it: the plan, unless there was nothing to do.
pub(super) fn run(cone: &mut Cone<'_>) -> Result<Option<Arc<Cached>>> {
    cone.visit_results();
    cone.decide();
    if cone.order.iter().all(|e| e.leaf.is_some() || e.keep == Keep::No) {
        finish(cone, Vec::new());
        return Ok(None);
    }
    // Nothing has run yet.
    let (cached, outputs) = or_trim(cone.device, || prepare(cone))?;
    let mut params = Vec::new();
    for entry in cone.order.iter().filter(|e| e.leaf.is_none()) {
        entry.node.op.push_params(&mut params);
    }
    cone.device.spanned("run", || cached.executable.run(&cone.leaves, &outputs, &params))?;
    finish(cone, outputs);
    Ok(Some(cached))
}

/// Out of memory: other plans' memory goes, and there is one more try.
pub(super) fn or_trim<T>(device: &Device, take: impl Fn() -> Result<T>) -> Result<T> {
    match take() {
        Err(error) if error.is_out_of_memory() => {
            device.trim();
            take()
        }
        taken => taken,
    }
}

/// The plan, found or made, and memory for what it gives.
fn prepare(cone: &Cone<'_>) -> Result<(Arc<Cached>, Vec<Buffer>)> {
    let device = cone.device;
    let backend = device.backend();
    let key = cone.signature();
    let hit = device.graph().plans.get(&key);
    let cached = match hit {
        Some(cached) => {
            count(&backend.counters().plan_hits, 1);
            cached
        }
        None => {
            count(&backend.counters().plan_misses, 1);
            let nodes: Vec<PlanNode> = cone.order.iter().map(Entry::plan_node).collect();
            let limits = device.0.limits;
            let plan = Arc::new(device.spanned("plan", || plan(&nodes, limits))?);
            log::debug!(target: "wgtensor::plan", "{}\n{plan}", device.info().id);
            if let Some(check) = &device.0.check {
                count(&backend.counters().shaders_checked, check_plans(&**check, &nodes, limits)?);
            }
            let executable = Arc::from(device.spanned("compile", || backend.prepare(plan.clone()))?);
            device.graph().plans.insert(key.into_boxed_slice(), plan, executable)
        }
    };
    let outputs = cone.order.iter().filter(|e| e.leaf.is_none() && e.keep == Keep::Output);
    let outputs = outputs.map(|e| backend.alloc(e.node.dtype.bytes(e.node.shape.numel())));
    let outputs = outputs.collect::<Result<_>>()?;
    Ok((cached, outputs))
}

/// Plans for the devices that are not here, and checks what they would run; how much of it was new.
fn check_plans(check: &dyn PlanCheck, nodes: &[PlanNode], limits: Limits) -> Result<u64> {
    if !nodes.iter().all(|n| check.takes(n.dtype)) {
        return Ok(0);
    }
    let kinds = check.max_buffers().into_iter().enumerate();
    let limits = |max_buffers| Limits { max_buffers, half_products: true, turned_weights: false, ..limits };
    kinds.map(|(kind, max_buffers)| check.check(kind, &plan(nodes, limits(max_buffers))?)).sum()
}

/// Records the results of a submitted run.
fn finish(cone: &Cone<'_>, outputs: Vec<Buffer>) {
    let mut outputs = outputs.into_iter();
    for entry in cone.order.iter().filter(|e| e.leaf.is_none()) {
        match entry.keep {
            Keep::No => {}
            Keep::Output => outputs.next().into_iter().for_each(|buffer| store(cone, entry, buffer)),
            Keep::InPlace(leaf) => store(cone, entry, cone.leaves[leaf as usize].clone()),
        }
    }
    // Views that share their base's memory: they let go of what it was computed from.
    for (i, Entry { node, inputs, leaf, keep, .. }) in cone.order.iter().enumerate() {
        if matches!(node.op, Op::Reshape) && leaf.is_none() && *keep == Keep::No && cone.shares(i) {
            let below = &cone.order[inputs[0] as usize].node;
            let buffer = match &below.state().storage {
                Storage::Ready(buffer) => Some(buffer.clone()),
                _ => None,
            };
            if let Some(buffer) = buffer {
                // Found through its inputs until now.
                let _ = Tensor::of(node).bounds().map(|bounds| node.bounds.set(bounds));
                node.realise(buffer);
            }
        }
    }
    if cone.all {
        let mut graph = cone.device.graph();
        let views = cone.live.values().filter(|n| n.op.is_view() && !n.is_ready() && !settled(n));
        let views = views.map(Arc::downgrade).collect();
        // Recorded meanwhile by other threads: still pending, and not part of this flush.
        let old = std::mem::replace(&mut graph.pending, views);
        graph.pending.extend(old.into_iter().filter(|n| n.upgrade().is_some_and(|n| cone.is_left(&n))));
    }
}

/// Puts a value where its node, its variable and the gradients of several results look for it.
fn store(cone: &Cone<'_>, entry: &Entry, buffer: Buffer) {
    let node = &entry.node;
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
    if let Op::Part(i) = node.op {
        let whole = &cone.order[entry.inputs[0] as usize].node;
        if whole.is_on_tape() {
            whole.keep(usize::from(i), buffer.clone());
        }
    }
    node.realise(buffer);
}
