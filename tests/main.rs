//! All integration tests, in one binary: one link, devices opened once.
#![cfg_attr(
    not(all(feature = "cpu", feature = "gpu")),
    allow(dead_code, unused_imports, reason = "tests that compare the engines are left out with either")
)]

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/conformance/main.rs"]
#[allow(dead_code, reason = "the example's command line is not run here")]
mod conformance;
#[cfg(all(feature = "cpu", feature = "gpu", feature = "plot"))]
#[path = "../examples/cpu_vs_gpu/main.rs"]
#[allow(dead_code, reason = "the example's command line is not run here")]
mod cpu_vs_gpu;
mod suite;
