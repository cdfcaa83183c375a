//! One tolerance rule for the whole suite.

use wgtensor::{DType, Device, Tensor};

pub(crate) use crate::conformance::compare::Tolerance;
use crate::conformance::compare::coords;

/// The bound for `f32` results of a few operations on values near 1: a driver's `exp`, `sin` or `tanh` is an
/// approximation, hence the wider one for GPUs; 1e-10 for `f64`, which only the CPU has.
pub(crate) fn bound(device: &Device, dtype: DType) -> Tolerance {
    match (dtype, device.is_gpu()) {
        (DType::F64, _) => Tolerance { rtol: 1e-10, atol: 1e-10 },
        (DType::F32, true) => Tolerance { rtol: 2e-4, atol: 4e-5 },
        (DType::F32, false) => Tolerance { rtol: 2e-5, atol: 4e-6 },
        _ => Tolerance::EXACT,
    }
}

/// Asserts shape and values with the default bound.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_within(what, got, shape, expected, bound(got.device(), got.dtype()));
}

/// Asserts shape and values within `tolerance`; a caller that widens the default says why.
#[track_caller]
pub(crate) fn assert_within(what: &str, got: &Tensor, shape: &[usize], expected: &[f64], tolerance: Tolerance) {
    if let Err(text) = check(got, shape, expected, tolerance) {
        panic!("{what}: {text}");
    }
}

/// The same as a result, for tables that report all their failures.
pub(crate) fn check(got: &Tensor, shape: &[usize], expected: &[f64], tolerance: Tolerance) -> Result<(), String> {
    if got.dims() != shape {
        return Err(format!("shape {:?}, expected {shape:?}", got.dims()));
    }
    let values = got.to_f64_vec().map_err(|e| format!("cannot be read: {e}"))?;
    assert_eq!(values.len(), expected.len(), "the test's own expectation has the wrong length");
    let off: Vec<usize> = (0..values.len()).filter(|&i| !tolerance.accepts(values[i], expected[i])).collect();
    if off.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = off
        .iter()
        .take(5)
        .map(|&i| format!("{:?}: got {:e}, expected {:e}", coords(i, shape), values[i], expected[i]))
        .collect();
    Err(format!("{} of {} elements beyond {tolerance:?}; {}", off.len(), values.len(), first.join("; ")))
}

/// Fails with every entry of a table that did not pass.
#[track_caller]
pub(crate) fn assert_all(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} entries failed:\n{}", failures.len(), failures.join("\n"));
}
