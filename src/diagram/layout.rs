//! Where everything in a diagram is drawn. Each group is laid out by itself, the innermost first, and is one box where it
//! stands; an arrow into or out of a group goes through a point at its edge, which the group's layout places.
//!
//! Inside, arrows lead down. A diagram of another direction is turned at the end.

use rustc_hash::{FxHashMap, FxHashSet};

use super::layers::{Item, Link, Piece, Pin, Placed, place};
use super::measure::{LABEL, TITLE, label_size, node_size, text_width};
use super::parts::{Diagram, RankDir};

/// A point of the picture.
pub(super) type Point = (f64, f64);

/// A rectangle of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// An arrow: straight pieces, between which it bends, and the middle of its label.
pub(super) struct Way {
    pub(super) pieces: Vec<(Point, Point)>,
    /// Of one of those that share it.
    pub(super) label: Option<Point>,
}

/// The picture's measures.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<Rect>,
    pub(super) groups: Vec<Rect>,
    /// In the order of [`Diagram::arrows`].
    pub(super) ways: Vec<Way>,
}

/// Around the picture.
const MARGIN: f64 = 12.0;
/// Around what is in a group.
const PADDING: f64 = 14.0;
/// The height of a group's title.
pub(super) const GROUP_HEAD: f64 = 20.0;

/// What stands in a group, or in the diagram.
#[derive(Default)]
struct Level {
    slots: Vec<Slot>,
    links: Vec<Between>,
    /// Where arrows of a bundle go through the edge.
    ports: FxHashMap<(usize, bool), usize>,
    known: FxHashMap<(End, End, usize), usize>,
}

enum Slot {
    Node(usize),
    Group(usize),
    Port(Pin),
}

/// An item of a level; of a group also which of the group's items stands at the edge.
type End = (usize, Option<usize>);

struct Between {
    from: End,
    to: End,
    bundle: usize,
    label: Option<(f64, f64)>,
}

impl Level {
    fn slot(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    fn port(&mut self, bundle: usize, leaves: bool) -> usize {
        let next = self.slots.len();
        let port = *self.ports.entry((bundle, leaves)).or_insert(next);
        if port == next {
            self.slot(Slot::Port(if leaves { Pin::Last } else { Pin::First }));
        }
        port
    }

    fn link(&mut self, from: End, to: End, bundle: usize, label: Option<(f64, f64)>) -> usize {
        let next = self.links.len();
        let link = *self.known.entry((from, to, bundle)).or_insert(next);
        if link == next {
            self.links.push(Between { from, to, bundle, label });
        }
        link
    }
}

/// A level that has been laid out: its own size, and where its inside begins.
struct Done {
    placed: Placed,
    inside: Point,
    width: f64,
    height: f64,
}

pub(super) fn lay_out(diagram: &Diagram) -> Layout {
    let root = diagram.groups.len();
    let mut levels: Vec<Level> = (0..=root).map(|_| Level::default()).collect();
    let node_slots: Vec<usize> = diagram
        .nodes
        .iter()
        .enumerate()
        .map(|(i, node)| levels[node.group.map_or(root, |group| group.0)].slot(Slot::Node(i)))
        .collect();
    let group_slots: Vec<usize> = diagram
        .groups
        .iter()
        .enumerate()
        .map(|(i, group)| levels[group.parent.unwrap_or(root)].slot(Slot::Group(i)))
        .collect();

    // Each arrow's parts: a level and a link there, and which of them has the label.
    let mut bundles: FxHashMap<(usize, &str), usize> = FxHashMap::default();
    let mut ways: Vec<(Vec<(usize, usize)>, usize)> = Vec::new();
    for edge in diagram.arrows() {
        let next = bundles.len();
        let bundle = *bundles.entry((edge.from, edge.label.as_str())).or_insert(next);
        let (mut leaving, mut entering) = (diagram.around(edge.from), diagram.around(edge.to));
        while leaving.last().is_some_and(|group| entering.last() == Some(group)) {
            leaving.pop();
            entering.pop();
        }
        let shared = leaving.last().or(entering.last()).map(|&group| diagram.groups[group].parent);
        let shared = shared.unwrap_or(diagram.nodes[edge.from].group.map(|group| group.0)).unwrap_or(root);
        let mut from: End = (node_slots[edge.from], None);
        let mut parts = Vec::new();
        for &group in &leaving {
            let port = levels[group].port(bundle, true);
            parts.push((group, levels[group].link(from, (port, None), bundle, None)));
            from = (group_slots[group], Some(port));
        }
        let mut to: End = (node_slots[edge.to], None);
        let mut ends = Vec::new();
        for &group in &entering {
            let port = levels[group].port(bundle, false);
            ends.push((group, levels[group].link((port, None), to, bundle, None)));
            to = (group_slots[group], Some(port));
        }
        let labelled = parts.len();
        let size = label_size(&edge.label);
        parts.push((shared, levels[shared].link(from, to, bundle, diagram.direction.turn(size))));
        parts.extend(ends.into_iter().rev());
        ways.push((parts, labelled));
    }

    // A group's own are made after it.
    let mut done: Vec<Option<Done>> = levels.iter().map(|_| None).collect();
    for (i, level) in levels.iter().enumerate().rev().filter(|(i, _)| *i != root) {
        done[i] = Some(diagram.lay_out_level(level, Some(&diagram.groups[i].title), &done));
    }
    done[root] = Some(diagram.lay_out_level(&levels[root], None, &done));
    let done: Vec<Done> = done.into_iter().flatten().collect();

    let mut insides = vec![(0.0, 0.0); levels.len()];
    let mut groups = vec![(0.0, 0.0); root];
    insides[root] = done[root].inside;
    for (i, group) in diagram.groups.iter().enumerate() {
        let parent = group.parent.unwrap_or(root);
        let (x, y) = done[parent].placed.items[group_slots[i]];
        groups[i] = (insides[parent].0 + x - done[i].width / 2.0, insides[parent].1 + y);
        insides[i] = (groups[i].0 + done[i].inside.0, groups[i].1 + done[i].inside.1);
    }
    let turn = Turn { direction: diagram.direction, along: done[root].height };
    let nodes = diagram.nodes.iter().zip(&node_slots).map(|(node, &slot)| {
        let level = node.group.map_or(root, |group| group.0);
        let (x, y) = done[level].placed.items[slot];
        let (width, height) = turn.direction.turned(node_size(node));
        turn.rect((insides[level].0 + x - width / 2.0, insides[level].1 + y), width, height)
    });
    let nodes = nodes.collect();
    let groups = groups.iter().zip(&done).map(|(&at, done)| turn.rect(at, done.width, done.height)).collect();
    let mut labelled = FxHashSet::default();
    let ways = ways.iter().map(|(parts, label)| {
        let piece = |level: usize, piece: &Piece| {
            let at = |y: f64| turn.point((insides[level].0 + piece.x, insides[level].1 + y));
            (at(piece.from), at(piece.to))
        };
        let pieces =
            parts.iter().flat_map(|&(level, link)| done[level].placed.ways[link].iter().map(move |p| piece(level, p)));
        let (level, link) = parts[*label];
        let label =
            done[level].placed.labels[link].filter(|_| labelled.insert((level, levels[level].links[link].bundle)));
        let label = label.map(|(x, y)| turn.point((insides[level].0 + x, insides[level].1 + y)));
        Way { pieces: pieces.collect(), label }
    });
    let ways = ways.collect();
    let (width, height) = diagram.direction.turned((done[root].width, done[root].height));
    Layout { width, height, nodes, groups, ways }
}

impl Diagram {
    /// The groups that a node is in, the innermost first.
    fn around(&self, node: usize) -> Vec<usize> {
        let first = self.nodes[node].group.map(|group| group.0);
        std::iter::successors(first, |&group| self.groups[group].parent).collect()
    }

    /// `done` has the groups within it; `title` is `None` of the diagram itself.
    fn lay_out_level(&self, level: &Level, title: Option<&str>, done: &[Option<Done>]) -> Done {
        let inner = |group: usize| done[group].as_ref();
        let item = |slot: &Slot| {
            let (width, height) = match slot {
                Slot::Node(i) => self.direction.turned(node_size(&self.nodes[*i])),
                Slot::Group(i) => inner(*i).map_or((0.0, 0.0), |group| (group.width, group.height)),
                Slot::Port(_) => (0.0, 0.0),
            };
            Item { width, height, pin: if let Slot::Port(pin) = slot { *pin } else { Pin::Free } }
        };
        let items: Vec<Item> = level.slots.iter().map(item).collect();
        let offset = |(slot, port): End| match (&level.slots[slot], port) {
            (Slot::Group(i), Some(port)) => {
                inner(*i).map_or(0.0, |group| group.inside.0 + group.placed.items[port].0 - group.width / 2.0)
            }
            _ => 0.0,
        };
        let link = |b: &Between| Link {
            from: b.from.0,
            to: b.to.0,
            out: offset(b.from),
            into: offset(b.to),
            bundle: b.bundle,
            label: b.label,
        };
        let links: Vec<Link> = level.links.iter().map(link).collect();
        let placed = place(&items, &links);
        let Some(title) = title else {
            let (width, height) = (placed.width + 2.0 * MARGIN, placed.height + 2.0 * MARGIN);
            return Done { placed, inside: (MARGIN, MARGIN), width, height };
        };
        let words = text_width(title, TITLE, true) + 2.0 * PADDING;
        let head = if title.is_empty() { 0.0 } else { GROUP_HEAD };
        let (mut width, mut height) = (placed.width + 2.0 * PADDING, placed.height + 2.0 * PADDING);
        let mut inside = (PADDING, PADDING);
        if self.direction.is_sideways() {
            width += head;
            inside.0 += head;
            height = height.max(words);
        } else {
            height += head;
            inside.1 += if self.direction.is_reversed() { 0.0 } else { head };
            inside.0 += (words - width).max(0.0) / 2.0;
            width = width.max(words);
        }
        Done { placed, inside, width, height }
    }
}

impl RankDir {
    /// Width and height where arrows lead down.
    fn turned(self, (width, height): (f64, f64)) -> (f64, f64) {
        if self.is_sideways() { (height, width) } else { (width, height) }
    }

    fn turn(self, label: Option<(f64, f64)>) -> Option<(f64, f64)> {
        label.map(|size| self.turned(size)).map(|(width, height)| (width.max(LABEL), height))
    }
}

/// From a picture whose arrows lead down to that of the direction wanted.
struct Turn {
    direction: RankDir,
    /// How high it is before.
    along: f64,
}

impl Turn {
    fn point(&self, (across, along): Point) -> Point {
        let along = if self.direction.is_reversed() { self.along - along } else { along };
        if self.direction.is_sideways() { (along, across) } else { (across, along) }
    }

    fn rect(&self, at: Point, width: f64, height: f64) -> Rect {
        let (a, b) = (self.point(at), self.point((at.0 + width, at.1 + height)));
        Rect { x: a.0.min(b.0), y: a.1.min(b.1), width: (a.0 - b.0).abs(), height: (a.1 - b.1).abs() }
    }
}
