//! How fast a table of numbers is read: `cargo bench --bench csv --features csv [-- FILE...]`. Without a file, one of about
//! 100 MB is made.

use std::fmt::Write as _;
use std::time::Instant;

use wgtensor::data::Csv;

/// Numbers with six digits after the point, in 16 columns.
fn table() -> String {
    let mut text: String = (0..16).map(|i| format!("c{i}{}", if i == 15 { '\n' } else { ',' })).collect();
    let mut state = 1u64;
    for i in 0..10_400_000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = (state >> 40) as f64 / 4_194_304.0 - 2.0;
        let end = if i % 16 == 15 { '\n' } else { ',' };
        write!(text, "{value:.6}{end}").expect("memory");
    }
    text
}

fn main() {
    let mut files: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let made = std::env::temp_dir().join(format!("wgtensor-bench-{}.csv", std::process::id()));
    if files.is_empty() {
        std::fs::write(&made, table()).expect("room for a file");
        files.push(made.display().to_string());
    }
    for file in files {
        let bytes = std::fs::metadata(&file).expect("a file").len() as f64;
        for _ in 0..3 {
            let start = Instant::now();
            let table = Csv::new().read(&file).expect("a table of numbers");
            let read = start.elapsed().as_secs_f64();
            let features = table.features().expect("numbers");
            let all = start.elapsed().as_secs_f64();
            let shape = features.shape();
            println!("{file}: {shape} read in {read:.3} s ({:.0} MB/s), {all:.3} s with the array", bytes / read / 1e6);
        }
        let start = Instant::now();
        let batches = Csv::new().stream(&file).expect("a table").batch(1024);
        let rows: usize = batches.into_iter().map(|batch| batch.expect("a batch").x()[0].rows()).sum();
        println!("{file}: {rows} rows streamed in batches in {:.3} s", start.elapsed().as_secs_f64());
    }
    std::fs::remove_file(&made).ok();
}
