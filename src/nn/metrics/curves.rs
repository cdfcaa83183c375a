//! Figures of a curve: the counts at many thresholds, and what is made of them.

use super::{Figure, metric, ratio};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::Result;
use crate::nn::config::{choices, share};
use crate::nn::losses::{align_weight, fit_targets};

/// At least two thresholds.
fn several(count: &usize) -> Option<&'static str> {
    (*count < 2).then_some("an integer above 1")
}

/// True and false positives at `count` thresholds spread evenly over 0 to 1, each `(count, labels)`, and the positive
/// and negative samples, `(labels,)`. Predictions are probabilities; without `by_label` all belong to one label.
fn curve(
    (y_true, y_pred, sample_weight): (&Tensor, &Tensor, Option<&Tensor>),
    count: usize,
    by_label: bool,
) -> Result<Vec<Tensor>> {
    let labels = if by_label { y_pred.dims().last().copied().unwrap_or(1) } else { 1 };
    let column = |x: &Tensor| x.reshape([x.numel() / labels.max(1), labels]);
    let actual = fit_targets(y_true, y_pred)?.ne(0.0)?.cast(DType::F32)?;
    let weight = match sample_weight {
        Some(weight) => column(&align_weight(weight, &actual)?.broadcast_to(actual.shape())?)?,
        None => Tensor::ones([actual.numel() / labels.max(1), labels], DType::F32, y_pred.device())?,
    };
    let positive = column(&actual)?.mul(&weight)?;
    let negative = weight.sub(&positive)?;
    // Above threshold i of n, i / (n - 1), if ceil(p (n - 1)) - 1 is at least i; 0 is above the first, which is below 0.
    let last = column(y_pred)?.mul((count - 1) as f64)?.ceil()?.sub(1.0)?.maximum(0.0)?;
    let place = Tensor::arange(0.0, count as f64, 1.0, last.dtype(), y_pred.device())?.reshape([count, 1, 1])?;
    let above = last.expand_dims(0)?.ge(place)?.cast(DType::F32)?;
    let total = |of: &Tensor| above.mul(of.expand_dims(0)?)?.sum(1);
    Ok(vec![total(&positive)?, total(&negative)?, positive.sum(0)?, negative.sum(0)?])
}

/// The counts of one label at all thresholds, from the totals of [`curve`].
struct Counts {
    tp: Vec<f64>,
    fp: Vec<f64>,
    positive: f64,
    negative: f64,
}

impl Counts {
    /// One for each label.
    fn each(totals: &[Vec<f64>]) -> impl Iterator<Item = Counts> {
        let labels = totals[2].len();
        let column = move |table: &[f64], label: usize| table.iter().skip(label).step_by(labels).copied().collect();
        (0..labels).map(move |label| Counts {
            tp: column(&totals[0], label),
            fp: column(&totals[1], label),
            positive: totals[2][label],
            negative: totals[3][label],
        })
    }

    /// Of the positive samples, the share predicted so.
    fn recall(&self) -> Vec<f64> {
        self.tp.iter().map(|tp| ratio(*tp, self.positive)).collect()
    }

    /// Of the samples predicted positive, the share that is.
    fn precision(&self) -> Vec<f64> {
        self.tp.iter().zip(&self.fp).map(|(tp, fp)| ratio(*tp, tp + fp)).collect()
    }

    /// Of the negative samples, the share predicted positive.
    fn false_rate(&self) -> Vec<f64> {
        self.fp.iter().map(|fp| ratio(*fp, self.negative)).collect()
    }

    /// Of the negative samples, the share predicted so.
    fn specificity(&self) -> Vec<f64> {
        self.fp.iter().map(|fp| ratio(self.negative - fp, self.negative)).collect()
    }
}

/// The curve under which [`AUC`] takes the area.
///
/// ```
/// use wgtensor::nn::metrics::{AUC, Curve, Metric};
///
/// let by_name = AUC::new().curve("PR");
/// let by_value = AUC::new().curve(Curve::PrecisionRecall);
/// assert_eq!(by_name.config()?, by_value.config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Recall against the rate of false positives.
    Roc,
    /// Precision against recall.
    PrecisionRecall,
}

choices! { Curve, "curve", "\"ROC\" or \"PR\"": "ROC" => Curve::Roc, "PR" => Curve::PrecisionRecall }

/// The height of a strip of the area, of its two sides.
///
/// ```
/// use wgtensor::nn::metrics::{AUC, Metric, Summation};
///
/// let by_name = AUC::new().summation_method("minoring");
/// let by_value = AUC::new().summation_method(Summation::Minoring);
/// assert_eq!(by_name.config()?, by_value.config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summation {
    /// Their mean; under precision against recall, Davis and Goadrich's interpolation (2006).
    Interpolation,
    /// The lesser.
    Minoring,
    /// The larger.
    Majoring,
}

choices! { Summation, "summation method", "\"interpolation\", \"minoring\" or \"majoring\"":
    "interpolation" => Summation::Interpolation,
    "minoring" => Summation::Minoring,
    "majoring" => Summation::Majoring,
}

metric! {
    /// The area under a curve, from counts at thresholds spread evenly over 0 to 1.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{AUC, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = AUC::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.7500)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    AUC {
        /// How many thresholds there are.
        num_thresholds: usize where several = 200,
        /// The curve.
        curve: Curve = Curve::Roc,
        /// How the strips are summed.
        summation_method: Summation = Summation::Interpolation,
        /// Whether each column is a label of its own, and the figure the mean of theirs.
        multi_label: bool = false,
        /// How many labels there are, where each column is one; the data says so as well.
        num_labels: Option<usize> = None,
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
    }
    |self, y_true, y_pred, sample_weight| {
        let y_pred = if self.from_logits { y_pred.sigmoid()? } else { y_pred.clone() };
        curve((y_true, &y_pred, sample_weight), self.num_thresholds, self.multi_label)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        let areas: Vec<f64> = Counts::each(totals).map(|counts| self.area(&counts)).collect();
        ratio(areas.iter().sum(), areas.len() as f64).into()
    }

    metric!(@larger true);
}

impl AUC {
    fn area(&self, counts: &Counts) -> f64 {
        let (x, y) = match (self.curve, self.summation_method) {
            (Curve::PrecisionRecall, Summation::Interpolation) => return interpolated(counts),
            (Curve::PrecisionRecall, _) => (counts.recall(), counts.precision()),
            (Curve::Roc, _) => (counts.false_rate(), counts.recall()),
        };
        let strips = x.windows(2).zip(y.windows(2));
        let area = |(x, y): (&[f64], &[f64])| {
            let height = match self.summation_method {
                Summation::Interpolation => (y[0] + y[1]) / 2.0,
                Summation::Minoring => y[0].min(y[1]),
                Summation::Majoring => y[0].max(y[1]),
            };
            (x[0] - x[1]) * height
        };
        strips.map(area).sum()
    }
}

/// The area under precision against recall, true positives taken as linear in the positives between two thresholds.
fn interpolated(counts: &Counts) -> f64 {
    let pairs = counts.tp.windows(2).zip(counts.fp.windows(2));
    let strip = |(tp, fp): (&[f64], &[f64])| {
        let (p, next) = (tp[0] + fp[0], tp[1] + fp[1]);
        let slope = ratio(tp[0] - tp[1], (p - next).max(0.0));
        let intercept = tp[1] - slope * next;
        let log = if p > 0.0 && next > 0.0 { (p / next).ln() } else { 0.0 };
        ratio(slope * (tp[0] - tp[1] + intercept * log), counts.positive)
    };
    pairs.map(strip).sum()
}

/// The best of one figure where another is at least so large.
macro_rules! best_where {
    ($(#[$meta:meta])* $name:ident($(#[$doc:meta])* $least:ident), $of:ident, $held:ident) => {
        metric! {
            $(#[$meta])*
            $name(
                $(#[$doc])*
                $least: f64 where share,
            ) {
                /// How many thresholds are tried, spread evenly over 0 to 1.
                num_thresholds: usize where several = 200,
            }
            |self, y_true, y_pred, sample_weight| {
                curve((y_true, y_pred, sample_weight), self.num_thresholds, false)
            }

            fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
                let best = |counts: Counts| {
                    let held = counts.$held();
                    let allowed = counts.$of().into_iter().zip(held).filter(|(_, held)| *held >= self.$least);
                    allowed.map(|(of, _)| of).fold(0.0, f64::max)
                };
                Counts::each(totals).map(best).sum::<f64>().into()
            }

            metric!(@larger true);
        }
    };
}

best_where! {
    /// The best sensitivity (recall) at any threshold where the specificity is large enough.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, SensitivityAtSpecificity};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = SensitivityAtSpecificity::new(0.5).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SensitivityAtSpecificity(
        /// The least specificity.
        specificity
    ), recall, specificity
}
best_where! {
    /// The best specificity (share of the negative samples predicted so) at any threshold where the sensitivity
    /// (recall) is large enough.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, SpecificityAtSensitivity};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = SpecificityAtSensitivity::new(0.5).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SpecificityAtSensitivity(
        /// The least sensitivity.
        sensitivity
    ), specificity, recall
}
best_where! {
    /// The best precision at any threshold where the recall is large enough.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, PrecisionAtRecall};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = PrecisionAtRecall::new(0.5).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    PrecisionAtRecall(
        /// The least recall.
        recall
    ), precision, recall
}
best_where! {
    /// The best recall at any threshold where the precision is large enough.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, RecallAtPrecision};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = RecallAtPrecision::new(0.6).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(1.0000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    RecallAtPrecision(
        /// The least precision.
        precision
    ), recall, precision
}
