//! Scatter-add: embedding gradients, `index_add`.

use askama::Template;

use super::lanes::single;
use super::nest::pointwise;
use super::render::{Coordinates, Emitter};
use super::{Build, Head, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::scatter::Scatter;
use crate::ir::step::{Plan, Step};

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scatter.wgsl")]
struct ScatterAdd {
    head: Head,
    threads: u32,
    /// Whether indices are `i32`.
    signed: bool,
    /// Words: elements of the result, and its inner and indexed extents; how many indices.
    count: String,
    inner: String,
    extent: String,
    indices: String,
    base: usize,
    /// The lists of the first kernel, or else the indices themselves.
    links: Option<usize>,
    index: usize,
    src: usize,
    body: Vec<String>,
}

impl Named for ScatterAdd {
    const NAME: &'static str = "scatter";

    fn variants(&self) -> Vec<String> {
        vec![form(self.links.is_some(), self.signed)]
    }
}

fn form(listed: bool, signed: bool) -> String {
    format!("by {} of {} indices", if listed { "lists" } else { "looks" }, if signed { "signed" } else { "unsigned" })
}

/// Every variant of scatter-adds.
#[cfg(test)]
pub(super) fn variants() -> Vec<String> {
    let both = [false, true];
    let sums = both.iter().flat_map(|&listed| both.map(|signed| format!("scatter {}", form(listed, signed))));
    sums.chain(both.map(|signed| format!("scatter_links {}", form(true, signed)))).collect()
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scatter_links.wgsl")]
struct ScatterLinks {
    head: Head,
    threads: u32,
    signed: bool,
    extent: String,
    indices: String,
    index: usize,
    links: usize,
}

impl Named for ScatterLinks {
    const NAME: &'static str = "scatter_links";

    fn variants(&self) -> Vec<String> {
        vec![form(true, self.signed)]
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, s: &Scatter) -> Result<Vec<Dispatch>> {
    let count = s.numel();
    let [base, index_buf, src] = step.operands[..] else {
        return Err(Error::internal("a scatter of other than three"));
    };
    let index_type = plan.buffers[usize::from(step.bufs[usize::from(index_buf)])].dtype;
    if !index_type.is_int() || s.dtype == DType::Bool {
        return Err(Error::internal(format!("scatter of {} by {index_type}", s.dtype)));
    }
    let (threads, signed) = (threads(caps), index_type == DType::I32);
    let mut kernels = Vec::new();
    // With lists each index is looked at by the places and the other indices, not by every element of the result.
    let listed = s.count > 16 && s.outer * s.inner > 4;
    let links = s.extent + s.count;
    if listed {
        let mut cx = Build::new(plan, step);
        let index = cx.buffer(index_buf, false, false)?;
        let scratch = cx.scratch(links, "u32", true);
        let (extent, indices) = (cx.size(s.extent), cx.size(s.count));
        let shader = ScatterLinks { head: cx.head(), threads, signed, extent, indices, index, links: scratch };
        kernels.push(cx.kernel(shader, links.div_ceil(threads as usize)));
    }
    let mut cx = Build::new(plan, step);
    let base = cx.buffer(base, false, false)?;
    let lists = listed.then(|| cx.scratch(links, "u32", false));
    let index = lists.map_or_else(|| cx.buffer(index_buf, false, false), Ok)?;
    let src = cx.buffer(src, false, false)?;
    let (words, indices) = ([count, s.inner, s.extent].map(|n| cx.size(n)), cx.size(s.count));
    let space = Coordinates::new(&[count], "o");
    let mut e = Emitter::new(cx, single(&step.program), 1, space, Coordinates::new(&[], "i"));
    e.accs = &["acc"];
    let body = pointwise(&mut e)?;
    let [count_word, inner, extent] = words;
    let shader = ScatterAdd {
        head: e.cx.head(),
        threads,
        signed,
        count: count_word,
        inner,
        extent,
        indices,
        base,
        links: lists,
        index,
        src,
        body,
    };
    kernels.push(e.cx.kernel(shader, count.div_ceil(threads as usize)));
    Ok(kernels)
}
