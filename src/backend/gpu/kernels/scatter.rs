//! Scatter-add: embedding gradients, `index_add`.

use askama::Template;

use super::lanes::{quads, single};
use super::nest::pointwise;
use super::radix::{self, Keys};
use super::render::{Coordinates, Emitter};
use super::{Build, Head, storage_type, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::scatter::Scatter;
use crate::ir::step::{Plan, Step};

/// Up to so many indices each element of the result looks at all of them; more are put in order first.
const FEW: usize = 32;
/// Scratch: where places begin among the ordered indices, and the sums of chunks.
const RUNS: u16 = radix::FREE;
const SUMS: u16 = radix::FREE + 1;

/// How elements are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum How {
    /// Among all.
    Looks,
    /// In chunks that belong to one place.
    Chunks,
    /// In the run of their place.
    Runs,
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scatter.wgsl")]
struct ScatterAdd {
    head: Head,
    threads: u32,
    how: How,
    /// Whether a thread computes four elements, and the type of what it adds.
    quads: bool,
    ty: &'static str,
    /// Whether indices are `i32`.
    signed: bool,
    /// How many of the ordered indices make a chunk.
    chunk: u32,
    /// Words: threads, inner and indexed extents (or chunks) of what they compute, indices, chunks.
    count: String,
    inner: String,
    extent: String,
    indices: String,
    chunks: String,
    base: usize,
    /// The ordered indices, or else the indices themselves.
    pairs: usize,
    runs: usize,
    sums: Option<usize>,
    src: usize,
    body: Vec<String>,
}

impl Named for ScatterAdd {
    const NAME: &'static str = "scatter";

    fn variants(&self) -> Vec<String> {
        let kind = if self.how == How::Looks { indices(self.signed) } else { "indices" };
        vec![self.how.form(self.quads, self.sums.is_some(), kind)]
    }
}

impl How {
    fn form(self, quads: bool, sums: bool, indices: &str) -> String {
        let (sums, width) = (if sums { " and sums" } else { "" }, if quads { "quads" } else { "singles" });
        format!("by {self:?}{sums} of {indices}, {width}")
    }
}

fn indices(signed: bool) -> &'static str {
    if signed { "signed indices" } else { "unsigned indices" }
}

/// Every variant of scatter-adds.
#[cfg(test)]
pub(super) fn variants() -> Vec<String> {
    let both = [false, true];
    let kinds = both.map(indices);
    let looks = kinds.iter().map(|kind| (How::Looks, false, *kind));
    let ordered = [(How::Chunks, false), (How::Runs, false), (How::Runs, true)].map(|(h, s)| (h, s, "indices"));
    let sums = looks.chain(ordered).flat_map(|(how, sums, of)| both.map(|quads| how.form(quads, sums, of)));
    let sums = sums.map(|form| format!("scatter {form}")).chain(["scatter_runs".into()]);
    sums.chain(kinds.iter().flat_map(|kind| radix::variants(kind, true))).collect()
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scatter_runs.wgsl")]
struct ScatterRuns {
    head: Head,
    threads: u32,
    extent: String,
    indices: String,
    pairs: usize,
    runs: usize,
}

impl Named for ScatterRuns {
    const NAME: &'static str = "scatter_runs";
}

struct Adder<'a> {
    plan: &'a Plan,
    step: &'a Step,
    caps: &'a Caps,
    scatter: &'a Scatter,
    signed: bool,
    /// The indices in order, where they are many.
    keys: Option<&'a Keys<'a>>,
    /// How many of them make a chunk; long runs are added in two levels.
    chunk: usize,
}

impl Adder<'_> {
    fn chunks(&self) -> usize {
        self.scatter.count / self.chunk
    }

    /// Whether that is worth a kernel.
    fn cuts(&self) -> bool {
        self.chunks() >= 8
    }

    fn runs(&self) -> Result<Dispatch> {
        let mut cx = Build::new(self.plan, self.step);
        let Scatter { extent, count, .. } = *self.scatter;
        let pairs = self.keys.map_or(0, |keys| keys.ordered(&mut cx, self.caps));
        let runs = cx.scratch_of(RUNS, extent + 1, "u32", true);
        let [extent_word, indices] = [extent, count].map(|v| cx.size(v));
        let threads = threads(self.caps);
        let shader = ScatterRuns { head: cx.head(), threads, extent: extent_word, indices, pairs, runs };
        Ok(cx.kernel(shader, (extent + 1).div_ceil(threads as usize)))
    }

    fn kernel(&self, how: How) -> Result<Dispatch> {
        let (plan, step, s) = (self.plan, self.step, self.scatter);
        let lanes = if s.inner.is_multiple_of(4) { quads(step, &step.program, 0, &[s.numel()]) } else { None };
        let lanes = lanes.unwrap_or_else(|| single(&step.program));
        let width = lanes.width();
        let ty = storage_type(s.dtype, width == 4)?;
        let mut cx = Build::new(plan, step);
        let sums = |cx: &mut Build, write| cx.scratch_of(SUMS, s.outer * self.chunks() * s.inner, ty, write);
        let base = match how {
            How::Chunks => sums(&mut cx, true),
            _ => cx.buffer(step.operands[0], width == 4, false)?,
        };
        let pairs = match self.keys {
            Some(keys) => keys.ordered(&mut cx, self.caps),
            None => cx.buffer(step.operands[1], false, false)?,
        };
        let src = cx.buffer(step.operands[2], width == 4, false)?;
        let (mut runs, mut of_chunks) = (0, None);
        if how == How::Runs {
            runs = cx.scratch_of(RUNS, s.extent + 1, "u32", false);
            of_chunks = self.cuts().then(|| sums(&mut cx, false));
        }
        let (inner, extent) = (s.inner / width, if how == How::Chunks { self.chunks() } else { s.extent });
        let count = s.outer * extent * inner;
        let words = [count, inner, extent, s.count, self.chunks()].map(|n| cx.size(n));
        let mut body = Vec::new();
        if how != How::Chunks {
            let space = Coordinates::new(&[s.numel()], "o");
            let mut e = Emitter::new(cx, lanes, space, Coordinates::new(&[], "i"));
            e.accs = &["acc"];
            body = pointwise(&mut e)?;
            cx = e.cx;
        }
        let [count_word, inner, extent, indices, chunks] = words;
        let threads = threads(self.caps);
        let shader = ScatterAdd {
            head: cx.head(),
            threads,
            how,
            quads: width == 4,
            ty,
            signed: self.signed,
            chunk: self.chunk as u32,
            count: count_word,
            inner,
            extent,
            indices,
            chunks,
            base,
            pairs,
            runs,
            sums: of_chunks,
            src,
            body,
        };
        Ok(cx.kernel(shader, count.div_ceil(threads as usize)))
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, s: &Scatter) -> Result<Vec<Dispatch>> {
    let [_, index, _] = step.operands[..] else {
        return Err(Error::internal("a scatter of other than three"));
    };
    let index_type = plan.buffers[usize::from(step.bufs[usize::from(index)])].dtype;
    if !index_type.is_int() || s.dtype == DType::Bool {
        return Err(Error::internal(format!("scatter of {} by {index_type}", s.dtype)));
    }
    let signed = index_type == DType::I32;
    // About the root of the number of indices, so that no thread adds many more than that.
    let chunk = 1 << s.count.max(1).ilog2().div_ceil(2).clamp(5, 10);
    let adder = Adder { plan, step, caps, scatter: s, signed, keys: None, chunk };
    if s.count <= FEW {
        return Ok(vec![adder.kernel(How::Looks)?]);
    }
    let key = |cx: &mut Build, _: &str| {
        let (b, extent) = (cx.buffer(index, false, false)?, cx.size(s.extent));
        let index = if signed { format!("k_wrap(b{b}[place], {extent})") } else { format!("b{b}[place]") };
        // What is outside comes last.
        Ok(format!("key = min({index}, {extent});"))
    };
    let bits = (s.extent as u32).ilog2() + 1;
    let keys = Keys { plan, step, rows: 1, extent: s.count, bits, of: indices(signed).into(), key: &key };
    let adder = Adder { keys: Some(&keys), ..adder };
    let mut out = keys.order(caps)?;
    out.push(adder.runs()?);
    if adder.cuts() {
        out.push(adder.kernel(How::Chunks)?);
    }
    out.push(adder.kernel(How::Runs)?);
    Ok(out)
}
