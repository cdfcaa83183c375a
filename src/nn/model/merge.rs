//! Merging nodes: Keras's functions of the lower-case names.

use super::node::{IntoLayer, Node, Nodes};
use crate::error::Result;
use crate::nn::config::IntoSetting;
use crate::nn::layers::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};

macro_rules! merges {
    ($($function:ident, $layer:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// ```
        /// use wgtensor::nn::prelude::*;
        ///
        /// let (a, b) = (Input::new([3]).node(), Input::new([3]).node());
        #[doc = concat!("let y = wgtensor::nn::", stringify!($function), "([&a, &b])?;")]
        /// let mut model = Model::new([&a, &b], &y)?;
        /// assert_eq!(model.count_params()?, 0);
        /// # Ok::<(), wgtensor::Error>(())
        /// ```
        ///
        /// # Errors
        /// Shapes that do not go together.
        #[track_caller]
        pub fn $function(inputs: impl Into<Nodes>) -> Result<Node> {
            $layer.on(inputs)
        }
    )*};
}

merges! {
    add, Add::new(), "The sum of nodes, as an [`Add`] layer.";
    subtract, Subtract::new(), "The first of two nodes less the second, as a [`Subtract`] layer.";
    multiply, Multiply::new(), "The product of nodes, element by element, as a [`Multiply`] layer.";
    average, Average::new(), "The mean of nodes, element by element, as an [`Average`] layer.";
    maximum, Maximum::new(), "The largest of nodes, element by element, as a [`Maximum`] layer.";
    minimum, Minimum::new(), "The smallest of nodes, element by element, as a [`Minimum`] layer.";
    concatenate, Concatenate::new(), "Nodes one after the other along the last axis, as a [`Concatenate`] layer.";
}

/// The products of two nodes summed along an axis of both, or one of each, as a [`Dot`] layer.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let (a, b) = (Input::new([4]).node(), Input::new([4]).node());
/// assert_eq!(wgtensor::nn::dot([&a, &b], 1)?.shape().dims(), [1]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not go together.
#[track_caller]
pub fn dot(inputs: impl Into<Nodes>, axes: impl IntoSetting<(isize, isize)>) -> Result<Node> {
    Dot::new(axes).on(inputs)
}
