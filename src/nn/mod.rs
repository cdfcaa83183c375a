//! The training API: Keras's, in Rust.
//!
//! ```
//! use wgtensor::nn::prelude::*;
//! use wgtensor::{Device, Tensor};
//!
//! let device = Device::cpu(); // or Device::best(): the model works where its data is
//! let x_train = Tensor::uniform([256, 2], -1.0, 1.0, 1, &device)?;
//! let y_train = x_train.sum(1)?.gt(0.0)?.cast(wgtensor::DType::I32)?;
//!
//! let mut model = Sequential::new()
//!     .add(Dense::new(64).activation(Relu))
//!     .add(Dense::new(1).activation(Sigmoid));
//! model.compile(Adam::default(), BinaryCrossentropy::default(), [Accuracy])?;
//! let history = model.fit(&x_train, &y_train, Fit::new().epochs(10).batch_size(64))?;
//! assert!(history["loss"][9] < history["loss"][0]);
//! # Ok::<(), wgtensor::Error>(())
//! ```
//!
//! [`prelude`] has the classes that programs are written with; what goes with each kind (its trait, enumerations, functions)
//! stands in the kind's module, as in Keras: [`layers`], [`losses`], [`metrics`], [`optimizers`], [`callbacks`], ... Models,
//! and what they are run with, stand here.
//!
//! Names, defaults, formulas, layouts (channels last, kernels `(height, width, in, out)`) and initial weights are
//! those of Keras 3; strings such as `"adam"` stand for objects as they do there. The model works where the data is:
//! batches are gathered on the device, the loss and the metrics accumulate there, each step is one submission, and
//! nothing is read back but a few figures a second for the progress bar.

pub mod activations;
pub mod callbacks;
pub mod config;
pub mod constraints;
mod history;
pub mod initializers;
mod interrupt;
pub mod layers;
pub mod losses;
pub mod metrics;
mod model;
mod names;
pub mod optimizers;
mod policy;
pub mod prelude;
mod progress;
pub mod regularizers;
mod saving;
pub mod schedules;
mod seeds;

pub use history::{History, Logs, Params, Position};
pub use interrupt::interrupt;
pub use model::{
    Arrays, Compile, Evaluate, Fit, Input, IntoLayer, IntoLosses, IntoMetricLists, IntoStep, LossWeights, Losses,
    MetricLists, Model, Node, Nodes, PlotModel, Predict, Sequential, SharedLayer, Step, add, average, concatenate, dot,
    maximum, minimum, multiply, plot_model, subtract,
};
pub use names::clear_session;
pub use policy::{IntoPolicy, Policy, dtype_policy, set_dtype_policy};
pub use progress::Verbose;
#[cfg(feature = "keras")]
pub use saving::LoadModel;
#[cfg(all(feature = "keras", not(target_arch = "wasm32")))]
pub use saving::{load_model, load_model_with};
pub use seeds::{SeedStream, set_random_seed};
