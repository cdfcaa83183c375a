//! The operands of tiled products: how they lie in memory and are read from there.

use super::Build;
use super::render::Coordinates;
use super::tiles::Tile;
use super::window::Numbers;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::listed;
use crate::ir::program::Dims;

/// An operand in the shader.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Side {
    pub(super) name: &'static str,
    /// Where its tile begins, and how many lines the tile has.
    pub(super) origin: &'static str,
    pub(super) lines: u32,
    /// A thread's place along the tile, and what the vectors that it reads from there are called.
    pub(super) thread: &'static str,
    pub(super) vector: &'static str,
    /// Word: lines of the whole operand.
    pub(super) extent: String,
    pub(super) buffer: usize,
    /// Whether vectors of four run along k (or along the lines).
    pub(super) along_k: bool,
    /// Whether they are read as vectors.
    pub(super) wide: bool,
    stored: Stored,
    pub(super) load: Load,
}

impl Side {
    /// Whether a part of a vector may lie beyond k.
    pub(super) fn by_lane(&self) -> bool {
        self.along_k && !self.wide
    }

    /// What an element is while it is on its way: halves of words stay bits until they are decoded.
    pub(super) fn one(&self) -> &'static str {
        match self.stored {
            Stored::Floats => "f32",
            Stored::Words(_) => "u32",
            Stored::Halves => "f16",
        }
    }

    /// What four of them are.
    pub(super) fn four(&self) -> &'static str {
        match self.stored {
            Stored::Floats => "vec4<f32>",
            Stored::Words(_) if self.wide => "vec2<u32>",
            Stored::Words(_) => "vec4<u32>",
            Stored::Halves => "vec4<f16>",
        }
    }

    /// What stands before an address to read what lies there, and behind it.
    pub(super) fn from(&self) -> String {
        if self.taken_out() { format!("fetch_{}(", self.name) } else { format!("b{}[", self.buffer) }
    }

    pub(super) fn to(&self) -> &'static str {
        if self.taken_out() { ")" } else { "]" }
    }

    /// Whether single elements are parts of words.
    pub(super) fn taken_out(&self) -> bool {
        self.encoded().is_some() && !self.wide
    }

    /// The type whose bits are to be decoded.
    pub(super) fn encoded(&self) -> Option<DType> {
        match self.stored {
            Stored::Words(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// The function that makes numbers of four that were read; nothing where they are numbers.
    pub(super) fn decode(&self) -> String {
        if self.encoded().is_some() { format!("decode_{}", self.name) } else { String::new() }
    }

    /// What was chosen for it: how it lies, and how its elements are stored where they are no floats.
    pub(super) fn forms(&self, tile: Tile) -> Vec<String> {
        let read = self.load.read().form(tile, self.name, self.along_k, self.wide);
        [read].into_iter().chain(self.encoded().map(|dtype| encoded(self.name, dtype, self.wide))).collect()
    }
}

/// The variant of an operand whose elements are decoded.
pub(super) fn encoded(side: &str, dtype: DType, wide: bool) -> String {
    format!("{side} of {dtype} in {}", if wide { "vectors" } else { "scalars" })
}

/// The types whose elements are decoded.
#[cfg(test)]
pub(super) const ENCODED: [DType; 2] = [DType::F16, DType::BF16];

/// What the elements of an operand are in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stored {
    Floats,
    /// Two of a type in each word.
    Words(DType),
    /// `f16` as cooperative matrices take it.
    Halves,
}

/// What no place in a piece reaches: nothing is read from there on.
pub(super) const NOTHING: &str = "0x7fffffff";

#[derive(PartialEq, Eq, Hash)]
pub(super) enum Load {
    Strided(Strides),
    Patches(Numbers),
    Spread(Numbers),
    Kernel(Numbers),
}

listed! {
    /// What an operand is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Read {
        Strided,
        Patches,
        Spread,
        Kernel,
    }
}

impl Read {
    /// Whether it can be that side of a product, with vectors in that direction.
    #[cfg(test)]
    pub(super) fn serves(self, side: &str, along_k: bool) -> bool {
        match self {
            Read::Strided => true,
            Read::Patches => side == "a",
            Read::Spread => side == "a" && along_k,
            Read::Kernel => side == "b" && along_k,
        }
    }

    pub(super) fn form(self, tile: Tile, side: &str, along_k: bool, wide: bool) -> String {
        let (along, width) = (if along_k { "k" } else { "lines" }, if wide { "vectors" } else { "scalars" });
        format!("{tile} {side} {self:?} along {along} in {width}")
    }
}

impl Load {
    pub(super) fn read(&self) -> Read {
        match self {
            Load::Strided(_) => Read::Strided,
            Load::Patches(_) => Read::Patches,
            Load::Spread(_) => Read::Spread,
            Load::Kernel(_) => Read::Kernel,
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
pub(super) struct Strides {
    pub(super) line: String,
    pub(super) k: String,
}

/// How an operand is read.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) along_k: bool,
    pub(super) wide: bool,
}

impl Way {
    pub(super) fn scalar(self) -> Self {
        Way { wide: false, ..self }
    }

    /// The direction in which the operand lies contiguously, and whether vectors of four are aligned in it.
    /// `lines` is the extent of the direction that is not k, which is the rows of a or the columns of b.
    pub(super) fn of(g: &Gemm, load: &Loader, lines: usize, is_a: bool) -> Self {
        match load {
            Loader::Strided { offset, batch, row, col } => {
                let (line, k) = if is_a { (*row, *col) } else { (*col, *row) };
                let aligned = |stride: i64, extent: usize| extent == 1 || stride % 4 == 0;
                let base = offset % 4 == 0 && batch.iter().zip(&g.batch).all(|(&s, &e)| aligned(s, e));
                let wide_k = base && k == 1 && g.k.is_multiple_of(4) && aligned(line, lines);
                let wide_line = base && line == 1 && lines.is_multiple_of(4) && aligned(k, g.k);
                Way { along_k: wide_k || (k == 1 && !wide_line), wide: wide_k || wide_line }
            }
            Loader::Patches { conv, transposed } => Way { along_k: !transposed, wide: conv.c % 4 == 0 },
            Loader::Spread { conv } | Loader::Kernel { conv } => Way { along_k: true, wide: conv.f % 4 == 0 },
        }
    }
}

/// An operand, bound; `setup` gets what the shader must know of it.
pub(super) fn side(
    cx: &mut Build,
    (buf, load): (u16, &Loader),
    Way { along_k, wide }: Way,
    (name, tile, extent): (&'static str, Tile, &str),
    batch: &mut Coordinates,
    setup: &mut Vec<String>,
) -> Result<Side> {
    let stored = match cx.dtype(buf) {
        half if half.is_narrow() && tile.cooperative => Stored::Halves,
        half if half.is_narrow() => Stored::Words(half),
        _ => Stored::Floats,
    };
    let buffer = match (stored, wide) {
        (Stored::Floats, _) => cx.buffer(buf, wide, false)?,
        (Stored::Words(_), true) => cx.bound(buf, "vec2<u32>", false)?,
        (Stored::Words(_), false) => cx.bound(buf, "u32", false)?,
        (Stored::Halves, true) => cx.bound(buf, "vec4<f16>", false)?,
        (Stored::Halves, false) => cx.bound(buf, "f16", false)?,
    };
    let mut base = "0u".to_string();
    let load = match load {
        Loader::Strided { offset, batch: strides, row, col } => {
            let (line, k) = if name == "a" { (*row, *col) } else { (*col, *row) };
            // Where vectors are read, addresses count vectors; the stride along them is not used then.
            let unit = if wide { 4 } else { 1 };
            let strides: Dims<i64> = strides.iter().map(|s| s / unit).collect();
            let mut terms = Vec::new();
            if *offset != 0 {
                terms.push(cx.stride(offset / unit));
            }
            terms.extend(batch.address(&strides, cx));
            if !terms.is_empty() {
                base = terms.join(" + ");
            }
            Load::Strided(Strides { line: cx.stride(line / unit), k: cx.stride(k / unit) })
        }
        Loader::Patches { conv, .. } if name == "a" => Load::Patches(Numbers::of(conv)),
        Loader::Spread { conv } if name == "a" => Load::Spread(Numbers::of(conv)),
        Loader::Kernel { conv } if name == "b" => Load::Kernel(Numbers::of(conv)),
        other => return Err(Error::internal(format!("operand {name} of a product cannot be read as {other:?}"))),
    };
    setup.push(format!("let base_{name} = {base};"));
    let (origin, lines, thread, vector) = match name {
        "a" => ("m0", tile.bm, "ty", "x"),
        _ => ("n0", tile.bn, "tx", "y"),
    };
    let extent = extent.to_string();
    Ok(Side { name, origin, lines, thread, vector, extent, buffer, along_k, wide, stored, load })
}
