//! The house rules, held by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below these folders, with its text.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "wgsl") {
                let text = fs::read_to_string(&path).unwrap();
                out.push((path.strip_prefix(root()).unwrap().to_path_buf(), text));
            }
        }
    }
    let mut out = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut out);
    }
    assert!(!out.is_empty());
    out
}

/// `path:line` of every line that `wrong` names.
fn lines(files: &[(PathBuf, String)], wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let all = files.iter().flat_map(|(path, text)| text.lines().enumerate().map(move |(i, line)| (path, i, line)));
    all.filter(|(path, _, line)| wrong(path, line))
        .map(|(p, i, l)| format!("{}:{}: {}", p.display(), i + 1, l.trim()))
        .collect()
}

#[track_caller]
fn none(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn wgpu_is_named_only_by_the_gpu_backend_and_the_interop_module() {
    let may = |path: &Path| path.starts_with("src/backend/gpu") || path == Path::new("src/interop.rs");
    none(
        "`wgpu::` outside the GPU backend",
        lines(&sources(&["src"]), |path, line| line.contains("wgpu::") && !may(path)),
    );
}

/// Clocks, threads and waiting are not the same in a browser: what is common to both has types for them.
#[test]
fn what_a_browser_lacks_is_named_in_few_places() {
    let native = |path: &Path| {
        path.starts_with("src/backend") || path == Path::new("src/sys.rs") || path.iter().any(|part| part == "tests")
    };
    let words = ["std::time::Instant", "std::thread", "block_on(", "SystemTime"];
    none(
        "a clock, a thread or a wait of the standard library where a browser has none",
        lines(&sources(&["src"]), |path, line| {
            let code = line.split("//").next().unwrap_or("");
            let shell = code.contains("sys::block_on") || code.contains(" block_on(") && !code.contains("pollster");
            !native(path) && words.iter().any(|w| code.contains(w)) && !shell
        }),
    );
}

#[test]
fn shaders_live_in_the_shaders_folder() {
    // A test may bring a shader of its own, to be refused or to be compared with.
    let test = |path: &Path| path.iter().any(|part| part.to_string_lossy().trim_end_matches(".rs").ends_with("tests"));
    none(
        "a shader entry point in a Rust file",
        lines(&sources(&["src"]), |path, line| {
            let code = line.split("//").next().unwrap_or("");
            !test(path) && (code.contains("@compute") || code.contains("@workgroup_size"))
        }),
    );
}

#[test]
fn no_file_is_too_long_to_read_in_one_sitting() {
    let files = sources(&["src", "shaders", "tests", "examples", "benches"]);
    let long = files.iter().map(|(p, t)| (p, t.lines().count())).filter(|(_, n)| *n > 650);
    none("files over 650 lines", long.map(|(p, n)| format!("{}: {n} lines", p.display())).collect());
}

/// The README and the documentation call scripts by their paths.
#[test]
#[cfg(unix)]
fn scripts_can_be_started() {
    use std::os::unix::fs::PermissionsExt;
    fn walk(path: &Path, out: &mut Vec<String>) {
        if path.is_dir() {
            return fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), out));
        }
        let script = fs::read(path).unwrap().starts_with(b"#!");
        if script && fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0o111 {
            out.push(path.display().to_string());
        }
    }
    let mut found = Vec::new();
    ["src", "tests", "benches", "examples", ".ci"].iter().for_each(|folder| walk(&root().join(folder), &mut found));
    none("a script that is not executable", found);
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    let words = ["TODO", "FIXME", "todo!", "unimplemented!"];
    none("unfinished work", lines(&sources(&["src", "shaders"]), |_, line| words.iter().any(|w| line.contains(w))));
}

#[test]
fn every_shader_says_what_it_computes() {
    let files = sources(&["src", "shaders"]);
    let shaders = files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "wgsl"));
    let silent = shaders.filter(|(_, text)| {
        let first = text.trim_start();
        !first.starts_with("//") && !first.starts_with("{#")
    });
    none("shaders without an opening comment", silent.map(|(p, _)| p.display().to_string()).collect());
}

/// The folders in the order in which data goes through them; what all of them may use comes last.
const LAYERS: [&[&str]; 10] = [
    &["plot"],
    &["nn"],
    &["data"],
    &["tensor"],
    &["ops"],
    &["graph"],
    &["plan"],
    &["backend"],
    &["ir"],
    &["shape", "error", "dtype", "files", "loading", "protobuf", "raster", "sys", "diagram"],
];

#[test]
fn nothing_calls_upward() {
    let rank = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let own = |path: &Path| {
        let part = path.components().nth(1)?;
        rank(Path::new(&part).file_stem()?.to_str()?)
    };
    // Tests may use all of the crate.
    let test = |path: &Path| path.iter().any(|part| part.to_string_lossy().trim_end_matches(".rs").ends_with("tests"));
    none(
        "a folder that uses one above it",
        lines(&sources(&["src"]), |path, line| {
            let code = line.split("//").next().unwrap_or("");
            let used = code.split("crate::").skip(1).map(|rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                &rest[..end]
            });
            let upward = |name: &str| own(path).zip(rank(name)).is_some_and(|(own, other)| other < own);
            !test(path) && used.into_iter().any(upward)
        }),
    );
}

/// The module paths that a `use` names, braces expanded: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else { return vec![path.trim().to_string()] };
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in rest.trim_end().trim_end_matches('}').chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("one at least").push(c),
        }
    }
    parts.iter().flat_map(|part| expand(part)).map(|part| format!("{}{part}", head.trim())).collect()
}

/// Files that need each other are one file in two pieces. A tensor, its variable and its device are, on purpose.
#[test]
fn files_stand_in_no_circle() {
    let test = |path: &Path| path.iter().any(|part| part.to_string_lossy().trim_end_matches(".rs").ends_with("tests"));
    let files: Vec<(PathBuf, String)> =
        sources(&["src"]).into_iter().filter(|(p, _)| !test(p) && p.extension().is_some_and(|e| e == "rs")).collect();
    let find = |segments: &[String]| {
        (1..=segments.len())
            .rev()
            .map(|n| Path::new("src").join(segments[..n].join("/")).with_extension("rs"))
            .find_map(|wanted| files.iter().position(|(path, _)| *path == wanted))
    };
    let uses = |(path, text): &(PathBuf, String)| -> Vec<usize> {
        let own: Vec<String> = path.with_extension("").iter().skip(1).map(|s| s.to_string_lossy().into()).collect();
        // The folder's own file stands where its folder does.
        let own = if own.last().is_some_and(|last| last == "mod") { &own[..own.len() - 1] } else { &own[..] };
        let statements = format!("\n{text}");
        let uses = statements.split("\nuse ").skip(1).map(|rest| rest.split(';').next().unwrap_or_default());
        let named = uses.flat_map(expand).filter_map(|path| {
            let mut at: Option<Vec<String>> = None;
            for part in path.split("::").map(str::trim) {
                at = match (part, at) {
                    ("crate", None) => Some(Vec::new()),
                    ("self", None) => Some(own.to_vec()),
                    ("super", at) => {
                        let from = at.unwrap_or_else(|| own.to_vec());
                        Some(from[..from.len().saturating_sub(1)].to_vec())
                    }
                    (name, Some(mut at)) => {
                        at.push(name.to_string());
                        Some(at)
                    }
                    (_, None) => return None,
                };
            }
            find(&at?)
        });
        named.collect()
    };
    let uses: Vec<Vec<usize>> = files.iter().map(uses).collect();
    assert!(uses.iter().map(Vec::len).sum::<usize>() > 500, "most uses name a file");
    let returns = |start: usize| {
        let (mut seen, mut next) = (vec![false; files.len()], uses[start].clone());
        while let Some(file) = next.pop() {
            if !std::mem::replace(&mut seen[file], true) {
                next.extend(&uses[file]);
            }
        }
        seen[start]
    };
    let one = ["src/graph/device.rs", "src/graph/node.rs", "src/graph/var.rs"].map(Path::new);
    let circles = (0..files.len()).filter(|&f| returns(f)).map(|f| files[f].0.as_path());
    let (kept, found): (Vec<&Path>, Vec<&Path>) = circles.partition(|path| one.contains(path));
    none("files in a circle", found.iter().map(|path| path.display().to_string()).collect());
    assert_eq!(kept.len(), one.len(), "the circle that is kept is known here");
}

/// The names that follow `before` and stand in front of `after`, where a line of the text is that and no more.
fn names<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let word = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let found = text.lines().filter_map(|line| line.strip_prefix(before)?.split_once(after).map(|(name, _)| name));
    found.filter(word).collect()
}

/// Every method of a tensor is on the list on the front page; that every link leads somewhere is the documentation's build.
#[test]
fn the_front_page_lists_every_operation() {
    let front = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let files = sources(&["src/ops", "src/tensor"]);
    let node = fs::read_to_string(root().join("src/graph/node.rs")).unwrap();
    let text = |name: &str| &files.iter().find(|(path, _)| path.ends_with(name)).unwrap().1[..];
    let blocks = files.iter().map(|(_, text)| &text[..]).chain([&node[..]]).flat_map(|text| {
        let blocks = text.split("\nimpl Tensor {\n").skip(1).map(|rest| rest.split("\n}\n").next().unwrap());
        blocks.flat_map(|block| names(block, "    pub fn ", "("))
    });
    // Those that are declared in rows.
    let rows = ["ops/unary.rs", "ops/binary.rs"].map(|file| names(text(file), "    ", " {"));
    let activations = names(text("ops/activation.rs"), "    ", " (");
    let reductions = names(text("ops/reduce.rs"), "    ", ", ");
    let mut all: Vec<&str> = blocks.chain(rows.concat()).chain(activations).chain(reductions).collect();
    all.retain(|name| !name.ends_with("_keepdims"));
    assert!(all.len() > 180, "{} methods", all.len());
    let missing = all.iter().filter(|name| !front.contains(&format!("(Tensor::{name})")));
    none("methods that the list in src/lib.rs lacks", missing.map(|name| name.to_string()).collect());
}
