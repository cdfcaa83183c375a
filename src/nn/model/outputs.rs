//! Losses, metrics and weights for the outputs of a model: one for all, a list, or pairs of a name and what is for it.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Kind, Result};
use crate::nn::losses::{IntoLoss, Loss};
use crate::nn::metrics::{IntoMetric, IntoMetrics, MetricSpec};

/// Something for the outputs of a model.
pub(super) enum PerOutput<T> {
    All(T),
    List(Vec<T>),
    Named(Vec<(String, T)>),
}

impl<T> PerOutput<T> {
    /// What there is for each output; what is for all of them is copied by `copy`.
    pub(super) fn spread(self, what: &str, names: &[String], copy: impl Fn(&T) -> T) -> Result<Vec<Option<T>>> {
        match self {
            PerOutput::All(one) => Ok(names.iter().map(|_| Some(copy(&one))).collect()),
            PerOutput::List(list) if list.len() == names.len() => Ok(list.into_iter().map(Some).collect()),
            PerOutput::List(list) => Err(Error::parts(
                Kind::Argument,
                &format!("`compile` was given another number of {what} than the model has outputs"),
                &format!("{}", list.len()),
                &format!("{}: {}", names.len(), names.join(", ")),
                "Give one for each output, or pairs of an output's name and what is for it",
            )),
            PerOutput::Named(mut pairs) => {
                if let Some((unknown, _)) = pairs.iter().find(|(name, _)| !names.contains(name)) {
                    return Err(Error::parts(
                        Kind::Argument,
                        &format!("`compile` was given {what} for an output that the model does not have"),
                        &format!("\"{unknown}\""),
                        &format!("names among: {}", names.join(", ")),
                        "Use the names of the layers that the outputs come from",
                    ));
                }
                let mut find = |name: &String| {
                    let at = pairs.iter().position(|(n, _)| n == name)?;
                    Some(pairs.swap_remove(at).1)
                };
                Ok(names.iter().map(&mut find).collect())
            }
        }
    }
}

/// A loss for one output, for all, or for each.
/// What [`IntoLosses`] makes of what was given, for a list that is put together at run time.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::{IntoLosses, Losses};
///
/// let several = std::env::args().count() > 1;
/// let losses: Losses = if several { ["mse", "mae"].into_losses()? } else { "mse".into_losses()? };
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
/// model.compile("adam", losses, ())?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Losses(pub(super) PerOutput<LossSpec>);

/// A loss, or the cross-entropy that the shapes of the first batch choose.
#[derive(Clone)]
pub(super) enum LossSpec {
    Crossentropy,
    Loss(Arc<dyn Loss>),
}

impl LossSpec {
    fn of(loss: impl IntoLoss) -> Result<Self> {
        let Some(loss) = loss.into_loss()? else { return Ok(LossSpec::Crossentropy) };
        loss.check()?;
        Ok(LossSpec::Loss(loss.into()))
    }
}

/// What can be given to `compile` as its loss: a loss or its name, a list with one for each output, or pairs of an output's
/// name and a loss.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let x = Input::new([4]).node();
/// let (a, b) = (Dense::new(1).name("a"), Dense::new(1).name("b"));
/// let mut model = Model::new(&x, [a.on(&x)?, b.on(&x)?])?;
/// model.compile("adam", "mse", ())?; // for both
/// model.compile("adam", ["mse", "mae"], ())?;
/// model.compile("adam", [("b", MeanSquaredError::new())], ())?; // of one alone
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoLosses {
    /// The losses, if all names are known.
    ///
    /// # Errors
    /// A name that is not known.
    fn into_losses(self) -> Result<Losses>;
}

impl<L: IntoLoss> IntoLosses for L {
    fn into_losses(self) -> Result<Losses> {
        Ok(Losses(PerOutput::All(LossSpec::of(self)?)))
    }
}

impl IntoLosses for Losses {
    fn into_losses(self) -> Result<Losses> {
        Ok(self)
    }
}

impl<L: IntoLoss, const N: usize> IntoLosses for [L; N] {
    fn into_losses(self) -> Result<Losses> {
        Vec::from(self).into_losses()
    }
}

impl<L: IntoLoss> IntoLosses for Vec<L> {
    fn into_losses(self) -> Result<Losses> {
        Ok(Losses(PerOutput::List(self.into_iter().map(LossSpec::of).collect::<Result<_>>()?)))
    }
}

impl<S: Into<String>, L: IntoLoss, const N: usize> IntoLosses for [(S, L); N] {
    fn into_losses(self) -> Result<Losses> {
        Vec::from(self).into_losses()
    }
}

impl<S: Into<String>, L: IntoLoss> IntoLosses for Vec<(S, L)> {
    fn into_losses(self) -> Result<Losses> {
        let pair = |(name, loss): (S, L)| Ok((name.into(), LossSpec::of(loss)?));
        Ok(Losses(PerOutput::Named(self.into_iter().map(pair).collect::<Result<_>>()?)))
    }
}

impl<A: IntoLoss, B: IntoLoss> IntoLosses for (A, B) {
    fn into_losses(self) -> Result<Losses> {
        Ok(Losses(PerOutput::List(vec![LossSpec::of(self.0)?, LossSpec::of(self.1)?])))
    }
}

impl<A: IntoLoss, B: IntoLoss, C: IntoLoss> IntoLosses for (A, B, C) {
    fn into_losses(self) -> Result<Losses> {
        Ok(Losses(PerOutput::List(vec![LossSpec::of(self.0)?, LossSpec::of(self.1)?, LossSpec::of(self.2)?])))
    }
}

/// Metrics of one output, or of each.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::{IntoMetricLists, MetricLists};
///
/// let lists: MetricLists = [("price", ["mae"]), ("sold", ["accuracy"])].into_metric_lists()?;
/// assert!(matches!(&lists, MetricLists::Named(pairs) if pairs.len() == 2));
/// let x = Input::new([4]).node();
/// let mut model = Model::new(&x, [Dense::new(1).name("price").on(&x)?, Dense::new(1).name("sold").on(&x)?])?;
/// model.compile("adam", "mse", lists)?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub enum MetricLists {
    /// Metrics in a row: of the only output; of several outputs, one for each.
    All(Vec<MetricSpec>),
    /// The metrics of each output.
    List(Vec<Vec<MetricSpec>>),
    /// The metrics of the outputs of these names.
    Named(Vec<(String, Vec<MetricSpec>)>),
}

impl MetricLists {
    pub(super) fn spread(self, names: &[String]) -> Result<Vec<Vec<MetricSpec>>> {
        let lists = match self {
            MetricLists::All(metrics) if names.len() == 1 => PerOutput::List(vec![metrics]),
            MetricLists::All(metrics) if metrics.is_empty() => PerOutput::Named(Vec::new()),
            MetricLists::All(metrics) => PerOutput::List(metrics.into_iter().map(|metric| vec![metric]).collect()),
            MetricLists::List(lists) => PerOutput::List(lists),
            MetricLists::Named(pairs) => PerOutput::Named(pairs),
        };
        let lists = lists.spread("metrics", names, |_| Vec::new())?;
        Ok(lists.into_iter().map(Option::unwrap_or_default).collect())
    }
}

/// What can be given to `compile` as its metrics: anything that is [`IntoMetrics`], a list with the metrics of each output,
/// or pairs of an output's name and its metrics.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let x = Input::new([4]).node();
/// let (a, b) = (Dense::new(1).name("a"), Dense::new(1).name("b"));
/// let mut model = Model::new(&x, [a.on(&x)?, b.on(&x)?])?;
/// model.compile("adam", "mse", [("a", "mae")])?;
/// model.compile("adam", "mse", [["mae"], ["mape"]])?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no metric and no list of metrics",
    note = "metrics of several kinds go into a tuple: `(\"accuracy\", Precision::default())`; none are `()`"
)]
pub trait IntoMetricLists {
    /// The metrics, if all names are known.
    ///
    /// # Errors
    /// A name that is not known.
    fn into_metric_lists(self) -> Result<MetricLists>;
}

impl<M: IntoMetrics> IntoMetricLists for M {
    fn into_metric_lists(self) -> Result<MetricLists> {
        Ok(MetricLists::All(self.into_metrics()?))
    }
}

impl IntoMetricLists for MetricLists {
    fn into_metric_lists(self) -> Result<MetricLists> {
        Ok(self)
    }
}

impl<M: IntoMetric, const K: usize, const N: usize> IntoMetricLists for [[M; K]; N] {
    fn into_metric_lists(self) -> Result<MetricLists> {
        Ok(MetricLists::List(self.into_iter().map(IntoMetrics::into_metrics).collect::<Result<_>>()?))
    }
}

impl<M: IntoMetric> IntoMetricLists for Vec<Vec<M>> {
    fn into_metric_lists(self) -> Result<MetricLists> {
        Ok(MetricLists::List(self.into_iter().map(IntoMetrics::into_metrics).collect::<Result<_>>()?))
    }
}

impl<S: Into<String>, M: IntoMetrics, const N: usize> IntoMetricLists for [(S, M); N] {
    fn into_metric_lists(self) -> Result<MetricLists> {
        Vec::from(self).into_metric_lists()
    }
}

impl<S: Into<String>, M: IntoMetrics> IntoMetricLists for Vec<(S, M)> {
    fn into_metric_lists(self) -> Result<MetricLists> {
        let pair = |(name, metrics): (S, M)| Ok((name.into(), metrics.into_metrics()?));
        Ok(MetricLists::Named(self.into_iter().map(pair).collect::<Result<_>>()?))
    }
}

/// What the loss of each output counts for: numbers in the order of the outputs, or pairs of a name and a number.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let x = Input::new([4]).node();
/// let (a, b) = (Dense::new(1).name("a"), Dense::new(1).name("b"));
/// let mut model = Model::new(&x, [a.on(&x)?, b.on(&x)?])?;
/// model.compile_with(Compile::new("adam", "mse").loss_weights([1.0, 0.5]))?;
/// model.compile_with(Compile::new("adam", "mse").loss_weights([("b", 0.5)]))?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct LossWeights(pub(super) PerOutput<f64>);

impl<const N: usize> From<[f64; N]> for LossWeights {
    fn from(weights: [f64; N]) -> Self {
        LossWeights(PerOutput::List(weights.into()))
    }
}

impl From<Vec<f64>> for LossWeights {
    fn from(weights: Vec<f64>) -> Self {
        LossWeights(PerOutput::List(weights))
    }
}

impl<const N: usize> From<[(&str, f64); N]> for LossWeights {
    fn from(weights: [(&str, f64); N]) -> Self {
        LossWeights(PerOutput::Named(weights.map(|(name, weight)| (name.to_owned(), weight)).into()))
    }
}

impl From<Vec<(String, f64)>> for LossWeights {
    fn from(weights: Vec<(String, f64)>) -> Self {
        LossWeights(PerOutput::Named(weights))
    }
}

/// The losses, their weights and the metrics of all outputs, as Keras's `compile_config` has them.
pub(super) fn written(
    losses: &[Option<LossSpec>],
    weights: &[Option<f64>],
    metrics: &[Vec<MetricSpec>],
    weighted: &[Vec<MetricSpec>],
) -> Result<Map<String, Json>> {
    // One output stands alone.
    let one = |mut list: Vec<Json>| if list.len() == 1 { list.swap_remove(0) } else { Json::Array(list) };
    let loss = |spec: &Option<LossSpec>| spec.as_ref().map_or(Ok(Json::Null), loss_json);
    let of = |lists: &[Vec<MetricSpec>]| {
        if lists.iter().all(Vec::is_empty) {
            return Ok(Json::Null);
        }
        let list = |metrics: &Vec<MetricSpec>| metrics.iter().map(metric_json).collect::<Result<Json>>();
        lists.iter().map(list).collect::<Result<Vec<Json>>>().map(one)
    };
    let weights = weights.iter().any(Option::is_some).then(|| weights.iter().map(|w| w.unwrap_or(1.0)).collect());
    Ok(Map::from_iter([
        ("loss".into(), losses.iter().map(loss).collect::<Result<Vec<Json>>>().map(one)?),
        ("loss_weights".into(), weights.map_or(Json::Null, |weights: Vec<f64>| json!(weights))),
        ("metrics".into(), of(metrics)?),
        ("weighted_metrics".into(), of(weighted)?),
    ]))
}

fn loss_json(loss: &LossSpec) -> Result<Json> {
    match loss {
        LossSpec::Crossentropy => Ok("crossentropy".into()),
        LossSpec::Loss(loss) => Ok(loss.config()?.with("name", loss.name()).to_json()),
    }
}

fn metric_json(metric: &MetricSpec) -> Result<Json> {
    match metric {
        MetricSpec::Accuracy(name) | MetricSpec::Crossentropy(name) => Ok(name.as_str().into()),
        MetricSpec::Metric(name, metric) => {
            let name = name.clone().unwrap_or_else(|| metric.name());
            Ok(metric.config()?.with("name", name).to_json())
        }
    }
}
