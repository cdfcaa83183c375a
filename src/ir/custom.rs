//! Operations that a program brings along.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::dtype::DType;
use crate::shape::Shape;

/// The meaning of a program's own operation: what does not change from call to call.
#[derive(Clone)]
pub(crate) struct Definition {
    /// Tells definitions apart: addresses may be used again.
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) wgsl: Option<Source>,
    pub(crate) cpu: Option<CpuFunction>,
    /// What the layer that made it wants back: the gradient.
    pub(crate) more: Arc<dyn Any + Send + Sync>,
}

/// A program's shader, reflected and validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) text: Arc<str>,
    pub(crate) entry: String,
    /// Threads of a work-group along x, y and z.
    pub(crate) threads: [u32; 3],
    /// Bytes of the uniform at binding 0; 0 where there is none.
    pub(crate) uniform: u32,
    /// The storage buffers at bindings 1, 2, ...: whether each is written, and the WGSL type of its scalars where there is one.
    pub(crate) bindings: Vec<(bool, Option<&'static str>)>,
}

/// Computes the result on the CPU engine: the inputs, the call's numbers, the result.
pub(crate) type CpuFunction = Arc<dyn Fn(&[&[u8]], &[u32], &mut [u8]) + Send + Sync>;

/// One call: operands contiguous, of these shapes and types; the result, of another, goes to a buffer of its own, and
/// nothing can be fused behind it.
#[derive(Clone)]
pub(crate) struct Custom {
    pub(crate) of: Arc<Definition>,
    pub(crate) inputs: Vec<(Shape, DType)>,
    pub(crate) output: (Shape, DType),
    /// Words of the uniform.
    pub(crate) params: Vec<u32>,
    /// Work-groups along x, y and z.
    pub(crate) groups: [u32; 3],
}

impl Custom {
    fn key(&self) -> (u64, &[(Shape, DType)], (Shape, DType), &[u32], [u32; 3]) {
        (self.of.id, &self.inputs, self.output, &self.params, self.groups)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.of.name).field(&self.key()).finish()
    }
}
