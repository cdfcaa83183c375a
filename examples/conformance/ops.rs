//! `keras.ops` names against the crate's calls: pointwise functions, comparisons and reductions here,
//! the rest in the sibling tables. An entry composes at most a couple of calls; what would need more is not
//! in the crate, and its cases are skipped by name.

use std::collections::BTreeMap;

use serde_json::Value;
use wgtensor::{DType, Device, Tensor};

use super::call::{self, Call, Output, Replay, Stop, skip, strs, upload};
use super::case::Case;
use super::{ops_nn, ops_shape};

/// Replays an `op_forward` or `op_grad` case. Everything is recorded first, gradients included, and read after that.
pub(crate) fn replay(case: &Case, device: &Device, gradients: bool) -> Replay<Vec<Output>> {
    let (inputs, outs) = match case.json["op"].as_str() {
        Some("program") => program(case, device, gradients)?,
        _ => single(case, device, gradients)?,
    };
    let expected = case.with_role(&["expected"]);
    if expected.is_empty() {
        return Err(Stop::Fail("the case expects nothing".into()));
    }
    let alone = expected.contains(&"out");
    let label = |i: usize, name: &str| if alone { name.to_string() } else { format!("{name}.{i}") };
    let mut loss: Option<Tensor> = None;
    for (i, out) in outs.iter().enumerate().filter(|(_, out)| gradients && out.dtype().is_float()) {
        let Some(weight) = case.tensor(&label(i, "loss_w")) else { continue };
        let term = out.mul(&upload(weight, device)?)?.sum(())?;
        loss = Some(match loss {
            Some(sum) => sum.add(&term)?,
            None => term,
        });
    }
    let grads = match loss {
        Some(loss) => Some(loss.backward()?),
        None if gradients => return Err(Stop::Fail("no output has a loss weight".into())),
        None => None,
    };
    let mut done = Vec::new();
    for (i, out) in outs.iter().enumerate() {
        done.push(Output::read(label(i, "out"), out)?);
    }
    for name in case.with_role(&["expected_grad"]) {
        let input = name.strip_prefix("grad.").and_then(|n| inputs.get(n));
        let input = input.ok_or(format!("`{name}` names no input"))?;
        done.push(match grads.as_ref().and_then(|g| g.wrt(input)) {
            Some(grad) => Output::read(name, grad)?,
            None => Output { name: name.into(), shape: input.dims().to_vec(), values: vec![0.0; input.numel()] },
        });
    }
    Ok(done)
}

/// The inputs and results of a case.
type Run<'a> = (BTreeMap<&'a str, Tensor>, Vec<Tensor>);

/// A case of one call, whose text says whether it is the plain call of its name or an expression.
fn single<'a>(case: &'a Case, device: &'a Device, tracked: bool) -> Replay<Run<'a>> {
    let call = Call::new(case, device, tracked)?;
    let inputs = call.tensors().clone();
    let text = case.json["call"].as_str().unwrap_or_default();
    if let Some(out) = expression(text, &call)? {
        return Ok((inputs, vec![out]));
    }
    // After the tensors come at most plain arguments, then the one parenthesis that closes the call.
    let arguments = |rest: &str| rest.find(')') == Some(rest.len() - 1) && (rest.len() == 1 || rest.starts_with(", "));
    let plain = call.op == "einsum"
        || ["ops", "activations"].iter().any(|m| text.strip_prefix(&call.opening(m)).is_some_and(arguments));
    if !plain {
        return skip(format!("the expression `{text}`"));
    }
    Ok((inputs, outputs(&call)?))
}

/// A case of several calls. A value is dropped after the last step that uses it, as in a program that users write.
fn program<'a>(case: &'a Case, device: &'a Device, tracked: bool) -> Replay<Run<'a>> {
    let inputs = call::inputs(case, device, tracked)?;
    let steps: Vec<&Value> = case.json["program"].as_array().into_iter().flatten().collect();
    let results = strs(&case.json["results"]);
    let mut values = inputs.clone();
    for (i, step) in steps.iter().enumerate() {
        let call = Call::step(step, &values, device)?;
        let out = outputs(&call)?.pop().ok_or("a step without a result".to_string())?;
        drop(call);
        values.insert(step["out"].as_str().unwrap_or_default(), out);
        let later = |name: &str| steps[i + 1..].iter().any(|s| strs(&s["args"]).contains(&name));
        values.retain(|name, _| results.contains(name) || later(name));
    }
    let outs = results.iter().map(|name| values.get(name).cloned().ok_or(format!("no step gives `{name}`")));
    let outs = outs.collect::<Result<Vec<_>, _>>()?;
    Ok((inputs, outs))
}

/// The results of one call, all of whose arguments have been read.
fn outputs(call: &Call) -> Replay<Vec<Tensor>> {
    for table in [unary, binary, reduction, ops_shape::table, ops_nn::table] {
        call.begin();
        if let Some(out) = table(call)? {
            call.finish()?;
            return Ok(vec![out]);
        }
    }
    call.begin();
    if let Some(outs) = ops_shape::several(call)? {
        call.finish()?;
        return Ok(outs);
    }
    skip(format!("op `{}`", call.op))
}

/// Cases whose call is an expression.
fn expression(text: &str, c: &Call) -> Replay<Option<Tensor>> {
    let x = || c.arg(0);
    Ok(Some(match text {
        "sum(take(x, indices, 0) * w, 0)**2" => x()?.take(c.arg(1)?, 0)?.mul(c.arg(2)?)?.sum(0)?.square()?,
        "x*x + sin(x)*x" => x()?.square()?.add(&x()?.sin()?.mul(x()?)?)?,
        "x * keras.ops.stop_gradient(x)" => x()?.mul(x()?.detach())?,
        "keras.ops.where(x > 0.5, keras.ops.sqrt(x), zeros_like(x))" => x()?.gt(0.5)?.where_(&x()?.sqrt()?, 0.0)?,
        "keras.ops.stack([keras.ops.power(x1, 2), keras.ops.power(x1, 3)])" => {
            Tensor::stack([&x()?.pow(2.0)?, &x()?.pow(3.0)?], 0)?
        }
        "keras.ops.matmul(keras.ops.transpose(x1), keras.ops.transpose(x2))" => x()?.t()?.matmul(&c.arg(1)?.t()?)?,
        "x[1:6:2, ::3]" => x()?.slice_step(0, Some(1), Some(6), 2)?.slice_step(1, None, None, 3)?,
        "x[::-1, -2:]" => x()?.slice_step(0, None, None, -1)?.slice(1, -2..)?,
        _ => return Ok(None),
    }))
}

fn unary(c: &Call) -> Replay<Option<Tensor>> {
    if c.count() != 1 {
        return Ok(None);
    }
    let x = c.arg(0)?;
    let out = match c.op {
        "abs" | "absolute" => x.abs()?,
        "negative" => x.neg()?,
        "sign" => x.sign()?,
        "square" => x.square()?,
        "sqrt" => x.sqrt()?,
        "cbrt" => x.cbrt()?,
        "rsqrt" => x.rsqrt()?,
        "reciprocal" => x.reciprocal()?,
        "exp" => x.exp()?,
        "exp2" => x.exp2()?,
        "expm1" => x.expm1()?,
        "log" => x.log()?,
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
        "stop_gradient" => x.detach(),
        "round" => match c.int("decimals", 0)? {
            0 => x.round()?,
            d => x.mul(10f64.powi(d as i32))?.round()?.div(10f64.powi(d as i32))?,
        },
        "deg2rad" => x.mul(std::f64::consts::PI / 180.0)?,
        "rad2deg" => x.mul(180.0 / std::f64::consts::PI)?,
        "isposinf" => x.eq(f64::INFINITY)?,
        "isneginf" => x.eq(f64::NEG_INFINITY)?,
        "isnan" => x.isnan()?,
        "isinf" => x.isinf()?,
        "isfinite" => x.isfinite()?,
        "logical_not" => x.logical_not()?,
        "bitwise_not" | "bitwise_invert" => x.bitwise_not()?,
        "trace" if x.rank() == 2 => x.mul(&Tensor::eye(x.dims()[0], x.dims()[1], x.dtype(), c.device)?)?.sum(())?,
        "clip" => x.clip(c.float("x_min", f64::NEG_INFINITY)?, c.float("x_max", f64::INFINITY)?)?,
        "cast" => x.cast(dtype(c.text("dtype", "")?)?)?,
        "copy" | "identity" | "convert_to_tensor" => x.clone(),
        "zeros_like" => Tensor::zeros(x.shape(), x.dtype(), c.device)?,
        "ones_like" => Tensor::ones(x.shape(), x.dtype(), c.device)?,
        "full_like" => Tensor::full(x.shape(), c.float("fill_value", 0.0)?, x.dtype(), c.device)?,
        _ => return Ok(None),
    };
    Ok(Some(out))
}

fn binary(c: &Call) -> Replay<Option<Tensor>> {
    if c.count() != 2 {
        return Ok(None);
    }
    let (a, b) = (c.arg(0)?, c.arg(1)?);
    let out = match c.op {
        "add" => a.add(b)?,
        "subtract" => a.sub(b)?,
        "multiply" => a.mul(b)?,
        "divide" | "true_divide" => a.div(b)?,
        "divide_no_nan" => b.eq(0.0)?.where_(0.0, &a.div(b)?)?,
        "power" => a.pow(b)?,
        "maximum" => a.maximum(b)?,
        "minimum" => a.minimum(b)?,
        "floor_divide" => a.floor_divide(b)?,
        "mod" | "remainder" => a.rem(b)?,
        "fmod" => a.fmod(b)?,
        "arctan2" => a.atan2(b)?,
        "hypot" => a.hypot(b)?,
        "logaddexp" => a.logaddexp(b)?,
        "isclose" => a.isclose(b, c.float("rtol", 1e-5)?, c.float("atol", 1e-8)?, c.flag("equal_nan")?)?,
        "cross" => cross(c)?,
        "digitize" => a.digitize(b)?,
        "searchsorted" => a.searchsorted(b, c.text("side", "left")? == "right")?,
        "inner" if a.rank() == 1 && b.rank() == 1 => a.matmul(b)?,
        "squared_difference" => a.sub(b)?.square()?,
        "bitwise_and" => a.bitwise_and(b)?,
        "bitwise_or" => a.bitwise_or(b)?,
        "bitwise_xor" => a.bitwise_xor(b)?,
        "left_shift" | "bitwise_left_shift" => a.left_shift(b)?,
        "right_shift" | "bitwise_right_shift" => a.right_shift(b)?,
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
    Ok(Some(out))
}

/// A reduction by its two methods, chosen by the call's `keepdims`.
macro_rules! reduce {
    ($c:ident, $x:expr, $plain:ident, $keep:ident) => {
        match ($c.flag("keepdims")?, $c.ints("axis")?) {
            // No axis named: all of them.
            (false, None) => $x.$plain(())?,
            (true, None) => $x.$keep(())?,
            (false, Some(axes)) => $x.$plain(axes)?,
            (true, Some(axes)) => $x.$keep(axes)?,
        }
    };
}

fn reduction(c: &Call) -> Replay<Option<Tensor>> {
    if c.count() != 1 {
        return Ok(None);
    }
    let x = c.arg(0)?;
    let out = match c.op {
        "sum" => reduce!(c, x, sum, sum_keepdims),
        "mean" | "average" => reduce!(c, x, mean, mean_keepdims),
        "max" | "amax" => reduce!(c, x, max, max_keepdims),
        "min" | "amin" => reduce!(c, x, min, min_keepdims),
        "prod" => reduce!(c, x, prod, prod_keepdims),
        "var" => reduce!(c, x, var, var_keepdims),
        "std" => reduce!(c, x, std, std_keepdims),
        "any" => reduce!(c, x, any, any_keepdims),
        "all" => reduce!(c, x, all, all_keepdims),
        "median" => reduce!(c, x, median, median_keepdims),
        "logsumexp" => reduce!(c, x, logsumexp, logsumexp_keepdims),
        "count_nonzero" => {
            reduce!(c, x.ne(&Tensor::zeros((), x.dtype(), c.device)?)?.cast(DType::I32)?, sum, sum_keepdims)
        }
        "norm" => match c.attr("ord") {
            Some(one) if one == 1 && c.optional_int("axis")?.is_some() => reduce!(c, x.abs()?, sum, sum_keepdims),
            Some(two) if two == 2 && c.optional_int("axis")?.is_some() => {
                reduce!(c, x.square()?, sum, sum_keepdims).sqrt()?
            }
            None => reduce!(c, x.square()?, sum, sum_keepdims).sqrt()?,
            Some(order) if order == "fro" => reduce!(c, x.square()?, sum, sum_keepdims).sqrt()?,
            Some(order) => return c.odd("ord", order),
        },
        "argmax" | "argmin" => {
            let (flat, axis) = match c.optional_int("axis")? {
                Some(axis) => (x.clone(), axis),
                None => (x.reshape([x.numel()])?, 0),
            };
            let place = if c.op == "argmax" { flat.argmax(axis)? } else { flat.argmin(axis)? };
            match (c.flag("keepdims")?, c.optional_int("axis")?) {
                (false, _) => place,
                (true, Some(axis)) => place.expand_dims(axis)?,
                (true, None) => place.reshape(vec![1; x.rank()])?,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(out))
}

/// A cross product along one axis, the same for the operands and the result.
fn cross(c: &Call) -> Replay<Tensor> {
    let axis = |key: &str| c.int(key, -1);
    match (c.optional_int("axis")?, axis("axisa")?, axis("axisb")?, axis("axisc")?) {
        (Some(axis), ..) => Ok(c.arg(0)?.cross(c.arg(1)?, axis)?),
        (None, a, b, out) if a == b && b == out => Ok(c.arg(0)?.cross(c.arg(1)?, a)?),
        _ => skip("cross with several axes"),
    }
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
