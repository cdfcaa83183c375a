//! How often a prediction is right.

use super::{mean_sums, metric};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::Result;
use crate::nn::config::{positive, share};
use crate::nn::losses::{class_numbers, fit_targets};

/// 1 where equal and neither the target nor the prediction is NaN, else 0: a NaN is never right.
fn hits(equal: &Tensor, sources: [&Tensor; 2]) -> Result<Tensor> {
    let mut right = equal.clone();
    for source in sources.into_iter().filter(|t| t.dtype().is_float()) {
        let mut nan = source.isnan()?;
        if nan.rank() > equal.rank() {
            nan = nan.any(-1)?;
        }
        right = right.logical_and(nan.logical_not()?)?;
    }
    right.cast(DType::F32)
}

metric! {
    /// How often a probability is on the target's side of a threshold.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{BinaryAccuracy, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = BinaryAccuracy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    BinaryAccuracy {
        /// Above this a prediction counts as 1.
        threshold: f64 where share = 0.5,
    }
    |self, y_true, y_pred, sample_weight| {
        let y_true = fit_targets(y_true, y_pred)?;
        let equal = y_pred.gt(self.threshold)?.cast(y_true.dtype())?.eq(&y_true)?;
        mean_sums(&hits(&equal, [&y_true, y_pred])?, sample_weight)
    }
    metric!(@larger true);
}

metric! {
    /// How often the largest probability is that of the one-hot target.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{CategoricalAccuracy, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = CategoricalAccuracy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CategoricalAccuracy {}
    |self, y_true, y_pred, sample_weight| {
        let y_true = fit_targets(y_true, y_pred)?;
        let equal = y_true.argmax(-1)?.eq(&y_pred.argmax(-1)?)?;
        mean_sums(&hits(&equal, [&y_true, y_pred])?, sample_weight)
    }
    metric!(@larger true);
}

metric! {
    /// How often the largest probability is that of the target class.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, SparseCategoricalAccuracy};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([1, 2], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = SparseCategoricalAccuracy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SparseCategoricalAccuracy {}
    |self, y_true, y_pred, sample_weight| {
        let classes = class_numbers(y_true, y_pred)?;
        let equal = classes.eq(&y_pred.argmax(-1)?.cast(classes.dtype())?)?;
        mean_sums(&hits(&equal, [&classes, y_pred])?, sample_weight)
    }
    metric!(@larger true);
}

/// Whether the class is among the `k` largest probabilities; equal ones count for it.
fn among_largest(classes: &Tensor, y_pred: &Tensor, k: usize) -> Result<Tensor> {
    // In the top k if fewer than k classes are more probable: no sorting.
    let hot = classes.one_hot(y_pred.dims().last().copied().unwrap_or(0), -1, y_pred.dtype())?;
    let own = y_pred.mul(hot)?.sum_keepdims(-1)?;
    let better = y_pred.gt(own)?.cast(DType::F32)?.sum(-1)?;
    better.lt(k as f64)
}

metric! {
    /// How often the class of the one-hot target is among the `k` largest probabilities; equal ones count for the target.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, TopKCategoricalAccuracy};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = TopKCategoricalAccuracy::new().k(2).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    TopKCategoricalAccuracy {
        /// How many probabilities count.
        k: usize where positive = 5,
    }
    |self, y_true, y_pred, sample_weight| {
        let targets = fit_targets(y_true, y_pred)?;
        let among = among_largest(&targets.argmax(-1)?, y_pred, self.k)?;
        mean_sums(&hits(&among, [&targets, y_pred])?, sample_weight)
    }
    metric!(@larger true);
}

metric! {
    /// How often the target class is among the `k` largest probabilities; equal ones count for the target.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, SparseTopKCategoricalAccuracy};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([1, 2], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = SparseTopKCategoricalAccuracy::new().k(2).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SparseTopKCategoricalAccuracy {
        /// How many probabilities count.
        k: usize where positive = 5,
    }
    |self, y_true, y_pred, sample_weight| {
        let targets = class_numbers(y_true, y_pred)?;
        let among = among_largest(&targets.cast(DType::I32)?, y_pred, self.k)?;
        mean_sums(&hits(&among, [&targets, y_pred])?, sample_weight)
    }
    metric!(@larger true);
}
