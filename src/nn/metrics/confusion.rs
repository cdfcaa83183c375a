//! Counts of hits and misses on either side of thresholds, and what is made of them.

use super::{Figure, metric, ratio};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::Result;
use crate::nn::config::{Thresholds, choices, positive, share};
use crate::nn::losses::{align_weight, fit_targets};

/// Targets, predictions and weights of a batch, one number each.
struct Judged<'a> {
    /// 1 where the target is positive, else 0.
    actual: Tensor,
    scores: Tensor,
    /// Which predictions can be positive at all.
    eligible: Option<Tensor>,
    weight: Option<Tensor>,
    thresholds: &'a Option<Thresholds>,
}

impl<'a> Judged<'a> {
    fn new(
        (y_true, y_pred, sample_weight): (&Tensor, &Tensor, Option<&Tensor>),
        thresholds: &'a Option<Thresholds>,
        top_k: Option<usize>,
        class_id: Option<usize>,
    ) -> Result<Self> {
        let mut actual = fit_targets(y_true, y_pred)?.ne(0.0)?.cast(DType::F32)?;
        let mut scores = y_pred.clone();
        let mut eligible = top_k.map(|k| largest(y_pred, k)).transpose()?;
        if let Some(class) = class_id {
            let of_class = |x: &Tensor| x.take(class, -1);
            (actual, scores) = (of_class(&actual)?, of_class(&scores)?);
            eligible = eligible.as_ref().map(of_class).transpose()?;
        }
        let weight = sample_weight.map(|weight| align_weight(weight, &actual)).transpose()?;
        Ok(Judged { actual, scores, eligible, weight, thresholds })
    }

    /// 1 where the prediction is positive, else 0.
    fn predicted(&self, threshold: f64) -> Result<Tensor> {
        let above = self.scores.gt(threshold)?;
        match &self.eligible {
            Some(eligible) => above.logical_and(eligible)?.cast(DType::F32),
            None => above.cast(DType::F32),
        }
    }

    /// For each threshold the weighted number of samples of which `count(actual, predicted)` is 1: a scalar for one
    /// threshold, else `(thresholds,)`.
    fn counts(&self, count: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let at = |threshold: f64| {
            let counted = count(&self.actual, &self.predicted(threshold)?)?;
            match &self.weight {
                Some(weight) => counted.mul(weight)?.sum(()),
                None => counted.sum(()),
            }
        };
        match self.thresholds {
            // Of the largest k any may be positive.
            None if self.eligible.is_some() => at(f64::from(f32::MIN)),
            None => at(0.5),
            Some(Thresholds::One(threshold)) => at(*threshold),
            Some(Thresholds::Many(list)) => {
                let each = list.iter().map(|threshold| at(*threshold)).collect::<Result<Vec<_>>>()?;
                Tensor::stack(each, 0)
            }
        }
    }
}

/// Where a value is among the `k` largest of its row; of equal ones the first count.
fn largest(x: &Tensor, k: usize) -> Result<Tensor> {
    let n = x.dims().last().copied().unwrap_or(0);
    let place = Tensor::arange(0.0, n as f64, 1.0, DType::I32, x.device())?;
    let (own, other) = (x.expand_dims(-1)?, x.expand_dims(-2)?);
    let before = place.expand_dims(-2)?.lt(place.expand_dims(-1)?)?;
    let ahead = other.gt(&own)?.logical_or(other.eq(&own)?.logical_and(before)?)?;
    ahead.cast(DType::F32)?.sum(-1)?.lt(k as f64)
}

fn both(actual: &Tensor, predicted: &Tensor) -> Result<Tensor> {
    actual.mul(predicted)
}

/// The figure of totals, one for each threshold or just one.
fn figure(thresholds: &Option<Thresholds>, numbers: impl Iterator<Item = f64>) -> Figure {
    match thresholds {
        Some(Thresholds::Many(_)) => Figure::Many(numbers.collect()),
        _ => Figure::One(numbers.sum()),
    }
}

/// [`Precision`] and [`Recall`], which differ in what the hits are divided by.
macro_rules! hits_among {
    ($(#[$meta:meta])* $name:ident, $count:expr) => {
        metric! {
            $(#[$meta])*
            $name {
                /// Above this a prediction counts as positive; 0.5 where it is not set. A list gives a figure for each.
                thresholds: Option<Thresholds> where share = None,
                /// Only the `k` largest predictions of a sample can be positive; all of them where there is no threshold.
                top_k: Option<usize> where positive = None,
                /// Only this class counts.
                class_id: Option<usize> = None,
            }
            |self, y_true, y_pred, sample_weight| {
                let batch = (y_true, y_pred, sample_weight);
                let judged = Judged::new(batch, &self.thresholds, self.top_k, self.class_id)?;
                Ok(vec![judged.counts(both)?, judged.counts($count)?])
            }

            fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
                figure(&self.thresholds, totals[0].iter().zip(&totals[1]).map(|(hits, all)| ratio(*hits, *all)))
            }

            metric!(@larger true);
        }
    };
}

hits_among! {
    /// Of the samples predicted positive, the share that is.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, Precision};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = Precision::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Precision, |_, predicted| Ok(predicted.clone())
}

hits_among! {
    /// Of the positive samples, the share predicted so.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, Recall};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = Recall::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Recall, |actual, _| Ok(actual.clone())
}

/// One of the four numbers of a table of confusion.
macro_rules! count {
    ($(#[$meta:meta])* $name:ident, $larger:literal, |$actual:ident, $predicted:ident| $count:expr) => {
        metric! {
            $(#[$meta])*
            $name {
                /// Above this a prediction counts as positive; 0.5 where it is not set. A list gives a figure for each.
                thresholds: Option<Thresholds> where share = None,
            }
            |self, y_true, y_pred, sample_weight| {
                let judged = Judged::new((y_true, y_pred, sample_weight), &self.thresholds, None, None)?;
                Ok(vec![judged.counts(|$actual, $predicted| $count)?])
            }

            fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
                figure(&self.thresholds, totals[0].iter().copied())
            }

            metric!(@larger $larger);
        }
    };
}

count! {
    /// The (weighted) number of positive samples predicted so.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, TruePositives};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = TruePositives::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    TruePositives, true, |actual, predicted| actual.mul(predicted)
}
count! {
    /// The (weighted) number of negative samples predicted positive.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{FalsePositives, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = FalsePositives::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    FalsePositives, false, |actual, predicted| predicted.sub(actual.mul(predicted)?)
}
count! {
    /// The (weighted) number of negative samples predicted so.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, TrueNegatives};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = TrueNegatives::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    TrueNegatives, true, |actual, predicted| actual.maximum(predicted)?.neg()?.add(1.0)
}
count! {
    /// The (weighted) number of positive samples predicted negative.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{FalseNegatives, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = FalseNegatives::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    FalseNegatives, false, |actual, predicted| actual.sub(actual.mul(predicted)?)
}

/// How the scores of the classes become one.
///
/// ```
/// use wgtensor::nn::metrics::{Averaging, F1Score, Metric};
///
/// let one = F1Score::new().average(Averaging::Weighted);
/// assert_eq!(one.config()?, F1Score::new().average("weighted").config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Averaging {
    /// From the counts of all classes together.
    Micro,
    /// The mean of the classes' scores.
    Macro,
    /// The mean, each class weighed by the number of its samples.
    Weighted,
}

choices! { Averaging, "average", "\"micro\", \"macro\", \"weighted\" or null":
    "micro" => Averaging::Micro,
    "macro" => Averaging::Macro,
    "weighted" => Averaging::Weighted,
}

/// For each class the true positives, what is predicted positive, and the positive targets.
fn class_counts(
    (y_true, y_pred, sample_weight): (&Tensor, &Tensor, Option<&Tensor>),
    threshold: Option<f64>,
) -> Result<Vec<Tensor>> {
    let actual = fit_targets(y_true, y_pred)?.cast(DType::F32)?;
    let predicted = match threshold {
        Some(threshold) => y_pred.gt(threshold)?,
        // The largest of each sample, unless all are 0.
        None => y_pred.ge(y_pred.max_keepdims(-1)?)?.logical_and(y_pred.abs()?.gt(1e-9)?)?,
    };
    let predicted = predicted.cast(DType::F32)?;
    let total = |counted: Tensor| match sample_weight {
        Some(weight) => counted.mul(align_weight(weight, &counted)?)?.sum(0),
        None => counted.sum(0),
    };
    Ok(vec![total(actual.mul(&predicted)?)?, total(predicted)?, total(actual)?])
}

/// `(1 + beta^2) precision recall / (beta^2 precision + recall)` of the totals of [`class_counts`].
fn f_score(totals: &[Vec<f64>], beta: f64, average: Option<Averaging>) -> Figure {
    let score = |hits: f64, predicted: f64, actual: f64| {
        let (precision, recall) = (ratio(hits, predicted), ratio(hits, actual));
        ratio((1.0 + beta * beta) * precision * recall, beta * beta * precision + recall)
    };
    let sum = |i: usize| totals[i].iter().sum::<f64>();
    let scores: Vec<f64> = (0..totals[0].len()).map(|c| score(totals[0][c], totals[1][c], totals[2][c])).collect();
    match average {
        None => Figure::Many(scores),
        Some(Averaging::Micro) => score(sum(0), sum(1), sum(2)).into(),
        Some(Averaging::Macro) => ratio(scores.iter().sum(), scores.len() as f64).into(),
        Some(Averaging::Weighted) => {
            ratio(scores.iter().zip(&totals[2]).map(|(score, samples)| score * samples).sum(), sum(2)).into()
        }
    }
}

metric! {
    /// The weighted harmonic mean of precision and recall, of each class or over all classes; targets and predictions
    /// `(samples, classes)`.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{FBetaScore, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = FBetaScore::new().beta(2.0).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "Many([0.0000, 0.8333, 0.0000])");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    FBetaScore {
        /// How the classes become one figure; one for each class where it is not set.
        average: Option<Averaging> = None,
        /// How many times more recall counts than precision.
        beta: f64 where positive = 1.0,
        /// Above this a prediction counts as positive; where it is not set the largest of a sample does.
        threshold: Option<f64> where share = None,
    }
    |self, y_true, y_pred, sample_weight| { class_counts((y_true, y_pred, sample_weight), self.threshold) }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        f_score(totals, self.beta, self.average)
    }

    metric!(@larger true);
}

metric! {
    /// The harmonic mean of precision and recall, of each class or over all classes; targets and predictions
    /// `(samples, classes)`.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{F1Score, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = F1Score::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "Many([0.0000, 0.6667, 0.0000])");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    F1Score {
        /// How the classes become one figure; one for each class where it is not set.
        average: Option<Averaging> = None,
        /// Above this a prediction counts as positive; where it is not set the largest of a sample does.
        threshold: Option<f64> where share = None,
    }
    |self, y_true, y_pred, sample_weight| { class_counts((y_true, y_pred, sample_weight), self.threshold) }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        f_score(totals, 1.0, self.average)
    }

    metric!(@larger true);
}
