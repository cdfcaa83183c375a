//! Loop nests that reduce: sums, softmax, norms, losses, and their gradients.

use askama::Template;

#[cfg(test)]
use super::STORED;
use super::combining::Combining;
use super::lanes::{Lanes, quads, single};
use super::render::{Coordinates, Emitter};
use super::sweeps::{Sweeps, closure, loads};
#[cfg(test)]
use super::tiling::Split;
use super::tiling::{Choice, Extents, Layout, chunk, column_major, fan};
use super::walk::{Body, Copies, Walk};
use super::{Build, Head, numel};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::Result;
#[cfg(test)]
use crate::ir::program::ReduceOp;
use crate::ir::program::{Instr, Line, Program, Reg, Store};
use crate::ir::step::{Plan, Step};

/// Statements of a step up to which a loop takes four steps at a time.
const SHORT: usize = 64;

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
    /// Whether a thread takes four points at a time: of the inner space, or with `column` of the outer one.
    quads: bool,
    shared: Vec<(String, &'static str)>,
    groups: String,
    outer: String,
    inner: String,
    part: Option<Part>,
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
        let part = if self.part.is_some() { "partial" } else { sweeps };
        let how = layout.combines(self.subgroups);
        let accs = self.loops.iter().flat_map(|l| &l.accs);
        let reductions = accs.map(|a| format!("{}, {how}", a.by.form()));
        let walks = self.loops.iter().map(|l| format!("{} {part}", l.form));
        let width = format!("{} {part}", width(self.quads, self.column));
        [layout.form(self.subgroups, part), width].into_iter().chain(walks).chain(reductions).collect()
    }
}

fn width(quads: bool, column: bool) -> &'static str {
    match (quads, column) {
        (false, _) => "singles",
        (true, false) => "quads",
        (true, true) => "quads of columns",
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

/// The part of the inner space that a work-group takes.
#[derive(PartialEq, Eq, Hash)]
struct Part {
    tiles: String,
    chunk: String,
}

/// One walk over the inner space.
#[derive(PartialEq, Eq, Hash)]
struct Sweep {
    form: &'static str,
    walk: Vec<String>,
    accs: Vec<Acc>,
    after: Vec<String>,
}

/// A sweep before its steps are written.
struct Draft {
    step: Body,
    /// Statements of a step, as compilers count them.
    cost: usize,
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

impl Acc {
    /// Of the accumulators `names`, with the array `shared`.
    fn new(by: Combining, names: Vec<String>, result: String, shared: String) -> Self {
        let folded = match &names[..] {
            [a, b, c, d] => by.combine(&format!("({})", by.combine(a, b)), &format!("({})", by.combine(c, d))),
            _ => names[0].clone(),
        };
        let other = match by.best() {
            true => {
                format!("{}(subgroupShuffleXor({result}.value, h), subgroupShuffleXor({result}.index, h))", by.ty())
            }
            false => format!("subgroupShuffleXor({result}, h)"),
        };
        Acc {
            by,
            folded,
            ty: by.ty(),
            identity: by.identity(),
            shuffle: format!("{result} = {};", by.combine(&result, &other)),
            gather: format!("{result} = {};", by.combine(&result, &format!("{shared}[u]"))),
            names,
            result,
            shared,
        }
    }
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
}

/// Every variant of nests with up to `accs` reductions that a device may get.
#[cfg(test)]
pub(super) fn variants(caps: &Caps, accs: usize) -> Vec<String> {
    let forms = ["one sweep", "several sweeps", "partial"];
    let mut out: Vec<String> = Vec::new();
    for part in forms {
        out.extend([(false, false), (true, false), (true, true)].map(|(q, c)| format!("{} {part}", width(q, c))));
        let loops = [false, true].map(|four| Walk::Loop { four });
        let written = [1, 2].map(|whole| Walk::Written { steps: 2, whole });
        let walks = if caps.software { &loops[..1] } else { &[loops, written].concat() };
        out.extend(walks.iter().map(|walk| format!("{} {part}", walk.form())));
    }
    for choice in Choice::all(caps, accs) {
        let first = choice.layout;
        let subgroups = first.shuffles(caps);
        let parts = if choice.split.is_some() { &forms[2..] } else { &forms[..2] };
        out.extend(parts.iter().map(|part| first.form(subgroups, part)));
        out.extend(choice.split.map(|Split { second, .. }| second.form(second.shuffles(caps), forms[0])));
        for (op, dtype) in ReduceOp::ALL.iter().flat_map(|&op| STORED.map(|dtype| (op, dtype))) {
            let by = Combining::new(op, dtype).expect("a stored type");
            out.push(format!("{}, {}", by.form(), first.combines(subgroups)));
        }
    }
    out.into_iter().map(|form| format!("nest {form}")).collect()
}

/// Four neighbours a thread where that is possible, along the direction in which memory is walked.
fn lanes(step: &Step) -> Lanes {
    let (outer, inner) = (step.outer(), step.inner());
    let space: Vec<usize> = outer.iter().chain(&inner).copied().collect();
    let along = match column_major(step) {
        true => outer.iter().rposition(|&e| e != 1),
        false => (!inner.is_empty()).then(|| space.len() - 1),
    };
    along.and_then(|d| quads(step, &step.program, d, &space)).unwrap_or_else(|| single(&step.program))
}

/// What threads take at a time, of the outer and of the inner space.
fn extents(step: &Step, lanes: &Lanes) -> (usize, usize) {
    let (outer, inner) = (step.outer(), step.inner());
    let of = |inner: bool| if lanes.along.is_some_and(|d| (d >= outer.len()) == inner) { 4 } else { 1 };
    (numel(&outer) / of(false), numel(&inner) / of(true))
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
    laid_out(plan, step, caps, |extents| Choice::by_rule(extents, caps))
}

/// A nest with reductions, in the layout that `choose` finds for its extents.
pub(super) fn laid_out(
    plan: &Plan,
    step: &Step,
    caps: &Caps,
    choose: impl Fn(Extents) -> Choice,
) -> Result<Vec<Dispatch>> {
    let (program, lanes, sweeps) = (&step.program, lanes(step), Sweeps::of(step));
    let (outer, steps) = extents(step, &lanes);
    let reductions = program.lines.iter().enumerate().filter(|(_, l)| matches!(l.instr, Instr::Reduce(..)));
    let Choice { layout, written, split } = choose(Extents {
        outer,
        steps,
        column: column_major(step),
        accs: reductions.map(|(at, _)| if lanes.varies[at] { 4 } else { 1 }).sum(),
        simple: sweeps.count == 1 && !program.stores.iter().any(|s| s.inner),
        cost: lanes.width() * program.lines.iter().filter(|l| l.inner).map(Line::cost).sum::<usize>(),
        kept: lanes.width() * sweeps.kept(program),
    });
    let first = Writer::new(plan, step, lanes, &sweeps, layout, written, caps);
    let Some(split) = split else { return Ok(vec![first.whole(outer, steps)?]) };
    let chunk = chunk(steps, split.parts, layout.team);
    let parts = steps.div_ceil(chunk);
    let first = first.partial(outer, steps, chunk, parts)?;
    let second = Writer::new(plan, step, single(program), &sweeps, split.second, split.written, caps);
    Ok(vec![first, second.combined(numel(&step.outer()), parts)?])
}

/// Writes one kernel of a nest with reductions.
struct Writer<'a> {
    e: Emitter<'a>,
    layout: Layout,
    written: bool,
    software: bool,
    sweeps: &'a Sweeps,
    subgroups: bool,
    shared: Vec<(String, &'static str)>,
    /// The inner lines that are written out already.
    known: Vec<bool>,
}

impl<'a> Writer<'a> {
    fn new(
        plan: &'a Plan,
        step: &'a Step,
        lanes: Lanes,
        sweeps: &'a Sweeps,
        layout: Layout,
        written: bool,
        caps: &Caps,
    ) -> Self {
        let (outer, inner) = (Coordinates::new(&step.outer(), "o"), Coordinates::new(&step.inner(), "i"));
        let e = Emitter::new(Build::new(plan, step), lanes, outer, inner);
        let known = vec![false; step.program.lines.len()];
        let (subgroups, shared) = (layout.shuffles(caps), Vec::new());
        Writer { e, layout, written, software: caps.software, sweeps, subgroups, shared, known }
    }

    fn program(&self) -> &Program {
        &self.e.lanes.program
    }

    /// The reductions that end with sweep `s`.
    fn reductions(&self, s: u16) -> Result<Vec<Reduction>> {
        self.sweeps.ends(s).filter_map(|at| Reduction::new(self.program(), at).transpose()).collect()
    }

    /// Whether the lanes run along the inner level.
    fn inner_lanes(&self) -> bool {
        self.e.lanes.along.is_some_and(|d| d >= self.e.cx.step.outer().len())
    }

    /// The lanes in which a reduction has results of their own.
    fn lanes_of(&self, reg: Reg) -> usize {
        if self.e.lanes.varies[reg as usize] { self.e.lanes.width() } else { 1 }
    }

    /// The name of a reduction's result in a lane.
    fn result(&self, reg: Reg, lane: usize) -> String {
        format!("q{}", &self.e.name(reg, lane)[1..])
    }

    /// The accumulators of a sweep, their arrays named by type so that sweeps share them.
    fn accs(&mut self, reductions: &[Reduction]) -> Vec<Acc> {
        let mut out: Vec<Acc> = Vec::new();
        for r in reductions {
            let folded = if self.inner_lanes() { 4 } else { 1 };
            for lane in 0..self.lanes_of(r.reg) {
                let n = out.iter().filter(|a| a.ty == r.by.ty()).count();
                let shared = format!("s_{}_{n}", r.by.ty());
                if !self.shared.iter().any(|(known, _)| *known == shared) {
                    self.shared.push((shared.clone(), r.by.ty()));
                }
                let names = (lane..lane + folded).map(|lane| format!("acc{}_{lane}", r.reg)).collect();
                out.push(Acc::new(r.by, names, self.result(r.reg, lane), shared));
            }
        }
        out
    }

    /// Outer lines of a stage among those needed, reductions apart.
    fn outer_lines(&mut self, stage: u16, need: &[bool], out: &mut Vec<String>) -> Result<()> {
        for at in 0..need.len() {
            let line = &self.program().lines[at];
            let wanted = need[at] && !line.inner && self.sweeps.stages[at] == stage;
            if wanted && !matches!(line.instr, Instr::Reduce(..)) {
                self.e.line(at as Reg, out)?;
            }
        }
        Ok(())
    }

    /// What a step of sweep `s` does: the inner lines that its reductions and stores need, as far as they are not known.
    fn body(&mut self, s: u16, reductions: &[Reduction], stores: &[Store]) -> Result<Draft> {
        let need = closure(self.program(), self.sweeps.roots(self.program(), s), false);
        let (mut values, mut adds, mut stored, mut cost) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for at in (0..need.len()).filter(|&at| need[at]) {
            if self.program().lines[at].inner && !self.known[at] {
                debug_assert!(self.sweeps.stages[at] <= s);
                self.e.line(at as Reg, &mut values)?;
                cost += self.program().lines[at].cost() * self.e.lanes.width();
                self.known[at] = self.written;
            }
        }
        let width = self.e.lanes.width();
        let inner = self.inner_lanes();
        for (r, lane) in reductions.iter().flat_map(|r| (0..width).map(move |lane| (r, lane))) {
            if inner || lane < self.lanes_of(r.reg) {
                let index = if inner { format!("i * 4u + {lane}u") } else { "i".into() };
                let value = r.by.lift(&self.e.name(r.operand, lane), &index);
                let acc = format!("acc{}_{lane}", r.reg);
                adds.push(format!("{acc} = {};", r.by.combine(&acc, &value)));
            }
        }
        for store in stores {
            self.e.store(store, &mut stored)?;
        }
        let (accs, mut after) = (self.accs(reductions), Vec::new());
        reductions.iter().for_each(|&r| self.finish(r, &mut after));
        Ok(Draft { step: Body { values, adds, stores: stored }, cost, accs, after })
    }

    /// The results of a reduction as its line's values.
    fn finish(&self, r: Reduction, out: &mut Vec<String>) {
        for lane in 0..self.lanes_of(r.reg) {
            let value = r.finish(&self.result(r.reg, lane), self.e.dtype(r.reg));
            out.push(format!("let {} = {value};", self.e.name(r.reg, lane)));
        }
    }

    /// The whole nest in one kernel.
    fn whole(mut self, outer: usize, steps: usize) -> Result<Dispatch> {
        let all: Vec<Store> = self.program().stores.clone();
        let need = &self.sweeps.live;
        let (mut first, mut bodies) = (Vec::new(), Vec::new());
        self.outer_lines(0, need, &mut first)?;
        for s in 0..self.sweeps.count {
            let reductions = self.reductions(s)?;
            let here = all.iter().zip(&self.sweeps.stores).filter(|(_, of)| **of == Some(s));
            let stores: Vec<Store> = here.map(|(store, _)| store.clone()).collect();
            let mut body = self.body(s, &reductions, &stores)?;
            self.outer_lines(s + 1, need, &mut body.after)?;
            bodies.push(body);
        }
        let mut stores = Vec::new();
        let last: Vec<&Store> = all.iter().filter(|s| !s.inner).collect();
        for store in &last {
            self.e.store(store, &mut stores)?;
        }
        let settle = last.iter().any(|s| loads(self.e.cx.step, s.buf));
        let groups = outer.div_ceil(self.layout.rows as usize);
        let walk = Walk::written(steps, self.layout.team);
        Ok(self.kernel([outer, steps, groups], walk, None, first, bodies, stores, settle))
    }

    /// Reduces `chunk` inner points a work-group, into scratch.
    fn partial(mut self, outer: usize, steps: usize, chunk: usize, parts: usize) -> Result<Dispatch> {
        let reductions = self.reductions(0)?;
        let need = closure(self.program(), reductions.iter().map(|r| r.operand), true);
        let mut first = Vec::new();
        self.outer_lines(0, &need, &mut first)?;
        let mut body = self.body(0, &reductions, &[])?;
        body.after.clear();
        let words: usize = reductions.iter().map(|r| r.by.words()).sum();
        // Of the four lanes of an outer point each has results.
        let (width, ty) =
            if self.e.lanes.along.is_some() && !self.inner_lanes() { (4, "vec4<u32>") } else { (1, "u32") };
        let z = self.e.cx.scratch(words * parts * outer * width, ty, true);
        let parts_word = self.e.cx.size(parts);
        let outer_word = self.e.cx.size(outer);
        let packed = reductions.iter().flat_map(|r| {
            let lanes: Vec<Vec<String>> = (0..width).map(|lane| r.by.pack(&self.result(r.reg, lane))).collect();
            (0..r.by.words()).map(move |word| lanes.iter().map(|l| &*l[word]).collect::<Vec<_>>().join(", "))
        });
        let stores = packed
            .enumerate()
            .map(|(k, words)| format!("b{z}[({k}u * {parts_word} + part) * {outer_word} + o] = {ty}({words});"));
        let stores = stores.collect();
        let tiles = outer.div_ceil(self.layout.rows as usize);
        let part = Part { tiles: self.e.cx.size(tiles), chunk: self.e.cx.size(chunk) };
        let copies = chunk / self.layout.team as usize;
        let walk = Walk::Written { steps: copies, whole: if steps.is_multiple_of(chunk) { copies } else { 0 } };
        Ok(self.kernel([outer, steps, tiles * parts], walk, Some(part), first, vec![body], stores, false))
    }

    /// Combines the partial results and runs what follows them.
    fn combined(mut self, outer: usize, parts: usize) -> Result<Dispatch> {
        let reductions = self.reductions(0)?;
        let words: usize = reductions.iter().map(|r| r.by.words()).sum();
        let z = self.e.cx.scratch(words * parts * outer, "u32", false);
        let parts_word = self.e.cx.size(parts);
        let outer_word = self.e.cx.size(outer);
        let (mut values, mut adds, mut k) = (Vec::new(), Vec::new(), 0);
        for r in &reductions {
            let words = k..k + r.by.words();
            k = words.end;
            let read: Vec<String> = words.map(|k| format!("w{k}")).collect();
            let places = read.iter().zip(k - read.len()..);
            values
                .extend(places.map(|(w, k)| format!("let {w} = b{z}[({k}u * {parts_word} + i) * {outer_word} + o];")));
            let acc = format!("acc{}_0", r.reg);
            adds.push(format!("{acc} = {};", r.by.combine(&acc, &r.by.unpack(&read))));
        }
        let all = self.program().stores.clone();
        let need = closure(self.program(), all.iter().map(|s| s.reg), false);
        let mut first = Vec::new();
        self.outer_lines(0, &need, &mut first)?;
        let mut after = Vec::new();
        reductions.iter().for_each(|&r| self.finish(r, &mut after));
        self.outer_lines(1, &need, &mut after)?;
        let mut stores = Vec::new();
        for store in &all {
            self.e.store(store, &mut stores)?;
        }
        let (accs, cost) = (self.accs(&reductions), k);
        let body = Draft { step: Body { values, adds, stores: Vec::new() }, cost, accs, after };
        let groups = outer.div_ceil(self.layout.rows as usize);
        let settle = all.iter().any(|s| loads(self.e.cx.step, s.buf));
        let walk = Walk::written(parts, self.layout.team);
        Ok(self.kernel([outer, parts, groups], walk, None, first, vec![body], stores, settle))
    }

    /// `walk` is how steps are written out, if they are.
    #[expect(clippy::too_many_arguments, reason = "the parts of the template")]
    fn kernel(
        mut self,
        [outer, steps, groups]: [usize; 3],
        walk: Walk,
        part: Option<Part>,
        first: Vec<String>,
        bodies: Vec<Draft>,
        stores: Vec<String>,
        settle: bool,
    ) -> Dispatch {
        let e = &mut self.e;
        let (mut setup, mut decode) = (Vec::new(), Vec::new());
        e.outer.decode(&mut e.cx, &mut setup);
        e.inner.decode(&mut e.cx, &mut decode);
        setup.append(&mut e.hoisted);
        setup.extend(first);
        let Layout { team, rows, column } = self.layout;
        let mut copies = Copies::new(team);
        let mut loops = Vec::new();
        for mut body in bodies {
            let four = !self.software && body.step.stores.is_empty() && body.cost <= SHORT;
            let walk = if self.written { walk } else { Walk::Loop { four } };
            // Where steps are written out, the first sweep knows their coordinates for all.
            if !self.written || loops.is_empty() {
                body.step.values.splice(0..0, decode.iter().cloned());
            }
            let lines = copies.walk(walk, &body.step, loops.is_empty());
            loops.push(Sweep { form: walk.form(), walk: lines, accs: body.accs, after: body.after });
        }
        let e = &mut self.e;
        let (groups_word, outer, inner) = (e.cx.size(groups), e.cx.size(outer), e.cx.size(steps));
        let shader = Rows {
            head: e.cx.head(),
            threads: self.layout.threads(),
            team,
            rows,
            column,
            subgroups: self.subgroups,
            quads: e.lanes.along.is_some(),
            shared: self.shared,
            groups: groups_word,
            outer,
            inner,
            part,
            setup,
            loops,
            stores,
            settle,
        };
        self.e.cx.kernel(shader, groups)
    }
}
