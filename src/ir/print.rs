//! Plans as text.

use std::fmt::{self, Display, Write};

use super::program::{Instr, Line, Program};
use super::step::{Family, Plan, Role, Step};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let temps: usize = self.slots.iter().sum();
        writeln!(f, "plan: {} steps, {} buffers, {temps} bytes of temporaries", self.steps.len(), self.buffers.len())?;
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "{i:>4} {:<22}{}  {}", step.name(), step.extents(), step.ops.join(" "))?;
            let reads = |b: &u16| self.name(step.bufs[usize::from(*b)]);
            let mut inputs: Vec<u16> = step.reads().collect();
            inputs.dedup();
            let inputs: Vec<String> = inputs.iter().map(reads).collect();
            let outputs: Vec<String> = step.writes().map(|b| reads(&b)).collect();
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

impl Step {
    /// Its space, as plans show it.
    pub(super) fn extents(&self) -> String {
        match &self.family {
            Family::Gemm(g) => format!("{:?} {}x{}x{}", g.batch.as_slice(), g.m, g.n, g.k),
            _ if self.mask == 0 => format!("{:?}", self.space.as_slice()),
            _ => format!("{:?} x {:?}", self.outer().as_slice(), self.inner().as_slice()),
        }
    }
}

impl Plan {
    /// What a buffer is called.
    pub(super) fn name(&self, buf: u16) -> String {
        let info = &self.buffers[usize::from(buf)];
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
        Instr::Acc(i) => format!("acc{i}"),
        Instr::Unary(f, a) => format!("{f:?} r{a}"),
        Instr::Binary(f, a, b) => format!("{f:?} r{a}, r{b}"),
        Instr::Select(c, a, b) => format!("select r{c}, r{a}, r{b}"),
        Instr::Cast(a) => format!("cast r{a}"),
        Instr::Repeat(a) => format!("repeat r{a}"),
        Instr::Reduce(op, a) => format!("reduce {op:?} r{a}"),
    }
}
