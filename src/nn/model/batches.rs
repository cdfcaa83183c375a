//! Batches: which rows, gathered where the data is.

use crate::Tensor;
use crate::error::{Error, Kind, Result};
use crate::nn::seeds::SeedStream;

/// Arrays with one row a sample.
pub(super) struct Data<'a> {
    pub(super) x: &'a Tensor,
    pub(super) y: Option<&'a Tensor>,
    pub(super) weight: Option<&'a Tensor>,
}

/// The rows of one step.
pub(super) struct Batch {
    pub(super) x: Tensor,
    pub(super) y: Option<Tensor>,
    pub(super) weight: Option<Tensor>,
    pub(super) len: usize,
}

impl Data<'_> {
    /// The number of samples, if all arrays agree.
    pub(super) fn samples(&self) -> Result<usize> {
        let count = |t: &Tensor| t.dims().first().copied().unwrap_or(0);
        let n = count(self.x);
        let all = [("x", Some(self.x)), ("y", self.y), ("sample_weight", self.weight)];
        if all.iter().all(|(_, t)| t.is_none_or(|t| count(t) == n)) {
            return Ok(n);
        }
        let sizes: Vec<String> =
            all.iter().filter_map(|(name, t)| t.map(|t| format!("'{name}' sizes: {}", count(t)))).collect();
        let sizes = sizes.join(" ");
        Err(Error::parts(
            Kind::Shape,
            &format!("Data cardinality is ambiguous. Make sure all arrays contain the same number of samples.{sizes}"),
            &sizes,
            "one row a sample in every array",
            "Cut the arrays to the same first dimension",
        ))
    }

    /// Refuses data spread over devices.
    pub(super) fn check_device(&self) -> Result<()> {
        let others = [self.y, self.weight];
        if others.iter().flatten().all(|t| t.device() == self.x.device()) {
            return Ok(());
        }
        Err(Error::parts(
            Kind::Device,
            "The data of one call is on more than one device",
            "x and y (or the weights) on different devices",
            "all arrays on one device",
            "Create all arrays on the same device",
        ))
    }

    /// The first row, for its shapes.
    pub(super) fn specimen(&self) -> Result<Batch> {
        let first = |t: &Tensor| t.narrow(0, 0, 1);
        let (y, weight) = (self.y.map(first).transpose()?, self.weight.map(first).transpose()?);
        Ok(Batch { x: first(self.x)?, y, weight, len: 1 })
    }

    /// Gathers rows on the device; the row numbers are all that is uploaded.
    pub(super) fn batch(&self, rows: &[i32]) -> Result<Batch> {
        let rows_there = Tensor::from_slice(rows, rows.len(), self.x.device())?;
        let take = |t: &Tensor| t.take(&rows_there, 0);
        Ok(Batch {
            x: take(self.x)?,
            y: self.y.map(take).transpose()?,
            weight: self.weight.map(take).transpose()?,
            len: rows.len(),
        })
    }
}

/// The rows of an epoch: `range`, in a random order where a stream is given.
pub(super) fn order(range: std::ops::Range<usize>, shuffle: Option<&mut SeedStream>) -> Vec<i32> {
    let mut rows: Vec<i32> = range.map(|row| row as i32).collect();
    if let Some(seeds) = shuffle {
        seeds.shuffle(&mut rows);
    }
    rows
}

/// One weight a sample from one weight a class, by Keras's rule: targets are class numbers or one-hot rows, and a
/// class without a weight has 1.
pub(super) fn class_weights(y: &Tensor, weights: &[(i64, f64)]) -> Result<Tensor> {
    let values = y.to_f64_vec()?;
    let samples = y.dims().first().copied().unwrap_or(0);
    let width = values.len() / samples.max(1);
    let class = |row: &[f64]| match row {
        [number] => number.round_ties_even() as i64,
        row => {
            let best = row.iter().enumerate().fold(0, |best, (i, v)| if *v > row[best] { i } else { best });
            best as i64
        }
    };
    let weight = |class: i64| weights.iter().find(|(c, _)| *c == class).map_or(1.0, |(_, w)| *w as f32);
    let weights: Vec<f32> = values.chunks(width.max(1)).map(|row| weight(class(row))).collect();
    Tensor::from_slice(&weights, weights.len(), y.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_repeat_with_their_seed() {
        assert_eq!(order(2..5, None), [2, 3, 4]);
        let shuffled = order(0..50, Some(&mut SeedStream::new(3)));
        assert_eq!(shuffled, order(0..50, Some(&mut SeedStream::new(3))));
        assert_ne!(shuffled, order(0..50, None));
    }
}
