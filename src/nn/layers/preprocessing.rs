//! Layers that bring data into the range that others expect.

use super::adapting::no_data;
use super::{AdaptData, Batches, BuildCtx, CallCtx, Layer, built};
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::{Array, IntoSetting, Setting, declare, declared};
use crate::nn::initializers::Initializer;
use crate::nn::names::with_batch;
use crate::shape::Shape;
use crate::{DType, Tensor, Var, no_grad};

declare! {
    /// `x * scale + offset`: for all values alike, or for each place along the last axes.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let pixels = Tensor::new([[0.0f32, 255.0]], &device)?;
    /// let mut model = Sequential::new().add(Rescaling::new(2.0 / 255.0).offset(-1.0));
    /// assert_eq!(model.call(&pixels, false)?.to_vec::<f32>()?, [-1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Rescaling(
        /// The factor: a number, or a list of one for each place along the last axis.
        scale: Array,
    ) {
        /// Added after scaling.
        offset: Array = Array::from(0.0),
    }
}

impl Layer for Rescaling {
    declared!("keras.layers");

    fn passes_mask(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let scaled = match (self.scale.shape(), self.scale.values()) {
            ([], [scale]) => x.mul(*scale)?,
            (shape, _) => x.mul(self.scale.tensor(shape, x.dtype(), x.device())?)?,
        };
        match (self.offset.shape(), self.offset.values()) {
            ([], [offset]) => scaled.add(*offset),
            (shape, _) => scaled.add(self.offset.tensor(shape, x.dtype(), x.device())?),
        }
    }
}

/// The axes of which each place has statistics of its own: one, several or none.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{Device, Tensor};
/// let x = Tensor::new([[1.0f32, 10.0], [3.0, 30.0]], &Device::cpu())?;
/// let mut columns = Normalization::new().axis(-1); // each column on its own
/// columns.adapt(&x)?;
/// let mut all = Normalization::new().axis(None); // one mean of all
/// all.adapt(&x)?;
/// let mut model = Sequential::new().add(columns);
/// assert_eq!(model.predict(&x, ())?.to_vec::<f32>()?, [-1.0, -1.0, 1.0, 1.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAxes(Vec<isize>);

impl Setting for KeptAxes {
    const EXPECTED: &'static str = "an integer, a list of integers, or null";

    fn to_json(&self) -> Result<serde_json::Value> {
        self.0.to_json()
    }

    fn from_json(json: &serde_json::Value) -> Result<Option<Self>> {
        if json.is_null() {
            return Ok(Some(KeptAxes(Vec::new())));
        }
        let one = isize::from_json(json)?.map(|axis| vec![axis]);
        Ok(one.map_or_else(|| Vec::from_json(json), |one| Ok(Some(one)))?.map(KeptAxes))
    }
}

impl IntoSetting<KeptAxes> for i32 {
    fn into_setting(self) -> Result<KeptAxes> {
        Ok(KeptAxes(vec![self as isize]))
    }
}

impl<const N: usize> IntoSetting<KeptAxes> for [i32; N] {
    fn into_setting(self) -> Result<KeptAxes> {
        Ok(KeptAxes(self.into_iter().map(|axis| axis as isize).collect()))
    }
}

impl IntoSetting<KeptAxes> for Option<i32> {
    fn into_setting(self) -> Result<KeptAxes> {
        Ok(KeptAxes(self.into_iter().map(|axis| axis as isize).collect()))
    }
}

declare! {
    /// Shifts and scales data to mean 0 and variance 1: `(x - mean) / sqrt(variance)`, for each place along `axis`.
    ///
    /// Mean and variance are given, or [`adapt`](Self::adapt) finds them. Then they are weights that training leaves alone:
    /// mean, variance and a count that Keras keeps for old files.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// use wgtensor::{Device, Tensor};
    ///
    /// let x = Tensor::new([[0.0f32, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]], &Device::cpu())?;
    /// let mut normalization = Normalization::new();
    /// normalization.adapt(&x)?;
    /// let mut model = Sequential::new().add(normalization);
    /// assert_eq!(model.call(&x.narrow(0, 0, 1)?, false)?.to_vec::<f32>()?, [-1.0, -1.0, -1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Normalization {
        /// The axes of which each place has a mean and a variance of its own, counted with the batch as 0: one, several, or
        /// `None` for one mean and one variance of everything.
        axis: KeptAxes = KeptAxes(vec![-1]),
        /// The mean: a number, or a list of one for each place along the axes. Goes with `variance`.
        mean: Option<Array> = None,
        /// The variance, of the same shape as the mean.
        variance: Option<Array> = None,
        /// Whether to do the opposite: make values of mean 0 and variance 1 what they were.
        invert: bool = false,
    }
    state { adapted: Option<Adapted>, built: Option<Built> }
    check goes_together
}

/// What `adapt` found.
struct Adapted {
    mean: Tensor,
    variance: Tensor,
}

/// Mean and variance of so many numbers for each place.
struct Statistics {
    mean: Tensor,
    variance: Tensor,
    count: usize,
}

struct Built {
    layer: String,
    /// The extents of the kept axes, 1 for the others.
    spread: Vec<usize>,
    /// Mean, variance and count, unless they were given.
    weights: Option<[Var; 3]>,
}

/// What stands in for the square root of a variance of 0, as in Keras.
const EPSILON: f64 = 1e-7;

impl Normalization {
    /// Finds mean and variance of data: before the layer is added to a model, or later through
    /// [`SharedLayer::adapt`](crate::nn::SharedLayer::adapt).
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32], [3.0]], &Device::cpu())?;
    /// let mut normalization = Normalization::new();
    /// normalization.adapt(&x)?;
    /// assert_eq!(Sequential::new().add(normalization).call(&x, false)?.to_vec::<f32>()?, [-1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Data without samples or without the axes, other extents than the layer was built for, a mean that was given, or those of
    /// the device.
    #[track_caller]
    pub fn adapt(&mut self, data: impl AdaptData) -> Result<()> {
        entry(|| self.adapt_to(data.into_batches()?))
    }

    fn adapt_to(&mut self, batches: Batches) -> Result<()> {
        Layer::check(self)?;
        if self.mean.is_some() {
            return Err(Error::parts(
                Kind::State,
                "A `Normalization` layer that was given `mean` and `variance` cannot be adapted",
                "a call of `adapt`",
                "a layer without `mean` and `variance`",
                "Leave them out, or leave `adapt` out",
            ));
        }
        let mut found = None;
        for batch in batches {
            let batch = batch?;
            if batch.numel() == 0 {
                return Err(no_data(&format!("shape {}", batch.shape())));
            }
            found = Some(no_grad(|| self.with_batch(found, &batch))?);
        }
        let Some(Statistics { mean, variance, .. }) = found else { return Err(no_data("no batch")) };
        if let Some([old_mean, old_variance, _]) = self.built.as_ref().and_then(|part| part.weights.as_ref()) {
            old_mean.assign(&mean.to_device(old_mean.device())?)?;
            old_variance.assign(&variance.to_device(old_mean.device())?)?;
            old_mean.device().flush()?;
        }
        self.adapted = Some(Adapted { mean, variance });
        Ok(())
    }

    /// The statistics of some batches and one more, by the rule that Keras adds them up with (that of Chan, Golub and LeVeque
    /// for two samples).
    fn with_batch(&self, before: Option<Statistics>, x: &Tensor) -> Result<Statistics> {
        let kept = self.kept(x.rank())?;
        if let Some(part) = &self.built {
            part.fits(x)?;
        }
        let others: Vec<usize> = (0..x.rank()).filter(|axis| !kept.contains(axis)).collect();
        let wide = x.cast(DType::F32)?;
        let (mean, variance) = (wide.mean(&others[..])?, wide.var(&others[..])?);
        let count: usize = others.iter().map(|&axis| x.dims()[axis]).product();
        let new = match before {
            None => Statistics { mean, variance, count },
            Some(old) => {
                if old.mean.shape() != mean.shape() {
                    return Err(Error::parts(
                        Kind::Shape,
                        "`adapt` was given batches that do not fit together",
                        &format!("statistics of shape {} after {}", mean.shape(), old.mean.shape()),
                        "one shape in all batches",
                        "Bring the samples to one shape with `map`",
                    ));
                }
                let share = count as f64 / (count + old.count) as f64;
                let both = |old: &Tensor, new: &Tensor| old.mul(1.0 - share)?.add(new.mul(share)?);
                let total = both(&old.mean, &mean)?;
                let spread = |mean: &Tensor, variance: &Tensor| variance.add(mean.sub(&total)?.square()?);
                let variance = both(&spread(&old.mean, &old.variance)?, &spread(&mean, &variance)?)?;
                Statistics { mean: total, variance, count: count + old.count }
            }
        };
        // One batch after the other, so that no more than one is in memory.
        new.mean.realize()?;
        new.variance.realize()?;
        Ok(new)
    }

    fn goes_together(&self) -> Result<()> {
        let (mean, variance) = match (&self.mean, &self.variance) {
            (None, None) => return Ok(()),
            (Some(mean), Some(variance)) if mean.shape() == variance.shape() => (mean, variance),
            (mean, variance) => {
                let shape =
                    |array: &Option<Array>| array.as_ref().map_or("none".into(), |a| format!("{:?}", a.shape()));
                return Err(Error::parts(
                    Kind::Argument,
                    "When setting values directly, both `mean` and `variance` must be set, and have the same shape",
                    &format!("mean of shape {}, variance of shape {}", shape(mean), shape(variance)),
                    "both of one shape, or neither",
                    "Give both, or call `adapt`",
                ));
            }
        };
        if mean.shape().len() > self.axis.0.len() {
            return Err(Error::parts(
                Kind::Argument,
                "The rank of `mean` must be less than or equal to the number of axes",
                &format!("mean of shape {:?} for axis {:?}", mean.shape(), self.axis.0),
                &format!("at most {} dimensions", self.axis.0.len()),
                "Give a number or fewer dimensions, or name more axes",
            ));
        }
        match variance.values().iter().find(|value| value.is_nan() || **value < 0.0) {
            Some(value) => Err(Error::setting("`Normalization`", "variance", value, "0 or a positive number")),
            None => Ok(()),
        }
    }

    /// The kept axes in ascending order, of data of this rank with the batch.
    fn kept(&self, rank: usize) -> Result<Vec<usize>> {
        let axis = |&axis: &isize| {
            let counted = if axis < 0 { axis + rank as isize } else { axis };
            (1..rank as isize).contains(&counted).then_some(counted as usize).ok_or_else(|| {
                Error::parts(
                    Kind::Index,
                    "All `axis` values must be in the range [-ndim, ndim), and none may be that of the batch",
                    &format!("axis={:?} for inputs with ndim={rank}", self.axis.0),
                    "axes of a sample, or `None` for statistics of everything",
                    "Change `axis`",
                )
            })
        };
        let mut kept = self.axis.0.iter().map(axis).collect::<Result<Vec<usize>>>()?;
        kept.sort_unstable();
        kept.dedup();
        Ok(kept)
    }

    /// Given mean and variance, each in a shape that broadcasts against the data: their dimensions are the last kept axes.
    fn given(&self, spread: &[usize], kept: &[usize]) -> Result<Option<(&Array, &Array, Vec<usize>)>> {
        let (Some(mean), Some(variance)) = (&self.mean, &self.variance) else { return Ok(None) };
        let mut shape = vec![1; spread.len()];
        for (&axis, &extent) in kept.iter().rev().zip(mean.shape().iter().rev()) {
            if extent != 1 && extent != spread[axis] {
                return Err(Error::parts(
                    Kind::Shape,
                    "`mean` and `variance` of a `Normalization` layer do not fit its input",
                    &format!("mean of shape {:?}", mean.shape()),
                    &format!("{} places along axis {axis}", spread[axis]),
                    "Give one number for each place, or one for all",
                ));
            }
            shape[axis] = extent;
        }
        Ok(Some((mean, variance, shape)))
    }
}

impl Built {
    /// Refuses data with other extents along the kept axes.
    fn fits(&self, x: &Tensor) -> Result<()> {
        let places = x.dims().iter().zip(&self.spread);
        if x.rank() == self.spread.len() && places.clone().all(|(found, kept)| *kept == 1 || found == kept) {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Shape,
            &format!(
                "Input 0 of layer '{}' is incompatible with the layer: its statistics are of another shape",
                self.layer
            ),
            &format!("shape {}", x.shape()),
            &format!("{} (1 where the extent may be any)", with_batch(&self.spread[1..])),
            "Give data of the shape that the layer was built for, or build a new model",
        ))
    }
}

impl Layer for Normalization {
    declared!("keras.layers");

    // The variance of raw data may be beyond 16 bits.
    fn computes_wide(&self) -> bool {
        true
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn adapt(&mut self, data: Batches) -> Result<()> {
        self.adapt_to(data)
    }

    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let kept = self.kept(input.rank() + 1)?;
        let extents: Vec<usize> = kept.iter().map(|axis| input[axis - 1]).collect();
        let mut spread = vec![1; input.rank() + 1];
        kept.iter().for_each(|&axis| spread[axis] = input[axis - 1]);
        let weights = match self.given(&spread, &kept)? {
            Some(_) => None,
            None => {
                let mean = ctx.state("mean", &extents, &Initializer::Zeros)?;
                let variance = ctx.state("variance", &extents, &Initializer::Ones)?;
                let zero = Tensor::zeros((), DType::I32, ctx.device())?;
                let count = Var::named(format!("{}/count", ctx.name()), &zero);
                count.set_trainable(false);
                if let Some(adapted) = &self.adapted {
                    mean.assign(&adapted.mean.to_device(ctx.device())?)?;
                    variance.assign(&adapted.variance.to_device(ctx.device())?)?;
                }
                Some([mean, variance, count])
            }
        };
        self.built = Some(Built { layer: ctx.name().to_owned(), spread, weights });
        Ok(())
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let part = built(&self.built)?;
        part.fits(x)?;
        let kept = self.kept(x.rank())?;
        let (mean, variance) = match (self.given(&part.spread, &kept)?, &part.weights) {
            (Some((mean, variance, shape)), _) => {
                let tensor = |array: &Array| array.tensor(&shape, x.dtype(), x.device());
                (tensor(mean)?, tensor(variance)?)
            }
            (None, weights) => {
                let [mean, variance, _] = built(weights)?;
                (mean.value().reshape(&part.spread[..])?, variance.value().reshape(&part.spread[..])?)
            }
        };
        let deviation = variance.sqrt()?.maximum(EPSILON)?;
        if self.invert { x.mul(&deviation)?.add(&mean) } else { x.sub(&mean)?.div(&deviation) }
    }

    fn weights(&self) -> Vec<Var> {
        self.built.iter().filter_map(|part| part.weights.clone()).flatten().collect()
    }
}
