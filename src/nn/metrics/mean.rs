//! Means and sums: of losses, and of plain values.

use super::{Figure, Metric, mean_of, mean_sums, metric};
use crate::Tensor;
use crate::error::Result;
use crate::nn::config::Config;
use crate::nn::losses::{self, Loss, align_weight, fit_targets, masked_weight};

/// The mean of a [`Loss`] over the samples, as a metric: `MeanMetricWrapper::of(MeanAbsoluteError::default())`.
///
/// Its class, name and configuration are those of Keras's metric for that loss.
///
/// ```
/// use wgtensor::nn::losses::Huber;
/// use wgtensor::nn::metrics::{MeanMetricWrapper, Metric};
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let (t, p) = (Tensor::new([[1.0f32], [2.0]], &device)?, Tensor::new([[2.0f32], [2.0]], &device)?);
/// let huber = MeanMetricWrapper::of(Huber::new().delta(1.0));
/// assert_eq!(format!("{:?}", huber.compute(&t, &p, None)?), "One(0.25)");
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct MeanMetricWrapper {
    loss: Box<dyn Loss>,
}

/// The class that the metric of a loss has in Keras where it is not the loss's.
const LOG_COSH: (&str, &str) = ("LogCosh", "LogCoshError");

impl MeanMetricWrapper {
    /// The mean of this loss.
    ///
    /// ```
    /// use wgtensor::nn::losses::LogCosh;
    /// use wgtensor::nn::metrics::{MeanMetricWrapper, Metric};
    ///
    /// assert_eq!(MeanMetricWrapper::of(LogCosh::new()).class_name(), "LogCoshError"); // its name in Keras
    /// ```
    pub fn of(loss: impl Loss + 'static) -> Self {
        MeanMetricWrapper { loss: Box::new(loss) }
    }

    /// The metric of a configuration, if its class is that of a loss and no metric's own.
    pub(super) fn from_config(config: &Config) -> Result<Option<Self>> {
        let (loss, metric) = LOG_COSH;
        let class = if config.class_name() == metric { loss } else { config.class_name() };
        if super::CLASSES.iter().any(|own| own.name == class) || !losses::has(class) {
            return Ok(None);
        }
        let of_loss =
            config.settings().iter().fold(Config::new(class), |made, (key, value)| made.with(key, value.clone()));
        Ok(Some(MeanMetricWrapper { loss: <dyn Loss>::from_config(&of_loss)? }))
    }
}

/// The sums of the mean of a loss.
fn sums_of(loss: &dyn Loss, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
    let y_true = match loss.keeps_integers() {
        true => y_true.clone(),
        false => fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?,
    };
    let values = loss.values(&y_true, y_pred)?;
    // As in Keras, a mask counts only where there are weights.
    let weight = match (sample_weight, loss.mask(&y_true, y_pred)?) {
        (Some(weight), Some(mask)) => masked_weight(Some(weight), Some(&mask.cast(values.dtype())?), &values)?,
        (weight, _) => weight.cloned(),
    };
    mean_sums(&values, weight.as_ref())
}

impl Metric for MeanMetricWrapper {
    fn class_name(&self) -> &'static str {
        let (loss, metric) = LOG_COSH;
        if self.loss.class_name() == loss { metric } else { self.loss.class_name() }
    }

    fn name(&self) -> String {
        self.loss.name()
    }

    fn config(&self) -> Result<Config> {
        let config = self.loss.config()?;
        let own = config.settings().iter().filter(|(key, _)| *key != "reduction");
        Ok(own.fold(Config::in_module("keras.metrics", self.class_name()), |made, (key, value)| {
            made.with(key, value.clone())
        }))
    }

    fn check(&self) -> Result<()> {
        self.loss.check()
    }

    fn sums(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Vec<Tensor>> {
        sums_of(&*self.loss, y_true, y_pred, sample_weight)
    }

    fn larger_is_better(&self) -> Option<bool> {
        Some(false)
    }
}

metric! {
    /// The mean of values (of what would be the predictions; targets do not count), each sample's averaged first.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Mean, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let values = Tensor::new([[1.0f32], [3.0]], &device)?;
    /// let figure = Mean::new().compute(&values, &values, None)?;
    /// assert_eq!(format!("{figure:?}"), "One(2.0)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Mean {}
    |self, _y_true, values, sample_weight| { mean_sums(values, sample_weight) }
}

metric! {
    /// The sum of values (of what would be the predictions; targets do not count), each times its sample's weight.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, Sum};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let values = Tensor::new([[1.0f32], [3.0]], &device)?;
    /// let figure = Sum::new().compute(&values, &values, None)?;
    /// assert_eq!(format!("{figure:?}"), "One(4.0)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Sum {}
    |self, _y_true, values, sample_weight| {
        let values = match sample_weight {
            Some(weight) => values.mul(align_weight(weight, values)?)?,
            None => values.clone(),
        };
        Ok(vec![values.sum(())?])
    }

    fn result(&self, totals: &[Vec<f64>], _samples: f64) -> Figure {
        totals[0][0].into()
    }
}

metric! {
    /// The root of the mean squared error.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, RootMeanSquaredError};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let figure = RootMeanSquaredError::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.6124)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    RootMeanSquaredError {}
    |self, y_true, y_pred, sample_weight| {
        sums_of(&losses::MeanSquaredError::default(), y_true, y_pred, sample_weight)
    }

    fn result(&self, totals: &[Vec<f64>], samples: f64) -> Figure {
        mean_of(totals, samples).sqrt().into()
    }

    metric!(@larger false);
}

metric! {
    /// The cosine of the angle between targets and predictions, 1 where they are alike (the loss of this name is the
    /// negative).
    ///
    /// ```
    /// use wgtensor::nn::metrics::{CosineSimilarity, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let figure = CosineSimilarity::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.9828)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CosineSimilarity {
        /// The axis of the vectors.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        sums_of(&losses::CosineSimilarity::default().axis(self.axis), y_true, y_pred, sample_weight)
    }

    fn result(&self, totals: &[Vec<f64>], samples: f64) -> Figure {
        (-mean_of(totals, samples)).into()
    }

    metric!(@larger true);
}
