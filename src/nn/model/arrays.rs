//! What data can be given as: one array, a list with one for each input or output, or arrays by their names.

use crate::Tensor;
use crate::error::{Error, Kind, Result};

/// The arrays of a call, one row a sample: a tensor, a list of tensors in the order of the model's inputs (or outputs), or
/// pairs of a name and a tensor.
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
pub struct Arrays(Given);

#[derive(Clone)]
enum Given {
    One(Tensor),
    List(Vec<Tensor>),
    Named(Vec<(String, Tensor)>),
}

impl Arrays {
    /// One array for each name, `None` where there is none for it; one array alone is for all of them where `shared`.
    pub(super) fn by_name(self, what: &str, names: &[String], shared: bool) -> Result<Vec<Option<Tensor>>> {
        match self.0 {
            Given::One(one) if names.len() == 1 || shared => Ok(vec![Some(one); names.len()]),
            Given::One(_) => Err(miscounted(what, 1, names)),
            Given::List(list) if list.len() == names.len() => Ok(list.into_iter().map(Some).collect()),
            Given::List(list) => Err(miscounted(what, list.len(), names)),
            Given::Named(pairs) => {
                if let Some((unknown, _)) = pairs.iter().find(|(name, _)| !names.contains(name)) {
                    return Err(Error::parts(
                        Kind::Argument,
                        &format!("`{what}` has an array for a name that the model does not have"),
                        &format!("\"{unknown}\""),
                        &format!("names among: {}", names.join(", ")),
                        "Use the names of the model's inputs and outputs, as `summary()` shows them",
                    ));
                }
                let find = |name: &String| pairs.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
                Ok(names.iter().map(find).collect())
            }
        }
    }

    /// [`by_name`](Self::by_name), with an array for each.
    pub(super) fn all(self, what: &str, names: &[String]) -> Result<Vec<Tensor>> {
        let found = self.by_name(what, names, false)?;
        let missing = |name: &String| {
            Error::parts(
                Kind::Argument,
                &format!("`{what}` has no array for '{name}'"),
                "arrays for others",
                &format!("an array for each of: {}", names.join(", ")),
                "Add it",
            )
        };
        found.into_iter().zip(names).map(|(array, name)| array.ok_or_else(|| missing(name))).collect()
    }
}

fn miscounted(what: &str, given: usize, names: &[String]) -> Error {
    Error::parts(
        Kind::Argument,
        &format!("`{what}` has another number of arrays than the model takes"),
        &format!("{given}"),
        &format!("{}: {}", names.len(), names.join(", ")),
        "Give a list in that order, or pairs of a name and an array",
    )
}

impl From<&Tensor> for Arrays {
    fn from(one: &Tensor) -> Self {
        Arrays(Given::One(one.clone()))
    }
}

impl From<Tensor> for Arrays {
    fn from(one: Tensor) -> Self {
        Arrays(Given::One(one))
    }
}

impl From<Vec<Tensor>> for Arrays {
    fn from(list: Vec<Tensor>) -> Self {
        Arrays(Given::List(list))
    }
}

impl From<&[Tensor]> for Arrays {
    fn from(list: &[Tensor]) -> Self {
        Arrays(Given::List(list.to_vec()))
    }
}

impl From<&Vec<Tensor>> for Arrays {
    fn from(list: &Vec<Tensor>) -> Self {
        Arrays(Given::List(list.clone()))
    }
}

impl<const N: usize> From<[Tensor; N]> for Arrays {
    fn from(list: [Tensor; N]) -> Self {
        Arrays(Given::List(list.into()))
    }
}

impl<const N: usize> From<[&Tensor; N]> for Arrays {
    fn from(list: [&Tensor; N]) -> Self {
        Arrays(Given::List(list.map(Tensor::clone).into()))
    }
}

impl<const N: usize> From<[(&str, &Tensor); N]> for Arrays {
    fn from(pairs: [(&str, &Tensor); N]) -> Self {
        Arrays(Given::Named(pairs.map(|(name, t)| (name.to_owned(), t.clone())).into()))
    }
}

impl From<Vec<(String, Tensor)>> for Arrays {
    fn from(pairs: Vec<(String, Tensor)>) -> Self {
        Arrays(Given::Named(pairs))
    }
}
