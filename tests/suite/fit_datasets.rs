//! Training, evaluating and predicting from data sets, on every device.

use std::sync::{Arc, Mutex};

use wgtensor::data::{Array, Dataset, Item};
use wgtensor::nn::callbacks::Callback;
use wgtensor::nn::prelude::*;
use wgtensor::nn::{add, set_random_seed};
use wgtensor::{CounterSnapshot, Device, Error, Result, Tensor};

use super::devices::{for_each_device, for_each_device_alone};
use super::training::Probe;

const ROWS: usize = 70;

/// Points with their classes, and a weight for each.
fn samples() -> Result<(Array, Array, Array)> {
    let x: Vec<f32> = (0..ROWS * 4).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let y: Vec<i32> = (0..ROWS).map(|i| i as i32 * 7 % 3).collect();
    let weight: Vec<f32> = (0..ROWS).map(|i| (i % 4) as f32 / 2.0).collect();
    Ok((Array::from_slice(&x, [ROWS, 4])?, Array::new(y)?, Array::new(weight)?))
}

fn classifier() -> Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([4]))
        .add(Dense::new(16).activation(Relu))
        .add(Dropout::new(0.2).seed(3))
        .add(Dense::new(3).activation(Softmax));
    let values = [(vec![0.05f32; 64], vec![4, 16]), (vec![0.0; 16], vec![16]), (vec![0.1; 48], vec![16, 3])];
    model.build([4])?;
    let device = model.device().expect("built");
    let mut weights = Vec::new();
    for (values, shape) in values.into_iter().chain([(vec![0.0; 3], vec![3])]) {
        let values: Vec<f32> = values.iter().enumerate().map(|(i, v)| v * ((i % 5) as f32 - 2.0)).collect();
        weights.push(Tensor::from_slice(&values, &shape[..], &device)?);
    }
    model.set_weights(&weights)?;
    model.compile(Adam::default(), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(0).seed(1)
}

fn bits(model: &Model) -> Result<Vec<u32>> {
    let values: Result<Vec<Vec<f32>>> = model.get_weights()?.iter().map(Tensor::to_vec).collect();
    Ok(values?.concat().into_iter().map(f32::to_bits).collect())
}

#[test]
fn a_data_set_trains_as_the_same_tensors_do_bit_for_bit() {
    for_each_device(|device| {
        let (x, y, weight) = samples()?;
        let rows = Dataset::from_tensor_slices((&x, &y, &weight))?.to_device(device);
        let (x, y, weight) = (x.to_tensor(device)?, y.to_tensor(device)?, weight.to_tensor(device)?);
        let how = || quiet().epochs(3).shuffle(false);

        let mut model = classifier()?;
        let arrays = model.fit(&x, &y, how().batch_size(16).sample_weight(&weight))?;
        let trained = bits(&model)?;
        for batches in [rows.batch(16), rows.batch(16).prefetch(2)] {
            let mut model = classifier()?;
            let history = model.fit(&batches, (), how())?;
            assert_eq!(history.params.steps, 5);
            assert_eq!(history["loss"], arrays["loss"]);
            assert_eq!(bits(&model)?, trained);
            assert_eq!(model.device().as_ref(), Some(device));
        }
        let figures = model.evaluate(&x, &y, Evaluate::from(16).verbose(0).sample_weight(&weight))?;
        assert_eq!(model.evaluate(rows.batch(16), (), Evaluate::new().verbose(0))?, figures);
        let predicted = model.predict(&x, Predict::from(16).verbose(0))?.to_vec::<f32>()?;
        assert_eq!(model.predict(rows.batch(16), Predict::new().verbose(0))?.to_vec::<f32>()?, predicted);
        Ok(())
    });
}

#[test]
fn weights_of_classes_and_validation_are_as_with_tensors() {
    for_each_device(|device| {
        let (x, y, _) = samples()?;
        let rows = Dataset::from_tensor_slices((&x, &y))?;
        let (x, y) = (x.to_tensor(device)?, y.to_tensor(device)?);
        let classes = [(0, 0.5), (2, 3.0)];
        let how = || quiet().epochs(2).shuffle(false).class_weight(classes);
        let cut = |t: &Tensor, from: usize, to: usize| t.slice(0, from as isize..to as isize);
        let (x_train, y_train) = (cut(&x, 0, 50)?, cut(&y, 0, 50)?);
        let (x_val, y_val) = (cut(&x, 50, 70)?, cut(&y, 50, 70)?);

        let mut model = classifier()?;
        let expected = model.fit(&x_train, &y_train, how().batch_size(8).validation_data(&x_val, &y_val))?;
        let mut model = classifier()?;
        let held_out = rows.skip(50).batch(8);
        let batches = rows.take(50).batch(8).to_device(device);
        let history = model.fit(batches, (), how().validation_data(&held_out, ()))?;
        assert_eq!(history.history, expected.history);
        // Only a part of the validation data, always the first; one kind of data beside the other.
        let mut model = classifier()?;
        let part = how().batch_size(8).validation_data(&held_out, ()).validation_steps(1);
        let history = model.fit(&x_train, &y_train, part)?;
        let first = model.evaluate(cut(&x_val, 0, 8)?, cut(&y_val, 0, 8)?, Evaluate::new().verbose(0))?;
        assert!((history["val_loss"][1] - first["loss"]).abs() < 1e-5);
        Ok(())
    });
}

#[test]
fn several_inputs_and_outputs_go_by_name() {
    for_each_device(|device| {
        let (a, b) = (Input::new([2]).name("a").node(), Input::new([2]).name("b").node());
        let both = add([&a, &b])?;
        let (one, two) = (Dense::new(1).name("one").on(&both)?, Dense::new(2).name("two").on(&both)?);
        let mut model = Model::new([&a, &b], [&one, &two])?;
        model.compile("sgd", "mse", ())?;
        let item = |i: i32| {
            let v = i as f32 / 8.0;
            let x = [("b", Array::new([v, -v])?), ("a", Array::new([v, v])?)];
            Item::new(x)?.with_y([("two", Array::new([v, v])?), ("one", Array::new([2.0 * v])?)])
        };
        let dataset = Dataset::from_generator(move || (0..8).map(item)).batch(4).to_device(device);
        let history = model.fit(&dataset, (), quiet().epochs(30))?;
        assert!(history["loss"][29] < history["loss"][0] / 2.0, "{history:?}");
        assert_eq!(model.predict_all(&dataset, Predict::new().verbose(0))?[1].dims(), [8, 2]);
        let nameless = Dataset::from_tensor_slices([[1.0f32, 2.0]])?.batch(1);
        assert!(model.predict_all(nameless, ()).unwrap_err().to_string().contains("another number of arrays"));
        Ok(())
    });
}

/// Writes down how many steps each epoch had.
struct Epochs(Arc<Mutex<Vec<usize>>>);

impl Callback for Epochs {
    fn on_epoch_begin(&mut self, _: usize, _: &mut Model) -> Result<()> {
        self.0.lock().unwrap().push(0);
        Ok(())
    }
    fn on_train_batch_end(&mut self, _: usize, _: &mut Model) -> Result<()> {
        *self.0.lock().unwrap().last_mut().unwrap() += 1;
        Ok(())
    }
}

#[test]
fn steps_per_epoch_cut_data_into_epochs() {
    for_each_device(|device| {
        let (x, y, _) = samples()?;
        let batches = Dataset::from_tensor_slices((&x, &y))?.batch(16).to_device(device);
        let unknown = batches.filter(|_| Ok(true));
        let steps = |dataset: &Dataset, how: Fit<'_>| -> Result<(Vec<usize>, usize)> {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let history = classifier()?.fit(dataset, (), how.callbacks(Epochs(seen.clone())))?;
            let steps = seen.lock().unwrap().clone();
            Ok((steps, history.params.steps))
        };
        // Five batches a pass: an endless one goes on, others warn, and start again.
        let three = || quiet().epochs(4).steps_per_epoch(3);
        assert_eq!(steps(&batches.repeat(None), three())?, (vec![3, 3, 3, 3], 3));
        assert_eq!(steps(&batches, three())?, (vec![3, 2, 3, 2], 3));
        assert_eq!(steps(&unknown, three())?, (vec![3, 2, 3, 2], 3));
        assert_eq!(steps(&unknown, quiet().epochs(2))?, (vec![5, 5], 5));
        assert_eq!(steps(&batches.take(3), three())?, (vec![3, 3, 3, 3], 3));
        // What goes on does so where it was.
        let seen = Arc::new(Mutex::new(Vec::new()));
        let there = seen.clone();
        let counted = Dataset::from_generator(|| (0..).map(|i| Ok(([i as f32; 4], i % 3)))).map(move |item| {
            there.lock().unwrap().push(item.x()[0].to_f64_vec()[0]);
            Ok(item)
        });
        classifier()?.fit(counted.batch(2).to_device(device), (), three())?;
        assert_eq!(*seen.lock().unwrap(), (0..24).map(f64::from).collect::<Vec<_>>());
        // Of tensors too.
        let (x, y) = (x.to_tensor(device)?, y.to_tensor(device)?);
        let mut model = classifier()?;
        let figures = model.evaluate(&x, &y, Evaluate::from(16).steps(2).verbose(0))?;
        let first = model.evaluate(batches.take(2), (), Evaluate::new().verbose(0))?;
        assert_eq!(figures, first);
        assert_eq!(model.predict(batches.repeat(None), Predict::new().steps(6).verbose(0))?.dims(), [5 * 16 + 6, 3]);
        Ok(())
    });
}

#[test]
fn what_makes_no_sense_is_refused_in_keras_s_words() {
    for_each_device(|device| {
        let (x, y, weight) = samples()?;
        let rows = Dataset::from_tensor_slices((&x, &y))?.to_device(device);
        let batches = rows.batch(16);
        let weighted = Dataset::from_tensor_slices((&x, &y, &weight))?.batch(16).to_device(device);
        let (x, y) = (x.to_tensor(device)?, y.to_tensor(device)?);
        let mut model = classifier()?;
        let mut refused = |dataset: &Dataset, how: Fit<'_>, words: &str| {
            let error = model.fit(dataset, (), how).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("fit_datasets.rs"), "{error}");
        };
        refused(&batches, quiet().batch_size(8), "The `batch_size` argument must not be specified for the given input");
        refused(
            &batches.repeat(None),
            quiet(),
            "When passing an infinitely repeating dataset, you must specify the `steps_per_epoch`",
        );
        let endless = quiet().validation_data(batches.repeat(None), ());
        refused(&batches, endless, "you must specify the `validation_steps` argument");
        refused(&batches, quiet().validation_split(0.2), "`validation_split` is only supported for tensors");
        refused(&batches, quiet().sample_weight(&x), "`sample_weight` should not be passed");
        refused(&batches, quiet().steps_per_epoch(0), "steps_per_epoch=0");
        refused(&rows, quiet(), "the arrays must be at least rank 1");
        refused(&batches.take(0), quiet(), "The data has no samples");
        refused(&batches, quiet().validation_data(batches.take(0), ()), "The data has no samples");
        refused(&weighted, quiet().class_weight([(0, 2.0)]), "You cannot use `class_weight` and `sample_weight`");
        refused(
            &batches.map(|item| {
                let y = item.y()[0].clone();
                item.with_x(y)
            }),
            quiet(),
            "expected shape",
        );
        assert!(model.fit(&batches, &y, quiet()).unwrap_err().to_string().contains("`y` should not be passed"));
        assert!(model.evaluate(&batches, (), 8).unwrap_err().is_invalid_argument());
        assert!(model.predict(&batches, 8).unwrap_err().is_invalid_argument());
        assert!(model.predict((), ()).unwrap_err().to_string().starts_with("`x` was given no arrays"));
        assert!(model.predict_on_batch(&batches).unwrap_err().is_invalid_argument());
        let error = model.fit(&x, (), quiet()).unwrap_err();
        assert!(error.to_string().contains("no targets"), "{error}");
        Ok(())
    });
}

/// Labels and tokens are judged batch by batch, where the first ones were good.
#[test]
fn an_error_in_the_middle_ends_training_with_it() {
    for_each_device(|device| {
        let labels = |i: i32| if i == 90 { 3 } else { i % 3 };
        let bad = Dataset::from_generator(move || (0..100).map(move |i| Ok(([i as f32 / 100.0; 4], labels(i)))));
        let error = classifier()?.fit(bad.batch(10).to_device(device), (), quiet()).unwrap_err();
        assert!(error.is_out_of_range() && error.to_string().contains("label 3 for 3 classes"), "{error}");
        let float = bad.map(|item| {
            let y = item.y()[0].to_f64_vec()[0];
            item.with_y(if y == 3.0 { f64::NAN } else { y })
        });
        let error = classifier()?.fit(float.batch(10).to_device(device), (), quiet()).unwrap_err();
        assert!(error.to_string().starts_with("`y` has NaN among its class numbers"), "{error}");

        let broken = |i: i32| {
            if i == 55 {
                Err::<Item, Error>(Array::from_slice(&[1.0f32], 2).unwrap_err())
            } else {
                Item::new([i as f32; 4])?.with_y(i % 3)
            }
        };
        let broken = Dataset::from_generator(move || (0..100).map(broken)).batch(10).prefetch(2).to_device(device);
        let mut model = classifier()?;
        assert!(model.fit(&broken, (), quiet()).unwrap_err().is_shape_mismatch());
        assert!(model.evaluate(&broken, (), Evaluate::new().verbose(0)).unwrap_err().is_shape_mismatch());
        assert!(model.predict(&broken, Predict::new().verbose(0)).unwrap_err().is_shape_mismatch());
        // The model is as good as before.
        assert!(model.fit(broken.take(5), (), quiet())?["loss"][0].is_finite());
        Ok(())
    });
}

/// From the second step of a size on: one submission, nothing read back, nothing planned.
#[test]
fn a_step_of_a_data_set_costs_what_one_of_tensors_does() {
    for_each_device_alone(|device| {
        set_random_seed(4);
        let x: Vec<f32> = (0..192 * 20).map(|i| (i % 17) as f32 / 17.0).collect();
        let y: Vec<i32> = (0..192).map(|i| i * 7 % 10).collect();
        let rows = Dataset::from_tensor_slices((Array::from_slice(&x, [192, 20])?, y))?;
        let mut model = Sequential::new().add(Dense::new(64).activation(Relu)).add(Dense::new(10).activation(Softmax));
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ["accuracy"])?;
        let seen: Arc<Mutex<Vec<CounterSnapshot>>> = Arc::default();
        let probe = Probe(device.clone(), seen.clone());
        model.fit(rows.batch(32).to_device(device), (), Fit::new().epochs(2).verbose(0).callbacks(probe))?;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 12);
        for (step, pair) in seen.windows(2).enumerate().filter(|(step, _)| step + 1 != 6) {
            let cost = pair[1] - pair[0];
            let what = format!("step {} (from 1): {cost:?}", step + 2);
            assert_eq!((cost.submits, cost.readbacks, cost.plan_misses, cost.replays), (1, 0, 0, 1), "{what}");
            // x, y and the step's scalars.
            assert!(cost.uploads <= 3, "{what}");
        }
        Ok(())
    });
}

#[test]
fn batches_go_where_they_are_told_or_where_the_model_is() {
    for_each_device(|device: &Device| {
        let (x, y, _) = samples()?;
        let host = Dataset::from_tensor_slices((&x, &y))?.batch(16);
        let mut model = classifier()?;
        model.fit(host.to_device(device), (), quiet())?;
        assert_eq!(model.device().as_ref(), Some(device));
        model.fit(&host, (), quiet())?;
        assert_eq!(model.device().as_ref(), Some(device));
        let from_there = Dataset::from_tensor_slices((x.to_tensor(device)?, y.to_tensor(device)?))?.batch(16);
        let mut fresh = classifier()?;
        fresh.fit(&from_there, (), quiet())?;
        assert_eq!(fresh.device().as_ref(), Some(device));
        Ok(())
    });
}
