//! Writing at places that several indices name.

use super::index::check_bounds;
use super::pointwise::{expect_dtype, same_device, same_dtype};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::shape::IntoShape;

impl Tensor {
    /// Zeros of a shape with `values` added at `indices`, as Keras's `scatter`. The last dimension of `indices` (integers)
    /// holds a number for each of the first dimensions of the shape; `values` has a slice of the rest for every such
    /// place, so the shape `(other dimensions of indices.., rest of the shape..)`. Negative numbers count from the end,
    /// and values for the same place add up. Indices computed on the device are not checked: nothing is written
    /// outside.
    ///
    /// # Errors
    /// Shapes that do not fit; indices that are not integers; indices from the host that are outside; booleans.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let device = Device::cpu();
    /// let indices = Tensor::new([[0, 1], [2, 0], [0, 1]], &device)?;
    /// let values = Tensor::new([1.0f32, 2.0, 3.0], &device)?;
    /// let y = Tensor::scatter(&indices, &values, [3, 2])?;
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 4.0, 0.0, 0.0, 2.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter(indices: &Tensor, values: &Tensor, shape: impl IntoShape) -> Result<Tensor> {
        let zeros = Tensor::zeros(shape, values.dtype(), values.device())?;
        let places = Places::of("scatter", &zeros, indices, values)?;
        entry(|| places.add(&zeros, values))
    }

    /// This tensor with `updates` added at `indices`; both as in [`scatter`](Tensor::scatter).
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::ones([2, 2], DType::F32, &device)?;
    /// let places = Tensor::new([[0, 1], [0, 1]], &device)?; // row 0, column 1, twice
    /// let updates = Tensor::new([2.0f32, 3.0], &device)?;
    /// assert_eq!(x.scatter_add(&places, &updates)?.to_vec::<f32>()?, [1.0, 6.0, 1.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`scatter`](Tensor::scatter).
    #[track_caller]
    pub fn scatter_add(&self, indices: &Tensor, updates: &Tensor) -> Result<Tensor> {
        let places = Places::of("scatter_add", self, indices, updates)?;
        entry(|| places.add(self, updates))
    }

    /// This tensor with `updates` in place of what stood at `indices`, both as in [`scatter`](Tensor::scatter); of several
    /// updates of one place the last counts.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([3, 2], DType::I32, &device)?;
    /// let rows = Tensor::new([[2], [0]], &device)?; // a row each
    /// let updates = Tensor::new([[1, 2], [3, 4]], &device)?;
    /// assert_eq!(x.scatter_update(&rows, &updates)?.to_vec::<i32>()?, [3, 4, 0, 0, 1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`scatter`](Tensor::scatter).
    #[track_caller]
    pub fn scatter_update(&self, indices: &Tensor, updates: &Tensor) -> Result<Tensor> {
        let places = Places::of("scatter_update", self, indices, updates)?;
        entry(|| places.update(self, updates))
    }

    /// This tensor with `updates` in place of the block that begins at `starts`, as Keras's `slice_update`.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::zeros([2, 3], DType::I32, &device)?;
    /// let block = Tensor::new([[7, 8]], &device)?;
    /// assert_eq!(x.slice_update(&[1, 1], &block)?.to_vec::<i32>()?, [0, 0, 0, 0, 7, 8]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// `starts` does not name every dimension; a block that leaves the tensor; mixed types or devices.
    #[track_caller]
    pub fn slice_update(&self, starts: &[usize], updates: &Tensor) -> Result<Tensor> {
        same_device("slice_update", self, updates)?;
        same_dtype("slice_update", self, updates)?;
        let room = |(d, &start): (usize, &usize)| self.dims()[d].checked_sub(start)?.checked_sub(updates.dims()[d]);
        let fits = starts.len() == self.rank() && updates.rank() == self.rank();
        let behind = fits.then(|| starts.iter().enumerate().map(room).collect::<Option<Vec<_>>>()).flatten();
        let Some(behind) = behind else {
            return Err(Error::parts(
                Kind::Index,
                "`slice_update` was given a block that does not lie in the tensor",
                &format!("{} at {starts:?} of a tensor of shape {}", updates.shape(), self.shape()),
                "a start for every dimension, and a block that ends within the tensor",
                "Check the starts",
            ));
        };
        let pads: Vec<(usize, usize)> = starts.iter().copied().zip(behind).collect();
        entry(|| {
            let inside = Tensor::ones(updates.shape(), DType::Bool, self.device())?.pad(&pads, 0.0)?;
            inside.where_(updates.pad(&pads, 0.0)?, self)
        })
    }
}

/// Slices of a tensor by their numbers, counted over its first dimensions.
struct Places {
    /// Their numbers, one-dimensional; one outside is `count`.
    flat: Tensor,
    /// How many slices the tensor has, and their size.
    count: usize,
    inner: usize,
}

impl Places {
    #[track_caller]
    fn of(op: &str, x: &Tensor, indices: &Tensor, updates: &Tensor) -> Result<Places> {
        same_device(op, x, indices)?;
        same_device(op, x, updates)?;
        same_dtype(op, x, updates)?;
        expect_dtype(op, x, x.dtype() != DType::Bool, "a number")?;
        let fitting = indices
            .dims()
            .split_last()
            .filter(|&(&k, rows)| (1..=x.rank()).contains(&k) && updates.dims() == [rows, &x.dims()[k..]].concat());
        let Some((&k, rows)) = fitting else {
            return Err(Error::parts(
                Kind::Shape,
                &format!("`{op}` was given indices and values that do not fit"),
                &format!("indices {}, values {} for a tensor of shape {}", indices.shape(), updates.shape(), x.shape()),
                "indices (.., k) with k dimensions to index, and values (.., the rest of the tensor's shape)",
                "Reshape the indices or the values",
            ));
        };
        // What is known of the indices is known of all columns together.
        let longest = (0..k).max_by_key(|&d| x.dims()[d]).unwrap_or(0);
        check_bounds(op, indices, longest, x.dims()[longest])?;
        let count: usize = x.dims()[..k].iter().product();
        entry(|| {
            let columns = indices.cast(DType::I32)?.reshape([rows.iter().product(), k])?;
            let mut flat = columns.take(0, 1)?.mul(0.0)?;
            let mut inside = flat.eq(0.0)?;
            for (d, &n) in x.dims()[..k].iter().enumerate() {
                let at = columns.take(d, 1)?;
                let at = at.lt(0.0)?.where_(at.add(n)?, &at)?;
                inside = inside.logical_and(at.ge(0.0)?.logical_and(at.lt(n)?)?)?;
                flat = flat.mul(n)?.add(at)?;
            }
            Ok(Places { flat: inside.where_(flat, count)?, count, inner: x.dims()[k..].iter().product() })
        })
    }

    fn add(&self, x: &Tensor, updates: &Tensor) -> Result<Tensor> {
        let slices = updates.reshape([self.flat.numel(), self.inner])?;
        x.reshape([self.count, self.inner])?.index_add(0, &self.flat, &slices)?.reshape(x.shape())
    }

    /// In the order of their places, so that those of one place follow each other and the last of them can be told.
    fn update(&self, x: &Tensor, updates: &Tensor) -> Result<Tensor> {
        let m = self.flat.numel();
        if m == 0 || x.numel() == 0 {
            return Ok(x.clone());
        }
        let order = self.flat.argsort(0)?;
        let at = self.flat.take(&order, 0)?;
        let last = at.narrow(0, 1, m - 1)?.pad(&[(0, 1)], -1.0)?.ne(&at)?.expand_dims(-1)?;
        let updates = updates.reshape([m, self.inner])?.take(&order, 0)?;
        let zeros = Tensor::zeros([self.count, self.inner], x.dtype(), x.device())?;
        let values = zeros.index_add(0, &at, &last.where_(updates, 0.0)?)?;
        let none = Tensor::zeros([self.count, 1], DType::I32, x.device())?;
        let written = none.index_add(0, &at, &last.cast(DType::I32)?)?.gt(0.0)?;
        written.where_(values, x.reshape([self.count, self.inner])?)?.reshape(x.shape())
    }
}
