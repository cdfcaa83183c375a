//! Reductions over any set of axes.

use std::panic::Location;

use super::pointwise::{expect_dtype, one, scalar};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp, recorded_at};
use crate::ir::op::Op;
use crate::ir::program::ReduceOp;
use crate::shape::{Axes, Index, Shape, axes_set, axis_index};

/// The shape with the axes' extents set to 1 (kept) or left out.
pub(super) fn reduced(shape: &Shape, axes: &[usize], keep: bool) -> Shape {
    let dims: Vec<usize> = (0..shape.rank())
        .filter(|d| keep || !axes.contains(d))
        .map(|d| if axes.contains(&d) { 1 } else { shape[d] })
        .collect();
    Shape::of(&dims)
}

/// Records a reduction; the axes stay as extents of 1.
#[track_caller]
fn record(x: &Tensor, op: ReduceOp, axes: &[usize], dtype: DType) -> Tensor {
    if axes.is_empty() && matches!(op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min) {
        return x.clone();
    }
    let vjp = match op {
        ReduceOp::Sum => Vjp::Node(sum_grad),
        ReduceOp::Prod => Vjp::Node(prod_grad),
        ReduceOp::Max | ReduceOp::Min => Vjp::Node(extreme_grad),
        ReduceOp::ArgMax | ReduceOp::ArgMin => Vjp::None,
    };
    let mask = axes.iter().fold(0, |m, &a| m | 1 << a);
    let make = Make::new(x.device(), vjp);
    Tensor::record(Op::Reduce { op, axes: mask }, reduced(x.shape(), axes, true), dtype, &[x], make)
}

/// Records a reduction to the tensor's own type; sums and products of narrow integers are wide, as Keras has them.
#[track_caller]
fn accumulate(x: &Tensor, op: ReduceOp, axes: &[usize]) -> Result<Tensor> {
    let dtype = x.dtype();
    if dtype.is_int() && dtype.is_narrow() && matches!(op, ReduceOp::Sum | ReduceOp::Prod) {
        return Ok(record(&x.cast(dtype.register())?, op, axes, dtype.register()));
    }
    Ok(record(x, op, axes, dtype))
}

/// An error where a result would be chosen among no elements.
#[track_caller]
pub(super) fn some(op: &str, x: &Tensor, axes: &[usize]) -> Result<()> {
    let empty = axes.iter().any(|&a| x.dims()[a] == 0) && (0..x.rank()).all(|d| axes.contains(&d) || x.dims()[d] > 0);
    if !empty {
        return Ok(());
    }
    Err(Error::parts(
        Kind::Shape,
        &format!("`{op}` was asked to choose among no elements"),
        &format!("axes {axes:?} of shape {}", x.shape()),
        "at least one element along the axes",
        "Check for the empty tensor first",
    ))
}

/// The greatest element along axes that are not checked, as extents of 1; minus infinity of nothing.
#[track_caller]
pub(crate) fn greatest(x: &Tensor, axes: &[usize]) -> Tensor {
    record(x, ReduceOp::Max, axes, x.dtype())
}

fn sum_grad(_: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    one(grad.broadcast_to(inputs[0].shape())?)
}

/// `d/dx_i prod = product of the others`, by dividing where no element is zero and by excluding otherwise. Where there
/// are zeros the case is chosen by constants, so second derivatives are those of the elements that are not zero.
fn prod_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Reduce { axes, .. } = y.0.op else { unreachable!("a reduction's gradient") };
    let axes: Vec<usize> = (0..y.rank()).filter(|d| axes >> d & 1 == 1).collect();
    let x = &inputs[0];
    let zero = x.eq(0.0)?;
    let zeros = zero.cast(x.dtype())?.sum_keepdims(&axes[..])?;
    // With one zero only that element has a gradient, the product of the others; with two or more none has.
    let others = zero.where_(1.0, x)?.prod_keepdims(&axes[..])?;
    let quotient = others.div(&zero.where_(1.0, x)?)?;
    let none = zeros.eq(0.0)?;
    let single = zeros.eq(1.0)?.logical_and(&zero)?;
    let d = none.where_(&quotient, single.where_(&others, 0.0)?)?;
    one(d.mul(grad)?)
}

/// Shared equally among the elements that equal the extreme (as JAX and Keras do).
fn extreme_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Op::Reduce { axes, .. } = y.0.op else { unreachable!("a reduction's gradient") };
    let axes: Vec<usize> = (0..y.rank()).filter(|d| axes >> d & 1 == 1).collect();
    let x = &inputs[0];
    let hit = x.eq(y)?.cast(x.dtype())?;
    let count = hit.sum_keepdims(&axes[..])?;
    one(hit.mul(&grad.div(&count)?)?)
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident, $keep:ident, $op:ident, $takes:expr, $expected:literal,
        $input:tt => $output:literal;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// ```
            /// # use wgtensor::{Device, Tensor};
            #[doc = concat!("let x = Tensor::new(", stringify!($input), ", &Device::cpu())?;")]
            #[doc = concat!("assert_eq!(format!(\"{:.3}\", x.", stringify!($name), "(1)?), \"", $output, "\");")]
            #[doc = concat!("assert_eq!(x.", stringify!($name), "(())?.rank(), 0); // over all axes")]
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            /// An axis does not exist or is named twice; an element type that the operation does not take; an extreme of nothing.
            #[track_caller]
            pub fn $name(&self, axes: impl Axes) -> Result<Tensor> {
                let list = axes_set(stringify!($name), axes, self.rank())?;
                self.$keep(&list[..])?.reshape(reduced(self.shape(), &list, false))
            }

            #[doc = concat!("[`", stringify!($name), "`](Tensor::", stringify!($name), ") with the axes kept as extents of 1.")]
            ///
            /// ```
            /// # use wgtensor::{Device, Tensor};
            #[doc = concat!("let x = Tensor::new(", stringify!($input), ", &Device::cpu())?;")]
            #[doc = concat!("assert_eq!(x.", stringify!($keep), "(1)?.dims(), [2, 1]);")]
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            #[doc = concat!("Those of [`", stringify!($name), "`](Tensor::", stringify!($name), ").")]
            #[track_caller]
            pub fn $keep(&self, axes: impl Axes) -> Result<Tensor> {
                let takes: fn(DType) -> bool = $takes;
                expect_dtype(stringify!($name), self, takes(self.dtype()), $expected)?;
                let list = axes_set(stringify!($name), axes, self.rank())?;
                if self.dtype() != DType::Bool && matches!(ReduceOp::$op, ReduceOp::Max | ReduceOp::Min) {
                    some(stringify!($name), self, &list)?;
                }
                accumulate(self, ReduceOp::$op, &list)
            }
        )*}
    };
}

reductions! {
    /// The sum over the axes; of nothing 0. The sum of `u8` is `u32`, that of `i8` is `i32`; 16-bit floats are summed as
    /// `f32` and rounded at the end.
    sum, sum_keepdims, Sum, |d| d != DType::Bool, "a number (cast booleans to count them)",
        [[1.0f32, 2.0], [3.0, 5.0]] => "[3.000 8.000]";
    /// The product over the axes; of nothing 1. The product of `u8` is `u32`, that of `i8` is `i32`.
    prod, prod_keepdims, Prod, |d| d != DType::Bool, "a number",
        [[1.0f32, 2.0], [3.0, 5.0]] => "[ 2.000 15.000]";
    /// The greatest element over the axes, at least one; NaN if there is one. Its gradient is shared equally among ties.
    max, max_keepdims, Max, |d| d != DType::Bool, "a number (use `any` for booleans)",
        [[1.0f32, 2.0], [3.0, 5.0]] => "[2.000 5.000]";
    /// The least element over the axes, at least one; NaN if there is one. Its gradient is shared equally among ties.
    min, min_keepdims, Min, |d| d != DType::Bool, "a number (use `all` for booleans)",
        [[1.0f32, 2.0], [3.0, 5.0]] => "[1.000 3.000]";
    /// Whether any element over the axes is true; of nothing false.
    any, any_keepdims, Max, |d| d == DType::Bool, "bool",
        [[true, false], [false, false]] => "[ True False]";
    /// Whether all elements over the axes are true; of nothing true.
    all, all_keepdims, Min, |d| d == DType::Bool, "bool",
        [[true, true], [true, false]] => "[ True False]";
}

/// A function of several steps, computed in the type's register type and rounded once.
#[track_caller]
pub(crate) fn in_register(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    recorded_at(Location::caller(), || match x.dtype().is_narrow() {
        true => f(&x.cast(x.dtype().register())?)?.cast(x.dtype()),
        false => f(x),
    })
}

macro_rules! composites {
    ($($(#[$doc:meta])* $name:ident, $keep:ident, $input:tt => $output:literal, |$x:ident, $list:ident| $body:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// ```
            /// # use wgtensor::{Device, Tensor};
            #[doc = concat!("let x = Tensor::new(", stringify!($input), ", &Device::cpu())?;")]
            #[doc = concat!("assert_eq!(format!(\"{:.3}\", x.", stringify!($name), "(1)?), \"", $output, "\");")]
            #[doc = concat!("assert_eq!(x.", stringify!($name), "(())?.rank(), 0); // over all axes")]
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            /// An axis does not exist or is named twice; the tensor is not floating-point.
            #[track_caller]
            pub fn $name(&self, axes: impl Axes) -> Result<Tensor> {
                let list = axes_set(stringify!($name), axes, self.rank())?;
                self.$keep(&list[..])?.reshape(reduced(self.shape(), &list, false))
            }

            #[doc = concat!("[`", stringify!($name), "`](Tensor::", stringify!($name), ") with the axes kept as extents of 1.")]
            ///
            /// ```
            /// # use wgtensor::{Device, Tensor};
            #[doc = concat!("let x = Tensor::new(", stringify!($input), ", &Device::cpu())?;")]
            #[doc = concat!("assert_eq!(x.", stringify!($keep), "(1)?.dims(), [2, 1]);")]
            /// # Ok::<(), wgtensor::Error>(())
            /// ```
            ///
            /// # Errors
            #[doc = concat!("Those of [`", stringify!($name), "`](Tensor::", stringify!($name), ").")]
            #[track_caller]
            pub fn $keep(&self, axes: impl Axes) -> Result<Tensor> {
                expect_dtype(stringify!($name), self, self.dtype().is_float(), "a floating-point type")?;
                let list = axes_set(stringify!($name), axes, self.rank())?;
                let $list = &list[..];
                in_register(self, |$x| $body)
            }
        )*}
    };
}

composites! {
    /// The arithmetic mean over the axes; of nothing NaN.
    mean, mean_keepdims, [[1.0f32, 2.0], [3.0, 5.0]] => "[1.500 4.000]", |x, axes| {
        let count: usize = axes.iter().map(|&a| x.dims()[a]).product();
        let sum = x.sum_keepdims(axes)?;
        if count == 0 { sum.div(0.0) } else { sum.mul(1.0 / count as f64) }
    };
    /// The variance over the axes (biased: divided by the count), from the mean of squared deviations.
    var, var_keepdims, [[1.0f32, 2.0], [3.0, 5.0]] => "[0.250 1.000]", |x, axes| {
        let mean = x.mean_keepdims(axes)?;
        x.sub(&mean)?.square()?.mean_keepdims(axes)
    };
    /// The standard deviation over the axes (biased).
    std, std_keepdims, [[1.0f32, 2.0], [3.0, 5.0]] => "[0.500 1.000]", |x, axes| x.var_keepdims(axes)?.sqrt();
    /// `ln(sum(exp(x)))` over the axes, without overflow: the maximum is taken out first.
    logsumexp, logsumexp_keepdims, [[1.0f32, 2.0], [3.0, 5.0]] => "[2.313 5.127]", |x, axes| {
        let max = greatest(&x.detach(), axes);
        // An infinite maximum is not subtracted (it would give NaN).
        let shift = max.isfinite()?.where_(&max, 0.0)?;
        x.sub(&shift)?.exp()?.sum_keepdims(axes)?.log()?.add(&shift)
    };
}

impl Tensor {
    /// Position of the first greatest element along an axis (`i32`; the axis is dropped). NaN counts as greatest.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.argmax(1)?.to_vec::<i32>()?, [2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist or is empty.
    #[track_caller]
    pub fn argmax(&self, axis: impl Index) -> Result<Tensor> {
        self.arg("argmax", ReduceOp::ArgMax, axis)
    }

    /// Position of the first least element along an axis (`i32`; the axis is dropped). NaN counts as least.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.argmin(0)?.to_vec::<i32>()?, [0, 0, 0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The axis does not exist or is empty.
    #[track_caller]
    pub fn argmin(&self, axis: impl Index) -> Result<Tensor> {
        self.arg("argmin", ReduceOp::ArgMin, axis)
    }

    #[track_caller]
    fn arg(&self, name: &str, op: ReduceOp, axis: impl Index) -> Result<Tensor> {
        let axis = axis_index(name, axis, self.rank())?;
        expect_dtype(name, self, self.dtype() != DType::Bool, "a number")?;
        some(name, self, &[axis])?;
        if self.dims()[axis] == 1 {
            let zero = scalar(0.0, DType::I32, self.device());
            return zero.broadcast_to(reduced(self.shape(), &[axis], false));
        }
        record(self, op, &[axis], DType::I32).reshape(reduced(self.shape(), &[axis], false))
    }
}
