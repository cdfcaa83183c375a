//! Programs on the CPU: compiled to instructions on blocks of values, and run.

mod chain;
pub(super) mod compile;
pub(super) mod copies;
pub(super) mod interp;
mod known;
mod operands;
pub(super) mod philox;
pub(super) mod reduce;
pub(super) mod space;
mod steps;
