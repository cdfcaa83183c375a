//! Keras configurations: those that the crate reads, and those of callbacks, which are read key by key (one that nobody
//! asked for skips the case).

use std::cell::RefCell;

use serde_json::{Map, Value, json};
use wgtensor::nn;

use super::call::{Replay, Stop, skip};
use super::case::string;

/// The crate's configuration of a class. The cases say `class` where Keras says `class_name`.
pub(crate) fn keras(class: &str, config: &Value) -> Replay<nn::config::Config> {
    Ok(nn::config::Config::from_json(&json!({"class_name": class, "config": class_names(config)}))?)
}

/// The crate's configuration of a `{"class", "config"}` object.
pub(crate) fn keras_object(object: &Value) -> Replay<nn::config::Config> {
    keras(object["class"].as_str().unwrap_or_default(), &object["config"])
}

fn class_names(json: &Value) -> Value {
    match json {
        Value::Object(map) if map.len() == 2 && map.contains_key("class") && map.contains_key("config") => {
            json!({"class_name": map["class"], "config": class_names(&map["config"])})
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), class_names(value))).collect(),
        Value::Array(list) => list.iter().map(class_names).collect(),
        other => other.clone(),
    }
}

/// What the crate made of a configuration; a class or a setting that it refuses skips the case.
pub(crate) fn made<T>(made: wgtensor::Result<T>) -> Replay<T> {
    made.or_else(|error| skip(error.to_string().split(". Expected").next().unwrap_or_default()))
}

/// The `config` of a callback.
pub(crate) struct Config<'a> {
    class: String,
    map: Option<&'a Map<String, Value>>,
    read: RefCell<Vec<String>>,
}

impl<'a> Config<'a> {
    /// The configuration of a `class`.
    pub(crate) fn new(class: &str, config: &'a Value) -> Self {
        Config { class: class.into(), map: config.as_object(), read: RefCell::default() }
    }

    /// The class it belongs to.
    pub(crate) fn class(&self) -> &str {
        &self.class
    }

    /// The value of a key, null where there is none.
    pub(crate) fn get(&self, key: &str) -> &'a Value {
        self.read.borrow_mut().push(key.into());
        self.map.and_then(|m| m.get(key)).unwrap_or(&Value::Null)
    }

    /// A number.
    pub(crate) fn float(&self, key: &str) -> Option<f64> {
        self.get(key).as_f64()
    }

    /// A count.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        self.get(key).as_u64()
    }

    /// A truth value.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).as_bool().unwrap_or(default)
    }

    /// A text.
    pub(crate) fn text(&self, key: &str, default: &str) -> String {
        self.get(key).as_str().unwrap_or(default).into()
    }

    /// Ends the reading: a key left over must be null.
    pub(crate) fn finish(&self) -> Replay<()> {
        let read = self.read.borrow();
        let left = self.map.into_iter().flatten().find(|(key, value)| !read.contains(key) && !value.is_null());
        match left {
            Some((key, value)) => skip(format!("{} with `{key}` = {value}", self.class)),
            None => Ok(()),
        }
    }

    /// The stop for a class that the crate does not have.
    pub(crate) fn unknown<T>(&self, what: &str) -> Replay<T> {
        Err(Stop::Skip(format!("{what} `{}`", self.class)))
    }
}

/// The name in a string, or of the class in an object.
pub(crate) fn class_of(json: &Value) -> String {
    if json.is_string() { string(json) } else { string(&json["class"]) }
}
