//! A layer of one's own, with a weight and settings, that trains, prints, and comes back out of a model file: Fourier features,
//! which turn each coordinate into sines and cosines of many frequencies. Two spirals that wind around each other, which a small
//! network separates with it and hardly without.
//!
//! Source: Tancik et al., Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains, 2020,
//! equation 5.
//!
//! ```text
//! cargo run --release --features full --example own_layer
//! ```

use wgtensor::nn::LoadModel;
use wgtensor::nn::config::Config;
use wgtensor::nn::layers::{BuildCtx, CallCtx, Layer};
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Result, Shape, Tensor, Var};

/// `[sin(x W), cos(x W)]` with random, trainable frequencies `W` of shape `(coordinates, features)`.
struct FourierFeatures {
    features: usize,
    /// The standard deviation of the frequencies at the start.
    scale: f64,
    frequencies: Option<Var>,
}

impl FourierFeatures {
    fn new(features: usize, scale: f64) -> Self {
        FourierFeatures { features, scale, frequencies: None }
    }

    /// The layer that a model file tells of.
    fn from_config(config: &Config) -> Result<Box<dyn Layer>> {
        let number = |key: &str| config.get(key).and_then(|value| value.as_f64()).unwrap_or(1.0);
        Ok(Box::new(FourierFeatures::new(number("features") as usize, number("scale"))))
    }
}

impl Layer for FourierFeatures {
    fn class_name(&self) -> &'static str {
        "FourierFeatures"
    }

    fn config(&self) -> Result<Config> {
        Ok(Config::new("FourierFeatures").with("features", self.features).with("scale", self.scale))
    }

    // Shapes are those of one sample, without the batch.
    fn build(&mut self, input: &Shape, ctx: &mut BuildCtx<'_>) -> Result<()> {
        let normal = Initializer::RandomNormal { mean: 0.0, std: self.scale };
        self.frequencies = Some(ctx.weight("frequencies", &[input[input.rank() - 1], self.features], &normal)?);
        Ok(())
    }

    fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
        let angles = x.matmul(&self.frequencies.as_ref().expect("built").value())?;
        Tensor::concat([&angles.sin()?, &angles.cos()?], -1)
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        let mut shape = input.to_vec();
        if let Some(last) = shape.last_mut() {
            *last = 2 * self.features;
        }
        Shape::new(&shape)
    }

    fn weights(&self) -> Vec<Var> {
        self.frequencies.iter().cloned().collect()
    }
}

/// Points on two spirals of five turns, and which spiral each is on.
fn spirals(points: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let spiral: Vec<i32> = (0..points as i32).map(|i| i % 2).collect();
    let y = Tensor::from_slice(&spiral, points, device)?;
    let along = Tensor::uniform([points], 0.05, 1.0, 7, device)?.sqrt()?;
    let angle =
        along.mul(10.0 * std::f64::consts::PI)?.add(y.cast(wgtensor::DType::F32)?.mul(std::f64::consts::PI)?)?;
    let x = Tensor::stack([&along.mul(angle.cos()?)?, &along.mul(angle.sin()?)?], 1)?;
    Ok((x.add(Tensor::normal([points, 2], 0.0, 0.01, 8, device)?)?, y))
}

fn train(mut model: Sequential, device: &Device) -> Result<(Model, f64)> {
    let (x, y) = spirals(2000, device)?;
    model.compile(Adam::new(0.003), "sparse_categorical_crossentropy", ["accuracy"])?;
    let (train, test) = (x.slice(0, 0..1600)?, x.slice(0, 1600..2000)?);
    model.fit(&train, &y.slice(0, 0..1600)?, Fit::new().epochs(60).batch_size(64).verbose(0))?;
    let scores = model.evaluate(&test, &y.slice(0, 1600..2000)?, Evaluate::new().verbose(0))?;
    Ok((model.into(), scores["accuracy"]))
}

fn main() -> Result<()> {
    wgtensor::set_random_seed(3);
    let device = Device::from_env()?;
    let top = |model: Sequential| {
        model
            .add(Dense::new(32).activation(Relu))
            .add(Dense::new(32).activation(Relu))
            .add(Dense::new(2).activation(Softmax))
    };
    let (_, without) = train(top(Sequential::new().add(Input::new([2]))), &device)?;
    let (mut model, with) =
        train(top(Sequential::new().add(Input::new([2])).add(FourierFeatures::new(32, 6.0))), &device)?;
    model.summary();
    println!("accuracy on points that neither has seen: {without:.3} without the layer, {with:.3} with it");

    // A file names the layer's class; whoever opens it says how to make one.
    let bytes = model.to_bytes()?;
    let mut again = LoadModel::new().layer("FourierFeatures", FourierFeatures::from_config).read(&bytes)?;
    let (x, _) = spirals(5, &device)?;
    let silent = || Predict::new().verbose(0);
    let apart = model.predict(&x, silent())?.sub(&again.predict(&x, silent())?)?.abs()?.max(())?.item::<f32>()?;
    println!("saved and opened again ({} bytes), its predictions differ by {apart}", bytes.len());
    assert_eq!(apart, 0.0);
    Ok(())
}
