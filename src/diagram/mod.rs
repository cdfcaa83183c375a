//! Pictures of graphs: boxes, groups of boxes, arrows.
//!
//! A [`Diagram`] is what [`plot_model`](crate::nn::plot_model), [`Tensor::diagram`](crate::Tensor::diagram) and
//! [`Device::last_plan_diagram`](crate::Device::last_plan_diagram) give. It becomes an SVG file, which every browser shows,
//! or text for Graphviz (DOT); nothing need be installed for either. With the feature `plot` it becomes a PNG file too.
//!
//! ```
//! use wgtensor::diagram::{Color, Diagram, Node};
//!
//! let mut diagram = Diagram::new("a filter");
//! let input = diagram.add(Node::new("input").row("f32[64]"));
//! let filter = diagram.group("filter", None);
//! let smooth = diagram.add(Node::new("smooth").row("width 3").color(Color::Blue).within(filter));
//! diagram.connect(input, smooth, "signal");
//! assert!(diagram.to_svg().starts_with("<svg"));
//! assert!(diagram.to_dot().contains("subgraph cluster_0"));
//! # let path = std::env::temp_dir().join(format!("wgtensor-diagram-{}.svg", std::process::id()));
//! # let path = path.as_path();
//! diagram.save(path)?; // "filter.svg"
//! # std::fs::remove_file(path).ok();
//! # Ok::<(), wgtensor::Error>(())
//! ```
//!
//! `parts.rs` says what a diagram is made of and `dot.rs` writes it for Graphviz. The other road is our own: `measure.rs`
//! says how large things are, `layers.rs` places boxes in ranks, `layout.rs` does so for groups within groups, `picture.rs`
//! draws with a few shapes, and `svg.rs` and `png.rs` write these.

mod dot;
mod layers;
mod layout;
mod measure;
mod parts;
mod picture;
#[cfg(feature = "plot")]
mod png;
mod save;
mod svg;
#[cfg(test)]
mod tests;

pub use parts::{Color, Diagram, GroupId, Node, NodeId, RankDir};
