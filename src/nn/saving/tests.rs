use super::flat::names;
use super::safetensors::parse;
use super::*;
use crate::nn::SharedLayer;
use crate::nn::prelude::*;
use crate::{DType, Device, Tensor, Var};

fn model() -> Sequential {
    Sequential::named("m")
        .add(Input::new([4]))
        .add(Dense::new(3).name("hidden"))
        .add(BatchNormalization::new().name("norm"))
        .add(Dense::new(2).use_bias(false).name("top"))
}

fn built() -> Sequential {
    let mut model = model();
    model.build([4]).unwrap();
    model
}

/// A file with this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn weights_come_back_bit_for_bit() -> Result<()> {
    let (trained, mut fresh) = (built(), built());
    let x = Tensor::uniform([5, 4], -1.0, 1.0, 1, &Device::cpu())?;
    let predict = |model: &mut Sequential| model.predict_on_batch(&x).unwrap().to_vec::<f32>().unwrap();
    let mut trained = trained;
    assert_ne!(predict(&mut trained), predict(&mut fresh));
    let bytes = trained.weights_to_bytes()?;
    fresh.weights_from_bytes(&bytes)?;
    assert_eq!(predict(&mut trained), predict(&mut fresh));
    let names: Vec<String> = parse(&bytes)?.into_keys().collect();
    assert_eq!(
        names,
        [
            "hidden/bias",
            "hidden/kernel",
            "norm/beta",
            "norm/gamma",
            "norm/moving_mean",
            "norm/moving_variance",
            "top/kernel"
        ]
    );
    Ok(())
}

#[test]
fn files_are_replaced_whole() -> Result<()> {
    let path = std::env::temp_dir().join(format!("wgtensor-test-{}.safetensors", std::process::id()));
    let (mut first, mut second) = (built(), built());
    first.save_weights(&path)?;
    second.save_weights(&path)?;
    let mut loaded = built();
    loaded.load_weights(&path)?;
    assert_eq!(loaded.weights_to_bytes()?, second.weights_to_bytes()?);
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let part = path.file_name().unwrap().to_string_lossy().into_owned() + ".";
    assert!(left.into_iter().all(|file| !file.file_name().to_string_lossy().starts_with(&part)));
    std::fs::remove_file(&path).unwrap();
    assert!(loaded.load_weights(&path).unwrap_err().is_io());
    let nowhere = path.join("no").join("such.safetensors");
    assert!(second.save_weights(nowhere).unwrap_err().is_io());
    Ok(())
}

#[test]
fn weights_of_other_models_are_refused_and_nothing_is_set() -> Result<()> {
    let mut model = built();
    let before = model.weights_to_bytes()?;
    let mut refused = |mut other: Sequential, words: &[&str]| {
        let error = model.weights_from_bytes(&other.weights_to_bytes().unwrap()).unwrap_err();
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
        assert!(error.location().is_some_and(|at| at.file().ends_with("saving/tests.rs")), "{error}");
    };
    let with = |layers: Vec<SharedLayer>| {
        let mut other =
            layers.into_iter().fold(Sequential::new().add(Input::new([4])), |model, layer| model.add(layer));
        other.build([4]).unwrap();
        other
    };
    refused(with(vec![Dense::new(3).name("hidden")]), &["lacks", "`norm/gamma`"]);
    refused(with(vec![Dense::new(3).name("other")]), &["has not", "`other/"]);
    refused(
        with(vec![
            Dense::new(5).name("hidden"),
            BatchNormalization::new().name("norm"),
            Dense::new(2).use_bias(false).name("top"),
        ]),
        &["F32 [4, 5] for `hidden/kernel`", "F32 [4, 3]"],
    );
    assert_eq!(model.weights_to_bytes()?, before);
    let mut unbuilt = Sequential::new().add(Dense::new(3));
    assert!(unbuilt.weights_to_bytes().unwrap_err().is_invalid_state());
    Ok(())
}

#[test]
fn damaged_files_are_errors() {
    let good = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert_eq!(parse(&file(good, 8)).unwrap()["a"].shape, [2]);
    let named = |dtype: &str, shape: &str, place: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{place}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        let entry = |place: &str| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{place}}}"#);
        format!(r#"{{"a":{},"b":{}}}"#, entry(first), entry(second))
    };
    let cases = [
        vec![],
        vec![1, 2, 3],
        u64::MAX.to_le_bytes().to_vec(),
        (1u64 << 40).to_le_bytes().to_vec(),
        file("", 0),
        file("[]", 0),
        file("{", 0),
        file(&"[".repeat(100_000), 0),
        file(good, 7),
        file(good, 9),
        file(&named("F33", "[2]", "[0,8]"), 8),
        file(&named("F32", "[3]", "[0,8]"), 8),
        file(&named("F32", "[-2]", "[0,8]"), 8),
        file(&named("F32", "2", "[0,8]"), 8),
        file(&named("F32", "[2]", "[8,0]"), 8),
        file(&named("F32", "[2]", "[0]"), 8),
        file(&named("F32", "[2]", "[0,18446744073709551615]"), 8),
        file(&named("F32", "[4611686018427387904,2]", "[0,8]"), 8),
        file(&named("F32", "[4294967296,4294967296]", "[0,0]"), 0),
        file(&two("[0,4]", "[0,4]"), 4),
        file(&two("[0,4]", "[2,6]"), 6),
        file(&two("[0,4]", "[5,9]"), 9),
        file(&two("[4,8]", "[8,12]"), 12),
    ];
    for (i, case) in cases.iter().enumerate() {
        let error = parse(case).err().unwrap_or_else(|| panic!("case {i} was read"));
        assert!(
            error.is_invalid_argument() && error.to_string().starts_with("A weight file is damaged"),
            "{i}: {error}"
        );
    }
    // The data of an empty tensor may stand anywhere that leaves no gap; metadata is passed over.
    let empty = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}"#;
    assert_eq!(parse(&file(empty, 0)).unwrap()["a"].shape, [0, 3]);
}

#[test]
fn weights_of_one_name_are_numbered() {
    let var = |name: &str| Var::named(name, &Tensor::zeros([1], DType::F32, &Device::cpu()).unwrap());
    assert_eq!(names(&[var("a/b"), var("c"), var("a/b")]), ["a/b", "c", "a/b_1"]);
}

#[cfg(feature = "keras")]
#[path = "../../../tests/suite/changes.rs"]
mod changes;

/// Files with every part changed at random: each is read or refused, in a moment. `WGTENSOR_FUZZ` says for how many seconds.
#[cfg(feature = "keras")]
mod fuzzed {
    use serde_json::{Value, json};

    use super::super::keras::{WEIGHTS, archive, part};
    use super::changes::Random;
    use super::*;
    use crate::nn::LoadModel;

    impl Random {
        /// A value somewhere in it is another.
        fn json(&mut self, mut json: &mut Value) {
            loop {
                let children: Vec<&mut Value> = match json {
                    Value::Array(list) => list.iter_mut().collect(),
                    Value::Object(map) => map.values_mut().collect(),
                    _ => Vec::new(),
                };
                let count = children.len();
                if count == 0 || self.below(12) == 0 {
                    break;
                }
                let at = self.below(count);
                json = match json {
                    Value::Array(list) => &mut list[at],
                    Value::Object(map) => map.values_mut().nth(at).unwrap(),
                    _ => unreachable!("it has children"),
                };
            }
            let others = [
                json!(null),
                json!(0),
                json!(-1),
                json!(1),
                json!(3),
                json!(1e30),
                json!(4_294_967_297u64),
                json!(u64::MAX),
                json!("x"),
                json!([]),
                json!({}),
                json!(true),
                json!([null, 1_000_000, 1_000_000]),
            ];
            *json = others[self.below(others.len())].clone();
        }
    }

    #[test]
    fn files_are_read_or_refused() -> Result<()> {
        let seconds = std::env::var("WGTENSOR_FUZZ").map_or(1.0, |seconds| seconds.parse().unwrap());
        let mut model = model();
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
        let file = model.to_bytes()?;
        let (config, weights) = (part(&file, "config.json")?, part(&file, WEIGHTS)?);
        let flat = model.weights_to_bytes()?;
        let mut random = Random(u64::from(std::process::id()));
        let (begun, mut read, mut refused) = (crate::sys::Instant::now(), 0, 0);
        while begun.elapsed().as_secs_f64() < seconds {
            let seed = random.0;
            let mut parts = [("config.json", config.clone()), (WEIGHTS, weights.clone())];
            let result = match random.below(4) {
                0 => {
                    let mut json: Value = serde_json::from_slice(&parts[0].1).unwrap();
                    (0..=random.below(3)).for_each(|_| random.json(&mut json));
                    parts[0].1 = json.to_string().into_bytes();
                    LoadModel::new().read(&archive(&parts)?).map(drop)
                }
                1 => {
                    let which = random.below(2);
                    random.change(&mut parts[which].1);
                    LoadModel::new().read(&archive(&parts)?).map(drop)
                }
                2 => {
                    let mut bytes = file.clone();
                    random.change(&mut bytes);
                    LoadModel::new().read(&bytes).map(drop)
                }
                _ => {
                    let mut bytes = if random.below(2) == 0 { flat.clone() } else { weights.clone() };
                    random.change(&mut bytes);
                    built().weights_from_bytes(&bytes)
                }
            };
            *(if result.is_ok() { &mut read } else { &mut refused }) += 1;
            let took = begun.elapsed();
            assert!(took.as_secs_f64() < seconds + 10.0, "hangs at seed {seed}");
        }
        println!("{read} read, {refused} refused");
        assert!(read > 0 && refused > 0);
        Ok(())
    }
}
