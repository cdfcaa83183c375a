//! Metrics: sums that grow on the device, and what is made of them.

use crate::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::activations::unknown;
use crate::nn::losses::{self, IntoLoss, Loss, align_weight, fit_targets};

/// A figure computed from all samples of an epoch.
///
/// A metric is a list of sums, to which each batch adds on the device, and a function of the totals. Implement it for
/// a metric of your own.
pub trait Metric: Send + Sync {
    /// Its name in snake case.
    fn name(&self) -> String;

    /// What a batch adds to each of the sums.
    ///
    /// # Errors
    /// Shapes that do not belong together.
    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>>;

    /// The metric, from the totals and the number of samples. The default is a mean: the first total over the second
    /// (the sum of the weights), or over the number of samples where there is only one.
    fn result(&self, totals: &[Vec<f64>], samples: f64) -> f64 {
        let divisor = totals.get(1).map_or(samples, |weights| weights[0]);
        if divisor == 0.0 { 0.0 } else { totals[0][0] / divisor }
    }

    /// Whether larger is better; `None` where that is not known.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }
}

/// The sums of a mean: of the values, each sample's averaged first, and of the weights, if any.
fn mean_sums(values: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
    let samples = values.dims().first().copied().unwrap_or(1).max(1);
    let share = samples as f64 / values.numel().max(1) as f64;
    match sample_weight {
        None => Ok(vec![values.sum(())?.mul(share)?]),
        Some(weight) => {
            let weighted = values.mul(align_weight(weight, values)?)?;
            let weight_share = samples as f64 / weight.numel().max(1) as f64;
            let weights = weight.cast(values.dtype())?.sum(())?.mul(weight_share)?;
            Ok(vec![weighted.sum(())?.mul(share)?, weights])
        }
    }
}

/// 1 where equal, else 0.
fn one_if_equal(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.eq(b)?.cast(DType::F32)
}

/// How often the prediction equals the target. Given to `compile`, it is resolved by the shapes of the first batch:
/// one output is [`BinaryAccuracy`], class numbers are [`SparseCategoricalAccuracy`], one-hot targets
/// [`CategoricalAccuracy`]; so is the string `"accuracy"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuracy;

/// How often a probability is on the target's side of a threshold.
#[derive(Clone, Copy, Debug)]
pub struct BinaryAccuracy {
    threshold: f64,
}

impl Default for BinaryAccuracy {
    fn default() -> Self {
        BinaryAccuracy { threshold: 0.5 }
    }
}

impl BinaryAccuracy {
    /// Above this a prediction counts as 1; 0.5 by default.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }
}

impl Metric for BinaryAccuracy {
    fn name(&self) -> String {
        "binary_accuracy".into()
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let y_true = fit_targets(y_true, y_pred)?;
        let hits = one_if_equal(&y_pred.gt(self.threshold)?.cast(y_true.dtype())?, &y_true)?;
        mean_sums(&hits, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

/// How often the largest probability is that of the one-hot target.
#[derive(Clone, Copy, Debug, Default)]
pub struct CategoricalAccuracy;

impl Metric for CategoricalAccuracy {
    fn name(&self) -> String {
        "categorical_accuracy".into()
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let y_true = fit_targets(y_true, y_pred)?;
        mean_sums(&one_if_equal(&y_true.argmax(-1)?, &y_pred.argmax(-1)?)?, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

/// How often the largest probability is that of the target class.
#[derive(Clone, Copy, Debug, Default)]
pub struct SparseCategoricalAccuracy;

impl Metric for SparseCategoricalAccuracy {
    fn name(&self) -> String {
        "sparse_categorical_accuracy".into()
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let classes = class_numbers(y_true, y_pred)?;
        mean_sums(&one_if_equal(&classes, &y_pred.argmax(-1)?)?, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

/// Class numbers as `argmax` gives them.
fn class_numbers(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    losses::class_numbers(y_true, y_pred)?.cast(DType::I32)
}

/// How often the target class is among the `k` largest probabilities; equal ones count for the target.
#[derive(Clone, Copy, Debug)]
pub struct TopKCategoricalAccuracy {
    k: usize,
    sparse: bool,
}

impl TopKCategoricalAccuracy {
    /// For one-hot targets; Keras's `k` is 5.
    pub fn new(k: usize) -> Self {
        TopKCategoricalAccuracy { k, sparse: false }
    }

    /// For class numbers: Keras's `SparseTopKCategoricalAccuracy`.
    pub fn sparse(k: usize) -> Self {
        TopKCategoricalAccuracy { k, sparse: true }
    }
}

impl Metric for TopKCategoricalAccuracy {
    fn name(&self) -> String {
        if self.sparse { "sparse_top_k_categorical_accuracy" } else { "top_k_categorical_accuracy" }.into()
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let classes = match self.sparse {
            true => class_numbers(y_true, y_pred)?,
            false => fit_targets(y_true, y_pred)?.argmax(-1)?,
        };
        // In the top k if fewer than k classes are more probable: no sorting.
        let hot = classes.one_hot(y_pred.dims().last().copied().unwrap_or(0), y_pred.dtype())?;
        let own = y_pred.mul(hot)?.sum_keepdims(-1)?;
        let better = y_pred.gt(own)?.cast(DType::F32)?.sum(-1)?;
        mean_sums(&better.lt(self.k as f64)?.cast(DType::F32)?, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

/// The mean of a [`Loss`] over the samples, as a metric: `Mean::of(MeanAbsoluteError::default())`.
pub struct Mean {
    loss: Box<dyn Loss>,
    root: bool,
}

impl Mean {
    /// The mean of this loss.
    pub fn of(loss: impl Loss + 'static) -> Self {
        Mean { loss: Box::new(loss), root: false }
    }

    /// The root of the mean squared error.
    pub fn root_squared_error() -> Self {
        Mean { loss: Box::new(losses::MeanSquaredError::default()), root: true }
    }
}

impl Metric for Mean {
    fn name(&self) -> String {
        if self.root { "root_mean_squared_error".into() } else { self.loss.name() }
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let y_true = match self.loss.keeps_integers() {
            true => y_true.clone(),
            false => fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?,
        };
        mean_sums(&self.loss.values(&y_true, y_pred)?, sample_weight)
    }

    fn result(&self, totals: &[Vec<f64>], samples: f64) -> f64 {
        let divisor = totals.get(1).map_or(samples, |weights| weights[0]);
        let mean = if divisor == 0.0 { 0.0 } else { totals[0][0] / divisor };
        if self.root { mean.sqrt() } else { mean }
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(false)
    }
}

/// True positives against all of one side.
fn positives(
    (y_true, y_pred, sample_weight): (&Tensor, &Tensor, Option<&Tensor>),
    threshold: f64,
    of_predicted: bool,
) -> Result<Vec<Tensor>> {
    let actual = fit_targets(y_true, y_pred)?.cast(DType::F32)?;
    let predicted = y_pred.gt(threshold)?.cast(DType::F32)?;
    let mut hits = actual.mul(&predicted)?;
    let mut all = if of_predicted { predicted } else { actual };
    if let Some(weight) = sample_weight {
        let weight = align_weight(weight, &hits)?;
        (hits, all) = (hits.mul(&weight)?, all.mul(&weight)?);
    }
    Ok(vec![hits.sum(())?, all.sum(())?])
}

macro_rules! positives {
    ($metric:ident, $name:literal, $of_predicted:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        pub struct $metric {
            threshold: f64,
        }

        impl Default for $metric {
            fn default() -> Self {
                $metric { threshold: 0.5 }
            }
        }

        impl $metric {
            /// Above this a prediction counts as positive; 0.5 by default.
            pub fn threshold(mut self, threshold: f64) -> Self {
                self.threshold = threshold;
                self
            }
        }

        impl Metric for $metric {
            fn name(&self) -> String {
                $name.into()
            }

            fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
                positives((y_true, y_pred, sample_weight), self.threshold, $of_predicted)
            }

            fn larger_is_better(&self) -> Option<bool> {
                Some(true)
            }
        }
    };
}

positives!(Precision, "precision", true, "Of the samples predicted positive, the share that is.");
positives!(Recall, "recall", false, "Of the positive samples, the share predicted so.");

/// A metric as given to `compile`.
pub enum MetricSpec {
    /// To be resolved by the shapes of the first batch, under this name.
    Accuracy(String),
    /// A metric under a name of its own or, from a string, that string.
    Metric(Option<String>, Box<dyn Metric>),
}

impl MetricSpec {
    /// A metric under a name of your own.
    pub fn named(name: impl Into<String>, metric: impl Metric + 'static) -> Self {
        MetricSpec::Metric(Some(name.into()), Box::new(metric))
    }

    /// The name shown, and the metric for targets and outputs of these shapes.
    pub(crate) fn resolve(self, target: &[usize], output: &[usize]) -> (String, Box<dyn Metric>) {
        match self {
            MetricSpec::Metric(name, metric) => (name.unwrap_or_else(|| metric.name()), metric),
            MetricSpec::Accuracy(name) => (name, accuracy_for(target, output)),
        }
    }
}

/// Keras's rule for `"accuracy"` (and `"crossentropy"`): whether there is one output, and whether targets are numbers.
pub(crate) fn is_binary_or_sparse(target: &[usize], output: &[usize]) -> (bool, bool) {
    let (last, one_target) = (output.last(), target.last() == Some(&1));
    (last == Some(&1), target.len() < output.len() || (one_target && last.is_some_and(|&n| n > 1)))
}

fn accuracy_for(target: &[usize], output: &[usize]) -> Box<dyn Metric> {
    match is_binary_or_sparse(target, output) {
        (true, _) => Box::new(BinaryAccuracy::default()),
        (_, true) => Box::new(SparseCategoricalAccuracy),
        _ => Box::new(CategoricalAccuracy),
    }
}

/// What can be given to `compile` as one metric: a [`Metric`], a marker such as [`Accuracy`], or a Keras name.
pub trait IntoMetric {
    /// The metric, if the name is known.
    fn into_metric(self) -> Result<MetricSpec>;
}

impl<M: Metric + 'static> IntoMetric for M {
    fn into_metric(self) -> Result<MetricSpec> {
        Ok(MetricSpec::Metric(None, Box::new(self)))
    }
}

impl IntoMetric for Accuracy {
    fn into_metric(self) -> Result<MetricSpec> {
        Ok(MetricSpec::Accuracy("accuracy".into()))
    }
}

impl IntoMetric for MetricSpec {
    fn into_metric(self) -> Result<MetricSpec> {
        Ok(self)
    }
}

impl IntoMetric for &str {
    fn into_metric(self) -> Result<MetricSpec> {
        let metric: Box<dyn Metric> = match self.to_ascii_lowercase().as_str() {
            "accuracy" | "acc" => return Ok(MetricSpec::Accuracy(self.into())),
            "binary_accuracy" => Box::new(BinaryAccuracy::default()),
            "categorical_accuracy" => Box::new(CategoricalAccuracy),
            "sparse_categorical_accuracy" => Box::new(SparseCategoricalAccuracy),
            "top_k_categorical_accuracy" => Box::new(TopKCategoricalAccuracy::new(5)),
            "sparse_top_k_categorical_accuracy" => Box::new(TopKCategoricalAccuracy::sparse(5)),
            "root_mean_squared_error" => Box::new(Mean::root_squared_error()),
            "precision" => Box::new(Precision::default()),
            "recall" => Box::new(Recall::default()),
            _ => {
                let loss = self.into_loss().ok().flatten().ok_or_else(|| unknown_metric(self))?;
                Box::new(Mean { loss, root: false })
            }
        };
        Ok(MetricSpec::Metric(Some(self.into()), metric))
    }
}

fn unknown_metric(name: &str) -> Error {
    let known = [
        "accuracy",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "top_k_categorical_accuracy",
        "root_mean_squared_error",
        "precision",
        "recall",
        "mse",
        "mae",
    ];
    unknown("metric", name, known.into_iter())
}

/// What can be given to `compile` as its metrics: one metric, an array or a vector of them, or `()` for none.
pub trait IntoMetrics {
    /// The metrics, if all names are known.
    fn into_metrics(self) -> Result<Vec<MetricSpec>>;
}

impl<M: IntoMetric, const N: usize> IntoMetrics for [M; N] {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        self.into_iter().map(IntoMetric::into_metric).collect()
    }
}

impl<M: IntoMetric> IntoMetrics for Vec<M> {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        self.into_iter().map(IntoMetric::into_metric).collect()
    }
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        Ok(Vec::new())
    }
}

impl<A: IntoMetric, B: IntoMetric> IntoMetrics for (A, B) {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        Ok(vec![self.0.into_metric()?, self.1.into_metric()?])
    }
}

impl<A: IntoMetric, B: IntoMetric, C: IntoMetric> IntoMetrics for (A, B, C) {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        Ok(vec![self.0.into_metric()?, self.1.into_metric()?, self.2.into_metric()?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_resolved_by_shapes() {
        let resolved = |target: &[usize], output: &[usize]| {
            let (name, metric) = "accuracy".into_metric().unwrap().resolve(target, output);
            assert_eq!(name, "accuracy");
            metric.name()
        };
        assert_eq!(resolved(&[8], &[8, 1]), "binary_accuracy");
        assert_eq!(resolved(&[8, 1], &[8, 1]), "binary_accuracy");
        assert_eq!(resolved(&[8], &[8, 10]), "sparse_categorical_accuracy");
        assert_eq!(resolved(&[8, 1], &[8, 10]), "sparse_categorical_accuracy");
        assert_eq!(resolved(&[8, 10], &[8, 10]), "categorical_accuracy");
    }

    #[test]
    fn strings_name_metrics() {
        let MetricSpec::Metric(Some(name), metric) = "mae".into_metric().unwrap() else { panic!() };
        assert_eq!((name.as_str(), metric.name().as_str()), ("mae", "mean_absolute_error"));
        let error = "acuracy".into_metric().err().unwrap();
        assert!(error.to_string().starts_with("Could not interpret metric identifier: acuracy"));
    }

    #[test]
    fn means_of_totals() {
        let metric = CategoricalAccuracy;
        assert_eq!(metric.result(&[vec![3.0]], 4.0), 0.75);
        assert_eq!(metric.result(&[vec![3.0], vec![2.0]], 4.0), 1.5);
        assert_eq!(metric.result(&[vec![0.0]], 0.0), 0.0);
    }
}
