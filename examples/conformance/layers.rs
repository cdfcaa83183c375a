//! The `layer` kind, and layers from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::SharedLayer;
use wgtensor::nn::layers::{CallCtx, Layer};
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Tensor};

use super::call::{Call, Output, Replay, skip, strs, upload};
use super::case::{Case, string};
use super::config::{keras, made};

/// The layer of that class and configuration, its name included.
pub(crate) fn layer(class: &str, config: &Value) -> Replay<SharedLayer> {
    let config = keras(class, config)?;
    let layer = made(<dyn Layer>::from_config(&config))?;
    Ok(match config.name() {
        Some(name) => layer.name(name),
        None => layer.shared(),
    })
}

/// Replays a `layer` case.
pub(crate) fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let class = string(&json["layer"]);
    let layer = layer(&class, &json["config"])?;
    for key in ["call_kwargs", "list_kwargs"] {
        if let Some(given) = json[key].as_object().and_then(|map| map.keys().next()) {
            return skip(format!("{class} called with argument {given}"));
        }
    }
    let tracked = json["tensors"].as_object().is_some_and(|t| t.keys().any(|name| name.starts_with("loss_w")));
    let call = Call::new(case, device, tracked)?;
    let mask = match strs(&json["kwargs"])[..] {
        [] => None,
        ["mask"] => call.named("mask").cloned(),
        [other, ..] => return skip(format!("{class} called with argument {other}")),
    };
    let given: Vec<Tensor> = call.args().into_iter().cloned().collect();
    let nodes = given.iter().map(|x| Input::new(&x.dims()[1..]).try_node()).collect::<Result<Vec<Node>, _>>()?;
    let mut model = Model::new(&nodes, layer.on_all(&nodes)?)?;
    // The first call builds the weights; it is recorded and never computed.
    drop(model.call_all(&given, false)?);
    let weights = json["weights"].as_array().into_iter().flatten().map(|w| string(&w["tensor"])).collect::<Vec<_>>();
    let values = weights.iter().map(|name| upload(case.tensor(name).ok_or(format!("no `{name}`"))?, device));
    model.set_weights(&values.collect::<Replay<Vec<Tensor>>>()?)?;

    let ctx = if json["training"].as_bool() == Some(true) { CallCtx::training(0) } else { CallCtx::inference() };
    let outs = layer.with(|layer| layer.call_all(&given, &ctx.with_masks(vec![mask])))?;
    let name = |of: &str, i: usize| if outs.len() == 1 { of.to_string() } else { format!("{of}.{i}") };
    let mut done = Vec::new();
    let mut loss: Option<Tensor> = None;
    for (i, out) in outs.iter().enumerate() {
        done.push(Output::read(name("out", i), out)?);
        if let Some(weight) = case.tensor(&name("loss_w", i)) {
            let part = out.mul(&upload(weight, device)?)?.sum(())?;
            loss = Some(loss.map_or(Ok(part.clone()), |loss| loss.add(&part))?);
        }
    }
    if let Some(loss) = loss {
        let grads = loss.backward()?;
        for name in case.with_role(&["expected_grad"]) {
            let of = name.trim_start_matches("grad.");
            let grad = match weights.iter().position(|w| w == of) {
                Some(i) => grads.get(&model.weights()[i]).cloned(),
                None => call.named(of).and_then(|t| grads.wrt(t)).cloned(),
            };
            if let Some(grad) = grad {
                done.push(Output::read(name, &grad)?);
            }
        }
    }
    for (name, var) in weights.iter().zip(model.weights()) {
        done.push(Output::read(format!("after.{name}"), &var.value())?);
    }
    Ok(done)
}
