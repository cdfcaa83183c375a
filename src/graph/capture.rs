//! Steps that are recorded once and replayed: what a thread records meanwhile, and where what it takes in comes from.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::error::{Error, Kind, Result};

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

static NEXT_RECORDING: AtomicU64 = AtomicU64::new(1);

/// What a [`Source`] gives for one step.
pub(crate) type Words = SmallVec<[u64; 4]>;

/// Gives numbers to a step: drawn from once when the step is recorded, and once at each replay.
pub(crate) trait Source: Send {
    /// The numbers of the next step, in words of 64 bits; as many every time.
    fn draw(&mut self) -> Words;

    /// What a step does besides taking these numbers in. Steps of different phases are recorded apart.
    fn phase(&self) -> u64 {
        0
    }
}

/// A word of a source of a recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// A number unique to the recording.
    pub(super) recording: u64,
    pub(super) source: usize,
    pub(super) word: usize,
}

/// A step while it is recorded.
pub(super) struct Recording {
    /// A number unique to it.
    id: u64,
    /// Of which device: its [`id`](super::device::Device::id).
    device: usize,
    /// What is drawn from at each replay, with its phase.
    pub(super) sources: Vec<(u64, Box<dyn Source>)>,
    /// The nodes whose parameters are drawn: from where, and what is combined with it.
    pub(super) live: FxHashMap<u64, (Place, u64)>,
    /// The nodes recorded, by their ids.
    pub(super) nodes: FxHashSet<u64>,
}

/// Records what `f` does on this thread. `None` within another recording: it is a part of that.
pub(super) fn record<R>(device: usize, f: impl FnOnce() -> R) -> Option<(R, Recording)> {
    /// Takes the recording away, whatever happens.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            RECORDING.take();
        }
    }
    if is_recording() {
        return None;
    }
    let new = Recording {
        id: NEXT_RECORDING.fetch_add(1, Relaxed),
        device,
        sources: Vec::new(),
        live: FxHashMap::default(),
        nodes: FxHashSet::default(),
    };
    RECORDING.set(Some(new));
    let _reset = Reset;
    let result = f();
    RECORDING.take().map(|recording| (result, recording))
}

/// Does `f` with the recording of this thread, if there is one.
fn with<R>(f: impl FnOnce(&mut Recording) -> R) -> Option<R> {
    RECORDING.with_borrow_mut(|recording| recording.as_mut().map(f))
}

/// Whether this thread records a step.
pub(super) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Whether this thread records a step of this device.
pub(super) fn records(device: usize) -> bool {
    RECORDING.with_borrow(|recording| recording.as_ref().is_some_and(|r| r.device == device))
}

/// Refuses what cannot be part of a step.
#[track_caller]
pub(super) fn refuse(device: usize, what: &str) -> Result<()> {
    if !records(device) {
        return Ok(());
    }
    Err(Error::parts(
        Kind::State,
        &format!("A captured step {what}"),
        "a step that is recorded, to be replayed without the host",
        "a step that only computes",
        "Return the tensor from the step and read it afterwards; in `fit`, compile with `run_eagerly(true)`",
    ))
}

/// A source to draw from at each replay of the step that this thread records.
pub(super) fn register(phase: u64, source: impl FnOnce() -> Box<dyn Source>) -> Option<Place> {
    with(|recording| {
        recording.sources.push((phase, source()));
        Place { recording: recording.id, source: recording.sources.len() - 1, word: 0 }
    })
}

/// The parameters of `node` are what is drawn, combined with `mask`.
pub(super) fn follow(node: u64, place: Place, mask: u64) {
    with(|recording| {
        // A number kept from an earlier step is what it was.
        if place.recording == recording.id {
            recording.live.insert(node, (place, mask));
        }
    });
}

/// A node that is the same operation as another: what that draws, it has too.
pub(super) fn noted_again(node: u64, copy: u64) {
    with(|recording| {
        if let Some(live) = recording.live.get(&node).copied() {
            recording.live.insert(copy, live);
        }
    });
}

/// This thread has recorded the node of this id.
pub(super) fn noted(node: u64) {
    with(|recording| recording.nodes.insert(node));
}
