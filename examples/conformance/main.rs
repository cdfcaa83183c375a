//! Replays reference cases computed with Keras and judges the crate's results.
//!
//! ```text
//! cargo run --release --example conformance -- [DIR] [--device cpu|gpu|gpu:1|...] [--kernels hardware|software] [--defaults] [--shaders] [--kind PREFIX] [--case NAME]
//! ```
//!
//! `DIR` holds an `index.json` and the cases (`tests/fixtures/keras` of this crate where none is named; the format
//! is described there). `--kernels` chooses the GPU kernels: hardware ones if it is not given, also on a software adapter,
//! or what WGTENSOR_KERNELS says. `--defaults` opens the GPU under plain WebGPU limits and no optional feature. `--shaders` also validates the kernels that
//! each case needs on other GPUs and translates them to SPIR-V, MSL and HLSL; no GPU is needed for that.
//! Prints a line for each kind, every failing case with its largest error and where it is, every skipped case with
//! what the crate lacks, and last `N passed, N failed, N skipped`. The exit status is 1 if a case failed.
//!
//! Values on the edge: WGSL lets an implementation assume that NaN and infinities do not occur, flush subnormals, and
//! return anything for arguments beyond a function's range. So on a GPU, in a case marked `edge_values`, an element that
//! does not pass is excused where its expected value, or an input of the same shape at its place, is NaN,
//! infinite, subnormal or at least 1e18 in magnitude. Each case with excused elements is printed. Elements
//! with ordinary inputs and an ordinary result are judged like all others, and on the CPU nothing is excused.

pub(crate) mod call;
pub(crate) mod case;
pub(crate) mod compare;
mod config;
mod errors;
mod layers;
mod losses;
mod models;
mod ops;
mod ops_nn;
mod ops_shape;
mod optimizers;
pub(crate) mod safetensors;
mod training;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgtensor::{Device, DeviceOptions, Kernels};

use call::{Output, Replay, Stop};
use case::Case;
use compare::{Tolerance, beyond_wgsl, compare};

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// How one case ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Passed; with how many elements excused.
    Passed(usize),
    /// What is wrong.
    Failed(String),
    /// What the crate lacks.
    Skipped(String),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter("WGTENSOR_LOG")).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(kinds) if kinds.values().all(|tally| tally.failed == 0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

/// The folder of the crate. Cargo names it when it runs a program, and so may whoever runs it on another machine than the
/// one that it was built on.
pub(crate) fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()).into()
}

fn command(arguments: &[String]) -> Result<BTreeMap<String, Tally>, String> {
    let mut dir = root().join("tests/fixtures/keras");
    let (mut device, mut kind, mut name) = ("cpu".to_string(), String::new(), String::new());
    // The kernels that users have, even where the adapter here would get others; the environment may say otherwise.
    let kernels = if std::env::var_os("WGTENSOR_KERNELS").is_some() { Kernels::Auto } else { Kernels::Hardware };
    let mut options = DeviceOptions { kernels, ..DeviceOptions::default() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--device" => device = value()?,
            "--kind" => kind = value()?,
            "--case" => name = value()?,
            "--kernels" => options.kernels = value()?.parse().map_err(|e: wgtensor::Error| e.to_string())?,
            "--defaults" => options.webgpu_defaults = true,
            "--shaders" => options.check_shaders = true,
            flag if flag.starts_with("--") => return Err(format!("unknown option {flag}")),
            path => dir = PathBuf::from(path),
        }
    }
    let device = Device::open_with(&device, &options).map_err(|e| e.to_string())?;
    let info = device.info();
    let kernels = if device.is_gpu() { format!(", {} kernels", info.kernels) } else { String::new() };
    println!("device {}: {} ({}, {}{kernels})", info.id, info.name, info.kind, info.api);
    let wanted = |id: &str, of: &str| of.starts_with(&kind) && (name.is_empty() || id == name);
    let tally = run(&dir, &device, wanted, |line| println!("{line}"))?;
    if options.check_shaders {
        println!("{} shaders checked for other GPUs", device.counters().shaders_checked);
    }
    Ok(tally)
}

/// Replays the cases of `dir` that `wanted(id, kind)` names, and gives `report` a line for each finding and each total.
/// Returns how the cases of each kind ended.
pub(crate) fn run(
    dir: &Path,
    device: &Device,
    wanted: impl Fn(&str, &str) -> bool,
    mut report: impl FnMut(&str),
) -> Result<BTreeMap<String, Tally>, String> {
    let mut total = Tally::default();
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    for (id, kind) in case::index(dir)?.into_iter().filter(|(id, kind)| wanted(id, kind)) {
        let outcome = one(dir, &id, device);
        for tally in [&mut total, kinds.entry(kind).or_default()] {
            match outcome {
                Outcome::Passed(_) => tally.passed += 1,
                Outcome::Failed(_) => tally.failed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
            }
        }
        match outcome {
            Outcome::Passed(0) => {}
            Outcome::Passed(n) => report(&format!("excused {id}: {n} elements on values beyond WGSL's promises")),
            Outcome::Failed(what) => report(&format!("FAILED  {id}: {what}")),
            Outcome::Skipped(what) => report(&format!("skipped {id}: not in the crate: {what}")),
        }
    }
    for (kind, t) in &kinds {
        report(&format!("{kind:<14} {:>4} passed {:>4} failed {:>4} skipped", t.passed, t.failed, t.skipped));
    }
    report(&format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(kinds)
}

/// Loads, replays and judges one case.
pub(crate) fn one(dir: &Path, id: &str, device: &Device) -> Outcome {
    let case = match Case::load(dir, id) {
        Ok(case) => case,
        Err(text) => return Outcome::Failed(text),
    };
    match catch_unwind(AssertUnwindSafe(|| replay(&case, device))) {
        Ok(Ok(outputs)) => judge(&case, &outputs, device.is_gpu()),
        Ok(Err(Stop::Fail(text))) => Outcome::Failed(text),
        Ok(Err(Stop::Skip(what))) => Outcome::Skipped(what),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Outcome::Failed(format!("panicked: {}", text.unwrap_or("no text")))
        }
    }
}

fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    match case.kind.as_str() {
        "op_forward" => ops::replay(case, device, false),
        "op_grad" => ops::replay(case, device, true),
        "error" => errors::replay(case, device),
        "layer" => layers::replay(case, device),
        "loss" => losses::replay_loss(case, device),
        "metric" => losses::replay_metric(case, device),
        "optimizer" => optimizers::replay_optimizer(case, device),
        "schedule" => optimizers::replay_schedule(case),
        "constraint" => losses::replay_constraint(case, device),
        "regularizer" => losses::replay_regularizer(case, device),
        "initializer" => optimizers::replay_initializer(case, device),
        "training" => training::replay(case, device),
        "model_summary" => models::replay_summary(case),
        kind => {
            call::skip(format!("{kind} `{}`", case.json[kind].as_str().or(case.json["call"].as_str()).unwrap_or("")))
        }
    }
}

/// Holds every expected tensor of the case against what was computed.
fn judge(case: &Case, outputs: &[Output], gpu: bool) -> Outcome {
    let mut excused = 0;
    let mut wrong = Vec::new();
    for name in case.with_role(&["expected", "expected_grad", "expected_state"]) {
        let tolerance = match Tolerance::of(&case.json["tolerance"][name], gpu) {
            Ok(Some(tolerance)) => tolerance,
            Ok(None) => continue,
            Err(what) => {
                wrong.push(format!("the case is broken: `{name}` has {what}"));
                continue;
            }
        };
        let Some(expected) = case.tensor(name) else {
            wrong.push(format!("the case is broken: `{name}` has no values"));
            continue;
        };
        let Some(got) = outputs.iter().find(|o| o.name == name) else {
            wrong.push(format!("`{name}` was not computed"));
            continue;
        };
        if got.shape != expected.shape {
            wrong.push(format!("`{name}` has shape {:?}, expected {:?}", got.shape, expected.shape));
            continue;
        }
        let values = expected.to_f64();
        let alternative = case.json["alternatives"][name].as_str().and_then(|n| case.tensor(n)).map(|t| t.to_f64());
        let inputs: Vec<Vec<f64>> = if gpu && case.edge_values() {
            let same = case.with_role(&["input"]).into_iter().filter_map(|n| case.tensor(n));
            same.filter(|t| t.shape == expected.shape).map(|t| t.to_f64()).collect()
        } else {
            Vec::new()
        };
        let excuse = |i: usize| {
            gpu && case.edge_values() && (beyond_wgsl(values[i]) || inputs.iter().any(|input| beyond_wgsl(input[i])))
        };
        let verdict = compare(&got.values, &values, alternative.as_deref(), &expected.shape, tolerance, excuse);
        excused += verdict.excused;
        wrong.extend(verdict.mismatch.map(|m| format!("`{name}`: {m}")));
    }
    if wrong.is_empty() { Outcome::Passed(excused) } else { Outcome::Failed(wrong.join("; ")) }
}
