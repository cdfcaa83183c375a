//! Matrices and vectors beside their products: triangles and the cross product.

use super::pointwise::{expect_dtype, same_device, same_dtype};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::shape::{Index, axis_index, signed};

impl Tensor {
    /// The lower triangle of each matrix `(.., rows, columns)`: 0 above diagonal `k` (0: the main one; positive: above it).
    ///
    /// # Errors
    /// Fewer than two dimensions.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &Device::cpu())?;
    /// assert_eq!(x.tril(0)?.to_vec::<f32>()?, [1.0, 0.0, 3.0, 4.0]);
    /// assert_eq!(x.triu(1)?.to_vec::<f32>()?, [0.0, 2.0, 0.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn tril(&self, k: impl Index) -> Result<Tensor> {
        up_to_diagonal("tril", self, signed("tril", k)?)?.where_(self, 0.0)
    }

    /// The upper triangle of each matrix `(.., rows, columns)`: 0 below diagonal `k`.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device)?;
    /// assert_eq!(x.triu(0)?.to_vec::<f32>()?, [1.0, 2.0, 0.0, 4.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than two dimensions.
    #[track_caller]
    pub fn triu(&self, k: impl Index) -> Result<Tensor> {
        up_to_diagonal("triu", self, signed("triu", k)?.saturating_sub(1))?.where_(0.0, self)
    }

    /// The cross product of vectors of three elements along an axis; vectors of two lie in the plane of the first two,
    /// and of two such only the third element is given, without the axis.
    ///
    /// # Errors
    /// Other extents along the axis; shapes that do not broadcast; mixed types or devices; booleans.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// let x = Tensor::new([1.0f32, 0.0, 0.0], &Device::cpu())?;
    /// let y = Tensor::new([0.0f32, 1.0, 0.0], &Device::cpu())?;
    /// assert_eq!(x.cross(&y, -1)?.to_vec::<f32>()?, [0.0, 0.0, 1.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[track_caller]
    pub fn cross(&self, rhs: &Tensor, axis: impl Index) -> Result<Tensor> {
        let (a, b) = (axis_index("cross", axis, self.rank())?, axis_index("cross", axis, rhs.rank())?);
        same_device("cross", self, rhs)?;
        same_dtype("cross", self, rhs)?;
        expect_dtype("cross", self, self.dtype() != DType::Bool, "a number")?;
        let extents = (self.dims()[a], rhs.dims()[b]);
        if !matches!(extents, (2 | 3, 2 | 3)) {
            return Err(Error::parts(
                Kind::Shape,
                "`cross` was given vectors of other than two or three elements",
                &format!("{} and {} along axis {axis}", self.shape(), rhs.shape()),
                "2 or 3 elements along the axis",
                "Name the axis of the vectors",
            ));
        }
        entry(|| {
            let whole = |x: &Tensor, d: usize| {
                let mut pads = vec![(0, 0); x.rank()];
                pads[d].1 = 3 - x.dims()[d];
                x.pad(&pads, 0.0)
            };
            let (x, y) = (whole(self, a)?, whole(rhs, b)?);
            let turned = x.roll(-1, axis)?.mul(y.roll(-2, axis)?)?.sub(x.roll(-2, axis)?.mul(y.roll(-1, axis)?)?)?;
            if extents == (2, 2) { turned.take(2, axis) } else { Ok(turned) }
        })
    }
}

/// For each place of a matrix whether its column is at most `k` more than its row.
#[track_caller]
fn up_to_diagonal(op: &str, x: &Tensor, k: isize) -> Result<Tensor> {
    let [.., rows, columns] = *x.dims() else {
        return Err(Error::parts(
            Kind::Shape,
            &format!("`{op}` was given something that is no matrix"),
            &format!("shape {}", x.shape()),
            "at least two dimensions, (.., rows, columns)",
            "Add the missing dimensions with `expand_dims`",
        ));
    };
    // Diagonals outside the matrix are all alike.
    let k = k.clamp(-(rows as isize), columns as isize);
    let row = Tensor::arange(0.0, rows as f64, 1.0, DType::I32, x.device())?.expand_dims(-1)?;
    row.add(k as f64)?.ge(Tensor::arange(0.0, columns as f64, 1.0, DType::I32, x.device())?)
}
