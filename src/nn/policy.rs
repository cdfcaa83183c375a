//! Mixed precision: variables in `f32`, layers computed in 16 bits.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};

/// In which types a model computes: Keras's `DTypePolicy`.
///
/// Weights, losses, metrics and the optimizer's state are `f32` under every policy, and so are the outputs of a model. Under a mixed policy each
/// layer gets its inputs and its weights in 16 bits; batch and layer normalisation compute in `f32` still, as Keras has it.
/// 16-bit values are summed in `f32`, and are rounded where they are stored.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
/// model.set_dtype_policy("mixed_bfloat16")?;
/// model.compile("adam", "mse", ())?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// All in `f32`; the default.
    #[default]
    Float32,
    /// `f16`. Small gradients vanish in it: `compile` puts a [`LossScaleOptimizer`](crate::nn::optimizers::LossScaleOptimizer) around
    /// the optimizer.
    MixedFloat16,
    /// `bf16`, whose range is that of `f32`.
    MixedBfloat16,
}

const ALL: [Policy; 3] = [Policy::Float32, Policy::MixedFloat16, Policy::MixedBfloat16];

/// The place in [`ALL`] of what new models get.
static GLOBAL: AtomicU8 = AtomicU8::new(0);

impl Policy {
    /// Keras's name.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Float32 => "float32",
            Policy::MixedFloat16 => "mixed_float16",
            Policy::MixedBfloat16 => "mixed_bfloat16",
        }
    }

    /// The type that layers compute in.
    pub fn compute_dtype(self) -> DType {
        match self {
            Policy::Float32 => DType::F32,
            Policy::MixedFloat16 => DType::F16,
            Policy::MixedBfloat16 => DType::BF16,
        }
    }

    /// The type of weights.
    pub fn variable_dtype(self) -> DType {
        DType::F32
    }
}

/// A [`Policy`], or its name.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::Policy;
///
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.set_dtype_policy("mixed_float16")?;
/// model.set_dtype_policy(Policy::Float32)?;
/// assert!(model.set_dtype_policy("float31").unwrap_err().is_invalid_argument());
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoPolicy {
    /// The policy, if the name is known.
    ///
    /// # Errors
    /// A name that is not known.
    fn into_policy(self) -> Result<Policy>;
}

impl IntoPolicy for Policy {
    fn into_policy(self) -> Result<Policy> {
        Ok(self)
    }
}

impl IntoPolicy for &str {
    fn into_policy(self) -> Result<Policy> {
        ALL.into_iter().find(|policy| policy.name() == self).ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                "Unknown dtype policy",
                &format!("\"{self}\""),
                &format!("one of: {}", ALL.map(Policy::name).join(", ")),
                "Use one of these names, or a `Policy`",
            )
        })
    }
}

/// Sets the policy of all models made from now on: Keras's `keras.config.set_dtype_policy`.
/// [`Model::set_dtype_policy`](crate::nn::Model::set_dtype_policy) sets that of one model.
///
/// ```
/// use wgtensor::nn::{Policy, dtype_policy, set_dtype_policy};
/// set_dtype_policy("float32")?;
/// assert_eq!(dtype_policy(), Policy::Float32);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// A name that is not known.
#[track_caller]
pub fn set_dtype_policy(policy: impl IntoPolicy) -> Result<()> {
    entry(|| {
        let policy = policy.into_policy()?;
        GLOBAL.store(policy as u8, Ordering::Relaxed);
        Ok(())
    })
}

/// The policy that new models get.
///
/// ```
/// use wgtensor::nn::{Policy, dtype_policy};
/// assert_eq!(dtype_policy(), Policy::Float32); // unless it was set
/// ```
pub fn dtype_policy() -> Policy {
    ALL[usize::from(GLOBAL.load(Ordering::Relaxed))]
}
