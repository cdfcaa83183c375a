//! One reference case: its JSON, its tensors, and the inputs that a formula gives.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::safetensors::{self, Data, Values};

/// A case as loaded.
pub(crate) struct Case {
    pub(crate) kind: String,
    /// The whole JSON.
    pub(crate) json: Value,
    /// Every tensor, the generated ones included.
    pub(crate) tensors: BTreeMap<String, Data>,
}

impl Case {
    /// Reads `<id>.json` and the tensor file it names.
    pub(crate) fn load(dir: &Path, id: &str) -> Result<Case, String> {
        let path = dir.join(format!("{id}.json"));
        let json = read_json(&path)?;
        let mut tensors = match json["file"].as_str() {
            Some(file) => safetensors::load(&dir.join(file))?,
            None => BTreeMap::new(),
        };
        for (name, recipe) in json["generated"].as_object().into_iter().flatten() {
            tensors.insert(name.clone(), generate(recipe).ok_or(format!("{id}: cannot generate `{name}`"))?);
        }
        for (name, facts) in json["tensors"].as_object().into_iter().flatten() {
            let shape: Vec<usize> = usizes(&facts["shape"]);
            let tensor = tensors.get(name).ok_or(format!("{id}: tensor `{name}` is missing"))?;
            if tensor.shape != shape {
                return Err(format!(
                    "{id}: tensor `{name}` has shape {:?}, its description says {shape:?}",
                    tensor.shape
                ));
            }
        }
        Ok(Case { kind: string(&json["kind"]), json, tensors })
    }

    /// The tensor of that name.
    pub(crate) fn tensor(&self, name: &str) -> Option<&Data> {
        self.tensors.get(name)
    }

    /// The names of the tensors that play one of `roles`, in the JSON's order.
    pub(crate) fn with_role(&self, roles: &[&str]) -> Vec<&str> {
        let all = self.json["tensors"].as_object().into_iter().flatten();
        all.filter(|(_, t)| roles.contains(&t["role"].as_str().unwrap_or(""))).map(|(n, _)| n.as_str()).collect()
    }

    /// Whether the case has NaN, infinities, values near the limits of `f32`, or ties.
    pub(crate) fn edge_values(&self) -> bool {
        self.json["edge_values"].as_bool() == Some(true)
    }
}

/// The ids and kinds in a folder's `index.json`.
pub(crate) fn index(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let json = read_json(&dir.join("index.json"))?;
    let cases = json["cases"].as_array().ok_or("index.json lists no cases")?;
    Ok(cases.iter().map(|c| (string(&c["id"]), string(&c["kind"]))).collect())
}

fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// An input that is not stored, checked against the first values and the sum that its recipe names.
fn generate(recipe: &Value) -> Option<Data> {
    let shape = usizes(&recipe["shape"]);
    let seed = recipe["seed"].as_u64()? as u32;
    let signed = match recipe["formula"].as_str()? {
        "hash24_signed" => true,
        "hash24_unsigned" => false,
        _ => return None,
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u32).map(|i| hash24(i, seed, signed)).collect();
    let first = recipe["check"]["first4"].as_array()?;
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    let same = first.iter().zip(&values).all(|(want, &got)| want.as_f64().is_some_and(|w| w as f32 == got))
        && (sum - recipe["check"]["sum_float64"].as_f64()?).abs() < 1e-6 * values.len() as f64;
    same.then_some(Data { shape, values: Values::F32(values) })
}

/// The formula of generated inputs: 24 hashed bits as a number in [0, 1), or in [-1, 1). Exact in `f32`.
pub(crate) fn hash24(index: u32, seed: u32, signed: bool) -> f32 {
    let mut h = index.wrapping_mul(2_654_435_761).wrapping_add(seed);
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^= h >> 16;
    let unit = (h >> 8) as f32;
    if signed { unit / 8_388_608.0 - 1.0 } else { unit / 16_777_216.0 }
}

/// A JSON list of sizes; empty where it is none.
pub(crate) fn usizes(json: &Value) -> Vec<usize> {
    json.as_array().into_iter().flatten().filter_map(Value::as_u64).map(|n| n as usize).collect()
}

/// A JSON string; empty where it is none.
pub(crate) fn string(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_string()
}
