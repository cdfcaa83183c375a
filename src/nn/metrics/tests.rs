use super::*;

#[test]
fn accuracy_is_resolved_by_shapes() {
    let resolved = |target: &[usize], output: &[usize]| {
        let (name, metric) = "accuracy".into_metric().unwrap().resolve(target, output);
        assert_eq!(name, "accuracy");
        metric.name()
    };
    assert_eq!(resolved(&[8], &[8, 1]), "binary_accuracy");
    assert_eq!(resolved(&[8, 1], &[8, 1]), "binary_accuracy");
    assert_eq!(resolved(&[8], &[8, 10]), "sparse_categorical_accuracy");
    assert_eq!(resolved(&[8, 1], &[8, 10]), "sparse_categorical_accuracy");
    assert_eq!(resolved(&[8, 10], &[8, 10]), "categorical_accuracy");
}

/// Of four samples the third has a NaN as its target, the fourth as its prediction: two are right.
#[test]
fn a_nan_is_never_right() {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &crate::Device::cpu()).unwrap();
    let nan = f32::NAN;
    let predicted = tensor(&[0.9, 0.1, 0.2, 0.8, 0.9, 0.1, nan, nan], &[4, 2]);
    let half = tensor(&[0.9, 0.1, 0.2, 0.8, 0.9, 0.1, nan, 0.0], &[4, 2]);
    let one_hot = tensor(&[1.0, 0.0, 0.0, 1.0, nan, nan, 1.0, 0.0], &[4, 2]);
    let numbers = tensor(&[0.0, 1.0, nan, 0.0], &[4]);
    let (target, probability) = (tensor(&[1.0, 0.0, nan, 0.0], &[4, 1]), tensor(&[0.9, 0.1, 0.1, nan], &[4, 1]));
    let cases: [(Box<dyn Metric>, &Tensor, &Tensor); 8] = [
        (Box::new(BinaryAccuracy::default()), &target, &probability),
        (Box::new(CategoricalAccuracy::new()), &one_hot, &predicted),
        (Box::new(CategoricalAccuracy::new()), &one_hot, &half),
        (Box::new(SparseCategoricalAccuracy::new()), &numbers, &predicted),
        (Box::new(SparseCategoricalAccuracy::new()), &numbers, &half),
        (Box::new(TopKCategoricalAccuracy::new().k(1)), &one_hot, &predicted),
        (Box::new(SparseTopKCategoricalAccuracy::new().k(1)), &numbers, &predicted),
        (Box::new(SparseTopKCategoricalAccuracy::new().k(2)), &numbers, &half),
    ];
    for (metric, y_true, y_pred) in cases {
        let sums = metric.sums(y_true, y_pred, None).unwrap();
        assert_eq!(sums[0].to_f64_vec().unwrap(), [2.0], "{}", metric.name());
    }
}

#[test]
fn strings_name_metrics() {
    let MetricSpec::Metric(Some(name), metric) = "mae".into_metric().unwrap() else { panic!() };
    assert_eq!((name.as_str(), metric.name().as_str()), ("mae", "mean_absolute_error"));
    // Keras's metric of this name is the cosine itself, not the loss.
    let MetricSpec::Metric(_, cosine) = "cosine_similarity".into_metric().unwrap() else { panic!() };
    assert_eq!((cosine.result(&[vec![-3.0]], 4.0), cosine.larger_is_better()), (Figure::One(0.75), Some(true)));
    for name in ["dice", "huber", "binary_focal_crossentropy"] {
        assert!(name.into_metric().err().unwrap().is_invalid_argument(), "{name} is a loss and no metric");
    }
    let error = "acuracy".into_metric().err().unwrap();
    assert!(error.to_string().starts_with("Could not interpret metric identifier: acuracy"));
}

#[test]
fn one_many_or_no_metrics() {
    let count = |metrics: Result<Vec<MetricSpec>>| metrics.unwrap().len();
    assert_eq!(count("mae".into_metrics()), 1);
    assert_eq!(count(Accuracy.into_metrics()), 1);
    assert_eq!(count(().into_metrics()), 0);
    assert_eq!(count(["mae", "accuracy"].into_metrics()), 2);
    let boxed: Box<dyn Metric> = Box::new(CategoricalAccuracy::new());
    assert_eq!(count((Accuracy, "mae", Recall::default(), boxed, "crossentropy").into_metrics()), 5);
}

#[test]
fn a_loss_of_the_whole_batch_counts_once() {
    let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &crate::Device::cpu()).unwrap();
    let (y_true, y_pred) = (tensor(&[1.0, 0.0, 1.0, 1.0]), tensor(&[0.5, 0.5, 1.0, 0.0]));
    let metric = MeanMetricWrapper::of(losses::Dice::default());
    for weight in [None, Some(tensor(&[1.0, 2.0, 1.0, 2.0]))] {
        let sums = metric.sums(&y_true, &y_pred, weight.as_ref()).unwrap();
        let totals: Vec<Vec<f64>> = sums.iter().map(|sum| sum.to_f64_vec().unwrap()).collect();
        let Figure::One(mean) = metric.result(&totals, 4.0) else { panic!() };
        assert!((mean - 0.4).abs() < 1e-6, "{totals:?}");
    }
}

#[test]
fn means_of_totals() {
    let metric = CategoricalAccuracy::new();
    assert_eq!(metric.result(&[vec![3.0]], 4.0), Figure::One(0.75));
    assert_eq!(metric.result(&[vec![3.0], vec![2.0]], 4.0), Figure::One(1.5));
    assert_eq!(metric.result(&[vec![0.0]], 0.0), Figure::One(0.0));
}

/// The figure of one batch.
fn figure(metric: &dyn Metric, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Figure {
    let sums = metric.sums(y_true, y_pred, weight).unwrap();
    let totals: Vec<Vec<f64>> = sums.iter().map(|sum| sum.to_f64_vec().unwrap()).collect();
    metric.result(&totals, y_pred.dims()[0] as f64)
}

#[test]
fn a_list_of_thresholds_gives_a_list_of_figures_in_its_order() {
    let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &crate::Device::cpu()).unwrap();
    let (y_true, y_pred) = (tensor(&[1.0, 0.0, 1.0, 1.0]), tensor(&[0.9, 0.6, 0.4, 0.2]));
    let precision = |of: Precision| figure(&of, &y_true, &y_pred, None);
    assert_eq!(precision(Precision::default()), Figure::One(0.5));
    assert_eq!(precision(Precision::default().thresholds(0.5)), Figure::One(0.5));
    assert_eq!(precision(Precision::default().thresholds([0.5])), Figure::Many(vec![0.5]));
    assert_eq!(precision(Precision::default().thresholds([0.8, 0.1, 0.95])), Figure::Many(vec![1.0, 0.75, 0.0]));
    let recall = Recall::from_config(&Config::new("Recall").with("thresholds", vec![0.1, 0.5])).unwrap();
    let third = f64::from(1.0f32) / 3.0;
    assert_eq!(figure(&recall, &y_true, &y_pred, None), Figure::Many(vec![1.0, third]));
    let error = figure_error(Precision::default().thresholds([0.5, 1.5]));
    assert!(error.contains("thresholds=[0.5,1.5]") && error.contains("from 0 to 1"), "{error}");
}

fn figure_error(metric: impl Metric) -> String {
    let error = metric.check().unwrap_err();
    assert!(error.location().is_some_and(|at| at.file().ends_with("tests.rs")), "{error}");
    error.to_string()
}
