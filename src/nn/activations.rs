//! Activation functions, by value or by their Keras names.

use std::str::FromStr;

use serde_json::Value;

use crate::Tensor;
use crate::error::{Error, Result};
use crate::nn::config::{Setting, named, unknown, unwritten};

pub use Activation::{
    Celu, Elu, Exponential, Gelu, HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu, Linear, LogSigmoid,
    LogSoftmax, Mish, Relu, Relu6, Selu, Sigmoid, Silu, SoftShrink, Softmax, Softplus, Softsign, SparsePlus,
    SparseSigmoid, Squareplus, Tanh, TanhShrink,
};

/// Writes [`Activation`] and its names from rows: documentation, variant, Keras's names (the first is its own), formula.
macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident $($name:literal)+ => |$x:ident| $formula:expr;)*) => {
        /// An activation function.
        ///
        /// A string does as well wherever one is taken: `"relu"`, `"softmax"`, ... (the variant's name in snake case).
        ///
        /// ```
        /// use wgtensor::nn::prelude::*;
        ///
        /// let named = Dense::new(8).activation("relu");
        /// let given = Dense::new(8).activation(Relu);
        /// let own = Dense::new(8).activation(Activation::Custom(|x| x.relu()?.square()));
        /// let model = Sequential::new().add(named).add(given).add(own).add(Softmax);
        /// # drop(model);
        /// # Ok::<(), wgtensor::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default)]
        pub enum Activation {
            $($(#[$doc])* $variant,)*
            /// A function of your own
            Custom(fn(&Tensor) -> Result<Tensor>),
        }

        const NAMES: &[(&str, Activation)] = &[$($(($name, Activation::$variant),)+)*];

        impl Activation {
            /// The function applied to `x`.
            ///
            /// ```
            /// use wgtensor::nn::activations::Activation;
            /// # use wgtensor::{Device, Tensor};
            /// let x = Tensor::new([-1.0f32, 2.0], &Device::cpu())?;
            /// assert_eq!(Activation::Relu.apply(&x)?.to_vec::<f32>()?, [0.0, 2.0]);
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            /// Those of the operations it is made of, such as a type that is not a float.
            pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
                match self {
                    $(Activation::$variant => {
                        let $x = x;
                        $formula
                    })*
                    Activation::Custom(function) => function(x),
                }
            }
        }
    };
}

activations! {
    /// `x`
    #[default]
    Linear "linear" "" => |x| Ok(x.clone());
    /// `max(x, 0)`
    Relu "relu" => |x| x.relu();
    /// `min(max(x, 0), 6)`
    Relu6 "relu6" => |x| x.relu6();
    /// `x` where positive, else `0.2 x`
    LeakyRelu "leaky_relu" => |x| x.leaky_relu(0.2);
    /// `x` where positive, else `exp(x) - 1`
    Elu "elu" => |x| x.elu(1.0);
    /// Scaled ELU: `1.0507 * elu(x, alpha = 1.67326)`
    Selu "selu" => |x| x.selu();
    /// `max(x, 0) + min(exp(x) - 1, 0)`
    Celu "celu" => |x| x.celu(1.0);
    /// `x * Phi(x)` with the normal distribution function (exact, through `erf`)
    Gelu "gelu" => |x| x.gelu(false);
    /// `x * sigmoid(x)`, also called swish
    Silu "silu" "swish" => |x| x.silu();
    /// `x * tanh(softplus(x))`
    Mish "mish" => |x| x.mish();
    /// `1 / (1 + exp(-x))`
    Sigmoid "sigmoid" => |x| x.sigmoid();
    /// `-softplus(-x)`
    LogSigmoid "log_sigmoid" => |x| x.log_sigmoid();
    /// `relu6(x + 3) / 6`
    HardSigmoid "hard_sigmoid" => |x| x.hard_sigmoid();
    /// `x * hard_sigmoid(x)`
    HardSilu "hard_silu" "hard_swish" => |x| x.hard_silu();
    /// Hyperbolic tangent
    Tanh "tanh" => |x| x.tanh();
    /// `x` clipped to -1..1
    HardTanh "hard_tanh" => |x| x.hard_tanh();
    /// `x - tanh(x)`
    TanhShrink "tanh_shrink" => |x| x.tanh_shrink();
    /// `x` moved towards 0 by 0.5, and 0 within
    SoftShrink "soft_shrink" => |x| x.soft_shrink(0.5);
    /// `x` where its magnitude is above 0.5, else 0
    HardShrink "hard_shrink" => |x| x.hard_shrink(0.5);
    /// `ln(1 + exp(x))`
    Softplus "softplus" => |x| x.softplus();
    /// `(x + sqrt(x^2 + 4)) / 2`
    Squareplus "squareplus" => |x| x.squareplus(4.0);
    /// 0 below -1, `(x + 1)^2 / 4` up to 1, and `x` above
    SparsePlus "sparse_plus" => |x| x.sparse_plus();
    /// 0 up to -1, `(x + 1) / 2` up to 1, and 1 above
    SparseSigmoid "sparse_sigmoid" => |x| x.sparse_sigmoid();
    /// `x / (1 + |x|)`
    Softsign "softsign" => |x| x.softsign();
    /// `exp(x)`
    Exponential "exponential" => |x| x.exp();
    /// `exp(x)` normalised along the last axis
    Softmax "softmax" => |x| x.softmax(-1);
    /// Logarithm of the softmax along the last axis
    LogSoftmax "log_softmax" => |x| x.log_softmax(-1);
}

impl Activation {
    /// Its Keras name.
    pub fn name(&self) -> &'static str {
        let same = |other: &Activation| std::mem::discriminant(other) == std::mem::discriminant(self);
        NAMES.iter().find(|(_, a)| same(a)).map_or("custom", |(name, _)| name)
    }
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

named!(Activation);

impl Setting for Activation {
    const EXPECTED: &'static str = "the name of an activation function";

    fn to_json(&self) -> Result<Value> {
        match self {
            Activation::Custom(_) => Err(unwritten("An activation function of your own")),
            known => Ok(known.name().into()),
        }
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if json.is_null() { Ok(Some(Activation::Linear)) } else { json.as_str().map(str::parse).transpose() }
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, _) in NAMES.iter().filter(|(n, _)| !["swish", "hard_swish", ""].contains(n)) {
            assert_eq!(name.parse::<Activation>().unwrap().name(), *name);
        }
    }

    /// The slopes at kinks are Keras's: those of the operations, which the reference cases judge.
    #[test]
    fn kinks_have_kerass_slopes() -> Result<()> {
        let slopes = |activation: Activation, at: &[f32]| -> Result<Vec<f32>> {
            let x = Tensor::from_slice(at, at.len(), &crate::Device::cpu())?.requires_grad();
            crate::grad(&activation.apply(&x)?.sum(())?, &[&x])?[0].to_vec()
        };
        assert_eq!(slopes(Activation::Relu, &[-1.0, 0.0, 1.0])?, [0.0, 0.0, 1.0]);
        assert_eq!(slopes(Activation::Relu6, &[0.0, 3.0, 6.0])?, [0.0, 1.0, 0.0]);
        assert_eq!(slopes(Activation::HardSigmoid, &[-3.0, 3.0])?, [0.0, 0.0]);
        assert_eq!(slopes(Activation::HardSilu, &[-3.0, 3.0])?, [0.0, 1.0]);
        assert_eq!(slopes(Activation::LeakyRelu, &[0.0])?, [0.2]);
        assert_eq!(slopes(Activation::Elu, &[0.0, 200.0])?, [1.0, 1.0]);
        assert_eq!(slopes(Activation::HardTanh, &[-1.0, 1.0])?, [1.0, 1.0]);
        Ok(())
    }

    #[test]
    fn an_unknown_name_says_so() {
        let error = "rellu".parse::<Activation>().unwrap_err();
        assert!(error.is_invalid_argument());
        assert!(error.to_string().starts_with("Could not interpret activation function identifier: rellu"));
    }
}
