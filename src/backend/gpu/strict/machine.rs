//! Runs the invocations of a work-group together, statement by statement, each of them where it is not masked.

mod cooperative;
mod expressions;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, ArraySize, AtomicFunction, Barrier, Block, BuiltIn, Expression as E, Function, GatherMode, Handle,
    Literal, Module, Span, Statement as S, SwitchValue, Type, TypeInner,
};
use rustc_hash::FxHashMap;

use super::memory::{Mark, Memory};
use super::values::{self, Words};
use crate::ir::encoding::f16_to_f32;

pub(super) type Outcome<T> = Result<T, String>;
/// Which invocations take part.
type Mask = Vec<bool>;

/// Where a pointer points to.
#[derive(Clone, Copy)]
enum Root {
    /// The memory of that number, of which so many words are bound; perhaps as halves, which take half a word each there and
    /// are single numbers everywhere else.
    Bound { memory: usize, len: usize, halves: bool },
    /// A variable of the work-group.
    Group(usize),
    /// A variable of each invocation.
    Own(usize),
}

#[derive(Clone)]
struct Pointer {
    root: Root,
    /// The word: for all invocations the same, or for each.
    at: Vec<u32>,
}

impl Pointer {
    fn at(&self, lane: usize) -> usize {
        self.at[if self.at.len() == 1 { 0 } else { lane }] as usize
    }
}

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Empty,
    Words(Words),
    Pointer(Pointer),
}

/// Those that have left a loop or a switch, and those that have gone on to a loop's next turn.
struct Exits {
    left: Mask,
    next: Option<Mask>,
}

/// A call of a function.
struct Frame<'m> {
    function: &'m Function,
    info: &'m FunctionInfo,
    slots: Vec<Slot>,
    given: Vec<Slot>,
    /// Where its variables begin.
    base: usize,
    result: Words,
    exits: Vec<Exits>,
}

/// What a shader's bindings are: for each the memory, and how many words of it are bound.
pub(super) type Bindings = FxHashMap<u32, (usize, usize)>;

pub(super) struct Machine<'m> {
    module: &'m Module,
    info: &'m ModuleInfo,
    source: &'m str,
    /// Invocations of a work-group, and of a subgroup.
    lanes: usize,
    subgroup: usize,
    memory: &'m mut [Memory],
    bindings: Bindings,
    group_memory: Vec<Memory>,
    /// The variables of all calls, each with a word of every invocation one behind the other.
    own: Vec<Words>,
    group: u32,
    /// How many barriers of the work-group's memory there were, and of the buffers'.
    epochs: [u32; 2],
    place: [[u32; 3]; 2],
    span: Span,
}

impl<'m> Machine<'m> {
    pub(super) fn new(
        (module, info, source): (&'m Module, &'m ModuleInfo, &'m str),
        memory: &'m mut [Memory],
        bindings: Bindings,
        subgroup: usize,
    ) -> Self {
        let [x, y, z] = module.entry_points[0].workgroup_size;
        Machine {
            module,
            info,
            source,
            lanes: (x * y * z) as usize,
            subgroup,
            memory,
            bindings,
            group_memory: Vec::new(),
            own: Vec::new(),
            group: 0,
            epochs: [0; 2],
            place: [[0; 3]; 2],
            span: Span::UNDEFINED,
        }
    }

    /// All work-groups, one after the other; what they would do at once is told by the marks in the memory.
    pub(super) fn run(&mut self, groups: [u32; 3]) -> Outcome<()> {
        let [x, y, z] = groups;
        for group in 0..x * y * z {
            self.group = group;
            self.epochs = [0; 2];
            self.place = [[group % x, group / x % y, group / (x * y)], groups];
            self.group_memory.clear();
            for (_, variable) in self.module.global_variables.iter() {
                let len = if variable.space == AddressSpace::WorkGroup { self.size(variable.ty) } else { 0 };
                self.group_memory.push(Memory::unknown(variable.name.clone().unwrap_or_default(), len));
            }
            self.entry().map_err(|e| match self.span.to_range() {
                Some(range) => {
                    let line = self.source[..range.start].matches('\n').count();
                    format!("{e}\nat line {}: {}", line + 1, self.source.lines().nth(line).unwrap_or_default().trim())
                }
                None => e,
            })?;
        }
        Ok(())
    }

    fn entry(&mut self) -> Outcome<()> {
        let entry = &self.module.entry_points[0];
        let [x, y, _] = entry.workgroup_size;
        let [group, groups] = self.place;
        let local = |l: u32| [l % x, l / x % y, l / (x * y)];
        let size = entry.workgroup_size;
        let subgroup = self.subgroup as u32;
        let mut given = Vec::new();
        for argument in &entry.function.arguments {
            let Some(naga::Binding::BuiltIn(builtin)) = argument.binding else {
                return Err("an argument that is not built in".into());
            };
            let of = |l: u32| match builtin {
                BuiltIn::WorkGroupId => Ok(group.to_vec()),
                BuiltIn::NumWorkGroups => Ok(groups.to_vec()),
                BuiltIn::LocalInvocationIndex => Ok(vec![l]),
                BuiltIn::LocalInvocationId => Ok(local(l).to_vec()),
                BuiltIn::GlobalInvocationId => Ok((0..3).map(|i| group[i] * size[i] + local(l)[i]).collect()),
                BuiltIn::SubgroupId => Ok(vec![l / subgroup]),
                BuiltIn::SubgroupInvocationId => Ok(vec![l % subgroup]),
                BuiltIn::SubgroupSize => Ok(vec![subgroup]),
                BuiltIn::NumSubgroups => Ok(vec![(self.lanes as u32).div_ceil(subgroup)]),
                other => Err(format!("{other:?} is not known")),
            };
            let each = (0..self.lanes as u32).map(of).collect::<Outcome<Vec<_>>>()?;
            given.push(Slot::Words((0..each[0].len()).flat_map(|c| each.iter().map(move |v| v[c])).collect()));
        }
        let all = vec![true; self.lanes];
        self.call(&entry.function, self.info.get_entry_point(0), given, &all)?;
        Ok(())
    }

    fn inner(&self, ty: Handle<Type>) -> &'m TypeInner {
        &self.module.types[ty].inner
    }

    /// Words of a value of a type. In memory nothing is padded.
    fn words(&self, inner: &TypeInner) -> usize {
        match *inner {
            TypeInner::Scalar(_) | TypeInner::Atomic(_) => 1,
            TypeInner::Vector { size, .. } => size as usize,
            TypeInner::Matrix { columns, rows, .. } => columns as usize * rows as usize,
            // Spread over the invocations of a subgroup.
            TypeInner::CooperativeMatrix { columns, rows, .. } => {
                (columns as usize * rows as usize).div_ceil(self.subgroup)
            }
            TypeInner::Array { base, size: ArraySize::Constant(n), .. } => n.get() as usize * self.size(base),
            TypeInner::Struct { ref members, .. } => members.iter().map(|m| self.size(m.ty)).sum(),
            _ => 0,
        }
    }

    fn size(&self, ty: Handle<Type>) -> usize {
        self.words(self.inner(ty))
    }

    fn now(&self, lane: usize, buffers: bool) -> Mark {
        Mark { group: self.group, epoch: self.epochs[usize::from(buffers)], lane: lane as u32 }
    }

    fn call(
        &mut self,
        function: &'m Function,
        info: &'m FunctionInfo,
        given: Vec<Slot>,
        mask: &[bool],
    ) -> Outcome<Option<Words>> {
        let base = self.own.len();
        let result = function.result.as_ref().map_or(0, |r| self.size(r.ty));
        let slots = vec![Slot::Empty; function.expressions.len()];
        let result = vec![0; result * self.lanes];
        let mut frame = Frame { function, info, slots, given, base, result, exits: Vec::new() };
        for (_, variable) in function.local_variables.iter() {
            self.own.push(vec![0; self.size(variable.ty) * self.lanes]);
        }
        for (handle, expression) in function.expressions.iter() {
            if expression.needs_pre_emit() {
                self.evaluate(&mut frame, handle, mask)?;
            }
        }
        for (i, (_, variable)) in function.local_variables.iter().enumerate() {
            if let Some(init) = variable.init {
                if matches!(frame.slots[init.index()], Slot::Empty) {
                    self.evaluate(&mut frame, init, mask)?;
                }
                self.own[base + i] = frame.value(init)?.clone();
            }
        }
        self.block(&mut frame, &function.body, &mut mask.to_vec())?;
        self.own.truncate(base);
        Ok(function.result.as_ref().map(|_| frame.result))
    }

    fn block(&mut self, frame: &mut Frame<'m>, block: &'m Block, mask: &mut Mask) -> Outcome<()> {
        for (statement, span) in block.span_iter() {
            if !mask.contains(&true) {
                return Ok(());
            }
            if span.is_defined() {
                self.span = *span;
            }
            self.statement(frame, statement, mask)?;
        }
        Ok(())
    }

    fn statement(&mut self, frame: &mut Frame<'m>, statement: &'m S, mask: &mut Mask) -> Outcome<()> {
        match statement {
            S::Emit(range) => range.clone().try_for_each(|handle| self.evaluate(frame, handle, mask))?,
            S::Block(block) => self.block(frame, block, mask)?,
            S::If { condition, accept, reject } => {
                let c = frame.value(*condition)?;
                let mut yes: Mask = mask.iter().zip(c).map(|(&m, &c)| m && c != 0).collect();
                let mut no: Mask = mask.iter().zip(c).map(|(&m, &c)| m && c == 0).collect();
                self.block(frame, accept, &mut yes)?;
                self.block(frame, reject, &mut no)?;
                *mask = either(&yes, &no);
            }
            S::Switch { selector, cases } => {
                let by = frame.value(*selector)?.clone();
                let is = |value: &SwitchValue, x: u32| match *value {
                    SwitchValue::I32(v) => v as u32 == x,
                    SwitchValue::U32(v) => v == x,
                    SwitchValue::Default => false,
                };
                let named = |x: u32| cases.iter().any(|case| is(&case.value, x));
                frame.exits.push(Exits { left: vec![false; self.lanes], next: None });
                let (mut into, mut done) = (vec![false; self.lanes], vec![false; self.lanes]);
                for case in cases {
                    for lane in 0..self.lanes {
                        let x = by[lane];
                        let here = if case.value == SwitchValue::Default { !named(x) } else { is(&case.value, x) };
                        into[lane] |= mask[lane] && here;
                    }
                    self.block(frame, &case.body, &mut into)?;
                    if !case.fall_through {
                        done = either(&done, &into);
                        into.fill(false);
                    }
                }
                let exits = frame.exits.pop().ok_or("no switch")?;
                *mask = either(&either(&done, &into), &exits.left);
            }
            S::Loop { body, continuing, break_if } => {
                frame.exits.push(Exits { left: vec![false; self.lanes], next: Some(vec![false; self.lanes]) });
                let mut within = mask.clone();
                while within.contains(&true) {
                    self.block(frame, body, &mut within)?;
                    let exits = frame.exits.last_mut().ok_or("no loop")?;
                    if let Some(next) = &mut exits.next {
                        within = either(&within, next);
                        next.fill(false);
                    }
                    self.block(frame, continuing, &mut within)?;
                    if let Some(condition) = break_if {
                        let c = frame.value(*condition)?;
                        let left: Mask = within.iter().zip(c).map(|(&m, &c)| m && c != 0).collect();
                        within.iter_mut().zip(&left).for_each(|(m, &l)| *m &= !l);
                        let exits = frame.exits.last_mut().ok_or("no loop")?;
                        exits.left = either(&exits.left, &left);
                    }
                }
                *mask = frame.exits.pop().ok_or("no loop")?.left;
            }
            S::Break => {
                let exits = frame.exits.last_mut().ok_or("a break outside")?;
                exits.left = either(&exits.left, mask);
                mask.fill(false);
            }
            S::Continue => {
                let of_loop = frame.exits.iter_mut().rev().find_map(|e| e.next.as_mut());
                let next = of_loop.ok_or("a continue outside")?;
                *next = either(next, mask);
                mask.fill(false);
            }
            S::Return { value } => {
                if let Some(value) = value {
                    let words = frame.value(*value)?.clone();
                    merge(&mut frame.result, &words, mask);
                }
                mask.fill(false);
            }
            S::ControlBarrier(barrier) => self.barrier(*barrier, mask)?,
            S::Store { pointer: of, value } => {
                let (pointer, words) = (frame.pointer(*of)?, frame.value(*value)?);
                match self.is_atomic(frame, *of) {
                    true => drop(self.atomic(pointer, words, |_, new| new, mask)?),
                    false => self.store(pointer, words, mask)?,
                }
            }
            S::Atomic { pointer, fun, value, result } => {
                let f: fn(u32, u32) -> u32 = match fun {
                    AtomicFunction::Add => u32::wrapping_add,
                    AtomicFunction::And => |old, x| old & x,
                    AtomicFunction::InclusiveOr => |old, x| old | x,
                    other => return Err(format!("{other:?} is not known")),
                };
                let old = self.atomic(frame.pointer(*pointer)?, frame.value(*value)?, f, mask)?;
                if let Some(result) = result {
                    frame.slots[result.index()] = Slot::Words(old);
                }
            }
            S::WorkGroupUniformLoad { pointer, result } => {
                self.barrier(Barrier::WORK_GROUP, mask)?;
                let words = match *self.resolve(frame, *pointer) {
                    TypeInner::Pointer { base, .. } => self.size(base),
                    _ => 1,
                };
                let loaded = self.load(frame.pointer(*pointer)?, words, mask)?;
                frame.slots[result.index()] = Slot::Words(loaded);
                self.barrier(Barrier::WORK_GROUP, mask)?;
            }
            S::Call { function, arguments, result } => {
                let given = arguments.iter().map(|a| frame.slots[a.index()].clone()).collect();
                let called = self.call(&self.module.functions[*function], &self.info[*function], given, mask)?;
                if let (Some(result), Some(words)) = (result, called) {
                    frame.slots[result.index()] = Slot::Words(words);
                }
            }
            S::SubgroupGather { mode, argument, result } => {
                let gathered = self.gather(frame, mode, frame.value(*argument)?, mask)?;
                frame.slots[result.index()] = Slot::Words(gathered);
            }
            S::CooperativeStore { target, data } => self.store_matrix(frame, *target, data, mask)?,
            other => return Err(format!("a statement that is not known: {other:?}")),
        }
        Ok(())
    }

    /// All invocations of the work-group must come to a barrier.
    fn barrier(&mut self, barrier: Barrier, mask: &[bool]) -> Outcome<()> {
        if let Some(lane) = mask.iter().position(|&m| !m) {
            return Err(format!("a barrier to which invocation {lane} of work-group {} does not come", self.group));
        }
        if !(Barrier::WORK_GROUP | Barrier::STORAGE).contains(barrier) {
            return Err(format!("{barrier:?} is not known"));
        }
        self.epochs[0] += u32::from(barrier.contains(Barrier::WORK_GROUP));
        self.epochs[1] += u32::from(barrier.contains(Barrier::STORAGE));
        Ok(())
    }

    fn load(&mut self, pointer: &Pointer, words: usize, mask: &[bool]) -> Outcome<Words> {
        let lanes = self.lanes;
        if let (Root::Own(variable), &[at]) = (pointer.root, &pointer.at[..]) {
            return Ok(self.own[variable][at as usize * lanes..][..words * lanes].to_vec());
        }
        let mut out = vec![0; words * lanes];
        for lane in (0..lanes).filter(|&l| mask[l]) {
            for c in 0..words {
                let at = pointer.at(lane) + c;
                out[c * lanes + lane] = match pointer.root {
                    Root::Bound { memory, halves: true, .. } => {
                        let now = self.now(lane, true);
                        let bits = self.memory[memory].read(at / 2, now)? >> (16 * (at % 2));
                        f16_to_f32(bits as u16).to_bits()
                    }
                    Root::Bound { memory, .. } => {
                        let now = self.now(lane, true);
                        self.memory[memory].read(at, now)?
                    }
                    Root::Group(variable) => {
                        let now = self.now(lane, false);
                        self.group_memory[variable].read(at, now)?
                    }
                    Root::Own(variable) => self.own[variable][at * lanes + lane],
                };
            }
        }
        Ok(out)
    }

    fn store(&mut self, pointer: &Pointer, words: &[u32], mask: &[bool]) -> Outcome<()> {
        let lanes = self.lanes;
        if let (Root::Own(variable), &[at]) = (pointer.root, &pointer.at[..]) {
            merge(&mut self.own[variable][at as usize * lanes..][..words.len()], words, mask);
            return Ok(());
        }
        for lane in (0..lanes).filter(|&l| mask[l]) {
            for c in 0..words.len() / lanes {
                let (at, value) = (pointer.at(lane) + c, words[c * lanes + lane]);
                match pointer.root {
                    Root::Bound { halves: true, .. } => return Err("halves are not written".into()),
                    Root::Bound { memory, .. } => {
                        let now = self.now(lane, true);
                        self.memory[memory].write(at, value, now)?;
                    }
                    Root::Group(variable) => {
                        let now = self.now(lane, false);
                        self.group_memory[variable].write(at, value, now)?;
                    }
                    Root::Own(variable) => self.own[variable][at * lanes + lane] = value,
                }
            }
        }
        Ok(())
    }

    fn is_atomic(&self, frame: &Frame<'m>, pointer: Handle<naga::Expression>) -> bool {
        let pointer = self.resolve(frame, pointer);
        matches!(*pointer, TypeInner::Pointer { base, .. } if matches!(self.inner(base), TypeInner::Atomic(_)))
    }

    /// One after the other each puts there what `f` makes of what is there and its own word; gives what was there.
    fn atomic(&mut self, pointer: &Pointer, by: &[u32], f: fn(u32, u32) -> u32, mask: &[bool]) -> Outcome<Words> {
        let mut out = vec![0; self.lanes];
        for lane in (0..self.lanes).filter(|&l| mask[l]) {
            let at = pointer.at(lane);
            out[lane] = match pointer.root {
                Root::Bound { memory, .. } => {
                    let now = self.now(lane, true);
                    self.memory[memory].change(at, |old| f(old, by[lane]), now)?
                }
                Root::Group(variable) => {
                    let now = self.now(lane, false);
                    self.group_memory[variable].change(at, |old| f(old, by[lane]), now)?
                }
                Root::Own(_) => return Err("an atomic operation on an invocation's own variable".into()),
            };
        }
        Ok(out)
    }

    /// Values of other invocations of the subgroup. All of it or none must come there.
    fn gather(&self, frame: &Frame<'m>, mode: &GatherMode, of: &[u32], mask: &[bool]) -> Outcome<Words> {
        let lanes = self.lanes;
        self.together(mask)?;
        let index = |h: &Handle<naga::Expression>| frame.value(*h);
        let by = match mode {
            GatherMode::ShuffleXor(by) | GatherMode::Shuffle(by) | GatherMode::Broadcast(by) => index(by)?,
            other => return Err(format!("{other:?} is not known")),
        };
        // Nobody can tell what comes from where nobody is.
        const NONSENSE: u32 = 0x7fc0_dead;
        let mut out = vec![NONSENSE; of.len()];
        for (i, out) in out.iter_mut().enumerate() {
            let (lane, first) = (i % lanes, i % lanes / self.subgroup * self.subgroup);
            let within = match mode {
                GatherMode::ShuffleXor(_) => (lane - first) ^ by[lane] as usize,
                _ => by[lane] as usize,
            };
            if within < self.subgroup && first + within < lanes {
                *out = of[i - lane + first + within];
            }
        }
        Ok(out)
    }

    /// All invocations of a subgroup must be there, or none.
    fn together(&self, mask: &[bool]) -> Outcome<()> {
        match mask.chunks(self.subgroup).position(|part| part.contains(&true) && part.contains(&false)) {
            Some(i) => Err(format!("only a part of subgroup {i} of work-group {} is there", self.group)),
            None => Ok(()),
        }
    }

    fn resolve(&self, frame: &Frame<'m>, handle: Handle<naga::Expression>) -> &'m TypeInner {
        frame.info[handle].ty.inner_with(&self.module.types)
    }
}

impl Frame<'_> {
    fn value(&self, handle: Handle<naga::Expression>) -> Outcome<&Words> {
        match &self.slots[handle.index()] {
            Slot::Words(words) => Ok(words),
            _ => Err(format!("no value: {:?}", self.function.expressions[handle])),
        }
    }

    fn pointer(&self, handle: Handle<naga::Expression>) -> Outcome<&Pointer> {
        match &self.slots[handle.index()] {
            Slot::Pointer(pointer) => Ok(pointer),
            _ => Err(format!("no pointer: {:?}", self.function.expressions[handle])),
        }
    }
}

fn either(a: &[bool], b: &[bool]) -> Mask {
    a.iter().zip(b).map(|(&a, &b)| a || b).collect()
}

/// Takes the words of those that take part.
fn merge(into: &mut [u32], words: &[u32], mask: &[bool]) {
    if !mask.contains(&false) {
        return into.copy_from_slice(words);
    }
    for (into, words) in into.chunks_mut(mask.len()).zip(words.chunks(mask.len())) {
        let taken = into.iter_mut().zip(words).zip(mask).filter(|&(_, &m)| m);
        taken.for_each(|((into, &word), _)| *into = word);
    }
}
