//! The reference cases, on every device.

use super::devices::for_each_device_alone;
use crate::conformance::{root, run};

/// How many cases of each kind pass. A feature that goes away makes its cases skipped, not failed: it shows here, and so
/// does one that arrives, whose number then grows.
const PASSING: [(&str, usize); 13] = [
    ("constraint", 2),
    ("error", 13),
    ("initializer", 11),
    ("layer", 33),
    ("loss", 24),
    ("metric", 30),
    ("model_summary", 2),
    ("op_forward", 237),
    ("op_grad", 171),
    ("optimizer", 28),
    ("regularizer", 2),
    ("schedule", 5),
    ("training", 12),
];

#[test]
fn reference_cases_pass() {
    let dir = root().join("tests/fixtures/keras");
    for_each_device_alone(|device| {
        let mut report = String::new();
        let kinds = run(&dir, device, |_, _| true, |line| report.extend([line, "\n"])).unwrap();
        println!("{report}");
        let failed: usize = kinds.values().map(|tally| tally.failed).sum();
        assert_eq!(failed, 0, "reference cases failed:\n{report}");
        let passing: Vec<(&str, usize)> =
            kinds.iter().map(|(kind, tally)| (kind.as_str(), tally.passed)).filter(|(_, passed)| *passed > 0).collect();
        assert_eq!(passing, PASSING, "other cases pass than before:\n{report}");
        Ok(())
    });
}
