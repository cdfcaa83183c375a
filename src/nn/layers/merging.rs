//! Layers of several inputs: sums, products, concatenation.

use std::ops::RangeInclusive;

use super::{CallCtx, Layer};
use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::nn::config::{declare, declared};
use crate::nn::names::with_batch;
use crate::shape::Shape;

/// The shape of inputs of several shapes broadcast against each other, Keras's way: by the last dimensions.
fn broadcast(class: &str, inputs: &[Shape]) -> Result<Shape> {
    let rank = inputs.iter().map(|shape| shape.rank()).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for shape in inputs {
        for (dim, &extent) in dims[rank - shape.rank()..].iter_mut().zip(shape.dims()) {
            match (*dim, extent) {
                (old, new) if old == new || new == 1 => {}
                (1, new) => *dim = new,
                _ => return Err(mismatch(class, "inputs of compatible shapes", inputs)),
            }
        }
    }
    Shape::new(&dims)
}

fn mismatch(class: &str, expected: &str, inputs: &[Shape]) -> Error {
    let shapes: Vec<String> = inputs.iter().map(|shape| with_batch(shape)).collect();
    Error::parts(
        Kind::Shape,
        &format!("A `{class}` layer requires {expected}"),
        &format!("input_shape=[{}]", shapes.join(", ")),
        expected,
        "Bring the inputs to such shapes, say with `Reshape` or `Dense`",
    )
}

/// Inputs of one rank: where ranks differ, dimensions of 1 stand after the batch, as in Keras.
fn align(inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let rank = inputs.iter().map(Tensor::rank).max().unwrap_or(0);
    let aligned = inputs.iter().map(|t| {
        let (batch, sample) = t.dims().split_at(t.rank().min(1));
        t.reshape([batch, &vec![1; rank - t.rank()], sample].concat())
    });
    aligned.collect()
}

/// True where every input that has a mask counts.
fn both_masks(ctx: &CallCtx) -> Result<()> {
    let mut all: Option<Tensor> = None;
    for mask in ctx.masks().iter().flatten() {
        all = Some(match all {
            Some(before) => before.logical_and(mask)?,
            None => mask.clone(),
        });
    }
    all.into_iter().for_each(|mask| ctx.set_mask(0, mask));
    Ok(())
}

macro_rules! merging {
    ($layer:ident, $least:expr, $doc:literal, |$inputs:ident| $merge:expr) => {
        declare! {
            #[doc = $doc]
            ///
            /// Inputs are broadcast against each other. A position counts if it does in every input that has a mask.
            ///
            /// ```
            /// use wgtensor::nn::prelude::*;
            ///
            /// let (a, b) = (Input::new([3]).node(), Input::new([3]).node());
            #[doc = concat!("let y = layers::", stringify!($layer), "::new().on([&a, &b])?;")]
            /// assert_eq!(y.shape().dims(), [3]);
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            #[derive(Clone, Debug)]
            pub struct $layer {}
        }

        impl Layer for $layer {
            declared!("keras.layers");

            fn inputs(&self) -> RangeInclusive<usize> {
                $least
            }

            fn keeps_integers(&self) -> bool {
                true
            }

            fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
                Ok(self.call_all(std::slice::from_ref(x), ctx)?.swap_remove(0))
            }

            fn call_all(&self, inputs: &[Tensor], ctx: &CallCtx) -> Result<Vec<Tensor>> {
                both_masks(ctx)?;
                let $inputs = align(inputs)?;
                Ok(vec![$merge?])
            }

            fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
                Ok(vec![broadcast(stringify!($layer), inputs)?])
            }
        }
    };
}

/// The inputs taken together two by two.
fn fold(inputs: &[Tensor], with: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    inputs[1..].iter().try_fold(inputs[0].clone(), |sum, next| with(&sum, next))
}

merging!(Add, 1..=usize::MAX, "The sum of its inputs.", |inputs| fold(&inputs, |a, b| a.add(b)));
merging!(Multiply, 1..=usize::MAX, "The product of its inputs, element by element.", |inputs| {
    fold(&inputs, |a, b| a.mul(b))
});
merging!(Maximum, 1..=usize::MAX, "The largest of its inputs, element by element.", |inputs| {
    fold(&inputs, |a, b| a.maximum(b))
});
merging!(Minimum, 1..=usize::MAX, "The smallest of its inputs, element by element.", |inputs| {
    fold(&inputs, |a, b| a.minimum(b))
});
merging!(Average, 1..=usize::MAX, "The mean of its inputs, element by element.", |inputs| {
    fold(&inputs, |a, b| a.add(b))?.mul(1.0 / inputs.len() as f64)
});
merging!(Subtract, 2..=2, "The first of its two inputs less the second.", |inputs| inputs[0].sub(&inputs[1]));

declare! {
    /// Its inputs one after the other along an axis.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let (a, b) = (Input::new([2]).node(), Input::new([3]).node());
    /// assert_eq!(layers::Concatenate::new().on([&a, &b])?.shape().dims(), [5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct Concatenate {
        /// The axis, counted with the batch as 0.
        axis: isize = -1,
    }
}

impl Concatenate {
    /// The axis among those of one sample.
    fn sample_axis(&self, inputs: &[Shape]) -> Result<usize> {
        let rank = inputs[0].rank() as isize + 1;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        if (1..rank).contains(&axis) {
            return Ok(axis as usize - 1);
        }
        Err(Error::parts(
            Kind::Index,
            "A `Concatenate` layer was given an axis that its inputs do not have, or that of the batch",
            &format!("axis={} for {rank} dimensions", self.axis),
            &format!("an axis from 1 to {}, or from the end", rank - 1),
            "Change the axis",
        ))
    }
}

impl Layer for Concatenate {
    declared!("keras.layers");

    fn inputs(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn call_all(&self, inputs: &[Tensor], ctx: &CallCtx) -> Result<Vec<Tensor>> {
        let axis = if self.axis < 0 { self.axis + inputs[0].rank() as isize } else { self.axis };
        if let Some(mask) = joined_masks(inputs, ctx, axis as usize)? {
            ctx.set_mask(0, mask);
        }
        Ok(vec![Tensor::concat(inputs, axis)?])
    }

    fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let axis = self.sample_axis(inputs)?;
        let first = inputs[0];
        let fits = |shape: &Shape| shape.rank() == first.rank() && shape.with(axis, first[axis]) == first;
        if !inputs.iter().all(fits) {
            let expected = "inputs with matching shapes except for the concatenation axis";
            return Err(mismatch("Concatenate", expected, inputs));
        }
        Ok(vec![first.with(axis, inputs.iter().map(|shape| shape[axis]).sum())])
    }
}

/// The masks of inputs that are concatenated: one after the other where that is along an axis of the masks, else what
/// counts in all. An input without a mask counts everywhere.
fn joined_masks(inputs: &[Tensor], ctx: &CallCtx, axis: usize) -> Result<Option<Tensor>> {
    let Some(rank) = ctx.masks().iter().flatten().map(Tensor::rank).next() else { return Ok(None) };
    if axis >= rank {
        return both_masks(ctx).map(|()| None);
    }
    let mask = |(i, x): (usize, &Tensor)| match ctx.masks().get(i) {
        Some(Some(mask)) => Ok(mask.clone()),
        _ => Tensor::ones(&x.dims()[..rank], crate::DType::Bool, x.device()),
    };
    let masks = inputs.iter().enumerate().map(mask).collect::<Result<Vec<Tensor>>>()?;
    Tensor::concat(&masks, axis).map(Some)
}

declare! {
    /// The products of its two inputs summed along an axis of each: `axes = 1` of `(batch, n)` and `(batch, n)` is
    /// `(batch, 1)`, and of `(batch, n, a)` and `(batch, n, b)` it is `(batch, a, b)`.
    ///
    /// ```
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let (a, b) = (Input::new([4]).node(), Input::new([4]).node());
    /// assert_eq!(layers::Dot::new(1).on([&a, &b])?.shape().dims(), [1]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct Dot(
        /// The axis of both inputs, or one of each; the batch is axis 0.
        axes: (isize, isize),
    ) {
        /// Whether vectors are scaled to length 1 first, so that the products are cosines.
        normalize: bool = false,
    }
}

impl Dot {
    /// The axes among those of one sample.
    fn sample_axes(&self, inputs: &[Shape]) -> Result<(usize, usize)> {
        let axis = |axis: isize, shape: &Shape| {
            let rank = shape.rank() as isize + 1;
            let axis = if axis < 0 { axis + rank } else { axis };
            (1..rank).contains(&axis).then_some(axis as usize - 1)
        };
        match (axis(self.axes.0, &inputs[0]), axis(self.axes.1, &inputs[1])) {
            (Some(a), Some(b)) if inputs[0][a] == inputs[1][b] => Ok((a, b)),
            _ => Err(mismatch("Dot", &format!("inputs of the same extent along axes={:?}", self.axes), inputs)),
        }
    }
}

impl Layer for Dot {
    declared!("keras.layers");

    fn inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        Ok(self.call_all(&[x.clone(), x.clone()], ctx)?.swap_remove(0))
    }

    fn call_all(&self, inputs: &[Tensor], _: &CallCtx) -> Result<Vec<Tensor>> {
        let shapes = inputs.iter().map(|t| Shape::new(&t.dims()[1..])).collect::<Result<Vec<_>>>()?;
        let (a, b) = self.sample_axes(&shapes)?;
        let batch = inputs[0].dims()[0];
        // Keras's l2_normalize: x / sqrt(max(sum(x^2), 1e-12)).
        let unit = |t: &Tensor, axis: usize| t.mul(t.square()?.sum_keepdims(axis)?.maximum(1e-12)?.rsqrt()?);
        let operand = |t: &Tensor, axis: usize, last: bool| {
            let t = if self.normalize { unit(t, axis + 1)? } else { t.clone() };
            let mut order: Vec<usize> = (0..t.rank()).filter(|&i| i != axis + 1).collect();
            order.insert(if last { order.len() } else { 1 }, axis + 1);
            let (rest, n) = (t.dims()[1..].iter().product::<usize>() / t.dims()[axis + 1].max(1), t.dims()[axis + 1]);
            let t = t.transpose(&order)?;
            if last { t.reshape([batch, rest, n]) } else { t.reshape([batch, n, rest]) }
        };
        let product = operand(&inputs[0], a, true)?.matmul(&operand(&inputs[1], b, false)?)?;
        let shape = self.output_shapes(&shapes)?.swap_remove(0);
        Ok(vec![product.reshape([&[batch], shape.dims()].concat())?])
    }

    fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let (a, b) = self.sample_axes(inputs)?;
        let without = |shape: &Shape, axis: usize| {
            shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, &n)| n).collect::<Vec<usize>>()
        };
        let dims = [without(&inputs[0], a), without(&inputs[1], b)].concat();
        Ok(vec![Shape::new(if dims.is_empty() { &[1] } else { &dims })?])
    }
}
