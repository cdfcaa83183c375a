//! Gradients against central differences, in `f64` on the CPU engine.

use wgtensor::{
    ConvOptions, DType, Device, DeviceOptions, PadMode, Padding, PoolOptions, Result, Tensor, Var, grad, vjp,
};

use super::close::{assert_all, assert_within, bound};
use super::devices::for_each_device_alone;
use super::naive::Nd;

type Function = fn(&[Tensor]) -> Result<Tensor>;

struct Entry {
    name: &'static str,
    inputs: Vec<Nd>,
    function: Function,
}

/// `f` of one matrix with elements in a range where it is smooth.
fn one(name: &'static str, low: f64, high: f64, function: Function) -> Entry {
    Entry { name, inputs: vec![Nd::random(&[3, 4], 11, low, high)], function }
}

/// `f` of tensors of these shapes with elements in [0.5, 1.5).
fn of(name: &'static str, shapes: &[&[usize]], function: Function) -> Entry {
    let inputs = shapes.iter().enumerate().map(|(i, s)| Nd::random(s, 20 + i as u32, 0.5, 1.5)).collect();
    Entry { name, inputs, function }
}

/// A weighted sum, so that no gradient is uniform.
fn loss(entry: &Entry, inputs: &[Tensor], device: &Device) -> Result<Tensor> {
    let out = (entry.function)(inputs)?;
    let weights = Nd::random(out.dims(), 77, -1.0, 1.0).float(DType::F64, device)?;
    out.mul(&weights)?.sum(())
}

fn verify(entry: &Entry, device: &Device) -> Result<Option<String>> {
    let upload = |nds: &[Nd]| {
        let tracked = nds.iter().map(|nd| Ok(nd.float(DType::F64, device)?.requires_grad()));
        tracked.collect::<Result<Vec<_>>>()
    };
    let tracked = upload(&entry.inputs)?;
    let grads = grad(&loss(entry, &tracked, device)?, &tracked)?;
    let step = 1e-5;
    for (k, got) in grads.iter().enumerate() {
        if got.dims() != entry.inputs[k].shape {
            return Ok(Some(format!("{}: gradient {k} has shape {}", entry.name, got.shape())));
        }
        for (i, got) in got.to_f64_vec()?.into_iter().enumerate() {
            let at = |delta: f64| {
                let mut inputs = entry.inputs.clone();
                inputs[k].data[i] += delta;
                loss(entry, &upload(&inputs)?, device)?.item::<f64>()
            };
            let want = (at(step)? - at(-step)?) / (2.0 * step);
            // Central differences err by step^2 and by the rounding of the loss over the step: 1e-10 each, times its scale.
            if (got - want).abs() > 1e-6 * (1.0 + want.abs()) {
                return Ok(Some(format!(
                    "{}: d/d input {k}[{i}] is {got}, central differences give {want}",
                    entry.name
                )));
            }
        }
    }
    Ok(None)
}

#[track_caller]
fn verify_all(table: Vec<Entry>) {
    let device = Device::cpu();
    let failures = table.iter().filter_map(|entry| match verify(entry, &device) {
        Ok(verdict) => verdict,
        Err(e) => Some(format!("{}: {e}", entry.name)),
    });
    assert_all(failures.collect());
}

#[test]
fn unary_functions() {
    verify_all(vec![
        one("neg", -1.0, 1.0, |x| x[0].neg()),
        one("abs", 0.2, 1.0, |x| x[0].neg()?.abs()),
        one("square", -1.0, 1.0, |x| x[0].square()),
        one("sqrt", 0.3, 2.0, |x| x[0].sqrt()),
        one("cbrt", 0.3, 2.0, |x| x[0].neg()?.cbrt()),
        one("rsqrt", 0.3, 2.0, |x| x[0].rsqrt()),
        one("reciprocal", 0.3, 2.0, |x| x[0].reciprocal()),
        one("exp", -1.0, 1.0, |x| x[0].exp()),
        one("exp2", -1.0, 1.0, |x| x[0].exp2()),
        one("expm1", -1.0, 1.0, |x| x[0].expm1()),
        one("log", 0.3, 2.0, |x| x[0].log()),
        one("log2", 0.3, 2.0, |x| x[0].log2()),
        one("log10", 0.3, 2.0, |x| x[0].log10()),
        one("log1p", -0.5, 2.0, |x| x[0].log1p()),
        one("sin", -2.0, 2.0, |x| x[0].sin()),
        one("cos", -2.0, 2.0, |x| x[0].cos()),
        one("tan", -1.0, 1.0, |x| x[0].tan()),
        one("asin", -0.8, 0.8, |x| x[0].asin()),
        one("acos", -0.8, 0.8, |x| x[0].acos()),
        one("atan", -2.0, 2.0, |x| x[0].atan()),
        one("sinh", -1.0, 1.0, |x| x[0].sinh()),
        one("cosh", -1.0, 1.0, |x| x[0].cosh()),
        one("tanh", -2.0, 2.0, |x| x[0].tanh()),
        one("asinh", -2.0, 2.0, |x| x[0].asinh()),
        one("acosh", 1.3, 3.0, |x| x[0].acosh()),
        one("atanh", -0.8, 0.8, |x| x[0].atanh()),
        one("erf", -2.0, 2.0, |x| x[0].erf()),
        one("erfinv", -0.8, 0.8, |x| x[0].erfinv()),
        one("relu", 0.1, 1.0, |x| x[0].sub(0.05)?.relu()),
        one("sigmoid", -3.0, 3.0, |x| x[0].sigmoid()),
        one("softplus", -3.0, 3.0, |x| x[0].softplus()),
        one("clamp", 0.1, 1.0, |x| x[0].clip(0.05, 0.5001)),
    ]);
}

#[test]
fn binary_functions_and_broadcasting() {
    verify_all(vec![
        of("add", &[&[3, 4], &[4]], |x| x[0].add(&x[1])),
        of("sub", &[&[3, 1], &[1, 4]], |x| x[0].sub(&x[1])),
        of("mul", &[&[2, 3], &[]], |x| x[0].mul(&x[1])),
        of("div", &[&[], &[2, 3]], |x| x[0].div(&x[1])),
        of("pow", &[&[2, 1, 3], &[4, 1]], |x| x[0].pow(&x[1])),
        of("maximum", &[&[3, 4], &[4]], |x| x[0].maximum(&x[1])),
        of("minimum", &[&[3, 4], &[3, 1]], |x| x[0].minimum(&x[1])),
        of("atan2", &[&[3, 4], &[4]], |x| x[0].atan2(&x[1])),
        of("hypot", &[&[3, 4], &[4]], |x| x[0].hypot(&x[1])),
        of("logaddexp", &[&[3, 4], &[4]], |x| x[0].logaddexp(&x[1])),
        of("where", &[&[3, 4], &[4]], |x| x[0].gt(1.0)?.where_(&x[1], &x[0].square()?)),
        of("a reused operand", &[&[3]], |x| x[0].mul(&x[0])?.mul(&x[0])),
    ]);
}

#[test]
fn views_and_movement() {
    verify_all(vec![
        of("reshape", &[&[2, 6]], |x| x[0].reshape([3, 4])),
        of("transpose", &[&[2, 3, 4]], |x| x[0].transpose([2, 0, 1])),
        of("broadcast_to", &[&[3, 1]], |x| x[0].broadcast_to([2, 3, 4])),
        of("slice", &[&[3, 7]], |x| x[0].slice_step(1, Some(5), None, -2)),
        of("overlapping slices", &[&[8]], |x| x[0].slice(0, 1..6)?.mul(&x[0].slice(0, 3..)?)),
        of("flip", &[&[3, 4]], |x| x[0].flip([0, 1])),
        of("pad", &[&[2, 3]], |x| x[0].pad(&[(1, 0), (2, 1)], 9.0)),
        of("concat", &[&[2, 3], &[2, 2]], |x| Tensor::concat([&x[0], &x[1], &x[0]], 1)),
        of("stack", &[&[2, 3], &[2, 3]], |x| Tensor::stack([&x[0], &x[1]], 1)),
        of("split", &[&[5, 2]], |x| x[0].split(0, &[2, 3])?[1].square()),
        of("tile", &[&[2, 3]], |x| x[0].tile([2, 2])),
        of("take one", &[&[3, 4]], |x| x[0].take(-2, 1)),
        of("take", &[&[4, 3]], |x| x[0].take(&Tensor::from_slice(&[1i32, 3, 1, -1], [4], x[0].device())?, 0)),
        of("take_along_axis", &[&[3, 4]], |x| {
            x[0].take_along_axis(&Tensor::new([[0i32, 0], [3, 1], [2, 2]], x[0].device())?, 1)
        }),
        of("index_add", &[&[4, 2], &[3, 2]], |x| {
            x[0].index_add(0, &Tensor::from_slice(&[2i32, 2, 0], [3], x[0].device())?, &x[1])
        }),
    ]);
}

#[test]
fn compositions() {
    verify_all(vec![
        of("tril", &[&[3, 4]], |x| x[0].tril(-1)),
        of("triu", &[&[2, 3, 4]], |x| x[0].triu(1)?.square()),
        of("cross", &[&[4, 3], &[3]], |x| x[0].cross(&x[1], -1)),
        of("roll", &[&[3, 4]], |x| x[0].roll(2, 1)),
        of("reflect", &[&[4, 5]], |x| x[0].pad(&[(1, 2), (3, 1)], PadMode::Reflect)),
        of("symmetric", &[&[4, 5]], |x| x[0].pad(&[(1, 2), (3, 1)], PadMode::Symmetric)),
        of("edge", &[&[2, 3]], |x| x[0].pad(&[(2, 0), (1, 3)], PadMode::Edge)),
        of("wrap", &[&[2, 3]], |x| x[0].pad(&[(2, 1), (0, 3)], PadMode::Wrap)),
        of("scatter_add", &[&[3, 2], &[4]], |x| {
            let at = Tensor::new([[0, 1], [2, 0], [0, 1], [-1, -1]], x[0].device())?;
            x[0].scatter_add(&at, &x[1])
        }),
        of("scatter_update", &[&[3, 2], &[4]], |x| {
            let at = Tensor::new([[0, 1], [2, 0], [0, 1], [-1, -1]], x[0].device())?;
            x[0].scatter_update(&at, &x[1])
        }),
        of("slice_update", &[&[3, 4], &[2, 2]], |x| x[0].slice_update(&[1, 1], &x[1])),
        of("median", &[&[3, 4]], |x| x[0].median(1)),
        of("quantile", &[&[3, 4]], |x| x[0].quantile(0.4, ())),
        of("sparsemax", &[&[3, 4]], |x| x[0].sparsemax(-1)),
        of("normalize", &[&[3, 4]], |x| x[0].normalize(-1, 2)),
        of("normalize by the third norm", &[&[3, 4]], |x| x[0].normalize(0, 3)),
        of("layer_normalization", &[&[2, 3, 4], &[3], &[3]], |x| {
            x[0].layer_normalization(Some(&x[1]), Some(&x[2]), 1, 1e-3)
        }),
        of("rms_normalization", &[&[3, 4], &[4]], |x| x[0].rms_normalization(Some(&x[1]), -1, 1e-3)),
        of("batch_normalization", &[&[3, 4], &[3], &[3], &[3]], |x| {
            x[0].batch_normalization(&x[1], &x[2], 0, Some(&x[3]), None, 1e-3)
        }),
    ]);
}

#[test]
fn reductions_and_rows() {
    verify_all(vec![
        of("sum", &[&[2, 3, 4]], |x| x[0].sum([0, 2])),
        of("mean", &[&[2, 3, 4]], |x| x[0].mean_keepdims(1)),
        of("max", &[&[2, 3, 4]], |x| x[0].max([1, 2])),
        of("min", &[&[2, 3, 4]], |x| x[0].min(0)),
        of("prod", &[&[2, 3]], |x| x[0].prod(1)),
        of("var", &[&[3, 4]], |x| x[0].var(1)),
        of("std", &[&[3, 4]], |x| x[0].std(())),
        of("logsumexp", &[&[3, 4]], |x| x[0].logsumexp(0)),
        of("softmax", &[&[3, 4]], |x| x[0].softmax(-1)),
        of("softmax of the first axis", &[&[3, 4]], |x| x[0].softmax(0)),
        of("log_softmax", &[&[3, 4]], |x| x[0].log_softmax(1)),
        of("layer norm", &[&[3, 4], &[4]], |x| {
            let centred = x[0].sub(&x[0].mean_keepdims(1)?)?;
            centred.mul(&centred.square()?.mean_keepdims(1)?.add(1e-3)?.rsqrt()?)?.mul(&x[1])
        }),
    ]);
}

#[test]
fn products_convolutions_and_pools() {
    verify_all(vec![
        of("matmul", &[&[3, 4], &[4, 2]], |x| x[0].matmul(&x[1])),
        of("matmul of transposes", &[&[4, 3], &[2, 4]], |x| x[0].t()?.matmul(&x[1].t()?)),
        of("matmul of vectors", &[&[4], &[4]], |x| x[0].matmul(&x[1])),
        of("matmul of a vector", &[&[4], &[4, 3]], |x| x[0].matmul(&x[1])),
        of("batched matmul", &[&[2, 3, 4], &[2, 4, 2]], |x| x[0].matmul(&x[1])),
        of("matmul with a broadcast batch", &[&[2, 1, 2, 3], &[3, 3, 2]], |x| x[0].matmul(&x[1])),
        of("conv2d", &[&[1, 4, 5, 2], &[3, 2, 2, 3]], |x| x[0].conv2d(&x[1], &ConvOptions::default())),
        of("conv2d of one tap", &[&[2, 3, 2, 3], &[1, 1, 3, 2]], |x| x[0].conv2d(&x[1], &ConvOptions::default())),
        of("strided conv2d with padding", &[&[2, 5, 4, 1], &[3, 3, 1, 2]], |x| {
            x[0].conv2d(&x[1], &ConvOptions { strides: (2, 1), padding: Padding::Same, ..ConvOptions::default() })
        }),
        of("dilated conv2d", &[&[1, 5, 5, 1], &[2, 2, 1, 2]], |x| {
            x[0].conv2d(&x[1], &ConvOptions { dilation: (2, 3), ..ConvOptions::default() })
        }),
        of("grouped conv2d", &[&[1, 3, 3, 4], &[2, 2, 2, 4]], |x| {
            x[0].conv2d(&x[1], &ConvOptions { groups: 2, ..ConvOptions::default() })
        }),
        of("max_pool2d", &[&[1, 5, 5, 2]], |x| {
            x[0].max_pool2d(&PoolOptions { size: (3, 2), strides: (2, 2), padding: Padding::Same })
        }),
        of("avg_pool2d", &[&[1, 5, 5, 2]], |x| {
            x[0].avg_pool2d(&PoolOptions { size: (2, 3), strides: (1, 2), padding: Padding::Same })
        }),
    ]);
}

#[test]
fn gradients_of_gradients() {
    verify_all(vec![
        of("of tanh", &[&[3]], |x| grad(&x[0].tanh()?.sum(())?, &[&x[0]]).map(|mut g| g.remove(0))),
        of("of a product", &[&[2, 3], &[3, 2]], |x| {
            grad(&x[0].matmul(&x[1])?.square()?.sum(())?, &[&x[0]]).map(|mut g| g.remove(0))
        }),
    ]);
}

/// A gradient by pieces is put together once, not added up piece by piece: what it takes is linear in their number.
#[test]
fn gradients_go_on_from_those_that_are_given() -> Result<()> {
    let cpu = Device::cpu();
    let number = |seed, shape: &[usize]| Nd::random(shape, seed, -1.0, 1.0).float(DType::F64, &cpu);
    let (a, b) = (number(1, &[3, 4])?.requires_grad(), number(2, &[4, 2])?.requires_grad());
    let v = number(3, &[3, 2])?.requires_grad();
    let same = |got: &[Tensor], want: &[Tensor]| {
        for (got, want) in got.iter().zip(want) {
            assert_eq!(got.to_vec::<f64>().unwrap(), want.to_vec::<f64>().unwrap());
        }
    };
    let y = a.matmul(&b)?.tanh()?;
    let want = grad(&y.mul(&v)?.sum(())?, [&a, &b])?;
    let got = vjp(&y, &v, [&a, &b])?;
    same(&got, &want);
    // It is linear in the vector, and its own gradients are those of any function.
    let curve = |of: &[Tensor]| grad(&of[0].square()?.sum(())?, [&a, &b, &v]);
    same(&curve(&got)?, &curve(&want)?);
    // What nothing depends on, and the output itself.
    same(&vjp(&y, &v, [&y, &b, &v])?, &[v.clone(), want[1].clone(), v.zeros_like()?]);

    let w = Var::new(&number(4, &[3, 2])?);
    let grads = w.value().sin()?.backward_from(&v)?;
    same(&[grads.get(&w).unwrap().clone()], &grad(&w.value().sin()?.mul(&v)?.sum(())?, [w.value()])?);

    let (transposed, single) = (v.t()?, v.cast(DType::F32)?);
    assert!(vjp(&y, &transposed, [&a]).unwrap_err().is_shape_mismatch());
    assert!(y.backward_from(&single).unwrap_err().is_dtype_mismatch());
    assert!(y.cast(DType::I32)?.backward_from(&v.cast(DType::I32)?).unwrap_err().is_dtype_mismatch());
    let apart = Device::open_with("cpu", &DeviceOptions::default())?;
    assert!(y.backward_from(&v.to_device(&apart)?).unwrap_err().is_device_mismatch());
    assert!(y.detach().backward_from(&v).unwrap_err().is_invalid_state());
    assert!(vjp(&y, &v, [&a.detach()]).unwrap_err().is_invalid_state());
    let empty = Tensor::zeros([0, 3], DType::F32, &cpu)?;
    let x = empty.requires_grad();
    assert_eq!(vjp(&x.mul(2.0)?, &empty, [&x])?[0].dims(), [0, 3]);
    Ok(())
}

#[test]
fn gradients_of_many_pieces_take_linear_work() {
    let cost = |pieces: usize, cut: fn(&Tensor, usize, usize) -> Result<Tensor>| -> Result<(usize, usize, Tensor)> {
        let device = Device::open_with("cpu", &DeviceOptions::default())?;
        let x = Nd::random(&[pieces, 32], 5, -1.0, 1.0).f32(&device)?.requires_grad();
        let mut total = Tensor::zeros([32], DType::F32, &device)?;
        for i in 0..pieces {
            // Not fusable with the next piece: a chain of products, as a recurrence is.
            total = total.add(&cut(&x, i, pieces)?.reshape([32])?)?.sin()?;
        }
        let grad = wgtensor::grad(&total.sum(())?, &[&x])?.remove(0);
        grad.realize()?;
        let plan = device.last_plan().expect("a plan");
        // Temporaries, and steps that fill a whole tensor.
        let bytes = plan.split(" bytes of temporaries").next().and_then(|s| s.rsplit(' ').next()).unwrap();
        assert!(plan.matches("pad").count() <= 2, "{plan}");
        Ok((plan.lines().count(), bytes.parse().expect("a number"), grad))
    };
    let ways: [(&str, fn(&Tensor, usize, usize) -> Result<Tensor>); 3] = [
        ("split", |x, i, n| Ok(x.split(0, &vec![1; n])?[i].clone())),
        ("narrow", |x, i, _| x.narrow(0, i, 1)),
        ("rows and columns", |x, i, _| {
            Tensor::concat([&x.narrow(0, i, 1)?.narrow(1, 16, 16)?, &x.narrow(1, 0, 16)?.narrow(0, i, 1)?], 1)
        }),
    ];
    for (name, cut) in ways {
        let (few, many) = (cost(16, cut).unwrap(), cost(64, cut).unwrap());
        assert!(many.0 <= 5 * few.0, "{name}: {} steps for 16 pieces, {} for 64", few.0, many.0);
        assert!(many.1 <= 8 * few.1.max(64 * 32 * 4), "{name}: {} bytes for 16 pieces, {} for 64", few.1, many.1);
    }
}

/// Slices that meet, that leave gaps, of several axes: against the sum of one slice's gradients at a time.
#[test]
fn gradients_of_overlapping_pieces_add_up() {
    let device = Device::cpu();
    let x = Nd::random(&[5, 6], 8, -1.0, 1.0).float(DType::F64, &device).unwrap().requires_grad();
    let cuts: [Function; 6] = [
        |x| x[0].narrow(0, 0, 3)?.square(),
        |x| x[0].narrow(0, 2, 3)?.sin(),
        |x| x[0].narrow(1, 1, 2)?.narrow(0, 1, 1)?.exp(),
        |x| x[0].slice_step(1, Some(5), None, -2)?.square(),
        |x| x[0].narrow(0, 3, 2)?.narrow(1, 4, 2)?.cos(),
        |x| x[0].mul(0.5),
    ];
    let grad_of = |chosen: &[Function]| -> Result<Vec<f64>> {
        let mut loss = Tensor::zeros((), DType::F64, &device)?;
        for cut in chosen {
            loss = loss.add(&cut(std::slice::from_ref(&x))?.sum(())?)?;
        }
        grad(&loss, &[&x])?[0].to_f64_vec()
    };
    let mut want = vec![0.0; 30];
    for cut in &cuts {
        grad_of(&[*cut]).unwrap().iter().zip(&mut want).for_each(|(g, w)| *w += g);
    }
    let got = grad_of(&cuts).unwrap();
    assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?} {want:?}");
}

/// A recurrence of 6 steps whose gates are halves of one product, with weights for each step.
fn recurrence(x: &Tensor, weights: &[Tensor]) -> Result<Tensor> {
    let mut h = x.slice(0, 0..2)?.slice(1, 0..6)?;
    for (t, w) in weights.iter().enumerate() {
        let gates = x.slice(0, 2 * t..2 * t + 2)?.add(h.matmul(w)?)?;
        h = gates.slice(1, 0..6)?.tanh()?.mul(gates.slice(1, 6..12)?.sigmoid()?)?.add(&h)?;
    }
    h.square()?.sum(())
}

#[test]
fn weights_used_again_and_again_have_the_sum_of_their_gradients() {
    let (x, w) = (Nd::random(&[12, 12], 3, -1.0, 1.0), Nd::random(&[6, 12], 4, -1.0, 1.0));
    let of = |dtype: DType, device: &Device, apart: bool| -> Result<Vec<Tensor>> {
        let x = x.float(dtype, device)?.requires_grad();
        let mut tracked = vec![x.clone()];
        for _ in 0..if apart { 6 } else { 1 } {
            tracked.push(w.float(dtype, device)?.requires_grad());
        }
        let weights: Vec<Tensor> = (0..6).map(|t| tracked[if apart { t + 1 } else { 1 }].clone()).collect();
        grad(&recurrence(&x, &weights)?, &tracked)
    };
    // Each step's weights for themselves.
    let exact = of(DType::F64, &Device::cpu(), true).unwrap();
    let sum = exact[2..].iter().try_fold(exact[1].clone(), |sum, grad| sum.add(grad)).unwrap();
    let (of_x, of_w) = (exact[0].to_vec::<f64>().unwrap(), sum.to_vec::<f64>().unwrap());
    for_each_device_alone(|device| {
        let grads = of(DType::F32, device, false)?;
        grads[0].realize()?;
        let plan = device.last_plan().expect("a plan");
        assert_within("of x", &grads[0], &[12, 12], &of_x, bound(device, DType::F32));
        assert_within("of w", &grads[1], &[6, 12], &of_w, bound(device, DType::F32));
        // A product for each step on the way there, one less on the way back, and one for the weights.
        let products = plan.lines().filter(|line| line.contains("matmul")).count();
        assert_eq!(products, 6 + 5 + 1, "{plan}");
        // The CPU engine reads the weights' rows on the way back from a copy.
        assert_eq!(
            plan.lines().filter(|line| line.contains("  permute  ")).count(),
            usize::from(!device.is_gpu()),
            "{plan}"
        );
        // What the gates' gradients are parts of is no step of its own.
        assert!(plan.lines().all(|line| !line.contains("  concat  (")), "{plan}");
        Ok(())
    });
}
