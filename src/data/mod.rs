//! Data: data sets and where they come from.

mod array;
mod dataset;
mod item;
mod parts;

pub use array::{Array, IntoArray};
pub use dataset::{Cardinality, Dataset, Iter};
pub use item::{IntoItem, Item};
#[doc(hidden)]
pub use parts::Given;
pub use parts::IntoParts;
pub(crate) use parts::Parts;
