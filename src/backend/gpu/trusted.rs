//! Compiling without wgpu's run-time checks: the one `unsafe` module of the GPU engine.
#![allow(unsafe_code, reason = "wgpu marks trusted shader modules unsafe; see the safety note")]

/// A compute pipeline of one of the crate's own shaders, entry point `main`, without bounds checks, loop bounding,
/// division checks and zeroing of workgroup memory (17-40 % on matrix products).
pub(super) fn pipeline(
    device: &wgpu::Device,
    name: &str,
    source: String,
    layout: &wgpu::PipelineLayout,
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
        cache: None,
    })
}
