//! Kernels checked by naga alone.
