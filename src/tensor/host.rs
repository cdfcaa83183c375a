//! Host data in, host data out.

use std::borrow::Cow;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::backend::Take;
use crate::dtype::{DType, Element};
use crate::error::{Error, Kind, Result, entry, entry_async};
use crate::graph::flush::realise;
use crate::graph::node::Make;
use crate::graph::{Device, Tensor};
use crate::ops::IntoTensor;
use crate::shape::{IntoShape, Shape};
use crate::sys::{block_on, deferring};

impl Tensor {
    /// A tensor of host data: a number, or arrays, slices and vectors of numbers, nested as one likes.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &Device::cpu())?;
    /// assert_eq!(x.dims(), [2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Rows of different lengths; a 64-bit whole number that `i32` does not hold; out of memory, or an element type the
    /// device does not have.
    #[track_caller]
    pub fn new(data: impl IntoTensor, device: &Device) -> Result<Tensor> {
        data.into_tensor(device)
    }

    /// A tensor of these elements, row-major, of this shape.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::from_slice(&[1, 2, 3, 4, 5, 6], [2, 3], &device)?;
    /// assert_eq!(x.take(1, 0)?.to_vec::<i32>()?, [4, 5, 6]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape has another number of elements; out of memory; a type the device does not have.
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: impl IntoShape, device: &Device) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        shape.filled("A tensor", values.len())?;
        let bounds = T::DTYPE.is_int().then(|| {
            values.iter().fold((i64::MAX, i64::MIN), |(low, high), v| {
                let v = v.to_f64() as i64;
                (low.min(v), high.max(v))
            })
        });
        let bounds = bounds.filter(|_| !values.is_empty());
        Self::from_bytes(&T::to_bytes(values), shape, T::DTYPE, bounds, device)
    }

    /// The same of elements in memory, with the least and the greatest where they are known.
    #[track_caller]
    pub(crate) fn from_bytes(
        bytes: &[u8],
        shape: Shape,
        dtype: DType,
        bounds: Option<(i64, i64)>,
        device: &Device,
    ) -> Result<Tensor> {
        device.check_dtype(dtype)?;
        // Devices have whole words.
        let mut bytes = Cow::Borrowed(bytes);
        if !bytes.len().is_multiple_of(4) {
            let whole = bytes.len().next_multiple_of(4);
            bytes.to_mut().resize(whole, 0);
        }
        let backend = device.backend();
        let buffer = entry(|| {
            let buffer = backend.alloc(bytes.len())?;
            if !bytes.is_empty() {
                let _span = device.span("upload");
                backend.write(&buffer, &bytes)?;
            }
            Ok(buffer)
        })?;
        let make = Make::constant(device);
        Ok(Tensor::leaf(buffer, shape, dtype, bounds, make))
    }

    /// The elements, row-major. Blocks until they are computed.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device)?;
    /// assert_eq!(x.t()?.to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// assert!(x.to_vec::<i32>().unwrap_err().is_dtype_mismatch());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `T` is not the tensor's type; out of memory; a lost device.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        entry(|| block_on(async { self.to_vec_async().await }))
    }

    /// The elements, row-major. The work is submitted by this call (planning it, and on a GPU compiling new kernels, are
    /// part of that), and the returned future waits for it without blocking who polls it.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1.0f32, 2.0], &device)?;
    /// let waiting = x.exp()?.log()?.to_vec_async::<f32>(); // submitted
    /// let values = pollster::block_on(waiting)?;
    /// assert_eq!(values.len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`to_vec`](Tensor::to_vec).
    #[track_caller]
    pub fn to_vec_async<T: Element>(&self) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        let values = if T::DTYPE == self.dtype() {
            self.read(|bytes| T::from_bytes(bytes))
        } else {
            Err(Error::parts(
                Kind::DType,
                "A tensor was read as another type",
                &T::DTYPE.to_string(),
                &self.dtype().to_string(),
                "Cast it first, or read the type it has",
            ))
        };
        entry_async(values)
    }

    /// The one element of a tensor of one element. Blocks until it is computed.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1.0f32, 2.0, 3.0], &device)?;
    /// assert_eq!(x.mean(())?.item::<f32>()?, 2.0);
    /// assert!(x.item::<f32>().unwrap_err().is_shape_mismatch());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// More or fewer elements; otherwise those of [`to_vec`](Tensor::to_vec).
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        if self.numel() != 1 {
            return Err(Error::parts(
                Kind::Shape,
                "`item` was called on a tensor that is no single number",
                &format!("shape {}", self.shape()),
                "one element",
                "Reduce it first, or read all with `to_vec`",
            ));
        }
        Ok(self.to_vec::<T>()?[0])
    }

    /// The elements as `f64`, whatever the type (exact for all types). Blocks until they are computed.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::new([true, false], &device)?.to_f64_vec()?, [1.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory; a lost device.
    #[track_caller]
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        entry(|| block_on(async { self.to_f64_vec_async().await }))
    }

    /// [`to_f64_vec`](Tensor::to_f64_vec) as a future, as [`to_vec_async`](Tensor::to_vec_async) is.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let waiting = Tensor::new([1u8, 2], &device)?.to_f64_vec_async();
    /// assert_eq!(pollster::block_on(waiting)?, [1.0, 2.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`to_f64_vec`](Tensor::to_f64_vec).
    #[track_caller]
    pub fn to_f64_vec_async(&self) -> impl Future<Output = Result<Vec<f64>>> + Send + use<> {
        entry_async(self.read(self.dtype().reader()))
    }

    /// Submits what this tensor needs, without waiting for it.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1.0f32, 2.0], &device)?.exp()?;
    /// x.realize()?; // at work; `to_vec` would wait
    /// assert_eq!(x.to_vec::<f32>()?[0], 1f32.exp());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory; a lost device.
    #[track_caller]
    pub fn realize(&self) -> Result<()> {
        realise(self, |_| ())
    }

    /// A copy on another device, through host memory. A constant: no gradient flows through it.
    ///
    /// ```
    /// # use wgtensor::{Device, DeviceOptions, Tensor};
    /// # let device = Device::cpu();
    /// let other = Device::open_with("cpu", &DeviceOptions::default())?;
    /// let x = Tensor::new([1.0f32, 2.0], &device)?;
    /// assert_eq!(x.to_device(&other)?.device(), &other);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory; a type the other device does not have; a lost device.
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        let bytes = self.to_bytes()?;
        Self::from_bytes(&bytes, *self.shape(), self.dtype(), self.0.bounds.get().copied(), device)
    }

    /// The elements as the device stores them.
    #[track_caller]
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        entry(|| block_on(async { self.read(<[u8]>::to_vec)?.await }))
    }

    /// What `convert` makes of the elements' bytes. It runs on a thread of the engine's, not on the one that polls.
    #[track_caller]
    fn read<R: Send + 'static>(
        &self,
        convert: impl FnOnce(&[u8]) -> R + Send + 'static,
    ) -> Result<BoxFuture<'static, Result<R>>> {
        let (sender, converted) = oneshot::channel();
        let take: Take = Box::new(move |bytes| {
            let _ = sender.send(convert(bytes));
        });
        let bytes = self.numel() * self.dtype().size();
        let read = match bytes {
            0 => {
                take(&[]);
                futures::future::ready(Ok(())).boxed()
            }
            _ => deferring(|| realise(self, |buffer| self.device().backend().read(buffer, bytes, take)))?,
        };
        let device = self.device().clone();
        let finish = async move {
            let _span = device.span("read back");
            read.await?;
            converted.await.map_err(|_| Error::internal("a read-back gave nothing"))
        };
        Ok(finish.boxed())
    }
}
