//! Finding GPUs and opening them.

use std::sync::OnceLock;

use super::GpuBackend;
use super::device::Core;
use super::info::{COOPERATIVE, describe, kind, known_features, matrices};
use super::trusted;
use crate::backend::{DeviceInfo, DeviceKind, DeviceOptions};
use crate::error::{Error, Kind, Result};

struct Found {
    adapter: wgpu::Adapter,
    info: DeviceInfo,
}

/// The machine's adapters, real GPUs first. Found once per process: it takes long, and the order must not change.
async fn adapters() -> &'static [Found] {
    static FOUND: OnceLock<Vec<Found>> = OnceLock::new();
    match FOUND.get() {
        Some(found) => found,
        None => {
            let found = find().await;
            FOUND.get_or_init(|| found)
        }
    }
}

async fn find() -> Vec<Found> {
    let native = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let backends = if cfg!(target_arch = "wasm32") { wgpu::Backends::BROWSER_WEBGPU } else { native };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // The driver's validation layers only on request (`WGPU_VALIDATION=1`), also in debug builds.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let descriptor = descriptor.with_env();
    let wanted = backends & descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(wanted).await;
    adapters.sort_by_key(|a| rank(kind(a.get_info().device_type)));
    let found = adapters.into_iter().enumerate().map(|(i, adapter)| {
        let features = adapter.features() & (known_features() | COOPERATIVE);
        let info = describe(format!("gpu:{i}"), &adapter.get_info(), features, &adapter.limits());
        log::debug!("found {} ({}, {}, {})", info.id, info.name, info.kind, info.api);
        Found { adapter, info }
    });
    found.collect()
}

/// What the machine has, in the order of their ids.
pub(crate) async fn list() -> Vec<DeviceInfo> {
    adapters().await.iter().map(|f| f.info.clone()).collect()
}

/// Opens the adapter `gpu:index`.
///
/// # Errors
/// There is no such adapter, it refuses, or the memory to reserve is not there.
pub(crate) async fn open(index: usize, options: &DeviceOptions) -> Result<GpuBackend> {
    let all = adapters().await;
    let Some(found) = all.get(index) else {
        let have: Vec<_> = all.iter().map(|f| format!("{} ({})", f.info.id, f.info.name)).collect();
        let have =
            if have.is_empty() { "no Vulkan, Metal or DX12 adapter on this machine".into() } else { have.join(", ") };
        return Err(Error::parts(
            Kind::NoAdapter,
            &format!("No GPU adapter gpu:{index} was found"),
            &have,
            &format!("at least {} adapter(s) with a working driver", index + 1),
            "Install the GPU's driver, choose another device, or use `Device::cpu()`",
        ));
    };
    let (features, limits) = if options.webgpu_defaults {
        (wgpu::Features::empty(), wgpu::Limits::default())
    } else {
        (found.adapter.features() & known_features(), found.adapter.limits())
    };
    let cooperates = options.cooperates() && !options.webgpu_defaults;
    let matrices = cooperates.then(|| matrices(&found.adapter)).flatten();
    let experimental = matrices.map_or_else(wgpu::ExperimentalFeatures::disabled, |_| trusted::experimental());
    let features = if matrices.is_some() { features | COOPERATIVE } else { features };
    // Under a cap the driver is asked for small blocks, so that what it holds stays near what is used.
    let memory_hints = match options.cap {
        Some(_) => wgpu::MemoryHints::MemoryUsage,
        None => wgpu::MemoryHints::Performance,
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgtensor"),
        required_features: features,
        required_limits: limits,
        memory_hints,
        experimental_features: experimental,
        ..Default::default()
    };
    let (device, queue) = found.adapter.request_device(&descriptor).await.map_err(|e| {
        Error::parts(
            Kind::Unsupported,
            &format!("The device {} ({}) could not be opened", found.info.id, found.info.name),
            &e.to_string(),
            "a device with the limits and features asked for",
            "Update the GPU's driver, choose another device, or use `Device::cpu()`",
        )
    })?;
    let core = Core::new(found.info.id.clone(), device, queue, matrices, false, options)?;
    GpuBackend::new(core, options)
}

fn rank(kind: DeviceKind) -> u8 {
    match kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Virtual => 2,
        DeviceKind::Other => 3,
        DeviceKind::Software | DeviceKind::Cpu => 4,
    }
}
