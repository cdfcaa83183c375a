//! The safetensors format: eight bytes with the length of the header, the header (JSON: for each name a type, a shape and
//! where its data is), the data. See <https://huggingface.co/docs/safetensors>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files;

/// The longest header that is read, as in the format's own library: a hostile length asks for no memory.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor of a file.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    /// The name of its type, such as `F32`.
    pub(super) dtype: &'static str,
    pub(super) shape: Vec<usize>,
    /// Its elements: row-major, little-endian.
    pub(super) data: &'a [u8],
}

/// The types of the format that take whole bytes, and how many.
const TYPES: [(&str, usize); 15] = [
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("F8_E4M3", 1),
    ("F8_E5M2", 1),
    ("F16", 2),
    ("BF16", 2),
    ("I16", 2),
    ("U16", 2),
    ("F32", 4),
    ("I32", 4),
    ("U32", 4),
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
];

/// A file with these tensors, laid out in the order they are given in.
pub(super) fn render<'a>(entries: impl Iterator<Item = Result<(String, Entry<'a>)>>) -> Result<Vec<u8>> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for entry in entries {
        let (name, entry) = entry?;
        let begin = data.len();
        data.extend_from_slice(entry.data);
        let place = [begin, data.len()];
        header.insert(name, json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": place}));
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The data starts at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, &data].concat())
}

/// All tensors of a file, by name.
///
/// The data must be covered without gaps and without overlaps, as the format demands.
///
/// # Errors
/// Bytes that are no such file.
pub(super) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Entry<'_>>> {
    let bad = |received: String, expected: &str| files::damaged("weight", &received, expected, "is a safetensors file");
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(bad(format!("{} bytes", bytes.len()), "at least 8 bytes"));
    };
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().filter(|_| length <= LONGEST_HEADER);
    let Some((header, data)) = header.and_then(|length| rest.split_at_checked(length)) else {
        return Err(bad(format!("a header of {length} bytes"), &format!("at most {} bytes", rest.len())));
    };
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|why| bad(format!("a header that says: {why}"), "a JSON object"))?;
    let mut entries = BTreeMap::new();
    let mut places = Vec::new();
    for (name, json) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let Some((entry, place)) = entry(&json, data) else {
            let received = format!("`{name}`: {}", json.to_string().chars().take(120).collect::<String>());
            return Err(bad(received, "a known type, a shape, and offsets that fit both and the file"));
        };
        places.push(place);
        entries.insert(name, entry);
    }
    places.sort_unstable();
    let end = places.iter().try_fold(0, |end, &(from, to)| (from == end).then_some(to));
    match end {
        Some(end) if end == data.len() => Ok(entries),
        _ => Err(bad("data with gaps or overlaps".into(), &format!("all {} bytes used once", data.len()))),
    }
}

/// The entry of a weight; without it, what `refuse` makes of what happened, was received and was expected.
pub(super) fn found<'a, 'b>(
    entries: &'a BTreeMap<String, Entry<'b>>,
    name: &str,
    refuse: impl Fn(&str, &str, &str) -> Error,
) -> Result<&'a Entry<'b>> {
    entries.get(name).ok_or_else(|| {
        let known = listed(entries.keys());
        refuse("A weight file lacks a weight of the model", &known, &format!("`{name}`"))
    })
}

/// The first few names.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.take(8).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// An entry of the header with its data, and where that is.
fn entry<'a>(json: &Value, data: &'a [u8]) -> Option<(Entry<'a>, (usize, usize))> {
    let numbers = |key: &str| -> Option<Vec<usize>> {
        json.get(key)?.as_array()?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect()
    };
    let name = json.get("dtype")?.as_str()?;
    let &(dtype, size) = TYPES.iter().find(|(known, _)| *known == name)?;
    let shape = numbers("shape")?;
    let [from, to] = <[usize; 2]>::try_from(numbers("data_offsets")?).ok()?;
    let bytes = shape.iter().try_fold(size, |bytes, &n| bytes.checked_mul(n))?;
    let data = data.get(from..to).filter(|data| data.len() == bytes)?;
    Some((Entry { dtype, shape, data }, (from, to)))
}
