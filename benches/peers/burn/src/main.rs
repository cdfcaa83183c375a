//! Burn, on the engine that the first argument names: `flex` or `ndarray` on the processor, `wgpu` on a GPU.

mod models;
#[path = "../../serve.rs"]
mod serve;

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softmax;
use burn::tensor::module::{attention, conv2d, layer_norm};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{Device, DeviceKind, Distribution, Shape, Tensor};
use serve::{Error, Run, Work};

/// Does a workload once; its result lives until it has been waited for.
pub(crate) type Step = Box<dyn FnMut() -> Box<dyn std::any::Any>>;

pub(crate) const RATE: f64 = 1e-3;

pub(crate) fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(Shape::new(shape), Distribution::Uniform(-0.5, 0.5), device)
}

pub(crate) fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-7).init()
}

fn done<const D: usize>(tensor: Tensor<D>) -> Box<dyn std::any::Any> {
    Box::new(tensor)
}

fn product(ways: &str, [m, k, n]: [usize; 3], device: &Device) -> Step {
    let operand = |turned: bool, rows: usize, columns: usize| {
        if turned { random([columns, rows], device).transpose() } else { random([rows, columns], device) }
    };
    let (a, b) = (operand(ways.starts_with('T'), m, k), operand(ways.ends_with('T'), k, n));
    Box::new(move || done(a.clone().matmul(b.clone())))
}

fn convolution(kind: &str, [batch, side, _, c, f]: [usize; 5], device: &Device) -> Step {
    let device = if kind == "convolution" { device.clone() } else { device.clone().autodiff() };
    let (x, kernel) = (random([batch, c, side, side], &device), random([f, c, 3, 3], &device));
    let dy = random([batch, f, side, side], &device);
    let forward =
        |x: Tensor<4>, kernel: Tensor<4>| conv2d(x, kernel, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let of_input = kind == "convolution-input-gradient";
    match kind {
        "convolution" => Box::new(move || done(forward(x.clone(), kernel.clone()))),
        _ => Box::new(move || {
            let of = if of_input { &x } else { &kernel }.clone().require_grad();
            let y = if of_input { forward(of.clone(), kernel.clone()) } else { forward(x.clone(), of.clone()) };
            done(of.grad(&(y * dy.clone()).sum().backward()).expect("the loss depends on it"))
        }),
    }
}

#[derive(Module, Debug)]
struct Parameters {
    all: Vec<Param<Tensor<2>>>,
}

/// Adam on parameters whose gradients are at hand.
fn adam_update(count: usize, shape: [usize; 2], device: &Device) -> Step {
    let autodiff = device.clone().autodiff();
    let all = (0..count).map(|_| Param::from_tensor(random(shape, &autodiff))).collect();
    let (gradient, mut optimizer, mut parameters) = (random(shape, device), adam(), Some(Parameters { all }));
    Box::new(move || {
        let before = parameters.take().expect("one step at a time");
        let mut grads = GradientsParams::new();
        for parameter in &before.all {
            grads.register(parameter.id, gradient.clone());
        }
        let after = optimizer.step(RATE, before, grads);
        let first = after.all[0].val();
        parameters = Some(after);
        done(first)
    })
}

fn of_one(kind: &str, [rows, columns]: [usize; 2], device: &Device) -> Option<Step> {
    let x = random([rows, columns], device);
    Some(match kind {
        "sum-rows" => Box::new(move || done(x.clone().sum_dim(1))),
        "sum-columns" => Box::new(move || done(x.clone().sum_dim(0))),
        "argmax" => Box::new(move || Box::new(x.clone().argmax(1))),
        "softmax" => Box::new(move || done(softmax(x.clone(), 1))),
        "layer-norm" => {
            let (scale, offset) = (random([columns], device), random([columns], device));
            Box::new(move || done(layer_norm(x.clone(), scale.clone(), Some(offset.clone()), 1e-5)))
        }
        _ => return None,
    })
}

fn step(work: &Work, device: &Device) -> Option<Step> {
    let (kind, sizes) = (work.kind.as_str(), work.sizes.as_slice());
    Some(match (kind, sizes) {
        ("product", &[m, k, n]) => product(&work.ways, [m, k, n], device),
        ("start", _) => product("NN", [64; 3], device),
        ("pointwise-8", &[n]) => {
            let (a, b) = (random([n], device), random([n], device));
            Box::new(move || {
                let t = ((a.clone() * b.clone() + a.clone()).tanh() * 0.5 - b.clone()).square();
                done((t + 1.0).sqrt())
            })
        }
        ("sum", &[n]) => {
            let x = random([n], device);
            Box::new(move || done(x.clone().sum()))
        }
        ("tiny-ops", &[n]) => {
            let x = random([4, 4], device);
            Box::new(move || done((0..n / 2).fold(x.clone(), |t, _| t * 0.999 + 0.001)))
        }
        ("attention", &[b, h, l, w]) => {
            let [q, k, v] = [0; 3].map(|_| random([b, h, l, w], device));
            let options = AttentionModuleOptions::default;
            Box::new(move || done(attention(q.clone(), k.clone(), v.clone(), None, None, options())))
        }
        ("adam", &[rows, columns]) => adam_update(1, [rows, columns], device),
        ("adam-tensors", &[count, rows, columns]) => adam_update(count, [rows, columns], device),
        ("mlp-adam-step", &[batch]) => models::mlp(batch, &device.clone().autodiff()),
        ("cnn-adam-step", &[batch]) => models::cnn(batch, &device.clone().autodiff()),
        ("lstm-adam-step", &[batch, steps, width]) => models::lstm([batch, steps, width], &device.clone().autodiff()),
        ("transformer-adam-step", &[batch, tokens, width]) => {
            models::transformer([batch, tokens, width], &device.clone().autodiff())
        }
        ("fit-warm" | "fit-cold", _) => models::fit(&device.clone().autodiff()),
        (_, &[b, h, w, c, f]) if kind.starts_with("convolution") => convolution(kind, [b, h, w, c, f], device),
        (_, &[rows, columns]) => return of_one(kind, [rows, columns], device),
        _ => return None,
    })
}

fn main() {
    let engine = std::env::args().nth(1).unwrap_or_default();
    let device = match engine.as_str() {
        #[allow(deprecated, reason = "flex is to replace it, and is measured beside it")]
        "ndarray" => Device::ndarray(),
        "wgpu" => Device::wgpu(DeviceKind::DefaultDevice),
        _ => Device::flex(),
    };
    let tuned = match engine.as_str() {
        "wgpu" if cfg!(feature = "tuned") => ", autotune and fusion",
        "wgpu" => ", without autotune and fusion",
        _ => "",
    };
    serve::serve(&format!("Burn 0.22.1 {engine}{tuned}"), |work: &Work| -> Result<Option<Run>, Error> {
        let device = device.clone();
        Ok(step(work, &device).map(|mut step| -> Run {
            Box::new(move || {
                let result = step();
                device.sync().map_err(|e| format!("{e:?}"))?;
                drop(result);
                Ok(())
            })
        }))
    });
}
