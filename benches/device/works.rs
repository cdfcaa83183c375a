//! What is measured: each workload with the arithmetic it asks for, or the bytes it cannot do without.
//!
//! A name says all of a workload, its kind and its sizes: `peers_gpu.py` reads it and does the same elsewhere.

use wgtensor::{ConvOptions, DType, Device, Padding, Result, Tensor};

use crate::data::random;
use crate::steps::{HALF, Step, adam_update, captured, cnn_adam, gradient, mlp_adam};

/// What bounds a workload.
#[derive(Clone, Copy)]
pub(crate) enum Amount {
    /// Floating-point operations: a multiplication and an addition are two.
    Flops(f64),
    /// Bytes of the operands, each read once, and of the results, each written once.
    Bytes(f64),
    /// Steps of training.
    Step,
}

/// A workload; its operands are made when its turn comes.
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) amount: Amount,
    pub(crate) make: Box<dyn Fn(&Device) -> Result<Step>>,
}

fn work(name: String, amount: Amount, make: impl Fn(&Device) -> Result<Step> + 'static) -> Work {
    Work { name, amount, make: Box::new(make) }
}

/// A list of sizes: those for real GPUs, or those that a processor is done with in reasonable time.
fn pick<T>(small: bool, large_sizes: T, small_sizes: T) -> T {
    if small { small_sizes } else { large_sizes }
}

/// Every workload, in the order of the report; `small` ones for drivers that compute on the processor.
pub(crate) fn all(small: bool) -> Vec<Work> {
    let mut all = Vec::new();
    products(small, &mut all);
    elements(small, &mut all);
    convolutions(small, &mut all);
    for batch in pick(small, vec![64, 1024], vec![64]) {
        let sizes = [784, 512, 512, 10];
        all.push(work(format!("mlp-adam-step {batch}"), Amount::Step, move |d| {
            mlp_adam(d, batch, &sizes).map(|step| captured(d, step))
        }));
    }
    let batch = pick(small, 64, 8);
    all.push(work(format!("cnn-adam-step {batch}"), Amount::Step, move |d| {
        cnn_adam(d, batch).map(|step| captured(d, step))
    }));
    all
}

/// `NN 64x784x512`: m, k and n, and which operands are stored transposed.
fn product(ways: &'static str, m: usize, k: usize, n: usize, dtype: DType) -> Work {
    let kind = if dtype == DType::F32 { "product".into() } else { format!("product-{dtype}") };
    let flops = Amount::Flops(2.0 * m as f64 * k as f64 * n as f64);
    work(format!("{kind} {ways} {m}x{k}x{n}"), flops, move |device| {
        let operand = |turned: bool, rows: usize, columns: usize, seed: u64| {
            let t = random(&if turned { [columns, rows] } else { [rows, columns] }, seed, device)?.cast(dtype)?;
            t.realize()?;
            if turned { t.t() } else { Ok(t) }
        };
        let (a, b) = (operand(ways.starts_with('T'), m, k, 1)?, operand(ways.ends_with('T'), k, n, 2)?);
        Ok(Box::new(move || a.matmul(&b)))
    })
}

fn products(small: bool, all: &mut Vec<Work>) {
    for n in pick(small, vec![64, 128, 256, 512, 1024, 2048, 4096], vec![64, 256]) {
        all.extend(["NN", "NT", "TN"].map(|ways| product(ways, n, n, n, DType::F32)));
    }
    // A dense layer of 784 to 512 and one of 512 to 10, with the gradients of their weights and inputs.
    for (m, k, n) in [(64, 784, 512), (64, 512, 10)] {
        all.push(product("NN", m, k, n, DType::F32));
        all.push(product("TN", k, m, n, DType::F32));
        all.push(product("NT", m, n, k, DType::F32));
    }
    all.extend(pick(small, vec![1024, 4096], vec![128]).into_iter().map(|n| product("NN", n, n, n, DType::F16)));
}

fn elements(small: bool, all: &mut Vec<Work>) {
    let bytes = |elements: usize| Amount::Bytes(4.0 * elements as f64);
    let n = pick(small, 1 << 26, 1 << 18);
    all.push(work(format!("pointwise-chain {n}"), bytes(3 * n), move |d| {
        let (a, b) = (random(&[n], 1, d)?, random(&[n], 2, d)?);
        Ok(Box::new(move || a.mul(&b)?.add(&a)?.tanh()?.mul(0.5)))
    }));
    all.push(work(format!("sum {n}"), bytes(n), move |d| {
        let x = random(&[n], 1, d)?;
        Ok(Box::new(move || x.sum(())))
    }));
    // Of one matrix: what a row, a column or an element of it becomes.
    let (rows, columns) = pick(small, (16384, 2048), (512, 256));
    let size = rows * columns;
    let of_matrix: [(&str, usize, fn(&Tensor) -> Result<Tensor>); 5] = [
        ("sum-columns", size + columns, |x| x.sum(0)),
        ("sum-rows", size + rows, |x| x.sum(1)),
        ("softmax", 2 * size, |x| x.softmax(-1)),
        ("transpose", 2 * size, |x| x.t()?.mul(2.0)),
        ("add-bias-relu", 2 * size, |x| x.add(x.slice(0, 0..1)?)?.relu()),
    ];
    for (name, elements, f) in of_matrix {
        all.push(work(format!("{name} {rows}x{columns}"), bytes(elements), move |d| {
            let x = random(&[rows, columns], 1, d)?;
            Ok(Box::new(move || f(&x)))
        }));
    }
    all.push(work(format!("layer-norm {rows}x{columns}"), bytes(2 * size + 2 * columns), move |d| {
        let (x, scale, offset) =
            (random(&[rows, columns], 1, d)?, random(&[columns], 2, d)?, random(&[columns], 3, d)?);
        Ok(Box::new(move || x.layer_normalization(Some(&scale), Some(&offset), -1, 1e-5)))
    }));
    let [batch, heads, length, width] = pick(small, [32, 16, 1024, 64], [2, 4, 64, 32]);
    let size = batch * heads * length * width;
    all.push(work(format!("permute-heads {batch}x{length}x{heads}x{width}"), bytes(2 * size), move |d| {
        let x = random(&[batch, length, heads, width], 1, d)?;
        Ok(Box::new(move || x.transpose([0, 2, 1, 3])?.mul(2.0)))
    }));
    // A table, and rows of it by index.
    let (rows, columns, taken) = pick(small, (200_000, 128, 131_072), (1000, 32, 512));
    let index = move |d: &Device| {
        let index = Tensor::uniform([taken], 0.0, rows as f64, 3, d)?.cast(DType::I32)?;
        index.realize()?;
        Ok::<_, wgtensor::Error>(index)
    };
    let sizes = format!("{rows}x{columns}x{taken}");
    all.push(work(format!("gather {sizes}"), bytes(2 * taken * columns + taken), move |d| {
        let (table, index) = (random(&[rows, columns], 1, d)?, index(d)?);
        Ok(Box::new(move || table.take(&index, 0)))
    }));
    let moved = 2 * rows * columns + taken * columns + taken;
    all.push(work(format!("scatter-add {sizes}"), bytes(moved), move |d| {
        let (table, index, rows) = (random(&[rows, columns], 1, d)?, index(d)?, random(&[taken, columns], 2, d)?);
        Ok(Box::new(move || table.index_add(0, &index, &rows)))
    }));
    // Reads the gradient, the variable and two moments, and writes all but the gradient.
    let n = pick(small, 4096, 256);
    all.push(work(format!("adam {n}x{n}"), bytes(7 * n * n), move |d| adam_update(d, &[n, n])));
    let [batch, heads, length, width] = pick(small, [8, 16, 1024, 64], [2, 2, 64, 32]);
    let flops = Amount::Flops(4.0 * (batch * heads * length * width) as f64 * length as f64);
    all.push(work(format!("attention {batch}x{heads}x{length}x{width}"), flops, move |d| {
        let [q, k, v] = [1, 2, 3].map(|seed| random(&[batch, heads, length, width], seed, d));
        let (q, k, v) = (q?, k?.transpose([0, 1, 3, 2])?, v?);
        let scale = (width as f64).sqrt().recip();
        Ok(Box::new(move || q.matmul(&k)?.mul(scale)?.softmax(-1)?.matmul(&v)))
    }));
}

/// Convolutions by 3x3 kernels that keep the image's size, and pooling; each with its gradients.
fn convolutions(small: bool, all: &mut Vec<Work>) {
    let same = ConvOptions { padding: Padding::Same, ..ConvOptions::default() };
    let large = vec![[64, 28, 32, 64], [64, 56, 64, 64], [64, 14, 256, 256]];
    for [batch, side, channels, filters] in pick(small, large, vec![[2, 14, 8, 16]]) {
        let sizes = format!("{batch}x{side}x{side}x{channels}x{filters}");
        let flops = Amount::Flops(2.0 * 9.0 * (batch * side * side) as f64 * (channels * filters) as f64);
        let operands = move |d: &Device| {
            let (x, kernel) =
                (random(&[batch, side, side, channels], 1, d)?, random(&[3, 3, channels, filters], 2, d)?);
            Ok::<_, wgtensor::Error>((x, kernel, random(&[batch, side, side, filters], 3, d)?))
        };
        all.push(work(format!("convolution {sizes}"), flops, move |d| {
            let (x, kernel, _) = operands(d)?;
            Ok(Box::new(move || x.conv2d(&kernel, &same)))
        }));
        all.push(work(format!("convolution-input-gradient {sizes}"), flops, move |d| {
            let (x, kernel, dy) = operands(d)?;
            gradient(x, move |x| x.conv2d(&kernel, &same)?.mul(&dy)?.sum(()))
        }));
        all.push(work(format!("convolution-kernel-gradient {sizes}"), flops, move |d| {
            let (x, kernel, dy) = operands(d)?;
            gradient(kernel, move |kernel| x.conv2d(kernel, &same)?.mul(&dy)?.sum(()))
        }));
    }
    let [batch, side, channels] = pick(small, [64, 112, 64], [2, 14, 8]);
    let (size, sizes) = (batch * side * side * channels, format!("{batch}x{side}x{side}x{channels}"));
    let bytes = |elements: usize| Amount::Bytes(4.0 * elements as f64);
    all.push(work(format!("max-pool {sizes}"), bytes(size + size / 4), move |d| {
        let x = random(&[batch, side, side, channels], 1, d)?;
        Ok(Box::new(move || x.max_pool2d(&HALF)))
    }));
    all.push(work(format!("max-pool-gradient {sizes}"), bytes(2 * size + size / 4), move |d| {
        let dy = random(&[batch, side / 2, side / 2, channels], 2, d)?;
        gradient(random(&[batch, side, side, channels], 1, d)?, move |x| x.max_pool2d(&HALF)?.mul(&dy)?.sum(()))
    }));
}
