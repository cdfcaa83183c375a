//! Pictures of models.

use super::*;
use crate::diagram::RankDir;
use crate::nn::model::{PlotModel, plot_model};

/// The arrows, by the titles of the boxes that they connect.
fn arrows(dot: &str) -> Vec<(String, String)> {
    let title = |id: &str| {
        let line = dot.lines().find(|line| line.trim().starts_with(&format!("{id} ["))).unwrap();
        line.split("<b>").nth(1).unwrap().split("</b>").next().unwrap().to_owned()
    };
    let arrow = |line: &str| {
        let (from, to) = line.trim().trim_end_matches(';').split_once(" -> ")?;
        Some((title(from), title(to)))
    };
    dot.lines().filter_map(arrow).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(from, to)| (from.to_owned(), to.to_owned())).collect()
}

#[test]
fn a_row_of_layers_has_no_input_and_shows_what_is_asked_for() {
    let mut model = Sequential::named("row")
        .add(Input::new([8]))
        .add(Dense::new(4).activation(Relu).name("hidden"))
        .add(BatchNormalization::new().name("norm"))
        .add(Dense::new(1).name("out"));
    let dot = plot_model(&mut model, PlotModel::new()).to_dot();
    assert_eq!(arrows(&dot), pairs(&[("Dense", "BatchNormalization"), ("BatchNormalization", "Dense")]));
    assert!(!dot.contains("hidden") && !dot.contains("shape:") && dot.contains("rankdir=TB"));
    let all = PlotModel::new().show_shapes(true).show_dtype(true).show_layer_names(true).show_layer_activations(true);
    let dot = plot_model(&mut model, all.show_trainable(true).rankdir(RankDir::LR)).to_dot();
    for text in [
        "hidden (Dense)",
        "Input shape: (None, 8)",
        "Output shape: (None, 4)",
        "dtype: f32",
        "Activation: relu",
        "Activation: linear",
        ">Trainable<",
        "rankdir=LR",
    ] {
        assert!(dot.contains(text), "{text} in {dot}");
    }
    model.get_layer("hidden").unwrap().set_trainable(false);
    let dot = plot_model(&mut model, PlotModel::new().show_trainable(true)).to_dot();
    assert_eq!((dot.matches(">Non-trainable<").count(), dot.matches(">Trainable<").count()), (1, 2));
}

#[test]
fn models_without_layers_or_shapes_are_pictures_too() {
    let mut empty = Sequential::new();
    assert_eq!(plot_model(&mut empty, PlotModel::new().show_shapes(true)).len(), 1);
    let mut unknown = Sequential::new().add(Dense::new(3));
    let dot = plot_model(&mut unknown, PlotModel::new().show_shapes(true)).to_dot();
    assert!(dot.contains("Input shape: ?") && dot.contains("Output shape: ?"), "{dot}");
}

#[test]
fn shared_layers_are_one_box() {
    let (a, b) = (Input::new([3]).name("a").node(), Input::new([3]).name("b").node());
    let hidden = Dense::new(4).name("hidden");
    let joined = concatenate([&hidden.on(&a).unwrap(), &hidden.on(&b).unwrap()]).unwrap();
    let mut model = Model::new([&a, &b], [&Dense::new(1).name("out").on(&joined).unwrap(), &joined]).unwrap();
    let options = PlotModel::new().show_layer_names(true).show_shapes(true);
    let dot = plot_model(&mut model, options).to_dot();
    let name = |class: &str| {
        let at = dot.find(&format!("({class})")).unwrap();
        dot[..at].rsplit("<b>").next().unwrap().trim().to_owned() + &format!(" ({class})")
    };
    let concatenate = name("Concatenate");
    let mut found = arrows(&dot);
    found.sort();
    let mut expected = pairs(&[
        ("a (InputLayer)", "hidden (Dense)"),
        ("b (InputLayer)", "hidden (Dense)"),
        ("hidden (Dense)", &concatenate),
        (&concatenate, "out (Dense)"),
    ]);
    expected.sort();
    assert_eq!(found, expected);
    assert!(dot.contains("Input shape: [(None, 4), (None, 4)]"), "{dot}");
}

#[test]
fn nested_models_are_boxes_or_frames() {
    let inner = Sequential::named("encoder")
        .add(Input::new([8]))
        .add(Dense::new(4).name("first"))
        .add(Dense::new(2).name("second"));
    let z = Input::new([2]).name("z").node();
    let decoder = Model::named("decoder", &z, Dense::new(8).name("wide").on(&z).unwrap()).unwrap();
    let x = Input::new([8]).name("x").node();
    let code = inner.on(&x).unwrap();
    let mut model = Model::new(&x, decoder.on(&code).unwrap()).unwrap();
    let named = PlotModel::new().show_layer_names(true);
    let dot = plot_model(&mut model, named).to_dot();
    let expected = [("x (InputLayer)", "encoder (Sequential)"), ("encoder (Sequential)", "decoder (Functional)")];
    assert_eq!(arrows(&dot), pairs(&expected));
    let dot = plot_model(&mut model, named.expand_nested(true)).to_dot();
    let mut found = arrows(&dot);
    found.sort();
    let mut expected = pairs(&[
        ("x (InputLayer)", "first (Dense)"),
        ("first (Dense)", "second (Dense)"),
        ("second (Dense)", "z (InputLayer)"),
        ("z (InputLayer)", "wide (Dense)"),
    ]);
    expected.sort();
    assert_eq!(found, expected);
    assert!(dot.contains("label=\"encoder\"") && dot.contains("label=\"decoder\""), "{dot}");
}
