//! Chains of basic operations on `f32`: `((x - mean) * scale + offset)` is one walk through memory. What goes through the
//! chain stays in the registers of the processor; the other operands are blocks, or numbers that are spread there.

use pulp::{Simd, WithSimd};
use smallvec::SmallVec;

use super::known::{self, Kind, Known, Sums};
use super::steps::{Do, Values, greater, lesser, step};
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Instr, Program, Reg};

/// Steps of a chain at most.
const LENGTH: usize = 8;

/// A value and what is done to it, step by step. Its operands are lines, or where their values are.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Chain<A: Copy> {
    steps: SmallVec<[Do; LENGTH]>,
    /// Loops that are all of them, where there are any.
    known: Option<&'static Known>,
    /// The value at first, then what the steps take, in their order.
    operands: SmallVec<[A; LENGTH + 1]>,
}

impl<A: Copy> Chain<A> {
    /// Its operands, in the order in which they are needed.
    pub(in crate::backend::cpu) fn operands(&self) -> &[A] {
        &self.operands
    }

    pub(in crate::backend::cpu) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The same chain of other operands.
    pub(in crate::backend::cpu) fn map<B: Copy>(&self, mut f: impl FnMut(A) -> Result<B>) -> Result<Chain<B>> {
        let operands = self.operands.iter().map(|&a| f(a)).collect::<Result<_>>()?;
        Ok(Chain { steps: self.steps.clone(), known: None, operands })
    }

    /// The same, knowing of what kinds its operands are: by loops of its own, where there are any.
    pub(super) fn of_kinds(mut self, kind: impl Fn(A) -> Kind + Copy) -> Self {
        // (Which of two factors or summands comes first is all the same.)
        if let (&[Do::Add | Do::Mul, ..], &[first, second, ..]) = (&self.steps[..], &self.operands[..])
            && kind(first) == Kind::All
            && kind(second) == Kind::Each
        {
            self.operands.swap(0, 1);
        }
        self.known = known::find(&self.steps, self.operands.iter().map(|&a| kind(a)));
        self
    }

    /// What adds its results up row by row, where there is a loop for that.
    pub(super) fn sums(&self) -> Option<Sums> {
        self.known.and_then(|known| known.sums)
    }

    /// Computes `out`, in rows of `row` values, of the operands' `values`.
    #[inline(always)]
    pub(in crate::backend::cpu) fn run<'v>(&self, values: impl Fn(A) -> Values<'v>, row: usize, out: &mut [f32]) {
        let operands = self.bound(values);
        match self.known {
            Some(known) => (known.rows)(&operands, row, out),
            None => run(&self.steps, &operands, row, out),
        }
    }

    #[inline(always)]
    pub(super) fn bound<'v>(&self, values: impl Fn(A) -> Values<'v>) -> SmallVec<[Values<'v>; LENGTH + 1]> {
        let mut operands = SmallVec::new();
        for &operand in &self.operands {
            operands.push(values(operand));
        }
        operands
    }
}

impl Chain<Reg> {
    /// The chain of one step that line `l` is; with its operands in the other order where `turned` asks for that.
    fn alone(program: &Program, l: Reg, turned: impl Fn(Reg, Reg) -> bool) -> Option<Self> {
        let line = &program.lines[l as usize];
        let (step, operands) = match line.instr {
            _ if line.dtype != DType::F32 => return None,
            Instr::Unary(f, a) => (Do::unary(f.cpu.basic?), SmallVec::from_iter([a])),
            Instr::Binary(f, a, b) if turned(a, b) => (Do::binary(f.cpu.basic?, true), SmallVec::from_iter([b, a])),
            Instr::Binary(f, a, b) => (Do::binary(f.cpu.basic?, false), SmallVec::from_iter([a, b])),
            _ => return None,
        };
        Some(Chain { steps: SmallVec::from_iter([step]), known: None, operands })
    }

    /// The chains of a program, each at its last line, and the lines that are computed within another: those that are
    /// basic operations and `joins(line, user)`, where `user` is to be the only one that takes it.
    pub(in crate::backend::cpu) fn find(
        program: &Program,
        lines: impl Iterator<Item = Reg>,
        joins: impl Fn(Reg, Reg) -> bool,
    ) -> (Vec<Option<Self>>, Vec<bool>) {
        let mut chains: Vec<Option<Self>> = vec![None; program.lines.len()];
        let mut within = vec![false; program.lines.len()];
        for l in lines {
            let before = |a: Reg| chains[a as usize].as_ref().map(Chain::len).filter(|&n| n < LENGTH && joins(a, l));
            let Some(mut chain) = Chain::alone(program, l, |a, b| before(b) > before(a)) else { continue };
            let first = chain.operands[0];
            if before(first).is_some()
                && let Some(mut longer) = chains[first as usize].take()
            {
                within[first as usize] = true;
                longer.steps.extend(chain.steps);
                longer.operands.extend(chain.operands.drain(1..));
                chain = longer;
            }
            chains[l as usize] = Some(chain);
        }
        (chains, within)
    }
}

fn run(steps: &[Do], operands: &[Values<'_>], row: usize, out: &mut [f32]) {
    pulp::Arch::new().dispatch(Run { chain: Bound { steps, operands }, row, out });
}

/// A chain with its operands at hand.
#[derive(Clone, Copy)]
struct Bound<'r, 'v> {
    steps: &'r [Do],
    operands: &'r [Values<'v>],
}

struct Run<'r, 'v> {
    chain: Bound<'r, 'v>,
    row: usize,
    out: &'r mut [f32],
}

impl WithSimd for Run<'_, '_> {
    type Output = ();

    /// What the deciding between steps costs is the same for many vectors as for one, as long as all of them stay in
    /// registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let own = self.chain.operands.iter().any(|values| values.own);
        for (r, out) in self.out.chunks_exact_mut(self.row.max(1)).enumerate() {
            match (S::F32_LANES, own) {
                (8.., false) => parts::<S, 8, 2, false>(simd, self.chain, r, out),
                (8.., true) => parts::<S, 8, 2, true>(simd, self.chain, r, out),
                (4, false) => parts::<S, 12, 4, false>(simd, self.chain, r, out),
                (4, true) => parts::<S, 12, 4, true>(simd, self.chain, r, out),
                (_, false) => parts::<S, 64, 16, false>(simd, self.chain, r, out),
                (_, true) => parts::<S, 64, 16, true>(simd, self.chain, r, out),
            }
        }
    }
}

/// Row `r`: many vectors at a time, or few where there are not that many. The last part begins where it fits: what it
/// shares with the one before is computed twice, unless what it overwrites is its `OWN`.
#[inline(always)]
fn parts<S: Simd, const MANY: usize, const FEW: usize, const OWN: bool>(
    simd: S,
    chain: Bound<'_, '_>,
    r: usize,
    out: &mut [f32],
) {
    let n = out.len();
    let (many, few) = (MANY * S::F32_LANES, FEW * S::F32_LANES);
    let mut at = 0;
    while n - at >= many {
        whole::<S, MANY, OWN>(simd, chain, r, at, out);
        at += many;
    }
    if at < n && n >= many && !OWN {
        return whole::<S, MANY, OWN>(simd, chain, r, n - many, out);
    }
    while n - at >= few {
        whole::<S, FEW, OWN>(simd, chain, r, at, out);
        at += few;
    }
    if at < n && n >= few && !OWN {
        return whole::<S, FEW, OWN>(simd, chain, r, n - few, out);
    }
    while at < n {
        let len = S::F32_LANES.min(n - at);
        let [value] = through::<S, 1, OWN, _>(
            simd,
            chain,
            (r, at),
            out,
            #[inline(always)]
            |v| {
                #[inline(always)]
                move |_| simd.partial_load_f32s(&v[..len])
            },
        );
        simd.partial_store_f32s(&mut out[at..at + len], value);
        at += len;
    }
}

/// Computes `N` vectors from `at` on.
#[inline(always)]
fn whole<S: Simd, const N: usize, const OWN: bool>(
    simd: S,
    chain: Bound<'_, '_>,
    r: usize,
    at: usize,
    out: &mut [f32],
) {
    let len = N * S::F32_LANES;
    let values = through::<S, N, OWN, _>(
        simd,
        chain,
        (r, at),
        out,
        #[inline(always)]
        |v| {
            let (vectors, _) = S::as_simd_f32s(&v[..len]);
            #[inline(always)]
            move |k: usize| vectors[k]
        },
    );
    let (vectors, _) = S::as_mut_simd_f32s(&mut out[at..at + len]);
    vectors.iter_mut().zip(&values).for_each(|(to, value)| *to = *value);
}

/// Takes `N` vectors through the chain, from the position `at` of row `r` on.
#[inline(always)]
fn through<'v, S: Simd, const N: usize, const OWN: bool, L: Fn(usize) -> S::f32s>(
    simd: S,
    chain: Bound<'_, 'v>,
    (r, at): (usize, usize),
    out: &'v [f32],
    load: impl Fn(&'v [f32]) -> L,
) -> [S::f32s; N] {
    let mut operands = chain.operands.iter();
    let mut next = || {
        let &Values { from, row, each, own } = operands.next()?;
        Some((if OWN && own { &out[at..] } else { &from[r * row + if each { at } else { 0 }..] }, each))
    };
    let mut now = match next() {
        Some((first, true)) => {
            let first = load(first);
            let mut now = [simd.splat_f32s(0.0); N];
            for k in 0..N {
                now[k] = first(k);
            }
            now
        }
        Some((first, false)) => [simd.splat_f32s(first[0]); N],
        None => [simd.splat_f32s(0.0); N],
    };
    for step in chain.steps {
        macro_rules! one {
            (|$x:ident| $f:expr) => {
                for k in 0..N {
                    let $x = now[k];
                    now[k] = $f;
                }
            };
        }
        macro_rules! two {
            (|$x:ident, $a:ident| $f:expr) => {{
                let Some((from, each)) = next() else { break };
                if each {
                    let other = load(from);
                    for k in 0..N {
                        let ($x, $a) = (now[k], other(k));
                        now[k] = $f;
                    }
                } else {
                    let $a = simd.splat_f32s(from[0]);
                    for k in 0..N {
                        let $x = now[k];
                        now[k] = $f;
                    }
                }
            }};
        }
        match step {
            Do::Neg => one!(|x| step!(simd, Neg, x)),
            Do::Abs => one!(|x| step!(simd, Abs, x)),
            Do::Square => one!(|x| step!(simd, Square, x)),
            Do::Sqrt => one!(|x| step!(simd, Sqrt, x)),
            Do::Rsqrt => one!(|x| step!(simd, Rsqrt, x)),
            Do::Reciprocal => one!(|x| step!(simd, Reciprocal, x)),
            Do::Relu => one!(|x| step!(simd, Relu, x)),
            Do::Add => two!(|x, a| step!(simd, Add, x, a)),
            Do::Mul => two!(|x, a| step!(simd, Mul, x, a)),
            Do::Sub => two!(|x, a| step!(simd, Sub, x, a)),
            Do::SubFrom => two!(|x, a| step!(simd, SubFrom, x, a)),
            Do::Div => two!(|x, a| step!(simd, Div, x, a)),
            Do::DivInto => two!(|x, a| step!(simd, DivInto, x, a)),
            Do::Maximum => two!(|x, a| step!(simd, Maximum, x, a)),
            Do::MaximumOf => two!(|x, a| step!(simd, MaximumOf, x, a)),
            Do::Minimum => two!(|x, a| step!(simd, Minimum, x, a)),
            Do::MinimumOf => two!(|x, a| step!(simd, MinimumOf, x, a)),
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::math;
    use crate::ir::scalar::{Basic1, Basic2};

    const NUMBERS: [f32; 12] =
        [0.0, -0.0, 1.5, -2.25, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, -3e38, 7.0, 0.3, -1e-5];

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| NUMBERS[(i * 5 + seed * 7 + i / 12 * (seed + 1)) % 12]).collect()
    }

    /// What a step gives, by the functions of single values.
    fn expected(op: Do, x: f32, a: f32) -> f32 {
        match op {
            Do::Neg => -x,
            Do::Abs => x.abs(),
            Do::Square => x * x,
            Do::Sqrt => x.sqrt(),
            Do::Rsqrt => 1.0 / x.sqrt(),
            Do::Reciprocal => 1.0 / x,
            Do::Relu if x <= 0.0 => 0.0,
            Do::Relu => x,
            Do::Add => x + a,
            Do::Mul => x * a,
            Do::Sub => x - a,
            Do::SubFrom => a - x,
            Do::Div => x / a,
            Do::DivInto => a / x,
            Do::Maximum => math::maximum(x, a),
            Do::MaximumOf => math::maximum(a, x),
            Do::Minimum => math::minimum(x, a),
            Do::MinimumOf => math::minimum(a, x),
        }
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn every_step_is_its_operation_at_every_length() {
        let unary = Basic1::ALL.iter().map(|&op| (Do::unary(op), false));
        let binary = Basic2::ALL.iter().flat_map(|&op| [false, true].map(|turned| (Do::binary(op, turned), true)));
        let steps: Vec<(Do, bool)> = unary.chain(binary).collect();
        for n in (0..40).chain([63, 64, 65, 127, 128, 129, 200]) {
            let (x, y) = (numbers(n, 1), numbers(n, 2));
            for &(op, two) in &steps {
                for each in [false, true] {
                    let other = if each { Values::each(&y, 0) } else { Values::all(&[0.7], 0) };
                    let mut out = vec![9.0; n];
                    run(&[op], &[Values::each(&x, 0), other][..1 + usize::from(two)], n, &mut out);
                    for i in 0..n {
                        let a = if each { y[i] } else { 0.7 };
                        let expected = expected(op, x[i], a);
                        assert!(same(out[i], expected), "{op:?} of {} and {a}: {} for {expected}", x[i], out[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn steps_follow_each_other_along_rows() {
        for (rows, n) in [(3, 5), (2, 70), (3, 300), (4, 0)] {
            let (x, y, scale) = (numbers(rows * n, 3), numbers(n, 4), [0.5, -2.0, 0.0, 9.0]);
            let operands = [Values::all(&[1.5], 0), Values::each(&y, 0), Values::all(&scale, 1), Values::each(&x, n)];
            let mut out = vec![0.0; rows * n];
            run(&[Do::Sub, Do::Abs, Do::DivInto, Do::Maximum], &operands, n, &mut out);
            for i in 0..rows * n {
                let expected = math::maximum(scale[i / n] / (1.5 - y[i % n]).abs(), x[i]);
                assert!(same(out[i], expected), "{i} of {rows} rows of {n}");
            }
        }
    }

    #[test]
    fn what_is_overwritten_is_read_before() {
        for n in [1, 7, 20, 100, 300] {
            let (x, y) = (numbers(n, 5), numbers(n, 6));
            let mut out = x.clone();
            run(&[Do::Sub, Do::Add], &[Values::each(&y, 0), Values::OWN, Values::OWN], n, &mut out);
            for i in 0..n {
                assert!(same(out[i], y[i] - x[i] + x[i]), "{i} of {n}");
            }
        }
    }

    #[test]
    fn known_chains_are_their_steps_one_by_one() {
        for Known { steps, kinds, rows, .. } in known::KNOWN {
            for (count, row) in [(1, 1), (3, 5), (2, 8), (2, 16), (3, 33), (2, 70), (1, 1024), (3, 0)] {
                let data: Vec<_> = (0..kinds.len()).map(|i| numbers(count * row.max(1), i + 1)).collect();
                let values: Vec<Values<'_>> = kinds
                    .iter()
                    .zip(&data)
                    .map(|(kind, data)| match kind {
                        Kind::Each => Values::each(data, row),
                        Kind::All => Values::all(data, 1),
                        Kind::Own => Values::OWN,
                    })
                    .collect();
                let start = numbers(count * row, 0);
                let (mut got, mut expected) = (start.clone(), start);
                rows(&values, row, &mut got);
                run(steps, &values, row, &mut expected);
                for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
                    assert!(same, "{steps:?} of {kinds:?}, {i} of {count} rows of {row}: {got} for {expected}");
                }
            }
        }
    }

    #[test]
    fn sums_of_known_chains_are_those_of_their_results() {
        // Numbers of all kinds, whose sums are mostly NaN, and others.
        let some = |n: usize, seed: usize| (0..n).map(|i| ((i * 29 + seed * 17) % 101) as f32 / 16.0 - 2.5).collect();
        let data: [&dyn Fn(usize, usize) -> Vec<f32>; 2] = [&numbers, &some];
        for Known { steps, kinds, rows, sums } in known::KNOWN {
            let Some(sums) = sums else { continue };
            for (count, row) in [(1, 1), (3, 5), (2, 64), (3, 75), (2, 1024), (2, 1100), (1, 2500), (3, 0)] {
                for data in data {
                    let data: Vec<_> = (0..kinds.len()).map(|i| data(count * row.max(1), i + 1)).collect();
                    let each = kinds.iter().zip(&data).map(|(kind, data)| match kind {
                        Kind::All => Values::all(data, 1),
                        _ => Values::each(data, row),
                    });
                    let values: Vec<Values<'_>> = each.collect();
                    let (mut results, mut got) = (vec![0.0; count * row], vec![0.5; count]);
                    rows(&values, row, &mut results);
                    sums(&values, row, &mut got);
                    for (r, got) in got.into_iter().enumerate() {
                        let results = || results[r * row..][..row].iter().map(|&x| f64::from(x));
                        let (exact, size) = (0.5 + results().sum::<f64>(), 1.0 + results().map(f64::abs).sum::<f64>());
                        let near = (got - exact).abs() <= 1e-6 * size || got == exact;
                        let same = near || got.is_nan() && !size.is_finite();
                        assert!(same, "{steps:?} of {kinds:?}, row {r} of {row}: {got} for {exact}");
                    }
                }
            }
        }
    }
}
