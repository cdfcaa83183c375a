//! Event files: what TensorBoard reads. A file is a row of records (TFRecord), each an `Event` in protobuf's encoding, of
//! whose messages these few fields are needed.

use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::error::{Error, Kind, Result};
use crate::protobuf::Message;
use crate::sys::wall_time;

/// Something to be shown.
pub(super) enum Summary<'a> {
    /// A number, as a point of a curve.
    Scalar(f64),
    /// Rows of left edge, right edge and count.
    Histogram(&'a [[f64; 3]]),
    /// The configuration of a model, in Keras's JSON.
    Model(&'a str),
}

/// An event file.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// A new file in this folder, which is made where there is none.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (now, count) = (wall_time(), COUNT.fetch_add(1, Relaxed));
        let name = format!("events.out.tfevents.{:010}.{}.{count}.v2", now as u64, std::process::id());
        let path = folder.join(name);
        let file = create_dir_all(folder).and_then(|()| File::create(&path)).map_err(|why| unwritten(&path, &why))?;
        let mut writer = Writer { file, path };
        let mut event = Message::default();
        event.double(1, now).bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        Ok(writer)
    }

    /// Writes a summary at a step.
    pub(super) fn write(&mut self, tag: &str, step: u64, summary: Summary<'_>) -> Result<()> {
        let (plugin, content, class, tensor) = summary.parts();
        let [mut owner, mut metadata, mut value, mut list, mut event] = [(); 5].map(|()| Message::default());
        owner.bytes(1, plugin.as_bytes()).bytes(2, content);
        metadata.bytes(1, &owner.0).integer(4, class);
        value.bytes(1, tag.as_bytes()).bytes(8, &tensor.0).bytes(9, &metadata.0);
        list.bytes(1, &value.0);
        event.double(1, wall_time()).integer(2, step).bytes(5, &list.0);
        self.record(&event.0)
    }

    /// One record: its length and its bytes, each with a checksum.
    fn record(&mut self, bytes: &[u8]) -> Result<()> {
        let length = (bytes.len() as u64).to_le_bytes();
        let record = [&length[..], &checksum(&length), bytes, &checksum(bytes)].concat();
        self.file.write_all(&record).map_err(|why| unwritten(&self.path, &why))
    }
}

impl Summary<'_> {
    /// The plugin that shows it with a word for that, the class of its data, and the data as a `TensorProto`.
    fn parts(self) -> (&'static str, &'static [u8], u64, Message) {
        const FLOAT: u64 = 1;
        const DOUBLE: u64 = 2;
        const STRING: u64 = 7;
        let mut tensor = Message::default();
        let shape = |extents: &[usize]| {
            let mut shape = Message::default();
            for &extent in extents {
                let mut dim = Message::default();
                dim.integer(1, extent as u64);
                shape.bytes(2, &dim.0);
            }
            shape.0
        };
        match self {
            Summary::Scalar(value) => {
                tensor.integer(1, FLOAT).bytes(2, &shape(&[])).bytes(4, &(value as f32).to_le_bytes());
                ("scalars", b"", 1, tensor)
            }
            Summary::Histogram(rows) => {
                let content: Vec<u8> = rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
                tensor.integer(1, DOUBLE).bytes(2, &shape(&[rows.len(), 3])).bytes(4, &content);
                ("histograms", b"", 2, tensor)
            }
            Summary::Model(json) => {
                tensor.integer(1, STRING).bytes(2, &shape(&[])).bytes(8, json.as_bytes());
                ("graph_keras_model", b"1", 0, tensor)
            }
        }
    }
}

/// The masked CRC-32C of TFRecord.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn unwritten(path: &Path, why: &std::io::Error) -> Error {
    Error::parts(
        Kind::Io,
        "The logs for TensorBoard could not be written",
        &format!("{why} for {}", path.display()),
        "a `log_dir` that can be written to",
        "Check the folder, its permissions and the free space",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // The head of every file that TensorFlow writes: 24 bytes follow.
        assert_eq!(checksum(&24u64.to_le_bytes()), [0xa3, 0x7f, 0x4b, 0x22]);
    }
}
