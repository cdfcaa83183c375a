//! Keras's progress bar: its text, drawn over itself in a terminal, a line each time elsewhere.

use std::io::{self, Write};
use std::sync::OnceLock;

use crate::sys::{ERASE, Instant, draws, over, terminal_columns};

/// How much `fit`, `evaluate` and `predict` print.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// assert_eq!(Verbose::from(0), Verbose::Silent); // Keras's numbers
/// let quiet = Fit::new().verbose(Verbose::Silent);
/// # drop(quiet);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// A bar in a terminal, one line an epoch elsewhere.
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// A bar.
    Bar,
    /// One line an epoch.
    Line,
}

impl From<u8> for Verbose {
    /// Keras's numbers: 0 silent, 1 a bar, 2 a line.
    fn from(level: u8) -> Self {
        match level {
            0 => Verbose::Silent,
            1 => Verbose::Bar,
            _ => Verbose::Line,
        }
    }
}

impl Verbose {
    /// What `Auto` means for the standard output.
    pub(crate) fn resolve(self) -> Self {
        match self {
            Verbose::Auto if draws(&io::stdout()) => Verbose::Bar,
            Verbose::Auto => Verbose::Line,
            other => other,
        }
    }

    /// Keras's number.
    pub(crate) fn level(self) -> u8 {
        match self {
            Verbose::Silent => 0,
            Verbose::Auto | Verbose::Bar => 1,
            Verbose::Line => 2,
        }
    }
}

/// Seconds between two drawings of the bar, for each of which the figures are read back.
const INTERVAL: f64 = 0.25;
/// Characters of the bar, and of the shortest one that is drawn in a narrow terminal.
const WIDTH: usize = 20;
const LEAST_WIDTH: usize = 5;

/// The bar of one epoch: given the time and the values, it says what to print.
pub(crate) struct Progbar {
    /// The steps to come, where that is known.
    target: Option<usize>,
    verbose: Verbose,
    /// Whether it is drawn in a terminal, and how wide that is.
    live: bool,
    columns: usize,
    /// When the first step ended, which says nothing of the others.
    first_step: Option<f64>,
    last_drawn: Option<f64>,
}

impl Progbar {
    pub(crate) fn new(target: Option<usize>, verbose: Verbose, live: bool) -> Self {
        Progbar { target, verbose, live, columns: usize::MAX, first_step: None, last_drawn: None }
    }

    /// In a terminal so wide: what is drawn over has to fit in a line.
    fn columns(self, columns: usize) -> Self {
        Progbar { columns, ..self }
    }

    /// Whether [`update`](Self::update) at this time would draw.
    pub(crate) fn is_due(&self, now: f64) -> bool {
        self.verbose == Verbose::Bar && self.last_drawn.is_none_or(|last| now - last >= INTERVAL)
    }

    /// Notes that `step` steps are done `now` seconds after the start; called for every step, drawn or not.
    pub(crate) fn note(&mut self, step: usize, now: f64) {
        if step == 1 {
            self.first_step = Some(now);
        }
    }

    /// The text for `step` steps done, `now` seconds after the start.
    pub(crate) fn update(&mut self, step: usize, now: f64, values: &[(String, f64)], last: bool) -> String {
        match self.verbose {
            Verbose::Bar | Verbose::Auto => self.bar(step, now, values, last),
            Verbose::Line if last => self.line(step, now, values),
            _ => String::new(),
        }
    }

    fn bar(&mut self, step: usize, now: f64, values: &[(String, f64)], last: bool) -> String {
        self.last_drawn = Some(now);
        let paint = |code: u8, text: String| match self.live && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text,
        };
        let counter = match self.target {
            Some(target) => format!("{step:>0$}/{target}", target.to_string().len()),
            None => format!("{step:>7}/Unknown"),
        };
        let each = self.step_time(step, now);
        let time = match self.target {
            Some(target) if !last => eta(each * target.saturating_sub(step) as f64),
            _ => format!("{now:.0}s"),
        };
        let (mut each, mut shown) = (per_step(each), values.to_vec());
        // In the last column the cursor stays on what it has written, and erases it. (The last drawing may be longer than a line:
        // nothing is drawn over it.)
        let columns = if self.live && !last { self.columns.saturating_sub(1) } else { usize::MAX };
        let least = if self.target.is_some() { LEAST_WIDTH + 1 } else { 0 };
        let room = |each: &str, shown: &[(String, f64)]| {
            let used = counter.chars().count() + 1 + time.len() + each.len() + self.values(shown).chars().count();
            columns.checked_sub(used + least).map(|left| left + least)
        };
        // In a narrow terminal the bar is shorter; then the time of a step goes, then all figures but the loss.
        if room(&each, &shown).is_none() {
            each.clear();
        }
        while room(&each, &shown).is_none()
            && let Some(other) = shown.iter().rposition(|(name, _)| name != "loss")
        {
            shown.remove(other);
        }
        let mut text = paint(1, counter.clone());
        if let Some(target) = self.target {
            let width = room(&each, &shown).map_or(LEAST_WIDTH, |room| (room - 1).min(WIDTH));
            let done = (width * step / target.max(1)).min(width);
            // Without colours, what is left to do has another sign.
            let left = if self.live { "━" } else { "╌" }.repeat(width - done);
            text += &format!(" {}{}", paint(32, "━".repeat(done)), paint(37, left));
        }
        text += &format!(" {}{each}{}", paint(1, time.clone()), self.values(&shown));
        match (self.live, last) {
            (false, _) => text + "\n",
            (true, true) => format!("\r{ERASE}{text}\n"),
            // Until the last time it is one line.
            (true, false) => over(&text),
        }
    }

    fn line(&self, step: usize, now: f64, values: &[(String, f64)]) -> String {
        let target = self.target.unwrap_or(step);
        let digits = target.to_string().len();
        let each = per_step(self.step_time(step, now));
        format!("{step:>digits$}/{target} - {now:.0}s -{each}{}\n", self.values(values))
    }

    /// Seconds a step takes, the first one left out where there are more.
    fn step_time(&self, step: usize, now: f64) -> f64 {
        match self.first_step {
            _ if step == 0 => 0.0,
            Some(first) if step > 1 => (now - first) / (step - 1) as f64,
            _ => now / step as f64,
        }
    }

    fn values(&self, values: &[(String, f64)]) -> String {
        let small = |v: f64| if self.verbose == Verbose::Line { v <= 1e-3 } else { v.abs() <= 1e-3 };
        let one = |(name, value): &(String, f64)| match small(*value) {
            true => format!(" - {name}: {}", scientific(*value, 4)),
            false if value.is_nan() => format!(" - {name}: nan"),
            false => format!(" - {name}: {value:.4}"),
        };
        values.iter().map(one).collect()
    }
}

/// `25s`, `2:05` or `1:02:05`
fn eta(seconds: f64) -> String {
    let whole = seconds as u64;
    match seconds {
        s if s > 3600.0 => format!("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60),
        s if s > 60.0 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{whole}s"),
    }
}

fn per_step(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 || s == 0.0 => format!(" {s:.0}s/step"),
        s if s >= 1e-3 => format!(" {:.0}ms/step", s * 1e3),
        s => format!(" {:.0}us/step", s * 1e6),
    }
}

/// Python's `%.4e` (for 4 places): at least two digits in the exponent, and a sign.
pub(crate) fn scientific(value: f64, places: usize) -> String {
    let text = format!("{value:.places$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        None => text,
    }
}

/// A bar on the standard output with a clock.
pub(crate) struct Display {
    bar: Progbar,
    start: Instant,
    seen: usize,
}

impl Display {
    /// For so many steps, if that is known.
    pub(crate) fn new(target: Option<usize>, verbose: Verbose) -> Self {
        // Asked once: to ask again in each short epoch would take longer than some of these.
        static COLUMNS: OnceLock<usize> = OnceLock::new();
        let mut bar = Progbar::new(target, verbose, draws(&io::stdout()));
        if bar.live && verbose == Verbose::Bar {
            bar = bar.columns(*COLUMNS.get_or_init(terminal_columns));
        }
        Display { bar, start: Instant::now(), seen: 0 }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// One more step is done; draws if it is time, with the values that `values` fetches.
    pub(crate) async fn step<E>(
        &mut self,
        step: usize,
        values: impl AsyncFnOnce() -> Result<Vec<(String, f64)>, E>,
    ) -> Result<(), E> {
        let now = self.seconds();
        self.seen = step;
        self.bar.note(step, now);
        if self.bar.is_due(now) {
            print(&self.bar.update(step, now, &values().await?, false));
        }
        Ok(())
    }

    /// The last drawing, with the final values.
    pub(crate) fn finish(&mut self, values: &[(String, f64)]) {
        let now = self.seconds();
        let target = *self.bar.target.get_or_insert(self.seen);
        print(&self.bar.update(target, now, values, true));
    }

    /// Ends with this text in place of a last drawing.
    pub(crate) fn leave(&mut self, text: &str) {
        if self.bar.verbose != Verbose::Silent {
            let below = if self.bar.live && self.bar.last_drawn.is_some() { "\n" } else { "" };
            print(&format!("{below}{text}\n"));
        }
    }
}

/// Prints at once; a closed output is no reason to stop training.
pub(crate) fn print(text: &str) {
    if !text.is_empty() {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Says on the standard error what a user should know and no error is made of; a logger need not be set up.
pub(crate) fn warn(text: &str) {
    let mut err = io::stderr().lock();
    // A bar may stand where the cursor is.
    let free = if draws(&err) { format!("\r{ERASE}") } else { String::new() };
    let _ = writeln!(err, "{free}UserWarning: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn the_bar_has_keras_s_text_on_one_line_until_it_is_full() {
        let mut bar = Progbar::new(Some(8), Verbose::Bar, true);
        bar.note(1, 3.6);
        let first = bar.update(1, 3.6, &values(&[("accuracy", 0.3125), ("loss", 1.15432)]), false);
        let expected = "\r\x1b[?7l\x1b[1m1/8\x1b[0m \x1b[32m━━\x1b[0m\x1b[37m━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m25s\x1b[0m \
                        4s/step - accuracy: 0.3125 - loss: 1.1543\x1b[K\x1b[?7h";
        assert_eq!(first, expected);
        let logs = values(&[("accuracy", 0.367), ("loss", 1.0224), ("val_accuracy", 0.2456), ("val_loss", 1.2456)]);
        let last = bar.update(8, 3.6 + 7.0 * 0.112, &logs, true);
        let expected = "\r\x1b[K\x1b[1m8/8\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m4s\x1b[0m \
                        112ms/step - accuracy: 0.3670 - loss: 1.0224 - val_accuracy: 0.2456 - val_loss: 1.2456\n";
        assert_eq!(last, expected);
    }

    /// What stands in the terminal.
    fn seen(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text.trim_start_matches('\r');
        while let Some((before, code)) = rest.split_once('\x1b') {
            out += before;
            let end = code.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            rest = &code[end + 1..];
        }
        out + rest
    }

    #[test]
    fn a_narrow_terminal_shows_the_loss() {
        let logs = values(&[("accuracy", 0.3125), ("loss", 1.15432), ("mae", 0.5)]);
        let at = |columns: usize, target: Option<usize>| {
            let mut bar = Progbar::new(target, Verbose::Bar, true).columns(columns);
            bar.note(1, 0.5);
            seen(&bar.update(40, 8.0, &logs, false))
        };
        let full = "40/80 ━━━━━━━━━━━━━━━━━━━━ 7s 192ms/step - accuracy: 0.3125 - loss: 1.1543 - mae: 0.5000";
        assert_eq!(at(100, Some(80)), full);
        assert_eq!(at(full.chars().count() + 1, Some(80)), full);
        assert_eq!(at(80, Some(80)), full.replacen("━━━━━━━━━", "", 1));
        assert_eq!(at(63, Some(80)), "40/80 ━━━━━ 7s - accuracy: 0.3125 - loss: 1.1543 - mae: 0.5000");
        assert_eq!(at(40, Some(80)), "40/80 ━━━━━━━━━━━━━━━ 7s - loss: 1.1543");
        assert_eq!(at(20, Some(80)), "40/80 ━━━━━ 7s - loss: 1.1543");
        assert_eq!(at(40, None), "     40/Unknown 8s - loss: 1.1543");
        // The last drawing has everything.
        let mut bar = Progbar::new(Some(80), Verbose::Bar, true).columns(40);
        assert!(seen(&bar.update(80, 8.0, &logs, true)).ends_with("- mae: 0.5000\n"));
    }

    #[test]
    fn a_bar_in_a_file_is_plain_lines() {
        let mut bar = Progbar::new(Some(10), Verbose::Bar, false);
        let half = bar.update(5, 1.0, &values(&[("loss", 10.5)]), false);
        assert_eq!(half, " 5/10 ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌ 1s 200ms/step - loss: 10.5000\n");
    }

    #[test]
    fn an_epoch_of_unknown_length() {
        let mut bar = Progbar::new(None, Verbose::Bar, false);
        bar.note(1, 0.5);
        let text = bar.update(3, 2.5, &values(&[("loss", 0.5)]), false);
        assert_eq!(text, "      3/Unknown 2s 1s/step - loss: 0.5000\n");
        bar.target = Some(4);
        assert!(bar.update(4, 3.5, &values(&[("loss", 0.5)]), true).contains("4/4 "));
        // More than there were to come.
        assert!(bar.update(9, 4.5, &[], false).contains("9/4"));
    }

    #[test]
    fn a_line_an_epoch() {
        let mut bar = Progbar::new(Some(8), Verbose::Line, true);
        assert_eq!(bar.update(3, 0.2, &[], false), "");
        let logs = values(&[("accuracy", 0.6418), ("loss", 0.596), ("val_accuracy", 0.4737), ("val_loss", 0.8036)]);
        assert_eq!(
            bar.update(8, 0.536, &logs, true),
            "8/8 - 1s - 67ms/step - accuracy: 0.6418 - loss: 0.5960 - val_accuracy: 0.4737 - val_loss: 0.8036\n"
        );
    }

    #[test]
    fn steps_align_and_small_values_are_scientific() {
        let mut bar = Progbar::new(Some(100), Verbose::Line, false);
        let text = bar.update(7, 0.0007, &values(&[("loss", 0.0), ("mse", 0.000123456)]), true);
        assert_eq!(text, "  7/100 - 0s - 100us/step - loss: 0.0000e+00 - mse: 1.2346e-04\n");
        assert_eq!(scientific(-1.5e-12, 4), "-1.5000e-12");
    }

    #[test]
    fn times() {
        assert_eq!([eta(59.9), eta(125.0), eta(3725.0)], ["59s", "2:05", "1:02:05"]);
        assert_eq!([per_step(2.4), per_step(0.0), per_step(0.0124)], [" 2s/step", " 0s/step", " 12ms/step"]);
    }

    #[test]
    fn drawing_waits_for_the_interval() {
        let mut bar = Progbar::new(Some(10), Verbose::Bar, true);
        assert!(bar.is_due(0.0));
        bar.update(1, 0.0, &[], false);
        assert!(!bar.is_due(0.24));
        assert!(bar.is_due(0.25));
    }
}
