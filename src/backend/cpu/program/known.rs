//! Chains that nearly every training runs, each compiled as a loop of its own: nothing is decided between their steps. They
//! compute what the steps one by one compute, to the bit.

use pulp::{Simd, WithSimd};

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

pub(super) struct Known {
    pub(super) steps: &'static [Do],
    pub(super) kinds: &'static [Kind],
    pub(super) rows: Rows,
}

/// The loop for these steps on operands of these kinds, if there is one.
pub(super) fn find(steps: &[Do], kinds: impl Iterator<Item = Kind> + Clone) -> Option<Rows> {
    KNOWN.iter().find(|known| known.steps == steps && known.kinds.iter().copied().eq(kinds.clone())).map(|k| k.rows)
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
    fn new(simd: S, values: &[Values<'v>], kinds: &[Kind], r: usize, len: usize) -> Self {
        let mut bound = Bound { all: [simd.splat_f32s(0.0); N], vectors: [&[]; N], tails: [&[]; N] };
        for i in 0..N {
            match kinds[i] {
                Kind::Each => (bound.vectors[i], bound.tails[i]) = S::as_simd_f32s(&values[i].row(r)[..len]),
                Kind::All => bound.all[i] = simd.splat_f32s(values[i].row(r)[0]),
                Kind::Own => {}
            }
        }
        bound
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

/// `[FIRST, STEP, STEP(OPERAND), ...]`: the kind of the value that goes through, and the steps with the kinds of what they take.
macro_rules! known {
    ($([$first:ident $(, $step:ident $(($kind:ident))?)+];)+) => {
        pub(super) const KNOWN: &[Known] = &[$({
            const STEPS: &[Do] = &[$(Do::$step),+];
            const KINDS: &[Kind] = &[Kind::$first $($(, Kind::$kind)?)+];
            const N: usize = KINDS.len();

            struct Loop<'r, 'v> {
                values: &'r [Values<'v>],
                row: usize,
                out: &'r mut [f32],
            }

            /// The value at a place where `old` stands.
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

            impl WithSimd for Loop<'_, '_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    let Loop { values, row, out } = self;
                    for (r, out) in out.chunks_exact_mut(row.max(1)).enumerate() {
                        let Bound { all, vectors, tails } = Bound::<S, N>::new(simd, values, KINDS, r, row);
                        let (out, rest) = S::as_mut_simd_f32s(out);
                        let vectors = vectors.map(|v| &v[..out.len().min(v.len())]);
                        for (k, out) in out.iter_mut().enumerate() {
                            let old = *out;
                            *out = through(simd, old, &all, #[inline(always)] |i| vectors[i][k]);
                        }
                        if !rest.is_empty() {
                            let old = simd.partial_load_f32s(rest);
                            let x = through(simd, old, &all, #[inline(always)] |i| simd.partial_load_f32s(tails[i]));
                            simd.partial_store_f32s(rest, x);
                        }
                    }
                }
            }

            fn rows(values: &[Values<'_>], row: usize, out: &mut [f32]) {
                pulp::Arch::new().dispatch(Loop { values, row, out });
            }
            Known { steps: STEPS, kinds: KINDS, rows }
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
    [Each, Mul(Each)];
    [Each, Mul(All)];
    [Own, Mul(Each)];
    [Own, Mul(All)];
    [Each, Div(Each)];
    [Each, Div(All)];
    [Own, Div(All)];
    [Each, Neg];
    [Each, Square];
    [Each, Sqrt];
    [Each, Relu];
    // Dense layers and convolutions.
    [Each, Add(Each), Relu];
    [Own, Add(Each), Relu];
    // Means, variances and what is divided by them; scales and offsets; with the gradients.
    [Each, Sub(All), Square];
    [Each, Sub(All), Mul(All)];
    [Each, Sub(All), Mul(All), Mul(Each), Add(Each)];
    [Each, Mul(Each), Add(Each)];
    [Each, Mul(All), Add(All)];
    [Each, Add(All), Mul(Each), Mul(All)];
    [Each, Mul(Each), Mul(Each)];
    [Each, Mul(Each), Mul(Each), Mul(Each)];
    [Each, Mul(Each), Neg];
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
