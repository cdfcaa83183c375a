//! What a nest's sweeps over its inner space compute, and what one leaves for the next.

use crate::ir::program::{Instr, Program, Reg, Store};
use crate::ir::step::Step;

/// The registers that `roots` are computed from, themselves included; `through` reductions, or up to them.
pub(super) fn closure(program: &Program, roots: impl Iterator<Item = Reg>, through: bool) -> Vec<bool> {
    let mut need = vec![false; program.lines.len()];
    roots.for_each(|r| need[r as usize] = true);
    for at in (0..need.len()).rev() {
        if need[at] && (through || !matches!(program.lines[at].instr, Instr::Reduce(..))) {
            program.lines[at].instr.operands().iter().for_each(|&r| need[r as usize] = true);
        }
    }
    need
}

/// Whether the program reads the buffer `buf`.
pub(super) fn loads(step: &Step, buf: u16) -> bool {
    let id = |buf: u16| step.bufs[buf as usize];
    step.program.lines.iter().any(|l| matches!(l.instr, Instr::Load { buf: other, .. } if id(other) == id(buf)))
}

/// The walks over the inner space that a program needs.
pub(super) struct Sweeps {
    pub(super) count: u16,
    pub(super) stages: Vec<u16>,
    /// The lines that some store needs.
    pub(super) live: Vec<bool>,
    /// For each store the sweep that it belongs to; outer ones to none.
    pub(super) stores: Vec<Option<u16>>,
}

impl Sweeps {
    pub(super) fn of(step: &Step) -> Self {
        let program = &step.program;
        let stages = program.stages();
        let live = closure(program, program.stores.iter().map(|s| s.reg), true);
        // An inner store goes into the sweep in which its value is first known; into the last one where the kernel
        // also loads that buffer, since an earlier store would change what later sweeps read.
        let stage = |s: &Store| stages[s.reg as usize];
        let inner = program.stores.iter().filter(|s| s.inner);
        let rounds = stages.iter().copied().max().unwrap_or(0);
        let count = inner.map(|s| stage(s) + 1).max().unwrap_or(0).max(rounds);
        let of = |s: &Store| s.inner.then(|| if loads(step, s.buf) { count - 1 } else { stage(s) });
        let stores = program.stores.iter().map(of).collect();
        Sweeps { count, stages, live, stores }
    }

    /// The lines that are known once the sweep is over: its reductions, and what follows from them.
    pub(super) fn ends(&self, sweep: u16) -> impl Iterator<Item = usize> + '_ {
        (0..self.stages.len()).filter(move |&at| self.live[at] && self.stages[at] == sweep + 1)
    }

    /// What the sweep's reductions and stores read.
    pub(super) fn roots<'a>(&'a self, program: &'a Program, sweep: u16) -> impl Iterator<Item = Reg> + 'a {
        let reduced = self.ends(sweep).filter_map(|at| match program.lines[at].instr {
            Instr::Reduce(_, operand) => Some(operand),
            _ => None,
        });
        let stored = program.stores.iter().zip(&self.stores).filter(move |(_, of)| **of == Some(sweep));
        reduced.chain(stored.map(|(store, _)| store.reg))
    }

    /// How many values of the inner level one sweep computes and a later one reads.
    pub(super) fn kept(&self, program: &Program) -> usize {
        let mut known = vec![false; program.lines.len()];
        let mut kept = vec![false; program.lines.len()];
        for sweep in 0..self.count {
            let need = closure(program, self.roots(program, sweep), false);
            let new: Vec<usize> =
                (0..need.len()).filter(|&at| need[at] && program.lines[at].inner && !known[at]).collect();
            let operands = new.iter().flat_map(|&at| program.lines[at].instr.operands());
            for reg in operands.chain(self.roots(program, sweep)) {
                kept[reg as usize] |= known[reg as usize];
            }
            new.into_iter().for_each(|at| known[at] = true);
        }
        kept.into_iter().filter(|&k| k).count()
    }
}
