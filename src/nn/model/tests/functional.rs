//! Functional models: several inputs and outputs, shared layers, models within models, parts of models.

use super::*;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &cpu()).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.to_vec().unwrap()
}

fn ramp(shape: &[usize]) -> Tensor {
    let n = shape.iter().product::<usize>();
    tensor(&(0..n).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect::<Vec<_>>(), shape)
}

/// Two inputs, two outputs, one hidden layer that both inputs go through.
fn two_by_two() -> Model {
    let (a, b) = (Input::new([3]).name("a").node(), Input::new([3]).name("b").node());
    let hidden = Dense::new(4).activation(Relu).name("hidden");
    let joined = concatenate([&hidden.on(&a).unwrap(), &hidden.on(&b).unwrap()]).unwrap();
    let class = Dense::new(3).activation(Softmax).name("class").on(&joined).unwrap();
    let size = Dense::new(1).name("size").on(&joined).unwrap();
    let mut model = Model::named("two", [&a, &b], [&class, &size]).unwrap();
    model.seeds = Some(SeedStream::new(3));
    model
}

#[test]
fn a_shared_layer_has_one_set_of_weights() {
    let mut model = two_by_two();
    assert_eq!(model.count_params().unwrap(), 16 + 27 + 9);
    assert_eq!(model.layers().map(|layer| layer.name().to_owned()).collect::<Vec<_>>().len(), 4);
    let (a, b) = (ramp(&[5, 3]), ramp(&[5, 3]).mul(-1.0).unwrap());
    let outputs = model.call_all([&a, &b], false).unwrap();
    // By hand: the same kernel on both sides.
    let weights = model.get_weights().unwrap();
    let side = |x: &Tensor| x.matmul(&weights[0]).unwrap().add(&weights[1]).unwrap().relu().unwrap();
    let joined = Tensor::concat([&side(&a), &side(&b)], 1).unwrap();
    let size = joined.matmul(&weights[4]).unwrap().add(&weights[5]).unwrap();
    assert_eq!(outputs[0].dims(), [5, 3]);
    for (got, expected) in numbers(&outputs[1]).iter().zip(numbers(&size)) {
        assert!((got - expected).abs() < 1e-6);
    }
    let named = model.predict_all([("b", &b), ("a", &a)], 2).unwrap();
    assert_eq!(numbers(&named[1]), numbers(&outputs[1]));
}

#[test]
fn several_outputs_have_figures_of_their_own() {
    let (x, labels) = (ramp(&[12, 3]), Tensor::new([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], &cpu()).unwrap());
    let sizes = x.sum_keepdims(-1).unwrap();
    let mut model = two_by_two();
    let how = Compile::new(Adam::new(0.03), [("class", "sparse_categorical_crossentropy"), ("size", "mse")])
        .metrics([("class", "accuracy"), ("size", "mae")])
        .loss_weights([("size", 0.5), ("class", 2.0)]);
    model.compile_with(how).unwrap();
    let before = model.evaluate([&x, &x], [&labels, &sizes], Evaluate::new().verbose(0)).unwrap();
    assert_eq!(before.names(), ["loss", "class_loss", "size_loss", "class_accuracy", "size_mae"]);
    assert!((before["loss"] - 2.0 * before["class_loss"] - 0.5 * before["size_loss"]).abs() < 1e-5, "{before:?}");
    let history =
        model.fit([&x, &x], [("class", &labels), ("size", &sizes)], quiet().epochs(30).batch_size(5)).unwrap();
    let names: Vec<&str> = history.history.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["class_accuracy", "class_loss", "loss", "size_loss", "size_mae"]);
    assert!(history.last("loss").unwrap() < before["loss"] * 0.9, "{history:?}");
    // A model that judges one output only has one loss.
    model.compile("sgd", [("size", "mse")], [("size", ["mae", "mse"])]).unwrap();
    let logs = model.evaluate([&x, &x], [("size", &sizes)], Evaluate::new().verbose(0)).unwrap();
    assert_eq!(logs.names(), ["loss", "size_mae", "size_mse"]);
    assert!((logs["loss"] - logs["size_mse"]).abs() < 1e-6);
    // In the order of the outputs, of several types.
    model.compile("sgd", (SparseCategoricalCrossentropy::default(), "mae"), [["accuracy"], ["mse"]]).unwrap();
    let logs = model.test_on_batch([&x, &x], [&labels, &sizes], None).unwrap();
    assert_eq!(logs.names(), ["loss", "class_loss", "size_loss", "class_accuracy", "size_mse"]);
}

#[test]
fn what_does_not_fit_the_outputs_is_an_error() {
    let (x, y) = (ramp(&[4, 3]), ramp(&[4, 1]));
    let mut model = two_by_two();
    let text = |result: Result<()>| result.unwrap_err().to_string();
    assert!(text(model.compile("sgd", ["mse"], ())).contains("another number of losses than the model has outputs"));
    assert!(text(model.compile("sgd", [("sise", "mse")], ())).contains("an output that the model does not have"));
    assert!(text(model.compile("sgd", "mse", ["mae"])).contains("another number of metrics"));
    model.compile("sgd", "mse", ()).unwrap();
    let error = model.fit([&x, &x], [("size", &y)], quiet()).unwrap_err();
    assert!(error.to_string().contains("`y` has no targets for the output 'class'"), "{error}");
    assert!(model.fit(&x, &y, quiet()).unwrap_err().to_string().contains("`x` has another number of arrays"));
    assert!(model.fit([("a", &x), ("c", &x)], [&y, &y], quiet()).unwrap_err().is_invalid_argument());
    assert!(model.fit([("a", &x)], [&y, &y], quiet()).unwrap_err().to_string().contains("no array for 'b'"));
    let error = model.predict([&x, &x], ()).unwrap_err();
    assert!(error.to_string().contains("Use `predict_all`"), "{error}");
    let error = model.fit([&x, &x], [&y, &y], quiet().class_weight([(0, 2.0)])).unwrap_err();
    assert!(error.to_string().starts_with("`class_weight` is only supported for models of a single output"), "{error}");
}

#[test]
fn graphs_that_make_no_model_are_errors() {
    let (a, b) = (Input::new([3]).name("a").node(), Input::new([4]).name("b").node());
    let text = |error: crate::Error| error.to_string();
    let both = concatenate([&a, &b]).unwrap();
    assert_eq!(both.shape().dims(), [7]);
    assert!(text(Model::new(&a, &both).err().unwrap()).contains("outputs that depend on 'b'"));
    assert!(text(add([&a, &b]).err().unwrap()).starts_with("A `Add` layer requires inputs of compatible shapes"));
    let one = Dense::new(3).name("twin").on(&a).unwrap();
    let two = Dense::new(3).name("twin").on(&one).unwrap();
    assert!(text(Model::new(&a, &two).err().unwrap()).contains("'twin' twice"));
    assert!(text(Dense::new(3).on([&a, &b]).err().unwrap()).contains("another number of inputs than it takes"));
    assert!(text(Subtract::new().on(&a).err().unwrap()).contains("Received: 1 inputs. Expected: 2."));
    assert!(Model::new(Vec::new(), &a).is_err());
    assert!(Conv2D::new(4, 3).on(&a).err().unwrap().is_shape_mismatch());
    let mut empty = Sequential::new().add(Dense::new(2));
    assert!(empty.outputs().unwrap_err().is_invalid_state());
    assert!(empty.output_of("none").unwrap_err().is_invalid_state());
}

#[test]
fn a_model_in_a_model_has_the_same_weights() {
    let mut inner =
        Sequential::named("inner").add(Input::new([3])).add(Dense::new(4).activation(Tanh)).add(Dense::new(2));
    let (a, b) = (Input::new([3]).node(), Input::new([3]).node());
    let apart = subtract([&inner.on(&a).unwrap(), &inner.on(&b).unwrap()]).unwrap();
    let mut outer = Model::new([&a, &b], Dense::new(1).name("head").on(&apart).unwrap()).unwrap();
    assert_eq!(outer.count_params().unwrap(), 26 + 3);
    assert_eq!(inner.count_params().unwrap(), 26);
    let (x, z) = (ramp(&[6, 3]), ramp(&[6, 3]).square().unwrap());
    let before = numbers(&inner.predict_on_batch(&x).unwrap());
    outer.compile(SGD::new(0.5), "mse", ()).unwrap();
    outer.fit([&x, &z], tensor(&[1.0; 6], &[6, 1]), quiet().epochs(3)).unwrap();
    let after = numbers(&inner.predict_on_batch(&x).unwrap());
    assert_ne!(before, after);
    // By hand, with the inner model's own predictions.
    let (left, right) = (inner.predict_on_batch(&x).unwrap(), inner.predict_on_batch(&z).unwrap());
    let weights = outer.get_layer("head").unwrap().weights();
    let by_hand = left.sub(&right).unwrap().matmul(&weights[0].value()).unwrap().add(weights[1].value()).unwrap();
    for (got, expected) in numbers(&outer.predict_on_batch([&x, &z]).unwrap()).iter().zip(numbers(&by_hand)) {
        assert!((got - expected).abs() < 1e-5);
    }
    // Frozen as a whole, it stays, and so for itself.
    outer.set_trainable("inner", false).unwrap();
    assert_eq!(outer.trainable_weights().len(), 2);
    outer.fit([&x, &z], tensor(&[1.0; 6], &[6, 1]), quiet().epochs(3)).unwrap();
    assert_eq!(after, numbers(&inner.predict_on_batch(&x).unwrap()));
    let mut stacked = Sequential::new().add(inner).add(Dense::new(1));
    assert_eq!(stacked.call(&x, false).unwrap().dims(), [6, 1]);
}

#[test]
fn a_part_of_a_trained_model_is_a_model() {
    let x = ramp(&[20, 6]);
    let mut autoencoder =
        Sequential::new().add(Input::new([6])).add(Dense::new(2).name("code")).add(Dense::new(6).name("out"));
    autoencoder.compile("adam", "mse", ()).unwrap();
    autoencoder.fit(&x, &x, quiet().epochs(2)).unwrap();
    let (input, code, output) =
        (autoencoder.inputs().unwrap(), autoencoder.output_of("code").unwrap(), autoencoder.outputs().unwrap());
    let mut encoder = Model::new(input, &code).unwrap();
    let mut decoder = Model::new(&code, output).unwrap();
    assert!(encoder.is_built() && decoder.is_built());
    let codes = encoder.predict(&x, Predict::new().verbose(0)).unwrap();
    assert_eq!(codes.dims(), [20, 2]);
    let whole = numbers(&autoencoder.predict(&x, Predict::new().verbose(0)).unwrap());
    assert_eq!(numbers(&decoder.predict(&codes, Predict::new().verbose(0)).unwrap()), whole);
    // Data elsewhere moves the layers, for all models that have them.
    let other = Device::open_with("cpu", &DeviceOptions::default()).unwrap();
    let there = encoder.predict(x.to_device(&other).unwrap(), Predict::new().verbose(0)).unwrap();
    assert_eq!(numbers(&there), numbers(&codes));
    assert_eq!(autoencoder.device().as_ref(), Some(&other));
    autoencoder.fit(&x, &x, quiet()).unwrap();
    assert_ne!(numbers(&encoder.predict(&x, Predict::new().verbose(0)).unwrap()), numbers(&codes));
}

/// As in Keras, a last dimension of 1 is added or taken away, and data has the type that the input asks for.
#[test]
fn data_is_fitted_to_its_input() {
    let mut model = Sequential::new().add(Input::new([1])).add(Dense::new(2));
    assert_eq!(model.call(ramp(&[5]), false).unwrap().dims(), [5, 2]);
    assert_eq!(model.call(ramp(&[5, 1]), false).unwrap().dims(), [5, 2]);
    assert_eq!(model.predict(ramp(&[5, 1, 1]), Predict::new().verbose(0)).unwrap().dims(), [5, 2]);
    assert!(model.call(ramp(&[5, 2]), false).unwrap_err().is_shape_mismatch());
    let mut model = Sequential::new().add(Input::new([2]).dtype(DType::I32)).add(Flatten::new());
    assert_eq!(model.call(ramp(&[3, 2]), false).unwrap().dtype(), DType::I32);
    // Where the first data alone told the shape, sequences of other lengths are data too.
    let mut pooled = Sequential::new().add(Embedding::new(5, 3)).add(Dense::new(1));
    for length in [4, 7] {
        let tokens = Tensor::zeros([2, length], DType::I32, &cpu()).unwrap();
        assert_eq!(pooled.predict(&tokens, Predict::new().verbose(0)).unwrap().dims(), [2, length, 1]);
    }
}

#[test]
fn the_table_of_a_graph_says_what_is_connected() {
    let x = Input::new([13]).name("in").node();
    let h = Dense::new(16).activation(Relu).name("h").on(&x).unwrap();
    let outputs = [Dense::new(3).name("cls").on(&h).unwrap(), Dense::new(1).name("reg").on(&h).unwrap()];
    let mut model = Model::named("model", &x, outputs).unwrap();
    // What Keras prints at this width.
    let expected = r#"Model: "model"
┏━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)          ┃ Output Shape      ┃     Param # ┃ Connected to       ┃
┡━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩
│ in (InputLayer)       │ (None, 13)        │           0 │ -                  │
├───────────────────────┼───────────────────┼─────────────┼────────────────────┤
│ h (Dense)             │ (None, 16)        │         224 │ in[0][0]           │
├───────────────────────┼───────────────────┼─────────────┼────────────────────┤
│ cls (Dense)           │ (None, 3)         │          51 │ h[0][0]            │
├───────────────────────┼───────────────────┼─────────────┼────────────────────┤
│ reg (Dense)           │ (None, 1)         │          17 │ h[0][0]            │
└───────────────────────┴───────────────────┴─────────────┴────────────────────┘
 Total params: 292 (1.14 KB)
 Trainable params: 292 (1.14 KB)
 Non-trainable params: 0 (0.00 B)
"#;
    assert_eq!(model.summary_text(80), expected);
    let text = two_by_two().summary_text(90);
    assert!(
        text.contains("a[0][0], b[0][0]") && text.contains("hidden[0][0]") && text.contains("hidden[1][0]"),
        "{text}"
    );
}

/// A layer of two outputs that says what it saw of its mask.
struct Halves(std::sync::Arc<std::sync::Mutex<Vec<bool>>>);

impl Layer for Halves {
    fn class_name(&self) -> &'static str {
        "Halves"
    }
    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        Ok(self.call_all(std::slice::from_ref(x), ctx)?.swap_remove(0))
    }
    fn call_all(&self, inputs: &[Tensor], ctx: &CallCtx) -> Result<Vec<Tensor>> {
        self.0.lock().unwrap().push(ctx.mask().is_some());
        let half = inputs[0].dims()[inputs[0].rank() - 1] / 2;
        inputs[0].split(-1, &[half, half])
    }
    fn output_shapes(&self, inputs: &[crate::Shape]) -> Result<Vec<crate::Shape>> {
        let shape = inputs[0];
        Ok(vec![shape.with(shape.rank() - 1, shape[shape.rank() - 1] / 2); 2])
    }
}

#[test]
fn a_layer_may_have_several_outputs() {
    let x = Input::new([4]).node();
    let parts = Halves(Default::default()).name("halves").on_all(&x).unwrap();
    assert_eq!(parts.len(), 2);
    let mut model = Model::new(&x, subtract([&parts[1], &parts[0]]).unwrap()).unwrap();
    let y = model.call(tensor(&[1.0, 2.0, 5.0, 9.0], &[1, 4]), false).unwrap();
    assert_eq!(numbers(&y), [4.0, 7.0]);
    assert!(model.summary_text(100).contains("[(None, 2), (None, 2)]"), "{}", model.summary_text(100));
}

#[test]
fn masks_travel_until_a_layer_takes_them() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let probe = || Halves(seen.clone());
    let tokens = Input::new([3]).dtype(DType::I32).node();
    let embedded = Embedding::new(5, 4).mask_zero(true).on(&tokens).unwrap();
    let dense = Dense::new(4).on(Dropout::new(0.5).on(&embedded).unwrap()).unwrap();
    let flat = Flatten::new().on(&dense).unwrap();
    let outputs = [probe().on(&dense).unwrap(), probe().on(&flat).unwrap()];
    let mut model = Model::new(&tokens, outputs).unwrap();
    model.call_all(Tensor::new([[1, 2, 0]], &cpu()).unwrap(), false).unwrap();
    assert_eq!(*seen.lock().unwrap(), [true, false]);
}

/// The mask of an output leaves positions out of its loss, whatever stands there.
#[test]
fn masked_positions_cost_nothing() {
    let build = |mask: bool| {
        let mut model = Sequential::new()
            .add(Input::new([3]).dtype(DType::I32))
            .add(Embedding::new(5, 4).mask_zero(mask).embeddings_initializer("ones"))
            .add(Dense::new(1).kernel_initializer("ones"));
        model.compile("sgd", "mse", ()).unwrap();
        model
    };
    let x = Tensor::new([[1, 2, 0], [3, 0, 0]], &cpu()).unwrap();
    // Every output is 4.
    let y = tensor(&[3.0, 3.0, 100.0, 2.0, 100.0, 100.0], &[2, 3, 1]);
    let silent = || Evaluate::new().verbose(0);
    let loss = build(true).evaluate(&x, &y, silent()).unwrap()["loss"];
    assert!((loss - (1.0 + 1.0 + 4.0) / 3.0).abs() < 1e-5, "{loss}");
    assert!(build(false).evaluate(&x, &y, silent()).unwrap()["loss"] > 1000.0);
    let weight = tensor(&[0.0, 1.0], &[2]);
    let loss = build(true).evaluate(&x, &y, silent().sample_weight(&weight)).unwrap()["loss"];
    assert!((loss - 4.0 / 3.0).abs() < 1e-5, "{loss}");
}

#[test]
fn layers_that_merge_agree_with_operations() {
    let (a, b) = (tensor(&[1.0, -2.0, 3.0, 4.0], &[2, 2]), tensor(&[0.5, 6.0, -1.0, 2.0], &[2, 2]));
    let on = |make: &dyn Fn([&Node; 2]) -> Result<Node>| {
        let nodes = [Input::new([2]).node(), Input::new([2]).node()];
        let output = make([&nodes[0], &nodes[1]]).unwrap();
        let y = Model::new(nodes, output).unwrap().call([&a, &b], false).unwrap();
        numbers(&y)
    };
    assert_eq!(on(&|n| add(n)), [1.5, 4.0, 2.0, 6.0]);
    assert_eq!(on(&|n| subtract(n)), [0.5, -8.0, 4.0, 2.0]);
    assert_eq!(on(&|n| multiply(n)), [0.5, -12.0, -3.0, 8.0]);
    assert_eq!(on(&|n| average(n)), [0.75, 2.0, 1.0, 3.0]);
    assert_eq!(on(&|n| maximum(n)), [1.0, 6.0, 3.0, 4.0]);
    assert_eq!(on(&|n| minimum(n)), [0.5, -2.0, -1.0, 2.0]);
    assert_eq!(on(&|n| concatenate(n)), [1.0, -2.0, 0.5, 6.0, 3.0, 4.0, -1.0, 2.0]);
    assert_eq!(on(&|n| dot(n, 1)), [-11.5, 5.0]);
}

#[test]
fn callbacks_and_metrics_come_in_any_mixture() {
    let (x, y) = points(16);
    let stop = || EarlyStopping::new().monitor("loss");
    let boxed: Vec<Box<dyn Callback>> = vec![Box::new(stop()), Box::new(TerminateOnNaN)];
    let mut watched = stop();
    for how in [
        quiet().callbacks((stop(), TerminateOnNaN)),
        quiet().callbacks(boxed),
        quiet().callbacks([stop(), stop()]).callbacks(&mut watched),
        quiet().callbacks((TerminateOnNaN, vec![stop()], [TerminateOnNaN; 2], ())),
    ] {
        let mut model = classifier();
        let metrics: Vec<Box<dyn Metric>> = vec![Box::new(BinaryAccuracy::default()), Box::new(Recall::default())];
        model.compile("sgd", "bce", metrics).unwrap();
        assert_eq!(model.fit(&x, &y, how).unwrap().epoch.len(), 1);
    }
    let mut model = classifier();
    model.compile("sgd", "bce", ("mae", Precision::default(), Accuracy)).unwrap();
    assert_eq!(model.fit(&x, &y, quiet()).unwrap().history.len(), 4);
    let specs = vec!["mae".into_metric().unwrap(), Accuracy.into_metric().unwrap()];
    let boxed: Vec<Box<dyn Metric>> = vec![Box::new(Precision::default())];
    model.compile("sgd", "bce", (specs, (boxed, ["mse"]), (), Recall::default())).unwrap();
    let names = ["loss", "mae", "accuracy", "precision", "mse", "recall"];
    let figures = model.fit(&x, &y, quiet()).unwrap();
    assert!(names.iter().all(|name| figures.get(name).is_some()) && figures.history.len() == names.len());
}

/// `fit` takes what `evaluate` and `predict` take: a batch size, or nothing.
#[test]
fn runs_are_told_how_in_one_way() {
    let (x, y) = points(8);
    let mut model = classifier();
    assert_eq!(model.fit(&x, &y, ()).unwrap().epoch, [0]);
    assert_eq!(model.fit(&x, &y, 4).unwrap().params.steps, 2);
    assert!(model.fit(&x, &y, 0).is_err());
    assert_eq!(model.predict(&x, 3).unwrap().dims(), [8, 1]);
    model.evaluate(&x, &y, 3).unwrap();
}

/// Written as text, read, and written again.
fn again(model: &Model) -> Model {
    let config = model.config().unwrap();
    let read = Model::from_config(&config.to_string().parse().unwrap()).unwrap();
    assert_eq!(read.config().unwrap(), config);
    assert_eq!((read.name(), read.output_names()), (model.name(), model.output_names()));
    read
}

/// Shared layers, several inputs and outputs, a model within a model, a frozen layer: all of it is in the configuration, and
/// the weights of the one are those of the other, in their order.
#[test]
fn a_configuration_makes_the_same_model() {
    let mut plain = two_by_two();
    let inner =
        Sequential::named("inner").add(Input::new([3])).add(Dense::new(2).activation(Tanh)).add(Dropout::new(0.1));
    let (a, b) = (Input::new([3]).name("a").node(), Input::new([3]).name("b").node());
    let halves = add([&inner.on(&a).unwrap(), &inner.on(&b).unwrap()]).unwrap();
    let image = Reshape::new([1, 2, 1]).on(&halves).unwrap();
    let image = Conv2D::new(2, (1, 2)).padding("same").name("conv").on(&image).unwrap();
    let image = Flatten::new().on(BatchNormalization::new().momentum(0.5).on(image).unwrap()).unwrap();
    let mut nested = Model::new([&a, &b], Dense::new(1).on(image).unwrap()).unwrap();
    nested.set_trainable("conv", false).unwrap();
    let (x, z) = (ramp(&[4, 3]), ramp(&[4, 3]).square().unwrap());
    for model in [&mut plain, &mut nested] {
        let mut read = again(model);
        let expected = model.call_all([&x, &z], false).unwrap();
        read.call_all([&x, &z], false).unwrap();
        assert_eq!(read.trainable_weights().len(), model.trainable_weights().len());
        read.set_weights(&model.get_weights().unwrap()).unwrap();
        for (got, expected) in read.call_all([&x, &z], false).unwrap().iter().zip(&expected) {
            assert_eq!(numbers(got), numbers(expected));
        }
        assert_eq!(read.summary_text(100), model.summary_text(100));
    }
    let mut row = classifier();
    let mut read = again(&row);
    row.build([2]).unwrap();
    read.build([2]).unwrap();
    assert_eq!(read.summary_text(80), row.summary_text(80));
}

#[test]
fn configurations_that_make_no_model_are_errors() {
    let own = Halves(Default::default()).name("own");
    let x = Input::new([4]).name("x").node();
    let model = Model::named("m", &x, own.on(&x).unwrap()).unwrap();
    assert!(model.config().unwrap_err().to_string().contains("has no configuration"));
    let good = Model::named("m", &x, Dense::new(2).name("d").on(&x).unwrap()).unwrap().config().unwrap().to_string();
    for (from, to, says) in [
        ("\"Dense\"", "\"Dance\"", "Dance"),
        ("\"units\"", "\"unit\"", "unit"),
        ("[\"x\",0,0]", "[\"y\",0,0]", "'d' called on tensors that no layer gives"),
        ("\"input_layers\"", "\"inputs\"", "no list `input_layers`"),
        ("[null,4]", "[null,null]", "an extent that is not known"),
    ] {
        assert!(good.contains(from), "{good}");
        let error = Model::from_config(&good.replace(from, to).parse().unwrap()).err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
}
