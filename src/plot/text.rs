//! Panels in a terminal: lines of dots, bars of blocks, tables.

use super::axis::{Axis, number};
use super::panel::{Kind, Panel};
use super::picture::COLORS;
use super::view;
use super::words::words;

/// Tells lines apart without colours.
const MARKS: [char; 12] = ['●', '○', '▲', '△', '■', '□', '◆', '◇', '▼', '▽', '★', '☆'];
/// Columns from one mark on a line to the next.
const BETWEEN: usize = 8;
/// The entries of a legend.
const ENTRIES: usize = 12;
/// Panels stand beside each other where each of them has so many columns.
const WIDE: usize = 60;
/// Eighths of a block, upward and to the right.
const UP: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const RIGHT: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A letter on the screen, of a series where it has its colour.
type Cell = (char, Option<usize>);

/// Letters in rows.
struct Canvas {
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    fn new(columns: usize) -> Self {
        Canvas { columns, rows: Vec::new() }
    }

    /// The number of the first of `rows` new ones.
    fn add(&mut self, rows: usize) -> usize {
        let first = self.rows.len();
        self.rows.resize(first + rows, vec![(' ', None); self.columns]);
        first
    }

    fn put(&mut self, row: usize, column: usize, cell: Cell) {
        if let Some(place) = self.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
            *place = cell;
        }
    }

    fn write(&mut self, row: usize, column: usize, text: &str, series: Option<usize>) {
        for (i, letter) in text.chars().enumerate() {
            self.put(row, column + i, (letter, series));
        }
    }

    /// New rows with a note, broken where it is too long.
    fn note(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > self.columns {
                self.centred(&std::mem::take(&mut line));
            }
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
        self.centred(&line);
    }

    /// A new row with a text in its middle; none for an empty one.
    fn centred(&mut self, text: &str) {
        let text = words(text, self.columns);
        if !text.is_empty() {
            let row = self.add(1);
            self.write(row, (self.columns - text.chars().count()) / 2, &text, None);
        }
    }
}

/// All panels below a title, in so many columns, `rows` high each of them.
pub(super) fn render(
    title: &str,
    panels: &[Panel],
    across: usize,
    (columns, rows): (usize, usize),
    color: bool,
) -> String {
    let (columns, rows) = (columns.clamp(20, 1000), rows.clamp(8, 200));
    let across = across.min(columns / WIDE).clamp(1, panels.len().max(1));
    let mut all = Canvas::new(columns);
    all.centred(title);
    let width = (columns - 3 * (across - 1)) / across;
    for row in panels.chunks(across) {
        if !all.rows.is_empty() {
            all.add(1);
        }
        let drawn: Vec<Canvas> = row.iter().map(|panel| draw(panel, width, rows)).collect();
        let first = all.add(drawn.iter().map(|canvas| canvas.rows.len()).max().unwrap_or(0));
        for (place, canvas) in drawn.into_iter().enumerate() {
            for (i, cells) in canvas.rows.into_iter().enumerate() {
                for (column, cell) in cells.into_iter().enumerate() {
                    all.put(first + i, place * (width + 3) + column, cell);
                }
            }
        }
    }
    let mut text = String::new();
    for row in &all.rows {
        let end = row.iter().rposition(|cell| cell.0 != ' ').map_or(0, |last| last + 1);
        let mut painted = None;
        for &(letter, series) in &row[..end] {
            if color && letter != ' ' && series != painted {
                text += &series.map_or("\x1b[0m".to_owned(), |series| {
                    let (red, green, blue) = COLORS[series % COLORS.len()];
                    format!("\x1b[38;2;{red};{green};{blue}m")
                });
                painted = series;
            }
            text.push(letter);
        }
        text += if painted.is_some() { "\x1b[0m\n" } else { "\n" };
    }
    text
}

fn draw(panel: &Panel, columns: usize, rows: usize) -> Canvas {
    let mut canvas = Canvas::new(columns);
    canvas.centred(&panel.title);
    match &panel.kind {
        Kind::Lines => lines(panel, rows, &mut canvas),
        Kind::Bars(categories) => bars(panel, categories, &mut canvas),
        Kind::Histogram(bins) => histogram(panel, *bins, rows, &mut canvas),
        Kind::Heatmap(names) => heatmap(panel, names, rows, &mut canvas),
    }
    canvas
}

/// The part of a panel between its axes.
struct Plane {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

/// Two axes with their ticks and names.
fn axes(panel: &Panel, x: &Axis, y: &Axis, height: usize, canvas: &mut Canvas) -> Plane {
    let labels = y.ticks();
    let widest = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let left = (widest + 2).min(canvas.columns / 2);
    let width = canvas.columns - left;
    if !panel.y_label.is_empty() {
        let row = canvas.add(1);
        canvas.write(row, 0, &words(&panel.y_label, canvas.columns), None);
    }
    let top = canvas.add(height);
    for row in 0..height {
        canvas.put(top + row, left - 1, ('│', None));
    }
    for (place, label) in labels {
        let label = words(&label, left - 2);
        let row = top + height - 1 - (y.share_at(place) * (height - 1) as f64).round() as usize;
        canvas.write(row, (left - 1).saturating_sub(label.chars().count() + 1), &label, None);
        canvas.put(row, left - 1, ('┤', None));
    }
    let (line, below) = (canvas.add(1), canvas.add(1));
    canvas.write(line, left - 1, &("└".to_owned() + &"─".repeat(width)), None);
    let mut free = 0;
    for (place, label) in x.ticks() {
        let column = left + (x.share_at(place) * (width - 1) as f64).round() as usize;
        let length = label.chars().count();
        let start = column.saturating_sub(length / 2).min(canvas.columns.saturating_sub(length));
        if start >= free {
            canvas.put(line, column, ('┬', None));
            canvas.write(below, start, &label, None);
            free = start + length + 1;
        }
    }
    if !panel.x_label.is_empty() {
        let row = canvas.add(1);
        let label = words(&panel.x_label, width);
        canvas.write(row, left + (width - label.chars().count()) / 2, &label, None);
    }
    Plane { top, left, height, width }
}

fn ticks(columns: usize, rows: usize) -> (usize, usize) {
    ((columns / 10).clamp(2, 10), (rows / 2).clamp(2, 8))
}

fn lines(panel: &Panel, rows: usize, canvas: &mut Canvas) {
    let view = view::lines(panel, ticks(canvas.columns, rows));
    let plane = axes(panel, &view.x, &view.y, rows, canvas);
    // Two dots across and four down make a letter.
    let (dots_x, dots_y) = ((plane.width * 2 - 1) as f64, (plane.height * 4 - 1) as f64);
    let dot = |&(x, y): &(f64, f64)| (view.x.share_at(x) * dots_x, (1.0 - view.y.share_at(y)) * dots_y);
    let mut dots = vec![vec![(0u8, None); plane.width]; plane.height];
    let mut marks: Vec<(usize, usize, usize)> = Vec::new();
    // The first series is drawn last and stays seen.
    let several = panel.legend().len() > 1;
    for (series, parts) in view.parts.iter().enumerate().rev() {
        let guide = panel.series[series].guide;
        let own = if guide { None } else { Some(series) };
        for part in parts {
            let points: Vec<(f64, f64)> = part.iter().map(dot).collect();
            let mut set = |x: f64, y: f64| {
                let (x, y) = (x.round() as usize, y.round() as usize);
                let cell = &mut dots[y / 4][x / 2];
                cell.0 |= [[1, 8], [2, 16], [4, 32], [64, 128]][y % 4][x % 2];
                cell.1 = own;
            };
            for ends in points.windows(2) {
                let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
                let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0) as usize;
                for i in (0..=steps).filter(|i| !guide || i % 3 == 0) {
                    let share = i as f64 / steps as f64;
                    set(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share);
                }
            }
            if let [(x, y)] = points[..] {
                set(x, y);
                marks.push(((y / 4.0) as usize, (x / 2.0) as usize, series));
            }
            // Lines have their marks in columns of their own, where they do not hide each other.
            if several && !guide && series < ENTRIES {
                let shift = series * BETWEEN / panel.series.len().clamp(1, BETWEEN) % BETWEEN;
                for ends in points.windows(2) {
                    let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
                    let (first, last) = ((x0.min(x1) / 2.0).ceil() as usize, (x0.max(x1) / 2.0).floor() as usize);
                    for column in (first..=last).filter(|column| column % BETWEEN == shift) {
                        let share = if x1 == x0 { 0.0 } else { (column as f64 * 2.0 - x0) / (x1 - x0) };
                        let y = y0 + (y1 - y0) * share.clamp(0.0, 1.0);
                        marks.push(((y / 4.0) as usize, column, series));
                    }
                }
            }
        }
    }
    for (row, cells) in dots.iter().enumerate() {
        for (column, &(bits, series)) in cells.iter().enumerate().filter(|(_, cell)| cell.0 != 0) {
            let letter = char::from_u32(0x2800 + u32::from(bits)).unwrap_or('.');
            canvas.put(plane.top + row, plane.left + column, (letter, series));
        }
    }
    for (row, column, series) in marks {
        canvas.put(plane.top + row, plane.left + column, (MARKS[series % MARKS.len()], Some(series)));
    }
    legend(panel, |series| if several { MARKS[series % MARKS.len()] } else { '─' }, canvas);
    canvas.note(&view.note);
}

/// What stands for which series, in as many rows as that takes.
fn legend(panel: &Panel, mark: impl Fn(usize) -> char, canvas: &mut Canvas) {
    let named = panel.legend();
    let shown = named.len().min(ENTRIES);
    let mut entries: Vec<(char, Option<usize>, String)> = named[..shown]
        .iter()
        .map(|&series| match panel.series[series].guide {
            true => ('⋯', None, words(&panel.series[series].name, canvas.columns.saturating_sub(4))),
            false => (mark(series), Some(series), words(&panel.series[series].name, canvas.columns.saturating_sub(4))),
        })
        .collect();
    if shown < named.len() {
        entries.push(('…', None, format!("and {} more", named.len() - shown)));
    }
    let (mut row, mut column) = (0, canvas.columns);
    for (mark, series, name) in entries {
        let length = name.chars().count() + 2;
        if column + length > canvas.columns {
            (row, column) = (canvas.add(1), 2);
        }
        canvas.put(row, column, (mark, series));
        canvas.write(row, column + 2, &name, None);
        column += length + 3;
    }
}

fn bars(panel: &Panel, categories: &[String], canvas: &mut Canvas) {
    let view = view::bars(panel, categories.len(), ticks(canvas.columns, 0).0);
    let label = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| name.chars().count()).max().unwrap_or(0).min(canvas.columns / 4)
    };
    let several = panel.series.len() > 1;
    let category = label(&mut categories.iter());
    let name = if several { label(&mut panel.series.iter().map(|series| &series.name)) } else { 0 };
    let left = category + 1 + name + usize::from(name > 0);
    let values = view.values.iter().flatten().flatten().map(|&value| number(value).chars().count());
    let width = canvas.columns.saturating_sub(left + 1 + values.max().unwrap_or(0)).max(4);
    if !panel.y_label.is_empty() {
        let row = canvas.add(1);
        canvas.write(row, left, &words(&panel.y_label, canvas.columns - left), None);
    }
    let base = view.axis.share_at(view.axis.base());
    for (place, category_name) in categories.iter().enumerate() {
        for (series, values) in view.values.iter().enumerate() {
            let row = canvas.add(1);
            if series == 0 {
                canvas.write(row, 0, &words(category_name, category), None);
            }
            canvas.write(row, category + 1, &words(&panel.series[series].name, name), None);
            let Some(value) = values[place] else {
                canvas.put(row, left, ('–', None));
                continue;
            };
            let end = view.axis.share(value);
            let eighths = |share: f64| (share * width as f64 * 8.0).round() as usize;
            let (from, to) = (eighths(base.min(end)), eighths(base.max(end)));
            for column in from / 8..to.div_ceil(8) {
                let filled = (to - column * 8).min(8);
                // Blocks fill from the left; where a bar starts within one it is drawn whole.
                canvas.put(row, left + column, (RIGHT[filled], Some(series)));
            }
            canvas.write(row, left + to.div_ceil(8) + 1, &number(value), None);
        }
    }
    if !panel.x_label.is_empty() {
        let row = canvas.add(1);
        canvas.write(row, 0, &words(&panel.x_label, canvas.columns), None);
    }
    canvas.note(if panel.log_y { "on a logarithmic scale" } else { "" });
    canvas.note(&view.note);
}

fn histogram(panel: &Panel, bins: usize, rows: usize, canvas: &mut Canvas) {
    let counted = view::histogram(panel, bins, ticks(canvas.columns, rows));
    // The labels are not known before the counts, nor the room before the labels.
    let room = canvas.columns.saturating_sub(9).max(1);
    let view = if bins <= room { counted } else { view::histogram(panel, room, ticks(canvas.columns, rows)) };
    let bins = view.edges.len() - 1;
    for (series, counts) in view.counts.iter().enumerate() {
        if view.counts.len() > 1 {
            legend_line(panel, series, canvas);
        }
        let plane = axes(panel, &view.x, &view.y, rows, canvas);
        for column in 0..plane.width {
            let count = counts[(column * bins / plane.width).min(bins - 1)];
            if count <= 0.0 {
                continue;
            }
            let base = view.y.share_at(view.y.base());
            let height = (view.y.share(count) - base) * plane.height as f64 * 8.0;
            // What is there is seen.
            let eighths = (height.round() as usize).max(1);
            for row in 0..eighths.div_ceil(8) {
                let filled = (eighths - row * 8).min(8);
                let at = plane.top + plane.height - 1 - row.min(plane.height - 1);
                canvas.put(at, plane.left + column, (UP[filled], Some(series)));
            }
        }
    }
    canvas.note(&view.note);
}

fn legend_line(panel: &Panel, series: usize, canvas: &mut Canvas) {
    let row = canvas.add(1);
    canvas.put(row, 0, ('█', Some(series)));
    canvas.write(row, 2, &words(&panel.series[series].name, canvas.columns.saturating_sub(2)), None);
}

fn heatmap(panel: &Panel, names: &[String], rows: usize, canvas: &mut Canvas) {
    let view = view::cells(panel, names.len());
    let written: Vec<Vec<String>> = view
        .rows
        .iter()
        .map(|row| row.iter().map(|&v| if v.is_nan() { "–".to_owned() } else { number(v) }).collect())
        .collect();
    let length = |text: &String| text.chars().count();
    let left = panel.series.iter().map(|series| length(&series.name)).max().unwrap_or(0).min(canvas.columns / 4) + 1;
    let room = canvas.columns.saturating_sub(left) / names.len().max(1);
    let widest = written.iter().flatten().map(length).max().unwrap_or(0);
    let heads = names.iter().map(length).max().unwrap_or(0);
    let mut notes: Vec<String> = Some(view.note.clone()).into_iter().filter(|note| !note.is_empty()).collect();
    if !panel.y_label.is_empty() {
        let row = canvas.add(1);
        canvas.write(row, 0, &words(&panel.y_label, canvas.columns), None);
    }
    if room > widest {
        let width = (heads.max(widest) + 1).min(room);
        let row = canvas.add(1);
        for (column, name) in names.iter().enumerate() {
            let name = words(name, width - 1);
            canvas.write(row, left + (column + 1) * width - name.chars().count(), &name, None);
        }
        for (series, values) in panel.series.iter().zip(&written) {
            let row = canvas.add(1);
            canvas.write(row, 0, &words(&series.name, left - 1), None);
            for (column, value) in values.iter().enumerate() {
                canvas.write(row, left + (column + 1) * width - length(value), value, None);
            }
        }
    } else {
        // No room for numbers: shades, each of as many cells as it takes to have room for all.
        let (low, high) = view.range;
        let across = names.len().div_ceil(canvas.columns - left);
        let down = if view.rows.len() > 2 * rows { view.rows.len().div_ceil(rows) } else { 1 };
        let width = room.clamp(1, 2);
        let share = |value: f64| (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE);
        for (block, series) in view.rows.chunks(down).zip(panel.series.iter().step_by(down)) {
            let row = canvas.add(1);
            canvas.write(row, 0, &words(&series.name, left - 1), None);
            for (column, first) in (0..names.len()).step_by(across).enumerate() {
                let cells = block.iter().flat_map(|cells| cells.iter().skip(first).take(across));
                let known: Vec<f64> = cells.filter(|value| !value.is_nan()).map(|&value| share(value)).collect();
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                let shade =
                    if mean.is_nan() { '–' } else { [' ', '░', '▒', '▓', '█'][(mean * 4.999) as usize % 5] };
                for i in 0..width {
                    canvas.put(row, left + column * width + i, (shade, None));
                }
            }
        }
        notes.push(format!("' ' is {}, '█' is {}", number(low), number(high)));
        if across * down > 1 {
            notes.push(format!("each the mean of {down} × {across} cells"));
        }
    }
    if !panel.x_label.is_empty() {
        let row = canvas.add(1);
        let label = words(&panel.x_label, canvas.columns - left);
        canvas.write(row, left, &label, None);
    }
    for note in notes {
        canvas.note(&note);
    }
}
