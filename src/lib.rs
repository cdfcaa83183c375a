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
//! # A tour of the crate
//!
//! Data takes one road, and the folders stand in its order; nothing calls upward.
//!
//! - `nn`: layers, losses, optimizers, `compile` and `fit`: what a Keras user sees.
//! - [`data`]: data sets, larger than memory if need be, and the readers of files that they come from.
//! - `tensor`: making tensors from host data, reading them back, printing them, reverse-mode gradients, opening devices.
//! - `ops`: one file a family: method, shape rule, gradient, and for pointwise functions the scalar meaning on the CPU
//!   and in WGSL, in one row.
//! - `graph`: nodes recorded lazily, variables, and the *flush* that realises nodes: at a read-back, at
//!   [`Device::flush`] (an optimizer's step), or when very many nodes are pending.
//! - `plan`: the unrealised cone becomes a few kernels. Views are folded into addresses, pointwise chains into
//!   programs, programs into the reductions and products beside them. Plans are cached by structure, so the second
//!   training step costs a hash and an encode; a captured step ([`Device::capture`], and those of `fit`) is not even
//!   recorded again.
//! - `backend`: the CPU engine and the GPU engine: allocate, write, read, prepare a plan, run it. `wgpu` is named in
//!   `backend/gpu` and in [`interop`] only.
//! - `ir`: the language that planner and engines share: programs, steps, addresses, the meaning of scalar functions.
//!
//! [`diagram`] draws pictures of models, of what is recorded and of plans; it knows nothing of any of them.
//!
//! How to add an operation, a layer or a kernel family, how to read a plan and how to find a number that one GPU gets
//! wrong is told in [`guide`].
//!
//! # Where this differs from the usual
//!
//! - A loop nest with reductions is one step kind, whether it is a plain pointwise chain, a reduction or a row
//!   (softmax, cross-entropy): the levels and stages of its program say which. The engines choose the kernel.
//! - An assignment to a [`Var`] is a copy into its storage, ordered after every reader of the old value; fusion then
//!   makes it part of the kernel that computes the value, often the product that computed the gradient.
//! - Temporaries are separate buffers in size classes that all plans of a device share, not one arena for each plan:
//!   a plan's inputs stay read-only bindings, and plans that take turns share memory.
//! - Concatenation and padding write their parts into slices of the result, each part fused with what computes it.
//!
//! # Features
//!
//! `cpu` is the native CPU engine, `gpu` the GPU engine and [`interop`]; both are on by default, and each works alone.
//! Without `cpu` there is no [`Device::cpu`] and no [`Device::best`] (ask [`Device::open`] for `"auto"`). In a browser
//! only `gpu` is of use, and only the methods that return futures wait.
//!
//! The others are off by default, and `full` has them all: `keras` brings files of whole models (`Model::save`,
//! `nn::load_model`, `.weights.h5`, the callback `BackupAndRestore`), `csv`, `npy`, `image` and `gzip` the readers of [`data`],
//! `tensorboard` the callback `TensorBoard`, and `ctrlc` lets Ctrl-C end `fit` after the step in hand ([`nn::interrupt()`]).
#![deny(unsafe_code)]
#![cfg_attr(
    not(all(feature = "cpu", feature = "gpu")),
    allow(dead_code, reason = "what one engine needs of what both share is not marked piece by piece")
)]

#[cfg(not(any(feature = "cpu", feature = "gpu")))]
compile_error!("wgtensor needs an engine: enable its feature `cpu` or `gpu`");

#[cfg(doc)]
pub mod guide;
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
pub use tensor::{Grads, grad, no_grad, remat};

/// The examples of the README, run with the documentation's tests.
#[cfg(all(doctest, feature = "gpu", feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
