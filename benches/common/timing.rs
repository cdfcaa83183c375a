//! How long work takes by the host's clock, and how times and rates are written.

use std::time::{Duration, Instant};

use wgtensor::{Device, Result};

/// The most runs in one sample.
const RUNS: f64 = 200.0;

/// How much is spent on one figure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How long to warm up at least; three runs do so in any case.
    pub(crate) warm: Duration,
    pub(crate) samples: usize,
    /// Seconds that a sample takes about: as many runs as fit, one at least.
    pub(crate) sample: f64,
    /// When this is over there are no more runs than one to warm up and one sample of one.
    pub(crate) limit: Duration,
}

/// Seconds of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    pub(crate) median: f64,
    pub(crate) least: f64,
    /// All runs that were timed.
    pub(crate) runs: usize,
    /// Runs in a sample.
    pub(crate) batch: usize,
}

/// Times runs back to back: the host records and submits the next ones while the device computes, and waits for it at the end
/// of a sample.
pub(crate) fn times(device: &Device, effort: Effort, once: impl Fn() -> Result<()>) -> Result<Times> {
    let begin = Instant::now();
    let over = || begin.elapsed() > effort.limit;
    // The first run compiles, the second may still make buffers.
    let mut warm = 0;
    while warm == 0 || (warm < 3 || begin.elapsed() < effort.warm) && !over() {
        once().and_then(|()| device.sync())?;
        warm += 1;
    }
    let sample = |runs: usize| -> Result<f64> {
        let begin = Instant::now();
        (0..runs).try_for_each(|_| once())?;
        device.sync()?;
        Ok(begin.elapsed().as_secs_f64() / runs as f64)
    };
    let first = sample(1)?;
    let runs = (effort.sample / first.max(1e-9)).clamp(1.0, RUNS) as usize;
    // One run that takes as long as a sample should is one.
    let mut seconds = if runs == 1 { vec![first] } else { Vec::new() };
    while seconds.is_empty() || seconds.len() < effort.samples && !over() {
        seconds.push(sample(runs)?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Times { median: seconds[seconds.len() / 2], least: seconds[0], runs: runs * seconds.len(), batch: runs })
}

/// A value with three digits.
fn digits(value: f64) -> String {
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}")
}

/// A time with a unit that suits it.
pub(crate) fn show_seconds(s: f64) -> String {
    let (value, unit) = match s {
        s if s < 0.9995e-3 => (s * 1e6, "us"),
        s if s < 0.9995 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Floating-point operations a second, or bytes a second, with a unit that suits them.
pub(crate) fn show_rate(per_second: f64, flops: bool) -> String {
    let (value, scale) = match per_second {
        r if r < 0.9995e9 => (r / 1e6, "M"),
        r if r < 0.9995e12 => (r / 1e9, "G"),
        r => (r / 1e12, "T"),
    };
    format!("{} {scale}{}", digits(value), if flops { "FLOP/s" } else { "B/s" })
}
