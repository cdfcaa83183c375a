//! Lines of fields into columns.

use std::io::Read;

use memchr::memchr;
use rustc_hash::FxHashMap;

use super::Csv;
use super::fields::{is_missing, leading, number};
use super::records::{Records, not_text};
use crate::data::damage::damaged;
use crate::error::{Error, Result};

/// What a table has in memory.
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
}

/// The values of a column, and the line of the first one that is missing.
pub(super) enum Column {
    Numbers { values: Vec<f64>, missing: Option<u64> },
    Text { codes: Vec<u32>, words: Vec<String>, missing: Option<u64> },
}

/// The code of a missing text.
pub(super) const NO_WORD: u32 = u32::MAX;

/// A column while it is read.
enum Reading {
    Numbers {
        values: Vec<f64>,
        missing: Option<u64>,
    },
    /// Of words by their bytes.
    Text {
        codes: Vec<u32>,
        known: FxHashMap<Box<[u8]>, u32>,
        words: Vec<String>,
        missing: Option<u64>,
    },
    /// It seemed to be of numbers and is not: text, to be read from the start.
    Mistaken,
}

impl Reading {
    fn new(text: bool) -> Self {
        match text {
            false => Reading::Numbers { values: Vec::new(), missing: None },
            true => Reading::Text { codes: Vec::new(), known: FxHashMap::default(), words: Vec::new(), missing: None },
        }
    }

    /// Adds what is not a number to a column of numbers.
    #[cold]
    fn unusual(&mut self, how: &Csv, field: &[u8], line: u64) {
        let Reading::Numbers { values, missing } = self else { return };
        if is_missing(field, &how.na_values) {
            missing.get_or_insert(line);
            values.push(f64::NAN);
        } else if values.iter().all(|value| value.is_nan()) {
            // Only missing ones so far: text from here on.
            let (codes, missing) = (vec![NO_WORD; values.len()], *missing);
            *self = Reading::Text { codes, known: FxHashMap::default(), words: Vec::new(), missing };
        } else {
            *self = Reading::Mistaken;
        }
    }

    /// Adds a field of the line at hand.
    fn field<R: Read>(&mut self, how: &Csv, field: &[u8], records: &Records<R>, i: usize) -> Result<()> {
        if let Reading::Numbers { values, .. } = self {
            match number(field).filter(|value| !value.is_nan()) {
                Some(value) => values.push(value),
                None => self.unusual(how, field, records.line()),
            }
            // It may have turned into text by this field.
            if !matches!(self, Reading::Text { .. }) {
                return Ok(());
            }
        }
        self.word(how, field, records, i)
    }

    /// Adds a word.
    fn word<R: Read>(&mut self, how: &Csv, field: &[u8], records: &Records<R>, i: usize) -> Result<()> {
        let Reading::Text { codes, known, words, missing } = self else { return Ok(()) };
        let code = match known.get(field) {
            Some(&code) => code,
            None => {
                let code = match is_missing(field, &how.na_values) {
                    true => NO_WORD,
                    false => {
                        let word =
                            std::str::from_utf8(field).map_err(|_| not_text(records.line(), &records.names[i]))?;
                        words.push(word.to_owned());
                        words.len() as u32 - 1
                    }
                };
                known.insert(field.into(), code);
                code
            }
        };
        if code == NO_WORD {
            missing.get_or_insert(records.line());
        }
        codes.push(code);
        Ok(())
    }
}

impl Csv {
    /// All columns, in one pass over the source, or in two where a column of numbers turns out to be text.
    pub(super) fn columns<'a>(&self, source: &dyn Fn() -> Result<Box<dyn Read + 'a>>) -> Result<Columns> {
        let mut records = Records::new(self, source()?)?;
        let classes = |name: &String| self.classes.iter().any(|(column, _)| column == name);
        let mut reading: Vec<Reading> = records.names.iter().map(|name| Reading::new(classes(name))).collect();
        let mut rows = 0usize;
        while records.advance()? {
            rows += 1;
            if let Some(line) = records.plain() {
                match self.plain_row(line, &records, &mut reading)? {
                    true => continue,
                    false => return Err(records.check().err().unwrap_or_else(|| Error::internal("a line that fits"))),
                }
            }
            records.check()?;
            for (i, reading) in reading.iter_mut().enumerate() {
                reading.field(self, records.field(i), &records, i)?;
            }
        }
        if reading.iter().any(|reading| matches!(reading, Reading::Mistaken)) {
            let mut records = Records::new(self, source()?)?;
            let mistaken = |(i, reading): (usize, &mut Reading)| {
                let again = matches!(reading, Reading::Mistaken);
                if again {
                    *reading = Reading::new(true);
                }
                again.then_some(i)
            };
            let again: Vec<usize> = reading.iter_mut().enumerate().filter_map(mistaken).collect();
            let mut left = rows;
            while records.next()? {
                left = left.wrapping_sub(1);
                for &i in again.iter().filter(|&&i| i < records.names.len()) {
                    reading[i].word(self, records.field(i), &records, i)?;
                }
            }
            if left != 0 || records.names.len() != reading.len() {
                return Err(damaged(
                    "a table that nobody writes to",
                    "another table the second time",
                    "the same lines",
                ));
            }
        }
        let columns = reading.into_iter().filter_map(|reading| match reading {
            Reading::Numbers { values, missing } => Some(Column::Numbers { values, missing }),
            Reading::Text { codes, words, missing, .. } => Some(Column::Text { codes, words, missing }),
            Reading::Mistaken => None,
        });
        Ok(Columns { columns: columns.collect(), names: records.names, rows })
    }

    /// Takes the fields of a line without quotes as it goes along. Whether they are as many as there are columns.
    fn plain_row<R: Read>(&self, line: &[u8], records: &Records<R>, reading: &mut [Reading]) -> Result<bool> {
        let mut rest = Some(line);
        for (i, reading) in reading.iter_mut().enumerate() {
            let Some(line) = rest else { return Ok(false) };
            if let Reading::Numbers { values, .. } = reading
                && let Some((value, end)) = leading(line, self.delimiter)
            {
                values.push(value);
                rest = line.get(end + 1..);
                continue;
            }
            let end = memchr(self.delimiter, line).unwrap_or(line.len());
            reading.field(self, &line[..end], records, i)?;
            rest = line.get(end + 1..);
        }
        Ok(rest.is_none())
    }
}
