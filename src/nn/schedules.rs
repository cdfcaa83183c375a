//! Learning-rate schedules: the rate as a function of the step.

use std::f64::consts::PI;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// A learning rate that depends on the step (0 at the first update).
///
/// Any `Fn(u64) -> f64` is one.
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
}

/// Refuses a number of steps that is 0.
fn some_steps(schedule: &str, name: &str, steps: f64) -> Result<()> {
    match steps > 0.0 {
        true => Ok(()),
        false => Err(Error::setting(&format!("`{schedule}`"), name, steps, "a positive integer")),
    }
}

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for F {
    fn rate(&self, step: u64) -> f64 {
        self(step)
    }
}

/// A learning rate: a number, or a [`Schedule`].
#[derive(Clone)]
pub enum LearningRate {
    /// The same at every step, until it is set again.
    Constant(f64),
    /// A function of the step.
    Schedule(Arc<dyn Schedule>),
}

impl LearningRate {
    /// The rate at `step`.
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

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        LearningRate::Constant(rate)
    }
}

impl<S: Schedule + 'static> From<S> for LearningRate {
    fn from(schedule: S) -> Self {
        LearningRate::Schedule(Arc::new(schedule))
    }
}

/// `initial * rate^(step / decay_steps)`
#[derive(Clone, Debug)]
pub struct ExponentialDecay {
    initial: f64,
    decay_steps: f64,
    decay_rate: f64,
    staircase: bool,
}

impl ExponentialDecay {
    /// From `initial`, times `decay_rate` every `decay_steps` steps.
    pub fn new(initial: f64, decay_steps: u64, decay_rate: f64) -> Self {
        ExponentialDecay { initial, decay_steps: decay_steps as f64, decay_rate, staircase: false }
    }

    /// Whether the rate changes only every `decay_steps` steps.
    pub fn staircase(mut self, yes: bool) -> Self {
        self.staircase = yes;
        self
    }
}

/// `step / decay_steps`, whole where it goes by stairs.
fn periods(step: u64, decay_steps: f64, staircase: bool) -> f64 {
    let periods = step as f64 / decay_steps;
    if staircase { periods.floor() } else { periods }
}

impl Schedule for ExponentialDecay {
    fn rate(&self, step: u64) -> f64 {
        self.initial * self.decay_rate.powf(periods(step, self.decay_steps, self.staircase))
    }

    fn check(&self) -> Result<()> {
        some_steps("ExponentialDecay", "decay_steps", self.decay_steps)
    }
}

/// `initial / (1 + rate * step / decay_steps)`
#[derive(Clone, Debug)]
pub struct InverseTimeDecay {
    initial: f64,
    decay_steps: f64,
    decay_rate: f64,
    staircase: bool,
}

impl InverseTimeDecay {
    /// From `initial`, its divisor growing by `decay_rate` every `decay_steps` steps.
    pub fn new(initial: f64, decay_steps: u64, decay_rate: f64) -> Self {
        InverseTimeDecay { initial, decay_steps: decay_steps as f64, decay_rate, staircase: false }
    }

    /// Whether the rate changes only every `decay_steps` steps.
    pub fn staircase(mut self, yes: bool) -> Self {
        self.staircase = yes;
        self
    }
}

impl Schedule for InverseTimeDecay {
    fn rate(&self, step: u64) -> f64 {
        self.initial / (1.0 + self.decay_rate * periods(step, self.decay_steps, self.staircase))
    }

    fn check(&self) -> Result<()> {
        some_steps("InverseTimeDecay", "decay_steps", self.decay_steps)
    }
}

/// One value up to and including each boundary, and one after the last.
#[derive(Clone, Debug)]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<u64>,
    values: Vec<f64>,
}

impl PiecewiseConstantDecay {
    /// `values[i]` holds up to and including step `boundaries[i]`; one value more than boundaries.
    pub fn new(boundaries: impl Into<Vec<u64>>, values: impl Into<Vec<f64>>) -> Self {
        PiecewiseConstantDecay { boundaries: boundaries.into(), values: values.into() }
    }
}

impl Schedule for PiecewiseConstantDecay {
    fn rate(&self, step: u64) -> f64 {
        let passed = self.boundaries.iter().filter(|&&boundary| step > boundary).count();
        self.values.get(passed).or(self.values.last()).copied().unwrap_or(0.0)
    }

    fn check(&self) -> Result<()> {
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

/// `(initial - end) * (1 - step / decay_steps)^power + end`
#[derive(Clone, Debug)]
pub struct PolynomialDecay {
    initial: f64,
    decay_steps: f64,
    end: f64,
    power: f64,
    cycle: bool,
}

impl PolynomialDecay {
    /// From `initial` down to `end` (1e-4 unless set) in `decay_steps` steps, along a line.
    pub fn new(initial: f64, decay_steps: u64) -> Self {
        PolynomialDecay { initial, decay_steps: decay_steps as f64, end: 1e-4, power: 1.0, cycle: false }
    }

    /// The rate at the end; 1e-4 by default.
    pub fn end_learning_rate(mut self, end: f64) -> Self {
        self.end = end;
        self
    }

    /// The exponent; 1 by default.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Whether to start again beyond `decay_steps`, over a period that grows by `decay_steps` each time.
    pub fn cycle(mut self, yes: bool) -> Self {
        self.cycle = yes;
        self
    }
}

impl Schedule for PolynomialDecay {
    fn rate(&self, step: u64) -> f64 {
        let step = step as f64;
        let done = match self.cycle {
            true => step / (self.decay_steps * (step / self.decay_steps).ceil().max(1.0)),
            false => step.min(self.decay_steps) / self.decay_steps,
        };
        (self.initial - self.end) * (1.0 - done).powf(self.power) + self.end
    }

    fn check(&self) -> Result<()> {
        some_steps("PolynomialDecay", "decay_steps", self.decay_steps)
    }
}

/// Half a cosine from the initial rate down to `alpha` times it, after an optional linear warm-up.
#[derive(Clone, Debug)]
pub struct CosineDecay {
    initial: f64,
    decay_steps: f64,
    alpha: f64,
    warmup: Option<(f64, f64)>,
}

impl CosineDecay {
    /// From `initial` to 0 in `decay_steps` steps.
    pub fn new(initial: f64, decay_steps: u64) -> Self {
        CosineDecay { initial, decay_steps: decay_steps as f64, alpha: 0.0, warmup: None }
    }

    /// The share of the rate that is left at the end; 0 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// First goes from `initial` to `target` along a line, in `steps` steps; the decay then starts from `target`.
    pub fn warmup(mut self, target: f64, steps: u64) -> Self {
        self.warmup = Some((target, steps as f64));
        self
    }
}

impl Schedule for CosineDecay {
    fn rate(&self, step: u64) -> f64 {
        let step = step as f64;
        let (from, step) = match self.warmup {
            Some((target, steps)) if step < steps => {
                return self.initial + (target - self.initial) * step / steps;
            }
            Some((target, steps)) => (target, step - steps),
            None => (self.initial, step),
        };
        let cosine = 0.5 * (1.0 + (PI * step.min(self.decay_steps) / self.decay_steps).cos());
        from * ((1.0 - self.alpha) * cosine + self.alpha)
    }

    fn check(&self) -> Result<()> {
        some_steps("CosineDecay", "decay_steps", self.decay_steps)
    }
}

/// Cosine decays one after another (Loshchilov and Hutter, 2016), each longer and lower than the last.
#[derive(Clone, Debug)]
pub struct CosineDecayRestarts {
    initial: f64,
    first_steps: f64,
    t_mul: f64,
    m_mul: f64,
    alpha: f64,
}

impl CosineDecayRestarts {
    /// From `initial` to 0 in `first_decay_steps` steps, then again over twice the period each time.
    pub fn new(initial: f64, first_decay_steps: u64) -> Self {
        CosineDecayRestarts { initial, first_steps: first_decay_steps as f64, t_mul: 2.0, m_mul: 1.0, alpha: 0.0 }
    }

    /// How much longer each period is than the one before; 2 by default.
    pub fn t_mul(mut self, factor: f64) -> Self {
        self.t_mul = factor;
        self
    }

    /// How much the initial rate changes at each restart; 1 by default.
    pub fn m_mul(mut self, factor: f64) -> Self {
        self.m_mul = factor;
        self
    }

    /// The share of the rate that is left at the end of a period; 0 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }
}

impl Schedule for CosineDecayRestarts {
    fn rate(&self, step: u64) -> f64 {
        let done = step as f64 / self.first_steps;
        let (restarts, done) = if self.t_mul == 1.0 {
            (done.floor(), done.fract())
        } else {
            let restarts = ((1.0 - done * (1.0 - self.t_mul)).ln() / self.t_mul.ln()).floor();
            let before = (1.0 - self.t_mul.powf(restarts)) / (1.0 - self.t_mul);
            (restarts, (done - before) / self.t_mul.powf(restarts))
        };
        let cosine = 0.5 * self.m_mul.powf(restarts) * (1.0 + (PI * done).cos());
        self.initial * ((1.0 - self.alpha) * cosine + self.alpha)
    }

    fn check(&self) -> Result<()> {
        some_steps("CosineDecayRestarts", "first_decay_steps", self.first_steps)
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
        let schedule = CosineDecay::new(0.0, 40).warmup(0.1, 10);
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
        assert_eq!(LearningRate::from(0.5).at(9), 0.5);
        assert_eq!(LearningRate::from(|step: u64| step as f64).at(9), 9.0);
    }
}
