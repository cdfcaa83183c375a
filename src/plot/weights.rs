//! Histograms of weights.

use super::chart::Chart;
use crate::error::{Result, entry};
use crate::nn::Model;

/// Panels in a row.
const COLUMNS: usize = 3;

/// Of a larger weight one number in so many is counted that there are at most these.
const MOST: usize = 1 << 20;

/// A histogram of every weight of a model, which are read back for it; of a weight of more than a million numbers every second,
/// third, ... is counted. What is not finite is left out, and a note says so.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::{Device, Tensor, plot};
///
/// let mut model = Sequential::new().add(Dense::new(8).name("hidden")).add(Dense::new(1).name("output"));
/// model.predict(&Tensor::ones([1, 4], wgtensor::DType::F32, &Device::cpu())?, ())?; // which makes the weights
/// let text = plot::weight_histograms(&model)?.to_text(80, 8);
/// assert!(text.contains("hidden/kernel") && text.contains("output/bias"));
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Those of the device.
#[track_caller]
pub fn weight_histograms(model: &Model) -> Result<Chart> {
    entry(|| {
        let chart = |weight: &crate::Var| {
            let values = weight.value().detach().to_f64_vec()?;
            let step = values.len().div_ceil(MOST).max(1);
            let values = values.into_iter().step_by(step);
            Ok(Chart::histogram(weight.name()).series("", values))
        };
        let charts = model.weights().iter().map(chart).collect::<Result<Vec<Chart>>>()?;
        Ok(match charts.is_empty() {
            true => Chart::histogram("no weights"),
            false => Chart::grid("", charts, COLUMNS),
        })
    })
}
