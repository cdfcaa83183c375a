//! Evaluation and prediction.

use super::Sequential;
use super::batches::{Batch, Data, order, single};
use super::compile::Compiled;
use crate::error::{Error, Result, entry};
use crate::nn::history::Logs;
use crate::nn::layers::CallCtx;
use crate::nn::progress::{Display, Verbose};
use crate::{Tensor, no_grad};

/// How to run over the data: batch size 32 and Keras's progress bar by default. A number is a batch size.
#[derive(Clone, Default)]
pub struct Evaluate {
    batch_size: Option<usize>,
    verbose: Verbose,
    sample_weight: Option<Tensor>,
}

impl Evaluate {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows a batch; 32 by default.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// One weight a sample, on the loss and the weighted metrics.
    pub fn sample_weight(mut self, weight: &Tensor) -> Self {
        self.sample_weight = Some(weight.clone());
        self
    }
}

impl From<usize> for Evaluate {
    fn from(batch_size: usize) -> Self {
        Evaluate::new().batch_size(batch_size)
    }
}

impl From<()> for Evaluate {
    fn from((): ()) -> Self {
        Evaluate::new()
    }
}

/// How to predict: batch size 32 and Keras's progress bar by default. A number is a batch size.
#[derive(Clone, Copy, Default)]
pub struct Predict {
    batch_size: Option<usize>,
    verbose: Verbose,
}

impl Predict {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows a batch; 32 by default.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// What to print: a [`Verbose`], or Keras's 0, 1 or 2.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }
}

impl From<usize> for Predict {
    fn from(batch_size: usize) -> Self {
        Predict::new().batch_size(batch_size)
    }
}

impl From<()> for Predict {
    fn from((): ()) -> Self {
        Predict::new()
    }
}

/// The batch size, if it is one.
pub(super) fn batch_size(of: &str, size: Option<usize>) -> Result<usize> {
    match size {
        Some(0) => Err(Error::setting(of, "batch_size", 0, "a positive integer")),
        size => Ok(size.unwrap_or(32)),
    }
}

impl Sequential {
    /// The loss and the metrics over some data, the loss first.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or an [`Evaluate`].
    ///
    /// # Errors
    /// The model is not compiled, there is no data, or it does not fit the model.
    #[track_caller]
    pub fn evaluate(&mut self, x: &Tensor, y: &Tensor, how: impl Into<Evaluate>) -> Result<Logs> {
        entry(|| {
            let how = how.into();
            self.compiled()?;
            let size = batch_size("`evaluate`", how.batch_size)?;
            let data = Data::new(x, Some(y), how.sample_weight.as_ref())?;
            let samples = data.some_samples()?;
            self.ready_for(&data.x)?;
            self.find_ranges(&data)?;
            self.prepare(&data, false)?;
            let mut display = Display::new(samples.div_ceil(size), how.verbose.resolve());
            let logs = self.test_rows(&data, &order(0..samples, None), size, Some(&mut display))?;
            display.finish(&logs.clone().sorted());
            Ok(logs)
        })
    }

    /// [`Data::find_ranges`] for the first layer and the loss.
    pub(super) fn find_ranges(&self, data: &Data) -> Result<()> {
        let indices = self.layers.first().is_some_and(|entry| entry.layer.takes_indices());
        data.find_ranges(indices, self.compiled.as_ref().is_some_and(Compiled::takes_classes))
    }

    /// Makes what steps need besides the weights (totals, the optimizer's accumulators), by recording a step on one
    /// row that is never run. All steps are then alike, and none is planned but once.
    pub(super) fn prepare(&mut self, data: &Data, training: bool) -> Result<()> {
        no_grad(|| {
            let batch = data.specimen()?;
            let output = self.forward(&batch.x, CallCtx::inference())?;
            let compiled = self.compiled()?;
            let loss = compiled.loss(&batch, &output)?;
            compiled.create_totals(&batch, &output, &loss)
        })?;
        if training {
            let vars = self.trainable_weights();
            self.compiled()?.optimizer.prepare(&vars)?;
        }
        data.x.device().flush()
    }

    /// The loss and the metrics over some rows, without touching the weights.
    pub(super) fn test_rows(
        &mut self,
        data: &Data,
        rows: &[i32],
        size: usize,
        mut display: Option<&mut Display>,
    ) -> Result<Logs> {
        self.compiled()?.reset()?;
        data.x.device().flush()?;
        for (step, rows) in rows.chunks(size).enumerate() {
            self.test_step(data.batch(rows)?)?;
            if let Some(display) = &mut display {
                display.step(step + 1, || Ok(self.compiled()?.read()?.sorted()))?;
            }
        }
        self.compiled()?.read()
    }

    /// Adds the loss and the metrics of a batch to the totals, as one submission.
    fn test_step(&mut self, batch: Batch) -> Result<()> {
        let device = batch.x.device().clone();
        no_grad(|| {
            let output = self.forward(&batch.x, CallCtx::inference())?;
            let compiled = self.compiled()?;
            let loss = compiled.loss(&batch, &output)?;
            compiled.track(&batch, &output, &loss)
        })?;
        drop(batch);
        device.flush()
    }

    /// The outputs for some data, batch by batch; none for no data.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or a [`Predict`].
    ///
    /// # Errors
    /// The data does not fit the model.
    #[track_caller]
    pub fn predict(&mut self, x: &Tensor, how: impl Into<Predict>) -> Result<Tensor> {
        entry(|| {
            let how = how.into();
            let size = batch_size("`predict`", how.batch_size)?;
            let data = Data::new(x, None, None)?;
            let samples = data.samples();
            self.ready_for(&data.x)?;
            self.find_ranges(&data)?;
            if samples == 0 {
                return no_grad(|| self.forward(&data.x, CallCtx::inference()));
            }
            let mut display = Display::new(samples.div_ceil(size), how.verbose.resolve());
            let mut outputs = Vec::new();
            for (step, rows) in order(0..samples, None).chunks(size).enumerate() {
                let batch = data.batch(rows)?;
                let output = no_grad(|| self.forward(&batch.x, CallCtx::inference()))?.detach();
                output.realize()?;
                outputs.push(output);
                display.step(step + 1, || Result::Ok(Vec::new()))?;
            }
            let outputs: Vec<&Tensor> = outputs.iter().collect();
            let joined = if let [one] = outputs[..] { one.clone() } else { Tensor::concat(&outputs, 0)? };
            joined.realize()?;
            display.finish(&[]);
            Ok(joined)
        })
    }

    /// The outputs for one batch.
    ///
    /// # Errors
    /// The data does not fit the model.
    #[track_caller]
    pub fn predict_on_batch(&mut self, x: &Tensor) -> Result<Tensor> {
        entry(|| {
            self.ready_for(x)?;
            no_grad(|| self.forward(&single(x)?, CallCtx::inference()))
        })
    }

    /// The loss and the metrics of one batch, with a weight for each sample or none: the loss, then the metrics in the
    /// order of `compile`. Figures of batches before are forgotten, as in Keras.
    ///
    /// # Errors
    /// The model is not compiled, there is no data, or it does not fit the model.
    #[track_caller]
    pub fn test_on_batch(&mut self, x: &Tensor, y: &Tensor, sample_weight: Option<&Tensor>) -> Result<Logs> {
        entry(|| {
            self.compiled()?;
            let data = Data::new(x, Some(y), sample_weight)?;
            data.some_samples()?;
            self.ready_for(&data.x)?;
            self.find_ranges(&data)?;
            self.compiled()?.reset()?;
            self.test_step(data.whole())?;
            self.compiled()?.read()
        })
    }
}
