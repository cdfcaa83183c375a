//! Every variant of every kernel, by force: at sizes that a test can afford the rules would never choose most of them. The
//! sizes are three tiles (or teams, or work-groups) and a remainder in each direction.

use super::cases::{
    chain, conv, costly, in_place, placed, reduce, residual, scatter, shifted_gemm, softmax, turned, typed_conv,
    typed_gemm, window,
};
use super::draft::{Case, Draft};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Matrices};
use crate::backend::gpu::kernels::{STORED, build, gemm, rows, tiles, tiling};
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Instr, ReduceOp};
use crate::ir::scan::{Scan, ScanOp};
use crate::ir::sort::Sort;
use crate::ir::step::{Family, Plan, Step};
use crate::ir::window::WindowOp;

use DType::{BF16, Bool, F16, F32, I32, U32};

/// Reductions in a nest up to which layouts are looked for: more of them only shrink the teams further.
pub(super) const MOST_ACCS: usize = 8;

/// What takes the place of the rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    /// The rules themselves, where they have nothing to choose.
    Rule,
    Product(tiles::Choice),
    /// With its loop written out, as real GPUs get it.
    Unrolled(tiles::Choice),
    /// With cooperative matrices, as if the threads of a subgroup were not known beforehand.
    Varying(tiles::Choice),
    Nest(tiling::Choice),
}

impl Choice {
    /// The kernels of a step, as `kernels::build` gives them.
    pub(super) fn build(self, plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
        match (self, &step.family) {
            (Choice::Product(choice), Family::Gemm(g)) => gemm::tiled(plan, step, caps, g, choice),
            (Choice::Unrolled(choice), Family::Gemm(g)) => {
                gemm::tiled(plan, step, &Caps { unroll: true, ..*caps }, g, choice)
            }
            (Choice::Varying(choice), Family::Gemm(g)) => {
                let varying = |m: Matrices| Matrices { subgroup: [m.subgroup[0], 2 * m.subgroup[1]], ..m };
                let caps = Caps { cooperative: caps.cooperative.map(varying), ..*caps };
                gemm::tiled(plan, step, &caps, g, choice)
            }
            (Choice::Nest(choice), _) => rows::laid_out(plan, step, caps, |_| choice),
            _ => build(plan, step, caps),
        }
    }
}

/// Cases, each with the choices that it is to run with.
pub(super) type Forced = Vec<(Case, Vec<Choice>)>;

/// Every tile, whole and cut, with every way to read an operand.
pub(super) fn products(caps: &Caps) -> Forced {
    let ways = [[false, false], [true, false], [false, true], [true, true]];
    let mut cases = Vec::new();
    // Three of the largest tiles and a remainder, so many more of the smaller ones.
    let (odd, even, k_odd, k_even) = (3 * 128 + 5, 3 * 128 + 4, 3 * 16 + 5, 3 * 16 + 4);
    for t in ways {
        // Vectors in both operands; scalars in both; vectors in one of them.
        cases.push(shifted_gemm(&[2], [even, even, k_even], t, [0, 4]));
        cases.push(shifted_gemm(&[2], [even, even, k_even], t, [3, 0]));
        cases.push(shifted_gemm(&[], [odd, odd, k_odd], t, [0, 1]));
        cases.push(shifted_gemm(&[], [odd, even, k_odd], t, [2, 0]));
    }
    for (channels, filters, taps) in [(68, even, 12), (65, odd, 9)] {
        // Positions: 3 * 13 * 10 of three tiles and more, 63 of three pieces of k and more.
        cases.push(conv(placed([3, 13, 10], taps, filters, 1, 1, 1), 0));
        cases.push(conv(placed([1, 7, 8], channels, filters, 1, 1, 1), 1));
        cases.push(conv(placed([3, 13, 10], filters, taps, 1, 1, 1), 2));
        cases.push(conv(placed([1, 20, 21], channels, filters, 3, 2, 2), 1));
        cases.push(conv(placed([3, 13, 10], filters, taps, 2, 1, 0), 2));
    }
    cases.extend([residual(132, false, F32), residual(132, true, F32), residual(133, false, F32)]);
    let plain = cases.len();
    // Halves, which are decoded in the same way for every tile, of each type on each side.
    let decoded = [[F16, F32], [F32, F16], [BF16, F32], [F32, BF16], [F16, BF16]];
    for (i, types) in decoded.into_iter().enumerate() {
        cases.push(typed_gemm(&[2], [even, even, k_even], ways[i % 4], [0, 4], types));
        cases.push(typed_gemm(&[], [odd, odd, k_odd], ways[i % 4], [1, 3], types));
    }
    cases.extend([residual(132, false, F16), residual(132, true, BF16), residual(133, false, F16)]);
    let (sliced, all): (Vec<_>, Vec<_>) = tiles::Choice::all(caps).into_iter().partition(|c| c.tile.slices > 1);
    let some = |i: usize, case: &Case| {
        let suits = |tile: tiles::Tile| match &case.plan.steps[0].family {
            Family::Gemm(g) => tile.suits(g, caps),
            _ => true,
        };
        let wanted = |j: usize, tile: tiles::Tile| match i < plain {
            true => caps.software || (i + j).is_multiple_of(2),
            false => tile.is_smallest(),
        };
        let wanted = all.iter().enumerate().filter(move |(j, choice)| wanted(*j, choice.tile));
        wanted.filter(|(_, choice)| suits(choice.tile)).map(|(_, &choice)| Choice::Product(choice)).collect()
    };
    let with = |(i, case): (usize, Case)| {
        let choices = some(i, &case);
        (case, choices)
    };
    let mut out: Forced = cases.into_iter().enumerate().map(with).collect();
    if !caps.software {
        let unrolled = all.iter().filter(|c| c.parts == 1).map(|&choice| Choice::Unrolled(choice)).collect();
        out.push((shifted_gemm(&[], [odd, odd, k_odd], [false, false], [0, 1]), unrolled));
    }
    // A small tile with long pieces of k: two of each and a remainder.
    for (t, &choice) in ways.into_iter().flat_map(|t| sliced.iter().map(move |choice| (t, choice))) {
        let (odd, even, k_odd, k_even) = (2 * 16 + 5, 2 * 16 + 4, 2 * 128 + 37, 2 * 128 + 36);
        let small = [
            shifted_gemm(&[2], [even, even, k_even], t, [0, 4]),
            shifted_gemm(&[2], [even, even, k_even], t, [3, 0]),
            shifted_gemm(&[], [odd, odd, k_odd], t, [0, 1]),
            shifted_gemm(&[], [odd, even, k_odd], t, [2, 0]),
            typed_gemm(&[], [odd, odd, k_odd], t, [1, 3], [F16, F32]),
            typed_gemm(&[2], [even, even, k_even], t, [0, 4], [BF16, F16]),
        ];
        out.extend(small.into_iter().map(|case| (case, vec![Choice::Product(choice), Choice::Unrolled(choice)])));
    }
    out
}

/// Every tile of cooperative matrices, whole and cut, with every way to read an operand.
pub(super) fn cooperative(caps: &Caps) -> Forced {
    let ways = [[false, false], [true, false], [false, true], [true, true]];
    // A tile and a half each way, and a remainder; as many pieces of k.
    let (odd, even, k_odd, k_even) = (128 + 69, 128 + 68, 4 * 32 + 13, 4 * 32 + 12);
    let both = [F16, F16];
    let mut cases = Vec::new();
    for t in ways {
        cases.push(typed_gemm(&[2], [even, even, k_even], t, [0, 4], both));
        cases.push(typed_gemm(&[2], [even, even, 4 * 32], t, [3, 0], both));
        cases.push(typed_gemm(&[], [odd, odd, k_odd], t, [0, 1], both));
        cases.push(typed_gemm(&[], [odd, even, 32], t, [2, 0], both));
    }
    for (channels, filters, taps) in [(68, even, 12), (65, odd, 9)] {
        for which in 0..3 {
            let [c, f] = [[taps, filters], [channels, filters], [filters, taps]][which];
            cases.push(typed_conv(placed([3, 13, 10], c, f, 1, 1, 1), which, F16));
        }
    }
    cases.extend([residual(132, false, F16), residual(132, true, F16), residual(133, false, F16)]);
    let small = cases.len();
    cases.extend(
        [[even, even, k_even], [odd; 3]]
            .into_iter()
            .flat_map(|sizes| [ways[0], ways[3]].map(|t| typed_gemm(&[], sizes, t, [0, 0], both))),
    );
    // Compilers of software adapters take their time: there every case runs with one tile or cut, the last ones with large tiles.
    let suits = |i: usize, c: &tiles::Choice| {
        caps.unroll || c.tile.is_smallest() == (i < small) && (c.parts > 1) == (i % 2 == 1)
    };
    let all: Vec<_> = tiles::Choice::all(caps).into_iter().filter(|c| c.tile.cooperative).collect();
    let with = |(i, case)| (case, all.iter().filter(|c| suits(i, c)).map(|&c| Choice::Product(c)).collect());
    let mut out: Forced = cases.into_iter().enumerate().map(with).collect();
    let smallest = all.iter().filter(|c| c.tile.is_smallest()).map(|&c| Choice::Varying(c)).collect();
    out.push((typed_gemm(&[2], [odd, even, k_odd], ways[2], [0, 0], both), smallest));
    out
}

/// Every layout of teams, whole and split, and every reduction in every way in which teams combine.
pub(super) fn nests(caps: &Caps) -> Forced {
    let mut out = Forced::new();
    let mut forced = |case: Case, choice: tiling::Choice| out.push((case, vec![Choice::Nest(choice)]));
    // How many reductions a work-group has memory for, and a kernel bindings: two results each, and two more.
    let most = |threads: u32| {
        let memory = caps.max_workgroup_memory / (8 * threads);
        memory.min((caps.max_storage_bindings - 2) / 2) as usize
    };
    let all = tiling::Choice::all(caps, MOST_ACCS);
    for &choice in &all {
        let tiling::Layout { team, rows, column } = choice.layout;
        let (t, r) = (team as usize, rows as usize);
        let ops = |most: usize| &[ReduceOp::Sum, ReduceOp::ArgMax, ReduceOp::Min][..most.min(3)];
        // A team takes four points of the outer space at a time where it walks columns, else of the inner space.
        let by_four = |n: usize, wanted: bool| if wanted { 4 * n } else { n };
        let Some(split) = choice.split else {
            let (outer, ops) = (3 * r + 1, ops(most(t as u32 * rows)));
            // Written out to the end, and past it.
            let exact = choice.written.then_some(3 * t);
            let singles = if t == 2 { 7 } else { 3 * t + 2 };
            for steps in [singles].into_iter().chain(exact) {
                forced(reduce(ops, F32, &[outer], &[steps], column), choice);
                forced(softmax(&[outer], &[steps], column), choice);
                let few = if column { &ops[..ops.len().min(most(4 * t as u32 * rows))] } else { ops };
                let (outer, steps) = (by_four(outer, column), by_four(steps, !column));
                if !few.is_empty() {
                    forced(reduce(few, F32, &[outer], &[steps], column), choice);
                    forced(softmax(&[outer], &[steps], column), choice);
                }
            }
            if !column {
                forced(in_place(outer, singles), choice);
            }
            continue;
        };
        let second = split.second;
        let parts = 3 * second.team as usize + 1;
        let rows = r.max(second.rows as usize);
        // A loop takes four steps at a time, and one more.
        let part = if choice.written { 2 * t } else { 5 * t };
        for steps in [part * (parts - 1) + 1].into_iter().chain(choice.written.then_some(part * parts)) {
            // A point that many long parts share costs plain loops too much to have many of them.
            let outer = if steps > 1 << 15 { rows + 1 } else { 3 * rows + 1 };
            let ops = ops(most(choice.layout.threads().max(second.threads())));
            let choice = tiling::Choice { split: Some(tiling::Split { parts, ..split }), ..choice };
            forced(reduce(ops, F32, &[outer], &[steps], column), choice);
            let few = if column { &ops[..ops.len().min(most(4 * choice.layout.threads()))] } else { ops };
            if !few.is_empty() && outer * steps < 1 << 18 {
                forced(reduce(few, F32, &[by_four(outer, column)], &[by_four(steps, !column)], column), choice);
            }
        }
    }
    // Too long for four steps at a time, whole and in parts.
    let loops = |split: bool| all.iter().find(|c| !c.written && !c.layout.column && c.split.is_some() == split);
    for &choice in [false, true].iter().filter_map(|&split| loops(split)) {
        let inner = 4 * choice.layout.team as usize * choice.split.map_or(3, |s| s.second.team as usize) + 4;
        forced(costly(3 * choice.layout.rows as usize + 1, inner, choice.split.is_none()), choice);
    }
    for (way, column) in
        ["alone", "at once", "in two levels", "by subgroups"].into_iter().flat_map(|w| [(w, false), (w, true)])
    {
        let fits = |c: &&tiling::Choice| {
            let how = c.layout.combines(c.layout.shuffles(caps));
            c.split.is_none() && c.layout.column == column && how == way
        };
        let Some(&choice) = all.iter().filter(fits).min_by_key(|c| c.layout.threads()) else { continue };
        let (outer, inner) = (3 * choice.layout.rows as usize + 1, 3 * choice.layout.team as usize + 2);
        for dtype in STORED {
            for ops in ReduceOp::ALL.chunks(most(choice.layout.threads())) {
                forced(reduce(ops, dtype, &[outer], &[inner], column), choice);
            }
        }
    }
    out
}

/// What has no rules: windows, scatter-adds, pointwise work.
pub(super) fn others() -> Forced {
    let mut cases = vec![chain(&[13, 256]), chain(&[7, 131])];
    // Three tiles and a remainder each way, several of them, and less than one.
    cases.extend(
        (1..=3).flat_map(|n| [turned([2, 101, 3, 99], n), turned([1, 17, 1, 19], n), turned([3, 64, 1, 32], n)]),
    );
    for op in WindowOp::ALL {
        for dtype in STORED.into_iter().filter(|&t| t != Bool) {
            cases.push(window(
                *op,
                dtype,
                placed([3, 17, 16], 3, 3, 1, 1, 1),
                dtype == F32 && *op != WindowOp::Sum && *op != WindowOp::SumGrad,
            ));
            cases.push(window(*op, dtype, placed([3, 17, 16], 4, 4, 2, 2, 1), false));
        }
    }
    for dtype in [F32, I32, U32] {
        for index in [I32, U32] {
            // Few indices, which every element of the result looks through; more, which a work-group puts in order; and many,
            // in three passes of several, with runs of whole chunks. Elements alone and by four.
            let sizes = [[2, 40, 11, 7], [2, 40, 12, 7], [2, 700, 3, 90], [2, 700, 8, 90]];
            cases.extend(sizes.map(|sizes| scatter(dtype, index, sizes)));
            cases.extend([[2, 700, 1, 3 * 1024 + 5], [1, 70_000, 4, 3 * 1024 + 5]].map(|s| scatter(dtype, index, s)));
        }
    }
    for op in ScanOp::ALL {
        for dtype in STORED.into_iter().filter(|&t| t != Bool && (t == F32 || *op != ScanOp::Linear)) {
            // Lines for a thread each, for a work-group each, and in parts.
            for (i, [outer, extent, inner]) in
                [[40, 60, 7], [2, 3 * 1024 + 5, 2], [1, 5 * 2048 + 5, 1]].into_iter().enumerate()
            {
                for backwards in [i % 2 == 0, i % 2 == 1].into_iter().take(if dtype == F32 { 2 } else { 1 }) {
                    cases.push(scan(Scan { op: *op, dtype, outer, extent, inner, backwards }));
                }
            }
        }
    }
    for (dtype, descending) in STORED.into_iter().flat_map(|t| [(t, false), (t, true)]) {
        // Rows that share a work-group, and one of several tiles.
        cases.push(sort(Sort { dtype, rows: 50, extent: 61, keep: 61, descending }));
        cases.push(sort(Sort { dtype, rows: 2, extent: 3 * 1024 + 5, keep: 1000, descending }));
    }
    cases.into_iter().map(|case| (case, vec![Choice::Rule])).collect()
}

/// A scan that keeps all its results. Factors are odd or of size 1, so that products stay exact.
fn scan(scan: Scan) -> Case {
    let mut d = Draft::new(format!("{scan:?}"));
    let space = scan.space();
    let x = match (scan.op, scan.dtype) {
        (ScanOp::Prod | ScanOp::Linear, F32) => {
            let ones = (0..space[0]).map(|i| if i * i % 7 > 2 { 1.0f32 } else { -1.0 });
            d.given(F32, ones.map(f32::to_bits).collect())
        }
        (ScanOp::Prod, dtype) => d.given(dtype, (0..space[0] as u32).map(|i| (i * i % 50) | 1).collect()),
        (_, dtype) => d.input(dtype, space[0]),
    };
    if matches!((scan.op, scan.dtype), (ScanOp::Max | ScanOp::Min, F32)) {
        d.data[x as usize][space[0] * 2 / 3] = f32::NAN.to_bits();
    }
    let mut operands = vec![x];
    if scan.op == ScanOp::Linear {
        operands.push(d.input(F32, space[0]));
    }
    keep_results(&mut d, &scan.results(), space[0]);
    d.step(Family::Scan(scan), &operands)
}

fn sort(sort: Sort) -> Case {
    let mut d = Draft::new(format!("{sort:?}"));
    let x = d.input(sort.dtype, sort.rows * sort.extent);
    if sort.dtype == F32 {
        d.data[x as usize][7] = f32::NAN.to_bits();
    }
    keep_results(&mut d, &sort.results(), sort.rows * sort.keep);
    d.step(Family::Sort(sort), &[x])
}

fn keep_results(d: &mut Draft, results: &[DType], len: usize) {
    for (i, &dtype) in results.iter().enumerate() {
        let acc = d.line(Instr::Acc(i as u8), dtype, false);
        d.keep(acc, &[len], false);
    }
}
