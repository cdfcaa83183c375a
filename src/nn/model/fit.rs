//! Training.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Model;
use super::arrays::Arrays;
use super::batches::{Batch, elsewhere};
use super::callback::{Callbacks, IntoCallbacks};
use super::feed::{Fed, Feed, Request, batch_size, both_weights};
use super::step::Steps;
use crate::Tensor;
use crate::error::{Error, Kind, Result, entry, entry_async};
use crate::nn::history::{History, Logs, Params, Position};
use crate::nn::layers::CallCtx;
use crate::nn::progress::{Display, Verbose, print};
use crate::nn::seeds::{self, SeedStream};
use crate::sys::block_on;

/// How to train. The defaults are Keras's: one epoch, batches of 32, shuffled, with a progress bar.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// model.compile("adam", "mse", ())?;
/// let how = Fit::new().epochs(3).batch_size(4).validation_split(0.25).seed(7).verbose(0);
/// let history = model.fit(&x, &y, how)?;
/// assert_eq!(history["val_loss"].len(), 3);
/// # Ok::<(), wgtensor::Error>(())
/// ```
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
    steps_per_epoch: Option<usize>,
    validation_steps: Option<usize>,
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
            steps_per_epoch: None,
            validation_steps: None,
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

    /// Samples a step; 32 by default. The last batch of an epoch may be smaller. Not for a [`Dataset`](crate::data::Dataset),
    /// which is batched by itself.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// Steps an epoch; by default, all the batches there are. The next epoch goes on where one ends, and at the end of the
    /// data from its beginning. A [`Dataset`](crate::data::Dataset) without an end needs it.
    pub fn steps_per_epoch(mut self, batches: usize) -> Self {
        self.steps_per_epoch = Some(batches);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Whether each epoch has an order of its own; it does by default. A [`Dataset`](crate::data::Dataset) has its own order
    /// ([`shuffle`](crate::data::Dataset::shuffle)).
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

    /// Data to evaluate after each epoch, from its beginning; comes before `validation_split`. For a
    /// [`Dataset`](crate::data::Dataset) `y` is `()`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ())?;
    /// let history = model.fit(&x, &y, Fit::new().validation_data(&x, &y).verbose(0))?;
    /// assert!(history.get("val_loss").is_some());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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

    /// Batches of `validation_data` to evaluate, the first ones; all by default.
    pub fn validation_steps(mut self, batches: usize) -> Self {
        self.validation_steps = Some(batches);
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
            return Err(both_weights());
        }
        Ok(())
    }

    /// Where the rows for training end and those for validation begin; `None` where nothing is held out.
    fn split(&self, samples: Option<usize>) -> Result<Option<usize>> {
        if self.validation.is_some() || self.validation_split == 0.0 {
            return Ok(None);
        }
        let Some(samples) = samples else {
            return Err(Error::parts(
                Kind::Argument,
                "Argument `validation_split` is only supported for tensors or NumPy arrays",
                "a data set",
                "tensors",
                "Give `validation_data`, say by `take` and `skip`",
            ));
        };
        let at = (samples as f64 * (1.0 - self.validation_split)).floor() as usize;
        if (0.0..1.0).contains(&self.validation_split) && at > 0 && at < samples {
            return Ok(Some(at));
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
    /// pairs of a name and an array. `x` may also be a [`Dataset`](crate::data::Dataset) of batches, which go to the device one
    /// by one; `y` is `()` then.
    ///
    /// ```
    /// use wgtensor::data::Dataset;
    /// use wgtensor::nn::prelude::*;
    ///
    /// let numbers = Dataset::from_generator(|| (0..1000).map(|i| Ok(([i as f32 / 1000.0], [i as f32 / 500.0]))));
    /// let mut model = Sequential::new().add(Dense::new(1));
    /// model.compile("adam", "mse", ())?;
    /// let history = model.fit(numbers.shuffle(1000, 1).batch(50).prefetch(2), (), Fit::new().epochs(3))?;
    /// assert_eq!(history.params.steps, 20);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
    /// it gives the thread back; recording a step and submitting it is the caller's work, as is the next batch of a data set
    /// without [`prefetch`](crate::data::Dataset::prefetch).
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// let history = pollster::block_on(model.fit_async(&x, &y, Fit::new().epochs(2).verbose(0)))?;
    /// assert_eq!(history["loss"].len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// let first = model.train_on_batch(&x, &y, None)?;
    /// let second = model.train_on_batch(&x, &y, None)?;
    /// assert!(second["loss"] < first["loss"]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
    feed: Feed,
    steps: Steps,
    /// Where to validate.
    validation: Option<Feed>,
    validation_steps: Steps,
    validation_freq: usize,
    shuffle: bool,
    epochs: Range<usize>,
    verbose: Verbose,
    seed: u64,
    /// The seeds of the step under way; replayed steps draw from it too.
    draws: Arc<Mutex<SeedStream>>,
    callbacks: Callbacks<'a>,
}

impl<'a> Run<'a> {
    /// Checks everything before the first callback hears of it, and makes the model ready.
    async fn new(model: &mut Model, x: Arrays, y: Arrays, mut how: Fit<'a>) -> Result<Self> {
        model.compiled()?;
        how.check()?;
        let nothing = || Arrays::from(());
        let mut feed = model.feed(Request {
            of: "`fit`",
            x,
            y,
            weight: how.sample_weight.take().unwrap_or_else(nothing),
            targets: true,
            batch_size: how.batch_size,
            steps: ("steps_per_epoch", how.steps_per_epoch),
            device: None,
        })?;
        let size = how.validation_batch_size;
        let held_out = match how.split(feed.samples())? {
            Some(at) => feed.split_off(at, batch_size("The validation", size.or(how.batch_size))?),
            None => None,
        };
        if !how.class_weight.is_empty() {
            feed.weigh(&how.class_weight).await?;
        }
        let data = feed.specimen(model).await?;
        data.some_samples()?;
        model.ready_for(&data.x)?;
        let mut validation = match how.validation {
            Some((x, y)) => {
                let held_out = model.feed(Request {
                    of: "The validation",
                    batch_size: if x.is_dataset() { size } else { size.or(how.batch_size) },
                    x,
                    y,
                    weight: how.validation_weight.unwrap_or_else(nothing),
                    targets: true,
                    steps: ("validation_steps", how.validation_steps),
                    device: Some(data.device().clone()),
                })?;
                if held_out.device() != data.device() {
                    return Err(elsewhere("the x of `validation_data`", held_out.device(), data.device()));
                }
                Some(held_out)
            }
            None => held_out,
        };
        model.find_ranges(&data).await?;
        if let Some(feed) = &mut validation {
            let data = feed.specimen(model).await?;
            data.some_samples()?;
            model.find_ranges(&data).await?;
            model.prepare(&data, false)?;
        }
        model.prepare(&data, true)?;
        let eager = model.is_eager();
        Ok(Run {
            feed,
            steps: Steps::new(eager),
            validation,
            validation_steps: Steps::new(eager),
            validation_freq: how.validation_freq,
            shuffle: how.shuffle,
            epochs: how.initial_epoch..how.epochs,
            verbose: how.verbose.resolve(),
            seed: how.seed.unwrap_or_else(seeds::next_global),
            draws: Arc::new(Mutex::new(SeedStream::new(0))),
            callbacks: how.callbacks,
        })
    }

    async fn epochs(&mut self, model: &mut Model) -> Result<History> {
        let steps = self.feed.steps().unwrap_or(0);
        let params = Params { verbose: self.verbose.level(), epochs: self.epochs.end, steps };
        let mut history = History { params, ..History::default() };
        (model.stop_training, model.interrupted) = (false, false);
        self.callbacks.watch();
        self.callbacks.each(|callback| callback.set_params(params))?;
        let start = Position { epoch: self.epochs.start, batch: 0, seed: self.seed };
        model.position = Some(start);
        self.callbacks.each(|callback| callback.on_train_begin(model))?;
        let start = model.position.unwrap_or(start);
        self.seed = start.seed;
        for epoch in self.epochs.start..start.epoch.min(self.epochs.end) {
            self.feed.pass_over(self.shuffle.then_some(&mut self.seeds(epoch)))?;
        }
        for epoch in start.epoch..self.epochs.end {
            let done = if epoch == start.epoch { start.batch } else { 0 };
            let Some(logs) = self.epoch(model, epoch, done).await? else { break };
            history.push(epoch, &logs);
            if model.stop_training || self.interrupted(model) {
                break;
            }
        }
        history.interrupted = model.interrupted;
        let vars = model.trainable_weights();
        model.compiled()?.optimizer.finalize(&vars)?;
        self.feed.device().flush()?;
        self.callbacks.each(|callback| callback.on_train_end(model))?;
        // Of a data set of unknown length it is known by now.
        history.params.steps = self.feed.steps().unwrap_or(0);
        Ok(history)
    }

    /// Whether somebody wants training to end now; the model knows then.
    fn interrupted(&self, model: &mut Model) -> bool {
        if self.callbacks.interrupted() {
            (model.stop_training, model.interrupted) = (true, true);
        }
        model.interrupted
    }

    /// The seeds of an epoch.
    fn seeds(&self, epoch: usize) -> SeedStream {
        SeedStream::new(self.seed).child(epoch as u64)
    }

    /// The figures of an epoch, whose first batches were `done` before, or nothing where it was interrupted.
    async fn epoch(&mut self, model: &mut Model, epoch: usize, done: usize) -> Result<Option<Logs>> {
        if self.verbose != Verbose::Silent && self.epochs.end > 1 {
            print(&format!("Epoch {}/{}\n", epoch + 1, self.epochs.end));
        }
        model.position = Some(Position { epoch, batch: done, seed: self.seed });
        let rate = model.learning_rate()?;
        self.callbacks.each(|callback| callback.on_epoch_begin(epoch, model))?;
        if done > 0 && model.learning_rate()? != rate {
            // It was set for this epoch before its first batches.
            model.set_learning_rate(rate)?;
        }
        let mut seeds = self.seeds(epoch);
        self.feed.begin(true, self.shuffle.then_some(&mut seeds));
        let mut display = Display::new(self.feed.steps(), self.verbose);
        model.reset_metrics()?;
        self.feed.device().flush()?;
        let mut step = 0;
        while step < done && self.feed.skip()? {
            seeds.draw();
            step += 1;
        }
        while let Some(fed) = self.feed.next(model).await? {
            self.callbacks.each(|callback| callback.on_train_batch_begin(step, model))?;
            self.step(model, &fed, seeds.draw()).await?;
            model.position = Some(Position { epoch, batch: step + 1, seed: self.seed });
            self.callbacks.each(|callback| callback.on_train_batch_end(step, model))?;
            step += 1;
            display.step(step, async || Ok(model.compiled()?.read().await?.sorted())).await?;
            if model.stop_training || self.interrupted(model) {
                break;
            }
        }
        // Of an epoch that had ended there are no figures of training.
        let none = done > 0 && step == done;
        let mut logs = if none { Vec::new() } else { model.compiled()?.read().await?.sorted() };
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
        model.position = Some(Position { epoch: epoch + 1, batch: 0, seed: self.seed });
        self.callbacks.each(|callback| callback.on_epoch_end(epoch, &mut logs, model))?;
        Ok(Some(logs))
    }

    /// One update.
    async fn step(&mut self, model: &mut Model, fed: &Fed, seed: u64) -> Result<()> {
        *self.draws.lock().unwrap_or_else(PoisonError::into_inner) = SeedStream::new(seed);
        // Between steps nobody has the model but callbacks.
        let key = if self.callbacks.is_empty() { 0 } else { model.structure() };
        let ctx = CallCtx::drawing(self.draws.clone());
        let record = |batch: Batch| model.record_step(&batch, &ctx).map(|()| Vec::new());
        self.steps.submit(fed, key, record).await?;
        model.compiled()?.count(fed.len);
        Ok(())
    }

    /// The figures of the validation data, as `val_...`.
    async fn validate(&mut self, model: &mut Model) -> Result<Vec<(String, f64)>> {
        let Some(mut feed) = self.validation.take() else { return Ok(Vec::new()) };
        let logs = model.test(&mut feed, &mut self.validation_steps, None, &mut self.callbacks).await?;
        self.validation = Some(feed);
        let Some(logs) = logs else {
            self.interrupted(model);
            return Ok(Vec::new());
        };
        Ok(logs.sorted().into_iter().map(|(name, value)| (format!("val_{name}"), value)).collect())
    }
}
