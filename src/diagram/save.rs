//! Diagrams in files.

use std::path::Path;

use super::parts::Diagram;
use crate::error::{Error, Result, entry};
use crate::files;

impl Diagram {
    /// Writes the picture to a file, of the kind that its name ends in: `.svg`, `.dot` or `.gv` (for Graphviz), and with
    /// the feature `plot` `.png`. A file that is there is replaced.
    ///
    /// # Errors
    /// A name that ends otherwise; a file that cannot be written; a picture too large for a PNG file.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        entry(|| {
            let bytes = match files::ending(path).as_str() {
                "svg" => self.to_svg().into_bytes(),
                "dot" | "gv" => self.to_dot().into_bytes(),
                #[cfg(feature = "plot")]
                "png" => self.to_png()?,
                _ => return Err(unknown(path)),
            };
            files::replace(path, &bytes)
        })
    }
}

fn unknown(path: &Path) -> Error {
    let png = if cfg!(feature = "plot") { ", .png" } else { "" };
    let expected = format!("a name that ends in .svg{png}, .dot or .gv");
    let fix = if png.is_empty() { "Take SVG, or enable the feature `plot` for PNG" } else { "Take one of these" };
    files::unknown_kind("diagram", path, &expected, fix)
}
