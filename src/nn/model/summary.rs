//! `summary()`: Keras's table.

use super::Model;
use super::entry::SharedLayer;
use super::graph::{Call, Member, Value};
use crate::Var;
use crate::nn::names::with_batch;
use crate::nn::progress::print;
use crate::shape::Shape;
use crate::sys::terminal_columns;

/// A row of the table.
pub(super) struct Row {
    pub(super) layer: String,
    pub(super) output: String,
    pub(super) params: String,
    /// What the layer was called on, where the table says so.
    pub(super) connected: Option<String>,
}

/// What stands below the table: numbers and bytes of each kind of weight.
pub(super) struct Footer {
    pub(super) trainable: (usize, usize),
    pub(super) fixed: (usize, usize),
    pub(super) optimizer: Option<(usize, usize)>,
}

impl Model {
    /// Prints the table of layers that Keras prints: names, output shapes, numbers of weights, and for models that are not
    /// layers in a row what each is connected to. It is a little narrower than the terminal (80 columns where there is none,
    /// or as many as the environment variable `COLUMNS` says), and not wider than Keras's.
    pub fn summary(&mut self) {
        let widest = if self.is_row() { 88 } else { 108 };
        print(&self.summary_text(terminal_columns().saturating_sub(4).min(widest)));
    }

    /// The text of [`summary`](Self::summary), `line_length` characters wide: what Keras prints with this setting. Where that is
    /// too narrow for a table, it is as narrow as there can be one: 16 characters, or 28 with the column of connections.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let text = model.summary_text(60);
    /// assert!(text.contains("top (Dense)") && text.contains("Total params: 15"), "{text}");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn summary_text(&mut self, line_length: usize) -> String {
        // An input that does not fit shows as an unbuilt model here, and as an error when it is used.
        let _ = self.build_known("summary");
        let row = self.is_row();
        let rows: Vec<Row> = self
            .graph
            .order
            .iter()
            .map(|&member| {
                let mut row_of = match member {
                    Member::Input(i) => self.input_row(i),
                    Member::Layer(i) => self.layer_row(i),
                };
                row_of.connected = row_of.connected.filter(|_| !row);
                row_of
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
        render(&self.name, &rows, &footer, line_length, !row)
    }

    fn input_row(&self, index: usize) -> Row {
        let input = &self.graph.inputs[index];
        Row {
            layer: format!("{} (InputLayer)", input.name),
            output: input.shape.map_or("?".into(), |shape| with_batch(&shape)),
            params: "0".into(),
            connected: Some("-".into()),
        }
    }

    fn layer_row(&self, index: usize) -> Row {
        let layer = SharedLayer(self.graph.entries[index].clone());
        let calls = || self.graph.calls.iter().enumerate().filter(|(_, call)| call.entry == index);
        let mut shapes = calls().map(|(i, _)| self.graph.shapes.get(i));
        let first = shapes.next().flatten();
        // As Keras says it of a layer whose calls differ.
        let output = match first {
            Some(_) if !shapes.all(|shape| shape == first) => "multiple".into(),
            Some(outputs) => outputs_text(outputs),
            None => "?".into(),
        };
        let connected: Vec<String> =
            calls().flat_map(|(_, call)| call.inputs.iter().map(|&value| self.value_text(value))).collect();
        Row {
            layer: format!("{} ({})", layer.name(), layer.class_name()),
            output,
            params: if layer.is_built() { thousands(layer.count_params()) } else { "0 (unbuilt)".into() },
            connected: Some(connected.join(", ")),
        }
    }

    /// `name[call][output]`
    fn value_text(&self, value: Value) -> String {
        match value {
            Value::Input(i) => format!("{}[0][0]", self.graph.inputs[i].name),
            Value::Output(call, output) => {
                let Call { entry, number, .. } = &self.graph.calls[call];
                format!("{}[{number}][{output}]", self.graph.entries[*entry].name)
            }
        }
    }

    /// Whether the layers stand in a row, so that the table need not say how they are connected.
    fn is_row(&self) -> bool {
        let graph = &self.graph;
        let next = |i: usize| if i == 0 { Value::Input(0) } else { Value::Output(i - 1, 0) };
        graph.inputs.len() == 1
            && graph.calls.len() == graph.entries.len()
            && graph.calls.iter().enumerate().all(|(i, call)| call.inputs == [next(i)])
            && graph.outputs == [next(graph.calls.len())]
    }
}

fn outputs_text(outputs: &[Shape]) -> String {
    match outputs {
        [one] => with_batch(one),
        many => format!("[{}]", many.iter().map(|shape| with_batch(shape)).collect::<Vec<_>>().join(", ")),
    }
}

/// No table is wider.
const WIDEST: usize = 10_000;

/// The whole text.
pub(super) fn render(model: &str, rows: &[Row], footer: &Footer, width: usize, connected: bool) -> String {
    let (ends, least): (&[f64], usize) = match connected {
        true => (&[0.30, 0.56, 0.74, 1.0], 28),
        false => (&[0.45, 0.80, 1.0], 16),
    };
    // From the least on, each column has room for a character.
    let columns = columns(width.clamp(least, WIDEST), ends);
    let mut text = format!("Model: \"{model}\"\n");
    let border = |left, line: &str, middle, right| {
        let cells: Vec<String> = columns.iter().map(|&w| line.repeat(w)).collect();
        format!("{left}{}{right}\n", cells.join(middle))
    };
    text += &border("┏", "━", "┳", "┓");
    text += &cells(&columns, &["Layer (type)", "Output Shape", "Param #", "Connected to"], "┃", true);
    text += &border("┡", "━", "╇", "┩");
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            text += &border("├", "─", "┼", "┤");
        }
        let connected = row.connected.as_deref().unwrap_or_default();
        text += &cells(&columns, &[&row.layer, &row.output, &row.params, connected], "│", false);
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

/// The widths of the columns between their borders: they end at these shares of the width, as Keras's do, and the excess
/// of padding and borders is taken off evenly, as its table library does.
fn columns(width: usize, ends: &[f64]) -> Vec<usize> {
    let mut start = 0;
    let mut columns = Vec::new();
    for share in ends {
        let end = (share * width as f64) as usize;
        columns.push(end - start + 2);
        start = end;
    }
    let count = columns.len();
    let mut excess = (columns.iter().sum::<usize>() + count + 1).saturating_sub(width);
    for (i, column) in columns.iter_mut().enumerate() {
        let share = (excess as f64 / (count - i) as f64).round_ties_even() as usize;
        let share = share.min(*column);
        *column -= share;
        excess -= share;
    }
    columns
}

/// One row, of as many lines as its tallest cell, with the text of the others at the top, or at the bottom as in a head; the
/// third column, numbers, is aligned to the right.
fn cells(columns: &[usize], texts: &[&str], border: &str, head: bool) -> String {
    let wrapped: Vec<Vec<String>> =
        columns.iter().zip(texts).map(|(&width, text)| wrap(text, width.saturating_sub(2))).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        for (i, column) in columns.iter().enumerate() {
            let above = if head { height - wrapped[i].len() } else { 0 };
            let text = line.checked_sub(above).and_then(|line| wrapped[i].get(line)).map_or("", String::as_str);
            let width = column.saturating_sub(2);
            out += &if i == 2 { format!("{border} {text:>width$} ") } else { format!("{border} {text:<width$} ") };
        }
        out += &format!("{border}\n");
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
        Row { layer: layer.into(), output: output.into(), params: thousands(params), connected: None }
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
        assert_eq!(render("sequential", &rows, &footer, 76, false), expected);
    }

    fn connected(layer: &str, output: &str, params: usize, connected: &str) -> Row {
        Row { connected: Some(connected.into()), ..row(layer, output, params) }
    }

    /// Keras 3.15's own output, `line_length=40`.
    #[test]
    fn narrow_tables_are_keras_s_too() {
        let rows = [
            connected("title_of_the_support_ticket (InputLayer)", "(None, 16)", 0, "-"),
            connected(
                "hidden_representation_of_the_title (Dense)",
                "(None, 32)",
                544,
                "title_of_the_support_ticket[0][0]",
            ),
            connected("tags (InputLayer)", "(None, 8)", 0, "-"),
            connected(
                "concatenate_title_and_tags_together (Concatenate)",
                "(None, 40)",
                0,
                "hidden_representation_of_the_title[0][0], tags[0][0]",
            ),
            connected("priority (Dense)", "(None, 1)", 41, "concatenate_title_and_tags_together[0][0]"),
            connected(
                "department_that_should_handle_it (Dense)",
                "(None, 4)",
                164,
                "concatenate_title_and_tags_together[0][0]",
            ),
        ];
        let footer = Footer { trainable: (749, 2996), fixed: (0, 0), optimizer: None };
        let expected = r#"Model: "tickets"
┏━━━━━━━━━━━┳━━━━━━━━━┳━━━━━┳━━━━━━━━━━┓
┃ Layer     ┃ Output  ┃ Pa… ┃ Connect… ┃
┃ (type)    ┃ Shape   ┃   # ┃ to       ┃
┡━━━━━━━━━━━╇━━━━━━━━━╇━━━━━╇━━━━━━━━━━┩
│ title_of… │ (None,  │   0 │ -        │
│ (InputLa… │ 16)     │     │          │
├───────────┼─────────┼─────┼──────────┤
│ hidden_r… │ (None,  │ 544 │ title_o… │
│ (Dense)   │ 32)     │     │          │
├───────────┼─────────┼─────┼──────────┤
│ tags      │ (None,  │   0 │ -        │
│ (InputLa… │ 8)      │     │          │
├───────────┼─────────┼─────┼──────────┤
│ concaten… │ (None,  │   0 │ hidden_… │
│ (Concate… │ 40)     │     │ tags[0]… │
├───────────┼─────────┼─────┼──────────┤
│ priority  │ (None,  │  41 │ concate… │
│ (Dense)   │ 1)      │     │          │
├───────────┼─────────┼─────┼──────────┤
│ departme… │ (None,  │ 164 │ concate… │
│ (Dense)   │ 4)      │     │          │
└───────────┴─────────┴─────┴──────────┘
 Total params: 749 (2.93 KB)
 Trainable params: 749 (2.93 KB)
 Non-trainable params: 0 (0.00 B)
"#;
        assert_eq!(render("tickets", &rows, &footer, 40, true), expected);
        let rows = [
            row("the_first_convolution_of_the_network (Conv2D)", "(None, 26, 26, 32)", 320),
            row("pool (MaxPooling2D)", "(None, 13, 13, 32)", 0),
            row("flat (Flatten)", "(None, 5408)", 0),
            row("out (Dense)", "(None, 10)", 54090),
        ];
        let footer = Footer { trainable: (54410, 217_640), fixed: (0, 0), optimizer: None };
        let expected = r#"Model: "row"
┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┓
┃                 ┃ Output     ┃ Param ┃
┃ Layer (type)    ┃ Shape      ┃     # ┃
┡━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━┩
│ the_first_conv… │ (None, 26, │   320 │
│ (Conv2D)        │ 26, 32)    │       │
├─────────────────┼────────────┼───────┤
│ pool            │ (None, 13, │     0 │
│ (MaxPooling2D)  │ 13, 32)    │       │
├─────────────────┼────────────┼───────┤
│ flat (Flatten)  │ (None,     │     0 │
│                 │ 5408)      │       │
├─────────────────┼────────────┼───────┤
│ out (Dense)     │ (None, 10) │ 54,0… │
└─────────────────┴────────────┴───────┘
 Total params: 54,410 (212.54 KB)
 Trainable params: 54,410 (212.54 KB)
 Non-trainable params: 0 (0.00 B)
"#;
        assert_eq!(render("row", &rows, &footer, 40, false), expected);
    }

    #[test]
    fn every_line_of_a_table_is_as_wide_as_asked_for() {
        let rows = [connected(
            "a_layer_with_a_long_name (Dense)",
            "(None, 16)",
            1234567,
            "another_layer_with_a_long_name[0][0]",
        )];
        let footer = Footer { trainable: (1, 4), fixed: (0, 0), optimizer: None };
        for (connected, least) in [(false, 16), (true, 28)] {
            for width in (0..100).chain([200, 1000]) {
                let text = render("m", &rows, &footer, width, connected);
                let table = text.lines().filter(|line| line.starts_with(['┏', '┃', '┡', '│', '└']));
                assert!(
                    table.clone().count() >= 5 && table.clone().all(|line| line.chars().count() == width.max(least)),
                    "{width}\n{text}"
                );
            }
        }
    }

    #[test]
    fn the_optimizer_has_a_line_of_its_own() {
        let footer = Footer { trainable: (17, 68), fixed: (0, 0), optimizer: Some((36, 148)) };
        let text = render("sequential", &[row("dense (Dense)", "(None, 1)", 17)], &footer, 76, false);
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
