//! Losses that are a mean or a sum of a pointwise formula.

use super::{EPSILON, Loss, Reduction, reduced};
use crate::Tensor;
use crate::error::Result;

/// A loss without settings of its own.
macro_rules! plain {
    ($loss:ident, $name:literal, $doc:literal, |$t:ident, $p:ident| $values:expr) => {
        #[doc = $doc]
        #[derive(Clone, Debug, Default)]
        pub struct $loss {
            reduction: Reduction,
        }

        impl $loss {
            reduced!();
        }

        impl Loss for $loss {
            fn name(&self) -> String {
                $name.into()
            }

            fn values(&self, $t: &Tensor, $p: &Tensor) -> Result<Tensor> {
                $values
            }

            fn reduction(&self) -> Reduction {
                self.reduction
            }
        }
    };
}

plain!(MeanSquaredError, "mean_squared_error", "`mean((t - p)^2)` over the last axis.", |t, p| {
    p.sub(t)?.square()?.mean(-1)
});
plain!(MeanAbsoluteError, "mean_absolute_error", "`mean(|t - p|)` over the last axis.", |t, p| {
    p.sub(t)?.abs()?.mean(-1)
});
plain!(
    MeanAbsolutePercentageError,
    "mean_absolute_percentage_error",
    "`100 mean(|t - p| / max(|t|, 1e-7))` over the last axis.",
    |t, p| t.sub(p)?.div(t.abs()?.maximum(EPSILON)?)?.abs()?.mean(-1)?.mul(100.0)
);
plain!(
    MeanSquaredLogarithmicError,
    "mean_squared_logarithmic_error",
    "`mean((ln(t + 1) - ln(p + 1))^2)` over the last axis, with `t` and `p` at least 1e-7.",
    |t, p| {
        let log = |x: &Tensor| x.maximum(EPSILON)?.add(1.0)?.log();
        log(p)?.sub(log(t)?)?.square()?.mean(-1)
    }
);
plain!(LogCosh, "log_cosh", "`mean(ln cosh(p - t))` over the last axis; does not overflow.", |t, p| {
    let x = p.sub(t)?;
    x.mul(-2.0)?.softplus()?.add(&x)?.sub(std::f64::consts::LN_2)?.mean(-1)
});
plain!(
    KLDivergence,
    "kl_divergence",
    "`sum(t ln(t / p))` over the last axis, with `t` and `p` clipped to 1e-7..1.",
    |t, p| {
        let (t, p) = (t.clip(EPSILON, 1.0)?, p.clip(EPSILON, 1.0)?);
        t.div(&p)?.log()?.mul(&t)?.sum(-1)
    }
);
plain!(Poisson, "poisson", "`mean(p - t ln(p + 1e-7))` over the last axis.", |t, p| {
    p.sub(p.add(EPSILON)?.log()?.mul(t)?)?.mean(-1)
});
plain!(Hinge, "hinge", "`mean(max(1 - t p, 0))` over the last axis; targets -1 or 1 (0 is taken for -1).", |t, p| {
    hinge_margin(t, p)?.mean(-1)
});
plain!(
    SquaredHinge,
    "squared_hinge",
    "`mean(max(1 - t p, 0)^2)` over the last axis; targets -1 or 1 (0 is taken for -1).",
    |t, p| hinge_margin(t, p)?.square()?.mean(-1)
);
plain!(CategoricalHinge, "categorical_hinge", "`max(max((1 - t) p) - sum(t p) + 1, 0)` over the last axis.", |t, p| {
    let right = t.mul(p)?.sum(-1)?;
    let wrong = t.neg()?.add(1.0)?.mul(p)?.max(-1)?;
    wrong.sub(right)?.add(1.0)?.maximum(0.0)
});
plain!(CosineSimilarity, "cosine_similarity", "`-sum(t/|t| * p/|p|)` over the last axis: -1 is alike.", |t, p| {
    // Keras divides by max(|x|, 1e-7).
    let unit = |x: &Tensor| x.div(x.square()?.sum_keepdims(-1)?.maximum(EPSILON * EPSILON)?.sqrt()?);
    unit(t)?.mul(unit(p)?)?.sum(-1)?.neg()
});
plain!(Dice, "dice", "`1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7)` over the whole batch.", |t, p| {
    let both = t.mul(p)?.sum(())?.mul(2.0)?;
    both.div(t.sum(())?.add(p.sum(())?)?.add(EPSILON)?)?.neg()?.add(1.0)
});

/// `max(1 - t p, 0)`. Where every target is 0 or 1, zeros become -1.
fn hinge_margin(t: &Tensor, p: &Tensor) -> Result<Tensor> {
    let binary = t.eq(0.0)?.logical_or(t.eq(1.0)?)?.all(())?;
    let t = binary.where_(t.mul(2.0)?.sub(1.0)?, t)?;
    t.mul(p)?.neg()?.add(1.0)?.maximum(0.0)
}

/// Quadratic below `delta`, linear above: `mean(e^2 / 2)` or `mean(delta |e| - delta^2 / 2)` over the last axis.
#[derive(Clone, Debug)]
pub struct Huber {
    delta: f64,
    reduction: Reduction,
}

impl Default for Huber {
    fn default() -> Self {
        Huber { delta: 1.0, reduction: Reduction::default() }
    }
}

impl Huber {
    /// Where the loss turns linear; 1 by default.
    pub fn delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    reduced!();
}

impl Loss for Huber {
    fn name(&self) -> String {
        "huber".into()
    }

    fn values(&self, t: &Tensor, p: &Tensor) -> Result<Tensor> {
        let error = p.sub(t)?;
        let size = error.abs()?;
        let linear = size.mul(self.delta)?.sub(0.5 * self.delta * self.delta)?;
        size.le(self.delta)?.where_(error.square()?.mul(0.5)?, linear)?.mean(-1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}
