//! From merged kernels to the plan: dimensions collapsed, buffers numbered per step, temporaries placed by liveness.

use smallvec::SmallVec;

use crate::ir::program::{Access, Dims, Instr};
use crate::ir::step::{BufId, BufferInfo, Family, Plan, Role, Step};

/// Builds the plan from kernels in order.
pub(crate) fn place(kernels: Vec<Step>, buffers: Vec<BufferInfo>, params: usize) -> Plan {
    let steps = kernels.into_iter().map(finished).collect();
    let mut plan = Plan { buffers, steps, params, slots: Vec::new() };
    give_slots(&mut plan);
    plan
}

/// A planned step with its own list of buffers; a nest's space in the form that engines take.
fn finished(mut step: Step) -> Step {
    let bufs = step.buffers();
    let local = |b: BufId| bufs.iter().position(|&x| x == b).expect("listed") as u16;
    for line in &mut step.program.lines {
        if let Instr::Load { buf, .. } = &mut line.instr {
            *buf = local(*buf);
        }
    }
    for store in &mut step.program.stores {
        store.buf = local(store.buf);
    }
    step.operands.iter_mut().for_each(|b| *b = local(*b));
    step.bufs = bufs;
    if let Family::Nest = step.family {
        nest(&mut step);
    }
    step
}

/// Orders the dimensions outer first and merges neighbours where every address allows it.
fn nest(step: &mut Step) {
    let Step { program, space, mask, .. } = step;
    let mask = *mask;
    let dims: SmallVec<[usize; 8]> = (0..space.len())
        .filter(|d| mask >> d & 1 == 0)
        .chain((0..space.len()).filter(|d| mask >> d & 1 == 1))
        .collect();
    let split = dims.iter().filter(|&&d| mask >> d & 1 == 0).count();
    // Which neighbours (d, d + 1) of the new order merge.
    let mut joins: SmallVec<[bool; 8]> = (0..dims.len()).map(|i| i + 1 < dims.len() && i + 1 != split).collect();
    let check = |at: &Access, joins: &mut SmallVec<[bool; 8]>| {
        for (i, join) in joins.iter_mut().enumerate() {
            if *join {
                let (a, b) = (dims[i], dims[i + 1]);
                *join = at.strides[a] == at.strides[b] * space[b] as i64;
            }
        }
    };
    for line in &program.lines {
        if let Some(at) = line.instr.access() {
            check(at, &mut joins);
        }
    }
    for store in &program.stores {
        check(&store.at, &mut joins);
    }
    let mut merged: Dims<usize> = SmallVec::new();
    let mut levels = 0;
    // For each new dimension the old one whose stride it takes: the last of its run.
    let mut takes: SmallVec<[usize; 8]> = SmallVec::new();
    let mut extent = 1;
    for (i, &d) in dims.iter().enumerate() {
        extent *= space[d];
        if !joins[i] {
            takes.push(d);
            merged.push(extent);
            levels += usize::from(i < split);
            extent = 1;
        }
    }
    let reduces = program.lines.iter().any(|l| matches!(l.instr, Instr::Reduce(..)));
    let pad = reduces && levels == merged.len();
    if pad {
        merged.push(1);
    }
    let rewrite = |at: &mut Access, is_inner: bool| {
        let mut strides: Dims<i64> = takes.iter().map(|&d| at.strides[d]).collect();
        if pad {
            strides.push(0);
        }
        if !is_inner {
            strides.truncate(levels);
        }
        at.strides = strides;
    };
    for line in &mut program.lines {
        let is_inner = line.inner;
        if let Some(at) = line.instr.access_mut() {
            rewrite(at, is_inner);
        }
    }
    for store in &mut program.stores {
        rewrite(&mut store.at, store.inner);
    }
    step.mask = ((1 << (merged.len() - levels)) - 1) << levels;
    step.space = merged;
}

/// Gives every temporary a slot so that temporaries alive together never share one.
fn give_slots(plan: &mut Plan) {
    let mut first = vec![usize::MAX; plan.buffers.len()];
    let mut last = vec![0; plan.buffers.len()];
    for (s, step) in plan.steps.iter().enumerate() {
        for &b in &step.bufs {
            first[b as usize] = first[b as usize].min(s);
            last[b as usize] = s;
        }
    }
    let mut free: Vec<u32> = Vec::new();
    let mut slots: Vec<usize> = Vec::new();
    for s in 0..plan.steps.len() {
        for i in 0..plan.steps[s].bufs.len() {
            let b = plan.steps[s].bufs[i] as usize;
            let Role::Temp { .. } = plan.buffers[b].role else { continue };
            if first[b] != s {
                continue;
            }
            first[b] = usize::MAX; // once, although a step may name it twice
            let bytes = plan.buffers[b].dtype.bytes(plan.buffers[b].len);
            // The smallest free slot that holds it without much waste; else a new one.
            let fits = |&(_, &f): &(usize, &u32)| slots[f as usize] >= bytes && slots[f as usize] <= 2 * bytes.max(256);
            let best = free.iter().enumerate().filter(fits).min_by_key(|(_, f)| slots[**f as usize]).map(|(i, _)| i);
            let slot = match best {
                Some(i) => free.swap_remove(i),
                None => {
                    slots.push(bytes);
                    (slots.len() - 1) as u32
                }
            };
            plan.buffers[b].role = Role::Temp { slot };
        }
        for i in 0..plan.steps[s].bufs.len() {
            let b = plan.steps[s].bufs[i] as usize;
            if let Role::Temp { slot } = plan.buffers[b].role
                && last[b] == s
                && !free.contains(&slot)
            {
                free.push(slot);
            }
        }
    }
    plan.slots = slots;
}
