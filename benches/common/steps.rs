//! Training steps and gradients, whose programs several benches run.

use std::cell::RefCell;

use wgtensor::nn::optimizers::Adam;
use wgtensor::{ConvOptions, Device, Padding, PoolOptions, Result, Tensor, Var, vjp};

use super::data::random;

/// Something to be timed: records what is to be computed and gives its result.
pub(crate) type Step = Box<dyn Fn() -> Result<Tensor>>;

/// Windows of two by two, side by side.
pub(crate) const HALF: PoolOptions = PoolOptions { size: (2, 2), strides: (2, 2), padding: Padding::Valid };

pub(crate) fn variables(shapes: &[&[usize]], device: &Device) -> Result<Vec<Var>> {
    shapes.iter().enumerate().map(|(i, shape)| random(shape, i as u64, device).map(|t| Var::new(&t))).collect()
}

/// The step, recorded once and then replayed.
pub(crate) fn captured(device: &Device, step: Step) -> Step {
    let step = RefCell::new(device.capture(move |[]| Ok([step()?])));
    Box::new(move || step.borrow_mut().call([]).map(|[result]| result))
}

/// A step of Adam on a stack of dense layers with biases, cross-entropy at the end; gives the loss.
pub(crate) fn mlp_adam(device: &Device, batch: usize, sizes: &[usize]) -> Result<Step> {
    let (x, y) = (random(&[batch, sizes[0]], 1, device)?, random(&[batch, sizes[sizes.len() - 1]], 2, device)?);
    let shapes: Vec<Vec<usize>> = sizes.windows(2).flat_map(|s| [s.to_vec(), vec![s[1]]]).collect();
    let vars = variables(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>(), device)?;
    let (adam, layers) = (RefCell::new(Adam::default()), sizes.len() - 1);
    Ok(Box::new(move || {
        let mut h = x.clone();
        for (i, pair) in vars.chunks(2).enumerate() {
            h = h.matmul(&pair[0].value())?.add(pair[1].value())?;
            h = if i + 1 < layers { h.relu()? } else { h };
        }
        let loss = h.log_softmax(-1)?.mul(&y)?.sum(())?.neg()?;
        adam.borrow_mut().apply(&loss.backward()?)?;
        Ok(loss)
    }))
}

/// A step of Adam on two convolutions of 28x28 images, each pooled, and two dense layers; gives the loss.
pub(crate) fn cnn_adam(device: &Device, batch: usize) -> Result<Step> {
    let (x, y) = (random(&[batch, 28, 28, 1], 1, device)?, random(&[batch, 10], 2, device)?);
    let kernels: [&[usize]; 8] =
        [&[3, 3, 1, 32], &[32], &[3, 3, 32, 64], &[64], &[5 * 5 * 64, 128], &[128], &[128, 10], &[10]];
    let vars = variables(&kernels, device)?;
    let adam = RefCell::new(Adam::default());
    Ok(Box::new(move || {
        let value = |i: usize| vars[i].value();
        let one = x.conv2d(&value(0), &ConvOptions::default())?.add(value(1))?.relu()?.max_pool2d(&HALF)?;
        let two = one.conv2d(&value(2), &ConvOptions::default())?.add(value(3))?.relu()?.max_pool2d(&HALF)?;
        let hidden = two.reshape([batch, 5 * 5 * 64])?.matmul(&value(4))?.add(value(5))?.relu()?;
        let logits = hidden.matmul(&value(6))?.add(value(7))?;
        let loss = logits.log_softmax(-1)?.mul(&y)?.sum(())?.neg()?;
        adam.borrow_mut().apply(&loss.backward()?)?;
        Ok(loss)
    }))
}

/// An update of Adam on a matrix, the gradient at hand; gives a part of the new values.
pub(crate) fn adam_update(device: &Device, shape: &[usize]) -> Result<Step> {
    let vars = variables(&[shape], device)?;
    let gradient = random(shape, 4, device)?;
    let adam = RefCell::new(Adam::default());
    Ok(Box::new(move || {
        // Nobody asks for the loss, so it is not computed.
        let grads = vars[0].value().mul(&gradient)?.sum(())?.backward()?;
        adam.borrow_mut().apply(&grads)?;
        vars[0].value().slice(0, 0..1)
    }))
}

/// The gradient for `of`, given `dy` for what `f` makes of it, and nothing else.
pub(crate) fn gradient(of: Tensor, dy: Tensor, f: impl Fn(&Tensor) -> Result<Tensor> + 'static) -> Result<Step> {
    let of = of.requires_grad();
    Ok(Box::new(move || Ok(vjp(&f(&of)?, &dy, [&of])?.remove(0))))
}
