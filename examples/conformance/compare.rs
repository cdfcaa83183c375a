//! The comparison rule: `|got - expected| <= atol + rtol * |expected|` for every element; NaN matches NaN,
//! an infinity the same infinity, -0 matches 0.

use std::fmt;

use serde_json::Value;

/// How close is close enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tolerance {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
}

impl Tolerance {
    /// Equality, for integers and booleans.
    pub(crate) const EXACT: Tolerance = Tolerance { rtol: 0.0, atol: 0.0 };

    /// The column of a case's tolerance that suits the device; `None` where the tensor is not to be judged.
    ///
    /// # Errors
    /// There is no tolerance, or not a whole one: such a case is broken, not exact.
    pub(crate) fn of(json: &Value, gpu: bool) -> Result<Option<Tolerance>, String> {
        if json["skip"].as_bool() == Some(true) {
            return Ok(None);
        }
        if json["exact"].as_bool() == Some(true) {
            return Ok(Some(Self::EXACT));
        }
        let (rtol, atol) = if gpu { ("rtol_gpu", "atol_gpu") } else { ("rtol", "atol") };
        match (json[rtol].as_f64(), json[atol].as_f64()) {
            (Some(rtol), Some(atol)) => Ok(Some(Tolerance { rtol, atol })),
            _ => Err(format!("no tolerance with `{rtol}` and `{atol}`, but {json}")),
        }
    }

    /// Whether one element passes.
    pub(crate) fn accepts(self, got: f64, expected: f64) -> bool {
        if got.is_nan() || expected.is_nan() {
            return got.is_nan() && expected.is_nan();
        }
        if got.is_infinite() || expected.is_infinite() {
            return got == expected;
        }
        (got - expected).abs() <= self.atol + self.rtol * expected.abs()
    }
}

/// The elements of one tensor that do not pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mismatch {
    pub(crate) count: usize,
    pub(crate) total: usize,
    /// The worst element.
    pub(crate) index: usize,
    pub(crate) coords: Vec<usize>,
    pub(crate) got: f64,
    pub(crate) expected: f64,
    pub(crate) allowed: f64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = (self.got - self.expected).abs();
        write!(
            f,
            "{} of {} elements off; largest error {error:.3e} at flat index {} {:?}: got {:e}, expected {:e}, tolerance {:.3e}",
            self.count, self.total, self.index, self.coords, self.got, self.expected, self.allowed
        )
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) mismatch: Option<Mismatch>,
    /// Elements that do not pass but that `excuse` let off.
    pub(crate) excused: usize,
}

/// Compares element by element. `alternative` is another expected tensor, just as right;
/// `excuse(i)` says whether a mismatch of element `i` counts.
pub(crate) fn compare(
    got: &[f64],
    expected: &[f64],
    alternative: Option<&[f64]>,
    shape: &[usize],
    tolerance: Tolerance,
    excuse: impl Fn(usize) -> bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut worst = Mismatch { total: expected.len(), ..Mismatch::default() };
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        if tolerance.accepts(g, e) || alternative.is_some_and(|a| tolerance.accepts(g, a[i])) {
            continue;
        }
        if excuse(i) {
            verdict.excused += 1;
            continue;
        }
        worst.count += 1;
        let size = |g: f64, e: f64| if (g - e).is_finite() { (g - e).abs() } else { f64::INFINITY };
        if worst.count == 1 || size(g, e) > size(worst.got, worst.expected) {
            let allowed = tolerance.atol + tolerance.rtol * e.abs();
            worst = Mismatch { index: i, coords: coords(i, shape), got: g, expected: e, allowed, ..worst };
        }
    }
    verdict.mismatch = (worst.count > 0).then_some(worst);
    verdict
}

/// The row-major coordinates of a flat index.
pub(crate) fn coords(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for (c, &extent) in out.iter_mut().zip(shape).rev() {
        *c = index % extent.max(1);
        index /= extent.max(1);
    }
    out
}

/// Whether WGSL, whose implementations may assume that NaN and infinities do not occur and may flush subnormals,
/// promises nothing about an element with this value among its operands or as its result.
pub(crate) fn beyond_wgsl(value: f64) -> bool {
    !value.is_finite() || value.abs() >= 1e18 || (value != 0.0 && value.abs() < f64::from(f32::MIN_POSITIVE))
}
