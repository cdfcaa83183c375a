//! Losses: Keras's, with its formulas, reductions and clipping.

mod crossentropy;
mod regression;

pub(crate) use crossentropy::class_numbers;
pub use crossentropy::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
};
pub use regression::{
    CategoricalHinge, CosineSimilarity, Dice, Hinge, Huber, KLDivergence, LogCosh, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SquaredHinge, Tversky,
};

use crate::Tensor;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::{Class, Config, by_name, choices, classes, from_config, unwritten};
use crate::nn::names::{snake_case, with_batch};

/// Keras's fuzz factor: probabilities are kept this far from 0 and 1.
pub(crate) const EPSILON: f64 = 1e-7;

/// How the losses of the samples become one number.
///
/// ```
/// use wgtensor::nn::losses::{Loss, MeanSquaredError, Reduction};
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let (t, p) = (Tensor::new([[1.0f32], [2.0]], &device)?, Tensor::new([[2.0f32], [4.0]], &device)?);
/// let each = MeanSquaredError::new().reduction(Reduction::None).compute(&t, &p, None)?;
/// assert_eq!(each.to_vec::<f32>()?, [1.0, 4.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// The sum, divided by the number of values that count (not by the sum of the weights). The default.
    #[default]
    SumOverBatchSize,
    /// The sum.
    Sum,
    /// The weighted sum, divided by the sum of the weights; 0 where they sum to 0.
    MeanWithSampleWeight,
    /// No reduction: one loss a sample.
    None,
}

choices! { Reduction, "reduction", "the name of a reduction":
    "sum_over_batch_size" => Reduction::SumOverBatchSize,
    "sum" => Reduction::Sum,
    "mean_with_sample_weight" => Reduction::MeanWithSampleWeight,
    "none" => Reduction::None,
    "mean" => Reduction::SumOverBatchSize,
}

/// A measure of how far predictions are from targets.
///
/// Implement it for a loss of your own; only [`values`](Loss::values) and [`class_name`](Loss::class_name) are required.
///
/// ```
/// use wgtensor::nn::losses::Loss;
/// use wgtensor::{Device, Result, Tensor};
///
/// /// The greatest error of a sample.
/// struct Worst;
/// impl Loss for Worst {
///     fn class_name(&self) -> &'static str {
///         "Worst"
///     }
///     fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
///         y_true.sub(y_pred)?.abs()?.max(-1)
///     }
/// }
///
/// let (t, p) = (Tensor::new([[1.0f32, 2.0]], &Device::cpu())?, Tensor::new([[1.5f32, 4.0]], &Device::cpu())?);
/// assert_eq!(Worst.compute(&t, &p, None)?.item::<f32>()?, 2.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Loss: Send + Sync {
    /// The name of its type.
    fn class_name(&self) -> &'static str;

    /// Its name: the type's in snake case.
    fn name(&self) -> String {
        snake_case(self.class_name())
    }

    /// Its class and settings, from which [`from_config`](trait.Loss.html#method.from_config) makes it again.
    ///
    /// # Errors
    /// Settings that make no sense, or a loss that does not implement this.
    fn config(&self) -> Result<Config> {
        Err(unwritten(&format!("The loss `{}`", self.class_name())))
    }

    /// Refuses settings that make no sense; called when a model is compiled, and by [`compute`](Loss::compute).
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// One loss for each sample (and for each position in it that has its own targets), not yet weighted or reduced.
    /// `y_true` has the type of `y_pred`, unless [`keeps_integers`](Loss::keeps_integers).
    ///
    /// # Errors
    /// Shapes that do not belong together.
    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor>;

    /// How the values are reduced.
    fn reduction(&self) -> Reduction {
        Reduction::default()
    }

    /// Whether integer targets are class numbers, to be left as they are.
    fn keeps_integers(&self) -> bool {
        false
    }

    /// Which of the [`values`](Loss::values) count: booleans of their shape, or `None` where all do. Values that do not
    /// count must be 0; they are left out of the number that a mean divides by.
    ///
    /// # Errors
    /// Shapes that do not belong together.
    fn mask(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Option<Tensor>> {
        let _ = (y_true, y_pred);
        Ok(None)
    }

    /// The loss of a batch: a scalar, unless the reduction is [`Reduction::None`].
    ///
    /// Targets `(n,)` for predictions `(n, 1)` are reshaped. `sample_weight` has one weight a sample.
    ///
    /// # Errors
    /// Targets whose shape is not that of the predictions.
    #[track_caller]
    fn compute(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Tensor> {
        entry(|| {
            self.check()?;
            let y_true = match self.keeps_integers() {
                true => y_true.clone(),
                false => fit_targets(y_true, y_pred)?.cast(y_pred.dtype())?,
            };
            let mut values = self.values(&y_true, y_pred)?;
            let count = values.numel();
            let mask = self.mask(&y_true, y_pred)?.map(|mask| mask.cast(values.dtype())).transpose()?;
            let weight = masked_weight(sample_weight, mask.as_ref(), &values)?;
            if let Some(weight) = &weight {
                values = values.mul(weight)?;
            }
            match (self.reduction(), weight, mask) {
                (Reduction::None, ..) => Ok(values),
                (Reduction::Sum, ..) => values.sum(()),
                (Reduction::MeanWithSampleWeight, Some(weight), _) => divide_no_nan(&values.sum(())?, &weight.sum(())?),
                (_, _, Some(mask)) => divide_no_nan(&values.sum(())?, &mask.sum(())?),
                // As a product: an empty batch gives 0, not 0/0.
                _ => values.sum(())?.mul(1.0 / count.max(1) as f64),
            }
        })
    }
}

impl dyn Loss {
    /// The loss of a configuration.
    ///
    /// # Errors
    /// A class that is no standard loss, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Loss>> {
        from_config(CLASSES, "loss", config)
    }
}

impl<L: Loss + ?Sized> Loss for Box<L> {
    fn class_name(&self) -> &'static str {
        (**self).class_name()
    }
    fn name(&self) -> String {
        (**self).name()
    }
    fn config(&self) -> Result<Config> {
        (**self).config()
    }
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn values(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        (**self).values(y_true, y_pred)
    }
    fn reduction(&self) -> Reduction {
        (**self).reduction()
    }
    fn keeps_integers(&self) -> bool {
        (**self).keeps_integers()
    }
    fn mask(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Option<Tensor>> {
        (**self).mask(y_true, y_pred)
    }
    fn compute(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<Tensor> {
        entry(|| (**self).compute(y_true, y_pred, sample_weight))
    }
}

/// `a / b`, and 0 where `b` is 0.
fn divide_no_nan(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let divisible = b.ne(0.0)?;
    divisible.where_(a, 0.0)?.div(divisible.where_(b, 1.0)?)
}

/// Targets in the shape of the predictions, where they differ by a last dimension of 1 only.
pub(crate) fn fit_targets(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = (y_true.dims(), y_pred.dims());
    if t == p {
        return Ok(y_true.clone());
    }
    if t.strip_suffix(&[1]) == Some(p) || p.strip_suffix(&[1]) == Some(t) {
        return y_true.reshape(y_pred.shape());
    }
    let shown = |s: &[usize]| with_batch(s.get(1..).unwrap_or_default());
    let (target, output) = (shown(t), shown(p));
    Err(Error::parts(
        Kind::Shape,
        &format!(
            "Arguments `target` and `output` must have the same shape. \
             Received: target.shape={target}, output.shape={output}"
        ),
        &format!("targets of shape {} for predictions of shape {}", y_true.shape(), y_pred.shape()),
        "one target for each output of each sample",
        "Give the last layer as many units as the targets have columns, or reshape the targets",
    ))
}

/// Weights `(n,)` or `(n, 1)` against values `(n, ...)`: trailing dimensions of 1 are added or dropped.
pub(crate) fn align_weight(weight: &Tensor, values: &Tensor) -> Result<Tensor> {
    let weight = weight.cast(values.dtype())?;
    if weight.rank() == values.rank() {
        return Ok(weight);
    }
    let mut dims = weight.dims().to_vec();
    while dims.len() > values.rank() && dims.last() == Some(&1) {
        dims.pop();
    }
    dims.resize(dims.len().max(values.rank()), 1);
    weight.reshape(dims)
}

/// Sample weights in the shape of the values, 0 where a mask (of numbers) leaves values out.
pub(crate) fn masked_weight(weight: Option<&Tensor>, mask: Option<&Tensor>, values: &Tensor) -> Result<Option<Tensor>> {
    match (weight, mask) {
        (Some(weight), Some(mask)) => align_weight(weight, values)?.mul(mask).map(Some),
        (Some(weight), None) => align_weight(weight, values).map(Some),
        (None, mask) => Ok(mask.cloned()),
    }
}

/// What can be given to `compile` as a loss: a [`Loss`], or its Keras name.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let mut model = Sequential::new().add(Dense::new(1).activation(Sigmoid));
/// model.compile("adam", "binary_crossentropy", ())?;
/// model.compile("adam", BinaryCrossentropy::new().label_smoothing(0.1), ())?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoLoss {
    /// The loss, if the name is known. `None` stands for `"crossentropy"`, chosen by the shapes of the first batch.
    fn into_loss(self) -> Result<Option<Box<dyn Loss>>>;
}

impl<L: Loss + 'static> IntoLoss for L {
    fn into_loss(self) -> Result<Option<Box<dyn Loss>>> {
        Ok(Some(Box::new(self)))
    }
}

impl IntoLoss for &str {
    fn into_loss(self) -> Result<Option<Box<dyn Loss>>> {
        if self == "crossentropy" || self == "ce" {
            return Ok(None);
        }
        by_name(CLASSES, "loss", self).map(Some)
    }
}

/// The standard losses.
const CLASSES: &[Class<dyn Loss>] = classes! { dyn Loss:
    BinaryCrossentropy "bce",
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence "kld",
    LogCosh,
    MeanAbsoluteError "mae",
    MeanAbsolutePercentageError "mape",
    MeanSquaredError "mse",
    MeanSquaredLogarithmicError "msle",
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
};

/// Whether a standard loss has this class.
pub(crate) fn has(class: &str) -> bool {
    CLASSES.iter().any(|known| known.name == class)
}

/// A loss, declared: its documentation, its settings, its values, and what else it has of [`Loss`].
/// Every loss has the setting `reduction`.
macro_rules! loss {
    (
        $(#[$meta:meta])*
        $name:ident { $($settings:tt)* }
        |$this:ident, $t:ident, $p:ident| $values:block
        $($more:tt)*
    ) => {
        $crate::nn::config::declare! {
            $(#[$meta])*
            #[derive(Clone, Debug)]
            pub struct $name {
                $($settings)*
                /// How the losses of the samples become one number.
                reduction: $crate::nn::losses::Reduction = Reduction::SumOverBatchSize,
            }
        }

        impl $crate::nn::losses::Loss for $name {
            $crate::nn::config::declared!("keras.losses");

            fn values(&$this, $t: &Tensor, $p: &Tensor) -> Result<Tensor> $values

            fn reduction(&self) -> Reduction {
                self.reduction
            }

            $($more)*
        }
    };
}
pub(crate) use loss;

#[cfg(all(test, feature = "cpu"))]
mod tests;
