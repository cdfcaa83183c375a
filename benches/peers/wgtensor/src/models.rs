//! Models whose layers the crate does not have yet, written out in operations.

use std::cell::RefCell;

use wgtensor::nn::optimizers::Adam;
use wgtensor::{Device, Result, Tensor, Var};

use crate::data::random;
use crate::steps::{Step, variables};

/// One step of Adam on the cross-entropy of what `model` makes of its parameters.
fn training(
    device: &Device,
    batch: usize,
    shapes: &[&[usize]],
    model: impl Fn(&[Var]) -> Result<Tensor> + 'static,
) -> Result<Step> {
    let y = random(&[batch, 10], 2, device)?;
    let vars = variables(shapes, device)?;
    let adam = RefCell::new(Adam::default());
    Ok(Box::new(move || {
        let loss = model(&vars)?.log_softmax(-1)?.mul(&y)?.sum(())?.neg()?;
        adam.borrow_mut().apply(&loss.backward()?)?;
        Ok(loss)
    }))
}

/// A recurrent layer (LSTM) as wide as its input, and a dense one of its last output.
pub(crate) fn lstm(device: &Device, [batch, steps, width]: [usize; 3]) -> Result<Step> {
    let x = random(&[batch, steps, width], 1, device)?;
    let shapes: [&[usize]; 5] = [&[width, 4 * width], &[width, 4 * width], &[4 * width], &[width, 10], &[10]];
    let zero = Tensor::zeros([batch, width], x.dtype(), device)?;
    training(device, batch, &shapes, move |vars| {
        let value = |i: usize| vars[i].value();
        // What the input adds to the gates, for every step in one product.
        let of_input = x.transpose([1, 0, 2])?.reshape([steps * batch, width])?.matmul(&value(0))?.add(value(2))?;
        let (u, mut h, mut c) = (value(1), zero.clone(), zero.clone());
        for t in 0..steps {
            let gates = of_input.slice(0, t * batch..(t + 1) * batch)?.add(h.matmul(&u)?)?;
            let gate = |i: usize| gates.slice(1, i * width..(i + 1) * width);
            let (i, f, o) = (gate(0)?.sigmoid()?, gate(1)?.sigmoid()?, gate(3)?.sigmoid()?);
            c = f.mul(&c)?.add(i.mul(gate(2)?.tanh()?)?)?;
            h = o.mul(c.tanh()?)?;
        }
        h.matmul(&value(3))?.add(value(4))
    })
}

/// `softmax(q k^T / sqrt(width)) v`, heads and all on the axes before.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let scale = (q.shape()[3] as f64).sqrt().recip();
    q.matmul(&k.transpose([0, 1, 3, 2])?)?.mul(scale)?.softmax(-1)?.matmul(v)
}

/// A transformer block (eight heads, four times as wide between, normalised before each part), the mean of its tokens, and
/// a dense layer.
pub(crate) fn transformer(device: &Device, [batch, tokens, width]: [usize; 3]) -> Result<Step> {
    const HEADS: usize = 8;
    let x = random(&[batch, tokens, width], 1, device)?;
    let (square, bias): ([usize; 2], [usize; 1]) = ([width, width], [width]);
    let shapes: [&[usize]; 18] = [
        &bias,
        &bias,
        &square,
        &bias,
        &square,
        &bias,
        &square,
        &bias,
        &square,
        &bias, // normalised, then q, k, v and out
        &bias,
        &bias,
        &[width, 4 * width],
        &[4 * width],
        &[4 * width, width],
        &bias, // normalised, then there and back
        &[width, 10],
        &[10],
    ];
    training(device, batch, &shapes, move |vars| {
        let value = |i: usize| vars[i].value();
        let norm = |x: &Tensor, i: usize| x.layer_normalization(Some(&value(i)), Some(&value(i + 1)), -1, 1e-5);
        let dense = |x: &Tensor, i: usize| x.matmul(&value(i))?.add(value(i + 1));
        let normal = norm(&x, 0)?.reshape([batch * tokens, width])?;
        let heads =
            |i: usize| dense(&normal, i)?.reshape([batch, tokens, HEADS, width / HEADS])?.transpose([0, 2, 1, 3]);
        let seen = attention(&heads(2)?, &heads(4)?, &heads(6)?)?;
        let seen = seen.transpose([0, 2, 1, 3])?.reshape([batch * tokens, width])?;
        let x = x.add(dense(&seen, 8)?.reshape([batch, tokens, width])?)?;
        let between = dense(&norm(&x, 10)?.reshape([batch * tokens, width])?, 12)?.relu()?;
        let x = x.add(dense(&between, 14)?.reshape([batch, tokens, width])?)?;
        dense(&x.mean(1)?, 16)
    })
}
