//! wgtensor's own side: `WGTENSOR_DEVICE` says on which device.

#[path = "../../../common/data.rs"]
mod data;
mod models;
#[path = "../../serve.rs"]
mod serve;
#[path = "../../../common/steps.rs"]
mod steps;

use std::cell::RefCell;

use data::random;
use serve::{Error, Run, Work};
use steps::{Step, adam_update, captured, cnn_adam, gradient, mlp_adam, variables};
use wgtensor::nn::optimizers::Adam;
use wgtensor::nn::prelude::{Dense, Fit, Input, Sequential};
use wgtensor::{ConvOptions, DType, Device, Padding, Result, Tensor};

/// The chain of eight pointwise operations.
fn pointwise(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.mul(b)?.add(a)?.tanh()?.mul(0.5)?.sub(b)?.square()?.add(1.0)?.sqrt()
}

fn product(ways: &str, [m, k, n]: [usize; 3], device: &Device) -> Result<Step> {
    let operand = |turned: bool, rows: usize, columns: usize, seed: u64| {
        if turned { random(&[columns, rows], seed, device)?.t() } else { random(&[rows, columns], seed, device) }
    };
    let (a, b) = (operand(ways.starts_with('T'), m, k, 1)?, operand(ways.ends_with('T'), k, n, 2)?);
    Ok(Box::new(move || a.matmul(&b)))
}

fn convolution(kind: &str, [batch, side, _, c, f]: [usize; 5], device: &Device) -> Result<Step> {
    let same = ConvOptions { padding: Padding::Same, ..ConvOptions::default() };
    let (x, kernel) = (random(&[batch, side, side, c], 1, device)?, random(&[3, 3, c, f], 2, device)?);
    let dy = random(&[batch, side, side, f], 3, device)?;
    match kind {
        "convolution" => Ok(Box::new(move || x.conv2d(&kernel, &same))),
        "convolution-input-gradient" => gradient(x, dy, move |x| x.conv2d(&kernel, &same)),
        _ => gradient(kernel, dy, move |kernel| x.conv2d(kernel, &same)),
    }
}

fn attention([batch, heads, length, width]: [usize; 4], device: &Device) -> Result<Step> {
    let [q, k, v] = [1, 2, 3].map(|seed| random(&[batch, heads, length, width], seed, device));
    let (q, k, v) = (q?, k?, v?);
    Ok(Box::new(move || models::attention(&q, &k, &v)))
}

/// Adam on several parameters, the gradients at hand.
fn adam_tensors([count, rows, columns]: [usize; 3], device: &Device) -> Result<Step> {
    let vars = variables(&vec![&[rows, columns][..]; count], device)?;
    let gradient = random(&[rows, columns], 1000, device)?;
    let adam = RefCell::new(Adam::default());
    Ok(Box::new(move || {
        // The loss is not asked for; the gradient of each parameter is the same numbers, not computed.
        let terms = vars.iter().map(|v| v.value().mul(&gradient)?.sum(())).collect::<Result<Vec<_>>>()?;
        let loss = terms[1..].iter().try_fold(terms[0].clone(), |sum, t| sum.add(t))?;
        adam.borrow_mut().apply(&loss.backward()?)?;
        vars[0].value().slice(0, 0..1)
    }))
}

/// Ten epochs of nine batches, by Keras's API.
fn fit(device: &Device) -> Result<Run> {
    let x = random(&[569, 30], 1, device)?;
    let y = random(&[569], 2, device)?.gt(0.0)?.cast(DType::F32)?;
    y.realize()?;
    let mut model = Sequential::new()
        .add(Input::new([30]))
        .add(Dense::new(16).activation("relu"))
        .add(Dense::new(1).activation("sigmoid"));
    model.compile("adam", "binary_crossentropy", ())?;
    Ok(Box::new(move || {
        model.fit(&x, &y, Fit::new().epochs(10).batch_size(64).verbose(0))?;
        Ok(())
    }))
}

fn step(work: &Work, device: &Device) -> Result<Option<Step>> {
    let (kind, sizes) = (work.kind.as_str(), work.sizes.as_slice());
    Ok(Some(match (kind, sizes) {
        ("product", &[m, k, n]) => product(&work.ways, [m, k, n], device)?,
        ("start", _) => product("NN", [64; 3], device)?,
        ("pointwise-8", &[n]) => {
            let (a, b) = (random(&[n], 1, device)?, random(&[n], 2, device)?);
            Box::new(move || pointwise(&a, &b))
        }
        ("tiny-ops", &[n]) => {
            let x = random(&[4, 4], 1, device)?;
            Box::new(move || (0..n / 2).try_fold(x.clone(), |t, _| t.mul(0.999)?.add(0.001)))
        }
        ("attention", &[b, h, l, w]) => attention([b, h, l, w], device)?,
        ("adam", &[rows, columns]) => captured(device, adam_update(device, &[rows, columns])?),
        ("adam-tensors", &[count, rows, columns]) => captured(device, adam_tensors([count, rows, columns], device)?),
        ("mlp-adam-step", &[batch]) => captured(device, mlp_adam(device, batch, &[784, 512, 512, 10])?),
        ("cnn-adam-step", &[batch]) => captured(device, cnn_adam(device, batch)?),
        ("lstm-adam-step", &[batch, steps, width]) => captured(device, models::lstm(device, [batch, steps, width])?),
        ("transformer-adam-step", &[batch, tokens, width]) => {
            captured(device, models::transformer(device, [batch, tokens, width])?)
        }
        ("layer-norm", &[rows, columns]) => {
            let x = random(&[rows, columns], 1, device)?;
            let (scale, offset) = (random(&[columns], 2, device)?, random(&[columns], 3, device)?);
            Box::new(move || x.layer_normalization(Some(&scale), Some(&offset), -1, 1e-5))
        }
        (_, &[b, h, w, c, f]) if kind.starts_with("convolution") => convolution(kind, [b, h, w, c, f], device)?,
        _ => {
            let of_one: fn(&Tensor) -> Result<Tensor> = match kind {
                "sum" => |x| x.sum(()),
                "sum-rows" => |x| x.sum(1),
                "sum-columns" => |x| x.sum(0),
                "argmax" => |x| x.argmax(-1),
                "softmax" => |x| x.softmax(-1),
                _ => return Ok(None),
            };
            let x = random(sizes, 1, device)?;
            Box::new(move || of_one(&x))
        }
    }))
}

fn make(work: &Work, device: &Device) -> std::result::Result<Option<Run>, Error> {
    // What the workload before has left is no help to this one.
    device.trim();
    if work.kind.starts_with("fit") {
        return Ok(Some(fit(device)?));
    }
    let (step, device) = (step(work, device)?, device.clone());
    Ok(step.map(|step| -> Run {
        Box::new(move || {
            step()?.realize()?;
            Ok(device.sync()?)
        })
    }))
}

fn main() -> Result<()> {
    let device = Device::from_env()?;
    serve::serve("wgtensor", |work| make(work, &device));
    Ok(())
}
