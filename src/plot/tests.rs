use super::axis::{Axis, Scale};
use super::panel::{Kind, Panel, Series};
use super::{Chart, Roc, confusion_counts, confusion_matrix, learning_curves, roc_curve, view, weight_histograms};
use crate::nn::prelude::*;
use crate::{Device, Tensor, Var};

/// Numbers that are nowhere near random and the same everywhere.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let next = |state: &u64| Some(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    std::iter::successors(next(&seed), next).map(|state| state >> 40)
}

fn kinds() -> [Chart; 4] {
    [
        Chart::lines("speed").series("CPU", [(64usize, 2e-5), (4096, 1.9)]).series("GPU", [(64, 3e-4), (4096, 0.055)]),
        Chart::bars("seconds", ["small", "large"]).series("CPU", [1.5, 30.0]).series("GPU", [0.5, 2.0]),
        Chart::histogram("kernel").series("", (0..500).map(|i| (i as f32 * 0.7).sin())),
        Chart::heatmap("confusion", ["cat", "dog"]).series("cat", [50, 3]).series("dog", [4, 44]),
    ]
}

/// Draws a chart in every way, which must not fail; the text at 40 columns.
#[track_caller]
fn drawn(chart: &Chart) -> String {
    let svg = chart.to_svg();
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("\"inf") && !svg.contains("-inf"), "{svg}");
    assert_eq!(chart.to_png().unwrap()[..4], *b"\x89PNG");
    for columns in [0, 40, 80, 200] {
        let text = chart.to_text(columns, 12);
        assert!(text.lines().all(|line| line.chars().count() <= columns.max(20)), "{text}");
        assert!(!text.contains('\x1b'));
    }
    assert!(format!("{chart:#}").len() >= chart.to_string().len());
    chart.to_text(40, 12)
}

#[test]
fn every_kind_is_drawn_in_every_way() {
    let texts = kinds().map(|chart| drawn(&chart));
    assert!(texts[0].contains("● CPU   ○ GPU"));
    assert!(texts[1].contains("large CPU ██████"));
    assert!(texts[2].contains('┴') || texts[2].contains('┬'));
    assert!(texts[3].contains("dog    4  44"));
}

#[test]
fn the_text_of_lines_is_this() {
    let chart =
        Chart::lines("loss").series("loss", [(1, 1.0), (2, 0.5), (3, 0.25)]).series("val_loss", [(1, 1.0), (3, 0.75)]);
    let text = chart.x_label("epoch").to_text(40, 8);
    assert_eq!(text, include_str!("tests/lines.txt"), "{text}");
}

#[test]
fn colours_are_only_where_they_are_asked_for() {
    let chart = &kinds()[0];
    assert!(!chart.to_string().contains('\x1b'));
    let colored = format!("{chart:#}");
    assert!(colored.contains("\x1b[38;2;0;114;178m") && colored.contains("\x1b[38;2;213;94;0m"));
    assert!(colored.lines().all(|line| line.rfind("\x1b[38").is_none_or(|at| line[at..].contains("\x1b[0m"))));
}

#[test]
fn odd_numbers_break_nothing() {
    let odd: [&[f64]; 17] = [
        &[],
        &[1.0],
        &[0.0],
        &[3.0, 3.0, 3.0],
        &[-2.5, -2.5],
        &[f64::NAN],
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[1.0, f64::NAN, 2.0, f64::INFINITY, 3.0],
        &[f64::MIN, f64::MAX],
        &[1e300, -1e300, 0.0],
        &[1e-300, 2e-300],
        &[f64::MIN_POSITIVE, 5e-324, 0.0],
        &[1e-300, 1e300],
        &[1e9, 1e9 + 1e-6],
        &[123_456_789.0, 123_456_790.0],
        &[-1.0, 0.0, 1.0],
        &[0.0, -0.0],
    ];
    for values in odd {
        for x in odd {
            let points: Vec<(f64, f64)> = x.iter().copied().zip(values.iter().copied()).collect();
            let chart = Chart::lines("").series("odd", points).series("plain", [1, 2]);
            for chart in [chart.clone(), chart.clone().log_x(), chart.clone().log_y(), chart.log_x().log_y()] {
                chart.to_svg();
                chart.to_text(40, 10);
            }
        }
        let charts = [
            Chart::lines("lines").series("odd", values),
            Chart::bars("bars", ["a", "b", "c"]).series("odd", values).series("short", [1.0]),
            Chart::histogram("histogram").series("odd", values),
            Chart::histogram("two").series("odd", values).series("plain", [1.0, 2.0]).bins(0),
            Chart::heatmap("cells", ["a", "b", "c"]).series("odd", values).series("short", [1.0]),
        ];
        for chart in charts {
            drawn(&chart);
            drawn(&chart.log_x().log_y());
        }
    }
}

#[test]
fn charts_of_nothing_are_drawn() {
    let empty: [&str; 0] = [];
    let charts = [
        Chart::lines(""),
        Chart::bars("no categories", empty),
        Chart::bars("no series", ["a"]),
        Chart::histogram(""),
        Chart::heatmap("", empty).series("row", [1.0]),
        Chart::heatmap("no rows", ["a"]),
        Chart::grid("no panels", [], 0),
        Chart::grid("", [], 3).series("nowhere", [1.0]).log_x(),
        Chart::lines("").beside(Chart::grid("", [], 1)),
    ];
    for chart in charts {
        drawn(&chart);
    }
}

#[test]
fn names_are_shown_as_they_are() {
    let name = "<b> & \"q\" $\\alpha^2$ \\$ \u{1b}[31m \u{0} \n ' ﷽ 漢字 🦀";
    for chart in kinds() {
        let chart = chart.series(name, [1.0, 2.0]).x_label(name).y_label(name);
        let chart = Chart::grid(name, [chart, Chart::bars(name, [name, name]).series(name, [1, 2])], 1);
        let text = drawn(&chart);
        assert!(text.contains("$\\alpha") && !text.contains('\u{1b}'), "{text}");
        let svg = chart.to_svg();
        assert!(svg.contains("&lt;b&gt; &amp; ") && !svg.contains("<b>") && !svg.contains('α'));
    }
    let long = "long ".repeat(500);
    let chart = Chart::lines(&long).series(&long, [1, 2]).series("b", [2, 3]).x_label(&long).y_label(&long);
    drawn(&chart.beside(Chart::heatmap(&long, [&long, &long]).series(&long, [1, 2])));
}

#[test]
fn a_thousand_series_have_a_legend_of_a_few() {
    let chart = (0..1000).fold(Chart::lines("many"), |chart, k| chart.series(format!("series {k}"), [k, k + 1]));
    let text = drawn(&chart);
    assert!(text.contains("series 0") && text.contains("and 988 more") && text.lines().count() < 40);
    assert!(chart.to_svg().contains("and 987 more"));
    let panels = (0..300).map(|k| Chart::lines(k.to_string()).series("", [1.0, 2.0]));
    let figure = Chart::grid("many", panels, 4);
    assert_eq!(figure.to_svg().matches("translate(").count(), 300);
    assert!(figure.to_png().unwrap().len() > 1000);
}

#[test]
fn what_is_left_out_is_said() {
    let text = Chart::lines("").series("", [1.0, f64::NAN, 0.0, -1.0, f64::INFINITY]).log_y().to_text(80, 8);
    assert!(text.contains("left out: 2 not finite, 2 not above 0 on a logarithmic axis"), "{text}");
    let text = Chart::bars("", ["a"]).series("", [1.0, 2.0]).to_text(80, 8);
    assert!(text.contains("left out: 1 without a category"), "{text}");
    assert!(!kinds()[0].to_text(80, 8).contains("left out"));
}

/// The ticks of an axis with their distances from its start, in steps.
fn ticks(values: &[f64], scale: Scale, count: usize) -> Vec<String> {
    let axis = Axis::new(values.iter().copied(), scale, count);
    let ticks = axis.ticks();
    assert!(ticks.iter().all(|(place, _)| (axis.from - 1e-6..=axis.to + 1e-6).contains(place)));
    assert!(values.iter().all(|&value| !scale.has(value) || (axis.from..=axis.to).contains(&axis.at(value))));
    ticks.into_iter().map(|(_, label)| label).collect()
}

#[test]
fn ticks_are_round_numbers() {
    let plain = Scale::default();
    assert_eq!(ticks(&[0.12, 0.98], plain, 5), ["0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(ticks(&[-3.0, 4.0], plain, 4), ["-2", "0", "2", "4"]);
    assert_eq!(ticks(&[1e-7, 5e-7], plain, 4), ["1e-7", "2e-7", "3e-7", "4e-7", "5e-7"]);
    assert_eq!(ticks(&[0.0, 2_500_000.0], plain, 5), ["0", "5e5", "1.0e6", "1.5e6", "2.0e6", "2.5e6"]);
    assert_eq!(ticks(&[1000.0, 1000.2], plain, 2), ["1000.0", "1000.1", "1000.2"]);
    let epochs = Scale { whole: true, ..plain };
    assert_eq!(ticks(&[1.0], epochs, 8), ["1"]);
    assert_eq!(ticks(&[1.0, 2.0, 3.0], epochs, 8), ["1", "2", "3"]);
    assert_eq!(ticks(&[1.0, 50.0], epochs, 5), ["10", "20", "30", "40", "50"]);
    let log = Scale { log: true, ..plain };
    assert_eq!(ticks(&[64.0, 4096.0], log, 5), ["100", "1000"]);
    assert_eq!(ticks(&[2.0, 3.0], log, 5), ["1", "10"]);
    assert_eq!(ticks(&[1e-9, 1e9], log, 5), ["1e-8", "0.0001", "1", "10000", "1e8"]);
    let bars = Scale { from_zero: true, ..plain };
    assert_eq!(ticks(&[3.0, 7.0], bars, 4), ["0", "2", "4", "6"]);
    assert_eq!(ticks(&[-3.0], bars, 4), ["-3", "-2", "-1", "0"]);
    // Bars stand on a tick, wherever the smallest of them ends.
    let bars = Scale { log: true, from_zero: true, ..plain };
    for (values, first) in [([1.0, 1e6], "0.1"), ([1e-3, 1e5], "0.0001"), ([30.0, 50.0], "10")] {
        assert_eq!(ticks(&values, bars, 4)[0], first);
        assert_eq!(Axis::new(values.into_iter(), bars, 4).from.fract(), 0.0);
    }
}

#[test]
fn every_value_of_a_histogram_is_counted_once() {
    let values: Vec<f64> = (0..=100).map(|i| f64::from(i) / 10.0).collect();
    let mut panel = Panel::new(String::new(), Kind::Histogram(Some(10)));
    let points = values.iter().map(|&value| (0.0, value)).collect();
    panel.series.push(Series { name: String::new(), points, guide: false });
    // As NumPy counts: each range has its left end, and the last its right end too.
    assert_eq!(
        view::histogram(&panel, 10, (5, 5)).counts,
        [[10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 11.0]]
    );
    assert_eq!(view::histogram(&panel, 3, (5, 5)).counts[0].iter().sum::<f64>(), 101.0);
    // Rice's rule: twice the cube root of 101.
    panel.kind = Kind::Histogram(None);
    assert_eq!(view::histogram(&panel, 40, (5, 5)).counts[0].len(), 10);
}

#[test]
fn charts_are_saved_as_what_their_names_say() {
    let folder = std::env::temp_dir().join(format!("wgtensor-charts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [chart, ..] = kinds();
    chart.save(folder.join("a.SVG")).unwrap();
    assert!(std::fs::read_to_string(folder.join("a.SVG")).unwrap().contains("<svg"));
    chart.save(folder.join("a.png")).unwrap();
    assert_eq!(std::fs::read(folder.join("a.png")).unwrap()[1..4], *b"PNG");
    for name in ["a.pdf", "a", ".svg"] {
        let error = chart.save(folder.join(name)).unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains(".svg or .png"), "{error}");
        assert!(error.location().unwrap().file().ends_with("tests.rs"));
    }
    assert!(chart.save(folder.join("nowhere/a.svg")).unwrap_err().is_io());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn confusions_are_scikit_learn_s() {
    let mut numbers = numbers(11).map(|n| (n % 4) as i32);
    let actual: Vec<i32> = numbers.by_ref().take(200).collect();
    let predicted: Vec<i32> = numbers.take(200).collect();
    let expected = [[14, 15, 15, 4], [12, 11, 9, 12], [8, 7, 9, 17], [18, 22, 11, 16]];
    assert_eq!(confusion_counts(&actual, &predicted).unwrap(), expected);
    // As rows of logits, as floats, and with labels as rows too.
    let logits: Vec<[f32; 4]> =
        predicted.iter().map(|&p| std::array::from_fn(|c| if c as i32 == p { 2.5 } else { -1.0 })).collect();
    let hot: Vec<[u8; 4]> = actual.iter().map(|&a| std::array::from_fn(|c| u8::from(c as i32 == a))).collect();
    assert_eq!(confusion_counts(&hot, &logits).unwrap(), expected);
    let floats: Vec<f32> = predicted.iter().map(|&p| p as f32).collect();
    let floats = Tensor::from_slice(&floats, [200, 1], &Device::cpu()).unwrap();
    assert_eq!(confusion_counts(&actual, &floats).unwrap(), expected);
    // `labels=[0, 1, 2]` there; a class without samples keeps its row and column.
    assert_eq!(confusion_counts([0, 0, 2], [0, 2, 2]).unwrap(), [[1, 0, 1], [0, 0, 0], [0, 0, 1]]);
    let probabilities = [[0.1f32], [0.5], [0.51], [1.0]];
    assert_eq!(confusion_counts([0, 1, 0, 1], probabilities).unwrap(), [[1, 1], [1, 1]]);
    assert_eq!(confusion_counts([true, false], [true, true]).unwrap(), [[0, 1], [0, 1]]);
}

#[test]
fn a_confusion_matrix_has_its_counts_and_names() {
    let chart = confusion_matrix([0, 0, 1, 2], [0, 1, 1, 2], ["cat", "dog", "bird"]).unwrap();
    let svg = chart.to_svg();
    for text in [">cat<", ">bird<", ">true class<", ">predicted class<", ">1<", ">0<"] {
        assert!(svg.contains(text), "{text}");
    }
    drawn(&confusion_matrix([0, 1], [0.5f32, 0.7], [""; 0]).unwrap());
    drawn(&confusion_matrix((0..300).collect::<Vec<i32>>(), (0..300).collect::<Vec<i32>>(), [""; 0]).unwrap());
    drawn(&confusion_matrix([0, 0], [0, 0], ["only"]).unwrap());
}

#[test]
fn labels_and_predictions_that_do_not_fit_are_errors() {
    let none: [i32; 0] = [];
    let names = ["a", "b"];
    assert!(confusion_matrix([0, 1], [0, 1, 1], names).unwrap_err().is_shape_mismatch());
    assert!(confusion_matrix(none, none, names).unwrap_err().is_shape_mismatch());
    assert!(confusion_matrix([[[0]]], [0], names).unwrap_err().is_shape_mismatch());
    assert!(confusion_matrix([0, 2], [0, 1], names).unwrap_err().is_out_of_range());
    assert!(confusion_matrix([0, 1], [[0.1f32, 0.2, 0.7], [0.0, 0.1, 0.9]], names).unwrap_err().is_out_of_range());
    assert!(confusion_matrix([0, 1_000_000], [0, 1], [""; 0]).unwrap_err().is_out_of_range());
    for (labels, predictions) in
        [([-1, 0], [0.0f32, 1.0]), ([0, 1], [0.5, 1.5]), ([0, 1], [-0.5, 0.3]), ([0, 1], [0.1, f32::NAN])]
    {
        let error = confusion_matrix(labels, predictions, names).unwrap_err();
        assert!(error.is_invalid_argument() && error.location().unwrap().file().ends_with("tests.rs"), "{error}");
    }
    assert!(confusion_matrix([0.5, 1.0], [0, 1], names).unwrap_err().is_invalid_argument());
    assert!(Roc::new([0, 1], [0.1f32]).unwrap_err().is_shape_mismatch());
    assert!(Roc::new([0, 1], [[0.1f32, 0.9], [0.5, 0.5]]).unwrap_err().is_shape_mismatch());
    for error in [
        Roc::new([1, 1], [0.1f32, 0.2]).unwrap_err(),
        Roc::new([0, 2], [0.1f32, 0.2]).unwrap_err(),
        roc_curve([0, 1], [0.1f32, f32::NAN]).unwrap_err(),
    ] {
        assert!(error.is_invalid_argument() && error.location().unwrap().file().ends_with("tests.rs"), "{error}");
    }
    assert!(roc_curve([0, 2], [[0.1f32, 0.9], [0.5, 0.5]]).unwrap_err().is_out_of_range());
    assert!(roc_curve([0, 1, 1], [[0.1f32, 0.9], [0.5, 0.5]]).unwrap_err().is_shape_mismatch());
}

#[track_caller]
fn close(ours: &[f64], theirs: &[f64]) {
    assert!(
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a == b || (a - b).abs() < 1e-11),
        "{ours:?}"
    );
}

#[test]
fn curves_are_scikit_learn_s() {
    let mut numbers = numbers(7);
    let labels: Vec<i32> = numbers.by_ref().take(60).map(|n| (n % 2) as i32).collect();
    let scores: Vec<f64> = numbers.take(60).map(|n| (n % 17) as f64 / 16.0).collect();
    let roc = Roc::new(&labels, &scores).unwrap();
    close(
        &roc.fpr,
        &[
            0.0,
            0.114285714286,
            0.171428571429,
            0.285714285714,
            0.314285714286,
            0.371428571429,
            0.457142857143,
            0.485714285714,
            0.514285714286,
            0.657142857143,
            0.771428571429,
            0.771428571429,
            0.8,
            0.971428571429,
            1.0,
        ],
    );
    close(&roc.tpr, &[0.0, 0.0, 0.0, 0.08, 0.24, 0.48, 0.56, 0.56, 0.6, 0.64, 0.72, 0.76, 0.8, 0.88, 1.0]);
    close(
        &roc.thresholds,
        &[
            f64::INFINITY,
            1.0,
            0.9375,
            0.8125,
            0.75,
            0.6875,
            0.625,
            0.5625,
            0.5,
            0.4375,
            0.25,
            0.1875,
            0.125,
            0.0625,
            0.0,
        ],
    );
    close(&[roc.auc], &[0.4662857142857143]);
    let cases: [(&[i32], &[f64], &[f64], &[f64], &[f64], f64); 5] = [
        (&[0, 1], &[0.5, 0.5], &[0.0, 1.0], &[0.0, 1.0], &[0.5], 0.5),
        (&[0, 0, 1, 1], &[1.0, 1.0, 0.0, 0.0], &[0.0, 1.0, 1.0], &[0.0, 0.0, 1.0], &[1.0, 0.0], 0.0),
        (
            &[1, 0, 1, 0, 1],
            &[3.0, 3.0, 3.0, 2.0, 1.0],
            &[0.0, 0.5, 1.0, 1.0],
            &[0.0, 2.0 / 3.0, 2.0 / 3.0, 1.0],
            &[3.0, 2.0, 1.0],
            0.5,
        ),
        (&[0, 1, 0, 1], &[0.1, 0.9, 0.1, 0.9], &[0.0, 0.0, 1.0], &[0.0, 1.0, 1.0], &[0.9, 0.1], 1.0),
        (
            &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
            &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[0.0, 0.0, 0.0, 1.0],
            &[0.0, 0.2, 1.0, 1.0],
            &[9.0, 5.0, 0.0],
            1.0,
        ),
    ];
    for (labels, scores, fpr, tpr, thresholds, auc) in cases {
        let roc = Roc::new(labels, scores).unwrap();
        close(&roc.fpr, fpr);
        close(&roc.tpr, tpr);
        close(&roc.thresholds[1..], thresholds);
        close(&[roc.auc, roc.thresholds[0]], &[auc, f64::INFINITY]);
    }
    assert_eq!(Roc::new([0, 1, 1], [f64::NEG_INFINITY, f64::INFINITY, 0.0]).unwrap().auc, 1.0);
}

#[test]
fn several_classes_have_a_curve_each() {
    let scores = [[0.8f32, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]];
    let text = drawn(&roc_curve([0, 1, 0, 1], scores).unwrap());
    assert!(text.contains("class 0, AUC = 1.000") && text.contains("class 2, no samples to tell"), "{text}");
    assert!(text.contains("by chance"));
}

#[test]
fn learning_curves_have_a_panel_for_each_figure() {
    let mut history = History::default();
    for epoch in 0..4usize {
        let mut figures = vec![("accuracy".to_owned(), 0.5), ("loss".to_owned(), 1.0 / (epoch + 1) as f64)];
        if epoch % 2 == 1 {
            figures.push(("val_loss".to_owned(), 2.0));
            figures.push(("val_extra".to_owned(), f64::NAN));
        }
        history.push(epoch, &crate::nn::Logs::new(figures));
    }
    // A validation every other epoch has its points where it was.
    assert_eq!(history.points("val_loss").collect::<Vec<_>>(), [(1, 2.0), (3, 2.0)]);
    history.history[2].1.push(7.0);
    assert_eq!(history.points("val_loss").last(), Some((4, 7.0)));
    // Also where a figure was taken out.
    let mut fewer = history.clone();
    fewer.history.remove(0);
    assert_eq!(fewer.points("val_loss").next(), Some((1, 2.0)));
    let chart = learning_curves(&history);
    let text = drawn(&chart);
    let at = |word: &str| text.find(word).unwrap();
    assert!(at("loss") < at("accuracy") && at("accuracy") < at("val_extra"), "{text}");
    assert_eq!(chart.to_svg().matches("translate(").count(), 3);
    assert!(text.contains("● loss   ○ val_loss") && text.contains("epoch") && text.contains("left out: 2 not finite"));
    drawn(&learning_curves(&History::default()));
}

#[test]
fn weights_are_shown_whatever_they_are() {
    let device = Device::cpu();
    let mut model = Sequential::new().add(Dense::new(3).name("first")).add(Dense::new(2).name("second"));
    drawn(&weight_histograms(&model).unwrap());
    model.predict(Tensor::ones([1, 4], crate::DType::F32, &device).unwrap(), Predict::new().verbose(0)).unwrap();
    let weights: Vec<Var> = model.weights();
    weights[1].assign(&Tensor::new([1.0f32, f32::NAN, f32::INFINITY], &device).unwrap()).unwrap();
    let text = drawn(&weight_histograms(&model).unwrap());
    assert!(text.contains("first/kernel") && text.contains("first/bias") && text.contains("second/kernel"), "{text}");
    assert!(text.contains("left out: 2 not finite"), "{text}");
}
