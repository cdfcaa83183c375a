//! Tensors and training on any GPU through WebGPU, with a native CPU engine behind the same API.
#![deny(unsafe_code)]

mod tensor;

mod ops;

mod graph;

mod plan;

mod backend;

mod dtype;
mod error;
mod shape;

pub use backend::{CounterSnapshot, DeviceInfo, DeviceKind, DeviceOptions, MemoryStats};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use graph::{Device, Grads, Tensor, Var, grad, no_grad};
pub use ops::{Axes, Conv2d, Operand, Padding, Pool2d, SliceRange};
pub use shape::{IntoShape, MAX_RANK, Shape};
pub use tensor::IntoTensor;
