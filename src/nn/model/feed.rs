//! What a call of `fit`, `evaluate` or `predict` goes over, batch by batch: rows of arrays that are on the device, or a
//! data set.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::Model;
use super::arrays::{Arrays, Given};
use super::batches::{Batch, Data, class_weights, no_samples, only, order};
use crate::data::{Array, Cardinality, Dataset, Item, Iter, Parts};
use crate::error::{Error, Kind, Result};
use crate::nn::progress::warn;
use crate::nn::seeds::SeedStream;
use crate::{Device, Tensor};

/// What a method was given to go over.
pub(super) struct Request<'a> {
    /// Who asks, for errors.
    pub(super) of: &'a str,
    pub(super) x: Arrays,
    pub(super) y: Arrays,
    pub(super) weight: Arrays,
    /// Whether targets and sample weights in a data set are of use.
    pub(super) targets: bool,
    pub(super) batch_size: Option<usize>,
    /// How many batches, and what this setting is called.
    pub(super) steps: (&'static str, Option<usize>),
    /// Where a data set's batches go, if that is settled.
    pub(super) device: Option<Device>,
}

/// Batches, pass after pass.
pub(super) struct Feed {
    source: Source,
    device: Device,
    /// The batches asked for.
    steps: Option<usize>,
    /// The batches of the last whole pass.
    learnt: Option<usize>,
    pass: Option<Pass>,
    /// Whether nothing of the pass was taken, but that its first batch was looked at.
    fresh: bool,
    /// The batches taken since `begin`.
    taken: usize,
}

enum Source {
    Rows { data: Arc<Data>, rows: Range<usize>, size: usize },
    Dataset { dataset: Dataset, targets: bool, class_weight: Vec<(i64, f64)> },
}

/// A pass under way.
enum Pass {
    Rows(Vec<i32>, usize),
    Items(Box<Peekable<Iter>>),
}

/// One batch, before the step that works on it.
pub(super) struct Fed {
    data: Arc<Data>,
    /// The numbers of its rows, where it is not the data itself.
    rows: Option<Tensor>,
    pub(super) len: usize,
}

impl Fed {
    pub(super) fn device(&self) -> &Device {
        self.data.device()
    }

    /// What is new of it for a step that was recorded.
    pub(super) fn inputs(&self) -> Vec<&Tensor> {
        self.rows.as_ref().map_or_else(|| self.data.tensors().collect(), |rows| vec![rows])
    }

    /// The batch that such inputs make.
    pub(super) fn batch(&self, inputs: Vec<Tensor>) -> Result<Batch> {
        match self.rows {
            Some(_) => self.data.batch(&inputs[0]),
            None => Ok(self.data.like(inputs)),
        }
    }
}

/// A batch that was taken from a pass: where in its order, or what a data set gave.
enum Taken {
    Rows(Range<usize>),
    Item(Box<Item>),
}

impl Pass {
    fn is_over(&mut self) -> bool {
        match self {
            Pass::Rows(order, next) => *next >= order.len(),
            Pass::Items(items) => items.peek().is_none(),
        }
    }
}

impl Feed {
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// The data of all rows, or the first batch of a data set, which has one.
    pub(super) async fn specimen(&mut self, model: &Model) -> Result<Arc<Data>> {
        match &self.source {
            Source::Rows { data, .. } => Ok(data.clone()),
            Source::Dataset { dataset, targets, class_weight } => {
                let mut items = Box::new(dataset.into_iter().peekable());
                let first = items.peek().cloned();
                (self.pass, self.fresh) = (Some(Pass::Items(items)), true);
                let first = first.ok_or_else(|| no_samples(&format!("{dataset:?}")))??;
                Ok(Arc::new(model.put(first, *targets, class_weight, &self.device).await?))
            }
        }
    }

    /// How many rows of arrays there are.
    pub(super) fn samples(&self) -> Option<usize> {
        match &self.source {
            Source::Rows { rows, .. } => Some(rows.len()),
            Source::Dataset { .. } => None,
        }
    }

    /// Leaves the rows from `at` on to another feed.
    pub(super) fn split_off(&mut self, at: usize, batch_size: usize) -> Option<Feed> {
        let Source::Rows { data, rows, .. } = &mut self.source else { return None };
        let held_out = Source::Rows { data: data.clone(), rows: at..rows.end, size: batch_size };
        rows.end = at;
        Some(Feed::of(held_out, self.device.clone(), None))
    }

    /// Weighs the samples by their classes.
    pub(super) async fn weigh(&mut self, classes: &[(i64, f64)]) -> Result<()> {
        match &mut self.source {
            Source::Rows { data, .. } => {
                let y = only(&data.y)?;
                let weights = class_weights(y.shape(), &y.to_f64_vec_async().await?, classes)?;
                let weight = Some(Tensor::from_slice(&weights, weights.len(), y.device())?);
                *data = Arc::new(Data { weight: vec![weight], ..Data::clone(data) });
            }
            Source::Dataset { class_weight, .. } => *class_weight = classes.to_vec(),
        }
        Ok(())
    }

    fn of(source: Source, device: Device, steps: Option<usize>) -> Self {
        Feed { source, device, steps, learnt: None, pass: None, fresh: false, taken: 0 }
    }

    /// How many batches there are from `begin` to the end, as far as that is known.
    pub(super) fn steps(&self) -> Option<usize> {
        self.steps.or(match &self.source {
            Source::Rows { rows, size, .. } => Some(rows.len().div_ceil(*size)),
            Source::Dataset { dataset, .. } => dataset.len().or(self.learnt),
        })
    }

    /// Starts an epoch: from the beginning of the data, in a random order where there is one to choose, or with what a pass
    /// left over, where it `goes_on` and a number of steps was asked for.
    pub(super) fn begin(&mut self, goes_on: bool, shuffle: Option<&mut SeedStream>) {
        self.taken = 0;
        let fresh = std::mem::take(&mut self.fresh);
        let going = goes_on && self.steps.is_some() && self.pass.as_mut().is_some_and(|pass| !pass.is_over());
        if !fresh && !going {
            self.pass = Some(match &self.source {
                Source::Rows { rows, .. } => Pass::Rows(order(rows.clone(), shuffle), 0),
                Source::Dataset { dataset, .. } => Pass::Items(Box::new(dataset.into_iter().peekable())),
            });
        }
    }

    /// Goes past an epoch that was trained before.
    pub(super) fn pass_over(&mut self, shuffle: Option<&mut SeedStream>) -> Result<()> {
        self.begin(true, shuffle);
        match self.steps {
            // The next one goes on where this one ends.
            Some(_) => while self.skip()? {},
            None => self.pass = None,
        }
        Ok(())
    }

    /// Goes past a batch, if there is one.
    pub(super) fn skip(&mut self) -> Result<bool> {
        Ok(self.take()?.is_some())
    }

    /// The next batch, on the device; none at the end of the epoch.
    pub(super) async fn next(&mut self, model: &Model) -> Result<Option<Fed>> {
        let Some(taken) = self.take()? else { return Ok(None) };
        match (&self.source, &self.pass, taken) {
            (Source::Rows { data, .. }, Some(Pass::Rows(order, _)), Taken::Rows(places)) => {
                let rows = &order[places];
                Ok(Some(Fed { data: data.clone(), rows: Some(data.numbers(rows)?), len: rows.len() }))
            }
            (Source::Dataset { targets, class_weight, .. }, _, Taken::Item(item)) => {
                let data = model.put(*item, *targets, class_weight, &self.device).await?;
                Ok(Some(Fed { len: data.some_samples()?, data: Arc::new(data), rows: None }))
            }
            _ => Err(Error::internal("a pass over something else")),
        }
    }

    /// What the next batch is made of; none at the end of the epoch.
    fn take(&mut self) -> Result<Option<Taken>> {
        if self.steps.is_some_and(|steps| self.taken >= steps) {
            return Ok(None);
        }
        let taken = match (&self.source, &mut self.pass) {
            (Source::Rows { size, .. }, Some(Pass::Rows(order, next))) => {
                let places = *next..order.len().min(*next + size);
                *next = places.end;
                (!places.is_empty()).then_some(Taken::Rows(places))
            }
            (_, Some(Pass::Items(items))) => items.next().transpose()?.map(|item| Taken::Item(Box::new(item))),
            _ => None,
        };
        if taken.is_some() {
            self.taken += 1;
            return Ok(taken);
        }
        self.pass = None;
        match self.steps {
            Some(_) => warn(
                "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at \
                 least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function when building your \
                 dataset.",
            ),
            None => self.learnt = Some(self.taken),
        }
        Ok(None)
    }
}

/// The batch size, if it is one.
pub(super) fn batch_size(of: &str, size: Option<usize>) -> Result<usize> {
    match size {
        Some(0) => Err(Error::setting(of, "batch_size", 0, "a positive integer")),
        size => Ok(size.unwrap_or(32)),
    }
}

/// Refuses, in Keras's words, what belongs into a data set.
fn apart(given: &Arrays, name: &str, what: &str) -> Result<()> {
    match given.0 {
        Given::Nothing => Ok(()),
        _ => Err(Error::parts(
            Kind::Argument,
            &format!("When providing `x` as a Dataset, `{name}` should not be passed"),
            &format!("`{name}` beside a data set"),
            &format!("{what} included as part of the Dataset"),
            &format!("Give elements `(x, y)` or `(x, y, sample_weight)`, and no `{name}`"),
        )),
    }
}

impl Model {
    /// What was asked for, checked as far as it can be without going over a data set.
    pub(super) fn feed(&self, asked: Request<'_>) -> Result<Feed> {
        let (steps_name, steps) = asked.steps;
        if steps == Some(0) {
            return Err(Error::setting(asked.of, steps_name, 0, "a positive integer"));
        }
        let Given::Dataset(dataset) = asked.x.0 else {
            let size = batch_size(asked.of, asked.batch_size)?;
            let data = self.data(asked.x, asked.y, asked.weight)?;
            let device = data.device().clone();
            return Ok(Feed::of(Source::Rows { rows: 0..data.samples(), data: Arc::new(data), size }, device, steps));
        };
        apart(&asked.y, "y", "the targets")?;
        apart(&asked.weight, "sample_weight", "the sample weights")?;
        if let Some(size) = asked.batch_size {
            return Err(Error::parts(
                Kind::Argument,
                "The `batch_size` argument must not be specified for the given input type",
                &format!("{dataset:?}, batch_size={size}"),
                "a data set that is batched by itself, and no `batch_size`",
                "Call `batch` on the data set",
            ));
        }
        if dataset.cardinality() == Cardinality::Infinite && steps.is_none() {
            return Err(Error::parts(
                Kind::Argument,
                &format!("When passing an infinitely repeating dataset, you must specify the `{steps_name}` argument"),
                &format!("{dataset:?}"),
                "a number of batches",
                &format!("Give `{steps_name}`, or `repeat` a number of times"),
            ));
        }
        let device = match asked.device.or_else(|| dataset.device().cloned()).or_else(|| self.device()) {
            Some(device) => device,
            None => Device::preset()?,
        };
        Ok(Feed::of(Source::Dataset { dataset, targets: asked.targets, class_weight: Vec::new() }, device, steps))
    }

    /// A batch of a data set, put on a device. Of class numbers and indices the host knows the range.
    async fn put(&self, item: Item, targets: bool, class_weight: &[(i64, f64)], device: &Device) -> Result<Data> {
        if let Some(single) = item.x().iter().chain(item.y()).find(|array| array.shape().rank() == 0) {
            return Err(Error::parts(
                Kind::Shape,
                "When passing a dataset to a Keras model, the arrays must be at least rank 1",
                &format!("{single:?}"),
                "batches: one row a sample in every array",
                "Call `batch` on the data set",
            ));
        }
        let part = |part: Parts<Array>| (targets && !part.all().is_empty()).then_some(part);
        let x = item.x.every("x", &self.input_names())?;
        let y = self.for_outputs("y", part(item.y))?;
        let mut weight = self.for_outputs("sample_weight", part(item.sample_weight))?;
        if !class_weight.is_empty() {
            if weight.iter().any(Option::is_some) {
                return Err(both_weights());
            }
            let y = only(&y)?;
            let weights = class_weights(y.shape(), &y.to_f64_vec(), class_weight)?;
            weight = vec![Some(Array::from_slice(&weights, weights.len())?)];
        }
        let put = |array: Array, numbers: bool| {
            let array = array.single();
            array.upload(if numbers { array.bounds() } else { None }, device)
        };
        let classes = |i: usize| self.compiled.as_ref().is_some_and(|compiled| compiled.takes_classes(i));
        let x = x.into_iter().enumerate().map(|(i, x)| put(x, self.graph.takes_indices(i)));
        let y = y.into_iter().enumerate().map(|(i, y)| y.map(|y| put(y, classes(i))).transpose());
        let weight = weight.into_iter().map(|weight| weight.map(|weight| put(weight, false)).transpose());
        let data =
            self.checked(x.collect::<Result<_>>()?, y.collect::<Result<_>>()?, weight.collect::<Result<_>>()?)?;
        self.find_ranges(&data).await?;
        Ok(data)
    }
}

/// Weights of classes and of samples exclude each other.
pub(super) fn both_weights() -> Error {
    Error::parts(
        Kind::Argument,
        "You cannot use `class_weight` and `sample_weight` at the same time",
        "both",
        "at most one of them",
        "Multiply the sample weights by the weights of the classes yourself",
    )
}
