//! The `error` kind: calls that must give a recoverable error.

use wgtensor::{Conv2d, DType, Device, Result, Tensor};

use super::call::{Output, Replay, Stop, skip};
use super::case::Case;

/// Passes where the call gives an error (the runner turns a panic into a failure).
pub fn replay(case: &Case, device: &Device) -> Replay<Vec<Output>> {
    let call = case.json["call"].as_str().unwrap_or_default();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
    let done: Result<String> = match call {
        "keras.ops.concatenate([zeros(2,3), zeros(3,4)], axis=1)" => {
            Tensor::concat(&[&zeros(&[2, 3])?, &zeros(&[3, 4])?], 1).map(described)
        }
        "keras.ops.conv(zeros(1,5,5,3), zeros(3,3,4,2))" => {
            zeros(&[1, 5, 5, 3])?.conv2d(&zeros(&[3, 3, 4, 2])?, &Conv2d::default()).map(described)
        }
        "keras.ops.expand_dims(zeros(2,3), 5)" => zeros(&[2, 3])?.unsqueeze(5).map(described),
        "keras.ops.pad(zeros(2,3), [[1,1],[1,1],[1,1]])" => zeros(&[2, 3])?.pad(&[(1, 1); 3], 0.0).map(described),
        "keras.ops.squeeze(zeros(2,3), 1)" => zeros(&[2, 3])?.squeeze(1).map(described),
        "keras.ops.sum(zeros(2,3), axis=2)" => zeros(&[2, 3])?.sum(2).map(described),
        "keras.ops.transpose(zeros(2,3), (0,0))" => zeros(&[2, 3])?.permute(&[0, 0]).map(described),
        "keras.ops.matmul(zeros(2,3), zeros(4,5))" => zeros(&[2, 3])?.matmul(&zeros(&[4, 5])?).map(described),
        "keras.ops.add(zeros(2,3), zeros(4))" => zeros(&[2, 3])?.add(&zeros(&[4])?).map(described),
        "keras.ops.reshape(zeros(2,3), (4,2))" => zeros(&[2, 3])?.reshape([4, 2]).map(described),
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
