//! Normalisation, as composites: by a norm, by given statistics, over axes.

use super::pointwise::{expect_dtype, same_device, same_dtype};
use super::reduce::in_register;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::shape::{Axes, Index, axes_set, axis_index};

/// The least norm that `normalize` divides by: Keras's fuzz factor.
const EPSILON: f64 = 1e-7;

impl Tensor {
    /// Divided by its norm of this order along an axis, as Keras's `normalize`: `x / (sum |x|^order)^(1 / order)`, or by
    /// 1e-7 where the norm is less.
    ///
    /// # Errors
    /// The axis does not exist; an order of 0; the tensor is not floating-point.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[3.0f32, 4.0]], &Device::cpu())?;
    /// let unit = x.normalize(-1, 2)?.to_vec::<f32>()?;
    /// assert!((unit[0] - 0.6).abs() < 1e-6 && (unit[1] - 0.8).abs() < 1e-6);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn normalize(&self, axis: impl Index, order: u32) -> Result<Tensor> {
        expect_dtype("normalize", self, self.dtype().is_float(), "a floating-point type")?;
        let axis = axis_index("normalize", axis, self.rank())?;
        if order == 0 {
            return Err(Error::setting("`normalize`", "order", order, "at least 1"));
        }
        entry(|| {
            in_register(self, |x| match order {
                1 => x.div(x.abs()?.sum_keepdims(axis)?.maximum(EPSILON)?),
                2 => x.mul(x.square()?.sum_keepdims(axis)?.maximum(EPSILON * EPSILON)?.rsqrt()?),
                _ => {
                    let order = f64::from(order);
                    let least = EPSILON.powf(order).max(f64::from(f32::MIN_POSITIVE));
                    x.div(x.abs()?.pow(order)?.sum_keepdims(axis)?.maximum(least)?.pow(1.0 / order)?)
                }
            })
        })
    }

    /// `(x - mean) / sqrt(variance + epsilon) * scale + offset`, with one number of each for every position along an axis.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 10.0], [3.0, 30.0]], &device)?;
    /// let (mean, variance) = (x.mean(0)?, x.var(0)?);
    /// let y = x.batch_normalization(&mean, &variance, -1, None, None, 0.0)?;
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, -1.0, 1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist; other extents than the axis's; mixed types or devices; the tensor is not floating-point.
    #[track_caller]
    pub fn batch_normalization(
        &self,
        mean: &Tensor,
        variance: &Tensor,
        axis: impl Index,
        offset: Option<&Tensor>,
        scale: Option<&Tensor>,
        epsilon: f64,
    ) -> Result<Tensor> {
        let axis = axis_index("batch_normalization", axis, self.rank())?;
        expect_dtype("batch_normalization", self, self.dtype().is_float(), "a floating-point type")?;
        entry(|| {
            let along = |part: &Tensor| beside("batch_normalization", self, part, &[axis]);
            let (mean, variance) = (along(mean)?, along(variance)?);
            let (scale, offset) = (scale.map(along).transpose()?, offset.map(along).transpose()?);
            in_register(self, |x| standard(x, &mean, &variance, scale.as_ref(), offset.as_ref(), epsilon))
        })
    }

    /// Brought to mean 0 and variance 1 over axes, `(x - mean) / sqrt(variance + epsilon) * gamma + beta` with the biased
    /// variance (Ba, Kiros and Hinton, 2016). Gamma and beta have the shape of the axes. Keras's default epsilon is
    /// 1e-7 here, and 1e-3 in the layer.
    ///
    /// # Errors
    /// An axis does not exist or is named twice; a gamma or beta of another shape, type or device; the tensor is not
    /// floating-point.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 3.0]], &Device::cpu())?;
    /// let y = x.layer_normalization(None, None, -1, 0.0)?;
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_normalization(
        &self,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        axes: impl Axes,
        epsilon: f64,
    ) -> Result<Tensor> {
        expect_dtype("layer_normalization", self, self.dtype().is_float(), "a floating-point type")?;
        let axes = axes_set("layer_normalization", axes, self.rank())?;
        entry(|| {
            let along = |part: &Tensor| beside("layer_normalization", self, part, &axes);
            let (gamma, beta) = (gamma.map(along).transpose()?, beta.map(along).transpose()?);
            in_register(self, |x| {
                let (mean, variance) = (x.mean_keepdims(&axes[..])?, x.var_keepdims(&axes[..])?);
                standard(x, &mean, &variance, gamma.as_ref(), beta.as_ref(), epsilon)
            })
        })
    }

    /// Divided by the root of the mean square over axes, `x / sqrt(mean(x^2) + epsilon) * scale` (Zhang and Sennrich, 2019).
    /// The scale has the shape of the axes.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[3.0f32, -3.0]], &device)?;
    /// assert_eq!(x.rms_normalization(None, -1, 0.0)?.to_vec::<f32>()?, [1.0, -1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`layer_normalization`](Tensor::layer_normalization).
    #[track_caller]
    pub fn rms_normalization(&self, scale: Option<&Tensor>, axes: impl Axes, epsilon: f64) -> Result<Tensor> {
        expect_dtype("rms_normalization", self, self.dtype().is_float(), "a floating-point type")?;
        let axes = axes_set("rms_normalization", axes, self.rank())?;
        entry(|| {
            let scale = scale.map(|scale| beside("rms_normalization", self, scale, &axes)).transpose()?;
            in_register(self, |x| {
                let y = x.mul(x.square()?.mean_keepdims(&axes[..])?.add(epsilon)?.rsqrt()?)?;
                if let Some(scale) = &scale { y.mul(scale) } else { Ok(y) }
            })
        })
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + offset`.
fn standard(
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    scale: Option<&Tensor>,
    offset: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    let mut y = x.sub(mean)?.mul(variance.add(epsilon)?.rsqrt()?)?;
    if let Some(scale) = scale {
        y = y.mul(scale)?;
    }
    match offset {
        Some(offset) => y.add(offset),
        None => Ok(y),
    }
}

/// Numbers for the positions along axes of `x`, in its register type and in a shape that broadcasts with it.
fn beside(op: &str, x: &Tensor, part: &Tensor, axes: &[usize]) -> Result<Tensor> {
    same_device(op, x, part)?;
    same_dtype(op, x, part)?;
    let dims: Vec<usize> = axes.iter().map(|&d| x.dims()[d]).collect();
    if part.dims() != dims {
        return Err(Error::parts(
            Kind::Shape,
            &format!("`{op}` was given a part of another shape than the axes"),
            &format!("{} for the axes {axes:?} of a tensor of shape {}", part.shape(), x.shape()),
            &format!("{dims:?}"),
            "Reshape the part, or name other axes",
        ));
    }
    let from = axes.first().copied().unwrap_or(x.rank());
    let wide: Vec<usize> = (from..x.rank()).map(|d| if axes.contains(&d) { x.dims()[d] } else { 1 }).collect();
    part.cast(x.dtype().register())?.reshape(wide)
}
