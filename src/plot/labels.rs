//! Which class each sample is of, and which one was predicted.

use crate::data::{Array, IntoArray};
use crate::error::{Error, Kind, Result};

/// What is above it is the second of two classes.
const THRESHOLD: f64 = 0.5;

/// Rows of numbers, one a sample.
pub(super) struct Rows {
    pub(super) values: Vec<f64>,
    pub(super) columns: usize,
    integers: bool,
}

impl Rows {
    /// `what` the numbers are, for errors: samples alone, or rows of classes.
    #[track_caller]
    pub(super) fn new(what: &str, data: impl IntoArray) -> Result<Self> {
        let array = Array::new(data)?;
        let columns = match *array.dims() {
            [_] => 1,
            [_, columns] if columns > 0 => columns,
            _ => {
                return Err(Error::parts(
                    Kind::Shape,
                    &format!("{what} have another shape than labels or scores"),
                    &format!("shape {}", array.shape()),
                    "(samples,) or (samples, classes)",
                    "Reshape them",
                ));
            }
        };
        let values = array.to_f64_vec();
        if let Some(place) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::parts(
                Kind::Argument,
                &format!("{what} are not all numbers"),
                &format!("NaN for sample {}", place / columns),
                "numbers",
                "Look where they come from: a loss that is NaN makes predictions that are",
            ));
        }
        let float = array.dtype().is_float();
        Ok(Rows { values, columns, integers: !float })
    }

    pub(super) fn samples(&self) -> usize {
        self.values.len() / self.columns
    }

    /// The class of each sample: the column that is greatest, or the number itself.
    #[track_caller]
    pub(super) fn labels(&self) -> Result<Vec<usize>> {
        self.classes("Labels", false)
    }

    /// The class predicted for each sample, where a score may also be one of the second of two classes.
    #[track_caller]
    pub(super) fn predictions(&self) -> Result<Vec<usize>> {
        let whole = self.integers || self.values.iter().all(|value| value.fract() == 0.0);
        self.classes("Predictions", !whole)
    }

    #[track_caller]
    fn classes(&self, what: &str, scores: bool) -> Result<Vec<usize>> {
        if self.columns > 1 {
            return Ok(self.values.chunks(self.columns).map(greatest).collect());
        }
        let mut classes = Vec::with_capacity(self.values.len());
        for (sample, &value) in self.values.iter().enumerate() {
            classes.push(match scores {
                true if (0.0..=1.0).contains(&value) => usize::from(value > THRESHOLD),
                false if value.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(&value) => value as usize,
                _ => {
                    return Err(Error::parts(
                        Kind::Argument,
                        &format!("{what} are not classes{}", if scores { " nor probabilities" } else { "" }),
                        &format!("{value} for sample {sample}"),
                        if scores { "probabilities between 0 and 1" } else { "whole numbers from 0 on" },
                        "Give classes, rows of scores or probabilities; logits of two classes go through a sigmoid first",
                    ));
                }
            });
        }
        Ok(classes)
    }
}

/// The first of the greatest numbers.
fn greatest(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (place, value)| if *value > row[best] { place } else { best })
}

/// An error where there are not as many predictions as samples, or none of either.
#[track_caller]
pub(super) fn same_samples(y_true: &Rows, y_pred: &Rows) -> Result<()> {
    let (labels, predictions) = (y_true.samples(), y_pred.samples());
    if labels == predictions && labels > 0 {
        return Ok(());
    }
    Err(Error::parts(
        Kind::Shape,
        "Labels and predictions are to be compared",
        &format!("{labels} labels and {predictions} predictions"),
        "as many of both, and at least one",
        "Give the predictions for the same samples",
    ))
}
