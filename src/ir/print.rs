//! Plans as text.

use std::fmt::{self, Display, Write};

use super::program::{Instr, Line, Program};
use super::step::{Plan, Role, StepKind};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let temps: usize = self.slots.iter().sum();
        writeln!(f, "plan: {} steps, {} buffers, {temps} bytes of temporaries", self.steps.len(), self.buffers.len())?;
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "{i:>4} {:<22}", step.kind.name())?;
            match &step.kind {
                StepKind::Nest(n) if n.inner.is_empty() => write!(f, "{:?}", n.outer.as_slice())?,
                StepKind::Nest(n) => write!(f, "{:?} x {:?}", n.outer.as_slice(), n.inner.as_slice())?,
                StepKind::Gemm(g) => write!(f, "{:?} {}x{}x{}", g.batch.as_slice(), g.m, g.n, g.k)?,
                kind => write!(f, "{:?}", kind.outer().as_slice())?,
            }
            write!(f, "  {}", step.ops.join(" "))?;
            let reads = |b: &u16| self.name(step.bufs[usize::from(*b)]);
            let program = step.kind.program();
            let mut inputs: Vec<u16> = match &step.kind {
                StepKind::Nest(_) => vec![],
                StepKind::Gemm(g) => vec![g.a.buf, g.b.buf],
                StepKind::Window(w) => w.inputs.clone(),
                StepKind::Scatter(s) => s.base.into_iter().chain([s.index, s.src]).collect(),
            };
            inputs.extend(program.lines.iter().filter_map(|l| match &l.instr {
                Instr::Load { buf, .. } => Some(*buf),
                _ => None,
            }));
            inputs.dedup();
            let inputs: Vec<String> = inputs.iter().map(reads).collect();
            let outputs: Vec<String> = program.stores.iter().map(|s| reads(&s.buf)).collect();
            writeln!(
                f,
                "  ({}) -> ({})  [{}:{}]",
                inputs.join(", "),
                outputs.join(", "),
                step.at.file(),
                step.at.line()
            )?;
        }
        Ok(())
    }
}

impl Plan {
    fn name(&self, buf: u32) -> String {
        let info = &self.buffers[buf as usize];
        let role = match info.role {
            Role::Leaf(i) => format!("in{i}"),
            Role::Output(i) => format!("out{i}"),
            Role::Temp { slot } => format!("tmp{slot}"),
        };
        format!("{role}:{}[{}]", info.dtype, info.len)
    }
}

/// The program as text, one line an instruction.
impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, line) in self.lines.iter().enumerate() {
            writeln!(f, "  {}r{i}: {} = {}", if line.inner { "  " } else { "" }, line.dtype, text(line))?;
        }
        for s in &self.stores {
            writeln!(f, "  {}buf{}[{}] = r{}", if s.inner { "  " } else { "" }, s.buf, address(&s.at), s.reg)?;
        }
        Ok(())
    }
}

fn address(at: &super::program::Access) -> String {
    let mut out = at.offset.to_string();
    for (d, s) in at.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
        let _ = write!(out, " + {s}*i{d}");
    }
    out
}

fn text(line: &Line) -> String {
    match &line.instr {
        Instr::Load { buf, at, gather } => {
            let gathers: String = gather.iter().map(|g| format!(" + {}*r{}", g.stride, g.index)).collect();
            format!("buf{buf}[{}{gathers}]", address(at))
        }
        Instr::Index { at } => address(at),
        Instr::Param { slot } => format!("param{slot}"),
        Instr::Random { at, stream, .. } => format!("random.{stream}({})", address(at)),
        Instr::Acc => "acc".into(),
        Instr::Unary(f, a) => format!("{f:?} r{a}"),
        Instr::Binary(f, a, b) => format!("{f:?} r{a}, r{b}"),
        Instr::Select(c, a, b) => format!("select r{c}, r{a}, r{b}"),
        Instr::Cast(a) => format!("cast r{a}"),
        Instr::Reduce(op, a) => format!("reduce {op:?} r{a}"),
    }
}
