//! Names of files with figures in them: Python's `str.format`, for numbers by name.

use crate::error::{Error, Kind, Result};
use crate::nn::progress::scientific;

/// A number to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(usize),
    Float(f64),
}

/// A text with `{name:spec}` in it.
pub(super) struct Template(Vec<Piece>);

enum Piece {
    Text(String),
    Field(String, Spec),
}

/// What stands after the colon: `[[fill]align][sign][0][width][,][.precision][type]`.
#[derive(Clone)]
struct Spec {
    text: String,
    fill: char,
    align: Option<char>,
    sign: char,
    width: usize,
    comma: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

/// More digits than any figure has, fewer than a file name can hold.
const MOST: usize = 100;

impl Template {
    /// Reads a template; `None` where it is no valid one.
    fn read(text: &str) -> Option<Self> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = match c {
                '{' | '}' if after.starts_with(c) => {
                    plain.push(c);
                    &after[1..]
                }
                '{' => {
                    let (field, after) = after.split_once('}')?;
                    let (name, spec) = field.split_once(':').unwrap_or((field, ""));
                    if name.is_empty() || name.contains(['{', '!', '.']) {
                        return None;
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Field(name.into(), Spec::read(spec)?));
                    after
                }
                '}' => return None,
                c => {
                    plain.push(c);
                    after
                }
            };
        }
        pieces.push(Piece::Text(plain));
        Some(Template(pieces))
    }

    /// Reads a template.
    pub(super) fn new(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Error::parts(
                Kind::Argument,
                &format!("Failed to format this callback filepath: \"{text}\""),
                "braces that are no field of Python's `str.format` for a number",
                "fields such as {epoch:02d} or {val_loss:.2f}, and {{ or }} for braces",
                "Correct the path",
            )
        })
    }

    /// The text with these numbers in it.
    pub(super) fn format(&self, numbers: &[(&str, Number)]) -> Result<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Field(name, spec) => {
                let Some((_, number)) = numbers.iter().find(|(known, _)| known == name) else {
                    let known: Vec<&str> = numbers.iter().map(|(name, _)| *name).collect();
                    return Err(Error::parts(
                        Kind::Argument,
                        &format!("Failed to format this callback filepath. Reason: '{name}'"),
                        &format!("{{{name}}}"),
                        &format!("one of {}", known.join(", ")),
                        "Name a figure that there is when the file is written",
                    ));
                };
                spec.write(*number).ok_or_else(|| {
                    Error::parts(
                        Kind::Argument,
                        "Failed to format this callback filepath. Reason: Unknown format code 'd' for object of type 'float'",
                        &format!("{{{name}:{}}}", spec.text),
                        "a format of floating-point numbers, such as .2f",
                        "Correct the path",
                    )
                })
            }
        };
        self.0.iter().map(piece).collect()
    }
}

impl Spec {
    fn read(text: &str) -> Option<Self> {
        let chars: Vec<char> = text.chars().collect();
        let is_align = |at: usize| chars.get(at).is_some_and(|c| "<>=^".contains(*c));
        let (mut at, mut fill, mut align) = (0, ' ', None);
        if is_align(1) {
            (fill, align, at) = (chars[0], Some(chars[1]), 2);
        } else if is_align(0) {
            (align, at) = (Some(chars[0]), 1);
        }
        let mut take = |wanted: &str| {
            let found = chars.get(at).copied().filter(|c| wanted.contains(*c));
            at += usize::from(found.is_some());
            found
        };
        let sign = take("+- ").unwrap_or('-');
        if take("0").is_some() && align.is_none() {
            (fill, align) = ('0', Some('='));
        }
        let number = |take: &mut dyn FnMut(&str) -> Option<char>| {
            let mut digits = String::new();
            while let Some(digit) = take("0123456789") {
                digits.push(digit);
            }
            digits
        };
        let width = number(&mut take);
        let comma = take(",").is_some();
        let precision = take(".").map(|_| number(&mut take));
        let kind = take("dfFeEgG%");
        let small = |digits: &str| digits.parse().ok().filter(|n| *n <= MOST);
        let spec = Spec {
            text: text.into(),
            fill,
            align,
            sign,
            width: if width.is_empty() { 0 } else { small(&width)? },
            comma,
            precision: precision.map(|digits| small(&digits).ok_or(())).transpose().ok()?,
            kind,
        };
        // An integer has no places behind the point.
        (at == chars.len() && !(kind == Some('d') && spec.precision.is_some())).then_some(spec)
    }

    /// The number, as this says; `None` for a floating-point number as an integer.
    fn write(&self, number: Number) -> Option<String> {
        let value = match number {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        };
        let (negative, size, places) = (value.is_sign_negative() && !value.is_nan(), value.abs(), self.precision);
        let digits = match (number, self.kind) {
            (Number::Int(value), None | Some('d')) if places.is_none() => value.to_string(),
            (Number::Float(_), Some('d')) => return None,
            _ if !value.is_finite() => if value.is_nan() { "nan" } else { "inf" }.into(),
            (_, Some('f' | 'F')) => format!("{size:.*}", places.unwrap_or(6)),
            (_, Some('e' | 'E')) => scientific(size, places.unwrap_or(6)),
            (_, Some('%')) => format!("{:.*}%", places.unwrap_or(6), size * 100.0),
            (_, None) if places.is_none() => repr(size),
            (_, kind) => general(size, places.unwrap_or(6), kind.is_none()),
        };
        let digits =
            if self.kind.is_some_and(|kind| kind.is_ascii_uppercase()) { digits.to_uppercase() } else { digits };
        let digits = if self.comma { grouped(&digits) } else { digits };
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        let fill = |count: usize| self.fill.to_string().repeat(count);
        Some(match self.align {
            Some('<') => format!("{sign}{digits}{}", fill(missing)),
            Some('=') => format!("{sign}{}{digits}", fill(missing)),
            Some('^') => format!("{}{sign}{digits}{}", fill(missing / 2), fill(missing - missing / 2)),
            _ => format!("{}{sign}{digits}", fill(missing)),
        })
    }
}

/// Python's `repr` of a number that is finite and not negative: the shortest digits that read back as it.
fn repr(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e16).contains(&value) {
        let text = format!("{value:e}");
        let digits = text.split('e').next().unwrap_or_default();
        return scientific(value, digits.len().saturating_sub(2));
    }
    format!("{value:?}")
}

/// Python's `g`: so many digits that mean something, without zeros at the end; without a letter there is at least one digit
/// behind the point.
fn general(value: f64, digits: usize, bare: bool) -> String {
    let digits = digits.max(1);
    let text = scientific(value, digits - 1);
    let (_, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let stripped = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let highest = digits as i32 - i32::from(bare);
    if exponent < -4 || exponent >= highest {
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{power}", stripped(mantissa));
    }
    let text = stripped(&format!("{value:.*}", (digits as i32 - 1 - exponent).max(0) as usize));
    if bare && !text.contains('.') { text + ".0" } else { text }
}

/// With a comma before every three digits of the whole part.
fn grouped(digits: &str) -> String {
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let comma = |(i, c): (usize, char)| {
        let before = (i > 0 && i < whole && (whole - i).is_multiple_of(3)).then_some(',');
        before.into_iter().chain(std::iter::once(c))
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str) -> Result<String> {
        let numbers = [
            ("epoch", Number::Int(7)),
            ("steps", Number::Int(1_234_567)),
            ("loss", Number::Float(0.123_456_789)),
            ("big", Number::Float(-12_345.678)),
            ("whole", Number::Float(2.0)),
            ("tiny", Number::Float(1.5e-7)),
            ("huge", Number::Float(1e16)),
            ("nan", Number::Float(f64::NAN)),
            ("inf", Number::Float(f64::NEG_INFINITY)),
        ];
        Template::new(template)?.format(&numbers)
    }

    /// What Python 3 makes of them.
    const PYTHON: &[(&str, &str)] = &[
        ("plain", "plain"),
        ("{{{epoch}}}", "{7}"),
        ("{epoch:02d}-{loss:.2f}.weights.h5", "07-0.12.weights.h5"),
        ("{epoch}", "7"),
        ("{epoch:3}|{epoch:<3}|{epoch:^4}|{epoch:*>4}", "  7|7  | 7  |***7"),
        ("{epoch:04}", "0007"),
        ("{epoch:.2f}", "7.00"),
        ("{epoch:e}", "7.000000e+00"),
        ("{epoch:%}", "700.000000%"),
        ("{steps:,}", "1,234,567"),
        ("{steps:,.2f}", "1,234,567.00"),
        ("{steps:g}", "1.23457e+06"),
        ("{loss}", "0.123456789"),
        ("{loss:.3}", "0.123"),
        ("{loss:.3g}", "0.123"),
        ("{loss:g}", "0.123457"),
        ("{loss:8.3f}", "   0.123"),
        ("{loss:<8.3f}|", "0.123   |"),
        ("{loss:08.3f}", "0000.123"),
        ("{loss:+.2f}", "+0.12"),
        ("{loss: .2f}", " 0.12"),
        ("{loss:.1%}", "12.3%"),
        ("{loss:f}", "0.123457"),
        ("{loss:e}", "1.234568e-01"),
        ("{loss:.2E}", "1.23E-01"),
        ("{big}", "-12345.678"),
        ("{big:010.1f}", "-0012345.7"),
        ("{big:,.1f}", "-12,345.7"),
        ("{big:.3g}", "-1.23e+04"),
        ("{big:.3}", "-1.23e+04"),
        ("{big:G}", "-12345.7"),
        ("{whole}", "2.0"),
        ("{whole:.3}", "2.0"),
        ("{whole:g}", "2"),
        ("{whole:.1}", "2e+00"),
        ("{tiny}", "1.5e-07"),
        ("{tiny:.3f}", "0.000"),
        ("{tiny:g}", "1.5e-07"),
        ("{tiny:.1}", "1e-07"),
        ("{huge}", "1e+16"),
        ("{huge:g}", "1e+16"),
        ("{nan:.2f}", "nan"),
        ("{nan}", "nan"),
        ("{nan:6.2f}", "   nan"),
        ("{inf:.2f}", "-inf"),
        ("{inf:F}", "-INF"),
        ("{whole:.0f}", "2"),
        ("{whole:,}", "2.0"),
        ("{big:=12.1f}", "-    12345.7"),
    ];

    #[test]
    fn numbers_are_written_as_python_does() {
        for (template, expected) in PYTHON.iter().copied() {
            assert_eq!(text(template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_format_is_an_error() {
        for bad in
            ["{", "}", "{epoch", "{}", "{0!r}", "{epoch:.2d}", "{loss:q}", "{loss:.f}", "{loss:999999999f}", "{a{b}}"]
        {
            assert!(Template::new(bad).err().is_some_and(|error| error.is_invalid_argument()), "{bad}");
        }
        let error = text("{val_loss:.2f}").unwrap_err().to_string();
        assert!(error.contains("Reason: 'val_loss'") && error.contains("epoch, steps, loss"), "{error}");
        assert!(text("{loss:d}").unwrap_err().to_string().contains("Unknown format code 'd'"));
    }
}
