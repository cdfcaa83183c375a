//! The kinds of the training API: layers, losses, metrics, optimizers, schedules, initialisers, summaries, trainings.

mod build;
mod summary;
mod training;

use serde_json::Value;
use wgtensor::nn::{AnyOptimizer, BuildCtx, CallCtx, IntoMetric, LearningRate, MetricSpec};
use wgtensor::{Device, Shape, Tensor, Var};

use super::call::{Output, Replay, Stop, skip, strs, upload};
use super::case::{Case, usizes};

/// Replays a case of one of these kinds; `None` where the kind is another.
pub fn replay(case: &Case, device: &Device) -> Option<Replay<Vec<Output>>> {
    Some(match case.kind.as_str() {
        "layer" => layer(case, device),
        "loss" => loss(case, device),
        "metric" => metric(case, device),
        "optimizer" => optimizer(case, device),
        "schedule" => schedule(case),
        "initializer" => initializer(case, device),
        "model_summary" => summary::replay(case),
        "training" => training::replay(case, device),
        _ => return None,
    })
}

/// A tensor of the case on the device.
fn tensor(case: &Case, name: &str, device: &Device) -> Replay<Tensor> {
    upload(case.tensor(name).ok_or(format!("tensor `{name}` is missing"))?, device)
}

fn layer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    if strs(&json["inputs"]) != ["x"] || json["call_kwargs"].as_object().is_some_and(|k| !k.is_empty()) {
        return skip("layers of several inputs, masks or call options");
    }
    let mut layer = build::layer(json["layer"].as_str().unwrap_or_default(), &json["config"], "layer")?;
    let x = tensor(case, "x", device)?;
    let x = if case.tensor("x").is_some_and(|t| t.f32s().is_some()) { x.requires_grad() } else { x };
    let sample = Shape::new(&x.dims()[1..])?;
    let mut seeds = wgtensor::nn::SeedStream::new(1);
    layer.build(&sample, &mut BuildCtx::new(device, "layer", &mut seeds))?;
    let weights = layer.weights();
    let given = json["weights"].as_array().cloned().unwrap_or_default();
    if weights.len() != given.len() {
        return Err(Stop::Fail(format!("{} weights, expected {}", weights.len(), given.len())));
    }
    let names: Vec<&str> = given.iter().filter_map(|w| w["tensor"].as_str()).collect();
    for (var, name) in weights.iter().zip(&names) {
        var.assign(&tensor(case, name, device)?)?;
    }
    let training = json["training"].as_bool() == Some(true);
    let ctx = if training { CallCtx::training(1) } else { CallCtx::inference() };
    let y = layer.call(&x, &ctx)?;
    let mut outputs = vec![Output::read("out", &y)?];
    let promised = layer.output_shape(&sample)?;
    if promised.dims() != &y.dims()[1..] {
        return Err(Stop::Fail(format!("output_shape is {promised}, the output has {}", y.shape())));
    }
    if case.tensor("loss_w").is_some() {
        let grads = y.mul(tensor(case, "loss_w", device)?)?.sum(())?.backward()?;
        if let Some(grad) = grads.wrt(&x) {
            outputs.push(Output::read("grad.x", grad)?);
        }
        for (var, name) in weights.iter().zip(&names) {
            if let Some(grad) = grads.get(var) {
                outputs.push(Output::read(format!("grad.{name}"), grad)?);
            }
        }
    }
    for (var, name) in weights.iter().zip(&names) {
        outputs.push(Output::read(format!("after.{name}"), &var.value())?);
    }
    Ok(outputs)
}

fn loss(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let loss = build::loss(case.json["loss"].as_str().unwrap_or_default(), &case.json["config"])?;
    let y_true = tensor(case, "y_true", device)?;
    let y_pred = tensor(case, "y_pred", device)?.requires_grad();
    let weight = case.tensor("sample_weight").map(|w| upload(w, device)).transpose()?;
    let out = loss.compute(&y_true, &y_pred, weight.as_ref())?;
    let total = out.mul(tensor(case, "loss_w", device)?)?.sum(())?;
    let grads = total.backward()?;
    let grad = grads.wrt(&y_pred).ok_or("no gradient".to_owned())?;
    Ok(vec![Output::read("out", &out)?, Output::read("grad.y_pred", grad)?])
}

fn metric(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let spec = build::metric(case.json["metric"].as_str().unwrap_or_default(), &case.json["config"])?;
    let MetricSpec::Metric(_, metric) = spec else { return skip("a metric resolved by shapes") };
    let batches = case.json["batches"].as_u64().unwrap_or(0) as usize;
    let mut outputs = Vec::new();
    let scalar = |name: String, value: f64| Output { name, shape: vec![], values: vec![value] };
    let (mut totals, mut samples) = (Vec::<Vec<f64>>::new(), 0.0);
    for batch in 0..batches {
        let name = |what: &str| format!("{what}.{batch}");
        let (y_true, y_pred) = (tensor(case, &name("y_true"), device)?, tensor(case, &name("y_pred"), device)?);
        let weight = case.tensor(&name("sample_weight")).map(|w| upload(w, device)).transpose()?;
        let sums = metric.sums(&y_true, &y_pred, weight.as_ref())?;
        let sums = sums.iter().map(Tensor::to_f64_vec).collect::<wgtensor::Result<Vec<_>>>()?;
        let count = y_pred.dims()[0] as f64;
        if batch + 1 == batches {
            outputs.push(scalar("result_last_batch_only".into(), metric.result(&sums, count)));
        }
        totals.resize_with(sums.len(), Vec::new);
        for (total, sum) in totals.iter_mut().zip(sums) {
            total.resize(sum.len(), 0.0);
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += s);
        }
        samples += count;
        outputs.push(scalar(format!("result_after.{batch}"), metric.result(&totals, samples)));
    }
    Ok(outputs)
}

fn optimizer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let mut optimizer: Box<dyn AnyOptimizer> =
        build::optimizer(case.json["optimizer"].as_str().unwrap_or_default(), &case.json["config"])?;
    let count = case.json["n_params"].as_u64().unwrap_or(0) as usize;
    let steps = case.json["steps"].as_u64().unwrap_or(0) as usize;
    let vars = (0..count)
        .map(|k| Ok(Var::new(&tensor(case, &format!("p.{k}.init"), device)?)?))
        .collect::<Replay<Vec<_>>>()?;
    let grads = (0..count).map(|k| tensor(case, &format!("g.{k}"), device)).collect::<Replay<Vec<_>>>()?;
    let mut paths = vec![Vec::new(); count];
    for step in 0..steps {
        let now = |(var, grad): (&Var, &Tensor)| Ok((var.clone(), grad.select_index(0, step as isize)?));
        optimizer.step(vars.iter().zip(&grads).map(now).collect::<Replay<_>>()?)?;
        device.flush()?;
        for (path, var) in paths.iter_mut().zip(&vars) {
            path.extend(var.value().to_f64_vec()?);
        }
    }
    optimizer.finalize(&vars)?;
    let mut outputs = Vec::new();
    for (k, (values, var)) in paths.into_iter().zip(&vars).enumerate() {
        outputs.push(Output { name: format!("traj.{k}"), shape: [&[steps], var.shape().dims()].concat(), values });
        outputs.push(Output::read(format!("after_finalize.{k}"), &var.value())?);
    }
    Ok(outputs)
}

fn schedule(case: &Case) -> Replay<Vec<Output>> {
    let config = serde_json::json!({"class": case.json["schedule"], "config": case.json["config"]});
    let rate: LearningRate = build::rate(&config)?;
    let steps = case.tensor("steps").ok_or("no steps".to_owned())?;
    let values = steps.to_f64().into_iter().map(|step| rate.at(step as u64)).collect();
    Ok(vec![Output { name: "out".into(), shape: steps.shape.clone(), values }])
}

/// Checks support and moments: five standard errors, as the case's notes ask.
fn initializer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let initializer = build::initializer(case.json["initializer"].as_str().unwrap_or_default(), &case.json["config"])?;
    let shape = Shape::new(&usizes(&case.json["shape"]))?;
    let values = initializer.sample(&shape, 17, device)?.to_f64_vec()?;
    if values != initializer.sample(&shape, 17, device)?.to_f64_vec()? {
        return Err(Stop::Fail("the same seed gave other values".into()));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let fact = |key: &str| case.json["expected"][key].as_f64();
    let mut wrong = Vec::new();
    if let Some(value) = fact("value").filter(|v| values.iter().any(|got| (got - v).abs() > 1e-7)) {
        wrong.push(format!("values other than {value}"));
    }
    let slack = 1e-6 * fact("high").unwrap_or(1.0).abs();
    if let (Some(low), Some(high)) = (fact("low"), fact("high"))
        && values.iter().any(|&v| v < low - slack || v > high + slack)
    {
        wrong.push(format!("values outside {low}..{high}"));
    }
    if let Some(expected) = fact("std").filter(|&s| s > 0.0) {
        if (mean - fact("mean").unwrap_or(0.0)).abs() > 5.0 * expected / n.sqrt() {
            wrong.push(format!("mean {mean}"));
        }
        // The standard error of a standard deviation is at most std / sqrt(2 n) for these distributions.
        if (std - expected).abs() > 5.0 * expected / (2.0 * n).sqrt() {
            wrong.push(format!("standard deviation {std} instead of {expected}"));
        }
    }
    if wrong.is_empty() { Ok(Vec::new()) } else { Err(Stop::Fail(wrong.join("; "))) }
}

/// A setting that a case gives, or its default.
fn float(config: &Value, key: &str, default: f64) -> f64 {
    config[key].as_f64().unwrap_or(default)
}

/// A metric by its Keras name.
fn named_metric(name: &str) -> Replay<MetricSpec> {
    name.into_metric().or_else(|_| skip(format!("metric `{name}`")))
}
