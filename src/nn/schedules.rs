//! Learning-rate schedules: the rate as a function of the step.

use std::f64::consts::PI;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::nn::config::{
    Class, Config, IntoSetting, Setting, classes, declare, declared, from_config, positive, unwritten,
};

/// A learning rate that depends on the step (0 at the first update).
///
/// Any `Fn(u64) -> f64` is one.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::schedules::Schedule;
///
/// let halved = |step: u64| 0.1 * 0.5f64.powi((step / 1000) as i32);
/// assert_eq!(halved.rate(2000), 0.025);
/// let optimizer = SGD::new(halved);
/// # drop(optimizer);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Schedule: Send + Sync {
    /// The rate to use at `step`.
    fn rate(&self, step: u64) -> f64;

    /// Refuses settings that make no sense; called when a model is compiled and before each update.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The name of its type.
    fn class_name(&self) -> &'static str {
        "Custom"
    }

    /// Its class and settings, from which [`from_config`](trait.Schedule.html#method.from_config) makes it again.
    ///
    /// # Errors
    /// Settings that make no sense, or a schedule that does not implement this.
    fn config(&self) -> Result<Config> {
        Err(unwritten("A learning-rate schedule of your own"))
    }
}

impl dyn Schedule {
    /// The schedule of a configuration.
    ///
    /// # Errors
    /// A class that is no standard schedule, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Schedule>> {
        from_config(CLASSES, "learning-rate schedule", config)
    }
}

/// The standard schedules.
const CLASSES: &[Class<dyn Schedule>] = classes! { dyn Schedule:
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
};

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for F {
    fn rate(&self, step: u64) -> f64 {
        self(step)
    }
}

/// A learning rate: a number, or a [`Schedule`].
///
/// ```
/// use std::sync::Arc;
/// use wgtensor::nn::schedules::{ExponentialDecay, LearningRate};
///
/// let constant = LearningRate::Constant(0.1);
/// let falling = LearningRate::Schedule(Arc::new(ExponentialDecay::new(0.1, 100, 0.5)));
/// assert_eq!(constant.at(100), 0.1);
/// assert!((falling.at(100) - 0.05).abs() < 1e-9);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub enum LearningRate {
    /// The same at every step, until it is set again.
    Constant(f64),
    /// A function of the step.
    Schedule(Arc<dyn Schedule>),
}

impl LearningRate {
    /// The rate at `step`.
    ///
    /// ```
    /// use wgtensor::nn::schedules::LearningRate;
    ///
    /// assert_eq!(LearningRate::Constant(0.1).at(1000), 0.1);
    /// ```
    pub fn at(&self, step: u64) -> f64 {
        match self {
            LearningRate::Constant(rate) => *rate,
            LearningRate::Schedule(schedule) => schedule.rate(step),
        }
    }

    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            LearningRate::Constant(_) => Ok(()),
            LearningRate::Schedule(schedule) => schedule.check(),
        }
    }
}

impl Setting for LearningRate {
    const EXPECTED: &'static str = "a number or a schedule";

    fn to_json(&self) -> Result<Value> {
        match self {
            LearningRate::Constant(rate) => rate.to_json(),
            LearningRate::Schedule(schedule) => Ok(schedule.config()?.to_json()),
        }
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if json.is_object() {
            let schedule = <dyn Schedule>::from_config(&Config::from_json(json)?)?;
            return Ok(Some(LearningRate::Schedule(schedule.into())));
        }
        Ok(json.as_f64().map(LearningRate::Constant))
    }
}

impl IntoSetting<LearningRate> for f64 {
    fn into_setting(self) -> Result<LearningRate> {
        Ok(LearningRate::Constant(self))
    }
}

impl<S: Schedule + 'static> IntoSetting<LearningRate> for S {
    fn into_setting(self) -> Result<LearningRate> {
        Ok(LearningRate::Schedule(Arc::new(self)))
    }
}

/// `step / decay_steps`, whole where it goes by stairs.
fn periods(step: u64, decay_steps: u64, staircase: bool) -> f64 {
    let periods = step as f64 / decay_steps as f64;
    if staircase { periods.floor() } else { periods }
}

declare! {
    /// `initial_learning_rate * decay_rate^(step / decay_steps)`
    ///
    /// ```
    /// use wgtensor::nn::schedules::{ExponentialDecay, Schedule};
    /// let schedule = ExponentialDecay::new(0.1, 100, 0.5);
    /// assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(100) - 0.05).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct ExponentialDecay(
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// After how many steps the rate is `decay_rate` times what it was.
        decay_steps: u64 where positive,
        /// What the rate is multiplied by.
        decay_rate: f64,
    ) {
        /// Whether the rate changes only every `decay_steps` steps.
        staircase: bool = false,
    }
}

impl Schedule for ExponentialDecay {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        self.initial_learning_rate * self.decay_rate.powf(periods(step, self.decay_steps, self.staircase))
    }
}

declare! {
    /// `initial_learning_rate / (1 + decay_rate * step / decay_steps)`
    ///
    /// ```
    /// use wgtensor::nn::schedules::{InverseTimeDecay, Schedule};
    /// let schedule = InverseTimeDecay::new(0.1, 100, 1.0);
    /// assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(100) - 0.05).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct InverseTimeDecay(
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// After how many steps the divisor has grown by `decay_rate`.
        decay_steps: u64 where positive,
        /// What the divisor grows by.
        decay_rate: f64,
    ) {
        /// Whether the rate changes only every `decay_steps` steps.
        staircase: bool = false,
    }
}

impl Schedule for InverseTimeDecay {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        self.initial_learning_rate / (1.0 + self.decay_rate * periods(step, self.decay_steps, self.staircase))
    }
}

declare! {
    /// One value up to and including each boundary, and one after the last.
    ///
    /// ```
    /// use wgtensor::nn::schedules::{PiecewiseConstantDecay, Schedule};
    /// let schedule = PiecewiseConstantDecay::new([100, 200], [0.1, 0.05, 0.01]);
    /// assert!((schedule.rate(100) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(101) - 0.05).abs() < 1e-9);
    /// assert!((schedule.rate(500) - 0.01).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct PiecewiseConstantDecay(
        /// The last step of each value but the last.
        boundaries: Vec<u64>,
        /// The rates, one more than boundaries.
        values: Vec<f64>,
    ) {}
    check as_many
}

impl PiecewiseConstantDecay {
    fn as_many(&self) -> Result<()> {
        let (boundaries, values) = (self.boundaries.len(), self.values.len());
        if values == boundaries + 1 {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Argument,
            "The number of boundaries of a `PiecewiseConstantDecay` should be 1 less than the number of values",
            &format!("{boundaries} boundaries and {values} values"),
            &format!("{} values", boundaries + 1),
            "Give one value more than boundaries",
        ))
    }
}

impl Schedule for PiecewiseConstantDecay {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        let passed = self.boundaries.iter().filter(|&&boundary| step > boundary).count();
        self.values.get(passed).or(self.values.last()).copied().unwrap_or(0.0)
    }
}

declare! {
    /// `(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps)^power + end_learning_rate`
    ///
    /// ```
    /// use wgtensor::nn::schedules::{PolynomialDecay, Schedule};
    /// let schedule = PolynomialDecay::new(0.1, 100).end_learning_rate(0.0);
    /// assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(50) - 0.05).abs() < 1e-9);
    /// assert!((schedule.rate(100) - 0.0).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct PolynomialDecay(
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// The step at which the end is reached.
        decay_steps: u64 where positive,
    ) {
        /// The rate at the end.
        end_learning_rate: f64 = 0.0001,
        /// The exponent.
        power: f64 = 1.0,
        /// Whether to start again beyond `decay_steps`, over a period that grows by `decay_steps` each time.
        cycle: bool = false,
    }
}

impl Schedule for PolynomialDecay {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        let (step, steps, end) = (step as f64, self.decay_steps as f64, self.end_learning_rate);
        let done = match self.cycle {
            true => step / (steps * (step / steps).ceil().max(1.0)),
            false => step.min(steps) / steps,
        };
        (self.initial_learning_rate - end) * (1.0 - done).powf(self.power) + end
    }
}

declare! {
    /// Half a cosine from the initial rate down to `alpha` times it, after an optional linear warm-up.
    ///
    /// ```
    /// use wgtensor::nn::schedules::{CosineDecay, Schedule};
    /// let schedule = CosineDecay::new(0.1, 100);
    /// assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(50) - 0.05).abs() < 1e-9);
    /// assert!((schedule.rate(100) - 0.0).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct CosineDecay(
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// How long the decay is, the warm-up not counted.
        decay_steps: u64 where positive,
    ) {
        /// The share of the rate that is left at the end.
        alpha: f64 = 0.0,
        /// Where set, the rate first goes there along a line, in `warmup_steps` steps; the decay then starts from it.
        warmup_target: Option<f64> = None,
        /// How long the warm-up is.
        warmup_steps: u64 = 0,
    }
}

impl Schedule for CosineDecay {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        let (step, initial) = (step as f64, self.initial_learning_rate);
        let (from, step) = match (self.warmup_target, self.warmup_steps as f64) {
            (Some(target), steps) if step < steps => return initial + (target - initial) * step / steps,
            (Some(target), steps) => (target, step - steps),
            (None, _) => (initial, step),
        };
        let steps = self.decay_steps as f64;
        let cosine = 0.5 * (1.0 + (PI * step.min(steps) / steps).cos());
        from * ((1.0 - self.alpha) * cosine + self.alpha)
    }
}

declare! {
    /// Cosine decays one after another (Loshchilov and Hutter, 2016), each longer and lower than the last.
    ///
    /// ```
    /// use wgtensor::nn::schedules::{CosineDecayRestarts, Schedule};
    /// let schedule = CosineDecayRestarts::new(0.1, 100);
    /// assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
    /// assert!((schedule.rate(50) - 0.05).abs() < 1e-9);
    /// assert!((schedule.rate(100) - 0.1).abs() < 1e-9);
    /// ```
    #[derive(Clone, Debug)]
    pub struct CosineDecayRestarts(
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// How long the first decay is.
        first_decay_steps: u64 where positive,
    ) {
        /// How much longer each period is than the one before.
        t_mul: f64 = 2.0,
        /// How much the initial rate changes at each restart.
        m_mul: f64 = 1.0,
        /// The share of the rate that is left at the end of a period.
        alpha: f64 = 0.0,
    }
}

impl Schedule for CosineDecayRestarts {
    declared!("keras.optimizers.schedules");

    fn rate(&self, step: u64) -> f64 {
        let done = step as f64 / self.first_decay_steps as f64;
        let (restarts, done) = if self.t_mul == 1.0 {
            (done.floor(), done.fract())
        } else {
            let restarts = ((1.0 - done * (1.0 - self.t_mul)).ln() / self.t_mul.ln()).floor();
            let before = (1.0 - self.t_mul.powf(restarts)) / (1.0 - self.t_mul);
            (restarts, (done - before) / self.t_mul.powf(restarts))
        };
        let cosine = 0.5 * self.m_mul.powf(restarts) * (1.0 + (PI * done).cos());
        self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(schedule: &dyn Schedule, expected: &[(u64, f64)]) {
        for &(step, rate) in expected {
            let got = schedule.rate(step);
            assert!((got - rate).abs() <= 1e-7 * rate.abs().max(1e-3), "step {step}: {got} instead of {rate}");
        }
    }

    // The figures below are Keras 3's.
    #[test]
    fn cosine_with_warmup() {
        let schedule = CosineDecay::new(0.0, 40).warmup_target(0.1).warmup_steps(10);
        close(&schedule, &[(0, 0.0), (3, 0.03), (10, 0.1), (11, 0.0998458666866564), (23, 0.07612492823579745)]);
    }

    #[test]
    fn exponential() {
        let schedule = ExponentialDecay::new(0.1, 10, 0.9);
        close(&schedule, &[(0, 0.1), (1, 0.09895192582062146), (20, 0.081), (23, 0.07847977905697834)]);
        close(&schedule.staircase(true), &[(9, 0.1), (10, 0.09), (19, 0.09)]);
    }

    #[test]
    fn piecewise() {
        let schedule = PiecewiseConstantDecay::new([5, 20], [0.1, 0.05, 0.01]);
        close(&schedule, &[(0, 0.1), (5, 0.1), (6, 0.05), (20, 0.05), (21, 0.01)]);
    }

    #[test]
    fn polynomial_cycles() {
        let schedule = PolynomialDecay::new(0.1, 12).end_learning_rate(0.01).power(2.0).cycle(true);
        close(&schedule, &[(0, 0.1), (6, 0.0325), (12, 0.01), (13, 0.09 * (11.0f64 / 24.0).powi(2) + 0.01)]);
    }

    #[test]
    fn a_number_and_a_closure_are_rates() {
        let rate = |rate: Result<LearningRate>| rate.unwrap().at(9);
        assert_eq!(rate(0.5.into_setting()), 0.5);
        assert_eq!(rate((|step: u64| step as f64).into_setting()), 9.0);
    }
}
