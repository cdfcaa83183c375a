use super::*;
use crate::Device;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::cpu()).unwrap()
}

fn value(loss: &dyn Loss, y_true: &Tensor, y_pred: &Tensor) -> f32 {
    loss.compute(y_true, y_pred, None).unwrap().item().unwrap()
}

#[test]
fn strings_name_losses() {
    for name in ["mse", "MSE", "mean_squared_error", "MeanSquaredError"] {
        assert_eq!(name.into_loss().unwrap().unwrap().name(), "mean_squared_error");
    }
    assert!("crossentropy".into_loss().unwrap().is_none());
    let error = "mee".into_loss().err().unwrap();
    assert!(error.to_string().starts_with("Could not interpret loss identifier: mee"));
}

#[test]
fn targets_are_reshaped_or_refused() {
    let (t, p) = (tensor(&[1.0, 2.0], &[2]), tensor(&[1.0, 4.0], &[2, 1]));
    assert_eq!(value(&MeanSquaredError::default(), &t, &p), 2.0);
    let wide = tensor(&[0.0; 6], &[2, 3]);
    let error = MeanSquaredError::default().compute(&wide, &p, None).unwrap_err();
    assert!(error.is_shape_mismatch());
    let expected = "Arguments `target` and `output` must have the same shape. Received: target.shape=(None, 3), \
                    output.shape=(None, 1)";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = SparseCategoricalCrossentropy::default().compute(&wide, &wide, None).unwrap_err();
    assert!(error.is_shape_mismatch());
}

#[test]
fn probabilities_are_clipped() {
    let (t, p) = (tensor(&[1.0, 0.0], &[2, 1]), tensor(&[0.0, 0.0], &[2, 1]));
    let loss = value(&BinaryCrossentropy::default(), &t, &p);
    assert!((loss - 0.5 * 16.118_095).abs() < 1e-3, "{loss}");
}

#[test]
fn huge_logits_stay_finite() {
    let (t, p) = (tensor(&[1.0, 0.0], &[2, 1]), tensor(&[-500.0, 500.0], &[2, 1]));
    assert_eq!(value(&BinaryCrossentropy::default().from_logits(true), &t, &p), 500.0);
}

#[test]
fn class_numbers_may_be_integers_or_floats_and_columns() {
    let p = tensor(&[0.25, 0.75, 0.5, 0.5], &[2, 2]);
    let expected = -(0.75f32.ln() + 0.5f32.ln()) / 2.0;
    let numbers = Tensor::from_slice(&[1i32, 0], [2], &Device::cpu()).unwrap();
    for t in [numbers.clone(), numbers.reshape([2, 1]).unwrap(), tensor(&[1.0, 0.0], &[2])] {
        let loss = value(&SparseCategoricalCrossentropy::default(), &t, &p);
        assert!((loss - expected).abs() < 1e-6, "{loss}");
    }
    let loss = value(&SparseCategoricalCrossentropy::default().ignore_class(0), &numbers, &p);
    assert!((loss + 0.75f32.ln() / 2.0).abs() < 1e-6, "{loss}");
}

#[test]
fn weights_do_not_divide() {
    let (t, p) = (tensor(&[0.0, 0.0], &[2, 1]), tensor(&[1.0, 3.0], &[2, 1]));
    let weight = tensor(&[2.0, 0.0], &[2]);
    let loss = |reduction| {
        let loss = MeanSquaredError::default().reduction(reduction);
        loss.compute(&t, &p, Some(&weight)).unwrap().to_f64_vec().unwrap()
    };
    assert_eq!(loss(Reduction::SumOverBatchSize), [1.0]);
    assert_eq!(loss(Reduction::Sum), [2.0]);
    assert_eq!(loss(Reduction::MeanWithSampleWeight), [1.0]);
    assert_eq!(loss(Reduction::None), [2.0, 0.0]);
}
