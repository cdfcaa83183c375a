//! The models that are trained.

use candle_core::{D, DType, Device, IndexOp, Module, Result, Tensor};
use candle_nn::{Optimizer, VarBuilder, VarMap, conv2d, layer_norm, linear, ops, rnn};
use rnn::{LSTMConfig, LSTMState, RNN};

use crate::{Step, adam, random};

/// One step of Adam on the cross-entropy of what the model gives, which `build` makes with its parameters.
fn training<M>(batch: usize, build: impl FnOnce(VarBuilder) -> Result<M>) -> Result<Step>
where
    M: Fn() -> Result<Tensor> + 'static,
{
    let vars = VarMap::new();
    let model = build(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let (y, mut adam) = (random(&[batch, 10])?, adam(vars.all_vars())?);
    Ok(Box::new(move || {
        let loss = ops::log_softmax(&model()?, D::Minus1)?.mul(&y)?.sum_all()?.neg()?;
        adam.backward_step(&loss)?;
        Ok(loss)
    }))
}

pub(crate) fn mlp(batch: usize) -> Result<Step> {
    let x = random(&[batch, 784])?;
    training(batch, |vb| {
        let (one, two) = (linear(784, 512, vb.pp("1"))?, linear(512, 512, vb.pp("2"))?);
        let three = linear(512, 10, vb.pp("3"))?;
        Ok(move || three.forward(&two.forward(&one.forward(&x)?.relu()?)?.relu()?))
    })
}

pub(crate) fn cnn(batch: usize) -> Result<Step> {
    let x = random(&[batch, 1, 28, 28])?;
    training(batch, |vb| {
        let one = conv2d(1, 32, 3, Default::default(), vb.pp("1"))?;
        let two = conv2d(32, 64, 3, Default::default(), vb.pp("2"))?;
        let (three, four) = (linear(1600, 128, vb.pp("3"))?, linear(128, 10, vb.pp("4"))?);
        Ok(move || {
            let h = one.forward(&x)?.relu()?.max_pool2d(2)?;
            // The second image has an odd side; the last row and column are not pooled, nor may they be there.
            let h = two.forward(&h)?.relu()?.i((.., .., ..10, ..10))?.max_pool2d(2)?;
            four.forward(&three.forward(&h.flatten_from(1)?)?.relu()?)
        })
    })
}

pub(crate) fn lstm(batch: usize, steps: usize, width: usize) -> Result<Step> {
    let x = random(&[batch, steps, width])?;
    training(batch, |vb| {
        let cell = rnn::lstm(width, width, LSTMConfig::default(), vb.pp("1"))?;
        let last = linear(width, 10, vb.pp("2"))?;
        Ok(move || {
            let states: Vec<LSTMState> = cell.seq(&x)?;
            last.forward(states[steps - 1].h())
        })
    })
}

/// `softmax(q k^T / sqrt(width)) v`, of operations that have gradients.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let scale = (q.dim(D::Minus1)? as f64).sqrt().recip();
    ops::softmax(&(q.matmul(&k.t()?)? * scale)?, D::Minus1)?.matmul(v)
}

pub(crate) fn transformer(batch: usize, tokens: usize, width: usize) -> Result<Step> {
    const HEADS: usize = 8;
    let x = random(&[batch, tokens, width])?;
    training(batch, |vb| {
        let dense = |name: &str, from: usize, to: usize| linear(from, to, vb.pp(name));
        let norms = [layer_norm(width, 1e-5, vb.pp("n1"))?, layer_norm(width, 1e-5, vb.pp("n2"))?];
        let of_heads = [dense("q", width, width)?, dense("k", width, width)?, dense("v", width, width)?];
        let out = dense("o", width, width)?;
        let (there, back) = (dense("1", width, 4 * width)?, dense("2", 4 * width, width)?);
        let last = dense("3", width, 10)?;
        // candle's layer norm in one kernel has no gradient.
        let norm = move |x: &Tensor, i: usize| {
            let (scale, offset) = (norms[i].weight(), norms[i].bias().expect("it has one"));
            ops::layer_norm_slow(x, scale, offset, 1e-5)
        };
        Ok(move || {
            let normal = norm(&x, 0)?;
            let heads = |i: usize| {
                let y = of_heads[i].forward(&normal)?.reshape((batch, tokens, HEADS, width / HEADS))?;
                y.transpose(1, 2)?.contiguous()
            };
            let seen = attention(&heads(0)?, &heads(1)?, &heads(2)?)?;
            let x = (&x + out.forward(&seen.transpose(1, 2)?.reshape((batch, tokens, width))?)?)?;
            let x = (&x + back.forward(&there.forward(&norm(&x, 1)?)?.relu()?)?)?;
            last.forward(&x.mean(1)?)
        })
    })
}

/// Ten epochs of nine batches; candle has no loop of its own.
pub(crate) fn fit() -> Result<Step> {
    let (x, y) = (random(&[569, 30])?, random(&[569, 1])?.gt(0.0)?.to_dtype(DType::F32)?);
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let (one, two) = (linear(30, 16, vb.pp("1"))?, linear(16, 1, vb.pp("2"))?);
    let mut adam = adam(vars.all_vars())?;
    Ok(Box::new(move || {
        let mut last = None;
        for _ in 0..10 {
            // Another order in every epoch.
            let order = Tensor::rand(0f32, 1.0, 569, &Device::Cpu)?.arg_sort_last_dim(true)?;
            for start in (0..569).step_by(64) {
                let rows = order.narrow(0, start, 64.min(569 - start))?;
                let (x, y) = (x.index_select(&rows, 0)?, y.index_select(&rows, 0)?);
                let p = two.forward(&one.forward(&x)?.relu()?)?;
                let loss = candle_nn::loss::binary_cross_entropy_with_logit(&p, &y)?;
                adam.backward_step(&loss)?;
                last = Some(loss);
            }
        }
        Ok(last.expect("there are batches"))
    }))
}
