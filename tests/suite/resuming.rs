//! Training that is killed and started again: each run is a program of its own, this one, run again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wgtensor::data::{Array, Dataset};
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Result, Tensor};

const FOLDER: &str = "WGTENSOR_TEST_RESUME";
const EPOCHS: usize = 6;

/// Trains with backups in a folder, and writes the weights down at the end.
fn train(folder: &Path, device: &Device, frequency: usize, dataset: bool) -> Result<()> {
    let x = Input::new([6]).node();
    let h = BatchNormalization::new().name("norm").on(Dense::new(8).activation("tanh").name("hidden").on(&x)?)?;
    let h = Dropout::new(0.3).on(h)?;
    let mut model = Model::new(&x, Dense::new(3).activation(Softmax).name("top").on(&h)?)?;
    model.compile(Adam::new(0.01).use_ema(true), "sparse_categorical_crossentropy", ["accuracy"])?;
    // The same weights at each start.
    let shapes: Vec<Tensor> = {
        model.count_params()?;
        let shape = |var: &wgtensor::Var| Tensor::uniform(var.shape(), 0.1, 0.5, 3, &Device::cpu());
        model.weights().iter().map(shape).collect::<Result<_>>()?
    };
    model.set_weights(&shapes)?;
    let x = Tensor::uniform([200, 6], -1.0, 1.0, 9, &Device::cpu())?.to_vec::<f32>()?;
    let y: Vec<i32> = (0..200).map(|i| i % 3).collect();
    let backup = BackupAndRestore::new(folder.join("backup")).save_freq(frequency);
    // Slow enough to be killed in the middle.
    let wait = LambdaCallback::new(|_, _, _| {
        std::thread::sleep(Duration::from_millis(15));
        Ok(())
    });
    let how = Fit::new().epochs(EPOCHS).verbose(0).callbacks((backup, wait));
    match dataset {
        true => {
            let rows = Dataset::from_tensor_slices((Array::from_slice(&x, [200, 6])?, Array::from_slice(&y, [200])?))?;
            model.fit(rows.shuffle(50, 4).batch(8).prefetch(2), (), how.seed(7))?;
        }
        false => {
            let (x, y) = (Tensor::from_slice(&x, [200, 6], device)?, Tensor::from_slice(&y, [200], device)?);
            model.fit(&x, &y, how.seed(7).batch_size(8))?;
        }
    }
    std::fs::write(folder.join("weights"), model.weights_to_bytes()?).unwrap();
    Ok(())
}

#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let setting = |name| std::env::var(format!("{FOLDER}_{name}")).unwrap();
    let device = Device::from_env().unwrap();
    train(&folder, &device, setting("FREQUENCY").parse().unwrap(), setting("DATASET") == "1").unwrap();
}

struct Runs {
    folder: PathBuf,
    device: &'static str,
    frequency: usize,
    dataset: bool,
}

impl Runs {
    /// Starts the program; kills it after a while, if it is still running then. Whether it came to its end.
    fn start(&self, kill_after: Option<Duration>) -> bool {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "suite::resuming::child"])
            .env(FOLDER, &self.folder)
            .env(format!("{FOLDER}_FREQUENCY"), self.frequency.to_string())
            .env(format!("{FOLDER}_DATASET"), if self.dataset { "1" } else { "0" })
            .env("WGTENSOR_DEVICE", self.device)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return true;
            }
            if kill_after.is_some_and(|after| begun.elapsed() > after) {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn weights(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("weights")).unwrap()
    }
}

/// A run that is killed at so many moments comes to the weights of one that was not.
fn killed(device: &'static str, times: u64) {
    let folder = |name: &str| {
        let folder = std::env::temp_dir().join(format!("wgtensor-resume-{}-{device}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let mut state = std::process::id();
    for dataset in [false, true] {
        let whole = Runs { folder: folder("whole"), device, frequency: 1000, dataset };
        let begun = Instant::now();
        assert!(whole.start(None));
        let lasts = begun.elapsed();
        let mut left = times.div_ceil(2);
        while left > 0 {
            let cut = Runs { folder: folder("cut"), frequency: 3, ..whole };
            // Each time somewhere in a whole run's time; what was done before is not done again.
            loop {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let after = (left > 0).then(|| lasts.mul_f64(f64::from(state >> 8) / f64::from(1u32 << 24)));
                if cut.start(after) {
                    break;
                }
                left -= 1;
            }
            let (got, wanted) = (cut.weights(), whole.weights());
            let differs = got.iter().zip(&wanted).filter(|(a, b)| a != b).count();
            assert!(got == wanted, "{device}: {differs} bytes differ after a kill, data set: {dataset}");
            assert_eq!(
                std::fs::read_dir(cut.folder.join("backup")).unwrap().count(),
                0,
                "the backup is gone at the end"
            );
            std::fs::remove_dir_all(&cut.folder).unwrap();
        }
        std::fs::remove_dir_all(&whole.folder).unwrap();
    }
}

#[test]
fn a_run_killed_at_any_moment_comes_to_the_same_weights() {
    killed("cpu", 20);
}

#[test]
#[cfg(feature = "gpu")]
fn so_does_one_on_a_gpu() {
    if wgtensor::Device::gpu().is_ok() {
        killed("gpu", 20);
    }
}
