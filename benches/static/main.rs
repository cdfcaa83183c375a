//! Runs one named workload after the other, for what a real GPU's compiler makes of its kernels on a machine without that
//! GPU: `amd.py` beside this file asks AMD's, `nvidia.py` NVIDIA's. Products of `f16` are computed with cooperative matrices
//! where the chip has them. `--dump DIRECTORY` writes the kernels' WGSL there.
//!
//! `--translate DIRECTORY` writes MSL and HLSL beside each WGSL file of a directory, and `--compile DIRECTORY` has the GPU's
//! driver compile each; no workload runs then.

#[path = "../common/data.rs"]
mod data;
#[path = "../common/steps.rs"]
#[allow(dead_code, reason = "other benches' steps")]
mod steps;
mod translate;

use std::path::PathBuf;

use data::random;
use steps::{HALF, Step, gradient};
use wgtensor::{ConvOptions, DType, Device, Padding, Result, Tensor};

/// What `f` gives, with its kernels named on stderr and written down.
fn show(device: &Device, name: &str, dump: Option<&PathBuf>, f: impl Fn() -> Result<Tensor>) -> Result<()> {
    device.sync()?;
    eprintln!("=== {name}");
    f()?.realize()?;
    let kernels = device.last_kernels();
    device.sync()?;
    eprintln!("=== end");
    for (i, source) in kernels.iter().enumerate() {
        if let Some(dump) = dump {
            let path = dump.join(format!("{}_{i}.wgsl", name.replace([' ', ':'], "_")));
            std::fs::write(&path, source).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
    Ok(())
}

/// `product NN 64x784x512`: m, k and n, and which operands are read transposed; of elements of that type.
fn product(device: &Device, ways: &str, sizes: &str, dtype: DType) -> Result<(Tensor, Tensor)> {
    let sizes: Vec<usize> = sizes.split('x').map(|s| s.parse().expect("a size")).collect();
    let [m, k, n] = sizes[..] else { panic!("three sizes") };
    let operand = |turned: bool, rows: usize, columns: usize, seed: u64| {
        let t = random(&if turned { [columns, rows] } else { [rows, columns] }, seed, device)?.cast(dtype)?;
        t.realize()?;
        if turned { t.t() } else { Ok(t) }
    };
    Ok((operand(ways.starts_with('T'), m, k, 1)?, operand(ways.ends_with('T'), k, n, 2)?))
}

fn run(device: &Device, name: &str, dump: Option<&PathBuf>) -> Result<()> {
    let words: Vec<&str> = name.split(' ').collect();
    let show = |f: &dyn Fn() -> Result<Tensor>| show(device, name, dump, f);
    match words[..] {
        ["product", ways, sizes] => {
            let (a, b) = product(device, ways, sizes, DType::F32)?;
            show(&|| a.matmul(&b))
        }
        [dtype @ ("f16" | "bf16"), "product", ways, sizes] => {
            let (a, b) = product(device, ways, sizes, if dtype == "f16" { DType::F16 } else { DType::BF16 })?;
            show(&|| a.matmul(&b))
        }
        ["convolution", what] => {
            let same = ConvOptions { padding: Padding::Same, ..ConvOptions::default() };
            let (x, kernel) = (random(&[64, 28, 28, 32], 1, device)?, random(&[3, 3, 32, 64], 2, device)?);
            let dy = random(&[64, 28, 28, 64], 3, device)?;
            let step: Step = match what {
                "forward" => Box::new(move || x.conv2d(&kernel, &same)),
                "input-gradient" => gradient(x, dy, move |x| x.conv2d(&kernel, &same))?,
                _ => gradient(kernel, dy, move |kernel| x.conv2d(kernel, &same))?,
            };
            show(&*step)
        }
        ["max-pool-gradient"] => {
            let dy = random(&[64, 14, 14, 64], 2, device)?;
            let x = random(&[64, 28, 28, 64], 1, device)?;
            show(&*gradient(x, dy, move |x| x.max_pool2d(&HALF))?)
        }
        ["softmax"] => {
            let x = random(&[4096, 1024], 1, device)?;
            show(&|| x.softmax(-1))
        }
        ["softmax-gradient"] => {
            let (x, dy) = (random(&[4096, 1024], 1, device)?, random(&[4096, 1024], 2, device)?);
            show(&*gradient(x, dy, move |x| x.softmax(-1))?)
        }
        ["transpose"] => {
            let x = random(&[2048, 2048], 1, device)?;
            show(&|| x.t()?.mul(2.0))
        }
        ["column-sums"] => {
            let x = random(&[4096, 1024], 1, device)?;
            show(&|| x.sum(0))
        }
        ["sum"] => {
            let x = random(&[1 << 24], 1, device)?;
            show(&|| x.sum(()))
        }
        ["scatter-add"] => {
            let table = random(&[10_000, 128], 1, device)?;
            let index = Tensor::uniform([4096], 0.0, 10_000.0, 3, device)?.cast(DType::I32)?;
            let rows = random(&[4096, 128], 2, device)?;
            show(&|| table.index_add(0, &index, &rows))
        }
        _ => panic!("no workload is called `{name}`"),
    }
}

const ALL: [&str; 27] = [
    "product NN 4096x4096x4096",
    "product NT 4096x4096x4096",
    "product TN 4096x4096x4096",
    "product NN 1024x1024x1024",
    "product NN 1000x1000x1000",
    "product NN 1001x1001x1001",
    "product NN 64x784x512",
    "product TN 784x64x512",
    "product NN 64x512x10",
    "product TN 512x64x10",
    "product NT 64x10x512",
    "convolution forward",
    "convolution input-gradient",
    "convolution kernel-gradient",
    "max-pool-gradient",
    "softmax",
    "softmax-gradient",
    "transpose",
    "column-sums",
    "sum",
    "scatter-add",
    "product NN 50000x32x32",
    "bf16 product NN 4096x4096x4096",
    "bf16 product TN 4096x4096x4096",
    "f16 product NN 4096x4096x4096",
    "f16 product NT 4096x4096x4096",
    "f16 product TN 4096x4096x4096",
];

fn main() -> Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let mut folder = |flag: &str| {
        let at = names.iter().position(|a| a == flag)?;
        names.remove(at);
        Some(PathBuf::from(names.remove(at)))
    };
    let dump = folder("--dump");
    let (translated, compiled) = (folder("--translate"), folder("--compile"));
    translated.iter().for_each(|d| translate::translate(d));
    compiled.iter().for_each(|d| translate::compile(d));
    if translated.or(compiled).is_some() {
        return Ok(());
    }
    let device = Device::from_env()?;
    let all = ALL.map(String::from).to_vec();
    for name in if names.is_empty() { &all } else { &names } {
        run(&device, name, dump.as_ref())?;
    }
    Ok(())
}
