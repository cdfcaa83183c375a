//! How large things are drawn, in pixels.

use super::parts::Node;

/// Sizes of letters.
pub(super) const TITLE: f64 = 13.0;
pub(super) const TEXT: f64 = 12.0;
/// The room left and right of a text in a cell.
pub(super) const PADDING: f64 = 10.0;
/// Heights of titles and rows.
pub(super) const HEAD: f64 = 25.0;
pub(super) const ROW: f64 = 19.0;
/// The height of a label beside an arrow.
pub(super) const LABEL: f64 = 16.0;

/// About the width of a text in Helvetica or a like font.
pub(super) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.23,
        'f' | 't' | 'r' | ' ' | '.' | ',' | ':' | ';' | '!' | '/' | '\\' | '(' | ')' | '[' | ']' | '-' | '·' => 0.31,
        'm' | 'M' | 'W' | '@' | '%' => 0.9,
        'w' | 'A'..='Z' | '&' => 0.71,
        c if c.is_ascii() => 0.556,
        // Scripts of the far East and pictures are as wide as high.
        '\u{1100}'.. => 1.0,
        _ => 0.65,
    };
    text.chars().map(em).sum::<f64>() * size * if bold { 1.07 } else { 1.0 }
}

/// The width of a cell.
pub(super) fn cell_width(text: &str) -> f64 {
    text_width(text, TEXT, false) + 2.0 * PADDING
}

/// Width and height of a box.
pub(super) fn node_size(node: &Node) -> (f64, f64) {
    let title = text_width(&node.title, TITLE, true) + 2.0 * PADDING;
    let row = |cells: &Vec<String>| cells.iter().map(|cell| cell_width(cell)).sum::<f64>();
    let width = node.rows.iter().map(row).fold(title.max(60.0), f64::max);
    (width.ceil(), HEAD + ROW * node.rows.len() as f64)
}

/// Width and height of a label, `None` of none.
pub(super) fn label_size(label: &str) -> Option<(f64, f64)> {
    (!label.is_empty()).then(|| (text_width(label, TEXT, false) + 12.0, LABEL))
}
