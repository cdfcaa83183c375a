//! `summary()`: Keras's table.

use super::Sequential;
use crate::Var;
use crate::nn::names::with_batch;
use crate::nn::progress::print;

/// A row of the table.
pub(super) struct Row {
    pub(super) layer: String,
    pub(super) output: String,
    pub(super) params: String,
}

/// What stands below the table: numbers and bytes of each kind of weight.
pub(super) struct Footer {
    pub(super) trainable: (usize, usize),
    pub(super) fixed: (usize, usize),
    pub(super) optimizer: Option<(usize, usize)>,
}

impl Sequential {
    /// Prints the table of layers that Keras prints: names, output shapes, numbers of weights.
    pub fn summary(&mut self) {
        let terminal = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(80usize);
        print(&self.summary_text(terminal.saturating_sub(4).min(88)));
    }

    /// The text of [`summary`](Self::summary), `width` columns wide (at least 40).
    pub fn summary_text(&mut self, width: usize) -> String {
        // An input that does not fit shows as an unbuilt model here, and as an error when it is used.
        let _ = self.build_known("summary");
        let rows: Vec<Row> = self
            .layers
            .iter()
            .map(|entry| {
                let params: usize = entry.layer.weights().iter().map(|var| var.shape().numel()).sum();
                Row {
                    layer: format!("{} ({})", entry.name, entry.layer.class_name()),
                    output: entry.output.as_ref().map_or("?".into(), |shape| with_batch(shape)),
                    params: entry.output.as_ref().map_or("0 (unbuilt)".into(), |_| thousands(params)),
                }
            })
            .collect();
        let size = |(n, bytes): (usize, usize), var: &Var| {
            (n + var.shape().numel(), bytes + var.shape().numel() * var.dtype().size())
        };
        let (trainable, fixed): (Vec<Var>, Vec<Var>) = self.weights().into_iter().partition(Var::is_trainable);
        let footer = Footer {
            trainable: trainable.iter().fold((0, 0), size),
            fixed: fixed.iter().fold((0, 0), size),
            optimizer: self.compiled.as_ref().and_then(|compiled| compiled.optimizer.size()),
        };
        render(&self.name, &rows, &footer, width.max(40))
    }
}

/// The whole text.
pub(super) fn render(model: &str, rows: &[Row], footer: &Footer, width: usize) -> String {
    let columns = columns(width);
    let mut text = format!("Model: \"{model}\"\n");
    let border = |left, line: &str, middle, right| {
        let cells: Vec<String> = columns.iter().map(|&w| line.repeat(w)).collect();
        format!("{left}{}{right}\n", cells.join(middle))
    };
    text += &border("┏", "━", "┳", "┓");
    text += &cells(&columns, ["Layer (type)", "Output Shape", "Param #"], "┃");
    text += &border("┡", "━", "╇", "┩");
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            text += &border("├", "─", "┼", "┤");
        }
        text += &cells(&columns, [&row.layer, &row.output, &row.params], "│");
    }
    text += &border("└", "─", "┴", "┘");

    let (t, f, o) = (footer.trainable, footer.fixed, footer.optimizer.unwrap_or_default());
    let mut line = |what: &str, (count, bytes): (usize, usize)| {
        text += &format!(" {what}: {} ({})\n", thousands(count), memory(bytes));
    };
    line("Total params", (t.0 + f.0 + o.0, t.1 + f.1 + o.1));
    line("Trainable params", t);
    line("Non-trainable params", f);
    if footer.optimizer.is_some() {
        line("Optimizer params", o);
    }
    text
}

/// The widths of the three columns between their borders: Keras's positions at 45 %, 80 % and 100 %, and the excess
/// of padding and borders taken off evenly, as its table library does.
fn columns(width: usize) -> [usize; 3] {
    let ends = [0.45, 0.80, 1.0].map(|share| (share * width as f64) as usize);
    let mut columns = [ends[0] + 2, ends[1] - ends[0] + 2, ends[2] - ends[1] + 2];
    let mut excess = (columns.iter().sum::<usize>() + 4).saturating_sub(width);
    for (i, column) in columns.iter_mut().enumerate() {
        let share = (excess as f64 / (3 - i) as f64).round_ties_even() as usize;
        *column -= share.min(*column);
        excess -= share;
    }
    columns
}

/// One row, of as many lines as its tallest cell; the last column is aligned to the right.
fn cells(columns: &[usize; 3], texts: [&str; 3], border: &str) -> String {
    let wrapped: Vec<Vec<String>> =
        columns.iter().zip(texts).map(|(&width, text)| wrap(text, width.saturating_sub(2))).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        let cell = |i: usize| wrapped[i].get(line).map_or("", String::as_str);
        let [a, b, c] = columns.map(|width| width.saturating_sub(2));
        out += &format!("{border} {:<a$} {border} {:<b$} {border} {:>c$} {border}\n", cell(0), cell(1), cell(2));
    }
    out
}

/// Lines of whole words; a word wider than a line ends in an ellipsis.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let length = word.chars().count();
        let word = match length > width {
            true => word.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
            false => word.to_owned(),
        };
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= width => *line += &format!(" {word}"),
            _ => lines.push(word),
        }
    }
    lines
}

/// `34826` to `34,826`
fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `139304` to `136.04 KB`
fn memory(bytes: usize) -> String {
    let mut size = bytes as f64;
    let units = ["B", "KB", "MB", "GB", "TB"];
    for unit in units {
        if size < 1024.0 {
            return format!("{size:.2} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(layer: &str, output: &str, params: usize) -> Row {
        Row { layer: layer.into(), output: output.into(), params: thousands(params) }
    }

    #[test]
    fn the_table_is_keras_s() {
        let rows = [row("dense (Dense)", "(None, 16)", 496), row("dense_1 (Dense)", "(None, 1)", 17)];
        let footer = Footer { trainable: (513, 2052), fixed: (0, 0), optimizer: None };
        let expected = r#"Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ dense (Dense)                   │ (None, 16)             │           496 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 1)              │            17 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 513 (2.00 KB)
 Trainable params: 513 (2.00 KB)
 Non-trainable params: 0 (0.00 B)
"#;
        assert_eq!(render("sequential", &rows, &footer, 76), expected);
    }

    #[test]
    fn the_optimizer_has_a_line_of_its_own() {
        let footer = Footer { trainable: (17, 68), fixed: (0, 0), optimizer: Some((36, 148)) };
        let text = render("sequential", &[row("dense (Dense)", "(None, 1)", 17)], &footer, 76);
        assert!(text.contains(" Total params: 53 (216.00 B)\n"), "{text}");
        assert!(text.ends_with(" Optimizer params: 36 (148.00 B)\n"), "{text}");
    }

    #[test]
    fn long_names_wrap_and_end_in_an_ellipsis() {
        assert_eq!(wrap("gap (GlobalAveragePooling1D)", 21), ["gap", "(GlobalAveragePoolin…"]);
        assert_eq!(wrap("dense (Dense)", 31), ["dense (Dense)"]);
    }

    #[test]
    fn numbers() {
        assert_eq!([thousands(0), thousands(999), thousands(1234567)], ["0", "999", "1,234,567"]);
        assert_eq!([memory(0), memory(139304), memory(1023)], ["0.00 B", "136.04 KB", "1023.00 B"]);
    }
}
