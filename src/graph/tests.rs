//! Recording, without the operations that stand above: who is held, and nodes with several results.

use std::sync::Arc;

use super::device::Device;
use super::node::{Make, Tensor, Vjp};
use super::var::Var;
use crate::dtype::DType;
use crate::ir::op::Op;
use crate::shape::Shape;

#[test]
fn an_edge_is_no_handle() {
    let device = Device::cpu();
    let x = Tensor::new([1.0f32, 2.0], &device).unwrap();
    let y = x.exp().unwrap();
    let node = y.0.clone();
    assert!(node.is_held());
    let z = y.add(&y).unwrap();
    let other = y.clone();
    drop(y);
    assert!(node.is_held());
    drop(other);
    assert!(!node.is_held(), "only `z` refers to it");
    // What a gradient asks for is held as long as it does.
    let inputs = z.inputs();
    assert!(node.is_held());
    drop(inputs);
    assert!(!node.is_held());
    assert_eq!(z.to_vec::<f32>().unwrap(), [1.0f32.exp() * 2.0, 2.0f32.exp() * 2.0]);
}

#[test]
fn what_nobody_needs_is_forgotten_while_recording() {
    let device = Device::open_with("cpu", &crate::DeviceOptions::default()).unwrap();
    let x = Tensor::new([1.0f32, 2.0], &device).unwrap();
    let mut most = 0;
    for _ in 0..10_000 {
        let _ = x.exp().unwrap();
        most = most.max(device.graph().pending.len());
    }
    assert!(most <= 3, "{most}");
    // A chain that is held at its end: all of it, and as much again of chains that were.
    for _ in 0..20 {
        let chain = (0..1000).fold(x.clone(), |t, _| t.exp().unwrap());
        most = most.max(device.graph().pending.len());
        drop(chain);
    }
    assert!((1000..3000).contains(&most), "{most}");
    assert_eq!(device.counters().submits, 0);
}

/// What is pending is looked through in any order; what is flushed is in that of recording, so that the same step is the
/// same plan.
#[test]
fn a_step_is_the_same_plan_whatever_was_forgotten_before() {
    let device = Device::open_with("cpu", &crate::DeviceOptions::default()).unwrap();
    let x = Tensor::new([1.0f32, 2.0], &device).unwrap();
    for forgotten in [0, 1, 2, 3, 5, 8] {
        let first = x.mul(2.0).unwrap();
        (0..forgotten).for_each(|_| drop(x.exp().unwrap()));
        let second = x.tanh().unwrap();
        (0..forgotten).for_each(|_| drop(x.exp().unwrap()));
        let third = x.neg().unwrap();
        device.sync().unwrap();
        assert!([&first, &second, &third].iter().all(|t| t.0.is_ready()));
    }
    assert_eq!(device.counters().plan_misses, 1);
}

/// The sum and the difference of two tensors, as one node would give both: their gradients arrive together, those of
/// results that were not used are missing.
#[test]
fn the_gradient_of_several_results_sees_all_of_them() {
    let device = Device::cpu();
    let (a, b) = (Tensor::new([3.0f32, 5.0], &device).unwrap(), Tensor::new([1.0f32, 2.0], &device).unwrap());
    let (a, b) = (a.requires_grad(), b.requires_grad());
    let both = || {
        let vjp = Vjp::Function(Arc::new(|r| {
            assert_eq!((r.outputs.len(), r.inputs.len(), r.grads.len()), (2, 3, 2));
            assert!(matches!(r.outputs[1].0.op, Op::Part(1)) && r.outputs[1].dims() == [2]);
            assert_eq!(r.inputs[2].to_vec::<f32>()?, [7.0]);
            let zero = Tensor::zeros([2], DType::F32, r.inputs[0].device())?;
            let [s, d] = [0, 1].map(|i| r.grads[i].clone().unwrap_or_else(|| zero.clone()));
            Ok([Some(s.add(&d)?), Some(s.sub(&d)?)].into_iter().collect())
        }));
        let saved = Tensor::new([7.0f32], &device).unwrap();
        // The operation itself never runs here.
        let op = Op::Leaf;
        let results = [(Shape::of(&[2]), DType::F32), (Shape::of(&[2]), DType::F32)];
        Tensor::record_results(op, &results, &[&a, &b], Make::new(&device, vjp).saving(&[&saved]))
    };
    let weights = Tensor::new([2.0f32, 10.0], &device).unwrap();
    // Both results: d/da = w + 1, d/db = w - 1.
    let results = both();
    let loss = results[0].mul(&weights).unwrap().add(&results[1]).unwrap().sum(()).unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(grads.wrt(&a).unwrap().to_vec::<f32>().unwrap(), [3.0, 11.0]);
    assert_eq!(grads.wrt(&b).unwrap().to_vec::<f32>().unwrap(), [1.0, 9.0]);
    // The second alone.
    let results = both();
    let grads = results[1].mul(&weights).unwrap().sum(()).unwrap().backward().unwrap();
    assert_eq!(grads.wrt(&a).unwrap().to_vec::<f32>().unwrap(), [2.0, 10.0]);
    assert_eq!(grads.wrt(&b).unwrap().to_vec::<f32>().unwrap(), [-2.0, -10.0]);
}

/// A gradient may be any function, of one result too.
#[test]
fn a_gradient_may_capture_what_it_needs() {
    let device = Device::cpu();
    let x = Tensor::new([1.0f32, 2.0], &device).unwrap().requires_grad();
    let slope = 3.5;
    let vjp = Vjp::Function(Arc::new(move |r| {
        let grad = r.grads[0].as_ref().expect("of the one result");
        Ok([Some(grad.mul(slope)?)].into_iter().collect())
    }));
    let y = Tensor::record(Op::Reshape, Shape::of(&[2]), DType::F32, &[&x], Make::new(&device, vjp));
    let grads = y.sum(()).unwrap().backward().unwrap();
    assert_eq!(grads.wrt(&x).unwrap().to_vec::<f32>().unwrap(), [3.5, 3.5]);
}

/// What has not run is drawn down to what is here, each operation with the line that recorded it.
#[test]
fn what_is_recorded_is_a_picture() {
    let device = Device::open_with("cpu", &Default::default()).unwrap();
    let x = Tensor::from_slice(&[1.0f32; 12], [3, 4], &device).unwrap();
    let w = Var::named("kernel", &Tensor::from_slice(&[1.0f32; 8], [4, 2], &device).unwrap());
    device.sync().unwrap();
    let y = x.matmul(&w.value()).unwrap().mul(0.5).unwrap();
    let z = y.add(&y).unwrap().sum(1).unwrap();
    let dot = z.diagram().to_dot();
    for text in ["variable kernel", "f32 (4, 2)", "(·, 0.5)", "axes 1", "<b>matmul</b>", "src/graph/tests.rs:"] {
        assert!(dot.contains(text), "{text} in {dot}");
    }
    // x and w into the product, one each along the chain (an operand twice is one arrow), and one for each view of the sum.
    let (boxes, arrows) = (dot.matches("<table").count(), dot.matches(" -> ").count());
    assert_eq!(boxes, arrows + 1, "{dot}");
    assert_eq!(dot.matches("<b>add</b>").count(), 1);
    z.to_vec::<f32>().unwrap();
    assert_eq!(z.diagram().len(), 1, "nothing is left to do");
    // Deep graphs need no deep stack.
    let mut deep = x.clone();
    for _ in 0..5000 {
        deep = deep.add(1.0).unwrap();
    }
    assert_eq!(deep.diagram().len(), 5001);
}

#[test]
fn the_plan_that_ran_last_is_a_picture() {
    let device = Device::open_with("cpu", &Default::default()).unwrap();
    assert!(device.last_plan_diagram().is_none());
    let x = Tensor::from_slice(&[1.0f32; 2048], [64, 32], &device).unwrap();
    let w = Tensor::from_slice(&[1.0f32; 512], [32, 16], &device).unwrap();
    let y = x.matmul(&w).unwrap().add(1.0).unwrap().relu().unwrap().sum(1).unwrap();
    y.to_vec::<f32>().unwrap();
    let diagram = device.last_plan_diagram().unwrap();
    assert_eq!(diagram.len(), 2);
    let dot = diagram.to_dot();
    for text in [
        "0 gemm [] 64x16x32",
        "add relu",
        "reads in0:f32[2048], in1:f32[512]",
        "n0 -> n1 [label=\"tmp0:f32[1024]\"]",
        "writes out0:f32[64]",
        "src/graph/tests.rs:",
    ] {
        assert!(dot.contains(text), "{text} in {dot}");
    }
}
