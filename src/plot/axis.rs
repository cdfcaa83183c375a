//! Axes: which part of the numbers they show, where their ticks are, and what is written there.

/// Numbers further from zero than this are treated as if they were infinite: their distances might be.
const LARGEST: f64 = 1e300;
/// Ranges smaller than this share of their numbers are one number: their ticks could not be told apart.
const FINEST: f64 = 1e-9;
/// The share of an axis that stays free at its ends.
const MARGIN: f64 = 0.03;

/// How an axis is to show its numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Scale {
    /// Powers of ten stand at equal distances.
    pub(super) log: bool,
    /// Something grows from zero (or from below the smallest number where there is no zero), so that it must be seen.
    pub(super) from_zero: bool,
    /// No ticks between whole numbers.
    pub(super) whole: bool,
    /// The ends are the numbers' own.
    pub(super) tight: bool,
}

impl Scale {
    /// Whether an axis can show this number.
    pub(super) fn has(self, value: f64) -> bool {
        value.abs() <= LARGEST && !(self.log && value < f64::MIN_POSITIVE)
    }
}

/// An axis: numbers are placed on it in units of the distance between two ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    log: bool,
    /// From one tick to the next, in numbers or in powers of ten.
    step: f64,
    /// The number of steps from zero to the place 0.
    first: f64,
    /// The places at its ends.
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Axis {
    /// For these numbers, with about so many ticks.
    pub(super) fn new(values: impl Iterator<Item = f64>, scale: Scale, ticks: usize) -> Self {
        let valid = values.filter(|&value| scale.has(value));
        let range = valid.fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        let ticks = ticks.max(2) as f64;
        match scale.log {
            true => Self::powers(range.unwrap_or((1.0, 10.0)), scale, ticks),
            false => Self::linear(range.unwrap_or((0.0, 1.0)), scale, ticks),
        }
    }

    fn linear((mut low, mut high): (f64, f64), scale: Scale, ticks: f64) -> Self {
        if scale.from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        let size = low.abs().max(high.abs());
        if high - low <= (size * FINEST).max(f64::MIN_POSITIVE) {
            let around = match (scale.whole, size) {
                (true, _) => 0.5,
                (_, 0.0) => 0.5,
                _ => (size * 0.1).max(f64::MIN_POSITIVE),
            };
            (low, high) = match (scale.from_zero, low + high) {
                (true, sum) if sum >= 0.0 => (0.0, high + around),
                (true, _) => (low - around, 0.0),
                _ => (low - around, high + around),
            };
        }
        let step = nice((high / ticks - low / ticks).max(f64::MIN_POSITIVE));
        let step = if scale.whole { step.max(1.0) } else { step };
        let (from, to) = (low / step, high / step);
        let margin = match scale {
            Scale { tight: true, .. } => 0.0,
            // No whole number that is none of them is seen.
            Scale { whole: true, from_zero: false, .. } => ((to - from) * MARGIN).min(0.4 / step),
            _ => (to - from) * MARGIN,
        };
        // What grows from zero stands on the end of the axis.
        let free = |end: f64| if scale.from_zero && end == 0.0 { 0.0 } else { margin };
        let first = from.floor();
        Axis { log: false, step, first, from: from - free(low) - first, to: to + free(high) - first }
    }

    fn powers((low, high): (f64, f64), scale: Scale, ticks: f64) -> Self {
        let (low, high) = (low.log10(), high.log10());
        // Bars stand on a power of ten, and the smallest is seen as well.
        let low = if scale.from_zero { (low - 0.1).floor() } else { low };
        let step = ((high - low) / ticks).ceil().max(1.0);
        let (from, to) = (low / step, high / step);
        let first = if scale.from_zero { from } else { from.floor() };
        let margin = if scale.tight { 0.0 } else { (to - from) * MARGIN };
        let (low, high) = (if scale.from_zero { from } else { from - margin }, to + margin);
        // Fewer than two ticks say nothing: then it reaches from one to another.
        let (from, to) = match (high - first).floor() - (low - first).ceil() {
            inside if inside >= 1.0 => (low, high),
            _ => (low.min(first), high.max(first + (to - first).ceil().max(1.0))),
        };
        Axis { log: true, step, first, from: from - first, to: to - first }
    }

    /// The place of a number that its scale [has](Scale::has).
    pub(super) fn at(&self, value: f64) -> f64 {
        (if self.log { value.log10() } else { value }) / self.step - self.first
    }

    /// The place of a number as a share of the axis, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        self.share_at(self.at(value))
    }

    /// The same for a place.
    pub(super) fn share_at(&self, place: f64) -> f64 {
        ((place - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// Where bars start: at zero, or at the end of a logarithmic axis.
    pub(super) fn base(&self) -> f64 {
        if self.log { self.from } else { self.at(0.0) }
    }

    /// The places of the ticks, which are whole numbers, and what is written there.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        // Rounded where only the last bits keep a tick outside.
        let (from, to) = ((self.from - 1e-6).ceil(), (self.to + 1e-6).floor());
        (from as i64..=to as i64).map(|place| (place as f64, self.label(place as f64))).collect()
    }

    /// What is written at a tick.
    pub(super) fn label(&self, place: f64) -> String {
        let steps = self.first + place;
        if self.log {
            let power = (steps * self.step).round();
            return match power {
                -4.0..=5.0 => format!("{:.*}", (-power).max(0.0) as usize, 10f64.powf(power)),
                _ => format!("1e{power}"),
            };
        }
        if steps == 0.0 {
            return "0".to_owned();
        }
        let value = steps * self.step;
        let size = |number: f64| number.abs().log10().floor() as i32;
        let largest = (self.first + self.from).abs().max((self.first + self.to).abs()) * self.step;
        match size(self.step * 1.000_001) {
            step if largest >= 1e6 || step < -4 => {
                let digits = (size(value * 1.000_001) - step).clamp(0, 12) as usize;
                format!("{value:.digits$e}")
            }
            step => format!("{value:.*}", (-step).max(0) as usize),
        }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below this number.
fn nice(raw: f64) -> f64 {
    let power = raw.log10().floor();
    let unit = 10f64.powf(power);
    // (The smallest powers of ten are zero.)
    let fits = [1.0, 2.0, 5.0].into_iter().map(|times| times * unit).find(|&step| step >= raw * 0.999_999);
    fits.unwrap_or(10.0 * unit).max(f64::MIN_POSITIVE)
}

/// A number in four digits or so.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        0.0 => "0".to_owned(),
        _ if size < 1e6 && value.fract() == 0.0 => format!("{value}"),
        1e-3..1e6 => {
            let decimals = (3 - size.log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        _ => format!("{value:.2e}"),
    }
}
