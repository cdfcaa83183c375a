//! The `error` kind: calls that must give a recoverable error.

use wgtensor::nn::optimizers::IntoOptimizer;
use wgtensor::nn::prelude::*;
use wgtensor::{ConvOptions, DType, Device, Result, Tensor};

use super::call::{Output, Replay, Stop, skip};
use super::case::Case;

/// Passes where the call gives an error (the runner turns a panic into a failure).
pub(crate) fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let call = case.json["call"].as_str().unwrap_or_default();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
    let done: Result<String> = match call {
        "keras.ops.concatenate([zeros(2,3), zeros(3,4)], axis=1)" => {
            Tensor::concat([&zeros(&[2, 3])?, &zeros(&[3, 4])?], 1).map(described)
        }
        "keras.ops.conv(zeros(1,5,5,3), zeros(3,3,4,2))" => {
            zeros(&[1, 5, 5, 3])?.conv2d(&zeros(&[3, 3, 4, 2])?, &ConvOptions::default()).map(described)
        }
        "keras.ops.expand_dims(zeros(2,3), 5)" => zeros(&[2, 3])?.expand_dims(5).map(described),
        "keras.ops.pad(zeros(2,3), [[1,1],[1,1],[1,1]])" => zeros(&[2, 3])?.pad(&[(1, 1); 3], 0.0).map(described),
        "keras.ops.squeeze(zeros(2,3), 1)" => zeros(&[2, 3])?.squeeze(1).map(described),
        "keras.ops.sum(zeros(2,3), axis=2)" => zeros(&[2, 3])?.sum(2).map(described),
        "keras.ops.transpose(zeros(2,3), (0,0))" => zeros(&[2, 3])?.transpose([0, 0]).map(described),
        "keras.ops.matmul(zeros(2,3), zeros(4,5))" => zeros(&[2, 3])?.matmul(&zeros(&[4, 5])?).map(described),
        "keras.ops.add(zeros(2,3), zeros(4))" => zeros(&[2, 3])?.add(&zeros(&[4])?).map(described),
        "keras.ops.reshape(zeros(2,3), (4,2))" => zeros(&[2, 3])?.reshape([4, 2]).map(described),
        "Dense(2) built on (None,5), then called on zeros(3,6)" => {
            let mut model = Sequential::new().add(Dense::new(2));
            model.build([5])?;
            model.call(&zeros(&[3, 6])?, false).map(described)
        }
        "Dense layer built with kernel (5,2): set_weights([zeros(4,2), zeros(2)])" => {
            let mut model = Sequential::new().add(Dense::new(2));
            model.build([5])?;
            model.set_weights(&[zeros(&[4, 2])?, zeros(&[2])?]).map(|()| "weights of another shape".into())
        }
        "model for (None,4) fitted on zeros(8,5)" => {
            let mut model = Sequential::new().add(Dense::new(1));
            model.build([4])?;
            model.compile("sgd", "mse", ())?;
            model.fit(&zeros(&[8, 5])?, &zeros(&[8, 1])?, Fit::new().verbose(0)).map(|_| "a history".into())
        }
        "Sequential [Dense(2)] without input shape: count_params()" => {
            Sequential::new().add(Dense::new(2)).count_params().map(|n| format!("{n} parameters"))
        }
        "SGD(clipnorm=1, clipvalue=1)" => {
            let clipped = SGD::default().clipnorm(1.0).clipvalue(1.0).into_optimizer()?;
            clipped.check().map(|()| "an optimizer".into())
        }
        "compile(optimizer='adamm')" => {
            Sequential::new().add(Dense::new(2)).compile("adamm", "mse", ()).map(|()| "a compiled model".into())
        }
        other => return skip(format!("call `{other}`")),
    };
    match done {
        Err(_) => Ok(Vec::new()),
        Ok(got) => Err(Stop::Fail(format!("`{call}` gave {got} and no error"))),
    }
}

fn described(tensor: Tensor) -> String {
    format!("a tensor of shape {}", tensor.shape())
}
