//! Products whose tiles were measured: the same results, and nothing is measured twice.

use wgtensor::nn::optimizers::Adam;
use wgtensor::{ConvOptions, Device, DeviceOptions, KernelCache, Result, Tensor, Var};

use super::close::assert_close;
use super::devices::for_each_gpu;

/// Products, a convolution, and an update within a product, of odd sizes.
fn work(device: &Device) -> Result<Vec<Vec<f32>>> {
    let random = |shape: &[usize], seed: u64| Tensor::uniform(shape, -1.0, 1.0, seed, device);
    let mut all = Vec::new();
    for [m, k, n] in [[65, 130, 67], [4, 300, 70], [33, 0, 5]] {
        let product = random(&[m, k], 1)?.matmul(&random(&[k, n], 2)?)?.add(&random(&[n], 3)?)?.relu()?;
        all.push(product.to_vec()?);
    }
    let image = random(&[2, 9, 9, 5], 4)?.conv2d(&random(&[3, 3, 5, 6], 5)?, &ConvOptions::default())?;
    all.push(image.to_vec()?);
    let w = Var::new(&random(&[40, 36], 6)?);
    let x = random(&[50, 40], 7)?;
    let mut adam = Adam::new(0.01);
    for _ in 0..2 {
        let loss = x.matmul(&w.value())?.tanh()?.square()?.sum(())?;
        adam.apply(&loss.backward()?)?;
    }
    all.push(w.value().to_vec()?);
    Ok(all)
}

#[test]
fn measured_products_are_right_and_remembered() {
    for_each_gpu(|device| {
        let expected = work(device)?;
        let folder = std::env::temp_dir().join(format!("wgtensor-tuning-{}", std::process::id()));
        let options = DeviceOptions {
            tune: true,
            cache: KernelCache::Directory(folder.clone()),
            kernels: device.info().kernels,
            ..DeviceOptions::default()
        };
        let mut pipelines = Vec::new();
        for _ in 0..2 {
            let tuned = Device::open_with(&device.info().id, &options)?;
            for (got, expected) in work(&tuned)?.iter().zip(&expected) {
                let expected: Vec<f64> = expected.iter().map(|v| f64::from(*v)).collect();
                let got = Tensor::from_slice(got, [got.len()], device)?;
                assert_close("measured", &got, &[expected.len()], &expected);
            }
            pipelines.push(tuned.counters().pipelines);
        }
        // The second knows what the first has found.
        let table = std::fs::read_dir(&folder).unwrap().filter_map(|f| f.ok()?.file_name().into_string().ok());
        let table = table.filter(|name| name.starts_with("tuned_")).count();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(table, 1, "a table on disk");
        assert!(pipelines[1] < pipelines[0], "{pipelines:?}");
        Ok(())
    });
}
