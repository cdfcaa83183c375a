//! Updates by the sign of the momentum.

use super::{Update, optimizer};
use crate::error::Result;
use crate::{Scalar, Tensor};

optimizer! {
    /// Lion (Chen et al., 2023): `w -= lr * sign(beta_1 m + (1 - beta_1) g)`.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Lion;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Lion::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Lion = LionRule(0.001) {
        /// The share of the momentum in the direction taken.
        beta_1: f64 = 0.9,
        /// How much of the momentum stays at each step.
        beta_2: f64 = 0.99,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let m = &slots[0];
            let direction = m.mul(self.beta_1)?.add(g.mul(1.0 - self.beta_1)?)?.sign()?;
            let momentum = m.mul(self.beta_2)?.add(g.mul(1.0 - self.beta_2)?)?;
            Update::new(w.sub(direction.mul(numbers[0])?)?, [momentum])
        }
    }
}
