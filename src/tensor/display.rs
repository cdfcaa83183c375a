//! Tensors as text, the way NumPy prints arrays.

use std::fmt;

use half::{bf16, f16};

use crate::dtype::DType;
use crate::graph::Tensor;

/// More elements than this are summarised, `EDGE` at each end of an axis.
const THRESHOLD: usize = 1000;
const EDGE: usize = 3;

/// Prints the elements (computing them) like NumPy: `[[1. 2.] [3. 4.]]` over lines, long axes shortened. `{:.2}` gives
/// floats exactly two digits after the point.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = match self.to_f64_vec() {
            Ok(values) => values,
            Err(error) => return write!(f, "<{error}>"),
        };
        let dims = self.dims();
        let short = values.len() > THRESHOLD;
        let mut shown = Vec::new();
        visible(dims, short, 0, &mut |i| shown.push(values[i]));
        let style = Style::of(&shown, self.dtype(), f.precision());
        let cells: Vec<String> = shown.iter().map(|&v| style.cell(v)).collect();
        let width = cells.iter().map(String::len).max().unwrap_or(0);
        let mut next = cells.iter();
        write_axis(f, dims, short, 0, width, &mut next)
    }
}

/// Shape, type and device; nothing is computed.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} on {}, {})", self.dtype(), self.shape(), self.device().info().id, self.0.op.name())
    }
}

fn skipped(n: usize, short: bool) -> Option<std::ops::Range<usize>> {
    (short && n > 2 * EDGE).then(|| EDGE..n - EDGE)
}

fn visible(dims: &[usize], short: bool, base: usize, f: &mut impl FnMut(usize)) {
    let Some((&n, rest)) = dims.split_first() else { return f(base) };
    let step: usize = rest.iter().product();
    let gap = skipped(n, short);
    for i in (0..n).filter(|i| gap.as_ref().is_none_or(|g| !g.contains(i))) {
        visible(rest, short, base + i * step, f);
    }
}

fn write_axis<'a>(
    f: &mut fmt::Formatter<'_>,
    dims: &[usize],
    short: bool,
    depth: usize,
    width: usize,
    cells: &mut impl Iterator<Item = &'a String>,
) -> fmt::Result {
    let Some((&n, rest)) = dims.split_first() else {
        return write!(f, "{:>width$}", cells.next().map_or("", String::as_str));
    };
    f.write_str("[")?;
    let gap = skipped(n, short);
    for i in 0..n {
        if gap.as_ref().is_some_and(|g| g.contains(&i) && i != g.start) {
            continue;
        }
        if i > 0 {
            if rest.is_empty() {
                f.write_str(" ")?;
            } else {
                f.write_str(&"\n".repeat(rest.len()))?;
                f.write_str(&" ".repeat(depth + 1))?;
            }
        }
        if gap.as_ref().is_some_and(|g| g.start == i) {
            f.write_str("...")?;
        } else {
            write_axis(f, rest, short, depth + 1, width, cells)?;
        }
    }
    f.write_str("]")
}

/// How the numbers of one tensor are written.
enum Style {
    Bool,
    Int,
    /// At most so many digits after the point.
    Fixed(usize),
    /// So many digits after the point, as asked for.
    Exact(usize),
    /// So many digits after the point, and an exponent.
    Scientific(usize),
}

/// The decimal number of fewest digits that `round` takes to `v`.
fn shortest(v: f64, most: usize, round: impl Fn(f64) -> f64) -> f64 {
    let texts = (0..most).map(|digits| format!("{v:.digits$e}"));
    let number = texts.filter_map(|text| text.parse::<f64>().ok()).find(|&number| round(number) == v);
    number.unwrap_or(v)
}

impl Style {
    fn of(values: &[f64], dtype: DType, precision: Option<usize>) -> Style {
        if dtype == DType::Bool {
            return Style::Bool;
        }
        if dtype.is_int() {
            return Style::Int;
        }
        let finite = values.iter().map(|v| v.abs()).filter(|v| v.is_finite() && *v != 0.0);
        let (low, high) = finite.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        let scientific = high >= 1e8 || low < 1e-4 || high / low > 1e3 && low < 1e-3;
        // As many digits as tell the numbers from others of their type, up to 8.
        let digits = values.iter().filter(|v| v.is_finite()).map(|&v| {
            let number = match dtype {
                // Printed as `f32` and read again: the digits that its type needs.
                DType::F32 => (v as f32).to_string().parse().unwrap_or(v),
                // These have as many digits as tell a value from its neighbours.
                DType::F16 => shortest(v, 5, |v| f64::from(f16::from_f64(v))),
                DType::BF16 => shortest(v, 4, |v| f64::from(bf16::from_f64(v))),
                _ => v,
            };
            let text = if scientific { format!("{number:e}") } else { number.to_string() };
            let mantissa = text.split('e').next().unwrap_or_default();
            mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len())
        });
        let digits = || digits.max().unwrap_or(0).min(8);
        match (scientific, precision) {
            (true, _) => Style::Scientific(precision.unwrap_or_else(digits)),
            (false, Some(exact)) => Style::Exact(exact),
            (false, None) => Style::Fixed(digits()),
        }
    }

    fn cell(&self, v: f64) -> String {
        match self {
            Style::Bool => if v != 0.0 { "True" } else { "False" }.into(),
            Style::Int => format!("{v}"),
            _ if v.is_nan() => "nan".into(),
            _ if v.is_infinite() => if v > 0.0 { "inf" } else { "-inf" }.into(),
            Style::Fixed(0) => format!("{v}."),
            Style::Fixed(digits) => {
                // NumPy pads with spaces where a shorter number ends.
                let text = format!("{v:.digits$}");
                let kept = text.trim_end_matches('0');
                format!("{kept:<width$}", width = text.len())
            }
            Style::Exact(digits) => format!("{v:.digits$}"),
            Style::Scientific(digits) => {
                let text = format!("{v:.digits$e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let (sign, point) = (if exponent < 0 { '-' } else { '+' }, if *digits == 0 { "." } else { "" });
                format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
            }
        }
    }
}
