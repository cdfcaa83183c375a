//! The figures of an epoch, and of all epochs.

use std::ops::Index;

/// Named figures in an order, such as `loss` and `accuracy`.
///
/// ```
/// use wgtensor::nn::Logs;
///
/// let mut logs = Logs::default();
/// logs.set("loss", 0.5);
/// assert_eq!((logs["loss"], logs.get("accuracy"), logs.names()), (0.5, None, vec!["loss"]));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(Vec<(String, f64)>);

impl Logs {
    pub(crate) fn new(pairs: Vec<(String, f64)>) -> Self {
        Logs(pairs)
    }

    /// The figure of this name.
    ///
    /// ```
    /// use wgtensor::nn::Logs;
    ///
    /// let mut logs = Logs::default();
    /// logs.set("loss", 0.5);
    /// assert_eq!((logs.get("loss"), logs.get("mae")), (Some(0.5), None));
    /// ```
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Sets or adds a figure.
    ///
    /// ```
    /// use wgtensor::nn::Logs;
    ///
    /// let mut logs = Logs::default();
    /// logs.set("loss", 0.5);
    /// logs.set("loss", 0.25);
    /// assert_eq!(logs.values(), [0.25]);
    /// ```
    pub fn set(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Names and figures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The figures, in order: Keras's list `[loss, metrics...]`.
    pub fn values(&self) -> Vec<f64> {
        self.0.iter().map(|(_, value)| *value).collect()
    }

    /// In alphabetical order, as Keras shows them.
    pub(crate) fn sorted(mut self) -> Vec<(String, f64)> {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0
    }
}

impl Index<&str> for Logs {
    type Output = f64;

    /// Panics where there is no figure of this name; [`Logs::get`] does not.
    fn index(&self, name: &str) -> &f64 {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        found.unwrap_or_else(|| panic!("no figure named `{name}`; there are {}", self.names().join(", ")))
    }
}

/// What `fit` returns: the figures of each epoch.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let history = model.fit(&x, &y, Fit::new().epochs(3).verbose(0))?;
/// assert_eq!(history["loss"].len(), 3);
/// assert_eq!(history.last("loss"), Some(history["loss"][2]));
/// assert!(history.get("val_loss").is_none());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// A list for each name, one figure an epoch, in the order of first appearance.
    pub history: Vec<(String, Vec<f64>)>,
    /// The epochs run, from 0.
    pub epoch: Vec<usize>,
    /// How training was asked for.
    pub params: Params,
    /// Whether training was [interrupted](crate::nn::interrupt); the epoch in which it was is left out.
    pub interrupted: bool,
    /// Of each list the epochs of its figures: those of a validation may come every few epochs only.
    pub(in crate::nn) epochs: Vec<(String, Vec<usize>)>,
}

/// Where a run of `fit` stands: what it takes to go on from there, besides the model's weights and its optimizer's.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// use wgtensor::nn::callbacks::Callback;
/// use wgtensor::nn::Position;
///
/// /// Goes on at the third epoch, in the order of the samples that follows from this seed.
/// struct GoOn;
/// impl Callback for GoOn {
///     fn on_train_begin(&mut self, model: &mut Model) -> wgtensor::Result<()> {
///         model.position = Some(Position { epoch: 2, batch: 0, seed: 7 });
///         Ok(())
///     }
/// }
///
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let history = model.fit(&x, &y, Fit::new().epochs(5).callbacks(GoOn).verbose(0))?;
/// assert_eq!(history.epoch, [2, 3, 4]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Its next batch, from 0.
    pub batch: usize,
    /// What the order of the samples and all that is random in training follow from.
    pub seed: u64,
}

/// Keras's `history.params`: what was asked of [`fit`](crate::nn::Model::fit).
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let device = Device::cpu();
/// let (x, y) = (Tensor::ones([10, 2], DType::F32, &device)?, Tensor::ones([10, 1], DType::F32, &device)?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let params = model.fit(&x, &y, Fit::new().epochs(2).batch_size(4).verbose(0))?.params;
/// assert_eq!((params.epochs, params.steps, params.verbose), (2, 3, 0));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// 0 silent, 1 a bar, 2 a line an epoch.
    pub verbose: u8,
    /// Epochs asked for.
    pub epochs: usize,
    /// Batches an epoch.
    pub steps: usize,
}

impl History {
    pub(crate) fn push(&mut self, epoch: usize, logs: &Logs) {
        self.epoch.push(epoch);
        for (name, value) in logs.iter() {
            let list = self.history.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                self.history.push((name.to_owned(), Vec::new()));
                self.history.len() - 1
            });
            self.history[list].1.push(value);
            match self.epochs.iter_mut().find(|(known, _)| known == name) {
                Some((_, epochs)) => epochs.push(epoch),
                None => self.epochs.push((name.to_owned(), vec![epoch])),
            }
        }
    }

    /// One figure for each epoch.
    ///
    /// ```
    /// use wgtensor::nn::History;
    ///
    /// let mut history = History::default();
    /// history.history = vec![("loss".into(), vec![0.5, 0.25])];
    /// assert_eq!((history.get("loss"), history.get("mae")), (Some(&[0.5, 0.25][..]), None));
    /// ```
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.history.iter().find(|(n, _)| n == name).map(|(_, values)| values.as_slice())
    }

    /// The epochs, from 0, and figures of a list.
    #[cfg(feature = "plot")]
    pub(crate) fn points(&self, name: &str) -> impl Iterator<Item = (usize, f64)> {
        let list = self.history.iter().position(|(n, _)| n == name);
        let figures = list.map_or(&[][..], |list| self.history[list].1.as_slice());
        let epochs =
            self.epochs.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, epochs)| epochs.as_slice());
        // Figures that somebody put in themselves count on from there.
        let epoch = move |place: usize| match epochs.get(place) {
            Some(&epoch) => epoch,
            None => place - epochs.len() + epochs.last().map_or(0, |last| last + 1),
        };
        figures.iter().enumerate().map(move |(place, &figure)| (epoch(place), figure))
    }

    /// The figure of the last epoch.
    ///
    /// ```
    /// use wgtensor::nn::History;
    ///
    /// let mut history = History::default();
    /// history.history = vec![("loss".into(), vec![0.5, 0.25])];
    /// assert_eq!(history.last("loss"), Some(0.25));
    /// ```
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name)?.last().copied()
    }
}

impl Index<&str> for History {
    type Output = [f64];

    /// Panics where there is no figure of this name; [`History::get`] does not.
    #[track_caller]
    fn index(&self, name: &str) -> &[f64] {
        let Some(values) = self.get(name) else {
            let names: Vec<&str> = self.history.iter().map(|(n, _)| n.as_str()).collect();
            panic!("no figure named `{name}`; there are {}", names.join(", "));
        };
        values
    }
}
