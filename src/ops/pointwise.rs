//! What all pointwise operations share: operands, broadcasting, dtype and device checks; select and cast.

use std::borrow::Cow;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry, or_panic};
use crate::graph::node::{InputGrads, Make, NodeVjp, Vjp};
use crate::graph::{Device, Scalar, Tensor};
use crate::ir::op::{Op, Runtime};
use crate::ir::scalar::{BinaryFn, UnaryFn};
use crate::shape::{self, Shape};

/// Everything the crate knows of a unary function.
pub(crate) struct UnaryRow {
    pub(crate) f: &'static UnaryFn,
    pub(crate) grad: Option<NodeVjp>,
}

/// Everything the crate knows of a binary function.
pub(crate) struct BinaryRow {
    pub(crate) f: &'static BinaryFn,
    pub(crate) grad: Option<NodeVjp>,
}

mod sealed {
    pub trait Sealed {}
}

/// The right-hand side of an operation: a tensor, or a number, which takes the left-hand side's type.
///
/// ```
/// # use wgtensor::{Device, Tensor};
/// # let device = Device::cpu();
/// let x = Tensor::new([1.0f32, 2.0], &device)?;
/// assert_eq!(x.add(&x)?.to_vec::<f32>()?, [2.0, 4.0]); // a tensor, borrowed or not
/// assert_eq!(x.add(1)?.to_vec::<f32>()?, [2.0, 3.0]); // a number of any type
/// assert_eq!((&x * 2.0 - &x).sum(())?.item::<f32>()?, 3.0); // the operators too
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Operand: sealed::Sealed {
    /// As a tensor for use beside `like`.
    #[doc(hidden)]
    fn operand(self, like: &Tensor) -> Result<Tensor>;
    /// Whether it is a number, without a type of its own.
    #[doc(hidden)]
    fn is_number(&self) -> bool {
        true
    }
}

impl sealed::Sealed for Tensor {}
impl sealed::Sealed for &Tensor {}
impl Operand for Tensor {
    fn operand(self, _: &Tensor) -> Result<Tensor> {
        Ok(self)
    }
    fn is_number(&self) -> bool {
        false
    }
}
impl Operand for &Tensor {
    fn operand(self, _: &Tensor) -> Result<Tensor> {
        Ok(self.clone())
    }
    fn is_number(&self) -> bool {
        false
    }
}

macro_rules! number {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Operand for $t {
            #[track_caller]
            fn operand(self, like: &Tensor) -> Result<Tensor> {
                #[allow(clippy::unnecessary_cast, reason = "one of the types is f64 itself")]
                number(self as f64, like.dtype(), like.device())
            }
        }
    )*};
}
number!(f32, f64, i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);

impl sealed::Sealed for Scalar {}
impl Operand for Scalar {
    #[track_caller]
    fn operand(self, like: &Tensor) -> Result<Tensor> {
        let scalar = number(self.value(), like.dtype(), like.device())?;
        self.is_at(&scalar);
        Ok(scalar)
    }
}

impl sealed::Sealed for bool {}
impl Operand for bool {
    #[track_caller]
    fn operand(self, like: &Tensor) -> Result<Tensor> {
        Ok(scalar(f64::from(u8::from(self)), like.dtype(), like.device()))
    }
}

/// A number as a scalar of a type that holds it.
///
/// # Errors
/// A fractional number or one out of range for a tensor of whole numbers.
#[track_caller]
pub(crate) fn number(value: f64, dtype: DType, device: &Device) -> Result<Tensor> {
    let holds = match dtype {
        DType::I8 => value.fract() == 0.0 && (-128.0..=127.0).contains(&value),
        DType::U8 => value.fract() == 0.0 && (0.0..=255.0).contains(&value),
        DType::I32 => value.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value),
        DType::U32 => value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value),
        DType::Bool => value.fract() == 0.0,
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => true,
    };
    if holds {
        return Ok(scalar(value, dtype, device));
    }
    let (what, fix) = match value.fract() == 0.0 {
        true => ("A number met a tensor whose type does not hold it", "Cast the tensor to a wider type"),
        false => ("A fractional number met a tensor of whole numbers", "Cast the tensor with `cast(DType::F32)`"),
    };
    Err(Error::parts(
        Kind::DType,
        what,
        &format!("{value} beside {dtype}"),
        "a whole number in the range of the type, or a floating-point tensor",
        fix,
    ))
}

/// A scalar whose value is a run-time parameter of plans.
#[track_caller]
pub(crate) fn scalar(value: f64, dtype: DType, device: &Device) -> Tensor {
    Tensor::record(Op::Scalar(Runtime(value)), Shape::SCALAR, dtype, &[], Make::constant(device))
}

/// The tensor at `shape`, by NumPy's rule; scalars of rank 0 stay, pointwise operations take them as they are.
#[track_caller]
pub(crate) fn fit<'a>(tensor: &'a Tensor, to: &Shape) -> Result<Cow<'a, Tensor>> {
    if tensor.shape() == to || tensor.rank() == 0 {
        return Ok(Cow::Borrowed(tensor));
    }
    tensor.broadcast_to(to).map(Cow::Owned)
}

/// Operands on one device, or an error.
#[track_caller]
pub(crate) fn same_device(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.device() == b.device() {
        return Ok(());
    }
    Err(a.device().differs(b.device(), &format!("`{op}` was given tensors of different devices")))
}

/// Operands of one type, or an error.
#[track_caller]
pub(crate) fn same_dtype(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(Error::parts(
        Kind::DType,
        &format!("`{op}` was given tensors of different types"),
        &format!("{} and {}", a.dtype(), b.dtype()),
        "one type (nothing is converted silently)",
        "Convert one of them with `cast`",
    ))
}

#[track_caller]
fn unfit_dtype(op: &str, dtype: DType, expected: &str) -> Error {
    Error::parts(
        Kind::DType,
        &format!("`{op}` does not take this element type"),
        &dtype.to_string(),
        expected,
        "Convert the tensor with `cast`",
    )
}

/// The types of the device that a function takes, as text.
fn takes(device: &Device, ok: impl Fn(DType) -> bool) -> String {
    let all = [DType::F32, DType::F64, DType::I32, DType::U32, DType::Bool];
    let names = all.into_iter().filter(|&d| ok(d) && device.check_dtype(d).is_ok()).map(|d| d.to_string());
    names.collect::<Vec<_>>().join(" or ")
}

/// A type the operation takes, or an error naming what it takes.
#[track_caller]
pub(crate) fn expect_dtype(op: &str, tensor: &Tensor, ok: bool, expected: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(unfit_dtype(op, tensor.dtype(), expected)) }
}

#[track_caller]
pub(crate) fn unary(x: &Tensor, row: &'static UnaryRow) -> Result<Tensor> {
    let f = row.f;
    let Some(dtype) = f.output(x.dtype()) else {
        return Err(unfit_dtype(f.name, x.dtype(), &takes(x.device(), |d| f.output(d).is_some())));
    };
    let make = Make::new(x.device(), row.grad.map_or(Vjp::None, Vjp::Node));
    Ok(Tensor::record(Op::Unary(f), *x.shape(), dtype, &[x], make))
}

#[track_caller]
pub(crate) fn binary(a: &Tensor, rhs: impl Operand, row: &'static BinaryRow) -> Result<Tensor> {
    let f = row.f;
    let b = rhs.operand(a)?;
    same_device(f.name, a, &b)?;
    same_dtype(f.name, a, &b)?;
    let Some(dtype) = f.output(a.dtype()) else {
        return Err(unfit_dtype(f.name, a.dtype(), &takes(a.device(), |d| f.output(d).is_some())));
    };
    let shape = if a.shape() == b.shape() { *a.shape() } else { broadcast(f.name, &[a, &b])? };
    let (a, b) = (fit(a, &shape)?, fit(&b, &shape)?);
    let make = Make::new(a.device(), row.grad.map_or(Vjp::None, Vjp::Node));
    Ok(Tensor::record(Op::Binary(f), shape, dtype, &[&a, &b], make))
}

/// The shape several operands broadcast to.
#[track_caller]
pub(crate) fn broadcast(op: &str, operands: &[&Tensor]) -> Result<Shape> {
    let mut shape = *operands[0].shape();
    for other in &operands[1..] {
        let Some(both) = shape::broadcast(&shape, other.shape()) else {
            let shapes: Vec<String> = operands.iter().map(|t| t.shape().to_string()).collect();
            return Err(Error::parts(
                Kind::Shape,
                &format!("`{op}` was given shapes that do not broadcast"),
                &shapes.join(" and "),
                "extents that are equal or 1, compared from the last dimension",
                "Reshape one of them, or insert dimensions with `expand_dims`",
            ));
        };
        shape = both;
    }
    Shape::new(&shape)
}

/// The gradient of a node's only input.
pub(super) fn one(grad: Tensor) -> Result<InputGrads> {
    Ok([Some(grad)].into_iter().collect())
}

/// The gradients for the inputs from those for all the positions of the result.
pub(crate) fn shrink_all<const N: usize>(grads: [Tensor; N], inputs: &[Tensor]) -> Result<InputGrads> {
    let tracked = grads.into_iter().zip(inputs).map(|(grad, x)| x.0.tracked.then_some((grad, x)));
    tracked.map(|both| both.map(|(grad, x)| shrink(grad, x)).transpose()).collect()
}

/// The gradient for an input that may have been a scalar beside a larger operand: summed back.
fn shrink(grad: Tensor, input: &Tensor) -> Result<Tensor> {
    if input.rank() == 0 && grad.rank() != 0 { grad.sum(()) } else { fit(&grad, input.shape()).map(Cow::into_owned) }
}

impl Tensor {
    /// NumPy's `where`: `a` where this boolean tensor is true, else `b`, broadcast together. Gradient flows to the
    /// chosen side only.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([3.0f32, 1.0, 2.0], &device)?;
    /// let large = x.gt(1.5)?;
    /// assert_eq!(large.where_(&x, 0.0)?.to_vec::<f32>()?, [3.0, 0.0, 2.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// This tensor is not boolean; `a` and `b` differ in type; shapes do not broadcast.
    #[track_caller]
    pub fn where_(&self, a: impl Operand, b: impl Operand) -> Result<Tensor> {
        expect_dtype("where", self, self.dtype() == DType::Bool, "bool for the condition")?;
        // A number takes the other side's type; two numbers are f32.
        let f32s = scalar(0.0, DType::F32, self.device());
        let (a, b) = if a.is_number() {
            let b = b.operand(&f32s)?;
            (a.operand(&b)?, b)
        } else {
            let a = a.operand(&f32s)?;
            let b = b.operand(&a)?;
            (a, b)
        };
        same_device("where", self, &a)?;
        same_device("where", self, &b)?;
        same_dtype("where", &a, &b)?;
        let shape = broadcast("where", &[self, &a, &b])?;
        let (choice, a, b) = (fit(self, &shape)?, fit(&a, &shape)?, fit(&b, &shape)?);
        let make = Make::new(self.device(), Vjp::Node(select_grad));
        Ok(Tensor::record(Op::Select, shape, a.dtype(), &[&choice, &a, &b], make))
    }

    /// Whether elements are equal within a tolerance, `|a - b| <= atol + rtol |b|`, as NumPy's `isclose` (whose defaults are
    /// `rtol` 1e-5 and `atol` 1e-8). An infinity is close to itself, NaN to NaN if `equal_nan` says so.
    ///
    /// # Errors
    /// The tensor is not floating-point; the operands differ in type or device; their shapes do not broadcast.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 2.0], &Device::cpu())?;
    /// let near = x.add(1e-6)?;
    /// assert!(x.allclose(&near, 1e-5, 1e-8)?.item::<bool>()?);
    /// assert!(!x.allclose(&near, 0.0, 1e-8)?.item::<bool>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn isclose(&self, other: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Result<Tensor> {
        expect_dtype("isclose", self, self.dtype().is_float(), "a floating-point type")?;
        let other = other.operand(self)?;
        same_device("isclose", self, &other)?;
        same_dtype("isclose", self, &other)?;
        broadcast("isclose", &[self, &other])?;
        entry(|| {
            let wide = self.dtype().register();
            let (a, b) = (self.cast(wide)?, other.cast(wide)?);
            let within = a.sub(&b)?.abs()?.le(b.abs()?.mul(rtol)?.add(atol)?)?;
            let close = a.eq(&b)?.logical_or(within.logical_and(b.isfinite()?)?)?;
            if equal_nan { close.logical_or(a.isnan()?.logical_and(b.isnan()?)?) } else { Ok(close) }
        })
    }

    /// Whether all elements are equal within a tolerance, as a scalar boolean; see [`isclose`](Tensor::isclose). NaN is close to
    /// nothing.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([1.0f32, 2.0], &device)?;
    /// assert!(x.exp()?.log()?.allclose(&x, 1e-5, 1e-6)?.item::<bool>()?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`isclose`](Tensor::isclose).
    #[track_caller]
    pub fn allclose(&self, other: impl Operand, rtol: f64, atol: f64) -> Result<Tensor> {
        self.isclose(other, rtol, atol, false)?.all(())
    }

    /// Elements converted to another type: floats to integers truncate and saturate (NaN gives 0), integers to narrower
    /// ones wrap, floats to narrower ones round to the nearest (ties to even; 65,520 and more is infinite in `f16`),
    /// anything to bool is `!= 0`.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([-1.7f32, 0.0, 300.0], &device)?;
    /// assert_eq!(x.cast(DType::I32)?.to_vec::<i32>()?, [-1, 0, 300]);
    /// assert_eq!(x.cast(DType::U8)?.to_vec::<u8>()?, [0, 0, 255]);
    /// assert_eq!(x.cast(DType::Bool)?.to_vec::<bool>()?, [true, false, true]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device does not have the type.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        self.device().check_dtype(dtype)?;
        let floats = dtype.is_float() && self.dtype().is_float();
        let vjp = if floats { Vjp::Node(cast_grad) } else { Vjp::None };
        Ok(Tensor::record(Op::Cast, *self.shape(), dtype, &[self], Make::new(self.device(), vjp)))
    }

    /// Elements limited to `low..=high`; NaN stays NaN. The gradient is 0 outside.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([-2.0f32, 0.5, 2.0], &device)?;
    /// assert_eq!(x.clip(-1.0, 1.0)?.to_vec::<f32>()?, [-1.0, 0.5, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `low` is above `high`.
    #[track_caller]
    pub fn clip(&self, low: f64, high: f64) -> Result<Tensor> {
        if low > high {
            return Err(Error::parts(
                Kind::Argument,
                "`clip` was given an empty range",
                &format!("low {low}, high {high}"),
                "low <= high",
                "Exchange the bounds",
            ));
        }
        let inside = self.ge(low)?.logical_and(&self.le(high)?)?;
        let bounded = self.detach().maximum(low)?.minimum(high)?;
        if self.0.tracked { inside.where_(self, &bounded) } else { Ok(bounded) }
    }
}

fn select_grad(output: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let zero = scalar(0.0, output.dtype(), output.device());
    let a = shrink_if(&inputs[1], || inputs[0].where_(grad, &zero))?;
    let b = shrink_if(&inputs[2], || inputs[0].where_(&zero, grad))?;
    Ok([None, a, b].into_iter().collect())
}

fn shrink_if(input: &Tensor, f: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if input.0.tracked { shrink(f()?, input).map(Some) } else { Ok(None) }
}

fn cast_grad(_: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    Ok([Some(grad.cast(inputs[0].dtype())?)].into_iter().collect())
}

/// An operator is the named method, with a panic in place of its error; `op=` puts the result in the place of the tensor.
/// One implementation takes all that the method takes, so that the type of `(&x * 2.0).sum(())` is known before that of the
/// number. On the left stand numbers of these types.
macro_rules! operator {
    ($trait:ident, $symbol:ident, $assign:ident, $assign_symbol:ident, $method:ident, $($n:ty),*) => {
        operator!(@impl $trait, $symbol, $method, Tensor);
        operator!(@impl $trait, $symbol, $method, &Tensor);
        /// The result in the place of this handle; other handles keep the old value. Panics with the error's text where the
        /// named method returns it.
        impl<R: Operand> std::ops::$assign<R> for Tensor {
            #[track_caller]
            fn $assign_symbol(&mut self, rhs: R) {
                *self = or_panic(Tensor::$method(self, rhs));
            }
        }
        $(
            operator!(@number $trait, $symbol, $method, $n, Tensor);
            operator!(@number $trait, $symbol, $method, $n, &Tensor);
        )*
    };
    (@impl $trait:ident, $symbol:ident, $method:ident, $a:ty) => {
        /// Panics with the error's text where the named method returns it.
        impl<R: Operand> std::ops::$trait<R> for $a {
            type Output = Tensor;
            #[track_caller]
            fn $symbol(self, rhs: R) -> Tensor {
                or_panic(Tensor::$method(&self, rhs))
            }
        }
    };
    (@number $trait:ident, $symbol:ident, $method:ident, $n:ty, $b:ty) => {
        /// Panics with the error's text where the named method returns it.
        impl std::ops::$trait<$b> for $n {
            type Output = Tensor;
            #[track_caller]
            fn $symbol(self, rhs: $b) -> Tensor {
                let lhs = or_panic(self.operand(&rhs));
                or_panic(Tensor::$method(&lhs, rhs))
            }
        }
    };
}
operator!(Add, add, AddAssign, add_assign, add, f32, f64, i32);
operator!(Sub, sub, SubAssign, sub_assign, sub, f32, f64, i32);
operator!(Mul, mul, MulAssign, mul_assign, mul, f32, f64, i32);
operator!(Div, div, DivAssign, div_assign, div, f32, f64, i32);
operator!(Rem, rem, RemAssign, rem_assign, rem, f32, f64, i32);
operator!(BitAnd, bitand, BitAndAssign, bitand_assign, bitwise_and, i32, bool);
operator!(BitOr, bitor, BitOrAssign, bitor_assign, bitwise_or, i32, bool);
operator!(BitXor, bitxor, BitXorAssign, bitxor_assign, bitwise_xor, i32, bool);

macro_rules! prefix {
    ($trait:ident, $symbol:ident, $method:ident) => {
        /// Panics with the error's text where the named method returns it.
        impl std::ops::$trait for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $symbol(self) -> Tensor {
                or_panic(Tensor::$method(self))
            }
        }
        /// Panics with the error's text where the named method returns it.
        impl std::ops::$trait for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $symbol(self) -> Tensor {
                or_panic(Tensor::$method(&self))
            }
        }
    };
}
prefix!(Neg, neg, neg);
prefix!(Not, not, bitwise_not);
