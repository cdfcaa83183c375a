//! Pooled device memory: buffers in size classes, a reserve, a cap, and the transient buffers that plans share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::device::{Core, lock};
use crate::backend::{DeviceOptions, MemoryStats, count, human, out_of_memory};
use crate::error::{Error, Kind, Result};

/// The least buffer, so that nothing is too small to bind.
const LEAST: u64 = 256;
/// A piece of the reserve.
const BALLAST: u64 = 64 << 20;
/// Uploads up to this many bytes are left to wgpu.
const SMALL: usize = 1 << 20;
/// Larger ones go through staging memory in pieces of this many bytes.
const PIECE: usize = 16 << 20;

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Device memory. The last owner's drop gives it back to the pool; the queue keeps the order of whoever uses it next.
pub(crate) struct GpuBuffer {
    pub(super) raw: wgpu::Buffer,
    /// Names the wgpu buffer for as long as it exists, in use or pooled; never reused. Bind groups are found by it.
    pub(super) id: u64,
    pool: Arc<Pool>,
}

impl GpuBuffer {
    /// The buffer itself, for a host program.
    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Whether this is memory of the device.
    pub(super) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.pool.core, core)
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        self.pool.give_back(self.id, &self.raw);
    }
}

/// The memory of one device.
pub(super) struct Pool {
    core: Arc<Core>,
    cap: Option<u64>,
    /// The largest buffer that can be bound.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Unused buffers by size, each list sorted by falling id. The lowest id goes first: the choice then depends on
    /// which buffers are free and not on the order in which they became so, and a repeated step meets the same
    /// buffers, and so the same bind groups, again.
    free: BTreeMap<u64, Vec<(u64, wgpu::Buffer)>>,
    /// What is left of the reserve. WebGPU cannot bind parts of one buffer for reading and writing at once, so that a
    /// reserve cannot be cut up: it only holds the memory, and is given up piece by piece as buffers take its place.
    ballast: Vec<wgpu::Buffer>,
    /// The n-th transient buffer of a size. Plans run one after the other on the queue, so all of them may use it.
    transients: BTreeMap<u64, Vec<Weak<GpuBuffer>>>,
    /// Bytes taken for which no piece of the reserve has been given up yet; below 0 after a piece that was larger.
    owed: i64,
    stats: MemoryStats,
}

impl State {
    fn held(&self) -> u64 {
        self.ballast.iter().map(wgpu::Buffer::size).sum()
    }

    fn used(&mut self, size: u64) {
        self.stats.in_use += size;
        self.stats.peak = self.stats.peak.max(self.stats.in_use);
    }
}

impl Pool {
    pub(super) fn new(core: Arc<Core>, options: &DeviceOptions) -> Result<Arc<Self>> {
        let limit = core.limits.max_buffer_size.min(core.limits.max_storage_buffer_binding_size) & !15;
        let pool = Pool { core, cap: options.cap, limit, state: Mutex::default() };
        pool.reserve(options.reserve)?;
        Ok(Arc::new(pool))
    }

    fn reserve(&self, bytes: u64) -> Result<()> {
        if let Some(cap) = self.cap.filter(|&cap| cap < bytes) {
            return Err(Error::argument(format!(
                "The memory to reserve exceeds the cap. Received: reserve {}, cap {}. Expected: reserve <= cap. \
                 Raise the cap or reserve less.",
                human(bytes),
                human(cap)
            )));
        }
        let mut left = bytes;
        while left > 0 {
            let size = left.min(BALLAST).min(self.limit).next_multiple_of(LEAST);
            let Some(piece) = self.core.create_buffer(size, USAGE)? else {
                return Err(self.full(bytes, bytes));
            };
            let mut state = lock(&self.state);
            state.ballast.push(piece);
            state.stats.reserved += size;
            left = left.saturating_sub(size);
        }
        Ok(())
    }

    /// Memory of at least `bytes`.
    pub(super) fn alloc(self: &Arc<Self>, bytes: u64) -> Result<Arc<GpuBuffer>> {
        self.core.check()?;
        let size = self.size_class(bytes)?;
        let (id, raw) = match self.pooled(size) {
            Some(found) => found,
            None => self.fresh(bytes, size)?,
        };
        Ok(Arc::new(GpuBuffer { raw, id, pool: Arc::clone(self) }))
    }

    /// The `nth` of the transient buffers of this size class. All plans of the device share it.
    pub(super) fn transient(self: &Arc<Self>, bytes: u64, nth: usize) -> Result<Arc<GpuBuffer>> {
        let size = self.size_class(bytes)?;
        let known = |state: &State| state.transients.get(&size).and_then(|all| all.get(nth)).and_then(Weak::upgrade);
        if let Some(buffer) = known(&lock(&self.state)) {
            return Ok(buffer);
        }
        let buffer = self.alloc(size)?;
        let mut state = lock(&self.state);
        if let Some(other) = known(&state) {
            // Another thread was faster. The lock goes first: dropping `buffer` takes it.
            drop(state);
            return Ok(other);
        }
        let all = state.transients.entry(size).or_default();
        if all.len() <= nth {
            all.resize(nth + 1, Weak::new());
        }
        all[nth] = Arc::downgrade(&buffer);
        drop(state);
        Ok(buffer)
    }

    /// The size of the buffer that serves `bytes`: four classes per octave, so that at most a fifth is wasted.
    pub(super) fn size_class(&self, bytes: u64) -> Result<u64> {
        if bytes > self.limit {
            return Err(Error::parts(
                Kind::Unsupported,
                &format!("A tensor exceeds what one buffer of {} can hold", self.core.info.id),
                &human(bytes),
                &format!(
                    "at most {} (max_buffer_size {}, max_storage_buffer_binding_size {})",
                    human(self.limit),
                    self.core.limits.max_buffer_size,
                    self.core.limits.max_storage_buffer_binding_size
                ),
                "Split the tensor or use smaller batches",
            ));
        }
        Ok(round_up(bytes).min(self.limit))
    }

    pub(super) fn stats(&self) -> MemoryStats {
        lock(&self.state).stats
    }

    /// Gives unused buffers back to the system; the reserve stays. They are destroyed, not just dropped: cached bind
    /// groups still name them, though none of those will be used again.
    pub(super) fn trim(&self) {
        let mut state = lock(&self.state);
        let free = std::mem::take(&mut state.free);
        state.stats.reserved -= free.iter().map(|(size, list)| size * list.len() as u64).sum::<u64>();
        state.transients.retain(|_, all| all.iter().any(|w| w.strong_count() > 0));
        drop(state);
        free.into_values().flatten().for_each(|(_, buffer)| buffer.destroy());
    }

    fn pooled(&self, size: u64) -> Option<(u64, wgpu::Buffer)> {
        let mut state = lock(&self.state);
        let found = state.free.get_mut(&size)?.pop()?;
        state.used(size);
        Some(found)
    }

    /// A buffer of `size` bytes from the system, for a request of `bytes`.
    fn fresh(&self, bytes: u64, size: u64) -> Result<(u64, wgpu::Buffer)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let raw = self.insist(bytes, size, || {
            if !self.book(size) {
                return Ok(None);
            }
            let raw = self.core.create_buffer(size, USAGE);
            if !matches!(raw, Ok(Some(_))) {
                self.unbook(size);
            }
            raw
        })?;
        Ok((NEXT.fetch_add(1, Ordering::Relaxed), raw))
    }

    /// The `size` bytes that `make` gives for a request of `bytes`; where it finds no room, with one more try after the pool has given up what it can.
    pub(super) fn insist<T>(&self, bytes: u64, size: u64, make: impl Fn() -> Result<Option<T>>) -> Result<T> {
        if let Some(made) = make()? {
            return Ok(made);
        }
        log::debug!("out of memory for {}: trimming the pool", human(bytes));
        self.trim();
        // Destroyed buffers are freed when the work and the writes that used them are over.
        let last = self.core.queue.submit([]);
        self.core.wait(Some(last))?;
        make()?.ok_or_else(|| self.full(bytes, size))
    }

    /// Notes `size` bytes as taken, in exchange for reserve where there is some; `false` if the cap forbids it.
    fn book(&self, size: u64) -> bool {
        let mut state = lock(&self.state);
        let cap = self.cap.unwrap_or(u64::MAX);
        if state.stats.reserved - state.held() + size > cap {
            return false;
        }
        state.owed += size as i64;
        while let Some(piece) = state.ballast.last()
            && (state.owed >= piece.size() as i64 || state.stats.reserved + size > cap)
        {
            piece.destroy();
            let given_up = piece.size();
            state.ballast.pop();
            state.owed -= given_up as i64;
            state.stats.reserved -= given_up;
        }
        state.stats.reserved += size;
        state.used(size);
        true
    }

    fn unbook(&self, size: u64) {
        let mut state = lock(&self.state);
        state.owed -= size as i64;
        state.stats.reserved -= size;
        state.stats.in_use -= size;
    }

    /// Puts `bytes` at the start of `buffer`, in queue order.
    pub(super) fn upload(&self, buffer: &GpuBuffer, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > buffer.raw.size() {
            return Err(Error::internal(format!("{} bytes do not fit in {}", bytes.len(), buffer.raw.size())));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let core = &self.core;
        count(&core.counters.uploads, 1);
        count(&core.counters.upload_bytes, bytes.len() as u64);
        if bytes.len() <= SMALL {
            return core.write(&buffer.raw, bytes);
        }
        // wgpu's own staging would hold all of it at once, and lose the device where there is no room for that.
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let mut before = None;
        for (i, piece) in bytes.chunks(PIECE).enumerate() {
            let size = (piece.len() as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
            let staging = self.insist(size, size, || core.create_buffer(size, usage))?;
            let mut view = staging
                .get_mapped_range_mut(..)
                .map_err(|e| Error::internal(format!("an upload's staging memory: {e}")))?;
            view.slice(..piece.len()).copy_from_slice(piece);
            drop(view);
            staging.unmap();
            let mut encoder = core.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&staging, 0, &buffer.raw, (i * PIECE) as u64, size);
            let submission = core.submit(encoder.finish());
            // Two pieces in flight.
            if let Some(before) = before.replace(submission) {
                core.wait(Some(before))?;
            }
        }
        Ok(())
    }

    fn give_back(&self, id: u64, raw: &wgpu::Buffer) {
        let size = raw.size();
        let mut state = lock(&self.state);
        state.stats.in_use -= size;
        let list = state.free.entry(size).or_default();
        let at = list.partition_point(|(other, _)| *other > id);
        list.insert(at, (id, raw.clone()));
    }

    fn full(&self, bytes: u64, rounded: u64) -> Error {
        let info = &self.core.info;
        out_of_memory(&format!("{} ({})", info.id, info.name), bytes, rounded, self.stats(), self.cap)
    }
}

/// The next of 256, 320, 384, 448, 512, 640, 768, ...
pub(super) fn round_up(bytes: u64) -> u64 {
    let bytes = bytes.max(LEAST);
    bytes.next_multiple_of((1 << (bytes - 1).ilog2()) / 4)
}
