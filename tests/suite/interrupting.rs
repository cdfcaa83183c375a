//! Training that is ended from outside. What asks is heard by every `fit` of a program, so each test is a program of its own:
//! this one, run again.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use wgtensor::nn::callbacks::Callback;
use wgtensor::nn::prelude::*;
use wgtensor::nn::{Logs, interrupt};
use wgtensor::{DType, Device, Result, Tensor};

const WHAT: &str = "WGTENSOR_TEST_INTERRUPT";

/// What a callback does after each step.
struct After<F>(F);

impl<F: FnMut(usize)> Callback for After<F> {
    fn on_train_batch_end(&mut self, batch: usize, _: &mut Model) -> Result<()> {
        (self.0)(batch);
        Ok(())
    }
    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        assert!(model.stop_training);
        Ok(())
    }
}

/// Says something to the test that waits for it; not through the test's own output, which is kept back.
fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).unwrap();
}

struct Training {
    model: Sequential,
    x: Tensor,
    y: Tensor,
}

impl Training {
    fn new() -> Self {
        let device = Device::from_env().unwrap();
        let x = Tensor::ones([64, 2], DType::F32, &device).unwrap();
        let y = Tensor::ones([64, 1], DType::F32, &device).unwrap();
        let mut model = Sequential::new().add(Dense::new(1));
        model.compile("sgd", "mse", ()).unwrap();
        Training { model, x, y }
    }

    /// Trains for a billion epochs of 8 steps, unless it is interrupted.
    fn fit(&mut self, after: impl FnMut(usize)) -> History {
        let how = Fit::new().epochs(1_000_000_000).batch_size(8).verbose(0).callbacks(After(after));
        self.model.fit(&self.x, &self.y, how).unwrap()
    }
}

/// What the program that a test starts does.
#[test]
fn child() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let mut training = Training::new();
    match what.as_str() {
        "itself" => itself(&mut training),
        "validation" => validation(&mut training),
        "first" => {
            let mut steps = 0;
            let history = training.fit(|_| {
                steps += 1;
                if steps == 20 {
                    say("training");
                }
            });
            assert!(history.interrupted && training.model.is_interrupted());
            assert_eq!(history["loss"].len(), history.epoch.len());
            // The model works on, and so does the next training.
            let outputs = training.model.predict(&training.x, Predict::new().verbose(0)).unwrap();
            assert!(outputs.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
            let again = training.model.fit(&training.x, &training.y, Fit::new().verbose(0)).unwrap();
            assert!(!again.interrupted && !training.model.is_interrupted() && again.epoch == [0]);
            say("trained");
            std::thread::sleep(Duration::from_secs(60));
        }
        "second" => {
            training.fit(|_| {
                say("training");
                std::thread::sleep(Duration::from_secs(60));
            });
        }
        #[cfg(feature = "ctrlc")]
        "own" => {
            ctrlc::set_handler(|| say(&format!("heard {}", interrupt()))).unwrap();
            let mut steps = 0;
            let history = training.fit(|_| {
                steps += 1;
                if steps == 20 {
                    say("training");
                }
            });
            assert!(history.interrupted);
            say("trained");
            std::thread::sleep(Duration::from_secs(60));
        }
        other => panic!("no such child: {other}"),
    }
}

/// Asked by the program itself, in a step: that epoch is not in the history, those before are.
fn itself(training: &mut Training) {
    assert!(!interrupt(), "nothing is trained");
    let mut steps = 0;
    let history = training.fit(|batch| {
        steps += 1;
        assert!(steps <= 20);
        if steps == 20 {
            assert_eq!(batch, 3);
            assert!(interrupt(), "the first time");
            assert!(!interrupt(), "the second time");
        }
    });
    assert_eq!((history.epoch.as_slice(), history["loss"].len(), history.interrupted), (&[0, 1][..], 2, true));
    assert!(!interrupt(), "nothing is trained any more");
    // Before the first epoch is over there are no figures, and training goes on with the weights as they are.
    let first = training.fit(|_| {
        interrupt();
    });
    assert!(first.interrupted && first.epoch.is_empty() && first.get("loss").is_none());
    let before = training.model.evaluate(&training.x, &training.y, Evaluate::new().verbose(0)).unwrap()["loss"];
    assert!(before <= history["loss"][1]);
    // At the end of an epoch it is whole.
    let whole = LambdaCallback::new(|epoch, _: &mut Logs, _: &mut Model| {
        if epoch == 2 {
            assert!(interrupt());
        }
        Ok(())
    });
    let how = Fit::new().epochs(9).verbose(2).callbacks(whole);
    let history = training.model.fit(&training.x, &training.y, how).unwrap();
    assert_eq!((history.epoch.as_slice(), history.interrupted), (&[0, 1, 2][..], true));
}

/// Asked in a validation: it ends, and its figures are nobody's.
fn validation(training: &mut Training) {
    #[derive(Default)]
    struct Validated(usize, usize);
    impl Callback for Validated {
        fn on_test_batch_end(&mut self, batch: usize, _: &mut Model) -> Result<()> {
            self.0 += 1;
            if self.1 == 1 && batch == 1 {
                assert!(interrupt());
            }
            Ok(())
        }
        fn on_test_end(&mut self, _: &Logs, _: &mut Model) -> Result<()> {
            self.1 += 1;
            Ok(())
        }
    }
    let mut validated = Validated::default();
    let how = Fit::new().epochs(9).batch_size(8).verbose(1).validation_data(&training.x, &training.y);
    let history = training.model.fit(&training.x, &training.y, how.callbacks(&mut validated)).unwrap();
    assert_eq!((history.epoch.as_slice(), history["val_loss"].len(), history.interrupted), (&[0][..], 1, true));
    assert_eq!((validated.0, validated.1), (8 + 2, 1));
}

fn start(what: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["suite::interrupting::child", "--exact", "--nocapture", "--test-threads=1"]).env(WHAT, what);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn finish(mut child: Child) -> ExitStatus {
    for _ in 0..600 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("the program did not end");
}

#[test]
fn the_program_may_end_its_training_itself() {
    for what in ["itself", "validation"] {
        let mut child = start(what);
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(finish(child).success(), "{what}: {text}");
        assert!(text.contains("1 passed"), "{text}");
        assert_eq!(text.contains("Epoch 2: interrupted"), what == "validation", "{text}");
    }
}

#[cfg(all(unix, feature = "ctrlc"))]
mod signals {
    use std::io::{BufRead, BufReader};

    use super::*;

    /// Reads on until the program says this.
    fn heard(out: &mut impl BufRead, wanted: &str) {
        let mut text = String::new();
        while !text.ends_with(&format!("{wanted}\n")) {
            assert!(out.read_line(&mut text).unwrap() > 0, "the program ended before it said {wanted}: {text}");
        }
    }

    fn signal(child: &Child) {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    }

    /// Starts a program; nothing where this one was told to ignore Ctrl-C, which its children then do too.
    fn started(what: &str) -> Option<(Child, BufReader<std::process::ChildStdout>)> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        if ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & 2 != 0) {
            return None;
        }
        let mut child = start(what);
        let out = BufReader::new(child.stdout.take().unwrap());
        Some((child, out))
    }

    #[test]
    fn the_first_ctrl_c_ends_the_training_and_a_later_one_the_program() {
        let Some((child, mut out)) = started("first") else { return };
        heard(&mut out, "training");
        signal(&child);
        heard(&mut out, "trained");
        signal(&child);
        assert_eq!(finish(child).code(), Some(130));
    }

    #[test]
    fn the_second_ctrl_c_ends_the_program_at_once() {
        let Some((child, mut out)) = started("second") else { return };
        heard(&mut out, "training");
        signal(&child);
        std::thread::sleep(Duration::from_millis(300));
        signal(&child);
        assert_eq!(finish(child).code(), Some(130));
    }

    #[test]
    fn a_handler_of_the_program_stays_and_may_ask() {
        let Some((mut child, mut out)) = started("own") else { return };
        heard(&mut out, "training");
        signal(&child);
        heard(&mut out, "heard true");
        heard(&mut out, "trained");
        // Now it is the program's business again.
        signal(&child);
        heard(&mut out, "heard false");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
