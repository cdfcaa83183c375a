//! What chains are made of, and what they take as it is: outer values and rows of inputs, which need not be repeated over a
//! block first, values that are equal all over a block, and what they overwrite.

use super::chain::Chain;
use super::compile::{Compiler, Item, Layout, next};
use super::interp::Arg;
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::{Access, Instr, Reg};

/// What a chain takes row by row instead of as a block.
enum ByRow {
    /// An outer value, one a row.
    Outer,
    /// A row of that buffer, the same for all.
    Input(u16),
}

impl Compiler<'_> {
    /// The chains among `items` from `pinned` on, within one cut each; and which lines are computed within others.
    pub(super) fn find_chains(
        &self,
        items: &[Item],
        pinned: usize,
        cuts: &[usize],
    ) -> (Vec<Option<Chain<Reg>>>, Vec<bool>) {
        let lines = &self.program.lines;
        let (mut uses, mut place) = (vec![0; lines.len()], vec![None; lines.len()]);
        for (i, item) in items.iter().enumerate() {
            match *item {
                Item::Line(l) => {
                    lines[l as usize].instr.operands().iter().for_each(|&r| uses[r as usize] += 1);
                    place[l as usize] = Some(i).filter(|&i| i >= pinned);
                }
                Item::Reduce(l) => lines[l as usize].instr.operands().iter().for_each(|&r| uses[r as usize] += 1),
                Item::Store(s) => uses[self.program.stores[s as usize].reg as usize] += 1,
                Item::Expand(_) | Item::Given(_) => {}
            }
        }
        let joins = |line: Reg, user: Reg| {
            let (Some(i), Some(j)) = (place[line as usize], place[user as usize]) else { return false };
            uses[line as usize] == 1 && !cuts.iter().any(|&cut| i < cut && cut <= j)
        };
        let of = items.iter().filter_map(|item| if let Item::Line(l) = *item { Some(l) } else { None });
        Chain::find(self.program, of, joins)
    }

    /// Lines that no item needs as a block: chains take them as they are.
    pub(super) fn unread(&self, items: &[Item]) -> Vec<bool> {
        let mut read = vec![false; self.program.lines.len()];
        let direct = |r: Reg| self.own[r as usize] || self.by_row(r).is_some();
        for &item in items {
            let chain = matches!(item, Item::Line(l) if self.chains[l as usize].is_some());
            for r in self.operands(item) {
                read[r as usize] |= !chain || !direct(r);
            }
        }
        (0..read.len()).map(|l| !read[l] && direct(l as Reg)).collect()
    }

    /// Lines that load, from an output, what the one chain that takes them puts back in the same place.
    pub(super) fn own(&self, items: &[Item], pinned: usize, cuts: &[usize]) -> Vec<bool> {
        let mut users = vec![0; self.program.lines.len()];
        for &item in items {
            let mut operands = self.operands(item);
            operands.sort_unstable();
            operands.dedup();
            operands.iter().for_each(|&r| users[r as usize] += 1);
        }
        let mut own = vec![false; self.program.lines.len()];
        for (i, &item) in items.iter().enumerate().skip(pinned) {
            let Item::Line(l) = item else { continue };
            let store = next(items, i, cuts).and_then(Item::store);
            let Some(s) = store.filter(|&s| self.is_stored_at_once(l, s, false)) else { continue };
            let out = self.wiring.out_of_store[s as usize];
            for r in self.operands(item) {
                own[r as usize] = self.chains[l as usize].is_some()
                    && users[r as usize] == 1
                    && self.in_place(r) == Some(out)
                    && self.at[r as usize] == self.store_at[s as usize];
            }
        }
        own
    }

    /// Where an operand of a chain is.
    pub(super) fn arg(&mut self, r: Reg) -> Result<Arg> {
        if self.own[r as usize] {
            return Ok(Arg::Own);
        }
        match self.by_row(r) {
            Some(ByRow::Outer) => return Ok(Arg::Lane(self.outer[r as usize])),
            Some(ByRow::Input(buf)) => {
                let at = self.address(r)?;
                return Ok(Arg::Row(self.place(buf, &at, DType::F32)));
            }
            None => {}
        }
        let src = self.value(r)?;
        Ok(if self.equal[r as usize] { Arg::Equal(src) } else { Arg::Each(src) })
    }

    /// How a chain takes a value by rows, if it can.
    fn by_row(&self, r: Reg) -> Option<ByRow> {
        let row = self.row?;
        let line = &self.program.lines[r as usize];
        if line.dtype != DType::F32 {
            return None;
        }
        let Some(at) = &self.at[r as usize] else { return self.expanded[r as usize].then_some(ByRow::Outer) };
        let Instr::Load { buf, gather, .. } = &line.instr else { return None };
        if !gather.is_empty() || self.in_place(r).is_some() || self.of_buffer(*buf, r).is_narrow() {
            return None;
        }
        // One after the other along the row, and the same for every row.
        let mut step = 1;
        let repeats = self.space.dims.iter().zip(&at.strides).rev().all(|(&extent, &stride)| {
            let (along, before) = (step < row, step);
            step *= extent;
            if along { stride == before as i64 && step <= row } else { stride == 0 }
        });
        (repeats && step >= row).then_some(ByRow::Input(*buf))
    }

    /// Lines whose values are equal in all positions of a block.
    pub(super) fn equal(&self) -> Vec<bool> {
        let mut equal = Vec::with_capacity(self.program.lines.len());
        for (l, line) in self.program.lines.iter().enumerate() {
            let in_run = self.layout == Layout::InRow && !self.varies[l];
            let everywhere = match line.instr {
                Instr::Reduce(..) | Instr::Acc(_) => false,
                _ => {
                    let here = |at: &Access| at.strides.iter().all(|&s| s == 0);
                    (line.instr.access().is_none() || self.at[l].as_ref().is_some_and(here))
                        && line.instr.operands().iter().all(|&r| equal[r as usize])
                }
            };
            equal.push(in_run || everywhere);
        }
        equal
    }
}
