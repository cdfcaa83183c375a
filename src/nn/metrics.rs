//! Metrics: sums that grow on the device, and what is made of them.

use crate::Tensor;
use crate::dtype::DType;
use crate::error::Result;
use crate::nn::activations::unknown;
use crate::nn::losses::{self, Loss, align_weight, fit_targets, masked_weight};
use crate::nn::names::snake_case;

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
        mean_of(totals, samples)
    }

    /// Whether larger is better; `None` where that is not known.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }
}

impl<M: Metric + ?Sized> Metric for Box<M> {
    fn name(&self) -> String {
        (**self).name()
    }
    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        (**self).sums(y_true, y_pred, sample_weight)
    }
    fn result(&self, totals: &[Vec<f64>], samples: f64) -> f64 {
        (**self).result(totals, samples)
    }
    fn larger_is_better(&self) -> Option<bool> {
        (**self).larger_is_better()
    }
}

/// The first total over the second, or over the number of samples; 0 where there is nothing to divide by.
fn mean_of(totals: &[Vec<f64>], samples: f64) -> f64 {
    let divisor = totals.get(1).map_or(samples, |weights| weights[0]);
    if divisor == 0.0 { 0.0 } else { totals[0][0] / divisor }
}

/// The sums of a mean: of the values, each sample's averaged first, and of the weights, if any. One value for the
/// whole batch counts once, or with the weight of the batch.
fn mean_sums(values: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
    if values.rank() == 0 {
        let one = Tensor::ones((), values.dtype(), values.device())?;
        let count = sample_weight.map_or(Ok(one), |weight| weight.cast(values.dtype())?.sum(()))?;
        return Ok(vec![values.mul(&count)?, count]);
    }
    let samples = values.dims()[0].max(1);
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

/// 1 where equal and neither the target nor the prediction is NaN, else 0: a NaN is never right.
fn hits(equal: &Tensor, sources: [&Tensor; 2]) -> Result<Tensor> {
    let mut right = equal.clone();
    for source in sources.into_iter().filter(|t| t.dtype().is_float()) {
        let mut nan = source.isnan()?;
        if nan.rank() > equal.rank() {
            nan = nan.any(-1)?;
        }
        right = right.logical_and(nan.logical_not()?)?;
    }
    right.cast(DType::F32)
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
        let equal = y_pred.gt(self.threshold)?.cast(y_true.dtype())?.eq(&y_true)?;
        mean_sums(&hits(&equal, [&y_true, y_pred])?, sample_weight)
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
        let equal = y_true.argmax(-1)?.eq(&y_pred.argmax(-1)?)?;
        mean_sums(&hits(&equal, [&y_true, y_pred])?, sample_weight)
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
        let classes = losses::class_numbers(y_true, y_pred)?;
        let equal = classes.eq(&y_pred.argmax(-1)?.cast(classes.dtype())?)?;
        mean_sums(&hits(&equal, [&classes, y_pred])?, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
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
        let targets = match self.sparse {
            true => losses::class_numbers(y_true, y_pred)?,
            false => fit_targets(y_true, y_pred)?,
        };
        let classes = if self.sparse { targets.cast(DType::I32)? } else { targets.argmax(-1)? };
        // In the top k if fewer than k classes are more probable: no sorting.
        let hot = classes.one_hot(y_pred.dims().last().copied().unwrap_or(0), y_pred.dtype())?;
        let own = y_pred.mul(hot)?.sum_keepdims(-1)?;
        let better = y_pred.gt(own)?.cast(DType::F32)?.sum(-1)?;
        mean_sums(&hits(&better.lt(self.k as f64)?, [&targets, y_pred])?, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(true)
    }
}

/// The mean of a [`Loss`] over the samples, as a metric: `Mean::of(MeanAbsoluteError::default())`.
pub struct Mean {
    loss: Box<dyn Loss>,
    shown: Shown,
}

/// What is made of the mean of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Mean,
    Root,
    Negative,
}

impl Mean {
    /// The mean of this loss.
    pub fn of(loss: impl Loss + 'static) -> Self {
        Mean { loss: Box::new(loss), shown: Shown::Mean }
    }

    /// The root of the mean squared error: Keras's `RootMeanSquaredError`.
    pub fn root_squared_error() -> Self {
        Mean { shown: Shown::Root, ..Mean::of(losses::MeanSquaredError::default()) }
    }

    /// The cosine of the angle between targets and predictions, 1 where they are alike: Keras's metric
    /// `CosineSimilarity` (its loss of this name is the negative).
    pub fn cosine_similarity() -> Self {
        Mean { shown: Shown::Negative, ..Mean::of(losses::CosineSimilarity::default()) }
    }
}

impl Metric for Mean {
    fn name(&self) -> String {
        match self.shown {
            Shown::Root => "root_mean_squared_error".into(),
            _ => self.loss.name(),
        }
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let y_true = match self.loss.keeps_integers() {
            true => y_true.clone(),
            false => fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?,
        };
        let values = self.loss.values(&y_true, y_pred)?;
        // As in Keras, a mask counts only where there are weights.
        let weight = match (sample_weight, self.loss.mask(&y_true, y_pred)?) {
            (Some(weight), Some(mask)) => masked_weight(Some(weight), Some(&mask.cast(values.dtype())?), &values)?,
            (weight, _) => weight.cloned(),
        };
        mean_sums(&values, weight.as_ref())
    }

    fn result(&self, totals: &[Vec<f64>], samples: f64) -> f64 {
        let mean = mean_of(totals, samples);
        match self.shown {
            Shown::Mean => mean,
            Shown::Root => mean.sqrt(),
            Shown::Negative => -mean,
        }
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(self.shown == Shown::Negative)
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
    /// The accuracy that the shapes of the first batch choose, under this name.
    Accuracy(String),
    /// The cross-entropy that the shapes of the first batch choose, under this name.
    Crossentropy(String),
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
            MetricSpec::Crossentropy(name) => (name, Box::new(Mean::of(crossentropy_for(target, output)))),
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

/// The cross-entropy for targets and outputs of these shapes.
pub(crate) fn crossentropy_for(target: &[usize], output: &[usize]) -> Box<dyn Loss> {
    match is_binary_or_sparse(target, output) {
        (true, _) => Box::new(losses::BinaryCrossentropy::default()),
        (_, true) => Box::new(losses::SparseCategoricalCrossentropy::default()),
        _ => Box::new(losses::CategoricalCrossentropy::default()),
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
        match self {
            "accuracy" | "acc" => return Ok(MetricSpec::Accuracy(self.into())),
            "crossentropy" | "ce" => return Ok(MetricSpec::Crossentropy(self.into())),
            _ => {}
        }
        let wanted = snake_case(self);
        let all = OWN.iter().chain(&OF_LOSSES);
        let Some((_, make)) = all.clone().find(|(names, _)| names.contains(&wanted.as_str())) else {
            let known = ["accuracy", "crossentropy"].into_iter().chain(all.map(|(names, _)| names[0]));
            return Err(unknown("metric", self, known));
        };
        Ok(MetricSpec::Metric(Some(self.into()), make()))
    }
}

/// A default of each metric under its Keras names, in snake case.
type Named = (&'static [&'static str], fn() -> Box<dyn Metric>);

/// Rows of names for losses that are metrics too.
macro_rules! mean_of_losses {
    ($($names:expr => $loss:ident,)*) => {
        [$((&$names as &[&str], || Box::new(Mean::of(losses::$loss::default()))),)*]
    };
}

const OWN: [Named; 9] = [
    (&["binary_accuracy"], || Box::new(BinaryAccuracy::default())),
    (&["categorical_accuracy"], || Box::new(CategoricalAccuracy)),
    (&["sparse_categorical_accuracy"], || Box::new(SparseCategoricalAccuracy)),
    (&["top_k_categorical_accuracy"], || Box::new(TopKCategoricalAccuracy::new(5))),
    (&["sparse_top_k_categorical_accuracy"], || Box::new(TopKCategoricalAccuracy::sparse(5))),
    (&["root_mean_squared_error"], || Box::new(Mean::root_squared_error())),
    (&["cosine_similarity"], || Box::new(Mean::cosine_similarity())),
    (&["precision"], || Box::new(Precision::default())),
    (&["recall"], || Box::new(Recall::default())),
];

const OF_LOSSES: [Named; 13] = mean_of_losses![
    ["mean_squared_error", "mse"] => MeanSquaredError,
    ["mean_absolute_error", "mae"] => MeanAbsoluteError,
    ["mean_absolute_percentage_error", "mape"] => MeanAbsolutePercentageError,
    ["mean_squared_logarithmic_error", "msle"] => MeanSquaredLogarithmicError,
    ["log_cosh_error", "log_cosh"] => LogCosh,
    ["kl_divergence", "kld"] => KLDivergence,
    ["poisson"] => Poisson,
    ["binary_crossentropy", "bce"] => BinaryCrossentropy,
    ["categorical_crossentropy"] => CategoricalCrossentropy,
    ["sparse_categorical_crossentropy"] => SparseCategoricalCrossentropy,
    ["hinge"] => Hinge,
    ["squared_hinge"] => SquaredHinge,
    ["categorical_hinge"] => CategoricalHinge,
];

/// What can be given to `compile` as its metrics: one metric, an array, a vector or a tuple of them, or `()` for none.
pub trait IntoMetrics {
    /// The metrics, if all names are known.
    fn into_metrics(self) -> Result<Vec<MetricSpec>>;
}

impl<M: IntoMetric> IntoMetrics for M {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        Ok(vec![self.into_metric()?])
    }
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

macro_rules! tuples {
    ($($($m:ident)*;)*) => {$(
        #[expect(non_snake_case, reason = "each variable has the name of its type")]
        impl<$($m: IntoMetric),*> IntoMetrics for ($($m,)*) {
            fn into_metrics(self) -> Result<Vec<MetricSpec>> {
                let ($($m,)*) = self;
                Ok(vec![$($m.into_metric()?),*])
            }
        }
    )*};
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Result<Vec<MetricSpec>> {
        Ok(Vec::new())
    }
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
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

    /// Of four samples the third has a NaN as its target, the fourth as its prediction: two are right.
    #[test]
    fn a_nan_is_never_right() {
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &crate::Device::cpu()).unwrap();
        let nan = f32::NAN;
        let predicted = tensor(&[0.9, 0.1, 0.2, 0.8, 0.9, 0.1, nan, nan], &[4, 2]);
        let half = tensor(&[0.9, 0.1, 0.2, 0.8, 0.9, 0.1, nan, 0.0], &[4, 2]);
        let one_hot = tensor(&[1.0, 0.0, 0.0, 1.0, nan, nan, 1.0, 0.0], &[4, 2]);
        let numbers = tensor(&[0.0, 1.0, nan, 0.0], &[4]);
        let (target, probability) = (tensor(&[1.0, 0.0, nan, 0.0], &[4, 1]), tensor(&[0.9, 0.1, 0.1, nan], &[4, 1]));
        let cases: [(Box<dyn Metric>, &Tensor, &Tensor); 8] = [
            (Box::new(BinaryAccuracy::default()), &target, &probability),
            (Box::new(CategoricalAccuracy), &one_hot, &predicted),
            (Box::new(CategoricalAccuracy), &one_hot, &half),
            (Box::new(SparseCategoricalAccuracy), &numbers, &predicted),
            (Box::new(SparseCategoricalAccuracy), &numbers, &half),
            (Box::new(TopKCategoricalAccuracy::new(1)), &one_hot, &predicted),
            (Box::new(TopKCategoricalAccuracy::sparse(1)), &numbers, &predicted),
            (Box::new(TopKCategoricalAccuracy::sparse(2)), &numbers, &half),
        ];
        for (metric, y_true, y_pred) in cases {
            let sums = metric.sums(y_true, y_pred, None).unwrap();
            assert_eq!(sums[0].to_f64_vec().unwrap(), [2.0], "{}", metric.name());
        }
    }

    #[test]
    fn strings_name_metrics() {
        let MetricSpec::Metric(Some(name), metric) = "mae".into_metric().unwrap() else { panic!() };
        assert_eq!((name.as_str(), metric.name().as_str()), ("mae", "mean_absolute_error"));
        // Keras's metric of this name is the cosine itself, not the loss.
        let MetricSpec::Metric(_, cosine) = "cosine_similarity".into_metric().unwrap() else { panic!() };
        assert_eq!((cosine.result(&[vec![-3.0]], 4.0), cosine.larger_is_better()), (0.75, Some(true)));
        for name in ["dice", "huber", "binary_focal_crossentropy"] {
            assert!(name.into_metric().err().unwrap().is_invalid_argument(), "{name} is a loss and no metric");
        }
        let error = "acuracy".into_metric().err().unwrap();
        assert!(error.to_string().starts_with("Could not interpret metric identifier: acuracy"));
    }

    #[test]
    fn one_many_or_no_metrics() {
        let count = |metrics: Result<Vec<MetricSpec>>| metrics.unwrap().len();
        assert_eq!(count("mae".into_metrics()), 1);
        assert_eq!(count(Accuracy.into_metrics()), 1);
        assert_eq!(count(().into_metrics()), 0);
        assert_eq!(count(["mae", "accuracy"].into_metrics()), 2);
        let boxed: Box<dyn Metric> = Box::new(CategoricalAccuracy);
        assert_eq!(count((Accuracy, "mae", Recall::default(), boxed, "crossentropy").into_metrics()), 5);
    }

    #[test]
    fn a_loss_of_the_whole_batch_counts_once() {
        let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &crate::Device::cpu()).unwrap();
        let (y_true, y_pred) = (tensor(&[1.0, 0.0, 1.0, 1.0]), tensor(&[0.5, 0.5, 1.0, 0.0]));
        let metric = Mean::of(losses::Dice::default());
        for weight in [None, Some(tensor(&[1.0, 2.0, 1.0, 2.0]))] {
            let sums = metric.sums(&y_true, &y_pred, weight.as_ref()).unwrap();
            let totals: Vec<Vec<f64>> = sums.iter().map(|sum| sum.to_f64_vec().unwrap()).collect();
            assert!((metric.result(&totals, 4.0) - 0.4).abs() < 1e-6, "{totals:?}");
        }
    }

    #[test]
    fn means_of_totals() {
        let metric = CategoricalAccuracy;
        assert_eq!(metric.result(&[vec![3.0]], 4.0), 0.75);
        assert_eq!(metric.result(&[vec![3.0], vec![2.0]], 4.0), 1.5);
        assert_eq!(metric.result(&[vec![0.0]], 0.0), 0.0);
    }
}
