//! All integration tests, in one binary: one link, devices opened once.
#![recursion_limit = "256"] // wgpu's types nest deeply where a device is shared between threads.

#[path = "../examples/conformance/main.rs"]
#[allow(dead_code, reason = "the example's command line is not run here")]
mod conformance;
mod suite;
