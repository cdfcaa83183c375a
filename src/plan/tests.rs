//! What is fused with what, on hand-made graphs. That the results are right is tested through the engines.

use std::panic::Location;

use smallvec::SmallVec;

use super::rewrite::MAX_COST;
use super::{Limits, plan};
use crate::dtype::DType;
use crate::ir::op::{Keep, Op, PlanNode};
use crate::ir::program::{Instr, ReduceOp};
use crate::ir::scalar::{Binary1, BinaryFn, Unary1, UnaryFn};
use crate::ir::step::{Plan, Role};
use crate::shape::Shape;

static EXP: UnaryFn = UnaryFn { name: "exp", cpu: Unary1::NONE, wgsl: "exp(x)", wgsl_int: "", wgsl_bool: "" };
static ADD: BinaryFn = BinaryFn {
    name: "add",
    cpu: Binary1::NONE,
    wgsl: "a + b",
    wgsl_i32: "",
    wgsl_u32: "",
    wgsl_bool: "",
    compares: false,
};

#[derive(Default)]
struct Graph {
    nodes: Vec<PlanNode>,
    leaves: u32,
}

impl Graph {
    fn push(&mut self, op: Op, shape: &[usize], inputs: &[u32]) -> u32 {
        self.nodes.push(PlanNode {
            op,
            inputs: SmallVec::from_slice(inputs),
            shape: Shape::of(shape),
            dtype: DType::F32,
            keep: Keep::No,
            leaf: None,
            at: Location::caller(),
        });
        self.nodes.len() as u32 - 1
    }
    fn leaf(&mut self, shape: &[usize]) -> u32 {
        let n = self.push(Op::Leaf, shape, &[]);
        self.nodes[n as usize].leaf = Some(self.leaves);
        self.leaves += 1;
        n
    }
    fn exp(&mut self, x: u32) -> u32 {
        let shape = self.nodes[x as usize].shape;
        self.push(Op::Unary(&EXP), &shape, &[x])
    }
    fn add(&mut self, a: u32, b: u32) -> u32 {
        let shape = self.nodes[a as usize].shape;
        self.push(Op::Binary(&ADD), &shape, &[a, b])
    }
    fn reduce(&mut self, x: u32, axes: u32) -> u32 {
        let from = self.nodes[x as usize].shape;
        let dims: Vec<usize> = (0..from.rank()).map(|d| if axes >> d & 1 == 1 { 1 } else { from[d] }).collect();
        self.push(Op::Reduce { op: ReduceOp::Sum, axes }, &dims, &[x])
    }
    fn keep(&mut self, n: u32) {
        self.nodes[n as usize].keep = Keep::Output;
    }
    fn assign(&mut self, value: u32, leaf: u32) -> u32 {
        let shape = self.nodes[value as usize].shape;
        let n = self.push(Op::Var, &shape, &[value]);
        self.nodes[n as usize].keep = Keep::InPlace(leaf);
        n
    }
    fn plan(&self) -> Plan {
        let plan =
            plan(&self.nodes, Limits { max_buffers: 8, fusion: true, half_products: false, turned_weights: false })
                .unwrap();
        println!("{plan}");
        plan
    }
}

fn kinds(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|s| s.name()).collect()
}

#[test]
fn a_chain_is_one_step_and_collapses_to_one_dimension() {
    let mut g = Graph::default();
    let x = g.leaf(&[4, 5, 6]);
    let y = g.exp(x);
    let z = g.add(y, x);
    g.keep(z);
    let plan = g.plan();
    assert_eq!(kinds(&plan), ["elementwise"]);
    let n = &plan.steps[0];
    assert_eq!(n.outer().as_slice(), &[120]);
    assert_eq!(n.program.lines.len(), 3);
}

#[test]
fn what_reads_a_variable_after_its_update_reads_its_memory() {
    let mut g = Graph::default();
    let w = g.leaf(&[8, 6]);
    let new = g.exp(w);
    g.assign(new, 0);
    let turned = g.push(Op::Permute(SmallVec::from_slice(&[1, 0])), &[6, 8], &[new]);
    g.keep(turned);
    let plan = g.plan();
    assert_eq!(kinds(&plan), ["elementwise"; 2]);
    assert!(
        !plan
            .buffers
            .iter()
            .zip(0..)
            .any(|(b, i)| matches!(b.role, Role::Temp { .. }) && plan.steps.iter().any(|s| s.bufs.contains(&i)))
    );
    assert_eq!(plan.steps[0].program.stores.len(), 1);
    assert_eq!(plan.steps[1].program.lines.len(), 1, "the transpose loads, and computes nothing again");
}

#[test]
fn softmax_is_one_row_step() {
    let mut g = Graph::default();
    let x = g.leaf(&[7, 10]);
    let e = g.exp(x);
    let s = g.reduce(e, 0b10);
    let wide = g.push(Op::Expand, &[7, 10], &[s]);
    let y = g.add(e, wide);
    g.keep(y);
    let plan = g.plan();
    assert_eq!(kinds(&plan), ["row"]);
    assert_eq!(plan.buffers.iter().filter(|b| matches!(b.role, Role::Temp { .. })).count() + 2, plan.buffers.len());
}

#[test]
fn a_column_sum_takes_its_prologue_and_epilogue() {
    let mut g = Graph::default();
    let x = g.leaf(&[64, 10]);
    let e = g.exp(x);
    let s = g.reduce(e, 0b01);
    let flat = g.push(Op::Reshape, &[10], &[s]);
    let y = g.exp(flat);
    g.keep(y);
    let plan = g.plan();
    assert_eq!(kinds(&plan), ["reduce"]);
    let n = &plan.steps[0];
    assert_eq!((n.outer().as_slice(), n.inner().as_slice()), (&[10][..], &[64][..]));
}

#[test]
fn a_product_takes_bias_and_activation() {
    let mut g = Graph::default();
    let (x, w, b) = (g.leaf(&[32, 20]), g.leaf(&[20, 16]), g.leaf(&[16]));
    let y = g.push(Op::MatMul, &[32, 16], &[x, w]);
    let b = g.push(Op::Reshape, &[1, 16], &[b]);
    let b = g.push(Op::Expand, &[32, 16], &[b]);
    let y = g.add(y, b);
    let y = g.exp(y);
    g.keep(y);
    assert_eq!(kinds(&g.plan()), ["gemm"]);
}

/// Where the engine can: of a view too, and of what was computed before. Other families get them converted.
#[test]
fn products_read_halves_as_they_are() {
    let mut g = Graph::default();
    let (x, w) = (g.leaf(&[32, 20]), g.leaf(&[16, 20]));
    let half = g.push(Op::Cast, &[32, 20], &[x]);
    let turned = g.push(Op::Permute(SmallVec::from_slice(&[1, 0])), &[20, 16], &[w]);
    for n in [half, w, turned] {
        g.nodes[n as usize].dtype = DType::BF16;
    }
    let y = g.push(Op::MatMul, &[32, 16], &[half, turned]);
    g.nodes[y as usize].dtype = DType::BF16;
    g.keep(y);
    let limits = Limits { max_buffers: 8, fusion: true, half_products: true, turned_weights: false };
    let (as_they_are, converted) = (plan(&g.nodes, limits).unwrap(), g.plan());
    assert_eq!(kinds(&as_they_are), ["elementwise", "gemm"]);
    let operands = |plan: &Plan| {
        let gemm = plan.steps.last().unwrap();
        gemm.operands.iter().map(|&b| plan.buffers[gemm.bufs[b as usize] as usize].dtype).collect::<Vec<_>>()
    };
    assert_eq!(operands(&as_they_are), [DType::BF16; 2]);
    assert_eq!(kinds(&converted), ["elementwise", "elementwise", "gemm"]);
    assert_eq!(operands(&converted), [DType::F32; 2]);
}

#[test]
fn an_update_joins_the_product_only_if_nobody_reads_the_old_value_later() {
    // gradient = x^T d; w' = w + gradient; but d2 = d w^T needs the old w.
    let mut g = Graph::default();
    let (x, d, w) = (g.leaf(&[20, 32]), g.leaf(&[32, 16]), g.leaf(&[20, 16]));
    let gradient = g.push(Op::MatMul, &[20, 16], &[x, d]);
    let value = g.add(w, gradient);
    g.assign(value, 2);
    assert_eq!(kinds(&g.plan()), ["gemm"]);

    let wt = g.push(Op::Permute(SmallVec::from_slice(&[1, 0])), &[16, 20], &[w]);
    let back = g.push(Op::MatMul, &[32, 20], &[d, wt]);
    g.keep(back);
    let plan = g.plan();
    // The reader comes first.
    assert_eq!(kinds(&plan), ["gemm", "gemm"]);
    assert!(plan.steps[1].ops.contains(&"assign"));
}

#[test]
fn variables_can_be_exchanged() {
    let mut g = Graph::default();
    let (a, b) = (g.leaf(&[5]), g.leaf(&[5]));
    g.assign(b, 0);
    g.assign(a, 1);
    let plan = g.plan();
    // At least one value passes through a temporary, and no step reads what an earlier one overwrote.
    let mut written = Vec::new();
    for step in &plan.steps {
        for line in &step.program.lines {
            if let Instr::Load { buf, .. } = &line.instr {
                assert!(!written.contains(&step.bufs[usize::from(*buf)]), "{plan}");
            }
        }
        let stores = step.program.stores.iter().map(|s| step.bufs[usize::from(s.buf)]);
        written.extend(stores.filter(|&b| plan.buffers[b as usize].is_leaf()));
    }
}

#[test]
fn a_flattened_transpose_is_read_in_place() {
    let mut g = Graph::default();
    let x = g.leaf(&[6, 4]);
    let t = g.push(Op::Permute(SmallVec::from_slice(&[1, 0])), &[4, 6], &[x]);
    let flat = g.push(Op::Reshape, &[24], &[t]);
    let y = g.exp(flat);
    g.keep(y);
    assert_eq!(kinds(&g.plan()), ["elementwise"]);
    // Of no common refinement with 4 x 6: the flattened transpose is written out.
    let odd = g.push(Op::Reshape, &[3, 8], &[flat]);
    let odd = g.push(Op::Permute(SmallVec::from_slice(&[1, 0])), &[8, 3], &[odd]);
    let odd = g.push(Op::Reshape, &[24], &[odd]);
    let z = g.exp(odd);
    g.keep(z);
    g.plan();
}

#[test]
fn empty_reductions_and_empty_tensors_plan() {
    let mut g = Graph::default();
    let x = g.leaf(&[3, 0]);
    let s = g.reduce(x, 0b10);
    g.keep(s);
    let e = g.exp(x);
    g.keep(e);
    let plan = g.plan();
    assert_eq!(plan.steps.len(), 1);
    let n = &plan.steps[0];
    assert_eq!((n.outer().as_slice(), n.inner().as_slice()), (&[3][..], &[0][..]));
}

#[test]
fn a_long_chain_ends_up_in_few_steps_of_bounded_length() {
    let mut g = Graph::default();
    let mut x = g.leaf(&[10]);
    for _ in 0..1000 {
        x = g.exp(x);
    }
    g.keep(x);
    let steps = g.plan().steps;
    assert!(steps.len() <= 14);
    assert!(steps.iter().all(|step| step.program.cost() <= MAX_COST));
}

#[test]
fn kernels_that_wait_for_each_other_are_an_error() {
    let mut g = Graph::default();
    let x = g.leaf(&[4]);
    let y = g.exp(x);
    g.keep(y);
    let z = g.exp(y);
    g.keep(z);
    let limits = Limits { max_buffers: 8, fusion: false, half_products: false, turned_weights: false };
    let mut lowered = super::lower::lower(&g.nodes, limits).unwrap();
    lowered.order.push((1, 0));
    let error = super::fuse::fuse(lowered, limits.max_buffers, limits.fusion).unwrap_err();
    assert!(error.to_string().contains("a cycle of kernels through `exp`"), "{error}");
}

#[test]
fn more_buffers_than_programs_can_name_are_an_error() {
    // Each assignment names the leaf it reads, the one it sets, and a temporary between them.
    let mut g = Graph::default();
    for i in 0..22_000 {
        let x = g.leaf(&[1]);
        g.assign(x, 30_000 + i);
    }
    let error = plan(&g.nodes, Limits { max_buffers: 8, fusion: true, half_products: false, turned_weights: false })
        .unwrap_err();
    assert!(error.to_string().contains("65,535 buffers"), "{error}");
}

#[test]
fn what_reads_the_same_at_the_same_time_is_one_step() {
    let mut g = Graph::default();
    let x = g.leaf(&[8, 6]);
    let (a, b) = (g.exp(x), g.add(x, x));
    g.keep(a);
    g.keep(b);
    let plan = g.plan();
    assert_eq!(kinds(&plan), ["elementwise"]);
    assert_eq!((plan.steps[0].program.lines.len(), plan.steps[0].program.stores.len()), (3, 2), "read once");
    let e = g.exp(a);
    let sums = [g.reduce(x, 0b01), g.reduce(e, 0b01), g.reduce(x, 0b10)];
    sums.iter().for_each(|&s| g.keep(s));
    // Sums of columns, of `x` and of what is computed before them, and of rows.
    let plan = g.plan();
    assert_eq!(plan.steps.iter().filter(|s| s.name() == "reduce").count(), 3);
    let twice = g.exp(e);
    let sum = g.reduce(twice, 0b01);
    g.keep(e);
    g.keep(sum);
    let plan = g.plan();
    let both = plan.steps.iter().filter(|s| s.name() == "reduce" && s.program.stores.len() == 2);
    assert_eq!(both.count(), 1, "two sums of the columns of one value");
}

#[test]
fn a_sum_of_many_products_keeps_few_of_them() {
    let mut g = Graph::default();
    let (x, y) = (g.leaf(&[40, 30]), g.leaf(&[30, 50]));
    let mut sum = None;
    for _ in 0..40 {
        let a = g.exp(x);
        let product = g.push(Op::MatMul, &[40, 50], &[a, y]);
        sum = Some(sum.map_or(product, |sum| g.add(sum, product)));
    }
    g.keep(sum.unwrap());
    let plan = g.plan();
    let products = plan.steps.iter().filter(|step| step.name() == "gemm").count();
    let sums: usize = plan.steps.iter().map(|step| step.ops.iter().filter(|&&op| op == "add").count()).sum();
    assert_eq!((products, sums), (40, 39));
    let large = plan.slots.iter().filter(|&&bytes| bytes >= 4 * 40 * 50).count();
    assert!(large <= 6, "{:?}", plan.slots);
}

#[test]
fn a_value_with_thousands_of_readers_is_planned_in_time_in_proportion() {
    let seconds = |count: usize| {
        let mut g = Graph::default();
        let x = g.leaf(&[8, 6]);
        for _ in 0..count {
            let y = g.exp(x);
            g.keep(y);
        }
        let start = crate::sys::Instant::now();
        let plan = g.plan();
        assert!(plan.steps.len() < count / 4, "{} steps of {count}", plan.steps.len());
        start.elapsed().as_secs_f64()
    };
    let least = |count: usize| (0..3).map(|_| seconds(count)).fold(f64::INFINITY, f64::min);
    let (some, many) = (least(500), least(8000));
    assert!(many < 64.0 * some, "{some} s for 500, {many} s for 8,000");
}
