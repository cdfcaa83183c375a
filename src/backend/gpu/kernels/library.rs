//! The helper functions of `shaders/`: a kernel gets those it names, and those that these name.

use std::sync::LazyLock;

use askama::Template;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::ir::scalar::words;

/// The pairs of argmax and argmin, for each type.
#[derive(Template)]
#[template(path = "best.wgsl")]
struct Best;

/// A function, structure or constant with the comment above it, and the helpers it names.
struct Item {
    text: String,
    uses: Vec<usize>,
}

struct Library {
    items: Vec<Item>,
    names: FxHashMap<String, usize>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let best = Best.render().expect("a template without values");
    Library::new(&[
        include_str!("../../../../shaders/common.wgsl"),
        include_str!("../../../../shaders/narrow.wgsl"),
        include_str!("../../../../shaders/math.wgsl"),
        include_str!("../../../../shaders/whole.wgsl"),
        include_str!("../../../../shaders/philox.wgsl"),
        &best,
    ])
});

impl Library {
    fn new(files: &[&str]) -> Self {
        let (mut items, mut names) = (Vec::new(), FxHashMap::default());
        for file in files {
            let mut text = String::new();
            let mut name = None;
            for line in file.lines() {
                let declared = ["fn ", "struct ", "const "].iter().find_map(|key| line.strip_prefix(key));
                match (declared.and_then(|rest| words(rest).next()), &name) {
                    (Some(word), None) => name = Some(word.to_string()),
                    // Between items only a comment right above the next one belongs to it.
                    (None, None) if !line.starts_with("//") => {
                        text.clear();
                        continue;
                    }
                    _ => {}
                }
                text += line;
                text.push('\n');
                if line.starts_with('}') || line.starts_with("const ") {
                    names.extend(name.take().map(|name| (name, items.len())));
                    items.push(Item { text: std::mem::take(&mut text), uses: Vec::new() });
                }
            }
        }
        for item in &mut items {
            item.uses = words(&item.text).filter_map(|w| names.get(w).copied()).collect();
        }
        Library { items, names }
    }
}

/// A shader with the helpers that it calls.
pub(crate) fn complete(mut shader: String) -> String {
    let library = &*LIBRARY;
    let mut needed: FxHashSet<usize> = FxHashSet::default();
    let mut open: Vec<usize> = words(&shader).filter_map(|w| library.names.get(w).copied()).collect();
    while let Some(item) = open.pop() {
        if needed.insert(item) {
            open.extend(&library.items[item].uses);
        }
    }
    let mut needed: Vec<usize> = needed.into_iter().collect();
    needed.sort_unstable();
    for item in needed {
        shader.push('\n');
        shader += &library.items[item].text;
    }
    shader
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::scope;

    #[test]
    fn a_shader_gets_what_it_calls_and_no_more() {
        let whole = complete("fn main() { let x = wgt_tan(1.0); }".into());
        for name in ["wgt_tan", "wgt_reduce_far", "wgt_mul_hi", "WgtAngle"] {
            let declared = whole
                .lines()
                .filter(|l| l.starts_with(&format!("fn {name}(")) || l.starts_with(&format!("struct {name} ")));
            assert_eq!(declared.count(), 1, "{name}:\n{whole}");
        }
        assert!(!whole.contains("wgt_erf") && !whole.contains("k_philox"));
        assert_eq!(complete("fn main() {}".into()), "fn main() {}");
    }

    #[test]
    fn the_library_has_every_function_of_its_files() {
        let functions = |text: &str| text.lines().filter(|l| l.starts_with("fn ")).count();
        let math = include_str!("../../../../shaders/math.wgsl");
        let here = LIBRARY.items.iter().filter(|i| math.contains(&i.text)).map(|i| functions(&i.text)).sum::<usize>();
        assert_eq!(here, functions(math));
        assert!(LIBRARY.items.iter().all(|i| functions(&i.text) <= 1));
    }

    /// Neither within the library, nor of what every kernel declares.
    #[test]
    fn no_name_of_the_library_hides_another() {
        let mut all = String::from("var<uniform> p: array<vec4<u32>, 1>;\n");
        (0..32).for_each(|n| all += &format!("var<storage> b{n}: array<u32>;\n"));
        LIBRARY.items.iter().for_each(|item| all += &item.text);
        scope::check(&all).unwrap();
    }
}
