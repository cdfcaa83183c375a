//! Lazily recorded nodes, the flush that realises them, variables and reverse-mode gradients.

pub(crate) mod autograd;
pub(crate) mod device;
pub(crate) mod flush;
pub(crate) mod node;
pub(crate) mod var;

pub use autograd::{Grads, grad, no_grad};
pub use device::Device;
pub use node::Tensor;
pub use var::Var;
