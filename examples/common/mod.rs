//! What the examples share: reading and preparing the data.
#![allow(dead_code, reason = "each example uses a part")]

use std::path::PathBuf;

use wgtensor::nn::SeedStream;
use wgtensor::{Device, Tensor};

/// The cells of `breast_cancer.csv`, columns brought to one scale, and whether each is benign: those to train with, a fifth to
/// test.
pub(crate) fn breast_cancer(device: &Device) -> Result<[(Tensor, Tensor); 2], Box<dyn std::error::Error>> {
    const WIDTH: usize = 30;
    let (mut x, y) = read_csv("breast_cancer.csv")?;
    standardize(&mut x, WIDTH);
    let (x, y) = shuffled(&x, &y, WIDTH, 7);
    let n = y.len() * 4 / 5;
    let part = |from: usize, to: usize| -> wgtensor::Result<(Tensor, Tensor)> {
        let x = Tensor::from_slice(&x[from * WIDTH..to * WIDTH], [to - from, WIDTH], device)?;
        Ok((x, Tensor::from_slice(&y[from..to], to - from, device)?))
    };
    Ok([part(0, n)?, part(n, y.len())?])
}

/// The features, row after row, and the labels (the last column) of a file in `examples/data`.
pub(crate) fn read_csv(name: &str) -> Result<(Vec<f32>, Vec<i32>), Box<dyn std::error::Error>> {
    // Cargo names the folder when it runs a program, and so may whoever runs it on another machine.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let path = PathBuf::from(root).join("examples/data").join(name);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let (row, label) = line.rsplit_once(',').ok_or("a line without a comma")?;
        for value in row.split(',') {
            features.push(value.parse()?);
        }
        labels.push(label.trim().parse()?);
    }
    Ok((features, labels))
}

/// Brings each column to mean 0 and standard deviation 1.
pub(crate) fn standardize(features: &mut [f32], width: usize) {
    let rows = (features.len() / width) as f32;
    for column in 0..width {
        let mean = features.iter().skip(column).step_by(width).sum::<f32>() / rows;
        let variance = features.iter().skip(column).step_by(width).map(|v| (v - mean).powi(2)).sum::<f32>() / rows;
        let scale = 1.0 / variance.sqrt().max(1e-12);
        features.iter_mut().skip(column).step_by(width).for_each(|v| *v = (*v - mean) * scale);
    }
}

/// The rows in another order, always the same for a seed.
pub(crate) fn shuffled(features: &[f32], labels: &[i32], width: usize, seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    SeedStream::new(seed).shuffle(&mut order);
    let rows = order.iter().flat_map(|&row| features[row * width..][..width].iter().copied()).collect();
    (rows, order.iter().map(|&row| labels[row]).collect())
}
