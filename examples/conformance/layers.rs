//! The `layer` kind, and layers from their Keras configurations.

use serde_json::Value;
use wgtensor::nn::{
    ActivationLayer, Add, Average, AveragePooling2D, BatchNormalization, CallCtx, Concatenate, Conv2D, Dense, Dot,
    Dropout, Embedding, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, Input, IntoActivation, IntoLayer, Layer,
    LayerNormalization, LeakyReLU, Masking, MaxPooling2D, Maximum, Minimum, Model, Multiply, Node, Rescaling, Reshape,
    SharedLayer, Subtract,
};
use wgtensor::{Device, Tensor};

use super::call::{Call, Output, Replay, skip, strs, upload};
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
            let activation = &class.to_ascii_lowercase()[..];
            Box::new(ActivationLayer::shorthand(activation.into_activation()?))
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
            Box::new(Embedding::new(size("input_dim"), size("output_dim")).mask_zero(c.flag("mask_zero", false)))
        }
        "Add" => Box::new(Add::new()),
        "Subtract" => Box::new(Subtract::new()),
        "Multiply" => Box::new(Multiply::new()),
        "Average" => Box::new(Average::new()),
        "Maximum" => Box::new(Maximum::new()),
        "Minimum" => Box::new(Minimum::new()),
        "Concatenate" => Box::new(Concatenate::new().axis(c.get("axis").as_i64().unwrap_or(-1) as isize)),
        "Dot" => {
            let axes = c.get("axes");
            let of = |i: usize| axes.as_i64().or(axes[i].as_i64()).unwrap_or(1) as isize;
            Box::new(Dot::of_axes(of(0), of(1)).normalize(c.flag("normalize", false)))
        }
        "Masking" => Box::new(Masking::new().mask_value(c.float("mask_value").unwrap_or(0.0))),
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
