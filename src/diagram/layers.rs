//! Boxes of one level placed in ranks, so that arrows lead down (Sugiyama's method): arrows that close a circle are turned
//! round; each box stands as far down as the longest way to it; arrows over several ranks go through points in the ranks
//! between; sweeps sort each rank by the middle of its neighbours; and each rank is then moved as near to its neighbours as its
//! order allows.

use rustc_hash::FxHashMap;

/// What is placed.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) pin: Pin,
}

/// Whether the rank is given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pin {
    Free,
    /// Above all others.
    First,
    /// Below all others.
    Last,
}

/// An arrow between items.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where it leaves and where it arrives, from the middles of the items.
    pub(super) out: f64,
    pub(super) into: f64,
    /// Links of an item with one number go together as far as they can.
    pub(super) bundle: usize,
    pub(super) label: Option<(f64, f64)>,
}

/// A straight piece of an arrow's way, from one height to another. Ways bend between pieces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) x: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Where everything is.
#[derive(Default)]
pub(super) struct Placed {
    /// The middle and the upper edge of each item.
    pub(super) items: Vec<(f64, f64)>,
    /// From the source's edge to the target's; empty from an item to itself.
    pub(super) ways: Vec<Vec<Piece>>,
    /// The middles of labels.
    pub(super) labels: Vec<Option<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// More points of arrows than this are not placed: the longest arrows go straight.
const MOST_POINTS: usize = 20_000;
/// The least distance between ranks, and the most: it grows where arrows go far to the side.
const GAP: (f64, f64) = (30.0, 90.0);
/// The least distance to ranks that have no boxes.
const LOW: f64 = 18.0;
/// The least distance of an arrow from what it passes.
const NARROW: f64 = 13.0;
/// The distance between boxes of a rank.
const ASIDE: f64 = 26.0;

pub(super) fn place(items: &[Item], links: &[Link]) -> Placed {
    if items.is_empty() {
        return Placed { ways: vec![Vec::new(); links.len()], labels: vec![None; links.len()], ..Placed::default() };
    }
    let turned = turned(items.len(), links);
    let ranks = ranks(items, links, &turned);
    let mut net = Net::new(items, links, &turned, &ranks);
    net.order();
    net.spread();
    net.placed(items, links, &turned)
}

/// The links that close a circle.
fn turned(count: usize, links: &[Link]) -> Vec<bool> {
    let mut leaving = vec![Vec::new(); count];
    for (i, link) in links.iter().enumerate() {
        leaving[link.from].push(i);
    }
    let mut turned = vec![false; links.len()];
    let (mut met, mut open) = (vec![false; count], vec![false; count]);
    for start in 0..count {
        if std::mem::replace(&mut met[start], true) {
            continue;
        }
        open[start] = true;
        let mut stack = vec![(start, 0)];
        while let Some((item, next)) = stack.last_mut() {
            let Some(&link) = leaving[*item].get(*next) else {
                open[*item] = false;
                stack.pop();
                continue;
            };
            *next += 1;
            let to = links[link].to;
            if open[to] {
                turned[link] = true;
            } else if !std::mem::replace(&mut met[to], true) {
                open[to] = true;
                stack.push((to, 0));
            }
        }
    }
    turned
}

/// The upper and the lower end of a link.
fn ends(link: &Link, turned: bool) -> (usize, usize) {
    if turned { (link.to, link.from) } else { (link.from, link.to) }
}

/// How many ranks a link goes down at least.
fn length(link: &Link) -> usize {
    1 + usize::from(link.label.is_some())
}

fn ranks(items: &[Item], links: &[Link], turned: &[bool]) -> Vec<usize> {
    let (mut above, mut below) = (vec![0usize; items.len()], vec![Vec::new(); items.len()]);
    for (link, &turned) in links.iter().zip(turned).filter(|(link, _)| link.from != link.to) {
        let (upper, lower) = ends(link, turned);
        above[lower] += 1;
        below[upper].push((lower, length(link)));
    }
    let first = usize::from(items.iter().any(|item| item.pin == Pin::First));
    let mut ranks: Vec<usize> = items.iter().map(|item| if item.pin == Pin::First { 0 } else { first }).collect();
    let mut left = above.clone();
    let mut order: Vec<usize> = (0..items.len()).filter(|&i| left[i] == 0).collect();
    let mut next = 0;
    while let Some(&upper) = order.get(next) {
        next += 1;
        for &(lower, length) in &below[upper] {
            ranks[lower] = ranks[lower].max(ranks[upper] + length);
            left[lower] -= 1;
            if left[lower] == 0 {
                order.push(lower);
            }
        }
    }
    // What is wanted more often than it wants stands where it is wanted.
    for &item in order.iter().rev() {
        let down = below[item].iter().map(|&(lower, length)| ranks[lower] - length).min();
        if let Some(down) = down.filter(|_| items[item].pin == Pin::Free && above[item] <= below[item].len()) {
            ranks[item] = down;
        }
    }
    let own = (0..items.len()).filter(|&i| items[i].pin != Pin::Last).map(|i| ranks[i] + 1).max().unwrap_or(0);
    let last = ranks.iter().copied().max().unwrap_or(0).max(own);
    for (rank, _) in ranks.iter_mut().zip(items).filter(|(_, item)| item.pin == Pin::Last) {
        *rank = last;
    }
    ranks
}

/// An item, or a point of a link's way.
struct Vertex {
    item: bool,
    width: f64,
    height: f64,
    rank: usize,
    above: Vec<Arc>,
    below: Vec<Arc>,
    /// Its place in its rank.
    place: usize,
    /// Its middle.
    x: f64,
}

/// A neighbour in the next rank, and where the arrow touches both, from their middles.
#[derive(Clone, Copy)]
struct Arc {
    other: usize,
    here: f64,
    there: f64,
}

struct Net {
    /// The items, then points.
    vertices: Vec<Vertex>,
    ranks: Vec<Vec<usize>>,
    /// The points of each link from above, `None` of those that go straight.
    chains: Vec<Option<Vec<usize>>>,
}

impl Net {
    fn new(items: &[Item], links: &[Link], turned: &[bool], ranks: &[usize]) -> Net {
        let vertex = |(item, &rank): (&Item, &usize)| Vertex {
            item: true,
            width: item.width,
            height: item.height,
            rank,
            above: Vec::new(),
            below: Vec::new(),
            place: 0,
            x: 0.0,
        };
        let vertices = items.iter().zip(ranks).map(vertex).collect();
        let mut net = Net { vertices, ranks: Vec::new(), chains: Vec::new() };
        let spans: Vec<usize> = links.iter().map(|link| ranks[link.from].abs_diff(ranks[link.to])).collect();
        let longest = longest(&spans);
        // The points below each bundle's start.
        let mut shared: FxHashMap<(usize, usize, bool), Vec<usize>> = FxHashMap::default();
        for ((link, &turned), &span) in links.iter().zip(turned).zip(&spans) {
            if span == 0 || span > longest {
                net.chains.push(None);
                continue;
            }
            let (upper, lower) = ends(link, turned);
            let (out, into) = if turned { (link.into, link.out) } else { (link.out, link.into) };
            // (Turned links end together, if at all: each of them has a way of its own.)
            let bundle = if turned { (lower, net.chains.len(), true) } else { (upper, link.bundle, false) };
            let points = shared.entry(bundle).or_default();
            while points.len() + 1 < span {
                let (above, at) = points.last().map_or((upper, out), |&point| (point, 0.0));
                let label = link.label.filter(|_| points.is_empty()).unwrap_or_default();
                let point = net.point(net.vertices[above].rank + 1, label);
                net.join(above, at, point, 0.0);
                points.push(point);
            }
            let chain = points[..span - 1].to_vec();
            let (above, at) = chain.last().map_or((upper, out), |&point| (point, 0.0));
            net.join(above, at, lower, into);
            net.chains.push(Some(chain));
        }
        let count = net.vertices.iter().map(|v| v.rank + 1).max().unwrap_or(0);
        net.ranks = vec![Vec::new(); count];
        net
    }

    fn point(&mut self, rank: usize, (width, height): (f64, f64)) -> usize {
        let (above, below) = (Vec::new(), Vec::new());
        self.vertices.push(Vertex { item: false, width, height, rank, above, below, place: 0, x: 0.0 });
        self.vertices.len() - 1
    }

    fn join(&mut self, upper: usize, out: f64, lower: usize, into: f64) {
        self.vertices[upper].below.push(Arc { other: lower, here: out, there: into });
        self.vertices[lower].above.push(Arc { other: upper, here: into, there: out });
    }

    /// Orders each rank so that few arrows cross.
    fn order(&mut self) {
        // At first as they are met on the way down.
        let mut met = vec![false; self.vertices.len()];
        let mut starts: Vec<usize> = (0..self.vertices.len()).filter(|&v| self.vertices[v].above.is_empty()).collect();
        starts.sort_by_key(|&v| self.vertices[v].rank);
        for start in starts {
            let mut stack = vec![start];
            while let Some(v) = stack.pop() {
                if !std::mem::replace(&mut met[v], true) {
                    self.ranks[self.vertices[v].rank].push(v);
                    stack.extend(self.vertices[v].below.iter().rev().map(|arc| arc.other));
                }
            }
        }
        self.number();
        let arcs: usize = self.vertices.iter().map(|v| v.below.len()).sum();
        let sweeps = (200_000 / arcs.max(1)).clamp(2, 24);
        let mut best = (self.crossings(), self.ranks.clone());
        for sweep in 0..sweeps {
            if best.0 == 0 {
                break;
            }
            let down = sweep % 2 == 0;
            for i in 0..self.ranks.len() {
                let rank = if down { i } else { self.ranks.len() - 1 - i };
                self.sort(rank, down);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.ranks.clone());
            }
        }
        self.ranks = best.1;
        self.number();
    }

    fn number(&mut self) {
        for rank in &self.ranks {
            rank.iter().enumerate().for_each(|(place, &v)| self.vertices[v].place = place);
        }
    }

    /// Where an arrow touches a vertex, in places.
    fn touches(&self, vertex: usize, offset: f64) -> f64 {
        let vertex = &self.vertices[vertex];
        let aside = if vertex.width > 0.0 { (offset / vertex.width).clamp(-0.5, 0.5) } else { 0.0 };
        vertex.place as f64 + 0.99 * aside
    }

    /// Sorts a rank by the middle of what its vertices are joined to in the rank above, or below.
    fn sort(&mut self, rank: usize, by_above: bool) {
        let key = |&v: &usize| {
            let vertex = &self.vertices[v];
            let arcs = if by_above { &vertex.above } else { &vertex.below };
            let places = arcs
                .iter()
                .map(|arc| self.touches(arc.other, arc.there) - self.touches(v, arc.here) + vertex.place as f64);
            (v, middle(places.collect()).unwrap_or(vertex.place as f64))
        };
        let mut sorted: Vec<(usize, f64)> = self.ranks[rank].iter().map(key).collect();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        for (place, &(v, _)) in sorted.iter().enumerate() {
            self.vertices[v].place = place;
            self.ranks[rank][place] = v;
        }
    }

    fn crossings(&self) -> usize {
        let between = |rank: &Vec<usize>| {
            let arcs = rank.iter().flat_map(|&v| self.vertices[v].below.iter().map(move |arc| (v, arc)));
            let mut arcs: Vec<(f64, f64)> =
                arcs.map(|(v, arc)| (self.touches(v, arc.here), self.touches(arc.other, arc.there))).collect();
            arcs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            inversions(&mut arcs.into_iter().map(|arc| arc.1).collect::<Vec<f64>>())
        };
        self.ranks.iter().map(between).sum()
    }

    /// Gives all vertices their places from left to right.
    fn spread(&mut self) {
        for rank in 0..self.ranks.len() {
            let all = vec![(0.0, 1.0); self.ranks[rank].len()];
            self.settle(rank, &all);
        }
        let rounds = (100_000 / self.vertices.len()).clamp(2, 12);
        let count = self.ranks.len();
        for _ in 0..rounds {
            (1..count).for_each(|rank| self.draw(rank, true, false));
            (0..count - 1).rev().for_each(|rank| self.draw(rank, false, true));
        }
        (0..count).for_each(|rank| self.draw(rank, true, true));
    }

    /// Draws a rank towards those above and below.
    fn draw(&mut self, rank: usize, above: bool, below: bool) {
        let wish = |&v: &usize| {
            let vertex = &self.vertices[v];
            let arcs = vertex.above.iter().filter(|_| above).chain(vertex.below.iter().filter(|_| below));
            let mut weight = 0.01f64;
            let mut places = Vec::new();
            for arc in arcs {
                let other = &self.vertices[arc.other];
                // Long arrows should be straight.
                weight = weight.max(match (vertex.item, other.item) {
                    (true, true) => 1.0,
                    (false, false) => 8.0,
                    _ => 2.0,
                });
                places.push(other.x + arc.there - arc.here);
            }
            (middle(places).unwrap_or(vertex.x), weight)
        };
        let wishes: Vec<(f64, f64)> = self.ranks[rank].iter().map(wish).collect();
        self.settle(rank, &wishes);
    }

    /// Places a rank in its order so that the squares of the distances from the wished places, each with its weight, sum up
    /// to the least: neighbours in each other's way go on as one.
    fn settle(&mut self, rank: usize, wishes: &[(f64, f64)]) {
        let rank = &self.ranks[rank];
        // How far each stands from the first if there is no more room than needed.
        let mut offsets = Vec::with_capacity(rank.len());
        let mut offset = 0.0;
        for (i, &v) in rank.iter().enumerate() {
            if let Some(&left) = i.checked_sub(1).and_then(|i| rank.get(i)) {
                let [a, b] = [left, v].map(|v| &self.vertices[v]);
                offset += (a.width + b.width) / 2.0 + if a.item && b.item { ASIDE } else { NARROW };
            }
            offsets.push(offset);
        }
        // Sum of weights, weighted sum of places of the first, and how many.
        let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
        for (&(wish, weight), offset) in wishes.iter().zip(&offsets) {
            let mut block = (weight, weight * (wish - offset), 1);
            while let Some(left) = blocks.pop_if(|left| left.1 / left.0 > block.1 / block.0) {
                block = (left.0 + block.0, left.1 + block.1, left.2 + block.2);
            }
            blocks.push(block);
        }
        let starts = blocks.iter().flat_map(|&(weight, sum, count)| std::iter::repeat_n(sum / weight, count));
        for ((&v, start), offset) in rank.iter().zip(starts).zip(&offsets) {
            self.vertices[v].x = start + offset;
        }
    }

    /// The heights of ranks, and everything in its place.
    fn placed(mut self, items: &[Item], links: &[Link], turned: &[bool]) -> Placed {
        let left = self.vertices.iter().map(|v| v.x - v.width / 2.0).fold(f64::INFINITY, f64::min);
        self.vertices.iter_mut().for_each(|v| v.x -= left);
        let mut y = 0.0;
        let mut bands: Vec<(f64, f64)> = Vec::new();
        for (i, rank) in self.ranks.iter().enumerate() {
            let height = rank.iter().map(|&v| self.vertices[v].height).fold(0.0, f64::max);
            bands.push((y, y + height));
            let below = self.ranks.get(i + 1).map_or(&[][..], Vec::as_slice);
            let has_boxes =
                |rank: &[usize]| rank.iter().any(|&v| self.vertices[v].item && self.vertices[v].height > 0.0);
            let least = if has_boxes(rank) && has_boxes(below) { GAP.0 } else { LOW };
            let arcs = rank.iter().flat_map(|&v| self.vertices[v].below.iter().map(move |arc| (v, arc)));
            let aside =
                arcs.map(|(v, arc)| (self.vertices[v].x + arc.here - self.vertices[arc.other].x - arc.there).abs());
            y += height + (aside.fold(0.0, f64::max) / 12.0).clamp(least, GAP.1);
        }
        let top = |v: &Vertex| {
            let (from, to) = bands[v.rank];
            (from + to - v.height) / 2.0
        };
        let own = &self.vertices[..items.len()];
        let way = |((link, &turned), chain): ((&Link, &bool), &Option<Vec<usize>>)| {
            if link.from == link.to {
                return Vec::new();
            }
            let (upper, lower) = ends(link, turned);
            let (out, into) = if turned { (link.into, link.out) } else { (link.out, link.into) };
            let (upper, lower) = (&own[upper], &own[lower]);
            let mut way = vec![Piece { x: upper.x + out, from: top(upper) + upper.height, to: bands[upper.rank].1 }];
            way.extend(chain.iter().flatten().map(|&point| {
                let point = &self.vertices[point];
                Piece { x: point.x, from: bands[point.rank].0, to: bands[point.rank].1 }
            }));
            way.push(Piece { x: lower.x + into, from: bands[lower.rank].0, to: top(lower) });
            if turned {
                way.reverse();
                way.iter_mut().for_each(|piece| std::mem::swap(&mut piece.from, &mut piece.to));
            }
            way
        };
        let ways: Vec<Vec<Piece>> = links.iter().zip(turned).zip(&self.chains).map(way).collect();
        let label = |((link, chain), way): ((&Link, &Option<Vec<usize>>), &Vec<Piece>)| {
            link.label?;
            let point = chain.as_ref().and_then(|chain| chain.first()).map(|&point| &self.vertices[point]);
            match (point, way.first(), way.last()) {
                (Some(point), ..) => Some((point.x, top(point) + point.height / 2.0)),
                (None, Some(from), Some(to)) => Some(((from.x + to.x) / 2.0, (from.from + to.to) / 2.0)),
                _ => None,
            }
        };
        let labels = links.iter().zip(&self.chains).zip(&ways).map(label).collect();
        let right = self.vertices.iter().map(|v| v.x + v.width / 2.0).fold(0.0, f64::max);
        Placed {
            items: own.iter().map(|v| (v.x, top(v))).collect(),
            ways,
            labels,
            width: right,
            height: bands.last().map_or(0.0, |band| band.1),
        }
    }
}

/// The most ranks that a link may span for its points to be placed.
fn longest(spans: &[usize]) -> usize {
    let mut longest = spans.iter().copied().max().unwrap_or(0);
    // Links that share points have their own pieces of the way.
    let points = |longest: usize| -> usize {
        spans.iter().filter(|&&span| span <= longest).map(|span| span.saturating_sub(1)).sum()
    };
    while points(longest) > MOST_POINTS && longest > 2 {
        longest /= 2;
    }
    longest
}

/// The median; of an even number the mean of the two in the middle.
fn middle(mut all: Vec<f64>) -> Option<f64> {
    let half = all.len() / 2;
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => None,
        n if n % 2 == 1 => Some(all[half]),
        _ => Some((all[half - 1] + all[half]) / 2.0),
    }
}

/// How many pairs stand in the wrong order; sorts them.
fn inversions(all: &mut [f64]) -> usize {
    if all.len() < 2 {
        return 0;
    }
    let (left, right) = all.split_at_mut(all.len() / 2);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        if j == right.len() || i < left.len() && left[i] <= right[j] {
            merged.push(left[i]);
            i += 1;
        } else {
            count += left.len() - i;
            merged.push(right[j]);
            j += 1;
        }
    }
    all.copy_from_slice(&merged);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: usize, to: usize) -> Link {
        Link { from, to, out: 0.0, into: 0.0, bundle: 0, label: None }
    }

    fn placed(count: usize, links: &[Link]) -> Placed {
        place(&vec![Item { width: 50.0, height: 20.0, pin: Pin::Free }; count], links)
    }

    #[test]
    fn arrows_lead_down_and_a_row_stands_straight() {
        let placed = placed(4, &[link(0, 1), link(1, 2), link(2, 3)]);
        assert!(placed.items.windows(2).all(|pair| pair[0].1 + 20.0 < pair[1].1 && pair[0].0 == pair[1].0));
        assert_eq!((placed.width, placed.items[0].0), (50.0, 25.0));
        assert!(placed.ways.iter().all(|way| way.len() == 2));
    }

    #[test]
    fn a_long_arrow_passes_the_boxes_between() {
        let placed = placed(3, &[link(0, 1), link(1, 2), link(0, 2)]);
        let (way, between) = (&placed.ways[2], placed.items[1]);
        assert_eq!(way.len(), 3);
        assert!((way[1].x - between.0).abs() > 25.0, "{way:?} {between:?}");
    }

    #[test]
    fn circles_and_arrows_to_oneself_end() {
        let placed = placed(3, &[link(0, 1), link(1, 2), link(2, 0), link(1, 1)]);
        // The arrow that leads up leaves at the top.
        let way = &placed.ways[2];
        assert_eq!((way[0].from, way.last().unwrap().to), (placed.items[2].1, placed.items[0].1 + 20.0));
        assert!(placed.ways[3].is_empty());
    }

    #[test]
    fn crossed_arrows_are_uncrossed() {
        // 0 and 1 above, 2 and 3 below, crosswise.
        let placed = placed(4, &[link(0, 3), link(1, 2)]);
        assert_eq!(placed.items[0].0 < placed.items[1].0, placed.items[3].0 < placed.items[2].0);
        assert_eq!(inversions(&mut [3.0, 1.0, 2.0, 0.0]), 5);
    }

    #[test]
    fn boxes_of_a_rank_do_not_touch() {
        let links: Vec<Link> = (1..9).map(|i| link(0, i)).chain((1..9).map(|i| link(i, 9))).collect();
        let placed = placed(10, &links);
        let mut row: Vec<f64> = placed.items[1..9].iter().map(|item| item.0).collect();
        row.sort_by(f64::total_cmp);
        assert!(row.windows(2).all(|pair| pair[1] - pair[0] > 50.0 + ASIDE - 1e-6));
        // Where they come from and where they lead stand in their middle.
        let middle = (row[0] + row[7]) / 2.0;
        assert!((placed.items[0].0 - middle).abs() < 1.0 && (placed.items[9].0 - middle).abs() < 1.0);
    }
}
