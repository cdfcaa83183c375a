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
    plain(field).or_else(|| std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok())
}

/// The number of a field of few digits with or without a point: a quotient of two exact doubles.
#[inline]
fn plain(field: &[u8]) -> Option<f64> {
    let (negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // So many digits fit into 64 bits.
    if digits.len() > 19 {
        return None;
    }
    let (mut mantissa, mut point) = (0u64, None);
    for (i, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(i + 1),
            _ => return None,
        }
    }
    let empty = digits.len() == usize::from(point.is_some());
    if empty || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / TENS[point.map_or(0, |point| digits.len() - point)];
    Some(if negative { -value } else { value })
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
