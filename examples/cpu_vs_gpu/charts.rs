//! The figures as charts: seconds against size for each kind of work, where lines cross the one device overtakes the other, and
//! the shares of the ceilings.

use std::path::Path;

use wgtensor::Result;
use wgtensor::plot::Chart;

use super::{Contender, Ladder, told};

/// The height of a chart in a terminal, in rows, and about its width.
const ROWS: usize = 12;
const COLUMNS: usize = 64;

/// Seconds of a run against the size, a line for each device.
fn times(contenders: &[Contender], ladder: &Ladder) -> Chart {
    let chart = Chart::lines(ladder.kind.name).log_x().log_y().x_label(ladder.kind.axis).y_label("seconds");
    contenders.iter().enumerate().fold(chart, |chart, (d, contender)| {
        let medians = ladder.medians(d).into_iter().zip(ladder.sizes());
        let points = medians.filter_map(|(seconds, &size)| Some((ladder.kind.scale(size), seconds?)));
        chart.series(contender.title(), points.collect::<Vec<_>>())
    })
}

/// The share of its own ceiling that each device came to at the largest size, by kind of work.
fn shares(contenders: &[Contender], ladders: &[Ladder]) -> Chart {
    let bound: Vec<&Ladder> = ladders.iter().filter(|ladder| !ladder.kind.transfer).collect();
    let chart =
        Chart::bars("Percent of the device's own ceiling at the largest size", bound.iter().map(|l| l.kind.name));
    contenders.iter().enumerate().fold(chart, |chart, (d, contender)| {
        let last = |ladder: &&Ladder| told::last_share(ladder, d, contender).map_or(0.0, |share| 100.0 * share);
        chart.series(contender.title(), bound.iter().map(last).collect::<Vec<f64>>())
    })
}

fn all_times(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> Chart {
    Chart::grid("Seconds against size", ladders.iter().map(|ladder| times(contenders, ladder)), columns)
}

/// The charts of times for a terminal, as many side by side as it has room for.
pub(super) fn text(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    all_times(contenders, ladders, (columns / COLUMNS).clamp(1, 3)).to_text(columns, ROWS)
}

/// Writes each chart, and `times`, all of the first ones together, as SVG and as PNG.
pub(super) fn save(dir: &Path, contenders: &[Contender], ladders: &[Ladder]) -> Result<()> {
    let each = ladders.iter().map(|ladder| (ladder.kind.name.replace(' ', "-"), times(contenders, ladder)));
    let more = [("times".into(), all_times(contenders, ladders, 3)), ("shares".into(), shares(contenders, ladders))];
    for (name, chart) in each.chain(more) {
        chart.save(dir.join(format!("{name}.svg")))?;
        chart.save(dir.join(format!("{name}.png")))?;
    }
    Ok(())
}
