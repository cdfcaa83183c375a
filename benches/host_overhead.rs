//! What the host spends: on an operation when the arithmetic is next to nothing (a chain of 1,000 dependent operations on
//! tiny tensors, recorded only, and recorded and replayed from the plan cache), and on training steps, recorded each time,
//! captured, and in `fit`, and the memory of their temporaries (`WGTENSOR_FUSION=off` for that of kernels for each operation).
//! The steps' times are the host's alone only where the device computes nothing, as Mesa's drivers do
//! on the devices of `drm-shim`.

mod common;
#[path = "common/data.rs"]
mod data;
#[expect(dead_code, reason = "other benches use the rest")]
#[path = "common/steps.rs"]
mod steps;

use common::time;
use steps::Step;
use wgtensor::nn::prelude::*;
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

/// Steps in a row, so that waiting for the last does not count.
const STEPS: usize = 100;

/// A training step, recorded each time and captured.
fn training(device: &Device, name: &str, step: Step) -> Result<()> {
    let label = |what: &str| format!("{} {name} step, {what}", device.info().id);
    time(&label("recorded"), STEPS as f64, || {
        (0..STEPS).try_for_each(|_| step().map(drop)).and_then(|()| device.sync()).unwrap();
    });
    let step = steps::captured(device, step);
    (0..3).try_for_each(|_| step().map(drop))?;
    let before = device.counters().dispatches;
    step()?;
    let dispatches = device.counters().dispatches - before;
    println!(
        "{} {dispatches} dispatches, {}",
        label("captured,"),
        device.last_plan().unwrap_or_default().lines().next().unwrap_or_default()
    );
    time(&label("captured"), STEPS as f64, || {
        (0..STEPS).try_for_each(|_| step().map(drop)).and_then(|()| device.sync()).unwrap();
    });
    Ok(())
}

/// The dense layers of the first step, in `fit`.
fn fit(device: &Device) -> Result<()> {
    let samples = STEPS * 64;
    let x = Tensor::uniform([samples, 784], 0.0, 1.0, 1, device)?;
    let y = Tensor::zeros([samples], DType::I32, device)?;
    let dense = |units| Dense::new(units).activation(Relu);
    let mut model = Sequential::new().add(dense(512)).add(dense(512)).add(Dense::new(10).activation(Softmax));
    model.compile("adam", "sparse_categorical_crossentropy", ())?;
    time(&format!("{} MLP step, in `fit`", device.info().id), STEPS as f64, || {
        model.fit(&x, &y, Fit::new().batch_size(64).verbose(0).shuffle(false)).unwrap();
    });
    Ok(())
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
        training(&device, "MLP 784-512-512-10, batch 64,", steps::mlp_adam(&device, 64, &[784, 512, 512, 10])?)?;
        training(&device, "CNN 28x28, batch 64,", steps::cnn_adam(&device, 64)?)?;
        fit(&device)?;
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
