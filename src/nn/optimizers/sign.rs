//! Updates by the sign of the momentum.

use super::{Optimizer, Rule, Update, setting};
use crate::Tensor;
use crate::error::Result;

/// Lion (Chen et al., 2023): `w -= lr * sign(beta_1 m + (1 - beta_1) g)`. Defaults: learning rate 1e-3,
/// beta_1 0.9, beta_2 0.99.
pub type Lion = Optimizer<LionRule>;

/// The rule of [`Lion`].
pub struct LionRule {
    beta_1: f64,
    beta_2: f64,
}

impl Lion {
    /// Lion with Keras's defaults.
    pub fn new() -> Self {
        Optimizer::with_rule(LionRule { beta_1: 0.9, beta_2: 0.99 }, 0.001)
    }

    setting!(beta_1, "The share of the momentum in the direction taken.");
    setting!(beta_2, "How much of the momentum stays at each step.");
}

impl Default for Lion {
    fn default() -> Self {
        Self::new()
    }
}

impl Rule for LionRule {
    fn name(&self) -> &'static str {
        "Lion"
    }

    fn slots(&self) -> Vec<f64> {
        vec![0.0]
    }

    fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], lr: f64, _: u64) -> Result<Update> {
        let m = &slots[0];
        let direction = m.mul(self.beta_1)?.add(g.mul(1.0 - self.beta_1)?)?.sign()?;
        let momentum = m.mul(self.beta_2)?.add(g.mul(1.0 - self.beta_2)?)?;
        Update::new(w.sub(direction.mul(lr)?)?, [momentum])
    }
}
