//! One device: the wgpu handles, what the adapter allows, and whether it is still well.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::cache::Cache;
use super::dispatch::{Caps, Matrices};
use super::info::describe;
use super::trusted;
use crate::backend::profile::Spans;
use crate::backend::worker::Worker;
use crate::backend::{Counters, DeviceInfo, DeviceOptions, Kernels, count};
use crate::error::{Error, Kind, Result};

/// What every part of the engine on one device shares.
pub(super) struct Core {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) limits: wgpu::Limits,
    pub(super) caps: Caps,
    pub(super) counters: Counters,
    pub(super) spans: Arc<Spans>,
    pub(super) health: Arc<Health>,
    /// Where compiled pipelines are kept for the next process.
    pub(super) cache: Option<Cache>,
    /// Whether the device is a host program's.
    pub(super) guest: bool,
    /// What is waited for without blocking.
    pub(super) poller: Arc<Worker>,
    /// Error scopes whose answers are still to come: natively none, in a browser those of the calls so far.
    answers: Mutex<Vec<ScopeAnswer>>,
    /// What has been submitted of late, so that the host does not run ahead without bound.
    ahead: Mutex<VecDeque<wgpu::SubmissionIndex>>,
}

/// What an error scope will say.
type ScopeAnswer = BoxFuture<'static, Option<wgpu::Error>>;

/// What came of looking for finished work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// What was waited for has happened.
    Done,
    /// It never will.
    Failed,
}

/// How many submissions the host may be ahead of the device.
const AHEAD: usize = 64;

impl Core {
    /// `guest` says that the device is a host program's, whose handlers are left alone.
    pub(super) fn new(
        id: String,
        device: wgpu::Device,
        queue: wgpu::Queue,
        cooperative: Option<Matrices>,
        guest: bool,
        options: &DeviceOptions,
    ) -> Result<Self> {
        let (features, limits) = (device.features(), device.limits());
        let mut info = describe(id, &device.adapter_info(), features, &limits);
        info.kernels = options.kernels.on(info.kind)?;
        let caps = Caps {
            group: None,
            software: info.kernels == Kernels::Software,
            unroll: info.kind != crate::backend::DeviceKind::Software,
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            max_workgroup_size: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            // The uniform block counts among all buffers (on Metal that is the tighter bound), and nothing gains from
            // kernels wider than this.
            max_storage_bindings: limits
                .max_storage_buffers_per_shader_stage
                .min(limits.max_buffers_and_acceleration_structures_per_shader_stage.saturating_sub(1))
                .min(32),
            cooperative,
        };
        let mut core = Core {
            info,
            device,
            queue,
            limits,
            caps,
            counters: Counters::default(),
            spans: Arc::default(),
            health: Arc::default(),
            cache: None,
            guest,
            poller: Arc::default(),
            answers: Mutex::default(),
            ahead: Mutex::default(),
        };
        if !guest {
            core.watch();
        }
        let create = |data: Option<&[u8]>| {
            let (made, error) = core.scoped(|| trusted::cache(&core.device, data));
            error.map_or(Ok(made), Err)
        };
        core.cache = Cache::open(&core.device, &options.cache, guest, create);
        Ok(core)
    }

    /// Records loss and uncaptured errors of a device of the crate's own.
    fn watch(&self) {
        let health = Arc::clone(&self.health);
        self.device.set_device_lost_callback(move |reason, message| {
            health.lose(format!("{reason:?} {message}").trim().to_string());
        });
        let health = Arc::clone(&self.health);
        self.device.on_uncaptured_error(Arc::new(move |error| health.fault(translate(&error))));
    }

    /// Fails if the device is lost, or if something failed since the last call that could not be reported then.
    pub(super) fn check(&self) -> Result<()> {
        self.look();
        if !self.health.troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        // A device that is going away may report odd validation errors before the loss itself.
        self.poll(wgpu::PollType::Poll);
        self.health.check(&self.info)
    }

    /// The error of the device's loss, if it is lost.
    pub(super) fn lost(&self) -> Option<Error> {
        self.look();
        self.health.lost(&self.info)
    }

    /// Notes the loss of a host's device, of which no callback tells.
    fn look(&self) {
        if self.guest && !self.health.is_lost() && !self.answers() {
            self.health.lose("the host program destroyed it, or its driver gave up".into());
        }
    }

    /// Whether the device still finds fault with a buffer of no use. A lost device accepts everything in silence, as
    /// WebGPU demands. (In a browser the answer comes too late to be of use here; there a failing read-back tells.)
    fn answers(&self) -> bool {
        let nothing = wgpu::BufferUsages::empty();
        let useless = wgpu::BufferDescriptor { label: None, size: 4, usage: nothing, mapped_at_creation: false };
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        drop(self.device.create_buffer(&useless));
        !matches!(scope.pop().now_or_never(), Some(None))
    }

    /// Blocks until `submission` has run. In a browser, where nothing may block, the event loop does the waiting.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if !cfg!(target_arch = "wasm32")
            && self.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None }) != Polled::Done
        {
            // A submission that a dying device refused cannot be waited for; one more look delivers the loss.
            self.poll(wgpu::PollType::Poll);
        }
        self.check()
    }

    /// Lets wgpu look after finished work. wgpu panics here when the driver
    /// reports the device lost, after it has told the callback: that panic is the loss, not a bug.
    pub(super) fn poll(&self, how: wgpu::PollType) -> Polled {
        if self.health.is_lost() {
            return Polled::Failed;
        }
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(how))) {
            Ok(Ok(_)) => Polled::Done,
            Ok(Err(_)) => Polled::Failed,
            Err(_) => {
                self.health.lose("the driver failed while it was waited for".into());
                Polled::Failed
            }
        }
    }

    /// Runs `work` (on this thread) and returns the first error that wgpu reports of it. In a browser the answer comes
    /// later, and goes to whoever waits for the device next.
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Validation, Internal].map(|filter| self.device.push_error_scope(filter));
        let out = work();
        // Innermost first, as scopes nest.
        let mut first = None;
        for scope in scopes.into_iter().rev() {
            let mut answer = scope.pop().boxed();
            match (&mut answer).now_or_never() {
                Some(error) => first = first.or(error),
                None => lock(&self.answers).push(answer),
            }
        }
        (out, first)
    }

    /// Waits for the answers of all error scopes so far.
    pub(super) async fn settle(&self) -> Result<()> {
        let answers = std::mem::take(&mut *lock(&self.answers));
        for error in futures::future::join_all(answers).await.into_iter().flatten() {
            self.health.fault(translate(&error));
        }
        self.check()
    }

    /// As `scoped`, the error as the crate's: the loss of the device where that is behind it.
    pub(super) fn attempt<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let (out, error) = self.scoped(work);
        match error {
            None => Ok(out),
            Some(error) => {
                self.check()?;
                Err(translate(&error))
            }
        }
    }

    /// A buffer from the system, or `None` when it has no room. Those for staging are mapped.
    pub(super) fn create_buffer(&self, size: u64, usage: wgpu::BufferUsages) -> Result<Option<wgpu::Buffer>> {
        let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation };
        let (buffer, error) = self.scoped(|| self.device.create_buffer(&descriptor));
        match error {
            None => {
                count(&self.counters.allocations, 1);
                Ok(Some(buffer))
            }
            Some(wgpu::Error::OutOfMemory { .. }) => Ok(None),
            Some(e) => {
                self.check()?;
                Err(translate(&e))
            }
        }
    }

    /// Puts `bytes`, not many, at the start of `buffer`, in queue order. wgpu holds them in staging memory until the next
    /// submission.
    pub(super) fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
        let (body, tail) = bytes.split_at(bytes.len() & !3);
        self.attempt(|| {
            self.queue.write_buffer(buffer, 0, body);
            if !tail.is_empty() {
                let mut word = [0; 4];
                word[..tail.len()].copy_from_slice(tail);
                self.queue.write_buffer(buffer, body.len() as u64, &word);
            }
        })
    }

    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        count(&self.counters.submits, 1);
        let submission = self.queue.submit([commands]);
        let oldest = {
            let mut ahead = lock(&self.ahead);
            ahead.push_back(submission.clone());
            if ahead.len() > AHEAD { ahead.pop_front() } else { None }
        };
        if oldest.is_some() && !cfg!(target_arch = "wasm32") {
            self.poll(wgpu::PollType::Wait { submission_index: oldest, timeout: None });
        }
        // The device has work now, and the host has time.
        if let Some(cache) = &self.cache {
            cache.save_if_due();
        }
        submission
    }

    /// The error for memory of another device.
    pub(super) fn foreign(&self) -> Error {
        Error::new(Kind::Device, format!("A buffer of another device was handed to {}.", self.info.id))
    }
}

/// What has gone wrong with a device, noted where it happened and told at the next call.
#[derive(Default)]
pub(super) struct Health {
    /// Whether `trouble` holds anything: the one thing a healthy call looks at.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    lost: Option<String>,
    fault: Option<Error>,
}

impl Health {
    /// Notes the loss of the device; the first reason stays.
    pub(super) fn lose(&self, reason: String) {
        log::error!("GPU device lost: {reason}");
        lock(&self.trouble).lost.get_or_insert(reason);
        self.troubled.store(true, Ordering::Release);
    }

    /// Notes an error that no call can report; the first one stays until it is told.
    fn fault(&self, error: Error) {
        log::error!("GPU: {error}");
        lock(&self.trouble).fault.get_or_insert(error);
        self.troubled.store(true, Ordering::Release);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && lock(&self.trouble).lost.is_some()
    }

    fn lost(&self, info: &DeviceInfo) -> Option<Error> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        let trouble = lock(&self.trouble);
        let reason = trouble.lost.as_ref()?;
        Some(Error::parts(
            Kind::DeviceLost,
            &format!("The device {} ({}) is lost", info.id, info.name),
            &format!("the driver's reason \"{reason}\""),
            "a device that answers",
            "Open a new device with `Device::open` and upload the tensors again",
        ))
    }

    fn check(&self, info: &DeviceInfo) -> Result<()> {
        if let Some(error) = self.lost(info) {
            return Err(error);
        }
        let mut trouble = lock(&self.trouble);
        self.troubled.store(trouble.lost.is_some(), Ordering::Release);
        trouble.fault.take().map_or(Ok(()), Err)
    }
}

/// A wgpu error as the crate's.
pub(super) fn translate(error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::new(
            Kind::OutOfMemory,
            format!(
                "The GPU driver is out of memory ({source}). Use smaller batches, or drop tensors that are no longer needed."
            ),
        ),
        e => Error::internal(format!("wgpu: {e}")),
    }
}

/// Locks are held for a few plain steps only, so that a panic elsewhere never leaves their content half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
