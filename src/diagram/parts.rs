//! What a diagram is made of.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// Boxes with text in them, groups of boxes, and arrows between boxes: see the [module](crate::diagram).
#[derive(Clone, Debug, Default)]
pub struct Diagram {
    pub(super) title: String,
    pub(super) direction: RankDir,
    pub(super) nodes: Vec<Node>,
    pub(super) groups: Vec<Group>,
    pub(super) edges: Vec<Edge>,
}

/// A box: a title on a colour, and rows of text below it.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) title: String,
    /// Each row has cells side by side, one at least.
    pub(super) rows: Vec<Vec<String>>,
    pub(super) color: Color,
    pub(super) group: Option<GroupId>,
}

/// Which box of a [`Diagram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub(super) usize);

/// Which group of a [`Diagram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupId(pub(super) usize);

/// Boxes with a frame around them.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) title: String,
    /// The group that it is in, which was made before it.
    pub(super) parent: Option<usize>,
}

/// An arrow.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: String,
}

/// What a box's title stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "colours")]
pub enum Color {
    #[default]
    Black,
    Blue,
    Gray,
    Green,
    Orange,
    Purple,
    Red,
    Teal,
}

impl Color {
    /// As in HTML.
    pub(super) fn hex(self) -> &'static str {
        match self {
            Color::Black => "#212121",
            Color::Blue => "#1565c0",
            Color::Gray => "#607d8b",
            Color::Green => "#2e7d32",
            Color::Orange => "#c75b12",
            Color::Purple => "#6a1b9a",
            Color::Red => "#b71c1c",
            Color::Teal => "#00695c",
        }
    }
}

/// Where the arrows of a diagram lead; Graphviz's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RankDir {
    /// From top to bottom.
    #[default]
    TB,
    /// From left to right.
    LR,
    /// From bottom to top.
    BT,
    /// From right to left.
    RL,
}

impl RankDir {
    /// Whether arrows lead to one side.
    pub(super) fn is_sideways(self) -> bool {
        matches!(self, RankDir::LR | RankDir::RL)
    }

    /// Whether arrows lead up or to the left.
    pub(super) fn is_reversed(self) -> bool {
        matches!(self, RankDir::BT | RankDir::RL)
    }
}

impl fmt::Display for RankDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for RankDir {
    type Err = Error;

    #[track_caller]
    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [RankDir::TB, RankDir::LR, RankDir::BT, RankDir::RL];
        all.into_iter().find(|direction| direction.to_string() == text).ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                "No such direction of a diagram",
                &format!("{text:?}"),
                "\"TB\", \"LR\", \"BT\" or \"RL\"",
                "Correct the name; TB leads from top to bottom",
            )
        })
    }
}

impl Node {
    /// A box with this title and nothing else.
    pub fn new(title: impl Into<String>) -> Self {
        Node { title: clean(title), rows: Vec::new(), color: Color::default(), group: None }
    }

    /// One more row of text.
    pub fn row(self, text: impl Into<String>) -> Self {
        self.cells([text])
    }

    /// One more row, of several cells side by side.
    pub fn cells<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        let cells: Vec<String> = texts.into_iter().map(clean).collect();
        if !cells.is_empty() {
            self.rows.push(cells);
        }
        self
    }

    /// Rows of whole words, none longer than `width` characters unless a word is.
    pub fn paragraph(mut self, text: &str, width: usize) -> Self {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                self = self.row(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        if line.is_empty() { self } else { self.row(line) }
    }

    /// The colour behind the title, black by default.
    pub fn color(self, color: Color) -> Self {
        Node { color, ..self }
    }

    /// The group that it is in, of the diagram that it will be [added](Diagram::add) to.
    pub fn within(self, group: impl Into<Option<GroupId>>) -> Self {
        Node { group: group.into(), ..self }
    }
}

impl Diagram {
    /// An empty diagram.
    pub fn new(title: impl Into<String>) -> Self {
        Diagram { title: clean(title), ..Diagram::default() }
    }

    /// Where arrows lead, from top to bottom by default.
    pub fn rankdir(self, direction: RankDir) -> Self {
        Diagram { direction, ..self }
    }

    /// What it is a picture of.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// One more box.
    ///
    /// # Panics
    /// The box is to be in a group of another diagram, of more groups.
    #[track_caller]
    pub fn add(&mut self, node: Node) -> NodeId {
        if let Some(group) = node.group {
            self.check(group.0, self.groups.len(), "group");
        }
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// A frame with a title for boxes that are made to lie [within](Node::within) it; itself within `parent`, if there
    /// is one.
    ///
    /// # Panics
    /// `parent` is a group of another diagram, of more groups.
    #[track_caller]
    pub fn group(&mut self, title: impl Into<String>, parent: Option<GroupId>) -> GroupId {
        let parent = parent.map(|GroupId(parent)| parent);
        if let Some(parent) = parent {
            self.check(parent, self.groups.len(), "group");
        }
        self.groups.push(Group { title: clean(title), parent });
        GroupId(self.groups.len() - 1)
    }

    /// An arrow from one box to another, with words beside it unless `label` is empty. The same arrow twice is one.
    ///
    /// # Panics
    /// A box is one of another diagram, of more boxes.
    #[track_caller]
    pub fn connect(&mut self, from: NodeId, to: NodeId, label: impl Into<String>) {
        self.check(from.0, self.nodes.len(), "node");
        self.check(to.0, self.nodes.len(), "node");
        self.edges.push(Edge { from: from.0, to: to.0, label: clean(label) });
    }

    #[track_caller]
    fn check(&self, index: usize, count: usize, what: &str) {
        assert!(index < count, "diagram {:?} has no {what} {index}: it has {count}", self.title);
    }

    /// How many boxes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no boxes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The arrows, each once.
    pub(super) fn arrows(&self) -> impl Iterator<Item = &Edge> {
        let mut seen = rustc_hash::FxHashSet::default();
        self.edges.iter().filter(move |edge| seen.insert((edge.from, edge.to, edge.label.as_str())))
    }
}

/// Text that stands in a picture: one line, of characters that XML allows.
fn clean(text: impl Into<String>) -> String {
    let text = text.into();
    let odd = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if !text.contains(odd) {
        return text;
    }
    let plain = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if odd(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// For XML, in text and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}
