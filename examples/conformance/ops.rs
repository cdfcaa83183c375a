//! `keras.ops` names against the crate's calls: pointwise functions, comparisons and reductions here,
//! the rest in the sibling tables. An entry composes at most a couple of calls; what would need more is not
//! in the crate, and its cases are skipped by name.

use wgtensor::{DType, Tensor};

use super::call::{Call, Output, Replay, Stop, skip, strs, upload};
use super::{ops_nn, ops_shape};

/// Replays an `op_forward` or `op_grad` case.
pub(crate) fn replay(call: &Call, gradients: bool) -> Replay<Vec<Output>> {
    let op = call.case.json["op"].as_str().unwrap_or_default();
    let outs = outputs(op, call)?;
    let expected = call.case.with_role(&["expected"]);
    let single = expected.contains(&"out");
    let label = |i: usize| if single { "out".to_string() } else { format!("out.{i}") };
    let mut done = Vec::new();
    for (i, out) in outs.iter().enumerate() {
        done.push(Output::read(label(i), out)?);
    }
    if gradients {
        let mut loss: Option<Tensor> = None;
        for (i, out) in outs.iter().enumerate().filter(|(_, out)| out.dtype().is_float()) {
            let name = if single { "loss_w".to_string() } else { format!("loss_w.{i}") };
            let Some(weight) = call.case.tensor(&name) else { continue };
            let term = out.mul(&upload(weight, call.device)?)?.sum(())?;
            loss = Some(match loss {
                Some(sum) => sum.add(&term)?,
                None => term,
            });
        }
        let grads = loss.ok_or("no output has a loss weight".to_string())?.backward()?;
        for name in call.case.with_role(&["expected_grad"]) {
            let input = name.strip_prefix("grad.").and_then(|n| call.named(n));
            let input = input.ok_or(format!("`{name}` names no input"))?;
            done.push(match grads.wrt(input) {
                Some(grad) => Output::read(name, grad)?,
                None => Output { name: name.into(), shape: input.dims().to_vec(), values: vec![0.0; input.numel()] },
            });
        }
    }
    Ok(done)
}

fn outputs(op: &str, call: &Call) -> Replay<Vec<Tensor>> {
    for table in [whole, unary, binary, reduction, ops_shape::table, ops_nn::table] {
        if let Some(outs) = table(op, call)? {
            return Ok(outs);
        }
    }
    skip(format!("op `{op}`"))
}

/// Cases whose call is an expression.
fn whole(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    let text = c.case.json["call"].as_str().unwrap_or_default();
    let out = match (op, text) {
        ("composite", "sum(take(x, indices, 0) * w, 0)**2") => {
            c.arg(0)?.take(c.arg(1)?, 0)?.mul(c.arg(2)?)?.sum(0)?.square()?
        }
        ("composite", "x*x + sin(x)*x") => c.arg(0)?.square()?.add(&c.arg(0)?.sin()?.mul(c.arg(0)?)?)?,
        ("composite", _) => return skip(format!("composite `{text}`")),
        ("stop_gradient", "x * keras.ops.stop_gradient(x)") => c.arg(0)?.mul(&c.arg(0)?.detach())?,
        ("stop_gradient", _) => c.arg(0)?.detach(),
        ("where", _) if text.contains("x > 0.5, keras.ops.sqrt(x)") => {
            c.arg(0)?.gt(0.5)?.select(&c.arg(0)?.sqrt()?, 0.0)?
        }
        ("power", _) if text.contains("power(x1, 3)") => {
            Tensor::stack(&[&c.arg(0)?.pow(2.0)?, &c.arg(0)?.pow(3.0)?], 0)?
        }
        ("matmul", _) if text.contains("transpose") => c.arg(0)?.t()?.matmul(&c.arg(1)?.t()?)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![out]))
}

fn unary(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    let [x] = c.args()[..] else { return Ok(None) };
    let out = match op {
        "abs" | "absolute" => x.abs()?,
        "negative" => x.neg()?,
        "sign" => x.sign()?,
        "square" => x.square()?,
        "sqrt" => x.sqrt()?,
        "rsqrt" => x.rsqrt()?,
        "reciprocal" => x.recip()?,
        "exp" => x.exp()?,
        "exp2" => x.exp2()?,
        "expm1" => x.expm1()?,
        "log" => x.ln()?,
        "log2" => x.log2()?,
        "log10" => x.log10()?,
        "log1p" => x.log1p()?,
        "sin" => x.sin()?,
        "cos" => x.cos()?,
        "tan" => x.tan()?,
        "arcsin" => x.asin()?,
        "arccos" => x.acos()?,
        "arctan" => x.atan()?,
        "sinh" => x.sinh()?,
        "cosh" => x.cosh()?,
        "tanh" => x.tanh()?,
        "arcsinh" => x.asinh()?,
        "arccosh" => x.acosh()?,
        "arctanh" => x.atanh()?,
        "erf" => x.erf()?,
        "erfinv" => x.erfinv()?,
        "floor" => x.floor()?,
        "ceil" => x.ceil()?,
        "trunc" => x.trunc()?,
        "round" => match c.int("decimals", 0) {
            0 => x.round()?,
            d => x.mul(10f64.powi(d as i32))?.round()?.div(10f64.powi(d as i32))?,
        },
        "isnan" => x.is_nan()?,
        "isinf" => x.is_inf()?,
        "isfinite" => x.is_finite()?,
        "logical_not" => x.logical_not()?,
        "bitwise_not" | "bitwise_invert" => x.bit_not()?,
        "trace" if x.rank() == 2 => x.mul(&Tensor::eye(x.dims()[0], x.dims()[1], x.dtype(), c.device)?)?.sum(())?,
        "clip" => x.clamp(c.float("x_min", f64::MIN), c.float("x_max", f64::MAX))?,
        "cast" => x.cast(dtype(c.text("dtype", ""))?)?,
        "copy" | "identity" | "convert_to_tensor" => x.clone(),
        "zeros_like" => Tensor::zeros(x.shape(), x.dtype(), c.device)?,
        "ones_like" => Tensor::ones(x.shape(), x.dtype(), c.device)?,
        "full_like" => Tensor::full(x.shape(), c.float("fill_value", 0.0), x.dtype(), c.device)?,
        "power" | "add" | "subtract" | "multiply" | "divide" | "maximum" | "minimum"
            if strs(&c.case.json["inputs"]).len() == 1 =>
        {
            return skip(format!("op `{op}` of one tensor"));
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![out]))
}

fn binary(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    let [a, b] = c.args()[..] else { return Ok(None) };
    let out = match op {
        "add" => a.add(b)?,
        "subtract" => a.sub(b)?,
        "multiply" => a.mul(b)?,
        "divide" | "true_divide" => a.div(b)?,
        "divide_no_nan" => b.eq(0.0)?.select(0.0, &a.div(b)?)?,
        "power" => a.pow(b)?,
        "maximum" => a.maximum(b)?,
        "minimum" => a.minimum(b)?,
        "floor_divide" => a.floor_div(b)?,
        "mod" | "remainder" => a.rem(b)?,
        "fmod" => a.trunc_rem(b)?,
        "arctan2" => a.atan2(b)?,
        "hypot" => a.hypot(b)?,
        "logaddexp" => a.logaddexp(b)?,
        "squared_difference" => a.sub(b)?.square()?,
        "bitwise_and" => a.bit_and(b)?,
        "bitwise_or" => a.bit_or(b)?,
        "bitwise_xor" => a.bit_xor(b)?,
        "left_shift" | "bitwise_left_shift" => a.shl(b)?,
        "right_shift" | "bitwise_right_shift" => a.shr(b)?,
        "equal" => a.eq(b)?,
        "not_equal" => a.ne(b)?,
        "less" => a.lt(b)?,
        "less_equal" => a.le(b)?,
        "greater" => a.gt(b)?,
        "greater_equal" => a.ge(b)?,
        "logical_and" => a.logical_and(b)?,
        "logical_or" => a.logical_or(b)?,
        "logical_xor" => a.logical_xor(b)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![out]))
}

/// A reduction by its two methods, chosen by the call's `keepdims`.
macro_rules! reduce {
    ($c:ident, $x:expr, $plain:ident, $keep:ident) => {
        match ($c.flag("keepdims"), &$c.ints("axis")[..]) {
            // No axis named: all of them.
            (false, []) => $x.$plain(())?,
            (true, []) => $x.$keep(())?,
            (false, axes) => $x.$plain(axes)?,
            (true, axes) => $x.$keep(axes)?,
        }
    };
}

fn reduction(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    let [x] = c.args()[..] else { return Ok(None) };
    let out = match op {
        "sum" => reduce!(c, x, sum, sum_keepdims),
        "mean" | "average" => reduce!(c, x, mean, mean_keepdims),
        "max" | "amax" => reduce!(c, x, max, max_keepdims),
        "min" | "amin" => reduce!(c, x, min, min_keepdims),
        "prod" => reduce!(c, x, prod, prod_keepdims),
        "var" => reduce!(c, x, var, var_keepdims),
        "std" => reduce!(c, x, std, std_keepdims),
        "any" => reduce!(c, x, any, any_keepdims),
        "all" => reduce!(c, x, all, all_keepdims),
        "logsumexp" => reduce!(c, x, logsumexp, logsumexp_keepdims),
        "count_nonzero" => {
            reduce!(c, x.ne(&Tensor::zeros((), x.dtype(), c.device)?)?.cast(DType::I32)?, sum, sum_keepdims)
        }
        "norm" => match (c.attr("ord").as_f64(), c.text("ord", "fro")) {
            (Some(1.0), _) if c.ints("axis").len() == 1 => reduce!(c, x.abs()?, sum, sum_keepdims),
            (Some(2.0), _) if c.ints("axis").len() == 1 => reduce!(c, x.square()?, sum, sum_keepdims).sqrt()?,
            (None, "fro") => reduce!(c, x.square()?, sum, sum_keepdims).sqrt()?,
            _ => return skip(format!("norm of order {}", c.attr("ord"))),
        },
        "argmax" | "argmin" => {
            c.attr("keepdims").as_bool().filter(|keep| *keep).map_or(Ok(()), |_| skip("argmax with `keepdims`"))?;
            let (x, axis) = match c.ints("axis")[..] {
                [axis] => (x.clone(), axis),
                _ => (x.reshape([x.numel()])?, 0),
            };
            if op == "argmax" { x.argmax(axis)? } else { x.argmin(axis)? }
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![out]))
}

/// A dtype by Keras's name.
pub(crate) fn dtype(name: &str) -> Replay<DType> {
    match name {
        "float32" => Ok(DType::F32),
        "int32" => Ok(DType::I32),
        "uint32" => Ok(DType::U32),
        "bool" => Ok(DType::Bool),
        _ => Err(Stop::Skip(format!("dtype `{name}`"))),
    }
}
