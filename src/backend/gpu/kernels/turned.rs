//! Pointwise work on transposed operands, by tiles.

use askama::Template;

use super::lanes::single;
use super::render::{Coordinates, Emitter, from_storage};
use super::{Build, Head, numel, storage_type, threads, value_type};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::error::Result;
use crate::ir::program::{Instr, Reg};
use crate::ir::step::{Plan, Step};

/// Points of a tile in each direction.
const SIDE: usize = 32;
/// Operands that are turned at most; the others are read as they lie.
const MOST: usize = 3;

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "turned.wgsl")]
struct Turned {
    head: Head,
    threads: u32,
    side: u32,
    loads: Vec<Load>,
    /// Words: extents of m and n, tiles along each, tiles in all.
    rows: String,
    columns: String,
    down: String,
    across: String,
    tiles: String,
    setup: Vec<String>,
    hoisted: Vec<String>,
    body: Vec<String>,
}

/// An operand that is read along m.
#[derive(PartialEq, Eq, Hash)]
struct Load {
    ty: &'static str,
    element: String,
}

impl Named for Turned {
    const NAME: &'static str = "turned";

    fn variants(&self) -> Vec<String> {
        vec![form(self.loads.len())]
    }
}

fn form(loads: usize) -> String {
    format!("{loads} operands")
}

/// Every variant that a device may get.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<String> {
    let most = if caps.software { 0 } else { MOST };
    (1..=most).map(|loads| format!("turned {}", form(loads))).collect()
}

/// What is turned in a step, and along which dimension it lies.
struct Found {
    along: usize,
    lines: Vec<Reg>,
}

/// The operands that neighbouring threads would read from places far apart, if there are any that lie along one other
/// dimension, and the tile fits into the space.
fn find(plan: &Plan, step: &Step) -> Option<Found> {
    let space = step.outer();
    let last = space.len().checked_sub(1)?;
    // Narrow elements share words, and are read alone.
    let narrow = |buf: u16| plan.buffers[usize::from(step.bufs[usize::from(buf)])].dtype.is_narrow();
    let along = |reg: &Reg| match &step.program.lines[usize::from(*reg)].instr {
        Instr::Load { buf, at, gather }
            if gather.is_empty() && at.strides[last].unsigned_abs() > 1 && !narrow(*buf) =>
        {
            (0..last).find(|&d| at.strides[d] == 1 && space[d] >= SIDE / 2)
        }
        _ => None,
    };
    let regs = || 0..step.program.lines.len() as Reg;
    let first = regs().find_map(|reg| along(&reg))?;
    (space[last] >= SIDE / 2)
        .then(|| Found { along: first, lines: regs().filter(|r| along(r) == Some(first)).take(MOST).collect() })
}

/// The step in tiles, where that is worth it.
pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps) -> Result<Option<Dispatch>> {
    if caps.software {
        return Ok(None);
    }
    let Some(Found { along, lines }) = find(plan, step) else { return Ok(None) };
    let mut cx = Build::new(plan, step);
    // The dimensions: all others, then m, then n.
    let mut order: Vec<usize> = (0..step.outer().len()).filter(|&d| d != along).collect();
    order.insert(order.len() - 1, along);
    let extents: Vec<usize> = order.iter().map(|&d| step.outer()[d]).collect();
    let mut program = step.program.clone();
    let accesses = program.lines.iter_mut().filter_map(|l| l.instr.access_mut());
    for at in accesses.chain(program.stores.iter_mut().map(|s| &mut s.at)) {
        at.strides = order.iter().map(|&d| at.strides[d]).collect();
    }
    let [.., rows, columns] = extents[..] else { return Ok(None) };
    let (down, across) = (rows.div_ceil(SIDE), columns.div_ceil(SIDE));
    let tiles = numel(&extents[..extents.len() - 2]) * down * across;
    let words = [rows, columns, down, across, tiles].map(|v| cx.size(v));
    let space = Coordinates::given(&extents, "o", "z", &["m", "n"]);
    let mut e = Emitter::new(cx, single(&program), space, Coordinates::new(&[], "i"));
    let (mut loads, mut body, mut setup) = (Vec::new(), Vec::new(), Vec::new());
    for reg in 0..program.lines.len() as Reg {
        let line = &program.lines[usize::from(reg)];
        match &line.instr {
            Instr::Load { buf, at, .. } if lines.contains(&reg) => {
                let b = e.cx.buffer(*buf, false, false)?;
                let element = format!("b{b}[{}]", e.address(at, false));
                let value = from_storage(line.dtype, &format!("t{}[turned]", loads.len()));
                body.push(format!("let r{reg}: {} = {value};", value_type(line.dtype)?));
                loads.push(Load { ty: storage_type(line.dtype, false)?, element });
            }
            _ => e.line(reg, &mut body)?,
        }
    }
    for store in &program.stores {
        e.store(store, &mut body)?;
    }
    e.outer.decode(&mut e.cx, &mut setup);
    let hoisted = std::mem::take(&mut e.hoisted);
    let [rows, columns, down, across, tiles_word] = words;
    let threads = threads(caps);
    let shader = Turned {
        head: e.cx.head(),
        threads,
        side: SIDE as u32,
        loads,
        rows,
        columns,
        down,
        across,
        tiles: tiles_word,
        setup,
        hoisted,
        body,
    };
    Ok(Some(e.cx.kernel(shader, tiles)))
}
