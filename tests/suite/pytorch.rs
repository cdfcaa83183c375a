//! Weights with PyTorch's names and layouts, held to what its model computes.

use wgtensor::nn::Arrays;
use wgtensor::nn::prelude::*;
use wgtensor::{DType, Result, Tensor};

use super::devices::for_each_device;

/// Which module each layer is.
const MODULES: [(&str, &str); 5] =
    [("conv", "features.0"), ("bn", "features.1"), ("words", "words"), ("norm", "norm"), ("head", "head")];

/// The model of the fixture; its padding, means and epsilons are not in the file.
fn model() -> Result<Model> {
    let (x, words) = (Input::new([6, 6, 2]).node(), Input::new([3]).dtype(DType::I32).node());
    let features = Conv2D::new(4, 3).padding("same").name("conv").on(&x)?;
    let features = BatchNormalization::new().epsilon(1e-5).name("bn").on(&features)?;
    let features = MaxPooling2D::new(2).on(&Relu.on(&features)?)?;
    let features = GlobalAveragePooling2D::new().on(&features)?;
    let read = Embedding::new(5, 3).name("words").on(&words)?;
    let read = LayerNormalization::new().epsilon(1e-5).name("norm").on(&read)?;
    let both = concatenate([&features, &Flatten::new().on(&read)?])?;
    Model::new([&x, &words], [&Dense::new(3).name("head").on(&both)?])
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/torch.safetensors");

/// Some of the file's tensors are of 16 or 64 bits, and one is of no layer.
#[test]
fn weights_of_pytorch_give_its_predictions() {
    let json: serde_json::Value = serde_json::from_str(include_str!("../fixtures/models/torch.json")).unwrap();
    let list = |name: &str| -> Vec<f32> {
        json[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    for_each_device(|device| {
        let x = Tensor::from_slice(&list("x"), [2, 6, 6, 2], device)?;
        let words = Tensor::from_slice(&list("words"), [2, 3], device)?.cast(DType::I32)?;
        let mut model = model()?;
        model.load_pytorch_weights(FILE, MODULES)?;
        let predict =
            |model: &mut Model| model.predict(Arrays::from(&[x.clone(), words.clone()][..]), Predict::new().verbose(0));
        let (got, expected) = (predict(&mut model)?.to_vec::<f32>()?, list("y"));
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} instead of {expected:?}");

        // And back: the same names and shapes, with the numbers that were read.
        let bytes = model.pytorch_weights_to_bytes(MODULES)?;
        let header = |bytes: &[u8]| -> serde_json::Value {
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            serde_json::from_slice(&bytes[8..end]).unwrap()
        };
        let (ours, theirs) = (header(&bytes), header(&std::fs::read(FILE).unwrap()));
        for (name, entry) in ours.as_object().unwrap() {
            assert_eq!(entry["shape"], theirs[name]["shape"], "{name}");
        }
        assert_eq!(ours.as_object().unwrap().len() + 1, theirs.as_object().unwrap().len());
        let mut again = self::model()?;
        again.pytorch_weights_from_bytes(&bytes, MODULES)?;
        assert_eq!(predict(&mut again)?.to_vec::<f32>()?, got);
        Ok(())
    });
}

#[test]
fn modules_that_do_not_fit_are_refused_and_nothing_is_set() -> Result<()> {
    let mut model = model()?;
    model.count_params()?;
    let before = model.weights_to_bytes()?;
    let mut refused = |modules: &[(&'static str, &'static str)]| {
        model.load_pytorch_weights(FILE, modules.iter().copied()).unwrap_err().to_string()
    };
    assert!(refused(&[("head", "head"), ("tail", "head")]).contains("No such layer: tail"));
    assert!(refused(&[("head", "head"), ("conv", "features")]).contains("`features.weight`"));
    let wrong = refused(&[("head", "head"), ("words", "norm")]);
    assert!(wrong.contains("[3] for `norm.weight`") && wrong.contains("[5, 3] for `words/embeddings`"), "{wrong}");
    // A layer and a module with a bias and one without; two layers of one module.
    let mut bare = Sequential::new().add(Input::new([13])).add(Dense::new(3).use_bias(false).name("head"));
    let lacks = bare.load_pytorch_weights(FILE, [("head", "head")]).unwrap_err().to_string();
    assert!(lacks.contains("`head.bias`"), "{lacks}");
    let refused_names = [("head", "a"), ("norm", "a")];
    assert!(model.pytorch_weights_to_bytes(refused_names).unwrap_err().to_string().contains("`a.weight` twice"));
    // Integers are no weights.
    let bytes = {
        let header = br#"{"a.bias":{"dtype":"I32","shape":[3],"data_offsets":[0,12]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 12]].concat()
    };
    assert!(model.pytorch_weights_from_bytes(&bytes, [("head", "a")]).unwrap_err().is_invalid_argument());
    assert_eq!(model.weights_to_bytes()?, before);
    Ok(())
}
