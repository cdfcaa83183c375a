//! How much of the targets' variation predictions explain.

use super::{Figure, mean_sums, metric, ratio};
use crate::Tensor;
use crate::error::Result;
use crate::nn::config::choices;
use crate::nn::losses::{EPSILON, align_weight, fit_targets};

/// How the scores of several outputs become one.
///
/// ```
/// use wgtensor::nn::metrics::{ClassAggregation, Metric, R2Score};
///
/// let by_name = R2Score::new().class_aggregation("uniform_average");
/// let by_value = R2Score::new().class_aggregation(ClassAggregation::UniformAverage);
/// assert_eq!(by_name.config()?, by_value.config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassAggregation {
    /// Their mean.
    UniformAverage,
    /// Their mean, each weighed by its targets' variance.
    VarianceWeightedAverage,
}

choices! { ClassAggregation, "class aggregation", "\"uniform_average\", \"variance_weighted_average\" or null":
    "uniform_average" => ClassAggregation::UniformAverage,
    "variance_weighted_average" => ClassAggregation::VarianceWeightedAverage,
}

metric! {
    /// The coefficient of determination: 1 less what is left of the targets' variance; targets and predictions
    /// `(samples, outputs)`.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, R2Score};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [2.0], [4.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32], [2.0], [3.5]], &device)?;
    /// let figure = R2Score::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.8929)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    R2Score {
        /// How the outputs become one figure; one for each where it is not set.
        class_aggregation: Option<ClassAggregation> = Some(ClassAggregation::UniformAverage),
        /// How many variables the predictions are made from; the score is adjusted for them.
        num_regressors: usize = 0,
    }
    |self, y_true, y_pred, sample_weight| {
        let y_true = fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?;
        let weight = match sample_weight {
            Some(weight) => align_weight(weight, &y_true)?.broadcast_to(y_true.shape())?,
            None => Tensor::ones(y_true.shape(), y_true.dtype(), y_true.device())?,
        };
        let total = |x: Tensor| x.mul(&weight)?.sum(0);
        let error = y_true.sub(y_pred)?.square()?;
        Ok(vec![total(y_true.square()?)?, total(y_true.clone())?, total(error)?, weight.sum(0)?])
    }

    fn result(&self, totals: &[Vec<f64>], samples: f64) -> Figure {
        let variances: Vec<f64> =
            (0..totals[0].len()).map(|i| totals[0][i] - totals[1][i] * ratio(totals[1][i], totals[3][i])).collect();
        let score = |(error, variance): (&f64, &f64)| {
            let score = 1.0 - error / variance;
            if score.is_infinite() { 0.0 } else { score }
        };
        let scores: Vec<f64> = totals[2].iter().zip(&variances).map(score).collect();
        let one = match self.class_aggregation {
            None => return Figure::Many(scores),
            Some(ClassAggregation::UniformAverage) => ratio(scores.iter().sum(), scores.len() as f64),
            Some(ClassAggregation::VarianceWeightedAverage) => {
                let weighed: f64 = scores.iter().zip(&variances).map(|(score, variance)| score * variance).sum();
                ratio(weighed, variances.iter().sum())
            }
        };
        let left = samples - self.num_regressors as f64 - 1.0;
        // As in Keras, with too few samples for the adjustment the plain score stands.
        if self.num_regressors == 0 || left <= 0.0 { one.into() } else { (1.0 - (1.0 - one) * (samples - 1.0) / left).into() }
    }

    metric!(@larger true);
}

/// `x` less its mean along an axis.
fn centred(x: &Tensor, axis: isize) -> Result<Tensor> {
    x.sub(x.mean_keepdims(axis)?)
}

metric! {
    /// Pearson's correlation of targets and predictions along an axis, the mean over the rest.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, PearsonCorrelation};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0, 4.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0, 3.5]], &device)?;
    /// let figure = PearsonCorrelation::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.9959)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    PearsonCorrelation {
        /// The axis along which they are compared.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let unit = |x: &Tensor| {
            let x = centred(x, self.axis)?;
            x.div(x.square()?.sum_keepdims(self.axis)?.maximum(EPSILON * EPSILON)?.sqrt()?)
        };
        let y_true = fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?;
        mean_sums(&unit(&y_true)?.mul(unit(y_pred)?)?.sum(self.axis)?, sample_weight)
    }
    metric!(@larger true);
}

metric! {
    /// Lin's concordance of targets and predictions along an axis, `2 cov / (var + var + (difference of means)^2)`, the
    /// mean over the rest.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{ConcordanceCorrelation, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0, 4.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0, 3.5]], &device)?;
    /// let figure = ConcordanceCorrelation::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.9268)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ConcordanceCorrelation {
        /// The axis along which they are compared.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let axis = self.axis;
        let y_true = fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?;
        let covariance = centred(&y_true, axis)?.mul(centred(y_pred, axis)?)?.mean(axis)?;
        let apart = y_true.mean(axis)?.sub(y_pred.mean(axis)?)?.square()?;
        let all = y_true.var(axis)?.add(y_pred.var(axis)?)?.add(apart)?.add(EPSILON)?;
        mean_sums(&covariance.mul(2.0)?.div(all)?, sample_weight)
    }
    metric!(@larger true);
}
