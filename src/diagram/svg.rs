//! Diagrams as SVG.

use std::fmt::Write;

use super::parts::{Diagram, escaped};
use super::picture::{Picture, Shape};

impl Diagram {
    /// The picture as an SVG document, laid out here. Thousands of boxes take a moment.
    pub fn to_svg(&self) -> String {
        let Picture { width, height, shapes } = self.picture();
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.1} {height:.1}\" font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\">\n"
        );
        let _ = writeln!(out, "<title>{}</title>", escaped(&self.title));
        let _ = writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        for shape in &shapes {
            let _ = match shape {
                Shape::Rect { at, radius, fill, stroke } => writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"{}\"/>",
                    at.x,
                    at.y,
                    at.width,
                    at.height,
                    stroke.unwrap_or("none")
                ),
                Shape::Line { path, stroke } => {
                    writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.2\"/>")
                }
                Shape::Head { points: [a, b, c], fill } => writeln!(
                    out,
                    "<path d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\" fill=\"{fill}\"/>",
                    a.0, a.1, b.0, b.1, c.0, c.1
                ),
                // The length makes it fit in whatever font there is.
                Shape::Text { at, width, text, size, bold, fill } => writeln!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\"{} fill=\"{fill}\" textLength=\"{width:.1}\" \
                     lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{}</text>",
                    at.0,
                    at.1,
                    if *bold { " font-weight=\"bold\"" } else { "" },
                    escaped(text)
                ),
            };
        }
        out + "</svg>\n"
    }
}
