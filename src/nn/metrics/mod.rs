//! Metrics: sums that grow on the device, and what is made of them.

mod accuracy;
mod confusion;
mod curves;
mod mean;
mod overlap;
mod regression;

pub use accuracy::{
    BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use confusion::{
    Averaging, F1Score, FBetaScore, FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives,
};
pub use curves::{
    AUC, Curve, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity, Summation,
};
pub use mean::{CosineSimilarity, Mean, MeanMetricWrapper, RootMeanSquaredError, Sum};
pub use overlap::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use regression::{ClassAggregation, ConcordanceCorrelation, PearsonCorrelation, R2Score};

use crate::Tensor;
use crate::error::{Result, entry};
use crate::nn::config::{Class, Config, by_name, classes, from_config, unknown, unwritten};
use crate::nn::losses::{self, Loss, align_weight};
use crate::nn::names::snake_case;

/// A figure computed from all samples of an epoch.
///
/// A metric is a list of sums, to which each batch adds on the device, and a function of the totals. Implement it for
/// a metric of your own; only [`sums`](Metric::sums) and [`class_name`](Metric::class_name) are required.
///
/// `compile` takes metrics; [`compute`](Metric::compute) is for a loop of your own.
///
/// ```
/// use wgtensor::nn::metrics::{Figure, Metric};
/// use wgtensor::{Device, Result, Tensor};
///
/// /// The mean distance, with a total of distances and one of weights.
/// struct Distance;
/// impl Metric for Distance {
///     fn class_name(&self) -> &'static str {
///         "Distance"
///     }
///     fn sums(&self, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
///         let each = y_true.sub(y_pred)?.square()?.sum(-1)?.sqrt()?;
///         match weight {
///             Some(weight) => Ok(vec![each.mul(weight)?.sum(())?, weight.sum(())?]),
///             None => Ok(vec![each.sum(())?]),
///         }
///     }
/// }
///
/// let (t, p) = (Tensor::new([[0.0f32, 0.0]], &Device::cpu())?, Tensor::new([[3.0f32, 4.0]], &Device::cpu())?);
/// assert_eq!(Distance.compute(&t, &p, None)?, Figure::One(5.0));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Metric: Send + Sync {
    /// The name of its type.
    fn class_name(&self) -> &'static str;

    /// Its name: the type's in snake case.
    fn name(&self) -> String {
        snake_case(self.class_name())
    }

    /// Its class and settings, from which [`from_config`](trait.Metric.html#method.from_config) makes it again.
    ///
    /// # Errors
    /// Settings that make no sense, or a metric that does not implement this.
    fn config(&self) -> Result<Config> {
        Err(unwritten(&format!("The metric `{}`", self.class_name())))
    }

    /// Refuses settings that make no sense; called when a model is compiled.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What a batch adds to each of the sums.
    ///
    /// # Errors
    /// Shapes that do not belong together.
    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>>;

    /// The metric, from the totals and the number of samples. The default is a mean: the first total over the second
    /// (the sum of the weights), or over the number of samples where there is only one.
    fn result(&self, totals: &[Vec<f64>], samples: f64) -> Figure {
        Figure::One(mean_of(totals, samples))
    }

    /// Whether larger is better; `None` where that is not known.
    fn larger_is_better(&self) -> Option<bool> {
        None
    }

    /// The metric of one batch alone. Waits for the device.
    ///
    /// # Errors
    /// Shapes that do not belong together, or those of the device.
    #[track_caller]
    fn compute(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Figure> {
        entry(|| {
            self.check()?;
            let totals = self.sums(y_true, y_pred, sample_weight)?;
            let totals: Vec<Vec<f64>> = totals.iter().map(Tensor::to_f64_vec).collect::<Result<_>>()?;
            Ok(self.result(&totals, y_pred.dims().first().map_or(1.0, |&n| n as f64)))
        })
    }
}

/// What a metric comes to: a number, or several (one for each threshold, say), which a history calls `name[0]`,
/// `name[1]`, ...
///
/// ```
/// use wgtensor::nn::metrics::{F1Score, Figure, Metric};
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let (t, p) = (Tensor::new([[1.0f32, 0.0]], &device)?, Tensor::new([[0.9f32, 0.1]], &device)?);
/// assert!(matches!(F1Score::new().compute(&t, &p, None)?, Figure::Many(each) if each.len() == 2));
/// assert!(matches!(F1Score::new().average("macro").compute(&t, &p, None)?, Figure::One(_)));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A number.
    One(f64),
    /// Several.
    Many(Vec<f64>),
}

impl From<f64> for Figure {
    fn from(number: f64) -> Self {
        Figure::One(number)
    }
}

impl Figure {
    /// Its numbers, each with what follows the metric's name.
    pub(crate) fn parts(self) -> Vec<(String, f64)> {
        match self {
            Figure::One(number) => vec![(String::new(), number)],
            Figure::Many(numbers) => numbers.into_iter().enumerate().map(|(i, n)| (format!("[{i}]"), n)).collect(),
        }
    }
}

impl dyn Metric {
    /// The metric of a configuration; that of a loss is its [`MeanMetricWrapper`].
    ///
    /// # Errors
    /// A class that is no standard metric, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Metric>> {
        match MeanMetricWrapper::from_config(config)? {
            Some(mean) => Ok(Box::new(mean)),
            None => from_config(CLASSES, "metric", config),
        }
    }
}

impl<M: Metric + ?Sized> Metric for Box<M> {
    fn class_name(&self) -> &'static str {
        (**self).class_name()
    }
    fn name(&self) -> String {
        (**self).name()
    }
    fn config(&self) -> Result<Config> {
        (**self).config()
    }
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        (**self).sums(y_true, y_pred, sample_weight)
    }
    fn result(&self, totals: &[Vec<f64>], samples: f64) -> Figure {
        (**self).result(totals, samples)
    }
    fn larger_is_better(&self) -> Option<bool> {
        (**self).larger_is_better()
    }
}

/// A metric, declared: its documentation, its settings, its sums, and what else it has of [`Metric`].
macro_rules! metric {
    (
        $(#[$meta:meta])*
        $name:ident $(($($needed:tt)*))? { $($settings:tt)* }
        |$this:ident, $t:ident, $p:ident, $weight:ident| $sums:block
        $($more:tt)*
    ) => {
        $crate::nn::config::declare! {
            $(#[$meta])*
            #[derive(Clone, Debug)]
            pub struct $name $(($($needed)*))? { $($settings)* }
        }

        impl $crate::nn::metrics::Metric for $name {
            $crate::nn::config::declared!("keras.metrics");

            fn sums(&$this, $t: &Tensor, $p: &Tensor, $weight: Option<&Tensor>) -> Result<Vec<Tensor>> $sums

            $($more)*
        }
    };
    (@larger $better:literal) => {
        fn larger_is_better(&self) -> Option<bool> {
            Some($better)
        }
    };
}
use metric;

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

/// `a / b`, and 0 where `b` is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// How often the prediction equals the target. Given to `compile`, it is resolved by the shapes of the first batch:
/// one output is [`BinaryAccuracy`], class numbers are [`SparseCategoricalAccuracy`], one-hot targets
/// [`CategoricalAccuracy`]; so is the string `"accuracy"`.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let mut model = Sequential::new().add(Dense::new(3).activation(Softmax));
/// model.compile("adam", "sparse_categorical_crossentropy", [Accuracy])?; // of class numbers
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuracy;

/// A metric as given to `compile`.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::metrics::MetricSpec;
///
/// let mut model = Sequential::new().add(Dense::new(1).activation(Sigmoid));
/// model.compile("adam", "binary_crossentropy", (MetricSpec::named("sure", BinaryAccuracy::new().threshold(0.9)), "accuracy"))?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
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
            MetricSpec::Crossentropy(name) => (name, Box::new(MeanMetricWrapper::of(crossentropy_for(target, output)))),
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
        (_, true) => Box::new(SparseCategoricalAccuracy::new()),
        _ => Box::new(CategoricalAccuracy::new()),
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
///
/// ```
/// use wgtensor::nn::metrics::IntoMetric;
/// use wgtensor::nn::prelude::*;
///
/// let chosen = vec!["accuracy".into_metric()?, AUC::new().into_metric()?, Accuracy.into_metric()?];
/// let mut model = Sequential::new().add(Dense::new(1).activation(Sigmoid));
/// model.compile("adam", "binary_crossentropy", chosen)?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no metric: give a name or an object that is a `Metric`")]
pub trait IntoMetric {
    /// The metric, if the name is known.
    fn into_metric(self) -> Result<MetricSpec>;
}

impl<M: Metric + 'static> IntoMetric for M {
    fn into_metric(self) -> Result<MetricSpec> {
        self.check()?;
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
        let metric = match OF_LOSSES.iter().find(|(names, _)| names.contains(&snake_case(self).as_str())) {
            Some((_, loss)) => {
                Box::new(MeanMetricWrapper::of(<dyn Loss>::from_config(&Config::new(*loss))?)) as Box<dyn Metric>
            }
            None => by_name(CLASSES, "metric", self).map_err(|_| {
                let own = CLASSES.iter().map(|class| snake_case(class.name));
                let of_losses = OF_LOSSES.iter().map(|(names, _)| names[0].to_string());
                let known: Vec<String> = own.chain(of_losses).collect();
                unknown(
                    "metric",
                    self,
                    ["accuracy", "crossentropy"].into_iter().chain(known.iter().map(String::as_str)),
                )
            })?,
        };
        Ok(MetricSpec::Metric(Some(self.into()), metric))
    }
}

/// The standard metrics, those apart that are the mean of a loss.
const CLASSES: &[Class<dyn Metric>] = classes! { dyn Metric:
    AUC,
    BinaryAccuracy,
    BinaryIoU,
    CategoricalAccuracy,
    ConcordanceCorrelation,
    CosineSimilarity,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    IoU,
    Mean,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    Sum,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
};

/// The losses whose mean is a metric, by that metric's names.
const OF_LOSSES: [(&[&str], &str); 13] = [
    (&["mean_squared_error", "mse"], "MeanSquaredError"),
    (&["mean_absolute_error", "mae"], "MeanAbsoluteError"),
    (&["mean_absolute_percentage_error", "mape"], "MeanAbsolutePercentageError"),
    (&["mean_squared_logarithmic_error", "msle"], "MeanSquaredLogarithmicError"),
    (&["log_cosh_error", "log_cosh"], "LogCosh"),
    (&["kl_divergence", "kld"], "KLDivergence"),
    (&["poisson"], "Poisson"),
    (&["binary_crossentropy", "bce"], "BinaryCrossentropy"),
    (&["categorical_crossentropy"], "CategoricalCrossentropy"),
    (&["sparse_categorical_crossentropy"], "SparseCategoricalCrossentropy"),
    (&["hinge"], "Hinge"),
    (&["squared_hinge"], "SquaredHinge"),
    (&["categorical_hinge"], "CategoricalHinge"),
];

/// What can be given to `compile` as its metrics: one metric, an array or a vector of one kind, a tuple of any kinds (and of
/// such lists), or `()` for none.
///
/// ```
/// use wgtensor::nn::metrics::{IntoMetric, Metric};
/// use wgtensor::nn::prelude::*;
///
/// # let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1).activation(Sigmoid));
/// model.compile("adam", "mse", ["accuracy", "mae"])?;
/// model.compile("adam", "mse", ("accuracy", Precision::default()))?;
/// // A list put together as the program runs.
/// let mut chosen = vec!["accuracy".into_metric()?];
/// chosen.push(Recall::default().into_metric()?);
/// let boxed: Vec<Box<dyn Metric>> = vec![Box::new(AUC::default()), Box::new(RootMeanSquaredError::new())];
/// model.compile("adam", "mse", (chosen, boxed, "mae"))?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no metric and no list of metrics",
    note = "metrics of several kinds go into a tuple: `(\"accuracy\", Precision::default())`; none are `()`"
)]
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
        impl<$($m: IntoMetrics),*> IntoMetrics for ($($m,)*) {
            fn into_metrics(self) -> Result<Vec<MetricSpec>> {
                let ($($m,)*) = self;
                Ok([$($m.into_metrics()?),*].into_iter().flatten().collect())
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

#[cfg(all(test, feature = "cpu"))]
mod tests;
