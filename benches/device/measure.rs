//! The times of one workload.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use wgtensor::{Device, Profile, Result};

use crate::steps::Step;
use crate::timing::{Effort, show_seconds, times};
use crate::workloads::{Amount, Work};

/// For a device, and for a driver that computes on the processor.
const LARGE: Effort = Effort { warm: Duration::from_millis(200), samples: 7, sample: 0.05, limit: Duration::MAX };
const SMALL: Effort = Effort { warm: Duration::ZERO, samples: 3, ..LARGE };
/// The most runs in one profile.
const PROFILED: usize = 20;

/// The workload with its times; or with why it was left out, or its error.
pub(crate) fn measured(device: &Device, work: &Work, small: bool) -> Value {
    let mut found = match catch_unwind(AssertUnwindSafe(|| timed(device, work, if small { SMALL } else { LARGE }))) {
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
        Amount::Step(flops) => found["step_flops"] = json!(flops),
    }
    device.trim();
    found
}

fn timed(device: &Device, work: &Work, effort: Effort) -> Result<Value> {
    let step = (work.make)(device)?;
    let wall = times(device, effort, || step()?.realize())?;
    let mut found = json!({"wall_s": wall.median, "wall_least_s": wall.least, "runs": wall.runs});
    if device.info().features.contains(&"timestamps") || !device.is_gpu() {
        on_device(device, &step, wall.batch.min(PROFILED), &mut found)?;
    }
    Ok(found)
}

/// Adds the device's own times: of one run the median and the least, and its kernels, each by its mean.
fn on_device(device: &Device, step: &Step, runs: usize, found: &mut Value) -> Result<()> {
    let (_, profile) = device.profile(|| (0..runs).try_for_each(|_| step()?.realize()))?;
    if profile.kernels.is_empty() {
        // What is measured ran beside the device.
        return Ok(());
    }
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
    let show = |name: &str| found[name].as_f64().map_or("-".into(), show_seconds);
    format!("device {:>10}   wall {:>10}", show("device_s"), show("wall_s"))
}
