//! Kernels that wait for nothing of each other, in one dispatch: each work-group does what one of them says. A dispatch
//! costs the host and the GPU's front end some microseconds, however little it computes, and where the API runs one after
//! the other (Metal's encoders do) small kernels leave most of the GPU idle.

use askama::Template;

use super::dispatch::{Binding, Caps, Dispatch, Grid, Kernel, Named};
use super::scope::{Token, globals, tokens};
use crate::error::{Error, Result};

/// Threads that fill a large GPU twice over: a kernel of more gains nothing from company.
const MANY_THREADS: u64 = 1 << 19;
/// The most kernels in one: compilers take their time for long shaders.
const MOST: usize = 4;

/// A kernel's source in pieces: what a larger one needs to take it in.
pub(super) struct Part {
    /// `enable` directives.
    enables: Vec<String>,
    /// How each storage buffer is declared, behind its group and binding: `var<storage, read> `, and `: array<f32>;`.
    buffers: Vec<[String; 2]>,
    /// All else.
    rest: String,
    /// Of a work-group.
    pub(super) threads: u32,
    /// Its arrays in work-group memory.
    arrays: Vec<Array>,
    /// Whether the threads of a work-group meet, so that it can not be divided.
    pub(super) meets: bool,
}

impl Part {
    /// Takes a kernel apart; `None` where it can not be part of another.
    pub(super) fn of(kernel: &Dispatch) -> Option<Part> {
        let Grid::Row(groups) = kernel.groups else { return None };
        let source = kernel.shader.trusted().then(|| kernel.shader.body())?.ok()?;
        // Cooperative matrices are refused where a shader has decided anything before.
        if source.contains("coop_mat") {
            return None;
        }
        let mut part = Part {
            enables: Vec::new(),
            buffers: Vec::new(),
            rest: String::new(),
            threads: 0,
            arrays: Vec::new(),
            meets: ["Barrier(", "subgroup"].iter().any(|word| source.contains(word)),
        };
        for line in source.lines() {
            if line.starts_with("enable ") {
                part.enables.push(line.into());
            } else if line.starts_with("@group(0) @binding(") {
                // The uniform words come first; they are one's like the other's.
                if let Some((var, ty)) = line.split_once(" b") {
                    let var = var.split_once(") var").map(|(_, rest)| format!("var{rest} "))?;
                    part.buffers.push([var, ty.split_once(':').map(|(_, ty)| format!(":{ty}"))?]);
                }
            } else if let Some(declared) = line.strip_prefix("var<workgroup> ") {
                let nth = |of: &str| part.arrays.iter().filter(|a| a.of == of).count();
                part.arrays.push(Array::of(declared, nth)?);
            } else {
                part.rest += line;
                part.rest.push('\n');
            }
        }
        let all = tokens(&part.rest);
        let after = |word: &str, n: usize| all.iter().position(|t| t.text == word).and_then(|i| all.get(i + n));
        part.threads = after("workgroup_size", 2)?.text.parse().ok()?;
        let few = groups > 0 && groups.saturating_mul(u64::from(part.threads)) <= MANY_THREADS;
        (few && part.buffers.len() == kernel.bindings.len()).then_some(part)
    }

    /// The `i`-th of several: with names of its own, uniform words so many vectors further on, and buffers at other places. What
    /// was the entry point is a function like others; behind it which builtins that is given.
    fn rewritten(&self, i: usize, vectors: usize, places: &[usize]) -> (String, Vec<String>) {
        let source = &self.rest;
        let tokens = tokens(source);
        let own = globals(&tokens);
        let text = |at: usize| tokens.get(at).map_or("", |t: &Token| t.text);
        let end = |at: usize| tokens.get(at).map_or(source.len(), |t| t.at + t.text.len());
        let (mut out, mut builtins) = (String::with_capacity(source.len() + 256), Vec::new());
        let (mut copied, mut at) = (0, 0);
        while let Some(token) = tokens.get(at) {
            let buffer = || places.get(token.text.strip_prefix('b')?.parse::<usize>().ok()?);
            // What stands there instead of how many tokens.
            let array = || self.arrays.iter().find(|a| a.name == token.text);
            let (new, instead) = if let Some(array) = array() {
                (array.shared(), 1)
            } else if token.text == "@" {
                // An attribute, with what is in brackets behind it.
                let arguments =
                    (at + 2..tokens.len()).take_while(|&i| text(at + 2) == "(" && text(i - 1) != ")").count();
                if text(at + 1) == "builtin" {
                    builtins.push(text(at + 3).to_string());
                }
                (String::new(), 2 + arguments)
            } else if own.contains(&token.text) {
                (format!("{}_{i}", token.text), 1)
            } else if let Some(place) = buffer() {
                (format!("b{place}"), 1)
            } else if let ("p", "[", Ok(n)) = (token.text, text(at + 1), text(at + 2).parse::<usize>()) {
                (format!("p[{}", n + vectors), 3)
            } else {
                at += 1;
                continue;
            };
            out += &source[copied..token.at];
            out += &new;
            at += instead;
            copied = end(at - 1);
        }
        out += &source[copied..];
        (out, builtins)
    }
}

/// An array in work-group memory. A work-group does what one kernel says, so that those of several share memory: the n-th of a
/// type of one with the n-th of another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Array {
    name: String,
    /// The type of its elements.
    of: String,
    count: u32,
    /// The how-many-th of that type it is.
    nth: usize,
}

impl Array {
    /// `NAME: array<TYPE, COUNT>;`
    fn of(declared: &str, nth: impl Fn(&str) -> usize) -> Option<Array> {
        let (name, ty) = declared.split_once(": array<")?;
        let (of, count) = ty.strip_suffix(">;")?.rsplit_once(", ")?;
        let array = Array { name: name.into(), of: of.into(), count: count.parse().ok()?, nth: nth(of) };
        array.bytes().is_some().then_some(array)
    }

    fn bytes(&self) -> Option<u32> {
        let size = match self.of.as_str() {
            "f16" => 2,
            "f32" | "u32" | "i32" | "bool" | "atomic<u32>" => 4,
            "vec2<f32>" | "vec2<u32>" => 8,
            "vec4<f32>" | "vec4<u32>" | "vec4<i32>" => 16,
            _ => return None,
        };
        Some(size * self.count)
    }

    /// What it is called where several kernels share it.
    fn shared(&self) -> String {
        let of: String = self.of.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("shared_{of}_{}", self.nth)
    }
}

/// The arrays of all these, shared.
fn overlaid<'p>(parts: impl Iterator<Item = &'p Part>) -> Vec<Array> {
    let mut all: Vec<Array> = Vec::new();
    for array in parts.flat_map(|p| &p.arrays) {
        match all.iter_mut().find(|a| a.of == array.of && a.nth == array.nth) {
            Some(shared) => shared.count = shared.count.max(array.count),
            None => all.push(Array { name: array.shared(), ..array.clone() }),
        }
    }
    all
}

/// Bytes of work-group memory that these take together.
fn memory<'p>(parts: impl Iterator<Item = &'p Part>) -> u32 {
    overlaid(parts).iter().filter_map(Array::bytes).sum()
}

/// Several kernels as one.
#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "joined.wgsl")]
struct Joined {
    enables: Vec<String>,
    vectors: usize,
    /// How each storage buffer is declared, before and behind its name.
    buffers: Vec<[String; 2]>,
    arrays: Vec<Array>,
    parts: Vec<Rewritten>,
    threads: u32,
    /// Those that are `u32`, besides the number of the thread.
    builtins: Vec<String>,
    variants: Vec<String>,
}

impl Named for Joined {
    const NAME: &'static str = "joined";

    fn variants(&self) -> Vec<String> {
        self.variants.clone()
    }
}

/// A kernel as a part of another.
#[derive(PartialEq, Eq, Hash)]
struct Rewritten {
    text: String,
    /// The word of the first work-group behind it, and what its own do.
    end: String,
    call: String,
}

/// Kernels that wait for nothing of each other, those that are small as one as far as they fit.
///
/// # Errors
/// More work-groups than can be counted, which no small kernels have.
pub(super) fn join<S: Copy + PartialEq>(
    kernels: impl Iterator<Item = Kernel<S>>,
    caps: &Caps,
) -> Result<Vec<Kernel<S>>> {
    let (mut out, mut parts) = (Vec::new(), Vec::new());
    for kernel in kernels {
        match Part::of(&kernel.dispatch) {
            Some(part) => parts.push((kernel, part)),
            None => out.push(kernel),
        }
    }
    // Those of one size only come first.
    parts.sort_by_key(|(_, part)| !part.meets);
    let mut joins: Vec<Join<S>> = Vec::new();
    for (kernel, part) in parts {
        match joins.iter_mut().find(|join| join.fits(&kernel, &part, caps)) {
            Some(join) => join.push(kernel, part),
            None => {
                let mut join = Join { kernels: Vec::new(), bindings: Vec::new() };
                join.push(kernel, part);
                joins.push(join);
            }
        }
    }
    for join in joins {
        out.push(join.finish()?);
    }
    Ok(out)
}

/// Kernels that are becoming one.
struct Join<S> {
    /// Each with the places of its bindings among those of all.
    kernels: Vec<(Kernel<S>, Part, Vec<usize>)>,
    bindings: Vec<Bound<S>>,
}

/// A binding: its source, and how it is declared.
struct Bound<S> {
    source: S,
    binding: Binding,
    declared: [String; 2],
}

impl<S: Copy + PartialEq> Join<S> {
    /// Whether a kernel can be one of them.
    fn fits(&self, Kernel { dispatch, sources, .. }: &Kernel<S>, part: &Part, caps: &Caps) -> bool {
        let parts = || self.kernels.iter().map(|(_, part, _)| part).chain([part]);
        let threads = threads(parts());
        // All whose threads meet have work-groups of one size, and those of the rest divide into such. Of work-group memory no
        // more is taken than leaves room for about as many work-groups at a time.
        let suits = |p: &Part| if p.meets { p.threads == threads } else { p.threads.is_multiple_of(threads) };
        let new = sources.iter().zip(&dispatch.bindings).zip(&part.buffers);
        let new = new.filter(|((source, binding), declared)| self.place(**source, binding, declared).is_none());
        self.kernels.len() < MOST
            && self.bindings.len() + new.count() <= caps.max_storage_bindings as usize
            && memory(parts()) <= caps.max_workgroup_memory
            && memory(parts()) <= 2 * parts().map(|p| memory([p].into_iter())).max().unwrap_or(0)
            && parts().all(suits)
    }

    /// The binding that reads the same.
    fn place(&self, source: S, binding: &Binding, declared: &[String; 2]) -> Option<usize> {
        let reads = |b: &Binding| !b.write && b.bytes == binding.bytes;
        let same = |b: &Bound<S>| b.source == source && reads(&b.binding) && reads(binding) && b.declared == *declared;
        self.bindings.iter().position(same)
    }

    /// Takes in a kernel that fits, or the first.
    fn push(&mut self, kernel: Kernel<S>, part: Part) {
        let Kernel { dispatch, sources, .. } = &kernel;
        let mut places = Vec::with_capacity(sources.len());
        for ((&source, &binding), declared) in sources.iter().zip(&dispatch.bindings).zip(&part.buffers) {
            places.push(self.place(source, &binding, declared).unwrap_or_else(|| {
                self.bindings.push(Bound { source, binding, declared: declared.clone() });
                self.bindings.len() - 1
            }));
        }
        self.kernels.push((kernel, part, places));
    }

    /// The kernel that they are together.
    fn finish(mut self) -> Result<Kernel<S>> {
        if self.kernels.len() == 1
            && let Some((kernel, ..)) = self.kernels.pop()
        {
            return Ok(kernel);
        }
        let Join { kernels, bindings } = self;
        let parts = || kernels.iter().map(|(_, part, _)| part);
        let threads = threads(parts());

        // The uniform words: behind which work-group each of the kernels ends, then theirs.
        let (mut params, mut dynamic, mut groups) = (vec![0; kernels.len()], Vec::new(), 0);
        let (mut rewritten, mut builtins) = (Vec::new(), Vec::new());
        for (i, (Kernel { dispatch: kernel, .. }, part, places)) in kernels.iter().enumerate() {
            let Grid::Row(own) = kernel.groups else { return Err(Error::internal("a joined grid of its own")) };
            let ways = part.threads / threads;
            groups += own * u64::from(ways);
            params[i] = u32::try_from(groups).map_err(|_| Error::internal("too many work-groups in one"))?;
            params.resize(params.len().next_multiple_of(4), 0);
            let vectors = params.len() / 4;
            dynamic.extend(kernel.dynamic.iter().map(|&(at, slot, dtype)| (at + 4 * vectors, slot, dtype)));
            params.extend(&kernel.params);
            params.resize(params.len().max(4 * vectors + 1), 0);

            let (text, given) = part.rewritten(i, vectors, places);
            let group = if i == 0 { "group".into() } else { format!("(group - {})", word(i - 1)) };
            let argument = |builtin: String| match (builtin.as_str(), ways) {
                ("workgroup_id", 1) => format!("vec3<u32>({group}, 0u, 0u)"),
                ("workgroup_id", _) => format!("vec3<u32>({group} / {ways}u, 0u, 0u)"),
                ("num_workgroups", _) => "vec3<u32>(1u)".into(),
                ("local_invocation_index", 1) => "t".into(),
                ("local_invocation_index", _) => format!("{group} % {ways}u * {threads}u + t"),
                _ => {
                    if !builtins.contains(&builtin) {
                        builtins.push(builtin.clone());
                    }
                    builtin
                }
            };
            let given: Vec<String> = given.into_iter().map(argument).collect();
            rewritten.push(Rewritten { text, end: word(i), call: format!("main_{i}({});", given.join(", ")) });
        }
        params.resize(params.len().next_multiple_of(4), 0);

        let mut enables: Vec<String> = parts().flat_map(|p| p.enables.clone()).collect();
        enables.sort();
        enables.dedup();
        let shader = Joined {
            enables,
            vectors: params.len() / 4,
            buffers: bindings.iter().map(|b| b.declared.clone()).collect(),
            arrays: overlaid(parts()),
            parts: rewritten,
            threads,
            builtins,
            variants: kernels.iter().flat_map(|(kernel, ..)| kernel.dispatch.shader.variants()).collect(),
        };
        let names: Vec<&str> = kernels.iter().map(|(kernel, ..)| kernel.name.as_str()).collect();
        Ok(Kernel {
            dispatch: Dispatch {
                shader: Box::new(shader),
                bindings: bindings.iter().map(|b| b.binding).collect(),
                params,
                dynamic,
                groups: Grid::Row(groups),
            },
            sources: bindings.iter().map(|b| b.source).collect(),
            name: names.join(" | "),
        })
    }
}

/// Those of a work-group of all these: as many as meet in one of them, else the least.
fn threads<'p>(parts: impl Iterator<Item = &'p Part>) -> u32 {
    parts.map(|p| (!p.meets, p.threads)).min().map_or(1, |(_, threads)| threads)
}

/// A uniform word.
fn word(at: usize) -> String {
    format!("p[{}].{}", at / 4, ["x", "y", "z", "w"][at % 4])
}

#[cfg(test)]
mod tests;
