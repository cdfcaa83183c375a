//! What data can be given as: one array, a list with one for each input or output, arrays by their names, or a data set.

use crate::Tensor;
use crate::data::{Dataset, Parts};
use crate::error::{Error, Kind, Result};

/// The arrays of a call, one row a sample: a tensor, a list of tensors in the order of the model's inputs (or outputs), or
/// pairs of a name and a tensor. As the `x` of `fit`, `evaluate` and `predict` also a [`Dataset`], which has its targets and
/// sample weights in it: `y` is `()` then.
///
/// ```
/// # use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let device = Device::cpu();
/// let (a, b) = (Input::new([3]).name("a").node(), Input::new([3]).name("b").node());
/// let mut model = Model::new([&a, &b], Dense::new(1).on(add([&a, &b])?)?)?;
/// let (one, two) = (Tensor::ones([4, 3], DType::F32, &device)?, Tensor::zeros([4, 3], DType::F32, &device)?);
/// let listed = model.predict([&one, &two], ())?;
/// let named = model.predict([("b", &two), ("a", &one)], ())?;
/// assert_eq!(listed.to_vec::<f32>()?, named.to_vec::<f32>()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Arrays(pub(super) Given);

#[derive(Clone)]
pub(super) enum Given {
    Tensors(Parts<Tensor>),
    Dataset(Dataset),
    Nothing,
}

impl Arrays {
    pub(super) fn is_dataset(&self) -> bool {
        matches!(self.0, Given::Dataset(_))
    }

    /// The arrays of `what`, if there are any.
    pub(super) fn tensors(self, what: &str) -> Result<Option<Parts<Tensor>>> {
        match self.0 {
            Given::Tensors(parts) => Ok(Some(parts)),
            Given::Nothing => Ok(None),
            Given::Dataset(dataset) => Err(Error::parts(
                Kind::Argument,
                &format!("`{what}` was given a data set where arrays are asked for"),
                &format!("{dataset:?}"),
                "tensors",
                "Give a data set as the `x` of `fit`, `evaluate` or `predict`, with its targets in it, and `()` as `y`",
            )),
        }
    }

    /// The arrays of `x`, of which there must be some.
    pub(super) fn inputs(self) -> Result<Parts<Tensor>> {
        let none = || {
            Error::parts(
                Kind::Argument,
                "`x` was given no arrays",
                "()",
                "the inputs of the model",
                "Give tensors, or a data set",
            )
        };
        self.tensors("x")?.ok_or_else(none)
    }
}

impl From<&Tensor> for Arrays {
    fn from(one: &Tensor) -> Self {
        one.clone().into()
    }
}

impl From<Tensor> for Arrays {
    fn from(one: Tensor) -> Self {
        Arrays(Given::Tensors(Parts::one(one)))
    }
}

impl From<Vec<Tensor>> for Arrays {
    fn from(list: Vec<Tensor>) -> Self {
        Arrays(Given::Tensors(Parts::list(list)))
    }
}

impl From<&[Tensor]> for Arrays {
    fn from(list: &[Tensor]) -> Self {
        list.to_vec().into()
    }
}

impl From<&Vec<Tensor>> for Arrays {
    fn from(list: &Vec<Tensor>) -> Self {
        list.clone().into()
    }
}

impl<const N: usize> From<[Tensor; N]> for Arrays {
    fn from(list: [Tensor; N]) -> Self {
        Arrays(Given::Tensors(Parts::list(list)))
    }
}

impl<const N: usize> From<[&Tensor; N]> for Arrays {
    fn from(list: [&Tensor; N]) -> Self {
        list.map(Tensor::clone).into()
    }
}

impl<const N: usize> From<[(&str, &Tensor); N]> for Arrays {
    fn from(pairs: [(&str, &Tensor); N]) -> Self {
        Arrays(Given::Tensors(Parts::named(pairs.map(|(name, t)| (name.to_owned(), t.clone())))))
    }
}

impl From<Vec<(String, Tensor)>> for Arrays {
    fn from(pairs: Vec<(String, Tensor)>) -> Self {
        Arrays(Given::Tensors(Parts::named(pairs)))
    }
}

impl From<&Dataset> for Arrays {
    fn from(dataset: &Dataset) -> Self {
        dataset.clone().into()
    }
}

impl From<Dataset> for Arrays {
    fn from(dataset: Dataset) -> Self {
        Arrays(Given::Dataset(dataset))
    }
}

/// No arrays: the targets beside a data set.
impl From<()> for Arrays {
    fn from((): ()) -> Self {
        Arrays(Given::Nothing)
    }
}
