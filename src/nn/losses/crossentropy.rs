//! Cross-entropies.

use super::{EPSILON, Reduction, loss};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::nn::config::share;
use crate::nn::names::with_batch;

/// Keeps probabilities where their logarithm and its gradient are finite.
fn clip(p: &Tensor) -> Result<Tensor> {
    p.clip(EPSILON, 1.0 - EPSILON)
}

/// The logarithms of class probabilities, from logits or from (renormalised, clipped) probabilities.
fn log_probabilities(y_pred: &Tensor, from_logits: bool, axis: isize) -> Result<Tensor> {
    if from_logits {
        return y_pred.log_softmax(axis);
    }
    clip(&y_pred.div(y_pred.sum_keepdims(axis)?)?)?.log()
}

/// Element by element: `-t ln p - (1 - t) ln(1 - p)`.
fn binary(t: &Tensor, y_pred: &Tensor, from_logits: bool) -> Result<Tensor> {
    let other = t.neg()?.add(1.0)?;
    if from_logits {
        // -ln sigmoid(x) = softplus(-x): finite for any x.
        return t.mul(y_pred.neg()?.softplus()?)?.add(other.mul(y_pred.softplus()?)?);
    }
    let p = clip(y_pred)?;
    t.mul(p.log()?)?.add(other.mul(p.neg()?.add(1.0)?.log()?)?)?.neg()
}

fn smooth(t: &Tensor, smoothing: f64, classes: f64) -> Result<Tensor> {
    if smoothing == 0.0 { Ok(t.clone()) } else { t.mul(1.0 - smoothing)?.add(smoothing / classes) }
}

/// How many classes targets have along an axis.
fn classes_of(t: &Tensor, axis: isize) -> f64 {
    let at = if axis < 0 { axis + t.rank() as isize } else { axis };
    usize::try_from(at).ok().and_then(|at| t.dims().get(at).copied()).unwrap_or(1) as f64
}

loss! {
    /// Cross-entropy of targets 0 or 1: `-mean(t ln p + (1 - t) ln(1 - p))` over an axis.
    ///
    /// ```
    /// use wgtensor::nn::losses::{BinaryCrossentropy, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let loss = BinaryCrossentropy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.5827");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    BinaryCrossentropy {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Mixes this share of the uniform distribution into the targets.
        label_smoothing: f64 where share = 0.0,
        /// The axis that the mean is taken over.
        axis: isize = -1,
    }
    |self, y_true, y_pred| {
        binary(&smooth(y_true, self.label_smoothing, 2.0)?, y_pred, self.from_logits)?.mean(self.axis)
    }
}

loss! {
    /// Binary cross-entropy times `(1 - p_t)^gamma`, which lets hard samples count more (Lin et al., 2017).
    ///
    /// ```
    /// use wgtensor::nn::losses::{BinaryFocalCrossentropy, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let loss = BinaryFocalCrossentropy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.2305");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    BinaryFocalCrossentropy {
        /// Whether to weigh the classes: `alpha` for targets of 1 and `1 - alpha` for 0.
        apply_class_balancing: bool = false,
        /// The weight of targets of 1, where the classes are weighed.
        alpha: f64 = 0.25,
        /// The focusing exponent.
        gamma: f64 = 2.0,
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Mixes this share of the uniform distribution into the targets.
        label_smoothing: f64 where share = 0.0,
        /// The axis that the mean is taken over.
        axis: isize = -1,
    }
    |self, y_true, y_pred| {
        let t = smooth(y_true, self.label_smoothing, 2.0)?;
        let p = if self.from_logits { y_pred.sigmoid()? } else { y_pred.clone() };
        let other = t.neg()?.add(1.0)?;
        let missed = t.mul(p.neg()?.add(1.0)?)?.add(other.mul(&p)?)?;
        let mut loss = binary(&t, &p, false)?.mul(focus(&missed, self.gamma)?)?;
        if self.apply_class_balancing {
            loss = loss.mul(t.mul(self.alpha)?.add(other.mul(1.0 - self.alpha)?)?)?;
        }
        loss.mean(self.axis)
    }
}

/// `missed^gamma`
fn focus(missed: &Tensor, gamma: f64) -> Result<Tensor> {
    if gamma == 2.0 { missed.square() } else { missed.pow(gamma) }
}

loss! {
    /// Cross-entropy of one-hot (or soft) targets: `-sum(t ln p)` over the classes.
    ///
    /// Probabilities are renormalised to sum 1 and clipped, as in Keras.
    ///
    /// ```
    /// use wgtensor::nn::losses::{CategoricalCrossentropy, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let loss = CategoricalCrossentropy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.9163");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CategoricalCrossentropy {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Mixes this share of the uniform distribution into the targets.
        label_smoothing: f64 where share = 0.0,
        /// The axis of the classes.
        axis: isize = -1,
    }
    |self, y_true, y_pred| {
        let t = smooth(y_true, self.label_smoothing, classes_of(y_true, self.axis))?;
        log_probabilities(y_pred, self.from_logits, self.axis)?.mul(t)?.sum(self.axis)?.neg()
    }
}

loss! {
    /// Categorical cross-entropy times `alpha (1 - p)^gamma`, which lets hard samples count more (Lin et al., 2017).
    ///
    /// Probabilities are renormalised to sum 1 and clipped, as in Keras.
    ///
    /// ```
    /// use wgtensor::nn::losses::{CategoricalFocalCrossentropy, Loss};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let loss = CategoricalFocalCrossentropy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.1299");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    CategoricalFocalCrossentropy {
        /// The weight of all classes.
        alpha: f64 = 0.25,
        /// The focusing exponent.
        gamma: f64 = 2.0,
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Mixes this share of the uniform distribution into the targets.
        label_smoothing: f64 where share = 0.0,
        /// The axis of the classes.
        axis: isize = -1,
    }
    |self, y_true, y_pred| {
        let t = smooth(y_true, self.label_smoothing, classes_of(y_true, self.axis))?;
        let p = if self.from_logits { y_pred.softmax(self.axis)? } else { y_pred.clone() };
        let p = clip(&p.div(p.sum_keepdims(self.axis)?)?)?;
        let focus = focus(&p.neg()?.add(1.0)?, self.gamma)?.mul(self.alpha)?;
        p.log()?.mul(t)?.mul(focus)?.sum(self.axis)?.neg()
    }
}

loss! {
    /// Cross-entropy of class numbers: `-ln p[class]`.
    ///
    /// Probabilities are renormalised to sum 1 and clipped, as in Keras. A number outside the classes is an error in data
    /// given to `fit` and `evaluate`. Where the loss is called by hand with numbers computed on the device, the loss and the
    /// gradient of one outside are NaN.
    ///
    /// ```
    /// use wgtensor::nn::losses::{Loss, SparseCategoricalCrossentropy};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([1, 2], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let loss = SparseCategoricalCrossentropy::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{loss:.4}"), "0.9163");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SparseCategoricalCrossentropy {
        /// Targets of this class cost nothing and do not count in the mean (padding, say).
        ignore_class: Option<i32> = None,
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
    }
    |self, y_true, y_pred| {
        let given = class_numbers(y_true, y_pred)?;
        let classes = y_pred.dims().last().copied().unwrap_or(0);
        self.check_range(&given, classes)?;
        let numbers = given.cast(DType::I32)?;
        let mut known = numbers.ge(0)?.logical_and(numbers.lt(classes as f64)?)?;
        if given.dtype().is_float() {
            known = known.logical_and(given.isnan()?.logical_not()?)?;
        }
        let counted = self.mask(y_true, y_pred)?;
        if let Some(counted) = &counted {
            known = known.logical_or(counted.logical_not()?)?;
        }
        // A comparison and a sum instead of a gather: all of it, the softmax before included, is one pass over a row.
        let hot = numbers.one_hot(classes, -1, y_pred.dtype())?;
        let losses = log_probabilities(y_pred, self.from_logits, -1)?.mul(hot)?.sum(-1)?.neg()?;
        // A factor and not a choice, so that the gradient is NaN as well.
        let losses = losses.mul(known.where_(1.0, f64::NAN)?.cast(y_pred.dtype())?)?;
        match counted {
            Some(counted) => counted.where_(losses, 0.0),
            None => Ok(losses),
        }
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn mask(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Option<Tensor>> {
        let Some(class) = self.ignore_class else { return Ok(None) };
        class_numbers(y_true, y_pred)?.cast(DType::I32)?.ne(class).map(Some)
    }
}

/// Class numbers `(..)`, of the type they were given in, for predictions `(.., classes)`, from `(..)` or `(.., 1)`.
pub(crate) fn class_numbers(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = (y_true.dims(), y_pred.dims());
    let expected = &p[..p.len().saturating_sub(1)];
    if t != expected && t.strip_suffix(&[1]) != Some(expected) {
        let shown = |s: &[usize]| with_batch(s.get(1..).unwrap_or_default());
        return Err(Error::parts(
            Kind::Shape,
            &format!(
                "Arguments `target` and `output` must have the same shape up until the last dimension: \
                 target.shape={}, output.shape={}",
                shown(t),
                shown(p)
            ),
            &format!("targets of shape {} for predictions of shape {}", y_true.shape(), y_pred.shape()),
            "one class number for each sample",
            "Give class numbers, or use `categorical_crossentropy` for one-hot targets",
        ));
    }
    if t == expected { Ok(y_true.clone()) } else { y_true.reshape(expected) }
}

impl SparseCategoricalCrossentropy {
    /// Refuses numbers known (because they came from the host) to be outside the classes.
    fn check_range(&self, numbers: &Tensor, classes: usize) -> Result<()> {
        let Some((low, high)) = numbers.bounds() else { return Ok(()) };
        let ignored = self.ignore_class.map(i64::from);
        let outside = |number: &i64| !(0..classes as i64).contains(number) && Some(*number) != ignored;
        let Some(number) = [low, high].into_iter().find(outside) else { return Ok(()) };
        Err(Error::parts(
            Kind::Index,
            "A target is outside the classes of the model",
            &format!("label {number} for {classes} classes"),
            &format!("labels from 0 to {}", classes as i64 - 1),
            "Number the classes from 0, give the last layer as many units as there are classes, or set `ignore_class`",
        ))
    }
}
