//! Configurations: what a layer, loss, metric, optimizer, schedule, initializer or activation is, as Keras writes it in
//! JSON, and the one reader of it.
//!
//! `declare!` writes all that follows from a list of settings; a [`Setting`] is a type that such a list may hold.

mod array;
mod declare;
mod setting;

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

pub use array::Array;
pub(crate) use declare::{Class, Declared, by_name, checked, classes, declare, declared, from_config, gathered, set};
pub use setting::{IntoSetting, Pair, Setting, Thresholds};
pub(crate) use setting::{any, choices, named, nonnegative, positive, share};

use crate::error::{Error, Kind, Result};

/// A class and its settings, in Keras's JSON form: `{"class_name": "Dense", "config": {"units": 3, ...}}`.
///
/// Every standard layer, loss, metric, optimizer, schedule and initializer gives its configuration, and is made again
/// from it. All settings are written; one that is left out has its default when it is read. A setting that the class
/// does not have is an error, unless it is null.
///
/// ```
/// use wgtensor::nn::config::Config;
/// use wgtensor::nn::losses::Loss;
/// use wgtensor::nn::prelude::*;
///
/// let huber = Huber::default().delta(0.5);
/// let json = huber.config()?.to_string();
/// let again = <dyn Loss>::from_config(&json.parse()?)?;
/// assert_eq!(again.config()?, huber.config()?);
/// let error = Huber::from_config(&Config::new("Huber").with("dleta", 0.5)).unwrap_err();
/// assert!(error.is_invalid_argument());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    module: Option<String>,
    class: String,
    settings: Map<String, Value>,
}

/// What holds an object of any class keeps these (its name, whether it is trained, its type), not the object.
const KEPT_BY_THE_HOLDER: [&str; 3] = ["name", "trainable", "dtype"];

impl Config {
    /// A class with all settings at their defaults.
    pub fn new(class: impl Into<String>) -> Self {
        Config { module: None, class: class.into(), settings: Map::new() }
    }

    /// A class of a module of Keras's, with all settings at their defaults.
    pub(crate) fn in_module(module: &str, class: &str) -> Self {
        Config { module: Some(module.into()), ..Config::new(class) }
    }

    /// The configuration of a declared object, whose class is in this module of Keras's.
    pub(crate) fn of(object: &impl Declared, module: &str) -> Result<Self> {
        object.check()?;
        let settings = object.settings()?;
        Ok(Config { module: Some(module.into()), class: object.class().into(), settings })
    }

    /// The same with this setting.
    ///
    /// ```
    /// use wgtensor::nn::config::Config;
    /// use wgtensor::nn::layers::Layer;
    ///
    /// let config = Config::new("Dense").with("units", 3).with("activation", "relu");
    /// let layer = <dyn Layer>::from_config(&config)?;
    /// assert_eq!(layer.config()?.get("units").unwrap(), 3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// Its class, such as `Dense`.
    pub fn class_name(&self) -> &str {
        &self.class
    }

    /// A setting, if it is there.
    ///
    /// ```
    /// use wgtensor::nn::config::Config;
    ///
    /// let config = Config::new("Dense").with("units", 3);
    /// assert_eq!((config.get("units").unwrap().as_u64(), config.get("bias")), (Some(3), None));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.settings.get(key)
    }

    /// The setting `name`: what the holder of the object (a model, say) calls it.
    pub fn name(&self) -> Option<&str> {
        self.get("name")?.as_str()
    }

    /// All settings, by key.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    /// As Keras's `serialize_keras_object` writes it.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"class_name": self.class, "config": self.settings});
        if let Some(module) = &self.module {
            json["module"] = module.as_str().into();
            json["registered_name"] = Value::Null;
        }
        json
    }

    /// From an object with `class_name` and `config`; what else Keras writes beside them is passed over.
    ///
    /// ```
    /// use wgtensor::nn::config::Config;
    ///
    /// let config: Config = r#"{"class_name": "Dense", "config": {"units": 3}}"#.parse()?;
    /// assert_eq!(Config::from_json(&config.to_json())?, config);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// JSON of another form.
    #[track_caller]
    pub fn from_json(json: &Value) -> Result<Self> {
        let class = json.get("class_name").and_then(Value::as_str);
        let settings = json.get("config").and_then(Value::as_object);
        let (Some(class), Some(settings)) = (class, settings) else {
            return Err(Error::parts(
                Kind::Argument,
                "A configuration has another form",
                &shown(json),
                "an object with `class_name` and `config`",
                "Give what `config()` or Keras's `serialize_keras_object` wrote",
            ));
        };
        let module = json.get("module").and_then(Value::as_str).map(String::from);
        Ok(Config { module, class: class.into(), settings: settings.clone() })
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

impl FromStr for Config {
    type Err = Error;

    #[track_caller]
    fn from_str(text: &str) -> Result<Self> {
        let json = serde_json::from_str(text).map_err(|why| {
            Error::parts(
                Kind::Argument,
                "A configuration is not JSON",
                &why.to_string(),
                "an object with `class_name` and `config`",
                "Give what `config()` wrote",
            )
        })?;
        Config::from_json(&json)
    }
}

/// JSON as an error shows it: whole where it is short.
fn shown(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Takes settings out of a configuration, and knows which were taken.
pub(crate) struct Reader<'a> {
    config: &'a Config,
    taken: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Reader { config, taken: Vec::new() }
    }

    /// A setting, if it is there.
    pub(crate) fn take<T: Setting>(
        &mut self,
        key: &'static str,
        check: fn(&T) -> Option<&'static str>,
    ) -> Result<Option<T>> {
        self.taken.push(key);
        let Some(json) = self.config.get(key) else { return Ok(None) };
        let class = &self.config.class;
        let value = T::from_json(json).map_err(|error| error.context(format!("`{key}` of `{class}`")))?;
        let value = value.ok_or_else(|| Error::setting(&format!("`{class}`"), key, shown(json), T::EXPECTED))?;
        checked(class, key, value, check).map(Some)
    }

    /// A setting without a default.
    pub(crate) fn require<T: Setting>(
        &mut self,
        key: &'static str,
        check: fn(&T) -> Option<&'static str>,
    ) -> Result<T> {
        self.take(key, check)?.ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                &format!("The configuration of a `{}` lacks a setting", self.config.class),
                &format!("no `{key}`"),
                T::EXPECTED,
                &format!("Add `{key}`"),
            )
        })
    }

    /// A setting of Keras's that has one value here.
    pub(crate) fn fixed(&mut self, key: &'static str, value: &Value) -> Result<()> {
        self.taken.push(key);
        match self.config.get(key) {
            // Keras writes one axis as a number or as a list.
            Some(given) if given != value && *given != json!([value]) && !given.is_null() => {
                Err(Error::setting(&format!("`{}`", self.config.class), key, shown(given), &value.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses whatever was not taken.
    pub(crate) fn finish(self) -> Result<()> {
        if let Some(dtype) = self.config.get("dtype") {
            single_precision(&self.config.class, dtype)?;
        }
        let known = |key: &str| self.taken.contains(&key) || KEPT_BY_THE_HOLDER.contains(&key);
        let Some((key, value)) = self.config.settings.iter().find(|(key, value)| !known(key) && !value.is_null())
        else {
            return Ok(());
        };
        let expected = match self.taken[..] {
            [] => "no settings".to_string(),
            _ => {
                format!("settings among {}", self.taken.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", "))
            }
        };
        Err(Error::parts(
            Kind::Argument,
            &format!("A `{}` has no setting `{key}`", self.config.class),
            &format!("{key}={}", shown(value)),
            &expected,
            "Correct its name, or leave it out",
        ))
    }
}

/// Refuses a `dtype` (a name, or Keras's policy object) other than single precision.
fn single_precision(class: &str, dtype: &Value) -> Result<()> {
    let name = dtype.as_str().or_else(|| dtype.pointer("/config/name").and_then(Value::as_str));
    match name {
        Some("float32") => Ok(()),
        None if dtype.is_null() => Ok(()),
        _ => Err(Error::setting(&format!("`{class}`"), "dtype", shown(dtype), "\"float32\"")),
    }
}

/// Keras's text for a string that names nothing, with the names that would.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<String> = known.filter(|n| !n.is_empty()).map(|n| format!("\"{n}\"")).collect();
    Error::parts(
        Kind::Argument,
        &format!("Could not interpret {what} identifier: {name}"),
        &format!("\"{name}\""),
        &format!("one of {}", known.join(", ")),
        "Correct the name, or pass an object instead of a string",
    )
}

/// The error of an object that cannot be written down, such as a closure.
pub(crate) fn unwritten(what: &str) -> Error {
    Error::parts(
        Kind::Unsupported,
        &format!("{what} has no configuration"),
        "an object of your own",
        "a standard one, or one that implements `config`",
        "Implement `config` for it, or use a standard object",
    )
}

#[cfg(test)]
mod tests;
