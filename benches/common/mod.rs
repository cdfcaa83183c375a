//! A small timing harness: warm up, sample, print the median and the least.

use std::time::{Duration, Instant};

/// Times `run` and prints one line; `count` things happen in a run, so the figures are for one of them.
/// Does nothing where the command line names a filter that `label` does not contain.
pub(crate) fn time(label: &str, count: f64, mut run: impl FnMut()) {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    if filter.is_some_and(|f| !label.contains(&f)) {
        return;
    }
    let begin = Instant::now();
    for i in 0.. {
        run();
        if i >= 2 && begin.elapsed() > Duration::from_millis(300) {
            break;
        }
    }
    let mut samples = Vec::new();
    let begin = Instant::now();
    while samples.len() < 5 || (samples.len() < 200 && begin.elapsed() < Duration::from_secs(1)) {
        let start = Instant::now();
        run();
        samples.push(start.elapsed().as_secs_f64() / count);
    }
    samples.sort_by(f64::total_cmp);
    let (median, least) = (samples[samples.len() / 2], samples[0]);
    println!("{label:<52} median {:>10}   least {:>10}   ({} runs)", show(median), show(least), samples.len());
}

fn show(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
