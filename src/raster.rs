//! Scenes as PNG files, drawn by kuva with a font of its own.

use kuva::RasterBackend;
use kuva::render::render::Scene;

use crate::error::{Error, Kind, Result};

/// Points of the PNG for each unit of the scene, if there are not too many.
const SCALE: f64 = 2.0;
/// The most points of a PNG: about 200 MB of them.
const POINTS: f64 = 5e7;
/// The longest side of a scene: beyond it nothing could be seen, and kuva's curves would have no end.
const LONGEST: f64 = 1e6;

/// The scene as a PNG file; `what` it is, for an error.
pub(crate) fn png(scene: &Scene, what: &str) -> Result<Vec<u8>> {
    let (width, height) = (scene.width, scene.height);
    let refused = |why: &str| {
        Error::parts(
            Kind::Argument,
            &format!("A {what} could not be drawn as PNG"),
            &format!("{width:.0} by {height:.0} units: {why}"),
            &format!("a {what} of at most {LONGEST:.0} units"),
            "Save it as SVG",
        )
    };
    if width.max(height) > LONGEST {
        return Err(refused("too long"));
    }
    let scale = (POINTS / (width * height)).sqrt().min(SCALE);
    RasterBackend::new().with_scale(scale as f32).render_scene(scene).map_err(|why| refused(&why.to_string()))
}

/// A text as it is, without what kuva would read as mathematics.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('$', "\\$")
}
