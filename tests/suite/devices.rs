//! One test body, every device present.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use wgtensor::{Device, DeviceKind, DeviceOptions, Kernels, Result};

/// How to open a device, and what it is called in a report.
struct Found {
    label: String,
    id: String,
    options: DeviceOptions,
}

impl Found {
    fn open(&self) -> Device {
        let opened = Device::open_with(&self.id, &self.options);
        opened.unwrap_or_else(|e| panic!("{} is listed but does not open: {e}", self.label))
    }
}

/// Every device of this machine, found and opened once: the CPU engine, each adapter, and the first adapter again
/// under plain WebGPU defaults. They run the kernels of real GPUs, unless `WGTENSOR_KERNELS` says otherwise; a software
/// adapter comes once more with those that suit it.
fn devices() -> &'static [(Found, Device)] {
    static DEVICES: OnceLock<Vec<(Found, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let kernels = if std::env::var_os("WGTENSOR_KERNELS").is_some() { Kernels::Auto } else { Kernels::Hardware };
        let mut found = Vec::new();
        let mut adapters = 0;
        for info in Device::list() {
            // The CPU engine also checks the shaders of all that the tests do, for GPUs that are not here.
            let options = DeviceOptions {
                check_shaders: info.id == "cpu" && cfg!(feature = "gpu"),
                kernels,
                ..DeviceOptions::default()
            };
            let id = info.id;
            found.push(Found { label: format!("{id} ({})", info.name), id: id.clone(), options });
            adapters += usize::from(id != "cpu");
            if id != "cpu" && adapters == 1 {
                let options = DeviceOptions { webgpu_defaults: true, kernels, ..DeviceOptions::default() };
                found.push(Found {
                    label: format!("{id} ({}) under WebGPU defaults", info.name),
                    id: id.clone(),
                    options,
                });
            }
            if info.kind == DeviceKind::Software && kernels == Kernels::Hardware {
                let options = DeviceOptions { kernels: Kernels::Software, ..DeviceOptions::default() };
                found.push(Found { label: format!("{id} ({}) with software kernels", info.name), id, options });
            }
        }
        found
            .into_iter()
            .map(|f| {
                let device = f.open();
                (f, device)
            })
            .collect()
    })
}

/// Whether the environment promises an adapter: then its absence is a failure and no test passes for want of one.
pub(crate) fn gpu_required() -> bool {
    std::env::var("WGTENSOR_REQUIRE_GPU").is_ok_and(|v| v == "1")
}

/// Runs `body` on every device and reports all devices on which it failed. Tests share the devices and run at once.
#[track_caller]
pub(crate) fn for_each_device(body: impl Fn(&Device) -> Result<()>) {
    run(|_, device| body(device));
}

/// The same on devices opened for this test alone, whose counters nobody else moves.
#[track_caller]
pub(crate) fn for_each_device_alone(body: impl Fn(&Device) -> Result<()>) {
    run(|found, _| body(&found.open()));
}

#[track_caller]
fn run(body: impl Fn(&Found, &Device) -> Result<()>) {
    let devices = devices();
    assert!(
        !gpu_required() || cfg!(not(feature = "gpu")) || devices.iter().any(|(_, d)| d.is_gpu()),
        "WGTENSOR_REQUIRE_GPU is 1 and no GPU adapter was found"
    );
    let mut failed = Vec::new();
    for (found, device) in devices {
        println!("--- on {}", found.label);
        match catch_unwind(AssertUnwindSafe(|| body(found, device))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => failed.push(format!("{}: {e}", found.label)),
            Err(_) => failed.push(format!("{}: see the panic above", found.label)),
        }
    }
    assert!(failed.is_empty(), "failed on {} of {} devices:\n{}", failed.len(), devices.len(), failed.join("\n"));
}

/// The GPU devices alone, for tests about them.
pub(crate) fn for_each_gpu(body: impl Fn(&Device) -> Result<()>) {
    for_each_device(|device| if device.is_gpu() { body(device) } else { Ok(()) });
}
