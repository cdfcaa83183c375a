//! Optimizers of any rule: what models, and files, need of them.

use std::ops::Range;

use super::{CLASSES, Optimizer, Param, Rule, State, no_gradients};
use crate::error::{Error, Kind, Result};
use crate::graph::live;
use crate::nn::config::{Config, Declared, by_name};
use crate::nn::schedules::LearningRate;
use crate::{DType, Device, Tensor, Var, no_grad};

/// An [`Optimizer`] of any rule, as models hold it.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// model.compile("adam", "mse", ())?;
/// let optimizer = model.optimizer_mut().expect("compiled");
/// optimizer.set_rate(0.01)?;
/// assert_eq!((optimizer.class_name(), optimizer.current_rate(), optimizer.iterations()), ("Adam", 0.01, 0));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait AnyOptimizer: Send {
    /// Its class name, such as `Adam`.
    fn class_name(&self) -> &'static str;
    /// Its class and settings, from which [`from_config`](trait.AnyOptimizer.html#method.from_config) makes it again,
    /// without its accumulators.
    ///
    /// # Errors
    /// Settings that make no sense, or a rule or a schedule of your own.
    fn config(&self) -> Result<Config>;
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
    /// The loss to compute gradients of: this one, or a multiple, which [`step`](AnyOptimizer::step) takes into account.
    ///
    /// # Errors
    /// Those of the device.
    fn scale_loss(&mut self, loss: &Tensor) -> Result<Tensor> {
        Ok(loss.clone())
    }
    /// Moves the variables by their gradients; records only, submits nothing.
    ///
    /// # Errors
    /// No gradients, or those of the device.
    fn step(&mut self, grads: Vec<(Var, Tensor)>) -> Result<()>;
    /// What a step changes besides these variables: the accumulators that go with them.
    fn variables(&self, vars: &[Var]) -> Vec<Var>;
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
    /// The variables of which a moving average is kept (`use_ema`), each with that; none before they are prepared.
    fn averages(&self, vars: &[Var]) -> Vec<(Var, Var)>;
    /// How many numbers the state has and how many bytes, as Keras counts them; `None` before the first step.
    fn size(&self) -> Option<(usize, usize)>;
    /// The state that goes with these variables, in the order of Keras's `optimizer.variables`: how often `step` was called
    /// (`i32`) and, unless it is a schedule's, the learning rate; then, once there was a step, the moving averages, the
    /// accumulated gradients and what the rule accumulates. Unaffected by later steps.
    ///
    /// # Errors
    /// Those of the device.
    fn get_weights(&self, vars: &[Var]) -> Result<Vec<Tensor>>;
    /// Sets the state that goes with these variables, in the order of [`get_weights`](AnyOptimizer::get_weights); the
    /// tensors may be on any device.
    ///
    /// # Errors
    /// Another number of tensors than `get_weights` gives for these variables, before or after a step, or a tensor of
    /// another shape; nothing is set then.
    fn set_weights(&mut self, vars: &[Var], values: &[Tensor]) -> Result<()>;
    /// The optimizer that this one is around, if it is around one.
    fn inner(&self) -> Option<&dyn AnyOptimizer> {
        None
    }
}

impl<R: Rule> AnyOptimizer for Optimizer<R> {
    fn class_name(&self) -> &'static str {
        self.state().rule.class_name()
    }

    fn config(&self) -> Result<Config> {
        AnyOptimizer::check(self)?;
        let State { rule, shared, .. } = &*self.state();
        let mut config = rule.config()?;
        for (key, value) in shared.settings()? {
            config = config.with(key, value);
        }
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        self.state().rule.check()?;
        self.state().shared.check()
    }

    fn prepare(&mut self, vars: &[Var]) -> Result<()> {
        vars.iter().try_for_each(|var| self.prepare_one(var))
    }

    fn transfer(&mut self, from: &[Var], to: &[Var]) -> Result<()> {
        for (old, new) in from.iter().zip(to) {
            let Some(param) = self.params.remove(&old.id()) else { continue };
            let moved = |slot: Var| {
                let var = Var::new(&slot.value().detach().to_device(new.device())?);
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
        AnyOptimizer::check(self)?;
        if pairs.is_empty() {
            return Err(no_gradients());
        }
        pairs.iter().try_for_each(|(var, _)| self.prepare_one(var))?;
        no_grad(|| {
            let pairs = pairs.into_iter().map(|(var, grad)| (var, grad.detach())).collect();
            let pairs = self.clipped(self.accumulated(pairs)?)?;
            let (overwrites, calls) = {
                let state = self.state();
                (state.overwrites(), state.calls)
            };
            let numbers = live::numbers(self.state.clone());
            let updated = self.update(pairs, overwrites, &numbers);
            // A step that could not be recorded was none.
            updated.inspect_err(|_| self.state().calls = calls)
        })
    }

    fn variables(&self, vars: &[Var]) -> Vec<Var> {
        let params = vars.iter().filter_map(|var| self.params.get(&var.id()));
        params.flat_map(|p| p.slots.iter().chain(&p.average).chain(&p.gradient)).cloned().collect()
    }

    fn iterations(&self) -> u64 {
        self.state().calls
    }

    fn current_rate(&self) -> f64 {
        let State { shared, calls, .. } = &*self.state();
        shared.learning_rate.at(*calls)
    }

    fn set_rate(&mut self, rate: f64) -> Result<()> {
        match &mut self.state_mut().shared.learning_rate {
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
        for (var, average) in self.averages(vars).iter().filter(|_| self.state().updates() > 0) {
            var.assign(&average.value())?;
        }
        Ok(())
    }

    fn averages(&self, vars: &[Var]) -> Vec<(Var, Var)> {
        let average = |var: &Var| Some((var.clone(), self.params.get(&var.id())?.average.clone()?));
        vars.iter().filter_map(average).collect()
    }

    fn size(&self) -> Option<(usize, usize)> {
        if self.params.is_empty() {
            return None;
        }
        let count = |var: &Var| (var.shape().numel(), var.shape().numel() * var.dtype().size());
        let vars = self.params.values().flat_map(|p| p.slots.iter().chain(&p.average).chain(&p.gradient));
        let (numbers, bytes) = vars.map(count).fold((0, 0), |(n, b), (m, c)| (n + m, b + c));
        // Keras also counts the step (8 bytes) and, where it is not a schedule, the rate (4 bytes).
        match self.state().shared.learning_rate {
            LearningRate::Constant(_) => Some((numbers + 2, bytes + 12)),
            LearningRate::Schedule(_) => Some((numbers + 1, bytes + 8)),
        }
    }

    fn get_weights(&self, vars: &[Var]) -> Result<Vec<Tensor>> {
        let state = self.state();
        let device = vars.first().map_or_else(Device::preset, |var| Ok(var.device().clone()))?;
        let number = |value: f64, dtype| Tensor::full((), value, dtype, &device);
        let mut all = vec![number(state.calls as f64, DType::I32)?];
        if let LearningRate::Constant(rate) = state.shared.learning_rate {
            all.push(number(rate, DType::F32)?);
        }
        if !vars.iter().any(|var| self.params.contains_key(&var.id())) {
            return Ok(all);
        }
        let initial = state.rule.slots();
        for part in state.parts() {
            for (var, one) in vars.iter().flat_map(|var| part.clone().map(move |one| (var, one))) {
                all.push(match (self.params.get(&var.id()).and_then(|param| param.get(one)), one) {
                    // A product is a tensor of its own; the value alone would be lost with the next assignment.
                    (Some(kept), _) => kept.value().detach().mul(1.0)?,
                    (None, Part::SLOTS..) => {
                        Tensor::full(var.shape(), initial[one - Part::SLOTS], var.dtype(), var.device())?
                    }
                    (None, Part::AVERAGE) => var.value().detach().mul(1.0)?,
                    (None, _) => Tensor::zeros(var.shape(), var.dtype(), var.device())?,
                });
            }
        }
        if let Some(last) = state.rule.running(state.updates()) {
            all.push(number(last, DType::F32)?);
        }
        Ok(all)
    }

    fn set_weights(&mut self, vars: &[Var], values: &[Tensor]) -> Result<()> {
        let (numbers, parts, last) = {
            let state = self.state();
            let numbers = 1 + usize::from(matches!(state.shared.learning_rate, LearningRate::Constant(_)));
            (numbers, state.parts(), usize::from(state.rule.running(0).is_some()))
        };
        let wanted: Vec<(&Var, usize)> =
            parts.iter().flat_map(|part| vars.iter().flat_map(|var| part.clone().map(move |one| (var, one)))).collect();
        let stepped = values.len() == numbers + wanted.len() + last;
        if !stepped && values.len() != numbers {
            return Err(Error::parts(
                Kind::Argument,
                &format!("An optimizer `{}` was given another number of variables than it has", self.class_name()),
                &format!("{}", values.len()),
                &format!("{}, or {numbers} before the first step", numbers + wanted.len() + last),
                "Give what `get_weights` gave of an optimizer of the same settings, for the same weights",
            ));
        }
        let shapes = (0..numbers).map(|_| &[][..]).chain(wanted.iter().map(|(var, _)| var.shape().dims()));
        for (i, (shape, value)) in shapes.zip(values).enumerate() {
            if value.dims() != shape {
                return Err(Error::parts(
                    Kind::Shape,
                    &format!("Variable {i} of an optimizer was given a value of another shape"),
                    &format!("shape {}", value.shape()),
                    &format!("shape {shape:?}"),
                    "Give the variables in the order of `get_weights`",
                ));
            }
        }
        let number = |value: &Tensor| Ok::<f64, Error>(value.to_f64_vec()?[0]);
        let (calls, rate) = (number(&values[0])?, values[..numbers].get(1).map(number).transpose()?);
        if calls.fract() != 0.0 || !(0.0..f64::from(i32::MAX)).contains(&calls) {
            return Err(Error::setting("An optimizer", "iterations", calls, "a number of steps, below 2^31"));
        }
        match stepped {
            true => self.prepare(vars)?,
            false => vars.iter().for_each(|var| drop(self.params.remove(&var.id()))),
        }
        for ((var, one), value) in wanted.into_iter().zip(&values[numbers..]) {
            if let Some(kept) = self.params.get(&var.id()).and_then(|param| param.get(one)) {
                kept.assign(&value.detach().to_device(kept.device())?.cast(kept.dtype())?)?;
            }
        }
        let mut state = self.state_mut();
        state.calls = calls as u64;
        if let (LearningRate::Constant(old), Some(rate)) = (&mut state.shared.learning_rate, rate) {
            // The variable has single precision; the rate that it was made of, if it is this one, has more.
            if f64::from(*old as f32) != rate {
                *old = rate;
            }
        }
        Ok(())
    }
}

/// What an optimizer keeps for a parameter, by number: its moving average, its accumulated gradient, its accumulators.
struct Part;

impl Part {
    const AVERAGE: usize = 0;
    const GRADIENT: usize = 1;
    const SLOTS: usize = 2;
}

impl Param {
    fn get(&self, part: usize) -> Option<&Var> {
        match part {
            Part::AVERAGE => self.average.as_ref(),
            Part::GRADIENT => self.gradient.as_ref(),
            slot => self.slots.get(slot - Part::SLOTS),
        }
    }
}

impl<R: Rule> State<R> {
    /// What is kept for each parameter, in Keras's order: each range for all parameters in turn.
    fn parts(&self) -> Vec<Range<usize>> {
        let average = self.shared.use_ema.then_some(Part::AVERAGE..Part::AVERAGE + 1);
        let gradient = self.shared.gradient_accumulation_steps.map(|_| Part::GRADIENT..Part::GRADIENT + 1);
        let mut parts: Vec<Range<usize>> = average.into_iter().chain(gradient).collect();
        let mut next = Part::SLOTS;
        for size in self.rule.slot_groups() {
            parts.push(next..next + size);
            next += size;
        }
        parts
    }
}

/// What can be given to `compile` as an optimizer: an [`Optimizer`], or its Keras name.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// model.compile(SGD::new(0.1).momentum(0.9), "mse", ())?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
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
        by_name(CLASSES, "optimizer", self)
    }
}
