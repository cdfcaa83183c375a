//! An operation that the crate does not have, in WGSL and for the CPU engine: rotary position embedding, which turns
//! pairs of features by angles that grow with the position. Its gradient is the same turn backwards.
//!
//! Source: Su et al., RoFormer, 2021, equation 34.
//!
//! ```text
//! cargo run --release --example own_kernel
//! ```

use wgtensor::{CustomOp, Device, Result, Tensor};

const WGSL: &str = "
struct Numbers { features: u32, base: f32, direction: f32 }
@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> x: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2<f32>>;

@compute @workgroup_size(64)
fn rotate(@builtin(global_invocation_id) id: vec3<u32>) {
    let pairs = n.features / 2u;
    let pair = id.x % pairs;
    let position = f32(id.x / pairs);
    let angle = n.direction * position * pow(n.base, -2.0 * f32(pair) / f32(n.features));
    if id.x < arrayLength(&x) {
        let v = x[id.x];
        y[id.x] = vec2(v.x * cos(angle) - v.y * sin(angle), v.x * sin(angle) + v.y * cos(angle));
    }
}";

/// Turns `x` of shape `(positions, features)`; `direction` is 1, or -1 for back.
fn rotary(x: &Tensor, direction: f32) -> Result<Tensor> {
    let features = x.dims()[1];
    let op = CustomOp::new("rotary")
        .wgsl(WGSL)?
        .cpu(move |mut call| {
            let x = call.input::<f32>(0).to_vec();
            for (i, (y, x)) in call.output::<f32>().chunks_mut(2).zip(x.chunks(2)).enumerate() {
                let (position, pair) = (i / (features / 2), i % (features / 2));
                let angle = direction * position as f32 * 10_000f32.powf(-2.0 * pair as f32 / features as f32);
                let (sin, cos) = angle.sin_cos();
                y.copy_from_slice(&[x[0] * cos - x[1] * sin, x[0] * sin + x[1] * cos]);
            }
        })
        .gradient(move |_, _, grad| Ok(vec![Some(rotary(grad, -direction)?)]));
    op.call([x], x.shape(), x.dtype(), &[features as u32, 10_000f32.to_bits(), direction.to_bits()])
}

fn main() -> Result<()> {
    let device = Device::from_env()?;
    println!("on {}", device.info().name);
    let x = Tensor::normal([6, 8], 0.0, 1.0, 1, &device)?.requires_grad();
    let y = rotary(&x, 1.0)?;
    println!("turned:\n{y}");
    let back = rotary(&y, -1.0)?.sub(&x)?.abs()?.max(())?.item::<f32>()?;
    println!("turned back it differs by at most {back:e}");
    // A turn keeps lengths, so the gradient of the squared length is 2 x.
    let grads = y.square()?.sum(())?.backward()?;
    let off = grads.wrt(&x).expect("tracked").sub(x.mul(2.0)?)?.abs()?.max(())?.item::<f32>()?;
    println!("the gradient of the squared length differs from 2 x by at most {off:e}");
    assert!(back < 1e-5 && off < 1e-4);
    Ok(())
}
