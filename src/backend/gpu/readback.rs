//! Device to host: copies through pooled staging buffers, ordered by the call and finished by a future.

use std::sync::{Arc, Mutex};

use futures::channel::oneshot;

use super::device::{Core, lock};
use super::memory::{Pool, round_up};
use crate::backend::{Take, count};
use crate::error::{Error, Result};

/// The most bytes of unused staging memory kept.
const KEPT: u64 = 64 << 20;

/// Host-visible buffers that results are copied to.
pub(super) struct Staging {
    core: Arc<Core>,
    pool: Arc<Pool>,
    free: Mutex<Vec<wgpu::Buffer>>,
}

/// A copy that has been submitted.
pub(super) struct Pending {
    staging: Arc<Staging>,
    buffer: Option<wgpu::Buffer>,
    bytes: usize,
    submission: Option<wgpu::SubmissionIndex>,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Staging {
    pub(super) fn new(core: Arc<Core>, pool: Arc<Pool>) -> Self {
        Staging { core, pool, free: Mutex::default() }
    }

    /// Submits the copy of the first `bytes` bytes of `source`.
    pub(super) fn copy(self: &Arc<Self>, source: &wgpu::Buffer, bytes: u64) -> Result<Pending> {
        self.core.check()?;
        let (sender, mapped) = oneshot::channel();
        if bytes == 0 {
            let _ = sender.send(Ok(()));
            return Ok(Pending { staging: Arc::clone(self), buffer: None, bytes: 0, submission: None, mapped });
        }
        if bytes > source.size() {
            return Err(Error::internal(format!("{bytes} bytes asked of a buffer of {}", source.size())));
        }
        let padded = bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
        let buffer = self.take(padded)?;
        let core = &self.core;
        count(&core.counters.readbacks, 1);
        let submission = core.attempt(|| {
            let mut encoder = core.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(source, 0, &buffer, 0, padded);
            core.submit(encoder.finish())
        })?;
        buffer.map_async(wgpu::MapMode::Read, 0..padded, move |done| {
            // A reader that is gone does not want it.
            let _ = sender.send(done);
        });
        let (staging, bytes) = (Arc::clone(self), bytes as usize);
        Ok(Pending { staging, buffer: Some(buffer), bytes, submission: Some(submission), mapped })
    }

    pub(super) fn trim(&self) {
        lock(&self.free).clear();
    }

    fn take(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = round_up(bytes);
        let mut free = lock(&self.free);
        if let Some(at) = free.iter().position(|b| b.size() == size) {
            return Ok(free.swap_remove(at));
        }
        drop(free);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.pool.insist(bytes, size, || self.core.create_buffer(size, usage))
    }

    fn give_back(&self, buffer: wgpu::Buffer) {
        let mut free = lock(&self.free);
        if free.iter().map(wgpu::Buffer::size).sum::<u64>() + buffer.size() <= KEPT {
            free.push(buffer);
        }
    }
}

impl Pending {
    /// Gives the bytes to `take` once the copy is done. Dropping this future instead drops the staging buffer, which
    /// wgpu then unmaps.
    pub(super) async fn finish(self, take: Take) -> Result<()> {
        let core = Arc::clone(&self.staging.core);
        match self.submission.clone() {
            Some(submission) => core.after(submission, self.collect(take)).await,
            None => {
                take(&[]);
                Ok(())
            }
        }
    }

    async fn collect(self, take: Take) -> Result<()> {
        let Pending { staging, buffer, bytes, mapped, .. } = self;
        let Some(buffer) = buffer else { return Ok(()) };
        let core = &staging.core;
        if !matches!(mapped.await, Ok(Ok(()))) {
            // Nothing but the loss of the device makes the mapping of a live buffer fail.
            core.check()?;
            core.health.lose("a read-back failed".into());
            core.check()?;
        }
        match buffer.get_mapped_range(..(bytes as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT)) {
            Ok(view) => take(&view[..bytes]),
            Err(e) => return Err(Error::internal(format!("read-back: {e}"))),
        }
        buffer.unmap();
        staging.give_back(buffer);
        Ok(())
    }
}

/// Resolves when everything submitted before this call has run.
pub(super) fn sync(core: Arc<Core>) -> impl Future<Output = Result<()>> + Send + 'static {
    let (sender, done) = oneshot::channel();
    let submission = core.check().map(|()| {
        // An empty submission carries the writes that still wait for one.
        let submission = core.queue.submit([]);
        core.queue.on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        submission
    });
    let own = Arc::clone(&core);
    let answered = async move {
        // Without an answer the callback was dropped with the device.
        if done.await.is_err() {
            own.health.lose("the queue stopped answering".into());
        }
        own.check()
    };
    async move { core.after(submission?, answered).await }
}
