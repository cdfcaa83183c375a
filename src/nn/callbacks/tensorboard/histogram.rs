//! Histograms as TensorBoard's own are made.

/// How many buckets there are.
const BUCKETS: usize = 30;

/// Left edge, right edge and count of buckets of equal width, over the finite values. Where all values are equal the last
/// bucket has them; without values all rows are 0.
pub(super) fn histogram(values: &[f64]) -> Vec<[f64; 3]> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return vec![[0.0; 3]; BUCKETS];
    }
    let width = (high - low) / BUCKETS as f64;
    let edge = |i: usize| if i == BUCKETS { high } else { low + width * i as f64 };
    let mut rows: Vec<[f64; 3]> = (0..BUCKETS).map(|i| [edge(i), edge(i + 1), 0.0]).collect();
    for value in finite() {
        let bucket = if width > 0.0 { ((value - low) / width) as usize } else { BUCKETS };
        rows[bucket.min(BUCKETS - 1)][2] += 1.0;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once() {
        let values: Vec<f64> = (0..=300).map(|i| f64::from(i) / 10.0 - 5.0).collect();
        let rows = histogram(&values);
        assert_eq!((rows[0][0], rows[29][1]), (-5.0, 25.0));
        assert!(rows.windows(2).all(|pair| pair[0][1] == pair[1][0]));
        assert_eq!(rows.iter().map(|row| row[2]).sum::<f64>(), 301.0);
        // The last bucket has its right edge too.
        assert_eq!(rows[29][2], 11.0);
    }

    #[test]
    fn odd_values_make_no_odd_histograms() {
        let equal = histogram(&[2.0; 5]);
        assert_eq!((equal[0], equal[29]), ([2.0, 2.0, 0.0], [2.0, 2.0, 5.0]));
        assert_eq!(histogram(&[f64::NAN, f64::INFINITY]), [[0.0; 3]; 30]);
        assert_eq!(histogram(&[]), [[0.0; 3]; 30]);
        let some = histogram(&[f64::NAN, 1.0, 3.0, f64::NEG_INFINITY]);
        assert_eq!((some[0][2], some[29][2], some[0][0]), (1.0, 1.0, 1.0));
    }
}
