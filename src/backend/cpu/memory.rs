//! Host memory: buffers in size classes, pooled when they are dropped, counted and capped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytemuck::{Pod, Zeroable};

use crate::backend::{Counters, MemoryStats, count, out_of_memory};
use crate::error::Result;

/// A cache line, as the unit of memory: no vector of values that starts with one lies across two.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u64; 8]);

/// Lines as words.
pub(super) fn words_of(lines: &[Line]) -> &[u64] {
    bytemuck::cast_slice(lines)
}

/// The same, to be written.
pub(super) fn words_of_mut(lines: &mut [Line]) -> &mut [u64] {
    bytemuck::cast_slice_mut(lines)
}

/// Host memory of the CPU engine. Dropping it gives it back to the pool.
pub(crate) struct CpuBuffer {
    pub(super) data: RwLock<Vec<Line>>,
    bytes: usize,
    memory: Arc<Memory>,
}

impl CpuBuffer {
    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The memory of one device.
pub(super) struct Memory {
    state: Mutex<State>,
    cap: Option<u64>,
    pub(super) counters: Counters,
}

#[derive(Default)]
struct State {
    /// Free memory by its length in lines.
    pool: BTreeMap<usize, Vec<Vec<Line>>>,
    stats: MemoryStats,
}

/// Bytes of a line.
const LINE: usize = size_of::<Line>();

/// The length in lines that a request for `bytes` is rounded up to: four classes to each doubling.
fn class(bytes: usize) -> usize {
    let lines = bytes.div_ceil(LINE).max(1);
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.div_ceil(step) * step
}

impl Memory {
    pub(super) fn new(reserve: u64, cap: Option<u64>) -> Arc<Self> {
        let memory = Memory { state: Mutex::default(), cap, counters: Counters::default() };
        // Pieces of falling size, written to now so that the system hands out the pages.
        let mut left = (reserve.min(cap.unwrap_or(u64::MAX)) / LINE as u64) as usize;
        let mut piece = left / 4;
        while piece >= 1 << 10 {
            for _ in 0..2 {
                let lines = class(piece * LINE / 2);
                memory.lock().pool.entry(lines).or_default().push(vec![Line([1; 8]); lines]);
                memory.lock().stats.reserved += (LINE * lines) as u64;
                left = left.saturating_sub(lines);
            }
            piece = left / 4;
        }
        Arc::new(memory)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for at least `bytes`, of undefined content: from the pool, else from the system.
    fn take(&self, bytes: usize) -> Result<Vec<Line>> {
        let lines = class(bytes);
        let mut state = self.lock();
        // A pooled block up to twice as large serves; beyond that memory would be wasted.
        let fit = state.pool.range(lines..=2 * lines).find(|(_, v)| !v.is_empty()).map(|(&l, _)| l);
        let pooled = fit.and_then(|l| state.pool.get_mut(&l)?.pop());
        let block = match pooled {
            Some(block) => block,
            None => {
                let block = match self.fresh(&state, bytes, lines) {
                    Ok(block) => block,
                    // What lies unused may be what is missing.
                    Err(_) => {
                        state.trim();
                        self.fresh(&state, bytes, lines)?
                    }
                };
                state.stats.reserved += (LINE * lines) as u64;
                count(&self.counters.allocations, 1);
                block
            }
        };
        state.stats.in_use += (LINE * block.len()) as u64;
        state.stats.peak = state.stats.peak.max(state.stats.in_use);
        Ok(block)
    }

    /// Memory from the system, within the cap.
    fn fresh(&self, state: &State, bytes: usize, lines: usize) -> Result<Vec<Line>> {
        let rounded = (LINE * lines) as u64;
        let full = |cap| out_of_memory("cpu", bytes as u64, rounded, state.stats, cap);
        if self.cap.is_some_and(|cap| state.stats.reserved + rounded > cap) {
            return Err(full(self.cap));
        }
        let mut block: Vec<Line> = Vec::new();
        if block.try_reserve_exact(lines).is_err() {
            return Err(full(None));
        }
        block.resize(lines, Line::zeroed());
        Ok(block)
    }

    /// Takes memory back into the pool.
    fn give(&self, block: Vec<Line>) {
        if block.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.stats.in_use -= (LINE * block.len()) as u64;
        state.pool.entry(block.len()).or_default().push(block);
    }

    pub(super) fn buffer(self: &Arc<Self>, bytes: usize) -> Result<Arc<CpuBuffer>> {
        let lines = self.take(bytes)?;
        Ok(Arc::new(CpuBuffer { bytes: LINE * lines.len(), data: RwLock::new(lines), memory: self.clone() }))
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
        self.stats.reserved -= (LINE * freed) as u64;
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let data = self.data.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.memory.give(std::mem::take(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_the_request_and_waste_little() {
        for bytes in [0, 1, 64, 65, 1000, 4096, 5000, 1 << 20, (1 << 20) + 1] {
            let room = LINE * class(bytes);
            assert!(room >= bytes && room <= bytes + bytes / 4 + LINE, "{bytes} -> {room}");
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
        assert!(error.is_out_of_memory() && error.to_string().contains("the cap of 9.8 KiB"), "{error}");
        drop(a);
        memory.buffer(7000).expect("the pool is trimmed for it");
    }

    #[test]
    fn unused_memory_goes_back_before_the_system_refuses() {
        let memory = Memory::new(0, None);
        drop(memory.buffer(6000).unwrap());
        assert!(memory.stats().reserved > 0);
        let error = memory.buffer(1 << 60).err().expect("no machine has this");
        assert!(error.is_out_of_memory() && error.to_string().contains("in the device's memory"), "{error}");
        assert_eq!(memory.stats().reserved, 0);
    }

    #[test]
    fn a_reserve_is_there_from_the_start() {
        let memory = Memory::new(1 << 20, None);
        let stats = memory.stats();
        assert!(stats.reserved > 1 << 19 && stats.reserved <= 1 << 20, "{stats:?}");
    }
}
