//! Panels as a picture: kuva draws them, on axes that are worked out here, so that it never meets a number that it could stumble
//! over.

use std::cell::Cell;
use std::sync::Arc;

use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::plot::{BarPlot, ColorMap, Heatmap, Histogram as Columns, LinePlot, LineStyle, ScatterPlot};
use kuva::render::layout::{ComputedLayout, Layout};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};
use kuva::{AxisLabelOverlap, Theme, TickFormat};

use super::axis::{Axis, number};
use super::panel::{Kind, Panel};
use super::view;
use super::words::words as shortened;

/// Okabe and Ito's colours, which the colour-blind can tell apart, without the yellow that is lost on white.
pub(super) const COLORS: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (119, 119, 119)];
/// What is drawn faintly.
const FAINT: &str = "#999999";
const TEXT: &str = "#222222";
/// The size of a panel that stands alone, and of one among others.
const ALONE: (f64, f64) = (720.0, 450.0);
const AMONG: (f64, f64) = (480.0, 340.0);
/// Between panels and around all of them.
const GAP: f64 = 14.0;
const TITLE: f64 = 20.0;
const LABEL: u32 = 12;
/// The room for the name of the y axis above it.
const ABOVE: f64 = 16.0;
/// The entries of a legend.
const ENTRIES: usize = 14;
/// Lines of at most so many points show them.
const MARKED: usize = 30;
/// The least size of the numbers in a table.
const LEAST: f64 = 7.0;
/// Letters of a name that are shown.
const LETTERS: usize = 28;

/// All panels, `columns` in a row, below a title.
pub(super) fn scene(title: &str, panels: &[Panel], columns: usize) -> Scene {
    let theme = theme();
    let columns = columns.clamp(1, panels.len().max(1));
    let sizes: Vec<(f64, f64)> = panels.iter().map(|panel| size(panel, panels.len() == 1)).collect();
    let largest = |side: fn(&(f64, f64)) -> f64, chosen: &[(f64, f64)]| chosen.iter().map(side).fold(0.0, f64::max);
    let width = largest(|size| size.0, &sizes);
    let heights: Vec<f64> = sizes.chunks(columns).map(|row| largest(|size| size.1, row)).collect();
    let head = if title.is_empty() { GAP } else { TITLE * 2.4 };
    let full_width = (width + GAP) * columns as f64 + GAP;
    let mut all = Scene::new(full_width, head + heights.iter().map(|height| height + GAP).sum::<f64>());
    all.font_family = Some("DejaVu Sans, Verdana, Arial, sans-serif".to_owned());
    all.background_color = Some(theme.background.clone());
    all.text_color = Some(theme.text_color.clone());
    if !title.is_empty() {
        let letters = (full_width / (TITLE * 0.6)) as usize;
        all.add(text(&plain(title, letters), (full_width / 2.0, TITLE * 1.6), TITLE as u32, TEXT, TextAnchor::Middle));
    }
    let mut top = head;
    for (row, height) in panels.chunks(columns).zip(heights) {
        for (place, panel) in row.iter().enumerate() {
            let left = GAP + (width + GAP) * place as f64;
            let transform = Some(format!("translate({left},{top})"));
            all.add(Primitive::GroupStart { transform, title: None, extra_attrs: None });
            for element in panel_scene(panel, (width, height), &theme).elements {
                all.add(element);
            }
            all.add(Primitive::GroupEnd);
        }
        top += height + GAP;
    }
    all
}

/// Calm: what is data has colour, what is not is grey.
fn theme() -> Theme {
    Theme {
        axis_color: "#888888".into(),
        grid_color: "#ebebeb".into(),
        tick_color: "#888888".into(),
        text_color: TEXT.into(),
        legend_border: "#dddddd".into(),
        colorbar_border: "#888888".into(),
        ..Theme::light()
    }
}

/// The room that a panel takes.
fn size(panel: &Panel, alone: bool) -> (f64, f64) {
    let (width, height) = if alone { ALONE } else { AMONG };
    match &panel.kind {
        // Cells near squares.
        Kind::Heatmap(columns) => {
            let cell = if alone { 52.0 } else { 40.0 };
            let side = |count: usize, least: f64| (count as f64 * cell + 170.0).clamp(least, 900.0);
            (side(columns.len(), height), side(panel.series.len(), height * 0.8))
        }
        Kind::Bars(categories) => {
            let bars = categories.len() * panel.series.len();
            ((bars as f64 * 9.0 + 160.0).clamp(width, 1600.0), height)
        }
        _ => (width, height),
    }
}

fn panel_scene(panel: &Panel, (width, height): (f64, f64), theme: &Theme) -> Scene {
    let top = Cell::new(0.0);
    let layout = |x: (f64, f64), y: (f64, f64), note: &str| {
        let mut layout = Layout::new(x, y).with_width(width).with_height(height).with_theme(theme.clone());
        layout = layout.with_title_size(15).with_label_size(LABEL).with_tick_size(11).with_body_size(11);
        layout = layout.with_x_axis_min(x.0).with_x_axis_max(x.1).with_y_axis_min(y.0).with_y_axis_max(y.1);
        layout = layout.with_title(plain(&panel.title, (width / 10.0) as usize));
        layout.x_label_overlap = AxisLabelOverlap::Thin;
        if !panel.x_label.is_empty() {
            layout = layout.with_x_label(plain(&panel.x_label, (width / 9.0) as usize));
        }
        if !note.is_empty() {
            layout = layout.with_subtitle(note).with_subtitle_size(10);
        }
        let entries = legend(panel);
        if !entries.is_empty() {
            layout = layout.with_legend_entries(entries).with_legend_box(false);
        }
        if !panel.y_label.is_empty() {
            layout.force_margin_top = Some(ComputedLayout::from_layout(&layout).margin_top + ABOVE);
        }
        top.set(ComputedLayout::from_layout(&layout).margin_top);
        layout
    };
    let ticks = ((width / 75.0) as usize, (height / 50.0) as usize);
    let mut scene = match &panel.kind {
        Kind::Lines => {
            let lines = view::lines(panel, ticks);
            let layout = layout((lines.x.from, lines.x.to), (lines.y.from, lines.y.to), &lines.note);
            let layout = numbered(layout, Some((&lines.x, 0.0)), Some((&lines.y, 0.0)));
            render_multiple(line_plots(panel, &lines), layout)
        }
        Kind::Bars(categories) => {
            let bars = view::bars(panel, categories.len(), ticks.1);
            let base = bars.axis.base();
            let layout = layout(
                (0.5, categories.len().max(1) as f64 + 0.5),
                (bars.axis.from - base, bars.axis.to - base),
                &bars.note,
            );
            let layout = named(numbered(layout, None, Some((&bars.axis, base))), categories, width);
            let mut plot = BarPlot::new().with_width(if panel.series.len() > 1 { 0.8 } else { 0.6 });
            for place in 0..categories.len() {
                let of = |values: &Vec<Option<f64>>| values[place].map_or(0.0, |value| bars.axis.at(value) - base);
                let group = bars.values.iter().enumerate().map(|(series, values)| (of(values), color(series)));
                plot = plot.with_group(String::new(), group);
            }
            render_multiple(vec![plot.into()], layout)
        }
        Kind::Histogram(_) => {
            let view = view::histogram(panel, usize::MAX, ticks);
            let base = view.y.base();
            let layout = layout((view.x.from, view.x.to), (view.y.from - base, view.y.to - base), &view.note);
            let layout = numbered(layout, Some((&view.x, 0.0)), Some((&view.y, base)));
            render_multiple(histogram_plots(&view, base), layout)
        }
        Kind::Heatmap(columns) => {
            let cells = view::cells(panel, columns.len());
            let (across, down) = (columns.len().max(1) as f64, panel.series.len().max(1) as f64);
            let mut layout = layout((0.5, across + 0.5), (0.5, down + 0.5), &cells.note);
            layout = named(layout, columns, width);
            layout.show_grid = false;
            let rows = panel.series.iter().map(|series| plain(&series.name, LETTERS / 2)).collect();
            // kuva counts rows from below.
            layout = layout.with_y_categories(thinned(rows, 14.0, (height - 100.0) / down).into_iter().rev().collect());
            heatmap_scene(&cells, layout)
        }
    };
    // What is upright is read more easily than what kuva would turn.
    if !panel.y_label.is_empty() {
        let label = plain(&panel.y_label, (width / 9.0) as usize);
        scene.add(text(&label, (8.0, top.get() - 10.0), LABEL, TEXT, TextAnchor::Start));
    }
    scene
}

/// Ticks where the axes have theirs; what is drawn is `shift` lower than on its axis.
fn numbered(mut layout: Layout, x: Option<(&Axis, f64)>, y: Option<(&Axis, f64)>) -> Layout {
    let format = |axis: &Axis, shift: f64| {
        let axis = axis.clone();
        TickFormat::Custom(Arc::new(move |place: f64| axis.label((place + shift).round())))
    };
    if let Some((axis, shift)) = x {
        layout = layout.with_x_tick_step(1.0).with_x_tick_format(format(axis, shift));
    }
    if let Some((axis, shift)) = y {
        layout = layout.with_y_tick_step(1.0).with_y_tick_format(format(axis, shift));
    }
    layout
}

/// Names along the x axis, aslant where they would touch; as many as there is room for.
fn named(layout: Layout, categories: &[String], width: f64) -> Layout {
    let names: Vec<String> = categories.iter().map(|name| plain(name, LETTERS / 2)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64 * 7.0;
    let room = (width - 120.0) / names.len().max(1) as f64;
    // Short ones are rather left out than turned.
    let aslant = longest > room && longest > 35.0;
    let layout = layout.with_x_categories(thinned(names, if aslant { 14.0 } else { longest }, room));
    if aslant { layout.with_x_tick_rotate(-45.0) } else { layout }
}

/// The names of every so many places, that they have the room they need.
fn thinned(mut names: Vec<String>, needed: f64, room: f64) -> Vec<String> {
    let every = (needed / room).ceil().max(1.0) as usize;
    names.iter_mut().enumerate().filter(|(place, _)| place % every != 0).for_each(|(_, name)| name.clear());
    names
}

fn line_plots(panel: &Panel, lines: &view::Lines) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    // What is to compare with lies below.
    let mut order: Vec<usize> = (0..panel.series.len()).collect();
    order.sort_by_key(|&series| !panel.series[series].guide);
    for series in order {
        let guide = panel.series[series].guide;
        let (color, style, width) = match guide {
            true => (FAINT.to_owned(), LineStyle::Dashed, 1.2),
            false => (color(series), dashes(series), 2.0),
        };
        let count: usize = lines.parts[series].iter().map(Vec::len).sum();
        for part in &lines.parts[series] {
            let points = part.iter().copied();
            let line = LinePlot::new().with_data(points.clone()).with_color(&color).with_line_style(style.clone());
            plots.push(line.with_stroke_width(width).into());
            if !guide && (part.len() == 1 || count <= MARKED) {
                plots.push(ScatterPlot::new().with_data(points).with_color(&color).with_size(3.2).into());
            }
        }
    }
    // Without any plot there would be no axes either.
    if plots.is_empty() { vec![LinePlot::new().into()] } else { plots }
}

fn histogram_plots(view: &view::Histogram, base: f64) -> Vec<Plot> {
    let height = |count: f64| if count > 0.0 { view.y.at(count) - base } else { 0.0 };
    match &view.counts[..] {
        [only] => {
            let heights = only.iter().map(|&count| height(count)).collect();
            vec![Columns::from_bins(view.edges.clone(), heights).with_color(color(0)).into()]
        }
        // Outlines hide nothing of each other.
        several => {
            let outline = |(series, counts): (usize, &Vec<f64>)| {
                let (first, last) = (view.edges[0], view.edges[view.edges.len() - 1]);
                let tops = counts.iter().zip(view.edges.windows(2));
                let tops = tops.flat_map(|(&count, ends)| [(ends[0], height(count)), (ends[1], height(count))]);
                let points = [(first, 0.0)].into_iter().chain(tops).chain([(last, 0.0)]);
                LinePlot::new().with_data(points).with_color(color(series)).with_line_style(dashes(series)).into()
            };
            let plots: Vec<Plot> = several.iter().enumerate().map(outline).collect();
            if plots.is_empty() { vec![LinePlot::new().into()] } else { plots }
        }
    }
}

fn heatmap_scene(cells: &view::Cells, mut layout: Layout) -> Scene {
    let (low, high) = cells.range;
    // (Halves, since the distance between the largest numbers is none.)
    let share = move |value: f64| match high / 2.0 - low / 2.0 {
        0.0 => 0.5,
        half => (value / 2.0 - low / 2.0) / half,
    };
    let rows: Vec<Vec<f64>> = cells.rows.iter().rev().map(|row| row.iter().map(|&v| share(v)).collect()).collect();
    let count: usize = rows.iter().map(Vec::len).sum();
    if count == 0 {
        return render_multiple(vec![LinePlot::new().into()], layout);
    }
    let words = |value: f64| if value.is_nan() { "–".to_owned() } else { number(value) };
    let longest = cells.rows.iter().flatten().map(|&value| words(value).chars().count()).max().unwrap_or(1);
    let room = ComputedLayout::from_layout(&layout);
    let room = (room.plot_width() / rows[0].len() as f64, room.plot_height() / rows.len() as f64);
    let size = (room.0 / longest as f64 * 1.3).min(room.1 * 0.7).min(13.0);
    let written = size >= LEAST;
    if !written {
        layout.show_colorbar = true;
        layout.colorbar_tick_format =
            TickFormat::Custom(Arc::new(move |share| number(low * (1.0 - share) + high * share)));
    }
    let computed = ComputedLayout::from_layout(&layout);
    // kuva stretches the shares over the whole map; a table of one value has none to stretch.
    let map = ColorMap::Custom(Arc::new(move |share: f64| shade(if low == high { 0.5 } else { share })));
    let plot = Heatmap::new().with_data(rows.clone()).with_color_map(map).with_cell_size(1.0);
    let mut scene = render_multiple(vec![plot.into()], layout);
    if written {
        for (row, shares) in rows.iter().enumerate() {
            for (column, &share) in shares.iter().enumerate() {
                let value = cells.rows[rows.len() - 1 - row][column];
                let (x, y) = (computed.map_x(column as f64 + 1.0), computed.map_y(row as f64 + 1.0));
                let color = if share > 0.55 { "#ffffff" } else { TEXT };
                scene.add(text(&words(value), (x, y + size * 0.36), size as u32, color, TextAnchor::Middle));
            }
        }
    }
    scene
}

/// From white to dark blue; grey where there is no number.
fn shade(share: f64) -> String {
    if share.is_nan() {
        return "#e4e4e4".to_owned();
    }
    let (light, dark) = ((247.0, 251.0, 255.0), (8.0, 69.0, 148.0));
    let mix = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(light.0, dark.0), mix(light.1, dark.1), mix(light.2, dark.2))
}

fn legend(panel: &Panel) -> Vec<LegendEntry> {
    let named = panel.legend();
    let shape = if matches!(panel.kind, Kind::Lines) { LegendShape::Line } else { LegendShape::Rect };
    let shown = if named.len() > ENTRIES { ENTRIES - 1 } else { named.len() };
    let entry = |&series: &usize| {
        let label = plain(&panel.series[series].name, LETTERS);
        match panel.series[series].guide {
            true => LegendEntry { label, color: FAINT.into(), shape, dasharray: LineStyle::Dashed.dasharray() },
            false => LegendEntry { label, color: color(series), shape, dasharray: dashes(series).dasharray() },
        }
    };
    let mut entries: Vec<LegendEntry> = named.iter().take(shown).map(entry).collect();
    if shown < named.len() {
        let label = format!("and {} more", named.len() - shown);
        entries.push(LegendEntry { label, color: "none".into(), shape, dasharray: None });
    }
    entries
}

fn color(series: usize) -> String {
    let (red, green, blue) = COLORS[series % COLORS.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Where colours come again, dashes tell lines apart.
fn dashes(series: usize) -> LineStyle {
    match series / COLORS.len() % 4 {
        0 => LineStyle::Solid,
        1 => LineStyle::Dashed,
        2 => LineStyle::Dotted,
        _ => LineStyle::DashDot,
    }
}

fn text(content: &str, (x, y): (f64, f64), size: u32, color: &str, anchor: TextAnchor) -> Primitive {
    let color = Some(color.into());
    Primitive::Text { x, y, content: content.to_owned(), size, anchor, rotate: None, bold: false, color }
}

/// A text as it is: one line, not longer than `letters`, and without what kuva would read as mathematics.
fn plain(words: &str, letters: usize) -> String {
    crate::raster::escaped(&shortened(words, letters))
}
