//! The times of one workload.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wgtensor::{Device, Profile, Result};

use crate::steps::Step;
use crate::works::{Amount, Work};

/// How long to warm up, and how long about each of the samples takes.
const WARM: Duration = Duration::from_millis(200);
const SAMPLE: f64 = 0.05;
/// Samples of the host's time, and times that kernels are timed.
const SAMPLES: usize = 7;
/// The most runs in one sample, and the most in one profile.
const RUNS: f64 = 200.0;
const PROFILED: usize = 20;

/// The workload with its times; or with why it was left out, or its error.
pub(crate) fn measured(device: &Device, work: &Work, small: bool) -> Value {
    let mut found = match catch_unwind(AssertUnwindSafe(|| times(device, work, small))) {
        Ok(Ok(found)) => found,
        // A device may be too small for it; that is no fault.
        Ok(Err(error)) if error.is_out_of_memory() || error.is_unsupported() => json!({"left_out": error.to_string()}),
        Ok(Err(error)) => json!({"error": error.to_string()}),
        Err(_) => json!({"error": "it panicked"}),
    };
    found["name"] = json!(work.name);
    match work.amount {
        Amount::Flops(flops) => found["flops"] = json!(flops),
        Amount::Bytes(bytes) => found["bytes"] = json!(bytes),
        Amount::Step => {}
    }
    device.trim();
    found
}

fn times(device: &Device, work: &Work, small: bool) -> Result<Value> {
    let step = (work.make)(device)?;
    let once = || step()?.realize();
    let begin = Instant::now();
    // The first run compiles, the second may still make buffers.
    let mut warm = 0;
    while warm < 3 || begin.elapsed() < WARM && !small {
        once().and_then(|()| device.sync())?;
        warm += 1;
    }
    // Runs back to back: the host records and submits while the device computes.
    let batch = |runs: usize| -> Result<f64> {
        let begin = Instant::now();
        (0..runs).try_for_each(|_| once())?;
        device.sync()?;
        Ok(begin.elapsed().as_secs_f64() / runs as f64)
    };
    let runs = (SAMPLE / batch(1)?.max(1e-9)).clamp(1.0, RUNS) as usize;
    let mut walls = (0..if small { 3 } else { SAMPLES }).map(|_| batch(runs)).collect::<Result<Vec<_>>>()?;
    walls.sort_by(f64::total_cmp);
    let mut found = json!({"wall_s": walls[walls.len() / 2], "wall_least_s": walls[0], "runs": runs * walls.len()});
    if device.info().features.contains(&"timestamps") || !device.is_gpu() {
        on_device(device, &step, runs.min(PROFILED), &mut found)?;
    }
    Ok(found)
}

/// Adds the device's own times: of one run the median and the least, and its kernels, each by its mean.
fn on_device(device: &Device, step: &Step, runs: usize, found: &mut Value) -> Result<()> {
    let (_, profile) = device.profile(|| (0..runs).try_for_each(|_| step()?.realize()))?;
    let each = profile.kernels.len() / runs;
    // A run's kernels are those of every other run; if some run had more, only the mean can be told.
    let mut sums: Vec<f64> = match profile.kernels.len() == each * runs && each > 0 {
        true => profile.kernels.chunks(each).map(|run| run.iter().map(|k| k.seconds).sum()).collect(),
        false => vec![profile.seconds() / runs as f64],
    };
    sums.sort_by(f64::total_cmp);
    found["device_s"] = json!(sums[sums.len() / 2]);
    found["device_least_s"] = json!(sums[0]);
    found["kernels"] = kernels(&profile, runs);
    Ok(())
}

fn kernels(profile: &Profile, runs: usize) -> Value {
    let summed = profile.summed().into_iter();
    let one = summed.map(|(count, kernel)| {
        json!({
            "name": kernel.name, "groups": kernel.groups, "count": count as f64 / runs as f64,
            "seconds": kernel.seconds / runs as f64,
        })
    });
    Value::Array(one.collect())
}

/// A line for people.
pub(crate) fn line(found: &Value) -> String {
    for (what, of) in [("FAILED", "error"), ("left out", "left_out")] {
        if let Some(why) = found[of].as_str() {
            return format!("{what}: {why}");
        }
    }
    let show = |name: &str| found[name].as_f64().map_or("-".into(), seconds);
    format!("device {:>10}   wall {:>10}", show("device_s"), show("wall_s"))
}

/// A time with three digits and a unit that suits it.
pub(crate) fn seconds(s: f64) -> String {
    let (value, unit) = match s {
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
