//! Tables that stay in their files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Csv;
use super::fields::{is_missing, number};
use super::records::{Records, not_text};
use super::table::{missing, no_column, unknown_class};
use crate::data::damage::damaged;
use crate::data::{Array, Dataset, Item};
use crate::error::Result;
use crate::files::{in_file, open};

/// What to take from each line of a file.
struct Plan {
    how: Csv,
    path: PathBuf,
    names: Vec<String>,
    features: Vec<usize>,
    labels: Vec<usize>,
}

impl Csv {
    pub(super) fn streamed(&self, path: &Path) -> Result<Dataset> {
        let names = in_file(path, Records::new(self, open(path)?))?.names;
        let find = |name: &String| names.iter().position(|n| n == name).ok_or_else(|| no_column(name, &names));
        let labels = self.labels.iter().map(find).collect::<Result<Vec<usize>>>()?;
        self.classes.iter().map(|(column, _)| find(column)).collect::<Result<Vec<_>>>()?;
        let features = (0..names.len()).filter(|i| !labels.contains(i)).collect();
        let plan = Arc::new(Plan { how: self.clone(), path: path.to_owned(), names, features, labels });
        Ok(Dataset::from_generator(move || Rows { plan: plan.clone(), records: None }))
    }
}

/// A pass over a file.
struct Rows {
    plan: Arc<Plan>,
    records: Option<Records<File>>,
}

impl Iterator for Rows {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        let plan = &self.plan;
        let mut next = || {
            let records = match &mut self.records {
                Some(records) => records,
                none => {
                    let records = Records::new(&plan.how, open(&plan.path)?)?;
                    if records.names != plan.names {
                        return Err(damaged("the file that it was", records.names.join(", "), &plan.names.join(", ")));
                    }
                    none.insert(records)
                }
            };
            if records.next()? { plan.item(records).map(Some) } else { Ok(None) }
        };
        in_file(&plan.path, next()).transpose()
    }
}

impl Plan {
    fn item(&self, records: &Records<File>) -> Result<Item> {
        let all = |columns: &[usize]| columns.iter().map(|&i| self.number(records, i)).collect::<Result<Vec<f32>>>();
        let item = Item::new(all(&self.features)?)?;
        match self.labels[..] {
            [] => Ok(item),
            [one] => match self.how.classes.iter().find(|(column, _)| *column == self.names[one]) {
                Some((_, classes)) => item.with_y(self.class(records, one, classes)?),
                None => item.with_y(self.number(records, one)?),
            },
            _ => item.with_y(all(&self.labels)?),
        }
    }

    fn number(&self, records: &Records<File>, i: usize) -> Result<f32> {
        let (field, name) = (records.field(i), &self.names[i]);
        if let Some(value) = number(field).filter(|value| !value.is_nan()) {
            return Ok(value as f32);
        }
        match (is_missing(field, &self.how.na_values), self.how.fill) {
            (true, Some(fill)) => Ok(fill as f32),
            (true, None) => Err(missing(name, records.line(), "fill")),
            (false, _) => {
                let received = format!("'{}' in line {}, column '{name}'", field.escape_ascii(), records.line());
                Err(damaged("a table of numbers; text is read by `Csv::read`", received, "a number"))
            }
        }
    }

    fn class(&self, records: &Records<File>, i: usize, classes: &[String]) -> Result<Array> {
        let (field, name) = (records.field(i), &self.names[i]);
        let word = match (is_missing(field, &self.how.na_values), &self.how.fill_text) {
            (true, Some(fill)) => fill,
            (true, None) => return Err(missing(name, records.line(), "fill_text")),
            (false, _) => std::str::from_utf8(field).map_err(|_| not_text(records.line(), name))?,
        };
        let class = classes.iter().position(|class| class == word);
        let class =
            class.ok_or_else(|| unknown_class(name, word, classes).context(format!("line {}", records.line())))?;
        Array::new(class)
    }
}
