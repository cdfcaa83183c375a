//! The figures in words: for somebody who has never seen a GPU work.

use super::findings::{self, Crossover, crossover, rounded};
use super::table::wrapped;
use super::timing::{show_rate, show_seconds};
use super::{Contender, Ladder, share};

/// The crate's version, and where it runs.
pub(super) fn machine() -> String {
    use std::env::consts::{ARCH, OS};
    format!("wgtensor {} on {OS}, {ARCH}, {} cores", env!("CARGO_PKG_VERSION"), cores())
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A share of at least a hundredth without a fraction.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1$} %", 100.0 * share, usize::from(share < 0.0095))
}

/// What a device is and what it can do at most.
pub(super) fn device(contender: &Contender, columns: usize) -> String {
    let (info, ceilings) = (&contender.info, &contender.ceilings);
    let width = 8;
    let mut out = format!("\n{:<width$}", contender.title());
    let mut line = |text: &str| {
        let line = wrapped(text, columns.saturating_sub(width), 0).replace('\n', &format!("\n{:width$}", ""));
        let lead = if out.ends_with(' ') { String::new() } else { format!("\n{:width$}", "") };
        out += &(lead + &line);
    };
    line(&info.name);
    line(&format!("{}, {}, {}", info.kind, info.api, info.driver));
    if contender.is_software() {
        line("* It computes on this processor: it is no GPU, and none of its figures is one of a GPU.");
    }
    let rate = |rate: Option<f64>, flops| rate.map_or("?".into(), |r| show_rate(r, flops));
    line(&format!("at most {} in a copy, {} in registers", rate(ceilings.bytes, false), rate(ceilings.flops, true)));
    if let (Some(launch), Some(waited)) = (ceilings.launch, ceilings.waited) {
        line(&format!(
            "an operation takes {} at least, {} if its result is waited for",
            show_seconds(launch),
            show_seconds(waited)
        ));
    }
    for failure in &contender.failures {
        line(failure);
    }
    out
}

/// Where a device overtakes the CPU engine; `None` if nothing can be said.
pub(super) fn overtakes(ladder: &Ladder, cpu: usize, other: usize) -> Option<Crossover> {
    if ladder.kind.transfer || !ladder.agrees(other) {
        return None;
    }
    Some(crossover(ladder.sizes(), &ladder.medians(cpu), &ladder.medians(other)))
}

/// The CPU engine's number among the devices.
pub(super) fn cpu(contenders: &[Contender]) -> Option<usize> {
    contenders.iter().position(Contender::is_cpu)
}

/// Bytes a second at the largest size of a transfer.
pub(super) fn transfer_rate(ladders: &[Ladder], name: &str, device: usize) -> Option<f64> {
    let ladder = ladders.iter().find(|l| l.kind.name == name)?;
    let rates = ladder.medians(device).into_iter().zip(&ladder.amounts);
    rates.filter_map(|(seconds, &amount)| Some(super::amount(amount).0 / seconds?)).next_back()
}

/// Seconds that it takes to bring a number over, and to fetch one.
pub(super) fn there_and_back(ladders: &[Ladder], device: usize) -> Option<f64> {
    let [to, from] = ["to the device", "from the device"].map(|name| transfer_rate(ladders, name, device));
    Some(4.0 / to? + 4.0 / from?)
}

/// How many operations a number must be worth to be brought to a GPU and back.
pub(super) fn worth(contenders: &[Contender], ladders: &[Ladder], gpu: usize) -> Option<f64> {
    let cpu = &contenders[cpu(contenders)?];
    let there = contenders[gpu].is_gpu().then_some(&contenders[gpu].ceilings)?;
    findings::worth(there_and_back(ladders, gpu)?, cpu.ceilings.flops?, there.flops?)
}

/// All that follows the tables.
pub(super) fn findings(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    let parts = [
        ("From which size the GPU pays", pays(contenders, ladders, columns)),
        (
            "The share of its own ceiling that each device came to at the largest size it did",
            shares(contenders, ladders, columns),
        ),
        ("What it costs to bring numbers over", transfers(contenders, ladders, columns)),
        ("Whether all compute the same", agreement(contenders, ladders, columns)),
        ("Why", why(contenders, columns)),
    ];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    parts.map(|(title, text)| format!("\n{}\n{text}", wrapped(title, columns, 0))).collect()
}

/// A name and what is said of it, beside it.
fn entry(name: &str, text: &str, columns: usize) -> String {
    const WIDTH: usize = 18;
    let text = wrapped(text, columns.saturating_sub(WIDTH + 1), 0).replace('\n', &format!("\n{:1$}", "", WIDTH + 1));
    format!("{:<WIDTH$} {text}\n", format!("  {name}"))
}

/// A paragraph, indented.
fn paragraph(text: &str, columns: usize) -> String {
    format!("  {}\n", wrapped(text, columns.saturating_sub(2), 0).replace('\n', "\n  "))
}

fn pays(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    let gpus: Vec<usize> = (0..contenders.len()).filter(|&d| contenders[d].is_gpu()).collect();
    let adapters: Vec<&str> = contenders.iter().filter(|c| !c.is_cpu()).map(|c| &c.info.id[..]).collect();
    if gpus.is_empty() {
        let text = match adapters[..] {
            [] => "There is no GPU among these devices, so this cannot be told.".into(),
            [id] => format!("{id} is no GPU but a program on this processor, so this cannot be told here."),
            _ => format!(
                "{} are no GPUs but programs on this processor, so this cannot be told here.",
                adapters.join(", ")
            ),
        };
        return paragraph(&text, columns);
    }
    let Some(cpu) = cpu(contenders) else {
        return paragraph("The CPU engine was not measured, so there is nothing to compare with.", columns);
    };
    let mut out = String::new();
    for gpu in gpus {
        let (id, ceilings) = (&contenders[gpu].info.id, &contenders[gpu].ceilings);
        let mut text = format!("{id} against the CPU engine.");
        let mut all = ladders.iter().filter(|ladder| !ladder.kind.transfer);
        let later = all.any(|ladder| matches!(overtakes(ladder, cpu, gpu), Some(Crossover::From(_))));
        if let Some(launch) = ceilings.launch.filter(|_| later) {
            let launch = show_seconds(launch);
            text += &format!(
                " Below these sizes it costs more to launch kernels, about {launch} for each, than to do the work here."
            );
        }
        out += &paragraph(&text, columns);
        for ladder in ladders.iter().filter(|l| !l.kind.transfer) {
            let Some(found) = overtakes(ladder, cpu, gpu) else {
                out += &entry(ladder.kind.name, "its results are wrong", columns);
                continue;
            };
            out += &entry(ladder.kind.name, &said(ladder, found, cpu, gpu), columns);
        }
    }
    out
}

/// A crossover in words, with the lead at the largest size that both did.
fn said(ladder: &Ladder, found: Crossover, cpu: usize, gpu: usize) -> String {
    let label = ladder.kind.label;
    let both = ladder.medians(cpu).into_iter().zip(ladder.medians(gpu)).zip(ladder.sizes());
    let last = both.filter_map(|((cpu, gpu), &size)| Some((cpu? / gpu?, size))).next_back();
    let lead = last.map_or(String::new(), |(ratio, size)| match ratio >= 1.0 {
        true => format!("; {ratio:.1} times as fast at {}", label(size)),
        false => format!("; {:.1} times slower at {}", 1.0 / ratio, label(size)),
    });
    let from = match found {
        Crossover::Always => format!("at every size, of which {} is the smallest", label(ladder.kind.sizes[0])),
        Crossover::From(size) => format!("from about {} on", ladder.kind.words(rounded(size))),
        Crossover::Never => "at no size that both did".into(),
        Crossover::Unclear => "from no size on for good".into(),
        Crossover::Unknown => "too few sizes that both did to tell".into(),
    };
    from + &lead
}

/// The share of its ceiling that a device came to at the largest size that it did, which is the least in caches.
pub(super) fn last_share(ladder: &Ladder, device: usize, contender: &Contender) -> Option<f64> {
    let medians = ladder.medians(device).into_iter().zip(&ladder.amounts);
    medians.filter_map(|(s, &amount)| share(&ladder.kind, amount, s?, &contender.ceilings)).next_back()
}

fn shares(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    let mut above = false;
    let width = contenders.iter().map(|c| c.title().len()).max().unwrap_or(0).max(6);
    let row = |name: &str, cells: Vec<String>, of: &str| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>width$}")).collect();
        let line = format!("  {name:<16}{cells}");
        // What it is a share of, where there is room.
        let end = if line.len() + 2 + of.len() < columns { format!("  {of}") } else { String::new() };
        format!("{line}{end}").trim_end().to_string() + "\n"
    };
    let mut out = row("", contenders.iter().map(Contender::title).collect(), "");
    for ladder in ladders.iter().filter(|l| !l.kind.transfer) {
        let last: Vec<_> = contenders.iter().enumerate().map(|(d, c)| last_share(ladder, d, c)).collect();
        let flops = ladder.amounts.first().is_some_and(|&a| super::amount(a).1);
        above |= last.iter().any(|share| share.is_some_and(|s| s > 1.0));
        let cells = last.into_iter().map(|share| share.map_or("-".into(), percent)).collect();
        out += &row(ladder.kind.name, cells, if flops { "of multiply-adds" } else { "of a copy" });
    }
    if above {
        out += &paragraph(
            "More than 100 % of a copy is no mistake: where the numbers fit into a cache, they need not come from memory, and \
             reading alone (the sum) may be faster than reading and writing. More of multiply-adds means that other programs had a part of the device while its ceiling was measured.",
            columns,
        );
    }
    out
}

fn transfers(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    let mut out = String::new();
    for (d, contender) in contenders.iter().enumerate().filter(|(_, c)| !c.is_cpu()) {
        let id = &contender.info.id;
        let rate = |name| transfer_rate(ladders, name, d);
        let (Some(to), Some(from)) = (rate("to the device"), rate("from the device")) else { continue };
        let Some(both) = there_and_back(ladders, d) else { continue };
        let mut text = format!(
            "Large amounts go to {id} at {} and come back at {}: {:.2} ns for a number both ways.",
            show_rate(to, false),
            show_rate(from, false),
            both * 1e9
        );
        let here = cpu(contenders).and_then(|cpu| contenders[cpu].ceilings.flops);
        if let Some(here) = here.filter(|_| contender.is_gpu() && contender.ceilings.flops.is_some()) {
            text += &match worth(contenders, ladders, d) {
                Some(worth) => format!(
                    " In that time the processor does up to {:.0} operations on it, so it pays to bring a number over for about \
                     {} operations or more: leave data on the device from one operation to the next.",
                    both * here,
                    rounded(worth)
                ),
                None => " It does fewer operations than the processor, so bringing numbers over never pays.".into(),
            };
        }
        if contender.is_software() {
            text += " Both ways end in this processor's own memory, so this is not what it costs to reach a GPU.";
        }
        out += &paragraph(&text, columns);
    }
    out
}

fn agreement(contenders: &[Contender], ladders: &[Ladder], columns: usize) -> String {
    let mut out = String::new();
    for (d, contender) in contenders.iter().enumerate() {
        let checked = ladders.iter().filter(|ladder| matches!(ladder.checks[d], Some(Ok(_))));
        let (right, wrong): (Vec<&Ladder>, Vec<&Ladder>) = checked.partition(|ladder| ladder.agrees(d));
        let off =
            right.iter().filter_map(|ladder| ladder.checks[d].as_ref()?.as_ref().ok()).fold(0f64, |m, off| m.max(*off));
        let id = &contender.info.id;
        if !right.is_empty() {
            let text = format!(
                "{id}: {} of {} kinds of work give what the CPU engine gives, within {off:.0e} of the largest number.",
                right.len(),
                ladders.len()
            );
            out += &paragraph(&text, columns);
        }
        if !wrong.is_empty() {
            let names: Vec<&str> = wrong.iter().map(|ladder| ladder.kind.name).collect();
            out += &paragraph(&format!("{id} computes WRONGLY: {}.", names.join(", ")), columns);
        }
    }
    out
}

fn why(contenders: &[Contender], columns: usize) -> String {
    let Some(cpu) = cpu(contenders).map(|cpu| &contenders[cpu]) else { return String::new() };
    let threads = cpu.info.limits.iter().find(|(name, _)| *name == "threads").map_or(1, |(_, n)| *n);
    // The first GPU is the one that `Device::best` takes; a program is only told of where there is none.
    let other = contenders.iter().find(|c| c.is_gpu()).or(contenders.iter().find(|c| !c.is_cpu()));
    let text = match other {
        Some(gpu) if gpu.is_gpu() => findings::explanation(threads, &cpu.ceilings, &gpu.info.id, &gpu.ceilings),
        other => Some(findings::no_gpu(threads, &cpu.ceilings, other.map(|c| (&c.info.id[..], &c.ceilings)))),
    };
    text.map_or(String::new(), |text| paragraph(&text, columns))
}
