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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
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

fn bits(model: &Model) -> Vec<u32> {
    let weights = model.weights();
    weights.iter().flat_map(|var| var.value().to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wgtensor-saved-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A model with all that has a state: batch statistics, dropout, averages, several outputs of one layer.
fn stateful(optimizer: impl wgtensor::nn::optimizers::IntoOptimizer) -> Result<Model> {
    wgtensor::nn::set_random_seed(5);
    let x = Input::new([6]).node();
    let h = BatchNormalization::new().on(Dense::new(8).activation("tanh").on(&x)?)?;
    let h = Dropout::new(0.3).on(h)?;
    let mut model = Model::named("stateful", &x, Dense::new(3).activation(Softmax).on(&h)?)?;
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        ("accuracy", SparseTopKCategoricalAccuracy::new().k(2)),
    )?;
    Ok(model)
}

fn samples(device: &Device) -> Result<(Tensor, Tensor)> {
    let x = Tensor::uniform([40, 6], -1.0, 1.0, 9, device)?;
    let y: Vec<i32> = (0..40).map(|i| i % 3).collect();
    Ok((x, Tensor::from_slice(&y, [40], device)?))
}

#[test]
fn a_saved_model_trains_on_bit_for_bit() {
    for_each_device(|device| {
        let (x, y) = samples(device)?;
        let optimizers: [Box<dyn wgtensor::nn::optimizers::AnyOptimizer>; 5] = [
            Box::new(Adam::new(0.01).use_ema(true).gradient_accumulation_steps(2)),
            Box::new(SGD::new(0.1).momentum(0.9)),
            Box::new(RMSprop::new(0.001).momentum(0.5).centered(true)),
            Box::new(Nadam::new(schedules::ExponentialDecay::new(0.01, 10, 0.9))),
            Box::new(LossScaleOptimizer::new(Adam::new(0.003))?.initial_scale(64.0)),
        ];
        for optimizer in optimizers {
            let class = optimizer.class_name();
            let mut model = stateful(optimizer)?;
            let how = |seed| Fit::new().epochs(2).batch_size(16).seed(seed).verbose(0);
            model.fit(&x, &y, how(1))?;
            model.set_learning_rate(0.1 * 0.3).ok();
            let bytes = model.to_bytes()?;
            let mut again = Model::from_bytes(&bytes)?;
            assert_eq!(again.to_bytes()?.len(), bytes.len(), "{class}");
            assert_eq!(again.compile_config()?, model.compile_config()?);
            let (first, second) = (model.fit(&x, &y, how(2))?, again.fit(&x, &y, how(2))?);
            assert_eq!(first["loss"], second["loss"], "{class}");
            assert_eq!(bits(&model), bits(&again), "{class}");
        }
        Ok(())
    });
}

#[test]
fn weights_in_hdf5_come_back_with_the_optimizer() -> Result<()> {
    let (folder, device) = (scratch("hdf5"), Device::cpu());
    let (x, y) = samples(&device)?;
    let mut model = stateful("adam")?;
    model.fit(&x, &y, Fit::new().verbose(0))?;
    let path = folder.join("all.weights.h5");
    model.save_weights(&path)?;
    let mut again = stateful("adam")?;
    again.load_weights(&path)?;
    assert_eq!(bits(&again), bits(&model));
    assert_eq!(again.optimizer().unwrap().iterations(), 2);
    // Another optimizer has no use for the state, and the weights are read all the same.
    let mut other = stateful(SGD::new(0.1))?;
    other.load_weights(&path)?;
    assert_eq!((bits(&other), other.optimizer().unwrap().iterations()), (bits(&model), 0));
    // So are they where nothing is compiled, and from a model's file.
    let whole = folder.join("whole.keras");
    model.save(&whole)?;
    let mut bare = Model::from_config(&model.config()?)?;
    bare.load_weights(&whole)?;
    assert_eq!(bits(&bare), bits(&model));
    let uncompiled = wgtensor::nn::load_model_with(&whole, wgtensor::nn::LoadModel::new().compile(false))?;
    assert!(uncompiled.optimizer().is_none());
    std::fs::remove_dir_all(folder).ok();
    Ok(())
}

#[test]
fn a_frozen_layer_and_the_policy_are_kept() -> Result<()> {
    let mut model = stateful("adam")?;
    model.set_dtype_policy("mixed_float16")?;
    model.compile("adam", "sparse_categorical_crossentropy", ())?;
    let first = model.layers().next().unwrap().name().to_owned();
    model.build([6])?;
    model.set_trainable(&first, false)?;
    let again = Model::from_bytes(&model.to_bytes()?)?;
    assert!(!again.get_layer(&first).unwrap().is_trainable());
    assert_eq!(again.trainable_weights().len(), model.trainable_weights().len());
    assert_eq!(again.dtype_policy(), wgtensor::nn::Policy::MixedFloat16);
    assert_eq!(again.optimizer().unwrap().class_name(), "LossScaleOptimizer");
    Ok(())
}

#[test]
fn what_cannot_be_saved_or_loaded_is_told() -> Result<()> {
    let folder = scratch("errors");
    let says = |result: Result<()>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let mut model = stateful("adam")?;
    says(Sequential::new().add(Dense::new(1)).save(folder.join("a.keras")), "isn't built");
    says(model.save(folder.join("model.h5")), "Please add a `.keras` extension");
    says(model.save(folder.join("no/such/folder/a.keras")), "could not be written");
    says(load_model(folder.join("none.keras")).map(drop), "could not be read");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
    // The last good file outlives a save that fails.
    let path = folder.join("a.keras");
    model.save(&path)?;
    let good = std::fs::read(&path).unwrap();
    struct Mine;
    impl wgtensor::nn::layers::Layer for Mine {
        fn class_name(&self) -> &'static str {
            "Mine"
        }
        fn call(&self, x: &Tensor, _: &wgtensor::nn::layers::CallCtx) -> Result<Tensor> {
            Ok(x.clone())
        }
    }
    says(Sequential::new().add(Input::new([2])).add(Mine).save(&path), "no configuration");
    assert!(std::fs::read(&path).unwrap() == good);
    // Another model's weights are refused, and nothing is set.
    let mut other = Sequential::new().add(Input::new([6])).add(Dense::new(9)).add(Dense::new(9));
    other.build([6])?;
    let before = bits(&other);
    says(other.load_weights(&path), "another shape in the file");
    assert_eq!(bits(&other), before);
    std::fs::remove_dir_all(folder).ok();
    Ok(())
}

/// Whatever is done to a file, there is a model or an error.
#[test]
fn damaged_files_are_errors() -> Result<()> {
    let mut model = stateful("adam")?;
    let whole = model.to_bytes()?;
    for cut in (0..whole.len()).step_by(whole.len() / 150) {
        assert!(Model::from_bytes(&whole[..cut]).is_err(), "cut at {cut}");
    }
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        refused += usize::from(Model::from_bytes(&bytes).is_err());
    }
    assert!(refused > 200, "{refused} of 300 changed files were refused");
    Ok(())
}

#[test]
fn a_count_of_steps_that_makes_no_sense_is_refused() -> Result<()> {
    let device = Device::cpu();
    let mut model = stateful(Nadam::new(0.01))?;
    let (x, y) = samples(&device)?;
    model.fit(&x, &y, Fit::new().verbose(0))?;
    let vars = model.trainable_weights();
    let optimizer = model.optimizer_mut().unwrap();
    let mut state = optimizer.get_weights(&vars)?;
    for steps in [-1.0, 0.5, 3e18, f64::NAN] {
        state[0] = Tensor::full((), steps, wgtensor::DType::F32, &device)?;
        assert!(optimizer.set_weights(&vars, &state).unwrap_err().is_invalid_argument(), "{steps}");
    }
    // Two thousand million steps are a number like any other.
    state[0] = Tensor::full((), 2e9, wgtensor::DType::F32, &device)?;
    optimizer.set_weights(&vars, &state)?;
    assert!(model.fit(&x, &y, Fit::new().verbose(0))?["loss"][0].is_finite());
    model.to_bytes()?;
    Ok(())
}

/// A backup made at the last step of an epoch: what is left of it is its validation.
#[test]
fn an_epoch_that_had_ended_has_no_figures_of_training() -> Result<()> {
    use wgtensor::nn::callbacks::Callback;

    struct Start(usize);
    impl Callback for Start {
        fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
            let position = model.position.as_mut().unwrap();
            (position.epoch, position.batch) = (1, self.0);
            Ok(())
        }
    }
    let (x, y) = samples(&Device::cpu())?;
    let mut model = stateful(SGD::new(0.1))?;
    let halve = || LearningRateScheduler::new(|_, rate| rate * 0.5);
    let how = |batch| {
        Fit::new().epochs(3).batch_size(10).validation_data(&x, &y).callbacks((Start(batch), halve())).verbose(0)
    };
    let history = model.fit(&x, &y, how(4))?;
    assert_eq!((history.epoch.as_slice(), history["val_loss"].len(), history["loss"].len()), (&[1, 2][..], 2, 1));
    // The rate of the epoch under way is not lowered again.
    assert_eq!(model.learning_rate()?, 0.05);
    model.set_learning_rate(0.1)?;
    let history = model.fit(&x, &y, how(2))?;
    assert_eq!((history["loss"].len(), model.learning_rate()?), (2, 0.05));
    Ok(())
}
