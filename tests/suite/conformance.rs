//! The reference cases, on every device.

use std::path::Path;

use super::devices::for_each_device;
use crate::conformance::run;

#[test]
fn reference_cases_pass() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras");
    for_each_device(|device| {
        let mut report = String::new();
        let tally = run(&dir, device, |_, _| true, |line| report.extend([line, "\n"])).unwrap();
        println!("{report}");
        assert!(tally.passed > 0, "no case passed: the fixtures or the runner are broken");
        assert_eq!(tally.failed, 0, "reference cases failed:\n{report}");
        Ok(())
    });
}
