//! Whole programs: what the planner shares, overwrites and leaves out between their kernels.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::cpu::CpuBackend;
use crate::backend::gpu::check::{LARGE, PLAIN};
use crate::backend::gpu::{kernels, strict};
use crate::backend::{DeviceOptions, PlanCheck};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::step::{BufferInfo, Plan};
use crate::nn::optimizers::SGD;
use crate::nn::prelude::*;
use crate::plan::Limits;
use crate::{Device, Tensor, Var};

/// Runs the plans of a device also as a plain GPU and a large one would, on whatever numbers.
struct Strict;

static STEPS: AtomicUsize = AtomicUsize::new(0);

impl PlanCheck for Strict {
    fn takes(&self, dtype: DType) -> bool {
        dtype != DType::F64
    }

    fn max_buffers(&self) -> Vec<usize> {
        [PLAIN, LARGE].map(|caps| caps.max_storage_bindings as usize).to_vec()
    }

    fn check(&self, kind: usize, plan: &Plan) -> Result<u64> {
        let caps = [PLAIN, LARGE][kind];
        let kernels = plan.steps.iter().map(|step| kernels::build(plan, step, &caps)).collect::<Result<Vec<_>>>()?;
        let params = vec![1.0; plan.params];
        strict::run(plan, |i| numbers(&plan.buffers[i]), &params, kernels, 32).map_err(Error::internal)?;
        STEPS.fetch_add(plan.steps.len(), Ordering::Relaxed);
        Ok(0)
    }
}

/// Small numbers of both signs; indices are among the first few, or nowhere.
fn numbers(info: &BufferInfo) -> Vec<u32> {
    let one = |i: usize| match info.dtype {
        DType::F32 => ((i * 7 % 13) as f32 / 8.0 - 0.75).to_bits().to_le_bytes().to_vec(),
        // A quarter to one, whichever of the two types it is.
        DType::F16 => vec![0, 0x34 + (i % 9) as u8],
        DType::BF16 => vec![0x80 * (i % 2) as u8, 0x3e + (i % 3 / 2) as u8],
        DType::Bool => u32::from(i.is_multiple_of(3)).to_le_bytes().to_vec(),
        other if other.size() == 1 => vec![(i % 3) as u8],
        _ => if i % 7 == 6 { [u32::MAX, 1 << 31, 1000][i % 3] } else { i as u32 * 5 % 3 }.to_le_bytes().to_vec(),
    };
    let bytes: Vec<u8> = (0..info.len).flat_map(one).collect();
    let word = |b: &[u8]| b.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
    bytes.chunks(4).map(word).collect()
}

fn device() -> Device {
    let limits = Limits { max_buffers: usize::MAX, fusion: true, half_products: false, turned_weights: false };
    Device::with_backend(Box::new(CpuBackend::open(&DeviceOptions::default())), limits, Some(Box::new(Strict)))
}

/// Trains a model for two epochs with a last batch that is smaller, and asks it something.
fn train(mut model: Sequential, x: &Tensor, classes: usize) -> Result<()> {
    let y: Vec<i32> = (0..x.dims()[0]).map(|i| (i % classes) as i32).collect();
    let y = Tensor::new(&y, x.device())?;
    let fitted = model.fit(x, &y, Fit::new().epochs(2).batch_size(8).validation_split(0.2).verbose(0))?;
    assert!(fitted["loss"][1].is_finite());
    model.predict(x, ())?.realize()
}

#[test]
fn training() -> Result<()> {
    let device = &device();
    let x = Tensor::uniform([27, 21], -1.0, 1.0, 1, device)?;
    for policy in ["float32", "mixed_float16", "mixed_bfloat16"] {
        let mut model = Sequential::new()
            .add(Dense::new(33).activation(Relu))
            .add(BatchNormalization::new())
            .add(Dropout::new(0.3))
            .add(Dense::new(24).activation(Gelu))
            .add(LayerNormalization::new())
            .add(Dense::new(5).activation(Softmax));
        model.set_dtype_policy(policy)?;
        model.compile(Adam::default(), "sparse_categorical_crossentropy", ["accuracy"])?;
        train(model, &x, 5)?;
    }
    let images = Tensor::uniform([18, 11, 10, 3], 0.0, 1.0, 2, device)?;
    let mut model = Sequential::new()
        .add(Conv2D::new(8, 3).padding("same").activation(Relu))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(7, [3, 2]).strides(2))
        .add(AveragePooling2D::new([2, 1]))
        .add(Flatten::new())
        .add(Dense::new(4).activation(Softmax));
    model.compile(SGD::new(0.1).momentum(0.9), "sparse_categorical_crossentropy", ["accuracy"])?;
    train(model, &images, 4)?;
    let words = Tensor::uniform([20, 6], 0.0, 9.0, 3, device)?.cast(DType::I32)?;
    let mut model =
        Sequential::new().add(Embedding::new(9, 12)).add(Flatten::new()).add(Dense::new(3).activation(Softmax));
    model.compile("rmsprop", "sparse_categorical_crossentropy", ())?;
    train(model, &words, 3)?;
    assert!(STEPS.load(Ordering::Relaxed) > 100, "{STEPS:?} steps");
    Ok(())
}

/// What overwrites a variable may read it elsewhere.
#[test]
fn variables_that_follow_from_themselves() -> Result<()> {
    let device = &device();
    type Change = fn(&Tensor) -> Result<Tensor>;
    let changes: [(&str, Change); 16] = [
        ("pointwise", |x| x.mul(2.0)?.add(1.0)),
        ("turned", |x| x.t()),
        ("turned and more", |x| x.t()?.add(x)),
        ("backwards", |x| x.flip(0)?.mul(x)),
        ("shifted", |x| x.roll(1, 1)),
        ("rows less their means", |x| x.sub(x.mean_keepdims(1)?)),
        ("columns less their means", |x| x.sub(x.mean_keepdims(0)?)),
        ("softmax", |x| x.softmax(-1)),
        ("softmax of columns", |x| x.softmax(0)),
        ("product", |x| x.matmul(x)),
        ("product and more", |x| x.matmul(&x.t()?)?.add(x)),
        ("running sum", |x| x.cumsum(0)),
        ("in order", |x| x.sort(1)),
        ("rows taken", |x| x.take([3, 1, 1, 0, 2].repeat(8).as_slice(), 0)?.slice(0, 0..37)),
        ("the first row", |x| x.add(x.slice(0, 0..1)?)),
        ("its place", |x| x.mul(x.argmax(1)?.cast(x.dtype())?)),
    ];
    for (name, change) in changes {
        for dtype in [DType::F32, DType::F16] {
            let var = Var::new(&Tensor::uniform([37, 37], -1.0, 1.0, 4, device)?.cast(dtype)?);
            for _ in 0..2 {
                let new = change(&var.value()).map_err(|e| e.context(name.to_string()))?;
                var.assign(&new.cast(dtype)?)?;
                var.value().realize().map_err(|e| e.context(name.to_string()))?;
            }
        }
    }
    Ok(())
}
