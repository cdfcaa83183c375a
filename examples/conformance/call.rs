//! A call of a case: its tensors on the device, its plain arguments, and how a replay ends.

use std::collections::BTreeMap;

use serde_json::Value;
use wgtensor::{Device, Tensor};

use super::case::Case;
use super::safetensors::{Data, Values};

/// Why a case ended without outputs to judge.
pub(crate) enum Stop {
    /// The crate has no such operation, layer or option; the text names it.
    Skip(String),
    /// The crate returned an error, or the case is broken.
    Fail(String),
}

impl From<wgtensor::Error> for Stop {
    fn from(e: wgtensor::Error) -> Self {
        Stop::Fail(format!("the crate returned an error: {e}"))
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Stop::Fail(text)
    }
}

/// The result of a step of a replay.
pub(crate) type Replay<T> = Result<T, Stop>;

/// A named feature that the crate lacks.
pub(crate) fn skip<T>(what: impl Into<String>) -> Replay<T> {
    Err(Stop::Skip(what.into()))
}

/// A computed tensor, on the host.
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Output {
    /// Reads `tensor` back.
    pub(crate) fn read(name: impl Into<String>, tensor: &Tensor) -> Replay<Output> {
        Ok(Output { name: name.into(), shape: tensor.dims().to_vec(), values: tensor.to_f64_vec()? })
    }
}

/// Moves a host tensor to the device.
pub(crate) fn upload(data: &Data, device: &Device) -> Replay<Tensor> {
    let shape = &data.shape[..];
    Ok(match &data.values {
        Values::F32(v) => Tensor::from_slice(v, shape, device)?,
        Values::I32(v) => Tensor::from_slice(v, shape, device)?,
        Values::Bool(v) => Tensor::from_slice(v, shape, device)?,
    })
}

/// The arguments of an `op_forward` or `op_grad` case.
pub(crate) struct Call<'a> {
    pub(crate) case: &'a Case,
    pub(crate) device: &'a Device,
    tensors: BTreeMap<&'a str, Tensor>,
    positional: Vec<&'a str>,
}

impl<'a> Call<'a> {
    /// Uploads the inputs; float inputs are tracked where gradients are wanted.
    pub(crate) fn new(case: &'a Case, device: &'a Device, tracked: bool) -> Replay<Self> {
        let mut tensors = BTreeMap::new();
        for name in strs(&case.json["inputs"]) {
            let data = case.tensor(name).ok_or(format!("input `{name}` is missing"))?;
            let tensor = upload(data, device)?;
            tensors.insert(name, if tracked && data.f32s().is_some() { tensor.requires_grad() } else { tensor });
        }
        Ok(Call { case, device, tensors, positional: strs(&case.json["args"]) })
    }

    /// The positional tensor number `i`.
    pub(crate) fn arg(&self, i: usize) -> Replay<&Tensor> {
        let name = self.positional.get(i).ok_or(format!("no positional tensor {i}"))?;
        self.named(name).ok_or(Stop::Fail(format!("input `{name}` is missing")))
    }

    /// All positional tensors.
    pub(crate) fn args(&self) -> Vec<&Tensor> {
        self.positional.iter().filter_map(|n| self.tensors.get(n)).collect()
    }

    /// The tensor of that name, positional or by keyword.
    pub(crate) fn named(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// A plain argument, null where the call does not name it.
    pub(crate) fn attr(&self, key: &str) -> &Value {
        &self.case.json["attrs"][key]
    }

    /// A float argument.
    pub(crate) fn float(&self, key: &str, default: f64) -> f64 {
        self.attr(key).as_f64().unwrap_or(default)
    }

    /// An integer argument.
    pub(crate) fn int(&self, key: &str, default: isize) -> isize {
        self.attr(key).as_i64().map_or(default, |v| v as isize)
    }

    /// A truth argument, false where the call does not name it.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.attr(key).as_bool().unwrap_or(false)
    }

    /// A text argument.
    pub(crate) fn text<'s>(&'s self, key: &str, default: &'s str) -> &'s str {
        self.attr(key).as_str().unwrap_or(default)
    }

    /// An integer or list of integers; empty where the call does not name it.
    pub(crate) fn ints(&self, key: &str) -> Vec<isize> {
        match self.attr(key) {
            Value::Array(list) => list.iter().filter_map(Value::as_i64).map(|v| v as isize).collect(),
            one => one.as_i64().map(|v| v as isize).into_iter().collect(),
        }
    }

    /// Sizes, one for each of `n` dimensions: a single number serves all of them.
    pub(crate) fn sizes(&self, key: &str, n: usize, default: usize) -> Vec<usize> {
        match self.ints(key)[..] {
            [] => vec![default; n],
            [one] => vec![one as usize; n],
            ref many => many.iter().map(|&v| v as usize).collect(),
        }
    }
}

/// A JSON list of strings.
pub(crate) fn strs(json: &Value) -> Vec<&str> {
    json.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
