//! A slow and obvious reference: dense `f64` arrays and index loops.

use wgtensor::{DType, Device, Element, Result, Tensor};

use crate::conformance::case::hash24;

/// A dense row-major array.
#[derive(Clone, Debug)]
pub(crate) struct Nd {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Nd {
    pub(crate) fn new(shape: &[usize], data: Vec<f64>) -> Nd {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Nd { shape: shape.to_vec(), data }
    }

    /// Reproducible values in `[low, high)`, exact in `f32`'s precision.
    pub(crate) fn random(shape: &[usize], seed: u32, low: f64, high: f64) -> Nd {
        let n = shape.iter().product::<usize>() as u32;
        let data = (0..n).map(|i| f64::from((low + (high - low) * f64::from(hash24(i, seed, false))) as f32)).collect();
        Nd::new(shape, data)
    }

    /// `f(coordinates)` everywhere.
    pub(crate) fn build(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Nd {
        let n = shape.iter().product();
        let data = (0..n).map(|i| f(&crate::conformance::compare::coords(i, shape))).collect();
        Nd::new(shape, data)
    }

    /// The element at these coordinates.
    pub(crate) fn at(&self, coords: &[usize]) -> f64 {
        self.data[coords.iter().zip(&self.shape).fold(0, |flat, (&c, &n)| flat * n + c)]
    }

    /// The element that broadcasting puts at the coordinates of a larger shape.
    pub(crate) fn broadcast_at(&self, coords: &[usize]) -> f64 {
        let own = &coords[coords.len() - self.shape.len()..];
        self.at(&own.iter().zip(&self.shape).map(|(&c, &n)| if n == 1 { 0 } else { c }).collect::<Vec<_>>())
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Nd {
        Nd::new(&self.shape, self.data.iter().map(|&v| f(v)).collect())
    }

    /// NumPy broadcasting of a scalar function.
    pub(crate) fn zip(&self, other: &Nd, f: impl Fn(f64, f64) -> f64) -> Nd {
        let rank = self.shape.len().max(other.shape.len());
        let extent = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
        let shape: Vec<usize> = (0..rank)
            .map(|d| match (extent(&self.shape, d), extent(&other.shape, d)) {
                (1, n) => n,
                (n, _) => n,
            })
            .collect();
        Nd::build(&shape, |c| f(self.broadcast_at(c), other.broadcast_at(c)))
    }

    /// Folds the values along `axes` (each group in row-major order) and keeps those axes as 1.
    pub(crate) fn reduce(&self, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Nd {
        let kept: Vec<usize> =
            self.shape.iter().enumerate().map(|(d, &n)| if axes.contains(&d) { 1 } else { n }).collect();
        let mut groups = vec![Vec::new(); kept.iter().product()];
        for (i, &v) in self.data.iter().enumerate() {
            let coords = crate::conformance::compare::coords(i, &self.shape);
            let flat = coords.iter().zip(&kept).fold(0, |flat, (&c, &n)| flat * n + if n == 1 { 0 } else { c });
            groups[flat].push(v);
        }
        Nd::new(&kept, groups.iter().map(|g| f(g)).collect())
    }

    /// As `f32` on a device.
    pub(crate) fn f32(&self, device: &Device) -> Result<Tensor> {
        self.cast::<f32>(device, |v| v as f32)
    }

    /// As `i32` on a device.
    pub(crate) fn i32(&self, device: &Device) -> Result<Tensor> {
        self.cast::<i32>(device, |v| v as i32)
    }

    /// As either float type on a device.
    pub(crate) fn float(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        if dtype == DType::F64 { self.cast::<f64>(device, |v| v) } else { self.f32(device) }
    }

    fn cast<T: Element>(&self, device: &Device, f: impl Fn(f64) -> T) -> Result<Tensor> {
        let values: Vec<T> = self.data.iter().map(|&v| f(v)).collect();
        Tensor::from_slice(&values, &self.shape[..], device)
    }
}
