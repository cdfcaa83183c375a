use crate::nn::callbacks::{Callback, Mode};
use crate::nn::layers::{CallCtx, Layer, Subtract};
use crate::nn::metrics::{IntoMetric, Metric};
use crate::nn::prelude::*;
use crate::nn::{Logs, SeedStream, average, dot, maximum, minimum, multiply, subtract};
use crate::{DType, Device, DeviceOptions, Result, Tensor};

mod callbacks;
mod checkpoints;
mod data;
mod functional;
mod growing;
mod plot;

/// A CPU engine for this test alone: tests run at once, and a flush of one would submit a step that another is still
/// recording.
fn cpu() -> Device {
    thread_local!(static OWN: Device = Device::open_with("cpu", &DeviceOptions::default()).unwrap());
    OWN.with(Device::clone)
}

/// Points in the plane, and whether they are right of the line `x = y`.
fn points(n: usize) -> (Tensor, Tensor) {
    let mut seeds = SeedStream::new(9);
    let mut unit = || (seeds.draw() >> 40) as f32 / 8_388_608.0 - 1.0;
    let x: Vec<f32> = (0..2 * n).map(|_| unit()).collect();
    let y: Vec<i32> = x.chunks(2).map(|p| i32::from(p[0] > p[1])).collect();
    let device = cpu();
    (Tensor::from_slice(&x, [n, 2], &device).unwrap(), Tensor::from_slice(&y, [n], &device).unwrap())
}

fn classifier() -> Sequential {
    let mut model = Sequential::named("model")
        .add(Input::new([2]))
        .add(Dense::new(8).activation(Relu).name("hidden"))
        .add(Dense::new(1).activation("sigmoid").name("out"));
    model.seeds = Some(SeedStream::new(5));
    model.compile(Adam::default().learning_rate(0.02), "binary_crossentropy", ["accuracy"]).unwrap();
    model
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(0).seed(1)
}

#[test]
fn fit_learns_and_history_has_keras_s_keys() {
    let (x, y) = points(200);
    let mut model = classifier();
    let history = model.fit(&x, &y, quiet().epochs(15).batch_size(32).validation_split(0.2)).unwrap();
    let names: Vec<&str> = history.history.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accuracy", "loss", "val_accuracy", "val_loss"]);
    assert_eq!((history["loss"].len(), history.epoch.len(), history.params.steps), (15, 15, 5));
    assert!(history.last("loss").unwrap() < history["loss"][0] * 0.6, "{history:?}");
    assert!(history.last("val_accuracy").unwrap() > 0.85, "{history:?}");
}

#[test]
fn the_loss_reported_is_the_mean_before_the_update() {
    let (x, y) = points(50);
    let mut model = classifier();
    let before = model.evaluate(&x, &y, Evaluate::from(50).verbose(0)).unwrap();
    let history = model.fit(&x, &y, quiet().batch_size(50)).unwrap();
    assert!((history["loss"][0] - before["loss"]).abs() < 1e-6);
    assert_eq!(history["accuracy"][0], before["accuracy"]);
}

#[test]
fn the_same_seed_gives_the_same_training() {
    let (x, y) = points(70);
    let run = |seed| {
        let mut model = classifier();
        let history = model.fit(&x, &y, Fit::new().verbose(0).epochs(2).batch_size(16).seed(seed)).unwrap();
        (history["loss"].to_vec(), model.get_weights().unwrap()[0].to_vec::<f32>().unwrap())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_step_replays_a_plan_and_reads_nothing_back() {
    let (x, y) = points(128);
    // A device of its own, since counters are the device's.
    let device = Device::open_with("cpu", &DeviceOptions::default()).unwrap();
    let (x, y) = (x.to_device(&device).unwrap(), y.to_device(&device).unwrap());
    let mut model = classifier();
    model.fit(&x, &y, quiet().epochs(2).batch_size(32)).unwrap();
    let before = device.counters();
    model.fit(&x, &y, quiet().epochs(3).batch_size(32)).unwrap();
    let spent = device.counters() - before;
    assert_eq!(spent.plan_misses, 0, "{spent:?}");
    // One read-back an epoch, of all figures together.
    assert_eq!(spent.readbacks, 3, "{spent:?}");
    // The row numbers of each of the four batches.
    assert_eq!(spent.uploads, 12, "{spent:?}");
}

#[test]
fn errors_are_keras_s() {
    let (x, y) = points(8);
    let text = |error: crate::Error| error.to_string();
    let mut bare = Sequential::new().add(Dense::new(1));
    let error = text(bare.fit(&x, &y, quiet()).unwrap_err());
    assert!(error.starts_with("You must call `compile()` before using the model."), "{error}");
    assert!(text(bare.count_params().unwrap_err()).starts_with("You tried to call `count_params` on layer "));

    let mut model = classifier();
    let error = text(model.fit(&x, y.narrow(0, 0, 7).unwrap(), quiet()).unwrap_err());
    assert!(
        error.starts_with(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. Received: 'x' sizes: 8 'y' sizes: 7."
        ),
        "{error}"
    );
    let wide = Tensor::zeros([8, 5], DType::F32, &cpu()).unwrap();
    let error = text(model.fit(&wide, &y, quiet()).unwrap_err());
    assert!(error.starts_with("Input 'input_layer"), "{error}");
    let error = text(model.fit(&x, Tensor::zeros([8, 3], DType::F32, &cpu()).unwrap(), quiet()).unwrap_err());
    assert!(error.starts_with("Arguments `target` and `output` must have the same shape."), "{error}");
    let error = text(model.set_weights(&[wide.clone(), wide.clone(), wide.clone(), wide.clone()]).unwrap_err());
    assert!(
        error.starts_with("Layer hidden weight shape (2, 8) is not compatible with provided weight shape (8, 5)."),
        "{error}"
    );
    assert!(model.fit(&x, &y, quiet().batch_size(0)).unwrap_err().is_invalid_argument());
    assert!(model.fit(&x, &y, quiet().validation_split(1.5)).unwrap_err().is_invalid_argument());
    assert!(model.compile("adamm", "mse", ()).unwrap_err().is_invalid_argument());
}

/// A single sample is not a batch, and one dimension too many is not one either.
#[test]
fn an_input_that_is_no_batch_of_samples_is_an_error() {
    let (x, y) = points(8);
    let deep = Tensor::zeros([8, 5, 2], DType::F32, &cpu()).unwrap();
    let sample = x.narrow(0, 0, 1).unwrap().reshape([2]).unwrap();
    for (wrong, shape) in [(&sample, "(2,)"), (&deep, "(8, 5, 2)")] {
        let mut model = classifier();
        for error in [
            model.predict(wrong, Predict::new().verbose(0)).unwrap_err(),
            model.predict_on_batch(wrong).unwrap_err(),
            model.call(wrong, false).unwrap_err(),
            model.fit(wrong, y.narrow(0, 0, wrong.dims()[0]).unwrap(), quiet()).unwrap_err(),
            model.evaluate(wrong, y.narrow(0, 0, wrong.dims()[0]).unwrap(), ()).unwrap_err(),
        ] {
            assert!(error.is_shape_mismatch());
            let expected = format!("expected shape (None, 2), but the input has the incompatible shape {shape}");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

#[test]
fn weights_come_out_and_go_in() {
    let (x, y) = points(40);
    let mut model = classifier();
    assert_eq!(model.count_params().unwrap(), 2 * 8 + 8 + 8 + 1);
    let saved = model.get_weights().unwrap();
    let first = model.predict(&x, Predict::from(16).verbose(0)).unwrap().to_vec::<f32>().unwrap();
    model.fit(&x, &y, quiet().epochs(2)).unwrap();
    assert_ne!(first, model.predict(&x, Predict::from(16).verbose(0)).unwrap().to_vec::<f32>().unwrap());
    model.set_weights(&saved).unwrap();
    assert_eq!(first, model.predict(&x, Predict::from(40).verbose(0)).unwrap().to_vec::<f32>().unwrap());
}

#[test]
fn frozen_layers_stay() {
    let (x, y) = points(40);
    let mut model = classifier();
    model.build([2]).unwrap();
    model.set_trainable("hidden", false).unwrap();
    let before = model.get_weights().unwrap();
    model.fit(&x, &y, quiet()).unwrap();
    let after = model.get_weights().unwrap();
    let same = |i: usize| before[i].to_vec::<f32>().unwrap() == after[i].to_vec::<f32>().unwrap();
    assert!(same(0) && same(1) && !same(2));
    assert_eq!(model.trainable_weights().len(), 2);
    model.set_trainable("hidden", true).unwrap();
    assert_eq!(model.trainable_weights().len(), 4);
    assert!(model.set_trainable("hiden", true).unwrap_err().is_invalid_argument());
}

#[test]
fn weighting_a_class_moves_the_decision() {
    let (x, y) = points(100);
    let mut plain = classifier();
    let mut weighted = classifier();
    plain.fit(&x, &y, quiet().epochs(3)).unwrap();
    weighted.fit(&x, &y, quiet().epochs(3).class_weight([(0, 0.1), (1, 10.0)])).unwrap();
    let mean = |model: &mut Sequential| {
        model.predict(&x, Predict::new().verbose(0)).unwrap().mean(()).unwrap().item::<f32>().unwrap()
    };
    assert!(mean(&mut weighted) > mean(&mut plain) + 0.1);
}

#[test]
fn early_stopping_restores_the_best() {
    let (x, y) = points(60);
    let mut model = classifier();
    // Targets of the validation are wrong, so its loss rises as the model learns.
    let wrong = y.neg().unwrap().add(1).unwrap();
    let mut stop = EarlyStopping::new().patience(1).restore_best_weights(true);
    let how = quiet().epochs(30).validation_data(&x, &wrong).callbacks(&mut stop);
    let history = model.fit(&x, &y, how).unwrap();
    let epochs = history.epoch.len();
    assert!(epochs < 30);
    assert_eq!(stop.stopped_epoch(), Some(epochs - 1));
    let best = history["val_loss"].iter().copied().fold(f64::INFINITY, f64::min);
    let now = model.evaluate(&x, &wrong, Evaluate::from(32).verbose(0)).unwrap()["loss"];
    assert!((now - best).abs() < 1e-6, "{now} against {best}");
}

#[test]
fn callbacks_see_every_hook_and_set_the_rate() {
    #[derive(Default)]
    struct Count([usize; 6]);
    impl Callback for Count {
        fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
            self.0[0] += 1;
            Ok(())
        }
        fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
            self.0[1] += 1;
            Ok(())
        }
        fn on_epoch_begin(&mut self, _: usize, _: &mut Model) -> Result<()> {
            self.0[2] += 1;
            Ok(())
        }
        fn on_epoch_end(&mut self, _: usize, _: &mut Logs, _: &mut Model) -> Result<()> {
            self.0[3] += 1;
            Ok(())
        }
        fn on_train_batch_begin(&mut self, _: usize, _: &mut Model) -> Result<()> {
            self.0[4] += 1;
            Ok(())
        }
        fn on_train_batch_end(&mut self, _: usize, model: &mut Model) -> Result<()> {
            self.0[5] += 1;
            assert!(model.running_logs()?["loss"] > 0.0);
            Ok(())
        }
    }
    let (x, y) = points(40);
    let mut count = Count::default();
    let mut model = classifier();
    let schedule = LearningRateScheduler::new(|epoch, rate| if epoch == 0 { rate } else { rate / 2.0 });
    let how = quiet().epochs(3).batch_size(16).callbacks(&mut count).callbacks(schedule);
    let history = model.fit(&x, &y, how).unwrap();
    assert_eq!(count.0, [1, 1, 3, 3, 9, 9]);
    assert_eq!(history["learning_rate"], [0.02, 0.01, 0.005]);
}

#[test]
fn the_summary_counts_the_optimizer_too() {
    let (x, y) = points(8);
    let mut model = Sequential::named("m").add(Dense::new(1).name("dense"));
    assert!(
        model.summary_text(76).contains("│ dense (Dense)                   │ ?                      │   0 (unbuilt) │")
    );
    model.compile("adam", "mse", ()).unwrap();
    model.fit(&x, &y, quiet()).unwrap();
    let text = model.summary_text(76);
    assert!(text.ends_with(" Optimizer params: 8 (36.00 B)\n"), "{text}");
}

#[test]
fn one_batch_at_a_time() {
    let (x, y) = points(16);
    let mut model = classifier();
    let first = model.train_on_batch(&x, &y, None).unwrap();
    let second = model.train_on_batch(&x, &y, None).unwrap();
    assert!(second["loss"] < first["loss"]);
    assert_eq!(model.predict_on_batch(&x).unwrap().dims(), [16, 1]);
}
