//! Layers that make categories of numbers, and encode categories.

use super::adapting::no_data;
use super::{AdaptData, Batches, CallCtx, Layer};
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::{choices, declare, declared, positive, share};
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{DType, Tensor};

/// How categories come out of a layer.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{Device, Tensor};
/// let x = Tensor::new([[0, 2, 2]], &Device::cpu())?;
/// let encoded = |mode: &str| Sequential::new().add(CategoryEncoding::new(3).output_mode(mode)).call(&x, false)?.to_vec::<f32>();
/// assert_eq!(encoded("multi_hot")?, [1.0, 0.0, 1.0]);
/// assert_eq!(encoded("count")?, [1.0, 0.0, 2.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// As their numbers.
    Int,
    /// Each as a row that is 1 at its number and 0 elsewhere; a last dimension of 1 becomes that row.
    OneHot,
    /// Those of a sample as one row that is 1 at each number among them.
    MultiHot,
    /// Those of a sample as one row of how often each number is among them.
    Count,
}

choices! { OutputMode, "output mode", "\"int\", \"one_hot\", \"multi_hot\" or \"count\"":
    "int" => OutputMode::Int,
    "one_hot" => OutputMode::OneHot,
    "multi_hot" => OutputMode::MultiHot,
    "count" => OutputMode::Count,
}

impl OutputMode {
    /// The shape of an encoded sample.
    fn shape(self, class: &str, depth: usize, sample: &[usize]) -> Result<Shape> {
        match (self, sample) {
            (OutputMode::Int, _) => Shape::new(sample),
            (OutputMode::OneHot, [rest @ .., 1]) => Shape::new(&[rest, &[depth]].concat()),
            (OutputMode::OneHot, _) => Shape::new(&[sample, &[depth]].concat()),
            (_, [_]) => Shape::new(&[depth]),
            _ => Err(Error::parts(
                Kind::Shape,
                &format!("A `{class}` layer with output_mode multi_hot or count makes one row of each sample"),
                &format!("shape {}", with_batch(sample)),
                "the batch, and the categories of each sample",
                "Reshape the data, or use `one_hot`",
            )),
        }
    }

    /// Encodes numbers below `depth`.
    fn encode(self, class: &str, depth: usize, x: &Tensor) -> Result<Tensor> {
        let (&batch, sample) = x.dims().split_first().unwrap_or((&1, &[]));
        let shape = [&[batch], self.shape(class, depth, sample)?.dims()].concat();
        match self {
            OutputMode::Int => Ok(x.clone()),
            OutputMode::OneHot => x.reshape(&shape[..shape.len() - 1])?.one_hot(depth, -1, DType::F32),
            OutputMode::MultiHot => x.one_hot(depth, -1, DType::F32)?.max(1),
            OutputMode::Count => x.one_hot(depth, -1, DType::F32)?.sum(1),
        }
    }
}

declare! {
    /// Encodes integers from 0 to below `num_tokens`.
    ///
    /// An integer outside is an error in data given to `fit`, `evaluate` and `predict`; one that is computed within the model
    /// is left out.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// use wgtensor::{Device, Tensor};
    ///
    /// let mut model = Sequential::new().add(CategoryEncoding::new(4));
    /// let x = Tensor::new([[0, 1], [3, 3]], &Device::cpu())?;
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct CategoryEncoding(
        /// How many categories there are.
        num_tokens: usize where positive,
    ) {
        /// `"one_hot"`, `"multi_hot"` or `"count"`: an [`OutputMode`] or its name.
        output_mode: OutputMode = OutputMode::MultiHot,
    }
    check encodes
}

impl CategoryEncoding {
    fn encodes(&self) -> Result<()> {
        match self.output_mode {
            OutputMode::Int => {
                let expected = "\"one_hot\", \"multi_hot\" or \"count\"";
                Err(Error::setting("`CategoryEncoding`", "output_mode", "\"int\"", expected))
            }
            _ => Ok(()),
        }
    }
}

impl Layer for CategoryEncoding {
    declared!("keras.layers");

    fn keeps_integers(&self) -> bool {
        true
    }

    fn takes_indices(&self, _: usize) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        if let Some((low, high)) = x.bounds()
            && !(low >= 0 && high < self.num_tokens as i64)
        {
            return Err(Error::parts(
                Kind::Index,
                "Input values must be in the range 0 <= values < num_tokens",
                &format!("{} for num_tokens={}", if low < 0 { low } else { high }, self.num_tokens),
                &format!("integers from 0 to {}", self.num_tokens - 1),
                "Give `CategoryEncoding` a larger `num_tokens`, or check the data",
            ));
        }
        let x = if x.dtype().is_int() { x.clone() } else { x.cast(DType::I32)? };
        self.output_mode.encode("CategoryEncoding", self.num_tokens, &x)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        self.output_mode.shape("CategoryEncoding", self.num_tokens, input)
    }
}

declare! {
    /// Puts each number into one of several ranges, and gives the range's number: 0 below the first boundary, 1 from it to
    /// below the second, ...
    ///
    /// The boundaries are given, or [`adapt`](Self::adapt) finds those of `num_bins` ranges that have equally many numbers.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// use wgtensor::{Device, Tensor};
    ///
    /// let x = Tensor::new([[-1.5f32, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]], &Device::cpu())?;
    /// let mut model = Sequential::new().add(Discretization::new().bin_boundaries([0.0, 1.0, 2.0]));
    /// assert_eq!(model.call(&x, false)?.to_vec::<i32>()?, [0, 2, 3, 1, 1, 3, 2, 1]);
    /// let mut quarters = Discretization::new().num_bins(4);
    /// quarters.adapt(&x)?;
    /// assert_eq!(Sequential::new().add(quarters).call(&x, false)?.to_vec::<i32>()?, [0, 2, 3, 2, 1, 3, 3, 1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Discretization {
        /// Where the ranges meet, in ascending order: one boundary less than there are ranges.
        bin_boundaries: Option<Vec<f64>> = None,
        /// How many ranges `adapt` is to find.
        num_bins: Option<usize> where positive = None,
        /// How far from equally full the ranges may be: a small share of the data.
        epsilon: f64 where share = 0.01,
        /// How the numbers of the ranges come out: an [`OutputMode`] or its name.
        output_mode: OutputMode = OutputMode::Int,
    }
    fixed { sparse: false }
    check has_ranges
}

impl Discretization {
    /// Finds the boundaries of `num_bins` ranges with about equally many of these numbers: before the layer is added to a
    /// model, or later through [`SharedLayer::adapt`](crate::nn::SharedLayer::adapt). The numbers are read back.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 2.0, 3.0, 4.0], &Device::cpu())?;
    /// let mut halves = Discretization::new().num_bins(2);
    /// halves.adapt(&x)?;
    /// assert_eq!(Sequential::new().add(halves).call(&x, false)?.to_vec::<i32>()?.len(), 4);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layer without `num_bins`, no data, NaN in it, or those of the device.
    #[track_caller]
    pub fn adapt(&mut self, data: impl AdaptData) -> Result<()> {
        entry(|| self.adapt_to(data.into_batches()?))
    }

    fn adapt_to(&mut self, batches: Batches) -> Result<()> {
        Layer::check(self)?;
        let Some(bins) = self.num_bins else {
            return Err(Error::parts(
                Kind::State,
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`",
                "a call of `adapt`",
                "a layer with `num_bins`",
                "Use `num_bins` instead",
            ));
        };
        let mut summary = Summary::default();
        for batch in batches {
            let values = batch?.cast(DType::F32)?.to_vec::<f32>()?;
            if values.is_empty() {
                return Err(no_data("no numbers"));
            }
            if values.iter().any(|value| value.is_nan()) {
                return Err(Error::parts(
                    Kind::Argument,
                    "`adapt` was given data without an order",
                    "NaN",
                    "numbers",
                    "Check how the data was read, or fill in what is missing",
                ));
            }
            summary = merged(summarized(values, self.epsilon), summary, self.epsilon);
        }
        if summary.0.is_empty() {
            return Err(no_data("no batch"));
        }
        let (mut ends, _) = compress(summary, 1.0 / bins as f64);
        ends.pop();
        self.bin_boundaries = Some(ends.into_iter().map(f64::from).collect());
        Ok(())
    }

    fn has_ranges(&self) -> Result<()> {
        let refuse = |happened: &str, received: String| {
            let expected = "`bin_boundaries` in ascending order, or `num_bins` and a call of `adapt`";
            Err(Error::parts(Kind::Argument, happened, &received, expected, "Set one of the two"))
        };
        match (&self.bin_boundaries, self.num_bins) {
            (None, None) => refuse("You need to set either `num_bins` or `bin_boundaries`", "neither".into()),
            // An adapted layer has both; where `1 / num_bins` is rounded up, one range more than was asked for, as in Keras.
            (Some(given), Some(bins)) if given.len() > bins => refuse(
                "Both `num_bins` and `bin_boundaries` should not be set",
                format!("num_bins={bins} and bin_boundaries={given:?}"),
            ),
            (Some(given), _) if !given.is_sorted() => {
                refuse("The boundaries of a `Discretization` layer have no order", format!("{given:?}"))
            }
            _ => Ok(()),
        }
    }

    /// How many ranges there are.
    fn depth(&self) -> Option<usize> {
        self.bin_boundaries.as_ref().map(|boundaries| boundaries.len() + 1)
    }
}

impl Layer for Discretization {
    declared!("keras.layers");

    fn computes_wide(&self) -> bool {
        true
    }

    fn adapt(&mut self, data: Batches) -> Result<()> {
        self.adapt_to(data)
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let Some(boundaries) = &self.bin_boundaries else {
            return Err(Error::parts(
                Kind::State,
                "You need to either pass the `bin_boundaries` argument at construction time or call `adapt(dataset)` before \
                 you can start using the `Discretization` layer",
                "a layer without boundaries",
                "boundaries",
                "Call `adapt` with the data first",
            ));
        };
        let ranges = match boundaries.len() {
            0 => Tensor::zeros(x.shape(), DType::I32, x.device())?,
            count => {
                let narrow: Vec<f32> = boundaries.iter().map(|&boundary| boundary as f32).collect();
                let bins = Tensor::from_slice(&narrow, count, x.device())?.cast(x.dtype())?;
                x.digitize(&bins)?.bounded(Some((0, count as i64)))
            }
        };
        self.output_mode.encode("Discretization", boundaries.len() + 1, &ranges)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        self.output_mode.shape("Discretization", self.depth().or(self.num_bins).unwrap_or(1), input)
    }
}

/// Values in ascending order, and for how many each stands.
type Summary = (Vec<f32>, Vec<f32>);

/// A few of the values, each for as many as there are between it and the next. This and what follows is step by step what
/// Keras computes, to the same bits.
fn summarized(mut values: Vec<f32>, epsilon: f64) -> Summary {
    values.sort_unstable_by(f32::total_cmp);
    let step = (values.len() as f64 / (1.0 / epsilon)).max(1.0);
    let chosen: Vec<f32> = values.into_iter().skip((step - 1.0) as usize).step_by(step as usize).collect();
    let weights = vec![step as f32; chosen.len()];
    (chosen, weights)
}

/// The summary of what two of them stand for.
fn merged(a: Summary, b: Summary, epsilon: f64) -> Summary {
    let mut both: Vec<(f32, f32)> = a.0.into_iter().zip(a.1).chain(b.0.into_iter().zip(b.1)).collect();
    both.sort_by(|a, b| a.0.total_cmp(&b.0));
    compress(both.into_iter().unzip(), epsilon)
}

/// A summary of about `1 / epsilon` values.
fn compress((values, weights): Summary, epsilon: f64) -> Summary {
    if (values.len() as f64) * epsilon < 1.0 {
        return (values, weights);
    }
    let mut total = 0.0;
    let sums: Vec<f32> = weights
        .iter()
        .map(|weight| {
            total += weight;
            total
        })
        .collect();
    let shares: Vec<f64> = sums.iter().map(|sum| f64::from(sum / total)).collect();
    let wide = |list: &[f32]| list.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let (values, sums) = (wide(&values), wide(&sums));
    let (mut new_values, mut new_weights, mut before) = (Vec::new(), Vec::new(), 0.0);
    for i in 0..(1.0 / epsilon).ceil() as usize {
        let share = epsilon + i as f64 * epsilon;
        let sum = interpolate(share, &shares, &sums);
        new_values.push(interpolate(share, &shares, &values) as f32);
        new_weights.push((sum - before) as f32);
        before = sum;
    }
    (new_values, new_weights)
}

/// NumPy's `interp` at one place: between the points `(at, values)`, and constant beyond them.
fn interpolate(x: f64, at: &[f64], values: &[f64]) -> f64 {
    let next = at.partition_point(|&a| a <= x);
    match next {
        0 => values[0],
        next if next == at.len() || at[next - 1] == x => values[next - 1],
        next => {
            let slope = (values[next] - values[next - 1]) / (at[next] - at[next - 1]);
            slope * (x - at[next - 1]) + values[next - 1]
        }
    }
}
