//! Reads the safetensors subset that the cases use: `F32`, `I32`, `U8` (booleans), row-major, little-endian.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// A host tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Data {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// Its elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
    Bool(Vec<bool>),
}

impl Data {
    /// All elements as `f64`, which holds each of the three types exactly.
    pub(crate) fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Values::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Values::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    /// The elements of a float tensor.
    pub(crate) fn f32s(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Entry `i` along the first axis.
    pub(crate) fn row(&self, i: usize) -> Data {
        let shape = self.shape[1..].to_vec();
        let n: usize = shape.iter().product();
        let span = i * n..(i + 1) * n;
        let values = match &self.values {
            Values::F32(v) => Values::F32(v[span].to_vec()),
            Values::I32(v) => Values::I32(v[span].to_vec()),
            Values::Bool(v) => Values::Bool(v[span].to_vec()),
        };
        Data { shape, values }
    }
}

/// All tensors of the file at `path`, by name.
pub(crate) fn load(path: &Path) -> Result<BTreeMap<String, Data>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    parse(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// All tensors of a file's bytes, by name.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Data>, String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("shorter than its length word")?;
    let length = u64::from_le_bytes(*length) as usize;
    let (header, body) = rest.split_at_checked(length).ok_or("shorter than its header")?;
    let header: Value = serde_json::from_slice(header).map_err(|e| format!("header: {e}"))?;
    let entries = header.as_object().ok_or("the header is not an object")?;
    let named = entries.iter().filter(|(name, _)| *name != "__metadata__");
    named.map(|(name, entry)| Ok((name.clone(), tensor(entry, body).ok_or(format!("bad entry `{name}`"))?))).collect()
}

fn tensor(entry: &Value, body: &[u8]) -> Option<Data> {
    let numbers = |key: &str| -> Option<Vec<usize>> {
        entry[key].as_array()?.iter().map(|n| n.as_u64().map(|n| n as usize)).collect()
    };
    let shape = numbers("shape")?;
    let offsets = numbers("data_offsets")?;
    let raw = body.get(*offsets.first()?..*offsets.get(1)?)?;
    let words = || raw.as_chunks::<4>().0.iter();
    let (values, count) = match entry["dtype"].as_str()? {
        "F32" => (Values::F32(words().map(|w| f32::from_le_bytes(*w)).collect()), raw.len() / 4),
        "I32" => (Values::I32(words().map(|w| i32::from_le_bytes(*w)).collect()), raw.len() / 4),
        "U8" => (Values::Bool(raw.iter().map(|&b| b != 0).collect()), raw.len()),
        _ => return None,
    };
    (count == shape.iter().product::<usize>()).then_some(Data { shape, values })
}
