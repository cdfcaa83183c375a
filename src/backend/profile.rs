//! What kernels take: noted by an engine while somebody asks, and told as a table.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;

use crate::error::Result;
use crate::sys::Instant;

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
    /// When it began, in seconds since the profile did, by the host's clock. A GPU's clock is another one, and nobody can read both
    /// at once. They are set so that no kernel begins before the call that submitted it: a kernel may have begun later
    /// than this says, by what the fastest submission of the profile took to reach the device (tens of microseconds as a
    /// rule); what lies between kernels is exact.
    pub begin: f64,
    /// Seconds on the device, by its own clock; on the CPU engine by the host's.
    pub seconds: f64,
}

/// What a thread of the host did for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpan {
    /// `profile` (all of it), `record` (a step that will be replayed), `flush` and `replay` (of what was recorded), within
    /// these `plan` (find out which kernels), `compile` (make them), `run` (on the CPU engine: compute; on a GPU: `encode` and
    /// `submit`), `upload`, `read back` and `wait` (for the device).
    pub name: &'static str,
    /// The thread's name, or its number where it has none.
    pub thread: String,
    /// When it began, in seconds since the profile did.
    pub begin: f64,
    /// How long it took, in seconds.
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
    /// The device's [`id`](crate::DeviceInfo::id) and name.
    pub device: String,
    /// Each kernel, in the order in which they ran.
    pub kernels: Vec<KernelTime>,
    /// What the host did meanwhile, in the order in which it ended.
    pub host: Vec<HostSpan>,
    /// Seconds by the host's clock from the call of the closure until the device was done.
    pub wall: f64,
}

impl KernelTime {
    /// The kernel, and the operations that it computes.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.name.split_once(": ").unwrap_or((&self.name, ""))
    }
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
        for (runs, KernelTime { name, groups: [x, y, z], seconds, .. }) in self.summed() {
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
    /// What was noted since it began, timed from `begin`. The device must be done with it.
    fn finish(self: Box<Self>, begin: Instant) -> BoxFuture<'static, Result<Vec<KernelTime>>>;
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

/// What the host does, noted while somebody asks.
pub(crate) type Spans = Log<Vec<Noted>>;

/// What the host did, by its clock.
pub(crate) struct Noted {
    name: &'static str,
    thread: String,
    begin: Instant,
    end: Instant,
}

/// Notes what lies between its beginning and its end.
pub(crate) struct Span {
    spans: Arc<Spans>,
    name: &'static str,
    thread: String,
    begin: Instant,
}

impl Spans {
    /// Notes what the host does while the span lives, if anybody asks.
    pub(crate) fn span(self: &Arc<Self>, name: &'static str) -> Option<Span> {
        self.is_wanted().then(|| {
            let thread = std::thread::current();
            let thread = thread.name().map_or_else(|| format!("{:?}", thread.id()), str::to_owned);
            Span { spans: Arc::clone(self), name, thread, begin: Instant::now() }
        })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut noted) = self.spans.wanted() {
            let thread = std::mem::take(&mut self.thread);
            noted.push(Noted { name: self.name, thread, begin: self.begin, end: Instant::now() });
        }
    }
}

/// Somebody who asks what the host does.
pub(crate) struct HostRecording {
    spans: Arc<Spans>,
    from: usize,
}

impl HostRecording {
    pub(crate) fn begin(spans: &Arc<Spans>) -> Self {
        HostRecording { from: spans.begin(Vec::len), spans: Arc::clone(spans) }
    }

    /// What was noted since it began, timed from `begin`.
    pub(crate) fn finish(self, begin: Instant) -> Vec<HostSpan> {
        let noted = self.spans.lock();
        let span = |noted: &Noted| {
            // What other threads had begun before counts from here.
            let start = noted.begin.max(begin);
            HostSpan {
                name: noted.name,
                thread: noted.thread.clone(),
                begin: start.duration_since(begin).as_secs_f64(),
                seconds: noted.end.saturating_duration_since(start).as_secs_f64(),
            }
        };
        noted[self.from..].iter().map(span).collect()
    }
}

impl Drop for HostRecording {
    fn drop(&mut self) {
        self.spans.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(name: &str, groups: u32, seconds: f64) -> KernelTime {
        KernelTime { name: name.into(), groups: [groups, 1, 1], begin: 0.0, seconds }
    }

    #[test]
    fn the_table_is_summed_by_kernel_and_sorted_by_time() {
        let kernels = vec![kernel("a add", 1, 0.001), kernel("b mul", 2, 0.005), kernel("a add", 1, 0.002)];
        let profile =
            Profile { kernels: [kernels, vec![kernel("a add", 7, 0.002)]].concat(), wall: 0.02, ..Profile::default() };
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
    fn spans_are_noted_while_somebody_asks() {
        let spans = Arc::new(Spans::default());
        assert!(spans.span("nobody asks").is_none());
        let recording = HostRecording::begin(&spans);
        let begin = Instant::now();
        let outer = spans.span("outer");
        drop(spans.span("inner"));
        drop(outer);
        let noted = recording.finish(begin);
        assert_eq!(noted.iter().map(|span| span.name).collect::<Vec<_>>(), ["inner", "outer"]);
        assert!(noted[1].begin <= noted[0].begin && noted[0].seconds <= noted[1].seconds);
        assert!(spans.lock().is_empty());
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
