//! Optimizers: Keras's update rules, and what they share: clipping, weight decay, averaging, accumulation.
//!
//! Every number that changes from step to step (rates, bias corrections) reaches the device as a run-time scalar,
//! so each step replays the same plan.

mod adam;
mod adaptive;
mod any;
mod loss_scale;
mod sgd;
mod sign;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use adam::{Adam, AdamRule, AdamW, AdamWRule, Adamax, AdamaxRule, Lamb, LambRule, Nadam, NadamRule};
pub use adaptive::{Adadelta, AdadeltaRule, Adagrad, AdagradRule, Ftrl, FtrlRule, RMSprop, RMSpropRule};
pub use any::{AnyOptimizer, IntoOptimizer};
pub use loss_scale::LossScaleOptimizer;
pub use sgd::{SGD, SGDRule};
pub use sign::{Lion, LionRule};

use crate::error::{Error, Kind, Result, entry};
use crate::graph::live::{Source, Words};
use crate::nn::config::{
    Class, Config, Declared, IntoSetting, Reader, classes, declare, from_config, positive, share, unwritten,
};
use crate::nn::schedules::LearningRate;
use crate::{Grads, Scalar, Tensor, Var};

/// How one parameter moves: the part of an optimizer that is its own.
///
/// Implement it for an optimizer of your own, and use it as [`Optimizer::with_rule`].
///
/// ```
/// use wgtensor::nn::optimizers::{Optimizer, Rule, Update};
/// use wgtensor::{Device, Result, Scalar, Tensor, Var};
///
/// /// Gradient descent.
/// struct Descent;
/// impl Rule for Descent {
///     fn class_name(&self) -> &'static str {
///         "Descent"
///     }
///     fn update(&self, param: &Tensor, grad: &Tensor, _: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
///         Ok(Update { param: param.sub(grad.mul(numbers[0])?)?, slots: vec![] })
///     }
/// }
///
/// let w = Var::new(&Tensor::new([1.0f32], &Device::cpu())?);
/// Optimizer::with_rule(Descent, 0.25).apply(&w.value().square()?.sum(())?.backward()?)?;
/// assert_eq!(w.value().to_vec::<f32>()?, [0.5]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Rule: Send + 'static {
    /// The name of the optimizer, such as `Adam`.
    fn class_name(&self) -> &'static str;

    /// Its class and its own settings.
    ///
    /// # Errors
    /// Settings that make no sense, or a rule that does not implement this.
    fn config(&self) -> Result<Config> {
        Err(unwritten(&format!("The optimizer `{}`", self.class_name())))
    }

    /// Refuses settings that make no sense; called when a model is compiled and before each update.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The initial value of each accumulator that goes with a parameter.
    fn slots(&self) -> Vec<f64> {
        Vec::new()
    }

    /// How the accumulators stand in Keras's `optimizer.variables`, and so in files: in groups of so many, the first group of
    /// each parameter in turn, then the second, ...; one group of all, unless it says otherwise.
    fn slot_groups(&self) -> Vec<usize> {
        vec![self.slots().len()]
    }

    /// A number that Keras has at the end of `optimizer.variables`, after so many updates; here it follows from them.
    fn running(&self, updates: u64) -> Option<f64> {
        let _ = updates;
        None
    }

    /// The numbers that [`update`](Rule::update) needs and that differ from step to step: the learning rate by default.
    /// Called once for each step; `step` is 1 at the first update. (The step itself may be replayed without being recorded
    /// again, so that `update` knows of no other numbers.)
    fn numbers(&mut self, learning_rate: f64, step: u64) -> Vec<f64> {
        let _ = step;
        vec![learning_rate]
    }

    /// The new value of a parameter and of its accumulators; `numbers` are this step's.
    ///
    /// # Errors
    /// Those of the operations used.
    fn update(&self, param: &Tensor, grad: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update>;
}

/// What [`Rule::update`] returns.
///
/// ```
/// # use wgtensor::{Device, Result, Scalar, Tensor};
/// use wgtensor::nn::optimizers::{Rule, Update};
///
/// /// Momentum: the velocity is what goes with a parameter.
/// struct Heavy;
/// impl Rule for Heavy {
///     fn class_name(&self) -> &'static str {
///         "Heavy"
///     }
///     fn slots(&self) -> Vec<f64> {
///         vec![0.0]
///     }
///     fn update(&self, param: &Tensor, grad: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
///         let velocity = slots[0].mul(0.9)?.sub(grad.mul(numbers[0])?)?;
///         Ok(Update { param: param.add(&velocity)?, slots: vec![velocity] })
///     }
/// }
/// # let one = Tensor::new([1.0f32], &Device::cpu())?;
/// # let update = Heavy.update(&one, &one, &[one.clone()], &[Scalar::from(0.5)])?;
/// # assert!((update.param.item::<f32>()? - 1.4).abs() < 1e-6);
/// # Ok::<(), wgtensor::Error>(())
/// ```
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
/// use wgtensor::nn::optimizers::Adam;
/// use wgtensor::{Device, Tensor, Var};
///
/// let w = Var::new(&Tensor::new([3.0f32, -4.0], &Device::cpu())?);
/// let mut optimizer = Adam::new(0.1);
/// for _ in 0..100 {
///     let loss = w.value().square()?.sum(())?;
///     let grads = loss.backward()?;
///     optimizer.apply(&grads)?;
/// }
/// assert!(w.value().to_vec::<f32>()?.iter().all(|w| w.abs() < 0.1));
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Optimizer<R> {
    /// Shared with the steps that are replayed, which draw their numbers from it.
    state: Arc<Mutex<State<R>>>,
    params: HashMap<u64, Param>,
}

/// What the host has of an optimizer.
struct State<R> {
    rule: R,
    shared: Shared,
    calls: u64,
}

declare! {
    /// The settings that all optimizers have.
    pub(crate) part Shared as "Optimizer" of [impl<R: Rule> Optimizer<R>] at shared {
        /// A number, or a schedule such as [`CosineDecay`](crate::nn::schedules::CosineDecay).
        learning_rate: LearningRate = LearningRate::Constant(0.001),
        /// Before each update, takes this share times the learning rate off every parameter.
        weight_decay: Option<f64> = None,
        /// Scales each gradient down to this norm.
        clipnorm: Option<f64> where positive = None,
        /// Clips each element of the gradients to this size.
        clipvalue: Option<f64> where positive = None,
        /// Scales all gradients together down to this norm.
        global_clipnorm: Option<f64> where positive = None,
        /// Keeps a moving average of the parameters, which replaces them at the end of `fit`.
        use_ema: bool = false,
        /// How much of the moving average stays at each step.
        ema_momentum: f64 where share = 0.99,
        /// Replaces the parameters by their moving average every so many steps.
        ema_overwrite_frequency: Option<u64> where positive = None,
        /// Moves the parameters only every so many calls, by the mean of the gradients since.
        gradient_accumulation_steps: Option<u64> where positive = None,
    }
    fixed { loss_scale_factor: null }
    check clips_once
}

impl Shared {
    fn clips_once(&self) -> Result<()> {
        let clips = [self.clipnorm, self.clipvalue, self.global_clipnorm];
        if clips.iter().flatten().count() > 1 {
            let [norm, value, global] = clips.map(|clip| clip.map_or("None".into(), |c| format!("{c:?}")));
            return Err(Error::parts(
                Kind::Argument,
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set",
                &format!("clipnorm={norm}, clipvalue={value}, global_clipnorm={global}"),
                "at most one of them",
                "Keep the one you mean",
            ));
        }
        self.learning_rate.check()
    }
}

/// What the optimizer keeps for a parameter.
struct Param {
    slots: Vec<Var>,
    average: Option<Var>,
    gradient: Option<Var>,
}

impl<R: Rule> State<R> {
    /// Updates made so far.
    fn updates(&self) -> u64 {
        self.calls / self.shared.gradient_accumulation_steps.unwrap_or(1)
    }

    /// Whether the step to come moves the parameters, instead of only adding to the gradients.
    fn moves(&self) -> bool {
        (self.calls + 1).is_multiple_of(self.shared.gradient_accumulation_steps.unwrap_or(1))
    }

    /// Whether the step to come replaces the parameters by their moving average.
    fn overwrites(&self) -> bool {
        self.moves() && self.shared.ema_overwrite_frequency.is_some_and(|n| (self.updates() + 1).is_multiple_of(n))
    }
}

/// The numbers of each step: those that all rules share, then the rule's own.
impl<R: Rule> Source for Arc<Mutex<State<R>>> {
    fn draw(&mut self) -> Words {
        let mut state = self.lock().unwrap_or_else(PoisonError::into_inner);
        let State { rule, shared, calls } = &mut *state;
        let (calls_before, every) = (*calls, shared.gradient_accumulation_steps.unwrap_or(1));
        *calls += 1;
        if !calls.is_multiple_of(every) {
            return Words::new();
        }
        let (rate, step) = (shared.learning_rate.at(calls_before), *calls / every);
        // Keras starts the average at the value after the first update.
        let momentum = if step == 1 { 0.0 } else { shared.ema_momentum };
        let common = [shared.weight_decay.unwrap_or(0.0) * rate, momentum, 1.0 - momentum];
        common.into_iter().chain(rule.numbers(rate, step)).map(f64::to_bits).collect()
    }

    fn phase(&self) -> u64 {
        let state = self.lock().unwrap_or_else(PoisonError::into_inner);
        u64::from(state.moves()) | u64::from(state.overwrites()) << 1
    }
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer that moves parameters by `rule`.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::{Optimizer, Rule, Update};
    /// use wgtensor::{Device, Result, Scalar, Tensor, Var};
    ///
    /// /// Moves by the sign of the gradient.
    /// struct Sign;
    /// impl Rule for Sign {
    ///     fn class_name(&self) -> &'static str {
    ///         "Sign"
    ///     }
    ///     fn update(&self, param: &Tensor, grad: &Tensor, _: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
    ///         Ok(Update { param: param.sub(grad.sign()?.mul(numbers[0])?)?, slots: vec![] })
    ///     }
    /// }
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -3.0], &Device::cpu())?);
    /// let mut optimizer = Optimizer::with_rule(Sign, 0.5);
    /// optimizer.apply(&w.value().square()?.sum(())?.backward()?)?;
    /// assert_eq!(w.value().to_vec::<f32>()?, [0.5, -2.5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn with_rule(rule: R, learning_rate: impl IntoSetting<LearningRate>) -> Self {
        let state = State { rule, shared: Shared::initial(), calls: 0 };
        let made = Optimizer { state: Arc::new(Mutex::new(state)), params: HashMap::new() };
        made.learning_rate(learning_rate)
    }

    /// Moves every trainable variable that has a gradient, then submits the work without waiting for it.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::SGD;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32], &Device::cpu())?);
    /// SGD::new(0.25).apply(&w.value().square()?.sum(())?.backward()?)?;
    /// assert_eq!(w.value().item::<f32>()?, 0.5);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&mut self) -> MutexGuard<'_, State<R>> {
        self.state()
    }

    fn clipped(&self, mut pairs: Vec<(Var, Tensor)>) -> Result<Vec<(Var, Tensor)>> {
        let Shared { clipnorm, clipvalue, global_clipnorm, .. } = self.state().shared;
        if let Some(limit) = clipnorm {
            for (_, grad) in &mut pairs {
                let norm = grad.square()?.sum(())?.sqrt()?;
                *grad = grad.mul(limit)?.div(norm.maximum(limit)?)?;
            }
        } else if let Some(limit) = global_clipnorm {
            let sums = pairs.iter().map(|(_, grad)| grad.square()?.sum(())).collect::<Result<Vec<_>>>()?;
            let norm = Tensor::stack(sums, 0)?.sum(())?.sqrt()?;
            let scale = norm.maximum(limit)?.reciprocal()?.mul(limit)?;
            for (_, grad) in &mut pairs {
                *grad = grad.mul(&scale)?;
            }
        } else if let Some(size) = clipvalue {
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
            let var = Var::new(value);
            var.set_trainable(false);
            Ok(var)
        };
        let slot = |value: f64| state(&Tensor::full(var.shape(), value, var.dtype(), var.device())?);
        let param = {
            let State { rule, shared, .. } = &*self.state();
            Param {
                slots: rule.slots().into_iter().map(slot).collect::<Result<_>>()?,
                average: shared.use_ema.then(|| state(&var.value())).transpose()?,
                gradient: shared.gradient_accumulation_steps.is_some().then(|| slot(0.0)).transpose()?,
            }
        };
        self.params.insert(var.id(), param);
        Ok(())
    }

    /// Adds to the accumulated gradients; none are left until there are enough, then their means.
    fn accumulated(&self, pairs: Vec<(Var, Tensor)>) -> Result<Vec<(Var, Tensor)>> {
        let Some(calls) = self.state().shared.gradient_accumulation_steps else { return Ok(pairs) };
        let complete = self.state().moves();
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
        Ok(means)
    }

    /// Moves the parameters by the numbers of this step.
    fn update(&self, pairs: Vec<(Var, Tensor)>, overwrites: bool, numbers: &[Scalar]) -> Result<()> {
        // Of a step that only adds to the gradients there are none.
        let [decay, momentum, rest, own @ ..] = numbers else { return Ok(()) };
        let State { rule, shared, .. } = &*self.state();
        for (var, grad) in pairs {
            let mut value = var.value();
            if shared.weight_decay.is_some() {
                value = value.sub(value.mul(*decay)?)?;
            }
            let Param { slots, average, .. } = &self.params[&var.id()];
            let old: Vec<Tensor> = slots.iter().map(Var::value).collect();
            let new = rule.update(&value, &grad, &old, own)?;
            for (slot, value) in slots.iter().zip(&new.slots) {
                slot.assign(value)?;
            }
            var.assign(&new.param)?;
            if let Some(average) = average {
                let mean = average.value().mul(*momentum)?.add(new.param.mul(*rest)?)?;
                average.assign(&mean)?;
                if overwrites {
                    var.assign(&mean)?;
                }
            }
        }
        Ok(())
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

impl dyn AnyOptimizer {
    /// The optimizer of a configuration.
    ///
    /// # Errors
    /// A class that is no standard optimizer, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn AnyOptimizer>> {
        match config.class_name() {
            // It has no default that a name could stand for.
            "LossScaleOptimizer" => Ok(Box::new(LossScaleOptimizer::from_config(config)?)),
            _ => from_config(CLASSES, "optimizer", config),
        }
    }
}

/// The standard optimizers.
const CLASSES: &[Class<dyn AnyOptimizer>] = classes! { dyn AnyOptimizer:
    Adadelta, Adagrad, Adam, AdamW "adamw", Adamax, Ftrl, Lamb, Lion, Nadam, RMSprop, SGD,
};

/// The optimizer of a configuration of its class, from one with the defaults.
#[track_caller]
fn read<R: Rule + Declared>(mut optimizer: Optimizer<R>, config: &Config) -> Result<Optimizer<R>> {
    entry(|| {
        let mut reader = Reader::new(config);
        optimizer.state_mut().rule.read(&mut reader)?;
        optimizer.state_mut().shared.read(&mut reader)?;
        reader.finish()?;
        AnyOptimizer::check(&optimizer)?;
        Ok(optimizer)
    })
}

/// An optimizer, declared: its documentation, its rule's name, its default learning rate (and weight decay), the
/// settings of its own, and what it has of [`Rule`]. The settings that all optimizers have come by themselves.
macro_rules! optimizer {
    (
        $(#[$meta:meta])*
        $name:ident = $rule:ident($rate:literal $(, weight_decay: $decay:literal)?) { $($settings:tt)* }
        $(state { $($state:tt)* })?
        => { $($methods:tt)* }
    ) => {
        $(#[$meta])*
        ///
        #[doc = concat!("Default learning rate: `", stringify!($rate), "`.")]
        $(#[doc = concat!("Default weight decay: `", stringify!($decay), "`.")])?
        pub type $name = $crate::nn::optimizers::Optimizer<$rule>;

        $crate::nn::config::declare! {
            #[doc = concat!("The rule of [`", stringify!($name), "`].")]
            ///
            /// ```
            /// use wgtensor::nn::optimizers::{self, AnyOptimizer, Optimizer};
            ///
            #[doc = concat!("let whole: Optimizer<optimizers::", stringify!($rule), "> = optimizers::", stringify!($name), "::default();")]
            #[doc = concat!("assert_eq!(whole.class_name(), \"", stringify!($name), "\");")]
            /// ```
            pub part $rule as (stringify!($name)) of [impl $crate::nn::optimizers::Optimizer<$rule>] at rule {
                $($settings)*
            }
            $(state { $($state)* })?
        }

        impl $name {
            /// With this learning rate (a number, or a schedule), and Keras's defaults for the rest.
            ///
            /// ```
            /// use wgtensor::nn::optimizers::{self, AnyOptimizer};
            ///
            #[doc = concat!("assert_eq!(optimizers::", stringify!($name), "::new(0.02).current_rate(), 0.02);")]
            /// ```
            #[track_caller]
            pub fn new(
                learning_rate: impl $crate::nn::config::IntoSetting<$crate::nn::schedules::LearningRate>,
            ) -> Self {
                Self::with_rule($rule::initial(), learning_rate)$(.weight_decay($decay))?
            }

            /// From a configuration of this class; a setting that is left out has its default.
            ///
            /// ```
            /// use wgtensor::nn::optimizers::{self, AnyOptimizer};
            ///
            #[doc = concat!("let config = optimizers::", stringify!($name), "::new(0.02).config()?;")]
            #[doc = concat!("assert_eq!(optimizers::", stringify!($name), "::from_config(&config)?.current_rate(), 0.02);")]
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            /// A setting that the class does not have, or that makes no sense.
            #[track_caller]
            pub fn from_config(config: &$crate::nn::config::Config) -> Result<Self> {
                $crate::nn::optimizers::read(Self::default(), config)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new($rate)
            }
        }

        impl $crate::nn::optimizers::Rule for $rule {
            $crate::nn::config::declared!("keras.optimizers");
            $($methods)*
        }
    };
}
use optimizer;

#[cfg(all(test, feature = "cpu"))]
mod tests;
