//! What a training step costs the host and the device, through the training API.

use wgtensor::nn::{Adam, Dense, Fit, Relu, Sequential, Softmax, SparseCategoricalCrossentropy};
use wgtensor::{CounterSnapshot, Device, Result, Tensor};

use super::devices::for_each_device_alone;

const BATCH: usize = 32;

/// What one pass over `steps` batches adds to the device's counters.
fn pass(device: &Device, model: &mut Sequential, x: &Tensor, y: &Tensor) -> Result<CounterSnapshot> {
    device.sync()?;
    let before = device.counters();
    model.fit(x, y, Fit::new().epochs(1).batch_size(BATCH).verbose(0))?;
    device.sync()?;
    Ok(device.counters() - before)
}

/// Two passes of different lengths: what they differ by is the cost of the steps alone, without the read-backs at the
/// end of an epoch.
#[test]
fn a_step_of_a_two_layer_network_is_one_submit_of_few_kernels() {
    for_each_device_alone(|device| {
        let data = |steps: usize| -> Result<(Tensor, Tensor)> {
            let n = steps * BATCH;
            let labels: Vec<i32> = (0..n as i32).map(|i| i * 7 % 10).collect();
            Ok((Tensor::uniform([n, 20], -1.0, 1.0, 1, device)?, Tensor::from_slice(&labels, [n], device)?))
        };
        let ((x, y), (x2, y2)) = (data(10)?, data(20)?);
        let mut model = Sequential::new().add(Dense::new(64).activation(Relu)).add(Dense::new(10).activation(Softmax));
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ["accuracy"])?;
        for _ in 0..2 {
            pass(device, &mut model, &x, &y)?;
            pass(device, &mut model, &x2, &y2)?;
        }
        let (short, long) = (pass(device, &mut model, &x, &y)?, pass(device, &mut model, &x2, &y2)?);
        let each = |f: fn(&CounterSnapshot) -> u64| (f(&long) - f(&short)) as f64 / 10.0;
        assert!(each(|c| c.dispatches) <= 16.0, "{} kernels a step: {short:?} {long:?}", each(|c| c.dispatches));
        assert_eq!(each(|c| c.submits), 1.0, "{short:?} {long:?}");
        // The batch's indices, and the step's scalars: a 256-byte block for each kernel that has any.
        assert!(each(|c| c.uploads) <= 2.0, "{short:?} {long:?}");
        assert!(each(|c| c.upload_bytes) <= (4 * BATCH + 16 * 256) as f64, "{short:?} {long:?}");
        for (name, n) in [("read-backs", each(|c| c.readbacks)), ("plans", each(|c| c.plan_misses))] {
            assert_eq!(n, 0.0, "{name}: {short:?} {long:?}");
        }
        for (name, n) in [
            ("allocations", long.allocations + short.allocations),
            ("pipelines", long.pipelines + short.pipelines),
            ("bind groups", long.bind_groups + short.bind_groups),
        ] {
            assert_eq!(n, 0, "{name}: {short:?} {long:?}");
        }
        Ok(())
    });
}
