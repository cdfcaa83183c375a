//! What a device does with each kind of work, beside what it can do at most: times by the device's own clock and by the
//! host's, as shares of a copy's bytes a second or of the multiply-adds of registers. `gpu.sh` beside this folder runs it with
//! everything else that is to be known of a GPU.
//!
//! ```text
//! device info                                what WGTENSOR_DEVICE (the first GPU, if it is not set) is
//! device run FILE [--small | --large] [PARTS OF NAMES, |]
//!                                            measures, and writes FILE after each workload; sizes go by the device if
//!                                            they are not given
//! device report DIR                          FILE, parts.txt and peers.json of DIR as results.json and results.md
//! ```

#[path = "../common/ceilings.rs"]
mod ceilings;
#[path = "../common/data.rs"]
mod data;
mod measure;
mod report;
#[path = "../common/steps.rs"]
mod steps;
#[path = "../common/timing.rs"]
mod timing;
#[path = "../common/workloads.rs"]
mod workloads;
mod works;

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use wgtensor::{Device, DeviceKind, Result};

/// The device that is measured.
fn open() -> Result<Device> {
    match std::env::var_os("WGTENSOR_DEVICE") {
        Some(_) => Device::from_env(),
        None => Device::gpu(),
    }
}

fn describe(device: &Device) -> Value {
    let info = device.info();
    let limits: serde_json::Map<_, _> = info.limits.iter().map(|(name, n)| ((*name).into(), json!(n))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"), "name": info.name, "kind": info.kind.to_string(), "api": info.api, "driver": info.driver,
        "kernels": info.kernels.to_string(), "features": info.features, "limits": limits,
    })
}

/// Measures everything, or what one of the parts of names in `filter` names.
fn run(file: &Path, small: Option<bool>, filter: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = open()?;
    let small = small.unwrap_or(device.info().kind == DeviceKind::Software || !device.is_gpu());
    let mut results = json!({
        "adapter": describe(&device), "small": small,
        "ceilings": [], "works": [], "complete": false,
    });
    let lists = [("ceilings", ceilings::all(&device, small)), ("works", works::all(small))];
    let mut failed = 0;
    for (list, works) in lists {
        for work in works.iter().filter(|w| list == "ceilings" || filter.split('|').any(|part| w.name.contains(part))) {
            let found = measure::measured(&device, work, small);
            failed += usize::from(found.get("error").is_some());
            println!("{:<52} {}", work.name, measure::line(&found));
            results[list].as_array_mut().ok_or("a list")?.push(found);
            std::fs::write(file, format!("{results:#}\n"))?;
        }
    }
    results["complete"] = json!(true);
    std::fs::write(file, format!("{results:#}\n"))?;
    println!("{} workloads, {failed} failed", results["works"].as_array().map_or(0, Vec::len));
    if failed == 0 { Ok(()) } else { Err(format!("{failed} workloads failed").into()) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (sizes, words): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|a| a.starts_with("--"));
    let small = match sizes[..] {
        ["--small"] => Some(true),
        ["--large"] => Some(false),
        _ => None,
    };
    let done = match words[..] {
        ["info"] => open().map_err(Into::into).map(|device| {
            println!("{:#}", describe(&device));
            // A line for people, behind what programs read.
            let info = device.info();
            eprintln!("{} ({}, {}), driver {}", info.name, info.kind, info.api, info.driver);
        }),
        ["run", file] => run(Path::new(file), small, ""),
        ["run", file, filter] => run(Path::new(file), small, filter),
        ["report", dir] => report::write(Path::new(dir)),
        _ => Err("device info | device run FILE [--small | --large] [PARTS OF NAMES, |] | device report DIR".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
