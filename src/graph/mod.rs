//! Lazily recorded nodes, variables, and the flush that realises nodes.
//!
//! `node` (a recorded operation, and [`Tensor`], the handle to one), `device` and `var` know of each other: a tensor
//! knows its device, the device what is pending on it. Above them stands `flush`: it walks the `cone` below what is asked
//! for, decides what is kept (`keep`), finds the plan in the `cache` or makes one, and runs it. `profile` has the device
//! tell what that took. A step that is run again and again need not be recorded again: `capture` notes what a thread
//! records, `live` where its numbers come from, and `replay` runs its plan again.

mod cache;
mod capture;
mod cone;
pub(crate) mod device;
pub(crate) mod flush;
mod keep;
pub(crate) mod live;
pub(crate) mod node;
mod picture;
mod profile;
pub(crate) mod replay;
#[cfg(all(test, feature = "cpu"))]
mod tests;
pub(crate) mod var;

pub use device::Device;
pub use live::{Scalar, Seed};
pub use node::Tensor;
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
pub(crate) use profile::Profiling;
pub use replay::Captured;
pub use var::Var;
pub(crate) use var::autocast;
