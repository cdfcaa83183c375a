//! The native CPU engine.

pub(crate) mod math;

/// Host memory. Words of 8 bytes, so that every element type is aligned.
pub(crate) struct CpuBuffer {
    pub(crate) data: std::sync::RwLock<Vec<u64>>,
}
