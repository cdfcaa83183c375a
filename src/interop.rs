//! For programs that use `wgpu` themselves: lend a device to the crate, and get at a tensor's buffer.
//!
//! A host's device is treated as a guest treats a house: no error handler and no loss callback is installed on it.
//! This module re-exports the [`wgpu`] that the crate was built with.

pub use wgpu;

use crate::backend::DeviceOptions;
use crate::backend::gpu::{GpuBackend, GpuBuffer};
use crate::error::{Error, Kind, Result, entry};
use crate::graph::flush::realise;
use crate::graph::{Device, Tensor};

/// A device of the crate on a host program's `wgpu` device and queue. Subgroups and timestamp queries are used if the
/// host enabled the feature. While a future of the crate is pending, a thread of the crate polls the device, and may be
/// the one that runs callbacks of the host's. Compiled kernels are kept between processes only if the options name a directory
/// and the host enabled `PIPELINE_CACHE`.
///
/// ```
/// use wgtensor::interop::{self, wgpu};
/// use wgtensor::{DeviceOptions, Result, Tensor};
///
/// /// A buffer with what the crate computes on the program's own device.
/// fn embedded(device: wgpu::Device, queue: wgpu::Queue) -> Result<wgpu::Buffer> {
///     let device = interop::from_wgpu(device, queue, &DeviceOptions::default())?;
///     interop::buffer(&Tensor::uniform([256], 0.0, 1.0, 7, &device)?.sqrt()?)
/// }
/// ```
///
/// # Errors
/// The memory to reserve is not there; `WGTENSOR_KERNELS` is asked and says nonsense.
#[track_caller]
pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue, options: &DeviceOptions) -> Result<Device> {
    entry(|| Device::of_gpu(GpuBackend::from_wgpu(device, queue, options)?, options))
}

/// The buffer that holds a tensor's elements (row-major, 4 bytes each, booleans as 0 or 1), computing them if need
/// be. The work is submitted, so commands the host submits to the same queue afterwards see the result. The buffer
/// may be longer than the tensor, and belongs to the crate's pool: it is reused once the tensor is dropped.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let Ok(device) = Device::gpu() else { return Ok(()) };
/// let x = Tensor::new([1.0f32, 2.0], &device)?;
/// assert!(wgtensor::interop::buffer(&x)?.size() >= 8);
/// assert!(wgtensor::interop::buffer(&x.to_device(&Device::cpu())?).unwrap_err().is_device_mismatch());
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// The tensor is on the CPU engine; out of memory; a lost device.
#[track_caller]
pub fn buffer(tensor: &Tensor) -> Result<wgpu::Buffer> {
    let buffer = realise(tensor, Clone::clone)?;
    let Some(buffer) = buffer.get::<GpuBuffer>() else {
        return Err(Error::parts(
            Kind::Device,
            "The GPU buffer of a tensor was asked for",
            "a tensor on the CPU engine",
            "a tensor on a GPU",
            "Copy it with `to_device`",
        ));
    };
    Ok(buffer.raw().clone())
}
