//! What the shader side hands to the runtime side: a kernel ready to be compiled and dispatched.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use askama::Template;
use smallvec::SmallVec;

use super::kernels::library::complete;

use crate::dtype::DType;
use crate::error::Result;

/// A shader template with its values: the pipeline's key (two equal ones share a pipeline) and its source.
pub(crate) trait Shader: Send + Sync {
    /// The WGSL without the helper functions that it calls.
    fn body(&self) -> Result<String>;
    /// The whole WGSL, entry point `main`.
    fn source(&self) -> Result<String> {
        self.body().map(complete)
    }
    /// The stem of its file in `shaders/`, for labels and errors.
    fn name(&self) -> &'static str;
    /// Which variants of that template it is, each with the template's name before it: what the rules chose for this
    /// kernel. For logs, and for the test that runs every variant there is.
    fn variants(&self) -> Vec<String>;
    /// Its entry point.
    fn entry(&self) -> &str {
        "main"
    }
    /// Whether it is the crate's own, and guards its indices itself.
    fn trusted(&self) -> bool {
        true
    }
    /// For the pipeline cache.
    fn same(&self, other: &dyn Shader) -> bool;
    /// For the pipeline cache.
    fn digest(&self, state: &mut dyn Hasher);
    /// For `same`.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Every askama template that can be compared and hashed is a shader.
pub(crate) trait Named {
    /// The stem of its file in `shaders/`.
    const NAME: &'static str;

    /// What was chosen for it, where there was a choice.
    fn variants(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<T: Template + Named + Hash + Eq + Send + Sync + 'static> Shader for T {
    fn body(&self) -> Result<String> {
        self.render().map_err(|e| crate::Error::internal(format!("shader template `{}`: {e}", T::NAME)))
    }
    fn name(&self) -> &'static str {
        T::NAME
    }
    fn variants(&self) -> Vec<String> {
        match Named::variants(self) {
            none if none.is_empty() => vec![T::NAME.into()],
            some => some.into_iter().map(|v| format!("{} {v}", T::NAME)).collect(),
        }
    }
    fn same(&self, other: &dyn Shader) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|o| o == self)
    }
    fn digest(&self, mut state: &mut dyn Hasher) {
        T::NAME.hash(&mut state);
        self.hash(&mut state);
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// One dispatch. Binding 0 of group 0 is `var<uniform> p: array<vec4<u32>, N>` holding `params`;
/// bindings 1.. of group 0 are storage buffers, `var<storage, read>` where `write` is false, else `read_write`.
pub(crate) struct Dispatch {
    /// The pipeline's key and source.
    pub(crate) shader: Box<dyn Shader>,
    /// The storage bindings in order.
    pub(crate) bindings: Vec<Binding>,
    /// Words of the uniform, padded by the runtime to whole `vec4`s.
    pub(crate) params: Vec<u32>,
    /// Words of `params` that a run sets: `(word, plan parameter slot, type to convert it to)`.
    pub(crate) dynamic: Vec<(usize, u16, DType)>,
    /// Work-groups. More than 65,535 are folded over x, y and z by the runtime; the shader computes
    /// `gid = (w.z * n.y + w.y) * n.x + w.x` with `n = num_workgroups` and guards `gid < count` itself.
    pub(crate) groups: Grid,
}

/// A kernel of a plan.
pub(crate) struct Kernel<S> {
    pub(crate) dispatch: Dispatch,
    /// Where the buffer of each binding is found.
    pub(crate) sources: SmallVec<[S; 8]>,
    /// What it is called in a profile.
    pub(crate) name: String,
}

/// How many work-groups a dispatch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    /// So many in a row, folded where they are too many for it.
    Row(u64),
    /// Along x, y and z.
    Given([u32; 3]),
}

/// A storage binding of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// What is bound.
    pub(crate) target: Target,
    /// Whether the kernel writes it (then it is bound `read_write`, also when it is read).
    pub(crate) write: bool,
    /// How much of the buffer is bound; `None` for all of it.
    pub(crate) bytes: Option<NonZeroU64>,
}

/// What a binding is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `bufs[i]` of the step.
    Step(u16),
    /// Scratch between the kernels of one step, of so many bytes; kernels of a step with one `id` share it.
    Scratch { id: u16, bytes: u64 },
}

/// What kernels must know of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    /// The driver computes on the processor: work-group memory gains nothing there, and barriers compile slowly.
    pub(crate) software: bool,
    /// Long loops may be written out, which compilers of real GPUs order better; those of software adapters take seconds.
    pub(crate) unroll: bool,
    /// Subgroup operations may be used.
    pub(crate) subgroups: bool,
    /// How many threads make a work-group where several teams do, so that other kernels can be joined; else it is as the rule
    /// says. What is added up in which order does not depend on it.
    pub(crate) group: Option<u32>,
    pub(crate) max_workgroup_size: u32,
    pub(crate) max_workgroup_memory: u32,
    pub(crate) max_storage_bindings: u32,
    /// The cooperative matrices that products of `f16` may be computed with.
    pub(crate) cooperative: Option<Matrices>,
}

/// Cooperative matrices: square ones of `f16`, whose products are summed in `f32`; each belongs to a subgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Matrices {
    /// Rows, and columns.
    pub(crate) size: u32,
    /// The threads of a subgroup, at least and at most.
    pub(crate) subgroup: [u32; 2],
}
