//! What `compile` sets: an optimizer, and for each output its loss and its metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Map, Value as Json};

use super::Model;
use super::batches::Batch;
use super::entry::Masked;
use super::outputs::{IntoLosses, IntoMetricLists, LossSpec, LossWeights, Losses, MetricLists, written};
use super::totals::{Totals, Tracked, read_all};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::history::Logs;
use crate::nn::losses::{Reduction, align_weight};
use crate::nn::metrics::{MetricSpec, crossentropy_for};
use crate::nn::optimizers::{AnyOptimizer, IntoOptimizer, LossScaleOptimizer};
use crate::nn::policy::Policy;
use crate::sys::block_on;
use crate::{Tensor, Var, no_grad};

/// How a model learns: Keras's arguments of `compile`.
///
/// ```
/// # use wgtensor::nn::prelude::*;
/// # let x = Input::new([4]).node();
/// # let (kind, price) = (Dense::new(3).activation(Softmax).name("kind"), Dense::new(1).name("price"));
/// let mut model = Model::new(&x, [kind.on(&x)?, price.on(&x)?])?;
/// let how = Compile::new("adam", [("kind", "sparse_categorical_crossentropy"), ("price", "mse")])
///     .metrics([("kind", "accuracy")])
///     .loss_weights([1.0, 0.1]);
/// model.compile_with(how)?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Compile {
    optimizer: Result<Box<dyn AnyOptimizer>>,
    losses: Result<Losses>,
    metrics: Result<MetricLists>,
    weighted: Result<MetricLists>,
    loss_weights: Option<LossWeights>,
    auto_scale_loss: bool,
    run_eagerly: bool,
}

impl Compile {
    /// An optimizer and a loss, as objects or by their Keras names. One loss is for every output; a list has one for each, and
    /// pairs of a name and a loss may leave outputs out.
    #[track_caller]
    pub fn new(optimizer: impl IntoOptimizer, loss: impl IntoLosses) -> Self {
        Compile {
            optimizer: entry(|| optimizer.into_optimizer()),
            losses: entry(|| loss.into_losses()),
            metrics: Ok(MetricLists::All(Vec::new())),
            weighted: Ok(MetricLists::All(Vec::new())),
            loss_weights: None,
            auto_scale_loss: true,
            run_eagerly: false,
        }
    }

    /// Figures to report. For a model of several outputs, a list of metrics for each of them, or pairs of an output's name
    /// and its metrics.
    #[track_caller]
    pub fn metrics(mut self, metrics: impl IntoMetricLists) -> Self {
        self.metrics = entry(|| metrics.into_metric_lists());
        self
    }

    /// Figures in which sample and class weights count.
    #[track_caller]
    pub fn weighted_metrics(mut self, metrics: impl IntoMetricLists) -> Self {
        self.weighted = entry(|| metrics.into_metric_lists());
        self
    }

    /// Whether a model of the policy `mixed_float16` gets a [`LossScaleOptimizer`] around its optimizer; it does by default.
    pub fn auto_scale_loss(mut self, yes: bool) -> Self {
        self.auto_scale_loss = yes;
        self
    }

    /// Whether `fit` and `evaluate` call layers, loss, metrics and optimizer at every step. They do not by default: a step is
    /// recorded for the first batches of a size and then replayed, which costs the host a fraction of that. Needed for layers
    /// and losses that do more than compute with tensors, such as reading a value or counting their calls.
    pub fn run_eagerly(mut self, yes: bool) -> Self {
        self.run_eagerly = yes;
        self
    }

    /// What the loss of each output counts for in the whole: a list, or pairs of an output's name and a number; 1 by default.
    pub fn loss_weights(mut self, weights: impl Into<LossWeights>) -> Self {
        self.loss_weights = Some(weights.into());
        self
    }
}

/// The result of `compile`.
pub(super) struct Compiled {
    /// A number unique to it.
    pub(super) id: u64,
    pub(super) eager: bool,
    /// Losses, weights and metrics as Keras writes them, or why they cannot be written.
    pub(super) written: Result<Map<String, Json>>,
    pub(super) optimizer: Box<dyn AnyOptimizer>,
    outputs: Vec<Output>,
    loss_total: Totals,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What is asked of an output.
struct Output {
    name: String,
    /// The loss; until the shapes of the first batch are known, one that they choose.
    loss: Option<LossSpec>,
    weight: Option<f64>,
    /// Metrics until the shapes of the first batch are known, and whether sample weights count in them.
    pending: Vec<(MetricSpec, bool)>,
    metrics: Vec<Tracked>,
    /// The total of this output's own loss, where there are others.
    loss_total: Totals,
}

/// The losses of a batch.
pub(super) struct BatchLosses {
    /// What training makes smaller.
    pub(super) total: Tensor,
    /// Those of the outputs.
    each: Vec<Option<Tensor>>,
}

impl Output {
    /// Chooses what depends on the shapes of targets and outputs.
    fn resolve(&mut self, y: &Tensor, output: &Tensor) {
        if let Some(loss @ LossSpec::Crossentropy) = &mut self.loss {
            *loss = LossSpec::Loss(crossentropy_for(y.dims(), output.dims()).into());
        }
    }

    /// The loss of a batch.
    fn loss(&self, y: &Tensor, (output, mask): &Masked, weight: Option<&Tensor>) -> Result<Tensor> {
        let Some(LossSpec::Loss(loss)) = &self.loss else { return Err(Error::internal("a loss that was not chosen")) };
        let masked = mask.as_ref().map(|mask| mask_weight(mask, weight, loss.reduction())).transpose()?;
        let value = loss.compute(y, output, masked.as_ref().or(weight))?;
        if value.rank() == 0 { Ok(value) } else { value.mean(()) }
    }
}

/// Sample weights that leave masked positions out. A mean then is over the positions that count, as in Keras.
fn mask_weight(mask: &Tensor, weight: Option<&Tensor>, reduction: Reduction) -> Result<Tensor> {
    let mut mask = mask.cast(DType::F32)?;
    if reduction == Reduction::SumOverBatchSize {
        let counted = mask.sum(())?.maximum(1.0)?;
        mask = mask.mul(counted.reciprocal()?.mul(mask.numel() as f64)?)?;
    }
    match weight {
        Some(weight) => mask.mul(align_weight(weight, &mask)?),
        None => Ok(mask),
    }
}

impl Compiled {
    fn new(how: Compile, names: &[String], policy: Policy) -> Result<Self> {
        let mut optimizer = how.optimizer?;
        if policy == Policy::MixedFloat16 && how.auto_scale_loss && optimizer.class_name() != "LossScaleOptimizer" {
            optimizer = LossScaleOptimizer::new(optimizer)?.into_optimizer()?;
        }
        optimizer.check()?;
        let losses = how.losses?.0.spread("losses", names, LossSpec::clone)?;
        let weights = match how.loss_weights {
            Some(weights) => weights.0.spread("loss weights", names, |w| *w)?,
            None => vec![None; names.len()],
        };
        let (plain, weighted) = (how.metrics?.spread(names)?, how.weighted?.spread(names)?);
        let written = written(&losses, &weights, &plain, &weighted);
        let parts = names.iter().zip(losses).zip(weights).zip(plain.into_iter().zip(weighted));
        let output = |(((name, loss), weight), (plain, weighted)): (((&String, _), _), (Vec<_>, Vec<_>))| Output {
            name: name.clone(),
            loss,
            weight,
            pending: plain.into_iter().map(|m| (m, false)).chain(weighted.into_iter().map(|m| (m, true))).collect(),
            metrics: Vec::new(),
            loss_total: Totals::default(),
        };
        Ok(Compiled {
            id: NEXT.fetch_add(1, Relaxed),
            eager: how.run_eagerly,
            written,
            optimizer,
            outputs: parts.map(output).collect(),
            loss_total: Totals::default(),
        })
    }

    /// Whether the targets of an output are class numbers, or may be where the shapes are to choose.
    pub(super) fn takes_classes(&self, output: usize) -> bool {
        match &self.outputs[output].loss {
            Some(LossSpec::Loss(loss)) => loss.keeps_integers(),
            Some(LossSpec::Crossentropy) => true,
            None => false,
        }
    }

    /// Keras's name for a metric: with that of its output in front where there are several; a weighted one is
    /// `weighted_accuracy` beside a plain `accuracy`, and whatever is still taken is numbered: `accuracy_1`, ...
    fn free_name(&self, output: usize, name: &str, weighted: bool) -> String {
        let prefix = if self.outputs.len() > 1 { format!("{}_", self.outputs[output].name) } else { String::new() };
        let metrics = || self.outputs.iter().flat_map(|output| &output.metrics);
        let taken = |n: &str| n == "loss" || metrics().any(|m| m.name == n);
        let mut name = format!("{prefix}{name}");
        if taken(&name) && weighted {
            name = format!("{prefix}weighted_{}", &name[prefix.len()..]);
        }
        if !taken(&name) {
            return name;
        }
        (1..).map(|i| format!("{name}_{i}")).find(|n| !taken(n)).unwrap_or(name)
    }

    /// Chooses what depends on the shapes of a batch.
    fn resolve(&mut self, batch: &Batch, outputs: &[Masked]) -> Result<()> {
        for i in 0..self.outputs.len() {
            let Some(y) = &batch.y[i] else { continue };
            self.outputs[i].resolve(y, &outputs[i].0);
            for (spec, weighted) in std::mem::take(&mut self.outputs[i].pending) {
                let (name, metric) = spec.resolve(y.dims(), outputs[i].0.dims());
                let name = self.free_name(i, &name, weighted);
                self.outputs[i].metrics.push(Tracked { name, metric, weighted, totals: Totals::default() });
            }
        }
        let untold = |(output, y): (&Output, &Option<Tensor>)| {
            let used = output.loss.is_some() || !output.metrics.is_empty() || !output.pending.is_empty();
            (used && y.is_none()).then(|| output.name.clone())
        };
        match self.outputs.iter().zip(&batch.y).find_map(untold) {
            Some(name) => Err(Error::parts(
                Kind::Argument,
                &format!("`y` has no targets for the output '{name}', which has a loss or a metric"),
                "targets of other outputs",
                "targets for each output that is judged",
                "Add them, or leave that output out of `compile`",
            )),
            None => Ok(()),
        }
    }

    /// The losses of a batch.
    pub(super) fn losses(&mut self, batch: &Batch, outputs: &[Masked]) -> Result<BatchLosses> {
        self.resolve(batch, outputs)?;
        let mut total: Option<Tensor> = None;
        let mut each = Vec::new();
        for (i, output) in self.outputs.iter().enumerate() {
            let (Some(_), Some(y)) = (&output.loss, &batch.y[i]) else {
                each.push(None);
                continue;
            };
            let loss = output.loss(y, &outputs[i], batch.weight[i].as_ref())?;
            let counted = output.weight.map_or_else(|| Ok(loss.clone()), |weight| loss.mul(weight))?;
            total = Some(total.map_or_else(|| Ok(counted.clone()), |total| total.add(&counted))?);
            each.push(Some(loss));
        }
        let total = total.ok_or_else(|| {
            Error::parts(
                Kind::State,
                "No output of the model has a loss",
                "no loss",
                "a loss for at least one output",
                "Give `compile` a loss",
            )
        })?;
        Ok(BatchLosses { total, each })
    }

    /// Adds a batch to the totals of the losses and the metrics.
    pub(super) fn track(&mut self, batch: &Batch, outputs: &[Masked], losses: &BatchLosses) -> Result<()> {
        self.each_total(batch, outputs, losses, Totals::add)
    }

    /// Counts the samples of a batch that was tracked, now or when the step was recorded.
    pub(super) fn count(&mut self, samples: usize) {
        self.totals_mut().for_each(|totals| totals.count(samples));
    }

    /// Makes the totals for batches like this one.
    pub(super) fn create_totals(&mut self, batch: &Batch, outputs: &[Masked], losses: &BatchLosses) -> Result<()> {
        self.each_total(batch, outputs, losses, Totals::create)
    }

    /// Calls `each` with all totals and what this batch adds to them.
    fn each_total(
        &mut self,
        batch: &Batch,
        outputs: &[Masked],
        losses: &BatchLosses,
        each: impl Fn(&mut Totals, &[Tensor]) -> Result<()>,
    ) -> Result<()> {
        let share = |loss: &Tensor| loss.detach().mul(batch.len as f64);
        let several = self.losses_apart();
        no_grad(|| {
            each(&mut self.loss_total, &[share(&losses.total)?])?;
            for (i, part) in self.outputs.iter_mut().enumerate() {
                if let Some(loss) = losses.each[i].as_ref().filter(|_| several) {
                    each(&mut part.loss_total, &[share(loss)?])?;
                }
                let (Some(y), output) = (&batch.y[i], outputs[i].0.detach()) else { continue };
                for tracked in &mut part.metrics {
                    // Weights of 1 where there are none: the sums are as many with and without.
                    let ones = || Tensor::ones([batch.len], DType::F32, output.device());
                    let given = || batch.weight[i].clone().map_or_else(ones, Ok);
                    let weight = match (tracked.weighted, &outputs[i].1) {
                        (false, _) => None,
                        (true, None) => Some(given()?),
                        // As in Keras, a mask counts in a metric only where there are weights.
                        (true, Some(mask)) => Some(mask_weight(mask, Some(&given()?), Reduction::Sum)?),
                    };
                    each(&mut tracked.totals, &tracked.metric.sums(y, &output, weight.as_ref())?)?;
                }
            }
            Ok(())
        })
    }

    /// Whether several outputs have a loss, each with a figure of its own.
    fn losses_apart(&self) -> bool {
        self.outputs.iter().filter(|output| output.loss.is_some()).count() > 1
    }

    /// Starts the totals again.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.totals_mut().try_for_each(Totals::reset)
    }

    /// Drops all totals, because the model has moved to another device.
    pub(super) fn forget(&mut self) {
        self.totals_mut().for_each(|totals| *totals = Totals::default());
    }

    fn totals_mut(&mut self) -> impl Iterator<Item = &mut Totals> {
        std::iter::once(&mut self.loss_total).chain(self.outputs.iter_mut().flat_map(|output| {
            std::iter::once(&mut output.loss_total).chain(output.metrics.iter_mut().map(|m| &mut m.totals))
        }))
    }

    /// The loss, the losses of the outputs where there are several, and the metrics so far: one read-back.
    pub(super) async fn read(&self) -> Result<Logs> {
        let apart = self.losses_apart();
        let parts = self.outputs.iter().filter(|output| apart && output.loss.is_some());
        let parts: Vec<(String, &Totals)> =
            parts.map(|output| (format!("{}_loss", output.name), &output.loss_total)).collect();
        let metrics: Vec<&Tracked> = self.outputs.iter().flat_map(|output| &output.metrics).collect();
        let all = std::iter::once(&self.loss_total).chain(parts.iter().map(|(_, totals)| *totals));
        let mut numbers = read_all(all.chain(metrics.iter().map(|m| &m.totals))).await?.into_iter();
        let mut next = || numbers.next().unwrap_or_default();
        let mut pairs = vec![("loss".to_owned(), self.loss_total.mean(&next()))];
        pairs.extend(parts.into_iter().map(|(name, totals)| (name, totals.mean(&next()))));
        for tracked in metrics {
            let sums = next();
            if !sums.is_empty() {
                let figure = tracked.metric.result(&sums, tracked.totals.samples);
                pairs.extend(figure.parts().into_iter().map(|(part, number)| (tracked.name.clone() + &part, number)));
            }
        }
        Ok(Logs::new(pairs))
    }

    /// Whether larger is better of the metric of this name; `None` where that is not known.
    pub(super) fn larger_is_better(&self, name: &str) -> Option<bool> {
        let loss_of = |output: &Output| name == format!("{}_loss", output.name);
        if name == "loss" || self.outputs.iter().any(loss_of) {
            return Some(false);
        }
        // Of several figures each is called `name[0]`, `name[1]`, ...
        let name = name.split_once('[').map_or(name, |(name, _)| name);
        self.outputs.iter().flat_map(|output| &output.metrics).find(|m| m.name == name)?.metric.larger_is_better()
    }
}

impl Model {
    /// Sets how the model learns: an optimizer, a loss and metrics, as objects or by their Keras names. [`Compile`] says what
    /// there is for models of several outputs.
    ///
    /// ```
    /// # use wgtensor::nn::prelude::*;
    /// # let mut model = Sequential::new();
    /// model.compile("adam", "binary_crossentropy", ["accuracy"])?;
    /// model.compile(SGD::new(0.1).momentum(0.9), MeanSquaredError::default(), ())?;
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is not known, settings of the optimizer that make no sense, or layers that do not go together.
    #[track_caller]
    pub fn compile(
        &mut self,
        optimizer: impl IntoOptimizer,
        loss: impl IntoLosses,
        metrics: impl IntoMetricLists,
    ) -> Result<()> {
        self.compile_with(Compile::new(optimizer, loss).metrics(metrics))
    }

    /// [`compile`](Self::compile) with everything that can be set.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile_with(Compile::new("adam", "mse").weighted_metrics(["mae"]).run_eagerly(true))?;
    /// assert_eq!(model.iterations()?, 0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `compile`.
    #[track_caller]
    pub fn compile_with(&mut self, how: Compile) -> Result<()> {
        entry(|| {
            self.misfit.clone().map_or(Ok(()), Err)?;
            self.compiled = Some(Compiled::new(how, &self.output_names(), self.policy)?);
            Ok(())
        })
    }

    /// Whether layers, loss and the rest are called at every step.
    pub(super) fn is_eager(&self) -> bool {
        self.compiled.as_ref().is_some_and(|compiled| compiled.eager)
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
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile(SGD::new(ExponentialDecay::new(0.1, 100, 0.5)), "mse", ())?;
    /// assert_eq!(model.learning_rate()?, 0.1);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled.
    #[track_caller]
    pub fn learning_rate(&mut self) -> Result<f64> {
        entry(|| Ok(self.compiled()?.optimizer.current_rate()))
    }

    /// Sets the learning rate.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("adam", "mse", ())?;
    /// model.set_learning_rate(0.01)?;
    /// assert_eq!(model.learning_rate()?, 0.01);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled, or its optimizer follows a schedule.
    #[track_caller]
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        entry(|| self.compiled()?.optimizer.set_rate(rate))
    }

    /// How often the optimizer was called: Keras's `optimizer.iterations`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("adam", "mse", ())?;
    /// model.train_on_batch(&x, &y, None)?;
    /// assert_eq!(model.iterations()?, 1);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled.
    #[track_caller]
    pub fn iterations(&mut self) -> Result<u64> {
        entry(|| Ok(self.compiled()?.optimizer.iterations()))
    }

    /// The weights of which the optimizer keeps a moving average, each with that.
    pub(in crate::nn) fn averages(&mut self) -> Result<Vec<(Var, Var)>> {
        let vars = self.trainable_weights();
        Ok(self.compiled()?.optimizer.averages(&vars))
    }

    /// The loss and the metrics since the start of the epoch (or of `evaluate`, or since
    /// [`reset_metrics`](Self::reset_metrics)). Waits for the device and reads a few numbers back.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// model.train_on_batch(&x, &y, None)?;
    /// assert!(model.running_logs()?["mae"] >= 0.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model is not compiled, or those of the device.
    #[track_caller]
    pub fn running_logs(&mut self) -> Result<Logs> {
        entry(|| block_on(async { self.compiled()?.read().await }))
    }

    /// Starts the loss and the metrics again.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 3], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("top"));
    /// model.compile("sgd", "mse", ())?;
    /// let first = model.evaluate(&x, &y, Evaluate::new().verbose(0))?["loss"];
    /// model.reset_metrics()?;
    /// assert_eq!(model.test_on_batch(&x, &y, None)?["loss"], first);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
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
