//! The conformance runner's own parts.

use crate::conformance::case::hash24;
use crate::conformance::compare::{Tolerance, beyond_wgsl, compare, coords};
use crate::conformance::safetensors::{Values, parse};

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
    assert_eq!(Tolerance::of(&json, false), Some(Tolerance { rtol: 1e-5, atol: 1e-6 }));
    assert_eq!(Tolerance::of(&json, true), Some(Tolerance { rtol: 1e-4, atol: 1e-5 }));
    assert_eq!(Tolerance::of(&serde_json::json!({"exact": true}), true), Some(Tolerance::EXACT));
    assert_eq!(Tolerance::of(&serde_json::json!({"skip": true, "why": "noise"}), true), None);
}

#[test]
fn coordinates_and_the_limits_of_wgsl() {
    assert_eq!(coords(23, &[2, 3, 4]), [1, 2, 3]);
    assert_eq!(coords(0, &[]), [0; 0]);
    assert!([f64::NAN, f64::INFINITY, 1e30, 1e-40].into_iter().all(beyond_wgsl));
    assert!(![0.0, 1.0, -88.0, 1e-30].into_iter().any(beyond_wgsl));
}
