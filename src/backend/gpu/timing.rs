//! Times of kernels: while anybody profiles, each dispatch has a pass of its own, which the device begins and ends with a
//! look at its clock.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};

use super::device::Core;
use super::readback::Staging;
use crate::backend::profile::{KernelTime, Log, Recording};
use crate::error::{Error, Kind, Result};
use crate::sys::Instant;

/// How many kernels one query set times. More than one set is used by longer plans; small ones are quicker to reset.
pub(super) const PER_SET: usize = 256;
/// Bytes of the two looks at the clock of each kernel.
const PAIR: u64 = 2 * 8;
/// Bytes of a piece of memory that sets are read into.
const PAGE: u64 = 1 << 18;

/// What has been timed since the first of those who profile began.
#[derive(Default)]
pub(super) struct Times {
    kernels: Vec<Timed>,
    /// The first kernel of each run, and when the run was submitted.
    runs: Vec<(usize, Instant)>,
    /// Reused by every plan: the queue reads a set before the next plan resets it.
    sets: Vec<wgpu::QuerySet>,
    pages: Vec<wgpu::Buffer>,
    /// Bytes of the last page in use.
    used: u64,
}

/// A kernel and where its times will be.
#[derive(Clone)]
struct Timed {
    name: Arc<str>,
    groups: [u32; 3],
    page: usize,
    offset: u64,
}

/// Where the times of up to [`PER_SET`] kernels go.
pub(super) struct Chunk {
    pub(super) set: wgpu::QuerySet,
    pub(super) page: wgpu::Buffer,
    pub(super) offset: u64,
}

impl Chunk {
    /// The looks at the clock of the `i`-th kernel.
    pub(super) fn writes(&self, i: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let begin = 2 * i as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(begin),
            end_of_pass_write_index: Some(begin + 1),
        }
    }

    /// Has the times of the first `kernels` written down.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, kernels: usize) {
        encoder.resolve_query_set(&self.set, 0..2 * kernels as u32, &self.page, self.offset);
    }
}

impl Times {
    /// Makes room for the kernels of one run, named in their order.
    pub(super) fn room<'a>(
        &mut self,
        core: &Core,
        kernels: impl ExactSizeIterator<Item = (&'a Arc<str>, [u32; 3])>,
    ) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        let all = kernels.len();
        for (i, (name, groups)) in kernels.enumerate() {
            if i % PER_SET == 0 {
                chunks.push(self.chunk(core, i / PER_SET, PER_SET.min(all - i))?);
            }
            let (page, offset) = (self.pages.len() - 1, chunks[i / PER_SET].offset + (i % PER_SET) as u64 * PAIR);
            self.kernels.push(Timed { name: Arc::clone(name), groups, page, offset });
        }
        Ok(chunks)
    }

    /// The `nth` set and memory for the times of so many kernels.
    fn chunk(&mut self, core: &Core, nth: usize, kernels: usize) -> Result<Chunk> {
        if nth == self.sets.len() {
            let descriptor = wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PER_SET as u32,
            };
            self.sets.push(core.attempt(|| core.device.create_query_set(&descriptor))?);
        }
        let bytes = (kernels as u64 * PAIR).next_multiple_of(wgpu::QUERY_RESOLVE_BUFFER_ALIGNMENT);
        if self.pages.is_empty() || self.used + bytes > PAGE {
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let full = || Error::new(Kind::OutOfMemory, "The GPU has no room for the times of kernels.");
            self.pages.push(core.create_buffer(PAGE, usage)?.ok_or_else(full)?);
            self.used = 0;
        }
        let offset = self.used;
        self.used += bytes;
        let page = self.pages.last().expect("pushed if there was none").clone();
        Ok(Chunk { set: self.sets[nth].clone(), page, offset })
    }

    /// How many kernels are timed so far.
    pub(super) fn len(&self) -> usize {
        self.kernels.len()
    }

    /// Notes that the kernels from this one on are submitted now.
    pub(super) fn submitted(&mut self, from: usize) {
        if from < self.kernels.len() {
            self.runs.push((from, Instant::now()));
        }
    }

    /// Forgets kernels that did not run after all.
    pub(super) fn forget(&mut self, from: usize) {
        self.kernels.truncate(from);
        self.runs.retain(|run| run.0 < from);
    }
}

/// Somebody who profiles.
pub(super) struct GpuRecording {
    core: Arc<Core>,
    staging: Arc<Staging>,
    times: Arc<Log<Times>>,
    from: usize,
}

impl GpuRecording {
    /// # Errors
    /// The device has no clock for it.
    pub(super) fn begin(core: &Arc<Core>, staging: &Arc<Staging>, times: &Arc<Log<Times>>) -> Result<Self> {
        if !core.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Err(Error::parts(
                Kind::Unsupported,
                &format!("The kernels of {} ({}) cannot be timed", core.info.id, core.info.name),
                "a device without timestamp queries: its adapter has none, or it was opened under WebGPU's defaults",
                "a device whose info lists the feature `timestamps`",
                "Take the time of calls by the host's clock, `sync` included",
            ));
        }
        let from = times.begin(Times::len);
        Ok(GpuRecording { core: Arc::clone(core), staging: Arc::clone(staging), times: Arc::clone(times), from })
    }

    fn read(&self, start: Instant) -> Result<BoxFuture<'static, Result<Vec<KernelTime>>>> {
        let times = self.times.lock();
        let kernels = times.kernels[self.from..].to_vec();
        let runs = times.runs.iter().filter(|run| run.0 >= self.from);
        let runs: Vec<(usize, f64)> =
            runs.map(|run| (run.0 - self.from, run.1.saturating_duration_since(start).as_secs_f64())).collect();
        let first = kernels.first().map_or(0, |k| k.page);
        let pages = &times.pages[kernels.first().map_or(times.pages.len(), |k| k.page)..];
        let copies = pages.iter().map(|page| self.staging.copy(page, PAGE)).collect::<Result<Vec<_>>>()?;
        let tick = f64::from(self.core.queue.get_timestamp_period()) * 1e-9;
        Ok(async move {
            let pages = try_join_all(copies.into_iter().map(|copy| async {
                let (sender, ticks) = futures::channel::oneshot::channel();
                let take = |bytes: &[u8]| drop(sender.send(bytemuck::pod_collect_to_vec::<u8, u64>(bytes)));
                copy.finish(Box::new(take)).await?;
                ticks.await.map_err(|_| Error::internal("the times of kernels were not read"))
            }))
            .await?;
            // A kernel that needs nothing of the one before it may begin earlier than that one ends: the time that they
            // share counts once.
            let looks = |k: &Timed| [0, 1].map(|i| pages[k.page - first][k.offset as usize / 8 + i]);
            // From the clock's first reading on, so that nothing is lost of long times.
            // (Some drivers leave a look out, which is then 0.)
            let zero = kernels.iter().map(|k| looks(k)[0]).filter(|&look| look > 0).min().unwrap_or(0);
            let seconds = |ticks: u64| ticks.saturating_sub(zero) as f64 * tick;
            // The clock stands so that no run begins before it was submitted.
            let begun = runs.iter().map(|&(kernel, submitted)| (looks(&kernels[kernel])[0], submitted));
            let late = begun.filter(|&(look, _)| look > 0).map(|(look, submitted)| submitted - seconds(look));
            let zero_at = late.fold(0.0, f64::max);
            let mut last = 0;
            let timed = kernels.iter().map(|kernel| {
                let [begin, end] = looks(kernel);
                let begin = begin.max(last);
                last = end.max(last);
                let took = end.saturating_sub(begin) as f64 * tick;
                KernelTime {
                    name: kernel.name.to_string(),
                    groups: kernel.groups,
                    begin: zero_at + seconds(begin),
                    seconds: took,
                }
            });
            Ok(timed.collect())
        }
        .boxed())
    }
}

impl Recording for GpuRecording {
    fn finish(self: Box<Self>, begin: Instant) -> BoxFuture<'static, Result<Vec<KernelTime>>> {
        self.read(begin).unwrap_or_else(|e| futures::future::ready(Err(e)).boxed())
    }
}

impl Drop for GpuRecording {
    fn drop(&mut self) {
        self.times.end();
    }
}
