//! What expressions compute, for all invocations of a work-group at once: a value is its components one behind the other,
//! each a word for every invocation.

use naga::{BinaryOperator as B, MathFunction as M, RelationalFunction, ScalarKind as K, UnaryOperator as U};

pub(super) type Words = Vec<u32>;
type Outcome = Result<Words, String>;

fn map(a: &[u32], f: impl Fn(u32) -> u32) -> Words {
    a.iter().map(|&x| f(x)).collect()
}

/// Of components of both, or of each component of one and the only one of the other.
fn zip(a: &[u32], b: &[u32], f: impl Fn(u32, u32) -> u32) -> Words {
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Equal => a.iter().zip(b).map(|(&x, &y)| f(x, y)).collect(),
        std::cmp::Ordering::Less => a.iter().cycle().zip(b).map(|(&x, &y)| f(x, y)).collect(),
        std::cmp::Ordering::Greater => a.iter().zip(b.iter().cycle()).map(|(&x, &y)| f(x, y)).collect(),
    }
}

fn zip3(a: &[u32], b: &[u32], c: &[u32], f: impl Fn(u32, u32, u32) -> u32) -> Words {
    let len = a.len().max(b.len()).max(c.len());
    let all = a.iter().cycle().zip(b.iter().cycle()).zip(c.iter().cycle());
    all.take(len).map(|((&x, &y), &z)| f(x, y, z)).collect()
}

fn float(f: impl Fn(f32) -> f32) -> impl Fn(u32) -> u32 {
    move |x| f(f32::from_bits(x)).to_bits()
}

fn floats(f: impl Fn(f32, f32) -> f32) -> impl Fn(u32, u32) -> u32 {
    move |x, y| f(f32::from_bits(x), f32::from_bits(y)).to_bits()
}

fn compare(f: impl Fn(f32, f32) -> bool) -> impl Fn(u32, u32) -> u32 {
    move |x, y| u32::from(f(f32::from_bits(x), f32::from_bits(y)))
}

fn signed(f: impl Fn(i32, i32) -> i32) -> impl Fn(u32, u32) -> u32 {
    move |x, y| f(x as i32, y as i32) as u32
}

/// Whether nobody says what comes of it.
pub(super) fn is_undefined(op: B, kind: K, x: u32, y: u32) -> bool {
    match (op, kind) {
        (B::Divide | B::Modulo, K::Uint) => y == 0,
        (B::Divide | B::Modulo, K::Sint) => y == 0 || (x == 1 << 31 && y == u32::MAX),
        (B::ShiftLeft | B::ShiftRight, _) => y > 31,
        _ => false,
    }
}

pub(super) fn unary(op: U, kind: K, a: &[u32]) -> Outcome {
    Ok(match (op, kind) {
        (U::Negate, K::Float) => map(a, float(|x| -x)),
        (U::Negate, K::Sint) => map(a, u32::wrapping_neg),
        (U::LogicalNot, K::Bool) => map(a, |x| 1 - x),
        (U::BitwiseNot, K::Sint | K::Uint) => map(a, |x| !x),
        _ => return Err(format!("{op:?} of {kind:?} is not known")),
    })
}

pub(super) fn binary(op: B, kind: K, a: &[u32], b: &[u32]) -> Outcome {
    Ok(match (kind, op) {
        (K::Float, B::Add) => zip(a, b, floats(|x, y| x + y)),
        (K::Float, B::Subtract) => zip(a, b, floats(|x, y| x - y)),
        (K::Float, B::Multiply) => zip(a, b, floats(|x, y| x * y)),
        (K::Float, B::Divide) => zip(a, b, floats(|x, y| x / y)),
        (K::Float, B::Modulo) => zip(a, b, floats(|x, y| x % y)),
        (K::Float, B::Equal) => zip(a, b, compare(|x, y| x == y)),
        (K::Float, B::NotEqual) => zip(a, b, compare(|x, y| x != y)),
        (K::Float, B::Less) => zip(a, b, compare(|x, y| x < y)),
        (K::Float, B::LessEqual) => zip(a, b, compare(|x, y| x <= y)),
        (K::Float, B::Greater) => zip(a, b, compare(|x, y| x > y)),
        (K::Float, B::GreaterEqual) => zip(a, b, compare(|x, y| x >= y)),
        (K::Sint, B::Divide) => zip(a, b, signed(|x, y| if y == 0 { x } else { x.wrapping_div(y) })),
        (K::Sint, B::Modulo) => zip(a, b, signed(|x, y| if y == 0 { 0 } else { x.wrapping_rem(y) })),
        (K::Sint, B::Less) => zip(a, b, |x, y| u32::from((x as i32) < y as i32)),
        (K::Sint, B::LessEqual) => zip(a, b, |x, y| u32::from(x as i32 <= y as i32)),
        (K::Sint, B::Greater) => zip(a, b, |x, y| u32::from(x as i32 > y as i32)),
        (K::Sint, B::GreaterEqual) => zip(a, b, |x, y| u32::from(x as i32 >= y as i32)),
        (K::Sint, B::ShiftRight) => zip(a, b, |x, y| ((x as i32) >> (y & 31)) as u32),
        (K::Uint, B::Divide) => zip(a, b, |x, y| x.checked_div(y).unwrap_or(x)),
        (K::Uint, B::Modulo) => zip(a, b, |x, y| x.checked_rem(y).unwrap_or(0)),
        (K::Uint, B::Less) => zip(a, b, |x, y| u32::from(x < y)),
        (K::Uint, B::LessEqual) => zip(a, b, |x, y| u32::from(x <= y)),
        (K::Uint, B::Greater) => zip(a, b, |x, y| u32::from(x > y)),
        (K::Uint, B::GreaterEqual) => zip(a, b, |x, y| u32::from(x >= y)),
        (K::Uint, B::ShiftRight) => zip(a, b, |x, y| x >> (y & 31)),
        (K::Sint | K::Uint, B::Add) => zip(a, b, u32::wrapping_add),
        (K::Sint | K::Uint, B::Subtract) => zip(a, b, u32::wrapping_sub),
        (K::Sint | K::Uint, B::Multiply) => zip(a, b, u32::wrapping_mul),
        (K::Sint | K::Uint, B::ShiftLeft) => zip(a, b, |x, y| x << (y & 31)),
        (K::Sint | K::Uint | K::Bool, B::Equal) => zip(a, b, |x, y| u32::from(x == y)),
        (K::Sint | K::Uint | K::Bool, B::NotEqual) => zip(a, b, |x, y| u32::from(x != y)),
        (K::Sint | K::Uint | K::Bool, B::And) | (K::Bool, B::LogicalAnd) => zip(a, b, |x, y| x & y),
        (K::Sint | K::Uint | K::Bool, B::InclusiveOr) | (K::Bool, B::LogicalOr) => zip(a, b, |x, y| x | y),
        (K::Sint | K::Uint, B::ExclusiveOr) => zip(a, b, |x, y| x ^ y),
        _ => return Err(format!("{op:?} of {kind:?} is not known")),
    })
}

/// `c` decides for all components, or for each.
pub(super) fn select(c: &[u32], accept: &[u32], reject: &[u32]) -> Words {
    zip3(c, accept, reject, |c, a, r| if c != 0 { a } else { r })
}

pub(super) fn relational(fun: RelationalFunction, a: &[u32], lanes: usize) -> Outcome {
    let over = |f: fn(u32, u32) -> u32| -> Words {
        (0..lanes).map(|l| a[l..].iter().step_by(lanes).copied().reduce(f).unwrap_or(0)).collect()
    };
    Ok(match fun {
        RelationalFunction::All => over(|x, y| x & y),
        RelationalFunction::Any => over(|x, y| x | y),
        RelationalFunction::IsNan => map(a, |x| u32::from(f32::from_bits(x).is_nan())),
        RelationalFunction::IsInf => map(a, |x| u32::from(f32::from_bits(x).is_infinite())),
    })
}

/// A conversion, not of the bits.
pub(super) fn convert(from: K, to: K, a: &[u32]) -> Outcome {
    Ok(match (from, to) {
        (K::Float, K::Sint) => map(a, |x| f32::from_bits(x) as i32 as u32),
        (K::Float, K::Uint) => map(a, |x| f32::from_bits(x) as u32),
        (K::Float, K::Bool) => map(a, |x| u32::from(f32::from_bits(x) != 0.0)),
        (K::Sint, K::Float) => map(a, |x| (x as i32 as f32).to_bits()),
        (K::Uint | K::Bool, K::Float) => map(a, |x| (x as f32).to_bits()),
        (K::Sint | K::Uint, K::Bool) => map(a, |x| u32::from(x != 0)),
        (a_kind, b_kind) if a_kind == b_kind => a.to_vec(),
        (K::Sint | K::Uint | K::Bool, K::Sint | K::Uint) => a.to_vec(),
        _ => return Err(format!("{from:?} to {to:?} is not known")),
    })
}

pub(super) fn math(fun: M, kind: K, args: [&[u32]; 4], lanes: usize) -> Outcome {
    let [a, b, c, _] = args;
    if let Some(words) = math_of_bits(fun, kind, args) {
        return Ok(words);
    }
    let f = |f: fn(f32) -> f32| Ok(map(a, float(f)));
    let f2 = |f: fn(f32, f32) -> f32| Ok(zip(a, b, floats(f)));
    let f3 = |f: fn(f32, f32, f32) -> f32| {
        let of = |x, y, z| f(f32::from_bits(x), f32::from_bits(y), f32::from_bits(z)).to_bits();
        Ok(zip3(a, b, c, of))
    };
    match (fun, kind) {
        (M::Abs, K::Float) => f(f32::abs),
        (M::Min, K::Float) => f2(f32::min),
        (M::Max, K::Float) => f2(f32::max),
        (M::Clamp, K::Float) => f3(|x, low, high| x.max(low).min(high)),
        (M::Ceil, _) => f(f32::ceil),
        (M::Floor, _) => f(f32::floor),
        (M::Round, _) => f(f32::round_ties_even),
        (M::Trunc, _) => f(f32::trunc),
        (M::Exp, _) => f(f32::exp),
        (M::Fma, _) => f3(f32::mul_add),
        (M::Sqrt, _) => f(f32::sqrt),
        (M::InverseSqrt, _) => f(|x| 1.0 / x.sqrt()),
        (M::Transpose, _) => Ok((0..16).flat_map(|e| a[(e % 4 * 4 + e / 4) * lanes..][..lanes].to_vec()).collect()),
        _ => Err(format!("{fun:?} of {kind:?} is not known")),
    }
}

fn math_of_bits(fun: M, kind: K, [a, b, c, _]: [&[u32]; 4]) -> Option<Words> {
    Some(match (fun, kind) {
        (M::Abs, K::Sint) => map(a, |x| (x as i32).unsigned_abs()),
        (M::Abs, K::Uint) => a.to_vec(),
        (M::Min, K::Sint) => zip(a, b, signed(i32::min)),
        (M::Max, K::Sint) => zip(a, b, signed(i32::max)),
        (M::Min, K::Uint) => zip(a, b, u32::min),
        (M::Max, K::Uint) => zip(a, b, u32::max),
        (M::Clamp, K::Sint) => zip3(a, b, c, |x, low, high| (x as i32).max(low as i32).min(high as i32) as u32),
        (M::Clamp, K::Uint) => zip3(a, b, c, |x, low, high| x.max(low).min(high)),
        (M::ExtractBits, K::Sint) => zip3(a, b, c, |x, offset, count| {
            let (offset, count) = (offset.min(32), count.min(32 - offset.min(32)));
            if count == 0 { 0 } else { ((x << (32 - offset - count)) as i32 >> (32 - count)) as u32 }
        }),
        _ => return None,
    })
}
