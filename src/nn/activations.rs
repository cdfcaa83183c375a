//! Activation functions, by value or by their Keras names.

use std::str::FromStr;

use crate::Tensor;
use crate::error::{Error, Kind, Result};

/// An activation function.
///
/// A string does as well wherever one is taken: `"relu"`, `"softmax"`, ... (the variant's name in snake case).
#[derive(Clone, Copy, Debug)]
pub enum Activation {
    /// `x`
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` where positive, else `0.2 x`
    LeakyRelu,
    /// `x` where positive, else `exp(x) - 1`
    Elu,
    /// Scaled ELU: `1.0507 * elu(x, alpha = 1.67326)`
    Selu,
    /// `max(x, 0) + min(exp(x) - 1, 0)`
    Celu,
    /// `x * Phi(x)` with the normal distribution function (exact, through `erf`)
    Gelu,
    /// `x * sigmoid(x)`, also called swish
    Silu,
    /// `x * tanh(softplus(x))`
    Mish,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `-softplus(-x)`
    LogSigmoid,
    /// `relu6(x + 3) / 6`
    HardSigmoid,
    /// `x * hard_sigmoid(x)`
    HardSilu,
    /// Hyperbolic tangent
    Tanh,
    /// `x` clipped to -1..1
    HardTanh,
    /// `x - tanh(x)`
    TanhShrink,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `exp(x)`
    Exponential,
    /// `exp(x)` normalised along the last axis
    Softmax,
    /// Logarithm of the softmax along the last axis
    LogSoftmax,
    /// A function of your own
    Custom(fn(&Tensor) -> Result<Tensor>),
}

use Activation::*;

const NAMES: [(&str, Activation); 25] = [
    ("linear", Linear),
    ("relu", Relu),
    ("relu6", Relu6),
    ("leaky_relu", LeakyRelu),
    ("elu", Elu),
    ("selu", Selu),
    ("celu", Celu),
    ("gelu", Gelu),
    ("silu", Silu),
    ("swish", Silu),
    ("mish", Mish),
    ("sigmoid", Sigmoid),
    ("log_sigmoid", LogSigmoid),
    ("hard_sigmoid", HardSigmoid),
    ("hard_silu", HardSilu),
    ("hard_swish", HardSilu),
    ("tanh", Tanh),
    ("hard_tanh", HardTanh),
    ("tanh_shrink", TanhShrink),
    ("softplus", Softplus),
    ("softsign", Softsign),
    ("exponential", Exponential),
    ("softmax", Softmax),
    ("log_softmax", LogSoftmax),
    ("", Linear),
];

impl Activation {
    /// Its Keras name.
    pub fn name(&self) -> &'static str {
        let same = |other: &Activation| std::mem::discriminant(other) == std::mem::discriminant(self);
        NAMES.iter().find(|(_, a)| same(a)).map_or("custom", |(name, _)| name)
    }

    /// The function applied to `x`.
    ///
    /// # Errors
    /// Those of the operations it is made of, such as a type that is not a float.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Linear => Ok(x.clone()),
            Relu => x.relu(),
            Relu6 => x.clamp(0.0, 6.0),
            LeakyRelu => leaky_relu(x, 0.2),
            Elu | Celu => elu(x, 1.0),
            Selu => elu(x, 1.673_263_242_354_377_2)?.mul(1.050_700_987_355_480_5),
            Gelu => x.mul(std::f64::consts::FRAC_1_SQRT_2)?.erf()?.add(1.0)?.mul(x)?.mul(0.5),
            Silu => x.sigmoid()?.mul(x),
            Mish => x.softplus()?.tanh()?.mul(x),
            Sigmoid => x.sigmoid(),
            LogSigmoid => x.neg()?.softplus()?.neg(),
            HardSigmoid => hard_sigmoid(x),
            HardSilu => hard_sigmoid(x)?.mul(x),
            Tanh => x.tanh(),
            HardTanh => x.clamp(-1.0, 1.0),
            TanhShrink => x.sub(x.tanh()?),
            Softplus => x.softplus(),
            Softsign => x.div(x.abs()?.add(1.0)?),
            Exponential => x.exp(),
            Softmax => x.softmax(-1),
            LogSoftmax => x.log_softmax(-1),
            Custom(function) => function(x),
        }
    }
}

fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    x.add(3.0)?.clamp(0.0, 6.0)?.div(6.0)
}

/// `x` where positive, else `slope * x`.
pub(crate) fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    x.gt(0.0)?.select(x, x.mul(slope)?)
}

fn elu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    // The clamp keeps the branch not taken from overflowing, which would make its gradient NaN.
    x.gt(0.0)?.select(x, x.minimum(0.0)?.expm1()?.mul(alpha)?)
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        NAMES
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, a)| *a)
            .ok_or_else(|| unknown("activation function", name, NAMES.iter().map(|(n, _)| *n)))
    }
}

/// Keras's text for a string that names nothing, with the names that would.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<String> = known.filter(|n| !n.is_empty()).map(|n| format!("\"{n}\"")).collect();
    Error::parts(
        Kind::Argument,
        &format!("Could not interpret {what} identifier: {name}"),
        &format!("\"{name}\""),
        &format!("one of {}", known.join(", ")),
        "Correct the name, or pass an object instead of a string",
    )
}

/// What can be given where an activation is wanted: an [`Activation`] or its name.
///
/// A name that is not known is reported when the layer is built.
pub trait IntoActivation {
    /// The activation, if the name is known.
    fn into_activation(self) -> Result<Activation>;
}

impl IntoActivation for Activation {
    fn into_activation(self) -> Result<Activation> {
        Ok(self)
    }
}

impl IntoActivation for &str {
    fn into_activation(self) -> Result<Activation> {
        self.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, _) in NAMES.iter().filter(|(n, _)| !["swish", "hard_swish", ""].contains(n)) {
            assert_eq!(name.parse::<Activation>().unwrap().name(), *name);
        }
    }

    #[test]
    fn an_unknown_name_says_so() {
        let error = "rellu".into_activation().unwrap_err();
        assert!(error.is_invalid_argument());
        assert!(error.to_string().starts_with("Could not interpret activation function identifier: rellu"));
    }
}
