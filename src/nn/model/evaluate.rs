//! Evaluation and prediction.

use super::Sequential;
use super::batches::{Data, order};
use crate::error::{Error, Result};
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

/// The batch size, if it is one.
pub(super) fn batch_size(size: Option<usize>) -> Result<usize> {
    match size {
        Some(0) => Err(Error::argument(
            "The data was to be cut into batches of no rows. Received: batch_size=0. Expected: a positive integer. \
             Give a batch size of 1 or more.",
        )),
        size => Ok(size.unwrap_or(32)),
    }
}

impl Sequential {
    /// The loss and the metrics over some data, the loss first.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or an [`Evaluate`].
    ///
    /// # Errors
    /// The model is not compiled, or the data does not fit it.
    pub fn evaluate(&mut self, x: &Tensor, y: &Tensor, how: impl Into<Evaluate>) -> Result<Logs> {
        let how = how.into();
        self.compiled()?;
        let size = batch_size(how.batch_size)?;
        let data = Data { x, y: Some(y), weight: how.sample_weight.as_ref() };
        let samples = data.samples()?;
        data.check_device()?;
        self.ready_for(x)?;
        self.prepare(&data, false)?;
        let mut display = Display::new(samples.div_ceil(size), how.verbose.resolve());
        let logs = self.test_rows(&data, &order(0..samples, None), size, Some(&mut display))?;
        display.finish(&logs.clone().sorted());
        Ok(logs)
    }

    /// Makes what steps need besides the weights (totals, the optimizer's accumulators), by recording a step on one
    /// row that is never run. All steps are then alike, and none is planned but once.
    pub(super) fn prepare(&mut self, data: &Data<'_>, training: bool) -> Result<()> {
        if data.samples()? > 0 {
            no_grad(|| {
                let batch = data.specimen()?;
                let output = self.forward(&batch.x, CallCtx::inference())?;
                let compiled = self.compiled()?;
                let loss = compiled.loss(&batch, &output)?;
                compiled.create_totals(&batch, &output, &loss)
            })?;
        }
        if training {
            let vars = self.trainable_weights();
            self.compiled()?.optimizer.prepare(&vars)?;
        }
        data.x.device().flush()
    }

    /// The loss and the metrics over some rows, without touching the weights.
    pub(super) fn test_rows(
        &mut self,
        data: &Data<'_>,
        rows: &[i32],
        size: usize,
        mut display: Option<&mut Display>,
    ) -> Result<Logs> {
        self.compiled()?.reset()?;
        data.x.device().flush()?;
        for (step, rows) in rows.chunks(size).enumerate() {
            no_grad(|| {
                let batch = data.batch(rows)?;
                let output = self.forward(&batch.x, CallCtx::inference())?;
                let compiled = self.compiled()?;
                let loss = compiled.loss(&batch, &output)?;
                compiled.track(&batch, &output, &loss)
            })?;
            data.x.device().flush()?;
            if let Some(display) = &mut display {
                display.step(step + 1, || Ok(self.compiled()?.read()?.sorted()))?;
            }
        }
        self.compiled()?.read()
    }

    /// The outputs for some data, batch by batch.
    ///
    /// `how` is a batch size, `()` for Keras's defaults, or an [`Evaluate`].
    ///
    /// # Errors
    /// The data does not fit the model.
    pub fn predict(&mut self, x: &Tensor, how: impl Into<Evaluate>) -> Result<Tensor> {
        let how = how.into();
        let size = batch_size(how.batch_size)?;
        let data = Data { x, y: None, weight: None };
        let samples = data.samples()?;
        self.ready_for(x)?;
        if samples == 0 {
            return no_grad(|| self.forward(x, CallCtx::inference()));
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
    }

    /// The outputs for one batch.
    ///
    /// # Errors
    /// The data does not fit the model.
    pub fn predict_on_batch(&mut self, x: &Tensor) -> Result<Tensor> {
        self.ready_for(x)?;
        no_grad(|| self.forward(x, CallCtx::inference()))
    }

    /// The loss and the metrics of one batch.
    ///
    /// # Errors
    /// The model is not compiled, or the data does not fit it.
    pub fn test_on_batch(&mut self, x: &Tensor, y: &Tensor) -> Result<Logs> {
        let rows = x.dims().first().copied().unwrap_or(1).max(1);
        self.evaluate(x, y, Evaluate::from(rows).verbose(0))
    }
}
