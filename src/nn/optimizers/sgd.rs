//! Gradient descent.

use super::{Update, optimizer};
use crate::error::Result;
use crate::{Scalar, Tensor};

optimizer! {
    /// Gradient descent, with optional (Nesterov) momentum.
    ///
    /// `velocity = momentum * velocity - lr * g`; `w += velocity`, or `w += momentum * velocity - lr * g` with Nesterov's.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::SGD;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = SGD::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    SGD = SGDRule(0.01) {
        /// How much of the velocity stays at each step.
        momentum: f64 = 0.0,
        /// Whether to look ahead by the momentum.
        nesterov: bool = false,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            if self.momentum == 0.0 { vec![] } else { vec![0.0] }
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let move_by = g.mul(numbers[0])?;
            let [velocity] = slots else { return Update::new(w.sub(move_by)?, []) };
            let velocity = velocity.mul(self.momentum)?.sub(&move_by)?;
            let new = match self.nesterov {
                true => w.add(velocity.mul(self.momentum)?.sub(move_by)?)?,
                false => w.add(&velocity)?,
            };
            Update::new(new, [velocity])
        }
    }
}
