//! The `optimizer`, `schedule` and `initializer` kinds, and optimizers from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::optimizers::{AnyOptimizer, IntoOptimizer};
use wgtensor::nn::prelude::*;
use wgtensor::nn::schedules::Schedule;
use wgtensor::{Device, Shape, Tensor, Var};

use super::call::{Output, Replay, Stop, skip, upload};
use super::case::{Case, string, usizes};
use super::config::{keras, keras_object, made};

/// The optimizer of a `compile` argument: Keras's shorthand, or an object.
pub(crate) fn any_optimizer(json: &Value) -> Replay<Box<dyn AnyOptimizer>> {
    match json.as_str() {
        Some(name) => name.into_optimizer().or_else(|_| skip(format!("optimizer `{name}`"))),
        None => made(<dyn AnyOptimizer>::from_config(&keras_object(json)?)),
    }
}

/// Replays a `schedule` case.
pub(crate) fn replay_schedule(case: &Case) -> Replay<Vec<Output>> {
    let schedule = made(<dyn Schedule>::from_config(&keras(&string(&case.json["schedule"]), &case.json["config"])?))?;
    let steps = case.tensor("steps").ok_or("no `steps`".to_string())?;
    let values: Vec<f64> = steps.to_f64().into_iter().map(|step| schedule.rate(step as u64)).collect();
    Ok(vec![Output { name: "out".into(), shape: steps.shape.clone(), values }])
}

/// Replays an `optimizer` case: all parameters move together, by given gradients.
pub(crate) fn replay_optimizer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let config = keras(&string(&json["optimizer"]), &json["config"])?;
    let mut optimizer = made(<dyn AnyOptimizer>::from_config(&config))?;
    let steps = json["steps"].as_u64().unwrap_or(0) as usize;
    let params = json["n_params"].as_u64().unwrap_or(0) as usize;
    let get = |name: String| case.tensor(&name).ok_or_else(|| Stop::Fail(format!("no `{name}`")));
    let vars = (0..params).map(|k| Ok(Var::new(&upload(get(format!("p.{k}.init"))?, device)?)));
    let vars = vars.collect::<Replay<Vec<Var>>>()?;
    let mut paths = vec![Vec::new(); params];
    for step in 0..steps {
        if let Some(want) = json["learning_rate_before_each_step"][step].as_f64() {
            let rate = optimizer.current_rate();
            if (rate - want).abs() > 1e-7 * want.abs().max(1e-3) {
                return Err(Stop::Fail(format!("the learning rate before step {step} is {rate}, expected {want}")));
            }
        }
        let grads = vars
            .iter()
            .enumerate()
            .map(|(k, var)| Ok((var.clone(), upload(&get(format!("g.{k}"))?.row(step), device)?)));
        optimizer.step(grads.collect::<Replay<Vec<(Var, Tensor)>>>()?)?;
        device.flush()?;
        for (path, var) in paths.iter_mut().zip(&vars) {
            path.extend(var.value().to_f64_vec()?);
        }
    }
    let mut done = Vec::new();
    for (k, (values, var)) in paths.into_iter().zip(&vars).enumerate() {
        let shape = [&[steps], &var.shape()[..]].concat();
        done.push(Output { name: format!("traj.{k}"), shape, values });
    }
    optimizer.finalize(&vars)?;
    for (k, var) in vars.iter().enumerate() {
        done.push(Output::read(format!("after_finalize.{k}"), &var.value())?);
    }
    Ok(done)
}

/// Replays an `initializer` case: bounds, moments within five deviations of their sampling error, and that a seed repeats.
pub(crate) fn replay_initializer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let config = keras(&string(&case.json["initializer"]), &case.json["config"])?;
    let initializer = made(Initializer::from_config(&config))?;
    let shape = Shape::new(&usizes(&case.json["shape"]))?;
    let draw = |seed| initializer.sample(&shape, seed, device)?.to_vec::<f32>();
    let (values, again) = (draw(7)?, draw(7)?);
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let std = (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), &v| (l.min(v.into()), m.max(v.into())));
    let fact = |key: &str| case.json["expected"][key].as_f64();
    let (want_mean, want_std) = (fact("mean").or(fact("value")).unwrap_or(0.0), fact("std").unwrap_or(0.0));
    let error = 5.0 * want_std / n.sqrt() + 1e-6 * (1.0 + want_mean.abs());
    let slack = 1e-5 * (1.0 + want_std);
    let complaint = if values != again {
        "the same seed does not repeat".to_string()
    } else if want_std > 0.0 && draw(8)? == values {
        "another seed gives the same values".to_string()
    } else if (mean - want_mean).abs() > error {
        format!("mean {mean}, expected {want_mean} within {error:.2e}")
    } else if (std - want_std).abs() > error {
        format!("standard deviation {std}, expected {want_std} within {error:.2e}")
    } else if fact("low").is_some_and(|low| least < low - slack) || fact("high").is_some_and(|high| most > high + slack)
    {
        format!("values from {least} to {most}, beyond the distribution's support")
    } else {
        return Ok(Vec::new());
    };
    Err(Stop::Fail(complaint))
}
