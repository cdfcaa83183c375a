//! Data sets: recipes of elements.

use std::fmt;
use std::iter::Fuse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use super::item::{IntoItem, Item};
use crate::Device;
use crate::error::{Error, Result, entry};
use crate::ops::create::splitmix;
use crate::sys::ahead;

/// What goes over the elements of a data set.
type Items = Box<dyn Iterator<Item = Result<Item>> + Send>;

/// How many elements a [`Dataset`] has.
///
/// ```
/// use wgtensor::data::{Cardinality, Dataset};
///
/// let numbers = Dataset::from_tensor_slices([1, 2, 3])?;
/// assert_eq!(numbers.cardinality(), Cardinality::Known(3));
/// assert_eq!(numbers.repeat(None).cardinality(), Cardinality::Infinite);
/// assert_eq!(numbers.filter(|_| Ok(true)).cardinality(), Cardinality::Unknown);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// So many.
    Known(usize),
    /// One finds out by going over it.
    Unknown,
    /// It never ends.
    Infinite,
}

impl Cardinality {
    fn map(self, known: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Cardinality::Known(n) => Cardinality::Known(known(n)),
            other => other,
        }
    }
}

/// A recipe of elements, each an [`Item`]: the analogue of `tf.data.Dataset`. A clone is the same recipe; nothing is read or
/// computed before someone goes over it.
///
/// Settings that make no sense, such as a batch size of 0, come out as an error in place of the first element.
///
/// ```
/// use wgtensor::data::Dataset;
///
/// let points = Dataset::from_tensor_slices((vec![[0.0f32, 1.0]; 10], vec![1; 10]))?;
/// let batches = points.shuffle(10, 7).batch(4).prefetch(2);
/// assert_eq!((points.len(), batches.len()), (Some(10), Some(3)));
/// for batch in &batches {
///     let batch = batch?;
///     assert_eq!(batch.x()[0].dims()[1..], [2]);
/// }
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    make: Arc<dyn Fn() -> Items + Send + Sync>,
    cardinality: Cardinality,
    device: Option<Device>,
}

/// Goes over the elements of a [`Dataset`] once. It ends with the last element, or after an error.
///
/// ```
/// use wgtensor::data::Dataset;
///
/// let numbers = Dataset::from_tensor_slices([1, 2, 3])?;
/// let mut pass = (&numbers).into_iter();
/// assert_eq!(pass.next().unwrap()?.x()[0].to_vec::<i32>()?, [1]);
/// assert_eq!(pass.count(), 2);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct Iter(Option<Items>);

impl Iterator for Iter {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        let next = self.0.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        next
    }
}

impl IntoIterator for &Dataset {
    type Item = Result<Item>;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        Iter(Some((self.make)()))
    }
}

impl Dataset {
    fn of<I>(cardinality: Cardinality, make: impl Fn() -> I + Send + Sync + 'static) -> Self
    where
        I: Iterator<Item = Result<Item>> + Send + 'static,
    {
        Dataset { make: Arc::new(move || Box::new(make())), cardinality, device: None }
    }

    /// The elements are the rows of arrays that are in memory: `x`, `(x, y)` or `(x, y, sample_weight)`, each an array, a
    /// tensor, host data, a list of arrays, or pairs of a name and an array. Tensors are read back once, and batches are
    /// put on their device.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// let dataset = Dataset::from_tensor_slices(([("a", [1.0f32, 2.0]), ("b", [3.0, 4.0])], [0, 1]))?;
    /// let second = (&dataset).into_iter().nth(1).unwrap()?;
    /// assert_eq!((second.x()[1].to_f64_vec(), second.y()[0].to_f64_vec()), (vec![4.0], vec![1.0]));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Arrays of different numbers of rows, or what is wrong with one; those of a tensor's device.
    #[track_caller]
    pub fn from_tensor_slices(data: impl IntoItem) -> Result<Self> {
        entry(|| {
            let (data, device) = data.into_item()?;
            let rows = data.rows()?;
            let data = Arc::new(data);
            let make = move || {
                let data = data.clone();
                (0..rows).map(move |row| data.row(row))
            };
            Ok(Dataset { device, ..Self::of(Cardinality::Known(rows), make) })
        })
    }

    /// The elements are what an iterator gives, made anew by `generator` for each pass: data larger than memory, or made on
    /// the way. An element is an [`Item`], `x`, `(x, y)` or `(x, y, sample_weight)`; an error ends the pass and comes out in
    /// its place.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// let squares = Dataset::from_generator(|| (0..5).map(|i| Ok(([i as f32], [(i * i) as f32]))));
    /// let y: Vec<f64> = (&squares).into_iter().map(|item| item.unwrap().y()[0].to_f64_vec()[0]).collect();
    /// assert_eq!(y, [0.0, 1.0, 4.0, 9.0, 16.0]);
    /// ```
    #[track_caller]
    pub fn from_generator<F, I, T>(generator: F) -> Self
    where
        F: Fn() -> I + Send + Sync + 'static,
        I: Iterator<Item = Result<T>> + Send + 'static,
        T: IntoItem,
    {
        let element = |item: Result<T>| item.and_then(IntoItem::into_item).map(|(item, _)| item);
        Self::of(Cardinality::Unknown, move || generator().map(element).fuse())
    }

    /// The same with another way over it and another number of elements.
    fn then<I>(&self, cardinality: Cardinality, way: impl Fn(Items) -> I + Send + Sync + 'static) -> Self
    where
        I: Iterator<Item = Result<Item>> + Send + 'static,
    {
        let make = self.make.clone();
        Dataset { device: self.device.clone(), ..Self::of(cardinality, move || way(make())) }
    }

    /// One that gives an error.
    fn wrong(&self, error: Error) -> Self {
        self.then(self.cardinality, move |_| std::iter::once(Err(error.clone())))
    }

    /// In a random order of its own each time that it is gone over; from one `seed` on, always the same orders. Elements are
    /// picked from the next `buffer` ones, so that the order is entirely random if `buffer` is the number of them.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// let mut seen = values(&numbers.shuffle(5, 7)).concat();
    /// seen.sort_by(f64::total_cmp);
    /// assert_eq!(seen, [0.0, 1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn shuffle(&self, buffer: usize, seed: u64) -> Self {
        if buffer == 0 {
            return self.wrong(Error::setting("`shuffle`", "buffer", 0, "a positive integer"));
        }
        let passes = AtomicU64::new(0);
        self.then(self.cardinality, move |items| {
            let mut state = seed;
            state = splitmix(&mut state) ^ passes.fetch_add(1, Relaxed);
            Shuffled { items: items.fuse(), ahead: Vec::new(), buffer, state }
        })
    }

    /// Batches of `size` elements each, stacked; the last one has what is left.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// assert_eq!(values(&numbers.batch(2)), [vec![0.0, 1.0], vec![2.0, 3.0], vec![4.0]]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn batch(&self, size: usize) -> Self {
        self.batches(size, false)
    }

    /// [`batch`](Self::batch) with Keras's `drop_remainder`: no batch has fewer than `size` elements.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// assert_eq!(numbers.batch_whole(2).len(), Some(2));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn batch_whole(&self, size: usize) -> Self {
        self.batches(size, true)
    }

    #[track_caller]
    fn batches(&self, size: usize, whole: bool) -> Self {
        if size == 0 {
            return self.wrong(Error::setting("`batch`", "batch_size", 0, "a positive integer"));
        }
        let count = self.cardinality.map(|n| if whole { n / size } else { n.div_ceil(size) });
        self.then(count, move |mut items| {
            std::iter::from_fn(move || {
                let batch: Vec<Item> = match items.by_ref().take(size).collect() {
                    Ok(batch) => batch,
                    Err(error) => return Some(Err(error)),
                };
                let enough = batch.len() == size || !whole && !batch.is_empty();
                enough.then(|| Item::stack(&batch))
            })
        })
    }

    /// What `f` makes of each element.
    ///
    /// ```
    /// # use wgtensor::data::{Array, Dataset};
    /// let pixels = Dataset::from_tensor_slices([[0u8, 255], [51, 102]])?;
    /// let scaled = pixels.map(|item| {
    ///     let values: Vec<f32> = item.x()[0].to_f64_vec().iter().map(|v| *v as f32 / 255.0).collect();
    ///     item.with_x(values)
    /// });
    /// let first = (&scaled).into_iter().next().unwrap()?;
    /// assert_eq!(first.x()[0].to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn map(&self, f: impl Fn(Item) -> Result<Item> + Send + Sync + 'static) -> Self {
        let f = Arc::new(f);
        self.then(self.cardinality, move |items| {
            let f = f.clone();
            items.map(move |item| item.and_then(|item| f(item)))
        })
    }

    /// [`map`](Self::map) on several threads, for work that takes long, such as decoding: so many elements are worked on at a
    /// time (1024 at most), and come out in their order. A panic in `f` comes out as an error in the place of the element.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// let numbers = Dataset::from_tensor_slices(vec![1.0f32, 2.0, 3.0, 4.0])?;
    /// let slow = numbers.map_parallel(2, |item| {
    ///     let x = item.x()[0].to_f64_vec()[0] as f32;
    ///     item.with_x(x * x)
    /// });
    /// let x: Vec<f64> = (&slow.batch(4)).into_iter().next().unwrap()?.x()[0].to_f64_vec();
    /// assert_eq!(x, [1.0, 4.0, 9.0, 16.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn map_parallel(&self, threads: usize, f: impl Fn(Item) -> Result<Item> + Send + Sync + 'static) -> Self {
        if threads == 0 {
            return self.wrong(Error::setting("`map_parallel`", "threads", 0, "a positive integer"));
        }
        let (f, threads) = (Arc::new(f), threads.min(MOST_THREADS));
        self.then(self.cardinality, move |items| {
            let lane = || {
                let (to, from) = std::sync::mpsc::channel::<Result<Item>>();
                let f = f.clone();
                // Each of these waits for the next element, works on it and goes on, until nobody gives it any.
                let done = ahead(AHEAD, move || from.into_iter().map(move |item| item.and_then(|item| f(item))));
                Lane { to, done: Box::new(done) }
            };
            Lanes { items: items.fuse(), lanes: (0..threads).map(|_| lane()).collect(), given: 0, taken: 0 }
        })
    }

    /// The elements of which `f` is true.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// let even = numbers.filter(|item| Ok(item.x()[0].to_f64_vec()[0] % 2.0 == 0.0));
    /// assert_eq!(values(&even).concat(), [0.0, 2.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn filter(&self, f: impl Fn(&Item) -> Result<bool> + Send + Sync + 'static) -> Self {
        let f = Arc::new(f);
        let unknown = match self.cardinality {
            Cardinality::Infinite => Cardinality::Infinite,
            _ => Cardinality::Unknown,
        };
        self.then(unknown, move |items| {
            let f = f.clone();
            items.filter_map(move |item| match item {
                Ok(item) => match f(&item) {
                    Ok(keep) => keep.then_some(Ok(item)),
                    Err(error) => Some(Err(error)),
                },
                error => Some(error),
            })
        })
    }

    /// Over and over: `count` times, or without end for `None`.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// assert_eq!(numbers.repeat(3).len(), Some(15));
    /// assert_eq!(numbers.repeat(None).take(100).into_iter().count(), 100);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn repeat(&self, count: impl Into<Option<usize>>) -> Self {
        let count = count.into();
        let cardinality = match (self.cardinality, count) {
            (_, Some(0)) | (Cardinality::Known(0), _) => Cardinality::Known(0),
            (Cardinality::Known(n), Some(times)) => Cardinality::Known(n.saturating_mul(times)),
            (Cardinality::Unknown, Some(_)) => Cardinality::Unknown,
            _ => Cardinality::Infinite,
        };
        let make = self.make.clone();
        self.then(cardinality, move |first| Repeated {
            make: make.clone(),
            items: Some(first),
            left: count,
            empty: true,
        })
    }

    /// The first `count` elements.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// assert_eq!(values(&numbers.take(2)).concat(), [0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn take(&self, count: usize) -> Self {
        let cardinality = match self.cardinality {
            Cardinality::Known(n) => Cardinality::Known(n.min(count)),
            Cardinality::Infinite => Cardinality::Known(count),
            Cardinality::Unknown => Cardinality::Unknown,
        };
        self.then(cardinality, move |items| items.take(count))
    }

    /// All but the first `count` elements.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// assert_eq!(values(&numbers.skip(3)).concat(), [3.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn skip(&self, count: usize) -> Self {
        self.then(self.cardinality.map(|n| n.saturating_sub(count)), move |mut items| {
            let mut left = count;
            std::iter::from_fn(move || {
                while left > 0 {
                    left -= 1;
                    // An error among those left out is one all the same.
                    match items.next() {
                        Some(Ok(_)) => {}
                        end => return end,
                    }
                }
                items.next()
            })
        })
    }

    /// Prepares up to `count` elements ahead, on a thread of its own: while the device works on a batch, the next ones are
    /// read, decoded and stacked. An error or a panic there comes out as an error in the place of the element. Dropping the
    /// iterator ends the thread after the element that it is at. (In a browser, which has no threads, it does nothing.)
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # let values = |set: &Dataset| -> Vec<Vec<f64>> { set.into_iter().map(|item| item.unwrap().x()[0].to_f64_vec()).collect() };
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// let slow = numbers.map(|item| { std::thread::sleep(std::time::Duration::from_millis(1)); Ok(item) });
    /// assert_eq!(values(&slow.prefetch(2)).concat(), [0.0, 1.0, 2.0, 3.0, 4.0]); // made while the last one is in use
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn prefetch(&self, count: usize) -> Self {
        if count == 0 {
            return self.wrong(Error::setting("`prefetch`", "buffer_size", 0, "a positive integer"));
        }
        let make = self.make.clone();
        let threaded = Self::of(self.cardinality, move || {
            // Begun here, not in the thread: of two passes the first is the first, whenever their threads start.
            let items = make();
            ahead(count, move || items)
        });
        Dataset { device: self.device.clone(), ..threaded }
    }

    /// The device that `fit`, `evaluate` and `predict` put the batches on. Without it, that is where the tensors of
    /// [`from_tensor_slices`](Self::from_tensor_slices) were, or else where the model is.
    ///
    /// ```
    /// # use wgtensor::data::Dataset;
    /// # use wgtensor::Device;
    /// let numbers = Dataset::from_tensor_slices([0, 1, 2, 3, 4])?;
    /// let batches = numbers.batch(2).to_device(&Device::cpu());
    /// assert_eq!(batches.len(), Some(3));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn to_device(&self, device: &Device) -> Self {
        Dataset { device: Some(device.clone()), ..self.clone() }
    }

    /// Where the batches are to be put, if that was said.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// The same of elements that are known to be so many, such as those of a generator: Keras's bar then says how far it is.
    ///
    /// ```
    /// use wgtensor::data::{Cardinality, Dataset};
    ///
    /// let made = Dataset::from_generator(|| (0..100).map(|i| Ok([i])));
    /// assert_eq!(made.cardinality(), Cardinality::Unknown);
    /// assert_eq!(made.assert_cardinality(100).len(), Some(100));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn assert_cardinality(&self, count: usize) -> Self {
        Dataset { cardinality: Cardinality::Known(count), ..self.clone() }
    }

    /// How many elements there are.
    pub fn cardinality(&self) -> Cardinality {
        self.cardinality
    }

    /// How many elements there are, where that is known and finite.
    pub fn len(&self) -> Option<usize> {
        match self.cardinality {
            Cardinality::Known(n) => Some(n),
            _ => None,
        }
    }

    /// Whether there are no elements, where that is known.
    pub fn is_empty(&self) -> Option<bool> {
        self.len().map(|n| n == 0)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset of {:?} elements", self.cardinality)
    }
}

/// More threads than that are of no use.
const MOST_THREADS: usize = 1024;
/// How many elements each thread of `map_parallel` has before it or done.
const AHEAD: usize = 2;

/// A thread that works on elements: those to do, and those that are done.
struct Lane {
    to: Sender<Result<Item>>,
    done: Items,
}

/// Elements dealt out to threads in turn, and taken back in the same turn.
struct Lanes {
    items: Fuse<Items>,
    lanes: Vec<Lane>,
    given: usize,
    taken: usize,
}

impl Iterator for Lanes {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        let count = self.lanes.len();
        while self.given - self.taken < count * AHEAD {
            let Some(item) = self.items.next() else { break };
            // A thread that panicked takes no more, and has said so.
            let _ = self.lanes[self.given % count].to.send(item);
            self.given += 1;
        }
        if self.given == self.taken {
            return None;
        }
        let next = self.lanes[self.taken % count].done.next();
        self.taken += 1;
        next
    }
}

/// Elements picked from the next ones.
struct Shuffled {
    items: Fuse<Items>,
    ahead: Vec<Item>,
    buffer: usize,
    state: u64,
}

impl Iterator for Shuffled {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        while self.ahead.len() < self.buffer {
            match self.items.next() {
                Some(Ok(item)) => self.ahead.push(item),
                Some(error) => return Some(error),
                None => break,
            }
        }
        if self.ahead.is_empty() {
            return None;
        }
        let pick = ((u128::from(splitmix(&mut self.state)) * self.ahead.len() as u128) >> 64) as usize;
        Some(Ok(self.ahead.swap_remove(pick)))
    }
}

/// Elements over and over.
struct Repeated {
    make: Arc<dyn Fn() -> Items + Send + Sync>,
    items: Option<Items>,
    left: Option<usize>,
    /// Whether the pass under way has given nothing.
    empty: bool,
}

impl Iterator for Repeated {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            if let Some(item) = self.items.get_or_insert_with(|| (self.make)()).next() {
                self.empty = false;
                return Some(item);
            }
            self.items = None;
            self.left = self.left.map(|left| left - 1);
            // Nothing over and over is nothing.
            if std::mem::replace(&mut self.empty, true) {
                self.left = Some(0);
            }
        }
    }
}
