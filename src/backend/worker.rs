//! A thread for what is done after the call that asked for it, and awaited as a future.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Does jobs one after the other, in the order in which they came, on a thread that is there while there are any.
#[derive(Default)]
pub(crate) struct Worker {
    queue: Mutex<Queue>,
    idle: Condvar,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether the thread is there to take them.
    running: bool,
}

impl Worker {
    /// Adds a job. It must not panic, and not wait for other jobs.
    pub(crate) fn push(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let start = {
            let mut queue = self.lock();
            queue.jobs.push_back(Box::new(job));
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let own = Arc::clone(self);
            let thread = std::thread::Builder::new().name("wgtensor worker".into());
            if thread.spawn(move || own.work()).is_err() {
                // A system without another thread: then here.
                self.work();
            }
        }
    }

    /// Whether all jobs are done.
    #[cfg(feature = "cpu")]
    pub(crate) fn is_idle(&self) -> bool {
        !self.lock().running
    }

    /// Blocks until all jobs are done.
    #[cfg(feature = "cpu")]
    pub(crate) fn drain(&self) {
        let mut queue = self.lock();
        while queue.running {
            queue = self.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let Some(job) = queue.jobs.pop_front() else {
                queue.running = false;
                self.idle.notify_all();
                return;
            };
            drop(queue);
            job();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_in_order_and_the_thread_goes() {
        let (worker, done) = (Arc::new(Worker::default()), Arc::new(Mutex::new(Vec::new())));
        for round in 0..3 {
            for i in 0..100 {
                let done = done.clone();
                worker.push(move || done.lock().unwrap().push(i));
            }
            worker.drain();
            assert!(worker.is_idle());
            assert_eq!(std::mem::take(&mut *done.lock().unwrap()), (0..100).collect::<Vec<_>>(), "round {round}");
        }
        // The thread kept the worker alive, and is gone.
        while Arc::strong_count(&worker) > 1 {
            std::thread::yield_now();
        }
    }
}
