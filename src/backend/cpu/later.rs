//! What asynchronous methods ask of the engine: done in order on a thread of its own, while the caller goes on. Whoever
//! calls a blocking method afterwards waits until that is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, ready};

use super::threads::Pool;
use crate::backend::worker::Worker;
use crate::error::{Error, Result};
use crate::sys;

/// Work that is still to be done.
pub(super) struct Later {
    worker: Arc<Worker>,
    pool: Arc<Pool>,
    /// What went wrong and could not be told yet: whoever waits next is told.
    failed: Arc<Mutex<Option<Error>>>,
}

fn take(failed: &Mutex<Option<Error>>) -> Result<()> {
    failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

impl Later {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Later { worker: Arc::default(), pool: Arc::clone(pool), failed: Arc::default() }
    }

    /// Whether all of it is done.
    pub(super) fn is_idle(&self) -> bool {
        self.worker.is_idle()
    }

    /// Blocks until all of it is done.
    pub(super) fn drain(&self) {
        self.worker.drain();
    }

    /// Adds the run of a plan, on all of the engine's threads if it `forks`.
    pub(super) fn push(&self, forks: bool, run: impl FnOnce() -> Result<()> + Send + 'static) {
        let (pool, failed) = (Arc::clone(&self.pool), Arc::clone(&self.failed));
        self.worker.push(move || {
            let run = AssertUnwindSafe(|| if forks { pool.run(run) } else { run() });
            let result =
                catch_unwind(run).unwrap_or_else(|_| Err(Error::internal("a kernel of the CPU engine panicked")));
            if let Err(error) = result {
                log::error!("{error}");
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
    }

    /// What `then` gives after all work so far: at once and in place, if nothing is left of that, or the caller is to
    /// wait anyway, or else on the thread. So does `then` itself if it is `long`.
    pub(super) fn after(
        &self,
        long: bool,
        then: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> BoxFuture<'static, Result<()>> {
        if !sys::may_defer() || !long && self.is_idle() {
            self.drain();
            return ready(take(&self.failed).and_then(|()| then())).boxed();
        }
        let (sender, result) = oneshot::channel();
        let failed = Arc::clone(&self.failed);
        self.worker.push(move || {
            // Of a future that was dropped nothing is wanted any more.
            if !sender.is_canceled() {
                let then = AssertUnwindSafe(|| take(&failed).and_then(|()| then()));
                let panicked = |_| Err(Error::internal("a read-back of the CPU engine panicked"));
                let _ = sender.send(catch_unwind(then).unwrap_or_else(panicked));
            }
        });
        let gone = |_| Err(Error::internal("the thread of the CPU engine is gone"));
        result.map(move |result| result.unwrap_or_else(gone)).boxed()
    }
}
