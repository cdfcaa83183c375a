//! `keras.ops` that move, select or build elements.

use wgtensor::{DType, Tensor};

use super::call::{Call, Replay, skip};
use super::case::usizes;

/// The table; `None` where the name is not in it.
pub(crate) fn table(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    if let Some(outs) = several(op, c)? {
        return Ok(Some(outs));
    }
    let x = || c.arg(0);
    let rank = |t: &Tensor| t.rank() as isize;
    let out = match op {
        "reshape" => x()?.reshape_infer(&c.ints("newshape").into_iter().chain(c.ints("shape")).collect::<Vec<_>>())?,
        "ravel" => x()?.reshape([x()?.numel()])?,
        "expand_dims" => x()?.unsqueeze(c.int("axis", 0))?,
        "squeeze" => match c.ints("axis")[..] {
            [axis] => x()?.squeeze(axis)?,
            _ => return skip("squeeze of several axes"),
        },
        "broadcast_to" => x()?.expand(usizes(c.attr("shape")))?,
        "transpose" => match &c.ints("axes")[..] {
            [] => x()?.permute(&(0..rank(x()?)).rev().collect::<Vec<_>>())?,
            axes => x()?.permute(axes)?,
        },
        "swapaxes" => x()?.transpose(c.int("axis1", 0), c.int("axis2", 1))?,
        "moveaxis" => match (&c.ints("source")[..], &c.ints("destination")[..]) {
            ([from], [to]) => {
                let n = rank(x()?);
                let mut order: Vec<isize> = (0..n).collect();
                let axis = order.remove(from.rem_euclid(n) as usize);
                order.insert(to.rem_euclid(n) as usize, axis);
                x()?.permute(&order)?
            }
            _ => return skip("moveaxis of several axes"),
        },
        "flip" => match &c.ints("axis")[..] {
            [] => x()?.flip(&(0..rank(x()?)).collect::<Vec<_>>())?,
            axes => x()?.flip(axes)?,
        },
        "concatenate" => Tensor::concat(&c.args(), c.int("axis", 0))?,
        "hstack" => Tensor::concat(&c.args(), if x()?.rank() == 1 { 0 } else { 1 })?,
        "stack" => Tensor::stack(&c.args(), c.int("axis", 0))?,
        "tile" => {
            let repeats: Vec<usize> = c.ints("repeats").iter().map(|&r| r as usize).collect();
            x()?.tile(repeats)?
        }
        "repeat" if c.attr("repeats").is_u64() && !c.attr("axis").is_null() => {
            x()?.repeat(c.int("repeats", 1) as usize, c.int("axis", 0))?
        }
        "take" if !c.attr("axis").is_null() => x()?.take(c.arg(1)?, c.int("axis", 0))?,
        "take_along_axis" if !c.attr("axis").is_null() => x()?.take_along_axis(c.arg(1)?, c.int("axis", 0))?,
        "one_hot" => x()?.one_hot(c.int("num_classes", 0) as usize, DType::F32)?,
        "where" if c.args().len() == 3 => x()?.select(c.arg(1)?, c.arg(2)?)?,
        "slice" => {
            let mut out = x()?.clone();
            for (axis, (start, len)) in c.ints("start_indices").iter().zip(c.ints("shape")).enumerate() {
                out = out.narrow(axis as isize, *start as usize, len as usize)?;
            }
            out
        }
        "strided_slice" => match c.case.json["call"].as_str().unwrap_or_default() {
            "x[1:6:2, ::3]" => x()?.slice_step(0, Some(1), Some(6), 2)?.slice_step(1, None, None, 3)?,
            "x[::-1, -2:]" => x()?.slice_step(0, None, None, -1)?.slice(1, -2..)?,
            other => return skip(format!("slice `{other}`")),
        },
        "pad" => pad(c)?,
        "scatter" => {
            // Only rows: indices of one column index the first axis.
            let [n, 1] = x()?.dims()[..] else { return skip("scatter by several indices") };
            let zeros = Tensor::zeros(usizes(c.attr("shape")), c.arg(1)?.dtype(), c.device)?;
            zeros.index_add(0, &x()?.reshape([n])?, c.arg(1)?)?
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![out]))
}

/// Operations with several results.
fn several(op: &str, c: &Call) -> Replay<Option<Vec<Tensor>>> {
    Ok(Some(match op {
        "split" | "array_split" => {
            let (x, axis) = (c.arg(0)?, c.int("axis", 0));
            let n = x.dims()[axis.rem_euclid(x.rank() as isize) as usize];
            let sizes: Vec<usize> = match c.attr("indices_or_sections").as_u64() {
                Some(parts) if n.is_multiple_of(parts as usize) => vec![n / parts as usize; parts as usize],
                Some(_) => return skip("split into unequal parts by count"),
                None => {
                    let mut edges = vec![0];
                    edges.extend(usizes(c.attr("indices_or_sections")));
                    edges.push(n);
                    edges.windows(2).map(|w| w[1] - w[0]).collect()
                }
            };
            x.split(axis, &sizes)?
        }
        "unstack" => {
            let (x, axis) = (c.arg(0)?, c.int("axis", 0));
            let n = x.dims()[axis.rem_euclid(x.rank() as isize) as usize];
            (0..n as isize).map(|i| x.select_index(axis, i)).collect::<Result<_, _>>()?
        }
        _ => return Ok(None),
    }))
}

fn pad(c: &Call) -> Replay<Tensor> {
    let x = c.arg(0)?;
    let mode = c.text("mode", "constant");
    if mode != "constant" {
        return skip(format!("pad with mode `{mode}`"));
    }
    let width = c.attr("pad_width");
    let widths: Vec<(usize, usize)> = match width.as_u64() {
        Some(n) => vec![(n as usize, n as usize); x.rank()],
        None => width.as_array().into_iter().flatten().map(|w| (usizes(w)[0], usizes(w)[1])).collect(),
    };
    Ok(x.pad(&widths, c.float("constant_values", 0.0))?)
}
