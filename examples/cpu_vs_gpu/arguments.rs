//! What the command line asks for.

use std::path::PathBuf;

pub(super) const USAGE: &str = "\
usage: cpu_vs_gpu [--device ID]... [--seconds N | --quick] [--out DIR] [--help]

  --device ID   this device: cpu, gpu:0, part of a name, or gpu for all adapters;
                may be given several times, without it all devices are measured
  --seconds N   measure for about so long, 60 without it; sizes stop growing when
                a device's share of it is spent
  --quick       the same as --seconds 15
  --out DIR     write results.json there, and each chart as an SVG and a PNG
  --help        this text";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arguments {
    /// As `Device::open` takes them, or `gpu`; all devices if it is empty.
    pub(super) devices: Vec<String>,
    pub(super) seconds: f64,
    pub(super) out: Option<PathBuf>,
}

/// `None` if only the usage is asked for; what is wrong, if something is.
pub(super) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut all = Arguments { devices: Vec::new(), seconds: 60.0, out: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--device" => all.devices.push(value()?),
            "--seconds" => {
                let given = value()?;
                let seconds = given.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 1.0);
                all.seconds = seconds.ok_or(format!("--seconds takes a number of at least 1, not {given:?}"))?;
            }
            "--quick" => all.seconds = 15.0,
            "--out" => all.out = Some(value()?.into()),
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("{word:?} is no argument of this program")),
        }
    }
    Ok(Some(all))
}
