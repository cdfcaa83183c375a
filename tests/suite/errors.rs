//! Wrong calls: an `Err` of the right kind, whose text has four parts (what happened, what was received, what was
//! expected, what to do) and the caller's line.

use wgtensor::{ConvOptions, DType, Device, DeviceOptions, Error, Result, Tensor, Var};

use super::close::assert_all;
use super::devices::{for_each_device, for_each_device_alone, for_each_gpu};

struct Wrong {
    call: &'static str,
    result: Result<()>,
    kind: fn(&Error) -> bool,
    /// What the text must name: the offending shapes, types or numbers.
    names: &'static [&'static str],
}

fn judge(table: Vec<Wrong>) {
    let mut failures = Vec::new();
    for Wrong { call, result, kind, names } in table {
        let error = match result {
            Err(e) => e,
            Ok(()) => {
                failures.push(format!("{call}: gave no error"));
                continue;
            }
        };
        let text = error.to_string();
        if !kind(&error) {
            failures.push(format!("{call}: an error of the wrong kind: {error:?}"));
        }
        let missing: Vec<_> = names.iter().filter(|n| !text.contains(**n)).collect();
        if !missing.is_empty() {
            failures.push(format!("{call}: does not name {missing:?}: {text}"));
        }
        let parts = text.split_once(". Received: ").and_then(|(_, rest)| rest.split_once(". Expected: "));
        let advice = parts.and_then(|(_, rest)| rest.split_once(". ")).is_some_and(|(_, fix)| fix.len() > 8);
        if !advice {
            failures.push(format!("{call}: not four parts: {text}"));
        }
        if !error.location().is_some_and(|at| at.file().ends_with("errors.rs")) {
            failures.push(format!("{call}: does not name the caller's line: {text}"));
        }
    }
    assert_all(failures);
}

macro_rules! wrong {
    ($call:expr, $kind:ident, [$($name:literal),*]) => {
        Wrong { call: stringify!($call), result: $call.map(drop), kind: Error::$kind, names: &[$($name),*] }
    };
}

#[test]
fn wrong_shapes() {
    for_each_device(|device| {
        let a = Tensor::zeros([2, 3], DType::F32, device)?;
        let b = Tensor::zeros([4], DType::F32, device)?;
        let image = Tensor::zeros([1, 5, 5, 3], DType::F32, device)?;
        let kernel = Tensor::zeros([3, 3, 4, 2], DType::F32, device)?;
        judge(vec![
            wrong!(a.add(&b), is_shape_mismatch, ["(2, 3)", "(4,)"]),
            wrong!(a.matmul(&a), is_shape_mismatch, ["(2, 3)"]),
            wrong!(a.matmul(&b), is_shape_mismatch, ["(2, 3)", "(4,)"]),
            wrong!(a.reshape([4, 2]), is_shape_mismatch, ["(2, 3)", "(4, 2)"]),
            wrong!(a.reshape([-1, 4]), is_shape_mismatch, ["(2, 3)"]),
            wrong!(a.broadcast_to([2, 4]), is_shape_mismatch, ["(2, 3)", "(2, 4)"]),
            wrong!(a.squeeze(1), is_shape_mismatch, ["(2, 3)"]),
            wrong!(
                Tensor::concat([&a, &Tensor::zeros([3, 4], DType::F32, device)?], 1),
                is_shape_mismatch,
                ["(2, 3)", "(3, 4)"]
            ),
            wrong!(Tensor::stack([&a, &b], 0), is_shape_mismatch, ["(2, 3)", "(4,)"]),
            wrong!(Tensor::from_slice(&[1.0f32, 2.0, 3.0], [2, 2], device), is_shape_mismatch, ["3", "(2, 2)"]),
            wrong!(image.conv2d(&kernel, &ConvOptions::default()), is_shape_mismatch, ["(1, 5, 5, 3)", "(3, 3, 4, 2)"]),
        ]);
        Ok(())
    });
}

#[test]
fn wrong_types() {
    for_each_device(|device| {
        let x = Tensor::zeros([3], DType::F32, device)?;
        let i = Tensor::zeros([3], DType::I32, device)?;
        let b = Tensor::zeros([3], DType::Bool, device)?;
        judge(vec![
            wrong!(x.add(&i), is_dtype_mismatch, ["f32", "i32"]),
            wrong!(x.eq(&b), is_dtype_mismatch, ["f32", "bool"]),
            wrong!(i.exp(), is_dtype_mismatch, ["i32"]),
            wrong!(i.softmax(-1), is_dtype_mismatch, ["`softmax`", "i32"]),
            wrong!(b.sum(()), is_dtype_mismatch, ["bool"]),
            wrong!(x.logical_and(&b), is_dtype_mismatch, ["f32"]),
            wrong!(x.where_(&x, &x), is_dtype_mismatch, ["f32", "bool"]),
            wrong!(x.take(&x, 0), is_dtype_mismatch, ["f32"]),
            wrong!(x.bitwise_and(&x), is_dtype_mismatch, ["f32"]),
        ]);
        assert!(x.to_vec::<i32>().unwrap_err().is_dtype_mismatch());
        Ok(())
    });
}

#[test]
fn numbers_that_a_type_does_not_hold() {
    for_each_device(|device| {
        let u = Tensor::new([0u32, 1], device)?;
        let i = Tensor::new([0i32, 1], device)?;
        judge(vec![
            wrong!(u.add(-1), is_dtype_mismatch, ["-1", "u32"]),
            wrong!(u.eq(-1), is_dtype_mismatch, ["-1", "u32"]),
            wrong!(i.mul(4_000_000_000u32), is_dtype_mismatch, ["4000000000", "i32"]),
            wrong!(i.add(0.5), is_dtype_mismatch, ["0.5", "i32"]),
            wrong!(i.eq(0)?.where_(0.5, &i), is_dtype_mismatch, ["0.5", "i32"]),
            wrong!(Tensor::full([2], 0.5, DType::I32, device), is_dtype_mismatch, ["0.5", "i32"]),
            wrong!(Tensor::full([2], f64::NAN, DType::U32, device), is_dtype_mismatch, ["NaN", "u32"]),
            wrong!(i.pad(&[(1, 1)], 0.5), is_dtype_mismatch, ["0.5", "i32"]),
            wrong!(Tensor::arange(1.0, -3.0, -1.0, DType::U32, device), is_dtype_mismatch, ["-2", "u32"]),
        ]);
        assert_eq!(Tensor::arange(5.0, 0.0, -2.0, DType::U32, device)?.to_vec::<u32>()?, [5, 3, 1]);
        Ok(())
    });
}

#[test]
fn out_of_range() {
    for_each_device(|device| {
        let a = Tensor::zeros([2, 3], DType::F32, device)?;
        judge(vec![
            wrong!(a.sum(2), is_out_of_range, ["2"]),
            wrong!(a.sum([0, -3]), is_out_of_range, ["-3"]),
            wrong!(a.argmax(5), is_out_of_range, ["5"]),
            wrong!(a.softmax(-3), is_out_of_range, ["-3"]),
            wrong!(a.expand_dims(5), is_out_of_range, ["5"]),
            wrong!(a.swapaxes(0, 2), is_out_of_range, ["2"]),
            wrong!(a.take(3, 1), is_out_of_range, ["3"]),
            wrong!(a.narrow(1, 2, 2), is_out_of_range, ["2"]),
            wrong!(a.flip([2]), is_out_of_range, ["2"]),
        ]);
        Ok(())
    });
}

#[test]
fn nonsense_arguments() {
    for_each_device(|device| {
        let a = Tensor::zeros([2, 3], DType::F32, device)?;
        let (tall, wide) = (
            Tensor::zeros([1usize << 39, 1], DType::F32, device)?,
            Tensor::zeros([1, 1usize << 39], DType::F32, device)?,
        );
        let no_groups = ConvOptions { groups: 0, ..ConvOptions::default() };
        judge(vec![
            wrong!(a.transpose([0, 0]), is_invalid_argument, ["[0, 0]"]),
            wrong!(a.transpose([0]), is_invalid_argument, ["[0]"]),
            wrong!(a.sum([0, 0]), is_invalid_argument, ["[0, 0]"]),
            wrong!(a.slice_step(0, None, None, 0), is_invalid_argument, ["0"]),
            wrong!(a.reshape([-1, -1]), is_shape_mismatch, ["[-1, -1]"]),
            wrong!(a.pad(&[(1, 1); 3], 0.0), is_invalid_argument, ["3 pairs"]),
            wrong!(Tensor::concat([] as [Tensor; 0], 0), is_invalid_argument, ["concat"]),
            wrong!(Tensor::arange(0.0, 1.0, 0.0, DType::F32, device), is_invalid_argument, ["steps of 0"]),
            wrong!(a.item::<f32>(), is_shape_mismatch, ["(2, 3)"]),
            wrong!(a.backward(), is_shape_mismatch, ["(2, 3)"]),
            wrong!(a.split(1, &[usize::MAX, 4]), is_shape_mismatch, ["(2, 3)"]),
            wrong!(a.split(1, &[1, 1]), is_shape_mismatch, ["[1, 1]"]),
            wrong!(a.reshape([1, 1, 2, 3])?.conv2d(&a.reshape([1, 1, 3, 2])?, &no_groups), is_shape_mismatch, ["0"]),
            // Too many dimensions, too many elements: wherever a shape comes from.
            wrong!(Tensor::zeros([1; 9], DType::F32, device), is_shape_mismatch, ["9 dimensions", "8"]),
            wrong!(Tensor::zeros(vec![1; 9], DType::F32, device), is_shape_mismatch, ["9 dimensions"]),
            wrong!(Tensor::zeros(&[1; 9][..], DType::F32, device), is_shape_mismatch, ["9 dimensions"]),
            wrong!(Tensor::zeros(1usize << 40, DType::F32, device), is_shape_mismatch, ["2^40"]),
            wrong!(Tensor::uniform([1 << 20, 1 << 20], 0.0, 1.0, 1, device), is_shape_mismatch, ["2^40"]),
            wrong!(Tensor::zeros([usize::MAX, 2, 0], DType::F32, device), is_shape_mismatch, ["2^40"]),
            wrong!(Tensor::permutation(1 << 31, 1, device), is_invalid_argument, ["2147483648"]),
            wrong!(Tensor::from_slice(&[1.0f32], [1; 9], device), is_shape_mismatch, ["9 dimensions"]),
            wrong!(a.reshape([1; 9]), is_shape_mismatch, ["9 dimensions"]),
            wrong!(a.reshape([isize::MAX, 4, -1]), is_shape_mismatch, [""]),
            wrong!(a.broadcast_to([1 << 20, 1 << 20, 2, 3]), is_shape_mismatch, ["2^40"]),
            wrong!(a.reshape([1, 1, 1, 1, 1, 1, 2, 3])?.expand_dims(0), is_shape_mismatch, ["9 dimensions"]),
            wrong!(Tensor::stack([&a.reshape([1, 1, 1, 1, 1, 1, 2, 3])?], 0), is_shape_mismatch, ["9 dimensions"]),
            wrong!(a.take(&Tensor::zeros([1; 8], DType::I32, device)?, 0), is_shape_mismatch, ["9 dimensions"]),
            wrong!(a.reshape([3, -2]), is_shape_mismatch, ["[3, -2]"]),
            wrong!(Tensor::zeros([2, -1], DType::F32, device), is_shape_mismatch, ["[2, -1]", "reshape"]),
            // Sizes beyond `isize`, wherever signed ones are taken too.
            wrong!(a.reshape([usize::MAX]), is_shape_mismatch, ["18446744073709551615"]),
            wrong!(a.sum(usize::MAX), is_out_of_range, ["sum", "18446744073709551615"]),
            wrong!(a.flip([0, usize::MAX]), is_out_of_range, ["flip", "18446744073709551615"]),
            wrong!(a.slice(0, 0..usize::MAX), is_out_of_range, ["slice", "18446744073709551615"]),
            wrong!(a.narrow(0, usize::MAX, 1), is_out_of_range, ["narrow", "18446744073709551615"]),
            wrong!(a.narrow(0, -3, 1), is_out_of_range, ["-3", "(2, 3)"]),
            wrong!(a.expand_dims(()), is_invalid_argument, ["expand_dims"]),
            wrong!(a.expand_dims([0, 0]), is_invalid_argument, ["[0, 0]"]),
            wrong!(a.squeeze([0, 0]), is_invalid_argument, ["[0, 0]"]),
            // Host data that is no tensor.
            wrong!(
                Tensor::new(vec![vec![1.0f32, 2.0], vec![3.0]], device),
                is_shape_mismatch,
                ["different lengths", "[1]", "[2]"]
            ),
            wrong!(
                Tensor::new([vec![vec![1u8; 2]; 2], vec![vec![1; 2]]], device),
                is_shape_mismatch,
                ["[1, 2]", "[2, 2]"]
            ),
            wrong!(Tensor::new(vec![1, 3_000_000_000i64], device), is_dtype_mismatch, ["3000000000", "i32"]),
            wrong!(Tensor::new([[usize::MAX]], device), is_dtype_mismatch, ["18446744073709551615"]),
            wrong!(a.take([0, 2], 0), is_out_of_range, ["2"]),
            wrong!(a.take([0.5f32], 0), is_dtype_mismatch, ["f32"]),
            wrong!(a.take(1.0f32, 0), is_dtype_mismatch, ["f32"]),
            wrong!(a.pad(&[(usize::MAX, 1), (0, 0)], 0.0), is_shape_mismatch, ["2^40"]),
            wrong!(a.tile([usize::MAX, 2]), is_shape_mismatch, ["2^40"]),
            wrong!(a.tile([1usize << 39, 1]), is_shape_mismatch, ["2^40"]),
            wrong!(a.repeat(usize::MAX, 0), is_shape_mismatch, ["2^40"]),
            wrong!(tall.add(&wide), is_shape_mismatch, ["2^40"]),
            wrong!(tall.matmul(&wide), is_shape_mismatch, ["2^40"]),
            wrong!(Tensor::concat([&tall, &tall], 0), is_shape_mismatch, ["2^40"]),
        ]);
        assert_eq!(a.slice_step(0, None, None, isize::MAX)?.dims(), [1, 3], "a step beyond the end");
        assert_eq!(a.slice_step(0, None, None, isize::MIN)?.dims(), [1, 3], "a step beyond the start");
        Ok(())
    });
}

#[test]
fn training() {
    use wgtensor::nn::losses::Loss;
    use wgtensor::nn::prelude::*;
    for_each_device_alone(|device| {
        let x = Tensor::zeros([4, 2], DType::F32, device)?;
        let y = Tensor::zeros([4, 1], DType::F32, device)?;
        let (wide, three) = (Tensor::zeros([4, 5], DType::F32, device)?, Tensor::zeros([3, 1], DType::F32, device)?);
        let none = Tensor::zeros([0, 2], DType::F32, device)?;
        let labels = Tensor::new([0, 1, 2, 3], device)?;
        let fresh = || Sequential::new().add(Dense::new(1));
        let mut model = fresh().add(Dense::new(1).name("top"));
        model.compile("sgd", "mse", ())?;
        model.fit(&x, &y, Fit::new().verbose(0))?;
        let mut classes = Sequential::new().add(Dense::new(3).activation(Softmax));
        classes.compile("sgd", "sparse_categorical_crossentropy", ())?;
        let mut typo = Sequential::new().add(Dense::new(1).activation("rellu"));
        let mut tokens = Sequential::new().add(Embedding::new(3, 2));
        let still = Var::new(&x);
        still.set_trainable(false);
        let grads = still.value().sum(())?.backward()?;
        judge(vec![
            wrong!(fresh().fit(&x, &y, Fit::new()), is_invalid_state, ["compile"]),
            wrong!(fresh().evaluate(&x, &y, ()), is_invalid_state, ["compile"]),
            wrong!(fresh().learning_rate(), is_invalid_state, ["compile"]),
            wrong!(fresh().count_params(), is_invalid_state, ["count_params"]),
            wrong!(fresh().compile("adamm", "mse", ()), is_invalid_argument, ["adamm", "adamw"]),
            wrong!(fresh().compile("adam", "mee", ()), is_invalid_argument, ["mee"]),
            wrong!(fresh().compile("adam", "mse", "acuracy"), is_invalid_argument, ["acuracy"]),
            wrong!(fresh().compile(SGD::default().clipnorm(-1.0), "mse", ()), is_invalid_argument, ["clipnorm=-1"]),
            wrong!(model.fit(&x, &three, Fit::new()), is_shape_mismatch, ["'x' sizes: 4", "'y' sizes: 3"]),
            wrong!(model.fit(&wide, &y, Fit::new()), is_shape_mismatch, ["(4, 5)", "2"]),
            wrong!(model.fit(&x, &wide, Fit::new()), is_shape_mismatch, ["(None, 5)", "(None, 1)"]),
            wrong!(model.fit(&none, &none, Fit::new()), is_shape_mismatch, ["(0, 2)"]),
            wrong!(model.fit(&x, &y, Fit::new().batch_size(0)), is_invalid_argument, ["batch_size=0"]),
            wrong!(model.fit(&x, &y, Fit::new().validation_split(1.5)), is_invalid_argument, ["1.5"]),
            wrong!(model.evaluate(&wide, &y, ()), is_shape_mismatch, ["(4, 5)"]),
            wrong!(model.predict(&wide, ()), is_shape_mismatch, ["(4, 5)"]),
            wrong!(model.predict_on_batch(&wide), is_shape_mismatch, ["(4, 5)"]),
            wrong!(model.train_on_batch(&wide, &y, None), is_shape_mismatch, ["(4, 5)"]),
            wrong!(model.test_on_batch(&x, &wide, None), is_shape_mismatch, ["(None, 5)"]),
            wrong!(model.build([7]), is_shape_mismatch, ["(None, 7)", "(None, 2)"]),
            wrong!(model.set_weights(&[]), is_invalid_argument, ["0 tensors", "4 tensors"]),
            wrong!(model.set_trainable("bottom", false), is_invalid_argument, ["bottom", "top"]),
            wrong!(classes.fit(&x, &labels, Fit::new()), is_out_of_range, ["label 3", "3 classes"]),
            wrong!(typo.build([2]), is_invalid_argument, ["rellu"]),
            wrong!(tokens.predict(&labels, ()), is_out_of_range, ["3", "input_dim=3"]),
            wrong!(SGD::default().apply(&grads), is_invalid_state, ["gradient"]),
            wrong!(MeanSquaredError::default().compute(&wide, &y, None), is_shape_mismatch, ["(4, 5)", "(4, 1)"]),
            wrong!(
                SparseCategoricalCrossentropy::default().compute(
                    &labels,
                    &Tensor::zeros([4, 3], DType::F32, device)?,
                    None
                ),
                is_out_of_range,
                ["label 3"]
            ),
        ]);
        Ok(())
    });
}

/// A mistake in a layer of the user's own is found where it was made, not where `fit` was called.
#[test]
fn a_layer_of_the_users_own_is_named_by_its_line() {
    use wgtensor::nn::layers::{CallCtx, Layer};
    use wgtensor::nn::prelude::*;
    struct Wrong(u32);
    impl Layer for Wrong {
        fn class_name(&self) -> &'static str {
            "Wrong"
        }
        fn call(&self, x: &Tensor, _: &CallCtx) -> Result<Tensor> {
            assert_eq!(line!() + 1, self.0);
            x.matmul(x)
        }
    }
    let x = Tensor::zeros([4, 2], DType::F32, &Device::open("auto").unwrap()).unwrap();
    let line = line!() - 4;
    let error = Sequential::new().add(Wrong(line)).predict(&x, ()).unwrap_err();
    assert_eq!(error.location().map(|at| at.line()), Some(line), "{error}");
}

/// The header of a panic names the line of the operator, too.
#[test]
fn operators_and_indexing_panic_at_the_callers_line() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    static SEEN: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());
    let device = Device::open("auto").unwrap();
    let (a, b) =
        (Tensor::zeros([2, 3], DType::F32, &device).unwrap(), Tensor::zeros([4], DType::F32, &device).unwrap());
    let whole = Tensor::zeros([4], DType::I32, &device).unwrap();
    let bools = Tensor::zeros([4], DType::Bool, &device).unwrap();
    let history = wgtensor::nn::History::default();
    let before = std::panic::take_hook();
    let me = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == me {
            let at = info.location().map_or((String::new(), 0), |at| (at.file().to_string(), at.line()));
            SEEN.lock().unwrap().push(at);
        } else {
            before(info);
        }
    }));
    let first = line!() + 2;
    let panics = [
        catch_unwind(AssertUnwindSafe(|| drop(&a + &b))),
        catch_unwind(AssertUnwindSafe(|| drop(a.clone() * b.clone()))),
        catch_unwind(AssertUnwindSafe(|| drop(&whole + 0.5))),
        catch_unwind(AssertUnwindSafe(|| drop(0.5 - &whole))),
        catch_unwind(AssertUnwindSafe(|| drop(-&bools))),
        catch_unwind(AssertUnwindSafe(|| drop(history["loss"].to_vec()))),
    ];
    drop(std::panic::take_hook());
    assert!(panics.iter().all(Result::is_err));
    let seen = SEEN.lock().unwrap();
    for (i, (file, line)) in seen.iter().enumerate() {
        assert!(file.ends_with("errors.rs") && *line == first + i as u32, "panic {i} at {file}:{line}");
    }
    assert_eq!(seen.len(), panics.len());
}

#[test]
fn operators_panic_with_the_same_text() {
    for_each_device(|device| {
        let (a, b) = (Tensor::zeros([2, 3], DType::F32, device)?, Tensor::zeros([4], DType::F32, device)?);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| &a + &b)).expect_err("a panic");
        let text = panic.downcast_ref::<String>().expect("a text");
        assert!(text.contains("(2, 3)") && text.contains("(4,)"), "{text}");
        Ok(())
    });
}

#[test]
#[cfg(all(feature = "cpu", feature = "gpu"))]
fn mixed_devices() {
    for_each_gpu(|device| {
        let here = Tensor::zeros([2], DType::F32, device)?;
        let there = Tensor::zeros([2], DType::F32, &Device::cpu())?;
        judge(vec![
            wrong!(here.add(&there), is_device_mismatch, ["cpu", "gpu"]),
            wrong!(there.matmul(&here), is_device_mismatch, ["cpu", "gpu"]),
            wrong!(Tensor::concat([&here, &there], 0), is_device_mismatch, ["cpu", "gpu"]),
        ]);
        assert!(Var::new(&here).assign(&there).unwrap_err().is_device_mismatch());
        let limits = &device.info().limits;
        let limit = |name| limits.iter().find(|l| l.0 == name).map_or(0, |l| l.1);
        let most = limit("max_buffer_size").min(limit("max_storage_buffer_binding_size")) as usize;
        judge(vec![
            wrong!(Tensor::zeros([2], DType::F64, device), is_dtype_mismatch, ["f64", "gpu"]),
            wrong!(Tensor::new([1.0f64], device), is_dtype_mismatch, ["f64", "gpu"]),
            wrong!(here.cast(DType::F64), is_dtype_mismatch, ["f64", "gpu"]),
            wrong!(Tensor::zeros([most / 4 + 64], DType::F32, device)?.realize(), is_unsupported, ["max_buffer_size"]),
            wrong!(wgtensor::interop::buffer(&there), is_device_mismatch, ["CPU"]),
        ]);
        Ok(())
    });
}

#[test]
fn one_device_for_all_who_ask_for_it() {
    for_each_device(|device| {
        let id = &device.info().id;
        let (one, two) = (Device::open(id)?, Device::open(id)?);
        assert_eq!(one, two);
        assert_eq!(Tensor::new([1.0f32], &one)?.add(&Tensor::new([2.0f32], &two)?)?.to_vec::<f32>()?, [3.0]);
        assert_eq!(Device::open("best")?, Device::open("auto")?);
        assert_eq!(Device::from_env()?, Device::from_env()?);
        if device.is_gpu() {
            assert_eq!(Device::gpu()?, Device::open("gpu")?);
        }
        // With options each gets one of its own, and the error says what is the matter.
        let (one, two) = (Device::open_with(id, &DeviceOptions::default())?, Device::open(id)?);
        let (a, b) = (Tensor::new([1.0f32], &one)?, Tensor::new([2.0f32], &two)?);
        judge(vec![
            wrong!(a.add(&b), is_device_mismatch, ["opened apart", "share it"]),
            wrong!(Var::new(&a).assign(&b), is_device_mismatch, ["opened apart"]),
        ]);
        Ok(())
    });
    // Threads that ask for the first time at once get one device, too.
    let ids: Vec<_> = Device::list().into_iter().map(|info| info.id).collect();
    for id in &ids {
        let all: Vec<Device> = std::thread::scope(|scope| {
            let open: Vec<_> = (0..4).map(|_| scope.spawn(|| Device::open(id).unwrap())).collect();
            open.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(all.iter().all(|d| *d == all[0]));
    }
}

/// A request is rounded up to a size class; where the cap forbids it, both sizes are named.
#[test]
fn a_cap_names_the_size_it_refused() {
    for_each_device(|device| {
        let options = DeviceOptions { cap: Some(9 << 20), ..DeviceOptions::default() };
        let capped = Device::open_with(&device.info().id, &options)?;
        let elements = (1 << 21) + 10;
        judge(vec![
            wrong!(
                Tensor::uniform([elements], 0.0, 1.0, 1, &capped)?.realize(),
                is_out_of_memory,
                ["8.0 MiB (10.0 MiB", "0 B in use", "cap of 9.0 MiB"]
            ),
            wrong!(
                Tensor::from_slice(&vec![0.0f32; elements], [elements], &capped),
                is_out_of_memory,
                ["8.0 MiB (10.0 MiB", "cap of 9.0 MiB"]
            ),
        ]);
        Ok(())
    });
}

#[test]
fn devices_that_do_not_exist() {
    assert!(Device::open("gpu:99").is_err_and(|e| e.is_no_adapter()));
    assert!(Device::open("abacus").is_err_and(|e| e.is_no_adapter() && e.to_string().contains("abacus")));
}

#[test]
fn an_error_leaves_the_device_usable() {
    for_each_device(|device| {
        let a = Tensor::new([1.0f32, 2.0], device)?;
        assert!(a.matmul(&Tensor::zeros([3, 2], DType::F32, device)?).is_err());
        assert_eq!((&a + &a).to_vec::<f32>()?, [2.0, 4.0]);
        Ok(())
    });
}
