//! Whole plans: what their steps share, where they run, and what is left when there is no memory for them.

use std::sync::mpsc;
use std::time::Duration;

use super::nests::nest;
use super::*;
use crate::ir::gemm::Gemm;
use crate::ir::program::Dims;
use crate::{Device, Tensor};

const F: DType = DType::F32;

fn step(step: Step, bufs: &[u16]) -> Step {
    Step { bufs: bufs.to_vec(), ..step }
}

#[test]
fn plans_of_several_steps_share_temporaries() {
    // t = -x; out = sum(t); the second run allocates nothing.
    let n = 5000;
    let mut b1 = Build::default();
    let x = b1.load(0, at(0, &[1]), F, false);
    let t = b1.unary(&NEG, x);
    b1.store(t, 1, at(0, &[1]), false);
    let mut b2 = Build::default();
    let t = b2.load(0, at(0, &[0, 1]), F, true);
    let r = b2.reduce(ReduceOp::Sum, t);
    b2.store(r, 1, at(0, &[0]), false);
    let roles = [(Role::Leaf(0), n), (Role::Temp { slot: 0 }, n), (Role::Output(0), 1)];
    let plan = Plan {
        buffers: roles.iter().map(|&(role, len)| BufferInfo { role, dtype: F, len }).collect(),
        steps: vec![step(nest(&[n], &[], b1), &[0, 1]), step(nest(&[1], &[n], b2), &[1, 2])],
        params: 0,
        slots: vec![4 * n],
    };
    let cpu = CpuBackend::open(&DeviceOptions::default());
    let (x, out) = (cpu.alloc(4 * n).unwrap(), cpu.alloc(4).unwrap());
    cpu.write(&x, &f32::to_bytes(&vec![0.5; n])).unwrap();
    let ready = cpu.prepare(Arc::new(plan)).unwrap();
    ready.run(std::slice::from_ref(&x), std::slice::from_ref(&out), &[]).unwrap();
    let before = cpu.counters().snapshot();
    ready.run(&[x], std::slice::from_ref(&out), &[]).unwrap();
    let spent = cpu.counters().snapshot() - before;
    assert_eq!((spent.allocations, spent.submits, spent.dispatches), (0, 1, 2));
    assert_eq!(f32::from_bytes(&pollster::block_on(cpu.read_all(&out, 4)).unwrap()), [-2500.0]);
    assert_eq!(ready.sources().len(), 2);
}

#[test]
fn a_plan_without_memory_leaves_everything_as_it_was() {
    // v = -v in place, then a product whose transposed result needs scratch memory.
    let n = 64;
    let mut b1 = Build::default();
    let v = b1.load(0, at(0, &[1]), F, false);
    let v = b1.unary(&NEG, v);
    b1.store(v, 0, at(0, &[1]), false);
    let mut b2 = Build::default();
    let acc = b2.acc(F);
    b2.store(acc, 1, at(0, &[1, n as i64]), false);
    let rows = || Loader::Strided { offset: 0, batch: Dims::new(), row: n as i64, col: 1 };
    let gemm = Gemm { dtype: F, batch: Dims::new(), m: n, n, k: n, a: rows(), b: rows() };
    let gemm = Step::new(Family::Gemm(gemm), &[0, 0], b2.program);
    let roles = [Role::Leaf(0), Role::Output(0)];
    let plan = Plan {
        buffers: roles.iter().map(|&role| BufferInfo { role, dtype: F, len: n * n }).collect(),
        steps: vec![step(nest(&[n * n], &[], b1), &[0]), step(gemm, &[0, 1])],
        params: 0,
        slots: vec![],
    };
    let bytes = 4 * n * n;
    let cpu = CpuBackend::open(&DeviceOptions { cap: Some(3 * bytes as u64), ..DeviceOptions::default() });
    let (v, out, other) = (cpu.alloc(bytes).unwrap(), cpu.alloc(bytes).unwrap(), cpu.alloc(bytes).unwrap());
    cpu.write(&v, &f32::to_bytes(&vec![0.5; n * n])).unwrap();
    let ready = cpu.prepare(Arc::new(plan)).unwrap();
    let run = || ready.run(std::slice::from_ref(&v), std::slice::from_ref(&out), &[]);
    let first = || f32::from_bytes(&pollster::block_on(cpu.read_all(&v, 4)).unwrap())[0];
    assert!(run().expect_err("no room for scratch memory").is_out_of_memory());
    assert_eq!(first(), 0.5);
    drop(other);
    run().unwrap();
    assert_eq!(first(), -0.5);
}

#[test]
fn tensors_may_be_used_on_many_threads_at_once() {
    let (send, done) = mpsc::channel();
    std::thread::spawn(move || {
        let device = Device::open("cpu").unwrap();
        let values: Vec<f32> = (0..256 * 256).map(|i| (i % 7) as f32 * 1e-3).collect();
        let a = Tensor::from_slice(&values, [256, 256], &device).unwrap();
        let one = |i: u64| {
            std::thread::sleep(Duration::from_micros(i * 37 % 500));
            a.matmul(&a).unwrap().exp().unwrap().to_vec::<f32>().unwrap()
        };
        let first = one(0);
        std::thread::scope(|scope| {
            for t in 0..8u64 {
                let (one, first, send) = (&one, &first, send.clone());
                scope.spawn(move || send.send((0..50).all(|i| one(50 * t + i) == *first)).unwrap());
            }
        });
    });
    // The engine's threads help one of them at a time; the others go on alone.
    for _ in 0..8 {
        assert_eq!(done.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}

#[test]
fn a_device_computes_on_as_many_threads_as_it_is_told() {
    let bits = |threads: usize| {
        let device = Device::open_with("cpu", &DeviceOptions { threads, ..DeviceOptions::default() }).unwrap();
        assert!(
            threads == 0 || device.info().driver.ends_with(&format!(", {threads} threads")),
            "{}",
            device.info().driver
        );
        let values: Vec<f32> = (0..300 * 300).map(|i| (i as f32).sin()).collect();
        let a = Tensor::from_slice(&values, [300, 300], &device).unwrap();
        let y = a.matmul(&a).unwrap().softmax(-1).unwrap().sum(0).unwrap().to_vec::<f32>().unwrap();
        y.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let alone = bits(1);
    assert!([0, 2, 5].into_iter().all(|threads| bits(threads) == alone));
}
