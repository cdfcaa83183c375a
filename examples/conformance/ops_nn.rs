//! `keras.ops` of neural networks and linear algebra.

use wgtensor::{ConvOptions, Padding, PoolOptions, Tensor};

use super::call::{Call, Replay, skip};

/// The table; `None` where the name is not in it.
pub(crate) fn table(c: &Call) -> Replay<Option<Tensor>> {
    let x = || c.arg(0);
    let out = match c.op {
        "relu" => x()?.relu()?,
        "relu6" => x()?.relu6()?,
        "sigmoid" => x()?.sigmoid()?,
        "softplus" => x()?.softplus()?,
        "log_sigmoid" => x()?.log_sigmoid()?,
        "softsign" => x()?.softsign()?,
        "silu" | "swish" => x()?.silu()?,
        "gelu" => x()?.gelu(c.truth("approximate", true)?)?,
        "elu" => x()?.elu(c.float("alpha", 1.0)?)?,
        "selu" => x()?.selu()?,
        "celu" => x()?.celu(c.float("alpha", 1.0)?)?,
        "mish" => x()?.mish()?,
        "hard_sigmoid" => x()?.hard_sigmoid()?,
        "hard_silu" | "hard_swish" => x()?.hard_silu()?,
        "hard_tanh" => x()?.hard_tanh()?,
        "tanh_shrink" => x()?.tanh_shrink()?,
        "soft_shrink" => x()?.soft_shrink(c.float("threshold", 0.5)?)?,
        "hard_shrink" => x()?.hard_shrink(c.float("threshold", 0.5)?)?,
        "leaky_relu" => x()?.leaky_relu(c.float("negative_slope", 0.2)?)?,
        "threshold" => x()?.threshold(c.float("threshold", 0.0)?, c.float("default_value", 0.0)?)?,
        "squareplus" => x()?.squareplus(c.float("b", 4.0)?)?,
        "sparse_plus" => x()?.sparse_plus()?,
        "sparse_sigmoid" => x()?.sparse_sigmoid()?,
        "softmax" => x()?.softmax(c.int("axis", -1)?)?,
        "log_softmax" => x()?.log_softmax(c.int("axis", -1)?)?,
        // Keras 3.15 adds up the running sums instead of the elements (its results are no distributions).
        "sparsemax" => return skip("op `sparsemax` as the reference has it"),
        "normalize" => x()?.normalize(c.int("axis", -1)?, c.size("order", 2)? as u32)?,
        "layer_normalization" => {
            let (axes, epsilon) = (c.ints("axis")?.unwrap_or(vec![-1]), c.float("epsilon", 1e-7)?);
            x()?.layer_normalization(c.named("gamma"), c.named("beta"), axes, epsilon)?
        }
        "rms_normalization" => {
            let (axes, epsilon) = (c.ints("axis")?.unwrap_or(vec![-1]), c.float("epsilon", 1e-7)?);
            x()?.rms_normalization(c.named("scale"), axes, epsilon)?
        }
        "batch_normalization" => {
            let (mean, variance, axis) = (c.arg(1)?, c.arg(2)?, c.int("axis", -1)?);
            let epsilon = c.float("epsilon", 1e-3)?;
            x()?.batch_normalization(mean, variance, axis, c.named("offset"), c.named("scale"), epsilon)?
        }
        "glu" => {
            let axis = c.int("axis", -1)?;
            let half = x()?.dims()[axis.rem_euclid(x()?.rank() as isize) as usize] / 2;
            let parts = x()?.split(axis, &[half, half])?;
            parts[0].mul(&parts[1].sigmoid()?)?
        }
        "matmul" => x()?.matmul(c.arg(1)?)?,
        "dot" if c.arg(1)?.rank() <= 2 && x()?.rank() > 0 => x()?.matmul(c.arg(1)?)?,
        "outer" => x()?.reshape([x()?.numel(), 1])?.mul(&c.arg(1)?.reshape([1, c.arg(1)?.numel()])?)?,
        "vdot" => x()?.mul(c.arg(1)?)?.sum(())?,
        "einsum" => match c.text("subscripts", "")? {
            "bij,bjk->bik" | "ij,jk->ik" | "abc,cd->abd" => x()?.matmul(c.arg(1)?)?,
            "ij,ji->" => x()?.mul(&c.arg(1)?.t()?)?.sum(())?,
            other => return skip(format!("einsum `{other}`")),
        },
        "conv" => {
            let (channels, kernel) = (*x()?.dims().last().unwrap_or(&0), c.arg(1)?);
            let per_group = kernel.dims()[kernel.rank() - 2];
            x()?.conv2d(kernel, &conv(c, channels / per_group.max(1))?)?
        }
        "depthwise_conv" => depthwise(c)?,
        "separable_conv" => depthwise(c)?.conv2d(c.arg(2)?, &ConvOptions::default())?,
        "max_pool" => x()?.max_pool2d(&pool(c)?)?,
        "average_pool" => x()?.avg_pool2d(&pool(c)?)?,
        _ => return Ok(None),
    };
    Ok(Some(out))
}

fn depthwise(c: &Call) -> Replay<Tensor> {
    let kernel = c.arg(1)?;
    let [h, w, channels, multiplier] = kernel.dims()[..] else {
        return skip(format!("convolution in {} dimensions", kernel.rank() - 2));
    };
    Ok(c.arg(0)?.conv2d(&kernel.reshape([h, w, 1, channels * multiplier])?, &conv(c, channels)?)?)
}

fn conv(c: &Call, groups: usize) -> Replay<ConvOptions> {
    let [strides, dilation] = [pair(c, "strides", 1)?, pair(c, "dilation_rate", 1)?];
    Ok(ConvOptions { strides, padding: padding(c)?, dilation, groups })
}

fn pool(c: &Call) -> Replay<PoolOptions> {
    let size = pair(c, "pool_size", 2)?;
    let strides = if c.ints("strides")?.is_none() { size } else { pair(c, "strides", 1)? };
    Ok(PoolOptions { size, strides, padding: padding(c)? })
}

/// One number for each of the two image axes.
fn pair(c: &Call, key: &str, default: usize) -> Replay<(usize, usize)> {
    let spatial = c.arg(0)?.rank().saturating_sub(2);
    if spatial != 2 {
        return skip(format!("op `{}` in {spatial} dimensions", c.op));
    }
    let [h, w] = c.each(key, default)?;
    Ok((h, w))
}

fn padding(c: &Call) -> Replay<Padding> {
    if c.text("data_format", "channels_last")? != "channels_last" {
        return skip("data_format `channels_first`");
    }
    match c.text("padding", "valid")? {
        "valid" => Ok(Padding::Valid),
        "same" => Ok(Padding::Same),
        other => skip(format!("padding `{other}`")),
    }
}
