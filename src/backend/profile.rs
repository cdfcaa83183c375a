//! What kernels take: noted by an engine while somebody asks, and told as a table.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;

use crate::error::Result;

/// One kernel that ran, and the time it took.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::uniform([64, 64], -1.0, 1.0, 1, &device)?;
/// let (_, profile) = device.profile(|| x.matmul(&x)?.realize())?;
/// let product = profile.kernels.iter().find(|kernel| kernel.name.contains("matmul")).expect("it ran");
/// assert!(product.seconds >= 0.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// What ran, `gemm 64x64 ...: matmul+add+relu`: on a GPU the shader's template and which variant of it was chosen, on
    /// the CPU engine the kind of step; behind the colon the operations that the step computes. A step of several kernels
    /// gives all of them its operations.
    pub name: String,
    /// Work-groups along x, y and z; all 0 on the CPU engine, which has none.
    pub groups: [u32; 3],
    /// Seconds on the device, by its own clock; on the CPU engine by the host's.
    pub seconds: f64,
}

/// What ran on a device during [`Device::profile`](crate::Device::profile). Its `Display` is a table, summed by kernel,
/// the longest first.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::uniform([128, 128], -1.0, 1.0, 1, &device)?;
/// let (_, profile) = device.profile(|| x.matmul(&x)?.sum(())?.item::<f32>())?;
/// println!("{profile}");
/// assert!(profile.seconds() > 0.0 && profile.seconds() <= profile.wall);
/// let (runs, longest) = &profile.summed()[0];
/// println!("{runs} of {}", longest.name);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Each kernel, in the order in which they ran.
    pub kernels: Vec<KernelTime>,
    /// Seconds by the host's clock from the call of the closure until the device was done.
    pub wall: f64,
}

impl Profile {
    /// Seconds of all kernels together. What is missing to [`wall`](Profile::wall) the device spent waiting: for the host,
    /// for memory to be copied, between kernels.
    pub fn seconds(&self) -> f64 {
        self.kernels.iter().map(|k| k.seconds).sum()
    }

    /// The kernels of one name and one number of work-groups taken together, the longest first: how many ran, and the
    /// sum of their seconds in place of each one's.
    pub fn summed(&self) -> Vec<(usize, KernelTime)> {
        let mut sums: Vec<(usize, KernelTime)> = Vec::new();
        for kernel in &self.kernels {
            match sums.iter_mut().find(|(_, k)| k.name == kernel.name && k.groups == kernel.groups) {
                Some((runs, sum)) => {
                    *runs += 1;
                    sum.seconds += kernel.seconds;
                }
                None => sums.push((1, kernel.clone())),
            }
        }
        sums.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        sums
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.seconds();
        writeln!(f, "{} kernels, {:.3} ms on the device of {:.3} ms", self.kernels.len(), all * 1e3, self.wall * 1e3)?;
        writeln!(f, "{:>7} {:>11} {:>7}  {:>15}  kernel", "share", "ms", "runs", "work-groups")?;
        for (runs, KernelTime { name, groups: [x, y, z], seconds }) in self.summed() {
            let share = if all > 0.0 { 100.0 * seconds / all } else { 0.0 };
            let groups = format!("{x}x{y}x{z}");
            writeln!(f, "{share:>6.1}% {:>11.4} {runs:>7}  {groups:>15}  {name}", seconds * 1e3)?;
        }
        Ok(())
    }
}

/// What a kernel is called in a profile.
pub(crate) fn name(kind: &str, ops: &[&str]) -> String {
    if ops.is_empty() { kind.into() } else { format!("{kind}: {}", ops.join("+")) }
}

/// An engine notes its kernels while this lives.
pub(crate) trait Recording: Send {
    /// What was noted since it began. The device must be done with it.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Vec<KernelTime>>>;
}

/// One list for all who record at a time: each remembers where its part begins. It is empty while nobody does.
pub(crate) struct Log<T> {
    readers: AtomicUsize,
    noted: Mutex<T>,
}

impl<T: Default> Default for Log<T> {
    fn default() -> Self {
        Log { readers: AtomicUsize::new(0), noted: Mutex::default() }
    }
}

impl<T: Default> Log<T> {
    /// The list, if anybody records.
    pub(crate) fn wanted(&self) -> Option<MutexGuard<'_, T>> {
        if self.is_wanted() { Some(self.lock()) } else { None }
    }

    /// Whether anybody records: the one look that a run takes while nobody does.
    pub(crate) fn is_wanted(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// Somebody more records; `place` says where the list ends now.
    pub(crate) fn begin<P>(&self, place: impl FnOnce(&T) -> P) -> P {
        let noted = self.lock();
        self.readers.fetch_add(1, Ordering::Release);
        place(&noted)
    }

    /// Somebody no longer does.
    pub(crate) fn end(&self) {
        let mut noted = self.lock();
        if self.readers.fetch_sub(1, Ordering::Release) == 1 {
            *noted = T::default();
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(name: &str, groups: u32, seconds: f64) -> KernelTime {
        KernelTime { name: name.into(), groups: [groups, 1, 1], seconds }
    }

    #[test]
    fn the_table_is_summed_by_kernel_and_sorted_by_time() {
        let kernels = vec![kernel("a add", 1, 0.001), kernel("b mul", 2, 0.005), kernel("a add", 1, 0.002)];
        let profile = Profile { kernels: [kernels, vec![kernel("a add", 7, 0.002)]].concat(), wall: 0.02 };
        assert!((profile.seconds() - 0.010).abs() < 1e-12);
        let text = profile.to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(text.lines().next().unwrap(), "4 kernels, 10.000 ms on the device of 20.000 ms");
        assert_eq!(lines[2], ["50.0%", "5.0000", "1", "2x1x1", "b", "mul"]);
        assert_eq!(lines[3], ["30.0%", "3.0000", "2", "1x1x1", "a", "add"]);
        assert_eq!(lines[4], ["20.0%", "2.0000", "1", "7x1x1", "a", "add"]);
        assert!(Profile::default().to_string().starts_with("0 kernels"));
    }

    #[test]
    fn the_log_is_empty_once_nobody_records() {
        let log = Log::<Vec<u32>>::default();
        assert!(log.wanted().is_none());
        assert_eq!(log.begin(Vec::len), 0);
        log.wanted().unwrap().push(1);
        assert_eq!(log.begin(Vec::len), 1);
        log.end();
        assert_eq!(*log.wanted().unwrap(), [1]);
        log.end();
        assert!(log.wanted().is_none() && log.lock().is_empty());
    }
}
