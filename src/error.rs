//! The crate's one error type.

use std::fmt;
use std::panic::Location;

/// The result of every fallible call of the crate.
///
/// ```
/// # use wgtensor::{Device, Result, Tensor};
/// fn norm(x: &Tensor) -> Result<f32> {
///     x.square()?.sum(())?.sqrt()?.item()
/// }
/// assert_eq!(norm(&Tensor::new([3.0f32, 4.0], &Device::cpu())?)?, 5.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Opaque on purpose: ask with the predicates ([`Error::is_shape_mismatch`] and its siblings), show with `Display`.
/// The text says what happened, what was received, what was expected, what to do, and the caller's source line
/// where the operation was recorded.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let (a, b) = (Tensor::new([1.0f32, 2.0], &device)?, Tensor::new([1.0f32, 2.0, 3.0], &device)?);
/// let error = a.add(&b).unwrap_err();
/// assert!(error.is_shape_mismatch());
/// println!("{error}"); // `add` was given shapes that do not broadcast. Received: (2,) and (3,). Expected: ... [src/main.rs:4]
/// assert!(error.location().is_some());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    text: String,
    at: Option<&'static Location<'static>>,
}

/// The reasons, private so that they can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Shape,
    DType,
    Device,
    Index,
    Argument,
    NoAdapter,
    OutOfMemory,
    DeviceLost,
    Unsupported,
    Overwritten,
    State,
    Io,
    Internal,
}

impl Error {
    /// An error without a source line (nothing was recorded, say a device could not be opened).
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, text: text.into(), at: None }))
    }

    /// The four parts of a good message, in their order.
    #[track_caller]
    pub(crate) fn parts(kind: Kind, happened: &str, received: &str, expected: &str, fix: &str) -> Self {
        let text = format!("{happened}. Received: {received}. Expected: {expected}. {fix}.");
        Error(Box::new(Inner { kind, text, at: Some(Location::caller()) }))
    }

    pub(crate) fn shape(text: impl Into<String>) -> Self {
        Self::new(Kind::Shape, text)
    }

    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self::new(Kind::Argument, text)
    }

    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(Kind::Internal, text)
    }

    /// Puts words in front, such as the layer in which an operation failed.
    pub(crate) fn context(mut self, words: impl fmt::Display) -> Self {
        self.0.text = format!("{words}: {}", self.0.text);
        self
    }

    /// A setting that makes no sense, such as a negative norm to clip to.
    #[track_caller]
    pub(crate) fn setting(of: &str, name: &str, received: impl fmt::Display, expected: &str) -> Self {
        Self::parts(
            Kind::Argument,
            &format!("{of} was given a setting that makes no sense"),
            &format!("{name}={received}"),
            expected,
            &format!("Give `{name}` another value"),
        )
    }

    /// With the caller's line in place of one of the crate's own; a line in the user's code (in a layer or a callback
    /// of theirs) says more and stays.
    pub(crate) fn called_from(mut self, caller: &'static Location<'static>) -> Self {
        // The folder of the crate's sources, as the compiler spells it in locations.
        let sources = file!().trim_end_matches("error.rs");
        if self.0.at.is_none_or(|at| at.file().starts_with(sources)) {
            self.0.at = Some(caller);
        }
        self
    }

    /// Shapes that do not fit each other or the operation.
    pub fn is_shape_mismatch(&self) -> bool {
        self.0.kind == Kind::Shape
    }

    /// A data type that the operation or the device does not take.
    pub fn is_dtype_mismatch(&self) -> bool {
        self.0.kind == Kind::DType
    }

    /// Operands that live on different devices.
    pub fn is_device_mismatch(&self) -> bool {
        self.0.kind == Kind::Device
    }

    /// An index, axis or range outside the tensor.
    pub fn is_out_of_range(&self) -> bool {
        self.0.kind == Kind::Index
    }

    /// An argument that makes no sense, such as an unknown optimizer name or a batch size of zero.
    pub fn is_invalid_argument(&self) -> bool {
        self.0.kind == Kind::Argument
    }

    /// No adapter of the kind asked for exists on this machine.
    pub fn is_no_adapter(&self) -> bool {
        self.0.kind == Kind::NoAdapter
    }

    /// The device, or the cap set on it, has no room. Everything already computed stays valid.
    pub fn is_out_of_memory(&self) -> bool {
        self.0.kind == Kind::OutOfMemory
    }

    /// The device is gone (driver reset, unplugged). Open a new one.
    pub fn is_device_lost(&self) -> bool {
        self.0.kind == Kind::DeviceLost
    }

    /// The device or the crate cannot do this.
    pub fn is_unsupported(&self) -> bool {
        self.0.kind == Kind::Unsupported
    }

    /// A value was needed again after its variable had been assigned to.
    pub fn is_overwritten(&self) -> bool {
        self.0.kind == Kind::Overwritten
    }

    /// A call out of order, such as `fit` before `compile`.
    pub fn is_invalid_state(&self) -> bool {
        self.0.kind == Kind::State
    }

    /// A file could not be read or written.
    pub fn is_io(&self) -> bool {
        self.0.kind == Kind::Io
    }

    /// The caller's line, where one is known.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.at
    }
}

/// The body of a public method that is made of many fallible calls: an error carries the line of the method's caller.
#[track_caller]
pub(crate) fn entry<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let caller = Location::caller();
    body().map_err(|error| error.called_from(caller))
}

/// The same for a public method that starts work and returns a future of it.
#[track_caller]
pub(crate) fn entry_async<T, F: Future<Output = Result<T>>>(started: Result<F>) -> impl Future<Output = Result<T>> {
    let caller = Location::caller();
    async move {
        let result = match started {
            Ok(future) => future.await,
            Err(error) => Err(error),
        };
        result.map_err(|error| error.called_from(caller))
    }
}

/// For operators and indexing, which have no way to return an error: panics at the caller's line.
#[track_caller]
pub(crate) fn or_panic<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        match self.0.at {
            Some(at) => write!(f, " [{}:{}]", at.file(), at.line()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}
