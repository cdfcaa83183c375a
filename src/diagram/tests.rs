use super::layout::{Rect, lay_out};
use super::picture::Shape;
use super::{Color, Diagram, Node, NodeId, RankDir};
use crate::sys::Instant;

/// Whether every tag is closed by its own, and nothing stands unescaped; as far as the pictures here use XML.
fn is_well_formed(xml: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for piece in xml.split('<').skip(1) {
        let Some((tag, text)) = piece.split_once('>') else { return false };
        let entity = |rest: &str| ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| rest.starts_with(e));
        if text.contains('>') || !text.split('&').skip(1).chain(tag.split('&').skip(1)).all(entity) {
            return false;
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        if tag.matches('"').count() % 2 != 0 {
            return false;
        }
    }
    open.is_empty()
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

fn inside(a: &Rect, b: &Rect) -> bool {
    a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height
}

/// Two groups, one of them in another, and arrows across their edges.
fn grouped(direction: RankDir) -> Diagram {
    let mut d = Diagram::new("groups").rankdir(direction);
    let outer = d.group("outer", None);
    let inner = d.group("a group whose title is wider than what is in it", Some(outer));
    let input = d.add(Node::new("input"));
    let a = d.add(Node::new("a").row("(None, 3)").within(outer));
    let b = d.add(Node::new("b").cells(["left", "right"]).within(inner));
    let c = d.add(Node::new("c").within(inner));
    let end = d.add(Node::new("end"));
    for (from, to, label) in
        [(input, a, ""), (input, b, "skips a"), (a, b, "x"), (b, c, ""), (c, end, "y"), (a, end, "")]
    {
        d.connect(from, to, label);
    }
    d
}

#[test]
fn groups_hold_their_boxes_and_nothing_overlaps() {
    for direction in [RankDir::TB, RankDir::LR, RankDir::BT, RankDir::RL] {
        let diagram = grouped(direction);
        let layout = lay_out(&diagram);
        let all = Rect { x: 0.0, y: 0.0, width: layout.width, height: layout.height };
        for (i, a) in layout.nodes.iter().enumerate() {
            assert!(inside(a, &all));
            assert!(layout.nodes[i + 1..].iter().all(|b| !overlap(a, b)), "{direction}");
        }
        assert!(inside(&layout.groups[1], &layout.groups[0]) && inside(&layout.groups[0], &all));
        for (node, at) in [(1, 0), (2, 1), (3, 1)] {
            assert!(inside(&layout.nodes[node], &layout.groups[at]), "{direction}");
        }
        for node in [0, 4] {
            assert!(!overlap(&layout.nodes[node], &layout.groups[0]), "{direction}");
        }
        // Every arrow begins at the edge of its source and ends at that of its target.
        for (edge, way) in diagram.arrows().zip(&layout.ways) {
            let near = |r: &Rect, p: (f64, f64)| {
                (r.x - 0.1..=r.x + r.width + 0.1).contains(&p.0) && (r.y - 0.1..=r.y + r.height + 0.1).contains(&p.1)
            };
            assert!(near(&layout.nodes[edge.from], way.pieces[0].0), "{direction} {edge:?}");
            assert!(near(&layout.nodes[edge.to], way.pieces.last().unwrap().1), "{direction} {edge:?}");
            assert_eq!(way.label.is_some(), !edge.label.is_empty());
        }
        let first = (layout.nodes[0], layout.nodes[4]);
        assert!(match direction {
            RankDir::TB => first.0.y < first.1.y,
            RankDir::BT => first.0.y > first.1.y,
            RankDir::LR => first.0.x < first.1.x,
            RankDir::RL => first.0.x > first.1.x,
        });
        assert!(is_well_formed(&diagram.to_svg()));
    }
}

/// Boxes of a rank have different heights, and the highest leave no room in front of them.
#[test]
fn heads_of_arrows_stand_in_front_of_boxes() {
    for direction in [RankDir::TB, RankDir::LR, RankDir::BT, RankDir::RL] {
        let mut d = grouped(direction);
        let from = d.add(Node::new("from"));
        for rows in 0..7 {
            let to = (0..rows).fold(Node::new("to"), |node, i| node.row(format!("row {i}")));
            let to = d.add(to);
            d.connect(from, to, "label");
        }
        let boxes = lay_out(&d).nodes;
        let picture = d.picture();
        let heads = picture.shapes.iter().filter_map(|shape| match shape {
            Shape::Head { points, .. } => Some(points),
            _ => None,
        });
        assert_eq!(heads.clone().count(), d.arrows().count());
        for [_, wings @ ..] in heads {
            let hidden = |b: &Rect, p: &(f64, f64)| {
                (b.x + 0.1..b.x + b.width - 0.1).contains(&p.0) && (b.y + 0.1..b.y + b.height - 0.1).contains(&p.1)
            };
            assert!(boxes.iter().all(|b| wings.iter().all(|p| !hidden(b, p))), "{direction}");
        }
    }
}

#[test]
fn odd_names_are_escaped() {
    let mut d = Diagram::new("a \"title\" \\ <&>");
    let group = d.group("</svg><script>", None);
    let a = d.add(Node::new("x\u{0}\u{1b}\n<b>\"&amp;").row("C:\\new\\ny").row("").within(group));
    let b = d.add(Node::new("").row("Привет 世界"));
    d.connect(a, b, "\"];\\");
    let svg = d.to_svg();
    assert!(is_well_formed(&svg), "{svg}");
    assert!(svg.contains("&lt;b&gt;&quot;&amp;amp;") && svg.contains("Привет 世界") && !svg.contains("<script"));
    assert!(!svg.contains(|c: char| c.is_control() && c != '\n'));
    let dot = d.to_dot();
    assert!(dot.starts_with("digraph \"a \\\"title\\\" \\\\ <&>\" {\n"), "{dot}");
    assert!(dot.contains("n0 -> n1 [label=\"\\\"];\\\\\"];"), "{dot}");
    assert!(dot.contains("C:\\new\\ny") && dot.contains("<b> </b>"), "{dot}");
}

#[test]
fn an_empty_diagram_is_a_picture_too() {
    let mut d = Diagram::new("");
    assert!(d.is_empty() && is_well_formed(&d.to_svg()));
    assert!(d.to_dot().ends_with("}\n"));
    d.group("empty", None);
    assert!(is_well_formed(&d.to_svg()) && d.to_svg().contains(">empty</text>"));
}

#[test]
fn rows_wrap_at_words() {
    let node = Node::new("step").paragraph("one two three  four", 9).paragraph("", 5);
    assert_eq!(node.rows, [["one two"], ["three"], ["four"]]);
}

#[test]
fn the_same_arrow_twice_is_one_and_circles_end() {
    let mut d = Diagram::new("circle");
    let [a, b] = ["a", "b"].map(|name| d.add(Node::new(name)));
    for (from, to) in [(a, b), (a, b), (b, a), (a, a)] {
        d.connect(from, to, "");
    }
    assert_eq!(d.to_dot().matches(" -> ").count(), 3);
    assert!(is_well_formed(&d.to_svg()));
}

#[test]
fn thousands_of_boxes_take_a_moment() {
    // A training step's shape: a long way down, and from each box of it an arrow to one on the way back.
    let count = 4000;
    let mut d = Diagram::new("deep");
    let nodes: Vec<NodeId> = (0..count).map(|i| d.add(Node::new(format!("step {i}")).color(Color::Blue))).collect();
    for i in 1..count {
        d.connect(nodes[i - 1], nodes[i], "f32[64, 32]");
        d.connect(nodes[i.min(count - i) / 2], nodes[i], "");
    }
    // And one wide rank.
    let end = d.add(Node::new("end"));
    (0..500).for_each(|i| {
        let leaf = d.add(Node::new(format!("leaf {i}")));
        d.connect(leaf, end, "");
    });
    let begin = Instant::now();
    let svg = d.to_svg();
    let seconds = begin.elapsed().as_secs_f64();
    assert!(svg.matches("<text").count() >= count && svg.contains("leaf 499"));
    assert!(seconds < 20.0, "{seconds} s");
}

#[test]
fn a_value_that_all_of_a_long_chain_reads_makes_no_endless_picture() {
    let mut d = Diagram::new("unrolled");
    let weight = d.add(Node::new("w"));
    let mut last = d.add(Node::new("x"));
    for i in 0..3000 {
        let step = d.add(Node::new(format!("mul {i}")));
        d.connect(last, step, "");
        d.connect(weight, step, "");
        last = step;
    }
    let (begin, svg) = (Instant::now(), d.to_svg());
    assert!(svg.len() < 20_000_000, "{} bytes", svg.len());
    assert!(begin.elapsed().as_secs_f64() < 20.0);
}

#[test]
#[cfg(feature = "plot")]
fn a_picture_too_long_for_a_png_is_an_error() {
    let mut d = Diagram::new("endless");
    (0..9000).fold(None, |last, _| {
        let step = d.add(Node::new("a step with a long name, of which there are many in a row"));
        last.into_iter().for_each(|last| d.connect(last, step, ""));
        Some(step)
    });
    assert!(d.rankdir(RankDir::LR).to_png().unwrap_err().is_invalid_argument());
}

#[test]
fn groups_within_groups_do_not_use_the_stack() {
    let mut d = Diagram::new("nested");
    let mut group = None;
    for i in 0..2000 {
        group = Some(d.group(format!("{i}"), group));
    }
    let a = d.add(Node::new("inner").within(group));
    let b = d.add(Node::new("outer"));
    d.connect(a, b, "");
    assert!(is_well_formed(&d.to_svg()));
    assert_eq!(d.to_dot().matches("subgraph").count(), 2000);
}

#[test]
fn files_are_of_the_kind_that_their_names_say() {
    let folder = std::env::temp_dir().join(format!("wgtensor-diagram-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let diagram = grouped(RankDir::TB);
    for (name, start) in [("a.svg", "<svg"), ("a.DOT", "digraph"), ("a.gv", "digraph")] {
        diagram.save(folder.join(name)).unwrap();
        assert!(std::fs::read_to_string(folder.join(name)).unwrap().starts_with(start));
    }
    let error = diagram.save(folder.join("a.jpeg")).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains(".svg"), "{error}");
    assert!(diagram.save(folder.join("no folder").join("a.svg")).unwrap_err().is_io());
    #[cfg(feature = "plot")]
    {
        diagram.save(folder.join("a.png")).unwrap();
        assert!(std::fs::read(folder.join("a.png")).unwrap().starts_with(b"\x89PNG"));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn directions_have_graphviz_s_names() {
    assert_eq!("LR".parse::<RankDir>().unwrap(), RankDir::LR);
    assert!("lr".parse::<RankDir>().unwrap_err().to_string().contains("\"lr\""));
    assert!(Diagram::new("x").rankdir(RankDir::BT).to_dot().contains("rankdir=BT;"));
}
