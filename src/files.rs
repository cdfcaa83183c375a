//! Files: opened, read, replaced whole, and what can be wrong with them.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a page has no files"))]

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind, Result};

/// A file that the system does not give or take.
pub(crate) fn failed(done: &str, path: &Path, why: &io::Error) -> Error {
    Error::parts(
        Kind::Io,
        &format!("A file could not be {done}"),
        &format!("{}: {why}", path.display()),
        &format!("a file that can be {done}"),
        "Check the path and its permissions",
    )
}

/// A file whose content is not what it should be: what kind of file was received and expected, and what it `should` be.
pub(crate) fn damaged(kind: &str, received: &str, expected: &str, should: &str) -> Error {
    let fix = format!("Check that the file is whole and {should}");
    Error::parts(Kind::Argument, &format!("A {kind} file is damaged"), received, expected, &fix)
}

/// Makes a folder, and those that it is in, where there is none; `what` it is for.
pub(crate) fn make_folder(folder: &Path, what: &str) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|why| {
        Error::parts(
            Kind::Io,
            &format!("The folder of a {what} could not be made"),
            &format!("{why} for {}", folder.display()),
            "a path that can be written to",
            "Check the path and its permissions",
        )
    })
}

/// What a file's name ends in, in lower case.
pub(crate) fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// A file of a kind that a `what` cannot be saved as.
pub(crate) fn unknown_kind(what: &str, path: &Path, expected: &str, fix: &str) -> Error {
    let happened = format!("A {what} cannot be saved as a file of this kind");
    Error::parts(Kind::Argument, &happened, &path.display().to_string(), expected, fix)
}

/// A file, to read it.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|why| failed("read", path, &why))
}

/// All bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|why| failed("read", path, &why))
}

/// Writes a file under another name, and gives it its own once all of it is on the disk: whatever happens before, a file of that
/// name is as it was. What a program that was killed leaves behind ends in `.part`.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // (A page has no number of its own, nor files.)
    let process = if cfg!(target_arch = "wasm32") { 0 } else { std::process::id() };
    name.push(format!(".{process}-{}.part", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    let part = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|why| {
        // Whatever was written of it is of no use.
        std::fs::remove_file(&part).ok();
        failed("written", path, &why)
    })
}

/// The same result with the file's name in front of an error.
pub(crate) fn in_file<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.context(path.display()))
}
