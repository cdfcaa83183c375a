//! An epoch of images from a folder beside one of the same images in memory, and how much of it the device works:
//! `cargo bench --bench image_folder --features image`. Two networks, a small and a larger one; on a GPU the processor decodes while it
//! works, on the CPU engine both share the cores. `WGTENSOR_DEVICE` chooses.

use std::path::Path;
use std::time::Instant;

use wgtensor::data::{Dataset, ImageFolder};
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Result, Tensor};

const IMAGES: usize = 1024;
const SIZE: usize = 64;

/// Smooth pictures with some noise, as JPEG files of 128 by 128 pixels.
fn make(folder: &Path) {
    let mut state = 1u32;
    for i in 0..IMAGES {
        let folder = folder.join(["left", "right"][i % 2]);
        std::fs::create_dir_all(&folder).expect("a folder");
        let picture = image::RgbImage::from_fn(128, 128, |x, y| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = |f: f32| ((x as f32 + i as f32) / f).sin() * ((y as f32) / (f + 3.0)).cos();
            image::Rgb([7.0, 11.0, 19.0].map(|f| (128.0 + 90.0 * wave(f)) as u8 + (state >> 28) as u8))
        });
        picture.save(folder.join(format!("{i:04}.jpg"))).expect("room for a file");
    }
}

fn network(filters: usize) -> Sequential {
    Sequential::new()
        .add(Input::new([SIZE, SIZE, 3]))
        .add(Rescaling::new(1.0 / 255.0))
        .add(Conv2D::new(filters, 3).strides(2).activation(Relu))
        .add(Conv2D::new(2 * filters, 3).activation(Relu))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(4 * filters, 3).activation(Relu))
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(2).activation(Softmax))
}

/// Seconds of an epoch, the least of three after one to warm up, and the share of it that the device works.
fn epoch(device: &Device, mut fit: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    fit()?;
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        fit()?;
        device.sync()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    let busy = match device.profile(&mut fit) {
        Ok(((), profile)) => profile.seconds() / profile.wall,
        Err(_) => f64::NAN,
    };
    Ok((least, busy))
}

fn measure(folder: &Path) -> Result<()> {
    let device = Device::from_env()?;
    let images = ImageFolder::open(folder)?.image_size(SIZE, SIZE);
    let batches = images.shuffled(7).batch(32).prefetch(4);
    let start = Instant::now();
    let decoded: usize = (&batches).into_iter().map(|batch| batch.expect("a batch").x()[0].rows()).sum();
    println!("{}: {:.0} images decoded a second", device.info().name, decoded as f64 / start.elapsed().as_secs_f64());

    let all = (&images.dataset().batch(IMAGES)).into_iter().next().expect("one batch")?;
    let (x, y) = (all.x()[0].to_tensor(&device)?, all.y()[0].to_tensor(&device)?);
    for filters in [8, 32] {
        let compiled = || -> Result<Sequential> {
            let mut model = network(filters);
            model.compile("adam", "sparse_categorical_crossentropy", ())?;
            Ok(model)
        };
        let how = || Fit::new().verbose(0);
        let mut model = compiled()?;
        let memory = |x: &Tensor, y: &Tensor, model: &mut Sequential| model.fit(x, y, how().batch_size(32)).map(drop);
        let (in_memory, busy) = epoch(&device, || memory(&x, &y, &mut model))?;
        let mut model = compiled()?;
        let source: Dataset = batches.to_device(&device);
        let (from_folder, busy_from_folder) = epoch(&device, || model.fit(&source, (), how()).map(drop))?;
        println!(
            "{filters:>3} filters: an epoch from memory {in_memory:.3} s, the device working {:.0} % of it; from the folder \
             {from_folder:.3} s ({:.2} times), working {:.0} %",
            100.0 * busy,
            from_folder / in_memory,
            100.0 * busy_from_folder
        );
    }
    Ok(())
}

fn main() {
    let folder = std::env::temp_dir().join(format!("wgtensor-bench-images-{}", std::process::id()));
    make(&folder);
    if let Err(error) = measure(&folder) {
        println!("{error}");
    }
    std::fs::remove_dir_all(&folder).ok();
}
