//! Every row's expression with the prelude, through naga's front end, validator and back ends: no GPU needed.

use super::binary::BINARY;
use super::unary::UNARY;
use crate::backend::gpu::check::translate;
use crate::backend::gpu::kernels::library::complete;
use crate::dtype::DType;

const TYPES: [DType; 4] = [DType::F32, DType::I32, DType::U32, DType::Bool];

/// A compute shader of the prelude and one function for each row and type, all of which the entry point calls.
fn source() -> String {
    let mut functions = String::new();
    let mut calls = String::new();
    let mut add = |name: String, parameters: &[&str], dtype: DType, out: DType, expression: &str| {
        let list: Vec<String> = parameters.iter().map(|p| format!("{p}: {dtype}")).collect();
        functions += &format!("fn t_{name}({}) -> {out} {{ return {expression}; }}\n", list.join(", "));
        let load = match dtype {
            DType::Bool => "b0[id.x] != 0u".to_string(),
            DType::U32 => "b0[id.x]".to_string(),
            other => format!("bitcast<{other}>(b0[id.x])"),
        };
        calls += &format!("    sum += u32(t_{name}({}));\n", vec![load; parameters.len()].join(", "));
    };
    for row in UNARY {
        for dtype in TYPES {
            if let Some(out) = row.f.output(dtype) {
                add(format!("{}_{dtype}", row.f.name), &["x"], dtype, out, row.f.expression(dtype));
            }
        }
    }
    for row in BINARY {
        for dtype in TYPES {
            if let Some(out) = row.f.output(dtype) {
                add(format!("{}2_{dtype}", row.f.name), &["a", "b"], dtype, out, row.f.expression(dtype));
            }
        }
    }
    complete(format!(
        "{functions}\n@group(0) @binding(0) var<storage, read_write> b0: array<u32>;\n\
         @compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
         var sum = 0u;\n{calls}    b0[id.x] = sum;\n}}\n"
    ))
}

#[test]
fn every_expression_compiles_everywhere() {
    translate(&source(), false, true).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn rows_are_complete() {
    let mut names: Vec<&str> = UNARY.iter().map(|r| r.f.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), UNARY.len());
    for row in UNARY {
        assert!(TYPES.iter().any(|&t| row.f.output(t).is_some()), "{} takes no type", row.f.name);
        assert_eq!(row.f.output(DType::F32).is_some(), row.f.output(DType::F64).is_some(), "{}", row.f.name);
    }
    for row in BINARY {
        assert!(TYPES.iter().any(|&t| row.f.output(t).is_some()), "{} takes no type", row.f.name);
        assert_eq!(row.f.output(DType::F32).is_some(), row.f.output(DType::F64).is_some(), "{}", row.f.name);
    }
}
