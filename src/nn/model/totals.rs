//! Sums that grow on the device while a model is trained or evaluated, and the figures made of them.

use crate::dtype::DType;
use crate::error::Result;
use crate::nn::metrics::Metric;
use crate::{Tensor, Var};

/// A metric with its totals.
pub(super) struct Tracked {
    pub(super) name: String,
    pub(super) metric: Box<dyn Metric>,
    /// Whether sample weights count.
    pub(super) weighted: bool,
    pub(super) totals: Totals,
}

/// Sums that grow on the device, and the number of samples they are over, known here.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) sums: Vec<Var>,
    pub(super) samples: f64,
}

impl Totals {
    /// Makes a total for each of these sums, unless there is one where they are.
    pub(super) fn create(&mut self, sums: &[Tensor]) -> Result<()> {
        let there = |(var, sum): (&Var, &Tensor)| var.device() == sum.device();
        if self.sums.len() != sums.len() || !self.sums.iter().zip(sums).all(there) {
            let zero = |sum: &Tensor| {
                let var = Var::new(&Tensor::zeros(sum.shape(), DType::F32, sum.device())?);
                var.set_trainable(false);
                Ok(var)
            };
            self.sums = sums.iter().map(zero).collect::<Result<_>>()?;
            self.samples = 0.0;
        }
        Ok(())
    }

    /// Adds what a batch brings; whoever submits that counts its samples.
    pub(super) fn add(&mut self, sums: &[Tensor]) -> Result<()> {
        self.create(sums)?;
        for (total, sum) in self.sums.iter().zip(sums) {
            total.assign(&total.value().add(sum.cast(DType::F32)?)?)?;
        }
        Ok(())
    }

    /// Counts the samples of a batch that was added.
    pub(super) fn count(&mut self, samples: usize) {
        self.samples += samples as f64;
    }

    pub(super) fn reset(&mut self) -> Result<()> {
        self.samples = 0.0;
        self.sums.iter().try_for_each(|var| var.assign(&Tensor::zeros(var.shape(), DType::F32, var.device())?))
    }

    /// The first total over the number of samples.
    pub(super) fn mean(&self, numbers: &[Vec<f64>]) -> f64 {
        numbers.first().map_or(0.0, |sum| sum[0]) / self.samples.max(1.0)
    }
}

/// The values of the totals, in one transfer.
pub(super) async fn read_all<'a>(totals: impl Iterator<Item = &'a Totals>) -> Result<Vec<Vec<Vec<f64>>>> {
    let totals: Vec<&Totals> = totals.collect();
    let vars: Vec<&Var> = totals.iter().flat_map(|totals| &totals.sums).collect();
    let flat = vars.iter().map(|var| var.value().detach().reshape([var.shape().numel()]));
    let flat = flat.collect::<Result<Vec<_>>>()?;
    let numbers = match &flat[..] {
        [] => Vec::new(),
        [one] => one.to_f64_vec_async().await?,
        many => Tensor::concat(many, 0)?.to_f64_vec_async().await?,
    };
    let mut numbers = numbers.into_iter();
    let mut values = |var: &Var| numbers.by_ref().take(var.shape().numel()).collect::<Vec<f64>>();
    Ok(totals.iter().map(|totals| totals.sums.iter().map(&mut values).collect()).collect())
}
