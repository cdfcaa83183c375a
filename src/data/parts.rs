//! One array or several, by their order or by their names.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::array::{Array, IntoArray};
use crate::Device;
use crate::error::{Error, Kind, Result};

/// Arrays for the inputs or the outputs of a model, in their order or under their names.
#[derive(Clone, Debug)]
pub(crate) struct Parts<T> {
    all: SmallVec<[T; 1]>,
    names: Option<Arc<[String]>>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Parts { all: SmallVec::new(), names: None }
    }
}

impl<T: Clone> Parts<T> {
    pub(crate) fn one(one: T) -> Self {
        Parts { all: smallvec![one], names: None }
    }

    pub(crate) fn list(all: impl IntoIterator<Item = T>) -> Self {
        Parts { all: all.into_iter().collect(), names: None }
    }

    pub(crate) fn named(pairs: impl IntoIterator<Item = (String, T)>) -> Self {
        let (names, all): (Vec<String>, SmallVec<[T; 1]>) = pairs.into_iter().unzip();
        Parts { all, names: Some(names.into()) }
    }

    /// The arrays, in the order given.
    pub(crate) fn all(&self) -> &[T] {
        &self.all
    }

    /// Others in place of these.
    pub(super) fn try_map<U>(&self, each: impl FnMut(&T) -> Result<U>) -> Result<Parts<U>> {
        Ok(Parts { all: self.all.iter().map(each).collect::<Result<_>>()?, names: self.names.clone() })
    }

    /// Whether there are as many of these, under the same names.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.all.len() == other.all.len() && self.names == other.names
    }

    /// One array for each name, `None` where there is none for it; one array alone is for all of them where `shared`.
    pub(crate) fn by_name(self, what: &str, names: &[String], shared: bool) -> Result<Vec<Option<T>>> {
        let Some(own) = self.names else {
            return match &self.all[..] {
                [one] if shared => Ok(vec![Some(one.clone()); names.len()]),
                all if all.len() == names.len() => Ok(self.all.into_iter().map(Some).collect()),
                all => Err(Error::parts(
                    Kind::Argument,
                    &format!("`{what}` has another number of arrays than the model takes"),
                    &all.len().to_string(),
                    &format!("{}: {}", names.len(), names.join(", ")),
                    "Give a list in that order, or pairs of a name and an array",
                )),
            };
        };
        if let Some(unknown) = own.iter().find(|name| !names.contains(name)) {
            return Err(Error::parts(
                Kind::Argument,
                &format!("`{what}` has an array for a name that the model does not have"),
                &format!("\"{unknown}\""),
                &format!("names among: {}", names.join(", ")),
                "Use the names of the model's inputs and outputs, as `summary()` shows them",
            ));
        }
        let find = |name| own.iter().position(|n| n == name).map(|i| self.all[i].clone());
        Ok(names.iter().map(find).collect())
    }

    /// [`by_name`](Self::by_name), with an array for each.
    pub(crate) fn every(self, what: &str, names: &[String]) -> Result<Vec<T>> {
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

/// One of the three parts of an [`Item`](super::Item): an array ([`IntoArray`]), a list of [`Array`]s or tensors in the order
/// of the model's inputs (or outputs), pairs of a name and an array, or `()` for nothing.
///
/// ```
/// use wgtensor::data::{Array, Item};
///
/// let a = Array::new([1.0f32, 2.0])?;
/// assert_eq!(Item::new(a.clone())?.x().len(), 1);
/// assert_eq!(Item::new([a.clone(), a.clone()])?.x().len(), 2);
/// assert_eq!(Item::new([("left", a.clone()), ("right", a)])?.x().len(), 2);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no array, no list of arrays and no list of names and arrays")]
pub trait IntoParts {
    /// The arrays.
    #[doc(hidden)]
    #[track_caller]
    fn into_parts(self) -> Result<Given>;
}

/// Arrays, and the device that (the first of) them come from.
#[doc(hidden)]
pub struct Given {
    pub(super) parts: Parts<Array>,
    pub(super) origin: Option<Device>,
}

impl Given {
    #[track_caller]
    fn list<A: IntoArray>(all: impl IntoIterator<Item = A>) -> Result<Self> {
        let mut origin = None;
        let mut arrays = Vec::new();
        for array in all {
            origin = origin.or_else(|| array.origin().cloned());
            arrays.push(array.into_array()?);
        }
        Ok(Given { parts: Parts::list(arrays), origin })
    }
}

impl<A: IntoArray> IntoParts for A {
    #[track_caller]
    fn into_parts(self) -> Result<Given> {
        Given::list([self])
    }
}

impl IntoParts for () {
    fn into_parts(self) -> Result<Given> {
        Ok(Given { parts: Parts::default(), origin: None })
    }
}

impl<A: IntoArray, const N: usize> IntoParts for [(&str, A); N] {
    #[track_caller]
    fn into_parts(self) -> Result<Given> {
        let names = self.each_ref().map(|(name, _)| (*name).to_owned());
        let given = Given::list(self.map(|(_, array)| array))?;
        Ok(Given { parts: Parts { names: Some(names.into()), ..given.parts }, ..given })
    }
}

macro_rules! lists {
    ($([$($n:ident)?] $list:ty;)*) => {$(
        impl$(<const $n: usize>)? IntoParts for $list {
            #[track_caller]
            fn into_parts(self) -> Result<Given> {
                Given::list(self)
            }
        }
    )*};
}
lists! {
    [] Vec<Array>;
    [N] [Array; N];
    [N] [&Array; N];
    [] Vec<crate::Tensor>;
    [N] [crate::Tensor; N];
    [N] [&crate::Tensor; N];
}
