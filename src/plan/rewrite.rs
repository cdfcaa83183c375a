//! What the planner does to steps: during planning `Load.buf`, `Store.buf` and operands are numbers of plan buffers,
//! addresses have one stride per dimension of `space`, and lines that do not depend on the inner dimensions have stride 0 there.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::ir::program::{Access, Instr, Line, Reg};
use crate::ir::step::Step;

/// Kernels that would cost a GPU's compiler more than this, in statements of WGSL, are not merged: drivers' compilers take
/// more than linear time, and a long chain's pieces are often alike, so that one compiled kernel serves for all.
pub(crate) const MAX_COST: usize = 144;

impl Step {
    /// Distinct buffers it binds.
    pub(crate) fn buffers(&self) -> Vec<u16> {
        let mut out: Vec<u16> = Vec::new();
        for b in self.reads().chain(self.writes()) {
            if !out.contains(&b) {
                out.push(b);
            }
        }
        out
    }

    /// Rewrites every address.
    pub(crate) fn map_accesses(&mut self, f: impl Fn(&Access) -> Access) {
        for line in &mut self.program.lines {
            if let Some(at) = line.instr.access_mut() {
                *at = f(at);
            }
        }
        for store in &mut self.program.stores {
            store.at = f(&store.at);
        }
    }

    /// Sets every line's level from its operands and addresses, drops repeated and unused lines.
    pub(crate) fn tidy(&mut self) {
        let inner_dims: SmallVec<[usize; 4]> = (0..self.space.len()).filter(|d| self.mask >> d & 1 == 1).collect();
        let varies = |at: &Access| inner_dims.iter().any(|&d| at.strides[d] != 0 && self.space[d] > 1);
        // Repetitions.
        let mut seen: FxHashMap<(Instr, DType, bool), Reg> = FxHashMap::default();
        let mut map: Vec<Reg> = Vec::with_capacity(self.program.lines.len());
        let mut lines: Vec<Line> = Vec::with_capacity(self.program.lines.len());
        for line in self.program.lines.drain(..) {
            let mut instr = line.instr;
            instr.map_operands(|r| map[r as usize]);
            let inner = match &instr {
                Instr::Reduce(..) => false,
                Instr::Repeat(_) => true,
                i => i.operands().iter().any(|&r| lines[r as usize].inner) || i.access().is_some_and(varies),
            };
            let reg = *seen.entry((instr.clone(), line.dtype, inner)).or_insert_with(|| {
                lines.push(Line { instr, dtype: line.dtype, inner });
                (lines.len() - 1) as Reg
            });
            map.push(reg);
        }
        for store in &mut self.program.stores {
            store.reg = map[store.reg as usize];
        }
        // Dead lines.
        let mut live = vec![false; lines.len()];
        for store in &self.program.stores {
            live[store.reg as usize] = true;
        }
        for i in (0..lines.len()).rev() {
            if live[i] {
                lines[i].instr.operands().iter().for_each(|&r| live[r as usize] = true);
            }
        }
        let mut map = vec![0; lines.len()];
        for (i, mut line) in lines.into_iter().enumerate() {
            if live[i] {
                line.instr.map_operands(|r| map[r as usize]);
                map[i] = self.program.lines.len() as Reg;
                self.program.lines.push(line);
            }
        }
        for store in &mut self.program.stores {
            store.reg = map[store.reg as usize];
            store.inner = inner_dims.iter().any(|&d| store.at.strides[d] != 0 && self.space[d] > 1);
        }
    }
}
