//! What is measured, and at which sizes.

use wgtensor::{DType, Device, Tensor};

use crate::data::random;
use crate::steps::{HALF, adam_update, gradient};
use crate::workloads::*;

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
    all.extend(pick(small, vec![64, 1024], vec![64]).into_iter().map(mlp_step));
    all.push(cnn_step(pick(small, 64, 8)));
    all
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
    // Large enough for tiles: those are what cooperative matrices compute.
    for n in pick(small, vec![1024, 4096], vec![512]) {
        all.extend(["NN", "NT", "TN"].map(|ways| product(ways, n, n, n, DType::F16)));
    }
}

fn elements(small: bool, all: &mut Vec<Work>) {
    let n = pick(small, 1 << 26, 1 << 18);
    all.extend([pointwise_chain(n), sum(n)]);
    let sizes @ [rows, columns] = pick(small, [16384, 2048], [512, 256]);
    let size = rows * columns;
    all.extend([
        of_matrix("sum-columns", sizes, size + columns, |x| x.sum(0)),
        of_matrix("sum-rows", sizes, size + rows, |x| x.sum(1)),
        softmax(rows, columns),
        of_matrix("transpose", sizes, 2 * size, |x| x.t()?.mul(2.0)),
        of_matrix("add-bias-relu", sizes, 2 * size, |x| x.add(x.slice(0, 0..1)?)?.relu()),
    ]);
    all.push(Work::new(format!("layer-norm {rows}x{columns}"), bytes(2 * size + 2 * columns), move |d| {
        let (x, scale, offset) =
            (random(&[rows, columns], 1, d)?, random(&[columns], 2, d)?, random(&[columns], 3, d)?);
        Ok(Box::new(move || x.layer_normalization(Some(&scale), Some(&offset), -1, 1e-5)))
    }));
    let [batch, heads, length, width] = pick(small, [32, 16, 1024, 64], [2, 4, 64, 32]);
    let size = batch * heads * length * width;
    all.push(Work::new(format!("permute-heads {batch}x{length}x{heads}x{width}"), bytes(2 * size), move |d| {
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
    all.push(Work::new(format!("gather {sizes}"), bytes(2 * taken * columns + taken), move |d| {
        let (table, index) = (random(&[rows, columns], 1, d)?, index(d)?);
        Ok(Box::new(move || table.take(&index, 0)))
    }));
    let moved = 2 * rows * columns + taken * columns + taken;
    all.push(Work::new(format!("scatter-add {sizes}"), bytes(moved), move |d| {
        let (table, index, rows) = (random(&[rows, columns], 1, d)?, index(d)?, random(&[taken, columns], 2, d)?);
        Ok(Box::new(move || table.index_add(0, &index, &rows)))
    }));
    // Reads the gradient, the variable and two moments, and writes all but the gradient.
    let n = pick(small, 4096, 256);
    all.push(Work::new(format!("adam {n}x{n}"), bytes(7 * n * n), move |d| adam_update(d, &[n, n])));
    let [batch, heads, length, width] = pick(small, [8, 16, 1024, 64], [2, 2, 64, 32]);
    let flops = Amount::Flops(4.0 * (batch * heads * length * width) as f64 * length as f64);
    all.push(Work::new(format!("attention {batch}x{heads}x{length}x{width}"), flops, move |d| {
        let [q, k, v] = [1, 2, 3].map(|seed| random(&[batch, heads, length, width], seed, d));
        let (q, k, v) = (q?, k?.transpose([0, 1, 3, 2])?, v?);
        let scale = (width as f64).sqrt().recip();
        Ok(Box::new(move || q.matmul(&k)?.mul(scale)?.softmax(-1)?.matmul(&v)))
    }));
}

/// Convolutions by 3x3 kernels that keep the image's size, and pooling; each with its gradients.
fn convolutions(small: bool, all: &mut Vec<Work>) {
    let large = vec![[64, 28, 32, 64], [64, 56, 64, 64], [64, 14, 256, 256]];
    for size @ [batch, side, channels, filters] in pick(small, large, vec![[2, 14, 8, 16]]) {
        all.push(convolution(size));
        let (sizes, flops) = (format!("{batch}x{side}x{side}x{channels}x{filters}"), convolution_flops(size));
        let operands = move |d: &Device| {
            let (x, kernel) =
                (random(&[batch, side, side, channels], 1, d)?, random(&[3, 3, channels, filters], 2, d)?);
            Ok::<_, wgtensor::Error>((x, kernel, random(&[batch, side, side, filters], 3, d)?))
        };
        all.push(Work::new(format!("convolution-input-gradient {sizes}"), flops, move |d| {
            let (x, kernel, dy) = operands(d)?;
            gradient(x, dy, move |x| x.conv2d(&kernel, &SAME))
        }));
        all.push(Work::new(format!("convolution-kernel-gradient {sizes}"), flops, move |d| {
            let (x, kernel, dy) = operands(d)?;
            gradient(kernel, dy, move |kernel| x.conv2d(kernel, &SAME))
        }));
    }
    let [batch, side, channels] = pick(small, [64, 112, 64], [2, 14, 8]);
    let (size, sizes) = (batch * side * side * channels, format!("{batch}x{side}x{side}x{channels}"));
    all.push(Work::new(format!("max-pool {sizes}"), bytes(size + size / 4), move |d| {
        let x = random(&[batch, side, side, channels], 1, d)?;
        Ok(Box::new(move || x.max_pool2d(&HALF)))
    }));
    all.push(Work::new(format!("max-pool-gradient {sizes}"), bytes(2 * size + size / 4), move |d| {
        let dy = random(&[batch, side / 2, side / 2, channels], 2, d)?;
        gradient(random(&[batch, side, side, channels], 1, d)?, dy, move |x| x.max_pool2d(&HALF))
    }));
}
