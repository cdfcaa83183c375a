//! The `layer` kind, and layers from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::{
    ActivationLayer, AveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Embedding, Flatten,
    GlobalAveragePooling2D, GlobalMaxPooling2D, IntoLayer, Layer, LayerNormalization, LeakyReLU, MaxPooling2D,
    Rescaling, Reshape, Sequential, SharedLayer,
};
use wgtensor::{Device, Tensor};

use super::call::{Call, Output, Replay, skip, upload};
use super::case::{Case, string};
use super::config::Config;

/// The layer of that class and configuration, its name included.
pub(crate) fn layer(class: &str, config: &Value) -> Replay<SharedLayer> {
    let c = Config::new(class, config);
    let activation = || c.text("activation", "linear");
    let padding = || c.text("padding", "valid");
    macro_rules! pool {
        ($layer:ident) => {{
            let size = c.pair("pool_size", (2, 2));
            Box::new($layer::new(size).strides(c.pair("strides", size)).padding(&padding()[..]))
        }};
    }
    let layer: Box<dyn Layer> = match class {
        "Dense" => {
            let units = c.count("units").unwrap_or(1) as usize;
            let dense = Dense::new(units).activation(&activation()[..]).use_bias(c.flag("use_bias", true));
            Box::new(dense)
        }
        "Conv2D" => {
            let filters = c.count("filters").unwrap_or(1) as usize;
            let conv = Conv2D::new(filters, c.pair("kernel_size", (1, 1)))
                .strides(c.pair("strides", (1, 1)))
                .padding(&padding()[..])
                .dilation_rate(c.pair("dilation_rate", (1, 1)))
                .groups(c.count("groups").unwrap_or(1) as usize)
                .activation(&activation()[..])
                .use_bias(c.flag("use_bias", true));
            Box::new(conv)
        }
        "MaxPooling2D" => pool!(MaxPooling2D),
        "AveragePooling2D" => pool!(AveragePooling2D),
        "GlobalAveragePooling2D" => Box::new(GlobalAveragePooling2D::new().keepdims(c.flag("keepdims", false))),
        "GlobalMaxPooling2D" => Box::new(GlobalMaxPooling2D::new().keepdims(c.flag("keepdims", false))),
        "Flatten" => Box::new(Flatten::new()),
        "Reshape" => {
            let target = c.get("target_shape").as_array().into_iter().flatten().filter_map(Value::as_i64);
            Box::new(Reshape::new(target.map(|n| n as isize).collect::<Vec<_>>()))
        }
        "Dropout" => Box::new(Dropout::new(c.float("rate").unwrap_or(0.0))),
        "Activation" => Box::new(ActivationLayer::new(&activation()[..])),
        "Softmax" | "ELU" if c.get("alpha").as_f64().is_none_or(|a| a == 1.0) => {
            Box::new(ActivationLayer::new(&class.to_ascii_lowercase()[..]))
        }
        "LeakyReLU" => Box::new(LeakyReLU::new().negative_slope(c.float("negative_slope").unwrap_or(0.3))),
        "BatchNormalization" => {
            let norm = BatchNormalization::new()
                .momentum(c.float("momentum").unwrap_or(0.99))
                .epsilon(c.float("epsilon").unwrap_or(1e-3))
                .center(c.flag("center", true))
                .scale(c.flag("scale", true));
            Box::new(norm)
        }
        "LayerNormalization" => {
            let norm = LayerNormalization::new()
                .epsilon(c.float("epsilon").unwrap_or(1e-3))
                .center(c.flag("center", true))
                .scale(c.flag("scale", true));
            Box::new(norm)
        }
        "Embedding" => {
            let size = |key| c.count(key).unwrap_or(1) as usize;
            Box::new(Embedding::new(size("input_dim"), size("output_dim")))
        }
        "Rescaling" => {
            Box::new(Rescaling::new(c.float("scale").unwrap_or(1.0)).offset(c.float("offset").unwrap_or(0.0)))
        }
        _ => return c.unknown("layer"),
    };
    let layer = match c.get("name").as_str() {
        Some(name) => layer.name(name),
        None => layer.shared(),
    };
    c.finish()?;
    Ok(layer)
}

/// Replays a `layer` case.
pub(crate) fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let json = &case.json;
    let class = string(&json["layer"]);
    let layer = layer(&class, &json["config"])?;
    for (key, name) in [("kwargs", "argument"), ("call_kwargs", "argument"), ("list_kwargs", "argument")] {
        let given = match &json[key] {
            Value::Array(list) => list.first().map(Value::to_string),
            Value::Object(map) => map.keys().next().cloned(),
            _ => None,
        };
        if let Some(given) = given {
            return skip(format!("{class} called with {name} {given}"));
        }
    }
    let tracked = json["tensors"].as_object().is_some_and(|t| t.contains_key("loss_w"));
    let call = Call::new(case, device, tracked)?;
    let [x] = call.args()[..] else { return skip(format!("{class} of several inputs")) };
    let mut model = Sequential::new().add(layer);
    // The first call builds the weights; it is recorded and never computed.
    drop(model.call(x, false)?);
    let weights = json["weights"].as_array().into_iter().flatten().map(|w| string(&w["tensor"])).collect::<Vec<_>>();
    let values = weights.iter().map(|name| upload(case.tensor(name).ok_or(format!("no `{name}`"))?, device));
    model.set_weights(&values.collect::<Replay<Vec<Tensor>>>()?)?;

    let out = model.call(x, json["training"].as_bool() == Some(true))?;
    let mut done = vec![Output::read("out", &out)?];
    if let Some(weight) = case.tensor("loss_w") {
        let grads = out.mul(&upload(weight, device)?)?.sum(())?.backward()?;
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
