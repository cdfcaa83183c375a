//! `Chart`: panels put together, and where they go.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use super::panel::{IntoPoint, Kind, Panel, Series};
use super::{picture, text};
use crate::error::{Result, entry};
use crate::{files, sys};

/// The height of a panel in a terminal, in rows.
const ROWS: usize = 16;

/// A figure of one panel or of several, as SVG, as PNG or in a terminal.
///
/// The functions of [this module](crate::plot) make charts of what a model does; [`lines`](Self::lines), [`bars`](Self::bars),
/// [`histogram`](Self::histogram) and [`heatmap`](Self::heatmap) make them of anything.
///
/// ```
/// use wgtensor::plot::Chart;
///
/// let chart = Chart::lines("Products of matrices")
///     .series("CPU", [(64, 0.00002), (512, 0.005), (4096, 1.9)])
///     .series("GPU", [(64, 0.00031), (512, 0.0007), (4096, 0.055)])
///     .x_label("rows")
///     .y_label("seconds")
///     .log_x()
///     .log_y();
/// println!("{chart}");
/// assert!(chart.to_svg().starts_with("<svg"));
/// # let folder = std::env::temp_dir().join(format!("wgtensor-chart-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("products.png");
/// chart.save(&path)?; // a path that ends in .svg or .png
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Numbers that cannot be shown (NaN, infinities, and zero or less on a logarithmic axis) are left out, which a note in the chart
/// says.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    panels: Vec<Panel>,
    /// Panels in a row.
    columns: usize,
}

impl Chart {
    fn of(title: impl Into<String>, kind: Kind) -> Self {
        Chart { title: String::new(), panels: vec![Panel::new(title.into(), kind)], columns: 1 }
    }

    /// A line through the points of each [`series`](Self::series).
    pub fn lines(title: impl Into<String>) -> Self {
        Self::of(title, Kind::Lines)
    }

    /// In each category a bar of every [`series`](Self::series): its first value stands in the first category and so on.
    ///
    /// ```
    /// use wgtensor::plot::Chart;
    ///
    /// let chart = Chart::bars("Seconds an epoch", ["small", "large"]).series("CPU", [1.5, 30.0]).series("GPU", [0.5, 2.0]);
    /// assert!(chart.to_text(40, 10).contains("large CPU ████"));
    /// ```
    pub fn bars(title: impl Into<String>, categories: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(title, Kind::Bars(categories.into_iter().map(Into::into).collect()))
    }

    /// How often the values of each [`series`](Self::series) lie in which of up to 40 ranges, fewer for few values.
    pub fn histogram(title: impl Into<String>) -> Self {
        Self::of(title, Kind::Histogram(None))
    }

    /// A table of numbers as colours, and written where there is room: each [`series`](Self::series) is a row with a value for
    /// every one of these columns.
    ///
    /// ```
    /// use wgtensor::plot::Chart;
    ///
    /// let table = Chart::heatmap("Distances", ["a", "b"]).series("a", [0.0, 2.5]).series("b", [2.5, 0.0]);
    /// assert_eq!(table.to_text(40, 10).lines().count(), 4); // a title, a line of names, two rows
    /// ```
    pub fn heatmap(title: impl Into<String>, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(title, Kind::Heatmap(columns.into_iter().map(Into::into).collect()))
    }

    /// Charts in one figure below a title (`""` for none), in rows of at most so many panels.
    ///
    /// ```
    /// use wgtensor::plot::Chart;
    ///
    /// let sine = |times: f64| (0..50).map(move |i| (times * 0.1 * i as f64).sin());
    /// let charts = [1.0, 2.0, 3.0].map(|times| Chart::lines(format!("sin {times}x")).series("", sine(times)));
    /// println!("{}", Chart::grid("Waves", charts, 2));
    /// ```
    pub fn grid(title: impl Into<String>, charts: impl IntoIterator<Item = Chart>, columns: usize) -> Self {
        let panels = charts.into_iter().flat_map(|chart| chart.panels).collect();
        Chart { title: title.into(), panels, columns: columns.max(1) }
    }

    /// This chart with another one to its right; all panels of both stand in one row.
    pub fn beside(self, other: Chart) -> Self {
        let title = if self.title.is_empty() { other.title.clone() } else { self.title.clone() };
        let columns = self.panels.len() + other.panels.len();
        Self::grid(title, [self, other], columns)
    }

    /// Adds a series to the chart, in a figure of several to the last one. Points are pairs `(x, y)`; plain numbers have their
    /// place in the series, from 0, as their x. A series without a name is not in the legend.
    pub fn series(self, name: impl Into<String>, points: impl IntoIterator<Item = impl IntoPoint>) -> Self {
        self.with(name.into(), points, false)
    }

    /// A series to compare the others with: a faint dashed line.
    pub fn guide(self, name: impl Into<String>, points: impl IntoIterator<Item = impl IntoPoint>) -> Self {
        self.with(name.into(), points, true)
    }

    fn with(mut self, name: String, points: impl IntoIterator<Item = impl IntoPoint>, guide: bool) -> Self {
        if let Some(panel) = self.panels.last_mut() {
            let points = points.into_iter().enumerate().map(|(place, point)| point.into_point(place)).collect();
            panel.series.push(Series { name, points, guide });
        }
        self
    }

    fn each(mut self, set: impl FnMut(&mut Panel)) -> Self {
        self.panels.iter_mut().for_each(set);
        self
    }

    /// What stands on the x axis, in a figure of several charts of all of them; in a terminal, bars have their names there.
    pub fn x_label(self, label: impl Into<String>) -> Self {
        let label = label.into();
        self.each(|panel| panel.x_label.clone_from(&label))
    }

    /// What stands on the y axis.
    pub fn y_label(self, label: impl Into<String>) -> Self {
        let label = label.into();
        self.each(|panel| panel.y_label.clone_from(&label))
    }

    /// A logarithmic x axis.
    pub fn log_x(self) -> Self {
        self.each(|panel| panel.log_x = true)
    }

    /// A logarithmic y axis.
    pub fn log_y(self) -> Self {
        self.each(|panel| panel.log_y = true)
    }

    /// The number of ranges of a histogram, at most 1000.
    pub fn bins(self, count: usize) -> Self {
        self.each(|panel| {
            if let Kind::Histogram(bins) = &mut panel.kind {
                *bins = Some(count.clamp(1, 1000));
            }
        })
    }

    /// As an SVG document. Its texts are in DejaVu Sans or whatever sans-serif font there is.
    pub fn to_svg(&self) -> String {
        kuva::backend::svg::SvgBackend.render_scene(&self.scene())
    }

    /// As a PNG file, two of its points for each unit of the SVG, or fewer of a very large one.
    ///
    /// # Errors
    /// A figure so long that nothing could be seen.
    #[track_caller]
    pub fn to_png(&self) -> Result<Vec<u8>> {
        crate::raster::png(&self.scene(), "chart")
    }

    /// Writes a file, as SVG or PNG as its name ends, in place of one that may be there. Errors: another ending, and what
    /// prevents writing.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        entry(|| {
            let bytes = match files::ending(path).as_str() {
                "svg" => self.to_svg().into_bytes(),
                "png" => self.to_png()?,
                _ => {
                    let expected = "a name that ends in .svg or .png";
                    return Err(files::unknown_kind("chart", path, expected, "Take one of these"));
                }
            };
            files::replace(path, &bytes)
        })
    }

    /// For a terminal of so many columns, each panel about `rows` rows high (tables and bars have as many as they need), without
    /// colours. Columns are at least 20, and rows 8.
    pub fn to_text(&self, columns: usize, rows: usize) -> String {
        text::render(&self.title, &self.panels, self.columns, (columns, rows), false)
    }

    /// Prints to the standard output at the terminal's width; in colour if it is a terminal and `NO_COLOR` is not set.
    pub fn print(&self) {
        let color = sys::draws(&io::stdout()) && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        // A closed output is no reason to stop.
        let _ = io::stdout().lock().write_all(self.at_terminal(color).as_bytes());
    }

    fn at_terminal(&self, color: bool) -> String {
        text::render(&self.title, &self.panels, self.columns, (sys::terminal_columns(), ROWS), color)
    }

    fn scene(&self) -> kuva::render::render::Scene {
        picture::scene(&self.title, &self.panels, self.columns)
    }
}

/// The chart as [`Chart::to_text`] gives it, at the terminal's width; with `{:#}` in colour.
impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at_terminal(f.alternate()))
    }
}
