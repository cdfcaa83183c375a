//! What preprocessing layers adapt to.

use crate::data::{Array, Cardinality, Dataset};
use crate::error::{Error, Kind, Result};
use crate::loading::{Loading, Unit};
use crate::{Device, Tensor};

/// The data that [`Layer::adapt`](super::Layer::adapt) goes over, once: batches, the first dimension that of the samples.
pub type Batches = Box<dyn Iterator<Item = Result<Tensor>>>;

/// What a preprocessing layer adapts to: a tensor or an array, which is one batch, or a [`Dataset`] of batches larger than
/// any memory, of which only `x` is looked at.
///
/// ```
/// use wgtensor::data::Dataset;
/// use wgtensor::nn::prelude::*;
///
/// // A thousand rows with targets, a hundred at a time.
/// let rows = Dataset::from_generator(|| (0..1000).map(|i| Ok(([i as f32, 5.0], i % 2)))).batch(100);
/// let mut scale = Normalization::new();
/// scale.adapt(&rows)?;
/// let mut model = Sequential::new().add(scale).add(Dense::new(2));
/// # let x = wgtensor::Tensor::ones([1, 2], wgtensor::DType::F32, &wgtensor::Device::best())?;
/// # model.call(&x, false)?;
/// let mean = model.get_weights()?[0].to_vec::<f32>()?;
/// assert!((mean[0] - 499.5).abs() < 0.01 && mean[1] == 5.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no tensor, no array and no data set")]
pub trait AdaptData {
    /// The batches.
    #[doc(hidden)]
    fn into_batches(self) -> Result<Batches>;
}

impl AdaptData for &Tensor {
    fn into_batches(self) -> Result<Batches> {
        Ok(Box::new(std::iter::once(Ok(self.detach()))))
    }
}

impl AdaptData for &Array {
    fn into_batches(self) -> Result<Batches> {
        let batch = self.clone().single().to_tensor(&Device::preset()?);
        Ok(Box::new(std::iter::once(batch)))
    }
}

impl AdaptData for &Dataset {
    fn into_batches(self) -> Result<Batches> {
        if self.cardinality() == Cardinality::Infinite {
            return Err(Error::parts(
                Kind::Argument,
                "`adapt` was given a data set without an end",
                &format!("{self:?}"),
                "a data set that ends",
                "Leave out `repeat`, or `take` some of it",
            ));
        }
        let device = self.device().cloned().map_or_else(Device::preset, Ok)?;
        let mut loading = Loading::new("adapt", Unit::Batches, self.len().map(|n| n as u64));
        let batch = move |x: &[Array]| match x {
            [x] => x.clone().single().to_tensor(&device),
            several => Err(Error::parts(
                Kind::Argument,
                "`adapt` was given elements of several inputs",
                &format!("{} arrays", several.len()),
                "one array",
                "Choose one with `map`",
            )),
        };
        Ok(Box::new(self.into_iter().map(move |item| {
            loading.advance(1);
            batch(item?.x())
        })))
    }
}

impl AdaptData for Dataset {
    fn into_batches(self) -> Result<Batches> {
        (&self).into_batches()
    }
}

/// An adaptation to nothing.
pub(super) fn no_data(received: &str) -> Error {
    Error::parts(
        Kind::Shape,
        "`adapt` was given no data",
        received,
        "at least one sample",
        "Check how the data was read",
    )
}
