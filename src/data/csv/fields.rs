//! Single fields: numbers, and what is missing.

/// What pandas takes for missing.
const MISSING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "null",
];

/// Powers of ten that are exact in double precision.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number that a field is, spaces around it aside, rounded to the nearest double.
#[inline]
pub(super) fn number(field: &[u8]) -> Option<f64> {
    match leading(field, b'\n') {
        Some((value, end)) if end == field.len() => Some(value),
        _ => std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok(),
    }
}

/// The number that stands before the delimiter (or is all there is), if it is one of few digits with or without a point, and
/// where it ends. It is a quotient of two exact doubles.
#[inline]
pub(super) fn leading(bytes: &[u8], delimiter: u8) -> Option<(f64, usize)> {
    let start = usize::from(bytes.first() == Some(&b'-'));
    let (mut at, mut mantissa, mut point) = (start, 0u64, None);
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == delimiter {
            break;
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
        at += 1;
    }
    let digits = at - start - usize::from(point.is_some());
    // So many digits fit into 64 bits.
    if digits == 0 || digits > 19 || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / TENS[point.map_or(0, |point| at - point - 1)];
    Some((if start == 1 { -value } else { value }, at))
}

/// Whether a field has no value.
pub(super) fn is_missing(field: &[u8], more: &[String]) -> bool {
    let field = field.trim_ascii();
    let is = |word: &str| field == word.as_bytes();
    field.eq_ignore_ascii_case(b"nan") || MISSING.into_iter().any(is) || more.iter().any(|word| is(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        for _ in 0..20_000 {
            let (whole, part, width) = (draw() % 1_000_000, draw() % 100_000_000, (draw() % 12) as usize);
            let sign = if draw() % 2 == 0 { "-" } else { "" };
            for text in [format!("{sign}{whole}"), format!("{sign}{whole}.{part:0width$}"), format!("{sign}.{part}")] {
                let expected: f64 = text.parse().unwrap();
                assert_eq!(number(text.as_bytes()).unwrap().to_bits(), expected.to_bits(), "{text}");
            }
        }
        for text in
            ["1e5", "-1.5E-3", "+7", "inf", "-inf", "5.", ".5", "12345678901234567890", "9007199254740993", " 4 "]
        {
            assert_eq!(number(text.as_bytes()), Some(text.trim().parse().unwrap()), "{text}");
        }
        for text in ["", "-", ".", "-.", "1.2.3", "1,5", "0x10", "1_000", "five", "1 2", "--1"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(number(b"-0").unwrap().to_bits(), (-0.0f64).to_bits());
        assert!(number(b"\xff").is_none());
    }

    #[test]
    fn missing_is_what_pandas_says() {
        for field in ["", "  ", "NaN", "nan", "NAN", "NA", "null", "None", "n/a", "?"] {
            assert!(is_missing(field.as_bytes(), &["?".to_owned()]), "{field}");
        }
        assert!(!is_missing(b"?", &[]) && !is_missing(b"none of it", &[]) && !is_missing(b"0", &[]));
    }
}
