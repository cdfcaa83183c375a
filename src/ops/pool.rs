//! Two-dimensional pooling, channels last.

use super::conv::{Padding, geometry};
use super::pointwise::expect_dtype;
use super::reduce::in_register;
use crate::error::Result;
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp};
use crate::ir::op::Op;
use crate::ir::step::Family;
use crate::ir::window::{Geometry, Window, WindowOp};
use crate::shape::Shape;

/// How a pooling window moves; the default is Keras's: 2 by 2, moved by its own size, no padding.
///
/// ```
/// # use wgtensor::{DType, Device, Padding, PoolOptions, Tensor};
/// let x = Tensor::ones([1, 5, 5, 1], DType::F32, &Device::cpu())?;
/// let options = PoolOptions { size: (3, 3), padding: Padding::Same, ..PoolOptions::default() };
/// assert_eq!(x.max_pool2d(&options)?.dims(), [1, 3, 3, 1]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Rows and columns of the window.
    pub size: (usize, usize),
    /// Steps between windows.
    pub strides: (usize, usize),
    /// What surrounds the image; it never counts.
    pub padding: Padding,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions { size: (2, 2), strides: (2, 2), padding: Padding::Valid }
    }
}

#[track_caller]
fn record(op: WindowOp, g: Geometry, inputs: &[&Tensor]) -> Tensor {
    let shape = match op {
        WindowOp::Max | WindowOp::MaxPick | WindowOp::Sum => Shape::of(&[g.batch, g.oh, g.ow, g.c]),
        WindowOp::MaxGrad | WindowOp::SumGrad => Shape::of(&[g.batch, g.h, g.w, g.c]),
    };
    let make = Make::new(inputs[0].device(), Vjp::Node(window_grad));
    let dtype = inputs[0].dtype();
    let op = Op::family(Family::Window(Window { op, geometry: g, dtype: dtype.register() }));
    Tensor::record(op, shape, dtype, inputs, make)
}

impl Tensor {
    /// The greatest element of each window of images `(n, h, w, c)`. The gradient goes to the first of equals.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, PoolOptions, Tensor};
    /// # let device = Device::cpu();
    /// let image = Tensor::arange(0.0, 16.0, 1.0, DType::F32, &device)?.reshape([1, 4, 4, 1])?;
    /// let most = image.max_pool2d(&PoolOptions::default())?; // 2 by 2
    /// assert_eq!(most.to_vec::<f32>()?, [5.0, 7.0, 13.0, 15.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not four dimensions; a window larger than the padded image; integers.
    #[track_caller]
    pub fn max_pool2d(&self, options: &PoolOptions) -> Result<Tensor> {
        Ok(record(WindowOp::Max, self.windows("max_pool2d", options)?, &[self]))
    }

    /// The mean of each window of images `(n, h, w, c)`; padding does not count.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, PoolOptions, Tensor};
    /// # let device = Device::cpu();
    /// let image = Tensor::arange(0.0, 16.0, 1.0, DType::F32, &device)?.reshape([1, 4, 4, 1])?;
    /// let mean = image.avg_pool2d(&PoolOptions::default())?;
    /// assert_eq!(mean.to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn avg_pool2d(&self, options: &PoolOptions) -> Result<Tensor> {
        let g = self.windows("avg_pool2d", options)?;
        in_register(self, |x| {
            let sum = record(WindowOp::Sum, g, &[x]);
            if options.padding == Padding::Valid {
                return sum.mul(1.0 / (g.kh * g.kw) as f64);
            }
            let one = Geometry { batch: 1, c: 1, f: 1, ..g };
            let image = Tensor::ones([1, g.h, g.w, 1], x.dtype(), x.device())?;
            sum.div(record(WindowOp::Sum, one, &[&image]))
        })
    }

    #[track_caller]
    fn windows(&self, op: &str, options: &PoolOptions) -> Result<Geometry> {
        expect_dtype(op, self, self.dtype().is_float(), "a floating-point type")?;
        let channels = self.dims().last().copied().unwrap_or(0);
        geometry(op, self, options.size, channels, options.strides, (1, 1), options.padding)
    }
}

fn window_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Some(&Family::Window(Window { op, geometry: g, .. })) = y.0.op.as_family() else {
        unreachable!("a window's gradient")
    };
    Ok(match op {
        WindowOp::Max => [Some(record(WindowOp::MaxGrad, g, &[&inputs[0], grad]))].into_iter().collect(),
        WindowOp::MaxGrad => [None, Some(record(WindowOp::MaxPick, g, &[&inputs[0], grad]))].into_iter().collect(),
        WindowOp::MaxPick => [None, Some(record(WindowOp::MaxGrad, g, &[&inputs[0], grad]))].into_iter().collect(),
        WindowOp::Sum => [Some(record(WindowOp::SumGrad, g, &[grad]))].into_iter().collect(),
        WindowOp::SumGrad => [Some(record(WindowOp::Sum, g, &[grad]))].into_iter().collect(),
    })
}
