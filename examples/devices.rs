//! What this machine offers: the crate's version, its devices, their abilities and limits.
//!
//! ```text
//! cargo run --release --example devices
//! ```

use wgtensor::Device;

fn main() -> wgtensor::Result<()> {
    println!("wgtensor {}", env!("CARGO_PKG_VERSION"));
    for info in Device::list() {
        println!("\n{}: {}", info.id, info.name);
        println!("  {}, {}", info.kind, info.api);
        if !info.driver.is_empty() {
            println!("  driver   {}", info.driver);
        }
        if !info.features.is_empty() {
            println!("  features {}", info.features.join(", "));
        }
        for (name, value) in &info.limits {
            println!("  {name:<36} {value}");
        }
    }
    let chosen = Device::from_env()?;
    let why = match std::env::var("WGTENSOR_DEVICE") {
        Ok(choice) => format!("WGTENSOR_DEVICE={choice}"),
        Err(_) => "the best there is; set WGTENSOR_DEVICE to cpu, gpu or gpu:N for another".to_owned(),
    };
    println!("\nchosen: {} ({why})", chosen.info().id);
    if chosen.is_gpu() {
        println!("kernels: {} (WGTENSOR_KERNELS=hardware or software takes others)", chosen.info().kernels);
    }
    Ok(())
}
