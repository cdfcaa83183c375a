//! Waiting without stalling who waits. Natively `wgpu` delivers finished work to whoever polls the device: while futures
//! are pending a thread does. In a browser the event loop delivers.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;

use super::device::{Core, Polled};
use crate::error::{Error, Result};
use crate::sys;

/// The shortest and the longest pause between two looks at the device.
const PAUSES: [Duration; 2] = [Duration::from_micros(10), Duration::from_millis(1)];

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
        let mut then = then.boxed();
        // It looks again and again. To wait in `wgpu` would hold a lock that destroying a buffer needs; to wait there for
        // a limited time makes it panic when another thread finds the queue empty just after the time is up.
        self.poller.push(move || {
            let [mut pause, longest] = PAUSES;
            let answer = loop {
                let alive = core.poll(wgpu::PollType::Poll) == Polled::Done;
                // Of a future that was dropped nothing is wanted any more.
                if sender.is_canceled() {
                    return;
                }
                match core.check().map(|()| (&mut then).now_or_never()) {
                    Ok(None) if alive => std::thread::sleep(pause),
                    Ok(None) => break Err(Error::internal("the device neither answers nor is lost")),
                    Ok(Some(answer)) => break answer,
                    Err(lost) => break Err(lost),
                }
                pause = (2 * pause).min(longest);
            };
            let _ = sender.send(answer);
        });
        match result.await {
            Ok(result) => result,
            Err(_) => Err(Error::internal("the thread that polls the device is gone")),
        }
    }
}
