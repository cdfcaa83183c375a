//! Which tile a product gets, and how many parts `k` is cut into.

use std::fmt;
use std::str::FromStr;

use super::numel;
use crate::backend::gpu::dispatch::{Caps, Matrices};
use crate::ir::gemm::{Gemm, Loader};

/// Work-groups that fill a large GPU's units, more or less: fewer are worth a smaller tile.
const ENOUGH_GROUPS: usize = 128;
/// Where even the smallest tile gives fewer, `k` is split until there are so many.
const MANY_GROUPS: usize = 256;
/// The least part of `k` for a work-group of a split product.
const LEAST_PART: usize = 64;

/// Tiles from the largest down: rows, columns, and rows and columns of a thread; how much of `k` is in work-group memory
/// at a time. Every thread copies as many vectors as every other. 128 rows and columns by 8 of `k` is what both AMD's and
/// NVIDIA's compilers do best with: two loads on their way, 128 registers.
const TILES: [Tile; 5] = [
    Tile { bm: 128, bn: 128, bk: 8, tm: 8, tn: 8, slices: 1, cooperative: false },
    Tile { bm: 128, bn: 64, bk: 8, tm: 8, tn: 8, slices: 1, cooperative: false },
    Tile { bm: 128, bn: 32, bk: 16, tm: 8, tn: 4, slices: 1, cooperative: false },
    Tile { bm: 64, bn: 64, bk: 8, tm: 8, tn: 8, slices: 1, cooperative: false },
    Tile { bm: 32, bn: 32, bk: 16, tm: 4, tn: 4, slices: 1, cooperative: false },
];
const SMALLEST: Tile = TILES[4];
/// For products of few elements: the threads of a work-group share each piece of `k` too, and add up in the end.
const SLICED: Tile = Tile { bm: 16, bn: 16, bk: 128, tm: 4, tn: 4, slices: 16, cooperative: false };
/// How long a `k` is worth it: each slice gets some of it, and the pieces of one work-group come one after the other.
const SLICED_K: std::ops::RangeInclusive<usize> = 128..=2048;
/// How many work-groups of it are enough: each has the threads of four of `SMALLEST`.
const SLICED_GROUPS: usize = ENOUGH_GROUPS / 4;
/// Those of cooperative matrices.
const COOPERATIVE: [Tile; 3] = [
    Tile { bm: 128, bn: 128, bk: 32, tm: 32, tn: 64, slices: 1, cooperative: true },
    Tile { bm: 64, bn: 64, bk: 32, tm: 32, tn: 32, slices: 1, cooperative: true },
    Tile { bm: 32, bn: 32, bk: 32, tm: 16, tn: 32, slices: 1, cooperative: true },
];
/// Threads of a subgroup, as most GPUs have them.
const SUBGROUP: u32 = 32;
/// Halves at the end of each line in work-group memory, so that the lines of a matrix lie in different banks.
const PADDING: u32 = 8;
/// The largest on a device that computes on a processor.
const LARGEST: Tile = TILES[3];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(super) bm: u32,
    pub(super) bn: u32,
    pub(super) bk: u32,
    /// Rows and columns of a thread's part of it; with cooperative matrices of a subgroup's.
    pub(super) tm: u32,
    pub(super) tn: u32,
    /// How many threads share each of its parts, every one with a slice of each piece of `k`.
    pub(super) slices: u32,
    pub(super) cooperative: bool,
}

impl Matrices {
    /// Numbers that the subgroups of a work-group lay out together, a matrix of sums each.
    pub(super) fn sums(self, tile: Tile) -> u32 {
        tile.threads().div_ceil(self.subgroup[0]) * self.size * self.size
    }

    /// Words of work-group memory besides the pieces.
    fn words(self, tile: Tile) -> u32 {
        self.sums(tile) + u32::from(!self.known())
    }

    /// Whether all subgroups have as many threads as is known beforehand.
    pub(super) fn known(self) -> bool {
        self.subgroup[0] == self.subgroup[1]
    }

    /// In how many rounds the subgroups of a work-group compute its tile, if it is known.
    pub(super) fn rounds(self, tile: Tile) -> u32 {
        (tile.parts() * self.subgroup[1]).div_ceil(tile.threads())
    }
}

impl Tile {
    pub(super) fn threads(self) -> u32 {
        self.parts() * self.slices * if self.cooperative { SUBGROUP } else { 1 }
    }

    /// How many parts it has, each a thread's or a subgroup's.
    pub(super) fn parts(self) -> u32 {
        (self.bm / self.tm) * (self.bn / self.tn)
    }

    /// Halves from line to line in the work-group memory of cooperative matrices, where operands lie along k.
    pub(super) fn pitch(self) -> u32 {
        self.bk + PADDING
    }

    /// Words between the rows of vectors along k in work-group memory, so that the writes of a warp spread over all banks.
    pub(super) fn skew(self) -> u32 {
        128 / self.bk
    }

    /// Words of work-group memory for a piece of an operand with so many lines, whose vectors are taken apart or not.
    pub(super) fn words(self, lines: u32, apart: bool) -> u32 {
        lines * self.bk + if apart { (self.bk / 4 - 1) * self.skew() } else { 0 }
    }

    /// How many pieces of k are in work-group memory: the one that is multiplied, and where there is room for it the next;
    /// none on a device that computes on a processor, which reads operands straight from the buffers.
    pub(super) fn buffers(self, caps: &Caps) -> u32 {
        if let Some(matrices) = caps.cooperative.filter(|_| self.cooperative) {
            let room = caps.max_workgroup_memory.saturating_sub(4 * matrices.words(self));
            return (room / (2 * (self.bm + self.bn) * self.pitch())).min(2);
        }
        let bytes = 4 * (self.words(self.bm, true) + self.words(self.bn, true));
        if caps.software { 0 } else { (caps.max_workgroup_memory / bytes).min(2) }
    }

    pub(super) fn fits(self, caps: &Caps) -> bool {
        let memory = match self.cooperative {
            true => !caps.software && caps.cooperative.is_some() && self.buffers(caps) > 0,
            false => caps.software || self.buffers(caps) > 0,
        };
        self.threads() <= caps.max_workgroup_size && memory
    }

    /// Of its kind.
    pub(super) fn is_smallest(self) -> bool {
        self == SMALLEST || self == COOPERATIVE[2]
    }

    pub(super) fn count(self, g: &Gemm) -> usize {
        g.m.div_ceil(self.bm as usize) * g.n.div_ceil(self.bn as usize) * numel(&g.batch)
    }

    /// Whether a product may get it: on a processor each thread lays a convolution's operands out for itself, and a large
    /// tile's are too much for it; a sliced tile takes what lies in memory as it is.
    pub(super) fn suits(self, g: &Gemm, caps: &Caps) -> bool {
        let plain = |load: &Loader| matches!(load, Loader::Strided { .. });
        let any = if caps.software { self == SMALLEST } else { self.slices == 1 };
        any || plain(&g.a) && plain(&g.b)
    }

    /// Those that a device may get. One that computes on a processor reads operands straight from memory.
    pub(super) fn of(caps: &Caps) -> impl Iterator<Item = Self> {
        all().filter(|t| t.fits(caps) && (!caps.software || [SMALLEST, LARGEST].contains(t)))
    }
}

/// All tiles there are.
fn all() -> impl Iterator<Item = Tile> {
    COOPERATIVE.into_iter().chain(TILES).chain([SLICED])
}

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// As the rule says.
    Rule,
    /// As a reduction over `k`.
    Reduction,
    Tiled(Choice),
}

impl Method {
    /// What may be faster than the rule's choice.
    pub(crate) fn candidates(g: &Gemm, caps: &Caps) -> Vec<Method> {
        let useful = numel(&g.batch) * g.m * g.n;
        let wasteful = |t: &Tile| !t.is_smallest() && t.count(g) * (t.bm * t.bn) as usize > 4 * useful;
        let mut all = vec![];
        if g.m.min(g.n) <= 16 || g.k <= 16 {
            all.push(Method::Reduction);
        }
        for tile in Tile::of(caps).filter(|t| t.suits(g, caps) && !wasteful(t)) {
            // Parts of some length, and not many more work-groups than fill a large GPU.
            let worth = |parts: &usize| {
                let cut = g.k / parts >= LEAST_PART / 2 && tile.count(g) * parts <= 4 * MANY_GROUPS;
                *parts == 1 || cut && !caps.software
            };
            let parts = [1, 2, 4, 8, 16, 32].into_iter().filter(|parts| *parts == 1 || tile.slices == 1).filter(worth);
            all.extend(parts.map(|parts| Method::Tiled(Choice { tile, parts })));
        }
        all
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Rule => write!(f, "rule"),
            Method::Reduction => write!(f, "reduction"),
            Method::Tiled(Choice { tile, parts }) => write!(f, "{tile}/{parts}"),
        }
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        match text {
            "rule" => return Ok(Method::Rule),
            "reduction" => return Ok(Method::Reduction),
            _ => {}
        }
        let (tile, parts) = text.split_once('/').ok_or(())?;
        let tile = all().find(|t| t.to_string() == tile).ok_or(())?;
        let parts = parts.parse().ok().filter(|parts| (1..=64).contains(parts)).ok_or(())?;
        Ok(Method::Tiled(Choice { tile, parts }))
    }
}

/// What is chosen for a product: the tile, and how many parts `k` is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(super) tile: Tile,
    pub(super) parts: usize,
}

impl Choice {
    /// The largest tile that keeps the device busy and wastes little at the edges; where none does, one with `k` split.
    pub(super) fn by_rule(g: &Gemm, caps: &Caps) -> Self {
        if caps.software {
            // Of a large one operands are loaded half as often.
            let large = LARGEST.suits(g, caps) && g.m.min(g.n) >= 256 && LARGEST.count(g) >= 16;
            return Choice { tile: if large { LARGEST } else { SMALLEST }, parts: 1 };
        }
        let useful = numel(&g.batch) * g.m * g.n;
        let tight = |t: &Tile| t.count(g) * (t.bm * t.bn) as usize <= useful + useful / 3;
        let cooperative = Tile::of(caps).any(|t| t.cooperative);
        let of_kind = || Tile::of(caps).filter(|t| t.cooperative == cooperative && t.slices == 1);
        let tiles = || of_kind().filter(tight);
        if let Some(tile) = tiles().find(|t| t.count(g) >= ENOUGH_GROUPS) {
            return Choice { tile, parts: 1 };
        }
        let sliced = SLICED.fits(caps) && SLICED.suits(g, caps) && !cooperative && SLICED_K.contains(&g.k);
        if sliced && SLICED.count(g) >= SLICED_GROUPS {
            return Choice { tile: SLICED, parts: 1 };
        }
        // Of a long `k` each part is still long enough to repay a large tile.
        let long = |t: &Tile| t.count(g) * (g.k / 512) >= MANY_GROUPS;
        let smallest = of_kind().last().unwrap_or(SMALLEST);
        let tile = tiles().find(long).unwrap_or(smallest);
        let most = (g.k / LEAST_PART).clamp(1, 64);
        Choice { tile, parts: most.min(MANY_GROUPS.div_ceil(tile.count(g))) }
    }

    /// Whether it is too little work for tiles to fill a GPU.
    pub(super) fn is_little(self, g: &Gemm) -> bool {
        self.tile.slices == 1 && self.tile.count(g) * self.parts < ENOUGH_GROUPS
    }

    /// Every tile with each way to cut `k`.
    #[cfg(test)]
    pub(super) fn all(caps: &Caps) -> Vec<Self> {
        let cuts = if caps.software { &[1][..] } else { &[1, 4] };
        let all = Tile::of(caps).flat_map(|tile| cuts.iter().map(move |&parts| Choice { tile, parts }));
        all.filter(|choice| choice.tile.slices == 1 || choice.parts == 1).collect()
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}x{}", if self.cooperative { "cooperative-" } else { "" }, self.bm, self.bn)
    }
}
