//! The GPU engine: the only folder that names `wgpu`.

/// Device memory.
pub(crate) struct GpuBuffer {}
