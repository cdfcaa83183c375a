//! Tables in memory.

use super::Csv;
use super::columns::{Column, NO_WORD};
use crate::data::{Array, Dataset, Item};
use crate::error::{Error, Kind, Result, entry};

/// Rows that are put together at a time.
const BLOCK: usize = 32;

/// A table in memory, with named columns; [`Csv`] reads them.
///
/// ```
/// use wgtensor::data::Csv;
/// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
/// println!("{} rows of {}", table.rows(), table.names().join(", "));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Table {
    how: Csv,
    names: Vec<String>,
    columns: Vec<Column>,
    rows: usize,
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Column::Numbers { .. } => f.write_str("numbers"),
            Column::Text { words, .. } => write!(f, "text of {} words", words.len()),
        }
    }
}

/// A value that is missing where it is used.
pub(super) fn missing(column: &str, line: u64, fill: &str) -> Error {
    Error::parts(
        Kind::Argument,
        &format!("Column '{column}' has a missing value in line {line}"),
        "a missing value",
        "a value in every line",
        &format!("Replace missing values with `{fill}`, or leave the line out"),
    )
}

/// A name that stands for no class.
pub(super) fn unknown_class(column: &str, word: &str, classes: &[String]) -> Error {
    Error::parts(
        Kind::Argument,
        &format!("Column '{column}' names a class that is not among its `classes`"),
        &format!("'{word}'"),
        &format!("one of: {}", classes.join(", ")),
        "Give all classes, those of the training data included",
    )
}

/// A column that a table does not have.
pub(super) fn no_column(name: &str, names: &[String]) -> Error {
    Error::parts(
        Kind::Argument,
        &format!("The table has no column '{name}'"),
        &format!("'{name}'"),
        &format!("one of: {}", names.join(", ")),
        "Use a name of the header; without one, the columns are \"0\", \"1\", ...",
    )
}

impl Table {
    pub(super) fn new(how: Csv, names: Vec<String>, columns: Vec<Column>, rows: usize) -> Result<Self> {
        let table = Table { how, names, columns, rows };
        let named = table.how.labels.iter().chain(table.how.classes.iter().map(|(column, _)| column));
        named.map(|name| table.column(name)).collect::<Result<Vec<_>>>()?;
        Ok(table)
    }

    /// How many rows there are, without the header.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column is of numbers; text otherwise.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert!(table.is_numeric("a")? && !table.is_numeric("kind")?);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such column.
    #[track_caller]
    pub fn is_numeric(&self, column: &str) -> Result<bool> {
        Ok(matches!(self.column(column)?, Column::Numbers { .. }))
    }

    #[track_caller]
    fn column(&self, name: &str) -> Result<&Column> {
        let found = self.names.iter().position(|n| n == name);
        found.map(|i| &self.columns[i]).ok_or_else(|| no_column(name, &self.names))
    }

    /// The values of a column of numbers, and what stands for a missing one.
    #[track_caller]
    fn values(&self, name: &str) -> Result<(&[f64], f64)> {
        match (self.column(name)?, self.how.fill) {
            (Column::Numbers { missing: Some(line), .. }, None) => Err(missing(name, *line, "fill")),
            (Column::Numbers { values, .. }, fill) => Ok((values, fill.unwrap_or(f64::NAN))),
            (Column::Text { words, .. }, _) => Err(Error::parts(
                Kind::Argument,
                &format!("Column '{name}' was to be of numbers and is text"),
                &format!("'{}'", words.first().map_or("", String::as_str)),
                "numbers in every line",
                "Take it as `labels`, or name what stands for missing values with `na_values`",
            )),
        }
    }

    /// The words of a column of text, each once, and which one is in each row.
    #[track_caller]
    fn words(&self, name: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let (codes, words, absent) = match self.column(name)? {
            Column::Text { codes, words, missing } => (codes.clone(), words.clone(), *missing),
            // Numbers as they are written shortest.
            Column::Numbers { values, missing } => {
                // (A sum with 0 has no sign of its own where it is 0.)
                let mut sorted: Vec<f64> = values.iter().filter(|v| !v.is_nan()).map(|v| v + 0.0).collect();
                sorted.sort_by(f64::total_cmp);
                sorted.dedup();
                let code = |v: &f64| sorted.binary_search_by(|n| n.total_cmp(&(v + 0.0))).map_or(NO_WORD, |i| i as u32);
                (values.iter().map(code).collect(), sorted.iter().map(f64::to_string).collect(), *missing)
            }
        };
        let (mut codes, mut words) = (codes, words);
        if let Some(line) = absent {
            let Some(fill) = &self.how.fill_text else { return Err(missing(name, line, "fill_text")) };
            let at = words.iter().position(|word| word == fill).unwrap_or_else(|| {
                words.push(fill.clone());
                words.len() - 1
            });
            codes.iter_mut().filter(|code| **code == NO_WORD).for_each(|code| *code = at as u32);
        }
        Ok((codes, words))
    }

    /// Columns of numbers side by side, in the order given: an array of shape `(rows, columns)` in single precision.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.numbers(["a"])?.to_vec::<f32>()?, [1.0, 2.0]);
    /// assert!(table.numbers(["kind"]).is_err());
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such column, it is text, or it has a missing value and there is no [`fill`](Csv::fill).
    #[track_caller]
    pub fn numbers(&self, columns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Array> {
        let columns = columns.into_iter().map(|name| self.values(name.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut all = vec![0.0f32; self.rows * columns.len()];
        // Some rows at a time, so that what is written stays in the cache until its neighbours come.
        for (block, all) in all.chunks_mut((BLOCK * columns.len()).max(1)).enumerate() {
            for (i, (values, fill)) in columns.iter().enumerate() {
                for (to, value) in all[i..].iter_mut().step_by(columns.len()).zip(&values[block * BLOCK..]) {
                    *to = if value.is_nan() { *fill } else { *value } as f32;
                }
            }
        }
        Array::from_slice(&all, [self.rows, columns.len()])
    }

    /// A column of whole numbers as they are: an array of shape `(rows,)` of type `i32`.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.integers("a")?.to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`numbers`](Self::numbers), or a number that is not whole or that `i32` does not hold.
    #[track_caller]
    pub fn integers(&self, column: &str) -> Result<Array> {
        let (values, fill) = self.values(column)?;
        let whole = |&value: &f64| {
            let value = if value.is_nan() { fill } else { value };
            let whole = value as i32;
            if f64::from(whole) == value {
                return Ok(whole);
            }
            Err(Error::parts(
                Kind::Argument,
                &format!("Column '{column}' was to be of whole numbers"),
                &value.to_string(),
                "whole numbers from -2147483648 to 2147483647",
                "Take it as `numbers`",
            ))
        };
        Array::new(values.iter().map(whole).collect::<Result<Vec<i32>>>()?)
    }

    /// A column as class numbers, an array of shape `(rows,)` of type `i32`, and the names of the classes: those given with
    /// [`Csv::classes`], or all there are in the column, sorted.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// let (y, classes) = table.labels("kind")?;
    /// assert_eq!((y.to_vec::<i32>()?, classes), (vec![0, 1], vec!["no".to_string(), "yes".to_string()]));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such column, it names a class that is not among those given, or it has a missing value and there is no
    /// [`fill_text`](Csv::fill_text).
    #[track_caller]
    pub fn labels(&self, column: &str) -> Result<(Array, Vec<String>)> {
        let (codes, words) = self.words(column)?;
        let given = self.how.classes.iter().find(|(name, _)| name == column);
        let classes = given.map_or_else(
            || {
                let mut sorted = words.clone();
                // Numbers are in order.
                if !self.is_numeric(column).unwrap_or(false) {
                    sorted.sort();
                }
                sorted
            },
            |(_, classes)| classes.clone(),
        );
        let class = |word: &String| {
            let class = classes.iter().position(|class| class == word);
            class.map(|class| class as i32).ok_or_else(|| unknown_class(column, word, &classes))
        };
        let classes_of_words = words.iter().map(class).collect::<Result<Vec<i32>>>()?;
        let labels: Vec<i32> = codes.iter().map(|&code| classes_of_words[code as usize]).collect();
        Ok((Array::new(labels)?, classes))
    }

    /// The words of a column of text.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.text("kind")?, ["no", "yes"]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such column, or it has a missing value and there is no [`fill_text`](Csv::fill_text).
    #[track_caller]
    pub fn text(&self, column: &str) -> Result<Vec<String>> {
        let (codes, words) = self.words(column)?;
        Ok(codes.iter().map(|&code| words[code as usize].clone()).collect())
    }

    /// All columns that are no labels, as [`numbers`](Self::numbers).
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.features()?.to_vec::<f32>()?, [1.0, 2.0]); // all but the labels
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `numbers`.
    #[track_caller]
    pub fn features(&self) -> Result<Array> {
        self.numbers(self.names.iter().filter(|name| !self.how.labels.contains(name)))
    }

    /// The rows as elements: `x` are the [`features`](Self::features); `y` are the label columns, as class numbers for one
    /// column of text or with [`classes`](Csv::classes), and else as numbers.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["kind"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.dataset()?.batch(2).len(), Some(1));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `features`, [`labels`](Self::labels) and [`numbers`](Self::numbers).
    #[track_caller]
    pub fn dataset(&self) -> Result<Dataset> {
        entry(|| {
            let rows = Item::new(self.features()?)?;
            let classes = |name: &String| {
                Ok(!self.is_numeric(name)? || self.how.classes.iter().any(|(column, _)| column == name))
            };
            Dataset::from_tensor_slices(match &self.how.labels[..] {
                [] => rows,
                [one] if classes(one)? => rows.with_y(self.labels(one)?.0)?,
                [one] => rows.with_y(self.numbers([one])?.reshape(self.rows)?)?,
                several => rows.with_y(self.numbers(several)?)?,
            })
        })
    }
}
