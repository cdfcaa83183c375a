//! How to work on the crate itself: pages for its contributors, followed for what is in it.
//!
//! The crate's own [tour](crate#a-tour-of-the-crate) says which folder does what.

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
