//! Charts: what a training did and how good a model is, as SVG, as PNG and in the terminal. Feature `plot`.
//!
//! ```
//! use wgtensor::nn::prelude::*;
//! use wgtensor::{Device, Tensor, plot};
//!
//! let device = Device::cpu();
//! let x = Tensor::uniform([400, 2], -1.0, 1.0, 1, &device)?;
//! let y = x.sum(1)?.gt(0.0)?.cast(wgtensor::DType::I32)?;
//! let mut model = Sequential::new().add(Dense::new(16).activation(Relu)).add(Dense::new(1).activation(Sigmoid));
//! model.compile("adam", "binary_crossentropy", ["accuracy"])?;
//! let history = model.fit(&x, &y, Fit::new().epochs(10).validation_split(0.25))?;
//!
//! let curves = plot::learning_curves(&history);
//! println!("{curves}"); // in the terminal ...
//! # let folder = std::env::temp_dir().join(format!("wgtensor-plot-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = |name: &str| folder.join(name);
//! curves.save(path("curves.png"))?; // ... and as a file, .png or .svg
//!
//! let p = model.predict(&x, ())?;
//! let confusion = plot::confusion_matrix(&y, &p, ["below", "above"])?;
//! let roc = plot::roc_curve(&y, &p)?;
//! confusion.beside(roc).save(path("quality.svg"))?;
//! plot::weight_histograms(&model)?.print();
//! # std::fs::remove_dir_all(folder).unwrap();
//! # Ok::<(), wgtensor::Error>(())
//! ```
//!
//! [`Chart`] also makes lines, bars, histograms and tables of numbers of one's own, and puts charts [beside](Chart::beside)
//! each other or in a [grid](Chart::grid).
//!
//! In the terminal, lines are told apart by marks; there is colour where [`Chart::print`] finds a terminal that shows it, and
//! where it is asked for with `{:#}`. Colours are Okabe and Ito's, which the colour-blind tell apart.

mod axis;
mod chart;
mod confusion;
mod curves;
mod labels;
mod panel;
mod picture;
mod roc;
mod text;
mod view;
mod weights;
mod words;

pub use chart::Chart;
pub use confusion::{confusion_counts, confusion_matrix};
pub use curves::learning_curves;
pub use panel::{Coordinate, IntoPoint};
pub use roc::{Roc, roc_curve};
pub use weights::weight_histograms;

#[cfg(test)]
mod tests;
