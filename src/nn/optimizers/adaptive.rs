//! Rates adapted to each element by its past gradients.

use super::{Update, optimizer};
use crate::error::Result;
use crate::nn::config::nonnegative;
use crate::{Scalar, Tensor};

/// `rho * old + (1 - rho) * new`
fn blend(old: &Tensor, new: &Tensor, rho: f64) -> Result<Tensor> {
    old.mul(rho)?.add(new.mul(1.0 - rho)?)
}

optimizer! {
    /// RMSprop (Hinton, 2012).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::RMSprop;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = RMSprop::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    RMSprop = RMSpropRule(0.001) {
        /// Decay of the mean of the squared gradients.
        rho: f64 = 0.9,
        /// How much of the last step stays in the next.
        momentum: f64 = 0.0,
        /// Added under the root.
        epsilon: f64 = 1e-7,
        /// Whether to divide by the standard deviation of the gradients instead of their root mean square.
        centered: bool = false,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0; 1 + usize::from(self.momentum > 0.0) + usize::from(self.centered)]
        }

        fn slot_groups(&self) -> Vec<usize> {
            vec![1; self.slots().len()]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let squares = blend(&slots[0], &g.square()?, self.rho)?;
            let mut new = vec![squares.clone()];
            let mut divisor = squares;
            let mean = slots.last().filter(|_| self.centered).map(|mean| blend(mean, g, self.rho)).transpose()?;
            if let Some(mean) = &mean {
                divisor = divisor.sub(mean.square()?)?;
            }
            let mut step = g.mul(numbers[0])?.div(divisor.add(self.epsilon)?.sqrt()?)?;
            if self.momentum > 0.0 {
                step = slots[1].mul(self.momentum)?.add(step)?;
                new.push(step.clone());
            }
            new.extend(mean);
            Ok(Update { param: w.sub(step)?, slots: new })
        }
    }
}

optimizer! {
    /// Adagrad (Duchi et al., 2011).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Adagrad;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Adagrad::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Adagrad = AdagradRule(0.001) {
        /// Where the sums of squared gradients start.
        initial_accumulator_value: f64 where nonnegative = 0.1,
        /// Added under the root.
        epsilon: f64 = 1e-7,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![self.initial_accumulator_value]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let sum = slots[0].add(g.square()?)?;
            let step = g.mul(numbers[0])?.div(sum.add(self.epsilon)?.sqrt()?)?;
            Update::new(w.sub(step)?, [sum])
        }
    }
}

optimizer! {
    /// Adadelta (Zeiler, 2012).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Adadelta;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Adadelta::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Adadelta = AdadeltaRule(0.001) {
        /// Decay of both means.
        rho: f64 = 0.95,
        /// Added under the roots.
        epsilon: f64 = 1e-7,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0; 2]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let rms = |x: &Tensor| x.add(self.epsilon)?.sqrt();
            let squares = blend(&slots[0], &g.square()?, self.rho)?;
            let step = rms(&slots[1])?.mul(g)?.div(rms(&squares)?)?;
            let steps = blend(&slots[1], &step.square()?, self.rho)?;
            Update::new(w.sub(step.mul(numbers[0])?)?, [squares, steps])
        }
    }
}

optimizer! {
    /// Follow the regularised leader (McMahan et al., 2013).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Ftrl;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Ftrl::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Ftrl = FtrlRule(0.001) {
        /// How the rate falls with the accumulator; at most 0.
        learning_rate_power: f64 = -0.5,
        /// Where the sums of squared gradients start.
        initial_accumulator_value: f64 where nonnegative = 0.1,
        /// L1 penalty.
        l1_regularization_strength: f64 where nonnegative = 0.0,
        /// L2 penalty that stabilises.
        l2_regularization_strength: f64 where nonnegative = 0.0,
        /// L2 penalty on the size of the weights.
        l2_shrinkage_regularization_strength: f64 where nonnegative = 0.0,
        /// Added to the learning rate's divisor.
        beta: f64 = 0.0,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![self.initial_accumulator_value, 0.0]
        }

        fn numbers(&mut self, lr: f64, _: u64) -> Vec<f64> {
            vec![lr, 2.0 * self.l2_regularization_strength + self.beta / lr]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let (lr, twice_l2) = (numbers[0], numbers[1]);
            let root = |x: &Tensor| match self.learning_rate_power {
                -0.5 => x.sqrt(),
                power => x.pow(-power),
            };
            let (sum, linear) = (&slots[0], &slots[1]);
            let shrunk = match self.l2_shrinkage_regularization_strength {
                0.0 => g.clone(),
                strength => g.add(w.mul(2.0 * strength)?)?,
            };
            let new_sum = sum.add(g.square()?)?;
            let new_root = root(&new_sum)?;
            let sigma = new_root.sub(root(sum)?)?.div(lr)?;
            let linear = linear.add(shrunk.sub(sigma.mul(w)?)?)?;
            let quadratic = new_root.div(lr)?.add(twice_l2)?;
            let l1 = self.l1_regularization_strength;
            let new = linear.clip(-l1, l1)?.sub(&linear)?.div(quadratic)?;
            Update::new(new, [new_sum, linear])
        }
    }
}
