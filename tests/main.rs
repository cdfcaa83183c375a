//! All integration tests, in one binary: one link, devices opened once.

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/conformance/main.rs"]
#[allow(dead_code, reason = "the example's command line is not run here")]
mod conformance;
mod suite;
