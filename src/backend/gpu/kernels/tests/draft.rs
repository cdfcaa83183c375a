//! What steps made by hand are made with.

use std::sync::Arc;

use crate::dtype::DType;
use crate::ir::encoding::{f32_to_bf16, f32_to_f16};
use crate::ir::program::{Access, Dims, Gather, Instr, Line, Program, ReduceOp, Reg, Store};
use crate::ir::scalar::{BinaryFn, UnaryFn};
use crate::ir::step::{BufferInfo, Family, Plan, Role, Step};

use DType::{Bool, F32, I32, U32};

/// A plan of one step, the content of its buffers before the step, and its run-time scalars.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) plan: Arc<Plan>,
    pub(super) data: Vec<Vec<u32>>,
    pub(super) params: Vec<f64>,
}

impl Case {
    /// Whether a device that binds at most so many buffers can run it.
    pub(super) fn fits(&self, bindings: usize) -> bool {
        self.plan.buffers.len() < bindings
    }

    /// Bytes of an element of a buffer in memory: those of its type, or a word.
    pub(super) fn size(&self, buffer: usize) -> usize {
        let dtype = self.plan.buffers[buffer].dtype;
        if dtype.is_narrow() { dtype.size() } else { 4 }
    }

    /// A buffer's content as it is in memory.
    pub(super) fn bytes(&self, buffer: usize) -> Vec<u8> {
        let size = self.size(buffer);
        self.data[buffer].iter().flat_map(|word| word.to_le_bytes().into_iter().take(size)).collect()
    }

    /// A word for each element that is in memory.
    pub(super) fn elements(&self, buffer: usize, bytes: &[u8]) -> Vec<u32> {
        bytes.chunks(self.size(buffer)).map(word).collect()
    }

    /// The same as words of memory.
    pub(super) fn packed(&self, buffer: usize) -> Vec<u32> {
        self.bytes(buffer).chunks(4).map(word).collect()
    }

    /// A word for each element of all buffers.
    pub(super) fn unpacked(&self, words: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let of = |(i, words): (usize, &Vec<u32>)| {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            self.elements(i, &bytes[..self.data[i].len() * self.size(i)])
        };
        words.iter().enumerate().map(of).collect()
    }
}

impl Case {
    /// Several in one plan, none of which waits for another; at most one of them has scalars.
    pub(super) fn together(cases: &[&Case]) -> Case {
        let (mut buffers, mut steps) = (Vec::new(), Vec::new());
        let (mut leaves, mut outputs) = (0, 0);
        for case in cases {
            let first = buffers.len() as u16;
            let moved = |info: &BufferInfo| {
                let role = match info.role {
                    Role::Leaf(i) => Role::Leaf(i + leaves),
                    Role::Output(i) => Role::Output(i + outputs),
                    Role::Temp { .. } => unreachable!("a case is one step"),
                };
                BufferInfo { role, ..info.clone() }
            };
            let own: Vec<BufferInfo> = case.plan.buffers.iter().map(moved).collect();
            leaves += own.iter().filter(|b| b.is_leaf()).count() as u32;
            outputs += own.iter().filter(|b| !b.is_leaf()).count() as u32;
            buffers.extend(own);
            let mut step = case.plan.steps[0].clone();
            step.bufs.iter_mut().for_each(|buf| *buf += first);
            steps.push(step);
        }
        let params = cases.iter().find(|c| !c.params.is_empty()).map_or(Vec::new(), |c| c.params.clone());
        let name = cases.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" | ");
        let data = cases.iter().flat_map(|c| c.data.iter().cloned()).collect();
        Case { name, plan: Arc::new(Plan { buffers, steps, params: params.len(), slots: Vec::new() }), data, params }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

/// Row-major strides.
pub(super) fn row_major(extents: &[usize]) -> Vec<i64> {
    let mut out = vec![1; extents.len()];
    for d in (1..extents.len()).rev() {
        out[d - 1] = out[d] * extents[d] as i64;
    }
    out
}

pub(super) fn product(extents: &[usize]) -> usize {
    extents.iter().product()
}

#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) buffers: Vec<BufferInfo>,
    pub(super) data: Vec<Vec<u32>>,
    program: Program,
    pub(super) params: Vec<f64>,
    seed: u32,
}

impl Draft {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Draft { name: name.into(), seed: 1, ..Draft::default() }
    }

    /// Small numbers in all directions: multiples of 1/8 below 4 in size, so that products and short sums are exact.
    pub(super) fn noise(&mut self, dtype: DType) -> u32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let n = ((self.seed >> 16) % 65) as i32 - 32;
        match dtype {
            F32 | DType::F64 => (n as f32 / 8.0).to_bits(),
            I32 => n as u32,
            U32 => n.unsigned_abs(),
            Bool => (n & 1) as u32,
            DType::F16 => f32_to_f16(n as f32 / 8.0).into(),
            DType::BF16 => f32_to_bf16(n as f32 / 8.0).into(),
            DType::U8 | DType::I8 => unreachable!("bytes are not among the cases"),
        }
    }

    pub(super) fn input(&mut self, dtype: DType, len: usize) -> u16 {
        let words = (0..len).map(|_| self.noise(dtype)).collect();
        self.given(dtype, words)
    }

    pub(super) fn given(&mut self, dtype: DType, words: Vec<u32>) -> u16 {
        let leaves = self.buffers.iter().filter(|b| b.is_leaf()).count();
        self.buffers.push(BufferInfo { role: Role::Leaf(leaves as u32), dtype, len: words.len() });
        self.data.push(words);
        self.buffers.len() as u16 - 1
    }

    pub(super) fn floats(&mut self, values: &[f32]) -> u16 {
        self.given(F32, values.iter().map(|v| v.to_bits()).collect())
    }

    pub(super) fn output(&mut self, dtype: DType, len: usize) -> u16 {
        let outputs = self.buffers.iter().filter(|b| matches!(b.role, Role::Output(_))).count();
        self.buffers.push(BufferInfo { role: Role::Output(outputs as u32), dtype, len });
        self.data.push(vec![0; len]);
        self.buffers.len() as u16 - 1
    }

    pub(super) fn line(&mut self, instr: Instr, dtype: DType, inner: bool) -> Reg {
        self.program.lines.push(Line { instr, dtype, inner });
        self.program.lines.len() as Reg - 1
    }

    pub(super) fn dtype(&self, reg: Reg) -> DType {
        self.program.lines[reg as usize].dtype
    }

    pub(super) fn is_inner(&self, regs: &[Reg]) -> bool {
        regs.iter().any(|&r| self.program.lines[r as usize].inner)
    }

    pub(super) fn load(&mut self, buf: u16, offset: i64, strides: &[i64], inner: bool) -> Reg {
        self.gather(buf, offset, strides, inner, &[])
    }

    pub(super) fn gather(&mut self, buf: u16, offset: i64, strides: &[i64], inner: bool, gather: &[Gather]) -> Reg {
        let (at, dtype) = (access(offset, strides), self.buffers[buf as usize].dtype.register());
        self.line(Instr::Load { buf, at, gather: gather.iter().cloned().collect() }, dtype, inner)
    }

    pub(super) fn unary(&mut self, f: &'static UnaryFn, x: Reg) -> Reg {
        let dtype = if f.name == "is_nan" { Bool } else { self.dtype(x) };
        self.line(Instr::Unary(f, x), dtype, self.is_inner(&[x]))
    }

    pub(super) fn binary(&mut self, f: &'static BinaryFn, a: Reg, b: Reg) -> Reg {
        let dtype = if f.compares { Bool } else { self.dtype(a) };
        self.line(Instr::Binary(f, a, b), dtype, self.is_inner(&[a, b]))
    }

    pub(super) fn cast(&mut self, x: Reg, dtype: DType) -> Reg {
        self.line(Instr::Cast(x), dtype, self.is_inner(&[x]))
    }

    pub(super) fn reduce(&mut self, op: ReduceOp, x: Reg) -> Reg {
        let arg = matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
        let dtype = if arg { I32 } else { self.dtype(x) };
        self.line(Instr::Reduce(op, x), dtype, false)
    }

    pub(super) fn param(&mut self, value: f64, dtype: DType) -> Reg {
        self.params.push(value);
        self.line(Instr::Param { slot: self.params.len() as u16 - 1 }, dtype, false)
    }

    pub(super) fn store(&mut self, reg: Reg, buf: u16, offset: i64, strides: &[i64], inner: bool) {
        self.program.stores.push(Store { reg, buf, at: access(offset, strides), inner });
    }

    /// Stores a register contiguously in a new output.
    pub(super) fn keep(&mut self, reg: Reg, extents: &[usize], inner: bool) {
        let out = self.output(self.dtype(reg), product(extents));
        self.store(reg, out, 0, &row_major(extents), inner);
    }

    pub(super) fn step(self, family: Family, operands: &[u16]) -> Case {
        let step = Step::new(family, operands, self.program.clone());
        self.case(step)
    }

    pub(super) fn nest(self, outer: &[usize], inner: &[usize]) -> Case {
        let step = Step::nest(outer, inner, self.program.clone());
        self.case(step)
    }

    pub(super) fn case(self, step: Step) -> Case {
        let bufs = (0..self.buffers.len() as u16).collect();
        let steps = vec![Step { bufs, ops: vec!["test"], ..step }];
        let plan = Plan { buffers: self.buffers, steps, params: self.params.len(), slots: Vec::new() };
        Case { name: self.name, plan: Arc::new(plan), data: self.data, params: self.params }
    }
}

pub(super) fn access(offset: i64, strides: &[i64]) -> Access {
    Access { offset, strides: Dims::from_slice(strides) }
}
