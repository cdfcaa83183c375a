//! The same work on every device: products, pointwise chains, reductions, the parts of a convolutional network, and whole
//! training steps, small sizes included.

mod common;
#[path = "common/data.rs"]
mod data;
#[path = "common/steps.rs"]
mod steps;

use common::time;
use data::random;
use steps::{HALF, adam_update, captured, cnn_adam, gradient, mlp_adam, variables};
use wgtensor::{ConvOptions, DType, Device, Padding, Result, Tensor, Var};

/// Times the computing of `f`'s tensors, the wait for them included.
fn bench(device: &Device, label: &str, f: impl Fn() -> Result<Tensor>) {
    let label = format!("{} {label}", device.info().id);
    time(&label, 1.0, || {
        f().and_then(|t| t.realize()).and_then(|()| device.sync()).unwrap_or_else(|e| panic!("{label}: {e}"));
    });
}

/// A step of plain gradient descent; the new values are computed, the loss is not read.
fn descend(loss: &Tensor, vars: &[Var]) -> Result<()> {
    let grads = loss.backward()?;
    for v in vars {
        if let Some(grad) = grads.get(v) {
            v.assign(&v.value().sub(&grad.mul(0.01)?)?)?;
        }
    }
    vars.first().map_or(Ok(()), |v| v.device().flush())
}

fn mlp(device: &Device, batch: usize, width: usize) -> Result<()> {
    let (x, y) = (random(&[batch, width], 1, device)?, random(&[batch, 10], 2, device)?);
    let vars = variables(&[&[width, width], &[width], &[width, 10], &[10]], device)?;
    bench(device, &format!("MLP step, batch {batch}, width {width}"), || {
        let hidden = x.matmul(&vars[0].value())?.add(vars[1].value())?.relu()?;
        let loss = hidden.matmul(&vars[2].value())?.add(vars[3].value())?.sub(&y)?.square()?.mean(())?;
        descend(&loss, &vars)?;
        Ok(loss)
    });
    Ok(())
}

fn cnn(device: &Device, batch: usize) -> Result<()> {
    let (x, y) = (random(&[batch, 28, 28, 1], 1, device)?, random(&[batch, 10], 2, device)?);
    let vars = variables(&[&[3, 3, 1, 32], &[3, 3, 32, 64], &[7 * 7 * 64, 10]], device)?;
    let same = ConvOptions { padding: Padding::Same, ..ConvOptions::default() };
    bench(device, &format!("CNN step on 28x28 images, batch {batch}"), || {
        let one = x.conv2d(&vars[0].value(), &same)?.relu()?.max_pool2d(&HALF)?;
        let two = one.conv2d(&vars[1].value(), &same)?.relu()?.max_pool2d(&HALF)?;
        let logits = two.reshape([batch, 7 * 7 * 64])?.matmul(&vars[2].value())?;
        let loss = logits.log_softmax(-1)?.mul(&y)?.sum(())?.neg()?;
        descend(&loss, &vars)?;
        Ok(loss)
    });
    Ok(())
}

/// Products and their pieces.
fn products(device: &Device) -> Result<()> {
    for n in [4, 32, 64, 128, 256, 512, 1024] {
        let (a, b) = (random(&[n, n], 1, device)?, random(&[n, n], 2, device)?);
        bench(device, &format!("matmul {n}x{n}x{n}"), || a.matmul(&b));
    }
    for (m, k, n) in [(64, 512, 784), (1024, 512, 784)] {
        let (a, b) = (random(&[m, k], 1, device)?, random(&[n, k], 2, device)?);
        bench(device, &format!("matmul {m}x{k} by transposed {n}x{k}"), || a.matmul(&b.t()?));
        let (a, b) = (random(&[m, k], 1, device)?, random(&[m, n], 2, device)?);
        bench(device, &format!("matmul transposed {m}x{k} by {m}x{n}"), || a.t()?.matmul(&b));
    }
    for n in [512, 2048] {
        let (a, b) = (random(&[n, n], 1, device)?, random(&[n, 1], 2, device)?);
        bench(device, &format!("matrix {n}x{n} by vector"), || a.matmul(&b));
        bench(device, &format!("vector by matrix {n}x{n}"), || b.t()?.matmul(&a));
    }
    let a = random(&[4, 4], 1, device)?;
    bench(device, "32 products 4x4 in a chain", || (0..32).try_fold(a.clone(), |x, _| x.matmul(&a)));
    Ok(())
}

/// Elementwise chains, reductions, moves.
fn elements(device: &Device) -> Result<()> {
    for n in [1 << 10, 1 << 20, 1 << 24] {
        let (a, b) = (random(&[n], 1, device)?, random(&[n], 2, device)?);
        bench(device, &format!("tanh(a*b+a)*0.5 of {n}"), || a.mul(&b)?.add(&a)?.tanh()?.mul(0.5));
        bench(device, &format!("sum of {n}"), || a.sum(()));
    }
    for (rows, columns) in [(32, 10), (1024, 1024)] {
        let x = random(&[rows, columns], 1, device)?;
        bench(device, &format!("softmax {rows}x{columns}"), || x.softmax(-1));
        bench(device, &format!("sum of columns {rows}x{columns}"), || x.sum(0));
        bench(device, &format!("sum of rows {rows}x{columns}"), || x.sum(1));
    }
    let x = random(&[2048, 2048], 1, device)?;
    bench(device, "transpose 2048x2048, then times 2", || x.t()?.mul(2.0));
    let x = random(&[16, 128, 8, 32], 1, device)?;
    bench(device, "permute 16x128x8x32 to heads", || x.transpose([0, 2, 1, 3])?.mul(2.0));
    bench(device, "permute 16x128x8x32, last axis first", || x.transpose([3, 0, 1, 2])?.mul(2.0));
    for last in [8, 32, 64, 1000] {
        let (x, b) = (random(&[(1 << 20) / last, last], 1, device)?, random(&[last], 2, device)?);
        bench(device, &format!("add a bias of {last} and relu, 2^20"), || x.add(&b)?.relu());
    }
    let x = random(&[64], 1, device)?;
    bench(device, "32 times expand(sum(x))*c + x of 64", || {
        (0..32).try_fold(x.clone(), |x, _| x.sum(())?.broadcast_to([64])?.mul(0.01)?.add(&x))
    });
    Ok(())
}

/// Rows by index, and Adam's update alone.
fn indices(device: &Device) -> Result<()> {
    let table = random(&[10_000, 128], 1, device)?;
    let index = Tensor::uniform([4096], 0.0, 10_000.0, 3, device)?.cast(DType::I32)?;
    index.realize()?;
    let rows = random(&[4096, 128], 2, device)?;
    bench(device, "take 4096 rows of 128", || table.take(&index, 0));
    bench(device, "index_add 4096 rows of 128 to 10000", || table.index_add(0, &index, &rows));
    bench(device, "Adam update of 784x512", adam_update(device, &[784, 512])?);
    Ok(())
}

/// The parts of convolutional networks, each on its own.
fn convolutions(device: &Device) -> Result<()> {
    let valid = ConvOptions::default();
    for (batch, side, c, f) in [(64, 28, 1, 32), (64, 13, 32, 64), (64, 13, 64, 32), (8, 56, 64, 64)] {
        let (x, kernel) = (random(&[batch, side, side, c], 1, device)?, random(&[3, 3, c, f], 2, device)?);
        let dy = random(&[batch, side - 2, side - 2, f], 3, device)?;
        let label = format!("conv 3x3 {batch}x{side}x{side}x{c} to {f}");
        bench(device, &label, || x.conv2d(&kernel, &valid));
        let (k, d) = (kernel.clone(), dy.clone());
        let of_input = gradient(x.clone(), d, move |x| x.conv2d(&k, &valid))?;
        bench(device, &format!("{label}, input gradient"), of_input);
        let of_kernel = gradient(kernel, dy, move |kernel| x.conv2d(kernel, &valid))?;
        bench(device, &format!("{label}, kernel gradient"), of_kernel);
    }
    let (x, dy) = (random(&[64, 26, 26, 32], 1, device)?, random(&[64, 13, 13, 32], 2, device)?);
    bench(device, "max-pool 2x2 of 64x26x26x32", || x.max_pool2d(&HALF));
    let of_input = gradient(x, dy, move |x| x.max_pool2d(&HALF))?;
    bench(device, "max-pool 2x2 of 64x26x26x32, gradient", of_input);
    Ok(())
}

fn main() -> Result<()> {
    for info in Device::list() {
        let device = Device::open(&info.id)?;
        println!("{}: {} ({})", info.id, info.name, info.kind);
        products(&device)?;
        elements(&device)?;
        indices(&device)?;
        convolutions(&device)?;
        for (batch, width) in [(32, 64), (64, 784), (512, 1024)] {
            mlp(&device, batch, width)?;
        }
        for batch in [8, 64] {
            cnn(&device, batch)?;
        }
        for batch in [64, 1024] {
            let sizes = [784, 512, 512, 10];
            bench(
                &device,
                &format!("MLP Adam step {sizes:?}, batch {batch}"),
                captured(&device, mlp_adam(&device, batch, &sizes)?),
            );
        }
        let label = "CNN Adam step (32, 64 filters, dense 128), batch 64";
        bench(&device, label, captured(&device, cnn_adam(&device, 64)?));
    }
    Ok(())
}
