//! What kernels take.

use super::device::Device;
use crate::backend::Profile;
use crate::backend::profile::{HostRecording, Recording, Span};
use crate::error::{Result, entry, entry_async};
use crate::sys::{Instant, block_on};

impl Device {
    /// Runs `work` and times every kernel that runs on the device meanwhile, also those that other threads submit. What
    /// was pending before is done first and not counted; what `work` leaves pending is submitted, waited for and counted.
    ///
    /// On a GPU the times are the device's own. Each kernel then has a pass of its own, and a plan takes a little longer
    /// in all than without being timed; the results are the same. On the CPU engine they are the host's times of each
    /// step, which all threads share. Calls may be nested, and threads may profile at once: each sees all kernels of its time.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// let device = Device::best();
    /// let x = Tensor::ones([64, 64], DType::F32, &device)?;
    /// let (y, profile) = device.profile(|| x.matmul(&x)?.relu())?;
    /// println!("{profile}");
    /// assert!(profile.kernels.iter().any(|k| k.name.contains("matmul")));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `work`, after which the device is as good as before; the GPU has no timestamp queries (its info does not
    /// list `timestamps`): `work` is not run then; out of memory, a lost device.
    #[track_caller]
    pub fn profile<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Profile)> {
        entry(|| block_on(self.profiled(async { work() })))
    }

    /// [`profile`](Device::profile) without blocking: everything that runs on the device while `work` is awaited.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let device = Device::cpu();
    /// let work = async { Tensor::uniform([64, 64], 0.0, 1.0, 1, &device)?.sum(())?.to_vec_async::<f32>().await };
    /// let (_, profile) = pollster::block_on(device.profile_async(work))?;
    /// assert!(!profile.kernels.is_empty());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`profile`](Device::profile).
    #[track_caller]
    pub fn profile_async<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> impl Future<Output = Result<(T, Profile)>> {
        entry_async(Ok(self.profiled(work)))
    }

    async fn profiled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, Profile)> {
        let profiling = Profiling::begin(self).await?;
        let out = work.await?;
        Ok((out, profiling.finish().await?))
    }
}

/// A profile under way; dropped, it ends without one.
pub(crate) struct Profiling {
    device: Device,
    kernels: Box<dyn Recording>,
    host: HostRecording,
    begin: Instant,
    all: Option<Span>,
}

impl Profiling {
    /// Begins a profile, once the device has done what is pending.
    pub(crate) async fn begin(device: &Device) -> Result<Self> {
        device.sync_async().await?;
        let kernels = device.backend().record()?;
        let host = HostRecording::begin(device.backend().spans());
        Ok(Profiling { device: device.clone(), kernels, host, begin: Instant::now(), all: device.span("profile") })
    }

    /// What ran since, all that is pending now included.
    pub(crate) async fn finish(self) -> Result<Profile> {
        let Profiling { device, kernels, host, begin, all } = self;
        device.sync_async().await?;
        drop(all);
        let wall = begin.elapsed().as_secs_f64();
        let host = host.finish(begin);
        let info = device.info();
        let name = format!("{} ({})", info.id, info.name);
        Ok(Profile { device: name, kernels: kernels.finish(begin).await?, host, wall })
    }
}
