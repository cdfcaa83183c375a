//! Waiting without stalling who waits. Natively `wgpu` delivers finished work to whoever polls the device: while futures
//! are pending a thread does. In a browser the event loop delivers.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;

use super::device::{Core, Polled};
use crate::error::{Error, Result};
use crate::sys;

/// How long the thread waits at a time. While it does, `wgpu` keeps a lock that destroying a buffer needs.
const SLICE: Duration = Duration::from_millis(5);

impl Core {
    /// What `then` gives once `submission` has run; it finds the device's answers there. It runs on the thread that
    /// polls, so that large results are copied there. Where the caller may block, all of it happens in place.
    pub(super) async fn after<T: Send + 'static>(
        self: Arc<Self>,
        submission: wgpu::SubmissionIndex,
        then: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if cfg!(target_arch = "wasm32") {
            self.settle().await?;
            return then.await;
        }
        if sys::may_block() {
            self.wait(Some(submission))?;
            return then.await;
        }
        let (sender, result) = oneshot::channel();
        let core = Arc::clone(&self);
        self.poller.push(move || {
            let wait = || wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(SLICE) };
            while core.poll(wait()) == Polled::NotYet {}
            // One more look delivers the loss of a device that refused the submission.
            core.poll(wgpu::PollType::Poll);
            // Of a future that was dropped nothing is wanted any more.
            if !sender.is_canceled() {
                let _ = sender.send(core.check().and_then(|()| pollster::block_on(then)));
            }
        });
        match result.await {
            Ok(result) => result,
            Err(_) => Err(Error::internal("the thread that polls the device is gone")),
        }
    }
}
