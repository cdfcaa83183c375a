//! Batches: which rows, gathered where the data is.

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::nn::seeds::SeedStream;
use crate::shape::Shape;
use crate::{Device, Tensor};

/// Arrays with one row a sample, all on one device, floats in single precision.
#[derive(Clone)]
pub(super) struct Data {
    /// One array for each input.
    pub(super) x: Vec<Tensor>,
    /// The targets of each output, where it has a loss or a metric.
    pub(super) y: Vec<Option<Tensor>>,
    /// The weights of the samples for each output.
    pub(super) weight: Vec<Option<Tensor>>,
}

/// The rows of one step.
pub(super) struct Batch {
    pub(super) x: Vec<Tensor>,
    pub(super) y: Vec<Option<Tensor>>,
    pub(super) weight: Vec<Option<Tensor>>,
    pub(super) len: usize,
}

/// Keras's type for floats: doubles become single precision, all else stays.
pub(super) fn single(t: &Tensor) -> Result<Tensor> {
    if t.dtype() == DType::F64 { t.cast(DType::F32) } else { Ok(t.clone()) }
}

/// How many rows a tensor has; none if it is a single number.
fn rows(t: &Tensor) -> usize {
    t.dims().first().copied().unwrap_or(0)
}

impl Data {
    /// Refuses arrays that do not belong together.
    pub(super) fn new(x: Vec<Tensor>, y: Vec<Option<Tensor>>, weight: Vec<Option<Tensor>>) -> Result<Self> {
        let named = |name: &'static str| move |t| (name, t);
        let (ys, weights) = (y.iter().flatten().map(named("y")), weight.iter().flatten().map(named("sample_weight")));
        let given: Vec<(&str, &Tensor)> = x.iter().map(named("x")).chain(ys).chain(weights).collect();
        if let Some((name, _)) = given.iter().find(|(_, t)| t.rank() == 0) {
            return Err(Error::parts(
                Kind::Shape,
                "The data is a single number and has no samples",
                &format!("{name} of shape ()"),
                "one row a sample",
                &format!("Give {name} a first dimension: the samples"),
            ));
        }
        if given.iter().any(|(_, t)| rows(t) != rows(&x[0])) {
            let sizes: Vec<String> = given.iter().map(|(name, t)| format!("'{name}' sizes: {}", rows(t))).collect();
            return Err(Error::parts(
                Kind::Shape,
                "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples",
                &sizes.join(" "),
                "one row a sample in every array",
                "Cut the arrays to the same first dimension",
            ));
        }
        for (name, t) in given {
            if t.device() != x[0].device() {
                return Err(elsewhere(name, t.device(), x[0].device()));
            }
        }
        let ready = |t: Tensor| {
            let t = single(&t)?;
            t.realize()?;
            Ok(t)
        };
        let each = |list: Vec<Option<Tensor>>| -> Result<Vec<_>> {
            list.into_iter().map(|t| t.map(ready).transpose()).collect()
        };
        Ok(Data { x: x.into_iter().map(ready).collect::<Result<_>>()?, y: each(y)?, weight: each(weight)? })
    }

    /// Where the data is.
    pub(super) fn device(&self) -> &Device {
        self.x[0].device()
    }

    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        rows(&self.x[0])
    }

    /// The number of samples, where there must be one.
    pub(super) fn some_samples(&self) -> Result<usize> {
        match self.samples() {
            0 => Err(no_samples(&format!("x of shape {}", self.x[0].shape()))),
            samples => Ok(samples),
        }
    }

    /// All arrays, in an order.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.x.iter().chain(self.y.iter().flatten()).chain(self.weight.iter().flatten())
    }

    /// A batch of other arrays in the place of these, in that order.
    pub(super) fn like(&self, tensors: Vec<Tensor>) -> Batch {
        let len = tensors.first().map_or(0, rows);
        let mut tensors = tensors.into_iter();
        let x = tensors.by_ref().take(self.x.len()).collect();
        let mut maybe =
            |list: &[Option<Tensor>]| list.iter().map(|t| t.as_ref().and_then(|_| tensors.next())).collect();
        Batch { x, y: maybe(&self.y), weight: maybe(&self.weight), len }
    }

    /// The first row, for its shapes.
    pub(super) fn specimen(&self) -> Result<Batch> {
        self.each(1, |t| t.narrow(0, 0, 1))
    }

    /// Numbers of rows of this data on its device: all that is uploaded for a batch.
    pub(super) fn numbers(&self, rows: &[i32]) -> Result<Tensor> {
        let (bytes, last) = (bytemuck::cast_slice(rows), self.samples() as i64 - 1);
        Tensor::from_bytes(bytes, Shape::new(&[rows.len()])?, DType::I32, Some((0, last)), self.device())
    }

    /// Gathers rows on the device.
    pub(super) fn batch(&self, rows: &Tensor) -> Result<Batch> {
        self.each(rows.numel(), |t| t.take(rows, 0))
    }

    /// All rows as one batch.
    pub(super) fn whole(self) -> Batch {
        let len = self.samples();
        Batch { x: self.x, y: self.y, weight: self.weight, len }
    }

    /// A batch of `len` rows that `take` takes from each array. What is known of all the numbers is known of these:
    /// labels and tokens out of range are found before the first step, not by their effects.
    fn each(&self, len: usize, take: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Batch> {
        let take = |t: &Tensor| Ok(take(t)?.bounded(t.bounds()));
        let maybe = |list: &[Option<Tensor>]| -> Result<Vec<_>> {
            list.iter().map(|t| t.as_ref().map(take).transpose()).collect()
        };
        let x = self.x.iter().map(take).collect::<Result<_>>()?;
        Ok(Batch { x, y: maybe(&self.y)?, weight: maybe(&self.weight)?, len })
    }
}

/// Finds out the range of numbers that stand for classes or for rows of a table, where the host does not know it:
/// one read-back before the first step, instead of a NaN after it. Layers and losses then refuse what is outside.
pub(super) async fn find_range(name: &str, t: &Tensor) -> Result<()> {
    if t.bounds().is_some() || t.numel() == 0 || t.dtype() == DType::Bool {
        return Ok(());
    }
    let ends = Tensor::stack([&t.min(())?, &t.max(())?], 0)?.to_f64_vec_async().await?;
    if ends.iter().any(|end| end.is_nan()) {
        return Err(Error::parts(
            Kind::Index,
            &format!("`{name}` has NaN among its class numbers or indices"),
            "NaN",
            "whole numbers from 0",
            "Check how the data was read; leave samples without a label out",
        ));
    }
    let _ = t.clone().bounded(Some((ends[0] as i64, ends[1] as i64)));
    Ok(())
}

/// Data spread over devices.
pub(super) fn elsewhere(name: &str, its: &Device, device: &Device) -> Error {
    device.differs(its, &format!("The data of one call is on more than one device ({name} is not where x is)"))
}

/// The rows of an epoch: `range`, in a random order where a stream is given.
pub(super) fn order(range: std::ops::Range<usize>, shuffle: Option<&mut SeedStream>) -> Vec<i32> {
    let mut rows: Vec<i32> = range.map(|row| row as i32).collect();
    if let Some(seeds) = shuffle {
        seeds.shuffle(&mut rows);
    }
    rows
}

/// Data without a row where there must be one.
pub(super) fn no_samples(received: &str) -> Error {
    Error::parts(
        Kind::Shape,
        "The data has no samples",
        received,
        "at least one row",
        "Check how the data was read or split",
    )
}

/// The targets of a model of one output, to weigh their classes.
pub(super) fn only<T>(y: &[Option<T>]) -> Result<&T> {
    let [Some(y)] = y else {
        return Err(Error::parts(
            Kind::Argument,
            "`class_weight` is only supported for models of a single output",
            &format!("{} outputs", y.len()),
            "one output",
            "Give `sample_weight` instead",
        ));
    };
    Ok(y)
}

/// One weight a sample from one weight a class, by Keras's rule: targets are class numbers or one-hot rows, and a
/// class without a weight has 1.
pub(super) fn class_weights(shape: &Shape, values: &[f64], weights: &[(i64, f64)]) -> Result<Vec<f32>> {
    if shape.rank() > 2 {
        return Err(Error::parts(
            Kind::Shape,
            "`class_weight` is not supported for targets of more than two dimensions",
            &format!("targets of shape {shape}"),
            "one class number or one one-hot row a sample",
            "Give `sample_weight` instead",
        ));
    }
    let class = |row: &[f64]| match row {
        [number] => number.round_ties_even() as i64,
        row => {
            let best = row.iter().enumerate().fold(0, |best, (i, v)| if *v > row[best] { i } else { best });
            best as i64
        }
    };
    let weight = |class: i64| weights.iter().find(|(c, _)| *c == class).map_or(1.0, |(_, w)| *w as f32);
    let width = values.len() / shape.first().copied().unwrap_or(1).max(1);
    Ok(values.chunks(width.max(1)).map(|row| weight(class(row))).collect())
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
