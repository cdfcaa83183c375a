//! What `compile` set as a configuration: Keras's `compile_config`, there and back.

use serde_json::Value as Json;

use super::Model;
use super::compile::Compile;
use super::outputs::{LossSpec, Losses, MetricLists, PerOutput};
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::Config;
use crate::nn::losses::{IntoLoss, Loss};
use crate::nn::metrics::{IntoMetric, Metric, MetricSpec};
use crate::nn::optimizers::{AnyOptimizer, IntoOptimizer};

impl Model {
    /// What `compile` set, as Keras's `get_compile_config` writes it; `None` where the model is not compiled.
    ///
    /// ```
    /// # use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
    /// model.compile(Adam::new(0.01), "mse", ["mae"])?;
    /// let config = model.compile_config()?.unwrap();
    /// assert_eq!(config["optimizer"]["config"]["learning_rate"], 0.01);
    /// # let mut again = Sequential::new().add(Input::new([4])).add(Dense::new(1));
    /// again.compile_from_config(&config)?;
    /// assert_eq!(again.compile_config()?.unwrap(), config);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A loss, metric or optimizer of your own that has no configuration.
    #[track_caller]
    pub fn compile_config(&self) -> Result<Option<Json>> {
        entry(|| {
            let Some(compiled) = &self.compiled else { return Ok(None) };
            let mut all = compiled.written.clone()?;
            all.insert("optimizer".into(), compiled.optimizer.config()?.to_json());
            all.insert("run_eagerly".into(), compiled.eager.into());
            Ok(Some(Json::Object(all)))
        })
    }

    /// Compiles as [`compile_config`](Self::compile_config), or Keras's `get_compile_config`, says. What concerns only Keras's
    /// engines (`jit_compile`, `steps_per_execution`) is passed over.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("adam", "mse", ["mae"])?;
    /// let written = model.compile_config()?.expect("compiled");
    /// let mut again = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// again.compile_from_config(&written)?;
    /// assert_eq!(again.learning_rate()?, 0.001);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A class, a name or a setting that is not known.
    #[track_caller]
    pub fn compile_from_config(&mut self, config: &Json) -> Result<()> {
        entry(|| {
            self.misfit.clone().map_or(Ok(()), Err)?;
            self.compile_with(read(config, &self.output_names())?)
        })
    }
}

/// How to compile a model whose outputs have these names.
fn read(json: &Json, names: &[String]) -> Result<Compile> {
    let optimizer = match &json["optimizer"] {
        Json::String(name) => name.as_str().into_optimizer()?,
        other => <dyn AnyOptimizer>::from_config(&Config::from_json(other)?)?,
    };
    let losses = each("loss", &json["loss"], names)?.into_iter().map(|(name, json)| Ok((name, loss_of(json)?)));
    let losses = Losses(PerOutput::Named(losses.collect::<Result<_>>()?));
    let metrics = |key: &str| {
        let list = |(name, json)| Ok((name, metrics_of(json)?));
        let lists = match &json[key] {
            // Of one output, a list of its metrics.
            Json::Array(all) if names.len() == 1 && !all.first().is_some_and(Json::is_array) => {
                vec![(names[0].clone(), &json[key])]
            }
            other => each(key, other, names)?,
        };
        Ok::<MetricLists, Error>(MetricLists::Named(lists.into_iter().map(list).collect::<Result<_>>()?))
    };
    let mut made = Compile::new(optimizer, losses)
        .metrics(metrics("metrics")?)
        .weighted_metrics(metrics("weighted_metrics")?)
        .run_eagerly(json["run_eagerly"] == Json::Bool(true));
    if !json["loss_weights"].is_null() {
        let number = |(name, json): (String, &Json)| {
            let number = json.as_f64().ok_or_else(|| malformed("loss_weights", json))?;
            Ok((name, number))
        };
        let weights = each("loss_weights", &json["loss_weights"], names)?.into_iter().map(number);
        made = made.loss_weights(weights.collect::<Result<Vec<_>>>()?);
    }
    Ok(made)
}

/// What a value of Keras's says for each output: one for all, a list, or an object by the names; null for nothing.
fn each<'a>(key: &str, json: &'a Json, names: &[String]) -> Result<Vec<(String, &'a Json)>> {
    let pairs: Vec<(String, &Json)> = match json {
        Json::Array(list) if list.len() == names.len() => names.iter().cloned().zip(list).collect(),
        Json::Array(list) if list.is_empty() => Vec::new(),
        Json::Array(_) => return Err(malformed(key, json)),
        Json::Object(map) if !map.contains_key("class_name") => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        one => names.iter().map(|name| (name.clone(), one)).collect(),
    };
    Ok(pairs.into_iter().filter(|(_, json)| !json.is_null()).collect())
}

fn malformed(key: &str, json: &Json) -> Error {
    let received: String = json.to_string().chars().take(120).collect();
    Error::parts(
        Kind::Argument,
        &format!("The `{key}` of a `compile_config` has another form"),
        &received,
        "one for all outputs, a list with one for each, or an object by their names",
        "Give what Keras's `get_compile_config` wrote",
    )
}

/// The name that stands for an object of Keras's: a text, or a function of Keras's.
fn name_of(json: &Json) -> Option<&str> {
    match json {
        Json::String(name) => Some(name),
        json if json["class_name"] == "function" => json["config"].as_str(),
        _ => None,
    }
}

fn loss_of(json: &Json) -> Result<LossSpec> {
    match name_of(json) {
        Some(name) => Ok(name.into_loss()?.map_or(LossSpec::Crossentropy, |loss| LossSpec::Loss(loss.into()))),
        None => Ok(LossSpec::Loss(<dyn Loss>::from_config(&Config::from_json(json)?)?.into())),
    }
}

/// The metrics of an output: one, or a list.
fn metrics_of(json: &Json) -> Result<Vec<MetricSpec>> {
    match json {
        Json::Array(list) => list.iter().filter(|json| !json.is_null()).map(metric_of).collect(),
        one => Ok(vec![metric_of(one)?]),
    }
}

fn metric_of(json: &Json) -> Result<MetricSpec> {
    if let Some(name) = name_of(json) {
        return name.into_metric();
    }
    let config = Config::from_json(json)?;
    Ok(MetricSpec::Metric(config.name().map(String::from), <dyn Metric>::from_config(&config)?))
}
