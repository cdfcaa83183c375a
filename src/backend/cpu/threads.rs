//! The engine's own threads. A plan with work to divide goes over to them as a whole and its caller sleeps until it is
//! done; any other plan runs where it was called. Nothing is ever computed or waited for on the threads of a pool that
//! the program itself uses: there a waiting thread takes up other tasks, which may wait for the very locks it holds.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock, mpsc};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

thread_local! {
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// How many threads the current one may divide its work among: 1 outside the engine's own.
pub(super) fn threads() -> usize {
    THREADS.get()
}

/// Picoseconds of estimated work below which waking other threads costs more than it gains.
const WORTH_FORKING: usize = 60_000_000;

/// Whether work of so many picoseconds is to be divided among threads.
pub(super) fn forks(picoseconds: usize) -> bool {
    threads() > 1 && picoseconds >= WORTH_FORKING
}

/// The part of `count` units to give to one task when a unit takes about `picoseconds`: all of them when the work is small.
pub(super) fn grain(count: usize, picoseconds: usize) -> usize {
    let total = count.saturating_mul(picoseconds);
    if !forks(total) {
        return count.max(1);
    }
    let tasks = (total / (WORTH_FORKING / 4)).min(4 * threads()).max(1);
    count.div_ceil(tasks).max(1)
}

/// Threads of the engine.
pub(super) struct Pool {
    /// Absent where there are no threads to be had; then everything runs where it is called.
    pool: Option<ThreadPool>,
}

impl Pool {
    /// `threads` threads, or with 0 as many as the machine (or `RAYON_NUM_THREADS`) says.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        let builder = || ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("wgtensor {i}"));
        let built = builder().start_handler(|_| THREADS.set(rayon::current_num_threads())).build();
        Arc::new(Pool { pool: built.ok().filter(|p| p.current_num_threads() > 1) })
    }

    /// The threads that all devices share.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Pool>> = OnceLock::new();
        SHARED.get_or_init(|| Pool::new(0)).clone()
    }

    pub(super) fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Whether work of so many picoseconds should come here.
    pub(super) fn wants(&self, picoseconds: usize) -> bool {
        self.pool.is_some() && picoseconds >= WORTH_FORKING
    }

    /// Runs `task` on the engine's threads and sleeps until it is done. Its panic becomes the caller's.
    pub(super) fn run<R: Send + 'static>(&self, task: impl FnOnce() -> R + Send + 'static) -> Result<R> {
        let Some(pool) = &self.pool else { return Ok(task()) };
        let (send, receive) = mpsc::sync_channel(1);
        pool.spawn(move || {
            // The caller waits for this, so somebody listens.
            let _ = send.send(catch_unwind(AssertUnwindSafe(task)));
        });
        match receive.recv() {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Error::internal("the engine's threads are gone")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_runs_on_the_pool_and_its_panic_is_the_callers() {
        let pool = Pool::new(3);
        assert_eq!((threads(), pool.run(threads).unwrap()), (1, 3));
        let caught = catch_unwind(AssertUnwindSafe(|| pool.run(|| panic!("inside")).unwrap()));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
        assert_eq!(Pool::new(1).run(threads).unwrap(), 1);
    }
}
