//! Plans made ready and run: buffers are resolved and locked once for a run, and handed to each step's kernel.

use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::bindings::Bindings;
use super::kernels::{self, Kernel};
use super::memory::{CpuBuffer, Line, words_of, words_of_mut};
use super::program::interp::Ctx;
use super::program::space::{Out, Outs, Words};
use super::{Shared, Table, foreign};
use crate::backend::{Buffer, Executable, KernelTime, count, profile};
use crate::error::{Error, Result};
use crate::ir::step::{Plan, Role, Step};
use crate::sys::{self, Instant};

/// A plan of the CPU engine.
pub(super) struct CpuPlan(Arc<Prepared>);

struct Prepared {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    steps: Vec<Ready>,
    /// The memory that the steps work on.
    storages: Vec<Storage>,
    /// For each temporary slot, and last for the scratch memory, its place in the table of temporaries and its bytes.
    slots: Vec<(usize, usize)>,
    /// Whether a step is worth dividing among threads.
    forks: bool,
    /// Whether a thread that has other things to do should not run the plan itself.
    long: bool,
}

/// A plan that touches up to so many bytes, with no step worth dividing, is done in less time than waking a thread and
/// being woken by it is felt.
const SHORT: usize = 1 << 16;

struct Storage {
    role: Role,
    bytes: usize,
    written: bool,
}

/// Each role's storage.
#[derive(Default)]
struct Storages {
    all: Vec<Storage>,
    places: FxHashMap<Role, usize>,
}

impl Storages {
    fn of(&mut self, role: Role) -> (usize, &mut Storage) {
        let at = *self.places.entry(role).or_insert(self.all.len());
        if at == self.all.len() {
            self.all.push(Storage { role, bytes: 0, written: false });
        }
        (at, &mut self.all[at])
    }
}

/// A step made ready.
struct Ready {
    kernel: Box<dyn Kernel>,
    bufs: Bindings,
    /// For each buffer its storage.
    storages: SmallVec<[u16; 6]>,
    /// Words of scratch for copies of what is read elsewhere than where it is overwritten.
    copies: usize,
}

impl Ready {
    fn new(plan: &Plan, step: &Step, storages: &mut Storages) -> Result<Self> {
        let mut bufs = Bindings::new(plan, step);
        let kernel = kernels::prepare(step, &mut bufs)?;
        let mut mine = SmallVec::new();
        for (b, info) in bufs.infos.iter().enumerate() {
            let (at, storage) = storages.of(info.role);
            storage.bytes = storage.bytes.max(info.bytes());
            storage.written |= bufs.outs.contains(&(b as u16));
            mine.push(at as u16);
        }
        let copies = bufs.infos.iter().filter(|i| i.copy).map(|i| i.bytes().div_ceil(8)).sum();
        Ok(Ready { kernel, bufs, storages: mine, copies })
    }

    /// `views` are the plan's memory, `place[s]` says which of them storage `s` is.
    fn run(&self, views: &mut [View<'_>], place: &[usize], params: &[f64], scratch: &mut [u64]) -> Result<()> {
        let infos = &self.bufs.infos;
        let at = |b: usize| place[self.storages[b] as usize];
        let is_output = |b: usize| self.bufs.out(b as u16).is_some();
        let written = |b: usize| self.bufs.outs.iter().any(|&o| at(o as usize) == at(b));
        // Copies of what is overwritten while it is read elsewhere: foreseen, or because two leaves are one buffer.
        let (room, scratch) = scratch.split_at_mut(self.copies);
        let mut rest = room;
        let mut copies: SmallVec<[Option<Copied<'_>>; 6]> = SmallVec::new();
        for (b, info) in infos.iter().enumerate() {
            let words = || &views[at(b)].words()[..info.bytes().div_ceil(8)];
            copies.push(match info.copy {
                true => {
                    let (copy, tail) = std::mem::take(&mut rest).split_at_mut(words().len());
                    copy.copy_from_slice(words());
                    rest = tail;
                    Some(Copied::Foreseen(copy))
                }
                false if !is_output(b) && written(b) => Some(Copied::Unforeseen(words().to_vec())),
                false => None,
            });
        }
        // The outputs are taken from the views while the kernel runs.
        let mut taken: SmallVec<[(usize, &mut [u64]); 3]> = SmallVec::new();
        for &b in &self.bufs.outs {
            let View::Write(words) = std::mem::replace(&mut views[at(b as usize)], View::Taken) else {
                return Err(Error::internal("one buffer is bound as two outputs of a step"));
            };
            taken.push((at(b as usize), words));
        }
        let outs = taken.iter_mut().zip(&self.bufs.outs).map(|((_, words), &b)| {
            let info = &infos[b as usize];
            Out::whole(Words::of(words, info.len, info.dtype.size()))
        });
        let outs: Outs<'_> = outs.collect();
        let ins: SmallVec<[&[u64]; 6]> = copies
            .iter()
            .enumerate()
            .map(|(b, copy)| match copy {
                Some(Copied::Foreseen(copy)) => *copy,
                Some(Copied::Unforeseen(copy)) => &copy[..],
                None => views[at(b)].words(),
            })
            .collect();
        let ctx = Ctx { ins: &ins, params };
        self.kernel.run(scratch, ctx, outs)?;
        drop(ins);
        for (at, words) in taken {
            views[at] = View::Write(words);
        }
        Ok(())
    }
}

enum Copied<'s> {
    Foreseen(&'s [u64]),
    Unforeseen(Vec<u64>),
}

enum Lock<'b> {
    Read(RwLockReadGuard<'b, Vec<Line>>),
    Write(RwLockWriteGuard<'b, Vec<Line>>),
}

impl<'b> Lock<'b> {
    // A panicking writer leaves numbers of some kind behind; they are still numbers.
    fn new(buffer: &'b CpuBuffer, write: bool) -> Self {
        match write {
            true => Lock::Write(buffer.data.write().unwrap_or_else(PoisonError::into_inner)),
            false => Lock::Read(buffer.data.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn view(&mut self) -> View<'_> {
        match self {
            Lock::Read(g) => View::Read(words_of(g)),
            Lock::Write(g) => View::Write(words_of_mut(g)),
        }
    }
}

enum View<'l> {
    Read(&'l [u64]),
    Write(&'l mut [u64]),
    Taken,
}

impl View<'_> {
    fn words(&self) -> &[u64] {
        match self {
            View::Read(words) => words,
            View::Write(words) => words,
            View::Taken => &[],
        }
    }
}

impl CpuPlan {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<Plan>) -> Result<Self> {
        let mut storages = Storages::default();
        let steps: Vec<Ready> = plan
            .steps
            .iter()
            .map(|s| Ready::new(&plan, s, &mut storages).map_err(|e| e.context(s.name())))
            .collect::<Result<_>>()?;
        let storages = storages.all;
        // One scratch memory for all steps, so that nothing can be missing once the first of them has run.
        let scratch = steps.iter().map(|s| 8 * (s.copies + s.kernel.scratch())).max().unwrap_or(0);
        let sizes: Vec<usize> = plan.slots.iter().copied().chain([scratch]).collect();
        // Temporaries of all plans share one table, largest first, so that plans do not add up.
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&s| std::cmp::Reverse(sizes[s]));
        let mut slots = vec![(0, 0); order.len()];
        for (rank, &s) in order.iter().enumerate() {
            slots[s] = (rank, sizes[s]);
        }
        let forks = steps.iter().any(|s| shared.pool.wants(s.kernel.work()));
        let long = forks || storages.iter().map(|s| s.bytes).sum::<usize>() > SHORT;
        Ok(CpuPlan(Arc::new(Prepared { shared, plan, steps, storages, slots, forks, long })))
    }
}

impl Prepared {
    /// Makes the table hold this plan's temporaries.
    fn fit(&self, table: &mut Table) -> Result<()> {
        table.resize_with(table.len().max(self.slots.len()), || None);
        for &(rank, bytes) in &self.slots {
            if table[rank].as_ref().is_none_or(|b| b.bytes() < bytes) {
                table[rank] = None;
                table[rank] = Some(self.shared.memory.buffer(bytes)?);
            }
        }
        Ok(())
    }

    fn run_with(&self, table: &Table, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        let temp = |slot: usize| -> Result<&CpuBuffer> {
            let rank = self.slots.get(slot).map(|s| s.0);
            rank.and_then(|r| table.get(r)?.as_deref()).ok_or_else(|| Error::internal("a temporary without memory"))
        };
        let mut buffers: SmallVec<[&CpuBuffer; 16]> = SmallVec::new();
        for storage in &self.storages {
            let buffer = match storage.role {
                Role::Leaf(i) => leaves.get(i as usize),
                Role::Output(i) => outputs.get(i as usize),
                Role::Temp { slot } => {
                    buffers.push(temp(slot as usize)?);
                    continue;
                }
            };
            let buffer = buffer.ok_or_else(|| Error::internal("the plan names a buffer that the run was not given"))?;
            buffers.push(buffer.get().ok_or_else(foreign)?);
        }
        // Distinct buffers in the order of their addresses: all runs lock in one order.
        let key = |s: usize| std::ptr::from_ref(buffers[s]) as usize;
        let mut order: SmallVec<[usize; 16]> = (0..buffers.len()).collect();
        order.sort_unstable_by_key(|&s| (key(s), !self.storages[s].written));
        let mut locks: SmallVec<[Lock<'_>; 16]> = SmallVec::new();
        let mut place: SmallVec<[usize; 16]> = SmallVec::from_elem(0, buffers.len());
        for (i, &s) in order.iter().enumerate() {
            if i == 0 || key(order[i - 1]) != key(s) {
                locks.push(Lock::new(buffers[s], self.storages[s].written));
            }
            place[s] = locks.len() - 1;
        }
        let mut scratch = Lock::new(temp(self.slots.len() - 1)?, true);
        let View::Write(scratch) = scratch.view() else { return Err(Error::internal("scratch memory is shared")) };
        let mut views: SmallVec<[View<'_>; 16]> = locks.iter_mut().map(Lock::view).collect();
        for (storage, &at) in self.storages.iter().zip(&place) {
            let room = 8 * views[at].words().len();
            if room < storage.bytes {
                return Err(Error::internal(format!("a buffer of {room} bytes where {} are used", storage.bytes)));
            }
        }
        let times = &self.shared.times;
        for (ready, step) in self.steps.iter().zip(&self.plan.steps) {
            let begin = times.is_wanted().then(Instant::now);
            ready.run(&mut views, &place, params, scratch).map_err(|e| e.context(step.name()))?;
            if let Some((begin, mut noted)) = begin.zip(times.wanted()) {
                let (name, seconds) = (profile::name(step.name(), &step.ops), begin.elapsed().as_secs_f64());
                noted.push((begin, KernelTime { name, groups: [0; 3], begin: 0.0, seconds }));
            }
        }
        Ok(())
    }

    /// Takes the memory of a run that is to come, so that it is not then that it is missing.
    fn reserve(&self) -> Result<()> {
        let mut table = self.shared.borrow_table();
        let result = self.fit(&mut table);
        self.shared.return_table(table);
        result
    }

    fn run(&self, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        // A table is lent to one run at a time; runs on other threads get (and leave) tables of their own.
        let mut table = self.shared.borrow_table();
        let result = self.fit(&mut table).and_then(|()| self.run_with(&table, leaves, outputs, params));
        self.shared.return_table(table);
        result
    }
}

impl Executable for CpuPlan {
    fn run(&self, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        let prepared = &self.0;
        if params.len() < prepared.plan.params {
            return Err(Error::internal(format!(
                "a plan of {} parameters was given {}",
                prepared.plan.params,
                params.len()
            )));
        }
        let later = &prepared.shared.later;
        let defers = sys::may_defer() && (prepared.long || !later.is_idle());
        if defers {
            let task = prepared.clone();
            let (leaves, outputs, params) = (leaves.to_vec(), outputs.to_vec(), params.to_vec());
            prepared.reserve()?;
            later.push(prepared.forks, move || task.run(&leaves, &outputs, &params));
        } else {
            later.drain();
            let run = || prepared.run(leaves, outputs, params);
            if prepared.forks { prepared.shared.pool.run(run)? } else { run()? }
        }
        let counters = &prepared.shared.memory.counters;
        count(&counters.submits, 1);
        count(&counters.dispatches, prepared.steps.len() as u64);
        Ok(())
    }

    fn sources(&self) -> Vec<String> {
        let text = |step: &Step| format!("{} {:?}\n{}", step.name(), step.outer().as_slice(), step.program);
        self.0.plan.steps.iter().map(text).collect()
    }
}
