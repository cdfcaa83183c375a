//! Plans as pictures.

use super::step::{BufId, Family, Plan, Role, Step};
use crate::diagram::{Color, Diagram, Node, NodeId};

/// The longest rows of a box, in characters.
const WIDTH: usize = 48;
/// Parts of a value that more steps than these wrote are brought together by a box of their own.
const MANY: usize = 8;

impl Plan {
    /// A box a step, arrows for what one step writes and another reads. What exists before the run and what is kept of it
    /// stands in the boxes.
    pub(crate) fn diagram(&self) -> Diagram {
        let temps: usize = self.slots.iter().sum();
        let mut diagram = Diagram::new(format!("plan: {} steps, {temps} bytes of temporaries", self.steps.len()));
        let mut written: Vec<Vec<NodeId>> = vec![Vec::new(); self.buffers.len()];
        for (i, step) in self.steps.iter().enumerate() {
            let buffers = |all: &mut dyn Iterator<Item = u16>| -> Vec<BufId> {
                let mut all: Vec<BufId> = all.map(|b| step.bufs[usize::from(b)]).collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            let (reads, writes) = (buffers(&mut step.reads()), buffers(&mut step.writes()));
            let is_temp = |b: &BufId| matches!(self.buffers[usize::from(*b)].role, Role::Temp { .. });
            let from_outside = |b: &BufId| written[usize::from(*b)].is_empty();
            let mut node = Node::new(format!("{i} {} {}", step.name(), step.extents())).color(color(step));
            node = node.paragraph(&step.ops.join(" "), WIDTH);
            node = node.paragraph(&self.listed("reads", reads.iter().filter(|b| from_outside(b))), WIDTH);
            node = node.paragraph(&self.listed("writes", writes.iter().filter(|b| !is_temp(b))), WIDTH);
            let node = diagram.add(node.row(format!("{}:{}", short(step.at.file()), step.at.line())));
            for &b in &reads {
                let label = self.name(b);
                let writers = &mut written[usize::from(b)];
                if writers.len() > MANY {
                    let join = diagram.add(Node::new(label.as_str()).color(Color::Gray));
                    std::mem::replace(writers, vec![join]).into_iter().for_each(|from| diagram.connect(from, join, ""));
                    diagram.connect(join, node, "");
                    continue;
                }
                written[usize::from(b)].iter().for_each(|&from| diagram.connect(from, node, label.as_str()));
            }
            writes.iter().for_each(|&b| written[usize::from(b)].push(node));
        }
        diagram
    }

    /// `reads in0:f32[4], in1:f32[8]`, empty of none.
    fn listed<'a>(&self, what: &str, buffers: impl Iterator<Item = &'a BufId>) -> String {
        let names: Vec<String> = buffers.map(|&b| self.name(b)).collect();
        if names.is_empty() { String::new() } else { format!("{what} {}", names.join(", ")) }
    }
}

fn color(step: &Step) -> Color {
    match &step.family {
        Family::Nest if step.mask == 0 => Color::Blue,
        Family::Nest => Color::Orange,
        Family::Gemm(_) | Family::Window(_) => Color::Green,
        Family::Scatter(_) | Family::Scan(_) | Family::Sort(_) => Color::Teal,
        Family::Custom(_) => Color::Purple,
    }
}

/// The end of a long path to a source file.
pub(crate) fn short(file: &str) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    match parts.len() {
        n if n > 3 && file.len() > WIDTH - 8 => format!("…/{}", parts[n - 3..].join("/")),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_shortened() {
        assert_eq!(short("src/main.rs"), "src/main.rs");
        assert_eq!(short("/home/somebody/projects/a-long-name/thing/src/nn/model.rs"), "…/src/nn/model.rs");
    }
}
