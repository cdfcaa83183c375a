//! Arrays of the host's: what elements of a data set are made of before a device sees them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use crate::dtype::{DType, Element};
use crate::error::{Error, Kind, Result, entry};
use crate::ops::data::extents;
use crate::ops::{HostData, IntoTensor, Number};
use crate::shape::{IntoShape, Shape};
use crate::{Device, Tensor};

/// Numbers in the host's memory with a shape and a type: NumPy's `ndarray` as far as data needs it. Cloning one, and taking
/// rows of it in a row, copies nothing.
///
/// ```
/// use wgtensor::data::Array;
/// use wgtensor::{DType, Device};
///
/// let a = Array::new([[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]])?;
/// assert_eq!((a.dims(), a.dtype()), (&[3, 2][..], DType::F32));
/// assert_eq!(a.row(1)?.to_vec::<f32>()?, [3.0, 4.0]);
/// assert_eq!(a.to_tensor(&Device::cpu())?.sum(())?.item::<f32>()?, 21.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Array {
    dtype: DType,
    shape: Shape,
    /// The elements as a device stores them, row-major, from `start` on; other arrays may have their part of them.
    bytes: Arc<Vec<u8>>,
    start: usize,
}

/// What an [`Array`] is made of: numbers of the host's, nested as one likes ([`HostData`]), another array, or a tensor, which
/// is read back.
///
/// ```
/// use wgtensor::data::Array;
/// # use wgtensor::{Device, Tensor};
///
/// let host = Array::new(vec![[1.0f32, 2.0]])?;
/// let read = Array::new(&Tensor::new([[1.0f32, 2.0]], &Device::cpu())?)?;
/// assert_eq!(host.to_vec::<f32>()?, read.to_vec::<f32>()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is neither an array, a tensor nor numbers of the host's")]
pub trait IntoArray {
    /// The array.
    ///
    /// # Errors
    /// What is wrong with the data, or those of the device that a tensor is read from.
    #[track_caller]
    fn into_array(self) -> Result<Array>;

    /// The device that the data comes from, where it is on one.
    #[doc(hidden)]
    fn origin(&self) -> Option<&Device> {
        None
    }
}

impl Array {
    /// An array of host data, or of a tensor, which is read back.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// let a = Array::new(vec![[1.0f32, 2.0], [3.0, 4.0]])?;
    /// assert_eq!(a.dims(), [2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Rows of different lengths; a 64-bit whole number that `i32` does not hold; those of a tensor's device.
    #[track_caller]
    pub fn new(data: impl IntoArray) -> Result<Self> {
        data.into_array()
    }

    /// An array of these elements, row-major, of this shape.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// let a = Array::from_slice(&[1, 2, 3, 4, 5, 6], [2, 3])?;
    /// assert_eq!(a.row(1)?.to_vec::<i32>()?, [4, 5, 6]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape has another number of elements.
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: impl IntoShape) -> Result<Self> {
        let shape = shape.into_shape()?;
        shape.filled("An array", values.len())?;
        Ok(Self::of(T::DTYPE, shape, T::to_bytes(values)))
    }

    /// An array of bytes that fill it.
    pub(super) fn of(dtype: DType, shape: Shape, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(bytes.len(), shape.numel() * dtype.size());
        Array { dtype, shape, bytes: Arc::new(bytes), start: 0 }
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The extents of the shape.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// How many rows: the extent of the first dimension; none of a single number.
    pub fn rows(&self) -> usize {
        self.dims().first().copied().unwrap_or(0)
    }

    /// The elements as a device stores them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.shape.numel() * self.dtype.size()]
    }

    /// The elements, row-major.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// let a = Array::new([[1.0f32], [2.0]])?;
    /// assert_eq!(a.to_vec::<f32>()?, [1.0, 2.0]);
    /// assert!(a.to_vec::<i32>().unwrap_err().is_dtype_mismatch());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `T` is not the array's type.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE == self.dtype {
            return Ok(T::from_bytes(self.bytes()));
        }
        Err(Error::parts(
            Kind::DType,
            "An array was read as another type",
            &T::DTYPE.to_string(),
            &self.dtype.to_string(),
            "Read the type it has, or `to_f64_vec`",
        ))
    }

    /// The elements as `f64`, whatever the type (exact for all types).
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.dtype.reader()(self.bytes())
    }

    /// The least and the greatest element, rounded towards zero; `None` where there are none, or a NaN among them.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        fn ends<T: Element + PartialOrd>(bytes: &[u8]) -> Option<(i64, i64)> {
            let values = T::from_bytes(bytes);
            let first = *values.first()?;
            let (mut low, mut high, mut ordered) = (first, first, true);
            for &v in &values {
                low = if v < low { v } else { low };
                high = if v > high { v } else { high };
                ordered &= !v.to_f64().is_nan();
            }
            ordered.then(|| (low.to_f64() as i64, high.to_f64() as i64))
        }
        match self.dtype {
            DType::F32 => ends::<f32>(self.bytes()),
            DType::F64 => ends::<f64>(self.bytes()),
            DType::I32 => ends::<i32>(self.bytes()),
            DType::U32 => ends::<u32>(self.bytes()),
            DType::I8 => ends::<i8>(self.bytes()),
            DType::U8 => ends::<u8>(self.bytes()),
            DType::F16 => ends::<f16>(self.bytes()),
            DType::BF16 => ends::<bf16>(self.bytes()),
            DType::Bool => None,
        }
    }

    /// A tensor of the elements on a device.
    ///
    /// ```
    /// use wgtensor::Device;
    /// use wgtensor::data::Array;
    /// let x = Array::new([1.0f32, 2.0])?.to_tensor(&Device::cpu())?;
    /// assert_eq!(x.sum(())?.item::<f32>()?, 3.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory, or an element type that the device does not have.
    #[track_caller]
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let bounds = if self.dtype.is_int() { self.bounds() } else { None };
        self.upload(bounds, device)
    }

    /// The same with the bounds that are known of it.
    #[track_caller]
    pub(crate) fn upload(&self, bounds: Option<(i64, i64)>, device: &Device) -> Result<Tensor> {
        Tensor::from_bytes(self.bytes(), self.shape, self.dtype, bounds, device)
    }

    /// Doubles as floats of single precision, all else as it is.
    pub(crate) fn single(self) -> Array {
        if self.dtype != DType::F64 {
            return self;
        }
        let values: Vec<f32> = self.to_f64_vec().into_iter().map(|v| v as f32).collect();
        Self::of(DType::F32, self.shape, f32::to_bytes(&values))
    }

    /// The same elements in another shape.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// assert_eq!(Array::new([1, 2, 3, 4])?.reshape([2, 2])?.row(1)?.to_vec::<i32>()?, [3, 4]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape of another number of elements.
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Array> {
        let shape = shape.into_shape()?;
        if shape.numel() == self.shape.numel() {
            return Ok(Array { shape, ..self.clone() });
        }
        Err(Error::parts(
            Kind::Shape,
            "`reshape` was asked for another number of elements",
            &format!("shape {} to {shape}", self.shape),
            &format!("{} elements", self.shape.numel()),
            "Check the shape",
        ))
    }

    /// The dimensions in the opposite order.
    #[cfg(feature = "npy")]
    pub(super) fn transposed(&self) -> Result<Array> {
        let dims: Vec<usize> = self.dims().iter().rev().copied().collect();
        let (size, from, shape) = (self.dtype.size(), self.bytes(), Shape::new(&dims)?);
        let strides: Vec<usize> = self.shape.strides()[..dims.len()].iter().rev().map(|&s| s as usize * size).collect();
        let mut bytes = Vec::with_capacity(from.len());
        let (mut index, mut at) = (vec![0; dims.len()], 0);
        for _ in 0..shape.numel() {
            bytes.extend_from_slice(&from[at..at + size]);
            for axis in (0..dims.len()).rev() {
                (index[axis], at) = (index[axis] + 1, at + strides[axis]);
                if index[axis] < dims[axis] {
                    break;
                }
                (index[axis], at) = (0, at - dims[axis] * strides[axis]);
            }
        }
        Ok(Self::of(self.dtype, shape, bytes))
    }

    /// Row `index`, without the first dimension.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// assert_eq!(Array::new([[1, 2], [3, 4]])?.row(0)?.to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such row.
    #[track_caller]
    pub fn row(&self, index: usize) -> Result<Array> {
        let rows = self.slice(index..index.saturating_add(1))?;
        Ok(Array { shape: Shape::of(&self.dims()[1..]), ..rows })
    }

    /// Some rows in a row.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// assert_eq!(Array::new([1, 2, 3, 4])?.slice(1..3)?.to_vec::<i32>()?, [2, 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There are no such rows.
    #[track_caller]
    pub fn slice(&self, rows: Range<usize>) -> Result<Array> {
        if self.shape.rank() == 0 || rows.start > rows.end || rows.end > self.rows() {
            return Err(self.outside(&format!("rows {}..{}", rows.start, rows.end)));
        }
        let shape = self.shape.with(0, rows.len());
        Ok(Array { shape, start: self.start + rows.start * self.row_bytes(), ..self.clone() })
    }

    /// Some rows in any order, copied.
    ///
    /// ```
    /// use wgtensor::data::Array;
    /// assert_eq!(Array::new([1, 2, 3, 4])?.take(&[3, 0])?.to_vec::<i32>()?, [4, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such row.
    #[track_caller]
    pub fn take(&self, rows: &[usize]) -> Result<Array> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            return Err(self.outside(&format!("row {row}")));
        }
        let (from, width) = (self.bytes(), self.row_bytes());
        let mut bytes = Vec::with_capacity(rows.len() * width);
        rows.iter().for_each(|row| bytes.extend_from_slice(&from[row * width..][..width]));
        Ok(Self::of(self.dtype, self.shape.with(0, rows.len()), bytes))
    }

    fn row_bytes(&self) -> usize {
        self.dims()[1..].iter().product::<usize>() * self.dtype.size()
    }

    #[track_caller]
    fn outside(&self, received: &str) -> Error {
        Error::parts(
            Kind::Index,
            "Rows were asked for that the array does not have",
            received,
            &format!("rows of an array of shape {}", self.shape),
            "Count rows from 0",
        )
    }

    /// Arrays of one shape and type as the rows of one; `what` they are is for the error.
    pub(super) fn stack(what: &str, rows: &[&Array]) -> Result<Array> {
        let Some(&first) = rows.first() else { return Err(Error::internal("a stack of nothing")) };
        let mut bytes = Vec::with_capacity(rows.len() * first.bytes().len());
        for row in rows {
            if (row.dtype, row.shape) != (first.dtype, first.shape) {
                return Err(Error::parts(
                    Kind::Shape,
                    &format!("Elements of a data set do not fit into one batch: their {what} differ"),
                    &format!("{row:?} beside {first:?}"),
                    "one shape and type in all elements",
                    "Pad, cut or convert them with `map` before `batch`",
                ));
            }
            bytes.extend_from_slice(row.bytes());
        }
        let extents: Vec<usize> = [&[rows.len()], first.dims()].concat();
        Ok(Self::of(first.dtype, Shape::new(&extents)?, bytes))
    }
}

/// Type and shape.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, self.shape)
    }
}

impl<N: HostData> IntoArray for N {
    #[track_caller]
    fn into_array(self) -> Result<Array> {
        let extents = extents(&self)?;
        Array::from_slice(&N::Number::elements(&self.numbers())?, &extents)
    }
}

impl IntoArray for Array {
    fn into_array(self) -> Result<Array> {
        Ok(self)
    }
}

impl IntoArray for &Array {
    fn into_array(self) -> Result<Array> {
        Ok(self.clone())
    }
}

impl IntoArray for &Tensor {
    #[track_caller]
    fn into_array(self) -> Result<Array> {
        let mut bytes = self.to_bytes()?;
        bytes.truncate(self.numel() * self.dtype().size());
        Ok(Array::of(self.dtype(), *self.shape(), bytes))
    }
    fn origin(&self) -> Option<&Device> {
        Some(self.device())
    }
}

impl IntoArray for Tensor {
    #[track_caller]
    fn into_array(self) -> Result<Array> {
        (&self).into_array()
    }
    fn origin(&self) -> Option<&Device> {
        Some(self.device())
    }
}

impl IntoTensor for &Array {
    #[track_caller]
    fn into_tensor(self, device: &Device) -> Result<Tensor> {
        entry(|| self.to_tensor(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_share_memory_and_know_their_ends() {
        let a = Array::new([[1, -7], [3, 4], [5, 6]]).unwrap();
        assert_eq!((a.rows(), a.bounds(), a.dtype()), (3, Some((-7, 6)), DType::I32));
        let middle = a.slice(1..3).unwrap();
        assert_eq!((middle.dims(), middle.bounds()), (&[2, 2][..], Some((3, 6))));
        assert_eq!(middle.row(1).unwrap().to_vec::<i32>().unwrap(), [5, 6]);
        assert!(Arc::ptr_eq(&a.bytes, &middle.bytes));
        assert_eq!(a.take(&[2, 0, 2]).unwrap().to_vec::<i32>().unwrap(), [5, 6, 1, -7, 5, 6]);
        assert_eq!(a.slice(3..3).unwrap().dims(), [0, 2]);
        for wrong in [a.row(3), a.slice(2..4), a.take(&[3]), Array::new(1.0f32).unwrap().row(0)] {
            assert!(wrong.unwrap_err().is_out_of_range());
        }
        assert!(a.to_vec::<f32>().unwrap_err().is_dtype_mismatch());
        assert!(Array::from_slice(&[1.0f32], 2).unwrap_err().is_shape_mismatch());
        assert!(Array::new(vec![vec![1.0f32], vec![]]).unwrap_err().is_shape_mismatch());
    }

    #[test]
    fn every_type_widens_exactly() {
        assert_eq!(Array::new([true, false]).unwrap().to_f64_vec(), [1.0, 0.0]);
        assert_eq!(Array::new([7u8, 255]).unwrap().to_f64_vec(), [7.0, 255.0]);
        assert_eq!(Array::new([f16::from_f32(0.5), f16::ONE]).unwrap().to_f64_vec(), [0.5, 1.0]);
        let doubles = Array::new([0.1, f64::NAN]).unwrap();
        assert_eq!(doubles.bounds(), None);
        assert_eq!(doubles.single().to_vec::<f32>().unwrap()[0], 0.1);
        assert!(Array::new([u64::MAX]).unwrap_err().is_dtype_mismatch());
    }
}
