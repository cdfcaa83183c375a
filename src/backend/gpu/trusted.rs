//! Compiling without wgpu's run-time checks, and what was compiled before: the one `unsafe` module of the GPU engine.
#![allow(unsafe_code, reason = "wgpu marks trusted shader modules and stored pipelines unsafe; see the safety notes")]

/// A compute pipeline of one of the crate's own shaders, entry point `main`, without bounds checks, loop bounding,
/// division checks and zeroing of workgroup memory (17-40 % on matrix products).
pub(super) fn pipeline(
    device: &wgpu::Device,
    name: &str,
    source: String,
    layout: &wgpu::PipelineLayout,
    cache: Option<&wgpu::PipelineCache>,
) -> wgpu::ComputePipeline {
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
    // SAFETY: only shaders rendered from the crate's own templates come here. Each guards its own indices against the
    // sizes in its parameters, which the plan takes from buffers at least that large (checked at every run); their
    // loops have bounds; they test divisors; and they write workgroup memory before they read it.
    let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: Some(layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache,
    })
}

/// Leave to ask for what `wgpu` calls experimental.
pub(super) fn experimental() -> wgpu::ExperimentalFeatures {
    // SAFETY: only cooperative matrices are asked for with it, by the crate's own shaders, where the program's author asked
    // for these; every load and store of one lies within work-group memory, and the control flow around them is uniform.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// A pipeline cache with `data` in it, which a cache gave out before. Data of another version of the driver is left out.
pub(super) fn cache(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgtensor"), data, fallback: true };
    // SAFETY: `data` is what a cache gave out, as far as a program can know: it comes from a file that carries its
    // checksum, in a directory that the user chose for it or that was made for the user alone; wgpu compares the adapter's
    // and the driver's identities. That nobody forges it the documentation of `KernelCache` asks for.
    unsafe { device.create_pipeline_cache(&descriptor) }
}
