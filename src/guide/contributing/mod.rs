//! How to work on the crate itself: its tour, and pages for what comes up, followed for what is in it.
//!
//! # A tour of the crate
//!
//! Data takes one road, and the folders stand in its order; nothing calls upward.
//!
//! - `plot`: charts of what a training did and of how good a model is.
//! - `nn`: layers, losses, optimizers, `compile` and `fit`: what a Keras user sees.
//! - [`data`](crate::data): data sets, larger than memory if need be, and the readers of files that they come from.
//! - `tensor`: making tensors from host data, reading them back, printing them, reverse-mode gradients, opening devices.
//! - `ops`: one file a family: method, shape rule, gradient, and for pointwise functions the scalar meaning on the CPU
//!   and in WGSL, in one row.
//! - `graph`: nodes recorded lazily, variables, and the *flush* that realises nodes: at a read-back, at
//!   [`Device::flush`](crate::Device::flush) (an optimizer's step), or when very many nodes are pending.
//! - `plan`: the unrealised cone becomes a few kernels. Views are folded into addresses, pointwise chains into
//!   programs, programs into the reductions and products beside them. Plans are cached by structure, so the second
//!   training step costs a hash and an encode; a captured step ([`Device::capture`](crate::Device::capture), and those of
//!   `fit`) is not even recorded again.
//! - `backend`: the CPU engine and the GPU engine: allocate, write, read, prepare a plan, run it. `wgpu` is named in
//!   `backend/gpu` and in `interop` only.
//! - `ir`: the language that planner and engines share: programs, steps, addresses, the meaning of scalar functions.
//!
//! [`diagram`](crate::diagram) draws pictures of models, of what is recorded and of plans; it knows nothing of any of them.
//!
//! # Where this differs from the usual
//!
//! - A loop nest with reductions is one step kind, whether it is a plain pointwise chain, a reduction or a row
//!   (softmax, cross-entropy): the levels and stages of its program say which. The engines choose the kernel.
//! - An assignment to a [`Var`](crate::Var) is a copy into its storage, ordered after every reader of the old value; fusion then
//!   makes it part of the kernel that computes the value, often the product that computed the gradient.
//! - Temporaries are separate buffers in size classes that all plans of a device share, not one arena for each plan:
//!   a plan's inputs stay read-only bindings, and plans that take turns share memory.
//! - Concatenation and padding write their parts into slices of the result, each part fused with what computes it.
//!
//! # Pages
//!
//! - [Adding an operation](add_an_operation), [a layer](add_a_layer), [a kernel family](add_a_kernel_family)
//! - [Reading a plan](read_a_plan)
//! - [Finding out why a number is wrong on some GPU](debug_a_wrong_number)
//!
//! The pages of the [guide](super) are Markdown files beside this one. Their examples, and all others, run with
//! `cargo test --features full --doc`; `-- guide` behind it chooses those of the guide.

#[doc = include_str!("add_an_operation.md")]
pub mod add_an_operation {}

#[doc = include_str!("add_a_layer.md")]
pub mod add_a_layer {}

#[doc = include_str!("add_a_kernel_family.md")]
pub mod add_a_kernel_family {}

#[doc = include_str!("read_a_plan.md")]
pub mod read_a_plan {}

#[doc = include_str!("debug_a_wrong_number.md")]
pub mod debug_a_wrong_number {}
