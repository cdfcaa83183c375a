//! Diagrams as PNG.

use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::parts::Diagram;
use super::picture::{Picture, Shape};
use crate::error::Result;
use crate::raster::{escaped, png};

impl Diagram {
    /// The picture as a PNG file, two of its points for each unit of the SVG, or fewer of a very large one.
    ///
    /// # Errors
    /// A picture so long that nothing could be seen.
    #[track_caller]
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let Picture { width, height, shapes } = self.picture();
        let mut scene = Scene::with_capacity(width, height, shapes.len());
        scene.elements.extend(shapes.into_iter().map(primitive));
        png(&scene, "diagram")
    }
}

fn primitive(shape: Shape<'_>) -> Primitive {
    match shape {
        Shape::Rect { at, fill, stroke, .. } => Primitive::Rect {
            x: at.x,
            y: at.y,
            width: at.width,
            height: at.height,
            fill: fill.into(),
            stroke: stroke.map(Into::into),
            stroke_width: Some(1.0),
            opacity: None,
        },
        Shape::Line { path, stroke } => path_of(path, None, stroke),
        Shape::Head { points: [a, b, c], fill } => {
            path_of(format!("M{} {}L{} {}L{} {}Z", a.0, a.1, b.0, b.1, c.0, c.1), Some(fill), fill)
        }
        // The font there is a little wider.
        Shape::Text { at, width, text, size, bold, fill } => Primitive::Text {
            x: at.0 + width / 2.0,
            y: at.1,
            content: escaped(text),
            size: size as u32 - 1,
            anchor: TextAnchor::Middle,
            rotate: None,
            bold,
            color: Some(fill.into()),
        },
    }
}

fn path_of(d: String, fill: Option<&str>, stroke: &str) -> Primitive {
    Primitive::Path(Box::new(PathData {
        d,
        fill: fill.map(Into::into),
        stroke: stroke.into(),
        stroke_width: 1.2,
        opacity: None,
        stroke_dasharray: None,
    }))
}
