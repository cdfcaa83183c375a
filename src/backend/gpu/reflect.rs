//! What a program's own shader declares.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ScalarKind, ShaderStage, StorageAccess, TypeInner};

use crate::error::{Error, Kind, Result};
use crate::ir::custom::Source;

/// Parses and validates a shader with one compute entry point, and reads its bindings.
///
/// # Errors
/// The text does not parse or validate, or it declares something other than group 0 with a uniform at binding 0 (or none)
/// and storage buffers at 1, 2, ...
pub(crate) fn reflect(name: &str, text: &str) -> Result<Source> {
    let refused = |why: String, expected: &str| {
        Error::parts(
            Kind::Argument,
            &format!("The shader of `{name}` cannot be used"),
            &why,
            expected,
            "See the documentation of `CustomOp` for what it declares",
        )
    };
    let wgsl = "WGSL that naga accepts";
    let module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(e) => return Err(refused(e.emit_to_string(text), wgsl)),
    };
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = match validator.validate(&module) {
        Ok(info) => info,
        Err(e) => return Err(refused(e.emit_to_string(text), wgsl)),
    };
    let [entry] = &module.entry_points[..] else {
        return Err(refused(format!("{} entry points", module.entry_points.len()), "one, a compute shader"));
    };
    if entry.stage != ShaderStage::Compute {
        return Err(refused(format!("a {:?} shader", entry.stage), "a compute shader"));
    }
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| Error::internal(e.to_string()))?;
    let mut uniform = 0;
    let mut bindings: Vec<Option<(bool, Option<&'static str>)>> = Vec::new();
    let layout = "group 0 with the uniform, if any, at binding 0, the inputs at 1, 2, ... and the result behind them";
    for (handle, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else { continue };
        if info.get_entry_point(0)[handle].is_empty() && variable.space == AddressSpace::Handle {
            continue;
        }
        let label = variable.name.as_deref().unwrap_or("?");
        let (group, at) = (binding.group, binding.binding as usize);
        match variable.space {
            AddressSpace::Uniform if (group, at) == (0, 0) => uniform = layouter[variable.ty].size,
            AddressSpace::Storage { access } if group == 0 && (1..64).contains(&at) => {
                let write = access.contains(StorageAccess::STORE);
                bindings.resize(bindings.len().max(at), None);
                if bindings[at - 1].replace((write, scalar(&module, variable.ty))).is_some() {
                    return Err(refused(format!("two buffers at binding {at}"), layout));
                }
            }
            _ => return Err(refused(format!("`{label}` at group {group}, binding {at}"), layout)),
        }
    }
    if let Some(missing) = bindings.iter().position(Option::is_none) {
        return Err(refused(format!("nothing at binding {}", missing + 1), layout));
    }
    Ok(Source {
        text: text.into(),
        entry: entry.name.clone(),
        threads: entry.workgroup_size,
        uniform,
        bindings: bindings.into_iter().flatten().collect(),
    })
}

/// The scalars that a buffer is made of, where they are all of one type that tensors have.
fn scalar(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Option<&'static str> {
    match module.types[ty].inner {
        TypeInner::Array { base, .. } => scalar(module, base),
        TypeInner::Scalar(s) | TypeInner::Vector { scalar: s, .. } | TypeInner::Atomic(s) if s.width == 4 => {
            match s.kind {
                ScalarKind::Float => Some("f32"),
                ScalarKind::Sint => Some("i32"),
                ScalarKind::Uint => Some("u32"),
                _ => None,
            }
        }
        _ => None,
    }
}
