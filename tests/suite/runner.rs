//! The conformance runner's own parts.

use serde_json::{Value, json};
use wgtensor::Device;

use crate::conformance::call::strs;
use crate::conformance::case::hash24;
use crate::conformance::compare::{Tolerance, beyond_wgsl, compare, coords};
use crate::conformance::safetensors::{Values, parse};
use crate::conformance::{Outcome, one};

const EASY: Tolerance = Tolerance { rtol: 0.0, atol: 0.5 };

fn never(_: usize) -> bool {
    false
}

#[test]
fn safetensors_of_three_dtypes() {
    let header = r#"{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "s":{"dtype":"I32","shape":[],"data_offsets":[8,12]},"m":{"dtype":"U8","shape":[1,3],"data_offsets":[12,15]},
        "e":{"dtype":"F32","shape":[0,4],"data_offsets":[15,15]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([1.5f32, -0.0].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((-7i32).to_le_bytes());
    bytes.extend([1, 0, 1]);
    let tensors = parse(&bytes).unwrap();
    assert_eq!(tensors.len(), 4);
    assert_eq!(tensors["x"].values, Values::F32(vec![1.5, -0.0]));
    assert_eq!((tensors["s"].shape.len(), tensors["s"].to_f64()), (0, vec![-7.0]));
    assert_eq!(tensors["m"].values, Values::Bool(vec![true, false, true]));
    assert_eq!((tensors["e"].shape.clone(), tensors["e"].to_f64().len()), (vec![0, 4], 0));
    for cut in [0, 7, 20, bytes.len() - 1] {
        assert!(parse(&bytes[..cut]).is_err(), "a file cut at {cut} must not parse");
    }
}

#[test]
fn generated_inputs_follow_their_formula() {
    let unsigned: Vec<f32> = (0..4).map(|i| hash24(i, 103, false)).collect();
    assert_eq!(unsigned, [0.068_881_154, 0.179_220_2, 0.531_229_7, 0.548_468_4]);
    assert!((0..1000).all(|i| hash24(i, 7, true) == hash24(i, 7, false) * 2.0 - 1.0));
}

#[test]
fn nan_infinity_and_signed_zero() {
    let t = Tolerance { rtol: 1e-3, atol: 0.0 };
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    for (got, expected, passes) in [
        (nan, nan, true),
        (nan, 1.0, false),
        (1.0, nan, false),
        (inf, inf, true),
        (inf, -inf, false),
        (1e38, inf, false),
        (inf, 1e38, false),
        (-0.0, 0.0, true),
        (1.0009, 1.0, true),
        (1.0011, 1.0, false),
    ] {
        assert_eq!(t.accepts(got, expected), passes, "{got} against {expected}");
    }
}

#[test]
fn the_worst_element_is_named() {
    let verdict = compare(&[0.0, 1.0, 9.0, 3.0], &[0.0, 2.0, 2.0, 3.4], None, &[2, 2], EASY, never);
    let worst = verdict.mismatch.unwrap();
    assert_eq!((worst.count, worst.total, worst.index, worst.coords), (2, 4, 2, vec![1, 0]));
    assert_eq!((worst.got, worst.expected, verdict.excused), (9.0, 2.0, 0));
    let verdict = compare(&[1.0, f64::NAN], &[9.0, 1.0], None, &[2], EASY, never);
    assert_eq!(verdict.mismatch.unwrap().index, 1, "a NaN is worse than any finite error");
}

#[test]
fn an_alternative_serves_element_by_element_and_an_excuse_is_counted() {
    let (got, expected, other) = ([1.0, 5.0, 9.0], [1.0, 1.0, 1.0], [5.0, 5.0, 5.0]);
    let verdict = compare(&got, &expected, Some(&other), &[3], EASY, never);
    assert_eq!(verdict.mismatch.unwrap().count, 1);
    let verdict = compare(&got, &expected, Some(&other), &[3], EASY, |i| i == 2);
    assert_eq!((verdict.mismatch, verdict.excused), (None, 1));
}

#[test]
fn tolerance_columns() {
    let json = serde_json::json!({"rtol": 1e-5, "atol": 1e-6, "rtol_gpu": 1e-4, "atol_gpu": 1e-5});
    assert_eq!(Tolerance::of(&json, false), Ok(Some(Tolerance { rtol: 1e-5, atol: 1e-6 })));
    assert_eq!(Tolerance::of(&json, true), Ok(Some(Tolerance { rtol: 1e-4, atol: 1e-5 })));
    assert_eq!(Tolerance::of(&serde_json::json!({"exact": true}), true), Ok(Some(Tolerance::EXACT)));
    assert_eq!(Tolerance::of(&serde_json::json!({"skip": true, "why": "noise"}), true), Ok(None));
    assert!(Tolerance::of(&serde_json::json!({"rtol": 1e-5, "atol": 1e-6}), true).is_err());
}

#[test]
fn coordinates_and_the_limits_of_wgsl() {
    assert_eq!(coords(23, &[2, 3, 4]), [1, 2, 3]);
    assert_eq!(coords(0, &[]), [0; 0]);
    assert!([f64::NAN, f64::INFINITY, 1e30, 1e-40].into_iter().all(beyond_wgsl));
    assert!(![0.0, 1.0, -88.0, 1e-30].into_iter().any(beyond_wgsl));
}

/// Writes a case of `f32` tensors (name, role, shape; every element 1) and replays it on the CPU.
fn play(name: &str, mut json: Value, tensors: &[(&str, &str, &[usize])]) -> Outcome {
    let (mut header, mut bytes) = (serde_json::Map::new(), Vec::new());
    for (tensor, role, shape) in tensors {
        let start = bytes.len();
        bytes.extend([1f32.to_le_bytes()].repeat(shape.iter().product()).concat());
        header.insert((*tensor).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, bytes.len()]}));
        json["tensors"][tensor] = json!({"dtype": "F32", "shape": shape, "role": role});
    }
    json["id"] = name.into();
    json["file"] = format!("{name}.safetensors").into();
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat();
    let dir = &std::env::temp_dir().join(format!("wgtensor-{}-{name}", std::process::id()));
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(format!("{name}.safetensors")), file).unwrap();
    std::fs::write(dir.join(format!("{name}.json")), json.to_string()).unwrap();
    let outcome = one(dir, name, &Device::cpu());
    std::fs::remove_dir_all(dir).unwrap();
    outcome
}

/// A call `keras.ops.<op>(x, ..)` of a `(2, 3)` tensor of ones, expected to give `(2, 3)` ones, with these changes.
fn call(name: &str, changes: Value) -> Outcome {
    let mut json = json!({
        "kind": "op_forward", "op": "abs", "call": "keras.ops.abs(x)", "inputs": ["x"], "args": ["x"], "kwargs": [],
        "attrs": {}, "tolerance": {"out": {"rtol": 0.0, "atol": 0.0, "rtol_gpu": 0.0, "atol_gpu": 0.0}}
    });
    for (key, value) in changes.as_object().unwrap() {
        json[key] = value.clone();
    }
    let second = strs(&json["inputs"]).contains(&"y");
    let mut tensors: Vec<(&str, &str, &[usize])> = vec![("x", "input", &[2, 3]), ("out", "expected", &[2, 3])];
    if second {
        tensors.push(("y", "input", &[2, 3]));
    }
    play(name, json, &tensors)
}

fn skipped(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Skipped(what) if what.contains(why))
}

#[test]
fn what_a_call_says_and_nobody_reads_skips_the_case() {
    assert!(matches!(call("plain", json!({})), Outcome::Passed(0)));
    let unknown = call("unknown_attr", json!({"attrs": {"dtype": "float32"}}));
    assert!(skipped(&unknown, "abs with `dtype` = \"float32\""), "{unknown:?}");
    let null = call("null_attr", json!({"attrs": {"axis": null}}));
    assert!(skipped(&null, "abs with `axis` = null"), "{null:?}");
    let value = call(
        "unknown_value",
        json!({"op": "softmax", "call": "keras.ops.softmax(x, axis=[0, 1])", "attrs": {"axis": [0, 1]}}),
    );
    assert!(skipped(&value, "softmax with `axis` = [0,1]"), "{value:?}");
    let tensor = call(
        "unread_tensor",
        json!({"op": "relu", "call": "keras.ops.relu(x, y)", "inputs": ["x", "y"], "args": ["x", "y"]}),
    );
    assert!(skipped(&tensor, "relu with the tensor `y`"), "{tensor:?}");
    let keyword = call("unread_keyword", json!({"inputs": ["x", "y"], "kwargs": ["y"]}));
    assert!(skipped(&keyword, "abs with the tensor `y`"), "{keyword:?}");
    let expression = call("expression", json!({"call": "keras.ops.abs(x) + 1"}));
    assert!(skipped(&expression, "the expression"), "{expression:?}");
    let other = call("other_argument", json!({"call": "keras.ops.abs(-x)"}));
    assert!(skipped(&other, "the expression"), "{other:?}");
}

#[test]
fn a_case_without_a_tolerance_or_an_expectation_is_broken() {
    for (i, tolerance) in [json!({}), json!({"out": {"rtol": 1e-5}}), json!({"out": null})].into_iter().enumerate() {
        let outcome = call(&format!("intolerant{i}"), json!({"tolerance": tolerance}));
        assert!(matches!(&outcome, Outcome::Failed(what) if what.contains("broken")), "{outcome:?}");
    }
    let json = json!({"kind": "op_forward", "op": "abs", "call": "keras.ops.abs(x)", "inputs": ["x"], "args": ["x"]});
    let outcome = play("aimless", json, &[("x", "input", &[2])]);
    assert!(matches!(&outcome, Outcome::Failed(what) if what.contains("expects nothing")), "{outcome:?}");
}

#[test]
fn steps_use_earlier_values_and_results_come_in_order() {
    let t = json!({"rtol": 0.0, "atol": 0.0, "rtol_gpu": 0.0, "atol_gpu": 0.0});
    let step = |out: &str, op: &str, args: &[&str], attrs: Value| json!({"out": out, "op": op, "args": args, "attrs": attrs, "pack": false});
    let program = |attrs: Value| {
        json!({
            "kind": "op_grad", "op": "program", "call": "program", "inputs": ["x"], "args": ["x"],
            "program": [
                step("a", "abs", &["x"], json!({})), step("b", "multiply", &["a", "a"], json!({})),
                step("c", "reshape", &["a"], json!({"newshape": [1, 2]})), step("d", "sum", &["b"], attrs),
            ],
            "results": ["c", "b"], "tolerance": {"out.0": t, "out.1": t, "grad.x": t}
        })
    };
    let tensors: [(&str, &str, &[usize]); 5] = [
        ("x", "input", &[2]),
        ("out.0", "expected", &[1, 2]),
        ("out.1", "expected", &[2]),
        ("loss_w.0", "loss_weight", &[1, 2]),
        ("grad.x", "expected_grad", &[2]),
    ];
    let outcome = play("program", program(json!({"axis": [0]})), &tensors);
    assert!(matches!(outcome, Outcome::Passed(0)), "{outcome:?}");
    let outcome = play("program_unread", program(json!({"axis": [0], "dtype": "float64"})), &tensors);
    assert!(skipped(&outcome, "sum with `dtype`"), "{outcome:?}");
}

#[test]
fn batches_are_judged_by_lists_in_the_order_of_compile() {
    let expected = |tolerance: Value, second: f64| {
        json!({
            "kind": "training", "inputs": [], "train_on_batch_steps": 1, "fit": {"batch_size": 2}, "predict_rows": 2,
            "model": {
                "type": "sequential",
                "layers": [{"class": "Dense", "name": "dense", "config": {"units": 1, "use_bias": false}}]
            },
            "weights": [{"tensor": "w", "final": "final.w"}],
            "compile": {
                "optimizer": {"class": "SGD", "config": {"learning_rate": 0.1}}, "loss": "mean_squared_error",
                "metrics": ["mean_absolute_error"]
            },
            "expected": {"train_on_batch": [[1.0, second]], "tolerance": {"train_on_batch": tolerance}},
            "tolerance": {"predict": {"exact": true}, "final.w": {"exact": true}}
        })
    };
    let tensors: [(&str, &str, &[usize]); 5] = [
        ("x", "input", &[2, 1]),
        ("y", "input", &[2, 1]),
        ("w", "weight", &[1, 1]),
        ("predict", "expected", &[2, 1]),
        ("final.w", "expected", &[1, 1]),
    ];
    let t = |atol: f64| json!({"rtol": 0.0, "atol": atol, "rtol_gpu": 0.0, "atol_gpu": atol});
    // The prediction equals the target: both figures are 0. The tolerance of the loss is 1, so each position has its own.
    let outcome = play("batches", expected(json!([t(1.0), t(0.25)]), 0.25), &tensors);
    assert!(matches!(outcome, Outcome::Passed(0)), "{outcome:?}");
    let outcome = play("batches_off", expected(json!([t(1.0), t(0.25)]), 0.5), &tensors);
    assert!(matches!(&outcome, Outcome::Failed(what) if what.contains("mean_absolute_error of step 0")), "{outcome:?}");
    let outcome = play("batches_broken", expected(json!([t(1.0)]), 0.25), &tensors);
    assert!(matches!(&outcome, Outcome::Failed(what) if what.contains("broken")), "{outcome:?}");
}
