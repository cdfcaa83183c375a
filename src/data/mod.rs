//! Data: data sets and where they come from.

mod array;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
mod files;
mod item;
mod parts;

pub use array::{Array, IntoArray};
#[cfg(feature = "csv")]
pub use csv::{Csv, Table};
pub use dataset::{Cardinality, Dataset, Iter};
pub use item::{IntoItem, Item};
#[doc(hidden)]
pub use parts::Given;
pub use parts::IntoParts;
pub(crate) use parts::Parts;
