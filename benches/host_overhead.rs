//! What the host spends on an operation when the arithmetic is next to nothing: a chain of 1,000 dependent
//! operations on tiny tensors, recorded only, and recorded and replayed from the plan cache.

mod common;

use common::time;
use wgtensor::{DType, Device, Result, Tensor};

const LENGTH: usize = 1000;

/// Pointwise operations, which fuse.
fn pointwise(x: &Tensor) -> Result<Tensor> {
    (0..LENGTH / 2).try_fold(x.clone(), |t, _| t.mul(0.999)?.add(0.001))
}

/// Matrix products, one kernel each.
fn products(x: &Tensor) -> Result<Tensor> {
    (0..LENGTH).try_fold(x.clone(), |t, _| t.matmul(x))
}

fn main() -> Result<()> {
    for info in Device::list() {
        let device = Device::open(&info.id)?;
        let x = Tensor::eye(4, 4, DType::F32, &device)?;
        device.sync()?;
        for (name, chain) in [("pointwise", pointwise as fn(&Tensor) -> Result<Tensor>), ("4x4 matmul", products)] {
            let label = |what: &str| format!("{} {name} chain, {what}, per op", info.id);
            time(&label("record"), LENGTH as f64, || drop(chain(&x).unwrap()));
            time(&label("record and run"), LENGTH as f64, || {
                let last = chain(&x).unwrap();
                last.realize().unwrap();
                device.sync().unwrap();
            });
        }
        // What the first run of a large graph costs: recording, planning, and making the plan ready.
        for length in [500, 2000, 8000] {
            let start = std::time::Instant::now();
            let first = x.requires_grad();
            let mut t = first.clone();
            for i in 0..length / 2 {
                t = t.matmul(&x)?.mul(0.5 + f64::from(i))?.tanh()?;
            }
            let grad = &wgtensor::grad(&t.sum(())?, &[&first])?[0];
            grad.realize()?;
            t.realize()?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{} first run of {length} products and more, per product: {:.1} us",
                info.id,
                seconds * 1e6 / length as f64
            );
            device.sync()?;
        }
    }
    Ok(())
}
