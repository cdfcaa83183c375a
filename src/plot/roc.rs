//! Receiver operating characteristics.

use super::chart::Chart;
use super::labels::{Rows, same_samples};
use crate::data::IntoArray;
use crate::error::{Error, Kind, Result, entry};

/// What a threshold on scores makes of two classes, for every threshold that makes a difference: scikit-learn's `roc_curve`.
///
/// ```
/// use wgtensor::plot::Roc;
///
/// let roc = Roc::new([0, 0, 1, 1], [0.1f32, 0.4, 0.35, 0.8])?;
/// assert_eq!(roc.fpr, [0.0, 0.0, 0.5, 0.5, 1.0]);
/// assert_eq!(roc.tpr, [0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert_eq!(roc.auc, 0.75);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// The share of samples of class 0 at or above each threshold.
    pub fpr: Vec<f64>,
    /// The share of samples of class 1 at or above it.
    pub tpr: Vec<f64>,
    /// The thresholds, falling; the first is infinite, so that no sample is above it.
    pub thresholds: Vec<f64>,
    /// The area under the curve: how likely a sample of class 1 has the higher score of a pair.
    pub auc: f64,
}

impl Roc {
    /// For labels 0 and 1 and scores of any kind (probabilities, logits), both `(samples,)` or `(samples, 1)`.
    ///
    /// # Errors
    /// Other shapes, another number of scores than of labels, labels that are not 0 or 1, samples of one class alone, NaN.
    #[track_caller]
    pub fn new(y_true: impl IntoArray, y_score: impl IntoArray) -> Result<Self> {
        entry(|| {
            let (labels, scores) = (Rows::new("Labels", y_true)?, Rows::new("Scores", y_score)?);
            same_samples(&labels, &scores)?;
            for (what, columns) in [("labels", labels.columns), ("scores", scores.columns)] {
                if columns > 1 {
                    return Err(Error::parts(
                        Kind::Shape,
                        "A curve is one of two classes",
                        &format!("{what} in {columns} columns"),
                        "one column of each",
                        "Use `roc_curve`, which draws a curve for each class, or take a column",
                    ));
                }
            }
            let positive = binary(&labels)?;
            Self::of(&positive, &scores.values).ok_or_else(|| {
                Error::parts(
                    Kind::Argument,
                    "Samples of one class have no curve: there is nothing to tell them from",
                    &format!("{} labels, all of them {}", positive.len(), u8::from(positive[0])),
                    "labels 0 and labels 1",
                    "Give samples of both classes",
                )
            })
        })
    }

    /// The curve, if there are samples of both kinds. Scores are numbers.
    fn of(positive: &[bool], scores: &[f64]) -> Option<Self> {
        let all = positive.iter().filter(|&&positive| positive).count();
        let (positives, negatives) = (all as f64, (positive.len() - all) as f64);
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        // False and true positives at each score; equal scores come in together.
        let mut points = vec![(0.0, 0.0, f64::INFINITY)];
        let (mut fps, mut tps) = (0.0, 0.0);
        for (place, &sample) in order.iter().enumerate() {
            if positive[sample] {
                tps += 1.0;
            } else {
                fps += 1.0;
            }
            if order.get(place + 1).is_none_or(|&next| scores[next] != scores[sample]) {
                points.push((fps, tps, scores[sample]));
            }
        }
        let area = |ends: &[(f64, f64, f64)]| (ends[1].0 - ends[0].0) * (ends[1].1 + ends[0].1) / 2.0;
        let auc = points.windows(2).map(area).sum::<f64>() / (positives * negatives);
        // Points in the middle of a straight line are of no use. (The first score is kept, as scikit-learn does.)
        let last = points.len() - 1;
        let bends = |place: usize| {
            let [(f0, t0, _), (f1, t1, _), (f2, t2, _)] = [points[place - 1], points[place], points[place + 1]];
            f2 - f1 != f1 - f0 || t2 - t1 != t1 - t0
        };
        let kept: Vec<(f64, f64, f64)> =
            (0..=last).filter(|&i| i <= 1 || i == last || bends(i)).map(|i| points[i]).collect();
        Some(Roc {
            fpr: kept.iter().map(|point| point.0 / negatives).collect(),
            tpr: kept.iter().map(|point| point.1 / positives).collect(),
            thresholds: kept.iter().map(|point| point.2).collect(),
            auc,
        })
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.fpr.iter().copied().zip(self.tpr.iter().copied())
    }
}

fn binary(labels: &Rows) -> Result<Vec<bool>> {
    match labels.values.iter().find(|&&label| label != 0.0 && label != 1.0) {
        None => Ok(labels.values.iter().map(|&label| label == 1.0).collect()),
        Some(label) => Err(Error::parts(
            Kind::Argument,
            "A curve is one of two classes",
            &format!("label {label}"),
            "labels 0 and 1",
            "Give a row of scores for each sample where there are more classes",
        )),
    }
}

/// How many samples of class 1 are found against how many of class 0 are taken for such, whatever the threshold; the area under
/// the curve stands in the legend. For scores in rows, one for each class, a curve for each class against all others.
///
/// ```
/// use wgtensor::plot;
///
/// let chart = plot::roc_curve([0, 0, 1, 1], [0.1f32, 0.4, 0.35, 0.8])?;
/// assert!(chart.to_text(60, 16).contains("AUC = 0.750"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of [`Roc::new`]. Among several classes, one that has no samples (or all of them) has no curve, which the legend says.
#[track_caller]
pub fn roc_curve(y_true: impl IntoArray, y_score: impl IntoArray) -> Result<Chart> {
    entry(|| {
        let (labels, scores) = (crate::data::Array::new(y_true)?, crate::data::Array::new(y_score)?);
        let rows = Rows::new("Scores", &scores)?;
        let chart = Chart::lines("ROC curve").x_label("false positive rate").y_label("true positive rate");
        let chart = if rows.columns == 1 {
            let roc = Roc::new(&labels, &scores)?;
            chart.series(format!("AUC = {:.3}", roc.auc), roc.points())
        } else {
            let labels = Rows::new("Labels", &labels)?;
            same_samples(&labels, &rows)?;
            let classes = labels.labels()?;
            if let Some(&class) = classes.iter().find(|&&class| class >= rows.columns) {
                return Err(Error::parts(
                    Kind::Index,
                    "A label has no score",
                    &format!("class {class}"),
                    &format!("classes below {}, the number of columns of scores", rows.columns),
                    "Count classes from 0",
                ));
            }
            (0..rows.columns).fold(chart, |chart, class| {
                let positive: Vec<bool> = classes.iter().map(|&other| other == class).collect();
                let scores: Vec<f64> = rows.values.iter().skip(class).step_by(rows.columns).copied().collect();
                match Roc::of(&positive, &scores) {
                    Some(roc) => chart.series(format!("class {class}, AUC = {:.3}", roc.auc), roc.points()),
                    None => chart.series(format!("class {class}, no samples to tell"), [(0.0, 0.0); 0]),
                }
            })
        };
        Ok(chart.guide("by chance", [(0, 0), (1, 1)]))
    })
}
