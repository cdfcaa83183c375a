//! What every peer in Rust does around its workloads, a file of each: it reads requests from its input, one a line, and
//! answers each with a line of JSON. Written by hand, as the same clock is to time the programs in Python: criterion and
//! divan time functions of one process, in an order of their own.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub type Error = Box<dyn std::error::Error>;
/// Does a workload once and waits for its result.
pub type Run = Box<dyn FnMut() -> Result<(), Error>>;

/// A workload's name, taken to pieces: `product NT 64x512x784` is a kind, ways and sizes.
pub struct Work {
    pub kind: String,
    pub ways: String,
    pub sizes: Vec<usize>,
}

impl Work {
    fn new(name: &str) -> Work {
        let words: Vec<&str> = name.split(' ').collect();
        let sizes = words.last().map_or(Vec::new(), |w| w.split('x').filter_map(|n| n.parse().ok()).collect());
        let ways = if words.len() > 2 { words[1] } else { "" };
        Work { kind: words[0].into(), ways: ways.into(), sizes }
    }
}

/// A request is `SECONDS NAME`: how long to sample, and what. `make` gives `None` for what the peer does not do. Of a
/// workload whose kind ends in `cold`, and of `start`, one run is timed with all that it takes to get there.
pub fn serve(peer: &str, make: impl Fn(&Work) -> Result<Option<Run>, Error>) {
    answer(&format!("\"peer\": {}", text(peer)));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Some((seconds, name)) = line.split_once(' ') else { continue };
        let seconds = seconds.parse().unwrap_or(0.5);
        let found = match catch_unwind(AssertUnwindSafe(|| measured(&Work::new(name), seconds, &make))) {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None)) => "\"missing\": true".into(),
            Ok(Err(error)) => format!("\"error\": {}", text(&error.to_string())),
            Err(_) => "\"error\": \"it panicked\"".into(),
        };
        answer(&format!("\"name\": {}, {found}", text(name)));
    }
}

fn measured(
    work: &Work,
    seconds: f64,
    make: &impl Fn(&Work) -> Result<Option<Run>, Error>,
) -> Result<Option<String>, Error> {
    let begin = Instant::now();
    let Some(mut run) = make(work)? else { return Ok(None) };
    if work.kind == "start" || work.kind.ends_with("cold") {
        run()?;
        return Ok(Some(line(&[begin.elapsed().as_secs_f64()])));
    }
    let begin = Instant::now();
    for i in 0.. {
        run()?;
        let past = begin.elapsed().as_secs_f64() / seconds;
        if past > 0.4 && i >= 2 || past > 16.0 {
            break;
        }
    }
    // At least five samples; fewer of what takes long.
    let mut samples = Vec::new();
    let begin = Instant::now();
    loop {
        let start = Instant::now();
        run()?;
        samples.push(start.elapsed().as_secs_f64());
        let past = begin.elapsed().as_secs_f64() / seconds;
        let enough = if past > 16.0 {
            1
        } else if past > 4.0 {
            3
        } else {
            5
        };
        if samples.len() >= 1000 || past > 1.0 && samples.len() >= enough {
            break;
        }
    }
    samples.sort_by(f64::total_cmp);
    Ok(Some(line(&samples)))
}

fn line(sorted: &[f64]) -> String {
    let (median, least) = (sorted[sorted.len() / 2], sorted[0]);
    format!("\"median\": {median:e}, \"least\": {least:e}, \"runs\": {}", sorted.len())
}

/// A string of JSON.
fn text(s: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { ' ' };
    format!("\"{}\"", s.chars().map(plain).take(300).collect::<String>())
}

fn answer(fields: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{{fields}}}").and_then(|()| out.flush()).expect("someone reads the answers");
}
