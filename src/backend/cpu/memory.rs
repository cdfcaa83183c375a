//! Host memory: buffers in size classes, pooled when they are dropped, counted and capped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::backend::{Counters, MemoryStats, count};
use crate::error::{Error, Kind, Result};

/// Host memory of the CPU engine. Words of 8 bytes, so that every element type is aligned. Dropping it gives it back to the pool.
pub(crate) struct CpuBuffer {
    pub(crate) data: RwLock<Vec<u64>>,
    memory: Arc<Memory>,
}

/// The memory of one device.
pub(super) struct Memory {
    state: Mutex<State>,
    cap: Option<u64>,
    pub(super) counters: Counters,
}

#[derive(Default)]
struct State {
    /// Free memory by its length in words.
    pool: BTreeMap<usize, Vec<Vec<u64>>>,
    stats: MemoryStats,
}

/// Buffers up to this many words have one class; larger ones four classes to each doubling.
const SMALLEST: usize = 8;

/// The length in words that a request for `bytes` is rounded up to.
fn class(bytes: usize) -> usize {
    let words = bytes.div_ceil(8).max(SMALLEST);
    let step = (words.next_power_of_two() / 8).max(1);
    words.div_ceil(step) * step
}

impl Memory {
    pub(super) fn new(reserve: u64, cap: Option<u64>) -> Arc<Self> {
        let memory = Memory { state: Mutex::default(), cap, counters: Counters::default() };
        // Pieces of falling size, written to now so that the system hands out the pages.
        let mut left = (reserve.min(cap.unwrap_or(u64::MAX)) / 8) as usize;
        let mut piece = left / 4;
        while piece >= 1 << 13 {
            for _ in 0..2 {
                let words = class(piece * 4);
                memory.lock().pool.entry(words).or_default().push(vec![1; words]);
                memory.lock().stats.reserved += 8 * words as u64;
                left = left.saturating_sub(words);
            }
            piece = left / 4;
        }
        Arc::new(memory)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Words for at least `bytes`, of undefined content: from the pool, else from the system.
    pub(super) fn take(&self, bytes: usize) -> Result<Vec<u64>> {
        let words = class(bytes);
        let mut state = self.lock();
        // A pooled block up to twice as large serves; beyond that memory would be wasted.
        let fit = state.pool.range(words..=2 * words).find(|(_, v)| !v.is_empty()).map(|(&w, _)| w);
        let pooled = fit.and_then(|w| state.pool.get_mut(&w)?.pop());
        let block = match pooled {
            Some(block) => block,
            None => {
                let need = 8 * words as u64;
                if let Some(cap) = self.cap
                    && state.stats.reserved + need > cap
                {
                    state.trim();
                    if state.stats.reserved + need > cap {
                        return Err(Error::new(
                            Kind::OutOfMemory,
                            format!(
                                "The CPU engine has no room for another buffer. Received: a request for {bytes} bytes with {} in use. \
                                 Expected: at most {cap} bytes, the cap of this device. Drop tensors, use smaller batches or raise the cap.",
                                state.stats.in_use
                            ),
                        ));
                    }
                }
                let mut block: Vec<u64> = Vec::new();
                if block.try_reserve_exact(words).is_err() {
                    return Err(Error::new(
                        Kind::OutOfMemory,
                        format!(
                            "The system has no memory for another buffer. Received: a request for {bytes} bytes with {} in use. \
                             Expected: less than the machine has free. Drop tensors or use smaller batches.",
                            state.stats.in_use
                        ),
                    ));
                }
                drop(block);
                block = vec![0; words];
                state.stats.reserved += need;
                count(&self.counters.allocations, 1);
                block
            }
        };
        state.stats.in_use += 8 * block.len() as u64;
        state.stats.peak = state.stats.peak.max(state.stats.in_use);
        Ok(block)
    }

    /// Takes words back into the pool.
    pub(super) fn give(&self, block: Vec<u64>) {
        if block.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.stats.in_use -= 8 * block.len() as u64;
        state.pool.entry(block.len()).or_default().push(block);
    }

    pub(super) fn buffer(self: &Arc<Self>, bytes: usize) -> Result<Arc<CpuBuffer>> {
        Ok(Arc::new(CpuBuffer { data: RwLock::new(self.take(bytes)?), memory: self.clone() }))
    }

    pub(super) fn stats(&self) -> MemoryStats {
        self.lock().stats
    }

    pub(super) fn trim(&self) {
        self.lock().trim();
    }
}

impl State {
    fn trim(&mut self) {
        let freed: usize = self.pool.values().flatten().map(Vec::len).sum();
        self.pool.clear();
        self.stats.reserved -= 8 * freed as u64;
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let data = self.data.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.memory.give(std::mem::take(data));
    }
}

/// Pool memory for the length of a scope.
pub(super) struct Scratch<'m> {
    pub(super) words: Vec<u64>,
    memory: &'m Memory,
}

impl Memory {
    pub(super) fn scratch(&self, bytes: usize) -> Result<Scratch<'_>> {
        Ok(Scratch { words: self.take(bytes)?, memory: self })
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        self.memory.give(std::mem::take(&mut self.words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_the_request_and_waste_little() {
        for bytes in [0, 1, 64, 65, 1000, 4096, 5000, 1 << 20, (1 << 20) + 1] {
            let words = class(bytes);
            assert!(8 * words >= bytes && 8 * words <= 64.max(bytes + bytes / 4 + 8), "{bytes} -> {words}");
        }
    }

    #[test]
    fn dropped_buffers_are_reused_and_trimmed() {
        let memory = Memory::new(0, None);
        let a = memory.buffer(1000).unwrap();
        let used = memory.stats().in_use;
        assert!(used >= 1000);
        drop(a);
        assert_eq!(memory.stats().in_use, 0);
        assert_eq!(memory.stats().reserved, used);
        let _b = memory.buffer(1000).unwrap();
        assert_eq!(memory.counters.snapshot().allocations, 1);
        memory.trim();
        assert_eq!(memory.stats(), MemoryStats { in_use: used, peak: used, reserved: used });
    }

    #[test]
    fn the_cap_is_an_error_with_sizes() {
        let memory = Memory::new(0, Some(10_000));
        let a = memory.buffer(6000).unwrap();
        let error = memory.buffer(6000).err().expect("over the cap");
        assert!(error.is_out_of_memory() && error.to_string().contains("10000"), "{error}");
        drop(a);
        memory.buffer(7000).expect("the pool is trimmed for it");
    }

    #[test]
    fn a_reserve_is_there_from_the_start() {
        let memory = Memory::new(1 << 20, None);
        let stats = memory.stats();
        assert!(stats.reserved > 1 << 19 && stats.reserved <= 1 << 20, "{stats:?}");
    }
}
