//! Programs on the CPU: compiled to instructions on blocks of values, and run.

pub(super) mod compile;
pub(super) mod copies;
mod chain;
pub(super) mod interp;
pub(super) mod philox;
pub(super) mod reduce;
pub(super) mod space;
