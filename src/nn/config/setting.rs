//! The types of settings: how each is written as JSON, read back, and given to a builder method.

use std::str::FromStr;

use serde_json::{Value, json};

use super::unknown;
use crate::Padding;
use crate::error::{Error, Kind, Result};
use crate::shape::Index;

/// A type that a setting can have.
///
/// ```
/// use wgtensor::nn::config::{IntoSetting, Setting};
/// use wgtensor::nn::metrics::Averaging;
///
/// let average: Averaging = "macro".into_setting()?;
/// assert_eq!(average, Averaging::Macro);
/// assert_eq!(average.to_json()?, "macro");
/// assert_eq!(Averaging::from_json(&"micro".into())?, Some(Averaging::Micro));
/// assert_eq!(Averaging::from_json(&5.into())?, None); // no text
/// assert!(Averaging::from_json(&"some".into()).is_err()); // no such name
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Setting: Sized {
    /// What is expected, in an error's words.
    const EXPECTED: &'static str;

    /// As Keras writes it.
    ///
    /// # Errors
    /// A value that cannot be written down, such as a function of yours.
    fn to_json(&self) -> Result<Value>;

    /// From JSON; `None` where the JSON is of another form.
    ///
    /// # Errors
    /// A name or a configuration that is not known.
    fn from_json(json: &Value) -> Result<Option<Self>>;
}

/// What can be given where a setting of type `T` is wanted: a `T`, or whatever stands for one, such as its Keras name,
/// or one number for a pair.
///
/// A value that makes no sense is reported when the object is used.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let wide = Conv2D::new(8, 3).strides(2).padding("same").activation("relu"); // a number for a pair, names
/// let same = Conv2D::new(8, (3, 3)).strides((2, 2)).padding(wgtensor::Padding::Same).activation(Relu);
/// assert_eq!(layers::Layer::config(&wide)?, layers::Layer::config(&same)?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait IntoSetting<T> {
    /// The setting.
    ///
    /// # Errors
    /// A name that is not known.
    fn into_setting(self) -> Result<T>;
}

impl<T: Setting> IntoSetting<T> for T {
    fn into_setting(self) -> Result<T> {
        Ok(self)
    }
}

impl<T: Setting> IntoSetting<Option<T>> for T {
    fn into_setting(self) -> Result<Option<T>> {
        Ok(Some(self))
    }
}

/// Numbers, texts: what serde_json converts by itself.
macro_rules! plain {
    ($($ty:ty, $expected:literal, |$json:ident| $from:expr;)*) => {$(
        impl Setting for $ty {
            const EXPECTED: &'static str = $expected;
            fn to_json(&self) -> Result<Value> {
                Ok(json!(self))
            }
            fn from_json($json: &Value) -> Result<Option<Self>> {
                Ok($from)
            }
        }
    )*};
}

plain! {
    f64, "a number", |json| json.as_f64();
    bool, "true or false", |json| json.as_bool();
    String, "a text", |json| json.as_str().map(String::from);
    usize, "an integer, 0 or more", |json| integer(json);
    u64, "an integer, 0 or more", |json| integer(json);
    u32, "an integer, 0 or more", |json| integer(json);
    i32, "an integer", |json| integer(json);
    isize, "an integer", |json| integer(json);
}

/// Keras writes some integers as floats.
fn integer<T: TryFrom<i128>>(json: &Value) -> Option<T> {
    let number = match json.as_f64() {
        Some(float) if json.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => float as i128,
        _ => json.as_i64().map(i128::from).or(json.as_u64().map(i128::from))?,
    };
    T::try_from(number).ok()
}

impl IntoSetting<String> for &str {
    fn into_setting(self) -> Result<String> {
        Ok(self.into())
    }
}

/// A setting that is parsed from its name can be given as that, also where it is optional.
macro_rules! named {
    ($ty:ty) => {
        impl $crate::nn::config::IntoSetting<$ty> for &str {
            fn into_setting(self) -> $crate::error::Result<$ty> {
                self.parse()
            }
        }

        impl $crate::nn::config::IntoSetting<Option<$ty>> for &str {
            fn into_setting(self) -> $crate::error::Result<Option<$ty>> {
                self.parse().map(Some)
            }
        }
    };
}
pub(crate) use named;

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn to_json(&self) -> Result<Value> {
        self.as_ref().map_or(Ok(Value::Null), T::to_json)
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if json.is_null() { Ok(Some(None)) } else { Ok(T::from_json(json)?.map(Some)) }
    }
}

/// The items of a list, or of a tuple as Keras writes it.
pub(crate) fn items(json: &Value) -> Option<&Vec<Value>> {
    let tuple = json.get("class_name").is_some_and(|class| class == "__tuple__");
    if tuple { json.pointer("/config/items").or(json.get("items"))?.as_array() } else { json.as_array() }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn to_json(&self) -> Result<Value> {
        self.iter().map(T::to_json).collect()
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        let Some(items) = items(json) else { return Ok(None) };
        items.iter().map(T::from_json).collect()
    }
}

impl<T: Setting, const N: usize> IntoSetting<Vec<T>> for [T; N] {
    fn into_setting(self) -> Result<Vec<T>> {
        Ok(self.into())
    }
}

impl<T: Setting, const N: usize> IntoSetting<Option<Vec<T>>> for [T; N] {
    fn into_setting(self) -> Result<Option<Vec<T>>> {
        Ok(Some(self.into()))
    }
}

impl<T: Setting + Clone> IntoSetting<Vec<T>> for &[T] {
    fn into_setting(self) -> Result<Vec<T>> {
        Ok(self.into())
    }
}

/// One threshold, or several: the figure is then one for each, in their order.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::metrics::Metric;
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let (t, p) = (Tensor::new([[1.0f32], [0.0]], &device)?, Tensor::new([[0.6f32], [0.4]], &device)?);
/// let figure = Precision::new().thresholds([0.3, 0.5]).compute(&t, &p, None)?;
/// assert_eq!(format!("{figure:?}"), "Many([0.5, 1.0])");
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Thresholds {
    /// One.
    One(f64),
    /// Several.
    Many(Vec<f64>),
}

impl Setting for Thresholds {
    const EXPECTED: &'static str = "a number or a list of numbers";

    fn to_json(&self) -> Result<Value> {
        match self {
            Thresholds::One(threshold) => threshold.to_json(),
            Thresholds::Many(list) => list.to_json(),
        }
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        let one = f64::from_json(json)?.map(Thresholds::One);
        if one.is_some() { Ok(one) } else { Ok(Vec::from_json(json)?.map(Thresholds::Many)) }
    }
}

impl IntoSetting<Option<Thresholds>> for f64 {
    fn into_setting(self) -> Result<Option<Thresholds>> {
        Ok(Some(Thresholds::One(self)))
    }
}

impl IntoSetting<Option<Thresholds>> for Vec<f64> {
    fn into_setting(self) -> Result<Option<Thresholds>> {
        Ok(Some(Thresholds::Many(self)))
    }
}

impl<const N: usize> IntoSetting<Option<Thresholds>> for [f64; N] {
    fn into_setting(self) -> Result<Option<Thresholds>> {
        Ok(Some(Thresholds::Many(self.into())))
    }
}

impl Setting for (isize, isize) {
    const EXPECTED: &'static str = "an integer or two of them";

    fn to_json(&self) -> Result<Value> {
        Ok(if self.0 == self.1 { json!(self.0) } else { json!([self.0, self.1]) })
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if let Some(one) = integer(json) {
            return Ok(Some((one, one)));
        }
        Ok(Vec::from_json(json)?.and_then(|list: Vec<isize>| <[isize; 2]>::try_from(list).ok()).map(|[a, b]| (a, b)))
    }
}

impl IntoSetting<(isize, isize)> for isize {
    fn into_setting(self) -> Result<(isize, isize)> {
        Ok((self, self))
    }
}

/// An axis, or an extent among which there may be a -1, from a whole number of another type.
fn signed(n: impl Index) -> Result<isize> {
    n.signed().ok_or_else(|| {
        Error::parts(
            Kind::Argument,
            "A setting was given a number beyond what this machine addresses",
            &n.to_string(),
            &format!("at most {}", isize::MAX),
            "Give an axis or an extent of the data",
        )
    })
}

/// What stands for signed numbers: those of `dims`, and literals.
macro_rules! signed {
    ($($from:ty),*) => {$(
        impl IntoSetting<isize> for $from {
            fn into_setting(self) -> Result<isize> {
                signed(self)
            }
        }

        impl<const N: usize> IntoSetting<Vec<isize>> for [$from; N] {
            fn into_setting(self) -> Result<Vec<isize>> {
                self.into_iter().map(signed).collect()
            }
        }

        impl IntoSetting<Vec<isize>> for &[$from] {
            fn into_setting(self) -> Result<Vec<isize>> {
                self.iter().copied().map(signed).collect()
            }
        }

        impl IntoSetting<Vec<isize>> for Vec<$from> {
            fn into_setting(self) -> Result<Vec<isize>> {
                self.into_iter().map(signed).collect()
            }
        }

        impl IntoSetting<(isize, isize)> for $from {
            fn into_setting(self) -> Result<(isize, isize)> {
                signed(self).map(|n| (n, n))
            }
        }

        impl IntoSetting<(isize, isize)> for ($from, $from) {
            fn into_setting(self) -> Result<(isize, isize)> {
                Ok((signed(self.0)?, signed(self.1)?))
            }
        }
    )*};
}
signed!(usize, i32);

/// A height and a width: one number stands for both.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let square = Conv2D::new(8, 3);
/// let wide = Conv2D::new(8, (1, 5));
/// assert_eq!(layers::Layer::config(&square)?, layers::Layer::config(&Conv2D::new(8, (3, 3)))?);
/// assert_ne!(layers::Layer::config(&square)?, layers::Layer::config(&wide)?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub usize, pub usize);

impl Pair {
    pub(crate) fn tuple(self) -> (usize, usize) {
        (self.0, self.1)
    }
}

impl Default for Pair {
    fn default() -> Self {
        Pair(1, 1)
    }
}

impl Setting for Pair {
    const EXPECTED: &'static str = "an integer, 0 or more, or two of them";

    fn to_json(&self) -> Result<Value> {
        Ok(json!([self.0, self.1]))
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if let Some(both) = integer(json) {
            return Ok(Some(Pair(both, both)));
        }
        Ok(Vec::from_json(json)?
            .and_then(|list: Vec<usize>| <[usize; 2]>::try_from(list).ok())
            .map(|[h, w]| Pair(h, w)))
    }
}

/// What stands for a pair, or for an optional one.
macro_rules! pairs {
    ($($from:ty, |$given:ident| $pair:expr;)*) => {$(
        impl IntoSetting<Pair> for $from {
            fn into_setting(self) -> Result<Pair> {
                let $given = self;
                Ok($pair)
            }
        }

        impl IntoSetting<Option<Pair>> for $from {
            fn into_setting(self) -> Result<Option<Pair>> {
                let $given = self;
                Ok(Some($pair))
            }
        }
    )*};
}

pairs! {
    usize, |both| Pair(both, both);
    (usize, usize), |pair| Pair(pair.0, pair.1);
    [usize; 2], |pair| Pair(pair[0], pair[1]);
}

impl Setting for Padding {
    const EXPECTED: &'static str = "\"valid\", \"same\", or rows above and below, columns left and right";

    fn to_json(&self) -> Result<Value> {
        Ok(match *self {
            Padding::Valid => "valid".into(),
            Padding::Same => "same".into(),
            Padding::Explicit { top, bottom, left, right } => json!([[top, bottom], [left, right]]),
        })
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        if let Some(name) = json.as_str() {
            return name.parse().map(Some);
        }
        let sides: Option<Vec<Pair>> = Vec::from_json(json)?;
        Ok(match sides.as_deref() {
            Some([rows, columns]) => {
                Some(Padding::Explicit { top: rows.0, bottom: rows.1, left: columns.0, right: columns.1 })
            }
            _ => None,
        })
    }
}

named!(Padding);

impl FromStr for Padding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "valid" => Ok(Padding::Valid),
            "same" => Ok(Padding::Same),
            _ => Err(unknown("padding", name, ["valid", "same"].into_iter())),
        }
    }
}

/// A choice by name: it is parsed from the name, and JSON holds it.
macro_rules! choices {
    ($ty:ty, $what:literal, $expected:literal: $($name:literal => $value:expr),* $(,)?) => {
        impl $crate::nn::config::Setting for $ty {
            const EXPECTED: &'static str = $expected;

            fn to_json(&self) -> $crate::error::Result<serde_json::Value> {
                let found = [$(($name, $value)),*].into_iter().find(|(_, value)| value == self);
                Ok(found.map_or(serde_json::Value::Null, |(name, _)| name.into()))
            }

            fn from_json(json: &serde_json::Value) -> $crate::error::Result<Option<Self>> {
                json.as_str().map(str::parse).transpose()
            }
        }

        impl std::str::FromStr for $ty {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                let names = [$(($name, $value)),*];
                let unknown = || $crate::nn::config::unknown($what, text, names.iter().map(|(name, _)| *name));
                names.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone()).ok_or_else(unknown)
            }
        }

        $crate::nn::config::named!($ty);
    };
}
pub(crate) use choices;

/// A number, a pair of numbers or nothing, as the checks below see it.
pub(crate) trait Numbers {
    /// The least number; infinity where there is none. NaN counts as the least.
    fn least(&self) -> f64;
    /// The largest number; minus infinity where there is none.
    fn most(&self) -> f64 {
        self.least()
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Numbers for $ty {
            fn least(&self) -> f64 {
                *self as f64
            }
        }
    )*};
}
numbers!(f64 usize u64 u32 i32 isize);

impl Numbers for Pair {
    fn least(&self) -> f64 {
        self.0.min(self.1) as f64
    }
    fn most(&self) -> f64 {
        self.0.max(self.1) as f64
    }
}

impl<T: Numbers> Numbers for Option<T> {
    fn least(&self) -> f64 {
        self.as_ref().map_or(f64::INFINITY, T::least)
    }
    fn most(&self) -> f64 {
        self.as_ref().map_or(f64::NEG_INFINITY, T::most)
    }
}

impl<T: Numbers> Numbers for Vec<T> {
    fn least(&self) -> f64 {
        self.iter().map(T::least).fold(f64::INFINITY, |a, b| if b.is_nan() || b < a { b } else { a })
    }
    fn most(&self) -> f64 {
        self.iter().map(T::most).fold(f64::NEG_INFINITY, |a, b| if b.is_nan() || b > a { b } else { a })
    }
}

impl Numbers for Thresholds {
    fn least(&self) -> f64 {
        match self {
            Thresholds::One(threshold) => *threshold,
            Thresholds::Many(list) => list.least(),
        }
    }
    fn most(&self) -> f64 {
        match self {
            Thresholds::One(threshold) => *threshold,
            Thresholds::Many(list) => list.most(),
        }
    }
}

// Checks: `None`, or what is expected.

/// Anything goes.
pub(crate) fn any<T>(_: &T) -> Option<&'static str> {
    None
}

/// Above 0.
pub(crate) fn positive<T: Numbers>(value: &T) -> Option<&'static str> {
    if value.least() > 0.0 { None } else { Some("a positive number") }
}

/// 0 or above.
pub(crate) fn nonnegative<T: Numbers>(value: &T) -> Option<&'static str> {
    if value.least() >= 0.0 { None } else { Some("0 or a positive number") }
}

/// From 0 to 1.
pub(crate) fn share<T: Numbers>(value: &T) -> Option<&'static str> {
    if value.least() >= 0.0 && value.most() <= 1.0 { None } else { Some("a number from 0 to 1") }
}
