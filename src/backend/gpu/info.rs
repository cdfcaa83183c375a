//! What there is to say of an adapter or a device.

use super::dispatch::Matrices;
use crate::backend::{DeviceInfo, DeviceKind, Kernels};

/// The abilities used where present, with the names they are shown under.
const FEATURES: [(wgpu::Features, &str); 3] = [
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline cache"),
];
/// What is used only where somebody asks for it.
const ON_REQUEST: (wgpu::Features, &str) = (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices");

/// A device as users see it.
pub(super) fn describe(
    id: String,
    info: &wgpu::AdapterInfo,
    features: wgpu::Features,
    limits: &wgpu::Limits,
) -> DeviceInfo {
    DeviceInfo {
        id,
        name: info.name.clone(),
        kind: kind(info.device_type),
        api: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        kernels: Kernels::Auto,
        features: FEATURES
            .iter()
            .chain([&ON_REQUEST])
            .filter(|(f, _)| features.contains(*f))
            .map(|(_, name)| *name)
            .collect(),
        limits: vec![
            ("max_buffer_size", limits.max_buffer_size),
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into()),
            ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size.into()),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup.into()),
            ("max_compute_workgroups_per_dimension", limits.max_compute_workgroups_per_dimension.into()),
            ("subgroup_min_size", info.subgroup_min_size.into()),
            ("subgroup_max_size", info.subgroup_max_size.into()),
        ],
    }
}

/// The abilities used where present.
pub(super) fn known_features() -> wgpu::Features {
    FEATURES.iter().fold(wgpu::Features::empty(), |all, (f, _)| all | *f)
}

/// What kernels with cooperative matrices need.
pub(super) const COOPERATIVE: wgpu::Features =
    ON_REQUEST.0.union(wgpu::Features::SHADER_F16).union(wgpu::Features::SUBGROUP);

/// The largest cooperative matrices of `f16` with sums in `f32` that an adapter has, and shaders can name.
pub(super) fn matrices(adapter: &wgpu::Adapter) -> Option<Matrices> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let info = adapter.get_info();
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        p.m_size == p.n_size && p.n_size == p.k_size && (p.ab_type, p.cr_type) == (F16, F32)
    };
    let sizes = adapter.cooperative_matrix_properties().into_iter().filter(fits).map(|p| p.m_size);
    let size = sizes.max().filter(|_| adapter.features().contains(COOPERATIVE))?;
    Some(Matrices { size, subgroup: [info.subgroup_min_size, info.subgroup_max_size] })
}

pub(super) fn kind(device_type: wgpu::DeviceType) -> DeviceKind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
        wgpu::DeviceType::Other => DeviceKind::Other,
    }
}
