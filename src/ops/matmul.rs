//! Matrix products.

use super::pointwise::{expect_dtype, fit, same_device, same_dtype};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp};
use crate::ir::op::Op;
use crate::shape;

impl Tensor {
    /// The matrix product by NumPy's rules: `(.., m, k) x (.., k, n) -> (.., m, n)`, batch dimensions broadcast, a
    /// one-dimensional operand is a row (left) or a column (right) whose extra dimension is dropped from the result.
    /// Transposed and broadcast operands are read in place. Integers wrap; of booleans it is whether any pair is true.
    ///
    /// ```
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device)?;
    /// assert_eq!(x.matmul(&x.t()?)?.to_vec::<f32>()?, [14.0, 32.0, 32.0, 77.0]);
    /// let v = Tensor::new([1.0f32, 0.0, -1.0], &device)?;
    /// assert_eq!(x.matmul(&v)?.to_vec::<f32>()?, [-2.0, -2.0]);
    /// let batch = Tensor::stack([&x, &x], 0)?; // (2, 2, 3)
    /// assert_eq!(batch.matmul(&x.t()?)?.dims(), [2, 2, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Inner extents or batch dimensions that do not fit, scalars, mixed types or devices.
    #[track_caller]
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        same_device("matmul", self, rhs)?;
        same_dtype("matmul", self, rhs)?;
        // Products of bytes would wrap at once.
        expect_dtype("matmul", self, !matches!(self.dtype(), DType::U8 | DType::I8), "a float, i32, u32 or bool")?;
        let (ra, rb) = (self.rank(), rhs.rank());
        if ra == 0 || rb == 0 {
            return Err(misfit(self, rhs, "a scalar is no matrix"));
        }
        let (k, k2) = (self.dims()[ra - 1], rhs.dims()[rb.max(2) - 2]);
        if k != k2 {
            return Err(misfit(self, rhs, &format!("the inner extents are {k} and {k2}")));
        }
        match (ra, rb) {
            (1, 1) => return self.expand_dims(0)?.matmul(&rhs.expand_dims(-1)?)?.reshape(()),
            (1, _) => return self.expand_dims(0)?.matmul(rhs)?.squeeze(-2),
            (_, 1) => return self.matmul(&rhs.expand_dims(-1)?)?.squeeze(-1),
            _ => {}
        }
        let (m, n) = (self.dims()[ra - 2], rhs.dims()[rb - 1]);
        // One matrix for the whole batch: the batch becomes rows.
        if rb == 2 && ra > 2 {
            let rows = self.dims()[..ra - 1].iter().product::<usize>();
            let mut dims = self.dims().to_vec();
            dims[ra - 1] = n;
            return self.reshape([rows, k])?.matmul(rhs)?.reshape(dims);
        }
        let Some(batch) = shape::broadcast(&self.dims()[..ra - 2], &rhs.dims()[..rb - 2]) else {
            return Err(misfit(self, rhs, "the batch dimensions do not broadcast"));
        };
        let shape = batch.followed_by([m, n])?;
        let (a, b) = (fit(self, &batch.followed_by([m, k])?)?, fit(rhs, &batch.followed_by([k, n])?)?);
        if !self.dtype().is_float() {
            return whole_product(&a, &b, &batch)?.reshape(shape);
        }
        let make = Make::new(self.device(), Vjp::Node(matmul_grad));
        Ok(Tensor::record(Op::MatMul, shape, self.dtype(), &[&a, &b], make))
    }
}

/// The product of integers or booleans, as one nest: each element is a sum of products along the inner extent.
#[track_caller]
fn whole_product(a: &Tensor, b: &Tensor, batch: &[usize]) -> Result<Tensor> {
    // Two more dimensions must fit into the rank, so the batch becomes one.
    let flat = |t: Tensor, rows: usize, columns: usize, k: usize| t.reshape([batch.iter().product(), rows, columns, k]);
    let rank = a.rank();
    let (m, n, k) = (a.dims()[rank - 2], b.dims()[rank - 1], a.dims()[rank - 1]);
    // Narrow integers are multiplied and summed as wide ones, as Keras has them.
    let wide = a.dtype().register();
    let (a, b) = (flat(a.cast(wide)?, m, 1, k)?, flat(b.t()?.cast(wide)?, 1, n, k)?);
    if a.dtype() == DType::Bool { a.logical_and(&b)?.any(-1) } else { a.mul(&b)?.sum(-1) }
}

#[track_caller]
fn misfit(a: &Tensor, b: &Tensor, why: &str) -> Error {
    Error::parts(
        Kind::Shape,
        &format!("`matmul` was given shapes that do not fit: {why}"),
        &format!("{} x {}", a.shape(), b.shape()),
        "(.., m, k) x (.., k, n)",
        "Transpose with `t`, or reshape an operand",
    )
}

/// `da = g b^T`, `db = a^T g`.
fn matmul_grad(_: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let (a, b) = (&inputs[0], &inputs[1]);
    let da = if a.0.tracked { Some(grad.matmul(&b.t()?)?) } else { None };
    let db = if b.0.tracked { Some(a.t()?.matmul(grad)?) } else { None };
    Ok([da, db].into_iter().collect())
}
