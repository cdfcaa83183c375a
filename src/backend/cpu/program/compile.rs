//! From programs to instructions: which lines a pass needs, where their blocks lie, which registers they share.

use smallvec::SmallVec;

use super::chain::Chain;
use super::interp::{Arg, Dst, Fn1, Fn2, Inst, Op, Pick, Place, Src};
use super::space::Space;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::{Access, Instr, Program, ReduceOp, Reg};
use crate::ir::scalar::{BinaryFn, UnaryFn};

/// Rows whose sums may be taken where their values are computed: many sums side by side are worth adding up at the end.
const LONG_ROW: usize = 128;

/// How the blocks of a pass lie in its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Layout {
    /// Any run of the flattened space.
    Flat,
    /// Runs within the innermost dimension.
    InRow,
    /// Several rows, each a part of one.
    Pitched,
}

/// What a program's buffers are at run time.
#[derive(Clone, Debug, Default)]
pub(in crate::backend::cpu) struct Wiring {
    /// For each store its output.
    pub(in crate::backend::cpu) out_of_store: Vec<u16>,
    /// For each line a load from an output that is also written: the output.
    pub(in crate::backend::cpu) in_place: Vec<Option<u16>>,
    /// The types of the step's buffers, and of the outputs.
    pub(in crate::backend::cpu) dtypes: Vec<DType>,
    pub(in crate::backend::cpu) out_dtypes: Vec<DType>,
}

impl Wiring {
    /// Whether no other store goes to the same output.
    fn is_alone(&self, store: u16) -> bool {
        let k = self.out_of_store[store as usize];
        self.out_of_store.iter().filter(|&&other| other == k).count() == 1
    }
}

/// What a pass does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Item {
    /// Computes a line of the full space.
    Line(Reg),
    /// Repeats an outer line over the inner positions.
    Expand(Reg),
    /// Feeds a `Reduce` line.
    Reduce(Reg),
    /// A register that something else fills: a reduction's result.
    Given(Reg),
    Store(u16),
}

impl Item {
    pub(super) fn store(self) -> Option<u16> {
        if let Item::Store(s) = self { Some(s) } else { None }
    }
}

/// The program without repetitions, and without casts to the type that a value has already.
pub(in crate::backend::cpu) fn without_copies(program: &Program) -> Program {
    let mut out = Program::default();
    // For each line its new register.
    let mut now: Vec<Reg> = Vec::with_capacity(program.lines.len());
    for line in &program.lines {
        let mut line = line.clone();
        let same = |a: Reg| program.lines[a as usize].dtype == line.dtype;
        if let Instr::Cast(a) | Instr::Repeat(a) = line.instr
            && same(a)
        {
            now.push(now[a as usize]);
            continue;
        }
        line.instr.map_operands(|r| now[r as usize]);
        now.push(out.lines.len() as Reg);
        out.lines.push(line);
    }
    out.stores = program.stores.clone();
    out.stores.iter_mut().for_each(|s| s.reg = now[s.reg as usize]);
    out
}

/// Turns lines into instructions over one space.
pub(in crate::backend::cpu) struct Compiler<'p> {
    pub(in crate::backend::cpu) program: &'p Program,
    pub(in crate::backend::cpu) wiring: &'p Wiring,
    pub(in crate::backend::cpu) space: &'p Space,
    pub(in crate::backend::cpu) layout: Layout,
    /// Addresses over `space`, for the lines and stores that live there.
    pub(in crate::backend::cpu) at: Vec<Option<Access>>,
    pub(in crate::backend::cpu) store_at: Vec<Option<Access>>,
    /// Lines whose values change along the innermost dimension of the space.
    pub(in crate::backend::cpu) varies: Vec<bool>,
    /// For each outer line its register at the outer level.
    pub(in crate::backend::cpu) outer: Vec<u16>,
    /// For each `Reduce` line its accumulator.
    pub(in crate::backend::cpu) accs: Vec<u16>,
    pub(in crate::backend::cpu) places: Vec<Place>,
    /// Registers used so far.
    pub(in crate::backend::cpu) regs: usize,
    /// Where the value of each line was last put.
    pub(in crate::backend::cpu) loc: Vec<Option<Src>>,
    /// Registers whose values are not needed any more.
    pub(in crate::backend::cpu) free: Vec<u16>,
    /// Blocks are rows, this long, of a lane each.
    pub(in crate::backend::cpu) row: Option<usize>,
    /// Whether a line is an outer one that is repeated, and whether its values are equal in all positions of a block.
    pub(in crate::backend::cpu) expanded: Vec<bool>,
    pub(in crate::backend::cpu) equal: Vec<bool>,
    /// Whether a line loads what its one user overwrites in the same place.
    pub(in crate::backend::cpu) own: Vec<bool>,
    /// The chains by their last lines, and whether a line is computed within another.
    pub(in crate::backend::cpu) chains: Vec<Option<Chain<Reg>>>,
    pub(in crate::backend::cpu) within: Vec<bool>,
}

impl<'p> Compiler<'p> {
    /// With nothing known yet of addresses, registers and what varies.
    pub(in crate::backend::cpu) fn new(
        program: &'p Program,
        wiring: &'p Wiring,
        space: &'p Space,
        layout: Layout,
    ) -> Self {
        Compiler {
            program,
            wiring,
            space,
            layout,
            at: Vec::new(),
            store_at: Vec::new(),
            varies: Vec::new(),
            outer: Vec::new(),
            accs: Vec::new(),
            places: Vec::new(),
            regs: 0,
            loc: Vec::new(),
            free: Vec::new(),
            row: None,
            expanded: Vec::new(),
            equal: Vec::new(),
            own: Vec::new(),
            chains: Vec::new(),
            within: Vec::new(),
        }
    }

    pub(super) fn place(&mut self, index: u16, at: &Access, dtype: DType) -> u16 {
        let flat = self.space.is_flat(at);
        self.places.push(Place { index, at: at.clone(), flat, dtype });
        (self.places.len() - 1) as u16
    }

    /// Whether a block's addresses are consecutive.
    fn contiguous(&self, at: &Access) -> bool {
        match self.layout {
            Layout::Pitched => false,
            Layout::Flat => self.space.is_flat(at),
            Layout::InRow => at.strides.last().is_none_or(|&s| s == 1),
        }
    }

    pub(super) fn operands(&self, item: Item) -> SmallVec<[Reg; 3]> {
        match item {
            Item::Line(l) if self.within[l as usize] => SmallVec::new(),
            Item::Line(l) if let Some(chain) = &self.chains[l as usize] => SmallVec::from_slice(chain.operands()),
            Item::Line(l) => self.program.lines[l as usize].instr.operands(),
            Item::Reduce(l) => self.program.lines[l as usize].instr.operands(),
            Item::Store(s) => SmallVec::from_slice(&[self.program.stores[s as usize].reg]),
            Item::Expand(_) | Item::Given(_) => SmallVec::new(),
        }
    }

    /// Compiles `items`; the results of the first `pinned` of them keep their registers to the end. The instructions
    /// come back cut after `cuts` items each.
    pub(in crate::backend::cpu) fn compile(
        &mut self,
        items: &[Item],
        pinned: usize,
        cuts: &[usize],
    ) -> Result<Vec<Vec<Inst>>> {
        self.equal = self.equal();
        self.expanded = vec![false; self.program.lines.len()];
        for item in items {
            if let Item::Expand(l) = *item {
                self.expanded[l as usize] = true;
            }
        }
        (self.chains, self.within) = self.find_chains(items, pinned, cuts);
        self.own = self.own(items, pinned, cuts);
        let unread = self.unread(items);
        let mut last = self.last_uses(items, pinned);
        self.loc = vec![None; self.program.lines.len()];
        self.free.clear();
        let mut done = vec![false; self.program.stores.len()];
        // Reductions that a chain before them does.
        let mut summed = vec![false; self.program.lines.len()];
        let mut code = Vec::new();
        let mut out = vec![Vec::new(); cuts.len()];
        for (i, &item) in items.iter().enumerate() {
            match item {
                Item::Line(l) if self.within[l as usize] => {}
                Item::Line(l) | Item::Expand(l) if unread[l as usize] => {}
                // Values that already lie in a row in an input are used where they are.
                Item::Line(l) if i >= pinned && self.lies_in_a_row(l)? => {}
                Item::Line(l) => {
                    // A result that is stored at once is computed in its output, and later lines read it there.
                    let next = next(items, i, cuts).filter(|_| i >= pinned);
                    let nobody_else = last[l as usize] == i + 1;
                    let store = next.and_then(Item::store).filter(|&s| self.is_stored_at_once(l, s, nobody_else));
                    let op = self.line(l)?;
                    let sum = next.and_then(|item| self.long_sum(item)).filter(|_| nobody_else);
                    let (op, dst) = match (op, sum) {
                        (Op::Chain(chain), Some(sum)) if let Some(sums) = chain.sums() => {
                            summed[sum as usize] = true;
                            (Op::Sum(self.accs[sum as usize], chain, sums), Dst::None)
                        }
                        (op, _) => (op, self.target(l, store, &mut done)),
                    };
                    code.push(Inst { op, dst, dtype: self.program.lines[l as usize].dtype });
                }
                Item::Expand(l) => {
                    let (op, dst) = (Op::Expand(self.outer[l as usize]), self.give_register(l));
                    code.push(Inst { op, dst, dtype: self.program.lines[l as usize].dtype });
                }
                Item::Given(l) => {
                    self.give_register(l);
                }
                Item::Reduce(l) if summed[l as usize] => {}
                Item::Reduce(l) => {
                    let operand = self.operands(item)[0];
                    let op = Op::Reduce(self.accs[l as usize], self.value(operand)?);
                    code.push(Inst { op, dst: Dst::None, dtype: self.program.lines[operand as usize].dtype });
                }
                Item::Store(s) if done[s as usize] => {}
                Item::Store(s) => code.push(self.store(s)?),
            }
            self.release(self.operands(item), i, &mut last);
            if let Some(c) = cuts.iter().position(|&c| c == i + 1) {
                out[c] = std::mem::take(&mut code);
            }
        }
        Ok(out)
    }

    /// The line of an item that sums long rows.
    fn long_sum(&self, item: Item) -> Option<Reg> {
        let Item::Reduce(r) = item else { return None };
        let sums = matches!(self.program.lines[r as usize].instr, Instr::Reduce(ReduceOp::Sum, _));
        (sums && self.row.is_some_and(|row| row >= LONG_ROW)).then_some(r)
    }

    /// For each line the item that needs it last: none ever, where it keeps its register.
    fn last_uses(&self, items: &[Item], pinned: usize) -> Vec<usize> {
        let mut last = vec![0usize; self.program.lines.len()];
        for (i, &item) in items.iter().enumerate() {
            for r in self.operands(item) {
                last[r as usize] = i;
            }
        }
        for item in &items[..pinned] {
            if let Item::Line(l) | Item::Expand(l) | Item::Given(l) = item {
                last[*l as usize] = usize::MAX;
            }
        }
        last
    }

    /// Frees the registers of values that no item after `i` needs.
    fn release(&mut self, operands: SmallVec<[Reg; 3]>, i: usize, last: &mut [usize]) {
        for r in operands {
            if last[r as usize] == i
                && let Some(Src::Reg(reg)) = self.loc[r as usize]
            {
                self.free.push(reg);
                last[r as usize] = usize::MAX; // an operand may be named twice
            }
        }
    }

    pub(super) fn address(&self, line: Reg) -> Result<Access> {
        self.at[line as usize].clone().ok_or_else(|| Error::internal("a line without an address"))
    }

    /// The output that a line loads from.
    pub(super) fn in_place(&self, line: Reg) -> Option<u16> {
        self.wiring.in_place.get(line as usize).copied().flatten()
    }

    /// The type of a buffer; what follows the step's buffers is scratch memory, in register types.
    pub(super) fn of_buffer(&self, buf: u16, line: Reg) -> DType {
        self.wiring.dtypes.get(usize::from(buf)).copied().unwrap_or(self.program.lines[line as usize].dtype)
    }

    fn of_out(&self, out: u16) -> DType {
        self.wiring.out_dtypes[usize::from(out)]
    }

    /// Where the value of a line is.
    pub(super) fn value(&self, line: Reg) -> Result<Src> {
        self.loc[line as usize].ok_or_else(|| Error::internal(format!("r{line} is used before it is computed")))
    }

    /// Whether a line is a load whose values lie in an input as a block needs them; then it is where they are.
    fn lies_in_a_row(&mut self, l: Reg) -> Result<bool> {
        let line = &self.program.lines[l as usize];
        let Instr::Load { buf, gather, .. } = &line.instr else { return Ok(false) };
        if !gather.is_empty() || self.in_place(l).is_some() || self.of_buffer(*buf, l).is_narrow() {
            return Ok(false);
        }
        let at = self.address(l)?;
        let lies = self.contiguous(&at);
        if lies {
            self.loc[l as usize] = Some(Src::Buf(self.place(*buf, &at, line.dtype)));
        }
        Ok(lies)
    }

    /// The operation of a line.
    fn line(&mut self, l: Reg) -> Result<Op> {
        let program = self.program;
        if let Some(chain) = self.chains[l as usize].clone() {
            return Ok(Op::Chain(chain.map(|r| self.arg(r))?.of_kinds(Arg::kind)));
        }
        let type_of = |r: Reg| program.lines[r as usize].dtype;
        Ok(match &program.lines[l as usize].instr {
            Instr::Load { gather, buf, .. } => {
                let at = self.address(l)?;
                let picks = gather
                    .iter()
                    .map(|g| {
                        let signed = type_of(g.index) == DType::I32;
                        Ok(Pick { index: self.value(g.index)?, signed, extent: g.extent as i64, stride: g.stride })
                    })
                    .collect::<Result<SmallVec<[Pick; 1]>>>()?;
                let uniform = gather.iter().all(|g| !self.varies[g.index as usize]);
                match self.in_place(l) {
                    Some(index) => Op::LoadOut(self.place(index, &at, self.of_out(index))),
                    None if picks.is_empty() => Op::Load(self.place(*buf, &at, self.of_buffer(*buf, l))),
                    None => {
                        let place = self.place(*buf, &at, self.of_buffer(*buf, l));
                        Op::Gather { place, picks, uniform }
                    }
                }
            }
            Instr::Index { .. } => Op::Index(self.address(l)?),
            Instr::Random { key, stream, .. } => Op::Random { at: self.address(l)?, key: *key, stream: *stream },
            Instr::Param { slot } => Op::Param(*slot),
            Instr::Acc(_) => return Err(Error::internal("`Acc` outside an epilogue")),
            Instr::Unary(f, a) => Op::Unary(unary(f, type_of(*a))?, self.value(*a)?),
            Instr::Binary(f, a, b) => Op::Binary(binary(f, type_of(*a))?, self.value(*a)?, self.value(*b)?),
            Instr::Select(c, a, b) => Op::Select(self.value(*c)?, self.value(*a)?, self.value(*b)?),
            Instr::Cast(a) => Op::Cast(type_of(*a), self.value(*a)?),
            Instr::Repeat(_) => return Err(Error::internal("a repetition that was not taken out")),
            Instr::Reduce(..) => return Err(Error::internal("a reduction inside the full space")),
        })
    }

    /// Whether line `l`, whose store `s` follows, may be computed in the output. Not so where the output takes several
    /// results (it is assembled) and another line reads the value: that line cannot read the output and write it.
    pub(super) fn is_stored_at_once(&self, l: Reg, s: u16, nobody_else: bool) -> bool {
        let out = self.wiring.out_of_store[s as usize];
        self.program.stores[s as usize].reg == l
            && (nobody_else || self.wiring.is_alone(s))
            && self.store_at[s as usize].as_ref().is_some_and(|at| self.contiguous(at))
            && !self.of_out(out).is_narrow()
    }

    /// Where the value of line `l` goes: into the output of `store`, which is then done, or into a register.
    fn target(&mut self, l: Reg, store: Option<u16>, done: &mut [bool]) -> Dst {
        let Some(s) = store else { return self.give_register(l) };
        let out = self.wiring.out_of_store[s as usize];
        done[s as usize] = true;
        match self.store_at[s as usize].clone() {
            // What is put back where it was read is there already.
            Some(at) if self.in_place(l) != Some(out) => {
                let p = self.place(out, &at, self.program.lines[l as usize].dtype);
                self.loc[l as usize] = Some(Src::Out(p));
                Dst::Out(p)
            }
            _ => self.give_register(l),
        }
    }

    fn store(&mut self, s: u16) -> Result<Inst> {
        let reg = self.program.stores[s as usize].reg;
        let src = self.value(reg)?;
        let at = self.store_at[s as usize].clone().ok_or_else(|| Error::internal("a store without an address"))?;
        let out = self.wiring.out_of_store[s as usize];
        let p = self.place(out, &at, self.of_out(out));
        Ok(Inst { op: Op::Store(p, src), dst: Dst::None, dtype: self.program.lines[reg as usize].dtype })
    }

    /// Gives line `l` a register.
    fn give_register(&mut self, l: Reg) -> Dst {
        let r = self.free.pop().unwrap_or_else(|| {
            self.regs += 1;
            (self.regs - 1) as u16
        });
        self.loc[l as usize] = Some(Src::Reg(r));
        Dst::Reg(r)
    }
}

/// What follows item `i` at once, before the next cut.
pub(super) fn next(items: &[Item], i: usize, cuts: &[usize]) -> Option<Item> {
    items.get(i + 1).copied().filter(|_| !cuts.contains(&(i + 1)))
}

fn missing(name: &str, dtype: DType) -> Error {
    Error::internal(format!("`{name}` has no CPU meaning for {dtype}"))
}

fn unary(f: &UnaryFn, dtype: DType) -> Result<Fn1> {
    let c = &f.cpu;
    match dtype {
        DType::F32 => c.test_f32.map(Fn1::Test32).or(c.f32.map(Fn1::F32)),
        DType::F64 => c.test_f64.map(Fn1::Test64).or(c.f64.map(Fn1::F64)),
        DType::I32 => c.i32.map(Fn1::I32),
        DType::U32 => c.u32.map(Fn1::U32),
        DType::Bool => c.bool.map(Fn1::U32),
        _ => None,
    }
    .ok_or_else(|| missing(f.name, dtype))
}

fn binary(f: &BinaryFn, dtype: DType) -> Result<Fn2> {
    let c = &f.cpu;
    match (f.compares, dtype) {
        (false, DType::F32) => c.f32.map(Fn2::F32),
        (false, DType::F64) => c.f64.map(Fn2::F64),
        (false, DType::I32) => c.i32.map(Fn2::I32),
        (false, DType::U32) => c.u32.map(Fn2::U32),
        (false, DType::Bool) => c.bool.map(Fn2::U32),
        (true, DType::F32) => c.cmp_f32.map(Fn2::Cmp32),
        (true, DType::F64) => c.cmp_f64.map(Fn2::Cmp64),
        (true, DType::I32) => c.cmp_i32.map(Fn2::CmpI32),
        (true, DType::U32 | DType::Bool) => c.cmp_u32.map(Fn2::U32),
        _ => None,
    }
    .ok_or_else(|| missing(f.name, dtype))
}

/// How much work a program is for each element, roughly in picoseconds.
pub(in crate::backend::cpu) fn cost<'i>(code: impl Iterator<Item = &'i Inst>) -> usize {
    let each = |inst: &Inst| match inst.op {
        Op::Unary(..) => 400,
        Op::Random { .. } => 1000,
        Op::Gather { .. } => 1500,
        Op::Load(_) | Op::LoadOut(_) | Op::Store(..) => 300,
        Op::Param(_) | Op::Expand(_) => 50,
        Op::Chain(ref chain) | Op::Sum(_, ref chain, _) => 100 + 75 * chain.len(),
        _ => 150,
    };
    200 + code.map(each).sum::<usize>()
}
