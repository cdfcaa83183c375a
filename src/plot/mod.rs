//! Charts: what a training did and how good a model is, as SVG, as PNG and in the terminal. Feature `plot`.

mod axis;
mod chart;
mod panel;
mod picture;
mod text;
mod view;
mod words;

pub use chart::Chart;
pub use panel::IntoPoint;

#[cfg(test)]
mod tests;
