//! The CPU engine and every adapter of this machine at the same work, from pointwise chains to training steps at growing sizes:
//! who is faster from which size on, how near each comes to what it can do at most, what it costs to bring numbers over,
//! and why.
//!
//! ```text
//! cargo run --release --features full --example cpu_vs_gpu
//! cargo run --release --features full --example cpu_vs_gpu -- --quick --device cpu --device gpu:0 --out figures
//! ```
//!
//! Times are the host's, of runs back to back: it records and submits the next ones while the device computes. So a small size
//! shows what it costs to tell the device, a large one what the device takes. Operands lie on the device already. The ceilings
//! are a copy that is larger than caches, and multiply-adds in registers; a rate may be above the copy's where a cache holds
//! the numbers, or where they are only read.
//!
//! With `--out DIR`, the charts are there as SVG and PNG at the end, and `DIR/results.json` has all figures, written anew
//! after each kind of work:
//!
//! - `wgtensor`: the crate's version; `date`: UTC; `machine`: `os`, `arch`, `cores`; `complete`: whether all was done.
//! - `devices`, each: `id`, `name`, `kind`, `api`, `driver`, `is_gpu` (false for the CPU engine and for drivers that compute on
//!   the processor); the ceilings `copy_bytes_per_s` and `fma_flops_per_s`; `launch_s`, an operation on one number among
//!   others, and `waited_s`, one whose result is read; `failures`, what failed of these.
//! - `works`, each: `name`, `what`, `size` (what a size counts), and `measures`, each: `device`, `size`, `median_s` and
//!   `least_s` of a run, `runs`, `bytes` or `flops` of a run, `rate_per_s` of these, and `of_ceiling`, the share of the device's
//!   own; or `left_out` or `error` and no times.
//! - `checks`, each: `work`, `device`, `off`, how far its result at the smallest size is from the CPU engine's, as a share of the
//!   largest number in it (null: no number), `agrees`; or `error`.
//! - `crossovers`, each: `work`, `device`, `from`: a size, `always`, `never`, `unclear` or `unknown` (too few sizes); of real GPUs only, against the CPU engine.
//! - `transfers`, each: `device`, `to_device_bytes_per_s`, `from_device_bytes_per_s`, `worth_operations`: how many operations a
//!   number must be worth to be brought over and back (null: no number is enough, or the device is no GPU).

mod arguments;
#[path = "../../benches/common/ceilings.rs"]
mod ceilings;
mod charts;
#[path = "../../benches/common/data.rs"]
mod data;
mod findings;
mod measuring;
mod report;
#[path = "../../benches/common/steps.rs"]
#[allow(dead_code, reason = "benches run others")]
mod steps;
mod table;
#[cfg(test)]
mod tests;
#[path = "../../benches/common/timing.rs"]
mod timing;
mod told;
#[path = "../../benches/common/workloads.rs"]
#[allow(dead_code, reason = "benches run others")]
mod workloads;
mod works;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use wgtensor::{Device, DeviceInfo, DeviceKind};

use arguments::Arguments;
use findings::Ceilings;
use measuring::{Cell, effort, measured, off};
use table::{Figures, Screen, Table, wrapped};
use timing::{show_rate, show_seconds};
use workloads::Amount;
use works::Kind;

/// A result that is further from the CPU engine's than this is wrong.
const TOLERANCE: f64 = 1e-3;

/// What is known of a device.
struct Contender {
    info: DeviceInfo,
    ceilings: Ceilings,
    /// What failed of measuring them.
    failures: Vec<String>,
    /// Whether it has stopped working altogether.
    lost: bool,
}

impl Contender {
    fn is_cpu(&self) -> bool {
        self.info.kind == DeviceKind::Cpu
    }

    /// Whether it is a driver that computes on the processor.
    fn is_software(&self) -> bool {
        self.info.kind == DeviceKind::Software
    }

    fn is_gpu(&self) -> bool {
        !self.is_cpu() && !self.is_software()
    }

    /// What its columns are called; a star says that it is no GPU though its name says so.
    fn title(&self) -> String {
        format!("{}{}", self.info.id, if self.is_software() { "*" } else { "" })
    }
}

/// How far a device's result was from the CPU engine's.
type Check = Option<Result<f64, String>>;

/// One kind of work, done at growing sizes.
struct Ladder {
    kind: Kind,
    /// For each size that some device did.
    amounts: Vec<Amount>,
    /// For each device, at each of these sizes.
    cells: Vec<Vec<Cell>>,
    /// For each device but the CPU engine.
    checks: Vec<Check>,
}

impl Ladder {
    fn sizes(&self) -> &[usize] {
        &self.kind.sizes[..self.amounts.len()]
    }

    /// Seconds of a run at each size.
    fn medians(&self, device: usize) -> Vec<Option<f64>> {
        self.cells[device].iter().map(Cell::median).collect()
    }

    fn agrees(&self, device: usize) -> bool {
        !matches!(self.checks[device], Some(Ok(off)) if off > TOLERANCE)
    }
}

/// Bytes or operations of a run, and whether they are operations.
fn amount(amount: Amount) -> (f64, bool) {
    match amount {
        Amount::Bytes(bytes) => (bytes, false),
        Amount::Flops(flops) | Amount::Step(flops) => (flops, true),
    }
}

/// The share of the device's ceiling that so much in so many seconds is.
fn share(kind: &Kind, work: Amount, seconds: f64, ceilings: &Ceilings) -> Option<f64> {
    let (much, flops) = amount(work);
    let most = if flops { ceilings.flops } else { ceilings.bytes };
    most.filter(|_| !kind.transfer).map(|most| much / seconds / most)
}

fn figures(cell: &Cell, kind: &Kind, work: Amount, ceilings: &Ceilings) -> Figures {
    let word = |time: &str| Figures { time: time.into(), ..Figures::default() };
    match cell {
        Cell::Times(times) => {
            let (much, flops) = amount(work);
            let share = share(kind, work, times.median, ceilings);
            Figures {
                time: show_seconds(times.median),
                rate: show_rate(much / times.median, flops),
                share: share.map_or(String::new(), told::percent),
            }
        }
        Cell::LeftOut(_) => word("too big"),
        Cell::Failed(_) => word("failed"),
        Cell::NotRun => word("-"),
    }
}

/// Which device was the fastest of several, and how many times as fast as the next.
fn fastest(contenders: &[Contender], cells: &[Cell]) -> String {
    let mut times: Vec<(f64, &str)> =
        cells.iter().zip(contenders).filter_map(|(cell, c)| Some((cell.median()?, &c.info.id[..]))).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    match times[..] {
        [(first, id), (second, _), ..] => {
            let ratio = second / first;
            format!("{id} {ratio:.0$}x", usize::from(ratio < 9.95))
        }
        _ => String::new(),
    }
}

/// Has every device do one kind of work at growing sizes, each for so many seconds at most.
fn climb(
    kind: Kind,
    devices: &[Device],
    contenders: &mut [Contender],
    seconds: f64,
    table: &Table,
    out: &mut dyn Write,
) -> io::Result<Ladder> {
    let titles: Vec<String> = contenders.iter().map(Contender::title).collect();
    let what = wrapped(&format!("{}: {}", kind.name, kind.what), table.columns(), 2);
    writeln!(out, "\n{what}\n{}", table.head(kind.axis, &titles))?;
    let n = contenders.len();
    let mut ladder = Ladder { amounts: Vec::new(), cells: vec![Vec::new(); n], checks: vec![None; n], kind };
    let (mut spent, mut over, mut notes) = (vec![0.0; n], vec![false; n], Vec::new());
    let smallest = (ladder.kind.work)(ladder.kind.sizes[0]);
    for (d, contender) in contenders.iter().enumerate().filter(|(_, c)| !c.is_cpu() && !c.lost) {
        let found = off(&devices[d], &Device::cpu(), &smallest).map_err(|failed| match failed {
            Cell::LeftOut(why) | Cell::Failed(why) => why,
            Cell::Times(_) | Cell::NotRun => String::new(),
        });
        let id = &contender.info.id;
        match &found {
            Ok(off) if *off > TOLERANCE => notes.push(format!(
                "{id} computes WRONGLY: its result at the smallest size differs from the CPU engine's by {} of the largest number.",
                told::percent(*off)
            )),
            Ok(_) => {}
            Err(why) => notes.push(format!("{id}'s result could not be compared: {why}")),
        }
        ladder.checks[d] = Some(found);
    }
    // What the last size took, of its operands and of a run, and how much it was.
    let mut last: Vec<Option<(f64, f64, f64)>> = vec![None; n];
    for (i, &size) in ladder.kind.sizes.iter().enumerate() {
        let (label, work) = ((ladder.kind.label)(size), (ladder.kind.work)(size));
        let (mut row, mut cells) = (vec![Figures::default(); n], Vec::new());
        for (d, contender) in contenders.iter_mut().enumerate() {
            let much = amount(work.amount).0;
            let ahead = last[d].map_or(0.0, |(made, run, before)| made + 3.0 * run * much / before);
            over[d] |= contender.lost || i > 0 && spent[d] + ahead > seconds;
            let cell = if over[d] {
                Cell::NotRun
            } else {
                row[d].time = "...".into();
                table.draw(out, &table.row(&label, &row, ""))?;
                let begin = Instant::now();
                let left = (seconds - spent[d]).max(0.0);
                let mut effort = effort(seconds, ladder.kind.sizes.len());
                effort.limit = effort.limit.min(Duration::from_secs_f64(left));
                let (cell, made) = measured(&devices[d], &work, effort);
                spent[d] += begin.elapsed().as_secs_f64();
                last[d] = cell.median().map(|run| (made, run, much));
                cell
            };
            if let Cell::LeftOut(why) | Cell::Failed(why) = &cell {
                notes.push(format!("{} at {label}: {why}", contender.info.id));
                over[d] = true;
                contender.lost = devices[d].sync().is_err_and(|e| e.is_device_lost());
            }
            row[d] = figures(&cell, &ladder.kind, work.amount, &contender.ceilings);
            cells.push(cell);
        }
        if cells.iter().all(|cell| matches!(cell, Cell::NotRun)) {
            break;
        }
        let winner = if ladder.kind.transfer { String::new() } else { fastest(contenders, &cells) };
        table.done(out, &table.row(&label, &row, &winner))?;
        ladder.amounts.push(work.amount);
        ladder.cells.iter_mut().zip(cells).for_each(|(all, cell)| all.push(cell));
    }
    for note in notes {
        writeln!(out, "{}", wrapped(&note, table.columns(), 2))?;
    }
    Ok(ladder)
}

/// The devices that were asked for; of those that were only found, the ones that do not open are told of.
fn open(arguments: &Arguments, columns: usize, out: &mut dyn Write) -> Result<Vec<Device>, Box<dyn Error>> {
    let mut devices: Vec<Device> = Vec::new();
    let asked = arguments.devices.iter().filter(|selector| *selector != "gpu");
    for selector in asked {
        devices.push(Device::open(selector)?);
    }
    let found = |info: &DeviceInfo| match arguments.devices.is_empty() {
        true => true,
        false => info.kind != DeviceKind::Cpu && arguments.devices.iter().any(|selector| selector == "gpu"),
    };
    for info in Device::list().iter().filter(|info| found(info)) {
        match Device::open(&info.id) {
            Ok(device) => devices.push(device),
            Err(error) => writeln!(out, "{}", wrapped(&format!("{} does not open: {error}", info.id), columns, 2))?,
        }
    }
    // As they are listed, and each once.
    devices.sort_by(|a, b| a.info().id.cmp(&b.info().id));
    devices.dedup_by(|a, b| a.info().id == b.info().id);
    if devices.is_empty() { Err("no device opens".into()) } else { Ok(devices) }
}

fn run(arguments: &Arguments, screen: Screen, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let left = || (arguments.seconds - begin.elapsed().as_secs_f64()).max(0.0);
    if let Some(dir) = &arguments.out {
        // Better told now than after the measuring.
        report::write(dir, &[], &[], false)?;
    }
    writeln!(out, "{}", wrapped(&told::machine(), screen.columns, 0))?;
    let devices = open(arguments, screen.columns, out)?;
    let kinds = works::all();
    let steps = kinds.len();
    let mut contenders = Vec::new();
    let each = effort(arguments.seconds / (steps + 2) as f64, 5);
    for device in &devices {
        let (ceilings, failures) = measuring::ceilings(device, each);
        contenders.push(Contender { info: device.info().clone(), ceilings, failures, lost: false });
        writeln!(out, "{}", told::device(&contenders[contenders.len() - 1], screen.columns))?;
    }
    let titles: Vec<String> = contenders.iter().map(Contender::title).collect();
    let widest = kinds.iter().flat_map(|kind| kind.sizes.iter().map(|&size| (kind.label)(size).len())).max();
    let table = Table::new(screen, widest.unwrap_or(0), &titles);
    let mut ladders: Vec<Ladder> = Vec::new();
    for (i, kind) in kinds.into_iter().enumerate() {
        // One more part is for the ceilings again.
        let seconds = left() / (steps + 1 - i) as f64 / contenders.len() as f64;
        ladders.push(climb(kind, &devices, &mut contenders, seconds, &table, out)?);
        if i + 1 == steps {
            for (device, contender) in devices.iter().zip(&mut contenders).filter(|(_, contender)| !contender.lost) {
                contender.ceilings.raise(&measuring::ceilings(device, each).0);
            }
        }
        if let Some(dir) = &arguments.out {
            report::write(dir, &contenders, &ladders, i + 1 == steps)?;
        }
    }
    writeln!(out, "\n{}", charts::text(&contenders, &ladders, screen.columns).trim_end())?;
    write!(out, "{}", told::findings(&contenders, &ladders, screen.columns))?;
    if let Some(dir) = &arguments.out {
        charts::save(dir, &contenders, &ladders)?;
        let text = format!("{} has the figures in results.json, and the charts.", dir.display());
        writeln!(out, "\n{}", wrapped(&text, screen.columns, 2))?;
    }
    Ok(())
}

/// The standard output, as wide as `COLUMNS` says or else the terminal is.
fn screen() -> Screen {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let own = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let columns = said.or_else(own).unwrap_or(80);
    Screen { columns: columns.max(20), live: io::stdout().is_terminal() }
}

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("{wrong}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments, screen(), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has read enough.
        Err(error) if error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
