//! Matrix products, and convolutions as products.

use super::program::Dims;
use super::window::Geometry;
use crate::dtype::DType;

/// A matrix product: for every batch index, `m` and `n`: `acc = sum over k of a[batch, m, k] * b[batch, k, n]`, over the
/// space `[batch.., m, n]`. Operands: a, b. `k` may be 0: then `acc` is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gemm {
    /// F32, or F64 on the CPU.
    pub(crate) dtype: DType,
    pub(crate) batch: Dims<usize>,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Loader,
    pub(crate) b: Loader,
}

/// How an operand's element is found. "Row" is `m` for a and `k` for b; "col" is `k` for a and `n` for b.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loader {
    /// `offset + batch . batch_strides + row * row_stride + col * col_stride` (strides may be 0 or negative).
    Strided { offset: i64, batch: Dims<i64>, row: i64, col: i64 },
    /// Convolution forward, operand a: row = output position `(n, oh, ow)`, col = tap `(kh, kw, c)`:
    /// `x[n, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw, c]`, 0 outside. With `transposed`, row and col are exchanged (kernel gradient).
    Patches { conv: Geometry, transposed: bool },
    /// Convolution input-gradient, operand a: row = input position `(n, h, w)`, col = `(kh, kw, f)`:
    /// `dy[n, (h + ph - kh*dh)/sh, (w + pw - kw*dw)/sw, f]` where both divide and are in range, else 0.
    Spread { conv: Geometry },
    /// Convolution input-gradient, operand b: row = `(kh, kw, f)`, col = `c`: `kernel[kh, kw, c, f]`.
    Kernel { conv: Geometry },
}

impl Gemm {
    /// `[batch.., m, n]`.
    pub(crate) fn space(&self) -> Dims<usize> {
        self.batch.iter().copied().chain([self.m, self.n]).collect()
    }

    /// The name in printed plans.
    pub(crate) fn name(&self) -> &'static str {
        match self.a {
            Loader::Strided { .. } => "gemm",
            Loader::Patches { transposed: false, .. } => "conv",
            Loader::Patches { transposed: true, .. } => "conv kernel-gradient",
            _ => "conv input-gradient",
        }
    }
}
