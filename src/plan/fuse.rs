//! Merging kernels: a consumer that reads what a producer wrote, at the same place, becomes a part of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use smallvec::SmallVec;

use super::lower::{ASSIGN, Lowered};
use super::rewrite::MAX_COST;
use crate::error::{Error, Result};
use crate::ir::access::{Space, refine, squeeze};
use crate::ir::program::{Access, Instr, Program, Reg, stages};
use crate::ir::step::{BufId, BufferInfo, Family, Role, Step};

/// A reduction over more elements than this is not made part of a row kernel unless there are many rows.
const MAX_ROW: usize = 16 * 1024;
/// So many kernels are looked through for one that lies between two.
const FAR: usize = 1000;

/// Merges kernels where that is allowed and worth it, and puts them in an order that respects all dependencies.
/// `max_buffers`: how many distinct buffers a kernel may bind.
///
/// # Errors
/// Kernels that wait for each other.
pub(crate) fn fuse(lowered: Lowered, max_buffers: usize, fusion: bool) -> Result<(Vec<Step>, Vec<BufferInfo>)> {
    let mut graph = Kernels::new(lowered, max_buffers);
    if fusion {
        graph.merge_all();
        graph.merge_siblings();
    }
    graph.sorted()
}

type Set = SmallVec<[usize; 4]>;

struct Kernels {
    /// `None` where a kernel was merged into a later one.
    kernels: Vec<Option<Step>>,
    buffers: Vec<BufferInfo>,
    /// Who reads and who writes each buffer.
    readers: Vec<Set>,
    writers: Vec<Set>,
    /// Orders that no buffer shows: who must run before and after each kernel.
    before: Vec<Set>,
    after: Vec<Set>,
    max_buffers: usize,
    /// Of each kernel a number greater than those of all that run before it.
    depth: Vec<usize>,
    /// For walks through the graph: the number of the last walk that came by.
    seen: Vec<u32>,
    walk: u32,
}

impl Kernels {
    fn new(lowered: Lowered, max_buffers: usize) -> Self {
        let Lowered { kernels, buffers, order } = lowered;
        let sets = |n: usize| vec![Set::new(); n];
        let (count, bufs) = (kernels.len(), buffers.len());
        let mut out = Kernels {
            kernels: kernels.into_iter().map(Some).collect(),
            buffers,
            readers: sets(bufs),
            writers: sets(bufs),
            before: sets(count),
            after: sets(count),
            max_buffers,
            depth: vec![0; count],
            seen: vec![0; count],
            walk: 0,
        };
        (0..count).for_each(|k| out.enter(k));
        for (first, second) in order {
            out.before[second].push(first);
            out.after[first].push(second);
        }
        for k in 0..count {
            out.depth[k] = out.predecessors(k).map(|p| out.depth[p] + 1).max().unwrap_or(0);
        }
        // Most kernels come after all that they read.
        (0..count).for_each(|k| out.deepen(k));
        out
    }

    /// Mends the depths behind a kernel.
    fn deepen(&mut self, k: usize) {
        let mut stack = vec![k];
        while let Some(k) = stack.pop() {
            let below = self.depth[k];
            let next: Set = self.successors(k).filter(|&next| self.depth[next] <= below).collect();
            for next in next {
                // (In a cycle, which `sorted` reports, depths would grow for ever.)
                self.depth[next] = (below + 1).min(self.depth.len());
                if self.depth[next] > below {
                    stack.push(next);
                }
            }
        }
    }

    /// Notes what a kernel reads and writes.
    fn enter(&mut self, k: usize) {
        let Some(kernel) = &self.kernels[k] else { return };
        let note = |sets: &mut [Set], buf: u16| {
            let set = &mut sets[usize::from(buf)];
            if !set.contains(&k) {
                set.push(k);
            }
        };
        // (Who reads a leaf is not asked; all may.)
        kernel
            .reads()
            .filter(|&buf| !self.buffers[buf as usize].is_leaf())
            .for_each(|buf| note(&mut self.readers, buf));
        kernel.writes().for_each(|buf| note(&mut self.writers, buf));
    }

    /// Takes a kernel out.
    fn leave(&mut self, k: usize) {
        let Some(kernel) = self.kernels[k].take() else { return };
        kernel.reads().for_each(|buf| self.readers[buf as usize].retain(|other| *other != k));
        kernel.writes().for_each(|buf| self.writers[buf as usize].retain(|other| *other != k));
    }

    fn merge_all(&mut self) {
        for _ in 0..4 {
            let mut merged = false;
            for consumer in 0..self.kernels.len() {
                while self.merge_one(consumer) {
                    merged = true;
                }
            }
            if !merged {
                break;
            }
        }
    }

    /// Tries to merge one of the producers of `consumer` into it.
    fn merge_one(&mut self, consumer: usize) -> bool {
        let Some(second) = &self.kernels[consumer] else { return false };
        if !matches!(second.family, Family::Nest) {
            return false;
        }
        let mut producers = Set::new();
        for buf in second.reads() {
            for &p in &self.writers[buf as usize] {
                let kernel = self.kernels[p].as_ref().expect("writers are there");
                if p != consumer && !producers.contains(&p) && !self.is_part(kernel, buf) {
                    producers.push(p);
                }
            }
        }
        // Later producers first: they are the ones nearest to the consumer.
        producers.sort_unstable_by(|a, b| b.cmp(a));
        for producer in producers {
            if self.between(producer, consumer) {
                continue;
            }
            let first = self.kernels[producer].as_ref().expect("listed");
            let second = self.kernels[consumer].as_ref().expect("checked");
            let Some(kernel) = self.merged(first, second, producer, consumer) else { continue };
            self.replace(producer, consumer, kernel);
            return true;
        }
        false
    }

    /// Puts a kernel in the place of the two that it is made of.
    fn replace(&mut self, producer: usize, consumer: usize, kernel: Step) {
        self.leave(producer);
        self.leave(consumer);
        self.kernels[consumer] = Some(kernel);
        self.enter(consumer);
        // Orders of the producer are the consumer's now, but for those between the two.
        hand_over(&mut self.before, &mut self.after, producer, consumer);
        hand_over(&mut self.after, &mut self.before, producer, consumer);
        // What else read the producer comes after the consumer now.
        self.deepen(consumer);
    }

    /// Merges kernels of one size that read the same value, element by element, and may run at the same time: it is read once.
    /// (Of two as deep neither waits for the other.) Each tries the next one only: a value may have thousands of readers.
    fn merge_siblings(&mut self) {
        let mut readers: BTreeMap<(usize, BufId, bool, usize), Set> = BTreeMap::new();
        for (k, kernel) in self.kernels.iter().enumerate() {
            let Some(kernel) = kernel.as_ref().filter(|kernel| matches!(kernel.family, Family::Nest)) else { continue };
            let numel = kernel.space.iter().product();
            for line in &kernel.program.lines {
                let Instr::Load { buf, at, gather } = &line.instr else { continue };
                if gather.is_empty() && kernel.space.iter().zip(&at.strides).all(|(&e, &s)| e == 1 || s != 0) {
                    let set = readers.entry((self.depth[k], *buf, kernel.mask == 0, numel)).or_default();
                    if set.last() != Some(&k) {
                        set.push(k);
                    }
                }
            }
        }
        // What two become takes the place of the second.
        for pair in readers.values().flat_map(|set| set.windows(2)) {
            let [first, second] = [pair[0], pair[1]];
            if self.depth[first] == self.depth[second]
                && let (Some(a), Some(b)) = (&self.kernels[first], &self.kernels[second])
                && let Some(kernel) = self.merged(a, b, first, second)
            {
                self.replace(first, second, kernel);
            }
        }
    }

    /// Whether the kernel writes only a part of the buffer (assembled from several).
    fn is_part(&self, kernel: &Step, buf: u16) -> bool {
        let len = self.buffers[buf as usize].len;
        self.writers[buf as usize].len() > 1
            || !kernel.program.stores.iter().any(|s| {
                let count: usize =
                    kernel.space.iter().zip(&s.at.strides).map(|(&e, &t)| if t == 0 { 1 } else { e }).product();
                s.buf == buf && count == len
            })
    }

    /// The kernels that must run right before one; some may be named twice.
    fn predecessors(&self, k: usize) -> impl Iterator<Item = usize> {
        let reads = self.kernels[k].iter().flat_map(Step::reads);
        // What a variable held before the run has no writer here; the order says who must read it first.
        let bufs = reads.filter(|&buf| !self.buffers[buf as usize].is_leaf());
        let writers = bufs.flat_map(|buf| self.writers[buf as usize].iter().copied()).filter(move |&w| w != k);
        writers.chain(self.before[k].iter().copied())
    }

    /// The kernels that must run right after one; some may be named twice.
    fn successors(&self, k: usize) -> impl Iterator<Item = usize> {
        let writes = self.kernels[k].iter().flat_map(Step::writes);
        let bufs = writes.filter(|&buf| !self.buffers[buf as usize].is_leaf());
        let readers = bufs.flat_map(|buf| self.readers[buf as usize].iter().copied()).filter(move |&r| r != k);
        readers.chain(self.after[k].iter().copied())
    }

    /// Whether some other kernel must run after `first` and before `second`. In a very large graph those two may be so
    /// far from each other that the answer is yes without a proof.
    fn between(&mut self, first: usize, second: usize) -> bool {
        self.walk += 1;
        let mut steps = 0;
        let mut stack: Vec<usize> = self.predecessors(second).filter(|&p| p != first).collect();
        while let Some(k) = stack.pop() {
            steps += 1;
            if k == first || steps > FAR {
                return true;
            }
            let behind = self.depth[k] > self.depth[first];
            if behind && std::mem::replace(&mut self.seen[k], self.walk) != self.walk {
                stack.extend(self.predecessors(k));
            }
        }
        false
    }

    /// The two as one kernel, if they can be.
    fn merged(&self, first: &Step, second: &Step, producer: usize, consumer: usize) -> Option<Step> {
        if first.program.cost() + second.program.cost() > MAX_COST || !first.family.fuses() {
            return None;
        }
        let (mut first, mut second) = align(first.clone(), second.clone())?;
        let space = first.space.clone();
        let mask = first.mask | second.mask;
        if !matches!(first.family, Family::Nest) && mask != 0 {
            return None;
        }
        // The consumer's loads of what the producer writes become registers.
        let mut lines = std::mem::take(&mut first.program.lines);
        let mut map: Vec<Reg> = Vec::with_capacity(second.program.lines.len());
        for mut line in std::mem::take(&mut second.program.lines) {
            if let Instr::Load { buf, at, gather } = &line.instr
                && let Some(store) = first.program.stores.iter().find(|s| s.buf == *buf)
            {
                let in_place = self.buffers[usize::from(*buf)].is_leaf();
                if !gather.is_empty() || in_place || !at.same(&store.at, &space) {
                    return None;
                }
                map.push(store.reg);
                continue;
            }
            line.instr.map_operands(|r| map[r as usize]);
            map.push(lines.len() as Reg);
            lines.push(line);
        }
        let mut stores: Vec<_> = first
            .program
            .stores
            .iter()
            .filter(|s| {
                let buf = s.buf;
                let read_elsewhere = self.readers[buf as usize].iter().any(|&k| k != producer && k != consumer);
                read_elsewhere || !matches!(self.buffers[buf as usize].role, Role::Temp { .. })
            })
            .cloned()
            .collect();
        for mut store in std::mem::take(&mut second.program.stores) {
            store.reg = map[usize::from(store.reg)];
            stores.push(store);
        }
        let mut ops = first.ops.clone();
        ops.extend(second.ops.iter().filter(|&&o| o != ASSIGN || !first.ops.contains(&ASSIGN)));
        let mut out = Step { space, mask, program: Program { lines, stores }, ops, ..first };
        out.tidy();
        if !self.in_place_safe(&out) || out.buffers().len() + out.family.scratch() > self.max_buffers {
            return None;
        }
        (mask == 0 || worthwhile(&out)).then_some(out)
    }

    /// Whether whatever it overwrites it reads only at the very element it is about to write.
    fn in_place_safe(&self, kernel: &Step) -> bool {
        kernel.program.stores.iter().all(|s| {
            let buf = s.buf;
            if !self.buffers[buf as usize].is_leaf() {
                return true;
            }
            !kernel.operands.contains(&s.buf)
                && kernel.program.lines.iter().all(|l| match &l.instr {
                    Instr::Load { buf: b, at, gather } if *b == s.buf => {
                        gather.is_empty() && at.same(&s.at, &kernel.space)
                    }
                    _ => true,
                })
        })
    }

    /// Kernels in dependency order. Of those that may run the first recorded comes next, but before it those that give
    /// back at least as much memory as they take: a layer's gradients follow the one that they are computed from, instead
    /// of all of these being kept until the last.
    fn sorted(self) -> Result<(Vec<Step>, Vec<BufferInfo>)> {
        let distinct = |k: usize| {
            let mut all: Vec<usize> = self.predecessors(k).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let preds: Vec<Vec<usize>> = (0..self.kernels.len()).map(distinct).collect();
        let mut waiting: Vec<usize> = preds.iter().map(Vec::len).collect();
        let mut followers = vec![Vec::new(); preds.len()];
        for (k, before) in preds.iter().enumerate() {
            before.iter().for_each(|&p| followers[p].push(k));
        }
        let Kernels { mut kernels, buffers, mut readers, .. } = self;
        let mut ready: BinaryHeap<_> =
            (0..preds.len()).filter(|&k| waiting[k] == 0 && kernels[k].is_some()).map(Reverse).collect();
        // Those of them that give back; a kernel may be in both.
        let mut frugal: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
        let mut written = vec![false; buffers.len()];
        let mut out = Vec::with_capacity(kernels.len());
        while let Some(Reverse(k)) = frugal.pop().or_else(|| ready.pop()) {
            let Some(kernel) = kernels[k].take() else { continue };
            let mut changed: Set = followers[k].iter().copied().collect();
            for &f in &followers[k] {
                waiting[f] -= 1;
                if waiting[f] == 0 {
                    ready.push(Reverse(f));
                }
            }
            kernel.writes().for_each(|buf| written[buf as usize] = true);
            for buf in kernel.buffers() {
                let left = &mut readers[buf as usize];
                left.retain(|reader| *reader != k);
                if let [last] = left[..] {
                    changed.push(last);
                }
            }
            out.push(kernel);
            for k in changed {
                if waiting[k] == 0
                    && kernels[k].as_ref().is_some_and(|next| gives_back(next, &buffers, &readers, &written))
                {
                    frugal.push(Reverse(k));
                }
            }
        }
        if let Some(stuck) = kernels.iter().flatten().next() {
            let (file, line) = (stuck.at.file(), stuck.at.line());
            return Err(Error::internal(format!(
                "a cycle of kernels through `{}` at {file}:{line}",
                stuck.ops.join(" ")
            )));
        }
        Ok((out, buffers))
    }
}

/// Whether temporaries that nobody else is still to read make up for those that the kernel is the first to write.
fn gives_back(kernel: &Step, buffers: &[BufferInfo], readers: &[Set], written: &[bool]) -> bool {
    let bytes = |buf: u16| match &buffers[buf as usize] {
        info if matches!(info.role, Role::Temp { .. }) => info.dtype.bytes(info.len),
        _ => 0,
    };
    let writes: Set = kernel.writes().map(usize::from).collect();
    let (mut freed, mut taken) = (0, 0);
    for buf in kernel.buffers() {
        match (writes.contains(&usize::from(buf)), readers[buf as usize].len()) {
            (true, _) if !written[buf as usize] => taken += bytes(buf),
            (false, 1) => freed += bytes(buf),
            _ => {}
        }
    }
    freed > 0 && freed >= taken
}

/// Makes the orders of `from` those of `to`; `back` holds the same orders seen from the other side.
fn hand_over(sets: &mut [Set], back: &mut [Set], from: usize, to: usize) {
    for other in std::mem::take(&mut sets[from]) {
        back[other].retain(|k| *k != from);
        if other != to {
            back[other].push(to);
            sets[to].push(other);
        }
    }
}

/// Whether a kernel with inner dimensions is better than the two it came from.
fn worthwhile(kernel: &Step) -> bool {
    let inner: usize = kernel.inner().iter().product();
    let outer: usize = kernel.outer().iter().product();
    let row =
        stages(&kernel.program.lines).into_iter().max() > Some(1) || kernel.program.stores.iter().any(|s| s.inner);
    if !row {
        return true;
    }
    // Rows must lie along the memory, and be short or many.
    let along = kernel.mask >> (kernel.space.len() - 1) & 1 == 1;
    let fits = inner <= MAX_ROW || outer >= 256;
    along && fits
}

/// Puts both kernels over one space with one mask, if their spaces fit each other.
fn align(first: Step, second: Step) -> Option<(Step, Step)> {
    let numel = |s: &[usize]| s.iter().product::<usize>();
    let fixed = !matches!(first.family, Family::Nest);
    if first.space.contains(&0) || second.space.contains(&0) {
        return None;
    }
    if fixed {
        // The product's space cannot be refined; the consumer's must merge into it.
        if second.mask != 0 || numel(&first.space) != numel(&second.space) {
            return None;
        }
        let common = refine(&first.space, &second.space)?;
        let second = second.split_to(&common, 0).merge_to(&first.space)?;
        return Some((first, second));
    }
    if numel(&first.space) == numel(&second.space) {
        let common = refine(&first.space, &second.space)?;
        let masks = (spread(first.mask, &first.space, &common), spread(second.mask, &second.space, &common));
        if masks.0 != 0 && masks.1 != 0 && masks.0 != masks.1 {
            return None;
        }
        return Some((first.split_to(&common, masks.0), second.split_to(&common, masks.1)));
    }
    // The consumer works on the producer's results per outer point, or the other way round.
    if second.mask == 0 && first.mask != 0 && numel(&first.outer()) == numel(&second.space) {
        let (space, mask) = refine_outer(&first, &second.space)?;
        let second = second.embed(&space, mask)?;
        return Some((first.split_to(&space, mask), second));
    }
    if first.mask == 0 && second.mask != 0 && numel(&second.outer()) == numel(&first.space) {
        let (space, mask) = refine_outer(&second, &first.space)?;
        let first = first.embed(&space, mask)?;
        return Some((first, second.split_to(&space, mask)));
    }
    None
}

/// The mask over `fine` that marks what `mask` marks over `coarse`.
fn spread(mask: u32, coarse: &[usize], fine: &[usize]) -> u32 {
    let mut out = 0;
    let mut f = fine.len();
    for (c, &extent) in coarse.iter().enumerate().rev() {
        let mut covered = 1;
        while covered < extent {
            f -= 1;
            covered *= fine[f];
            out |= (mask >> c & 1) << f;
        }
    }
    out
}

/// The kernel's space with its outer dimensions refined to fit `other`, and its mask there.
fn refine_outer(kernel: &Step, other: &[usize]) -> Option<(Space, u32)> {
    let fine = refine(&kernel.outer(), other)?;
    let mut space = Space::new();
    let mut mask = 0;
    let mut next = fine.iter();
    for (d, &extent) in kernel.space.iter().enumerate() {
        if kernel.mask >> d & 1 == 1 {
            mask |= 1 << space.len();
            space.push(extent);
            continue;
        }
        let mut covered = 1;
        while covered < extent {
            let &e = next.next()?;
            space.push(e);
            covered *= e;
        }
    }
    Some((space, mask))
}

impl Step {
    /// Over a refinement of its space.
    fn split_to(mut self, fine: &[usize], mask: u32) -> Step {
        let coarse = squeeze(&self.space);
        let old = self.space.clone();
        self.map_accesses(|at| drop_ones(at, &old).split(&coarse, fine));
        self.space = SmallVec::from_slice(fine);
        self.mask = mask;
        self
    }

    /// Over a space that merges runs of its dimensions; `None` where an address does not allow it.
    fn merge_to(mut self, coarse: &[usize]) -> Option<Step> {
        let fine = self.space.clone();
        let fits = |at: &Access| at.merge(&fine, coarse).is_some();
        if !self.program.lines.iter().all(|l| l.instr.access().is_none_or(fits))
            || !self.program.stores.iter().all(|s| fits(&s.at))
        {
            return None;
        }
        self.map_accesses(|at| at.merge(&fine, coarse).expect("checked"));
        self.space = SmallVec::from_slice(coarse);
        Some(self)
    }

    /// A pointwise kernel over the outer dimensions of a larger space (stride 0 in the others).
    fn embed(self, space: &[usize], mask: u32) -> Option<Step> {
        let outer: Space = space.iter().enumerate().filter(|(d, _)| mask >> d & 1 == 0).map(|(_, &e)| e).collect();
        let common = refine(&self.space, &outer)?;
        if common != squeeze(&outer) || outer.contains(&1) {
            return None;
        }
        let mut out = self.split_to(&common, 0);
        out.map_accesses(|at| {
            let mut next = at.strides.iter();
            let strides = (0..space.len())
                .map(|d| if mask >> d & 1 == 1 { 0 } else { next.next().copied().unwrap_or(0) })
                .collect();
            Access { offset: at.offset, strides }
        });
        out.space = SmallVec::from_slice(space);
        out.mask = mask;
        Some(out)
    }
}

/// Without the strides of extents of 1.
fn drop_ones(at: &Access, space: &[usize]) -> Access {
    let strides = space.iter().zip(&at.strides).filter(|(e, _)| **e != 1).map(|(_, &s)| s).collect();
    Access { offset: at.offset, strides }
}
