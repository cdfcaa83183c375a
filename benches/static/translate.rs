//! What the WGSL files of a folder become in the languages of Metal and DX12, for compilers that read those; and each
//! made a pipeline, for the driver at hand.

use std::path::{Path, PathBuf};

use naga::back::{hlsl, msl};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// The WGSL files of a folder, in order, each with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = folder.read_dir().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "wgsl"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Writes FILE.msl and FILE.hlsl beside every FILE.wgsl, without run-time checks, as the crate's own shaders get them; and
/// FILE.refused with the reason where naga does not take it. DX12 has no cooperative matrices.
pub(crate) fn translate(folder: &Path) {
    for (path, source) in sources(folder) {
        let write = |extension: &str, text: String| {
            let path = path.with_extension(extension);
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        };
        match read(&source) {
            Ok((module, info)) => {
                write("msl", metal(&module, &info));
                if !source.contains(COOPERATIVE) {
                    write("hlsl", dx12(&module, &info));
                }
            }
            Err(why) => write("refused", why),
        }
    }
}

/// What shaders with cooperative matrices begin with.
const COOPERATIVE: &str = "enable wgpu_cooperative_matrix;";

fn read(source: &str) -> Result<(naga::Module, naga::valid::ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

/// Metal's, after a line with the size of a work-group.
fn metal(module: &naga::Module, info: &naga::valid::ModuleInfo) -> String {
    let mut resources = msl::EntryPointResources { sizes_buffer: Some(30), ..Default::default() };
    let bindings = module.global_variables.iter().filter_map(|(_, v)| v.binding);
    for (slot, binding) in bindings.enumerate() {
        let target = msl::BindTarget { buffer: Some(slot as u8), mutable: true, ..Default::default() };
        resources.resources.insert(binding, target);
    }
    let unchecked = BoundsCheckPolicy::Unchecked;
    let entry = &module.entry_points[0];
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(entry.name.clone(), resources)].into_iter().collect(),
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        fake_missing_bindings: false,
        emit_int_div_checks: false,
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        ..Default::default()
    };
    let (text, _) = msl::write_string(module, info, &options, &msl::PipelineOptions::default()).expect("MSL");
    let [x, y, z] = entry.workgroup_size;
    format!("// workgroup {x} {y} {z}\n{text}")
}

fn dx12(module: &naga::Module, info: &naga::valid::ModuleInfo) -> String {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..Default::default()
    };
    let (pipeline, mut text) = (hlsl::PipelineOptions::default(), String::new());
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).expect("HLSL");
    text
}

/// Has the first GPU's driver compile every file, each named on stderr.
pub(crate) fn compile(folder: &Path) {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
    let adapter = adapter.unwrap_or_else(|e| panic!("no GPU: {e}"));
    let open = |wanted: wgpu::Features| {
        let (device, _) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            // SAFETY: nothing is ever run.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        }))
        .unwrap_or_else(|e| panic!("no device: {e}"));
        device
    };
    let more = wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let (plain, cooperative) = (open(wgpu::Features::SUBGROUP), open(wgpu::Features::SUBGROUP | more));
    for (path, source) in sources(folder) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        eprintln!("=== {name}");
        let device = if source.contains(COOPERATIVE) { &cooperative } else { &plain };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(&name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: nothing is ever run.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let _ = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        if let Some(e) = pollster::block_on(scope.pop()) {
            eprintln!("refused: {}", e.to_string().replace('\n', " "));
        }
        eprintln!("=== end");
    }
}
