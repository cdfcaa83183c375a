//! Loss scaling, for gradients too small for 16 bits.

use serde_json::Value;

use super::{AnyOptimizer, IntoOptimizer};
use crate::error::{Error, Result, entry};
use crate::nn::config::{Config, Reader, Setting, any, positive};
use crate::{DType, Device, Tensor, Var, no_grad};

/// Keras's name.
const CLASS: &str = "LossScaleOptimizer";

/// An optimizer around another one that keeps small gradients from vanishing in `f16`, as Keras's `LossScaleOptimizer`.
///
/// The loss is multiplied by a scale before gradients are computed, and the gradients are divided by it before they are
/// used. Where one of them is not finite, the step changes nothing and the scale is halved; after `dynamic_growth_steps`
/// (2000) steps in a row that were good, it is doubled. It starts at 2^15. Scale and decision stay on the device: no step
/// waits for them. A step that is left out counts among the iterations all the same, since the host does not hear of it.
///
/// `compile` puts it around the optimizer of a model whose policy is [`Policy::MixedFloat16`](crate::nn::Policy).
///
/// ```
/// use wgtensor::nn::Policy;
/// use wgtensor::nn::prelude::*;
///
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.set_dtype_policy(Policy::MixedFloat16)?;
/// model.compile(LossScaleOptimizer::new(Adam::default())?.initial_scale(1024.0), "mse", ())?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct LossScaleOptimizer {
    inner: Box<dyn AnyOptimizer>,
    initial_scale: f64,
    growth_steps: u64,
    state: Option<State>,
}

struct State {
    scale: Var,
    /// Good steps since the scale last changed.
    good: Var,
}

impl State {
    fn vars(&self) -> [&Var; 2] {
        [&self.scale, &self.good]
    }
}

impl LossScaleOptimizer {
    /// Around an optimizer, or around one of this Keras name.
    ///
    /// # Errors
    /// A name that is not known.
    #[track_caller]
    pub fn new(inner: impl IntoOptimizer) -> Result<Self> {
        let inner = inner.into_optimizer()?;
        Ok(LossScaleOptimizer { inner, initial_scale: 32_768.0, growth_steps: 2000, state: None })
    }

    /// What the loss is multiplied by at first; 2^15 by default.
    pub fn initial_scale(mut self, scale: f64) -> Self {
        self.initial_scale = scale;
        self
    }

    /// After how many good steps in a row the scale is doubled; 2000 by default.
    pub fn dynamic_growth_steps(mut self, steps: u64) -> Self {
        self.growth_steps = steps;
        self
    }

    /// From a configuration of this class; a setting that is left out has its default.
    ///
    /// # Errors
    /// No inner optimizer, a setting that the class does not have, or one that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Self> {
        entry(|| {
            let mut reader = Reader::new(config);
            let Inner(inner) = reader.require("inner_optimizer", any)?;
            let mut made = LossScaleOptimizer::new(inner)?;
            made.initial_scale = reader.take("initial_scale", positive)?.unwrap_or(made.initial_scale);
            made.growth_steps = reader.take("dynamic_growth_steps", positive)?.unwrap_or(made.growth_steps);
            reader.finish()?;
            made.check()?;
            Ok(made)
        })
    }

    /// The present scale, once there was a step. Waits for the device.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// use wgtensor::nn::optimizers::AnyOptimizer;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32], &Device::cpu())?);
    /// let mut optimizer = LossScaleOptimizer::new(SGD::new(0.1))?.initial_scale(1024.0);
    /// let loss = optimizer.scale_loss(&w.value().square()?.sum(())?)?;
    /// let grads = loss.backward()?;
    /// optimizer.step(grads.iter().map(|(var, grad)| (var, grad.clone())).collect())?;
    /// assert_eq!(optimizer.scale()?, Some(1024.0));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    #[track_caller]
    pub fn scale(&self) -> Result<Option<f64>> {
        self.state.as_ref().map(|s| Ok(f64::from(s.scale.value().item::<f32>()?))).transpose()
    }

    fn state(&mut self, device: &Device) -> Result<&State> {
        if self.state.is_none() {
            let var = |name: &str, value: f64, dtype: DType| {
                let var = Var::named(name, &Tensor::full((), value, dtype, device)?);
                var.set_trainable(false);
                Ok::<Var, Error>(var)
            };
            let scale = var("loss_scale", self.initial_scale, DType::F32)?;
            self.state = Some(State { scale, good: var("good_steps", 0.0, DType::I32)? });
        }
        self.state.as_ref().ok_or_else(|| Error::internal("a loss scale that was not made"))
    }
}

/// An optimizer within the configuration of another.
struct Inner(Box<dyn AnyOptimizer>);

impl Setting for Inner {
    const EXPECTED: &'static str = "the configuration of an optimizer";

    fn to_json(&self) -> Result<Value> {
        Ok(self.0.config()?.to_json())
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        Ok(Some(Inner(<dyn AnyOptimizer>::from_config(&Config::from_json(json)?)?)))
    }
}

impl State {
    /// Whether all gradients are finite, a boolean on the device.
    fn finite(grads: &[(Var, Tensor)]) -> Result<Tensor> {
        let mut all: Option<Tensor> = None;
        for (_, grad) in grads {
            let fine = grad.isfinite()?.all(())?;
            all = Some(all.map_or_else(|| Ok(fine.clone()), |all| all.logical_and(&fine))?);
        }
        all.ok_or_else(|| Error::internal("a step without gradients"))
    }

    /// Doubles, halves or keeps the scale.
    fn adjust(&self, finite: &Tensor, growth_steps: u64) -> Result<()> {
        let (scale, good) = (self.scale.value(), self.good.value().add(1)?);
        let grows = good.ge(growth_steps as f64)?.logical_and(finite)?;
        let factor = finite.where_(&grows.where_(2.0, 1.0)?, 0.5)?;
        self.scale.assign(&scale.mul(&factor)?)?;
        let goes_on = finite.logical_and(&grows.logical_not()?)?;
        self.good.assign(&good.mul(&goes_on.cast(DType::I32)?)?)
    }
}

impl IntoOptimizer for LossScaleOptimizer {
    fn into_optimizer(self) -> Result<Box<dyn AnyOptimizer>> {
        Ok(Box::new(self))
    }
}

impl AnyOptimizer for LossScaleOptimizer {
    fn class_name(&self) -> &'static str {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        self.check()?;
        let config =
            Config::in_module("keras.optimizers", CLASS).with("inner_optimizer", self.inner.config()?.to_json());
        Ok(config.with("initial_scale", self.initial_scale).with("dynamic_growth_steps", self.growth_steps))
    }

    fn check(&self) -> Result<()> {
        let of = "`LossScaleOptimizer`";
        if !(self.initial_scale > 0.0 && self.initial_scale.is_finite()) {
            return Err(Error::setting(of, "initial_scale", self.initial_scale, "a positive number"));
        }
        if self.growth_steps == 0 || i32::try_from(self.growth_steps).is_err() {
            return Err(Error::setting(of, "dynamic_growth_steps", self.growth_steps, "a positive integer below 2^31"));
        }
        self.inner.check()
    }

    fn prepare(&mut self, vars: &[Var]) -> Result<()> {
        if let Some(first) = vars.first() {
            self.state(first.device())?;
        }
        self.inner.prepare(vars)
    }

    fn transfer(&mut self, from: &[Var], to: &[Var]) -> Result<()> {
        if let (Some(state), Some(first)) = (&self.state, to.first()) {
            let values: Vec<Tensor> = state.vars().into_iter().map(Var::value).collect();
            self.state = None;
            for (var, value) in self.state(first.device())?.vars().into_iter().zip(values) {
                var.assign(&value.detach().to_device(var.device())?)?;
            }
        }
        self.inner.transfer(from, to)
    }

    fn scale_loss(&mut self, loss: &Tensor) -> Result<Tensor> {
        let scale = self.state(loss.device())?.scale.value();
        loss.mul(scale.detach())
    }

    fn step(&mut self, grads: Vec<(Var, Tensor)>) -> Result<()> {
        self.check()?;
        let Some((first, _)) = grads.first() else { return self.inner.step(grads) };
        let device = first.device().clone();
        let vars: Vec<Var> = grads.iter().map(|(var, _)| var.clone()).collect();
        self.prepare(&vars)?;
        no_grad(|| {
            let grads: Vec<_> = grads.into_iter().map(|(var, grad)| (var, grad.detach())).collect();
            let finite = State::finite(&grads)?;
            let inverse = self.state(&device)?.scale.value().reciprocal()?;
            let plain = grads.iter().map(|(var, grad)| Ok((var.clone(), grad.mul(&inverse)?)));
            let plain = plain.collect::<Result<Vec<_>>>()?;
            // The step is made, and taken back on the device where a gradient was not finite.
            let moved: Vec<Var> = vars.iter().cloned().chain(self.inner.variables(&vars)).collect();
            let before: Vec<Tensor> = moved.iter().map(Var::value).collect();
            self.inner.step(plain)?;
            for (var, before) in moved.iter().zip(&before) {
                var.assign(&finite.where_(var.value(), before)?)?;
            }
            let growth = self.growth_steps;
            self.state(&device)?.adjust(&finite, growth)
        })
    }

    fn variables(&self, vars: &[Var]) -> Vec<Var> {
        let own = self.state.iter().flat_map(|s| s.vars().map(Clone::clone));
        own.chain(self.inner.variables(vars)).collect()
    }

    fn iterations(&self) -> u64 {
        self.inner.iterations()
    }

    fn current_rate(&self) -> f64 {
        self.inner.current_rate()
    }

    fn set_rate(&mut self, rate: f64) -> Result<()> {
        self.inner.set_rate(rate)
    }

    fn finalize(&self, vars: &[Var]) -> Result<()> {
        self.inner.finalize(vars)
    }

    /// As in Keras: a step and a rate of its own that are 0, the good steps and the scale once there was a step, and
    /// all that the inner optimizer has.
    fn get_weights(&self, vars: &[Var]) -> Result<Vec<Tensor>> {
        let inner = self.inner.get_weights(vars)?;
        let number = |dtype| Tensor::zeros((), dtype, inner[0].device());
        let mut all = vec![number(DType::I32)?, number(DType::F32)?];
        if let Some(State { scale, good }) = &self.state {
            all.extend([good.value().detach().mul(1)?, scale.value().detach().mul(1.0)?]);
        }
        Ok(all.into_iter().chain(inner).collect())
    }

    fn set_weights(&mut self, vars: &[Var], values: &[Tensor]) -> Result<()> {
        match (values, vars.first()) {
            ([_, _, good, scale, inner @ ..], Some(var))
                if good.rank() == 0 && scale.rank() == 0 && self.inner.set_weights(vars, inner).is_ok() =>
            {
                let state = self.state(var.device())?;
                for (var, value) in [(&state.good, good), (&state.scale, scale)] {
                    var.assign(&value.detach().to_device(var.device())?.cast(var.dtype())?)?;
                }
                Ok(())
            }
            _ => {
                self.inner.set_weights(vars, values.get(2..).unwrap_or_default())?;
                self.state = None;
                Ok(())
            }
        }
    }

    fn inner(&self) -> Option<&dyn AnyOptimizer> {
        Some(self.inner.as_ref())
    }

    fn averages(&self, vars: &[Var]) -> Vec<(Var, Var)> {
        self.inner.averages(vars)
    }

    fn size(&self) -> Option<(usize, usize)> {
        self.inner.size().map(|(numbers, bytes)| (numbers + 2, bytes + 8))
    }
}
