//! Operations of a program's own.

use wgtensor::{CustomOp, DType, Device, DeviceOptions, Result, Tensor};

use super::close::assert_close;
use super::devices::for_each_device;
use super::naive::Nd;

/// `y = x * scale + bias[i % width]` with numbers in the uniform.
const AFFINE: &str = "
struct Numbers { scale: f32, width: u32, count: u32 }
@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8, 4)
fn affine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let i = group.x * 32u + t;
    if i < n.count { y[i] = x[i] * n.scale + bias[i % n.width]; }
}";

fn affine() -> Result<CustomOp> {
    Ok(CustomOp::new("affine")
        .wgsl(AFFINE)?
        .cpu(|mut call| {
            let (scale, width) = (f32::from_bits(call.params()[0]), call.params()[1] as usize);
            let (x, bias) = (call.input::<f32>(0).to_vec(), call.input::<f32>(1).to_vec());
            call.output::<f32>().iter_mut().enumerate().for_each(|(i, y)| *y = x[i] * scale + bias[i % width]);
        })
        .gradient(|_, inputs, grad| Ok(vec![Some(grad.mul(3.0)?), Some(grad.sum(0)?.reshape(inputs[1].shape())?)])))
}

fn call(op: &CustomOp, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (width, count) = (bias.numel() as u32, x.numel() as u32);
    op.call([x, bias], x.shape(), DType::F32, &[3f32.to_bits(), width, count])
}

#[test]
fn it_is_part_of_the_plan_like_any_other() {
    for_each_device(|device| {
        let op = affine()?;
        let (x, bias) = (Nd::random(&[7, 5], 1, -1.0, 1.0), Nd::random(&[5], 2, -1.0, 1.0));
        let run = || -> Result<Tensor> {
            // Views and pointwise work before and behind it, and itself again.
            let y = call(&op, &x.f32(device)?.mul(2.0)?, &bias.f32(device)?.flip([0])?)?;
            call(&op, &y.add(1.0)?, &bias.f32(device)?)?.neg()
        };
        let first = |c: &[usize]| 6.0 * x.at(c) + bias.data[4 - c[1]];
        let want = Nd::build(&[7, 5], |c| -(3.0 * (first(c) + 1.0) + bias.data[c[1]]));
        assert_close("affine", &run()?, &want.shape, &want.data);
        assert_close("affine again", &run()?, &want.shape, &want.data);
        Ok(())
    });
}

#[test]
fn the_second_call_is_a_replay() {
    for_each_device(|device| {
        let (device, op) = (Device::open_with(&device.info().id, &DeviceOptions::default())?, affine()?);
        let (x, bias) = (Tensor::ones([7, 5], DType::F32, &device)?, Tensor::ones([5], DType::F32, &device)?);
        call(&op, &x, &bias)?.to_vec::<f32>()?;
        let before = device.counters();
        call(&op, &x, &bias)?.to_vec::<f32>()?;
        let spent = device.counters() - before;
        assert_eq!((spent.plan_misses, spent.plan_hits, spent.pipelines), (0, 1, 0));
        Ok(())
    });
}

#[test]
fn its_gradient_is_the_closure_s() {
    for_each_device(|device| {
        let op = affine()?;
        let x = Tensor::ones([4, 3], DType::F32, device)?.requires_grad();
        let bias = Tensor::zeros([3], DType::F32, device)?.requires_grad();
        let grads = call(&op, &x.mul(2.0)?, &bias)?.square()?.sum(())?.backward()?;
        // y = 6, dy = 12.
        assert_close("x", grads.wrt(&x).unwrap(), &[4, 3], &[72.0; 12]);
        assert_close("bias", grads.wrt(&bias).unwrap(), &[3], &[48.0; 3]);
        let plain = CustomOp::new("plain").wgsl(AFFINE)?.cpu(|_| ());
        let error = call(&plain, &x, &bias)?.sum(())?.backward().expect_err("no gradient").to_string();
        assert!(error.contains("plain") && error.contains("`gradient`"), "{error}");
        let wrong = plain.gradient(|_, _, grad| Ok(vec![Some(grad.clone())]));
        assert!(call(&wrong, &x, &bias)?.sum(())?.backward().is_err());
        Ok(())
    });
}

#[test]
fn groups_and_lengths() {
    // One work-group a row; arrayLength counts what is there, in vectors of four.
    const LENGTH: &str = "
        @group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
        @group(0) @binding(2) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(1)
        fn main(@builtin(workgroup_id) g: vec3<u32>) { y[g.y] = arrayLength(&x) + g.y; }";
    for_each_device(|device| {
        let op = CustomOp::new("length").wgsl(LENGTH)?.groups(|shape| [1, shape[0] as u32, 1]).cpu(|mut call| {
            let n = call.input::<u32>(0).len().div_ceil(4) as u32;
            call.output::<u32>().iter_mut().zip(0..).for_each(|(y, i)| *y = n + i);
        });
        let x = Tensor::zeros([9], DType::U32, device)?;
        assert_eq!(op.call([&x], [3], DType::U32, &[])?.to_vec::<u32>()?, [3, 4, 5]);
        assert_eq!(op.call([&x], [0], DType::U32, &[])?.dims(), [0]);
        Ok(())
    });
}

#[test]
fn wgpu_s_checks_stay_on() {
    // Reads and writes far outside, and a division by zero: none of it does harm.
    const WILD: &str = "
        @group(0) @binding(1) var<storage, read> x: array<u32>;
        @group(0) @binding(2) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(1)
        fn main(@builtin(workgroup_id) g: vec3<u32>) {
            y[g.x] = x[g.x] / (x[g.x] - x[g.x]);
            y[0x10000000u + x[g.x]] = x[0x20000000u + g.x];
        }";
    for_each_device(|device| {
        if !device.is_gpu() {
            return Ok(());
        }
        let other = Tensor::ones([64], DType::U32, device)?;
        other.realize()?;
        let x = Tensor::ones([16], DType::U32, device)?;
        CustomOp::new("wild").wgsl(WILD)?.call([&x], [16], DType::U32, &[])?.to_vec::<u32>()?;
        assert_eq!(other.to_vec::<u32>()?, [1; 64]);
        Ok(())
    });
}

#[cfg(feature = "gpu")]
#[test]
fn what_does_not_fit_is_refused() {
    let two = "@compute @workgroup_size(1) fn a() {} @compute @workgroup_size(1) fn b() {}";
    let gap = "@group(0) @binding(2) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(1) fn main() { y[0] = 1.0; }";
    let group = "@group(1) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(1) fn main() { y[0] = 1.0; }";
    for (text, word) in [
        ("fn", "expected"),
        ("fn f() -> u32 { return 1.0; }", "shader"),
        (two, "2 entry points"),
        ("@fragment fn main() {}", "compute"),
        (gap, "nothing at binding 1"),
        (group, "group 1"),
    ] {
        let error = CustomOp::new("bad").wgsl(text).err().expect(text).to_string();
        assert!(error.contains("bad") && error.contains(word) && error.contains("custom.rs"), "{text}: {error}");
    }
    for_each_device(|device| {
        let op = affine()?;
        let x = Tensor::ones([4], DType::F32, device)?;
        let none = CustomOp::new("none");
        let mut errors =
            vec![none.call([&x], [4], DType::F32, &[]).err(), op.call([] as [Tensor; 0], [4], DType::F32, &[]).err()];
        if device.is_gpu() {
            let whole = x.cast(DType::I32)?;
            errors.push(op.call([&x], [4], DType::F32, &[0; 3]).err());
            errors.push(op.call([&x, &whole], [4], DType::F32, &[0; 3]).err());
            errors.push(op.call([&x, &x], [4], DType::U32, &[0; 3]).err());
            errors.push(op.call([&x, &x], [4], DType::F32, &[0; 2]).err());
            errors.push(op.call([&x, &x], [1 << 22], DType::F32, &[0; 3]).err());
            #[cfg(feature = "cpu")]
            {
                let elsewhere = Tensor::ones([4], DType::F32, &Device::cpu())?;
                errors.push(op.call([&x, &elsewhere], [4], DType::F32, &[0; 3]).err());
            }
        }
        for error in errors {
            let text = error.expect("refused").to_string();
            assert!(text.contains("Received") && text.contains("custom.rs"), "{text}");
        }
        Ok(())
    });
}
