//! How a thread walks the steps of a nest's inner space.

use std::collections::HashSet;

use super::render::replace;

/// How a thread walks its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// In a loop, four at a time where that is worth it.
    Loop { four: bool },
    /// So many written out; those from `whole` on may be past the end.
    Written { steps: usize, whole: usize },
}

impl Walk {
    /// Written out, where a team has so many steps.
    pub(super) fn written(steps: usize, team: u32) -> Self {
        Walk::Written { steps: steps.div_ceil(team as usize), whole: steps / team as usize }
    }

    pub(super) fn form(self) -> &'static str {
        match self {
            Walk::Loop { four: false } => "by one",
            Walk::Loop { four: true } => "by four",
            Walk::Written { steps, whole } if steps == whole => "written out",
            Walk::Written { .. } => "written out to past the end",
        }
    }
}

/// What a step of a sweep does: it computes values, adds them up, and stores some.
pub(super) struct Body {
    pub(super) values: Vec<String>,
    pub(super) adds: Vec<String>,
    pub(super) stores: Vec<String>,
}

/// Writes steps next to each other, the names of each with its number.
pub(super) struct Copies {
    team: u32,
    /// What each step has of its own.
    names: HashSet<String>,
}

impl Copies {
    pub(super) fn new(team: u32) -> Self {
        Copies { team, names: HashSet::from(["i".to_string()]) }
    }

    fn copy(&self, line: &str, step: usize) -> String {
        replace(line, |name| self.names.contains(name).then(|| format!("{name}_c{step}")))
    }

    /// The values of all `steps`, so that their loads go out together, and then what is added.
    fn steps(&mut self, steps: usize, body: &Body, out: &mut Vec<String>) {
        let defined = body.values.iter().filter_map(|line| {
            let rest = line.strip_prefix("let ").or_else(|| line.strip_prefix("var "))?;
            rest.split([':', ' ', '=']).next().map(str::to_string)
        });
        self.names.extend(defined);
        for step in 0..steps {
            out.extend(body.values.iter().map(|line| self.copy(line, step)));
        }
    }

    /// The statements of a sweep over the steps `lo + lane`, `team` further, and so on below `hi`.
    pub(super) fn walk(&mut self, walk: Walk, body: &Body, first: bool) -> Vec<String> {
        let (team, mut out) = (self.team, Vec::new());
        let one = |out: &mut Vec<String>| {
            out.extend(body.values.iter().chain(&body.adds).cloned());
            if !body.stores.is_empty() {
                out.push("if live {".into());
                out.extend(body.stores.iter().cloned());
                out.push("}".into());
            }
            out.push("}".into());
        };
        match walk {
            Walk::Loop { four: false } => {
                out.push(format!("for (var i = lo + lane; i < hi; i += {team}u) {{"));
                one(&mut out);
            }
            Walk::Loop { four: true } => {
                out.push("{ var i = lo + lane;".into());
                out.push(format!("for (; i + {}u < hi; i += {}u) {{", 3 * team, 4 * team));
                out.extend((0..4).map(|step| format!("let i_c{step} = i + {}u;", step * team)));
                self.steps(4, body, &mut out);
                (0..4).for_each(|step| out.extend(body.adds.iter().map(|line| self.copy(line, step))));
                out.push("}".into());
                out.push(format!("for (; i < hi; i += {team}u) {{"));
                one(&mut out);
                out.push("}".into());
            }
            Walk::Written { steps, whole } => {
                for step in 0..if first { steps } else { 0 } {
                    let at = format!("lo + lane + {}u", step as u32 * team);
                    match step < whole {
                        true => out.push(format!("let i_c{step} = {at};")),
                        false => {
                            // What is past the end repeats the last point, for nobody.
                            out.push(format!("let ok_{step} = {at} < hi;"));
                            out.push(format!("let i_c{step} = min({at}, hi - 1u);"));
                        }
                    }
                }
                self.steps(steps, body, &mut out);
                for step in 0..steps {
                    let mut guarded = |lines: &[String], guard: Option<String>| {
                        let lines = lines.iter().map(|line| self.copy(line, step));
                        match guard.filter(|_| lines.len() > 0) {
                            None => out.extend(lines),
                            Some(guard) => {
                                out.push(format!("if {guard} {{"));
                                out.extend(lines);
                                out.push("}".into());
                            }
                        }
                    };
                    let ok = format!("ok_{step}");
                    guarded(&body.adds, (step >= whole).then(|| ok.clone()));
                    guarded(&body.stores, Some(if step < whole { "live".into() } else { format!("live && {ok}") }));
                }
            }
        }
        out
    }
}
