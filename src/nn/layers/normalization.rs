//! Normalisation over the batch or over the features of a sample.

use super::{BuildCtx, CallCtx, Layer, built, check_last};
use crate::error::Result;
use crate::nn::config::{declare, declared, nonnegative, share};
use crate::nn::initializers::Initializer;
use crate::shape::Shape;
use crate::{Tensor, Var, no_grad};

declare! {
    /// Normalises each channel (the last axis) over the batch and all other axes (Ioffe and Szegedy, 2015).
    ///
    /// Training uses the batch's mean and biased variance (those of the positions that a mask leaves) and moves the stored
    /// ones towards them, `moving = moving * momentum + batch * (1 - momentum)`; inference, and training while frozen, uses
    /// the stored ones. Weights: gamma, beta, moving mean, moving variance.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(BatchNormalization::new().epsilon(0.0));
    /// let x = Tensor::new([[1.0f32], [3.0]], &device)?;
    /// assert_eq!(model.call(&x, true)?.to_vec::<f32>()?, [-1.0, 1.0]); // the batch's mean and variance
    /// assert_ne!(model.call(&x, false)?.to_vec::<f32>()?, [-1.0, 1.0]); // the stored ones
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct BatchNormalization {
        /// How much of the stored statistics stays at each step.
        momentum: f64 where share = 0.99,
        /// Added to the variance.
        epsilon: f64 where nonnegative = 1e-3,
        /// Whether to add a learnt offset (beta).
        center: bool = true,
        /// Whether to multiply by a learnt scale (gamma).
        scale: bool = true,
        /// How the offset starts: an [`Initializer`] or its name.
        beta_initializer: Initializer = Initializer::Zeros,
        /// How the scale starts: an [`Initializer`] or its name.
        gamma_initializer: Initializer = Initializer::Ones,
        /// How the stored mean starts: an [`Initializer`] or its name.
        moving_mean_initializer: Initializer = Initializer::Zeros,
        /// How the stored variance starts: an [`Initializer`] or its name.
        moving_variance_initializer: Initializer = Initializer::Ones,
    }
    fixed { axis: (-1), synchronized: false }
    newer { renorm: false, renorm_momentum: 0.99 }
    state { built: Option<Moments> }
}

struct Moments {
    layer: String,
    gamma: Option<Var>,
    beta: Option<Var>,
    mean: Var,
    variance: Var,
}

/// The batch's channels normalised with these statistics.
fn normalize(x: &Tensor, mean: &Tensor, variance: &Tensor, epsilon: f64, part: &Moments) -> Result<Tensor> {
    let (gamma, beta) = (part.gamma.as_ref().map(Var::value), part.beta.as_ref().map(Var::value));
    x.batch_normalization(mean, variance, -1, beta.as_ref(), gamma.as_ref(), epsilon)
}

/// Mean and biased variance of each channel, over the positions that a mask leaves.
fn moments(x: &Tensor, mask: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
    let axes: Vec<usize> = (0..x.rank() - 1).collect();
    let Some(mask) = mask else { return Ok((x.mean(&axes[..])?, x.var(&axes[..])?)) };
    let counted = mask.cast(x.dtype())?.reshape([mask.dims(), &vec![1; x.rank() - mask.rank()]].concat())?;
    let counted = counted.broadcast_to(x.shape().with(x.rank() - 1, 1))?;
    let share = counted.div(counted.sum(())?.maximum(1.0)?)?;
    let mean = x.mul(&share)?.sum(&axes[..])?;
    let variance = x.sub(&mean)?.square()?.mul(&share)?.sum(&axes[..])?;
    Ok((mean, variance))
}

impl Layer for BatchNormalization {
    declared!("keras.layers");

    fn computes_wide(&self) -> bool {
        true
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let channels = &input[input.rank().saturating_sub(1)..];
        let gamma = self.scale.then(|| ctx.weight("gamma", channels, &self.gamma_initializer)).transpose()?;
        let beta = self.center.then(|| ctx.weight("beta", channels, &self.beta_initializer)).transpose()?;
        let mean = ctx.state("moving_mean", channels, &self.moving_mean_initializer)?;
        let variance = ctx.state("moving_variance", channels, &self.moving_variance_initializer)?;
        self.built = Some(Moments { layer: ctx.name().to_owned(), gamma, beta, mean, variance });
        Ok(())
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        let part = built(&self.built)?;
        check_last(&part.layer, part.mean.shape().numel(), x.shape())?;
        if !ctx.is_training() || ctx.is_frozen() {
            return normalize(x, &part.mean.value(), &part.variance.value(), self.epsilon, part);
        }
        let (mean, variance) = moments(x, ctx.mask())?;
        no_grad(|| {
            let moved = |stored: &Var, batch: &Tensor| {
                let kept = stored.value().mul(self.momentum)?;
                stored.assign(&kept.add(batch.detach().mul(1.0 - self.momentum)?)?)
            };
            moved(&part.mean, &mean)?;
            moved(&part.variance, &variance)
        })?;
        normalize(x, &mean, &variance, self.epsilon, part)
    }

    fn weights(&self) -> Vec<Var> {
        let Some(part) = &self.built else { return Vec::new() };
        let learnt = part.gamma.iter().chain(&part.beta);
        learnt.chain([&part.mean, &part.variance]).cloned().collect()
    }
}

declare! {
    /// Normalises each sample over its last axis (Ba, Kiros and Hinton, 2016). Weights: gamma, beta.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(LayerNormalization::new().epsilon(0.0));
    /// let x = Tensor::new([[1.0f32, 3.0], [10.0, 30.0]], &device)?;
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct LayerNormalization {
        /// Added to the variance.
        epsilon: f64 where nonnegative = 1e-3,
        /// Whether to add a learnt offset (beta).
        center: bool = true,
        /// Whether to multiply by a learnt scale (gamma).
        scale: bool = true,
        /// How the offset starts: an [`Initializer`] or its name.
        beta_initializer: Initializer = Initializer::Zeros,
        /// How the scale starts: an [`Initializer`] or its name.
        gamma_initializer: Initializer = Initializer::Ones,
    }
    fixed { axis: (-1), rms_scaling: false }
    state { built: Option<Learnt> }
}

struct Learnt {
    layer: String,
    features: usize,
    gamma: Option<Var>,
    beta: Option<Var>,
}

impl Layer for LayerNormalization {
    declared!("keras.layers");

    fn computes_wide(&self) -> bool {
        true
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let features = &input[input.rank().saturating_sub(1)..];
        let gamma = self.scale.then(|| ctx.weight("gamma", features, &self.gamma_initializer)).transpose()?;
        let beta = self.center.then(|| ctx.weight("beta", features, &self.beta_initializer)).transpose()?;
        let features = features.iter().product();
        self.built = Some(Learnt { layer: ctx.name().to_owned(), features, gamma, beta });
        Ok(())
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let part = built(&self.built)?;
        check_last(&part.layer, part.features, x.shape())?;
        let (gamma, beta) = (part.gamma.as_ref().map(Var::value), part.beta.as_ref().map(Var::value));
        x.layer_normalization(gamma.as_ref(), beta.as_ref(), -1, self.epsilon)
    }

    fn weights(&self) -> Vec<Var> {
        self.built.iter().flat_map(|part| part.gamma.iter().chain(&part.beta).cloned()).collect()
    }
}
