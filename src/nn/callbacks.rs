//! Keras's callbacks: stopping early, changing the learning rate, writing figures down.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::nn::history::Logs;
use crate::nn::model::Model;
pub use crate::nn::model::{Callback, IntoCallbacks};
use crate::nn::progress::{print, warn};

/// Whether a monitored figure should fall or rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Known from the metric.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// A figure that is watched, and the best it has been.
struct Monitor {
    name: String,
    mode: Mode,
    min_delta: f64,
    best: Option<f64>,
    /// Whether it was said that there is no such figure.
    warned: bool,
}

impl Monitor {
    fn new(min_delta: f64) -> Self {
        Monitor { name: "val_loss".into(), mode: Mode::Auto, min_delta, best: None, warned: false }
    }

    /// The figure, with Keras's warning, once, where there is none.
    fn current(&mut self, logs: &Logs, what: &str) -> Option<f64> {
        let value = logs.get(&self.name);
        if value.is_none() && !std::mem::replace(&mut self.warned, true) {
            warn(&self.missing(logs, what));
        }
        value
    }

    fn missing(&self, logs: &Logs, what: &str) -> String {
        let available = logs.names().join(",");
        format!(
            "{what} conditioned on metric `{}` which is not available. Available metrics are: {available}",
            self.name
        )
    }

    /// Settles `Auto` once the metrics are known.
    fn resolve(&mut self, class: &str, model: &Model) -> Result<()> {
        if self.mode == Mode::Auto {
            let metric = self.name.strip_prefix("val_").unwrap_or(&self.name);
            self.mode = match model.larger_is_better(metric) {
                Some(true) => Mode::Max,
                Some(false) => Mode::Min,
                None => {
                    return Err(Error::parts(
                        Kind::Argument,
                        &format!(
                            "{class} callback received monitor={}, but it is not known whether that metric should be \
                             maximized or minimized",
                            self.name
                        ),
                        &format!("monitor=\"{}\" with mode Auto", self.name),
                        "a metric of known direction, or a mode",
                        "Set the mode to `Mode::Max` or `Mode::Min`",
                    ));
                }
            };
        }
        Ok(())
    }

    fn improves(&self, value: f64, on: Option<f64>) -> bool {
        on.is_none_or(|best| match self.mode {
            Mode::Max => value - self.min_delta > best,
            _ => value + self.min_delta < best,
        })
    }
}

/// The builder methods of callbacks that watch a figure.
macro_rules! monitored {
    () => {
        /// The figure watched; `val_loss` by default.
        pub fn monitor(mut self, name: impl Into<String>) -> Self {
            self.watched.name = name.into();
            self
        }

        /// Whether smaller or larger is better; known from the metric by default.
        pub fn mode(mut self, mode: Mode) -> Self {
            self.watched.mode = mode;
            self
        }

        /// The least change that counts as an improvement.
        pub fn min_delta(mut self, delta: f64) -> Self {
            self.watched.min_delta = delta.abs();
            self
        }

        /// Epochs without improvement to wait.
        pub fn patience(mut self, epochs: usize) -> Self {
            self.patience = epochs;
            self
        }

        /// Whether to say what is done; silent by default.
        pub fn verbose(mut self, yes: bool) -> Self {
            self.verbose = yes;
            self
        }
    };
}

/// Ends training when a figure no longer improves.
///
/// Defaults: monitors `val_loss`, patience 0, keeps the last weights.
pub struct EarlyStopping {
    watched: Monitor,
    patience: usize,
    verbose: bool,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    wait: usize,
    stopped: Option<usize>,
    best_epoch: usize,
    best_weights: Option<Vec<Tensor>>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            watched: Monitor::new(0.0),
            patience: 0,
            verbose: false,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            wait: 0,
            stopped: None,
            best_epoch: 0,
            best_weights: None,
        }
    }
}

impl EarlyStopping {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that must be beaten for the patience to start again.
    pub fn baseline(mut self, value: f64) -> Self {
        self.baseline = Some(value);
        self
    }

    /// Whether to go back to the weights of the best epoch at the end.
    pub fn restore_best_weights(mut self, yes: bool) -> Self {
        self.restore_best_weights = yes;
        self
    }

    /// Epochs at the start that are not watched.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// The epoch, from 0, after which training was ended; `None` where it was not.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped
    }

    monitored!();
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        (self.wait, self.stopped, self.best_epoch) = (0, None, 0);
        (self.watched.best, self.best_weights) = (None, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let current = self.watched.current(logs, "Early stopping");
        let Some(current) = current.filter(|_| epoch >= self.start_from_epoch) else { return Ok(()) };
        self.watched.resolve("EarlyStopping", model)?;
        if self.restore_best_weights && self.best_weights.is_none() {
            self.best_weights = Some(model.get_weights()?);
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if self.watched.improves(current, self.watched.best) {
            self.watched.best = Some(current);
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights = Some(model.get_weights()?);
            }
            if self.watched.improves(current, self.baseline) {
                self.wait = 0;
            }
        } else if self.wait >= self.patience && epoch > 0 {
            self.stopped = Some(epoch);
            model.stop_training = true;
        }
        Ok(())
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        if let Some(epoch) = self.stopped.filter(|_| self.verbose) {
            print(&format!("Epoch {}: early stopping\n", epoch + 1));
        }
        let Some(weights) = self.best_weights.take() else { return Ok(()) };
        if self.verbose {
            let best = self.best_epoch + 1;
            print(&format!("Restoring model weights from the end of the best epoch: {best}.\n"));
        }
        model.set_weights(&weights)
    }
}

/// Lowers the learning rate when a figure no longer improves.
///
/// Defaults: monitors `val_loss`, factor 0.1, patience 10, min_delta 1e-4. Adds `learning_rate` to the history.
pub struct ReduceLROnPlateau {
    watched: Monitor,
    patience: usize,
    verbose: bool,
    factor: f64,
    cooldown: usize,
    min_lr: f64,
    wait: usize,
    cooling: usize,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        ReduceLROnPlateau {
            watched: Monitor::new(1e-4),
            patience: 10,
            verbose: false,
            factor: 0.1,
            cooldown: 0,
            min_lr: 0.0,
            wait: 0,
            cooling: 0,
        }
    }
}

impl ReduceLROnPlateau {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rate is multiplied by this, which must be below 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs to rest after a change.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The rate does not go below this.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    monitored!();
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::setting("ReduceLROnPlateau", "factor", self.factor, "a number from 0 to below 1"));
        }
        (self.watched.best, self.wait, self.cooling) = (None, 0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let rate = model.learning_rate()?;
        logs.set("learning_rate", rate);
        let Some(current) = self.watched.current(logs, "Learning rate reduction is") else { return Ok(()) };
        self.watched.resolve("ReduceLROnPlateau", model)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if self.watched.improves(current, self.watched.best) {
            self.watched.best = Some(current);
            self.wait = 0;
        } else if self.cooling == 0 {
            self.wait += 1;
            if self.wait >= self.patience && rate > self.min_lr {
                let lower = (rate * self.factor).max(self.min_lr);
                model.set_learning_rate(lower)?;
                if self.verbose {
                    print(&format!("\nEpoch {}: ReduceLROnPlateau reducing learning rate to {lower:?}.\n", epoch + 1));
                }
                (self.cooling, self.wait) = (self.cooldown, 0);
            }
        }
        Ok(())
    }
}

/// Sets the learning rate of each epoch from a function of the epoch and the rate so far.
/// Adds `learning_rate` to the history.
pub struct LearningRateScheduler<F> {
    schedule: F,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// `schedule(epoch, rate)` is the new rate; epochs count from 0.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler { schedule }
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        let rate = (self.schedule)(epoch, model.learning_rate()?);
        model.set_learning_rate(rate)
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        logs.set("learning_rate", model.learning_rate()?);
        Ok(())
    }
}

/// Ends training when the loss is NaN or infinite. Reads the loss back at every step, which makes small steps slower.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN;

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(&mut self, batch: usize, model: &mut Model) -> Result<()> {
        if !model.running_logs()?["loss"].is_finite() {
            print(&format!("Batch {batch}: Invalid loss, terminating training\n"));
            model.stop_training = true;
        }
        Ok(())
    }
}

/// Writes the figures of each epoch to a file: `epoch,loss,...`, a missing one as `NA`.
pub struct CSVLogger {
    path: PathBuf,
    separator: char,
    open: Option<(File, Vec<String>)>,
}

impl CSVLogger {
    /// Writes to this file, from the start.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CSVLogger { path: path.into(), separator: ',', open: None }
    }

    /// What stands between two figures; a comma by default.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    fn write(&mut self, epoch: usize, logs: &Logs) -> std::io::Result<()> {
        let between = self.separator.to_string();
        let (file, names) = match &mut self.open {
            Some(open) => open,
            None => {
                let mut names: Vec<String> = logs.names().into_iter().map(str::to_owned).collect();
                names.sort();
                // Validation may come in a later epoch only: Keras makes room for it.
                if !names.iter().any(|name| name.starts_with("val_")) {
                    names.extend(names.clone().iter().map(|name| format!("val_{name}")));
                }
                let mut file = File::create(&self.path)?;
                writeln!(file, "epoch{between}{}", names.join(&between))?;
                self.open.insert((file, names))
            }
        };
        let figure = |name: &String| logs.get(name).map_or("NA".to_owned(), |value| value.to_string());
        let figures: Vec<String> = names.iter().map(figure).collect();
        writeln!(file, "{epoch}{between}{}", figures.join(&between))?;
        file.flush()
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.open = None;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, _: &mut Model) -> Result<()> {
        self.write(epoch, logs).map_err(|error| {
            Error::new(
                Kind::Io,
                format!(
                    "The training log could not be written. Received: {error} for {}. Expected: a file that can be \
                     written. Check the folder and the free space.",
                    self.path.display()
                ),
            )
        })
    }
}

/// A function called after each epoch.
pub struct LambdaCallback<F> {
    on_epoch_end: F,
}

impl<F: FnMut(usize, &mut Logs, &mut Model) -> Result<()>> LambdaCallback<F> {
    /// Calls `on_epoch_end(epoch, logs, model)`.
    pub fn new(on_epoch_end: F) -> Self {
        LambdaCallback { on_epoch_end }
    }
}

impl<F: FnMut(usize, &mut Logs, &mut Model) -> Result<()>> Callback for LambdaCallback<F> {
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        (self.on_epoch_end)(epoch, logs, model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_does_not_exist_is_named_once() {
        let mut watched = Monitor::new(0.0);
        let logs = Logs::new(vec![("accuracy".into(), 0.5), ("loss".into(), 1.0)]);
        let expected = "Early stopping conditioned on metric `val_loss` which is not available. Available metrics are: \
                        accuracy,loss";
        assert_eq!(watched.missing(&logs, "Early stopping"), expected);
        assert_eq!((watched.warned, watched.current(&logs, "Early stopping")), (false, None));
        assert_eq!((watched.warned, watched.current(&logs, "Early stopping")), (true, None));
    }
}
