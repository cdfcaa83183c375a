//! Loop nests: pointwise work, reductions, and rows of several reductions.

use askama::Template;

#[cfg(test)]
use super::STORED;
use super::combining::Combining;
use super::lanes::{Lanes, quads, single};
use super::render::{Coordinates, Emitter};
use super::tiling::{Choice, Extents, Layout, column_major, fan};
use super::{Build, Head, numel, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Result};
#[cfg(test)]
use crate::ir::program::ReduceOp;
use crate::ir::program::{Instr, Program, Reg, Store};
use crate::ir::step::{Plan, Step};

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
    let reduces = step.program.lines.iter().any(|l| matches!(l.instr, Instr::Reduce(..)));
    match (reduces, step.mask) {
        (true, _) => rows(plan, step, caps),
        (false, 0) => Ok(vec![elementwise(plan, step, caps, None)?]),
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
    let (program, mut extents) = (&step.program, step.outer().to_vec());
    let lanes = quads(step, program, false, &extents);
    let width = if lanes.is_some() { 4 } else { 1 };
    let total = numel(&extents);
    if let (4, Some(last)) = (width, extents.last_mut()) {
        *last /= 4;
    }
    let count = numel(&extents);
    let mut cx = Build::new(plan, step);
    let count_word = cx.size(count);
    let parts = parts.map(|parts| {
        let ty = if width == 4 { "vec4<f32>" } else { "f32" };
        Parts { ty, scratch: cx.scratch(parts * total, ty, false), parts: cx.size(parts) }
    });
    let lanes = lanes.unwrap_or_else(|| single(program));
    let mut e = Emitter::new(cx, lanes, width, Coordinates::new(&extents, "o"), Coordinates::new(&[], "i"));
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

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "nest.wgsl")]
struct Rows {
    head: Head,
    /// Threads of a work-group, threads of a team, teams of a work-group.
    threads: u32,
    team: u32,
    rows: u32,
    /// Whether neighbouring threads take neighbouring outer points.
    column: bool,
    subgroups: bool,
    /// Whether a thread takes four points of the inner space at a time.
    quads: bool,
    shared: Vec<(String, &'static str)>,
    groups: String,
    outer: String,
    inner: String,
    split: Option<Split>,
    setup: Vec<String>,
    loops: Vec<Sweep>,
    stores: Vec<String>,
    /// Whether outer stores must wait for all threads' loads.
    settle: bool,
}

impl Named for Rows {
    const NAME: &'static str = "nest";

    fn variants(&self) -> Vec<String> {
        let layout = Layout { team: self.team, rows: self.rows, column: self.column };
        let sweeps = if self.loops.len() > 1 { "several sweeps" } else { "one sweep" };
        let part = if self.split.is_some() { "partial" } else { sweeps };
        let width = if self.quads { "quads" } else { "singles" };
        let how = layout.combines(self.subgroups);
        let accs = self.loops.iter().flat_map(|l| &l.accs);
        let reductions = accs.map(|a| format!("{}, {how}", a.by.form()));
        [layout.form(self.subgroups, part), format!("{width} {part}")].into_iter().chain(reductions).collect()
    }
}

impl Rows {
    /// How many values of a team are left for the last level of its combining; its size, where one level does.
    fn fan(&self) -> u32 {
        fan(self.team)
    }

    /// The distance of a team's neighbours in the work-group's arrays.
    fn pitch(&self) -> u32 {
        if self.column { self.rows } else { 1 }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Split {
    tiles: String,
    chunk: String,
}

/// One walk over the inner space.
#[derive(Default, PartialEq, Eq, Hash)]
struct Sweep {
    body: Vec<String>,
    accs: Vec<Acc>,
    after: Vec<String>,
}

/// A reduction within a sweep.
#[derive(PartialEq, Eq, Hash)]
struct Acc {
    by: Combining,
    names: Vec<String>,
    ty: &'static str,
    identity: &'static str,
    /// The lanes' accumulators in one.
    folded: String,
    /// The team's result, before its conversion to the line's type.
    result: String,
    shared: String,
    /// Statements that combine the result with that of another lane, and with a value of the array.
    shuffle: String,
    gather: String,
}

/// A reduction of a program.
#[derive(Clone, Copy)]
struct Reduction {
    reg: Reg,
    operand: Reg,
    by: Combining,
}

impl Reduction {
    fn new(program: &Program, reg: usize) -> Result<Option<Self>> {
        let Instr::Reduce(op, operand) = program.lines[reg].instr else { return Ok(None) };
        let by = Combining::new(op, program.lines[operand as usize].dtype)?;
        Ok(Some(Reduction { reg: reg as Reg, operand, by }))
    }

    /// The line's value from an accumulator. The arg of an empty row is 0.
    fn finish(self, acc: &str, to: DType) -> String {
        match (self.by.best(), to) {
            (true, _) => format!("select(bitcast<i32>({acc}.index), 0, {acc}.index == 0xffffffffu)"),
            (false, DType::Bool) => format!("({acc} != 0u)"),
            (false, _) => acc.to_string(),
        }
    }

    fn acc(self, width: usize, shared: String) -> Acc {
        let reg = self.reg;
        let names: Vec<String> = match width {
            1 => vec![format!("acc{reg}")],
            _ => (0..width).map(|lane| format!("acc{reg}_{lane}")).collect(),
        };
        let folded = match &names[..] {
            [a, b, c, d] => {
                self.by.combine(&format!("({})", self.by.combine(a, b)), &format!("({})", self.by.combine(c, d)))
            }
            _ => names[0].clone(),
        };
        let result = format!("q{reg}");
        let other = match self.by.best() {
            true => {
                format!(
                    "{}(subgroupShuffleXor({result}.value, h), subgroupShuffleXor({result}.index, h))",
                    self.by.ty()
                )
            }
            false => format!("subgroupShuffleXor({result}, h)"),
        };
        Acc {
            by: self.by,
            folded,
            ty: self.by.ty(),
            identity: self.by.identity(),
            shuffle: format!("{result} = {};", self.by.combine(&result, &other)),
            gather: format!("{result} = {};", self.by.combine(&result, &format!("{shared}[u]"))),
            names,
            result,
            shared,
        }
    }
}

/// The registers that `roots` are computed from, themselves included; `through` reductions, or up to them.
fn closure(program: &Program, roots: impl Iterator<Item = Reg>, through: bool) -> Vec<bool> {
    let mut need = vec![false; program.lines.len()];
    roots.for_each(|r| need[r as usize] = true);
    for at in (0..need.len()).rev() {
        if need[at] && (through || !matches!(program.lines[at].instr, Instr::Reduce(..))) {
            program.lines[at].instr.operands().iter().for_each(|&r| need[r as usize] = true);
        }
    }
    need
}

/// Every variant of nests that a device may get, with up to `accs` reductions.
#[cfg(test)]
pub(super) fn variants(caps: &Caps, accs: usize) -> Vec<String> {
    let elementwise = [(false, false), (false, true), (true, false), (true, true)];
    let parts = |part: bool| !part || !caps.software;
    let pointwise = elementwise.into_iter().filter(|&(_, part)| parts(part));
    let mut out: Vec<String> = pointwise.map(|(q, p)| format!("elementwise {}", Elementwise::form(q, p))).collect();
    let forms = ["one sweep", "several sweeps", "partial"];
    out.extend(forms.iter().flat_map(|part| ["quads", "singles"].map(|width| format!("nest {width} {part}"))));
    for choice in Choice::all(caps, accs) {
        let first = choice.layout;
        let subgroups = first.shuffles(caps);
        let parts = if choice.split.is_some() { &forms[2..] } else { &forms[..2] };
        out.extend(parts.iter().map(|part| format!("nest {}", first.form(subgroups, part))));
        out.extend(choice.split.map(|(_, second)| format!("nest {}", second.form(second.shuffles(caps), forms[0]))));
        for (op, dtype) in ReduceOp::ALL.iter().flat_map(|&op| STORED.map(|dtype| (op, dtype))) {
            let by = Combining::new(op, dtype).expect("a stored type");
            out.push(format!("nest {}, {}", by.form(), first.combines(subgroups)));
        }
    }
    out
}

fn rows(plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
    let (program, column) = (&step.program, column_major(step));
    let width = if !column && quads(step, program, true, &step.inner()).is_some() { 4 } else { 1 };
    let rounds = program.stages().into_iter().max().unwrap_or(0);
    let extents = Extents {
        outer: numel(&step.outer()),
        steps: numel(&step.inner()) / width,
        column,
        accs: program.lines.iter().filter(|l| matches!(l.instr, Instr::Reduce(..))).count(),
        simple: rounds == 1 && !program.stores.iter().any(|s| s.inner),
    };
    laid_out(plan, step, caps, Choice::by_rule(extents, caps))
}

/// A nest with reductions whose layout somebody has chosen.
pub(super) fn laid_out(plan: &Plan, step: &Step, caps: &Caps, choice: Choice) -> Result<Vec<Dispatch>> {
    let Choice { layout, split } = choice;
    let (program, inner) = (&step.program, step.inner());
    let stages = program.stages();
    let lanes = if column_major(step) { None } else { quads(step, program, true, &inner) };
    let width = if lanes.is_some() { 4 } else { 1 };
    let (outer, steps) = (numel(&step.outer()), numel(&inner) / width);
    let lanes = lanes.unwrap_or_else(|| single(program));
    let first = Writer::new(plan, step, lanes, width, layout, stages.clone(), caps);
    let Some((parts, second)) = split else { return Ok(vec![first.whole(outer, steps)?]) };
    let chunk = steps.div_ceil(parts).next_multiple_of(layout.team as usize);
    let parts = steps.div_ceil(chunk);
    let first = first.partial(outer, steps, chunk, parts)?;
    let second = Writer::new(plan, step, single(program), 1, second, stages, caps);
    Ok(vec![first, second.combined(outer, parts)?])
}

/// Writes one kernel of a nest with reductions.
struct Writer<'a> {
    e: Emitter<'a>,
    layout: Layout,
    stages: Vec<u16>,
    /// The lines that some store needs.
    live: Vec<bool>,
    subgroups: bool,
    shared: Vec<(String, &'static str)>,
}

impl<'a> Writer<'a> {
    fn new(
        plan: &'a Plan,
        step: &'a Step,
        lanes: Lanes,
        width: usize,
        layout: Layout,
        stages: Vec<u16>,
        caps: &Caps,
    ) -> Self {
        let mut inner = step.inner().to_vec();
        if let (4, Some(last)) = (width, inner.last_mut()) {
            *last /= 4;
        }
        let (outer, inner) = (Coordinates::new(&step.outer(), "o"), Coordinates::new(&inner, "i"));
        let e = Emitter::new(Build::new(plan, step), lanes, width, outer, inner);
        let subgroups = layout.shuffles(caps);
        let live = closure(&step.program, step.program.stores.iter().map(|s| s.reg), true);
        Writer { e, layout, stages, live, subgroups, shared: Vec::new() }
    }

    fn program(&self) -> &Program {
        &self.e.lanes.program
    }

    /// Whether the program reads the buffer `buf`.
    fn loads(&self, buf: u16) -> bool {
        let id = |buf: u16| self.e.cx.step.bufs[buf as usize];
        self.program().lines.iter().any(|l| matches!(l.instr, Instr::Load { buf: other, .. } if id(other) == id(buf)))
    }

    /// The reductions that end with sweep `s`.
    fn reductions(&self, s: u16) -> Result<Vec<Reduction>> {
        let ends = (0..self.stages.len()).filter(|&at| self.live[at] && self.stages[at] == s + 1);
        ends.filter_map(|at| Reduction::new(self.program(), at).transpose()).collect()
    }

    /// The accumulators of a sweep, their arrays named by type so that sweeps share them.
    fn accs(&mut self, reductions: &[Reduction], width: usize) -> Vec<Acc> {
        let mut out: Vec<Acc> = Vec::new();
        for r in reductions {
            let n = out.iter().filter(|a| a.ty == r.by.ty()).count();
            let name = format!("s_{}_{n}", r.by.ty());
            if !self.shared.iter().any(|(known, _)| *known == name) {
                self.shared.push((name.clone(), r.by.ty()));
            }
            out.push(r.acc(width, name));
        }
        out
    }

    /// Outer lines of a stage among those needed, reductions apart.
    fn outer_lines(&mut self, stage: u16, need: &[bool], out: &mut Vec<String>) -> Result<()> {
        for at in 0..self.stages.len() {
            let line = &self.program().lines[at];
            let wanted = need[at] && !line.inner && self.stages[at] == stage;
            if wanted && !matches!(line.instr, Instr::Reduce(..)) {
                self.e.line(at as Reg, out)?;
            }
        }
        Ok(())
    }

    /// The body of sweep `s`: the inner lines that its reductions and stores need.
    fn sweep(&mut self, s: u16, reductions: &[Reduction], stores: &[Store]) -> Result<Vec<String>> {
        let roots = reductions.iter().map(|r| r.operand).chain(stores.iter().map(|s| s.reg));
        let need = closure(self.program(), roots, true);
        let mut body = Vec::new();
        for at in (0..self.stages.len()).filter(|&at| need[at]) {
            if self.program().lines[at].inner {
                debug_assert!(self.stages[at] <= s);
                self.e.line(at as Reg, &mut body)?;
            }
        }
        for r in reductions {
            let accs = r.acc(self.e.width, String::new()).names;
            for (lane, acc) in accs.iter().enumerate() {
                let index = if self.e.width == 4 { format!("i * 4u + {lane}u") } else { "i".into() };
                let value = r.by.lift(&self.e.name(r.operand, lane), &index);
                body.push(format!("{acc} = {};", r.by.combine(acc, &value)));
            }
        }
        if !stores.is_empty() {
            body.push("if live {".into());
            for store in stores {
                self.e.store(store, &mut body)?;
            }
            body.push("}".into());
        }
        Ok(body)
    }

    fn finish(&self, r: Reduction) -> String {
        format!("let r{} = {};", r.reg, r.finish(&format!("q{}", r.reg), self.e.dtype(r.reg)))
    }

    /// The whole nest in one kernel.
    fn whole(mut self, outer: usize, steps: usize) -> Result<Dispatch> {
        let all: Vec<Store> = self.program().stores.clone();
        let need = self.live.clone();
        // An inner store goes into the sweep in which its value is first known; into the last one where the kernel
        // also loads that buffer, since an earlier store would change what later sweeps read.
        let rounds = self.stages.iter().copied().max().unwrap_or(0);
        let inner: Vec<&Store> = all.iter().filter(|s| s.inner).collect();
        let count = inner.iter().map(|s| self.stages[s.reg as usize] + 1).max().unwrap_or(0).max(rounds);
        let sweep_of = |s: &Store| if self.loads(s.buf) { count - 1 } else { self.stages[s.reg as usize] };
        let placed: Vec<(u16, Store)> = inner.iter().map(|s| (sweep_of(s), (*s).clone())).collect();

        let (mut first, mut loops) = (Vec::new(), Vec::new());
        self.outer_lines(0, &need, &mut first)?;
        for s in 0..count {
            let reductions = self.reductions(s)?;
            let stores: Vec<Store> = placed.iter().filter(|(at, _)| *at == s).map(|(_, store)| store.clone()).collect();
            let body = self.sweep(s, &reductions, &stores)?;
            let mut after: Vec<String> = reductions.iter().map(|&r| self.finish(r)).collect();
            self.outer_lines(s + 1, &need, &mut after)?;
            let width = self.e.width;
            loops.push(Sweep { body, accs: self.accs(&reductions, width), after });
        }
        let mut stores = Vec::new();
        let last: Vec<&Store> = all.iter().filter(|s| !s.inner).collect();
        for store in &last {
            self.e.store(store, &mut stores)?;
        }
        let settle = last.iter().any(|s| self.loads(s.buf));
        let groups = outer.div_ceil(self.layout.rows as usize);
        Ok(self.kernel(outer, steps, groups, None, first, loops, stores, settle))
    }

    /// Reduces `chunk` inner points a work-group, into scratch.
    fn partial(mut self, outer: usize, steps: usize, chunk: usize, parts: usize) -> Result<Dispatch> {
        let reductions = self.reductions(0)?;
        let need = closure(self.program(), reductions.iter().map(|r| r.operand), true);
        let mut first = Vec::new();
        self.outer_lines(0, &need, &mut first)?;
        let body = self.sweep(0, &reductions, &[])?;
        let words: usize = reductions.iter().map(|r| r.by.words()).sum();
        let z = self.e.cx.scratch(words * parts * outer, "u32", true);
        let parts_word = self.e.cx.size(parts);
        let outer_word = self.e.cx.size(outer);
        let packed = reductions.iter().flat_map(|r| r.by.pack(&format!("q{}", r.reg)));
        let stores = packed
            .enumerate()
            .map(|(k, word)| format!("b{z}[({k}u * {parts_word} + part) * {outer_word} + o] = {word};"));
        let stores = stores.collect();
        let width = self.e.width;
        let loops = vec![Sweep { body, accs: self.accs(&reductions, width), after: Vec::new() }];
        let tiles = outer.div_ceil(self.layout.rows as usize);
        let split = Split { tiles: self.e.cx.size(tiles), chunk: self.e.cx.size(chunk) };
        Ok(self.kernel(outer, steps, tiles * parts, Some(split), first, loops, stores, false))
    }

    /// Combines the partial results and runs what follows them.
    fn combined(mut self, outer: usize, parts: usize) -> Result<Dispatch> {
        let reductions = self.reductions(0)?;
        let words: usize = reductions.iter().map(|r| r.by.words()).sum();
        let z = self.e.cx.scratch(words * parts * outer, "u32", false);
        let parts_word = self.e.cx.size(parts);
        let outer_word = self.e.cx.size(outer);
        let (mut body, mut k) = (Vec::new(), 0);
        for r in &reductions {
            let next = |k: usize| format!("b{z}[({k}u * {parts_word} + i) * {outer_word} + o]");
            let read: Vec<String> = (k..k + r.by.words()).map(next).collect();
            k += r.by.words();
            let acc = format!("acc{}", r.reg);
            body.push(format!("{acc} = {};", r.by.combine(&acc, &r.by.unpack(&read))));
        }
        let all = self.program().stores.clone();
        let need = closure(self.program(), all.iter().map(|s| s.reg), false);
        let mut first = Vec::new();
        self.outer_lines(0, &need, &mut first)?;
        let mut after: Vec<String> = reductions.iter().map(|&r| self.finish(r)).collect();
        self.outer_lines(1, &need, &mut after)?;
        let mut stores = Vec::new();
        for store in &all {
            self.e.store(store, &mut stores)?;
        }
        let loops = vec![Sweep { body, accs: self.accs(&reductions, 1), after }];
        let groups = outer.div_ceil(self.layout.rows as usize);
        let settle = all.iter().any(|s| self.loads(s.buf));
        Ok(self.kernel(outer, parts, groups, None, first, loops, stores, settle))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the template")]
    fn kernel(
        mut self,
        outer: usize,
        steps: usize,
        groups: usize,
        split: Option<Split>,
        first: Vec<String>,
        mut loops: Vec<Sweep>,
        stores: Vec<String>,
        settle: bool,
    ) -> Dispatch {
        let e = &mut self.e;
        let (mut setup, mut decode) = (Vec::new(), Vec::new());
        e.outer.decode(&mut e.cx, &mut setup);
        e.inner.decode(&mut e.cx, &mut decode);
        for sweep in &mut loops {
            sweep.body.splice(0..0, decode.iter().cloned());
        }
        setup.append(&mut e.hoisted);
        setup.extend(first);
        let (groups_word, outer, inner) = (e.cx.size(groups), e.cx.size(outer), e.cx.size(steps));
        let Layout { team, rows, column } = self.layout;
        let shader = Rows {
            head: e.cx.head(),
            threads: self.layout.threads(),
            team,
            rows,
            column,
            subgroups: self.subgroups,
            quads: self.e.width == 4,
            shared: self.shared,
            groups: groups_word,
            outer,
            inner,
            split,
            setup,
            loops,
            stores,
            settle,
        };
        self.e.cx.kernel(shader, groups)
    }
}
