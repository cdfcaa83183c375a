//! Four neighbours a thread: which programs allow it, and how their addresses change.
//!
//! A dimension of the space is cut into groups of four. A buffer that is walked contiguously along it is bound as
//! vectors of four, and its addresses count vectors; the rest is computed lane by lane, and what does not change along the
//! dimension once.

use crate::ir::program::{Access, Instr, Program, Store};
use crate::ir::step::{BufId, Step};

/// A program with its addresses in groups of four, and what each line is to the lanes.
pub(super) struct Lanes {
    pub(super) program: Program,
    /// The dimension that is cut, among the outer ones and then the inner ones.
    pub(super) along: Option<usize>,
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
    Lanes { program: program.clone(), along: None, stride: vec![0; n], wide: vec![false; n], varies: vec![false; n] }
}

impl Lanes {
    /// How many lanes there are.
    pub(super) fn width(&self) -> usize {
        if self.along.is_some() { 4 } else { 1 }
    }

    /// Whether a store is of whole vectors.
    pub(super) fn stores(&self, store: &Store) -> bool {
        self.along.is_some_and(|d| d < store.at.strides.len())
    }
}

/// The form of four lanes along dimension `along` of `space` (the outer extents, then the inner ones); `None` where it
/// does not divide or some access forbids it.
pub(super) fn quads(step: &Step, program: &Program, along: usize, space: &[usize]) -> Option<Lanes> {
    if !space.get(along)?.is_multiple_of(4) {
        return None;
    }
    let mut out = Lanes { along: Some(along), ..single(program) };
    let (mut vectors, mut scalars): (Vec<BufId>, Vec<BufId>) = Default::default();
    for at in 0..program.lines.len() {
        let line = &mut out.program.lines[at];
        let operands = line.instr.operands().iter().any(|&r| out.varies[r as usize]);
        let random = matches!(line.instr, Instr::Random { .. });
        out.varies[at] = match &mut line.instr {
            Instr::Load { buf, at: access, gather } => {
                let id = step.bufs[*buf as usize];
                let stride = access.strides.get(along).copied().unwrap_or(0);
                let vector = stride == 1
                    && !operands
                    && gather.iter().all(|g| g.stride % 4 == 0)
                    && divide(access, along, space);
                if vector {
                    gather.iter_mut().for_each(|g| g.stride /= 4);
                    out.wide[at] = true;
                    vectors.push(id);
                } else if stride == 0 || operands {
                    if let Some(stride) = access.strides.get_mut(along) {
                        *stride *= 4;
                    }
                    out.stride[at] = stride;
                    scalars.push(id);
                } else {
                    return None;
                }
                stride != 0 || operands
            }
            Instr::Index { at: access } | Instr::Random { at: access, .. } if access.strides.len() > along => {
                // Four neighbours are the four words of one counter, whose address is that of the vector.
                out.wide[at] = random && access.strides[along] == 1 && divide(access, along, space);
                let stride = &mut access.strides[along];
                if !out.wide[at] {
                    out.stride[at] = *stride;
                    *stride *= 4;
                }
                *stride != 0
            }
            Instr::Acc(_) => true,
            // Over the lanes too, where they run along the inner level.
            Instr::Reduce(..) => operands && along < step.outer().len(),
            _ => operands,
        };
    }
    for store in &mut out.program.stores {
        let id = step.bufs[store.buf as usize];
        if store.at.strides.len() <= along {
            scalars.push(id);
        } else if store.at.strides[along] == 1 && divide(&mut store.at, along, space) {
            vectors.push(id);
        } else {
            return None;
        }
    }
    (!vectors.is_empty() && !vectors.iter().any(|id| scalars.contains(id))).then_some(out)
}

/// Makes an address of elements one of vectors along a dimension, where it is aligned.
fn divide(access: &mut Access, along: usize, space: &[usize]) -> bool {
    // A dimension of one point adds nothing, whatever its stride.
    let fits = |d: usize| d == along || space[d] == 1 || access.strides[d] % 4 == 0;
    let aligned = access.offset % 4 == 0 && (0..access.strides.len()).all(fits);
    if aligned {
        access.offset /= 4;
        access.strides.iter_mut().enumerate().filter(|(d, _)| *d != along).for_each(|(_, s)| *s /= 4);
    }
    aligned
}
