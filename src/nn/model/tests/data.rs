//! What goes into `fit`, `evaluate` and `predict`: weights, types, ranges, and data that is refused.

use super::*;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &cpu()).unwrap()
}

fn rows(t: &Tensor, from: isize, to: isize) -> Tensor {
    t.slice(0, from..to).unwrap()
}

fn silent() -> Evaluate<'static> {
    Evaluate::new().verbose(0)
}

#[track_caller]
fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} against {b}");
}

/// Three classes of points.
fn three_classes() -> Sequential {
    let mut model = Sequential::new().add(Dense::new(3).activation(Softmax));
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"]).unwrap();
    model
}

#[test]
fn class_weights_are_for_training_only() {
    let (x, y) = points(40);
    let mut model = classifier();
    let how = quiet().validation_split(0.25).class_weight([(0, 0.0), (1, 20.0)]);
    let history = model.fit(&x, &y, how).unwrap();
    let held_out = model.evaluate(rows(&x, 30, 40), rows(&y, 30, 40), silent()).unwrap();
    close(history["val_loss"][0], held_out["loss"]);
}

#[test]
fn sample_weights_count_in_training_and_in_the_part_held_out() {
    let (x, y) = points(40);
    let weight = tensor(&(0..40).map(|i| (i % 3) as f32).collect::<Vec<_>>(), &[40]);
    let mut model = classifier();
    let before = model.evaluate(rows(&x, 0, 30), rows(&y, 0, 30), silent().sample_weight(rows(&weight, 0, 30)));
    let how = quiet().batch_size(30).validation_split(0.25).sample_weight(&weight);
    let history = model.fit(&x, &y, how).unwrap();
    close(history["loss"][0], before.unwrap()["loss"]);
    let how = silent().sample_weight(rows(&weight, 30, 40));
    let held_out = model.evaluate(rows(&x, 30, 40), rows(&y, 30, 40), how).unwrap();
    close(history["val_loss"][0], held_out["loss"]);
    assert!(
        (held_out["loss"] - model.evaluate(rows(&x, 30, 40), rows(&y, 30, 40), silent()).unwrap()["loss"]).abs() > 1e-3
    );
}

#[test]
fn weights_of_validation_data_count() {
    let (x, y) = points(24);
    let weight = tensor(&(0..24).map(|i| (i % 2) as f32).collect::<Vec<_>>(), &[24]);
    let mut model = classifier();
    let how = quiet().validation_data(&x, &y).validation_sample_weight(&weight);
    let history = model.fit(&x, &y, how).unwrap();
    close(history["val_loss"][0], model.evaluate(&x, &y, silent().sample_weight(&weight)).unwrap()["loss"]);
    let alone = quiet().validation_sample_weight(&weight);
    assert!(model.fit(&x, &y, alone).unwrap_err().is_invalid_argument());
}

#[test]
fn weights_of_classes_and_samples_exclude_each_other() {
    let (x, y) = points(8);
    let weight = tensor(&[1.0; 8], &[8]);
    let both = quiet().class_weight([(0, 2.0)]).sample_weight(&weight);
    assert!(classifier().fit(&x, &y, both).unwrap_err().is_invalid_argument());
    let series = tensor(&[0.0; 48], &[8, 3, 2]);
    let error = classifier().fit(&x, &series, quiet().class_weight([(0, 2.0)])).unwrap_err();
    assert!(error.is_shape_mismatch() && error.to_string().contains("`class_weight` is not supported"), "{error}");
}

#[test]
fn a_metric_may_be_plain_and_weighted() {
    let (x, y) = points(20);
    let mut model = classifier();
    let how = Compile::new("adam", "binary_crossentropy").metrics(["accuracy"]).weighted_metrics(["accuracy"]);
    model.compile_with(how).unwrap();
    let hits = model.evaluate(&x, &y, silent()).unwrap();
    assert_eq!(hits.names(), ["loss", "accuracy", "weighted_accuracy"]);
    assert_eq!(hits["accuracy"], hits["weighted_accuracy"]);
    // Weights that leave one sample: the accuracy is all or nothing.
    let one: Vec<f32> = (0..20).map(|i| f32::from(i == 3)).collect();
    let one = model.evaluate(&x, &y, silent().sample_weight(tensor(&one, &[20]))).unwrap();
    assert_eq!(one["accuracy"], hits["accuracy"]);
    assert!(one["weighted_accuracy"] == 0.0 || one["weighted_accuracy"] == 1.0, "{one:?}");
}

#[test]
fn no_data_is_an_error() {
    let (x, y) = points(8);
    let (none, no_labels) = (rows(&x, 0, 0), rows(&y, 0, 0));
    let mut model = classifier();
    for error in [
        model.fit(&none, &no_labels, quiet()).unwrap_err(),
        model.fit(&x, &y, quiet().validation_data(&none, &no_labels)).unwrap_err(),
        model.evaluate(&none, &no_labels, silent()).unwrap_err(),
        model.train_on_batch(&none, &no_labels, None).unwrap_err(),
        model.test_on_batch(&none, &no_labels, None).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("The data has no samples. Received: x of shape (0, 2)"), "{error}");
    }
    let number = Tensor::from_slice(&[1.0f32], (), &cpu()).unwrap();
    assert!(model.fit(&number, &number, quiet()).unwrap_err().is_shape_mismatch());
    assert!(model.predict(&number, ()).unwrap_err().is_shape_mismatch());
    assert_eq!(model.predict(&none, ()).unwrap().dims(), [0, 1]);
}

#[test]
fn labels_outside_the_classes_are_errors() {
    let (x, _) = points(6);
    let labels = |last: i32| Tensor::from_slice(&[0, 1, 2, 0, 1, last], [6], &cpu()).unwrap();
    let good = labels(2);
    for label in [3, -1] {
        let bad = labels(label);
        let mut model = three_classes();
        for error in [
            model.fit(&x, &bad, quiet().batch_size(2)).unwrap_err(),
            model.fit(&x, &bad, quiet().batch_size(2).validation_split(0.5)).unwrap_err(),
            model.fit(&x, &good, quiet().validation_data(&x, &bad)).unwrap_err(),
            model.evaluate(&x, &bad, silent()).unwrap_err(),
            model.train_on_batch(&x, &bad, None).unwrap_err(),
        ] {
            assert!(error.is_out_of_range(), "{error}");
            assert!(error.to_string().contains(&format!("label {label} for 3 classes")), "{error}");
        }
        // So are labels that were computed on the device, or are floats.
        for computed in [bad.add(0).unwrap(), bad.cast(DType::F32).unwrap()] {
            let mut model = three_classes();
            for error in [
                model.fit(&x, &computed, quiet().batch_size(2)).unwrap_err(),
                model.fit(&x, &good, quiet().validation_data(&x, &computed)).unwrap_err(),
                model.evaluate(&x, &computed, silent()).unwrap_err(),
                model.train_on_batch(&x, &computed, None).unwrap_err(),
                model.test_on_batch(&x, &computed, None).unwrap_err(),
            ] {
                assert!(error.is_out_of_range(), "{error}");
                assert!(error.to_string().contains(&format!("label {label} for 3 classes")), "{error}");
            }
        }
        let mut lenient = three_classes();
        let loss = SparseCategoricalCrossentropy::default().ignore_class(label);
        lenient.compile("sgd", loss, ()).unwrap();
        assert!(lenient.evaluate(&x, &bad, silent()).unwrap()["loss"].is_finite());
    }
    assert!(three_classes().evaluate(&x, &good, silent()).unwrap()["loss"].is_finite());
    assert!(three_classes().fit(&x, good.add(0).unwrap(), quiet()).unwrap()["loss"][0].is_finite());
    let nan = tensor(&[0.0, 1.0, f32::NAN, 0.0, 1.0, 2.0], &[6]);
    let error = three_classes().fit(&x, &nan, quiet()).unwrap_err();
    assert!(error.to_string().starts_with("`y` has NaN among its class numbers"), "{error}");
}

#[test]
fn tokens_outside_the_table_are_errors() {
    let tokens = |last: i32| Tensor::from_slice(&[0, 1, 2, 3, 4, last], [3, 2], &cpu()).unwrap();
    let y = tensor(&[0.0; 3], &[3, 1]);
    let mut model = Sequential::new().add(Embedding::new(6, 4)).add(Flatten::new()).add(Dense::new(1));
    model.compile("sgd", "mse", ()).unwrap();
    model.fit(tokens(5), &y, quiet().batch_size(1)).unwrap();
    for token in [6, -1] {
        let error = model.fit(tokens(token), &y, quiet().batch_size(1)).unwrap_err();
        assert!(error.is_out_of_range(), "{error}");
        assert!(error.to_string().contains(&format!("{token} for input_dim=6")), "{error}");
        assert!(model.predict(tokens(token), 1).unwrap_err().is_out_of_range());
        for computed in [tokens(token).add(0).unwrap(), tokens(token).cast(DType::F32).unwrap()] {
            for error in [model.fit(&computed, &y, quiet()).unwrap_err(), model.predict(&computed, ()).unwrap_err()] {
                assert!(error.to_string().contains(&format!("{token} for input_dim=6")), "{error}");
            }
        }
    }
}

#[test]
fn validation_data_that_does_not_fit_ends_nothing_half_done() {
    let (x, y) = points(12);
    let mut model = classifier();
    model.build([2]).unwrap();
    let before = model.get_weights().unwrap()[0].to_vec::<f32>().unwrap();
    let wide = tensor(&[0.0; 15], &[3, 5]);
    let elsewhere = Device::open_with("cpu", &DeviceOptions::default()).unwrap();
    let (far_x, far_y) = (x.to_device(&elsewhere).unwrap(), y.to_device(&elsewhere).unwrap());
    let mut begun = 0;
    struct Begun<'a>(&'a mut usize);
    impl Callback for Begun<'_> {
        fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
            *self.0 += 1;
            Ok(())
        }
    }
    let mut fit = |x_val: &Tensor, y_val: &Tensor| {
        model.fit(&x, &y, quiet().validation_data(x_val, y_val).callbacks(Begun(&mut begun))).unwrap_err()
    };
    assert!(fit(&wide, &rows(&y, 0, 3)).is_shape_mismatch());
    assert!(fit(&x, &rows(&y, 0, 3)).is_shape_mismatch());
    assert!(fit(&far_x, &far_y).is_device_mismatch());
    assert_eq!(begun, 0);
    assert_eq!(model.get_weights().unwrap()[0].to_vec::<f32>().unwrap(), before);
}

#[test]
fn doubles_and_integers_are_inputs_too() {
    let cpu = cpu();
    let x = Tensor::new([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &cpu).unwrap();
    let y = Tensor::new([0.0, 1.0, 1.0], &cpu).unwrap();
    assert_eq!(x.dtype(), DType::F64);
    let mut model = classifier();
    assert!(model.fit(&x, &y, quiet()).unwrap().last("loss").unwrap().is_finite());
    let floats = model.predict(&x, Predict::new().verbose(0)).unwrap();
    assert_eq!(floats.dtype(), DType::F32);
    let whole = Tensor::new([[1, 2], [3, 4], [5, 6]], &cpu).unwrap();
    let integers = model.predict(&whole, Predict::new().verbose(0)).unwrap();
    assert_eq!(integers.to_vec::<f32>().unwrap(), floats.to_vec::<f32>().unwrap());
    assert_eq!(model.predict_on_batch(&x).unwrap().to_vec::<f32>().unwrap(), floats.to_vec::<f32>().unwrap());

    let pixels = Tensor::from_slice(&[0i32, 51, 102, 255], [1, 2, 2, 1], &cpu).unwrap();
    let mut images = Sequential::new()
        .add(Rescaling::new(1.0 / 255.0))
        .add(Conv2D::new(1, 2).kernel_initializer("ones"))
        .add(Flatten::new())
        .add(LayerNormalization::new().scale(false));
    assert_eq!(images.predict(&pixels, Predict::new().verbose(0)).unwrap().dims(), [1, 1]);
    let mut first = Sequential::new().add(Flatten::new()).add(BatchNormalization::new());
    assert_eq!(first.predict(&pixels, Predict::new().verbose(0)).unwrap().dtype(), DType::F32);
}

#[test]
fn figures_of_one_batch_are_its_own() {
    let (x, y) = points(16);
    let mut model = classifier();
    model.compile("sgd", "binary_crossentropy", ["mae", "accuracy"]).unwrap();
    let (last_x, last_y) = (rows(&x, 4, 16), rows(&y, 4, 16));
    let alone = model.evaluate(&last_x, &last_y, silent()).unwrap();
    model.test_on_batch(rows(&x, 0, 4), rows(&y, 0, 4), None).unwrap();
    let tested = model.test_on_batch(&last_x, &last_y, None).unwrap();
    assert_eq!(tested.names(), ["loss", "mae", "accuracy"]);
    for (name, value) in alone.iter() {
        close(tested[name], value);
    }
    // A step is judged before its update, and apart from the steps before it.
    model.train_on_batch(rows(&x, 0, 4), rows(&y, 0, 4), None).unwrap();
    let before = model.evaluate(&last_x, &last_y, silent()).unwrap();
    let trained = model.train_on_batch(&last_x, &last_y, None).unwrap();
    assert_eq!(trained.names(), ["loss", "mae", "accuracy"]);
    for (name, value) in before.iter() {
        close(trained[name], value);
    }
    let weight = tensor(&(0..12).map(|i| (i % 2) as f32).collect::<Vec<_>>(), &[12]);
    let weighted = model.train_on_batch(&last_x, &last_y, Some(&weight)).unwrap();
    assert!((weighted["loss"] - trained["loss"]).abs() > 1e-3, "{weighted:?} against {trained:?}");
}

#[test]
fn epochs_and_batches_of_the_validation() {
    let (x, y) = points(30);
    let mut model = classifier();
    let how = quiet().epochs(6).initial_epoch(2).validation_freq(2).validation_batch_size(4).validation_split(0.3);
    let history = model.fit(&x, &y, how).unwrap();
    assert_eq!(history.epoch, [2, 3, 4, 5]);
    assert_eq!((history["loss"].len(), history["val_loss"].len()), (4, 2));
    let held_out = model.evaluate(rows(&x, 21, 30), rows(&y, 21, 30), silent()).unwrap();
    close(history["val_loss"][1], held_out["loss"]);
    assert!(model.fit(&x, &y, quiet().validation_freq(0)).unwrap_err().is_invalid_argument());
}
