//! What of a panel can be drawn, on which axes, and what had to be left out.

use super::axis::{Axis, Scale};
use super::panel::{Kind, Panel, Series};

/// The most ranges of a histogram that nobody asked for more of.
const BINS: f64 = 40.0;

/// Points that cannot be drawn, by reason.
#[derive(Default)]
struct LeftOut {
    not_finite: usize,
    not_positive: usize,
    without_category: usize,
}

impl LeftOut {
    /// Whether the number can be drawn; counted where it cannot.
    fn keeps(&mut self, value: f64, scale: Scale) -> bool {
        let plain = Scale { log: false, ..scale };
        let counter = match (plain.has(value), scale.has(value)) {
            (false, _) => &mut self.not_finite,
            (_, false) => &mut self.not_positive,
            _ => return true,
        };
        *counter += 1;
        false
    }

    fn keeps_point(&mut self, (x, y): (f64, f64), scales: (Scale, Scale)) -> bool {
        self.keeps(x, scales.0) && self.keeps(y, scales.1)
    }

    /// A sentence for the reader; empty where all is there.
    fn note(&self) -> String {
        let reasons = [
            (self.not_finite, "not finite"),
            (self.not_positive, "not above 0 on a logarithmic axis"),
            (self.without_category, "without a category"),
        ];
        let said: Vec<String> =
            reasons.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
        if said.is_empty() { String::new() } else { format!("left out: {}", said.join(", ")) }
    }
}

/// Lines on two axes.
pub(super) struct Lines {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Of each series the parts without a gap, in places on the axes.
    pub(super) parts: Vec<Vec<Vec<(f64, f64)>>>,
    pub(super) note: String,
}

pub(super) fn lines(panel: &Panel, ticks: (usize, usize)) -> Lines {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let whole = points().all(|&(x, _)| x.fract() == 0.0 || !x.is_finite());
    let scales =
        (Scale { log: panel.log_x, whole, ..Scale::default() }, Scale { log: panel.log_y, ..Scale::default() });
    let mut left = LeftOut::default();
    let kept: Vec<Vec<Vec<(f64, f64)>>> = panel
        .series
        .iter()
        .map(|series| {
            let mut parts = vec![Vec::new()];
            for &point in &series.points {
                match left.keeps_point(point, scales) {
                    true => parts.last_mut().expect("one at least").push(point),
                    false => parts.push(Vec::new()),
                }
            }
            parts.retain(|part| !part.is_empty());
            parts
        })
        .collect();
    let all = || kept.iter().flatten().flatten();
    let x = Axis::new(all().map(|point| point.0), scales.0, ticks.0);
    let y = Axis::new(all().map(|point| point.1), scales.1, ticks.1);
    let place = |&(a, b): &(f64, f64)| (x.at(a), y.at(b));
    let parts = kept.iter().map(|parts| parts.iter().map(|part| part.iter().map(place).collect()).collect()).collect();
    Lines { parts, note: left.note(), x, y }
}

/// Bars on an axis.
pub(super) struct Bars {
    pub(super) axis: Axis,
    /// Of each series one value a category, if it has it.
    pub(super) values: Vec<Vec<Option<f64>>>,
    pub(super) note: String,
}

pub(super) fn bars(panel: &Panel, categories: usize, ticks: usize) -> Bars {
    let scale = Scale { log: panel.log_y, from_zero: true, ..Scale::default() };
    let mut left = LeftOut::default();
    let mut of = |series: &Series| -> Vec<Option<f64>> {
        left.without_category += series.points.len().saturating_sub(categories);
        let given = series.points.iter().take(categories);
        let mut values: Vec<Option<f64>> = given.map(|&(_, y)| left.keeps(y, scale).then_some(y)).collect();
        values.resize(categories, None);
        values
    };
    let values: Vec<Vec<Option<f64>>> = panel.series.iter().map(&mut of).collect();
    let axis = Axis::new(values.iter().flatten().flatten().copied(), scale, ticks);
    Bars { axis, values, note: left.note() }
}

/// Counts of values in ranges of equal width.
pub(super) struct Histogram {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// The places of the ranges' ends on the x axis, one more than ranges.
    pub(super) edges: Vec<f64>,
    /// Of each series one count a range.
    pub(super) counts: Vec<Vec<f64>>,
    pub(super) note: String,
}

/// The counts, in at most so many ranges.
pub(super) fn histogram(panel: &Panel, most: usize, ticks: (usize, usize)) -> Histogram {
    let scale = Scale { log: panel.log_x, tight: true, ..Scale::default() };
    let mut left = LeftOut::default();
    let values: Vec<Vec<f64>> = panel
        .series
        .iter()
        .map(|series| series.points.iter().map(|point| point.1).filter(|&v| left.keeps(v, scale)).collect())
        .collect();
    let x = Axis::new(values.iter().flatten().copied(), scale, ticks.0);
    // Rice's rule, for the longest of them.
    let longest = values.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let rule = (2.0 * longest.cbrt()).ceil().clamp(1.0, BINS) as usize;
    let asked = if let Kind::Histogram(bins) = panel.kind { bins } else { None };
    let bins = asked.unwrap_or(rule).clamp(1, most.max(1));
    let width = (x.to - x.from) / bins as f64;
    let edges = (0..=bins).map(|i| x.from + width * i as f64).collect();
    let counts: Vec<Vec<f64>> = values
        .iter()
        .map(|values| {
            let mut counts = vec![0.0; bins];
            for &value in values {
                counts[((x.share(value) * bins as f64) as usize).min(bins - 1)] += 1.0;
            }
            counts
        })
        .collect();
    let y_scale = Scale { log: panel.log_y, from_zero: true, whole: true, ..Scale::default() };
    // Ranges without values have no bar, also where an axis has no zero.
    let y = Axis::new(counts.iter().flatten().copied().filter(|&count| count > 0.0), y_scale, ticks.1);
    Histogram { x, y, edges, counts, note: left.note() }
}

/// Cells in rows and columns.
pub(super) struct Cells {
    /// A row of each series, NaN where there is nothing to show.
    pub(super) rows: Vec<Vec<f64>>,
    /// The least and the greatest value that there is.
    pub(super) range: (f64, f64),
    pub(super) note: String,
}

pub(super) fn cells(panel: &Panel, columns: usize) -> Cells {
    let mut left = LeftOut::default();
    let rows: Vec<Vec<f64>> = panel
        .series
        .iter()
        .map(|series| {
            left.without_category += series.points.len().saturating_sub(columns);
            let given = series.points.iter().take(columns);
            let mut row: Vec<f64> =
                given.map(|&(_, v)| if left.keeps(v, Scale::default()) { v } else { f64::NAN }).collect();
            row.resize(columns, f64::NAN);
            row
        })
        .collect();
    let known = || rows.iter().flatten().copied().filter(|v| !v.is_nan());
    let range = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let range = if range.0 <= range.1 { range } else { (0.0, 1.0) };
    Cells { rows, range, note: left.note() }
}
