//! Files whose content is not what it should be.

use crate::error::Error;
use crate::files;

/// A file whose content is not what it should be; `what` kind of file, and how it was received.
pub(super) fn damaged(what: &str, received: impl AsRef<str>, expected: &str) -> Error {
    files::damaged("data", received.as_ref(), expected, &format!("is {what}"))
}
