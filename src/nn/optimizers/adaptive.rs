//! Rates adapted to each element by its past gradients.

use super::{Optimizer, Rule, Update, setting};
use crate::Tensor;
use crate::error::Result;

/// `rho * old + (1 - rho) * new`
fn blend(old: &Tensor, new: &Tensor, rho: f64) -> Result<Tensor> {
    old.mul(rho)?.add(new.mul(1.0 - rho)?)
}

/// RMSprop (Hinton, 2012). Defaults: learning rate 1e-3, rho 0.9, no momentum, epsilon 1e-7, not centred.
pub type RMSprop = Optimizer<RMSpropRule>;

/// The rule of [`RMSprop`].
pub struct RMSpropRule {
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

impl RMSprop {
    /// RMSprop with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(RMSpropRule { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }, 0.001)
    }

    /// Whether to divide by the standard deviation of the gradients instead of their root mean square.
    pub fn centered(mut self, yes: bool) -> Self {
        self.rule.centered = yes;
        self
    }

    setting!(rho, "Decay of the mean of the squared gradients.");
    setting!(momentum, "How much of the last step stays in the next.");
    setting!(epsilon, "Added under the root; 1e-7 by default.");
}

impl Default for RMSprop {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for RMSpropRule {
    fn name(&self) -> &'static str {
        "RMSprop"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; 1 + usize::from(self.centered) + usize::from(self.momentum > 0.0)]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let mut old = slots.iter();
        let mut new = Vec::with_capacity(slots.len());
        let mut next = || old.next().unwrap_or(w);
        let squares = blend(next(), &g.square()?, self.rho)?;
        new.push(squares.clone());
        let mut divisor = squares;
        if self.centered {
            let mean = blend(next(), g, self.rho)?;
            divisor = divisor.sub(mean.square()?)?;
            new.push(mean);
        }
        let mut step = g.mul(lr)?.div(divisor.add(self.epsilon)?.sqrt()?)?;
        if self.momentum > 0.0 {
            step = next().mul(self.momentum)?.add(step)?;
            new.push(step.clone());
        }
        Ok(Update { param: w.sub(step)?, slots: new })
    }
}

/// Adagrad (Duchi et al., 2011). Defaults: learning rate 1e-3, initial accumulator 0.1, epsilon 1e-7.
pub type Adagrad = Optimizer<AdagradRule>;

/// The rule of [`Adagrad`].
pub struct AdagradRule {
    initial_accumulator_value: f64,
    epsilon: f64,
}

impl Adagrad {
    /// Adagrad with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(AdagradRule { initial_accumulator_value: 0.1, epsilon: 1e-7 }, 0.001)
    }

    setting!(initial_accumulator_value, "Where the sums of squared gradients start.");
    setting!(epsilon, "Added under the root; 1e-7 by default.");
}

impl Default for Adagrad {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for AdagradRule {
    fn name(&self) -> &'static str {
        "Adagrad"
    }

    fn slots(&self) -> Vec<f64> {
        vec![self.initial_accumulator_value]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let sum = slots[0].add(g.square()?)?;
        let step = g.mul(lr)?.div(sum.add(self.epsilon)?.sqrt()?)?;
        Update::new(w.sub(step)?, [sum])
    }
}

/// Adadelta (Zeiler, 2012). Defaults: learning rate 1e-3, rho 0.95, epsilon 1e-7.
pub type Adadelta = Optimizer<AdadeltaRule>;

/// The rule of [`Adadelta`].
pub struct AdadeltaRule {
    rho: f64,
    epsilon: f64,
}

impl Adadelta {
    /// Adadelta with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(AdadeltaRule { rho: 0.95, epsilon: 1e-7 }, 0.001)
    }

    setting!(rho, "Decay of both means.");
    setting!(epsilon, "Added under the roots; 1e-7 by default.");
}

impl Default for Adadelta {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for AdadeltaRule {
    fn name(&self) -> &'static str {
        "Adadelta"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let rms = |x: &Tensor| x.add(self.epsilon)?.sqrt();
        let squares = blend(&slots[0], &g.square()?, self.rho)?;
        let step = rms(&slots[1])?.mul(g)?.div(rms(&squares)?)?;
        let steps = blend(&slots[1], &step.square()?, self.rho)?;
        Update::new(w.sub(step.mul(lr)?)?, [squares, steps])
    }
}

/// Follow the regularised leader (McMahan et al., 2013). Defaults: learning rate 1e-3, power -0.5, initial
/// accumulator 0.1, no regularisation.
pub type Ftrl = Optimizer<FtrlRule>;

/// The rule of [`Ftrl`].
pub struct FtrlRule {
    learning_rate_power: f64,
    initial_accumulator_value: f64,
    l1_regularization_strength: f64,
    l2_regularization_strength: f64,
    l2_shrinkage_regularization_strength: f64,
    beta: f64,
}

impl Ftrl {
    /// Ftrl with Keras's defaults.
    pub fn new() -> Self {
        let rule = FtrlRule {
            learning_rate_power: -0.5,
            initial_accumulator_value: 0.1,
            l1_regularization_strength: 0.0,
            l2_regularization_strength: 0.0,
            l2_shrinkage_regularization_strength: 0.0,
            beta: 0.0,
        };
        Optimizer::with_rule(rule, 0.001)
    }

    setting!(learning_rate_power, "How the rate falls with the accumulator; at most 0.");
    setting!(initial_accumulator_value, "Where the sums of squared gradients start.");
    setting!(l1_regularization_strength, "L1 penalty.");
    setting!(l2_regularization_strength, "L2 penalty that stabilises.");
    setting!(l2_shrinkage_regularization_strength, "L2 penalty on the size of the weights.");
    setting!(beta, "Added to the learning rate's divisor.");
}

impl Default for Ftrl {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for FtrlRule {
    fn name(&self) -> &'static str {
        "Ftrl"
    }

    fn slots(&self) -> Vec<f64> {
        vec![self.initial_accumulator_value, 0.0]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let root = |x: &Tensor| match self.learning_rate_power {
            -0.5 => x.sqrt(),
            power => x.pow(-power),
        };
        let (sum, linear) = (&slots[0], &slots[1]);
        let l2 = self.l2_regularization_strength + self.beta / (2.0 * lr);
        let shrunk = match self.l2_shrinkage_regularization_strength {
            0.0 => g.clone(),
            strength => g.add(w.mul(2.0 * strength)?)?,
        };
        let new_sum = sum.add(g.square()?)?;
        let new_root = root(&new_sum)?;
        let sigma = new_root.sub(root(sum)?)?.div(lr)?;
        let linear = linear.add(shrunk.sub(sigma.mul(w)?)?)?;
        let quadratic = new_root.div(lr)?.add(2.0 * l2)?;
        let l1 = self.l1_regularization_strength;
        let new = linear.clip(-l1, l1)?.sub(&linear)?.div(quadratic)?;
        Update::new(new, [new_sum, linear])
    }
}
