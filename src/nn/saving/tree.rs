//! The state of a model as Keras's files have it: a tree of groups, each with variables by number.
//!
//! Keras visits a model's layers, then its optimizer; what it finds stands under the path by which it was found:
//! `layers/dense/vars/0`, `layers/functional/layers/dense/vars/0`, `optimizer/vars/0`.

use super::h5::{Group, Groups};
use crate::error::{Error, Kind, Result};
use crate::nn::layers::WeightGroup;
use crate::nn::model::Model;
use crate::nn::names::snake_case;
use crate::nn::progress::warn;
use crate::{Tensor, Var};

/// Where the optimizer's state is.
const OPTIMIZER: &str = "optimizer";

/// All state of a model: its weights and, where it is compiled, its optimizer's.
pub(super) fn state(model: &Model) -> Result<Vec<Group>> {
    let of_layer = |WeightGroup { path, name, weights }| {
        let values = weights.iter().map(|var: &Var| var.value().detach()).collect();
        Group { path, name, values }
    };
    let mut groups: Vec<Group> = model.weight_groups().into_iter().map(of_layer).collect();
    let (mut next, mut path) = (model.optimizer(), OPTIMIZER.to_owned());
    let vars = model.trainable_weights();
    while let Some(optimizer) = next {
        let name = snake_case(optimizer.class_name());
        groups.push(Group { path: path.clone(), name, values: optimizer.get_weights(&vars)? });
        path += "/inner_optimizer";
        next = optimizer.inner();
    }
    Ok(groups)
}

/// Sets the state of a model from a file; nothing is set where the weights do not fit.
pub(super) fn set_state(model: &mut Model, file: &Groups) -> Result<()> {
    let mut values = Vec::new();
    for WeightGroup { path, name, weights } in model.weight_groups() {
        let found = file.count(&path);
        if found != weights.len() {
            let names: Vec<&str> = weights.iter().map(Var::name).collect();
            return Err(refuse(
                &format!(
                    "Layer '{name}' expected {} variables, but received {found} variables during loading",
                    weights.len()
                ),
                &format!("{found} variables under `{path}`"),
                &format!("{} variables: {}", weights.len(), names.join(", ")),
            ));
        }
        for (i, var) in weights.iter().enumerate() {
            let shape = file.shape(&path, i)?;
            if shape != var.shape().dims() {
                return Err(refuse(
                    &format!("A weight of layer '{name}' has another shape in the file"),
                    &format!("{shape:?} for `{}`", var.name()),
                    &format!("{:?}", var.shape().dims()),
                ));
            }
            values.push((var.clone(), file.value(&path, i, var.dtype(), var.device())?));
        }
    }
    let optimizer = optimizer_values(model, file)?;
    for (var, value) in values {
        var.assign(&value)?;
    }
    set_optimizer(model, optimizer)?;
    model.device().map_or(Ok(()), |device| device.flush())
}

/// The optimizer's variables in a file, where there is an optimizer.
fn optimizer_values(model: &Model, file: &Groups) -> Result<Vec<Tensor>> {
    let (Some(_), Some(device)) = (model.optimizer(), model.device()) else { return Ok(Vec::new()) };
    (0..file.count(OPTIMIZER)).map(|i| file.any(OPTIMIZER, i, &device)).collect()
}

/// Sets the optimizer's state; another number of variables than it has is passed over with Keras's warning.
fn set_optimizer(model: &mut Model, values: Vec<Tensor>) -> Result<()> {
    let vars = model.trainable_weights();
    let Some(optimizer) = model.optimizer_mut().filter(|_| !values.is_empty()) else { return Ok(()) };
    if let Err(why) = optimizer.set_weights(&vars, &values) {
        let class = optimizer.class_name();
        warn(&format!("Skipping variable loading for optimizer '{}': {why}", snake_case(class)));
    }
    Ok(())
}

fn refuse(happened: &str, received: &str, expected: &str) -> Error {
    Error::parts(
        Kind::Argument,
        happened,
        received,
        expected,
        "Load a file of a model with the same layers in the same order",
    )
}
