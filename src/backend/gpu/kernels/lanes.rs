//! Four neighbours a thread: which programs allow it, and how their addresses change.
//!
//! The last dimension of the space is cut into groups of four. A buffer that is walked contiguously along it is bound as
//! vectors of four, and its addresses count vectors; the rest is computed lane by lane, and what does not change along the
//! dimension once.

use crate::ir::program::{Access, Instr, Program};
use crate::ir::step::{BufId, Step};

/// A program with its addresses in groups of four, and what each line is to the lanes.
pub(super) struct Lanes {
    pub(super) program: Program,
    /// What a lane adds to the address of a line.
    pub(super) stride: Vec<i64>,
    /// Loads and random numbers of whole vectors.
    pub(super) wide: Vec<bool>,
    /// Lines whose value differs between lanes.
    pub(super) varies: Vec<bool>,
}

/// The plain form: one lane.
pub(super) fn single(program: &Program) -> Lanes {
    let n = program.lines.len();
    Lanes { program: program.clone(), stride: vec![0; n], wide: vec![false; n], varies: vec![false; n] }
}

/// The form of four lanes along the last dimension of the inner level, or of the outer one; `None` where some access forbids it.
pub(super) fn quads(step: &Step, program: &Program, inner: bool, extents: &[usize]) -> Option<Lanes> {
    if extents.last().is_none_or(|e| e % 4 != 0) {
        return None;
    }
    let mut out = single(program);
    let (mut vectors, mut scalars): (Vec<BufId>, Vec<BufId>) = Default::default();
    for at in 0..program.lines.len() {
        let line = &mut out.program.lines[at];
        let operands = line.instr.operands().iter().any(|&r| out.varies[r as usize]);
        let here = line.inner == inner;
        let random = matches!(line.instr, Instr::Random { .. });
        out.varies[at] = match &mut line.instr {
            Instr::Load { buf, at: access, gather } => {
                let id = step.bufs[*buf as usize];
                let last = if here { *access.strides.last()? } else { 0 };
                let vector =
                    last == 1 && !operands && gather.iter().all(|g| g.stride % 4 == 0) && divide(access, extents);
                if vector {
                    gather.iter_mut().for_each(|g| g.stride /= 4);
                    out.wide[at] = true;
                    vectors.push(id);
                } else if last == 0 || operands {
                    if here {
                        *access.strides.last_mut()? *= 4;
                    }
                    out.stride[at] = last;
                    scalars.push(id);
                } else {
                    return None;
                }
                last != 0 || operands
            }
            Instr::Index { at: access } | Instr::Random { at: access, .. } if here => {
                // Four neighbours are the four words of one counter, whose address is that of the vector.
                out.wide[at] = random && access.strides.last() == Some(&1) && divide(access, extents);
                let last = access.strides.last_mut()?;
                if !out.wide[at] {
                    out.stride[at] = *last;
                    *last *= 4;
                }
                *last != 0
            }
            Instr::Acc(_) => true,
            Instr::Reduce(..) => false,
            _ => operands,
        };
    }
    for store in &mut out.program.stores {
        let id = step.bufs[store.buf as usize];
        if store.inner != inner {
            scalars.push(id);
        } else if *store.at.strides.last()? == 1 && divide(&mut store.at, extents) {
            vectors.push(id);
        } else {
            return None;
        }
    }
    (!vectors.is_empty() && !vectors.iter().any(|id| scalars.contains(id))).then_some(out)
}

/// Makes an address of elements one of vectors, where it is aligned; `extents` are those of the last dimensions.
fn divide(access: &mut Access, extents: &[usize]) -> bool {
    let last = access.strides.len() - 1;
    let first = access.strides.len() - extents.len();
    // A dimension of one point adds nothing, whatever its stride.
    let idle = |d: usize| d >= first && extents[d - first] == 1;
    let aligned = access.offset % 4 == 0 && (0..last).all(|d| idle(d) || access.strides[d] % 4 == 0);
    if aligned {
        access.offset /= 4;
        access.strides[..last].iter_mut().for_each(|s| *s /= 4);
    }
    aligned
}
