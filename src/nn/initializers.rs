//! Initial values of weights, with Keras's distributions.

use std::str::FromStr;

use serde_json::Value;

use crate::dtype::DType;
use crate::error::{Error, Result, entry};
use crate::nn::config::{Config, Reader, Setting, any, choices, named, unknown};
use crate::shape::Shape;
use crate::{Device, Tensor};

/// How the initial values of a weight are drawn.
///
/// A string does as well wherever one is taken: `"glorot_uniform"`, `"he_normal"`, `"zeros"`, ...
/// Normal distributions scaled by fan are truncated at two standard deviations, as in Keras.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let small = Initializer::RandomNormal { mean: 0.0, std: 0.01 };
/// let layer = Dense::new(8).kernel_initializer(small).bias_initializer("ones");
/// # drop(layer);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// All this value.
    Constant(f64),
    /// Uniform between two bounds.
    RandomUniform {
        /// Lower bound, included.
        low: f64,
        /// Upper bound, excluded.
        high: f64,
    },
    /// Normal.
    RandomNormal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Normal, redrawn beyond two standard deviations.
    TruncatedNormal {
        /// Mean.
        mean: f64,
        /// Standard deviation before truncation.
        std: f64,
    },
    /// Variance `scale / fan`.
    VarianceScaling {
        /// Numerator of the variance.
        scale: f64,
        /// Which fan divides it.
        fan: Fan,
        /// The distribution drawn from.
        distribution: Distribution,
    },
}

/// The number of connections that scales an initial variance.
///
/// ```
/// use wgtensor::nn::initializers::{Distribution, Fan, Initializer};
///
/// let he = Initializer::VarianceScaling { scale: 2.0, fan: Fan::In, distribution: Distribution::TruncatedNormal };
/// assert_eq!(he.name(), "he_normal");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of a unit.
    In,
    /// Outputs an input feeds.
    Out,
    /// The mean of both.
    Average,
}

/// The distributions of [`Initializer::VarianceScaling`].
///
/// ```
/// use wgtensor::nn::initializers::{Distribution, Fan, Initializer};
///
/// let lecun = Initializer::VarianceScaling { scale: 1.0, fan: Fan::In, distribution: Distribution::Uniform };
/// assert_eq!(lecun.name(), "lecun_uniform");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Uniform.
    Uniform,
    /// Normal truncated at two standard deviations, its variance corrected for the truncation.
    TruncatedNormal,
    /// Normal.
    Normal,
}

const fn scaled(scale: f64, fan: Fan, distribution: Distribution) -> Initializer {
    Initializer::VarianceScaling { scale, fan, distribution }
}

const NAMES: [(&str, Initializer); 12] = [
    ("zeros", Initializer::Zeros),
    ("ones", Initializer::Ones),
    ("random_uniform", Initializer::RandomUniform { low: -0.05, high: 0.05 }),
    ("uniform", Initializer::RandomUniform { low: -0.05, high: 0.05 }),
    ("random_normal", Initializer::RandomNormal { mean: 0.0, std: 0.05 }),
    ("truncated_normal", Initializer::TruncatedNormal { mean: 0.0, std: 0.05 }),
    ("glorot_uniform", Initializer::GLOROT_UNIFORM),
    ("glorot_normal", Initializer::GLOROT_NORMAL),
    ("he_uniform", Initializer::HE_UNIFORM),
    ("he_normal", Initializer::HE_NORMAL),
    ("lecun_uniform", Initializer::LECUN_UNIFORM),
    ("lecun_normal", Initializer::LECUN_NORMAL),
];

impl Initializer {
    /// Glorot and Bengio (2010), uniform: the default of kernels.
    pub const GLOROT_UNIFORM: Initializer = scaled(1.0, Fan::Average, Distribution::Uniform);
    /// Glorot and Bengio (2010), truncated normal.
    pub const GLOROT_NORMAL: Initializer = scaled(1.0, Fan::Average, Distribution::TruncatedNormal);
    /// He et al. (2015), uniform.
    pub const HE_UNIFORM: Initializer = scaled(2.0, Fan::In, Distribution::Uniform);
    /// He et al. (2015), truncated normal.
    pub const HE_NORMAL: Initializer = scaled(2.0, Fan::In, Distribution::TruncatedNormal);
    /// LeCun et al. (1998), uniform.
    pub const LECUN_UNIFORM: Initializer = scaled(1.0, Fan::In, Distribution::Uniform);
    /// LeCun et al. (1998), truncated normal.
    pub const LECUN_NORMAL: Initializer = scaled(1.0, Fan::In, Distribution::TruncatedNormal);

    /// Its Keras name, where it has the parameters that the name stands for.
    pub fn name(&self) -> &'static str {
        NAMES.iter().find(|(_, known)| known == self).map_or("custom", |(name, _)| name)
    }

    /// Draws values of `shape` on `device`: the same for a seed on every device, up to rounding.
    ///
    /// ```
    /// use wgtensor::nn::initializers::Initializer;
    /// use wgtensor::{Device, Shape};
    /// let w = Initializer::GLOROT_UNIFORM.sample(&Shape::new(&[100, 50])?, 7, &Device::cpu())?;
    /// assert!(w.abs()?.max(())?.item::<f32>()? <= (6.0f32 / 150.0).sqrt());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    pub fn sample(&self, shape: &Shape, seed: u64, device: &Device) -> Result<Tensor> {
        match *self {
            Initializer::Zeros => Tensor::zeros(shape, DType::F32, device),
            Initializer::Ones => Tensor::ones(shape, DType::F32, device),
            Initializer::Constant(value) => Tensor::full(shape, value, DType::F32, device),
            Initializer::RandomUniform { low, high } => Tensor::uniform(shape, low, high, seed, device),
            Initializer::RandomNormal { mean, std } => Tensor::normal(shape, mean, std, seed, device),
            Initializer::TruncatedNormal { mean, std } => truncated_normal(shape, mean, std, seed, device),
            Initializer::VarianceScaling { scale, fan, distribution } => {
                let (inputs, outputs) = fans(shape);
                let fan = match fan {
                    Fan::In => inputs,
                    Fan::Out => outputs,
                    Fan::Average => (inputs + outputs) / 2.0,
                };
                let variance = scale / fan.max(1.0);
                match distribution {
                    Distribution::Uniform => {
                        let limit = (3.0 * variance).sqrt();
                        Tensor::uniform(shape, -limit, limit, seed, device)
                    }
                    Distribution::TruncatedNormal => {
                        truncated_normal(shape, 0.0, variance.sqrt() / TRUNCATED_STD, seed, device)
                    }
                    Distribution::Normal => Tensor::normal(shape, 0.0, variance.sqrt(), seed, device),
                }
            }
        }
    }
}

/// The standard deviation of the unit normal truncated at two.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;
/// `erf(2 / sqrt(2))`: the probability within two standard deviations.
const WITHIN_TWO: f64 = 0.954_499_736_103_641_6;

/// By inverting the distribution function: a uniform number within the two-sigma range, so no redrawing.
fn truncated_normal(shape: &Shape, mean: f64, std: f64, seed: u64, device: &Device) -> Result<Tensor> {
    let unit = Tensor::uniform(shape, -WITHIN_TWO, WITHIN_TWO, seed, device)?.erfinv()?;
    unit.mul(std::f64::consts::SQRT_2)?.clip(-2.0, 2.0)?.mul(std)?.add(mean)
}

/// Keras's fan-in and fan-out: dimensions before the last two are the receptive field of a convolution.
fn fans(shape: &[usize]) -> (f64, f64) {
    match *shape {
        [] => (1.0, 1.0),
        [n] => (n as f64, n as f64),
        [ref field @ .., inputs, outputs] => {
            let field: usize = field.iter().product();
            ((inputs * field) as f64, (outputs * field) as f64)
        }
    }
}

impl FromStr for Initializer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, i)| *i).ok_or_else(|| unknown("initializer", name, NAMES.iter().map(|(n, _)| *n)))
    }
}

/// Keras's classes of variance scaling with fixed settings.
const SCALINGS: [(&str, Initializer); 6] = [
    ("GlorotUniform", Initializer::GLOROT_UNIFORM),
    ("GlorotNormal", Initializer::GLOROT_NORMAL),
    ("HeUniform", Initializer::HE_UNIFORM),
    ("HeNormal", Initializer::HE_NORMAL),
    ("LecunUniform", Initializer::LECUN_UNIFORM),
    ("LecunNormal", Initializer::LECUN_NORMAL),
];

impl Initializer {
    /// Its class and settings, from which [`from_config`](Self::from_config) makes it again.
    pub fn config(&self) -> Config {
        let class = |class: &str| Config::in_module("keras.initializers", class);
        if let Some((name, _)) = SCALINGS.iter().find(|(_, scaling)| scaling == self) {
            return class(name);
        }
        match *self {
            Initializer::Zeros => class("Zeros"),
            Initializer::Ones => class("Ones"),
            Initializer::Constant(value) => class("Constant").with("value", value),
            Initializer::RandomUniform { low, high } => {
                class("RandomUniform").with("minval", low).with("maxval", high).with("seed", Value::Null)
            }
            Initializer::RandomNormal { mean, std } => {
                class("RandomNormal").with("mean", mean).with("stddev", std).with("seed", Value::Null)
            }
            Initializer::TruncatedNormal { mean, std } => {
                class("TruncatedNormal").with("mean", mean).with("stddev", std).with("seed", Value::Null)
            }
            Initializer::VarianceScaling { scale, fan, distribution } => class("VarianceScaling")
                .with("scale", scale)
                .with("mode", fan.to_json().unwrap_or_default())
                .with("distribution", distribution.to_json().unwrap_or_default())
                .with("seed", Value::Null),
        }
    }

    /// The initializer of a configuration; settings that are left out have Keras's defaults.
    ///
    /// # Errors
    /// A class that is no standard initializer, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Self> {
        entry(|| {
            let mut reader = Reader::new(config);
            let mut or = |key, default: f64| Ok::<f64, Error>(reader.take(key, any)?.unwrap_or(default));
            let made = match config.class_name() {
                "Zeros" => Initializer::Zeros,
                "Ones" => Initializer::Ones,
                "Constant" => Initializer::Constant(or("value", 0.0)?),
                "RandomUniform" => Initializer::RandomUniform { low: or("minval", -0.05)?, high: or("maxval", 0.05)? },
                "RandomNormal" => Initializer::RandomNormal { mean: or("mean", 0.0)?, std: or("stddev", 0.05)? },
                "TruncatedNormal" => Initializer::TruncatedNormal { mean: or("mean", 0.0)?, std: or("stddev", 0.05)? },
                "VarianceScaling" => Initializer::VarianceScaling {
                    scale: or("scale", 1.0)?,
                    fan: reader.take("mode", any)?.unwrap_or(Fan::In),
                    distribution: reader.take("distribution", any)?.unwrap_or(Distribution::TruncatedNormal),
                },
                name => match SCALINGS.iter().find(|(class, _)| *class == name) {
                    Some((_, scaling)) => *scaling,
                    None => {
                        let others = ["Zeros", "Ones", "Constant", "RandomUniform", "RandomNormal", "TruncatedNormal"];
                        let known = others.into_iter().chain(["VarianceScaling"]).chain(SCALINGS.iter().map(|s| s.0));
                        return Err(unknown("initializer", name, known));
                    }
                },
            };
            reader.finish()?;
            Ok(made)
        })
    }
}

choices! { Fan, "mode", "\"fan_in\", \"fan_out\" or \"fan_avg\"":
    "fan_in" => Fan::In,
    "fan_out" => Fan::Out,
    "fan_avg" => Fan::Average,
}

choices! { Distribution, "distribution", "\"uniform\", \"truncated_normal\" or \"untruncated_normal\"":
    "uniform" => Distribution::Uniform,
    "truncated_normal" => Distribution::TruncatedNormal,
    "untruncated_normal" => Distribution::Normal,
    "normal" => Distribution::TruncatedNormal,
}

named!(Initializer);

impl Setting for Initializer {
    const EXPECTED: &'static str = "an initializer or its name";

    fn to_json(&self) -> Result<Value> {
        Ok(self.config().to_json())
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        match json {
            Value::Object(_) => Self::from_config(&Config::from_json(json)?).map(Some),
            name => name.as_str().map(str::parse).transpose(),
        }
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests;
