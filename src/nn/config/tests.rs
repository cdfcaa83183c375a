use serde_json::{Value, json};

use super::*;
use crate::nn::initializers::Initializer;
use crate::nn::layers::{BatchNormalization, Conv2D, Dense, Dot, Layer, MaxPooling2D, Reshape};
use crate::nn::losses::{Huber, Loss, MeanSquaredError};
use crate::nn::metrics::{MeanMetricWrapper, Metric, Precision};
use crate::nn::optimizers::{Adam, AnyOptimizer};
use crate::nn::schedules::{CosineDecay, Schedule};

/// Everything that stands in a configuration comes back.
fn comes_back<T: ?Sized>(
    object: &T,
    config: fn(&T) -> Result<Config>,
    make: fn(&Config) -> Result<Box<T>>,
    json: Value,
) {
    let written = config(object).unwrap();
    let text = written.to_string();
    let read: Config = text.parse().unwrap();
    assert_eq!(read, written);
    for (key, value) in json.as_object().unwrap() {
        assert_eq!(written.get(key), Some(value), "{text}");
    }
    assert_eq!(config(&make(&read).unwrap()).unwrap(), written);
}

#[test]
fn objects_come_back_from_their_configurations() {
    comes_back::<dyn Loss>(
        &Huber::default().delta(0.3),
        |l| l.config(),
        <dyn Loss>::from_config,
        json!({"delta": 0.3}),
    );
    comes_back::<dyn Metric>(
        &Precision::default().thresholds([0.1, 0.7]),
        |m| m.config(),
        <dyn Metric>::from_config,
        json!({"thresholds": [0.1, 0.7], "top_k": null}),
    );
    comes_back::<dyn Metric>(
        &MeanMetricWrapper::of(MeanSquaredError::default()),
        |m| m.config(),
        <dyn Metric>::from_config,
        json!({}),
    );
    comes_back::<dyn Schedule>(
        &CosineDecay::new(0.1, 20).warmup_target(0.3).warmup_steps(5),
        |s| s.config(),
        <dyn Schedule>::from_config,
        json!({"initial_learning_rate": 0.1, "decay_steps": 20, "warmup_target": 0.3}),
    );
    comes_back::<dyn AnyOptimizer>(
        &Adam::new(CosineDecay::new(0.1, 20)).beta_1(0.8).clipnorm(1.5),
        |o| o.config(),
        <dyn AnyOptimizer>::from_config,
        json!({"beta_1": 0.8, "beta_2": 0.999, "clipnorm": 1.5, "clipvalue": null, "use_ema": false}),
    );
}

#[test]
fn layers_come_back_from_their_configurations() {
    let back = |layer: &dyn Layer, json: Value| {
        comes_back::<dyn Layer>(layer, |l| l.config(), <dyn Layer>::from_config, json);
    };
    let ones = Initializer::Ones.config().to_json();
    back(
        &Dense::new(3).activation("relu").kernel_initializer("ones").bias_initializer(Initializer::Constant(0.1)),
        json!({"units": 3, "activation": "relu", "use_bias": true, "kernel_initializer": ones}),
    );
    back(
        &Conv2D::new(8, (3, 5)).strides(2).padding("same").kernel_initializer("he_normal"),
        json!({"filters": 8, "kernel_size": [3, 5], "strides": [2, 2], "padding": "same", "groups": 1,
            "dilation_rate": [1, 1], "data_format": "channels_last"}),
    );
    let explicit = crate::Padding::Explicit { top: 1, bottom: 2, left: 0, right: 3 };
    back(&MaxPooling2D::new(3).padding(explicit), json!({"pool_size": [3, 3], "strides": null}));
    back(&MaxPooling2D::default().strides(1), json!({"pool_size": [2, 2], "strides": [1, 1]}));
    back(&BatchNormalization::new().momentum(0.9), json!({"momentum": 0.9, "axis": -1, "synchronized": false}));
    back(&Reshape::new([3, -1]), json!({"target_shape": [3, -1]}));
    back(&Dot::new((1, 2)), json!({"axes": [1, 2], "normalize": false}));
    back(
        &*crate::nn::layers::layer_of(crate::nn::activations::Relu),
        json!({"max_value": null, "negative_slope": 0.0}),
    );
    // A pool's size may be left out, as in Keras; a layer's units may not.
    assert!(MaxPooling2D::from_config(&Config::new("MaxPooling2D")).is_ok());
    assert!(Dense::from_config(&Config::new("Dense")).err().unwrap().to_string().contains("no `units`"));
    let refused = |config: Config, words: &str| {
        let error = <dyn Layer>::from_config(&config).err().unwrap();
        assert!(error.is_invalid_argument() && error.to_string().contains(words), "{error}");
    };
    refused(Config::new("Dense").with("units", 0), "units=0");
    refused(Config::new("Dense").with("units", 2).with("activation", "rellu"), "`activation` of `Dense`");
    refused(Config::new("BatchNormalization").with("axis", 1), "axis=1");
    let nested = json!({"class_name": "Constant", "config": {"valeu": 1.0}});
    refused(Config::new("Dense").with("units", 2).with("bias_initializer", nested), "has no setting `valeu`");
    let both = Config::new("Conv2D").with("filters", 2).with("kernel_size", 3).with("strides", 2);
    refused(both.with("dilation_rate", 2), "`strides > 1` not supported");
}

#[test]
fn the_json_is_keras_s() {
    let json = Huber::default().config().unwrap().to_json();
    let keras = json!({
        "module": "keras.losses",
        "class_name": "Huber",
        "config": {"delta": 1.0, "reduction": "sum_over_batch_size"},
        "registered_name": null,
    });
    assert_eq!(json, keras);
    // As Keras 3 wrote it.
    let adam = json!({"module": "keras.optimizers", "class_name": "Adam", "config": {
        "name": "adam", "learning_rate": 0.0010000000474974513, "weight_decay": null, "clipnorm": null,
        "global_clipnorm": null, "clipvalue": null, "use_ema": false, "ema_momentum": 0.99,
        "ema_overwrite_frequency": null, "loss_scale_factor": null, "gradient_accumulation_steps": null,
        "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": false
    }, "registered_name": null});
    let adam = <dyn AnyOptimizer>::from_config(&Config::from_json(&adam).unwrap()).unwrap();
    assert_eq!(adam.current_rate(), 0.0010000000474974513);
}

#[test]
fn errors_name_class_key_received_and_expected() {
    let refused = |config: Config, words: &[&str]| {
        let error = <dyn Loss>::from_config(&config).err().unwrap();
        assert!(error.is_invalid_argument(), "{error}");
        assert!(error.location().is_some_and(|at| at.file().ends_with("config/tests.rs")), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "`{word}` is not in: {error}");
        }
    };
    refused(Config::new("Huber").with("delta", "x"), &["`Huber`", "delta=\"x\"", "a number"]);
    refused(Config::new("Huber").with("delta", -1.0), &["`Huber`", "delta=-1.0", "a positive number"]);
    refused(Config::new("Huber").with("dleta", 1.0), &["`Huber` has no setting `dleta`", "`delta`, `reduction`"]);
    refused(Config::new("Huber").with("dtype", "float16"), &["`Huber`", "dtype=\"float16\"", "float32"]);
    refused(Config::new("Huber").with("reduction", "som"), &["`reduction` of `Huber`", "som", "sum_over_batch_size"]);
    refused(Config::new("Hubert"), &["loss identifier: Hubert", "\"Huber\""]);
    let lacking = CosineDecay::from_config(&Config::new("CosineDecay").with("decay_steps", 5)).unwrap_err();
    assert!(lacking.to_string().contains("no `initial_learning_rate`"), "{lacking}");
    for text in ["{", "[]", "{\"class_name\": 3, \"config\": {}}", "{\"class_name\": \"Huber\"}"] {
        assert!(text.parse::<Config>().unwrap_err().is_invalid_argument());
    }
    // What Keras writes beside the settings, and settings that are not set.
    let given = Config::new("Huber").with("name", "h").with("dtype", "float32").with("fn", Value::Null);
    assert!(Huber::from_config(&given).is_ok());
}

#[test]
fn a_value_that_makes_no_sense_is_reported_with_the_line_it_was_given_on() {
    let line = line!() + 1;
    let huber = Huber::default().delta(0.0);
    let error = Loss::check(&huber).unwrap_err();
    assert_eq!(error.location().map(|at| at.line()), Some(line), "{error}");
    assert!(huber.config().is_err());
}

#[test]
fn what_is_of_the_users_own_has_no_configuration() {
    let adam = Adam::new(|step: u64| 0.1 / (step + 1) as f64);
    assert!(adam.config().unwrap_err().is_unsupported());
}
