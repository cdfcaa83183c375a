//! The `model_summary` kind, and sequential models from their descriptions.

use serde_json::Value;
use wgtensor::nn::{Input, Sequential};

use super::super::call::{Output, Replay, Stop, skip};
use super::super::case::{Case, usizes};
use super::build;

/// The model of a case; `weights_from` may be told to use the full configurations.
pub fn model(json: &Value) -> Replay<Sequential> {
    if json["type"].as_str() != Some("sequential") {
        return skip("functional models");
    }
    let mut model = Sequential::named("model").add(Input::new(usizes(&json["input"]["shape"])));
    for layer in json["layers"].as_array().into_iter().flatten() {
        let text = |key: &str| layer[key].as_str().unwrap_or_default();
        // What the user wrote decides what is supported, the full configuration decides the values.
        let user = layer["config"].as_object().cloned().unwrap_or_default();
        let mut config = layer["full_config"].as_object().cloned().unwrap_or_default();
        config.extend(user);
        model = model.add(build::layer(text("class"), &Value::Object(config), text("name"))?);
    }
    Ok(model)
}

/// Passes where the text is Keras's.
pub fn replay(case: &Case) -> Replay<Vec<Output>> {
    let mut model = model(&case.json["model"])?;
    let (got, expected) = (model.summary_text(80), case.json["expected"]["text"].as_str().unwrap_or_default());
    if got == expected {
        Ok(Vec::new())
    } else {
        Err(Stop::Fail(format!("the summary is\n{got}instead of\n{expected}")))
    }
}
