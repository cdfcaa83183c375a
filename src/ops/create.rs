//! Tensors from nothing: constants, ranges, random numbers. All of it is recorded and computed where it is used.

use super::pointwise::number;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::node::Make;
use crate::graph::{Device, Seed, Tensor};
use crate::ir::op::{Op, Runtime};
use crate::shape::{IntoShape, Shape};

impl Tensor {
    /// One value everywhere.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::full([2, 2], 0.5, DType::F32, &device)?;
    /// assert_eq!(x.to_vec::<f32>()?, [0.5; 4]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape too large; a type the device does not have; a value that the type does not hold.
    #[track_caller]
    pub fn full(shape: impl IntoShape, value: f64, dtype: DType, device: &Device) -> Result<Tensor> {
        device.check_dtype(dtype)?;
        number(value, dtype, device)?.broadcast_to(shape.into_shape()?)
    }

    /// Zeros (false for booleans).
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::zeros([2, 3], DType::I32, &device)?.to_vec::<i32>()?, [0; 6]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`full`](Tensor::full).
    #[track_caller]
    pub fn zeros(shape: impl IntoShape, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 0.0, dtype, device)
    }

    /// Ones (true for booleans).
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::ones(3, DType::F32, &device)?.to_vec::<f32>()?, [1.0; 3]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`full`](Tensor::full).
    #[track_caller]
    pub fn ones(shape: impl IntoShape, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 1.0, dtype, device)
    }

    /// This number in the shape, type and place of this tensor: NumPy's `full_like`.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let x = Tensor::new([1.0f32, 2.0], &Device::cpu())?;
    /// assert_eq!(x.full_like(0.5)?.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A value that the type does not hold.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Result<Tensor> {
        Tensor::full(*self.shape(), value, self.dtype(), self.device())
    }

    /// Zeros in the shape, type and place of this tensor.
    ///
    /// # Errors
    /// None that this tensor could meet.
    #[track_caller]
    pub fn zeros_like(&self) -> Result<Tensor> {
        self.full_like(0.0)
    }

    /// Ones in the shape, type and place of this tensor.
    ///
    /// # Errors
    /// None that this tensor could meet.
    #[track_caller]
    pub fn ones_like(&self) -> Result<Tensor> {
        self.full_like(1.0)
    }

    /// `start, start + step, ..` below `end` (above, for negative steps), one-dimensional, as NumPy counts:
    /// `ceil((end - start) / step)` elements.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::arange(0.0, 3.0, 1.0, DType::I32, &device)?.to_vec::<i32>()?, [0, 1, 2]);
    /// assert_eq!(Tensor::arange(1.0, 0.0, -0.5, DType::F32, &device)?.to_vec::<f32>()?, [1.0, 0.5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A step of zero or bounds that are not finite; more than 2^31 elements; a type the device does not have; numbers
    /// that the type does not hold.
    #[track_caller]
    pub fn arange(start: f64, end: f64, step: f64, dtype: DType, device: &Device) -> Result<Tensor> {
        let count = ((end - start) / step).ceil();
        if step == 0.0 || !count.is_finite() || count >= f64::from(i32::MAX) {
            return Err(Error::parts(
                Kind::Argument,
                "`arange` was given a range that it cannot count",
                &format!("from {start} to {end} in steps of {step}"),
                "finite bounds, a step other than 0, fewer than 2^31 elements",
                "Check the bounds",
            ));
        }
        device.check_dtype(dtype)?;
        let last = start + step * (count - 1.0).max(0.0);
        for value in [start, last] {
            number(value, dtype, device)?;
        }
        if dtype.is_narrow() {
            // A step may be more than the type holds, and a count.
            let wide = if dtype == DType::U8 { DType::I32 } else { dtype.register() };
            return Tensor::arange(start, end, step, wide, device)?.cast(dtype);
        }
        let count = count.max(0.0) as usize;
        let index = Tensor::record(Op::Arange, Shape::of(&[count]), DType::I32, &[], Make::constant(device));
        let index = index.cast(dtype)?;
        // Unsigned numbers count downwards modulo 2^32.
        let step = if dtype == DType::U32 { step.rem_euclid(4_294_967_296.0) } else { step };
        let scaled = if step == 1.0 { index } else { index.mul(step)? };
        if start == 0.0 { Ok(scaled) } else { scaled.add(start) }
    }

    /// `count` values from `start` to `end`, both included, evenly spaced.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::linspace(0.0, 1.0, 5, DType::F32, &device)?.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An integer type; a type the device does not have.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, count: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        if !dtype.is_float() {
            return Err(Error::parts(
                Kind::DType,
                "`linspace` was asked for whole numbers",
                &dtype.to_string(),
                "a floating-point type",
                "Use `arange`, or cast the result",
            ));
        }
        if dtype.is_narrow() {
            return Tensor::linspace(start, end, count, dtype.register(), device)?.cast(dtype);
        }
        let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
        let index = Tensor::arange(0.0, count as f64, 1.0, dtype, device)?;
        // From both ends towards the middle, so that the last value is `end` itself.
        let from_end = index.sub(count.saturating_sub(1))?.mul(step)?.add(if count > 1 { end } else { start })?;
        index.lt((count / 2) as f64)?.where_(&index.mul(step)?.add(start)?, &from_end)
    }

    /// `rows` by `columns` with ones on the main diagonal.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// assert_eq!(Tensor::eye(2, 3, DType::I32, &device)?.to_vec::<i32>()?, [1, 0, 0, 0, 1, 0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A type the device does not have.
    #[track_caller]
    pub fn eye(rows: usize, columns: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        device.check_dtype(dtype)?;
        let row = Tensor::arange(0.0, rows as f64, 1.0, DType::I32, device)?.expand_dims(-1)?;
        let column = Tensor::arange(0.0, columns as f64, 1.0, DType::I32, device)?;
        row.eq(&column)?.cast(dtype)
    }

    /// 32 random bits an element (`u32`): Philox4x32-10 with `seed` as the key; element `i` is word `i % 4` for
    /// the counter `i / 4`. The same seed gives the same bits on every device.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let draw = |seed: u64| Tensor::random_bits([4], seed, &device)?.to_vec::<u32>();
    /// assert_eq!(draw(7)?, draw(7)?);
    /// assert_ne!(draw(7)?, draw(8)?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape too large.
    #[track_caller]
    pub fn random_bits(shape: impl IntoShape, seed: impl Into<Seed>, device: &Device) -> Result<Tensor> {
        bits(shape.into_shape()?, seed.into(), 0, device)
    }

    /// Uniform numbers in `low..high` (`f32`, 24 random bits each), the same for a seed on every device.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::uniform([1000], -1.0, 1.0, 7, &device)?;
    /// assert!(x.abs()?.max(())?.item::<f32>()? <= 1.0);
    /// assert!(x.mean(())?.item::<f32>()?.abs() < 0.1);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape too large.
    #[track_caller]
    pub fn uniform(
        shape: impl IntoShape,
        low: f64,
        high: f64,
        seed: impl Into<Seed>,
        device: &Device,
    ) -> Result<Tensor> {
        let unit = unit(shape.into_shape()?, seed.into(), 0, device)?;
        unit.mul(high - low)?.add(low)
    }

    /// Normal numbers (`f32`) by the Box-Muller transform of two uniform ones.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::normal([1000], 5.0, 2.0, 7, &device)?;
    /// assert!((x.mean(())?.item::<f32>()? - 5.0).abs() < 0.3);
    /// assert!((x.std(())?.item::<f32>()? - 2.0).abs() < 0.3);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape too large.
    #[track_caller]
    pub fn normal(
        shape: impl IntoShape,
        mean: f64,
        std: f64,
        seed: impl Into<Seed>,
        device: &Device,
    ) -> Result<Tensor> {
        let (shape, seed) = (shape.into_shape()?, seed.into());
        // In (0, 1]: its logarithm is finite.
        let u = unit(shape, seed, 0, device)?.mul(-1.0)?.add(1.0)?;
        let angle = unit(shape, seed, 1, device)?.mul(std::f64::consts::TAU)?;
        let radius = u.log()?.mul(-2.0)?.sqrt()?;
        radius.mul(&angle.cos()?)?.mul(std)?.add(mean)
    }

    /// True with probability `p` (`bool`).
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::bernoulli([1000], 0.25, 7, &device)?;
    /// let share = x.cast(DType::F32)?.mean(())?.item::<f32>()?;
    /// assert!((share - 0.25).abs() < 0.1);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A shape too large; `p` outside 0..=1.
    #[track_caller]
    pub fn bernoulli(shape: impl IntoShape, p: f64, seed: impl Into<Seed>, device: &Device) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::parts(
                Kind::Argument,
                "`bernoulli` was given something that is no probability",
                &p.to_string(),
                "0 <= p <= 1",
                "Check the probability",
            ));
        }
        unit(shape.into_shape()?, seed.into(), 0, device)?.lt(p)
    }

    /// The numbers `0..n` in random order (`i32`), shuffled on the host by Fisher and Yates's method.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let order = Tensor::permutation(5, 7, &device)?;
    /// assert_eq!(order.sort(0)?.to_vec::<i32>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// More than 2^31 numbers; out of memory.
    #[track_caller]
    pub fn permutation(n: usize, seed: u64, device: &Device) -> Result<Tensor> {
        if i32::try_from(n).is_err() {
            return Err(Error::parts(
                Kind::Argument,
                "`permutation` was asked for more numbers than its type holds",
                &n.to_string(),
                "fewer than 2^31 numbers",
                "Permute in parts",
            ));
        }
        let order = permutation(n, seed);
        Tensor::from_slice(&order, [n], device)
    }
}

/// A shuffled `0..n`.
pub(crate) fn permutation(n: usize, seed: u64) -> Vec<i32> {
    let mut state = seed ^ 0x5851_f42d_4c95_7f2d;
    let mut order: Vec<i32> = (0..n as i32).collect();
    shuffle(&mut order, || splitmix(&mut state));
    order
}

/// A random order of `items` by Fisher and Yates, from random numbers of 64 bits.
pub(crate) fn shuffle<T>(items: &mut [T], mut draw: impl FnMut() -> u64) {
    for last in (1..items.len()).rev() {
        // The bias of a 64-bit product over a range this small is below 2^-32 (Lemire's bounded numbers).
        let pick = ((u128::from(draw()) * (last as u128 + 1)) >> 64) as usize;
        items.swap(last, pick);
    }
}

/// The next number of SplitMix64.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[track_caller]
fn bits(shape: Shape, seed: Seed, stream: u32, device: &Device) -> Result<Tensor> {
    if shape.numel() > u32::MAX as usize {
        return Err(Error::parts(
            Kind::Unsupported,
            "Too many random numbers were asked for at once",
            &format!("shape {shape}"),
            "fewer than 2^32 elements",
            "Draw them in several tensors with different seeds",
        ));
    }
    let key = seed.value();
    let op = Op::Random { key: Runtime([key as u32, (key >> 32) as u32]), stream };
    // Recorded flat: the counter is the element's flat index, whatever the shape.
    let random = Tensor::record(op, shape, DType::U32, &[], Make::constant(device));
    seed.is_key_of(&random);
    Ok(random)
}

/// Uniform in `[0, 1)`.
#[track_caller]
fn unit(shape: Shape, seed: Seed, stream: u32, device: &Device) -> Result<Tensor> {
    bits(shape, seed, stream, device)?.right_shift(8u32)?.cast(DType::F32)?.mul((2f64).powi(-24))
}
