//! What steps mean, in plain loops over `f64`: the yardstick of the kernels.

use super::draft::Case;
use crate::dtype::DType;
use crate::ir::encoding::{bf16_to_f32, f16_to_f32};
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::program::{Access, Gather, Instr, Program, ReduceOp};
use crate::ir::scan::{Scan, ScanOp};
use crate::ir::scatter::Scatter;
use crate::ir::sort::Sort;
use crate::ir::step::{Family, Step};
use crate::ir::window::{Geometry, Window, WindowOp};

/// A value of any type: floats, integers and booleans alike are exact in `f64`.
type Value = f64;

/// Buffers after the step, as the device stores them.
pub(super) fn run(case: &Case) -> Vec<Vec<u32>> {
    let mut memory = case.data.clone();
    let step = &case.plan.steps[0];
    let mut m = Machine { case, writes: Vec::new() };
    match &step.family {
        Family::Nest => m.nest(),
        Family::Gemm(gemm) => m.gemm(gemm),
        Family::Window(window) => m.window(window),
        Family::Scatter(scatter) => m.scatter(scatter),
        Family::Scan(scan) => m.scan(scan),
        Family::Sort(sort) => m.sort(sort),
        Family::Custom(_) => unreachable!("these are held through tensors"),
    }
    for (buf, at, word) in m.writes {
        memory[buf][at] = word;
    }
    memory
}

struct Machine<'a> {
    case: &'a Case,
    writes: Vec<(usize, usize, u32)>,
}

/// All coordinates of a space in row-major order.
fn points(extents: &[usize]) -> impl Iterator<Item = Vec<i64>> {
    let extents = extents.to_vec();
    (0..extents.iter().product::<usize>()).map(move |mut linear| {
        let mut at = vec![0; extents.len()];
        for d in (0..extents.len()).rev() {
            at[d] = (linear % extents[d]) as i64;
            linear /= extents[d];
        }
        at
    })
}

fn address(at: &Access, coords: &[i64]) -> i64 {
    at.offset + at.strides.iter().zip(coords).map(|(s, c)| s * c).sum::<i64>()
}

fn decode(dtype: DType, word: u32) -> Value {
    match dtype {
        DType::F32 | DType::F64 => f32::from_bits(word).into(),
        DType::I32 => (word as i32).into(),
        DType::U32 => word.into(),
        DType::Bool => u32::from(word != 0).into(),
        DType::F16 => f16_to_f32(word as u16).into(),
        DType::BF16 => bf16_to_f32(word as u16).into(),
        DType::U8 | DType::I8 => unreachable!("bytes are not among the cases"),
    }
}

fn encode(dtype: DType, value: Value) -> u32 {
    match dtype {
        DType::F32 | DType::F64 => (value as f32).to_bits(),
        DType::I32 => value as i64 as u32,
        DType::U32 => value as u32,
        DType::Bool => u32::from(value != 0.0),
        narrow => unreachable!("{narrow} is no register type"),
    }
}

impl<'a> Machine<'a> {
    fn dtype(&self, buf: u16) -> DType {
        self.case.plan.buffers[self.case.plan.steps[0].bufs[buf as usize] as usize].dtype
    }

    fn fetch(&self, buf: u16, at: i64) -> Value {
        let id = self.case.plan.steps[0].bufs[buf as usize] as usize;
        decode(self.dtype(buf), self.case.data[id][usize::try_from(at).expect("inside")])
    }

    fn step(&self) -> &'a Step {
        &self.case.plan.steps[0]
    }

    /// The buffer of an operand.
    fn operand(&self, i: usize) -> u16 {
        self.step().operands[i]
    }

    fn nest(&mut self) {
        let inner = self.step().inner();
        for outer in points(&self.step().outer()) {
            self.point(&outer, &inner, &[]);
        }
    }

    /// Runs a program at one outer point.
    fn point(&mut self, outer: &[i64], inner: &[usize], results: &[Value]) {
        let program = &self.step().program;
        let mut fixed = vec![None; program.lines.len()];
        for reg in 0..program.lines.len() {
            if !program.lines[reg].inner {
                fixed[reg] = Some(self.line(program, reg, outer, inner, &fixed, results));
            }
        }
        for inner_at in points(inner) {
            let coords: Vec<i64> = outer.iter().copied().chain(inner_at).collect();
            let mut regs = fixed.clone();
            for store in program.stores.iter().filter(|s| s.inner) {
                let value = self.value(program, store.reg as usize, &coords, &mut regs, results);
                self.put(store.buf, address(&store.at, &coords), value);
            }
        }
        for store in program.stores.iter().filter(|s| !s.inner) {
            self.put(store.buf, address(&store.at, outer), fixed[store.reg as usize].expect("outer"));
        }
    }

    fn put(&mut self, buf: u16, at: i64, value: Value) {
        let id = self.case.plan.steps[0].bufs[buf as usize] as usize;
        self.writes.push((id, usize::try_from(at).expect("inside"), encode(self.dtype(buf), value)));
    }

    /// An outer line, reductions included.
    fn line(
        &self,
        program: &Program,
        reg: usize,
        outer: &[i64],
        inner: &[usize],
        fixed: &[Option<Value>],
        results: &[Value],
    ) -> Value {
        let Instr::Reduce(op, operand) = program.lines[reg].instr else {
            return self.value(program, reg, outer, &mut fixed.to_vec(), results);
        };
        let dtype = program.lines[operand as usize].dtype;
        let values: Vec<Value> = points(inner)
            .map(|at| {
                let coords: Vec<i64> = outer.iter().copied().chain(at).collect();
                self.value(program, operand as usize, &coords, &mut fixed.to_vec(), results)
            })
            .collect();
        let beats = |a: f64, b: f64, sign: f64| (a.is_nan() && !b.is_nan()) || (a - b) * sign > 0.0;
        let arg = |sign: f64| {
            let best = (0..values.len()).reduce(|b, i| if beats(values[i], values[b], sign) { i } else { b });
            best.unwrap_or(0) as f64
        };
        let bounds = match dtype {
            DType::I32 => (i32::MIN.into(), i32::MAX.into()),
            DType::U32 => (0.0, u32::MAX.into()),
            DType::Bool => (0.0, 1.0),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        let pick = |from: f64, sign: f64| values.iter().fold(from, |a, &v| if beats(v, a, sign) { v } else { a });
        match op {
            ReduceOp::Sum => values.iter().sum(),
            ReduceOp::Prod => values.iter().product(),
            ReduceOp::Max => pick(bounds.0, 1.0),
            ReduceOp::Min => pick(bounds.1, -1.0),
            ReduceOp::ArgMax => arg(1.0),
            ReduceOp::ArgMin => arg(-1.0),
        }
    }

    /// A pointwise line at a point; `regs` holds what is known there.
    fn value(
        &self,
        program: &Program,
        reg: usize,
        coords: &[i64],
        regs: &mut Vec<Option<Value>>,
        results: &[Value],
    ) -> Value {
        if let Some(known) = regs[reg] {
            return known;
        }
        let line = &program.lines[reg];
        let of = |m: &Self, r: u16, regs: &mut Vec<_>| m.value(program, r as usize, coords, regs, results);
        let value = match &line.instr {
            Instr::Load { buf, at, gather } => {
                let mut to = Some(address(at, coords));
                for Gather { index, extent, stride } in gather {
                    let (i, n) = (of(self, *index, regs) as i64, *extent as i64);
                    let i = if i < 0 { i + n } else { i };
                    to = to.filter(|_| (0..n).contains(&i)).map(|a| a + i * stride);
                }
                let bad = if line.dtype.is_float() { f64::NAN } else { 0.0 };
                to.map_or(bad, |a| self.fetch(*buf, a))
            }
            Instr::Index { at } => address(at, coords) as f64,
            Instr::Param { slot } => self.case.params[*slot as usize],
            Instr::Random { at, key, stream } => {
                let key = [0, 1].map(|i| self.case.params[*key as usize + i] as u32);
                let element = address(at, coords) as u32;
                philox(element / 4, *stream, key)[element as usize % 4].into()
            }
            Instr::Acc(i) => results[*i as usize],
            Instr::Unary(f, x) => unary(f.name, of(self, *x, regs)),
            Instr::Binary(f, a, b) => binary(f.name, of(self, *a, regs), of(self, *b, regs)),
            Instr::Select(c, a, b) => of(self, if of(self, *c, regs) != 0.0 { *a } else { *b }, regs),
            Instr::Repeat(x) => of(self, *x, regs),
            Instr::Cast(x) => {
                let v = of(self, *x, regs);
                match (program.lines[*x as usize].dtype, line.dtype) {
                    (from, DType::I32) if from.is_float() => f64::from(v as i32),
                    (from, DType::U32) if from.is_float() => f64::from(v as u32),
                    (_, DType::I32) => f64::from(v as i64 as i32),
                    (_, DType::U32) => f64::from(v as i64 as u32),
                    (_, DType::Bool) => f64::from(u32::from(v != 0.0)),
                    _ => f64::from(v as f32),
                }
            }
            Instr::Reduce(..) => unreachable!("outer lines are known"),
        };
        regs[reg] = Some(value);
        value
    }

    fn gemm(&mut self, g: &Gemm) {
        let (m, n, k) = (g.m as i64, g.n as i64, g.k as i64);
        for z in points(&g.batch) {
            let all = |lines: i64| (0..lines).flat_map(move |line| (0..k).map(move |k| (line, k)));
            let a: Vec<Value> = all(m).map(|(m, k)| self.element(0, &g.a, &z, m, k)).collect();
            let b: Vec<Value> = all(n).map(|(n, k)| self.element(1, &g.b, &z, k, n)).collect();
            for (m, n) in (0..m).flat_map(|m| (0..n).map(move |n| (m, n))) {
                let line = |at: i64| (at * k) as usize..((at + 1) * k) as usize;
                let acc = a[line(m)].iter().zip(&b[line(n)]).map(|(a, b)| a * b).sum();
                let at: Vec<i64> = z.iter().copied().chain([m, n]).collect();
                self.point(&at, &[], &[acc]);
            }
        }
    }

    fn element(&self, operand: usize, load: &Loader, z: &[i64], row: i64, col: i64) -> Value {
        let buf = self.operand(operand);
        let split = |mut at: i64, extents: [usize; 2]| {
            let c = at % extents[1] as i64;
            at /= extents[1] as i64;
            (at / extents[0] as i64, at % extents[0] as i64, c)
        };
        match load {
            Loader::Strided { offset, batch, row: rows, col: cols } => {
                let base: i64 = batch.iter().zip(z).map(|(s, c)| s * c).sum();
                self.fetch(buf, offset + base + row * rows + col * cols)
            }
            Loader::Patches { conv: v, transposed } => {
                let (position, tap) = if *transposed { (col, row) } else { (row, col) };
                let (n, oh, ow) = split(position, [v.oh, v.ow]);
                let (kh, kw, c) = split(tap, [v.kw, v.c]);
                let y = oh * v.stride_h as i64 - v.pad_h as i64 + kh * v.dilation_h as i64;
                let x = ow * v.stride_w as i64 - v.pad_w as i64 + kw * v.dilation_w as i64;
                self.pixel(buf, n, y, x, c, [v.h, v.w, v.c])
            }
            Loader::Spread { conv: v } => {
                let (n, h, w) = split(row, [v.h, v.w]);
                let (kh, kw, f) = split(col, [v.kw, v.f]);
                let back = |at: i64, pad: usize, k: i64, dilation: usize, stride: usize| {
                    let t = at + pad as i64 - k * dilation as i64;
                    if t % stride as i64 == 0 { t / stride as i64 } else { -1 }
                };
                let y = back(h, v.pad_h, kh, v.dilation_h, v.stride_h);
                let x = back(w, v.pad_w, kw, v.dilation_w, v.stride_w);
                self.pixel(buf, n, y, x, f, [v.oh, v.ow, v.f])
            }
            Loader::Kernel { conv: v } => {
                let (kh, kw, f) = split(row, [v.kw, v.f]);
                self.fetch(buf, ((kh * v.kw as i64 + kw) * v.c as i64 + col) * v.f as i64 + f)
            }
        }
    }

    fn pixel(&self, buf: u16, n: i64, y: i64, x: i64, c: i64, [h, w, channels]: [usize; 3]) -> Value {
        let (h, w) = (h as i64, w as i64);
        let inside = (0..h).contains(&y) && (0..w).contains(&x);
        if inside { self.fetch(buf, ((n * h + y) * w + x) * channels as i64 + c) } else { 0.0 }
    }

    /// The places of an output's window in x, in row-major order.
    fn window_of(v: &Geometry, n: i64, oh: i64, ow: i64, c: i64) -> Vec<i64> {
        let mut out = Vec::new();
        for tap in points(&[v.kh, v.kw]) {
            let y = oh * v.stride_h as i64 - v.pad_h as i64 + tap[0] * v.dilation_h as i64;
            let x = ow * v.stride_w as i64 - v.pad_w as i64 + tap[1] * v.dilation_w as i64;
            if (0..v.h as i64).contains(&y) && (0..v.w as i64).contains(&x) {
                out.push(((n * v.h as i64 + y) * v.w as i64 + x) * v.c as i64 + c);
            }
        }
        out
    }

    fn window(&mut self, w: &Window) {
        let v = &w.geometry;
        let greatest = |m: &Self, places: &[i64]| {
            let value = |&at: &i64| m.fetch(m.operand(0), at);
            let beats = |a: f64, b: f64| (a.is_nan() && !b.is_nan()) || a > b;
            places.iter().copied().reduce(|b, i| if beats(value(&i), value(&b)) { i } else { b })
        };
        let mut acc = vec![0.0; w.op.numel(v)];
        for (o, at) in points(&[v.batch, v.oh, v.ow, v.c]).enumerate() {
            let places = Self::window_of(v, at[0], at[1], at[2], at[3]);
            let sums = matches!(w.op, WindowOp::Sum | WindowOp::SumGrad);
            let best = if sums { None } else { greatest(self, &places) };
            match w.op {
                WindowOp::Max => acc[o] = best.map_or(f64::NEG_INFINITY, |b| self.fetch(self.operand(0), b)),
                WindowOp::MaxPick => acc[o] = best.map_or(0.0, |b| self.fetch(self.operand(1), b)),
                WindowOp::Sum => acc[o] = places.iter().map(|&p| self.fetch(self.operand(0), p)).sum(),
                WindowOp::MaxGrad => {
                    best.into_iter().for_each(|b| acc[b as usize] += self.fetch(self.operand(1), o as i64));
                }
                WindowOp::SumGrad => {
                    places.iter().for_each(|&p| acc[p as usize] += self.fetch(self.operand(0), o as i64));
                }
            }
        }
        self.flat(&acc);
    }

    fn scatter(&mut self, s: &Scatter) {
        let [base, index, src] = [0, 1, 2].map(|i| self.operand(i));
        let mut acc: Vec<f64> = (0..s.numel()).map(|at| self.fetch(base, at as i64)).collect();
        for at in points(&[s.outer, s.count, s.inner]) {
            let mut v = self.fetch(index, at[1]) as i64;
            v = if v < 0 { v + s.extent as i64 } else { v };
            if (0..s.extent as i64).contains(&v) {
                let from = (at[0] * s.count as i64 + at[1]) * s.inner as i64 + at[2];
                acc[((at[0] * s.extent as i64 + v) * s.inner as i64 + at[2]) as usize] += self.fetch(src, from);
            }
        }
        self.flat(&acc);
    }

    fn scan(&mut self, s: &Scan) {
        let whole = |value: i64| decode(s.dtype, value as u32);
        let at = |o: usize, i: usize, j: usize| (o * s.extent + i) * s.inner + j;
        let mut results = vec![[0.0, 0.0]; s.outer * s.extent * s.inner];
        for (o, j) in (0..s.outer).flat_map(|o| (0..s.inner).map(move |j| (o, j))) {
            let (mut acc, mut place): (f64, usize) = (if s.op == ScanOp::Prod { 1.0 } else { 0.0 }, 0);
            for step in 0..s.extent {
                let i = if s.backwards { s.extent - 1 - step } else { step };
                let x = self.fetch(self.operand(0), at(o, i, j) as i64);
                let beats = |acc: f64, sign: f64| step == 0 || (x.is_nan() && !acc.is_nan()) || (x - acc) * sign > 0.0;
                match s.op {
                    ScanOp::Sum if s.dtype.is_int() => acc = whole(acc as i64 + x as i64),
                    ScanOp::Prod if s.dtype.is_int() => acc = whole(acc as i64 * x as i64),
                    ScanOp::Sum => acc += x,
                    ScanOp::Prod => acc *= x,
                    ScanOp::Linear => acc = x * acc + self.fetch(self.operand(1), at(o, i, j) as i64),
                    ScanOp::Max if beats(acc, 1.0) => (acc, place) = (x, i),
                    ScanOp::Min if beats(acc, -1.0) => (acc, place) = (x, i),
                    ScanOp::Max | ScanOp::Min => {}
                }
                results[at(o, i, j)] = [acc, place as f64];
            }
        }
        for (o, result) in results.iter().enumerate() {
            self.point(&[o as i64], &[], result);
        }
    }

    fn sort(&mut self, s: &Sort) {
        for row in 0..s.rows {
            let values: Vec<f64> =
                (0..s.extent).map(|i| self.fetch(self.operand(0), (row * s.extent + i) as i64)).collect();
            let mut order: Vec<usize> = (0..s.extent).collect();
            let sign = if s.descending { -1.0 } else { 1.0 };
            order.sort_by(|&a, &b| {
                let (a, b) = (values[a], values[b]);
                a.is_nan()
                    .cmp(&b.is_nan())
                    .then((sign * a).partial_cmp(&(sign * b)).unwrap_or(std::cmp::Ordering::Equal))
            });
            for (i, &place) in order[..s.keep].iter().enumerate() {
                self.point(&[(row * s.keep + i) as i64], &[], &[values[place], place as f64]);
            }
        }
    }

    fn flat(&mut self, acc: &[f64]) {
        for (o, &value) in acc.iter().enumerate() {
            self.point(&[o as i64], &[], &[value]);
        }
    }
}

fn unary(name: &str, x: f64) -> f64 {
    match name {
        "neg" => -x,
        "exp" => x.exp(),
        "is_nan" => u32::from(x.is_nan()).into(),
        other => panic!("no function {other}"),
    }
}

fn binary(name: &str, a: f64, b: f64) -> f64 {
    match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        "lt" => u32::from(a < b).into(),
        other => panic!("no function {other}"),
    }
}

/// Philox4x32-10, as in the paper.
pub(super) fn philox(at: u32, stream: u32, mut key: [u32; 2]) -> [u32; 4] {
    let mut c = [at, stream, 0, 0];
    for _ in 0..10 {
        let x = u64::from(c[0]) * 0xd251_1f53;
        let y = u64::from(c[2]) * 0xcd9e_8d57;
        c = [(y >> 32) as u32 ^ c[1] ^ key[0], y as u32, (x >> 32) as u32 ^ c[3] ^ key[1], x as u32];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    c
}
