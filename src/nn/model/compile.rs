//! What `compile` sets: optimizer, loss and metrics, and the totals they keep on the device.

use super::Sequential;
use super::batches::Batch;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::history::Logs;
use crate::nn::losses::{IntoLoss, Loss};
use crate::nn::metrics::{IntoMetrics, Metric, MetricSpec, crossentropy_for};
use crate::nn::optimizers::{AnyOptimizer, IntoOptimizer};
use crate::{Tensor, Var, no_grad};

/// The result of `compile`.
pub(super) struct Compiled {
    pub(super) optimizer: Box<dyn AnyOptimizer>,
    /// `None` until the shapes of the first batch choose the cross-entropy.
    loss: Option<Box<dyn Loss>>,
    pending: Vec<(MetricSpec, bool)>,
    metrics: Vec<Tracked>,
    loss_total: Totals,
}

/// A metric with its totals.
struct Tracked {
    name: String,
    metric: Box<dyn Metric>,
    /// Whether sample weights count.
    weighted: bool,
    totals: Totals,
}

/// Sums that grow on the device, and the number of samples they are over, known here.
#[derive(Default)]
struct Totals {
    sums: Vec<Var>,
    samples: f64,
}

impl Totals {
    /// Makes a total for each of these sums, unless there is one.
    fn create(&mut self, sums: &[Tensor]) -> Result<()> {
        if self.sums.len() != sums.len() {
            let zero = |sum: &Tensor| {
                let var = Var::new(&Tensor::zeros(sum.shape(), DType::F32, sum.device())?)?;
                var.set_trainable(false);
                Ok(var)
            };
            self.sums = sums.iter().map(zero).collect::<Result<_>>()?;
        }
        Ok(())
    }

    fn add(&mut self, sums: &[Tensor], samples: usize) -> Result<()> {
        self.create(sums)?;
        for (total, sum) in self.sums.iter().zip(sums) {
            total.assign(&total.value().add(sum.cast(DType::F32)?)?)?;
        }
        self.samples += samples as f64;
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        self.samples = 0.0;
        self.sums.iter().try_for_each(|var| var.assign(&Tensor::zeros(var.shape(), DType::F32, var.device())?))
    }
}

impl Compiled {
    /// Chooses what depends on the shapes of targets and outputs.
    fn resolve(&mut self, y: &Tensor, output: &Tensor) {
        for (spec, weighted) in std::mem::take(&mut self.pending) {
            let (name, metric) = spec.resolve(y.dims(), output.dims());
            let name = self.free_name(name, weighted);
            self.metrics.push(Tracked { name, metric, weighted, totals: Totals::default() });
        }
    }

    /// Keras's names for metrics of the same name: a weighted one is `weighted_accuracy` beside a plain `accuracy`,
    /// and whatever is still taken is numbered: `accuracy_1`, ...
    fn free_name(&self, mut name: String, weighted: bool) -> String {
        let taken = |n: &str| n == "loss" || self.metrics.iter().any(|m| m.name == n);
        if taken(&name) && weighted {
            name = format!("weighted_{name}");
        }
        if !taken(&name) {
            return name;
        }
        (1..).map(|i| format!("{name}_{i}")).find(|n| !taken(n)).unwrap_or(name)
    }

    /// Whether targets are class numbers, or may be where the shapes are to choose.
    pub(super) fn takes_classes(&self) -> bool {
        self.loss.as_ref().is_none_or(|loss| loss.keeps_integers())
    }

    /// The loss of a batch.
    pub(super) fn loss(&mut self, batch: &Batch, output: &Tensor) -> Result<Tensor> {
        let y = targets(batch)?;
        let loss = self.loss.get_or_insert_with(|| crossentropy_for(y.dims(), output.dims()));
        let loss = loss.compute(y, output, batch.weight.as_ref())?;
        if loss.rank() == 0 { Ok(loss) } else { loss.mean(()) }
    }

    /// Adds a batch to the totals of the loss and the metrics.
    pub(super) fn track(&mut self, batch: &Batch, output: &Tensor, loss: &Tensor) -> Result<()> {
        self.each_total(batch, output, loss, |totals, sums| totals.add(sums, batch.len))
    }

    /// Makes the totals for batches like this one.
    pub(super) fn create_totals(&mut self, batch: &Batch, output: &Tensor, loss: &Tensor) -> Result<()> {
        self.each_total(batch, output, loss, Totals::create)
    }

    /// Calls `each` with all totals and what this batch adds to them.
    fn each_total(
        &mut self,
        batch: &Batch,
        output: &Tensor,
        loss: &Tensor,
        each: impl Fn(&mut Totals, &[Tensor]) -> Result<()>,
    ) -> Result<()> {
        let y = targets(batch)?;
        self.resolve(y, output);
        no_grad(|| {
            let output = output.detach();
            each(&mut self.loss_total, &[loss.detach().mul(batch.len as f64)?])?;
            for tracked in &mut self.metrics {
                // Weights of 1 where there are none: the sums are as many with and without.
                let ones = || Tensor::ones([batch.len], DType::F32, output.device());
                let weight = tracked.weighted.then(|| batch.weight.clone().map_or_else(ones, Ok)).transpose()?;
                each(&mut tracked.totals, &tracked.metric.sums(y, &output, weight.as_ref())?)?;
            }
            Ok(())
        })
    }

    /// Starts the totals again.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.loss_total.reset()?;
        self.metrics.iter_mut().try_for_each(|tracked| tracked.totals.reset())
    }

    /// Drops all totals, because the model has moved to another device.
    pub(super) fn forget(&mut self) {
        self.loss_total = Totals::default();
        self.metrics.iter_mut().for_each(|tracked| tracked.totals = Totals::default());
    }

    /// The loss and the metrics so far: one read-back.
    pub(super) fn read(&self) -> Result<Logs> {
        let all = std::iter::once(&self.loss_total).chain(self.metrics.iter().map(|m| &m.totals));
        let vars: Vec<&Var> = all.flat_map(|totals| &totals.sums).collect();
        let mut numbers = read_all(&vars)?.into_iter();
        let loss = numbers.next().map_or(0.0, |sum| sum[0]);
        let mut pairs = vec![("loss".to_owned(), loss / self.loss_total.samples.max(1.0))];
        for tracked in &self.metrics {
            let sums: Vec<Vec<f64>> = numbers.by_ref().take(tracked.totals.sums.len()).collect();
            if !sums.is_empty() {
                pairs.push((tracked.name.clone(), tracked.metric.result(&sums, tracked.totals.samples)));
            }
        }
        Ok(Logs::new(pairs))
    }

    /// Whether larger is better of the metric of this name; `None` where that is not known.
    pub(super) fn larger_is_better(&self, name: &str) -> Option<bool> {
        match name {
            "loss" => Some(false),
            name => self.metrics.iter().find(|m| m.name == name)?.metric.larger_is_better(),
        }
    }
}

fn targets(batch: &Batch) -> Result<&Tensor> {
    batch.y.as_ref().ok_or_else(|| Error::internal("a batch without targets was trained on"))
}

/// The values of several variables in one transfer.
fn read_all(vars: &[&Var]) -> Result<Vec<Vec<f64>>> {
    if vars.is_empty() {
        return Ok(Vec::new());
    }
    let flat =
        vars.iter().map(|var| var.value().detach().reshape([var.shape().numel()])).collect::<Result<Vec<_>>>()?;
    let flat: Vec<&Tensor> = flat.iter().collect();
    let joined = if let [one] = flat[..] { one.clone() } else { Tensor::concat(&flat, 0)? };
    let mut numbers = joined.to_f64_vec()?.into_iter();
    Ok(vars.iter().map(|var| numbers.by_ref().take(var.shape().numel()).collect()).collect())
}

impl Sequential {
    /// Sets how the model learns: an optimizer, a loss and metrics, as objects or by their Keras names.
    ///
    /// ```
    /// # use wgtensor::nn::*;
    /// # let mut model = Sequential::new();
    /// model.compile("adam", "binary_crossentropy", ["accuracy"])?;
    /// model.compile(SGD::new().momentum(0.9), MeanSquaredError::default(), ())?;
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is not known, settings of the optimizer that make no sense, or layers that do not go together.
    #[track_caller]
    pub fn compile(
        &mut self,
        optimizer: impl IntoOptimizer,
        loss: impl IntoLoss,
        metrics: impl IntoMetrics,
    ) -> Result<()> {
        self.compile_weighted(optimizer, loss, metrics, ())
    }

    /// [`compile`](Self::compile) with `weighted_metrics`, in which sample and class weights count.
    ///
    /// # Errors
    /// Those of `compile`.
    #[track_caller]
    pub fn compile_weighted(
        &mut self,
        optimizer: impl IntoOptimizer,
        loss: impl IntoLoss,
        metrics: impl IntoMetrics,
        weighted_metrics: impl IntoMetrics,
    ) -> Result<()> {
        entry(|| {
            self.misfit.clone().map_or(Ok(()), Err)?;
            let optimizer = optimizer.into_optimizer()?;
            optimizer.check()?;
            let plain = metrics.into_metrics()?.into_iter().map(|spec| (spec, false));
            let weighted = weighted_metrics.into_metrics()?.into_iter().map(|spec| (spec, true));
            self.compiled = Some(Compiled {
                optimizer,
                loss: loss.into_loss()?,
                pending: plain.chain(weighted).collect(),
                metrics: Vec::new(),
                loss_total: Totals::default(),
            });
            Ok(())
        })
    }

    /// What `compile` set, or Keras's error.
    pub(super) fn compiled(&mut self) -> Result<&mut Compiled> {
        self.compiled.as_mut().ok_or_else(|| {
            Error::parts(
                Kind::State,
                "You must call `compile()` before using the model",
                "a model that was not compiled",
                "a compiled model",
                "Call `model.compile(optimizer, loss, metrics)` first",
            )
        })
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// The model is not compiled.
    #[track_caller]
    pub fn learning_rate(&mut self) -> Result<f64> {
        entry(|| Ok(self.compiled()?.optimizer.current_rate()))
    }

    /// Sets the learning rate.
    ///
    /// # Errors
    /// The model is not compiled, or its optimizer follows a schedule.
    #[track_caller]
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        entry(|| self.compiled()?.optimizer.set_rate(rate))
    }

    /// The loss and the metrics since the start of the epoch (or of `evaluate`, or since
    /// [`reset_metrics`](Self::reset_metrics)). Waits for the device and reads a few numbers back.
    ///
    /// # Errors
    /// The model is not compiled, or those of the device.
    #[track_caller]
    pub fn running_logs(&mut self) -> Result<Logs> {
        entry(|| self.compiled()?.read())
    }

    /// Starts the loss and the metrics again.
    ///
    /// # Errors
    /// The model is not compiled, or those of the device.
    #[track_caller]
    pub fn reset_metrics(&mut self) -> Result<()> {
        entry(|| self.compiled()?.reset())
    }

    /// Whether larger is better of the metric of this name (without `val_`); `None` where that is not known.
    pub(crate) fn larger_is_better(&self, name: &str) -> Option<bool> {
        self.compiled.as_ref()?.larger_is_better(name)
    }
}
