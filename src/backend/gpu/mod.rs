//! The GPU engine: the only folder that names `wgpu`.

pub(crate) mod kernel;
pub(crate) mod kernels;

/// Device memory.
pub(crate) struct GpuBuffer {}
