//! The training API: Keras's, in Rust.
//!
//! ```
//! use wgtensor::nn::*;
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
//! Names, defaults, formulas, layouts (channels last, kernels `(height, width, in, out)`) and initial weights are
//! those of Keras 3; strings such as `"adam"` stand for objects as they do there. The model works where the data is:
//! batches are gathered on the device, the loss and the metrics accumulate there, each step is one submission, and
//! nothing is read back but a few figures a second for the progress bar.

mod activations;
mod callbacks;
mod config;
mod history;
mod initializers;
mod layers;
mod losses;
pub mod metrics;
mod model;
mod names;
mod optimizers;
mod policy;
mod progress;
mod regularizers;
mod saving;
mod schedules;
mod seeds;

pub use activations::Activation::{
    self, Celu, Elu, Exponential, Gelu, HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu, Linear, LogSigmoid,
    LogSoftmax, Mish, Relu, Relu6, Selu, Sigmoid, Silu, SoftShrink, Softmax, Softplus, Softsign, SparsePlus,
    SparseSigmoid, Squareplus, Tanh, TanhShrink,
};
pub use callbacks::{
    CSVLogger, EarlyStopping, LambdaCallback, LearningRateScheduler, Mode, ReduceLROnPlateau, TerminateOnNaN,
};
pub use config::{Config, IntoSetting, Pair, Setting, Thresholds};
pub use history::{History, Logs, Params};
pub use initializers::{Distribution, Fan, Initializer};
pub use layers::*;
pub use losses::*;
pub use metrics::{
    AUC, Accuracy, Averaging, BinaryAccuracy, BinaryIoU, CategoricalAccuracy, ClassAggregation, ConcordanceCorrelation,
    Curve, F1Score, FBetaScore, FalseNegatives, FalsePositives, Figure, IntoMetric, IntoMetrics, IoU, Mean, MeanIoU,
    MeanMetricWrapper, Metric, MetricSpec, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Precision, PrecisionAtRecall,
    R2Score, Recall, RecallAtPrecision, RootMeanSquaredError, SensitivityAtSpecificity, SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, Sum, Summation, TopKCategoricalAccuracy, TrueNegatives,
    TruePositives,
};
pub use model::{
    Arrays, Callback, Compile, Evaluate, Fit, Input, IntoCallbacks, IntoLayer, IntoLosses, IntoMetricLists, IntoStep,
    LossWeights, Losses, MetricLists, Model, Node, Nodes, Predict, Sequential, SharedLayer, Step, add, average,
    concatenate, dot, maximum, minimum, multiply, subtract,
};
pub use names::clear_session;
pub use optimizers::*;
pub use policy::{IntoPolicy, Policy, dtype_policy, set_dtype_policy};
pub use progress::Verbose;
pub use regularizers::{L1, L1L2, L2, OrthogonalRegularizer, Regularizer, RowsOrColumns};
pub use schedules::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, LearningRate, PiecewiseConstantDecay,
    PolynomialDecay, Schedule,
};
pub use seeds::{SeedStream, set_random_seed};
