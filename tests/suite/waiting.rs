//! Futures give the thread back while the device works.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use futures::task::AtomicWaker;
use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, Result, Tensor, Var};

use super::devices::{for_each_device, for_each_device_alone};

/// The most that anything else on the thread may have to wait.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long some work was awaited, and the longest that a heartbeat on the same thread had to wait meanwhile.
struct Awaited {
    time: Duration,
    gap: Duration,
}

/// A runtime of one thread: awaits `work` beside a heartbeat that is due every few milliseconds.
fn awaited<T>(work: impl Future<Output = T>) -> (T, Awaited) {
    let (timer, over) = (Arc::new(AtomicWaker::new()), Arc::new(AtomicBool::new(false)));
    let ticks = std::thread::spawn({
        let (timer, over) = (timer.clone(), over.clone());
        move || {
            while !over.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(3));
                timer.wake();
            }
        }
    });
    let start = Instant::now();
    let (mut last, mut gap) = (start, Duration::ZERO);
    let heartbeat = poll_fn(|cx| {
        timer.register(cx.waker());
        gap = gap.max(last.elapsed());
        last = Instant::now();
        Poll::<()>::Pending
    });
    let out = match pollster::block_on(select(pin!(work), heartbeat)) {
        Either::Left((out, _)) => out,
        Either::Right(_) => unreachable!("a heart does not end"),
    };
    gap = gap.max(last.elapsed());
    let time = start.elapsed();
    over.store(true, Relaxed);
    ticks.join().unwrap();
    (out, Awaited { time, gap })
}

/// A chain of products that keeps a device busy, longer and longer until it is worth waiting for.
fn chain(x: &Tensor, links: usize) -> Result<Tensor> {
    (0..links).try_fold(x.clone(), |y, _| y.matmul(x))
}

/// Submits with `submit` and awaits what it gives, on chains of growing length, and asserts that the thread never
/// stood still while it awaited; how long the submission took is printed. Scheduling by the system is noise, so the best
/// of a few attempts counts; waiting in place would be in every one of them.
fn never_stalls<T, F: Future<Output = Result<T>>>(
    what: &str,
    device: &Device,
    submit: impl Fn(&Tensor) -> F,
) -> Result<()> {
    let size = 256;
    let x = Tensor::full([size, size], 1.0 / size as f64, DType::F32, device)?;
    x.realize()?;
    let mut links = 16;
    loop {
        // Once to compile and to plan; that is part of the submission, and not measured.
        pollster::block_on(submit(&chain(&x, links)?))?;
        let mut best = Awaited { time: Duration::ZERO, gap: Duration::MAX };
        let mut submitted = Duration::ZERO;
        for _ in 0..5 {
            let y = chain(&x, links)?;
            let start = Instant::now();
            let future = submit(&y);
            let submission = start.elapsed();
            submitted = submitted.max(submission);
            let (result, awaited) = awaited(future);
            result?;
            println!(
                "{what}, {links} links: submission {submission:?}, awaited {:?}, longest gap {:?}",
                awaited.time, awaited.gap
            );
            if awaited.gap < best.gap {
                best = awaited;
            }
        }
        assert!(best.gap <= PATIENCE, "{what}: a heartbeat waited {:?} of {:?}", best.gap, best.time);
        // A wait in place would have shown. (Mesa's software adapter computes while it is submitted to: there is next to
        // nothing left to wait for.)
        if best.time > 4 * PATIENCE || submitted > 4 * PATIENCE || links >= 4096 {
            return Ok(());
        }
        links *= 4;
    }
}

#[test]
fn a_heartbeat_goes_on_while_results_are_awaited() {
    for_each_device_alone(|device| {
        never_stalls("read-back", device, |y| y.to_vec_async::<f32>())?;
        never_stalls("sync", device, |y| {
            let (y, device) = (y.clone(), y.device().clone());
            let synced = device.sync_async();
            async move {
                synced.await?;
                drop(y);
                Ok(())
            }
        })?;
        // The CPU engine does nothing long in the call.
        if !device.is_gpu() {
            let x = Tensor::full([512, 512], 1.0 / 512.0, DType::F32, device)?;
            pollster::block_on(chain(&x, 64)?.to_vec_async::<f32>())?;
            let y = chain(&x, 64)?;
            let calls = (0..5).map(|_| {
                let y = y.add(0.0)?;
                let start = Instant::now();
                let read = y.to_vec_async::<f32>();
                let call = start.elapsed();
                pollster::block_on(read)?;
                Ok((call, start.elapsed()))
            });
            let (call, all) = calls.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or_default();
            println!("submission {call:?} of {all:?}");
            assert!(call <= PATIENCE, "the call took {call:?} of {all:?}");
        }
        Ok(())
    });
}

/// Training, evaluation and prediction hand the thread back between steps, and give what their blocking shells give. (On the
/// CPU engine a step is long, and computed elsewhere; Mesa's software adapter computes while it is submitted to, so steps
/// are short there.)
#[test]
fn a_heartbeat_goes_on_while_a_model_is_trained() {
    for_each_device_alone(|device| {
        let (rows, width) = if device.is_gpu() { (256, 8) } else { (2048, 768) };
        let x = Tensor::uniform([rows, width], -1.0, 1.0, 1, device)?;
        let y = x.sum_keepdims(1)?;
        device.sync()?;
        let model = || {
            let mut model = Sequential::new()
                .add(Dense::new(width).activation(Tanh).kernel_initializer(Initializer::Constant(1e-3)))
                .add(Dense::new(1).kernel_initializer(Initializer::Constant(1e-3)));
            model.compile(SGD::new(0.01), "mse", ())?;
            Result::Ok(model)
        };
        let how = || Fit::new().epochs(2).batch_size(rows / 4).seed(3).verbose(0);
        let (mut blocking, mut best) = (model()?, Duration::MAX);
        let history = blocking.fit(&x, &y, how())?;
        let figures = blocking.evaluate(&x, &y, Evaluate::new().verbose(0))?;
        let outputs = blocking.predict(&x, Predict::new().verbose(0))?.to_vec::<f32>()?;
        for _ in 0..5 {
            let mut model = model()?;
            let (again, fitting) = awaited(model.fit_async(&x, &y, how()));
            assert_eq!(again?["loss"], history["loss"]);
            let (again, evaluating) = awaited(model.evaluate_async(&x, &y, Evaluate::new().verbose(0)));
            assert_eq!(again?["loss"], figures["loss"]);
            let (again, predicting) = awaited(model.predict_async(&x, Predict::new().verbose(0)));
            assert_eq!(again?.to_vec::<f32>()?, outputs);
            println!("fit {:?} of {:?}", fitting.gap, fitting.time);
            best = best.min(fitting.gap.max(evaluating.gap).max(predicting.gap));
        }
        assert!(best <= PATIENCE, "a heartbeat waited {best:?}");
        Ok(())
    });
}

/// Copying a large result to the host is not done on the thread that polls, either.
#[test]
fn a_large_result_is_copied_elsewhere() {
    for_each_device_alone(|device| {
        let elements = 1 << 25;
        let x = Tensor::arange(0.0, f64::from(elements), 1.0, DType::F32, device)?;
        x.realize()?;
        device.sync()?;
        let attempts = (0..5).map(|_| {
            let (values, awaited) = awaited(x.to_vec_async::<f32>());
            let values = values?;
            assert!(values.len() == elements as usize && values[12345] == 12345.0);
            Ok(awaited.gap)
        });
        let best = attempts.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or_default();
        assert!(best <= PATIENCE, "a heartbeat waited {best:?}");
        Ok(())
    });
}

#[test]
fn futures_wait_in_any_order_or_not_at_all() {
    for_each_device(|device| {
        let reads: Vec<_> = (0..20)
            .map(|i| {
                Tensor::full([1000], f64::from(i), DType::F32, device)?
                    .add(1.0)
                    .map(|x| Box::pin(x.to_vec_async::<f32>()))
            })
            .collect::<Result<_>>()?;
        let (mut wanted, mut dropped) = (Vec::new(), Vec::new());
        for (i, read) in reads.into_iter().enumerate() {
            if i % 3 == 0 { dropped.push(read) } else { wanted.push(read) }
        }
        // One that was polled once, and one that never was.
        let mut started = dropped.pop().expect("seven");
        pollster::block_on(poll_fn(|cx| {
            let _ = started.as_mut().poll(cx);
            Poll::Ready(())
        }));
        drop((started, dropped));
        wanted.reverse();
        let all = pollster::block_on(join_all(wanted));
        let first: Vec<f32> = all.into_iter().map(|v| Ok(v?[0])).collect::<Result<_>>()?;
        let expected: Vec<f32> = (0..20u8).filter(|i| i % 3 != 0).rev().map(|i| f32::from(i) + 1.0).collect();
        assert_eq!(first, expected);
        Ok(())
    });
}

/// Several threads submit and await read-backs of their own on one device.
#[test]
fn threads_await_what_they_read_at_once() {
    for_each_device_alone(|device| {
        let one = |thread: u32| -> Result<()> {
            for round in 0..150u32 {
                let x = Tensor::full([64 + round as usize], f64::from(thread), DType::F32, device)?;
                let values = pollster::block_on(x.add(f64::from(round))?.to_vec_async::<f32>())?;
                assert!(values.iter().all(|&v| v == (thread + round) as f32));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|thread| scope.spawn(move || one(thread))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })
    });
}

/// A read-back is ordered by the call: what is submitted after it does not show in it.
#[test]
fn a_read_sees_what_was_there_when_it_was_asked_for() {
    for_each_device_alone(|device| {
        let v = Var::new(&Tensor::zeros([1 << 20], DType::F32, device)?);
        let mut reads = Vec::new();
        for i in 1..=5 {
            v.assign(&v.value().add(1.0)?)?;
            reads.push((i, v.value().to_vec_async::<f32>()));
        }
        v.assign(&v.value().mul(0.0)?)?;
        device.flush()?;
        for (i, read) in reads {
            let values = pollster::block_on(read)?;
            assert!(values.iter().all(|&x| x == i as f32), "read {i} gave {}", values[0]);
        }
        assert_eq!(v.value().to_vec::<f32>()?[0], 0.0);
        Ok(())
    });
}

#[test]
fn opening_and_listing_have_futures_too() {
    for info in pollster::block_on(Device::list_async()) {
        let device = pollster::block_on(Device::open_async(&info.id, None)).unwrap();
        assert_eq!(device, Device::open(&info.id).unwrap());
    }
}

/// What goes to another thread: the futures of a runtime with many.
#[test]
fn futures_can_be_sent() {
    fn sendable<T: Send + 'static>(value: T) -> T {
        value
    }
    for_each_device(|device| {
        let x = Tensor::new([1.0f32, 2.0], device)?.add(1.0)?;
        let (read, sync) = (sendable(x.to_vec_async::<f32>()), sendable(device.sync_async()));
        let values = std::thread::spawn(move || pollster::block_on(read)).join().unwrap()?;
        assert_eq!(values, [2.0, 3.0]);
        std::thread::spawn(move || pollster::block_on(sync)).join().unwrap()
    });
}
