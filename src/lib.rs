//! Tensors and training on any GPU through WebGPU, with a native CPU engine behind the same API.
#![deny(unsafe_code)]
#![allow(dead_code, reason = "the layers are being joined")]

mod backend;
mod dtype;
mod error;
pub mod nn;
mod plan;
mod shape;

pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use nn::set_random_seed;
pub use shape::{MAX_RANK, Shape};
