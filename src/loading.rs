//! The line in a terminal that says how far a long load is.
#![cfg_attr(not(feature = "csv"), allow(dead_code, reason = "bytes are counted of tables alone"))]

use std::io::{self, Read, Write};

use crate::sys::{ERASE, Instant, draws, over};

/// Seconds until a load is a long one, and between two drawings.
const LONG: f64 = 1.0;
const INTERVAL: f64 = 0.25;

/// How far a load is. After a second it says so in a line of the standard error, if that is a terminal; the line is gone when this is
/// dropped.
pub(crate) struct Loading {
    what: String,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    drawn: Option<f64>,
    live: bool,
}

/// What is counted.
pub(crate) enum Unit {
    Bytes,
    Batches,
}

impl Loading {
    /// Nothing is loaded yet, of so much, if that is known.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, total: Option<u64>) -> Self {
        let live = draws(&io::stderr());
        Loading { what: what.into(), unit, total, done: 0, begun: Instant::now(), drawn: None, live }
    }

    /// So much more is loaded.
    pub(crate) fn advance(&mut self, more: u64) {
        self.done += more;
        if !self.live {
            return;
        }
        let now = self.begun.elapsed().as_secs_f64();
        if now >= self.drawn.map_or(LONG, |drawn| drawn + INTERVAL) {
            self.drawn = Some(now);
            let _ = write!(io::stderr(), "{}", over(&self.text(now)));
        }
    }

    fn text(&self, seconds: f64) -> String {
        let count = |n: u64| match self.unit {
            Unit::Bytes if n >= 1_000_000_000 => format!("{:.1} GB", n as f64 / 1e9),
            Unit::Bytes => format!("{} MB", n / 1_000_000),
            Unit::Batches => format!("{n}"),
        };
        let unit = if matches!(self.unit, Unit::Batches) { " batches" } else { "" };
        let (what, done) = (&self.what, count(self.done));
        match self.total.filter(|&total| total > 0 && self.done <= total) {
            Some(total) => {
                let left = seconds * (total - self.done) as f64 / self.done.max(1) as f64;
                let share = 100 * self.done / total;
                format!("{what}: {done} of {}{unit} ({share} %), {left:.0} s left", count(total))
            }
            None => format!("{what}: {done}{unit}, {seconds:.0} s"),
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r{ERASE}");
        }
    }
}

/// What is read through it is counted.
pub(crate) struct Counted<R> {
    inner: R,
    loading: Loading,
}

impl<R: Read> Counted<R> {
    pub(crate) fn new(inner: R, loading: Loading) -> Self {
        Counted { inner, loading }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.loading.advance(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let mut loading = Loading::new("big.csv", Unit::Bytes, Some(4_000_000_000));
        loading.live = false;
        loading.advance(1_000_000_000);
        assert_eq!(loading.text(2.0), "big.csv: 1.0 GB of 4.0 GB (25 %), 6 s left");
        loading.total = Some(1);
        assert_eq!(loading.text(2.0), "big.csv: 1.0 GB, 2 s");
        let mut batches = Loading::new("adapt", Unit::Batches, None);
        batches.done = 120;
        assert_eq!(batches.text(31.0), "adapt: 120 batches, 31 s");
        let mut counted = Counted::new(&b"seven b"[..], Loading::new("x", Unit::Bytes, None));
        let mut all = Vec::new();
        counted.read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), counted.loading.done), (7, 7));
    }
}
