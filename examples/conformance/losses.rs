//! The `loss` and `metric` kinds, and both from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::{
    BinaryAccuracy, BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalAccuracy, CategoricalCrossentropy,
    CategoricalHinge, CosineSimilarity, Dice, Hinge, Huber, IntoLoss, IntoMetric, KLDivergence, LogCosh, Loss, Mean,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Metric, MetricSpec,
    Poisson, Precision, Recall, Reduction, SparseCategoricalAccuracy, SparseCategoricalCrossentropy, SquaredHinge,
    TopKCategoricalAccuracy,
};
use wgtensor::{Device, Tensor};

use super::call::{Output, Replay, Stop, skip, upload};
use super::case::{Case, string};
use super::config::Config;

/// The loss of that class and configuration.
pub(crate) fn loss(c: &Config) -> Replay<Box<dyn Loss>> {
    let reduction = match c.text("reduction", "sum_over_batch_size").as_str() {
        "sum_over_batch_size" => Reduction::SumOverBatchSize,
        "sum" => Reduction::Sum,
        "mean_with_sample_weight" => Reduction::MeanWithSampleWeight,
        "none" => Reduction::None,
        other => return skip(format!("reduction `{other}`")),
    };
    macro_rules! plain {
        ($loss:ident) => {
            Box::new($loss::default().reduction(reduction))
        };
    }
    let logits = || c.flag("from_logits", false);
    let smoothing = || c.float("label_smoothing").unwrap_or(0.0);
    let loss: Box<dyn Loss> = match c.class() {
        "BinaryCrossentropy" => Box::new(
            BinaryCrossentropy::default().from_logits(logits()).label_smoothing(smoothing()).reduction(reduction),
        ),
        "BinaryFocalCrossentropy" => {
            let focal = BinaryFocalCrossentropy::default().gamma(c.float("gamma").unwrap_or(2.0));
            let alpha = c.float("alpha").unwrap_or(0.25);
            let focal = if c.flag("apply_class_balancing", false) { focal.class_balancing(alpha) } else { focal };
            Box::new(focal.from_logits(logits()).label_smoothing(smoothing()).reduction(reduction))
        }
        "CategoricalCrossentropy" => Box::new(
            CategoricalCrossentropy::default().from_logits(logits()).label_smoothing(smoothing()).reduction(reduction),
        ),
        "SparseCategoricalCrossentropy" => {
            let loss = SparseCategoricalCrossentropy::default().from_logits(logits()).reduction(reduction);
            match c.get("ignore_class").as_i64() {
                Some(class) => Box::new(loss.ignore_class(class as i32)),
                None => Box::new(loss),
            }
        }
        "Huber" => Box::new(Huber::default().delta(c.float("delta").unwrap_or(1.0)).reduction(reduction)),
        "MeanSquaredError" => plain!(MeanSquaredError),
        "MeanAbsoluteError" => plain!(MeanAbsoluteError),
        "MeanAbsolutePercentageError" => plain!(MeanAbsolutePercentageError),
        "MeanSquaredLogarithmicError" => plain!(MeanSquaredLogarithmicError),
        "LogCosh" => plain!(LogCosh),
        "Hinge" => plain!(Hinge),
        "SquaredHinge" => plain!(SquaredHinge),
        "CategoricalHinge" => plain!(CategoricalHinge),
        "KLDivergence" => plain!(KLDivergence),
        "Poisson" => plain!(Poisson),
        "CosineSimilarity" => plain!(CosineSimilarity),
        "Dice" => plain!(Dice),
        _ => return c.unknown("loss"),
    };
    c.finish()?;
    Ok(loss)
}

/// The loss of a `compile` argument: Keras's shorthand, or an object.
pub(crate) fn any_loss(json: &Value) -> Replay<Box<dyn Loss>> {
    match json.as_str() {
        Some(name) => match name.into_loss() {
            Ok(Some(loss)) => Ok(loss),
            _ => skip(format!("loss `{name}`")),
        },
        None => loss(&Config::of(json)),
    }
}

/// Replays a `loss` case.
pub(crate) fn replay_loss(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let loss = loss(&Config::new(&string(&case.json["loss"]), &case.json["config"]))?;
    let get = |name: &str| case.tensor(name).map(|t| upload(t, device)).transpose();
    let required = |name: &str| get(name)?.ok_or_else(|| Stop::Fail(format!("no `{name}`")));
    let y_pred = required("y_pred")?.requires_grad();
    let out = loss.compute(&required("y_true")?, &y_pred, get("sample_weight")?.as_ref())?;
    let grads = out.mul(&required("loss_w")?)?.sum(())?.backward()?;
    let mut done = vec![Output::read("out", &out)?];
    if let Some(grad) = grads.wrt(&y_pred) {
        done.push(Output::read("grad.y_pred", grad)?);
    }
    Ok(done)
}

/// The metric of that class and configuration.
fn metric(c: &Config) -> Replay<Box<dyn Metric>> {
    let threshold = || c.float("threshold").or(c.float("thresholds")).unwrap_or(0.5);
    let k = || c.count("k").unwrap_or(5) as usize;
    let metric: Box<dyn Metric> = match c.class() {
        "BinaryAccuracy" => Box::new(BinaryAccuracy::default().threshold(threshold())),
        "CategoricalAccuracy" => Box::new(CategoricalAccuracy),
        "SparseCategoricalAccuracy" => Box::new(SparseCategoricalAccuracy),
        "TopKCategoricalAccuracy" => Box::new(TopKCategoricalAccuracy::new(k())),
        "SparseTopKCategoricalAccuracy" => Box::new(TopKCategoricalAccuracy::sparse(k())),
        "RootMeanSquaredError" => Box::new(Mean::root_squared_error()),
        "Precision" => Box::new(Precision::default().threshold(threshold())),
        "Recall" => Box::new(Recall::default().threshold(threshold())),
        "CosineSimilarity" => Box::new(Mean::cosine_similarity()),
        "Mean" | "Sum" => return c.unknown("metric"),
        _ => match loss(c) {
            Ok(loss) => return Ok(Box::new(Mean::of(loss))),
            Err(_) => return c.unknown("metric"),
        },
    };
    c.finish()?;
    Ok(metric)
}

/// The metric of a `compile` argument, under its name.
pub(crate) fn any_metric(json: &Value) -> Replay<MetricSpec> {
    match json.as_str() {
        Some(name) => name.into_metric().or_else(|_| skip(format!("metric `{name}`"))),
        None => {
            let name = json["config"]["name"].as_str().map(String::from);
            Ok(MetricSpec::Metric(name, metric(&Config::of(json))?))
        }
    }
}

/// Replays a `metric` case: totals over the batches, a result after each, then the last batch alone.
pub(crate) fn replay_metric(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let metric = metric(&Config::new(&string(&case.json["metric"]), &case.json["config"]))?;
    let get = |name: String| case.tensor(&name).map(|t| upload(t, device)).transpose();
    let mut totals: Vec<Vec<f64>> = Vec::new();
    let (mut samples, mut done, mut last) = (0.0, Vec::new(), None);
    for b in 0.. {
        let (Some(y_true), Some(y_pred)) = (get(format!("y_true.{b}"))?, get(format!("y_pred.{b}"))?) else { break };
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

fn number(name: String, value: f64) -> Output {
    Output { name, shape: Vec::new(), values: vec![value] }
}
