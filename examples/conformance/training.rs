//! The `training` and `model_summary` kinds.

use serde_json::{Value, json};
use wgtensor::nn::{Compile, EarlyStopping, Fit, Logs, ReduceLROnPlateau, Sequential, TerminateOnNaN};
use wgtensor::{Device, Tensor};

use super::call::{Output, Replay, Stop, skip, upload};
use super::case::{Case, string, usizes};
use super::compare::{Tolerance, compare};
use super::config::{Config, class_of};
use super::layers::layer;
use super::losses::{any_loss, any_metric};
use super::optimizers::any_optimizer;

/// The model of a `training` case, without its weights.
fn model(json: &Value) -> Replay<Sequential> {
    if json["type"] != "sequential" {
        return skip("functional models");
    }
    let mut model = Sequential::new();
    for entry in json["layers"].as_array().into_iter().flatten() {
        let mut config = entry["config"].clone();
        config["name"] = entry["name"].clone();
        model = model.add(layer(&string(&entry["class"]), &config)?);
    }
    Ok(model)
}

/// Replays a `training` case. Its history is compared here: figures by epoch, not tensors.
pub(crate) fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let mut model = model(&json["model"])?;
    let get = |name: &str| case.tensor(name).map(|t| upload(t, device)).transpose();
    let (Some(x), Some(y)) = (get("x")?, get("y")?) else { return skip("models of several inputs or outputs") };
    if let Some(unknown) = json["compile"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
        .find(|key| !["optimizer", "loss", "metrics", "weighted_metrics"].contains(&key.as_str()))
    {
        return skip(format!("compile with `{unknown}`"));
    }
    let list =
        |key: &str| json["compile"][key].as_array().into_iter().flatten().map(any_metric).collect::<Replay<Vec<_>>>();
    let optimizer = any_optimizer(&json["compile"]["optimizer"])?;
    let how = Compile::new(optimizer, any_loss(&json["compile"]["loss"])?);
    model.compile_with(how.metrics(list("metrics")?).weighted_metrics(list("weighted_metrics")?))?;

    drop(model.predict_on_batch(&x)?);
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
            let rows = |t: &Tensor| t.slice(0, step * size..(step + 1) * size);
            let logs = model.train_on_batch(&rows(&x)?, &rows(&y)?, None)?;
            judge.step(step as usize, &logs);
        }
    } else {
        let (val_x, val_y) = (get("val_x")?, get("val_y")?);
        let sample_weight = get("sample_weight")?;
        let mut fit = fit(&json["fit"], &json["callbacks"])?;
        if let (Some(x), Some(y)) = (&val_x, &val_y) {
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
        let logs = model.evaluate(&x, &y, wgtensor::nn::Evaluate::new().batch_size(50).verbose(0))?;
        for (key, want) in wanted {
            let (got, tolerance) = (logs.get(key), &tolerance["evaluate_on_x_batch_size_50"][key]);
            judge.figures(key, &got.into_iter().collect::<Vec<_>>(), &numbers(&json!([want])), tolerance);
        }
    }
    if !judge.wrong.is_empty() {
        return Err(Stop::Fail(judge.wrong.join("; ")));
    }

    let rows = json["predict_rows"].as_u64().unwrap_or(0) as isize;
    let mut done = vec![Output::read("predict", &model.predict_on_batch(&x.slice(0, ..rows)?)?)?];
    for (entry, var) in entries.iter().zip(model.weights()) {
        done.push(Output::read(string(&entry["final"]), &var.value())?);
    }
    Ok(done)
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
                fit.callback(stop)
            }
            "ReduceLROnPlateau" => fit.callback(
                ReduceLROnPlateau::new()
                    .monitor(monitor)
                    .patience(c.count("patience").unwrap_or(10) as usize)
                    .factor(c.float("factor").unwrap_or(0.1))
                    .cooldown(c.count("cooldown").unwrap_or(0) as usize)
                    .min_lr(c.float("min_lr").unwrap_or(0.0))
                    .min_delta(delta().unwrap_or(1e-4)),
            ),
            "TerminateOnNaN" => fit.callback(TerminateOnNaN),
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

/// Replays a `model_summary` case: the layers' output shapes and weights, and Keras's own text.
pub(crate) fn replay_summary(case: &Case) -> Replay<Vec<Output>> {
    let name = string(&case.json["variant"]);
    let mut model = match name.as_str() {
        "mnist_cnn" => {
            use wgtensor::nn::{Conv2D, Dense, Dropout, Flatten, Input, IntoLayer, MaxPooling2D};
            Sequential::named("model")
                .add(Input::new([28, 28, 1]))
                .add(Conv2D::new(32, 3).activation("relu").name("conv2d"))
                .add(MaxPooling2D::new(2).name("max_pooling2d"))
                .add(Conv2D::new(64, 3).activation("relu").name("conv2d_1"))
                .add(MaxPooling2D::new(2).name("max_pooling2d_1"))
                .add(Flatten::new().name("flatten"))
                .add(Dropout::new(0.5).name("dropout"))
                .add(Dense::new(10).activation("softmax").name("dense"))
        }
        _ => return skip(format!("the layers of model `{name}`")),
    };
    let expected = &case.json["expected"];
    let mut wrong = Vec::new();
    let total = model.count_params()?;
    if Some(total as u64) != expected["total_params"].as_u64() {
        wrong.push(format!("{total} parameters, expected {}", expected["total_params"]));
    }
    let layers: Vec<&Value> = expected["layers"].as_array().into_iter().flatten().collect();
    if layers.len() != model.layers().count() {
        wrong.push(format!("{} layers, expected {}", model.layers().count(), layers.len()));
    }
    let mut shape = model.input_shape().ok_or("the model has no input shape".to_string())?;
    for (want, layer) in layers.iter().zip(model.layers()) {
        shape = layer.with(|layer| layer.output_shape(&shape))?;
        let params: usize = layer.weights().iter().map(|v| v.shape().numel()).sum();
        let full = &want["output_shape"].as_array().map(|dims| json!(dims[1..])).unwrap_or_default();
        if usizes(full) != shape.dims()
            || want["params"].as_u64() != Some(params as u64)
            || want["class"] != layer.class_name()
        {
            wrong.push(format!(
                "{} ({}) gives {shape} with {params} parameters, expected {want}",
                layer.name(),
                layer.class_name()
            ));
        }
    }
    let text = expected["text"].as_str().unwrap_or_default();
    // Keras's table is as wide as its console allows; the width is in the text.
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(80);
    let tidy = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let ours = model.summary_text(width);
    if let Some((got, want)) = tidy(&ours).iter().zip(&tidy(text)).find(|(a, b)| a != b) {
        wrong.push(format!("the table has `{got}` where Keras has `{want}`"));
    }
    if wrong.is_empty() { Ok(Vec::new()) } else { Err(Stop::Fail(wrong.join("; "))) }
}
