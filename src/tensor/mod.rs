//! Tensors as an embedding crate sees them: made from host data, read back, printed, differentiated; and opening
//! devices.

mod arrived;
mod autograd;
pub(crate) mod device;
mod display;
mod host;
pub(crate) mod remat;

pub use autograd::{Grads, grad, no_grad, vjp};
pub use remat::remat;
