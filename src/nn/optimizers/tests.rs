use super::*;
use crate::nn::schedules::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay,
};
use crate::{DType, Device};

/// Five steps of `optimizer` on `sum(w^2)` from `w = (1, -2)`, by the public road.
fn descend<R: Rule>(mut optimizer: Optimizer<R>) -> Vec<f32> {
    let w = Var::new(&Tensor::from_slice(&[1.0f32, -2.0], [2], &Device::cpu()).unwrap());
    for _ in 0..5 {
        let loss = w.value().square().unwrap().sum(()).unwrap();
        let grads = loss.backward().unwrap();
        optimizer.apply(&grads).unwrap();
    }
    assert_eq!(optimizer.iterations(), 5);
    w.value().to_vec().unwrap()
}

#[test]
fn all_rules_go_downhill() {
    let paths = [
        descend(SGD::default()),
        descend(SGD::default().momentum(0.9).nesterov(true)),
        descend(Adam::default()),
        descend(AdamW::default()),
        descend(RMSprop::default().momentum(0.5).centered(true)),
        descend(Adagrad::default()),
        descend(Adadelta::default()),
        descend(Adamax::default()),
        descend(Nadam::default()),
        descend(Lion::default()),
        descend(Lamb::default()),
    ];
    for (i, w) in paths.iter().enumerate() {
        assert!(w[0] < 1.0 && w[1] > -2.0 && w[0] > 0.0 && w[1] < 0.0, "rule {i}: {w:?}");
    }
    assert!((descend(SGD::new(0.1))[0] - 0.8f32.powi(5)).abs() < 1e-6);
}

#[test]
fn one_kind_of_clipping() {
    let error = SGD::default().clipnorm(1.0).clipvalue(1.0).into_optimizer().unwrap().check().unwrap_err();
    let expected = "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: clipnorm=1.0, \
                    clipvalue=1.0, global_clipnorm=None";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn names_of_optimizers() {
    assert_eq!("adam".into_optimizer().unwrap().class_name(), "Adam");
    assert_eq!("AdamW".into_optimizer().unwrap().class_name(), "AdamW");
    let error = "adamm".into_optimizer().err().unwrap();
    assert!(error.to_string().starts_with("Could not interpret optimizer identifier: adamm"), "{error}");
}

#[test]
fn frozen_variables_stay_and_no_gradient_is_an_error() {
    let w = Var::new(&Tensor::ones([2], DType::F32, &Device::cpu()).unwrap());
    w.set_trainable(false);
    let grads = w.value().sum(()).unwrap().backward().unwrap();
    assert!(SGD::default().apply(&grads).unwrap_err().is_invalid_state());
    assert_eq!(w.value().to_vec::<f32>().unwrap(), [1.0, 1.0]);
}

#[test]
fn a_schedule_sets_the_rate_and_cannot_be_overridden() {
    let rate = |step: u64| if step < 2 { 0.1 } else { 0.0 };
    assert!((descend(SGD::new(rate))[0] - 0.8f32.powi(2)).abs() < 1e-6);
    let mut optimizer = SGD::new(rate);
    assert!(optimizer.set_rate(0.5).unwrap_err().is_invalid_argument());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |name: &str, optimizer: Optimizer<SGDRule>| {
        let error = optimizer.check().unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains(name), "{name}: {error}");
    };
    refused("clipnorm=-1", SGD::default().clipnorm(-1.0));
    refused("clipvalue=0", SGD::default().clipvalue(0.0));
    refused("global_clipnorm=NaN", SGD::default().global_clipnorm(f64::NAN));
    refused("gradient_accumulation_steps=0", SGD::default().gradient_accumulation_steps(0));
    refused("ema_momentum=1.5", SGD::default().use_ema(true).ema_momentum(1.5));
    refused("ema_overwrite_frequency=0", SGD::default().ema_overwrite_frequency(0));
    refused("decay_steps=0", SGD::new(CosineDecay::new(0.1, 0)));
    refused("decay_steps=0", SGD::default().learning_rate(ExponentialDecay::new(0.1, 0, 0.5)));
    refused("decay_steps=0", SGD::default().learning_rate(InverseTimeDecay::new(0.1, 0, 0.5)));
    refused("decay_steps=0", SGD::default().learning_rate(PolynomialDecay::new(0.1, 0)));
    refused("first_decay_steps=0", SGD::new(CosineDecayRestarts::new(0.1, 0)));
    refused("2 boundaries and 2 values", SGD::default().learning_rate(PiecewiseConstantDecay::new([1, 2], [0.1, 0.2])));
    assert!(SGD::default().clipnorm(1.0).use_ema(true).gradient_accumulation_steps(2).check().is_ok());
    assert!(SGD::default().learning_rate(PiecewiseConstantDecay::new([1], [0.1, 0.2])).check().is_ok());
}

#[test]
fn state_moves_with_its_variable() {
    let step = |optimizer: &mut Adam, w: &Var| {
        let grads = w.value().square().unwrap().sum(()).unwrap().backward().unwrap();
        optimizer.apply(&grads).unwrap();
    };
    let start = Tensor::from_slice(&[1.0f32, -2.0], [2], &Device::cpu()).unwrap();
    let other = Device::open_with("cpu", &crate::DeviceOptions::default()).unwrap();
    let run = |moves: bool| {
        let (mut w, mut optimizer) = (Var::new(&start), Adam::default());
        step(&mut optimizer, &w);
        if moves {
            let there = Var::new(&w.value().detach().to_device(&other).unwrap());
            let size = optimizer.size();
            optimizer.transfer(&[w], std::slice::from_ref(&there)).unwrap();
            assert_eq!(optimizer.size(), size);
            w = there;
        }
        step(&mut optimizer, &w);
        w.value().to_vec::<f32>().unwrap()
    };
    assert_eq!(run(true), run(false));
}
