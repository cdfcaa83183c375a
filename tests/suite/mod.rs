//! The tests by subject, and what they share.

mod close;
mod conformance;
mod custom;
mod devices;
mod errors;
mod gradients;
mod house;
mod indexing;
mod kernels;
mod mixed;
mod models;
mod naive;
mod narrow;
mod pointwise;
mod random_graphs;
mod reductions;
mod runner;
mod scans;
mod shaders;
mod training;
mod variables;
mod views;
