//! Sorting rows: short ones by a network of comparisons within a work-group, long ones by their digits.

use askama::Template;

use super::lanes::single;
use super::nest::pointwise;
#[cfg(test)]
use super::radix;
use super::radix::Keys;
use super::render::{Coordinates, Emitter};
use super::{Build, Head, MAX_SPACE, storage_type, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::listed;
use crate::ir::sort::Sort;
use crate::ir::step::{Plan, Step};

/// Pairs that a work-group sorts in its memory, of 8 bytes.
const TILE: usize = 1024;

listed! {
    /// What a kernel does of a sort.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Part {
        /// All of it, for rows of up to a tile.
        Whole,
        /// The results of longer rows, once they are in order.
        Last,
    }
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "sort.wgsl")]
struct Sorted {
    head: Head,
    part: Part,
    dtype: DType,
    descending: bool,
    threads: u32,
    /// Pairs of a work-group, and how many of them belong together.
    tile: u32,
    row: u32,
    /// The statement that makes an element's `key` from its place in `line`.
    key: String,
    x: usize,
    pairs: usize,
    /// Words: rows, elements of a row, pairs of a row, what is kept of it, work-groups, threads.
    rows: String,
    extent: String,
    width: String,
    keep: String,
    groups: String,
    count: String,
    body: Vec<String>,
}

impl Named for Sorted {
    const NAME: &'static str = "sort";

    fn variants(&self) -> Vec<String> {
        vec![self.part.form(self.dtype, self.descending)]
    }
}

impl Part {
    fn form(self, dtype: DType, descending: bool) -> String {
        format!("{self:?} of {}", ordered_by(dtype, descending))
    }
}

/// What rows of `dtype` are ordered by, for the list of kernels' variants.
fn ordered_by(dtype: DType, descending: bool) -> String {
    format!("{dtype}, {}", if descending { "descending" } else { "ascending" })
}

/// Every variant of sorts.
#[cfg(test)]
pub(super) fn variants() -> Vec<String> {
    let kinds = super::STORED.iter().flat_map(|&dtype| [(dtype, false), (dtype, true)]);
    let of = |(t, down): (DType, bool)| {
        let parts = Part::ALL.iter().map(move |part| format!("sort {}", part.form(t, down)));
        parts.chain(radix::variants(&ordered_by(t, down), false))
    };
    kinds.flat_map(of).collect()
}

struct Sorter<'a> {
    plan: &'a Plan,
    step: &'a Step,
    caps: &'a Caps,
    sort: &'a Sort,
}

impl Sorter<'_> {
    /// The kernel that gives results: of rows that share its memory, or of `ordered` ones.
    fn kernel(&self, ordered: Option<&Keys>) -> Result<Dispatch> {
        let Sort { dtype, rows, extent, keep, descending } = *self.sort;
        let mut cx = Build::new(self.plan, self.step);
        let x = cx.buffer(self.step.operands[0], false, false)?;
        let pairs = ordered.map_or(0, |keys| keys.ordered(&mut cx, self.caps));
        // Short rows share a work-group.
        let width = extent.next_power_of_two();
        let tile = width.clamp(128, TILE);
        let (part, most) = (if ordered.is_some() { Part::Last } else { Part::Whole }, threads(self.caps) as usize);
        let (threads, groups) = match part {
            Part::Whole => (most.min(tile / 2), (rows * width).div_ceil(tile)),
            Part::Last => (most, (rows * keep).div_ceil(most)),
        };
        let words = [rows, extent, width, keep, groups, rows * keep].map(|v| cx.size(v));
        let key = key(&format!("b{x}[line * {} + place]", words[1]), dtype, descending);
        let space = Coordinates::new(&self.step.space, "o");
        let mut e = Emitter::new(cx, single(&self.step.program), space, Coordinates::new(&[], "i"));
        let bool = dtype == DType::Bool;
        e.accs = if bool { &["(value != 0u)", "bitcast<i32>(place)"] } else { &["value", "bitcast<i32>(place)"] };
        let body = pointwise(&mut e)?;
        let [rows, extent, width_word, keep, groups_word, count] = words;
        let shader = Sorted {
            head: e.cx.head(),
            part,
            dtype,
            descending,
            threads: threads as u32,
            tile: tile as u32,
            row: width.min(tile) as u32,
            key,
            x,
            pairs,
            rows,
            extent,
            width: width_word,
            keep,
            groups: groups_word,
            count,
            body,
        };
        Ok(e.cx.kernel(shader, groups))
    }
}

/// The statement that sets `key` to a number that orders as the element does: NaN last, zeros equal.
fn key(element: &str, dtype: DType, descending: bool) -> String {
    let not = if descending { "~" } else { "" };
    match dtype {
        DType::F32 => format!("key = k_order({element}, {descending});"),
        DType::I32 => format!("key = {not}(bitcast<u32>({element}) ^ 0x80000000u);"),
        DType::Bool if descending => format!("key = 1u - {element};"),
        _ => format!("key = {not}{element};"),
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, sort: &Sort) -> Result<Vec<Dispatch>> {
    storage_type(sort.dtype, false)?;
    let Sort { dtype, rows, extent, descending, .. } = *sort;
    let sorter = Sorter { plan, step, caps, sort };
    // Filled up to a power of two where they are short, counted by digits and work-groups where they are long.
    if rows * extent.next_power_of_two() > MAX_SPACE {
        return Err(Error::parts(
            Kind::Unsupported,
            "Sorting on the GPU indexes with 32 bits",
            &format!("{rows} rows of {extent} elements, filled up to {}", extent.next_power_of_two()),
            &format!("at most {MAX_SPACE} elements"),
            "Sort fewer rows at once, or use the CPU engine",
        ));
    }
    if extent <= TILE {
        return Ok(vec![sorter.kernel(None)?]);
    }
    let operand = |cx: &mut Build, extent: &str| {
        let x = cx.buffer(step.operands[0], false, false)?;
        Ok(key(&format!("b{x}[line * {extent} + place]"), dtype, descending))
    };
    let (bits, of) = (if dtype == DType::Bool { 1 } else { 32 }, ordered_by(dtype, descending));
    let keys = Keys { plan, step, rows, extent, bits, of, key: &operand };
    let mut out = keys.order(caps)?;
    out.push(sorter.kernel(Some(&keys))?);
    Ok(out)
}
