//! Settings that are one number or many.

use serde_json::{Value, json};

use super::setting::{IntoSetting, Setting, items};
use crate::error::Result;
use crate::{DType, Device, Tensor};

/// A number, or numbers in rows of equal length, to any depth: nested lists in JSON.
///
/// ```
/// use wgtensor::nn::config::{Array, IntoSetting};
///
/// let rows: Array = [[1.0, 2.0], [3.0, 4.0]].into_setting()?;
/// assert_eq!((rows.shape(), rows.values()), (&[2, 2][..], &[1.0, 2.0, 3.0, 4.0][..]));
/// let one: Array = 0.5.into_setting()?;
/// assert!(one.shape().is_empty());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    /// The extents; none of a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All numbers, the last extent running fastest.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// As a tensor of another shape of as many elements.
    pub(crate) fn tensor(&self, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        if dtype == DType::F64 {
            return Tensor::from_slice(&self.values, shape, device);
        }
        let narrow: Vec<f32> = self.values.iter().map(|&value| value as f32).collect();
        Tensor::from_slice(&narrow, shape, device)?.cast(dtype)
    }

    fn stack(rows: Vec<Array>) -> Option<Self> {
        let inner = rows.first()?.shape.clone();
        if rows.iter().any(|row| row.shape != inner) {
            return None;
        }
        let shape = [&[rows.len()], &inner[..]].concat();
        Some(Array { shape, values: rows.into_iter().flat_map(|row| row.values).collect() })
    }
}

/// The numbers of an array, the first extents first.
fn nested(shape: &[usize], values: &[f64]) -> Value {
    match shape {
        [] => json!(values.first()),
        [_, inner @ ..] => {
            let size = inner.iter().product::<usize>().max(1);
            values.chunks(size).map(|row| nested(inner, row)).collect()
        }
    }
}

impl Setting for Array {
    const EXPECTED: &'static str = "a number or a list of numbers";

    fn to_json(&self) -> Result<Value> {
        Ok(nested(&self.shape, &self.values))
    }

    fn from_json(json: &Value) -> Result<Option<Self>> {
        // Arrays of NumPy and tensors are lists in an object of their own.
        if let Some(value) = json.pointer("/config/value") {
            return Self::from_json(value);
        }
        if let Some(value) = json.as_f64() {
            return Ok(Some(Array::from(value)));
        }
        let Some(list) = items(json) else { return Ok(None) };
        let rows: Option<Vec<Array>> = list.iter().map(Self::from_json).collect::<Result<_>>()?;
        Ok(rows.and_then(Array::stack))
    }
}

impl From<f64> for Array {
    fn from(value: f64) -> Self {
        Array { shape: Vec::new(), values: vec![value] }
    }
}

/// What stands for an array, or for an optional one.
macro_rules! arrays {
    ($(impl($($generic:tt)*) $from:ty, |$given:ident| $array:expr;)*) => {$(
        impl<$($generic)*> IntoSetting<Array> for $from {
            fn into_setting(self) -> Result<Array> {
                let $given = self;
                Ok($array)
            }
        }

        impl<$($generic)*> IntoSetting<Option<Array>> for $from {
            fn into_setting(self) -> Result<Option<Array>> {
                IntoSetting::<Array>::into_setting(self).map(Some)
            }
        }
    )*};
}

arrays! {
    impl() f64, |value| Array::from(value);
    impl(const N: usize) [f64; N], |list| Array { shape: vec![N], values: list.into() };
    impl() Vec<f64>, |list| Array { shape: vec![list.len()], values: list };
    impl() Vec<f32>, |list| Array { shape: vec![list.len()], values: list.into_iter().map(f64::from).collect() };
    impl(const N: usize, const M: usize) [[f64; N]; M], |rows| Array { shape: vec![M, N], values: rows.concat() };
}
