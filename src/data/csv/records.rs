//! Lines of fields. Those without a quote, nearly all, are split here; the others by `csv-core`.

use std::io::Read;
use std::ops::Range;

use csv_core::ReadRecordResult;
use memchr::{memchr, memchr_iter, memchr2};

use super::Csv;
use crate::data::damage::damaged;
use crate::error::{Error, Kind, Result};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// A file that is read line by line.
pub(super) struct Records<R> {
    source: R,
    delimiter: u8,
    /// The part of the file at hand, of which this range is to be read.
    buffer: Vec<u8>,
    unread: Range<usize>,
    ended: bool,
    /// The line at hand, where it has no quotes.
    plain: Range<usize>,
    /// Its fields; of a line with quotes they are in `text`.
    fields: Vec<Range<usize>>,
    text: Vec<u8>,
    quoted: bool,
    quotes: csv_core::Reader,
    /// The number of the line at hand and of the next one, from 1.
    line: u64,
    next_line: u64,
    /// The names of the columns.
    pub(super) names: Vec<String>,
    /// Whether the first line, which is at hand, is data and was not taken yet.
    waiting: bool,
}

/// Fields that are not text.
pub(super) fn not_text(line: u64, column: &str) -> Error {
    let received = format!("line {line}, column '{column}': bytes that are not UTF-8");
    damaged("a text file", received, "text in UTF-8")
}

impl<R: Read> Records<R> {
    /// Starts with the header, or with the first line, which say how many columns there are.
    pub(super) fn new(how: &Csv, source: R) -> Result<Self> {
        let mut this = Records {
            source,
            delimiter: how.delimiter,
            buffer: vec![0; CHUNK],
            unread: 0..0,
            ended: false,
            plain: 0..0,
            fields: Vec::new(),
            text: Vec::new(),
            quoted: false,
            quotes: csv_core::ReaderBuilder::new().delimiter(how.delimiter).build(),
            line: 1,
            next_line: 1,
            names: Vec::new(),
            waiting: false,
        };
        while !this.ended && this.unread.len() < 3 {
            this.fill()?;
        }
        if this.buffer[this.unread.clone()].starts_with(b"\xef\xbb\xbf") {
            this.unread.start += 3;
        }
        if !this.advance()? {
            return Err(damaged("a table", "an empty file", "a header, or a line of fields"));
        }
        this.split();
        this.waiting = !how.has_header;
        let width = this.fields.len();
        let header = |i: usize| match how.has_header {
            true => String::from_utf8(this.field(i).to_vec()).map_err(|_| not_text(this.line, &i.to_string())),
            false => Ok(i.to_string()),
        };
        this.names = match how.names.len() {
            0 => (0..width).map(header).collect::<Result<_>>()?,
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

    /// Reads more of the file behind what is unread.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let count = self.source.read(&mut self.buffer[self.unread.end..]);
        let count = count.map_err(|why| {
            let text = format!("{why} in line {}", self.next_line);
            Error::parts(Kind::Io, "A data file could not be read", &text, "a file that can be read", "Check the disk")
        })?;
        self.unread.end += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Goes to the next line that is not blank, if there is one.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.waiting) {
            return Ok(true);
        }
        loop {
            let unread = &self.buffer[self.unread.clone()];
            let len = match memchr2(b'\n', b'"', unread) {
                Some(at) if unread[at] == b'"' => return self.advance_quoted(),
                Some(at) => at,
                None if !self.ended => {
                    self.fill()?;
                    continue;
                }
                None if unread.is_empty() => return Ok(false),
                None => unread.len(),
            };
            let carriage = len > 0 && unread[len - 1] == b'\r';
            self.plain = self.unread.start..self.unread.start + len - usize::from(carriage);
            self.unread.start = self.unread.end.min(self.unread.start + len + 1);
            (self.line, self.next_line, self.quoted) = (self.next_line, self.next_line + 1, false);
            if !self.plain.is_empty() {
                return Ok(true);
            }
        }
    }

    /// The same for a line with a quote, which may go on in the lines after it.
    #[cold]
    fn advance_quoted(&mut self) -> Result<bool> {
        self.quotes.reset();
        self.line = self.next_line;
        let (mut written, mut count, mut quotes) = (0, 0, 0);
        let mut ends = vec![0; self.names.len().max(16)];
        self.text.resize(self.text.len().max(CHUNK), 0);
        loop {
            let unread = &self.buffer[self.unread.clone()];
            let (result, taken, put, found) =
                self.quotes.read_record(unread, &mut self.text[written..], &mut ends[count..]);
            self.next_line += memchr_iter(b'\n', &unread[..taken]).count() as u64;
            quotes += memchr_iter(b'"', &unread[..taken]).count();
            self.unread.start += taken;
            (written, count) = (written + put, count + found);
            match result {
                ReadRecordResult::InputEmpty if !self.ended => self.fill()?,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                ReadRecordResult::Record if self.ended && quotes % 2 == 1 && self.next_line > self.line + 1 => {
                    let received = format!("a quote in line {} that is not closed", self.line);
                    return Err(damaged("a table", received, "quotes around whole fields"));
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(false),
            }
        }
        let mut start = 0;
        self.fields.clear();
        self.fields.extend(ends[..count].iter().map(|&end| std::mem::replace(&mut start, end)..end));
        self.quoted = true;
        Ok(true)
    }

    /// Finds the fields of the line at hand.
    fn split(&mut self) {
        if self.quoted {
            return;
        }
        self.fields.clear();
        let mut start = self.plain.start;
        while let Some(len) = memchr(self.delimiter, &self.buffer[start..self.plain.end]) {
            self.fields.push(start..start + len);
            start += len + 1;
        }
        self.fields.push(start..self.plain.end);
    }

    /// Finds the fields of the line at hand, as many as the others have.
    pub(super) fn check(&mut self) -> Result<()> {
        self.split();
        if self.fields.len() == self.names.len() {
            return Ok(());
        }
        let received = format!("{} fields in line {}", self.fields.len(), self.line);
        let expected = format!("{} fields, as the first line has", self.names.len());
        Err(damaged("a table with this delimiter", received, &expected))
    }

    /// Goes to the next line, which has as many fields as the others, if there is one.
    #[inline]
    pub(super) fn next(&mut self) -> Result<bool> {
        let more = self.advance()?;
        if more {
            self.check()?;
        }
        Ok(more)
    }

    /// A field of the line at hand.
    #[inline]
    pub(super) fn field(&self, i: usize) -> &[u8] {
        let bytes = if self.quoted { &self.text } else { &self.buffer };
        &bytes[self.fields[i].clone()]
    }

    /// The line at hand as it is in the file, where it has no quotes.
    #[inline]
    pub(super) fn plain(&self) -> Option<&[u8]> {
        (!self.quoted).then(|| &self.buffer[self.plain.clone()])
    }

    /// The number of the line at hand, or of the first one of several that a quote spans, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }
}
