//! The elements of a data set.

use super::array::Array;
use super::parts::{Given, IntoParts, Parts};
use crate::Device;
use crate::error::{Error, Kind, Result};

/// An element of a [`Dataset`](super::Dataset): the inputs `x`, the targets `y` and the sample weights, each one array,
/// several or none. Before [`batch`](super::Dataset::batch) it is one sample, after it a batch of them.
///
/// ```
/// use wgtensor::data::Item;
///
/// let sample = Item::new([0.5f32, 1.0])?.with_y(3)?.with_sample_weight(2.0f32)?;
/// assert_eq!((sample.x()[0].dims(), sample.y()[0].to_vec::<i32>()?), (&[2][..], vec![3]));
/// let two_inputs = Item::new([("pixels", [0u8, 255]), ("size", [2, 1])])?;
/// assert_eq!((two_inputs.x().len(), two_inputs.y().len()), (2, 0));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Item {
    pub(crate) x: Parts<Array>,
    pub(crate) y: Parts<Array>,
    pub(crate) sample_weight: Parts<Array>,
}

impl Item {
    /// An element of these inputs, without targets.
    ///
    /// # Errors
    /// What is wrong with an array.
    #[track_caller]
    pub fn new(x: impl IntoParts) -> Result<Self> {
        Ok(Item { x: x.into_parts()?.parts, y: Parts::default(), sample_weight: Parts::default() })
    }

    /// The same with other inputs.
    ///
    /// # Errors
    /// What is wrong with an array.
    #[track_caller]
    pub fn with_x(self, x: impl IntoParts) -> Result<Self> {
        Ok(Item { x: x.into_parts()?.parts, ..self })
    }

    /// The same with these targets.
    ///
    /// # Errors
    /// What is wrong with an array.
    #[track_caller]
    pub fn with_y(self, y: impl IntoParts) -> Result<Self> {
        Ok(Item { y: y.into_parts()?.parts, ..self })
    }

    /// The same with this weight of the sample, or these for each output.
    ///
    /// # Errors
    /// What is wrong with an array.
    #[track_caller]
    pub fn with_sample_weight(self, weight: impl IntoParts) -> Result<Self> {
        Ok(Item { sample_weight: weight.into_parts()?.parts, ..self })
    }

    /// The inputs, in the order given.
    pub fn x(&self) -> &[Array] {
        self.x.all()
    }

    /// The targets, in the order given; none where there are none.
    pub fn y(&self) -> &[Array] {
        self.y.all()
    }

    /// The sample weights; none where there are none.
    pub fn sample_weight(&self) -> &[Array] {
        self.sample_weight.all()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        let named = |name| move |array| (name, array);
        let (x, y) = (self.x().iter().map(named("x")), self.y().iter().map(named("y")));
        x.chain(y).chain(self.sample_weight().iter().map(named("sample_weight")))
    }

    /// How many rows all arrays have.
    pub(super) fn rows(&self) -> Result<usize> {
        let rows = self.each().next().map_or(0, |(_, array)| array.rows());
        if self.each().all(|(_, array)| array.shape().rank() > 0 && array.rows() == rows) {
            return Ok(rows);
        }
        let sizes: Vec<String> = self.each().map(|(name, a)| format!("'{name}' sizes: {}", a.rows())).collect();
        Err(Error::parts(
            Kind::Shape,
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples",
            &sizes.join(" "),
            "one row a sample in every array",
            "Cut the arrays to the same first dimension",
        ))
    }

    /// The same of one row of each array.
    pub(super) fn row(&self, row: usize) -> Result<Item> {
        let row = |parts: &Parts<Array>| parts.try_map(|array| array.row(row));
        Ok(Item { x: row(&self.x)?, y: row(&self.y)?, sample_weight: row(&self.sample_weight)? })
    }

    /// A batch of samples; there must be one.
    pub(super) fn stack(items: &[Item]) -> Result<Item> {
        let part = |what: &str, of: fn(&Item) -> &Parts<Array>| -> Result<Parts<Array>> {
            let first = of(&items[0]);
            if let Some(other) = items.iter().map(of).find(|other| !other.is_like(first)) {
                return Err(Error::parts(
                    Kind::Shape,
                    &format!("Elements of a data set do not fit into one batch: their {what} are not the same arrays"),
                    &format!("{other:?} beside {first:?}"),
                    "as many arrays in all elements, of the same names",
                    "Make them alike with `map` before `batch`",
                ));
            }
            let mut i = 0;
            first.try_map(|_| {
                let rows: Vec<&Array> = items.iter().map(|item| &of(item).all()[i]).collect();
                i += 1;
                Array::stack(what, &rows)
            })
        };
        Ok(Item {
            x: part("x", |item| &item.x)?,
            y: part("y", |item| &item.y)?,
            sample_weight: part("sample_weight", |item| &item.sample_weight)?,
        })
    }
}

/// What becomes an element: an [`Item`], `x` alone, `(x, y)` or `(x, y, sample_weight)`, each of these [`IntoParts`].
///
/// ```
/// use wgtensor::data::Dataset;
///
/// let x = Dataset::from_tensor_slices([[1.0f32], [2.0]])?;
/// let xy = Dataset::from_tensor_slices(([[1.0f32], [2.0]], [0, 1]))?;
/// let weighted = Dataset::from_tensor_slices(([[1.0f32], [2.0]], [0, 1], [1.0f32, 0.5]))?;
/// assert_eq!((x.len(), xy.len(), weighted.len()), (Some(2), Some(2), Some(2)));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is no `Item`, no `x`, no `(x, y)` and no `(x, y, sample_weight)`")]
pub trait IntoItem {
    /// The element, and the device that its arrays come from.
    #[doc(hidden)]
    #[track_caller]
    fn into_item(self) -> Result<(Item, Option<Device>)>;
}

impl IntoItem for Item {
    fn into_item(self) -> Result<(Item, Option<Device>)> {
        Ok((self, None))
    }
}

#[track_caller]
fn item(x: Given, y: Given, weight: Given) -> Result<(Item, Option<Device>)> {
    let origin = x.origin.or(y.origin).or(weight.origin);
    Ok((Item { x: x.parts, y: y.parts, sample_weight: weight.parts }, origin))
}

impl<X: IntoParts> IntoItem for X {
    #[track_caller]
    fn into_item(self) -> Result<(Item, Option<Device>)> {
        item(self.into_parts()?, ().into_parts()?, ().into_parts()?)
    }
}

impl<X: IntoParts, Y: IntoParts> IntoItem for (X, Y) {
    #[track_caller]
    fn into_item(self) -> Result<(Item, Option<Device>)> {
        item(self.0.into_parts()?, self.1.into_parts()?, ().into_parts()?)
    }
}

impl<X: IntoParts, Y: IntoParts, W: IntoParts> IntoItem for (X, Y, W) {
    #[track_caller]
    fn into_item(self) -> Result<(Item, Option<Device>)> {
        item(self.0.into_parts()?, self.1.into_parts()?, self.2.into_parts()?)
    }
}
