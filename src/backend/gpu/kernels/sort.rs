//! Sorting rows by a network of comparisons: short rows within a work-group, long ones through scratch memory.

use askama::Template;

use super::lanes::single;
use super::nest::pointwise;
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
        /// Tiles of longer rows.
        Tiles,
        /// Comparisons further apart than a tile.
        Across,
        /// The rest of a round.
        Within,
        /// The results.
        Last,
    }
}

impl Part {
    /// Whether it works in work-group memory.
    fn shares(self) -> bool {
        matches!(self, Part::Whole | Part::Tiles | Part::Within)
    }
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "sort.wgsl")]
struct Network {
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
    scratch: usize,
    /// Words: rows, elements of a row, pairs of a row, what is kept of it, work-groups, threads, distance of a
    /// comparison, and whether it turns the second half around.
    rows: String,
    extent: String,
    width: String,
    keep: String,
    groups: String,
    count: String,
    apart: String,
    turn: String,
    body: Vec<String>,
}

impl Named for Network {
    const NAME: &'static str = "sort";

    fn variants(&self) -> Vec<String> {
        vec![self.part.form(self.dtype, self.descending)]
    }
}

impl Part {
    fn form(self, dtype: DType, descending: bool) -> String {
        format!("{self:?} of {dtype}, {}", if descending { "descending" } else { "ascending" })
    }
}

/// Every variant of sorts.
#[cfg(test)]
pub(super) fn variants() -> Vec<String> {
    let kinds = super::STORED.iter().flat_map(|&dtype| [(dtype, false), (dtype, true)]);
    kinds.flat_map(|(t, down)| Part::ALL.iter().map(move |part| format!("sort {}", part.form(t, down)))).collect()
}

struct Sorter<'a> {
    plan: &'a Plan,
    step: &'a Step,
    sort: &'a Sort,
    threads: usize,
    /// Pairs of a row, a power of two.
    width: usize,
    tile: usize,
}

impl Sorter<'_> {
    /// One kernel; `apart` and `turn` are those of comparisons across tiles.
    fn kernel(&self, part: Part, apart: usize, turn: bool) -> Result<Dispatch> {
        let Sort { dtype, rows, extent, keep, descending } = *self.sort;
        let mut cx = Build::new(self.plan, self.step);
        let reads = matches!(part, Part::Whole | Part::Tiles | Part::Last);
        let x = if reads { cx.buffer(self.step.operands[0], false, false)? } else { 0 };
        let pairs = rows * self.width;
        let scratch = if part == Part::Whole { 0 } else { cx.scratch(2 * pairs, "vec2<u32>", part != Part::Last) };
        let tile = if part == Part::Whole { self.tile } else { TILE };
        let threads = match part.shares() {
            true => self.threads.min(tile / 2),
            false => self.threads,
        };
        let count = if part == Part::Last { rows * keep } else { pairs / 2 };
        let groups = if part.shares() { pairs.div_ceil(tile) } else { count.div_ceil(threads) };
        let words = [rows, extent, self.width, keep, groups, count, apart, usize::from(turn)].map(|v| cx.size(v));
        let element = format!("b{x}[line * {} + place]", words[1]);
        let key = key(&element, dtype, descending);
        let space = Coordinates::new(&self.step.space, "o");
        let mut e = Emitter::new(cx, single(&self.step.program), 1, space, Coordinates::new(&[], "i"));
        let bool = dtype == DType::Bool;
        e.accs = if bool { &["(value != 0u)", "bitcast<i32>(place)"] } else { &["value", "bitcast<i32>(place)"] };
        let body = if matches!(part, Part::Whole | Part::Last) { pointwise(&mut e)? } else { Vec::new() };
        let [rows, extent, width, keep, groups_word, count, apart, turn] = words;
        let shader = Network {
            head: e.cx.head(),
            part,
            dtype,
            descending,
            threads: threads as u32,
            tile: tile as u32,
            row: self.width.min(tile) as u32,
            key,
            x,
            scratch,
            rows,
            extent,
            width,
            keep,
            groups: groups_word,
            count,
            apart,
            turn,
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
        _ => format!("key = {not}{element};"),
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, sort: &Sort) -> Result<Vec<Dispatch>> {
    storage_type(sort.dtype, false)?;
    let width = sort.extent.next_power_of_two();
    if sort.rows * width > MAX_SPACE {
        return Err(Error::parts(
            Kind::Unsupported,
            "Sorting on the GPU indexes with 32 bits",
            &format!("{} rows of {} elements, filled up to {width}", sort.rows, sort.extent),
            &format!("at most {MAX_SPACE} elements"),
            "Sort fewer rows at once, or use the CPU engine",
        ));
    }
    let threads = threads(caps) as usize;
    let one = |tile: usize| Sorter { plan, step, sort, threads, width, tile };
    if width <= TILE {
        // Short rows share a work-group.
        let tile = width.max(128).max(2);
        return Ok(vec![one(tile).kernel(Part::Whole, 0, false)?]);
    }
    let sorter = one(TILE);
    let mut out = vec![sorter.kernel(Part::Tiles, 0, false)?];
    let mut size = 2 * TILE;
    while size <= width {
        out.push(sorter.kernel(Part::Across, size / 2, true)?);
        let mut apart = size / 4;
        while apart >= TILE {
            out.push(sorter.kernel(Part::Across, apart, false)?);
            apart /= 2;
        }
        out.push(sorter.kernel(Part::Within, 0, false)?);
        size *= 2;
    }
    out.push(sorter.kernel(Part::Last, 0, false)?);
    Ok(out)
}
