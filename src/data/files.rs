//! Files: opening and reading them, and what can be wrong.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// A file that the system does not give or take.
pub(super) fn failed(done: &str, path: &Path, why: &io::Error) -> Error {
    Error::parts(
        Kind::Io,
        &format!("A data file could not be {done}"),
        &format!("{}: {why}", path.display()),
        &format!("a file that can be {done}"),
        "Check the path and its permissions",
    )
}

/// A file whose content is not what it should be; `what` kind of file, and how it was received.
pub(super) fn damaged(what: &str, received: impl AsRef<str>, expected: &str) -> Error {
    let fix = format!("Check that the file is whole and is {what}");
    Error::parts(Kind::Argument, "A data file is damaged", received.as_ref(), expected, &fix)
}

pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|why| failed("read", path, &why))
}

/// Writes a file; one of that name is replaced once the new one is whole.
#[cfg(feature = "npy")]
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|why| {
        // Whatever was written of it is of no use.
        std::fs::remove_file(&part).ok();
        failed("written", path, &why)
    })
}

/// The same error with the file's name in front.
pub(super) fn in_file<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.context(path.display()))
}
