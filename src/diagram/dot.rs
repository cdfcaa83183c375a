//! Diagrams for Graphviz.

use std::fmt::Write;

use super::parts::{Diagram, Node, escaped};

impl Diagram {
    /// The diagram in Graphviz's language: `dot -Tpdf` and many web pages make pictures of it.
    pub fn to_dot(&self) -> String {
        let mut out = format!("digraph {} {{\n", quoted(&self.title));
        let _ = writeln!(out, "  rankdir={};", self.direction);
        out += "  graph [fontname=\"Helvetica\"];\n";
        out += "  node [shape=plain, fontname=\"Helvetica\", fontsize=12];\n";
        out += "  edge [fontname=\"Helvetica\", fontsize=11, color=\"#555555\"];\n";
        // What stands in each group, the root last; the groups within one stand behind it.
        let mut bodies = vec![String::new(); self.groups.len() + 1];
        let root = self.groups.len();
        for (i, node) in self.nodes.iter().enumerate() {
            let body = &mut bodies[node.group.map_or(root, |group| group.0)];
            let _ = writeln!(body, "  n{i} [label=<{}>];", table(node));
        }
        for (i, group) in self.groups.iter().enumerate().rev() {
            let inner = std::mem::take(&mut bodies[i]);
            let label = quoted(&group.title);
            let _ = writeln!(
                bodies[group.parent.unwrap_or(root)],
                "  subgraph cluster_{i} {{\n  label={label}; labeljust=l; style=\"rounded\"; color=\"#90a4ae\";\n{inner}  }}"
            );
        }
        out += &bodies[root];
        for edge in self.arrows() {
            let _ = write!(out, "  n{} -> n{}", edge.from, edge.to);
            if !edge.label.is_empty() {
                let _ = write!(out, " [label={}]", quoted(&edge.label));
            }
            out += ";\n";
        }
        out + "}\n"
    }
}

fn table(node: &Node) -> String {
    // Rows of different numbers of cells share columns.
    let columns = node.rows.iter().map(Vec::len).fold(1, lcm);
    let mut out = String::from("<table border=\"0\" cellborder=\"1\" cellspacing=\"0\" cellpadding=\"5\">");
    let _ = write!(
        out,
        "<tr><td bgcolor=\"{}\" colspan=\"{columns}\"><font color=\"white\"><b>{}</b></font></td></tr>",
        node.color.hex(),
        text(&node.title)
    );
    for row in &node.rows {
        out += "<tr>";
        for cell in row {
            let align = if row.len() == 1 { " align=\"left\"" } else { "" };
            let _ = write!(out, "<td bgcolor=\"white\"{align} colspan=\"{}\">{}</td>", columns / row.len(), text(cell));
        }
        out += "</tr>";
    }
    out + "</table>"
}

/// In a cell: Graphviz takes no empty text within a font.
fn text(text: &str) -> String {
    if text.is_empty() { " ".into() } else { escaped(text) }
}

/// As a string of the language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The least number that both divide, as long as it is one of columns that Graphviz takes.
fn lcm(a: usize, b: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let both = a / gcd(a, b) * b;
    if both <= 60 { both } else { a.max(b) }
}
