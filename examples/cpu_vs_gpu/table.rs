//! The table: a row for each size, filled in from device to device.

use std::io::{self, Write};

/// Erases from the cursor to the end of the line.
const ERASE: &str = "\x1b[K";
/// Between columns.
const GAP: &str = "  ";

/// Where the table appears.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Characters in a line.
    pub(crate) columns: usize,
    /// Whether a line can be drawn over itself.
    pub(crate) live: bool,
}

/// What one device did at one size, in words; empty where it did nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) time: String,
    pub(crate) rate: String,
    pub(crate) share: String,
}

/// Widths of a time, a rate, a share of the ceiling, and of which device is the fastest.
const TIME: usize = 7;
const RATE: usize = 12;
const SHARE: usize = 5;
const FASTEST: usize = 10;

/// The columns of one table.
pub(crate) struct Table {
    screen: Screen,
    /// Width of the sizes.
    label: usize,
    /// What a device's column shows: times, rates too, shares too.
    detail: usize,
    /// Characters of each device's column.
    group: usize,
    /// Whether there is a column for the fastest.
    fastest: bool,
}

impl Table {
    /// For sizes of so many characters at most, as much as the screen has room for.
    pub(crate) fn new(screen: Screen, label: usize, devices: &[String]) -> Table {
        let groups = [TIME, TIME + 1 + RATE, TIME + 1 + RATE + 1 + SHARE];
        let names = devices.iter().map(String::len).max().unwrap_or(0);
        // A line that is drawn over itself must not wrap.
        let fits = |&(detail, fastest): &(usize, bool)| {
            let last = if fastest { GAP.len() + FASTEST } else { 0 };
            label + devices.len() * (GAP.len() + names.max(groups[detail])) + last < screen.columns
        };
        let several = devices.len() > 1;
        let best = [(2, several), (1, several), (0, several), (0, false)].into_iter().find(fits);
        let (detail, fastest) = best.unwrap_or((0, false));
        let screen = Screen { live: screen.live && best.is_some(), ..screen };
        Table { screen, label, detail, group: names.max(groups[detail]), fastest }
    }

    /// Characters in a line of the screen.
    pub(crate) fn columns(&self) -> usize {
        self.screen.columns
    }

    /// The line over the rows.
    pub(crate) fn head(&self, size: &str, devices: &[String]) -> String {
        let size = if size.len() > self.label { "size" } else { size };
        let mut line = format!("{size:>0$}", self.label);
        for device in devices {
            line += &format!("{GAP}{device:>0$}", self.group);
        }
        if self.fastest {
            line += &format!("{GAP}{:>FASTEST$}", "fastest");
        }
        line
    }

    /// A row, as far as it is filled in.
    pub(crate) fn row(&self, size: &str, cells: &[Figures], fastest: &str) -> String {
        let mut line = format!("{size:>0$}", self.label);
        for Figures { time, rate, share } in cells {
            let mut cell = format!("{time:>TIME$}");
            if self.detail > 0 {
                cell += &format!(" {rate:>RATE$}");
            }
            if self.detail > 1 {
                cell += &format!(" {share:>SHARE$}");
            }
            line += &format!("{GAP}{cell:>0$}", self.group);
        }
        if self.fastest && !fastest.is_empty() {
            line += &format!("{GAP}{fastest:>FASTEST$}");
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Draws a row that is not done over the last one, where that is possible.
    pub(crate) fn draw(&self, out: &mut dyn Write, row: &str) -> io::Result<()> {
        if !self.screen.live {
            return Ok(());
        }
        write!(out, "\r{row}{ERASE}")?;
        out.flush()
    }

    /// Leaves a row that is done.
    pub(crate) fn done(&self, out: &mut dyn Write, row: &str) -> io::Result<()> {
        self.draw(out, "")?;
        writeln!(out, "{row}")?;
        out.flush()
    }
}

/// The text in lines of so many characters at most, all but the first indented; a longer word stands alone.
pub(crate) fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if at > 0 && at + 1 + length > columns {
            out += &format!("\n{:indent$}", "");
            at = indent;
        } else if at > 0 {
            out.push(' ');
            at += 1;
        }
        out += word;
        at += length;
    }
    out
}
