//! What is measured of a device. A device that fails, or panics, has failed; nothing else ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use wgtensor::{DType, Device, DeviceKind, Error, Result, Tensor};

use super::ceilings;
use super::findings::Ceilings;
use super::timing::{Effort, Times, times};
use super::workloads::{Amount, Work};

/// What became of one workload on one device.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Times(Times),
    /// The device is too small for it, or cannot do it.
    LeftOut(String),
    Failed(String),
    /// It would take longer than the time that there is, or came after something that failed.
    NotRun,
}

impl Cell {
    /// Seconds of one run.
    pub(crate) fn median(&self) -> Option<f64> {
        match self {
            Cell::Times(times) => Some(times.median),
            _ => None,
        }
    }
}

/// What `f` gives, or what has become of it.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> std::result::Result<T, Cell> {
    // In one line, and without the line of the program, which is this one.
    let flat = |error: Error| {
        let text = error.to_string().lines().collect::<Vec<_>>().join(" ");
        text.rsplit_once(" [").map_or(text.clone(), |(said, _)| said.into())
    };
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.is_out_of_memory() || error.is_unsupported() => Err(Cell::LeftOut(flat(error))),
        Ok(Err(error)) => Err(Cell::Failed(flat(error))),
        Err(_) => Err(Cell::Failed("It panicked.".into())),
    }
}

/// The times of a workload, and the seconds that its operands took.
pub(crate) fn measured(device: &Device, work: &Work, effort: Effort) -> (Cell, f64) {
    let begin = Instant::now();
    let mut made = 0.0;
    let times = guarded(|| {
        let step = (work.make)(device)?;
        device.sync()?;
        made = begin.elapsed().as_secs_f64();
        times(device, effort, || step()?.realize())
    });
    // What it has left is no help to the next.
    device.trim();
    (times.map_or_else(|failed| failed, Cell::Times), made)
}

/// A device's ceilings, and what failed.
pub(crate) fn ceilings(device: &Device, effort: Effort) -> (Ceilings, Vec<String>) {
    let (mut found, mut failures) = (Ceilings::default(), Vec::new());
    let note = |failed: &mut Vec<String>, cell: Cell| {
        if let Cell::LeftOut(why) | Cell::Failed(why) = cell {
            failed.push(why);
        }
    };
    for work in ceilings::all(device, device.info().kind == DeviceKind::Software) {
        let (most, amount) = match work.amount {
            Amount::Bytes(bytes) => (&mut found.bytes, bytes),
            Amount::Flops(flops) | Amount::Step(flops) => (&mut found.flops, flops),
        };
        match measured(device, &work, effort).0 {
            Cell::Times(times) => *most = most.map_or(amount / times.least, |m| m.max(amount / times.least)).into(),
            other => note(&mut failures, other),
        }
    }
    let least = guarded(|| {
        let x = Tensor::ones([1], DType::F32, device)?;
        let launch = times(device, effort, || x.mul(2.0)?.realize())?;
        Ok((launch, times(device, effort, || x.mul(2.0)?.item::<f32>().map(drop))?))
    });
    match least {
        Ok((launch, waited)) => (found.launch, found.waited) = (Some(launch.median), Some(waited.median)),
        Err(other) => note(&mut failures, other),
    }
    (found, failures)
}

/// Steps of training that are compared, so that gradients and updates have their part in the loss.
const STEPS: usize = 3;

/// How far a workload's result is from the other device's, as a share of the largest number in it.
pub(crate) fn off(device: &Device, other: &Device, work: &Work) -> std::result::Result<f64, Cell> {
    guarded(|| {
        let result = |device: &Device| -> Result<Vec<f32>> {
            let step = (work.make)(device)?;
            (1..STEPS).try_for_each(|_| step()?.realize())?;
            step()?.to_vec()
        };
        let (found, expected) = (result(device)?, result(other)?);
        let most = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs());
        // A comparison with no number is no agreement.
        let off = off.fold(0f32, |m, d| if d <= m { m } else { d });
        Ok(if off.is_nan() || found.len() != expected.len() { f64::INFINITY } else { f64::from(off / most.max(1e-30)) })
    })
}

/// How much is spent on each figure, so that so many fit into these seconds.
pub(crate) fn effort(seconds: f64, figures: usize) -> Effort {
    const SAMPLES: usize = 5;
    // Half goes into operands, compiling and large sizes.
    let sample = (seconds / figures as f64 / SAMPLES as f64 / 2.0).clamp(0.002, 0.05);
    Effort { warm: Duration::from_secs_f64(sample), samples: SAMPLES, sample, limit: Duration::from_secs_f64(seconds) }
}
