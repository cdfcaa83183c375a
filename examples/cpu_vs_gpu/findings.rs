//! What the figures say. Nothing here measures.

use super::timing::{show_rate, show_seconds};

/// From which size on another device is faster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Crossover {
    /// At every size that both did.
    Always,
    /// From about this size.
    From(f64),
    /// At no size that both did.
    Never,
    /// It is ahead at some sizes and behind at greater ones.
    Unclear,
    /// There are too few sizes that both did.
    Unknown,
}

/// A lead of less than this is none.
const LEAD: f64 = 1.05;
/// The most that sizes on the wrong side of the split may weigh, as a share of all.
const NOISE: f64 = 0.2;

/// From which size on `other` takes less seconds than `base`. The sizes are split where the logarithms of the ratios on the
/// wrong side weigh least, so a noisy figure beside the split, or a small one anywhere, does not move it.
pub(crate) fn crossover(sizes: &[usize], base: &[Option<f64>], other: &[Option<f64>]) -> Crossover {
    let both = sizes.iter().zip(base.iter().zip(other));
    let leads: Vec<(f64, f64)> =
        both.filter_map(|(&size, (base, other))| Some((size as f64, ((*base)? / (*other)?).ln()))).collect();
    if leads.len() < 2 {
        return Crossover::Unknown;
    }
    let wrong = |split: usize| -> f64 {
        let (before, after) = leads.split_at(split);
        before.iter().map(|l| l.1.max(0.0)).sum::<f64>() + after.iter().map(|l| (-l.1).max(0.0)).sum::<f64>()
    };
    let split = (0..=leads.len()).min_by(|&a, &b| wrong(a).total_cmp(&wrong(b))).unwrap_or(0);
    let all: f64 = leads.iter().map(|l| l.1.abs()).sum();
    let best = leads[split..].iter().map(|l| l.1).fold(0.0, f64::max);
    if wrong(split) > NOISE * all {
        return Crossover::Unclear;
    }
    if best < LEAD.ln() {
        return Crossover::Never;
    }
    if split == 0 {
        return Crossover::Always;
    }
    let ((small, behind), (large, ahead)) = (leads[split - 1], leads[split]);
    Crossover::From(match behind < 0.0 && ahead > 0.0 {
        true => small * (large / small).powf(behind / (behind - ahead)),
        false => large,
    })
}

/// To two digits.
pub(crate) fn rounded(size: f64) -> usize {
    let unit = 10f64.powf((size.max(1.0).log10().floor() - 1.0).max(0.0));
    ((size / unit).round() * unit) as usize
}

/// How many operations a number must be worth for `seconds`, which it takes to bring it over and its result back, to be
/// won again by a device that does `there` operations a second and not `here`. `None` if it never is.
pub(crate) fn worth(seconds: f64, here: f64, there: f64) -> Option<f64> {
    (there > here).then(|| seconds / (1.0 / here - 1.0 / there))
}

/// What is known of a device before it works.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ceilings {
    /// Bytes a second that a copy moves, each read and written.
    pub(crate) bytes: Option<f64>,
    /// Operations a second of multiply-adds in registers.
    pub(crate) flops: Option<f64>,
    /// Seconds of an operation on one number among others, and of one whose result is waited for.
    pub(crate) launch: Option<f64>,
    pub(crate) waited: Option<f64>,
}

impl Ceilings {
    /// Takes what was better another time: other programs may have had a part of the device.
    pub(crate) fn raise(&mut self, other: &Ceilings) {
        let best = |own: &mut Option<f64>, other: Option<f64>, pick: fn(f64, f64) -> f64| {
            *own = own.zip(other).map(|(a, b)| pick(a, b)).or(*own).or(other);
        };
        best(&mut self.bytes, other.bytes, f64::max);
        best(&mut self.flops, other.flops, f64::max);
        best(&mut self.launch, other.launch, f64::min);
        best(&mut self.waited, other.waited, f64::min);
    }
}

/// Why few clever cores or many simple ones win, in two sentences with the figures of this processor and a real GPU.
pub(crate) fn explanation(threads: u64, here: &Ceilings, id: &str, there: &Ceilings) -> Option<String> {
    let (begins, launches) = (here.launch?, there.launch?);
    let (slow, fast) = (here.flops?, there.flops?);
    let cores = if threads == 1 { "core".into() } else { format!("{threads} cores") };
    let small = match launches > begins {
        true => format!(
            "A processor has few cores, but clever ones: the {cores} here are done with a small piece of work in {}, when \
             {id} would not even have been told what to do ({} a launch), so small sizes are the processor's.",
            show_seconds(begins),
            show_seconds(launches)
        ),
        false => format!(
            "A processor has few cores, but clever ones, which are usually done with a small piece of work before a GPU has \
             been told of it; not so here, where a launch on {id} takes {} and the {cores} of the processor need {}.",
            show_seconds(launches),
            show_seconds(begins)
        ),
    };
    let [here, there] = [(here, slow), (there, fast)].map(|(ceilings, flops)| match ceilings.bytes {
        Some(bytes) => format!("{} and moves {}", show_rate(flops, true), show_rate(bytes, false)),
        None => show_rate(flops, true),
    });
    let large = match fast > slow {
        true => format!(
            "A GPU has many cores, but simple ones, which are fast only all together: with numbers enough for all of them \
             {id} does {there}, while the processor does {here}, so in large sizes the launch is lost in the work and they are \
             the GPU's."
        ),
        false => format!(
            "A GPU has many cores, but simple ones, which are fast only all together; those of {id} are too few for that: \
             all of them do {there}, while the processor does {here}, so it wins only where its memory does."
        ),
    };
    Some(format!("{small} {large}"))
}

/// The same where there is no GPU; an adapter, if there is one, is a program on the processor.
pub(crate) fn no_gpu(threads: u64, here: &Ceilings, adapter: Option<(&str, &Ceilings)>) -> String {
    let cores = if threads == 1 { "core".into() } else { format!("{threads} cores") };
    let here = here.launch.map_or(String::new(), |s| format!(" within {}", show_seconds(s)));
    let Some((id, launch)) = adapter.and_then(|(id, there)| Some((id, there.launch?))) else {
        return format!(
            "A processor has few cores, but clever ones: the {cores} here are done with a small piece of work{here}, which is \
             hard to beat. A GPU has many cores, but simple ones, which win where there are numbers enough for all of them; \
             this machine has none to show it."
        );
    };
    format!(
        "A processor has few cores, but clever ones: the {cores} here are done with a small piece of work{here}, and {id} is a \
         program on the same {cores} that needs {} to begin, so it adds a cost and no cores. A GPU has many cores of its own, \
         simple ones, which win where there are numbers enough for all of them; this machine has none to show it.",
        show_seconds(launch)
    )
}
