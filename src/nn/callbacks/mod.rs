//! Keras's callbacks: stopping early, changing the learning rate, writing figures and weights down.

#[cfg(all(feature = "keras", not(target_arch = "wasm32")))]
mod backup;
#[cfg(not(target_arch = "wasm32"))]
mod checkpoint;
mod csv;
mod ema;
#[cfg(not(target_arch = "wasm32"))]
mod format;
#[cfg(not(target_arch = "wasm32"))]
mod frequency;
mod lambda;
mod learning_rate;
mod monitor;
mod stopping;
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
mod tensorboard;

#[cfg(all(feature = "keras", not(target_arch = "wasm32")))]
pub use backup::BackupAndRestore;
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::ModelCheckpoint;
pub use csv::CSVLogger;
pub use ema::SwapEMAWeights;
#[cfg(not(target_arch = "wasm32"))]
pub use frequency::Frequency;
pub use lambda::LambdaCallback;
pub use learning_rate::{LearningRateScheduler, ReduceLROnPlateau};
pub use monitor::Mode;
pub use stopping::{EarlyStopping, TerminateOnNaN};
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
pub use tensorboard::{ProfileBatch, TensorBoard};

pub use crate::nn::model::{Callback, IntoCallbacks};
