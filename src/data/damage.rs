//! Files whose content is not what it should be.

use crate::error::{Error, Kind};

/// A file whose content is not what it should be; `what` kind of file, and how it was received.
pub(super) fn damaged(what: &str, received: impl AsRef<str>, expected: &str) -> Error {
    let fix = format!("Check that the file is whole and is {what}");
    Error::parts(Kind::Argument, "A data file is damaged", received.as_ref(), expected, &fix)
}
