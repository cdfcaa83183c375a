//! `Sequential`: layers in a row, trained as Keras trains them.

mod batches;
mod compile;
mod evaluate;
mod fit;
mod sequential;
mod summary;
mod weights;

pub use evaluate::{Evaluate, Predict};
pub use fit::Fit;
pub use sequential::Sequential;

#[cfg(test)]
mod tests;
