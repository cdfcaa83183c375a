//! Matrices that many small products read along their columns are turned around once.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::ir::gemm::Loader;
use crate::ir::program::{Access, Instr, Line, Program, Store};
use crate::ir::step::{BufId, BufferInfo, Family, Role, Step};

/// So many products are worth it ...
const MANY: usize = 4;
/// ... of at most so many rows: with more it is little beside what the product takes.
const FEW_ROWS: usize = 128;

/// The second operand of a product: its type, the extents, and where it is.
type Matrix = (DType, [usize; 2], BufId, [i64; 3]);

/// Where products of few rows have one second operand whose rows lie across the memory (the weights of a recurrent layer on the
/// way back), it is copied row by row before the first of them. `kernels` are in order.
pub(crate) fn turn_weights(kernels: &mut Vec<Step>, buffers: &mut Vec<BufferInfo>) {
    let mut users: FxHashMap<Matrix, Vec<usize>> = FxHashMap::default();
    for (at, kernel) in kernels.iter().enumerate() {
        if let Some(matrix) = across(kernel) {
            users.entry(matrix).or_default().push(at);
        }
    }
    let mut copies: Vec<(usize, Step)> = Vec::new();
    let mut users: Vec<(Matrix, Vec<usize>)> = users.into_iter().filter(|(_, users)| users.len() >= MANY).collect();
    users.sort_unstable_by_key(|(_, users)| users[0]);
    for (matrix, users) in users {
        let (dtype, [k, n], buf, [offset, row, col]) = matrix;
        let (first, last) = (users[0], users[users.len() - 1]);
        let written = kernels[first..=last].iter().any(|kernel| kernel.writes().any(|other| other == buf));
        if written || buffers[usize::from(buf)].dtype != dtype || buffers.len() == usize::from(BufId::MAX) {
            continue;
        }
        let turned = buffers.len() as BufId;
        buffers.push(BufferInfo { role: Role::Temp { slot: 0 }, dtype, len: k * n });
        for &user in &users {
            kernels[user].operands[1] = turned;
            if let Family::Gemm(g) = &mut kernels[user].family {
                g.b = Loader::Strided { offset: 0, batch: SmallVec::new(), row: n as i64, col: 1 };
            }
        }
        let from = Access { offset, strides: SmallVec::from_slice(&[row, col]) };
        let program = Program {
            lines: vec![Line { instr: Instr::Load { buf, at: from, gather: SmallVec::new() }, dtype, inner: false }],
            stores: vec![Store { reg: 0, buf: turned, at: Access::contiguous(&[k, n]), inner: false }],
        };
        let copy = Step::nest(&[k, n], &[], program);
        copies.push((first, Step { ops: vec!["permute"], at: kernels[first].at, ..copy }));
    }
    // The last first, so that the places of the others stay.
    for (at, copy) in copies.into_iter().rev() {
        kernels.insert(at, copy);
    }
}

/// The second operand of a product of few rows, if its rows lie across the memory.
fn across(kernel: &Step) -> Option<Matrix> {
    let Family::Gemm(g) = &kernel.family else { return None };
    let Loader::Strided { offset, row: 1, col, .. } = &g.b else { return None };
    let few = g.m <= FEW_ROWS && g.k > 1 && g.n > 1 && g.batch.is_empty();
    (few && *col > 1).then(|| (g.dtype, [g.k, g.n], kernel.operands[1], [*offset, 1, *col]))
}
