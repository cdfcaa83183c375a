//! candle on the processor, images channels first as it wants them.

mod models;
#[path = "../../serve.rs"]
mod serve;

use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, ops};
use serve::{Error, Run, Work};

/// Gives the result to be waited for, which on the processor is there already.
pub(crate) type Step = Box<dyn FnMut() -> Result<Tensor>>;

pub(crate) fn random(shape: &[usize]) -> Result<Tensor> {
    Tensor::rand(-0.5f32, 0.5, shape, &Device::Cpu)
}

/// Adam: the optimizer that candle has, without its decay.
pub(crate) fn adam(vars: Vec<Var>) -> Result<AdamW> {
    AdamW::new(vars, ParamsAdamW { lr: 1e-3, eps: 1e-7, weight_decay: 0.0, ..ParamsAdamW::default() })
}

fn product(ways: &str, [m, k, n]: [usize; 3]) -> Result<Step> {
    let operand = |turned: bool, rows: usize, columns: usize| {
        if turned { random(&[columns, rows])?.t() } else { random(&[rows, columns]) }
    };
    let (a, b) = (operand(ways.starts_with('T'), m, k)?, operand(ways.ends_with('T'), k, n)?);
    Ok(Box::new(move || a.matmul(&b)))
}

fn convolution(kind: &str, [batch, side, _, c, f]: [usize; 5]) -> Result<Step> {
    let (x, kernel) = (random(&[batch, c, side, side])?, random(&[f, c, 3, 3])?);
    let dy = random(&[batch, f, side, side])?;
    let forward = |x: &Tensor, kernel: &Tensor| x.conv2d(kernel, 1, 1, 1, 1);
    if kind == "convolution" {
        return Ok(Box::new(move || forward(&x, &kernel)));
    }
    let of_input = kind == "convolution-input-gradient";
    let of = Var::from_tensor(if of_input { &x } else { &kernel })?;
    Ok(Box::new(move || {
        let y = if of_input { forward(of.as_tensor(), &kernel)? } else { forward(&x, of.as_tensor())? };
        let grads = y.mul(&dy)?.sum_all()?.backward()?;
        Ok(grads.get(of.as_tensor()).expect("the loss depends on it").clone())
    }))
}

/// Adam on parameters whose gradients are at hand.
fn adam_update(count: usize, shape: &[usize]) -> Result<Step> {
    let vars = (0..count).map(|_| Var::from_tensor(&random(shape)?)).collect::<Result<Vec<_>>>()?;
    let gradient = random(shape)?;
    let terms = vars.iter().map(|v| v.as_tensor().mul(&gradient)?.sum_all()).collect::<Result<Vec<_>>>()?;
    let grads = Tensor::stack(&terms, 0)?.sum_all()?.backward()?;
    let mut adam = adam(vars.clone())?;
    Ok(Box::new(move || {
        adam.step(&grads)?;
        Ok(vars[0].as_tensor().clone())
    }))
}

fn step(work: &Work) -> Result<Option<Step>> {
    let (kind, sizes) = (work.kind.as_str(), work.sizes.as_slice());
    Ok(Some(match (kind, sizes) {
        ("product", &[m, k, n]) => product(&work.ways, [m, k, n])?,
        ("start", _) => product("NN", [64; 3])?,
        ("pointwise-8", _) => {
            let (a, b) = (random(sizes)?, random(sizes)?);
            Box::new(move || ((((a.mul(&b)? + &a)?.tanh()? * 0.5)? - &b)?.sqr()? + 1.0)?.sqrt())
        }
        ("tiny-ops", &[n]) => {
            let x = random(&[4, 4])?;
            Box::new(move || (0..n / 2).try_fold(x.clone(), |t, _| (t * 0.999)? + 0.001))
        }
        ("attention", &[b, h, l, w]) => {
            let [q, k, v] = [0; 3].map(|_| random(&[b, h, l, w]));
            let (q, k, v) = (q?, k?, v?);
            Box::new(move || models::attention(&q, &k, &v))
        }
        ("adam", _) => adam_update(1, sizes)?,
        ("adam-tensors", &[count, ..]) => adam_update(count, &sizes[1..])?,
        ("mlp-adam-step", &[batch]) => models::mlp(batch)?,
        ("cnn-adam-step", &[batch]) => models::cnn(batch)?,
        ("lstm-adam-step", &[batch, steps, width]) => models::lstm(batch, steps, width)?,
        ("transformer-adam-step", &[batch, tokens, width]) => models::transformer(batch, tokens, width)?,
        ("fit-warm" | "fit-cold", _) => models::fit()?,
        ("layer-norm", &[_, columns]) => {
            let (x, scale, offset) = (random(sizes)?, random(&[columns])?, random(&[columns])?);
            Box::new(move || ops::layer_norm(&x, &scale, &offset, 1e-5))
        }
        (_, &[b, h, w, c, f]) if kind.starts_with("convolution") => convolution(kind, [b, h, w, c, f])?,
        _ => {
            let of_one: fn(&Tensor) -> Result<Tensor> = match kind {
                "sum" => |x| x.sum_all(),
                "sum-rows" => |x| x.sum(1),
                "sum-columns" => |x| x.sum(0),
                "argmax" => |x| x.argmax(D::Minus1),
                "softmax" => ops::softmax_last_dim,
                _ => return Ok(None),
            };
            let x = random(sizes)?;
            Box::new(move || of_one(&x))
        }
    }))
}

fn make(work: &Work) -> std::result::Result<Option<Run>, Error> {
    Ok(step(work)?.map(|mut step| -> Run {
        Box::new(move || {
            std::hint::black_box(step()?);
            Ok(())
        })
    }))
}

fn main() {
    serve::serve("candle 0.11.1", make);
}
