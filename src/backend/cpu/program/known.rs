//! Chains that nearly every training runs, each compiled as a loop of its own: nothing is decided between their steps. They
//! compute what the steps one by one compute, to the bit.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::reduce::RUN;
use super::steps::{Do, Values, step};

/// How an operand is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value for each position of a row.
    Each,
    /// One for all positions of a row.
    All,
    /// What the results overwrite.
    Own,
}

/// Computes rows of so many values from the operands.
pub(super) type Rows = fn(&[Values<'_>], usize, &mut [f32]);

/// Adds the sum of each row of so many values to what is there.
pub(super) type Sums = fn(&[Values<'_>], usize, &mut [f64]);

#[derive(Debug)]
pub(super) struct Known {
    pub(super) steps: &'static [Do],
    pub(super) kinds: &'static [Kind],
    pub(super) rows: Rows,
    /// Where sums are often taken of the results: these, of which nothing is stored.
    pub(super) sums: Option<Sums>,
}

/// The loops for these steps on operands of these kinds, if there are any.
pub(super) fn find(steps: &[Do], kinds: impl Iterator<Item = Kind> + Clone) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.steps == steps && known.kinds.iter().copied().eq(kinds.clone()))
}

/// The operands of one row: what is the same in all of it, and the rest in vectors and in what is left of those.
struct Bound<'v, S: Simd, const N: usize> {
    all: [S::f32s; N],
    vectors: [&'v [S::f32s]; N],
    tails: [&'v [f32]; N],
}

impl<'v, S: Simd, const N: usize> Bound<'v, S, N> {
    /// Row `r`, of `len` values.
    #[inline(always)]
    fn new<C: Steps<N>>(simd: S, values: &[Values<'v>], r: usize, len: usize) -> Self {
        let mut bound = Bound { all: [simd.splat_f32s(0.0); N], vectors: [&[]; N], tails: [&[]; N] };
        for i in 0..N {
            match C::KINDS[i] {
                Kind::Each => (bound.vectors[i], bound.tails[i]) = S::as_simd_f32s(&values[i].row(r)[..len]),
                Kind::All => bound.all[i] = simd.splat_f32s(values[i].row(r)[0]),
                Kind::Own => {}
            }
        }
        bound
    }

    /// The same with so many vectors, where the compiler sees that.
    #[inline(always)]
    fn of(mut self, vectors: usize) -> Self {
        self.vectors = self.vectors.map(|v| &v[..vectors.min(v.len())]);
        self
    }

    /// What the steps make of vector `k`, where `old` stands.
    #[inline(always)]
    fn at<C: Steps<N>>(&self, simd: S, k: usize, old: S::f32s) -> S::f32s {
        C::through(
            simd,
            old,
            &self.all,
            #[inline(always)]
            |i| self.vectors[i][k],
        )
    }

    /// What they make of what is left of those.
    #[inline(always)]
    fn rest<C: Steps<N>>(&self, simd: S, old: S::f32s) -> S::f32s {
        C::through(
            simd,
            old,
            &self.all,
            #[inline(always)]
            |i| simd.partial_load_f32s(self.tails[i]),
        )
    }
}

/// Operand `i` at a place: what stands there, what is the same in all places, or what `each` gives.
#[inline(always)]
fn operand<V: Copy>(kind: Kind, i: usize, old: V, all: &[V], each: &impl Fn(usize) -> V) -> V {
    match kind {
        Kind::Each => each(i),
        Kind::All => all[i],
        Kind::Own => old,
    }
}

/// What the steps of a chain compute at one place.
trait Steps<const N: usize> {
    const KINDS: [Kind; N];

    /// The value at a place where `old` stands.
    fn through<S: Simd>(simd: S, old: S::f32s, all: &[S::f32s; N], each: impl Fn(usize) -> S::f32s) -> S::f32s;
}

/// The operands of a chain, and where the results of rows of so many values go, or their sums.
struct Walk<'r, 'v, C, T, const N: usize> {
    values: &'r [Values<'v>],
    row: usize,
    out: &'r mut [T],
    chain: PhantomData<C>,
}

fn walk<C, T, const N: usize>(values: &[Values<'_>], row: usize, out: &mut [T])
where
    for<'r, 'v> Walk<'r, 'v, C, T, N>: WithSimd<Output = ()>,
{
    pulp::Arch::new().dispatch(Walk::<C, T, N> { values, row, out, chain: PhantomData });
}

/// Each result.
impl<C: Steps<N>, const N: usize> WithSimd for Walk<'_, '_, C, f32, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Walk { values, row, out, .. } = self;
        for (r, out) in out.chunks_exact_mut(row.max(1)).enumerate() {
            let (out, rest) = S::as_mut_simd_f32s(out);
            let bound = Bound::<S, N>::new::<C>(simd, values, r, row).of(out.len());
            for (k, out) in out.iter_mut().enumerate() {
                *out = bound.at::<C>(simd, k, *out);
            }
            if !rest.is_empty() {
                let x = bound.rest::<C>(simd, simd.partial_load_f32s(rest));
                simd.partial_store_f32s(rest, x);
            }
        }
    }
}

/// How many sums run side by side: those of place `i` of each so many values.
const LANES: usize = 64;

/// The sum of each row.
impl<C: Steps<N>, const N: usize> WithSimd for Walk<'_, '_, C, f64, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.side_by_side::<S, 4>(simd),
            8 => self.side_by_side::<S, 8>(simd),
            4 => self.side_by_side::<S, 16>(simd),
            _ => self.side_by_side::<S, LANES>(simd),
        }
    }
}

impl<C: Steps<N>, const N: usize> Walk<'_, '_, C, f64, N> {
    /// By `A` vectors, of `LANES` values together.
    #[inline(always)]
    fn side_by_side<S: Simd, const A: usize>(self, simd: S) {
        let Walk { values, row, out, .. } = self;
        let zero = simd.splat_f32s(0.0);
        for (r, sum) in out.iter_mut().enumerate() {
            let count = row / S::F32_LANES;
            let bound = Bound::<S, N>::new::<C>(simd, values, r, row).of(count);
            let mut at = 0;
            while at < count {
                let end = (at + RUN / S::F32_LANES).min(count);
                let mut sums = [zero; A];
                while at + A <= end {
                    for a in 0..A {
                        sums[a] = simd.add_f32s(sums[a], bound.at::<C>(simd, at + a, zero));
                    }
                    at += A;
                }
                for a in 0..A {
                    if at + a < end {
                        sums[a] = simd.add_f32s(sums[a], bound.at::<C>(simd, at + a, zero));
                    }
                }
                at = end;
                let mut n = A / 2;
                while n > 0 {
                    for a in 0..n {
                        sums[a] = simd.add_f32s(sums[a], sums[a + n]);
                    }
                    n /= 2;
                }
                *sum += f64::from(simd.reduce_sum_f32s(sums[0]));
            }
            let mut rest = [0.0; LANES];
            let rest = &mut rest[..row % S::F32_LANES];
            if !rest.is_empty() {
                let x = bound.rest::<C>(simd, zero);
                simd.partial_store_f32s(rest, x);
                *sum += f64::from(rest.iter().sum::<f32>());
            }
        }
    }
}

/// `[FIRST, STEP, STEP(OPERAND), ...]`: the kind of the value that goes through, and the steps with the kinds of what they
/// take; behind it whether sums are often taken of the results.
macro_rules! known {
    (@sums $chain:ident, $n:ident) => { None };
    (@sums $chain:ident, $n:ident, sum) => { Some(walk::<$chain, f64, $n>) };
    ($([$first:ident $(, $step:ident $(($kind:ident))?)+] $($sum:ident)?;)+) => {
        pub(super) const KNOWN: &[Known] = &[$({
            const N: usize = [Kind::$first $($(, Kind::$kind)?)+].len();

            struct Chain;

            impl Steps<N> for Chain {
                const KINDS: [Kind; N] = [Kind::$first $($(, Kind::$kind)?)+];

                #[inline(always)]
                fn through<S: Simd>(
                    simd: S,
                    old: S::f32s,
                    all: &[S::f32s; N],
                    each: impl Fn(usize) -> S::f32s,
                ) -> S::f32s {
                    let (x, next) = (operand(Kind::$first, 0, old, all, &each), 1);
                    $(
                        $(let (a, next) = (operand(Kind::$kind, next, old, all, &each), next + 1);)?
                        let x = step!(simd, $step, x $(, a, $kind)?);
                    )+
                    let _ = next;
                    x
                }
            }
            Known {
                steps: &[$(Do::$step),+],
                kinds: &Chain::KINDS,
                rows: walk::<Chain, f32, N>,
                sums: known!(@sums Chain, N $(, $sum)?),
            }
        }),+];
    };
}

known! {
    // One step.
    [Each, Add(Each)];
    [Each, Add(All)];
    [Each, Add(Own)];
    [Own, Add(Each)];
    [Each, Sub(Each)];
    [Each, Sub(All)];
    [Each, Mul(Each)] sum;
    [Each, Mul(All)];
    [Own, Mul(Each)];
    [Own, Mul(All)];
    [Each, Div(Each)];
    [Each, Div(All)];
    [Own, Div(All)];
    [Each, Neg];
    [Each, Square] sum;
    [Each, Sqrt];
    [Each, Relu];
    // Dense layers and convolutions.
    [Each, Add(Each), Relu];
    [Own, Add(Each), Relu];
    // Means, variances and what is divided by them; scales and offsets; with the gradients.
    [Each, Sub(All), Square] sum;
    [Each, Sub(All), Mul(All)] sum;
    [Each, Sub(All), Mul(All), Mul(Each), Add(Each)];
    [Each, Mul(Each), Add(Each)];
    [Each, Mul(All), Add(All)];
    [Each, Add(All), Mul(Each), Mul(All)];
    [Each, Mul(Each), Mul(Each)] sum;
    [Each, Mul(Each), Mul(Each), Mul(Each)] sum;
    [Each, Mul(Each), Neg] sum;
    // Gates and their gradients.
    [Each, Neg, Add(All)];
    [Each, Neg, Add(All), Mul(Each), Mul(Each)];
    [Each, Neg, Add(All), Mul(Each), Mul(Each), Add(Each)];
    // Optimizers: moving averages, in place or not, and the steps of SGD and Adam.
    [Each, Sub(Own), Mul(All), Add(Own)];
    [Each, Square, Sub(Own), Mul(All), Add(Own)];
    [Each, Sub(Each), Mul(All), Add(Each)];
    [Each, Square, Sub(Each), Mul(All), Add(Each)];
    [Each, Mul(All), SubFrom(Own)];
    [Each, Mul(All), SubFrom(Each)];
    [Each, Sqrt, Add(All), DivInto(Each), SubFrom(Own)];
    [Each, Sqrt, Add(All), DivInto(Each), SubFrom(Each)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_and_nothing_else() {
        for (k, known) in KNOWN.iter().enumerate() {
            let at = KNOWN.iter().position(|other| (other.steps, other.kinds) == (known.steps, known.kinds));
            assert_eq!(at, Some(k), "{:?} stands there twice", known.steps);
            assert!(find(known.steps, known.kinds.iter().copied()).is_some());
        }
        assert!(find(&[Do::Abs], [Kind::Each].into_iter()).is_none());
        assert!(find(&[Do::Add], [Kind::Each].into_iter()).is_none());
    }
}
