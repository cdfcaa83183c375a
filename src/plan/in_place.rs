//! Values of variables are read from the variables' memory, once they are there.

use rustc_hash::FxHashMap;

use crate::ir::program::Instr;
use crate::ir::step::{BufId, BufferInfo, Role, Step};

/// Where a kernel writes a value both to a temporary and over what a variable was, what reads the temporary afterwards reads
/// the variable's memory instead, and the temporary is gone. `kernels` are in order.
pub(crate) fn read_in_place(kernels: &mut [Step], buffers: &[BufferInfo]) {
    let mut writers = vec![0; buffers.len()];
    kernels.iter().flat_map(Step::writes).for_each(|buf| writers[usize::from(buf)] += 1);
    let mut instead: FxHashMap<BufId, BufId> = FxHashMap::default();
    for kernel in kernels {
        let renamed = |buf: &mut BufId| *buf = instead.get(buf).copied().unwrap_or(*buf);
        kernel.operands.iter_mut().for_each(renamed);
        for line in &mut kernel.program.lines {
            if let Instr::Load { buf, .. } = &mut line.instr {
                renamed(buf);
            }
        }
        let stores = kernel.program.stores.clone();
        kernel.program.stores.retain(|store| {
            let info = &buffers[usize::from(store.buf)];
            if !matches!(info.role, Role::Temp { .. }) || writers[usize::from(store.buf)] > 1 {
                return true;
            }
            let same = stores.iter().find(|other| {
                let leaf = &buffers[usize::from(other.buf)];
                leaf.is_leaf()
                    && writers[usize::from(other.buf)] == 1
                    && (leaf.dtype, leaf.len) == (info.dtype, info.len)
                    && (other.reg, &other.at, other.inner) == (store.reg, &store.at, store.inner)
            });
            same.is_none_or(|variable| {
                instead.insert(store.buf, variable.buf);
                false
            })
        });
    }
}
