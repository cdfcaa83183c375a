//! A trained model put to another task: a `.keras` file is opened, its layers frozen, another end put on it, and that trained on
//! few images; then the last of its own layers as well, with small steps.
//!
//! The model knows the ten digits. The task is another question about such images, for which there are just thirty answers: is the
//! digit a prime?
//!
//! ```text
//! cargo run --release --features full --example transfer
//! ```

mod common;

use std::error::Error;

use wgtensor::nn::load_model;
use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, Tensor};

/// How many images of the new task are trained with.
const FEW: usize = 30;

/// Images and their digits: those to train the first model, the few of the new task, and those that neither sees.
struct Data {
    known: (Tensor, Tensor),
    few: (Tensor, Tensor),
    test: (Tensor, Tensor),
}

fn load(device: &Device) -> Result<Data, Box<dyn Error>> {
    let (pixels, digits) = common::read_csv("digits.csv")?;
    let (x, y) = common::shuffled(&pixels, &digits, 64, 42);
    let part = |from: usize, to: usize| -> wgtensor::Result<(Tensor, Tensor)> {
        let images = Tensor::from_slice(&x[64 * from..64 * to], [to - from, 8, 8, 1], device)?.div(16.0)?;
        Ok((images, Tensor::from_slice(&y[from..to], to - from, device)?))
    };
    Ok(Data { known: part(0, 1000)?, few: part(1000, 1000 + FEW)?, test: part(1000 + FEW, y.len())? })
}

/// 1 for the digits 2, 3, 5 and 7.
fn is_prime(digits: &Tensor) -> wgtensor::Result<Tensor> {
    let is = |digit: i32| digits.eq(digit)?.cast(DType::F32);
    is(2)?.add(&is(3)?)?.add(&is(5)?)?.add(&is(7)?)?.expand_dims(-1)
}

fn digits_model() -> Sequential {
    Sequential::named("digits")
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(32, 3).padding("same").activation(Relu).name("conv"))
        .add(Conv2D::new(32, 3).activation(Relu).name("conv_1"))
        .add(MaxPooling2D::new(2).name("pool"))
        .add(Flatten::new().name("flatten"))
        .add(Dense::new(64).activation(Relu).name("features"))
        .add(Dense::new(10).activation(Softmax).name("digit"))
}

/// Trains a model on the few images and returns its accuracy on others.
fn tune(model: &mut Model, data: &Data, rate: f64, epochs: usize) -> wgtensor::Result<f64> {
    model.compile(Adam::new(rate), "binary_crossentropy", ["accuracy"])?;
    model.fit(&data.few.0, &is_prime(&data.few.1)?, Fit::new().epochs(epochs).batch_size(10).verbose(0))?;
    Ok(model.evaluate(&data.test.0, &is_prime(&data.test.1)?, Evaluate::new().verbose(0))?["accuracy"])
}

fn main() -> Result<(), Box<dyn Error>> {
    wgtensor::set_random_seed(5);
    let device = Device::from_env()?;
    let data = load(&device)?;

    // Somebody's model of the ten digits, in a file.
    let file = std::env::temp_dir().join("wgtensor-digits.keras");
    let mut first = digits_model();
    first.compile(Adam::new(0.002), "sparse_categorical_crossentropy", ["accuracy"])?;
    first.fit(&data.known.0, &data.known.1, Fit::new().epochs(12).batch_size(64).verbose(2))?;
    first.save(&file)?;

    // Opened, all of it frozen, and its last layer replaced.
    let mut opened = load_model(&file)?;
    opened.layers().for_each(|layer| layer.set_trainable(false));
    let features = opened.get_layer("features").ok_or("the file has another model")?;
    let (input, output) = (opened.inputs()?, opened.output_of("features")?);
    let prime = Dense::new(1).activation(Sigmoid).name("prime").on(&output)?;
    let mut model = Model::new(&input[..], [&prime])?;
    model.summary();
    let frozen = tune(&mut model, &data, 0.005, 60)?;

    // What was frozen last is let go, and changes little.
    features.set_trainable(true);
    let tuned = tune(&mut model, &data, 0.0005, 30)?;

    // The same network from nothing.
    let mut fresh: Model = digits_model().into();
    let (input, output) = (fresh.inputs()?, fresh.output_of("features")?);
    let mut fresh = Model::new(&input[..], [&Dense::new(1).activation(Sigmoid).on(&output)?])?;
    let alone = tune(&mut fresh, &data, 0.002, 60)?;

    println!("\nIs the digit a prime? Right of {} images, after {FEW} to learn from:", data.test.1.numel());
    println!("  a fresh network        {alone:.3}");
    println!("  on the frozen model    {frozen:.3}");
    println!("  its last layer tuned   {tuned:.3}");
    std::fs::remove_file(file)?;
    Ok(())
}
