//! The `loss` and `metric` kinds, and both from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::constraints::Constraint;
use wgtensor::nn::losses::{IntoLoss, Loss};
use wgtensor::nn::metrics::{Figure, IntoMetric, Metric, MetricSpec};
use wgtensor::nn::regularizers::Regularizer;
use wgtensor::{Device, Tensor};

use super::call::{Output, Replay, Stop, skip, upload};
use super::case::{Case, string};
use super::config::{keras, keras_object, made};

/// The loss of a `compile` argument: Keras's shorthand, or an object.
pub(crate) fn any_loss(json: &Value) -> Replay<Box<dyn Loss>> {
    match json.as_str() {
        Some(name) => match name.into_loss() {
            Ok(Some(loss)) => Ok(loss),
            _ => skip(format!("loss `{name}`")),
        },
        None => made(<dyn Loss>::from_config(&keras_object(json)?)),
    }
}

/// Replays a `loss` case.
pub(crate) fn replay_loss(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let loss = made(<dyn Loss>::from_config(&keras(&string(&case.json["loss"]), &case.json["config"])?))?;
    let get = |name: &str| case.tensor(name).map(|t| upload(t, device)).transpose();
    let required = |name: &str| get(name)?.ok_or_else(|| Stop::Fail(format!("no `{name}`")));
    let y_pred = required("y_pred")?.requires_grad();
    let out = loss.compute(&required("y_true")?, &y_pred, get("sample_weight")?.as_ref())?;
    let mut done = vec![Output::read("out", &out)?];
    if let Some(weight) = get("loss_w")?
        && let Some(grad) = out.mul(&weight)?.sum(())?.backward()?.wrt(&y_pred)
    {
        done.push(Output::read("grad.y_pred", grad)?);
    }
    Ok(done)
}

/// The metric of a `compile` argument, under its name.
pub(crate) fn any_metric(json: &Value) -> Replay<MetricSpec> {
    match json.as_str() {
        Some(name) => name.into_metric().or_else(|_| skip(format!("metric `{name}`"))),
        None => {
            let config = keras_object(json)?;
            Ok(MetricSpec::Metric(config.name().map(String::from), made(<dyn Metric>::from_config(&config))?))
        }
    }
}

/// Replays a `metric` case: totals over the batches, a result after each, then the last batch alone.
pub(crate) fn replay_metric(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let metric = made(<dyn Metric>::from_config(&keras(&string(&case.json["metric"]), &case.json["config"])?))?;
    let get = |name: String| case.tensor(&name).map(|t| upload(t, device)).transpose();
    let mut totals: Vec<Vec<f64>> = Vec::new();
    let (mut samples, mut done, mut last) = (0.0, Vec::new(), None);
    for b in 0.. {
        // The metrics of plain values have no targets.
        let values = get(format!("values.{b}"))?;
        let (y_true, y_pred) = match values {
            Some(values) => (Some(values.clone()), Some(values)),
            None => (get(format!("y_true.{b}"))?, get(format!("y_pred.{b}"))?),
        };
        let (Some(y_true), Some(y_pred)) = (y_true, y_pred) else { break };
        let sums = metric.sums(&y_true, &y_pred, get(format!("sample_weight.{b}"))?.as_ref())?;
        let sums = sums.iter().map(Tensor::to_f64_vec).collect::<wgtensor::Result<Vec<_>>>()?;
        let rows = y_pred.dims().first().copied().unwrap_or(1) as f64;
        totals.resize_with(sums.len(), Vec::new);
        for (total, sum) in totals.iter_mut().zip(&sums) {
            total.resize(sum.len(), 0.0);
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += s);
        }
        samples += rows;
        done.push(number(format!("result_after.{b}"), metric.result(&totals, samples)));
        last = Some(metric.result(&sums, rows));
    }
    done.extend(last.map(|value| number("result_last_batch_only".into(), value)));
    Ok(done)
}

/// Replays a `regularizer` case: the penalty of a weight and its gradient.
pub(crate) fn replay_regularizer(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let config = keras(&string(&case.json["regularizer"]), &case.json["config"])?;
    let regularizer = made(<dyn Regularizer>::from_config(&config))?;
    let w = upload(case.tensor("w").ok_or("no `w`".to_string())?, device)?.requires_grad();
    let out = regularizer.penalty(&w)?;
    let mut done = vec![Output::read("out", &out)?];
    if let Some(grad) = out.backward()?.wrt(&w) {
        done.push(Output::read("grad.w", grad)?);
    }
    Ok(done)
}

/// Replays a `constraint` case: the constrained weight.
pub(crate) fn replay_constraint(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let config = keras(&string(&case.json["constraint"]), &case.json["config"])?;
    let constraint = made(<dyn Constraint>::from_config(&config))?;
    let w = upload(case.tensor("w").ok_or("no `w`".to_string())?, device)?;
    Ok(vec![Output::read("out", &constraint.apply(&w)?)?])
}

fn number(name: String, figure: Figure) -> Output {
    match figure {
        Figure::One(value) => Output { name, shape: Vec::new(), values: vec![value] },
        Figure::Many(values) => Output { name, shape: vec![values.len()], values },
    }
}
