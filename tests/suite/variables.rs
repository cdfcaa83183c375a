//! Variables, effects, gradients as a user meets them, and what a training step costs.

use wgtensor::{DType, Result, Tensor, Var, grad, no_grad};

use super::close::assert_close;
use super::devices::{for_each_device, for_each_device_alone};
use super::naive::Nd;

#[test]
fn an_assignment_comes_after_every_earlier_reader() {
    for_each_device(|device| {
        let v = Var::new(&Tensor::new([1.0f32, 2.0], device)?);
        let before = v.value().mul(10.0)?;
        v.assign(&v.value().add(1.0)?)?;
        let after = v.value().mul(10.0)?;
        assert_close("read before", &before, &[2], &[10.0, 20.0]);
        assert_close("read after", &after, &[2], &[20.0, 30.0]);
        for _ in 0..100 {
            v.assign(&v.value().add(0.5)?)?;
        }
        assert_close("a hundred assignments", &v.value(), &[2], &[52.0, 53.0]);
        Ok(())
    });
}

#[test]
fn two_variables_swap() {
    for_each_device(|device| {
        let (a, b) = (Var::new(&Tensor::new([1.0f32], device)?), Var::new(&Tensor::new([2.0f32], device)?));
        let (x, y) = (a.value(), b.value());
        a.assign(&y)?;
        b.assign(&x)?;
        assert_eq!((a.value().item::<f32>()?, b.value().item::<f32>()?), (2.0, 1.0));
        Ok(())
    });
}

#[test]
fn gradients_add_up_over_uses_and_stop_at_detach() {
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, -2.0, 3.0], device)?.requires_grad();
        let loss = x.square()?.add(&x.mul(x.detach())?)?.sum(())?;
        let grads = loss.backward()?;
        assert_close("2x + x", grads.wrt(&x).unwrap(), &[3], &[3.0, -6.0, 9.0]);
        let other = Tensor::new([1.0f32], device)?.requires_grad();
        assert!(grads.wrt(&other).is_none());
        assert_eq!(grad(&loss, &[&other])?[0].to_vec::<f32>()?, [0.0]);
        let silent = no_grad(|| x.square()?.sum(()))?;
        assert!(silent.backward().is_err() || silent.backward()?.wrt(&x).is_none());
        Ok(())
    });
}

#[test]
fn second_derivatives() {
    for_each_device(|device| {
        let x = Tensor::new([0.5f32, 1.0, 2.0], device)?.requires_grad();
        let first = &grad(&x.pow(3.0)?.sum(())?, &[&x])?[0];
        let second = &grad(&first.sum(())?, &[&x])?[0];
        assert_close("3 x^2", first, &[3], &[0.75, 3.0, 12.0]);
        assert_close("6 x", second, &[3], &[3.0, 6.0, 12.0]);
        Ok(())
    });
}

#[test]
fn a_frozen_variable_is_not_among_those_to_move() {
    for_each_device(|device| {
        let (a, b) = (Var::new(&Tensor::new([3.0f32], device)?), Var::new(&Tensor::new([4.0f32], device)?));
        b.set_trainable(false);
        let grads = a.value().mul(b.value())?.sum(())?.backward()?;
        assert_close("d(ab)/da", grads.get(&a).unwrap(), &[1], &[4.0]);
        assert!(grads.get(&b).is_none());
        let moved: Vec<u64> = grads.iter().map(|(var, _)| var.id()).collect();
        assert_eq!(moved, [a.id()], "what an optimizer would move");
        Ok(())
    });
}

/// One step of gradient descent on a two-layer network; the loss is returned unread.
fn step(x: &Tensor, y: &Tensor, vars: &[Var; 2], rate: f32) -> Result<Tensor> {
    let hidden = x.matmul(&vars[0].value())?.tanh()?;
    let loss = hidden.matmul(&vars[1].value())?.sub(y)?.square()?.mean(())?;
    let grads = loss.backward()?;
    for v in vars {
        v.assign(&v.value().sub(&grads.get(v).expect("a gradient").mul(rate)?)?)?;
    }
    Ok(loss)
}

#[test]
fn training_lowers_the_loss_and_settles_into_replay() {
    for_each_device_alone(|device| {
        let (x, w) = (Nd::random(&[32, 8], 1, -1.0, 1.0), Nd::random(&[8, 1], 2, -1.0, 1.0));
        let (x, y) = (x.f32(device)?, x.f32(device)?.matmul(&w.f32(device)?)?);
        let init = |shape: &[usize], seed| Nd::random(shape, seed, -0.5, 0.5).f32(device).map(|t| Var::new(&t));
        let vars = [init(&[8, 16], 3)?, init(&[16, 1], 4)?];
        let mut losses = Vec::new();
        for i in 0..40 {
            // Another rate each step: a scalar is a run-time parameter, not part of a plan.
            let loss = step(&x, &y, &vars, 0.1 + i as f32 * 1e-3)?;
            device.flush()?;
            losses.push(loss);
        }
        let (first, last) = (losses[0].item::<f32>()?, losses[39].item::<f32>()?);
        assert!(last < first * 0.2, "the loss went from {first} to {last}");

        // A step whose loss nobody keeps is another plan than the ones above: let it be built first.
        let steps = |n| {
            (0..n).try_for_each(|_| {
                step(&x, &y, &vars, 0.05)?;
                device.flush()
            })?;
            device.sync()
        };
        steps(2)?;
        let before = device.counters();
        steps(10)?;
        let spent = device.counters() - before;
        assert_eq!(spent.plan_misses, 0, "{spent:?}");
        assert_eq!((spent.pipelines, spent.bind_groups), (0, 0), "{spent:?}");
        assert_eq!((spent.readbacks, spent.upload_bytes), (0, 0), "{spent:?}");
        assert_eq!(spent.allocations, 0, "{spent:?}");
        Ok(())
    });
}

#[test]
fn a_long_chain_of_recorded_work_needs_no_deep_stack() {
    for_each_device(|device| {
        let mut t = Tensor::zeros([4], DType::F32, device)?;
        for _ in 0..20_000 {
            t = t.add(1.0)?;
        }
        assert_eq!(t.to_vec::<f32>()?, [20_000.0; 4]);
        Ok(())
    });
}

#[test]
fn tensors_may_be_used_from_several_threads() {
    for_each_device(|device| {
        let shared = Nd::random(&[64, 64], 5, -1.0, 1.0).f32(device)?;
        let want = shared.matmul(&shared)?.to_vec::<f32>()?;
        std::thread::scope(|scope| {
            let work: Vec<_> = (0..4).map(|_| scope.spawn(|| shared.matmul(&shared)?.to_vec::<f32>())).collect();
            for thread in work {
                assert_eq!(thread.join().unwrap().unwrap(), want);
            }
        });
        Ok(())
    });
}

#[test]
fn losses_that_are_kept_unread_do_not_change_the_plan() {
    for_each_device_alone(|device| {
        let x = Nd::random(&[8, 4], 1, -1.0, 1.0).f32(device)?;
        let w = Var::new(&Nd::random(&[4, 4], 2, -1.0, 1.0).f32(device)?);
        let mut kept = Vec::new();
        let mut before = device.counters();
        for step in 0..12 {
            if step == 4 {
                before = device.counters();
            }
            let loss = x.matmul(&w.value())?.square()?.mean(())?;
            let grads = loss.backward()?;
            w.assign(&w.value().sub(&grads.get(&w).unwrap().mul(0.01)?)?)?;
            device.flush()?;
            kept.push((loss.detach(), x.t()?, loss));
        }
        assert_eq!((device.counters() - before).plan_misses, 0);
        let first = kept[0].0.item::<f32>()?;
        assert!(kept[11].2.item::<f32>()? < first);
        Ok(())
    });
}

/// What was detached does not hold on to what it was computed from: a recurrent state carried on needs no more memory.
#[test]
fn a_detached_value_lets_go_of_its_past() {
    for_each_device_alone(|device| {
        let w = Var::new(&Nd::random(&[64, 64], 2, -0.1, 0.1).f32(device)?);
        let mut h = Nd::random(&[64, 64], 1, -1.0, 1.0).f32(device)?;
        let mut held = Vec::new();
        for _ in 0..20 {
            h = h.matmul(&w.value())?.tanh()?;
            let grads = h.mean(())?.backward()?;
            w.assign(&w.value().sub(grads.get(&w).unwrap())?)?;
            drop(grads);
            device.flush()?;
            h = h.detach();
            device.flush()?;
            held.push(device.memory().in_use);
        }
        assert_eq!(held[19], held[9], "{held:?}");
        Ok(())
    });
}

#[test]
fn a_view_of_a_superseded_value_is_still_that_value() {
    for_each_device(|device| {
        let v = Var::new(&Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], device)?);
        v.value().realize()?;
        v.assign(&v.value().add(1.0)?)?;
        let turned = v.value().t()?;
        v.assign(&v.value().mul(10.0)?)?;
        device.flush()?;
        assert_eq!(turned.to_vec::<f32>()?, [2.0, 4.0, 3.0, 5.0]);
        assert_eq!(v.value().to_vec::<f32>()?, [20.0, 30.0, 40.0, 50.0]);
        Ok(())
    });
}

/// Only who asks for a value that is gone is told so; everybody else's work goes on.
#[test]
fn a_value_that_is_gone_fails_nobody_else() {
    for_each_device_alone(|device| {
        let v = Var::new(&Tensor::new([1.0f32, 2.0], device)?);
        let loss = v.value().square()?.sum(())?;
        loss.realize()?;
        v.assign(&v.value().mul(2.0)?)?;
        device.flush()?;
        let late = loss.backward()?.get(&v).unwrap().clone();
        let other = v.value().add(1.0)?;
        device.flush()?;
        assert_eq!(other.to_vec::<f32>()?, [3.0, 5.0]);
        let error = late.to_vec::<f32>().unwrap_err();
        assert!(error.is_overwritten(), "{error}");
        Ok(())
    });
}

/// Assignments from one thread while another flushes: every value is right, or an error that says it is gone.
#[test]
fn assignments_during_a_flush_never_mix_values() {
    for_each_device(|device| {
        let v = Var::new(&Tensor::zeros([20_000], DType::F32, device)?);
        std::thread::scope(|scope| {
            let flusher = scope.spawn(|| (0..200).try_for_each(|_| device.flush()));
            for i in 1..=200 {
                let now = i as f32;
                v.assign(&Tensor::full([20_000], f64::from(now), DType::F32, device)?.sin()?.mul(0.0)?.add(now)?)?;
                let held = v.value();
                v.assign(&v.value().add(1000.0)?)?;
                match held.to_vec::<f32>() {
                    Ok(values) => assert!(values.iter().all(|&x| x == now), "{} at {now}", values[0]),
                    Err(error) => assert!(error.is_overwritten(), "{error}"),
                }
            }
            flusher.join().unwrap()
        })
    });
}

#[test]
fn a_constant_has_no_gradient_to_ask_for() {
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, 2.0], device)?;
        let w = x.requires_grad();
        let loss = x.mul(&w)?.sum(())?;
        let error = grad(&loss, &[&x]).unwrap_err();
        assert!(error.to_string().contains("requires_grad"), "{error}");
        Ok(())
    });
}

/// A flush takes along what other threads have recorded so far of their steps; none of them notices.
#[test]
fn several_threads_train_on_one_device() {
    for_each_device_alone(|device| {
        let train = |seed: u64| -> Result<Vec<f32>> {
            let x = Tensor::uniform([16, 8], -1.0, 1.0, seed, device)?;
            let y = x.square()?.sum_keepdims(-1)?;
            let var = |shape: &[usize], s| Tensor::uniform(shape, -0.5, 0.5, seed + s, device).map(|t| Var::new(&t));
            let vars = [var(&[8, 16], 1)?, var(&[16], 2)?, var(&[16, 1], 3)?, var(&[1], 4)?];
            let momenta: Vec<Var> = vars
                .iter()
                .map(|v| Ok(Var::new(&Tensor::zeros(v.shape(), DType::F32, device)?)))
                .collect::<Result<_>>()?;
            let mut losses = Vec::new();
            for _ in 0..60 {
                let h = x.matmul(&vars[0].value())?.add(vars[1].value())?.relu()?;
                let loss = h.matmul(&vars[2].value())?.add(vars[3].value())?.sub(&y)?.square()?.mean(())?;
                let grads = loss.backward()?;
                for (v, m) in vars.iter().zip(&momenta) {
                    m.assign(&m.value().mul(0.9)?.add(grads.get(v).unwrap())?)?;
                    v.assign(&v.value().sub(&m.value().mul(0.01)?)?)?;
                }
                drop(grads);
                device.flush()?;
                losses.push(loss.item::<f32>()?);
            }
            Ok(losses)
        };
        let alone: Vec<_> = (0..4).map(|i| train(10 * i)).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let train = &train;
            let work: Vec<_> = (0..4).map(|i| scope.spawn(move || train(10 * i))).collect();
            for (thread, want) in work.into_iter().zip(&alone) {
                let got = thread.join().unwrap()?;
                let close = got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs() + 1e-5);
                assert!(close, "{got:?} {want:?}");
            }
            Ok(())
        })
    });
}
