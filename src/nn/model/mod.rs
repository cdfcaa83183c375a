//! Models: layers and how they are connected, trained as Keras trains them.
//!
//! `entry.rs` holds a layer with its name and weights, `node.rs` the tensors that are not computed yet and the calls of
//! layers on them, `graph.rs` what a model makes of these: an order of calls (found by `walk.rs`), a way to build and to run them. `model.rs` is
//! the [`Model`] itself and `sequential.rs` the simplest way to make one. Then the training: `arrays.rs`, `batches.rs` and
//! `feed.rs` (data), `compile.rs` and `totals.rs` (losses and metrics), `fit.rs`, `evaluate.rs`, `callback.rs`.

mod arrays;
mod batches;
mod callback;
mod compile;
mod compile_config;
mod config;
mod entry;
mod evaluate;
mod feed;
mod fit;
mod graph;
mod merge;
#[expect(clippy::module_inception, reason = "the struct that the folder is about")]
mod model;
mod nested;
mod node;
mod outputs;
mod plot;
mod sequential;
mod step;
mod summary;
mod totals;
mod walk;
mod weights;

pub use arrays::Arrays;
pub use callback::{Callback, IntoCallbacks};
pub use compile::Compile;
#[cfg(feature = "keras")]
pub(in crate::nn) use config::Classes;
pub use entry::SharedLayer;
pub use evaluate::{Evaluate, Predict};
pub use fit::Fit;
pub use merge::{add, average, concatenate, dot, maximum, minimum, multiply, subtract};
pub use model::Model;
pub use node::{Input, IntoLayer, Node, Nodes};
pub use outputs::{IntoLosses, IntoMetricLists, LossWeights, Losses, MetricLists};
pub use plot::{PlotModel, plot_model};
pub use sequential::{IntoStep, Sequential, Step};

#[cfg(all(test, feature = "cpu"))]
mod tests;
