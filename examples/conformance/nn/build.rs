//! Objects of the training API from their Keras configurations. A setting that the crate lacks skips the case.

use serde_json::Value;
use wgtensor::nn::*;

use super::super::call::{Replay, Stop, skip};
use super::{float, named_metric};

/// Refuses settings outside `known`, except those that say nothing.
fn only(what: &str, config: &Value, known: &[&str]) -> Replay<()> {
    for (key, value) in config.as_object().into_iter().flatten() {
        if !value.is_null() && !known.contains(&key.as_str()) {
            return skip(format!("{what} setting `{key}`"));
        }
    }
    Ok(())
}

fn text<'a>(config: &'a Value, key: &str, default: &'a str) -> &'a str {
    config[key].as_str().unwrap_or(default)
}

fn flag(config: &Value, key: &str, default: bool) -> bool {
    config[key].as_bool().unwrap_or(default)
}

fn size(config: &Value, key: &str) -> Replay<usize> {
    config[key].as_u64().map(|n| n as usize).ok_or(Stop::Fail(format!("no `{key}`")))
}

/// One number or two.
fn pair(config: &Value, key: &str) -> Option<Pair> {
    match &config[key] {
        Value::Array(both) => Some(Pair(both.first()?.as_u64()? as usize, both.get(1)?.as_u64()? as usize)),
        one => one.as_u64().map(|n| Pair(n as usize, n as usize)),
    }
}

fn activation(config: &Value) -> Replay<Activation> {
    let name = text(config, "activation", "linear");
    name.parse().or_else(|_| skip(format!("activation `{name}`")))
}

/// A layer of `class`.
pub fn layer(class: &str, config: &Value, name: &str) -> Replay<Box<dyn Layer>> {
    let last = |value: &Value| value.is_null() || *value == serde_json::json!([-1]) || *value == serde_json::json!(-1);
    if config["data_format"].as_str().is_some_and(|f| f != "channels_last") {
        return skip("channels first");
    }
    let known = |settings: &[&str]| only(class, config, settings);
    Ok(match class {
        "Dense" => {
            known(&["units", "activation", "use_bias"])?;
            let dense = Dense::new(size(config, "units")?).activation(activation(config)?);
            Box::new(dense.use_bias(flag(config, "use_bias", true)).name(name))
        }
        "Conv2D" => {
            known(&[
                "filters",
                "kernel_size",
                "strides",
                "padding",
                "data_format",
                "dilation_rate",
                "groups",
                "activation",
                "use_bias",
            ])?;
            let kernel = pair(config, "kernel_size").ok_or("no kernel size".to_owned())?;
            let conv = Conv2D::new(size(config, "filters")?, kernel)
                .strides(pair(config, "strides").unwrap_or(Pair(1, 1)))
                .padding(text(config, "padding", "valid"))
                .dilation_rate(pair(config, "dilation_rate").unwrap_or(Pair(1, 1)))
                .groups(config["groups"].as_u64().unwrap_or(1) as usize)
                .activation(activation(config)?)
                .use_bias(flag(config, "use_bias", true));
            Box::new(conv.name(name))
        }
        "MaxPooling2D" | "AveragePooling2D" => {
            known(&["pool_size", "strides", "padding", "data_format"])?;
            let window = pair(config, "pool_size").unwrap_or(Pair(2, 2));
            let (strides, padding) = (pair(config, "strides").unwrap_or(window), text(config, "padding", "valid"));
            match class {
                "MaxPooling2D" => Box::new(MaxPooling2D::new(window).strides(strides).padding(padding).name(name)),
                _ => Box::new(AveragePooling2D::new(window).strides(strides).padding(padding).name(name)),
            }
        }
        "GlobalAveragePooling2D" => {
            known(&["keepdims", "data_format"])?;
            Box::new(GlobalAveragePooling2D::new().keepdims(flag(config, "keepdims", false)).name(name))
        }
        "GlobalMaxPooling2D" => {
            known(&["keepdims", "data_format"])?;
            Box::new(GlobalMaxPooling2D::new().keepdims(flag(config, "keepdims", false)).name(name))
        }
        "Flatten" => {
            known(&["data_format"])?;
            Box::new(Flatten::new().name(name))
        }
        "Reshape" => {
            known(&["target_shape"])?;
            let target = config["target_shape"].as_array().into_iter().flatten().filter_map(Value::as_i64);
            Box::new(Reshape::new(target.map(|d| d as isize).collect::<Vec<_>>()).name(name))
        }
        "Dropout" => {
            known(&["rate", "seed"])?;
            Box::new(Dropout::new(float(config, "rate", 0.5)).name(name))
        }
        "Rescaling" => {
            known(&["scale", "offset"])?;
            Box::new(Rescaling::new(float(config, "scale", 1.0)).offset(float(config, "offset", 0.0)).name(name))
        }
        "Activation" => {
            known(&["activation"])?;
            Box::new(ActivationLayer::new(activation(config)?).name(name))
        }
        "Softmax" if last(&config["axis"]) => {
            known(&["axis"])?;
            Box::new(ActivationLayer::new(Softmax).name(name))
        }
        "ReLU" => {
            known(&[])?;
            Box::new(ActivationLayer::new(Relu).name(name))
        }
        "LeakyReLU" => {
            known(&["negative_slope"])?;
            Box::new(LeakyReLU::new().negative_slope(float(config, "negative_slope", 0.3)).name(name))
        }
        "BatchNormalization" if last(&config["axis"]) => {
            known(&["axis", "momentum", "epsilon", "center", "scale"])?;
            let layer = BatchNormalization::new()
                .momentum(float(config, "momentum", 0.99))
                .epsilon(float(config, "epsilon", 1e-3))
                .center(flag(config, "center", true))
                .scale(flag(config, "scale", true));
            Box::new(layer.name(name))
        }
        "LayerNormalization" if last(&config["axis"]) && !flag(config, "rms_scaling", false) => {
            known(&["axis", "epsilon", "center", "scale", "rms_scaling"])?;
            let layer = LayerNormalization::new()
                .epsilon(float(config, "epsilon", 1e-3))
                .center(flag(config, "center", true))
                .scale(flag(config, "scale", true));
            Box::new(layer.name(name))
        }
        "Embedding" if !flag(config, "mask_zero", false) => {
            known(&["input_dim", "output_dim", "mask_zero"])?;
            Box::new(Embedding::new(size(config, "input_dim")?, size(config, "output_dim")?).name(name))
        }
        _ => return skip(format!("layer `{class}` with this configuration")),
    })
}

/// A loss of `class`.
pub fn loss(class: &str, config: &Value) -> Replay<Box<dyn Loss>> {
    let reduction = match text(config, "reduction", "sum_over_batch_size") {
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        "mean_with_sample_weight" => Reduction::MeanWithSampleWeight,
        _ => Reduction::SumOverBatchSize,
    };
    let smoothing = float(config, "label_smoothing", 0.0);
    let logits = flag(config, "from_logits", false);
    let known = |settings: &[&str]| only(class, config, &[settings, &["reduction", "name"]].concat());
    macro_rules! plain {
        ($($loss:ident)*) => {
            match class {
                $(stringify!($loss) => {
                    known(&[])?;
                    Box::new($loss::default().reduction(reduction))
                })*
                _ => return skip(format!("loss `{class}` with this configuration")),
            }
        };
    }
    let last = config["axis"].as_i64().unwrap_or(-1) == -1;
    Ok(match class {
        "BinaryCrossentropy" if last => {
            known(&["from_logits", "label_smoothing", "axis"])?;
            let loss = BinaryCrossentropy::default().from_logits(logits).label_smoothing(smoothing);
            Box::new(loss.reduction(reduction))
        }
        "BinaryFocalCrossentropy" if last => {
            known(&["from_logits", "label_smoothing", "axis", "apply_class_balancing", "alpha", "gamma"])?;
            let mut loss = BinaryFocalCrossentropy::default().from_logits(logits).label_smoothing(smoothing);
            if flag(config, "apply_class_balancing", false) {
                loss = loss.class_balancing(float(config, "alpha", 0.25));
            }
            Box::new(loss.gamma(float(config, "gamma", 2.0)).reduction(reduction))
        }
        "CategoricalCrossentropy" if last => {
            known(&["from_logits", "label_smoothing", "axis"])?;
            let loss = CategoricalCrossentropy::default().from_logits(logits).label_smoothing(smoothing);
            Box::new(loss.reduction(reduction))
        }
        "SparseCategoricalCrossentropy" if last => {
            known(&["from_logits", "ignore_class", "axis"])?;
            let mut loss = SparseCategoricalCrossentropy::default().from_logits(logits);
            if let Some(class) = config["ignore_class"].as_i64() {
                loss = loss.ignore_class(class as i32);
            }
            Box::new(loss.reduction(reduction))
        }
        "Huber" => {
            known(&["delta"])?;
            Box::new(Huber::default().delta(float(config, "delta", 1.0)).reduction(reduction))
        }
        "CosineSimilarity" if last => {
            known(&["axis"])?;
            Box::new(CosineSimilarity::default().reduction(reduction))
        }
        _ => plain!(
            MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError LogCosh
            KLDivergence Poisson Hinge SquaredHinge CategoricalHinge Dice
        ),
    })
}

/// A loss as `compile` takes it: a name, or a class with its configuration.
pub fn compiled_loss(json: &Value) -> Replay<Box<dyn Loss>> {
    match json.as_str() {
        Some(name) => match name.into_loss() {
            Ok(Some(loss)) => Ok(loss),
            _ => skip(format!("loss `{name}`")),
        },
        None => loss(json["class"].as_str().unwrap_or_default(), &json["config"]),
    }
}

/// A metric of `class`.
pub fn metric(class: &str, config: &Value) -> Replay<MetricSpec> {
    let known = |settings: &[&str]| only(class, config, &[settings, &["name"]].concat());
    let spec = |metric: Replay<MetricSpec>| {
        let metric = metric?;
        Ok(match (config["name"].as_str(), metric) {
            (Some(name), MetricSpec::Metric(_, metric)) => MetricSpec::Metric(Some(name.into()), metric),
            (_, metric) => metric,
        })
    };
    match class {
        "BinaryAccuracy" => {
            known(&["threshold"])?;
            spec(Ok(BinaryAccuracy::default().threshold(float(config, "threshold", 0.5)).into_metric()?))
        }
        "TopKCategoricalAccuracy" | "SparseTopKCategoricalAccuracy" => {
            known(&["k"])?;
            let k = config["k"].as_u64().unwrap_or(5) as usize;
            let sparse = class.starts_with("Sparse");
            let metric = if sparse { TopKCategoricalAccuracy::sparse(k) } else { TopKCategoricalAccuracy::new(k) };
            spec(Ok(metric.into_metric()?))
        }
        "Precision" | "Recall" => {
            known(&["thresholds"])?;
            let threshold = float(config, "thresholds", 0.5);
            spec(Ok(match class {
                "Precision" => Precision::default().threshold(threshold).into_metric()?,
                _ => Recall::default().threshold(threshold).into_metric()?,
            }))
        }
        "CategoricalAccuracy" | "SparseCategoricalAccuracy" | "RootMeanSquaredError" => {
            known(&[])?;
            let name = match class {
                "CategoricalAccuracy" => "categorical_accuracy",
                "SparseCategoricalAccuracy" => "sparse_categorical_accuracy",
                _ => "root_mean_squared_error",
            };
            spec(named_metric(name))
        }
        // The others that are means of a loss.
        _ => {
            let loss = match loss(class, config) {
                Ok(loss) => loss,
                Err(Stop::Skip(_)) => return skip(format!("metric `{class}` with this configuration")),
                Err(stop) => return Err(stop),
            };
            spec(Ok(MetricSpec::named(loss.name(), Mean::of(loss))))
        }
    }
}

/// A metric as `compile` takes it.
pub fn compiled_metric(json: &Value) -> Replay<MetricSpec> {
    match json.as_str() {
        Some(name) => named_metric(name),
        None => metric(json["class"].as_str().unwrap_or_default(), &json["config"]),
    }
}

/// A learning rate: a number, or a schedule's class and configuration.
pub fn rate(json: &Value) -> Replay<LearningRate> {
    if let Some(rate) = json.as_f64() {
        return Ok(rate.into());
    }
    let config = &json["config"];
    let f = |key: &str, default: f64| float(config, key, default);
    let steps = |key: &str| config[key].as_u64().unwrap_or(0);
    let initial = f("initial_learning_rate", 0.0);
    Ok(match json["class"].as_str().unwrap_or_default() {
        "ExponentialDecay" => ExponentialDecay::new(initial, steps("decay_steps"), f("decay_rate", 1.0))
            .staircase(flag(config, "staircase", false))
            .into(),
        "InverseTimeDecay" => InverseTimeDecay::new(initial, steps("decay_steps"), f("decay_rate", 1.0))
            .staircase(flag(config, "staircase", false))
            .into(),
        "PolynomialDecay" => PolynomialDecay::new(initial, steps("decay_steps"))
            .end_learning_rate(f("end_learning_rate", 1e-4))
            .power(f("power", 1.0))
            .cycle(flag(config, "cycle", false))
            .into(),
        "CosineDecay" => {
            let decay = CosineDecay::new(initial, steps("decay_steps")).alpha(f("alpha", 0.0));
            match config["warmup_target"].as_f64() {
                Some(target) => decay.warmup(target, steps("warmup_steps")).into(),
                None => decay.into(),
            }
        }
        "CosineDecayRestarts" => CosineDecayRestarts::new(initial, steps("first_decay_steps"))
            .t_mul(f("t_mul", 2.0))
            .m_mul(f("m_mul", 1.0))
            .alpha(f("alpha", 0.0))
            .into(),
        "PiecewiseConstantDecay" => {
            let list = |key: &str| config[key].as_array().cloned().unwrap_or_default();
            let boundaries: Vec<u64> = list("boundaries").iter().filter_map(Value::as_u64).collect();
            let values: Vec<f64> = list("values").iter().filter_map(Value::as_f64).collect();
            PiecewiseConstantDecay::new(boundaries, values).into()
        }
        class => return skip(format!("schedule `{class}`")),
    })
}

/// The settings that all optimizers share.
fn shared<R: Rule>(mut optimizer: Optimizer<R>, config: &Value) -> Replay<Optimizer<R>> {
    if !config["learning_rate"].is_null() {
        optimizer = optimizer.learning_rate(rate(&config["learning_rate"])?);
    }
    if let Some(share) = config["weight_decay"].as_f64() {
        optimizer = optimizer.weight_decay(share);
    }
    if let Some(norm) = config["clipnorm"].as_f64() {
        optimizer = optimizer.clipnorm(norm);
    }
    if let Some(size) = config["clipvalue"].as_f64() {
        optimizer = optimizer.clipvalue(size);
    }
    if let Some(norm) = config["global_clipnorm"].as_f64() {
        optimizer = optimizer.global_clipnorm(norm);
    }
    if flag(config, "use_ema", false) {
        optimizer = optimizer.use_ema(float(config, "ema_momentum", 0.99));
        if let Some(steps) = config["ema_overwrite_frequency"].as_u64() {
            optimizer = optimizer.ema_overwrite_frequency(steps);
        }
    }
    if let Some(steps) = config["gradient_accumulation_steps"].as_u64() {
        optimizer = optimizer.gradient_accumulation_steps(steps);
    }
    Ok(optimizer)
}

const SHARED: [&str; 10] = [
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "gradient_accumulation_steps",
    "name",
];

/// An optimizer of `class`.
pub fn optimizer(class: &str, config: &Value) -> Replay<Box<dyn AnyOptimizer>> {
    let known = |settings: &[&str]| only(class, config, &[settings, &SHARED].concat());
    let f = |key: &str, default: f64| float(config, key, default);
    let moments = ["beta_1", "beta_2", "epsilon"];
    let (b1, b2, epsilon) = (f("beta_1", 0.9), f("beta_2", 0.999), f("epsilon", 1e-7));
    Ok(match class {
        "SGD" => {
            known(&["momentum", "nesterov"])?;
            let sgd = SGD::new().momentum(f("momentum", 0.0)).nesterov(flag(config, "nesterov", false));
            Box::new(shared(sgd, config)?)
        }
        "Adam" => {
            known(&[&moments[..], &["amsgrad"]].concat())?;
            let adam = Adam::new().beta_1(b1).beta_2(b2).epsilon(epsilon).amsgrad(flag(config, "amsgrad", false));
            Box::new(shared(adam, config)?)
        }
        "AdamW" => {
            known(&[&moments[..], &["amsgrad"]].concat())?;
            let adam = AdamW::new().beta_1(b1).beta_2(b2).epsilon(epsilon).amsgrad(flag(config, "amsgrad", false));
            Box::new(shared(adam, config)?)
        }
        "Adamax" => {
            known(&moments)?;
            Box::new(shared(Adamax::new().beta_1(b1).beta_2(b2).epsilon(epsilon), config)?)
        }
        "Nadam" => {
            known(&moments)?;
            Box::new(shared(Nadam::new().beta_1(b1).beta_2(b2).epsilon(epsilon), config)?)
        }
        "Lamb" => {
            known(&moments)?;
            Box::new(shared(Lamb::new().beta_1(b1).beta_2(b2).epsilon(epsilon), config)?)
        }
        "Lion" => {
            known(&moments)?;
            Box::new(shared(Lion::new().beta_1(b1).beta_2(f("beta_2", 0.99)), config)?)
        }
        "RMSprop" => {
            known(&["rho", "momentum", "epsilon", "centered"])?;
            let rmsprop = RMSprop::new().rho(f("rho", 0.9)).momentum(f("momentum", 0.0)).epsilon(epsilon);
            Box::new(shared(rmsprop.centered(flag(config, "centered", false)), config)?)
        }
        "Adagrad" => {
            known(&["initial_accumulator_value", "epsilon"])?;
            let initial = f("initial_accumulator_value", 0.1);
            Box::new(shared(Adagrad::new().initial_accumulator_value(initial).epsilon(epsilon), config)?)
        }
        "Adadelta" => {
            known(&["rho", "epsilon"])?;
            Box::new(shared(Adadelta::new().rho(f("rho", 0.95)).epsilon(epsilon), config)?)
        }
        "Ftrl" => {
            known(&[
                "learning_rate_power",
                "initial_accumulator_value",
                "l1_regularization_strength",
                "l2_regularization_strength",
                "l2_shrinkage_regularization_strength",
                "beta",
            ])?;
            let ftrl = Ftrl::new()
                .learning_rate_power(f("learning_rate_power", -0.5))
                .initial_accumulator_value(f("initial_accumulator_value", 0.1))
                .l1_regularization_strength(f("l1_regularization_strength", 0.0))
                .l2_regularization_strength(f("l2_regularization_strength", 0.0))
                .l2_shrinkage_regularization_strength(f("l2_shrinkage_regularization_strength", 0.0))
                .beta(f("beta", 0.0));
            Box::new(shared(ftrl, config)?)
        }
        _ => return skip(format!("optimizer `{class}`")),
    })
}

/// An optimizer as `compile` takes it.
pub fn compiled_optimizer(json: &Value) -> Replay<Box<dyn AnyOptimizer>> {
    match json.as_str() {
        Some(name) => name.into_optimizer().or_else(|_| skip(format!("optimizer `{name}`"))),
        None => optimizer(json["class"].as_str().unwrap_or_default(), &json["config"]),
    }
}

/// An initialiser of `class`.
pub fn initializer(class: &str, config: &Value) -> Replay<Initializer> {
    let f = |key: &str, default: f64| float(config, key, default);
    Ok(match class {
        "Zeros" => Initializer::Zeros,
        "Ones" => Initializer::Ones,
        "Constant" => Initializer::Constant(f("value", 0.0)),
        "RandomUniform" => Initializer::RandomUniform { low: f("minval", -0.05), high: f("maxval", 0.05) },
        "RandomNormal" => Initializer::RandomNormal { mean: f("mean", 0.0), std: f("stddev", 0.05) },
        "TruncatedNormal" => Initializer::TruncatedNormal { mean: f("mean", 0.0), std: f("stddev", 0.05) },
        "GlorotUniform" => Initializer::GLOROT_UNIFORM,
        "GlorotNormal" => Initializer::GLOROT_NORMAL,
        "HeUniform" => Initializer::HE_UNIFORM,
        "HeNormal" => Initializer::HE_NORMAL,
        "LecunUniform" => Initializer::LECUN_UNIFORM,
        "LecunNormal" => Initializer::LECUN_NORMAL,
        "VarianceScaling" => Initializer::VarianceScaling {
            scale: f("scale", 1.0),
            fan: match text(config, "mode", "fan_in") {
                "fan_out" => Fan::Out,
                "fan_avg" => Fan::Average,
                _ => Fan::In,
            },
            distribution: match text(config, "distribution", "truncated_normal") {
                "uniform" => Distribution::Uniform,
                "untruncated_normal" => Distribution::Normal,
                _ => Distribution::TruncatedNormal,
            },
        },
        _ => return skip(format!("initializer `{class}`")),
    })
}
