//! Hand-made plans against a reference that follows the definitions of `plan/program.rs` and `plan/step.rs` word by word.

mod nests;
mod plans;
mod products;
mod random;
mod windows;

use std::cell::RefCell;
use std::sync::Arc;

use super::CpuBackend;
use super::threads::Pool;
use crate::backend::{Backend, Buffer, DeviceOptions};
use crate::dtype::{DType, Element};
use crate::ir::gemm::Loader;
use crate::ir::program::{Access, Gather, Instr, Line, Program, ReduceOp, Reg, Store};
use crate::ir::scalar::{Basic1, Basic2, Binary1, BinaryFn, Unary1, UnaryFn};
use crate::ir::step::{BufferInfo, Family, Plan, Role, Step};

macro_rules! unary {
    ($name:ident, $f:expr, $basic:expr) => {
        pub(super) static $name: UnaryFn = UnaryFn {
            name: stringify!($name),
            cpu: Unary1 {
                f32: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = $f(f64::from(*x)) as f32)),
                f64: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = $f(*x))),
                i32: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = $f(f64::from(*x)) as i32)),
                u32: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = $f(f64::from(*x)) as u32)),
                basic: $basic,
                ..Unary1::NONE
            },
            wgsl: "",
            wgsl_int: "",
            wgsl_bool: "",
        };
    };
}
unary!(NEG, |x: f64| -x, Some(Basic1::Neg));
unary!(SQUARE, |x: f64| x * x, Some(Basic1::Square));
unary!(EXP, f64::exp, None);

pub(super) static IS_NAN: UnaryFn = UnaryFn {
    name: "is_nan",
    cpu: Unary1 {
        test_f32: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = u32::from(x.is_nan()))),
        test_f64: Some(|x, o| x.iter().zip(o).for_each(|(x, o)| *o = u32::from(x.is_nan()))),
        ..Unary1::NONE
    },
    wgsl: "",
    wgsl_int: "",
    wgsl_bool: "",
};

macro_rules! binary {
    ($name:ident, $f:tt, $basic:ident) => {
        pub(super) static $name: BinaryFn = BinaryFn {
            name: stringify!($name),
            cpu: Binary1 {
                f32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = *a $f *b)),
                f64: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = *a $f *b)),
                i32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = *a $f *b)),
                u32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = *a $f *b)),
                basic: Some(Basic2::$basic),
                ..Binary1::NONE
            },
            wgsl: "",
            wgsl_i32: "",
            wgsl_u32: "",
            wgsl_bool: "",
            compares: false,
        };
    };
}
binary!(ADD, +, Add);
binary!(SUB, -, Sub);
binary!(MUL, *, Mul);
binary!(DIV, /, Div);

pub(super) static LESS: BinaryFn = BinaryFn {
    name: "less",
    cpu: Binary1 {
        cmp_f32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = u32::from(a < b))),
        cmp_f64: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = u32::from(a < b))),
        cmp_i32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = u32::from(a < b))),
        cmp_u32: Some(|a, b, o| a.iter().zip(b).zip(o).for_each(|((a, b), o)| *o = u32::from(a < b))),
        ..Binary1::NONE
    },
    wgsl: "",
    wgsl_i32: "",
    wgsl_u32: "",
    wgsl_bool: "",
    compares: true,
};

/// An address.
pub(super) fn at(offset: i64, strides: &[i64]) -> Access {
    Access { offset, strides: strides.iter().copied().collect() }
}

/// Row-major over `dims`.
pub(super) fn flat(dims: &[usize]) -> Access {
    let strides: Vec<i64> = (0..dims.len()).map(|d| dims[d + 1..].iter().product::<usize>() as i64).collect();
    at(0, &strides)
}

/// Builds programs line by line.
#[derive(Default)]
pub(super) struct Build {
    pub(super) program: Program,
}

impl Build {
    pub(super) fn line(&mut self, instr: Instr, dtype: DType, inner: bool) -> Reg {
        self.program.lines.push(Line { instr, dtype, inner });
        (self.program.lines.len() - 1) as Reg
    }

    pub(super) fn load(&mut self, buf: u16, at: Access, dtype: DType, inner: bool) -> Reg {
        self.line(Instr::Load { buf, at, gather: Default::default() }, dtype, inner)
    }

    pub(super) fn gather(
        &mut self,
        buf: u16,
        at: Access,
        picks: &[(Reg, usize, i64)],
        dtype: DType,
        inner: bool,
    ) -> Reg {
        let gather = picks.iter().map(|&(index, extent, stride)| Gather { index, extent, stride }).collect();
        self.line(Instr::Load { buf, at, gather }, dtype, inner)
    }

    fn level(&self, regs: &[Reg]) -> bool {
        regs.iter().any(|&r| self.program.lines[r as usize].inner)
    }

    fn dtype(&self, r: Reg) -> DType {
        self.program.lines[r as usize].dtype
    }

    pub(super) fn unary(&mut self, f: &'static UnaryFn, a: Reg) -> Reg {
        let dtype = f.output(self.dtype(a)).unwrap();
        self.line(Instr::Unary(f, a), dtype, self.level(&[a]))
    }

    pub(super) fn binary(&mut self, f: &'static BinaryFn, a: Reg, b: Reg) -> Reg {
        let dtype = f.output(self.dtype(a)).unwrap();
        self.line(Instr::Binary(f, a, b), dtype, self.level(&[a, b]))
    }

    pub(super) fn select(&mut self, c: Reg, a: Reg, b: Reg) -> Reg {
        self.line(Instr::Select(c, a, b), self.dtype(a), self.level(&[c, a, b]))
    }

    pub(super) fn cast(&mut self, a: Reg, dtype: DType) -> Reg {
        self.line(Instr::Cast(a), dtype, self.level(&[a]))
    }

    pub(super) fn param(&mut self, slot: u16, dtype: DType) -> Reg {
        self.line(Instr::Param { slot }, dtype, false)
    }

    pub(super) fn index(&mut self, at: Access, inner: bool) -> Reg {
        self.line(Instr::Index { at }, DType::I32, inner)
    }

    pub(super) fn reduce(&mut self, op: ReduceOp, a: Reg) -> Reg {
        let dtype = if matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin) { DType::I32 } else { self.dtype(a) };
        self.line(Instr::Reduce(op, a), dtype, false)
    }

    pub(super) fn acc(&mut self, dtype: DType) -> Reg {
        self.line(Instr::Acc(0), dtype, false)
    }

    pub(super) fn store(&mut self, reg: Reg, buf: u16, at: Access, inner: bool) {
        self.program.stores.push(Store { reg, buf, at, inner });
    }
}

/// Values of any type; every value of every type but `u64` is exact in `f64`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) dtype: DType,
    pub(super) data: Vec<f64>,
}

impl Values {
    pub(super) fn new(dtype: DType, data: Vec<f64>) -> Self {
        Values { dtype, data }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.dtype {
            DType::F32 => f32::to_bytes(&self.data.iter().map(|&v| v as f32).collect::<Vec<_>>()),
            DType::F64 => f64::to_bytes(&self.data),
            DType::I32 => i32::to_bytes(&self.data.iter().map(|&v| v as i32).collect::<Vec<_>>()),
            DType::U32 | DType::Bool => u32::to_bytes(&self.data.iter().map(|&v| v as u32).collect::<Vec<_>>()),
            narrow => unreachable!("{narrow} is no register type"),
        }
    }

    pub(super) fn of_bytes(dtype: DType, bytes: &[u8]) -> Self {
        fn all<T: Element>(bytes: &[u8]) -> Vec<f64> {
            T::from_bytes(bytes).into_iter().map(T::to_f64).collect()
        }
        let data = match dtype {
            DType::F32 => all::<f32>(bytes),
            DType::F64 => all::<f64>(bytes),
            DType::I32 => all::<i32>(bytes),
            DType::U32 | DType::Bool => all::<u32>(bytes),
            narrow => unreachable!("{narrow} is no register type"),
        };
        Values { dtype, data }
    }
}

/// Small whole numbers (exact in sums and products), spread by a simple generator.
pub(super) fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % 17) as f64 - 8.0
        })
        .collect()
}

/// A plan of one step: `leaves` then `outputs` are its buffers.
pub(super) fn single(step: Step, leaves: &[&Values], outputs: &[(DType, usize)], params: usize) -> Plan {
    let leaf = leaves.iter().enumerate().map(|(i, v)| (Role::Leaf(i as u32), v.dtype, v.data.len()));
    let output = outputs.iter().enumerate().map(|(i, &(dtype, len))| (Role::Output(i as u32), dtype, len));
    let buffers: Vec<BufferInfo> =
        leaf.chain(output).map(|(role, dtype, len)| BufferInfo { role, dtype, len }).collect();
    let bufs = (0..buffers.len() as u16).collect();
    let steps = vec![Step { bufs, ..step }];
    Plan { buffers, steps, params, slots: vec![] }
}

/// Runs a plan on the engine: leaves after it, and outputs.
pub(super) fn engine(plan: Plan, leaves: &[Values], params: &[f64], threads: usize) -> (Vec<Values>, Vec<Values>) {
    let cpu = CpuBackend::with_pool(&DeviceOptions::default(), Pool::new(threads));
    let make = |v: &Values| {
        let buffer = cpu.alloc(v.data.len() * v.dtype.size()).unwrap();
        cpu.write(&buffer, &v.bytes()).unwrap();
        buffer
    };
    let outputs: Vec<Values> = plan
        .buffers
        .iter()
        .filter(|b| matches!(b.role, Role::Output(_)))
        .map(|b| Values::new(b.dtype, vec![77.0; b.len]))
        .collect();
    let (l, o): (Vec<Buffer>, Vec<Buffer>) = (leaves.iter().map(make).collect(), outputs.iter().map(make).collect());
    let ready = cpu.prepare(Arc::new(plan)).unwrap();
    ready.run(&l, &o, params).unwrap();
    let back = |b: &Buffer, v: &Values| {
        let bytes = pollster::block_on(cpu.read_all(b, v.data.len() * v.dtype.size())).unwrap();
        Values::of_bytes(v.dtype, &bytes)
    };
    (l.iter().zip(leaves).map(|(b, v)| back(b, v)).collect(), o.iter().zip(&outputs).map(|(b, v)| back(b, v)).collect())
}

/// The reference: a program evaluated point by point.
pub(super) struct Reference<'a> {
    program: &'a Program,
    bufs: Vec<Values>,
    params: &'a [f64],
    outer: Vec<usize>,
    inner: Vec<usize>,
    /// The family's results.
    results: Vec<Vec<f64>>,
    /// Reductions of the outer point at hand.
    known: RefCell<Vec<Option<f64>>>,
}

impl Reference<'_> {
    fn address(at: &Access, o: &[usize], i: &[usize]) -> i64 {
        at.offset + at.strides.iter().zip(o.iter().chain(i)).map(|(s, &c)| s * c as i64).sum::<i64>()
    }

    fn eval(&self, reg: Reg, o: &[usize], i: &[usize]) -> f64 {
        let line = &self.program.lines[reg as usize];
        let arg = |r: Reg| self.eval(r, o, i);
        let type_of = |r: Reg| self.program.lines[r as usize].dtype;
        match &line.instr {
            Instr::Load { buf, at, gather } => {
                let mut address = Self::address(at, o, i);
                for g in gather {
                    let v = arg(g.index) as i64;
                    let v = if v < 0 { v + g.extent as i64 } else { v };
                    if v < 0 || v >= g.extent as i64 {
                        return if line.dtype.is_float() { f64::NAN } else { 0.0 };
                    }
                    address += v * g.stride;
                }
                self.bufs[*buf as usize].data[address as usize]
            }
            Instr::Index { at } => Self::address(at, o, i) as f64,
            Instr::Param { slot } => convert(self.params[*slot as usize], line.dtype),
            Instr::Random { .. } => unreachable!("tested against known answers"),
            Instr::Acc(i) => self.results[*i as usize][o.iter().zip(&self.outer).fold(0, |f, (&c, &e)| f * e + c)],
            Instr::Unary(f, a) => apply1(f, arg(*a), type_of(*a)),
            Instr::Binary(f, a, b) => apply2(f, arg(*a), arg(*b), type_of(*a)),
            Instr::Select(c, a, b) => {
                if arg(*c) != 0.0 {
                    arg(*a)
                } else {
                    arg(*b)
                }
            }
            Instr::Repeat(a) => arg(*a),
            Instr::Cast(a) => convert(arg(*a), line.dtype),
            Instr::Reduce(op, a) => {
                if let Some(v) = self.known.borrow()[reg as usize] {
                    return v;
                }
                let v = reduce(*op, points(&self.inner).map(|i| self.eval(*a, o, &i)), type_of(*a));
                self.known.borrow_mut()[reg as usize] = Some(v);
                v
            }
        }
    }

    fn run(mut self) -> Vec<Values> {
        let mut writes = Vec::new();
        for store in &self.program.stores {
            for o in points(&self.outer) {
                self.known.borrow_mut().fill(None);
                let inner: Vec<Vec<usize>> = if store.inner { points(&self.inner).collect() } else { vec![vec![]] };
                for i in inner {
                    writes.push((store.buf, Self::address(&store.at, &o, &i), self.eval(store.reg, &o, &i)));
                }
            }
        }
        for (buf, address, value) in writes {
            self.bufs[buf as usize].data[address as usize] = value;
        }
        self.bufs
    }
}

fn reduce(op: ReduceOp, values: impl Iterator<Item = f64>, dtype: DType) -> f64 {
    let (low, high) = match dtype {
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
        DType::Bool => (0.0, 1.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    let best = |greater: bool, values: Vec<f64>| {
        let mut at = 0;
        for (i, v) in values.iter().enumerate() {
            let old = values[at];
            let better = if greater { *v > old } else { *v < old };
            if better || (v.is_nan() && !old.is_nan()) {
                at = i;
            }
        }
        at as f64
    };
    match op {
        ReduceOp::Sum => values.sum(),
        ReduceOp::Prod => values.product(),
        ReduceOp::Max => values.fold(low, |a, b| if b > a || b.is_nan() { b } else { a }),
        ReduceOp::Min => values.fold(high, |a, b| if b < a || b.is_nan() { b } else { a }),
        ReduceOp::ArgMax => best(true, values.collect()),
        ReduceOp::ArgMin => best(false, values.collect()),
    }
}

/// All points of a space in row-major order.
pub(super) fn points(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let dims = dims.to_vec();
    (0..dims.iter().product::<usize>()).map(move |mut flat| {
        let mut out = vec![0; dims.len()];
        for d in (0..dims.len()).rev() {
            (out[d], flat) = (flat % dims[d], flat / dims[d]);
        }
        out
    })
}

fn convert(v: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(v as f32),
        DType::F64 => v,
        DType::I32 => f64::from(v as i32),
        DType::U32 => f64::from(v as u32),
        DType::Bool => f64::from(u8::from(v != 0.0)),
        narrow => unreachable!("{narrow} is no register type"),
    }
}

fn apply1(f: &UnaryFn, a: f64, dtype: DType) -> f64 {
    let (mut x, mut y, mut i, mut u) = ([0f32], [0f64], [0i32], [0u32]);
    match dtype {
        DType::F32 if f.cpu.test_f32.is_some() => (f.cpu.test_f32.unwrap()(&[a as f32], &mut u), f64::from(u[0])).1,
        DType::F32 => (f.cpu.f32.unwrap()(&[a as f32], &mut x), f64::from(x[0])).1,
        DType::F64 => (f.cpu.f64.unwrap()(&[a], &mut y), y[0]).1,
        DType::I32 => (f.cpu.i32.unwrap()(&[a as i32], &mut i), f64::from(i[0])).1,
        _ => (f.cpu.u32.unwrap()(&[a as u32], &mut u), f64::from(u[0])).1,
    }
}

fn apply2(f: &BinaryFn, a: f64, b: f64, dtype: DType) -> f64 {
    let (mut x, mut y, mut i, mut u) = ([0f32], [0f64], [0i32], [0u32]);
    match dtype {
        DType::F32 if f.compares => (f.cpu.cmp_f32.unwrap()(&[a as f32], &[b as f32], &mut u), f64::from(u[0])).1,
        DType::F32 => (f.cpu.f32.unwrap()(&[a as f32], &[b as f32], &mut x), f64::from(x[0])).1,
        DType::F64 if f.compares => (f.cpu.cmp_f64.unwrap()(&[a], &[b], &mut u), f64::from(u[0])).1,
        DType::F64 => (f.cpu.f64.unwrap()(&[a], &[b], &mut y), y[0]).1,
        DType::I32 if f.compares => (f.cpu.cmp_i32.unwrap()(&[a as i32], &[b as i32], &mut u), f64::from(u[0])).1,
        DType::I32 => (f.cpu.i32.unwrap()(&[a as i32], &[b as i32], &mut i), f64::from(i[0])).1,
        _ => (f.cpu.u32.unwrap()(&[a as u32], &[b as u32], &mut u), f64::from(u[0])).1,
    }
}

/// The results of a step's family.
fn results(step: &Step, bufs: &[Values]) -> Vec<Vec<f64>> {
    let operand = |i: usize| &bufs[step.operands[i] as usize].data[..];
    match &step.family {
        Family::Nest => vec![],
        Family::Scan(_) | Family::Sort(_) | Family::Custom(_) => unreachable!("these are held through tensors"),
        Family::Gemm(g) => {
            let element = |load: &Loader, i: usize, batch: &[usize], row: usize, col: usize| {
                products::element(load, batch, row, col).map_or(0.0, |at| operand(i)[at])
            };
            let dot = |p: Vec<usize>| {
                let (batch, m, n) = (&p[..g.batch.len()], p[g.batch.len()], p[g.batch.len() + 1]);
                (0..g.k).map(|k| element(&g.a, 0, batch, m, k) * element(&g.b, 1, batch, k, n)).sum()
            };
            vec![points(&g.space()).map(dot).collect()]
        }
        Family::Window(w) => {
            let inputs: Vec<&[f64]> = (0..step.operands.len()).map(operand).collect();
            vec![windows::window(w.op, &w.geometry, &inputs, w.dtype)]
        }
        Family::Scatter(s) => {
            let (mut out, index, src) = (operand(0).to_vec(), operand(1), operand(2));
            for o in 0..s.outer {
                for (j, &v) in index[..s.count].iter().enumerate() {
                    let v = v as i64;
                    let v = if v < 0 { v + s.extent as i64 } else { v };
                    for i in (0..s.inner).filter(|_| (0..s.extent as i64).contains(&v)) {
                        out[(o * s.extent + v as usize) * s.inner + i] += src[(o * s.count + j) * s.inner + i];
                    }
                }
            }
            vec![out]
        }
    }
}

/// Runs a step on both and compares, on one and on three threads, whose bits must agree.
#[track_caller]
pub(super) fn check(step: Step, leaves: &[Values], outputs: &[(DType, usize)], params: &[f64]) -> Vec<Values> {
    let all: Vec<&Values> = leaves.iter().collect();
    let mut bufs = leaves.to_vec();
    bufs.extend(outputs.iter().map(|&(dtype, len)| Values::new(dtype, vec![77.0; len])));
    let lines = &step.program.lines;
    let mut results = results(&step, &bufs);
    for (i, values) in results.iter_mut().enumerate() {
        let line = lines.iter().find(|l| l.instr == Instr::Acc(i as u8));
        let dtype = line.map_or(DType::F64, |l| l.dtype);
        values.iter_mut().for_each(|v| *v = convert(*v, dtype));
    }
    let reference = Reference {
        program: &step.program,
        bufs,
        params,
        outer: step.outer().to_vec(),
        inner: step.inner().to_vec(),
        results,
        known: RefCell::new(vec![None; lines.len()]),
    }
    .run();
    let label = format!("{} {:?}", step.name(), step.outer());
    let plan = || single(step.clone(), &all, outputs, params.len());
    let (got_leaves, got) = engine(plan(), leaves, params, 3);
    let (one_leaves, one) = engine(plan(), leaves, params, 1);
    for (a, b) in got_leaves.iter().chain(&got).zip(one_leaves.iter().chain(&one)) {
        assert_eq!(a.bytes(), b.bytes(), "{label}: threads change the bits");
    }
    for (b, (got, want)) in got_leaves.iter().chain(&got).zip(&reference).enumerate() {
        for (i, (&g, &w)) in got.data.iter().zip(&want.data).enumerate() {
            let close = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= 3e-6 * (1.0 + w.abs());
            assert!(close, "{label}: buffer {b} element {i}: {g}, expected {w}");
        }
    }
    got
}
