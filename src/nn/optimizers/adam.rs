//! Adam and its family.

use super::{Update, optimizer};
use crate::error::Result;
use crate::{Scalar, Tensor};

/// `m + (x - m) * (1 - beta)`: an exponential moving average, one step further.
fn moving(m: &Tensor, x: &Tensor, beta: f64) -> Result<Tensor> {
    m.add(x.sub(m)?.mul(1.0 - beta)?)
}

/// `beta^step`
fn power(beta: f64, step: u64) -> f64 {
    beta.powf(step as f64)
}

/// Adam's step at the corrected `rate`; the third slot, if there is one, holds the largest second moment so far.
fn adam(
    w: &Tensor,
    g: &Tensor,
    slots: &[Tensor],
    rate: Scalar,
    (beta_1, beta_2, epsilon): (f64, f64, f64),
) -> Result<Update> {
    let m = moving(&slots[0], g, beta_1)?;
    let v = moving(&slots[1], &g.square()?, beta_2)?;
    let largest = slots.get(2).map(|largest| largest.maximum(&v)).transpose()?;
    let root = largest.as_ref().unwrap_or(&v).sqrt()?.add(epsilon)?;
    let new = w.sub(m.mul(rate)?.div(root)?)?;
    Ok(Update { param: new, slots: [m, v].into_iter().chain(largest).collect() })
}

/// [`Adam`] and what differs from it in its defaults alone.
macro_rules! adam {
    ($($(#[$meta:meta])* $name:ident = $rule:ident($($defaults:tt)*);)*) => {$(
        optimizer! {
            $(#[$meta])*
            $name = $rule($($defaults)*) {
                /// Decay of the mean of the gradients.
                beta_1: f64 = 0.9,
                /// Decay of the second accumulator.
                beta_2: f64 = 0.999,
                /// Added to a divisor.
                epsilon: f64 = 1e-7,
                /// Whether to divide by the largest second moment so far (Reddi et al., 2018).
                amsgrad: bool = false,
            }
            => {
                fn slots(&self) -> Vec<f64> {
                    vec![0.0; if self.amsgrad { 3 } else { 2 }]
                }

                fn slot_groups(&self) -> Vec<usize> {
                    vec![2, usize::from(self.amsgrad)]
                }

                fn numbers(&mut self, lr: f64, step: u64) -> Vec<f64> {
                    vec![lr * (1.0 - power(self.beta_2, step)).sqrt() / (1.0 - power(self.beta_1, step))]
                }

                fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
                    adam(w, g, slots, numbers[0], (self.beta_1, self.beta_2, self.epsilon))
                }
            }
        }
    )*};
}

adam! {
    /// Adam (Kingma and Ba, 2014).
    ///
    /// As in Keras the bias correction goes into the rate, and epsilon is added to the uncorrected root:
    /// `w -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Adam;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Adam::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Adam = AdamRule(0.001);

    /// [`Adam`] with decoupled weight decay (Loshchilov and Hutter, 2017).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::AdamW;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = AdamW::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    AdamW = AdamWRule(0.001, weight_decay: 0.004);
}

optimizer! {
    /// Adam with the infinity norm (Kingma and Ba, 2014, section 7.1).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Adamax;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Adamax::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Adamax = AdamaxRule(0.001) {
        /// Decay of the mean of the gradients.
        beta_1: f64 = 0.9,
        /// Decay of the second accumulator.
        beta_2: f64 = 0.999,
        /// Added to a divisor.
        epsilon: f64 = 1e-7,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0; 2]
        }

        fn numbers(&mut self, lr: f64, step: u64) -> Vec<f64> {
            vec![lr / (1.0 - power(self.beta_1, step))]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let m = moving(&slots[0], g, self.beta_1)?;
            let u = slots[1].mul(self.beta_2)?.maximum(g.abs()?)?;
            Update::new(w.sub(m.mul(numbers[0])?.div(u.add(self.epsilon)?)?)?, [m, u])
        }
    }
}

optimizer! {
    /// Adam with Nesterov momentum (Dozat, 2016).
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Nadam;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Nadam::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Nadam = NadamRule(0.001) {
        /// Decay of the mean of the gradients.
        beta_1: f64 = 0.9,
        /// Decay of the second accumulator.
        beta_2: f64 = 0.999,
        /// Added to a divisor.
        epsilon: f64 = 1e-7,
    }
    state { product: Product }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0; 2]
        }

        fn running(&self, updates: u64) -> Option<f64> {
            Some(self.factors(0, 1.0, updates))
        }

        fn numbers(&mut self, lr: f64, step: u64) -> Vec<f64> {
            let (now, next) = (self.momentum(step), self.momentum(step + 1));
            let product = self.product(step);
            let from_m = next / (1.0 - product * next);
            let from_g = (1.0 - now) / (1.0 - product);
            vec![lr, from_m, from_g, 1.0 / (1.0 - power(self.beta_2, step))]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let [lr, from_m, from_g, correction] = *numbers else { unreachable!("four numbers a step") };
            let m = moving(&slots[0], g, self.beta_1)?;
            let v = moving(&slots[1], &g.square()?, self.beta_2)?;
            let direction = m.mul(from_m)?.add(g.mul(from_g)?)?;
            let root = v.mul(correction)?.sqrt()?.add(self.epsilon)?;
            Update::new(w.sub(direction.mul(lr)?.div(root)?)?, [m, v])
        }
    }
}

impl NadamRule {
    /// The momentum at a step.
    fn momentum(&self, step: u64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * power(0.96, step))
    }

    /// The product up to the step `start` with the factors up to `end`; after a few thousand of them it is no number to speak of.
    fn factors(&self, start: u64, product: f64, end: u64) -> f64 {
        let next = |product: f64, step| (product > f64::MIN_POSITIVE).then(|| product * self.momentum(step));
        (start + 1..=end).try_fold(product, next).unwrap_or(0.0)
    }

    /// The product of the momentum's schedule up to this step: one factor more than at the step before.
    fn product(&mut self, step: u64) -> f64 {
        let Product { up_to, value } = self.product;
        let (start, value) = if up_to < step { (up_to, value) } else { (0, 1.0) };
        let value = self.factors(start, value, step);
        self.product = Product { up_to: step, value };
        value
    }
}

/// The product of Nadam's momentum up to a step.
struct Product {
    up_to: u64,
    value: f64,
}

impl Default for Product {
    fn default() -> Self {
        Product { up_to: 0, value: 1.0 }
    }
}

optimizer! {
    /// Layer-wise adaptive moments (You et al., 2019): an Adam step scaled by `|w| / |step|` for each variable.
    ///
    /// ```
    /// use wgtensor::nn::optimizers::Lamb;
    /// # use wgtensor::{Device, Tensor, Var};
    ///
    /// let w = Var::new(&Tensor::new([1.0f32, -2.0], &Device::cpu())?);
    /// let mut optimizer = Lamb::new(0.1);
    /// let loss = w.value().square()?.sum(())?;
    /// optimizer.apply(&loss.backward()?)?;
    /// assert!(w.value().square()?.sum(())?.item::<f32>()? < 5.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    Lamb = LambRule(0.001) {
        /// Decay of the mean of the gradients.
        beta_1: f64 = 0.9,
        /// Decay of the second accumulator.
        beta_2: f64 = 0.999,
        /// Added to a divisor.
        epsilon: f64 = 1e-7,
    }
    => {
        fn slots(&self) -> Vec<f64> {
            vec![0.0; 2]
        }

        fn numbers(&mut self, lr: f64, step: u64) -> Vec<f64> {
            vec![lr, 1.0 / (1.0 - power(self.beta_1, step)), 1.0 / (1.0 - power(self.beta_2, step))]
        }

        fn update(&self, w: &Tensor, g: &Tensor, slots: &[Tensor], numbers: &[Scalar]) -> Result<Update> {
            let m = moving(&slots[0], g, self.beta_1)?;
            let v = moving(&slots[1], &g.square()?, self.beta_2)?;
            let root = v.mul(numbers[2])?.sqrt()?.add(self.epsilon)?;
            let direction = m.mul(numbers[1])?.div(root)?;
            let norm = |x: &Tensor| x.square()?.sum(())?.sqrt();
            let (w_norm, step_norm) = (norm(w)?, norm(&direction)?);
            let both = w_norm.gt(0.0)?.logical_and(step_norm.gt(0.0)?)?;
            let ratio = both.where_(w_norm.div(step_norm)?, 1.0)?;
            Update::new(w.sub(direction.mul(numbers[0])?.mul(ratio)?)?, [m, v])
        }
    }
}
