//! Models from the JSON of the cases, and the `model_summary` kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wgtensor::DType;
use wgtensor::nn::prelude::*;

use super::call::{Output, Replay, Stop, skip, strs};
use super::case::{Case, string, usizes};
use super::layers::layer;

/// The model of a case, without its weights.
pub(crate) fn model(json: &Value, name: &str) -> Replay<Model> {
    match json["type"].as_str() {
        Some("sequential") => sequential(json, name),
        Some("functional") => functional(json, name),
        other => skip(format!("models of type {other:?}")),
    }
}

fn input(config: &Value) -> Replay<Input> {
    if config["shape"].as_array().is_some_and(|dims| dims.iter().any(Value::is_null)) {
        return skip("inputs of an extent that is not known");
    }
    let input = Input::new(usizes(&config["shape"]));
    match config["dtype"].as_str() {
        None | Some("float32") => Ok(input),
        Some("int32") => Ok(input.dtype(DType::I32)),
        Some(other) => skip(format!("inputs of type {other}")),
    }
}

/// A layer's configuration, with its name as Keras's own has it.
fn named(entry: &Value) -> Value {
    let mut config = entry["config"].clone();
    config["name"] = entry["name"].clone();
    config
}

fn sequential(json: &Value, name: &str) -> Replay<Model> {
    let mut model = Sequential::named(name);
    if json["input"].is_object() {
        model.push(input(&json["input"])?);
    }
    for entry in json["layers"].as_array().into_iter().flatten() {
        model.push(layer(&string(&entry["class"]), &named(entry))?);
    }
    Ok(model.into())
}

fn functional(json: &Value, name: &str) -> Replay<Model> {
    let mut nodes: BTreeMap<&str, Node> = BTreeMap::new();
    let find = |nodes: &BTreeMap<&str, Node>, name: &str| match nodes.get(name) {
        Some(node) => Ok(node.clone()),
        None => Err(Stop::Fail(format!("a node uses `{name}`, which no earlier one gives"))),
    };
    for entry in json["nodes"].as_array().into_iter().flatten() {
        let (own, class) = (entry["name"].as_str().unwrap_or_default(), string(&entry["class"]));
        if let Some(key) = entry["call_kwargs"].as_object().and_then(|kwargs| kwargs.keys().next()) {
            return skip(format!("{class} called with argument {key}"));
        }
        let node = match class.as_str() {
            "InputLayer" => input(&entry["config"])?.name(own).try_node()?,
            _ => {
                let given = strs(&entry["inputs"]).into_iter().map(|name| find(&nodes, name));
                layer(&class, &named(entry))?.on(given.collect::<Replay<Vec<Node>>>()?)?
            }
        };
        nodes.insert(own, node);
    }
    let all = |key: &str| strs(&json[key]).into_iter().map(|name| find(&nodes, name)).collect::<Replay<Vec<Node>>>();
    Ok(Model::named(name, all("inputs")?, all("outputs")?)?)
}

/// Replays a `model_summary` case: the layers' output shapes and weights, and Keras's own text.
pub(crate) fn replay_summary(case: &Case) -> Replay<Vec<Output>> {
    let mut model = model(&case.json["model"], "model")?;
    let expected = &case.json["expected"];
    let mut wrong = Vec::new();
    let total = model.count_params()?;
    if Some(total as u64) != expected["total_params"].as_u64() {
        wrong.push(format!("{total} parameters, expected {}", expected["total_params"]));
    }
    let layers = expected["layers"].as_array().into_iter().flatten();
    let layers: Vec<&Value> = layers.filter(|want| want["class"] != "InputLayer").collect();
    if layers.len() != model.layers().count() {
        wrong.push(format!("{} layers, expected {}", model.layers().count(), layers.len()));
    }
    for (want, layer) in layers.iter().zip(model.layers().collect::<Vec<_>>()) {
        let shape = model.output_of(layer.name())?.shape();
        let params = layer.count_params();
        let full = &want["output_shape"].as_array().map(|dims| json!(dims[1..])).unwrap_or_default();
        if usizes(full) != shape.dims()
            || want["params"].as_u64() != Some(params as u64)
            || want["class"] != layer.class_name()
            || want["name"] != layer.name()
        {
            let (name, class) = (layer.name(), layer.class_name());
            wrong.push(format!("{name} ({class}) gives {shape} with {params} parameters, expected {want}"));
        }
    }
    let text = expected["text"].as_str().unwrap_or_default();
    // Keras's table is as wide as its console allows; the width is in the text.
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(80);
    let tidy = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let ours = model.summary_text(width);
    if let Some((got, want)) = tidy(&ours).iter().zip(&tidy(text)).find(|(a, b)| a != b) {
        wrong.push(format!("the table has `{got}` where Keras has `{want}`"));
    }
    if wrong.is_empty() { Ok(Vec::new()) } else { Err(Stop::Fail(wrong.join("; "))) }
}
