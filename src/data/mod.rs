//! Data: data sets, and the files that they come from.
//!
//! What fits into the memory of a device may go there as [`Tensor`](crate::Tensor)s: `fit` then gathers its batches without the
//! host, which is the fastest there is. All else is a [`Dataset`]: a recipe of elements that are read, made or changed on the
//! host while the device works, and that need not fit into any memory.
//!
//! ```
//! use wgtensor::data::Dataset;
//! use wgtensor::nn::prelude::*;
//!
//! // Elements `(x, y)`, made anew in each epoch ...
//! let samples = Dataset::from_generator(|| (0..600).map(|i| Ok(([i as f32 / 600.0, 1.0], i32::from(i >= 300)))));
//! // ... cut into two parts, and the one to train on shuffled, batched, and prepared two batches ahead.
//! let train = samples.skip(100).shuffle(500, 7).batch(50).prefetch(2);
//! let held_out = samples.take(100).batch(50);
//!
//! let mut model = Sequential::new().add(Dense::new(8).activation(Relu)).add(Dense::new(1).activation(Sigmoid));
//! model.compile("adam", "binary_crossentropy", ["accuracy"])?;
//! let history = model.fit(train, (), Fit::new().epochs(2).validation_data(&held_out, ()))?;
//! assert_eq!(history["val_loss"].len(), 2);
//! let p = model.predict(&held_out, ())?;
//! assert_eq!(p.dims(), [100, 1]);
//! # Ok::<(), wgtensor::Error>(())
//! ```
//!
//! # Where elements come from
//!
//! - [`Dataset::from_tensor_slices`]: rows of arrays, tensors or host data in memory.
//! - [`Dataset::from_generator`]: whatever an iterator gives.
//! - `Csv` (feature `csv`): tables of comma-separated values, in memory or as a stream.
//! - `npy` and `npz` (feature `npy`): NumPy's files, read and written.
//! - [`idx`]: the files of MNIST and its relatives, with feature `gzip` also compressed.
//! - `ImageFolder` (feature `image`): PNG and JPEG files in a folder for each class.
//!
//! Elements are [`Item`]s of [`Array`]s, which are in the host's memory and need no device; a batch goes to the device as a
//! whole, when `fit`, `evaluate` or `predict` takes it, or [`Array::to_tensor`] in a loop of one's own.
//! [`train_test_split`] splits arrays and tensors before that.
//!
//! # In which order adapters stand
//!
//! As with `tf.data`, each adapter works on what the one before gives. [`shuffle`](Dataset::shuffle) before
//! [`batch`](Dataset::batch), or whole batches change places; [`prefetch`](Dataset::prefetch) last, so that all before it is
//! done by its thread. [`take`](Dataset::take) and [`skip`](Dataset::skip) before `shuffle`, since its order differs from pass to
//! pass.

mod array;
#[cfg(feature = "csv")]
mod csv;
mod damage;
mod dataset;
mod encoded;
pub mod idx;
#[cfg(feature = "image")]
mod image;
mod item;
mod lookup;
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
#[cfg(feature = "image")]
pub use image::{ColorMode, ImageFolder};
pub use item::{IntoItem, Item};
pub use lookup::StringLookup;
#[doc(hidden)]
pub use parts::Given;
pub use parts::IntoParts;
pub(crate) use parts::Parts;
pub use split::{Rows, Size, Split, train_test_split};
