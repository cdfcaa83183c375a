//! The engine's own threads: a team that helps whoever runs a plan. The thread that runs it does a share of the work
//! itself, so that nothing is handed over and nobody sleeps meanwhile; helpers stay awake for a moment after their last
//! work, for a step's kernels follow each other at once. Work is dealt out item by item, and no thread ever takes up
//! anything else while it waits: neither locks nor the pools of the program itself can come in between.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use crate::error::Result;
use crate::sys::Instant;

thread_local! {
    /// The team that helps this thread.
    static TEAM: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

/// How many threads the current one may divide its work among: 1 outside [`Pool::run`].
pub(super) fn threads() -> usize {
    TEAM.with_borrow(|team| team.as_ref().map_or(1, |team| team.size))
}

/// Says how many threads the engine has.
const THREADS: &str = "WGTENSOR_THREADS";

/// Picoseconds of estimated work below which dividing it costs more than it gains. (Fewer in unit tests, so that they divide
/// small work too.)
const WORTH_FORKING: usize = if cfg!(test) { 200_000 } else { 8_000_000 };

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
    let tasks = (total / (WORTH_FORKING / 2)).min(4 * threads()).max(1);
    // As many for each thread, where they are that many.
    let tasks = if tasks > threads() { tasks / threads() * threads() } else { tasks };
    count.div_ceil(tasks).max(1)
}

/// Calls `f` with every item and its number, on all threads that help this one if it is to be `parallel`. Which thread gets
/// which item is not fixed.
pub(super) fn each<T: Send>(parallel: bool, items: impl Iterator<Item = T> + Send, f: impl Fn(usize, T) + Sync) {
    let most = items.size_hint().1.unwrap_or(usize::MAX);
    let team = TEAM.with_borrow(Option::clone).filter(|_| parallel && most > 1);
    let Some(team) = team else { return items.enumerate().for_each(|(i, item)| f(i, item)) };
    let left = Mutex::new(items.enumerate());
    team.run(most - 1, &|| {
        loop {
            let next = lock(&left).next();
            let Some((i, item)) = next else { break };
            f(i, item);
        }
    });
}

/// [`each`] of what may fail: with an error, the first one found, other items may be left out.
pub(super) fn try_each<T: Send>(
    parallel: bool,
    items: impl Iterator<Item = T> + Send,
    f: impl Fn(usize, T) -> Result<()> + Sync,
) -> Result<()> {
    let failed = OnceLock::new();
    each(parallel, items, |i, item| {
        if failed.get().is_none()
            && let Err(error) = f(i, item)
        {
            let _ = failed.set(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Locks what is whole whatever happened to the last holder.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of the engine.
pub(super) struct Pool {
    /// Absent where there are no threads to be had; then everything runs on the thread that asks for it alone.
    team: Option<Arc<Team>>,
}

impl Pool {
    /// `size` threads: helpers, and the thread that they help.
    pub(super) fn new(size: usize) -> Arc<Self> {
        if size < 2 {
            return Arc::new(Pool { team: None });
        }
        let team = Arc::new(Team::new(size));
        let helper = |i: usize| {
            let team = Arc::clone(&team);
            std::thread::Builder::new().name(format!("wgtensor {i}")).spawn(move || team.help()).is_ok()
        };
        // A system that gives some threads only gets along with these; one that gives none has no team.
        let helpers = (1..size).filter(|&i| helper(i)).count();
        Arc::new(Pool { team: (helpers > 0).then_some(team) })
    }

    /// The threads that all devices share which do not ask for some of their own: as many as `WGTENSOR_THREADS` says, or
    /// else as the machine has.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Pool>> = OnceLock::new();
        let asked = || std::env::var(THREADS).ok()?.trim().parse().ok().filter(|&n: &usize| n > 0);
        let available = crate::sys::threads;
        SHARED.get_or_init(|| Pool::new(asked().unwrap_or_else(available))).clone()
    }

    pub(super) fn threads(&self) -> usize {
        self.team.as_ref().map_or(1, |team| team.size)
    }

    /// Whether work of so many picoseconds should be done with help.
    pub(super) fn wants(&self, picoseconds: usize) -> bool {
        self.team.is_some() && picoseconds >= WORTH_FORKING
    }

    /// Runs `task` on this thread, and lets the others help it.
    pub(super) fn run<R>(&self, task: impl FnOnce() -> R) -> R {
        /// Puts back what was there, whatever happens.
        struct Reset(Option<Arc<Team>>);
        impl Drop for Reset {
            fn drop(&mut self) {
                TEAM.set(self.0.take());
            }
        }
        let _reset = Reset(TEAM.replace(self.team.clone()));
        task()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(team) = &self.team {
            team.quit.store(true, SeqCst);
            let _bed = lock(&team.bed);
            team.bell.notify_all();
        }
    }
}

/// How long a helper that found nothing to do waits awake.
const AWAKE: Duration = Duration::from_micros(200);

/// The bit of [`Team::state`] that says that there is work.
const OPEN: usize = 1 << (usize::BITS - 1);

struct Team {
    /// Helpers and the thread they help.
    size: usize,
    /// Held by the thread that is helped. Others do their work alone meanwhile.
    lead: Mutex<()>,
    /// What there is to do while `state` is [`OPEN`].
    work: AtomicPtr<Work<'static>>,
    /// How many helpers look at `work`, and whether that is there.
    state: AtomicUsize,
    /// A number for each piece of work, by which helpers know a new one.
    round: AtomicUsize,
    /// Helpers that sleep until the bell rings.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
    quit: AtomicBool,
}

/// Work for several threads.
struct Work<'a> {
    /// Called once by each of them.
    share: &'a (dyn Fn() + Sync),
    /// How many helpers are still wanted.
    wanted: AtomicIsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Team {
    fn new(size: usize) -> Team {
        Team {
            size,
            lead: Mutex::default(),
            work: AtomicPtr::default(),
            state: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            bed: Mutex::default(),
            bell: Condvar::new(),
            quit: AtomicBool::new(false),
        }
    }

    /// Calls `share` on this thread and on up to `helpers` that have time, and returns when all of these calls have. Where
    /// the team has other work, or this is a part of its work, this thread is alone.
    fn run(&self, helpers: usize, share: &(dyn Fn() + Sync)) {
        let _lead = match self.lead.try_lock() {
            Ok(lead) => lead,
            Err(TryLockError::Poisoned(lead)) => lead.into_inner(),
            Err(TryLockError::WouldBlock) => return share(),
        };
        let work =
            Work { share, wanted: AtomicIsize::new(helpers.min(self.size - 1) as isize), panic: Mutex::default() };
        self.work.store(std::ptr::from_ref(&work).cast_mut().cast(), Relaxed);
        self.state.fetch_or(OPEN, Release);
        self.round.fetch_add(1, SeqCst);
        self.wake();
        let mine = catch_unwind(AssertUnwindSafe(share));
        // Nobody comes in any more, and this waits for those who are.
        self.state.fetch_and(!OPEN, Relaxed);
        let mut turns = 0u32;
        while self.state.load(Acquire) != 0 {
            pause(&mut turns);
        }
        if let Some(panic) = mine.err().or(lock(&work.panic).take()) {
            resume_unwind(panic);
        }
    }

    /// Wakes one helper, if any sleeps; that one wakes the next.
    fn wake(&self) {
        if self.asleep.load(SeqCst) > 0 {
            let _bed = lock(&self.bed);
            self.bell.notify_one();
        }
    }

    /// What a helper does all its life.
    fn help(&self) {
        let mut seen = 0;
        while let Some(round) = self.next(seen) {
            seen = round;
            if self.state.fetch_add(1, Acquire) & OPEN != 0 {
                self.take_part();
            }
            self.state.fetch_sub(1, Release);
        }
    }

    /// Does a share of the work. Only for helpers that were counted while there was work.
    #[allow(unsafe_code, reason = "threads that live on cannot borrow what a call of `run` does")]
    fn take_part(&self) {
        // SAFETY: `run` stored a pointer to its `work` before it opened `state`, and this helper saw it open when it
        // counted itself there (acquire, after the release that opened it). `run` does not return, nor let `work` or what it
        // borrows end, and nobody else stores another pointer (`lead` is held), until it has closed `state` and then found
        // the count to be 0, which it is not before this helper has left, after this function.
        let work = unsafe { &*self.work.load(Relaxed) };
        match work.wanted.fetch_sub(1, Relaxed) {
            ..=0 => return,
            1 => {}
            _ => self.wake(),
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work.share)) {
            lock(&work.panic).get_or_insert(panic);
        }
    }

    /// The number of the next piece of work after that of number `seen`; `None` when there will be none.
    fn next(&self, seen: usize) -> Option<usize> {
        let (mut turns, mut begin) = (0u32, None);
        loop {
            let round = self.round.load(Acquire);
            if self.quit.load(Relaxed) {
                return None;
            }
            if round != seen {
                return Some(round);
            }
            pause(&mut turns);
            if turns.is_multiple_of(64) && begin.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                let mut bed = lock(&self.bed);
                self.asleep.fetch_add(1, SeqCst);
                while self.round.load(SeqCst) == seen && !self.quit.load(SeqCst) {
                    bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.fetch_sub(1, SeqCst);
            }
        }
    }
}

/// A turn of waiting awake; now and then others get the processor, in case there are more threads than that has.
fn pause(turns: &mut u32) {
    *turns = turns.wrapping_add(1);
    if turns.is_multiple_of(128) {
        std::thread::yield_now();
    }
    (0..4).for_each(|_| std::hint::spin_loop());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::error::Error;

    #[test]
    fn every_item_is_taken_once_with_help_and_without() {
        for size in [1, 2, 5] {
            let pool = Pool::new(size);
            for round in 0..200 {
                let count = round % 23;
                let seen = Mutex::new(vec![0; count]);
                let add = |i: usize, item: usize| {
                    assert_eq!(i, item);
                    seen.lock().unwrap()[i] += 1;
                };
                match round % 3 {
                    0 => each(true, 0..count, add),
                    n => pool.run(|| each(n == 1, 0..count, add)),
                }
                assert!(seen.into_inner().unwrap().iter().all(|&n| n == 1));
            }
            assert_eq!((threads(), pool.run(threads)), (1, size));
        }
    }

    #[test]
    fn helpers_help_also_after_a_sleep() {
        let pool = Pool::new(3);
        for wait in [0, 1, 5] {
            std::thread::sleep(Duration::from_millis(wait));
            let by = Mutex::new(HashSet::new());
            pool.run(|| {
                each(true, 0..300, |_, _| {
                    std::thread::sleep(Duration::from_micros(300));
                    by.lock().unwrap().insert(std::thread::current().id());
                })
            });
            assert_eq!(by.into_inner().unwrap().len(), 3, "after {wait} ms");
        }
    }

    #[test]
    fn many_callers_and_work_within_work_do_not_wait_for_each_other() {
        let pool = Pool::new(4);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let count = |_, _| {
                            total.fetch_add(1, Relaxed);
                        };
                        pool.run(|| each(true, 0..8, |_, n: usize| each(true, 0..n, count)));
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 6 * 50 * 28);
    }

    #[test]
    fn panics_and_errors_reach_the_caller_and_the_team_goes_on() {
        let pool = Pool::new(3);
        for bad in [0, 7, 29] {
            let fails = |i: usize, _| {
                if i == bad {
                    panic!("inside {i}")
                }
            };
            let caught = catch_unwind(AssertUnwindSafe(|| pool.run(|| each(true, 0..30, fails))));
            assert_eq!(caught.unwrap_err().downcast_ref::<String>(), Some(&format!("inside {bad}")));
            let fails = |i: usize, _| if i == bad { Err(Error::internal("no")) } else { Ok(()) };
            assert!(pool.run(|| try_each(true, 0..30, fails)).is_err());
            assert!(pool.run(|| try_each(true, 0..30, |_, _| Ok(()))).is_ok());
        }
    }
}
