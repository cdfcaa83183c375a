//! The `training` kind.

use serde_json::{Value, json};
use wgtensor::nn::metrics::MetricSpec;
use wgtensor::nn::prelude::*;
use wgtensor::nn::{Logs, LossWeights, Losses, MetricLists};
use wgtensor::{Device, Tensor};

use super::call::{Output, Replay, Stop, skip, upload};
use super::case::{Case, string};
use super::compare::{Tolerance, compare};
use super::config::{Config, class_of};
use super::losses::{any_loss, any_metric};
use super::models::model;
use super::optimizers::any_optimizer;

/// Replays a `training` case. Its history is compared here: figures by epoch, not tensors.
pub(crate) fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let mut model = model(&json["model"], "model")?;
    let get = |name: &str| case.tensor(name).map(|t| upload(t, device)).transpose();
    let arrays = |what: &str, names: &[String]| match get(what)? {
        Some(one) => Ok(vec![one]),
        None => {
            let each =
                names.iter().map(|name| get(&format!("{what}.{name}"))?.ok_or(format!("no `{what}.{name}`").into()));
            each.collect::<Replay<Vec<Tensor>>>()
        }
    };
    let (inputs, outputs) = (model.input_names(), model.output_names());
    let (x, y) = (arrays("x", &inputs)?, arrays("y", &outputs)?);
    compile(&mut model, &json["compile"])?;

    drop(model.predict_on_batch_all(&x)?);
    let entries: Vec<&Value> = json["weights"].as_array().into_iter().flatten().collect();
    let initial = entries.iter().map(|w| {
        let name = string(&w["tensor"]);
        upload(case.tensor(&name).ok_or(format!("no `{name}`"))?, device)
    });
    model.set_weights(&initial.collect::<Replay<Vec<Tensor>>>()?)?;
    for name in json["frozen_layers"].as_array().into_iter().flatten() {
        model.set_trainable(&string(name), false)?;
    }

    let mut judge = Judge { expected: &json["expected"], gpu: device.is_gpu(), wrong: Vec::new() };
    let tolerance = &json["expected"]["tolerance"];
    if let Some(steps) = json["train_on_batch_steps"].as_u64() {
        let size = json["fit"]["batch_size"].as_u64().unwrap_or(32) as isize;
        for step in 0..steps as isize {
            let rows = |list: &[Tensor]| -> Replay<Vec<Tensor>> {
                list.iter().map(|t| Ok(t.slice(0, step * size..(step + 1) * size)?)).collect()
            };
            let logs = model.train_on_batch(rows(&x)?, rows(&y)?, None)?;
            judge.step(step as usize, &logs);
        }
    } else {
        let sample_weight = get("sample_weight")?;
        let mut fit = fit(&json["fit"], &json["callbacks"])?;
        if let (Ok(x), Ok(y)) = (arrays("val_x", &inputs), arrays("val_y", &outputs)) {
            fit = fit.validation_data(x, y);
        }
        if let Some(weight) = &sample_weight {
            fit = fit.sample_weight(weight);
        }
        let history = model.fit(&x, &y, fit)?;
        for (key, want) in json["expected"]["history"].as_object().into_iter().flatten() {
            judge.figures(key, history.get(key).unwrap_or_default(), &numbers(want), &tolerance[key]);
        }
    }
    if let Some(wanted) = json["expected"]["evaluate_on_x_batch_size_50"].as_object() {
        let logs = model.evaluate(&x, &y, Evaluate::new().batch_size(50).verbose(0))?;
        for (key, want) in wanted {
            let (got, tolerance) = (logs.get(key), &tolerance["evaluate_on_x_batch_size_50"][key]);
            judge.figures(key, &got.into_iter().collect::<Vec<_>>(), &numbers(&json!([want])), tolerance);
        }
    }
    if !judge.wrong.is_empty() {
        return Err(Stop::Fail(judge.wrong.join("; ")));
    }

    let rows = json["predict_rows"].as_u64().unwrap_or(0) as isize;
    let first = x.iter().map(|x| Ok(x.slice(0, ..rows)?)).collect::<Replay<Vec<Tensor>>>()?;
    let predicted = model.predict_on_batch_all(first)?;
    let name = |i: usize| if predicted.len() == 1 { "predict".into() } else { format!("predict.{}", outputs[i]) };
    let read = |(i, tensor)| Output::read(name(i), tensor);
    let mut done = predicted.iter().enumerate().map(read).collect::<Replay<Vec<Output>>>()?;
    for (entry, var) in entries.iter().zip(model.weights()) {
        done.push(Output::read(string(&entry["final"]), &var.value())?);
    }
    Ok(done)
}

/// The arguments of `compile`.
fn compile(model: &mut Model, json: &Value) -> Replay<()> {
    let known = ["optimizer", "loss", "metrics", "weighted_metrics", "loss_weights"];
    if let Some((key, _)) = json.as_object().into_iter().flatten().find(|(key, _)| !known.contains(&key.as_str())) {
        return skip(format!("compile with `{key}`"));
    }
    let (optimizer, losses) = (any_optimizer(&json["optimizer"])?, losses(&json["loss"])?);
    let mut how = Compile::new(optimizer, losses)
        .metrics(metrics(&json["metrics"])?)
        .weighted_metrics(metrics(&json["weighted_metrics"])?);
    match &json["loss_weights"] {
        Value::Array(list) => how = how.loss_weights(list.iter().filter_map(Value::as_f64).collect::<Vec<_>>()),
        Value::Object(map) => {
            let pairs = map.iter().filter_map(|(name, weight)| Some((name.clone(), weight.as_f64()?)));
            how = how.loss_weights(LossWeights::from(pairs.collect::<Vec<_>>()));
        }
        _ => {}
    }
    Ok(model.compile_with(how)?)
}

/// A loss, a list of them, or one for each output by name.
fn losses(json: &Value) -> Replay<Losses> {
    use wgtensor::nn::IntoLosses;
    Ok(match json {
        Value::Array(list) => list.iter().map(any_loss).collect::<Replay<Vec<_>>>()?.into_losses()?,
        Value::Object(map) if !map.contains_key("class") => {
            let pair = |(name, loss): (&String, &Value)| Ok((name.clone(), any_loss(loss)?));
            map.iter().map(pair).collect::<Replay<Vec<_>>>()?.into_losses()?
        }
        one => any_loss(one)?.into_losses()?,
    })
}

/// Metrics in a row, a list for each output, or by the outputs' names.
fn metrics(json: &Value) -> Replay<MetricLists> {
    let some = |json: &Value| match json {
        Value::Array(list) => list.iter().map(any_metric).collect(),
        Value::Null => Ok(Vec::new()),
        one => Ok(vec![any_metric(one)?]),
    };
    Ok(match json {
        Value::Array(list) if list.iter().any(Value::is_array) => {
            MetricLists::List(list.iter().map(some).collect::<Replay<_>>()?)
        }
        Value::Object(map) if !map.contains_key("class") => {
            let pair = |(name, list): (&String, &Value)| Ok((name.clone(), some(list)?));
            MetricLists::Named(map.iter().map(pair).collect::<Replay<Vec<(String, Vec<MetricSpec>)>>>()?)
        }
        other => MetricLists::All(some(other)?),
    })
}

/// Holds reported figures against the expected ones.
struct Judge<'a> {
    expected: &'a Value,
    gpu: bool,
    wrong: Vec<String>,
}

impl Judge<'_> {
    fn figures(&mut self, name: &str, got: &[f64], want: &[f64], tolerance: &Value) {
        let tolerance = match Tolerance::of(tolerance, self.gpu) {
            Ok(Some(tolerance)) => tolerance,
            Ok(None) => return,
            Err(what) => return self.wrong.push(format!("the case is broken: `{name}` has {what}")),
        };
        if got.len() != want.len() {
            self.wrong.push(format!("`{name}` has {} figures, expected {}", got.len(), want.len()));
            return;
        }
        let verdict = compare(got, want, None, &[want.len()], tolerance, |_| false);
        self.wrong.extend(
            verdict.mismatch.map(|m| format!("{} `{name}`: {m}", if want.len() > 1 { "history" } else { "figure" })),
        );
    }

    /// The figures of one `train_on_batch`: loss, then metrics in the order of `compile`, as are the tolerances.
    fn step(&mut self, step: usize, logs: &Logs) {
        let expected = self.expected;
        let (want, tolerance) = (&expected["train_on_batch"][step], &expected["tolerance"]["train_on_batch"]);
        let want = numbers(want);
        if want.is_empty() || want.len() != logs.iter().count() {
            let names: Vec<&str> = logs.iter().map(|(name, _)| name).collect();
            return self.wrong.push(format!("step {step} gives {names:?}, expected {} figures", want.len()));
        }
        for (i, ((name, got), want)) in logs.iter().zip(want).enumerate() {
            self.figures(&format!("{name} of step {step}"), &[got], &[want], &tolerance[i]);
        }
    }
}

/// The arguments of `fit`.
fn fit<'a>(json: &Value, callbacks: &Value) -> Replay<Fit<'a>> {
    let mut fit = Fit::new().verbose(0);
    for (key, value) in json.as_object().into_iter().flatten() {
        let set = |fit: Fit<'a>| {
            let count = || value.as_u64().map(|n| n as usize);
            Some(match key.as_str() {
                "epochs" => fit.epochs(count()?),
                "initial_epoch" => fit.initial_epoch(count()?),
                "batch_size" => fit.batch_size(count()?),
                "validation_batch_size" => fit.validation_batch_size(count()?),
                "validation_freq" => fit.validation_freq(count()?),
                "shuffle" => fit.shuffle(value.as_bool()?),
                "validation_split" => fit.validation_split(value.as_f64()?),
                "class_weight" => {
                    let weight = |(class, weight): (&String, &Value)| Some((class.parse().ok()?, weight.as_f64()?));
                    fit.class_weight(value.as_object()?.iter().map(weight).collect::<Option<Vec<_>>>()?)
                }
                "verbose" => fit,
                _ => return None,
            })
        };
        let Some(more) = set(fit) else { return skip(format!("fit with `{key}` = {value}")) };
        fit = more;
    }
    for object in callbacks.as_array().into_iter().flatten() {
        let c = Config::new(&class_of(object), &object["config"]);
        let monitor = c.text("monitor", "val_loss");
        let delta = || c.float("min_delta");
        fit = match c.class() {
            "EarlyStopping" => {
                let mut stop = EarlyStopping::new()
                    .monitor(monitor)
                    .patience(c.count("patience").unwrap_or(0) as usize)
                    .restore_best_weights(c.flag("restore_best_weights", false))
                    .start_from_epoch(c.count("start_from_epoch").unwrap_or(0) as usize)
                    .min_delta(delta().unwrap_or(0.0));
                if let Some(baseline) = c.float("baseline") {
                    stop = stop.baseline(baseline);
                }
                fit.callbacks(stop)
            }
            "ReduceLROnPlateau" => fit.callbacks(
                ReduceLROnPlateau::new()
                    .monitor(monitor)
                    .patience(c.count("patience").unwrap_or(10) as usize)
                    .factor(c.float("factor").unwrap_or(0.1))
                    .cooldown(c.count("cooldown").unwrap_or(0) as usize)
                    .min_lr(c.float("min_lr").unwrap_or(0.0))
                    .min_delta(delta().unwrap_or(1e-4)),
            ),
            "TerminateOnNaN" => fit.callbacks(TerminateOnNaN),
            _ => return c.unknown("callback"),
        };
        if c.text("mode", "auto") != "auto" {
            return skip(format!("{} with `mode`", c.class()));
        }
        let _ = c.get("verbose");
        c.finish()?;
    }
    Ok(fit)
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}
