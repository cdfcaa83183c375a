//! Models as configurations: Keras's JSON of a model, there and back.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::entry::SharedLayer;
use super::graph::{Graph, Member, Value};
use super::node::{Input, IntoLayer, Node};
use super::{Model, Sequential};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::Config;
use crate::nn::layers::Layer;
use crate::nn::policy::{IntoPolicy, Policy};
use crate::shape::Shape;

impl Model {
    /// The layers, their settings and how they are connected, as Keras writes them: of class `Sequential` or `Functional`.
    /// Weights, and what `compile` set, are not part of it.
    ///
    /// ```
    /// # use wgtensor::nn::prelude::*;
    /// let x = Input::new([4]).name("x").node();
    /// let h = Dense::new(4).activation(Relu).name("h").on(&x)?;
    /// let model = Model::named("skip", &x, add([&x, &h])?)?;
    /// let again = Model::from_config(&model.config()?.to_string().parse()?)?;
    /// assert_eq!(again.config()?, model.config()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layer that has no configuration: one of your own that does not implement it.
    #[track_caller]
    pub fn config(&self) -> Result<Config> {
        entry(|| {
            self.misfit.clone().map_or(Ok(()), Err)?;
            let config = write(&self.graph, &self.name)?;
            if self.policy == Policy::Float32 {
                return Ok(config);
            }
            let mut json = config.to_json();
            each_layer(&mut json, &mut |layer| {
                let policy = Config::in_module("keras", "DTypePolicy").with("name", self.policy.name());
                layer["config"]["dtype"] = policy.to_json();
            });
            Config::from_json(&json)
        })
    }

    /// The model of a configuration, with weights that are yet to be made.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let mut again = Model::from_config(&model.config()?)?; // the architecture, without weights
    /// assert_eq!(again.count_params()?, model.count_params()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A class or a setting that is not known, or layers that are connected to what is not there.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Model> {
        entry(|| Classes::default().model(config))
    }
}

/// Makes a layer of its configuration.
type Make = Box<dyn Fn(&Config) -> Result<Box<dyn Layer>>>;

/// Classes of layers: the standard ones, and those of a program.
#[derive(Default)]
pub(in crate::nn) struct Classes {
    own: Vec<(String, Make)>,
}

impl Classes {
    /// One more class.
    #[cfg_attr(not(feature = "keras"), expect(dead_code, reason = "files of models need it"))]
    pub(in crate::nn) fn add(&mut self, class: String, make: Make) {
        self.own.push((class, make));
    }

    /// The model of a configuration, with weights that are yet to be made.
    pub(in crate::nn) fn model(&self, config: &Config) -> Result<Model> {
        let (mut json, mut policies) = (config.to_json(), Vec::new());
        each_layer(&mut json, &mut |layer| {
            let dtype = layer["config"].get("dtype").unwrap_or(&Json::Null);
            let name = dtype.as_str().or_else(|| dtype.pointer("/config/name").and_then(Json::as_str));
            let policy = name.and_then(|name| name.into_policy().ok()).unwrap_or_default();
            policies.push(policy);
            if policy != Policy::Float32 {
                layer["config"]["dtype"] = Json::Null;
            }
        });
        let policy = policies.first().copied().unwrap_or_default();
        if policies.iter().any(|other| *other != policy) {
            return Err(Error::parts(
                Kind::Unsupported,
                "The layers of a configuration have several dtype policies",
                "layers of `float32` beside such of a mixed policy",
                "one policy for all layers",
                "Give all layers of the model one policy before it is saved",
            ));
        }
        let mut model = read(&Config::from_json(&json)?, self)?;
        if policy != Policy::Float32 {
            model.set_dtype_policy(policy)?;
        }
        Ok(model)
    }

    fn layer(&self, config: &Config) -> Result<Box<dyn Layer>> {
        match self.own.iter().find(|(class, _)| class == config.class_name()) {
            Some((_, make)) => make(config),
            None => <dyn Layer>::from_config(config),
        }
    }
}

/// Shows each layer in the JSON of a model, those of its models too.
fn each_layer(model: &mut Json, see: &mut dyn FnMut(&mut Json)) {
    for layer in model["config"]["layers"].as_array_mut().into_iter().flatten() {
        match &layer["config"]["layers"] {
            Json::Array(_) => each_layer(layer, see),
            _ if layer["class_name"] == "InputLayer" || !layer["config"].is_object() => {}
            _ => see(layer),
        }
    }
}

/// Keras's form of a sample's shape: the batch is null.
fn shape_json(shape: &Shape) -> Json {
    std::iter::once(Json::Null).chain(shape.iter().map(|&n| json!(n))).collect()
}

fn shape_of(json: &Json) -> Result<Shape> {
    let dims = json.as_array().and_then(|dims| dims.get(1..)).unwrap_or_default();
    let known: Option<Vec<usize>> = dims.iter().map(|n| n.as_u64().map(|n| n as usize)).collect();
    match known {
        Some(known) => Shape::new(&known),
        None => Err(Error::parts(
            Kind::Unsupported,
            "The configuration of a model has an input of an extent that is not known",
            &json.to_string(),
            "numbers for all extents but that of the batch",
            "Write the extents into the configuration",
        )),
    }
}

/// Keras's names of the types of inputs; the first, the default, leaves data as it is.
const DTYPES: [(DType, &str); 9] = [
    (DType::F32, "float32"),
    (DType::F64, "float64"),
    (DType::F16, "float16"),
    (DType::BF16, "bfloat16"),
    (DType::I32, "int32"),
    (DType::U32, "uint32"),
    (DType::U8, "uint8"),
    (DType::I8, "int8"),
    (DType::Bool, "bool"),
];

fn input_json(graph: &Graph, index: usize) -> Json {
    let source = &graph.inputs[index];
    let found = DTYPES.iter().find(|(dtype, _)| Some(*dtype) == source.dtype);
    let dtype = found.map_or(DTYPES[0].1, |(_, name)| name);
    let shape = source.shape.as_ref().map(shape_json);
    let config = json!({"batch_shape": shape, "dtype": dtype, "sparse": false, "ragged": false, "name": source.name});
    json!({"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": null})
}

fn input_of(config: &Config) -> Result<Input> {
    let shape = config.get("batch_shape").map(shape_of).transpose()?.ok_or_else(|| malformed("no `batch_shape`"))?;
    let mut input = Input::new(shape.dims());
    let wanted = config.get("dtype").and_then(Json::as_str).unwrap_or(DTYPES[0].1);
    match DTYPES.iter().position(|(_, name)| *name == wanted) {
        Some(0) => {}
        Some(i) => input = input.dtype(DTYPES[i].0),
        None => return Err(malformed(&format!("an input of dtype {wanted}"))),
    }
    if let Some(name) = config.name() {
        input = input.name(name);
    }
    Ok(input)
}

/// A layer with what its model knows of it.
fn layer_json(layer: &SharedLayer) -> Result<Json> {
    let mut json = layer.with(|inner| inner.config())?.with("name", layer.name()).to_json();
    // Keras's class takes no such argument.
    if layer.class_name() != "Discretization" {
        json["config"]["trainable"] = layer.is_trainable().into();
    }
    Ok(json)
}

fn layer_of(json: &Json, classes: &Classes) -> Result<SharedLayer> {
    let config = Config::from_json(json)?;
    let layer = match config.class_name() {
        "Functional" | "Sequential" | "Model" => read(&config, classes)?.shared(),
        _ => {
            let layer = classes.layer(&config)?;
            layer.into_shared(config.name().map(String::from))
        }
    };
    if config.get("trainable") == Some(&Json::Bool(false)) {
        layer.set_trainable(false);
    }
    Ok(layer)
}

/// A graph as the configuration of a model of this name.
pub(super) fn write(graph: &Graph, name: &str) -> Result<Config> {
    let layer = |i: usize| SharedLayer(graph.entries[i].clone());
    // (Keras exports the one class, not the other.)
    let module = if graph.class == "Sequential" { "keras" } else { "keras.src.models.functional" };
    let config = Config::in_module(module, graph.class).with("name", name).with("trainable", true);
    if graph.class == "Sequential" {
        let input = graph.inputs[0].shape.is_some().then(|| input_json(graph, 0));
        let layers = (0..graph.entries.len()).map(|i| layer_json(&layer(i)));
        let layers = input.into_iter().map(Ok).chain(layers).collect::<Result<Vec<Json>>>()?;
        return Ok(config.with("layers", layers));
    }
    // Calls are numbered within the model.
    let mut numbers = Vec::new();
    for (i, call) in graph.calls.iter().enumerate() {
        numbers.push(graph.calls[..i].iter().filter(|other| other.entry == call.entry).count());
    }
    let place = |value: Value| match value {
        Value::Input(i) => json!([graph.inputs[i].name, 0, 0]),
        Value::Output(call, k) => json!([graph.entries[graph.calls[call].entry].name, numbers[call], k]),
    };
    let tensor = |&value: &Value| {
        let shape = graph.shape(value).as_ref().map(shape_json);
        let config = json!({"shape": shape, "dtype": "float32", "keras_history": place(value)});
        json!({"class_name": "__keras_tensor__", "config": config})
    };
    let mut layers = Vec::new();
    for &member in &graph.order {
        let (mut json, name, nodes) = match member {
            Member::Input(i) => (input_json(graph, i), graph.inputs[i].name.clone(), Vec::new()),
            Member::Layer(i) => {
                let calls = graph.calls.iter().filter(|call| call.entry == i);
                let node = calls.map(|call| {
                    let tensors: Vec<Json> = call.inputs.iter().map(tensor).collect();
                    let args = if let [one] = &tensors[..] { json!([one]) } else { json!([tensors]) };
                    json!({"args": args, "kwargs": {}})
                });
                let nodes = node.collect();
                (layer_json(&layer(i))?, graph.entries[i].name.clone(), nodes)
            }
        };
        (json["name"], json["inbound_nodes"]) = (name.into(), Json::Array(nodes));
        layers.push(json);
    }
    let inputs: Vec<Json> = (0..graph.inputs.len()).map(|i| place(Value::Input(i))).collect();
    let outputs: Vec<Json> = graph.outputs.iter().map(|&value| place(value)).collect();
    Ok(config.with("layers", layers).with("input_layers", inputs).with("output_layers", outputs))
}

fn list<'a>(config: &'a Config, key: &str) -> Result<&'a Vec<Json>> {
    config.get(key).and_then(Json::as_array).ok_or_else(|| malformed(&format!("no list `{key}`")))
}

fn malformed(received: &str) -> Error {
    Error::parts(
        Kind::Argument,
        "The configuration of a model has another form",
        received,
        "what `config()` or Keras's `get_config` wrote",
        "Correct it",
    )
}

/// The model of a configuration.
fn read(config: &Config, classes: &Classes) -> Result<Model> {
    let name = config.name().map(String::from);
    if config.class_name() != "Sequential" {
        return functional(config, name, classes);
    }
    let mut model = name.map_or_else(Sequential::new, Sequential::named);
    for json in list(config, "layers")? {
        let layer = Config::from_json(json)?;
        match layer.class_name() {
            "InputLayer" => model.push(input_of(&layer)?),
            _ => model.push(layer_of(json, classes)?),
        };
    }
    let model = Model::from(model);
    model.misfit.clone().map_or(Ok(model), Err)
}

/// Where a tensor comes from: a layer's name, which of its calls, which output of that.
type Place = (String, usize, usize);

fn place_of(json: &Json) -> Result<Place> {
    let number = |i: usize| json[i].as_u64().map(|n| n as usize);
    match (json[0].as_str(), number(1), number(2)) {
        (Some(name), Some(call), Some(output)) => Ok((name.into(), call, output)),
        _ => Err(malformed(&format!("{json} as the place of a tensor"))),
    }
}

/// The places of all tensors among the arguments of a call.
fn tensors(json: &Json, found: &mut Vec<Place>) -> Result<()> {
    match json {
        Json::Object(map) if map.get("class_name").is_some_and(|class| class == "__keras_tensor__") => {
            found.push(place_of(&json["config"]["keras_history"])?);
            Ok(())
        }
        Json::Array(items) => items.iter().try_for_each(|item| tensors(item, found)),
        Json::Object(map) => map.values().try_for_each(|item| tensors(item, found)),
        _ => Ok(()),
    }
}

fn functional(config: &Config, name: Option<String>, classes: &Classes) -> Result<Model> {
    let mut nodes: HashMap<(String, usize), Vec<Node>> = HashMap::new();
    // Calls that wait for their inputs: the layer, which of its calls, and the places of the inputs.
    let mut waiting: Vec<(SharedLayer, usize, Vec<Place>)> = Vec::new();
    for json in list(config, "layers")? {
        let layer = Config::from_json(json)?;
        if layer.class_name() == "InputLayer" {
            let node = input_of(&layer)?.try_node()?;
            nodes.insert((node.name().to_owned(), 0), vec![node]);
            continue;
        }
        let shared = layer_of(json, classes)?;
        for (number, call) in json["inbound_nodes"].as_array().into_iter().flatten().enumerate() {
            let mut places = Vec::new();
            tensors(&call["args"], &mut places)?;
            tensors(&call["kwargs"], &mut places)?;
            waiting.push((shared.clone(), number, places));
        }
    }
    let find = |nodes: &HashMap<(String, usize), Vec<Node>>, (name, call, output): &Place| {
        nodes.get(&(name.clone(), *call)).and_then(|outputs| outputs.get(*output)).cloned()
    };
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut left = Vec::new();
        for (layer, number, places) in waiting {
            match places.iter().map(|place| find(&nodes, place)).collect::<Option<Vec<Node>>>() {
                Some(inputs) => {
                    let name = layer.name().to_owned();
                    nodes.insert((name, number), layer.on_all(inputs)?);
                }
                None => left.push((layer, number, places)),
            }
        }
        waiting = left;
        if waiting.len() == before {
            return Err(malformed(&format!("a layer '{}' called on tensors that no layer gives", waiting[0].0.name())));
        }
    }
    let ends = |key: &str| {
        let all = list(config, key)?;
        // One tensor stands alone in Keras's form.
        let places = if all.first().is_some_and(Json::is_string) {
            vec![place_of(&Json::Array(all.clone()))?]
        } else {
            all.iter().map(place_of).collect::<Result<Vec<Place>>>()?
        };
        let node = |place: &Place| find(&nodes, place).ok_or_else(|| malformed(&format!("no tensor {place:?}")));
        places.iter().map(node).collect::<Result<Vec<Node>>>()
    };
    let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
    match name {
        Some(name) => Model::named(name, inputs, outputs),
        None => Model::new(inputs, outputs),
    }
}
