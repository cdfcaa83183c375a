//! What the first training step of a new process takes: recording, planning, compiling the kernels, and running them.
//! One process is one measurement, so run it several times, on whatever `WGTENSOR_DEVICE` names:
//!
//! first_step [mlp | cnn] [more]
//!
//! `more` times a second step too. `WGTENSOR_CACHE` says where compiled pipelines are kept between processes, or `off`; the
//! driver has a cache of its own (Mesa's is switched off by `MESA_SHADER_CACHE_DISABLE=true`). `RUST_LOG=wgtensor=debug` shows
//! how long each kernel took to compile.

#[path = "common/data.rs"]
mod data;
#[path = "common/steps.rs"]
#[allow(dead_code, reason = "other benches' steps")]
mod steps;

use std::time::Instant;

use wgtensor::{Device, Result};

fn main() -> Result<()> {
    env_logger::init();
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let has = |word: &str| args.iter().any(|a| a == word);
    let start = Instant::now();
    let device = Device::from_env()?;
    let open = start.elapsed();
    let step = if has("cnn") { steps::cnn_adam(&device, 64)? } else { steps::mlp_adam(&device, 64, &[784, 512, 10])? };
    device.sync()?;
    let ms = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    step()?.realize()?;
    let (submitted, pipelines) = (ms(start), device.counters().pipelines);
    device.sync()?;
    print!("open {:.1} ms, first step {:.1} ms", open.as_secs_f64() * 1e3, ms(start));
    print!(", of it until it is submitted {submitted:.1} ms ({pipelines} pipelines)");
    if has("more") {
        let start = Instant::now();
        step()?.realize()?;
        device.sync()?;
        print!(", second step {:.1} ms", ms(start));
    }
    println!();
    Ok(())
}
