//! Sorting: each element becomes a number that orders as it does, with its place behind it, so that no two are equal and
//! any sort is stable.

use super::Kernel;
use super::epilogue::Epilogue;
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::{Outs, Words};
use crate::backend::cpu::threads::{each, forks, grain, threads};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::sort::Sort;
use crate::ir::step::Step;

/// Picoseconds for an element, with each bit of its place.
const EACH: usize = 2500;

pub(in crate::backend::cpu) struct Sorter {
    of: Sort,
    operand: u16,
    epilogue: Epilogue,
}

impl Sorter {
    pub(in crate::backend::cpu) fn new(s: &Sort, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        let [operand] = step.operands[..] else { return Err(Error::internal("a sort of other than one operand")) };
        if s.keep > s.extent || i32::try_from(s.extent).is_err() {
            return Err(Error::internal("a sort of rows too short or too long"));
        }
        bufs.operand(operand, s.dtype, s.rows * s.extent)?;
        Ok(Sorter { of: *s, operand, epilogue: Epilogue::new(step, &s.results(), bufs)? })
    }

    fn row_work(&self) -> usize {
        self.of.extent * EACH * (1 + self.of.extent.checked_ilog2().unwrap_or(0) as usize)
    }

    /// Sorts each row by its keys and notes the places of the first ones.
    fn sort<K: Ord + Copy + Send + Sync>(&self, key: impl Fn(usize) -> K + Sync, places: &mut [i32]) {
        let Sort { extent, keep, .. } = self.of;
        if keep == 0 {
            return;
        }
        let long = forks(self.row_work());
        let one = |row: usize, places: &mut [i32]| {
            let mut keys: Vec<(K, u32)> = (0..extent).map(|i| (key(row * extent + i), i as u32)).collect();
            if keep < extent {
                keys.select_nth_unstable(keep - 1);
                keys.truncate(keep);
            }
            match long {
                // Parts at once; then they are runs, which the standard library's stable sort finds and merges.
                true => {
                    let part = keys.len().div_ceil(threads()).max(1);
                    each(true, keys.chunks_mut(part), |_, part| part.sort_unstable());
                    keys.sort();
                }
                false => keys.sort_unstable(),
            }
            places.iter_mut().zip(&keys).for_each(|(p, k)| *p = k.1 as i32);
        };
        let rows = if long { places.len() / keep } else { grain(places.len() / keep, self.row_work()) };
        each(!long, places.chunks_mut(keep * rows.max(1)), |i, places| {
            places.chunks_mut(keep).enumerate().for_each(|(row, places)| one(i * rows + row, places));
        });
    }

    fn compute(&self, x: &[u64], results: &mut [Words<'_>]) -> Result<()> {
        let Sort { dtype, extent, keep, descending, .. } = self.of;
        let [values, places] = results else { return Err(Error::internal("a sort without its results")) };
        let places: &mut [i32] = places.cast_mut();
        match dtype {
            DType::F64 => self.sort(|i| order64(x[i], descending), places),
            _ => {
                let words: &[u32] = bytemuck::cast_slice(x);
                self.sort(|i| order32(words[i], dtype, descending), places);
            }
        }
        let from = |i: usize| i / keep * extent + places[i] as usize;
        match values {
            Words::Eight(values) => values.iter_mut().enumerate().for_each(|(i, v)| *v = x[from(i)]),
            Words::One(_) | Words::Two(_) => return Err(Error::internal("a sort into narrow words")),
            Words::Four(values) => {
                let words: &[u32] = bytemuck::cast_slice(x);
                values.iter_mut().enumerate().for_each(|(i, v)| *v = words[from(i)]);
            }
        }
        Ok(())
    }
}

/// The bits of a value as a number that orders as the values do: NaN last, zeros equal.
fn order32(bits: u32, dtype: DType, descending: bool) -> u32 {
    let key = match dtype {
        DType::F32 if f32::from_bits(bits).is_nan() => return u32::MAX,
        DType::F32 if bits << 1 == 0 => 1 << 31,
        DType::F32 => bits ^ (((bits as i32) >> 31) as u32 | 1 << 31),
        DType::I32 => bits ^ 1 << 31,
        _ => bits,
    };
    if descending { !key } else { key }
}

fn order64(bits: u64, descending: bool) -> u64 {
    let key = match f64::from_bits(bits) {
        v if v.is_nan() => return u64::MAX,
        0.0 => 1 << 63,
        _ => bits ^ (((bits as i64) >> 63) as u64 | 1 << 63),
    };
    if descending { !key } else { key }
}

impl Kernel for Sorter {
    fn work(&self) -> usize {
        (self.of.rows * self.row_work()).max(self.epilogue.work())
    }

    fn scratch(&self) -> usize {
        self.epilogue.scratch()
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, _) = self.epilogue.sink(scratch, ctx, outs);
        sink.all(|results| self.compute(ctx.ins[self.operand as usize], results))
    }
}
