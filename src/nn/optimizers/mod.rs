//! Optimizers: Keras's update rules, and what they share: clipping, weight decay, averaging, accumulation.
//!
//! Every number that changes from step to step (rates, bias corrections) reaches the device as a run-time scalar,
//! so each step replays the same plan.

mod adam;
mod adaptive;
mod sgd;
mod sign;

use std::collections::HashMap;

pub use adam::{Adam, AdamRule, AdamW, Adamax, AdamaxRule, Lamb, LambRule, Nadam, NadamRule};
pub use adaptive::{Adadelta, AdadeltaRule, Adagrad, AdagradRule, Ftrl, FtrlRule, RMSprop, RMSpropRule};
pub use sgd::{SGD, SGDRule};
pub use sign::{Lion, LionRule};

use crate::error::{Error, Kind, Result, entry};
use crate::nn::activations::unknown;
use crate::nn::schedules::LearningRate;
use crate::{Grads, Tensor, Var, no_grad};

/// How one parameter moves: the part of an optimizer that is its own.
///
/// Implement it for an optimizer of your own, and use it as [`Optimizer::with_rule`].
pub trait Rule: Send {
    /// Its class name, such as `Adam`.
    fn name(&self) -> &'static str;

    /// The initial value of each accumulator that goes with a parameter.
    fn slots(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Called once before the parameters of a step are updated; `step` is 1 at the first update.
    fn begin(&mut self, step: u64) {
        let _ = step;
    }

    /// The new value of a parameter and of its accumulators.
    ///
    /// # Errors
    /// Those of the operations used.
    fn update(&self, param: &Tensor, grad: &Tensor, slots: &[Tensor], lr: f64, step: u64) -> Result<Update>;
}

/// What [`Rule::update`] returns.
pub struct Update {
    /// The new value of the parameter.
    pub param: Tensor,
    /// The new values of its accumulators, in their order.
    pub slots: Vec<Tensor>,
}

impl Update {
    fn new<const N: usize>(param: Tensor, slots: [Tensor; N]) -> Result<Self> {
        Ok(Update { param, slots: slots.into() })
    }
}

/// An optimizer: a [`Rule`] with a learning rate and the options that all share.
///
/// In a model, give it to `compile`. In a loop of your own:
///
/// ```
/// use wgtensor::nn::Adam;
/// use wgtensor::{Device, Tensor, Var};
///
/// let w = Var::new(&Tensor::new([3.0f32, -4.0], &Device::cpu())?)?;
/// let mut optimizer = Adam::default().learning_rate(0.1);
/// for _ in 0..100 {
///     let loss = w.value().square()?.sum(())?;
///     let grads = loss.backward()?;
///     optimizer.apply(&grads)?;
/// }
/// assert!(w.value().to_vec::<f32>()?.iter().all(|w| w.abs() < 0.1));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Optimizer<R> {
    rule: R,
    rate: LearningRate,
    weight_decay: Option<f64>,
    clip: [Option<f64>; 3],
    ema: Option<Ema>,
    accumulate: Option<u64>,
    calls: u64,
    params: HashMap<u64, Param>,
}

struct Ema {
    momentum: f64,
    overwrite: Option<u64>,
}

/// What the optimizer keeps for a parameter.
struct Param {
    slots: Vec<Var>,
    average: Option<Var>,
    gradient: Option<Var>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer that moves parameters by `rule`.
    pub fn with_rule(rule: R, learning_rate: impl Into<LearningRate>) -> Self {
        Optimizer {
            rule,
            rate: learning_rate.into(),
            weight_decay: None,
            clip: [None; 3],
            ema: None,
            accumulate: None,
            calls: 0,
            params: HashMap::new(),
        }
    }

    /// A number, or a schedule such as [`CosineDecay`](crate::nn::CosineDecay).
    pub fn learning_rate(mut self, rate: impl Into<LearningRate>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Before each update, takes this share times the learning rate off every parameter.
    pub fn weight_decay(mut self, share: f64) -> Self {
        self.weight_decay = Some(share);
        self
    }

    /// Scales each gradient down to this norm.
    pub fn clipnorm(mut self, norm: f64) -> Self {
        self.clip[0] = Some(norm);
        self
    }

    /// Clips each element of the gradients to this size.
    pub fn clipvalue(mut self, size: f64) -> Self {
        self.clip[1] = Some(size);
        self
    }

    /// Scales all gradients together down to this norm.
    pub fn global_clipnorm(mut self, norm: f64) -> Self {
        self.clip[2] = Some(norm);
        self
    }

    /// Keeps a moving average of the parameters, which replaces them at the end of `fit`; Keras's momentum is 0.99.
    pub fn use_ema(mut self, momentum: f64) -> Self {
        self.ema = Some(Ema { momentum, overwrite: None });
        self
    }

    /// Replaces the parameters by their moving average every so many steps.
    pub fn ema_overwrite_frequency(mut self, steps: u64) -> Self {
        self.ema.get_or_insert(Ema { momentum: 0.99, overwrite: None }).overwrite = Some(steps);
        self
    }

    /// Moves the parameters only every so many calls, by the mean of the gradients since.
    pub fn gradient_accumulation_steps(mut self, calls: u64) -> Self {
        self.accumulate = Some(calls);
        self
    }

    /// Moves every trainable variable that has a gradient, then submits the work without waiting for it.
    ///
    /// # Errors
    /// Settings that make no sense, no gradients at all, or those of the device.
    #[track_caller]
    pub fn apply(&mut self, grads: &Grads) -> Result<()> {
        entry(|| {
            let pairs: Vec<(Var, Tensor)> = grads.iter().map(|(var, grad)| (var, grad.clone())).collect();
            let Some((first, _)) = pairs.first() else { return Err(no_gradients()) };
            let device = first.device().clone();
            self.step(pairs)?;
            device.flush()
        })
    }

    /// Updates made so far.
    fn updates(&self) -> u64 {
        self.calls / self.accumulate.unwrap_or(1)
    }

    fn clipped(&self, mut pairs: Vec<(Var, Tensor)>) -> Result<Vec<(Var, Tensor)>> {
        let [norm, value, global] = self.clip;
        if let Some(limit) = norm {
            for (_, grad) in &mut pairs {
                let norm = grad.square()?.sum(())?.sqrt()?;
                *grad = grad.mul(limit)?.div(norm.maximum(limit)?)?;
            }
        } else if let Some(limit) = global {
            let sums = pairs.iter().map(|(_, grad)| grad.square()?.sum(())).collect::<Result<Vec<_>>>()?;
            let sums: Vec<&Tensor> = sums.iter().collect();
            let norm = Tensor::stack(&sums, 0)?.sum(())?.sqrt()?;
            let scale = norm.maximum(limit)?.reciprocal()?.mul(limit)?;
            for (_, grad) in &mut pairs {
                *grad = grad.mul(&scale)?;
            }
        } else if let Some(size) = value {
            for (_, grad) in &mut pairs {
                *grad = grad.clip(-size, size)?;
            }
        }
        Ok(pairs)
    }

    /// The state that goes with a variable, made at its first update.
    fn prepare_one(&mut self, var: &Var) -> Result<()> {
        if self.params.contains_key(&var.id()) {
            return Ok(());
        }
        let state = |value: &Tensor| {
            let var = Var::new(value)?;
            var.set_trainable(false);
            Ok(var)
        };
        let slot = |value: f64| state(&Tensor::full(var.shape(), value, var.dtype(), var.device())?);
        let param = Param {
            slots: self.rule.slots().into_iter().map(slot).collect::<Result<_>>()?,
            average: self.ema.is_some().then(|| state(&var.value())).transpose()?,
            gradient: self.accumulate.is_some().then(|| slot(0.0)).transpose()?,
        };
        self.params.insert(var.id(), param);
        Ok(())
    }

    /// Adds to the accumulated gradients; `None` until there are enough, then their means.
    fn accumulated(&self, pairs: Vec<(Var, Tensor)>) -> Result<Option<Vec<(Var, Tensor)>>> {
        let Some(calls) = self.accumulate else { return Ok(Some(pairs)) };
        let complete = (self.calls + 1).is_multiple_of(calls);
        let mut means = Vec::with_capacity(pairs.len());
        for (var, grad) in pairs {
            let Some(sum) = &self.params[&var.id()].gradient else { continue };
            let total = sum.value().add(&grad)?;
            match complete {
                true => {
                    sum.assign(&Tensor::zeros(var.shape(), var.dtype(), var.device())?)?;
                    means.push((var, total.div(calls as f64)?));
                }
                false => sum.assign(&total)?,
            }
        }
        Ok(complete.then_some(means))
    }

    fn average(&self, var: &Var, new: &Tensor, step: u64) -> Result<()> {
        let (Some(ema), Some(average)) = (&self.ema, &self.params[&var.id()].average) else { return Ok(()) };
        // Keras starts the average at the value after the first update.
        let momentum = if step == 1 { 0.0 } else { ema.momentum };
        let mean = average.value().mul(momentum)?.add(new.mul(1.0 - momentum)?)?;
        average.assign(&mean)?;
        match ema.overwrite.is_some_and(|every| step.is_multiple_of(every)) {
            true => var.assign(&mean),
            false => Ok(()),
        }
    }
}

/// An [`Optimizer`] of any rule, as models hold it.
pub trait AnyOptimizer: Send {
    /// Its class name, such as `Adam`.
    fn name(&self) -> &'static str;
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// More than one kind of clipping, or a number out of its range.
    fn check(&self) -> Result<()>;
    /// Makes the accumulators of these variables now, instead of at their first update.
    ///
    /// # Errors
    /// Those of the device.
    fn prepare(&mut self, vars: &[Var]) -> Result<()>;
    /// Gives the accumulators of the variables `from` to the variables `to`, on whose device they move.
    ///
    /// # Errors
    /// Those of the devices.
    fn transfer(&mut self, from: &[Var], to: &[Var]) -> Result<()>;
    /// Moves the variables by their gradients; records only, submits nothing.
    ///
    /// # Errors
    /// No gradients, or those of the device.
    fn step(&mut self, grads: Vec<(Var, Tensor)>) -> Result<()>;
    /// How often `step` was called.
    fn iterations(&self) -> u64;
    /// The rate of the next step.
    fn current_rate(&self) -> f64;
    /// Sets a constant rate.
    ///
    /// # Errors
    /// The rate is a schedule's.
    fn set_rate(&mut self, rate: f64) -> Result<()>;
    /// Replaces the variables by their moving averages, where those are kept.
    ///
    /// # Errors
    /// Those of the device.
    fn finalize(&self, vars: &[Var]) -> Result<()>;
    /// How many numbers the state has and how many bytes, as Keras counts them; `None` before the first step.
    fn size(&self) -> Option<(usize, usize)>;
}

impl<R: Rule> AnyOptimizer for Optimizer<R> {
    fn name(&self) -> &'static str {
        self.rule.name()
    }

    fn check(&self) -> Result<()> {
        let of = format!("`{}`", self.rule.name());
        let shown = |clip: Option<f64>| clip.map_or("None".into(), |c| format!("{c:?}"));
        let [norm, value, global] = self.clip.map(shown);
        if self.clip.iter().flatten().count() > 1 {
            return Err(Error::parts(
                Kind::Argument,
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set",
                &format!("clipnorm={norm}, clipvalue={value}, global_clipnorm={global}"),
                "at most one of them",
                "Keep the one you mean",
            ));
        }
        for (name, clip) in ["clipnorm", "clipvalue", "global_clipnorm"].into_iter().zip(self.clip) {
            if let Some(clip) = clip.filter(|&clip| clip <= 0.0 || clip.is_nan()) {
                return Err(Error::setting(&of, name, clip, "a positive number"));
            }
        }
        if self.accumulate == Some(0) {
            return Err(Error::setting(&of, "gradient_accumulation_steps", 0, "a positive integer"));
        }
        if let Some(ema) = &self.ema {
            if !(0.0..=1.0).contains(&ema.momentum) {
                return Err(Error::setting(&of, "ema_momentum", ema.momentum, "a number from 0 to 1"));
            }
            if ema.overwrite == Some(0) {
                return Err(Error::setting(&of, "ema_overwrite_frequency", 0, "a positive integer"));
            }
        }
        self.rate.check()
    }

    fn prepare(&mut self, vars: &[Var]) -> Result<()> {
        vars.iter().try_for_each(|var| self.prepare_one(var))
    }

    fn transfer(&mut self, from: &[Var], to: &[Var]) -> Result<()> {
        for (old, new) in from.iter().zip(to) {
            let Some(param) = self.params.remove(&old.id()) else { continue };
            let moved = |slot: Var| {
                let var = Var::new(&slot.value().detach().to_device(new.device())?)?;
                var.set_trainable(false);
                Ok(var)
            };
            let param = Param {
                slots: param.slots.into_iter().map(moved).collect::<Result<_>>()?,
                average: param.average.map(moved).transpose()?,
                gradient: param.gradient.map(moved).transpose()?,
            };
            self.params.insert(new.id(), param);
        }
        Ok(())
    }

    fn step(&mut self, pairs: Vec<(Var, Tensor)>) -> Result<()> {
        self.check()?;
        if pairs.is_empty() {
            return Err(no_gradients());
        }
        pairs.iter().try_for_each(|(var, _)| self.prepare_one(var))?;
        no_grad(|| {
            let pairs = pairs.into_iter().map(|(var, grad)| (var, grad.detach())).collect();
            let step = self.updates() + 1;
            let Some(pairs) = self.accumulated(pairs)? else { return Ok(()) };
            let lr = self.rate.at(self.calls);
            self.rule.begin(step);
            for (var, grad) in self.clipped(pairs)? {
                let mut value = var.value();
                if let Some(share) = self.weight_decay {
                    value = value.sub(value.mul(share * lr)?)?;
                }
                let slots = &self.params[&var.id()].slots;
                let old: Vec<Tensor> = slots.iter().map(Var::value).collect();
                let new = self.rule.update(&value, &grad, &old, lr, step)?;
                for (slot, value) in slots.iter().zip(&new.slots) {
                    slot.assign(value)?;
                }
                var.assign(&new.param)?;
                self.average(&var, &new.param, step)?;
            }
            Ok(())
        })?;
        self.calls += 1;
        Ok(())
    }

    fn iterations(&self) -> u64 {
        self.calls
    }

    fn current_rate(&self) -> f64 {
        self.rate.at(self.calls)
    }

    fn set_rate(&mut self, rate: f64) -> Result<()> {
        match &mut self.rate {
            LearningRate::Constant(old) => {
                *old = rate;
                Ok(())
            }
            LearningRate::Schedule(_) => Err(Error::parts(
                Kind::Argument,
                "This optimizer was created with a learning-rate schedule, hence its learning rate is not settable",
                &format!("{rate}"),
                "an optimizer with a number as its learning rate",
                "Create the optimizer with a number, or leave the rate to the schedule",
            )),
        }
    }

    fn finalize(&self, vars: &[Var]) -> Result<()> {
        // Before the first update there is nothing to average.
        for var in vars.iter().filter(|_| self.updates() > 0) {
            if let Some(average) = self.params.get(&var.id()).and_then(|param| param.average.as_ref()) {
                var.assign(&average.value())?;
            }
        }
        Ok(())
    }

    fn size(&self) -> Option<(usize, usize)> {
        if self.params.is_empty() {
            return None;
        }
        let count = |var: &Var| (var.shape().numel(), var.shape().numel() * var.dtype().size());
        let vars = self.params.values().flat_map(|p| p.slots.iter().chain(&p.average).chain(&p.gradient));
        let (numbers, bytes) = vars.map(count).fold((0, 0), |(n, b), (m, c)| (n + m, b + c));
        // Keras also counts the step (8 bytes) and, where it is not a schedule, the rate (4 bytes).
        match self.rate {
            LearningRate::Constant(_) => Some((numbers + 2, bytes + 12)),
            LearningRate::Schedule(_) => Some((numbers + 1, bytes + 8)),
        }
    }
}

fn no_gradients() -> Error {
    Error::parts(
        Kind::State,
        "No gradients provided for any variable",
        "no variable with a gradient",
        "a loss that depends on at least one trainable variable",
        "Check that the loss is computed from the model's output and that not all weights are frozen",
    )
}

/// What can be given to `compile` as an optimizer: an [`Optimizer`], or its Keras name.
pub trait IntoOptimizer {
    /// The optimizer, if the name is known.
    fn into_optimizer(self) -> Result<Box<dyn AnyOptimizer>>;
}

impl<R: Rule + 'static> IntoOptimizer for Optimizer<R> {
    fn into_optimizer(self) -> Result<Box<dyn AnyOptimizer>> {
        Ok(Box::new(self))
    }
}

impl IntoOptimizer for Box<dyn AnyOptimizer> {
    fn into_optimizer(self) -> Result<Box<dyn AnyOptimizer>> {
        Ok(self)
    }
}

impl IntoOptimizer for &str {
    fn into_optimizer(self) -> Result<Box<dyn AnyOptimizer>> {
        Ok(match self.to_ascii_lowercase().as_str() {
            "sgd" => Box::new(SGD::default()),
            "adam" => Box::new(Adam::default()),
            "adamw" => Box::new(AdamW::default()),
            "rmsprop" => Box::new(RMSprop::default()),
            "adagrad" => Box::new(Adagrad::default()),
            "adadelta" => Box::new(Adadelta::default()),
            "adamax" => Box::new(Adamax::default()),
            "nadam" => Box::new(Nadam::default()),
            "lion" => Box::new(Lion::default()),
            "lamb" => Box::new(Lamb::default()),
            "ftrl" => Box::new(Ftrl::default()),
            _ => return Err(unknown("optimizer", self, NAMES.into_iter())),
        })
    }
}

const NAMES: [&str; 11] =
    ["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "lion", "lamb", "ftrl"];

/// A builder method that sets a field of the rule.
macro_rules! setting {
    ($field:ident, $doc:literal) => {
        #[doc = $doc]
        pub fn $field(mut self, $field: f64) -> Self {
            self.rule.$field = $field;
            self
        }
    };
}
pub(crate) use setting;

#[cfg(test)]
mod tests;
