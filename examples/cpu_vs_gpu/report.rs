//! The figures for programs: the file `results.json`, whose fields are told of in `main.rs`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::findings::Crossover;
use super::measuring::Cell;
use super::{Contender, Ladder, TOLERANCE, amount, share, told};

/// Writes what is known so far into the folder, which is made.
pub(super) fn write(dir: &Path, contenders: &[Contender], ladders: &[Ladder], complete: bool) -> io::Result<()> {
    let told = |what: &Path| {
        let what = what.display().to_string();
        move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"))
    };
    fs::create_dir_all(dir).map_err(told(dir))?;
    let file = dir.join("results.json");
    fs::write(&file, format!("{:#}\n", results(contenders, ladders, complete))).map_err(told(&file))
}

pub(super) fn results(contenders: &[Contender], ladders: &[Ladder], complete: bool) -> Value {
    json!({
        "wgtensor": env!("CARGO_PKG_VERSION"),
        "date": date(),
        "machine": {"os": std::env::consts::OS, "arch": std::env::consts::ARCH, "cores": told::cores()},
        "complete": complete,
        "devices": contenders.iter().map(device).collect::<Vec<_>>(),
        "works": ladders.iter().map(|ladder| work(contenders, ladder)).collect::<Vec<_>>(),
        "checks": ladders.iter().flat_map(|ladder| checks(contenders, ladder)).collect::<Vec<_>>(),
        "crossovers": crossovers(contenders, ladders),
        "transfers": transfers(contenders, ladders),
    })
}

/// `2026-11-22T14:31:21Z`.
fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (mut days, second) = (now / 86_400, now % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year}-{:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", month + 1, days + 1, second % 60)
}

fn device(contender: &Contender) -> Value {
    let (info, ceilings) = (&contender.info, &contender.ceilings);
    json!({
        "id": info.id, "name": info.name, "kind": info.kind.to_string(), "api": info.api, "driver": info.driver,
        "is_gpu": contender.is_gpu(),
        "copy_bytes_per_s": ceilings.bytes, "fma_flops_per_s": ceilings.flops,
        "launch_s": ceilings.launch, "waited_s": ceilings.waited, "failures": contender.failures,
    })
}

fn work(contenders: &[Contender], ladder: &Ladder) -> Value {
    let measures = contenders.iter().zip(&ladder.cells).flat_map(|(contender, cells)| {
        let sized = cells.iter().zip(ladder.sizes().iter().zip(&ladder.amounts));
        sized.filter_map(move |(cell, (size, &of))| {
            let (much, flops) = amount(of);
            let mut found = json!({"device": contender.info.id, "size": size});
            found[if flops { "flops" } else { "bytes" }] = json!(much);
            match cell {
                Cell::Times(times) => {
                    found["median_s"] = json!(times.median);
                    found["least_s"] = json!(times.least);
                    found["runs"] = json!(times.runs);
                    found["rate_per_s"] = json!(much / times.median);
                    found["of_ceiling"] = json!(share(&ladder.kind, of, times.median, &contender.ceilings));
                }
                Cell::LeftOut(why) => found["left_out"] = json!(why),
                Cell::Failed(why) => found["error"] = json!(why),
                Cell::NotRun => return None,
            }
            Some(found)
        })
    });
    let kind = &ladder.kind;
    json!({"name": kind.name, "what": kind.what, "size": kind.axis, "measures": measures.collect::<Vec<_>>()})
}

fn checks(contenders: &[Contender], ladder: &Ladder) -> Vec<Value> {
    let done =
        contenders.iter().zip(&ladder.checks).filter_map(|(contender, check)| Some((contender, check.as_ref()?)));
    let one = done.map(|(contender, check)| {
        let mut found = json!({"work": ladder.kind.name, "device": contender.info.id});
        match check {
            // Infinity is no number in JSON.
            Ok(off) => (found["off"], found["agrees"]) = (json!(off), json!(*off <= TOLERANCE)),
            Err(why) => found["error"] = json!(why),
        }
        found
    });
    one.collect()
}

fn crossovers(contenders: &[Contender], ladders: &[Ladder]) -> Vec<Value> {
    let Some(cpu) = told::cpu(contenders) else { return Vec::new() };
    let gpus = contenders.iter().enumerate().filter(|(_, c)| c.is_gpu());
    let all = gpus.flat_map(|(d, gpu)| ladders.iter().map(move |ladder| (d, gpu, ladder)));
    let one = all.filter_map(|(d, gpu, ladder)| {
        let from = match told::overtakes(ladder, cpu, d)? {
            Crossover::From(size) => json!(size),
            Crossover::Always => json!("always"),
            Crossover::Never => json!("never"),
            Crossover::Unclear => json!("unclear"),
            Crossover::Unknown => json!("unknown"),
        };
        Some(json!({"work": ladder.kind.name, "device": gpu.info.id, "from": from}))
    });
    one.collect()
}

fn transfers(contenders: &[Contender], ladders: &[Ladder]) -> Vec<Value> {
    let adapters = contenders.iter().enumerate().filter(|(_, c)| !c.is_cpu());
    let one = adapters.map(|(d, contender)| {
        json!({
            "device": contender.info.id,
            "to_device_bytes_per_s": told::transfer_rate(ladders, "to the device", d),
            "from_device_bytes_per_s": told::transfer_rate(ladders, "from the device", d),
            "worth_operations": told::worth(contenders, ladders, d),
        })
    });
    one.collect()
}
