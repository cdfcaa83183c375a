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
    let lines = scan.outer * scan.inner;
    let width = threads(caps);
    let tile = 4 * width as usize;
    let serial = caps.software || scan.extent < SHORT || scan.inner >= 32 && lines >= 4 * tile;
    let parts = match serial {
        true => 1,
        false => (ENOUGH_GROUPS / lines).min(scan.extent / (2 * tile)).max(1),
    };
    let chunk = scan.extent.div_ceil(parts).next_multiple_of(tile);
    let parts = scan.extent.div_ceil(chunk).max(1);
    let kernel = |partial: bool| -> Result<Dispatch> {
        let mut cx = Build::new(plan, step);
        let buffers = step.operands.iter().map(|&buf| cx.buffer(buf, false, false)).collect::<Result<Vec<_>>>()?;
        let groups = if serial { lines.div_ceil(width as usize) } else { lines * parts };
        let parts = (parts > 1).then(|| Parts {
            count: cx.size(parts),
            chunk: cx.size(chunk),
            scratch: cx.scratch(lines * parts * carried.words(), carried.state(), partial),
        });
        let (lines, extent, inner) = (cx.size(lines), cx.size(scan.extent), cx.size(scan.inner));
        let groups_word = cx.size(groups);
        let mut e =
            Emitter::new(cx, single(&step.program), 1, Coordinates::new(&step.space, "o"), Coordinates::new(&[], "i"));
        e.accs = carried.results();
        let mut body = if partial { Vec::new() } else { pointwise(&mut e)? };
        if carried.results().contains(&"place") && !partial {
            let place = if scan.backwards { format!("{extent} - 1u - acc.index") } else { "acc.index".into() };
            body.insert(0, format!("let place = bitcast<i32>({place});"));
        }
        let shader = Line {
            head: e.cx.head(),
            threads: width,
            what: scan.name(),
            carried,
            state: carried.state(),
            identity: carried.identity(),
            load: carried.load(&buffers),
            backwards: scan.backwards,
            serial,
            partial,
            parts,
            lines,
            extent,
            inner,
            groups: groups_word,
            body,
        };
        Ok(e.cx.kernel(shader, groups))
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
