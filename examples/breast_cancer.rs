//! The classic first Keras program: is a tumour benign?
//!
//! ```text
//! cargo run --release --example breast_cancer
//! ```

mod common;

use wgtensor::Device;
use wgtensor::nn::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    wgtensor::set_random_seed(1);
    let device = Device::from_env()?;
    let [(x_train, y_train), (x_test, y_test)] = common::breast_cancer(&device)?;

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
