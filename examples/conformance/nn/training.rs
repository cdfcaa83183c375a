//! The `training` kind: whole trainings from given weights, without shuffling or dropout.

use serde_json::Value;
use wgtensor::Device;
use wgtensor::nn::{Evaluate, Fit, Logs};

use super::super::call::{Output, Replay, Stop, skip, strs};
use super::super::case::Case;
use super::super::compare::Tolerance;
use super::{build, summary, tensor};

/// Trains as the case says; fails where a figure of an epoch is off. Returns the final weights and some predictions.
pub fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let inputs = strs(&json["inputs"]);
    if inputs.iter().any(|name| !["x", "y", "val_x", "val_y", "sample_weight"].contains(name)) {
        return skip("several inputs or outputs");
    }
    if json["callbacks"].as_array().is_some_and(|list| !list.is_empty()) {
        return skip("callbacks of a reference training");
    }
    let mut model = summary::model(&json["model"])?;
    let compile = &json["compile"];
    for (key, _) in compile.as_object().into_iter().flatten() {
        if !["optimizer", "loss", "metrics", "weighted_metrics"].contains(&key.as_str()) {
            return skip(format!("compile argument `{key}`"));
        }
    }
    let metrics = |key: &str| {
        let list = compile[key].as_array().into_iter().flatten();
        list.map(build::compiled_metric).collect::<Replay<Vec<_>>>()
    };
    let optimizer = build::compiled_optimizer(&compile["optimizer"])?;
    let loss = build::compiled_loss(&compile["loss"])?;
    model.compile_weighted(optimizer, loss, metrics("metrics")?, metrics("weighted_metrics")?)?;

    let weights = json["weights"].as_array().cloned().unwrap_or_default();
    let names = |key: &str| weights.iter().filter_map(|w| w[key].as_str()).collect::<Vec<_>>();
    let values = names("tensor").iter().map(|name| tensor(case, name, device)).collect::<Replay<Vec<_>>>()?;
    model.to_device(device)?;
    model.set_weights(&values)?;
    for weight in weights.iter().filter(|w| w["trainable"].as_bool() == Some(false)) {
        // `w.<layer>.<variable>`
        if let Some(layer) = weight["tensor"].as_str().and_then(|name| name.split('.').nth(1)) {
            model.set_trainable(layer, false)?;
        }
    }

    let (x, y) = (tensor(case, "x", device)?, tensor(case, "y", device)?);
    let expected = &json["expected"];
    let mut checks = Checks { gpu: device.is_gpu(), wrong: Vec::new() };
    if json["train_on_batch_steps"].is_u64() || !expected["train_on_batch"].is_null() {
        return skip("`train_on_batch` trainings");
    }
    let validation = match inputs.contains(&"val_x") {
        true => Some((tensor(case, "val_x", device)?, tensor(case, "val_y", device)?)),
        false => None,
    };
    let sample_weight = case.tensor("sample_weight").map(|_| tensor(case, "sample_weight", device)).transpose()?;
    let mut fit = Fit::new().verbose(0).shuffle(false);
    for (key, value) in json["fit"].as_object().into_iter().flatten() {
        let size = value.as_u64().unwrap_or(0) as usize;
        fit = match key.as_str() {
            "epochs" => fit.epochs(size),
            "batch_size" => fit.batch_size(size),
            "initial_epoch" => fit.initial_epoch(size),
            "validation_batch_size" => fit.validation_batch_size(size),
            "validation_freq" => fit.validation_freq(size),
            "validation_split" => fit.validation_split(value.as_f64().unwrap_or(0.0)),
            "class_weight" => {
                let pairs = value.as_object().into_iter().flatten();
                fit.class_weight(pairs.filter_map(|(class, w)| Some((class.parse().ok()?, w.as_f64()?))))
            }
            "shuffle" => fit,
            other => return skip(format!("fit argument `{other}`")),
        };
    }
    if let Some((x, y)) = &validation {
        fit = fit.validation_data(x, y);
    }
    if let Some(weight) = &sample_weight {
        fit = fit.sample_weight(weight);
    }
    let history = model.fit(&x, &y, fit)?;
    for (key, values) in expected["history"].as_object().into_iter().flatten() {
        let Some(got) = history.get(key) else {
            checks.wrong.push(format!("no `{key}` in the history"));
            continue;
        };
        checks.list(key, got, values, &expected["tolerance"][key]);
    }
    if let Some(evaluation) = expected["evaluate_on_x_batch_size_50"].as_object() {
        let logs: Logs = model.evaluate(&x, &y, Evaluate::from(50).verbose(0))?;
        for (key, value) in evaluation {
            let tolerance = &expected["tolerance"]["evaluate_on_x_batch_size_50"][key];
            let got = logs.get(key).unwrap_or(f64::NAN);
            checks.list(&format!("evaluate {key}"), &[got], &Value::Array(vec![value.clone()]), tolerance);
        }
    }
    if !checks.wrong.is_empty() {
        return Err(Stop::Fail(checks.wrong.join("; ")));
    }

    let mut outputs = Vec::new();
    for (name, value) in names("final").iter().zip(model.get_weights()?) {
        outputs.push(Output::read(*name, &value)?);
    }
    let rows = json["predict_rows"].as_u64().unwrap_or(0) as usize;
    let predicted = model.predict(&x.narrow(0, 0, rows.min(x.dims()[0]))?, Evaluate::new().verbose(0))?;
    outputs.push(Output::read("predict", &predicted)?);
    Ok(outputs)
}

/// What is off.
struct Checks {
    gpu: bool,
    wrong: Vec<String>,
}

impl Checks {
    fn list(&mut self, name: &str, got: &[f64], expected: &Value, tolerance: &Value) {
        let expected: Vec<f64> = expected.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let Some(tolerance) = Tolerance::of(tolerance, self.gpu) else { return };
        let fits = got.len() == expected.len() && got.iter().zip(&expected).all(|(g, e)| tolerance.accepts(*g, *e));
        if !fits {
            self.wrong.push(format!("`{name}` is {got:?} instead of {expected:?}"));
        }
    }
}
