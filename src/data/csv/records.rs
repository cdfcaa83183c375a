//! Lines of fields into columns.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use rustc_hash::FxHashMap;

use super::Csv;
use super::fields::{is_missing, number};
use crate::data::files::damaged;
use crate::error::{Error, Kind, Result};

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

/// A file that is read line by line.
pub(super) struct Records<R> {
    reader: Reader<Ends<R>>,
    /// The line at hand.
    pub(super) record: ByteRecord,
    /// The names of the columns.
    pub(super) names: Vec<String>,
    /// Whether the first record, which is in `record`, is data and was not taken yet.
    waiting: bool,
}

/// Passes bytes on, and notes how lines end.
struct Ends<R> {
    source: R,
    /// How many bytes there were, and the last one.
    total: u64,
    last: u8,
    /// Whether the first line ends with a carriage return too.
    carriage: Option<bool>,
}

impl<R: Read> Read for Ends<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(to)?;
        let bytes = &to[..count];
        if self.carriage.is_none()
            && let Some(end) = bytes.iter().position(|&byte| byte == b'\n')
        {
            self.carriage = Some(end.checked_sub(1).map_or(self.last, |before| bytes[before]) == b'\r');
        }
        self.total += count as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(count)
    }
}

/// Fields that are not text.
pub(super) fn not_text(line: u64, column: &str) -> Error {
    let received = format!("line {line}, column '{column}': bytes that are not UTF-8");
    damaged("a text file", received, "text in UTF-8")
}

impl<R: Read> Records<R> {
    /// Starts with the header, or with the first line, which say how many columns there are.
    pub(super) fn new(how: &Csv, source: R) -> Result<Self> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(how.delimiter).has_headers(false).flexible(true).buffer_capacity(1 << 18);
        let mut this = Records {
            reader: builder.from_reader(Ends { source, total: 0, last: 0, carriage: None }),
            record: ByteRecord::new(),
            names: Vec::new(),
            waiting: false,
        };
        if !this.read()? {
            return Err(damaged("a table", "an empty file", "a header, or a line of fields"));
        }
        this.waiting = !how.has_header;
        let width = this.record.len();
        let header = |(i, field): (usize, &[u8])| match how.has_header {
            true => String::from_utf8(field.to_vec()).map_err(|_| not_text(1, &i.to_string())),
            false => Ok(i.to_string()),
        };
        this.names = match how.names.len() {
            0 => this.record.iter().enumerate().map(header).collect::<Result<_>>()?,
            given if given == width => how.names.clone(),
            given => {
                return Err(Error::parts(
                    Kind::Argument,
                    "`names` does not name every column of a table",
                    &format!("{given} names for {width} columns"),
                    "a name for each column",
                    "Give as many names as a line has fields",
                ));
            }
        };
        if let Some((i, twice)) = this.names.iter().enumerate().find(|(i, name)| this.names[..*i].contains(name)) {
            let received = format!("'{twice}' for column {i} and one before it");
            return Err(damaged("a table, or give `names`", received, "columns of different names"));
        }
        Ok(this)
    }

    fn read(&mut self) -> Result<bool> {
        self.reader.read_byte_record(&mut self.record).map_err(|why| {
            let text = format!("line {}: {why}", self.reader.position().line());
            Error::parts(Kind::Io, "A data file could not be read", &text, "a file that can be read", "Check the disk")
        })
    }

    /// Goes to the next line, which is as long as the others, if there is one.
    #[inline]
    pub(super) fn next(&mut self) -> Result<bool> {
        if !std::mem::take(&mut self.waiting) && !self.read()? {
            return Ok(false);
        }
        if self.record.len() != self.names.len() {
            let received = format!("{} fields in line {}", self.record.len(), self.line());
            let expected = format!("{} fields, as the first line has", self.names.len());
            return Err(damaged("a table with this delimiter", received, &expected));
        }
        Ok(true)
    }

    /// The line at hand, or the first of the lines that it has, from 1: counted back from where the reader is.
    #[cold]
    pub(super) fn line(&self) -> u64 {
        let (at, ends) = (self.reader.position(), self.reader.get_ref());
        // The reader leaves what follows a carriage return to the next line.
        // At the end of the file, a line end may be one within quotes that nobody closed.
        let open = || self.record.as_slice().last() == Some(&b'\n');
        let ended = ends.carriage != Some(true) && (at.byte() < ends.total || ends.last == b'\n' && !open());
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        at.line() - u64::from(ended) - inside
    }
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
    fn unusual(&mut self, how: &Csv, field: &[u8], line: impl Fn() -> u64) {
        let Reading::Numbers { values, missing } = self else { return };
        if is_missing(field, &how.na_values) {
            missing.get_or_insert_with(line);
            values.push(f64::NAN);
        } else if values.iter().all(|value| value.is_nan()) {
            // Only missing ones so far: text from here on.
            let (codes, missing) = (vec![NO_WORD; values.len()], *missing);
            *self = Reading::Text { codes, known: FxHashMap::default(), words: Vec::new(), missing };
        } else {
            *self = Reading::Mistaken;
        }
    }

    /// Adds a word.
    fn word(&mut self, how: &Csv, field: &[u8], line: impl Fn() -> u64, column: &str) -> Result<()> {
        let Reading::Text { codes, known, words, missing } = self else { return Ok(()) };
        let code = match known.get(field) {
            Some(&code) => code,
            None => {
                let code = match is_missing(field, &how.na_values) {
                    true => NO_WORD,
                    false => {
                        let word = std::str::from_utf8(field).map_err(|_| not_text(line(), column))?;
                        words.push(word.to_owned());
                        words.len() as u32 - 1
                    }
                };
                known.insert(field.into(), code);
                code
            }
        };
        if code == NO_WORD {
            missing.get_or_insert_with(line);
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
        let mut rows = self.pass(&mut records, &mut reading)?;
        if reading.iter().any(|reading| matches!(reading, Reading::Mistaken)) {
            let mut again: Vec<Option<Reading>> =
                reading.iter().map(|r| matches!(r, Reading::Mistaken).then(|| Reading::new(true))).collect();
            let mut records = Records::new(self, source()?)?;
            rows = 0;
            while records.next()? {
                for (i, (field, reading)) in records.record.iter().zip(&mut again).enumerate() {
                    if let Some(reading) = reading {
                        reading.word(self, field, || records.line(), &records.names[i])?;
                    }
                }
                rows += 1;
            }
            for (reading, again) in reading.iter_mut().zip(again) {
                if let Some(text) = again {
                    *reading = text;
                }
            }
        }
        let columns = reading.into_iter().map(|reading| match reading {
            Reading::Numbers { values, missing } => Column::Numbers { values, missing },
            Reading::Text { codes, words, missing, .. } => Column::Text { codes, words, missing },
            Reading::Mistaken => Column::Text { codes: Vec::new(), words: Vec::new(), missing: None },
        });
        Ok(Columns { columns: columns.collect(), names: records.names, rows })
    }

    fn pass<R: Read>(&self, records: &mut Records<R>, reading: &mut [Reading]) -> Result<usize> {
        let mut rows = 0;
        while records.next()? {
            for (i, (field, reading)) in records.record.iter().zip(&mut *reading).enumerate() {
                if let Reading::Numbers { values, .. } = reading {
                    match number(field) {
                        Some(value) if !value.is_nan() => {
                            values.push(value);
                            continue;
                        }
                        _ => reading.unusual(self, field, || records.line()),
                    }
                    if !matches!(reading, Reading::Text { .. }) {
                        continue;
                    }
                }
                reading.word(self, field, || records.line(), &records.names[i])?;
            }
            rows += 1;
        }
        Ok(rows)
    }
}
