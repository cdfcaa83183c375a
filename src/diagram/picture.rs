//! A diagram as a few shapes.

use super::layout::{GROUP_HEAD, Layout, Point, Rect, Way, lay_out};
use super::measure::{HEAD, LABEL, PADDING, ROW, TEXT, TITLE, cell_width, label_size, text_width};
use super::parts::{Diagram, Node};

/// What a picture is made of, in the order in which it is drawn.
pub(super) enum Shape<'a> {
    Rect {
        at: Rect,
        /// Of the corners.
        radius: f64,
        fill: &'static str,
        stroke: Option<&'static str>,
    },
    /// A line, of SVG's path commands.
    Line { path: String, stroke: &'static str },
    /// A triangle.
    Head { points: [Point; 3], fill: &'static str },
    Text {
        /// The left end of the line that the letters stand on.
        at: Point,
        /// As wide as there is room for.
        width: f64,
        text: &'a str,
        size: f64,
        bold: bool,
        fill: &'static str,
    },
}

/// Width, height and what is drawn.
pub(super) struct Picture<'a> {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape<'a>>,
}

const ARROW: &str = "#546e7a";
const FRAME: &str = "#90a4ae";
const INK: &str = "#212121";
const WHITE: &str = "#ffffff";
/// The length of an arrow's head.
const HEAD_LENGTH: f64 = 8.0;

impl Diagram {
    pub(super) fn picture(&self) -> Picture<'_> {
        let Layout { width, height, nodes, groups, ways } = lay_out(self);
        let mut shapes = Vec::new();
        for (i, &at) in groups.iter().enumerate() {
            // Darker the deeper.
            let depth = std::iter::successors(self.groups[i].parent, |&group| self.groups[group].parent).count();
            let fill = ["#f5f7f8", "#eceff1", "#e3e8eb"][depth.min(2)];
            shapes.push(Shape::Rect { at, radius: 6.0, fill, stroke: Some(FRAME) });
        }
        ways.iter().for_each(|way| self.draw_way(way, &mut shapes));
        for (group, at) in self.groups.iter().zip(&groups) {
            let baseline = (at.x + PADDING, at.y + GROUP_HEAD - 5.0);
            shapes.extend(text(&group.title, baseline, TITLE, true, INK));
        }
        for (edge, way) in self.arrows().zip(&ways) {
            let Some(((x, y), (width, _))) = way.label.zip(label_size(&edge.label)) else { continue };
            let at = Rect { x: x - width / 2.0 + 3.0, y: y - LABEL / 2.0, width: width - 6.0, height: LABEL };
            shapes.push(Shape::Rect { at, radius: 3.0, fill: WHITE, stroke: None });
            shapes.extend(text(&edge.label, (x - width / 2.0 + 6.0, y + TEXT / 3.0), TEXT, false, INK));
        }
        self.nodes.iter().zip(nodes).for_each(|(node, at)| draw_node(node, at, &mut shapes));
        Picture { width, height, shapes }
    }

    fn draw_way<'a>(&'a self, way: &Way, shapes: &mut Vec<Shape<'a>>) {
        let (Some(&(start, _)), Some(&(before, end))) = (way.pieces.first(), way.pieces.last()) else { return };
        let sideways = self.direction.is_sideways();
        // It ends where its head begins, and leads there in the diagram's direction.
        let mut ahead = if sideways { end.0 - before.0 } else { end.1 - before.1 };
        if ahead.abs() < HEAD_LENGTH {
            ahead = if self.direction.is_reversed() { -1.0 } else { 1.0 };
        }
        let step = |(x, y): Point, by: f64| if sideways { (x + by, y) } else { (x, y + by) };
        let back = step(end, -HEAD_LENGTH * ahead.signum());
        let mut path = format!("M{:.1} {:.1}", start.0, start.1);
        let last = way.pieces.len() - 1;
        let mut at = start;
        for (i, &(from, to)) in way.pieces.iter().enumerate() {
            // (A box at the edge of its rank has no straight piece in front of it.)
            let (from, to) = match i == last {
                true if (from.0 - end.0).abs() + (from.1 - end.1).abs() < HEAD_LENGTH => (back, back),
                true => (from, back),
                false => (from, to),
            };
            if from != at {
                let middle = between(at, from);
                let (a, b) = match sideways {
                    true => ((middle.0, at.1), (middle.0, from.1)),
                    false => ((at.0, middle.1), (from.0, middle.1)),
                };
                // In two halves: who draws it as short lines may take an S for straight, whose middle lies on the line
                // between its ends.
                let (a, b) = (between(at, a), between(b, from));
                for (a, b, end) in [(a, between(a, middle), middle), (between(middle, b), b, from)] {
                    path += &format!("C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.0, a.1, b.0, b.1, end.0, end.1);
                }
            }
            if from != to {
                path += &format!("L{:.1} {:.1}", to.0, to.1);
            }
            at = to;
        }
        shapes.push(Shape::Line { path, stroke: ARROW });
        let wing = HEAD_LENGTH / 2.0;
        let wings = if sideways {
            [(back.0, back.1 - wing), (back.0, back.1 + wing)]
        } else {
            [(back.0 - wing, back.1), (back.0 + wing, back.1)]
        };
        shapes.push(Shape::Head { points: [end, wings[0], wings[1]], fill: ARROW });
    }
}

fn between(a: Point, b: Point) -> Point {
    ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0)
}

fn draw_node<'a>(node: &'a Node, at: Rect, shapes: &mut Vec<Shape<'a>>) {
    let color = node.color.hex();
    shapes.push(Shape::Rect { at, radius: 0.0, fill: WHITE, stroke: Some(color) });
    let head = Rect { height: HEAD, ..at };
    shapes.push(Shape::Rect { at: head, radius: 0.0, fill: color, stroke: Some(color) });
    let width = text_width(&node.title, TITLE, true);
    let title = (at.x + (at.width - width) / 2.0, at.y + HEAD / 2.0 + TITLE / 3.0);
    shapes.extend(text(&node.title, title, TITLE, true, WHITE));
    for (i, cells) in node.rows.iter().enumerate() {
        let y = at.y + HEAD + ROW * i as f64;
        // Cells side by side share what room there is more, and rows of several stand apart from their neighbours.
        let all: f64 = cells.iter().map(|cell| cell_width(cell)).sum();
        let more = (at.width - all) / cells.len() as f64;
        let alone = cells.len() == 1;
        if i > 0 && !(alone && node.rows[i - 1].len() == 1) {
            shapes.push(Shape::Line {
                path: format!("M{:.1} {y:.1}L{:.1} {y:.1}", at.x, at.x + at.width),
                stroke: color,
            });
        }
        let mut x = at.x;
        for (k, cell) in cells.iter().enumerate() {
            if k > 0 {
                shapes.push(Shape::Line { path: format!("M{x:.1} {y:.1}L{x:.1} {:.1}", y + ROW), stroke: color });
            }
            let left = if alone { x + PADDING } else { x + PADDING + more / 2.0 };
            shapes.extend(text(cell, (left, y + ROW / 2.0 + TEXT / 3.0), TEXT, false, INK));
            x += cell_width(cell) + more;
        }
    }
}

fn text<'a>(text: &'a str, at: Point, size: f64, bold: bool, fill: &'static str) -> Option<Shape<'a>> {
    let width = text_width(text, size, bold);
    (!text.trim().is_empty()).then_some(Shape::Text { at, width, text, size, bold, fill })
}
