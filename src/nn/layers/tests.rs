use super::*;
use crate::dtype::DType;
use crate::nn::activations::Activation::*;
use crate::nn::model::{Input, IntoLayer, Sequential};

/// Builds a layer for samples of this shape, its weights drawn from a fixed seed.
fn make<L: Layer>(mut layer: L, sample: &[usize]) -> Result<L> {
    layer.check()?;
    let mut seeds = SeedStream::new(7);
    layer.build(&Shape::new(sample)?, &mut BuildCtx::new(&Device::cpu(), "layer", &mut seeds))?;
    Ok(layer)
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::cpu()).unwrap()
}

fn call(layer: &impl Layer, x: &Tensor) -> Vec<f32> {
    layer.call(x, &CallCtx::inference()).unwrap().to_vec().unwrap()
}

#[test]
fn dense_is_a_product_on_the_last_axis() {
    let dense =
        make(Dense::new(2).kernel_initializer("ones").bias_initializer(Initializer::Constant(0.5)), &[3]).unwrap();
    assert_eq!(call(&dense, &tensor(&[1.0, 2.0, 3.0], &[1, 3])), [6.5, 6.5]);
    let deep = dense.call(&tensor(&[1.0; 12], &[2, 2, 3]), &CallCtx::inference()).unwrap();
    assert_eq!(deep.dims(), [2, 2, 2]);
    assert_eq!(dense.weights().iter().map(|w| w.name().to_owned()).collect::<Vec<_>>(), ["layer/kernel", "layer/bias"]);
}

#[test]
fn a_wrong_width_is_keras_s_error() {
    let dense = make(Dense::new(2), &[5]).unwrap();
    let error = dense.call(&tensor(&[0.0; 18], &[3, 6]), &CallCtx::inference()).unwrap_err();
    assert!(error.is_shape_mismatch());
    let expected = "Input 0 of layer 'layer' is incompatible with the layer: expected axis -1 of input \
                    shape to have value 5, but received input with shape (3, 6)";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_wrong_rank_is_keras_s_error() {
    let error = make(Conv2D::new(4, 3), &[5]).err().unwrap();
    let expected = "Input 0 of layer 'layer' is incompatible with the layer: expected ndim=4, found \
                    ndim=2. Full shape received: (None, 5)";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_kernel_that_does_not_fit_is_keras_s_error() {
    let error = make(Conv2D::new(4, 3), &[2, 2, 1]).err().unwrap();
    let expected = "Computed output size would be zero or negative. Received `inputs shape=(None, 2, 2, 1)`, `kernel \
                    shape=(3, 3, 1, 4)`";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(make(MaxPooling2D::new(3), &[2, 2, 1]).is_err());
    assert!(make(MaxPooling2D::new(3).padding("same"), &[2, 2, 1]).is_ok());
}

#[test]
fn settings_that_make_no_sense_are_errors() {
    assert!(make(Dense::new(0), &[3]).err().unwrap().is_invalid_argument());
    assert!(make(Dense::new(2).activation("rellu"), &[3]).err().unwrap().is_invalid_argument());
    assert!(make(Conv2D::new(4, 3).groups(3), &[8, 8, 4]).err().unwrap().is_invalid_argument());
    assert!(make(Conv2D::new(4, 3).padding("full"), &[8, 8, 4]).err().unwrap().is_invalid_argument());
    assert!(make(Dropout::new(1.5), &[3]).err().unwrap().is_invalid_argument());
    assert!(make(Reshape::new([4, -1]), &[6]).err().unwrap().is_shape_mismatch());
}

#[test]
fn shapes_are_what_layers_promise() {
    let shape =
        |layer: &dyn Layer, sample: &[usize]| layer.output_shape(&Shape::new(sample).unwrap()).unwrap().to_vec();
    assert_eq!(shape(&Conv2D::new(32, 3), &[28, 28, 1]), [26, 26, 32]);
    assert_eq!(shape(&Conv2D::new(8, 3).padding("same").strides(2), &[7, 8, 1]), [4, 4, 8]);
    assert_eq!(shape(&MaxPooling2D::default(), &[11, 11, 64]), [5, 5, 64]);
    assert_eq!(shape(&Flatten::new(), &[5, 5, 64]), [1600]);
    assert_eq!(shape(&Reshape::new([3, -1]), &[4, 3]), [3, 4]);
    // Sizes as `dims` gives them.
    let (n, rank) = (3usize, 3usize);
    assert_eq!(shape(&Reshape::new([n, 4]), &[4, 3]), [3, 4]);
    assert_eq!(shape(&Reshape::new(vec![n, 4]), &[4, 3]), [3, 4]);
    assert_eq!(Concatenate::new().axis(rank - 1).config().unwrap(), Concatenate::new().axis(2).config().unwrap());
    assert_eq!(Dot::new((n, 1)).config().unwrap(), Dot::new((3isize, 1)).config().unwrap());
    assert!(Reshape::new([usize::MAX]).check().err().unwrap().to_string().contains("18446744073709551615"));
    assert_eq!(shape(&GlobalAveragePooling2D::new(), &[5, 5, 64]), [64]);
    assert_eq!(shape(&Embedding::new(10, 4), &[6]), [6, 4]);
}

/// Padding of every kind: the shape announced is that of the result, so the next layer is built as wide as its input.
#[test]
fn windows_announce_the_shape_that_they_give() {
    use crate::Padding;
    use crate::nn::config::Pair;
    let explicit = Padding::Explicit { top: 2, bottom: 1, left: 0, right: 3 };
    for padding in [Padding::Valid, Padding::Same, explicit] {
        for (size, stride) in [(Pair(1, 1), 1), (Pair(2, 2), 2), (Pair(3, 3), 1), (Pair(3, 3), 2), (Pair(2, 3), 2)] {
            let layers: [Box<dyn Layer>; 3] = [
                Box::new(make(Conv2D::new(4, size).strides(stride).padding(padding), &[7, 8, 2]).unwrap()),
                Box::new(make(MaxPooling2D::new(size).strides(stride).padding(padding), &[7, 8, 2]).unwrap()),
                Box::new(make(AveragePooling2D::new(size).strides(stride).padding(padding), &[7, 8, 2]).unwrap()),
            ];
            for layer in layers {
                let y = layer.call(&tensor(&[1.0; 112], &[1, 7, 8, 2]), &CallCtx::inference()).unwrap();
                let announced = layer.output_shape(&Shape::new(&[7, 8, 2]).unwrap()).unwrap();
                let what = format!("{} {size:?} by {stride}, {padding:?}", layer.class_name());
                assert_eq!(y.dims()[1..], *announced.dims(), "{what}");
            }
        }
    }
    let mut model = Sequential::new()
        .add(Input::new([4, 4, 1]))
        .add(Conv2D::new(2, 3).padding(Padding::Explicit { top: 1, bottom: 1, left: 1, right: 1 }))
        .add(Flatten::new())
        .add(Dense::new(1));
    assert_eq!(model.call(tensor(&[1.0; 16], &[1, 4, 4, 1]), false).unwrap().dims(), [1, 1]);
}

#[test]
fn dropout_keeps_the_mean_and_only_in_training() {
    let dropout = Dropout::new(0.25);
    let x = Tensor::ones([100, 100], DType::F32, &Device::cpu()).unwrap();
    assert!(call(&dropout, &x).iter().all(|&v| v == 1.0));
    let run = |seed| dropout.call(&x, &CallCtx::training(seed)).unwrap().to_vec::<f32>().unwrap();
    let dropped = run(1);
    assert!(dropped.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    let kept = dropped.iter().filter(|&&v| v > 0.0).count() as f64 / 1e4;
    assert!((kept - 0.75).abs() < 0.02, "{kept}");
    assert_eq!(dropped, run(1));
    assert_ne!(dropped, run(2));
}

#[test]
fn batch_normalization_moves_its_statistics_in_training_only() {
    let layer = make(BatchNormalization::new().momentum(0.5), &[2]).unwrap();
    let x = tensor(&[1.0, 10.0, 3.0, 30.0], &[2, 2]);
    let y: Vec<f32> = layer.call(&x, &CallCtx::training(0)).unwrap().to_vec().unwrap();
    assert!((y[0] + 1.0).abs() < 1e-2 && (y[2] - 1.0).abs() < 1e-2, "{y:?}");
    let stored = |i: usize| layer.weights()[i].value().to_vec::<f32>().unwrap();
    assert_eq!((stored(2), stored(3)), (vec![1.0, 10.0], vec![1.0, 50.5]));
    call(&layer, &x);
    assert_eq!(stored(2), [1.0, 10.0]);
    assert!(!layer.weights()[2].is_trainable() && layer.weights()[0].is_trainable());
}

#[test]
fn activations_are_layers() {
    let layer = SoftmaxLayer::new();
    assert_eq!((layer.class_name(), Softmax.shared().class_name()), ("Softmax", "Softmax"));
    let classes = [Relu, Elu, Tanh].map(|activation| layer_of(activation).class_name());
    assert_eq!(classes, ["ReLU", "ELU", "Activation"]);
    let x = tensor(&[-2.0, 0.5, 1.0, 9.0], &[4]);
    assert_eq!(call(&ReLU::new().max_value(6.0).negative_slope(0.5).threshold(1.0), &x), [-1.5, -0.25, 0.0, 6.0]);
    assert_eq!(call(&layer, &tensor(&[0.0, 0.0], &[1, 2])), [0.5, 0.5]);
    assert_eq!(call(&LeakyReLU::new(), &tensor(&[-1.0, 2.0], &[2])), [-0.3, 2.0]);
}
