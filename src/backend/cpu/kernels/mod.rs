//! The families of steps on the CPU, a file each, and what they share.

pub(super) mod conv;
pub(super) mod epilogue;
pub(super) mod gemm;
pub(super) mod nest;
pub(super) mod pointwise;
pub(super) mod scatter;
pub(super) mod tiling;
pub(super) mod window;
