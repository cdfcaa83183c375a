//! A call of a case, its tensors and its plain arguments, each of which must be read; and how a replay ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
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

/// One call: its tensors on the device and its plain arguments. What an entry of the tables does not ask for by name
/// is left over, and [`finish`](Call::finish) skips the case: no argument is ever ignored.
pub(crate) struct Call<'a> {
    /// The name in `keras.ops`.
    pub(crate) op: &'a str,
    pub(crate) device: &'a Device,
    tensors: BTreeMap<&'a str, Tensor>,
    positional: Vec<&'a str>,
    packed: bool,
    keywords: Vec<&'a str>,
    attrs: Option<&'a Map<String, Value>>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Call<'a> {
    /// The call of an `op_forward`, `op_grad` or `layer` case. Float inputs are tracked where gradients are wanted.
    pub(crate) fn new(case: &'a Case, device: &'a Device, tracked: bool) -> Replay<Self> {
        let json = &case.json;
        Ok(Call {
            op: json["op"].as_str().unwrap_or_default(),
            device,
            tensors: inputs(case, device, tracked)?,
            positional: strs(&json["args"]),
            packed: json["args_packed_in_list"].as_bool() == Some(true),
            keywords: strs(&json["kwargs"]),
            attrs: json["attrs"].as_object(),
            read: RefCell::default(),
        })
    }

    /// A step of a program, among the values computed so far.
    pub(crate) fn step(step: &'a Value, values: &BTreeMap<&'a str, Tensor>, device: &'a Device) -> Replay<Self> {
        let positional = strs(&step["args"]);
        let mut tensors = BTreeMap::new();
        for &name in &positional {
            let value = values.get(name).ok_or(format!("a step uses `{name}`, which no earlier step gives"))?;
            tensors.insert(name, value.clone());
        }
        Ok(Call {
            op: step["op"].as_str().unwrap_or_default(),
            device,
            tensors,
            positional,
            packed: step["pack"].as_bool() == Some(true),
            keywords: Vec::new(),
            attrs: step["attrs"].as_object(),
            read: RefCell::default(),
        })
    }

    /// How Keras writes the call up to its plain arguments: `keras.ops.add(x1, x2`.
    pub(crate) fn opening(&self, module: &str) -> String {
        let args = self.positional.join(", ");
        match self.packed {
            true => format!("keras.{module}.{}([{args}]", self.op),
            false => format!("keras.{module}.{}({args}", self.op),
        }
    }

    /// All tensors of the call.
    pub(crate) fn tensors(&self) -> &BTreeMap<&'a str, Tensor> {
        &self.tensors
    }

    /// The positional tensor number `i`.
    pub(crate) fn arg(&self, i: usize) -> Replay<&Tensor> {
        let name = *self.positional.get(i).ok_or(Stop::Skip(format!("{} of {i} tensors", self.op)))?;
        self.named(name).ok_or(Stop::Fail(format!("input `{name}` is missing")))
    }

    /// How many positional tensors there are.
    pub(crate) fn count(&self) -> usize {
        self.positional.len()
    }

    /// All positional tensors.
    pub(crate) fn args(&self) -> Vec<&Tensor> {
        self.positional.iter().filter_map(|n| self.named(n)).collect()
    }

    /// The tensor of that name, positional or by keyword.
    pub(crate) fn named(&self, name: &str) -> Option<&Tensor> {
        let (&name, tensor) = self.tensors.get_key_value(name)?;
        self.read.borrow_mut().insert(name);
        Some(tensor)
    }

    /// Begins the reading anew, for the next table.
    pub(crate) fn begin(&self) {
        self.read.borrow_mut().clear();
    }

    /// Ends the reading: a tensor or an argument that nobody asked for means that the call is another one than was made.
    pub(crate) fn finish(&self) -> Replay<()> {
        let read = self.read.borrow();
        if let Some((key, value)) = self.attrs.into_iter().flatten().find(|(key, _)| !read.contains(&key[..])) {
            return self.odd(key, value);
        }
        match self.positional.iter().chain(&self.keywords).find(|name| !read.contains(*name)) {
            Some(name) => skip(format!("{} with the tensor `{name}`", self.op)),
            None => Ok(()),
        }
    }

    /// The stop for a value that the entry does not read.
    pub(crate) fn odd<T>(&self, key: &str, value: &Value) -> Replay<T> {
        skip(format!("{} with `{key}` = {value}", self.op))
    }

    /// A plain argument: `None` where the call does not name it. Null is a value of its own.
    pub(crate) fn attr(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.attrs?.get_key_value(key)?;
        self.read.borrow_mut().insert(key);
        Some(value)
    }

    /// An argument as `read` makes it of its value; a value that `read` does not know skips the case.
    fn typed<T>(&self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Replay<Option<T>> {
        let Some(value) = self.attr(key) else { return Ok(None) };
        read(value).map_or_else(|| self.odd(key, value), |v| Ok(Some(v)))
    }

    /// A float argument.
    pub(crate) fn float(&self, key: &str, default: f64) -> Replay<f64> {
        Ok(self.typed(key, Value::as_f64)?.unwrap_or(default))
    }

    /// An integer argument.
    pub(crate) fn int(&self, key: &str, default: isize) -> Replay<isize> {
        Ok(self.typed(key, signed)?.unwrap_or(default))
    }

    /// A size.
    pub(crate) fn size(&self, key: &str, default: usize) -> Replay<usize> {
        Ok(self.typed(key, unsigned)?.unwrap_or(default))
    }

    /// A truth argument.
    pub(crate) fn truth(&self, key: &str, default: bool) -> Replay<bool> {
        Ok(self.typed(key, Value::as_bool)?.unwrap_or(default))
    }

    /// A truth argument, false where the call does not name it.
    pub(crate) fn flag(&self, key: &str) -> Replay<bool> {
        self.truth(key, false)
    }

    /// A text argument.
    pub(crate) fn text(&self, key: &str, default: &'a str) -> Replay<&'a str> {
        Ok(self.typed(key, Value::as_str)?.unwrap_or(default))
    }

    /// An integer, or `None` where the call gives null or nothing (Keras's `axis=None`).
    pub(crate) fn optional_int(&self, key: &str) -> Replay<Option<isize>> {
        Ok(self.typed(key, |v| if v.is_null() { Some(None) } else { signed(v).map(Some) })?.flatten())
    }

    /// An integer or list of integers; `None` where the call gives null or nothing.
    pub(crate) fn ints(&self, key: &str) -> Replay<Option<Vec<isize>>> {
        let read = |v: &Value| match v {
            Value::Null => Some(None),
            Value::Array(list) => list.iter().map(signed).collect::<Option<_>>().map(Some),
            one => signed(one).map(|n| Some(vec![n])),
        };
        Ok(self.typed(key, read)?.flatten())
    }

    /// A size or list of sizes, which the call must give.
    pub(crate) fn sizes(&self, key: &str) -> Replay<Vec<usize>> {
        let Some(list) = self.ints(key)? else { return skip(format!("{} without `{key}`", self.op)) };
        list.iter()
            .map(|&n| usize::try_from(n).or_else(|_| skip(format!("{} with `{key}` = {list:?}", self.op))))
            .collect()
    }

    /// One positive number for each of `n` dimensions: a single one serves all of them.
    pub(crate) fn each<const N: usize>(&self, key: &str, default: usize) -> Replay<[usize; N]> {
        let Some(list) = self.ints(key)? else { return Ok([default; N]) };
        let sizes: Option<Vec<usize>> = list.iter().map(|&n| usize::try_from(n).ok()).collect();
        match sizes.as_deref() {
            Some([one]) => Ok([*one; N]),
            Some(many) if many.len() == N => Ok(std::array::from_fn(|i| many[i])),
            _ => skip(format!("{} with `{key}` = {list:?}", self.op)),
        }
    }
}

fn signed(v: &Value) -> Option<isize> {
    v.as_i64().and_then(|n| isize::try_from(n).ok())
}

fn unsigned(v: &Value) -> Option<usize> {
    v.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// The input tensors of a case.
pub(crate) fn inputs<'a>(case: &'a Case, device: &Device, tracked: bool) -> Replay<BTreeMap<&'a str, Tensor>> {
    let mut tensors = BTreeMap::new();
    for name in strs(&case.json["inputs"]) {
        let data = case.tensor(name).ok_or(format!("input `{name}` is missing"))?;
        let tensor = upload(data, device)?;
        tensors.insert(name, if tracked && data.f32s().is_some() { tensor.requires_grad() } else { tensor });
    }
    Ok(tensors)
}

/// A JSON list of strings.
pub(crate) fn strs(json: &Value) -> Vec<&str> {
    json.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
