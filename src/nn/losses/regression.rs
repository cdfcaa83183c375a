//! Losses that are a mean or a sum of a pointwise formula.

use super::{EPSILON, Reduction, loss};
use crate::Tensor;
use crate::error::Result;
use crate::nn::config::{nonnegative, positive};

loss! {
    /// `mean((t - p)^2)` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, MeanSquaredError};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = MeanSquaredError::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.3750");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MeanSquaredError {}
    |self, t, p| { p.sub(t)?.square()?.mean(-1) }
}

loss! {
    /// `mean(|t - p|)` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, MeanAbsoluteError};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = MeanAbsoluteError::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.5000");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MeanAbsoluteError {}
    |self, t, p| { p.sub(t)?.abs()?.mean(-1) }
}

loss! {
    /// `100 mean(|t - p| / max(|t|, 1e-7))` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, MeanAbsolutePercentageError};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = MeanAbsolutePercentageError::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "23.3333");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MeanAbsolutePercentageError {}
    |self, t, p| { t.sub(p)?.div(t.abs()?.maximum(EPSILON)?)?.abs()?.mean(-1)?.mul(100.0) }
}

loss! {
    /// `mean((ln(t + 1) - ln(p + 1))^2)` over the last axis, with `t` and `p` at least 1e-7.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, MeanSquaredLogarithmicError};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = MeanSquaredLogarithmicError::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.0347");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MeanSquaredLogarithmicError {}
    |self, t, p| {
        let log = |x: &Tensor| x.maximum(EPSILON)?.add(1.0)?.log();
        log(p)?.sub(log(t)?)?.square()?.mean(-1)
    }
}

loss! {
    /// `mean(ln cosh(p - t))` over the last axis; does not overflow.
    ///
    /// ```
    /// use wgtensor::nn::losses::{LogCosh, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = LogCosh::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.1685");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    LogCosh {}
    |self, t, p| {
        let x = p.sub(t)?;
        x.mul(-2.0)?.softplus()?.add(&x)?.sub(std::f64::consts::LN_2)?.mean(-1)
    }
}

loss! {
    /// `sum(t ln(t / p))` over the last axis, with `t` and `p` clipped to 1e-7..1.
    ///
    /// ```
    /// use wgtensor::nn::losses::{KLDivergence, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let loss = KLDivergence::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.9163");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    KLDivergence {}
    |self, t, p| {
        let (t, p) = (t.clip(EPSILON, 1.0)?, p.clip(EPSILON, 1.0)?);
        t.div(&p)?.log()?.mul(&t)?.sum(-1)
    }
}

loss! {
    /// `mean(p - t ln(p + 1e-7))` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, Poisson};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = Poisson::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "-0.3487");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Poisson {}
    |self, t, p| { p.sub(p.add(EPSILON)?.log()?.mul(t)?)?.mean(-1) }
}

loss! {
    /// `mean(max(1 - t p, 0))` over the last axis; targets -1 or 1 (0 is taken for -1).
    ///
    /// ```
    /// use wgtensor::nn::losses::{Hinge, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, -1.0], [1.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.5f32, 0.5], [2.0, -0.5]], &device)?;
    /// let loss = Hinge::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.8750");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Hinge {}
    |self, t, p| { hinge_margin(t, p)?.mean(-1) }
}

loss! {
    /// `mean(max(1 - t p, 0)^2)` over the last axis; targets -1 or 1 (0 is taken for -1).
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, SquaredHinge};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, -1.0], [1.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.5f32, 0.5], [2.0, -0.5]], &device)?;
    /// let loss = SquaredHinge::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "1.1875");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SquaredHinge {}
    |self, t, p| { hinge_margin(t, p)?.square()?.mean(-1) }
}

loss! {
    /// `max(max((1 - t) p) - sum(t p) + 1, 0)` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{CategoricalHinge, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let loss = CategoricalHinge::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.8000");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CategoricalHinge {}
    |self, t, p| {
        let right = t.mul(p)?.sum(-1)?;
        let wrong = t.neg()?.add(1.0)?.mul(p)?.max(-1)?;
        wrong.sub(right)?.add(1.0)?.maximum(0.0)
    }
}

loss! {
    /// `-sum(t/|t| * p/|p|)` over an axis: -1 is alike.
    ///
    /// ```
    /// use wgtensor::nn::losses::{CosineSimilarity, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = CosineSimilarity::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "-0.9828");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CosineSimilarity {
        /// The axis of the vectors.
        axis: isize = -1,
    }
    |self, t, p| {
        // Keras divides by max(|x|, 1e-7).
        let unit = |x: &Tensor| x.div(x.square()?.sum_keepdims(self.axis)?.maximum(EPSILON * EPSILON)?.sqrt()?);
        unit(t)?.mul(unit(p)?)?.sum(self.axis)?.neg()
    }
}

loss! {
    /// `1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7)` over the whole batch, or over some axes.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Dice, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 0.0], [1.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.8f32, 0.2], [0.6, 0.9]], &device)?;
    /// let loss = Dice::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.1636");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Dice {
        /// The axes summed over; all of them where it is not set.
        axis: Option<Vec<isize>> = None,
    }
    |self, t, p| {
        let both = overlap(t, p, &self.axis)?.mul(2.0)?;
        let sizes = over(t, &self.axis)?.add(over(p, &self.axis)?)?;
        both.div(sizes.add(EPSILON)?)?.neg()?.add(1.0)
    }
}

loss! {
    /// `1 - sum(t p) / (sum(t p) + alpha fp + beta fn + 1e-7)` over the whole batch, or over some axes, with the false
    /// positives `fp = sum(p (1 - t))` and the false negatives `fn = sum(t (1 - p))` (Salehi et al., 2017).
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, Tversky};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 0.0], [1.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.8f32, 0.2], [0.6, 0.9]], &device)?;
    /// let loss = Tversky::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.1636");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Tversky {
        /// The weight of false positives.
        alpha: f64 where nonnegative = 0.5,
        /// The weight of false negatives.
        beta: f64 where nonnegative = 0.5,
        /// The axes summed over; all of them where it is not set.
        axis: Option<Vec<isize>> = None,
    }
    |self, t, p| {
        let both = overlap(t, p, &self.axis)?;
        let false_positives = over(p, &self.axis)?.sub(&both)?.mul(self.alpha)?;
        let false_negatives = over(t, &self.axis)?.sub(&both)?.mul(self.beta)?;
        let all = both.add(false_positives)?.add(false_negatives)?.add(EPSILON)?;
        both.div(all)?.neg()?.add(1.0)
    }
}

/// The sum over these axes, or over all.
fn over(x: &Tensor, axes: &Option<Vec<isize>>) -> Result<Tensor> {
    axes.as_ref().map_or_else(|| x.sum(()), |axes| x.sum(&axes[..]))
}

fn overlap(t: &Tensor, p: &Tensor, axes: &Option<Vec<isize>>) -> Result<Tensor> {
    over(&t.mul(p)?, axes)
}

/// `max(1 - t p, 0)`. Where every target is 0 or 1, zeros become -1.
fn hinge_margin(t: &Tensor, p: &Tensor) -> Result<Tensor> {
    let binary = t.eq(0.0)?.logical_or(t.eq(1.0)?)?.all(())?;
    let t = binary.where_(t.mul(2.0)?.sub(1.0)?, t)?;
    t.mul(p)?.neg()?.add(1.0)?.maximum(0.0)
}

loss! {
    /// Quadratic below `delta`, linear above: `mean(e^2 / 2)` or `mean(delta |e| - delta^2 / 2)` over the last axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Huber, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32, 2.0], [3.0, 5.0]], &device)?;
    /// let y_pred = Tensor::new([[1.5f32, 2.0], [2.0, 5.5]], &device)?;
    /// let loss = Huber::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.1875");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Huber {
        /// Where the loss turns linear.
        delta: f64 where positive = 1.0,
    }
    |self, t, p| {
        let error = p.sub(t)?;
        let size = error.abs()?;
        let linear = size.mul(self.delta)?.sub(0.5 * self.delta * self.delta)?;
        size.le(self.delta)?.where_(error.square()?.mul(0.5)?, linear)?.mean(-1)
    }
}
