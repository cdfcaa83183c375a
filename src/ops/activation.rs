//! Activation functions made of the pointwise rows, with Keras's names, formulas and defaults; gradients follow.

use crate::error::Result;
use crate::graph::Tensor;

/// SELU's scale and its product with alpha (Klambauer et al., "Self-Normalizing Neural Networks", 2017).
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident |$x:ident $(, $arg:ident: $ty:ty)*| $body:block)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The element type is not a float.
                #[track_caller]
                pub fn $name(&self $(, $arg: $ty)*) -> Result<Tensor> {
                    let $x = self;
                    $body
                }
            )*
        }
    };
}

activations! {
    /// `x sigmoid(x)`, also called swish.
    silu |x| { x.mul(x.sigmoid()?) }

    /// The Gaussian error linear unit `x (1 + erf(x / sqrt(2))) / 2`; with `approximate`
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    gelu |x, approximate: bool| {
        let inner = if approximate {
            let cubic = x.square()?.mul(x)?.mul(0.044715)?.add(x)?;
            cubic.mul(std::f64::consts::FRAC_2_SQRT_PI * SQRT_HALF)?.tanh()?
        } else {
            x.mul(SQRT_HALF)?.erf()?
        };
        inner.add(1.0)?.mul(x)?.mul(0.5)
    }

    /// `x` where it is positive, else `alpha (e^x - 1)`.
    elu |x, alpha: f64| {
        // The other branch sees 0, so that its overflow does not reach the gradient.
        x.gt(0.0)?.select(x, x.minimum(0.0)?.expm1()?.mul(alpha)?)
    }

    /// `1.0507 elu(x, 1.67326)`.
    selu |x| { x.elu(SELU_ALPHA)?.mul(SELU_SCALE) }

    /// `max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)`.
    celu |x, alpha: f64| {
        x.gt(0.0)?.select(x, x.minimum(0.0)?.div(alpha)?.expm1()?.mul(alpha)?)
    }

    /// `x / (1 + |x|)`.
    softsign |x| { x.div(x.abs()?.add(1.0)?) }

    /// `relu6(x + 3) / 6`.
    hard_sigmoid |x| { x.add(3.0)?.relu6()?.mul(1.0 / 6.0) }

    /// `x` limited to `-1..=1`.
    hard_tanh |x| { x.clamp(-1.0, 1.0) }

    /// `x hard_sigmoid(x)`, also called hard swish.
    hard_silu |x| { x.mul(x.hard_sigmoid()?) }

    /// `x` where it is positive, else `negative_slope x`. Keras's default slope is 0.2.
    leaky_relu |x, negative_slope: f64| { x.gt(0.0)?.select(x, x.mul(negative_slope)?) }

    /// `x` limited to `0..=6`; the gradient is 0 at both ends.
    relu6 |x| { x.lt(6.0)?.select(x.relu()?, x.minimum(6.0)?.detach()) }

    /// `x tanh(softplus(x))`.
    mish |x| { x.mul(x.softplus()?.tanh()?) }

    /// `x - tanh(x)`.
    tanh_shrink |x| { x.sub(x.tanh()?) }

    /// `x` moved towards 0 by `threshold`, and 0 within it. Keras's default threshold is 0.5.
    soft_shrink |x, threshold: f64| {
        let moved = x.sub(x.sign()?.mul(threshold)?)?;
        x.abs()?.le(threshold)?.select(0.0, &moved)
    }

    /// `x` outside `-threshold..=threshold`, 0 within. Keras's default threshold is 0.5.
    hard_shrink |x, threshold: f64| { x.abs()?.le(threshold)?.select(0.0, x) }

    /// `x` above `threshold`, else `value`.
    threshold |x, threshold: f64, value: f64| { x.gt(threshold)?.select(x, value) }

    /// `(x + sqrt(x^2 + b)) / 2`. Keras's default `b` is 4.
    squareplus |x, b: f64| { x.square()?.add(b)?.sqrt()?.add(x)?.mul(0.5) }

    /// 0 below -1, `(x + 1)^2 / 4` up to 1, and `x` above.
    sparse_plus |x| {
        let bend = x.add(1.0)?.square()?.mul(0.25)?;
        x.le(-1.0)?.select(0.0, x.ge(1.0)?.select(x, &bend)?)
    }

    /// 0 up to -1, `(x + 1) / 2` up to 1, and 1 above.
    sparse_sigmoid |x| { x.add(1.0)?.mul(0.5)?.clamp(0.0, 1.0) }
}
