//! Weights as one flat list of names, in safetensors files.

use std::collections::BTreeMap;

use super::safetensors::{Entry, found, listed, parse, render};
use super::values::{dtype_name, read, written};
use crate::error::{Error, Kind, Result};
use crate::nn::model::Model;
use crate::{Tensor, Var};

/// All weights as the bytes of a file.
pub(super) fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let weights = model.weights();
    let values = weights.iter().map(|var| written(&var.value().detach())).collect::<Result<Vec<_>>>()?;
    let entries = names(&weights).into_iter().zip(&weights).zip(&values);
    render(entries.map(|((name, var), data)| {
        Ok((name, Entry { dtype: dtype_name(var.dtype())?, shape: var.shape().to_vec(), data }))
    }))
}

/// Sets all weights from the bytes of a file.
pub(super) fn from_bytes(model: &mut Model, bytes: &[u8]) -> Result<()> {
    let weights = model.weights();
    let values = matched(&names(&weights), &weights, &parse(bytes)?)?;
    model.set_weights(&values)
}

/// A name for each weight: its own, with a number where others before have it too.
pub(super) fn names(weights: &[Var]) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let name = |var| {
        let name = Var::name(var);
        let count = seen.entry(name).or_insert(0);
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}_{}", *count - 1) }
    };
    weights.iter().map(name).collect()
}

/// The values of the weights, from a file's entries.
fn matched(names: &[String], weights: &[Var], entries: &BTreeMap<String, Entry<'_>>) -> Result<Vec<Tensor>> {
    let refuse = |happened: &str, received: &str, expected: &str| {
        let fix = "Load a file that was saved from this model, or give the layers the names that they have in the file";
        Error::parts(Kind::Argument, happened, received, expected, fix)
    };
    if let Some(name) = entries.keys().find(|name| !names.contains(name)) {
        let known = listed(names.iter());
        return Err(refuse("A weight file has a weight that the model has not", &format!("`{name}`"), &known));
    }
    let value = |(name, var): (&String, &Var)| {
        let found = found(entries, name, refuse)?;
        let (dtype, shape) = (dtype_name(var.dtype())?, var.shape().to_vec());
        if found.dtype != dtype || found.shape != shape {
            let received = format!("{} {:?} for `{name}`", found.dtype, found.shape);
            return Err(refuse("A weight in a file is of another kind", &received, &format!("{dtype} {shape:?}")));
        }
        read(found, var.dtype(), var.device())
    };
    names.iter().zip(weights).map(value).collect()
}
