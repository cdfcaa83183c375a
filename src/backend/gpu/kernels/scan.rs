//! Scans along an axis.

use askama::Template;

use super::combining::Combining;
use super::lanes::single;
use super::nest::pointwise;
use super::render::{Coordinates, Emitter};
use super::{Build, Head, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::ReduceOp;
use crate::ir::scan::{Scan, ScanOp};
use crate::ir::step::{Plan, Step};

/// Work-groups that fill a large GPU; with fewer, lines are cut into parts.
const ENOUGH_GROUPS: usize = 256;
/// Lines shorter than this are not worth a work-group.
const SHORT: usize = 128;

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scan.wgsl")]
struct Line {
    head: Head,
    threads: u32,
    what: &'static str,
    carried: Carried,
    state: &'static str,
    identity: &'static str,
    load: String,
    backwards: bool,
    /// Whether a thread walks a whole line.
    serial: bool,
    /// Whether only the parts' totals are wanted.
    partial: bool,
    parts: Option<Parts>,
    /// Words: how many lines, elements of a line, elements beside the axis, work-groups.
    lines: String,
    extent: String,
    inner: String,
    groups: String,
    body: Vec<String>,
}

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    count: String,
    chunk: String,
    scratch: usize,
}

impl Named for Line {
    const NAME: &'static str = "scan";

    fn variants(&self) -> Vec<String> {
        let form = match (self.serial, self.partial, &self.parts) {
            (true, ..) => SERIAL,
            (_, true, _) => TOTALS,
            (.., Some(_)) => PARTS,
            _ => LINES,
        };
        let way = if self.backwards { "backwards" } else { "forwards" };
        vec![format!("{}, {form}", self.carried.form()), format!("{way}, {form}")]
    }
}

const SERIAL: &str = "a thread a line";
const LINES: &str = "a work-group a line";
const TOTALS: &str = "totals of parts";
const PARTS: &str = "a work-group a part";

/// Every variant of scans that a device may get.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<String> {
    let forms = if caps.software { &[SERIAL][..] } else { &[SERIAL, LINES, TOTALS, PARTS] };
    let mut out: Vec<String> = Vec::new();
    for form in forms {
        out.extend(["forwards", "backwards"].map(|way| format!("scan {way}, {form}")));
        for (&op, dtype) in ScanOp::ALL.iter().flat_map(|op| super::STORED.map(|dtype| (op, dtype))) {
            if dtype != DType::Bool && (op != ScanOp::Linear || dtype == DType::F32) {
                let carried = Carried::new(op, dtype).expect("a stored type");
                out.push(format!("scan {}, {form}", carried.form()));
                out.extend((*form == PARTS).then(|| format!("scan_parts {}", carried.form())));
            }
        }
    }
    out
}

impl Line {
    fn combine(&self, a: &str, b: &str) -> String {
        self.carried.combine(a, b)
    }
}

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "scan_parts.wgsl")]
struct Before {
    head: Head,
    threads: u32,
    carried: Carried,
    scratch: usize,
    state: &'static str,
    identity: &'static str,
    combine: String,
    lines: String,
    parts: String,
}

impl Named for Before {
    const NAME: &'static str = "scan_parts";

    fn variants(&self) -> Vec<String> {
        vec![self.carried.form()]
    }
}

/// What goes from element to element.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Carried {
    /// Combined as in a reduction; extremes carry their places.
    Combined(Combining),
    /// The line `x y[i - 1] + y` through which what comes before goes.
    Line,
}

impl Carried {
    fn new(op: ScanOp, dtype: DType) -> Result<Self> {
        let op = match op {
            ScanOp::Sum => ReduceOp::Sum,
            ScanOp::Prod => ReduceOp::Prod,
            ScanOp::Max => ReduceOp::ArgMax,
            ScanOp::Min => ReduceOp::ArgMin,
            ScanOp::Linear => return Ok(Carried::Line),
        };
        Combining::new(op, dtype).map(Carried::Combined)
    }

    /// What it is, for the list of kernels' variants.
    fn form(self) -> String {
        match self {
            Carried::Combined(by) => by.form(),
            Carried::Line => "a recurrence".into(),
        }
    }

    /// Its WGSL type.
    fn state(self) -> &'static str {
        match self {
            Carried::Combined(by) => by.ty(),
            Carried::Line => "vec2<f32>",
        }
    }

    fn identity(self) -> &'static str {
        match self {
            Carried::Combined(by) => by.identity(),
            Carried::Line => "vec2<f32>(1.0, 0.0)",
        }
    }

    /// The words of one.
    fn words(self) -> usize {
        match self {
            Carried::Combined(by) => by.words(),
            Carried::Line => 2,
        }
    }

    /// `a` and, after it, `b`.
    fn combine(self, a: &str, b: &str) -> String {
        match self {
            Carried::Combined(by) => by.combine(a, b),
            Carried::Line => format!("vec2<f32>({a}.x * {b}.x, {b}.x * {a}.y + {b}.y)"),
        }
    }

    /// The names of the results, from the state `acc`.
    fn results(self) -> &'static [&'static str] {
        match self {
            Carried::Combined(by) if by.best() => &["acc.value", "place"],
            Carried::Combined(_) => &["acc"],
            Carried::Line => &["acc.y"],
        }
    }

    /// The element at `o`, which is the `j`th that is met: of equals along the way the first wins, also backwards.
    fn load(self, buffers: &[usize]) -> String {
        let first = format!("b{}[o]", buffers[0]);
        match self {
            Carried::Combined(by) => by.lift(&first, "j"),
            Carried::Line => format!("vec2<f32>({first}, b{}[o])", buffers[1]),
        }
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, scan: &Scan) -> Result<Vec<Dispatch>> {
    let wanted = if scan.op == ScanOp::Linear { 2 } else { 1 };
    if step.operands.len() != wanted || scan.dtype == DType::Bool || (wanted == 2 && scan.dtype != DType::F32) {
        return Err(Error::internal(format!("{} of {} {}", scan.name(), step.operands.len(), scan.dtype)));
    }
    let carried = Carried::new(scan.op, scan.dtype)?;
    let Scan { outer, extent, inner, backwards, .. } = *scan;
    let lines = Lines { plan, step, caps, what: scan.name(), carried, outer, extent, inner, backwards };
    let bind = |cx: &mut Build, _| step.operands.iter().map(|&buf| cx.buffer(buf, false, false)).collect();
    lines.kernels(&bind, &|cx, _, extent| {
        let mut e =
            Emitter::new(cx, single(&step.program), Coordinates::new(&step.space, "o"), Coordinates::new(&[], "i"));
        e.accs = carried.results();
        let mut body = pointwise(&mut e)?;
        if carried.results().contains(&"place") {
            let place = if backwards { format!("{extent} - 1u - acc.index") } else { "acc.index".into() };
            body.insert(0, format!("let place = bitcast<i32>({place});"));
        }
        Ok((e.cx, body))
    })
}

/// Replaces each `u32` of `lines` by the sum of those before it in its line; `bind` binds them.
pub(super) fn before(
    plan: &Plan,
    step: &Step,
    caps: &Caps,
    [outer, extent]: [usize; 2],
    bind: &dyn Fn(&mut Build, bool) -> usize,
) -> Result<Vec<Dispatch>> {
    let carried = Carried::new(ScanOp::Sum, DType::U32)?;
    let lines = Lines { plan, step, caps, what: "sum", carried, outer, extent, inner: 1, backwards: false };
    lines.kernels(&|cx, write| Ok(vec![bind(cx, write)]), &|cx, buffers, _| {
        let x = buffers[0];
        Ok((cx, vec![format!("b{x}[o] = acc - b{x}[o];")]))
    })
}

/// A scan along the middle axis of (outer, extent, inner).
struct Lines<'a> {
    plan: &'a Plan,
    step: &'a Step,
    caps: &'a Caps,
    what: &'static str,
    carried: Carried,
    outer: usize,
    extent: usize,
    inner: usize,
    backwards: bool,
}

impl Lines<'_> {
    /// The kernels: `bind` binds what is scanned, `true` where the kernel also writes; `body` gives the statements for each
    /// element, from those buffers and the word of the extent.
    fn kernels<'b>(
        &'b self,
        bind: &dyn Fn(&mut Build, bool) -> Result<Vec<usize>>,
        body: &dyn Fn(Build<'b>, &[usize], &str) -> Result<(Build<'b>, Vec<String>)>,
    ) -> Result<Vec<Dispatch>> {
        let &Lines { plan, step, caps, carried, .. } = self;
        let lines = self.outer * self.inner;
        let width = threads(caps);
        let tile = 4 * width as usize;
        let serial = caps.software || self.extent < SHORT || self.inner >= 32 && lines >= 4 * tile;
        let parts = match serial {
            true => 1,
            false => (ENOUGH_GROUPS / lines).min(self.extent / (2 * tile)).max(1),
        };
        let chunk = self.extent.div_ceil(parts).next_multiple_of(tile);
        let parts = self.extent.div_ceil(chunk).max(1);
        let kernel = |partial: bool| -> Result<Dispatch> {
            let mut cx = Build::new(plan, step);
            let buffers = bind(&mut cx, !partial)?;
            let groups = if serial { lines.div_ceil(width as usize) } else { lines * parts };
            let parts = (parts > 1).then(|| Parts {
                count: cx.size(parts),
                chunk: cx.size(chunk),
                scratch: cx.scratch(lines * parts * carried.words(), carried.state(), partial),
            });
            let (lines, extent, inner) = (cx.size(lines), cx.size(self.extent), cx.size(self.inner));
            let groups_word = cx.size(groups);
            let (cx, body) = if partial { (cx, Vec::new()) } else { body(cx, &buffers, &extent)? };
            let shader = Line {
                head: cx.head(),
                threads: width,
                what: self.what,
                carried,
                state: carried.state(),
                identity: carried.identity(),
                load: carried.load(&buffers),
                backwards: self.backwards,
                serial,
                partial,
                parts,
                lines,
                extent,
                inner,
                groups: groups_word,
                body,
            };
            Ok(cx.kernel(shader, groups))
        };
        if parts == 1 {
            return Ok(vec![kernel(false)?]);
        }
        let mut cx = Build::new(plan, step);
        let scratch = cx.scratch(lines * parts * carried.words(), carried.state(), true);
        let (lines_word, parts_word) = (cx.size(lines), cx.size(parts));
        let before = Before {
            head: cx.head(),
            threads: width,
            carried,
            scratch,
            state: carried.state(),
            identity: carried.identity(),
            combine: carried.combine("acc", "x"),
            lines: lines_word,
            parts: parts_word,
        };
        let before = cx.kernel(before, lines.div_ceil(width as usize));
        Ok(vec![kernel(true)?, before, kernel(false)?])
    }
}
