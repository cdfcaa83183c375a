//! The GPU engine: the only folder that names `wgpu`.

pub(crate) mod kernel;

/// Device memory.
pub(crate) struct GpuBuffer {}
