//! Learning curves.

use super::chart::Chart;
use crate::nn::History;

/// The figures of each epoch of a training: a panel for the loss and one for every metric, with the one of the validation data
/// beside it. Epochs count from 1.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::{Device, Tensor, plot};
///
/// let x = Tensor::uniform([256, 2], -1.0, 1.0, 1, &Device::cpu())?;
/// let y = x.sum(1)?.gt(0.0)?.cast(wgtensor::DType::I32)?;
/// let mut model = Sequential::new().add(Dense::new(16).activation(Relu)).add(Dense::new(1).activation(Sigmoid));
/// model.compile("adam", "binary_crossentropy", ["accuracy"])?;
/// let history = model.fit(&x, &y, Fit::new().epochs(5).validation_split(0.25))?;
/// let text = plot::learning_curves(&history).to_text(40, 12);
/// assert!(text.contains("accuracy") && text.contains("val_loss"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub fn learning_curves(history: &History) -> Chart {
    let names: Vec<&str> = history.history.iter().map(|(name, _)| name.as_str()).collect();
    let validated = |name: &str| name.strip_prefix("val_").is_some_and(|of| names.contains(&of));
    // Loss first; figures of validation alone have panels of their own.
    let mut panels: Vec<&str> = names.iter().copied().filter(|name| !validated(name)).collect();
    panels.sort_by_key(|&name| name != "loss");
    let charts: Vec<Chart> = panels
        .iter()
        .map(|&name| {
            let of_validation = format!("val_{name}");
            let shown = [name, &of_validation].into_iter().filter(|name| names.contains(name));
            shown.fold(Chart::lines(name).x_label("epoch"), |chart, name| {
                chart.series(name, history.points(name).map(|(epoch, figure)| (epoch + 1, figure)))
            })
        })
        .collect();
    match charts.len() {
        0 => Chart::lines("no epochs").x_label("epoch"),
        count => Chart::grid("", charts, if count == 4 { 2 } else { count.min(3) }),
    }
}
