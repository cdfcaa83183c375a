//! Preprocessing layers, held to what Keras computes.

use wgtensor::data::{Array, Dataset};
use wgtensor::nn::config::Config;
use wgtensor::nn::layers::Layer;
use wgtensor::nn::prelude::*;
use wgtensor::{DType, Device, Result, Tensor};

use super::devices::for_each_device;

/// `i ^ 1.5 / 10`, shape `(2, 3, 4)`.
fn data(device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = (0..24).map(|i| (i as f32).powf(1.5) / 10.0).collect();
    Tensor::from_slice(&values, [2, 3, 4], device)
}

/// What a model of this layer alone makes of a batch.
fn alone(layer: impl Layer + 'static, x: &Tensor) -> Result<Tensor> {
    Sequential::new().add(layer).predict(x, Predict::new().verbose(0))
}

#[track_caller]
fn close(found: &Tensor, expected: &[f32]) {
    let found = found.to_vec::<f32>().unwrap();
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "element {i}: {a} instead of {b}");
    }
}

const LAST: [f32; 24] = [
    -1.197_790_6,
    -1.237_156,
    -1.263_770_2,
    -1.284_057_3,
    -0.942_986,
    -0.930_442_04,
    -0.923_033_8,
    -0.917_752_1,
    -0.477_094_32,
    -0.453_826_13,
    -0.437_105_2,
    -0.423_925_34,
    0.126_213_24,
    0.144_883_98,
    0.158_911_64,
    0.170_226_62,
    0.840_646_5,
    0.844_476_8,
    0.847_484_35,
    0.849_945_9,
    1.651_012,
    1.632_063_7,
    1.617_513_5,
    1.605_562_6,
];
const FIRST: [f32; 24] = [
    -1.075_262,
    -1.033_894_8,
    -0.958_257_5,
    -0.860_310_85,
    -1.149_066,
    -1.045_275_6,
    -0.930_511_36,
    -0.805_737_3,
    -1.172_992,
    -1.050_830_6,
    -0.921_679_26,
    -0.785_897_7,
    0.644_348_1,
    0.863_717_1,
    1.091_694_2,
    1.327_966,
    0.678_494_1,
    0.877_332_5,
    1.082_108_5,
    1.292_654_8,
    0.693_696_74,
    0.883_434_36,
    1.077_744_8,
    1.276_523_6,
];
const WHOLE: [f32; 24] = [
    -1.296_103_8,
    -1.267_046_6,
    -1.213_917_5,
    -1.145_117_9,
    -1.063_645_7,
    -0.971_233_8,
    -0.869_051_04,
    -0.757_955_9,
    -0.638_613_1,
    -0.511_557_8,
    -0.377_232_58,
    -0.236_011_52,
    -0.088_216_126,
    0.065_872_89,
    0.226_008_49,
    0.391_970_37,
    0.563_560_8,
    0.740_600_7,
    0.922_927_26,
    1.110_391_6,
    1.302_856_4,
    1.500_195_1,
    1.702_289_8,
    1.909_031_8,
];

#[test]
fn data_is_normalized_along_axes() {
    for_each_device(|device| {
        let x = data(device)?;
        let adapted = |mut layer: Normalization| -> Result<Normalization> {
            layer.adapt(&x)?;
            Ok(layer)
        };
        close(&alone(adapted(Normalization::new())?, &x)?, &LAST);
        close(&alone(adapted(Normalization::new().axis(1))?, &x)?, &FIRST);
        close(&alone(adapted(Normalization::new().axis(None))?, &x)?, &WHOLE);
        let signs: Vec<f32> = (0..24).map(|i| if i < 12 { -1.0 } else { 1.0 }).collect();
        close(&alone(adapted(Normalization::new().axis([2, 1]))?, &x)?, &signs);
        let back = adapted(Normalization::new().invert(true))?;
        close(&alone(back, &Tensor::from_slice(&LAST, [2, 3, 4], device)?)?, &x.to_vec::<f32>()?);

        let given = Normalization::new().axis([1, 2]).mean([1.0, 2.0, 3.0, 4.0]).variance([1.0, 4.0, 9.0, 0.0]);
        let expected = [
            -1.0,
            -0.95,
            -0.905_719_1,
            -34_803_848.0,
            -0.2,
            -0.440_983,
            -0.510_102_03,
            -21_479_742.0,
            1.262_741_6,
            0.350_000_02,
            0.054_092_567,
            -3_517_127.0,
        ];
        close(&alone(given, &x.narrow(0, 0, 1)?)?, &expected);
        let (root, one) = (2f32.sqrt(), Tensor::new([[1.0f32], [2.0], [3.0]], device)?);
        close(&alone(Normalization::new().mean(3.0).variance(2.0), &one)?, &[-root, -root / 2.0, 0.0]);
        // A variance beyond 16 bits.
        let mut narrow = Sequential::new().add(Normalization::new().mean(1000.0).variance(90_000.0));
        narrow.set_dtype_policy("mixed_float16")?;
        close(&narrow.call(Tensor::new([[700.0f32], [1600.0]], device)?, false)?, &[-1.0, 2.0]);
        // Integers are numbers too.
        let whole = Tensor::new([[1, 10], [3, 30]], device)?;
        close(&alone(Normalization::new().mean([2.0, 20.0]).variance([1.0, 100.0]), &whole)?, &[-1.0, -1.0, 1.0, 1.0]);

        let expected = [
            0.0,
            0.2,
            1.348_528_1,
            3.078_461_2,
            0.8,
            2.236_068,
            4.909_081_5,
            8.408_103,
            2.262_741_6,
            5.4,
            9.986_834,
            15.593_149,
        ];
        let each = Rescaling::new([1.0, 2.0, 3.0, 4.0]).offset([0.0, 0.0, 0.5, 1.0]);
        close(&alone(each, &x.narrow(0, 0, 1)?)?, &expected);
        Ok(())
    });
}

#[test]
fn statistics_are_weights_that_only_adapt_moves() {
    for_each_device(|device| {
        let x = data(device)?;
        let mut model = Sequential::named("m")
            .add(Input::new([3, 4]))
            .add(Normalization::new().name("n"))
            .add(Flatten::new())
            .add(Dense::new(1).name("d"));
        model.compile("adam", "mse", ())?;
        assert_eq!(model.count_params()?, 4 + 4 + 1 + 13);
        let names: Vec<String> = model.weights().iter().map(|var| var.name().to_owned()).collect();
        assert_eq!(names[..3], ["n/mean", "n/variance", "n/count"]);
        assert_eq!(model.trainable_weights().len(), 2);
        let weights = |model: &Model| model.get_weights();
        assert_eq!(weights(&model)?[1].to_vec::<f32>()?, [1.0; 4]);

        // In the model, wherever it is: it is on the CPU until it sees data.
        let layer = model.get_layer("n").unwrap();
        layer.adapt(&x)?;
        let mean = [3.760_655_6, 4.206_323, 4.684_8, 5.190_287];
        close(&weights(&model)?[0], &mean);
        let y = Tensor::ones([2, 1], DType::F32, device)?;
        let how = || Fit::new().epochs(3).batch_size(1).verbose(0);
        model.fit(&x, &y, how())?;
        close(&weights(&model)?[0], &mean);
        close(&weights(&model)?[1], &[9.857_468, 11.016_846, 12.132_645, 13.230_918]);
        assert_eq!(weights(&model)?[2].to_vec::<i32>()?, [0]);
        assert_eq!(model.weights()[0].device(), device);

        // Adapted to other data between two trainings.
        layer.adapt(&x.add(1.0)?)?;
        model.fit(&x, &y, how())?;
        close(&weights(&model)?[0], &mean.map(|m| m + 1.0));
        let bytes = model.weights_to_bytes()?;
        layer.adapt(&x)?;
        model.weights_from_bytes(&bytes)?;
        close(&weights(&model)?[0], &mean.map(|m| m + 1.0));
        assert!(layer.adapt(&Tensor::ones([2, 3, 5], DType::F32, device)?).unwrap_err().is_shape_mismatch());
        assert!(model.get_layer("d").unwrap().adapt(&x).unwrap_err().is_unsupported());
        Ok(())
    });
}

#[test]
fn statistics_that_fit_nothing_are_errors() {
    let device = Device::open("auto").unwrap();
    let x = data(&device).unwrap();
    let refused = |layer: Normalization| alone(layer, &x).unwrap_err();
    assert!(refused(Normalization::new().mean(1.0)).is_invalid_argument());
    assert!(refused(Normalization::new().mean(1.0).variance([1.0])).is_invalid_argument());
    assert!(refused(Normalization::new().mean([[1.0; 4]]).variance([[1.0; 4]])).is_invalid_argument());
    assert!(refused(Normalization::new().mean([1.0, 2.0]).variance([1.0, 2.0])).is_shape_mismatch());
    assert!(refused(Normalization::new().mean(1.0).variance(-1.0)).is_invalid_argument());
    assert!(refused(Normalization::new().mean(1.0).variance(f64::NAN)).is_invalid_argument());
    for axis in [0, 3, -3, -4] {
        assert!(refused(Normalization::new().axis(axis)).is_out_of_range(), "{axis}");
        assert!(Normalization::new().axis(axis).adapt(&x).unwrap_err().is_out_of_range(), "{axis}");
    }
    assert!(Normalization::new().mean(1.0).variance(1.0).adapt(&x).unwrap_err().is_invalid_state());
    let empty = Tensor::zeros([0, 4], DType::F32, &device).unwrap();
    assert!(Normalization::new().adapt(&empty).unwrap_err().is_shape_mismatch());
    // Adapted to four features, given three.
    let mut narrow = Normalization::new();
    narrow.adapt(&x).unwrap();
    assert!(alone(narrow, &x.narrow(2, 0, 3).unwrap()).unwrap_err().is_shape_mismatch());
    let mut model = Sequential::new().add(Normalization::new());
    model.call(&x, false).unwrap();
    assert!(model.call(x.narrow(2, 0, 1).unwrap(), false).unwrap_err().is_shape_mismatch());
}

#[test]
fn numbers_become_ranges() {
    for_each_device(|device| {
        let x = Tensor::new([[-1.5f32, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]], device)?;
        let ranges = |mode: &str| Discretization::new().bin_boundaries([0.0, 1.0, 2.0]).output_mode(mode);
        assert_eq!(alone(ranges("int"), &x)?.to_vec::<i32>()?, [0, 2, 3, 1, 1, 3, 2, 1]);
        let hot = [0, 2, 3, 1, 1, 3, 2, 1].map(|at| [0, 1, 2, 3].map(|i| if i == at { 1.0 } else { 0.0 })).concat();
        let one_hot = alone(ranges("one_hot"), &x)?;
        assert_eq!((one_hot.dims(), one_hot.to_vec::<f32>()?), (&[2, 4, 4][..], hot.clone()));
        let column = alone(ranges("one_hot"), &x.narrow(1, 0, 1)?)?;
        assert_eq!((column.dims(), column.to_vec::<f32>()?), (&[2, 4][..], [&hot[..4], &hot[16..20]].concat()));
        assert_eq!(alone(ranges("multi_hot"), &x)?.to_vec::<f32>()?, [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(alone(ranges("count"), &x)?.to_vec::<f32>()?, [1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 1.0, 1.0]);

        // Before a table of vectors, trained.
        let mut model =
            Sequential::new().add(ranges("int")).add(Embedding::new(4, 3)).add(Flatten::new()).add(Dense::new(1));
        model.compile("adam", "mse", ())?;
        let y = Tensor::ones([2, 1], DType::F32, device)?;
        let history = model.fit(&x, &y, Fit::new().epochs(30).batch_size(2).verbose(0))?;
        assert!(history["loss"][29] < history["loss"][0]);
        Ok(())
    });
}

/// What Keras finds.
#[test]
fn ranges_are_found_in_data() {
    for_each_device(|device| {
        let values: Vec<f32> = (0..997).map(|i| ((i * 7919) % 1009) as f32).map(|v| v * v / 1000.0).collect();
        let x = Tensor::from_slice(&values, [997, 1], device)?;
        let found = |bins: usize, epsilon: f64| -> Result<Vec<f64>> {
            let mut layer = Discretization::new().num_bins(bins).epsilon(epsilon);
            layer.adapt(&x)?;
            let list = layer.config()?.get("bin_boundaries").and_then(|list| list.as_array().cloned()).unwrap();
            Ok(list.iter().map(|v| v.as_f64().unwrap()).collect())
        };
        assert_eq!(found(4, 0.01)?, [62.270286560058594, 249.99923706054688, 563.2698364257812]);
        let ten = [
            9.8009672164917,
            39.60087203979492,
            89.40069580078125,
            159.9994659423828,
            249.99923706054688,
            359.9992370605469,
            491.4002990722656,
            641.6004638671875,
            811.8004760742188,
        ];
        assert_eq!(found(10, 0.01)?, ten);
        let seven = [
            22.572439193725586,
            82.28675079345703,
            185.71435546875,
            328.571533203125,
            512.8582763671875,
            738.8582153320312,
        ];
        assert_eq!(found(7, 0.1)?, seven);
        assert_eq!(found(3, 0.3)?, [90.60101318359375, 364.8160705566406]);
        let many = found(49, 0.01)?;
        assert_eq!(
            (many.len(), many[0], many[24], many[48]),
            (49, 0.3857576847076416, 260.21697998046875, 1002.0009765625)
        );
        assert_eq!(found(1, 0.01)?, [0.0; 0]);
        Ok(())
    });
}

/// What Keras finds in the same data, a hundred numbers at a time.
#[test]
fn layers_adapt_to_data_sets() {
    for_each_device(|device| {
        let values: Vec<f32> = (0..997).map(|i| ((i * 7919) % 1009) as f32).map(|v| v * v / 1000.0).collect();
        let x = Tensor::from_slice(&values, [997, 1], device)?;
        let batches = Dataset::from_tensor_slices((&x, vec![0; 997]))?.batch(100);
        let found = |bins: usize, epsilon: f64| -> Result<Vec<f64>> {
            let mut layer = Discretization::new().num_bins(bins).epsilon(epsilon);
            layer.adapt(&batches)?;
            let list = layer.config()?.get("bin_boundaries").and_then(|list| list.as_array().cloned()).unwrap();
            Ok(list.iter().map(|v| v.as_f64().unwrap()).collect())
        };
        assert_eq!(found(4, 0.01)?, [66.9691390991211, 258.65997314453125, 580.2881469726562]);
        let seven = [
            26.326309204101562,
            86.03584289550781,
            197.9082489013672,
            342.7311096191406,
            531.05029296875,
            765.904296875,
        ];
        assert_eq!(found(7, 0.1)?, seven);

        let mut scale = Normalization::new();
        scale.adapt(&batches)?;
        let mut model = Sequential::new().add(scale);
        model.call(&x, false)?;
        let weights = model.get_weights()?;
        close(&weights[0], &[339.197_94]);
        close(&weights[1], &[92_197.12]);
        // And in the model, on rows in the host's memory.
        model.layers().next().unwrap().adapt(&Array::new(vec![[1.0f64], [3.0]])?)?;
        assert_eq!(model.get_weights()?[0].to_vec::<f32>()?, [2.0]);

        let refused = |data: &Dataset| Normalization::new().adapt(data).unwrap_err();
        assert!(refused(&batches.repeat(None)).is_invalid_argument());
        assert!(refused(&batches.take(0)).is_shape_mismatch());
        assert!(refused(&Dataset::from_tensor_slices([&x, &x])?.batch(10)).is_invalid_argument());
        assert!(Discretization::new().num_bins(2).adapt(&batches.take(0)).unwrap_err().is_shape_mismatch());
        let ragged = Dataset::from_generator(|| [1, 2].into_iter().map(|n| Ok(vec![vec![1.0f32; n]; 2])));
        assert!(refused(&ragged).is_shape_mismatch());
        Ok(())
    });
}

#[test]
fn odd_ranges_are_errors_or_few() {
    let device = Device::open("auto").unwrap();
    let x = Tensor::new([[3.0f32, 1.0, 2.0]], &device).unwrap();
    let mut few = Discretization::new().num_bins(8);
    assert!(alone(Discretization::new().num_bins(8), &x).unwrap_err().is_invalid_state());
    few.adapt(&x).unwrap();
    assert_eq!(alone(few, &x).unwrap().to_vec::<i32>().unwrap(), [2, 1, 2]);
    let mut one = Discretization::new().num_bins(1);
    one.adapt(&x).unwrap();
    assert_eq!(alone(one, &x).unwrap().to_vec::<i32>().unwrap(), [0, 0, 0]);

    let refused = |layer: Discretization| alone(layer, &x).unwrap_err().is_invalid_argument();
    assert!(refused(Discretization::new()));
    assert!(refused(Discretization::new().bin_boundaries([1.0, 2.0]).num_bins(1)));
    assert!(refused(Discretization::new().bin_boundaries([2.0, 1.0])));
    assert!(refused(Discretization::new().num_bins(0)));
    assert!(refused(Discretization::new().bin_boundaries([1.0]).output_mode("hot")));
    assert!(Discretization::new().bin_boundaries([1.0]).adapt(&x).unwrap_err().is_invalid_state());
    let nan = Tensor::new([f32::NAN], &device).unwrap();
    assert!(Discretization::new().num_bins(2).adapt(&nan).unwrap_err().is_invalid_argument());
    // One row of a sample of several dimensions is not what Keras makes either.
    let deep = Discretization::new().bin_boundaries([1.0]).output_mode("count");
    assert!(alone(deep, &x.expand_dims(-1).unwrap()).unwrap_err().is_shape_mismatch());
}

#[test]
fn categories_are_encoded() {
    for_each_device(|device| {
        let x = Tensor::new([[0, 1], [0, 0], [1, 2], [3, 1]], device)?;
        let encoded = |mode: &str, x: &Tensor| alone(CategoryEncoding::new(4).output_mode(mode), x);
        let hot =
            |list: &[usize]| list.iter().flat_map(|&at| (0..4).map(move |i| f32::from(i == at))).collect::<Vec<f32>>();
        let all = encoded("one_hot", &x)?;
        assert_eq!((all.dims(), all.to_vec::<f32>()?), (&[4, 2, 4][..], hot(&[0, 1, 0, 0, 1, 2, 3, 1])));
        let expected = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        assert_eq!(encoded("multi_hot", &x)?.to_vec::<f32>()?, expected);
        let mut counted = expected;
        counted[4] = 2.0;
        assert_eq!(encoded("count", &x)?.to_vec::<f32>()?, counted);
        let column = encoded("one_hot", &x.narrow(1, 0, 1)?)?;
        assert_eq!((column.dims(), column.to_vec::<f32>()?), (&[4, 4][..], hot(&[0, 0, 1, 3])));
        // Floats that are whole numbers.
        assert_eq!(encoded("count", &x.cast(DType::F32)?)?.to_vec::<f32>()?, counted);

        for bad in [4, -1] {
            let computed = Tensor::new([[bad, 0]], device)?.add(0)?;
            assert!(encoded("multi_hot", &computed).unwrap_err().is_out_of_range(), "{bad}");
        }
        assert!(alone(CategoryEncoding::new(4).output_mode("int"), &x).unwrap_err().is_invalid_argument());
        assert!(alone(CategoryEncoding::new(0), &x).unwrap_err().is_invalid_argument());
        Ok(())
    });
}

/// What Keras 3 wrote of a model with such layers.
const KERAS: &str = r#"{"module": "keras", "class_name": "Sequential", "config": {"name": "sequential", "trainable": true,
"layers": [{"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [null, 3, 4], "dtype": "float32",
"sparse": false, "ragged": false, "name": "input_layer", "optional": false}, "registered_name": null},
{"module": "keras.layers", "class_name": "Normalization", "config": {"name": "n", "trainable": true, "axis": [1, 2],
"invert": false, "mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 4.0, 9.0, 0.0]}, "registered_name": null,
"build_config": {"input_shape": [null, 3, 4]}}, {"module": "keras.layers", "class_name": "Rescaling", "config": {"name": "r",
"trainable": true, "scale": [1.0, 2.0, 3.0, 4.0], "offset": 0.5}, "registered_name": null}, {"module": "keras.layers",
"class_name": "Rescaling", "config": {"name": "r2", "trainable": true, "scale": {"class_name": "__numpy__",
"config": {"value": [1.0, 2.0, 3.0, 4.0], "dtype": "float64"}}, "offset": 0.0}, "registered_name": null},
{"module": "keras.layers", "class_name": "Discretization", "config": {"bin_boundaries": [0.0, 0.5, 1.2999999523162842],
"num_bins": 4, "epsilon": 0.01, "output_mode": "int", "sparse": false, "name": "d", "dtype": "float32"}},
{"module": "keras.layers", "class_name": "CategoryEncoding", "config": {"name": "c", "trainable": true,
"dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null},
"num_tokens": 4, "output_mode": "one_hot"}, "registered_name": null}]}, "registered_name": null}"#;

#[test]
fn configurations_of_keras_come_in_and_go_out() -> Result<()> {
    let config: Config = KERAS.parse()?;
    let mut model = Model::from_config(&config)?;
    let written = model.config()?;
    assert_eq!(Model::from_config(&written.to_string().parse()?)?.config()?, written);
    let (theirs, ours) = (config.to_json(), written.to_json());
    for (layer, own) in [(1, 1), (2, 2), (4, 4), (5, 5)] {
        let settings = ours["config"]["layers"][own]["config"].as_object().unwrap();
        for (key, value) in theirs["config"]["layers"][layer]["config"].as_object().unwrap() {
            if key != "dtype" {
                assert_eq!(settings.get(key), Some(value), "{key}");
            }
        }
    }
    // Keras's `Discretization` takes no `trainable`.
    assert!(ours["config"]["layers"][4]["config"].get("trainable").is_none());
    assert_eq!(ours["config"]["layers"][3]["config"]["scale"], serde_json::json!([1.0, 2.0, 3.0, 4.0]));
    let x = data(&Device::open("auto")?)?;
    let shape = model.call(&x, false)?;
    assert_eq!((shape.dims(), shape.sum(())?.item::<f32>()?), (&[2, 3, 4, 4][..], 24.0));
    // Keras's `axis=None`, and lists in lists.
    let whole = Normalization::from_config(&Config::new("Normalization").with("axis", serde_json::json!([])))?;
    assert_eq!(whole.config()?, Normalization::new().axis(None).config()?);
    let deep = Normalization::new().axis([1, 2]).mean([[1.0, 2.0], [3.0, 4.0]]).variance([[1.0; 2]; 2]);
    assert_eq!(deep.config()?.get("mean"), Some(&serde_json::json!([[1.0, 2.0], [3.0, 4.0]])));
    assert_eq!(Normalization::from_config(&deep.config()?)?.config()?, deep.config()?);
    let ragged = Config::new("Rescaling").with("scale", serde_json::json!([[1.0], [2.0, 3.0]]));
    assert!(Rescaling::from_config(&ragged).is_err());
    Ok(())
}

/// One image of 4 by 6 pixels.
const IMAGE: [f32; 24] = [
    0.0, 3.5, 7.0, 10.5, 2.5, 6.0, 9.5, 1.5, 5.0, 8.5, 0.5, 4.0, 7.5, 11.0, 3.0, 6.5, 10.0, 2.0, 5.5, 9.0, 1.0, 4.5,
    8.0, 0.0,
];

#[test]
fn images_are_brought_to_a_size() {
    for_each_device(|device| {
        let x = Tensor::from_slice(&IMAGE, [1, 4, 6, 1], device)?;
        close(&alone(Resizing::new(2, 3), &x)?, &[3.625, 7.75, 3.25, 8.25, 3.75, 5.0]);
        let expected = [
            1.979_166_7,
            5.791_666_5,
            8.166_667,
            4.791_666_7,
            7.9375,
            4.5625,
            6.9375,
            3.5625,
            6.708_333,
            3.333_333_3,
            5.708_333,
            2.333_333_3,
        ];
        close(&alone(Resizing::new(3, 4), &x)?, &expected);
        let expected = [
            0.35,
            4.55,
            8.75,
            4.9,
            5.65,
            3.332_142_8,
            3.835_714_3,
            8.035_714,
            4.185_714,
            4.935_714_3,
            8.103_572,
            2.692_857,
            6.892_857,
            3.042_857,
            3.792_857,
            8.275,
            5.575,
            5.75,
            5.925,
            3.225,
            7.707_143,
            8.457_143,
            4.607_143,
            8.807_143,
            2.657_142_9,
            6.564_286,
            7.314_286,
            3.464_285_7,
            7.664_286,
            1.514_285_7,
            5.85,
            6.6,
            2.75,
            6.95,
            0.8,
        ];
        close(&alone(Resizing::new(7, 5), &x)?, &expected);
        let nearest = Resizing::new(3, 4).interpolation("nearest");
        close(&alone(nearest, &x)?, &[0.0, 7.0, 10.5, 6.0, 7.5, 3.0, 6.5, 2.0, 5.5, 1.0, 4.5, 0.0]);
        let tall = alone(Resizing::new(7, 9).interpolation("nearest"), &x)?;
        assert_eq!(tall.narrow(1, 4, 1)?.to_vec::<f32>()?, [7.5, 11.0, 11.0, 3.0, 6.5, 6.5, 10.0, 2.0, 2.0]);
        let square = Resizing::new(3, 3).crop_to_aspect_ratio(true);
        close(&alone(square, &x)?, &[3.75, 8.416_667, 3.5, 5.875, 5.75, 5.625, 8.0, 3.083_333_3, 7.75]);

        close(&alone(CenterCrop::new(2, 3), &x)?, &[1.5, 5.0, 8.5, 11.0, 3.0, 6.5]);
        close(&alone(CenterCrop::new(3, 3), &x)?, &[3.5, 7.0, 10.5, 1.5, 5.0, 8.5, 11.0, 3.0, 6.5]);
        let expected = [
            3.5, 5.95, 8.75, 8.1, 2.5, 2.1, 4.55, 7.35, 6.7, 1.1, 6.25, 4.675, 5.75, 6.825, 5.25, 10.4, 4.8, 4.15,
            6.95, 9.4, 9.0, 3.4, 2.75, 5.55, 8.0,
        ];
        close(&alone(CenterCrop::new(5, 5), &x)?, &expected);

        // Within a model, trained.
        let mut model = Sequential::new()
            .add(RandomFlip::new().mode("horizontal"))
            .add(Resizing::new(3, 3))
            .add(Flatten::new())
            .add(Dense::new(1).kernel_initializer(Initializer::Constant(0.1)));
        model.compile("adam", "mse", ())?;
        let (many, y) = (Tensor::concat([&x, &x, &x], 0)?, Tensor::ones([3, 1], DType::F32, device)?);
        let history = model.fit(&many, &y, Fit::new().epochs(20).batch_size(2).verbose(0))?;
        assert!(history["loss"][19] < history["loss"][0]);
        assert!(alone(Resizing::new(2, 2), &x.squeeze(-1)?).unwrap_err().is_shape_mismatch());
        assert!(alone(Resizing::new(0, 2), &x).unwrap_err().is_invalid_argument());
        Ok(())
    });
}

#[test]
fn images_are_flipped_in_training_alone() {
    for_each_device(|device| {
        let one = Tensor::from_slice(&IMAGE, [1, 4, 6, 1], device)?;
        let x = Tensor::concat(vec![&one; 64], 0)?;
        for (mode, axes) in [("horizontal", &[2][..]), ("vertical", &[1]), ("horizontal_and_vertical", &[1, 2])] {
            let mut model = Sequential::new().add(RandomFlip::new().mode(mode).seed(4));
            assert_eq!(model.call(&x, false)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
            let (flipped, all) = (one.flip(axes)?.to_vec::<f32>()?, model.call(&x, true)?.to_vec::<f32>()?);
            let turned = all.chunks(24).filter(|image| *image == flipped).count();
            let same = all.chunks(24).filter(|image| *image == IMAGE).count();
            assert!(turned + same == 64 && (16..48).contains(&turned), "{mode}: {turned} of 64");
        }
        Ok(())
    });
}

#[test]
fn images_without_pixels_are_refused() {
    for_each_device(|device| {
        let x = Tensor::zeros([2, 0, 5, 3], wgtensor::DType::F32, device)?;
        let layers: [Sequential; 2] =
            [Sequential::new().add(Resizing::new(4, 4)), Sequential::new().add(CenterCrop::new(4, 4))];
        for mut model in layers {
            let error = model.predict(&x, Predict::new().verbose(0)).unwrap_err().to_string();
            assert!(error.contains("images without pixels"), "{error}");
        }
        Ok(())
    });
}
