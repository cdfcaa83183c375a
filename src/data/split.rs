//! Parts for training and for testing.

use super::array::{Array, IntoArray};
use crate::Tensor;
use crate::error::{Error, Kind, Result, entry};
use crate::ops::create::{shuffle, splitmix};

/// A part of the samples: a share (`0.25`) or a number of them (`500`).
///
/// ```
/// use wgtensor::data::{Array, Split, train_test_split};
///
/// let x = Array::new([1, 2, 3, 4, 5, 6, 7, 8])?;
/// let rows = |split: Split| Ok::<_, wgtensor::Error>(train_test_split([&x], split)?.1[0].rows());
/// assert_eq!((rows(Split::new().test_size(0.25))?, rows(Split::new().test_size(3))?), (2, 3));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// A share between 0 and 1.
    Share(f64),
    /// A number of samples.
    Count(usize),
}

impl From<f64> for Size {
    fn from(share: f64) -> Self {
        Size::Share(share)
    }
}

impl From<usize> for Size {
    fn from(count: usize) -> Self {
        Size::Count(count)
    }
}

/// How [`train_test_split`] splits: a quarter for testing, in a random order, by default. A share or a number is the size of
/// the part for testing.
///
/// ```
/// use wgtensor::data::{Array, Split, train_test_split};
///
/// let (x, y) = (Array::new(vec![[1.0f32, 2.0]; 10])?, Array::new([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])?);
/// let how = Split::new().test_size(4).seed(7).stratify(&y);
/// let ([_, _], [_, y_test]) = train_test_split([&x, &y], how)?;
/// assert_eq!(y_test.to_vec::<i32>()?.iter().sum::<i32>(), 2); // half of them
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    test_size: Option<Size>,
    train_size: Option<Size>,
    shuffle: bool,
    seed: u64,
    stratify: Option<Result<Array>>,
}

impl Default for Split {
    fn default() -> Self {
        Split { test_size: None, train_size: None, shuffle: true, seed: 0, stratify: None }
    }
}

impl From<()> for Split {
    fn from((): ()) -> Self {
        Split::new()
    }
}

impl From<f64> for Split {
    fn from(share: f64) -> Self {
        Split::new().test_size(share)
    }
}

impl From<usize> for Split {
    fn from(count: usize) -> Self {
        Split::new().test_size(count)
    }
}

impl Split {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The part for testing: what is not for training, and a quarter where that is not said either.
    pub fn test_size(mut self, size: impl Into<Size>) -> Self {
        self.test_size = Some(size.into());
        self
    }

    /// The part for training; what is not for testing by default.
    pub fn train_size(mut self, size: impl Into<Size>) -> Self {
        self.train_size = Some(size.into());
        self
    }

    /// Whether the samples are in a random order; they are by default. Otherwise the last ones are for testing.
    pub fn shuffle(mut self, yes: bool) -> Self {
        self.shuffle = yes;
        self
    }

    /// The seed of the order; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The class of each sample: both parts then have the classes in the proportions of the whole.
    pub fn stratify(mut self, classes: impl IntoArray) -> Self {
        self.stratify = Some(classes.into_array());
        self
    }

    /// The rows for training and for testing, by scikit-learn's rules.
    fn rows(&self, samples: usize) -> Result<(Vec<usize>, Vec<usize>)> {
        let (train, test) = self.counts(samples)?;
        let mut state = self.seed;
        let mut draw = || splitmix(&mut state);
        let mut rows: Vec<usize> = (0..samples).collect();
        let Some(classes) = &self.stratify else {
            if !self.shuffle {
                return Ok((rows[..train].to_vec(), rows[train..train + test].to_vec()));
            }
            shuffle(&mut rows, draw);
            return Ok((rows[test..test + train].to_vec(), rows[..test].to_vec()));
        };
        let mut members = self.members(&classes.clone()?, samples)?;
        if members.len() > train.min(test) {
            return Err(Error::parts(
                Kind::Argument,
                "The parts of a stratified split should each have at least as many samples as there are classes",
                &format!("{train} and {test} samples, {} classes", members.len()),
                "a sample of each class in each part",
                "Make the smaller part larger, or do not stratify",
            ));
        }
        members.iter_mut().for_each(|rows| shuffle(rows, &mut draw));
        let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
        let for_train = proportional(&sizes, train, &mut draw);
        let left: Vec<usize> = sizes.iter().zip(&for_train).map(|(size, train)| size - train).collect();
        let for_test = proportional(&left, test, &mut draw);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for ((rows, a), b) in members.iter().zip(for_train).zip(for_test) {
            train.extend_from_slice(&rows[..a]);
            test.extend_from_slice(&rows[a..a + b]);
        }
        shuffle(&mut train, &mut draw);
        shuffle(&mut test, &mut draw);
        Ok((train, test))
    }

    /// How many samples are for training and for testing.
    fn counts(&self, samples: usize) -> Result<(usize, usize)> {
        let valid = |size: &Size| match *size {
            Size::Share(share) => share > 0.0 && share < 1.0,
            Size::Count(count) => count > 0 && count < samples,
        };
        let wrong = || {
            let text = |size: Option<Size>| {
                size.map_or("None".to_owned(), |size| match size {
                    Size::Share(share) => share.to_string(),
                    Size::Count(count) => count.to_string(),
                })
            };
            Error::parts(
                Kind::Argument,
                "The samples cannot be split so that both parts have some",
                &format!(
                    "n_samples={samples}, test_size={}, train_size={}",
                    text(self.test_size),
                    text(self.train_size)
                ),
                "shares between 0 and 1 or numbers of samples, together no more than there are",
                "Change the sizes",
            )
        };
        if ![self.test_size, self.train_size].iter().flatten().all(valid) {
            return Err(wrong());
        }
        let count = |size: Size, round: fn(f64) -> f64| match size {
            Size::Share(share) => round(share * samples as f64) as usize,
            Size::Count(count) => count,
        };
        let (train, test) = match (self.train_size, self.test_size) {
            (Some(train), Some(test)) => (count(train, f64::floor), count(test, f64::ceil)),
            (Some(train), None) => {
                let train = count(train, f64::floor);
                (train, samples - train)
            }
            (None, test) => {
                let test = count(test.unwrap_or(Size::Share(0.25)), f64::ceil);
                (samples.saturating_sub(test), test)
            }
        };
        if train == 0 || test == 0 || train + test > samples {
            return Err(wrong());
        }
        Ok((train, test))
    }

    /// The rows of each class, of which there must be two.
    fn members(&self, classes: &Array, samples: usize) -> Result<Vec<Vec<usize>>> {
        if !self.shuffle {
            return Err(Error::parts(
                Kind::Argument,
                "A stratified split without `shuffle` is not implemented",
                "stratify, shuffle=false",
                "one of them",
                "Let the samples be shuffled",
            ));
        }
        if classes.dims() != [samples] {
            return Err(Error::parts(
                Kind::Shape,
                "`stratify` has another number of classes than there are samples",
                &format!("classes of shape {} for {samples} samples", classes.shape()),
                &format!("shape ({samples},)"),
                "Give one class for each sample",
            ));
        }
        let mut sorted: Vec<(f64, usize)> = classes.to_f64_vec().into_iter().zip(0..).collect();
        sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let groups = sorted.chunk_by(|(a, _), (b, _)| a.total_cmp(b).is_eq());
        let members: Vec<Vec<usize>> = groups.map(|group| group.iter().map(|(_, row)| *row).collect()).collect();
        if members.iter().any(|rows| rows.len() < 2) {
            return Err(Error::parts(
                Kind::Argument,
                "The least populated class has only 1 member, which is too few",
                "a class of 1 member",
                "at least 2 members of each class",
                "Leave the class out, or do not stratify",
            ));
        }
        Ok(members)
    }
}

/// `total` distributed in proportion to `sizes`, none of which is exceeded. What is left after rounding down goes to the
/// largest remainders, and among equal ones by chance.
fn proportional(sizes: &[usize], total: usize, mut draw: impl FnMut() -> u64) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    let exact = |size: usize| size as u128 * total as u128;
    let mut counts: Vec<usize> = sizes.iter().map(|&size| (exact(size) / all as u128) as usize).collect();
    let mut order: Vec<(u128, u64, usize)> =
        sizes.iter().enumerate().map(|(i, &size)| (exact(size) % all as u128, draw(), i)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let left = total - counts.iter().sum::<usize>();
    order[..left].iter().for_each(|&(_, _, i)| counts[i] += 1);
    counts
}

/// What can be split: arrays and tensors, whose rows are the samples.
///
/// ```
/// use wgtensor::data::{Array, train_test_split};
/// # use wgtensor::{Device, Tensor};
///
/// let ([_], [host]) = train_test_split([&Array::new([1, 2, 3, 4])?], ())?;
/// let ([_], [device]) = train_test_split([&Tensor::new([1, 2, 3, 4], &Device::cpu())?], ())?; // split where it is
/// assert_eq!(host.to_vec::<i32>()?, device.to_vec::<i32>()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Rows: Sized {
    /// How many rows there are, if there is a dimension for them.
    #[doc(hidden)]
    fn count(&self) -> Option<usize>;
    /// These rows.
    #[doc(hidden)]
    fn pick(&self, rows: &[usize]) -> Result<Self>;
}

impl Rows for Array {
    fn count(&self) -> Option<usize> {
        self.dims().first().copied()
    }
    fn pick(&self, rows: &[usize]) -> Result<Self> {
        self.take(rows)
    }
}

impl Rows for Tensor {
    fn count(&self) -> Option<usize> {
        self.dims().first().copied()
    }
    fn pick(&self, rows: &[usize]) -> Result<Self> {
        Tensor::take(self, rows.to_vec(), 0)
    }
}

/// Splits arrays or tensors of one row a sample into a part for training and one for testing, as scikit-learn does: the same
/// rows of each, each sample in one part. Returns the parts for training, then those for testing. `how` is a [`Split`], the
/// size of the part for testing, or `()` for a quarter. Tensors are split where they are.
///
/// ```
/// use wgtensor::data::{Array, Split, train_test_split};
///
/// let x = Array::from_slice(&(0..40).map(|i| i as f32).collect::<Vec<_>>(), [20, 2])?;
/// let y = Array::new((0..20).map(|i| i32::from(i % 5 == 0)).collect::<Vec<_>>())?;
/// let how = Split::new().test_size(0.25).seed(7).stratify(&y);
/// let ([x_train, y_train], [x_test, y_test]) = train_test_split([&x, &y], how)?;
/// assert_eq!((x_train.dims(), x_test.dims()), (&[15, 2][..], &[5, 2][..]));
/// assert_eq!(y_test.to_vec::<i32>()?.iter().sum::<i32>(), 1);
/// # Ok::<(), wgtensor::Error>(())
/// ```
///
/// # Errors
/// Arrays of different numbers of rows; a part without a sample; classes to stratify by that are not one a sample, or of which
/// one has a single member; those of the tensors' device.
#[track_caller]
pub fn train_test_split<T: Rows, const N: usize>(data: [&T; N], how: impl Into<Split>) -> Result<([T; N], [T; N])> {
    let how = how.into();
    entry(|| {
        let counts: Vec<Option<usize>> = data.iter().map(|array| array.count()).collect();
        let samples = counts.first().copied().flatten().filter(|_| counts.iter().all(|count| *count == counts[0]));
        let Some(samples) = samples else {
            return Err(Error::parts(
                Kind::Shape,
                "Found input variables with inconsistent numbers of samples",
                &format!("{counts:?}"),
                "one row a sample in every array",
                "Cut the arrays to the same first dimension",
            ));
        };
        let (train, test) = how.rows(samples)?;
        let part = |rows: &[usize]| -> Result<[T; N]> {
            let part = data.iter().map(|array| array.pick(rows)).collect::<Result<Vec<T>>>()?;
            part.try_into().map_err(|_| Error::internal("a part of another number of arrays"))
        };
        Ok((part(&train)?, part(&test)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(samples: usize, how: impl Into<Split>) -> Result<(Vec<i32>, Vec<i32>)> {
        let rows = Array::new((0..samples as i32).collect::<Vec<_>>())?;
        let ([train], [test]) = train_test_split([&rows], how)?;
        Ok((train.to_vec()?, test.to_vec()?))
    }

    #[test]
    fn sizes_are_scikit_learn_s() {
        for (how, expected) in [
            (Split::from(()), (7, 3)),
            (Split::from(0.11), (8, 2)),
            (Split::from(4usize), (6, 4)),
            (Split::new().train_size(0.59), (5, 5)),
            (Split::new().train_size(3usize).test_size(2usize), (3, 2)),
            (Split::new().train_size(0.5).test_size(0.2), (5, 2)),
        ] {
            for shuffle in [true, false] {
                let (train, test) = split(10, how.clone().shuffle(shuffle)).unwrap();
                assert_eq!((train.len(), test.len()), expected, "{how:?}");
                let mut all = [train, test].concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), expected.0 + expected.1, "each sample once");
            }
        }
        let ordered = split(5, Split::from(2usize).shuffle(false)).unwrap();
        assert_eq!(ordered, (vec![0, 1, 2], vec![3, 4]));
        assert_eq!(split(50, Split::new().seed(3)).unwrap(), split(50, Split::new().seed(3)).unwrap());
        assert_ne!(split(50, Split::new().seed(3)).unwrap(), split(50, Split::new().seed(4)).unwrap());
    }

    #[test]
    fn classes_keep_their_proportions() {
        let classes: Vec<i32> = (0..100)
            .map(|i| {
                if i < 70 {
                    5
                } else if i < 90 {
                    -1
                } else {
                    2
                }
            })
            .collect();
        for seed in 0..20 {
            let (train, test) = split(100, Split::from(0.2).seed(seed).stratify(&classes)).unwrap();
            let count = |rows: &[i32], class: i32| rows.iter().filter(|row| classes[**row as usize] == class).count();
            assert_eq!([5, -1, 2].map(|class| count(&train, class)), [56, 16, 8]);
            assert_eq!([5, -1, 2].map(|class| count(&test, class)), [14, 4, 2]);
            let (train, test) =
                split(100, Split::from(7usize).train_size(11usize).seed(seed).stratify(&classes)).unwrap();
            assert_eq!((train.len(), test.len()), (11, 7));
        }
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        for how in
            [Split::from(1.0), Split::from(0.0), Split::from(f64::NAN), Split::from(10usize), Split::from(0usize)]
        {
            let error = split(10, how).unwrap_err().to_string();
            assert!(error.contains("n_samples=10"), "{error}");
        }
        assert!(split(10, Split::new().train_size(0.6).test_size(0.6)).is_err());
        assert!(split(1, ()).is_err() && split(0, ()).is_err());
        let classes = |n: usize| Split::new().stratify(vec![0; n]);
        assert!(split(10, classes(9)).unwrap_err().is_shape_mismatch());
        assert!(split(10, classes(10).shuffle(false)).is_err());
        let lonely = split(4, Split::new().stratify([0, 0, 0, 1])).unwrap_err().to_string();
        assert!(lonely.contains("only 1 member"), "{lonely}");
        assert!(split(6, Split::from(2usize).stratify([0, 0, 1, 1, 2, 2])).is_err());
        let ragged = Split::new().stratify(vec![vec![0], vec![0, 1]]);
        assert!(split(2, ragged).is_err());
        let (a, b) = (Array::new([1, 2]).unwrap(), Array::new([1, 2, 3]).unwrap());
        assert!(train_test_split([&a, &b], ()).unwrap_err().to_string().contains("inconsistent numbers of samples"));
        assert!(train_test_split::<Array, 0>([], ()).is_err());
        assert!(train_test_split([&Array::new(1).unwrap()], ()).is_err());
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn tensors_split_where_they_are() {
        let device = crate::Device::cpu();
        let (x, y) =
            (Tensor::new([[1.0f32], [2.0], [3.0], [4.0]], &device), Tensor::new([1.0f32, 2.0, 3.0, 4.0], &device));
        let ([x_train, y_train], [x_test, y_test]) = train_test_split([&x.unwrap(), &y.unwrap()], 1usize).unwrap();
        assert_eq!((x_train.dims(), x_test.dims()), (&[3, 1][..], &[1, 1][..]));
        assert_eq!(x_train.to_vec::<f32>().unwrap(), y_train.to_vec::<f32>().unwrap());
        assert_eq!(x_test.to_vec::<f32>().unwrap(), y_test.to_vec::<f32>().unwrap());
    }
}
