//! Recomputing instead of keeping: the same gradients, in less memory.

use wgtensor::nn::layers::{CallCtx, Layer};
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Error, Result, Tensor, Var, grad, remat};

use super::devices::{for_each_device, for_each_device_alone};

/// How a block is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Kept,
    Again,
    /// A block within a block.
    Nested,
}

fn block(x: &Tensor, w: &Var, dropout: &Dropout, ctx: &CallCtx, how: How) -> Result<Tensor> {
    let half = |x: &Tensor| dropout.call(&x.matmul(&w.value())?.tanh()?, ctx);
    let whole = |x: &Tensor| -> Result<Tensor> {
        let inner = if how == How::Nested { remat(|| half(x))? } else { half(x)? };
        // Several results, a value used twice, a sorted row.
        let (largest, _) = inner.top_k(3, -1)?;
        inner.matmul(&w.value())?.mul(&inner)?.sub(largest.mean_keepdims(-1)?)?.softmax(-1)
    };
    if how == How::Kept { whole(x) } else { remat(|| whole(x)) }
}

/// The loss and the gradients of a few blocks.
fn run(device: &Device, how: How, read_first: bool) -> Result<Vec<Vec<f32>>> {
    let x = Tensor::uniform([6, 8], -1.0, 1.0, 1, device)?.requires_grad();
    let w = Var::new(&Tensor::uniform([8, 8], -1.0, 1.0, 2, device)?);
    let (dropout, ctx) = (Dropout::new(0.3), CallCtx::training(5));
    let mut y = x.mul(1.5)?;
    for _ in 0..3 {
        y = block(&y, &w, &dropout, &ctx, how)?;
    }
    let loss = y.square()?.mul(&x)?.sum(())?;
    drop(y);
    if read_first {
        loss.realize()?;
    }
    let grads = loss.backward()?;
    let tensors = [loss, grads.get(&w).unwrap().clone(), grads.wrt(&x).unwrap().clone()];
    tensors.iter().map(Tensor::to_vec).collect()
}

/// Equal but for rounding: the sums over the uses of a variable are taken in another order.
fn assert_alike(what: &str, got: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    let far = got.iter().zip(expected).filter(|(a, b)| (*a - *b).abs() > 1e-5 * largest).count();
    assert!(got.len() == expected.len() && far == 0, "{what}: {far} of {} numbers differ", expected.len());
}

#[test]
fn gradients_are_the_same() {
    for_each_device(|device| {
        for read_first in [false, true] {
            let kept = run(device, How::Kept, read_first)?;
            for how in [How::Again, How::Nested] {
                for (got, expected) in run(device, how, read_first)?.iter().zip(&kept) {
                    assert_alike(&format!("{how:?}, loss read first: {read_first}"), got, expected);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn gradients_of_gradients_pass_through() {
    for_each_device(|device| {
        let second = |again: bool| -> Result<Vec<f32>> {
            let x = Tensor::new([0.5f32, -1.0, 2.0], device)?.requires_grad();
            let f = || x.square()?.mul(&x)?.sin();
            let y = if again { remat(f)? } else { f()? };
            let first = &grad(&y.sum(())?, &[&x])?[0];
            grad(&first.square()?.sum(())?, &[&x])?[0].to_vec()
        };
        assert_eq!(second(true)?, second(false)?);
        // What depends on nothing tracked, and what is no computation, stays what it is.
        let x = Tensor::new([1.0f32], device)?;
        assert_eq!(remat(|| x.add(1.0))?.to_vec::<f32>()?, [2.0]);
        assert_eq!(remat(|| Ok(x.clone()))?.to_vec::<f32>()?, [1.0]);
        let w = Var::new(&x);
        let same = remat(|| Ok(w.value()))?.mul(3.0)?.sum(())?.backward()?;
        assert_eq!(same.get(&w).unwrap().to_vec::<f32>()?, [3.0]);
        assert!(remat(|| x.reshape([7])).is_err());
        Ok(())
    });
}

/// Bytes that the plan computed with, as it prints them.
fn temporaries(device: &Device) -> u64 {
    let plan = device.last_plan().unwrap();
    let words: Vec<&str> = plan.lines().next().unwrap().split_whitespace().collect();
    let at = words.iter().position(|w| *w == "bytes").unwrap();
    words[at - 1].parse().unwrap()
}

#[test]
fn a_model_of_such_blocks_trains_alike_in_less_memory() {
    for_each_device_alone(|device| {
        let x = Tensor::uniform([256, 32], -1.0, 1.0, 1, device)?;
        let y = x.square()?.sum_keepdims(-1)?;
        let train = |again: bool| -> Result<(Vec<f32>, u64)> {
            wgtensor::set_random_seed(3);
            let mut model = Sequential::new();
            for _ in 0..4 {
                let mut block = Sequential::new();
                for _ in 0..3 {
                    block = block
                        .add(Dense::new(32).activation(Tanh))
                        .add(LayerNormalization::new())
                        .add(Dropout::new(0.1));
                }
                let block = block.shared();
                model = model.add(if again { block.remat() } else { block });
            }
            let mut model = model.add(Dense::new(1));
            model.compile(Adam::new(0.01), "mse", ())?;
            let fit = Fit::new().epochs(4).batch_size(64).shuffle(false).verbose(0).seed(1);
            let history = model.fit(&x, &y, fit)?;
            let losses = history["loss"].iter().map(|loss| *loss as f32).collect();
            // One step by hand, whose plan is the last.
            let batch = (x.slice(0, 0..64)?, y.slice(0, 0..64)?);
            batch.0.realize()?;
            batch.1.realize()?;
            let vars = model.trainable_weights();
            let out = model.call(&batch.0, true)?;
            let grads = out.sub(&batch.1)?.square()?.mean(())?.backward()?;
            for var in &vars {
                var.assign(&var.value().sub(&grads.get(var).unwrap().mul(0.01)?)?)?;
            }
            drop((grads, out));
            device.flush()?;
            Ok::<_, Error>((losses, temporaries(device)))
        };
        let ((kept, more), (again, less)) = (train(false)?, train(true)?);
        let near = kept.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-3 * a);
        assert!(near, "{kept:?} {again:?}");
        assert!(less * 2 < more, "{less} bytes of temporaries, {more} without");
        Ok(())
    });
}
