//! Mixed precision: narrow computations that train as well as wide ones.

use std::sync::{Arc, Mutex};

use wgtensor::nn::Policy;
use wgtensor::nn::optimizers::AnyOptimizer;
use wgtensor::nn::prelude::*;
use wgtensor::{DType, Result, Tensor, Var};

use super::devices::{for_each_device, for_each_device_alone};
use super::training::Probe;
use crate::common::{read_csv, shuffled};

const MIXED: [Policy; 2] = [Policy::MixedFloat16, Policy::MixedBfloat16];

/// Rows of 64 pixels and their labels, in a fixed order.
fn digits() -> (Vec<f32>, Vec<i32>) {
    let (pixels, labels) = read_csv("digits.csv").expect("the digits");
    let pixels: Vec<f32> = pixels.iter().map(|p| p / 16.0).collect();
    shuffled(&pixels, &labels, 64, 42)
}

#[test]
fn digits_are_learnt_in_16_bits() {
    let (pixels, labels) = digits();
    let train = labels.len() * 4 / 5;
    for_each_device(|device| {
        for policy in MIXED {
            let images = |x: &[f32]| Tensor::from_slice(x, [x.len() / 64, 8, 8, 1], device);
            let (x, x_test) = (images(&pixels[..64 * train])?, images(&pixels[64 * train..])?);
            let (y, y_test) = (Tensor::new(&labels[..train], device)?, Tensor::new(&labels[train..], device)?);
            let mut model = Sequential::new()
                .add(Conv2D::new(16, 3).activation(Relu))
                .add(MaxPooling2D::new(2))
                .add(Flatten::new())
                .add(Dense::new(64).activation(Relu))
                .add(Dense::new(10).activation(Softmax));
            model.set_dtype_policy(policy)?;
            // The same start in every run: Glorot's, of a fixed seed.
            model.call(&x_test, false)?;
            for (seed, var) in model.weights().iter().enumerate().filter(|(_, var)| var.shape().rank() > 1) {
                let dims = var.shape().dims();
                let fans =
                    dims[..dims.len() - 2].iter().product::<usize>() * (dims[dims.len() - 2] + dims[dims.len() - 1]);
                let limit = (6.0 / fans as f64).sqrt();
                var.assign(&Tensor::uniform(var.shape(), -limit, limit, seed as u64, device)?)?;
            }
            model.compile(Adam::new(0.004), "sparse_categorical_crossentropy", ["accuracy"])?;
            model.fit(&x, &y, Fit::new().epochs(12).batch_size(64).seed(1).verbose(0))?;
            assert!(model.weights().iter().all(|var| var.dtype() == DType::F32));
            let scores = model.evaluate(&x_test, &y_test, Evaluate::new().batch_size(360).verbose(0))?;
            assert!(scores["accuracy"] >= 0.97, "{policy:?} on {device:?}: {}", scores["accuracy"]);
            assert_eq!(model.call(&x_test, false)?.dtype(), DType::F32);
        }
        Ok(())
    });
}

#[test]
fn a_step_with_a_scaled_loss_reads_nothing_back() {
    for_each_device_alone(|device| {
        let labels: Vec<i32> = (0..128).map(|i| i * 7 % 10).collect();
        let (x, y) = (Tensor::uniform([128, 20], -1.0, 1.0, 1, device)?, Tensor::new(&labels, device)?);
        let mut model = Sequential::new()
            .add(Dense::new(32).activation(Relu))
            .add(BatchNormalization::new())
            .add(Dense::new(10).activation(Softmax));
        model.set_dtype_policy("mixed_float16")?;
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let probe = Probe(device.clone(), seen.clone());
        model.fit(&x, &y, Fit::new().batch_size(16).verbose(0).callbacks(probe))?;
        let seen = seen.lock().unwrap();
        for (step, pair) in seen.windows(2).enumerate().skip(1) {
            let cost = pair[1] - pair[0];
            let what = format!("step {} (from 1): {cost:?}", step + 2);
            assert_eq!((cost.submits, cost.readbacks, cost.allocations, cost.plan_misses), (1, 0, 0, 0), "{what}");
        }
        Ok(())
    });
}

#[test]
fn a_gradient_that_is_not_finite_costs_a_step_and_half_of_the_scale() {
    for_each_device(|device| {
        let w = Var::new(&Tensor::new([1.0f32, -2.0], device)?);
        let sgd = SGD::new(0.5).momentum(0.5);
        let mut optimizer = LossScaleOptimizer::new(sgd)?.initial_scale(8.0).dynamic_growth_steps(2);
        let mut step = |x: f32| -> Result<(Vec<f32>, f64)> {
            let loss = w.value().mul(x)?.sum(())?;
            let grads = optimizer.scale_loss(&loss)?.backward()?;
            optimizer.step(vec![(w.clone(), grads.get(&w).expect("a gradient").clone())])?;
            Ok((w.value().to_vec()?, optimizer.scale()?.expect("a scale")))
        };
        assert_eq!(step(1.0)?, (vec![0.5, -2.5], 8.0));
        for broken in [f32::INFINITY, f32::NAN] {
            assert_eq!(step(broken)?.0, [0.5, -2.5]);
        }
        // The count of good steps began again, and the velocity is that of the first step.
        assert_eq!(step(1.0)?, (vec![-0.25, -3.25], 2.0));
        assert_eq!(step(0.0)?.1, 4.0);
        assert_eq!(step(0.0)?.1, 4.0);
        assert_eq!(step(0.0)?.1, 8.0);
        Ok(())
    });
}

#[test]
fn policies_have_kerass_names() {
    let mut model = Sequential::new().add(Dense::new(1));
    assert_eq!(model.dtype_policy(), Policy::Float32);
    let error = model.set_dtype_policy("mixed_float8").unwrap_err().to_string();
    assert!(error.contains("mixed_float8") && error.contains("mixed_bfloat16"), "{error}");
    model.set_dtype_policy("mixed_bfloat16").unwrap();
    assert_eq!(model.dtype_policy().compute_dtype(), DType::BF16);
    let bad = LossScaleOptimizer::new("adam").unwrap().dynamic_growth_steps(0);
    assert!(bad.check().unwrap_err().to_string().contains("dynamic_growth_steps"));
    let config = LossScaleOptimizer::new(SGD::new(0.5)).unwrap().initial_scale(4.0).config().unwrap();
    let again = <dyn AnyOptimizer>::from_config(&config.to_string().parse().unwrap()).unwrap();
    assert_eq!(again.config().unwrap(), config);
    assert_eq!(again.current_rate(), 0.5);
}
