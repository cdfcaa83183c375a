//! Writes down every WGSL source that the process compiles or checks, where `WGTENSOR_DUMP` names a folder.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::path::PathBuf;
use std::sync::LazyLock;

use rustc_hash::FxHasher;

static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("WGTENSOR_DUMP").filter(|f| !f.is_empty())?);
    std::fs::create_dir_all(&folder).inspect_err(|e| log::warn!("{}: {e}", folder.display())).ok()?;
    Some(folder)
});

/// Keeps a source as `NAME-DIGEST.wgsl`: the same one again is the same file.
pub(super) fn keep(name: &str, source: &str) {
    let Some(folder) = &*FOLDER else { return };
    // The name may be a program's own.
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let digest = BuildHasherDefault::<FxHasher>::default().hash_one(source);
    let path = folder.join(format!("{name}-{digest:016x}.wgsl"));
    if let Err(e) = std::fs::write(&path, source) {
        log::warn!("{}: {e}", path.display());
    }
}
