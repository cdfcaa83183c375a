//! Shaders for GPUs that are not here. (The tests' CPU engine checks those of every other test too.)

use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, DeviceOptions, Result, Tensor};

/// Everything a convolutional network's training, evaluation and prediction need is valid in Vulkan, Metal and DX12.
#[test]
fn a_convolutional_networks_shaders_translate() -> Result<()> {
    let device = &Device::open_with("cpu", &DeviceOptions { check_shaders: true, ..DeviceOptions::default() })?;
    let x = Tensor::uniform([40, 8, 8, 1], 0.0, 1.0, 1, device)?;
    let labels: Vec<i32> = (0..40).map(|i| i % 10).collect();
    let y = Tensor::from_slice(&labels, [40], device)?;
    let mut model = Sequential::new()
        .add(Conv2D::new(8, 3).activation(Relu))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.25))
        .add(Dense::new(10))
        .add(Softmax);
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ["accuracy"])?;
    model.fit(&x, &y, Fit::new().epochs(2).batch_size(16).validation_split(0.2).verbose(0))?;
    model.predict(&x, 16)?.to_vec::<f32>()?;
    let checked = device.counters().shaders_checked;
    assert!(checked > 30, "{checked} shaders");
    let again = device.counters();
    model.fit(&x, &y, Fit::new().epochs(1).batch_size(16).validation_split(0.2).verbose(0))?;
    assert_eq!((device.counters() - again).shaders_checked, 0, "a cached plan is not checked again");
    Ok(())
}

/// A graph that no GPU can run is passed over, not refused: the CPU engine serves it.
#[test]
fn double_precision_is_passed_over() -> Result<()> {
    let device = &Device::open_with("cpu", &DeviceOptions { check_shaders: true, ..DeviceOptions::default() })?;
    let x = Tensor::full([3], 0.5, DType::F64, device)?;
    assert_eq!(x.add(&x)?.to_vec::<f64>()?, [1.0; 3]);
    assert_eq!(device.counters().shaders_checked, 0);
    Ok(())
}
