//! Operands.

use wgtensor::{Device, Result, Tensor};

/// Numbers between -0.5 and 0.5, computed already.
pub(crate) fn random(shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    let t = Tensor::uniform(shape, -0.5, 0.5, seed, device)?;
    t.realize()?;
    Ok(t)
}
