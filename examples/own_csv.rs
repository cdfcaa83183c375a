//! From a table of yours to a model in a file, and from the file to an answer.
//!
//! ```text
//! cargo run --release --features full --example own_csv -- train examples/data/iris.csv species iris.keras
//! cargo run --release --features full --example own_csv -- predict iris.keras 6.1 2.9 4.7 1.4
//! ```
//!
//! All columns but the one with the labels must be numbers. Keras opens the file as well.

use std::error::Error;

use wgtensor::data::{Csv, Split, train_test_split};
use wgtensor::nn::load_model;
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Tensor};

/// Reads the table, trains, and saves the model; the names of the classes, one a line, beside it.
fn train(table: &str, label: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let device = Device::from_env()?;
    let table = Csv::new().labels([label]).read(table)?;
    let (x, (y, classes)) = (table.features()?, table.labels(label)?);
    println!("{} rows of {} columns, classes: {}", table.rows(), x.dims()[1], classes.join(", "));
    let how = Split::new().test_size(0.2).seed(1).stratify(&y);
    let ([x_train, y_train], [x_test, y_test]) = train_test_split([&x, &y], how)?;
    let on_device = |array: &wgtensor::data::Array| -> wgtensor::Result<Tensor> { array.to_tensor(&device) };
    let (x_train, y_train) = (on_device(&x_train)?, on_device(&y_train)?);
    let (x_test, y_test) = (on_device(&x_test)?, on_device(&y_test)?);

    // The scale of the columns becomes part of the model.
    let mut scale = Normalization::new();
    scale.adapt(&x_train)?;
    let mut model = Sequential::new()
        .add(Input::new(&x.dims()[1..]))
        .add(scale)
        .add(Dense::new(16).activation("relu"))
        .add(Dense::new(classes.len()).activation("softmax"));
    model.compile(Adam::new(0.01), "sparse_categorical_crossentropy", ["accuracy"])?;
    let stop = EarlyStopping::new().patience(5).restore_best_weights(true);
    let how = Fit::new().epochs(50).batch_size(16).validation_data(&x_test, &y_test).callbacks(stop).verbose(2);
    model.fit(&x_train, &y_train, how)?;
    let scores = model.evaluate(&x_test, &y_test, Evaluate::new().verbose(0))?;
    println!("accuracy on rows that it has not seen: {:.3}", scores["accuracy"]);
    model.save(file)?;
    std::fs::write(format!("{file}.classes"), classes.join("\n"))?;
    Ok(())
}

/// Opens the model and asks it.
fn predict(file: &str, numbers: &[String]) -> Result<(), Box<dyn Error>> {
    let mut model = load_model(file)?;
    let row = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<f32>, _>>()?;
    let x = Tensor::from_slice(&row, [1, row.len()], &Device::from_env()?)?;
    let shares = model.predict(&x, Predict::new().verbose(0))?.to_vec::<f32>()?;
    for (class, share) in std::fs::read_to_string(format!("{file}.classes"))?.lines().zip(shares) {
        println!("{class:<12} {:5.1} %", 100.0 * share);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    wgtensor::set_random_seed(1);
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["train", table, label, file] => train(table, label, file),
        ["predict", file, ..] => predict(file, &args[2..]),
        _ => {
            Err("usage: own_csv train TABLE.csv LABEL_COLUMN MODEL.keras, or own_csv predict MODEL.keras NUMBER ..."
                .into())
        }
    }
}
