use super::*;

#[test]
fn fans_follow_keras() {
    assert_eq!(fans(&[]), (1.0, 1.0));
    assert_eq!(fans(&[7]), (7.0, 7.0));
    assert_eq!(fans(&[300, 200]), (300.0, 200.0));
    assert_eq!(fans(&[3, 3, 32, 64]), (288.0, 576.0));
}

#[test]
fn names_name_what_they_say() {
    assert_eq!("he_normal".parse::<Initializer>().unwrap(), Initializer::HE_NORMAL);
    assert_eq!(Initializer::GLOROT_UNIFORM.name(), "glorot_uniform");
    let error = "glorot".parse::<Initializer>().unwrap_err();
    assert!(error.to_string().starts_with("Could not interpret initializer identifier: glorot"));
}

#[test]
fn draws_have_their_bounds_and_spread_and_repeat() {
    let device = Device::cpu();
    let shape = Shape::new(&[64, 64]).unwrap();
    let draw = |i: Initializer, seed| i.sample(&shape, seed, &device).unwrap().to_f64_vec().unwrap();
    let values = draw(Initializer::GLOROT_UNIFORM, 3);
    let limit = (6.0f64 / 128.0).sqrt();
    assert!(values.iter().all(|v| v.abs() <= limit));
    assert_eq!(values, draw(Initializer::GLOROT_UNIFORM, 3));
    assert_ne!(values, draw(Initializer::GLOROT_UNIFORM, 4));

    let values = draw(Initializer::TruncatedNormal { mean: 1.0, std: 0.5 }, 5);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    assert!(values.iter().all(|v| (0.0..=2.0).contains(v)));
    assert!((mean - 1.0).abs() < 0.03 && (std - 0.5 * TRUNCATED_STD).abs() < 0.02, "mean {mean}, deviation {std}");
}
