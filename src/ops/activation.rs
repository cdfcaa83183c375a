//! Activation functions made of the pointwise rows, with Keras's names, formulas and defaults; gradients follow. Behind each
//! name stand the arguments of the example in its documentation, and what that gives for -1.5 and 3.

use crate::error::Result;
use crate::graph::Tensor;

/// SELU's scale and its product with alpha (Klambauer et al., "Self-Normalizing Neural Networks", 2017).
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident ($($given:literal),*) => $output:literal |$x:ident $(, $arg:ident: $ty:ty)*| $body:block)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// ```
                /// # use wgtensor::{Device, Tensor};
                /// let x = Tensor::new([-1.5f32, 3.0], &Device::cpu())?;
                #[doc = concat!(
                    "assert_eq!(format!(\"{:.3}\", x.", stringify!($name), "(", stringify!($($given),*), ")?), \"", $output, "\");",
                )]
                /// # Ok::<(), wgtensor::Error>(())
                /// ```
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
    silu () => "[-0.274  2.858]" |x| { x.mul(x.sigmoid()?) }

    /// The Gaussian error linear unit `x (1 + erf(x / sqrt(2))) / 2`; with `approximate`
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    gelu (false) => "[-0.100  2.996]" |x, approximate: bool| {
        // Beyond 40 the gate is 0 or 1 to the last digit of any type. Within, nothing overflows, nor in the gradient.
        let near = x.clip(-40.0, 40.0)?;
        let gate = if approximate {
            let cubic = near.square()?.mul(&near)?.mul(0.044715)?.add(&near)?;
            cubic.mul(std::f64::consts::FRAC_2_SQRT_PI * SQRT_HALF)?.tanh()?
        } else {
            near.mul(SQRT_HALF)?.erf()?
        };
        // Halved before the product: twice the result need not be finite.
        gate.mul(0.5)?.add(0.5)?.mul(x)
    }

    /// `x` where it is positive, else `alpha (e^x - 1)`.
    elu (1.0) => "[-0.777  3.000]" |x, alpha: f64| {
        // The other branch sees 0 where it is not taken, so that its overflow does not reach the gradient; at 0 it is taken.
        let positive = x.gt(0.0)?;
        positive.where_(x, positive.where_(0.0, x)?.expm1()?.mul(alpha)?)
    }

    /// `1.0507 elu(x, 1.67326)`.
    selu () => "[-1.366  3.152]" |x| { x.elu(SELU_ALPHA)?.mul(SELU_SCALE) }

    /// `max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)`.
    celu (2.0) => "[-1.055  3.000]" |x, alpha: f64| {
        let positive = x.gt(0.0)?;
        positive.where_(x, positive.where_(0.0, x)?.div(alpha)?.expm1()?.mul(alpha)?)
    }

    /// `x / (1 + |x|)`.
    softsign () => "[-0.600  0.750]" |x| { x.div(x.abs()?.add(1.0)?) }

    /// `relu6(x + 3) / 6`.
    hard_sigmoid () => "[0.250 1.000]" |x| { x.add(3.0)?.relu6()?.mul(1.0 / 6.0) }

    /// `x` limited to `-1..=1`.
    hard_tanh () => "[-1.000  1.000]" |x| { x.clip(-1.0, 1.0) }

    /// `x hard_sigmoid(x)`, also called hard swish.
    hard_silu () => "[-0.375  3.000]" |x| { x.mul(x.hard_sigmoid()?) }

    /// `x` where it is positive, else `negative_slope x`. Keras's default slope is 0.2.
    leaky_relu (0.2) => "[-0.300  3.000]" |x, negative_slope: f64| { x.gt(0.0)?.where_(x, x.mul(negative_slope)?) }

    /// `x` limited to `0..=6`; the gradient is 0 at both ends.
    relu6 () => "[0.000 3.000]" |x| { x.lt(6.0)?.where_(x.relu()?, x.minimum(6.0)?.detach()) }

    /// `x tanh(softplus(x))`.
    mish () => "[-0.298  2.987]" |x| { x.mul(x.softplus()?.tanh()?) }

    /// `x - tanh(x)`.
    tanh_shrink () => "[-0.595  2.005]" |x| { x.sub(x.tanh()?) }

    /// `x` moved towards 0 by `threshold`, and 0 within it. Keras's default threshold is 0.5.
    soft_shrink (0.5) => "[-1.000  2.500]" |x, threshold: f64| {
        let moved = x.sub(x.sign()?.mul(threshold)?)?;
        x.abs()?.le(threshold)?.where_(0.0, &moved)
    }

    /// `x` outside `-threshold..=threshold`, 0 within. Keras's default threshold is 0.5.
    hard_shrink (0.5) => "[-1.500  3.000]" |x, threshold: f64| { x.abs()?.le(threshold)?.where_(0.0, x) }

    /// `x` above `threshold`, else `value`.
    threshold (1.0, -2.0) => "[-2.000  3.000]" |x, threshold: f64, value: f64| { x.gt(threshold)?.where_(x, value) }

    /// `(x + sqrt(x^2 + b)) / 2`. Keras's default `b` is 4.
    squareplus (4.0) => "[0.500 3.303]" |x, b: f64| { x.hypot(b.sqrt())?.mul(0.5)?.add(x.mul(0.5)?) }

    /// 0 below -1, `(x + 1)^2 / 4` up to 1, and `x` above.
    sparse_plus () => "[0.000 3.000]" |x| {
        let bend = x.add(1.0)?.square()?.mul(0.25)?;
        x.le(-1.0)?.where_(0.0, x.ge(1.0)?.where_(x, &bend)?)
    }

    /// 0 up to -1, `(x + 1) / 2` up to 1, and 1 above.
    sparse_sigmoid () => "[0.000 1.000]" |x| { x.add(1.0)?.mul(0.5)?.clip(0.0, 1.0) }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use crate::{DType, Device, Result, Tensor, grad};

    /// Each function's value and slope at a few points, from Keras's formulas in `f64`.
    #[test]
    fn values_and_slopes_are_those_of_the_formulas() -> Result<()> {
        type Case = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let cases: [Case; 18] = [
            ("silu", |x| x.silu(), |x| x / (1.0 + (-x).exp())),
            (
                "gelu",
                |x| x.gelu(true),
                |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
            ),
            ("elu", |x| x.elu(1.2), |x| if x > 0.0 { x } else { 1.2 * x.exp_m1() }),
            ("selu", |x| x.selu(), |x| 1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }),
            ("celu", |x| x.celu(1.5), |x| x.max(0.0) + (1.5 * (x / 1.5).exp_m1()).min(0.0)),
            ("softsign", |x| x.softsign(), |x| x / (1.0 + x.abs())),
            ("hard_sigmoid", |x| x.hard_sigmoid(), |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
            ("hard_tanh", |x| x.hard_tanh(), |x| x.clamp(-1.0, 1.0)),
            ("hard_silu", |x| x.hard_silu(), |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
            ("leaky_relu", |x| x.leaky_relu(0.2), |x| if x > 0.0 { x } else { 0.2 * x }),
            ("relu6", |x| x.relu6(), |x| x.clamp(0.0, 6.0)),
            ("mish", |x| x.mish(), |x| x * x.exp().ln_1p().tanh()),
            ("tanh_shrink", |x| x.tanh_shrink(), |x| x - x.tanh()),
            ("soft_shrink", |x| x.soft_shrink(0.5), |x| x.signum() * (x.abs() - 0.5).max(0.0)),
            ("hard_shrink", |x| x.hard_shrink(0.5), |x| if x.abs() > 0.5 { x } else { 0.0 }),
            ("threshold", |x| x.threshold(0.3, -1.0), |x| if x > 0.3 { x } else { -1.0 }),
            ("squareplus", |x| x.squareplus(4.0), |x| (x + (x * x + 4.0).sqrt()) / 2.0),
            (
                "sparse_plus",
                |x| x.sparse_plus(),
                |x| match x {
                    x if x <= -1.0 => 0.0,
                    x if x < 1.0 => (x + 1.0) * (x + 1.0) / 4.0,
                    x => x,
                },
            ),
        ];
        let xs = [-88.9, -7.3, -3.21, -1.4, -0.61, -0.2, 0.17, 0.45, 0.77, 1.9, 2.7, 5.3, 8.1, 90.0];
        let x = Tensor::new(xs, &Device::cpu())?.requires_grad();
        assert_eq!(x.dtype(), DType::F64);
        for (name, f, formula) in cases {
            let y = f(&x)?;
            let slopes = grad(&y.sum(())?, &[&x])?[0].to_vec::<f64>()?;
            for ((x, y), slope) in xs.into_iter().zip(y.to_vec::<f64>()?).zip(slopes) {
                let (want, h) = (formula(x), 1e-5);
                assert!((y - want).abs() <= 1e-12 * (1.0 + want.abs()), "{name}({x}) = {y}, not {want}");
                let want = (formula(x + h) - formula(x - h)) / (2.0 * h);
                assert!((slope - want).abs() <= 1e-6, "{name}'({x}) = {slope}, not {want}");
            }
        }
        let exact = x.gelu(false)?.to_vec::<f64>()?;
        assert!((exact[6] - 0.17 * 0.567_494_931_675_038_8).abs() < 1e-9, "{}", exact[6]);
        assert_eq!(x.sparse_sigmoid()?.to_vec::<f64>()?[4], 0.5 * (1.0 - 0.61));
        assert!((x.sigmoid()?.to_vec::<f64>()?[1] - sigmoid(-7.3)).abs() < 1e-15);
        Ok(())
    }

    /// Where `x^2` or `2 x` is infinite, the functions and their slopes are not.
    #[test]
    fn large_arguments_do_not_overflow() -> Result<()> {
        let xs = [-3e38f32, -2e19, -1e13, 1e13, 2e19, 3e38];
        let x = Tensor::new(xs, &Device::cpu())?.requires_grad();
        type Function = fn(&Tensor) -> Result<Tensor>;
        let like_relu: [(&str, Function); 5] = [
            ("gelu", |x| x.gelu(false)),
            ("gelu with tanh", |x| x.gelu(true)),
            ("silu", |x| x.silu()),
            ("mish", |x| x.mish()),
            ("squareplus", |x| x.squareplus(4.0)),
        ];
        for (name, f) in like_relu {
            let y = f(&x)?;
            let slopes = grad(&y.sum(())?, &[&x])?[0].to_vec::<f32>()?;
            assert_eq!(y.to_vec::<f32>()?, xs.map(|x| x.max(0.0)), "{name}");
            assert_eq!(slopes, xs.map(|x| if x > 0.0 { 1.0 } else { 0.0 }), "slopes of {name}");
        }
        Ok(())
    }

    #[test]
    fn kinks_have_kerass_slopes() -> Result<()> {
        let x = Tensor::new([-3.0f32, 0.0, 3.0, 6.0], &Device::cpu())?.requires_grad();
        let slope = |y: Tensor| grad(&y.sum(())?, &[&x])?[0].to_vec::<f32>();
        assert_eq!(slope(x.relu6()?)?, [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(slope(x.leaky_relu(0.2)?)?, [0.2, 0.2, 1.0, 1.0]);
        // At 0 the exponential branch is taken.
        assert_eq!((slope(x.elu(0.5)?)?[1], slope(x.celu(0.5)?)?[1]), (0.5, 1.0));
        assert!(x.detach().relu6()?.to_vec::<f32>()? == [0.0, 0.0, 3.0, 6.0]);
        let nan = Tensor::new([f32::NAN], &Device::cpu())?;
        for y in [nan.relu6()?, nan.elu(1.0)?, nan.leaky_relu(0.1)?, nan.hard_tanh()?, nan.sparse_plus()?] {
            assert!(y.item::<f32>()?.is_nan());
        }
        Ok(())
    }
}
