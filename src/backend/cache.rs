//! Where compiled kernels are kept from one process to the next.

use std::env::var_os;
use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable that [`KernelCache::Auto`] asks: `off`, or a directory.
const CACHE: &str = "WGTENSOR_CACHE";
/// The crate's folder in the platform's cache directory.
const FOLDER: &str = "wgtensor";

/// Where what a GPU's driver compiles is kept, so that the next process need not compile it again. Only Vulkan drivers
/// give it out. There is one file for each model of GPU and driver, of at most 64 MiB; a file that is broken or another
/// driver's is ignored and replaced, and where nothing can be written nothing is kept (the log says so at level `debug`).
///
/// The driver takes what is in the file for its own and may do anything with a forged one: name a directory only that
/// nobody else can write to. On Unix, a new directory is made for the user alone, and one that everybody may write to is
/// not used.
///
/// ```
/// # use wgtensor::{Device, DeviceOptions, KernelCache};
/// let options = DeviceOptions { cache: KernelCache::Off, ..DeviceOptions::default() };
/// let device = Device::open_with("auto", &options)?;
/// # drop(device);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum KernelCache {
    /// What `WGTENSOR_CACHE` says (`off`, or a directory); where it says nothing, the folder `wgtensor` in the user's cache
    /// directory: `$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Nowhere for a
    /// device that a host program lends: the program may keep a cache of its own.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// In this directory, which is made when it is not there. A device that a host program lends needs the feature
    /// `PIPELINE_CACHE` for it.
    Directory(PathBuf),
}

impl KernelCache {
    /// The directory to use, on a device that a host program lent or on one of the crate's own.
    pub(crate) fn directory(&self, lent: bool) -> Option<PathBuf> {
        match self {
            KernelCache::Off => None,
            KernelCache::Directory(directory) => Some(directory.clone()),
            KernelCache::Auto if lent => None,
            KernelCache::Auto => asked(var_os(CACHE)),
        }
    }
}

/// The directory that the environment wants.
fn asked(word: Option<OsString>) -> Option<PathBuf> {
    match word.filter(|word| !word.is_empty()) {
        Some(word) if word.eq_ignore_ascii_case("off") => None,
        Some(directory) => Some(directory.into()),
        None => platform().map(|directory| directory.join(FOLDER)),
    }
}

/// The platform's directory for what can be made again. Variables that are not absolute paths do not count.
fn platform() -> Option<PathBuf> {
    let path = |name| var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        path("HOME").map(|home| home.join("Library/Caches"))
    } else {
        path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_directory_or_switches_the_cache_off() {
        assert_eq!(asked(Some("OFF".into())), None);
        assert_eq!(asked(Some("some/where".into())), Some("some/where".into()));
        assert_eq!(asked(Some(OsString::new())), asked(None));
        assert!(asked(None).is_none_or(|d| d.is_absolute() && d.ends_with(FOLDER)));
        assert_eq!(KernelCache::Off.directory(false), None);
        assert_eq!(KernelCache::Auto.directory(true), None, "a lent device is the host's");
        assert_eq!(KernelCache::Directory("here".into()).directory(true), Some("here".into()));
    }
}
