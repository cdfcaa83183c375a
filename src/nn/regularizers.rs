//! Regularizers: penalties of weights, to be added to a loss.

use crate::Tensor;
use crate::error::{Error, Kind, Result, entry};
use crate::nn::config::{Class, Config, by_name, choices, classes, declare, declared, from_config, nonnegative};

/// A penalty of a weight.
///
/// ```
/// use wgtensor::nn::regularizers::{L2, Regularizer};
/// use wgtensor::{Device, Tensor};
///
/// let w = Tensor::new([1.0f32, -2.0], &Device::cpu())?;
/// assert_eq!(L2::default().l2(0.5).penalty(&w)?.item::<f32>()?, 2.5);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub trait Regularizer: Send + Sync {
    /// The name of its type.
    fn class_name(&self) -> &'static str;

    /// Its class and settings, from which [`from_config`](trait.Regularizer.html#method.from_config) makes it again.
    ///
    /// # Errors
    /// Settings that make no sense.
    fn config(&self) -> Result<Config>;

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// A setting out of its range.
    fn check(&self) -> Result<()>;

    /// The penalty, a scalar.
    ///
    /// # Errors
    /// A weight that is not floating-point, or whose shape has no such penalty.
    fn penalty(&self, weight: &Tensor) -> Result<Tensor>;
}

impl dyn Regularizer {
    /// The regularizer of a configuration.
    ///
    /// # Errors
    /// A class that is no standard regularizer, or a setting that it does not have or that makes no sense.
    #[track_caller]
    pub fn from_config(config: &Config) -> Result<Box<dyn Regularizer>> {
        from_config(CLASSES, "regularizer", config)
    }

    /// The regularizer that a string names (`"l1"`, `"l2"`, `"l1_l2"`, ...), with Keras's defaults.
    ///
    /// # Errors
    /// A name that is not known.
    #[track_caller]
    pub fn from_name(name: &str) -> Result<Box<dyn Regularizer>> {
        entry(|| by_name(CLASSES, "regularizer", name))
    }
}

const CLASSES: &[Class<dyn Regularizer>] = classes! { dyn Regularizer:
    L1, L2, L1L2 "l1_l2", OrthogonalRegularizer,
};

declare! {
    /// `l1 * sum(|w|)`.
    ///
    /// ```
    /// use wgtensor::nn::regularizers::{L1, Regularizer};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([1.0f32, -2.0], &Device::cpu())?;
    /// assert_eq!(L1::new().l1(0.5).penalty(&w)?.item::<f32>()?, 1.5);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct L1 {
        /// What the sum is multiplied by.
        l1: f64 where nonnegative = 0.01,
    }
}

impl Regularizer for L1 {
    declared!("keras.regularizers");

    fn penalty(&self, weight: &Tensor) -> Result<Tensor> {
        weight.abs()?.sum(())?.mul(self.l1)
    }
}

declare! {
    /// `l2 * sum(w^2)`.
    ///
    /// ```
    /// use wgtensor::nn::regularizers::{L2, Regularizer};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([1.0f32, -2.0], &Device::cpu())?;
    /// assert_eq!(L2::new().l2(0.5).penalty(&w)?.item::<f32>()?, 2.5);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct L2 {
        /// What the sum is multiplied by.
        l2: f64 where nonnegative = 0.01,
    }
}

impl Regularizer for L2 {
    declared!("keras.regularizers");

    fn penalty(&self, weight: &Tensor) -> Result<Tensor> {
        weight.square()?.sum(())?.mul(self.l2)
    }
}

declare! {
    /// `l1 * sum(|w|) + l2 * sum(w^2)`.
    ///
    /// ```
    /// use wgtensor::nn::regularizers::{L1L2, Regularizer};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([1.0f32, -2.0], &Device::cpu())?;
    /// assert_eq!(L1L2::new().l1(0.5).l2(0.5).penalty(&w)?.item::<f32>()?, 4.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct L1L2 {
        /// What the sum of magnitudes is multiplied by.
        l1: f64 where nonnegative = 0.0,
        /// What the sum of squares is multiplied by.
        l2: f64 where nonnegative = 0.0,
    }
}

impl Regularizer for L1L2 {
    declared!("keras.regularizers");

    fn penalty(&self, weight: &Tensor) -> Result<Tensor> {
        let squares = weight.square()?.sum(())?.mul(self.l2)?;
        weight.abs()?.sum(())?.mul(self.l1)?.add(squares)
    }
}

/// Which vectors of a matrix are meant.
///
/// ```
/// use wgtensor::nn::regularizers::{OrthogonalRegularizer, Regularizer, RowsOrColumns};
///
/// let columns = OrthogonalRegularizer::new().mode(RowsOrColumns::Columns);
/// assert_eq!(columns.config()?, OrthogonalRegularizer::new().mode("columns").config()?);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOrColumns {
    /// Its rows.
    Rows,
    /// Its columns.
    Columns,
}

choices! { RowsOrColumns, "mode", "\"rows\" or \"columns\"":
    "rows" => RowsOrColumns::Rows,
    "columns" => RowsOrColumns::Columns,
}

declare! {
    /// `factor / 2` times the sum of `|cos|` of the angles between different rows (or columns) of a matrix, each pair twice,
    /// over the number of pairs.
    ///
    /// ```
    /// use wgtensor::nn::regularizers::{OrthogonalRegularizer, Regularizer};
    /// # use wgtensor::{Device, Tensor};
    /// let w = Tensor::new([[1.0f32, 0.0], [0.0, 2.0]], &Device::cpu())?;
    /// assert_eq!(OrthogonalRegularizer::new().penalty(&w)?.item::<f32>()?, 0.0);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct OrthogonalRegularizer {
        /// What it is multiplied by.
        factor: f64 where nonnegative = 0.01,
        /// Whether rows or columns are to be orthogonal.
        mode: RowsOrColumns = RowsOrColumns::Rows,
    }
}

impl Regularizer for OrthogonalRegularizer {
    declared!("keras.regularizers");

    fn penalty(&self, weight: &Tensor) -> Result<Tensor> {
        let [rows, columns] = *weight.dims() else {
            return Err(Error::parts(
                Kind::Shape,
                "An orthogonal regularizer was given something that is no matrix",
                &format!("shape {}", weight.shape()),
                "two dimensions",
                "Reshape the weight",
            ));
        };
        let (unit, size) = match self.mode {
            RowsOrColumns::Rows => (weight.normalize(1, 2)?, rows),
            RowsOrColumns::Columns => (weight.normalize(0, 2)?.t()?, columns),
        };
        let others = Tensor::eye(size, size, weight.dtype(), weight.device())?.neg()?.add(1.0)?;
        let sum = unit.matmul(&unit.t()?)?.mul(others)?.abs()?.sum(())?;
        sum.mul(self.factor / (size as f64 * (size as f64 - 1.0)))
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::{Device, grad};

    #[test]
    fn penalties_and_their_slopes() -> Result<()> {
        let w = Tensor::new([[1.0, -2.0], [0.5, 3.0]], &Device::cpu())?.requires_grad();
        let (mut both, squares) = (L1L2::default().l1(0.1).l2(0.2), 1.0 + 4.0 + 0.25 + 9.0);
        assert!((both.penalty(&w)?.item::<f64>()? - (0.65 + 0.2 * squares)).abs() < 1e-12);
        let slope = grad(&both.penalty(&w)?, &[&w])?[0].to_vec::<f64>()?;
        assert!(slope.iter().zip([0.5, -0.9, 0.3, 1.3]).all(|(got, want)| (got - want).abs() < 1e-12), "{slope:?}");
        both = both.l2(0.0);
        assert_eq!(both.penalty(&w)?.item::<f64>()?, L1::default().l1(0.1).penalty(&w)?.item::<f64>()?);
        // Two rows, one angle; Keras divides the sum over both orders by the one pair and by two.
        let cos: f64 = (0.5 - 6.0) / (5f64.sqrt() * 9.25f64.sqrt());
        let rows = OrthogonalRegularizer::default().factor(0.3).penalty(&w)?.item::<f64>()?;
        assert!((rows - 0.3 * cos.abs()).abs() < 1e-7, "{rows}");
        assert!(OrthogonalRegularizer::new().penalty(&w.sum(0)?).unwrap_err().is_shape_mismatch());
        Ok(())
    }

    #[test]
    fn names_and_configurations() -> Result<()> {
        for (name, class) in
            [("l1", "L1"), ("L2", "L2"), ("l1_l2", "L1L2"), ("orthogonal_regularizer", "OrthogonalRegularizer")]
        {
            let made = <dyn Regularizer>::from_name(name)?;
            assert_eq!(made.class_name(), class);
            assert_eq!(<dyn Regularizer>::from_config(&made.config()?)?.config()?, made.config()?);
        }
        assert!(<dyn Regularizer>::from_name("l3").is_err());
        assert!(<dyn Regularizer>::from_config(&Config::new("L1").with("l1", -1.0)).is_err());
        Ok(())
    }
}
