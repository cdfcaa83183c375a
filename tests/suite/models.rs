//! Models of the shapes that Keras's functional API is used for, trained on every device.

use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, Result, Tensor};

use super::devices::for_each_device;

fn silent() -> Predict<'static> {
    Predict::new().verbose(0)
}

/// The model of this one's configuration, with its weights through the bytes of a file, predicts the same to the bit.
fn there_and_back<const N: usize>(model: &mut Model, x: [&Tensor; N]) -> Result<()> {
    let config = model.config()?;
    let mut again = Model::from_config(&config.to_string().parse()?)?;
    assert_eq!(again.config()?, config);
    again.weights_from_bytes(&model.weights_to_bytes()?)?;
    let (first, second) = (model.predict_all(x, silent())?, again.predict_all(x, silent())?);
    assert_eq!(first.len(), second.len());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
        let bits = |t: &Tensor| Ok(t.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        assert_eq!(bits(a)?, bits(b)?);
    }
    Ok(())
}

/// Stripes across or along small images, in noise.
fn stripes(n: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let labels: Vec<i32> = (0..n as i32).map(|i| i * 5 % 7 % 2).collect();
    let pixel = |i: usize| {
        let (sample, row, column) = (i / 64, i / 8 % 8, i % 8);
        let along = if labels[sample] == 1 { row } else { column };
        if along % 2 == 0 { 1.0 } else { 0.0 }
    };
    let pixels: Vec<f32> = (0..n * 64).map(pixel).collect();
    let noise = Tensor::normal([n, 8, 8, 1], 0.0, 0.3, 5, device)?;
    Ok((Tensor::from_slice(&pixels, [n, 8, 8, 1], device)?.add(noise)?, Tensor::from_slice(&labels, [n], device)?))
}

/// Two convolutions with batch normalisation and a shortcut around them, narrowed by a 1x1 convolution where it must be.
fn residual(x: &Node, filters: usize, stride: usize) -> Result<Node> {
    let y = Conv2D::new(filters, 3).strides(stride).padding("same").use_bias(false).on(x)?;
    let y = Relu.on(BatchNormalization::new().on(y)?)?;
    let y = BatchNormalization::new().on(Conv2D::new(filters, 3).padding("same").use_bias(false).on(y)?)?;
    let shortcut = match x.shape()[2] == filters && stride == 1 {
        true => x.clone(),
        false => Conv2D::new(filters, 1).strides(stride).on(x)?,
    };
    Relu.on(add([&y, &shortcut])?)
}

#[test]
fn a_residual_network_learns() {
    for_each_device(|device| {
        let (x, y) = stripes(96, device)?;
        let input = Input::new([8, 8, 1]).node();
        let body = residual(&residual(&input, 4, 1)?, 8, 2)?;
        let output = Dense::new(2).activation(Softmax).on(GlobalAveragePooling2D::new().on(body)?)?;
        let mut model = Model::new(&input, output)?;
        model.compile(Adam::new(0.01), "sparse_categorical_crossentropy", ["accuracy"])?;
        let history = model.fit(&x, &y, Fit::new().epochs(6).batch_size(16).seed(2).verbose(0))?;
        assert!(history.last("loss").unwrap() < 0.5 * history["loss"][0], "{history:?}");
        assert!(history.last("accuracy").unwrap() > 0.9, "{history:?}");
        assert_eq!(model.predict(&x, silent())?.dims(), [96, 2]);
        there_and_back(&mut model, [&x])
    });
}

/// Words on both sides go through one embedding; one output says whether the sides are alike, the other which is larger.
#[test]
fn two_towers_share_an_embedding_and_have_two_outputs() {
    for_each_device(|device| {
        let n = 128;
        let word = |i: usize| (i * i * 31 + i * 17) as i32 % 12;
        let side = |shift: usize| (0..n).map(|i| word(i + shift)).collect::<Vec<i32>>();
        let (left, right) = (side(0), side(5));
        let pairs = || left.iter().zip(&right);
        let alike: Vec<f32> = pairs().map(|(l, r)| f32::from(l % 3 == r % 3)).collect();
        let apart: Vec<f32> = pairs().map(|(l, r)| (l - r) as f32 / 12.0).collect();
        let tokens = |words: &[i32]| Tensor::from_slice(words, [n, 1], device);
        let (left, right) = (tokens(&left)?, tokens(&right)?);
        let (alike, apart) = (Tensor::from_slice(&alike, [n, 1], device)?, Tensor::from_slice(&apart, [n, 1], device)?);

        let inputs = ["left", "right"].map(|name| Input::new([1]).dtype(DType::I32).name(name).node());
        let embed = Embedding::new(12, 8).name("embed");
        let tower = |input: &Node, name: &str| {
            Dense::new(8).activation(Tanh).name(name).on(Flatten::new().on(embed.on(input)?)?)
        };
        let towers = [tower(&inputs[0], "tower_l")?, tower(&inputs[1], "tower_r")?];
        let joined = Dense::new(16).activation(Relu).on(concatenate(&towers[..])?)?;
        let outputs =
            [Dense::new(1).activation(Sigmoid).name("alike").on(&joined)?, Dense::new(1).name("apart").on(&joined)?];
        let mut model = Model::new(&inputs[..], &outputs[..])?;
        assert_eq!(model.count_params()?, 12 * 8 + 2 * 72 + 17 * 16 + 2 * 17);
        let how = Compile::new(Adam::new(0.02), [("alike", "binary_crossentropy"), ("apart", "mse")])
            .metrics([("alike", "accuracy"), ("apart", "mae")])
            .loss_weights([1.0, 2.0]);
        model.compile_with(how)?;
        let history = model.fit(
            [("right", &right), ("left", &left)],
            [("alike", &alike), ("apart", &apart)],
            Fit::new().epochs(25).batch_size(32).seed(3).verbose(0),
        )?;
        assert!(history.last("loss").unwrap() < 0.5 * history["loss"][0], "{history:?}");
        assert!(
            history.last("apart_mae").unwrap() < 0.15 && history.last("alike_accuracy").unwrap() > 0.8,
            "{history:?}"
        );
        let outputs = model.predict_all([&left, &right], silent())?;
        assert_eq!((outputs[0].dims(), outputs[1].dims()), (&[n, 1][..], &[n, 1][..]));
        there_and_back(&mut model, [&left, &right])
    });
}

#[test]
fn the_encoder_of_an_autoencoder_stands_alone() {
    for_each_device(|device| {
        let hidden = Tensor::uniform([128, 2], -1.0, 1.0, 3, device)?;
        let x = hidden.matmul(&Tensor::normal([2, 10], 0.0, 1.0, 4, device)?)?.tanh()?;
        let input = Input::new([10]).node();
        let code = Dense::new(2).name("code").on(Dense::new(16).activation(Tanh).on(&input)?)?;
        let decoder =
            Sequential::named("decoder").add(Input::new([2])).add(Dense::new(16).activation(Tanh)).add(Dense::new(10));
        let mut autoencoder = Model::new(&input, decoder.on(&code)?)?;
        let mut encoder = Model::new(&input, &code)?;
        let mut decoder = decoder;
        autoencoder.compile(Adam::new(0.01), "mse", ())?;
        let history = autoencoder.fit(&x, &x, Fit::new().epochs(25).batch_size(32).seed(4).verbose(0))?;
        assert!(history.last("loss").unwrap() < 0.3 * history["loss"][0], "{history:?}");
        let codes = encoder.predict(&x, silent())?;
        assert_eq!(codes.dims(), [128, 2]);
        let whole = autoencoder.predict(&x, silent())?.to_vec::<f32>()?;
        let parts = decoder.predict(&codes, silent())?.to_vec::<f32>()?;
        assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-5));
        there_and_back(&mut encoder, [&x])?;
        there_and_back(&mut autoencoder, [&x])
    });
}
