//! Matrix products and convolutions as tiled products; those too thin for tiles as reductions.

use askama::Template;

use super::lanes::{Lanes, quads, single};
use super::nest;
use super::operand::{self, Load, NOTHING, Side, Way};
use super::render::{Coordinates, Emitter, LANES};
use super::tiles::{Choice, Method, Tile};
use super::{Build, Head, numel};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Matrices, Named};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::program::{Access, Instr, Line, Program, ReduceOp, Reg};
use crate::ir::scalar::{Binary1, BinaryFn};
use crate::ir::step::{Plan, Step};

/// Every variant of tiled products that a device may get: what its tile and epilogue are, and how an operand is read into each tile.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<String> {
    use operand::{ENCODED, Read, encoded};
    let both = [false, true];
    let mut out = Vec::new();
    for (side, dtype) in ["a", "b"].into_iter().flat_map(|s| ENCODED.map(|d| (s, d))) {
        out.extend(both.map(|wide| encoded(side, dtype, wide)));
    }
    for tile in Tile::of(caps) {
        for (split, quads) in
            both.iter().flat_map(|&s| both.map(|q| (s, q))).filter(|(s, _)| !s || !caps.software && tile.slices == 1)
        {
            out.push(Product::form(tile, split, quads, tile.buffers(caps)));
        }
        for (side, read) in ["a", "b"].into_iter().flat_map(|s| Read::ALL.iter().map(move |&r| (s, r))) {
            for (along_k, wide) in both.iter().flat_map(|&k| both.map(|w| (k, w))) {
                let plain =
                    (caps.software || tile.cooperative && !caps.unroll) && !tile.is_smallest() || tile.slices > 1;
                if read.serves(side, along_k) && (read == Read::Strided || !plain) {
                    out.push(read.form(tile, side, along_k, wide));
                }
            }
        }
    }
    out
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "gemm.wgsl")]
struct Product {
    head: Head,
    tile: Tile,
    /// The matrices of a cooperative tile.
    matrices: Option<Matrices>,
    /// How many pieces of k are in work-group memory; 0 where operands are read straight from the buffers.
    buffers: u32,
    /// Whether the steps of a piece are written out.
    unrolled: bool,
    /// Whether k does not divide by what is read at a time (where that changes the source).
    ragged: bool,
    a: Side,
    b: Side,
    /// Words: the extents, the tiles along them, the work-groups, and a row's length in what `finish` counts.
    m: String,
    n: String,
    k: String,
    tiles_m: String,
    tiles_n: String,
    groups: String,
    width: String,
    split: Option<Split>,
    /// Whether the epilogue takes four elements at a time.
    quads: bool,
    setup: Vec<String>,
    finish: Vec<String>,
}

#[derive(PartialEq, Eq, Hash)]
struct Split {
    batch: String,
    chunk: String,
}

impl Named for Product {
    const NAME: &'static str = "gemm";

    fn variants(&self) -> Vec<String> {
        let reads = self.sides().into_iter().flat_map(|s| s.forms(self.tile));
        let form = Self::form(self.tile, self.split.is_some(), self.quads, self.buffers);
        [form].into_iter().chain(reads).collect()
    }
}

impl Product {
    fn form(tile: Tile, split: bool, quads: bool, buffers: u32) -> String {
        let way = ["direct", "through one buffer", "through two buffers"][buffers as usize];
        let (k, width) = (if split { "split" } else { "whole" }, if quads { "quads" } else { "singles" });
        format!("{tile} {way} {k} {width}")
    }

    fn sides(&self) -> [&Side; 2] {
        [&self.a, &self.b]
    }

    /// How many vectors of an operand's piece each thread copies.
    fn rounds(&self, side: &Side) -> u32 {
        side.lines * self.tile.bk / 4 / self.tile.threads()
    }

    /// What a short piece's vectors are when what is not there is taken out: straight from the buffers they are numbers.
    fn present(&self, side: &Side) -> &'static str {
        if self.buffers == 0 { "vec4<f32>" } else { side.four() }
    }

    /// The number of a thread's vector in a round of copying.
    fn piece(&self, round: &u32) -> String {
        format!("(t + {}u)", round * self.tile.threads())
    }

    /// Elements of an operand's piece in work-group memory: halves of cooperative matrices; of others words where vectors are taken
    /// apart, else vectors.
    fn tile_size(&self, side: &Side) -> u32 {
        match self.matrices {
            Some(_) => side.lines * self.tile.pitch(),
            None => self.tile.words(side.lines, side.along_k) / if side.along_k { 1 } else { 4 },
        }
    }

    /// The statements that store what a thread has read, in the piece that `half` names.
    fn stores(&self, side: &Side, half: &str) -> Vec<String> {
        let name = side.name;
        let piece = if self.buffers == 2 { format!("{half} * {}u + ", self.tile_size(side)) } else { String::new() };
        // The places of a vector's elements, if they are not stored as one.
        let places = |round: u32| match self.matrices {
            Some(_) if side.along_k => Some((round, [0, 1, 2, 3])),
            // Four vectors are four lines of four.
            Some(_) => Some((0, [0, 1, 2, 3].map(|c| c * self.tile.pitch() + round))),
            None => side.along_k.then(|| (round, [0, 1, 2, 3].map(|c| c * side.lines))),
        };
        let mut out = Vec::new();
        for round in 0..self.rounds(side) {
            let full = format!("{}(next_{name}{round})", side.decode());
            let Some((from, places)) = places(round) else {
                out.push(format!("tile_{name}[{piece}{}] = {full};", self.piece(&round)));
                continue;
            };
            out.push(format!("{{ let full_{name} = {full};"));
            out.extend(
                places
                    .iter()
                    .zip(LANES)
                    .map(|(at, lane)| format!("tile_{name}[{piece}store_{name}{from} + {at}u] = full_{name}.{lane};")),
            );
            out.push("}".into());
        }
        out
    }

    /// The steps of a piece that are written out.
    fn steps(&self) -> u32 {
        if self.unrolled { self.tile.bk / self.tile.slices } else { 1 }
    }

    /// Where in a piece a thread's slice of it begins, behind the place of its first vector.
    fn slice(&self, side: &Side) -> String {
        let steps = self.tile.bk / self.tile.slices;
        let pitch = match side.along_k {
            true => steps * side.lines + steps / 4 * self.tile.skew(),
            false => steps * side.lines / 4,
        };
        if self.tile.slices > 1 { format!(" + slice * {pitch}u") } else { String::new() }
    }

    /// The statements that lay a row of a thread's sums out for the others, at vector `at`.
    fn lay(&self, side: &Side, at: &str, row: &u32) -> String {
        let name = side.name;
        if !side.along_k {
            return format!("tile_{name}[{at}] = c{row}_0;");
        }
        let one = |(c, lane): (usize, &str)| format!("tile_{name}[{at} * 4u + {c}u] = c{row}_0.{lane};");
        LANES.into_iter().enumerate().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The vector that lies there.
    fn laid(&self, side: &Side, at: &str) -> String {
        let name = side.name;
        if !side.along_k {
            return format!("tile_{name}[{at}]");
        }
        let one = |c: usize| format!("tile_{name}[({at}) * 4u + {c}u]");
        format!("vec4<f32>({}, {}, {}, {})", one(0), one(1), one(2), one(3))
    }

    /// A thread's `i`th vector of an operand at a step of a piece that is written out, or in the loop over them.
    fn read(&self, side: &Side, step: &u32, i: &u32) -> String {
        let (name, unit) = (side.name, if side.along_k { 1 } else { 4 });
        let row = side.lines / unit;
        let mut first = side.lines / self.vectors(side) * i / unit;
        let mut from = format!("from_{name}");
        if self.unrolled {
            first += step * row + if side.along_k { step / 4 * self.tile.skew() } else { 0 };
        } else {
            from += &format!(" + step * {row}u");
            from += &if side.along_k { format!(" + step / 4u * {}u", self.tile.skew()) } else { String::new() };
        }
        let at = |c: u32| format!("tile_{name}[{from} + {}u]", first + c);
        match side.along_k {
            true => format!("vec4<f32>({}, {}, {}, {})", at(0), at(1), at(2), at(3)),
            false => at(0),
        }
    }

    /// The multiplications of cooperative matrices along a piece of k that are written out.
    fn multiplications(&self) -> u32 {
        if self.unrolled { self.tile.bk / self.size() } else { 1 }
    }

    fn size(&self) -> u32 {
        self.matrices.map_or(1, |m| m.size)
    }

    /// How many matrices a subgroup holds of an operand.
    fn matrices_of(&self, side: &Side) -> u32 {
        self.lines_of(side) / self.size()
    }

    /// Where in a piece a subgroup's part of an operand begins.
    fn corner(&self, side: &Side) -> String {
        format!("{} * {}u", side.thread, self.lines_of(side) * self.tile.pitch())
    }

    /// A subgroup's `i`th matrix of an operand at a step of a piece.
    fn matrix(&self, side: &Side, step: &u32, i: &u32) -> String {
        let (size, pitch) = (self.size(), self.tile.pitch());
        let mut at = format!("{}u", i * size * pitch + step * size);
        if !self.unrolled {
            at += &format!(" + step * {size}u");
        }
        // Lines of k in memory are the rows of a, and the columns of b.
        let way = if side.name == "a" { "coopLoadT" } else { "coopLoad" };
        let (role, name) = (side.name.to_uppercase(), side.name);
        format!("{way}<coop_mat{size}x{size}<f16, {role}>>(&tile_{name}[from_{name} + {at}], {pitch}u)")
    }

    /// How many vectors of four lines a thread holds of an operand.
    fn vectors(&self, side: &Side) -> u32 {
        self.lines_of(side) / 4
    }

    /// How many lines of an operand a thread's or a subgroup's part has.
    fn lines_of(&self, side: &Side) -> u32 {
        if side.name == "a" { self.tile.tm } else { self.tile.tn }
    }

    /// Where the lines of such a vector begin, in fours.
    fn first(&self, side: &Side, i: &u32) -> String {
        format!("({} + {}u)", side.thread, side.lines / 4 / self.vectors(side) * i)
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, g: &Gemm, method: Method) -> Result<Vec<Dispatch>> {
    if g.dtype != DType::F32 {
        return Err(Error::new(
            Kind::DType,
            format!("Matrix products on the GPU are f32. Received: {}. Expected: f32. Cast the operands.", g.dtype),
        ));
    }
    // Of nothing: a convolution's geometry may then have zeros, by which no shader may divide.
    let nothing = || Loader::Strided { offset: 0, batch: g.batch.iter().map(|_| 0).collect(), row: 0, col: 0 };
    let empty = (g.k == 0).then(|| Gemm { a: nothing(), b: nothing(), ..g.clone() });
    let g = empty.as_ref().unwrap_or(g);
    // (What the rule gives for nothing to add up, whatever somebody found to be fast.)
    let method = if g.k == 0 { Method::Rule } else { method };
    let caps = &for_operands(plan, step, caps);
    match method {
        Method::Tiled(choice) if choice.tile.fits(caps) => return tiled(plan, step, caps, g, choice),
        Method::Reduction if let Some(nest) = as_nest(g, step) => return nest::build(plan, &nest, caps),
        _ => {}
    }
    let choice = Choice::by_rule(g, caps);
    let few = !caps.software && choice.is_little(g);
    let thin = g.m.min(g.n) <= 4 || g.k <= 4 || g.m * g.n <= 128;
    if (few || thin)
        && let Some(nest) = as_nest(g, step)
    {
        return nest::build(plan, &nest, caps);
    }
    tiled(plan, step, caps, g, choice)
}

/// The abilities that a product may use: cooperative matrices where both operands are `f16` in memory.
pub(crate) fn for_operands(plan: &Plan, step: &Step, caps: &Caps) -> Caps {
    let half = |&buf: &u16| plan.buffers[usize::from(step.bufs[usize::from(buf)])].dtype == DType::F16;
    Caps { cooperative: caps.cooperative.filter(|_| step.operands.iter().all(half)), ..*caps }
}

/// The product with a tile and a cut that somebody has chosen.
pub(super) fn tiled(plan: &Plan, step: &Step, caps: &Caps, g: &Gemm, choice: Choice) -> Result<Vec<Dispatch>> {
    let Choice { tile, parts } = choice;
    let chunk = g.k.div_ceil(parts).next_multiple_of(tile.bk as usize).max(tile.bk as usize);
    let parts = g.k.div_ceil(chunk).max(1);
    let split = (parts > 1).then_some((parts, chunk));
    let mut kernel = product(plan, step, caps, g, tile, split, false)?;
    if kernel.bindings.len() > caps.max_storage_bindings as usize {
        kernel = product(plan, step, caps, g, tile, split, true)?;
    }
    let mut kernels = vec![kernel];
    if parts > 1 {
        kernels.push(nest::elementwise(plan, step, caps, Some(parts))?);
    }
    Ok(kernels)
}

/// `once`: no buffer is bound twice, as vectors and as elements, which takes fewer bindings.
fn product(
    plan: &Plan,
    step: &Step,
    caps: &Caps,
    g: &Gemm,
    tile: Tile,
    split: Option<(usize, usize)>,
    once: bool,
) -> Result<Dispatch> {
    let mut cx = Build::new(plan, step);
    let (outer, program) = (&step.space[..], &step.program);
    let [a_buf, b_buf] = step.operands[..] else { return Err(Error::internal("a product of other than two")) };
    let ids = |buf: u16| step.bufs[buf as usize];
    let stores = program.stores.iter().map(|s| ids(s.buf));
    let used: Vec<_> = loads(program).map(ids).chain(stores).collect();
    let shared = |buf: u16| split.is_none() && used.contains(&ids(buf));
    let (a, b) = (Way::of(g, &g.a, g.m, true), Way::of(g, &g.b, g.n, false));
    let same = ids(a_buf) == ids(b_buf);
    let scalar = once && (shared(a_buf) || shared(b_buf) || (same && a.wide != b.wide));
    let (a, b) = if scalar { (a.scalar(), b.scalar()) } else { (a, b) };

    let (m, n, k) = (cx.size(g.m), cx.size(g.n), cx.size(g.k));
    let mut setup = Vec::new();
    let mut batch = Coordinates::new(&g.batch, "z");
    let a = operand::side(&mut cx, (a_buf, &g.a), a, ("a", tile, &m), &mut batch, &mut setup)?;
    let b = operand::side(&mut cx, (b_buf, &g.b), b, ("b", tile, &n), &mut batch, &mut setup)?;
    let mut decode = Vec::new();
    batch.decode(&mut cx, &mut decode);
    setup.splice(0..0, decode);

    let tiles = (g.m.div_ceil(tile.bm as usize), g.n.div_ceil(tile.bn as usize));
    let (tiles_m, tiles_n) = (cx.size(tiles.0), cx.size(tiles.1));
    let count = tile.count(g) * split.map_or(1, |(parts, _)| parts);
    let groups = cx.size(count);

    let (quads, finish, split) = match split {
        Some((parts, chunk)) => {
            let quads = g.n.is_multiple_of(4);
            let ty = if quads { "vec4<f32>" } else { "f32" };
            let scratch = cx.scratch(parts * numel(outer), ty, true);
            let total = cx.size(numel(outer) / if quads { 4 } else { 1 });
            let words = Split { batch: cx.size(numel(&g.batch)), chunk: cx.size(chunk) };
            (quads, vec![format!("b{scratch}[part * {total} + o] = acc;")], Some(words))
        }
        None => {
            let lanes = if scalar { None } else { quads(step, program, outer.len() - 1, outer) };
            let quads = lanes.is_some();
            let lanes = lanes.unwrap_or_else(|| single(program));
            let (built, finish) = epilogue(cx, lanes, outer)?;
            cx = built;
            (quads, finish, None)
        }
    };
    let width = cx.size(if quads { g.n / 4 } else { g.n });
    let buffers = tile.buffers(caps);
    let head = cx.head();
    let shader = Product {
        head,
        tile,
        matrices: caps.cooperative.filter(|_| tile.cooperative),
        buffers,
        unrolled: caps.unroll,
        ragged: buffers == 0 && !g.k.is_multiple_of(4),
        a,
        b,
        m,
        n,
        k,
        tiles_m,
        tiles_n,
        groups,
        width,
        split,
        quads,
        setup,
        finish,
    };
    Ok(cx.kernel(shader, count))
}

fn loads(program: &Program) -> impl Iterator<Item = u16> {
    program.lines.iter().filter_map(|l| match l.instr {
        Instr::Load { buf, .. } => Some(buf),
        _ => None,
    })
}

/// The statements of `finish`.
fn epilogue<'a>(cx: Build<'a>, lanes: Lanes, outer: &[usize]) -> Result<(Build<'a>, Vec<String>)> {
    let space = Coordinates::given(outer, "o", "z", &["m", "n"]);
    let mut e = Emitter::new(cx, lanes, space, Coordinates::new(&[], "i"));
    e.accs = &["acc"];
    let body = nest::pointwise(&mut e)?;
    Ok((e.cx, body))
}

static MUL: BinaryFn = BinaryFn {
    name: "product",
    cpu: Binary1::NONE,
    wgsl: "a * b",
    wgsl_i32: "",
    wgsl_u32: "",
    wgsl_bool: "",
    compares: false,
};

/// A product of matrices as a loop nest with a sum: with a vector, or with next to nothing to reuse, it reads each operand
/// about once from memory, which tiles could not; and teams of threads share each of a few elements.
fn as_nest(g: &Gemm, step: &Step) -> Option<Step> {
    let (
        Loader::Strided { offset: oa, batch: ba, row: ma, col: ka },
        Loader::Strided { offset: ob, batch: bb, row: kb, col: nb },
    ) = (&g.a, &g.b)
    else {
        return None;
    };
    let access = |offset: i64, batch: &[i64], rest: [i64; 3]| Access {
        offset,
        strides: batch.iter().copied().chain(rest).collect(),
    };
    let load = |buf: u16, at: Access| Instr::Load { buf, at, gather: Default::default() };
    let line = |instr: Instr, inner: bool| Line { instr, dtype: DType::F32, inner };
    let mut lines = vec![
        line(load(step.operands[0], access(*oa, ba, [*ma, 0, *ka])), true),
        line(load(step.operands[1], access(*ob, bb, [0, *nb, *kb])), true),
        line(Instr::Binary(&MUL, 0, 1), true),
        line(Instr::Reduce(ReduceOp::Sum, 2), false),
    ];
    // The epilogue follows; its result is the sum.
    let sum = (lines.len() - 1) as Reg;
    let mut now: Vec<Reg> = Vec::with_capacity(step.program.lines.len());
    for l in &step.program.lines {
        if let Instr::Acc(_) = l.instr {
            now.push(sum);
            continue;
        }
        let mut l = l.clone();
        l.instr.map_operands(|r| now[usize::from(r)]);
        now.push(lines.len() as Reg);
        lines.push(l);
    }
    let mut stores = step.program.stores.clone();
    stores.iter_mut().for_each(|s| s.reg = now[usize::from(s.reg)]);
    let nest = Step::nest(&step.space, &[g.k], Program { lines, stores });
    Some(Step { bufs: step.bufs.clone(), ops: step.ops.clone(), at: step.at, ..nest })
}
