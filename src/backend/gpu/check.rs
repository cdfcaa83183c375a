//! Shaders for GPUs that are not here: rendered, validated by naga, and translated as Vulkan, Metal and DX12 get them.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Mutex;

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use rustc_hash::{FxHashSet, FxHasher};

use super::device::lock;
use super::dispatch::{Caps, Matrices};
use super::dump;
use super::kernels;
use super::scope;
use crate::backend::PlanCheck;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::step::Plan;

/// What every WebGPU device has.
pub(super) const PLAIN: Caps = Caps {
    software: false,
    unroll: true,
    subgroups: false,
    group: None,
    max_workgroup_size: 256,
    max_workgroup_memory: 16384,
    max_storage_bindings: 8,
    cooperative: None,
};

/// A large discrete GPU.
pub(super) const LARGE: Caps = Caps {
    software: false,
    unroll: true,
    subgroups: true,
    group: None,
    max_workgroup_size: 1024,
    max_workgroup_memory: 49152,
    max_storage_bindings: 32,
    cooperative: Some(Matrices { size: 16, subgroup: [32, 32] }),
};

/// A driver that computes on the processor.
pub(super) const SOFTWARE: Caps = Caps { software: true, unroll: false, ..PLAIN };

/// Checks the shaders of plans, each shader once.
#[derive(Default)]
pub(crate) struct ShaderCheck {
    seen: Mutex<FxHashSet<u64>>,
}

/// The kinds of adapters that shaders are checked for.
const KINDS: [Caps; 3] = [PLAIN, LARGE, SOFTWARE];

impl PlanCheck for ShaderCheck {
    fn takes(&self, dtype: DType) -> bool {
        dtype != DType::F64
    }

    fn max_buffers(&self) -> Vec<usize> {
        KINDS.iter().map(|caps| caps.max_storage_bindings as usize).collect()
    }

    fn check(&self, kind: usize, plan: &Plan) -> Result<u64> {
        let mut new = 0;
        let caps = &KINDS[kind];
        for step in &plan.steps {
            for kernel in kernels::build(plan, step, caps)? {
                let source = kernel.shader.source()?;
                if lock(&self.seen).insert(BuildHasherDefault::<FxHasher>::default().hash_one(&source)) {
                    translate(&source, caps.subgroups, kernel.shader.trusted())
                        .map_err(|e| e.context(format!("step `{}`", step.ops.join("+"))))?;
                    new += 1;
                }
            }
        }
        Ok(new)
    }
}

/// Parses and validates a shader, and writes it as SPIR-V, MSL and HLSL. In the crate's own no name may hide another.
pub(crate) fn translate(source: &str, subgroups: bool, own: bool) -> Result<()> {
    let refused = |by: &str, why: String| Error::internal(format!("{by} refuses a shader: {why}\n{source}"));
    dump::keep("checked", source);
    if own {
        scope::check(source).map_err(|e| refused("the crate", e.to_string()))?;
    }
    let module = naga::front::wgsl::parse_str(source).map_err(|e| refused("naga", e.emit_to_string(source)))?;
    let mut caps = if subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let cooperative = source.contains("enable wgpu_cooperative_matrix;");
    caps.set(Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16, cooperative);
    let mut validator = Validator::new(ValidationFlags::all(), caps);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|e| refused("naga", e.emit_to_string(source)))?;

    // SPIR-V 1.3 is that of Vulkan 1.1; Metal 2.4 and shader model 6.0 have the subgroup operations.
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    spv::write_vec(&module, &info, &options, None).map_err(|e| refused("SPIR-V", e.to_string()))?;

    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    let pipeline = msl::PipelineOptions::default();
    msl::write_string(&module, &info, &options, &pipeline).map_err(|e| refused("MSL", e.to_string()))?;

    // DX12 has no cooperative matrices.
    if cooperative {
        return Ok(());
    }
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    writer.write(&module, &info, None).map_err(|e| refused("HLSL", e.to_string()))?;
    Ok(())
}
