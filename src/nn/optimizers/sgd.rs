//! Gradient descent.

use super::{Optimizer, Rule, Update, setting};
use crate::Tensor;
use crate::error::Result;

/// Gradient descent, with optional (Nesterov) momentum. Defaults: learning rate 0.01, no momentum.
///
/// `velocity = momentum * velocity - lr * g`; `w += velocity`, or `w += momentum * velocity - lr * g` with Nesterov's.
pub type SGD = Optimizer<SGDRule>;

/// The rule of [`SGD`].
pub struct SGDRule {
    momentum: f64,
    nesterov: bool,
}

impl SGD {
    /// Gradient descent with learning rate 0.01.
    pub fn new() -> Self {
        Optimizer::with_rule(SGDRule { momentum: 0.0, nesterov: false }, 0.01)
    }

    /// Whether to look ahead by the momentum.
    pub fn nesterov(mut self, yes: bool) -> Self {
        self.rule.nesterov = yes;
        self
    }

    setting!(momentum, "How much of the velocity stays at each step.");
}

impl Default for SGD {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for SGDRule {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn slots(&self) -> Vec<f64> {
        if self.momentum == 0.0 { vec![] } else { vec![0.0] }
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let move_by = g.mul(lr)?;
        let [velocity] = slots else { return Update::new(w.sub(move_by)?, []) };
        let velocity = velocity.mul(self.momentum)?.sub(&move_by)?;
        let new = match self.nesterov {
            true => w.add(velocity.mul(self.momentum)?.sub(move_by)?)?,
            false => w.add(&velocity)?,
        };
        Update::new(new, [velocity])
    }
}
