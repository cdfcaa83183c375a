//! The classic first Keras program: is a tumour benign?
//!
//! ```text
//! cargo run --release --example breast_cancer
//! ```

mod common;

use wgtensor::nn::prelude::*;
use wgtensor::{Device, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    wgtensor::set_random_seed(1);
    let device = Device::from_env()?;
    let (mut x, y) = common::read_csv("breast_cancer.csv")?;
    common::standardize(&mut x, 30);
    let (x, y) = common::shuffled(&x, &y, 30, 7);
    let n = y.len() * 4 / 5;
    let x_train = Tensor::from_slice(&x[..n * 30], [n, 30], &device)?;
    let y_train = Tensor::from_slice(&y[..n], n, &device)?;
    let x_test = Tensor::from_slice(&x[n * 30..], [y.len() - n, 30], &device)?;
    let y_test = Tensor::from_slice(&y[n..], y.len() - n, &device)?;

    let mut model = Sequential::new()
        .add(Input::new([30]))
        .add(Dense::new(16).activation("relu"))
        .add(Dense::new(1).activation("sigmoid"));
    model.summary();
    model.compile("adam", "binary_crossentropy", ["accuracy"])?;
    model.fit(&x_train, &y_train, Fit::new().epochs(10).batch_size(64).validation_data(&x_test, &y_test))?;

    let scores = model.evaluate(&x_test, &y_test, Evaluate::new().batch_size(64).verbose(0))?;
    println!("test loss {:.4}, test accuracy {:.4}, on {}", scores["loss"], scores["accuracy"], device.info().name);
    Ok(())
}
