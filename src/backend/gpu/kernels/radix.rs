//! Ordering rows by integer keys in linear time: what sorting long rows and adding by index share.

use askama::Template;

use super::scan::before;
use super::{Build, Head, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::error::Result;
use crate::ir::listed;
use crate::ir::step::{Plan, Step};

/// Bits of a pass, and the digits that there are.
const BITS: u32 = 8;
const DIGITS: usize = 1 << BITS;
/// Scratch: pairs, read and written in turn, and counts. From `FREE` on numbers are the callers'.
const PAIRS: [u16; 2] = [1, 2];
const COUNTS: u16 = 3;
pub(super) const FREE: u16 = 4;

listed! {
    /// What a kernel does of an ordering.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Part {
        /// All of it, for rows of up to a tile.
        Whole,
        /// How many elements have each digit.
        Count,
        /// Each element goes behind those of lesser digits.
        Place,
    }
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "radix.wgsl")]
struct Radix {
    head: Head,
    part: Part,
    threads: u32,
    /// What the keys are made of, and the statement that sets `key` from `line` and `place`; pairs without.
    of: String,
    key: Option<String>,
    from: usize,
    counts: usize,
    to: usize,
    /// Words: elements of a row, its tiles, work-groups, and the bits by which to order.
    extent: String,
    tiles: String,
    groups: String,
    low: String,
    high: String,
}

impl Named for Radix {
    const NAME: &'static str = "radix";

    fn variants(&self) -> Vec<String> {
        vec![self.part.form(&self.of)]
    }
}

impl Part {
    fn form(self, of: &str) -> String {
        format!("{self:?} of {of}")
    }
}

/// The variants of ordering by what is called `of`, which begin with `whole` rows or not.
#[cfg(test)]
pub(super) fn variants(of: &str, whole: bool) -> Vec<String> {
    let first = Part::ALL.iter().filter(|&&part| whole || part != Part::Whole).map(|part| part.form(of));
    let later = [Part::Count, Part::Place].map(|part| part.form("pairs"));
    first.chain(later).map(|form| format!("radix {form}")).collect()
}

/// Rows of keys.
pub(super) struct Keys<'a> {
    pub(super) plan: &'a Plan,
    pub(super) step: &'a Step,
    pub(super) rows: usize,
    pub(super) extent: usize,
    /// The lowest bits, which alone differ.
    pub(super) bits: u32,
    /// What the keys are made of.
    pub(super) of: String,
    /// Binds that, and gives the statement that sets `key` from `line` and `place`, with the word of the row's extent.
    pub(super) key: &'a dyn Fn(&mut Build, &str) -> Result<String>,
}

impl Keys<'_> {
    fn passes(&self, caps: &Caps) -> u32 {
        if self.extent <= 4 * threads(caps) as usize { 0 } else { self.bits.div_ceil(BITS) }
    }

    /// The pairs `(key, place)` of all rows in order, `rows` by `extent`.
    pub(super) fn ordered(&self, cx: &mut Build, caps: &Caps) -> usize {
        self.pairs(cx, self.passes(caps) as usize % 2, false)
    }

    fn pairs(&self, cx: &mut Build, which: usize, write: bool) -> usize {
        cx.scratch_of(PAIRS[which], 2 * self.rows * self.extent, "vec2<u32>", write)
    }

    fn tiles(&self, caps: &Caps) -> usize {
        self.extent.div_ceil(4 * threads(caps) as usize)
    }

    fn counts(&self, cx: &mut Build, caps: &Caps, write: bool) -> usize {
        cx.scratch_of(COUNTS, self.rows * DIGITS * self.tiles(caps), "u32", write)
    }

    fn kernel(&self, caps: &Caps, part: Part, pass: u32) -> Result<Dispatch> {
        let mut cx = Build::new(self.plan, self.step);
        let tiles = self.tiles(caps);
        let groups = self.rows * tiles;
        let low = BITS * pass;
        let high = if part == Part::Whole { self.bits } else { self.bits.min(low + BITS) };
        let [extent, tiles, groups_word, low, high] =
            [self.extent, tiles, groups, low as usize, high as usize].map(|v| cx.size(v));
        let (key, from) = match pass {
            0 => (Some((self.key)(&mut cx, &extent)?), 0),
            _ => (None, self.pairs(&mut cx, pass as usize % 2, false)),
        };
        let counts = if part == Part::Whole { 0 } else { self.counts(&mut cx, caps, part == Part::Count) };
        let next = if part == Part::Whole { 0 } else { (pass as usize + 1) % 2 };
        let to = if part == Part::Count { 0 } else { self.pairs(&mut cx, next, true) };
        let shader = Radix {
            head: cx.head(),
            part,
            threads: threads(caps),
            of: if key.is_some() { self.of.clone() } else { "pairs".into() },
            key,
            from,
            counts,
            to,
            extent,
            tiles,
            groups: groups_word,
            low,
            high,
        };
        Ok(cx.kernel(shader, groups))
    }

    /// The kernels that put the rows in order.
    pub(super) fn order(&self, caps: &Caps) -> Result<Vec<Dispatch>> {
        let passes = self.passes(caps);
        if passes == 0 {
            return Ok(vec![self.kernel(caps, Part::Whole, 0)?]);
        }
        let mut out = Vec::new();
        for pass in 0..passes {
            out.push(self.kernel(caps, Part::Count, pass)?);
            let counts = |cx: &mut Build, write| self.counts(cx, caps, write);
            out.extend(before(self.plan, self.step, caps, [self.rows, DIGITS * self.tiles(caps)], &counts)?);
            out.push(self.kernel(caps, Part::Place, pass)?);
        }
        Ok(out)
    }
}
