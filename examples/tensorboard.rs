//! Trains a small model of two branches and writes what TensorBoard shows.
//!
//! ```text
//! cargo run --release --example tensorboard --features tensorboard -- logs
//! tensorboard --logdir logs
//! ```

mod common;

use wgtensor::nn::prelude::*;
use wgtensor::{Device, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let logs = std::env::args().nth(1).unwrap_or("logs".into());
    let device = Device::from_env()?;
    let (mut x, y) = common::read_csv("breast_cancer.csv")?;
    common::standardize(&mut x, 30);
    let (x, y) = common::shuffled(&x, &y, 30, 7);
    let (x, y) = (Tensor::from_slice(&x, [y.len(), 30], &device)?, Tensor::from_slice(&y, y.len(), &device)?);

    let input = Input::new([30]).name("cells").node();
    let wide = Dense::new(16).activation("relu").name("wide").on(&input)?;
    let deep = Dense::new(16).activation("tanh").name("deep").on(&wide)?;
    let output = Dense::new(1).activation("sigmoid").name("malignant").on(&add([&wide, &deep])?)?;
    let mut model = Model::named("two_branches", &input, &output)?;
    model.compile("adam", "binary_crossentropy", ["accuracy"])?;

    let board =
        TensorBoard::new(&logs).histogram_freq(1).update_freq(2).write_steps_per_second(true).profile_batch((3, 5));
    let how = Fit::new().epochs(5).batch_size(64).validation_split(0.2).verbose(2).callbacks(board);
    let history = model.fit(&x, &y, how)?;
    // Every figure once more, to compare with.
    for (name, figures) in &history.history {
        println!("{name} {figures:?}");
    }
    let weights = model.get_layer("wide").map_or(Vec::new(), |layer| layer.weights());
    println!("wide/kernel {:?}", weights[0].value().to_vec::<f32>()?);
    Ok(())
}
