//! Loop nests: pointwise work here, what reduces in `rows`.

use askama::Template;

use super::lanes::{quads, single};
use super::render::{Coordinates, Emitter};
use super::{Build, Head, numel, rows, threads, turned};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::error::{Error, Result};
use crate::ir::program::{Instr, Reg};
use crate::ir::step::{Plan, Step};

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
    let reduces = step.program.lines.iter().any(|l| matches!(l.instr, Instr::Reduce(..)));
    match (reduces, step.mask) {
        (true, _) => rows::build(plan, step, caps),
        (false, 0) => Ok(vec![match turned::build(plan, step, caps)? {
            Some(kernel) => kernel,
            None => elementwise(plan, step, caps, None)?,
        }]),
        (false, _) => Err(Error::internal("a nest with an inner space and no reduction")),
    }
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "elementwise.wgsl")]
struct Elementwise {
    head: Head,
    threads: u32,
    /// Whether a thread computes four points.
    quads: bool,
    count: String,
    parts: Option<Parts>,
    body: Vec<String>,
}

impl Named for Elementwise {
    const NAME: &'static str = "elementwise";

    fn variants(&self) -> Vec<String> {
        vec![Self::form(self.quads, self.parts.is_some())]
    }
}

impl Elementwise {
    fn form(quads: bool, parts: bool) -> String {
        let width = if quads { "quads" } else { "singles" };
        format!("{width}{}", if parts { " of partial sums" } else { "" })
    }
}

/// Partial sums that an elementwise kernel adds up for its program's `Acc`.
#[derive(PartialEq, Eq, Hash)]
struct Parts {
    ty: &'static str,
    scratch: usize,
    parts: String,
}

/// The step's program, one thread a point of its outer space (or four points). With `parts`, `Acc` is the sum of that many partial results,
/// which lie one after the other in the step's scratch.
pub(super) fn elementwise(plan: &Plan, step: &Step, caps: &Caps, parts: Option<usize>) -> Result<Dispatch> {
    let (program, extents) = (&step.program, step.outer());
    let lanes = quads(step, program, extents.len().wrapping_sub(1), &extents).unwrap_or_else(|| single(program));
    let (width, total) = (lanes.width(), numel(&extents));
    let count = total / width;
    let mut cx = Build::new(plan, step);
    let count_word = cx.size(count);
    let parts = parts.map(|parts| {
        let ty = if width == 4 { "vec4<f32>" } else { "f32" };
        Parts { ty, scratch: cx.scratch(parts * total, ty, false), parts: cx.size(parts) }
    });
    let mut e = Emitter::new(cx, lanes, Coordinates::new(&extents, "o"), Coordinates::new(&[], "i"));
    e.accs = if parts.is_some() { &["acc"] } else { &[] };
    let body = pointwise(&mut e)?;
    let threads = threads(caps);
    let shader = Elementwise { head: e.cx.head(), threads, quads: width == 4, count: count_word, parts, body };
    Ok(e.cx.kernel(shader, count.div_ceil(threads as usize)))
}

/// All statements of a program of one level: coordinates, addresses, lines, stores.
pub(super) fn pointwise(e: &mut Emitter) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for reg in 0..e.lanes.program.lines.len() {
        e.line(reg as Reg, &mut lines)?;
    }
    for store in e.lanes.program.stores.clone() {
        e.store(&store, &mut lines)?;
    }
    let mut body = Vec::new();
    e.outer.decode(&mut e.cx, &mut body);
    body.append(&mut e.hoisted);
    body.append(&mut lines);
    Ok(body)
}

/// Every variant of pointwise work that a device may get.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<String> {
    let forms = [(false, false), (false, true), (true, false), (true, true)];
    let there = forms.into_iter().filter(|&(_, parts)| !parts || !caps.software);
    there.map(|(quads, parts)| format!("elementwise {}", Elementwise::form(quads, parts))).collect()
}
