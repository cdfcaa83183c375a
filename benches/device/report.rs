//! What was found, in one table for programs and one for people.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::timing::{show_rate, show_seconds};

/// Reads what the parts left in `dir` and writes `results.json` and `results.md` there.
pub(crate) fn write(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let parts = std::fs::read_to_string(dir.join("parts.txt")).unwrap_or_default();
    let json = |name: &str| -> Value {
        let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    };
    let mut all = json("bench.json");
    if !all.is_object() {
        all = Value::Object(Map::new());
    }
    let (mut checks, mut date) = (Vec::new(), Value::Null);
    for line in parts.lines() {
        match line.splitn(4, '\t').collect::<Vec<_>>()[..] {
            ["date", when] => date = json!(when),
            [part, status, seconds, last] => {
                let seconds: f64 = seconds.parse()?;
                checks.push(json!({"part": part, "status": status, "seconds": seconds, "last_line": last}));
            }
            _ => return Err(format!("parts.txt: {line}").into()),
        }
    }
    all["date"] = date;
    all["parts"] = Value::Array(checks);
    if !all["adapter"].is_object() {
        all["adapter"] = json("adapter.json");
    }
    let peers = json("peers.json");
    all["peer"] = peers["peer"].clone();
    let best = |unit: &str, list: &Value| -> Option<f64> {
        list.as_array()?.iter().filter_map(|w| Some(w[unit].as_f64()? / least(w)?)).max_by(f64::total_cmp)
    };
    let ceilings = [best("bytes", &all["ceilings"]), best("flops", &all["ceilings"])];
    all["ceiling_bytes_per_s"] = json!(ceilings[0]);
    all["ceiling_flops_per_s"] = json!(ceilings[1]);
    let others = WAYS.map(|(name, _)| (name, json(&format!("{name}.json"))));
    for work in all["works"].as_array_mut().into_iter().flatten() {
        shares(work, ceilings, &peers["works"]);
        for (name, other) in &others {
            if let Some(other) = list(&other["works"]).iter().find(|other| other["name"] == work["name"])
                && let (Some(time), Some(before)) = (of_device(other), of_device(work))
            {
                work[&format!("{name}_s")[..]] = json!(time);
                work[&format!("{name}_over_rule")[..]] = json!(time / before);
                let peer = work["peer"]["device_s"].as_f64();
                work[&format!("{name}_over_peer")[..]] = json!(peer.map(|peer| time / peer));
            }
        }
    }
    std::fs::write(dir.join("results.json"), format!("{all:#}\n"))?;
    std::fs::write(dir.join("results.md"), table(&all)?)?;
    Ok(())
}

/// A workload's time on the device, or by the host's clock where the device has none.
fn of_device(work: &Value) -> Option<f64> {
    work["device_s"].as_f64().or(work["wall_s"].as_f64())
}

/// The least time of a ceiling.
fn least(work: &Value) -> Option<f64> {
    work["device_least_s"].as_f64().or(work["wall_least_s"].as_f64())
}

/// Adds a workload's rate, its share of the ceiling, and how many times the peer's time it is.
fn shares(work: &mut Value, ceilings: [Option<f64>; 2], peers: &Value) {
    let name = work["name"].as_str().unwrap_or_default().to_string();
    let time = work["device_s"].as_f64().or(work["wall_s"].as_f64());
    for (unit, ceiling) in ["bytes", "flops"].into_iter().zip(ceilings) {
        if let (Some(amount), Some(time)) = (work[unit].as_f64(), time) {
            work["rate_per_s"] = json!(amount / time);
            // Products of f16 run on other units than the multiply-adds that were measured.
            work["of_ceiling"] = json!(ceiling.filter(|_| !name.contains("f16")).map(|c| amount / time / c));
        }
    }
    let peer = &peers[&name];
    if peer.is_object() {
        work["peer"] = peer.clone();
        for time in ["device_s", "wall_s"] {
            let ratio = peer[time].as_f64().zip(work[time].as_f64()).map(|(peer, own)| own / peer);
            work[&time.replace("_s", "_over_peer")[..]] = json!(ratio);
        }
    }
}

fn table(all: &Value) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let text = |v: &Value| v.as_str().unwrap_or("unknown").to_string();
    let adapter = &all["adapter"];
    writeln!(out, "# {}, {}\n", text(&adapter["name"]), text(&all["date"]))?;
    writeln!(
        out,
        "{} through {}, driver {}; wgtensor {}.",
        text(&adapter["kind"]),
        text(&adapter["api"]),
        text(&adapter["driver"]),
        text(&adapter["version"])
    )?;
    if all["small"] == json!(true) {
        writeln!(out, "\n**Small sizes, for a driver that computes on the processor: no figure of a GPU.**")?;
    }
    writeln!(out, "\n## Checks\n\n| part | result | seconds | last words |\n| --- | --- | --- | --- |")?;
    for part in list(&all["parts"]) {
        let (name, status, said) = (text(&part["part"]), text(&part["status"]), text(&part["last_line"]));
        writeln!(
            out,
            "| {name} | {status} | {:.0} | {} |",
            part["seconds"].as_f64().unwrap_or(0.0),
            said.replace('|', "/")
        )?;
    }
    if all["works"].as_array().is_none() {
        return Ok(out);
    }
    if all["complete"] != json!(true) {
        writeln!(out, "\n**The measuring was cut short: what follows is what was done by then.**")?;
    }
    writeln!(out, "\n## What the device does at most\n")?;
    for (unit, name) in
        [("ceiling_bytes_per_s", "A copy moves"), ("ceiling_flops_per_s", "Multiply-adds in registers do")]
    {
        match all[unit].as_f64() {
            Some(rate) => writeln!(out, "- {name} {}", show_rate(rate, unit.contains("flops")))?,
            None => writeln!(out, "- {name}: not measured")?,
        }
    }
    for work in list(&all["ceilings"]).iter().filter(|w| w["error"].is_string()) {
        writeln!(out, "- {} failed: {}", text(&work["name"]), text(&work["error"]))?;
    }
    works(&mut out, all)?;
    for (name, title) in WAYS {
        otherwise(&mut out, all, name, title)?;
    }
    steps(&mut out, all)?;
    Ok(out)
}

fn list(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}

/// The workloads that compute or move something.
fn works(out: &mut String, all: &Value) -> std::fmt::Result {
    let peer = all["peer"].as_str();
    writeln!(out, "\n## Kernels\n")?;
    let source = match list(&all["works"]).iter().any(|w| w["device_s"].is_number()) {
        true => "rates and shares are of the device's own times (medians)",
        false => "the device cannot time its kernels: rates and shares are of the host's times",
    };
    writeln!(
        out,
        "f32 unless the name says otherwise; {source}. `host` is the time of one of many runs back to back, by the host's \
         clock. Bytes are counted once for each operand and result; what fits into a cache may exceed the share of a copy.\n"
    )?;
    let head = if peer.is_some() { " PyTorch | time / PyTorch's | host / PyTorch's |" } else { "" };
    let rule = if peer.is_some() { " --- | --- | --- |" } else { "" };
    writeln!(out, "| work | kernels | device | host | rate | of the ceiling |{head}")?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |{rule}")?;
    for work in list(&all["works"]).iter().filter(|w| w["flops"].is_number() || w["bytes"].is_number()) {
        let name = work["name"].as_str().unwrap_or_default();
        if let Some(why) = missing(work) {
            let more = if peer.is_some() { " | | |" } else { "" };
            writeln!(out, "| {name} | {why} | | | | |{more}")?;
            continue;
        }
        let kernels: f64 = list(&work["kernels"]).iter().filter_map(|k| k["count"].as_f64()).sum();
        let rate = work["rate_per_s"].as_f64().map_or("-".into(), |r| show_rate(r, work["flops"].is_number()));
        let share = work["of_ceiling"].as_f64().map_or("-".into(), |s| format!("{:.0} %", 100.0 * s));
        write!(
            out,
            "| {name} | {kernels:.0} | {} | {} | {rate} | {share} |",
            time(work, "device_s"),
            time(work, "wall_s")
        )?;
        if peer.is_some() {
            write!(out, " {} |{}", peer_time(work), ratios(work))?;
        }
        writeln!(out)?;
    }
    if let Some(peer) = peer {
        writeln!(
            out,
            "\nPyTorch: {peer}. The first ratio compares times on the device (PyTorch's from a replayed CUDA graph), the second \
             runs back to back as the host submits them; below 1 wgtensor is faster."
        )?;
    }
    Ok(())
}

/// Other ways to compute some of the workloads: the stem of the file with their times, and a title.
const WAYS: [(&str, &str); 2] =
    [("tuned", "Tuned (`WGTENSOR_TUNE=1`)"), ("cooperative", "With cooperative matrices (`WGTENSOR_COOPERATIVE=1`)")];

/// Products and convolutions in another way, beside what the rule chooses.
fn otherwise(out: &mut String, all: &Value, way: &str, title: &str) -> std::fmt::Result {
    let [of, ratio, peer] = ["s", "over_rule", "over_peer"].map(|what| format!("{way}_{what}"));
    let mut works = list(&all["works"]).iter().filter(|w| w[&of[..]].is_number()).peekable();
    if works.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "\n## {title}\n\n| work | by the rule | {way} | {way} / by the rule | {way} / PyTorch's |")?;
    writeln!(out, "| --- | --- | --- | --- | --- |")?;
    for work in works {
        let name = work["name"].as_str().unwrap_or_default();
        let before = of_device(work).map_or("-".into(), show_seconds);
        let [ratio, peer] = [&ratio, &peer].map(|r| work[&r[..]].as_f64().map_or("-".into(), |r| format!("{r:.2}")));
        writeln!(out, "| {name} | {before} | {} | {ratio} | {peer} |", time(work, &of))?;
    }
    Ok(())
}

/// Why a workload has no times.
fn missing(work: &Value) -> Option<String> {
    let why = |what: &str, of: &str| Some(format!("{what}: {}", work[of].as_str()?.replace('|', "/")));
    why("failed", "error").or_else(|| why("left out", "left_out"))
}

fn time(work: &Value, of: &str) -> String {
    work[of].as_f64().map_or("-".into(), show_seconds)
}

fn peer_time(work: &Value) -> String {
    let peer = &work["peer"];
    peer["error"].as_str().map_or_else(|| time(peer, "device_s"), |_| "failed".into())
}

fn ratios(work: &Value) -> String {
    let ratio = |of: &str| work[of].as_f64().map_or("-".into(), |r| format!("{r:.2}"));
    format!(" {} | {} |", ratio("device_over_peer"), ratio("wall_over_peer"))
}

/// Training steps, each with its kernels.
fn steps(out: &mut String, all: &Value) -> std::fmt::Result {
    let steps = || list(&all["works"]).iter().filter(|w| w["flops"].is_null() && w["bytes"].is_null());
    if steps().next().is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Training steps\n\n| step | steps a second | host | kernels on the device | PyTorch, host | host / PyTorch's |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for work in steps() {
        let name = work["name"].as_str().unwrap_or_default();
        if let Some(why) = missing(work) {
            writeln!(out, "| {name} | {why} | | | | |")?;
            continue;
        }
        let rate = work["wall_s"].as_f64().map_or("-".into(), |s| format!("{:.0}", 1.0 / s));
        let ratio = work["wall_over_peer"].as_f64().map_or("-".into(), |r| format!("{r:.2}"));
        let peer = time(&work["peer"], "wall_s");
        writeln!(
            out,
            "| {name} | {rate} | {} | {} | {peer} | {ratio} |",
            time(work, "wall_s"),
            time(work, "device_s")
        )?;
    }
    for work in steps().filter(|w| w["kernels"].is_array()) {
        writeln!(out, "\n### {}: one step by kernel\n", work["name"].as_str().unwrap_or_default())?;
        writeln!(out, "| share | time | times | work-groups | kernel |\n| --- | --- | --- | --- | --- |")?;
        let all =
            work["kernels"].as_array().map_or(0.0, |k| k.iter().filter_map(|k| k["seconds"].as_f64()).sum::<f64>());
        for kernel in list(&work["kernels"]) {
            let (spent, count) = (kernel["seconds"].as_f64().unwrap_or(0.0), kernel["count"].as_f64().unwrap_or(0.0));
            let groups: Vec<String> = list(&kernel["groups"]).iter().map(Value::to_string).collect();
            let name = kernel["name"].as_str().unwrap_or_default();
            let share = if all > 0.0 { 100.0 * spent / all } else { 0.0 };
            writeln!(out, "| {share:.1} % | {} | {count:.0} | {} | {name} |", show_seconds(spent), groups.join("x"))?;
        }
    }
    Ok(())
}
