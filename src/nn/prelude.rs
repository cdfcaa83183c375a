//! What programs that train models are written with: models and the settings of their runs, Keras's classes of every kind,
//! and the modules that the rest stands in.
//!
//! ```
//! use wgtensor::nn::prelude::*;
//!
//! let x = Input::new([8]).node();
//! let h = Dense::new(8).activation(Relu).on(&x)?;
//! let skip = layers::Add::new().on([&x, &h])?; // what has a common name is called by its module
//! let mut model = Model::new(&x, Dense::new(1).on(&skip)?)?;
//! model.compile(Adam::new(0.01), "mse", ("mae", RootMeanSquaredError::new()))?;
//! # Ok::<(), wgtensor::Error>(())
//! ```

pub use super::activations::Activation::{
    self, Celu, Elu, Exponential, Gelu, HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu, Linear, LogSigmoid,
    LogSoftmax, Mish, Relu, Relu6, Selu, Sigmoid, Silu, SoftShrink, Softmax, Softplus, Softsign, SparsePlus,
    SparseSigmoid, Squareplus, Tanh, TanhShrink,
};
#[cfg(all(feature = "keras", not(target_arch = "wasm32")))]
pub use super::callbacks::BackupAndRestore;
#[cfg(not(target_arch = "wasm32"))]
pub use super::callbacks::ModelCheckpoint;
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
pub use super::callbacks::TensorBoard;
pub use super::callbacks::{
    CSVLogger, EarlyStopping, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau, SwapEMAWeights, TerminateOnNaN,
};
pub use super::constraints::{MaxNorm, MinMaxNorm, NonNeg, UnitNorm};
pub use super::initializers::Initializer;
pub use super::layers::{
    AveragePooling2D, BatchNormalization, CategoryEncoding, CenterCrop, Conv2D, Dense, Discretization, Dropout, ELU,
    Embedding, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, LayerNormalization, LeakyReLU, Masking,
    MaxPooling2D, Normalization, RandomFlip, ReLU, Rescaling, Reshape, Resizing,
};
pub use super::losses::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalHinge, Dice, Hinge, Huber, KLDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError,
    MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy, SquaredHinge, Tversky,
};
pub use super::metrics::{
    AUC, Accuracy, BinaryAccuracy, BinaryIoU, CategoricalAccuracy, ConcordanceCorrelation, F1Score, FBetaScore,
    FalseNegatives, FalsePositives, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Precision,
    PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError, SensitivityAtSpecificity,
    SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, TopKCategoricalAccuracy,
    TrueNegatives, TruePositives,
};
pub use super::optimizers::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, Nadam, RMSprop, SGD,
};
pub use super::regularizers::{L1, L1L2, L2, OrthogonalRegularizer};
pub use super::schedules::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay,
};
pub use super::{
    Compile, Evaluate, Fit, History, Input, IntoLayer, Model, Node, PlotModel, Predict, Sequential, Verbose,
    activations, add, callbacks, concatenate, constraints, initializers, layers, losses, metrics, optimizers,
    plot_model, regularizers, schedules,
};
