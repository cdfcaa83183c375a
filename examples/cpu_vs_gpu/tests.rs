//! What the tool says of figures, and how it looks; the tool itself, in a second.

use wgtensor::{DeviceInfo, DeviceKind, Kernels};

use super::arguments::parse;
use super::findings::{Crossover, crossover, rounded, worth};
use super::timing::Times;
use super::*;

const SIZES: [usize; 6] = [1000, 4000, 16_000, 64_000, 256_000, 1_024_000];

/// Seconds of a device that takes so long to begin and so long for each element.
fn line(begin: f64, each: f64) -> Vec<Option<f64>> {
    SIZES.iter().map(|&n| Some(begin + each * n as f64)).collect()
}

fn near(found: Crossover, expected: f64) {
    match found {
        Crossover::From(size) => assert!((size / expected).ln().abs() < 0.2, "{size}, not {expected}"),
        other => panic!("{other:?}, not from {expected}"),
    }
}

#[test]
fn a_crossover_is_where_the_lines_cross() {
    // 1 us and 1 ns an element against 40 us and 0.1 ns: 39 us / 0.9 ns = 43333 elements.
    let (cpu, gpu) = (line(1e-6, 1e-9), line(40e-6, 0.1e-9));
    near(crossover(&SIZES, &cpu, &gpu), 43_333.0);
    // The other way round it is ahead at small sizes only.
    assert_eq!(crossover(&SIZES, &gpu, &cpu), Crossover::Unclear);
    assert_eq!(crossover(&SIZES, &line(2e-6, 1e-9), &line(1e-6, 1e-9)), Crossover::Always);
    assert_eq!(crossover(&SIZES, &line(1e-6, 1e-9), &line(40e-6, 1e-9)), Crossover::Never);
}

#[test]
fn noise_moves_no_crossover_far() {
    let (cpu, gpu) = (line(1e-6, 1e-9), line(40e-6, 0.1e-9));
    for at in 0..SIZES.len() {
        for factor in [0.6, 0.8, 1.25, 1.7] {
            let mut noisy = gpu.clone();
            noisy[at] = noisy[at].map(|t| t * factor);
            match crossover(&SIZES, &cpu, &noisy) {
                Crossover::From(size) => assert!((15_000.0..130_000.0).contains(&size), "{at} times {factor}: {size}"),
                other => panic!("{at} times {factor}: {other:?}"),
            }
        }
    }
    // Devices that take the same do not overtake each other, whatever the last figures are.
    let same = line(1e-6, 1e-9);
    let jitter = [1.02, 0.98, 1.01, 0.99, 1.03, 0.97];
    let other: Vec<Option<f64>> = same.iter().zip(jitter).map(|(t, j)| t.map(|t| t * j)).collect();
    assert!(matches!(crossover(&SIZES, &same, &other), Crossover::Never | Crossover::Unclear));
    // Now the one, now the other.
    let other: Vec<Option<f64>> =
        same.iter().zip([3.0, 0.3, 3.0, 0.3, 3.0, 0.3]).map(|(t, j)| t.map(|t| t * j)).collect();
    assert_eq!(crossover(&SIZES, &same, &other), Crossover::Unclear);
}

#[test]
fn only_sizes_that_both_did_count() {
    let (mut cpu, mut gpu) = (line(1e-6, 1e-9), line(40e-6, 0.1e-9));
    cpu[5] = None;
    gpu[0] = None;
    near(crossover(&SIZES, &cpu, &gpu), 43_333.0);
    cpu[1..].fill(None);
    assert_eq!(crossover(&SIZES, &cpu, &gpu), Crossover::Unknown);
}

#[test]
fn a_number_must_be_worth_its_transport() {
    // 1 ns there and back; 1 and 10 operations a nanosecond: n = 1 + n / 10.
    assert!((worth(1e-9, 1e9, 1e10).unwrap() - 1.0 / 0.9).abs() < 1e-9);
    assert_eq!(worth(1e-9, 1e10, 1e10), None);
    assert_eq!([0.2, 7.4, 43_333.0, 99.6].map(rounded), [0, 7, 43_000, 100]);
}

#[test]
fn arguments_are_taken_or_told_of() {
    let read = |line: &str| parse(line.split_whitespace().map(String::from));
    let all = read("--device cpu --seconds 2.5 --device gpu:1 --out x").unwrap().unwrap();
    assert_eq!(all, Arguments { devices: vec!["cpu".into(), "gpu:1".into()], seconds: 2.5, out: Some("x".into()) });
    assert_eq!(read("--quick").unwrap().unwrap().seconds, 15.0);
    assert_eq!(read("--help"), Ok(None));
    for wrong in ["--device", "--seconds", "--seconds soon", "--seconds 0", "--seconds NaN", "--slow", "cpu"] {
        let told = read(wrong).unwrap_err();
        assert!(told.contains(wrong.split(' ').next().unwrap()), "{told}");
    }
}

fn pretended(id: &str, kind: DeviceKind, ceilings: Ceilings) -> Contender {
    let info = DeviceInfo {
        id: id.into(),
        name: format!("A pretended {kind}"),
        kind,
        api: "none".into(),
        driver: "1.0".into(),
        features: Vec::new(),
        kernels: Kernels::Auto,
        limits: vec![("threads", 8)],
    };
    Contender { info, ceilings, failures: Vec::new(), lost: false }
}

/// A processor and a GPU that are nothing but their ceilings, and what each would take.
fn figures_of(kind: DeviceKind) -> (Vec<Contender>, Vec<Ladder>) {
    let ceilings = |bytes, flops, launch| Ceilings {
        bytes: Some(bytes),
        flops: Some(flops),
        launch: Some(launch),
        waited: Some(3.0 * launch),
    };
    let contenders = vec![
        pretended("cpu", DeviceKind::Cpu, ceilings(4e10, 1e12, 1e-6)),
        pretended("gpu:0", kind, ceilings(2e12, 4e13, 9e-6)),
    ];
    let ladders = works::all().into_iter().map(|kind| {
        let amounts: Vec<Amount> = kind.sizes.iter().map(|&size| (kind.work)(size).amount).collect();
        let cells = contenders.iter().map(|c| {
            let one = amounts.iter().map(|&work| {
                let (much, flops) = amount(work);
                let rate = if flops { c.ceilings.flops } else { c.ceilings.bytes }.unwrap();
                let rate = if kind.transfer && !c.is_cpu() { 1e10 } else { rate };
                let seconds = c.ceilings.launch.unwrap() + much / rate;
                Cell::Times(Times { median: seconds, least: seconds, runs: 5, batch: 1 })
            });
            one.collect()
        });
        Ladder { cells: cells.collect(), amounts, checks: vec![None, Some(Ok(1e-7))], kind }
    });
    let ladders = ladders.collect();
    (contenders, ladders)
}

#[test]
fn a_gpu_is_compared_in_words() {
    let (contenders, mut ladders) = figures_of(DeviceKind::Discrete);
    for columns in [40, 80, 200] {
        let text = charts::text(&contenders, &ladders, columns) + &told::findings(&contenders, &ladders, columns);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > columns).collect();
        assert!(long.is_empty(), "{columns} columns: {long:?}");
    }
    let text = told::findings(&contenders, &ladders, 1000);
    // 8 us more to begin, and 12 bytes for an element at 40 and 2000 GB/s: 27211 elements.
    assert!(text.contains("pointwise chain  from about 27,000 elements on; 4"), "{text}");
    // 0.8 ns for four bytes both ways; a number's operations take 1 ps here and 0.025 ps there.
    assert!(text.contains("0.80 ns for a number both ways") && text.contains("about 820 operations"), "{text}");
    assert!(text.contains("the 8 cores here are done with a small piece of work in 1.00 us"), "{text}");
    assert!(text.contains("40.0 TFLOP/s and moves 2.00 TB/s, while the processor does 1.00 TFLOP/s"), "{text}");

    let results = report::results(&contenders, &ladders, true);
    assert_eq!(results["crossovers"].as_array().unwrap().len(), 7);
    assert!((results["crossovers"][0]["from"].as_f64().unwrap() / 27_211.0).ln().abs() < 0.2);

    // What is computed wrongly is not called fast.
    ladders[0].checks[1] = Some(Ok(0.5));
    let text = told::findings(&contenders, &ladders, 1000);
    assert!(text.contains("8 of 9 kinds") && text.contains("gpu:0 computes WRONGLY: pointwise chain."), "{text}");
    assert!(text.contains("pointwise chain  its results are wrong"), "{text}");
    let results = report::results(&contenders, &ladders, true);
    assert_eq!((results["crossovers"].as_array().unwrap().len(), &results["checks"][0]["agrees"]), (6, &false.into()));
}

#[test]
fn a_program_that_plays_a_gpu_is_called_one() {
    let (contenders, ladders) = figures_of(DeviceKind::Software);
    let text = told::findings(&contenders, &ladders, 1000);
    assert!(text.contains("gpu:0 is no GPU but a program on this processor"), "{text}");
    assert!(!text.contains("from about") && !text.contains("times as fast"), "{text}");
    let results = report::results(&contenders, &ladders, true);
    assert_eq!(results["crossovers"].as_array().unwrap().len(), 0);
    assert_eq!(
        (&results["devices"][1]["is_gpu"], &results["transfers"][0]["worth_operations"]),
        (&false.into(), &().into())
    );
}

#[test]
fn the_table_has_what_the_screen_has_room_for() {
    let names: Vec<String> = ["cpu", "gpu:0*", "gpu:1", "gpu:2"].map(String::from).into();
    let cell = Figures { time: "99.9 ms".into(), rate: "99.9 GFLOP/s".into(), share: "100 %".into() };
    for (columns, devices, detail) in [(40, 2, 0), (80, 2, 2), (200, 2, 2), (80, 3, 0), (200, 4, 2), (80, 1, 2)] {
        let table = Table::new(Screen { columns, live: true }, 10, &names[..devices]);
        let row = table.row("67,108,864", &vec![cell.clone(); devices], "gpu:0 123x");
        assert!(row.len() < columns, "{columns} columns: {row:?}");
        assert_eq!((row.contains("GFLOP/s"), row.contains("100 %")), (detail > 0, detail > 1), "{row:?}");
        assert_eq!(table.head("elements", &names[..devices]).len(), row.len(), "{row:?}");
        let mut out = Vec::new();
        table.draw(&mut out, &row).unwrap();
        assert!(out.starts_with(b"\r"), "it can be drawn over itself");
    }
    // Too narrow for anything: each row once, and nothing is drawn over.
    let table = Table::new(Screen { columns: 20, live: true }, 10, &names[..2]);
    let mut out = Vec::new();
    table.draw(&mut out, "half a row").unwrap();
    table.done(&mut out, &table.row("1,024", &[cell.clone(), cell], "")).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "     1,024  99.9 ms  99.9 ms\n");
}

#[test]
fn words_are_wrapped() {
    assert_eq!(wrapped("one two  three four", 9, 2), "one two\n  three\n  four");
    assert_eq!(wrapped("incomprehensible as it is", 6, 0), "incomprehensible\nas it\nis");
    assert_eq!(works::grouped(1), "1");
    assert_eq!([999, 1000, 1_234_567].map(works::grouped), ["999", "1,000", "1,234,567"]);
}

#[test]
fn all_of_it_runs_in_a_short_time() {
    let dir = std::env::temp_dir().join(format!("wgtensor-cpu-vs-gpu-{}", std::process::id()));
    let arguments = Arguments { devices: vec!["cpu".into()], seconds: 1.0, out: Some(dir.clone()) };
    let mut out = Vec::new();
    run(&arguments, Screen { columns: 80, live: false }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains(['\r', '\x1b']), "{text:?}");
    let results: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("results.json")).unwrap()).unwrap();
    let charts = ["times.svg", "times.png", "shares.svg", "matrix-product.png"]
        .map(|name| std::fs::metadata(dir.join(name)).unwrap().len());
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(results["complete"], true);
    assert!(charts.iter().all(|length| *length > 1000), "{charts:?}");
    assert_eq!(results["works"].as_array().unwrap().len(), works::all().len());
    for work in results["works"].as_array().unwrap() {
        let first = &work["measures"][0];
        assert!(first["median_s"].as_f64().is_some_and(|s| s > 0.0), "{work}");
    }
    let unknown = Arguments { devices: vec!["gpu:99".into()], ..arguments };
    let error = run(&unknown, Screen { columns: 80, live: false }, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("\"gpu:99\""), "{error}");
}
