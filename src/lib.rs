//! Tensors and training on any GPU through WebGPU, with a native CPU engine behind the same API.
//!
//! ```
//! use wgtensor::{Device, Tensor, Var};
//!
//! let device = Device::cpu(); // or Device::best(), Device::gpu()?, Device::from_env()?
//! let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device)?;
//! let w = Var::new(&Tensor::ones([2, 1], wgtensor::DType::F32, &device)?);
//! let loss = x.matmul(&w.value())?.square()?.mean(())?;
//! let grads = loss.backward()?;
//! assert_eq!(loss.item::<f32>()?, 29.0);
//! assert_eq!(grads.get(&w).unwrap().to_vec::<f32>()?, [24.0, 34.0]);
//! # Ok::<(), wgtensor::Error>(())
//! ```
//!
//! # Where to go
//!
//! - The [guide] tells how it is meant to be used: [tensors](guide::tensors), [when work happens](guide::laziness),
//!   [devices and memory](guide::devices), [training](guide::training), [loops of your own](guide::custom_loops),
//!   [data](guide::data_sets), [files](guide::files), [performance](guide::performance) and more.
//! - Coming from [Keras](guide::from_keras), [PyTorch](guide::from_pytorch), [candle](guide::from_candle) or
//!   [Burn](guide::from_burn): a table each.
//! - [`nn`] is the training API, Keras's in Rust; [`data`] has data sets and readers of files; `plot` makes charts,
//!   [`diagram`] pictures of models, of what is recorded and of plans.
//! - [Contributing](guide::contributing): the crate from inside.
//!
//! Names are NumPy's and Keras's. Named methods return a [`Result`]; the operators panic with the same text.
//!
//! # Operations
//!
//! The methods of [`Tensor`] by family. Those of several tensors broadcast; all run on both engines, have gradients where
//! that means something, and are fused with what is around them.
//!
//! - **Making**: [`new`](Tensor::new), [`from_slice`](Tensor::from_slice), [`full`](Tensor::full),
//!   [`zeros`](Tensor::zeros), [`ones`](Tensor::ones), [`full_like`](Tensor::full_like),
//!   [`zeros_like`](Tensor::zeros_like), [`ones_like`](Tensor::ones_like), [`eye`](Tensor::eye),
//!   [`arange`](Tensor::arange), [`linspace`](Tensor::linspace)
//! - **Random numbers**: [`uniform`](Tensor::uniform), [`normal`](Tensor::normal), [`bernoulli`](Tensor::bernoulli),
//!   [`random_bits`](Tensor::random_bits), [`permutation`](Tensor::permutation)
//! - **Reading back**: [`to_vec`](Tensor::to_vec), [`to_vec_async`](Tensor::to_vec_async), [`item`](Tensor::item),
//!   [`to_f64_vec`](Tensor::to_f64_vec), [`to_f64_vec_async`](Tensor::to_f64_vec_async), [`realize`](Tensor::realize),
//!   [`to_device`](Tensor::to_device)
//! - **What it is**: [`shape`](Tensor::shape), [`dims`](Tensor::dims), [`rank`](Tensor::rank),
//!   [`numel`](Tensor::numel), [`dtype`](Tensor::dtype), [`device`](Tensor::device)
//! - **Arithmetic**: [`add`](Tensor::add), [`sub`](Tensor::sub), [`mul`](Tensor::mul), [`div`](Tensor::div),
//!   [`pow`](Tensor::pow), [`rem`](Tensor::rem), [`fmod`](Tensor::fmod), [`floor_divide`](Tensor::floor_divide),
//!   [`neg`](Tensor::neg), [`reciprocal`](Tensor::reciprocal), [`square`](Tensor::square), [`sqrt`](Tensor::sqrt),
//!   [`rsqrt`](Tensor::rsqrt), [`cbrt`](Tensor::cbrt), [`abs`](Tensor::abs), [`sign`](Tensor::sign),
//!   [`maximum`](Tensor::maximum), [`minimum`](Tensor::minimum), [`clip`](Tensor::clip), [`hypot`](Tensor::hypot)
//! - **Exponentials and logarithms**: [`exp`](Tensor::exp), [`exp2`](Tensor::exp2), [`expm1`](Tensor::expm1),
//!   [`log`](Tensor::log), [`log2`](Tensor::log2), [`log10`](Tensor::log10), [`log1p`](Tensor::log1p),
//!   [`logaddexp`](Tensor::logaddexp), [`erf`](Tensor::erf), [`erfinv`](Tensor::erfinv)
//! - **Angles**: [`sin`](Tensor::sin), [`cos`](Tensor::cos), [`tan`](Tensor::tan), [`asin`](Tensor::asin),
//!   [`acos`](Tensor::acos), [`atan`](Tensor::atan), [`atan2`](Tensor::atan2), [`sinh`](Tensor::sinh),
//!   [`cosh`](Tensor::cosh), [`tanh`](Tensor::tanh), [`asinh`](Tensor::asinh), [`acosh`](Tensor::acosh),
//!   [`atanh`](Tensor::atanh)
//! - **Rounding**: [`floor`](Tensor::floor), [`ceil`](Tensor::ceil), [`round`](Tensor::round), [`trunc`](Tensor::trunc)
//! - **Comparisons and choice**: [`eq`](Tensor::eq), [`ne`](Tensor::ne), [`lt`](Tensor::lt), [`le`](Tensor::le),
//!   [`gt`](Tensor::gt), [`ge`](Tensor::ge), [`isclose`](Tensor::isclose), [`allclose`](Tensor::allclose),
//!   [`isnan`](Tensor::isnan), [`isinf`](Tensor::isinf), [`isfinite`](Tensor::isfinite), [`where_`](Tensor::where_)
//! - **Logic and bits**: [`logical_and`](Tensor::logical_and), [`logical_or`](Tensor::logical_or),
//!   [`logical_xor`](Tensor::logical_xor), [`logical_not`](Tensor::logical_not), [`bitwise_and`](Tensor::bitwise_and),
//!   [`bitwise_or`](Tensor::bitwise_or), [`bitwise_xor`](Tensor::bitwise_xor), [`bitwise_not`](Tensor::bitwise_not),
//!   [`left_shift`](Tensor::left_shift), [`right_shift`](Tensor::right_shift)
//! - **Types**: [`cast`](Tensor::cast)
//! - **Reductions**: [`sum`](Tensor::sum), [`prod`](Tensor::prod), [`mean`](Tensor::mean), [`var`](Tensor::var),
//!   [`std`](Tensor::std), [`max`](Tensor::max), [`min`](Tensor::min), [`any`](Tensor::any), [`all`](Tensor::all),
//!   [`logsumexp`](Tensor::logsumexp), [`median`](Tensor::median), [`quantile`](Tensor::quantile),
//!   [`argmax`](Tensor::argmax), [`argmin`](Tensor::argmin) (each but the last two also as `_keepdims`, such as
//!   [`sum_keepdims`](Tensor::sum_keepdims))
//! - **Scans**: [`cumsum`](Tensor::cumsum), [`cumprod`](Tensor::cumprod), [`cummax`](Tensor::cummax),
//!   [`cummin`](Tensor::cummin), [`linear_recurrence`](Tensor::linear_recurrence)
//! - **Sorting and searching**: [`sort`](Tensor::sort), [`argsort`](Tensor::argsort), [`top_k`](Tensor::top_k),
//!   [`digitize`](Tensor::digitize), [`searchsorted`](Tensor::searchsorted)
//! - **Linear algebra**: [`matmul`](Tensor::matmul), [`cross`](Tensor::cross), [`tril`](Tensor::tril),
//!   [`triu`](Tensor::triu)
//! - **Shape**: [`reshape`](Tensor::reshape), [`flatten_from`](Tensor::flatten_from), [`transpose`](Tensor::transpose),
//!   [`swapaxes`](Tensor::swapaxes), [`t`](Tensor::t), [`expand_dims`](Tensor::expand_dims),
//!   [`squeeze`](Tensor::squeeze), [`broadcast_to`](Tensor::broadcast_to)
//! - **Parts**: [`slice`](Tensor::slice), [`slice_step`](Tensor::slice_step), [`narrow`](Tensor::narrow),
//!   [`split`](Tensor::split), [`flip`](Tensor::flip)
//! - **Putting together**: [`concat`](Tensor::concat), [`stack`](Tensor::stack), [`pad`](Tensor::pad),
//!   [`roll`](Tensor::roll), [`tile`](Tensor::tile), [`repeat`](Tensor::repeat)
//! - **By index**: [`take`](Tensor::take), [`take_along_axis`](Tensor::take_along_axis), [`one_hot`](Tensor::one_hot),
//!   [`index_add`](Tensor::index_add), [`scatter`](Tensor::scatter), [`scatter_add`](Tensor::scatter_add),
//!   [`scatter_update`](Tensor::scatter_update), [`slice_update`](Tensor::slice_update)
//! - **Convolution and pooling**: [`conv2d`](Tensor::conv2d), [`max_pool2d`](Tensor::max_pool2d),
//!   [`avg_pool2d`](Tensor::avg_pool2d)
//! - **Normalisation**: [`softmax`](Tensor::softmax), [`log_softmax`](Tensor::log_softmax),
//!   [`sparsemax`](Tensor::sparsemax), [`normalize`](Tensor::normalize),
//!   [`batch_normalization`](Tensor::batch_normalization), [`layer_normalization`](Tensor::layer_normalization),
//!   [`rms_normalization`](Tensor::rms_normalization)
//! - **Activations**: [`relu`](Tensor::relu), [`relu6`](Tensor::relu6), [`leaky_relu`](Tensor::leaky_relu),
//!   [`elu`](Tensor::elu), [`selu`](Tensor::selu), [`celu`](Tensor::celu), [`gelu`](Tensor::gelu),
//!   [`silu`](Tensor::silu), [`mish`](Tensor::mish), [`sigmoid`](Tensor::sigmoid),
//!   [`log_sigmoid`](Tensor::log_sigmoid), [`hard_sigmoid`](Tensor::hard_sigmoid), [`hard_silu`](Tensor::hard_silu),
//!   [`hard_tanh`](Tensor::hard_tanh), [`tanh_shrink`](Tensor::tanh_shrink), [`soft_shrink`](Tensor::soft_shrink),
//!   [`hard_shrink`](Tensor::hard_shrink), [`threshold`](Tensor::threshold), [`softplus`](Tensor::softplus),
//!   [`softsign`](Tensor::softsign), [`squareplus`](Tensor::squareplus), [`sparse_plus`](Tensor::sparse_plus),
//!   [`sparse_sigmoid`](Tensor::sparse_sigmoid)
//! - **Gradients**: [`backward`](Tensor::backward), [`backward_from`](Tensor::backward_from),
//!   [`requires_grad`](Tensor::requires_grad), [`detach`](Tensor::detach), [`grad`](grad()), [`vjp`], [`no_grad`], [`remat`](remat())
//!
//! What is not there can be written in WGSL: [`CustomOp`].
//!
//! # Features
//!
//! `cpu` is the native CPU engine, `gpu` the GPU engine and [`interop`]; both are on by default, and each works alone.
//! Without `cpu` there is no [`Device::cpu`] and no [`Device::best`] (ask [`Device::open`] for `"auto"`). In a browser
//! only `gpu` is of use, and only the methods that return futures wait.
//!
//! The others are off by default, and `full` has them all: `keras` brings files of whole models (`Model::save`,
//! `nn::load_model`, `.weights.h5`, the callback `BackupAndRestore`), `csv`, `npy`, `image` and `gzip` the readers of [`data`],
//! `plot` charts as SVG, as PNG and in the terminal, `tensorboard` the callback `TensorBoard` and profiles for it, and `ctrlc` lets Ctrl-C end `fit` after the step in hand ([`nn::interrupt()`]).
#![deny(unsafe_code)]
#![cfg_attr(
    not(all(feature = "cpu", feature = "gpu")),
    allow(dead_code, reason = "what one engine needs of what both share is not marked piece by piece")
)]

#[cfg(not(any(feature = "cpu", feature = "gpu")))]
compile_error!("wgtensor needs an engine: enable its feature `cpu` or `gpu`");

#[cfg(doc)]
pub mod guide;
#[cfg(feature = "plot")]
pub mod plot;

pub mod nn;

pub mod data;

pub mod diagram;

mod tensor;

mod ops;

mod graph;

mod plan;

mod backend;

mod ir;

mod dtype;
mod error;
mod files;
#[cfg(feature = "gpu")]
pub mod interop;
mod loading;
#[cfg(all(feature = "tensorboard", not(target_arch = "wasm32")))]
mod protobuf;
#[cfg(feature = "plot")]
mod raster;
mod shape;
mod sys;

pub use backend::{
    CounterSnapshot, DeviceInfo, DeviceKind, DeviceOptions, HostSpan, KernelCache, KernelTime, Kernels, MemoryStats,
    Profile,
};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use graph::{Captured, Device, Scalar, Seed, Tensor, Var};
pub use nn::set_random_seed;
pub use ops::{
    ConvOptions, CpuCall, CustomOp, HostData, IntoTensor, Number, Operand, PadMode, Padding, PoolOptions, SliceRange,
};
pub use shape::{Axes, Index, IntoShape, MAX_RANK, Shape};
pub use tensor::{Grads, grad, no_grad, remat, vjp};

/// The examples of the README, run with the documentation's tests.
#[cfg(all(doctest, feature = "gpu", feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
