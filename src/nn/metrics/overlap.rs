//! Intersection over union, from a table of confusion.

use super::{Figure, metric};
use crate::Tensor;
use crate::dtype::DType;
use crate::error::Result;
use crate::nn::config::positive;
use crate::nn::losses::align_weight;

/// The (weighted) number of elements for each pair of target and predicted class, `(classes * classes,)`; classes are
/// numbers, or the largest along an axis where they are not sparse.
fn table(
    (y_true, y_pred, sample_weight): (&Tensor, &Tensor, Option<&Tensor>),
    classes: usize,
    (sparse_true, sparse_pred): (bool, bool),
    axis: isize,
    ignored: Option<i32>,
) -> Result<Vec<Tensor>> {
    let numbers = |y: &Tensor, sparse: bool| match sparse {
        true => y.cast(DType::I32),
        false => y.argmax(axis),
    };
    let (actual, predicted) = (numbers(y_true, sparse_true)?, numbers(y_pred, sparse_pred)?);
    let flat = |y: &Tensor| y.reshape([y.numel()]);
    let mut rows = flat(&actual)?.one_hot(classes, -1, DType::F32)?;
    if let Some(weight) = sample_weight {
        let weight = align_weight(weight, &actual.cast(DType::F32)?)?.broadcast_to(actual.shape())?;
        rows = rows.mul(flat(&weight)?.expand_dims(-1)?)?;
    }
    if let Some(class) = ignored {
        rows = rows.mul(flat(&actual)?.ne(class)?.cast(DType::F32)?.expand_dims(-1)?)?;
    }
    let table = rows.swapaxes(0, 1)?.matmul(&flat(&predicted)?.one_hot(classes, -1, DType::F32)?)?;
    Ok(vec![table.reshape([classes * classes])?])
}

/// The mean over `wanted` classes (all, if none are named) of what target and prediction share over what either has;
/// classes that neither has do not count.
fn mean_overlap(table: &[f64], classes: usize, wanted: Option<&[usize]>) -> Figure {
    let all: Vec<usize> = (0..classes).collect();
    let overlap = |&c: &usize| {
        if c >= classes {
            return None;
        }
        let row: f64 = table[c * classes..(c + 1) * classes].iter().sum();
        let column: f64 = table.iter().skip(c).step_by(classes).sum();
        let both = table[c * classes + c];
        let union = row + column - both;
        (union > 0.0).then_some(both / union)
    };
    let overlaps: Vec<f64> = wanted.unwrap_or(&all).iter().filter_map(overlap).collect();
    (overlaps.iter().sum::<f64>() / overlaps.len().max(1) as f64).into()
}

metric! {
    /// Intersection over union of some classes: the mean of what target and prediction share over what either has.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{IoU, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([0, 1, 1, 2], &device)?;
    /// let y_pred = Tensor::new([0, 1, 2, 2], &device)?;
    /// let figure = IoU::new(3, [1]).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    IoU(
        /// How many classes there are.
        num_classes: usize where positive,
        /// The classes that count.
        target_class_ids: Vec<usize>,
    ) {
        /// Targets of this class do not count.
        ignore_class: Option<i32> = None,
        /// Whether targets are class numbers; else they have a number for each class.
        sparse_y_true: bool = true,
        /// Whether predictions are class numbers; else they have a number for each class.
        sparse_y_pred: bool = true,
        /// The axis of the classes, where they are not numbers.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let sparse = (self.sparse_y_true, self.sparse_y_pred);
        table((y_true, y_pred, sample_weight), self.num_classes, sparse, self.axis, self.ignore_class)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        mean_overlap(&totals[0], self.num_classes, Some(&self.target_class_ids))
    }

    metric!(@larger true);
}

metric! {
    /// Intersection over union, the mean over all classes.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{MeanIoU, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([0, 1, 1, 2], &device)?;
    /// let y_pred = Tensor::new([0, 1, 2, 2], &device)?;
    /// let figure = MeanIoU::new(3).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.6667)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    MeanIoU(
        /// How many classes there are.
        num_classes: usize where positive,
    ) {
        /// Targets of this class do not count.
        ignore_class: Option<i32> = None,
        /// Whether targets are class numbers; else they have a number for each class.
        sparse_y_true: bool = true,
        /// Whether predictions are class numbers; else they have a number for each class.
        sparse_y_pred: bool = true,
        /// The axis of the classes, where they are not numbers.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let sparse = (self.sparse_y_true, self.sparse_y_pred);
        table((y_true, y_pred, sample_weight), self.num_classes, sparse, self.axis, self.ignore_class)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        mean_overlap(&totals[0], self.num_classes, None)
    }

    metric!(@larger true);
}

metric! {
    /// Intersection over union of some classes, of one-hot targets and of predictions with a number for each class.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, OneHotIoU};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = OneHotIoU::new(3, [1]).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.5000)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    OneHotIoU(
        /// How many classes there are.
        num_classes: usize where positive,
        /// The classes that count.
        target_class_ids: Vec<usize>,
    ) {
        /// Targets of this class do not count.
        ignore_class: Option<i32> = None,
        /// Whether predictions are class numbers; else they have a number for each class.
        sparse_y_pred: bool = false,
        /// The axis of the classes.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let sparse = (false, self.sparse_y_pred);
        table((y_true, y_pred, sample_weight), self.num_classes, sparse, self.axis, self.ignore_class)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        mean_overlap(&totals[0], self.num_classes, Some(&self.target_class_ids))
    }

    metric!(@larger true);
}

metric! {
    /// Intersection over union, the mean over all classes, of one-hot targets and of predictions with a number for each
    /// class.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{Metric, OneHotMeanIoU};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[0.0f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &device)?;
    /// let y_pred = Tensor::new([[0.1f32, 0.8, 0.1], [0.3, 0.5, 0.2]], &device)?;
    /// let figure = OneHotMeanIoU::new(3).compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.2500)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    OneHotMeanIoU(
        /// How many classes there are.
        num_classes: usize where positive,
    ) {
        /// Targets of this class do not count.
        ignore_class: Option<i32> = None,
        /// Whether predictions are class numbers; else they have a number for each class.
        sparse_y_pred: bool = false,
        /// The axis of the classes.
        axis: isize = -1,
    }
    |self, y_true, y_pred, sample_weight| {
        let sparse = (false, self.sparse_y_pred);
        table((y_true, y_pred, sample_weight), self.num_classes, sparse, self.axis, self.ignore_class)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        mean_overlap(&totals[0], self.num_classes, None)
    }

    metric!(@larger true);
}

metric! {
    /// Intersection over union of the classes 0 and 1, of probabilities of the class 1.
    ///
    /// ```
    /// use wgtensor::nn::metrics::{BinaryIoU, Metric};
    /// # use wgtensor::{Device, Tensor};
    /// # let device = Device::cpu();
    /// let y_true = Tensor::new([[1.0f32], [0.0], [1.0], [0.0]], &device)?;
    /// let y_pred = Tensor::new([[0.9f32], [0.6], [0.3], [0.1]], &device)?;
    /// let figure = BinaryIoU::new().compute(&y_true, &y_pred, None)?;
    /// assert_eq!(format!("{figure:.4?}"), "One(0.3333)");
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    BinaryIoU {
        /// The classes that count.
        target_class_ids: Vec<usize> = vec![0, 1],
        /// From this on a prediction counts as 1.
        threshold: f64 = 0.5,
    }
    |self, y_true, y_pred, sample_weight| {
        let predicted = y_pred.ge(self.threshold)?.cast(DType::I32)?;
        table((y_true, &predicted, sample_weight), 2, (true, true), -1, None)
    }

    fn result(&self, totals: &[Vec<f64>], _: f64) -> Figure {
        mean_overlap(&totals[0], 2, Some(&self.target_class_ids))
    }

    metric!(@larger true);
}
