//! Where random numbers start: one seed for a program, streams of seeds drawn from it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use crate::ops::create::{shuffle, splitmix};

static GLOBAL: Mutex<Option<SeedStream>> = Mutex::new(None);

/// Seeds everything random in the training API: initial weights, shuffling, dropout.
///
/// After this call the same program gives the same training on the same device, and the same initial weights,
/// batches and dropout masks on every device. Without it each run differs.
///
/// ```
/// use wgtensor::nn::prelude::*;
/// let weights = || {
///     wgtensor::set_random_seed(7);
///     let mut model = Sequential::new().add(Dense::new(2));
///     model.build([3])?;
///     model.get_weights()?[0].to_vec::<f32>()
/// };
/// assert_eq!(weights()?, weights()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub fn set_random_seed(seed: u64) {
    *lock() = Some(SeedStream::new(seed));
}

/// The next seed of the program's stream.
pub(crate) fn next_global() -> u64 {
    lock().get_or_insert_with(|| SeedStream::new(RandomState::new().hash_one(0u8))).draw()
}

fn lock() -> std::sync::MutexGuard<'static, Option<SeedStream>> {
    GLOBAL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A reproducible sequence of seeds (SplitMix64).
///
/// ```
/// use wgtensor::nn::SeedStream;
///
/// let (mut a, mut b) = (SeedStream::new(7), SeedStream::new(7));
/// assert_eq!((a.draw(), a.draw()), (b.draw(), b.draw()));
/// let mut order = [0, 1, 2, 3];
/// a.child(0).shuffle(&mut order);
/// assert_eq!(order.iter().sum::<i32>(), 6);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeedStream(u64);

impl SeedStream {
    /// The stream that `seed` starts.
    pub fn new(seed: u64) -> Self {
        SeedStream(seed)
    }

    /// The next seed.
    pub fn draw(&mut self) -> u64 {
        splitmix(&mut self.0)
    }

    /// A stream of its own for item `index`, independent of how many seeds were drawn here.
    ///
    /// ```
    /// use wgtensor::nn::SeedStream;
    ///
    /// let mut stream = SeedStream::new(7);
    /// let before = stream.child(3).draw();
    /// stream.draw();
    /// assert_eq!(stream.child(3).draw(), before);
    /// ```
    pub fn child(&self, index: u64) -> Self {
        let mut mixed = SeedStream(self.0 ^ SeedStream(index).draw());
        SeedStream(mixed.draw())
    }

    /// A random order of `items` (Fisher and Yates).
    ///
    /// ```
    /// use wgtensor::nn::SeedStream;
    ///
    /// let mut items = [1, 2, 3, 4];
    /// SeedStream::new(7).shuffle(&mut items);
    /// items.sort();
    /// assert_eq!(items, [1, 2, 3, 4]);
    /// ```
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        shuffle(items, || self.draw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_children_differ() {
        let (mut a, mut b) = (SeedStream::new(7), SeedStream::new(7));
        assert_eq!([a.draw(), a.draw()], [b.draw(), b.draw()]);
        assert_ne!(a.child(0).draw(), a.child(1).draw());
        assert_eq!(a.child(3).draw(), b.child(3).draw());
    }

    #[test]
    fn shuffle_permutes() {
        let mut items: Vec<usize> = (0..100).collect();
        SeedStream::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
