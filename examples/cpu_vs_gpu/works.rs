//! The kinds of work, each at growing sizes.

use std::rc::Rc;

use wgtensor::{DType, Tensor};

use super::data::random;
use super::workloads::{self, Work, bytes};

/// One kind of work.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What is computed, for people.
    pub(crate) what: &'static str,
    /// What a size counts.
    pub(crate) axis: &'static str,
    pub(crate) sizes: Vec<usize>,
    /// A size in words.
    pub(crate) label: fn(usize) -> String,
    pub(crate) work: fn(usize) -> Work,
    /// Whether it only brings numbers to the device or back.
    pub(crate) transfer: bool,
}

impl Kind {
    /// A size as its axis counts: transfers are written in elements and told of in bytes.
    pub(crate) fn scale(&self, size: usize) -> f64 {
        if self.transfer { 4.0 * size as f64 } else { size as f64 }
    }

    /// A size with what it counts; `512x512` says that itself.
    pub(crate) fn words(&self, size: usize) -> String {
        let label = (self.label)(size);
        if label.contains('x') { label } else { format!("{label} {}", self.axis) }
    }
}

/// `first`, and so many more, each `factor` times the one before.
fn growing(first: usize, factor: usize, more: u32) -> Vec<usize> {
    (0..=more).map(|i| first * factor.pow(i)).collect()
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let all: Vec<_> = (first > 0).then(|| digits[..first].into()).into_iter().chain(groups).collect();
    all.join(",")
}

fn square(n: usize) -> String {
    format!("{n}x{n}")
}

fn memory(elements: usize) -> String {
    match 4 * elements {
        b if b < 1 << 20 => format!("{} KiB", b >> 10),
        b => format!("{} MiB", b >> 20),
    }
}

/// Numbers from the host to the device.
fn upload(n: usize) -> Work {
    Work::new(format!("upload {n}"), bytes(n), move |device| {
        let (host, device): (Rc<[f32]>, _) = ((0..n).map(|i| (i % 1000) as f32).collect(), device.clone());
        Ok(Box::new(move || Tensor::from_slice(&host, n, &device)))
    })
}

/// Numbers from the device to the host.
fn download(n: usize) -> Work {
    Work::new(format!("download {n}"), bytes(n), move |device| {
        let x = random(&[n], 1, device)?;
        Ok(Box::new(move || x.to_vec::<f32>().map(|_| x.clone())))
    })
}

/// Every kind of work.
pub(crate) fn all() -> Vec<Kind> {
    let numbers = || growing(1 << 10, 4, 8);
    let batches = || growing(1, 4, 6);
    let kind = |name, what, axis, sizes, label, work| Kind { name, what, axis, sizes, label, work, transfer: false };
    vec![
        kind(
            "pointwise chain",
            "tanh(a * b + a) * 0.5 of each element",
            "elements",
            numbers(),
            grouped,
            workloads::pointwise_chain,
        ),
        kind("sum", "the sum of all elements", "elements", numbers(), grouped, workloads::sum),
        kind("softmax", "of rows of 256 elements", "elements", numbers(), grouped, |n| {
            workloads::softmax(n / 256, 256)
        }),
        kind("matrix product", "of two square matrices", "rows and columns", growing(16, 2, 9), square, |n| {
            workloads::product("NN", n, n, n, DType::F32)
        }),
        kind(
            "convolution",
            "3x3, of 8 images with 32 channels to 32",
            "image's height and width",
            growing(4, 2, 7),
            square,
            |side| workloads::convolution([8, side, 32, 32]),
        ),
        kind("MLP step", "Adam on 784-512-512-10, 0.67 million weights", "rows in a batch", batches(), grouped, |n| {
            workloads::mlp_step(n)
        }),
        kind(
            "CNN step",
            "Adam on 28x28 images, two convolutions",
            "images in a batch",
            batches(),
            grouped,
            workloads::cnn_step,
        ),
        Kind { transfer: true, ..kind("to the device", "from host memory", "bytes", numbers(), memory, upload) },
        Kind { transfer: true, ..kind("from the device", "to host memory", "bytes", numbers(), memory, download) },
    ]
}
