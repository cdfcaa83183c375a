//! One test body, every device present.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use wgtensor::{Device, DeviceOptions, Result};

/// Every device of this machine, opened once: the CPU engine, each adapter, and the first adapter again under plain WebGPU defaults.
fn devices() -> &'static [(String, Device)] {
    static DEVICES: OnceLock<Vec<(String, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut found = vec![("cpu".to_string(), Device::cpu())];
        let adapters: Vec<_> = Device::list().into_iter().filter(|info| info.id != "cpu").collect();
        for info in &adapters {
            let device =
                Device::open(&info.id).unwrap_or_else(|e| panic!("{} is listed but does not open: {e}", info.id));
            found.push((format!("{} ({})", info.id, info.name), device));
        }
        if let Some(first) = adapters.first() {
            let options = DeviceOptions { webgpu_defaults: true, ..DeviceOptions::default() };
            let device =
                Device::open_with(&first.id, &options).unwrap_or_else(|e| panic!("{} under defaults: {e}", first.id));
            found.push((format!("{} ({}) under WebGPU defaults", first.id, first.name), device));
        }
        found
    })
}

/// Whether the environment promises an adapter: then its absence is a failure and no test passes for want of one.
pub(crate) fn gpu_required() -> bool {
    std::env::var("WGTENSOR_REQUIRE_GPU").is_ok_and(|v| v == "1")
}

/// Runs `body` on every device and reports all devices on which it failed.
#[track_caller]
pub(crate) fn for_each_device(body: impl Fn(&Device) -> Result<()>) {
    let devices = devices();
    assert!(!gpu_required() || devices.len() > 1, "WGTENSOR_REQUIRE_GPU is 1 and no GPU adapter was found");
    let mut failed = Vec::new();
    for (label, device) in devices {
        println!("--- on {label}");
        match catch_unwind(AssertUnwindSafe(|| body(device))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                println!("{e}");
                failed.push(format!("{label}: {e}"));
            }
            Err(_) => failed.push(format!("{label}: see the panic above")),
        }
    }
    assert!(failed.is_empty(), "failed on {} of {} devices:\n{}", failed.len(), devices.len(), failed.join("\n"));
}

/// The GPU devices alone, for tests about them.
pub(crate) fn for_each_gpu(body: impl Fn(&Device) -> Result<()>) {
    for_each_device(|device| if device.is_gpu() { body(device) } else { Ok(()) });
}
