//! Data: data sets and where they come from.

mod array;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
mod encoded;
mod files;
pub mod idx;
mod item;
#[cfg(feature = "npy")]
pub mod npy;
#[cfg(feature = "npy")]
pub mod npz;
mod parts;
mod split;

pub use array::{Array, IntoArray};
#[cfg(feature = "csv")]
pub use csv::{Csv, Table};
pub use dataset::{Cardinality, Dataset, Iter};
pub use item::{IntoItem, Item};
#[doc(hidden)]
pub use parts::Given;
pub use parts::IntoParts;
pub(crate) use parts::Parts;
pub use split::{Rows, Size, Split, train_test_split};
