//! Cross-entropies.

use super::{EPSILON, Loss, Reduction, reduced};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::nn::names::with_batch;

/// Keeps probabilities where their logarithm and its gradient are finite.
fn clip(p: &Tensor) -> Result<Tensor> {
    p.clip(EPSILON, 1.0 - EPSILON)
}

/// The logarithms of class probabilities, from logits or from (renormalised, clipped) probabilities.
fn log_probabilities(y_pred: &Tensor, from_logits: bool) -> Result<Tensor> {
    if from_logits {
        return y_pred.log_softmax(-1);
    }
    clip(&y_pred.div(y_pred.sum_keepdims(-1)?)?)?.log()
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

/// The builder methods of a loss that takes probabilities or logits.
macro_rules! logits {
    () => {
        /// Whether predictions are logits instead of probabilities; they are probabilities by default.
        pub fn from_logits(mut self, yes: bool) -> Self {
            self.from_logits = yes;
            self
        }
    };
}
macro_rules! smoothed {
    () => {
        /// Mixes this share of the uniform distribution into the targets.
        pub fn label_smoothing(mut self, share: f64) -> Self {
            self.label_smoothing = share;
            self
        }
    };
}

/// Cross-entropy of targets 0 or 1: `-mean(t ln p + (1 - t) ln(1 - p))` over the last axis.
#[derive(Clone, Debug, Default)]
pub struct BinaryCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: Reduction,
}

impl BinaryCrossentropy {
    logits!();
    smoothed!();
    reduced!();
}

impl Loss for BinaryCrossentropy {
    fn name(&self) -> String {
        "binary_crossentropy".into()
    }

    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        binary(&smooth(y_true, self.label_smoothing, 2.0)?, y_pred, self.from_logits)?.mean(-1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}

/// Binary cross-entropy times `(1 - p_t)^gamma`, which lets hard samples count more (Lin et al., 2017).
#[derive(Clone, Debug)]
pub struct BinaryFocalCrossentropy {
    gamma: f64,
    alpha: Option<f64>,
    from_logits: bool,
    label_smoothing: f64,
    reduction: Reduction,
}

impl Default for BinaryFocalCrossentropy {
    fn default() -> Self {
        BinaryFocalCrossentropy {
            gamma: 2.0,
            alpha: None,
            from_logits: false,
            label_smoothing: 0.0,
            reduction: Reduction::default(),
        }
    }
}

impl BinaryFocalCrossentropy {
    /// The focusing exponent; 2 by default.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// Balances the classes: weight `alpha` for targets of 1 and `1 - alpha` for 0. Off by default.
    pub fn class_balancing(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    logits!();
    smoothed!();
    reduced!();
}

impl Loss for BinaryFocalCrossentropy {
    fn name(&self) -> String {
        "binary_focal_crossentropy".into()
    }

    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        let t = smooth(y_true, self.label_smoothing, 2.0)?;
        let p = if self.from_logits { y_pred.sigmoid()? } else { y_pred.clone() };
        let other = t.neg()?.add(1.0)?;
        let missed = t.mul(p.neg()?.add(1.0)?)?.add(other.mul(&p)?)?;
        let focus = if self.gamma == 2.0 { missed.square()? } else { missed.pow(self.gamma)? };
        let mut loss = binary(&t, &p, false)?.mul(focus)?;
        if let Some(alpha) = self.alpha {
            loss = loss.mul(t.mul(alpha)?.add(other.mul(1.0 - alpha)?)?)?;
        }
        loss.mean(-1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}

/// Cross-entropy of one-hot (or soft) targets: `-sum(t ln p)` over the classes, the last axis.
///
/// Probabilities are renormalised to sum 1 and clipped, as in Keras.
#[derive(Clone, Debug, Default)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: Reduction,
}

impl CategoricalCrossentropy {
    logits!();
    smoothed!();
    reduced!();
}

impl Loss for CategoricalCrossentropy {
    fn name(&self) -> String {
        "categorical_crossentropy".into()
    }

    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        let classes = y_true.dims().last().copied().unwrap_or(1) as f64;
        let t = smooth(y_true, self.label_smoothing, classes)?;
        log_probabilities(y_pred, self.from_logits)?.mul(t)?.sum(-1)?.neg()
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}

/// Cross-entropy of class numbers: `-ln p[class]`.
///
/// Probabilities are renormalised to sum 1 and clipped, as in Keras. A number outside the classes is an error in data given
/// to `fit` and `evaluate`. Where the loss is called by hand with numbers computed on the device, the loss and the gradient
/// of one outside are NaN.
#[derive(Clone, Debug, Default)]
pub struct SparseCategoricalCrossentropy {
    from_logits: bool,
    ignore_class: Option<i32>,
    reduction: Reduction,
}

impl SparseCategoricalCrossentropy {
    /// Targets of this class cost nothing and do not count in the mean (padding, say).
    pub fn ignore_class(mut self, class: i32) -> Self {
        self.ignore_class = Some(class);
        self
    }

    logits!();
    reduced!();
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

impl Loss for SparseCategoricalCrossentropy {
    fn name(&self) -> String {
        "sparse_categorical_crossentropy".into()
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
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
        let hot = numbers.one_hot(classes, y_pred.dtype())?;
        let losses = log_probabilities(y_pred, self.from_logits)?.mul(hot)?.sum(-1)?.neg()?;
        // A factor and not a choice, so that the gradient is NaN as well.
        let losses = losses.mul(known.where_(1.0, f64::NAN)?.cast(y_pred.dtype())?)?;
        match counted {
            Some(counted) => counted.where_(losses, 0.0),
            None => Ok(losses),
        }
    }

    fn mask(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Option<Tensor>> {
        let Some(class) = self.ignore_class else { return Ok(None) };
        class_numbers(y_true, y_pred)?.cast(DType::I32)?.ne(class).map(Some)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
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
