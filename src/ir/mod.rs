//! The language between the planner and the engines: what a plan is made of, and what its instructions mean.
//!
//! - `op`: what a node of the graph computes, as the planner sees it.
//! - `step`: a plan and its steps: a family, its operands, a space and a program. `gemm`, `window`, `scatter`,
//!   `scan`, `sort`, `custom`: what the families need to know.
//! - `program`: the short straight-line programs of scalar instructions that every step carries.
//! - `access`: affine addresses over an iteration space, and views pulled back through them.
//! - `scalar`: pointwise functions by element type, on the CPU and in WGSL; `math` holds the numerics of the former.
//! - `encoding`: narrow types, which exist in memory alone.
//! - `print`: plans as text.

/// A plain enum whose values tests can list: a new value is in the list without anybody's doing.
macro_rules! listed {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $value:ident,)* }) => {
        $(#[$about])*
        $vis enum $name { $($(#[$doc])* $value,)* }

        #[cfg(test)]
        impl $name {
            /// Every value, in the order of their declaration.
            $vis const ALL: &[$name] = &[$($name::$value),*];
        }
    };
}
#[cfg(feature = "gpu")]
pub(crate) use listed;

pub(crate) mod access;
pub(crate) mod custom;
pub(crate) mod encoding;
pub(crate) mod gemm;
pub(crate) mod math;
pub(crate) mod op;
pub(crate) mod picture;
mod print;
pub(crate) mod program;
pub(crate) mod scalar;
pub(crate) mod scan;
pub(crate) mod scatter;
pub(crate) mod sort;
pub(crate) mod step;
pub(crate) mod window;
