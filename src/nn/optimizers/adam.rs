//! Adam and its family.

use super::{Optimizer, Rule, Update, setting};
use crate::Tensor;
use crate::error::Result;

/// `m + (x - m) * (1 - beta)`: an exponential moving average, one step further.
fn moving(m: &Tensor, x: &Tensor, beta: f64) -> Result<Tensor> {
    m.add(x.sub(m)?.mul(1.0 - beta)?)
}

/// `beta^step`
fn power(beta: f64, step: u64) -> f64 {
    beta.powf(step as f64)
}

/// The options of a rule with two moments.
macro_rules! moments {
    () => {
        setting!(beta_1, "Decay of the mean of the gradients.");
        setting!(beta_2, "Decay of the second accumulator.");
        setting!(epsilon, "Added to a divisor; 1e-7 by default.");
    };
}

/// Adam (Kingma and Ba, 2014). Defaults: learning rate 1e-3, beta_1 0.9, beta_2 0.999, epsilon 1e-7.
///
/// As in Keras the bias correction goes into the rate, and epsilon is added to the uncorrected root:
/// `w -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`.
pub type Adam = Optimizer<AdamRule<false>>;

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2017), 0.004 by default.
pub type AdamW = Optimizer<AdamRule<true>>;

/// The rule of [`Adam`] and, where it decays, of [`AdamW`].
pub struct AdamRule<const DECAYS: bool> {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl<const DECAYS: bool> Optimizer<AdamRule<DECAYS>> {
    /// The optimizer with Keras's defaults.
    pub fn new() -> Self {
        let rule = AdamRule { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
        let adam = Optimizer::with_rule(rule, 0.001);
        if DECAYS { adam.weight_decay(0.004) } else { adam }
    }

    /// Whether to divide by the largest second moment so far (Reddi et al., 2018).
    pub fn amsgrad(mut self, yes: bool) -> Self {
        self.rule.amsgrad = yes;
        self
    }

    moments!();
}

impl<const DECAYS: bool> Default for Optimizer<AdamRule<DECAYS>> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const DECAYS: bool> Rule for AdamRule<DECAYS> {
    fn name(&self) -> &'static str {
        if DECAYS { "AdamW" } else { "Adam" }
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; if self.amsgrad { 3 } else { 2 }]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, step: u64) -> Result<Update> {
        let rate = lr * (1.0 - power(self.beta_2, step)).sqrt() / (1.0 - power(self.beta_1, step));
        let m = moving(&slots[0], g, self.beta_1)?;
        let v = moving(&slots[1], &g.square()?, self.beta_2)?;
        let largest = slots.get(2).map(|largest| largest.maximum(&v)).transpose()?;
        let root = largest.as_ref().unwrap_or(&v).sqrt()?.add(self.epsilon)?;
        let new = w.sub(m.mul(rate)?.div(root)?)?;
        Ok(Update { param: new, slots: [m, v].into_iter().chain(largest).collect() })
    }
}

/// Adam with the infinity norm (Kingma and Ba, 2014, section 7.1). Defaults: learning rate 1e-3, beta_1 0.9,
/// beta_2 0.999, epsilon 1e-7.
pub type Adamax = Optimizer<AdamaxRule>;

/// The rule of [`Adamax`].
pub struct AdamaxRule {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Adamax {
    /// Adamax with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(AdamaxRule { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }, 0.001)
    }

    moments!();
}

impl Default for Adamax {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for AdamaxRule {
    fn name(&self) -> &'static str {
        "Adamax"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, step: u64) -> Result<Update> {
        let m = moving(&slots[0], g, self.beta_1)?;
        let u = slots[1].mul(self.beta_2)?.maximum(g.abs()?)?;
        let rate = lr / (1.0 - power(self.beta_1, step));
        Update::new(w.sub(m.mul(rate)?.div(u.add(self.epsilon)?)?)?, [m, u])
    }
}

/// Adam with Nesterov momentum (Dozat, 2016). Defaults: learning rate 1e-3, beta_1 0.9, beta_2 0.999, epsilon 1e-7.
pub type Nadam = Optimizer<NadamRule>;

/// The rule of [`Nadam`].
pub struct NadamRule {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    /// The product of the momentum's schedule up to this step.
    product: f64,
}

impl Nadam {
    /// Nadam with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(NadamRule { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, product: 1.0 }, 0.001)
    }

    moments!();
}

impl Default for Nadam {
    fn default() -> Self {
        Self::new()
    }
}

impl NadamRule {
    /// The momentum at a step.
    fn momentum(&self, step: u64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * power(0.96, step))
    }
}

impl Rule for NadamRule {
    fn name(&self) -> &'static str {
        "Nadam"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn begin(&mut self, step: u64) {
        self.product *= self.momentum(step);
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, step: u64) -> Result<Update> {
        let (now, next) = (self.momentum(step), self.momentum(step + 1));
        let m = moving(&slots[0], g, self.beta_1)?;
        let v = moving(&slots[1], &g.square()?, self.beta_2)?;
        let from_m = next / (1.0 - self.product * next);
        let from_g = (1.0 - now) / (1.0 - self.product);
        let direction = m.mul(from_m)?.add(g.mul(from_g)?)?;
        let root = v.mul(1.0 / (1.0 - power(self.beta_2, step)))?.sqrt()?.add(self.epsilon)?;
        Update::new(w.sub(direction.mul(lr)?.div(root)?)?, [m, v])
    }
}

/// Layer-wise adaptive moments (You et al., 2019): an Adam step scaled by `|w| / |step|` for each variable.
/// Defaults: learning rate 1e-3, beta_1 0.9, beta_2 0.999, epsilon 1e-7.
pub type Lamb = Optimizer<LambRule>;

/// The rule of [`Lamb`].
pub struct LambRule {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Lamb {
    /// Lamb with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(LambRule { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }, 0.001)
    }

    moments!();
}

impl Default for Lamb {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for LambRule {
    fn name(&self) -> &'static str {
        "Lamb"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, step: u64) -> Result<Update> {
        let m = moving(&slots[0], g, self.beta_1)?;
        let v = moving(&slots[1], &g.square()?, self.beta_2)?;
        let root = v.mul(1.0 / (1.0 - power(self.beta_2, step)))?.sqrt()?.add(self.epsilon)?;
        let direction = m.mul(1.0 / (1.0 - power(self.beta_1, step)))?.div(root)?;
        let norm = |x: &Tensor| x.square()?.sum(())?.sqrt();
        let (w_norm, step_norm) = (norm(w)?, norm(&direction)?);
        let both = w_norm.gt(0.0)?.logical_and(step_norm.gt(0.0)?)?;
        let ratio = both.where_(w_norm.div(step_norm)?, 1.0)?;
        Update::new(w.sub(direction.mul(lr)?.mul(ratio)?)?, [m, v])
    }
}
