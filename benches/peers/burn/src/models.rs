//! The models that are trained.

use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Distribution, Int, Tensor};

use crate::{RATE, Step, adam, random};

/// One step of Adam on the cross-entropy of what `forward` makes of the model.
fn training<M: Module + 'static>(
    batch: usize,
    device: &Device,
    model: M,
    forward: impl Fn(&M) -> Tensor<2> + 'static,
) -> Step {
    let (y, mut optimizer, mut model) = (random([batch, 10], device), adam(), Some(model));
    Box::new(move || {
        let before = model.take().expect("one step at a time");
        let loss = -(log_softmax(forward(&before), 1) * y.clone()).sum();
        let grads = GradientsParams::from_grads(loss.backward(), &before);
        model = Some(optimizer.step(RATE, before, grads));
        Box::new(loss)
    })
}

fn dense(from: usize, to: usize, device: &Device) -> Linear {
    LinearConfig::new(from, to).init(device)
}

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

pub(crate) fn mlp(batch: usize, device: &Device) -> Step {
    let x = random([batch, 784], device);
    let model = Mlp { layers: vec![dense(784, 512, device), dense(512, 512, device), dense(512, 10, device)] };
    training(batch, device, model, move |m: &Mlp| {
        let h = relu(m.layers[0].forward(x.clone()));
        m.layers[2].forward(relu(m.layers[1].forward(h)))
    })
}

#[derive(Module, Debug)]
struct Cnn {
    convolutions: Vec<Conv2d>,
    layers: Vec<Linear>,
}

pub(crate) fn cnn(batch: usize, device: &Device) -> Step {
    let x = random([batch, 1, 28, 28], device);
    let convolution = |from: usize, to: usize| Conv2dConfig::new([from, to], [3, 3]).init(device);
    let model = Cnn {
        convolutions: vec![convolution(1, 32), convolution(32, 64)],
        layers: vec![dense(1600, 128, device), dense(128, 10, device)],
    };
    training(batch, device, model, move |m: &Cnn| {
        let half = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        let h = half.forward(relu(m.convolutions[0].forward(x.clone())));
        let h = half.forward(relu(m.convolutions[1].forward(h)));
        m.layers[1].forward(relu(m.layers[0].forward(h.reshape([batch, 1600]))))
    })
}

#[derive(Module, Debug)]
struct Recurrent {
    cell: Lstm,
    last: Linear,
}

pub(crate) fn lstm([batch, steps, width]: [usize; 3], device: &Device) -> Step {
    let x = random([batch, steps, width], device);
    let model = Recurrent { cell: LstmConfig::new(width, width, true).init(device), last: dense(width, 10, device) };
    training(batch, device, model, move |m: &Recurrent| {
        let (_, state) = m.cell.forward(x.clone(), None);
        m.last.forward(state.hidden)
    })
}

#[derive(Module, Debug)]
struct Block {
    norms: Vec<LayerNorm>,
    attention: MultiHeadAttention,
    between: Vec<Linear>,
    last: Linear,
}

pub(crate) fn transformer([batch, tokens, width]: [usize; 3], device: &Device) -> Step {
    let x = random([batch, tokens, width], device);
    let norm = || LayerNormConfig::new(width).init(device);
    let model = Block {
        norms: vec![norm(), norm()],
        attention: MultiHeadAttentionConfig::new(width, 8).with_dropout(0.0).init(device),
        between: vec![dense(width, 4 * width, device), dense(4 * width, width, device)],
        last: dense(width, 10, device),
    };
    training(batch, device, model, move |m: &Block| {
        let seen = m.attention.forward(MhaInput::self_attn(m.norms[0].forward(x.clone()))).context;
        let x = x.clone() + seen;
        let h = relu(m.between[0].forward(m.norms[1].forward(x.clone())));
        let x = x + m.between[1].forward(h);
        m.last.forward(x.mean_dim(1).reshape([batch, width]))
    })
}

/// Ten epochs of nine batches, in a loop written out.
pub(crate) fn fit(device: &Device) -> Step {
    let (x, y) = (random([569, 30], device), random([569, 1], device).greater_elem(0.0).float());
    let (mut optimizer, device) = (adam(), device.clone());
    let mut model = Some(Mlp { layers: vec![dense(30, 16, &device), dense(16, 1, &device)] });
    Box::new(move || {
        for _ in 0..10 {
            // Another order in every epoch.
            let order: Tensor<1, Int> = Tensor::<1>::random([569], Distribution::Uniform(0.0, 1.0), &device).argsort(0);
            for start in (0..569).step_by(64) {
                let rows = order.clone().narrow(0, start, 64.min(569 - start));
                let (x, y) = (x.clone().select(0, rows.clone()), y.clone().select(0, rows));
                let before = model.take().expect("one step at a time");
                let z = before.layers[1].forward(relu(before.layers[0].forward(x)));
                // Binary cross-entropy of logits.
                let loss = (relu(z.clone()) - z.clone() * y + (-z.abs()).exp().log1p()).mean();
                let grads = GradientsParams::from_grads(loss.backward(), &before);
                model = Some(optimizer.step(RATE, before, grads));
            }
        }
        Box::new(())
    })
}
