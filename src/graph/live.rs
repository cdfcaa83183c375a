//! Numbers of the host that differ from step to step: drawn when a step is recorded, and again when it is replayed.

use std::ops::BitXor;

use super::capture::{self, Place};
pub(crate) use super::capture::{Source, Words};
use super::node::Tensor;

/// A word that was drawn, and where a replay finds the next one.
#[derive(Clone, Copy, Debug)]
struct Live {
    word: u64,
    place: Option<Place>,
}

/// A number on the host that reaches the device as a run-time scalar: a plain one, or in a [captured](crate::Captured) step
/// one that is new at every replay, such as those of an optimizer's [`Rule`](crate::nn::optimizers::Rule).
///
/// Tensors take it on the right-hand side like an `f64`: `x.mul(rate)`.
///
/// ```
/// # use wgtensor::{Device, Scalar, Tensor};
/// let rate = Scalar::from(0.5);
/// let x = Tensor::new([1.0f32, 2.0], &Device::cpu())?;
/// assert_eq!(x.mul(rate)?.to_vec::<f32>()?, [0.5, 1.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scalar(Live);

impl Scalar {
    /// What it is at this step.
    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(self.0.word)
    }

    /// Lets a replay find what `scalar`, made of this number, is then.
    pub(crate) fn is_at(&self, scalar: &Tensor) {
        if let Some(place) = self.0.place {
            capture::follow(scalar.0.id, place, 0);
        }
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Scalar(Live { word: value.to_bits(), place: None })
    }
}

/// Where random numbers start: a number, or what [`CallCtx::seed`](crate::nn::layers::CallCtx::seed) gives, which in a
/// [captured](crate::Captured) step is new at every replay.
///
/// ```
/// # use wgtensor::{Device, Seed, Tensor};
/// let device = Device::cpu();
/// let draw = |seed: Seed| Tensor::uniform([3], 0.0, 1.0, seed, &device)?.to_vec::<f32>();
/// assert_eq!(draw(Seed::from(7))?, draw(Seed::from(7))?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    live: Live,
    /// Combined with each word drawn.
    mask: u64,
}

impl Seed {
    /// What it is at this step.
    pub(crate) fn value(&self) -> u64 {
        self.live.word ^ self.mask
    }

    /// Lets a replay find what the key of `random` is then.
    pub(crate) fn is_key_of(&self, random: &Tensor) {
        if let Some(place) = self.live.place {
            capture::follow(random.0.id, place, self.mask);
        }
    }
}

macro_rules! seeds {
    ($($t:ty),*) => {$(
        impl From<$t> for Seed {
            fn from(seed: $t) -> Self {
                Seed { live: Live { word: seed as u64, place: None }, mask: 0 }
            }
        }
    )*};
}
seeds!(u64, i32, u32, usize);

impl BitXor<u64> for Seed {
    type Output = Seed;

    fn bitxor(self, mask: u64) -> Seed {
        Seed { mask: self.mask ^ mask, ..self }
    }
}

/// Draws this step's numbers.
pub(crate) fn numbers(source: impl Source + 'static) -> Vec<Scalar> {
    drawn(source).into_iter().map(Scalar).collect()
}

/// Draws this step's seed.
pub(crate) fn seed(source: impl Source + 'static) -> Option<Seed> {
    drawn(source).into_iter().next().map(|live| Seed { live, mask: 0 })
}

fn drawn(mut source: impl Source + 'static) -> Vec<Live> {
    // The phase is that of the step to come, not of the one after it.
    let phase = source.phase();
    let words = source.draw();
    let place = capture::register(phase, || Box::new(source));
    let live = |(word, i): (u64, usize)| Live { word, place: place.map(|p| Place { word: i, ..p }) };
    words.into_iter().zip(0..).map(live).collect()
}
