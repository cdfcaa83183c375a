//! The same work on every device: products, pointwise chains, reductions, and whole training steps, small sizes included.

mod common;

use common::time;
use wgtensor::{Conv2d, Device, Padding, Pool2d, Result, Tensor, Var};

/// Times the computing of `f`'s tensors, the wait for them included.
fn bench(device: &Device, label: &str, f: impl Fn() -> Result<Tensor>) {
    let label = format!("{} {label}", device.info().id);
    time(&label, 1.0, || {
        f().and_then(|t| t.realize()).and_then(|()| device.sync()).unwrap_or_else(|e| panic!("{label}: {e}"));
    });
}

fn random(shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    let t = Tensor::uniform(shape, -0.5, 0.5, seed, device)?;
    t.realize()?;
    Ok(t)
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

fn variables(shapes: &[&[usize]], device: &Device) -> Result<Vec<Var>> {
    shapes.iter().enumerate().map(|(i, shape)| Var::new(&random(shape, i as u64, device)?)).collect()
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
    let same = Conv2d { padding: Padding::Same, ..Conv2d::default() };
    let half = Pool2d { size: (2, 2), strides: (2, 2), padding: Padding::Valid };
    bench(device, &format!("CNN step on 28x28 images, batch {batch}"), || {
        let one = x.conv2d(&vars[0].value(), &same)?.relu()?.max_pool2d(&half)?;
        let two = one.conv2d(&vars[1].value(), &same)?.relu()?.max_pool2d(&half)?;
        let logits = two.reshape([batch, 7 * 7 * 64])?.matmul(&vars[2].value())?;
        let loss = logits.log_softmax(-1)?.mul(&y)?.sum(())?.neg()?;
        descend(&loss, &vars)?;
        Ok(loss)
    });
    Ok(())
}

fn main() -> Result<()> {
    for info in Device::list() {
        let device = Device::open(&info.id)?;
        println!("{}: {} ({})", info.id, info.name, info.kind);
        for n in [32, 128, 512, 1024] {
            let (a, b) = (random(&[n, n], 1, &device)?, random(&[n, n], 2, &device)?);
            bench(&device, &format!("matmul {n}x{n}x{n}"), || a.matmul(&b));
        }
        for n in [1_000, 1_000_000, 4_000_000] {
            let (a, b) = (random(&[n], 1, &device)?, random(&[n], 2, &device)?);
            bench(&device, &format!("tanh(a*b+a)*0.5 of {n}"), || a.mul(&b)?.add(&a)?.tanh()?.mul(0.5));
            bench(&device, &format!("sum of {n}"), || a.sum(()));
        }
        for (rows, columns) in [(32, 10), (1024, 1024)] {
            let x = random(&[rows, columns], 1, &device)?;
            bench(&device, &format!("softmax {rows}x{columns}"), || x.softmax(-1));
        }
        for (batch, width) in [(32, 64), (64, 784), (512, 1024)] {
            mlp(&device, batch, width)?;
        }
        for batch in [8, 64] {
            cnn(&device, batch)?;
        }
    }
    Ok(())
}
