//! The times of kernels.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, Error, Profile, Result, Tensor};

use super::devices::{for_each_device, for_each_device_alone};
use super::naive::Nd;

/// Whether the device can time its kernels. One that cannot must say so, and not run what it is given.
fn times(device: &Device) -> bool {
    if !device.is_gpu() || device.info().features.contains(&"timestamps") {
        return true;
    }
    let error = device.profile(|| -> Result<()> { panic!("must not run") }).unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("timestamp queries"), "{error}");
    assert_eq!(error.location().unwrap().file(), file!());
    false
}

/// A product, a row kernel and a sum: a few kernels of several kinds.
fn work(x: &Tensor) -> Result<Tensor> {
    x.matmul(x)?.softmax(-1)?.sum(0)?.mul(2.0)
}

#[track_caller]
fn sane(profile: &Profile) {
    assert!(profile.kernels.iter().all(|k| k.seconds.is_finite() && k.seconds >= 0.0), "{profile:?}");
    // Two clocks: the device's may be off by a little.
    assert!(profile.seconds() <= profile.wall * 1.02 + 1e-4, "{profile}");
    assert!(profile.kernels.iter().all(|k| !k.name.is_empty()));
}

fn operand(n: usize, device: &Device) -> Result<Tensor> {
    Nd::random(&[n, n], 3, -1.0, 1.0).f32(device)
}

#[test]
fn each_kernel_is_timed_and_the_results_are_the_same_bits() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(150, device)?;
        let plain = work(&x)?.to_vec::<f32>()?;
        let before = device.counters();
        let (out, profile) = device.profile(|| work(&x)?.to_vec::<f32>())?;
        let spent = device.counters() - before;
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&plain), bits(&out));
        assert_eq!((profile.kernels.len() as u64, spent.plan_misses), (spent.dispatches, 0));
        sane(&profile);
        assert!(profile.seconds() > 0.0);
        let names: Vec<&str> = profile.kernels.iter().map(|k| &k.name[..]).collect();
        assert!(["matmul", "sum"].iter().all(|op| names.iter().any(|n| n.contains(op))), "{names:?}");
        let groups = |k: &wgtensor::KernelTime| k.groups.iter().all(|&g| g > 0);
        assert_eq!(profile.kernels.iter().all(groups), device.is_gpu());
        let table = profile.to_string();
        assert!(table.contains(names[0]) && table.contains('%'), "{table}");
        assert_eq!(profile.summed().iter().map(|(runs, _)| runs).sum::<usize>(), profile.kernels.len());
        // Without it nothing is different from before: one submission, and nothing made.
        work(&x)?.realize()?;
        let before = device.counters();
        work(&x)?.realize()?;
        let spent = device.counters() - before;
        assert_eq!((spent.submits, spent.allocations, spent.bind_groups, spent.pipelines), (1, 0, 0, 0));
        Ok(())
    });
}

#[test]
fn what_was_pending_is_not_counted_and_what_is_left_pending_is() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(40, device)?;
        let early = x.matmul(&x)?;
        let (late, profile) = device.profile(|| x.add(&early)?.exp())?;
        assert_eq!(profile.kernels.len(), 1, "{profile}");
        assert!(profile.kernels[0].name.ends_with("add+exp"), "{profile}");
        let (_, empty) = device.profile(|| late.to_vec::<f32>())?;
        assert!(empty.kernels.is_empty() && empty.seconds() == 0.0);
        Ok(())
    });
}

#[test]
fn more_kernels_than_one_set_of_queries_holds() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = Tensor::eye(4, 4, DType::F32, device)?;
        x.realize()?;
        let chain = || (0..4200).try_fold(x.clone(), |y, _| y.matmul(&x))?.to_vec::<f32>();
        let before = device.counters();
        // Several runs, so that what they are read into is more than one piece.
        let (out, profile) = device.profile(|| (0..4).map(|_| chain()).collect::<Result<Vec<_>>>())?;
        let spent = device.counters() - before;
        assert_eq!(profile.kernels.len() as u64, spent.dispatches);
        assert!(profile.kernels.len() > 4 * 4096);
        assert!(out.iter().all(|y| *y == x.to_vec::<f32>().unwrap()));
        sane(&profile);
        Ok(())
    });
}

#[test]
fn calls_within_calls_and_on_other_threads_see_the_kernels_of_their_time() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(30, device)?;
        work(&x)?.realize()?;
        let one = device.profile(|| work(&x)?.realize())?.1.kernels.len();
        let ((_, inner), outer) = device.profile(|| {
            work(&x)?.realize()?;
            let inner = device.profile(|| work(&x)?.realize())?;
            work(&x)?.realize()?;
            Ok(inner)
        })?;
        assert_eq!((inner.kernels.len(), outer.kernels.len()), (one, 3 * one));
        // The same kernels by the same clock; the two profiles began at different times.
        for (a, b) in inner.kernels.iter().zip(&outer.kernels[one..2 * one]) {
            assert_eq!((&a.name, a.groups, a.seconds), (&b.name, b.groups, b.seconds));
        }
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let ((), profile) = device.profile(|| work(&x)?.realize()).unwrap();
                        assert!(profile.kernels.len() >= one && profile.kernels.iter().all(|k| k.seconds < 60.0));
                    }
                });
            }
        });
        Ok(())
    });
}

#[test]
fn after_an_error_or_a_panic_inside_the_device_goes_on() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(20, device)?;
        let failed: Result<((), Profile), Error> = device.profile(|| {
            work(&x)?.realize()?;
            x.matmul(&Tensor::zeros([3, 3], DType::F32, device)?)?;
            Ok(())
        });
        let error = failed.unwrap_err();
        assert!(error.is_shape_mismatch() && error.location().unwrap().file() == file!(), "{error:?}");
        let panicked = catch_unwind(AssertUnwindSafe(|| device.profile(|| -> Result<()> { panic!("inside") })));
        assert!(panicked.is_err());
        let (_, profile) = device.profile(|| work(&x)?.realize())?;
        sane(&profile);
        let before = device.counters();
        work(&x)?.realize()?;
        assert_eq!((device.counters() - before).submits, 1);
        Ok(())
    });
}

#[test]
fn it_can_be_awaited() {
    for_each_device(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(64, device)?;
        let start = Instant::now();
        let work = async { work(&x)?.to_vec_async::<f32>().await };
        let (out, profile) = pollster::block_on(device.profile_async(work))?;
        assert_eq!(out.len(), 64);
        assert!(!profile.kernels.is_empty() && profile.wall <= start.elapsed().as_secs_f64());
        Ok(())
    });
}

/// The events of a trace, by process and row.
fn rows(trace: &str) -> BTreeMap<(u64, u64), Vec<(f64, f64, String)>> {
    let trace: serde_json::Value = serde_json::from_str(trace).unwrap();
    let mut rows: BTreeMap<(u64, u64), Vec<(f64, f64, String)>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X") {
        let number = |key: &str| event[key].as_f64().unwrap();
        let row = rows.entry((number("pid") as u64, number("tid") as u64)).or_default();
        row.push((number("ts"), number("ts") + number("dur"), event["name"].as_str().unwrap().to_owned()));
    }
    rows
}

/// A training step is on one time line: what the host did nests, and kernels run within the profile and after what
/// submitted them.
#[test]
fn a_trace_has_host_and_device_on_one_time_line() {
    for_each_device_alone(|device| {
        if !times(device) {
            return Ok(());
        }
        let x = operand(64, device)?;
        let y = Tensor::zeros([64], DType::I32, device)?;
        let mut model = Sequential::new().add(Dense::new(32).activation(Relu)).add(Dense::new(4).activation(Softmax));
        model.compile("adam", "sparse_categorical_crossentropy", ())?;
        model.train_on_batch(&x, &y, None)?;
        let (_, profile) = device.profile(|| {
            model.train_on_batch(&x, &y, None)?;
            model.train_on_batch(&x, &y, None)
        })?;
        sane(&profile);
        let rows = rows(&profile.to_chrome_trace());
        let end = profile.wall * 1e6;
        for row in rows.values() {
            let mut open: Vec<f64> = Vec::new();
            for (begin, until, name) in row {
                assert!(
                    *begin >= 0.0 && until >= begin && *until <= end * 1.02 + 100.0,
                    "{name} {begin} {until} {end}"
                );
                open.retain(|&other| other > begin + 1e-3);
                assert!(
                    open.last().is_none_or(|&other| *until <= other + 1e-3),
                    "{name} ends outside of what it is in"
                );
                open.push(*until);
            }
        }
        let all = |name: &str| -> Vec<(f64, f64)> {
            let events = rows.values().flatten().filter(|event| event.2 == name);
            events.map(|event| (event.0, event.1)).collect()
        };
        assert_eq!(all("profile").len(), 1, "{profile:?}");
        assert!(
            !all("run").is_empty() && !all("read back").is_empty() && !all("wait").is_empty(),
            "{:?}",
            profile.host
        );
        assert_eq!(all("submit").len(), if device.is_gpu() { all("run").len() } else { 0 });
        let kernels = &rows[&(2, 0)];
        assert_eq!(kernels.len(), profile.kernels.len());
        assert_eq!(rows.keys().filter(|row| row.0 == 2).count(), 1);
        // The first kernel begins once the first run has.
        assert!(kernels[0].0 >= all("run")[0].0 - 1.0, "{kernels:?} {:?}", profile.host);
        if !device.is_gpu() {
            let runs = all("run");
            let within = |k: &(f64, f64, String)| runs.iter().any(|run| run.0 <= k.0 && k.1 <= run.1 + 1.0);
            assert!(kernels.iter().all(within));
        }
        let path = std::env::temp_dir().join(format!("wgtensor-trace-{}-{}.json", std::process::id(), device.is_gpu()));
        profile.save_trace(&path)?;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), profile.to_chrome_trace());
        std::fs::remove_file(&path).unwrap();
        // What nobody asks for is not noted.
        let (_, none) = device.profile(|| Ok(()))?;
        let names: Vec<&str> = none.host.iter().map(|span| span.name).collect();
        assert!(names.iter().all(|name| ["profile", "flush", "wait"].contains(name)), "{names:?}");
        Ok(())
    });
}
