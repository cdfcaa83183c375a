//! The operations: method, shape rule, gradient and scalar meaning, one file a family.

pub(crate) mod activation;
pub(crate) mod assemble;
pub(crate) mod binary;
pub(crate) mod conv;
pub(crate) mod create;
pub(crate) mod custom;
pub(crate) mod data;
pub(crate) mod index;
pub(crate) mod linalg;
pub(crate) mod matmul;
pub(crate) mod normalization;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod reduce;
#[cfg(all(test, feature = "cpu", feature = "gpu"))]
mod row_tests;
pub(crate) mod scan;
pub(crate) mod scatter;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod unary;
pub(crate) mod view;
#[cfg(all(test, feature = "gpu"))]
mod wgsl_tests;

pub use assemble::PadMode;
pub use conv::{ConvOptions, Padding};
pub use custom::{CpuCall, CustomOp};
pub use data::{HostData, IntoTensor, Number};
pub use pointwise::Operand;
pub use pool::PoolOptions;
pub use view::SliceRange;
