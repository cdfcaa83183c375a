//! The tests by subject, and what they share.

mod arguments;
mod captured;
mod changes;
mod close;
mod composites;
mod conformance;
mod custom;
mod datasets;
mod devices;
mod errors;
mod fit_datasets;
mod fuzzing;
#[cfg(feature = "cpu")]
mod gradients;
mod house;
mod indexing;
mod interrupting;
#[cfg(all(feature = "cpu", feature = "gpu"))]
mod kernels;
mod mixed;
mod models;
mod naive;
mod narrow;
mod pointwise;
mod preprocessing;
mod profile;
mod pytorch;
#[cfg(feature = "cpu")]
mod random_graphs;
mod reductions;
mod remat;
#[cfg(all(feature = "keras", feature = "cpu"))]
mod resuming;
#[cfg(feature = "cpu")]
mod runner;
#[cfg(all(feature = "keras", feature = "cpu"))]
mod saved;
mod scans;
#[cfg(all(feature = "cpu", feature = "gpu"))]
mod shaders;
mod training;
mod tuning;
mod variables;
mod views;
mod waiting;
mod watching;
