//! Plans made ready and run: each step's buffers are resolved, locked once each, and handed to its kernel.

use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::compile::Wiring;
use super::gemm::Gemm;
use super::interp::Ctx;
use super::memory::{CpuBuffer, Memory};
use super::nest::{Draft, Nest};
use super::pointwise::Pointwise;
use super::scatter::Scatter;
use super::space::{Out, Outs, Words, bounds};
use super::window::Window;
use super::{Shared, Table, foreign};
use crate::backend::{Buffer, Executable, count};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::program::{Access, Instr, Program};
use crate::plan::step::{Plan, Role, Step, StepKind};

/// A plan of the CPU engine.
pub(super) struct CpuPlan {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    steps: Vec<Ready>,
    /// For each temporary slot its place in the table of temporaries, and its bytes.
    slots: Vec<(usize, usize)>,
}

/// A step made ready.
struct Ready {
    kernel: Kernel,
    bufs: Bufs,
}

enum Kernel {
    Pointwise(Pointwise),
    Nest(Nest),
    Gemm(Gemm),
    Window(Window),
    Scatter(Scatter),
}

/// A step's buffers.
pub(super) struct Bufs {
    infos: SmallVec<[Info; 4]>,
    /// Which are written, in the order of the outputs given to kernels.
    outs: SmallVec<[u16; 3]>,
}

struct Info {
    role: Role,
    dtype: DType,
    len: usize,
    /// Buffers that are known to share memory have one number.
    identity: (u8, u32),
    /// It is read elsewhere than where it is written, so readers get a copy.
    copy: bool,
}

impl Bufs {
    fn new(plan: &Plan, step: &Step) -> Self {
        let infos = step.bufs.iter().map(|&b| {
            let info = &plan.buffers[b as usize];
            let identity = match info.role {
                Role::Leaf(i) => (0, i),
                Role::Output(i) => (1, i),
                Role::Temp { slot } => (2, slot),
            };
            Info { role: info.role, dtype: info.dtype, len: info.len, identity, copy: false }
        });
        let mut bufs = Bufs { infos: infos.collect(), outs: SmallVec::new() };
        for store in &step.kind.program().stores {
            if bufs.out(store.buf).is_none() {
                bufs.outs.push(store.buf);
            }
        }
        bufs
    }

    pub(super) fn len(&self) -> usize {
        self.infos.len()
    }

    pub(super) fn dtype(&self, buf: u16) -> DType {
        self.infos[buf as usize].dtype
    }

    pub(super) fn outputs(&self) -> usize {
        self.outs.len()
    }

    /// The output that buffer `buf` is, if it is written.
    pub(super) fn out(&self, buf: u16) -> Option<u16> {
        let identity = self.infos.get(buf as usize)?.identity;
        self.outs.iter().position(|&o| self.infos[o as usize].identity == identity).map(|k| k as u16)
    }

    /// Notes that a kernel reads all of `buf` in its own order.
    pub(super) fn operand(&mut self, buf: u16, dtype: DType, len: usize) -> Result<()> {
        let written = self.out(buf).is_some();
        let info = self
            .infos
            .get_mut(buf as usize)
            .ok_or_else(|| Error::internal("an operand that the step does not bind"))?;
        if info.len < len || info.dtype.size() != dtype.size() {
            return Err(Error::internal(format!(
                "an operand of {} {} where {len} {dtype} are read",
                info.len, info.dtype
            )));
        }
        info.copy |= written;
        Ok(())
    }

    /// How a program's loads and stores meet the buffers. `overwrite`: a value may be read where its result is put.
    pub(super) fn wire(&mut self, program: &Program, levels: &[bool], overwrite: bool) -> Wiring {
        let outs: Vec<u16> = program.stores.iter().map(|s| self.out(s.buf).unwrap_or(0)).collect();
        let mut in_place = vec![None; program.lines.len()];
        for (l, line) in program.lines.iter().enumerate() {
            let Instr::Load { buf, at, gather } = &line.instr else { continue };
            let Some(k) = self.out(*buf) else { continue };
            let mut stores = program.stores.iter().zip(&outs).filter(|(_, o)| **o == k).map(|(s, _)| s);
            let same = match (stores.next(), stores.next()) {
                (Some(s), None) => {
                    let dtype = program.lines[s.reg as usize].dtype;
                    s.inner == levels[l] && dtype.size() == line.dtype.size() && same_address(at, &s.at)
                }
                _ => false,
            };
            if overwrite && gather.is_empty() && same {
                in_place[l] = Some(k);
            } else {
                self.infos[*buf as usize].copy = true;
            }
        }
        Wiring { out_of_store: outs, in_place }
    }

    /// Checks every address of a program against its buffer.
    fn check(&self, program: &Program, outer: &[usize], inner: &[usize]) -> Result<()> {
        let dims: Vec<usize> = outer.iter().chain(inner).copied().collect();
        let check = |buf: u16, at: &Access, reach: (i64, i64), full: bool, what: &str| -> Result<()> {
            let space = if full { &dims[..] } else { outer };
            if at.strides.len() < outer.len() || at.strides.len() > dims.len() || full && at.strides.len() != dims.len()
            {
                return Err(Error::internal(format!("{what} with {} strides over {space:?}", at.strides.len())));
            }
            let Some(info) = self.infos.get(buf as usize) else { return Err(Error::internal("an unbound buffer")) };
            let Some((low, high)) = bounds(space, at) else { return Ok(()) };
            if low + reach.0 < 0 || high + reach.1 >= info.len as i64 {
                return Err(Error::internal(format!(
                    "{what} reaches {}..={} of a buffer of {} elements",
                    low + reach.0,
                    high + reach.1,
                    info.len
                )));
            }
            Ok(())
        };
        for (l, line) in program.lines.iter().enumerate() {
            if line.instr.operands().iter().any(|&r| r as usize >= l) {
                return Err(Error::internal(format!("line {l} reads a later line")));
            }
            if let Instr::Load { buf, at, gather } = &line.instr {
                if gather.iter().any(|g| g.extent == 0) {
                    continue;
                }
                let reach = gather.iter().map(|g| g.stride * (g.extent as i64 - 1));
                let reach = reach.fold((0, 0), |(low, high), r| (low + r.min(0), high + r.max(0)));
                check(*buf, at, reach, line.inner, "a load")?;
            } else if let Some(at) = line.instr.access() {
                let full = if line.inner { dims.len() } else { outer.len() };
                if at.strides.len() != full {
                    return Err(Error::internal("an index over another space"));
                }
            }
        }
        for store in &program.stores {
            if store.reg as usize >= program.lines.len() {
                return Err(Error::internal("a store of nothing"));
            }
            check(store.buf, &store.at, (0, 0), store.inner, "a store")?;
        }
        Ok(())
    }
}

/// Whether two addresses are equal; missing strides are 0.
fn same_address(a: &Access, b: &Access) -> bool {
    let n = a.strides.len().max(b.strides.len());
    let stride = |at: &Access, d: usize| at.strides.get(d).copied().unwrap_or(0);
    a.offset == b.offset && (0..n).all(|d| stride(a, d) == stride(b, d))
}

impl Ready {
    fn new(plan: &Plan, step: &Step) -> Result<Self> {
        let mut bufs = Bufs::new(plan, step);
        let program = step.kind.program();
        let inner: &[usize] = if let StepKind::Nest(n) = &step.kind { &n.inner } else { &[] };
        bufs.check(program, &step.kind.outer(), inner)?;
        let kernel = match &step.kind {
            StepKind::Nest(n) if n.inner.is_empty() && !has_reduce(program) => {
                let levels = vec![false; program.lines.len()];
                let wiring = bufs.wire(program, &levels, true);
                Kernel::Pointwise(Pointwise::new(&n.outer, program, &wiring, bufs.outputs())?)
            }
            StepKind::Nest(n) => {
                let draft = Draft::new(n);
                let wiring = draft.wire(&mut bufs);
                Kernel::Nest(draft.compile(&wiring, bufs.outputs())?)
            }
            StepKind::Gemm(g) => Kernel::Gemm(Gemm::new(g, &mut bufs)?),
            StepKind::Window(w) => Kernel::Window(Window::new(w, &mut bufs)?),
            StepKind::Scatter(s) => Kernel::Scatter(Scatter::new(s, &mut bufs)?),
        };
        Ok(Ready { kernel, bufs })
    }

    fn run(&self, memory: &Memory, find: &dyn Fn(Role) -> Result<Arc<CpuBuffer>>, params: &[f64]) -> Result<()> {
        let infos = &self.bufs.infos;
        let buffers: SmallVec<[Arc<CpuBuffer>; 6]> = infos.iter().map(|i| find(i.role)).collect::<Result<_>>()?;
        let written = |b: usize| self.bufs.outs.contains(&(b as u16));
        // Distinct buffers in the order of their addresses: all runs lock in one order.
        let key = |b: usize| Arc::as_ptr(&buffers[b]) as usize;
        let mut order: SmallVec<[usize; 6]> = (0..buffers.len()).collect();
        order.sort_by_key(|&b| (key(b), !written(b)));
        let mut locks: SmallVec<[Lock<'_>; 6]> = SmallVec::new();
        let mut lock_of: SmallVec<[usize; 6]> = SmallVec::from_elem(0, buffers.len());
        let mut previous = None;
        for &b in &order {
            if previous != Some(key(b)) {
                previous = Some(key(b));
                let data = &buffers[b].data;
                // A panicking writer leaves numbers of some kind behind; they are still numbers.
                locks.push(match written(b) {
                    true => Lock::Write(data.write().unwrap_or_else(PoisonError::into_inner)),
                    false => Lock::Read(data.read().unwrap_or_else(PoisonError::into_inner)),
                });
            } else if written(b) && self.bufs.out(b as u16).is_some_and(|k| self.bufs.outs[k as usize] != b as u16) {
                return Err(Error::internal("one buffer is bound as two outputs of a step"));
            }
            lock_of[b] = locks.len() - 1;
        }
        for (info, &lock) in infos.iter().zip(&lock_of) {
            if 8 * locks[lock].words().len() < info.len * info.dtype.size() {
                return Err(Error::internal(format!(
                    "a buffer is too small for {} values of {}",
                    info.len, info.dtype
                )));
            }
        }
        // Copies of what is overwritten while it is read elsewhere.
        let mut copies: SmallVec<[Option<Vec<u64>>; 6]> = SmallVec::new();
        for (b, info) in infos.iter().enumerate() {
            let overwritten = matches!(locks[lock_of[b]], Lock::Write(_));
            let unforeseen = overwritten && self.bufs.out(b as u16).is_none();
            let words = (info.len * info.dtype.size()).div_ceil(8);
            copies.push((info.copy || unforeseen).then(|| locks[lock_of[b]].words()[..words].to_vec()));
        }
        let mut views: SmallVec<[View<'_>; 6]> = locks.iter_mut().map(Lock::view).collect();
        let mut outs: Outs<'_> = SmallVec::new();
        for &b in &self.bufs.outs {
            let (info, view) = (&infos[b as usize], &mut views[lock_of[b as usize]]);
            let View::Write(words) = std::mem::replace(view, View::Taken) else {
                return Err(Error::internal("one buffer is bound as two outputs of a step"));
            };
            outs.push(Out::whole(match info.dtype.size() {
                8 => Words::Eight(&mut words[..info.len]),
                _ => Words::Four(&mut bytemuck::cast_slice_mut(words)[..info.len]),
            }));
        }
        let ins: SmallVec<[&[u64]; 6]> = (0..buffers.len())
            .map(|b| match (&copies[b], &views[lock_of[b]]) {
                (Some(copy), _) => &copy[..],
                (None, View::Read(words)) => words,
                _ => &[],
            })
            .collect();
        let ctx = Ctx { ins: &ins, params };
        match &self.kernel {
            Kernel::Pointwise(k) => k.run(ctx, outs),
            Kernel::Nest(k) => k.run(ctx, outs),
            Kernel::Gemm(k) => k.run(memory, ctx, outs)?,
            Kernel::Window(k) => k.run(memory, ctx, outs)?,
            Kernel::Scatter(k) => k.run(memory, ctx, outs)?,
        }
        Ok(())
    }
}

enum Lock<'b> {
    Read(RwLockReadGuard<'b, Vec<u64>>),
    Write(RwLockWriteGuard<'b, Vec<u64>>),
}

enum View<'l> {
    Read(&'l [u64]),
    Write(&'l mut [u64]),
    Taken,
}

impl Lock<'_> {
    fn words(&self) -> &[u64] {
        match self {
            Lock::Read(g) => g,
            Lock::Write(g) => g,
        }
    }

    fn view(&mut self) -> View<'_> {
        match self {
            Lock::Read(g) => View::Read(g),
            Lock::Write(g) => View::Write(g),
        }
    }
}

fn has_reduce(program: &Program) -> bool {
    program.lines.iter().any(|l| matches!(l.instr, Instr::Reduce(..)))
}

impl CpuPlan {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<Plan>) -> Result<Self> {
        let steps = plan
            .steps
            .iter()
            .map(|s| Ready::new(&plan, s).map_err(|e| e.context(s.kind.name())))
            .collect::<Result<_>>()?;
        // Temporaries of all plans share one table, largest first, so that plans do not add up.
        let mut order: Vec<usize> = (0..plan.slots.len()).collect();
        order.sort_by_key(|&s| std::cmp::Reverse(plan.slots[s]));
        let mut slots = vec![(0, 0); order.len()];
        for (rank, &s) in order.iter().enumerate() {
            slots[s] = (rank, plan.slots[s]);
        }
        Ok(CpuPlan { shared, plan, steps, slots })
    }

    /// Makes the table hold this plan's temporaries.
    fn fit(&self, table: &mut Table) -> Result<()> {
        table.resize_with(table.len().max(self.slots.len()), || None);
        for &(rank, bytes) in &self.slots {
            let held =
                table[rank].as_ref().map_or(0, |b| 8 * b.data.read().unwrap_or_else(PoisonError::into_inner).len());
            if held < bytes || held == 0 {
                table[rank] = None;
                table[rank] = Some(self.shared.memory.buffer(bytes)?);
            }
        }
        Ok(())
    }

    fn run_with(&self, table: &Table, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        let find = |role: Role| -> Result<Arc<CpuBuffer>> {
            let buffer = match role {
                Role::Leaf(i) => leaves.get(i as usize),
                Role::Output(i) => outputs.get(i as usize),
                Role::Temp { slot } => {
                    let rank = self.slots.get(slot as usize).map(|s| s.0);
                    let temp = rank.and_then(|r| table.get(r)?.clone());
                    return temp.ok_or_else(|| Error::internal("a temporary without memory"));
                }
            };
            match buffer {
                Some(buffer) => buffer.share().ok_or_else(foreign),
                None => Err(Error::internal("the plan names a buffer that the run was not given")),
            }
        };
        for (ready, step) in self.steps.iter().zip(&self.plan.steps) {
            ready.run(&self.shared.memory, &find, params).map_err(|e| e.context(step.kind.name()))?;
        }
        Ok(())
    }
}

impl Executable for CpuPlan {
    fn run(&self, leaves: &[Buffer], outputs: &[Buffer], params: &[f64]) -> Result<()> {
        if params.len() < self.plan.params {
            return Err(Error::internal(format!(
                "a plan of {} parameters was given {}",
                self.plan.params,
                params.len()
            )));
        }
        // A table is lent to one run at a time; runs on other threads get (and leave) tables of their own.
        let mut table = self.shared.borrow_table();
        let result = self.fit(&mut table).and_then(|()| self.run_with(&table, leaves, outputs, params));
        self.shared.return_table(table);
        result?;
        let counters = &self.shared.memory.counters;
        count(&counters.submits, 1);
        count(&counters.dispatches, self.steps.len() as u64);
        Ok(())
    }

    fn sources(&self) -> Vec<String> {
        let text =
            |step: &Step| format!("{} {:?}\n{}", step.kind.name(), step.kind.outer().as_slice(), step.kind.program());
        self.plan.steps.iter().map(text).collect()
    }
}

impl Draft {
    fn wire(&self, bufs: &mut Bufs) -> Wiring {
        bufs.wire(self.program(), &self.levels, self.may_overwrite())
    }
}

/// What a kernel computes before its epilogue, and where that is put until then.
pub(super) struct Epilogue {
    /// The output that holds it, when there is one of the right type and order; otherwise memory from the pool.
    target: Option<u16>,
    offset: usize,
    /// There is nothing more to do.
    direct: bool,
    point: Pointwise,
    numel: usize,
    dtype: DType,
}

impl Epilogue {
    pub(super) fn new(program: &Program, dims: &[usize], dtype: DType, bufs: &mut Bufs) -> Result<Self> {
        let flat = flat(dims);
        let same =
            |at: &Access| dims.iter().zip(at.strides.iter().zip(&flat.strides)).all(|(&e, (a, b))| e == 1 || a == b);
        let shared = |k: Option<u16>| program.stores.iter().filter(|s| bufs.out(s.buf) == k).count() > 1;
        let loaded = |k: Option<u16>| {
            program.lines.iter().any(|l| matches!(&l.instr, Instr::Load { buf, .. } if bufs.out(*buf) == k))
        };
        let fits = |s: &&crate::plan::program::Store| {
            let k = bufs.out(s.buf);
            same(&s.at) && program.lines[s.reg as usize].dtype.size() == dtype.size() && !shared(k) && !loaded(k)
        };
        let numel = dims.iter().product();
        let target = program.stores.iter().find(fits);
        let direct = target
            .is_some_and(|s| program.stores.len() == 1 && matches!(program.lines[s.reg as usize].instr, Instr::Acc));
        let (place, offset) = (target.and_then(|s| bufs.out(s.buf)), target.map_or(0, |s| s.at.offset as usize));
        let rewritten = match target {
            Some(s) => super::pointwise::with_acc(program, s.buf, &s.at),
            None => super::pointwise::with_acc(program, bufs.len() as u16, &flat),
        };
        let levels = vec![false; rewritten.lines.len()];
        let wiring = bufs.wire(&rewritten, &levels, true);
        let point = Pointwise::new(dims, &rewritten, &wiring, bufs.outputs())?;
        Ok(Epilogue { target: place, offset, direct, point, numel, dtype })
    }

    /// Calls `produce` with the place for all values, then computes the epilogue.
    pub(super) fn run(
        &self,
        memory: &Memory,
        ctx: Ctx<'_>,
        mut outs: Outs<'_>,
        produce: impl FnOnce(Words<'_>) -> Result<()>,
    ) -> Result<()> {
        match self.target {
            Some(k) => {
                let piece = &mut outs[k as usize].pieces[0];
                produce(match self.dtype.size() {
                    8 => Words::Eight(&mut piece.words_mut(self.offset as i64)[..self.numel]),
                    _ => Words::Four(&mut piece.words_mut(self.offset as i64)[..self.numel]),
                })?;
                if !self.direct {
                    self.point.run(ctx, outs);
                }
            }
            None => {
                let mut scratch = memory.scratch(self.numel * self.dtype.size())?;
                produce(match self.dtype.size() {
                    8 => Words::Eight(&mut scratch.words[..self.numel]),
                    _ => Words::Four(&mut bytemuck::cast_slice_mut(&mut scratch.words)[..self.numel]),
                })?;
                let ins: SmallVec<[&[u64]; 8]> = ctx.ins.iter().copied().chain([&scratch.words[..]]).collect();
                self.point.run(Ctx { ins: &ins, params: ctx.params }, outs);
            }
        }
        Ok(())
    }
}

/// The row-major address over `dims`.
fn flat(dims: &[usize]) -> Access {
    let mut step = 1i64;
    let mut strides: crate::plan::program::Dims<i64> = dims
        .iter()
        .rev()
        .map(|&e| {
            let stride = step;
            step *= e as i64;
            stride
        })
        .collect();
    strides.reverse();
    Access { offset: 0, strides }
}
