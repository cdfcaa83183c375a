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
}

#[test]
fn what_is_ignored_does_not_divide() {
    let p = tensor(&[0.25, 0.75, 0.5, 0.5], &[2, 2]);
    let numbers = |values: &[i32]| Tensor::from_slice(values, [2], &Device::cpu()).unwrap();
    let loss = |reduction, labels: &[i32], weight: Option<&Tensor>| {
        let loss = SparseCategoricalCrossentropy::default().ignore_class(-1).reduction(reduction);
        loss.compute(&numbers(labels), &p, weight).unwrap().to_f64_vec().unwrap()
    };
    let first = -f64::from(0.75f32.ln());
    let near = |got: Vec<f64>, want: &[f64]| {
        let close = got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{got:?} against {want:?}");
    };
    let weight = tensor(&[3.0, 5.0], &[2]);
    near(loss(Reduction::SumOverBatchSize, &[1, -1], None), &[first]);
    near(loss(Reduction::SumOverBatchSize, &[1, -1], Some(&weight)), &[3.0 * first]);
    near(loss(Reduction::MeanWithSampleWeight, &[1, -1], None), &[first]);
    near(loss(Reduction::MeanWithSampleWeight, &[1, -1], Some(&weight)), &[first]);
    near(loss(Reduction::Sum, &[1, -1], None), &[first]);
    near(loss(Reduction::None, &[1, -1], None), &[first, 0.0]);
    for reduction in [Reduction::SumOverBatchSize, Reduction::MeanWithSampleWeight] {
        near(loss(reduction, &[-1, -1], None), &[0.0]);
    }
    let zeros = tensor(&[0.0, 0.0], &[2]);
    near(loss(Reduction::MeanWithSampleWeight, &[1, 1], Some(&zeros)), &[0.0]);
}

#[test]
fn a_label_outside_the_classes_costs_nan() {
    let p = tensor(&[0.25, 0.75, 0.5, 0.5], &[2, 2]).requires_grad();
    let ints = |values: &[i32]| Tensor::from_slice(values, [2], &Device::cpu()).unwrap();
    let loss = SparseCategoricalCrossentropy::default();
    let error = loss.compute(&ints(&[1, 2]), &p, None).unwrap_err();
    assert!(error.is_out_of_range() && error.to_string().contains("label 2 for 2 classes"), "{error}");
    for unknown in [ints(&[1, 2]).add(0).unwrap(), ints(&[1, -1]).add(0).unwrap(), tensor(&[1.0, f32::NAN], &[2])] {
        let out = loss.compute(&unknown, &p, None).unwrap();
        let grads = out.backward().unwrap();
        assert!(out.item::<f32>().unwrap().is_nan());
        let grad: Vec<f32> = grads.wrt(&p).unwrap().to_vec().unwrap();
        assert!(grad[..2].iter().all(|g| g.is_finite()) && grad[2..].iter().any(|g| g.is_nan()), "{grad:?}");
    }
}

#[test]
fn a_box_is_the_loss_in_it() {
    struct Constant;
    impl Loss for Constant {
        fn class_name(&self) -> &'static str {
            "Constant"
        }
        fn values(&self, _: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
            Ok(y_pred.clone())
        }
        fn compute(&self, _: &Tensor, y_pred: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
            Tensor::full((), 7.0, y_pred.dtype(), y_pred.device())
        }
    }
    let boxed: Box<dyn Loss> = Box::new(Constant);
    let x = tensor(&[1.0], &[1]);
    assert_eq!(value(&boxed, &x, &x), 7.0);
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
