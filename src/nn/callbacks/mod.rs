//! Keras's callbacks: stopping early, changing the learning rate, writing figures and weights down.

mod csv;
mod lambda;
mod learning_rate;
mod monitor;
mod stopping;

pub use csv::CSVLogger;
pub use lambda::LambdaCallback;
pub use learning_rate::{LearningRateScheduler, ReduceLROnPlateau};
pub use monitor::Mode;
pub use stopping::{EarlyStopping, TerminateOnNaN};

pub use crate::nn::model::{Callback, IntoCallbacks};
