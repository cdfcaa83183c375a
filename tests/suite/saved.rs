//! Models in files: Keras's and the crate's own, there and back, whole and damaged.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use wgtensor::nn::prelude::*;
use wgtensor::nn::{Arrays, load_model};
use wgtensor::{Device, Result, Tensor};

use super::devices::for_each_device;

fn silent() -> Predict<'static> {
    Predict::new().verbose(0)
}

fn read_json(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn tensor(json: &Json, device: &Device) -> Result<Tensor> {
    let shape: Vec<usize> = json["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let data = json["data"].as_array().unwrap();
    match json["dtype"].as_str().unwrap() {
        "int32" => {
            let numbers: Vec<i32> = data.iter().map(|n| n.as_i64().unwrap() as i32).collect();
            Tensor::from_slice(&numbers, &shape[..], device)
        }
        _ => {
            let numbers: Vec<f32> = data.iter().map(|n| n.as_f64().unwrap() as f32).collect();
            Tensor::from_slice(&numbers, &shape[..], device)
        }
    }
}

fn tensors(json: &Json, device: &Device) -> Result<Vec<Tensor>> {
    json.as_array().unwrap().iter().map(|json| tensor(json, device)).collect()
}

fn arrays(tensors: &[Tensor]) -> Arrays {
    Arrays::from(tensors)
}

fn near(name: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{name}: {got:?} instead of {expected:?}");
    }
}

fn predicts(model: &mut Model, x: &[Tensor]) -> Result<Vec<Tensor>> {
    model.predict_all(arrays(x), silent())
}

fn trains(model: &mut Model, x: &[Tensor], y: &[Tensor]) -> Result<Vec<f64>> {
    let how = Fit::new().epochs(3).batch_size(8).shuffle(false).verbose(0);
    Ok(model.fit(arrays(x), arrays(y), how)?["loss"].to_vec())
}

/// A file of Keras's predicts here as it does there, and training goes on with the same losses.
fn as_in_keras(file: &Path, device: &Device) -> Result<(Model, Vec<Tensor>, Vec<Tensor>)> {
    let (name, note) = (file.display().to_string(), read_json(&file.with_extension("json")));
    let (x, y) = (tensors(&note["x"], device)?, tensors(&note["y"], device)?);
    let mut model = load_model(file)?;
    for (got, expected) in predicts(&mut model, &x)?.iter().zip(tensors(&note["predictions"], device)?) {
        near(&name, &got.to_f64_vec()?, &expected.to_f64_vec()?, 1e-5);
    }
    let expected: Vec<f64> = note["losses"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    near(&name, &trains(&mut model, &x, &y)?, &expected, 2e-5);
    Ok((model, x, y))
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras")
}

#[test]
fn files_of_keras_predict_and_train_as_there() {
    for_each_device(|device| {
        for name in ["skips", "words"] {
            as_in_keras(&kept().join(name).with_extension("keras"), device)?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the files that tests/keras/exchange.py makes"]
fn exchanged_with_keras() {
    let folder = PathBuf::from(std::env::var_os("WGTENSOR_EXCHANGE").expect("WGTENSOR_EXCHANGE: the folder"));
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|end| end == "keras") && !path.to_string_lossy().contains(".ours"))
        .collect();
    assert!(files.len() >= 10, "ten models in {}", folder.display());
    for file in files {
        eprintln!("{}", file.display());
        let (mut model, x, y) = as_in_keras(&file, &Device::cpu()).unwrap();
        let ours = file.with_extension("ours.keras");
        model.save(&ours).unwrap();
        let shown = |t: &Tensor| json!({"shape": t.dims(), "dtype": "float32", "data": t.to_vec::<f32>().unwrap()});
        let predictions: Vec<Json> = predicts(&mut model, &x).unwrap().iter().map(shown).collect();
        let note = json!({"predictions": predictions, "losses": trains(&mut model, &x, &y).unwrap()});
        std::fs::write(ours.with_extension("json"), note.to_string()).unwrap();
    }
}
