//! Layers that bring images to a size, or turn them around.

use super::{CallCtx, Layer, check_rank};
use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::nn::config::{choices, declare, declared, positive};
use crate::shape::Shape;

/// How pixels between pixels are found.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// # use wgtensor::{Device, Tensor};
/// let x = Tensor::new([[[[0.0f32], [1.0]]]], &Device::cpu())?; // one image of 1 by 2 pixels
/// let wide = |how: &str| Sequential::new().add(Resizing::new(1, 4).interpolation(how)).call(&x, false)?.to_vec::<f32>();
/// assert_eq!(wide("nearest")?, [0.0, 0.0, 1.0, 1.0]);
/// assert_eq!(wide("bilinear")?, [0.0, 0.25, 0.75, 1.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// From the four around them, by distance.
    Bilinear,
    /// That which is nearest.
    Nearest,
}

choices! { Interpolation, "interpolation", "\"bilinear\" or \"nearest\"":
    "bilinear" => Interpolation::Bilinear,
    "nearest" => Interpolation::Nearest,
}

/// Height and width of images `(height, width, channels)`.
fn sides(class: &str, sample: &[usize]) -> Result<[usize; 2]> {
    check_rank(class, 4, sample)?;
    if sample[0] == 0 || sample[1] == 0 {
        let (happened, received) = (format!("`{class}` was given images without pixels"), format!("{sample:?}"));
        let expected = "a height and a width of at least 1";
        return Err(Error::parts(Kind::Shape, &happened, &received, expected, "Check how the images were read"));
    }
    Ok([sample[0], sample[1]])
}

/// The largest part from the middle that has the shape of the target, by Keras's rounding.
fn crop_to_aspect_ratio(x: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let (rows, columns) = (x.dims()[1], x.dims()[2]);
    let part = |whole: usize, other: usize, a: usize, b: usize| (other * a / b).clamp(1, whole.max(1));
    middle(x, [part(rows, columns, height, width), part(columns, rows, width, height)])
}

/// The part of this height and width in the middle.
fn middle(x: &Tensor, sides: [usize; 2]) -> Result<Tensor> {
    let start = |axis: usize| (x.dims()[axis] - sides[axis - 1]) / 2;
    x.narrow(1, start(1), sides[0])?.narrow(2, start(2), sides[1])
}

/// Images of another height and width.
fn resize(x: &Tensor, sides: [usize; 2], how: Interpolation) -> Result<Tensor> {
    stretch(&stretch(x, 1, sides[0], how)?, 2, sides[1], how)
}

/// An axis with another number of places. Pixels are squares: the middle of the first one is half a pixel from the edge.
fn stretch(x: &Tensor, axis: usize, size: usize, how: Interpolation) -> Result<Tensor> {
    let before = x.dims()[axis];
    if size == before {
        return Ok(x.clone());
    }
    let ratio = before as f64 / size as f64;
    let middles = (0..size).map(|i| (i as f64 + 0.5) * ratio);
    let last = before as i32 - 1;
    let rows = |list: Vec<i32>| x.take(Tensor::from_slice(&list, size, x.device())?, axis);
    if how == Interpolation::Nearest {
        return rows(middles.map(|place| (place as i32).min(last)).collect());
    }
    let places: Vec<f64> = middles.map(|place| (place - 0.5).clamp(0.0, f64::from(last))).collect();
    let low = rows(places.iter().map(|&place| place as i32).collect())?;
    let high = rows(places.iter().map(|&place| (place as i32 + 1).min(last)).collect())?;
    let share: Vec<f32> = places.iter().map(|place| place.fract() as f32).collect();
    let mut shape = vec![1; x.rank()];
    shape[axis] = size;
    let share = Tensor::from_slice(&share, shape, x.device())?.cast(x.dtype())?;
    low.add(high.sub(&low)?.mul(&share)?)
}

declare! {
    /// Images `(batch, height, width, channels)` brought to a height and a width.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(Resizing::new(2, 2));
    /// let x = Tensor::arange(0.0, 16.0, 1.0, DType::F32, &device)?.reshape([1, 4, 4, 1])?;
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct Resizing(
        /// The height of the results.
        height: usize where positive,
        /// Their width.
        width: usize where positive,
    ) {
        /// How pixels between pixels are found: an [`Interpolation`], or `"bilinear"` or `"nearest"`.
        interpolation: Interpolation = Interpolation::Bilinear,
        /// Whether to leave out what is too much at the sides, instead of distorting the image.
        crop_to_aspect_ratio: bool = false,
    }
    fixed {
        pad_to_aspect_ratio: false, fill_mode: "constant", fill_value: 0.0, antialias: false, data_format: "channels_last",
    }
}

impl Layer for Resizing {
    declared!("keras.layers");

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        sides("Resizing", &x.dims()[1..])?;
        let wanted = [self.height, self.width];
        match self.crop_to_aspect_ratio {
            true => resize(&crop_to_aspect_ratio(x, wanted)?, wanted, self.interpolation),
            false => resize(x, wanted, self.interpolation),
        }
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        sides("Resizing", input)?;
        Shape::new(&[self.height, self.width, input[2]])
    }
}

declare! {
    /// The middle of images `(batch, height, width, channels)`. Where an image is smaller than that, the largest part of that
    /// shape is made as large.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(CenterCrop::new(2, 2));
    /// let x = Tensor::arange(0.0, 16.0, 1.0, DType::F32, &device)?.reshape([1, 4, 4, 1])?;
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [5.0, 6.0, 9.0, 10.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct CenterCrop(
        /// The height of the results.
        height: usize where positive,
        /// Their width.
        width: usize where positive,
    ) {}
    fixed { data_format: "channels_last" }
}

impl Layer for CenterCrop {
    declared!("keras.layers");

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        sides("CenterCrop", &x.dims()[1..])?;
        let wanted = [self.height, self.width];
        match x.dims()[1] >= self.height && x.dims()[2] >= self.width {
            true => middle(x, wanted),
            false => resize(&crop_to_aspect_ratio(x, wanted)?, wanted, Interpolation::Bilinear),
        }
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        sides("CenterCrop", input)?;
        Shape::new(&[self.height, self.width, input[2]])
    }
}

/// Which sides of an image change places.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// use wgtensor::nn::layers::Layer;
/// let by_name = RandomFlip::new().mode("vertical");
/// let by_value = RandomFlip::new().mode(layers::FlipMode::Vertical);
/// assert_eq!(by_name.config()?, by_value.config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlipMode {
    /// Left and right.
    Horizontal,
    /// Top and bottom.
    Vertical,
    /// Both at once.
    HorizontalAndVertical,
}

choices! { FlipMode, "flip mode", "\"horizontal\", \"vertical\" or \"horizontal_and_vertical\"":
    "horizontal" => FlipMode::Horizontal,
    "vertical" => FlipMode::Vertical,
    "horizontal_and_vertical" => FlipMode::HorizontalAndVertical,
}

declare! {
    /// Flips each image `(height, width, channels)` of a batch while training, or does not, with equal probability. As in
    /// Keras, `"horizontal_and_vertical"` flips an image both ways or not at all.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let mut model = Sequential::new().add(RandomFlip::new().mode("horizontal"));
    /// let x = Tensor::new([[[[1.0f32], [2.0]]]], &device)?; // one image of 1 by 2 pixels
    /// assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, [1.0, 2.0]); // not while predicting
    /// let turned = model.call(&x, true)?.to_vec::<f32>()?;
    /// assert!(turned == [1.0, 2.0] || turned == [2.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub struct RandomFlip {
        /// Which sides change places: a [`FlipMode`] or its name.
        mode: FlipMode = FlipMode::HorizontalAndVertical,
        /// Mixes a seed of your own into the layer's.
        seed: Option<u64> = None,
    }
    fixed { data_format: "channels_last" }
}

impl Layer for RandomFlip {
    declared!("keras.layers");

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        if !ctx.is_training() {
            return Ok(x.clone());
        }
        let axes: &[usize] = match self.mode {
            FlipMode::Horizontal => &[2],
            FlipMode::Vertical => &[1],
            FlipMode::HorizontalAndVertical => &[1, 2],
        };
        let seed = ctx.seed() ^ self.seed.unwrap_or(0);
        Tensor::bernoulli([x.dims()[0], 1, 1, 1], 0.5, seed, x.device())?.where_(x.flip(axes)?, x)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        sides("RandomFlip", input)?;
        Ok(*input)
    }
}
