//! Callbacks, given figures of which the outcome is known.

use super::*;

/// Replaces the validation loss of each epoch by the next of these.
fn scripted(figures: &[f64]) -> impl Callback + '_ {
    LambdaCallback::new(move |epoch, logs: &mut Logs, _: &mut Model| {
        logs.set("val_loss", figures[epoch]);
        Ok(())
    })
}

/// Trains with these validation losses and a callback that hears them; the epochs run.
fn epochs(figures: &[f64], callback: impl Callback) -> usize {
    let (x, y) = points(8);
    let how = quiet().epochs(figures.len()).callbacks(scripted(figures)).callbacks(callback);
    let history = classifier().fit(&x, &y, how).unwrap();
    assert_eq!(history["val_loss"], figures[..history.epoch.len()]);
    history.epoch.len()
}

#[test]
fn early_stopping_waits_for_its_patience() {
    assert_eq!(epochs(&[1.0, 0.9, 0.9, 0.9, 0.9], EarlyStopping::new()), 3);
    assert_eq!(epochs(&[1.0, 0.9, 0.9, 0.9, 0.9], EarlyStopping::new().patience(2)), 4);
    assert_eq!(epochs(&[1.0, 0.9, 0.8, 0.7, 0.6], EarlyStopping::new().min_delta(0.5)), 2);
    assert_eq!(epochs(&[0.1, 0.2, 0.3, 0.3], EarlyStopping::new().mode(Mode::Max)), 4);
}

#[test]
fn early_stopping_counts_until_the_baseline_is_beaten() {
    let figures = [0.9, 0.8, 0.8, 0.8, 0.8];
    assert_eq!(epochs(&figures, EarlyStopping::new().patience(2)), 4);
    assert_eq!(epochs(&figures, EarlyStopping::new().patience(2).baseline(0.5)), 3);
}

#[test]
fn early_stopping_may_start_later() {
    let figures = [1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(epochs(&figures, EarlyStopping::new()), 2);
    assert_eq!(epochs(&figures, EarlyStopping::new().start_from_epoch(2)), 4);
}

#[test]
fn a_plateau_lowers_the_rate() {
    let (x, y) = points(8);
    let fit = |reduce: ReduceLROnPlateau, figures: &[f64]| {
        let how = quiet().epochs(figures.len()).callbacks(scripted(figures)).callbacks(reduce);
        classifier().fit(&x, &y, how).map(|history| history["learning_rate"].to_vec())
    };
    let plateau = || ReduceLROnPlateau::new().factor(0.5).patience(2);
    assert_eq!(fit(plateau(), &[1.0; 6]).unwrap(), [0.02, 0.02, 0.02, 0.01, 0.01, 0.005]);
    assert_eq!(fit(plateau().cooldown(2), &[1.0; 6]).unwrap(), [0.02, 0.02, 0.02, 0.01, 0.01, 0.01]);
    assert_eq!(fit(plateau().min_lr(0.015), &[1.0; 6]).unwrap(), [0.02, 0.02, 0.02, 0.015, 0.015, 0.015]);
    assert_eq!(fit(plateau(), &[6.0, 5.0, 4.0, 3.0]).unwrap(), [0.02; 4]);
    assert!(fit(plateau().factor(1.0), &[1.0]).unwrap_err().is_invalid_argument());
}

/// Counts steps and validations.
#[derive(Default)]
struct Count {
    batches: usize,
    tests: [usize; 2],
}

impl Callback for Count {
    fn on_train_batch_end(&mut self, _: usize, _: &mut Model) -> Result<()> {
        self.batches += 1;
        Ok(())
    }
    fn on_test_begin(&mut self, _: &mut Model) -> Result<()> {
        self.tests[0] += 1;
        Ok(())
    }
    fn on_test_end(&mut self, _: &Logs, _: &mut Model) -> Result<()> {
        self.tests[1] += 1;
        Ok(())
    }
}

#[test]
fn a_nan_ends_training_at_its_step() {
    let (x, _) = points(20);
    let y = Tensor::full([20], f64::NAN, DType::F32, &cpu()).unwrap();
    let mut count = Count::default();
    let mut model = classifier();
    let how = quiet().epochs(3).batch_size(5).callbacks(TerminateOnNaN).callbacks(&mut count);
    let history = model.fit(&x, &y, how).unwrap();
    assert_eq!((history.epoch.len(), count.batches), (1, 1));
}

#[test]
fn validations_are_heard_and_boxes_are_callbacks() {
    let (x, y) = points(20);
    let mut count = Count::default();
    let boxed: Box<dyn Callback + '_> = Box::new(&mut count);
    let how = quiet().epochs(4).validation_freq(2).validation_split(0.5).callbacks(boxed);
    classifier().fit(&x, &y, how).unwrap();
    assert_eq!((count.tests, count.batches), ([2, 2], 4));
}

#[test]
fn a_function_after_each_epoch() {
    let (x, y) = points(8);
    let mut seen = Vec::new();
    let note = LambdaCallback::new(|epoch, logs: &mut Logs, model: &mut Model| {
        seen.push((epoch, logs["loss"] > 0.0));
        model.stop_training = epoch == 1;
        Ok(())
    });
    classifier().fit(&x, &y, quiet().epochs(5).callbacks(note)).unwrap();
    assert_eq!(seen, [(0, true), (1, true)]);
}

#[test]
fn the_csv_file_has_a_place_for_validations_to_come() {
    let (x, y) = points(8);
    let path = std::env::temp_dir().join(format!("wgtensor_csv_{}.csv", std::process::id()));
    let how = quiet().epochs(2).validation_data(&x, &y).validation_freq(2).callbacks(CSVLogger::new(&path));
    let history = classifier().fit(&x, &y, how).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "epoch,accuracy,loss,val_accuracy,val_loss");
    assert!(lines[1].starts_with("0,") && lines[1].ends_with(",NA,NA"), "{text}");
    assert!(lines[2].ends_with(&format!(",{}", history["val_loss"][0])), "{text}");
    assert_eq!(lines.len(), 3);
}
