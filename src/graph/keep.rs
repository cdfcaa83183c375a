//! What of a cone is kept after the run: what is held, what the tape will read again, and variables.

use std::sync::atomic::Ordering::Relaxed;

use super::cone::Cone;
use super::node::Node;
use super::var::VarShared;
use crate::backend::Buffer;
use crate::ir::op::{Keep, Op};

impl Cone<'_> {
    /// Decides for every node.
    pub(super) fn decide(&mut self) {
        self.share_roots();
        // What each chain of views looks at.
        let mut bases: Vec<usize> = Vec::with_capacity(self.order.len());
        for (i, entry) in self.order.iter().enumerate() {
            let view = entry.leaf.is_none() && entry.node.op.is_view();
            bases.push(if view { bases[entry.inputs[0] as usize] } else { i });
        }
        for i in 0..self.order.len() {
            if self.order[i].leaf.is_some() {
                continue;
            }
            let node = self.order[i].node.clone();
            // Of a full flush: as it was when that began.
            let held = if self.all { self.live.contains_key(&node.id) } else { node.is_held() };
            let keep = match &node.var {
                Some(var) => self.keep_variable(i, var, held),
                None if node.op.is_view() => self.keep_view(i, bases[i], held),
                None => self.keep_value(i, &node, held),
            };
            if self.order[i].keep == Keep::No {
                self.order[i].keep = keep;
            }
        }
    }

    /// The newest value of a variable is written over the one before, unless somebody holds that.
    fn keep_variable(&mut self, i: usize, var: &VarShared, held: bool) -> Keep {
        let latest = var.latest.load(Relaxed) == self.order[i].node.id;
        let keeps_old = !self.all || self.held.contains(&var.id);
        if let (Some(buffer), true, false) = (&var.storage().buffer, latest && held, keeps_old) {
            return Keep::InPlace(self.leaf(buffer));
        }
        if held || self.order[i].root { Keep::Output } else { Keep::No }
    }

    fn keep_view(&mut self, i: usize, base: usize, held: bool) -> Keep {
        if self.order[i].root {
            // Either it shares its base's memory (then the base is a root too), or it is copied.
            return if self.shares(i) { Keep::No } else { Keep::Output };
        }
        // A variable's memory changes.
        if held && self.all && self.order[base].leaf.is_some() && self.order[base].node.var.is_some() {
            return Keep::Output;
        }
        let below = &mut self.order[base];
        if held && below.leaf.is_none() && !below.node.op.is_pure() && below.keep == Keep::No {
            below.keep = Keep::Output;
        }
        Keep::No
    }

    fn keep_value(&self, i: usize, node: &Node, held: bool) -> Keep {
        // Its parts are kept in its stead.
        if node.results() > 1 {
            return Keep::No;
        }
        let tape = node.is_on_tape() && node.op.is_expensive();
        if self.order[i].root || held && !node.op.is_pure() || tape { Keep::Output } else { Keep::No }
    }

    /// A root that only renames the indices of a value in memory order shares its memory.
    fn share_roots(&mut self) {
        for i in 0..self.order.len() {
            if !self.order[i].root || self.order[i].leaf.is_some() {
                continue;
            }
            let n = self.reshaped(i);
            // A variable's memory changes, so its readers copy.
            if n != i && self.order[n].node.var.is_none() && !self.order[n].node.op.is_view() {
                self.order[n].root = true;
            }
        }
    }

    /// What a chain of reshapes looks at.
    fn reshaped(&self, mut n: usize) -> usize {
        while self.order[n].leaf.is_none() && matches!(self.order[n].node.op, Op::Reshape) {
            n = self.order[n].inputs[0] as usize;
        }
        n
    }

    /// Whether a view is a reshape of something whose memory it can share.
    pub(super) fn shares(&self, n: usize) -> bool {
        let n = self.reshaped(n);
        self.order[n].node.var.is_none() && (self.order[n].leaf.is_some() || !self.order[n].node.op.is_view())
    }

    /// The leaf that is this very memory.
    fn leaf(&mut self, buffer: &Buffer) -> u32 {
        let at = self.leaves.iter().position(|l| l.same(buffer)).unwrap_or_else(|| {
            self.leaves.push(buffer.clone());
            self.leaves.len() - 1
        });
        at as u32
    }
}
