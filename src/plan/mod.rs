//! From graph to steps: programs, the step kinds, the planner and the cache of plans.

pub(crate) mod program;
pub(crate) mod scalar;
pub(crate) mod step;
