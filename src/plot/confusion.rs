//! Confusion matrices.

use super::chart::Chart;
use super::labels::{Rows, same_samples};
use crate::data::IntoArray;
use crate::error::{Error, Kind, Result, entry};

/// How many samples of which class were taken for which: a row for each true class, a column for each predicted one, as
/// scikit-learn's `confusion_matrix` counts.
///
/// Labels are classes from 0 on, or rows with a 1 for the class. Predictions are classes too, rows with a probability or logit
/// for each class, or the probabilities of the second of two classes, which is predicted above 0.5.
///
/// ```
/// use wgtensor::plot;
///
/// let probabilities = [[0.9f32, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]];
/// assert_eq!(plot::confusion_counts([0, 0, 1, 1], probabilities)?, [[1, 1], [1, 1]]);
/// assert_eq!(plot::confusion_counts([0, 1, 1], [0.2f32, 0.5, 0.9])?, [[1, 0], [1, 1]]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Other shapes, another number of predictions than of labels, numbers that are neither classes nor probabilities, NaN.
#[track_caller]
pub fn confusion_counts(y_true: impl IntoArray, y_pred: impl IntoArray) -> Result<Vec<Vec<usize>>> {
    entry(|| count(y_true, y_pred, None))
}

/// Counts for so many classes, or for as many as there are.
fn count(y_true: impl IntoArray, y_pred: impl IntoArray, classes: Option<usize>) -> Result<Vec<Vec<usize>>> {
    /// More would not be a table that anybody reads.
    const MOST: usize = 1000;
    let (labels, predictions) = (Rows::new("Labels", y_true)?, Rows::new("Predictions", y_pred)?);
    same_samples(&labels, &predictions)?;
    let (actual, predicted) = (labels.labels()?, predictions.predictions()?);
    let greatest = actual.iter().chain(&predicted).copied().max().unwrap_or(0);
    let wide = [labels.columns, predictions.columns].into_iter().max().unwrap_or(1);
    let found = (greatest + 1).max(wide);
    let count = classes.unwrap_or(found);
    if found > count || count > MOST {
        return Err(Error::parts(
            Kind::Index,
            "There are more classes than expected",
            &format!("class {}", found - 1),
            &format!("classes below {}", count.min(MOST)),
            "Give a name for each class, and check that classes are counted from 0",
        ));
    }
    let mut table = vec![vec![0; count]; count];
    for (actual, predicted) in actual.into_iter().zip(predicted) {
        table[actual][predicted] += 1;
    }
    Ok(table)
}

/// The [counts](confusion_counts) as a table with the names of the classes; with no names, their numbers.
///
/// ```
/// use wgtensor::plot;
///
/// let chart = plot::confusion_matrix([0, 0, 1, 2], [0, 1, 1, 2], ["cat", "dog", "bird"])?;
/// assert!(chart.to_text(40, 10).contains("cat      1    1    0"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of [`confusion_counts`]; a class without a name.
#[track_caller]
pub fn confusion_matrix<S: AsRef<str>>(
    y_true: impl IntoArray,
    y_pred: impl IntoArray,
    class_names: impl IntoIterator<Item = S>,
) -> Result<Chart> {
    entry(|| {
        let mut names: Vec<String> = class_names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let table = count(y_true, y_pred, Some(names.len()).filter(|&count| count > 0))?;
        if names.is_empty() {
            names = (0..table.len()).map(|class| class.to_string()).collect();
        }
        let rows = names.iter().zip(table);
        let chart = Chart::heatmap("Confusion matrix", &names).x_label("predicted class").y_label("true class");
        Ok(rows.fold(chart, |chart, (name, counts)| chart.series(name, counts)))
    })
}
