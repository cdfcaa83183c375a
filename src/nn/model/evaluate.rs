//! Evaluation and prediction.

use super::Model;
use super::arrays::Arrays;
use super::batches::{Batch, Data};
use super::callback::{Callbacks, IntoCallbacks};
use super::feed::{Feed, Request};
use super::step::Steps;
use crate::error::{Result, entry, entry_async};
use crate::nn::history::Logs;
use crate::nn::layers::CallCtx;
use crate::nn::progress::{Display, Verbose};
use crate::sys::block_on;
use crate::{Tensor, no_grad};

/// How to run over the data: batch size 32 and Keras's progress bar by default. A number is a batch size.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// model.compile("adam", "mse", ())?;
/// let scores = model.evaluate(&x, &y, Evaluate::new().batch_size(4).steps(1).verbose(0))?;
/// assert!(scores["loss"] >= 0.0);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Default)]
pub struct Evaluate<'a> {
    batch_size: Option<usize>,
    verbose: Verbose,
    sample_weight: Option<Arrays>,
    callbacks: Callbacks<'a>,
    steps: Option<usize>,
}

impl<'a> Evaluate<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows a batch; 32 by default. Not for a [`Dataset`](crate::data::Dataset), which is batched by itself.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Batches to go over; all there are by default. A [`Dataset`](crate::data::Dataset) without an end needs it.
    pub fn steps(mut self, batches: usize) -> Self {
        self.steps = Some(batches);
        self
    }

    /// One weight a sample, on the loss and the weighted metrics: of all outputs, or of each.
    pub fn sample_weight(mut self, weights: impl Into<Arrays>) -> Self {
        self.sample_weight = Some(weights.into());
        self
    }

    /// Adds callbacks, as those of [`Fit`](crate::nn::Fit::callbacks).
    pub fn callbacks(mut self, callbacks: impl IntoCallbacks<'a>) -> Self {
        self.callbacks.extend(callbacks);
        self
    }
}

impl From<usize> for Evaluate<'_> {
    fn from(batch_size: usize) -> Self {
        Evaluate::new().batch_size(batch_size)
    }
}

impl From<()> for Evaluate<'_> {
    fn from((): ()) -> Self {
        Evaluate::new()
    }
}

/// How to predict: batch size 32 and Keras's progress bar by default. A number is a batch size.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{DType, Device, Tensor};
/// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
/// let p = model.predict(&x, Predict::new().batch_size(4).verbose(0))?;
/// assert_eq!(p.shape(), y.shape());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Default)]
pub struct Predict<'a> {
    batch_size: Option<usize>,
    verbose: Verbose,
    callbacks: Callbacks<'a>,
    steps: Option<usize>,
}

impl<'a> Predict<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows a batch; 32 by default. Not for a [`Dataset`](crate::data::Dataset), which is batched by itself.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Adds callbacks, as those of [`Fit`](crate::nn::Fit::callbacks).
    pub fn callbacks(mut self, callbacks: impl IntoCallbacks<'a>) -> Self {
        self.callbacks.extend(callbacks);
        self
    }

    /// Batches to go over; all there are by default. A [`Dataset`](crate::data::Dataset) without an end needs it.
    pub fn steps(mut self, batches: usize) -> Self {
        self.steps = Some(batches);
        self
    }
}

impl From<usize> for Predict<'_> {
    fn from(batch_size: usize) -> Self {
        Predict::new().batch_size(batch_size)
    }
}

impl From<()> for Predict<'_> {
    fn from((): ()) -> Self {
        Predict::new()
    }
}

impl Model {
    /// The loss and the metrics over some data, the loss first: arrays, or a [`Dataset`](crate::data::Dataset) as `x` and
    /// `()` as `y`.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or an [`Evaluate`].
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// let scores = model.evaluate(&x, &y, Evaluate::new().batch_size(4).verbose(0))?;
    /// assert_eq!(scores.names(), ["loss", "mae"]);
    /// println!("{:.4}", scores["mae"]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled, there is no data, or it does not fit the model.
    #[track_caller]
    pub fn evaluate<'a>(
        &mut self,
        x: impl Into<Arrays>,
        y: impl Into<Arrays>,
        how: impl Into<Evaluate<'a>>,
    ) -> Result<Logs> {
        entry(|| block_on(self.evaluate_async(x, y, how)))
    }

    /// [`evaluate`](Self::evaluate) as a future; nothing happens before it is polled, and it gives the thread back between
    /// batches.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("adam", "mse", ())?;
    /// let scores = pollster::block_on(model.evaluate_async(&x, &y, Evaluate::new().verbose(0)))?;
    /// assert!(scores["loss"] >= 0.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`evaluate`](Self::evaluate).
    #[track_caller]
    pub fn evaluate_async<'a>(
        &mut self,
        x: impl Into<Arrays>,
        y: impl Into<Arrays>,
        how: impl Into<Evaluate<'a>>,
    ) -> impl Future<Output = Result<Logs>> {
        let (x, y, how) = (x.into(), y.into(), how.into());
        entry_async(Ok(async move {
            self.compiled()?;
            let mut callbacks = how.callbacks;
            let mut feed = self.feed(Request {
                of: "`evaluate`",
                x,
                y,
                weight: how.sample_weight.unwrap_or_else(|| ().into()),
                targets: true,
                batch_size: how.batch_size,
                steps: ("steps", how.steps),
                device: None,
            })?;
            let data = feed.specimen(self).await?;
            data.some_samples()?;
            self.ready_for(&data.x)?;
            self.find_ranges(&data).await?;
            self.prepare(&data, false)?;
            let mut display = Display::new(feed.steps(), how.verbose.resolve());
            let mut steps = Steps::new(self.is_eager());
            // Nobody interrupts it: there are figures.
            let logs = self.test(&mut feed, &mut steps, Some(&mut display), &mut callbacks).await?.unwrap_or_default();
            display.finish(&logs.clone().sorted());
            Ok(logs)
        }))
    }

    /// Samples with their labels, checked, and the model ready for them.
    pub(super) async fn labelled(&mut self, x: Arrays, y: Arrays, weight: Option<Arrays>) -> Result<Data> {
        self.compiled()?;
        let data = self.data(x, y, weight.unwrap_or_else(|| ().into()))?;
        data.some_samples()?;
        self.ready_for(&data.x)?;
        self.find_ranges(&data).await?;
        Ok(data)
    }

    /// Makes what steps need besides the weights (totals, the optimizer's accumulators), by recording a step on one
    /// row that is never run. All steps are then alike, and none is planned but once.
    pub(super) fn prepare(&mut self, data: &Data, training: bool) -> Result<()> {
        let record = |model: &mut Self, batch: Batch| {
            no_grad(|| {
                let outputs = model.forward(&batch.x, &CallCtx::inference())?;
                let compiled = model.compiled()?;
                let losses = compiled.losses(&batch, &outputs)?;
                compiled.create_totals(&batch, &outputs, &losses)
            })
        };
        if let Err(error) = record(self, data.specimen()?) {
            // The same error of all rows names the shapes that the user knows.
            return Err(record(self, data.clone().whole()).err().unwrap_or(error));
        }
        if training {
            let vars = self.trainable_weights();
            self.compiled()?.optimizer.prepare(&vars)?;
        }
        data.device().flush()
    }

    /// The loss and the metrics over all of a feed, without touching the weights; nothing where the run is interrupted.
    pub(super) async fn test(
        &mut self,
        feed: &mut Feed,
        steps: &mut Steps,
        mut display: Option<&mut Display>,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<Option<Logs>> {
        callbacks.each(|callback| callback.on_test_begin(self))?;
        self.compiled()?.reset()?;
        feed.device().flush()?;
        feed.begin(false, None);
        let mut step = 0;
        while let Some(fed) = feed.next(self).await? {
            callbacks.each(|callback| callback.on_test_batch_begin(step, self))?;
            let key = self.structure();
            steps.submit(&fed, key, |batch| self.record_test(&batch).map(|()| Vec::new())).await?;
            self.compiled()?.count(fed.len);
            if let Some(display) = &mut display {
                display.step(step + 1, async || Ok(self.compiled()?.read().await?.sorted())).await?;
            }
            callbacks.each(|callback| callback.on_test_batch_end(step, self))?;
            if callbacks.interrupted() {
                return Ok(None);
            }
            step += 1;
        }
        let logs = self.compiled()?.read().await?;
        callbacks.each(|callback| callback.on_test_end(&logs, self))?;
        Ok(Some(logs))
    }

    /// Adds the losses and the metrics of a batch to the totals.
    fn record_test(&mut self, batch: &Batch) -> Result<()> {
        no_grad(|| {
            let outputs = self.forward(&batch.x, &CallCtx::inference())?;
            let compiled = self.compiled()?;
            let losses = compiled.losses(batch, &outputs)?;
            compiled.track(batch, &outputs, &losses)
        })
    }

    /// The output for some data, batch by batch; none for no data. Of a [`Dataset`](crate::data::Dataset) the inputs count.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or a [`Predict`].
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let p = model.predict(&x, Predict::new().batch_size(4).verbose(0))?;
    /// assert_eq!(p.dims(), [8, 3]);
    /// # drop(y);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The data does not fit the model, or the model has several outputs.
    #[track_caller]
    pub fn predict<'a>(&mut self, x: impl Into<Arrays>, how: impl Into<Predict<'a>>) -> Result<Tensor> {
        entry(|| block_on(self.predict_async(x, how)))
    }

    /// [`predict`](Self::predict) as a future; nothing happens before it is polled, and it gives the thread back between
    /// batches. The output is submitted, not awaited, by then.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// let p = pollster::block_on(model.predict_async(&x, Predict::new().verbose(0)))?;
    /// assert_eq!(p.shape(), y.shape());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    #[track_caller]
    pub fn predict_async<'a>(
        &mut self,
        x: impl Into<Arrays>,
        how: impl Into<Predict<'a>>,
    ) -> impl Future<Output = Result<Tensor>> {
        let (x, how) = (x.into(), how.into());
        entry_async(Ok(async move {
            self.one_output("predict")?;
            Ok(self.predict_rows(x, how).await?.swap_remove(0))
        }))
    }

    /// [`predict`](Self::predict) for a model of several outputs: all of them.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let x = Tensor::ones([8, 4], DType::F32, &Device::cpu())?;
    /// let input = Input::new([4]).node();
    /// let mut model = Model::new(&input, [Dense::new(1).on(&input)?, Dense::new(2).on(&input)?])?;
    /// let outputs = model.predict_all(&x, Predict::new().verbose(0))?;
    /// assert_eq!((outputs[0].dims(), outputs[1].dims()), (&[8, 1][..], &[8, 2][..]));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The data does not fit the model.
    #[track_caller]
    pub fn predict_all<'a>(&mut self, x: impl Into<Arrays>, how: impl Into<Predict<'a>>) -> Result<Vec<Tensor>> {
        entry(|| block_on(self.predict_all_async(x, how)))
    }

    /// [`predict_all`](Self::predict_all) as a future, as [`predict_async`](Self::predict_async) is.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Input::new([4]).node();
    /// let mut model = Model::new(&x, [Dense::new(1).on(&x)?, Dense::new(2).on(&x)?])?;
    /// let data = Tensor::ones([8, 4], DType::F32, &Device::cpu())?;
    /// let outputs = pollster::block_on(model.predict_all_async(&data, Predict::new().verbose(0)))?;
    /// assert_eq!(outputs.len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`predict_all`](Self::predict_all).
    #[track_caller]
    pub fn predict_all_async<'a>(
        &mut self,
        x: impl Into<Arrays>,
        how: impl Into<Predict<'a>>,
    ) -> impl Future<Output = Result<Vec<Tensor>>> {
        let (x, how) = (x.into(), how.into());
        entry_async(Ok(self.predict_rows(x, how)))
    }

    async fn predict_rows(&mut self, x: Arrays, how: Predict<'_>) -> Result<Vec<Tensor>> {
        let mut callbacks = how.callbacks;
        let mut feed = self.feed(Request {
            of: "`predict`",
            x,
            y: ().into(),
            weight: ().into(),
            targets: false,
            batch_size: how.batch_size,
            steps: ("steps", how.steps),
            device: None,
        })?;
        let data = feed.specimen(self).await?;
        self.ready_for(&data.x)?;
        self.find_ranges(&data).await?;
        let infer = |model: &Self, x: &[Tensor]| -> Result<Vec<Tensor>> {
            let outputs = no_grad(|| model.forward(x, &CallCtx::inference()))?;
            Ok(outputs.into_iter().map(|(output, _)| output.detach()).collect())
        };
        if data.samples() == 0 {
            return infer(self, &data.x);
        }
        callbacks.each(|callback| callback.on_predict_begin(self))?;
        let mut display = Display::new(feed.steps(), how.verbose.resolve());
        let mut outputs: Vec<Vec<Tensor>> = self.graph.outputs.iter().map(|_| Vec::new()).collect();
        let mut steps = Steps::new(self.is_eager());
        feed.begin(false, None);
        let mut step = 0;
        while let Some(fed) = feed.next(self).await? {
            callbacks.each(|callback| callback.on_predict_batch_begin(step, self))?;
            let batch = steps.submit(&fed, 0, |batch| infer(self, &batch.x)).await?;
            for (all, output) in outputs.iter_mut().zip(batch) {
                all.push(output);
            }
            display.step(step + 1, async || Result::Ok(Vec::new())).await?;
            callbacks.each(|callback| callback.on_predict_batch_end(step, self))?;
            step += 1;
        }
        let joined = outputs.into_iter().map(|batches| Tensor::concat(batches, 0)).collect::<Result<_>>()?;
        data.device().submit_async(|| data.device().flush()).await?;
        display.finish(&[]);
        callbacks.each(|callback| callback.on_predict_end(self))?;
        Ok(joined)
    }

    /// The output for one batch.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// assert_eq!(model.predict_on_batch(&x)?.dims(), [8, 3]);
    /// # drop(y);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The data does not fit the model, or the model has several outputs.
    #[track_caller]
    pub fn predict_on_batch(&mut self, x: impl Into<Arrays>) -> Result<Tensor> {
        entry(|| {
            self.one_output("predict_on_batch")?;
            Ok(no_grad(|| self.apply(x.into(), false))?.swap_remove(0))
        })
    }

    /// [`predict_on_batch`](Self::predict_on_batch) for a model of several outputs: all of them.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// let x = Input::new([4]).node();
    /// let mut model = Model::new(&x, [Dense::new(1).on(&x)?, Dense::new(2).on(&x)?])?;
    /// assert_eq!(model.predict_on_batch_all(&Tensor::ones([8, 4], DType::F32, &Device::cpu())?)?.len(), 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The data does not fit the model.
    #[track_caller]
    pub fn predict_on_batch_all(&mut self, x: impl Into<Arrays>) -> Result<Vec<Tensor>> {
        entry(|| no_grad(|| self.apply(x.into(), false)))
    }

    /// The loss and the metrics of one batch, with a weight for each sample or none: the loss, then the metrics in the
    /// order of `compile`. Figures of batches before are forgotten, as in Keras.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// let before = model.test_on_batch(&x, &y, None)?;
    /// assert_eq!(model.test_on_batch(&x, &y, None)?["loss"], before["loss"]); // nothing is learnt
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled, there is no data, or it does not fit the model.
    #[track_caller]
    pub fn test_on_batch(
        &mut self,
        x: impl Into<Arrays>,
        y: impl Into<Arrays>,
        sample_weight: Option<&Tensor>,
    ) -> Result<Logs> {
        let work = async {
            let data = self.labelled(x.into(), y.into(), sample_weight.map(Arrays::from)).await?;
            self.compiled()?.reset()?;
            let samples = data.samples();
            self.record_test(&data.whole())?;
            self.compiled()?.count(samples);
            self.compiled()?.read().await
        };
        entry(|| block_on(work))
    }
}
