//! From programs to instructions: which lines a pass needs, where their blocks lie, which registers they share.

use smallvec::SmallVec;

use super::interp::{Dst, Fn1, Fn2, Inst, Op, Pick, Place, Src};
use super::space::Space;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::{Access, Instr, Program, Reg};
use crate::ir::scalar::{BinaryFn, UnaryFn};

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
}

impl Compiler<'_> {
    fn place(&mut self, index: u16, at: &Access, dtype: DType) -> u16 {
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

    fn operands(&self, item: Item) -> SmallVec<[Reg; 3]> {
        match item {
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
        let n = self.program.lines.len();
        let mut last = vec![0usize; n];
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
        self.loc = vec![None; n];
        let mut free: Vec<u16> = Vec::new();
        let mut done = vec![false; self.program.stores.len()];
        let mut code = Vec::new();
        let mut out = vec![Vec::new(); cuts.len()];
        for (i, &item) in items.iter().enumerate() {
            let mut emit = |op, dst, dtype| code.push(Inst { op, dst, dtype });
            match item {
                Item::Line(l) => {
                    let line = &self.program.lines[l as usize];
                    let at =
                        |c: &Self| c.at[l as usize].clone().ok_or_else(|| Error::internal("a line without an address"));
                    let in_place = self.wiring.in_place.get(l as usize).copied().flatten();
                    // What follows the step's buffers is scratch memory, in register types.
                    let of_buffer =
                        |c: &Self, buf: u16| c.wiring.dtypes.get(usize::from(buf)).copied().unwrap_or(line.dtype);
                    let of_out = |c: &Self, out: u16| c.wiring.out_dtypes[usize::from(out)];
                    // Values that already lie in a row in an input are used where they are.
                    if let Instr::Load { buf, gather, .. } = &line.instr
                        && gather.is_empty()
                        && in_place.is_none()
                        && i >= pinned
                        && !of_buffer(self, *buf).is_narrow()
                        && self.contiguous(&at(self)?)
                    {
                        self.loc[l as usize] = Some(Src::Buf(self.place(*buf, &at(self)?, line.dtype)));
                        continue_cut(&mut out, &mut code, cuts, i);
                        continue;
                    }
                    let loc = &self.loc;
                    let get = |r: Reg| {
                        loc[r as usize].ok_or_else(|| Error::internal(format!("r{r} is used before it is computed")))
                    };
                    let type_of = |r: Reg| self.program.lines[r as usize].dtype;
                    let op = match &line.instr {
                        Instr::Load { gather, buf, .. } => {
                            let at = at(self)?;
                            let picks = gather
                                .iter()
                                .map(|g| {
                                    let signed = type_of(g.index) == DType::I32;
                                    Ok(Pick { index: get(g.index)?, signed, extent: g.extent as i64, stride: g.stride })
                                })
                                .collect::<Result<SmallVec<[Pick; 1]>>>()?;
                            let uniform = gather.iter().all(|g| !self.varies[g.index as usize]);
                            match in_place {
                                Some(index) => Op::LoadOut(self.place(index, &at, of_out(self, index))),
                                None if picks.is_empty() => Op::Load(self.place(*buf, &at, of_buffer(self, *buf))),
                                None => {
                                    let place = self.place(*buf, &at, of_buffer(self, *buf));
                                    Op::Gather { place, picks, uniform }
                                }
                            }
                        }
                        Instr::Index { .. } => Op::Index(at(self)?),
                        Instr::Random { key, stream, .. } => Op::Random { at: at(self)?, key: *key, stream: *stream },
                        Instr::Param { slot } => Op::Param(*slot),
                        Instr::Acc(_) => return Err(Error::internal("`Acc` outside an epilogue")),
                        Instr::Unary(f, a) => Op::Unary(unary(f, type_of(*a))?, get(*a)?),
                        Instr::Binary(f, a, b) => Op::Binary(binary(f, type_of(*a))?, get(*a)?, get(*b)?),
                        Instr::Select(c, a, b) => Op::Select(get(*c)?, get(*a)?, get(*b)?),
                        Instr::Cast(a) => Op::Cast(type_of(*a), get(*a)?),
                        Instr::Repeat(_) => return Err(Error::internal("a repetition that was not taken out")),
                        Instr::Reduce(..) => return Err(Error::internal("a reduction inside the full space")),
                    };
                    // A result that is stored at once is computed in its output, and later lines read it there. Not so
                    // where that output takes several results (it is assembled): a line cannot read it and write it.
                    let store = match items.get(i + 1) {
                        Some(&Item::Store(s))
                            if i >= pinned
                                && self.program.stores[s as usize].reg == l
                                && !cuts.contains(&(i + 1))
                                && (last[l as usize] == i + 1 || self.wiring.is_alone(s)) =>
                        {
                            let out = self.wiring.out_of_store[s as usize];
                            let fits = |at: &Access| self.contiguous(at) && !of_out(self, out).is_narrow();
                            self.store_at[s as usize].clone().filter(fits).map(|at| (s, at))
                        }
                        _ => None,
                    };
                    let dst = match store {
                        // What is put back where it was read is there already.
                        Some((s, _)) if in_place == Some(self.wiring.out_of_store[s as usize]) => {
                            done[s as usize] = true;
                            let r = self.register(&mut free);
                            self.loc[l as usize] = Some(Src::Reg(r));
                            Dst::Reg(r)
                        }
                        Some((s, at)) => {
                            done[s as usize] = true;
                            let p = self.place(self.wiring.out_of_store[s as usize], &at, line.dtype);
                            self.loc[l as usize] = Some(Src::Out(p));
                            Dst::Out(p)
                        }
                        None => {
                            let r = self.register(&mut free);
                            self.loc[l as usize] = Some(Src::Reg(r));
                            Dst::Reg(r)
                        }
                    };
                    emit(op, dst, line.dtype);
                }
                Item::Expand(l) => {
                    let r = self.register(&mut free);
                    self.loc[l as usize] = Some(Src::Reg(r));
                    emit(Op::Expand(self.outer[l as usize]), Dst::Reg(r), self.program.lines[l as usize].dtype);
                }
                Item::Given(l) => self.loc[l as usize] = Some(Src::Reg(self.register(&mut free))),
                Item::Reduce(l) => {
                    let operand = self.operands(item)[0] as usize;
                    let src = self.loc[operand].ok_or_else(|| Error::internal("a reduction of nothing"))?;
                    emit(Op::Reduce(self.accs[l as usize], src), Dst::None, self.program.lines[operand].dtype);
                }
                Item::Store(s) if done[s as usize] => {}
                Item::Store(s) => {
                    let reg = self.program.stores[s as usize].reg as usize;
                    let src = self.loc[reg].ok_or_else(|| Error::internal("a store of nothing"))?;
                    let at = self.store_at[s as usize]
                        .clone()
                        .ok_or_else(|| Error::internal("a store without an address"))?;
                    let out = self.wiring.out_of_store[s as usize];
                    let p = self.place(out, &at, self.wiring.out_dtypes[usize::from(out)]);
                    emit(Op::Store(p, src), Dst::None, self.program.lines[reg].dtype);
                }
            }
            // Registers whose values are not needed any more.
            for r in self.operands(item) {
                if last[r as usize] == i
                    && let Some(Src::Reg(reg)) = self.loc[r as usize]
                {
                    free.push(reg);
                    last[r as usize] = usize::MAX; // an operand may be named twice
                }
            }
            continue_cut(&mut out, &mut code, cuts, i);
        }
        Ok(out)
    }

    fn register(&mut self, free: &mut Vec<u16>) -> u16 {
        free.pop().unwrap_or_else(|| {
            self.regs += 1;
            (self.regs - 1) as u16
        })
    }
}

/// After item `i`: hands the code so far to the last cut that is now complete.
fn continue_cut(out: &mut [Vec<Inst>], code: &mut Vec<Inst>, cuts: &[usize], i: usize) {
    if let Some(c) = cuts.iter().position(|&c| c == i + 1) {
        out[c] = std::mem::take(code);
    }
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
        _ => 150,
    };
    200 + code.map(each).sum::<usize>()
}
