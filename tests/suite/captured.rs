//! Captured steps: what is replayed is what would have been recorded, bit for bit, whatever happens in between.

use wgtensor::nn::callbacks::Callback;
use wgtensor::nn::layers::{CallCtx, Layer};
use wgtensor::nn::optimizers::{AnyOptimizer, IntoOptimizer};
use wgtensor::nn::prelude::*;
use wgtensor::nn::schedules::{CosineDecay, ExponentialDecay};
use wgtensor::{DType, Device, Error, Kernels, Result, Tensor, Var};

use super::devices::{for_each_device, for_each_device_alone};

fn batch(i: u64, rows: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let x = Tensor::uniform([rows, 3], -1.0, 1.0, 2 * i, device)?;
    let y = Tensor::uniform([rows, 2], -1.0, 1.0, 2 * i + 1, device)?;
    x.realize()?;
    y.realize()?;
    Ok((x, y))
}

fn weights(device: &Device) -> Result<[Var; 2]> {
    let random = |shape: &[usize], seed| Ok(Var::new(&Tensor::uniform(shape, -1.0, 1.0, seed, device)?));
    Ok::<_, Error>([random(&[3, 2], 100u64)?, random(&[2], 101u64)?])
}

fn loss(x: &Tensor, y: &Tensor, [w, b]: &[Var; 2]) -> Result<Tensor> {
    x.matmul(&w.value())?.add(b.value())?.tanh()?.sub(y)?.square()?.mean(())
}

/// The bits of some values.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn values(vars: &[Var]) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for var in vars {
        all.extend(bits(&var.value().to_vec::<f32>()?));
    }
    Ok(all)
}

/// A dozen steps, each recorded or all captured: the bits of the losses and of the weights, and how many were replayed.
fn trained(device: &Device, optimizer: &str, captured: bool) -> Result<(Vec<u32>, u64)> {
    let mut optimizer = made(optimizer)?;
    let vars = weights(device)?;
    let mut step = |[x, y]: [Tensor; 2]| {
        let loss = loss(&x, &y, &vars)?;
        let grads = optimizer.scale_loss(&loss)?.backward()?;
        optimizer.step(vars.iter().map(|v| (v.clone(), grads.get(v).unwrap().clone())).collect())?;
        Ok([loss.detach()])
    };
    // Two sizes, as at the end of an epoch.
    let batches = (0..12).map(|i| batch(i, if i % 4 == 3 { 5 } else { 8 }, device)).collect::<Result<Vec<_>>>()?;
    let before = device.counters();
    let mut losses = Vec::new();
    if captured {
        let mut step = device.capture(step);
        for (x, y) in &batches {
            losses.extend(step.call([x, y])?);
        }
    } else {
        for (x, y) in &batches {
            losses.extend(step([x.clone(), y.clone()])?);
            device.flush()?;
        }
    }
    let replays = (device.counters() - before).replays;
    let mut all = Vec::new();
    for loss in losses {
        all.extend(bits(&loss.to_vec::<f32>()?));
    }
    all.extend(values(&vars)?);
    Ok((all, replays))
}

fn made(optimizer: &str) -> Result<Box<dyn AnyOptimizer>> {
    match optimizer {
        "schedule" => Adam::new(CosineDecay::new(0.1, 9)).into_optimizer(),
        "decay" => AdamW::new(0.05).weight_decay(0.1).into_optimizer(),
        "accumulated" => Nadam::new(0.05).gradient_accumulation_steps(3u64).into_optimizer(),
        "averaged" => {
            let average = SGD::new(0.1).momentum(0.9).use_ema(true).ema_momentum(0.5);
            average.ema_overwrite_frequency(2u64).into_optimizer()
        }
        "scaled" => LossScaleOptimizer::new(Adam::new(0.1))?.dynamic_growth_steps(3).into_optimizer(),
        name => name.into_optimizer(),
    }
}

#[test]
fn replays_are_recordings_bit_for_bit() {
    for_each_device_alone(|device| {
        let names =
            ["schedule", "decay", "accumulated", "averaged", "scaled", "adam", "nadam", "lamb", "ftrl", "rmsprop"];
        for name in names {
            let (recorded, none) = trained(device, name, false)?;
            let (replayed, replays) = trained(device, name, true)?;
            assert_eq!(none, 0);
            assert_eq!(recorded, replayed, "{name}");
            // For each size and phase the first makes the accumulators, and the second is kept.
            let least = if name == "accumulated" || name == "averaged" { 2 } else { 7 };
            assert!(replays >= least, "{name}: {replays} replays");
        }
        Ok(())
    });
}

/// What is recorded runs kernel by kernel, and what is replayed runs the small ones of them together.
#[test]
fn replays_join_small_kernels() {
    for_each_device_alone(|device| {
        let run = |captured: bool| {
            let layers = [[96, 160], [160, 150], [150, 10]];
            let random = |shape: &[usize], seed| Tensor::uniform(shape, -0.2, 0.2, seed, device);
            let mut vars = Vec::new();
            for (i, [inputs, units]) in layers.into_iter().enumerate() {
                vars.push(Var::new(&random(&[inputs, units], i as u64)?));
                vars.push(Var::new(&random(&[units], 100 + i as u64)?));
            }
            let mut adam = Adam::default();
            let mut step = |[x, y]: [Tensor; 2]| {
                let mut h = x;
                for layer in vars.chunks(2) {
                    h = h.relu()?.matmul(&layer[0].value())?.add(layer[1].value())?;
                }
                let loss = h.log_softmax(-1)?.mul(&y)?.mean(())?.neg()?;
                adam.apply(&loss.backward()?)?;
                Ok([loss.detach()])
            };
            let (x, y) = (random(&[64, 96], 200)?, random(&[64, 10], 201)?);
            x.realize()?;
            y.realize()?;
            let (mut losses, mut dispatches) = (Vec::new(), 0);
            let mut step: Box<dyn FnMut([&Tensor; 2]) -> Result<[Tensor; 1]>> = match captured {
                true => {
                    let mut step = device.capture(step);
                    Box::new(move |given| step.call(given))
                }
                false => Box::new(move |[x, y]| step([x.clone(), y.clone()])),
            };
            for _ in 0..5 {
                let before = device.counters();
                let [loss] = step([&x, &y])?;
                device.flush()?;
                dispatches = (device.counters() - before).dispatches;
                losses.extend(bits(&loss.to_vec::<f32>()?));
            }
            drop(step);
            losses.extend(values(&vars)?);
            Ok::<_, Error>((losses, dispatches))
        };
        let ((recorded, apart), (replayed, joined)) = (run(false)?, run(true)?);
        assert_eq!(recorded, replayed);
        if device.is_gpu() && device.info().kernels == Kernels::Hardware {
            assert!(joined < apart, "{joined} dispatches of {apart}");
        }
        Ok(())
    });
}

#[test]
fn inputs_may_be_numbers_and_results_anything() {
    for_each_device(|device| {
        let state = Var::new(&Tensor::new([1.0f32, 2.0], device)?);
        let constant = Tensor::new([10.0f32, 20.0], device)?;
        let before = device.counters();
        let mut step = device.capture(|[x, rate]| {
            let old = state.value();
            state.assign(&old.add(x.mul(&rate)?)?)?;
            // An input, a constant, a view of an input, a number, a value before and one after the assignment.
            let turned = x.reshape([2, 1])?;
            Ok([x, constant.clone(), turned, rate.mul(2.0)?, old, state.value()])
        });
        let mut sum = [1.0f32, 2.0];
        let mut olds = Vec::new();
        for i in 0..6u8 {
            let rate = Tensor::full((), f64::from(i), DType::F32, device)?;
            let x = Tensor::new([0.5f32, f32::from(i)], device)?;
            let [same, fixed, turned, twice, old, new] = step.call([&x, &rate])?;
            assert_eq!(same.to_vec::<f32>()?, [0.5, f32::from(i)]);
            assert_eq!(fixed.to_vec::<f32>()?, [10.0, 20.0]);
            assert_eq!((turned.dims(), turned.to_vec::<f32>()?), (&[2, 1][..], vec![0.5, f32::from(i)]));
            assert_eq!(twice.item::<f32>()?, 2.0 * f32::from(i));
            olds.push((old, sum));
            sum = [sum[0] + 0.5 * f32::from(i), sum[1] + f32::from(i) * f32::from(i)];
            assert_eq!(new.to_vec::<f32>()?, sum);
            assert_eq!(state.value().to_vec::<f32>()?, sum);
        }
        // What was returned stays what it was.
        for (old, expected) in olds {
            assert_eq!(old.to_vec::<f32>()?, expected);
        }
        assert!((device.counters() - before).replays >= 3);
        assert_eq!(step.recordings(), 1);
        Ok(())
    });
}

#[test]
fn what_others_hold_is_not_overwritten() {
    for_each_device(|device| {
        let w = Var::new(&Tensor::new([1.0f32, 2.0], device)?);
        let mut step = device.capture(|[x]| {
            w.assign(&w.value().add(&x)?)?;
            Ok([])
        });
        let one = Tensor::new([1.0f32, 1.0], device)?;
        let add = |step: &mut wgtensor::Captured<_>, n: usize| (0..n).try_for_each(|_| step.call([&one]).map(|[]| ()));
        add(&mut step, 3)?;
        // A value held, a view of it, something pending that reads it.
        let held = w.value();
        let view = w.value().slice(0, 1..2)?;
        let pending = w.value().mul(10.0)?;
        add(&mut step, 3)?;
        assert_eq!(w.value().to_vec::<f32>()?, [7.0, 8.0]);
        assert_eq!(held.to_vec::<f32>()?, [4.0, 5.0]);
        assert_eq!(view.to_vec::<f32>()?, [5.0]);
        assert_eq!(pending.to_vec::<f32>()?, [40.0, 50.0]);
        drop((held, view, pending));
        // A gradient that would need the old value is refused, as after any assignment.
        let loss = w.value().square()?.sum(())?;
        assert_eq!(loss.item::<f32>()?, 49.0 + 64.0);
        add(&mut step, 1)?;
        let late = loss.backward()?.get(&w).unwrap().to_vec::<f32>();
        assert!(late.is_err_and(|e| e.to_string().contains("assigned")));
        drop(loss);
        // A value set in between counts, and so does a variable as an input.
        w.assign(&Tensor::new([0.5f32, 0.25], device)?)?;
        add(&mut step, 2)?;
        assert_eq!(w.value().to_vec::<f32>()?, [2.5, 2.25]);
        for _ in 0..3 {
            step.call([&w.value()])?;
        }
        assert_eq!(w.value().to_vec::<f32>()?, [20.0, 18.0]);
        // Plans that are gone are made again.
        device.trim();
        add(&mut step, 2)?;
        assert_eq!(w.value().to_vec::<f32>()?, [22.0, 20.0]);
        Ok(())
    });
}

#[test]
fn seeds_of_a_call_are_new_at_every_replay() {
    for_each_device(|device| {
        let x = Tensor::ones([64], DType::F32, device)?;
        let dropout = Dropout::new(0.5).seed(3u64);
        let drawn = |captured: bool| -> Result<Vec<Vec<f32>>> {
            let ctx = CallCtx::training(7);
            let step = |[x]: [Tensor; 1]| Ok([dropout.call(&x, &ctx)?, dropout.call(&x, &ctx)?]);
            let mut all = Vec::new();
            if captured {
                let mut step = device.capture(step);
                for _ in 0..5 {
                    all.extend(step.call([&x])?);
                }
            } else {
                for _ in 0..5 {
                    all.extend(step([x.clone()])?);
                }
            }
            all.iter().map(|t| t.to_vec()).collect()
        };
        let (recorded, replayed) = (drawn(false)?, drawn(true)?);
        assert_eq!(recorded, replayed);
        assert!((1..10).all(|i| recorded[i] != recorded[i - 1]));
        Ok(())
    });
}

#[test]
fn what_is_no_step_is_refused_and_costs_nothing() {
    for_each_device(|device| {
        let w = Var::new(&Tensor::new([1.0f32], device)?);
        let mut adam = Adam::new(0.5);
        let mut calls = 0;
        let mut step = device.capture(|[x]| {
            calls += 1;
            if x.numel() == 2 {
                x.to_vec::<f32>()?;
            }
            if x.numel() == 3 {
                device.sync()?;
            }
            let loss = w.value().mul(&x)?.square()?.sum(())?;
            adam.apply(&loss.backward()?)?;
            // Of another shape than the variable.
            if x.numel() == 4 {
                w.assign(&x)?;
            }
            Ok([loss])
        });
        for _ in 0..3 {
            step.call([&Tensor::new([1.0f32], device)?])?;
        }
        for n in 2..5usize {
            let error = step.call([&Tensor::ones([n], DType::F32, device)?]).unwrap_err();
            assert!(n == 4 || error.to_string().contains("captured step"), "{error}");
        }
        let [loss] = step.call([&Tensor::new([1.0f32], device)?])?;
        assert!(loss.item::<f32>()?.is_finite());
        drop(step);
        assert!(calls <= 5, "{calls}");
        assert!(w.value().to_vec::<f32>()?[0].is_finite());
        // Within another step it is a part of that.
        let mut inner = device.capture(|[x]| Ok([x.add(1.0)?]));
        let mut outer = device.capture(|[x]| Ok([inner.call([&x])?[0].mul(2.0)?]));
        for i in 0..4u8 {
            let [y] = outer.call([&Tensor::new([f32::from(i)], device)?])?;
            assert_eq!(y.to_vec::<f32>()?, [2.0 * (f32::from(i) + 1.0)]);
        }
        Ok(())
    });
}

#[test]
fn bounds_are_checked_for_every_input() {
    for_each_device(|device| {
        let table = Tensor::new([[1.0f32], [2.0], [3.0]], device)?;
        let mut step = device.capture(|[rows]| Ok([table.take(&rows, 0)?.sum(())?]));
        for (rows, sum) in [([0, 1], 3.0), ([1, 1], 4.0), ([2, 0], 4.0), ([0, 2], 4.0), ([2, 2], 6.0)] {
            let [got] = step.call([&Tensor::new(rows, device)?])?;
            assert_eq!(got.item::<f32>()?, sum);
        }
        let outside = step.call([&Tensor::new([0, 3], device)?]);
        assert!(outside.is_err(), "row 3 of 3");
        assert_eq!(step.call([&Tensor::new([2, 1], device)?])?[0].item::<f32>()?, 5.0);
        assert_eq!(step.recordings(), 1);
        Ok(())
    });
}

/// Freezes a layer, thaws it, changes the rate and the weights while a model is trained.
struct Meddler;

impl Callback for Meddler {
    fn on_train_batch_end(&mut self, step: usize, model: &mut Model) -> Result<()> {
        match step {
            2 => model.set_trainable("first", false)?,
            4 => model.set_trainable("first", true)?,
            5 => model.set_learning_rate(0.02)?,
            6 => {
                let w = model.weights().swap_remove(0);
                w.assign(&w.value().mul(0.5)?)?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn fit_replays_what_it_would_record() {
    for_each_device_alone(|device| {
        let x = Tensor::uniform([60, 6], -1.0, 1.0, 1, device)?;
        let labels: Vec<i32> = (0..60).map(|i| i * 7 % 3).collect();
        let y = Tensor::from_slice(&labels, [60], device)?;
        let run = |eager: bool, meddle: bool| -> Result<(Vec<u32>, Vec<f64>, u64)> {
            wgtensor::set_random_seed(5);
            let mut model = Sequential::new()
                .add(Dense::new(8).activation(Relu).name("first"))
                .add(Dropout::new(0.3))
                .add(BatchNormalization::new())
                .add(Dense::new(3).activation(Softmax));
            let rate = ExponentialDecay::new(0.05, 3, 0.5);
            let adam = if meddle { Adam::new(0.01) } else { Adam::new(rate) };
            let how = Compile::new(adam, "sparse_categorical_crossentropy").metrics(["accuracy"]).run_eagerly(eager);
            model.compile_with(how)?;
            let before = device.counters();
            let fit = Fit::new().epochs(3).batch_size(7).verbose(0).seed(11).validation_split(0.2);
            let history = match meddle {
                true => model.fit(&x, &y, fit.callbacks(Meddler))?,
                false => model.fit(&x, &y, fit)?,
            };
            let replays = (device.counters() - before).replays;
            let figures = ["loss", "accuracy", "val_loss", "val_accuracy"];
            let figures = figures.iter().flat_map(|name| history.get(name).unwrap().to_vec()).collect();
            let predicted = model.predict(&x, 16)?;
            let mut all = values(&model.weights())?;
            all.extend(bits(&predicted.to_vec::<f32>()?));
            Ok((all, figures, replays))
        };
        for meddle in [false, true] {
            let (eager, replayed) = (run(true, meddle)?, run(false, meddle)?);
            assert_eq!(eager.2, 0);
            assert_eq!(eager.1, replayed.1, "figures");
            assert_eq!(eager.0, replayed.0, "weights and predictions");
            // 7 steps and 2 of validation an epoch, the last of each smaller.
            assert!(replayed.2 >= if meddle { 8 } else { 3 * 9 - 4 }, "{} replays", replayed.2);
        }
        Ok(())
    });
}

#[test]
fn several_threads_have_steps_on_one_device() {
    for_each_device_alone(|device| {
        let train = |seed: u64| -> Result<Vec<u32>> {
            let vars = weights(device)?;
            let mut adam = Adam::new(0.01);
            let mut step = device.capture(|[x, y]| {
                let loss = loss(&x, &y, &vars)?;
                adam.apply(&loss.backward()?)?;
                Ok([loss])
            });
            let mut losses = Vec::new();
            for i in 0..60 {
                let (x, y) = batch(seed + i % 7, if i % 7 == 6 { 5 } else { 8 }, device)?;
                let [loss] = step.call([&x, &y])?;
                // Another reader of the weights, recorded by this thread.
                let norm = vars[0].value().square()?.sum(())?;
                losses.extend([loss.item::<f32>()?, norm.item::<f32>()?]);
            }
            Ok(bits(&losses))
        };
        let alone = (0..4).map(|i| train(10 * i)).collect::<Result<Vec<_>>>()?;
        let before = device.counters();
        std::thread::scope(|scope| {
            let train = &train;
            let work: Vec<_> = (0..4).map(|i| scope.spawn(move || train(10 * i))).collect();
            for (thread, want) in work.into_iter().zip(&alone) {
                let got = thread.join().unwrap()?;
                let close = got.iter().zip(want).all(|(a, b)| {
                    let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
                    (a - b).abs() <= 1e-4 * b.abs() + 1e-5
                });
                assert!(close, "{got:?} {want:?}");
            }
            assert!((device.counters() - before).replays > 60, "most steps are replayed");
            Ok(())
        })
    });
}
