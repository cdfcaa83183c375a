//! Looks at a training from all sides: learning curves, a confusion matrix beside a ROC curve and histograms of the weights as charts,
//! pictures of the model and of the kernels of a step, and what host and device did on one time line.
//!
//! ```text
//! cargo run --release --features full --example looking              # charts in the terminal
//! cargo run --release --features full --example looking -- FOLDER    # and all of it as files
//! ```

mod common;

use std::error::Error;
use std::path::PathBuf;

use wgtensor::nn::prelude::*;
use wgtensor::nn::{losses::Loss, plot_model};
use wgtensor::{Device, DeviceOptions, Tensor, Var, plot};

/// The plan of a training step of a network of two layers, written out, on a device that does nothing else.
fn plan_of_a_step() -> wgtensor::Result<wgtensor::diagram::Diagram> {
    let device = Device::open_with("cpu", &DeviceOptions::default())?;
    let x = Tensor::uniform([64, 30], -1.0, 1.0, 1, &device)?;
    let y = x.sum_keepdims(1)?.gt(0.0)?.cast(wgtensor::DType::F32)?;
    let w1 = Var::named("w1", &Tensor::normal([30, 16], 0.0, 0.2, 2, &device)?);
    let w2 = Var::named("w2", &Tensor::normal([16, 1], 0.0, 0.2, 3, &device)?);
    let mut optimizer = wgtensor::nn::optimizers::SGD::new(0.1);
    for _ in 0..2 {
        let hidden = x.matmul(&w1.value())?.relu()?;
        let p = hidden.matmul(&w2.value())?.sigmoid()?;
        let loss = BinaryCrossentropy::default().compute(&y, &p, None)?;
        optimizer.apply(&loss.backward()?)?;
    }
    device.sync()?;
    Ok(device.last_plan_diagram().expect("a step ran"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    wgtensor::set_random_seed(1);
    let device = Device::from_env()?;
    let [(x_train, y_train), (x_test, y_test)] = common::breast_cancer(&device)?;

    let input = Input::new([30]).name("cell").node();
    let hidden = Dense::new(16).activation(Relu).name("hidden").on(&input)?;
    let skip = concatenate([&input, &hidden])?;
    let mut model = Model::new(&input, Dense::new(1).activation(Sigmoid).name("benign").on(&skip)?)?;
    model.compile(Adam::new(0.003), "binary_crossentropy", ["accuracy"])?;
    let how = || Fit::new().batch_size(64).validation_data(&x_test, &y_test).verbose(0);
    let history = model.fit(&x_train, &y_train, how().epochs(20))?;
    let p = model.predict(&x_test, ())?;

    let curves = plot::learning_curves(&history);
    let quality = plot::confusion_matrix(&y_test, &p, ["malignant", "benign"])?.beside(plot::roc_curve(&y_test, &p)?);
    curves.print();
    quality.print();
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    curves.save(folder.join("curves.png"))?;
    quality.save(folder.join("quality.png"))?;
    plot::weight_histograms(&model)?.save(folder.join("weights.png"))?;
    plot_model(&mut model, PlotModel::new().show_shapes(true)).save(folder.join("model.svg"))?;
    plan_of_a_step()?.save(folder.join("plan.svg"))?;
    let (_, profile) = device.profile(|| model.fit(&x_train, &y_train, how()))?;
    profile.save_trace(folder.join("trace.json"))?;
    println!("{} has the charts, the pictures, and trace.json for https://ui.perfetto.dev", folder.display());
    Ok(())
}
