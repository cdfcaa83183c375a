//! What a training step costs the host and the device, through the training API.

use std::sync::{Arc, Mutex};

use wgtensor::nn::callbacks::Callback;
use wgtensor::nn::losses::Loss;
use wgtensor::nn::prelude::*;
use wgtensor::{CounterSnapshot, Device, Result, Tensor};

use super::devices::{for_each_device, for_each_device_alone};

const BATCH: usize = 32;

/// Writes down the device's counters after each step.
pub(super) struct Probe(pub(super) Device, pub(super) Arc<Mutex<Vec<CounterSnapshot>>>);

impl Callback for Probe {
    fn on_train_batch_end(&mut self, _: usize, _: &mut Model) -> Result<()> {
        self.1.lock().unwrap().push(self.0.counters());
        Ok(())
    }
}

/// From the second step of a new model on, and across epochs; from the third on nothing is made anew.
#[test]
fn a_step_of_a_two_layer_network_is_one_submit_of_few_kernels() {
    for_each_device_alone(|device| {
        let n = 6 * BATCH;
        let labels: Vec<i32> = (0..n as i32).map(|i| i * 7 % 10).collect();
        let x = Tensor::uniform([n, 20], -1.0, 1.0, 1, device)?;
        let y = Tensor::from_slice(&labels, [n], device)?;
        let mut model = Sequential::new().add(Dense::new(64).activation(Relu)).add(Dense::new(10).activation(Softmax));
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ["accuracy"])?;

        let seen = Arc::new(Mutex::new(Vec::new()));
        let probe = Probe(device.clone(), seen.clone());
        model.fit(&x, &y, Fit::new().epochs(2).batch_size(BATCH).verbose(0).callbacks(probe))?;
        let seen = seen.lock().unwrap();
        for (step, pair) in seen.windows(2).enumerate() {
            if step + 1 == 6 {
                continue; // between the epochs, the figures of the first are read
            }
            let cost = pair[1] - pair[0];
            let what = format!("step {} (from 1): {cost:?}", step + 2);
            assert!(cost.dispatches > 0 && cost.dispatches <= 16, "{what}");
            assert_eq!(cost.submits, 1, "{what}");
            assert_eq!(cost.readbacks, 0, "{what}");
            assert_eq!(cost.plan_misses, 0, "{what}");
            if step == 0 {
                continue; // the first that is replayed: its kernels are joined
            }
            assert_eq!(cost.allocations, 0, "{what}");
            assert_eq!(cost.pipelines, 0, "{what}");
            assert_eq!(cost.bind_groups, 0, "{what}");
            // The batch's indices, and the step's scalars: a 256-byte block for each kernel that has any.
            assert!(cost.uploads <= 2, "{what}");
            assert!(cost.upload_bytes <= 4 * BATCH as u64 + 16 * 256, "{what}");
        }
        Ok(())
    });
}

/// Labels that the host does not know are judged on the device: by NaN, in the loss and in the gradient of that row alone.
#[test]
fn a_computed_label_outside_the_classes_costs_nan() {
    for_each_device(|device| {
        let logits = Tensor::new([[1.0f32, 2.0, 0.5], [0.0, -1.0, 3.0], [0.2, 0.1, 0.3]], device)?;
        let loss = SparseCategoricalCrossentropy::default().from_logits(true);
        for (outside, labels) in [(false, [2, 0, 1]), (true, [2, 0, 3]), (true, [2, 0, -1])] {
            let labels = Tensor::new(labels, device)?.add(0)?;
            let x = logits.requires_grad();
            let out = loss.compute(&labels, &x, None)?;
            let grad = out.backward()?.wrt(&x).unwrap().to_vec::<f32>()?;
            assert_eq!(out.item::<f32>()?.is_nan(), outside);
            assert!(grad[..6].iter().all(|g| g.is_finite()), "{grad:?}");
            assert_eq!(grad[6..].iter().any(|g| g.is_nan()), outside, "{grad:?}");
        }
        // A class to be ignored may be outside; it leaves no trace.
        let padded = Tensor::new([2, 0, -1], device)?.add(0)?;
        let x = logits.requires_grad();
        let out = loss.clone().ignore_class(-1).compute(&padded, &x, None)?;
        let grad = out.backward()?.wrt(&x).unwrap().to_vec::<f32>()?;
        let two = loss.compute(&padded.narrow(0, 0, 2)?, &logits.narrow(0, 0, 2)?, None)?;
        assert!((out.item::<f32>()? - two.item::<f32>()?).abs() < 1e-5);
        assert_eq!(grad[6..], [0.0; 3]);
        Ok(())
    });
}

/// Each thread has its model; they share the device and so its flushes.
#[test]
fn several_models_train_on_one_device() {
    for_each_device_alone(|device| {
        let train = |seed: u64| -> Result<f64> {
            let x = Tensor::uniform([64, 6], -1.0, 1.0, seed, device)?;
            let y = x.square()?.sum_keepdims(-1)?;
            let mut model = Sequential::new().add(Dense::new(12).activation(Relu)).add(Dense::new(1));
            model.compile(Adam::default(), "mse", ["mae"])?;
            let history = model.fit(&x, &y, Fit::new().epochs(8).batch_size(8).validation_split(0.25).verbose(0))?;
            Ok(history["loss"][7])
        };
        std::thread::scope(|scope| {
            let train = &train;
            let work: Vec<_> = (0..4)
                .map(|i| scope.spawn(move || (0..3).map(|j| train(10 * i + j)).collect::<Result<Vec<f64>>>()))
                .collect();
            for thread in work {
                let losses = thread.join().unwrap()?;
                assert!(losses.iter().all(|l| l.is_finite()), "{losses:?}");
            }
            Ok(())
        })
    });
}
