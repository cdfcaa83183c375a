//! Constraints: what a weight is brought to after a step.

use crate::Tensor;
use crate::error::{Result, entry};
use crate::nn::config::{Class, Config, by_name, classes, declare, declared, from_config, nonnegative, share};

/// What is added to norms before something is divided by them: Keras's fuzz factor.
const EPSILON: f64 = 1e-7;

/// The nearest weight of some kind.
///
/// ```
/// use wgtensor::nn::constraints::{Constraint, NonNeg};
/// use wgtensor::{Device, Tensor};
///
/// let w = Tensor::new([1.0f32, -2.0], &Device::cpu())?;
/// assert_eq!(NonNeg::new().apply(&w)?.to_vec::<f32>()?, [1.0, 0.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Constraint: Send + Sync {
    /// The name of its type.
    fn class_name(&self) -> &'static str;

    /// Its class and settings, from which [`from_config`](trait.Constraint.html#method.from_config) makes it again.
    ///
    /// # Errors
    /// Settings that make no sense.
    fn config(&self) -> Result<Config>;

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()>;

    /// The constrained weight, of the same shape.
    ///
    /// # Errors
    /// A weight that is not floating-point, or that lacks the axis.
    fn apply(&self, weight: &Tensor) -> Result<Tensor>;
}

impl dyn Constraint {
    /// The constraint of a configuration.
    ///
    /// # Errors
    /// A class that is no standard constraint, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Constraint>> {
        from_config(CLASSES, "constraint", config)
    }

    /// The constraint that a string names (`"max_norm"`, `"non_neg"`, ...), with Keras's defaults.
    ///
    /// # Errors
    /// A name that is not known.
    #[track_caller]
    pub fn from_name(name: &str) -> Result<Box<dyn Constraint>> {
        entry(|| by_name(CLASSES, "constraint", name))
    }
}

const CLASSES: &[Class<dyn Constraint>] = classes! { dyn Constraint:
    MaxNorm, MinMaxNorm, NonNeg, UnitNorm,
};

/// The norms of the vectors along an axis.
fn norms(weight: &Tensor, axis: isize) -> Result<Tensor> {
    weight.square()?.sum_keepdims(axis)?.sqrt()
}

declare! {
    /// Vectors along an axis are shortened to a norm.
    ///
    /// ```
    /// use wgtensor::nn::constraints::{Constraint, MaxNorm};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([[3.0f32], [4.0]], &Device::cpu())?;
    /// assert_eq!(format!("{:.3}", MaxNorm::new().max_value(1.0).apply(&w)?), "[[0.600]\n [0.800]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct MaxNorm {
        /// The greatest norm.
        max_value: f64 where nonnegative = 2.0,
        /// The axis of the vectors: 0 for those of a dense layer's units.
        axis: isize = 0,
    }
}

impl Constraint for MaxNorm {
    declared!("keras.constraints");

    fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        let norms = norms(weight, self.axis)?;
        weight.mul(norms.minimum(self.max_value)?.div(norms.add(EPSILON)?)?)
    }
}

declare! {
    /// Vectors along an axis are brought towards norms within bounds.
    ///
    /// ```
    /// use wgtensor::nn::constraints::{Constraint, MinMaxNorm};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([[3.0f32], [4.0]], &Device::cpu())?;
    /// assert_eq!(format!("{:.3}", MinMaxNorm::new().min_value(10.0).max_value(20.0).apply(&w)?), "[[6.000]\n [8.000]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct MinMaxNorm {
        /// The least norm.
        min_value: f64 where nonnegative = 0.0,
        /// The greatest norm.
        max_value: f64 where nonnegative = 1.0,
        /// How much of the way they are brought: 1 for all of it.
        rate: f64 where share = 1.0,
        /// The axis of the vectors.
        axis: isize = 0,
    }
}

impl Constraint for MinMaxNorm {
    declared!("keras.constraints");

    fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        let norms = norms(weight, self.axis)?;
        let within = norms.maximum(self.min_value)?.minimum(self.max_value)?;
        let wanted = within.mul(self.rate)?.add(norms.mul(1.0 - self.rate)?)?;
        weight.mul(wanted.div(norms.add(EPSILON)?)?)
    }
}

declare! {
    /// Negative elements become 0.
    ///
    /// ```
    /// use wgtensor::nn::constraints::{Constraint, NonNeg};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([[3.0f32], [-4.0]], &Device::cpu())?;
    /// assert_eq!(format!("{:.3}", NonNeg::new().apply(&w)?), "[[3.000]\n [0.000]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct NonNeg {}
}

impl Constraint for NonNeg {
    declared!("keras.constraints");

    fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        weight.maximum(0.0)
    }
}

declare! {
    /// Vectors along an axis get the norm 1.
    ///
    /// ```
    /// use wgtensor::nn::constraints::{Constraint, UnitNorm};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([[3.0f32], [4.0]], &Device::cpu())?;
    /// assert_eq!(format!("{:.3}", UnitNorm::new().apply(&w)?), "[[0.600]\n [0.800]]");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct UnitNorm {
        /// The axis of the vectors.
        axis: isize = 0,
    }
}

impl Constraint for UnitNorm {
    declared!("keras.constraints");

    fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        weight.div(norms(weight, self.axis)?.add(EPSILON)?)
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn norms_come_within_their_bounds() -> Result<()> {
        let w = Tensor::new([[3.0, 0.0, 0.3], [4.0, 0.0, 0.4]], &Device::cpu())?;
        let of = |constraint: &dyn Constraint| norms(&constraint.apply(&w)?, 0)?.to_vec::<f64>();
        let near = |got: Vec<f64>, want: [f64; 3]| {
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?}, not {want:?}");
        };
        near(of(&MaxNorm::default().max_value(1.5))?, [1.5, 0.0, 0.5]);
        near(of(&UnitNorm::new())?, [1.0, 0.0, 1.0]);
        near(of(&MinMaxNorm::default().min_value(0.9).max_value(2.0).rate(0.5))?, [3.5, 0.0, 0.7]);
        assert_eq!(NonNeg::new().apply(&w.neg()?)?.to_vec::<f64>()?, [0.0; 6]);
        assert!(UnitNorm::new().axis(2).apply(&w).is_err());
        Ok(())
    }

    #[test]
    fn names_and_configurations() -> Result<()> {
        for (name, class) in
            [("max_norm", "MaxNorm"), ("MinMaxNorm", "MinMaxNorm"), ("non_neg", "NonNeg"), ("unit_norm", "UnitNorm")]
        {
            let made = <dyn Constraint>::from_name(name)?;
            assert_eq!(made.class_name(), class);
            assert_eq!(<dyn Constraint>::from_config(&made.config()?)?.config()?, made.config()?);
        }
        assert!(<dyn Constraint>::from_config(&Config::new("MaxNorm").with("max_value", -1.0)).is_err());
        Ok(())
    }
}
