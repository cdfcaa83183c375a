//! What a scalar instruction means on each engine. The rows stand in `ops/unary.rs` and `ops/binary.rs`;
//! programs point at them, so neither backend knows any operation by name.

use std::cell::RefCell;
use std::fmt;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use std::hash::{Hash, Hasher};

use crate::dtype::DType;

/// A function of a block of values, one element type in, one out.
pub(crate) type Block1<T, O = T> = fn(&[T], &mut [O]);
/// The same of two blocks of one length.
pub(crate) type Block2<T, O = T> = fn(&[T], &[T], &mut [O]);

/// A pointwise function of one argument.
pub(crate) struct UnaryFn {
    /// The name in plans, errors and kernels; unique among unary functions.
    pub(crate) name: &'static str,
    /// CPU meaning; the slices have one length.
    pub(crate) cpu: Unary1,
    /// WGSL expression of `x` for floats.
    pub(crate) wgsl: &'static str,
    /// WGSL expression of `x` for integers and booleans; empty where `wgsl` serves.
    pub(crate) wgsl_int: &'static str,
    /// WGSL expression of `x` for booleans; empty where those above serve.
    pub(crate) wgsl_bool: &'static str,
}

/// CPU meanings of a unary function by element type. Booleans are `u32` 0 or 1.
#[derive(Clone, Copy)]
pub(crate) struct Unary1 {
    pub(crate) f32: Option<Block1<f32>>,
    pub(crate) f64: Option<Block1<f64>>,
    pub(crate) i32: Option<Block1<i32>>,
    pub(crate) u32: Option<Block1<u32>>,
    pub(crate) bool: Option<Block1<u32>>,
    /// Tests of floats, which give booleans (`f32` and `f64` are then `None`).
    pub(crate) test_f32: Option<Block1<f32, u32>>,
    pub(crate) test_f64: Option<Block1<f64, u32>>,
    /// Which of these it is on `f32`, if it is one.
    pub(crate) basic: Option<Basic1>,
}

impl Unary1 {
    /// No meaning for any type.
    pub(crate) const NONE: Unary1 =
        Unary1 { f32: None, f64: None, i32: None, u32: None, bool: None, test_f32: None, test_f64: None, basic: None };
}

/// A pointwise function of two arguments of one type.
pub(crate) struct BinaryFn {
    /// The name in plans, errors and kernels; unique among binary functions.
    pub(crate) name: &'static str,
    /// CPU meaning; the slices have one length.
    pub(crate) cpu: Binary1,
    /// WGSL expression of `a` and `b` for floats.
    pub(crate) wgsl: &'static str,
    /// WGSL expression for signed integers; empty where `wgsl` serves.
    pub(crate) wgsl_i32: &'static str,
    /// WGSL expression for unsigned integers; empty where `wgsl_i32` (or else `wgsl`) serves.
    pub(crate) wgsl_u32: &'static str,
    /// WGSL expression for booleans (of WGSL type `bool`); empty where the function takes none.
    pub(crate) wgsl_bool: &'static str,
    /// Whether the result is a boolean whatever the operands are.
    pub(crate) compares: bool,
}

listed! {
    /// Functions of one `f32` that are single instructions of a processor, or nearly: an engine may compute several at a time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Basic1 {
        Neg,
        Abs,
        Square,
        Sqrt,
        Rsqrt,
        Reciprocal,
        Relu,
    }
}

listed! {
    /// The same of two.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Basic2 {
        Add,
        Sub,
        Mul,
        Div,
        Maximum,
        Minimum,
    }
}

/// CPU meanings of a binary function by element type; `cmp_*` where the result is a boolean (`u32` 0 or 1).
#[derive(Clone, Copy)]
pub(crate) struct Binary1 {
    pub(crate) f32: Option<Block2<f32>>,
    pub(crate) f64: Option<Block2<f64>>,
    pub(crate) i32: Option<Block2<i32>>,
    pub(crate) u32: Option<Block2<u32>>,
    pub(crate) bool: Option<Block2<u32>>,
    pub(crate) cmp_f32: Option<Block2<f32, u32>>,
    pub(crate) cmp_f64: Option<Block2<f64, u32>>,
    pub(crate) cmp_i32: Option<Block2<i32, u32>>,
    pub(crate) cmp_u32: Option<Block2<u32>>,
    /// Which of these it is on `f32`, if it is one.
    pub(crate) basic: Option<Basic2>,
}

impl Binary1 {
    /// No meaning for any type.
    pub(crate) const NONE: Binary1 = Binary1 {
        f32: None,
        f64: None,
        i32: None,
        u32: None,
        bool: None,
        cmp_f32: None,
        cmp_f64: None,
        cmp_i32: None,
        cmp_u32: None,
        basic: None,
    };
}

/// How many statements of WGSL the compiler of a GPU's driver gets for an expression: one, and those of the library functions
/// that it calls, for drivers put every call's copy in its place.
fn statements(expression: &'static str) -> usize {
    static FUNCTIONS: LazyLock<FxHashMap<&str, usize>> = LazyLock::new(|| {
        let text = concat!(include_str!("../../shaders/math.wgsl"), include_str!("../../shaders/whole.wgsl"));
        let bodies: FxHashMap<&str, &str> = text
            .split("\nfn ")
            .skip(1)
            .filter_map(|function| {
                let (head, rest) = function.split_once(") -> ")?;
                let body = &rest[..rest.find("\n}").unwrap_or(rest.len())];
                Some((head.split('(').next()?, body))
            })
            .collect();
        bodies.keys().map(|&name| (name, length(name, &bodies))).collect()
    });
    thread_local! {
        /// By the expression's place in memory: planning asks again and again.
        static KNOWN: RefCell<FxHashMap<*const str, usize>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let count = || 1 + words(expression).filter_map(|word| FUNCTIONS.get(word)).sum::<usize>();
        *known.entry(std::ptr::from_ref(expression)).or_insert_with(count)
    })
}

/// The statements of a function of the library and of those it calls.
fn length(name: &str, bodies: &FxHashMap<&str, &str>) -> usize {
    let Some(body) = bodies.get(name) else { return 0 };
    body.matches(';').count() + words(body).map(|word| length(word, bodies)).sum::<usize>()
}

/// The identifiers in a text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

impl UnaryFn {
    /// What it costs a GPU's compiler, in statements.
    pub(crate) fn cost(&self) -> usize {
        statements(self.wgsl)
    }

    /// The result's type for an argument of `dtype`; `None` where the function does not take it. Narrow types are taken
    /// as the types they are computed in.
    pub(crate) fn output(&self, dtype: DType) -> Option<DType> {
        let c = &self.cpu;
        match dtype.register() {
            DType::F32 if c.test_f32.is_some() => Some(DType::Bool),
            DType::F64 if c.test_f64.is_some() => Some(DType::Bool),
            DType::F32 => c.f32.map(|_| dtype),
            DType::F64 => c.f64.map(|_| dtype),
            DType::I32 => c.i32.map(|_| dtype),
            DType::U32 => c.u32.map(|_| dtype),
            DType::Bool => c.bool.map(|_| dtype),
            _ => None,
        }
    }

    /// The WGSL expression of `x` for an argument of `dtype`.
    pub(crate) fn expression(&self, dtype: DType) -> &'static str {
        let choices = match dtype {
            DType::Bool => [self.wgsl_bool, self.wgsl_int],
            _ if dtype.is_float() => [""; 2],
            _ => [self.wgsl_int, ""],
        };
        choices.into_iter().find(|s| !s.is_empty()).unwrap_or(self.wgsl)
    }
}

impl BinaryFn {
    /// What it costs a GPU's compiler, in statements.
    pub(crate) fn cost(&self) -> usize {
        statements(self.wgsl)
    }

    /// The result's type for arguments of `dtype`; `None` where the function does not take them.
    pub(crate) fn output(&self, dtype: DType) -> Option<DType> {
        let c = &self.cpu;
        let takes = match (self.compares, dtype.register()) {
            (false, DType::F32) => c.f32.is_some(),
            (false, DType::F64) => c.f64.is_some(),
            (false, DType::I32) => c.i32.is_some(),
            (false, DType::U32) => c.u32.is_some(),
            (false, DType::Bool) => c.bool.is_some(),
            (true, DType::F32) => c.cmp_f32.is_some(),
            (true, DType::F64) => c.cmp_f64.is_some(),
            (true, DType::I32) => c.cmp_i32.is_some(),
            (true, DType::U32) => c.cmp_u32.is_some(),
            (true, DType::Bool) => c.cmp_u32.is_some(),
            _ => false,
        };
        takes.then_some(if self.compares { DType::Bool } else { dtype })
    }

    /// The WGSL expression of `a` and `b` for arguments of `dtype`.
    pub(crate) fn expression(&self, dtype: DType) -> &'static str {
        let first = |choices: &[&'static str]| choices.iter().copied().find(|s| !s.is_empty()).unwrap_or("");
        match dtype {
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => self.wgsl,
            DType::I8 | DType::I32 => first(&[self.wgsl_i32, self.wgsl]),
            DType::U8 | DType::U32 => first(&[self.wgsl_u32, self.wgsl_i32, self.wgsl]),
            DType::Bool => first(&[self.wgsl_bool, self.wgsl]),
        }
    }
}

macro_rules! identity {
    ($($t:ty),*) => {$(
        /// A row equals itself alone: its address says which it is.
        impl PartialEq for $t {
            fn eq(&self, other: &Self) -> bool {
                std::ptr::eq(self, other)
            }
        }

        impl Eq for $t {}

        impl Hash for $t {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_usize(std::ptr::from_ref(self).addr());
            }
        }
    )*};
}
identity!(UnaryFn, BinaryFn);

impl fmt::Debug for UnaryFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for BinaryFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_cost_is_that_of_all_it_calls() {
        assert_eq!(statements("a + b"), 1);
        assert!(statements("wgt_relu(x)") < 6, "{}", statements("wgt_relu(x)"));
        let (sine, exponential) = (statements("wgt_sin(x)"), statements("wgt_exp(x)"));
        assert!(sine > exponential && exponential > 8, "{sine} {exponential}");
        assert_eq!(statements("wgt_sin(x) * wgt_exp(x)"), sine + exponential - 1);
    }
}
