//! Tensors as an embedding crate sees them: made from host data, read back, printed; and opening devices.

pub(crate) mod device;
mod display;
mod host;

pub use host::IntoTensor;
