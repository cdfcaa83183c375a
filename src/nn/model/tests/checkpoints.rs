//! Callbacks that write files.

use std::path::{Path, PathBuf};

use super::*;

/// A folder of a test's own, gone when it ends.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wgtensor-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of the files in it.
    fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(folder)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Sets the validation loss of each epoch, and trains with these callbacks in batches of 4 of 8 samples.
fn fit<'a>(figures: &'a [f64], callback: impl Callback + 'a) -> Result<Sequential> {
    let (x, y) = points(8);
    let script = LambdaCallback::new(|epoch, logs: &mut Logs, _: &mut Model| {
        logs.set("val_loss", figures[epoch]);
        Ok(())
    });
    let mut model = classifier();
    model.fit(&x, &y, quiet().epochs(figures.len()).batch_size(4).callbacks(script).callbacks(callback))?;
    Ok(model)
}

fn weights_to(path: &Path) -> ModelCheckpoint {
    ModelCheckpoint::new(path).save_weights_only(true)
}

#[test]
fn every_epoch_has_a_file_of_its_name_in_folders_that_were_not_there() {
    let folder = Folder::new("checkpoint-names");
    let path = folder.join("runs/first/{epoch:02d}-{val_loss:.2f}.safetensors");
    let mut model = fit(&[0.5, 0.123, f64::NAN], weights_to(&path)).unwrap();
    assert_eq!(folder.files("runs/first"), ["01-0.50.safetensors", "02-0.12.safetensors", "03-nan.safetensors"]);
    let mut again = classifier();
    again.load_weights(folder.join("runs/first/03-nan.safetensors")).unwrap();
    assert_eq!(again.weights_to_bytes().unwrap(), model.weights_to_bytes().unwrap());
    again.load_weights(folder.join("runs/first/01-0.50.safetensors")).unwrap();
    assert_ne!(again.weights_to_bytes().unwrap(), model.weights_to_bytes().unwrap());
}

#[test]
fn only_the_best_is_kept_across_fits() {
    let folder = Folder::new("checkpoint-best");
    let path = folder.join("{epoch}.safetensors");
    let mut best = weights_to(&path).save_best_only(true);
    fit(&[0.5, 0.7, 0.4, 0.4], &mut best).unwrap();
    assert_eq!(folder.files(""), ["1.safetensors", "3.safetensors"]);
    // The second training is worse but for its last epoch.
    fit(&[0.5, 0.6, 0.7, 0.8, 0.3], &mut best).unwrap();
    assert_eq!(folder.files(""), ["1.safetensors", "3.safetensors", "5.safetensors"]);

    let folder = Folder::new("checkpoint-threshold");
    let path = folder.join("{epoch}.safetensors");
    let max = weights_to(&path).save_best_only(true).mode(Mode::Max).initial_value_threshold(0.6);
    fit(&[0.5, 0.6, 0.7, 0.65], max).unwrap();
    assert_eq!(folder.files(""), ["3.safetensors"]);
}

#[test]
fn without_the_figure_every_model_is_the_best() {
    let folder = Folder::new("checkpoint-missing");
    let path = folder.join("{epoch}.safetensors");
    fit(&[0.5, 0.6], weights_to(&path).save_best_only(true).monitor("val_f1")).unwrap();
    assert_eq!(folder.files(""), ["1.safetensors", "2.safetensors"]);
    let unknown = |epoch: usize, logs: &mut Logs, _: &mut Model| {
        logs.set("mystery", epoch as f64);
        Ok(())
    };
    // Of a figure that is there but is no metric's it must be said what is better.
    let path = folder.join("mystery.safetensors");
    let odd = weights_to(&path).save_best_only(true).monitor("mystery");
    let (x, y) = points(8);
    let how = quiet().callbacks((LambdaCallback::new(unknown), odd));
    assert!(classifier().fit(&x, &y, how).unwrap_err().to_string().contains("maximized or minimized"));
}

#[test]
fn batches_are_counted_across_epochs() {
    let folder = Folder::new("checkpoint-batches");
    // Two batches an epoch: every third is the first of the second epoch and the second of the third.
    let path = folder.join("{epoch}-{batch}-{loss:.0f}.safetensors");
    fit(&[0.5, 0.6, 0.7], weights_to(&path).save_freq(3)).unwrap();
    let names: Vec<String> = folder.files("").iter().map(|name| name[..3].to_owned()).collect();
    assert_eq!(names, ["2-1", "3-2"]);
    // The validation is not over by then.
    let path = folder.join("{val_loss}.safetensors");
    let error = fit(&[0.5], weights_to(&path).save_freq(1)).err().unwrap().to_string();
    assert!(error.contains("Reason: 'val_loss'") && error.contains("epoch, batch, "), "{error}");
}

#[test]
fn what_cannot_be_saved_is_said() {
    let folder = Folder::new("checkpoint-errors");
    let error = |path: &str, with: fn(ModelCheckpoint) -> ModelCheckpoint| {
        fit(&[0.5], with(weights_to(&folder.join(path)))).err().unwrap()
    };
    let same = |checkpoint| checkpoint;
    assert!(error("weights.bin", same).to_string().contains("must end in `.weights.h5` or `.safetensors`"));
    assert!(error("{epoch.safetensors", same).is_invalid_argument());
    assert!(error("{epoch:02q}.safetensors", same).is_invalid_argument());
    assert!(error("{auc:.2f}.safetensors", same).to_string().contains("one of epoch, accuracy, loss, val_loss"));
    assert!(error("a.safetensors", |checkpoint| checkpoint.save_freq(0)).is_invalid_argument());
    assert!(error("a.h5", |checkpoint| checkpoint.save_weights_only(false)).is_invalid_argument());
    std::fs::create_dir(folder.join("taken.safetensors")).unwrap();
    let taken = error("taken.safetensors", same);
    assert!(taken.is_io() && taken.to_string().contains("non-directory filepath"), "{taken}");
    // A file where a folder should be: true even for who may write everywhere.
    std::fs::write(folder.join("file"), "").unwrap();
    assert!(error("file/a.safetensors", same).is_io());
    assert_eq!(folder.files(""), ["file", "taken.safetensors"]);
}

#[cfg(feature = "tensorboard")]
mod tensorboard {
    use super::*;

    /// The records of all event files of a folder.
    fn records(folder: &Folder, part: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for name in folder.files(part) {
            assert!(name.starts_with("events.out.tfevents."), "{name}");
            let bytes = std::fs::read(folder.join(part).join(name)).unwrap();
            let mut rest = &bytes[..];
            while let Some((length, after)) = rest.split_first_chunk::<8>() {
                let end = 4 + u64::from_le_bytes(*length) as usize;
                found.push(after[4..end].to_vec());
                rest = &after[end + 4..];
            }
        }
        found
    }

    /// How many records have this tag.
    fn count(records: &[Vec<u8>], tag: &str) -> usize {
        let tag = [&[0x0a, tag.len() as u8], tag.as_bytes()].concat();
        records.iter().filter(|record| record.windows(tag.len()).any(|bytes| bytes == tag)).count()
    }

    fn board(folder: &Folder) -> TensorBoard {
        TensorBoard::new(folder.join("logs"))
    }

    #[test]
    fn figures_of_epochs_batches_and_evaluations_are_written() {
        let folder = Folder::new("tensorboard-figures");
        let (x, y) = points(20);
        let mut callback = board(&folder).update_freq(2).histogram_freq(2).write_steps_per_second(true);
        let mut model = classifier();
        let how = quiet().epochs(3).batch_size(4).validation_split(0.2).callbacks(&mut callback);
        model.fit(&x, &y, how).unwrap();
        let (train, validation) = (records(&folder, "logs/train"), records(&folder, "logs/validation"));
        let found = |records: &[Vec<u8>], tags: &[&str]| tags.iter().map(|tag| count(records, tag)).collect::<Vec<_>>();
        let epoch = ["epoch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_steps_per_second"];
        assert_eq!(found(&train, &epoch), [3; 4]);
        assert_eq!(found(&validation, &epoch), [3, 3, 0, 0]);
        assert_eq!(found(&train, &["batch_loss", "batch_accuracy", "batch_steps_per_second"]), [6; 3]);
        let evaluation = ["evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"];
        assert_eq!(found(&validation, &evaluation), [3, 3]);
        // Epochs 0 and 2, four weights.
        assert_eq!(found(&train, &["hidden/kernel/histogram", "out/bias/histogram", "keras"]), [2, 2, 1]);

        // The same callback again, and in an evaluation of its own.
        model.evaluate(&x, &y, Evaluate::new().verbose(0).callbacks(&mut callback)).unwrap();
        model.fit(&x, &y, quiet().callbacks(&mut callback)).unwrap();
        assert_eq!((folder.files("logs/train").len(), folder.files("logs/validation").len()), (2, 2));
        assert_eq!(found(&records(&folder, "logs/train"), &["epoch_loss", "keras"]), [4, 2]);
        assert_eq!(count(&records(&folder, "logs/validation"), evaluation[0]), 4);
    }

    /// How often a text stands in a file.
    fn times(path: &Path, text: &str) -> usize {
        std::fs::read(path).unwrap().windows(text.len()).filter(|bytes| *bytes == text.as_bytes()).count()
    }

    #[test]
    fn the_batches_asked_for_are_profiled_in_each_fit() {
        let folder = Folder::new("tensorboard-profile");
        let (x, y) = points(20);
        let train = |board: TensorBoard| {
            let (before, mut board) = (folder.files("logs/plugins/profile"), board);
            let how = quiet().epochs(2).batch_size(4).callbacks(&mut board);
            classifier().fit(&x, &y, how)?;
            let mut runs = folder.files("logs/plugins/profile");
            runs.retain(|run| !before.contains(run));
            let path = |run| folder.join("logs/plugins/profile").join(run).join("wgtensor.xplane.pb");
            Ok::<Vec<PathBuf>, crate::Error>(runs.into_iter().map(path).collect())
        };
        // Five batches an epoch: of the second epoch, and what is cut off by the end of training.
        for (batches, steps) in [((7, 8), 2), ((9, 100), 2), ((10, 10), 1)] {
            let files = train(board(&folder).profile_batch(batches)).unwrap();
            let [file] = &files[..] else { panic!("{files:?}") };
            // Each name stands in the table of its plane once, and its number with each event.
            assert_eq!((times(file, "/host:CPU"), times(file, "/device:CUSTOM:CPU engine")), (1, 1));
            let host = ["\x07profile", "\x06replay", "\x06record"].map(|name| times(file, name));
            assert_eq!(host, [1, 1, 0], "{batches:?}");
            // Two layers forward, and back to the weights of both and to what lies between them.
            assert!(times(file, ":matmul") >= 5 * steps, "{}", times(file, ":matmul"));
        }
        assert!(train(board(&folder)).unwrap().is_empty());
        assert!(train(board(&folder).profile_batch(11)).unwrap().is_empty());
        for wrong in [(0, 2), (3, 2), (1, 0)] {
            let error = train(board(&folder).profile_batch(wrong)).unwrap_err();
            assert!(error.is_invalid_argument() && error.to_string().contains("profile_batch"), "{error}");
        }
        std::fs::remove_dir_all(folder.join("logs/plugins")).unwrap();
        std::fs::write(folder.join("logs/plugins"), "").unwrap();
        assert!(train(board(&folder).profile_batch(1)).unwrap_err().is_io());
    }

    #[test]
    fn losses_and_weights_that_are_no_numbers_are_no_reason_to_stop() {
        let folder = Folder::new("tensorboard-nan");
        let (x, _) = points(8);
        let y = Tensor::full([8], f64::NAN, DType::F32, &cpu()).unwrap();
        let mut model = classifier();
        model.fit(&x, &y, quiet().epochs(2).callbacks(board(&folder).histogram_freq(1).update_freq(1))).unwrap();
        assert!(model.get_weights().unwrap()[0].to_vec::<f32>().unwrap().iter().all(|w| w.is_nan()));
        assert_eq!(count(&records(&folder, "logs/train"), "out/kernel/histogram"), 2);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_before_the_first_step() {
        let folder = Folder::new("tensorboard-errors");
        std::fs::write(folder.join("logs"), "").unwrap();
        let (x, y) = points(8);
        let error = classifier().fit(&x, &y, quiet().callbacks(board(&folder))).unwrap_err();
        assert!(error.is_io() && error.to_string().contains("log_dir"), "{error}");
        let error = classifier().fit(&x, &y, quiet().callbacks(board(&folder).update_freq(0))).unwrap_err();
        assert!(error.is_invalid_argument());
    }

    /// A layer without a configuration has no place in a graph.
    #[test]
    fn a_model_that_cannot_be_written_down_trains_all_the_same() {
        struct Same;
        impl Layer for Same {
            fn class_name(&self) -> &'static str {
                "Same"
            }
            fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
                x.mul(1.0)
            }
        }
        let folder = Folder::new("tensorboard-graph");
        let (x, y) = points(8);
        let mut model = Sequential::new().add(Same).add(Dense::new(1).activation("sigmoid"));
        model.compile("sgd", "binary_crossentropy", ()).unwrap();
        model.fit(&x, &y, quiet().callbacks(board(&folder))).unwrap();
        let train = records(&folder, "logs/train");
        assert_eq!((count(&train, "keras"), count(&train, "epoch_loss")), (0, 1));
    }
}
