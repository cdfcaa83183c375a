//! Building, adding layers, moving: what a model has learnt stays.

use super::*;

fn numbers(t: &Tensor) -> Vec<f32> {
    t.to_vec().unwrap()
}

#[test]
fn a_layer_added_leaves_the_others_as_they_are() {
    let (x, y) = points(30);
    let mut model = classifier();
    model.fit(&x, &y, quiet()).unwrap();
    let before: Vec<Vec<f32>> = model.get_weights().unwrap().iter().map(numbers).collect();
    let mut model = model.add(Dense::new(1).activation(Sigmoid).name("last"));
    assert!(!model.is_built());
    assert!(model.summary_text(76).contains("│ last (Dense)"));
    let after: Vec<Vec<f32>> = model.get_weights().unwrap().iter().map(numbers).collect();
    assert_eq!(after.len(), 6);
    assert_eq!(after[..4], before[..]);
    model.fit(&x, &y, quiet()).unwrap();
    // Two moments for each of the 33 + 2 numbers, the step and the rate: nothing is counted twice.
    assert!(model.summary_text(76).ends_with(" Optimizer params: 72 (292.00 B)\n"), "{}", model.summary_text(76));
}

#[test]
fn building_again_changes_nothing() {
    let mut model = classifier();
    model.build([2]).unwrap();
    let before = numbers(&model.get_weights().unwrap()[0]);
    model.build([2]).unwrap();
    assert_eq!(numbers(&model.get_weights().unwrap()[0]), before);
    let error = model.build([3]).unwrap_err();
    assert!(error.is_shape_mismatch());
    let expected = "Model 'model' has already been configured to use another input shape. Received: samples \
                    of shape (None, 3). Expected: samples of shape (None, 2).";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn data_that_cannot_be_taken_leaves_the_model_unbuilt() {
    let cpu = cpu();
    let mut model = Sequential::new().add(Dense::new(4)).add(Conv2D::new(2, 2)).add(Flatten::new());
    let flat = Tensor::zeros([3, 5], DType::F32, &cpu).unwrap();
    assert!(model.predict(&flat, ()).unwrap_err().is_shape_mismatch());
    assert!(!model.is_built() && model.input_shape().is_none());
    let images = Tensor::zeros([3, 4, 4, 7], DType::F32, &cpu).unwrap();
    assert_eq!(model.predict(&images, Predict::new().verbose(0)).unwrap().dims(), [3, 18]);
}

#[test]
fn names_are_unique_and_the_input_is_first() {
    let (x, _) = points(4);
    let mut twice = Sequential::new().add(Dense::new(2).name("a")).add(Dense::new(2).name("a"));
    let error = twice.compile("sgd", "mse", ()).unwrap_err();
    assert!(error.is_invalid_argument());
    assert!(error.to_string().contains("should have unique names. Received: a second layer named 'a'"), "{error}");
    assert!(twice.predict(&x, ()).unwrap_err().is_invalid_argument());
    let mut late = Sequential::new().add(Dense::new(2)).add(Input::new([2]));
    assert!(late.build([2]).unwrap_err().is_invalid_argument());
    let mut two = Sequential::new().add(Input::new([2])).add(Input::new([2])).add(Dense::new(2));
    assert!(two.count_params().unwrap_err().is_invalid_argument());
}

#[test]
fn an_average_of_nothing_does_not_replace_the_weights() {
    let (x, y) = points(20);
    let averaged = |steps: u64| {
        let mut model = classifier();
        let optimizer = Adam::default().use_ema(true).ema_momentum(0.9).gradient_accumulation_steps(steps);
        model.compile(optimizer, "binary_crossentropy", ()).unwrap();
        model.build([2]).unwrap();
        model
    };
    // No epoch at all, and fewer steps than an update needs.
    for epochs in [0, 1] {
        let mut model = averaged(100);
        let before = numbers(&model.get_weights().unwrap()[0]);
        model.fit(&x, &y, quiet().epochs(epochs)).unwrap();
        assert_eq!(numbers(&model.get_weights().unwrap()[0]), before);
    }
    // A layer that joins later is averaged from where it starts, not from 0.
    let mut model = averaged(1);
    model.fit(&x, &y, quiet().epochs(3)).unwrap();
    let mut model = model.add(Dense::new(1).kernel_initializer("ones").name("late"));
    model.fit(&x, &y, quiet()).unwrap();
    let late = numbers(&model.get_weights().unwrap()[4])[0];
    assert!((late - 1.0).abs() < 0.1, "{late}");
}

#[test]
fn training_goes_on_elsewhere_as_if_nothing_happened() {
    let (x, y) = points(40);
    let other = Device::open_with("cpu", &DeviceOptions::default()).unwrap();
    let run = |moves: bool| {
        let mut model = classifier();
        model.set_trainable("hidden", false).unwrap();
        model.fit(&x, &y, quiet().epochs(2).seed(3)).unwrap();
        let (mut x, mut y) = (x.clone(), y.clone());
        if moves {
            model.to_device(&other).unwrap();
            assert_eq!(model.device().as_ref(), Some(&other));
            (x, y) = (x.to_device(&other).unwrap(), y.to_device(&other).unwrap());
        }
        assert_eq!(model.trainable_weights().len(), 2);
        // The moments of Adam move too, or the steps would be others.
        model.fit(&x, &y, quiet().epochs(2).seed(4)).unwrap();
        model.get_weights().unwrap().iter().map(numbers).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn copies_of_weights_stay_on_the_device() {
    let device = Device::open_with("cpu", &DeviceOptions::default()).unwrap();
    let (x, y) = points(20);
    let (x, y) = (x.to_device(&device).unwrap(), y.to_device(&device).unwrap());
    let mut model = classifier();
    model.fit(&x, &y, quiet()).unwrap();
    let before = device.counters();
    let copies = model.get_weights().unwrap();
    assert_eq!((device.counters() - before).readbacks, 0);
    let first = numbers(&copies[0]);
    model.fit(&x, &y, quiet()).unwrap();
    assert_eq!(numbers(&copies[0]), first);
    assert_ne!(numbers(&model.get_weights().unwrap()[0]), first);
}
