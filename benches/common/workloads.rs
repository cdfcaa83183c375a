//! Workloads that several programs measure, each with the arithmetic it asks for, or the bytes it cannot do without.
//!
//! A name says all of a workload, its kind and its sizes: `peers_gpu.py` reads it and does the same elsewhere.

use wgtensor::{ConvOptions, DType, Device, Padding, Result, Tensor};

use super::data::random;
use super::steps::{Step, captured, cnn_adam, mlp_adam};

/// What bounds a workload.
#[derive(Clone, Copy)]
pub(crate) enum Amount {
    /// Floating-point operations: a multiplication and an addition are two.
    Flops(f64),
    /// Bytes of the operands, each read once, and of the results, each written once.
    Bytes(f64),
    /// A step of training, with the floating-point operations of its products and convolutions.
    Step(f64),
}

/// A workload; its operands are made when its turn comes.
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) amount: Amount,
    pub(crate) make: Box<dyn Fn(&Device) -> Result<Step>>,
}

impl Work {
    pub(crate) fn new(name: String, amount: Amount, make: impl Fn(&Device) -> Result<Step> + 'static) -> Work {
        Work { name, amount, make: Box::new(make) }
    }
}

/// Bytes of so many 32-bit numbers.
pub(crate) fn bytes(elements: usize) -> Amount {
    Amount::Bytes(4.0 * elements as f64)
}

/// `NN 64x784x512`: m, k and n, and which operands are stored transposed.
pub(crate) fn product(ways: &'static str, m: usize, k: usize, n: usize, dtype: DType) -> Work {
    let kind = if dtype == DType::F32 { "product".into() } else { format!("product-{dtype}") };
    let flops = Amount::Flops(2.0 * m as f64 * k as f64 * n as f64);
    Work::new(format!("{kind} {ways} {m}x{k}x{n}"), flops, move |device| {
        let operand = |turned: bool, rows: usize, columns: usize, seed: u64| {
            let t = random(&if turned { [columns, rows] } else { [rows, columns] }, seed, device)?.cast(dtype)?;
            t.realize()?;
            if turned { t.t() } else { Ok(t) }
        };
        let (a, b) = (operand(ways.starts_with('T'), m, k, 1)?, operand(ways.ends_with('T'), k, n, 2)?);
        Ok(Box::new(move || a.matmul(&b)))
    })
}

/// `tanh(a * b + a) * 0.5`, which becomes one kernel.
pub(crate) fn pointwise_chain(n: usize) -> Work {
    Work::new(format!("pointwise-chain {n}"), bytes(3 * n), move |d| {
        let (a, b) = (random(&[n], 1, d)?, random(&[n], 2, d)?);
        Ok(Box::new(move || a.mul(&b)?.add(&a)?.tanh()?.mul(0.5)))
    })
}

/// The sum of all elements.
pub(crate) fn sum(n: usize) -> Work {
    Work::new(format!("sum {n}"), bytes(n), move |d| {
        let x = random(&[n], 1, d)?;
        Ok(Box::new(move || x.sum(())))
    })
}

/// Of one matrix: what a row, a column or an element of it becomes; so many elements are read and written.
pub(crate) fn of_matrix(
    name: &str,
    [rows, columns]: [usize; 2],
    elements: usize,
    f: impl Fn(&Tensor) -> Result<Tensor> + Copy + 'static,
) -> Work {
    Work::new(format!("{name} {rows}x{columns}"), bytes(elements), move |d| {
        let x = random(&[rows, columns], 1, d)?;
        Ok(Box::new(move || f(&x)))
    })
}

/// The softmax of each row.
pub(crate) fn softmax(rows: usize, columns: usize) -> Work {
    of_matrix("softmax", [rows, columns], 2 * rows * columns, |x| x.softmax(-1))
}

/// Keeps the image's size.
pub(crate) const SAME: ConvOptions =
    ConvOptions { padding: Padding::Same, strides: (1, 1), dilation: (1, 1), groups: 1 };

/// The multiplications and additions of a convolution by 3x3 kernels that keeps the image's size.
pub(crate) fn convolution_flops([batch, side, channels, filters]: [usize; 4]) -> Amount {
    Amount::Flops(2.0 * 9.0 * (batch * side * side) as f64 * (channels * filters) as f64)
}

/// A convolution by 3x3 kernels that keeps the image's size.
pub(crate) fn convolution([batch, side, channels, filters]: [usize; 4]) -> Work {
    let name = format!("convolution {batch}x{side}x{side}x{channels}x{filters}");
    Work::new(name, convolution_flops([batch, side, channels, filters]), move |d| {
        let (x, kernel) = (random(&[batch, side, side, channels], 1, d)?, random(&[3, 3, channels, filters], 2, d)?);
        Ok(Box::new(move || x.conv2d(&kernel, &SAME)))
    })
}

/// A captured step of [`mlp_adam`] from 784 inputs through 512 and 512 units to 10.
pub(crate) fn mlp_step(batch: usize) -> Work {
    const SIZES: [usize; 4] = [784, 512, 512, 10];
    // Forwards, for the weights and for the inputs, but for the first ones.
    let weights: usize = SIZES.windows(2).map(|s| s[0] * s[1]).sum();
    let flops = 2 * batch * (3 * weights - SIZES[0] * SIZES[1]);
    Work::new(format!("mlp-adam-step {batch}"), Amount::Step(flops as f64), move |d| {
        mlp_adam(d, batch, &SIZES).map(|step| captured(d, step))
    })
}

/// A captured step of [`cnn_adam`].
pub(crate) fn cnn_step(batch: usize) -> Work {
    // The places of each convolution by its kernel, then the dense layers; three times as for the dense network.
    let first = 26 * 26 * 9 * 32;
    let others = 11 * 11 * 9 * 32 * 64 + 5 * 5 * 64 * 128 + 128 * 10;
    let flops = 2 * batch * (2 * first + 3 * others);
    Work::new(format!("cnn-adam-step {batch}"), Amount::Step(flops as f64), move |d| {
        cnn_adam(d, batch).map(|step| captured(d, step))
    })
}
