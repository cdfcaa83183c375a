//! A figure that callbacks watch: whether it improves.

use crate::error::{Error, Kind, Result};
use crate::nn::history::Logs;
use crate::nn::model::Model;
use crate::nn::progress::warn;

/// Whether a monitored figure should fall or rise.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let stop = EarlyStopping::new().monitor("val_score").mode(callbacks::Mode::Max).patience(3);
/// # drop(stop);
/// ```
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
pub(super) struct Monitor {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) min_delta: f64,
    pub(super) best: Option<f64>,
    /// Whether it was said that there is no such figure.
    pub(super) warned: bool,
}

impl Monitor {
    pub(super) fn new(min_delta: f64) -> Self {
        Monitor { name: "val_loss".into(), mode: Mode::Auto, min_delta, best: None, warned: false }
    }

    /// The figure, with Keras's warning, once, where there is none.
    pub(super) fn current(&mut self, logs: &Logs, what: &str) -> Option<f64> {
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
    pub(super) fn resolve(&mut self, class: &str, model: &Model) -> Result<()> {
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

    pub(super) fn improves(&self, value: f64, on: Option<f64>) -> bool {
        on.is_none_or(|best| match self.mode {
            Mode::Max => value - self.min_delta > best,
            _ => value + self.min_delta < best,
        })
    }
}

/// The builder methods of callbacks that watch a figure.
macro_rules! watching {
    () => {
        /// The figure watched; `val_loss` by default.
        pub fn monitor(mut self, name: impl Into<String>) -> Self {
            self.watched.name = name.into();
            self
        }

        /// Whether smaller or larger is better; known from the metric by default.
        pub fn mode(mut self, mode: $crate::nn::callbacks::Mode) -> Self {
            self.watched.mode = mode;
            self
        }

        /// Whether to say what is done; silent by default.
        pub fn verbose(mut self, yes: bool) -> Self {
            self.verbose = yes;
            self
        }
    };
}
pub(super) use watching;

/// Those of callbacks that wait for it to improve.
macro_rules! monitored {
    () => {
        $crate::nn::callbacks::monitor::watching!();

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
    };
}
pub(super) use monitored;

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
