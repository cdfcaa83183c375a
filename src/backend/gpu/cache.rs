//! What the driver compiled, kept in a file from one process to the next.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustc_hash::FxHasher;

use crate::backend::KernelCache;
use crate::sys::Instant;

/// A file that would be larger begins anew: nothing says which of the pipelines in it are still of use.
const MOST: usize = 64 << 20;
/// A checksum of the rest ends the file: wgpu looks at the beginning and the length only.
const CHECKSUM: usize = size_of::<u64>();
/// Writing takes at most one part in so many of the time that compiling took.
const SHARE: u32 = 4;
/// When whoever was to write the file must have died.
const STALE: Duration = Duration::from_secs(60);

/// A device's pipeline cache and its file.
pub(super) struct Cache {
    pub(super) raw: wgpu::PipelineCache,
    file: PathBuf,
    /// Whether to write at the next occasion.
    due: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Bytes that the cache gave out when it was what is in the file; 0 if nothing of use is.
    kept: usize,
    /// What compiling has taken since the file was written.
    spent: Duration,
    /// What writing it took.
    cost: Duration,
}

impl Cache {
    /// The cache of this device, if it is wanted and the driver has such a thing. `create` makes one with what a cache gave
    /// out before, or with nothing.
    pub(super) fn open(
        device: &wgpu::Device,
        choice: &KernelCache,
        lent: bool,
        create: impl Fn(Option<&[u8]>) -> Result<wgpu::PipelineCache, wgpu::Error>,
    ) -> Option<Cache> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let directory = choice.directory(lent)?;
        if let Err(e) = prepare(&directory) {
            log::debug!("no kernel cache in {}: {e}", directory.display());
            return None;
        }
        let info = device.adapter_info();
        // Two drivers of one GPU get a file each. Versions share it: the newer replaces what the older wrote.
        let driver: String = info.driver.chars().filter(char::is_ascii_alphanumeric).collect();
        let file = directory.join(format!("{}_{driver}", wgpu::util::pipeline_cache_key(&info)?));
        let say = |e: &dyn Display| log::debug!("kernel cache {}: {e}", file.display());
        let data = load(&file).inspect_err(|e| say(e)).ok();
        // Another adapter's file is an error even with a fallback; ...
        let made = data.and_then(|data| Some((create(Some(&data)).inspect_err(|e| say(e)).ok()?, data.len())));
        let (raw, kept) = match made {
            Some((raw, len)) => {
                // ... that of another version is left out in silence. The cache gives out as much as the file had, but for
                // how it is padded, if it was taken.
                let out = raw.get_data().map_or(0, |data| data.len());
                (raw, if out.abs_diff(len) < len / 8 { out } else { 0 })
            }
            None => (create(None).inspect_err(|e| say(e)).ok()?, 0),
        };
        say(&format_args!("{kept} bytes"));
        let state = Mutex::new(State { kept, spent: Duration::ZERO, cost: Duration::ZERO });
        Some(Cache { raw, file, due: AtomicBool::new(false), state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that pipelines were made, in `took`.
    pub(super) fn grew(&self, took: Duration) {
        let mut state = self.state();
        state.spent += took;
        self.due.store(state.spent >= state.cost * SHARE, Relaxed);
    }

    /// Writes what is new, if enough is.
    pub(super) fn save_if_due(&self) {
        if self.due.load(Relaxed) && self.due.swap(false, Relaxed) {
            self.save();
        }
    }

    fn save(&self) {
        let mut state = self.state();
        let start = Instant::now();
        let data = self.raw.get_data();
        // The driver does not say what it found and what it compiled; but what it compiled makes the cache longer.
        if let Some(data) = data.filter(|data| data.len() != state.kept) {
            match store(&self.file, &data) {
                Ok(()) => state.kept = data.len(),
                Err(e) => log::debug!("kernel cache {}: {e}", self.file.display()),
            }
        }
        state.spent = Duration::ZERO;
        state.cost = start.elapsed();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if self.state().spent > Duration::ZERO {
            self.save();
        }
    }
}

/// Makes the directory, and refuses one to which anybody may write: the driver trusts in what is read from it.
fn prepare(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&fs::metadata(directory)?) & 0o002 != 0 {
        return Err(io::Error::other("everybody may write to it"));
    }
    Ok(())
}

/// What `store` wrote.
fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    File::open(path)?.take((MOST + CHECKSUM + 1) as u64).read_to_end(&mut data)?;
    let split = data.len().checked_sub(CHECKSUM).filter(|&len| len <= MOST);
    let sum = split.map(|at| data.split_off(at));
    if sum.is_none_or(|sum| sum != checksum(&data)) {
        return Err(io::Error::other("the file is broken"));
    }
    Ok(data)
}

/// Puts `data` into the file, whole or not at all: readers and other writers see the file before or after.
fn store(path: &Path, data: &[u8]) -> io::Result<()> {
    if data.len() > MOST {
        return fs::remove_file(path);
    }
    let part = path.with_extension("part");
    let old =
        |m: fs::Metadata| m.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|d| d > STALE));
    if fs::metadata(&part).is_ok_and(old) {
        fs::remove_file(&part)?;
    }
    let mut options = OpenOptions::new();
    // Where the file is there, somebody else is writing, and will do for now.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    let written = file.write_all(data).and_then(|()| file.write_all(&checksum(data)));
    drop(file);
    let done = written.and_then(|()| fs::rename(&part, path));
    done.inspect_err(|_| drop(fs::remove_file(&part)))
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = FxHasher::default();
    sum.write(data);
    sum.write_usize(data.len());
    sum.finish().to_le_bytes()
}
