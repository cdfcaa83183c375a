//! `keras.ops` that move, select or build elements.

use serde_json::Value;
use wgtensor::{PadMode, Tensor};

use super::call::{Call, Replay, skip};
use super::ops::dtype;

/// The table; `None` where the name is not in it.
pub(crate) fn table(c: &Call) -> Replay<Option<Tensor>> {
    let x = || c.arg(0);
    let rank = |t: &Tensor| t.rank() as isize;
    let out = match c.op {
        "reshape" => match (c.ints("newshape")?, c.ints("shape")?) {
            (Some(shape), None) | (None, Some(shape)) => x()?.reshape(&shape)?,
            _ => return skip("reshape without one shape"),
        },
        "ravel" => x()?.reshape(-1)?,
        "expand_dims" => x()?.expand_dims(c.ints("axis")?)?,
        "squeeze" => x()?.squeeze(c.ints("axis")?)?,
        "broadcast_to" => x()?.broadcast_to(c.sizes("shape")?)?,
        "transpose" => x()?.transpose(c.ints("axes")?)?,
        "swapaxes" => x()?.swapaxes(c.int("axis1", 0)?, c.int("axis2", 1)?)?,
        "moveaxis" => {
            let (n, from, to) = (rank(x()?), c.int("source", 0)?, c.int("destination", 0)?);
            let mut order: Vec<isize> = (0..n).collect();
            let axis = order.remove(from.rem_euclid(n) as usize);
            order.insert(to.rem_euclid(n) as usize, axis);
            x()?.transpose(&order)?
        }
        "roll" => {
            let shift = c.int("shift", 0)?;
            along(c, None, |x, axis| x.roll(shift, axis))?.reshape(x()?.shape())?
        }
        "sort" => along(c, Some(-1), Tensor::sort)?,
        "argsort" => along(c, Some(-1), Tensor::argsort)?,
        "cumsum" => along(c, None, Tensor::cumsum)?,
        "cumprod" => along(c, None, Tensor::cumprod)?,
        "tril" => x()?.tril(c.int("k", 0)?)?,
        "triu" => x()?.triu(c.int("k", 0)?)?,
        "flip" => x()?.flip(c.ints("axis")?)?,
        "concatenate" => Tensor::concat(&c.args(), c.int("axis", 0)?)?,
        "vstack" if x()?.rank() > 1 => Tensor::concat(&c.args(), 0)?,
        "hstack" => Tensor::concat(&c.args(), if x()?.rank() == 1 { 0 } else { 1 })?,
        "stack" => Tensor::stack(&c.args(), c.int("axis", 0)?)?,
        "tile" => {
            let mut repeats = c.sizes("repeats")?;
            // NumPy puts ones in front of a short list of repeats.
            let missing = x()?.rank().saturating_sub(repeats.len());
            repeats.splice(..0, vec![1; missing]);
            x()?.tile(repeats)?
        }
        "repeat" => {
            let repeats = c.size("repeats", 1)?;
            match c.optional_int("axis")? {
                Some(axis) => x()?.repeat(repeats, axis)?,
                None => x()?.reshape(-1)?.repeat(repeats, 0)?,
            }
        }
        "take" => match c.optional_int("axis")? {
            Some(axis) => x()?.take(c.arg(1)?, axis)?,
            None => x()?.reshape(-1)?.take(c.arg(1)?, 0)?,
        },
        "take_along_axis" => match c.optional_int("axis")? {
            Some(axis) => x()?.take_along_axis(c.arg(1)?, axis)?,
            None => return skip("take_along_axis without an axis"),
        },
        "one_hot" => {
            x()?.one_hot(c.size("num_classes", 0)?, c.int("axis", -1)?, dtype(c.text("dtype", "float32")?)?)?
        }
        "where" => x()?.where_(c.arg(1)?, c.arg(2)?)?,
        "slice" => {
            let (starts, extents) = (c.sizes("start_indices")?, c.sizes("shape")?);
            if starts.len() != x()?.rank() || extents.len() != x()?.rank() {
                return skip("slice of some axes");
            }
            let mut out = x()?.clone();
            for (axis, (&start, &len)) in starts.iter().zip(&extents).enumerate() {
                out = out.narrow(axis, start, len)?;
            }
            out
        }
        "pad" => pad(c)?,
        "scatter" => Tensor::scatter(x()?, c.arg(1)?, c.sizes("shape")?)?,
        "scatter_update" => match c.attr("reduction") {
            None | Some(Value::Null) => x()?.scatter_update(c.arg(1)?, c.arg(2)?)?,
            Some(add) if add == "add" => x()?.scatter_add(c.arg(1)?, c.arg(2)?)?,
            Some(other) => return c.odd("reduction", other),
        },
        "slice_update" => x()?.slice_update(&c.sizes("start_indices")?, c.arg(1)?)?,
        _ => return Ok(None),
    };
    Ok(Some(out))
}

/// What is done along the call's axis: along all elements in a row where it is null, or where it is left out and there
/// is no other `default`.
fn along(c: &Call, default: Option<isize>, f: impl Fn(&Tensor, isize) -> wgtensor::Result<Tensor>) -> Replay<Tensor> {
    let (x, named) = (c.arg(0)?, c.attr("axis").is_some());
    Ok(match c.optional_int("axis")?.or(default.filter(|_| !named)) {
        Some(axis) => f(x, axis)?,
        None => f(&x.reshape([x.numel()])?, 0)?,
    })
}

/// Operations with several results; `None` where the name is not among them.
pub(crate) fn several(c: &Call) -> Replay<Option<Vec<Tensor>>> {
    Ok(Some(match c.op {
        "split" | "array_split" => {
            let (x, axis) = (c.arg(0)?, c.int("axis", 0)?);
            let n = x.dims()[axis.rem_euclid(x.rank() as isize) as usize];
            let sizes: Vec<usize> = match c.attr("indices_or_sections").and_then(Value::as_u64) {
                Some(parts) if n.is_multiple_of(parts as usize) => vec![n / parts as usize; parts as usize],
                Some(_) => return skip("split into unequal parts by count"),
                None => {
                    let edges = [vec![0], c.sizes("indices_or_sections")?, vec![n]].concat();
                    if !edges.is_sorted() {
                        return skip("split at places out of order");
                    }
                    edges.windows(2).map(|w| w[1] - w[0]).collect()
                }
            };
            x.split(axis, &sizes)?
        }
        "top_k" => {
            let x = c.arg(0)?;
            // In order is one of the orders that "not sorted" allows, but not the reference's.
            if !c.truth("sorted", true)? {
                return skip("top_k that is not sorted");
            }
            let (values, places) = x.top_k(c.size("k", 1)?, -1)?;
            vec![values, places]
        }
        "moments" => {
            let (x, axes) = (c.arg(0)?, c.ints("axes")?.unwrap_or_default());
            match c.flag("keepdims")? {
                false => vec![x.mean(&axes)?, x.var(&axes)?],
                true => vec![x.mean_keepdims(&axes)?, x.var_keepdims(&axes)?],
            }
        }
        "unstack" => {
            let (x, axis) = (c.arg(0)?, c.int("axis", 0)?);
            let n = x.dims()[axis.rem_euclid(x.rank() as isize) as usize];
            if c.optional_int("num")?.is_some_and(|num| num != n as isize) {
                return c.odd("num", c.attr("num").unwrap_or(&Value::Null));
            }
            (0..n as isize).map(|i| x.take(i, axis)).collect::<Result<_, _>>()?
        }
        _ => return Ok(None),
    }))
}

fn pad(c: &Call) -> Replay<Tensor> {
    let x = c.arg(0)?;
    let mode = c.text("mode", "constant")?;
    let Some(width) = c.attr("pad_width") else { return skip("pad without `pad_width`") };
    let pair = |w: &Value| match &w.as_array()?[..] {
        [before, after] => Some((before.as_u64()? as usize, after.as_u64()? as usize)),
        _ => None,
    };
    let pairs = || width.as_array()?.iter().map(pair).collect::<Option<Vec<_>>>();
    let one = width.as_u64().map(|n| (n as usize, n as usize)).or_else(|| pair(width));
    let Some(widths) = one.map(|w| vec![w; x.rank()]).or_else(pairs) else { return c.odd("pad_width", width) };
    let mode = match mode {
        "constant" => match c.attr("constant_values") {
            None | Some(Value::Null) => PadMode::Constant(0.0),
            Some(_) => PadMode::Constant(c.float("constant_values", 0.0)?),
        },
        "reflect" => PadMode::Reflect,
        "symmetric" => PadMode::Symmetric,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return skip(format!("pad with mode `{other}`")),
    };
    Ok(x.pad(&widths, mode)?)
}
