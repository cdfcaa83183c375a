//! Training.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Model;
use super::arrays::Arrays;
use super::batches::{Batch, Data, class_weights, order, same_device};
use super::callback::{Callbacks, IntoCallbacks};
use super::evaluate::batch_size;
use super::step::Steps;
use crate::Tensor;
use crate::error::{Error, Kind, Result, entry, entry_async};
use crate::nn::history::{History, Logs, Params};
use crate::nn::layers::CallCtx;
use crate::nn::progress::{Display, Verbose, print};
use crate::nn::seeds::{self, SeedStream};
use crate::sys::block_on;

/// How to train. The defaults are Keras's: one epoch, batches of 32, shuffled, with a progress bar.
pub struct Fit<'a> {
    epochs: usize,
    initial_epoch: usize,
    batch_size: Option<usize>,
    verbose: Verbose,
    shuffle: bool,
    seed: Option<u64>,
    validation_split: f64,
    validation: Option<(Arrays, Arrays)>,
    validation_weight: Option<Arrays>,
    validation_batch_size: Option<usize>,
    validation_freq: usize,
    class_weight: Vec<(i64, f64)>,
    sample_weight: Option<Arrays>,
    callbacks: Callbacks<'a>,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit {
            epochs: 1,
            initial_epoch: 0,
            batch_size: None,
            verbose: Verbose::Auto,
            shuffle: true,
            seed: None,
            validation_split: 0.0,
            validation: None,
            validation_weight: None,
            validation_batch_size: None,
            validation_freq: 1,
            class_weight: Vec::new(),
            sample_weight: None,
            callbacks: Callbacks::default(),
        }
    }
}

impl From<usize> for Fit<'_> {
    fn from(batch_size: usize) -> Self {
        Fit::new().batch_size(batch_size)
    }
}

impl From<()> for Fit<'_> {
    fn from((): ()) -> Self {
        Fit::new()
    }
}

impl<'a> Fit<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often to go through the data; 1 by default.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The epoch to start from, to go on with an earlier run; 0 by default.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Samples a step; 32 by default. The last batch of an epoch may be smaller.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Whether each epoch has an order of its own; it does by default.
    pub fn shuffle(mut self, yes: bool) -> Self {
        self.shuffle = yes;
        self
    }

    /// The seed of shuffling and dropout; without it, one is drawn from the program's
    /// ([`set_random_seed`](crate::nn::set_random_seed)).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Keeps this share of the samples, the last ones, for validation.
    pub fn validation_split(mut self, share: f64) -> Self {
        self.validation_split = share;
        self
    }

    /// Data to evaluate after each epoch; comes before `validation_split`.
    pub fn validation_data(mut self, x: impl Into<Arrays>, y: impl Into<Arrays>) -> Self {
        self.validation = Some((x.into(), y.into()));
        self
    }

    /// One weight a sample of `validation_data`.
    pub fn validation_sample_weight(mut self, weights: impl Into<Arrays>) -> Self {
        self.validation_weight = Some(weights.into());
        self
    }

    /// Samples a batch of the validation; `batch_size` by default.
    pub fn validation_batch_size(mut self, rows: usize) -> Self {
        self.validation_batch_size = Some(rows);
        self
    }

    /// Validates after every so many epochs; 1 by default.
    pub fn validation_freq(mut self, epochs: usize) -> Self {
        self.validation_freq = epochs;
        self
    }

    /// The weight of each class in the loss of training, as `(class, weight)`; 1 for a class left out.
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (i64, f64)>) -> Self {
        self.class_weight = weights.into_iter().collect();
        self
    }

    /// One weight a sample in the loss, of all outputs or of each; those of `validation_split` count in the validation too.
    pub fn sample_weight(mut self, weights: impl Into<Arrays>) -> Self {
        self.sample_weight = Some(weights.into());
        self
    }

    /// Adds callbacks: one, a list, or a tuple of any kinds; give `&mut callback` to look at it afterwards.
    pub fn callbacks(mut self, callbacks: impl IntoCallbacks<'a>) -> Self {
        self.callbacks.extend(callbacks);
        self
    }

    /// Refuses settings that make no sense.
    fn check(&self) -> Result<()> {
        if self.validation_freq == 0 {
            return Err(Error::setting("`fit`", "validation_freq", 0, "a positive integer"));
        }
        if self.validation_weight.is_some() && self.validation.is_none() {
            return Err(Error::parts(
                Kind::Argument,
                "`validation_sample_weight` was given without `validation_data`",
                "weights alone",
                "the data that they belong to",
                "Give `validation_data`, or leave the weights out: `sample_weight` serves `validation_split`",
            ));
        }
        if !self.class_weight.is_empty() && self.sample_weight.is_some() {
            return Err(Error::parts(
                Kind::Argument,
                "You cannot use `class_weight` and `sample_weight` at the same time",
                "both",
                "at most one of them",
                "Multiply the sample weights by the weights of the classes yourself",
            ));
        }
        Ok(())
    }

    /// Where the rows for training end and those for validation begin.
    fn split(&self, samples: usize) -> Result<usize> {
        if self.validation.is_some() || self.validation_split == 0.0 {
            return Ok(samples);
        }
        let at = (samples as f64 * (1.0 - self.validation_split)).floor() as usize;
        if (0.0..1.0).contains(&self.validation_split) && at > 0 && at < samples {
            return Ok(at);
        }
        Err(Error::parts(
            Kind::Argument,
            &format!("Training data contains {samples} samples, which cannot be split by `validation_split`"),
            &format!("validation_split={}", self.validation_split),
            "a share between 0 and 1 that leaves samples on both sides",
            "Change the share, or give `validation_data`",
        ))
    }
}

impl Model {
    /// Trains on `x` and `y`, one row a sample, where they are: one array, a list with one for each input (or output), or
    /// pairs of a name and an array.
    ///
    /// `how` is a [`Fit`], a batch size, or `()` for Keras's defaults: one epoch in batches of 32.
    ///
    /// Each step is one submission to the device and reads nothing back; the loss reported is the mean over the
    /// samples of the losses before each update. [`interrupt`](crate::nn::interrupt()) ends it after the step in hand.
    ///
    /// # Errors
    /// The model is not compiled, there is no data or it does not fit, a setting makes no sense, or those of the device.
    #[track_caller]
    pub fn fit<'a>(&mut self, x: impl Into<Arrays>, y: impl Into<Arrays>, how: impl Into<Fit<'a>>) -> Result<History> {
        entry(|| block_on(self.fit_async(x, y, how)))
    }

    /// [`fit`](Self::fit) as a future; nothing happens before it is polled. Between steps, and while it waits for figures,
    /// it gives the thread back; recording a step and submitting it is the caller's work.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    #[track_caller]
    pub fn fit_async<'a>(
        &mut self,
        x: impl Into<Arrays>,
        y: impl Into<Arrays>,
        how: impl Into<Fit<'a>>,
    ) -> impl Future<Output = Result<History>> {
        let (x, y, how) = (x.into(), y.into(), how.into());
        entry_async(Ok(async move { Run::new(self, x, y, how).await?.epochs(self).await }))
    }

    /// One update on one batch, with a weight for each sample or none; returns the batch's loss, before the update, and
    /// its metrics in the order of `compile`. Figures of batches before are forgotten, as in Keras.
    ///
    /// # Errors
    /// The model is not compiled, there is no data, or it does not fit the model.
    #[track_caller]
    pub fn train_on_batch(
        &mut self,
        x: impl Into<Arrays>,
        y: impl Into<Arrays>,
        sample_weight: Option<&Tensor>,
    ) -> Result<Logs> {
        let work = async {
            let data = self.labelled(x.into(), y.into(), sample_weight.map(Arrays::from)).await?;
            if self.compiled()?.optimizer.size().is_none() {
                self.prepare(&data, true)?;
            }
            self.compiled()?.reset()?;
            let (device, samples) = (data.device().clone(), data.samples());
            self.record_step(&data.whole(), &CallCtx::training(seeds::next_global()))?;
            self.compiled()?.count(samples);
            device.submit_async(|| device.flush()).await?;
            self.compiled()?.read().await
        };
        entry(|| block_on(work))
    }

    /// Forward, backward, update, recorded. No handle to what is in between outlives it, so the flush need not keep any of
    /// that in memory.
    fn record_step(&mut self, batch: &Batch, ctx: &CallCtx) -> Result<()> {
        let outputs = self.forward(&batch.x, ctx)?;
        let vars = self.trainable_weights();
        let compiled = self.compiled()?;
        let losses = compiled.losses(batch, &outputs)?;
        let grads = compiled.optimizer.scale_loss(&losses.total)?.backward()?;
        compiled.track(batch, &outputs, &losses)?;
        let pairs = vars.into_iter().filter_map(|var| grads.get(&var).cloned().map(|grad| (var, grad)));
        compiled.optimizer.step(pairs.collect())
    }
}

/// One call of `fit`.
struct Run<'a> {
    size: usize,
    val_size: usize,
    data: Data,
    rows: Range<usize>,
    steps: Steps,
    /// Where to validate: on these rows.
    validation: Option<(Data, Range<usize>)>,
    validation_steps: Steps,
    validation_freq: usize,
    shuffle: bool,
    epochs: Range<usize>,
    verbose: Verbose,
    seeds: SeedStream,
    /// The seeds of the step under way; replayed steps draw from it too.
    draws: Arc<Mutex<SeedStream>>,
    callbacks: Callbacks<'a>,
}

impl<'a> Run<'a> {
    /// Checks everything before the first callback hears of it, and makes the model ready.
    async fn new(model: &mut Model, x: Arrays, y: Arrays, how: Fit<'a>) -> Result<Self> {
        model.compiled()?;
        how.check()?;
        let size = batch_size("`fit`", how.batch_size)?;
        let val_size = batch_size("The validation", how.validation_batch_size.or(Some(size)))?;
        let mut data = model.data(x, Some(y), how.sample_weight.clone())?;
        let samples = data.some_samples()?;
        let split = how.split(samples)?;
        model.ready_for(&data.x)?;
        let validation = match how.validation {
            Some((x, y)) => {
                let held_out = model.data(x, Some(y), how.validation_weight)?;
                same_device("the x of `validation_data`", &held_out.x[0], data.device())?;
                let rows = 0..held_out.some_samples()?;
                Some((held_out, rows))
            }
            None => (split < samples).then(|| (data.clone(), split..samples)),
        };
        if !how.class_weight.is_empty() {
            data.weight = class_weights(&data.y, &how.class_weight).await?;
        }
        model.find_ranges(&data).await?;
        if let Some((data, _)) = &validation {
            model.find_ranges(data).await?;
            model.prepare(data, false)?;
        }
        model.prepare(&data, true)?;
        let eager = model.is_eager();
        Ok(Run {
            size,
            val_size,
            data,
            rows: 0..split,
            steps: Steps::new(eager),
            validation,
            validation_steps: Steps::new(eager),
            validation_freq: how.validation_freq,
            shuffle: how.shuffle,
            epochs: how.initial_epoch..how.epochs,
            verbose: how.verbose.resolve(),
            seeds: SeedStream::new(how.seed.unwrap_or_else(seeds::next_global)),
            draws: Arc::new(Mutex::new(SeedStream::new(0))),
            callbacks: how.callbacks,
        })
    }

    async fn epochs(&mut self, model: &mut Model) -> Result<History> {
        let steps = self.rows.len().div_ceil(self.size);
        let params = Params { verbose: self.verbose.level(), epochs: self.epochs.end, steps };
        let mut history = History { params, ..History::default() };
        (model.stop_training, model.interrupted) = (false, false);
        self.callbacks.watch();
        self.callbacks.each(|callback| callback.set_params(params))?;
        self.callbacks.each(|callback| callback.on_train_begin(model))?;
        let first = model.initial_epoch.take().unwrap_or(self.epochs.start);
        for epoch in first..self.epochs.end {
            let Some(logs) = self.epoch(model, epoch).await? else { break };
            history.push(epoch, &logs);
            if model.stop_training || self.interrupted(model) {
                break;
            }
        }
        history.interrupted = model.interrupted;
        let vars = model.trainable_weights();
        model.compiled()?.optimizer.finalize(&vars)?;
        self.data.device().flush()?;
        self.callbacks.each(|callback| callback.on_train_end(model))?;
        Ok(history)
    }

    /// Whether somebody wants training to end now; the model knows then.
    fn interrupted(&self, model: &mut Model) -> bool {
        if self.callbacks.interrupted() {
            (model.stop_training, model.interrupted) = (true, true);
        }
        model.interrupted
    }

    /// The figures of an epoch, or nothing where it was interrupted.
    async fn epoch(&mut self, model: &mut Model, epoch: usize) -> Result<Option<Logs>> {
        if self.verbose != Verbose::Silent && self.epochs.end > 1 {
            print(&format!("Epoch {}/{}\n", epoch + 1, self.epochs.end));
        }
        self.callbacks.each(|callback| callback.on_epoch_begin(epoch, model))?;
        let mut seeds = self.seeds.child(epoch as u64);
        let rows = order(self.rows.clone(), self.shuffle.then_some(&mut seeds));
        let mut display = Display::new(rows.len().div_ceil(self.size), self.verbose);
        model.reset_metrics()?;
        self.data.device().flush()?;
        for (step, rows) in rows.chunks(self.size).enumerate() {
            self.callbacks.each(|callback| callback.on_train_batch_begin(step, model))?;
            self.step(model, rows, seeds.draw()).await?;
            self.callbacks.each(|callback| callback.on_train_batch_end(step, model))?;
            display.step(step + 1, async || Ok(model.compiled()?.read().await?.sorted())).await?;
            if model.stop_training || self.interrupted(model) {
                break;
            }
        }
        let mut logs = model.compiled()?.read().await?.sorted();
        if (epoch + 1).is_multiple_of(self.validation_freq) && !model.interrupted {
            logs.extend(self.validate(model).await?);
        }
        if model.interrupted {
            display.leave(&format!("Epoch {}: interrupted", epoch + 1));
            return Ok(None);
        }
        // The bar ends before the callbacks speak, as in Keras.
        display.finish(&logs);
        let mut logs = Logs::new(logs);
        self.callbacks.each(|callback| callback.on_epoch_end(epoch, &mut logs, model))?;
        Ok(Some(logs))
    }

    /// One update.
    async fn step(&mut self, model: &mut Model, rows: &[i32], seed: u64) -> Result<()> {
        *self.draws.lock().unwrap_or_else(PoisonError::into_inner) = SeedStream::new(seed);
        // Between steps nobody has the model but callbacks.
        let key = if self.callbacks.is_empty() { 0 } else { model.structure() };
        let ctx = CallCtx::drawing(self.draws.clone());
        let record = |batch: Batch| model.record_step(&batch, &ctx).map(|()| Vec::new());
        self.steps.submit(&self.data, rows, key, record).await?;
        model.compiled()?.count(rows.len());
        Ok(())
    }

    /// The figures of the validation data, as `val_...`.
    async fn validate(&mut self, model: &mut Model) -> Result<Vec<(String, f64)>> {
        let Some((data, rows)) = self.validation.clone() else { return Ok(Vec::new()) };
        let (rows, steps) = (order(rows, None), &mut self.validation_steps);
        let Some(logs) = model.test_rows(&data, &rows, self.val_size, steps, None, &mut self.callbacks).await? else {
            self.interrupted(model);
            return Ok(Vec::new());
        };
        Ok(logs.sorted().into_iter().map(|(name, value)| (format!("val_{name}"), value)).collect())
    }
}
