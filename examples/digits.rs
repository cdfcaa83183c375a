//! Trains a convolutional network on hand-written digits, on the device chosen and then on the other engine, and
//! compares speed and results.
//!
//! ```text
//! cargo run --release --example digits
//! WGTENSOR_DEVICE=gpu cargo run --release --example digits     # or cpu, gpu:1, ...
//! ```

mod common;

use std::time::Instant;

use wgtensor::nn::prelude::*;
use wgtensor::{Device, DeviceKind, Tensor};

const EPOCHS: usize = 12;
const BATCH: usize = 64;

/// Pixels in 0..1 and labels.
struct Data {
    x_train: Vec<f32>,
    y_train: Vec<i32>,
    x_test: Vec<f32>,
    y_test: Vec<i32>,
}

/// How a training went.
struct Outcome {
    device: String,
    seconds: f64,
    accuracy: f64,
    losses: Vec<f64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = load()?;
    let device = Device::from_env()?;
    println!("{}", describe(&device));

    let first = train(&data, &device, true)?;
    let Some(other) = other_engine(&device) else {
        println!(
            "No other engine to compare with: there is no GPU, or only one in software (WGTENSOR_DEVICE=gpu uses it)."
        );
        return Ok(());
    };
    println!("\nThe same training on the other engine, {}:", name(&other));
    let second = train(&data, &other, false)?;
    compare(&first, &second);
    Ok(())
}

fn load() -> Result<Data, Box<dyn std::error::Error>> {
    let (pixels, labels) = common::read_csv("digits.csv")?;
    let pixels: Vec<f32> = pixels.iter().map(|p| p / 16.0).collect();
    let (x, y) = common::shuffled(&pixels, &labels, 64, 42);
    let n = y.len() * 4 / 5;
    let ((x_train, x_test), (y_train, y_test)) = (x.split_at(64 * n), y.split_at(n));
    Ok(Data { x_train: x_train.into(), y_train: y_train.into(), x_test: x_test.into(), y_test: y_test.into() })
}

fn model() -> Sequential {
    Sequential::named("digits")
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(32, 3).padding("same").activation(Relu).name("conv"))
        .add(Conv2D::new(32, 3).activation(Relu).name("conv_1"))
        .add(MaxPooling2D::new(2).name("pool"))
        .add(Flatten::new().name("flatten"))
        .add(Dropout::new(0.25).name("dropout"))
        .add(Dense::new(10).activation(Softmax).name("dense"))
}

fn train(data: &Data, device: &Device, show: bool) -> wgtensor::Result<Outcome> {
    let images = |x: &[f32]| Tensor::from_slice(x, [x.len() / 64, 8, 8, 1], device);
    let (x_train, x_test) = (images(&data.x_train)?, images(&data.x_test)?);
    let y_train = Tensor::from_slice(&data.y_train, data.y_train.len(), device)?;
    let y_test = Tensor::from_slice(&data.y_test, data.y_test.len(), device)?;

    // The same seed: the same initial weights, order of the samples and dropout on every device.
    wgtensor::set_random_seed(42);
    let mut model = model();
    if show {
        model.summary();
    }
    model.compile(Adam::default().learning_rate(0.002), "sparse_categorical_crossentropy", ["accuracy"])?;

    let start = Instant::now();
    let history = model.fit(&x_train, &y_train, Fit::new().epochs(EPOCHS).batch_size(BATCH))?;
    device.sync()?;
    let seconds = start.elapsed().as_secs_f64();

    let scores = model.evaluate(&x_test, &y_test, Evaluate::new().batch_size(256).verbose(0))?;
    println!("Test accuracy {:.4}, test loss {:.4}; trained in {seconds:.2} s", scores["accuracy"], scores["loss"]);
    Ok(Outcome { device: name(device), seconds, accuracy: scores["accuracy"], losses: history["loss"].to_vec() })
}

/// Which device, and why this one.
fn describe(device: &Device) -> String {
    let why = match std::env::var("WGTENSOR_DEVICE") {
        Ok(choice) if choice != "auto" => format!("asked for by WGTENSOR_DEVICE={choice}"),
        _ if device.is_gpu() => "a GPU is present".to_owned(),
        _ => "no hardware GPU is present".to_owned(),
    };
    format!("Using {} ({why}).", name(device))
}

fn name(device: &Device) -> String {
    let info = device.info();
    format!("{} [{}, {}]", info.name.trim(), info.kind, info.api)
}

/// The CPU for a GPU, and a GPU for the CPU unless it is one in software.
fn other_engine(device: &Device) -> Option<Device> {
    if device.is_gpu() {
        return Some(Device::cpu());
    }
    Device::gpu().ok().filter(|gpu| gpu.info().kind != DeviceKind::Software)
}

fn compare(a: &Outcome, b: &Outcome) {
    let width = a.device.len().max(b.device.len());
    println!("\n{:width$}  {:>9}  {:>13}", "Device", "seconds", "test accuracy");
    for outcome in [a, b] {
        println!("{:width$}  {:>9.2}  {:>13.4}", outcome.device, outcome.seconds, outcome.accuracy);
    }
    println!("\nEpoch  loss, first  loss, other  relative difference");
    for (epoch, (x, y)) in a.losses.iter().zip(&b.losses).take(3).enumerate() {
        println!("{:>5}  {x:>11.6}  {y:>11.6}  {:>19.1e}", epoch + 1, (x - y).abs() / x.abs());
    }
    let apart = (a.losses[0] - b.losses[0]).abs() / a.losses[0].abs();
    let verdict = if apart <= 1e-3 { "the engines agree" } else { "THE ENGINES DISAGREE" };
    println!("After the first epoch {verdict} (relative difference {apart:.1e}, at most 1e-3 expected).");
}
