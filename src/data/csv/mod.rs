//! Tables in text files.

mod columns;
mod fields;
mod records;
mod stream;
mod table;

use std::io::{Cursor, Read};
use std::path::Path;

pub use self::table::Table;

use self::columns::Columns;
use super::Dataset;
use crate::error::{Result, entry};
use crate::files::{in_file, open};
use crate::loading::{Counted, Loading, Unit};

/// How to read a table of comma-separated values. By default it has commas and a header, and a missing value is an error
/// where it is used.
///
/// What a column holds is found out: numbers, if all values are numbers, or else text, as names of classes. Missing are empty
/// fields and what pandas takes for missing (`NA`, `NaN`, `null`, ...).
///
/// ```
/// use wgtensor::data::Csv;
///
/// let table = Csv::new().labels(["species"]).parse(
///     "length,width,species\n\
///      5.1,3.5,setosa\n\
///      7.0,3.2,versicolor\n\
///      4.9,3.0,setosa\n",
/// )?;
/// let (y, classes) = table.labels("species")?;
/// assert_eq!((y.to_vec::<i32>()?, &classes[1][..]), (vec![0, 1, 0], "versicolor"));
/// assert_eq!(table.features()?.dims(), [3, 2]); // all but the labels
/// assert_eq!(table.numbers(["width"])?.to_vec::<f32>()?, [3.5, 3.2, 3.0]);
/// let batches = table.dataset()?.shuffle(3, 1).batch(2);
/// assert_eq!(batches.len(), Some(2));
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    delimiter: u8,
    has_header: bool,
    names: Vec<String>,
    labels: Vec<String>,
    classes: Vec<(String, Vec<String>)>,
    na_values: Vec<String>,
    fill: Option<f64>,
    fill_text: Option<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Csv {
            delimiter: b',',
            has_header: true,
            names: Vec::new(),
            labels: Vec::new(),
            classes: Vec::new(),
            na_values: Vec::new(),
            fill: None,
            fill_text: None,
        }
    }
}

fn strings(all: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    all.into_iter().map(Into::into).collect()
}

impl Csv {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands between two fields, such as `b';'` or `b'\t'`; a comma by default.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Whether the first line has the names of the columns; it does by default. Without it, and without
    /// [`names`](Self::names), the columns are called `"0"`, `"1"`, ...
    pub fn has_header(mut self, yes: bool) -> Self {
        self.has_header = yes;
        self
    }

    /// The names of the columns, in place of those in the header.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = strings(names);
        self
    }

    /// The columns that are targets; the others are features.
    pub fn labels(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.labels = strings(columns);
        self
    }

    /// The classes that a column names, in the order of their numbers, such as those found in another file. Others are errors
    /// where the labels are used. Without it, they are all that are in the column, sorted.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().classes("kind", ["yes", "no"]).parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!(table.labels("kind")?.0.to_vec::<i32>()?, [1, 0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn classes(mut self, column: impl Into<String>, classes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes.push((column.into(), strings(classes)));
        self
    }

    /// Fields that are missing values too, such as `"?"`.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().na_values(["?"]).fill(0.0).parse("a\n1\n?\n")?;
    /// assert_eq!(table.numbers(["a"])?.to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn na_values(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.na_values = strings(values);
        self
    }

    /// The number in place of missing ones.
    pub fn fill(mut self, number: f64) -> Self {
        self.fill = Some(number);
        self
    }

    /// The text in place of missing ones, in columns of text.
    pub fn fill_text(mut self, text: impl Into<String>) -> Self {
        self.fill_text = Some(text.into());
        self
    }

    /// Reads a file into memory.
    ///
    /// In a terminal, a line of the standard error says how far it is, where it takes longer than a second.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().labels(["species"]).read("examples/data/iris.csv")?;
    /// assert_eq!((table.rows(), table.features()?.dims()), (150, &[150, 4][..]));
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be read, is empty, or has a line with another number of fields, which is named.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let source = || {
            let file = open(path)?;
            let size = file.metadata().ok().map(|data| data.len());
            let loading = Loading::new(path.display().to_string(), Unit::Bytes, size);
            Ok(Box::new(Counted::new(file, loading)) as Box<dyn Read>)
        };
        entry(|| in_file(path, self.table(&source)))
    }

    /// The table that a text is.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    /// let table = Csv::new().parse("a,kind\n1,no\n2,yes\n")?;
    /// assert_eq!((table.rows(), table.names()), (2, &["a".to_string(), "kind".to_string()][..]));
    /// assert!(Csv::new().parse("a,b\n1\n").is_err()); // one field too few in line 2
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`read`](Self::read), but for the file.
    #[track_caller]
    pub fn parse(&self, text: impl AsRef<[u8]>) -> Result<Table> {
        let text = text.as_ref();
        entry(|| self.table(&|| Ok(Box::new(Cursor::new(text)))))
    }

    fn table<'a>(&self, source: &dyn Fn() -> Result<Box<dyn Read + 'a>>) -> Result<Table> {
        let Columns { names, columns, rows } = self.columns(source)?;
        Table::new(self.clone(), names, columns, rows)
    }

    /// The rows of a file one after the other, for one larger than memory: `x` are the columns that are no
    /// [`labels`](Self::labels), as numbers; `y` are the labels, as a class number where there is one column with
    /// [`classes`](Self::classes), and else as numbers. The file is read anew in each pass.
    ///
    /// ```
    /// use wgtensor::data::Csv;
    ///
    /// # let path = std::env::temp_dir().join(format!("wgtensor-stream-{}.csv", std::process::id()));
    /// std::fs::write(&path, "a,b,kind\n1,2,no\n3,4,yes\n5,6,no\n").unwrap();
    /// let rows = Csv::new().labels(["kind"]).classes("kind", ["no", "yes"]).stream(&path)?;
    /// for batch in &rows.shuffle(1000, 7).batch(2).prefetch(4) {
    ///     assert_eq!(batch?.x()[0].dims()[1], 2);
    /// }
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be read, or has no such column. A field that is missing or is no number, or a class that is not known,
    /// is an error in the place of its row.
    #[track_caller]
    pub fn stream(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        entry(|| self.streamed(path.as_ref()))
    }
}

#[cfg(test)]
mod tests;
